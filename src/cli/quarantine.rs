//! `propsync quarantine`: who needs a person, and what that person decides.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use crate::assembly::{Sockets, assemble};
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::Exit;
use crate::cli::explain::second;
use crate::cli::print::counted;
use crate::cli::reference::Reference;
use crate::cli::sync::Sync;
use crate::cli::{Global, resync, wait};
use crate::clock::{Clock, Dice};
use crate::config::tree::Config;
use crate::domain::Timestamp;
use crate::domain::decision::Wish;
use crate::domain::failure::Reason;
use crate::domain::request::Chosen;
use crate::ledger::Ledger;
use crate::ledger::waiting::QuarantineRow;

/// The verbs of `quarantine`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// One line a record: why, since when, and what to do
    List(List),
    /// All that is known of one record
    Show(Show),
    /// Read records anew and deliver them
    Retry(Retry),
    /// Decide about one record, and deliver it
    Resolve(Resolve),
}

/// The arguments of `quarantine list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync quarantine list
  propsync quarantine list --source hubspot --reason email_taken")]
pub struct List {
    /// Of this source alone
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// For this reason alone
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<Reason>,
}

/// The arguments of `quarantine show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  propsync quarantine show hubspot:12345")]
pub struct Show {
    /// The record
    #[arg(value_name = "NS:ID")]
    pub reference: Reference,
}

/// The arguments of `quarantine retry`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync quarantine retry hubspot:12345
  propsync quarantine retry --reason rejected
  propsync quarantine retry --all")]
#[command(group = ArgGroup::new("which").required(true).multiple(false))]
#[group(skip)]
pub struct Retry {
    /// The records
    #[arg(value_name = "NS:ID", group = "which")]
    pub references: Vec<Reference>,
    /// All that are there for this reason
    #[arg(long, value_name = "REASON", group = "which", value_parser = reason)]
    pub reason: Option<Reason>,
    /// All
    #[arg(long, group = "which")]
    pub all: bool,
    /// How long to wait for an upstream that is down: 90s, 2m, 1h
    #[arg(long, value_name = "SPAN", default_value = "120s", value_parser = wait::parse)]
    pub max_wait: Duration,
}

/// The arguments of `quarantine resolve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync quarantine resolve hubspot:12345 --link                   the same person, whatever the names
  propsync quarantine resolve hubspot:12345 --create-without-email   a contact of its own, without the address
  propsync quarantine resolve hubspot:12345 --detach                 not the person of the contact it was joined to
  propsync quarantine resolve hubspot:12345 --detach --create-without-email
  propsync quarantine resolve hubspot:12345 --revive                 bring back what was deleted in Propstreet
  propsync quarantine resolve hubspot:12345 --undo                   take back what was decided")]
#[command(group = ArgGroup::new("verdict").required(true).multiple(true))]
#[group(skip)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Resolve {
    /// The record
    #[arg(value_name = "NS:ID")]
    pub reference: Reference,
    /// Take its reference off the contact it is on, and never join the two again
    #[arg(long, group = "verdict", conflicts_with_all = ["link", "revive"])]
    pub detach: bool,
    /// Join the contact that has its address
    #[arg(long, group = "verdict", conflicts_with_all = ["create_without_email", "revive"])]
    pub link: bool,
    /// Create it without its address
    #[arg(long, group = "verdict", conflicts_with = "revive")]
    pub create_without_email: bool,
    /// Bring its contact back
    #[arg(long, group = "verdict")]
    pub revive: bool,
    /// Take back what was decided about it
    #[arg(long, group = "verdict", conflicts_with_all = ["detach", "link", "create_without_email", "revive"])]
    pub undo: bool,
    /// How long to wait for an upstream that is down: 90s, 2m, 1h
    #[arg(long, value_name = "SPAN", default_value = "120s", value_parser = wait::parse)]
    pub max_wait: Duration,
}

fn reason(text: &str) -> Result<Reason, String> {
    let codes = || Reason::ALL.map(Reason::code).join(", ");
    Reason::parse(text).ok_or_else(|| format!("write one of {}", codes()))
}

/// One record in quarantine.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Line {
    reference: String,
    source: String,
    reason: &'static str,
    detail: String,
    since: Timestamp,
    /// The contact in Propstreet that stands in the way.
    blocker: Option<String>,
    whose: &'static str,
    remedy: String,
    next_try: Option<Timestamp>,
}

impl Line {
    fn of(row: &QuarantineRow) -> Self {
        let reason = row.complaint.reason;
        Self {
            reference: row.key.to_string(),
            source: row.source.clone(),
            reason: reason.code(),
            detail: row.complaint.detail.clone(),
            since: row.since,
            blocker: row.complaint.blocker.clone(),
            whose: reason.whose(),
            remedy: reason.remedy_of(&row.key, row.propstreet_id.is_some()),
            next_try: row.next_try,
        }
    }

    fn text(&self) -> String {
        let blocker = self.blocker.as_ref().map_or(String::new(), |id| format!("; in the way: contact {id}"));
        let Self { reference, reason, since, whose, remedy, .. } = self;
        format!("{reference}  {reason} since {}{blocker}; whose: {whose}; fix: {remedy}", second(*since))
    }
}

/// Runs a verb.
pub async fn run(global: &Global, verb: &Verb) -> Report {
    let (command, result) = match verb {
        Verb::List(arguments) => ("quarantine list", list(global, arguments).await),
        Verb::Show(arguments) => ("quarantine show", show(global, arguments).await),
        Verb::Retry(arguments) => ("quarantine retry", retry(global, arguments).await),
        Verb::Resolve(arguments) => ("quarantine resolve", resolve(global, arguments).await),
    };
    result.unwrap_or_else(|failure| Report::failed(command, failure))
}

/// Who is in quarantine, read beside whoever writes the ledger.
async fn rows(config: &Config, source: Option<String>) -> Result<Vec<QuarantineRow>, Failure> {
    let ledger = Ledger::open_for_reading(&config.ledger).await.map_err(|error| Failure::from(&error))?;
    let rows = ledger.quarantined(source, usize::MAX).await.map_err(|error| Failure::from(&error));
    ledger.close().await;
    rows
}

async fn list(global: &Global, arguments: &List) -> Result<Report, Failure> {
    let config = global.configured_without_secrets()?;
    if let Some(source) = &arguments.source {
        Sync { sources: vec![source.clone()], max_wait: Duration::ZERO }.chosen(&config)?;
    }
    let rows = rows(&config, arguments.source.clone()).await?;
    let meant = |row: &&QuarantineRow| arguments.reason.is_none_or(|reason| reason == row.complaint.reason);
    let lines: Vec<Line> = rows.iter().filter(meant).map(Line::of).collect();
    let summary = format!("{} in quarantine", counted(lines.len() as u64, "record"));
    let mut text: Vec<String> = lines.iter().map(Line::text).collect();
    text.push(summary.clone());
    let (text, result) = (text.join("\n"), data(&lines));
    Ok(Report { command: "quarantine list", exit: Exit::Fine, summary, result, text, error: None })
}

async fn show(global: &Global, arguments: &Show) -> Result<Report, Failure> {
    let config = global.configured_without_secrets()?;
    let key = arguments.reference.key(&config);
    let row = rows(&config, None).await?.into_iter().find(|row| row.key == key).ok_or_else(|| not_there(&key))?;
    let contacts = config.propstreet.base_url.join("api/v1/network/contacts/").ok();
    let link = |id: &String| contacts.as_ref().map_or_else(String::new, |contacts| format!("{contacts}{id}"));
    let line = Line::of(&row);
    let mut text = vec![
        format!("{}: {} since {}", line.reference, line.reason, second(line.since)),
        format!("    why: {}", line.detail),
        format!("    whose: {}", line.whose),
        format!("    fix: {}", line.remedy),
    ];
    text.extend(line.blocker.iter().map(|id| format!("    in the way: contact {id}, {}", link(id))));
    text.extend(row.propstreet_id.iter().map(|id| format!("    its own: contact {id}, {}", link(id))));
    text.push(match &row.payload {
        Some(payload) => format!("    as it was refused: {payload}"),
        None => "    as it was refused: kept no longer, or it could not be mapped".to_owned(),
    });
    let payload = row.payload.as_deref().and_then(|payload| serde_json::from_str::<serde_json::Value>(payload).ok());
    let mut result = data(&line);
    result["payload"] = payload.unwrap_or_default();
    let summary = format!("{}: {}", line.reference, line.reason);
    let text = text.join("\n");
    Ok(Report { command: "quarantine show", exit: Exit::Fine, summary, result, text, error: None })
}

fn not_there(key: &impl std::fmt::Display) -> Failure {
    let remedy = "propsync quarantine list names who is; propsync explain says how this one stands";
    Failure::new(Exit::Failed, "not_in_quarantine", format!("{key} is not in quarantine"), remedy)
}

async fn retry(global: &Global, arguments: &Retry) -> Result<Report, Failure> {
    let config = global.configured()?;
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let there = rows(&config, None).await?;
    for reference in &arguments.references {
        let key = reference.key(&config);
        let row = there.iter().find(|row| row.key == key).ok_or_else(|| not_there(&key))?;
        wanted.entry(row.source.clone()).or_default().push(key.id);
    }
    let meant = |row: &&QuarantineRow| arguments.all || arguments.reason == Some(row.complaint.reason);
    for row in there.iter().filter(meant) {
        wanted.entry(row.source.clone()).or_default().push(row.key.id.clone());
    }
    let wanted = wanted.into_iter().map(|(source, ids)| (source, Chosen::Ids(ids))).collect();
    let report = resync::read(global, &config, wanted, false, arguments.max_wait).await?;
    Ok(report.answer("quarantine retry"))
}

/// Keeps the decision, and delivers that one record.
async fn resolve(global: &Global, arguments: &Resolve) -> Result<Report, Failure> {
    let config = global.configured()?;
    let source = arguments.reference.source(&config)?.name.clone();
    let key = arguments.reference.key(&config);
    let Resolve { detach, link, create_without_email, revive, undo, .. } = *arguments;
    let wish = Wish { detach, link, without_email: create_without_email, revive };
    let parts =
        assemble(&config, &Sockets, Clock::system(), Dice::system()).await.map_err(|error| Failure::from(&error))?;
    let decided = match undo {
        true => {
            let undone = parts.engine.ledger.undecide(key.clone(), parts.engine.clock.now()).await;
            undone.map(|undone| undone.then_some(()).ok_or("nothing was decided about it by hand".to_owned()))
        }
        false => parts.engine.resolve(&key, wish).await.map(|decided| decided.map(drop)),
    };
    parts.close().await;
    decided.map_err(|error| Failure::from(&error))?.map_err(|misfit| {
        let remedy = format!("propsync explain {key} says how it stands, and what fits");
        Failure::new(Exit::Usage, "does_not_fit", format!("{key}: {misfit}"), remedy)
    })?;
    let wanted = vec![(source, Chosen::Ids(vec![key.id]))];
    let report = resync::read(global, &config, wanted, false, arguments.max_wait).await?;
    Ok(report.answer("quarantine resolve"))
}
