//! `propsync explain`: the one answer to "why is this person (not) in Propstreet?", from the ledger alone.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;

use crate::assembly::ref_rules;
use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::Exit;
use crate::cli::print::counted;
use crate::clock::Clock;
use crate::config::tree::{Config, SourceConfig};
use crate::domain::Timestamp;
use crate::domain::departure::{Evidence, Fate};
use crate::domain::failure::Wait;
use crate::domain::identity::{RefKey, RefRules};
use crate::domain::plan::{Indexed, Standing};
use crate::ledger::Ledger;
use crate::ledger::error::LedgerError;
use crate::ledger::events::{Event, Told};
use crate::ledger::gone::Gone;
use crate::ledger::rows::{Row, View};
use crate::ledger::write_backs::WriteBackRow;
use crate::sync::engine::Companies;

/// The arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync explain hubspot:12345
  propsync explain salesforce:0035g00000ABCDE
  propsync explain anna@example.com")]
pub struct Explain {
    /// A reference NAMESPACE:ID, or an e-mail address
    #[arg(value_name = "NS:ID or E-MAIL", value_parser = subject)]
    pub subject: Subject,
}

/// Who is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A record, as typed.
    Reference {
        /// Before the first colon.
        namespace: String,
        /// All after it.
        id: String,
    },
    /// Everyone with this address.
    Email(String),
}

fn subject(text: &str) -> Result<Subject, String> {
    match text.split_once(':') {
        Some((namespace, id)) if !namespace.is_empty() && !id.is_empty() && !namespace.contains('@') => {
            Ok(Subject::Reference { namespace: namespace.to_owned(), id: id.to_owned() })
        }
        None if text.contains('@') => Ok(Subject::Email(text.to_owned())),
        _ => Err("write NAMESPACE:ID, for example hubspot:12345, or an e-mail address".to_owned()),
    }
}

/// What the ledger says about whoever was asked about.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ExplainReport {
    /// One entry a record; empty when the ledger knows nobody.
    pub records: Vec<Answer>,
}

/// What the ledger says about one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// `namespace:id`.
    pub reference: String,
    /// Whether it is in Propstreet, in one sentence that answers the question.
    pub verdict: String,
    /// Propstreet's id, when there is one.
    pub propstreet_id: Option<String>,
    /// The last outcome.
    pub outcome: Option<String>,
    /// Its reason code.
    pub reason: Option<String>,
    /// What exactly; upstream words as they came, redacted.
    pub detail: Option<String>,
    /// Whose matter it is: the record's, the mapping's, Propstreet's, or a decision's.
    pub whose: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// When it will be tried again by itself.
    pub next_try: Option<Timestamp>,
    /// Why its employer is not in Propstreet yet, where that is owed.
    pub employer: Option<String>,
    /// How Propstreet's id stands that is owed to the CRM's field, where it is.
    pub write_back: Option<WriteBackRow>,
    /// What was decided so far, oldest first.
    pub events: Vec<Happening>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What, in one line.
    pub what: String,
}

/// How many of a record's decisions are shown.
const EVENTS: usize = 20;

/// Reads the ledger, also beside a process that writes it; asks no upstream.
pub async fn run(global: &Global, arguments: &Explain) -> Report {
    match explain(global, &arguments.subject).await {
        Ok(report) => report.answer(),
        Err(failure) => Report::failed("explain", failure),
    }
}

async fn explain(global: &Global, subject: &Subject) -> Result<ExplainReport, Failure> {
    let config = global.configured_without_secrets()?;
    let ledger = Ledger::open_for_reading(&config.ledger).await.map_err(|error| Failure::from(&error))?;
    let rules = ref_rules(&config);
    let policies = Policies::of(&config);
    let report = find(&ledger, &rules, subject, &policies, Clock::system().now()).await;
    let report = report.map_err(|error| Failure::from(&error));
    ledger.close().await;
    report
}

async fn find(
    ledger: &Ledger,
    rules: &RefRules,
    subject: &Subject,
    policies: &Policies,
    now: Timestamp,
) -> Result<ExplainReport, LedgerError> {
    let keys = match subject {
        Subject::Reference { namespace, id } => vec![rules.key(namespace, id)],
        Subject::Email(address) => ledger.refs_by_email(ledger.keyed().email(address)).await?,
    };
    let mut records = Vec::new();
    let forgotten = ledger.tombstones().await?;
    for key in keys {
        if let Some(at) = forgotten.of(&key) {
            records.push(Answer::forgotten(&key, at));
            continue;
        }
        let last = ledger.survivor(key.clone()).await?;
        let View { row, holders, .. } = ledger.view(key.clone(), None, now).await?;
        if row.is_none() && holders.by_ref.is_none() {
            continue;
        }
        let events = ledger.events(key.clone(), EVENTS).await?;
        let write_back = ledger.write_back(key.clone()).await?;
        let out = row.as_ref().filter(|row| row.is_kept_out());
        let filter = out.and_then(|row| Some((row, policies.by_source.get(&row.source)?.as_str())));
        let kept_out = match filter {
            Some((row, filter)) => Some(kept_out(row, filter, ledger.judged_before(key.clone()).await?)),
            None => None,
        };
        let employer = match row.as_ref().is_some_and(|row| policies.linking.contains(&row.source)) {
            true => ledger.employer_waits(key.clone()).await?,
            false => None,
        };
        let mut answer = Answer { write_back, employer, ..Answer::of(&key, row, holders.by_ref, events) };
        answer.verdict = kept_out.unwrap_or(answer.verdict);
        if last != key {
            let survivor = ledger.view(last.clone(), None, now).await?.row;
            let that_one = survivor.as_ref().map_or("not known yet".to_owned(), verdict);
            answer.verdict = format!("merged into {last}; that one is {that_one}");
        }
        records.push(answer);
    }
    Ok(ExplainReport { records })
}

/// What sources decide, as far as an answer depends on it.
#[derive(Debug, Default)]
struct Policies {
    /// The filter of each source that has one, as it is written.
    by_source: BTreeMap<String, String>,
    /// The sources that link employers.
    linking: BTreeSet<String>,
}

impl Policies {
    fn of(config: &Config) -> Self {
        let of_source = |source: &SourceConfig| Some((source.name.clone(), source.mapper.filter()?.to_owned()));
        let linking = config.sources.iter().filter(|source| source.companies == Companies::Link);
        Self {
            by_source: config.sources.iter().filter_map(of_source).collect(),
            linking: linking.map(|source| source.name.clone()).collect(),
        }
    }
}

/// Whom a filter keeps out: which one, and what became of the contact. The expression, never what it read.
fn kept_out(row: &Row, filter: &str, judged_before: bool) -> String {
    let source = &row.source;
    let by = match judged_before {
        true => format!("kept out by an earlier filter of {source}; the next sync judges it by `{filter}`"),
        false => format!("kept out by the filter of {source}: `{filter}`"),
    };
    match (row.gone.map(|gone| gone.fate), &row.propstreet_id) {
        (Some(fate), _) => format!("{by}; {}", of_the_contact(fate, Evidence::Filter)),
        (None, Some(contact)) => format!("in Propstreet as contact {contact}, which follows no changes: {by}"),
        (None, None) => format!("not in Propstreet: {by}"),
    }
}

impl Happening {
    /// An event whose words were erased tells nothing any more.
    pub(in crate::cli) fn of(event: Event) -> Option<Self> {
        let Told { at, what, note, .. } = event.told?;
        Some(Self { at, what: if note.is_empty() { what } else { format!("{what}: {note}") } })
    }
}

impl ExplainReport {
    /// The answer. Nobody known is a finding too, told apart by exit 1.
    #[must_use]
    pub fn answer(&self) -> Report {
        if self.records.is_empty() {
            let failure = Failure::new(
                Exit::Failed,
                "unknown_record",
                "the ledger knows no such record: no pass has read it",
                "check the spelling; if it is right, the CRM did not show it: propsync sync",
            );
            return Report { result: data(self), ..Report::failed("explain", failure) };
        }
        let summary = match &self.records[..] {
            [one] => format!("{}: {}", one.reference, one.verdict),
            several => counted(several.len() as u64, "record"),
        };
        let texts: Vec<String> = self.records.iter().map(Answer::text).collect();
        let text = texts.join("\n\n");
        Report { command: "explain", exit: Exit::Fine, summary, result: data(self), text, error: None }
    }
}

impl Answer {
    fn of(key: &RefKey, row: Option<Row>, holder: Option<Indexed>, events: Vec<Event>) -> Self {
        let Some(row) = row else {
            let holder = holder.map(|contact| contact.id);
            let id = holder.as_deref().unwrap_or("?");
            let verdict = format!("on contact {id} in Propstreet, not synced by this ledger");
            return Self { propstreet_id: holder, ..Self::only(key, verdict) };
        };
        let complaint = row.complaint.clone();
        Self {
            reference: key.to_string(),
            verdict: verdict(&row),
            outcome: row.outcome.map(|outcome| outcome.as_str().to_owned()),
            detail: complaint.as_ref().map(|complaint| complaint.detail.clone()).or(row.first_cause),
            whose: complaint.as_ref().map(|complaint| complaint.reason.whose().to_owned()),
            remedy: match (complaint, &row.standing) {
                (Some(complaint), _) => Some(complaint.reason.remedy_of(key, row.sent.is_some())),
                (None, Standing::Deleted) => {
                    Some(format!("to bring it back: propsync quarantine resolve {key} --revive"))
                }
                (None, _) => None,
            },
            reason: row.reason,
            propstreet_id: row.propstreet_id,
            next_try: row.next_try,
            employer: None,
            write_back: None,
            events: events.into_iter().rev().filter_map(Happening::of).collect(),
        }
    }

    /// All that is left of somebody who was erased.
    fn forgotten(key: &RefKey, at: Timestamp) -> Self {
        Self::only(key, format!("forgotten on {}", at.format("%Y-%m-%d")))
    }

    fn only(key: &RefKey, verdict: String) -> Self {
        Self {
            reference: key.to_string(),
            verdict,
            propstreet_id: None,
            outcome: None,
            reason: None,
            detail: None,
            whose: None,
            remedy: None,
            next_try: None,
            employer: None,
            write_back: None,
            events: Vec::new(),
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.reference, self.verdict)];
        lines.extend(self.events.iter().map(|event| format!("    {}  {}", second(event.at), event.what)));
        if let Some(reason) = &self.reason {
            let detail = self.detail.as_ref().map_or(String::new(), |detail| format!(": {detail}"));
            lines.push(format!("    why: {reason}{detail}"));
        }
        if let Some(whose) = &self.whose {
            lines.push(format!("    whose: {whose}"));
        }
        if let Some(at) = self.next_try {
            // Of a record that needs a person, a bare "tried again" would read as if nobody were needed.
            let until = if self.remedy.is_some() { "until it is mended, " } else { "" };
            lines.push(format!("    {until}tried again by itself at {}", second(at)));
        }
        if let Some(remedy) = &self.remedy {
            lines.push(format!("    fix: {remedy}"));
        }
        lines.extend(self.employer.iter().map(|why| format!("    employer: not in Propstreet yet: {why}")));
        lines.extend(self.write_back.iter().flat_map(owed));
        lines.join("\n")
    }
}

/// The first line: is this person there, and if not, in one clause why.
fn verdict(row: &Row) -> String {
    let contact = row.propstreet_id.as_deref().unwrap_or("?");
    // Who was settled once has its contact, whatever has become of a later change.
    let has_contact = row.sent.is_some();
    match &row.standing {
        Standing::Settled { .. } if row.drifted => {
            format!("in Propstreet as contact {contact}; it has changed in the CRM since, and changes are ignored")
        }
        Standing::Settled { .. } => format!("in Propstreet as contact {contact}"),
        Standing::Quarantined { .. } if has_contact => {
            format!("in Propstreet as contact {contact}; its last change needs a person")
        }
        Standing::Deferred { .. } if has_contact && row.reason.as_deref() == Some(Wait::Guarded.code()) => format!(
            "in Propstreet as contact {contact}; its change waits, because more people changed within a day than guard lets \
             through"
        ),
        Standing::Deferred { .. } if has_contact => {
            format!("in Propstreet as contact {contact}; its last change will be tried again by itself")
        }
        Standing::Quarantined { .. } => "not in Propstreet: it needs a person".to_owned(),
        Standing::Deferred { .. } => "not in Propstreet yet: it will be tried again by itself".to_owned(),
        Standing::Intended => "being written: the next sync looks up what became of it".to_owned(),
        Standing::Deleted => "deleted in Propstreet by someone, and that is respected".to_owned(),
        Standing::Moved(alias) => format!("merged into {} in the CRM", alias.survivor),
        Standing::Gone { .. } => row.gone.map_or("gone".to_owned(), gone),
        Standing::Unknown => "not in Propstreet: it was left alone".to_owned(),
    }
}

/// How the id stands that the CRM's field does not hold yet.
fn owed(write_back: &WriteBackRow) -> Vec<String> {
    let again = write_back.next_try.map_or("with the next sync".to_owned(), |at| format!("after {}", second(at)));
    match &write_back.refused {
        None => vec![format!("    write-back: the CRM's field gets Propstreet's id {again}")],
        Some(words) => vec![
            format!("    write-back: the CRM will not take Propstreet's id: {words}"),
            format!("    fix: mend in the CRM what it names; it is tried again {again}"),
        ],
    }
}

/// What became of somebody whom the CRM has no longer.
fn gone(gone: Gone) -> String {
    let when = gone.stamp.unwrap_or(gone.at).format("%Y-%m-%d");
    let known = match gone.evidence {
        Evidence::Feed => format!("deleted in the CRM on {when}"),
        Evidence::Sweep => format!("in the CRM no longer, as was seen on {when}"),
        Evidence::Filter => format!("kept out by a filter since {when}"),
    };
    format!("{known}; {}", of_the_contact(gone.fate, gone.evidence))
}

fn of_the_contact(fate: Fate, evidence: Evidence) -> String {
    match fate {
        Fate::Kept | Fate::Moved => "its contact, if it had one, was kept".to_owned(),
        Fate::Tagged => format!("the contact carries the tag {}", evidence.tag()),
        Fate::Deleted => "the contact was deleted".to_owned(),
        Fate::Held => {
            "nothing has happened to its contact, because too many left at once for nobody to look".to_owned()
        }
    }
}

pub(in crate::cli) fn second(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use insta::{assert_json_snapshot, assert_snapshot};

    use super::*;
    use crate::cli::envelope::parsed;
    use crate::domain::failure::Reason;
    use crate::domain::merge::Alias;
    use crate::ledger::passes::PassId;
    use crate::ledger::settlements::{Ending, Settlement};

    #[test]
    fn a_subject_is_a_reference_or_an_address() {
        let reference = |namespace: &str, id: &str| Subject::Reference { namespace: namespace.into(), id: id.into() };
        assert_eq!(subject("hubspot:12345"), Ok(reference("hubspot", "12345")));
        assert_eq!(subject("csv-import:a:b@c"), Ok(reference("csv-import", "a:b@c")));
        assert_eq!(subject("anna@example.com"), Ok(Subject::Email("anna@example.com".to_owned())));
        for text in ["", "12345", ":12345", "hubspot:", "a@b:c"] {
            assert!(subject(text).is_err(), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_merged_record_leads_to_the_one_it_is_now() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = Timestamp::from_timestamp(1_800_000_000, 0).expect("a time");
        let ledger = Ledger::open(&folder.path().join("ledger.db"), at).await.expect("a ledger");
        let key = |id: &str| RefKey::from_parts("hubspot", id);
        let merged = |into: &str| Ending::Merged { alias: Alias { survivor: key(into), stamp: None }, apart: None };
        let deleted = Ending::Deleted { propstreet_id: Some("c9".to_owned()), note: "404".to_owned() };
        for (id, ending) in [("1", merged("2")), ("2", merged("3")), ("3", deleted)] {
            let (pass, source, key) = (PassId(1), "crm".to_owned(), key(id));
            let settlement = Settlement {
                pass,
                source,
                key,
                email: None,
                modified: None,
                ending,
                index: None,
                revisit: None,
                began: at,
                at,
            };
            ledger.settle(settlement).await.expect("settled");
        }
        let asked = Subject::Reference { namespace: "HubSpot".to_owned(), id: "1".to_owned() };
        let report = find(&ledger, &RefRules::default(), &asked, &Policies::default(), at).await.expect("an answer");
        assert_snapshot!(report.records[0].text(), @"
        hubspot:1: merged into hubspot:3; that one is deleted in Propstreet by someone, and that is respected
            2027-01-15T08:00:00Z  skipped: merged_into:hubspot:2
            why: merged_into:hubspot:2
        ");
        let asked = Subject::Reference { namespace: "hubspot".to_owned(), id: "3".to_owned() };
        let report = find(&ledger, &RefRules::default(), &asked, &Policies::default(), at).await.expect("an answer");
        let remedy = report.records[0].remedy.as_deref();
        assert_eq!(remedy, Some("to bring it back: propsync quarantine resolve hubspot:3 --revive"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_kept_out_is_told_by_which_expression() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = Timestamp::from_timestamp(1_800_000_000, 0).expect("a time");
        let ledger = Ledger::open(&folder.path().join("ledger.db"), at).await.expect("a ledger");
        ledger.filtered_by("crm", Some(1)).await.expect("noted");
        let pass = ledger.begin_pass("crm", crate::domain::pass::PassKind::Poll, at).await.expect("a pass");
        let ending = Ending::Skipped { reason: crate::domain::pass::SkipReason::Filtered, drifted: false };
        let (source, key) = ("crm".to_owned(), RefKey::from_parts("hubspot", "1"));
        let settlement = Settlement {
            pass,
            source,
            key,
            email: None,
            modified: None,
            ending,
            index: None,
            revisit: None,
            began: at,
            at,
        };
        ledger.settle(settlement).await.expect("settled");
        let asked = Subject::Reference { namespace: "hubspot".to_owned(), id: "1".to_owned() };
        let by_source = [("crm".to_owned(), "not hs_email_optout".to_owned())].into();
        let policies = Policies { by_source, ..Policies::default() };
        let verdict = async || {
            let report = find(&ledger, &RefRules::default(), &asked, &policies, at).await.expect("an answer");
            report.records[0].verdict.clone()
        };
        assert_eq!(verdict().await, "not in Propstreet: kept out by the filter of crm: `not hs_email_optout`");
        ledger.filtered_by("crm", Some(2)).await.expect("noted");
        let told = verdict().await;
        assert!(told.ends_with("an earlier filter of crm; the next sync judges it by `not hs_email_optout`"), "{told}");
    }

    #[test]
    fn who_has_left_is_told_when_and_what_became_of_the_contact() {
        let at = |seconds: i64| Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time");
        let told = |fate, evidence, stamp| gone(Gone { fate, evidence, stamp, at: at(86_400) });
        assert_snapshot!(told(Fate::Kept, Evidence::Feed, Some(at(0))), @"deleted in the CRM on 2027-01-15; its contact, if it had one, was kept");
        assert_snapshot!(told(Fate::Tagged, Evidence::Sweep, None), @"in the CRM no longer, as was seen on 2027-01-16; the contact carries the tag deleted-in-crm");
        assert!(told(Fate::Deleted, Evidence::Sweep, None).ends_with("the contact was deleted"));
        assert!(told(Fate::Held, Evidence::Sweep, None).contains("nothing has happened"));
    }

    #[test]
    fn the_first_line_answers_the_question() {
        let at = |seconds: i64| Timestamp::from_timestamp(1_800_000_000 + seconds, 0).expect("a time");
        let record = Answer {
            reference: "hubspot:12345".to_owned(),
            verdict: "not in Propstreet: it needs a person".to_owned(),
            propstreet_id: None,
            outcome: Some("quarantined".to_owned()),
            reason: Some(Reason::EmailTaken.code().to_owned()),
            detail: Some("contact 8812 has the address, under another name".to_owned()),
            whose: Some(Reason::EmailTaken.whose().to_owned()),
            remedy: Some(Reason::EmailTaken.remedy_of(&RefKey::from_parts("hubspot", "12345"), false)),
            next_try: Some(at(86_400)),
            employer: None,
            write_back: None,
            events: vec![Happening { at: at(0), what: "quarantined: email_taken".to_owned() }],
        };
        assert_snapshot!(ExplainReport { records: vec![record] }.answer().text, @"
        hubspot:12345: not in Propstreet: it needs a person
            2027-01-15T08:00:00Z  quarantined: email_taken
            why: email_taken: contact 8812 has the address, under another name
            whose: nobody's: it needs a decision
            until it is mended, tried again by itself at 2027-01-16T08:00:00Z
            fix: compare both people; the same: propsync quarantine resolve hubspot:12345 --link; another: give one of them another address, or resolve with --create-without-email
        ");
        let written = |refused: Option<&str>, next_try| WriteBackRow { refused: refused.map(str::to_owned), next_try };
        let refused = written(Some("closed records stay as they are"), Some(at(86_400)));
        assert_snapshot!(owed(&refused).join("\n"), @"
        write-back: the CRM will not take Propstreet's id: closed records stay as they are
        fix: mend in the CRM what it names; it is tried again after 2027-01-16T08:00:00Z
        ");
        assert_eq!(
            owed(&written(None, None)),
            ["    write-back: the CRM's field gets Propstreet's id with the next sync"]
        );
        assert_json_snapshot!(parsed(&ExplainReport::default().answer()), @r#"
        {
          "command": "explain",
          "error": {
            "code": "unknown_record",
            "message": "the ledger knows no such record: no pass has read it",
            "remedy": "check the spelling; if it is right, the CRM did not show it: propsync sync"
          },
          "ok": false,
          "result": {
            "records": []
          },
          "summary": "the ledger knows no such record: no pass has read it"
        }
        "#);
    }
}
