//! Who may call: the token endpoint's tokens, the personal access token, and a rate limit for each kind. Knows no routes.
//! <https://docs.propstreet.com/documentation/authentication>

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::sandbox::credentials;
use crate::sandbox::propstreet::knobs::Window;
use crate::sandbox::propstreet::problem::Problem;
use crate::sandbox::propstreet::rate::{Allowance, Bucket};

/// Seconds a token lives.
const TOKEN_LIFE: i64 = 3600;
/// Requests a minute of a personal access token.
const PAT_LIMIT: u32 = 60;

/// The doorkeeper.
#[derive(Debug)]
pub(super) struct Door {
    /// When each token given out expires.
    tokens: BTreeMap<String, DateTime<Utc>>,
    rng: fastrand::Rng,
    client: Bucket,
    pat: Bucket,
    refusing: bool,
}

impl Door {
    pub(super) fn new(requests_per_minute: u32, window: Window, seed: u64) -> Self {
        Self {
            tokens: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
            client: Bucket::new(requests_per_minute, window),
            pat: Bucket::new(PAT_LIMIT, window),
            refusing: false,
        }
    }

    /// The answer to a token request: 200 with a token, or an OAuth error with its status.
    pub(super) fn token(&mut self, form: &BTreeMap<String, String>, now: DateTime<Utc>) -> (u16, Value) {
        let is = |field: &str, value: &str| form.get(field).is_some_and(|given| given == value);
        if !is("grant_type", "client_credentials") {
            return (400, json!({"error": "unsupported_grant_type"}));
        }
        let known = is("client_id", credentials::PROPSTREET_CLIENT_ID)
            && is("client_secret", credentials::PROPSTREET_CLIENT_SECRET);
        if self.refusing || !known {
            return (401, json!({"error": "invalid_client"}));
        }
        if !is("scope", "api:public") {
            return (400, json!({"error": "invalid_scope"}));
        }
        let token = format!("at_{:032x}", self.rng.u128(..));
        self.tokens.retain(|_, expires| *expires > now);
        self.tokens.insert(token.clone(), now + TimeDelta::seconds(TOKEN_LIFE));
        (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_LIFE}))
    }

    /// Lets one request in or not. The allowance is for the headers, which every answer carries.
    pub(super) fn enter(&mut self, bearer: Option<&str>, now: DateTime<Utc>) -> (Allowance, Result<(), Problem>) {
        let bucket = match bearer.filter(|_| !self.refusing) {
            Some(credentials::PROPSTREET_TOKEN) => &mut self.pat,
            Some(token) if self.tokens.get(token).is_some_and(|expires| *expires > now) => &mut self.client,
            _ => return (self.client.look(now), Err(Problem::unauthorized())),
        };
        let allowance = bucket.take(now);
        let entry = if allowance.allowed { Ok(()) } else { Err(Problem::too_many(allowance.reset)) };
        (allowance, entry)
    }

    /// Every token given out is void from now on.
    pub(super) fn expire_tokens(&mut self) {
        self.tokens.clear();
    }

    /// Whether every credential is refused, as after a revoked client.
    pub(super) fn refuse_credentials(&mut self, refuse: bool) {
        self.refusing = refuse;
    }
}
