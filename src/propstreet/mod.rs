//! One Propstreet tenant behind [`crate::sync::destination::ContactDestination`]. It knows Propstreet's API and nothing of
//! CRMs, ledger or policy: what a 409 *says* is read here, what to do about it is the engine's.

mod answers;
mod auth;
mod client;
mod companies;
mod links;
mod network;
mod payload;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::http::client::Upstream;
use crate::http::pacer::PacerSettings;
use crate::http::token::Tokens;
use crate::http::transport::Transport;

/// The time-out of an exchange: Propstreet itself gives up after 30 s, and its own word on that is worth waiting for.
pub const TIMEOUT: Duration = Duration::from_secs(35);

/// Where a tenant is, and how to log in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://app.propstreet.com`, or a stand-in; a path in it is kept.
    pub base_url: Url,
    /// How to log in.
    pub auth: Auth,
    /// Requests a minute. Propstreet's documented limit for this kind of login (the default) only holds until the first
    /// `RateLimit-Limit`; any other number is the operator's wish, which no header lifts.
    pub requests_per_minute: Option<u32>,
}

/// How to log in. Propstreet: "Authentication".
#[derive(Debug, Clone)]
pub enum Auth {
    /// A personal access token: 60 requests a minute, 30 days.
    Token {
        /// `pat_…`
        token: SecretString,
    },
    /// A bot user's OAuth client: 600 requests a minute.
    ClientCredentials {
        /// The client's id.
        client_id: String,
        /// The client's secret.
        client_secret: SecretString,
    },
}

impl Auth {
    fn documented_per_minute(&self) -> u32 {
        match self {
            Self::Token { .. } => 60,
            Self::ClientCredentials { .. } => 600,
        }
    }
}

/// One Propstreet tenant.
pub struct Propstreet {
    base_url: Url,
    /// Who logs in, for the ledger's binding.
    client: String,
    upstream: Upstream,
    tokens: Tokens,
}

impl Propstreet {
    /// A tenant reached over this network. Sends nothing yet.
    #[must_use]
    pub fn new(settings: Settings, transport: Arc<dyn Transport>, clock: Clock, dice: Dice) -> Self {
        let pacing = pacing(&settings);
        let upstream = Upstream::new("propstreet", transport, clock.clone(), dice, pacing);
        let client = match &settings.auth {
            Auth::Token { .. } => "a personal access token".to_owned(),
            Auth::ClientCredentials { client_id, .. } => client_id.clone(),
        };
        let tokens = auth::tokens(settings.auth, &settings.base_url, upstream.clone(), clock);
        Self { base_url: settings.base_url, client, upstream, tokens }
    }
}

fn pacing(settings: &Settings) -> PacerSettings {
    PacerSettings {
        ceiling_per_minute: settings.requests_per_minute,
        assumed_per_minute: Some(settings.auth.documented_per_minute()),
        budget: answers::budget,
        ..PacerSettings::default()
    }
}
