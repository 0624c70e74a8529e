//! What the tests of this folder ask a company with.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method};
use serde_json::Value as Json;
use tower::ServiceExt;

use crate::sandbox::clock::Clock;
use crate::sandbox::people::{Crowd, Person};
use crate::sandbox::pipedrive::access::TOKEN;
use crate::sandbox::pipedrive::model::Pipedrive;

/// So many seconds after 2026-11-02T09:00:00Z.
pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_793_610_000 + second, 0).unwrap()
}

/// An empty company with all the calls in the world.
pub fn company() -> Pipedrive {
    let pipedrive = Pipedrive::new(Clock::simulated(at(0)), 1);
    pipedrive.with_rates(|rates| rates.burst = None);
    pipedrive
}

/// Somebody with an employer.
pub fn employed() -> Person {
    (0..).map(|seed| Crowd::new(seed).person()).find(|person| person.company.is_some()).unwrap()
}

/// Lets time pass.
pub async fn pass(seconds: u64) {
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
}

/// A call with headers of one's own.
pub async fn call(
    pipedrive: &Pipedrive,
    headers: &[(&str, &str)],
    method: Method,
    path: &str,
    body: String,
) -> (u16, HeaderMap, Json) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = pipedrive.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

/// A call with the API token.
pub async fn send(pipedrive: &Pipedrive, method: Method, path: &str, body: &Json) -> (u16, Json) {
    let (status, _, body) = call(pipedrive, &[("x-api-token", TOKEN)], method, path, body.to_string()).await;
    (status, body)
}

/// A read with the API token.
pub async fn get(pipedrive: &Pipedrive, path: &str) -> (u16, Json) {
    send(pipedrive, Method::GET, path, &Json::Null).await
}

/// The ids on a page.
pub fn ids(page: &Json) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|row| row["id"].to_string()).collect()
}

/// All ids of a list of persons, and how many pages it came in.
pub async fn walk(pipedrive: &Pipedrive, query: &str) -> (Vec<String>, usize) {
    let (mut all, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let (status, body) = get(pipedrive, &format!("/api/v2/persons?{query}{cursor}")).await;
        assert_eq!(status, 200, "{body}");
        all.extend(ids(&body));
        pages += 1;
        let Some(next) = body["additional_data"]["next_cursor"].as_str() else { return (all, pages) };
        cursor = format!("&cursor={next}");
    }
}
