//! Who may call: the API token, OAuth's tokens and how they are renewed, and the scopes.
//! It must not know what a call does.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::{Value as Json, json};
use url::form_urlencoded;

use crate::sandbox::pipedrive::answers::Refusal;

/// The API token.
pub const TOKEN: &str = "5a4db0c5e8f1792603bd4c8ea9f75162d0c3b8e7";
/// The OAuth app.
pub const CLIENT_ID: &str = "5a4db0c5e8f17926";
/// The OAuth app's secret.
pub const CLIENT_SECRET: &str = "sandbox-secret";
/// The refresh token of the app's installation.
pub const REFRESH_TOKEN: &str = "8123456:7:sandbox-refresh";

/// What was granted; the order is that of the answer.
const SCOPES: [&str; 6] = ["base", "contacts:read", "contacts:full", "users:read", "admin", "recents:read"];
/// How long a refresh token that nobody uses lives, in days.
const IDLE: i64 = 60;

/// What becomes of a refresh token when it is used. The guide says that the same comes back, and the list of status
/// codes that one can be "already exchanged".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The same comes back.
    Never,
    /// A new one comes back; the old one works as well.
    OldLives,
    /// A new one comes back; the old one is dead from that moment.
    OldDies,
}

/// Where OAuth says the company's API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiDomain {
    /// Where the token was asked for.
    Here,
    /// Not a word.
    Absent,
    /// Elsewhere.
    At(String),
}

/// Whose token a call bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// A user's API token.
    Token,
    /// An OAuth app.
    App,
}

/// The tokens and scopes of the company.
#[derive(Debug)]
pub struct Access {
    /// Whether the API token is refused.
    pub token_expired: bool,
    /// Whether the API token may stand in the query.
    pub token_in_query: bool,
    /// What becomes of used refresh tokens.
    pub rotation: Rotation,
    /// How long access tokens last.
    pub lifetime: TimeDelta,
    /// Where OAuth says the API is.
    pub api_domain: ApiDomain,
    scopes: BTreeSet<String>,
    refresh: BTreeMap<String, Option<DateTime<Utc>>>,
    access: BTreeMap<String, DateTime<Utc>>,
    issued: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            token_expired: false,
            token_in_query: true,
            rotation: Rotation::Never,
            lifetime: TimeDelta::seconds(3600),
            api_domain: ApiDomain::Here,
            scopes: SCOPES.map(str::to_owned).into(),
            refresh: BTreeMap::from([(REFRESH_TOKEN.to_owned(), None)]),
            access: BTreeMap::new(),
            issued: 0,
        }
    }
}

impl Access {
    /// Whose token the call bears, if it is good; `query` is the token in the query, if there is one.
    pub fn admit(&self, headers: &HeaderMap, query: Option<&str>, now: DateTime<Utc>) -> Result<Caller, Refusal> {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        if let Some(token) = text("x-api-token").or(query.filter(|_| self.token_in_query)) {
            let good = token == TOKEN && !self.token_expired;
            return if good { Ok(Caller::Token) } else { Err(Refusal::unauthorised()) };
        }
        let Some(authorization) = text(AUTHORIZATION.as_str()) else { return Err(Refusal::unauthorised()) };
        let Some(token) = authorization.strip_prefix("Bearer ") else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "malformed authorization header"));
        };
        let good = self.access.get(token).is_some_and(|ends| now < *ends);
        if good { Ok(Caller::App) } else { Err(Refusal::unauthorised()) }
    }

    /// Answers `POST /oauth/token`; `here` is where it was asked.
    pub fn renew(&mut self, headers: &HeaderMap, body: &[u8], here: &str, now: DateTime<Utc>) -> Result<Json, Refusal> {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let (id, secret) = client(headers)
            .ok_or_else(|| Refusal::oauth("invalid_client", "Invalid client: cannot retrieve client credentials"))?;
        if (id.as_str(), secret.as_str()) != (CLIENT_ID, CLIENT_SECRET) {
            return Err(Refusal::oauth("invalid_client", "Invalid client: client is invalid"));
        }
        match field("grant_type") {
            "refresh_token" => {}
            "" => return Err(Refusal::oauth("invalid_request", "Missing parameter: grant_type")),
            _ => {
                return Err(Refusal::oauth("unsupported_grant_type", "Unsupported grant type: grant_type is invalid"));
            }
        }
        let old = field("refresh_token");
        let lives = |used: &Option<DateTime<Utc>>| used.is_none_or(|used| now - used < TimeDelta::days(IDLE));
        if !self.refresh.get(old).is_some_and(lives) {
            return Err(Refusal::oauth("invalid_grant", "Invalid grant: refresh_token is invalid"));
        }
        self.issued += 1;
        let rotates = self.rotation != Rotation::Never;
        let refresh = if rotates { format!("8123456:7:{:032x}", self.issued) } else { old.to_owned() };
        if self.rotation == Rotation::OldDies {
            self.refresh.remove(old);
        }
        // Each use gives it its sixty days again.
        self.refresh.insert(refresh.clone(), Some(now));
        Ok(self.granted(&refresh, here, now))
    }

    fn granted(&mut self, refresh: &str, here: &str, now: DateTime<Utc>) -> Json {
        // Longer than most would expect: Pipedrive asks for room for 768 characters.
        let access = format!("v1u:{:0>700x}", self.issued);
        self.access.insert(access.clone(), now + self.lifetime);
        let scopes: Vec<&str> = SCOPES.into_iter().filter(|scope| self.scopes.contains(*scope)).collect();
        let mut answer = json!({
            "access_token": access, "token_type": "Bearer", "expires_in": self.lifetime.num_seconds() - 1,
            "refresh_token": refresh, "scope": scopes.join(","),
        });
        match &self.api_domain {
            ApiDomain::Here => answer["api_domain"] = here.into(),
            ApiDomain::At(elsewhere) => answer["api_domain"] = elsewhere.as_str().into(),
            ApiDomain::Absent => {}
        }
        answer
    }

    /// Answers `POST /oauth/revoke`: a token that is unknown is no error.
    pub fn revoke_token(&mut self, body: &[u8]) {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        if form.get("token").is_some_and(|token| self.refresh.remove(token).is_some()) {
            self.access.clear();
        }
    }

    /// Refuses an app's call that no scope covers: one of these is enough.
    pub fn require(&self, caller: Caller, any: &[&str]) -> Result<(), Refusal> {
        let covered = any.is_empty() || any.iter().any(|scope| self.scopes.contains(*scope));
        if caller == Caller::Token || covered { Ok(()) } else { Err(Refusal::scope()) }
    }

    /// Takes a scope away, or gives it.
    pub fn set_scope(&mut self, scope: &str, granted: bool) {
        if granted {
            self.scopes.insert(scope.to_owned());
        } else {
            self.scopes.remove(scope);
        }
    }

    /// Lets all access tokens expire at this moment.
    pub fn expire(&mut self, now: DateTime<Utc>) {
        for ends in self.access.values_mut() {
            *ends = now.min(*ends);
        }
    }

    /// The installation ends: no token that OAuth gave out works any more.
    pub fn revoke(&mut self) {
        self.refresh.clear();
        self.access.clear();
    }
}

/// The app's id and secret, from the header as the guide has it.
fn client(headers: &HeaderMap) -> Option<(String, String)> {
    let coded = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(BASE64_STANDARD.decode(coded).ok()?).ok()?;
    pair.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sandbox::pipedrive::bench::{call, company, get, pass};
    use crate::sandbox::pipedrive::model::Pipedrive;

    const PERSONS: &str = "/api/v2/persons";

    async fn token(pipedrive: &Pipedrive, app: &str, form: &str) -> (u16, Json) {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(app));
        let headers = [
            ("authorization", basic.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "acme.example"),
        ];
        let (status, _, body) = call(pipedrive, &headers, Method::POST, "/oauth/token", form.to_owned()).await;
        (status, body)
    }

    async fn renewed(pipedrive: &Pipedrive, refresh: &str) -> (u16, Json) {
        let form = format!("refresh_token={refresh}&grant_type=refresh_token");
        token(pipedrive, &format!("{CLIENT_ID}:{CLIENT_SECRET}"), &form).await
    }

    async fn with(pipedrive: &Pipedrive, access: &str, path: &str) -> (u16, Json) {
        let bearer = format!("Bearer {access}");
        let headers = [("authorization", bearer.as_str())];
        let (status, _, body) = call(pipedrive, &headers, Method::GET, path, String::new()).await;
        (status, body)
    }

    #[tokio::test(start_paused = true)]
    async fn an_access_token_lasts_an_hour_and_says_a_second_less() {
        let pipedrive = company();
        let (status, body) = renewed(&pipedrive, REFRESH_TOKEN).await;
        assert_eq!((status, &body["expires_in"], &body["token_type"]), (200, &json!(3599), &json!("Bearer")));
        assert_eq!(
            (&body["refresh_token"], &body["api_domain"]),
            (&json!(REFRESH_TOKEN), &json!("http://acme.example"))
        );
        assert!(body["scope"].as_str().unwrap().starts_with("base,contacts:read,"));
        let access = body["access_token"].as_str().unwrap();
        pass(3_599).await;
        assert_eq!(with(&pipedrive, access, PERSONS).await.0, 200);
        pass(1).await;
        let (status, body) = with(&pipedrive, access, PERSONS).await;
        assert_eq!((status, &body["error"]), (401, &json!("unauthorized access")));
        pipedrive.set_api_domain(ApiDomain::Absent);
        assert_eq!(renewed(&pipedrive, REFRESH_TOKEN).await.1.get("api_domain"), None);
        pipedrive.set_api_domain(ApiDomain::At("https://other.example".to_owned()));
        assert_eq!(renewed(&pipedrive, REFRESH_TOKEN).await.1["api_domain"], "https://other.example");
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_400_in_the_documented_words() {
        let pipedrive = company();
        let good = format!("{CLIENT_ID}:{CLIENT_SECRET}");
        let refresh = |token: &str| format!("grant_type=refresh_token&refresh_token={token}");
        for (app, form, message) in [
            (good.as_str(), refresh("other"), "Invalid grant: refresh_token is invalid"),
            ("other:app", refresh(REFRESH_TOKEN), "Invalid client: client is invalid"),
            ("nothing", refresh(REFRESH_TOKEN), "Invalid client: cannot retrieve client credentials"),
            (good.as_str(), String::new(), "Missing parameter: grant_type"),
            (good.as_str(), "grant_type=password".to_owned(), "Unsupported grant type: grant_type is invalid"),
        ] {
            let (status, body) = token(&pipedrive, app, &form).await;
            assert_eq!((status, &body["success"], &body["message"]), (400, &json!(false), &json!(message)));
        }
        pass(59 * 86_400).await;
        assert_eq!(renewed(&pipedrive, REFRESH_TOKEN).await.0, 200);
        pass(59 * 86_400).await;
        assert_eq!(renewed(&pipedrive, REFRESH_TOKEN).await.0, 200, "each use gives sixty days");
        pass(60 * 86_400).await;
        assert_eq!(renewed(&pipedrive, REFRESH_TOKEN).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn refresh_tokens_rotate_by_their_lever_and_die_with_the_app() {
        let pipedrive = company();
        let next = async |old: &str| {
            let (status, body) = renewed(&pipedrive, old).await;
            (status, body["refresh_token"].as_str().unwrap_or_default().to_owned())
        };
        pipedrive.set_rotation(Rotation::OldLives);
        let (_, second) = next(REFRESH_TOKEN).await;
        assert_ne!(second, REFRESH_TOKEN);
        assert_eq!(next(REFRESH_TOKEN).await.0, 200);
        pipedrive.set_rotation(Rotation::OldDies);
        let (status, third) = next(&second).await;
        assert_eq!((status, next(&second).await.0, next(&third).await.0), (200, 400, 200));
        let (_, body) = renewed(&pipedrive, REFRESH_TOKEN).await;
        pipedrive.revoke_app();
        assert_eq!(with(&pipedrive, body["access_token"].as_str().unwrap(), PERSONS).await.0, 401);
        assert_eq!(renewed(&pipedrive, body["refresh_token"].as_str().unwrap()).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_needs_scopes_and_has_four_times_the_burst() {
        let pipedrive = company();
        let (_, body) = renewed(&pipedrive, REFRESH_TOKEN).await;
        let access = body["access_token"].as_str().unwrap();
        pipedrive.take_scope("contacts:full");
        assert_eq!(with(&pipedrive, access, PERSONS).await.0, 200, "to read is enough");
        for (scope, path) in [
            ("contacts:read", PERSONS),
            ("contacts:read", "/api/v2/organizationFields"),
            ("admin", "/v1/webhooks"),
            ("users:read", "/v1/users"),
        ] {
            pipedrive.take_scope(scope);
            let (status, body) = with(&pipedrive, access, path).await;
            assert_eq!((status, &body["error"]), (403, &json!("Scope and URL mismatch")), "{path}");
            assert_eq!(get(&pipedrive, path).await.0, 200, "the API token has no scopes");
            pipedrive.give_scope(scope);
            assert_eq!(with(&pipedrive, access, path).await.0, 200, "{path}");
        }
        pass(2).await;
        pipedrive.with_rates(|rates| rates.burst = Some(2));
        for _ in 0..8 {
            assert_eq!(with(&pipedrive, access, PERSONS).await.0, 200);
        }
        assert_eq!(with(&pipedrive, access, PERSONS).await.0, 429);
        assert_eq!(get(&pipedrive, PERSONS).await.0, 200, "each token has a burst of its own");
    }

    #[tokio::test(start_paused = true)]
    async fn the_token_stands_in_a_header_or_by_the_lever_in_the_query() {
        let pipedrive = company();
        let bare = async |path: &str, headers: &[(&str, &str)]| {
            call(&pipedrive, headers, Method::GET, path, String::new()).await.0
        };
        let query = format!("{PERSONS}?api_token={TOKEN}&limit=5");
        assert_eq!([bare(&query, &[]).await, bare(PERSONS, &[]).await], [200, 401]);
        pipedrive.set_token_in_query(false);
        assert_eq!(bare(&query, &[]).await, 401);
        assert_eq!(bare(PERSONS, &[("authorization", "Basic x")]).await, 400);
        assert_eq!(bare(PERSONS, &[("x-api-token", "wrong")]).await, 401);
        assert_eq!(bare(&query, &[("x-api-token", TOKEN)]).await, 200);
    }
}
