//! `propsync history`: every decision about one record, oldest first, from the ledger alone.

use clap::Args;

use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::Exit;
use crate::cli::explain::{Happening, second};
use crate::cli::print::counted;
use crate::cli::reference::Reference;
use crate::ledger::Ledger;

/// How many are shown: the newest.
const EVENTS: usize = 1_000;

/// The arguments of `history`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync history hubspot:12345
  propsync history salesforce:0035g00000ABCDE --json")]
pub struct History {
    /// The record
    #[arg(value_name = "NS:ID")]
    pub reference: Reference,
}

/// Reads the ledger, also beside a process that writes it; asks no upstream.
pub async fn run(global: &Global, arguments: &History) -> Report {
    match history(global, arguments).await {
        Ok(report) => report,
        Err(failure) => Report::failed("history", failure),
    }
}

async fn history(global: &Global, arguments: &History) -> Result<Report, Failure> {
    let config = global.configured_without_secrets()?;
    let ledger = Ledger::open_for_reading(&config.ledger).await.map_err(|error| Failure::from(&error))?;
    let key = arguments.reference.key(&config);
    let events = ledger.events(key.clone(), EVENTS).await.map_err(|error| Failure::from(&error));
    ledger.close().await;
    let told: Vec<Happening> = events?.into_iter().rev().filter_map(Happening::of).collect();
    if told.is_empty() {
        let message = "the ledger has nothing to tell of such a record";
        let remedy = "check the spelling; propsync explain says what is known of it";
        return Err(Failure::new(Exit::Failed, "unknown_record", message, remedy));
    }
    let lines: Vec<String> = told.iter().map(|event| format!("{}  {}", second(event.at), event.what)).collect();
    let summary = format!("{key}: {}", counted(told.len() as u64, "decision"));
    let (text, result) = (lines.join("\n"), data(&told));
    Ok(Report { command: "history", exit: Exit::Fine, summary, result, text, error: None })
}
