//! Everything of a portal that changes.
//! It must not know HTTP.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::sandbox::hubspot::access::Access;
use crate::sandbox::hubspot::contact::Contact;
use crate::sandbox::hubspot::firm::Firm;
use crate::sandbox::hubspot::history::Author;
use crate::sandbox::hubspot::properties::Object;
use crate::sandbox::hubspot::rates::Rates;
use crate::sandbox::hubspot::store::{Stamp, Store};
use crate::sandbox::people::Company;

/// What batch read answers for the id of a record that was merged away; HubSpot documents none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergedRead {
    /// The surviving record, under its own id.
    Survivor,
    /// `OBJECT_NOT_FOUND`.
    NotFound,
    /// Neither a result nor an error.
    Silence,
}

/// What a test decides of how the portal behaves; the documentation leaves each of them open.
#[derive(Debug)]
pub struct Levers {
    /// What batch read answers for merged-away ids.
    pub merged_read: MergedRead,
    /// The most rows a page of any list has.
    pub page_cap: usize,
    /// The most associations of one record that a page holds.
    pub association_page: usize,
    /// Whether one archived id spoils a whole association read.
    pub archived_spoils_associations: bool,
    /// Whether a merge leaves the primary record its id.
    pub merge_keeps_primary: bool,
    /// Whether a merge gives the surviving record a new date.
    pub merge_moves_stamp: bool,
    /// Whether merged-away records stand in the recycle bin.
    pub merged_in_bin: bool,
    /// Whether coming out of the recycle bin gives a record a new date.
    pub restore_moves_stamp: bool,
    /// Whether another primary company gives the contact a new date.
    pub primary_moves_stamp: bool,
    /// Keys of contacts that no list shows.
    pub unlisted: BTreeSet<u64>,
    /// Properties without which a contact cannot be written, by the rules that 2026-09 enforces.
    pub required: BTreeSet<String>,
}

impl Default for Levers {
    fn default() -> Self {
        Self {
            merged_read: MergedRead::Survivor,
            page_cap: usize::MAX,
            association_page: 500,
            archived_spoils_associations: false,
            merge_keeps_primary: false,
            merge_moves_stamp: true,
            merged_in_bin: false,
            restore_moves_stamp: false,
            primary_moves_stamp: true,
            unlisted: BTreeSet::new(),
            required: BTreeSet::new(),
        }
    }
}

/// Everything that changes.
pub struct State {
    /// Contacts.
    pub contacts: Store<Contact>,
    /// Companies.
    pub companies: Store<Firm>,
    /// How the portal behaves where that is open.
    pub levers: Levers,
    /// Tokens and scopes.
    pub access: Access,
    /// Allowances.
    pub rates: Rates,
    /// Answers so far; numbers their correlation ids.
    pub answers: u64,
    by_name: BTreeMap<(String, String), u64>,
    staff: BTreeMap<u64, BTreeSet<u64>>,
}

impl State {
    /// An empty portal whose ids begin near this one.
    pub fn new(first_key: u64) -> Self {
        Self {
            contacts: Store::new(first_key),
            companies: Store::new(first_key - 90_000),
            levers: Levers::default(),
            access: Access::default(),
            rates: Rates::default(),
            answers: 0,
            by_name: BTreeMap::new(),
            staff: BTreeMap::new(),
        }
    }

    /// The record of a company, made if nobody of it was added before.
    pub fn company_for(&mut self, company: &Company, stamp: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
        let name = (company.name.clone(), company.domain.clone());
        if let Some(key) = self.by_name.get(&name).map(|key| self.companies.surviving(*key))
            && self.companies.table.row(key).is_some_and(|row| row.deleted.is_none())
        {
            return key;
        }
        let firm = Firm { company: company.clone(), merged: Vec::new(), held: BTreeMap::new() };
        let key = self.companies.insert(firm, stamp, None, now);
        self.by_name.insert(name, key);
        key
    }

    /// Adds a contact.
    pub fn hire(
        &mut self,
        contact: Contact,
        stamp: DateTime<Utc>,
        visible_from: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> u64 {
        let employers = contact.employers();
        let key = self.contacts.insert(contact, stamp, visible_from, now);
        for company in employers {
            self.staff.entry(company).or_default().insert(key);
        }
        key
    }

    /// Changes a contact, its ties included.
    pub fn change(
        &mut self,
        key: u64,
        author: Author,
        stamp: Stamp,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut Contact),
    ) -> bool {
        let employers = |state: &Self| state.contacts.table.row(key).map(|row| row.value.employers());
        let before = employers(self).unwrap_or_default();
        let found = self.contacts.change(key, author, stamp, now, change);
        let after = employers(self).unwrap_or_default();
        for company in before {
            self.staff.entry(company).or_default().remove(&key);
        }
        for company in after {
            self.staff.entry(company).or_default().insert(key);
        }
        found
    }

    /// Ties a contact to other companies; its date moves with the primary one, if at all.
    pub fn tie(&mut self, key: u64, now: DateTime<Utc>, change: impl FnOnce(&mut Contact)) -> bool {
        let stamp = if self.levers.primary_moves_stamp { Stamp::IfChanged } else { Stamp::Stays };
        self.change(key, Author::Person, stamp, now, change)
    }

    /// Takes a contact away for good, with its ties.
    pub fn purge(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        self.untie(key, now);
        self.contacts.purge(key, now)
    }

    /// Leaves a contact that is about to go without ties.
    pub fn untie(&mut self, key: u64, now: DateTime<Utc>) {
        self.change(key, Author::Person, Stamp::Stays, now, |contact| {
            contact.company = None;
            contact.others.clear();
        });
    }

    /// The contacts of a company, oldest first.
    pub fn staff(&self, company: u64) -> impl Iterator<Item = u64> {
        self.staff.get(&company).into_iter().flatten().copied()
    }

    /// What time alone does.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        self.contacts.settle(now);
        self.companies.settle(now);
    }
}
