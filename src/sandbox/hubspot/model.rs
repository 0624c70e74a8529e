//! The portal's state, what people do in it, and the levers a test pulls.
//! It must not know HTTP.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::hubspot::index::SearchIndex;
use crate::sandbox::hubspot::properties::Contact;
use crate::sandbox::hubspot::routes;
use crate::sandbox::people::{Company, Person};
use crate::sandbox::table::{Row, Table};

/// The service key.
pub const TOKEN: &str = "pat-eu1-sandbox";
/// The portal.
pub const PORTAL: u64 = 140_123_456;

/// A HubSpot portal. Clones share it.
#[derive(Clone)]
pub struct HubSpot {
    pub(super) gate: Gate,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

/// Records of one type, with the search index over them.
pub struct Store<T: 'static> {
    /// The records.
    pub table: Table<T>,
    /// What search believes of them.
    pub index: SearchIndex,
    /// Keys of the archived ones.
    pub archived: BTreeSet<u64>,
}

/// What batch read answers for the id of a contact that was merged away; HubSpot documents none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergedRead {
    /// The surviving record, under its own id.
    Survivor,
    /// `OBJECT_NOT_FOUND`.
    NotFound,
    /// Neither a result nor an error.
    Silence,
}

/// Allowances; `None` does not limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// Searches a second.
    pub searches_a_second: Option<u32>,
    /// Other requests in a rolling ten seconds.
    pub requests_in_ten_seconds: Option<u32>,
    /// Requests left today.
    pub today: Option<u32>,
}

/// Everything that changes.
pub struct State {
    /// Contacts.
    pub contacts: Store<Contact>,
    /// Companies.
    pub companies: Store<Company>,
    company_of: BTreeMap<(String, String), u64>,
    survivors: BTreeMap<u64, u64>,
    /// What batch read answers for merged-away ids.
    pub merged_read: MergedRead,
    /// Archived property definitions.
    pub archived_properties: BTreeSet<String>,
    /// Since when the token is refused.
    pub expired: Option<DateTime<Utc>>,
    /// The most rows a page of any list has.
    pub page_cap: usize,
    /// The allowances.
    pub allowances: Allowances,
    /// Requests of the last ten seconds.
    pub recent: VecDeque<DateTime<Utc>>,
    /// The second of the last search, and how many it saw.
    pub searches: (i64, u32),
    /// Answers so far; numbers their correlation ids.
    pub answers: u64,
}

impl<T: Clone> Store<T> {
    fn new(first_key: u64) -> Self {
        Self { table: Table::new(first_key), index: SearchIndex::default(), archived: BTreeSet::new() }
    }

    fn insert(
        &mut self,
        value: T,
        stamp: DateTime<Utc>,
        visible_from: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> u64 {
        let key = self.table.insert(value, stamp, Some(stamp), visible_from);
        self.index.note(key, Some(stamp), visible_from.map_or(now, |from| from.max(now)));
        key
    }

    fn edit(&mut self, key: u64, now: DateTime<Utc>, edit: impl FnOnce(&mut T)) -> bool {
        let stamp = now.trunc_subsecs(3);
        let found = self.table.change(key, |row| {
            row.stamp = Some(stamp);
            edit(&mut row.value);
        });
        if found && !self.archived.contains(&key) {
            self.index.note(key, Some(stamp), now);
        }
        found
    }

    fn archive(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        let found = self.table.change(key, |row| row.deleted = Some(now.trunc_subsecs(3)));
        if found {
            self.archived.insert(key);
            self.index.note(key, None, now);
        }
        found
    }

    fn restore(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        let found = self.archived.remove(&key) && self.table.change(key, |row| row.deleted = None);
        if found {
            let stamp = self.table.row(key).and_then(|row| row.stamp);
            self.index.note(key, stamp, now);
        }
        found
    }

    fn purge(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        self.archived.remove(&key);
        self.index.note(key, None, now);
        self.table.purge(key)
    }
}

impl HubSpot {
    /// An empty portal; `seed` decides the run of ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        // Crossing a power of ten early on, so that ids compared as text come out wrong.
        let first_key = 99_900 + seed % 90;
        let state = State {
            contacts: Store::new(first_key),
            companies: Store::new(first_key - 90_000),
            company_of: BTreeMap::new(),
            survivors: BTreeMap::new(),
            merged_read: MergedRead::Survivor,
            archived_properties: BTreeSet::new(),
            expired: None,
            page_cap: usize::MAX,
            allowances: Allowances {
                searches_a_second: Some(5),
                requests_in_ten_seconds: Some(190),
                today: Some(1_000_000),
            },
            recent: VecDeque::new(),
            searches: (0, 0),
            answers: 0,
        };
        let gate = Gate::new(clock.clone(), seed, routes::kind);
        Self { gate, clock, state: Arc::new(Mutex::new(state)) }
    }

    /// The drawer of faults.
    pub fn faults(&self) -> &Faults {
        self.gate.faults()
    }

    /// Requests so far: kinds account, list, record, search, batch, update, associations, properties, other.
    pub fn requests(&self) -> RequestCounts {
        self.gate.requests()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.gate.reset_counts();
    }

    /// Adds a contact now; answers its id.
    pub fn add(&self, person: &Person) -> String {
        self.add_at(person, self.now())
    }

    /// Adds a contact whose dates are `stamp`, to the millisecond.
    pub fn add_at(&self, person: &Person, stamp: DateTime<Utc>) -> String {
        self.insert(person, stamp, None)
    }

    /// Adds a contact stamped `stamp` that nothing shows before `visible_from`.
    pub fn add_visible_at(&self, person: &Person, stamp: DateTime<Utc>, visible_from: DateTime<Utc>) -> String {
        self.insert(person, stamp, Some(visible_from))
    }

    fn insert(&self, person: &Person, stamp: DateTime<Utc>, visible_from: Option<DateTime<Utc>>) -> String {
        let now = self.now();
        let stamp = stamp.trunc_subsecs(3);
        let mut state = self.state();
        let company = person.company.as_ref().map(|company| state.company_for(company, stamp, now));
        let person = person.clone();
        let contact = Contact { person, company, others: Vec::new(), merged: Vec::new(), propstreet_id: None };
        state.contacts.insert(contact, stamp, visible_from, now).to_string()
    }

    /// Edits a contact; the modified date moves only if something changed. `false` when there is no such contact.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Person)) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(before) = state.contact(id).map(|row| row.value.person.clone()) else { return false };
        let mut person = before.clone();
        edit(&mut person);
        if person == before {
            return true;
        }
        let company = person.company.as_ref().map(|company| state.company_for(company, now, now));
        state.touch(id, now, |contact| {
            contact.person = person;
            contact.company = company;
        })
    }

    /// What was written back to `propstreet_contact_id`.
    pub fn written_back(&self, id: &str) -> Option<String> {
        self.state().contact(id)?.value.propstreet_id.clone()
    }

    /// A system change that moves the modified date and no property a client reads.
    pub fn bump(&self, id: &str) -> bool {
        let now = self.now();
        self.state().touch(id, now, |_| ())
    }

    /// Ties a contact to one more company, not as the primary one; no date moves.
    pub fn associate(&self, id: &str, company: &Company) -> bool {
        let now = self.now();
        let mut state = self.state();
        let company = state.company_for(company, now, now);
        let Some(key) = state.contact(id).map(|row| row.key) else { return false };
        state.contacts.table.change(key, |row| row.value.others.push(company))
    }

    /// Renames the primary company of a contact; the contact's own date stays.
    pub fn rename_company(&self, contact: &str, name: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(company) = state.contact(contact).and_then(|row| row.value.company) else { return false };
        state.companies.edit(company, now, |company| name.clone_into(&mut company.name))
    }

    /// Archives a contact: into the recycle bin, its modified date unmoved.
    pub fn delete(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.contact(id).map(|row| row.key).is_some_and(|key| state.contacts.archive(key, now))
    }

    /// Takes a contact out of the recycle bin.
    pub fn restore(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.contact(id).map(|row| row.key).is_some_and(|key| state.contacts.restore(key, now))
    }

    /// A privacy deletion: nothing shows the contact any more, the recycle bin included.
    pub fn purge(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.contact(id).map(|row| row.key).is_some_and(|key| state.contacts.purge(key, now))
    }

    /// Merges two contacts into a new record and answers its id; both old ids lead there and neither is archived.
    pub fn merge(&self, primary: &str, secondary: &str) -> Option<String> {
        let now = self.now();
        let mut state = self.state();
        let winner = Arc::clone(state.contact(primary)?);
        let loser = Arc::clone(state.contact(secondary)?);
        if winner.key == loser.key {
            return None;
        }
        let mut value = winner.value.clone();
        fill(&mut value.person, &loser.value.person);
        value.company = value.company.or(loser.value.company);
        value.propstreet_id = value.propstreet_id.or_else(|| loser.value.propstreet_id.clone());
        for old in [&winner, &loser] {
            value.merged.push(old.key);
            value.merged.extend(&old.value.merged);
        }
        value.merged.sort_unstable();
        value.merged.dedup();
        let merged = value.merged.clone();
        let key = state.contacts.insert(value, now.trunc_subsecs(3), None, now);
        for old in merged {
            state.survivors.insert(old, key);
            state.contacts.purge(old, now);
        }
        Some(key.to_string())
    }

    /// The ids of all contacts outside the recycle bin, hidden ones included, oldest first.
    pub fn ids(&self) -> Vec<String> {
        let state = self.state();
        let keys = state.contacts.table.keys().into_iter();
        keys.filter(|key| !state.contacts.archived.contains(key)).map(|key| key.to_string()).collect()
    }

    /// The person behind an id, archived or not; a merged-away id answers its survivor's.
    pub fn person(&self, id: &str) -> Option<Person> {
        self.state().contact(id).map(|row| row.value.person.clone())
    }

    /// Makes pages shorter than clients ask for.
    pub fn set_page_size_cap(&self, rows: usize) {
        self.state().page_cap = rows.max(1);
    }

    /// Makes changes from now on show in searches only after `lag`.
    pub fn set_search_lag(&self, lag: Duration) {
        let lag = TimeDelta::from_std(lag).unwrap_or(TimeDelta::MAX);
        let mut state = self.state();
        state.contacts.index.set_lag(lag);
        state.companies.index.set_lag(lag);
    }

    /// Refuses the token from now on: `EXPIRED_AUTHENTICATION`.
    pub fn expire_tokens(&self) {
        let now = self.now();
        self.state().expired = Some(now);
    }

    /// Accepts the token again.
    pub fn renew_tokens(&self) {
        self.state().expired = None;
    }

    /// Archives a property definition: reads leave it out without a word.
    pub fn archive_property(&self, name: &str) {
        self.state().archived_properties.insert(name.to_owned());
    }

    /// Decides what batch read answers for merged-away ids.
    pub fn set_merged_read(&self, answer: MergedRead) {
        self.state().merged_read = answer;
    }

    /// Sets the allowances.
    pub fn set_allowances(&self, allowances: Allowances) {
        self.state().allowances = allowances;
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn company_for(&mut self, company: &Company, stamp: DateTime<Utc>, now: DateTime<Utc>) -> u64 {
        let name = (company.name.clone(), company.domain.clone());
        let companies = &mut self.companies;
        *self.company_of.entry(name).or_insert_with(|| companies.insert(company.clone(), stamp, None, now))
    }

    fn contact(&self, id: &str) -> Option<&Arc<Row<Contact>>> {
        self.contacts.table.row(self.surviving(id.parse().ok()?))
    }

    /// The key a key leads to, after merges.
    pub fn surviving(&self, key: u64) -> u64 {
        let mut key = key;
        while let Some(survivor) = self.survivors.get(&key) {
            key = *survivor;
        }
        key
    }

    /// Changes a contact and moves its modified date.
    pub fn touch(&mut self, id: &str, now: DateTime<Utc>, edit: impl FnOnce(&mut Contact)) -> bool {
        let Some(key) = self.contact(id).map(|row| row.key) else { return false };
        self.contacts.edit(key, now, edit)
    }
}

/// Values prefer the winner; the loser's fill what is empty.
fn fill(winner: &mut Person, loser: &Person) {
    fn take<V: Clone>(into: &mut Option<V>, from: &Option<V>) {
        if into.is_none() {
            into.clone_from(from);
        }
    }
    take(&mut winner.email, &loser.email);
    take(&mut winner.phone, &loser.phone);
    take(&mut winner.mobile, &loser.mobile);
    take(&mut winner.title, &loser.title);
    take(&mut winner.company, &loser.company);
    take(&mut winner.language, &loser.language);
    take(&mut winner.linkedin, &loser.linkedin);
    take(&mut winner.label, &loser.label);
    take(&mut winner.strategy, &loser.strategy);
}
