//! What lists, single reads and batch reads answer.
//! It must not know paths, tokens or rates.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::batches::{self, batch, missing_ids};
use crate::sandbox::hubspot::filters::strings;
use crate::sandbox::hubspot::properties::Object;
use crate::sandbox::hubspot::records::Shape;
use crate::sandbox::hubspot::state::{Levers, MergedRead};
use crate::sandbox::hubspot::store::Store;
use crate::sandbox::table::Row;

/// The longest page of a list, and the most ids a batch read takes.
const PAGE: usize = 100;
/// The same where former values come along.
const PAGE_WITH_HISTORY: usize = 50;

/// The query string of a read.
pub struct Reading {
    /// Names asked for, from commas or repeated keys.
    pub properties: Vec<String>,
    /// Names of which the former values are asked for.
    pub with_history: Vec<String>,
    /// Whether the recycle bin is asked for.
    pub archived: bool,
    /// Whether the companies come along.
    pub companies: bool,
    /// The page size.
    limit: usize,
    /// The id the page begins with.
    after: u64,
}

impl Reading {
    /// Reads the query string; parameters HubSpot does not know are let pass, as it does.
    pub fn parse(parameters: &[(String, String)]) -> Result<Self, Refusal> {
        let last =
            |name: &str| parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let list = |name: &str| {
            let values = parameters.iter().filter(|(known, _)| known == name).flat_map(|(_, value)| value.split(','));
            values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect::<Vec<_>>()
        };
        let number = |name: &str, default: u64| {
            let text = last(name).filter(|text| !text.is_empty());
            text.map_or(Ok(default), |text| {
                text.parse().map_err(|_| Refusal::invalid(format!("{name} must be a number")))
            })
        };
        let with_history = list("propertiesWithHistory");
        let most = if with_history.is_empty() { PAGE } else { PAGE_WITH_HISTORY };
        let limit = usize::try_from(number("limit", 10)?).unwrap_or(usize::MAX);
        if !(1..=most).contains(&limit) {
            return Err(Refusal::invalid(format!("limit must be between 1 and {most}")));
        }
        // The official Python client writes `True` and `False`.
        let archived = match last("archived").map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Refusal::invalid("archived must be true or false")),
        };
        let companies =
            list("associations").iter().any(|name| matches!(name.as_str(), "companies" | "company" | "0-2"));
        let after = number("after", 0)?;
        Ok(Self { properties: list("properties"), with_history, archived, companies, limit, after })
    }
}

/// One page of the list, in id order; `after` is the id the page begins with. `companies` yields what a record shows of
/// them where they are asked for.
pub fn list<T: Object>(
    levers: &Levers,
    store: &Store<T>,
    reading: &Reading,
    now: DateTime<Utc>,
    companies: impl Fn(&T) -> Option<Json>,
) -> Response {
    let limit = reading.limit.min(levers.page_cap);
    let rows: Vec<_> = if reading.archived {
        let keys = store.archived.range(reading.after..);
        keys.filter_map(|key| store.table.get(*key, now)).take(limit + 1).collect()
    } else {
        let rows = store.table.by_key(reading.after.., now);
        let listed =
            |row: &&Arc<Row<T>>| row.deleted.is_none() && !(T::TYPE_ID == "0-1" && levers.unlisted.contains(&row.key));
        rows.filter(listed).take(limit + 1).collect()
    };
    let shape = Shape::new(store, &reading.properties, &reading.with_history);
    let results: Vec<Json> = rows.iter().take(limit).map(|row| show(&shape, row, reading, &companies)).collect();
    let mut body = json!({"results": results});
    if let Some(next) = rows.get(limit) {
        // The link leads elsewhere, as the documentation's own sample does: only `after` can be followed.
        let link = format!("https://api.hubspot.com/crm/objects/v3/{}?limit=1", T::PLURAL);
        body["paging"] = json!({"next": {"after": next.key.to_string(), "link": link}});
    }
    axum::Json(body).into_response()
}

fn show<T: Object>(shape: &Shape<T>, row: &Row<T>, reading: &Reading, companies: &impl Fn(&T) -> Option<Json>) -> Json {
    let mut record = shape.show(row);
    if let Some(companies) = reading.companies.then(|| companies(&row.value)).flatten() {
        record["associations"] = companies;
    }
    record
}

/// One record, with its companies as in a list; a merged-away id answers the survivor.
pub fn one<T: Object>(
    store: &Store<T>,
    id: &str,
    reading: &Reading,
    now: DateTime<Utc>,
    companies: impl Fn(&T) -> Option<Json>,
) -> Result<Response, Refusal> {
    let key = id.parse().ok().map(|key| store.surviving(key));
    let row = key.and_then(|key| store.table.get(key, now)).filter(|row| row.deleted.is_some() == reading.archived);
    let row = row.ok_or_else(|| Refusal::not_found("resource not found"))?;
    let shape = Shape::new(store, &reading.properties, &reading.with_history);
    Ok(axum::Json(show(&shape, row, reading, &companies)).into_response())
}

/// Records by id, each once and not in the order asked for; 207 when some are missing.
pub fn batch_read<T: Object>(
    levers: &Levers,
    store: &Store<T>,
    body: &[u8],
    archived: bool,
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let body = batches::object(body)?;
    if body.get("idProperty").is_some_and(|property| !property.is_null()) {
        return Err(Refusal::invalid("non-unique property"));
    }
    let properties = strings(body.get("properties"))?;
    let with_history = strings(body.get("propertiesWithHistory"))?;
    let most = if with_history.is_empty() { PAGE } else { PAGE_WITH_HISTORY };
    let mut found = BTreeSet::new();
    let mut missing = Vec::new();
    for id in batches::inputs(&body, most)?.into_keys() {
        match asked(levers, store, &id, archived, now) {
            Asked::Found(row) => drop(found.insert(row.key)),
            Asked::Missing => missing.push(id),
            Asked::PassedOver => {}
        }
    }
    let shape = Shape::new(store, &properties, &with_history);
    let rows = found.iter().filter_map(|key| store.table.get(*key, now));
    let results: Vec<Json> = rows.map(|row| shape.show(row)).collect();
    let errors: Vec<Json> = missing_ids(T::SINGULAR, &missing).into_iter().collect();
    Ok(batch(&results, &errors, now))
}

enum Asked<'a, T> {
    Found(&'a Row<T>),
    Missing,
    PassedOver,
}

fn asked<'a, T: Object>(
    levers: &Levers,
    store: &'a Store<T>,
    id: &str,
    archived: bool,
    now: DateTime<Utc>,
) -> Asked<'a, T> {
    let Ok(key) = id.parse::<u64>() else { return Asked::Missing };
    let survivor = store.surviving(key);
    match levers.merged_read {
        MergedRead::Silence if survivor != key => return Asked::PassedOver,
        MergedRead::NotFound if survivor != key => return Asked::Missing,
        _ => {}
    }
    let row = store.table.get(survivor, now).filter(|row| row.deleted.is_some() == archived);
    row.map_or(Asked::Missing, |row| Asked::Found(row))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::sandbox::hubspot::access::TOKEN;
    use crate::sandbox::hubspot::bench::{CONTACTS, call, employed, get, ids, pass, portal, post, send};
    use crate::sandbox::people::Person;

    #[tokio::test(start_paused = true)]
    async fn lists_page_by_key_and_end_at_their_border() {
        for (rows, pages) in [(199, 2), (200, 2), (201, 3)] {
            let hubspot = portal();
            for _ in 0..rows {
                hubspot.add(&employed());
            }
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!(
                    "/crm/objects/2026-03/contacts?limit=100&properties=email,phone&properties=nonsense&after={after}"
                );
                let (_, body) = get(&hubspot, &path).await;
                seen.extend(ids(&body).into_iter().map(str::to_owned));
                let Some(next) = body["paging"]["next"]["after"].as_str() else { break };
                assert!(body["paging"]["next"]["link"].as_str().unwrap().starts_with("https://api.hubspot.com/"));
                next.clone_into(&mut after);
            }
            assert_eq!((seen, hubspot.requests().of("GET list")), (hubspot.ids(), pages), "{rows}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn values_are_strings_or_null_and_unknown_names_are_passed_over() {
        let hubspot = portal();
        let id = hubspot.add(&Person { email: None, ..employed() });
        let path = format!("/crm/v3/objects/contacts/{id}?properties=email,associatedcompanyid,nonsense");
        let (_, body) = get(&hubspot, &path).await;
        let names: Vec<&String> = body["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["associatedcompanyid", "createdate", "email", "hs_object_id", "lastmodifieddate"]);
        assert_eq!((&body["properties"]["email"], &body["properties"]["hs_object_id"]), (&Json::Null, &json!(id)));
        assert!(body["properties"]["associatedcompanyid"].is_string());
        assert_eq!(body["properties"]["lastmodifieddate"], "2026-11-02T09:00:00.000Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_archives_a_contact_once_and_finds_it_in_the_bin() {
        let hubspot = portal();
        let [one, two] = [0, 1].map(|_| hubspot.add(&employed()));
        let path = format!("/crm/v3/objects/contacts/{one}");
        let bin = async || get(&hubspot, "/crm/v3/objects/contacts?archived=True").await.1;
        assert_eq!(send(&hubspot, Method::DELETE, &path, &Json::Null).await, (204, Json::Null));
        let binned = bin().await;
        assert_eq!((ids(&binned), binned["results"][0]["archivedAt"].is_string()), (vec![one.as_str()], true));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(send(&hubspot, Method::DELETE, &path, &Json::Null).await, (204, Json::Null));
        assert_eq!(bin().await, binned);
        assert_eq!(ids(&get(&hubspot, "/crm/v3/objects/contacts?archived=False").await.1), [&two]);
        assert_eq!(get(&hubspot, &path).await.0, 404);
    }

    #[tokio::test(start_paused = true)]
    async fn a_contact_read_alone_comes_with_its_companies_as_in_a_list() {
        let hubspot = portal();
        let id = hubspot.add(&employed());
        let (_, list) = get(&hubspot, "/crm/v3/objects/contacts?associations=companies").await;
        let (_, one) = get(&hubspot, &format!("/crm/v3/objects/contacts/{id}?associations=companies")).await;
        assert_eq!(one["associations"]["companies"]["results"][0]["type"], "contact_to_company");
        assert_eq!(list["results"][0], one);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_answer_207_for_what_is_missing() {
        let hubspot = portal();
        let one = hubspot.add(&employed());
        let alone = hubspot.add(&Person { company: None, ..employed() });
        let body = json!({"inputs": [{"id": one}, {"id": "1"}], "properties": ["email"]});
        let (status, answer) = send(&hubspot, Method::POST, "/crm/objects/2026-03/contacts/batch/read", &body).await;
        assert_eq!(
            (status, ids(&answer), &answer["errors"][0]["context"]["ids"]),
            (207, vec![one.as_str()], &json!(["1"]))
        );
        let body = json!({"inputs": [{"id": one}, {"id": alone}]});
        let path = "/crm/v4/associations/contacts/companies/batch/read";
        let (status, answer) = send(&hubspot, Method::POST, path, &body).await;
        assert_eq!((status, &answer["results"][0]["from"]["id"]), (207, &json!(one)));
        let company = answer["results"][0]["to"][0]["toObjectId"].as_u64().unwrap();
        assert_eq!(answer["errors"][0]["subCategory"], "crm.associations.NO_ASSOCIATIONS_FOUND");
        let body = json!({"inputs": [{"id": company.to_string()}], "properties": ["name", "country"]});
        let (status, answer) = send(&hubspot, Method::POST, "/crm/objects/2026-03/companies/batch/read", &body).await;
        let name = employed().company.unwrap().name;
        assert_eq!((status, &answer["results"][0]["properties"]["name"]), (200, &json!(name)));
        let many: Vec<Json> = (0..101).map(|id| json!({"id": id.to_string()})).collect();
        let path = "/crm/objects/2026-03/contacts/batch/read";
        assert_eq!(send(&hubspot, Method::POST, path, &json!({"inputs": many})).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn former_values_come_newest_first_and_shorten_the_page() {
        let hubspot = portal();
        let id = hubspot.add(&Person { title: Some("CFO".to_owned()), ..employed() });
        pass(60).await;
        assert!(hubspot.set(&id, "jobtitle", "CEO"));
        let asks = "limit=50&propertiesWithHistory=jobtitle,email";
        let (_, body) = get(&hubspot, &format!("{CONTACTS}?{asks}")).await;
        let history = &body["results"][0]["propertiesWithHistory"];
        let values: Vec<&Json> = history["jobtitle"].as_array().unwrap().iter().map(|one| &one["value"]).collect();
        assert_eq!((values, history["email"].as_array().unwrap().len()), (vec![&json!("CEO"), &json!("CFO")], 1));
        assert_eq!(history["jobtitle"][0]["timestamp"], "2026-11-02T09:01:00.000Z");
        assert_eq!(get(&hubspot, &format!("{CONTACTS}?{}", asks.replace("50", "51"))).await.0, 400);
        let inputs: Vec<Json> = (0..51).map(|id| json!({"id": id.to_string()})).collect();
        let body = json!({"inputs": inputs, "propertiesWithHistory": ["jobtitle"]});
        assert_eq!(post(&hubspot, &format!("{CONTACTS}/batch/read"), &body).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn both_spellings_of_a_list_and_every_version_answer_alike() {
        let hubspot = portal();
        let id = hubspot.add(&employed());
        let (_, whole) = get(&hubspot, &format!("{CONTACTS}/{id}?properties=phone,jobtitle")).await;
        for path in [
            "/crm/objects/2026-09/contacts/{id}?properties=phone&properties=jobtitle",
            "/crm/v3/objects/0-1/{id}?properties=phone%2Cjobtitle",
            "/crm/objects/2026-03/contact/{id}?properties=jobtitle&properties=phone,phone",
        ] {
            assert_eq!(get(&hubspot, &path.replace("{id}", &id)).await, (200, whole.clone()), "{path}");
        }
        for dead in ["/crm/objects/v3/contacts", "/crm/objects/2025-09/contacts", "/crm/v4/objects/contacts"] {
            assert_eq!(get(&hubspot, dead).await.0, 404, "{dead}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_long_an_address_is_a_page_of_the_server_before_it() {
        let hubspot = portal();
        let (status, headers, body) = {
            let path = format!("{CONTACTS}?properties={}", "x".repeat(8_000));
            call(&hubspot, TOKEN, Method::GET, &path, &Json::Null).await
        };
        assert_eq!((status, &headers["content-type"], body), (414, &"text/html".parse().unwrap(), Json::Null));
    }
}
