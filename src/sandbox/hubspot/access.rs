//! Who may call: the service key, OAuth's tokens and how they are renewed, and the scopes.
//! It must not know what a call does, nor which scope it needs.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Value as Json, json};
use url::form_urlencoded;

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::properties::instant;

/// The service key.
pub const TOKEN: &str = "pat-eu1-sandbox";
/// The portal.
pub const PORTAL: u64 = 140_123_456;
/// The OAuth app.
pub const CLIENT_ID: &str = "sandbox-client";
/// The OAuth app's secret.
pub const CLIENT_SECRET: &str = "sandbox-secret";
/// The refresh token of the app's installation.
pub const REFRESH_TOKEN: &str = "eu1-sandbox-refresh";

/// What was granted.
const SCOPES: [&str; 6] = [
    "oauth",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.companies.read",
    "crm.schemas.contacts.read",
    "crm.schemas.contacts.write",
];

/// What becomes of a refresh token when it is used; HubSpot documents none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The same comes back.
    Never,
    /// A new one comes back; the old one works as well.
    OldLives,
    /// A new one comes back; the old one is dead from that moment.
    OldDies,
}

/// Where a refusal for want of a scope names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeShape {
    /// In `errors[].context`.
    InErrors,
    /// In `context`.
    InContext,
}

/// Whose token a call bears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The service key.
    Key,
    /// An OAuth app.
    App,
}

/// The tokens and scopes of the portal.
#[derive(Debug)]
pub struct Access {
    /// Since when the service key is refused.
    pub key_expired: Option<DateTime<Utc>>,
    /// What becomes of used refresh tokens.
    pub rotation: Rotation,
    /// How long access tokens last.
    pub lifetime: TimeDelta,
    /// How a missing scope is told.
    pub scope_shape: ScopeShape,
    scopes: BTreeSet<String>,
    refresh: BTreeSet<String>,
    access: BTreeMap<String, DateTime<Utc>>,
    issued: u64,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            key_expired: None,
            rotation: Rotation::Never,
            lifetime: TimeDelta::seconds(1800),
            scope_shape: ScopeShape::InErrors,
            scopes: SCOPES.map(str::to_owned).into(),
            refresh: BTreeSet::from([REFRESH_TOKEN.to_owned()]),
            access: BTreeMap::new(),
            issued: 0,
        }
    }
}

impl Access {
    /// Whose token the call bears, if it is good.
    pub fn admit(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Result<Caller, Refusal> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let token = bearer.filter(|token| !token.is_empty()).ok_or_else(Refusal::no_credentials)?;
        let (caller, ends) = if token == TOKEN {
            (Caller::Key, self.key_expired)
        } else if let Some(ends) = self.access.get(token) {
            (Caller::App, Some(*ends))
        } else {
            // What it cannot read it takes for a token that ended with the year 1970.
            (Caller::Key, Some(DateTime::UNIX_EPOCH))
        };
        let Some(since) = ends.filter(|ends| *ends <= now) else { return Ok(caller) };
        let passed = now - since;
        let ago = match since == DateTime::UNIX_EPOCH {
            true => format!("{} day(s)", passed.num_days()),
            false => format!("{} second(s)", passed.num_seconds()),
        };
        Err(Refusal::expired(&ago, &instant(since)))
    }

    /// Answers `POST oauth/…/token`.
    pub fn renew(&mut self, body: &[u8], now: DateTime<Utc>) -> Result<Json, Refusal> {
        let form: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        if field("grant_type") != "refresh_token" {
            return Err(Refusal::oauth("unsupported_grant_type", "BAD_GRANT_TYPE", "missing or unknown grant type"));
        }
        if field("client_id") != CLIENT_ID {
            return Err(Refusal::oauth("invalid_client", "BAD_CLIENT_ID", "missing or unknown client id"));
        }
        if field("client_secret") != CLIENT_SECRET {
            return Err(Refusal::oauth("invalid_client", "BAD_CLIENT_SECRET", "missing or invalid client secret"));
        }
        let old = field("refresh_token");
        if !self.refresh.contains(old) {
            let message = "refresh token is invalid, expired or revoked";
            return Err(Refusal::oauth("invalid_grant", "BAD_REFRESH_TOKEN", message));
        }
        self.issued += 1;
        let refresh =
            if self.rotation == Rotation::Never { old.to_owned() } else { format!("eu1-{:032x}", self.issued) };
        if self.rotation == Rotation::OldDies {
            self.refresh.remove(old);
        }
        self.refresh.insert(refresh.clone());
        // Longer than most would expect: HubSpot asks for room for 300 characters at least.
        let access = format!("C{:0>400x}", self.issued);
        self.access.insert(access.clone(), now + self.lifetime);
        Ok(json!({
            "access_token": access, "refresh_token": refresh, "expires_in": self.lifetime.num_seconds(),
            "token_type": "bearer", "token_use": "access_token", "hub_id": PORTAL, "user_id": 7_654_321,
            "scopes": self.scopes,
        }))
    }

    /// Refuses a call that no scope covers: one of these is enough.
    pub fn require(&self, any: &[&str]) -> Result<(), Refusal> {
        if any.is_empty() || any.iter().any(|scope| self.scopes.contains(*scope)) {
            return Ok(());
        }
        Err(Refusal::missing_scopes(any, self.scope_shape == ScopeShape::InErrors))
    }

    /// Takes a scope away, or gives it.
    pub fn set_scope(&mut self, scope: &str, granted: bool) {
        if granted {
            self.scopes.insert(scope.to_owned());
        } else {
            self.scopes.remove(scope);
        }
    }

    /// Lets all tokens expire at this moment.
    pub fn expire(&mut self, now: DateTime<Utc>) {
        self.key_expired = Some(now);
        for ends in self.access.values_mut() {
            *ends = now.min(*ends);
        }
    }

    /// The installation ends: no token of any kind that OAuth gave out works any more.
    pub fn revoke(&mut self) {
        self.refresh.clear();
        self.access.clear();
    }
}
