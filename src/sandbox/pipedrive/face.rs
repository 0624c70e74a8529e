//! The company over HTTP: the firewall, the token, the costs, and which path is which.
//! It must not know what an answer holds.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::form_urlencoded;

use crate::sandbox::pipedrive::access::Caller;
use crate::sandbox::pipedrive::answers::{Refusal, denied};
use crate::sandbox::pipedrive::calls::Call;
use crate::sandbox::pipedrive::model::Pipedrive;
use crate::sandbox::pipedrive::organization::Organization;
use crate::sandbox::pipedrive::person::Contact;
use crate::sandbox::pipedrive::rates::{Rates, Refused};
use crate::sandbox::pipedrive::routes;
use crate::sandbox::pipedrive::state::State;

const BODY_CAP: usize = 1024 * 1024;
/// The window that `x-ratelimit-reset` speaks of, in seconds.
const RESET: i64 = 2;

impl Pipedrive {
    /// The company's routes, behind its gate of faults and counters.
    pub fn router(&self) -> Router {
        self.gate.guard(Router::new().fallback(answer).with_state(self.clone()))
    }
}

async fn answer(Shared(pipedrive): Shared<Pipedrive>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_CAP).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let now = pipedrive.instant();
    let mut state = pipedrive.state();
    state.answers += 1;
    let mut response = serve(&mut state, &parts, &body, now).unwrap_or_else(Refusal::into_response);
    if let Ok(correlation) = HeaderValue::from_str(&format!("{:032x}", state.answers)) {
        response.headers_mut().insert("x-correlation-id", correlation);
    }
    response
}

fn serve(state: &mut State, parts: &Parts, body: &[u8], now: DateTime<Utc>) -> Result<Response, Refusal> {
    let path = routes::parts(parts.uri.path());
    match (&parts.method, path.as_slice()) {
        (&Method::POST, ["oauth", "token"]) => {
            let granted = state.access.renew(&parts.headers, body, &here(parts), now)?;
            return Ok(axum::Json(granted).into_response());
        }
        (&Method::POST, ["oauth", "revoke"]) => {
            state.access.revoke_token(body);
            return Ok(StatusCode::OK.into_response());
        }
        _ if state.rates.blocked => return Ok(denied()),
        _ => {}
    }
    let query = parts.uri.query().unwrap_or_default();
    let mut parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let token = parameters.iter().position(|(name, _)| name == "api_token").map(|at| parameters.remove(at).1);
    let caller = state.access.admit(&parts.headers, token.as_deref(), now)?;
    let price = routes::cost(&parts.method, &path);
    let charged = state.rates.charge(caller, price, now);
    let mut response = match charged {
        Err(Refused::Blocked) => return Ok(denied()),
        Err(Refused::Burst | Refused::Daily) => Refusal::over_limit().into_response(),
        Ok(()) => {
            let call = Call { method: &parts.method, parameters: &parameters, body, now };
            let allowed = state.access.require(caller, routes::scopes(&parts.method, &path));
            let known = state.levers.api_v1 || !parts.uri.path().starts_with("/api/v1/");
            let answered = allowed.and_then(|()| if known { route(&call, state, &path) } else { Err(nowhere()) });
            answered.unwrap_or_else(Refusal::into_response)
        }
    };
    if charged.is_ok() && !response.status().is_success() {
        state.rates.refund(price);
    }
    advertise(&state.rates, caller, charged.is_err(), now, response.headers_mut());
    Ok(response)
}

fn route(call: &Call<'_>, state: &mut State, path: &[&str]) -> Result<Response, Refusal> {
    if let ["v1", rest @ ..] = path {
        return call.legacy(state, rest);
    }
    let ["api", "v2", rest @ ..] = path else { return Err(nowhere()) };
    match (call.method.as_str(), rest) {
        ("GET", ["persons"]) => call.list::<Contact>(state),
        ("GET", ["persons", id]) => call.one::<Contact>(state, id),
        ("PATCH", ["persons", id]) => call.patch::<Contact>(state, id),
        ("DELETE", ["persons", id]) => call.delete::<Contact>(state, id),
        ("GET", ["organizations"]) => call.list::<Organization>(state),
        ("GET", ["organizations", id]) => call.one::<Organization>(state, id),
        ("PATCH", ["organizations", id]) => call.patch::<Organization>(state, id),
        ("DELETE", ["organizations", id]) => call.delete::<Organization>(state, id),
        ("GET", ["personFields", rest @ ..]) => call.fields(state, &state.person_fields, rest),
        ("GET", ["organizationFields", rest @ ..]) => call.fields(state, &state.organization_fields, rest),
        _ => Err(nowhere()),
    }
}

fn nowhere() -> Refusal {
    Refusal::not_found("Path")
}

/// Where the call was sent to.
fn here(parts: &Parts) -> String {
    let scheme = parts.uri.scheme_str().unwrap_or("http");
    let host = parts.headers.get("host").and_then(|host| host.to_str().ok());
    let host = parts.uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or("localhost");
    format!("{scheme}://{host}")
}

fn advertise(rates: &Rates, caller: Caller, refused: bool, now: DateTime<Utc>, headers: &mut HeaderMap) {
    if let (true, Some(limit), Some(left)) = (rates.headers, rates.burst_of(caller), rates.burst_left(caller)) {
        let reset = if rates.reset_is_epoch { now.timestamp() + RESET } else { RESET };
        headers.insert("x-ratelimit-limit", HeaderValue::from(limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(left));
        headers.insert("x-ratelimit-reset", HeaderValue::from(reset));
    }
    if let (true, Some(limit), Some(left)) = (rates.headers && rates.daily_headers, rates.daily, rates.tokens_left()) {
        headers.insert("x-daily-ratelimit-token-limit", HeaderValue::from(limit));
        headers.insert("x-daily-ratelimit-token-remaining", HeaderValue::from(left));
    }
    if let (true, Some(seconds)) = (refused, rates.retry_after) {
        headers.insert("retry-after", HeaderValue::from(seconds));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;
    use serde_json::json;
    use tower::ServiceExt;

    use super::*;
    use crate::sandbox::clock::Clock;
    use crate::sandbox::pipedrive::access::TOKEN;
    use crate::sandbox::pipedrive::bench::{at, call, company, get};
    use crate::sandbox::pipedrive::hooks::COMPANY;

    #[tokio::test(start_paused = true)]
    async fn anything_doubtful_is_refused() {
        let pipedrive = company();
        let ids = (0..101).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        for query in [
            "limit=501",
            "limit=0",
            "updated_since=2026-11-02T09:00:00.000Z",
            "updated_since=2026-11-02%2009:00:00",
            "updated_since=2026-11-02T09:00:00%2B01:00",
            "sort_by=name",
            "sort_direction=ASC",
            "include_labels=1",
            "include_fields=nonsense",
            "cursor=nonsense",
            "is_deleted=true",
            "ids=abc",
            &format!("ids={ids}"),
            &format!("custom_fields={}", ["x"; 16].join(",")),
        ] {
            assert_eq!(get(&pipedrive, &format!("/api/v2/persons?{query}")).await.0, 400, "{query}");
        }
        for path in ["/v1/users/me", "/api/v1/users/me"] {
            assert_eq!(get(&pipedrive, path).await.1["data"]["company_id"], COMPANY);
        }
        pipedrive.set_api_v1(false);
        assert_eq!([get(&pipedrive, "/api/v1/users/me").await.0, get(&pipedrive, "/v2/persons").await.0], [404, 404]);
        pipedrive.expire_tokens();
        let (status, body) = get(&pipedrive, "/api/v2/persons").await;
        assert_eq!((status, &body["error"], &body["errorCode"]), (401, &json!("unauthorized access"), &json!(401)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_two_429s_and_the_firewall_can_be_told_apart() {
        let pipedrive = Pipedrive::new(Clock::simulated(at(0)), 1);
        pipedrive.with_rates(|rates| (rates.burst, rates.patience) = (Some(1), Some(3)));
        let ask = async || {
            let request = Request::get("/v1/users/me").header("x-api-token", TOKEN).body(axum::body::Body::empty());
            let response = pipedrive.router().oneshot(request.unwrap()).await.unwrap();
            let left = response
                .headers()
                .get("x-ratelimit-remaining")
                .and_then(|left| left.to_str().ok()?.parse::<u32>().ok());
            (response.status().as_u16(), left)
        };
        assert_eq!([ask().await, ask().await], [(200, Some(0)), (429, Some(0))]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(ask().await, (200, Some(0)));
        tokio::time::advance(Duration::from_secs(2)).await;
        pipedrive.exhaust_budget();
        assert_eq!(
            [ask().await, ask().await, ask().await, ask().await],
            [(429, Some(1)), (429, Some(1)), (429, Some(1)), (403, None)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_answers_tell_of_the_limits_is_for_levers_to_say() {
        let pipedrive = company();
        pipedrive.with_rates(|rates| (rates.burst, rates.retry_after) = (Some(2), Some(3)));
        let told = async || {
            let (status, headers, _) =
                call(&pipedrive, &[("x-api-token", TOKEN)], Method::GET, "/v1/users/me", String::new()).await;
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (status, ["x-ratelimit-reset", "x-daily-ratelimit-token-remaining", "retry-after"].map(text))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told().await, (200, [some("2"), some("149998"), None]));
        pipedrive.with_rates(|rates| (rates.reset_is_epoch, rates.daily_headers) = (true, false));
        assert_eq!(told().await, (200, [some("1793610002"), None, None]));
        assert_eq!(told().await, (429, [some("1793610002"), None, some("3")]));
        pipedrive.with_rates(|rates| (rates.headers, rates.retry_after) = (false, None));
        assert_eq!(told().await, (429, [None, None, None]));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_cost_by_the_lever_and_the_day_ends_at_the_servers_midnight() {
        let pipedrive = company();
        assert_eq!(get(&pipedrive, "/api/v2/persons/99").await.0, 404);
        assert_eq!(pipedrive.tokens_spent(), 1);
        pipedrive.with_rates(|rates| rates.failures_cost = false);
        assert_eq!(get(&pipedrive, "/api/v2/persons?limit=501").await.0, 400);
        assert_eq!(pipedrive.tokens_spent(), 1);
        // At nine in the morning by UTC it is ten at night there.
        pipedrive.with_rates(|rates| rates.zone = TimeDelta::hours(13));
        pipedrive.exhaust_budget();
        tokio::time::advance(Duration::from_secs(2 * 3_600 - 1)).await;
        assert_eq!(get(&pipedrive, "/v1/users/me").await.0, 429);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(get(&pipedrive, "/v1/users/me").await.0, 200);
    }
}
