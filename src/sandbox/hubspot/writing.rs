//! Write-back: what clients may write into contacts, one by one or in batches, and how it is refused.
//! It must not know paths, tokens or rates.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::batches::{batch, missing_ids};
use crate::sandbox::hubspot::contact::Contact;
use crate::sandbox::hubspot::history::Author;
use crate::sandbox::hubspot::properties::{Kind, Property};
use crate::sandbox::hubspot::records::Shape;
use crate::sandbox::hubspot::routes::Version;
use crate::sandbox::hubspot::state::State;
use crate::sandbox::hubspot::store::Stamp;
use crate::sandbox::table::Row;

/// The most inputs a batch takes.
const INPUTS: usize = 100;

/// A body without `inputs` is accepted and writes nothing, as the real API does.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    inputs: Vec<Input>,
}

/// Values are texts; an empty one clears. `null` is not the documented way to do so, and is none here.
#[derive(Deserialize)]
struct Input {
    id: String,
    #[serde(rename = "idProperty")]
    id_property: Option<String>,
    #[serde(rename = "objectWriteTraceId")]
    trace: Option<String>,
    properties: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Single {
    properties: BTreeMap<String, String>,
}

/// One value that cannot be written.
struct Fault {
    code: &'static str,
    name: String,
    message: String,
}

/// Updates contacts. Missing ids come as 207; a merged-away id appears neither among the results nor among the errors.
/// One bad value or a repeated id refuses them all, unless each input has a trace id of its own: then only a repeated
/// id does.
pub fn batch_update(state: &mut State, body: &[u8], version: Version, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let Body { inputs } = serde_json::from_slice(body).map_err(|_| Refusal::invalid("Invalid input JSON"))?;
    if inputs.len() > INPUTS {
        return Err(Refusal::invalid(format!("inputs must hold at most {INPUTS} ids")));
    }
    if let Some(twice) = repeated(inputs.iter().map(|input| &input.id)) {
        let message = format!("Duplicate IDs found in batch input: [{twice}]. IDs must be unique");
        return Err(Refusal::invalid(message).context(json!({"ids": [twice]})));
    }
    if inputs.iter().any(|input| input.id_property.is_some()) {
        return Err(Refusal::invalid("Unable to perform update/upsert by non-unique 0-1 property"));
    }
    let traces: Vec<&String> = inputs.iter().filter_map(|input| input.trace.as_ref()).collect();
    let traced = traces.len() == inputs.len() && repeated(traces.into_iter()).is_none();
    let mut claimed = BTreeMap::new();
    let mut check = |input: &Input| faults(state, &input.id, &input.properties, version, &mut claimed);
    let faults: Vec<Vec<Fault>> = inputs.iter().map(&mut check).collect();
    if !traced && faults.iter().any(|faults| !faults.is_empty()) {
        return Err(refusal(&faults.into_iter().flatten().collect::<Vec<_>>()));
    }
    let (mut results, mut errors, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (input, faults) in inputs.into_iter().zip(faults) {
        if state.contacts.surviving(key_of(&input.id)) != key_of(&input.id) {
            continue;
        }
        if !faults.is_empty() {
            errors.push(traced_error(&faults, input.trace.as_deref()));
        } else if let Some(mut record) = write(state, &input.id, &input.properties, now) {
            if let Some(trace) = input.trace {
                record["objectWriteTraceId"] = trace.into();
            }
            results.push(record);
        } else {
            missing.push(input.id);
        }
    }
    errors.extend(missing_ids("contact", &missing));
    Ok(batch(&results, &errors, now))
}

/// Updates one contact; an id that was merged away leads to the survivor.
pub fn update(
    state: &mut State,
    id: &str,
    body: &[u8],
    version: Version,
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let Single { properties } = serde_json::from_slice(body).map_err(|_| Refusal::invalid("Invalid input JSON"))?;
    let faults = faults(state, id, &properties, version, &mut BTreeMap::new());
    if !faults.is_empty() {
        return Err(refusal(&faults));
    }
    let record = write(state, id, &properties, now).ok_or_else(|| Refusal::not_found("resource not found"))?;
    Ok(axum::Json(record).into_response())
}

fn key_of(id: &str) -> u64 {
    id.parse().unwrap_or(0)
}

fn repeated<'a>(mut all: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = BTreeSet::new();
    all.find(|one| !seen.insert(*one))
}

/// Writes what is known to be writable and answers the record; a value that is there already moves no date.
fn write(state: &mut State, id: &str, values: &BTreeMap<String, String>, now: DateTime<Utc>) -> Option<Json> {
    let key = state.contacts.surviving(id.parse().ok()?);
    let mut contact = state.contacts.live(key, now)?.value.clone();
    for (name, text) in values {
        let property = state.contacts.definitions.find(name)?;
        let before = property.get(state.contacts.table.row(key)?);
        property.set(&mut contact, Some(written(property, before.as_deref(), text)));
    }
    state.change(key, Author::Client, Stamp::IfChanged, now, |held| *held = contact);
    let names: Vec<String> = values.keys().cloned().collect();
    let row = state.contacts.table.row(key)?;
    Some(Shape::new(&state.contacts, &names, &[]).show(row))
}

/// A `;` in front adds to the choices that are there instead of replacing them.
fn written(property: &Property<Contact>, before: Option<&str>, text: &str) -> String {
    let Some(more) = text.strip_prefix(';').filter(|_| property.kind == Kind::Choices) else { return text.to_owned() };
    let mut all: Vec<String> = before.iter().flat_map(|before| before.split(';')).map(str::to_owned).collect();
    for one in more.split(';').filter(|one| !one.is_empty()) {
        if !all.iter().any(|known| known == one) {
            all.push(one.to_owned());
        }
    }
    all.join(";")
}

/// Unique values that were asked for, by property and value, with the key of the contact they are for.
type Claimed = BTreeMap<(String, String), u64>;

fn faults(
    state: &State,
    id: &str,
    values: &BTreeMap<String, String>,
    version: Version,
    claimed: &mut Claimed,
) -> Vec<Fault> {
    let key = state.contacts.surviving(key_of(id));
    let mut wrong = Vec::new();
    for (name, text) in values {
        let found = match state.contacts.definitions.find(name) {
            None => Some(("PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist"))),
            Some(property) => fault(property, text).or_else(|| taken(state, property, text, key, claimed)),
        };
        wrong.extend(found.map(|(code, message)| Fault { code, name: name.clone(), message }));
    }
    let unmet = state.contacts.row(id).filter(|_| version == Version::September).into_iter().flat_map(|row| {
        let lacks = |name: &&String| !holds(state, row, name, values);
        state.levers.required.iter().filter(lacks).map(|name| {
            let message = format!("Property \"{name}\" is required by a validation rule of this account");
            Fault { code: "REQUIRED_PROPERTY", name: name.clone(), message }
        })
    });
    wrong.extend(unmet);
    wrong
}

/// Why a unique value cannot be this contact's: another holds it, or an input before asked for it.
fn taken(
    state: &State,
    property: &Property<Contact>,
    text: &str,
    key: u64,
    claimed: &mut Claimed,
) -> Option<(&'static str, String)> {
    if !property.unique || text.is_empty() {
        return None;
    }
    let rows = state.contacts.table.keys().into_iter().filter_map(|key| state.contacts.table.row(key));
    let mut holders = rows.filter(|row| row.deleted.is_none() && property.get(row).as_deref() == Some(text));
    let holder = holders.next().map(|row| row.key);
    let first = *claimed.entry((property.name.to_string(), text.to_owned())).or_insert(key);
    let other = holder.into_iter().chain([first]).find(|other| *other != key)?;
    Some(("CONFLICTING_UNIQUE_VALUE", format!("{text} is the value of {} of contact {other} already", property.name)))
}

fn holds(state: &State, row: &Row<Contact>, name: &str, values: &BTreeMap<String, String>) -> bool {
    match values.get(name) {
        Some(value) => !value.is_empty(),
        None => state.contacts.definitions.find(name).is_none_or(|property| property.get(row).is_some()),
    }
}

/// Why a text cannot be a property's value.
fn fault(property: &Property<Contact>, text: &str) -> Option<(&'static str, String)> {
    let name = &property.name;
    if property.read_only {
        return Some(("READ_ONLY_VALUE", format!("\"{name}\" is a read only property; its value cannot be set")));
    }
    let option = |text: &str| property.options.is_empty() || property.options.iter().any(|(value, _)| value == text);
    let good = match property.kind {
        _ if text.is_empty() => true,
        Kind::Text => {
            name != "email"
                || text.split_once('@').is_some_and(|(mailbox, host)| !mailbox.is_empty() && host.contains('.'))
        }
        Kind::Choice => option(text),
        Kind::Choices => text.split(';').filter(|one| !one.is_empty()).all(option),
        Kind::Flag => matches!(text, "true" | "false"),
        // No thousands separators.
        Kind::Number => text.parse::<f64>().is_ok_and(f64::is_finite),
        Kind::Instant => text.parse::<i64>().is_ok() || DateTime::parse_from_rfc3339(text).is_ok(),
    };
    let code = match property.kind {
        Kind::Text => "INVALID_EMAIL",
        Kind::Choice | Kind::Choices | Kind::Flag => "INVALID_OPTION",
        Kind::Number => "INVALID_INTEGER",
        Kind::Instant => "INVALID_DATE",
    };
    (!good).then(|| (code, format!("{text} was not a valid value of {name}")))
}

/// The whole call refused, in the two forms in which HubSpot tells it: within the message and beside it.
fn refusal(faults: &[Fault]) -> Refusal {
    let told: Vec<Json> = faults
        .iter()
        .map(|fault| json!({"isValid": false, "message": fault.message, "error": fault.code, "name": fault.name}))
        .collect();
    let errors: Vec<Json> = faults
        .iter()
        .map(|fault| json!({"message": fault.message, "code": fault.code, "context": {"propertyName": [fault.name]}}))
        .collect();
    Refusal::invalid(format!("Property values were not valid: {}", Json::from(told))).errors(errors.into())
}

/// One input refused, named by its trace id.
fn traced_error(faults: &[Fault], trace: Option<&str>) -> Json {
    let names: Vec<&String> = faults.iter().map(|fault| &fault.name).collect();
    let message = faults.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ");
    json!({
        "status": "error", "category": "VALIDATION_ERROR", "message": message,
        "context": {"objectWriteTraceId": trace.into_iter().collect::<Vec<_>>(), "propertyName": names},
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::sandbox::hubspot::bench::{CONTACTS, at, employed, get, ids, portal, post, send};
    use crate::sandbox::hubspot::contact::PROPSTREET_ID;
    use crate::sandbox::hubspot::model::HubSpot;

    #[tokio::test(start_paused = true)]
    async fn updates_write_whole_batches_or_none() {
        let hubspot = portal();
        let [one, two, three] = [0, 1, 2].map(|_| hubspot.add_at(&employed(), at(-50)));
        hubspot.merge(&two, &three).unwrap();
        let update = async |inputs: Json| {
            send(&hubspot, Method::POST, "/crm/objects/2026-03/contacts/batch/update", &json!({"inputs": inputs})).await
        };
        let input = |id: &str, name: &str| json!({"id": id, "properties": {name: "42"}});
        let ours = "propstreet_contact_id";
        assert_eq!(update(json!([input(&one, ours), input(&one, ours)])).await.0, 400);
        assert_eq!(update(json!([input(&one, ours), input(&two, "email")])).await.0, 400);
        assert_eq!(hubspot.written_back(&one), None);
        let (status, body) = update(json!([input(&one, ours), input(&two, ours), input("7", ours)])).await;
        assert_eq!(
            (status, ids(&body), &body["errors"][0]["context"]["ids"]),
            (207, vec![one.as_str()], &json!(["7"]))
        );
        let stamp = body["results"][0]["updatedAt"].clone();
        tokio::time::advance(Duration::from_secs(9)).await;
        let (_, again) = update(json!([input(&one, ours)])).await;
        assert_eq!((&again["results"][0]["updatedAt"], hubspot.written_back(&one)), (&stamp, Some("42".to_owned())));
    }

    async fn update(hubspot: &HubSpot, inputs: Json) -> (u16, Json) {
        post(hubspot, &format!("{CONTACTS}/batch/update"), &json!({"inputs": inputs})).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_value_spoils_the_batch_and_is_named() {
        let hubspot = portal();
        let [one, two] = [0, 1].map(|_| hubspot.add(&employed()));
        for (name, value, code) in [
            ("nonsense", "x", "PROPERTY_DOESNT_EXIST"),
            ("hs_object_id", "7", "READ_ONLY_VALUE"),
            ("investor_class", "A", "READ_ONLY_VALUE"),
            ("lifecyclestage", "Lead", "INVALID_OPTION"),
            ("investor_type", "core;nonsense", "INVALID_OPTION"),
            ("is_accredited", "yes", "INVALID_OPTION"),
            ("ticket_size", "1,000", "INVALID_INTEGER"),
            ("email", "nobody", "INVALID_EMAIL"),
        ] {
            let good = json!({"id": one, "properties": {"country": "Sverige"}});
            let bad = json!({"id": two, "properties": {name: value}});
            let (status, body) = update(&hubspot, json!([good, bad])).await;
            assert_eq!((status, &body["errors"][0]["code"]), (400, &json!(code)), "{name}");
            assert_eq!(body["errors"][0]["context"]["propertyName"], json!([name]));
            let traced = |input: &Json, trace: &str| {
                let mut input = input.clone();
                input["objectWriteTraceId"] = trace.into();
                input
            };
            let (status, _) = update(&hubspot, json!([traced(&good, "a"), traced(&bad, "a")])).await;
            assert_eq!((status, hubspot.value(&one, "country")), (400, None), "the trace ids are not unique");
            let (status, body) = update(&hubspot, json!([traced(&good, "a"), traced(&bad, "b")])).await;
            assert_eq!((status, ids(&body)), (207, vec![one.as_str()]));
            assert_eq!(body["errors"][0]["context"]["objectWriteTraceId"], json!(["b"]));
            assert!(hubspot.set(&one, "country", ""));
        }
        let (status, body) =
            update(&hubspot, json!([{"id": one, "properties": {}}, {"id": one, "properties": {}}])).await;
        assert_eq!((status, &body["context"]["ids"]), (400, &json!([one])));
        assert_eq!(update(&hubspot, json!([{"id": one, "properties": {"country": null}}])).await.0, 400);
        let own = json!([{"id": one, "idProperty": "hs_object_id", "properties": {}}]);
        assert_eq!(update(&hubspot, own).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_without_its_wrapper_writes_nothing_and_says_complete() {
        let hubspot = portal();
        let id = hubspot.add(&employed());
        let body = json!({"id": id, "properties": {"country": "Sverige"}});
        let (status, body) = post(&hubspot, &format!("{CONTACTS}/batch/update"), &body).await;
        assert_eq!((status, &body["status"], &body["results"]), (200, &json!("COMPLETE"), &json!([])));
        assert_eq!(hubspot.value(&id, "country"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn choices_are_replaced_or_with_a_semicolon_in_front_added_to() {
        let hubspot = portal();
        let id = hubspot.add(&employed());
        for (write, held) in [("core;debt", "core;debt"), (";value_add;debt", "core;debt;value_add"), ("debt", "debt")]
        {
            let input = json!([{"id": id, "properties": {"investor_type": write}}]);
            assert_eq!(update(&hubspot, input).await.0, 200);
            assert_eq!(hubspot.value(&id, "investor_type").as_deref(), Some(held));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn old_ids_lead_on_one_by_one_and_the_newest_version_has_rules() {
        let hubspot = portal();
        let [one, two] = [0, 1].map(|_| hubspot.add(&employed()));
        let merged = hubspot.merge(&one, &two).unwrap();
        let body = json!({"properties": {"city": "Lund"}});
        let path = format!("{CONTACTS}/{one}");
        let (status, record) = send(&hubspot, Method::PATCH, &path, &body).await;
        assert_eq!((status, &record["id"]), (200, &json!(merged)));
        assert_eq!(send(&hubspot, Method::PATCH, &format!("{CONTACTS}/7"), &body).await.0, 404);
        hubspot.require_property("country");
        assert_eq!(send(&hubspot, Method::PATCH, &path, &body).await.0, 200);
        let newest = path.replace("2026-03", "2026-09");
        let (status, refused) = send(&hubspot, Method::PATCH, &newest, &body).await;
        assert_eq!((status, &refused["category"]), (400, &json!("VALIDATION_ERROR")));
        let body = json!({"properties": {"country": "Sverige"}});
        assert_eq!(send(&hubspot, Method::PATCH, &newest, &body).await.0, 200);
        assert_eq!(send(&hubspot, Method::DELETE, &path, &Json::Null).await.0, 204);
        assert_eq!(get(&hubspot, &path).await.0, 404);
    }

    #[tokio::test(start_paused = true)]
    async fn a_unique_value_is_one_contacts_alone() {
        let hubspot = portal();
        let [one, two] = [0, 1].map(|_| hubspot.add(&employed()));
        hubspot.set_unique(PROPSTREET_ID, true);
        let input = |id: &str| json!({"id": id, "properties": {PROPSTREET_ID: "7"}});
        let (status, body) = update(&hubspot, json!([input(&one), input(&two)])).await;
        assert_eq!((status, &body["errors"][0]["code"]), (400, &json!("CONFLICTING_UNIQUE_VALUE")));
        assert_eq!(update(&hubspot, json!([input(&one)])).await.0, 200);
        assert_eq!(update(&hubspot, json!([input(&one)])).await.0, 200, "its own");
        assert_eq!(update(&hubspot, json!([input(&two)])).await.0, 400);
        hubspot.delete(&one);
        assert_eq!(update(&hubspot, json!([input(&two)])).await.0, 200);
    }
}
