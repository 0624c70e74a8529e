//! What people decided by hand: about one record, and about pairs that are never to be joined.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::decision::Decision;
use crate::domain::identity::RefKey;
use crate::ledger::columns::millis;
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::index::IndexEntry;
use crate::ledger::passes::PassId;
use crate::ledger::{Ledger, events, index};

impl Ledger {
    /// Keeps a decision about a record, in place of an earlier one, and tells of it; durable on return. Who is to leave a
    /// contact never joins it again. `false`: the ledger does not know the record.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn decide(
        &self,
        key: RefKey,
        decision: Decision,
        note: &str,
        at: Timestamp,
    ) -> Result<bool, LedgerError> {
        const DECIDE: &str = "INSERT OR REPLACE INTO decisions (ref, without_email, same_as, detach, revive, at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        const NEVER: &str = "INSERT OR IGNORE INTO never_link (ref, propstreet_id, at) VALUES (?1, ?2, ?3)";
        const ALLOW: &str = "DELETE FROM never_link WHERE ref = ?1 AND propstreet_id = ?2";
        let note = note.to_owned();
        self.write(move |ledger| {
            let Some(reference) = row_of(ledger, &key)? else { return Ok(false) };
            let Decision { without_email, same_as, detach, revive } = &decision;
            let row = (reference, without_email, same_as, detach, revive, millis(at));
            ledger.prepare_cached(DECIDE)?.execute(row)?;
            if let Some(contact) = detach {
                ledger.prepare_cached(NEVER)?.execute((reference, contact, millis(at)))?;
            }
            if let Some(contact) = same_as {
                ledger.prepare_cached(ALLOW)?.execute((reference, contact))?;
            }
            let contact = detach.clone().or_else(|| same_as.clone());
            tell(ledger, reference, &key, None, "decided", contact, note, at)?;
            Ok(true)
        })
        .await
    }

    /// Takes back all that was decided about a record. `false`: nothing was.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn undecide(&self, key: RefKey, at: Timestamp) -> Result<bool, LedgerError> {
        self.write(move |ledger| {
            let Some(reference) = row_of(ledger, &key)? else { return Ok(false) };
            let decided = ledger.prepare_cached("DELETE FROM decisions WHERE ref = ?1")?.execute([reference])?;
            let never = ledger.prepare_cached("DELETE FROM never_link WHERE ref = ?1")?.execute([reference])?;
            if decided + never > 0 {
                let note = "what was decided by hand is taken back".to_owned();
                tell(ledger, reference, &key, None, "decided", None, note, at)?;
            }
            Ok(decided + never > 0)
        })
        .await
    }

    /// What stands decided about a record.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn decision(&self, key: RefKey) -> Result<Decision, LedgerError> {
        self.read(move |ledger| find(ledger, &key)).await
    }

    /// Whether a person decided that a record and a contact are not one person.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn is_never_linked(&self, key: RefKey, propstreet_id: String) -> Result<bool, LedgerError> {
        const NEVER: &str = "SELECT EXISTS (SELECT 1 FROM never_link JOIN refs USING (ref)
            WHERE namespace = ?1 AND id = ?2 AND never_link.propstreet_id = ?3)";
        self.read(move |ledger| {
            Ok(ledger.prepare_cached(NEVER)?.query_row((key.namespace, key.id, propstreet_id), |row| row.get(0))?)
        })
        .await
    }

    /// A record's reference was taken off a contact: from here on the record is as one that was never sent, but for what was
    /// decided about it.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn detached(
        &self,
        pass: PassId,
        key: RefKey,
        propstreet_id: String,
        shown: Option<IndexEntry>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        const UNSETTLE: &str =
            "UPDATE refs SET state = 'unsettled', outcome = NULL, reason = NULL, propstreet_id = NULL,
                etag = NULL, fingerprint = NULL, mapping = NULL, name = NULL, owned = NULL, drifted = 0,
                pending_employment = 0, attempts = 0, first_cause = NULL, first_failed = NULL, next_try = NULL
            WHERE ref = ?1";
        const DONE: &str = "UPDATE decisions SET detach = NULL WHERE ref = ?1";
        self.write(move |ledger| {
            if let Some(entry) = &shown {
                index::put(ledger, entry)?;
            }
            let Some(reference) = row_of(ledger, &key)? else { return Ok(()) };
            ledger.prepare_cached(UNSETTLE)?.execute([reference])?;
            ledger.prepare_cached(DONE)?.execute([reference])?;
            ledger.prepare_cached("DELETE FROM quarantine WHERE ref = ?1")?.execute([reference])?;
            ledger.prepare_cached("DELETE FROM intents WHERE ref = ?1")?.execute([reference])?;
            let note = "its reference was taken off the contact, as a person decided".to_owned();
            tell(ledger, reference, &key, Some(pass), "detached", Some(propstreet_id), note, at)
        })
        .await
    }

    /// Whether a contact was created for this reference.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn was_created_for(&self, propstreet_id: String, key: RefKey) -> Result<bool, LedgerError> {
        const CREATED: &str = "SELECT EXISTS (SELECT 1 FROM events
            WHERE ref = (SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2)
                AND body ->> 'what' = 'created' AND body ->> 'propstreet_id' = ?3)";
        self.read(move |ledger| {
            let mut created = ledger.prepare_cached(CREATED)?;
            Ok(created.query_row((key.namespace, key.id, propstreet_id), |row| row.get(0))?)
        })
        .await
    }
}

/// What stands decided about a record.
pub(in crate::ledger) fn find(ledger: &Connection, key: &RefKey) -> Result<Decision, LedgerError> {
    const FIND: &str = "SELECT without_email, same_as, detach, revive FROM decisions JOIN refs USING (ref)
        WHERE namespace = ?1 AND id = ?2";
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Decision { without_email: row.get(0)?, same_as: row.get(1)?, detach: row.get(2)?, revive: row.get(3)? })
    };
    let mut find = ledger.prepare_cached(FIND)?;
    Ok(find.query_row((&key.namespace, &key.id), read).optional()?.unwrap_or_default())
}

/// A record is in Propstreet: it was brought back if it was to be, and the next deletion there is respected again.
pub(in crate::ledger) fn is_there(ledger: &Connection, reference: i64) -> Result<(), LedgerError> {
    const THERE: &str = "UPDATE decisions SET revive = 0 WHERE ref = ?1 AND revive = 1";
    ledger.prepare_cached(THERE)?.execute([reference])?;
    Ok(())
}

fn row_of(ledger: &Connection, key: &RefKey) -> Result<Option<i64>, LedgerError> {
    const FIND: &str = "SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2";
    Ok(ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one event")]
fn tell(
    ledger: &Connection,
    reference: i64,
    key: &RefKey,
    pass: Option<PassId>,
    what: &str,
    propstreet_id: Option<String>,
    note: String,
    at: Timestamp,
) -> Result<(), LedgerError> {
    let told = Told { at, pass, what: what.to_owned(), propstreet_id, note };
    events::append(ledger, reference, key, told)
}
