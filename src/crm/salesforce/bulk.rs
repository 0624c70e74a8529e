//! A first reading of very many rows: a job of the Bulk API 2.0, and its results set by set. A place in it is the job and
//! the locator of the next set, so that a crash goes on where it was. Whatever becomes of a job, a walk by id can take
//! its place.
//!
//! The query has no ORDER BY, which would keep Salesforce from splitting it; create and results are of one API version.
//! <https://developer.salesforce.com/docs/platform/api-asynch/guide/query-bulk-api-2-0.html>

use std::time::Duration;

use ::http::StatusCode;
use ::http::header::{ACCEPT, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use crate::clock::Clock;
use crate::crm::request;
use crate::crm::salesforce::connection::{self, DATA};
use crate::crm::salesforce::describe::Kind;
use crate::crm::salesforce::error::ApiError;
use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::objects::Object;
use crate::crm::salesforce::place::{Job, Listed};
use crate::crm::salesforce::reader::{Halt, Reader};
use crate::crm::salesforce::table;
use crate::crm::salesforce::wire::Row;
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::client::Call;
use crate::http::transport::Response;
use crate::http::verdict::Verdict;

/// Rows of one set of results.
const SET: usize = 5_000;
/// Jobs started for one listing before it goes on as a walk.
const ATTEMPTS: u8 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long one call waits for a job; whoever asked may come again.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Jobs of one org.
pub(super) struct Bulk<'a> {
    pub reader: &'a Reader,
    pub clock: &'a Clock,
    /// More rows than this are read by a job.
    pub above: u64,
}

/// What came of reading a job on.
pub(super) enum Read {
    /// Rows, and where its results go on; after the last ones nowhere.
    Rows(Vec<Row>, Option<Job>),
    /// It is of no use any more. Another one has been started, or none: then it is to be a walk.
    Anew(Option<Job>),
}

/// Why a job is of no use.
struct Useless(String);

#[derive(Deserialize)]
struct Created {
    id: Id,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    state: String,
    number_records_processed: Option<u64>,
}

impl Bulk<'_> {
    /// Starts a job if that is worth it, and possible.
    pub(super) async fn begin(&self, object: &Object, of: Listed) -> Result<Option<Job>, Trouble> {
        let rows = match self.reader.count(&object.alive()).await {
            Ok(rows) if rows <= self.above => return Ok(None),
            Ok(rows) => Some(rows),
            // Too many to be counted in time.
            Err(Halt::TooSlow) => None,
            Err(Halt::Trouble(trouble)) => return Err(trouble),
        };
        if let Some(column) = object.columns.iter().find(|column| column.kind == Kind::Compound) {
            let (object, field) = (object.name, &column.asked);
            tracing::info!(object, field, rows, "read page by page: the Bulk API gives no compound field");
            return Ok(None);
        }
        self.create(object, of, 1).await
    }

    async fn create(&self, object: &Object, of: Listed, attempt: u8) -> Result<Option<Job>, Trouble> {
        let query = json!({
            "operation": "query", "query": object.alive().soql(None), "contentType": "CSV", "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        });
        let path = format!("{DATA}/jobs/query");
        // Sent twice it makes two jobs, of which one is read and the other ends by itself.
        let ask = |base: &Url| Call::read(request::post_json(base, &path, &query), connection::judge);
        let response = self.reader.connection.call(ask).await?;
        if !response.status().is_success() {
            let (object, refusal) = (object.name, refusal(&response));
            tracing::info!(object, refusal, "read page by page: Salesforce takes no bulk job");
            return Ok(None);
        }
        let Created { id } = body::json(&response)?;
        tracing::info!(object = object.name, job = %id, attempt, "a bulk job was started");
        Ok(Some(Job { job: id, of, attempt, locator: None, read: 0, rows: None }))
    }

    /// Reads a job on, once it is complete.
    pub(super) async fn read(&self, object: &Object, job: Job) -> Result<Read, Trouble> {
        let read = match self.completed(job.clone()).await? {
            Ok(job) => self.set(object, job).await?,
            Err(useless) => Err(useless),
        };
        match read {
            Ok((rows, next)) => {
                if next.is_none() {
                    self.delete(&job.job).await;
                }
                Ok(Read::Rows(rows, next))
            }
            Err(Useless(why)) => {
                tracing::warn!(job = %job.job, attempt = job.attempt, why, "a bulk job is of no use and is begun anew");
                let again = job.attempt < ATTEMPTS;
                Ok(Read::Anew(if again { self.create(object, job.of, job.attempt + 1).await? } else { None }))
            }
        }
    }

    /// Waits for a job of which nothing has been read yet.
    async fn completed(&self, job: Job) -> Result<Result<Job, Useless>, Trouble> {
        if job.read > 0 {
            return Ok(Ok(job));
        }
        let path = format!("{DATA}/jobs/query/{}", job.job);
        let (began, mut pause) = (self.clock.instant(), FIRST_PAUSE);
        loop {
            let response = self.reader.connection.get(&path, &[]).await?;
            if !response.status().is_success() {
                return Ok(Err(Useless(refusal(&response))));
            }
            let State { state, number_records_processed } = body::json(&response)?;
            match state.as_str() {
                "JobComplete" => return Ok(Ok(Job { rows: number_records_processed, ..job })),
                "UploadComplete" | "InProgress" | "Open" => {}
                _ => return Ok(Err(Useless(format!("it ended as {state}")))),
            }
            if self.clock.instant() - began > PATIENCE {
                let cause = format!("Salesforce's bulk job {} is not ready after an hour", job.job);
                return Err(Trouble::NotSent { cause, retry_after: Some(LONGEST_PAUSE) });
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The next set of results.
    async fn set(&self, object: &Object, job: Job) -> Result<Result<(Vec<Row>, Option<Job>), Useless>, Trouble> {
        let response = self.results(&job).await?;
        if response.status() != StatusCode::OK {
            // 204 is documented as a failure to give results, not as their end.
            return Ok(Err(Useless(refusal(&response))));
        }
        let rows = match table::rows(response.body(), &object.fields()) {
            Ok(rows) => rows,
            Err(trouble) => return Ok(Err(Useless(trouble.to_string()))),
        };
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let read = job.read + rows.len() as u64;
        // A count that is not there is not zero.
        let announced = header("sforce-numberofrecords").and_then(|count| count.parse().ok());
        if announced.is_some_and(|announced: usize| announced != rows.len()) {
            return Ok(Err(Useless("it gave a set of fewer rows than it said".to_owned())));
        }
        // The end is the word `null`; a header that is not there ends nothing.
        Ok(match header("sforce-locator") {
            Some("null") if job.rows.is_some_and(|all| all != read) => {
                Err(Useless(format!("it ended after {read} rows")))
            }
            Some("null") => Ok((rows, None)),
            Some(locator) if job.locator.as_deref() != Some(locator) && !rows.is_empty() => {
                Ok((rows, Some(Job { locator: Some(locator.to_owned()), read, ..job })))
            }
            Some(_) => Err(Useless("it gives the same set over and over".to_owned())),
            None => Err(Useless("it says neither where it goes on nor that it ends".to_owned())),
        })
    }

    async fn results(&self, job: &Job) -> Result<Response, Trouble> {
        let path = format!("{DATA}/jobs/query/{}/results", job.job);
        let mut most = SET;
        loop {
            let rows = most.to_string();
            let mut query = vec![("maxRecords", rows.as_str())];
            query.extend(job.locator.as_deref().map(|locator| ("locator", locator)));
            let ask = |base: &Url| {
                let mut request = request::get(base, &path, &query);
                request.headers_mut().insert(ACCEPT, HeaderValue::from_static("text/csv"));
                Call::read(request, judge)
            };
            match self.reader.connection.call(ask).await {
                Err(Trouble::TooLarge(_)) if most > 1 => most = (most / 4).max(1),
                answered => return answered,
            }
        }
    }

    /// A job that was read to its end is kept for days otherwise. It is no harm if this fails.
    async fn delete(&self, job: &Id) {
        let path = format!("{DATA}/jobs/query/{job}");
        let ask = |base: &Url| Call::read(request::delete(base, &path), connection::judge);
        let deleted = self.reader.connection.call(ask).await;
        let status = deleted.map(|response| response.status().as_u16());
        tracing::debug!(%job, ?status, "a bulk job that is read was deleted");
    }
}

/// As other answers, but that results are no JSON.
fn judge(response: &Response) -> Verdict {
    let page = response.body().trim_ascii_start().starts_with(b"<");
    if response.status().is_success() && !page { Verdict::Fine } else { connection::judge(response) }
}

/// The code of a refusal; its words may quote the query.
fn refusal(response: &Response) -> String {
    let code = ApiError::first(response).map(|error| error.code).unwrap_or_default();
    format!("HTTP {} {code}", response.status().as_u16()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::crm::salesforce::Salesforce;
    use crate::crm::salesforce::describe::{Shape, Shapes};
    use crate::crm::salesforce::query::LIMIT;
    use crate::crm::salesforce::rig::{id, row, rows, showing, slow};
    use crate::crm::script::{Script, answer, too_large, with};
    use crate::domain::record::{Page, Resume};
    use crate::sync::source::{ContactSource, Detail};

    const CONTACTS: &str = r#"{"part":"contacts"}"#;
    const JOB: &str = "750Da00000xnAiyIAE";

    /// An org of three thousand, of which the first page was seen.
    fn large(answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Salesforce) {
        of_kind(Kind::Text, [rows((0..LIMIT).map(row)), counted(3_000)].into_iter().chain(answers))
    }

    fn of_kind(kind: Kind, answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Salesforce) {
        let shape = Shape::of([("Email", kind), ("Account.Name", Kind::Text), ("Vip__c", Kind::Bool)]);
        let arrange = |settings: &mut crate::crm::salesforce::Settings, wanted: &mut crate::crm::Wanted| {
            settings.bulk_above = 2_500;
            wanted.fields.extend(["Account.Name", "Vip__c"].map(str::to_owned));
        };
        showing(Shapes { contact: shape, ..Shapes::default() }, arrange, answers)
    }

    fn counted(rows: u64) -> Response {
        answer(200, json!({"totalSize": rows, "done": true, "records": []}))
    }

    fn job(state: &str, rows: impl Into<Option<u64>>) -> Response {
        let rows = rows.into();
        answer(200, json!({"id": JOB, "state": state, "numberRecordsProcessed": rows}))
    }

    fn set(numbers: std::ops::Range<usize>, locator: &str) -> Response {
        let lines =
            numbers.clone().map(|n| format!("\"{}\",\"2026-11-02T09:15:41.000Z\",\"Acme\",\"\",\"true\"\n", id(n)));
        let table =
            format!("\"Id\",\"SystemModstamp\",\"Account.Name\",\"Email\",\"Vip__c\"\n{}", lines.collect::<String>());
        let count = numbers.len().to_string();
        with(with(answer(200, table), "sforce-numberofrecords", &count), "sforce-locator", locator)
    }

    fn gone() -> Response {
        answer(404, r#"[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]"#)
    }

    async fn page(salesforce: &Salesforce, place: Option<Resume>) -> Result<Page, Trouble> {
        salesforce.everyone(Detail::Records, place).await
    }

    fn place(text: &str) -> Option<Resume> {
        Some(Resume(text.to_owned()))
    }

    fn at(page: &Page) -> &str {
        page.next.as_ref().map_or("the end", |place| &place.0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_first_reading_is_a_job_whose_sets_are_read_to_the_word_null() {
        let (script, salesforce) = large([
            job("UploadComplete", None),
            job("InProgress", 0),
            job("JobComplete", 3),
            set(0..2, "MTAwMDA"),
            set(2..3, "null"),
            answer(204, ""),
        ]);
        let begun = page(&salesforce, place(CONTACTS)).await.unwrap();
        assert!(begun.sightings.is_empty() && at(&begun).contains(JOB), "{begun:?}");
        let first = page(&salesforce, begun.next).await.unwrap();
        // A fresh start knows nothing but the place.
        let last = page(&salesforce, first.next.clone()).await.unwrap();
        assert_eq!((first.sightings.len(), last.sightings.len(), at(&last)), (2, 1, "the end"));
        let record = first.sightings[0].record.as_ref().unwrap();
        assert_eq!(
            Value::Object(record.fields.clone()),
            json!({"Account.Name": "Acme", "Email": null, "Vip__c": true})
        );
        assert_eq!(record.modified.unwrap().to_rfc3339(), "2026-11-02T09:15:41+00:00");
        let asked = script.asked();
        assert_eq!(asked[2].soql(), "SELECT COUNT() FROM Contact");
        let query = "SELECT Id,SystemModstamp,Account.Name,Email,Vip__c FROM Contact";
        assert_eq!((&asked[3].json()["query"], &asked[3].json()["operation"]), (&json!(query), &json!("query")));
        let results = format!("/services/data/v66.0/jobs/query/{JOB}/results");
        assert_eq!((asked[6].url.path(), asked[6].query("locator")), (results.as_str(), None));
        assert_eq!(
            (asked[6].query("maxRecords").as_deref(), &asked[6].headers["accept"]),
            (Some("5000"), &HeaderValue::from_static("text/csv"))
        );
        assert_eq!(asked[7].query("locator").as_deref(), Some("MTAwMDA"));
        assert_eq!(asked[8].url.path(), results.trim_end_matches("/results"), "the job is deleted in the end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_first_reading_is_walked_and_a_sweep_always() {
        let full = || rows((0..LIMIT).map(row));
        for (detail, answers) in [
            (Detail::Records, vec![rows([row(1)])]),
            (Detail::Records, vec![full(), counted(2_500)]),
            (Detail::Stamps, vec![full()]),
        ] {
            let (script, salesforce) = of_kind(Kind::Text, answers);
            let page = salesforce.everyone(detail, place(CONTACTS)).await.unwrap();
            assert!(!page.sightings.is_empty());
            script.asked();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rows_too_many_to_be_counted_in_time_are_many() {
        let (script, salesforce) =
            of_kind(Kind::Text, [rows((0..LIMIT).map(row)), slow(), job("UploadComplete", None)]);
        assert!(at(&page(&salesforce, place(CONTACTS)).await.unwrap()).contains(JOB));
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_job_and_a_compound_field_leave_it_to_a_walk() {
        let quota = answer(
            400,
            r#"[{"errorCode":"EXCEEDEDQUOTA","message":"Max bulk v2 query jobs (10000) has been reached"}]"#,
        );
        let off = answer(403, r#"[{"errorCode":"API_DISABLED_FOR_ORG","message":"off"}]"#);
        for refused in [quota, off] {
            let (script, salesforce) = large([refused]);
            assert_eq!(page(&salesforce, place(CONTACTS)).await.unwrap().sightings.len(), LIMIT);
            script.asked();
        }
        let (script, salesforce) = of_kind(Kind::Compound, [rows((0..LIMIT).map(row)), counted(3_000), rows([])]);
        let walked = page(&salesforce, place(CONTACTS)).await.unwrap();
        assert_eq!(walked.sightings.len(), LIMIT);
        assert_eq!(at(&page(&salesforce, walked.next).await.unwrap()), "the end");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_is_lost_is_begun_anew_and_after_three_it_is_a_walk() {
        let lost = [gone(), job("Failed", None), job("Aborted", None)];
        let [first, second, third] = lost;
        let begin = || job("UploadComplete", None);
        let (script, salesforce) = large([begin(), first, begin(), second, begin(), third, rows((0..LIMIT).map(row))]);
        let mut next = place(CONTACTS);
        for attempt in 1..=3 {
            let page = page(&salesforce, next).await.unwrap();
            assert!(page.sightings.is_empty() && at(&page).contains(&format!("\"attempt\":{attempt}")), "{page:?}");
            next = page.next;
        }
        let given_up = page(&salesforce, next).await.unwrap();
        let walked = page(&salesforce, given_up.next).await.unwrap();
        assert_eq!(walked.sightings.len(), LIMIT, "and nobody is counted for a fourth job");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn results_that_may_have_been_cut_are_no_end() {
        let headless = |name: &str| {
            let mut set = set(0..2, "null");
            set.headers_mut().remove(name);
            set
        };
        let resumed =
            format!(r#"{{"part":"bulk","job":"{JOB}","of":"contacts","attempt":1,"locator":"MTA","read":3,"rows":5}}"#);
        let quiet = resumed.replace(",\"rows\":5", "");
        for (what, place_text, set, whole) in [
            ("whole", &resumed, set(0..2, "null"), true),
            ("fewer rows than the job has", &resumed, set(0..1, "null"), false),
            ("fewer rows than the set says", &resumed, with(set(0..2, "null"), "sforce-numberofrecords", "3"), false),
            ("a count that is not there is not zero", &resumed, headless("sforce-numberofrecords"), true),
            ("no count of the job is not zero either", &quiet, set(0..1, "null"), true),
            ("no locator is not the end", &resumed, headless("sforce-locator"), false),
            ("the same locator again", &resumed, set(0..2, "MTA"), false),
            ("no content", &quiet, with(answer(204, ""), "sforce-locator", "null"), false),
            ("an empty set that goes on", &resumed, set(0..0, "MTB"), false),
            ("a locator that is forgotten", &resumed, gone(), false),
            ("another version", &resumed, answer(409, "[]"), false),
            ("no table", &resumed, with(answer(200, "003A,x\n"), "sforce-locator", "null"), false),
        ] {
            let then = if whole { gone() } else { job("UploadComplete", None) };
            let (script, salesforce) = of_kind(Kind::Text, [set, then]);
            let page = page(&salesforce, place(place_text)).await.unwrap();
            assert_eq!((page.sightings.is_empty(), at(&page) == "the end"), (!whole, whole), "{what}");
            script.asked();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sets_that_are_too_large_are_asked_for_in_smaller_ones() {
        let resumed =
            format!(r#"{{"part":"bulk","job":"{JOB}","of":"contacts","attempt":1,"locator":"MTA","read":3}}"#);
        let (script, salesforce) = of_kind(Kind::Text, [too_large(), set(0..2, "MTB")]);
        assert_eq!(page(&salesforce, place(&resumed)).await.unwrap().sightings.len(), 2);
        assert_eq!(script.asked()[2].query("maxRecords").as_deref(), Some("1250"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_is_waited_for_with_growing_pauses_and_not_for_ever() {
        let waiting = (0..125).map(|_| job("InProgress", 0));
        let (script, salesforce) = of_kind(Kind::Text, waiting);
        let resumed = format!(r#"{{"part":"bulk","job":"{JOB}","of":"contacts","attempt":1}}"#);
        let began = salesforce.clock.instant();
        let trouble = page(&salesforce, place(&resumed)).await.unwrap_err();
        assert!(trouble.passes() && trouble.to_string().contains(JOB), "{trouble}");
        assert!((3_600..3_700).contains(&(salesforce.clock.instant() - began).as_secs()));
        script.asked();
    }
}
