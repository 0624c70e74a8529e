//! Merges: one record disappears, the other survives, wins where both have something, and takes over the rest.
//! It must not know HTTP.

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use crate::sandbox::pipedrive::fields::Sheet;
use crate::sandbox::pipedrive::model::Pipedrive;
use crate::sandbox::pipedrive::organization::Organization;
use crate::sandbox::pipedrive::person::Contact;
use crate::sandbox::pipedrive::state::{Act, Held, State};

/// A record that can take over what another holds.
pub trait Mergeable: Held {
    /// Takes over what this one lacks.
    fn take_over(&mut self, other: &Self);
    /// What belongs to the one that disappeared belongs to the survivor.
    fn hand_over(state: &mut State, loser: u64, winner: u64, act: Act);
}

impl Mergeable for Contact {
    fn take_over(&mut self, other: &Self) {
        self.absorb(other);
    }

    fn hand_over(state: &mut State, _: u64, winner: u64, _: Act) {
        let organization = state.persons.row(winner).and_then(|row| row.value.organization);
        state.moved(winner, None, organization);
    }
}

impl Mergeable for Organization {
    fn take_over(&mut self, other: &Self) {
        self.absorb(other);
    }

    fn hand_over(state: &mut State, loser: u64, winner: u64, act: Act) {
        let stamps = state.levers.organization_moves_persons;
        state.rehire(loser, winner, Act { stamps, merged: None, ..act });
    }
}

impl Pipedrive {
    /// Merges the person `gone` into `survivor`, whose values win; empty ones are filled, addresses and numbers of both
    /// are kept.
    pub fn merge(&self, gone: &str, survivor: &str) -> bool {
        let now = self.now();
        self.state().merge::<Contact>(gone, survivor, now, false)
    }

    /// The same for organizations; the persons of both work for the survivor.
    pub fn merge_organizations(&self, gone: &str, survivor: &str) -> bool {
        let now = self.now();
        self.state().merge::<Organization>(gone, survivor, now, false)
    }
}

impl State {
    /// `gone` disappears, `survivor` lives; `api` when a client asked for it. `false` unless both are there.
    pub fn merge<T: Mergeable>(&mut self, gone: &str, survivor: &str, at: DateTime<Utc>, api: bool) -> bool {
        let live = |id: &str| self.row::<T>(id).filter(|row| row.deleted.is_none()).cloned();
        let (Some(loser), Some(winner)) = (live(gone), live(survivor)) else { return false };
        if loser.key == winner.key {
            return false;
        }
        let act = Act { api, ..Act::person(at) };
        let into = Act { merged: Some(("merged_to_id", winner.key)), ..act };
        self.change::<T>(loser.key, into, |row| {
            row.deleted = Some(at);
            row.value.sheet_mut().merged_into = Some(winner.key);
        });
        let stamps = self.levers.merge_moves_stamp;
        let from = Act { stamps, merged: Some(("merged_from_id", loser.key)), ..act };
        self.change::<T>(winner.key, from, |row| {
            row.value.take_over(&loser.value);
            gather(row.value.sheet_mut(), loser.value.sheet());
        });
        T::hand_over(self, loser.key, winner.key, act);
        true
    }
}

/// Custom values are filled where they are missing; deals, notes and the like are counted together.
fn gather(own: &mut Sheet, other: &Sheet) {
    for (code, value) in &other.custom {
        let held = own.custom.entry(code.clone()).or_insert(Json::Null);
        if held.is_null() {
            held.clone_from(value);
        }
    }
    for (name, value) in other.shown.iter().filter(|(name, _)| name.ends_with("_count")) {
        let number = |value: &Option<Json>| value.as_ref().and_then(Json::as_u64).unwrap_or(0);
        let both = number(value) + own.shown.get(name).map_or(0, number);
        own.shown.insert(name.clone(), Some(json!(both)));
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sandbox::people::{Person, Phone};
    use crate::sandbox::pipedrive::bench::{at, company, employed, get, pass, send, walk};
    use crate::sandbox::pipedrive::fields::PROPSTREET_ID;
    use crate::sandbox::pipedrive::state::DeletedRead;

    #[tokio::test(start_paused = true)]
    async fn the_path_disappears_and_the_body_survives_with_the_addresses_of_both() {
        let pipedrive = company();
        let lonely = Person { company: None, title: None, phone: Some(Phone::new("08-1", "+4681")), ..employed() };
        let other = Person { email: Some("other@x.example".to_owned()), title: Some("CFO".to_owned()), ..employed() };
        let (gone, survivor) = (pipedrive.add_at(&other, at(-60)), pipedrive.add_at(&lonely, at(-60)));
        assert!(pipedrive.add_email(&gone, "home", "home@x.example") && pipedrive.add_phone(&gone, "fax", "08-2"));
        assert!(pipedrive.set_quietly(&gone, "open_deals_count", json!(2)));
        assert!(pipedrive.set_quietly(&gone, PROPSTREET_ID, json!("42")));
        pass(5).await;
        let with = json!({"merge_with_id": survivor.parse::<u64>().unwrap()});
        let path = format!("/v1/persons/{gone}/merge");
        let spent = pipedrive.tokens_spent();
        let (status, body) = send(&pipedrive, Method::PUT, &path, &with).await;
        assert_eq!((status, pipedrive.tokens_spent() - spent), (200, 40));
        assert_eq!(body["data"]["update_time"], "2026-11-02 09:00:05");
        let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{survivor}?include_fields=open_deals_count")).await;
        let values = |name: &str| {
            let all = body["data"][name].as_array().unwrap().iter();
            all.map(|entry| (entry["value"].as_str().unwrap().to_owned(), entry["primary"] == true)).collect::<Vec<_>>()
        };
        let own = lonely.email.clone().unwrap();
        let wanted = [(own.as_str(), true), ("other@x.example", false), ("home@x.example", false)];
        assert_eq!(values("emails"), wanted.map(|(value, primary)| (value.to_owned(), primary)));
        let phones = values("phones");
        assert!(phones.contains(&("08-2".to_owned(), false)), "{phones:?}");
        assert_eq!(phones.iter().filter(|(_, primary)| *primary).count(), 1);
        assert_eq!((&body["data"]["job_title"], &body["data"]["open_deals_count"]), (&json!("CFO"), &json!(2)));
        assert_eq!(pipedrive.written_back(&survivor).as_deref(), Some("42"));
        let organization = pipedrive.organization_of(&survivor).unwrap();
        assert_eq!(walk(&pipedrive, &format!("org_id={organization}")).await.0, [survivor.as_str()]);
        assert_eq!(send(&pipedrive, Method::PUT, &path, &with).await.0, 404, "nobody is merged twice");
    }

    #[tokio::test(start_paused = true)]
    async fn the_merged_are_read_like_the_deleted() {
        let pipedrive = company();
        let [one, two] = [0, 1].map(|_| pipedrive.add_at(&employed(), at(-60)));
        pipedrive.merge_moves_stamp(false);
        assert!(pipedrive.merge(&one, &two) && !pipedrive.merge(&two, &two));
        assert_eq!(walk(&pipedrive, "").await.0, [two.as_str()]);
        assert_eq!(walk(&pipedrive, "updated_since=2026-11-02T09:00:00Z").await.0, [""; 0]);
        let path = format!("/api/v2/persons/{one}");
        for (answer, wanted) in [(DeletedRead::Shown, 200), (DeletedRead::NotFound, 404), (DeletedRead::Gone, 410)] {
            pipedrive.set_deleted_read(answer);
            assert_eq!(get(&pipedrive, &path).await.0, wanted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_persons_of_a_merged_organization_work_for_the_survivor() {
        let pipedrive = company();
        let person = pipedrive.add_at(&employed(), at(-60));
        let gone = pipedrive.organization_of(&person).unwrap();
        let mut bigger = employed().company.unwrap();
        "Bigger".clone_into(&mut bigger.name);
        let survivor = pipedrive.add_organization(&bigger);
        assert!(pipedrive.merge_organizations(&gone, &survivor));
        assert_eq!(pipedrive.organization_of(&person), Some(survivor.clone()));
        let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{person}")).await;
        assert_eq!(body["data"]["update_time"], "2026-11-02T08:59:00Z", "nothing shows on the person");
        assert_eq!(walk(&pipedrive, &format!("org_id={survivor}")).await.0, [person.as_str()]);
        let again = pipedrive.add(&employed());
        assert_eq!(pipedrive.organization_of(&again), Some(survivor));
    }
}
