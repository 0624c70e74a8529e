//! Write-back: fields of one record at a time, or of many; and the bin, for a person who tries what becomes of a deleted
//! record.
//! It must not know how calls arrive or who may make them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::columns::{Column, Kind, Record, Value};
use crate::sandbox::salesforce::contact::is_person_account;
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::objects::{Object, with_type};
use crate::sandbox::salesforce::records::{ASSIGNEE, Account, Contact, Lead};
use crate::sandbox::salesforce::state::State;
use crate::sandbox::table::Row;

/// The most records a collection takes.
const RECORDS: usize = 200;
/// The longest text of an ordinary field, and of a long one.
const TEXT: usize = 255;
const LONG_TEXT: usize = 32_768;

/// The live row behind an id of 15 or 18 characters.
pub fn live<'a, T: Record>(state: &'a State, id: &str, now: DateTime<Utc>) -> Result<&'a Arc<Row<T>>, Refusal> {
    let found = ids::key(T::PREFIX, id).and_then(|key| T::table(&state.tables).get(key, now));
    match found {
        None => Err(Refusal::not_found()),
        Some(row) if row.deleted.is_some() => {
            let message = "entity is deleted".to_owned();
            Err(Refusal { status: StatusCode::NOT_FOUND, code: "ENTITY_IS_DELETED", message })
        }
        Some(row) => Ok(row),
    }
}

/// The refusal of a field that is not there, or not for this user.
pub fn no_such_column(object: &str, name: &str) -> Refusal {
    Refusal::bad("INVALID_FIELD", format!("No such column '{name}' on sobject of type {object}"))
}

/// `PATCH sobjects/{Object}/{id}`: 204 without a body.
pub fn one(
    state: &mut State,
    call: &Call<'_>,
    object: Object,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let fields: Map<String, Json> = serde_json::from_slice(call.body).map_err(|_| unreadable())?;
    write(state, call, object, id, &fields, now)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `DELETE sobjects/{Object}/{id}`: into the bin; 204 without a body.
pub fn bin<T: Record>(state: &mut State, id: &str, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let key = live::<T>(state, id, now)?.key;
    let stamp = now.trunc_subsecs(0);
    T::table_mut(&mut state.tables).change(key, |row| {
        row.stamp = Some(stamp);
        row.deleted = Some(stamp);
    });
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `PATCH composite/sobjects`: 200 even where records fail; the results stand in the order of the request.
pub fn many(state: &mut State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let body: Json = serde_json::from_slice(call.body).map_err(|_| unreadable())?;
    let records = body["records"].as_array().ok_or_else(unreadable)?;
    if records.len() > RECORDS {
        return Err(Refusal::bad(
            "EXCEEDED_ID_LIMIT",
            format!("record limit reached. cannot submit more than {RECORDS} records"),
        ));
    }
    if body["allOrNone"] == true {
        return Err(Refusal::bad("NOT_SUPPORTED", "This org takes collections with allOrNone false only"));
    }
    let mut seen = BTreeSet::new();
    let results = records.iter().map(|record| {
        let mut fields = record.as_object().cloned().unwrap_or_default();
        fields.remove("attributes");
        let id = fields.remove("id").and_then(|id| id.as_str().map(str::to_owned)).unwrap_or_default();
        let object = record["attributes"]["type"].as_str().and_then(Object::named).ok_or_else(unreadable);
        let written = object.and_then(|object| {
            // The first fifteen characters are the whole id.
            if !seen.insert(id.chars().take(15).collect::<String>()) {
                return Err(Refusal::bad("DUPLICATE_VALUE", format!("duplicate id specified: {id}")));
            }
            write(state, call, object, &id, &fields, now)
        });
        match written {
            Ok(id) => json!({"id": id, "success": true, "errors": []}),
            Err(Refusal { code, message, .. }) => {
                json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": []}]})
            }
        }
    });
    Ok(axum::Json(results.collect::<Json>()).into_response())
}

/// Writes the fields of one record; answers its id of 18 characters.
fn write(
    state: &mut State,
    call: &Call<'_>,
    object: Object,
    id: &str,
    fields: &Map<String, Json>,
    now: DateTime<Utc>,
) -> Result<String, Refusal> {
    let key = with_type!(object, T => live::<T>(state, id, now).map(|row| row.key))?;
    let id = ids::id(object.prefix(), key);
    if let Some(refusal) = state.levers.failing_write(&id) {
        return Err(refusal);
    }
    if object == Object::Lead && state.tables.leads.row(key).is_some_and(|row| row.value.converted.is_some()) {
        return Err(Refusal::bad("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"));
    }
    let contact = state.tables.contacts.row(key).filter(|_| object == Object::Contact);
    if contact.is_some_and(|row| is_person_account(row, &state.tables)) {
        let message = "The contact of a person account is updated through its account";
        return Err(Refusal::bad("INVALID_FIELD_FOR_INSERT_UPDATE", message));
    }
    match object {
        Object::Account => write_person_account(state, key, fields, now)?,
        _ => with_type!(object, T => {
            let writes = writes::<T>(state, fields)?;
            apply(state, key, writes, Some(now.trunc_subsecs(0)));
        }),
    }
    // By default an update runs the assignment rules again, and the lead changes hands.
    let header = call.headers.get("sforce-auto-assign");
    let spared = header.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"));
    if object == Object::Lead && !spared {
        state.tables.leads.change(key, |row| row.value.assign(ASSIGNEE.0));
    }
    Ok(id)
}

/// The side of a person account that is written is the account's; what it writes stands in the contact.
fn write_person_account(
    state: &mut State,
    key: u64,
    fields: &Map<String, Json>,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let contact = state.tables.accounts.row(key).and_then(|row| row.value.person);
    let mut of_contact = Map::new();
    for (name, json) in fields {
        let column = may_write::<Account>(state, name)?;
        let field = column.of_contact.filter(|_| contact.is_some()).ok_or_else(|| not_writable(name))?;
        of_contact.insert(field.to_owned(), json.clone());
    }
    let writes = writes::<Contact>(state, &of_contact)?;
    let stamp = now.trunc_subsecs(0);
    if let Some(contact) = contact {
        let moves = state.levers.person_edit_moves_contact;
        apply(state, contact, writes, moves.then_some(stamp));
        state.tables.accounts.change(key, |row| row.stamp = Some(stamp));
    }
    Ok(())
}

/// A field that the user sees and may update.
fn may_write<T: Record>(state: &State, name: &str) -> Result<&'static Column<T>, Refusal> {
    let column = T::column(name).filter(|column| !state.hides(&format!("{}.{}", T::TYPE, column.name)));
    let column = column.ok_or_else(|| no_such_column(T::TYPE, name))?;
    if state.may_write(T::TYPE, column) { Ok(column) } else { Err(not_writable(name)) }
}

fn not_writable(name: &str) -> Refusal {
    let message = format!(
        "Unable to create/update fields: {name}. Please check the security settings of this field and verify that it is \
         read/write for your profile or permission set."
    );
    Refusal::bad("INVALID_FIELD_FOR_INSERT_UPDATE", message)
}

/// What is to be written, and how.
type Writes<T> = Vec<(fn(&mut T, Value), Value)>;

fn writes<T: Record>(state: &State, fields: &Map<String, Json>) -> Result<Writes<T>, Refusal> {
    let write = |(name, json): (&String, &Json)| {
        let column = may_write::<T>(state, name)?;
        Ok((column.set.ok_or_else(|| not_writable(name))?, value(column, json)?))
    };
    fields.iter().map(write).collect()
}

fn apply<T: Record>(state: &mut State, key: u64, writes: Writes<T>, stamp: Option<DateTime<Utc>>) {
    T::table_mut(&mut state.tables).change(key, |row| {
        if let Some(stamp) = stamp {
            row.stamp = Some(stamp);
            row.value.modified(stamp);
        }
        for (write, value) in writes {
            write(&mut row.value, value);
        }
    });
}

fn value<T>(column: &Column<T>, json: &Json) -> Result<Value, Refusal> {
    let most = if column.kind == Kind::LongText { LONG_TEXT } else { TEXT };
    match (column.kind, json) {
        (_, Json::Null) => Ok(Value::Null),
        (Kind::Number, Json::Number(number)) => Ok(number.as_f64().map_or(Value::Null, Value::Number)),
        (Kind::Number, _) => Err(unreadable()),
        (_, Json::String(text)) if text.chars().count() > most => {
            let message = format!("{}: data value too large: (max length={most})", column.name);
            Err(Refusal::bad("STRING_TOO_LONG", message))
        }
        (_, Json::String(text)) => Ok(Value::text(text)),
        _ => Err(unreadable()),
    }
}

fn unreadable() -> Refusal {
    Refusal::bad("JSON_PARSER_ERROR", "The body cannot be read as the expected object")
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sandbox::salesforce::bench::{Org, at, person};

    const COLLECTION: &str = "/services/data/v66.0/composite/sobjects";

    fn collection(ids: &[&str], fields: &Json) -> Json {
        let record = |id: &&str| {
            let mut record = fields.clone();
            record["attributes"] = json!({"type": if id.starts_with("00Q") { "Lead" } else { "Contact" }});
            record["id"] = json!(id);
            record
        };
        json!({"allOrNone": false, "records": ids.iter().map(record).collect::<Vec<_>>()})
    }

    fn outcomes(results: &Json) -> Vec<&str> {
        let results = results.as_array().unwrap().iter();
        results.map(|result| result["errors"][0]["statusCode"].as_str().unwrap_or("ok")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_record_of_a_collection_spoils_no_other() {
        let org = Org::new().await;
        let [good, invalid, locked, gone] = [0, 1, 2, 3].map(|_| org.salesforce.add_at(&person(), at(-60)));
        let lead = org.salesforce.add_lead(&person());
        org.salesforce.fail_writes(&invalid, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Ids are closed on Mondays", None);
        org.salesforce.fail_writes(&locked, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", Some(1));
        org.salesforce.delete(&gone);
        let fields = json!({"Propstreet_Contact_Id__c": "42"});
        let all = collection(&[&invalid, &good, &locked, &lead, &gone, &good[..15]], &fields);
        let (status, results) = org.patch(COLLECTION, &all).await;
        let expected = [
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "ok",
            "UNABLE_TO_LOCK_ROW",
            "ok",
            "ENTITY_IS_DELETED",
            "DUPLICATE_VALUE",
        ];
        assert_eq!((status, outcomes(&results)), (200, expected.to_vec()));
        assert!(results[0].get("id").is_none() && results[1]["id"] == json!(good));
        let again = org.patch(COLLECTION, &collection(&[&locked, &invalid], &fields)).await.1;
        assert_eq!(outcomes(&again), ["ok", "FIELD_CUSTOM_VALIDATION_EXCEPTION"], "a lock goes, a rule stays");
        assert_eq!(org.salesforce.written_back(&invalid), None);
        let path = format!("/services/data/v66.0/sobjects/Contact/{invalid}");
        let (status, body) = org.patch(&path, &fields).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!("FIELD_CUSTOM_VALIDATION_EXCEPTION")));
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_reassigns_a_lead_unless_told_not_to() {
        let org = Org::new().await;
        let lead = org.salesforce.add_lead(&person());
        let owner = org.salesforce.owner(&lead).unwrap();
        let path = format!("/services/data/v66.0/sobjects/Lead/{lead}");
        let body = r#"{"Propstreet_Contact_Id__c": "42"}"#;
        for (headers, stays) in [(vec![("sforce-auto-assign", "FALSE")], true), (vec![], false)] {
            assert_eq!(org.call(Method::PATCH, &path, &headers, body).await.0, 204);
            assert_eq!(org.salesforce.owner(&lead).unwrap() == owner, stays);
        }
        assert_eq!(org.first("SELECT Owner.Name FROM Lead").await["Owner"]["Name"], "Assignment Rule");
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_takes_what_its_type_and_the_users_rights_allow() {
        let org = Org::new().await;
        let contact = org.salesforce.add(&person());
        let path = format!("/services/data/v66.0/sobjects/Contact/{contact}");
        for (fields, code) in [
            (json!({"Foo__c": "x"}), "INVALID_FIELD"),
            (json!({"SystemModstamp": "2026-11-02T09:00:00Z"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
            (json!({"Name": "x"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
            (json!({"Tier__c": "x"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
            (json!({"MailingAddress": "x"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
            (json!({"Propstreet_Contact_Id__c": 42}), "JSON_PARSER_ERROR"),
            (json!({"Propstreet_Contact_Id__c": "x".repeat(256)}), "STRING_TOO_LONG"),
        ] {
            let (status, body) = org.patch(&path, &fields).await;
            assert_eq!((status, &body[0]["errorCode"]), (400, &json!(code)), "{fields}");
        }
        let fields = json!({"Score__c": 12, "MailingCity": "Lund", "Propstreet_Contact_Id__c": "42"});
        assert_eq!(org.patch(&path, &fields).await.0, 204);
        org.salesforce.lock_field("Propstreet_Contact_Id__c");
        let (_, body) = org.patch(&path, &json!({"Propstreet_Contact_Id__c": "43"})).await;
        assert_eq!(body[0]["errorCode"], "INVALID_FIELD_FOR_INSERT_UPDATE");
        org.salesforce.hide_field("Propstreet_Contact_Id__c");
        let (_, body) = org.patch(&path, &json!({"Propstreet_Contact_Id__c": "43"})).await;
        assert_eq!(body[0]["errorCode"], "INVALID_FIELD");
        assert_eq!(org.salesforce.written_back(&contact).as_deref(), Some("42"));
    }
}
