//! A company that answers from a script, for the tests of this folder.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::{Clock, Dice};
use crate::crm::pipedrive::wire::Row;
use crate::crm::pipedrive::{Auth, Pipedrive, Settings};
use crate::crm::script::{Asked, Script, answer};
use crate::crm::{Wanted, Ways};
use crate::http::scripted::Memory;
use crate::http::transport::Response;

/// A company whose map reads these fields.
pub(super) fn open(fields: &[&str], answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Pipedrive) {
    let fields = fields.iter().map(|&f| f.to_owned()).collect();
    scripted(Wanted { fields, ..Wanted::default() }, |settings| settings, answers)
}

/// A company whose map reads this, with these settings.
pub(super) fn scripted(
    wanted: Wanted,
    set: impl FnOnce(Settings) -> Settings,
    answers: impl IntoIterator<Item = Response>,
) -> (Arc<Script>, Pipedrive) {
    let script = Script::new(answers);
    let auth = Auth::ApiToken { token: "0123456789abcdef".into() };
    let settings = set(Settings::new("https://acme.pipedrive.com/".parse().unwrap(), auth));
    let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
    let ways = Ways::one(Arc::clone(&script) as _);
    (script, Pipedrive::new(settings, wanted, ways, Memory::new(), clock, Dice::seeded(1)))
}

/// A row as it came.
pub(super) fn row(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        other => panic!("{other} is no row"),
    }
}

/// The definition of a custom field.
pub(super) fn custom(key: &str, name: &str, kind: &str) -> Value {
    json!({"field_code": key, "field_name": name, "field_type": kind, "is_custom_field": true, "options": null})
}

/// A page of a list.
pub(super) fn list(rows: impl Into<Vec<Value>>, cursor: Option<&str>) -> Response {
    answer(200, json!({"success": true, "data": rows.into(), "additional_data": {"next_cursor": cursor}}))
}

/// A person or an organization, asked for by its id.
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
pub(super) fn one(row: Value) -> Response {
    answer(200, json!({"success": true, "data": row}))
}

pub(super) fn person(id: u64) -> Value {
    json!({"id": id, "name": "Ada", "update_time": "2026-11-02T09:30:00Z", "org_id": 12, "label_ids": [2], "is_deleted": false})
}

/// The paths that were asked.
pub(super) fn paths(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|a| a.url.path()).collect()
}
