//! One call to the data API, and how it and the token endpoint refuse one. Knows no route and no record.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;

/// An answer of the data API that is no success.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// `errorCode`.
    pub code: &'static str,
    /// `message`.
    pub message: String,
}

impl Refusal {
    /// A 400.
    pub fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: message.into() }
    }

    /// The 404 of a path or record that is not there.
    pub fn not_found() -> Self {
        let message = "The requested resource does not exist".to_owned();
        Self { status: StatusCode::NOT_FOUND, code: "NOT_FOUND", message }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, axum::Json(json!([{"message": self.message, "errorCode": self.code}]))).into_response()
    }
}

/// A refusal of the token endpoint, `error` and `error_description`: another shape than the data API's.
#[derive(Debug)]
pub struct Denied(&'static str, String);

impl Denied {
    /// A denial in words.
    pub fn new(error: &'static str, description: &str) -> Self {
        Self(error, description.to_owned())
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let body = json!({"error": self.0, "error_description": self.1});
        (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
    }
}

/// One call to the data API.
pub struct Call<'a> {
    /// The method.
    pub method: &'a Method,
    /// `v66.0`
    pub version: &'a str,
    /// The path behind the version, in segments.
    pub path: &'a [&'a str],
    /// The decoded query string.
    pub parameters: Vec<(String, String)>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
}

impl Call<'_> {
    /// A parameter of the query string.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
