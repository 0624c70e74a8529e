//! Who and what the company's account holds, who moves from one organization to another, and who wants no mailings.
//! It must not know HTTP.

use serde_json::json;

use crate::sandbox::pipedrive::model::Pipedrive;
use crate::sandbox::pipedrive::organization::Organization;
use crate::sandbox::pipedrive::person::Contact;
use crate::sandbox::pipedrive::state::{Act, State};
use crate::sandbox::roll::{Entry, Firm};
use crate::sandbox::table::Row;

/// Of Campaigns; shown only to those who ask for it.
const MARKETING: &str = "marketing_status";

impl Pipedrive {
    /// Moves a person to another organization, or to none.
    pub fn set_organization(&self, person: &str, organization: Option<&str>) -> bool {
        let act = Act::person(self.now());
        let mut state = self.state();
        let found =
            organization.map(|id| state.row::<Organization>(id).map(|row| (row.key, row.value.company.clone())));
        let Ok(found) = found.map(|found| found.ok_or(())).transpose() else { return false };
        let Some((key, before)) = state.row::<Contact>(person).map(|row| (row.key, row.value.organization)) else {
            return false;
        };
        let organization = found.as_ref().map(|(key, _)| *key);
        state.moved(key, before, organization);
        state.change::<Contact>(key, act, |row| {
            row.value.organization = organization;
            row.value.person.company = found.map(|(_, company)| company);
        })
    }

    /// Sets a person's marketing status to `unsubscribed`, or back to `subscribed`.
    pub fn opt_out(&self, id: &str, out: bool) -> bool {
        self.set(id, MARKETING, json!(if out { "unsubscribed" } else { "subscribed" }))
    }

    /// Every person, oldest first.
    pub fn roll(&self) -> Vec<Entry> {
        let state = self.state();
        let rows = state.persons.keys().into_iter().filter_map(|key| state.persons.row(key));
        rows.map(|row| entry(row, &state)).collect()
    }

    /// Every organization, oldest first.
    pub fn firms(&self) -> Vec<Firm> {
        let state = self.state();
        let rows = state.organizations.keys().into_iter().filter_map(|key| state.organizations.row(key));
        rows.map(|row| Firm {
            id: row.key.to_string(),
            company: row.value.company.clone(),
            alive: row.deleted.is_none(),
        })
        .collect()
    }
}

fn entry(row: &Row<Contact>, state: &State) -> Entry {
    let organization = row.value.organization.and_then(|key| state.organizations.row(key));
    let organization = organization.filter(|row| row.deleted.is_none());
    let mut person = row.value.person.clone();
    person.company = organization.map(|organization| organization.value.company.clone());
    let sheet = &row.value.sheet;
    Entry {
        id: row.key.to_string(),
        person,
        employer: organization.map(|organization| organization.key.to_string()),
        alive: row.deleted.is_none(),
        merged_into: sheet.merged_into.filter(|_| row.deleted.is_some()).map(|key| key.to_string()),
        opted_out: sheet.shown.get(MARKETING).is_some_and(|value| *value == Some(json!("unsubscribed"))),
    }
}
