//! HubSpot's credentials: one static bearer token, a service key or a private app's, sent alike; or an app's refresh token,
//! exchanged for access tokens of half an hour. It knows no object.
//!
//! Whether HubSpot rotates refresh tokens is documented neither way, and its answer always carries one: whatever comes is
//! kept before its access token is used.
//! <https://developers.hubspot.com/docs/api-reference/legacy/authentication/manage-oauth-tokens>

use std::sync::Arc;

use ::http::header::AUTHORIZATION;
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::clock::Clock;
use crate::crm::hubspot::refusal;
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::refresh::{self, Grant, Keeper};
use crate::http::token::{Token, Tokens};
use crate::http::transport::Request;
use crate::http::verdict::Judge;

/// How to log in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A service key or a private app's access token, `pat-…`.
    Token {
        /// The token.
        token: SecretString,
    },
    /// An app that the portal's administrator has authorised.
    OauthRefresh {
        /// The app's id.
        client_id: String,
        /// The app's secret.
        client_secret: SecretString,
        /// What the authorisation gave, or a successor of it.
        refresh_token: SecretString,
    },
}

/// An access token lives for half an hour; more logins than a few an hour mean that something revokes them.
const LOGINS_PER_HOUR: usize = 20;

/// Where and by what means logins are made.
pub(super) struct Door {
    pub base: Url,
    /// The path of the token endpoint.
    pub path: String,
    pub upstream: Upstream,
    /// How HubSpot's answers are judged. A refusal of any kind comes back, and is read as a login's.
    pub judge: Judge,
    pub keeper: Arc<dyn Keeper>,
    pub clock: Clock,
}

impl Auth {
    /// Whether a token that has ended can be replaced without a person.
    pub(super) fn renews(&self) -> bool {
        matches!(self, Self::OauthRefresh { .. })
    }

    pub(super) fn tokens(self, door: Door) -> Tokens {
        match self {
            Self::Token { token } => Tokens::fixed(token),
            Self::OauthRefresh { client_id, client_secret, refresh_token } => {
                let (keeper, clock) = (Arc::clone(&door.keeper), door.clock.clone());
                let app = Arc::new(App { client_id, client_secret, door });
                let exchange = move |refresh_token: SecretString| {
                    let app = Arc::clone(&app);
                    async move { app.exchange(&refresh_token).await }.boxed()
                };
                refresh::tokens(refresh_token, keeper, Box::new(exchange), clock, LOGINS_PER_HOUR)
            }
        }
    }
}

struct App {
    client_id: String,
    client_secret: SecretString,
    door: Door,
}

impl App {
    /// Parameters go into the body: v1 took tokens in the URL, where logs keep them. An exchange that is lost is sent
    /// again, which makes it a read.
    async fn exchange(&self, refresh_token: &SecretString) -> Result<Grant, Trouble> {
        let Door { base, path, upstream, judge, .. } = &self.door;
        let form = body::form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose_secret()),
            ("refresh_token", refresh_token.expose_secret()),
        ]);
        let call = Call::read(request::post_form(base, path, form), judge.clone());
        let response = upstream.call(call).await?;
        if response.status().is_success() {
            return Grant::read(&response);
        }
        Err(refusal::login(&response, &[&self.client_secret, refresh_token]))
    }
}

/// The request as HubSpot wants it authorised.
pub(super) fn signed(request: Request, token: &Token) -> Request {
    request::with_secret(request, AUTHORIZATION, "Bearer ", &token.secret)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use serde_json::{Value, json};

    use super::*;
    use crate::clock::Dice;
    use crate::crm::hubspot::limits;
    use crate::crm::script::{Asked, Script, answer};
    use crate::http::pacer::PacerSettings;
    use crate::http::scripted::Memory;
    use crate::http::transport::Response;

    fn door(answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Arc<Memory>, Tokens, Upstream, Clock) {
        let (script, memory) = (Script::new(answers), Memory::new());
        let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
        let transport = Arc::clone(&script) as _;
        let upstream = Upstream::new("hubspot", transport, clock.clone(), Dice::seeded(1), PacerSettings::default());
        let auth = Auth::OauthRefresh {
            client_id: "app".into(),
            client_secret: "s3cr3t".into(),
            refresh_token: "na1-r1".into(),
        };
        let tokens = auth.tokens(Door {
            base: "https://api.hubapi.com".parse().unwrap(),
            path: "/oauth/2026-03/token".into(),
            upstream: upstream.clone(),
            judge: limits::judging(limits::Zone::default(), true),
            keeper: Arc::clone(&memory) as _,
            clock: clock.clone(),
        });
        (script, memory, tokens, upstream, clock)
    }

    fn granted(token: &str, refresh_token: &str, life: u64) -> Response {
        let hub = json!({"token_type": "bearer", "access_token": token, "refresh_token": refresh_token,
            "expires_in": life, "hub_id": 1234, "scopes": ["oauth"]});
        answer(200, hub)
    }

    fn field(asked: &Asked, name: &str) -> String {
        let mut pairs = url::form_urlencoded::parse(asked.body.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_is_a_form_in_a_body_and_what_came_is_used_next() {
        let (script, memory, tokens, _, clock) = door([granted("a1", "na1-r2", 1_800), granted("a2", "na1-r2", 1_800)]);
        let storm = join_all((0..50).map(|_| tokens.current())).await;
        assert!(storm.iter().all(|token| token.as_ref().unwrap().secret.expose_secret() == "a1"));
        clock.sleep(Duration::from_secs(1_739)).await;
        tokens.current().await.unwrap();
        clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(tokens.current().await.unwrap().secret.expose_secret(), "a2", "a minute before the end");
        assert_eq!(memory.kept(), ["na1-r2"]);
        let asked = script.asked();
        assert_eq!(asked.len(), 2, "one login however many ask");
        for (asked, refresh_token) in asked.iter().zip(["na1-r1", "na1-r2"]) {
            assert_eq!(asked.url.as_str(), "https://api.hubapi.com/oauth/2026-03/token", "no secret in a URL");
            assert_eq!(asked.headers["content-type"], "application/x-www-form-urlencoded");
            let sent = ["grant_type", "client_id", "client_secret", "refresh_token"].map(|name| field(asked, name));
            assert_eq!(sent, ["refresh_token", "app", "s3cr3t", refresh_token]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_login_is_sent_once_and_says_to_authorise_anew() {
        let body = json!({"error": "invalid_grant", "status": "BAD_REFRESH_TOKEN",
            "error_description": "refresh token na1-r1 is invalid, expired or revoked"});
        let (script, memory, tokens, ..) = door([answer(400, body)]);
        for _ in 0..3 {
            let trouble = tokens.current().await.unwrap_err();
            assert_eq!(trouble.code(), "credential");
            let told = trouble.to_string();
            assert!(told.contains("authorise the app again") && !told.contains("na1-r1"), "{told}");
        }
        assert_eq!((script.asked().len(), memory.kept().len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_is_not_answered_is_tried_again_with_the_same_token() {
        let busy = json!({"policyName": "TEN_SECONDLY_ROLLING"});
        let answers = [answer(502, "<html>"), answer(429, busy), answer(200, "<html>"), granted("a1", "na1-r2", 1_800)];
        let (script, memory, tokens, ..) = door(answers);
        tokens.current().await.unwrap();
        assert!(script.asked().iter().all(|asked| field(asked, "refresh_token") == "na1-r1"));
        assert_eq!(memory.kept(), ["na1-r2"]);
    }

    async fn get(tokens: &Tokens, upstream: &Upstream) -> Result<Response, Trouble> {
        let judge = limits::judging(limits::Zone::default(), true);
        let base = "https://api.hubapi.com".parse().unwrap();
        upstream
            .authorized(tokens, |token| Call::read(signed(request::get(&base, "/x", &[]), token), judge.clone()))
            .await
    }

    fn refused(days: u64, at: &str) -> Value {
        let message = format!("The OAuth token used to make this call expired {days} day(s) ago.");
        json!({"category": "EXPIRED_AUTHENTICATION", "message": message, "context": {"expire time": [at]}})
    }

    #[tokio::test(start_paused = true)]
    async fn an_access_token_that_ended_is_renewed_once_and_one_that_is_none_never() {
        let ended = || answer(401, refused(0, "2026-11-02T09:59:00Z"));
        let (script, _, tokens, upstream, _) =
            door([granted("a1", "na1-r1", 1_800), ended(), granted("a2", "na1-r1", 1_800), answer(200, "{}")]);
        get(&tokens, &upstream).await.unwrap();
        assert_eq!(script.asked()[3].headers["authorization"], "Bearer a2");

        let never = answer(401, refused(20_543, "1970-01-01T00:00:00Z"));
        let (script, _, tokens, upstream, _) = door([granted("a1", "na1-r1", 1_800), never]);
        assert_eq!(get(&tokens, &upstream).await.unwrap().status(), 401, "for the caller, who says what it is");
        assert_eq!(script.asked().len(), 2, "no other login would mend it");
    }
}
