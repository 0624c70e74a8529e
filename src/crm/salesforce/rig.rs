//! An org that answers from a script, for the tests of this folder.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::{Clock, Dice};
use crate::crm::Wanted;
use crate::crm::salesforce::describe::{Describe, Kind, Shape, Shapes};
use crate::crm::salesforce::{Auth, Salesforce, Settings};
use crate::crm::script::{Asked, Script, answer};
use crate::domain::identity::salesforce_id;
use crate::domain::record::Page;
use crate::http::transport::Response;

pub(super) const BASE: &str = "https://acme.my.salesforce.com";

/// An org of Contacts alone, whose map reads an address.
pub(super) fn open(answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Salesforce) {
    arranged(|_, _| {}, answers)
}

/// An org that lets us in first.
pub(super) fn logged_in(
    arrange: impl FnOnce(&mut Settings, &mut Wanted),
    answers: impl IntoIterator<Item = Response>,
) -> (Arc<Script>, Salesforce) {
    arranged(arrange, [token("t1", "acme.my.salesforce.com")].into_iter().chain(answers))
}

/// An org that shows these fields.
pub(super) fn showing(
    shapes: Shapes,
    arrange: impl FnOnce(&mut Settings, &mut Wanted),
    answers: impl IntoIterator<Item = Response>,
) -> (Arc<Script>, Salesforce) {
    let (script, salesforce) = logged_in(arrange, answers);
    (script, Salesforce { describe: Arc::new(Describe::fixed(shapes)), ..salesforce })
}

fn arranged(
    arrange: impl FnOnce(&mut Settings, &mut Wanted),
    answers: impl IntoIterator<Item = Response>,
) -> (Arc<Script>, Salesforce) {
    let (script, salesforce) = undescribed(arrange, answers);
    (script, Salesforce { describe: Arc::new(Describe::fixed(shapes())), ..salesforce })
}

/// An org that is yet to be described.
pub(super) fn undescribed(
    arrange: impl FnOnce(&mut Settings, &mut Wanted),
    answers: impl IntoIterator<Item = Response>,
) -> (Arc<Script>, Salesforce) {
    let script = Script::new(answers);
    let auth = Auth::ClientCredentials { client_id: "key".into(), client_secret: "s&cret".into() };
    let mut settings = Settings::new(BASE.parse().unwrap(), auth);
    let mut wanted = Wanted { fields: ["Email".to_owned()].into(), ..Wanted::default() };
    arrange(&mut settings, &mut wanted);
    let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
    let salesforce = Salesforce::new(settings, wanted, Arc::clone(&script) as _, clock, Dice::seeded(1));
    (script, salesforce)
}

/// What an org shows where nothing else is said.
fn shapes() -> Shapes {
    let text = Kind::Text;
    Shapes {
        contact: Shape::of([("Email", text), ("Account.Name", text)]),
        lead: Some(Shape::of([("Email", text), ("Company", text)])),
        account: Some(Shape::of([("Name", text)])),
    }
}

impl Asked {
    /// The query it asks.
    pub(crate) fn soql(&self) -> String {
        self.query("q").unwrap_or_default()
    }
}

pub(super) fn token(secret: &str, host: &str) -> Response {
    let id = "https://login.salesforce.com/id/001Da00000xnAiy/005xx0000000001AAA";
    answer(200, json!({"access_token": secret, "instance_url": format!("https://{host}"), "id": id}))
}

pub(super) fn expired() -> Response {
    answer(401, r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#)
}

/// The id of a Contact.
pub(super) fn id(number: usize) -> String {
    salesforce_id(&format!("003Da00000{number:05}")).unwrap()
}

/// The id of a Lead.
pub(super) fn lead_id(number: usize) -> String {
    salesforce_id(&format!("00QDa00000{number:05}")).unwrap()
}

/// The id of an Account.
pub(super) fn account_id(number: usize) -> String {
    salesforce_id(&format!("001Da00000{number:05}")).unwrap()
}

/// A row that lives.
fn living(id: &str) -> Value {
    json!({"Id": id, "Email": null, "SystemModstamp": "2026-11-02T09:15:41.000+0000", "IsDeleted": false})
}

/// A Contact that lives.
pub(super) fn row(number: usize) -> Value {
    living(&id(number))
}

/// A Lead that lives.
pub(super) fn lead(number: usize) -> Value {
    living(&lead_id(number))
}

/// An Account.
pub(super) fn account(number: usize) -> Value {
    living(&account_id(number))
}

/// The same row in the bin; merged into another, if one is named.
pub(super) fn deleted(mut row: Value, winner: Option<String>) -> Value {
    row["IsDeleted"] = json!(true);
    row["MasterRecordId"] = winner.into();
    row
}

/// The same lead as the contact it became.
pub(super) fn converted(mut row: Value, contact: Option<String>) -> Value {
    row["IsConverted"] = json!(true);
    row["ConvertedContactId"] = contact.into();
    row
}

/// A query that the server gives up on.
pub(super) fn slow() -> Response {
    answer(400, r#"[{"message":"Your query request was running for too long.","errorCode":"QUERY_TIMEOUT"}]"#)
}

/// The answer to a query.
pub(super) fn rows(records: impl IntoIterator<Item = Value>) -> Response {
    let records: Vec<Value> = records.into_iter().collect();
    answer(200, json!({"totalSize": records.len(), "done": true, "records": records}))
}

/// What a page says, in a line each: who is sighted, without a stamp (`?`), without a record (`-`), instead of whom.
pub(super) fn told(page: &Page) -> Vec<String> {
    let sighted = page.sightings.iter().map(|sighting| {
        let stamp = if sighting.modified.is_none() { "?" } else { "" };
        let supersedes = sighting.record.as_ref().map(|record| record.supersedes.join(" "));
        let told = supersedes.map_or(" -".to_owned(), |ids| if ids.is_empty() { ids } else { format!(" for {ids}") });
        format!("{}{stamp}{told}", sighting.id)
    });
    sighted.chain(page.departed.iter().map(|departed| format!("{} left", departed.id))).collect()
}
