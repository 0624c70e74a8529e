//! `propsync forget`: erases one person from the ledger, and says what it did not touch.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::Exit;
use crate::cli::reference::Reference;
use crate::clock::{Clock, Dice};
use crate::ledger::Ledger;
use crate::ledger::forget::Forgotten;

/// The arguments of `forget`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync forget hubspot:12345
  propsync forget hubspot:12345 --yes   without being asked")]
pub struct Forget {
    /// The record of the person
    #[arg(value_name = "NS:ID")]
    pub reference: Reference,
    /// Do not ask first
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Serialize)]
struct Answer {
    /// The references that were erased.
    forgotten: Vec<String>,
    /// Whether it had been forgotten before.
    before: bool,
    /// The contacts that a person must delete in Propstreet.
    contacts: Vec<String>,
    /// Copies of the ledger that still hold what was erased.
    backups: Vec<PathBuf>,
}

/// Takes the ledger's lock: nothing may be written about this person meanwhile.
pub async fn run(global: &Global, arguments: &Forget) -> Report {
    match forget(global, arguments).await {
        Ok(report) => report,
        Err(failure) => Report::failed("forget", failure),
    }
}

async fn forget(global: &Global, arguments: &Forget) -> Result<Report, Failure> {
    let config = global.configured_without_secrets()?;
    let (clock, dice) = (Clock::system(), Dice::system());
    if !config.ledger.is_file() {
        return Err(Failure::from(&crate::ledger::error::LedgerError::NotThere(config.ledger)));
    }
    let key = arguments.reference.key(&config);
    let ledger = Ledger::open_for_reading(&config.ledger).await.map_err(|error| Failure::from(&error))?;
    let held = ledger.to_forget(key.clone()).await.map_err(|error| Failure::from(&error));
    ledger.close().await;
    // A namespace that was mistyped would leave everything where it is.
    if !held?.known {
        arguments.reference.source(&config)?;
    }
    confirmed(global, arguments, &key.to_string())?;
    let ledger = Ledger::open(&config.ledger, clock.now()).await.map_err(|error| Failure::from(&error))?;
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&dice.seed().to_le_bytes());
    salt[8..].copy_from_slice(&dice.seed().to_le_bytes());
    let forgotten = ledger.forget(key.clone(), salt, clock.now()).await.map_err(|error| Failure::from(&error));
    ledger.close().await;
    Ok(answer(forgotten?, backups(&config.ledger)))
}

/// Asks on a terminal; elsewhere only the flag will do.
fn confirmed(global: &Global, arguments: &Forget, key: &str) -> Result<(), Failure> {
    let remedy = "run it again and answer yes, or add --yes";
    let refused = |message: &str| Err(Failure::new(Exit::Usage, "not_confirmed", message, remedy));
    if arguments.yes {
        return Ok(());
    }
    if global.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return refused("what is forgotten cannot be brought back, and nobody was there to confirm it");
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "Erase all that the ledger holds about {key}? It cannot be undone. [yes/no] ");
    match asked.and_then(|()| io::stdin().read_line(&mut answer)) {
        Ok(_) if answer.trim().eq_ignore_ascii_case("yes") => Ok(()),
        _ => refused("not confirmed: nothing was erased"),
    }
}

fn answer(forgotten: Forgotten, backups: Vec<PathBuf>) -> Report {
    let Forgotten { keys, contacts, before, known } = forgotten;
    let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
    let who = names.join(", ");
    let summary = match (before, known) {
        (true, _) => format!("{who} was forgotten before"),
        (false, true) => format!("{who} is forgotten, and will not be created again"),
        (false, false) => format!("the ledger held nothing about {who}; it will not be created"),
    };
    let mut lines = vec![summary.clone()];
    lines.extend(contacts.iter().map(|id| format!("    delete in Propstreet by hand: contact {id}")));
    lines.push("    not touched: the CRM, Propstreet, and backups of the ledger".to_owned());
    lines.extend(
        backups.iter().map(|path| format!("    remove this copy when you no longer need it: {}", path.display())),
    );
    let text = lines.join("\n");
    let result = data(&Answer { forgotten: names, before, contacts, backups });
    Report { command: "forget", exit: Exit::Fine, summary, result, text, error: None }
}

/// The copies that migrations left beside the ledger.
fn backups(ledger: &Path) -> Vec<PathBuf> {
    let Some(name) = ledger.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let folder = ledger.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beside = std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_copy = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str());
        file.is_some_and(|file| file.starts_with(&format!("{name}.before-")))
    };
    let mut copies: Vec<PathBuf> = beside.filter(is_copy).collect();
    copies.sort();
    copies
}
