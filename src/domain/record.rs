//! A person as a CRM holds it, before mapping, and the windows in which they are read.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::Timestamp;

/// One person as the CRM sent it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The CRM's id in canonical form (Salesforce: 18 characters).
    pub id: String,
    /// The CRM's own modified stamp; `None` where the row has none (old Pipedrive rows).
    pub modified: Option<Timestamp>,
    /// Fields by the name a mapping rule uses: flat, related objects dotted (`Account.Name`). `null` is an empty field;
    /// an absent key is a field the CRM did not send.
    pub fields: Map<String, Value>,
    /// Ids this record has replaced in the CRM (merges, converted leads), canonical.
    pub supersedes: Vec<String>,
}

/// That a record exists, with the record itself when the listing carries it at no extra cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The CRM's id, canonical.
    pub id: String,
    /// The modified stamp the listing shows.
    pub modified: Option<Timestamp>,
    /// The whole record; `None` where it must be fetched by id.
    pub record: Option<Record>,
}

/// A record that the CRM itself calls deleted (its bin, its feed of deletions), and not merged into one that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departed {
    /// The CRM's id, canonical.
    pub id: String,
    /// The stamp of the deletion, where it has one.
    pub modified: Option<Timestamp>,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// What the page shows, in the listing's order.
    pub sightings: Vec<Sighting>,
    /// What the page shows as deleted. An id that is merely absent is not among them.
    pub departed: Vec<Departed>,
    /// Where the next page starts. `None` only at the end *as the API documents it*; page length decides nothing.
    pub next: Option<Resume>,
}

/// A place in a listing. Opaque to everyone but the adapter that made it; it survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume(pub String);

/// A frozen span of modified stamps: `lo` inclusive, `hi` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Inclusive lower bound.
    pub lo: Timestamp,
    /// Exclusive upper bound, settled: the CRM can show no later commit below it, save by the overlap and the sweep.
    pub hi: Timestamp,
}

/// Propstreet's id of a person, for a field of the CRM's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteBack {
    /// The CRM's id, canonical.
    pub id: String,
    /// What the field shall hold.
    pub propstreet_id: String,
}

/// What became of one write-back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenBack {
    /// The field holds it now.
    Written,
    /// The field held it already; nothing was written.
    AlreadyThere,
    /// The CRM has the record no longer, or it became another.
    Gone,
    /// Busy for the moment: to be tried again.
    Later(String),
    /// The CRM will not take it: its words, redacted.
    Refused(String),
}

/// The upstream account a source is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Salesforce org id, HubSpot portal id, Pipedrive company id.
    pub id: String,
}
