//! A portal that answers from a script, for the tests of this folder.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::{Clock, Dice};
use crate::crm::Wanted;
use crate::crm::hubspot::{Auth, HubSpot, Settings};
use crate::crm::script::{Asked, Script, answer};
use crate::domain::record::{Page, Record};
use crate::http::scripted::Memory;
use crate::http::transport::Response;

/// A portal whose map reads these fields.
pub(super) fn open(fields: &[&str], answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, HubSpot) {
    let fields = fields.iter().map(|&f| f.to_owned()).collect();
    scripted(Wanted { fields, ..Wanted::default() }, None, answers)
}

/// A portal whose map reads this, and whose property takes Propstreet's ids.
pub(super) fn scripted(
    wanted: Wanted,
    write_back: Option<&str>,
    answers: impl IntoIterator<Item = Response>,
) -> (Arc<Script>, HubSpot) {
    let script = Script::new(answers);
    let auth = Auth::Token { token: "pat-eu1-x".into() };
    let settings = Settings::new("https://api.hubapi.com".parse().unwrap(), auth);
    let settings = Settings { write_back: write_back.map(str::to_owned), ..settings };
    let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
    let hubspot = HubSpot::new(settings, wanted, Arc::clone(&script) as _, Memory::new(), clock, Dice::seeded(1));
    (script, hubspot)
}

pub(super) fn contact(id: &str) -> Value {
    let properties = json!({"email": format!("{id}@example.com"), "lastmodifieddate": "2026-11-02T09:30:00.500Z"});
    json!({"id": id, "properties": properties, "archived": false})
}

/// In the recycle bin.
pub(super) fn binned(id: &str) -> Value {
    let mut contact = contact(id);
    contact["archived"] = json!(true);
    contact["archivedAt"] = json!("2026-11-02T09:45:00Z");
    contact
}

pub(super) fn contacts(ids: &[&str]) -> Vec<Value> {
    ids.iter().map(|id| contact(id)).collect()
}

/// An answer of objects: all there is.
pub(super) fn all(objects: impl Into<Vec<Value>>) -> Response {
    answer(200, json!({"results": objects.into()}))
}

/// An answer of objects that goes on.
pub(super) fn goes_on(objects: impl Into<Vec<Value>>, after: &str) -> Response {
    let link = "https://api.hubspot.com/crm/objects/v3/contacts?limit=1";
    answer(200, json!({"results": objects.into(), "paging": {"next": {"after": after, "link": link}}}))
}

/// An answer of a search, which announces what lies beyond.
pub(super) fn found(total: usize, ids: &[&str]) -> Response {
    answer(200, json!({"total": total, "results": contacts(ids)}))
}

/// What one record is associated with, as primary by this type.
pub(super) fn linked(from: &str, to: &[u64], primary: u64) -> Value {
    let types = json!([
        {"category": "HUBSPOT_DEFINED", "typeId": 278 + primary, "label": null},
        {"category": "HUBSPOT_DEFINED", "typeId": primary, "label": "Primary"},
    ]);
    let to: Vec<Value> = to.iter().map(|id| json!({"toObjectId": id, "associationTypes": types})).collect();
    json!({"from": {"id": from}, "to": to})
}

/// The same, and more to come.
pub(super) fn linked_on(from: &str, to: &[u64], primary: u64, after: &str) -> Value {
    let mut linked = linked(from, to, primary);
    linked["paging"] = json!({"next": {"after": after}});
    linked
}

/// The entry of a 207 for records associated with none.
pub(super) fn without(from: &[&str]) -> Value {
    json!({"category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "context": {"fromObjectId": from}})
}

/// The definitions of these properties.
pub(super) fn defined(names: &[&str]) -> Response {
    all(names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>())
}

pub(super) fn ids(records: &[Record]) -> Vec<&str> {
    records.iter().map(|r| r.id.as_str()).collect()
}

pub(super) fn sighted(page: &Page) -> Vec<&str> {
    page.sightings.iter().map(|s| s.id.as_str()).collect()
}

pub(super) fn texts(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

/// The paths that were asked.
pub(super) fn paths(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.url.path()).collect()
}
