//! The company and what people do to its persons.
//! It must not know HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use serde_json::Value as Json;

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::people::Person;
use crate::sandbox::pipedrive::fields::PROPSTREET_ID;
use crate::sandbox::pipedrive::person::Contact;
use crate::sandbox::pipedrive::routes;
use crate::sandbox::pipedrive::state::{Act, Held, State};

/// A Pipedrive company account. Clones share it.
#[derive(Clone)]
pub struct Pipedrive {
    pub(super) gate: Gate,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Pipedrive {
    /// An empty company; `seed` decides the run of ids.
    pub fn new(clock: Clock, seed: u64) -> Self {
        let gate = Gate::new(clock.clone(), seed, routes::kind);
        Self { gate, clock, state: Arc::new(Mutex::new(State::new(1 + seed % 40))) }
    }

    /// The drawer of faults.
    pub fn faults(&self) -> &Faults {
        self.gate.faults()
    }

    /// Requests so far: kinds token, me, users, persons, person, organizations, organization, fields, merge, webhooks,
    /// recents, other.
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
        self.state().hire(person, stamp, Some(stamp), None).to_string()
    }

    /// Adds a person stamped `stamp` that no list shows before `visible_from`.
    pub fn add_visible_at(&self, person: &Person, stamp: DateTime<Utc>, visible_from: DateTime<Utc>) -> String {
        self.state().hire(person, stamp, Some(stamp), Some(visible_from)).to_string()
    }

    /// Adds a person of old whose `update_time` is NULL.
    pub fn add_without_update_time(&self, person: &Person, created: DateTime<Utc>) -> String {
        self.state().hire(person, created, None, None).to_string()
    }

    /// Edits a person and moves `update_time`. `false` when there is no such person.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Person)) -> bool {
        let act = Act::person(self.now());
        self.state().edit(id, act, edit)
    }

    /// Edits many persons at once: all get this very second for their `update_time`. Answers it.
    pub fn bulk_edit(&self, ids: &[String], edit: impl Fn(&mut Person)) -> DateTime<Utc> {
        let act = Act { bulk: true, ..Act::person(self.now()) };
        let mut state = self.state();
        for id in ids {
            state.edit(id, act, &edit);
        }
        act.at
    }

    /// Moves `update_time` and nothing else.
    pub fn bump(&self, id: &str) -> bool {
        self.change::<Contact>(id, Act::person(self.now()), |_| ())
    }

    /// Back-dates a person or takes the `update_time` away, as imports did; nobody is told.
    pub fn set_update_time(&self, id: &str, stamp: Option<DateTime<Utc>>) -> bool {
        let stamp = stamp.map(|stamp| stamp.trunc_subsecs(0));
        let mut state = self.state();
        let key = state.row::<Contact>(id).map(|row| row.key);
        key.is_some_and(|key| state.persons.change(key, |row| row.stamp = stamp))
    }

    /// What was written back to the field `Propstreet id`.
    pub fn written_back(&self, id: &str) -> Option<String> {
        self.value(id, PROPSTREET_ID)?.as_str().map(str::to_owned)
    }

    /// What a custom field of a person holds.
    pub fn value(&self, id: &str, code: &str) -> Option<Json> {
        self.state().row::<Contact>(id)?.value.sheet.custom.get(code).cloned()
    }

    /// Types any JSON into a field of a person, custom or built-in (`emails`, `label_ids` …), and moves `update_time`.
    /// It is shown as it stands here, whatever else the person holds.
    pub fn set(&self, id: &str, code: &str, value: Json) -> bool {
        self.put::<Contact>(id, code, Some(value), Act::person(self.now()))
    }

    /// The same without moving `update_time`, as counts do: `open_deals_count`, `notes_count` …
    pub fn set_quietly(&self, id: &str, code: &str, value: Json) -> bool {
        self.put::<Contact>(id, code, Some(value), Act::quiet(self.now()))
    }

    /// Leaves a built-in field of a person out of all answers.
    pub fn omit(&self, id: &str, code: &str) -> bool {
        self.put::<Contact>(id, code, None, Act::quiet(self.now()))
    }

    /// Gives a person a further address, not the primary one.
    pub fn add_email(&self, id: &str, label: &str, email: &str) -> bool {
        let entry = (label.to_owned(), email.to_owned());
        self.change::<Contact>(id, Act::person(self.now()), |contact| contact.emails.push(entry))
    }

    /// Gives a person a further number, not the primary one.
    pub fn add_phone(&self, id: &str, label: &str, phone: &str) -> bool {
        let entry = (label.to_owned(), phone.to_owned());
        self.change::<Contact>(id, Act::person(self.now()), |contact| contact.phones.push(entry))
    }

    /// Marks a person as deleted: lists no longer show it.
    pub fn delete(&self, id: &str) -> bool {
        self.bin::<Contact>(id)
    }

    /// Restores a person deleted less than thirty days ago.
    pub fn restore(&self, id: &str) -> bool {
        self.unbin::<Contact>(id)
    }

    /// Deletes for good: no call returns the person any more.
    pub fn purge(&self, id: &str) -> bool {
        self.erase::<Contact>(id)
    }

    /// Takes a person out of the sight of the user behind the token, or shows it again; no time moves.
    pub fn hide(&self, id: &str, hide: bool) -> bool {
        self.veil::<Contact>(id, hide)
    }

    /// The ids of all persons that are not deleted, hidden ones included, oldest first.
    pub fn ids(&self) -> Vec<String> {
        self.live::<Contact>()
    }

    /// The person behind an id, deleted or not.
    pub fn person(&self, id: &str) -> Option<Person> {
        self.state().row::<Contact>(id).map(|row| row.value.person.clone())
    }

    pub(super) fn change<T: Held>(&self, id: &str, act: Act, change: impl FnOnce(&mut T)) -> bool {
        let mut state = self.state();
        let key = state.row::<T>(id).map(|row| row.key);
        key.is_some_and(|key| state.change::<T>(key, act, |row| change(&mut row.value)))
    }

    pub(super) fn put<T: Held>(&self, id: &str, code: &str, value: Option<Json>, act: Act) -> bool {
        let custom = T::fields(&self.state()).custom().any(|field| field.code == code);
        self.change::<T>(id, act, |record| {
            let sheet = record.sheet_mut();
            match value {
                Some(value) if custom => drop(sheet.custom.insert(code.to_owned(), value)),
                None if custom => drop(sheet.custom.remove(code)),
                value => drop(sheet.shown.insert(code.to_owned(), value)),
            }
        })
    }

    pub(super) fn bin<T: Held>(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let key = state.row::<T>(id).map(|row| row.key);
        key.is_some_and(|key| state.change::<T>(key, Act::person(now), |row| row.deleted = Some(now)))
    }

    pub(super) fn unbin<T: Held>(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let act = Act { stamps: state.levers.restore_moves_stamp, ..Act::person(now) };
        let held = state.row::<T>(id).filter(|row| !State::is_purged(row, now)).map(|row| row.key);
        held.is_some_and(|key| state.change::<T>(key, act, |row| row.deleted = None))
    }

    pub(super) fn erase<T: Held>(&self, id: &str) -> bool {
        let mut state = self.state();
        let key = state.row::<T>(id).map(|row| row.key);
        key.is_some_and(|key| T::table_mut(&mut state).purge(key))
    }

    pub(super) fn veil<T: Held>(&self, id: &str, hide: bool) -> bool {
        self.change::<T>(id, Act::quiet(self.now()), |record| record.sheet_mut().hidden = hide)
    }

    pub(super) fn live<T: Held>(&self) -> Vec<String> {
        let state = self.state();
        let table = T::table(&state);
        let live = |key: &u64| table.row(*key).is_some_and(|row| row.deleted.is_none());
        table.keys().into_iter().filter(live).map(|key| key.to_string()).collect()
    }

    /// Now, to the second: no time of a record is finer.
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
    fn edit(&mut self, id: &str, act: Act, edit: impl FnOnce(&mut Person)) -> bool {
        let Some(row) = self.row::<Contact>(id) else { return false };
        let (key, before, mut person) = (row.key, row.value.organization, row.value.person.clone());
        let employer = person.company.clone();
        edit(&mut person);
        // Whoever stays where they are stays there even when the organization has another name by now.
        let organization = if person.company == employer {
            before
        } else {
            person.company.as_ref().map(|company| self.organization_for(company, act.at))
        };
        self.moved(key, before, organization);
        self.change::<Contact>(key, act, |row| {
            row.value.person = person;
            row.value.organization = organization;
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::pipedrive::bench::{at, company, employed, get, pass, walk};
    use crate::sandbox::pipedrive::state::HiddenRead;

    #[tokio::test(start_paused = true)]
    async fn many_share_one_second_and_some_are_older_than_they_should_be() {
        let pipedrive = company();
        let all: Vec<String> = (0..2_500).map(|_| pipedrive.add_at(&employed(), at(-60))).collect();
        pass(5).await;
        let second = pipedrive.bulk_edit(&all, |person| person.title = Some("CFO".to_owned()));
        assert_eq!(second, at(5));
        let exactly =
            "updated_since=2026-11-02T09:00:05Z&updated_until=2026-11-02T09:00:06Z&sort_by=update_time&limit=500";
        assert_eq!(walk(&pipedrive, exactly).await, (all.clone(), 5));
        assert!(pipedrive.set_update_time(&all[0], Some(at(-9_000))) && pipedrive.set_update_time(&all[1], None));
        assert_eq!(walk(&pipedrive, exactly).await.0, all[2..]);
        let order = |ids: &[String]| [ids[0].clone(), ids[1].clone(), ids[2_499].clone()];
        let sorted = "sort_by=update_time&limit=500";
        assert_eq!(order(&walk(&pipedrive, sorted).await.0), [&all[1], &all[0], &all[2_499]].map(Clone::clone));
        pipedrive.set_nulls_last(true);
        let (upwards, _) = walk(&pipedrive, sorted).await;
        assert_eq!(order(&upwards), [&all[0], &all[2], &all[1]].map(Clone::clone));
        let (mut downwards, _) = walk(&pipedrive, &format!("{sorted}&sort_direction=desc")).await;
        downwards.reverse();
        assert_eq!(downwards, upwards);
    }

    #[tokio::test(start_paused = true)]
    async fn counts_move_without_a_time_and_any_field_can_hold_anything() {
        let pipedrive = company();
        let id = pipedrive.add_at(&employed(), at(-60));
        let path = format!("/api/v2/persons/{id}");
        assert!(pipedrive.set_quietly(&id, "notes_count", json!(3)));
        let (_, body) = get(&pipedrive, &format!("{path}?include_fields=notes_count")).await;
        assert_eq!(
            (&body["data"]["notes_count"], &body["data"]["update_time"]),
            (&json!(3), &json!("2026-11-02T08:59:00Z"))
        );
        assert_eq!(get(&pipedrive, &path).await.1["data"].get("notes_count"), None, "it was not asked for");
        assert!(pipedrive.set(&id, "emails", json!([{"value": " "}])) && pipedrive.omit(&id, "last_name"));
        let (_, body) = get(&pipedrive, &path).await;
        assert_eq!((&body["data"]["emails"], body["data"].get("last_name")), (&json!([{"value": " "}]), None));
        assert_eq!(body["data"]["update_time"], "2026-11-02T09:00:00Z");
    }

    #[tokio::test(start_paused = true)]
    async fn whom_the_user_may_not_see_is_in_no_list_and_not_deleted() {
        let pipedrive = company();
        let [one, two] = [0, 1].map(|_| pipedrive.add_at(&employed(), at(-60)));
        assert!(pipedrive.hide(&one, true));
        assert_eq!(walk(&pipedrive, "").await.0, [two.as_str()]);
        assert_eq!(walk(&pipedrive, &format!("ids={one},{two}")).await.0, [two.as_str()]);
        let path = format!("/api/v2/persons/{one}");
        assert_eq!(get(&pipedrive, &path).await.0, 403);
        pipedrive.set_hidden_read(HiddenRead::NotFound);
        assert_eq!(get(&pipedrive, &path).await.0, 404);
        pass(5).await;
        assert!(pipedrive.hide(&one, false));
        assert_eq!(walk(&pipedrive, "updated_since=2026-11-02T09:00:00Z").await.0, [""; 0], "its time is the old one");
        assert_eq!(walk(&pipedrive, "").await.0.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bin_keeps_for_thirty_days() {
        let pipedrive = company();
        let [one, two, three] = [0, 1, 2].map(|_| pipedrive.add_at(&employed(), at(-60)));
        assert!(pipedrive.delete(&one) && pipedrive.delete(&two) && pipedrive.purge(&three));
        pipedrive.restore_moves_stamp(false);
        pass(29 * 86_400).await;
        assert_eq!(get(&pipedrive, &format!("/api/v2/persons/{one}")).await.1["data"]["is_deleted"], true);
        pipedrive.set_deleted_in_lists(true);
        assert_eq!(walk(&pipedrive, "").await.0, [one.as_str(), &two]);
        assert!(pipedrive.restore(&one));
        let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{one}")).await;
        assert_eq!(
            (&body["data"]["is_deleted"], &body["data"]["update_time"]),
            (&json!(false), &json!("2026-11-02T09:00:00Z"))
        );
        pass(86_400).await;
        assert!(!pipedrive.restore(&two));
        assert_eq!(get(&pipedrive, &format!("/api/v2/persons/{two}")).await.0, 404);
        assert_eq!(walk(&pipedrive, "").await.0, [one.as_str()]);
    }
}
