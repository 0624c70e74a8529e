//! Pipedrive's JSON as it is sent: lists, persons, organizations, field definitions, errors. It knows neither windows
//! nor tokens.
//!
//! Rows stay JSON objects, because nearly every member may be null, missing or of another shape than the specification
//! says.
//! <https://pipedrive.readme.io/docs/pipedrive-api-v2-migration-guide>

use std::collections::HashMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::Departed;
use crate::domain::redact::redact;
use crate::http::transport::Response;

/// A person, an organization or a field definition.
pub(super) type Row = Map<String, Value>;

/// The largest page; a list call costs the same tokens whatever its size.
pub(super) const LIMIT: &str = "500";

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    success: Option<bool>,
    data: Option<Vec<Row>>,
    additional_data: Option<AdditionalData>,
}

#[derive(Debug, Deserialize)]
struct AdditionalData {
    next_cursor: Option<String>,
}

impl List {
    /// The rows and the cursor of the next page. The only end is a cursor that is null or missing, with
    /// `additional_data` or without it; a short or empty page is none.
    pub(super) fn open(self) -> Result<(Vec<Row>, Option<String>), Trouble> {
        let cursor = self.additional_data.and_then(|additional| additional.next_cursor);
        match (self.success, self.data) {
            (Some(false), _) => Err(Trouble::Protocol("Pipedrive answered 200 and success:false".into())),
            (_, _) if cursor.as_deref() == Some("") => Err(Trouble::Protocol("Pipedrive sent an empty cursor".into())),
            (_, Some(rows)) => Ok((rows, cursor)),
            (Some(true), None) => Ok((Vec::new(), cursor)),
            (None, None) => Err(Trouble::Protocol("Pipedrive answered 200 without data".into())),
        }
    }
}

/// One row.
#[derive(Debug, Deserialize)]
pub(super) struct One {
    pub success: Option<bool>,
    pub data: Option<Row>,
}

impl One {
    pub(super) fn open(self) -> Result<Row, Trouble> {
        let data = self.data.filter(|_| self.success != Some(false));
        data.ok_or_else(|| Trouble::Protocol("Pipedrive answered 200 without the row that was asked for".into()))
    }
}

/// The answer of `/v1/users/me`.
#[derive(Debug, Deserialize)]
pub(super) struct Me {
    data: Option<Row>,
}

impl Me {
    /// The company the token's user belongs to.
    pub(super) fn company(&self) -> Option<String> {
        text(self.data.as_ref()?.get("company_id")?)
    }
}

/// Ids are numbers here and text there.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

/// Whether this text can be an id of Pipedrive's.
pub(super) fn is_id(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

/// A row's id; without one it cannot be told from another, and the reading ends.
pub(super) fn id(row: &Row) -> Result<String, Trouble> {
    let id = row.get("id").and_then(text);
    id.ok_or_else(|| Trouble::Protocol("Pipedrive sent a row without an id".into()))
}

/// When it was changed; old rows have no stamp.
pub(super) fn modified(row: &Row) -> Option<Timestamp> {
    stamp(row.get("update_time")?.as_str()?)
}

/// `2026-09-30T11:22:33Z`, with or without a fraction; v1's form is UTC without saying so.
fn stamp(text: &str) -> Option<Timestamp> {
    let v2 = DateTime::parse_from_rfc3339(text).ok().map(|t| t.with_timezone(&Utc));
    v2.or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok().map(|t| t.and_utc()))
}

/// Whether the row is a tombstone.
pub(super) fn is_deleted(row: &Row) -> bool {
    row.get("is_deleted") == Some(&Value::Bool(true))
}

/// Takes the tombstones out of these rows. Whom they stand for is asked for by id before anything follows from it.
///
/// The stamp of a tombstone is that of the deletion. It is not kept: whether restoring a person moves the stamp is not
/// documented, and who is shown with an older one must not pass for an echo for ever.
pub(super) fn tombstones(rows: &mut Vec<Row>) -> Result<Vec<Departed>, Trouble> {
    let departed = |row: &Row| Ok(Departed { id: id(row)?, modified: None });
    let departed = rows.iter().filter(|row| is_deleted(row)).map(departed).collect();
    rows.retain(|row| !is_deleted(row));
    departed
}

/// The non-blank values of `emails` or `phones`, the primary one first; `None` if the row does not have the member.
pub(super) fn contact_values(row: &Row, member: &str) -> Option<Vec<String>> {
    let entries = match row.get(member)? {
        Value::Array(entries) => entries.as_slice(),
        _ => &[],
    };
    let value = |entry: &Value| {
        let value = entry.get("value").unwrap_or(entry).as_str()?.trim();
        (!value.is_empty()).then(|| (entry.get("primary") != Some(&Value::Bool(true)), value.to_owned()))
    };
    let mut values: Vec<(bool, String)> = entries.iter().filter_map(value).collect();
    values.sort_by_key(|(other, _)| *other);
    Some(values.into_iter().map(|(_, value)| value).collect())
}

/// The custom field with this key: `None` = not sent, null = empty. `custom_fields` itself is null where none is
/// filled.
pub(super) fn custom_field<'a>(row: &'a Row, key: &str) -> Option<&'a Value> {
    match row.get("custom_fields")? {
        Value::Object(fields) => fields.get(key),
        _ => Some(&Value::Null),
    }
}

/// The scalar of a value: a label or the value out of an object (`monetary`, `address`, `time`, ranges, labelled
/// options), each of a list's, else itself. An empty text counts as empty.
pub(super) fn scalar(value: &Value) -> Value {
    match value {
        Value::Object(object) => object.get("label").or_else(|| object.get("value")).map_or(Value::Null, scalar),
        Value::Array(values) => values.iter().map(scalar).collect(),
        Value::String(text) if text.is_empty() => Value::Null,
        _ => value.clone(),
    }
}

/// A part of a value that is an object.
pub(super) fn part(value: &Value, name: &str) -> Value {
    value.get(name).map_or(Value::Null, scalar)
}

/// The person's organization: `None` = not sent, `Some(None)` = has none. v1 wraps the id.
pub(super) fn organization(person: &Row) -> Option<Option<String>> {
    let id = person.get("org_id")?;
    Some(text(id.get("value").unwrap_or(id)))
}

/// The built-in set field that holds the labels.
pub(super) const LABELS: &str = "label_ids";

/// A field as the company defines it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Field {
    /// What people call it; neither unique nor lasting.
    pub name: String,
    /// `varchar`, `enum`, `monetary` …
    pub kind: String,
    pub is_custom: bool,
    /// Its options' labels by their ids.
    pub options: HashMap<String, String>,
}

impl Field {
    /// Whether its values are ids of its options.
    pub(super) fn has_options(&self) -> bool {
        !self.options.is_empty() || matches!(self.kind.as_str(), "enum" | "set")
    }

    /// Whether it takes any text as long as Propstreet's id.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.kind.as_str(), "varchar" | "varchar_auto" | "text")
    }
}

/// The fields of one kind of object by their codes, which for custom ones are keys of 40 characters.
pub(super) type Fields = HashMap<String, Field>;

/// These definitions. An option's id is a number in custom fields and text in some built-in ones.
pub(super) fn fields(definitions: &[Row]) -> Fields {
    let field = |definition: &Row| {
        let word = |member: &str| definition.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        let listed = definition.get("options").and_then(Value::as_array);
        let option = |option: &Value| Some((text(option.get("id")?)?, option.get("label")?.as_str()?.to_owned()));
        let field = Field {
            name: word("field_name"),
            kind: word("field_type"),
            is_custom: definition.get("is_custom_field") != Some(&Value::Bool(false)),
            options: listed.into_iter().flatten().filter_map(option).collect(),
        };
        Some((definition.get("field_code")?.as_str()?.to_owned(), field))
    };
    definitions.iter().filter_map(field).collect()
}

/// The error body, if it is one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: Option<String>,
    error_info: Option<String>,
    code: Option<String>,
}

/// Whether a 403 is about a right that the app was never given, and so about every call like it.
/// <https://pipedrive.readme.io/docs/marketplace-oauth-and-api-proxy-status-codes>
pub(super) fn lacks_scope(response: &Response) -> bool {
    let error: ErrorBody = serde_json::from_slice(response.body()).unwrap_or_default();
    [error.error, error.error_info].into_iter().flatten().any(|words| words.to_lowercase().contains("scope"))
}

/// A refusal in Pipedrive's words: the same each time, if they are.
pub(super) fn said(response: &Response) -> String {
    let error: ErrorBody = serde_json::from_slice(response.body()).unwrap_or_default();
    let said: Vec<String> = [error.code, error.error, error.error_info].into_iter().flatten().collect();
    format!("Pipedrive answered HTTP {}: {}", response.status(), redact(&said.join(", ")))
}

/// What a refused call means. The status counts first: bodies have said `success` beside an error.
pub(super) fn trouble(response: &Response) -> Trouble {
    let status = response.status();
    let correlation = response.headers().get("x-correlation-id").and_then(|v| v.to_str().ok()).unwrap_or("none");
    let words = format!("{} (correlation {correlation})", said(response));
    match status.as_u16() {
        401 => Trouble::Credential(format!(
            "{words}: the token was made anew or is mistyped, or its user may not use the API any more (copy the token from \
             Settings, Personal preferences, API, and allow that user's permission set the API)"
        )),
        402 => {
            Trouble::Forbidden(format!("the company's Pipedrive account is not open (trial over or unpaid): {words}"))
        }
        403 | 415 => Trouble::Forbidden(words),
        _ => Trouble::Protocol(words),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(value: Value) -> Row {
        match value {
            Value::Object(row) => row,
            other => panic!("{other} is no row"),
        }
    }

    #[test]
    fn only_a_missing_cursor_ends_a_list() {
        for (body, expected) in [
            (json!({"success": true, "data": [], "additional_data": {"next_cursor": "eyJ"}}), Ok((0, Some("eyJ")))),
            (json!({"success": true, "data": [{"id": 1}], "additional_data": {"next_cursor": null}}), Ok((1, None))),
            (json!({"success": true, "data": [{"id": 1}], "additional_data": {}}), Ok((1, None))),
            (json!({"success": true, "data": [{"id": 1}], "additional_data": null}), Ok((1, None))),
            (json!({"data": [{"id": 1}]}), Ok((1, None))),
            (json!({"success": true, "data": null}), Ok((0, None))),
            (json!({"success": true, "data": [], "additional_data": {"next_cursor": ""}}), Err(())),
            (json!({"success": false, "data": []}), Err(())),
            (json!({}), Err(())),
        ] {
            let list: List = serde_json::from_value(body.clone()).unwrap();
            let opened = list.open().map_err(|_| ());
            let shape = opened.as_ref().map(|(rows, cursor)| (rows.len(), cursor.as_deref()));
            assert_eq!(shape.ok(), expected.ok(), "{body}");
        }
    }

    #[test]
    fn the_primary_value_is_the_marked_one_that_is_not_blank() {
        for (emails, expected) in [
            (json!([{"value": "b@x", "primary": false}, {"value": "a@x", "primary": true}]), Some(vec!["a@x", "b@x"])),
            (json!([{"value": " ", "primary": true}, {"value": " b@x ", "primary": false}]), Some(vec!["b@x"])),
            (json!([{"value": "b@x"}, {"value": null, "primary": true}]), Some(vec!["b@x"])),
            (json!(["a@x"]), Some(vec!["a@x"])),
            (json!([{"value": "", "primary": true}]), Some(vec![])),
            (json!([]), Some(vec![])),
            (Value::Null, Some(vec![])),
        ] {
            let values = contact_values(&row(json!({"emails": emails})), "emails");
            assert_eq!(values, expected.map(|e| e.into_iter().map(str::to_owned).collect()));
        }
        assert_eq!(contact_values(&Row::new(), "emails"), None, "not sent is not empty");
    }

    #[test]
    fn custom_values_are_unwrapped_in_all_their_shapes() {
        for (value, expected) in [
            (json!("text"), json!("text")),
            (json!(""), Value::Null),
            (json!(17.5), json!(17.5)),
            (json!({"value": 500, "currency": "EUR"}), json!(500)),
            (json!({"value": "09:00:00", "timezone_id": 318}), json!("09:00:00")),
            (json!({"id": 3, "label": "Core"}), json!("Core")),
            (json!([17, {"id": 3, "label": "Core"}]), json!([17, "Core"])),
            (json!({}), Value::Null),
            (Value::Null, Value::Null),
        ] {
            assert_eq!(scalar(&value), expected, "{value}");
        }
        for (person, expected) in [
            (json!({"custom_fields": {"k": 1}}), Some(json!(1))),
            (json!({"custom_fields": {"k": null}}), Some(Value::Null)),
            (json!({"custom_fields": null}), Some(Value::Null)),
            (json!({"custom_fields": {}}), None),
            (json!({}), None),
        ] {
            assert_eq!(custom_field(&row(person.clone()), "k").cloned(), expected, "{person}");
        }
    }

    #[test]
    fn stamps_and_ids_are_read_in_all_their_shapes() {
        for (value, expected) in [
            (json!("2026-09-30T11:22:33Z"), Some(1_790_767_353)),
            (json!("2026-09-30T11:22:33.000Z"), Some(1_790_767_353)),
            (json!("2026-09-30 11:22:33"), Some(1_790_767_353)),
            (Value::Null, None),
            (json!(""), None),
        ] {
            assert_eq!(modified(&row(json!({"update_time": value}))).map(|t| t.timestamp()), expected);
        }
        assert_eq!(id(&row(json!({"id": 42}))).unwrap(), "42");
        assert_eq!(id(&row(json!({"id": "42"}))).unwrap(), "42");
        assert!(id(&row(json!({"id": null}))).is_err());
        let me: Me = serde_json::from_value(json!({"success": true, "data": {"company_id": 77}})).unwrap();
        assert_eq!(me.company().as_deref(), Some("77"));
    }

    #[test]
    fn definitions_are_read_with_ids_as_numbers_or_text_and_members_missing() {
        let key = "dcf558aac1ae4e8c4f849ba5e668430d8df9be12";
        let definitions = [
            json!({"field_code": "label_ids", "field_name": "Labels", "field_type": "set", "is_custom_field": false,
                "options": [{"id": 1, "label": "Customer"}, {"id": "2", "label": "Hot"}, {"id": 3}]}),
            json!({"field_code": key, "field_name": "Strategy", "field_type": "varchar", "is_custom_field": true, "options": null}),
            json!({"field_code": "odd"}),
            json!({"field_name": "odder"}),
        ];
        let fields = fields(&definitions.map(row));
        let labels = HashMap::from([("1".into(), "Customer".into()), ("2".into(), "Hot".into())]);
        assert_eq!((&fields["label_ids"].options, fields["label_ids"].is_custom), (&labels, false));
        assert!(fields["label_ids"].has_options() && !fields["label_ids"].is_text());
        assert!(fields[key].is_custom && fields[key].is_text() && !fields[key].has_options());
        assert_eq!(fields.len(), 3);
    }

    #[test]
    fn refusals_are_classed_by_status() {
        for (status, body, code) in [
            (401, r#"{"success":false,"error":"unauthorized access","errorCode":401}"#, "credential"),
            (402, "", "forbidden"),
            (403, r#"{"success":false,"error":"Scope and URL mismatch"}"#, "forbidden"),
            (410, r#"{"success":true,"data":{"id":11}}"#, "unexpected_answer"),
            (400, r#"{"success":false,"error":"bad","code":"ERR_SCHEMA"}"#, "unexpected_answer"),
        ] {
            assert_eq!(trouble(&::http::Response::builder().status(status).body(body.into()).unwrap()).code(), code);
        }
    }
}
