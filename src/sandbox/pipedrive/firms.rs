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
