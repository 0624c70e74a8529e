//! Write-back: batch update of the one property an integration under test has business with.
//! It must not know paths, tokens or rates.

use std::collections::{BTreeMap, BTreeSet};

use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::model::State;
use crate::sandbox::hubspot::objects::{batch, missing_ids, record};
use crate::sandbox::hubspot::properties::PROPSTREET_ID;

/// The most inputs a batch takes.
const INPUTS: usize = 100;

/// A body without `inputs` is accepted and writes nothing, as the real API does.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    inputs: Vec<Input>,
}

#[derive(Deserialize)]
struct Input {
    id: String,
    #[serde(rename = "idProperty")]
    id_property: Option<String>,
    properties: BTreeMap<String, Option<String>>,
}

/// Updates contacts; one bad property or a repeated id refuses them all, missing ids come as 207. A merged-away id
/// appears neither among the results nor among the errors.
pub fn batch_update(state: &mut State, body: &[u8], now: DateTime<Utc>) -> Result<Response, Refusal> {
    let Body { inputs } = serde_json::from_slice(body).map_err(|_| Refusal::invalid("Invalid input JSON"))?;
    if inputs.len() > INPUTS {
        return Err(Refusal::invalid(format!("inputs must hold at most {INPUTS} ids")));
    }
    let mut ids = BTreeSet::new();
    for input in &inputs {
        if !ids.insert(&input.id) {
            let message = format!("Duplicate IDs found in batch input: [{}]. IDs must be unique", input.id);
            return Err(Refusal::invalid(message));
        }
        if input.id_property.is_some() {
            return Err(Refusal::invalid("non-unique property"));
        }
        if let Some(name) = input.properties.keys().find(|name| *name != PROPSTREET_ID) {
            return Err(Refusal::invalid(format!("PROPERTY_DOESNT_EXIST: Property \"{name}\" does not exist")));
        }
    }
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    for Input { id, properties, .. } in inputs {
        let key = id.parse().ok();
        if key.is_some_and(|key| state.surviving(key) != key) {
            continue;
        }
        let live = key.and_then(|key| state.contacts.table.get(key, now)).filter(|row| row.deleted.is_none());
        let Some(before) = live.map(|row| row.value.propstreet_id.clone()) else {
            missing.push(id);
            continue;
        };
        for value in properties.into_values() {
            let value = value.filter(|text| !text.is_empty());
            if value != before {
                state.touch(&id, now, |contact| contact.propstreet_id = value);
            }
        }
        let row = key.and_then(|key| state.contacts.table.get(key, now));
        results.extend(row.map(|row| record(state, row, &[PROPSTREET_ID.to_owned()])));
    }
    let errors: Vec<Json> = if missing.is_empty() { Vec::new() } else { vec![missing_ids("contact", &missing)] };
    Ok(batch(&results, &errors, now))
}
