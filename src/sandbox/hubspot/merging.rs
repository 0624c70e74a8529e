//! Merges of contacts, of both kinds HubSpot has had.
//! It must not know HTTP.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::sandbox::hubspot::contact::Contact;
use crate::sandbox::hubspot::history::Author;
use crate::sandbox::hubspot::model::HubSpot;
use crate::sandbox::hubspot::state::State;
use crate::sandbox::hubspot::store::Stamp;
use crate::sandbox::people::Person;
use crate::sandbox::table::Row;

impl HubSpot {
    /// Merges two contacts and answers the id of the survivor: a new record, to which both old ids lead, or by
    /// [`HubSpot::merge_keeps_primary`] the primary one. Neither is archived.
    pub fn merge(&self, primary: &str, secondary: &str) -> Option<String> {
        let now = self.now();
        merge(&mut self.state(), primary, secondary, now).map(|key| key.to_string())
    }
}

/// Merges two contacts and answers the key of the survivor.
pub fn merge(state: &mut State, primary: &str, secondary: &str, now: DateTime<Utc>) -> Option<u64> {
    let winner = Arc::clone(state.contacts.row(primary)?);
    let loser = Arc::clone(state.contacts.row(secondary)?);
    if winner.key == loser.key {
        return None;
    }
    let mut value = joined(&winner.value, &loser.value);
    let olds = if state.levers.merge_keeps_primary { vec![loser.key] } else { vec![winner.key, loser.key] };
    value.merged.extend(olds.iter().map(|old| (*old, now)));
    value.merged.sort_unstable();
    let key = survive(state, &winner, &loser, value, now);
    for old in olds {
        state.contacts.lead(old, key);
        if state.levers.merged_in_bin {
            state.untie(old, now);
            state.contacts.archive(old, now);
        } else {
            state.purge(old, now);
        }
    }
    Some(key)
}

fn survive(state: &mut State, winner: &Row<Contact>, loser: &Row<Contact>, value: Contact, now: DateTime<Utc>) -> u64 {
    let moves = state.levers.merge_moves_stamp;
    if state.levers.merge_keeps_primary {
        state.change(winner.key, Author::Person, Stamp::Stays, now, |contact| *contact = value);
        if moves {
            state.contacts.touch(winner.key, now);
        }
        return winner.key;
    }
    let newest = winner.stamp.max(loser.stamp).filter(|_| !moves);
    state.hire(value, newest.unwrap_or(now), None, now)
}

/// Values prefer the winner's; of the loser come what is empty otherwise, its addresses, and who was merged into it.
fn joined(winner: &Contact, loser: &Contact) -> Contact {
    let mut value = winner.clone();
    fill(&mut value.person, &loser.person);
    value.company = value.company.or(loser.company);
    value.merged.extend(&loser.merged);
    for (name, held) in &loser.held {
        value.held.entry(name.clone()).or_insert_with(|| held.clone());
    }
    for tie in &loser.others {
        if Some(tie.company) != value.company && !value.others.iter().any(|known| known.company == tie.company) {
            value.others.push(tie.clone());
        }
    }
    let mut emails: Vec<String> = loser.person.email.iter().chain(&loser.more_emails).cloned().collect();
    emails.retain(|email| Some(email) != value.person.email.as_ref() && !value.more_emails.contains(email));
    value.more_emails.extend(emails);
    value
}

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

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::sandbox::hubspot::bench::{CONTACTS, at, employed, get, ids, portal, search, send, window};
    use crate::sandbox::hubspot::state::MergedRead;
    use crate::sandbox::people::Person;

    #[tokio::test(start_paused = true)]
    async fn archiving_and_merging_leave_the_traces_they_should() {
        let hubspot = portal();
        let [one, two, three] = [0, 1, 2].map(|_| hubspot.add_at(&employed(), at(-50)));
        assert!(hubspot.delete(&three));
        let (_, bin) = get(&hubspot, "/crm/objects/2026-03/contacts?archived=true&limit=100").await;
        assert_eq!(
            (ids(&bin), &bin["results"][0]["updatedAt"]),
            (vec![three.as_str()], &json!("2026-11-02T08:59:10.000Z"))
        );
        let merged = hubspot.merge(&one, &two).unwrap();
        assert_eq!(hubspot.ids(), [merged.as_str()]);
        let (_, body) =
            get(&hubspot, &format!("/crm/objects/2026-03/contacts/{one}?properties=hs_merged_object_ids")).await;
        assert_eq!(
            (&body["id"], &body["properties"]["hs_merged_object_ids"]),
            (&json!(merged), &json!(format!("{one};{two}")))
        );
        hubspot.set_merged_read(MergedRead::Silence);
        let path = "/crm/objects/2026-03/contacts/batch/read";
        let (status, body) = send(&hubspot, Method::POST, path, &json!({"inputs": [{"id": one}]})).await;
        assert_eq!((status, ids(&body).len()), (200, 0));
        assert!(hubspot.restore(&three));
        assert_eq!(ids(&get(&hubspot, "/crm/v3/objects/0-1").await.1), [&three, &merged]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_of_merges_is_told_whole_with_the_addresses_of_the_losers() {
        let hubspot = portal();
        let [one, two, three] = ["a@x.example", "b@x.example", "c@x.example"]
            .map(|email| hubspot.add_at(&Person { email: Some(email.to_owned()), ..employed() }, at(-50)));
        let first = hubspot.merge(&one, &two).unwrap();
        let last = hubspot.merge(&first, &three).unwrap();
        let told = |property| hubspot.value(&one, property).unwrap();
        assert_eq!(told("hs_merged_object_ids"), format!("{one};{two};{three};{first}"));
        assert_eq!(told("hs_additional_emails"), "b@x.example;c@x.example");
        assert_eq!(told("hs_all_contact_vids"), format!("{last};{one};{two};{three};{first}"));
        let at = at(0).timestamp_millis();
        assert_eq!(told("hs_calculated_merged_vids"), format!("{one}:{at};{two}:{at};{three}:{at};{first}:{at}"));
    }

    #[tokio::test(start_paused = true)]
    async fn merges_of_the_older_kind_leave_the_primary_its_id() {
        let hubspot = portal();
        hubspot.merge_keeps_primary(true);
        hubspot.merge_moves_stamp(false);
        hubspot.merged_in_bin(true);
        let [one, two] = [0, 1].map(|_| hubspot.add_at(&employed(), at(-50)));
        assert_eq!(hubspot.merge(&one, &two), Some(one.clone()));
        assert_eq!(hubspot.value(&two, "hs_merged_object_ids"), Some(two.clone()));
        assert_eq!(search(&hubspot, &window(-10, 10, "0")).await.1["total"], 0, "no date moved");
        assert_eq!(ids(&get(&hubspot, &format!("{CONTACTS}?archived=true")).await.1), [&two]);
        hubspot.merge_moves_stamp(true);
        hubspot.merged_in_bin(false);
        let three = hubspot.add_at(&employed(), at(-50));
        hubspot.merge(&one, &three);
        assert_eq!(ids(&search(&hubspot, &window(-10, 10, "0")).await.1), [&one]);
        assert_eq!(ids(&get(&hubspot, &format!("{CONTACTS}?archived=true")).await.1), [&two]);
        assert_eq!(hubspot.ids(), [one]);
    }
}
