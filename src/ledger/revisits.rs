//! Settled references that are to be read and delivered again, though their records have not changed.

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, key_of, millis};
use crate::ledger::error::LedgerError;

impl Ledger {
    /// Has these read and delivered again by the next sync of their source; those the ledger has never heard of are nothing.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn revisit(&self, keys: Vec<RefKey>, why: &'static str, at: Timestamp) -> Result<(), LedgerError> {
        const REVISIT: &str = "INSERT OR IGNORE INTO revisits (ref, source, since, why)
            SELECT ref, source, ?3, ?4 FROM refs WHERE namespace = ?1 AND id = ?2";
        self.write(move |ledger| {
            let mut revisit = ledger.prepare_cached(REVISIT)?;
            for key in keys {
                revisit.execute((key.namespace, key.id, millis(at), why))?;
            }
            Ok(())
        })
        .await
    }

    /// A source's references that are to be read again, the longest waiting first. Who has left or was merged is not read.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn revisits(&self, source: &str, limit: usize) -> Result<Vec<RefKey>, LedgerError> {
        const WHO: &str = "SELECT namespace, id FROM revisits JOIN refs USING (ref)
            WHERE revisits.source = ?1 AND ref NOT IN (SELECT ref FROM gone) AND ref NOT IN (SELECT ref FROM aliases)
            ORDER BY since, ref LIMIT ?2";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut who = ledger.prepare_cached(WHO)?;
            Ok(who.query_map((source, at_most(limit)), key_of)?.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// A reference has been dealt with again.
pub(in crate::ledger) fn over(ledger: &Connection, reference: i64) -> Result<(), LedgerError> {
    ledger.prepare_cached("DELETE FROM revisits WHERE ref = ?1")?.execute([reference])?;
    Ok(())
}

/// The same by its key.
pub(in crate::ledger) fn over_of(ledger: &Connection, key: &RefKey) -> Result<(), LedgerError> {
    const OVER: &str = "DELETE FROM revisits WHERE ref = (SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2)";
    ledger.prepare_cached(OVER)?.execute((&key.namespace, &key.id))?;
    Ok(())
}

/// The others on a reference's contact, who may have a word there now.
pub(in crate::ledger) fn others(
    ledger: &Connection,
    reference: i64,
    why: &'static str,
    at: Timestamp,
) -> Result<(), LedgerError> {
    const OTHERS: &str = "INSERT OR IGNORE INTO revisits (ref, source, since, why)
        SELECT ref, source, ?2, ?3 FROM refs
            WHERE propstreet_id = (SELECT propstreet_id FROM refs WHERE ref = ?1) AND ref <> ?1 AND state = 'settled'";
    ledger.prepare_cached(OTHERS)?.execute((reference, millis(at), why))?;
    Ok(())
}
