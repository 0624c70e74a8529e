//! What people do to companies, and who works where.
//! It must not know HTTP.

use std::collections::BTreeMap;

use chrono::SubsecRound;

use crate::sandbox::hubspot::contact::Tie;
use crate::sandbox::hubspot::firm::Firm;
use crate::sandbox::hubspot::history::Author;
use crate::sandbox::hubspot::model::HubSpot;
use crate::sandbox::hubspot::properties::Object;
use crate::sandbox::hubspot::store::Stamp;
use crate::sandbox::people::Company;

impl HubSpot {
    /// Adds a company that nobody works at yet; answers its id.
    pub fn add_company(&self, company: &Company) -> String {
        let now = self.now();
        let firm = Firm { company: company.clone(), merged: Vec::new(), held: BTreeMap::new() };
        self.state().companies.insert(firm, now, None, now).to_string()
    }

    /// The ids of all companies outside the recycle bin, oldest first.
    pub fn company_ids(&self) -> Vec<String> {
        let state = self.state();
        let keys = state.companies.table.keys().into_iter();
        keys.filter(|key| !state.companies.archived.contains(key)).map(|key| key.to_string()).collect()
    }

    /// The company behind an id, archived or not; a merged-away id answers its survivor's.
    pub fn company(&self, id: &str) -> Option<Company> {
        self.state().companies.row(id).map(|row| row.value.company.clone())
    }

    /// The id of a contact's primary company.
    pub fn company_of(&self, contact: &str) -> Option<String> {
        self.state().contacts.row(contact)?.value.company.map(|key| key.to_string())
    }

    /// Edits a company: its own modified date moves if a property changed, and no contact's does.
    pub fn edit_company(&self, id: &str, edit: impl FnOnce(&mut Company)) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(key) = state.companies.row(id).map(|row| row.key) else { return false };
        state.companies.change(key, Author::Person, Stamp::IfChanged, now, |firm| edit(&mut firm.company))
    }

    /// Types a value into any property of a company; empty clears it.
    pub fn set_company(&self, id: &str, property: &str, value: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some((key, mut firm)) = state.companies.row(id).map(|row| (row.key, row.value.clone())) else {
            return false;
        };
        let Some(property) = state.companies.definitions.find(property) else { return false };
        property.set(&mut firm, Some(value.to_owned()));
        state.companies.change(key, Author::Person, Stamp::IfChanged, now, |held| *held = firm)
    }

    /// Renames the primary company of a contact; the contact's own date stays.
    pub fn rename_company(&self, contact: &str, name: &str) -> bool {
        let Some(company) = self.company_of(contact) else { return false };
        self.edit_company(&company, |company| name.clone_into(&mut company.name))
    }

    /// Archives a company. Its contacts are no longer shown as tied to it; their dates stay.
    pub fn delete_company(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.companies.row(id).map(|row| row.key).is_some_and(|key| state.companies.archive(key, now))
    }

    /// Takes a company out of the recycle bin, with its contacts.
    pub fn restore_company(&self, id: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        state.companies.row(id).map(|row| row.key).is_some_and(|key| state.companies.restore(key, now))
    }

    /// Merges two companies into a new record and answers its id; all contacts of both are tied to it.
    pub fn merge_companies(&self, primary: &str, secondary: &str) -> Option<String> {
        let now = self.now();
        let mut state = self.state();
        let [winner, loser] = [primary, secondary].map(|id| state.companies.row(id).cloned());
        let (winner, loser) = winner.zip(loser).filter(|(winner, loser)| winner.key != loser.key)?;
        let mut firm = winner.value.clone();
        for old in [&winner, &loser] {
            firm.merged.extend(&old.value.merged);
            firm.merged.push((old.key, now));
        }
        firm.merged.sort_unstable();
        for (name, value) in loser.value.held() {
            firm.held.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let key = state.companies.insert(firm, now.trunc_subsecs(3), None, now);
        for old in [winner.key, loser.key] {
            for contact in state.staff(old).collect::<Vec<_>>() {
                state.tie(contact, now, |contact| move_over(&mut contact.company, &mut contact.others, old, key));
            }
            state.companies.lead(old, key);
            state.companies.purge(old, now);
        }
        Some(key.to_string())
    }

    /// Makes a company a contact's primary one, or with `None` leaves it without one; the former is not kept beside it.
    /// Whether the contact's date moves is a lever.
    pub fn set_primary_company(&self, contact: &str, company: Option<&str>) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(key) = state.contacts.row(contact).map(|row| row.key) else { return false };
        let company = match company.map(|id| state.companies.row(id).map(|row| row.key)) {
            Some(None) => return false,
            found => found.flatten(),
        };
        state.tie(key, now, |contact| {
            contact.company = company;
            contact.others.retain(|tie| Some(tie.company) != company);
        })
    }

    /// Ties a contact to one more company, not as the primary one; no date moves.
    pub fn associate(&self, contact: &str, company: &Company) -> bool {
        let now = self.now();
        let company = self.state().company_for(company, now, now);
        self.tie_to(contact, &company.to_string(), None)
    }

    /// Ties a contact to a company, not as the primary one, perhaps under a label of the portal's own; no date moves.
    pub fn tie_to(&self, contact: &str, company: &str, label: Option<&str>) -> bool {
        let now = self.now();
        let mut state = self.state();
        let contact = state.contacts.row(contact).map(|row| row.key);
        let company = state.companies.row(company).map(|row| row.key);
        let Some((contact, company)) = contact.zip(company) else { return false };
        let tie = Tie { company, label: label.map(str::to_owned) };
        state.tie(contact, now, |contact| {
            contact.others.retain(|known| known.company != company);
            contact.others.push(tie);
        })
    }

    /// Unties a contact and a company.
    pub fn untie(&self, contact: &str, company: &str) -> bool {
        let now = self.now();
        let mut state = self.state();
        let contact = state.contacts.row(contact).map(|row| row.key);
        let company = state.companies.row(company).map(|row| row.key);
        let Some((contact, company)) = contact.zip(company) else { return false };
        state.tie(contact, now, |contact| {
            contact.company = contact.company.filter(|primary| *primary != company);
            contact.others.retain(|tie| tie.company != company);
        })
    }
}

/// What led to the old company leads to the new one, once.
fn move_over(primary: &mut Option<u64>, others: &mut Vec<Tie>, old: u64, new: u64) {
    if *primary == Some(old) {
        *primary = Some(new);
    }
    for tie in others.iter_mut().filter(|tie| tie.company == old) {
        tie.company = new;
    }
    let mut seen = std::collections::BTreeSet::new();
    others.retain(|tie| Some(tie.company) != *primary && seen.insert(tie.company));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::sandbox::hubspot::bench::{company, employed, get, ids, pass, portal, post, search, window, window_by};

    /// The companies and the contacts that changed since the first second.
    async fn changed(hubspot: &HubSpot) -> (usize, usize) {
        let body = window_by("hs_lastmodifieddate", 1, 1_000_000, "0");
        let (_, companies) = post(hubspot, "/crm/objects/2026-03/companies/search", &body).await;
        let (_, contacts) = search(hubspot, &window(1, 1_000_000, "0")).await;
        (ids(&companies).len(), ids(&contacts).len())
    }

    #[tokio::test(start_paused = true)]
    async fn an_edit_of_a_company_moves_its_own_date_alone() {
        let hubspot = portal();
        let contact = hubspot.add(&employed());
        let company = hubspot.company_of(&contact).unwrap();
        pass(10).await;
        assert!(hubspot.edit_company(&company, |_| ()));
        assert_eq!(changed(&hubspot).await, (0, 0));
        assert!(hubspot.set_company(&company, "country", "SVERIGE") && hubspot.rename_company(&contact, "Nord AB"));
        assert_eq!(changed(&hubspot).await, (1, 0));
        let path = format!("/crm/objects/2026-03/companies/{company}?properties=name,country,website");
        let (_, body) = get(&hubspot, &path).await;
        let expected = [json!("Nord AB"), json!("SVERIGE"), Json::Null];
        assert_eq!(["name", "country", "website"].map(|name| body["properties"][name].clone()), expected);
        assert_ne!(hubspot.value(&contact, "company").as_deref(), Some("Nord AB"), "free text of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tie_moves_no_date_and_another_primary_company_does_if_told() {
        let hubspot = portal();
        let contact = hubspot.add(&employed());
        let [nord, syd] = ["Nord", "Syd"].map(|name| hubspot.add_company(&company(name)));
        pass(10).await;
        assert!(hubspot.tie_to(&contact, &nord, Some("Adviser")) && hubspot.associate(&contact, &company("Ost")));
        assert_eq!(changed(&hubspot).await, (1, 0), "a new company and no contact");
        hubspot.primary_company_moves_stamp(false);
        assert!(hubspot.set_primary_company(&contact, Some(&nord)));
        assert_eq!((hubspot.company_of(&contact).as_ref(), changed(&hubspot).await.1), (Some(&nord), 0));
        hubspot.primary_company_moves_stamp(true);
        assert!(hubspot.set_primary_company(&contact, Some(&syd)));
        assert_eq!((hubspot.value(&contact, "associatedcompanyid"), changed(&hubspot).await.1), (Some(syd.clone()), 1));
        assert!(hubspot.untie(&contact, &syd) && hubspot.company_of(&contact).is_none());
        assert!(!hubspot.set_primary_company(&contact, Some("1")));
    }

    #[tokio::test(start_paused = true)]
    async fn merged_companies_share_their_contacts() {
        let hubspot = portal();
        let [one, two] = [0, 1].map(|_| hubspot.add(&employed()));
        let nord = hubspot.add_company(&company("Nord"));
        let before = hubspot.company_of(&one).unwrap();
        hubspot.set_primary_company(&two, Some(&nord));
        hubspot.tie_to(&two, &before, None);
        let merged = hubspot.merge_companies(&nord, &before).unwrap();
        assert_eq!([&one, &two].map(|id| hubspot.company_of(id)), [Some(merged.clone()), Some(merged.clone())]);
        let inputs = json!({"inputs": [{"id": before}]});
        let path = "/crm/associations/2026-03/companies/contacts/batch/read";
        let (_, body) = post(&hubspot, path, &inputs).await;
        assert_eq!(body["results"][0]["to"].as_array().unwrap().len(), 2, "each once, under an old id as well");
        let (_, body) =
            get(&hubspot, &format!("/crm/v3/objects/companies/{nord}?properties=hs_merged_object_ids")).await;
        assert_eq!((&body["id"], hubspot.company(&nord).unwrap().name.as_str()), (&json!(merged), "Nord"));
    }
}
