//! The HTTP face of companies and links: bodies in, answers out. What may be written is decided in `firms.rs`.
//! <https://docs.propstreet.com/api-reference/tag/links/post/api/v1/network/links>

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse;
use axum::routing::{get, patch, post};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::sandbox::propstreet::Propstreet;
use crate::sandbox::propstreet::company::CompanyChange;
use crate::sandbox::propstreet::contact::ExternalRef;
use crate::sandbox::propstreet::duplicates::Question;
use crate::sandbox::propstreet::input::Reader;
use crate::sandbox::propstreet::knobs::Hits;
use crate::sandbox::propstreet::problem::Problem;
use crate::sandbox::propstreet::timeline::ListQuery;
use crate::sandbox::propstreet::wire::{
    Answer, Parameters, json_answer, located, nothing_else, number, object, tag, tagged,
};

pub(super) fn routes() -> Router<Propstreet> {
    Router::new()
        .route("/api/v1/companies/find-duplicates", post(find_duplicates))
        .route("/api/v1/network/companies", get(list_companies).post(create_company))
        .route("/api/v1/network/companies/{id}", get(read_company).patch(update_company))
        .route("/api/v1/network/companies/external/{namespace}/{id}", get(look_up_company))
        .route("/api/v1/network/links", get(list_links).post(create_link))
        .route("/api/v1/network/links/{id}", patch(update_link).delete(delete_link))
}

async fn find_duplicates(State(propstreet): State<Propstreet>, headers: HeaderMap, body: Bytes) -> Answer {
    let mut question = Question::read(object(&headers, &body)?)?;
    let state = propstreet.state();
    question.domain_in_refs = state.knobs.domain_in_refs;
    let live = state.network.companies.values().map(|held| &held.company).filter(|company| company.is_live());
    let hits = Value::Array(question.hits(live, state.knobs.ids));
    let answer = match state.knobs.hits {
        Hits::Plain => hits,
        Hits::Results => json!({"results": hits}),
        Hits::Data => json!({"data": hits}),
    };
    Ok(json_answer(StatusCode::OK, &answer))
}

async fn list_companies(State(propstreet): State<Propstreet>, Query(mut query): Parameters) -> Answer {
    let list = ListQuery::read(&mut query)?;
    nothing_else(&query)?;
    let state = propstreet.state();
    let wanted = |id: u64| list.include_deleted || state.network.is_company(id);
    let page = state.network.company_timeline.page(&list, wanted);
    let rows = page.ids.iter().filter_map(|id| state.network.companies.get(id));
    let rows = rows.map(|held| held.shown(&state.knobs)).collect();
    Ok(json_answer(StatusCode::OK, &page.enveloped(rows, state.knobs.envelope)))
}

async fn create_company(State(propstreet): State<Propstreet>, headers: HeaderMap, body: Bytes) -> Answer {
    let change = CompanyChange::read(object(&headers, &body)?, &propstreet.state().knobs)?;
    let id = propstreet.state().create_company(&change)?;
    company_answer(&propstreet, id, StatusCode::CREATED)
}

async fn read_company(State(propstreet): State<Propstreet>, Path(id): Path<String>) -> Answer {
    let id = number(&id)?;
    propstreet.state().company(id)?;
    company_answer(&propstreet, id, StatusCode::OK)
}

async fn look_up_company(
    State(propstreet): State<Propstreet>,
    Path((namespace, id)): Path<(String, String)>,
) -> Answer {
    let id = propstreet.state().look_up_company(&ExternalRef { namespace, id }.key())?.company.id;
    company_answer(&propstreet, id, StatusCode::OK)
}

async fn update_company(
    State(propstreet): State<Propstreet>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let id = number(&id)?;
    let change = CompanyChange::read(object(&headers, &body)?, &propstreet.state().knobs)?;
    propstreet.state().update_company(id, tag(&headers), &change)?;
    company_answer(&propstreet, id, StatusCode::OK)
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
    let (contact, company) = contact.zip(company).ok_or_else(Problem::not_found)?;
    let id = propstreet.state().create_link(contact, company, job_title)?;
    link_answer(&propstreet, id, StatusCode::CREATED)
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
    propstreet.state().update_link(id, tag(&headers), job_title, primary.flatten())?;
    link_answer(&propstreet, id, StatusCode::OK)
}

async fn delete_link(State(propstreet): State<Propstreet>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    propstreet.state().delete_link(number(&id)?, tag(&headers))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn company_answer(propstreet: &Propstreet, id: u64, status: StatusCode) -> Answer {
    let state = propstreet.state();
    let held = state.network.companies.get(&id).ok_or_else(Problem::not_found)?;
    let answer = tagged(json_answer(status, &held.shown(&state.knobs)), &held.etag());
    Ok(if status == StatusCode::CREATED { located(answer, "companies", id) } else { answer })
}

fn link_answer(propstreet: &Propstreet, id: u64, status: StatusCode) -> Answer {
    let state = propstreet.state();
    let link = state.network.links.get(&id).ok_or_else(Problem::not_found)?;
    let answer = tagged(json_answer(status, &link.shown(state.knobs.ids)), &link.etag());
    Ok(if status == StatusCode::CREATED { located(answer, "links", id) } else { answer })
}
