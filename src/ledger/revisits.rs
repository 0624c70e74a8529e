//! Settled references that are to be read and delivered again, though their records have not changed.
//!
//! A delivery may be under way when its record is asked for again: what it has read already, it cannot have heeded. It
//! therefore ends only the request that it saw, and each request is later than the one it takes the place of.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, key_of, millis, time};
use crate::ledger::error::LedgerError;

impl Ledger {
    /// Has these read and delivered again by the next sync of their source; those the ledger has never heard of are nothing.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn revisit(&self, keys: Vec<RefKey>, why: &'static str, at: Timestamp) -> Result<(), LedgerError> {
        const REVISIT: &str = "INSERT INTO revisits (ref, source, since, why)
            SELECT ref, source, ?3, ?4 FROM refs WHERE namespace = ?1 AND id = ?2
            ON CONFLICT (ref) DO UPDATE SET since = max(excluded.since, revisits.since + 1)";
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

/// Since when a reference is asked for, if it is.
pub(in crate::ledger) fn find(ledger: &Connection, key: &RefKey) -> Result<Option<Timestamp>, LedgerError> {
    const FIND: &str = "SELECT since FROM revisits JOIN refs USING (ref) WHERE namespace = ?1 AND id = ?2";
    let since = ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?;
    since.map(|since| time("revisits", since)).transpose()
}

/// A reference has been dealt with again, as was asked up to this time.
pub(in crate::ledger) fn over(ledger: &Connection, key: &RefKey, asked: Option<Timestamp>) -> Result<(), LedgerError> {
    const OVER: &str = "DELETE FROM revisits
        WHERE ref = (SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2) AND since <= ?3";
    if let Some(asked) = asked {
        ledger.prepare_cached(OVER)?.execute((&key.namespace, &key.id, millis(asked)))?;
    }
    Ok(())
}

/// Asks again for a reference beside which another one left the contact while it was delivered: it may have left a field to
/// that one still.
pub(in crate::ledger) fn whose_neighbour_left(
    ledger: &Connection,
    reference: i64,
    since: Timestamp,
    at: Timestamp,
) -> Result<(), LedgerError> {
    const NEIGHBOUR: &str = "INSERT INTO revisits (ref, source, since, why)
        SELECT ours.ref, ours.source, ?3, 'another record left the contact meanwhile' FROM refs AS ours
            WHERE ours.ref = ?1 AND EXISTS (SELECT 1 FROM refs AS other
                WHERE other.propstreet_id = ours.propstreet_id AND other.ref <> ours.ref AND other.last_changed >= ?2
                    AND (other.reason = 'filtered' OR EXISTS (SELECT 1 FROM gone WHERE gone.ref = other.ref)
                        OR EXISTS (SELECT 1 FROM aliases WHERE aliases.ref = other.ref)))
        ON CONFLICT (ref) DO UPDATE SET since = max(excluded.since, revisits.since + 1)";
    ledger.prepare_cached(NEIGHBOUR)?.execute((reference, millis(since), millis(at)))?;
    Ok(())
}

/// The others on a reference's contact, who may have a word there now.
pub(in crate::ledger) fn others(
    ledger: &Connection,
    reference: i64,
    why: &'static str,
    at: Timestamp,
) -> Result<(), LedgerError> {
    const OTHERS: &str = "INSERT INTO revisits (ref, source, since, why)
        SELECT ref, source, ?2, ?3 FROM refs
            WHERE propstreet_id = (SELECT propstreet_id FROM refs WHERE ref = ?1) AND ref <> ?1 AND state = 'settled'
        ON CONFLICT (ref) DO UPDATE SET since = max(excluded.since, revisits.since + 1)";
    ledger.prepare_cached(OTHERS)?.execute((reference, millis(at), why))?;
    Ok(())
}
