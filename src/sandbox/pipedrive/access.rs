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
