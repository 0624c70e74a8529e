//! The org's state, what people do in it, and the levers a test pulls.
//! It must not know HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::people::{Company, Person};
use crate::sandbox::salesforce::columns::{Account, Contact, Path, Record};
use crate::sandbox::salesforce::{ids, routes};
use crate::sandbox::table::{Row, Table};

/// The connected app's key.
pub const CLIENT_ID: &str = "sandbox-client";
/// The connected app's secret.
pub const CLIENT_SECRET: &str = "sandbox-secret";
/// The org's id.
pub const ORGANIZATION: &str = "00DQy00000000bDMAQ";

/// The longest page, and the default.
pub const PAGE: usize = 2000;
/// How long a query locator lives.
const LOCATOR_LIFE: TimeDelta = TimeDelta::days(2);

/// A Salesforce org. Clones share it.
#[derive(Clone)]
pub struct Salesforce {
    pub(super) gate: Gate,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

/// Everything that changes.
pub struct State {
    /// Contacts.
    pub contacts: Table<Contact>,
    /// Accounts.
    pub accounts: Table<Account>,
    account_of: BTreeMap<(String, String), u64>,
    token: Option<String>,
    tokens_issued: u64,
    locators: BTreeMap<u64, (DateTime<Utc>, Snapshot)>,
    next_locator: u64,
    page_cap: usize,
    hidden: BTreeSet<String>,
    admits_open_transactions: bool,
    /// Calls counted today, and the org's daily allowance.
    pub usage: (u64, u64),
}

/// A query's rows, as they were when it was asked.
#[derive(Clone)]
pub enum Snapshot {
    /// A query on Contact.
    Contacts(Cursor<Contact>),
    /// A query on Account.
    Accounts(Cursor<Account>),
}

/// One query's result set.
#[derive(Clone)]
pub struct Cursor<T: 'static> {
    /// The fields asked for.
    pub fields: Vec<Path<T>>,
    /// All rows.
    pub rows: Arc<Vec<Arc<Row<T>>>>,
    /// Rows a page.
    pub page: usize,
}

impl Salesforce {
    /// An empty org; `seed` decides the run of ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let start = 62_u64.pow(5) * (10 + seed % 40);
        let state = State {
            contacts: Table::new(start),
            accounts: Table::new(start),
            account_of: BTreeMap::new(),
            token: None,
            tokens_issued: 0,
            locators: BTreeMap::new(),
            next_locator: seed % 1000 + 1,
            page_cap: PAGE,
            hidden: BTreeSet::new(),
            admits_open_transactions: true,
            usage: (0, 1_000_000),
        };
        let gate = Gate::new(clock.clone(), seed, routes::kind);
        Self { gate, clock, state: Arc::new(Mutex::new(state)) }
    }

    /// The drawer of faults.
    pub fn faults(&self) -> &Faults {
        self.gate.faults()
    }

    /// Requests so far: kinds token, versions, limits, query, more, describe, updated, deleted, record, composite, other.
    pub fn requests(&self) -> RequestCounts {
        self.gate.requests()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.gate.reset_counts();
    }

    /// Adds a contact now; answers its 18-character id.
    pub fn add(&self, person: &Person) -> String {
        self.add_at(person, self.now())
    }

    /// Adds a contact whose stamps are `stamp`.
    pub fn add_at(&self, person: &Person, stamp: DateTime<Utc>) -> String {
        self.insert(person, stamp, None)
    }

    /// Adds a contact stamped `stamp` in a transaction that commits only at `visible_from`.
    pub fn add_visible_at(&self, person: &Person, stamp: DateTime<Utc>, visible_from: DateTime<Utc>) -> String {
        self.insert(person, stamp, Some(visible_from))
    }

    fn insert(&self, person: &Person, stamp: DateTime<Utc>, visible_from: Option<DateTime<Utc>>) -> String {
        let stamp = stamp.trunc_subsecs(0);
        let mut state = self.state();
        let account = person.company.as_ref().map(|company| state.account_for(company, stamp));
        let contact = Contact { person: person.clone(), account, master: None, modified: stamp, propstreet_id: None };
        ids::id(Contact::PREFIX, state.contacts.insert(contact, stamp, Some(stamp), visible_from))
    }

    /// Edits a contact and bumps its stamps. `false` when there is no such contact.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Person)) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(mut person) = state.contact(id).map(|row| row.value.person.clone()) else { return false };
        edit(&mut person);
        let account = person.company.as_ref().map(|company| state.account_for(company, now));
        state.touch(id, now, |row| {
            row.value = Contact { person, account, modified: now, ..row.value.clone() };
        })
    }

    /// A mass job: the stamp moves and no field does.
    pub fn bump(&self, id: &str) -> bool {
        let now = self.now();
        self.state().touch(id, now, |_| ())
    }

    /// Writes `Propstreet_Contact_Id__c`, as an integration would.
    pub fn write_back(&self, id: &str, propstreet_id: Option<String>) -> bool {
        let now = self.now();
        self.state().touch(id, now, |row| {
            row.value.propstreet_id = propstreet_id;
            row.value.modified = now;
        })
    }

    /// What `Propstreet_Contact_Id__c` holds.
    pub fn written_back(&self, id: &str) -> Option<String> {
        self.state().contact(id)?.value.propstreet_id.clone()
    }

    /// Puts a contact into the bin: `queryAll` shows it, `query` does not.
    pub fn delete(&self, id: &str) -> bool {
        let now = self.now();
        self.state().touch(id, now, |row| row.deleted = Some(now))
    }

    /// Takes a contact out of the bin.
    pub fn undelete(&self, id: &str) -> bool {
        let now = self.now();
        self.state().touch(id, now, |row| row.deleted = None)
    }

    /// Deletes for good: nothing shows the contact any more.
    pub fn purge(&self, id: &str) -> bool {
        let mut state = self.state();
        ids::key(Contact::PREFIX, id).is_some_and(|key| state.contacts.purge(key))
    }

    /// Merges two contacts: the loser goes to the bin and names the winner.
    pub fn merge(&self, winner: &str, loser: &str) -> bool {
        let now = self.now();
        let Some(master) = ids::key(Contact::PREFIX, winner) else { return false };
        let mut state = self.state();
        state.touch(winner, now, |row| row.value.modified = now)
            && state.touch(loser, now, |row| {
                row.deleted = Some(now);
                row.value.master = Some(master);
            })
    }

    /// Renames the Account of a contact; the contact's own stamp stays.
    pub fn rename_account(&self, contact: &str, name: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(account) = state.contact(contact).and_then(|row| row.value.account) else { return false };
        state.accounts.change(account, |row| {
            name.clone_into(&mut row.value.company.name);
            row.stamp = Some(now);
        })
    }

    /// The ids of all contacts outside the bin, uncommitted ones included, oldest first.
    pub fn ids(&self) -> Vec<String> {
        let state = self.state();
        let live = |key: &u64| state.contacts.row(*key).is_some_and(|row| row.deleted.is_none());
        state.contacts.keys().into_iter().filter(live).map(|key| ids::id(Contact::PREFIX, key)).collect()
    }

    /// The person behind an id of 15 or 18 characters, binned or not.
    pub fn person(&self, id: &str) -> Option<Person> {
        self.state().contact(id).map(|row| row.value.person.clone())
    }

    /// Makes pages shorter than clients ask for, as the server may.
    pub fn set_page_size_cap(&self, rows: usize) {
        self.state().page_cap = rows.max(1);
    }

    /// Ends all sessions: every call answers 401 until the next login.
    pub fn expire_tokens(&self) {
        self.state().token = None;
    }

    /// Forgets all open query locators.
    pub fn expire_locators(&self) {
        self.state().locators.clear();
    }

    /// Takes a field from the user's sight, by field-level security: `Email`, `Account.Website`.
    pub fn hide_field(&self, name: &str) {
        self.state().hidden.insert(full_name(name));
    }

    /// Gives it back.
    pub fn show_field(&self, name: &str) {
        self.state().hidden.remove(&full_name(name));
    }

    /// Sets the calls counted today and the daily allowance; once used up, all calls answer 403.
    pub fn set_usage(&self, used: u64, allowance: u64) {
        self.state().usage = (used, allowance);
    }

    /// Whether `latestDateCovered` falls back before open transactions, as documented (the default).
    pub fn admit_open_transactions(&self, admit: bool) {
        self.state().admits_open_transactions = admit;
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
    fn account_for(&mut self, company: &Company, now: DateTime<Utc>) -> u64 {
        let name = (company.name.clone(), company.domain.clone());
        let accounts = &mut self.accounts;
        *self
            .account_of
            .entry(name)
            .or_insert_with(|| accounts.insert(Account { company: company.clone() }, now, Some(now), None))
    }

    fn contact(&self, id: &str) -> Option<&Arc<Row<Contact>>> {
        self.contacts.row(ids::key(Contact::PREFIX, id)?)
    }

    fn touch(&mut self, id: &str, now: DateTime<Utc>, change: impl FnOnce(&mut Row<Contact>)) -> bool {
        let Some(key) = ids::key(Contact::PREFIX, id) else { return false };
        self.contacts.change(key, |row| {
            row.stamp = Some(now);
            change(row);
        })
    }

    /// The session's token; a repeated grant answers the same one.
    pub fn log_in(&mut self) -> String {
        let issued = &mut self.tokens_issued;
        let token = self.token.get_or_insert_with(|| {
            *issued += 1;
            format!("{}!AQsandbox{issued:08}", &ORGANIZATION[..15])
        });
        token.clone()
    }

    /// Whether a bearer token is alive.
    pub fn admits(&self, token: &str) -> bool {
        self.token.as_deref() == Some(token)
    }

    /// Whether the user may not see a field (`Contact.Email`).
    pub fn hides(&self, field: &str) -> bool {
        self.hidden.contains(&field.to_ascii_lowercase())
    }

    /// Rows a page when a client asks for `wanted`.
    pub fn page(&self, wanted: usize) -> usize {
        wanted.min(self.page_cap)
    }

    /// Keeps a result set for the pages to come; answers the locator's number.
    pub fn keep(&mut self, snapshot: Snapshot, now: DateTime<Utc>) -> u64 {
        self.locators.retain(|_, (opened, _)| now - *opened < LOCATOR_LIFE);
        self.next_locator += 1;
        self.locators.insert(self.next_locator, (now, snapshot));
        self.next_locator
    }

    /// The result set behind a locator.
    pub fn kept(&self, locator: u64, now: DateTime<Utc>) -> Option<Snapshot> {
        let (opened, snapshot) = self.locators.get(&locator)?;
        (now - *opened < LOCATOR_LIFE).then(|| snapshot.clone())
    }

    /// Up to where no later commit can show: before the oldest open transaction.
    pub fn covered(&self, end: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let open = if self.admits_open_transactions { self.contacts.oldest_uncommitted(now) } else { None };
        open.map_or(end, |open| open.min(end)).min(now).trunc_subsecs(0)
    }
}

fn full_name(field: &str) -> String {
    let full = if field.contains('.') { field.to_owned() } else { format!("Contact.{field}") };
    full.to_ascii_lowercase()
}
