//! The engine: what all sources share, and what the operator decided.

use std::sync::Arc;

use crate::clock::{Clock, Dice};
use crate::domain::identity::{RefKey, RefRules};
use crate::domain::keyed::KeyedHash;
use crate::domain::ownership::Owners;
use crate::domain::record::Account;
use crate::ledger::Ledger;
use crate::mapping::Mapper;
use crate::sync::destination::companies::Destination;
use crate::sync::index::IndexKeeper;
use crate::sync::locks::Locks;
use crate::sync::notes::Notes;
use crate::sync::source::ContactSource;

/// What to do when an address belongs to a contact that is not provably the same person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailConflict {
    /// Link when everything speaks for it, else put aside.
    Link,
    /// Always put aside.
    Review,
    /// Link when everything speaks for it, else create without the address.
    WithoutEmail,
}

/// Decisions of the operator that hold for every source.
#[derive(Debug, Clone)]
pub struct Policy {
    /// On an address that is taken.
    pub email_conflict: EmailConflict,
    /// Addresses or local parts of roles, besides the usual ones.
    pub role_addresses: Vec<String>,
    /// Names of sources; where several stand behind one contact, a field is the first one's that has a value for it. Those
    /// that are not named come after, by name.
    pub precedence: Vec<String>,
}

/// What to do about a contact whose record changes in the CRM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing.
    Ignore,
    /// Write what changed, as far as the fields are the CRM's.
    Update,
}

/// What to do about the organizations people work for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Companies {
    /// Nothing.
    Off,
    /// Make each a company of Propstreet, and its people employed there.
    Link,
}

/// What to do with the people a CRM holds already when a source is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstRun {
    /// Bring them all.
    Backfill,
    /// Leave them until they change.
    FromNow,
}

/// What to do in Propstreet about a person whom the CRM has deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDelete {
    /// Nothing.
    Keep,
    /// Mark the contact with a tag.
    Tag,
    /// Delete the contact, if nobody else stands behind it.
    Delete,
}

/// One configured CRM account.
pub struct Source {
    /// Its name.
    pub name: String,
    /// The namespace of its refs, as it shall be spelled in Propstreet.
    pub namespace: String,
    /// The kind of CRM, for the binding.
    pub kind: &'static str,
    /// What to do at first.
    pub first_run: FirstRun,
    /// What to do about people who change there.
    pub on_change: OnChange,
    /// Whose each field is.
    pub owners: Owners,
    /// Whether a field that is empty there is emptied in Propstreet, where its value came from there.
    pub clear_empty: bool,
    /// What to do about employers.
    pub companies: Companies,
    /// What to do about people who are deleted there.
    pub on_delete: OnDelete,
    /// What to do about people whom the filter keeps out once they have a contact.
    pub on_filtered: OnDelete,
    /// How many people may go within a day before a person must look; by default 5 % of the source's, within 10 and 50.
    pub guard: Option<u32>,
    /// Record to contact.
    pub mapper: Arc<Mapper>,
    /// The CRM.
    pub crm: Arc<dyn ContactSource>,
}

impl Source {
    /// Under which subject the ledger remembers this source's account, and what it remembers of this one.
    #[must_use]
    pub fn binding(&self, account: &Account) -> (String, String) {
        let is = format!("{} {} as {}", self.kind, account.id, self.namespace.to_lowercase());
        (format!("source:{}", self.name), is)
    }
}

/// What every source's passes share.
pub struct Engine {
    /// What we know and did.
    pub ledger: Ledger,
    /// Propstreet.
    pub destination: Arc<dyn Destination>,
    /// How refs compare.
    pub rules: RefRules,
    /// The operator's decisions.
    pub policy: Policy,
    /// Time.
    pub clock: Clock,
    /// Randomness, for jitter.
    pub dice: Dice,
    pub(super) index: IndexKeeper,
    pub(super) ref_locks: Locks<RefKey>,
    pub(super) email_locks: Locks<KeyedHash>,
    /// By a company's reference, or the hash of a name that has none: colleagues side by side make one company.
    pub(super) company_locks: Locks<RefKey>,
    /// By source: who counts who has left.
    pub(super) leaving_locks: Locks<String>,
    pub(super) notes: Notes,
}

impl Engine {
    /// An engine over an open ledger and a tenant.
    pub fn new(
        ledger: Ledger,
        destination: Arc<dyn Destination>,
        rules: RefRules,
        policy: Policy,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let index = IndexKeeper::new(clock.clone(), rules.clone());
        let (ref_locks, email_locks, leaving_locks) = (Locks::default(), Locks::default(), Locks::default());
        let (company_locks, notes) = (Locks::default(), Notes::default());
        Self {
            ledger,
            destination,
            rules,
            policy,
            clock,
            dice,
            index,
            ref_locks,
            email_locks,
            company_locks,
            leaving_locks,
            notes,
        }
    }
}
