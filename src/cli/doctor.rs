//! `propsync doctor`: is everything there that a sync needs? Reads the configuration, the ledger and the upstreams, and
//! writes nowhere: it makes no ledger and binds none. Only a refresh token that a login replaces is kept, as in a sync.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use futures_util::future::{BoxFuture, join_all};
use rustix::fs::{Access, access, statvfs};
use serde::Serialize;

use crate::assembly::{self, Sockets, Upstreams, ref_rules};
use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::Exit;
use crate::cli::print::{counted, grouped};
use crate::cli::wait::spoken;
use crate::clock::{Clock, Dice};
use crate::config::load::{self, LoadError};
use crate::config::tree::Config;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::finding::Weight;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::domain::record::Window;
use crate::domain::told::Fault;
use crate::ledger::Ledger;
use crate::ledger::error::LedgerError;
use crate::sync::engine::{Companies, Source};
use crate::sync::report::Stop;

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync doctor
  propsync doctor --json
  propsync doctor --config /etc/propsync/propsync.toml   before the first sync")]
pub struct Doctor {}

/// How long an upstream may take for one check.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long Propstreet is waited for while it is down.
const UNTIL_IT_ANSWERS: Duration = Duration::from_secs(5);
/// A clock that differs by more is wrong.
const CLOCK_TOLERANCE: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// Free space below which the ledger may not get through a day, and below which not through a pass.
const LITTLE_SPACE: u64 = 1 << 30;
const NO_SPACE: u64 = 64 << 20;
/// How far back people are read, to see whether they can be.
const A_LOOK: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// All that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DoctorReport {
    /// One entry a finding, and one for each thing that is well.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// `configuration`, `ledger`, `propstreet`, or a source's name.
    pub subject: String,
    /// How it is.
    pub verdict: Verdict,
    /// What is so, in one line.
    pub what: String,
    /// What to do about it, unless all is well.
    pub remedy: Option<String>,
    /// How the program ends for it.
    #[serde(skip)]
    pub exit: Exit,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and not as somebody may expect.
    Note,
    /// It keeps a sync from going well.
    Fault,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Fault => "fault",
        }
    }
}

/// Looks at everything.
pub async fn run(global: &Global) -> Report {
    let checks = examine(global).await;
    DoctorReport { checks }.answer()
}

async fn examine(global: &Global) -> Vec<Check> {
    let file = match global.file() {
        Ok(file) => file,
        Err(failure) => return vec![Check::failed("configuration", &failure)],
    };
    let (clock, dice) = (Clock::system(), Dice::system());
    match load::load(&file, &load::environment()) {
        Ok(config) => {
            let (mut checks, ledger) = ledger(&config.ledger, clock.now()).await;
            checks.insert(0, right(&config));
            checks.extend(upstreams(&config, ledger.as_ref(), &clock, &dice).await);
            if let Some(ledger) = ledger {
                ledger.close().await;
            }
            checks
        }
        Err(error) => {
            let mut checks = wrong(&error);
            // What is wrong may be a secret alone, and then the ledger can be looked at.
            if let Ok(config) = load::load_without_secrets(&file, &load::environment()) {
                let (ledgers, opened) = ledger(&config.ledger, clock.now()).await;
                checks.extend(ledgers);
                if let Some(ledger) = opened {
                    ledger.close().await;
                }
            }
            checks
        }
    }
}

fn right(config: &Config) -> Check {
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    let sources = counted(names.len() as u64, "source");
    Check::ok("configuration", format!("{} is right: {sources} ({})", config.file.display(), names.join(", ")))
}

fn wrong(error: &LoadError) -> Vec<Check> {
    let LoadError::Faulty(problems) = error else {
        return vec![Check::failed("configuration", &Failure::from(error))];
    };
    let fault = |problem| Failure::new(Exit::Usage, "config_invalid", problems.line(problem), problem.remedy.clone());
    problems.list.iter().map(|problem| Check::failed("configuration", &fault(problem))).collect()
}

/// The ledger as it lies there, and open for reading where that can be.
async fn ledger(path: &Path, now: Timestamp) -> (Vec<Check>, Option<Ledger>) {
    const LEDGER: &str = "ledger";
    let mut checks = Vec::new();
    let opened = match Ledger::open_for_reading(path).await {
        Ok(ledger) => {
            checks.push(held_by(&ledger, path, now).await);
            Some(ledger)
        }
        Err(error @ (LedgerError::NotThere(_) | LedgerError::Older { .. })) => {
            checks.push(Check::note(LEDGER, error.to_string(), error.remedy()));
            None
        }
        Err(error) => {
            checks.push(Check::failed(LEDGER, &Failure::from(&error)));
            None
        }
    };
    match Ledger::holder(path).await {
        Ok(Some(holder)) => checks.push(Check::ok(LEDGER, format!("in use by {holder}"))),
        Ok(None) => {}
        Err(error) => checks.push(Check::failed(LEDGER, &Failure::from(&error))),
    }
    checks.push(folder(path));
    (checks, opened)
}

async fn held_by(ledger: &Ledger, path: &Path, now: Timestamp) -> Check {
    match ledger.summary(now).await {
        Ok(summary) => {
            let settled = summary.sources.values().map(|source| source.settled + source.waiting_in_propstreet).sum();
            Check::ok("ledger", format!("{} can be read: {} in Propstreet", path.display(), counted(settled, "record")))
        }
        Err(error) => Check::failed("ledger", &Failure::from(&error)),
    }
}

/// The folder that the ledger, its log and its copies lie in.
fn folder(ledger: &Path) -> Check {
    let folder = ledger.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let shown = folder.display();
    let fault = |what: String, remedy: &str| {
        Check::failed("ledger", &Failure::new(Exit::Environment, "ledger_folder", what, remedy))
    };
    if let Err(cause) = access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        let cause = std::io::Error::from(cause);
        let remedy = "create the folder, or give it to the user that runs propsync; ledger.path names it";
        return fault(format!("nothing can be written in {shown}: {cause}"), remedy);
    }
    let free = match statvfs(folder) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(cause) => {
            let what = format!("the disk of {shown} does not say what is free: {}", std::io::Error::from(cause));
            return Check::note("ledger", what, "check its health");
        }
    };
    let what = format!("{} MiB free in {shown}", grouped(free >> 20));
    match free {
        ..NO_SPACE => fault(what, "make room on the disk: without it the ledger stops, and every sync with it"),
        NO_SPACE..LITTLE_SPACE => Check::note("ledger", what, "make room on the disk before it is full"),
        _ => Check::ok("ledger", what),
    }
}

/// Asks every upstream, side by side.
async fn upstreams(config: &Config, ledger: Option<&Ledger>, clock: &Clock, dice: &Dice) -> Vec<Check> {
    let Upstreams { propstreet, sources } = match assembly::connect(config, &Sockets, clock, dice) {
        Ok(upstreams) => upstreams,
        Err(error) => return vec![Check::failed("network", &Failure::from(&error))],
    };
    let tenant = async {
        let subject = "propstreet";
        let (mut checks, is) = (Vec::new(), propstreet.binding());
        match patiently(propstreet.recovered(UNTIL_IT_ANSWERS)).await {
            Ok(()) => {
                checks.push(Check::ok(subject, format!("answers, and takes the login: {is}")));
                if let Some((subject, reference)) = nobodys_company(config) {
                    checks.extend(companies(patiently(propstreet.find_company(&subject, &reference)).await.err()));
                }
            }
            Err(trouble) => checks.push(Check::failed(subject, &Failure::from(&trouble))),
        }
        checks.extend(bound(ledger, subject, subject.to_owned(), is).await);
        checks.extend(clocks(subject, propstreet.server_now(), clock.now()));
        checks
    };
    let crms = join_all(sources.iter().map(|source| async {
        let mut checks = match look(source, ledger).await {
            Ok(checks) => checks,
            Err(trouble) => vec![Check::failed(&source.name, &Failure::from(&trouble))],
        };
        checks.extend(clocks(&source.name, source.crm.server_now(), clock.now()));
        checks
    }));
    let (mut checks, crms) = futures_util::join!(tenant, crms);
    checks.extend(crms.into_iter().flatten());
    checks
}

/// A company that nobody has, to ask for where a source links employers: what Propstreet answers says whether it may be asked.
fn nobodys_company(config: &Config) -> Option<(RefKey, ExternalRef)> {
    let source = config.sources.iter().find(|source| source.companies == Companies::Link)?;
    let reference = ExternalRef { namespace: source.namespace.clone(), id: "propsync-doctor".to_owned() };
    Some((ref_rules(config).key(&reference.namespace, &reference.id), reference))
}

/// That Propstreet refuses calls on companies, if it does.
fn companies(trouble: Option<Trouble>) -> Option<Check> {
    let Some(Trouble::Forbidden(why)) = trouble else { return None };
    let what = format!("refuses calls on companies ({why}): contacts go on without their employers");
    let remedy = "give Propstreet's client the right to companies and links, or set companies = \"off\"";
    Some(Check::note("propstreet", what, remedy))
}

/// What a source says of itself; the first trouble ends it, because what follows would only repeat it.
async fn look(source: &Source, ledger: Option<&Ledger>) -> Result<Vec<Check>, Trouble> {
    let (name, crm) = (source.name.as_str(), &source.crm);
    let account = patiently(crm.account()).await?;
    let mut checks = vec![Check::ok(name, format!("answers, and takes the login: {} {}", source.kind, account.id))];
    let (subject, is) = source.binding(&account);
    checks.extend(bound(ledger, name, subject, is).await);
    let findings = patiently(crm.inspect()).await?;
    let unfit = findings.iter().any(|finding| finding.weight == Weight::Fault);
    for finding in findings {
        checks.push(match finding.weight {
            Weight::Note => Check::note(name, finding.what, &finding.remedy),
            Weight::Fault => {
                Check::failed(name, &Failure::new(Exit::Environment, "unfit", finding.what, finding.remedy))
            }
        });
    }
    // Rights and mapped fields that only a reading asks for.
    let read = async {
        let hi = patiently(crm.bound()).await?;
        patiently(crm.changes(Window { lo: hi - A_LOOK, hi }, None)).await
    };
    match read.await {
        // A fault has said already what keeps a sync from reading, with its remedy: HubSpot answers all the same.
        _ if unfit => {}
        Ok(_) => checks.push(Check::ok(name, "people can be read as they are mapped".to_owned())),
        Err(trouble) => checks.push(Check::failed(name, &Failure::from(&trouble))),
    }
    Ok(checks)
}

async fn patiently<T>(asked: BoxFuture<'_, Result<T, Trouble>>) -> Result<T, Trouble> {
    let silent = || Trouble::Outage(format!("no answer within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(silent()))
}

/// Whether the ledger was made with this account; what it has not met yet, it will be bound to by a sync.
async fn bound(ledger: Option<&Ledger>, name: &str, subject: String, is: String) -> Option<Check> {
    match ledger?.bound(subject.clone()).await {
        Ok(Some(was)) if was != is => {
            Some(Check::failed(name, &Failure::from(Fault::from(&Stop::Rebound { subject, was, is }))))
        }
        Ok(_) => None,
        Err(error) => Some(Check::failed(name, &Failure::from(&error))),
    }
}

/// Whether this machine's clock is the server's.
fn clocks(name: &str, theirs: Option<Timestamp>, ours: Timestamp) -> Option<Check> {
    let ahead = ours - theirs?;
    let side = if ahead > chrono::TimeDelta::zero() { "ahead of" } else { "behind" };
    let by = spoken(ahead.num_seconds().unsigned_abs());
    let what = format!("this machine's clock is {by} {side} the server's");
    let remedy =
        "set the clock (timedatectl set-ntp true): logins by signed assertion need it, and so does every time shown";
    (ahead.abs() > CLOCK_TOLERANCE).then(|| Check::note(name, what, remedy))
}

impl Check {
    fn ok(subject: &str, what: String) -> Self {
        Self { subject: subject.to_owned(), verdict: Verdict::Ok, what, remedy: None, exit: Exit::Fine }
    }

    fn note(subject: &str, what: String, remedy: &str) -> Self {
        Self { verdict: Verdict::Note, remedy: Some(remedy.to_owned()), ..Self::ok(subject, what) }
    }

    fn failed(subject: &str, failure: &Failure) -> Self {
        let Failure { message, remedy, exit, .. } = failure;
        let check = Self::ok(subject, message.clone());
        Self { verdict: Verdict::Fault, remedy: Some(remedy.clone()), exit: *exit, ..check }
    }
}

impl DoctorReport {
    /// The answer: fine unless there is a fault.
    #[must_use]
    pub fn answer(&self) -> Report {
        let count = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count() as u64;
        let (faults, notes) = (count(Verdict::Fault), count(Verdict::Note));
        let exit = self.checks.iter().map(|check| check.exit).fold(Exit::Fine, Exit::worse);
        let summary = format!("{}, {}", counted(faults, "fault"), counted(notes, "note"));
        let remedy = "mend what is listed, then look again: propsync doctor";
        Report {
            command: "doctor",
            exit,
            text: self.text(),
            result: data(self),
            error: (faults > 0).then(|| Failure::new(exit, "faults_found", summary.clone(), remedy)),
            summary,
        }
    }

    /// A line a finding, its remedy below it.
    fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.subject.chars().count()).max().unwrap_or_default();
        let lines = self.checks.iter().flat_map(|Check { subject, verdict, what, remedy, .. }| {
            let first = format!("{:<5}  {subject:<width$}  {what}", verdict.as_str());
            let fix = remedy.as_ref().map(|remedy| format!("{:<width$}         fix: {remedy}", ""));
            [Some(first), fix].into_iter().flatten()
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use insta::{assert_json_snapshot, assert_snapshot};

    use super::*;
    use crate::cli::envelope::parsed;

    #[test]
    fn a_line_a_finding_with_its_remedy_below() {
        let refused = Failure::from(&Trouble::Credential("401".to_owned()));
        let ok = Check::ok("ledger", "9,000 MiB free in /var/lib/propsync".to_owned());
        let note = Check::note("hubspot", "a formula moves no stamp".to_owned(), "the daily sweep finds it");
        let checks = vec![ok, Check::failed("propstreet", &refused), note.clone()];
        let answer = DoctorReport { checks }.answer();
        assert_eq!(answer.exit, Exit::Environment);
        assert_snapshot!(answer.text, @"
        ok     ledger      9,000 MiB free in /var/lib/propsync
        fault  propstreet  credential refused: 401
                           fix: mend what the message names, or else renew the secret named in the configuration; then run it again
        note   hubspot     a formula moves no stamp
                           fix: the daily sweep finds it
        ");
        assert_json_snapshot!(parsed(&answer)["result"]["checks"][1], @r#"
        {
          "remedy": "mend what the message names, or else renew the secret named in the configuration; then run it again",
          "subject": "propstreet",
          "verdict": "fault",
          "what": "credential refused: 401"
        }
        "#);
        let fine = DoctorReport { checks: vec![note] }.answer();
        assert_eq!((fine.exit, fine.error, fine.summary.as_str()), (Exit::Fine, None, "0 faults, 1 note"));
    }

    #[test]
    fn a_wrong_configuration_weighs_more_than_a_silent_server() {
        let wrong = Failure::new(Exit::Usage, "config_invalid", "p.toml:1:1: unknown key", "remove it");
        let down = Failure::from(&Trouble::Outage("refused".to_owned()));
        let checks = [wrong, down].map(|failure| Check::failed("x", &failure)).to_vec();
        assert_eq!(DoctorReport { checks }.answer().exit, Exit::Usage);
    }

    #[test]
    fn clocks_may_differ_by_a_minute() {
        let noon = Timestamp::from_timestamp(1_800_000_000, 0).expect("a time");
        let told =
            |seconds| clocks("x", Some(noon), noon + chrono::TimeDelta::seconds(seconds)).map(|check| check.what);
        assert_eq!((told(60), told(-60), clocks("x", None, noon)), (None, None, None));
        assert_eq!(told(61).as_deref(), Some("this machine's clock is 1 min ahead of the server's"));
        assert_eq!(told(-7200).as_deref(), Some("this machine's clock is 2 h 0 min behind the server's"));
    }

    #[test]
    fn a_folder_must_be_there_and_take_files() {
        let room = tempfile::tempdir().expect("a folder");
        assert_ne!(folder(&room.path().join("ledger.sqlite")).exit, Exit::Environment);
        let missing = folder(&room.path().join("nowhere/ledger.sqlite"));
        assert_eq!((missing.verdict, missing.exit), (Verdict::Fault, Exit::Environment));
        assert!(missing.what.contains("No such file"), "{missing:?}");
    }
}
