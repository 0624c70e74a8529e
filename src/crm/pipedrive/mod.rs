//! Pipedrive as a source of people: its persons, over API v2. It knows no mapping, no ledger and no other CRM.
//!
//! A mapping rule reads `name` (the master), `first_name`, `last_name`, `job_title`; `email` and `phone` (the primary
//! value that is not blank), `emails` and `phones` (all of them); `labels` (as people read them, a list); `org.name`,
//! `org.country` (a display name, not a code) and other fields of the organization as `org.NAME`; custom fields as
//! `custom_fields.KEY` with the 40-character key (`org.custom_fields.KEY`): money, times, ranges and addresses as their
//! value, a person's options by their labels.

mod auth;
mod cache;
mod changes;
mod lookups;
mod persons;
mod wire;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::http::StatusCode;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm::pipedrive::cache::{Freshness, Lookups};
use crate::crm::pipedrive::changes::Query;
use crate::crm::pipedrive::persons::Wanted;
use crate::crm::pipedrive::wire::Row;
use crate::crm::request;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Account, Page, Record, Resume, Sighting, Window};
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::pacer::{Budget, PacerSettings};
use crate::http::token::Tokens;
use crate::http::transport::{Response, Transport};
use crate::http::verdict::{self, Verdict};
use crate::sync::source::{ContactSource, Detail};

pub use crate::crm::pipedrive::auth::Auth;

/// API v1 for persons is out of support since August 2026. <https://developers.pipedrive.com/changelog>
const PERSONS: &str = "/api/v2/persons";
/// Has no v2 twin, and answers on every host only without `/api`.
const ME: &str = "/v1/users/me";

/// Ids one request may name.
const IDS: usize = 100;

/// How late a commit may show is not documented; what shows later than this is found by the sweep.
const OVERLAP: Duration = Duration::from_secs(10 * 60);
const MARGIN: Duration = Duration::from_secs(60);

/// The pause after a refusal of everything: an exhausted day, or a block by Cloudflare, which calls made meanwhile
/// prolong.
const FULL_STOP: Duration = Duration::from_secs(30 * 60);

/// Where Pipedrive is and how to log in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `https://COMPANY.pipedrive.com`.
    pub base_url: Url,
    /// How to log in.
    pub auth: Auth,
}

/// One company.
pub(super) struct Pipedrive {
    upstream: Upstream,
    tokens: Tokens,
    base: Url,
    wanted: Wanted,
    lookups: Lookups,
    /// The company the token belongs to, for as long as it is the same token.
    company: OnceCell<String>,
    /// The last cursor was refused, and its walk began anew.
    began_anew: AtomicBool,
    clock: Clock,
}

impl Pipedrive {
    pub(super) fn new(
        settings: Settings,
        fields: BTreeSet<String>,
        transport: Arc<dyn Transport>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let upstream = Upstream::new("pipedrive", transport, clock.clone(), dice, pacing());
        Self {
            upstream,
            tokens: settings.auth.tokens(),
            base: settings.base_url,
            wanted: Wanted::new(fields),
            lookups: Lookups::default(),
            company: OnceCell::new(),
            began_anew: AtomicBool::new(false),
            clock,
        }
    }

    async fn get(&self, path: &str, query: &Query, cursor: Option<&str>) -> Result<Response, Trouble> {
        let mut pairs: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
        pairs.extend(cursor.map(|cursor| ("cursor", cursor)));
        let request = request::get(&self.base, path, &pairs);
        let call = |token: &_| Call::read(auth::signed(request.clone(), token), judge);
        self.upstream.authorized(&self.tokens, call).await
    }

    /// A whole list, to its last page.
    async fn all(&self, path: &str, query: Query) -> Result<Vec<Row>, Trouble> {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        let mut cursor: Option<String> = None;
        loop {
            let (page, next) = open(&self.get(path, &query, cursor.as_deref()).await?)?;
            rows.extend(page);
            match next {
                None => return Ok(rows),
                Some(next) if !seen.insert(next.clone()) => {
                    return Err(Trouble::Protocol("Pipedrive sends the same page over and over".into()));
                }
                next => cursor = next,
            }
        }
    }

    /// One page of a walk over persons. How long a cursor lives is not documented: one that is refused starts the walk
    /// anew, and what is known already costs nothing the second time. Refused twice in a row, it is not its age.
    async fn walk(&self, query: &Query, resume: Option<Resume>) -> Result<(Vec<Row>, Option<Resume>), Trouble> {
        let mut cursor = resume.map(|resume| resume.0);
        let mut response = self.get(PERSONS, query, cursor.as_deref()).await?;
        if cursor.is_some() {
            let refused = response.status() == StatusCode::BAD_REQUEST;
            if self.began_anew.swap(refused, Ordering::Relaxed) && refused {
                self.began_anew.store(false, Ordering::Relaxed);
            } else if refused {
                cursor = None;
                response = self.get(PERSONS, query, None).await?;
            }
        }
        let (rows, next) = open(&response)?;
        Ok((rows, changes::onward(cursor.as_deref(), next)?))
    }

    async fn window(&self, window: Window, resume: Option<Resume>) -> Result<Page, Trouble> {
        let (rows, next) = self.walk(&changes::changed(window, &self.wanted.sent), resume).await?;
        Ok(Page { sightings: self.sightings(rows, Freshness::Now).await?, next, ..Page::default() })
    }

    async fn list(&self, detail: Detail, resume: Option<Resume>) -> Result<Page, Trouble> {
        let (rows, next) = self.walk(&changes::everyone(&self.wanted.sent), resume).await?;
        // The list carries whole persons; only their organizations would cost requests.
        let sightings = if detail == Detail::Records || self.wanted.organization.is_empty() {
            self.sightings(rows, Freshness::Lately).await?
        } else {
            let stamp = |row: &Row| Ok(Sighting { id: wire::id(row)?, modified: wire::modified(row), record: None });
            rows.iter().filter(|row| !wire::is_deleted(row)).map(stamp).collect::<Result<_, Trouble>>()?
        };
        Ok(Page { sightings, next, ..Page::default() })
    }

    async fn sightings(&self, rows: Vec<Row>, freshness: Freshness) -> Result<Vec<Sighting>, Trouble> {
        let records = self.records(rows, freshness).await?;
        Ok(records.into_iter().map(|r| Sighting { id: r.id.clone(), modified: r.modified, record: Some(r) }).collect())
    }

    /// The records of these rows. A tombstone is nobody to deliver: who is gone is found by absence from a whole sweep.
    async fn records(&self, mut rows: Vec<Row>, freshness: Freshness) -> Result<Vec<Record>, Trouble> {
        rows.retain(|row| !wire::is_deleted(row));
        let options = self.options(&rows).await?;
        if let Some(key) = self.wanted.undefined(&rows, &options) {
            return Err(no_such_field(&format!("custom_fields.{key}")));
        }
        let organizations = self.organizations(&rows, freshness).await?;
        rows.iter().map(|row| self.wanted.record(row, &options, &organizations)).collect()
    }

    async fn by_ids(&self, ids: &[String]) -> Result<Vec<Record>, Trouble> {
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).filter(|id| wire::is_id(id)).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut rows = Vec::new();
        for chunk in ids.chunks(IDS) {
            rows.extend(self.all(PERSONS, changes::by_ids(chunk, &self.wanted.sent)).await?);
        }
        self.records(rows, Freshness::Now).await
    }

    async fn company(&self) -> Result<&str, Trouble> {
        if let Some(field) = self.wanted.unknown() {
            return Err(no_such_field(field));
        }
        self.company.get_or_try_init(|| self.read_company()).await.map(String::as_str)
    }

    async fn read_company(&self) -> Result<String, Trouble> {
        let response = self.get(ME, &Vec::new(), None).await?;
        if !response.status().is_success() {
            return Err(wire::trouble(&response));
        }
        let me: wire::Me = body::json(&response)?;
        me.company()
            .ok_or_else(|| Trouble::Protocol("Pipedrive does not say which company the token belongs to".into()))
    }
}

fn no_such_field(field: &str) -> Trouble {
    Trouble::Forbidden(format!(
        "the map reads {field}, which Pipedrive's persons do not have, or not visibly to the token's user (correct the map)"
    ))
}

fn open(response: &Response) -> Result<(Vec<Row>, Option<String>), Trouble> {
    if !response.status().is_success() {
        return Err(wire::trouble(response));
    }
    body::json::<wire::List>(response)?.open()
}

/// A burst counts two seconds. Until a header tells more, half of the smallest plan's twenty.
fn pacing() -> PacerSettings {
    PacerSettings {
        assumed_per_minute: Some(300),
        window: Duration::from_secs(2),
        in_flight: 4,
        budget: |headers| {
            let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
            let limit = number("x-ratelimit-limit")?;
            let remaining = number("x-ratelimit-remaining")?;
            // Seconds; a proxy was seen to send an epoch.
            let reset = number("x-ratelimit-reset").map(|seconds| Duration::from_secs(seconds.min(10).into()));
            Some(Budget { limit, remaining, reset })
        },
        ..PacerSettings::default()
    }
}

/// 429 is a burst or an exhausted day, told apart by what the headers say is left; a 403 in HTML is Cloudflare's block.
/// <https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting>
fn judge(response: &Response) -> Verdict {
    let left = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let is_json = body::looks_like_json(response);
    match response.status().as_u16() {
        429 if left("x-daily-ratelimit-token-remaining") == Some(0) || left("x-ratelimit-remaining") > Some(0) => {
            Verdict::Exhausted { until: FULL_STOP }
        }
        429 => {
            let seconds = left("retry-after").or_else(|| left("x-ratelimit-reset")).unwrap_or(2);
            Verdict::Retry { after: Some(Duration::from_secs(seconds.clamp(1, 10))) }
        }
        403 if !is_json => Verdict::Exhausted { until: FULL_STOP },
        // `null` and pages of a proxy come with 200 too.
        200 if !is_json => Verdict::Ambiguous,
        _ => verdict::general(response),
    }
}

impl ContactSource for Pipedrive {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        async { Ok(Account { id: self.company().await?.to_owned() }) }.boxed()
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        async {
            if self.upstream.server_now().is_none() {
                self.company().await?;
            }
            let now = self.upstream.server_now();
            let now = now.ok_or_else(|| Trouble::Protocol("Pipedrive's answers carry no Date".into()))?;
            Ok(changes::floor(now - MARGIN))
        }
        .boxed()
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::script::{Asked, Script, answer, undated, window, with};

    fn open(fields: &[&str], answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Pipedrive) {
        let script = Script::new(answers);
        let auth = Auth::ApiToken { token: "0123456789abcdef".into() };
        let settings = Settings { base_url: "https://acme.pipedrive.com/".parse().unwrap(), auth };
        let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
        let fields = fields.iter().map(|&f| f.to_owned()).collect();
        let pipedrive = Pipedrive::new(settings, fields, Arc::clone(&script) as _, clock, Dice::seeded(1));
        (script, pipedrive)
    }

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn list(rows: Vec<Value>, cursor: Option<&str>) -> Response {
        answer(200, json!({"success": true, "data": rows, "additional_data": {"next_cursor": cursor}}))
    }

    fn person(id: u64) -> Value {
        json!({"id": id, "name": "Ada", "update_time": "2026-11-02T09:30:00Z", "org_id": 12, "label_ids": [2], "is_deleted": false})
    }

    fn paths(asked: &[Asked]) -> Vec<&str> {
        asked.iter().map(|a| a.url.path()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_company_is_the_account_and_the_token_stays_out_of_the_url() {
        let (script, pipedrive) = open(&[], [answer(200, json!({"success": true, "data": {"company_id": 77}}))]);
        assert_eq!(pipedrive.account().await.unwrap().id, "77");
        assert_eq!(pipedrive.bound().await.unwrap().to_rfc3339(), "2026-11-02T09:59:00+00:00");
        let asked = script.asked();
        assert_eq!(asked[0].url.as_str(), "https://acme.pipedrive.com/v1/users/me");
        assert_eq!(asked[0].headers["x-api-token"], "0123456789abcdef");
        let (_, pipedrive) = open(&[], [answer(401, r#"{"success":false,"error":"unauthorized access"}"#)]);
        assert_eq!(pipedrive.account().await.unwrap_err().code(), "credential");
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_keeps_its_parameters_and_ends_without_a_cursor_only() {
        let (script, pipedrive) = open(
            &["name"],
            [
                list(vec![person(1)], Some("c1")),
                list(vec![], Some("c2")),
                answer(200, json!({"success": true, "data": [person(2)]})),
            ],
        );
        let first = pipedrive.changes(window(), None).await.unwrap();
        let second = pipedrive.changes(window(), first.next).await.unwrap();
        assert!(second.sightings.is_empty() && second.next.is_some(), "an empty page is no end");
        let third = pipedrive.changes(window(), second.next).await.unwrap();
        assert_eq!((third.sightings.len(), third.next), (1, None));
        let asked = script.asked();
        assert_eq!(asked[2].query("cursor").as_deref(), Some("c2"));
        for (name, value) in
            [("updated_since", "2026-11-02T09:00:00Z"), ("updated_until", "2026-11-02T10:00:00Z"), ("limit", "500")]
        {
            assert!(asked.iter().all(|a| a.query(name).as_deref() == Some(value)), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_names_itself_as_the_next_is_trouble() {
        let (_, pipedrive) = open(&["name"], [list(vec![person(1)], Some("c1")), list(vec![person(1)], Some("c1"))]);
        let first = pipedrive.everyone(Detail::Records, None).await.unwrap();
        assert_eq!(pipedrive.everyone(Detail::Records, first.next).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_read_whole_does_not_go_in_circles() {
        let (script, pipedrive) = open(&["name"], ["c1", "c2", "c1"].map(|cursor| list(vec![], Some(cursor))));
        assert_eq!(pipedrive.fetch(vec!["1".into()]).await.unwrap_err().code(), "unexpected_answer");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_nobody_defined_is_named() {
        let me = || answer(200, json!({"success": true, "data": {"company_id": 77}}));
        let (_, pipedrive) = open(&["nmae"], [me()]);
        let trouble = pipedrive.account().await.unwrap_err();
        assert_eq!(trouble.code(), "forbidden");
        assert!(trouble.to_string().contains("nmae"), "{trouble}");
        let bare = || list(vec![json!({"id": 1, "custom_fields": {}})], None);
        let definitions = || list(vec![json!({"field_code": "0a1b", "options": null})], None);
        let (_, pipedrive) = open(&["custom_fields.0a1b"], [bare(), definitions()]);
        assert!(
            pipedrive.fetch(vec!["1".into()]).await.unwrap()[0].fields.is_empty(),
            "defined and not sent is absent"
        );
        let (_, pipedrive) = open(&["custom_fields.0a1c"], [bare(), definitions()]);
        let trouble = pipedrive.fetch(vec!["1".into()]).await.unwrap_err();
        assert!(trouble.code() == "forbidden" && trouble.to_string().contains("custom_fields.0a1c"), "{trouble}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_that_died_starts_the_walk_anew_but_not_for_ever() {
        let refused = || answer(400, r#"{"success":false,"error":"invalid cursor"}"#);
        let page = |cursor| list(vec![person(1)], cursor);
        let script =
            [page(Some("c1")), refused(), page(Some("c2")), refused(), refused(), page(Some("c3")), page(None)];
        let (script, pipedrive) = open(&["name"], script);
        let walk = |resume| pipedrive.everyone(Detail::Records, resume);
        let first = walk(None).await.unwrap();
        let anew = walk(first.next).await.unwrap();
        assert_eq!(anew.sightings.len(), 1);
        assert_eq!(walk(anew.next.clone()).await.unwrap_err().code(), "unexpected_answer", "twice in a row");
        let later = walk(anew.next).await.unwrap();
        assert_eq!(walk(later.next).await.unwrap().next, None, "a later pass is not stuck with it");
        let asked: Vec<Option<String>> = script.asked().iter().map(|a| a.query("cursor")).collect();
        let cursors = [None, Some("c1"), None, Some("c2"), Some("c2"), None, Some("c3")];
        assert_eq!(asked, cursors.map(|c| c.map(str::to_owned)));
    }

    #[tokio::test(start_paused = true)]
    async fn tombstones_are_not_sighted_and_rows_without_a_stamp_are() {
        let gone = json!({"id": 3, "is_deleted": true, "update_time": "2026-11-02T09:30:00Z"});
        let old = json!({"id": 4, "update_time": null, "org_id": null});
        let rows = || list(vec![gone.clone(), old.clone()], None);
        for fields in [&["name"][..], &["name", "org.name"][..]] {
            let (_, pipedrive) = open(fields, [rows()]);
            let page = pipedrive.everyone(Detail::Stamps, None).await.unwrap();
            assert_eq!(page.sightings.iter().map(|s| (s.id.as_str(), s.modified)).collect::<Vec<_>>(), [("4", None)]);
        }
        let (_, pipedrive) = open(&["name"], [list(vec![json!({"name": "nobody"})], None)]);
        assert_eq!(pipedrive.everyone(Detail::Records, None).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn labels_and_organizations_are_looked_up_for_those_who_have_them() {
        let definitions = |label: &str| json!({"field_code": "label_ids", "options": [{"id": 2, "label": label}]});
        let (script, pipedrive) = open(
            &["labels", "org.name"],
            [
                list(vec![person(1), person(2)], Some("c1")),
                list(vec![json!({"field_code": "name"})], Some("f1")),
                list(vec![definitions("Customer")], None),
                list(vec![json!({"id": 12, "name": "Acme"})], None),
                list(vec![person(3)], None),
            ],
        );
        let first = pipedrive.everyone(Detail::Records, None).await.unwrap();
        for sighting in &first.sightings {
            let fields = &sighting.record.as_ref().unwrap().fields;
            assert_eq!(Value::Object(fields.clone()), json!({"labels": ["Customer"], "org.name": "Acme"}));
        }
        let second = pipedrive.everyone(Detail::Records, first.next).await.unwrap();
        assert_eq!(second.sightings[0].record.as_ref().unwrap().fields["org.name"], "Acme");
        let asked = script.asked();
        let (persons, fields) = ("/api/v2/persons", "/api/v2/personFields");
        assert_eq!(paths(&asked), [persons, fields, fields, "/api/v2/organizations", persons]);
        assert_eq!(asked[3].query("ids").as_deref(), Some("12"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_reads_organizations_anew() {
        let organization = |name: &str| list(vec![json!({"id": 12, "name": name})], None);
        let answers = [
            list(vec![person(1)], None),
            organization("Acme"),
            list(vec![person(1)], None),
            organization("Acme Nordic"),
        ];
        let (_, pipedrive) = open(&["org.name"], answers);
        for expected in ["Acme", "Acme Nordic"] {
            let page = pipedrive.changes(window(), None).await.unwrap();
            assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["org.name"], expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_looked_up_does_not_stay_for_ever() {
        let organization = |name: &str| list(vec![json!({"id": 12, "name": name})], None);
        let label =
            |text: &str| list(vec![json!({"field_code": "label_ids", "options": [{"id": 2, "label": text}]})], None);
        let page = || list(vec![person(1)], None);
        let answers =
            [page(), label("Hot"), organization("Acme"), page(), page(), label("Warm"), organization("Acme Nordic")];
        let (_, pipedrive) = open(&["labels", "org.name"], answers);
        for (minutes, label, name) in [(0, "Hot", "Acme"), (4, "Hot", "Acme"), (12, "Warm", "Acme Nordic")] {
            pipedrive.clock.sleep(Duration::from_secs(minutes * 60)).await;
            let page = pipedrive.everyone(Detail::Records, None).await.unwrap();
            let fields = Value::Object(page.sightings[0].record.as_ref().unwrap().fields.clone());
            assert_eq!(fields, json!({"labels": [label], "org.name": name}));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn organizations_are_asked_for_by_the_hundred_and_their_tombstones_are_not_shown() {
        let persons = (1..=150).map(|n| json!({"id": n, "org_id": n})).collect();
        let gone = json!({"id": 7, "name": "Acme", "is_deleted": true});
        let (script, pipedrive) =
            open(&["org.name"], [list(persons, None), list(vec![gone], None), list(vec![], None)]);
        let page = pipedrive.changes(window(), None).await.unwrap();
        assert!(page.sightings.iter().all(|s| s.record.as_ref().unwrap().fields.is_empty()), "not shown is not null");
        let asked = script.asked();
        assert_eq!(
            asked[1..].iter().map(|a| a.query("ids").unwrap().split(',').count()).collect::<Vec<_>>(),
            [100, 50]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_bound_is_made_of_our_own_clock() {
        let (_, pipedrive) = open(&[], [undated(answer(200, json!({"data": {"company_id": 77}})))]);
        assert_eq!(pipedrive.bound().await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_label_whose_definition_is_gone_asks_again_and_keeps_its_id() {
        let definitions =
            || list(vec![json!({"field_code": "label_ids", "options": [{"id": 1, "label": "Hot"}]})], None);
        let page = || list(vec![person(1)], None);
        let (script, pipedrive) = open(&["labels"], [page(), definitions(), page(), page(), definitions()]);
        for wait in [0, 1, 60] {
            pipedrive.clock.sleep(Duration::from_secs(wait)).await;
            let page = pipedrive.changes(window(), None).await.unwrap();
            assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["labels"], json!(["2"]));
        }
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn ids_are_asked_for_by_the_hundred_and_may_be_missing() {
        let (script, pipedrive) = open(&["name"], [list(vec![person(7)], None), list(vec![], None)]);
        let ids = (1..=150).map(|n: u32| n.to_string()).chain(["x".to_owned()]).collect();
        let records = pipedrive.fetch(ids).await.unwrap();
        assert_eq!(records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["7"]);
        let asked = script.asked();
        assert_eq!(asked.iter().map(|a| a.query("ids").unwrap().split(',').count()).collect::<Vec<_>>(), [100, 50]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_costs_one_request() {
        let me = answer(200, json!({"success": true, "data": {"company_id": 77}}));
        let (_, pipedrive) = open(&["labels", "org.name"], [me, list(vec![], None)]);
        pipedrive.account().await.unwrap();
        pipedrive.bound().await.unwrap();
        assert_eq!(pipedrive.account().await.unwrap().id, "77", "asked for once, whatever the number of polls");
        assert_eq!(pipedrive.changes(window(), None).await.unwrap(), Page::default());
        assert_eq!(pipedrive.requests(), 2);
    }

    #[test]
    fn the_budget_is_read_where_headers_are() {
        let limits =
            [("x-ratelimit-limit", "80"), ("x-ratelimit-remaining", "79"), ("x-ratelimit-reset", "1778840900")];
        let response = limits.into_iter().fold(answer(200, "{}"), |r, (name, value)| with(r, name, value));
        let expected = Budget { limit: 80, remaining: 79, reset: Some(Duration::from_secs(10)) };
        assert_eq!((pacing().budget)(response.headers()), Some(expected));
        assert_eq!((pacing().budget)(answer(200, "{}").headers()), None);
    }

    #[test]
    fn answers_are_judged_by_what_is_left() {
        let retry = |seconds| Verdict::Retry { after: Some(Duration::from_secs(seconds)) };
        let stop = Verdict::Exhausted { until: FULL_STOP };
        for (status, headers, body, expected) in [
            (200, vec![], "{}", Verdict::Fine),
            (200, vec![], "null", Verdict::Ambiguous),
            (200, vec![], r#"{"success":true,"da"#, Verdict::Ambiguous),
            (200, vec![], "<html>", Verdict::Ambiguous),
            (429, vec![], "", retry(2)),
            (429, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")], "", retry(1)),
            (429, vec![("x-ratelimit-reset", "1778840900")], "", retry(10)),
            (429, vec![("x-ratelimit-remaining", "0"), ("x-daily-ratelimit-token-remaining", "9000")], "", retry(2)),
            (429, vec![("x-daily-ratelimit-token-remaining", "0"), ("x-ratelimit-remaining", "0")], "", stop),
            (429, vec![("x-ratelimit-remaining", "19")], "", stop),
            (403, vec![], "<!DOCTYPE html>", stop),
            (403, vec![], r#"{"success":false}"#, Verdict::Forbidden),
            (401, vec![], "{}", Verdict::Unauthorized),
            (402, vec![], "{}", Verdict::Refused),
            (410, vec![], r#"{"success":true}"#, Verdict::Refused),
            (500, vec![], "{}", Verdict::Ambiguous),
            (524, vec![], "<html>", Verdict::Ambiguous),
        ] {
            let plain = answer(status, body);
            let response = headers.iter().fold(plain, |response, (name, value)| with(response, name, value));
            assert_eq!(judge(&response), expected, "{status} {headers:?} {body}");
        }
    }
}
