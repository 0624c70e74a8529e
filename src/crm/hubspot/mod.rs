//! HubSpot as a source of people: its contacts, found by search and read by id. It knows no mapping, no ledger and no
//! other CRM.
//!
//! A mapping rule reads a contact's properties by internal name (`firstname`, `lastname`, `email`, `mobilephone`,
//! `phone`, `jobtitle`, `lifecyclestage`, custom ones) and those of its primary company as `company.NAME`
//! (`company.name`, `company.domain`, `company.country`). Values are text or null; several choices come as `a;b`. A
//! property that was renamed or archived is absent, never null.

mod auth;
mod changes;
mod companies;
mod definitions;
mod everyone;
mod limits;
mod portal;
mod records;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm::{self, request};
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Account, Page, Record, Resume, Window};
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::token::Tokens;
use crate::http::transport::{Request, Response, Transport};
use crate::sync::source::{ContactSource, Detail, Trail};

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
    definitions: definitions::Definitions,
    search_pace: changes::SearchPace,
    /// The portal the token belongs to, for as long as it is the same token.
    portal: OnceCell<String>,
    clock: Clock,
}

/// The properties the mapping reads.
struct Wanted {
    /// Of the contact.
    contact: Vec<String>,
    /// Of its primary company, without `company.`.
    company: Vec<String>,
    /// What a request for contacts names: the mapping's, and what the adapter needs itself.
    sent: Vec<String>,
}

impl Wanted {
    fn new(wanted: crm::Wanted) -> Self {
        let (company, contact): (Vec<_>, Vec<_>) =
            wanted.fields.into_iter().partition(|field| field.starts_with("company."));
        let company = company.iter().map(|field| field["company.".len()..].to_owned()).collect();
        let own = ["hs_object_id", "lastmodifieddate", "hs_merged_object_ids"].map(str::to_owned);
        let sent: BTreeSet<String> = contact.iter().cloned().chain(own).collect();
        Self { contact, company, sent: sent.into_iter().collect() }
    }
}

impl HubSpot {
    pub(super) fn new(
        settings: Settings,
        wanted: crm::Wanted,
        transport: Arc<dyn Transport>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let upstream = Upstream::new("hubspot", transport, clock.clone(), dice, limits::pacing());
        Self {
            upstream,
            tokens: settings.auth.tokens(),
            base: settings.base_url,
            wanted: Wanted::new(wanted),
            definitions: definitions::Definitions::default(),
            search_pace: changes::SearchPace::new(clock.clone()),
            portal: OnceCell::new(),
            clock,
        }
    }

    /// Sends a request, every one of which is a read, also by POST.
    async fn send(&self, request: Request) -> Result<Response, Trouble> {
        let call = |token: &_| Call::read(auth::signed(request.clone(), token), limits::judge);
        self.upstream.authorized(&self.tokens, call).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Trouble> {
        let response = self.send(request).await?;
        if response.status().is_success() { body::json(&response) } else { Err(wire::trouble(&response)) }
    }

    async fn window(&self, window: Window, resume: Option<Resume>) -> Result<Page, Trouble> {
        let after = changes::place(resume.as_ref())?;
        self.search_pace.turn().await;
        let path = format!("/crm/objects/{VERSION}/contacts/search");
        let body = changes::search(window, after);
        let found = self.ask(request::post_json(&self.base, &path, &body)).await?;
        changes::page(&found, after)
    }
}

impl ContactSource for HubSpot {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        async { Ok(Account { id: self.portal().await?.to_owned() }) }.boxed()
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
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::script::{Script, answer, undated, window};

    fn open(fields: &[&str], answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, HubSpot) {
        let script = Script::new(answers);
        let auth = Auth::Token { token: "pat-eu1-x".into() };
        let settings = Settings::new("https://api.hubapi.com".parse().unwrap(), auth);
        let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
        let fields = fields.iter().map(|&f| f.to_owned()).collect();
        let wanted = crm::Wanted { fields, ..crm::Wanted::default() };
        let hubspot = HubSpot::new(settings, wanted, Arc::clone(&script) as _, clock, Dice::seeded(1));
        (script, hubspot)
    }

    fn contact(id: &str) -> Value {
        let properties = json!({"email": format!("{id}@example.com"), "lastmodifieddate": "2026-11-02T09:30:00.500Z"});
        json!({"id": id, "properties": properties, "archived": false})
    }

    fn contacts(ids: &[&str]) -> Vec<Value> {
        ids.iter().map(|id| contact(id)).collect()
    }

    fn ids(records: &[Record]) -> Vec<&str> {
        records.iter().map(|r| r.id.as_str()).collect()
    }

    fn texts(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

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
    async fn a_window_is_walked_by_id_and_always_from_page_one() {
        let next = json!({"next": {"after": "200"}});
        let (script, hubspot) = open(
            &["email"],
            [
                answer(200, json!({"total": 3, "results": contacts(&["99", "100"]), "paging": next})),
                answer(200, json!({"total": 1, "results": contacts(&["101"]), "paging": next})),
                answer(200, json!({"total": 0, "results": []})),
            ],
        );
        let first = hubspot.changes(window(), None).await.unwrap();
        let second = hubspot.changes(window(), first.next).await.unwrap();
        let third = hubspot.changes(window(), second.next).await.unwrap();
        assert_eq!(third, Page::default());
        assert!(first.sightings.iter().all(|s| s.record.is_none()), "search finds ids; the truth is read by id");
        let asked = script.asked();
        let beyond: Vec<Value> =
            asked.iter().map(|a| a.json()["filterGroups"][0]["filters"][2]["value"].clone()).collect();
        assert_eq!(beyond, ["0", "100", "101"]);
        assert!(asked.iter().all(|a| a.json().get("after").is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn searches_wait_for_each_other_and_lists_do_not_wait() {
        let none = || answer(200, json!({"total": 0, "results": []}));
        let (_, hubspot) = open(&[], [none(), none(), none(), none()]);
        let began = hubspot.clock.instant();
        for _ in 0..3 {
            hubspot.changes(window(), None).await.unwrap();
        }
        hubspot.everyone(Detail::Stamps, None).await.unwrap();
        assert_eq!(began.elapsed().as_millis(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_the_recycle_bin_is_neither_sighted_nor_read() {
        let mut binned = contact("5");
        binned["archived"] = json!(true);
        let both = || answer(200, json!({"total": 2, "results": [contact("4"), binned.clone()]}));
        let (_, hubspot) = open(&["email"], [both(), both()]);
        let page = hubspot.changes(window(), None).await.unwrap();
        assert_eq!(page.sightings.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["4"]);
        assert_eq!(ids(&hubspot.fetch(texts(&["4", "5"])).await.unwrap()), ["4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_contact_that_a_batch_keeps_leaving_out_is_not_taken_for_gone() {
        let silent = || answer(200, json!({"results": []}));
        let (_, hubspot) = open(&["email"], [silent(), answer(200, json!({"id": "1"})), silent()]);
        assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap_err().code(), "answer_lost");
    }

    #[tokio::test(start_paused = true)]
    async fn no_bound_is_made_of_our_own_clock() {
        let (_, hubspot) = open(&[], [undated(answer(200, json!({"portalId": 1234})))]);
        assert_eq!(hubspot.bound().await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_outside_the_window_is_passed_on_with_its_own_stamp() {
        let mut late = contact("7");
        late["properties"]["lastmodifieddate"] = json!("2026-11-02T11:00:00Z");
        let (_, hubspot) = open(&["email"], [answer(200, json!({"total": 1, "results": [late]}))]);
        let page = hubspot.changes(window(), None).await.unwrap();
        assert_eq!(page.sightings[0].modified.unwrap().to_rfc3339(), "2026-11-02T11:00:00+00:00");
        assert_eq!(page.next, None);
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_is_listed_by_cursor_whatever_the_pages_hold() {
        let mut binned = contact("5");
        binned["archived"] = json!(true);
        let link = "https://api.hubspot.com/crm/objects/v3/contacts?limit=1";
        let (script, hubspot) = open(
            &["email"],
            [
                answer(200, json!({"results": [], "paging": {"next": {"after": "4", "link": link}}})),
                answer(200, json!({"results": [contact("4"), binned], "paging": {"next": {"after": "6"}}})),
                answer(200, json!({"results": [contact("6")]})),
            ],
        );
        let first = hubspot.everyone(Detail::Records, None).await.unwrap();
        let second = hubspot.everyone(Detail::Records, first.next).await.unwrap();
        assert_eq!(second.sightings.len(), 1, "who is in the recycle bin is not shown");
        let third = hubspot.everyone(Detail::Stamps, second.next).await.unwrap();
        assert_eq!((third.sightings[0].record.is_none(), third.next), (true, None));
        let asked = script.asked();
        assert!(asked.iter().all(|a| a.url.host_str() == Some("api.hubapi.com")));
        assert!(asked.iter().all(|a| a.query("limit").as_deref() == Some("100")));
        assert_eq!(asked[1].query("after").as_deref(), Some("4"));
        assert_eq!(
            asked[1].query("properties").as_deref(),
            Some("email,hs_merged_object_ids,hs_object_id,lastmodifieddate")
        );
        assert_eq!(asked[2].query("properties").as_deref(), Some("lastmodifieddate"));
        for (asked, next, expected) in [
            ("6", "6", Err("unexpected_answer")),
            ("100", "99", Err("unexpected_answer")),
            ("99", "100", Ok(())),
            ("x", "x", Err("unexpected_answer")),
        ] {
            let page = json!({"results": [contact("4")], "paging": {"next": {"after": next}}});
            let (_, hubspot) = open(&["email"], [answer(200, page)]);
            let page = hubspot.everyone(Detail::Stamps, Some(Resume(asked.into()))).await;
            assert_eq!(page.map(|_| ()).map_err(|t| t.code()), expected, "{asked} {next}");
        }
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
        let (_, hubspot) = open(&["email", "jobtitel"], [sent(), definitions(), sent(), definitions()]);
        for trouble in [
            hubspot.fetch(texts(&["1"])).await.unwrap_err(),
            hubspot.everyone(Detail::Records, None).await.unwrap_err(),
        ] {
            assert_eq!(trouble.code(), "forbidden");
            assert!(trouble.to_string().contains("jobtitel"), "{trouble}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn property_names_too_long_for_a_url_go_into_a_body() {
        let fields: Vec<String> = (0..300).map(|n| format!("a_property_with_a_long_name_{n}")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let mut whole = contact("4");
        whole["properties"] = fields.iter().map(|&name| (name.to_owned(), Value::Null)).collect();
        let answers = [answer(200, json!({"results": contacts(&["4"])})), answer(200, json!({"results": [whole]}))];
        let (script, hubspot) = open(&fields, answers);
        let page = hubspot.everyone(Detail::Records, None).await.unwrap();
        assert!(page.sightings[0].record.is_some());
        let asked = script.asked();
        assert!(asked[0].url.as_str().len() < everyone::URL_BUDGET);
        assert_eq!(asked[1].json()["properties"].as_array().unwrap().len(), 303, "no name is cut");
    }

    #[tokio::test(start_paused = true)]
    async fn a_207_brings_what_is_there_and_leaves_out_what_is_not() {
        let error = json!({"category": "OBJECT_NOT_FOUND", "context": {"ids": ["3"]}});
        let (script, hubspot) = open(
            &["email"],
            [answer(207, json!({"results": contacts(&["2", "1"]), "numErrors": 1, "errors": [error]}))],
        );
        let records = hubspot.fetch(texts(&["1", "2", "2", "3", "x"])).await.unwrap();
        assert_eq!(ids(&records), ["1", "2"]);
        assert_eq!(script.asked()[0].json()["inputs"], json!([{"id": "1"}, {"id": "2"}, {"id": "3"}]));
    }

    #[tokio::test(start_paused = true)]
    async fn batches_hold_a_hundred_ids() {
        let numbers: Vec<String> = (1_000..1_150).map(|n: u32| n.to_string()).collect();
        let all: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let (script, hubspot) = open(
            &["email"],
            [
                answer(200, json!({"results": contacts(&all[..100])})),
                answer(200, json!({"results": contacts(&all[100..])})),
            ],
        );
        assert_eq!(hubspot.fetch(numbers.clone()).await.unwrap().len(), 150);
        assert_eq!(script.asked()[0].json()["inputs"].as_array().unwrap().len(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_404_of_something_in_between_is_nobodys_absence() {
        for (body, known) in [("<html>", false), ("", false), (r#"{"category":"OBJECT_NOT_FOUND"}"#, true)] {
            let (_, hubspot) = open(&["email"], [answer(200, json!({"results": []})), answer(404, body)]);
            let fetched = hubspot.fetch(texts(&["1"])).await;
            assert_eq!(fetched.is_ok_and(|records| records.is_empty()), known, "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_merged_id_brings_its_survivor() {
        // The batch shows the survivors of 5 and 1 under new ids, one of which names its loser, and is silent about 2
        // and 3.
        let mut naming = contact("89");
        naming["properties"]["hs_merged_object_ids"] = json!("5;6");
        let (script, hubspot) = open(
            &["email"],
            [
                answer(200, json!({"results": [naming, contact("90")]})),
                answer(200, json!({"id": "90"})),
                answer(200, json!({"id": "91"})),
                answer(404, json!({"category": "OBJECT_NOT_FOUND"})),
                answer(200, json!({"results": contacts(&["91"])})),
            ],
        );
        let records = hubspot.fetch(texts(&["1", "2", "3", "5"])).await.unwrap();
        assert_eq!(ids(&records), ["89", "90", "91"]);
        let losers: Vec<&[String]> = records.iter().map(|r| r.supersedes.as_slice()).collect();
        assert_eq!(losers, [&["5", "6"][..], &["1"], &["2"]]);
        assert_eq!(script.asked()[1].url.path(), "/crm/objects/2026-03/contacts/1");
    }

    #[tokio::test(start_paused = true)]
    async fn companies_are_attached_by_id_and_only_if_asked_for() {
        let primary =
            |id: u64| json!([{"toObjectId": id, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 1}]}]);
        let other = json!([{"toObjectId": 8, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 279}]}]);
        let none = json!({"category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
            "context": {"fromObjectId": ["3"]}});
        let (script, hubspot) = open(
            &["email", "company.name"],
            [
                answer(200, json!({"results": contacts(&["1", "2", "3", "4"])})),
                answer(
                    207,
                    json!({"errors": [none], "results": [
                    {"from": {"id": "2"}, "to": other, "paging": {"next": {"after": "p2"}}},
                    {"from": {"id": "4"}, "to": primary(10)},
                    {"from": {"id": "1"}, "to": primary(9)}]}),
                ),
                answer(200, json!({"results": [{"from": {"id": "2"}, "to": primary(9)}]})),
                answer(
                    207,
                    json!({"results": [{"id": "9", "properties": {"name": "Acme"}}],
                    "errors": [{"category": "OBJECT_NOT_FOUND", "context": {"ids": ["10"]}}]}),
                ),
            ],
        );
        let records = hubspot.fetch(texts(&["1", "2", "3", "4"])).await.unwrap();
        let companies: Vec<Option<&Value>> = records.iter().map(|r| r.fields.get("company.name")).collect();
        assert_eq!(companies, [Some(&json!("Acme")), Some(&json!("Acme")), Some(&Value::Null), None]);
        let asked = script.asked();
        assert_eq!(asked[2].json()["inputs"], json!([{"id": "2", "after": "p2"}]));
        assert_eq!(asked[3].json(), json!({"inputs": [{"id": "10"}, {"id": "9"}], "properties": ["name"]}));
    }

    #[tokio::test(start_paused = true)]
    async fn one_dead_id_does_not_spoil_the_associations_of_others() {
        let linked = |id: &str| {
            let kind = json!([{"category": "HUBSPOT_DEFINED", "typeId": 1}]);
            answer(200, json!({"results": [{"from": {"id": id}, "to": [{"toObjectId": 9, "associationTypes": kind}]}]}))
        };
        let (_, hubspot) = open(
            &["company.name"],
            [
                answer(200, json!({"results": contacts(&["1", "2"])})),
                answer(400, json!({"category": "VALIDATION_ERROR"})),
                answer(400, json!({"category": "VALIDATION_ERROR"})),
                linked("1"),
                answer(200, json!({"results": [{"id": 9, "properties": {"name": "Acme"}}]})),
            ],
        );
        let records = hubspot.fetch(texts(&["1", "2"])).await.unwrap();
        assert_eq!(records[0].fields.get("company.name"), Some(&json!("Acme")));
        assert_eq!(records[1].fields.get("company.name"), None, "not told is not null");
    }

    #[tokio::test(start_paused = true)]
    async fn an_association_read_that_failed_in_part_is_not_taken() {
        let none = |id: &str| json!({"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND", "context": {"fromObjectId": [id]}});
        for (body, code) in [
            (json!({"results": [], "errors": [{"category": "INTERNAL_ERROR"}]}), "answer_lost"),
            (json!({"results": []}), "answer_lost"),
            (json!({"results": [], "errors": [none("2")]}), "answer_lost"),
        ] {
            let (_, hubspot) =
                open(&["company.name"], [answer(200, json!({"results": contacts(&["1"])})), answer(207, body)]);
            assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap_err().code(), code);
        }
        let again = || answer(200, json!({"results": [{"from": {"id": "1"}, "paging": {"next": {"after": "p"}}}]}));
        let (_, hubspot) =
            open(&["company.name"], [answer(200, json!({"results": contacts(&["1"])})), again(), again()]);
        assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap_err().code(), "unexpected_answer");
        let primary = json!([{"toObjectId": 9, "associationTypes": [{"typeId": 1}]}]);
        let (_, hubspot) = open(
            &["company.name"],
            [
                answer(200, json!({"results": contacts(&["1"])})),
                answer(200, json!({"results": [{"from": {"id": "1"}, "to": primary}]})),
                answer(207, json!({"results": [], "errors": [{"category": "INTERNAL_ERROR"}]})),
            ],
        );
        assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap_err().code(), "answer_lost", "nor a company");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_costs_one_request_and_a_refused_token_is_a_credential() {
        let portal = answer(200, json!({"portalId": 1234}));
        let refused = answer(401, json!({"category": "EXPIRED_AUTHENTICATION"}));
        let (_, hubspot) = open(&["company.name"], [portal, answer(200, json!({"total": 0, "results": []})), refused]);
        hubspot.account().await.unwrap();
        hubspot.bound().await.unwrap();
        assert_eq!(hubspot.account().await.unwrap().id, "1234", "asked for once, whatever the number of polls");
        assert_eq!(hubspot.changes(window(), None).await.unwrap(), Page::default());
        assert_eq!(hubspot.requests(), 2);
        assert_eq!(hubspot.changes(window(), None).await.unwrap_err().code(), "credential");
    }
}
