//! The company over HTTP: token, costs, paths, envelopes.
//! It must not know how a list finds its rows.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value as Json, json};
use url::form_urlencoded;

use crate::sandbox::path::segments;
use crate::sandbox::pipedrive::fields::{self, Contact, OWNER, Organization, PROPSTREET_ID, Record, View};
use crate::sandbox::pipedrive::listing::{self, Listing};
use crate::sandbox::pipedrive::model::{COMPANY, DeletedRead, Pipedrive, State, TOKEN};
use crate::sandbox::pipedrive::rates::Refused;
use crate::sandbox::pipedrive::routes::kind;
use crate::sandbox::table::{Row, Table};

const BODY_CAP: usize = 1024 * 1024;

struct Refusal(StatusCode, Json);

impl Refusal {
    fn new(status: StatusCode, error: &str) -> Self {
        let body = json!({"success": false, "error": error, "error_info": "Please check developers.pipedrive.com",
                          "data": null, "additional_data": null});
        Self(status, body)
    }

    fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, &format!("{what} not found"))
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &format!("Validation failed: {message}"))
    }
}

impl Pipedrive {
    /// The company's routes, behind its gate of faults and counters.
    pub fn router(&self) -> Router {
        self.gate.guard(Router::new().fallback(answer).with_state(self.clone()))
    }
}

/// What a call costs, in tokens.
fn cost(method: &Method, kind: &str) -> u64 {
    match kind {
        "person" | "organization" if method == Method::PATCH => 5,
        "person" | "organization" => 1,
        "me" => 2,
        "users" => 20,
        "persons" | "organizations" | "fields" => 10,
        _ => 0,
    }
}

async fn answer(Shared(pipedrive): Shared<Pipedrive>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_CAP).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let now = pipedrive.instant();
    let mut state = pipedrive.state();
    state.answers += 1;
    let correlation = format!("{:032x}", state.answers);
    let path = segments(parts.uri.path());
    let query = parts.uri.query().unwrap_or_default();
    let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let call = Call { method: &parts.method, parameters: &parameters, body: &body, now };
    let price = cost(&parts.method, kind(parts.uri.path()));
    let mut response = match state.rates.charge(price, now) {
        Err(Refused::Blocked) => {
            let page = "<!DOCTYPE html><html><head><title>Access denied | Cloudflare</title></head><body>Error 1020</body></html>";
            return (StatusCode::FORBIDDEN, [(CONTENT_TYPE, "text/html; charset=UTF-8")], page).into_response();
        }
        Err(Refused::Burst | Refused::Daily) => {
            refuse(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "Request over limit"))
        }
        Ok(()) if !authorised(&state, &parts.headers) => unauthorised(),
        Ok(()) => call.answer(&mut state, &path).unwrap_or_else(refuse),
    };
    let headers = response.headers_mut();
    if let Ok(correlation) = HeaderValue::from_str(&correlation) {
        headers.insert("x-correlation-id", correlation);
    }
    advertise(&state, headers);
    response
}

fn refuse(Refusal(status, body): Refusal) -> Response {
    (status, axum::Json(body)).into_response()
}

fn authorised(state: &State, headers: &HeaderMap) -> bool {
    !state.expired && headers.get("x-api-token").is_some_and(|token| token == TOKEN)
}

fn unauthorised() -> Response {
    let body = json!({"success": false, "error": "unauthorized access", "errorCode": 401,
                      "error_info": "Please check developers.pipedrive.com"});
    (StatusCode::UNAUTHORIZED, [("x-401-by-gw", "true")], axum::Json(body)).into_response()
}

fn advertise(state: &State, headers: &mut HeaderMap) {
    let rates = &state.rates;
    if !rates.headers {
        return;
    }
    if let (Some(limit), Some(left)) = (rates.burst, rates.burst_left()) {
        headers.insert("x-ratelimit-limit", HeaderValue::from(limit));
        headers.insert("x-ratelimit-remaining", HeaderValue::from(left));
        headers.insert("x-ratelimit-reset", HeaderValue::from(2));
    }
    if let (Some(limit), Some(left)) = (rates.daily, rates.tokens_left()) {
        headers.insert("x-daily-ratelimit-token-limit", HeaderValue::from(limit));
        headers.insert("x-daily-ratelimit-token-remaining", HeaderValue::from(left));
    }
}

struct Call<'a> {
    method: &'a Method,
    parameters: &'a [(String, String)],
    body: &'a [u8],
    now: DateTime<Utc>,
}

impl Call<'_> {
    fn answer(&self, state: &mut State, path: &[&str]) -> Result<Response, Refusal> {
        match (self.method, path) {
            (&Method::GET, ["v1", "users", "me"]) => Ok(success(&me(), None)),
            (&Method::GET, ["v1", "users"]) => Ok(success(&json!([me()]), None)),
            (&Method::GET, ["api", "v2", "persons"]) => {
                self.list(state, &state.persons, |organization| state.members(organization))
            }
            (&Method::GET, ["api", "v2", "organizations"]) => self.list(state, &state.organizations, |_| Vec::new()),
            (&Method::GET, ["api", "v2", "persons", id]) => self.one(state, &state.persons, id, "Person"),
            (&Method::GET, ["api", "v2", "organizations", id]) => {
                self.one(state, &state.organizations, id, "Organization")
            }
            (&Method::PATCH, ["api", "v2", "persons", id]) => self.write_back(state, id),
            (&Method::GET, ["api", "v2", "personFields", rest @ ..]) => self.fields::<Contact>(state, rest),
            (&Method::GET, ["api", "v2", "organizationFields", rest @ ..]) => self.fields::<Organization>(state, rest),
            _ => Err(Refusal::not_found("Path")),
        }
    }

    fn list<T: Record>(
        &self,
        state: &State,
        table: &Table<T>,
        members: impl FnOnce(u64) -> Vec<u64>,
    ) -> Result<Response, Refusal> {
        let listing = Listing::parse::<T>(self.parameters)?;
        if state.empty_pages.is_some_and(|every| state.answers.is_multiple_of(every)) {
            let again = listing.cursor(listing.start(), state.answers);
            return Ok(success(&json!([]), Some(json!({"next_cursor": again}))));
        }
        let (rows, last) = listing.page(table, members, state.page_cap, self.now);
        let shown = |row: &Row<T>| fields::render(row, &listing.view, state.bare, state.absent);
        let data: Vec<Json> = rows.iter().map(|row| shown(row)).collect();
        // The end is spelt in three ways.
        let additional = match (last, state.answers % 3) {
            (Some(_), _) => Some(json!({"next_cursor": listing.cursor(last, state.answers)})),
            (None, 0) => Some(json!({"next_cursor": null})),
            (None, 1) => Some(json!({})),
            (None, _) => None,
        };
        Ok(success(&data.into(), additional))
    }

    fn one<T: Record>(&self, state: &State, table: &Table<T>, id: &str, what: &str) -> Result<Response, Refusal> {
        let mut view = View::default();
        for (name, value) in self.parameters {
            if !listing::view::<T>(name, value, &mut view)? {
                return Err(format!("{name} is not allowed").into());
            }
        }
        let key: u64 = id.parse().map_err(|_| "id: must be an integer".to_owned())?;
        let row = table.get(key, self.now).ok_or_else(|| Refusal::not_found(what))?;
        match (row.deleted, state.deleted_read) {
            (None, _) | (Some(_), DeletedRead::Shown) => {
                Ok(success(&fields::render(row, &view, state.bare, state.absent), None))
            }
            (Some(_), DeletedRead::NotFound) => Err(Refusal::not_found(what)),
            (Some(_), DeletedRead::Gone) => {
                Err(Refusal(StatusCode::GONE, json!({"success": true, "data": {"id": key}})))
            }
        }
    }

    /// Only the write-back field can be set: no integration under test has business with the others.
    fn write_back(&self, state: &mut State, id: &str) -> Result<Response, Refusal> {
        let key: u64 = id.parse().map_err(|_| "id: must be an integer".to_owned())?;
        let live = state.persons.get(key, self.now).filter(|row| row.deleted.is_none());
        live.ok_or_else(|| Refusal::not_found("Person"))?;
        let body: Json = serde_json::from_slice(self.body).map_err(|_| "body: must be JSON".to_owned())?;
        let only =
            |json: &Json, name: &str| json.as_object().is_some_and(|map| map.len() == 1 && map.contains_key(name));
        if !only(&body, "custom_fields") || !only(&body["custom_fields"], PROPSTREET_ID) {
            return Err(format!("only custom_fields.{PROPSTREET_ID} can be written").into());
        }
        let written = match &body["custom_fields"][PROPSTREET_ID] {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            _ => return Err(format!("custom_fields.{PROPSTREET_ID}: must be a string").into()),
        };
        state.touch(key, self.now, |row| row.value.propstreet_id = written);
        self.one(state, &state.persons, id, "Person")
    }

    fn fields<T: Record>(&self, state: &State, rest: &[&str]) -> Result<Response, Refusal> {
        let mut all = fields::definitions::<T>();
        let custom = T::built_in().len();
        let filler = (0..state.further_fields).map(|number| {
            json!({"field_name": format!("Field {number}"), "field_code": format!("{number:040x}"), "field_type": "varchar",
                   "is_custom_field": true, "is_optional_response_field": false, "options": null, "subfields": null})
        });
        all.splice(custom..custom, filler);
        let (mut limit, mut start) = (100, 0);
        match rest {
            [] => {}
            [code] => {
                let field = all.iter().find(|field| field["field_code"] == *code);
                return field.map(|field| success(field, None)).ok_or_else(|| Refusal::not_found("Field"));
            }
            _ => return Err(Refusal::not_found("Path")),
        }
        for (name, value) in self.parameters {
            match name.as_str() {
                "limit" => limit = listing::limit(value)?,
                "cursor" => start = value.parse().map_err(|_| "cursor: not valid".to_owned())?,
                _ => return Err(format!("{name} is not allowed").into()),
            }
        }
        let page: Vec<Json> = all.iter().skip(start).take(limit.min(state.page_cap)).cloned().collect();
        let end = start + page.len();
        let next = (end < all.len()).then(|| end.to_string());
        Ok(success(&page.into(), Some(json!({"next_cursor": next}))))
    }
}

fn success(data: &Json, additional: Option<Json>) -> Response {
    let mut body = json!({"success": true, "data": data});
    if let Some(additional) = additional {
        body["additional_data"] = additional;
    }
    axum::Json(body).into_response()
}

fn me() -> Json {
    json!({"id": OWNER, "name": "Integration Owner", "email": "owner@sandbox.example", "is_admin": 1, "active_flag": true,
           "company_id": COMPANY, "company_name": "Sandbox", "company_domain": "sandbox", "timezone_name": "Europe/Stockholm"})
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower::ServiceExt;

    use super::*;
    use crate::sandbox::clock::Clock;
    use crate::sandbox::people::{Crowd, Person, Phone};
    use crate::sandbox::pipedrive::fields::{Absent, Bare, LANGUAGE};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_793_610_000 + second, 0).unwrap() // 2026-11-02T09:00:00Z
    }

    fn company() -> Pipedrive {
        let pipedrive = Pipedrive::new(Clock::simulated(at(0)), 1);
        pipedrive.with_rates(|rates| rates.burst = None);
        pipedrive
    }

    fn employed() -> Person {
        (0..).map(|seed| Crowd::new(seed).person()).find(|person| person.company.is_some()).unwrap()
    }

    async fn send(pipedrive: &Pipedrive, method: Method, path: &str, body: String) -> (u16, Json) {
        let request = Request::builder().method(method).uri(path).header("x-api-token", TOKEN);
        let request: Request = request.body(body.into()).unwrap();
        let response = pipedrive.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
    }

    async fn get(pipedrive: &Pipedrive, path: &str) -> (u16, Json) {
        send(pipedrive, Method::GET, path, String::new()).await
    }

    /// All ids of a list, and how many pages it came in.
    async fn walk(pipedrive: &Pipedrive, query: &str) -> (Vec<String>, usize) {
        let (mut ids, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let (status, body) = get(pipedrive, &format!("/api/v2/persons?{query}{cursor}")).await;
            assert_eq!(status, 200, "{body}");
            ids.extend(body["data"].as_array().unwrap().iter().map(|row| row["id"].to_string()));
            pages += 1;
            let Some(next) = body["additional_data"]["next_cursor"].as_str() else { return (ids, pages) };
            cursor = format!("&cursor={next}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pages_end_at_their_border_in_every_order() {
        for (rows, pages) in [(499, 1), (500, 1), (501, 2), (2001, 5)] {
            let pipedrive = company();
            for row in 0..rows {
                pipedrive.add_at(&Person::default(), at(row / 700));
            }
            let mut backwards = pipedrive.ids();
            backwards.reverse();
            let window = "update_time&updated_since=2026-11-02T09:00:00Z&updated_until=2026-11-03T00:00:00Z";
            let by_id = window.replacen("update_time", "id", 1);
            for sort in ["id", "update_time", "add_time", window, &by_id] {
                let (ids, seen) = walk(&pipedrive, &format!("sort_by={sort}&limit=500")).await;
                assert_eq!((ids, seen), (pipedrive.ids(), pages), "{rows} by {sort}");
                let (ids, _) = walk(&pipedrive, &format!("sort_by={sort}&sort_direction=desc&limit=500")).await;
                assert_eq!(ids, backwards, "{rows} by {sort} downwards");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn windows_are_half_open_and_know_no_null() {
        let pipedrive = company();
        let timeless = pipedrive.add_without_update_time(&employed(), at(-9000));
        let [one, two] = [0, 10].map(|second| pipedrive.add_at(&employed(), at(second)));
        let late = pipedrive.add_visible_at(&employed(), at(5), at(30));
        for (query, wanted) in [
            ("sort_by=update_time", vec![&timeless, &one, &two]),
            ("updated_since=2026-11-02T09:00:00Z&updated_until=2026-11-02T09:00:10Z", vec![&one]),
            ("updated_until=2026-11-02T09:00:11Z&sort_by=update_time&sort_direction=desc", vec![&two, &one]),
            ("updated_since=2026-11-02T09:00:01Z&sort_by=update_time", vec![&two]),
            ("updated_since=2026-11-02T09:00:10Z&updated_until=2026-11-02T09:00:00Z&sort_by=update_time", vec![]),
            ("ids=3,1,99,2,2", vec![]),
            ("owner_id=8", vec![]),
        ] {
            let (ids, _) = walk(&pipedrive, query).await;
            let wanted: Vec<&String> = if query.starts_with("ids") { vec![&timeless, &one] } else { wanted };
            assert_eq!(ids.iter().collect::<Vec<_>>(), wanted, "{query}");
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(walk(&pipedrive, "sort_by=update_time").await.0, [&timeless, &one, &late, &two].map(String::as_str));
    }

    #[tokio::test(start_paused = true)]
    async fn cursors_are_keysets_without_a_snapshot() {
        let pipedrive = company();
        let ids: Vec<String> = (0..6).map(|_| pipedrive.add_at(&employed(), at(-60))).collect();
        let (_, first) = get(&pipedrive, "/api/v2/persons?sort_by=update_time&limit=2").await;
        let cursor = first["additional_data"]["next_cursor"].as_str().unwrap();
        assert!(pipedrive.delete(&ids[2]) && pipedrive.edit(&ids[0], |person| person.title = None));
        let (rest, _) = walk(&pipedrive, &format!("sort_by=update_time&limit=2&cursor={cursor}")).await;
        assert_eq!(rest, [3, 4, 5, 0].map(|at: usize| ids[at].as_str()), "the edited row shows twice");
        let other = format!("/api/v2/persons?sort_by=id&cursor={cursor}");
        assert_eq!(get(&pipedrive, &other).await.0, 400);
        pipedrive.set_empty_pages(Some(2));
        pipedrive.set_page_size_cap(1);
        let (all, pages) = walk(&pipedrive, "limit=500").await;
        assert_eq!((all.len(), all, pages > 8), (5, pipedrive.ids(), true), "empty pages are not the end");
    }

    #[tokio::test(start_paused = true)]
    async fn anything_doubtful_is_refused() {
        let pipedrive = company();
        let ids = (0..101).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        for query in [
            "limit=501",
            "limit=0",
            "updated_since=2026-11-02T09:00:00.000Z",
            "updated_since=2026-11-02%2009:00:00",
            "updated_since=2026-11-02T09:00:00%2B01:00",
            "sort_by=name",
            "sort_direction=ASC",
            "include_labels=1",
            "include_fields=nonsense",
            "cursor=nonsense",
            "is_deleted=true",
            "ids=abc",
            &format!("ids={ids}"),
            &format!("custom_fields={}", ["x"; 16].join(",")),
        ] {
            assert_eq!(get(&pipedrive, &format!("/api/v2/persons?{query}")).await.0, 400, "{query}");
        }
        assert_eq!(get(&pipedrive, "/api/v1/users/me").await.0, 404);
        assert_eq!(get(&pipedrive, "/v1/users/me").await.1["data"]["company_id"], COMPANY);
        pipedrive.expire_tokens();
        let (status, body) = get(&pipedrive, "/api/v2/persons").await;
        assert_eq!((status, &body["error"], &body["errorCode"]), (401, &json!("unauthorized access"), &json!(401)));
    }

    #[tokio::test(start_paused = true)]
    async fn records_show_emptiness_in_all_its_spellings() {
        let pipedrive = company();
        let bare = Person { first: "Åsa".to_owned(), ..Person::default() };
        let full = Person {
            phone: Some(Phone::new("08-1", "+4681")),
            mobile: Some(Phone::new("070-1", "+46701")),
            language: Some("sv".to_owned()),
            label: Some("lead".to_owned()),
            ..employed()
        };
        let (empty, full) = (pipedrive.add(&bare), pipedrive.add(&full));
        let path = format!("/api/v2/persons/{empty}");
        for (bare, custom) in [(Bare::Null, Json::Null), (Bare::Empty, json!({}))] {
            pipedrive.set_emptiness(bare, Absent::Empty);
            assert_eq!(get(&pipedrive, &path).await.1["data"]["custom_fields"], custom);
        }
        pipedrive.set_emptiness(Bare::Nulls, Absent::Blank);
        let (_, body) = get(&pipedrive, &path).await;
        assert_eq!(body["data"]["emails"], json!([{"value": "", "primary": true}]));
        assert_eq!(
            body["data"]["custom_fields"].as_object().unwrap().values().filter(|value| value.is_null()).count(),
            4
        );
        assert_eq!((&body["data"]["name"], &body["data"]["last_name"]), (&json!("Åsa"), &Json::Null));
        let path =
            format!("/api/v2/persons/{full}?include_labels=true&include_option_labels=true&custom_fields={LANGUAGE}");
        let (_, body) = get(&pipedrive, &path).await;
        assert_eq!(body["data"]["phones"][1], json!({"value": "070-1", "primary": true, "label": "mobile"}));
        assert_eq!((&body["data"]["label_ids"], &body["data"]["labels"][0]["label"]), (&json!([2]), &json!("lead")));
        assert_eq!(body["data"]["custom_fields"], json!({LANGUAGE: {"id": 8, "label": "sv"}}));
        let organization = &body["data"]["org_id"];
        let (_, body) = get(&pipedrive, &format!("/api/v2/organizations?ids={organization}")).await;
        assert_eq!(body["data"][0]["address"]["country"], json!(employed().company.unwrap().country));
        assert_eq!(walk(&pipedrive, &format!("org_id={organization}")).await.0, [full]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deleted_the_merged_and_the_written_back() {
        let pipedrive = company();
        let [one, two] = [0, 1].map(|_| pipedrive.add_at(&employed(), at(-60)));
        assert!(pipedrive.merge(&one, &two));
        assert_eq!(walk(&pipedrive, "").await.0, [two.as_str()]);
        let path = format!("/api/v2/persons/{one}");
        for (answer, wanted) in [(DeletedRead::Shown, 200), (DeletedRead::NotFound, 404), (DeletedRead::Gone, 410)] {
            pipedrive.set_deleted_read(answer);
            assert_eq!(get(&pipedrive, &path).await.0, wanted);
        }
        let body = json!({"custom_fields": {PROPSTREET_ID: "42"}}).to_string();
        tokio::time::advance(Duration::from_secs(5)).await;
        let (status, body) = send(&pipedrive, Method::PATCH, &format!("/api/v2/persons/{two}"), body).await;
        assert_eq!((status, &body["data"]["update_time"]), (200, &json!("2026-11-02T09:00:05Z")));
        assert_eq!(pipedrive.written_back(&two).as_deref(), Some("42"));
    }

    #[tokio::test(start_paused = true)]
    async fn definitions_page_and_custom_ones_come_last() {
        let pipedrive = company();
        pipedrive.set_further_fields(150);
        let (_, first) = get(&pipedrive, "/api/v2/personFields").await;
        let next = first["additional_data"]["next_cursor"].as_str().unwrap();
        let (_, second) = get(&pipedrive, &format!("/api/v2/personFields?cursor={next}")).await;
        let language = second["data"].as_array().unwrap().iter().find(|field| field["field_code"] == LANGUAGE).unwrap();
        assert_eq!(language["options"][7]["label"], "sv");
        assert_eq!(second["additional_data"]["next_cursor"], Json::Null);
    }

    #[tokio::test(start_paused = true)]
    async fn the_two_429s_and_the_firewall_can_be_told_apart() {
        let pipedrive = Pipedrive::new(Clock::simulated(at(0)), 1);
        pipedrive.with_rates(|rates| (rates.burst, rates.patience) = (Some(1), Some(3)));
        let ask = async || {
            let request = Request::get("/v1/users/me").header("x-api-token", TOKEN).body(axum::body::Body::empty());
            let response = pipedrive.router().oneshot(request.unwrap()).await.unwrap();
            let left = response
                .headers()
                .get("x-ratelimit-remaining")
                .and_then(|left| left.to_str().ok()?.parse::<u32>().ok());
            (response.status().as_u16(), left)
        };
        assert_eq!([ask().await, ask().await], [(200, Some(0)), (429, Some(0))]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(ask().await, (200, Some(0)));
        tokio::time::advance(Duration::from_secs(2)).await;
        pipedrive.exhaust_budget();
        assert_eq!(
            [ask().await, ask().await, ask().await, ask().await],
            [(429, Some(1)), (429, Some(1)), (429, Some(1)), (403, None)]
        );
    }
}
