//! A portal on a bench, for the tests of this folder: without limits, its clock at 2026-11-02T09:00:00Z.

use axum::body::to_bytes;
use axum::extract::Request;
use chrono::{DateTime, Utc};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use crate::sandbox::clock::Clock;
use crate::sandbox::hubspot::access::TOKEN;
use crate::sandbox::hubspot::model::HubSpot;
use crate::sandbox::hubspot::rates::Allowances;
use crate::sandbox::people::{Company, Crowd, Person};

const EPOCH: i64 = 1_793_610_000;
/// Contacts, in the version most tests speak.
pub const CONTACTS: &str = "/crm/objects/2026-03/contacts";

pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(EPOCH + second, 0).unwrap()
}

pub fn portal() -> HubSpot {
    let hubspot = HubSpot::new(Clock::simulated(at(0)), 1);
    hubspot.set_allowances(Allowances { searches_a_second: None, requests_in_ten_seconds: None, today: None });
    hubspot
}

/// Someone with an employer.
pub fn employed() -> Person {
    (0..).map(|seed| Crowd::new(seed).person()).find(|person| person.company.is_some()).unwrap()
}

pub fn company(name: &str) -> Company {
    let domain = format!("{}.example", name.to_lowercase());
    Company { name: name.to_owned(), country: "Sweden".to_owned(), country_code: "SE".to_owned(), domain }
}

/// Any call, with this token: status, headers and body.
pub async fn call(hubspot: &HubSpot, token: &str, method: Method, path: &str, body: &Json) -> (u16, HeaderMap, Json) {
    let request = Request::builder().method(method).uri(path).header(AUTHORIZATION, format!("Bearer {token}"));
    let request: Request = request.body(body.to_string().into()).unwrap();
    let response = hubspot.router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

pub async fn send(hubspot: &HubSpot, method: Method, path: &str, body: &Json) -> (u16, Json) {
    let (status, _, body) = call(hubspot, TOKEN, method, path, body).await;
    (status, body)
}

pub async fn get(hubspot: &HubSpot, path: &str) -> (u16, Json) {
    send(hubspot, Method::GET, path, &Json::Null).await
}

pub async fn post(hubspot: &HubSpot, path: &str, body: &Json) -> (u16, Json) {
    send(hubspot, Method::POST, path, body).await
}

pub async fn search(hubspot: &HubSpot, body: &Json) -> (u16, Json) {
    post(hubspot, &format!("{CONTACTS}/search"), body).await
}

pub fn ids(body: &Json) -> Vec<&str> {
    body["results"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

/// The search a poll makes: what changed between two seconds, beyond an id.
pub fn window(low: i64, high: i64, last: &str) -> Json {
    window_by("lastmodifieddate", low, high, last)
}

pub fn window_by(modified: &str, low: i64, high: i64, last: &str) -> Json {
    let millis = |second| at(second).timestamp_millis().to_string();
    json!({
        "filterGroups": [{"filters": [
            {"propertyName": modified, "operator": "GTE", "value": millis(low)},
            {"propertyName": modified, "operator": "LTE", "value": millis(high)},
            {"propertyName": "hs_object_id", "operator": "GT", "value": last}]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["hs_object_id", modified], "limit": 200,
    })
}

pub async fn pass(seconds: u64) {
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
}
