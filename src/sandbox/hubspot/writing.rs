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
        return Err(Refusal::invalid("non-unique property"));
    }
    let traces: Vec<&String> = inputs.iter().filter_map(|input| input.trace.as_ref()).collect();
    let traced = traces.len() == inputs.len() && repeated(traces.into_iter()).is_none();
    let faults: Vec<Vec<Fault>> =
        inputs.iter().map(|input| faults(state, &input.id, &input.properties, version)).collect();
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
    let faults = faults(state, id, &properties, version);
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
        property.set(&mut contact, Some(written(property, before, text)));
    }
    state.change(key, Author::Client, Stamp::IfChanged, now, |held| *held = contact);
    let names: Vec<String> = values.keys().cloned().collect();
    let row = state.contacts.table.row(key)?;
    Some(Shape::new(&state.contacts, &names, &[]).show(row))
}

/// A `;` in front adds to the choices that are there instead of replacing them.
fn written(property: &Property<Contact>, before: Option<String>, text: &str) -> String {
    let Some(more) = text.strip_prefix(';').filter(|_| property.kind == Kind::Choices) else { return text.to_owned() };
    let mut all: Vec<String> = before.iter().flat_map(|before| before.split(';')).map(str::to_owned).collect();
    for one in more.split(';').filter(|one| !one.is_empty()) {
        if !all.iter().any(|known| known == one) {
            all.push(one.to_owned());
        }
    }
    all.join(";")
}

fn faults(state: &State, id: &str, values: &BTreeMap<String, String>, version: Version) -> Vec<Fault> {
    let wrong = values.iter().filter_map(|(name, text)| {
        let (code, message) = match state.contacts.definitions.find(name) {
            None => ("PROPERTY_DOESNT_EXIST", format!("Property \"{name}\" does not exist")),
            Some(property) => fault(property, text)?,
        };
        Some(Fault { code, name: name.clone(), message })
    });
    let unmet = state.contacts.row(id).filter(|_| version == Version::September).into_iter().flat_map(|row| {
        let lacks = |name: &&String| !holds(state, row, name, values);
        state.levers.required.iter().filter(lacks).map(|name| {
            let message = format!("Property \"{name}\" is required by a validation rule of this account");
            Fault { code: "REQUIRED_PROPERTY", name: name.clone(), message }
        })
    });
    wrong.chain(unmet).collect()
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
    use crate::sandbox::hubspot::bench::{at, employed, ids, portal, send};

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
}
