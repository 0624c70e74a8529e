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
        let ago = if since == DateTime::UNIX_EPOCH {
            format!("{} day(s)", passed.num_days())
        } else {
            format!("{} second(s)", passed.num_seconds())
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

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use http::Method;
    use http::header::CONTENT_TYPE;
    use tower::ServiceExt;

    use super::*;
    use crate::sandbox::hubspot::bench::{CONTACTS, call, employed, get, pass, portal, post};
    use crate::sandbox::hubspot::model::HubSpot;

    async fn token(hubspot: &HubSpot, version: &str, form: &str) -> (u16, Json) {
        let request = Request::post(format!("/oauth/{version}/token"));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let response = hubspot.router().oneshot(request.body(Body::from(form.to_owned())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn form(refresh: &str) -> String {
        format!("grant_type=refresh_token&client_id={CLIENT_ID}&client_secret={CLIENT_SECRET}&refresh_token={refresh}")
    }

    async fn with(hubspot: &HubSpot, token: &str) -> (u16, HeaderMap, Json) {
        call(hubspot, token, Method::GET, CONTACTS, &Json::Null).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_lasts_as_long_as_it_says() {
        let hubspot = portal();
        for version in ["2026-03", "2026-09", "v3", "v1"] {
            let (status, body) = token(&hubspot, version, &form(REFRESH_TOKEN)).await;
            assert_eq!(
                (status, &body["expires_in"], &body["hub_id"]),
                (200, &json!(1800), &json!(PORTAL)),
                "{version}"
            );
            assert_eq!((&body["token_type"], &body["refresh_token"]), (&json!("bearer"), &json!(REFRESH_TOKEN)));
            let access = body["access_token"].as_str().unwrap().to_owned();
            assert!(access.len() > 300);
            pass(1799).await;
            assert_eq!(with(&hubspot, &access).await.0, 200);
            pass(76).await;
            let (status, _, body) = with(&hubspot, &access).await;
            assert_eq!((status, &body["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
            assert_eq!(body["message"], "The OAuth token used to make this call expired 75 second(s) ago.");
            assert!(body["context"]["expire time"][0].as_str().unwrap().starts_with("2026-11-02T"));
        }
        assert_eq!(hubspot.requests().of("POST token"), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_token_at_all_ended_with_the_year_1970() {
        let hubspot = portal();
        let (status, _, body) = with(&hubspot, "nonsense").await;
        assert_eq!((status, &body["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
        assert_eq!(body["message"], "The OAuth token used to make this call expired 20759 day(s) ago.");
        assert_eq!(body["context"]["expire time"][0], "1970-01-01T00:00:00.000Z");
        let (status, _, body) = with(&hubspot, "").await;
        assert_eq!((status, &body["category"]), (401, &json!("INVALID_AUTHENTICATION")));
    }

    #[tokio::test(start_paused = true)]
    async fn refresh_tokens_rotate_by_their_lever_and_die_with_the_app() {
        let hubspot = portal();
        let renewed = async |old: &str| {
            let (status, body) = token(&hubspot, "2026-03", &form(old)).await;
            (status, body["refresh_token"].as_str().unwrap_or_default().to_owned())
        };
        assert_eq!(renewed(REFRESH_TOKEN).await, (200, REFRESH_TOKEN.to_owned()));
        hubspot.set_rotation(Rotation::OldLives);
        let (_, second) = renewed(REFRESH_TOKEN).await;
        assert_ne!(second, REFRESH_TOKEN);
        assert_eq!(renewed(REFRESH_TOKEN).await.0, 200);
        hubspot.set_rotation(Rotation::OldDies);
        let (status, third) = renewed(&second).await;
        assert_eq!((status, renewed(&second).await.0), (200, 400));
        hubspot.revoke_app();
        let (status, body) = token(&hubspot, "2026-03", &form(&third)).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
        assert_eq!(
            (&body["status"], body["message"] == body["error_description"]),
            (&json!("BAD_REFRESH_TOKEN"), true)
        );
        for (from, to) in [(CLIENT_ID, "x"), (CLIENT_SECRET, "x"), ("refresh_token&", "password&")] {
            assert_eq!(token(&hubspot, "2026-03", &form(REFRESH_TOKEN).replace(from, to)).await.0, 400, "{from}");
        }
        let body = json!({"grant_type": "refresh_token"});
        assert_eq!(post(&hubspot, "/oauth/2026-03/token", &body).await.0, 400, "no form");
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_hears_nothing_of_the_day_and_all_tokens_can_expire_at_once() {
        let hubspot =
            HubSpot::new(crate::sandbox::clock::Clock::simulated(DateTime::UNIX_EPOCH + TimeDelta::days(9)), 1);
        hubspot.set_token_lifetime(std::time::Duration::from_secs(60));
        let (_, body) = token(&hubspot, "2026-03", &form(REFRESH_TOKEN)).await;
        let access = body["access_token"].as_str().unwrap();
        assert_eq!(body["expires_in"], 60);
        let headers = |headers: &HeaderMap| {
            ["x-hubspot-ratelimit-max", "x-hubspot-ratelimit-daily"].map(|name| headers.contains_key(name))
        };
        assert_eq!(headers(&with(&hubspot, access).await.1), [true, false]);
        assert_eq!(headers(&with(&hubspot, TOKEN).await.1), [true, true]);
        let (_, searched, _) = call(&hubspot, TOKEN, Method::POST, &format!("{CONTACTS}/search"), &json!({})).await;
        assert_eq!(headers(&searched), [false, false]);
        hubspot.expire_tokens();
        assert_eq!([with(&hubspot, access).await.0, with(&hubspot, TOKEN).await.0], [401, 401]);
        hubspot.renew_tokens();
        assert_eq!([with(&hubspot, access).await.0, with(&hubspot, TOKEN).await.0], [401, 200]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_scope_is_told_in_both_shapes() {
        let hubspot = portal();
        let id = hubspot.add(&employed());
        let companies = "/crm/associations/2026-03/contacts/companies/batch/read";
        hubspot.take_scope("crm.objects.companies.read");
        let (status, body) = post(&hubspot, companies, &json!({"inputs": [{"id": id}]})).await;
        assert_eq!((status, &body["category"]), (403, &json!("MISSING_SCOPES")));
        let named = json!(["crm.objects.companies.read"]);
        assert_eq!(body["errors"][0]["context"]["requiredGranularScopes"], named);
        hubspot.set_scope_shape(ScopeShape::InContext);
        let (_, body) = post(&hubspot, companies, &json!({"inputs": [{"id": id}]})).await;
        assert_eq!((&body["context"]["requiredGranularScopes"], body.get("errors")), (&named, None));
        assert_eq!(get(&hubspot, CONTACTS).await.0, 200);
        hubspot.give_scope("crm.objects.companies.read");
        assert_eq!(post(&hubspot, companies, &json!({"inputs": [{"id": id}]})).await.0, 200);
        for (scope, path) in [
            ("crm.objects.contacts.read", CONTACTS),
            ("crm.schemas.contacts.read", "/crm/properties/2026-03/contacts"),
            ("oauth", "/account-info/2026-03/details"),
        ] {
            assert_eq!(get(&hubspot, path).await.0, 200, "{path}");
            hubspot.take_scope(scope);
            assert_eq!(get(&hubspot, path).await.0, 403, "{path}");
        }
    }
}
