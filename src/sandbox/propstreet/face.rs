//! The HTTP face of the Propstreet look-alike: routes, bearer check, rate headers, bodies in and out. Decides nothing
//! about contacts; that is the model's.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use crate::sandbox::propstreet::Propstreet;
use crate::sandbox::propstreet::contact::ExternalRef;
use crate::sandbox::propstreet::input::{self, Reader, Verb};
use crate::sandbox::propstreet::model::{Action, UpsertOptions};
use crate::sandbox::propstreet::network::Company;
use crate::sandbox::propstreet::problem::{FieldErrors, Problem};
use crate::sandbox::propstreet::timeline::ListQuery;

const BODY_LIMIT: usize = 10 * 1024 * 1024;
const URL_LIMIT: usize = 8000;

type Answer = Result<Response, Problem>;
type Parameters = Query<BTreeMap<String, String>>;

/// Names the kind of a request for the counters.
pub(super) fn kind(path: &str) -> &'static str {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["openid", "token"] => "token",
        ["api", "v1", "network", rest @ ..] => match rest {
            ["contacts"] => "contacts",
            ["contacts", "external", ..] => "contact by ref",
            ["contacts", _] => "contact",
            ["companies"] => "companies",
            ["companies", ..] => "company",
            ["links"] => "links",
            ["links", _] => "link",
            _ => "other",
        },
        _ => "other",
    }
}

/// All routes, behind the door; the gate of faults is put before them by the caller.
pub(super) fn router(propstreet: &Propstreet) -> Router {
    let api = Router::new()
        .route("/api/v1/network/contacts", get(list_contacts).post(create_contact))
        .route("/api/v1/network/contacts/{id}", get(read_contact).patch(update_contact).delete(delete_contact))
        .route("/api/v1/network/contacts/external/{namespace}/{id}", get(look_up_contact).patch(upsert_contact))
        .route("/api/v1/network/companies", get(list_companies).post(create_company))
        .route("/api/v1/network/companies/{id}", get(read_company))
        .route("/api/v1/network/companies/external/{namespace}/{id}", get(look_up_company))
        .route("/api/v1/network/links", get(list_links).post(create_link))
        .route("/api/v1/network/links/{id}", patch(update_link))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .fallback(async || Problem::not_found())
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(propstreet.clone(), door));
    Router::new().route("/openid/token", post(token)).merge(api).with_state(propstreet.clone())
}

/// Lets a request in, gives refusals their final form and puts the rate headers on every answer.
async fn door(State(propstreet): State<Propstreet>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let (allowance, entry) = propstreet.door().enter(bearer, propstreet.clock().now());
    let mut response = match entry {
        Err(problem) => problem.into_response(),
        Ok(()) if request.uri().to_string().len() > URL_LIMIT => Problem::url_too_long().into_response(),
        Ok(()) => next.run(request).await,
    };
    if let Some(problem) = response.extensions().get::<Problem>() {
        response = problem.rendered(&path);
    }
    let figures = [
        ("ratelimit-limit", u64::from(allowance.limit)),
        ("ratelimit-remaining", u64::from(allowance.remaining)),
        ("ratelimit-reset", allowance.reset),
    ];
    for (name, figure) in figures {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(figure));
    }
    response
}

async fn token(State(propstreet): State<Propstreet>, headers: HeaderMap, body: Bytes) -> Response {
    let is_form = content_type(&headers).starts_with("application/x-www-form-urlencoded");
    let form = if is_form { url::form_urlencoded::parse(&body).into_owned().collect() } else { BTreeMap::new() };
    let (status, answer) = propstreet.door().token(&form, propstreet.clock().now());
    json_answer(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST), &answer)
}

async fn list_contacts(State(propstreet): State<Propstreet>, Query(mut query): Parameters) -> Answer {
    let list = ListQuery::read(&mut query)?;
    nothing_else(&query)?;
    let state = propstreet.state();
    let page = state.list(&list);
    let rows = page.ids.iter().filter_map(|id| state.any(*id)).map(|stored| state.shown(stored)).collect();
    Ok(json_answer(StatusCode::OK, &page.enveloped(rows, state.knobs.envelope)))
}

async fn create_contact(State(propstreet): State<Propstreet>, headers: HeaderMap, body: Bytes) -> Answer {
    let change = input::read(Verb::Create, object(&headers, &body)?)?;
    let (id, new) = propstreet.state().create(&change)?;
    contact_answer(&propstreet, id, new)
}

async fn read_contact(State(propstreet): State<Propstreet>, Path(id): Path<String>) -> Answer {
    let id = number(&id)?;
    propstreet.state().get(id)?;
    contact_answer(&propstreet, id, false)
}

async fn look_up_contact(
    State(propstreet): State<Propstreet>,
    Path((namespace, id)): Path<(String, String)>,
) -> Answer {
    let id = propstreet.state().look_up(&ExternalRef { namespace, id }.key())?.contact.id;
    contact_answer(&propstreet, id, false)
}

async fn update_contact(
    State(propstreet): State<Propstreet>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let id = number(&id)?;
    let change = input::read(Verb::Update, object(&headers, &body)?)?;
    propstreet.state().update(id, tag(&headers), &change)?;
    contact_answer(&propstreet, id, false)
}

async fn upsert_contact(
    State(propstreet): State<Propstreet>,
    Path((namespace, id)): Path<(String, String)>,
    Query(mut query): Parameters,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let options = UpsertOptions {
        match_email: match query.remove("match").as_deref() {
            None => false,
            Some("email") => true,
            Some(_) => return Err(Problem::invalid_field("match", "must be email")),
        },
        revive: match query.remove("revive").as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(Problem::invalid_field("revive", "must be true or false")),
        },
    };
    // `create_only` is refused with the unknown ones: its page says one thing and its name the opposite.
    nothing_else(&query)?;
    let key = ExternalRef { namespace, id };
    if key.namespace.chars().count() > 50 || key.id.chars().count() > 255 {
        return Err(Problem::invalid_field("externalRefs", "namespace is at most 50, id at most 255 characters"));
    }
    let change = input::read(Verb::Upsert, object(&headers, &body)?)?;
    let (id, action) = propstreet.state().upsert(&key, tag(&headers), options, &change)?;
    let word = match action {
        Action::Created => "created",
        Action::Updated => "updated",
        Action::Revived => "revived",
    };
    let mut answer = contact_answer(&propstreet, id, action == Action::Created)?;
    answer.headers_mut().insert("x-propstreet-upsert-action", HeaderValue::from_static(word));
    Ok(answer)
}

async fn delete_contact(State(propstreet): State<Propstreet>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    propstreet.state().delete(number(&id)?, tag(&headers))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list_companies(State(propstreet): State<Propstreet>, Query(mut query): Parameters) -> Answer {
    let list = ListQuery::read(&mut query)?;
    nothing_else(&query)?;
    let state = propstreet.state();
    let page = state.network.company_timeline.page(&list, |_| true);
    let rows = page.ids.iter().filter_map(|id| state.network.companies.get(id));
    let rows = rows.map(|company| company.shown(state.knobs.ids)).collect();
    Ok(json_answer(StatusCode::OK, &page.enveloped(rows, state.knobs.envelope)))
}

async fn create_company(State(propstreet): State<Propstreet>, headers: HeaderMap, body: Bytes) -> Answer {
    let company = Company::read(object(&headers, &body)?)?;
    let mut state = propstreet.state();
    let (id, tick) = (state.fresh_id(), state.tick());
    state.network.add_company(company, id, tick)?;
    state.writes.companies += 1;
    let company = state.network.companies.get(&id).ok_or_else(Problem::not_found)?;
    let answer = json_answer(StatusCode::CREATED, &company.shown(state.knobs.ids));
    Ok(located(tagged(answer, &company.etag()), "companies", id))
}

async fn read_company(State(propstreet): State<Propstreet>, Path(id): Path<String>) -> Answer {
    let state = propstreet.state();
    let company = state.network.companies.get(&number(&id)?).ok_or_else(Problem::not_found)?;
    Ok(tagged(json_answer(StatusCode::OK, &company.shown(state.knobs.ids)), &company.etag()))
}

async fn look_up_company(
    State(propstreet): State<Propstreet>,
    Path((namespace, id)): Path<(String, String)>,
) -> Answer {
    let state = propstreet.state();
    let company = state.network.company_by_ref(&ExternalRef { namespace, id }.key()).ok_or_else(Problem::not_found)?;
    Ok(tagged(json_answer(StatusCode::OK, &company.shown(state.knobs.ids)), &company.etag()))
}

async fn list_links(State(propstreet): State<Propstreet>, Query(mut query): Parameters) -> Answer {
    let list = ListQuery::read(&mut query)?;
    let contact = query.remove("contact_id").map(|id| number(&id)).transpose()?;
    let company = query.remove("company_id").map(|id| number(&id)).transpose()?;
    nothing_else(&query)?;
    let state = propstreet.state();
    let network = &state.network;
    let wanted = |id: u64| {
        network.links.get(&id).is_some_and(|link| {
            contact.is_none_or(|id| link.contact == id)
                && company.is_none_or(|id| link.company == id)
                && (list.include_deleted || link.deleted.is_none())
        })
    };
    let page = match contact {
        Some(contact) => network.timeline_of(contact).page(&list, wanted),
        None => network.link_timeline.page(&list, wanted),
    };
    let rows = page.ids.iter().filter_map(|id| network.links.get(id)).map(|link| link.shown(state.knobs.ids)).collect();
    Ok(json_answer(StatusCode::OK, &page.enveloped(rows, state.knobs.envelope)))
}

async fn create_link(State(propstreet): State<Propstreet>, headers: HeaderMap, body: Bytes) -> Answer {
    let mut reader = Reader::new(object(&headers, &body)?);
    let (contact, company) = (reader.id("contactId"), reader.id("companyId"));
    let job_title = reader.text("jobTitle", 255, |_| true).flatten();
    reader.finish()?;
    let mut state = propstreet.state();
    let contact = contact.filter(|id| state.is_live(*id));
    let company = company.filter(|id| state.network.companies.contains_key(id));
    let contact = contact.ok_or_else(|| Problem::invalid_field("contactId", "no such contact"))?;
    let company = company.ok_or_else(|| Problem::invalid_field("companyId", "no such company"))?;
    let (id, tick) = (state.fresh_id(), state.tick());
    state.network.add_link(id, contact, company, job_title, tick);
    state.touch(contact);
    state.writes.links += 1;
    let link = state.network.links.get(&id).ok_or_else(Problem::not_found)?;
    let answer = json_answer(StatusCode::CREATED, &link.shown(state.knobs.ids));
    Ok(located(tagged(answer, &link.etag()), "links", id))
}

async fn update_link(
    State(propstreet): State<Propstreet>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let id = number(&id)?;
    let mut reader = Reader::new(object(&headers, &body)?);
    let (job_title, primary) = (reader.text("jobTitle", 255, |_| true), reader.flag("isPrimary"));
    reader.finish()?;
    let mut state = propstreet.state();
    let link = state.network.links.get(&id).filter(|link| link.deleted.is_none()).ok_or_else(Problem::not_found)?;
    let contact = link.contact;
    state.fresh_enough(&link.etag(), tag(&headers))?;
    let tick = state.tick();
    let changed = state.network.change_link(id, tick, |link| {
        if let Some(title) = job_title {
            link.job_title = title;
        }
        link.primary = primary.flatten().unwrap_or(link.primary);
    });
    if changed {
        state.touch(contact);
        state.writes.links += 1;
    }
    let link = state.network.links.get(&id).ok_or_else(Problem::not_found)?;
    Ok(tagged(json_answer(StatusCode::OK, &link.shown(state.knobs.ids)), &link.etag()))
}

/// The whole contact, with its tag; 201 and `Location` when it is new.
fn contact_answer(propstreet: &Propstreet, id: u64, new: bool) -> Answer {
    let state = propstreet.state();
    let stored = state.any(id).ok_or_else(Problem::not_found)?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let answer = tagged(json_answer(status, &state.shown(stored)), &stored.etag());
    Ok(if new { located(answer, "contacts", id) } else { answer })
}

fn json_answer(status: StatusCode, value: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], Body::from(value.to_string())).into_response()
}

fn tagged(mut response: Response, etag: &str) -> Response {
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

fn located(mut response: Response, collection: &str, id: u64) -> Response {
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/network/{collection}/{id}")) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn tag(headers: &HeaderMap) -> Option<&str> {
    headers.get(IF_MATCH).and_then(|value| value.to_str().ok())
}

fn object(headers: &HeaderMap, body: &Bytes) -> Result<Map<String, Value>, Problem> {
    if body.len() > BODY_LIMIT {
        return Err(Problem::body_too_large());
    }
    if !content_type(headers).starts_with("application/json") {
        return Err(Problem::not_json());
    }
    serde_json::from_slice(body).map_err(|_| Problem::invalid_field("request", "must be a JSON object"))
}

fn number(id: &str) -> Result<u64, Problem> {
    id.parse().map_err(|_| Problem::not_found())
}

fn nothing_else(query: &BTreeMap<String, String>) -> Result<(), Problem> {
    let unknown: FieldErrors =
        query.keys().map(|name| (name.clone(), vec!["is not a parameter of this request".to_owned()])).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Problem::invalid(unknown)) }
}
