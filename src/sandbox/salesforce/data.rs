//! The data API behind login and version: what each resource answers, in JSON.
//! It must not know how calls arrive or who may make them.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, DurationRound, SubsecRound, TimeDelta, Utc};
use http::{Method, StatusCode};
use serde_json::{Map, Value as Json, json};

use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::columns::{Account, Contact, Kind, Path, Record, Value};
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::model::{Cursor, PAGE, Snapshot, State};
use crate::sandbox::salesforce::search::{self, Refused};
use crate::sandbox::salesforce::soql::{self, Query};
use crate::sandbox::salesforce::writing;
use crate::sandbox::table::{Row, Table};

/// The fewest rows a page may be asked to have.
const SMALLEST_PAGE: usize = 200;
/// The longest query, in characters.
const QUERY_CAP: usize = 100_000;

/// Answers one authorised call.
pub fn answer(state: &mut State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    match (call.method, call.path) {
        (&Method::GET, ["query"]) => query(state, call, false, now),
        (&Method::GET, ["queryAll"]) => query(state, call, true, now),
        (&Method::GET, ["query" | "queryAll", locator]) => more(state, call, locator, now),
        (&Method::GET, ["limits"]) => {
            let (used, allowance) = state.usage;
            let left = allowance.saturating_sub(used);
            Ok(axum::Json(json!({"DailyApiRequests": {"Max": allowance, "Remaining": left}})).into_response())
        }
        (&Method::GET, ["sobjects", "Contact", "describe"]) => Ok(describe::<Contact>(state)),
        (&Method::GET, ["sobjects", "Account", "describe"]) => Ok(describe::<Account>(state)),
        (&Method::GET, ["sobjects", "Contact", "updated"]) => updated(state, &state.contacts, call, now),
        (&Method::GET, ["sobjects", "Account", "updated"]) => updated(state, &state.accounts, call, now),
        (&Method::GET, ["sobjects", "Contact", "deleted"]) => deleted(state, call, now),
        (&Method::GET, ["sobjects", "Contact", id]) => record(state, call, id, now),
        (&Method::PATCH, ["sobjects", "Contact", id]) => writing::one(state, call, id, now),
        (&Method::PATCH, ["composite", "sobjects"]) => writing::many(state, call, now),
        (_, ["query" | "queryAll" | "limits" | "sobjects", ..]) if call.method != Method::GET => {
            let message = format!("HTTP Method '{}' not allowed. Allowed are HEAD,GET", call.method);
            Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, code: "METHOD_NOT_ALLOWED", message })
        }
        _ => Err(Refusal::not_found()),
    }
}

fn query(state: &mut State, call: &Call<'_>, binned: bool, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let text =
        call.parameter("q").ok_or_else(|| Refusal::bad("MALFORMED_QUERY", "A query string has to be specified"))?;
    if text.chars().count() > QUERY_CAP {
        return Err(Refusal::bad("MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters."));
    }
    let page = state.page(page_asked(call)?);
    let parsed = soql::parse(text).map_err(|malformed| pointed(text, &malformed.into()))?;
    let snapshot = if parsed.object.text.eq_ignore_ascii_case(Contact::TYPE) {
        result(state, &state.contacts, &parsed, binned, page, now).map(|found| found.map(Snapshot::Contacts))
    } else if parsed.object.text.eq_ignore_ascii_case(Account::TYPE) {
        result(state, &state.accounts, &parsed, binned, page, now).map(|found| found.map(Snapshot::Accounts))
    } else {
        let message = format!("sObject type '{}' is not supported.", parsed.object.text);
        Err(Refused { code: "INVALID_TYPE", message, at: parsed.object.at })
    };
    match snapshot.map_err(|refused| pointed(text, &refused))? {
        Found::Count(count) => Ok(axum::Json(json!({"totalSize": count, "done": true, "records": []})).into_response()),
        Found::Rows(snapshot) => {
            let total = snapshot.total();
            let locator = if total > page { state.keep(snapshot.clone(), now) } else { 0 };
            Ok(page_of(state, &snapshot, call.version, locator, 0))
        }
    }
}

enum Found<S> {
    Count(usize),
    Rows(S),
}

impl<S> Found<S> {
    fn map<R>(self, wrap: impl FnOnce(S) -> R) -> Found<R> {
        match self {
            Self::Count(count) => Found::Count(count),
            Self::Rows(rows) => Found::Rows(wrap(rows)),
        }
    }
}

fn result<T: Record>(
    state: &State,
    table: &Table<T>,
    query: &Query,
    binned: bool,
    page: usize,
    now: DateTime<Utc>,
) -> Result<Found<Cursor<T>>, Refused> {
    let plan = search::plan::<T>(query, &|field| state.hides(field))?;
    let rows = plan.run(table, &state.accounts, binned, now);
    Ok(match plan.fields {
        None => Found::Count(rows.len()),
        Some(fields) => Found::Rows(Cursor { fields, rows: rows.into(), page }),
    })
}

/// `Sforce-Query-Options: batchSize=N`
fn page_asked(call: &Call<'_>) -> Result<usize, Refusal> {
    let Some(options) = call.headers.get("sforce-query-options") else { return Ok(PAGE) };
    let size = options.to_str().ok().and_then(|options| {
        let (name, size) = options.split_once('=')?;
        name.trim().eq_ignore_ascii_case("batchSize").then(|| size.trim().parse().ok())?
    });
    size.filter(|size| (SMALLEST_PAGE..=PAGE).contains(size))
        .ok_or_else(|| Refusal::bad("INVALID_QUERY_OPTIONS", "batchSize must be between 200 and 2000"))
}

/// The refusal with the query and an arrow under the fault.
fn pointed(text: &str, refused: &Refused) -> Refusal {
    let Refused { code, message, at } = refused;
    let arrow = format!("{}^", " ".repeat(*at));
    Refusal::bad(code, format!("\n{text}\n{arrow}\nERROR at Row:1:Column:{}\n{message}", at + 1))
}

fn more(state: &State, call: &Call<'_>, locator: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let refused = || Refusal::bad("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (name, offset) = locator.rsplit_once('-').ok_or_else(refused)?;
    let number = ids::key("0r8", name).ok_or_else(refused)?;
    let offset: usize = offset.parse().map_err(|_| refused())?;
    let snapshot = state.kept(number, now).ok_or_else(refused)?;
    if offset >= snapshot.total() {
        return Err(refused());
    }
    Ok(page_of(state, &snapshot, call.version, number, offset))
}

impl Snapshot {
    fn total(&self) -> usize {
        match self {
            Self::Contacts(cursor) => cursor.rows.len(),
            Self::Accounts(cursor) => cursor.rows.len(),
        }
    }
}

fn page_of(state: &State, snapshot: &Snapshot, version: &str, locator: u64, offset: usize) -> Response {
    let (records, total) = match snapshot {
        Snapshot::Contacts(cursor) => (records(state, cursor, version, offset), cursor.rows.len()),
        Snapshot::Accounts(cursor) => (records(state, cursor, version, offset), cursor.rows.len()),
    };
    let next = offset + records.len();
    let mut body = json!({"totalSize": total, "done": next >= total, "records": records});
    if next < total {
        let name = ids::id("0r8", locator);
        body["nextRecordsUrl"] = format!("/services/data/{version}/query/{name}-{next}").into();
    }
    axum::Json(body).into_response()
}

fn records<T: Record>(state: &State, cursor: &Cursor<T>, version: &str, offset: usize) -> Vec<Json> {
    let rows = cursor.rows.iter().skip(offset).take(cursor.page);
    rows.map(|row| render(state, row, &cursor.fields, version)).collect()
}

fn attributes<T: Record>(key: u64, version: &str) -> Json {
    let url = format!("/services/data/{version}/sobjects/{}/{}", T::TYPE, ids::id(T::PREFIX, key));
    json!({"type": T::TYPE, "url": url})
}

fn render<T: Record>(state: &State, row: &Row<T>, fields: &[Path<T>], version: &str) -> Json {
    let mut record = Map::new();
    record.insert("attributes".to_owned(), attributes::<T>(row.key, version));
    for path in fields {
        let value = spelled(path.value(row, &state.accounts));
        match path {
            Path::Own(column) => {
                record.insert(column.name.to_owned(), value);
            }
            Path::Account(column) => match row.value.account() {
                None => {
                    record.insert("Account".to_owned(), Json::Null);
                }
                Some(key) => nested(&mut record, "Account", &attributes::<Account>(key, version), column.name, value),
            },
            Path::Owner(name) => nested(&mut record, "Owner", &json!({"type": "User"}), name, value),
        }
    }
    Json::Object(record)
}

fn nested(record: &mut Map<String, Json>, parent: &str, attributes: &Json, field: &str, value: Json) {
    let inner = record.entry(parent).or_insert_with(|| json!({"attributes": attributes}));
    inner[field] = value;
}

fn spelled(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Text(text) | Value::Id(text) => text.into(),
        Value::Bool(bool) => bool.into(),
        Value::Instant(instant) => stamp(instant).into(),
    }
}

/// `2026-11-02T09:15:41.000+0000`
fn stamp(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}

fn describe<T: Record>(state: &State) -> Response {
    let seen = T::columns().iter().filter(|column| !state.hides(&format!("{}.{}", T::TYPE, column.name)));
    let fields: Vec<Json> = seen
        .map(|column| {
            let (kind, length) = match column.kind {
                Kind::Id => ("id", 18),
                Kind::Reference(..) => ("reference", 18),
                Kind::Text => ("string", 255),
                Kind::Email => ("email", 80),
                Kind::Phone => ("phone", 40),
                Kind::Url => ("url", 255),
                Kind::Picklist => ("picklist", 255),
                Kind::Bool => ("boolean", 0),
                Kind::Instant => ("datetime", 0),
            };
            let (targets, relationship) = match column.kind {
                Kind::Reference(_, object, relationship) => (vec![object], Some(relationship)),
                _ => (Vec::new(), None),
            };
            let custom = column.name.ends_with("__c");
            json!({
                "name": column.name, "label": column.name.trim_end_matches("__c").replace('_', " "), "type": kind,
                "length": length, "custom": custom, "filterable": true, "sortable": true, "calculated": false,
                "nillable": !matches!(column.name, "Id" | "IsDeleted" | "LastName" | "SystemModstamp"),
                "updateable": custom || matches!(column.kind, Kind::Text | Kind::Email | Kind::Phone | Kind::Url),
                "referenceTo": targets, "relationshipName": relationship, "compoundFieldName": null,
            })
        })
        .collect();
    let body = json!({
        "name": T::TYPE, "label": T::TYPE, "keyPrefix": T::PREFIX, "custom": false,
        "queryable": true, "replicateable": true, "fields": fields,
    });
    axum::Json(body).into_response()
}

/// The window of a replication feed, cut to whole minutes.
fn window(call: &Call<'_>, days: i64, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>), Refusal> {
    let refused = |message: String| Refusal::bad("INVALID_REPLICATION_DATE", message);
    let bound = |name: &str| {
        let text = call.parameter(name).ok_or_else(|| refused(format!("{name} is required")))?;
        let parsed =
            DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
        let bound = parsed.map_err(|_| refused(format!("invalid date: {text}")))?.to_utc();
        Ok(bound.duration_trunc(TimeDelta::minutes(1)).unwrap_or(bound))
    };
    let (start, end) = (bound("start")?, bound("end")?);
    if start >= end {
        return Err(refused("startDate and endDate should be distinct and startDate before endDate".to_owned()));
    }
    if start < now - TimeDelta::days(days) {
        return Err(refused("startDate before org replication enabled date or too far back".to_owned()));
    }
    Ok((start, end))
}

fn updated<T: Record>(
    state: &State,
    table: &Table<T>,
    call: &Call<'_>,
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let (start, end) = window(call, 30, now)?;
    let rows = table.by_stamp((Some(start), 0)..(Some(end), 0), now).filter(|row| row.deleted.is_none());
    let found: Vec<String> = rows.map(|row| ids::id(T::PREFIX, row.key)).collect();
    if found.len() > 600_000 {
        return Err(Refusal::bad("EXCEEDED_ID_LIMIT", "too many ids; use a shorter window"));
    }
    let covered = stamp(state.covered(end, now));
    Ok(axum::Json(json!({"ids": found, "latestDateCovered": covered})).into_response())
}

fn deleted(state: &State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let (start, end) = window(call, 15, now)?;
    let rows = state.contacts.by_stamp((Some(start), 0)..(Some(end), 0), now);
    let found: Vec<Json> = rows
        .filter_map(|row| Some(json!({"id": ids::id(Contact::PREFIX, row.key), "deletedDate": stamp(row.deleted?)})))
        .collect();
    let earliest = stamp(now.trunc_subsecs(0) - TimeDelta::days(15));
    let covered = stamp(state.covered(end, now));
    let body = json!({"deletedRecords": found, "earliestDateAvailable": earliest, "latestDateCovered": covered});
    Ok(axum::Json(body).into_response())
}

fn record(state: &State, call: &Call<'_>, id: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let key = writing::contact(state, id, now)?;
    let row = state.contacts.row(key).ok_or_else(Refusal::not_found)?;
    let all = || Contact::columns().iter().map(|column| column.name).collect::<Vec<_>>();
    let names = call.parameter("fields").map_or_else(all, |fields| fields.split(',').map(str::trim).collect());
    let every = call.parameter("fields").is_none();
    let mut paths = Vec::new();
    for name in names {
        match Path::resolve(name, |field| state.hides(field)) {
            Some(path) => paths.push(path),
            None if every => {}
            None => {
                let message = format!("No such column '{name}' on sobject of type Contact");
                return Err(Refusal::bad("INVALID_FIELD", message));
            }
        }
    }
    Ok(axum::Json(render(state, row, &paths, call.version)).into_response())
}
