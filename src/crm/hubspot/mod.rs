//! HubSpot as a source of people: its contacts, found by search and read by id. It knows no mapping, no ledger and no
//! other CRM.
//!
//! A mapping rule reads a contact's properties by internal name (`firstname`, `lastname`, `email`, `mobilephone`,
//! `phone`, `jobtitle`, `lifecyclestage`, custom ones) and those of its primary company as `company.NAME`
//! (`company.name`, `company.domain`, `company.country`). Values are text or null; several choices come as `a;b`. A
//! property that was renamed or archived is absent, never null.
//!
//! Where things are. What changed: `changes` (a window, first of contacts and then of the people of companies that were
//! `touched`), by `search`. Everyone: `everyone` (a backfill, a sweep with its recycle bin). Both stand at a `place`. By id:
//! `records`, with `companies` and the `associations` that lead to them. What there is to read: `definitions`, and whether
//! the map fits: `inspection`. Propstreet's id goes back by `writing`, and `webhook` knows HubSpot's calls. How: `auth`,
//! `limits`, `portal`, `wire` (its JSON), `refusal` (its words for no).

mod associations;
mod auth;
mod changes;
mod companies;
mod definitions;
mod everyone;
mod inspection;
mod limits;
mod place;
mod portal;
mod records;
mod refusal;
#[cfg(test)]
mod rig;
mod search;
mod touched;
pub mod webhook;
mod wire;
mod writing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm;
use crate::crm::budget::{Budget, Shares};
use crate::crm::hubspot::auth::Door;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::finding::Finding;
use crate::domain::record::{Account, Page, Record, Resume, Window};
use crate::domain::spending::Spending;
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::refresh::Keeper;
use crate::http::token::Tokens;
use crate::http::transport::{Request, Response, Transport};
use crate::http::verdict::Judge;
use crate::sync::source::{ContactSource, Detail, PropstreetIdField, Trail};

pub use crate::crm::hubspot::auth::Auth;

/// Dated paths; v1 to v4 lose support in 2027.
/// <https://developers.hubspot.com/docs/developer-tooling/platform/versioning>
const VERSION: &str = "2026-03";

/// Objects one batch read, and one page of the list, may hold.
const BATCH: usize = 100;

/// The search index is late without a documented bound; what shows later than this is found by the trail, and what shows
/// later still by the sweep, which reads the list and not the index.
const OVERLAP: Duration = Duration::from_secs(15 * 60);
const MARGIN: Duration = Duration::from_secs(10);

/// The longest that a login under way holds up a process that shall end.
const FAREWELL: Duration = Duration::from_secs(10);

/// What the overlap misses is read again an hour behind, as others who read HubSpot came to do.
const TRAIL: Trail = Trail { behind: Duration::from_secs(3600), every: Duration::from_secs(3600) };

/// Where HubSpot is and how to log in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://api.hubapi.com`.
    pub base_url: Url,
    /// How to log in.
    pub auth: Auth,
    /// The share of the portal's daily requests that this source may use, in percent.
    pub budget_share: u32,
    /// The property of contacts that gets Propstreet's id; `None` writes nothing.
    pub write_back: Option<String>,
}

impl Settings {
    /// With everything else at its default.
    #[must_use]
    pub fn new(base_url: Url, auth: Auth) -> Self {
        Self { base_url, auth, budget_share: 20, write_back: None }
    }
}

/// One portal.
pub(super) struct HubSpot {
    upstream: Upstream,
    tokens: Tokens,
    base: Url,
    wanted: Wanted,
    write_back: Option<String>,
    definitions: definitions::Definitions,
    search_room: search::SearchRoom,
    /// The portal the token belongs to, for as long as it is the same token.
    portal: OnceCell<String>,
    zone: limits::Zone,
    judge: Judge,
    budget: Arc<Budget>,
    clock: Clock,
    dice: Dice,
}

/// The properties the mapping reads.
struct Wanted {
    /// Of the contact.
    contact: Vec<String>,
    /// Of its primary company, without `company.`.
    company: Vec<String>,
    /// What a request for contacts names: the mapping's, and what the adapter needs itself.
    sent: Vec<String>,
    /// Those among them, as the mapping names them, that the portal need not have.
    optional: BTreeSet<String>,
}

impl Wanted {
    fn new(wanted: crm::Wanted) -> Self {
        let (company, contact): (Vec<_>, Vec<_>) =
            wanted.fields.into_iter().partition(|field| field.starts_with("company."));
        let company = company.iter().map(|field| field["company.".len()..].to_owned()).collect();
        let own = ["hs_object_id", "lastmodifieddate", "hs_merged_object_ids"].map(str::to_owned);
        let sent: BTreeSet<String> = contact.iter().cloned().chain(own).collect();
        Self { contact, company, sent: sent.into_iter().collect(), optional: wanted.optional }
    }

    /// Those of one kind of object.
    fn of(&self, objects: &str) -> &[String] {
        if objects == "companies" { &self.company } else { &self.contact }
    }

    /// Whether the mapping can do without this property.
    fn is_optional(&self, objects: &str, name: &str) -> bool {
        self.optional.contains(&as_mapped(objects, name))
    }
}

/// A property as the mapping names it.
fn as_mapped(objects: &str, name: &str) -> String {
    if objects == "companies" { format!("company.{name}") } else { name.to_owned() }
}

impl HubSpot {
    pub(super) fn new(
        settings: Settings,
        wanted: crm::Wanted,
        transport: Arc<dyn Transport>,
        keeper: Arc<dyn Keeper>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let Settings { base_url, auth, budget_share, write_back } = settings;
        let budget = Arc::new(Budget::new(limits::PORTAL, Shares { everyday: budget_share, backfill: None, kept: 0 }));
        let upstream = Upstream::new("hubspot", transport, clock.clone(), dice.clone(), limits::pacing(&budget));
        let zone = limits::Zone::default();
        let judge = limits::judging(zone.clone(), auth.renews());
        let tokens = auth.tokens(Door {
            base: base_url.clone(),
            path: format!("/oauth/{VERSION}/token"),
            upstream: upstream.clone(),
            judge: judge.clone(),
            keeper,
            clock: clock.clone(),
        });
        Self {
            upstream,
            tokens,
            base: base_url,
            zone,
            judge,
            budget,
            wanted: Wanted::new(wanted),
            write_back,
            definitions: definitions::Definitions::default(),
            search_room: search::SearchRoom::new(clock.clone()),
            portal: OnceCell::new(),
            clock,
            dice,
        }
    }

    /// Sends a request that reads, as most do, also by POST.
    async fn send(&self, request: Request) -> Result<Response, Trouble> {
        self.send_judged(request, &self.judge).await
    }

    async fn send_judged(&self, request: Request, judge: &Judge) -> Result<Response, Trouble> {
        let call = |token: &_| Call::read(auth::signed(request.clone(), token), judge.clone());
        self.upstream.authorized(&self.tokens, call).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Trouble> {
        let response = self.send(request).await?;
        if response.status().is_success() { body::json(&response) } else { Err(wire::trouble(&response)) }
    }
}

impl ContactSource for HubSpot {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        async { Ok(Account { id: self.portal().await?.to_owned() }) }.boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, Trouble>> {
        self.look().boxed()
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        self.settled().boxed()
    }

    fn changes(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        async move { self.window(window, resume.as_ref()).await }.boxed()
    }

    fn everyone(&self, detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        async move { self.list(detail, resume.as_ref()).await }.boxed()
    }

    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>> {
        async move { self.records(&ids).await }.boxed()
    }

    fn overlap(&self) -> Duration {
        OVERLAP
    }

    fn trail(&self) -> Option<Trail> {
        Some(TRAIL)
    }

    fn requests(&self) -> u64 {
        self.upstream.requests()
    }

    fn server_now(&self) -> Option<Timestamp> {
        self.upstream.server_now()
    }

    fn field(&self) -> Option<&dyn PropstreetIdField> {
        self.write_back.is_some().then_some(self)
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        async { drop(tokio::time::timeout(FAREWELL, self.tokens.settled()).await) }.boxed()
    }

    fn spent(&self, spending: Spending) {
        self.budget.used(spending);
    }

    fn daily_limit(&self) -> Option<u64> {
        self.budget.a_day()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::hubspot::rig::{contacts, open, texts};
    use crate::crm::script::{answer, undated, window, with};

    #[tokio::test(start_paused = true)]
    async fn the_portal_is_the_account_and_a_missing_scope_says_so() {
        let (script, hubspot) = open(&[], [answer(200, json!({"portalId": 1234, "timeZone": "Europe/Stockholm"}))]);
        assert_eq!(hubspot.account().await.unwrap().id, "1234");
        assert_eq!(hubspot.bound().await.unwrap().to_rfc3339(), "2026-11-02T09:59:50+00:00");
        let asked = script.asked();
        assert_eq!(asked[0].url.as_str(), "https://api.hubapi.com/account-info/2026-03/details");
        assert_eq!(asked[0].headers["authorization"], "Bearer pat-eu1-x");
        let refused = json!({"category": "MISSING_SCOPES", "context": {"requiredGranularScopes": ["oauth"]}});
        let (_, hubspot) = open(&[], [answer(403, refused)]);
        let trouble = hubspot.account().await.unwrap_err();
        assert_eq!(trouble.code(), "forbidden");
        assert!(trouble.to_string().contains("oauth"), "{trouble}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_bound_is_made_of_our_own_clock() {
        let (_, hubspot) = open(&[], [undated(answer(200, json!({"portalId": 1234})))]);
        assert_eq!(hubspot.bound().await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_property_nobody_defined_is_named_and_one_that_was_not_sent_is_absent() {
        let definitions =
            || answer(200, json!({"results": [{"name": "email"}, {"name": "jobtitle", "type": "string"}]}));
        let sent = || answer(200, json!({"results": contacts(&["1"])}));
        let answers = [sent(), definitions(), sent(), sent(), definitions()];
        let (script, hubspot) = open(&["email", "jobtitle"], answers);
        for wait in [0, 1, 3600] {
            hubspot.clock.sleep(Duration::from_secs(wait)).await;
            let records = hubspot.fetch(texts(&["1"])).await.unwrap();
            assert_eq!(records[0].fields.keys().collect::<Vec<_>>(), ["email"]);
        }
        assert_eq!(script.asked()[1].url.path(), "/crm/properties/2026-03/contacts");
        let (_, hubspot) =
            open(&["email", "jobtitel"], [sent(), definitions(), answer(200, json!({"results": []})), sent()]);
        for trouble in [
            hubspot.fetch(texts(&["1"])).await.unwrap_err(),
            hubspot.everyone(Detail::Records, None).await.unwrap_err(),
        ] {
            assert_eq!(trouble.code(), "forbidden");
            assert!(trouble.to_string().contains("jobtitel"), "{trouble}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_costs_one_request_and_a_refused_token_is_a_credential() {
        let portal = answer(200, json!({"portalId": 1234}));
        let message = "The OAuth token used to make this call expired 20543 day(s) ago.";
        let refused = answer(401, json!({"category": "EXPIRED_AUTHENTICATION", "message": message}));
        let (_, hubspot) = open(&["email"], [portal, answer(200, json!({"total": 0, "results": []})), refused]);
        hubspot.account().await.unwrap();
        hubspot.bound().await.unwrap();
        assert_eq!(hubspot.account().await.unwrap().id, "1234", "asked for once, whatever the number of polls");
        assert_eq!(hubspot.changes(window(), None).await.unwrap(), Page::default());
        assert_eq!(hubspot.requests(), 2);
        let trouble = hubspot.changes(window(), None).await.unwrap_err();
        assert_eq!(trouble.code(), "credential");
        assert!(trouble.to_string().contains("no access token of HubSpot's"), "{trouble}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_used_up_is_over_at_the_midnight_of_the_portal() {
        let portal = answer(200, json!({"portalId": 1234, "utcOffsetMilliseconds": 3_600_000}));
        let daily = || answer(429, json!({"policyName": "DAILY", "message": "You have reached your daily limit."}));
        let (script, hubspot) = open(&[], [portal, daily()]);
        hubspot.account().await.unwrap();
        for _ in 0..3 {
            let trouble = hubspot.everyone(Detail::Stamps, None).await.unwrap_err();
            let Trouble::NotSent { cause, retry_after: Some(wait) } = trouble else { panic!("{trouble}") };
            assert!(cause.ends_with("until 2026-11-02T23:00Z"), "{cause}");
            assert_eq!(wait.as_secs(), 13 * 3600);
        }
        assert_eq!(script.asked().len(), 2, "nobody asks before");
        let (_, hubspot) = open(&[], [daily()]);
        let told = hubspot.account().await.unwrap_err().to_string();
        assert!(told.ends_with("nothing is sent for 60 min, until 2026-11-02T11:00Z"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_keeps_to_its_share_of_the_portals_day() {
        let none = || answer(200, json!({"results": []}));
        let told = with(none(), "x-hubspot-ratelimit-daily", "1000");
        let (script, hubspot) = open(&[], [told, none()]);
        hubspot.spent(Spending::everyday(198));
        assert_eq!(hubspot.daily_limit(), None);
        for _ in 0..2 {
            hubspot.everyone(Detail::Records, None).await.unwrap();
        }
        assert_eq!(hubspot.daily_limit(), Some(1000), "and an answer without the header is no other word");
        let told = hubspot.everyone(Detail::Records, None).await.unwrap_err().to_string();
        assert!(told.contains("share of HubSpot's requests") && told.contains("the portal's 1000 is 200"), "{told}");
        assert_eq!(script.asked().len(), 2);
        // Under OAuth the header never comes.
        let (_, hubspot) = open(&[], (0..50).map(|_| none()));
        hubspot.spent(Spending::everyday(1_000_000));
        for _ in 0..50 {
            hubspot.everyone(Detail::Records, None).await.unwrap();
        }
    }
}
