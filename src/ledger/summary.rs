//! The ledger in numbers, for `status`, the status page and metrics. Counted from narrow indexes, never from whole rows.

use std::collections::BTreeMap;

use rusqlite::{Connection, params_from_iter};
use serde::Serialize;

use crate::domain::Timestamp;
use crate::domain::failure::Wait;
use crate::ledger::Ledger;
use crate::ledger::columns::{count, millis, time_if_any};
use crate::ledger::error::LedgerError;

/// The ledger in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Each source that has a row.
    pub sources: BTreeMap<String, SourceSummary>,
    /// Contacts in the Propstreet index, deleted ones included.
    pub index_size: u64,
}

/// One source in numbers of references.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SourceSummary {
    /// Settled.
    pub settled: u64,
    /// Deferred or in quarantine, with a contact from before.
    pub waiting_in_propstreet: u64,
    /// Settled, by the version of the map they were settled under.
    pub by_mapping: BTreeMap<i64, u64>,
    /// In quarantine, by reason.
    pub quarantined: BTreeMap<String, u64>,
    /// Deferred.
    pub deferred: u64,
    /// Of these, changes that are more than may be written within a day.
    pub guarded: u64,
    /// When the first of the deferred is tried again.
    pub next_try: Option<Timestamp>,
    /// Deferred or quarantined, and due now.
    pub due: u64,
    /// Deleted in Propstreet.
    pub deleted: u64,
    /// Changed in the CRM since they were settled.
    pub drifted: u64,
    /// Their employer waits to be linked.
    pub pending_employment: u64,
    /// A write without an outcome.
    pub open_intents: u64,
    /// Their contact's id is not in the CRM's field yet, the refused among them.
    pub write_backs: u64,
    /// The CRM would not take the id.
    pub write_backs_refused: u64,
    /// Left the CRM, and their contact's fate is decided.
    pub gone: u64,
    /// Left the CRM, more at once than may without a person's word.
    pub held: u64,
    /// Kept out by the filter.
    pub filtered: u64,
    /// Settled, and not looked at since the filter was changed.
    pub old_filter: u64,
}

impl Ledger {
    /// The ledger in numbers, from one snapshot.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn summary(&self, now: Timestamp) -> Result<Summary, LedgerError> {
        self.read(move |ledger| summarise(ledger, now)).await
    }
}

fn summarise(ledger: &Connection, now: Timestamp) -> Result<Summary, LedgerError> {
    let mut sources = BTreeMap::new();
    settled(ledger, &mut sources)?;
    waiting(ledger, &mut sources)?;
    tally(ledger, &mut sources, WAITING_IN_PROPSTREET, &[], |source| &mut source.waiting_in_propstreet)?;
    tally(ledger, &mut sources, DUE, &[millis(now)], |source| &mut source.due)?;
    tally(ledger, &mut sources, DELETED, &[], |source| &mut source.deleted)?;
    tally(ledger, &mut sources, DRIFTED, &[], |source| &mut source.drifted)?;
    tally(ledger, &mut sources, PENDING_EMPLOYMENT, &[], |source| &mut source.pending_employment)?;
    tally(ledger, &mut sources, OPEN_INTENTS, &[], |source| &mut source.open_intents)?;
    tally(ledger, &mut sources, WRITE_BACKS, &[], |source| &mut source.write_backs)?;
    tally(ledger, &mut sources, WRITE_BACKS_REFUSED, &[], |source| &mut source.write_backs_refused)?;
    tally(ledger, &mut sources, GONE, &[], |source| &mut source.gone)?;
    tally(ledger, &mut sources, HELD, &[], |source| &mut source.held)?;
    tally(ledger, &mut sources, FILTERED, &[], |source| &mut source.filtered)?;
    tally(ledger, &mut sources, OLD_FILTER, &[], |source| &mut source.old_filter)?;
    let index_size = ledger.prepare_cached(INDEX_SIZE)?.query_row([], |row| row.get(0))?;
    Ok(Summary { sources, index_size: count("index_contacts", index_size)? })
}

type Sources = BTreeMap<String, SourceSummary>;

const INDEX_SIZE: &str = "SELECT count(*) FROM index_contacts";
const SETTLED: &str = "SELECT source, mapping, count(*) FROM refs WHERE state = 'settled' GROUP BY source, mapping";
const WAITING: &str = "SELECT source, state, reason, count(*), min(next_try) FROM refs
    WHERE state IN ('quarantined', 'deferred') GROUP BY source, state, reason";
/// From the rows of those who wait, who are few.
const WAITING_IN_PROPSTREET: &str = "SELECT source, count(*) FROM refs
    WHERE state IN ('quarantined', 'deferred') AND fingerprint IS NOT NULL GROUP BY source";
const DUE: &str = "SELECT source, count(*) FROM refs WHERE next_try <= ?1 GROUP BY source";
const DELETED: &str = "SELECT source, count(*) FROM refs WHERE state = 'deleted' GROUP BY source";
const DRIFTED: &str = "SELECT source, count(*) FROM refs WHERE drifted = 1 GROUP BY source";
const PENDING_EMPLOYMENT: &str = "SELECT source, count(*) FROM refs WHERE pending_employment = 1 GROUP BY source";
const GONE: &str = "SELECT source, count(*) FROM gone JOIN refs USING (ref)
    WHERE fate <> 'held' AND evidence <> 'filter' GROUP BY source";
const FILTERED: &str = "SELECT source, count(*) FROM refs WHERE reason = 'filtered' GROUP BY source";
const OLD_FILTER: &str = "SELECT source, count(*) FROM filters CROSS JOIN refs USING (source)
    WHERE state = 'settled' AND seen_pass <= filters.pass GROUP BY source";
const HELD: &str = "SELECT source, count(*) FROM gone JOIN refs USING (ref) WHERE fate = 'held' GROUP BY source";
const OPEN_INTENTS: &str = "SELECT source, count(*) FROM intents GROUP BY source";
const WRITE_BACKS: &str = "SELECT source, count(*) FROM write_backs GROUP BY source";
const WRITE_BACKS_REFUSED: &str = "SELECT source, count(*) FROM write_backs WHERE refused IS NOT NULL GROUP BY source";

fn tally(
    ledger: &Connection,
    sources: &mut Sources,
    counts: &str,
    given: &[i64],
    slot: impl Fn(&mut SourceSummary) -> &mut u64,
) -> Result<(), LedgerError> {
    let mut counts = ledger.prepare_cached(counts)?;
    let mut counts = counts.query(params_from_iter(given))?;
    while let Some(row) = counts.next()? {
        *slot(sources.entry(row.get(0)?).or_default()) = count("refs", row.get(1)?)?;
    }
    Ok(())
}

fn settled(ledger: &Connection, sources: &mut Sources) -> Result<(), LedgerError> {
    let mut settled = ledger.prepare_cached(SETTLED)?;
    let mut settled = settled.query([])?;
    while let Some(row) = settled.next()? {
        let source: &mut SourceSummary = sources.entry(row.get(0)?).or_default();
        let number = count("refs", row.get(2)?)?;
        source.settled += number;
        source.by_mapping.insert(row.get(1)?, number);
    }
    Ok(())
}

fn waiting(ledger: &Connection, sources: &mut Sources) -> Result<(), LedgerError> {
    let mut waiting = ledger.prepare_cached(WAITING)?;
    let mut waiting = waiting.query([])?;
    while let Some(row) = waiting.next()? {
        let source: &mut SourceSummary = sources.entry(row.get(0)?).or_default();
        let number = count("refs", row.get(3)?)?;
        if row.get_ref(1)?.as_str().is_ok_and(|state| state == "quarantined") {
            source.quarantined.insert(row.get(2)?, number);
            continue;
        }
        source.deferred += number;
        if row.get_ref(2)?.as_str().is_ok_and(|reason| reason == Wait::Guarded.code()) {
            source.guarded += number;
        }
        let first = time_if_any("refs", row.get(4)?)?;
        source.next_try = source.next_try.into_iter().chain(first).min();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::departure::{Evidence, Fate};
    use crate::domain::pass::SkipReason;
    use crate::domain::record::WrittenBack;
    use crate::ledger::passes::PassId;
    use crate::ledger::settlements::Ending;
    use crate::ledger::stage::{at, contact, create, created, deferred, ended, filled, key, opened, quarantined};
    use crate::ledger::write_backs::Owed;

    #[tokio::test(start_paused = true)]
    async fn every_reference_is_counted_where_it_stands() {
        let (_folder, ledger) = opened().await;
        let mut newer = created("c2");
        if let Ending::Synced { mapping, pending_employment, .. } = &mut newer {
            (*mapping, *pending_employment) = (2, true);
        }
        let gone = Ending::Deleted { propstreet_id: None, note: "404".to_owned() };
        let ignored = Ending::Skipped { reason: SkipReason::ChangeIgnored, drifted: true };
        for (id, ending) in [
            ("1", created("c1")),
            ("2", newer),
            ("3", created("c3")),
            ("3", ignored),
            ("4", created("c1")),
            ("4", quarantined(Some("c1"))),
            ("5", quarantined(None)),
            ("6", deferred("x", 60)),
            ("7", deferred("x", 50)),
            ("8", gone),
            ("10", Ending::Skipped { reason: SkipReason::Filtered, drifted: false }),
        ] {
            ledger.settle(ended(id, ending, 1)).await.unwrap();
        }
        ledger.write_back_into("crm", Some("propstreet_id")).await.unwrap();
        let refused = Owed { key: key("1"), propstreet_id: "c1".to_owned() };
        ledger.written_back(vec![(refused, WrittenBack::Refused("no".to_owned()))], at(2)).await.unwrap();
        ledger.intend(create("9", None, 1)).await.unwrap();
        ledger.hold(PassId(1), Evidence::Sweep, vec![(key("1"), None), (key("unheard"), None)], at(1)).await.unwrap();
        let (fate, evidence) = (Fate::Kept, Evidence::Sweep);
        let left = Ending::Gone { fate, evidence, etag: None, note: "the contact stays as it is".to_owned() };
        ledger.settle(ended("2", left, 1)).await.unwrap();
        ledger.index(vec![contact("c1", "1", 1), contact("c2", "2", 1)], filled()).await.unwrap();
        let summary = ledger.summary(at(55)).await.unwrap();
        let expected = SourceSummary {
            settled: 3,
            waiting_in_propstreet: 1,
            by_mapping: [(1, 2), (2, 1)].into(),
            quarantined: [("email_taken".to_owned(), 2)].into(),
            deferred: 2,
            guarded: 0,
            next_try: Some(at(50)),
            due: 2,
            deleted: 1,
            drifted: 1,
            pending_employment: 1,
            open_intents: 1,
            write_backs: 2,
            write_backs_refused: 1,
            gone: 1,
            held: 1,
            filtered: 1,
            old_filter: 0,
        };
        assert_eq!(summary, Summary { sources: [("crm".to_owned(), expected)].into(), index_size: 2 });
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_counted_from_whole_rows() {
        let (_folder, ledger) = opened().await;
        for sql in [SETTLED, WAITING, DUE, DELETED, DRIFTED, PENDING_EMPLOYMENT, WRITE_BACKS, FILTERED, INDEX_SIZE] {
            let plan: String = ledger
                .read(move |ledger| {
                    let mut plan = ledger.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                    let given = vec![0_i64; plan.parameter_count()];
                    Ok(plan.query_row(params_from_iter(given), |row| row.get("detail"))?)
                })
                .await
                .unwrap();
            assert!(plan.contains("COVERING INDEX"), "{sql}: {plan}");
        }
    }
}
