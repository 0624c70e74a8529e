//! Who and what the portal holds, merged-away contacts included, and who wants no mailings.
//! It must not know HTTP.

use crate::sandbox::hubspot::contact::Contact;
use crate::sandbox::hubspot::model::HubSpot;
use crate::sandbox::hubspot::state::State;
use crate::sandbox::roll::{Entry, Firm};
use crate::sandbox::table::Row;

/// What HubSpot sets when somebody unsubscribes from everything.
const OPT_OUT: &str = "hs_email_optout";

impl HubSpot {
    /// Somebody unsubscribes from all mailings, or is let in again.
    pub fn opt_out(&self, id: &str, out: bool) -> bool {
        self.set(id, OPT_OUT, if out { "true" } else { "" })
    }

    /// Every contact by its id; of those merged away, the values are their survivor's.
    pub fn roll(&self) -> Vec<Entry> {
        let state = self.state();
        let mut roll = Vec::new();
        for row in state.contacts.table.keys().into_iter().filter_map(|key| state.contacts.table.row(key)) {
            let survivor = entry(row, &state);
            let merged = row.value.merged.iter().map(|(key, _)| Entry {
                id: key.to_string(),
                alive: false,
                merged_into: Some(survivor.id.clone()),
                ..survivor.clone()
            });
            roll.extend(merged.filter(|entry| entry.id != survivor.id));
            if state.contacts.surviving(row.key) == row.key {
                roll.push(survivor);
            }
        }
        roll.sort_by_key(|entry| entry.id.parse::<u64>().unwrap_or_default());
        roll
    }

    /// Every company, those in the recycle bin included.
    pub fn firms(&self) -> Vec<Firm> {
        let state = self.state();
        let rows = state.companies.table.keys().into_iter().filter_map(|key| state.companies.table.row(key));
        rows.map(|row| Firm {
            id: row.key.to_string(),
            company: row.value.company.clone(),
            alive: !state.companies.archived.contains(&row.key),
        })
        .collect()
    }
}

fn entry(row: &Row<Contact>, state: &State) -> Entry {
    let company = row.value.company.and_then(|key| state.companies.row(&key.to_string()));
    let company = company.filter(|company| !state.companies.archived.contains(&company.key));
    let mut person = row.value.person.clone();
    person.company = company.map(|company| company.value.company.clone());
    Entry {
        id: row.key.to_string(),
        person,
        employer: company.map(|company| company.key.to_string()),
        alive: !state.contacts.archived.contains(&row.key),
        merged_into: None,
        opted_out: row.value.held.get(OPT_OUT).is_some_and(|value| value == "true"),
    }
}
