//! HubSpot's refusals, in its own shapes and words.
//! It must not know when to refuse.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value as Json, json};

/// An answer that is no success.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    body: Json,
}

impl Refusal {
    /// The standard error body.
    pub fn new(status: StatusCode, category: &str, message: impl Into<String>) -> Self {
        Self { status, body: json!({"status": "error", "category": category, "message": message.into()}) }
    }

    /// 400 `VALIDATION_ERROR`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message)
    }

    /// 404 `OBJECT_NOT_FOUND`.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "OBJECT_NOT_FOUND", message)
    }

    /// 429, by the policy that was broken.
    pub fn too_many(policy: &str) -> Self {
        let message = format!("You have reached your {} limit.", policy.to_lowercase());
        let body = json!({"status": "error", "errorType": "RATE_LIMIT", "policyName": policy, "message": message});
        Self { status: StatusCode::TOO_MANY_REQUESTS, body }
    }

    /// 401 without a token.
    pub fn no_credentials() -> Self {
        let message = "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can \
                       find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview";
        Self::new(StatusCode::UNAUTHORIZED, "INVALID_AUTHENTICATION", message)
    }

    /// 401 for a token that expired, or that never was one: HubSpot does not tell them apart.
    pub fn expired(ago: &str, at: &str) -> Self {
        let message = format!("The OAuth token used to make this call expired {ago} ago.");
        let mut refusal = Self::new(StatusCode::UNAUTHORIZED, "EXPIRED_AUTHENTICATION", message);
        refusal.body["context"] = json!({"expire time": [at]});
        refusal
    }

    /// The same with a correlation id, as a response.
    pub fn correlated(mut self, id: &str) -> Response {
        self.body["correlationId"] = id.into();
        (self.status, axum::Json(self.body)).into_response()
    }
}
