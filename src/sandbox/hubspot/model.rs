//! The portal and what people do to its contacts.
//! It must not know HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::hubspot::contact::{Contact, PROPSTREET_ID};
use crate::sandbox::hubspot::history::Author;
use crate::sandbox::hubspot::properties::Object;
use crate::sandbox::hubspot::routes;
use crate::sandbox::hubspot::state::State;
use crate::sandbox::hubspot::store::Stamp;
use crate::sandbox::people::Person;

/// A HubSpot portal. Clones share it.
#[derive(Clone)]
pub struct HubSpot {
    pub(super) gate: Gate,
    clock: Clock,
    seed: u64,
    state: Arc<Mutex<State>>,
}

impl HubSpot {
    /// An empty portal; `seed` decides the run of ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        // Crossing a power of ten early on, so that ids compared as text come out wrong.
        let state = State::new(99_900 + seed % 90);
        let gate = Gate::new(clock.clone(), seed, routes::kind);
        Self { gate, clock, seed, state: Arc::new(Mutex::new(state)) }
    }

    /// The drawer of faults.
    pub fn faults(&self) -> &Faults {
        self.gate.faults()
    }

    /// Requests so far: kinds account, token, list, record, search, batch, update, associations, properties, other.
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
        let contact = Contact { person: person.clone(), company, ..Contact::default() };
        state.hire(contact, stamp, visible_from, now).to_string()
    }

    /// Edits a contact; the modified date moves only if a property changed. `false` when there is no such contact.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Person)) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some((key, mut person)) = state.contacts.row(id).map(|row| (row.key, row.value.person.clone())) else {
            return false;
        };
        let employer = person.company.clone();
        edit(&mut person);
        let company = person.company.as_ref().map(|company| state.company_for(company, now, now));
        let moved = person.company != employer;
        state.change(key, Author::Person, Stamp::IfChanged, now, |contact| {
            contact.person = person;
            if moved {
                contact.company = company;
            }
        })
    }

    /// Types a value into any property that people can edit; empty clears it. The modified date moves if it changed.
    /// `false` when there is no such contact or property.
    pub fn set(&self, id: &str, property: &str, value: &str) -> bool {
        self.put(id, property, value, Author::Person)
    }

    /// A calculated property gets a new value, `investor_class` for one; no date moves.
    pub fn recalculate(&self, id: &str, property: &str, value: &str) -> bool {
        self.put(id, property, value, Author::Calculation)
    }

    fn put(&self, id: &str, property: &str, value: &str, author: Author) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some((key, mut contact)) = state.contacts.row(id).map(|row| (row.key, row.value.clone())) else {
            return false;
        };
        let Some(property) = state.contacts.definitions.find(property) else { return false };
        property.set(&mut contact, Some(value.to_owned()));
        let stamp = if author == Author::Calculation { Stamp::Stays } else { Stamp::IfChanged };
        state.change(key, author, stamp, now, |held| *held = contact)
    }

    /// What a property of a contact holds.
    pub fn value(&self, id: &str, property: &str) -> Option<String> {
        let state = self.state();
        state.contacts.definitions.find(property)?.get(state.contacts.row(id)?)
    }

    /// What was written back to `propstreet_contact_id`.
    pub fn written_back(&self, id: &str) -> Option<String> {
        self.state().contacts.row(id)?.value.held().get(PROPSTREET_ID).cloned()
    }

    /// A system change that moves the modified date and no property a client reads.
    pub fn bump(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.contacts.row(id).map(|row| row.key).is_some_and(|key| state.contacts.touch(key, now))
    }

    /// HubSpot's own batch job at the end of a month: all these contacts get this very millisecond for their date.
    /// Answers it.
    pub fn batch_job(&self, ids: &[String]) -> DateTime<Utc> {
        let now = self.now();
        let mut state = self.state();
        for id in ids {
            if let Some(key) = state.contacts.row(id).map(|row| row.key) {
                state.contacts.touch(key, now);
            }
        }
        now.trunc_subsecs(3)
    }

    /// Archives a contact: into the recycle bin for 90 days, its modified date unmoved.
    pub fn delete(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.contacts.row(id).map(|row| row.key).is_some_and(|key| state.contacts.archive(key, now))
    }

    /// Takes a contact out of the recycle bin; see [`HubSpot::restore_moves_stamp`].
    pub fn restore(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(key) = state.contacts.row(id).map(|row| row.key) else { return false };
        let restored = state.contacts.restore(key, now);
        if restored && state.levers.restore_moves_stamp {
            state.contacts.touch(key, now);
        }
        restored
    }

    /// A deletion for good, as for privacy's sake or out of the recycle bin: nothing shows the contact any more.
    pub fn purge(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.contacts.row(id).map(|row| row.key).is_some_and(|key| state.purge(key, now))
    }

    /// The ids of all contacts outside the recycle bin, hidden ones included, oldest first.
    pub fn ids(&self) -> Vec<String> {
        let state = self.state();
        let keys = state.contacts.table.keys().into_iter();
        keys.filter(|key| !state.contacts.archived.contains(key)).map(|key| key.to_string()).collect()
    }

    /// The person behind an id, archived or not; a merged-away id answers its survivor's.
    pub fn person(&self, id: &str) -> Option<Person> {
        self.state().contacts.row(id).map(|row| row.value.person.clone())
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::hubspot::bench::{CONTACTS, employed, get, ids, pass, portal, search, window};
    use crate::sandbox::people::Phone;

    async fn changed(hubspot: &HubSpot) -> Vec<String> {
        let (_, body) = search(hubspot, &window(1, 1_000_000_000, "0")).await;
        ids(&body).into_iter().map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_date_moves_with_what_was_typed_and_with_nothing_else() {
        let hubspot = portal();
        let phone = Some(Phone::new("08-123 45 67", "+4681234567"));
        let id = hubspot.add(&Person { phone, ..employed() });
        pass(10).await;
        assert!(hubspot.recalculate(&id, "investor_class", "A") && hubspot.set(&id, "country", ""));
        // The number as typed stays, what HubSpot makes of it does not.
        let another = |person: &mut Person| person.phone.iter_mut().for_each(|phone| phone.e164.push('0'));
        assert!(hubspot.edit(&id, |_| ()) && hubspot.edit(&id, another) && !hubspot.set(&id, "nonsense", "x"));
        assert_eq!(hubspot.value(&id, "investor_class").as_deref(), Some("A"));
        assert_eq!(changed(&hubspot).await, Vec::<String>::new());
        for (property, value) in [("country", "Sverige"), ("hs_language", "sv-se"), ("email", "x@y.example")] {
            assert!(hubspot.set(&id, property, value));
            assert_eq!((hubspot.value(&id, property).as_deref(), changed(&hubspot).await.len()), (Some(value), 1));
        }
        assert_eq!(hubspot.person(&id).unwrap().email.as_deref(), Some("x@y.example"));
    }

    #[tokio::test(start_paused = true)]
    async fn whom_no_list_shows_can_be_read_all_the_same() {
        let hubspot = portal();
        let [one, two] = [0, 1].map(|_| hubspot.add(&employed()));
        hubspot.hide_from_lists(&one, true);
        assert_eq!(ids(&get(&hubspot, CONTACTS).await.1), [&two]);
        assert_eq!(get(&hubspot, &format!("{CONTACTS}/{one}")).await.0, 200);
        hubspot.hide_from_lists(&one, false);
        assert_eq!(ids(&get(&hubspot, CONTACTS).await.1), [&one, &two]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_job_of_the_month_gives_all_one_millisecond() {
        let hubspot = portal();
        let all: Vec<String> = (0..300).map(|_| hubspot.add(&employed())).collect();
        tokio::time::advance(std::time::Duration::from_micros(5_000_900)).await;
        let stamp = hubspot.batch_job(&all[100..]);
        assert_eq!(stamp.timestamp_subsec_nanos() % 1_000_000, 0);
        let exactly = |operator: &str| {
            let value = stamp.timestamp_millis().to_string();
            let filter = serde_json::json!({"propertyName": "lastmodifieddate", "operator": operator, "value": value});
            serde_json::json!({"filterGroups": [{"filters": [filter]}]})
        };
        assert_eq!(search(&hubspot, &exactly("EQ")).await.1["total"], 200);
        assert_eq!(search(&hubspot, &exactly("GT")).await.1["total"], 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bin_keeps_for_ninety_days_and_gives_back_by_its_rule() {
        let hubspot = portal();
        let [one, two, three] = [0, 1, 2].map(|_| hubspot.add(&employed()));
        let bin = format!("{CONTACTS}?archived=true");
        assert!(hubspot.delete(&one) && !hubspot.delete(&one) && hubspot.delete(&two) && hubspot.purge(&three));
        let (_, body) = get(&hubspot, &bin).await;
        assert_eq!((ids(&body), &body["results"][0]["archived"]), (vec![one.as_str(), &two], &true.into()));
        assert_eq!(body["results"][0]["archivedAt"], "2026-11-02T09:00:00.000Z");
        pass(10).await;
        assert!(hubspot.restore(&one));
        assert_eq!(changed(&hubspot).await, Vec::<String>::new());
        hubspot.restore_moves_stamp(true);
        assert!(hubspot.delete(&one) && hubspot.restore(&one));
        assert_eq!(changed(&hubspot).await, [one.as_str()]);
        pass(90 * 24 * 3600 - 11).await;
        assert_eq!(ids(&get(&hubspot, &bin).await.1), [&two]);
        pass(1).await;
        assert_eq!(ids(&get(&hubspot, &bin).await.1), [""; 0]);
        assert!(!hubspot.restore(&two) && hubspot.ids() == [one]);
    }
}
