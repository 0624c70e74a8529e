//! What people do to the organizations of the company.
//! It must not know HTTP.

use serde_json::Value as Json;

use crate::sandbox::people::Company;
use crate::sandbox::pipedrive::model::Pipedrive;
use crate::sandbox::pipedrive::organization::{Organization, address};
use crate::sandbox::pipedrive::person::Contact;
use crate::sandbox::pipedrive::state::Act;

impl Pipedrive {
    /// Adds an organization that nobody works for; answers the id in digits.
    pub fn add_organization(&self, company: &Company) -> String {
        let now = self.now();
        self.state().found(company, now).to_string()
    }

    /// The organization of a person.
    pub fn organization_of(&self, person: &str) -> Option<String> {
        self.state().row::<Contact>(person)?.value.organization.map(|key| key.to_string())
    }

    /// The company behind an id of an organization, deleted or not.
    pub fn organization(&self, id: &str) -> Option<Company> {
        self.state().row::<Organization>(id).map(|row| row.value.company.clone())
    }

    /// The ids of all organizations that are not deleted, oldest first.
    pub fn organization_ids(&self) -> Vec<String> {
        self.live::<Organization>()
    }

    /// Edits an organization and moves its `update_time`; see [`Pipedrive::organization_moves_persons`] for theirs.
    pub fn edit_organization(&self, id: &str, edit: impl FnOnce(&mut Company)) -> bool {
        let act = Act::person(self.now());
        self.change::<Organization>(id, act, |organization| edit(&mut organization.company)) && self.follow(id)
    }

    /// Renames the organization of a person.
    pub fn rename_organization(&self, person: &str, name: &str) -> bool {
        let Some(organization) = self.organization_of(person) else { return false };
        self.edit_organization(&organization, |company| name.clone_into(&mut company.name))
    }

    /// Writes the country of an organization's address as a geocoder might: in its own language, as `""`, or not at
    /// all; then the country is missing in the address.
    pub fn set_country(&self, id: &str, country: Option<&str>) -> bool {
        let mut spelt = address(country.unwrap_or_default());
        if let (None, Some(parts)) = (country, spelt.as_object_mut()) {
            parts.remove("country");
        }
        self.set_on_organization(id, "address", spelt)
    }

    /// Types any JSON into a field of an organization, custom or built-in, and moves its `update_time`.
    pub fn set_on_organization(&self, id: &str, code: &str, value: Json) -> bool {
        self.put::<Organization>(id, code, Some(value), Act::person(self.now()))
    }

    /// Marks an organization as deleted; its persons keep its id.
    pub fn delete_organization(&self, id: &str) -> bool {
        self.bin::<Organization>(id)
    }

    /// Restores an organization deleted less than thirty days ago.
    pub fn restore_organization(&self, id: &str) -> bool {
        self.unbin::<Organization>(id)
    }

    /// Deletes an organization for good.
    pub fn purge_organization(&self, id: &str) -> bool {
        self.erase::<Organization>(id)
    }

    /// Takes an organization out of the sight of the user behind the token, or shows it again.
    pub fn hide_organization(&self, id: &str, hide: bool) -> bool {
        self.veil::<Organization>(id, hide)
    }

    /// Moves the persons' `update_time` after their organization's, where the lever says so.
    fn follow(&self, id: &str) -> bool {
        let act = Act::person(self.now());
        let mut state = self.state();
        let key = state.row::<Organization>(id).map(|row| row.key);
        let members = key.filter(|_| state.levers.organization_moves_persons).map(|key| state.members(key));
        for person in members.into_iter().flatten() {
            state.change::<Contact>(person, act, |_| ());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::pipedrive::bench::{at, company, employed, get, ids, pass};
    use crate::sandbox::pipedrive::fields::DOMAIN;

    const SINCE: &str = "updated_since=2026-11-02T09:00:00Z";

    async fn changed(pipedrive: &Pipedrive, what: &str) -> Vec<String> {
        ids(&get(pipedrive, &format!("/api/v2/{what}?{SINCE}")).await.1)
    }

    #[tokio::test(start_paused = true)]
    async fn organizations_change_without_a_word_on_their_persons() {
        let pipedrive = company();
        let person = pipedrive.add_at(&employed(), at(-60));
        let firm = pipedrive.organization_of(&person).unwrap();
        assert_eq!(changed(&pipedrive, "organizations").await, [""; 0]);
        assert!(pipedrive.rename_organization(&person, "Another AB"));
        assert_eq!(changed(&pipedrive, "organizations").await, [firm.as_str()]);
        assert_eq!(changed(&pipedrive, "persons").await, [""; 0]);
        pipedrive.organization_moves_persons(true);
        assert!(pipedrive.edit_organization(&firm, |company| company.domain.clear()));
        assert_eq!(changed(&pipedrive, "persons").await, [person.as_str()]);
        let (_, body) = get(&pipedrive, &format!("/api/v2/organizations/{firm}?include_fields=people_count")).await;
        assert_eq!((&body["data"]["name"], &body["data"]["people_count"]), (&json!("Another AB"), &json!(1)));
        assert!(pipedrive.edit(&person, |person| person.title = None));
        assert_eq!(pipedrive.organization_of(&person), Some(firm), "an edit leaves the person where they are");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_a_geocoders_and_fields_hold_anything() {
        let pipedrive = company();
        let person = pipedrive.add(&employed());
        let firm = pipedrive.organization_of(&person).unwrap();
        let path = format!("/api/v2/organizations/{firm}");
        for (country, wanted) in
            [(Some("Schweden"), Some(json!("Schweden"))), (Some(""), Some(json!(""))), (None, None)]
        {
            assert!(pipedrive.set_country(&firm, country));
            let (_, body) = get(&pipedrive, &path).await;
            assert_eq!(body["data"]["address"].get("country"), wanted.as_ref());
            assert_eq!(body["data"]["address"]["route"], "Storgatan");
        }
        let website = pipedrive.add_organization_field("Domain", "varchar");
        assert!(pipedrive.set_on_organization(&firm, &website, json!("x.example")));
        assert!(
            pipedrive.set_on_organization(&firm, "address", json!(null))
                && pipedrive.set_on_organization(&firm, DOMAIN, json!(7))
        );
        let (_, body) = get(&pipedrive, &path).await;
        assert_eq!(
            (&body["data"]["custom_fields"][&website], &body["data"]["address"]),
            (&json!("x.example"), &json!(null))
        );
        assert_eq!(body["data"]["custom_fields"][DOMAIN], 7);
    }

    #[tokio::test(start_paused = true)]
    async fn some_accounts_know_their_organizations_websites() {
        let pipedrive = company();
        let firm = pipedrive.organization_of(&pipedrive.add(&employed())).unwrap();
        let domain = employed().company.unwrap().domain;
        for (on, website, status) in
            [(false, None, 404), (true, Some(json!(format!("https://www.{domain}"))), 200), (false, None, 404)]
        {
            pipedrive.set_company_details(on);
            let (_, body) = get(&pipedrive, &format!("/api/v2/organizations/{firm}")).await;
            assert_eq!((body["data"].get("website"), body["data"].get("industry").is_some()), (website.as_ref(), on));
            assert_eq!(get(&pipedrive, "/api/v2/organizationFields/website").await.0, status);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn deleted_and_hidden_organizations_leave_their_ids_on_the_persons() {
        let pipedrive = company();
        let person = pipedrive.add_at(&employed(), at(-60));
        let firm = pipedrive.organization_of(&person).unwrap();
        let listed = async || ids(&get(&pipedrive, &format!("/api/v2/organizations?ids={firm}")).await.1);
        assert!(pipedrive.hide_organization(&firm, true));
        assert_eq!(listed().await, [""; 0]);
        assert!(pipedrive.hide_organization(&firm, false) && pipedrive.delete_organization(&firm));
        assert_eq!((listed().await, pipedrive.organization_ids()), (vec![], vec![]));
        let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{person}")).await;
        assert_eq!(body["data"]["org_id"].to_string(), firm);
        pass(5).await;
        assert!(pipedrive.restore_organization(&firm));
        assert_eq!(changed(&pipedrive, "organizations").await, [firm.as_str()]);
        let colleague = pipedrive.add(&employed());
        assert_eq!(pipedrive.organization_of(&colleague), Some(firm.clone()));
        assert!(pipedrive.purge_organization(&firm));
        assert_eq!(get(&pipedrive, &format!("/api/v2/organizations/{firm}")).await.0, 404);
    }
}
