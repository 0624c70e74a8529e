//! `query` and `queryAll`: a text becomes a result set, a result set becomes pages.
//! It must not know how calls arrive or who may make them.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::columns::{Kind, Record};
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::objects::{Object, with_type};
use crate::sandbox::salesforce::pages::{Cursor, LONG_TEXT_PAGE, Pages};
use crate::sandbox::salesforce::records::{Account, Contact, Lead};
use crate::sandbox::salesforce::search::{self, Refused};
use crate::sandbox::salesforce::soql::{self, Query};
use crate::sandbox::salesforce::state::{PAGE, State};

/// The fewest rows a page may be asked to have.
const SMALLEST_PAGE: usize = 200;
/// The longest query, in characters.
const QUERY_CAP: usize = 100_000;

/// `GET query?q=…`, or `queryAll` with `binned`.
pub fn query(state: &mut State, call: &Call<'_>, binned: bool, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let text =
        call.parameter("q").ok_or_else(|| Refusal::bad("MALFORMED_QUERY", "A query string has to be specified"))?;
    let page = state.page(page_asked(call)?);
    let parsed = parse(text)?;
    let found = with_type!(object(state, text, &parsed)?, T => result::<T>(state, &parsed, binned, page, now));
    match found.map_err(|refused| pointed(text, &refused))? {
        Found::Count(count) => Ok(axum::Json(json!({"totalSize": count, "done": true, "records": []})).into_response()),
        Found::Rows(pages) => {
            let locator = if pages.total() > pages.size() { state.keep(pages.clone(), now) } else { 0 };
            Ok(page_of(state, pages.as_ref(), call.version, locator, 0))
        }
    }
}

/// `GET query/{locator}`; `queryAll/{locator}` is the same.
pub fn more(state: &mut State, call: &Call<'_>, locator: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let refused = || Refusal::bad("INVALID_QUERY_LOCATOR", "invalid query locator");
    let (name, offset) = locator.rsplit_once('-').ok_or_else(refused)?;
    let number = ids::key("0r8", name).ok_or_else(refused)?;
    let offset: usize = offset.parse().map_err(|_| refused())?;
    let pages = state.kept(number, now).ok_or_else(refused)?;
    if offset >= pages.total() {
        return Err(refused());
    }
    Ok(page_of(state, pages.as_ref(), call.version, number, offset))
}

/// The query in a text, or where it is none.
pub fn parse(text: &str) -> Result<Query, Refusal> {
    if text.chars().count() > QUERY_CAP {
        return Err(Refusal::bad("MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters."));
    }
    soql::parse(text).map_err(|malformed| pointed(text, &malformed.into()))
}

/// The object a query asks for, if the user may see it.
pub fn object(state: &State, text: &str, query: &Query) -> Result<Object, Refusal> {
    let name = &query.object;
    Object::named(&name.text).filter(|object| !state.hides(object.name())).ok_or_else(|| {
        let message = format!(
            "sObject type '{}' is not supported. If you are attempting to use a custom object, be sure to append the \
             '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
            name.text
        );
        pointed(text, &Refused { code: "INVALID_TYPE", message, at: name.at })
    })
}

/// The refusal with the query and an arrow under the fault.
pub fn pointed(text: &str, refused: &Refused) -> Refusal {
    let Refused { code, message, at } = refused;
    let arrow = format!("{}^", " ".repeat(*at));
    Refusal::bad(code, format!("\n{text}\n{arrow}\nERROR at Row:1:Column:{}\n{message}", at + 1))
}

enum Found {
    Count(usize),
    Rows(Arc<dyn Pages>),
}

fn result<T: Record>(
    state: &State,
    query: &Query,
    binned: bool,
    page: usize,
    now: DateTime<Utc>,
) -> Result<Found, Refused> {
    let plan = search::plan::<T>(query, &|field| state.hides(field))?;
    let rows = plan.run(&state.tables, binned, now);
    let Some(fields) = plan.fields else { return Ok(Found::Count(rows.len())) };
    let long = fields.iter().any(|path| path.kind() == Kind::LongText);
    let page = if long { page.min(LONG_TEXT_PAGE) } else { page };
    Ok(Found::Rows(Arc::new(Cursor { fields, rows, page })))
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

fn page_of(state: &mut State, pages: &dyn Pages, version: &str, locator: u64, offset: usize) -> Response {
    let records = pages.page(&state.tables, version, offset);
    let total = pages.total();
    let next = offset + records.len();
    let mut body = json!({"totalSize": total, "done": next >= total, "records": records});
    if next < total && !state.levers.loses_next_url() {
        let name = ids::id("0r8", locator);
        body["nextRecordsUrl"] = format!("/services/data/{version}/query/{name}-{next}").into();
    }
    axum::Json(body).into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::sandbox::salesforce::bench::{Org, at, person};
    use crate::sandbox::salesforce::columns::Value;

    #[tokio::test(start_paused = true)]
    async fn a_page_may_lack_the_way_to_the_next() {
        let org = Org::new().await;
        for row in 0..3 {
            org.salesforce.add_at(&person(), at(row));
        }
        org.salesforce.set_page_size_cap(2);
        org.salesforce.lose_next_urls(1);
        let (_, body) = org.query("SELECT Id FROM Contact").await;
        assert!(body["done"] == false && body.get("nextRecordsUrl").is_none());
        let (_, body) = org.query("SELECT Id FROM Contact").await;
        let next = body["nextRecordsUrl"].as_str().unwrap();
        org.salesforce.expire_locators();
        let (status, body) = org.get(next).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_QUERY_LOCATOR")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_text_makes_pages_of_a_thousand() {
        let org = Org::new().await;
        for row in 0..1001 {
            org.salesforce.add_at(&person(), at(row / 100));
        }
        for (fields, rows) in [("Id", 1001), ("Id, Notes__c", 1000)] {
            let (_, body) = org.query(&format!("SELECT {fields} FROM Contact")).await;
            let records = body["records"].as_array().unwrap().len();
            assert_eq!((records, &body["totalSize"]), (rows, &json!(1001)));
            assert_eq!(body["done"], rows == 1001);
        }
        assert_eq!(org.ids("SELECT Id, Notes__c FROM Contact").await.len(), 1001);
        let (_, body) = org.query("SELECT Id FROM Contact WHERE Notes__c = 'x'").await;
        assert_eq!(body[0]["errorCode"], "INVALID_FIELD");
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_addresses_and_formulas_are_what_they_are() {
        let org = Org::new().await;
        let id = org.salesforce.add_at(&person(), at(-600));
        let fields = "SELECT Score__c, MailingAddress, MailingCity, Notes__c, Tier__c, SystemModstamp FROM Contact";
        let empty = org.first(fields).await;
        for field in ["Score__c", "MailingAddress", "MailingCity", "Notes__c", "Tier__c"] {
            assert_eq!(empty[field], Json::Null);
        }
        assert!(org.salesforce.set_formula(&id, "Gold"));
        let row = org.first(fields).await;
        assert_eq!((&row["Tier__c"], &row["SystemModstamp"]), (&json!("Gold"), &empty["SystemModstamp"]));
        assert!(org.salesforce.set_field(&id, "Score__c", Value::Number(12.0)));
        assert!(org.salesforce.set_field(&id, "MailingCity", Value::Text("Lund".to_owned())));
        assert!(!org.salesforce.set_field(&id, "Tier__c", Value::Null), "nobody writes a formula");
        let row = org.first(fields).await;
        assert_eq!(row["Score__c"].to_string(), "12.0");
        assert_eq!((&row["MailingAddress"]["city"], &row["MailingAddress"]["country"]), (&json!("Lund"), &Json::Null));
        assert_ne!(row["SystemModstamp"], empty["SystemModstamp"]);
        assert_eq!(org.ids("SELECT Id FROM Contact WHERE Score__c >= 11.5 AND Score__c != 13").await, [id]);
        for soql in
            ["SELECT Id FROM Contact WHERE MailingAddress = null", "SELECT Id FROM Contact WHERE Score__c = '12'"]
        {
            assert_eq!(org.query(soql).await.1[0]["errorCode"], "INVALID_FIELD", "{soql}");
        }
    }
}
