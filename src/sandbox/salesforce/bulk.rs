//! The Bulk API 2.0, as far as it queries: jobs over time, and their results as CSV.
//! It must not know how calls arrive or who may make them.

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use chrono::{DateTime, Utc};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::columns::{Kind, Path, Record, Value};
use crate::sandbox::salesforce::jobs::{Job, Stage};
use crate::sandbox::salesforce::objects::{Object, with_type};
use crate::sandbox::salesforce::pages::stamp;
use crate::sandbox::salesforce::query::{object, parse, pointed};
use crate::sandbox::salesforce::records::{Account, Contact, Lead};
use crate::sandbox::salesforce::search::{self, Refused};
use crate::sandbox::salesforce::soql::Query;
use crate::sandbox::salesforce::state::State;

/// Rows of a page of results when nobody says how many.
const RESULTS: usize = 50_000;
/// What a job's query must not hold, each with the words of the refusal.
const UNSUPPORTED: [(&str, &str); 7] = [
    ("GROUP BY", "Group By not supported in Bulk Query"),
    ("COUNT(", "Aggregate functions not supported in Bulk Query"),
    ("SUM(", "Aggregate functions not supported in Bulk Query"),
    ("MAX(", "Aggregate functions not supported in Bulk Query"),
    ("OFFSET ", "Offset not supported in Bulk Query"),
    ("TYPEOF ", "TypeOf not supported in Bulk Query"),
    ("(SELECT", "Aggregate Relationships not supported in Bulk Query"),
];

/// Answers a call below `jobs/query`.
pub fn answer(state: &mut State, call: &Call<'_>, path: &[&str], now: DateTime<Utc>) -> Result<Response, Refusal> {
    match (call.method, path) {
        (&Method::POST, []) => create(state, call, now),
        (&Method::GET, [id]) => Ok(axum::Json(info(id, known(state, id, now)?, now)).into_response()),
        (&Method::GET, [id, "results"]) => results(state, call, id, now),
        (&Method::PATCH, [id]) => abort(state, call, id, now),
        (&Method::DELETE, [id]) => delete(state, id, now),
        _ => Err(Refusal::not_found()),
    }
}

fn create(state: &mut State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let unreadable = || Refusal::bad("JSON_PARSER_ERROR", "The body cannot be read as the expected object");
    let asked: Json = serde_json::from_slice(call.body).map_err(|_| unreadable())?;
    let word = |name: &str, default: &str| asked[name].as_str().unwrap_or(default).to_owned();
    let (operation, text) = (word("operation", ""), word("query", ""));
    let (delimiter, line_ending) = (word("columnDelimiter", "COMMA"), word("lineEnding", "LF"));
    if !matches!(operation.as_str(), "query" | "queryAll") || word("contentType", "CSV") != "CSV" {
        return Err(Refusal::bad("INVALIDJOB", "operation must be query or queryAll, contentType CSV"));
    }
    let between =
        separator(&delimiter).ok_or_else(|| Refusal::bad("INVALIDJOB", "columnDelimiter is not one of the six"))?;
    let (quota, made) = (state.levers.jobs_a_day, state.jobs.today(now));
    if made >= quota {
        let message = format!("Max bulk v2 query jobs ({quota}) per 24 hrs has been reached ({made})");
        return Err(Refusal::bad("LIMIT_EXCEEDED", message));
    }
    supported(&text)?;
    let query = parse(&text)?;
    let object = object(state, &text, &query)?;
    let found = with_type!(object, T => lines::<T>(state, &query, operation == "queryAll", between, now));
    let (header, lines) = found.map_err(|refused| match refused.code {
        "FUNCTIONALITY_NOT_ENABLED" => Refusal::bad(refused.code, refused.message),
        _ => pointed(&text, &refused),
    })?;
    let job = Job {
        created: now,
        done: now + state.levers.job_takes,
        aborted: None,
        failure: state.levers.jobs_fail.clone(),
        version: call.version.to_owned(),
        operation,
        query: text,
        object: object.name(),
        delimiter,
        line_ending,
        header,
        lines,
    };
    let id = state.jobs.add(job.clone());
    Ok(axum::Json(info(&id, &job, now)).into_response())
}

/// Refuses a query for a word outside its quoted texts.
fn supported(text: &str) -> Result<(), Refusal> {
    let words: String = text.to_uppercase().split('\'').step_by(2).collect();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let refused = UNSUPPORTED.iter().find(|(word, _)| words.contains(word));
    refused.map_or(Ok(()), |(_, message)| Err(Refusal::bad("FUNCTIONALITY_NOT_ENABLED", *message)))
}

fn separator(name: &str) -> Option<char> {
    const SEPARATORS: [(&str, char); 6] =
        [("COMMA", ','), ("SEMICOLON", ';'), ("TAB", '\t'), ("PIPE", '|'), ("CARET", '^'), ("BACKQUOTE", '`')];
    SEPARATORS.into_iter().find(|(known, _)| *known == name).map(|(_, separator)| separator)
}

/// The header and one line a row, as the rows are now.
fn lines<T: Record>(
    state: &State,
    query: &Query,
    binned: bool,
    between: char,
    now: DateTime<Utc>,
) -> Result<(String, Vec<String>), Refused> {
    let plan = search::plan::<T>(query, &|field| state.hides(field))?;
    let fields: &[Path<T>] = plan.fields.as_deref().unwrap_or_default();
    if fields.iter().any(|path| path.kind() == Kind::Address) {
        let message = "Selecting compound data not supported in Bulk Query".to_owned();
        return Err(Refused { code: "FUNCTIONALITY_NOT_ENABLED", message, at: 0 });
    }
    let line = |cells: Vec<String>| cells.join(&between.to_string());
    let rows = plan.run(&state.tables, binned, now);
    let lines = rows.iter().map(|row| line(fields.iter().map(|path| cell(path.value(row, &state.tables))).collect()));
    Ok((line(fields.iter().map(|path| quoted(&path.spelling())).collect()), lines.collect()))
}

/// Null is spelled as an empty text would be.
fn cell(value: Value) -> String {
    quoted(&match value {
        Value::Null | Value::Address(..) => String::new(),
        Value::Text(text) | Value::Id(text) => text,
        Value::Bool(bool) => bool.to_string(),
        Value::Number(number) => format!("{number:?}"),
        Value::Date(day) => day.to_string(),
        Value::Instant(instant) => instant.format("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn known<'a>(state: &'a State, id: &str, now: DateTime<Utc>) -> Result<&'a Job, Refusal> {
    state.jobs.get(id, now).ok_or_else(Refusal::not_found)
}

fn info(id: &str, job: &Job, now: DateTime<Utc>) -> Json {
    let stage = job.stage(now);
    let mut body = json!({
        "id": id, "operation": job.operation, "object": job.object, "query": job.query,
        "createdDate": stamp(job.created), "systemModstamp": stamp(job.aborted.unwrap_or(now.min(job.done))),
        "state": format!("{stage:?}"), "concurrencyMode": "Parallel", "contentType": "CSV",
        "apiVersion": job.version.trim_start_matches('v').parse().unwrap_or(0.0), "jobType": "V2Query",
        "lineEnding": job.line_ending, "columnDelimiter": job.delimiter,
        "numberRecordsProcessed": job.processed(now), "retries": 0, "totalProcessingTime": 0,
    });
    if stage == Stage::Failed {
        body["errorMessage"] = job.failure.clone().into();
    }
    body
}

fn results(state: &State, call: &Call<'_>, id: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let job = known(state, id, now)?;
    if job.version != call.version {
        let message = format!("The job was made with API version {}, not {}", job.version, call.version);
        return Err(Refusal { status: StatusCode::CONFLICT, code: "INVALID_API_VERSION", message });
    }
    if job.stage(now) != Stage::JobComplete {
        let message = format!("Invalid job state: {:?}; results are there when it is JobComplete", job.stage(now));
        return Err(Refusal::bad("INVALIDJOBSTATE", message));
    }
    let wrong = |name: &str| Refusal::bad("INVALID_PARAMETER", format!("invalid {name}"));
    let most = call.parameter("maxRecords").map_or(Ok(RESULTS), str::parse).map_err(|_| wrong("maxRecords"))?;
    let offset = call.parameter("locator").map_or(Some(0), offset_in).ok_or_else(|| wrong("locator"))?;
    if most == 0 || (offset > 0 && offset >= job.lines.len()) {
        return Err(wrong(if most == 0 { "maxRecords" } else { "locator" }));
    }
    let ending = if job.line_ending == "CRLF" { "\r\n" } else { "\n" };
    let page: Vec<&String> = job.lines.iter().skip(offset).take(most.min(state.levers.results_cap)).collect();
    let next = offset + page.len();
    let locator = if next < job.lines.len() { locator_of(next) } else { "null".to_owned() };
    let body: String =
        std::iter::once(&job.header).chain(page.iter().copied()).flat_map(|line| [line, ending]).collect();
    let headers = [("sforce-locator", locator), ("sforce-numberofrecords", page.len().to_string())];
    Ok(([(CONTENT_TYPE, "text/csv")], headers, body).into_response())
}

fn locator_of(offset: usize) -> String {
    BASE64_STANDARD_NO_PAD.encode(offset.to_string())
}

fn offset_in(locator: &str) -> Option<usize> {
    let text = BASE64_STANDARD_NO_PAD.decode(locator).ok()?;
    std::str::from_utf8(&text).ok()?.parse().ok().filter(|offset| *offset > 0)
}

fn abort(state: &mut State, call: &Call<'_>, id: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let job = known(state, id, now)?;
    let body: Json = serde_json::from_slice(call.body).unwrap_or(Json::Null);
    if body["state"] != "Aborted" || job.stage(now).is_final() {
        let message = format!("Invalid job state: {:?}; only a job that runs can be set to Aborted", job.stage(now));
        return Err(Refusal::bad("INVALIDJOBSTATE", message));
    }
    state.jobs.abort(id, now);
    Ok(axum::Json(info(id, known(state, id, now)?, now)).into_response())
}

fn delete(state: &mut State, id: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    if !known(state, id, now)?.stage(now).is_final() {
        return Err(Refusal::bad("INVALIDJOBSTATE", "Only a job that is complete, failed or aborted can be deleted"));
    }
    state.jobs.remove(id);
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use http::HeaderMap;

    use super::*;
    use crate::sandbox::people::Person;
    use crate::sandbox::salesforce::bench::{Org, at, employed, pass, person};

    const JOBS: &str = "/services/data/v66.0/jobs/query";

    async fn post(org: &Org, operation: &str, query: &str) -> (u16, Json) {
        let body = json!({"operation": operation, "query": query}).to_string();
        let (status, _, body) = org.call(Method::POST, JOBS, &[("content-type", "application/json")], &body).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn made(org: &Org, operation: &str, query: &str) -> String {
        let (status, job) = post(org, operation, query).await;
        assert_eq!((status, &job["state"]), (200, &json!("UploadComplete")), "{job}");
        job["id"].as_str().unwrap().to_owned()
    }

    async fn page(org: &Org, id: &str, parameters: &str) -> (u16, HeaderMap, String) {
        org.call(Method::GET, &format!("{JOBS}/{id}/results{parameters}"), &[("accept", "text/csv")], "").await
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_takes_its_time_and_answers_from_a_snapshot() {
        let org = Org::new().await;
        for row in 0..5 {
            org.salesforce.add_at(&person(), at(row - 600));
        }
        let id = made(&org, "query", "SELECT Id FROM Contact").await;
        org.salesforce.add(&person());
        let path = format!("{JOBS}/{id}");
        for (wait, state, processed) in [(0, "UploadComplete", 0), (5, "InProgress", 2), (5, "JobComplete", 5)] {
            pass(wait).await;
            let job = org.get(&path).await.1;
            assert_eq!((&job["state"], &job["numberRecordsProcessed"]), (&json!(state), &json!(processed)));
            assert_eq!(page(&org, &id, "").await.0, if state == "JobComplete" { 200 } else { 400 });
        }
        let mut ids = Vec::new();
        let mut parameters = "?maxRecords=2".to_owned();
        loop {
            let (_, headers, body) = page(&org, &id, &parameters).await;
            let mut lines = body.lines();
            assert_eq!(lines.next(), Some("\"Id\""), "each page has its header");
            let before = ids.len();
            ids.extend(lines.map(|line| line.trim_matches('"').to_owned()));
            assert_eq!(headers["sforce-numberofrecords"], (ids.len() - before).to_string());
            match headers["sforce-locator"].to_str().unwrap() {
                "null" => break,
                locator => parameters = format!("?locator={locator}&maxRecords=2"),
            }
        }
        let mut sorted = ids.clone();
        sorted.sort();
        assert_eq!(sorted, org.salesforce.ids()[..5]);
        assert_ne!(ids, sorted, "rows come in no useful order");
        let requests = org.salesforce.requests();
        assert_eq!((requests.of("POST job"), requests.of("GET job"), requests.of("GET results")), (1, 3, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn csv_quotes_and_cannot_tell_null_from_nothing() {
        let org = Org::new().await;
        let someone = Person { last: "O \"Q\", jr".to_owned(), title: None, ..employed() };
        let company = someone.company.clone().unwrap().name;
        let id = org.salesforce.add(&someone);
        assert!(org.salesforce.set_field(&id, "Notes__c", Value::Text("one\ntwo, \"three\"".to_owned())));
        assert!(org.salesforce.set_field(&id, "Score__c", Value::Number(12.0)));
        assert!(org.salesforce.delete(&id));
        let fields = "Id, IsDeleted, LastName, Title, Notes__c, Score__c, Account.Name, SystemModstamp";
        let empty = made(&org, "query", &format!("SELECT {fields} FROM Contact")).await;
        let job = made(&org, "queryAll", &format!("SELECT {fields} FROM Contact")).await;
        pass(10).await;
        let header = "\"Id\",\"IsDeleted\",\"LastName\",\"Title\",\"Notes__c\",\"Score__c\",\"Account.Name\",\"SystemModstamp\"\n";
        let row = format!(
            "\"{id}\",\"true\",\"O \"\"Q\"\", jr\",\"\",\"one\ntwo, \"\"three\"\"\",\"12.0\",\"{company}\",\
             \"2026-11-02T09:00:00.000Z\"\n"
        );
        assert_eq!(page(&org, &job, "").await.2, format!("{header}{row}"));
        let (status, headers, body) = page(&org, &empty, "").await;
        assert_eq!((status, body.as_str()), (200, header));
        assert_eq!(
            (&headers["sforce-numberofrecords"], &headers["sforce-locator"]),
            (&"0".parse().unwrap(), &"null".parse().unwrap())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_job_cannot_ask_is_refused() {
        let org = Org::new().await;
        for (query, code) in [
            ("SELECT COUNT() FROM Contact", "FUNCTIONALITY_NOT_ENABLED"),
            ("SELECT LastName FROM Contact GROUP BY LastName", "FUNCTIONALITY_NOT_ENABLED"),
            ("SELECT Id FROM Contact OFFSET 10", "FUNCTIONALITY_NOT_ENABLED"),
            ("SELECT TYPEOF Owner WHEN User THEN Id END FROM Lead", "FUNCTIONALITY_NOT_ENABLED"),
            ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "FUNCTIONALITY_NOT_ENABLED"),
            ("SELECT Id, MailingAddress FROM Contact", "FUNCTIONALITY_NOT_ENABLED"),
            ("SELECT Foo__c FROM Contact", "INVALID_FIELD"),
            ("SELECT Id FROM Contakt", "INVALID_TYPE"),
            ("SELECT Id Contact", "MALFORMED_QUERY"),
        ] {
            let (status, body) = post(&org, "query", query).await;
            assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)), "{query}");
        }
        assert_eq!(post(&org, "insert", "SELECT Id FROM Contact").await.0, 400);
        assert_eq!(post(&org, "query", "SELECT Id FROM Contact ORDER BY Id LIMIT 3").await.0, 200, "slow but allowed");
        assert_eq!(post(&org, "query", "SELECT Id FROM Contact WHERE Title = 'Offset printer'").await.0, 200);
        org.salesforce.set_job_quota(1);
        let (status, body) = post(&org, "query", "SELECT Id FROM Contact").await;
        let message = body[0]["message"].as_str().unwrap();
        assert!(
            status == 400 && message.starts_with("Max bulk v2 query jobs (1) ") && message.contains("has been reached")
        );
        org.salesforce.expire_tokens();
        let (status, body) = post(&org, "query", "SELECT Id FROM Contact").await;
        assert_eq!((status, &body[0]["errorCode"]), (401, &json!("INVALID_SESSION_ID")));
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_fail_end_are_forgotten_and_grow_old() {
        let org = Org::new().await;
        org.salesforce.fail_jobs(Some("InternalServerError : Retried more than fifteen times"));
        let failed = made(&org, "query", "SELECT Id FROM Contact").await;
        org.salesforce.fail_jobs(None);
        let [aborted, kept] =
            [made(&org, "query", "SELECT Id FROM Lead").await, made(&org, "query", "SELECT Id FROM Lead").await];
        let path = |id: &str| format!("{JOBS}/{id}");
        let delete = async |id: &str| org.call(Method::DELETE, &path(id), &[], "").await.0;
        assert_eq!(delete(&kept).await, 400, "it runs");
        assert_eq!(org.patch(&path(&aborted), &json!({"state": "Aborted"})).await.1["state"], "Aborted");
        pass(10).await;
        let job = org.get(&path(&failed)).await.1;
        assert_eq!((&job["state"], &job["numberRecordsProcessed"]), (&json!("Failed"), &json!(0)));
        assert_eq!(job["errorMessage"], "InternalServerError : Retried more than fifteen times");
        assert_eq!(org.get(&path(&aborted)).await.1["state"], "Aborted");
        assert_eq!([page(&org, &failed, "").await.0, page(&org, &aborted, "").await.0], [400, 400]);
        assert_eq!(org.patch(&path(&kept), &json!({"state": "Aborted"})).await.0, 400, "it is done");
        assert_eq!(org.get(&format!("/services/data/v67.0/jobs/query/{kept}/results")).await.0, 409);
        assert_eq!(
            [page(&org, &kept, "?locator=nonsense").await.0, page(&org, &kept, "?maxRecords=0").await.0],
            [400, 400]
        );
        assert_eq!([delete(&aborted).await, delete(&aborted).await], [204, 404]);
        pass(7 * 86_400 - 11).await;
        assert_eq!(org.get(&path(&kept)).await.0, 200);
        pass(1).await;
        assert_eq!(org.get(&path(&kept)).await.0, 404, "seven days are over");
        let fresh = made(&org, "query", "SELECT Id FROM Lead").await;
        org.salesforce.forget_jobs();
        assert_eq!(org.get(&path(&fresh)).await.0, 404);
        org.salesforce.set_job_duration(TimeDelta::zero());
        let job = post(&org, "query", "SELECT Id FROM Lead").await.1;
        assert_eq!(job["state"], "JobComplete");
    }
}
