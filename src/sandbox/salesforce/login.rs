//! `POST services/oauth2/token`: who may log in, and the words in which it is refused.

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method, Uri};
use serde_json::json;
use url::form_urlencoded;

use crate::sandbox::salesforce::call::Denied;
use crate::sandbox::salesforce::model::{CLIENT_ID, CLIENT_SECRET, Salesforce};
use crate::sandbox::salesforce::records::OWNER;
use crate::sandbox::salesforce::state::ORGANIZATION;
use crate::sandbox::salesforce::{ids, jwt};

/// The hosts that belong to no org.
const EVERYBODYS: [&str; 2] = ["login.salesforce.com", "test.salesforce.com"];

/// Answers one request for a token.
pub fn log_in(salesforce: &Salesforce, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let host = host(uri, headers);
    let instance = instance_url(host);
    let token = match admit(salesforce, method, host, headers, body) {
        Ok(token) => token,
        Err(denied) => return denied.into_response(),
    };
    axum::Json(json!({
        "access_token": token,
        "signature": "c2FuZGJveCBzaWduYXR1cmU=",
        "scope": "api",
        "instance_url": instance,
        "id": format!("{instance}/id/{ORGANIZATION}/{}", ids::id("005", OWNER.0)),
        "token_type": "Bearer",
        "issued_at": salesforce.now().timestamp_millis().to_string(),
    }))
    .into_response()
}

fn admit(
    salesforce: &Salesforce,
    method: &Method,
    host: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<String, Denied> {
    if method != Method::POST {
        return Err(Denied::new("invalid_request", "must use HTTP POST"));
    }
    let form: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if let Some(description) = &salesforce.state().levers.denied_logins {
        return Err(Denied::new("invalid_grant", description));
    }
    match field("grant_type") {
        Some("client_credentials") if EVERYBODYS.contains(&host) => {
            return Err(Denied::new("invalid_grant", "request not supported on this domain"));
        }
        Some("client_credentials") => {
            let pair = basic(headers);
            let (client, secret) = pair.as_ref().map_or_else(
                || (field("client_id").unwrap_or_default(), field("client_secret").unwrap_or_default()),
                |(client, secret)| (client.as_str(), secret.as_str()),
            );
            if client != CLIENT_ID {
                return Err(Denied::new("invalid_client_id", "client identifier invalid"));
            }
            if secret != CLIENT_SECRET {
                return Err(Denied::new("invalid_client", "invalid client credentials"));
            }
        }
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer") => {
            let assertion = field("assertion")
                .ok_or_else(|| Denied::new("invalid_request", "missing required parameter: assertion"))?;
            jwt::verify(assertion, &instance_url(host), salesforce.instant())?;
        }
        None => return Err(Denied::new("invalid_request", "missing required parameter: grant_type")),
        Some(_) => return Err(Denied::new("unsupported_grant_type", "grant type not supported")),
    }
    let token = salesforce.state().log_in(salesforce.now());
    token.ok_or_else(|| Denied::new("invalid_grant", "LOGIN_RATE_EXCEEDED: login rate exceeded"))
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    pair.split_once(':').map(|(client, secret)| (client.to_owned(), secret.to_owned()))
}

fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    named.or(uri.authority().map(http::uri::Authority::as_str)).unwrap_or("127.0.0.1")
}

/// The host the login came to, or the org's own where everybody logs in; loopback speaks http.
fn instance_url(host: &str) -> String {
    if EVERYBODYS.contains(&host) {
        return "https://sandbox.my.salesforce.com".to_owned();
    }
    let loopback = host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
    format!("{}://{host}", if loopback { "http" } else { "https" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::salesforce::bench::{LOGIN, Org, log_in, pass, send};

    #[tokio::test(start_paused = true)]
    async fn client_credentials_belong_to_the_orgs_own_domain() {
        let org = Org::new().await;
        let request = axum::extract::Request::post("/services/oauth2/token").header(HOST, "login.salesforce.com");
        let (status, body) = send(&org.salesforce, request.body(LOGIN.into()).unwrap()).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
        assert_eq!(body["error_description"], "request not supported on this domain");
    }

    #[tokio::test(start_paused = true)]
    async fn logins_are_denied_on_demand_and_above_3600_an_hour() {
        let org = Org::new().await;
        org.salesforce.deny_logins("no client credentials user enabled");
        let denied = json!({"error": "invalid_grant", "error_description": "no client credentials user enabled"});
        assert_eq!(log_in(&org.salesforce, LOGIN).await, (400, denied));
        org.salesforce.allow_logins();
        for _ in 1..3600 {
            assert_eq!(log_in(&org.salesforce, LOGIN).await.0, 200);
        }
        let (status, body) = log_in(&org.salesforce, LOGIN).await;
        assert!(status == 400 && body["error_description"].as_str().unwrap().contains("LOGIN_RATE_EXCEEDED"));
        pass(3600).await;
        assert_eq!(log_in(&org.salesforce, LOGIN).await.0, 200);
    }
}
