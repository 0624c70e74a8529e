//! What the faces of all resources share: bodies in, answers with their tags and places out. Knows no resource.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::sandbox::propstreet::problem::{FieldErrors, Problem};

const BODY_LIMIT: usize = 10 * 1024 * 1024;

pub(super) type Answer = Result<Response, Problem>;
pub(super) type Parameters = Query<BTreeMap<String, String>>;

pub(super) fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], Body::from(value.to_string())).into_response()
}

pub(super) fn tagged(mut response: Response, etag: &str) -> Response {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

pub(super) fn located(mut response: Response, collection: &str, id: u64) -> Response {
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/network/{collection}/{id}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

pub(super) fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

pub(super) fn tag(headers: &HeaderMap) -> Option<&str> {
    headers.get(IF_MATCH).and_then(|value| value.to_str().ok())
}

pub(super) fn object(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Problem> {
    if body.len() > BODY_LIMIT {
        return Err(Problem::body_too_large());
    }
    if !content_type(headers).starts_with("application/json") {
        return Err(Problem::not_json());
    }
    serde_json::from_slice(body).map_err(|_| Problem::invalid_field("request", "must be a JSON object"))
}

pub(super) fn number(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|_| Problem::not_found())
}

pub(super) fn nothing_else(query: &BTreeMap<String, String>) -> Result<(), Problem> {
    let unknown: FieldErrors =
        query.keys().map(|name| (name.clone(), vec!["is not a parameter of this request".to_owned()])).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Problem::invalid(unknown)) }
}
