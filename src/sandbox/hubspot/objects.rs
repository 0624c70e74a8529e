//! What lists, single reads, searches, batch reads, association reads and property definitions answer.
//! It must not know paths, tokens or rates.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::filters::{Search, strings};
use crate::sandbox::hubspot::model::{MergedRead, PORTAL, State, Store};
use crate::sandbox::hubspot::properties::{Kind, Object, Property, instant};
use crate::sandbox::table::Row;

/// The longest page of a list, and the most ids a batch read takes.
const LIST: usize = 100;
/// The most ids an association read takes.
const ASSOCIATIONS: usize = 1_000;

/// The query string of a read.
pub struct Reading {
    /// Names asked for, from commas or repeated keys.
    pub properties: Vec<String>,
    /// Whether the recycle bin is asked for.
    pub archived: bool,
    /// Whether the companies come along.
    pub companies: bool,
    limit: usize,
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
        let most = if list("propertiesWithHistory").is_empty() { LIST } else { LIST / 2 };
        let limit = usize::try_from(number("limit", 10)?).unwrap_or(usize::MAX);
        if !(1..=most).contains(&limit) {
            return Err(Refusal::invalid(format!("limit must be between 1 and {most}")));
        }
        let archived = match last("archived") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Refusal::invalid("archived must be true or false")),
        };
        let companies =
            list("associations").iter().any(|name| matches!(name.as_str(), "companies" | "company" | "0-2"));
        Ok(Self { properties: list("properties"), archived, companies, limit, after: number("after", 0)? })
    }
}

/// One page of the list, in id order; `after` is the id the page begins with.
pub fn list<T: Object>(state: &State, store: &Store<T>, reading: &Reading, now: DateTime<Utc>) -> Response {
    let limit = reading.limit.min(state.page_cap);
    let rows: Vec<_> = if reading.archived {
        let keys = store.archived.range(reading.after..);
        keys.filter_map(|key| store.table.get(*key, now)).take(limit + 1).collect()
    } else {
        let rows = store.table.by_key(reading.after.., now);
        rows.filter(|row| row.deleted.is_none()).take(limit + 1).collect()
    };
    let page = rows.iter().take(limit);
    let results: Vec<Json> = page
        .map(|row| {
            let mut record = record(state, row, &reading.properties);
            let companies = row.value.companies();
            if reading.companies && !companies.is_empty() {
                record["associations"] = json!({"companies": {"results": listed(&companies)}});
            }
            record
        })
        .collect();
    let mut body = json!({"results": results});
    if let Some(next) = rows.get(limit) {
        // The link leads elsewhere, as the documentation's own sample does: only `after` can be followed.
        let link = format!("https://api.hubspot.com/crm/objects/v3/{}?limit=1", T::PLURAL);
        body["paging"] = json!({"next": {"after": next.key.to_string(), "link": link}});
    }
    axum::Json(body).into_response()
}

/// A company once for each type of its association.
fn listed(companies: &[(u64, bool)]) -> Vec<Json> {
    let entry = |key: &u64, kind: &str| json!({"id": key.to_string(), "type": kind});
    let entries = companies.iter().flat_map(|(key, primary)| {
        let named = primary.then(|| entry(key, "contact_to_company"));
        named.into_iter().chain([entry(key, "contact_to_company_unlabeled")])
    });
    entries.collect()
}

/// One record; a merged-away id answers the survivor.
pub fn one<T: Object>(
    state: &State,
    store: &Store<T>,
    id: &str,
    reading: &Reading,
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let key = id.parse().ok().map(|key| if T::TYPE_ID == "0-1" { state.surviving(key) } else { key });
    let row = key.and_then(|key| store.table.get(key, now)).filter(|row| row.deleted.is_some() == reading.archived);
    let row = row.ok_or_else(|| Refusal::not_found("resource not found"))?;
    Ok(axum::Json(record(state, row, &reading.properties)).into_response())
}

/// A record with the properties asked for, and those that always come.
pub fn record<T: Object>(state: &State, row: &Row<T>, asked: &[String]) -> Json {
    let always = ["createdate", "hs_object_id", T::MODIFIED];
    let wanted = |name: &str| {
        always.contains(&name)
            || if asked.is_empty() { T::DEFAULTS.contains(&name) } else { asked.iter().any(|one| one == name) }
    };
    let known = T::properties().iter().filter(|property| !state.archived_properties.contains(property.name));
    let properties: Map<String, Json> = known
        .filter(|property| wanted(property.name))
        .map(|property| (property.name.to_owned(), (property.get)(row).into()))
        .collect();
    let mut record = json!({
        "id": row.key.to_string(), "properties": properties, "createdAt": instant(row.created),
        "updatedAt": row.stamp.map(instant), "archived": row.deleted.is_some(),
        "url": format!("https://app-eu1.hubspot.com/contacts/{PORTAL}/record/{}/{}", T::TYPE_ID, row.key),
    });
    if let Some(archived) = row.deleted {
        record["archivedAt"] = instant(archived).into();
    }
    record
}

/// A search: matched by the index as it stands, shown as the records are.
pub fn search<T: Object>(
    state: &State,
    store: &Store<T>,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let search = Search::<T>::parse(body, &|name| state.archived_properties.contains(name))?;
    let limit = search.limit.min(state.page_cap);
    let row = |key| store.table.get(key, now).map(AsRef::as_ref);
    let stamps = stamps(&search);
    let keys = keys(&search);
    let (total, page) = if search.is_window() {
        store.index.page(&stamps, &keys, search.offset, limit)
    } else {
        let matching = |entry: &(u64, DateTime<Utc>)| search.matches(entry.0, entry.1, || row(entry.0));
        let matches: Vec<_> = if stamps.is_empty() || keys.is_empty() {
            Vec::new()
        } else if search.stamps() == (None, None) {
            store.index.keyed(keys).filter(matching).collect()
        } else {
            store.index.stamped((*stamps.start(), 0)..=(*stamps.end(), u64::MAX)).filter(matching).collect()
        };
        let page = sorted(&search, &matches, search.offset + limit, row);
        (matches.len(), page.into_iter().skip(search.offset).collect())
    };
    let end = search.offset + limit;
    let shown = page.into_iter().filter_map(row).filter(|row| row.deleted.is_none());
    let results: Vec<Json> = shown.map(|row| record(state, row, &search.properties)).collect();
    let mut body = json!({"total": total, "results": results});
    if end < total {
        body["paging"] = json!({"next": {"after": end.to_string()}});
    }
    Ok(axum::Json(body).into_response())
}

fn stamps<T: Object>(search: &Search<T>) -> RangeInclusive<DateTime<Utc>> {
    let millis = |bound: Option<i128>| DateTime::from_timestamp_millis(i64::try_from(bound?).ok()?);
    let (low, high) = search.stamps();
    millis(low).unwrap_or(DateTime::<Utc>::MIN_UTC)..=millis(high).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn keys<T: Object>(search: &Search<T>) -> RangeInclusive<u64> {
    let key = |bound: i128| u64::try_from(bound.max(0)).unwrap_or(u64::MAX);
    let (low, high) = search.keys();
    low.map_or(0, key)..=high.map_or(u64::MAX, key)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Number(i128),
    Text(String),
}

/// The keys of the first `end` matches in the order asked for; only those are sorted.
fn sorted<'a, T: Object>(
    search: &Search<T>,
    matches: &[(u64, DateTime<Utc>)],
    end: usize,
    row: impl Fn(u64) -> Option<&'a Row<T>>,
) -> Vec<u64> {
    let (property, down) = search.sort.map_or((None, false), |(property, down)| (Some(property), down));
    let place = |(key, stamp): (u64, DateTime<Utc>)| {
        let place = match property {
            None => SortKey::Number(key.into()),
            Some(property) if property.name == "hs_object_id" => SortKey::Number(key.into()),
            Some(property) if property.name == T::MODIFIED => SortKey::Number(stamp.timestamp_millis().into()),
            Some(property) => SortKey::Text(row(key).and_then(property.get).unwrap_or_default().to_lowercase()),
        };
        (place, key)
    };
    let mut places: Vec<(SortKey, u64)> = matches.iter().copied().map(place).collect();
    let order = |left: &(SortKey, u64), right: &(SortKey, u64)| {
        if down { right.0.cmp(&left.0).then(left.1.cmp(&right.1)) } else { left.cmp(right) }
    };
    if end < places.len() {
        places.select_nth_unstable_by(end, order);
        places.truncate(end);
    }
    places.sort_unstable_by(order);
    places.into_iter().map(|(_, key)| key).collect()
}

/// The ids of a batch body, each once.
fn inputs(body: &Map<String, Json>, most: usize) -> Result<BTreeSet<String>, Refusal> {
    let inputs = body.get("inputs").and_then(Json::as_array).ok_or_else(|| Refusal::invalid("inputs is required"))?;
    if inputs.is_empty() || inputs.len() > most {
        return Err(Refusal::invalid(format!("inputs must hold between 1 and {most} ids")));
    }
    let id = |input: &Json| match &input["id"] {
        Json::String(id) => Ok(id.clone()),
        Json::Number(id) => Ok(id.to_string()),
        _ => Err(Refusal::invalid("each input needs an id")),
    };
    inputs.iter().map(id).collect()
}

fn object(body: &[u8]) -> Result<Map<String, Json>, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::invalid("Invalid input JSON"))
}

/// Records by id, each once and not in the order asked for; 207 when some are missing.
pub fn batch_read<T: Object>(
    state: &State,
    store: &Store<T>,
    body: &[u8],
    archived: bool,
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let body = object(body)?;
    if body.get("idProperty").is_some_and(|property| !property.is_null()) {
        return Err(Refusal::invalid("non-unique property"));
    }
    let properties = strings(body.get("properties"))?;
    let mut found = BTreeSet::new();
    let mut missing = Vec::new();
    for id in inputs(&body, LIST)? {
        let asked: Option<u64> = id.parse().ok();
        let merged = asked.filter(|_| T::TYPE_ID == "0-1").filter(|key| state.surviving(*key) != *key);
        let key = match (merged, state.merged_read) {
            (None, _) => asked,
            (Some(key), MergedRead::Survivor) => Some(state.surviving(key)),
            (Some(_), MergedRead::NotFound) => None,
            (Some(_), MergedRead::Silence) => continue,
        };
        let row = key.and_then(|key| store.table.get(key, now)).filter(|row| row.deleted.is_some() == archived);
        if let Some(row) = row {
            found.insert(row.key);
        } else {
            missing.push(id);
        }
    }
    let rows = found.iter().filter_map(|key| store.table.get(*key, now));
    let results: Vec<Json> = rows.map(|row| record(state, row, &properties)).collect();
    let errors = if missing.is_empty() { Vec::new() } else { vec![missing_ids(T::SINGULAR, &missing)] };
    Ok(batch(&results, &errors, now))
}

/// The one error that names all ids a batch did not find.
pub fn missing_ids(singular: &str, ids: &[String]) -> Json {
    let message = format!(
        "Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.",
        singular.to_uppercase()
    );
    json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": ids}})
}

/// The envelope of a batch answer; 207 as soon as there is an error.
pub fn batch(results: &[Json], errors: &[Json], now: DateTime<Utc>) -> Response {
    let at = instant(now);
    let mut body = json!({"status": "COMPLETE", "startedAt": at, "completedAt": at, "results": results});
    if errors.is_empty() {
        return axum::Json(body).into_response();
    }
    body["numErrors"] = errors.len().into();
    body["errors"] = errors.into();
    (StatusCode::MULTI_STATUS, axum::Json(body)).into_response()
}

/// The companies of contacts; a contact without one, or without existence, is an error entry.
pub fn companies_of(state: &State, body: &[u8], now: DateTime<Utc>) -> Result<Response, Refusal> {
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for id in inputs(&object(body)?, ASSOCIATIONS)? {
        let row = id.parse().ok().and_then(|key| state.contacts.table.get(state.surviving(key), now));
        let companies = row.filter(|row| row.deleted.is_none()).map(|row| row.value.companies()).unwrap_or_default();
        if companies.is_empty() {
            errors.push(json!({
                "status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                "message": format!("No company is associated with contact {id}."),
                "context": {"fromObjectId": [id], "fromObjectType": ["contact"], "toObjectType": ["company"]},
            }));
            continue;
        }
        // The primary company comes last: its place in the list means nothing.
        let to: Vec<Json> = companies.iter().rev().map(|(key, primary)| association(*key, *primary)).collect();
        results.push(json!({"from": {"id": id}, "to": to}));
    }
    Ok(batch(&results, &errors, now))
}

fn association(company: u64, primary: bool) -> Json {
    let plain = json!({"category": "HUBSPOT_DEFINED", "typeId": 279, "label": null});
    let named = json!({"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"});
    let types = if primary { vec![named, plain] } else { vec![plain] };
    json!({"toObjectId": company, "associationTypes": types})
}

/// The property definitions of an object type, or one of them.
pub fn definitions<T: Object>(state: &State, name: Option<&str>) -> Result<Response, Refusal> {
    let known = T::properties().iter().filter(|property| !state.archived_properties.contains(property.name));
    let define = |property: &'static Property<T>| {
        let (kind, field) = match property.kind {
            Kind::Text => ("string", "text"),
            Kind::Choice if property.options.is_empty() => ("enumeration", "checkbox"),
            Kind::Choice => ("enumeration", "select"),
            Kind::Number => ("number", "number"),
            Kind::Instant => ("datetime", "date"),
        };
        let option = |(place, value): (usize, &&str)| json!({"label": value, "value": value, "displayOrder": place, "hidden": false});
        let options: Vec<Json> = property.options.iter().enumerate().map(option).collect();
        json!({
            "name": property.name, "label": property.label, "type": kind, "fieldType": field, "options": options,
            "groupName": format!("{}information", T::SINGULAR), "calculated": false, "archived": false,
            "hidden": Some(property.name) == T::DEAF, "hubspotDefined": !property.custom, "hasUniqueValue": false,
            "modificationMetadata": {"readOnlyValue": property.read_only, "readOnlyDefinition": !property.custom,
                                     "archivable": property.custom},
        })
    };
    match name {
        None => Ok(axum::Json(json!({"results": known.map(define).collect::<Vec<_>>()})).into_response()),
        Some(name) => {
            let property = known.into_iter().find(|property| property.name == name);
            let property = property.ok_or_else(|| Refusal::not_found(format!("Property {name} does not exist")))?;
            Ok(axum::Json(define(property)).into_response())
        }
    }
}
