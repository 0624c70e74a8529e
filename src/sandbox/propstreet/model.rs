//! Propstreet's contacts and the rules they are kept by: uniqueness, tags, merging, revival, deletion. Knows no HTTP
//! beyond the words of a refusal; what the pages leave open it asks the knobs.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::sandbox::clock::Clock;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef, RefKey, Stored, to_ticks};
use crate::sandbox::propstreet::input::{Change, Field};
use crate::sandbox::propstreet::knobs::{Arrays, Knobs, KnownRef, StaleTag, TakenEmail};
use crate::sandbox::propstreet::network::{Network, Tick};
use crate::sandbox::propstreet::problem::Problem;
use crate::sandbox::propstreet::timeline::{ListQuery, Page, Timeline};

/// What the API has done so far; a test's own hand (plant, edit, delete) is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writes {
    /// Contacts created.
    pub created: u64,
    /// Contacts changed.
    pub updated: u64,
    /// Writes that changed nothing.
    pub unchanged: u64,
    /// Deleted contacts brought back.
    pub revived: u64,
    /// Contacts deleted.
    pub deleted: u64,
    /// Companies created.
    pub companies: u64,
    /// Links created or changed.
    pub links: u64,
}

/// What an upsert did, for `X-Propstreet-Upsert-Action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Created,
    Updated,
    Revived,
}

/// The choices of an upsert.
#[derive(Debug, Clone, Copy)]
pub(super) struct UpsertOptions {
    pub(super) match_email: bool,
    pub(super) revive: bool,
}

/// Everything Propstreet remembers.
#[derive(Debug)]
pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) knobs: Knobs,
    pub(super) network: Network,
    pub(super) writes: Writes,
    contacts: BTreeMap<u64, Stored>,
    /// Who carries a reference, and since when.
    by_ref: BTreeMap<RefKey, BTreeMap<u64, DateTime<Utc>>>,
    /// Who has an address (lower-cased), be it primary or not.
    by_email: BTreeMap<String, Vec<u64>>,
    timeline: Timeline,
    last_id: u64,
    version: u64,
}

enum Clash {
    Ref(u64),
    Email,
}

impl State {
    pub(super) fn new(clock: Clock, knobs: Knobs) -> Self {
        Self {
            clock,
            knobs,
            network: Network::default(),
            writes: Writes::default(),
            contacts: BTreeMap::new(),
            by_ref: BTreeMap::new(),
            by_email: BTreeMap::new(),
            timeline: Timeline::default(),
            last_id: 1000,
            version: 0x2B44,
        }
    }

    pub(super) fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn tick(&mut self) -> Tick {
        self.version += 1;
        Tick { now: to_ticks(self.clock.now()), version: self.version }
    }

    pub(super) fn contacts(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.values().map(|stored| &stored.contact)
    }

    /// Any contact, deleted or not.
    pub(super) fn any(&self, id: u64) -> Option<&Stored> {
        self.contacts.get(&id)
    }

    /// All that carry a reference, deleted or not, at once: what a test asks.
    pub(super) fn holders(&self, key: &RefKey) -> impl Iterator<Item = &Stored> {
        self.by_ref.get(key).into_iter().flat_map(BTreeMap::keys).filter_map(|id| self.contacts.get(id))
    }

    /// A contact by id, as the API finds it.
    pub(super) fn get(&self, id: u64) -> Result<&Stored, Problem> {
        let found = self.contacts.get(&id).filter(|s| s.contact.is_live() || self.knobs.lookup_finds_deleted);
        found.ok_or_else(Problem::not_found)
    }

    /// A contact by reference, as the API finds it: perhaps not yet, perhaps not any more.
    pub(super) fn look_up(&self, key: &RefKey) -> Result<&Stored, Problem> {
        let lag = TimeDelta::from_std(self.knobs.lookup_lag).unwrap_or(TimeDelta::MAX);
        let visible = |since: &DateTime<Utc>| self.clock.now() - *since >= lag;
        let holders = self.by_ref.get(key).into_iter().flatten();
        let mut seen: Vec<&Stored> =
            holders.filter(|(_, since)| visible(since)).filter_map(|(id, _)| self.get(*id).ok()).collect();
        seen.sort_by_key(|stored| stored.contact.is_live());
        seen.pop().ok_or_else(Problem::not_found)
    }

    pub(super) fn list(&self, query: &ListQuery) -> Page {
        let live = |id: u64| self.contacts.get(&id).is_some_and(|stored| stored.contact.is_live());
        self.timeline.page(query, |id| query.include_deleted || live(id))
    }

    pub(super) fn shown(&self, stored: &Stored) -> Value {
        stored.shown(self.knobs.ids, &self.network.companies_of(stored.contact.id, self.knobs.ids))
    }

    /// Creates; answers the id and whether it is new (a knob lets a known reference answer what is there).
    pub(super) fn create(&mut self, change: &Change) -> Result<(u64, bool), Problem> {
        let mut contact = Contact::default();
        self.apply(&mut contact, change)?;
        match self.clash(&contact) {
            Some(Clash::Ref(holder)) if self.knobs.known_ref == KnownRef::Existing && self.is_live(holder) => {
                self.writes.unchanged += 1;
                Ok((holder, false))
            }
            Some(clash) => Err(self.refusal(&clash)),
            None => Ok((self.insert(contact, change), true)),
        }
    }

    pub(super) fn update(&mut self, id: u64, tag: Option<&str>, change: &Change) -> Result<(), Problem> {
        let stored = self.contacts.get(&id).filter(|s| s.contact.is_live()).ok_or_else(Problem::not_found)?;
        self.fresh_enough(&stored.etag(), tag)?;
        let contact = stored.contact.clone();
        self.rewrite(contact, change)
    }

    pub(super) fn upsert(
        &mut self,
        key: &ExternalRef,
        tag: Option<&str>,
        options: UpsertOptions,
        change: &Change,
    ) -> Result<(u64, Action), Problem> {
        let ref_key = key.key();
        let holder = |live| self.holders(&ref_key).find(|s| s.contact.is_live() == live).map(|s| s.contact.clone());
        let (known, deleted) = (holder(true), holder(false).filter(|_| options.revive));
        let by_email = || self.primary_owner(change.email.as_ref()?.as_deref()?).filter(|_| options.match_email);
        if let Some(contact) = known.or_else(|| by_email().map(|id| self.contacts[&id].contact.clone())) {
            self.fresh_enough(&self.contacts[&contact.id].etag(), tag)?;
            let id = contact.id;
            self.rewrite(carrying(contact, key), change)?;
            return Ok((id, Action::Updated));
        }
        if let Some(mut contact) = deleted {
            let id = contact.id;
            contact.deleted = None;
            self.rewrite(contact, change)?;
            self.writes.revived += 1;
            return Ok((id, Action::Revived));
        }
        let mut contact = carrying(Contact::default(), key);
        self.apply(&mut contact, change)?;
        match self.clash(&contact) {
            // "revive=false: make a new one" holds even where a deleted contact keeps its references.
            Some(Clash::Email) => Err(self.refusal(&Clash::Email)),
            _ => Ok((self.insert(contact, change), Action::Created)),
        }
    }

    pub(super) fn delete(&mut self, id: u64, tag: Option<&str>) -> Result<(), Problem> {
        let stored = self.contacts.get(&id).filter(|s| s.contact.is_live()).ok_or_else(Problem::not_found)?;
        self.fresh_enough(&stored.etag(), tag)?;
        let contact = Contact { deleted: Some(to_ticks(self.clock.now())), ..stored.contact.clone() };
        self.put(contact, "api");
        self.writes.deleted += 1;
        Ok(())
    }

    /// Stores a contact as it is, whatever the rules say; id 0 asks for a new one.
    pub(super) fn put(&mut self, mut contact: Contact, origin: &'static str) -> u64 {
        let Tick { now, version } = self.tick();
        if contact.id == 0 {
            contact.id = self.fresh_id();
            contact.created = now;
        }
        contact.updated = now;
        let id = contact.id;
        let since = self.unindex(id);
        for key in contact.refs.iter().map(ExternalRef::key) {
            let at = since.1.get(&key).copied().unwrap_or(now);
            self.by_ref.entry(key).or_default().insert(id, at);
        }
        for address in addresses(&contact) {
            self.by_email.entry(address).or_default().push(id);
        }
        self.timeline.set(since.0, now, id);
        self.contacts.insert(id, Stored { contact, version, origin });
        id
    }

    /// A changed employment shows in the contact, so it gets a new tag.
    pub(super) fn touch(&mut self, id: u64) {
        if let Some(contact) = self.contacts.get(&id).map(|stored| stored.contact.clone()) {
            self.put(contact, "api");
        }
    }

    pub(super) fn is_live(&self, id: u64) -> bool {
        self.contacts.get(&id).is_some_and(|stored| stored.contact.is_live())
    }

    pub(super) fn fresh_enough(&self, etag: &str, tag: Option<&str>) -> Result<(), Problem> {
        match tag {
            Some(tag) if tag != etag && tag != "*" => Err(Problem::stale(self.knobs.stale_tag == StaleTag::Conflict)),
            _ => Ok(()),
        }
    }

    fn insert(&mut self, contact: Contact, change: &Change) -> u64 {
        let id = self.put(contact, "api");
        let tick = Tick { now: to_ticks(self.clock.now()), version: self.version };
        let wanted = change.connections.iter().flatten().flatten().cloned().collect::<Vec<_>>();
        self.network.connect(id, &wanted, Arrays::Merge, tick, &mut self.last_id);
        self.writes.created += 1;
        id
    }

    /// Applies a change to a contact that exists. One that changes nothing leaves tag and time alone.
    fn rewrite(&mut self, mut contact: Contact, change: &Change) -> Result<(), Problem> {
        self.apply(&mut contact, change)?;
        if let Some(clash) = self.clash(&contact) {
            return Err(self.refusal(&clash));
        }
        let mut changed = self.contacts.get(&contact.id).is_none_or(|stored| stored.contact != contact);
        if let Some(wanted) = &change.connections {
            let tick = self.tick();
            let wanted = wanted.as_deref().unwrap_or_default();
            changed |= self.network.connect(contact.id, wanted, self.knobs.arrays, tick, &mut self.last_id);
        }
        if changed {
            self.put(contact, "api");
            self.writes.updated += 1;
        } else {
            self.writes.unchanged += 1;
        }
        Ok(())
    }

    /// Present is written, absent kept, null cleared.
    fn apply(&self, contact: &mut Contact, change: &Change) -> Result<(), Problem> {
        set(&mut contact.first_name, &change.first_name);
        set(&mut contact.last_name, &change.last_name);
        set(&mut contact.linkedin_url, &change.linkedin_url);
        set(&mut contact.primary_language, &change.primary_language);
        set(&mut contact.strategy, &change.strategy);
        if let Some(emails) = &change.emails {
            contact.emails = emails.clone().unwrap_or_default();
            contact.email = contact.emails.first().map(|email| email.value.clone());
        }
        if let Some(email) = &change.email {
            contact.set_email(email.clone());
        }
        if let Some(phones) = &change.phones {
            contact.phones = phones.clone().unwrap_or_default();
            contact.phone = contact.phones.first().map(|phone| phone.value.clone());
        }
        if let Some(phone) = &change.phone {
            contact.set_phone(phone.clone());
        }
        if let Some(blocked) = change.blocked {
            contact.blocked = blocked.unwrap_or(false);
        }
        self.set_array(&mut contact.tags, &change.tags, |a, b| a == b);
        self.set_array(&mut contact.refs, &change.refs, |a, b| a.key() == b.key());
        if !contact.has_identifier() {
            return Err(Problem::invalid_field("request", "at least one of name, email and phone is required"));
        }
        let mut companies = change.connections.iter().flatten().flatten().map(|connection| connection.company);
        if companies.any(|id| !self.network.companies.contains_key(&id)) {
            return Err(Problem::invalid_field("connections", "no such company"));
        }
        Ok(())
    }

    fn set_array<T: Clone>(&self, old: &mut Vec<T>, field: &Field<Vec<T>>, same: impl Fn(&T, &T) -> bool) {
        let Some(sent) = field else { return };
        match (sent, self.knobs.arrays) {
            (None, _) => old.clear(),
            (Some(sent), Arrays::Replace) => old.clone_from(sent),
            (Some(sent), Arrays::Merge) => {
                for item in sent {
                    if !old.iter().any(|known| same(known, item)) {
                        old.push(item.clone());
                    }
                }
            }
        }
    }

    /// Whether another contact stands in the way, reference before address.
    fn clash(&self, contact: &Contact) -> Option<Clash> {
        let other = |id: &u64| *id != contact.id;
        for key in contact.refs.iter().map(ExternalRef::key) {
            let holders = self.by_ref.get(&key).into_iter().flat_map(BTreeMap::keys).copied();
            let mut counted =
                holders.filter(other).filter(|id| self.is_live(*id) || !self.knobs.refs_free_after_delete);
            if let Some(holder) = counted.next() {
                return Some(Clash::Ref(holder));
            }
        }
        let mine = self.counted_addresses(contact);
        let taken = mine.iter().any(|address| {
            let owners = self.by_email.get(&address.to_lowercase()).into_iter().flatten();
            let counted = |id: &u64| self.is_live(*id) || self.knobs.deleted_addresses_count;
            owners.filter(|id| other(id) && counted(id)).any(|id| {
                let theirs = self.counted_addresses(&self.contacts[id].contact);
                theirs.iter().any(|one| self.same_address(one, address))
            })
        });
        taken.then_some(Clash::Email)
    }

    fn counted_addresses<'a>(&self, contact: &'a Contact) -> Vec<&'a str> {
        let secondary = contact.emails.iter().map(|email| email.value.as_str());
        let secondary = secondary.filter(|_| self.knobs.secondary_addresses_count);
        contact.email.as_deref().into_iter().chain(secondary).collect()
    }

    fn same_address(&self, one: &str, other: &str) -> bool {
        one == other || (!self.knobs.email_case_matters && one.to_lowercase() == other.to_lowercase())
    }

    /// Who has an address as the primary one.
    fn primary_owner(&self, address: &str) -> Option<u64> {
        let has = |id: &u64| {
            let email = self.contacts.get(id).and_then(|stored| stored.contact.email.as_deref());
            self.is_live(*id) && email.is_some_and(|email| self.same_address(email, address))
        };
        self.by_email.get(&address.to_lowercase())?.iter().copied().find(has)
    }

    fn refusal(&self, clash: &Clash) -> Problem {
        match (clash, self.knobs.taken_email) {
            (Clash::Email, TakenEmail::Invalid) => Problem::invalid_field("email", "is already in use"),
            _ => Problem::conflict(),
        }
    }

    /// Takes a contact out of the indexes; answers its last change and since when its references stand.
    fn unindex(&mut self, id: u64) -> (Option<DateTime<Utc>>, BTreeMap<RefKey, DateTime<Utc>>) {
        let mut since = BTreeMap::new();
        let Some(old) = self.contacts.get(&id).map(|stored| &stored.contact) else { return (None, since) };
        for key in old.refs.iter().map(ExternalRef::key) {
            if let Entry::Occupied(mut holders) = self.by_ref.entry(key) {
                since.extend(holders.get_mut().remove(&id).map(|at| (holders.key().clone(), at)));
                if holders.get().is_empty() {
                    holders.remove();
                }
            }
        }
        for address in addresses(old) {
            if let Entry::Occupied(mut owners) = self.by_email.entry(address) {
                owners.get_mut().retain(|owner| *owner != id);
                if owners.get().is_empty() {
                    owners.remove();
                }
            }
        }
        (Some(old.updated), since)
    }
}

fn set<T: Clone>(old: &mut Option<T>, field: &Field<T>) {
    if let Some(new) = field {
        old.clone_from(new);
    }
}

fn carrying(mut contact: Contact, key: &ExternalRef) -> Contact {
    if !contact.has_ref(&key.key()) {
        contact.refs.push(key.clone());
    }
    contact
}

/// Every address of a contact once, lower-cased.
fn addresses(contact: &Contact) -> Vec<String> {
    let all = contact.emails.iter().map(|email| &email.value).chain(&contact.email);
    let mut all: Vec<String> = all.map(|address| address.to_lowercase()).collect();
    all.sort_unstable();
    all.dedup();
    all
}
