//! Pipedrive as a source of people: its persons, over API v2. It knows no mapping, no ledger and no other CRM.
//!
//! A mapping rule reads `name` (the master), `first_name`, `last_name`, `job_title`; `email` and `phone` (the primary
//! value that is not blank), `emails` and `phones` (all of them); `labels` (as people read them, a list); `org.name`,
//! `org.country` (a display name, not a code) and other fields of the organization as `org.NAME`; custom fields as
//! `custom_fields.KEY` with the 40-character key (`org.custom_fields.KEY`): money, times, ranges and addresses as their
//! value, a person's options by their labels.
//!
//! Where things are. What changed: `changes` (a window). Everyone: `everyone` (a backfill, a sweep). By id: `records`,
//! made of rows by `persons`, with `definitions` (what options are called) and `organizations`. How: `listing` (pages and
//! cursors), `auth`, `limits`, `company`, `wire` (its JSON).

mod auth;
mod changes;
mod company;
mod definitions;
mod everyone;
mod limits;
mod listing;
mod organizations;
mod persons;
mod records;
#[cfg(test)]
mod rig;
mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm;
use crate::crm::pipedrive::persons::Wanted;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Account, Page, Record, Resume, Window};
use crate::http::client::{Call, Upstream};
use crate::http::refresh::Keeper;
use crate::http::token::Tokens;
use crate::http::transport::{Request, Response, Transport};
use crate::sync::source::{ContactSource, Detail};

pub use crate::crm::pipedrive::auth::Auth;

/// Ids one request may name.
const IDS: usize = 100;
/// How late a commit may show is not documented; what shows later than this is found by the sweep.
const OVERLAP: Duration = Duration::from_secs(10 * 60);

/// Where Pipedrive is and how to log in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://COMPANY.pipedrive.com`.
    pub base_url: Url,
    /// How to log in.
    pub auth: Auth,
}

impl Settings {
    /// With everything else at its default.
    #[must_use]
    pub fn new(base_url: Url, auth: Auth) -> Self {
        Self { base_url, auth }
    }
}

/// One company.
pub(super) struct Pipedrive {
    upstream: Upstream,
    tokens: Tokens,
    base: Url,
    wanted: Wanted,
    definitions: definitions::Definitions,
    organizations: organizations::Read,
    /// The company the token belongs to, for as long as it is the same token.
    company: OnceCell<String>,
    /// The last cursor was refused, and its walk began anew.
    began_anew: AtomicBool,
    clock: Clock,
}

impl Pipedrive {
    pub(super) fn new(
        settings: Settings,
        wanted: crm::Wanted,
        transport: Arc<dyn Transport>,
        _keeper: Arc<dyn Keeper>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let Settings { base_url, auth } = settings;
        Self {
            upstream: Upstream::new("pipedrive", transport, clock.clone(), dice, limits::pacing()),
            tokens: auth.tokens(),
            base: base_url,
            wanted: Wanted::new(wanted.fields),
            definitions: definitions::Definitions::default(),
            organizations: organizations::Read::default(),
            company: OnceCell::new(),
            began_anew: AtomicBool::new(false),
            clock,
        }
    }

    /// Sends a request that reads.
    async fn send(&self, request: Request) -> Result<Response, Trouble> {
        let call = |token: &_| Call::read(auth::signed(request.clone(), token), limits::judge);
        self.upstream.authorized(&self.tokens, call).await
    }
}

impl ContactSource for Pipedrive {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        async { Ok(Account { id: self.company().await?.to_owned() }) }.boxed()
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        self.settled().boxed()
    }

    fn changes(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        self.window(window, resume).boxed()
    }

    fn everyone(&self, detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        self.list(detail, resume).boxed()
    }

    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>> {
        async move { self.by_ids(&ids).await }.boxed()
    }

    fn overlap(&self) -> Duration {
        OVERLAP
    }

    fn requests(&self) -> u64 {
        self.upstream.requests()
    }

    fn server_now(&self) -> Option<Timestamp> {
        self.upstream.server_now()
    }
}

fn no_such_field(field: &str) -> Trouble {
    Trouble::Forbidden(format!(
        "the map reads {field}, which Pipedrive's persons do not have, or not visibly to the token's user (correct the map)"
    ))
}
