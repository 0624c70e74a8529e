//! The envelope of batches: inputs in, results and errors out.
//! It must not know what an input asks for.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::properties::instant;

/// A body that is an object.
pub fn object(body: &[u8]) -> Result<Map<String, Json>, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::invalid("Invalid input JSON"))
}

/// The inputs of a batch by id, each once.
pub fn inputs(body: &Map<String, Json>, most: usize) -> Result<BTreeMap<String, &Json>, Refusal> {
    let inputs = body.get("inputs").and_then(Json::as_array).ok_or_else(|| Refusal::invalid("inputs is required"))?;
    if inputs.is_empty() || inputs.len() > most {
        return Err(Refusal::invalid(format!("inputs must hold between 1 and {most} ids")));
    }
    let id = |input: &Json| match &input["id"] {
        Json::String(id) => Ok(id.clone()),
        Json::Number(id) => Ok(id.to_string()),
        _ => Err(Refusal::invalid("each input needs an id")),
    };
    inputs.iter().map(|input| Ok((id(input)?, input))).collect()
}

/// The one error that names all ids a batch did not find.
pub fn missing_ids(singular: &str, ids: &[String]) -> Option<Json> {
    let message = format!(
        "Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.",
        singular.to_uppercase()
    );
    let error = json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": message, "context": {"ids": ids}});
    (!ids.is_empty()).then_some(error)
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
