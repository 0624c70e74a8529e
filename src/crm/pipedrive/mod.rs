//! Pipedrive as a source of people: its persons, over API v2. It knows no mapping, no ledger and no other CRM.
//!
//! A mapping rule reads `name` (the master), `first_name`, `last_name`, `job_title`; `email` and `phone` (the primary
//! value that is not blank), `emails` and `phones` (all of them); `labels` (as people read them, a list); `org.name`,
//! `org.country` (a display name, not a code) and other fields of the organization as `org.NAME`; custom fields as
//! `custom_fields.KEY` with the 40-character key, or by a name that only one field has (`org.custom_fields.KEY`): options
//! by their labels, money, times, ranges and addresses as their value, with a part after a dot.
//!
//! Where things are. What changed: `changes` (a window), and `touched` (the persons of organizations that did). Everyone:
//! `everyone` (a backfill, a sweep). By id: `records`, made of rows by `persons`, with `definitions` (which fields there
//! are, and what options are called) and `organizations`. What the map reads: `wanted`, and `custom` (which field a name
//! means). Before all: `inspection`. Back: `writing`. `webhook` knows Pipedrive's calls. How: `listing` (pages), each at
//! its `place`, `single` (one by its id), `auth`, `limits` (and what is `affordable`), `company`, `wire` (its JSON).

mod affordable;
mod auth;
mod changes;
mod company;
mod custom;
mod definitions;
mod everyone;
mod inspection;
mod limits;
mod listing;
mod organizations;
mod persons;
mod place;
mod records;
#[cfg(test)]
mod rig;
mod single;
mod touched;
mod wanted;
pub mod webhook;
mod wire;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm;
use crate::crm::budget::{Budget, Shares};
use crate::crm::pipedrive::auth::Door;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::finding::Finding;
use crate::domain::record::{Account, Page, Record, Resume, Window};
use crate::domain::spending::{Purse, Purses, Spending};
use crate::http::client::{Call, Upstream};
use crate::http::pacer::PacerSettings;
use crate::http::refresh::Keeper;
use crate::http::token::{Token, Tokens};
use crate::http::transport::{Request, Response};
use crate::sync::source::{Confirmed, ContactSource, Detail, PropstreetIdField, Trail};

pub use crate::crm::pipedrive::auth::Auth;

/// Ids one request may name.
const IDS: usize = 100;
/// How late a commit may show is not documented; what shows later than this is found by the sweep.
const OVERLAP: Duration = Duration::from_secs(10 * 60);
/// Every sixth poll of the usual ten minutes, and not the seventh when one comes a little early.
const TRAIL: Trail = Trail { behind: Duration::ZERO, every: Duration::from_secs(55 * 60) };

/// The longest that a login under way holds up a process that shall end.
const FAREWELL: Duration = Duration::from_secs(10);

/// Where Pipedrive is and how to log in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://COMPANY.pipedrive.com`.
    pub base_url: Url,
    /// Whether that is only where to begin: a login that names the company's own address wins.
    pub follows_login: bool,
    /// How to log in.
    pub auth: Auth,
    /// The custom field that gets Propstreet's ids, by its key or its name.
    pub write_back: Option<String>,
    /// The share of the company's daily tokens that this source may use, in percent.
    pub budget_share: u32,
    /// The share that a backfill may use besides; `None` has it within the other.
    pub backfill_share: Option<u32>,
    /// How often changes are asked for on the densest day.
    pub polls_a_day: u32,
}

impl Settings {
    /// With everything else at its default.
    #[must_use]
    pub fn new(base_url: Url, auth: Auth) -> Self {
        Self {
            base_url,
            follows_login: false,
            auth,
            budget_share: 20,
            backfill_share: None,
            polls_a_day: 144,
            write_back: None,
        }
    }

    /// Where logins are made, if not where the API is.
    pub(super) fn login_url(&self) -> Option<&Url> {
        match &self.auth {
            Auth::ApiToken { .. } => None,
            Auth::OauthRefresh { oauth_url, .. } => Some(oauth_url),
        }
    }
}

/// One company.
pub(super) struct Pipedrive {
    upstream: Upstream,
    /// Another host, with limits of its own.
    logins: Upstream,
    tokens: Tokens,
    renews: bool,
    refusals: limits::Refusals,
    budget: Arc<Budget>,
    day: affordable::Day,
    base: Url,
    wanted: wanted::Wanted,
    write_back: Option<String>,
    definitions: definitions::Definitions,
    organizations: organizations::Read,
    /// The company the token belongs to, for as long as it is the same token.
    company: OnceCell<String>,
    refused: listing::Refused,
    clock: Clock,
}

impl Pipedrive {
    pub(super) fn new(
        settings: Settings,
        wanted: crm::Wanted,
        ways: crm::Ways,
        keeper: Arc<dyn Keeper>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let Settings { base_url, follows_login: follows, auth, budget_share, backfill_share, polls_a_day, write_back } =
            settings;
        let wanted = wanted::Wanted::new(wanted);
        let day = affordable::Day::new(polls_a_day, &wanted, write_back.is_some());
        let shares = Shares { everyday: budget_share, backfill: backfill_share, kept: day.tokens() };
        let budget = Arc::new(Budget::new(limits::COMPANY, shares));
        let logins = Upstream::new("pipedrive", ways.login, clock.clone(), dice.clone(), PacerSettings::default());
        let (renews, upstream) = (auth.renews(), logins.clone());
        Self {
            upstream: Upstream::new("pipedrive", ways.api, clock.clone(), dice, limits::pacing(&budget)),
            tokens: auth.tokens(Door { upstream, keeper, clock: clock.clone(), follows }),
            logins,
            renews,
            refusals: limits::Refusals::default(),
            budget,
            day,
            base: base_url,
            wanted,
            write_back,
            definitions: definitions::Definitions::default(),
            organizations: organizations::Read::default(),
            company: OnceCell::new(),
            refused: listing::Refused::default(),
            clock,
        }
    }

    /// Sends a request that reads. After everything was refused, one that costs little goes first.
    async fn send(&self, request: Request) -> Result<Response, Trouble> {
        if self.refusals.stopped() {
            let me = self.authorized(self.who()).await?;
            if !me.status().is_success() {
                return Err(wire::trouble(&me));
            }
        }
        self.authorized(request).await
    }

    async fn authorized(&self, request: Request) -> Result<Response, Trouble> {
        self.upstream.authorized(&self.tokens, |token| self.call(&request, token)).await
    }

    /// The call that a request is under a token, at what it costs; it may be repeated.
    fn call(&self, request: &Request, token: &Token) -> Call {
        let cost = limits::cost(request);
        let judge = self.refusals.judging(cost.units, self.renews);
        Call::read(auth::signed(request.clone(), token, self.renews), judge).costing(cost)
    }
}

impl ContactSource for Pipedrive {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        async { Ok(Account { id: self.company().await?.to_owned() }) }.boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, Trouble>> {
        self.look().boxed()
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        self.settled().boxed()
    }

    fn changes(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        self.window(window, resume).boxed()
    }

    fn everyone(&self, detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        let purse = match detail {
            Detail::Records => Purse::Backfill,
            Detail::Stamps => Purse::Leisure,
        };
        limits::paid_from(purse, self.list(detail, resume)).boxed()
    }

    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>> {
        async move { self.by_ids(&ids).await }.boxed()
    }

    fn confirm_gone(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Confirmed, Trouble>> {
        async move { self.confirm(&ids).await }.boxed()
    }

    fn tells_merges(&self) -> bool {
        false
    }

    fn overlap(&self) -> Duration {
        OVERLAP
    }

    fn trail(&self) -> Option<Trail> {
        (!self.wanted.organization.is_empty()).then_some(TRAIL)
    }

    fn trailing(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        async move { self.touched(window, resume.as_ref()).await }.boxed()
    }

    fn requests(&self) -> u64 {
        self.upstream.requests() + self.logins.requests()
    }

    fn spending(&self) -> Purses<u64> {
        self.budget.spent()
    }

    fn spent(&self, spending: Spending) {
        self.budget.used(spending);
    }

    fn daily_limit(&self) -> Option<u64> {
        self.budget.a_day()
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        async { drop(tokio::time::timeout(FAREWELL, self.tokens.settled()).await) }.boxed()
    }

    fn server_now(&self) -> Option<Timestamp> {
        self.upstream.server_now()
    }

    fn field(&self) -> Option<&dyn PropstreetIdField> {
        self.write_back.as_ref().map(|_| self as &dyn PropstreetIdField)
    }
}
