//! The company's state, what people do in it, and the levers a test pulls.
//! It must not know HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::people::{Company, Person};
use crate::sandbox::pipedrive::fields::{Absent, Bare, Contact, Organization};
use crate::sandbox::pipedrive::rates::Rates;
use crate::sandbox::pipedrive::routes;
use crate::sandbox::table::{Row, Table};

/// The API token.
pub const TOKEN: &str = "5a4db0c5e8f1792603bd4c8ea9f75162d0c3b8e7";
/// The company's id.
pub const COMPANY: u64 = 8_123_456;

/// A Pipedrive company account. Clones share it.
#[derive(Clone)]
pub struct Pipedrive {
    pub(super) gate: Gate,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

/// What a single read answers for a deleted record; Pipedrive documents none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletedRead {
    /// 200 with `is_deleted: true`.
    Shown,
    /// 404
    NotFound,
    /// 410
    Gone,
}

/// Everything that changes.
pub struct State {
    /// Persons.
    pub persons: Table<Contact>,
    /// Organizations.
    pub organizations: Table<Organization>,
    members: BTreeSet<(u64, u64)>,
    organization_of: BTreeMap<(String, String), u64>,
    /// Limits and what is used of them.
    pub rates: Rates,
    /// Whether the token is refused.
    pub expired: bool,
    /// The most rows a page has.
    pub page_cap: usize,
    /// Every how many list calls an empty page comes with a cursor to go on.
    pub empty_pages: Option<u64>,
    /// What a single read answers for a deleted record.
    pub deleted_read: DeletedRead,
    /// How records without custom values show them.
    pub bare: Bare,
    /// How a missing address or number is spelt.
    pub absent: Absent,
    /// Further field definitions, to fill pages.
    pub further_fields: usize,
    /// Answers so far; numbers correlation ids and cursors.
    pub answers: u64,
}

impl Pipedrive {
    /// An empty company; `seed` decides the run of ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let state = State {
            // Both begin alike: an id means nothing without its type.
            persons: Table::new(1 + seed % 40),
            organizations: Table::new(1 + seed % 40),
            members: BTreeSet::new(),
            organization_of: BTreeMap::new(),
            rates: Rates::default(),
            expired: false,
            page_cap: usize::MAX,
            empty_pages: None,
            deleted_read: DeletedRead::Shown,
            bare: Bare::Mixed,
            absent: Absent::Mixed,
            further_fields: 0,
            answers: 0,
        };
        let gate = Gate::new(clock.clone(), seed, routes::kind);
        Self { gate, clock, state: Arc::new(Mutex::new(state)) }
    }

    /// The drawer of faults.
    pub fn faults(&self) -> &Faults {
        self.gate.faults()
    }

    /// Requests so far: kinds me, users, persons, person, organizations, organization, fields, other.
    pub fn requests(&self) -> RequestCounts {
        self.gate.requests()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.gate.reset_counts();
    }

    /// Adds a person now; answers the id in digits.
    pub fn add(&self, person: &Person) -> String {
        self.add_at(person, self.now())
    }

    /// Adds a person whose times are `stamp`, in whole seconds.
    pub fn add_at(&self, person: &Person, stamp: DateTime<Utc>) -> String {
        self.insert(person, stamp, Some(stamp), None)
    }

    /// Adds a person stamped `stamp` that no list shows before `visible_from`.
    pub fn add_visible_at(&self, person: &Person, stamp: DateTime<Utc>, visible_from: DateTime<Utc>) -> String {
        self.insert(person, stamp, Some(stamp), Some(visible_from))
    }

    /// Adds a person of old whose `update_time` is NULL.
    pub fn add_without_update_time(&self, person: &Person, created: DateTime<Utc>) -> String {
        self.insert(person, created, None, None)
    }

    fn insert(
        &self,
        person: &Person,
        created: DateTime<Utc>,
        stamp: Option<DateTime<Utc>>,
        visible_from: Option<DateTime<Utc>>,
    ) -> String {
        let created = created.trunc_subsecs(0);
        let stamp = stamp.map(|stamp| stamp.trunc_subsecs(0));
        let mut state = self.state();
        let organization = person.company.as_ref().map(|company| state.organization_for(company, created));
        let contact = Contact { person: person.clone(), organization, propstreet_id: None };
        let key = state.persons.insert(contact, created, stamp, visible_from);
        state.members.extend(organization.map(|organization| (organization, key)));
        key.to_string()
    }

    /// Edits a person and bumps `update_time`. `false` when there is no such person.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Person)) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(row) = state.person(id) else { return false };
        let (key, before, mut person) = (row.key, row.value.organization, row.value.person.clone());
        edit(&mut person);
        let organization = person.company.as_ref().map(|company| state.organization_for(company, now));
        if let Some(before) = before {
            state.members.remove(&(before, key));
        }
        state.members.extend(organization.map(|organization| (organization, key)));
        state.touch(key, now, |row| {
            row.value.person = person;
            row.value.organization = organization;
        })
    }

    /// Moves `update_time` and nothing else.
    pub fn bump(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.person(id).map(|row| row.key).is_some_and(|key| state.touch(key, now, |_| ()))
    }

    /// What was written back to the field `Propstreet id`.
    pub fn written_back(&self, id: &str) -> Option<String> {
        self.state().person(id)?.value.propstreet_id.clone()
    }

    /// Marks a person as deleted: lists no longer show it.
    pub fn delete(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.person(id).map(|row| row.key).is_some_and(|key| state.touch(key, now, |row| row.deleted = Some(now)))
    }

    /// Restores a deleted person.
    pub fn restore(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.person(id).map(|row| row.key).is_some_and(|key| state.touch(key, now, |row| row.deleted = None))
    }

    /// Deletes for good: no call returns the person any more.
    pub fn purge(&self, id: &str) -> bool {
        let mut state = self.state();
        state.person(id).map(|row| row.key).is_some_and(|key| state.persons.purge(key))
    }

    /// Merges `gone` into `survivor`, whose values win; empty ones are filled.
    pub fn merge(&self, gone: &str, survivor: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some((loser, person)) = state.person(gone).map(|row| (row.key, row.value.person.clone())) else {
            return false;
        };
        let Some(winner) = state.person(survivor).map(|row| row.key).filter(|key| *key != loser) else { return false };
        state.touch(winner, now, |row| {
            let kept = &mut row.value.person;
            kept.email = kept.email.take().or(person.email);
            kept.phone = kept.phone.take().or(person.phone);
            kept.mobile = kept.mobile.take().or(person.mobile);
            kept.title = kept.title.take().or(person.title);
            kept.language = kept.language.take().or(person.language);
            kept.linkedin = kept.linkedin.take().or(person.linkedin);
            kept.label = kept.label.take().or(person.label);
            kept.strategy = kept.strategy.take().or(person.strategy);
        }) && state.touch(loser, now, |row| row.deleted = Some(now))
    }

    /// Renames the organization of a person; the person's own time stays.
    pub fn rename_organization(&self, person: &str, name: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(organization) = state.person(person).and_then(|row| row.value.organization) else { return false };
        state.organizations.change(organization, |row| {
            row.stamp = Some(now);
            name.clone_into(&mut row.value.company.name);
        })
    }

    /// The ids of all persons that are not deleted, hidden ones included, oldest first.
    pub fn ids(&self) -> Vec<String> {
        let state = self.state();
        let live = |key: &u64| state.persons.row(*key).is_some_and(|row| row.deleted.is_none());
        state.persons.keys().into_iter().filter(live).map(|key| key.to_string()).collect()
    }

    /// The person behind an id, deleted or not.
    pub fn person(&self, id: &str) -> Option<Person> {
        self.state().person(id).map(|row| row.value.person.clone())
    }

    /// Makes pages shorter than clients ask for.
    pub fn set_page_size_cap(&self, rows: usize) {
        self.state().page_cap = rows.max(1);
    }

    /// Makes every n-th list call answer an empty page with a cursor to go on.
    pub fn set_empty_pages(&self, every: Option<u64>) {
        self.state().empty_pages = every.map(|every| every.max(2));
    }

    /// Refuses the token from now on, as after a regeneration.
    pub fn expire_tokens(&self) {
        self.state().expired = true;
    }

    /// Accepts the token again.
    pub fn renew_tokens(&self) {
        self.state().expired = false;
    }

    /// Decides what a single read answers for a deleted record.
    pub fn set_deleted_read(&self, answer: DeletedRead) {
        self.state().deleted_read = answer;
    }

    /// Decides how emptiness is spelt, in custom fields and in addresses and numbers.
    pub fn set_emptiness(&self, bare: Bare, absent: Absent) {
        let mut state = self.state();
        (state.bare, state.absent) = (bare, absent);
    }

    /// Adds field definitions of no use, before the custom ones: theirs come on a later page.
    pub fn set_further_fields(&self, fields: usize) {
        self.state().further_fields = fields;
    }

    /// Changes limits and budget.
    pub fn with_rates(&self, change: impl FnOnce(&mut Rates)) {
        change(&mut self.state().rates);
    }

    /// Uses up the day's tokens: every call answers 429 until midnight UTC.
    pub fn exhaust_budget(&self) {
        let now = self.now();
        self.state().rates.exhaust(now);
    }

    /// Puts the firewall's HTML page before every call, or takes it away.
    pub fn set_blocked(&self, blocked: bool) {
        self.state().rates.blocked = blocked;
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now().trunc_subsecs(0)
    }

    /// The instant as it decides on visibility, fractions included.
    pub(super) fn instant(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn organization_for(&mut self, company: &Company, now: DateTime<Utc>) -> u64 {
        let name = (company.name.clone(), company.domain.clone());
        let organizations = &mut self.organizations;
        *self
            .organization_of
            .entry(name)
            .or_insert_with(|| organizations.insert(Organization { company: company.clone() }, now, Some(now), None))
    }

    fn person(&self, id: &str) -> Option<&Arc<Row<Contact>>> {
        self.persons.row(id.parse().ok()?)
    }

    /// Changes a person and bumps its `update_time`.
    pub fn touch(&mut self, key: u64, now: DateTime<Utc>, change: impl FnOnce(&mut Row<Contact>)) -> bool {
        self.persons.change(key, |row| {
            row.stamp = Some(now.trunc_subsecs(0));
            change(row);
        })
    }

    /// The persons of an organization.
    pub fn members(&self, organization: u64) -> Vec<u64> {
        self.members.range((organization, 0)..=(organization, u64::MAX)).map(|(_, key)| *key).collect()
    }
}
