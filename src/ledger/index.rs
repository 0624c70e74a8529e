//! Propstreet's contacts as last seen: ids, references and hashes, no personal data. What changes here wakes the
//! records that wait for it, and marks those whose contact was deleted.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::domain::keyed::KeyedHash;
use crate::domain::plan::{Holders, Indexed};
use crate::ledger::columns::{json, key_of, millis, time, to_json};
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::{Ledger, events};

/// How far the index is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IndexState {
    /// Whether every contact has been seen once.
    pub filled: bool,
    /// Where the first filling goes on.
    pub cursor: Option<String>,
    /// The newest `updatedUtc` seen, as it was written.
    pub since: Option<String>,
}

/// A contact for the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// What decisions need.
    pub indexed: Indexed,
    /// `updatedUtc`, as it was written.
    pub updated: String,
    /// The references as Propstreet spells them.
    pub spelled: Vec<ExternalRef>,
}

impl Ledger {
    /// How far the index is.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn index_state(&self) -> Result<IndexState, LedgerError> {
        const STATE: &str = "SELECT filled, cursor, since FROM index_state";
        self.read(|ledger| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(IndexState { filled: row.get(0)?, cursor: row.get(1)?, since: row.get(2)? })
            };
            Ok(ledger.prepare_cached(STATE)?.query_row([], read)?)
        })
        .await
    }

    /// Takes in a page of contacts, each in place of what was known of it, and notes how far the index is.
    /// Records quarantined because of a contact that really changed become due; a record settled on a contact that is
    /// now deleted stands as deleted, and as before if that contact comes back.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn index(&self, entries: Vec<IndexEntry>, state: IndexState) -> Result<(), LedgerError> {
        const NOTE: &str = "UPDATE index_state SET filled = ?1, cursor = ?2, since = ?3";
        self.write(move |ledger| {
            entries.iter().try_for_each(|entry| put(ledger, entry))?;
            ledger.prepare_cached(NOTE)?.execute((state.filled, state.cursor, state.since))?;
            Ok(())
        })
        .await
    }

    /// Forgets a contact that is no more and that no list will tell of. Records quarantined because of it become due.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn unlist(&self, propstreet_id: String) -> Result<(), LedgerError> {
        const UNLIST: &str = "DELETE FROM index_contacts WHERE id = ?1";
        self.write(move |ledger| {
            ledger.prepare_cached(UNLIST)?.execute([&propstreet_id])?;
            wake(ledger, &propstreet_id)
        })
        .await
    }

    /// Who has an address, save this contact: a living one before a deleted one.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn other_with_email(&self, email: KeyedHash, than: String) -> Result<Option<Indexed>, LedgerError> {
        self.read(move |ledger| Ok(contacts_with_email(ledger, email)?.into_iter().find(|owner| owner.id != than)))
            .await
    }

    /// What the index holds on a contact.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn index_entry(&self, propstreet_id: String) -> Result<Option<IndexEntry>, LedgerError> {
        self.read(move |ledger| Ok(find(ledger, &propstreet_id)?.map(|(_, entry)| entry))).await
    }
}

/// Who holds a reference and an address: a live contact before a deleted one, one whose primary address it is before others.
pub(in crate::ledger) fn holders(
    ledger: &Connection,
    key: &RefKey,
    email: Option<KeyedHash>,
) -> Result<Holders, LedgerError> {
    const BY_REF: &str = "SELECT c.* FROM index_refs r JOIN index_contacts c USING (contact)
        WHERE r.namespace = ?1 AND r.id = ?2 ORDER BY c.deleted, c.id LIMIT 1";
    let mut by_ref = ledger.prepare_cached(BY_REF)?;
    let by_ref = by_ref.query_and_then((&key.namespace, &key.id), read)?.next().transpose()?;
    let by_email = match email {
        Some(email) => contacts_with_email(ledger, email)?.into_iter().next(),
        None => None,
    };
    Ok(Holders { by_ref: by_ref.map(|entry| entry.indexed), by_email, ..Holders::default() })
}

/// Whether a contact is deleted; `None` if the index does not know it.
pub(in crate::ledger) fn is_deleted(ledger: &Connection, id: &str) -> Result<Option<bool>, LedgerError> {
    const DELETED: &str = "SELECT deleted FROM index_contacts WHERE id = ?1";
    Ok(ledger.prepare_cached(DELETED)?.query_row([id], |row| row.get(0)).optional()?)
}

/// Every contact that has an address, in the order in which they are to be believed.
pub(in crate::ledger) fn contacts_with_email(
    ledger: &Connection,
    email: KeyedHash,
) -> Result<Vec<Indexed>, LedgerError> {
    const BY_EMAIL: &str = "SELECT c.* FROM index_emails e JOIN index_contacts c USING (contact)
        WHERE e.email = ?1 ORDER BY c.deleted, e.place, c.id";
    let mut by_email = ledger.prepare_cached(BY_EMAIL)?;
    let found = by_email.query_and_then([email], read)?;
    found.map(|entry| Ok(entry?.indexed)).collect()
}

/// Takes in one contact. An answer older than what is known (a page that was under way while we wrote) changes nothing.
pub(in crate::ledger) fn put(ledger: &Connection, entry: &IndexEntry) -> Result<(), LedgerError> {
    let known = find(ledger, &entry.indexed.id)?;
    let old = known.as_ref().map(|(_, old)| old);
    if old.is_some_and(|old| old == entry || older(entry, old)) {
        return Ok(());
    }
    let contact = store(ledger, entry)?;
    if old.is_none_or(|old| old.indexed.emails != entry.indexed.emails) {
        store_emails(ledger, contact, &entry.indexed.emails, old.is_some())?;
    }
    if old.is_none_or(|old| old.indexed.refs != entry.indexed.refs) {
        store_refs(ledger, contact, &entry.indexed.refs, old.is_some())?;
    }
    if old.is_none_or(|old| really_changed(old, entry)) {
        wake(ledger, &entry.indexed.id)?;
    }
    match (old.is_some_and(|old| old.indexed.deleted), entry.indexed.deleted) {
        (_, true) => turn(ledger, entry, Turn::Deleted)?,
        (true, false) => turn(ledger, entry, Turn::Restored)?,
        (false, false) => {}
    }
    if !entry.indexed.deleted && old.is_none_or(|old| old.indexed.refs != entry.indexed.refs) {
        entry.indexed.refs.iter().try_for_each(|key| move_here(ledger, key, entry))?;
    }
    Ok(())
}

/// A reference whose contact was deleted stands on this one: a person has moved it, as by merging the two. It is adopted by
/// its next reading, which need not wait until it changes.
fn move_here(ledger: &Connection, key: &RefKey, entry: &IndexEntry) -> Result<(), LedgerError> {
    const FIND: &str = "SELECT ref, last_changed FROM refs
        WHERE namespace = ?1 AND id = ?2 AND state = 'deleted' AND propstreet_id <> ?3";
    const ANEW: &str = "UPDATE refs SET state = 'unsettled', outcome = NULL, reason = NULL WHERE ref = ?1";
    const AGAIN: &str = "INSERT OR IGNORE INTO revisits (ref, source, since, why)
        SELECT ref, source, ?2, 'its reference stands on another contact' FROM refs WHERE ref = ?1";
    let find = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let mut deleted = ledger.prepare_cached(FIND)?;
    let deleted = deleted.query_row((&key.namespace, &key.id, &entry.indexed.id), find).optional()?;
    if let Some((reference, last_changed)) = deleted {
        ledger.prepare_cached(ANEW)?.execute([reference])?;
        ledger.prepare_cached(AGAIN)?.execute((reference, instant(entry).map_or(last_changed, millis)))?;
    }
    Ok(())
}

fn store(ledger: &Connection, entry: &IndexEntry) -> Result<i64, LedgerError> {
    const STORE: &str = "INSERT INTO index_contacts (id, etag, deleted, name, emails, refs, spelled, updated)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (id) DO UPDATE SET etag = excluded.etag, deleted = excluded.deleted, name = excluded.name,
            emails = excluded.emails, refs = excluded.refs, spelled = excluded.spelled, updated = excluded.updated
        RETURNING contact";
    let IndexEntry { indexed, updated, spelled } = entry;
    let (refs, spelled) = (to_json("index_contacts", &indexed.refs)?, to_json("index_contacts", spelled)?);
    let emails = indexed.emails.concat();
    let stored = (&indexed.id, &indexed.etag, indexed.deleted, indexed.name, emails, refs, spelled, updated);
    Ok(ledger.prepare_cached(STORE)?.query_row(stored, |row| row.get(0))?)
}

fn store_emails(ledger: &Connection, contact: i64, emails: &[KeyedHash], known: bool) -> Result<(), LedgerError> {
    const FORGET: &str = "DELETE FROM index_emails WHERE contact = ?1";
    const STORE: &str = "INSERT OR IGNORE INTO index_emails (email, contact, place) VALUES (?1, ?2, ?3)";
    if known {
        ledger.prepare_cached(FORGET)?.execute([contact])?;
    }
    let mut store = ledger.prepare_cached(STORE)?;
    for (place, email) in (0_i64..).zip(emails) {
        store.execute((email, contact, place))?;
    }
    Ok(())
}

fn store_refs(ledger: &Connection, contact: i64, refs: &[RefKey], known: bool) -> Result<(), LedgerError> {
    const FORGET: &str = "DELETE FROM index_refs WHERE contact = ?1";
    const STORE: &str = "INSERT OR IGNORE INTO index_refs (namespace, id, contact) VALUES (?1, ?2, ?3)";
    if known {
        ledger.prepare_cached(FORGET)?.execute([contact])?;
    }
    let mut store = ledger.prepare_cached(STORE)?;
    for key in refs {
        store.execute((&key.namespace, &key.id, contact))?;
    }
    Ok(())
}

fn find(ledger: &Connection, id: &str) -> Result<Option<(i64, IndexEntry)>, LedgerError> {
    const FIND: &str = "SELECT * FROM index_contacts WHERE id = ?1";
    let mut find = ledger.prepare_cached(FIND)?;
    let mut found = find.query([id])?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some((row.get("contact")?, read(row)?)))
}

fn read(row: &rusqlite::Row<'_>) -> Result<IndexEntry, LedgerError> {
    let emails: Vec<u8> = row.get("emails")?;
    let (emails, _) = emails.as_chunks::<16>();
    Ok(IndexEntry {
        indexed: Indexed {
            id: row.get("id")?,
            etag: row.get("etag")?,
            deleted: row.get("deleted")?,
            emails: emails.to_vec(),
            name: row.get("name")?,
            refs: json("index_contacts", &row.get::<_, String>("refs")?)?,
        },
        updated: row.get("updated")?,
        spelled: json("index_contacts", &row.get::<_, String>("spelled")?)?,
    })
}

/// Propstreet's stamp as an instant, all seven digits of it.
fn instant(entry: &IndexEntry) -> Option<Timestamp> {
    entry.updated.parse::<chrono::DateTime<chrono::FixedOffset>>().ok().map(|at| at.to_utc())
}

fn older(entry: &IndexEntry, than: &IndexEntry) -> bool {
    instant(entry).zip(instant(than)).is_some_and(|(new, old)| new < old)
}

/// Whether there is news in an entry for those who wait for this contact; without row versions, its stamp tells.
fn really_changed(old: &IndexEntry, new: &IndexEntry) -> bool {
    let versions = (&old.indexed.etag, &new.indexed.etag);
    let another = match versions {
        (Some(old), Some(new)) => old != new,
        _ => old.updated != new.updated,
    };
    another || old.indexed.deleted != new.indexed.deleted
}

/// Lets the records quarantined because of this contact be tried again at once.
pub(in crate::ledger) fn wake(ledger: &Connection, id: &str) -> Result<(), LedgerError> {
    const WAKE: &str = "UPDATE refs SET next_try = last_changed
        WHERE ref IN (SELECT ref FROM quarantine WHERE blocker = ?1) AND state = 'quarantined'";
    ledger.prepare_cached(WAKE)?.execute([id])?;
    Ok(())
}

/// What the index showed of a contact our references are settled on.
#[derive(Clone, Copy)]
enum Turn {
    Deleted,
    Restored,
}

fn turn(ledger: &Connection, entry: &IndexEntry, turn: Turn) -> Result<(), LedgerError> {
    const SETTLED: &str = "SELECT ref, namespace, id, last_changed FROM refs
        WHERE propstreet_id = ?1 AND state = 'settled'";
    const DELETED: &str = "SELECT ref, namespace, id, last_changed FROM refs
        WHERE propstreet_id = ?1 AND state = 'deleted'";
    const DELETE: &str = "UPDATE refs SET state = 'deleted', outcome = 'skipped', reason = 'deleted_in_propstreet',
        last_changed = ?2 WHERE ref = ?1";
    // Who was never settled has nothing to be settled as: the next reading adopts it.
    const RESTORE: &str = "UPDATE refs SET state = CASE WHEN fingerprint IS NULL THEN 'unsettled' ELSE 'settled' END,
        reason = NULL, last_changed = ?2 WHERE ref = ?1";
    let (which, change, what) = match turn {
        Turn::Deleted => (SETTLED, DELETE, "deleted"),
        Turn::Restored => (DELETED, RESTORE, "restored"),
    };
    let mut which = ledger.prepare_cached(which)?;
    let concerned = which.query_and_then([&entry.indexed.id], |row| {
        Ok::<_, LedgerError>((row.get::<_, i64>("ref")?, key_of(row)?, time("refs", row.get("last_changed")?)?))
    })?;
    for concerned in concerned.collect::<Result<Vec<_>, _>>()? {
        let (reference, key, last_changed) = concerned;
        // Propstreet says when; a stamp that cannot be read leaves the row's own.
        let at = instant(entry).unwrap_or(last_changed);
        ledger.prepare_cached(change)?.execute((reference, millis(at)))?;
        let propstreet_id = Some(entry.indexed.id.clone());
        let note = "seen in Propstreet's list".to_owned();
        events::append(ledger, reference, &key, Told { at, pass: None, what: what.to_owned(), propstreet_id, note })?;
        let holder = holders(ledger, &key, None)?.by_ref.filter(|holder| !holder.deleted);
        if let Some((_, elsewhere)) = holder.map(|holder| find(ledger, &holder.id)).transpose()?.flatten() {
            move_here(ledger, &key, &elsewhere)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Standing;
    use crate::ledger::stage::{at, contact, created, deferred, ended, filled, hash, key, opened, print, quarantined};

    fn with(mut entry: IndexEntry, deleted: bool, emails: &[u8]) -> IndexEntry {
        entry.indexed.deleted = deleted;
        entry.indexed.emails = emails.iter().map(|of| hash(*of)).collect();
        entry
    }

    #[tokio::test(start_paused = true)]
    async fn the_most_credible_holder_comes_first() {
        let (_folder, ledger) = opened().await;
        let entries = [
            with(contact("a-deleted", "1", 1), true, &[1]),
            with(contact("b-secondary", "2", 1), false, &[9, 1]),
            with(contact("c-primary", "1", 1), false, &[1]),
            with(contact("d-other", "3", 1), false, &[2]),
        ];
        let holder = async |id: &str, email: u8| {
            let holders = ledger.view(key(id), Some(hash(email)), at(0)).await.unwrap().holders;
            (holders.by_ref.map(|holder| holder.id), holders.by_email.map(|holder| holder.id))
        };
        let owned =
            |by_ref: Option<&str>, by_email: Option<&str>| (by_ref.map(str::to_owned), by_email.map(str::to_owned));
        for (taken, expected) in [
            (0, owned(None, None)),
            (1, owned(Some("a-deleted"), Some("a-deleted"))),
            (2, owned(Some("a-deleted"), Some("b-secondary"))),
            (4, owned(Some("c-primary"), Some("c-primary"))),
        ] {
            ledger.index(entries[..taken].to_vec(), filled()).await.unwrap();
            assert_eq!(holder("1", 1).await, expected, "with {taken}");
        }
        assert_eq!(ledger.refs_by_email(hash(1)).await.unwrap(), [key("1"), key("2")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_contact_is_replaced_whole_and_an_older_answer_changes_nothing() {
        let (_folder, ledger) = opened().await;
        let first = with(contact("c1", "1", 1), false, &[1, 2]);
        let second = with(contact("c1", "2", 2), false, &[3]);
        for entry in [&first, &second, &first] {
            ledger.index(vec![entry.clone()], filled()).await.unwrap();
        }
        assert_eq!(ledger.index_entry("c1".to_owned()).await.unwrap(), Some(second));
        let view = ledger.view(key("1"), Some(hash(1)), at(0)).await.unwrap();
        assert_eq!(view.holders, Holders::default(), "nothing of the first is left");
        assert_eq!(ledger.index_state().await.unwrap(), filled());
        assert_eq!(ledger.summary(at(0)).await.unwrap().index_size, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stamps_compare_by_all_their_digits() {
        let at = |updated: &str| IndexEntry { updated: updated.to_owned(), ..contact("c1", "1", 1) };
        for (new, old, is_older) in [
            ("2026-03-01T00:00:00.1234566Z", "2026-03-01T00:00:00.1234567Z", true),
            ("2026-03-01T00:00:00.12Z", "2026-03-01T00:00:00.1234567Z", true),
            ("2026-03-01T00:00:00.1234567Z", "2026-03-01T00:00:00.1234567Z", false),
            ("2026-03-01T00:00:00.2Z", "2026-03-01T00:00:00.1234567Z", false),
            ("2026-03-01T02:00:00+02:00", "2026-03-01T00:30:00Z", true),
            ("soon", "2026-03-01T00:00:00Z", false),
        ] {
            assert_eq!(older(&at(new), &at(old)), is_older, "{new} before {old}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocker_that_really_changed_wakes_who_waits_for_it() {
        let (_folder, ledger) = opened().await;
        ledger.index(vec![contact("c1", "9", 1)], filled()).await.unwrap();
        let day = 24 * 3600;
        for (id, ending) in [
            ("1", quarantined(Some("c1"))),
            ("2", quarantined(Some("c2"))),
            ("3", quarantined(None)),
            ("4", deferred("down", 50)),
        ] {
            ledger.settle(ended(id, ending, 10)).await.unwrap();
        }
        let due = async |seconds: i64| ledger.due("crm", at(seconds), 10).await.unwrap();
        assert!(due(49).await.is_empty());
        ledger.index(vec![contact("c1", "9", 1)], filled()).await.unwrap();
        assert!(due(49).await.is_empty(), "seen again as it was");
        ledger.index(vec![contact("c1", "9", 2)], filled()).await.unwrap();
        assert_eq!(due(49).await, [key("1")]);
        assert!(matches!(ledger.standing("1", 49).await, Standing::Quarantined { due: true, .. }));
        assert_eq!(due(50).await, [key("1"), key("4")]);
        assert_eq!(due(10 + day - 1).await.len(), 2);
        assert_eq!(due(10 + day).await, [key("1"), key("4"), key("2")], "whom nobody wakes is tried daily");
        assert_eq!(ledger.due("crm", at(10 + day), 1).await.unwrap(), [key("1")]);
        assert!(ledger.due("other", at(10 + day), 9).await.unwrap().is_empty());
        assert_eq!(
            ledger.standing("3", 10 + day).await,
            Standing::Quarantined { fingerprint: Some(print(2)), due: false }
        );

        ledger.settle(ended("1", quarantined(Some("c1")), 60)).await.unwrap();
        assert!(!due(70).await.contains(&key("1")), "tried, and waits again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_contact_deleted_in_propstreet_takes_its_records_along_and_brings_them_back() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2"] {
            ledger.settle(ended(id, created("c1"), 1)).await.unwrap();
        }
        ledger.settle(ended("3", created("c3"), 1)).await.unwrap();
        ledger.index(vec![with(contact("c1", "1", 2), true, &[])], filled()).await.unwrap();
        for (id, standing) in
            [("1", Standing::Deleted), ("2", Standing::Deleted), ("3", Standing::Settled { fingerprint: print(1) })]
        {
            assert_eq!(ledger.standing(id, 2).await, standing);
        }
        assert_eq!(ledger.row("1", 2).await.reason.as_deref(), Some("deleted_in_propstreet"));
        let newest = ledger.events(key("2"), 1).await.unwrap().remove(0).told.unwrap();
        let stamp = "2026-03-01T00:00:02.123Z".parse::<Timestamp>().unwrap();
        assert_eq!((newest.what.as_str(), newest.at), ("deleted", stamp), "Propstreet says when");

        ledger.index(vec![contact("c1", "1", 3)], filled()).await.unwrap();
        assert_eq!(ledger.standing("1", 4).await, Standing::Settled { fingerprint: print(1) });
        assert_eq!(ledger.events(key("1"), 1).await.unwrap().remove(0).told.unwrap().what, "restored");
        assert_eq!(ledger.verify_chain().await.unwrap(), 7);
    }
}
