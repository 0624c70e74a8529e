//! Propstreet's contacts and the rules they are kept by: uniqueness, tags, merging, revival, deletion. Knows no HTTP
//! beyond the words of a refusal; what the pages leave open it asks the knobs.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use crate::sandbox::clock::Clock;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef, RefKey, Stored, to_ticks};
use crate::sandbox::propstreet::input::{Change, set, set_array};
use crate::sandbox::propstreet::knobs::{Arrays, ConflictBody, Knobs, KnownRef, StaleTag, TakenEmail};
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
    pub companies_created: u64,
    /// Companies changed.
    pub companies_updated: u64,
    /// Employments begun by a call of their own.
    pub links_created: u64,
    /// Employments changed by a call of their own.
    pub links_changed: u64,
    /// Employments ended by a call of their own.
    pub links_ended: u64,
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
    /// Refuse what is there.
    pub(super) only_create: bool,
    /// Refuse what is not there.
    pub(super) only_update: bool,
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

/// What stands in the way of a contact, and on which other one it is.
enum Clash {
    Ref(u64),
    Email(u64),
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
        let holders = self.by_ref.get(key).into_iter().flatten();
        let mut seen: Vec<&Stored> =
            holders.filter(|(_, since)| self.shows(**since)).filter_map(|(id, _)| self.get(*id).ok()).collect();
        seen.sort_by_key(|stored| stored.contact.is_live());
        seen.pop().ok_or_else(Problem::not_found)
    }

    /// Whether a look-up already finds what was written then.
    pub(super) fn shows(&self, since: DateTime<Utc>) -> bool {
        self.clock.now() - since >= TimeDelta::from_std(self.knobs.lookup_lag).unwrap_or(TimeDelta::MAX)
    }

    pub(super) fn list(&self, query: &ListQuery) -> Page {
        let live = |id: u64| self.contacts.get(&id).is_some_and(|stored| stored.contact.is_live());
        self.timeline.page(query, |id| query.include_deleted || live(id))
    }

    pub(super) fn shown(&self, stored: &Stored) -> Value {
        stored.shown(&self.knobs, &self.network.companies_of(stored.contact.id, self.knobs.ids))
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
        let by_email = || self.matched(change.email.as_ref()?.as_deref()?).filter(|_| options.match_email);
        if let Some(contact) = known.or_else(|| by_email().map(|id| self.contacts[&id].contact.clone())) {
            let second = contact.refs.iter().map(ExternalRef::key).any(|r| r.0 == ref_key.0 && r.1 != ref_key.1);
            if options.only_create || (second && !contact.has_ref(&ref_key) && self.knobs.match_refuses_second_id) {
                return Err(self.refusal(&Clash::Ref(contact.id)));
            }
            let tag = tag.filter(|_| self.knobs.upsert_honours_tag);
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
        if options.only_update {
            return Err(Problem::not_found());
        }
        let mut contact = carrying(Contact::default(), key);
        self.apply(&mut contact, change)?;
        match self.clash(&contact) {
            // "revive=false: make a new one" holds even where a deleted contact keeps its references.
            Some(clash @ Clash::Email(_)) => Err(self.refusal(&clash)),
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
    pub(super) fn touch(&mut self, id: u64, origin: &'static str) {
        if let Some(contact) = self.contacts.get(&id).map(|stored| stored.contact.clone()) {
            self.put(contact, origin);
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
        let wanted = self.founded(change.connections.iter().flatten().flatten());
        let tick = Tick { now: to_ticks(self.clock.now()), version: self.version };
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
            let wanted = self.founded(wanted.iter().flatten());
            let tick = self.tick();
            changed |= self.network.connect(contact.id, &wanted, self.knobs.connections, tick, &mut self.last_id);
        }
        if changed || self.knobs.noop_makes_a_version {
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
        set_array(&mut contact.tags, &change.tags, self.knobs.arrays, |a, b| a == b);
        set_array(&mut contact.refs, &change.refs, self.knobs.arrays, |a, b| a.key() == b.key());
        if !contact.has_identifier() {
            return Err(Problem::invalid_field("request", "at least one of name, email and phone is required"));
        }
        let namespaces: BTreeSet<String> = contact.refs.iter().map(|reference| reference.key().0).collect();
        if self.knobs.namespace_once && namespaces.len() < contact.refs.len() {
            return Err(Problem::invalid_field("externalRefs", "each namespace may appear once"));
        }
        let connections = change.connections.iter().flatten().flatten();
        let mut companies = connections.filter(|one| one.founding.is_none()).map(|one| one.company);
        if companies.any(|id| !self.network.is_company(id)) {
            return Err(Problem::invalid_field("connections", "no such company"));
        }
        Ok(())
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
        mine.iter().find_map(|address| {
            let owners = self.by_email.get(&address.to_lowercase()).into_iter().flatten();
            let counted = |id: &u64| self.is_live(*id) || self.knobs.deleted_addresses_count;
            let mut owners = owners.filter(|id| other(id) && counted(id)).filter(|id| {
                let theirs = self.counted_addresses(&self.contacts[id].contact);
                theirs.iter().any(|one| self.same_address(one, address))
            });
            owners.next().map(|id| Clash::Email(*id))
        })
    }

    fn counted_addresses<'a>(&self, contact: &'a Contact) -> Vec<&'a str> {
        let secondary = contact.emails.iter().map(|email| email.value.as_str());
        let secondary = secondary.filter(|_| self.knobs.secondary_addresses_count);
        contact.email.as_deref().into_iter().chain(secondary).collect()
    }

    fn same_address(&self, one: &str, other: &str) -> bool {
        one == other || (!self.knobs.email_case_matters && one.to_lowercase() == other.to_lowercase())
    }

    /// Whom `match=email` finds: who has the address as the primary one, or perhaps among the others.
    fn matched(&self, address: &str) -> Option<u64> {
        let has = |id: &u64| {
            let contact = self.contacts.get(id).map(|stored| &stored.contact).filter(|contact| contact.is_live());
            contact.is_some_and(|contact| {
                let others = contact.emails.iter().filter(|_| self.knobs.match_finds_secondary);
                let mut all = contact.email.iter().chain(others.map(|email| &email.value));
                all.any(|email| self.same_address(email, address))
            })
        };
        self.by_email.get(&address.to_lowercase())?.iter().copied().find(has)
    }

    fn refusal(&self, clash: &Clash) -> Problem {
        let telling = self.knobs.conflict_body == ConflictBody::Telling;
        match (clash, self.knobs.taken_email) {
            (Clash::Email(_), TakenEmail::Invalid) => Problem::invalid_field("email", "is already in use"),
            (Clash::Email(id), _) if telling => Problem::taken("email", *id),
            (Clash::Ref(id), _) if telling => Problem::taken("externalRefs", *id),
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
