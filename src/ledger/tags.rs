//! Tags that were put on a contact when its record left, and are true no longer.

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::domain::departure::Evidence;
use crate::domain::identity::RefKey;
use crate::ledger::columns::word;
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::filters::keys;
use crate::ledger::index::IndexEntry;
use crate::ledger::passes::PassId;
use crate::ledger::{Ledger, events, index, intents};

/// How a tag was taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOff {
    /// The row version our write left; `None` once somebody else has written there too.
    pub etag: Option<String>,
    /// The contact as Propstreet's answer showed it.
    pub index: IndexEntry,
    /// What is told of it.
    pub note: String,
}

impl Ledger {
    /// A source's references whose contact has a tag to lose.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn tags_owed(&self, source: &str, limit: usize) -> Result<Vec<RefKey>, LedgerError> {
        const WHO: &str = "SELECT namespace, id FROM tags_owed JOIN refs USING (ref)
            WHERE tags_owed.source = ?1 ORDER BY ref LIMIT ?2";
        let source = source.to_owned();
        self.read(move |ledger| keys(ledger, WHO, &source, limit)).await
    }

    /// On what evidence a contact is tagged because of its references that have left.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn tagged_by(&self, propstreet_id: String) -> Result<Vec<Evidence>, LedgerError> {
        const WHO: &str = "SELECT DISTINCT evidence FROM gone JOIN refs USING (ref)
            WHERE propstreet_id = ?1 AND fate = 'tagged'";
        self.read(move |ledger| {
            let mut who = ledger.prepare_cached(WHO)?;
            let who = who.query_and_then([propstreet_id], |row| {
                word("gone", &row.get::<_, String>("evidence")?, Evidence::parse)
            })?;
            who.collect()
        })
        .await
    }

    /// Whether this row version of a contact is one that our own writes left.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn is_ours(&self, propstreet_id: String, etag: Option<String>) -> Result<bool, LedgerError> {
        const OURS: &str = "SELECT EXISTS (SELECT 1 FROM refs WHERE propstreet_id = ?1 AND etag = ?2)";
        self.read(move |ledger| Ok(ledger.prepare_cached(OURS)?.query_row((propstreet_id, etag), |row| row.get(0))?))
            .await
    }

    /// Notes that somebody else has written a contact: a write of ours on top of it does not make that undone.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn touched(&self, propstreet_id: String) -> Result<(), LedgerError> {
        const TOUCHED: &str = "UPDATE refs SET etag = NULL WHERE propstreet_id = ?1";
        self.write(move |ledger| {
            ledger.prepare_cached(TOUCHED)?.execute([propstreet_id])?;
            Ok(())
        })
        .await
    }

    /// Closes what was owed: with our write, or because there was nothing left to write.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn tag_settled(
        &self,
        pass: PassId,
        key: RefKey,
        taken_off: Option<TakenOff>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        const FIND: &str = "SELECT ref, propstreet_id FROM refs WHERE namespace = ?1 AND id = ?2";
        const VERSION: &str = "UPDATE refs SET etag = ?2,
            outcome = CASE state WHEN 'settled' THEN 'updated' ELSE outcome END WHERE ref = ?1";
        self.write(move |ledger| {
            let mut find = ledger.prepare_cached(FIND)?;
            let mut found = find.query((&key.namespace, &key.id))?;
            let Some(row) = found.next()? else { return Ok(()) };
            let (reference, propstreet_id): (i64, Option<String>) = (row.get("ref")?, row.get("propstreet_id")?);
            ledger.prepare_cached("DELETE FROM tags_owed WHERE ref = ?1")?.execute([reference])?;
            intents::close(ledger, reference)?;
            let Some(TakenOff { etag, index, note }) = taken_off else { return Ok(()) };
            index::put(ledger, &index)?;
            ledger.prepare_cached(VERSION)?.execute((reference, etag))?;
            let told = Told { at, pass: Some(pass), what: "updated".to_owned(), propstreet_id, note };
            events::append(ledger, reference, &key, told)
        })
        .await
    }
}

/// Notes that the tag of a record which had left is true no longer. Called before the departure is forgotten.
pub(in crate::ledger) fn owe(ledger: &Connection, reference: i64) -> Result<(), LedgerError> {
    const OWE: &str = "INSERT OR IGNORE INTO tags_owed (ref, source)
        SELECT ref, source FROM gone JOIN refs USING (ref) WHERE ref = ?1 AND fate = 'tagged'";
    ledger.prepare_cached(OWE)?.execute([reference])?;
    Ok(())
}
