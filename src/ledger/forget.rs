//! Erasing one person (a person's right), and remembering of them only that they are not to be created again.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::domain::keyed::Keyed;
use crate::ledger::Ledger;
use crate::ledger::columns::{key_of, millis, time};
use crate::ledger::error::LedgerError;

/// What was known of somebody who is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// The references that were erased: the one asked for, and those merged into it, who are the same person.
    pub keys: Vec<RefKey>,
    /// The contacts in Propstreet that they stood on.
    pub contacts: Vec<String>,
    /// They were forgotten before.
    pub before: bool,
    /// The ledger held something about them.
    pub known: bool,
}

/// The references that are not to be created again. They cannot be read out of it, only asked for.
#[derive(Debug, Clone, Default)]
pub struct Tombstones {
    keyed: Option<Keyed>,
    /// One salt for all, or a few where ledgers were put together.
    by_salt: HashMap<[u8; 16], HashMap<[u8; 32], Timestamp>>,
}

impl Tombstones {
    /// When this reference was forgotten, if it was.
    #[must_use]
    pub fn of(&self, key: &RefKey) -> Option<Timestamp> {
        let keyed = self.keyed.as_ref()?;
        self.by_salt.iter().find_map(|(salt, known)| known.get(&hash(keyed, *salt, key)).copied())
    }
}

impl Ledger {
    /// Whom to forget.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn tombstones(&self) -> Result<Tombstones, LedgerError> {
        let keyed = self.keyed().clone();
        self.read(move |ledger| {
            let mut by_salt: HashMap<[u8; 16], HashMap<[u8; 32], Timestamp>> = HashMap::new();
            let mut all = ledger.prepare_cached("SELECT salt, hash, at FROM tombstones")?;
            let mut all = all.query([])?;
            while let Some(row) = all.next()? {
                by_salt.entry(row.get(0)?).or_default().insert(row.get(1)?, time("tombstones", row.get(2)?)?);
            }
            Ok(Tombstones { keyed: Some(keyed), by_salt })
        })
        .await
    }

    /// Who would be erased with this reference, and the contacts they stand on.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn to_forget(&self, key: RefKey) -> Result<Forgotten, LedgerError> {
        let before = self.tombstones().await?.of(&key).is_some();
        self.read(move |ledger| Ok(Forgotten { before, ..known(ledger, key)? })).await
    }

    /// Erases a person: every row about the reference and those merged into it, the words of their events, and what is
    /// remembered of their contacts; and leaves a mark that they are not to be created again. What is erased is also
    /// overwritten in the file.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn forget(&self, key: RefKey, salt: [u8; 16], at: Timestamp) -> Result<Forgotten, LedgerError> {
        let before = self.tombstones().await?.of(&key).is_some();
        let keyed = self.keyed().clone();
        self.write(move |ledger| {
            ledger.pragma_update(None, "secure_delete", true)?;
            let forgotten = Forgotten { before, ..known(ledger, key)? };
            forgotten.keys.iter().try_for_each(|key| erase(ledger, &keyed, salt, key, at))?;
            forgotten.keys.iter().try_for_each(|key| unname(ledger, key))?;
            for contact in &forgotten.contacts {
                ledger.prepare_cached("DELETE FROM index_contacts WHERE id = ?1")?.execute([contact])?;
            }
            Ok(forgotten)
        })
        .await
    }
}

fn known(ledger: &Connection, key: RefKey) -> Result<Forgotten, LedgerError> {
    const MERGED: &str = "WITH RECURSIVE same (namespace, id) AS (
            SELECT ?1, ?2
            UNION SELECT refs.namespace, refs.id FROM same
                JOIN aliases ON survivor_namespace = same.namespace AND survivor_id = same.id JOIN refs USING (ref))
        SELECT namespace, id FROM same";
    const CONTACTS: &str = "SELECT propstreet_id FROM refs
            WHERE namespace = ?1 AND id = ?2 AND propstreet_id IS NOT NULL
        UNION SELECT index_contacts.id FROM index_refs JOIN index_contacts USING (contact)
            WHERE namespace = ?1 AND index_refs.id = ?2";
    let mut merged = ledger.prepare_cached(MERGED)?;
    let keys = merged.query_map((key.namespace, key.id), key_of)?.collect::<Result<Vec<_>, _>>()?;
    let mut contacts = Vec::new();
    for RefKey { namespace, id } in &keys {
        let mut of = ledger.prepare_cached(CONTACTS)?;
        contacts.extend(of.query_map((namespace, id), |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?);
    }
    contacts.sort();
    contacts.dedup();
    let rows = "SELECT EXISTS (SELECT 1 FROM refs WHERE namespace = ?1 AND id = ?2)";
    let mut rows = ledger.prepare_cached(rows)?;
    let mut known = !contacts.is_empty();
    for RefKey { namespace, id } in &keys {
        known |= rows.query_row((namespace, id), |row| row.get::<_, bool>(0))?;
    }
    Ok(Forgotten { keys, contacts, before: false, known })
}

fn erase(ledger: &Connection, keyed: &Keyed, salt: [u8; 16], key: &RefKey, at: Timestamp) -> Result<(), LedgerError> {
    const FIND: &str = "SELECT ref, source FROM refs WHERE namespace = ?1 AND id = ?2";
    // Emptied first: an event that still had its words would keep its row from going.
    const EMPTY: &str = "UPDATE events SET body = NULL, ref = NULL WHERE ref = ?1";
    const UNTOLD: &str = "DELETE FROM told_merges WHERE source = ?1 AND (loser = ?2 OR survivor = ?2)";
    const MARK: &str = "INSERT OR IGNORE INTO tombstones (hash, salt, at) VALUES (?1, ?2, ?3)";
    let find = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
    let found = ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), find).optional()?;
    if let Some((reference, source)) = found {
        ledger.prepare_cached(EMPTY)?.execute([reference])?;
        ledger.prepare_cached(UNTOLD)?.execute((source, &key.id))?;
        ledger.prepare_cached("DELETE FROM refs WHERE ref = ?1")?.execute([reference])?;
    }
    // One salt for all, so that asking costs one hash however many are forgotten.
    let first = ledger.prepare_cached("SELECT salt FROM tombstones LIMIT 1")?.query_row([], |row| row.get(0));
    let salt = first.optional()?.unwrap_or(salt);
    ledger.prepare_cached(MARK)?.execute((hash(keyed, salt, key), salt, millis(at)))?;
    Ok(())
}

/// Empties the events of others that name a reference: beside which they were linked, for which they waited.
fn unname(ledger: &Connection, key: &RefKey) -> Result<(), LedgerError> {
    const NAMING: &str = "SELECT event, body FROM events WHERE instr(body, ?1) > 0";
    const EMPTY: &str = "UPDATE events SET body = NULL WHERE event = ?1";
    let name = key.to_string();
    let goes_on = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || "-_:".contains(next));
    let names = |body: &str| {
        let mut places = body.match_indices(&name);
        places.any(|(place, _)| {
            !goes_on(body[..place].chars().next_back()) && !goes_on(body[place + name.len()..].chars().next())
        })
    };
    let mut naming = ledger.prepare_cached(NAMING)?;
    let naming = naming.query_map([&name], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    for (event, _) in naming.collect::<Result<Vec<_>, _>>()?.into_iter().filter(|(_, body)| names(body)) {
        ledger.prepare_cached(EMPTY)?.execute([event])?;
    }
    Ok(())
}

/// By the ledger's own key too: ids are short, and a salt alone would let them be tried through.
fn hash(keyed: &Keyed, salt: [u8; 16], key: &RefKey) -> [u8; 32] {
    let reference = keyed.field("reference", &key.to_string());
    Sha256::new().chain_update(salt).chain_update(reference).finalize().into()
}

#[cfg(test)]
mod tests {
    use crate::domain::merge::Alias;
    use crate::ledger::settlements::Ending;
    use crate::ledger::stage::{at, contact, created, ended, key, opened, quarantined};

    #[tokio::test(start_paused = true)]
    async fn nobody_elses_history_names_who_is_forgotten() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        for (id, named) in [("2", key("1")), ("3", key("12"))] {
            let mut linked = created("c1");
            if let Ending::Synced { note, .. } = &mut linked {
                *note = format!("reference added beside {named}, x:9");
            }
            ledger.settle(ended(id, linked, 2)).await.unwrap();
        }
        ledger.forget(key("1"), [3; 16], at(5)).await.unwrap();
        let told = async |id| ledger.events(key(id), 1).await.unwrap().remove(0).told;
        assert_eq!(told("2").await, None);
        assert!(told("3").await.is_some(), "that is somebody else");
        assert_eq!(ledger.verify_chain().await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_of_a_person_is_left_but_a_mark_that_cannot_be_read() {
        let (folder, ledger) = opened().await;
        let mut settled = ended("1", created("c1"), 1);
        settled.index = Some(contact("c1", "1", 1));
        ledger.settle(settled).await.unwrap();
        ledger.settle(ended("1", quarantined(Some("c9")), 2)).await.unwrap();
        let merged = Ending::Merged { alias: Alias { survivor: key("1"), stamp: None }, apart: None };
        ledger.settle(ended("7", merged, 3)).await.unwrap();
        ledger.settle(ended("2", created("c2"), 4)).await.unwrap();

        let forgotten = ledger.forget(key("1"), [3; 16], at(5)).await.unwrap();
        assert_eq!((forgotten.keys, forgotten.contacts), (vec![key("1"), key("7")], vec!["c1".to_owned()]));
        assert!(!forgotten.before && forgotten.known);
        let rows = ledger.rows(vec![key("1"), key("7"), key("2")], at(6)).await.unwrap();
        assert_eq!(rows.into_keys().collect::<Vec<_>>(), [key("2")]);
        assert_eq!(ledger.index_entry("c1".to_owned()).await.unwrap(), None);
        assert_eq!(ledger.verify_chain().await.unwrap(), 4, "the chain holds");
        assert_eq!(ledger.events(key("2"), 9).await.unwrap().len(), 1);
        let marks = ledger.tombstones().await.unwrap();
        assert_eq!([marks.of(&key("1")), marks.of(&key("7")), marks.of(&key("2"))], [Some(at(5)), Some(at(5)), None]);

        let again = ledger.forget(key("1"), [4; 16], at(9)).await.unwrap();
        assert!(again.before && !again.known);
        let marks = ledger.tombstones().await.unwrap();
        assert_eq!((marks.of(&key("1")), marks.by_salt.len()), (Some(at(5)), 1), "twice is fine");
        ledger.close().await;
        let bytes = std::fs::read(folder.path().join("ledger.db")).unwrap();
        let left = |words: &str| bytes.windows(words.len()).any(|window| window == words.as_bytes());
        assert!(!left("email: another name"), "overwritten in the file too");
    }
}
