//! The org, and what people do in it to contacts and leads alike.
//! It must not know HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::people::Person;
use crate::sandbox::salesforce::columns::{Record, Value};
use crate::sandbox::salesforce::lead::OPEN;
use crate::sandbox::salesforce::records::{Contact, Details, Lead, Profile};
use crate::sandbox::salesforce::state::State;
use crate::sandbox::salesforce::{ids, routes};
use crate::sandbox::table::Table;

/// The connected app's key.
pub const CLIENT_ID: &str = "sandbox-client";
/// The connected app's secret.
pub const CLIENT_SECRET: &str = "sandbox-secret";
/// The user whom the connected app's administrator has approved.
pub const USERNAME: &str = "integration@sandbox.example";

/// A Salesforce org. Clones share it.
#[derive(Clone)]
pub struct Salesforce {
    pub(super) gate: Gate,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Salesforce {
    /// An empty org; `seed` decides the run of ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let gate = Gate::new(clock.clone(), seed, routes::kind);
        Self { gate, clock, state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// The drawer of faults.
    pub fn faults(&self) -> &Faults {
        self.gate.faults()
    }

    /// Requests so far: kinds token, versions, limits, query, more, describe, updated, deleted, record, composite, job,
    /// results, other.
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
        let contact = Contact { profile: Profile::new(person, stamp), account, details: Details::default() };
        ids::id(Contact::PREFIX, state.tables.contacts.insert(contact, stamp, Some(stamp), visible_from))
    }

    /// Adds a lead now; answers its 18-character id.
    pub fn add_lead(&self, person: &Person) -> String {
        self.add_lead_at(person, self.now())
    }

    /// Adds a lead whose stamps are `stamp`.
    pub fn add_lead_at(&self, person: &Person, stamp: DateTime<Utc>) -> String {
        self.insert_lead(person, stamp, None)
    }

    /// Adds a lead stamped `stamp` in a transaction that commits only at `visible_from`.
    pub fn add_lead_visible_at(&self, person: &Person, stamp: DateTime<Utc>, visible_from: DateTime<Utc>) -> String {
        self.insert_lead(person, stamp, Some(visible_from))
    }

    fn insert_lead(&self, person: &Person, stamp: DateTime<Utc>, visible_from: Option<DateTime<Utc>>) -> String {
        let stamp = stamp.trunc_subsecs(0);
        let lead = Lead { profile: Profile::new(person, stamp), status: OPEN.to_owned(), converted: None };
        ids::id(Lead::PREFIX, self.state().tables.leads.insert(lead, stamp, Some(stamp), visible_from))
    }

    /// Edits a contact or a lead and bumps its stamps. `false` when there is no such record.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Person)) -> bool {
        let now = self.now();
        let mut state = self.state();
        let mut moved = false;
        let edited = state.touch(id, now, |(profile, _)| {
            let employer = profile.person.company.clone();
            edit(&mut profile.person);
            profile.modified = now;
            moved = profile.person.company != employer;
        });
        // Whoever stays where they are stays there even when the account has another name by now.
        if moved {
            state.rehouse(id, now);
        }
        edited
    }

    /// Sets one field that an API client may update (`Score__c`), as a user would. `false` when there is no such record
    /// or field.
    pub fn set_field(&self, id: &str, name: &str, value: Value) -> bool {
        let now = self.now();
        let tables = &mut self.state().tables;
        if id.starts_with(Lead::PREFIX) {
            set(&mut tables.leads, id, name, value, now)
        } else {
            set(&mut tables.contacts, id, name, value, now)
        }
    }

    /// Gives a formula another result, as a change elsewhere does: no stamp moves. `false` when there is no such contact.
    pub fn set_formula(&self, id: &str, result: &str) -> bool {
        let Some(key) = ids::key(Contact::PREFIX, id) else { return false };
        self.state().tables.contacts.change(key, |row| row.value.details.tier = Some(result.to_owned()))
    }

    /// A mass job: the stamp moves and no field does.
    pub fn bump(&self, id: &str) -> bool {
        let now = self.now();
        self.state().touch(id, now, |_| ())
    }

    /// The same for every contact and every lead at once.
    pub fn mass_bump(&self) {
        let now = Some(self.now());
        let tables = &mut self.state().tables;
        for key in tables.contacts.keys() {
            tables.contacts.change(key, |row| row.stamp = now);
        }
        for key in tables.leads.keys() {
            tables.leads.change(key, |row| row.stamp = now);
        }
    }

    /// Writes `Propstreet_Contact_Id__c`, as an integration would.
    pub fn write_back(&self, id: &str, propstreet_id: Option<String>) -> bool {
        let now = self.now();
        self.state().touch(id, now, |(profile, _)| {
            profile.propstreet_id = propstreet_id;
            profile.modified = now;
        })
    }

    /// What `Propstreet_Contact_Id__c` holds.
    pub fn written_back(&self, id: &str) -> Option<String> {
        self.state().profile(id)?.propstreet_id.clone()
    }

    /// Puts a contact or a lead into the bin: `queryAll` shows it for fifteen days, `query` does not.
    pub fn delete(&self, id: &str) -> bool {
        let now = self.now();
        self.state().touch(id, now, |(_, deleted)| *deleted = Some(now))
    }

    /// Takes a contact or a lead out of the bin.
    pub fn undelete(&self, id: &str) -> bool {
        let now = self.now();
        self.state().touch(id, now, |(profile, deleted)| {
            *deleted = None;
            profile.master = None;
        })
    }

    /// Deletes for good: nothing shows the record any more.
    pub fn purge(&self, id: &str) -> bool {
        let tables = &mut self.state().tables;
        ids::key(Contact::PREFIX, id).is_some_and(|key| tables.contacts.purge(key))
            || ids::key(Lead::PREFIX, id).is_some_and(|key| tables.leads.purge(key))
    }

    /// Merges two contacts or two leads: the loser goes to the bin and names the winner, who keeps nothing of it. A
    /// third record is a second call; a winner may lose later. `false` unless both stand outside the bin.
    pub fn merge(&self, winner: &str, loser: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let prefix = if winner.starts_with(Lead::PREFIX) { Lead::PREFIX } else { Contact::PREFIX };
        let (Some(master), Some(lost)) = (ids::key(prefix, winner), ids::key(prefix, loser)) else { return false };
        if master == lost || !state.is_live(winner) || !state.is_live(loser) {
            return false;
        }
        if state.levers.merge_moves_winner {
            state.touch(winner, now, |(profile, _)| profile.modified = now);
        }
        state.touch(loser, now, |(profile, deleted)| {
            *deleted = Some(now);
            profile.master = Some(master);
        })
    }

    /// The ids of all contacts outside the bin, uncommitted ones included, oldest first.
    pub fn ids(&self) -> Vec<String> {
        live(&self.state().tables.contacts)
    }

    /// The ids of all leads outside the bin, uncommitted and converted ones included, oldest first.
    pub fn lead_ids(&self) -> Vec<String> {
        live(&self.state().tables.leads)
    }

    /// The person behind an id of 15 or 18 characters, binned or not.
    pub fn person(&self, id: &str) -> Option<Person> {
        self.state().profile(id).map(|profile| profile.person.clone())
    }

    /// The id of the user who owns a contact or a lead.
    pub fn owner(&self, id: &str) -> Option<String> {
        self.state().profile(id).map(|profile| ids::id("005", profile.owner))
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

fn live<T: Record>(table: &Table<T>) -> Vec<String> {
    let live = |key: &u64| table.row(*key).is_some_and(|row| row.deleted.is_none());
    table.keys().into_iter().filter(live).map(|key| ids::id(T::PREFIX, key)).collect()
}

fn set<T: Record>(table: &mut Table<T>, id: &str, name: &str, value: Value, now: DateTime<Utc>) -> bool {
    let Some(key) = ids::key(T::PREFIX, id) else { return false };
    let Some(write) = T::column(name).and_then(|column| column.set) else { return false };
    table.change(key, |row| {
        row.stamp = Some(now);
        row.value.modified(now);
        write(&mut row.value, value);
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::sandbox::salesforce::bench::{Org, at, pass, person};

    async fn masters(org: &Org, object: &str) -> Json {
        let soql = format!("SELECT Id, MasterRecordId FROM {object} WHERE IsDeleted = true ORDER BY Id");
        let records = org.query_all(&soql).await.1["records"].clone();
        records.as_array().unwrap().iter().map(|row| json!([row["Id"], row["MasterRecordId"]])).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn three_records_merge_and_the_winner_may_lose_later() {
        for object in ["Contact", "Lead"] {
            let org = Org::new().await;
            let add = |row: i64| match object {
                "Lead" => org.salesforce.add_lead_at(&person(), at(row - 600)),
                _ => org.salesforce.add_at(&person(), at(row - 600)),
            };
            let [a, b, c, d] = [0, 1, 2, 3].map(add);
            assert!(org.salesforce.merge(&a, &b) && org.salesforce.merge(&a, &c));
            assert_eq!(masters(&org, object).await, json!([[b, a], [c, a]]));
            assert!(org.salesforce.merge(&d, &a), "the winner loses");
            assert_eq!(masters(&org, object).await, json!([[a, d], [b, a], [c, a]]), "each names who won at the time");
            assert!(!org.salesforce.merge(&d, &a) && !org.salesforce.merge(&a, &d) && !org.salesforce.merge(&d, &d));
            assert_eq!(org.ids(&format!("SELECT Id FROM {object}")).await, std::slice::from_ref(&d));
            assert!(org.salesforce.undelete(&a));
            assert_eq!(masters(&org, object).await, json!([[b, a], [c, a]]), "who is back lost to nobody");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_merge_may_leave_the_winner_without_a_new_stamp() {
        for (moves, stamp) in [(true, "2026-11-02T09:00:00.000+0000"), (false, "2026-11-02T08:50:00.000+0000")] {
            let org = Org::new().await;
            let [winner, loser] = [0, 1].map(|_| org.salesforce.add_at(&person(), at(-600)));
            org.salesforce.merge_moves_winner(moves);
            assert!(org.salesforce.merge(&winner, &loser));
            assert_eq!(org.first("SELECT SystemModstamp FROM Contact").await["SystemModstamp"], stamp);
        }
        let org = Org::new().await;
        let (contact, lead) = (org.salesforce.add(&person()), org.salesforce.add_lead(&person()));
        assert!(!org.salesforce.merge(&contact, &lead), "a contact and a lead do not merge");
    }

    #[tokio::test(start_paused = true)]
    async fn the_bin_is_emptied_after_fifteen_days() {
        let org = Org::new().await;
        assert!(org.salesforce.delete(&org.salesforce.add(&person())));
        let binned = "SELECT Id FROM Contact WHERE IsDeleted = true";
        pass(15 * 86_400 - 1).await;
        assert_eq!(org.query_all(binned).await.1["totalSize"], 1);
        pass(1).await;
        assert_eq!(org.query_all(binned).await.1["totalSize"], 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mass_job_moves_every_stamp_and_no_field() {
        let org = Org::new().await;
        for row in 0..3 {
            org.salesforce.add_at(&person(), at(row - 600));
            org.salesforce.add_lead_at(&person(), at(row - 600));
        }
        org.salesforce.mass_bump();
        for object in ["Contact", "Lead"] {
            let bumped = "SystemModstamp = 2026-11-02T09:00:00Z AND LastModifiedDate < 2026-11-02T08:59:00Z";
            assert_eq!(org.ids(&format!("SELECT Id FROM {object} WHERE {bumped}")).await.len(), 3);
        }
    }
}
