//! Pipedrive's credentials: one user's API token, in a header and never in a URL, which nobody can renew; or an app's refresh
//! token, exchanged for access tokens of an hour at a host of its own. It knows no endpoint of the API.
//!
//! Whether Pipedrive replaces refresh tokens is told both ways: whatever comes is kept before its access token is used.
//! <https://pipedrive.readme.io/docs/core-api-concepts-authentication>,
//! <https://pipedrive.readme.io/docs/marketplace-oauth-authorization>

use std::sync::{Arc, Mutex, PoisonError};

use ::http::header::AUTHORIZATION;
use ::http::{HeaderName, Uri};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::clock::Clock;
use crate::crm::pipedrive::limits;
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::redact::redact;
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::refresh::{self, Grant, Keeper};
use crate::http::token::{Token, Tokens};
use crate::http::transport::{Request, Response};

/// How to log in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A user's API token. It sees what that user sees, so it should be an administrator's.
    ApiToken {
        /// The token.
        token: SecretString,
    },
    /// An app that a user has authorised, with that user's sight.
    OauthRefresh {
        /// The app's id.
        client_id: String,
        /// The app's secret.
        client_secret: SecretString,
        /// What the authorisation gave, or a successor of it.
        refresh_token: SecretString,
        /// Where logins are made: `https://oauth.pipedrive.com`.
        oauth_url: Url,
    },
}

/// An access token lives for an hour; more logins than a few an hour mean that something revokes them.
const LOGINS_PER_HOUR: usize = 20;

const PATH: &str = "/oauth/token";

/// By what means logins are made.
pub(super) struct Door {
    pub upstream: Upstream,
    pub keeper: Arc<dyn Keeper>,
    pub clock: Clock,
    /// Whether the API is where the login says; if not, it stays where the operator has put it.
    pub follows: bool,
}

impl Auth {
    /// Whether a token that has ended can be replaced without a person.
    pub(super) fn renews(&self) -> bool {
        matches!(self, Self::OauthRefresh { .. })
    }

    pub(super) fn tokens(self, door: Door) -> Tokens {
        let (client_id, client_secret, refresh_token, oauth_url) = match self {
            Self::ApiToken { token } => return Tokens::fixed(token),
            Self::OauthRefresh { client_id, client_secret, refresh_token, oauth_url } => {
                (client_id, client_secret, refresh_token, oauth_url)
            }
        };
        let (keeper, clock) = (Arc::clone(&door.keeper), door.clock.clone());
        let app = Arc::new(App { client_id, client_secret, oauth_url, door, last: Mutex::default() });
        let exchange = move |refresh_token: SecretString| {
            let app = Arc::clone(&app);
            async move { app.exchange(&refresh_token).await }.boxed()
        };
        refresh::tokens(refresh_token, keeper, Box::new(exchange), clock, LOGINS_PER_HOUR)
    }
}

struct App {
    client_id: String,
    client_secret: SecretString,
    oauth_url: Url,
    door: Door,
    /// Where the API was when a login last said so; not every answer does.
    last: Mutex<Option<Url>>,
}

impl App {
    /// An exchange that is lost is sent again, which makes it a read.
    async fn exchange(&self, refresh_token: &SecretString) -> Result<Grant, Trouble> {
        let form = body::form(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())]);
        let client = format!("{}:{}", self.client_id, self.client_secret.expose_secret());
        let client = SecretString::from(BASE64_STANDARD.encode(client));
        let request = request::post_form(&self.oauth_url, PATH, form);
        let request = request::with_secret(request, AUTHORIZATION, "Basic ", &client);
        let response = self.door.upstream.call(Call::read(request, limits::judge_login)).await?;
        if !response.status().is_success() {
            return Err(refusal(&response, &[&self.client_secret, refresh_token]));
        }
        let Grant { token, refresh_token } = Grant::read(&response)?;
        let token = match (token, self.api_domain(&response)) {
            (Ok(token), Ok(base)) => Ok(Token { base, ..token }),
            (Err(trouble), _) | (_, Err(trouble)) => Err(trouble),
        };
        Ok(Grant { token, refresh_token })
    }

    /// Where the API is by this answer, or else by the last that said so.
    fn api_domain(&self, response: &Response) -> Result<Option<Url>, Trouble> {
        #[derive(Deserialize)]
        struct Answer {
            api_domain: Option<String>,
        }
        if !self.door.follows {
            return Ok(None);
        }
        let Answer { api_domain } = body::json(response)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = api_domain.filter(|said| !said.is_empty()) {
            *last = Some(of_pipedrive(&said)?);
        }
        Ok(last.clone())
    }
}

/// The origin of an address, if a token may go there: a host of Pipedrive's over TLS.
fn of_pipedrive(said: &str) -> Result<Url, Trouble> {
    let url = Url::parse(said).map_err(|_| Trouble::Protocol("Pipedrive's api_domain is no URL".into()))?;
    let host = url.host_str().unwrap_or_default();
    let bare = url.username().is_empty() && url.password().is_none() && url.port().is_none();
    if url.scheme() == "https" && host.ends_with(".pipedrive.com") && bare {
        return Ok(url);
    }
    Err(Trouble::Protocol(format!(
        "Pipedrive's api_domain is on {host}, which is no host of Pipedrive's; nothing was sent there. Where it is right, \
         write it as base_url"
    )))
}

/// A refused login. Words stand in one of these; which, differs from page to page.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
    message: String,
    error_info: String,
}

/// Words of a refused login, and what to do about it; the first that fits counts. Refusals are HTTP 400 with a sentence.
/// <https://pipedrive.readme.io/docs/marketplace-oauth-and-api-proxy-status-codes>
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["invalid client", "invalid_client", "unauthorized_client", "client is invalid", "client_secret"],
        "client_id and client_secret must be those of the app that was authorised: copy both anew from Pipedrive's \
         Developer Hub",
    ),
    (
        &["invalid grant", "invalid_grant", "refresh_token", "refresh token", "already exchanged"],
        "the app was uninstalled or its access revoked, or its refresh token lay unused for 60 days, or the answer to an \
         earlier login was lost, and with it the refresh token that followed: authorise the app again, and write its new \
         refresh token into auth",
    ),
];

/// What a refused login means. No word of it holds one of the secrets that were sent.
fn refusal(response: &Response, secrets: &[&SecretString]) -> Trouble {
    let status = response.status().as_u16();
    let Refusal { error, error_description, message, error_info } =
        serde_json::from_slice(response.body()).unwrap_or_default();
    let said = [error, error_description, message, error_info];
    let mut said = said.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(", ");
    for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty()) {
        said = said.replace(secret, "[secret]");
    }
    let (folded, said) = (said.to_lowercase(), redact(&said));
    let words = format!("Pipedrive refuses the login (HTTP {status}): {said}");
    let fits = |(words, _): &&(&[&str], _)| words.iter().any(|word| folded.contains(word));
    match REMEDIES.iter().find(fits) {
        Some((_, remedy)) if status == 400 || status == 401 => Trouble::Credential(format!("{words} ({remedy})")),
        _ if status == 401 => Trouble::Credential(words),
        _ if status == 403 => Trouble::Forbidden(words),
        _ => Trouble::Protocol(words),
    }
}

/// The request as Pipedrive wants it authorised, at the host the login named if it named one.
pub(super) fn signed(request: Request, token: &Token, renews: bool) -> Request {
    if !renews {
        return request::with_secret(request, HeaderName::from_static("x-api-token"), "", &token.secret);
    }
    let request = match &token.base {
        Some(base) => moved(request, base),
        None => request,
    };
    request::with_secret(request, AUTHORIZATION, "Bearer ", &token.secret)
}

/// The same request to another host.
fn moved(mut request: Request, base: &Url) -> Request {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let to = format!("{}{path}", base.origin().ascii_serialization());
    // Should this ever be no address, the empty default reaches no host.
    *request.uri_mut() = to.parse::<Uri>().unwrap_or_default();
    request
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Dice;
    use crate::crm::script::{Script, answer};
    use crate::http::pacer::PacerSettings;
    use crate::http::scripted::Memory;

    fn door(follows: bool, answers: Vec<Response>) -> (Arc<Script>, Arc<Memory>, Tokens, Clock) {
        let (script, memory) = (Script::new(answers), Memory::new());
        let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
        let transport = Arc::clone(&script) as _;
        let upstream = Upstream::new("pipedrive", transport, clock.clone(), Dice::seeded(1), PacerSettings::default());
        let auth = Auth::OauthRefresh {
            client_id: "app".into(),
            client_secret: "s3cr3t".into(),
            refresh_token: "1:r1".into(),
            oauth_url: "https://oauth.pipedrive.com".parse().unwrap(),
        };
        let tokens = auth.tokens(Door { upstream, keeper: Arc::clone(&memory) as _, clock: clock.clone(), follows });
        (script, memory, tokens, clock)
    }

    fn granted(token: &str, refresh_token: &str, api_domain: &Value) -> Response {
        answer(
            200,
            json!({"access_token": token, "token_type": "Bearer", "expires_in": 3599, "refresh_token": refresh_token,
                "scope": "base,contacts:read", "api_domain": api_domain}),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_is_a_form_under_the_apps_secret_and_what_came_is_used_next() {
        let acme = json!("https://acme.pipedrive.com");
        let (script, memory, tokens, clock) =
            door(true, vec![granted("a1", "1:r2", &acme), granted("a2", "1:r2", &acme)]);
        let storm = join_all((0..50).map(|_| tokens.current())).await;
        assert!(storm.iter().all(|token| token.as_ref().unwrap().secret.expose_secret() == "a1"));
        clock.sleep(Duration::from_secs(3_538)).await;
        tokens.current().await.unwrap();
        clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(tokens.current().await.unwrap().secret.expose_secret(), "a2", "a minute before the end");
        assert_eq!(memory.kept(), ["1:r2"]);
        let asked = script.asked();
        assert_eq!(asked.len(), 2, "one login however many ask");
        for (asked, refresh_token) in asked.iter().zip(["1%3Ar1", "1%3Ar2"]) {
            assert_eq!(asked.url.as_str(), "https://oauth.pipedrive.com/oauth/token", "no secret in a URL");
            assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
            assert_eq!(asked.headers["authorization"], "Basic YXBwOnMzY3IzdA==");
            assert_eq!(asked.body, format!("grant_type=refresh_token&refresh_token={refresh_token}"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_is_where_the_last_login_said_if_that_is_pipedrives() {
        let said = ["https://acme.pipedrive.com", "", "https://nordic.pipedrive.com/"].map(|said| json!(said));
        let answers = said.iter().chain([&Value::Null]).map(|said| granted("a", "1:r2", said)).collect();
        let (_, _, tokens, clock) = door(true, answers);
        for host in ["acme", "acme", "nordic", "nordic"] {
            let base = tokens.current().await.unwrap().base.unwrap();
            assert_eq!(base.host_str(), Some(format!("{host}.pipedrive.com").as_str()));
            clock.sleep(Duration::from_secs(3_600)).await;
        }
        for foreign in [
            "https://pipedrive.com.evil.example",
            "https://evilpipedrive.com",
            "http://acme.pipedrive.com",
            "https://acme.pipedrive.com@evil.example",
            "https://x:y@acme.pipedrive.com",
            "https://acme.pipedrive.com:8443",
            "https://127.0.0.1",
            "acme",
        ] {
            let (_, memory, tokens, _) = door(true, vec![granted("a", "1:r2", &json!(foreign))]);
            assert_eq!(tokens.current().await.unwrap_err().code(), "unexpected_answer", "{foreign}");
            assert_eq!(memory.kept(), ["1:r2"], "the next login needs it all the same");
            let (_, _, tokens, _) = door(false, vec![granted("a", "1:r2", &json!(foreign))]);
            assert_eq!(tokens.current().await.unwrap().base, None, "the operator's word wins");
        }
    }

    #[test]
    fn a_request_goes_where_the_token_is_good() {
        let request =
            || request::get(&"https://api.pipedrive.com".parse().unwrap(), "/api/v2/persons", &[("a", "b c")]);
        let token = |base: Option<&str>| Token { base: base.map(|b| b.parse().unwrap()), ..Token::new("t".into()) };
        let sent = signed(request(), &token(Some("https://acme.pipedrive.com/x")), true);
        assert_eq!(sent.uri(), "https://acme.pipedrive.com/api/v2/persons?a=b+c");
        assert_eq!(sent.headers()["authorization"], "Bearer t");
        let sent = signed(request(), &token(None), true);
        assert_eq!(sent.uri(), "https://api.pipedrive.com/api/v2/persons?a=b+c");
        let sent = signed(request(), &token(None), false);
        assert_eq!((sent.headers()["x-api-token"].to_str().unwrap(), sent.headers().get("authorization")), ("t", None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_sent_once_and_says_what_mends_it() {
        for (body, code, remedy) in [
            (
                json!({"success": false, "message": "Invalid grant: refresh_token 1:r1 is invalid"}),
                "credential",
                "60 days",
            ),
            (
                json!({"error": "invalid_grant", "error_description": "for another client"}),
                "credential",
                "authorise the",
            ),
            (json!({"success": false, "message": "Invalid client: client is invalid"}), "credential", "Developer Hub"),
            (json!({"success": false, "error": "Missing parameter: grant_type"}), "unexpected_answer", "grant_type"),
        ] {
            let (script, memory, tokens, _) = door(true, vec![answer(400, &body)]);
            for _ in 0..3 {
                let trouble = tokens.current().await.unwrap_err();
                assert_eq!(trouble.code(), code);
                let told = trouble.to_string();
                assert!(told.contains(remedy) && !told.contains("1:r1") && !told.contains("s3cr3t"), "{told}");
                if code != "credential" {
                    break;
                }
            }
            assert_eq!((script.asked().len(), memory.kept().len()), (1, 0), "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_is_not_answered_is_tried_again_with_the_same_token() {
        let answers =
            vec![answer(502, "<html>"), answer(429, "{}"), answer(200, "<html>"), granted("a", "1:r2", &json!(null))];
        let (script, memory, tokens, _) = door(true, answers);
        tokens.current().await.unwrap();
        assert!(script.asked().iter().all(|asked| asked.body.ends_with("1%3Ar1")));
        assert_eq!(memory.kept(), ["1:r2"]);
    }
}
