//! References whose records have left their CRM: held until it is certain that they may, then with what became of the
//! contact; and the way back of a record that is shown alive again.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::departure::{Evidence, Fate};
use crate::domain::identity::RefKey;
use crate::ledger::columns::{at_most, count, key_of, millis, time, time_if_any, word};
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::passes::PassId;
use crate::ledger::{Ledger, events};

/// What the ledger holds on a record that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// What became of its contact.
    pub fate: Fate,
    /// How it is known.
    pub evidence: Evidence,
    /// The CRM's stamp of its deletion, where it has one.
    pub stamp: Option<Timestamp>,
    /// When that was decided; of one that is held, since when it is.
    pub at: Timestamp,
}

/// One that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its place among the held, to go on from.
    pub place: i64,
    /// The reference.
    pub key: RefKey,
    /// How it is known.
    pub evidence: Evidence,
    /// The pass that last saw it gone.
    pub pass: PassId,
}

/// How many leave a source, for the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leaving {
    /// Those whose time to leave it is.
    pub held: u64,
    /// Those who have left since an instant.
    pub recent: u64,
    /// Those who live there, the held among them.
    pub live: u64,
}

impl Ledger {
    /// Notes that records are gone: what becomes of them is decided when the pass has come to its end. References the
    /// ledger has never heard of are nothing, merged ones and those deleted in Propstreet too; a decided fate stays.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn hold(
        &self,
        pass: PassId,
        evidence: Evidence,
        gone: Vec<(RefKey, Option<Timestamp>)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        const HOLD: &str = "INSERT INTO gone (ref, fate, evidence, stamp, pass, at)
            SELECT ref, 'held', ?3, ?4, ?5, ?6 FROM refs
                WHERE namespace = ?1 AND id = ?2 AND state <> 'deleted' AND ref NOT IN (SELECT ref FROM aliases)
            ON CONFLICT (ref) DO UPDATE SET evidence = excluded.evidence, pass = excluded.pass,
                stamp = coalesce(excluded.stamp, stamp) WHERE fate = 'held'";
        self.write(move |ledger| {
            let mut hold = ledger.prepare_cached(HOLD)?;
            for (key, stamp) in gone {
                let stamp = stamp.map(millis);
                hold.execute((&key.namespace, &key.id, evidence.as_str(), stamp, pass.0, millis(at)))?;
            }
            Ok(())
        })
        .await
    }

    /// The held of a source after this place, in order.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn held(&self, source: &str, after: i64, limit: usize) -> Result<Vec<Held>, LedgerError> {
        const HELD: &str = "SELECT gone.ref AS place, namespace, id, evidence, pass FROM gone JOIN refs USING (ref)
            WHERE fate = 'held' AND source = ?1 AND gone.ref > ?2 ORDER BY gone.ref LIMIT ?3";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut held = ledger.prepare_cached(HELD)?;
            let held = held.query_and_then((source, after, at_most(limit)), |row| {
                let evidence = word("gone", &row.get::<_, String>("evidence")?, Evidence::parse)?;
                Ok(Held { place: row.get("place")?, key: key_of(row)?, evidence, pass: PassId(row.get("pass")?) })
            })?;
            held.collect()
        })
        .await
    }

    /// A source's references after this place whose records live as far as the ledger knows, each with its place: none
    /// that has left, was merged, or is deleted in Propstreet. Those that are held are among them.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn living(&self, source: &str, after: i64, limit: usize) -> Result<Vec<(i64, RefKey)>, LedgerError> {
        const LIVING: &str = "SELECT ref, namespace, id FROM refs
            LEFT JOIN aliases USING (ref) LEFT JOIN gone USING (ref)
            WHERE ref > ?2 AND source = ?1 AND state NOT IN ('deleted', 'moved')
                AND survivor_id IS NULL AND coalesce(fate, 'held') = 'held' ORDER BY ref LIMIT ?3";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut living = ledger.prepare_cached(LIVING)?;
            let living = living.query_map((source, after, at_most(limit)), |row| Ok((row.get(0)?, key_of(row)?)))?;
            Ok(living.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many leave a source. Counts those who live there only when anybody is held.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn leaving(&self, source: &str, since: Timestamp) -> Result<Leaving, LedgerError> {
        const HELD: &str = "SELECT count(*) FROM gone JOIN refs USING (ref) WHERE fate = 'held' AND source = ?1";
        const RECENT: &str = "SELECT count(*) FROM gone JOIN refs USING (ref)
            WHERE fate IN ('kept', 'tagged', 'deleted') AND gone.at >= ?2 AND source = ?1";
        const LIVE: &str = "SELECT count(*) FROM refs
            WHERE source = ?1 AND state = 'settled' AND ref NOT IN (SELECT ref FROM gone WHERE fate <> 'held')";
        let source = source.to_owned();
        self.read(move |ledger| {
            let held = ledger.prepare_cached(HELD)?.query_row([&source], |row| row.get(0))?;
            if held == 0 {
                return Ok(Leaving::default());
            }
            let recent = ledger.prepare_cached(RECENT)?.query_row((&source, millis(since)), |row| row.get(0))?;
            let live = ledger.prepare_cached(LIVE)?.query_row([&source], |row| row.get(0))?;
            Ok(Leaving { held: count("gone", held)?, recent: count("gone", recent)?, live: count("refs", live)? })
        })
        .await
    }

    /// A record that had left, or was merged, is shown alive again: what stood before stands again, save that a merged
    /// one is decided anew.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn returned(&self, pass: PassId, key: RefKey, at: Timestamp) -> Result<(), LedgerError> {
        self.write(move |ledger| back(ledger, pass, &key, at)).await
    }
}

fn back(ledger: &Connection, pass: PassId, key: &RefKey, at: Timestamp) -> Result<(), LedgerError> {
    const FIND: &str = "SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2";
    const UNALIAS: &str = "DELETE FROM aliases WHERE ref = ?1";
    // What waited for a person was its contact beside the survivor's: a living record has its own again.
    const ANEW: &str = "UPDATE refs SET state = 'unsettled', reason = NULL, next_try = NULL
        WHERE ref = ?1 AND state IN ('moved', 'quarantined')";
    const UNAWAIT: &str = "DELETE FROM quarantine WHERE ref = ?1";
    const UNGONE: &str = "DELETE FROM gone WHERE ref = ?1";
    let found = ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?;
    let Some(reference) = found else { return Ok(()) };
    let merged = ledger.prepare_cached(UNALIAS)?.execute([reference])? > 0;
    if merged {
        ledger.prepare_cached(ANEW)?.execute([reference])?;
        ledger.prepare_cached(UNAWAIT)?.execute([reference])?;
    }
    let gone = ledger.prepare_cached(UNGONE)?.execute([reference])? > 0;
    if !merged && !gone {
        return Ok(());
    }
    let note = if merged { "the CRM shows it again: it is merged no longer" } else { "the CRM shows it again" };
    let told = Told { at, pass: Some(pass), what: "returned".to_owned(), propstreet_id: None, note: note.to_owned() };
    events::append(ledger, reference, key, told)
}

/// Keeps what became of a record that left.
pub(in crate::ledger) fn decide(
    ledger: &Connection,
    reference: i64,
    fate: Fate,
    evidence: Evidence,
    pass: PassId,
    at: Timestamp,
) -> Result<(), LedgerError> {
    const DECIDE: &str = "INSERT INTO gone (ref, fate, evidence, pass, at) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (ref) DO UPDATE SET fate = excluded.fate, evidence = excluded.evidence, pass = excluded.pass,
            at = excluded.at";
    let decided = (reference, fate.as_str(), evidence.as_str(), pass.0, millis(at));
    ledger.prepare_cached(DECIDE)?.execute(decided)?;
    Ok(())
}

/// What became of a record that left, from a result's columns `fate`, `evidence`, `gone_stamp` and `gone_at`.
pub(in crate::ledger) fn of(row: &rusqlite::Row<'_>) -> Result<Option<Gone>, LedgerError> {
    let Some(fate) = row.get::<_, Option<String>>("fate")? else { return Ok(None) };
    Ok(Some(Gone {
        fate: word("gone", &fate, Fate::parse)?,
        evidence: word("gone", &row.get::<_, String>("evidence")?, Evidence::parse)?,
        stamp: time_if_any("gone", row.get("gone_stamp")?)?,
        at: time("gone", row.get("gone_at")?)?,
    }))
}
