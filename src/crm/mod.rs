//! The CRMs. Each adapter answers [`ContactSource`] and keeps its vendor to itself; none knows another, the mapping,
//! the ledger or Propstreet.
//!
//! # Adding a CRM
//!
//! 1. Collect the facts of its API, and what goes wrong for others who read it; link each call to its page.
//! 2. Make a folder here with the same rooms as its neighbours: `mod` (settings, the trait), `auth` (credentials),
//!    `changes` (windows, paging), `wire` (its JSON, read leniently); where the CRM has it, `inspection` (what `doctor` and
//!    every sync look at first), `writing` (write-back) and `webhook` (what its calls must prove).
//! 3. Choose a listing in which nobody can be skipped, a bound by the *server's* clock, and an end that the API
//!    documents. What may have been cut is trouble, never an end. Absent is not null.
//! 4. Judge answers by the vendor's own words, and pass all reads through [`Upstream`](crate::http::client::Upstream).
//! 5. Name the fields a mapping can read in the folder's first lines, flat, related objects dotted.
//! 6. Add a variant to [`Settings`] and an arm to [`open`]; a variant to [`Kind`](crate::domain::kind::Kind) with its map
//!    in `mapping/defaults.rs`; its word in `config/sources.rs`, with a file for its login and settings beside it.
//! 7. Have a look-alike written in `sandbox/`, from the vendor's pages, by someone who has not read the adapter; add it to
//!    the firms of `tests/support`, a section to `config/example.toml`, and a page to the docs.

mod budget;
pub mod hubspot;
pub mod pipedrive;
mod request;
pub mod salesforce;
#[cfg(test)]
mod script;
pub mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm::webhook::Doorkeeper;
use crate::http::refresh::Keeper;
use crate::http::transport::Transport;
use crate::sync::source::ContactSource;

/// One CRM account: which vendor, where, and how to log in.
#[derive(Debug, Clone)]
pub enum Settings {
    /// Salesforce.
    Salesforce(salesforce::Settings),
    /// HubSpot.
    HubSpot(hubspot::Settings),
    /// Pipedrive.
    Pipedrive(pipedrive::Settings),
}

impl Settings {
    /// Where the API is configured to be; the transport is built for it.
    #[must_use]
    pub fn base_url(&self) -> &Url {
        match self {
            Self::Salesforce(settings) => &settings.base_url,
            Self::HubSpot(settings) => &settings.base_url,
            Self::Pipedrive(settings) => &settings.base_url,
        }
    }

    /// Where logins are made, if that is another host.
    #[must_use]
    pub fn login_url(&self) -> Option<&Url> {
        match self {
            Self::Salesforce(_) | Self::HubSpot(_) => None,
            Self::Pipedrive(settings) => settings.login_url(),
        }
    }
}

/// How one CRM account is reached.
#[derive(Clone)]
pub struct Ways {
    /// Its API.
    pub api: Arc<dyn Transport>,
    /// Where logins are made, which may be another host.
    pub login: Arc<dyn Transport>,
}

impl Ways {
    /// Logins are made where the API is.
    #[must_use]
    pub fn one(api: Arc<dyn Transport>) -> Self {
        Self { login: Arc::clone(&api), api }
    }
}

/// What the map reads of a record: only that is asked for, and a record holds only that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// By the names the map uses: `Account.Name`, `jobtitle`, `custom_fields.KEY`.
    pub fields: BTreeSet<String>,
    /// Those among them that the CRM need not have or show.
    pub optional: BTreeSet<String>,
}

/// Opens the adapter. `keeper` is asked only where a login goes by a refresh token.
pub fn open(
    settings: Settings,
    wanted: Wanted,
    ways: Ways,
    keeper: Arc<dyn Keeper>,
    clock: Clock,
    dice: Dice,
) -> Arc<dyn ContactSource> {
    match settings {
        Settings::Salesforce(settings) => {
            Arc::new(salesforce::Salesforce::new(settings, wanted, ways.api, clock, dice))
        }
        Settings::HubSpot(settings) => Arc::new(hubspot::HubSpot::new(settings, wanted, ways.api, keeper, clock, dice)),
        Settings::Pipedrive(settings) => {
            Arc::new(pipedrive::Pipedrive::new(settings, wanted, ways, keeper, clock, dice))
        }
    }
}

/// How a source's webhooks prove that they are its CRM's.
#[derive(Debug, Clone)]
pub enum Webhooks {
    /// HubSpot's.
    HubSpot(hubspot::webhook::Settings),
    /// Pipedrive's.
    Pipedrive(pipedrive::webhook::Settings),
}

/// Sets up who lets a source's webhooks in.
#[must_use]
pub fn doorkeeper(webhooks: Webhooks) -> Arc<dyn Doorkeeper> {
    match webhooks {
        Webhooks::HubSpot(settings) => Arc::new(hubspot::webhook::Signature::new(settings)),
        Webhooks::Pipedrive(settings) => Arc::new(pipedrive::webhook::Basic::new(settings)),
    }
}

/// How long a CRM may take for one answer. Salesforce lets a query run for two minutes before it gives up on it itself.
#[must_use]
pub fn default_timeout() -> Duration {
    Duration::from_secs(130)
}
