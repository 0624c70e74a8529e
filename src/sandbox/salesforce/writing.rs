//! Write-back: the one custom field an integration under test has business with, one contact or many at a time.
//! It must not know how calls arrive or who may make them.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::columns::{Contact, PROPSTREET_ID, Record};
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::model::State;

/// The most records a collection takes.
const RECORDS: usize = 200;

/// The live contact behind an id of 15 or 18 characters.
pub fn contact(state: &State, id: &str, now: DateTime<Utc>) -> Result<u64, Refusal> {
    let found = ids::key(Contact::PREFIX, id).and_then(|key| state.contacts.get(key, now));
    match found {
        None => Err(Refusal::not_found()),
        Some(row) if row.deleted.is_some() => {
            let message = "entity is deleted".to_owned();
            Err(Refusal { status: StatusCode::NOT_FOUND, code: "ENTITY_IS_DELETED", message })
        }
        Some(row) => Ok(row.key),
    }
}

/// `PATCH sobjects/Contact/{id}`: 204 without a body.
pub fn one(state: &mut State, call: &Call<'_>, id: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let fields: Map<String, Json> = serde_json::from_slice(call.body).map_err(|_| unreadable())?;
    write(state, id, &fields, now)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PATCH composite/sobjects`: 200 even where records fail; the results stand in the order of the request.
pub fn many(state: &mut State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let body: Json = serde_json::from_slice(call.body).map_err(|_| unreadable())?;
    let records = body["records"].as_array().ok_or_else(unreadable)?;
    if records.len() > RECORDS {
        return Err(Refusal::bad(
            "EXCEEDED_ID_LIMIT",
            format!("record limit reached. cannot submit more than {RECORDS} records"),
        ));
    }
    if body["allOrNone"] == true {
        return Err(Refusal::bad("NOT_SUPPORTED", "This org takes collections with allOrNone false only"));
    }
    let results = records.iter().map(|record| {
        let mut fields = record.as_object().cloned().unwrap_or_default();
        fields.remove("attributes");
        let id = fields.remove("id").and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
        let typed = record["attributes"]["type"] == Contact::TYPE;
        let written = if typed { write(state, &id, &fields, now) } else { Err(unreadable()) };
        match written {
            Ok(key) => json!({"id": ids::id(Contact::PREFIX, key), "success": true, "errors": []}),
            Err(Refusal { code, message, .. }) => {
                json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": []}]})
            }
        }
    });
    Ok(axum::Json(results.collect::<Json>()).into_response())
}

fn write(state: &mut State, id: &str, fields: &Map<String, Json>, now: DateTime<Utc>) -> Result<u64, Refusal> {
    let key = contact(state, id, now)?;
    if let Some(name) = fields.keys().find(|name| *name != PROPSTREET_ID) {
        return Err(Refusal::bad("INVALID_FIELD", format!("No such column '{name}' on sobject of type Contact")));
    }
    let stamp = now.trunc_subsecs(0);
    for value in fields.values() {
        let written = match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            _ => return Err(unreadable()),
        };
        state.contacts.change(key, |row| {
            row.stamp = Some(stamp);
            row.value.modified = stamp;
            row.value.propstreet_id = written;
        });
    }
    Ok(key)
}

fn unreadable() -> Refusal {
    Refusal::bad("JSON_PARSER_ERROR", "The body cannot be read as the expected object")
}
