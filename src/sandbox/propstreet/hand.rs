//! The hand of a person in Propstreet's app, and of a test: it plants, changes and deletes past every rule of the API, and
//! none of it counts among the API's writes.

use crate::sandbox::propstreet::Propstreet;
use crate::sandbox::propstreet::company::Company;
use crate::sandbox::propstreet::contact::{Contact, to_ticks};
use crate::sandbox::propstreet::network::Link;

impl Propstreet {
    /// Puts a contact in; its id and times are given, primaries join their lists.
    pub fn plant(&self, mut contact: Contact) -> u64 {
        (contact.id, contact.planted) = (0, true);
        if contact.emails.is_empty() {
            let email = contact.email.take();
            contact.set_email(email);
        }
        if contact.phones.is_empty() {
            let phone = contact.phone.take();
            contact.set_phone(phone);
        }
        self.state().put(contact, "app")
    }

    /// Changes a contact; the id cannot be changed. False if there is none.
    pub fn edit(&self, id: u64, change: impl FnOnce(&mut Contact)) -> bool {
        let mut state = self.state();
        let Some(mut contact) = state.any(id).map(|stored| stored.contact.clone()) else { return false };
        change(&mut contact);
        contact.id = id;
        state.put(contact, "app");
        true
    }

    /// Deletes a contact, softly. False if there is none.
    pub fn delete(&self, id: u64) -> bool {
        let now = self.clock().now();
        self.edit(id, |contact| contact.deleted = Some(to_ticks(now)))
    }

    /// Puts a company in; its id and times are given.
    pub fn plant_company(&self, company: Company) -> u64 {
        self.state().put_company(Company { id: 0, planted: true, ..company }, "app")
    }

    /// Changes a company; the id cannot be changed. False if there is none.
    pub fn edit_company(&self, id: u64, change: impl FnOnce(&mut Company)) -> bool {
        let mut state = self.state();
        let Some(mut company) = state.network.companies.get(&id).map(|held| held.company.clone()) else { return false };
        change(&mut company);
        company.id = id;
        state.put_company(company, "app");
        true
    }

    /// Deletes a company, softly. False if there is none.
    pub fn delete_company(&self, id: u64) -> bool {
        self.state().delete_company(id, "app")
    }

    /// Employs a contact; a primary employment takes that from the others. Answers the link's id.
    pub fn add_employment(&self, contact: u64, company: u64, title: Option<&str>, primary: bool) -> u64 {
        let mut state = self.state();
        let id = state.employ(contact, company, title.map(str::to_owned), "app");
        state.change_link(id, "app", |link| link.primary |= primary);
        id
    }

    /// Changes an employment: its title, or whether it is the primary one. False if nothing changed.
    pub fn edit_link(&self, id: u64, change: impl FnOnce(&mut Link)) -> bool {
        self.state().change_link(id, "app", change)
    }

    /// Ends a contact's employments at a company. False if there are none.
    pub fn end_employment(&self, contact: u64, company: u64) -> bool {
        let mut state = self.state();
        let links = state.network.live_links(contact).filter(|link| link.company == company);
        let ended: Vec<u64> = links.map(|link| link.id).collect();
        ended.iter().for_each(|id| state.end_link(*id, "app"));
        !ended.is_empty()
    }
}
