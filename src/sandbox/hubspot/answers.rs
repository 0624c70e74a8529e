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

    /// 400 of the OAuth endpoint: the words of the standard, and beside them HubSpot's own.
    pub fn oauth(error: &str, status: &str, message: &str) -> Self {
        let body = json!({"error": error, "error_description": message, "status": status, "message": message});
        Self { status: StatusCode::BAD_REQUEST, body }
    }

    /// 403 for want of one of these scopes, named where some endpoints name them or where the others do.
    pub fn missing_scopes(any: &[&str], in_errors: bool) -> Self {
        let one_of = "One or more of the following scopes are required.";
        let message = "This app hasn't been granted all required scopes to make this call. Read more about required \
                       scopes here: https://developers.hubspot.com/scopes.";
        let context = json!({"requiredGranularScopes": any});
        let mut refusal = Self::new(StatusCode::FORBIDDEN, "MISSING_SCOPES", if in_errors { message } else { one_of });
        if in_errors {
            refusal.body["errors"] = json!([{"message": one_of, "context": context}]);
            refusal.body["links"] = json!({"scopes": "https://developers.hubspot.com/scopes"});
        } else {
            refusal.body["context"] = context;
        }
        refusal
    }

    /// The same with details, by key.
    pub fn context(mut self, context: Json) -> Self {
        self.body["context"] = context;
        self
    }

    /// The same with the errors it is made of.
    pub fn errors(mut self, errors: Json) -> Self {
        self.body["errors"] = errors;
        self
    }

    /// The same with a correlation id, as a response.
    pub fn correlated(mut self, id: &str) -> Response {
        self.body["correlationId"] = id.into();
        (self.status, axum::Json(self.body)).into_response()
    }
}
