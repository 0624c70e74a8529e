//! What the tests of this room stand on: a ledger in a folder of its own, and short names for its values.

use tempfile::TempDir;

use crate::domain::Timestamp;
use crate::domain::failure::{Complaint, Reason, Wait};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::domain::keyed::KeyedHash;
use crate::domain::ownership::Field;
use crate::domain::pass::Outcome;
use crate::domain::plan::{Indexed, Standing};
use crate::domain::remembered::{Remembered, Trace};
use crate::ledger::Ledger;
use crate::ledger::index::{IndexEntry, IndexState};
use crate::ledger::intents::{Intent, IntentKind};
use crate::ledger::passes::PassId;
use crate::ledger::rows::Row;
use crate::ledger::settlements::{Ending, Settlement};

/// A fresh ledger, and the folder that must outlive it.
pub async fn opened() -> (TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(&folder).await;
    (folder, ledger)
}

/// The ledger in a folder.
pub async fn open(folder: &TempDir) -> Ledger {
    Ledger::open(&folder.path().join("ledger.db"), at(0)).await.unwrap()
}

/// This many seconds after the tests' beginning of time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
}

pub fn key(id: &str) -> RefKey {
    RefKey::from_parts("hubspot", id)
}

pub fn hash(of: u8) -> KeyedHash {
    [of; 16]
}

pub const fn print(of: u8) -> Fingerprint {
    Fingerprint([of; 32])
}

pub fn create(id: &str, email: Option<KeyedHash>, seconds: i64) -> Intent {
    let (key, source, at) = (key(id), "crm".to_owned(), at(seconds));
    Intent { key, source, kind: IntentKind::Create, target: None, email, fingerprint: print(1), at }
}

pub fn ended(id: &str, ending: Ending, seconds: i64) -> Settlement {
    Settlement {
        pass: PassId(1),
        source: "crm".to_owned(),
        key: key(id),
        email: Some(hash(1)),
        modified: Some(at(-5)),
        ending,
        revisit: None,
        began: at(seconds),
        index: None,
        at: at(seconds),
    }
}

/// Created as this contact, with fingerprint 1.
pub fn created(contact: &str) -> Ending {
    Ending::Synced {
        outcome: Outcome::Created,
        propstreet_id: contact.to_owned(),
        etag: Some("v1".to_owned()),
        fingerprint: print(1),
        mapping: 1,
        name: Some(hash(9)),
        owned: remembered(hash(8)),
        pending_employment: false,
        note: "POST 201".to_owned(),
    }
}

/// A phone, sent and returned as this.
pub fn remembered(phone: KeyedHash) -> Remembered {
    let mut remembered = Remembered::default();
    remembered.set(Field::Phone, Trace { sent: Some(phone), returned: Some(phone), sending: None });
    remembered
}

pub fn quarantined(blocker: Option<&str>) -> Ending {
    let complaint = Complaint::new(Reason::EmailTaken, "email: another name");
    let complaint = blocker.map_or(complaint.clone(), |blocker| complaint.blocked_by(blocker));
    Ending::Quarantined { complaint, fingerprint: Some(print(2)), payload: Some("{}".to_owned()) }
}

pub fn deferred(cause: &str, next: i64) -> Ending {
    Ending::Deferred { wait: Wait::RecordFails, cause: cause.to_owned(), next: Some(at(next)), unanswered: false }
}

/// A live contact without addresses, carrying one reference; version and stamp follow `version`.
pub fn contact(id: &str, reference: &str, version: u32) -> IndexEntry {
    let refs = vec![key(reference)];
    let etag = Some(format!("v{version}"));
    IndexEntry {
        indexed: Indexed { id: id.to_owned(), etag, deleted: false, emails: Vec::new(), name: None, refs },
        updated: format!("2026-03-01T00:00:{version:02}.1234567Z"),
        spelled: vec![ExternalRef { namespace: "HubSpot".to_owned(), id: reference.to_owned() }],
    }
}

pub fn filled() -> IndexState {
    IndexState { filled: true, cursor: None, since: Some("2026-03-01T00:00:09.1234567Z".to_owned()) }
}

impl Ledger {
    /// The row of `hubspot:id`, which must exist.
    pub async fn row(&self, id: &str, seconds: i64) -> Row {
        self.rows(vec![key(id)], at(seconds)).await.unwrap().remove(&key(id)).unwrap()
    }

    /// What stands of `hubspot:id`, which must have a row.
    pub async fn standing(&self, id: &str, seconds: i64) -> Standing {
        self.row(id, seconds).await.standing
    }
}
