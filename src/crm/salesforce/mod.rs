//! Salesforce as a source of people: its Contacts and, where wanted, its Leads, over the REST query API and for a large
//! first reading the Bulk API. It knows no mapping, no ledger and no other CRM.
//!
//! A mapping rule reads a Contact's fields by their API names (`FirstName`, `LastName`, `Email`, `MobilePhone`,
//! `Phone`, `Title`, custom `X__c`), in any case, and parents by path (`Account.Name`, `Account.Website`,
//! `Account.BillingCountry`, `Owner.Email`). Values are as JSON has them; a field the integration user may not see
//! fails the reading by name. A Lead answers for its account with its own fields (`Company` for `Account.Name`).
//!
//! What is read: `objects` (which fields of what), `query` (as SOQL), `describe` (what the org shows) and `inspection`
//! (whether that is enough). How: `auth` (with an `assertion`), `connection` (within a budget), `reader` (a query to its
//! end), `wire` (its JSON), `error` (a call refused) and `refusal` (a login). When: `changes` (a window, with the people of
//! changed `accounts`), `everyone` (a backfill, a sweep, with `bulk` jobs and their `table`s), up to a `bound`, at a `place`.
//! Who a merged or converted one is now: `heirs`. What is written: `writing`.

mod accounts;
mod assertion;
mod auth;
mod bound;
mod bulk;
mod changes;
mod connection;
mod describe;
mod error;
mod everyone;
mod heirs;
mod id;
mod inspection;
mod objects;
mod place;
mod query;
mod reader;
mod refusal;
#[cfg(test)]
mod rig;
mod table;
mod wire;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm::Wanted;
use crate::crm::salesforce::bound::Bound;
use crate::crm::salesforce::changes::Changes;
use crate::crm::salesforce::connection::Connection;
use crate::crm::salesforce::describe::Describe;
use crate::crm::salesforce::everyone::Everyone;
use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::inspection::Needs;
use crate::crm::salesforce::objects::Objects;
use crate::crm::salesforce::reader::Reader;
use crate::crm::salesforce::wire::Shown;
use crate::crm::salesforce::writing::Writing;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::finding::Finding;
use crate::domain::record::{Account, Page, Record, Resume, Window};
use crate::domain::spending::Spending;
use crate::http::transport::Transport;
use crate::sync::source::{ContactSource, Detail, PropstreetIdField};

pub use crate::crm::salesforce::auth::Auth;

/// Rows show at commit with the stamp of their transaction's beginning: one to three seconds measured, ten minutes is
/// the common default of peers. What shows later is found by the sweep.
const OVERLAP: Duration = Duration::from_secs(10 * 60);

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
    /// The most rows one query asks for, at most 2,000.
    pub rows_per_query: usize,
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
            rows_per_query: query::LIMIT,
            budget_share: 20,
            write_back: None,
        }
    }
}

/// One org.
pub(super) struct Salesforce {
    reader: Reader,
    describe: Arc<Describe>,
    needs: Needs,
    bound: Bound,
    writing: Option<Writing>,
    person_accounts: bool,
    bulk_above: u64,
    clock: Clock,
}

impl Salesforce {
    pub(super) fn new(
        settings: Settings,
        wanted: Wanted,
        transport: Arc<dyn Transport>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let Settings { base_url, auth, leads, person_accounts, bulk_above, rows_per_query, budget_share, write_back } =
            settings;
        let connection = Connection::new(base_url, auth, budget_share, transport, clock.clone(), dice);
        let accounts = person_accounts || wanted.fields.iter().any(|field| objects::of_account(field));
        let describe = Arc::new(Describe::new(connection.clone(), clock.clone(), leads, accounts));
        let writing = |field| Writing::new(connection.clone(), Arc::clone(&describe), field);
        Self {
            writing: write_back.clone().map(writing),
            reader: Reader::new(connection.clone(), rows_per_query),
            needs: Needs { wanted, leads, field: write_back },
            describe,
            bound: Bound::new(clock.clone()),
            person_accounts,
            bulk_above,
            clock,
        }
    }

    async fn objects(&self) -> Result<Objects, Trouble> {
        let shapes = self.describe.shapes().await?;
        Objects::new(&self.needs.wanted, self.needs.leads, self.person_accounts, &shapes)
    }

    /// Reads by what the org shows. Where a field or an object was named in vain, what is known of the org is not so any
    /// more: it is described again, and read once more if all that is needed is shown.
    async fn read<'s, T>(&'s self, read: impl Fn(Objects) -> BoxFuture<'s, Result<T, Trouble>>) -> Result<T, Trouble> {
        match read(self.objects().await?).await {
            Err(refused @ Trouble::Forbidden(_)) => {
                let Ok(shapes) = self.describe.afresh().await else { return Err(refused) };
                self.needs.demand(&shapes)?;
                read(self.objects().await?).await
            }
            done => done,
        }
    }

    /// The people with these ids, or who they are by now: whoever was merged or converted a moment ago has not left. What
    /// is no id of a person cannot be there.
    async fn by_ids(&self, objects: &Objects, ids: &[String]) -> Result<Vec<Record>, Trouble> {
        let mut ids: Vec<Id> = ids.iter().filter_map(|id| Id::read(id)).collect();
        ids.sort();
        ids.dedup();
        let mut shown = Vec::new();
        for object in objects.people() {
            let ids: Vec<Id> = ids.iter().filter(|id| id.is_of(object.prefix)).cloned().collect();
            for row in self.reader.among(&object.known(), "Id", &ids).await? {
                shown.push(Shown::read(&row, &object.columns)?);
            }
        }
        heirs::records(&self.reader, objects, shown).await
    }
}

impl ContactSource for Salesforce {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        async { Ok(Account { id: self.reader.connection.login.org().await? }) }.boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, Trouble>> {
        self.needs.inspect(&self.reader.connection, &self.describe).boxed()
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        let objects: &[&str] = if self.needs.leads { &["Contact", "Lead"] } else { &["Contact"] };
        self.bound.ask(&self.reader.connection, objects).boxed()
    }

    fn changes(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        async move {
            let read = |objects: Objects| {
                let resume = resume.clone();
                async move {
                    let changes = Changes { reader: &self.reader, objects: &objects, window };
                    changes.page(resume.as_ref()).await
                }
                .boxed()
            };
            self.read(read).await
        }
        .boxed()
    }

    fn everyone(&self, detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        async move {
            let read = |objects: Objects| {
                let resume = resume.clone();
                async move {
                    let (reader, clock, bulk_above) = (&self.reader, &self.clock, self.bulk_above);
                    Everyone { reader, objects: &objects, clock, detail, bulk_above }.page(resume.as_ref()).await
                }
                .boxed()
            };
            self.read(read).await
        }
        .boxed()
    }

    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>> {
        async move {
            if ids.iter().any(|id| id.starts_with(objects::LEAD)) {
                self.describe.leads_too().await;
            }
            let read = |objects: Objects| {
                let ids = ids.clone();
                async move { self.by_ids(&objects, &ids).await }.boxed()
            };
            self.read(read).await
        }
        .boxed()
    }

    fn overlap(&self) -> Duration {
        OVERLAP
    }

    fn requests(&self) -> u64 {
        self.reader.connection.upstream.requests()
    }

    fn server_now(&self) -> Option<Timestamp> {
        self.reader.connection.upstream.server_now()
    }

    fn spent(&self, spending: Spending) {
        self.reader.connection.spent(spending);
    }

    fn daily_limit(&self) -> Option<u64> {
        self.reader.connection.daily_limit()
    }

    fn field(&self) -> Option<&dyn PropstreetIdField> {
        self.writing.as_ref().map(|writing| writing as _)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::salesforce::rig::{
        BASE, converted, deleted, expired, id, lead, lead_id, logged_in, open, row, rows, token, undescribed,
    };
    use crate::crm::script::{answer, undated, window};

    #[tokio::test(start_paused = true)]
    async fn the_first_login_tells_the_org() {
        let (script, salesforce) = open([token("t1", "acme.my.salesforce.com")]);
        assert_eq!(salesforce.account().await.unwrap().id, "001Da00000xnAiyIAE");
        let asked = script.asked();
        assert_eq!(asked[0].url.as_str(), format!("{BASE}/services/oauth2/token"));
        assert_eq!(asked[0].body, "grant_type=client_credentials&client_id=key&client_secret=s%26cret");
        assert_eq!(salesforce.requests(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_ends_between_two_pages_goes_on_at_the_new_host() {
        let next = "/services/data/v66.0/query/0r8xx1a2B3c4D5e6F7-1";
        let (script, salesforce) = open([
            token("t1", "acme.my.salesforce.com"),
            answer(200, json!({"totalSize": 2, "done": false, "nextRecordsUrl": next, "records": [row(1)]})),
            expired(),
            token("t2", "renamed.my.salesforce.com"),
            answer(200, json!({"totalSize": 2, "done": true, "records": [row(2)]})),
        ]);
        assert_eq!(salesforce.changes(window(), None).await.unwrap().sightings.len(), 2);
        assert_eq!(script.asked()[4].url.as_str(), format!("https://renamed.my.salesforce.com{next}"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_used_up_is_left_alone_and_a_crowd_is_waited_out() {
        let over = |message: &str| answer(403, json!([{"message": message, "errorCode": "REQUEST_LIMIT_EXCEEDED"}]));
        let (script, salesforce) = logged_in(|_, _| {}, [over("TotalRequests Limit exceeded.")]);
        for _ in 0..2 {
            let Err(Trouble::NotSent { retry_after: Some(wait), .. }) = salesforce.changes(window(), None).await else {
                panic!("the day is used up")
            };
            assert!(wait > Duration::from_secs(14 * 60), "{wait:?}");
        }
        assert_eq!(script.asked().len(), 2, "no request while it lasts");
        let crowd = over("ConcurrentRequests (Concurrent API Requests) Limit exceeded.");
        let (_, salesforce) = logged_in(|_, _| {}, [crowd, rows([row(1)])]);
        assert_eq!(salesforce.changes(window(), None).await.unwrap().sightings.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_session_logs_in_once_and_takes_the_new_host() {
        let (script, salesforce) = open([
            token("t1", "acme.my.salesforce.com"),
            expired(),
            token("t2", "renamed.my.salesforce.com"),
            rows([row(1)]),
        ]);
        assert_eq!(salesforce.fetch(vec![id(1)]).await.unwrap().len(), 1);
        let asked = script.asked();
        assert_eq!(asked[1].headers["authorization"], "Bearer t1");
        assert_eq!(asked[3].headers["authorization"], "Bearer t2");
        assert_eq!(asked[3].url.host_str(), Some("renamed.my.salesforce.com"));
        let (_, salesforce) =
            open([token("t1", "acme.my.salesforce.com"), expired(), token("t2", "acme.my.salesforce.com"), expired()]);
        assert_eq!(salesforce.fetch(vec![id(1)]).await.unwrap_err().code(), "credential");
    }

    #[tokio::test(start_paused = true)]
    async fn ids_that_are_not_shown_are_missing() {
        let (script, salesforce) = logged_in(|_, _| {}, [rows([row(1)])]);
        let records = salesforce.fetch(vec![id(1)[..15].to_owned(), id(2), "not an id".into()]).await.unwrap();
        assert_eq!(records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [id(1)]);
        let asked = script.asked();
        assert!(asked[1].url.path().ends_with("/queryAll"), "also who was merged away a moment ago");
        assert!(asked[1].soql().ends_with(&format!("Id IN ('{}','{}')", id(1), id(2))), "{}", asked[1].soql());
        let nobodies = ["not an id", "001Da00000xnAiyIAE"].map(str::to_owned).to_vec();
        assert!(salesforce.fetch(nobodies).await.unwrap().is_empty(), "and cost no request");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_that_is_known_is_read_by_id_also_when_leads_are_off() {
        let lead = lead_id(1);
        let (script, salesforce) = logged_in(|_, _| {}, [rows([])]);
        assert!(salesforce.fetch(vec![lead[..15].to_owned()]).await.unwrap().is_empty());
        let soql = script.asked()[1].soql();
        assert!(soql.ends_with(&format!(" FROM Lead WHERE Id IN ('{lead}')")), "{soql}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_asked_for_by_id_is_shown_as_who_they_are_by_now() {
        let listed = [deleted(row(1), Some(id(4))), deleted(row(2), None), row(3)];
        let leads = [converted(lead(5), Some(id(4))), converted(lead(6), None), deleted(lead(7), None)];
        let (_, salesforce) = logged_in(|_, _| {}, [rows(listed), rows(leads), rows([row(4)])]);
        let ids = (1..=3).map(id).chain((5..=7).map(lead_id)).collect();
        let records = salesforce.fetch(ids).await.unwrap();
        let shown: Vec<_> = records.into_iter().map(|record| (record.id, record.supersedes)).collect();
        // Two are deleted; where the contact of a lead is not shown, the lead stands for itself.
        let expected = [(id(4), vec![id(1), lead_id(5)]), (id(3), vec![]), (lead_id(6), vec![])];
        assert_eq!(shown, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn many_ids_are_read_in_as_many_requests_as_the_uri_needs_and_fewer_at_once_where_that_is_too_much() {
        let ids: Vec<String> = (0..700).map(id).collect();
        let (script, salesforce) = logged_in(|_, _| {}, [rows([row(1)]), rows([row(500)])]);
        assert_eq!(salesforce.fetch(ids.clone()).await.unwrap().len(), 2);
        let asked = script.asked();
        assert!(asked.iter().all(|asked| asked.url.as_str().len() < 12_500));
        assert_eq!(asked.iter().map(|asked| asked.url.as_str().matches("003Da").count()).sum::<usize>(), 700);
        let slow = answer(400, r#"[{"message":"running for too long","errorCode":"QUERY_TIMEOUT"}]"#);
        let (script, salesforce) = logged_in(|_, _| {}, [slow, rows([row(1)]), rows([row(2)])]);
        assert_eq!(salesforce.fetch(vec![id(1), id(2)]).await.unwrap().len(), 2);
        assert!(script.asked()[3].soql().ends_with(&format!("IN ('{}')", id(2))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_named_in_vain_is_described_anew_and_the_query_asked_once_more_at_most() {
        let gone = || answer(400, r#"[{"errorCode":"INVALID_FIELD","message":"No such column 'Email'"}]"#);
        let contact = |email: &str| answer(200, json!({"fields": [{"name": "Id"}, {"name": email}]}));
        let account = || answer(200, json!({"fields": [{"name": "Name"}]}));
        let first = || [token("t1", "acme.my.salesforce.com"), contact("Email"), account(), gone()].into_iter();
        let (script, salesforce) = undescribed(|_, _| {}, first().chain([contact("Phone"), account()]));
        let told = salesforce.changes(window(), None).await.unwrap_err();
        assert!(told.code() == "forbidden" && told.to_string().contains("the map reads Email of Contact"), "{told}");
        script.asked();
        let again = [contact("Email"), account(), rows([row(1)])];
        let (script, salesforce) = undescribed(|_, _| {}, first().chain(again));
        assert_eq!(salesforce.changes(window(), None).await.unwrap().sightings.len(), 1, "it is shown again");
        script.asked();
        let (script, salesforce) = undescribed(|_, _| {}, first().chain([contact("Email"), account(), gone()]));
        assert_eq!(salesforce.changes(window(), None).await.unwrap_err().code(), "forbidden");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn no_bound_is_made_of_our_own_clock() {
        let (_, salesforce) = open([undated(token("t1", "acme.my.salesforce.com"))]);
        assert_eq!(salesforce.bound().await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_costs_one_request_an_object_and_one_an_object_for_its_bound() {
        let covered = || answer(200, json!({"ids": [], "latestDateCovered": "2026-11-02T09:58:00.000+0000"}));
        let idle = [covered(), covered(), rows([]), rows([]), rows([])];
        let (script, salesforce) = logged_in(
            |settings, wanted| {
                settings.leads = true;
                wanted.fields.insert("Account.Name".to_owned());
            },
            idle,
        );
        salesforce.account().await.unwrap();
        salesforce.bound().await.unwrap();
        assert_eq!(salesforce.changes(window(), None).await.unwrap(), Page::default());
        assert_eq!(script.asked().len(), 1 + 5);
    }
}
