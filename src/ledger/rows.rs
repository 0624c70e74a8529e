//! One row a reference: what stands about it now. Reads only; [`crate::ledger::settlements`] writes.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::decision::Decision;
use crate::domain::departure::{Evidence, Fate};
use crate::domain::failure::{Complaint, Reason};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::identity::RefKey;
use crate::domain::keyed::KeyedHash;
use crate::domain::merge::{self, Alias, Place};
use crate::domain::pass::Outcome;
use crate::domain::plan::{Holders, Indexed, Standing};
use crate::domain::remembered::Remembered;
use crate::ledger::columns::{complaint, json, key_of, time, time_if_any, word};
use crate::ledger::error::LedgerError;
use crate::ledger::gone::Gone;
use crate::ledger::intents::Intent;
use crate::ledger::{Ledger, decisions, gone, index, intents, revisits};

/// What the ledger knows of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The reference.
    pub key: RefKey,
    /// The source it was read from.
    pub source: String,
    /// What stands, in the decision's words. An open intent goes before everything else.
    pub standing: Standing,
    /// How it ended last; `None` while its first write is under way.
    pub outcome: Option<Outcome>,
    /// Why it ended so: the skip reason, the complaint's or the wait's code.
    pub reason: Option<String>,
    /// The contact it was settled on, also while it is quarantined, deferred or deleted since.
    pub propstreet_id: Option<String>,
    /// The content it was settled with, also then.
    pub sent: Option<Fingerprint>,
    /// That contact's row version.
    pub etag: Option<String>,
    /// The version of the map it was settled under.
    pub mapping: Option<i64>,
    /// The name it was settled with, hashed.
    pub name: Option<KeyedHash>,
    /// The address it was last seen with, hashed.
    pub email: Option<KeyedHash>,
    /// The CRM's modified stamp of what was last dealt with; `None` where it cannot be trusted to tell a change.
    pub modified: Option<Timestamp>,
    /// It changed in the CRM since it was settled, and the change was ignored.
    pub drifted: bool,
    /// Its employer waits to be linked.
    pub pending_employment: bool,
    /// Tries in a row that ended deferred.
    pub attempts: u32,
    /// What the first of them failed on.
    pub first_cause: Option<String>,
    /// When the first of them failed.
    pub first_failed: Option<Timestamp>,
    /// When the ledger first heard of it.
    pub first_seen: Timestamp,
    /// When something was last settled about it.
    pub last_changed: Timestamp,
    /// When it is to be tried again; a time gone by means now.
    pub next_try: Option<Timestamp>,
    /// What a person must know, while it is in quarantine.
    pub complaint: Option<Complaint>,
    /// The record it was merged into in the CRM.
    pub alias: Option<Alias>,
    /// What became of it, if the CRM has it no longer.
    pub gone: Option<Gone>,
    /// Its contact carries a tag of its departure that is true no longer.
    pub owes_tag: bool,
}

impl Row {
    /// Whether its record has left the CRM for good, as far as is decided.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.gone.is_some_and(|gone| gone.fate != Fate::Held)
    }

    /// Whether the filter kept it out when it was last looked at.
    #[must_use]
    pub fn is_kept_out(&self) -> bool {
        match self.gone {
            Some(gone) => gone.evidence == Evidence::Filter,
            None => self.reason.as_deref() == Some("filtered"),
        }
    }
}

/// All that a decision about one record needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// The reference's row.
    pub row: Option<Row>,
    /// Its announced write, if that has no outcome yet.
    pub intent: Option<Intent>,
    /// Who holds its reference and its address in Propstreet, and where those stand that were merged into it.
    pub holders: Holders,
    /// Where the reference stands in Propstreet, as far as is known here.
    pub place: Place,
    /// What a person decided about it.
    pub decision: Decision,
    /// Since when it is asked for again though it has not changed, if it is.
    pub revisit: Option<Timestamp>,
}

impl Ledger {
    /// The rows of these references; those the ledger has never heard of are absent.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn rows(&self, keys: Vec<RefKey>, now: Timestamp) -> Result<HashMap<RefKey, Row>, LedgerError> {
        self.read(move |ledger| {
            let mut rows = HashMap::with_capacity(keys.len());
            for key in keys {
                if let Some(row) = find(ledger, &key, now)? {
                    rows.insert(key, row);
                }
            }
            Ok(rows)
        })
        .await
    }

    /// The row of a reference, its open intent, and the contacts that hold it or its address; one snapshot.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn view(&self, key: RefKey, email: Option<KeyedHash>, now: Timestamp) -> Result<View, LedgerError> {
        self.read(move |ledger| {
            let row = find(ledger, &key, now)?;
            let mut holders = index::holders(ledger, &key, email)?;
            holders.by_merge = merged_into(ledger, &key, now)?;
            let place = place(ledger, row.as_ref(), holders.by_ref.as_ref())?;
            let decision = decisions::find(ledger, &key)?;
            let (intent, revisit) = (intents::find(ledger, &key)?, revisits::find(ledger, &key)?);
            Ok(View { row, intent, holders, place, decision, revisit })
        })
        .await
    }

    /// The record that a reference stands for today: the last survivor of all its merges, or itself.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn survivor(&self, key: RefKey) -> Result<RefKey, LedgerError> {
        const NEXT: &str = "SELECT survivor_namespace AS namespace, survivor_id AS id
            FROM aliases JOIN refs USING (ref) WHERE namespace = ?1 AND id = ?2";
        self.read(move |ledger| {
            let mut next = ledger.prepare_cached(NEXT)?;
            let mut path = vec![key];
            // A circle cannot be written; should one ever stand there, it must not be followed for ever.
            while let Some(last) = path.last()
                && let Some(survivor) = next.query_row((&last.namespace, &last.id), key_of).optional()?
                && !path.contains(&survivor)
            {
                path.push(survivor);
            }
            path.pop().ok_or_else(|| LedgerError::corrupt("aliases", "no reference"))
        })
        .await
    }

    /// What is remembered of a reference's fields.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn owned(&self, key: RefKey) -> Result<Remembered, LedgerError> {
        const OWNED: &str = "SELECT owned FROM refs WHERE namespace = ?1 AND id = ?2 AND owned IS NOT NULL";
        self.read(move |ledger| {
            let stored: Option<String> =
                ledger.prepare_cached(OWNED)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?;
            stored.map_or_else(|| Ok(Remembered::default()), |text| json("refs", &text))
        })
        .await
    }

    /// The references settled on a contact, each with its name's hash.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn holder_names(&self, propstreet_id: String) -> Result<Vec<(RefKey, Option<KeyedHash>)>, LedgerError> {
        const NAMES: &str = "SELECT namespace, id, name FROM refs
            WHERE propstreet_id = ?1 AND state = 'settled' ORDER BY namespace, id";
        self.read(move |ledger| {
            let mut names = ledger.prepare_cached(NAMES)?;
            let names = names.query_map([propstreet_id], |row| Ok((key_of(row)?, row.get("name")?)))?;
            Ok(names.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Every reference that has to do with an address: rows and intents seen with it, and the references of the contacts
    /// that have it.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn refs_by_email(&self, email: KeyedHash) -> Result<Vec<RefKey>, LedgerError> {
        const SEEN: &str = "SELECT namespace, id FROM refs WHERE email = ?1
            UNION SELECT namespace, id FROM intents JOIN refs USING (ref) WHERE intents.email = ?1";
        self.read(move |ledger| {
            let mut seen = ledger.prepare_cached(SEEN)?;
            let mut refs = seen.query_map([email], key_of)?.collect::<Result<Vec<_>, _>>()?;
            refs.extend(index::contacts_with_email(ledger, email)?.into_iter().flat_map(|contact| contact.refs));
            refs.sort();
            refs.dedup();
            Ok(refs)
        })
        .await
    }
}

/// Where a reference stands: on the contact it was settled on, or else on the one that carries it.
fn place(ledger: &Connection, row: Option<&Row>, holder: Option<&Indexed>) -> Result<Place, LedgerError> {
    // A contact that carries the reference and is plainly somebody else's is not its place.
    let disputed = |row: &Row| row.complaint.as_ref().is_some_and(|told| told.reason == Reason::RefConflict);
    let holder = holder.filter(|_| !row.is_some_and(disputed));
    if row.is_some_and(|row| row.standing == Standing::Deleted) {
        return Ok(Place::Deleted);
    }
    let settled = match row.and_then(|row| row.propstreet_id.as_deref()) {
        Some(id) => Some((id, index::is_deleted(ledger, id)?)),
        None => None,
    };
    Ok(match (settled, holder) {
        (Some((_, Some(true))), _) => Place::Deleted,
        // A contact that no list tells of any more may have gone, and its reference be elsewhere.
        (Some((id, None)), None) | (Some((id, Some(false))), _) => Place::On(id.to_owned()),
        (_, Some(holder)) if holder.deleted => Place::Deleted,
        (_, Some(holder)) => Place::On(holder.id.clone()),
        (None, None) => Place::Nowhere,
    })
}

/// Where those stand that were merged into a record, and those merged into them: who came first goes first. Who stands
/// apart leads nobody anywhere.
fn merged_into(ledger: &Connection, key: &RefKey, now: Timestamp) -> Result<Place, LedgerError> {
    const MERGED: &str = "WITH RECURSIVE merged (namespace, id, at) AS (
            SELECT namespace, id, at FROM aliases JOIN refs USING (ref) LEFT JOIN quarantine USING (ref)
                WHERE survivor_namespace = ?1 AND survivor_id = ?2 AND quarantine.reason IS NOT 'merged_in_crm'
            UNION SELECT refs.namespace, refs.id, aliases.at FROM merged
                JOIN aliases ON survivor_namespace = merged.namespace AND survivor_id = merged.id
                JOIN refs USING (ref) LEFT JOIN quarantine USING (ref)
                WHERE quarantine.reason IS NOT 'merged_in_crm')
        SELECT namespace, id FROM merged ORDER BY at, namespace, id";
    let mut merged = ledger.prepare_cached(MERGED)?;
    let merged = merged.query_map((&key.namespace, &key.id), key_of)?.collect::<Result<Vec<_>, _>>()?;
    let mut places = Vec::with_capacity(merged.len());
    for loser in merged {
        let holder = index::holders(ledger, &loser, None)?.by_ref;
        places.push(place(ledger, find(ledger, &loser, now)?.as_ref(), holder.as_ref())?);
    }
    Ok(merge::heir(&Place::Nowhere, &places))
}

const FIND: &str = "SELECT refs.*, intents.ref IS NOT NULL AS intended, quarantine.reason AS complaint,
        detail, blocker, quarantine.fingerprint AS refused, survivor_namespace, survivor_id, aliases.stamp AS merge_stamp,
        fate, evidence, gone.stamp AS gone_stamp, gone.at AS gone_at, tags_owed.ref IS NOT NULL AS owes_tag
    FROM refs LEFT JOIN intents USING (ref) LEFT JOIN quarantine USING (ref) LEFT JOIN aliases USING (ref)
        LEFT JOIN gone USING (ref) LEFT JOIN tags_owed USING (ref)
    WHERE namespace = ?1 AND id = ?2";

fn find(ledger: &Connection, key: &RefKey, now: Timestamp) -> Result<Option<Row>, LedgerError> {
    let mut find = ledger.prepare_cached(FIND)?;
    let mut found = find.query((&key.namespace, &key.id))?;
    found.next()?.map(|row| read(row, now)).transpose()
}

fn read(row: &rusqlite::Row<'_>, now: Timestamp) -> Result<Row, LedgerError> {
    let (alias, gone) = (alias(row)?, gone::of(row)?);
    let next_try = time_if_any("refs", row.get("next_try")?)?;
    let outcome: Option<String> = row.get("outcome")?;
    Ok(Row {
        key: key_of(row)?,
        source: row.get("source")?,
        standing: standing(row, next_try.is_some_and(|at| at <= now), alias.as_ref(), gone)?,
        outcome: outcome.map(|outcome| word("refs", &outcome, Outcome::parse)).transpose()?,
        reason: row.get("reason")?,
        propstreet_id: row.get("propstreet_id")?,
        sent: row.get::<_, Option<[u8; 32]>>("fingerprint")?.map(Fingerprint),
        etag: row.get("etag")?,
        mapping: row.get("mapping")?,
        name: row.get("name")?,
        email: row.get("email")?,
        modified: time_if_any("refs", row.get("crm_modified")?)?,
        drifted: row.get("drifted")?,
        pending_employment: row.get("pending_employment")?,
        attempts: row.get("attempts")?,
        first_cause: row.get("first_cause")?,
        first_failed: time_if_any("refs", row.get("first_failed")?)?,
        first_seen: time("refs", row.get("first_seen")?)?,
        last_changed: time("refs", row.get("last_changed")?)?,
        next_try,
        complaint: complaint(row)?,
        alias,
        gone,
        owes_tag: row.get("owes_tag")?,
    })
}

fn alias(row: &rusqlite::Row<'_>) -> Result<Option<Alias>, LedgerError> {
    let survivor: (Option<String>, Option<String>) = (row.get("survivor_namespace")?, row.get("survivor_id")?);
    let Some((namespace, id)) = survivor.0.zip(survivor.1) else { return Ok(None) };
    Ok(Some(Alias { survivor: RefKey { namespace, id }, stamp: time_if_any("aliases", row.get("merge_stamp")?)? }))
}

/// An announced write goes before everything, and that a record has left before how it stood when it lived.
fn standing(
    row: &rusqlite::Row<'_>,
    due: bool,
    alias: Option<&Alias>,
    gone: Option<Gone>,
) -> Result<Standing, LedgerError> {
    if row.get("intended")? {
        return Ok(Standing::Intended);
    }
    if let Some(alias) = alias {
        return Ok(Standing::Moved(alias.clone()));
    }
    if let Some(Gone { stamp, .. }) = gone {
        return Ok(Standing::Gone { stamp });
    }
    let missing = |what: &str| LedgerError::corrupt("refs", format!("a row without {what}"));
    Ok(match row.get::<_, String>("state")?.as_str() {
        "unsettled" => Standing::Unknown,
        "settled" => {
            let fingerprint = row.get::<_, Option<[u8; 32]>>("fingerprint")?;
            Standing::Settled { fingerprint: fingerprint.map(Fingerprint).ok_or_else(|| missing("its fingerprint"))? }
        }
        "quarantined" => {
            let refused = row.get::<_, Option<[u8; 32]>>("refused")?;
            Standing::Quarantined { fingerprint: refused.map(Fingerprint), due }
        }
        "deferred" => Standing::Deferred { due },
        "deleted" => Standing::Deleted,
        "moved" => return Err(missing("its survivor")),
        other => return Err(LedgerError::corrupt("refs", format!("the unknown state {other:?}"))),
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::ledger::stage::{at, create, created, ended, hash, key, opened};

    #[tokio::test(start_paused = true)]
    async fn everything_that_has_to_do_with_an_address_is_found() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        ledger.intend(create("2", Some(hash(1)), 1)).await.unwrap();
        ledger.settle(ended("3", created("c3"), 1)).await.unwrap();
        ledger.intend(create("3", Some(hash(2)), 2)).await.unwrap();
        assert_eq!(ledger.refs_by_email(hash(1)).await.unwrap(), [key("1"), key("2"), key("3")]);
        assert_eq!(ledger.refs_by_email(hash(2)).await.unwrap(), [key("3")]);
        assert!(ledger.refs_by_email(hash(3)).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn only_references_the_ledger_has_heard_of_have_rows() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        let rows = ledger.rows(vec![key("1"), key("2"), key("1")], at(1)).await.unwrap();
        assert_eq!(rows.into_keys().collect::<Vec<_>>(), [key("1")]);
        assert_eq!(ledger.view(key("2"), Some(hash(1)), at(1)).await.unwrap(), View::default());
    }

    /// Planning costs ten times what running does, and a backfill looks up every record once.
    #[tokio::test(start_paused = true)]
    async fn looking_up_another_reference_plans_nothing_anew() {
        let (_folder, ledger) = opened().await;
        let planned = ledger.read(|ledger| {
            for id in ["1", "2", "3"] {
                find(ledger, &key(id), at(0))?;
            }
            Ok(ledger.prepare_cached(FIND)?.get_status(StatementStatus::RePrepare))
        });
        assert_eq!(planned.await.unwrap(), 0);
    }
}
