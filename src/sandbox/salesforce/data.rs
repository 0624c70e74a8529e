//! The data API behind login and version: which resource answers which call.
//! It must not know how calls arrive or who may make them.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde_json::json;

use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::columns::{Path, Record};
use crate::sandbox::salesforce::objects::{Object, with_type};
use crate::sandbox::salesforce::records::{Account, Contact, Lead};
use crate::sandbox::salesforce::state::State;
use crate::sandbox::salesforce::{bulk, describe, pages, query, replication, writing};

/// Answers one authorised call.
pub fn answer(state: &mut State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    match (call.method, call.path) {
        (&Method::GET, ["query"]) => query::query(state, call, false, now),
        (&Method::GET, ["queryAll"]) => query::query(state, call, true, now),
        (&Method::GET, ["query" | "queryAll", locator]) => query::more(state, call, locator, now),
        (&Method::GET, ["limits"]) => {
            let left = state.usage.allowance.saturating_sub(state.usage.used);
            Ok(axum::Json(json!({"DailyApiRequests": {"Max": state.usage.allowance, "Remaining": left}}))
                .into_response())
        }
        (&Method::GET, ["sobjects"]) => Ok(describe::all(state, call.version)),
        (&Method::GET, ["sobjects", name]) => Ok(describe::basic(object(state, name)?, call.version)),
        (&Method::GET, ["sobjects", name, "describe"]) => Ok(describe::full(state, object(state, name)?, call.version)),
        (&Method::GET, ["sobjects", name, "updated"]) => {
            with_type!(object(state, name)?, T => replication::updated::<T>(state, call, now))
        }
        (&Method::GET, ["sobjects", name, "deleted"]) => {
            with_type!(object(state, name)?, T => replication::deleted::<T>(state, call, now))
        }
        (&Method::GET, ["sobjects", name, id]) => {
            with_type!(object(state, name)?, T => record::<T>(state, call, id, now))
        }
        (&Method::PATCH, ["sobjects", name, id]) => writing::one(state, call, object(state, name)?, id, now),
        (&Method::DELETE, ["sobjects", name, id]) => {
            with_type!(object(state, name)?, T => writing::bin::<T>(state, id, now))
        }
        (&Method::PATCH, ["composite", "sobjects"]) => writing::many(state, call, now),
        (_, ["jobs", "query", path @ ..]) => bulk::answer(state, call, path, now),
        (_, ["query" | "queryAll" | "limits" | "sobjects", ..]) if call.method != Method::GET => {
            let message = format!("HTTP Method '{}' not allowed. Allowed are HEAD,GET", call.method);
            Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, code: "METHOD_NOT_ALLOWED", message })
        }
        _ => Err(Refusal::not_found()),
    }
}

fn object(state: &State, name: &str) -> Result<Object, Refusal> {
    Object::named(name).filter(|object| !state.hides(object.name())).ok_or_else(Refusal::not_found)
}

fn record<T: Record>(state: &State, call: &Call<'_>, id: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let row = writing::live::<T>(state, id, now)?;
    let all = || T::columns().iter().map(|column| column.name.as_str()).collect::<Vec<_>>();
    let names = call.parameter("fields").map_or_else(all, |fields| fields.split(',').map(str::trim).collect());
    let every = call.parameter("fields").is_none();
    let mut paths = Vec::new();
    for name in names {
        match Path::resolve(name, |field| state.hides(field)) {
            Some(path) => paths.push(path),
            None if every => {}
            None => return Err(writing::no_such_column(T::TYPE, name)),
        }
    }
    Ok(axum::Json(pages::render(&state.tables, row, &paths, call.version)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::salesforce::bench::{Org, at, person};

    #[tokio::test(start_paused = true)]
    async fn what_is_deleted_is_in_the_bin_and_cannot_be_deleted_again() {
        let org = Org::new().await;
        for (object, id) in [
            ("Contact", org.salesforce.add_at(&person(), at(-60))),
            ("Lead", org.salesforce.add_lead_at(&person(), at(-60))),
        ] {
            let path = format!("/services/data/v66.0/sobjects/{object}/{id}");
            let (status, _, body) = org.call(Method::DELETE, &path, &[], "").await;
            assert_eq!((status, body.as_str()), (204, ""));
            assert!(org.ids(&format!("SELECT Id FROM {object}")).await.is_empty());
            let (_, all) = org.query_all(&format!("SELECT IsDeleted, SystemModstamp FROM {object}")).await;
            let binned = &all["records"][0];
            assert_eq!(binned["IsDeleted"], true);
            assert_eq!(binned["SystemModstamp"], "2026-11-02T09:00:00.000+0000");
            let (status, _, body) = org.call(Method::DELETE, &path, &[], "").await;
            assert!(status == 404 && body.contains("ENTITY_IS_DELETED"), "{status} {body}");
        }
    }
}
