//! `propsync sync`: one pass now. Parses what is asked and prints the books.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::assembly::{Sockets, assemble};
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::{Exit, signalled};
use crate::cli::print::{Progress, counted, grouped, table};
use crate::cli::{Global, wait};
use crate::clock::{Clock, Dice};
use crate::config::tree::{Config, SourceConfig};
use crate::domain::departure::{Departures, Fate, Guard};
use crate::domain::nearest::nearest;
use crate::domain::pass::{Counts, Outcome};
use crate::domain::told::{self, Requests, Told};
use crate::domain::updates::Updates;
use crate::sync::engine::Source;

/// The arguments of `sync`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync sync                      every source
  propsync sync hubspot salesforce   these two
  propsync sync --max-wait 2m        wait so long for an upstream that is down, then defer")]
pub struct Sync {
    /// The sources, by name; all of them when none is named
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// How long to wait for an upstream that is down: 90s, 2m, 1h
    #[arg(long, value_name = "SPAN", default_value = "120s", value_parser = wait::parse)]
    pub max_wait: Duration,
}

/// Runs one pass over the chosen sources. A signal ends it where it stands; the next sync takes up what is open.
pub async fn run(global: &Global, arguments: &Sync) -> Report {
    match sync(global, arguments).await {
        Ok(report) => report.answer("sync"),
        Err(failure) => Report::failed("sync", failure),
    }
}

async fn sync(global: &Global, arguments: &Sync) -> Result<SyncReport, Failure> {
    let config = global.configured()?;
    let chosen: Vec<String> = arguments.chosen(&config)?.into_iter().map(|source| source.name.clone()).collect();
    let parts =
        assemble(&config, &Sockets, Clock::system(), Dice::system()).await.map_err(|error| Failure::from(&error))?;
    let line = global.manner().progress();
    let sources: Vec<&Source> = parts.sources.iter().filter(|source| chosen.contains(&source.name)).collect();
    let counted = Counting::new(line);
    tracing::info!(config = %config.file.display(), sources = chosen.join(" "), "sync begins");
    let result = tokio::select! {
        reports = parts.engine.sync(&sources, arguments.max_wait, &counted) => Ok(SyncReport::of(reports)),
        signal = signalled() => Err(interrupted(signal.unwrap_or(Exit::Terminated))),
    };
    drop(counted);
    parts.close().await;
    result.iter().flat_map(|report| &report.sources).for_each(SourceReport::log);
    result
}

/// What a signal leaves: everything that was settled, and announced writes that the next sync looks up.
pub(in crate::cli) fn interrupted(signal: Exit) -> Failure {
    Failure::new(
        signal,
        "interrupted",
        "ended by a signal; what was settled is kept",
        "run it again: it goes on where it stopped",
    )
}

/// Counts records on the progress line as they end.
pub(in crate::cli) struct Counting {
    line: Progress,
    ended: AtomicU64,
    created: AtomicU64,
}

impl Counting {
    pub(in crate::cli) fn new(line: Progress) -> Self {
        Self { line, ended: AtomicU64::new(0), created: AtomicU64::new(0) }
    }
}

impl told::Progress for Counting {
    fn ended(&self, source: &str, outcome: Outcome) {
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let new = u64::from(outcome == Outcome::Created);
        let created = self.created.fetch_add(new, Ordering::Relaxed) + new;
        // A terminal shows no more than a few lines a second; a number a hundred records is plenty.
        if ended.is_multiple_of(100) || ended < 100 {
            self.line.say(format!("{} records, {} created ({source})", grouped(ended), grouped(created)));
        }
    }
}

impl Sync {
    /// The sources that are meant, each once, in the configuration's order.
    pub fn chosen<'c>(&self, config: &'c Config) -> Result<Vec<&'c SourceConfig>, Failure> {
        let names = || config.sources.iter().map(|source| source.name.as_str());
        if let Some(unknown) = self.sources.iter().find(|name| !names().any(|known| known == name.as_str())) {
            let remedy = match nearest(unknown, names()) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("configured are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            return Err(Failure::new(Exit::Usage, "unknown_source", format!("no source is called {unknown}"), remedy));
        }
        let meant = |source: &&SourceConfig| self.sources.is_empty() || self.sources.contains(&source.name);
        Ok(config.sources.iter().filter(meant).collect())
    }
}

/// What a pass over the chosen sources did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SyncReport {
    /// One entry a source, failed ones too.
    pub sources: Vec<SourceReport>,
}

/// What a pass over one source did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceReport {
    /// The source.
    pub name: String,
    /// Whether everything there was to read has been read.
    pub complete: bool,
    /// The books.
    #[serde(flatten)]
    pub counts: Counts,
    /// Of the quarantined, those that were not in quarantine before.
    pub newly_quarantined: u64,
    /// Propstreet's ids written into the CRM's field.
    pub written_back: u64,
    /// Who left the CRM, and what became of their contacts.
    pub gone: Departures,
    /// Why some are held back, if any are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// How the updates of contacts stand against what may be within a day, if any wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updates: Option<Updates>,
    /// In whose words Propstreet refused calls on companies, if it did: contacts went on without their employers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub companies_refused: Option<String>,
    /// What it cost.
    pub requests: Requests,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it stopped.
    pub error: Option<Failure>,
}

impl From<Told> for SourceReport {
    fn from(told: Told) -> Self {
        Self {
            name: told.source,
            complete: told.complete,
            counts: told.counts,
            newly_quarantined: told.newly_quarantined,
            written_back: told.written_back,
            gone: told.gone,
            guard: told.guard,
            updates: told.updates,
            companies_refused: told.companies_refused,
            requests: told.requests,
            seconds: told.seconds,
            error: told.error.map(Failure::from),
        }
    }
}

impl SourceReport {
    /// How the program ends for this source alone.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let held = self.gone.held > 0 || self.updates.is_some();
        let degraded = !self.complete || !self.counts.balanced() || self.newly_quarantined > 0 || held;
        let books = if degraded { Exit::Degraded } else { Exit::Fine };
        books.worse(self.error.as_ref().map_or(Exit::Fine, |failure| failure.exit))
    }

    fn log(&self) {
        let Counts { read, created, quarantined, deferred, .. } = self.counts;
        let (source, state) = (&self.name, self.state());
        tracing::info!(source, state, read, created, quarantined, deferred, "sync ended");
    }

    /// Why people who left are held: more left than the guard lets go, with the two ways out; or Propstreet's answer.
    fn held(&self) -> Option<String> {
        if self.gone.held == 0 {
            return None;
        }
        let (name, held) = (&self.name, grouped(self.gone.held));
        let Some(Guard { allowed, needed }) = self.guard else {
            return Some(format!(
                "\n{name}: {held} people have left, and Propstreet could not be asked about their contacts to the \
                 end. Nothing is lost: the next sync goes on."
            ));
        };
        let allowed = grouped(allowed);
        Some(format!(
            "\n{name}: {held} people have left the CRM, or are kept out by its filter, and are held back: within a day no more than \
             {allowed} may go. Nothing happens to them in Propstreet.\n  If it is a mistake, give the CRM's user the right to see \
             them again, or mend the filter: they are freed by themselves.\n  If it is meant, set guard = {needed} or more under [sources.{name}] and \
             sync again."
        ))
    }

    /// Why changes of people wait that are more than may be within a day, with the two ways out.
    fn guarded(&self) -> Option<String> {
        let updates = self.updates?;
        let (name, waiting, Guard { allowed, needed }) = (&self.name, grouped(updates.waiting), updates.guard());
        let allowed = grouped(allowed);
        Some(format!(
            "\n{name}: the changes of {waiting} people wait: within a day no more than {allowed} contacts are updated. \
             Nothing is lost.\n  If the changes are not meant, undo what made them, in the CRM or under [sources.{name}]. If they \
             are, wait: so many a day go on by themselves.\n  If they are meant, set guard = {needed} or more under [sources.{name}] and sync again."
        ))
    }

    /// That contacts went on without their employers, and what to do.
    fn without_employers(&self) -> Option<String> {
        let (name, why) = (&self.name, self.companies_refused.as_ref()?);
        Some(format!(
            "\n{name}: Propstreet refuses calls on companies ({why}). Contacts go on without their employers, and get them \
             once it does not.\n  Give Propstreet's client the right to companies and links, or set companies = \"off\" under \
             [sources.{name}]."
        ))
    }

    fn state(&self) -> String {
        match (&self.error, self.complete, self.counts.balanced()) {
            (Some(failure), _, _) => failure.code.clone(),
            (None, false, _) => "incomplete".to_owned(),
            (None, true, false) => "books open".to_owned(),
            (None, true, true) => "complete".to_owned(),
        }
    }
}

impl SyncReport {
    /// What the engine reported, for print.
    #[must_use]
    pub fn of(told: impl IntoIterator<Item = impl Into<Told>>) -> Self {
        Self { sources: told.into_iter().map(|told| SourceReport::from(told.into())).collect() }
    }

    /// The answer to `command` (`sync`, or another verb whose answer is a pass).
    #[must_use]
    pub fn answer(&self, command: &'static str) -> Report {
        let exit = self.sources.iter().map(SourceReport::exit).fold(Exit::Fine, Exit::worse);
        let worst = self.sources.iter().filter_map(|source| source.error.as_ref().map(|error| (source, error)));
        let error = worst.clone().find(|(_, error)| error.exit == exit).or_else(|| worst.clone().next());
        let summary = self.summary();
        Report {
            command,
            exit,
            text: format!("{}\n\n{summary}{}", books(&self.sources), self.hint(exit)),
            result: data(self),
            error: error.map(|(source, error)| error.clone().within(&source.name)),
            summary,
        }
    }

    /// Why a sync that did its work does not end with 0.
    fn hint(&self, exit: Exit) -> String {
        let newly = self.sources.iter().any(|source| source.newly_quarantined > 0);
        let mut hint = self.sources.iter().filter_map(SourceReport::held).collect::<String>();
        hint.extend(self.sources.iter().filter_map(SourceReport::guarded));
        hint.extend(self.sources.iter().filter_map(SourceReport::without_employers));
        if exit == Exit::Degraded && newly {
            hint.push_str("\nexit 4: some records need a person; propsync status names them");
        }
        hint
    }

    /// One line to read aloud: the sum, then what needs a person.
    fn summary(&self) -> String {
        let sum = |count: fn(&Counts) -> u64| self.sources.iter().map(|source| count(&source.counts)).sum::<u64>();
        let newly: u64 = self.sources.iter().map(|source| source.newly_quarantined).sum();
        let mut parts = vec![format!("{} read", grouped(sum(|counts| counts.read)))];
        for outcome in Outcome::ALL {
            let count = self.sources.iter().map(|source| source.counts.of(outcome)).sum();
            if count > 0 {
                parts.push(format!("{} {}", grouped(count), outcome.as_str()));
            }
        }
        let stopped = self.sources.iter().filter(|source| !source.complete).count() as u64;
        let mut line = format!("{}: {}", counted(self.sources.len() as u64, "source"), parts.join(", "));
        let written: u64 = self.sources.iter().map(|source| source.written_back).sum();
        if written > 0 {
            line.push_str(&format!("; {} written back", grouped(written)));
        }
        let left: Vec<String> = Fate::ALL
            .into_iter()
            .map(|fate| (fate, self.sources.iter().map(|source| source.gone.of(fate)).sum::<u64>()))
            .filter(|(_, count)| *count > 0)
            .map(|(fate, count)| format!("{} {}", grouped(count), fate.as_str()))
            .collect();
        if !left.is_empty() {
            line.push_str(&format!("; left or kept out: {}", left.join(", ")));
        }
        if newly > 0 {
            line.push_str(&format!("; {} newly in quarantine", grouped(newly)));
        }
        if stopped > 0 {
            line.push_str(&format!("; {} not read to the end", counted(stopped, "source")));
        }
        line
    }
}

/// The books as a table, a row a source. Outcomes that nobody had are left out: the rest still adds up to `read`.
#[must_use]
pub fn books(sources: &[SourceReport]) -> String {
    let shown: Vec<Outcome> = Outcome::ALL
        .into_iter()
        .filter(|outcome| sources.iter().any(|source| source.counts.of(*outcome) > 0))
        .collect();
    let names: Vec<String> = shown.iter().map(|outcome| format!("#{}", outcome.as_str())).collect();
    let head: Vec<&str> = ["source", "#read"]
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .chain(["#crm calls", "#propstreet calls", "#seconds", "state"])
        .collect();
    let rows: Vec<Vec<String>> = sources
        .iter()
        .map(|source| {
            let outcomes = shown.iter().map(|outcome| grouped(source.counts.of(*outcome)));
            [source.name.clone(), grouped(source.counts.read)]
                .into_iter()
                .chain(outcomes)
                .chain([grouped(source.requests.crm), grouped(source.requests.propstreet)])
                .chain([format!("{:.1}", source.seconds), source.state()])
                .collect()
        })
        .collect();
    table(&head, &rows)
}

#[cfg(test)]
mod tests {
    use insta::{assert_json_snapshot, assert_snapshot};

    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::cli::envelope::parsed;
    use crate::config::load;
    use crate::domain::failure::Trouble;

    fn source(name: &str, counts: Counts) -> SourceReport {
        SourceReport {
            name: name.to_owned(),
            complete: true,
            counts,
            newly_quarantined: 0,
            written_back: 0,
            gone: Departures::default(),
            guard: None,
            companies_refused: None,
            updates: None,
            requests: Requests { crm: 3, propstreet: 1_201 },
            seconds: 2.04,
            error: None,
        }
    }

    fn good() -> SourceReport {
        source("hubspot", Counts { read: 1_210, created: 1_200, unchanged: 10, ..Counts::default() })
    }

    fn down() -> SourceReport {
        let trouble = Trouble::Outage("connection refused".to_owned());
        SourceReport { complete: false, error: Some(Failure::from(&trouble)), ..source("pipedrive", Counts::default()) }
    }

    #[test]
    fn the_books_are_a_table_and_a_sentence() {
        let quarantined = Counts { read: 3, created: 1, quarantined: 2, ..Counts::default() };
        let gone = Departures { kept: 2, moved: 1, held: 60, ..Departures::default() };
        let guard = Some(Guard { allowed: 10, needed: 62 });
        let third =
            SourceReport { newly_quarantined: 1, written_back: 1, gone, guard, ..source("salesforce", quarantined) };
        let report = SyncReport { sources: vec![good(), down(), third] }.answer("sync");
        assert_snapshot!(report.text, @"
        source       read  created  unchanged  quarantined  crm calls  propstreet calls  seconds  state
        hubspot     1,210    1,200         10            0          3             1,201      2.0  complete
        pipedrive       0        0          0            0          3             1,201      2.0  unreachable
        salesforce      3        1          0            2          3             1,201      2.0  complete

        3 sources: 1,213 read, 1,201 created, 10 unchanged, 2 quarantined; 1 written back; left or kept out: 2 kept, 1 moved, 60 held; 1 newly in quarantine; 1 source not read to the end
        salesforce: 60 people have left the CRM, or are kept out by its filter, and are held back: within a day no more than 10 may go. Nothing happens to them in Propstreet.
          If it is a mistake, give the CRM's user the right to see them again, or mend the filter: they are freed by themselves.
          If it is meant, set guard = 62 or more under [sources.salesforce] and sync again.
        ");
        let unasked = SourceReport { guard: None, ..source("salesforce", Counts::default()) };
        assert_eq!(unasked.held(), None);
        let unasked = SourceReport { gone, ..unasked }.held().expect("a word");
        assert!(unasked.contains("60 people") && unasked.contains("the next sync goes on"), "{unasked}");
        let document = parsed(&report);
        assert_eq!(document["error"]["message"], "pipedrive: unreachable: connection refused");
        assert_json_snapshot!(document["result"]["sources"][2], @r#"
        {
          "adopted": 0,
          "complete": true,
          "created": 1,
          "deferred": 0,
          "error": null,
          "gone": {
            "deleted": 0,
            "held": 60,
            "kept": 2,
            "moved": 1,
            "tagged": 0
          },
          "guard": {
            "allowed": 10,
            "needed": 62
          },
          "linked": 0,
          "name": "salesforce",
          "newly_quarantined": 1,
          "quarantined": 2,
          "read": 3,
          "requests": {
            "crm": 3,
            "propstreet": 1201
          },
          "seconds": 2.04,
          "skipped": 0,
          "unchanged": 0,
          "updated": 0,
          "written_back": 1
        }
        "#);
    }

    #[test]
    fn sources_are_chosen_by_name_and_once() {
        let rest = "kind = \"hubspot\"\nfirst_run = \"backfill\"\nauth = { kind = \"token\", token = \"t\" }\n";
        let section = |name| format!("[sources.{name}]\n{rest}");
        let propstreet = "[propstreet]\nauth = { kind = \"token\", token = \"t\" }\n";
        let text = [propstreet, &section("hubspot_no"), &section("hubspot_se")].concat();
        let config = load::parse(Path::new("p.toml"), &text, &BTreeMap::new()).expect("a correct file");
        let chosen = |names: &[&str]| {
            let sources = names.iter().map(|name| (*name).to_owned()).collect();
            let chosen = Sync { sources, max_wait: Duration::ZERO }.chosen(&config);
            chosen.map(|sources| sources.iter().map(|source| source.name.clone()).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).expect("all"), ["hubspot_no", "hubspot_se"]);
        assert_eq!(chosen(&["hubspot_se", "hubspot_se"]).expect("one"), ["hubspot_se"]);
        let failure = chosen(&["hubspot_sw"]).expect_err("unknown");
        assert_eq!((failure.exit, failure.remedy.as_str()), (Exit::Usage, "did you mean hubspot_se?"));
    }

    #[test]
    fn the_exit_code_follows_the_worst_source() {
        let open = source("a", Counts { read: 2, created: 1, ..Counts::default() });
        let deferred = source("b", Counts { read: 1, deferred: 1, ..Counts::default() });
        for (sources, exit) in [
            (vec![good()], Exit::Fine),
            (vec![deferred], Exit::Fine),
            (vec![good(), open.clone()], Exit::Degraded),
            (vec![SourceReport { newly_quarantined: 1, ..good() }], Exit::Degraded),
            (vec![SourceReport { complete: false, ..good() }], Exit::Degraded),
            (vec![SourceReport { gone: Departures { kept: 9, ..Departures::default() }, ..good() }], Exit::Fine),
            (vec![SourceReport { gone: Departures { held: 9, ..Departures::default() }, ..good() }], Exit::Degraded),
            (vec![good(), down(), open], Exit::Environment),
        ] {
            assert_eq!(SyncReport { sources }.answer("sync").exit, exit);
        }
    }

    #[test]
    fn changes_that_wait_name_the_two_ways_out() {
        let updates = Some(Updates { waiting: 1_200, recent: 50, allowed: 50 });
        let report = SyncReport { sources: vec![SourceReport { updates, ..good() }] };
        let answer = report.answer("sync");
        assert_eq!(answer.exit, Exit::Degraded);
        for word in ["the changes of 1,200 people wait", "no more than 50", "so many a day", "guard = 1250 or more"] {
            assert!(answer.text.contains(word), "{word}: {}", answer.text);
        }
    }
}
