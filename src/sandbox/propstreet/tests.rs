//! The look-alike through its HTTP face, in process: what a client sees under each knob.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use chrono::DateTime;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::sandbox::clock::Clock;
use crate::sandbox::credentials;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef, Labelled};
use crate::sandbox::propstreet::knobs::{Arrays, Envelope, Ids, Knobs, KnownRef, StaleTag, TakenEmail, Window};
use crate::sandbox::propstreet::{Propstreet, Settings};

mod network;
mod readings;

const CONTACTS: &str = "/api/v1/network/contacts";

struct Client {
    propstreet: Propstreet,
    router: Router,
    token: String,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    fn id(&self) -> u64 {
        self.body["id"].as_str().unwrap().parse().unwrap()
    }
}

impl Client {
    async fn new(knobs: Knobs) -> Self {
        let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_020, 0).unwrap());
        let propstreet = Propstreet::new(clock, Settings { knobs, requests_per_minute: 100, seed: 1 });
        let router = propstreet.router();
        let mut client = Self { propstreet, router, token: String::new() };
        client.log_in().await;
        client
    }

    async fn log_in(&mut self) {
        let (id, secret) = (credentials::PROPSTREET_CLIENT_ID, credentials::PROPSTREET_CLIENT_SECRET);
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=api:public");
        let answer = self.ask_for_token(&form).await;
        assert_eq!((answer.status, &answer.body["expires_in"]), (200, &json!(3600)));
        self.token = answer.body["access_token"].as_str().unwrap().to_owned();
    }

    async fn ask_for_token(&self, form: &str) -> Answer {
        let request = Request::post("/openid/token").header("content-type", "application/x-www-form-urlencoded");
        self.call(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    async fn call(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        assert_eq!(parts.headers["date"].len(), 29);
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn send(&self, method: Method, uri: &str, tag: Option<&str>, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header("authorization", format!("Bearer {}", self.token));
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        let body = match body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        self.call(request.body(body).unwrap()).await
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Method::GET, uri, None, None).await
    }
    async fn post(&self, uri: &str, body: Value) -> Answer {
        self.send(Method::POST, uri, None, Some(body)).await
    }
    async fn post_with_key(&self, uri: &str, key: &str, body: Value) -> Answer {
        let request = Request::post(uri).header("authorization", format!("Bearer {}", self.token));
        let request = request.header("content-type", "application/json").header("idempotency-key", key);
        self.call(request.body(Body::from(body.to_string())).unwrap()).await
    }
    async fn patch(&self, uri: &str, tag: Option<&str>, body: Value) -> Answer {
        self.send(Method::PATCH, uri, tag, Some(body)).await
    }
}

fn contact_uri(id: u64) -> String {
    format!("{CONTACTS}/{id}")
}

fn reference(namespace: &str, id: &str) -> Value {
    json!([{"namespace": namespace, "id": id}])
}

#[tokio::test(start_paused = true)]
async fn a_contact_is_created_found_changed_and_deleted() {
    let client = Client::new(Knobs::default()).await;
    let body = json!({"firstName": "Åsa", "phone": "070-123 45 67", "externalRefs": reference("HubSpot", "Ab/1")});
    let created = client.post(CONTACTS, body).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), contact_uri(created.id()));
    assert_eq!(created.header("etag"), created.body["etag"].as_str().unwrap());
    assert_eq!(created.body["phone"], "+46701234567");
    assert_eq!(created.body["changeType"], "create");

    let found = client.get(&format!("{CONTACTS}/external/hubspot/Ab%2F1")).await;
    assert_eq!((found.status, found.body), (200, created.body.clone()));
    assert_eq!(client.get(&format!("{CONTACTS}/external/hubspot/ab%2F1")).await.status, 404);

    let uri = contact_uri(created.id());
    let nothing = client.patch(&uri, Some(created.header("etag")), json!({"firstName": "Åsa"})).await;
    assert_eq!(nothing.body["etag"], created.body["etag"]);
    let changed = client.patch(&uri, Some(created.header("etag")), json!({"firstName": null, "tags": ["vip"]})).await;
    assert_eq!((&changed.body["firstName"], &changed.body["tags"]), (&Value::Null, &json!(["vip"])));
    assert_ne!(changed.body["etag"], created.body["etag"]);
    assert_eq!(client.patch(&uri, None, json!({"phone": null})).await.status, 400, "no identifier left");

    assert_eq!(client.send(Method::DELETE, &uri, None, None).await.status, 204);
    assert_eq!(client.get(&uri).await.status, 404);
    let gone = client.get(&format!("{CONTACTS}?include_deleted=true")).await;
    assert_eq!(gone.body["data"][0]["deletedUtc"], gone.body["data"][0]["updatedUtc"]);
    assert_eq!(client.propstreet.requests().of("POST contacts"), 1);
    let writes = client.propstreet.writes();
    assert_eq!((writes.created, writes.updated, writes.unchanged, writes.deleted), (1, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn refusals_are_problems_with_camel_case_errors() {
    let client = Client::new(Knobs::default()).await;
    let long = format!("{CONTACTS}?cursor={}", "a".repeat(8000));
    let bad = client.post(CONTACTS, json!({"email": "nobody", "nickname": "x"})).await;
    assert_eq!(bad.header("content-type"), "application/problem+json");
    assert_eq!((&bad.body["status"], &bad.body["instance"]), (&json!(400), &json!(CONTACTS)));
    assert_eq!(bad.body["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["email", "nickname"]);
    let statuses = [
        (client.post(CONTACTS, json!({})).await, 400),
        (client.post(CONTACTS, json!([])).await, 400),
        (client.get(&format!("{CONTACTS}?page_size=501")).await, 400),
        (client.get(&format!("{CONTACTS}?pageSize=5")).await, 400),
        (client.get("/api/v1/nothing").await, 404),
        (client.send(Method::PUT, CONTACTS, None, None).await, 405),
        (client.send(Method::POST, CONTACTS, None, None).await, 415),
        (client.get(&long).await, 414),
        (
            client.patch(&format!("{CONTACTS}/external/a/b?create_only=true"), None, json!({"firstName": "A"})).await,
            400,
        ),
        (client.patch(&contact_uri(1), None, json!({"firstName": "A"})).await, 404),
    ];
    for (answer, status) in statuses {
        assert_eq!((answer.status, &answer.body["status"]), (status, &json!(status)));
        assert_eq!(answer.header("ratelimit-limit"), "100");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_expire_and_bad_credentials_get_none() {
    let mut client = Client::new(Knobs::default()).await;
    assert_eq!(client.get(CONTACTS).await.status, 200);
    client.propstreet.clock().sleep(Duration::from_secs(3600)).await;
    let refused = client.get(CONTACTS).await;
    assert_eq!((refused.status, refused.header("content-type")), (401, "application/problem+json"));
    client.log_in().await;
    assert_eq!(client.get(CONTACTS).await.status, 200);
    client.propstreet.expire_tokens();
    assert_eq!(client.get(CONTACTS).await.status, 401);
    for (form, status) in [
        ("grant_type=client_credentials&client_id=x&client_secret=y&scope=api:public", 401),
        ("grant_type=password&client_id=x&client_secret=y", 400),
        ("", 400),
    ] {
        assert_eq!(client.ask_for_token(form).await.status, status, "{form}");
    }
    client.propstreet.refuse_credentials(true);
    client.token = credentials::PROPSTREET_TOKEN.to_owned();
    assert_eq!(client.get(CONTACTS).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_full_window_answers_429_until_the_reset_it_names() {
    for (window, wait) in [(Window::Fixed, 40), (Window::Sliding, 60)] {
        let mut client = Client::new(Knobs { window, ..Knobs::default() }).await;
        client.token = credentials::PROPSTREET_TOKEN.to_owned();
        client.propstreet.clock().sleep(Duration::from_secs(20)).await;
        for left in (0..60).rev() {
            let answer = client.get(CONTACTS).await;
            assert_eq!((answer.status, answer.header("ratelimit-remaining")), (200, left.to_string().as_str()));
        }
        let refused = client.get(CONTACTS).await;
        assert_eq!((refused.status, refused.header("ratelimit-limit")), (429, "60"));
        assert_eq!(refused.header("retry-after"), wait.to_string());
        assert_eq!(refused.header("ratelimit-reset"), wait.to_string());
        client.propstreet.clock().sleep(Duration::from_secs(wait)).await;
        assert_eq!(client.get(CONTACTS).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_taken_address_is_judged_and_answered_by_the_knobs() {
    let plain = Knobs::default;
    let cases = [
        ("taken", plain(), "a@x.example", 409),
        ("free", plain(), "z@x.example", 201),
        ("said as 400", Knobs { taken_email: TakenEmail::Invalid, ..plain() }, "a@x.example", 400),
        ("other case", plain(), "A@x.example", 409),
        ("case matters", Knobs { email_case_matters: true, ..plain() }, "A@x.example", 201),
        ("secondary free", plain(), "b@x.example", 201),
        ("secondary counts", Knobs { secondary_addresses_count: true, ..plain() }, "b@x.example", 409),
        ("deleted free", plain(), "d@x.example", 201),
        ("deleted counts", Knobs { deleted_addresses_count: true, ..plain() }, "d@x.example", 409),
    ];
    for (name, knobs, email, status) in cases {
        let client = Client::new(knobs).await;
        let address = |value: &str| Labelled { value: value.to_owned(), kind: "work".to_owned() };
        client.propstreet.plant(Contact {
            email: Some("a@x.example".to_owned()),
            emails: vec![address("a@x.example"), address("b@x.example")],
            ..Contact::default()
        });
        let deleted = Contact { email: Some("d@x.example".to_owned()), ..Contact::default() };
        let deleted = client.propstreet.plant(deleted);
        assert!(client.propstreet.delete(deleted));
        let answer = client.post(CONTACTS, json!({"email": email})).await;
        assert_eq!(answer.status, status, "{name}");
        if status == 400 {
            assert_eq!(answer.body["errors"].as_object().unwrap().keys().collect::<Vec<_>>(), ["email"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_reference_is_judged_and_answered_by_the_knobs() {
    let plain = Knobs::default;
    // Knobs, whether its contact is deleted, answer to POST, answer to the look-up before it.
    let cases = [
        ("conflict", plain(), false, 409, 200),
        ("existing", Knobs { known_ref: KnownRef::Existing, ..plain() }, false, 200, 200),
        ("deleted keeps it", plain(), true, 409, 404),
        ("deleted keeps it, even then", Knobs { known_ref: KnownRef::Existing, ..plain() }, true, 409, 404),
        ("deleted frees it", Knobs { refs_free_after_delete: true, ..plain() }, true, 201, 404),
        ("deleted is found", Knobs { lookup_finds_deleted: true, ..plain() }, true, 409, 200),
    ];
    for (name, knobs, deleted, posted, looked_up) in cases {
        let client = Client::new(knobs).await;
        let refs = vec![ExternalRef::new("HubSpot", "1")];
        let id = client.propstreet.plant(Contact { refs, first_name: Some("A".to_owned()), ..Contact::default() });
        assert_eq!(client.propstreet.delete(if deleted { id } else { 0 }), deleted);
        let look_up = format!("{CONTACTS}/external/hubspot/1");
        assert_eq!(client.get(&look_up).await.status, looked_up, "{name}");
        let answer = client.post(CONTACTS, json!({"firstName": "B", "externalRefs": reference("hubspot", "1")})).await;
        assert_eq!(answer.status, posted, "{name}");
        if posted == 200 {
            assert_eq!((answer.id(), &answer.body["firstName"]), (id, &json!("A")));
        }
        if posted == 201 {
            assert_eq!(client.get(&look_up).await.id(), answer.id(), "{name}: the live one is found");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_up_may_lag_behind_the_write() {
    let client = Client::new(Knobs { lookup_lag: Duration::from_secs(10), ..Knobs::default() }).await;
    let created = client.post(CONTACTS, json!({"firstName": "A", "externalRefs": reference("s", "1")})).await;
    let look_up = format!("{CONTACTS}/external/s/1");
    assert_eq!(client.get(&look_up).await.status, 404);
    client.propstreet.clock().sleep(Duration::from_secs(9)).await;
    client.patch(&contact_uri(created.id()), None, json!({"firstName": "B"})).await;
    assert_eq!(client.get(&look_up).await.status, 404);
    client.propstreet.clock().sleep(Duration::from_secs(1)).await;
    assert_eq!(client.get(&look_up).await.status, 200, "a later change does not hide it again");
}

#[tokio::test(start_paused = true)]
async fn arrays_tags_ids_and_envelopes_follow_the_knobs() {
    for (arrays, stale, tags) in [
        (Arrays::Replace, StaleTag::PreconditionFailed, json!(["b"])),
        (Arrays::Merge, StaleTag::Conflict, json!(["a", "b"])),
    ] {
        let client = Client::new(Knobs { arrays, stale_tag: stale, ..Knobs::default() }).await;
        let created = client.post(CONTACTS, json!({"firstName": "A", "tags": ["a"]})).await;
        let uri = contact_uri(created.id());
        let changed = client.patch(&uri, Some(created.header("etag")), json!({"tags": ["b"]})).await;
        assert_eq!(changed.body["tags"], tags);
        let late = client.patch(&uri, Some(created.header("etag")), json!({"tags": ["c"]})).await;
        assert_eq!(late.status, if stale == StaleTag::Conflict { 409 } else { 412 });
    }
    let client = Client::new(Knobs { ids: Ids::Number, envelope: Envelope::Flat, ..Knobs::default() }).await;
    for name in ["A", "B"] {
        assert!(client.post(CONTACTS, json!({"firstName": name})).await.body["id"].is_u64());
    }
    let first = client.get(&format!("{CONTACTS}?page_size=1")).await.body;
    assert_eq!((&first["hasMore"], &first["page"]), (&json!(true), &Value::Null));
    let cursor: String =
        url::form_urlencoded::byte_serialize(first["nextCursor"].as_str().unwrap().as_bytes()).collect();
    let second = client.get(&format!("{CONTACTS}?page_size=1&cursor={cursor}")).await.body;
    assert_eq!((&second["hasMore"], &second["nextCursor"]), (&json!(false), &Value::Null));
    assert_ne!(first["data"][0]["id"], second["data"][0]["id"]);
}

#[tokio::test(start_paused = true)]
async fn an_upsert_creates_updates_matches_and_revives() {
    let client = Client::new(Knobs::default()).await;
    let uri = format!("{CONTACTS}/external/pipedrive/7");
    let action = |answer: &Answer| (answer.status, answer.header("x-propstreet-upsert-action").to_owned());
    let created = client.patch(&uri, None, json!({"emails": [{"address": "a@x.example", "type": "work"}]})).await;
    assert_eq!(action(&created), (201, "created".to_owned()));
    assert_eq!(created.body["email"], "a@x.example");
    let updated = client.patch(&uri, None, json!({"firstName": "A"})).await;
    assert_eq!((action(&updated), updated.id()), ((200, "updated".to_owned()), created.id()));

    let other = format!("{CONTACTS}/external/hubspot/9");
    assert_eq!(client.patch(&other, None, json!({"email": "a@x.example"})).await.status, 409);
    let matched = client.patch(&format!("{other}?match=email"), None, json!({"email": "A@x.example"})).await;
    assert_eq!((matched.id(), matched.body["externalRefs"].as_array().unwrap().len()), (created.id(), 2));

    client.propstreet.delete(created.id());
    let revived = client.patch(&uri, None, json!({"firstName": "B"})).await;
    assert_eq!((action(&revived), revived.id()), ((200, "revived".to_owned()), created.id()));
    client.propstreet.delete(created.id());
    let anew = client.patch(&format!("{uri}?revive=false"), None, json!({"firstName": "C"})).await;
    assert_eq!(action(&anew), (201, "created".to_owned()));
    assert_ne!(anew.id(), created.id());
}

#[tokio::test(start_paused = true)]
async fn employments_are_links_and_show_in_the_contact() {
    let client = Client::new(Knobs::default()).await;
    let company = json!({"name": "Nord", "domain": "ignored.example", "homepageUrl": "https://www.Nord.example/about"});
    let nord = client.post("/api/v1/network/companies", company).await;
    assert_eq!((nord.status, &nord.body["domain"]), (201, &json!("nord.example")));
    let syd = client.post("/api/v1/network/companies", json!({"name": "Syd"})).await;
    let employed =
        json!([{"company": {"kind": "existing", "id": nord.body["id"]}, "jobTitle": "CFO", "primary": true}]);
    let contact = client.post(CONTACTS, json!({"firstName": "A", "connections": employed})).await;
    assert_eq!(contact.body["companies"][0]["jobTitle"], "CFO");
    assert_eq!(contact.body["primaryCompanyId"], nord.body["id"]);
    let link = json!({"contactId": contact.body["id"], "companyId": syd.body["id"], "jobTitle": "Chair"});
    let link = client.post("/api/v1/network/links", link).await;
    assert_eq!(link.status, 201);
    let uri = format!("/api/v1/network/links/{}", link.id());
    let primary = client.patch(&uri, Some(link.header("etag")), json!({"isPrimary": true})).await;
    assert_eq!(primary.status, 200);
    assert_eq!(client.patch(&uri, Some(link.header("etag")), json!({"jobTitle": "x"})).await.status, 412);
    let seen = client.get(&contact_uri(contact.id())).await.body;
    assert_eq!(seen["primaryCompanyId"], syd.body["id"]);
    assert_ne!(seen["etag"], contact.body["etag"]);
    let links = client.get(&format!("/api/v1/network/links?contact_id={}", contact.id())).await.body;
    assert_eq!(links["data"].as_array().unwrap().len(), 2);
    let nobody = json!({"contactId": "1", "companyId": syd.body["id"]});
    assert_eq!(client.post("/api/v1/network/links", nobody).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_list_walks_ties_and_sees_later_changes_again() {
    let client = Client::new(Knobs::default()).await;
    for n in 0..7 {
        client.propstreet.plant(Contact { first_name: Some(n.to_string()), ..Contact::default() });
    }
    let page = client.get(&format!("{CONTACTS}?page_size=4")).await.body;
    let stamp = page["data"][3]["updatedUtc"].as_str().unwrap().to_owned();
    assert!(page["data"].as_array().unwrap().iter().all(|row| row["updatedUtc"] == stamp.as_str()), "all tied");
    client.propstreet.clock().sleep(Duration::from_secs(5)).await;
    let first = page["data"][0]["id"].as_str().unwrap().parse().unwrap();
    client.propstreet.edit(first, |contact| contact.tags.push("x".to_owned()));
    let cursor: String =
        url::form_urlencoded::byte_serialize(page["page"]["nextCursor"].as_str().unwrap().as_bytes()).collect();
    let rest = client.get(&format!("{CONTACTS}?cursor={cursor}")).await.body;
    assert_eq!(rest["data"].as_array().unwrap().len(), 4, "three tied ones and the changed one");
    let since = client.get(&format!("{CONTACTS}?updated_since={stamp}")).await.body;
    assert_eq!(since["data"].as_array().unwrap().len(), 7, "inclusive");
}

#[test]
fn drawn_knobs_differ_by_seed_and_repeat() {
    let draw = |seed| Knobs::draw(&mut fastrand::Rng::with_seed(seed));
    assert_eq!(draw(1), draw(1));
    let lags = (0..100).filter(|seed| draw(*seed).lookup_lag > Duration::ZERO).count();
    assert!((30..70).contains(&lags));
    assert!((0..100).any(|seed| draw(seed).ids == Ids::Number) && (0..100).any(|seed| draw(seed).ids == Ids::Text));
}
