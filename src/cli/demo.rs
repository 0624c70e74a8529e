//! `propsync demo`: the whole way without an account. Prints two passes and the check against the sandbox's own truth.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use clap::{Args, value_parser};
use serde::Serialize;

use crate::assembly::{Sockets, assemble};
use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::{Exit, signalled};
use crate::cli::print::{counted, grouped};
use crate::cli::sandbox::{ledger_in, own_folder, program, unserved, unwritten, write_config};
use crate::cli::sync::{Counting, SyncReport, books};
use crate::cli::wait::spoken;
use crate::clock::{Clock, Dice};
use crate::config::load;
use crate::domain::identity::RefKey;
use crate::ledger::Ledger;
use crate::sandbox::serve::Served;
use crate::sandbox::{Changes, Sandbox, Settings, truth};
use crate::sync::engine::Source;

/// The arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync demo
  propsync demo --contacts 10000 --seed 7
  propsync demo --serve              leave the look-alikes running, to try the other commands on")]
pub struct Demo {
    /// How many people each of the three CRMs holds
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub contacts: u32,
    /// The same seed makes the same people and the same faults
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Go on serving when the check is done, until Ctrl-C
    #[arg(long)]
    pub serve: bool,
}

/// What the demonstration did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DemoReport {
    /// The first pass: everyone.
    pub backfill: SyncReport,
    /// The second, after changes in the CRMs.
    pub changes: SyncReport,
    /// What happened in the CRMs between the two, in a sentence.
    pub between: String,
    /// What was compared with the sandbox's own truth.
    pub checks: Vec<Check>,
    /// Records that must be in Propstreet and are not.
    pub missing: usize,
    /// People who are in Propstreet more than once.
    pub duplicates: usize,
    /// What a reader must know to judge the figures, a sentence each.
    pub notes: Vec<String>,
    /// Commands to try on what the demonstration leaves behind, and where that lies.
    pub next: Vec<String>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What must hold.
    pub claim: String,
    /// Whether it does.
    pub holds: bool,
    /// What was found.
    pub found: String,
}

/// The look-alike's limit in the demonstration; the real one allows 600.
const REQUESTS_PER_MINUTE: u32 = 6_000_000;
/// What the look-alike of Pipedrive allows a day there, so that a first sync of a million people stays within the usual
/// share of it; the real one allows 30,000 tokens and more.
const TOKENS_A_DAY: u64 = 30_000_000;
/// One change in the CRMs for so many people.
const PEOPLE_A_CHANGE: usize = 20;
/// By how much the look-alikes' clocks are put forward after the changes: a poll leaves alone what is younger than a
/// minute, because a CRM may still be committing it, and nobody wants to watch a demonstration wait.
const LATER: Duration = Duration::from_secs(600);

/// Starts the look-alikes, syncs twice with changes between, and compares Propstreet with what must be there.
pub async fn run(global: &Global, arguments: &Demo) -> Report {
    let shown = tokio::select! {
        shown = demonstrate(global, arguments) => shown,
        signal = signalled() => Err(ended(signal)),
    };
    match shown {
        Ok((report, served)) if arguments.serve => serve_on(global, report, served).await,
        Ok((report, _)) => report,
        Err(failure) => Report::failed("demo", failure),
    }
}

/// Gives the answer and goes on serving until a signal, which is how this ends, says so.
async fn serve_on(global: &Global, report: Report, mut served: Served) -> Report {
    let shown = global.manner().deliver(&report);
    let exit = tokio::select! {
        ended = served.wait() => match ended {
            Ok(()) => shown,
            Err(error) => return Report::failed("demo", unserved(&error)),
        },
        signal = signalled() => signal.unwrap_or(Exit::Terminated),
    };
    Report { exit, ..Report::silent("demo") }
}

fn ended(signal: io::Result<Exit>) -> Failure {
    let exit = signal.unwrap_or(Exit::Terminated);
    Failure::new(exit, "interrupted", "ended by a signal", "run it again: each demonstration starts anew")
}

async fn demonstrate(global: &Global, arguments: &Demo) -> Result<(Report, Served), Failure> {
    let settings = Settings {
        seed: arguments.seed,
        contacts: arguments.contacts as usize,
        requests_per_minute: REQUESTS_PER_MINUTE,
        ..Settings::default()
    };
    let sandbox = Sandbox::new(settings);
    sandbox.pipedrive.with_rates(|rates| rates.daily = Some(TOKENS_A_DAY));
    let served = sandbox.serve(None).await.map_err(|error| unserved(&error))?;
    let folder = own_folder("propsync-demo").map_err(|error| unwritten(&error))?;
    let file = write_config(&folder, &served).map_err(|error| unwritten(&error))?;

    let backfill = sync(global, &file).await?;
    let changes = sandbox.change((arguments.contacts as usize / PEOPLE_A_CHANGE).max(1));
    sandbox.clock.put_forward(LATER);
    let again = sync(global, &file).await?;
    let (found, held) = (sandbox.check(), quarantined(&folder).await?);
    let report = DemoReport {
        between: between(&changes),
        checks: checks(&found, held.len(), &backfill, &again),
        missing: found.missing.len(),
        duplicates: found.duplicates.len(),
        notes: notes(arguments),
        next: next(arguments, &folder, &file, &held),
        backfill,
        changes: again,
    };
    Ok((report.answer(), served))
}

/// One sync as `propsync sync` does it, from the same configuration file.
async fn sync(global: &Global, file: &Path) -> Result<SyncReport, Failure> {
    let config = load::load(file, &BTreeMap::new()).map_err(|error| Failure::from(&error))?;
    let parts = assemble(&config, &Sockets, Clock::system(), Dice::system()).await.map_err(|e| Failure::from(&e))?;
    let sources: Vec<&Source> = parts.sources.iter().collect();
    let line = Counting::new(global.manner().progress());
    let reports = parts.engine.sync(&sources, Duration::from_secs(30), &line).await;
    parts.engine.ledger.close().await;
    Ok(SyncReport::of(reports))
}

/// The records the ledger holds in quarantine.
async fn quarantined(folder: &Path) -> Result<Vec<RefKey>, Failure> {
    let ledger = Ledger::open_for_reading(&ledger_in(folder)).await.map_err(|error| Failure::from(&error))?;
    let held = ledger.quarantined(None, usize::MAX).await.map_err(|error| Failure::from(&error));
    ledger.close().await;
    Ok(held?.into_iter().map(|row| row.key).collect())
}

fn checks(found: &truth::Report, held: usize, backfill: &SyncReport, again: &SyncReport) -> Vec<Check> {
    let balanced =
        |report: &SyncReport| report.sources.iter().all(|source| source.counts.balanced() && source.complete);
    let listed = |refs: &[String]| match refs {
        [] => String::new(),
        refs => format!(" ({})", refs.iter().take(5).cloned().collect::<Vec<_>>().join(", ")),
    };
    vec![
        Check {
            claim: "everyone is there once".to_owned(),
            holds: found.is_clean(),
            found: format!(
                "expected {}, found {}, missing {}{}, duplicates {}{}{}",
                grouped(found.expected as u64),
                grouped(found.found as u64),
                found.missing.len(),
                listed(&found.missing),
                found.duplicates.len(),
                listed(&found.duplicates),
                if found.wrong.is_empty() { String::new() } else { format!(", wrong{}", listed(&found.wrong)) },
            ),
        },
        Check {
            claim: "who must not be guessed is put aside".to_owned(),
            holds: held == found.expected_quarantined,
            found: format!("expected {}, found {}", found.expected_quarantined, held),
        },
        Check {
            claim: "the books balance, and everything was read".to_owned(),
            holds: balanced(backfill) && balanced(again),
            found: "read = created + adopted + linked + updated + unchanged + skipped + quarantined + deferred"
                .to_owned(),
        },
    ]
}

fn between(changes: &Changes) -> String {
    let Changes { added, met_again, edited } = *changes;
    format!(
        "{} added to a CRM, {} met again in another, {} edited",
        counted(added as u64, "newcomer"),
        grouped(met_again as u64),
        grouped(edited as u64),
    )
}

fn notes(arguments: &Demo) -> Vec<String> {
    let people = u64::from(arguments.contacts);
    vec![
        "on_change = \"ignore\" is the default: who was edited is skipped, and Propstreet keeps what it has".to_owned(),
        format!(
            "these look-alikes allow {} requests a minute; Propstreet allows 600, so {} people a CRM would take {}",
            grouped(u64::from(REQUESTS_PER_MINUTE)),
            grouped(people),
            spoken(people * 3 * 60 / 600),
        ),
        format!("the look-alikes' clocks were put {} forward between the passes", spoken(LATER.as_secs())),
    ]
}

/// Commands that work as they stand, and where all lies.
fn next(arguments: &Demo, folder: &Path, file: &Path, held: &[RefKey]) -> Vec<String> {
    let program = program();
    let file = file.display();
    let mut next = vec![format!("{program} status --config {file}")];
    next.extend(held.first().map(|key| format!("{program} explain {key} --config {file}")));
    if arguments.serve {
        next.push(format!("{program} sync --config {file}      the look-alikes go on until Ctrl-C"));
    }
    next.push(format!("the ledger lies in {}", ledger_in(folder).display()));
    next
}

impl DemoReport {
    /// The answer: fine if every check holds. Quarantine that the seed foresees is among the checks and no fault.
    #[must_use]
    pub fn answer(&self) -> Report {
        let failed = self.checks.iter().filter(|check| !check.holds).count() as u64;
        let all = self.checks.len() as u64;
        let checks = match failed {
            0 => format!("{} hold", counted(all, "check")),
            _ => format!("{failed} of {} failed", counted(all, "check")),
        };
        let summary = format!("{checks}: missing {}, duplicates {}", self.missing, self.duplicates);
        let exit = if failed == 0 { Exit::Fine } else { Exit::Failed };
        Report { command: "demo", exit, text: self.text(&summary), summary, result: data(self), error: None }
    }

    fn text(&self, summary: &str) -> String {
        let mut lines = vec!["First pass, everyone:".to_owned(), books(&self.backfill.sources), String::new()];
        lines.push(format!("Second pass, after changes in the CRMs ({}):", self.between));
        lines.extend([books(&self.changes.sources), String::new()]);
        lines.push("Compared with what the look-alikes know:".to_owned());
        lines.extend(self.checks.iter().map(|check| {
            format!("  {}  {}: {}", if check.holds { "ok    " } else { "FAILED" }, check.claim, check.found)
        }));
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.extend([String::new(), format!("{summary}. What to try next:")]);
        lines.extend(self.next.iter().map(|step| format!("  {step}")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_failed_check_fails_the_demonstration() {
        let check = |claim: &str, holds| Check { claim: claim.to_owned(), holds, found: "1,000 of 1,000".to_owned() };
        let mut report = DemoReport {
            backfill: SyncReport::default(),
            changes: SyncReport::default(),
            between: "1 newcomer".to_owned(),
            checks: vec![check("every person is there once", true)],
            missing: 0,
            duplicates: 0,
            notes: vec!["this look-alike is fast".to_owned()],
            next: vec!["propsync status".to_owned()],
        };
        assert_eq!(report.answer().exit, Exit::Fine);
        report.checks.push(check("nobody was changed", false));
        assert_eq!(report.answer().exit, Exit::Failed);
        assert_snapshot!(report.answer().text, @"
        First pass, everyone:
        source  read  crm calls  propstreet calls  seconds  state

        Second pass, after changes in the CRMs (1 newcomer):
        source  read  crm calls  propstreet calls  seconds  state

        Compared with what the look-alikes know:
          ok      every person is there once: 1,000 of 1,000
          FAILED  nobody was changed: 1,000 of 1,000
        note: this look-alike is fast

        1 of 2 checks failed: missing 0, duplicates 0. What to try next:
          propsync status
        ");
    }
}
