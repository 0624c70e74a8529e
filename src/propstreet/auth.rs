//! Logging in at Propstreet: a personal access token as it is, or a client's credentials for a token of some life.
//! Propstreet: "Authentication" and "Create OAuth client".

use std::time::Duration;

use ::http::StatusCode;
use ::http::header::{ACCEPT, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::clock::Clock;
use crate::domain::failure::Trouble;
use crate::domain::redact::redact;
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::token::{Token, Tokens};
use crate::http::transport::Response;
use crate::propstreet::Auth;
use crate::propstreet::answers;
use crate::propstreet::client::endpoint;
use crate::propstreet::payload::Digits;

/// The only scope Propstreet documents.
const SCOPE: &str = "api:public";
/// Many times what tokens of an hour need; few enough to be harmless when every token is refused.
const LOGINS_PER_HOUR: usize = 30;

/// The tenant's tokens.
pub fn tokens(auth: Auth, base_url: &Url, upstream: Upstream, clock: Clock) -> Tokens {
    let (client_id, client_secret) = match auth {
        Auth::Token { token } => return Tokens::fixed(token),
        Auth::ClientCredentials { client_id, client_secret } => (client_id, client_secret),
    };
    let base_url = base_url.clone();
    let fetch = move || -> futures_util::future::BoxFuture<'static, _> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &client_id),
            ("client_secret", client_secret.expose_secret()),
            ("scope", SCOPE),
        ];
        let request = endpoint(&base_url, &["openid", "token"]).and_then(|url| {
            ::http::Request::post(url.as_str())
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body::form(&form))
                .map_err(|error| Trouble::Protocol(error.to_string()))
        });
        let upstream = upstream.clone();
        // Asking for a token twice gives a token twice: harmless, so it counts as a read.
        Box::pin(async move { granted(&upstream.call(Call::read(request?, answers::judge)).await?) })
    };
    Tokens::fetched(Box::new(fetch), clock, LOGINS_PER_HOUR)
}

#[derive(Deserialize)]
struct Grant {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<Digits>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Refused {
    error: String,
    error_description: String,
}

/// RFC 6749 §5: the token with its life, or an error code.
fn granted(response: &Response) -> Result<Token, Trouble> {
    if response.status().is_success() {
        let grant: Grant = body::json(response)?;
        let life = grant.expires_in.and_then(Digits::number).map(Duration::from_secs);
        return Ok(Token { expires_in: life, ..Token::new(grant.access_token) });
    }
    let refused: Refused = body::json(response).unwrap_or_default();
    let status = response.status();
    let words =
        redact(&format!("the login answers HTTP {} {} {}", status.as_u16(), refused.error, refused.error_description));
    let ours = ["invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client", "access_denied"];
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Trouble::Credential(words)),
        StatusCode::BAD_REQUEST if ours.contains(&refused.error.as_str()) => Err(Trouble::Credential(words)),
        _ => Err(Trouble::Protocol(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scripted::answer;

    #[test]
    fn grants_and_refusals_are_told_apart() {
        let cases = [
            (200, r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#, "token for 3600"),
            (200, r#"{"access_token":"t","expires_in":"3600"}"#, "token for 3600"),
            (200, r#"{"access_token":"t"}"#, "token for ever"),
            (200, r#"{"token":"t"}"#, "unexpected_answer"),
            (400, r#"{"error":"invalid_client"}"#, "credential"),
            (400, r#"{"error":"invalid_request"}"#, "unexpected_answer"),
            (401, "", "credential"),
            (403, "<html>", "credential"),
            (404, "", "unexpected_answer"),
        ];
        for (status, body, expected) in cases {
            let end = match granted(&answer(status, &[], body)) {
                Ok(token) => {
                    assert_eq!(token.secret.expose_secret(), "t");
                    format!(
                        "token for {}",
                        token.expires_in.map_or("ever".to_owned(), |life| life.as_secs().to_string())
                    )
                }
                Err(trouble) => trouble.code().to_owned(),
            };
            assert_eq!(end, expected, "{status} {body}");
        }
    }
}
