//! The org over HTTP: logins, queries and their pages, describe, the replication feeds, single records.
//! It must not decide what a query matches.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::{Value as Json, json};
use url::form_urlencoded;

use crate::sandbox::path::segments;
use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::model::Salesforce;
use crate::sandbox::salesforce::{data, login};

/// What a URI and its headers may take together, in bytes.
const URI_CAP: usize = 16_384;
const BODY_CAP: usize = 8 * 1024 * 1024;

impl Salesforce {
    /// The org's routes, behind its gate of faults and counters.
    pub fn router(&self) -> Router {
        self.gate.guard(Router::new().fallback(answer).with_state(self.clone()))
    }
}

async fn answer(Shared(salesforce): Shared<Salesforce>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if size(&parts.uri, &parts.headers) > URI_CAP {
        let page = "<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>";
        return (StatusCode::URI_TOO_LONG, [(CONTENT_TYPE, "text/html;charset=iso-8859-1")], page).into_response();
    }
    let Ok(body) = to_bytes(body, BODY_CAP).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let path = segments(parts.uri.path());
    match path.as_slice() {
        ["services", "oauth2", "token"] => login::log_in(&salesforce, &parts.method, &parts.uri, &parts.headers, &body),
        ["services", "data"] => axum::Json(versions()).into_response(),
        ["services", "data", version, rest @ ..] => {
            let query = parts.uri.query().unwrap_or_default();
            let parameters = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            let (method, headers) = (&parts.method, &parts.headers);
            call(&salesforce, &Call { method, version, path: rest, parameters, headers, body: &body })
        }
        _ => Refusal::not_found().into_response(),
    }
}

fn size(uri: &Uri, headers: &HeaderMap) -> usize {
    let uri = uri.path_and_query().map_or(0, |path| path.as_str().len());
    uri + headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
}

fn versions() -> Json {
    let season = |version: u32| match version % 3 {
        0 => format!("Spring '{}", (version - 66) / 3 + 26),
        1 => format!("Summer '{}", (version - 67) / 3 + 26),
        _ => format!("Winter '{}", (version - 68) / 3 + 27),
    };
    let one = |version| json!({"label": season(version), "url": format!("/services/data/v{version}.0"), "version": format!("{version}.0")});
    (66..=68).map(one).collect()
}

fn call(salesforce: &Salesforce, call: &Call<'_>) -> Response {
    let bearer = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let mut state = salesforce.state();
    if !bearer.is_some_and(|token| state.admits(token)) {
        let message = "Session expired or invalid".to_owned();
        let refusal = Refusal { status: StatusCode::UNAUTHORIZED, code: "INVALID_SESSION_ID", message };
        return refusal.into_response();
    }
    let answer = if state.usage.count() {
        known_version(call.version).and_then(|()| data::answer(&mut state, call, salesforce.instant()))
    } else {
        let message = "TotalRequests Limit exceeded.".to_owned();
        Err(Refusal { status: StatusCode::FORBIDDEN, code: "REQUEST_LIMIT_EXCEEDED", message })
    };
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    if let Some(usage) = state.usage.header().and_then(|usage| HeaderValue::from_str(&usage).ok()) {
        response.headers_mut().insert("sforce-limit-info", usage);
    }
    response
}

/// v31 to v68 answer; older ones are retired.
fn known_version(version: &str) -> Result<(), Refusal> {
    let number = version.strip_prefix('v').and_then(|text| text.strip_suffix(".0")).and_then(|text| text.parse().ok());
    match number {
        Some(31..=68) => Ok(()),
        Some(7..=30) => {
            let message = format!("The requested API version {version} is retired");
            Err(Refusal { status: StatusCode::GONE, code: "UNSUPPORTED_API_VERSION", message })
        }
        _ => Err(Refusal::not_found()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::sandbox::people::{Crowd, Person};
    use crate::sandbox::salesforce::bench::{Org, at, person, send};

    #[tokio::test(start_paused = true)]
    async fn pages_end_exactly_at_their_border() {
        for (rows, pages) in [(1999, 1), (2000, 1), (2001, 2)] {
            let org = Org::new().await;
            for second in 0..rows {
                org.salesforce.add_at(&person(), at(second / 500));
            }
            let all = "SELECT Id FROM Contact ORDER BY SystemModstamp, Id";
            assert_eq!(org.ids(all).await, org.salesforce.ids());
            let requests = org.salesforce.requests();
            assert_eq!(requests.of("GET query") + requests.of("GET more"), pages, "{rows}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn keyset_pages_lose_no_tie() {
        let org = Org::new().await;
        for row in 0..1000 {
            org.salesforce.add_at(&person(), at(row / 450));
        }
        org.salesforce.set_page_size_cap(90);
        let first = "SELECT Id, SystemModstamp FROM Contact ORDER BY SystemModstamp, Id LIMIT 200";
        let mut seen = org.ids(first).await;
        loop {
            let last = seen.last().unwrap();
            let row = seen.len() as i64 - 1;
            let stamp = at(row / 450).format("%Y-%m-%dT%H:%M:%SZ");
            let page = org
                .ids(&format!(
                    "SELECT Id FROM Contact WHERE (SystemModstamp = {stamp} AND Id > '{last}') OR SystemModstamp > {stamp} \
                     ORDER BY SystemModstamp ASC, Id ASC LIMIT 200"
                ))
                .await;
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, org.salesforce.ids());
        let by_stamp = org.ids("SELECT Id FROM Contact ORDER BY SystemModstamp").await;
        assert_ne!(by_stamp, seen, "ties come in no useful order unless asked");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_commit_shows_behind_the_cursor_and_holds_back_the_coverage() {
        let org = Org::new().await;
        let late = org.salesforce.add_visible_at(&person(), at(-300), at(60));
        let updated =
            "/services/data/v66.0/sobjects/Contact/updated/?start=2026-11-02T08:00:00Z&end=2026-11-02T09:00:00Z";
        let (_, body) = org.get(updated).await;
        assert_eq!(body, json!({"ids": [], "latestDateCovered": "2026-11-02T08:55:00.000+0000"}));
        assert!(org.ids("SELECT Id FROM Contact").await.is_empty());
        tokio::time::advance(std::time::Duration::from_secs(60)).await;
        let (_, body) = org.get(updated).await;
        assert_eq!(body, json!({"ids": [late], "latestDateCovered": "2026-11-02T09:00:00.000+0000"}));
        assert_eq!(org.ids("SELECT Id FROM Contact WHERE SystemModstamp < 2026-11-02T08:56:00Z").await, [late]);
    }

    #[tokio::test(start_paused = true)]
    async fn conditions_select_what_they_say() {
        let org = Org::new().await;
        let employed = Person { email: Some("A.B@x.example".to_owned()), ..person() };
        let free = Person { company: None, email: None, last: "O'Hara".to_owned(), ..person() };
        let one = org.salesforce.add_at(&employed, at(0));
        let two = org.salesforce.add_at(&free, at(10));
        let three = org.salesforce.add_at(&free, at(20));
        assert!(org.salesforce.merge(&two, &three));
        for (condition, wanted) in [
            ("Email = 'a.b@X.example'", vec![&one]),
            ("Email != 'a.b@x.example'", vec![&two]),
            ("Email = null", vec![&two]),
            ("LastName = 'O\\'Hara'", vec![&two]),
            ("Account.Name != NULL", vec![&one]),
            ("IsDeleted = true", vec![]),
            ("NOT (Email = null) AND Owner.Name = 'integration owner'", vec![&one]),
            ("SystemModstamp >= 2026-11-02T09:00:00.900Z AND SystemModstamp <= 2026-11-02T09:00:00Z", vec![&one, &two]),
            ("SystemModstamp < 2026-11-02T09:00:00Z", vec![]),
        ] {
            let mut ids = org.ids(&format!("SELECT Id FROM Contact WHERE {condition}")).await;
            ids.sort();
            assert_eq!(ids.iter().collect::<Vec<_>>(), wanted, "{condition}");
        }
        let fifteen = format!("SELECT Id FROM Contact WHERE Id IN ('{}', '{two}', '{two}')", &one[..15]);
        assert_eq!(org.ids(&fifteen).await.len(), 2);
        let all = "/services/data/v66.0/queryAll?q=SELECT+Id,MasterRecordId+FROM+Contact+WHERE+IsDeleted=true";
        let (_, body) = org.get(all).await;
        assert_eq!((&body["records"][0]["Id"], &body["records"][0]["MasterRecordId"]), (&json!(three), &json!(two)));
        let (_, body) = org.query("SELECT account.name, Account.Website FROM contact ORDER BY Id").await;
        assert_eq!(body["records"][1]["Account"], Json::Null);
        assert_eq!(body["records"][0]["Account"]["Name"], json!(employed.company.unwrap().name));
        assert_eq!(org.query("SELECT COUNT() FROM Contact").await.1["totalSize"], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_speak_as_the_org_does() {
        let org = Org::new().await;
        let (status, body) = org.query("SELECT Id,Foo__c FROM Contact").await;
        let message = body[0]["message"].as_str().unwrap();
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD")));
        let start = "\nSELECT Id,Foo__c FROM Contact\n          ^\nERROR at Row:1:Column:11\nNo such column 'Foo__c'";
        assert!(message.starts_with(start), "{message}");
        org.salesforce.hide_field("Email");
        for (soql, code) in [
            ("SELECT Email FROM Contact", "INVALID_FIELD"),
            ("SELECT Id FROM Lead2", "INVALID_TYPE"),
            ("SELECT Id FROM", "MALFORMED_QUERY"),
            ("SELECT Id FROM Contact WHERE SystemModstamp > '2026-11-02T09:00:00Z'", "INVALID_FIELD"),
            ("SELECT Id FROM Contact WHERE Id > 'abc'", "INVALID_QUERY_FILTER_OPERATOR"),
        ] {
            assert_eq!(org.query(soql).await.1[0]["errorCode"], code, "{soql}");
        }
        for (path, status) in [
            ("/services/data/v66.0/query/0r8nonsense-2000".to_owned(), 400),
            ("/services/data/v25.0/query?q=x".to_owned(), 410),
            (format!("/services/data/v66.0/query?q={}", "x".repeat(17_000)), 414),
            ("/services/data/v66.0/sobjects/Contact/003000000000000".to_owned(), 404),
        ] {
            assert_eq!(org.get(&path).await.0, status);
        }
        org.salesforce.expire_tokens();
        let (status, body) = org.get("/services/data/v66.0/limits").await;
        let expired = json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]);
        assert_eq!((status, body), (401, expired));
        let wrong = Request::post("/services/oauth2/token").body("grant_type=client_credentials&client_id=x".into());
        assert_eq!(send(&org.salesforce, wrong.unwrap()).await.1["error"], "invalid_client_id");
    }

    #[tokio::test(start_paused = true)]
    async fn edits_binnings_and_renames_move_what_they_should() {
        let org = Org::new().await;
        let employed = (0..).find_map(|seed| Some(Crowd::new(seed).person()).filter(|person| person.company.is_some()));
        let id = org.salesforce.add_at(&employed.unwrap(), at(-TimeDelta::hours(1).num_seconds()));
        let stamp = "SELECT SystemModstamp, Account.SystemModstamp, Account.Name FROM Contact";
        assert!(org.salesforce.rename_account(&id, "Renamed"));
        let row = org.query(stamp).await.1["records"][0].clone();
        assert_eq!(
            (&row["SystemModstamp"], &row["Account"]["Name"]),
            (&json!("2026-11-02T08:00:00.000+0000"), &json!("Renamed"))
        );
        assert_eq!(row["Account"]["SystemModstamp"], "2026-11-02T09:00:00.000+0000");
        assert!(org.salesforce.edit(&id, |person| person.title = None));
        assert_eq!(org.query(stamp).await.1["records"][0]["SystemModstamp"], "2026-11-02T09:00:00.000+0000");
        assert!(org.salesforce.delete(&id));
        let deleted =
            "/services/data/v66.0/sobjects/Contact/deleted/?start=2026-11-02T08:59:00Z&end=2026-11-02T09:05:00Z";
        assert_eq!(org.get(deleted).await.1["deletedRecords"][0]["id"], json!(id));
        assert_eq!(
            org.get(&format!("/services/data/v66.0/sobjects/Contact/{id}")).await.1[0]["errorCode"],
            "ENTITY_IS_DELETED"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn collections_report_each_record_in_its_place() {
        let org = Org::new().await;
        let [one, two] = [0, 1].map(|_| org.salesforce.add_at(&person(), at(-60)));
        assert!(org.salesforce.delete(&two));
        let record = |id: &str| json!({"attributes": {"type": "Contact"}, "id": id, "Propstreet_Contact_Id__c": "42"});
        let body = json!({"allOrNone": false, "records": [record(&two), record(&one)]});
        let (status, body) = org.patch("/services/data/v66.0/composite/sobjects", &body).await;
        assert_eq!((status, &body[0]["errors"][0]["statusCode"]), (200, &json!("ENTITY_IS_DELETED")));
        assert_eq!((&body[1]["id"], &body[1]["success"]), (&json!(one), &json!(true)));
        assert_eq!(org.salesforce.written_back(&one).as_deref(), Some("42"));
    }
}
