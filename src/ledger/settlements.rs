//! How a record ended: its row, its intent, its quarantine, the index and the event, in one transaction.

use chrono::TimeDelta;
use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::departure::{Evidence, Fate};
use crate::domain::failure::{Complaint, Wait};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::identity::RefKey;
use crate::domain::keyed::KeyedHash;
use crate::domain::merge::Alias;
use crate::domain::pass::{Outcome, SkipReason};
use crate::domain::remembered::Remembered;
use crate::ledger::columns::{json, millis, to_json};
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::index::IndexEntry;
use crate::ledger::passes::PassId;
use crate::ledger::{Ledger, decisions, events, gone, index, intents, revisits, tags};

/// How long a quarantined record's payload is kept.
const PAYLOAD_KEPT: TimeDelta = TimeDelta::days(30);
/// How often a record is tried whose cause may lift unseen, or lies with another contact that the index never shows change.
const BLOCKED_TRY: TimeDelta = TimeDelta::days(1);

/// The end of one record in one pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// The pass.
    pub pass: PassId,
    /// The source.
    pub source: String,
    /// The record.
    pub key: RefKey,
    /// Its address, hashed.
    pub email: Option<KeyedHash>,
    /// Its modified stamp, if that can be trusted to tell the next change.
    pub modified: Option<Timestamp>,
    /// How it ended.
    pub ending: Ending,
    /// The contact as Propstreet's answer showed it.
    pub index: Option<IndexEntry>,
    /// Since when it was asked for again, if it was when its delivery looked.
    pub revisit: Option<Timestamp>,
    /// When its delivery began, which may not have seen what came to be later.
    pub began: Timestamp,
    /// When.
    pub at: Timestamp,
}

/// How a record ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It is in Propstreet.
    Synced {
        /// Created, adopted, linked or updated.
        outcome: Outcome,
        /// The contact.
        propstreet_id: String,
        /// Its row version.
        etag: Option<String>,
        /// The content as sent, or as mapped when adopted.
        fingerprint: Fingerprint,
        /// The map's version.
        mapping: i64,
        /// The name, hashed.
        name: Option<KeyedHash>,
        /// What is remembered of its fields.
        owned: Remembered,
        /// Whether its employer waits to be linked.
        pending_employment: bool,
        /// How it was found out ("POST 201", "409: ref found").
        note: String,
    },
    /// It was left alone. A record that had been settled stays so, with the content that was sent.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// Whether it differs from what was sent.
        drifted: bool,
    },
    /// It needs a person.
    Quarantined {
        /// What that person must know.
        complaint: Complaint,
        /// The content that was refused.
        fingerprint: Option<Fingerprint>,
        /// The record, kept for 30 days.
        payload: Option<String>,
    },
    /// It will be tried again by itself.
    Deferred {
        /// Why it waits.
        wait: Wait,
        /// What happened.
        cause: String,
        /// When to try again; `None` where it is not time that decides.
        next: Option<Timestamp>,
        /// A write was sent whose answer nobody knows: it stays announced, to be looked up first.
        unanswered: bool,
    },
    /// Someone deleted it in Propstreet.
    Deleted {
        /// The contact; `None` leaves the one that is known.
        propstreet_id: Option<String>,
        /// How it was found out.
        note: String,
    },
    /// The CRM merged it into another record. Whatever waited for it ends.
    Merged {
        /// That record.
        alias: Alias,
        /// What a person must know, if its contact and the survivor's are two.
        apart: Option<Complaint>,
    },
    /// The CRM has it no longer, and its contact's fate is decided.
    Gone {
        /// What became of the contact.
        fate: Fate,
        /// How it is known that it left.
        evidence: Evidence,
        /// The row version our write left, if we wrote.
        etag: Option<String>,
        /// Why it ended so.
        note: String,
    },
}

impl Ledger {
    /// Notes that a record was merged into another while a write of its own may still be under way: from now on nothing
    /// is created for it.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn alias(&self, key: RefKey, alias: Alias, at: Timestamp) -> Result<(), LedgerError> {
        const FIND: &str = "SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2";
        self.write(move |ledger| {
            let found: Option<i64> =
                ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?;
            found.map_or(Ok(()), |reference| move_to(ledger, reference, &alias, at))
        })
        .await
    }

    /// Settles a record: its row, its intent closed, its quarantine opened or closed, the index and the event, all or
    /// none, durable on return. Returns the outcome that was kept: a contact that was known before its `created` is
    /// adopted.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn settle(&self, mut settlement: Settlement) -> Result<Outcome, LedgerError> {
        self.write(move |ledger| {
            demote_what_was_known(ledger, &mut settlement.ending)?;
            settle(ledger, &settlement)?;
            Ok(settlement.ending.outcome())
        })
        .await
    }

    /// Notes that records were seen and are as they were: only their stamp moves, and of settled ones the version of the
    /// map, where it makes the same of them. Whoever was asked for again up to `revisit` is no longer.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn rested(
        &self,
        pass: PassId,
        rows: Vec<(RefKey, Option<Timestamp>)>,
        map: Option<i64>,
        revisit: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        const REST: &str = "UPDATE refs SET crm_modified = ?3, seen_pass = ?4,
            mapping = CASE state WHEN 'settled' THEN coalesce(?5, mapping) ELSE mapping END
            WHERE namespace = ?1 AND id = ?2";
        self.write(move |ledger| {
            let mut rest = ledger.prepare_cached(REST)?;
            for (key, modified) in rows {
                rest.execute((&key.namespace, &key.id, modified.map(millis), pass.0, map))?;
                revisits::over(ledger, &key, revisit)?;
            }
            Ok(())
        })
        .await
    }
}

impl Ending {
    /// How the books call it.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Synced { outcome, .. } => *outcome,
            Self::Quarantined { .. } | Self::Merged { apart: Some(_), .. } => Outcome::Quarantined,
            Self::Skipped { .. } | Self::Deleted { .. } | Self::Merged { .. } | Self::Gone { .. } => Outcome::Skipped,
            Self::Deferred { .. } => Outcome::Deferred,
        }
    }
}

/// An answer of success to a create whose contact the index or another reference knew before: it was there already.
fn demote_what_was_known(ledger: &Connection, ending: &mut Ending) -> Result<(), LedgerError> {
    const KNOWN: &str = "SELECT EXISTS (SELECT 1 FROM index_contacts WHERE id = ?1)
        OR EXISTS (SELECT 1 FROM refs WHERE propstreet_id = ?1)";
    if let Ending::Synced { outcome: outcome @ Outcome::Created, propstreet_id, .. } = ending
        && ledger.prepare_cached(KNOWN)?.query_row([&*propstreet_id], |row| row.get(0))?
    {
        *outcome = Outcome::Adopted;
    }
    Ok(())
}

fn settle(ledger: &Connection, settlement: &Settlement) -> Result<(), LedgerError> {
    // The index goes first: what it wakes are the records that waited before this one ended.
    if let Some(entry) = &settlement.index {
        index::put(ledger, entry)?;
    }
    let reference = meet(ledger, settlement)?;
    revisits::over(ledger, &settlement.key, settlement.revisit)?;
    make_room(ledger, reference, &settlement.ending, settlement.at)?;
    end(ledger, reference, settlement)?;
    if !matches!(settlement.ending, Ending::Deferred { unanswered: true, .. }) {
        intents::close(ledger, reference)?;
    }
    if matches!(settlement.ending, Ending::Synced { .. }) {
        decisions::is_there(ledger, reference)?;
        revisits::whose_neighbour_left(ledger, reference, settlement.began, settlement.at)?;
    }
    match &settlement.ending {
        Ending::Quarantined { complaint, fingerprint, payload } => {
            open_quarantine(ledger, reference, complaint, *fingerprint, payload.as_deref(), settlement.at)?;
        }
        Ending::Merged { apart: Some(complaint), .. } => {
            open_quarantine(ledger, reference, complaint, None, None, settlement.at)?;
        }
        _ => drop(ledger.prepare_cached("DELETE FROM quarantine WHERE ref = ?1")?.execute([reference])?),
    }
    events::append(ledger, reference, &settlement.key, tell(settlement))
}

/// Where a record gives up a field that it fed, or leaves its contact as a whole, the others there may have a value for it.
fn make_room(ledger: &Connection, reference: i64, ending: &Ending, at: Timestamp) -> Result<(), LedgerError> {
    const BEFORE: &str = "SELECT owned FROM refs WHERE ref = ?1";
    let may_leave_room = match ending {
        Ending::Synced { .. } | Ending::Gone { .. } | Ending::Merged { apart: None, .. } => true,
        Ending::Skipped { reason, .. } => *reason == SkipReason::Filtered,
        _ => false,
    };
    if !may_leave_room {
        return Ok(());
    }
    let before: Option<String> = ledger.prepare_cached(BEFORE)?.query_row([reference], |row| row.get(0))?;
    let Some(before) = before else { return Ok(()) };
    let before: Remembered = json("refs", &before)?;
    match ending {
        Ending::Synced { owned, .. } if before.gave_up(owned) => {
            revisits::others(ledger, reference, "another record gave up a field", at)
        }
        Ending::Gone { .. } | Ending::Merged { .. } | Ending::Skipped { .. } if before.feeds() => {
            revisits::others(ledger, reference, "another record left the contact", at)
        }
        _ => Ok(()),
    }
}

/// The row of the record, made if it has none, with what every ending changes.
fn meet(ledger: &Connection, settlement: &Settlement) -> Result<i64, LedgerError> {
    const FIND: &str = "SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2";
    const MEET: &str = "INSERT INTO refs (namespace, id, source, state, first_seen, last_changed)
        VALUES (?1, ?2, ?3, 'unsettled', ?4, ?4)";
    let Settlement { pass: _, source, key, email: _, modified: _, ending: _, index: _, revisit: _, began: _, at } =
        settlement;
    let found = ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?;
    if let Some(reference) = found {
        return Ok(reference);
    }
    ledger.prepare_cached(MEET)?.execute((&key.namespace, &key.id, source, millis(*at)))?;
    Ok(ledger.last_insert_rowid())
}

const SYNC: &str = "UPDATE refs SET state = 'settled', outcome = ?2, reason = NULL, propstreet_id = ?3, etag = ?4,
        fingerprint = ?5, mapping = ?6, name = ?7, owned = ?8, pending_employment = ?9, drifted = 0,
        updated = CASE WHEN ?2 = 'updated' THEN ?10 ELSE updated END,
        attempts = 0, first_cause = NULL, first_failed = NULL, next_try = NULL
    WHERE ref = ?1";
/// A record that was settled before it was quarantined or deferred is settled again, unless its contact is gone.
const SKIP: &str = "UPDATE refs SET outcome = 'skipped', reason = ?2, drifted = drifted OR ?3,
        state = CASE WHEN state IN ('deleted', 'moved') THEN state
            WHEN fingerprint IS NULL THEN 'unsettled'
            WHEN ?4 THEN 'deleted'
            ELSE 'settled' END,
        attempts = 0, first_cause = NULL, first_failed = NULL, next_try = NULL
    WHERE ref = ?1";
const MERGE: &str = "UPDATE refs SET state = 'moved', outcome = 'skipped', reason = ?2,
        attempts = 0, first_cause = NULL, first_failed = NULL, next_try = NULL
    WHERE ref = ?1";
const VERSION: &str = "UPDATE refs SET etag = coalesce(?2, etag) WHERE ref = ?1";
const QUARANTINE: &str =
    "UPDATE refs SET state = 'quarantined', outcome = 'quarantined', reason = ?2, next_try = ?3 WHERE ref = ?1";
/// Only tries in a row count, and only those (`?6`) that are not the upstream's fault.
const DEFER: &str = "UPDATE refs SET state = 'deferred', outcome = 'deferred', reason = ?2, next_try = ?3,
        attempts = CASE state WHEN 'deferred' THEN attempts ELSE 0 END + ?6,
        first_cause = CASE WHEN state = 'deferred' AND first_cause IS NOT NULL THEN first_cause ELSE ?4 END,
        first_failed = CASE WHEN state = 'deferred' AND first_failed IS NOT NULL THEN first_failed
            WHEN ?6 THEN ?5 END
    WHERE ref = ?1";
const DELETE: &str = "UPDATE refs SET state = 'deleted', outcome = 'skipped', reason = ?2,
        propstreet_id = coalesce(?3, propstreet_id),
        attempts = 0, first_cause = NULL, first_failed = NULL, next_try = NULL
    WHERE ref = ?1";
const EVERY_ENDING: &str = "UPDATE refs SET source = ?2, crm_modified = ?3, seen_pass = ?4, last_changed = ?5,
        email = CASE WHEN ?7 THEN ?6 ELSE coalesce(?6, email) END
    WHERE ref = ?1";

fn end(ledger: &Connection, reference: i64, settlement: &Settlement) -> Result<(), LedgerError> {
    let Settlement { pass, source, key: _, email, modified, ending, index: _, revisit: _, began: _, at } = settlement;
    match ending {
        Ending::Synced {
            outcome, propstreet_id, etag, fingerprint, mapping, name, owned, pending_employment, ..
        } => {
            gone::stands_elsewhere(ledger, reference, propstreet_id)?;
            let (outcome, owned) = (outcome.as_str(), to_json("refs", owned)?);
            let at = millis(*at);
            let sync =
                (reference, outcome, propstreet_id, etag, fingerprint.0, mapping, name, owned, pending_employment, at);
            ledger.prepare_cached(SYNC)?.execute(sync)?;
        }
        Ending::Skipped { reason, drifted } => {
            let deleted = *reason == SkipReason::DeletedInPropstreet;
            ledger.prepare_cached(SKIP)?.execute((reference, reason.code(), drifted, deleted))?;
        }
        Ending::Quarantined { complaint, .. } => quarantine(ledger, reference, complaint, *at)?,
        Ending::Merged { alias, apart } => {
            if apart.is_none() {
                tags::owe(ledger, reference)?;
            }
            move_to(ledger, reference, alias, *at)?;
            match apart {
                Some(complaint) => quarantine(ledger, reference, complaint, *at)?,
                None => {
                    let reason = SkipReason::MergedInto(alias.survivor.clone()).code();
                    ledger.prepare_cached(MERGE)?.execute((reference, reason))?;
                }
            }
        }
        Ending::Gone { fate, evidence, etag, note: _ } => {
            let deleted = *fate == Fate::Deleted;
            let reason = if *evidence == Evidence::Filter { SkipReason::Filtered } else { SkipReason::Gone };
            ledger.prepare_cached(SKIP)?.execute((reference, reason.code(), false, deleted))?;
            ledger.prepare_cached(VERSION)?.execute((reference, etag))?;
            gone::decide(ledger, reference, *fate, *evidence, *pass, *at)?;
        }
        Ending::Deferred { wait, cause, next, unanswered: _ } => {
            let counts = !wait.spares_the_record();
            let defer = (reference, wait.code(), next.map(millis), cause, millis(*at), counts);
            ledger.prepare_cached(DEFER)?.execute(defer)?;
        }
        Ending::Deleted { propstreet_id, note: _ } => {
            let reason = SkipReason::DeletedInPropstreet.code();
            ledger.prepare_cached(DELETE)?.execute((reference, reason, propstreet_id))?;
        }
    }
    // Only a contact that was written tells that an address is gone; elsewhere its absence may mean it was not looked at.
    let told = matches!(ending, Ending::Synced { .. });
    let common = (reference, source, modified.map(millis), pass.0, millis(*at), email, told);
    ledger.prepare_cached(EVERY_ENDING)?.execute(common)?;
    Ok(())
}

fn quarantine(ledger: &Connection, reference: i64, complaint: &Complaint, at: Timestamp) -> Result<(), LedgerError> {
    let daily = complaint.blocker.is_some() || complaint.reason.may_lift_unseen();
    let next = daily.then(|| millis(at + BLOCKED_TRY));
    ledger.prepare_cached(QUARANTINE)?.execute((reference, complaint.reason.code(), next))?;
    Ok(())
}

/// A merged record has an alias, and is not among those who left without one.
fn move_to(ledger: &Connection, reference: i64, alias: &Alias, at: Timestamp) -> Result<(), LedgerError> {
    const ALIAS: &str = "INSERT OR REPLACE INTO aliases (ref, survivor_namespace, survivor_id, at, stamp)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    const UNGONE: &str = "DELETE FROM gone WHERE ref = ?1";
    let Alias { survivor, stamp } = alias;
    let alias = (reference, &survivor.namespace, &survivor.id, millis(at), stamp.map(millis));
    ledger.prepare_cached(ALIAS)?.execute(alias)?;
    ledger.prepare_cached(UNGONE)?.execute([reference])?;
    Ok(())
}

fn open_quarantine(
    ledger: &Connection,
    reference: i64,
    complaint: &Complaint,
    fingerprint: Option<Fingerprint>,
    payload: Option<&str>,
    at: Timestamp,
) -> Result<(), LedgerError> {
    const OPEN: &str = "INSERT INTO quarantine (ref, reason, detail, blocker, fingerprint, payload, expires, since)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (ref) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, blocker = excluded.blocker,
            fingerprint = excluded.fingerprint, payload = excluded.payload, expires = excluded.expires";
    let Complaint { reason, detail, blocker } = complaint;
    let expires = payload.map(|_| millis(at + PAYLOAD_KEPT));
    let refused = fingerprint.map(|fingerprint| fingerprint.0);
    let opened = (reference, reason.code(), detail, blocker, refused, payload, expires, millis(at));
    ledger.prepare_cached(OPEN)?.execute(opened)?;
    Ok(())
}

/// The settlement as its event tells it.
fn tell(settlement: &Settlement) -> Told {
    let (what, propstreet_id, note) = match &settlement.ending {
        Ending::Synced { outcome, propstreet_id, note, .. } => {
            (outcome.as_str(), Some(propstreet_id.clone()), note.clone())
        }
        Ending::Skipped { reason, .. } => (Outcome::Skipped.as_str(), None, reason.code()),
        Ending::Quarantined { complaint: Complaint { reason, detail, blocker }, .. } => {
            (Outcome::Quarantined.as_str(), blocker.clone(), format!("{reason}: {detail}"))
        }
        Ending::Deferred { wait, cause, .. } => (Outcome::Deferred.as_str(), None, format!("{wait}: {cause}")),
        Ending::Deleted { propstreet_id, note } => ("deleted", propstreet_id.clone(), note.clone()),
        Ending::Merged { apart: Some(Complaint { reason, detail, blocker }), .. } => {
            (Outcome::Quarantined.as_str(), blocker.clone(), format!("{reason}: {detail}"))
        }
        Ending::Merged { alias, .. } => {
            (Outcome::Skipped.as_str(), None, SkipReason::MergedInto(alias.survivor.clone()).code())
        }
        Ending::Gone { fate, evidence, note, .. } => {
            let what = if *evidence == Evidence::Filter { "filtered" } else { "gone" };
            (what, None, format!("{}, as {}: {note}", fate.as_str(), evidence.told()))
        }
    };
    Told { at: settlement.at, pass: Some(settlement.pass), what: what.to_owned(), propstreet_id, note }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Reason;
    use crate::domain::plan::Standing;
    use crate::ledger::stage::{
        at, contact, create, created, deferred, ended, hash, key, opened, print, quarantined, remembered,
    };

    const SETTLED: Standing = Standing::Settled { fingerprint: Fingerprint([1; 32]) };

    fn skipped(reason: SkipReason, drifted: bool) -> Ending {
        Ending::Skipped { reason, drifted }
    }

    #[tokio::test(start_paused = true)]
    async fn every_ending_comes_back_as_it_was_settled() {
        let deleted = Ending::Deleted { propstreet_id: Some("c7".to_owned()), note: "404".to_owned() };
        let waits = Standing::Deferred { due: false };
        let refused = Standing::Quarantined { fingerprint: Some(print(2)), due: false };
        // The ending, and then: standing, outcome, reason, contact; each for a record that was unknown and for a settled one.
        let cases = [
            (created("c7"), SETTLED, Outcome::Created, None, Some("c7"), SETTLED, Some("c7")),
            (
                skipped(SkipReason::Filtered, false),
                Standing::Unknown,
                Outcome::Skipped,
                Some("filtered"),
                None,
                SETTLED,
                Some("c1"),
            ),
            (
                skipped(SkipReason::DeletedInPropstreet, false),
                Standing::Unknown,
                Outcome::Skipped,
                Some("deleted_in_propstreet"),
                None,
                Standing::Deleted,
                Some("c1"),
            ),
            (quarantined(None), refused.clone(), Outcome::Quarantined, Some("email_taken"), None, refused, Some("c1")),
            (deferred("reset", 60), waits.clone(), Outcome::Deferred, Some("record_fails"), None, waits, Some("c1")),
            (
                deleted,
                Standing::Deleted,
                Outcome::Skipped,
                Some("deleted_in_propstreet"),
                Some("c7"),
                Standing::Deleted,
                Some("c7"),
            ),
        ];
        for (ending, standing, outcome, reason, contact, then_standing, then_contact) in cases {
            let (_folder, ledger) = opened().await;
            ledger.settle(ended("new", ending.clone(), 5)).await.unwrap();
            ledger.settle(ended("old", created("c1"), 1)).await.unwrap();
            ledger.settle(ended("old", ending.clone(), 5)).await.unwrap();
            for (id, standing, contact) in [("new", standing, contact), ("old", then_standing, then_contact)] {
                let row = ledger.row(id, 6).await;
                assert_eq!(row.standing, standing, "{id}: {ending:?}");
                // The second time its contact is no longer new.
                let known = outcome == Outcome::Created && id == "old";
                let kept = if known { Outcome::Adopted } else { outcome };
                assert_eq!((row.outcome, row.reason.as_deref()), (Some(kept), reason));
                assert_eq!(row.propstreet_id.as_deref(), contact, "{id}: {ending:?}");
                assert_eq!((row.modified, row.email, row.last_changed), (Some(at(-5)), Some(hash(1)), at(5)));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_merged_or_left_keeps_its_contact_and_stands_apart_from_the_living() {
        let alias = Alias { survivor: key("8"), stamp: Some(at(4)) };
        let two = Complaint::new(Reason::MergedInCrm, "two contacts").blocked_by("c1");
        let merged = |apart| Ending::Merged { alias: alias.clone(), apart };
        let left = |fate| Ending::Gone { fate, evidence: Evidence::Feed, etag: None, note: "no more".to_owned() };
        let (moved, gone) = (Standing::Moved(alias.clone()), Standing::Gone { stamp: None });
        for (ending, standing, outcome, reason) in [
            (merged(None), &moved, Outcome::Skipped, "merged_into:hubspot:8"),
            (merged(Some(two)), &moved, Outcome::Quarantined, "merged_in_crm"),
            (left(Fate::Kept), &gone, Outcome::Skipped, "gone"),
            (left(Fate::Deleted), &gone, Outcome::Skipped, "gone"),
        ] {
            let (_folder, ledger) = opened().await;
            ledger.settle(ended("old", created("c1"), 1)).await.unwrap();
            for (id, contact) in [("new", None), ("old", Some("c1"))] {
                let kept = ledger.settle(ended(id, ending.clone(), 5)).await.unwrap();
                let row = ledger.row(id, 6).await;
                assert_eq!((kept, &row.standing), (outcome, standing), "{id}: {ending:?}");
                assert_eq!((row.reason.as_deref(), row.propstreet_id.as_deref()), (Some(reason), contact));
                assert_eq!(row.complaint.is_some(), outcome == Outcome::Quarantined);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_settled_is_kept_to_the_byte() {
        let (_folder, ledger) = opened().await;
        let salesforce = RefKey::from_parts("salesforce", "003Da00000xnAiyIAE");
        let other = RefKey::from_parts("salesforce", "003DA00000XNAIYIAE");
        let settlement = Settlement { key: salesforce.clone(), ..ended("", created("c1"), 1) };
        ledger.settle(settlement).await.unwrap();
        let rows = ledger.rows(vec![salesforce.clone(), other], at(1)).await.unwrap();
        assert_eq!(rows.len(), 1, "ids are case-sensitive");
        let row = &rows[&salesforce];
        assert_eq!((row.etag.as_deref(), row.mapping, row.name), (Some("v1"), Some(1), Some(hash(9))));
        assert_eq!(ledger.owned(salesforce).await.unwrap(), remembered(hash(8)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_ignored_leaves_what_was_sent_standing() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        let changed = ended("1", skipped(SkipReason::ChangeIgnored, true), 2);
        ledger.settle(Settlement { modified: Some(at(2)), email: None, ..changed }).await.unwrap();
        let row = ledger.row("1", 3).await;
        assert_eq!((row.standing, row.drifted, row.outcome), (SETTLED, true, Some(Outcome::Skipped)));
        assert_eq!((row.modified, row.email), (Some(at(2)), Some(hash(1))), "an address not looked at is not gone");
        ledger.rested(PassId(2), vec![(key("1"), Some(at(3))), (key("unheard"), None)], None, None).await.unwrap();
        let row = ledger.row("1", 4).await;
        assert_eq!((row.modified, row.last_changed, row.drifted), (Some(at(3)), at(2), true));
        assert_eq!(ledger.events(key("1"), 9).await.unwrap().len(), 2, "resting is no event");
        ledger.settle(ended("1", created("c1"), 5)).await.unwrap();
        assert!(!ledger.row("1", 6).await.drifted);
    }

    #[tokio::test(start_paused = true)]
    async fn tries_in_a_row_are_one_wait() {
        let (_folder, ledger) = opened().await;
        let tried = async |ending: Ending, seconds: i64| {
            ledger.settle(ended("1", ending, seconds)).await.unwrap();
            let row = ledger.row("1", seconds).await;
            (row.attempts, row.first_cause, row.first_failed)
        };
        let first = Some("reset".to_owned());
        assert_eq!(tried(deferred("reset", 60), 1).await, (1, first.clone(), Some(at(1))));
        assert_eq!(tried(deferred("502", 90), 60).await, (2, first.clone(), Some(at(1))));
        assert_eq!(ledger.standing("1", 90).await, Standing::Deferred { due: true });
        assert_eq!(tried(quarantined(None), 90).await, (2, first, Some(at(1))), "a person may want to know");
        assert_eq!(tried(deferred("503", 95), 91).await, (1, Some("503".to_owned()), Some(at(91))), "another wait");
        assert_eq!(tried(created("c1"), 96).await, (0, None, None));
        assert_eq!(ledger.row("1", 96).await.next_try, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quarantine_keeps_its_beginning_and_ends_with_any_other_ending() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", quarantined(None), 1)).await.unwrap();
        ledger.settle(ended("1", quarantined(Some("c9")), 2)).await.unwrap();
        let row = ledger.quarantined(Some("crm".to_owned()), 9).await.unwrap().remove(0);
        assert_eq!((row.since, row.complaint.blocker.as_deref()), (at(1), Some("c9")));
        assert_eq!((row.complaint.reason, row.payload.as_deref()), (Reason::EmailTaken, Some("{}")));
        assert_eq!(ledger.row("1", 3).await.complaint, Some(row.complaint));
        assert!(ledger.quarantined(Some("other".to_owned()), 9).await.unwrap().is_empty());
        for (number, ending) in
            [created("c1"), skipped(SkipReason::Gone, false), deferred("x", 9)].into_iter().enumerate()
        {
            let id = format!("{number}");
            ledger.settle(ended(&id, quarantined(None), 4)).await.unwrap();
            ledger.settle(ended(&id, ending, 5)).await.unwrap();
            assert_eq!(ledger.row(&id, 6).await.complaint, None);
        }
        assert!(ledger.quarantined(None, 9).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn two_references_of_one_contact_both_lead_to_it() {
        let (_folder, ledger) = opened().await;
        let mut linked = ended("2", created("c1"), 2);
        linked.index = Some(contact("c1", "1", 2));
        linked.index.as_mut().unwrap().indexed.refs.push(key("2"));
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        ledger.settle(linked).await.unwrap();
        for id in ["1", "2"] {
            let view = ledger.view(key(id), None, at(3)).await.unwrap();
            assert_eq!(view.row.unwrap().propstreet_id.as_deref(), Some("c1"));
            assert_eq!(view.holders.by_ref.unwrap().id, "c1");
        }
        let names = [(key("1"), Some(hash(9))), (key("2"), Some(hash(9)))];
        assert_eq!(ledger.holder_names("c1".to_owned()).await.unwrap(), names);
    }

    #[tokio::test(start_paused = true)]
    async fn a_settlement_that_cannot_be_written_leaves_no_part_of_itself() {
        let (_folder, ledger) = opened().await;
        ledger.intend(create("1", None, 1)).await.unwrap();
        // The event, last to be written, is refused.
        let refuse = "CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no room'); END";
        ledger.write(|ledger| Ok(ledger.execute_batch(refuse)?)).await.unwrap();
        let mut settlement = ended("1", created("c1"), 2);
        settlement.index = Some(contact("c1", "1", 1));
        assert!(matches!(ledger.settle(settlement.clone()).await, Err(LedgerError::Sql(_))));
        let view = ledger.view(key("1"), None, at(3)).await.unwrap();
        assert_eq!((view.row.unwrap().standing, view.holders.by_ref), (Standing::Intended, None));
        ledger.write(|ledger| Ok(ledger.execute_batch("DROP TRIGGER full")?)).await.unwrap();
        ledger.settle(settlement).await.unwrap();
        assert_eq!(ledger.standing("1", 4).await, SETTLED);
    }
}
