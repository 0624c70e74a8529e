//! The portal over HTTP: tokens, rates, paths of every version.
//! It must not know what a record holds.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::json;
use url::form_urlencoded;

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::model::{HubSpot, PORTAL, State, Store, TOKEN};
use crate::sandbox::hubspot::objects::{self, Reading};
use crate::sandbox::hubspot::properties::{Contact, Object, instant};
use crate::sandbox::hubspot::routes::{kind, route};
use crate::sandbox::hubspot::writing;
use crate::sandbox::path::segments;
use crate::sandbox::people::Company;

/// What a path and its query may take, in bytes.
const URI_CAP: usize = 8_000;
const BODY_CAP: usize = 4 * 1024 * 1024;

impl HubSpot {
    /// The portal's routes, behind its gate of faults and counters.
    pub fn router(&self) -> Router {
        self.gate.guard(Router::new().fallback(answer).with_state(self.clone()))
    }
}

async fn answer(Shared(hubspot): Shared<HubSpot>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > URI_CAP) {
        let page = "<html><head><title>414 Request-URI Too Large</title></head><body>nginx</body></html>";
        return (StatusCode::URI_TOO_LONG, [(CONTENT_TYPE, "text/html")], page).into_response();
    }
    let Ok(body) = to_bytes(body, BODY_CAP).await else { return StatusCode::PAYLOAD_TOO_LARGE.into_response() };
    let now = hubspot.now();
    let mut state = hubspot.state();
    state.answers += 1;
    let correlation = format!("00000000-0000-4000-8000-{:012x}", state.answers);
    state.contacts.index.settle(now);
    state.companies.index.settle(now);
    let path = segments(parts.uri.path());
    let searches = kind(parts.uri.path()) == "search";
    let admitted = authorised(&state, &parts.headers, now).and_then(|()| spend(&mut state, searches, now));
    let query = parts.uri.query().unwrap_or_default();
    let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let call = Call { method: &parts.method, parameters: &parameters, body: &body, now };
    let answer = admitted.and_then(|()| match route(&path) {
        Some((area, rest)) => call.answer(&mut state, area, rest),
        None => Err(Refusal::not_found("No such path")),
    });
    let mut response = answer.unwrap_or_else(|refusal| refusal.correlated(&correlation));
    if !searches {
        advertise(&state, response.headers_mut());
    }
    response
}

fn authorised(state: &State, headers: &HeaderMap, now: DateTime<Utc>) -> Result<(), Refusal> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match (bearer, state.expired) {
        (None | Some(""), _) => Err(Refusal::no_credentials()),
        (Some(TOKEN), None) => Ok(()),
        (Some(TOKEN), Some(since)) => {
            Err(Refusal::expired(&format!("{} second(s)", (now - since).num_seconds()), &instant(since)))
        }
        (Some(_), _) => {
            Err(Refusal::expired(&format!("{} day(s)", now.timestamp() / 86_400), &instant(DateTime::UNIX_EPOCH)))
        }
    }
}

/// Counts the request against the allowances. Searches have one of their own and are exempt from the ten-secondly one.
fn spend(state: &mut State, search: bool, now: DateTime<Utc>) -> Result<(), Refusal> {
    let allowances = state.allowances;
    if allowances.today == Some(0) {
        return Err(Refusal::too_many("DAILY"));
    }
    if search {
        let (second, before) = state.searches;
        let before = if second == now.timestamp() { before } else { 0 };
        if allowances.searches_a_second.is_some_and(|most| before >= most) {
            return Err(Refusal::too_many("SECONDLY"));
        }
        state.searches = (now.timestamp(), before + 1);
    } else if let Some(most) = allowances.requests_in_ten_seconds {
        while state.recent.front().is_some_and(|first| now - *first >= TimeDelta::seconds(10)) {
            state.recent.pop_front();
        }
        if state.recent.len() >= most as usize {
            return Err(Refusal::too_many("TEN_SECONDLY_ROLLING"));
        }
        state.recent.push_back(now);
    }
    state.allowances.today = allowances.today.map(|left| left - 1);
    Ok(())
}

fn advertise(state: &State, headers: &mut HeaderMap) {
    if let Some(most) = state.allowances.requests_in_ten_seconds {
        let left = most.saturating_sub(u32::try_from(state.recent.len()).unwrap_or(u32::MAX));
        headers.insert("x-hubspot-ratelimit-max", HeaderValue::from(most));
        headers.insert("x-hubspot-ratelimit-remaining", HeaderValue::from(left));
        headers.insert("x-hubspot-ratelimit-interval-milliseconds", HeaderValue::from(10_000));
    }
    if let Some(left) = state.allowances.today {
        headers.insert("x-hubspot-ratelimit-daily", HeaderValue::from(1_000_000));
        headers.insert("x-hubspot-ratelimit-daily-remaining", HeaderValue::from(left));
    }
}

struct Call<'a> {
    method: &'a Method,
    parameters: &'a [(String, String)],
    body: &'a [u8],
    now: DateTime<Utc>,
}

impl Call<'_> {
    fn answer(&self, state: &mut State, area: &str, rest: &[&str]) -> Result<Response, Refusal> {
        match (self.method, area, rest) {
            (&Method::GET, "account", ["details"]) => Ok(details()),
            (&Method::GET, "account", ["api-usage", "daily", "private-apps"]) => Ok(self.usage(state)),
            (&Method::POST, "objects", ["contacts" | "contact" | "0-1", "batch", "update"]) => {
                writing::batch_update(state, self.body, self.now)
            }
            (_, "objects", ["contacts" | "contact" | "0-1", rest @ ..]) => {
                self.objects::<Contact>(state, &state.contacts, rest)
            }
            (_, "objects", ["companies" | "company" | "0-2", rest @ ..]) => {
                self.objects::<Company>(state, &state.companies, rest)
            }
            (&Method::POST, "associations", [from, to, "batch", "read"])
                if matches!(*from, "contacts" | "contact" | "0-1")
                    && matches!(*to, "companies" | "company" | "0-2") =>
            {
                objects::companies_of(state, self.body, self.now)
            }
            (&Method::GET, "properties", [object, rest @ ..]) if rest.len() < 2 => match *object {
                "contacts" | "contact" | "0-1" => objects::definitions::<Contact>(state, rest.first().copied()),
                "companies" | "company" | "0-2" => objects::definitions::<Company>(state, rest.first().copied()),
                _ => Err(Refusal::not_found("No such object type")),
            },
            _ => Err(Refusal::not_found("No such path")),
        }
    }

    fn objects<T: Object>(&self, state: &State, store: &Store<T>, rest: &[&str]) -> Result<Response, Refusal> {
        match (self.method, rest) {
            (&Method::GET, []) => Ok(objects::list(state, store, &Reading::parse(self.parameters)?, self.now)),
            (&Method::GET, [id]) => objects::one(state, store, id, &Reading::parse(self.parameters)?, self.now),
            (&Method::POST, ["search"]) => objects::search(state, store, self.body, self.now),
            (&Method::POST, ["batch", "read"]) => {
                let archived = Reading::parse(self.parameters)?.archived;
                objects::batch_read(state, store, self.body, archived, self.now)
            }
            _ => Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed")),
        }
    }

    fn usage(&self, state: &State) -> Response {
        let left = state.allowances.today.unwrap_or(1_000_000);
        let tomorrow = self.now + TimeDelta::days(1);
        let body = json!({"name": "private-apps-api-calls-daily", "currentUsage": 1_000_000_u32.saturating_sub(left),
                          "usageLimit": 1_000_000, "collectedAt": instant(self.now), "fetchStatus": "SUCCESS",
                          "resetsAt": tomorrow.format("%Y-%m-%dT00:00:00.000Z").to_string()});
        axum::Json(json!({"results": [body]})).into_response()
    }
}

fn details() -> Response {
    axum::Json(json!({
        "portalId": PORTAL, "accountType": "STANDARD", "timeZone": "Europe/Stockholm", "companyCurrency": "SEK",
        "additionalCurrencies": [], "utcOffset": "+01:00", "utcOffsetMilliseconds": 3_600_000,
        "uiDomain": "app-eu1.hubspot.com", "dataHostingLocation": "eu1",
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value as Json;
    use tower::ServiceExt;

    use super::*;
    use crate::sandbox::clock::Clock;
    use crate::sandbox::hubspot::model::{Allowances, MergedRead};
    use crate::sandbox::people::{Crowd, Person};

    const EPOCH: i64 = 1_793_610_000;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(EPOCH + second, 0).unwrap()
    }

    fn portal() -> HubSpot {
        let hubspot = HubSpot::new(Clock::simulated(at(0)), 1);
        hubspot.set_allowances(Allowances { searches_a_second: None, requests_in_ten_seconds: None, today: None });
        hubspot
    }

    fn employed() -> Person {
        (0..).map(|seed| Crowd::new(seed).person()).find(|person| person.company.is_some()).unwrap()
    }

    async fn send(hubspot: &HubSpot, method: Method, path: &str, body: &Json) -> (u16, Json) {
        let request = Request::builder().method(method).uri(path).header(AUTHORIZATION, format!("Bearer {TOKEN}"));
        let request: Request = request.body(body.to_string().into()).unwrap();
        let response = hubspot.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Json::Null))
    }

    async fn get(hubspot: &HubSpot, path: &str) -> (u16, Json) {
        send(hubspot, Method::GET, path, &Json::Null).await
    }

    async fn search(hubspot: &HubSpot, body: &Json) -> (u16, Json) {
        send(hubspot, Method::POST, "/crm/objects/2026-03/contacts/search", body).await
    }

    fn ids(body: &Json) -> Vec<&str> {
        body["results"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
    }

    fn window(low: i64, high: i64, last: &str) -> Json {
        let millis = |second| at(second).timestamp_millis().to_string();
        json!({
            "filterGroups": [{"filters": [
                {"propertyName": "lastmodifieddate", "operator": "GTE", "value": millis(low)},
                {"propertyName": "lastmodifieddate", "operator": "LTE", "value": millis(high)},
                {"propertyName": "hs_object_id", "operator": "GT", "value": last}]}],
            "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            "properties": ["hs_object_id", "lastmodifieddate"], "limit": 200,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn lists_page_by_key_and_end_at_their_border() {
        for (rows, pages) in [(199, 2), (200, 2), (201, 3)] {
            let hubspot = portal();
            for _ in 0..rows {
                hubspot.add(&employed());
            }
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let path = format!(
                    "/crm/objects/2026-03/contacts?limit=100&properties=email,phone&properties=nonsense&after={after}"
                );
                let (_, body) = get(&hubspot, &path).await;
                seen.extend(ids(&body).into_iter().map(str::to_owned));
                let Some(next) = body["paging"]["next"]["after"].as_str() else { break };
                assert!(body["paging"]["next"]["link"].as_str().unwrap().starts_with("https://api.hubspot.com/"));
                next.clone_into(&mut after);
            }
            assert_eq!((seen, hubspot.requests().of("GET list")), (hubspot.ids(), pages), "{rows}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn values_are_strings_or_null_and_unknown_names_are_passed_over() {
        let hubspot = portal();
        let id = hubspot.add(&Person { email: None, ..employed() });
        let path = format!("/crm/v3/objects/contacts/{id}?properties=email,associatedcompanyid,nonsense");
        let (_, body) = get(&hubspot, &path).await;
        let names: Vec<&String> = body["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["associatedcompanyid", "createdate", "email", "hs_object_id", "lastmodifieddate"]);
        assert_eq!((&body["properties"]["email"], &body["properties"]["hs_object_id"]), (&Json::Null, &json!(id)));
        assert!(body["properties"]["associatedcompanyid"].is_string());
        assert_eq!(body["properties"]["lastmodifieddate"], "2026-11-02T09:00:00.000Z");
    }

    #[tokio::test(start_paused = true)]
    async fn a_keyset_walk_passes_the_cap_that_stops_an_offset() {
        let hubspot = portal();
        for _ in 0..10_050 {
            hubspot.add_at(&Person::default(), at(-5));
        }
        let mut seen: Vec<String> = Vec::new();
        loop {
            let last = seen.last().map_or("0", String::as_str);
            let (_, body) = search(&hubspot, &window(-5, 0, last)).await;
            assert_eq!(body["total"], 10_050 - seen.len());
            let page = ids(&body);
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(str::to_owned));
        }
        assert_eq!(seen, hubspot.ids());
        let mut body = window(-5, 0, "0");
        body["after"] = "9800".into();
        let (status, page) = search(&hubspot, &body).await;
        assert_eq!((status, &page["paging"]["next"]["after"]), (200, &json!("10000")));
        body["after"] = "10000".into();
        assert_eq!(search(&hubspot, &body).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn the_short_cut_for_windows_finds_what_a_full_walk_finds() {
        let hubspot = portal();
        let ids: Vec<String> = (0..60).map(|row| hubspot.add_at(&Person::default(), at(row * 7 % 20 - 30))).collect();
        let mut rng = fastrand::Rng::with_seed(3);
        let mut found = 0;
        for _ in 0..200 {
            let operator = |rng: &mut fastrand::Rng, all: [&'static str; 2]| all[rng.usize(..2)];
            let millis = |second| at(second).timestamp_millis().to_string();
            let mut filters = json!([
                {"propertyName": "lastmodifieddate", "operator": operator(&mut rng, ["GT", "GTE"]), "value": millis(rng.i64(-32..-8))},
                {"propertyName": "lastmodifieddate", "operator": operator(&mut rng, ["LT", "LTE"]), "value": millis(rng.i64(-32..-8))},
                {"propertyName": "hs_object_id", "operator": operator(&mut rng, ["GT", "LTE"]), "value": ids[rng.usize(..60)]},
            ]);
            let ask = async |filters: &Json, after: usize| {
                search(&hubspot, &json!({"filterGroups": [{"filters": filters}], "limit": 7, "after": after})).await.1
            };
            let after = rng.usize(..9);
            let short = ask(&filters, after).await;
            let anything = json!({"propertyName": "createdate", "operator": "HAS_PROPERTY"});
            filters.as_array_mut().unwrap().push(anything);
            assert_eq!(short, ask(&filters, after).await, "{filters}");
            found += short["total"].as_u64().unwrap();
        }
        assert!(found > 500, "the windows hold something");
    }

    #[tokio::test(start_paused = true)]
    async fn search_trails_and_shows_rows_as_they_are_now() {
        let hubspot = portal();
        let id = hubspot.add_at(&employed(), at(-100));
        hubspot.set_search_lag(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(hubspot.edit(&id, |person| person.title = Some("New".to_owned())));
        let (_, old) = search(&hubspot, &window(-100, 0, "0")).await;
        assert_eq!(
            old["results"][0]["properties"]["lastmodifieddate"], "2026-11-02T09:00:10.000Z",
            "out of the window"
        );
        assert_eq!(search(&hubspot, &window(5, 100, "0")).await.1["total"], 0);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(search(&hubspot, &window(5, 100, "0")).await.1["total"], 1);
        let late = hubspot.add_visible_at(&employed(), at(20), at(60));
        assert_eq!(get(&hubspot, &format!("/crm/objects/2026-09/contacts/{late}")).await.0, 404);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(get(&hubspot, &format!("/crm/objects/2026-09/contacts/{late}")).await.0, 200);
        assert_eq!(ids(&search(&hubspot, &window(15, 30, "0")).await.1), [&late]);
    }

    #[tokio::test(start_paused = true)]
    async fn searches_are_refused_where_the_documentation_says() {
        let hubspot = portal();
        hubspot.add(&employed());
        let filter =
            |name: &str, value: &str| json!({"filters": [{"propertyName": name, "operator": "GTE", "value": value}]});
        for (body, status) in [
            (json!({"limit": 201}), 400),
            (json!({"limit": 200, "properties": ["x".repeat(3_000)]}), 400),
            (json!({"sorts": ["email", "createdate"]}), 400),
            (json!({"sorts": ["-createdate"]}), 200),
            (filter("lastmodifieddate", "2020-11-15"), 400),
            (filter("lastmodifieddate", "0"), 500),
            (filter("lastmodifieddate", "2020-11-15T00:00:00Z"), 200),
            (filter("nonsense", "1"), 400),
            (filter("hs_object_id", "abc"), 400),
        ] {
            assert_eq!(search(&hubspot, &body).await.0, status, "{body}");
        }
        let (status, deaf) = search(&hubspot, &filter("hs_lastmodifieddate", "1000")).await;
        assert_eq!((status, &deaf["total"]), (200, &json!(0)), "silently nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn batches_answer_207_for_what_is_missing() {
        let hubspot = portal();
        let one = hubspot.add(&employed());
        let alone = hubspot.add(&Person { company: None, ..employed() });
        let body = json!({"inputs": [{"id": one}, {"id": "1"}], "properties": ["email"]});
        let (status, answer) = send(&hubspot, Method::POST, "/crm/objects/2026-03/contacts/batch/read", &body).await;
        assert_eq!(
            (status, ids(&answer), &answer["errors"][0]["context"]["ids"]),
            (207, vec![one.as_str()], &json!(["1"]))
        );
        let body = json!({"inputs": [{"id": one}, {"id": alone}]});
        let path = "/crm/v4/associations/contacts/companies/batch/read";
        let (status, answer) = send(&hubspot, Method::POST, path, &body).await;
        assert_eq!((status, &answer["results"][0]["from"]["id"]), (207, &json!(one)));
        let company = answer["results"][0]["to"][0]["toObjectId"].as_u64().unwrap();
        assert_eq!(answer["errors"][0]["subCategory"], "crm.associations.NO_ASSOCIATIONS_FOUND");
        let body = json!({"inputs": [{"id": company.to_string()}], "properties": ["name", "country"]});
        let (status, answer) = send(&hubspot, Method::POST, "/crm/objects/2026-03/companies/batch/read", &body).await;
        let name = employed().company.unwrap().name;
        assert_eq!((status, &answer["results"][0]["properties"]["name"]), (200, &json!(name)));
        let many: Vec<Json> = (0..101).map(|id| json!({"id": id.to_string()})).collect();
        let path = "/crm/objects/2026-03/contacts/batch/read";
        assert_eq!(send(&hubspot, Method::POST, path, &json!({"inputs": many})).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn archiving_and_merging_leave_the_traces_they_should() {
        let hubspot = portal();
        let [one, two, three] = [0, 1, 2].map(|_| hubspot.add_at(&employed(), at(-50)));
        assert!(hubspot.delete(&three));
        let (_, bin) = get(&hubspot, "/crm/objects/2026-03/contacts?archived=true&limit=100").await;
        assert_eq!(
            (ids(&bin), &bin["results"][0]["updatedAt"]),
            (vec![three.as_str()], &json!("2026-11-02T08:59:10.000Z"))
        );
        let merged = hubspot.merge(&one, &two).unwrap();
        assert_eq!(hubspot.ids(), [merged.as_str()]);
        let (_, body) =
            get(&hubspot, &format!("/crm/objects/2026-03/contacts/{one}?properties=hs_merged_object_ids")).await;
        assert_eq!(
            (&body["id"], &body["properties"]["hs_merged_object_ids"]),
            (&json!(merged), &json!(format!("{one};{two}")))
        );
        hubspot.set_merged_read(MergedRead::Silence);
        let path = "/crm/objects/2026-03/contacts/batch/read";
        let (status, body) = send(&hubspot, Method::POST, path, &json!({"inputs": [{"id": one}]})).await;
        assert_eq!((status, ids(&body).len()), (200, 0));
        assert!(hubspot.restore(&three));
        assert_eq!(ids(&get(&hubspot, "/crm/v3/objects/0-1").await.1), [&three, &merged]);
    }

    #[tokio::test(start_paused = true)]
    async fn updates_write_whole_batches_or_none() {
        let hubspot = portal();
        let [one, two, three] = [0, 1, 2].map(|_| hubspot.add_at(&employed(), at(-50)));
        hubspot.merge(&two, &three).unwrap();
        let update = async |inputs: Json| {
            send(&hubspot, Method::POST, "/crm/objects/2026-03/contacts/batch/update", &json!({"inputs": inputs})).await
        };
        let input = |id: &str, name: &str| json!({"id": id, "properties": {name: "42"}});
        let ours = "propstreet_contact_id";
        assert_eq!(update(json!([input(&one, ours), input(&one, ours)])).await.0, 400);
        assert_eq!(update(json!([input(&one, ours), input(&two, "email")])).await.0, 400);
        assert_eq!(hubspot.written_back(&one), None);
        let (status, body) = update(json!([input(&one, ours), input(&two, ours), input("7", ours)])).await;
        assert_eq!(
            (status, ids(&body), &body["errors"][0]["context"]["ids"]),
            (207, vec![one.as_str()], &json!(["7"]))
        );
        let stamp = body["results"][0]["updatedAt"].clone();
        tokio::time::advance(Duration::from_secs(9)).await;
        let (_, again) = update(json!([input(&one, ours)])).await;
        assert_eq!((&again["results"][0]["updatedAt"], hubspot.written_back(&one)), (&stamp, Some("42".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn rates_and_tokens_are_kept() {
        let hubspot = HubSpot::new(Clock::simulated(at(0)), 1);
        for _ in 0..5 {
            assert_eq!(search(&hubspot, &json!({})).await.0, 200);
        }
        let (status, body) = search(&hubspot, &json!({})).await;
        assert_eq!((status, &body["policyName"]), (429, &json!("SECONDLY")));
        assert_eq!(body["message"], "You have reached your secondly limit.");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(search(&hubspot, &json!({})).await.0, 200);
        for _ in 0..190 {
            assert_eq!(get(&hubspot, "/account-info/2026-03/details").await.1["portalId"], PORTAL);
        }
        let (status, body) = get(&hubspot, "/crm/properties/2026-03/contacts").await;
        assert_eq!((status, &body["policyName"]), (429, &json!("TEN_SECONDLY_ROLLING")));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(get(&hubspot, "/crm/properties/2026-03/contacts/email").await.1["type"], "string");
        hubspot.expire_tokens();
        let (status, body) = get(&hubspot, "/crm/properties/2026-03/contacts").await;
        assert_eq!((status, &body["category"]), (401, &json!("EXPIRED_AUTHENTICATION")));
        let request = Request::get("/crm/v3/objects/contacts").body(axum::body::Body::empty()).unwrap();
        assert_eq!(hubspot.router().oneshot(request).await.unwrap().status(), 401);
    }
}
