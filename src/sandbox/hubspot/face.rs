//! The portal over HTTP: what a request passes before it is answered.
//! It must not know what a path leads to.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, StatusCode};
use url::form_urlencoded;

use crate::sandbox::hubspot::access::Caller;
use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::calls::Call;
use crate::sandbox::hubspot::model::HubSpot;
use crate::sandbox::hubspot::rates::Spending;
use crate::sandbox::hubspot::routes::{kind, route};
use crate::sandbox::path::segments;

/// What a path and its query may take, in bytes.
const URI_CAP: usize = 8_000;
const BODY_CAP: usize = 4 * 1024 * 1024;

impl HubSpot {
    /// The portal's routes, behind its gate of faults and counters.
    pub fn router(&self) -> Router {
        self.gate.guard(Router::new().fallback(answer).with_state(self.clone()))
    }
}

async fn answer(Shared(hubspot): Shared<HubSpot>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > URI_CAP) {
        let page = "<html><head><title>414 Request-URI Too Large</title></head><body>nginx</body></html>";
        return (StatusCode::URI_TOO_LONG, [(CONTENT_TYPE, "text/html")], page).into_response();
    }
    let Ok(body) = to_bytes(body, BODY_CAP).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let now = hubspot.now();
    let mut state = hubspot.state();
    state.answers += 1;
    let correlation = format!("00000000-0000-4000-8000-{:012x}", state.answers);
    state.settle(now);
    if kind(parts.uri.path()) == "token" {
        let renewed = is_form(&parts).and_then(|()| state.access.renew(&body, now));
        return renewed
            .map_or_else(|refusal| refusal.correlated(&correlation), |body| axum::Json(body).into_response());
    }
    let caller = match state.access.admit(&parts.headers, now) {
        Ok(caller) => caller,
        Err(refusal) => return refusal.correlated(&correlation),
    };
    let spending = Spending { search: kind(parts.uri.path()) == "search", oauth: caller == Caller::App };
    let query = parts.uri.query().unwrap_or_default();
    let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let call = Call { method: &parts.method, parameters: &parameters, body: &body, now };
    let path = segments(parts.uri.path());
    let answer = state.rates.spend(spending, now).and_then(|()| match route(&path) {
        Some(route) => call.answer(&mut state, route),
        None => Err(Refusal::not_found("No such path")),
    });
    let mut response = answer.unwrap_or_else(|refusal| refusal.correlated(&correlation));
    state.rates.advertise(spending, response.headers_mut());
    response
}

/// From v3 on all parameters go in a form; anything else is read as if it held none.
fn is_form(parts: &Parts) -> Result<(), Refusal> {
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if parts.method == Method::POST && kind.starts_with("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(Refusal::oauth("invalid_request", "BAD_GRANT_TYPE", "missing or unknown grant type"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tower::ServiceExt;

    use super::*;
    use crate::sandbox::clock::Clock;
    use crate::sandbox::hubspot::access::PORTAL;
    use crate::sandbox::hubspot::bench::{at, get, search};

    #[tokio::test(start_paused = true)]
    async fn rates_and_tokens_are_kept() {
        let hubspot = HubSpot::new(Clock::simulated(at(0)), 1);
        for _ in 0..5 {
            assert_eq!(search(&hubspot, &json!({})).await.0, 200);
        }
        let (status, body) = search(&hubspot, &json!({})).await;
        assert_eq!((status, &body["policyName"]), (429, &json!("SECONDLY")));
        assert_eq!(body["message"], "You have reached your secondly limit.");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(search(&hubspot, &json!({})).await.0, 200);
        for _ in 0..190 {
            assert_eq!(get(&hubspot, "/account-info/2026-03/details").await.1["portalId"], PORTAL);
        }
        let (status, body) = get(&hubspot, "/crm/properties/2026-03/contacts").await;
        assert_eq!((status, &body["policyName"]), (429, &json!("TEN_SECONDLY_ROLLING")));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(get(&hubspot, "/crm/properties/2026-03/contacts/email").await.1["type"], "string");
        hubspot.expire_tokens();
        let (status, body) = get(&hubspot, "/crm/properties/2026-03/contacts").await;
        assert_eq!((status, &body["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
        let request = Request::get("/crm/v3/objects/contacts").body(axum::body::Body::empty()).unwrap();
        assert_eq!(hubspot.router().oneshot(request).await.unwrap().status(), 401);
    }
}
