//! The envelopes of answers, good and bad.
//! It must not know what was asked.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::{Value as Json, json};

const INFO: &str = "Please check developers.pipedrive.com";

/// A call that is not served: status and body.
#[derive(Clone, Debug)]
pub struct Refusal(pub StatusCode, pub Json);

impl Refusal {
    /// In the documented envelope.
    pub fn new(status: StatusCode, error: &str) -> Self {
        let body = json!({"success": false, "error": error, "error_info": INFO, "data": null, "additional_data": null});
        Self(status, body)
    }

    /// 404
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, &format!("{what} not found"))
    }

    /// The gateway's 401: a token that is mistyped, expired or revoked.
    pub fn unauthorised() -> Self {
        Self::of_the_gateway(StatusCode::UNAUTHORIZED, "unauthorized access")
    }

    /// 403 in the gateway's words: an OAuth app without the scope that the path asks for.
    pub fn scope() -> Self {
        Self::of_the_gateway(StatusCode::FORBIDDEN, "Scope and URL mismatch")
    }

    /// 403: the user may not see this.
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "You do not have permissions to do this")
    }

    /// 429; which of the two budgets is used up, the body does not say.
    pub fn over_limit() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Request over limit")
    }

    /// 500, which a client's own mistake can bring about too.
    pub fn unknown() -> Self {
        let body = json!({"success": false, "error": "Internal Server Error", "code": "ERR_UNKNOWN"});
        Self(StatusCode::INTERNAL_SERVER_ERROR, body)
    }

    /// OAuth's 400, in the documented words.
    pub fn oauth(error: &str, message: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, json!({"success": false, "message": message, "error": error}))
    }

    /// In the envelope of the webhooks, which names what is wrong field by field.
    pub fn webhook(status: StatusCode, field: &str, error: &str) -> Self {
        Self(status, json!({"status": "error", "success": false, "errors": {field: [error]}}))
    }

    fn of_the_gateway(status: StatusCode, error: &str) -> Self {
        Self(status, json!({"success": false, "error": error, "errorCode": status.as_u16(), "error_info": INFO}))
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &format!("Validation failed: {message}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, body) = self;
        if status == StatusCode::UNAUTHORIZED {
            return (status, [("x-401-by-gw", "true")], axum::Json(body)).into_response();
        }
        (status, axum::Json(body)).into_response()
    }
}

/// A good answer. It borrows the data: a page of five hundred records is not copied once more.
#[derive(Serialize)]
struct Success<'a> {
    success: bool,
    data: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_data: Option<Json>,
}

/// 200 with `data` and, where there is any, `additional_data`.
pub fn success(data: &Json, additional_data: Option<Json>) -> Response {
    axum::Json(Success { success: true, data, additional_data }).into_response()
}

/// The page of the firewall, for those who went on after 429.
pub fn denied() -> Response {
    let page =
        "<!DOCTYPE html><html><head><title>Access denied | Cloudflare</title></head><body>Error 1020</body></html>";
    (StatusCode::FORBIDDEN, [(CONTENT_TYPE, "text/html; charset=UTF-8")], page).into_response()
}
