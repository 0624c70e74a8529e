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

use crate::clock::Clock;
use crate::crm::request;
use crate::crm::salesforce::connection::{self, DATA};
use crate::crm::salesforce::describe::Kind;
use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::objects::Object;
use crate::crm::salesforce::place::{Job, Listed};
use crate::crm::salesforce::reader::Reader;
use crate::crm::salesforce::table;
use crate::crm::salesforce::wire::{ApiError, Row};
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
        let rows = self.reader.count(&object.alive()).await?;
        if rows <= self.above {
            return Ok(None);
        }
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
        let ask = |base: &_| Call::read(request::post_json(base, &path, &query), connection::judge);
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
            let ask = |base: &_| {
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
        let ask = |base: &_| Call::read(request::delete(base, &path), connection::judge);
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
