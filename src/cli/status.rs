//! `propsync status`: how every upstream is. Prints what the ledger says; the age of the last good poll comes first,
//! because silence is the worst fault.

use std::collections::{BTreeMap, HashSet};

use clap::Args;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::Exit;
use crate::cli::print::{counted, grouped, table};
use crate::cli::wait::spoken;
use crate::clock::Clock;
use crate::config::tree::{Config, SourceConfig};
use crate::domain::Timestamp;
use crate::domain::pass::PassKind;
use crate::ledger::Ledger;
use crate::ledger::error::LedgerError;
use crate::ledger::passes::{PassRow, PassState};
use crate::ledger::summary::SourceSummary;
use crate::sync::engine::Companies;

/// The arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync status
  propsync status --json")]
pub struct Status {}

/// How the installation is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// When the question was asked.
    pub at: Timestamp,
    /// One entry a source.
    pub sources: Vec<SourceStatus>,
    /// Contacts of Propstreet that the ledger's index knows.
    pub indexed: u64,
    /// What to do, each a sentence that ends in a command.
    pub next: Vec<String>,
}

/// How one source is.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SourceStatus {
    /// The source.
    pub name: String,
    /// When it was last read to the end.
    pub last_good: Option<Timestamp>,
    /// Up to where the CRM is known.
    pub watermark: Option<Timestamp>,
    /// When the newest pass began, if it has not ended: it is under way, or its process died.
    pub unfinished: Option<Timestamp>,
    /// Why the newest pass was not green, in one line.
    pub trouble: Option<String>,
    /// Records that are in Propstreet.
    pub settled: u64,
    /// Records that need a person, by reason.
    pub quarantined: BTreeMap<String, u64>,
    /// The reference of the one that has waited longest.
    pub longest_quarantined: Option<String>,
    /// Records that will be tried again by themselves.
    pub deferred: u64,
    /// Of these, changes that are more than may be written within a day.
    pub guarded: u64,
    /// When the next of them is due.
    pub next_try: Option<Timestamp>,
    /// Records that changed in the CRM since they were sent.
    pub drifted: u64,
    /// Records that were sent under an older map.
    pub old_mapping: u64,
    /// Records whose contact's id is not in the CRM's field yet, the refused among them.
    pub write_backs: u64,
    /// Those whose id the CRM would not take.
    pub write_backs_refused: u64,
    /// The reference of one of them.
    pub refused_write_back: Option<String>,
    /// Contacts that wait for their employer.
    pub employers_waiting: u64,
    /// What some of them wait for.
    pub employers_wait_for: Option<String>,
    /// Requests to the CRM within the last day.
    pub crm_requests_24h: u64,
    /// Records that have left the CRM.
    pub gone: u64,
    /// Records that have left the CRM, or that the filter keeps out, more at once than may without a person's word.
    pub held: u64,
    /// Records that the filter keeps out.
    pub filtered: u64,
    /// Records that an earlier filter let in, and that were not looked at since.
    pub old_filter: u64,
    /// Whether contacts follow their records.
    #[serde(skip)]
    pub follows: bool,
}

/// Reads the ledger, also beside a process that writes it; asks no upstream.
pub async fn run(global: &Global) -> Report {
    match status(global).await {
        Ok(report) => report.answer(),
        Err(failure) => Report::failed("status", failure),
    }
}

async fn status(global: &Global) -> Result<StatusReport, Failure> {
    let config = global.configured_without_secrets()?;
    let at = Clock::system().now();
    let ledger = Ledger::open_for_reading(&config.ledger).await.map_err(|error| Failure::from(&error))?;
    let report = read(&config, &ledger, at).await.map_err(|error| Failure::from(&error));
    ledger.close().await;
    report
}

async fn read(config: &Config, ledger: &Ledger, at: Timestamp) -> Result<StatusReport, LedgerError> {
    let mut summary = ledger.summary(at).await?;
    let mut sources = Vec::new();
    for source in &config.sources {
        let counts = summary.sources.remove(&source.name).unwrap_or_default();
        sources.push(source_status(source, counts, ledger, at).await?);
    }
    let mut said = HashSet::new();
    // What stops all sources needs to be said once.
    let next = sources.iter().flat_map(SourceStatus::next).filter(|step| said.insert(step.clone())).collect();
    Ok(StatusReport { at, sources, indexed: summary.index_size, next })
}

async fn source_status(
    source: &SourceConfig,
    counts: SourceSummary,
    ledger: &Ledger,
    at: Timestamp,
) -> Result<SourceStatus, LedgerError> {
    let passes = ledger.last_passes(&source.name).await?;
    let newest = passes.iter().max_by_key(|pass| pass.pass);
    let reading = |pass: &&PassRow| pass.green() && matches!(pass.kind, PassKind::Poll | PassKind::Backfill);
    let current = source.mapper.version();
    let old = counts.by_mapping.iter().filter(|(version, _)| **version != current);
    // Edited, and not synced since: nobody was looked at under it.
    let same_filter = ledger.filter_of(&source.name).await? == source.mapper.filter_version();
    let longest = ledger.quarantined(Some(source.name.clone()), 1).await?;
    let (employers_waiting, employers_wait_for) = match source.companies {
        Companies::Link => ledger.employers_waiting(&source.name).await?,
        Companies::Off => (0, None),
    };
    Ok(SourceStatus {
        employers_waiting,
        employers_wait_for,
        name: source.name.clone(),
        last_good: passes.iter().filter(reading).filter_map(|pass| pass.ended).max(),
        watermark: ledger.cursor(&source.name, PassKind::Poll).await?.watermark,
        unfinished: newest.filter(|pass| pass.state == PassState::Open).map(|pass| pass.began),
        trouble: newest.and_then(|pass| match pass.state {
            PassState::Complete | PassState::Open => None,
            PassState::Interrupted => Some("interrupted".to_owned()),
            PassState::Incomplete => Some(pass.trouble.clone().unwrap_or_else(|| "incomplete".to_owned())),
        }),
        settled: counts.settled + counts.waiting_in_propstreet,
        old_mapping: old.map(|(_, count)| count).sum(),
        quarantined: counts.quarantined,
        longest_quarantined: longest.first().map(|row| row.key.to_string()),
        deferred: counts.deferred,
        guarded: counts.guarded,
        next_try: counts.next_try,
        drifted: counts.drifted,
        write_backs: counts.write_backs,
        write_backs_refused: counts.write_backs_refused,
        refused_write_back: ledger.refused_write_back(&source.name).await?.map(|key| key.to_string()),
        crm_requests_24h: ledger.spent(&source.name, at).await?.requests,
        gone: counts.gone,
        held: counts.held,
        filtered: counts.filtered,
        old_filter: if same_filter { counts.old_filter } else { counts.settled },
        follows: source.follows(),
    })
}

impl StatusReport {
    /// The answer: fine only if every source's newest pass was, and nobody waits for a person to look.
    #[must_use]
    pub fn answer(&self) -> Report {
        let troubled = self.sources.iter().filter(|s| s.trouble.is_some() || s.held + s.guarded > 0).count() as u64;
        let known: u64 = self.sources.iter().map(|source| source.settled).sum();
        let held: u64 = self.sources.iter().map(SourceStatus::put_aside).sum();
        let mut summary = format!("{} in Propstreet, {} in quarantine", counted(known, "record"), grouped(held));
        if troubled > 0 {
            summary.push_str(&format!("; {} in trouble", counted(troubled, "source")));
        }
        Report {
            command: "status",
            exit: if troubled > 0 { Exit::Degraded } else { Exit::Fine },
            text: self.text(&summary),
            summary,
            result: data(self),
            error: None,
        }
    }

    fn text(&self, summary: &str) -> String {
        let head = [
            "source",
            "last good pass",
            "#in propstreet",
            "#quarantine",
            "#waiting",
            "#changed since",
            "#crm calls a day",
            "state",
        ];
        let rows: Vec<Vec<String>> = self.sources.iter().map(|source| source.row(self.at)).collect();
        let mut text = format!("{}\n\n{summary}", table(&head, &rows));
        for (name, reasons) in self.sources.iter().map(|source| (&source.name, &source.quarantined)) {
            let reasons: Vec<String> =
                reasons.iter().map(|(reason, count)| format!("{} {reason}", grouped(*count))).collect();
            if !reasons.is_empty() {
                text.push_str(&format!("\nquarantine of {name}: {}", reasons.join(", ")));
            }
        }
        for source in self.sources.iter().filter(|source| source.write_backs > 0) {
            let (owed, refused) = (grouped(source.write_backs), grouped(source.write_backs_refused));
            text.push_str(&format!("\nwrite-back of {}: {owed} owed, {refused} of them refused", source.name));
        }
        for source in self.sources.iter().filter(|source| source.employers_waiting > 0) {
            let why = source.employers_wait_for.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let waiting = counted(source.employers_waiting, "contact");
            text.push_str(&format!("\nemployers of {}: {waiting} without theirs yet{why}", source.name));
        }
        for source in self.sources.iter().filter(|source| source.gone + source.held > 0) {
            let held = if source.held > 0 { format!(", {} held back", grouped(source.held)) } else { String::new() };
            text.push_str(&format!("\nleft {}: {}{held}", source.name, grouped(source.gone)));
        }
        for source in self.sources.iter().filter(|source| source.filtered > 0) {
            text.push_str(&format!("\nkept out of {} by its filter: {}", source.name, grouped(source.filtered)));
        }
        for step in &self.next {
            text.push_str(&format!("\nnext: {step}"));
        }
        text
    }
}

impl SourceStatus {
    /// What a person can do about it.
    fn next(&self) -> Vec<String> {
        let mut steps = Vec::new();
        match self.trouble.as_deref() {
            Some("credential") => {
                steps.push(format!("its credential was refused; renew it, then propsync sync {}", self.name));
            }
            Some("Propstreet: credential") => {
                steps.push("Propstreet's credential was refused; renew it, then propsync sync".to_owned());
            }
            Some("unfit" | "forbidden") => {
                steps.push(format!("propsync doctor says what {} lacks; then propsync sync {}", self.name, self.name));
            }
            Some(trouble) => steps.push(match trouble.strip_prefix("not_sent until ") {
                Some(end) => format!("nothing can be asked of {0} until {end}; then propsync sync {0}", self.name),
                None => format!("propsync sync {}", self.name),
            }),
            None if self.unfinished.is_some() => {
                steps.push(format!(
                    "if no propsync runs now, its pass was cut off; propsync sync {} goes on",
                    self.name
                ));
            }
            None if self.last_good.is_none() => steps.push(format!("propsync sync {}", self.name)),
            None => {}
        }
        if let Some(reference) = &self.longest_quarantined {
            steps.push(format!("propsync explain {reference} says what it needs to leave quarantine"));
        }
        if self.write_backs > self.write_backs_refused {
            steps.push(format!("propsync sync {} writes back the ids that are owed, as many as the day leaves room for, or says why not", self.name));
        }
        if let Some(reference) = &self.refused_write_back {
            steps.push(format!("propsync explain {reference} says why the CRM would not take its id"));
        }
        if self.held > 0 {
            steps.push(format!(
                "see whether the user of {0} may still see everybody, and whether its filter is right; propsync sync {0} says more",
                self.name
            ));
        }
        if self.guarded > 0 {
            steps.push(format!(
                "the changes of {} people of {1} wait, more than may be written within a day; propsync sync {1} says more",
                grouped(self.guarded),
                self.name
            ));
        }
        if self.old_mapping > 0 {
            let (old, name) = (counted(self.old_mapping, "record"), &self.name);
            steps.push(match self.follows {
                true => format!(
                    "{old} of {name}, mapped by older rules: propsync resync {name} --all writes what these make of them"
                ),
                false => format!(
                    "{old} of {name}, mapped by older rules, stay as they are, because on_change is \"ignore\""
                ),
            });
        }
        if self.old_filter > 0 {
            let (old, name) = (counted(self.old_filter, "record"), &self.name);
            steps.push(format!(
                "{old} of {name}, let in by an older filter: propsync resync {name} --all judges by this one, else their next change does"
            ));
        }
        steps
    }

    fn put_aside(&self) -> u64 {
        self.quarantined.values().sum()
    }

    fn row(&self, at: Timestamp) -> Vec<String> {
        vec![
            self.name.clone(),
            self.last_good.map_or("never".to_owned(), |then| format!("{} ago", spoken(seconds(then, at)))),
            grouped(self.settled),
            grouped(self.put_aside()),
            grouped(self.deferred),
            grouped(self.drifted),
            grouped(self.crm_requests_24h),
            self.state(at),
        ]
    }

    fn state(&self, at: Timestamp) -> String {
        match (&self.trouble, self.unfinished, self.last_good) {
            (Some(trouble), _, _) => trouble.clone(),
            (None, Some(began), _) => format!("begun {} ago, not ended", spoken(seconds(began, at))),
            (None, None, None) => "not synced yet".to_owned(),
            (None, None, Some(_)) if self.held > 0 => "people held back".to_owned(),
            (None, None, Some(_)) if self.guarded > 0 => "changes wait".to_owned(),
            (None, None, Some(_)) => "fine".to_owned(),
        }
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from((to - from).num_seconds()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use insta::{assert_json_snapshot, assert_snapshot};

    use super::*;
    use crate::cli::envelope::parsed;
    use crate::domain::failure::Trouble;
    use crate::sync::report::Stop;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    #[test]
    fn a_source_without_a_pass_is_not_called_fine() {
        let source = SourceStatus { name: "hubspot".to_owned(), ..SourceStatus::default() };
        assert_eq!(
            (source.state(at(0)).as_str(), source.next()),
            ("not synced yet", vec!["propsync sync hubspot".to_owned()])
        );
    }

    #[test]
    fn a_source_that_has_to_wait_says_until_when() {
        let wait = Some(std::time::Duration::from_secs(1_800));
        let stop = Stop::Crm(Trouble::NotSent { cause: "HTTP 429".to_owned(), retry_after: wait });
        let source = SourceStatus { trouble: Some(stop.told(at(0))), ..source("hubspot") };
        // Whenever it is read.
        assert_eq!(source.state(at(1_000)), "not_sent until 2027-01-15T08:30Z");
        let next = "nothing can be asked of hubspot until 2027-01-15T08:30Z; then propsync sync hubspot";
        assert_eq!(source.next(), [next]);
    }

    #[test]
    fn ids_that_are_owed_or_refused_name_the_next_step() {
        let owing = |write_backs, refused: Option<&str>| {
            let write_backs_refused = u64::from(refused.is_some());
            let refused_write_back = refused.map(str::to_owned);
            let known = SourceStatus { name: "hubspot".to_owned(), last_good: Some(at(0)), ..SourceStatus::default() };
            SourceStatus { write_backs, write_backs_refused, refused_write_back, ..known }.next()
        };
        let (sync, explain) = (
            "propsync sync hubspot writes back the ids that are owed, as many as the day leaves room for, or says why not",
            "propsync explain hubspot:7 says why the CRM would not take its id",
        );
        assert_eq!(owing(0, None), [""; 0]);
        assert_eq!(owing(1, Some("hubspot:7")), [explain]);
        assert_eq!(owing(3, Some("hubspot:7")), [sync, explain]);
    }

    #[test]
    fn who_is_under_older_rules_is_told_with_the_command_to_go_on() {
        let old =
            |follows| SourceStatus { last_good: Some(at(0)), follows, old_mapping: 3, ..source("hubspot") }.next();
        assert_snapshot!(old(true).join(" "), @"3 records of hubspot, mapped by older rules: propsync resync hubspot --all writes what these make of them");
        assert_snapshot!(old(false).join(" "), @r#"3 records of hubspot, mapped by older rules, stay as they are, because on_change is "ignore""#);
        let judged = SourceStatus { last_good: Some(at(0)), old_filter: 1, ..source("hubspot") };
        assert_snapshot!(judged.next().join(" "), @"1 record of hubspot, let in by an older filter: propsync resync hubspot --all judges by this one, else their next change does");
    }

    fn source(name: &str) -> SourceStatus {
        SourceStatus { name: name.to_owned(), ..SourceStatus::default() }
    }

    #[test]
    fn the_age_of_the_last_good_pass_comes_first() {
        let report = StatusReport {
            at: at(0),
            indexed: 84_110,
            sources: vec![
                SourceStatus {
                    last_good: Some(at(-12)),
                    watermark: Some(at(-15)),
                    settled: 84_102,
                    quarantined: [("email_taken".to_owned(), 5), ("invalid_field".to_owned(), 2)].into(),
                    deferred: 1,
                    next_try: Some(at(60)),
                    write_backs: 40,
                    write_backs_refused: 1,
                    employers_waiting: 3,
                    employers_wait_for: Some("HTTP 403 Forbidden".to_owned()),
                    crm_requests_24h: 1_812,
                    gone: 12,
                    held: 4_000,
                    ..source("hubspot")
                },
                SourceStatus { trouble: Some("credential".to_owned()), ..source("pipedrive") },
                SourceStatus { last_good: Some(at(-7200)), unfinished: Some(at(-90)), ..source("salesforce") },
            ],
            next: vec!["renew the token of pipedrive, then propsync sync pipedrive".to_owned()],
        };
        let answer = report.answer();
        assert_eq!(answer.exit, Exit::Degraded);
        assert_snapshot!(answer.text, @"
        source      last good pass  in propstreet  quarantine  waiting  changed since  crm calls a day  state
        hubspot     12 s ago               84,102           7        1              0            1,812  people held back
        pipedrive   never                       0           0        0              0                0  credential
        salesforce  2 h 0 min ago               0           0        0              0                0  begun 1 min ago, not ended

        84,102 records in Propstreet, 7 in quarantine; 2 sources in trouble
        quarantine of hubspot: 5 email_taken, 2 invalid_field
        write-back of hubspot: 40 owed, 1 of them refused
        employers of hubspot: 3 contacts without theirs yet (HTTP 403 Forbidden)
        left hubspot: 12, 4,000 held back
        next: renew the token of pipedrive, then propsync sync pipedrive
        ");
        assert_json_snapshot!(parsed(&answer)["result"]["sources"][0], @r#"
        {
          "crm_requests_24h": 1812,
          "deferred": 1,
          "drifted": 0,
          "employers_wait_for": "HTTP 403 Forbidden",
          "employers_waiting": 3,
          "filtered": 0,
          "gone": 12,
          "guarded": 0,
          "held": 4000,
          "last_good": "2027-01-15T07:59:48Z",
          "longest_quarantined": null,
          "name": "hubspot",
          "next_try": "2027-01-15T08:01:00Z",
          "old_filter": 0,
          "old_mapping": 0,
          "quarantined": {
            "email_taken": 5,
            "invalid_field": 2
          },
          "refused_write_back": null,
          "settled": 84102,
          "trouble": null,
          "unfinished": null,
          "watermark": "2027-01-15T07:59:45Z",
          "write_backs": 40,
          "write_backs_refused": 1
        }
        "#);
    }
}
