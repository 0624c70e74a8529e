//! Salesforce as a source of people: its Contacts, over the REST query API. It knows no mapping, no ledger and no other
//! CRM.
//!
//! A mapping rule reads a Contact's fields by their API names (`FirstName`, `LastName`, `Email`, `MobilePhone`,
//! `Phone`, `Title`, custom `X__c`), in any case, and parents by path (`Account.Name`, `Account.Website`,
//! `Account.BillingCountry`, `Owner.Email`). Values are as JSON has them; a field the integration user may not see
//! fails the reading by name.

mod assertion;
mod auth;
mod budget;
mod changes;
mod connection;
mod describe;
mod inspection;
mod refusal;
mod wire;
mod writing;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm::Wanted;
use crate::crm::salesforce::changes::{Columns, LIMIT, Place};
use crate::crm::salesforce::connection::Connection;
use crate::crm::salesforce::describe::Describe;
use crate::crm::salesforce::inspection::Needs;
use crate::crm::salesforce::writing::Writing;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::finding::Finding;
use crate::domain::record::{Account, Page, Record, Resume, Sighting, Window};
use crate::http::body;
use crate::http::transport::Transport;
use crate::sync::source::{ContactSource, Detail, PropstreetIdField};

pub use crate::crm::salesforce::auth::Auth;

const QUERY: &str = "/services/data/v66.0/query";

/// Rows show at commit with the stamp of their transaction's beginning: one to three seconds measured, ten minutes is
/// the common default of peers. What shows later is found by the sweep.
const OVERLAP: Duration = Duration::from_secs(10 * 60);
const MARGIN: Duration = Duration::from_secs(60);

/// Where Salesforce is and how to log in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The org's My Domain, `https://NAME.my.salesforce.com`.
    pub base_url: Url,
    /// How to log in.
    pub auth: Auth,
    /// Whether Leads are people too.
    pub leads: bool,
    /// Whether the people behind person accounts are read.
    pub person_accounts: bool,
    /// A first reading of more rows than this goes through the Bulk API.
    pub bulk_above: u64,
    /// Percent of the org's requests a day that this source may use.
    pub budget_share: u32,
    /// The field that shall hold Propstreet's id, by its API name on Contact.
    pub write_back: Option<String>,
}

impl Settings {
    /// An org with nothing but its address and login said.
    #[must_use]
    pub fn new(base_url: Url, auth: Auth) -> Self {
        Self {
            base_url,
            auth,
            leads: false,
            person_accounts: true,
            bulk_above: 200_000,
            budget_share: 20,
            write_back: None,
        }
    }
}

/// One org.
pub(super) struct Salesforce {
    connection: Connection,
    describe: Arc<Describe>,
    needs: Needs,
    writing: Option<Writing>,
    columns: Columns,
}

/// What a query came to.
enum Answer {
    /// Every row of the query.
    Rows(Vec<wire::Row>),
    /// Salesforce gave up on it: ask for less.
    TooSlow,
}

impl Salesforce {
    pub(super) fn new(
        settings: Settings,
        wanted: Wanted,
        transport: Arc<dyn Transport>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let Settings { base_url, auth, leads, person_accounts, budget_share, write_back, .. } = settings;
        let connection = Connection::new(base_url, auth, budget_share, transport, clock.clone(), dice);
        let accounts = person_accounts || wanted.fields.iter().any(|field| inspection::of_account(field));
        let describe = Arc::new(Describe::new(connection.clone(), clock, leads, accounts));
        let writing = |field| Writing::new(connection.clone(), Arc::clone(&describe), field);
        let writing = write_back.clone().map(writing);
        let columns = Columns::new(wanted.fields.clone());
        let needs = Needs { wanted, leads, field: write_back };
        Self { connection, describe, needs, writing, columns }
    }

    /// After a field or object was named in vain: `Ok` if all that is needed is shown again, else what is missing.
    async fn shown_again(&self, refused: Trouble) -> Result<(), Trouble> {
        let Ok(shapes) = self.describe.afresh().await else { return Err(refused) };
        self.needs.demand(&shapes)
    }

    /// Runs one query to the end that the API documents, `done`, and counts: rows that were announced and did not come
    /// mean that the list moved underneath, and then none of it is taken.
    async fn query(&self, soql: &str) -> Result<Answer, Trouble> {
        let mut response = self.connection.get(QUERY, &[("q", soql)]).await?;
        let (mut rows, mut seen, mut described) = (Vec::new(), HashSet::new(), false);
        loop {
            if describe::named_in_vain(&response) && !described {
                described = true;
                self.shown_again(wire::trouble(&response)).await?;
                response = self.connection.get(QUERY, &[("q", soql)]).await?;
                continue;
            }
            if wire::ApiError::first(&response).is_some_and(|e| e.code == "QUERY_TIMEOUT") {
                return Ok(Answer::TooSlow);
            }
            if !response.status().is_success() {
                return Err(wire::trouble(&response));
            }
            let page: wire::QueryPage = body::json(&response)?;
            let next = page.next()?.map(str::to_owned);
            rows.extend(page.records);
            match next {
                Some(next) if seen.contains(&next) => return Err(over_and_over()),
                Some(next) => {
                    response = self.connection.get(&next, &[]).await?;
                    seen.insert(next);
                }
                None if rows.len() < page.total_size.unwrap_or(0).min(LIMIT) => {
                    return Err(Trouble::Ambiguous("Salesforce announced more rows than it sent".into()));
                }
                None => return Ok(Answer::Rows(rows)),
            }
        }
    }

    async fn window(&self, window: Window, resume: Option<Resume>) -> Result<Page, Trouble> {
        let place = match &resume {
            Some(resume) => Place::parse(resume)?,
            None => Place::From { stamp: window.lo },
        };
        let mut hi = window.hi;
        let rows = loop {
            match self.query(&self.columns.changed(&place, hi)).await? {
                Answer::Rows(rows) => break rows,
                Answer::TooSlow => hi = place.halfway(hi).ok_or_else(too_slow)?,
            }
        };
        let next = if rows.len() >= LIMIT {
            rows.last().map(after).transpose()?
        } else {
            (hi < window.hi).then_some(Place::From { stamp: hi })
        };
        let next = next.map(|place| place.resume()).transpose()?;
        Ok(Page { sightings: self.sightings(&rows)?, next: onward(resume.as_ref(), next)?, ..Page::default() })
    }

    async fn list(&self, detail: Detail, resume: Option<Resume>) -> Result<Page, Trouble> {
        let after = resume.as_ref().map(|resume| changes::known_id(&resume.0)).transpose()?;
        let whole = detail == Detail::Records;
        let Answer::Rows(rows) = self.query(&self.columns.everyone(whole, after.as_deref())).await? else {
            return Err(too_slow());
        };
        let last = rows.last().filter(|_| rows.len() >= LIMIT).map(wire::identity).transpose()?;
        let mut sightings = self.sightings(&rows)?;
        if !whole {
            sightings.iter_mut().for_each(|sighting| sighting.record = None);
        }
        Ok(Page { sightings, next: onward(resume.as_ref(), last.map(|(id, _)| Resume(id)))?, ..Page::default() })
    }

    fn sightings(&self, rows: &[wire::Row]) -> Result<Vec<Sighting>, Trouble> {
        rows.iter().map(|row| wire::sighting(row, &self.columns.asked)).collect()
    }

    async fn by_ids(&self, ids: &[String]) -> Result<Vec<Record>, Trouble> {
        let mut records = Vec::new();
        for soql in self.columns.by_ids(ids) {
            let Answer::Rows(rows) = self.query(&soql).await? else { return Err(too_slow()) };
            for row in &rows {
                records.push(wire::record(row, &self.columns.asked)?);
            }
        }
        Ok(records)
    }
}

/// The place after this row.
fn after(row: &wire::Row) -> Result<Place, Trouble> {
    match wire::identity(row)? {
        (id, Some(stamp)) => Ok(Place::After { stamp, id }),
        (_, None) => Err(Trouble::Protocol("Salesforce sent a row without a readable SystemModstamp".into())),
    }
}

/// A page that ends where it was to begin would be read for ever.
fn onward(asked: Option<&Resume>, next: Option<Resume>) -> Result<Option<Resume>, Trouble> {
    if next.is_some() && next.as_ref() == asked { Err(over_and_over()) } else { Ok(next) }
}

fn over_and_over() -> Trouble {
    Trouble::Protocol("Salesforce sends the same page of a query over and over".into())
}

fn too_slow() -> Trouble {
    Trouble::Ambiguous("Salesforce gave up on a query as too slow (QUERY_TIMEOUT)".into())
}

impl ContactSource for Salesforce {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        async { Ok(Account { id: self.connection.login.org().await? }) }.boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, Trouble>> {
        self.needs.inspect(&self.connection, &self.describe).boxed()
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        async {
            if self.connection.upstream.server_now().is_none() {
                self.connection.login.tokens.current().await?;
            }
            let now = self.connection.upstream.server_now();
            let now = now.ok_or_else(|| Trouble::Protocol("Salesforce's answers carry no Date".into()))?;
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
        self.connection.upstream.requests()
    }

    fn server_now(&self) -> Option<Timestamp> {
        self.connection.upstream.server_now()
    }

    fn spent(&self, requests: u64) {
        self.connection.spent(requests);
    }

    fn field(&self) -> Option<&dyn PropstreetIdField> {
        self.writing.as_ref().map(|writing| writing as _)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::script::{Script, answer, undated};
    use crate::domain::identity::salesforce_id;
    use crate::http::transport::Response;

    const BASE: &str = "https://acme.my.salesforce.com";

    fn open(answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Salesforce) {
        let script = Script::new(answers);
        let auth = Auth::ClientCredentials { client_id: "key".into(), client_secret: "s&cret".into() };
        let settings = Settings::new(BASE.parse().unwrap(), auth);
        let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
        let fields = ["Email", "Account.Name"].map(str::to_owned).into();
        let wanted = Wanted { fields, ..Wanted::default() };
        let salesforce = Salesforce::new(settings, wanted, Arc::clone(&script) as _, clock, Dice::seeded(1));
        (script, salesforce)
    }

    fn token(secret: &str, host: &str) -> Response {
        let id = "https://login.salesforce.com/id/001Da00000xnAiy/005xx0000000001AAA";
        answer(200, json!({"access_token": secret, "instance_url": format!("https://{host}"), "id": id}))
    }

    fn id(number: usize) -> String {
        salesforce_id(&format!("003Da00000{number:05}")).unwrap()
    }

    fn row(number: usize) -> Value {
        let stamp = "2026-11-02T09:15:41.000+0000";
        json!({"attributes": {"type": "Contact"}, "Id": id(number), "Email": null, "Account": null, "SystemModstamp": stamp})
    }

    fn rows(numbers: std::ops::Range<usize>) -> Response {
        let records: Vec<Value> = numbers.map(row).collect();
        answer(200, json!({"totalSize": records.len(), "done": true, "records": records}))
    }

    fn window() -> Window {
        Window { lo: "2026-11-02T09:00:00Z".parse().unwrap(), hi: "2026-11-02T10:00:00Z".parse().unwrap() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_login_tells_the_org_and_the_time() {
        let (script, salesforce) = open([token("t1", "acme.my.salesforce.com")]);
        assert_eq!(salesforce.account().await.unwrap().id, "001Da00000xnAiyIAE");
        assert_eq!(salesforce.bound().await.unwrap().to_rfc3339(), "2026-11-02T09:59:00+00:00");
        let asked = script.asked();
        assert_eq!(asked[0].url.as_str(), format!("{BASE}/services/oauth2/token"));
        assert_eq!(asked[0].body, "grant_type=client_credentials&client_id=key&client_secret=s%26cret");
        assert_eq!(salesforce.requests(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tie_larger_than_a_page_is_read_on_by_stamp_and_id() {
        let answers = [token("t1", "acme.my.salesforce.com"), rows(0..LIMIT), rows(LIMIT..LIMIT + 5)];
        let (script, salesforce) = open(answers);
        let first = salesforce.changes(window(), None).await.unwrap();
        assert_eq!(first.sightings.len(), LIMIT);
        let second = salesforce.changes(window(), first.next).await.unwrap();
        assert_eq!((second.sightings.len(), second.next), (5, None));
        let asked = script.asked();
        assert_eq!(asked[1].headers["sforce-query-options"], "batchSize=2000");
        assert!(asked[1].query("q").unwrap().contains("WHERE SystemModstamp >= 2026-11-02T09:00:00Z AND"));
        let keyset = format!("(SystemModstamp = 2026-11-02T09:15:41Z AND Id > '{}')", id(LIMIT - 1));
        assert!(asked[2].query("q").unwrap().contains(&keyset), "{:?}", asked[2].query("q"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_fills_one_page_exactly_ends_with_an_empty_one() {
        let (script, salesforce) = open([token("t1", "acme.my.salesforce.com"), rows(0..LIMIT), rows(0..0)]);
        let first = salesforce.changes(window(), None).await.unwrap();
        let second = salesforce.changes(window(), first.next).await.unwrap();
        assert_eq!(second, Page::default());
        assert_eq!(script.asked().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn pages_shorter_than_asked_are_followed_until_done() {
        let next = "/services/data/v66.0/query/0r8xx1a2B3c4D5e6F7-1000";
        let (script, salesforce) = open([
            token("t1", "acme.my.salesforce.com"),
            answer(200, json!({"totalSize": 3, "done": false, "nextRecordsUrl": next, "records": [row(1)]})),
            answer(200, json!({"totalSize": 3, "done": true, "records": [row(2), row(3)]})),
        ]);
        let page = salesforce.changes(window(), None).await.unwrap();
        assert_eq!((page.sightings.len(), page.next), (3, None));
        let record = page.sightings[0].record.as_ref().unwrap();
        assert_eq!(Value::Object(record.fields.clone()), json!({"Email": null, "Account.Name": null}));
        assert_eq!(script.asked()[2].url.as_str(), format!("{BASE}{next}"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_may_have_been_cut_is_trouble() {
        let to = |locator: &str| {
            let next = format!("/services/data/v66.0/query/{locator}");
            answer(200, json!({"totalSize": 9, "done": false, "nextRecordsUrl": next, "records": []}))
        };
        for (answers, code) in [
            (vec![answer(200, json!({"totalSize": 2, "done": false, "records": [row(1)]}))], "unexpected_answer"),
            (vec![answer(200, json!({"totalSize": 2, "done": true, "records": [row(1)]}))], "answer_lost"),
            (vec![answer(200, json!({"records": [row(1)]}))], "unexpected_answer"),
            (vec![answer(200, json!({"done": true}))], "unexpected_answer"),
            (vec![to("0r8-1"), to("0r8-1")], "unexpected_answer"),
            (vec![to("0r8-1"), to("0r8-2"), to("0r8-1")], "unexpected_answer"),
            (vec![answer(400, r#"[{"errorCode":"INVALID_FIELD","message":"No such column 'X__c'"}]"#)], "forbidden"),
        ] {
            let (script, salesforce) = open([token("t1", "acme.my.salesforce.com")].into_iter().chain(answers));
            let trouble = salesforce.changes(window(), None).await.unwrap_err();
            assert_eq!(trouble.code(), code, "{trouble}");
            script.asked();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_was_given_up_is_not_an_empty_list() {
        let slow = || answer(400, r#"[{"message":"running for too long","errorCode":"QUERY_TIMEOUT"}]"#);
        let (_, salesforce) = open([token("t1", "acme.my.salesforce.com"), slow(), slow()]);
        assert_eq!(salesforce.everyone(Detail::Stamps, None).await.unwrap_err().code(), "answer_lost");
        assert_eq!(salesforce.fetch(vec![id(1)]).await.unwrap_err().code(), "answer_lost");
        let short = Window { lo: window().lo, hi: window().lo + chrono::TimeDelta::minutes(1) };
        let (_, salesforce) = open([token("t1", "acme.my.salesforce.com"), slow()]);
        assert_eq!(salesforce.changes(short, None).await.unwrap_err().code(), "answer_lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_never_made_of_a_row_without_a_stamp() {
        let mut records: Vec<Value> = (0..LIMIT).map(row).collect();
        records[LIMIT - 1]["SystemModstamp"] = Value::Null;
        let page = answer(200, json!({"totalSize": LIMIT, "done": true, "records": records}));
        let (_, salesforce) = open([token("t1", "acme.my.salesforce.com"), page]);
        assert_eq!(salesforce.changes(window(), None).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_ends_between_two_pages_goes_on_at_the_new_host() {
        let next = "/services/data/v66.0/query/0r8xx1a2B3c4D5e6F7-1";
        let (script, salesforce) = open([
            token("t1", "acme.my.salesforce.com"),
            answer(200, json!({"totalSize": 2, "done": false, "nextRecordsUrl": next, "records": [row(1)]})),
            answer(401, r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#),
            token("t2", "renamed.my.salesforce.com"),
            answer(200, json!({"totalSize": 2, "done": true, "records": [row(2)]})),
        ]);
        assert_eq!(salesforce.changes(window(), None).await.unwrap().sightings.len(), 2);
        assert_eq!(script.asked()[4].url.as_str(), format!("https://renamed.my.salesforce.com{next}"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_used_up_is_left_alone_and_a_crowd_is_waited_out() {
        let over = |message: &str| answer(403, json!([{"message": message, "errorCode": "REQUEST_LIMIT_EXCEEDED"}]));
        let day = over("TotalRequests Limit exceeded.");
        let (script, salesforce) = open([token("t1", "acme.my.salesforce.com"), day]);
        for _ in 0..2 {
            let Err(Trouble::NotSent { retry_after: Some(wait), .. }) = salesforce.changes(window(), None).await else {
                panic!("the day is used up")
            };
            assert!(wait > Duration::from_secs(14 * 60), "{wait:?}");
        }
        assert_eq!(script.asked().len(), 2, "no request while it lasts");
        let crowd = over("ConcurrentRequests (Concurrent API Requests) Limit exceeded.");
        let (_, salesforce) = open([token("t1", "acme.my.salesforce.com"), crowd, rows(0..1)]);
        assert_eq!(salesforce.changes(window(), None).await.unwrap().sightings.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_bound_is_made_of_our_own_clock() {
        let (_, salesforce) = open([undated(token("t1", "acme.my.salesforce.com"))]);
        assert_eq!(salesforce.bound().await.unwrap_err().code(), "unexpected_answer");
        let (_, salesforce) = open([token("t1", "acme.my.salesforce.com"), undated(rows(0..0))]);
        salesforce.changes(window(), None).await.unwrap();
        assert_eq!(salesforce.bound().await.unwrap().to_rfc3339(), "2026-11-02T09:59:00+00:00");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_ends_where_it_began_is_trouble() {
        let answers = [token("t1", "acme.my.salesforce.com"), rows(0..LIMIT), rows(0..LIMIT)];
        let (script, salesforce) = open(answers);
        let first = salesforce.changes(window(), None).await.unwrap();
        assert_eq!(salesforce.changes(window(), first.next).await.unwrap_err().code(), "unexpected_answer");
        script.asked();
        let (_, salesforce) = open([token("t1", "acme.my.salesforce.com"), rows(0..LIMIT), rows(0..LIMIT)]);
        let first = salesforce.everyone(Detail::Stamps, None).await.unwrap();
        let again = salesforce.everyone(Detail::Stamps, first.next).await;
        assert_eq!(again.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_session_logs_in_once_and_takes_the_new_host() {
        let expired = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;
        let (script, salesforce) = open([
            token("t1", "acme.my.salesforce.com"),
            answer(401, expired),
            token("t2", "renamed.my.salesforce.com"),
            rows(0..1),
        ]);
        assert_eq!(salesforce.everyone(Detail::Records, None).await.unwrap().sightings.len(), 1);
        let asked = script.asked();
        assert_eq!(asked[1].headers["authorization"], "Bearer t1");
        assert_eq!(asked[3].headers["authorization"], "Bearer t2");
        assert_eq!(asked[3].url.host_str(), Some("renamed.my.salesforce.com"));
        let (_, salesforce) = open([
            token("t1", "acme.my.salesforce.com"),
            answer(401, expired),
            token("t2", "acme.my.salesforce.com"),
            answer(401, expired),
        ]);
        assert_eq!(salesforce.everyone(Detail::Records, None).await.unwrap_err().code(), "credential");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_too_slow_for_the_server_is_read_in_halves() {
        let slow = r#"[{"message":"Your query request was running for too long.","errorCode":"QUERY_TIMEOUT"}]"#;
        let answers = [token("t1", "acme.my.salesforce.com"), answer(400, slow), rows(0..1), rows(1..2)];
        let (script, salesforce) = open(answers);
        let first = salesforce.changes(window(), None).await.unwrap();
        let second = salesforce.changes(window(), first.next).await.unwrap();
        assert_eq!(second.next, None);
        let asked = script.asked();
        assert!(
            asked[2].query("q").unwrap().contains(">= 2026-11-02T09:00:00Z AND SystemModstamp < 2026-11-02T09:30:00Z")
        );
        assert!(
            asked[3].query("q").unwrap().contains(">= 2026-11-02T09:30:00Z AND SystemModstamp < 2026-11-02T10:00:00Z")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_is_walked_by_the_servers_last_id() {
        let answers = [token("t1", "acme.my.salesforce.com"), rows(0..LIMIT), rows(0..0)];
        let (script, salesforce) = open(answers);
        let first = salesforce.everyone(Detail::Stamps, None).await.unwrap();
        assert!(first.sightings.iter().all(|s| s.record.is_none() && s.modified.is_some()));
        assert_eq!(salesforce.everyone(Detail::Stamps, first.next).await.unwrap().next, None);
        assert!(script.asked()[2].query("q").unwrap().contains(&format!("WHERE Id > '{}' ORDER BY Id", id(LIMIT - 1))));
    }

    #[tokio::test(start_paused = true)]
    async fn ids_that_are_not_shown_are_missing() {
        let (script, salesforce) = open([token("t1", "acme.my.salesforce.com"), rows(1..2)]);
        let records = salesforce.fetch(vec![id(1)[..15].to_owned(), id(2), "not an id".into()]).await.unwrap();
        assert_eq!(records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [id(1)]);
        assert!(script.asked()[1].query("q").unwrap().ends_with(&format!("Id IN ('{}','{}')", id(1), id(2))));
        assert!(salesforce.fetch(vec!["not an id".into()]).await.unwrap().is_empty(), "and cost no request");
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_named_in_vain_is_described_anew_and_the_query_asked_once_more_at_most() {
        let gone = || answer(400, r#"[{"errorCode":"INVALID_FIELD","message":"No such column 'Email'"}]"#);
        let contact = |email: &str| {
            let account = json!({"name": "AccountId", "relationshipName": "Account"});
            answer(200, json!({"fields": [{"name": "Id"}, account, {"name": email}]}))
        };
        let account = || answer(200, json!({"fields": [{"name": "Name"}]}));
        let login = || token("t1", "acme.my.salesforce.com");
        let (script, salesforce) = open([login(), gone(), contact("Phone"), account()]);
        let told = salesforce.changes(window(), None).await.unwrap_err();
        assert!(told.code() == "forbidden" && told.to_string().contains("the map reads Email of Contact"), "{told}");
        script.asked();
        let (script, salesforce) = open([login(), gone(), contact("Email"), account(), rows(0..1)]);
        assert_eq!(salesforce.changes(window(), None).await.unwrap().sightings.len(), 1, "it is shown again");
        script.asked();
        let (script, salesforce) = open([login(), gone(), contact("Email"), account(), gone()]);
        assert_eq!(salesforce.changes(window(), None).await.unwrap_err().code(), "forbidden");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_costs_one_request() {
        let (_, salesforce) = open([token("t1", "acme.my.salesforce.com"), rows(0..0)]);
        salesforce.account().await.unwrap();
        salesforce.bound().await.unwrap();
        assert_eq!(salesforce.changes(window(), None).await.unwrap(), Page::default());
        assert_eq!(salesforce.requests(), 2);
    }
}
