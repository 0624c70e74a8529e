//! Who works where: association reads in both directions, of many records or one, and the labels there are.
//! It must not know paths, tokens or rates.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::batches::{self, batch};
use crate::sandbox::hubspot::contact::Contact;
use crate::sandbox::hubspot::state::State;

/// The most ids an association read takes.
const INPUTS: usize = 1_000;

/// Which way an association is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From contacts to their companies.
    ToCompanies,
    /// From companies to their contacts.
    ToContacts,
}

impl Way {
    /// The type ids of a primary and of any association.
    fn types(self) -> (u64, u64) {
        match self {
            Self::ToCompanies => (1, 279),
            Self::ToContacts => (2, 280),
        }
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::ToCompanies => ("contact", "company"),
            Self::ToContacts => ("company", "contact"),
        }
    }
}

/// One association, with its types.
struct Link {
    to: u64,
    primary: bool,
    label: Option<String>,
}

/// Associations of many records; one that has none, or that does not exist, is an error entry.
pub fn read(state: &State, way: Way, body: &[u8], now: DateTime<Utc>) -> Result<Response, Refusal> {
    let (from, to) = way.words();
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    let body: Map<String, Json> = batches::object(body)?;
    for (id, input) in batches::inputs(&body, INPUTS)? {
        if state.levers.archived_spoils_associations && is_archived(state, way, &id) {
            let message = format!("Cannot read associations of the archived {from} {id}");
            return Err(Refusal::invalid(message).context(json!({"ids": [id]})));
        }
        let links = links(state, way, &id, now);
        if links.is_empty() {
            errors.push(json!({
                "status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                "message": format!("No {to} is associated with {from} {id}."),
                "context": {"fromObjectId": [id], "fromObjectType": [from], "toObjectType": [to]},
            }));
            continue;
        }
        let mut result = page(state, way, &links, input["after"].as_str())?;
        result["to"] = result["results"].take();
        result.as_object_mut().map(|fields| fields.remove("results"));
        result["from"] = json!({"id": id});
        results.push(result);
    }
    Ok(batch(&results, &errors, now))
}

/// Associations of one record.
pub fn of_one(state: &State, way: Way, id: &str, after: Option<&str>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let exists = match way {
        Way::ToCompanies => state.contacts.row(id).is_some_and(|row| state.contacts.live(row.key, now).is_some()),
        Way::ToContacts => state.companies.row(id).is_some_and(|row| state.companies.live(row.key, now).is_some()),
    };
    if !exists {
        return Err(Refusal::not_found("resource not found"));
    }
    Ok(axum::Json(page(state, way, &links(state, way, id, now), after)?).into_response())
}

/// One page of associations; `after` is where it begins.
fn page(state: &State, way: Way, links: &[Link], after: Option<&str>) -> Result<Json, Refusal> {
    let bad = || Refusal::invalid("after is no cursor");
    let start: usize =
        after.filter(|after| !after.is_empty()).map_or(Ok(0), |after| after.parse().map_err(|_| bad()))?;
    let end = start.saturating_add(state.levers.association_page);
    let shown = links.iter().skip(start).take(state.levers.association_page);
    let mut body = json!({"results": shown.map(|link| show(link, way)).collect::<Vec<_>>()});
    if end < links.len() {
        body["paging"] = json!({"next": {"after": end.to_string()}});
    }
    Ok(body)
}

fn is_archived(state: &State, way: Way, id: &str) -> bool {
    let key = id.parse().unwrap_or(0);
    match way {
        Way::ToCompanies => state.contacts.archived.contains(&key),
        Way::ToContacts => state.companies.archived.contains(&key),
    }
}

/// The associations of a record. The primary company comes last: its place in the list means nothing.
fn links(state: &State, way: Way, id: &str, now: DateTime<Utc>) -> Vec<Link> {
    let Ok(key) = id.parse::<u64>() else { return Vec::new() };
    match way {
        Way::ToCompanies => {
            let contact = state.contacts.live(state.contacts.surviving(key), now);
            let all = contact.map(|row| of_contact(&row.value)).unwrap_or_default().into_iter();
            all.filter(|link| state.companies.live(link.to, now).is_some()).collect()
        }
        Way::ToContacts => {
            let company = state.companies.surviving(key);
            if state.companies.live(company, now).is_none() {
                return Vec::new();
            }
            let staff = state.staff(company).filter_map(|key| state.contacts.live(key, now));
            staff
                .flat_map(|row| {
                    let here = of_contact(&row.value).into_iter().filter(|link| link.to == company);
                    here.map(|link| Link { to: row.key, ..link })
                })
                .collect()
        }
    }
}

fn of_contact(contact: &Contact) -> Vec<Link> {
    let others = contact.others.iter().rev();
    let others = others.map(|tie| Link { to: tie.company, primary: false, label: tie.label.clone() });
    let primary = contact.company.map(|to| Link { to, primary: true, label: None });
    others.chain(primary).collect()
}

fn show(link: &Link, way: Way) -> Json {
    let (primary, any) = way.types();
    let mut types = Vec::new();
    if link.primary {
        types.push(json!({"category": "HUBSPOT_DEFINED", "typeId": primary, "label": "Primary"}));
    }
    types.push(json!({"category": "HUBSPOT_DEFINED", "typeId": any, "label": null}));
    types.extend(link.label.as_deref().map(|label| own_label(label, way)));
    json!({"toObjectId": link.to, "associationTypes": types})
}

fn own_label(label: &str, way: Way) -> Json {
    let type_id = if way == Way::ToCompanies { 28 } else { 29 };
    json!({"category": "USER_DEFINED", "typeId": type_id, "label": label})
}

/// The labels that associations may have; of the portal's own, those in use.
pub fn labels(state: &State, way: Way, now: DateTime<Utc>) -> Response {
    let (primary, any) = way.types();
    let contacts = state.contacts.table.by_key(.., now);
    let mut own: Vec<String> =
        contacts.flat_map(|row| row.value.others.iter().filter_map(|tie| tie.label.clone())).collect();
    own.sort_unstable();
    own.dedup();
    let mut labels = vec![
        json!({"category": "HUBSPOT_DEFINED", "typeId": any, "label": null}),
        json!({"category": "HUBSPOT_DEFINED", "typeId": primary, "label": "Primary"}),
    ];
    labels.extend(own.iter().map(|label| own_label(label, way)));
    axum::Json(json!({"results": labels})).into_response()
}

/// A contact's companies as a list shows them: each once for each type of its association, a hundred a page.
pub fn listed(state: &State, contact: &Contact, now: DateTime<Utc>) -> Option<Json> {
    const PAGE: usize = 100;
    let entry = |key: u64, kind: String| json!({"id": key.to_string(), "type": kind});
    let live = of_contact(contact).into_iter().rev().filter(|link| state.companies.live(link.to, now).is_some());
    let entries: Vec<Json> = live
        .flat_map(|link| {
            let primary = link.primary.then(|| entry(link.to, "contact_to_company".to_owned()));
            let own = link.label.map(|label| entry(link.to, label.to_lowercase().replace(' ', "_")));
            primary.into_iter().chain([entry(link.to, "contact_to_company_unlabeled".to_owned())]).chain(own)
        })
        .collect();
    let mut companies = json!({"results": entries.get(..PAGE.min(entries.len()))});
    if let Some(next) = entries.get(PAGE) {
        companies["paging"] = json!({"next": {"after": next["id"], "link": "https://api.hubspot.com/crm/v3/objects"}});
    }
    (!entries.is_empty()).then(|| json!({"companies": companies}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::hubspot::bench::{CONTACTS, company, employed, get, portal, post};
    use crate::sandbox::people::Person;

    const TO_COMPANIES: &str = "/crm/associations/2026-03/contacts/companies/batch/read";
    const TO_CONTACTS: &str = "/crm/v4/associations/0-2/0-1/batch/read";

    #[tokio::test(start_paused = true)]
    async fn both_directions_name_their_types_and_the_primary_one_comes_last() {
        let hubspot = portal();
        let contact = hubspot.add(&employed());
        let primary = hubspot.company_of(&contact).unwrap();
        let nord = hubspot.add_company(&company("Nord"));
        hubspot.tie_to(&contact, &nord, Some("Billing contact"));
        let (status, body) = post(&hubspot, TO_COMPANIES, &json!({"inputs": [{"id": contact}]})).await;
        let any = |id| json!({"category": "HUBSPOT_DEFINED", "typeId": id, "label": null});
        let first = |id| json!({"category": "HUBSPOT_DEFINED", "typeId": id, "label": "Primary"});
        let own = |id| json!({"category": "USER_DEFINED", "typeId": id, "label": "Billing contact"});
        let number = |id: &str| id.parse::<u64>().unwrap();
        let expected = json!([
            {"toObjectId": number(&nord), "associationTypes": [any(279), own(28)]},
            {"toObjectId": number(&primary), "associationTypes": [first(1), any(279)]}]);
        assert_eq!((status, &body["results"][0]["from"]["id"]), (200, &json!(contact)));
        assert_eq!(body["results"][0]["to"], expected);
        let (status, body) = post(&hubspot, TO_CONTACTS, &json!({"inputs": [{"id": primary}, {"id": nord}]})).await;
        assert_eq!(status, 200);
        let mut types = [&body["results"][0], &body["results"][1]].map(|one| one["to"][0]["associationTypes"].clone());
        types.sort_by_key(|types| types[0]["typeId"].as_u64());
        assert_eq!(types, [json!([first(2), any(280)]), json!([any(280), own(29)])]);
        let (_, labels) = get(&hubspot, "/crm/associations/2026-03/contacts/companies/labels").await;
        assert_eq!(labels["results"], json!([any(279), first(1), own(28)]));
        let (_, list) = get(&hubspot, &format!("{CONTACTS}?associations=companies")).await;
        let listed = list["results"][0]["associations"]["companies"]["results"].as_array().unwrap();
        assert_eq!(listed.len(), 4, "each company once for each type: {list}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_input_has_pages_of_its_own() {
        let hubspot = portal();
        let all: Vec<String> = (0..25).map(|_| hubspot.add(&employed())).collect();
        let company = hubspot.company_of(&all[0]).unwrap();
        hubspot.set_association_page(10);
        let (mut seen, mut after) = (Vec::new(), json!(null));
        loop {
            let (_, body) = post(&hubspot, TO_CONTACTS, &json!({"inputs": [{"id": company, "after": after}]})).await;
            let result = &body["results"][0];
            seen.extend(result["to"].as_array().unwrap().iter().map(|to| to["toObjectId"].to_string()));
            after = result["paging"]["next"]["after"].clone();
            if after.is_null() {
                break;
            }
        }
        assert_eq!(seen, all);
        for (version, status) in [("objects/2026-03", 200), ("v4/objects", 200), ("objects/2026-09", 404)] {
            let path = format!("/crm/{version}/companies/{company}/associations/contacts?after=20");
            let (answered, body) = get(&hubspot, &path).await;
            assert_eq!((answered, body["results"].as_array().map(Vec::len)), (status, (status == 200).then_some(5)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_archived_has_no_associations_or_spoils_the_batch() {
        let hubspot = portal();
        let [one, two] = [0, 1].map(|_| hubspot.add(&employed()));
        let loner = hubspot.add(&Person { company: None, ..employed() });
        hubspot.delete(&two);
        let inputs = json!({"inputs": [{"id": one}, {"id": two}, {"id": loner}]});
        let (status, body) = post(&hubspot, TO_COMPANIES, &inputs).await;
        assert_eq!((status, &body["numErrors"]), (207, &json!(2)));
        assert_eq!(body["errors"][0]["subCategory"], "crm.associations.NO_ASSOCIATIONS_FOUND");
        hubspot.archived_spoils_associations(true);
        assert_eq!(post(&hubspot, TO_COMPANIES, &inputs).await.0, 400);
        assert_eq!(post(&hubspot, TO_COMPANIES, &json!({"inputs": [{"id": one}]})).await.0, 200);
        hubspot.delete_company(&hubspot.company_of(&one).unwrap());
        assert_eq!(post(&hubspot, TO_COMPANIES, &json!({"inputs": [{"id": one}]})).await.0, 207);
        hubspot.restore_company(&hubspot.company_of(&one).unwrap());
        assert_eq!(post(&hubspot, TO_COMPANIES, &json!({"inputs": [{"id": one}]})).await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_shows_a_hundred_associations_of_a_record_and_where_they_go_on() {
        let hubspot = portal();
        let contact = hubspot.add(&Person { company: None, ..employed() });
        let (_, list) = get(&hubspot, &format!("{CONTACTS}?associations=companies")).await;
        assert_eq!(list["results"][0].get("associations"), None);
        for number in 0..101 {
            hubspot.associate(&contact, &company(&format!("Nord{number}")));
        }
        let (_, record) = get(&hubspot, &format!("{CONTACTS}/{contact}?associations=companies")).await;
        let companies = &record["associations"]["companies"];
        assert_eq!(companies["results"].as_array().map(Vec::len), Some(100));
        assert!(companies["paging"]["next"]["after"].is_string());
    }
}
