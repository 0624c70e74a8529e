//! An org on a bench, for the tests of this folder: logged in, its clock at 2026-11-02T09:00:00Z.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use chrono::{DateTime, Utc};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method};
use serde_json::{Value as Json, json};
use tower::ServiceExt;
use url::form_urlencoded;

use crate::sandbox::clock::Clock;
use crate::sandbox::people::{Crowd, Person};
use crate::sandbox::salesforce::model::Salesforce;

const EPOCH: i64 = 1_793_610_000;
/// The form of a good login.
pub const LOGIN: &str = "grant_type=client_credentials&client_id=sandbox-client&client_secret=sandbox-secret";

pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(EPOCH + second, 0).unwrap()
}

pub fn person() -> Person {
    Crowd::new(1).person()
}

/// Someone with an employer.
pub fn employed() -> Person {
    (0..).find_map(|seed| Some(Crowd::new(seed).person()).filter(|person| person.company.is_some())).unwrap()
}

pub struct Org {
    pub salesforce: Salesforce,
    pub token: String,
}

impl Org {
    pub async fn new() -> Self {
        let salesforce = Salesforce::new(Clock::simulated(at(0)), 1);
        let (status, body) = log_in(&salesforce, LOGIN).await;
        assert_eq!((status, &body["instance_url"]), (200, &json!("http://127.0.0.1:1")));
        assert!(body["issued_at"].is_string() && body.get("expires_in").is_none());
        Self { salesforce, token: body["access_token"].as_str().unwrap().to_owned() }
    }

    /// Any call: status, headers, body as text.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, HeaderMap, String) {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(AUTHORIZATION, format!("Bearer {}", self.token));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.salesforce.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    pub async fn get(&self, path: &str) -> (u16, Json) {
        let (status, _, body) = self.call(Method::GET, path, &[], "").await;
        (status, serde_json::from_str(&body).unwrap_or(Json::Null))
    }

    pub async fn patch(&self, path: &str, body: &Json) -> (u16, Json) {
        let (status, _, body) = self.call(Method::PATCH, path, &[], &body.to_string()).await;
        (status, serde_json::from_str(&body).unwrap_or(Json::Null))
    }

    pub async fn query(&self, soql: &str) -> (u16, Json) {
        self.get(&format!("/services/data/v66.0/query/?q={}", encoded(soql))).await
    }

    pub async fn query_all(&self, soql: &str) -> (u16, Json) {
        self.get(&format!("/services/data/v66.0/queryAll?q={}", encoded(soql))).await
    }

    /// The first record of a query.
    pub async fn first(&self, soql: &str) -> Json {
        self.query(soql).await.1["records"][0].clone()
    }

    pub async fn ids(&self, soql: &str) -> Vec<String> {
        let (mut status, mut body) = self.query(soql).await;
        let mut ids = Vec::new();
        loop {
            assert_eq!(status, 200, "{body}");
            ids.extend(body["records"].as_array().unwrap().iter().map(|row| row["Id"].as_str().unwrap().to_owned()));
            let Some(next) = body["nextRecordsUrl"].as_str() else { break };
            assert_eq!(body["done"], false);
            (status, body) = self.get(next).await;
        }
        assert_eq!((&body["done"], &body["totalSize"]), (&json!(true), &json!(ids.len())));
        ids
    }
}

fn encoded(soql: &str) -> String {
    form_urlencoded::byte_serialize(soql.as_bytes()).collect()
}

/// Asks for a token.
pub async fn log_in(salesforce: &Salesforce, form: &str) -> (u16, Json) {
    let request = Request::post("/services/oauth2/token").header(HOST, "127.0.0.1:1");
    send(salesforce, request.body(Body::from(form.to_owned())).unwrap()).await
}

pub async fn send(salesforce: &Salesforce, request: Request) -> (u16, Json) {
    let response = salesforce.router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
}

pub async fn pass(seconds: u64) {
    tokio::time::advance(std::time::Duration::from_secs(seconds)).await;
}
