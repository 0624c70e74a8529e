//! What waits: deferred and quarantined records, and which of them are due.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::failure::{Complaint, Reason};
use crate::domain::identity::RefKey;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, complaint, key_of, millis, time, time_if_any};
use crate::ledger::error::LedgerError;

/// A record in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// The record.
    pub key: RefKey,
    /// Its source.
    pub source: String,
    /// What a person must know.
    pub complaint: Complaint,
    /// The contact it was settled on before, if it was.
    pub propstreet_id: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again by itself; `None`: at its next change.
    pub next_try: Option<Timestamp>,
    /// The record as it was refused, until that expires. Personal data: for the eyes of who asked, never for a log.
    pub payload: Option<String>,
}

impl Ledger {
    /// A source's records whose time has come, the longest overdue first: deferred ones, and quarantined ones whose
    /// blocking contact changed or has not been asked about for a day.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn due(&self, source: &str, now: Timestamp, limit: usize) -> Result<Vec<RefKey>, LedgerError> {
        const DUE: &str = "SELECT namespace, id FROM refs
            WHERE source = ?1 AND next_try <= ?2 ORDER BY next_try, ref LIMIT ?3";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut due = ledger.prepare_cached(DUE)?;
            Ok(due.query_map((source, millis(now), at_most(limit)), key_of)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Remembers the version of the map a source is read under. Under another than before, the records in quarantine that
    /// the map may have kept out are due: no stamp of theirs will move because a rule was corrected.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn read_under(&self, source: &str, map: i64, now: Timestamp) -> Result<(), LedgerError> {
        let source = source.to_owned();
        let known = source.clone();
        // Asked by reading, so that a sync which changes nothing writes nothing.
        if self.read(move |ledger| map_of(ledger, &known)).await? == Some(map) {
            return Ok(());
        }
        self.write(move |ledger| {
            ledger.execute("INSERT OR REPLACE INTO maps (source, version) VALUES (?1, ?2)", (&source, map))?;
            let mut due = ledger.prepare_cached(
                "UPDATE refs SET next_try = ?3 WHERE source = ?1 AND state = 'quarantined' AND reason = ?2",
            )?;
            for reason in Reason::ALL.into_iter().filter(|reason| reason.may_lie_in_the_map()) {
                due.execute((&source, reason.code(), millis(now)))?;
            }
            Ok(())
        })
        .await
    }

    /// Whether another record of the same CRM waits for this contact, which has its address: the survivor, perhaps, of a
    /// merge that the CRM does not tell of. One that is about to leave itself waits for nothing.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn is_awaited(&self, propstreet_id: String) -> Result<bool, LedgerError> {
        const AWAITED: &str = "SELECT EXISTS (SELECT 1 FROM quarantine
            WHERE blocker = ?1 AND reason = ?2 AND ref NOT IN (SELECT ref FROM gone))";
        self.read(move |ledger| {
            let reason = Reason::SameSourceEmail.code();
            Ok(ledger.prepare_cached(AWAITED)?.query_row((propstreet_id, reason), |row| row.get(0))?)
        })
        .await
    }

    /// Records in quarantine, of one source or all, the longest there first.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn quarantined(&self, source: Option<String>, limit: usize) -> Result<Vec<QuarantineRow>, LedgerError> {
        // CROSS keeps the order: a few in quarantine, and not everybody, are gone through.
        const QUARANTINED: &str =
            "SELECT namespace, id, source, propstreet_id, next_try, quarantine.reason AS complaint,
                detail, blocker, since, payload
            FROM quarantine CROSS JOIN refs USING (ref) WHERE ?1 IS NULL OR source = ?1 ORDER BY since, ref LIMIT ?2";
        self.read(move |ledger| {
            let mut quarantined = ledger.prepare_cached(QUARANTINED)?;
            quarantined.query_and_then((source, at_most(limit)), read)?.collect()
        })
        .await
    }
}

fn map_of(ledger: &Connection, source: &str) -> Result<Option<i64>, LedgerError> {
    let mut version = ledger.prepare_cached("SELECT version FROM maps WHERE source = ?1")?;
    Ok(version.query_row([source], |row| row.get(0)).optional()?)
}

fn read(row: &rusqlite::Row<'_>) -> Result<QuarantineRow, LedgerError> {
    Ok(QuarantineRow {
        key: key_of(row)?,
        source: row.get("source")?,
        complaint: complaint(row)?.ok_or_else(|| LedgerError::corrupt("quarantine", "a row without a reason"))?,
        propstreet_id: row.get("propstreet_id")?,
        since: time("quarantine", row.get("since")?)?,
        next_try: time_if_any("refs", row.get("next_try")?)?,
        payload: row.get("payload")?,
    })
}

/// Removes the payloads whose time is over; the complaint stays.
pub(in crate::ledger) fn expire_payloads(ledger: &Connection, now: Timestamp) -> Result<(), LedgerError> {
    const EXPIRE: &str = "UPDATE quarantine SET payload = NULL, expires = NULL WHERE expires <= ?1";
    ledger.prepare_cached(EXPIRE)?.execute([millis(now)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::domain::failure::{Complaint, Reason};
    use crate::domain::pass::PassKind;
    use crate::ledger::settlements::Ending;
    use crate::ledger::stage::{at, created, ended, key, open, opened, quarantined};

    #[tokio::test(start_paused = true)]
    async fn whom_the_map_kept_out_is_due_under_another_one() {
        let (folder, ledger) = opened().await;
        ledger.read_under("crm", 1, at(0)).await.unwrap();
        for (id, reason) in ["1", "2", "3", "4"].into_iter().zip([
            Reason::MappingFailed,
            Reason::InvalidField,
            Reason::NoIdentifier,
            Reason::Rejected,
        ]) {
            let complaint = Complaint::new(reason, "email: 300 characters");
            let aside = Ending::Quarantined { complaint, fingerprint: None, payload: None };
            ledger.settle(ended(id, aside, 1)).await.unwrap();
        }
        ledger.settle(ended("5", quarantined(None), 1)).await.unwrap();
        ledger.settle(ended("6", created("c6"), 1)).await.unwrap();
        let due = async |ledger: &crate::ledger::Ledger| ledger.due("crm", at(9), 9).await.unwrap();
        for (source, map) in [("crm", 1), ("other", 2)] {
            ledger.read_under(source, map, at(2)).await.unwrap();
            assert!(due(&ledger).await.is_empty(), "{source} {map}");
        }
        ledger.read_under("crm", 2, at(3)).await.unwrap();
        drop(ledger);
        let ledger = open(&folder).await;
        assert_eq!(due(&ledger).await, ["1", "2", "3", "4"].map(key), "also after a process that just ends");
    }

    #[tokio::test(start_paused = true)]
    async fn a_payload_goes_after_thirty_days_and_the_complaint_stays() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", quarantined(None), 0)).await.unwrap();
        let thirty_days = 30 * 24 * 3600;
        for (seconds, kept) in [(thirty_days - 1, true), (thirty_days, false)] {
            ledger.begin_pass("crm", PassKind::Poll, at(seconds)).await.unwrap();
            let row = ledger.quarantined(None, 9).await.unwrap().remove(0);
            assert_eq!(row.payload.is_some(), kept, "at {seconds}");
        }
    }
}
