//! Refusals, as `application/problem+json` (RFC 7807). Knows how they look, not when they are due.
//! <https://docs.propstreet.com/documentation/errors-retries>

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;

/// Messages by camelCase field.
pub(super) type FieldErrors = BTreeMap<String, Vec<String>>;

/// One refusal. It travels in the response's extensions until [`Problem::rendered`] knows the request's path.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    /// Last segment of `/help/<slug>`.
    slug: &'static str,
    title: &'static str,
    detail: String,
    errors: FieldErrors,
    retry_after: Option<u64>,
    /// The field whose value is taken, and the contact that has it.
    taken: Option<Box<(&'static str, u64)>>,
}

impl Problem {
    fn new(status: StatusCode, slug: &'static str, title: &'static str, detail: &str) -> Self {
        Self {
            status,
            slug,
            title,
            detail: detail.to_owned(),
            errors: FieldErrors::new(),
            retry_after: None,
            taken: None,
        }
    }

    pub(super) fn invalid(errors: FieldErrors) -> Self {
        let detail = "One or more fields are invalid.";
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "validation-error", "Validation Error", detail) }
    }

    pub(super) fn invalid_field(field: &str, message: &str) -> Self {
        Self::invalid(FieldErrors::from([(field.to_owned(), vec![message.to_owned()])]))
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "The access token is missing, unknown or expired.";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail)
    }

    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", "The client may not use this resource.")
    }

    pub(super) fn tag_required() -> Self {
        let status = StatusCode::PRECONDITION_REQUIRED;
        Self::new(status, "precondition-required", "Precondition Required", "The request must carry If-Match.")
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not Found", "There is no such resource.")
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "This resource does not take this method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method Not Allowed", detail)
    }

    /// The pages let nobody tell a taken reference from a taken address, so neither does this.
    pub(super) fn conflict() -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", "The request conflicts with an existing resource.")
    }

    /// The same in a server that tells what is taken and by whom.
    pub(super) fn taken(field: &'static str, by: u64) -> Self {
        Self { taken: Some(Box::new((field, by))), ..Self::conflict() }
    }

    pub(super) fn stale(as_conflict: bool) -> Self {
        let detail = "The resource has changed since it was read.";
        if as_conflict {
            Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
        } else {
            Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition Failed", detail)
        }
    }

    pub(super) fn too_many(wait: u64) -> Self {
        let detail = format!("Rate limit exceeded. Try again in {wait} seconds.");
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too Many Requests", &detail);
        problem.retry_after = Some(wait);
        problem
    }

    pub(super) fn body_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", "Payload Too Large", "A body is at most 10 MB.")
    }

    pub(super) fn url_too_long() -> Self {
        Self::new(StatusCode::URI_TOO_LONG, "uri-too-long", "URI Too Long", "A URL is at most 8000 characters.")
    }

    pub(super) fn not_json() -> Self {
        let detail = "The body must be application/json.";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported Media Type", detail)
    }

    /// The answer on the wire, now that the request's path is known.
    pub(super) fn rendered(&self, instance: &str) -> Response {
        let mut body = json!({
            "type": format!("/help/{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "instance": instance,
        });
        if !self.errors.is_empty() {
            body["errors"] = json!(self.errors);
        }
        if let Some((field, by)) = self.taken.as_deref() {
            body["conflictingField"] = json!(field);
            body["existingId"] = json!(by.to_string());
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
