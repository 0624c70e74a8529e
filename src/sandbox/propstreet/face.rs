//! The HTTP face of the Propstreet look-alike: its door with bearer check and rate headers, and the calls for contacts.
//! Decides nothing about contacts; that is the model's.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::sandbox::propstreet::contact::ExternalRef;
use crate::sandbox::propstreet::input::{self, Verb};
use crate::sandbox::propstreet::knobs::{CreateOnly, Idempotency};
use crate::sandbox::propstreet::model::{Action, UpsertOptions};
use crate::sandbox::propstreet::problem::Problem;
use crate::sandbox::propstreet::replay::{Kept, Key};
use crate::sandbox::propstreet::timeline::ListQuery;
use crate::sandbox::propstreet::wire::{
    Answer, Parameters, content_type, json_answer, located, nothing_else, number, object, tag, tagged,
};
use crate::sandbox::propstreet::{Propstreet, network_face};

const URL_LIMIT: usize = 8000;

/// Names the kind of a request for the counters.
pub(super) fn kind(path: &str) -> &'static str {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["openid", "token"] => "token",
        ["api", "v1", "companies", "find-duplicates"] => "duplicates",
        ["api", "v1", "network", rest @ ..] => match rest {
            ["contacts"] => "contacts",
            ["contacts", "external", ..] => "contact by ref",
            ["contacts", _] => "contact",
            ["companies"] => "companies",
            ["companies", "external", ..] => "company by ref",
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
        .route(
            "/api/v1/network/contacts/{id}",
            get(read_contact).patch(update_contact).put(put_contact).delete(delete_contact),
        )
        .route("/api/v1/network/contacts/external/{namespace}/{id}", get(look_up_contact).patch(upsert_contact))
        .merge(network_face::routes())
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
        Ok(()) => match propstreet.closed(kind(&path)) {
            Some(problem) => problem.into_response(),
            None => answered(&propstreet, request, next).await,
        },
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

/// The answer, or the one that the request's idempotency key got before.
async fn answered(propstreet: &Propstreet, request: Request, next: Next) -> Response {
    let replays = propstreet.state().knobs.idempotency == Idempotency::Replayed;
    let key = Key::of(&request).filter(|_| replays);
    let Some(key) = key else { return next.run(request).await };
    let now = propstreet.clock().now();
    if let Some(answer) = propstreet.replays().answer(&key, now) {
        return answer;
    }
    let (response, kept) = Kept::take(next.run(request).await).await;
    propstreet.replays().keep(key, kept, now);
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
    let change = input::read(Verb::Create, object(&headers, &body)?, &propstreet.state().knobs)?;
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
    let change = input::read(Verb::Update, object(&headers, &body)?, &propstreet.state().knobs)?;
    propstreet.state().update(id, tag(&headers), &change)?;
    contact_answer(&propstreet, id, false)
}

/// One page speaks of `PUT`, and no other knows it.
async fn put_contact(propstreet: State<Propstreet>, id: Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    if !propstreet.state().knobs.put_updates {
        return Err(Problem::method_not_allowed());
    }
    update_contact(propstreet, id, headers, body).await
}

async fn upsert_contact(
    State(propstreet): State<Propstreet>,
    Path((namespace, id)): Path<(String, String)>,
    Query(mut query): Parameters,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let options = upsert_options(&mut query, propstreet.state().knobs.create_only)?;
    nothing_else(&query)?;
    let key = ExternalRef { namespace, id };
    if key.namespace.chars().count() > 50 || key.id.chars().count() > 255 {
        return Err(Problem::invalid_field("externalRefs", "namespace is at most 50, id at most 255 characters"));
    }
    let change = input::read(Verb::Upsert, object(&headers, &body)?, &propstreet.state().knobs)?;
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

fn upsert_options(query: &mut BTreeMap<String, String>, create_only: CreateOnly) -> Result<UpsertOptions, Problem> {
    let mut flag = |name: &str, default: bool| match query.remove(name).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(Problem::invalid_field(name, "must be true or false")),
    };
    let revive = flag("revive", true)?;
    let only = create_only != CreateOnly::Unknown && flag("create_only", false)?;
    let match_email = match query.remove("match").as_deref() {
        None => false,
        Some("email") => true,
        Some(_) => return Err(Problem::invalid_field("match", "must be email")),
    };
    let only_create = only && create_only == CreateOnly::Creates;
    Ok(UpsertOptions { match_email, revive, only_create, only_update: only && !only_create })
}

async fn delete_contact(State(propstreet): State<Propstreet>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    propstreet.state().delete(number(&id)?, tag(&headers))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The whole contact, with its tag; 201 and `Location` when it is new.
fn contact_answer(propstreet: &Propstreet, id: u64, new: bool) -> Answer {
    let state = propstreet.state();
    let stored = state.any(id).ok_or_else(Problem::not_found)?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    let answer = tagged(json_answer(status, &state.shown(stored)), &stored.etag());
    Ok(if new { located(answer, "contacts", id) } else { answer })
}
