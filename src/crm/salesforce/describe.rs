//! What an object shows to the integration user: which fields, and of what kind. A query that names one field too many
//! fails whole, and a field that was taken away looks like one that never was; so Salesforce is asked first. It knows no
//! query and no map.
//!
//! <https://developer.salesforce.com/docs/platform/api-rest/guide/resources-sobject-describe.html>

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::crm::salesforce::connection::{Connection, DATA};
use crate::crm::salesforce::error::{self, ApiError};
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::transport::Response;

/// A description is hundreds of kilobytes and seldom changes; one that did is noticed at once where a query fails, and
/// after this long where a field was added.
const LAST: Duration = Duration::from_secs(4 * 3600);

/// What values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anything that JSON shows as text.
    Text,
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// An instant.
    DateTime,
    /// An address, a location: an object of its own in JSON, and nothing the Bulk API can give.
    Compound,
}

/// One field as it is described.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Its name as the org declares it.
    pub name: String,
    /// What its values are.
    pub kind: Kind,
    /// Whether it is of free text, as `string` is; a list of values or an address of e-mail is not.
    pub plain_text: bool,
    /// The most characters it holds; 0 for what is no text.
    pub length: u32,
    /// Whether this user may change it.
    pub updateable: bool,
    /// Whether it is a formula, whose value changes without the record's stamp.
    pub formula: bool,
    /// Whether no two records may hold the same.
    pub unique: bool,
}

/// One object as the integration user sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// By their names in lower case: names have no case.
    fields: HashMap<String, Field>,
    /// What its records point at, by the name a path begins with; described where it matters.
    parents: HashMap<String, Option<Arc<Shape>>>,
}

impl Shape {
    /// Whether this field (also of a parent, `Account.Name`) may be selected.
    pub(super) fn shows(&self, field: &str) -> bool {
        self.kind(field).is_some()
    }

    /// The kind of a field; `None` where it is not shown. A parent that is not described is taken to show everything.
    pub(super) fn kind(&self, field: &str) -> Option<Kind> {
        match field.split_once('.').map(|(parent, rest)| (self.parents.get(&lower(parent)), rest)) {
            Some((Some(Some(parent)), rest)) => parent.kind(rest),
            Some((Some(None), _)) => Some(Kind::Text),
            Some((None, _)) => None,
            None => self.field(field).map(|field| field.kind),
        }
    }

    /// What is known of a field, where its object is described.
    pub(super) fn field(&self, field: &str) -> Option<&Field> {
        match field.split_once('.') {
            Some((parent, rest)) => self.parents.get(&lower(parent))?.as_ref()?.field(rest),
            None => self.fields.get(&lower(field)),
        }
    }

    /// A shape of these fields alone.
    #[cfg(test)]
    pub(super) fn of<const N: usize>(fields: [(&str, Kind); N]) -> Self {
        let mut shape = Self::default();
        fields.into_iter().for_each(|(path, kind)| shape.put(path, kind));
        shape
    }

    #[cfg(test)]
    fn put(&mut self, path: &str, kind: Kind) {
        let (parent, name) = path.split_once('.').map_or((None, path), |(parent, name)| (Some(parent), name));
        let described = Described { name: Some(name.to_owned()), ..Described::default() };
        let field = Field { kind, ..Field::from(&described) };
        match parent {
            Some(parent) => {
                let parent = self.parents.entry(lower(parent)).or_default().get_or_insert_default();
                Arc::make_mut(parent).fields.insert(lower(name), field);
            }
            None => drop(self.fields.insert(lower(name), field)),
        }
    }
}

/// The objects that are read. An object that this user cannot read is not there.
#[derive(Debug, Clone, Default)]
pub(super) struct Shapes {
    /// Contact; of no field where this user cannot read it.
    pub contact: Shape,
    /// Lead, where leads are read.
    pub lead: Option<Shape>,
    /// Account, where its fields or person accounts are.
    pub account: Option<Shape>,
}

/// What the org's objects show, as described last.
pub(super) struct Describe {
    connection: Connection,
    clock: Clock,
    leads: AtomicBool,
    accounts: bool,
    /// Held while it is asked, so that all who wait share one answer.
    known: Mutex<Option<(Instant, Arc<Shapes>)>>,
}

impl Describe {
    /// Describes Contact, and these where they are read.
    pub(super) fn new(connection: Connection, clock: Clock, leads: bool, accounts: bool) -> Self {
        Self { connection, clock, leads: leads.into(), accounts, known: Mutex::default() }
    }

    /// These, without asking anybody.
    #[cfg(test)]
    pub(super) fn fixed(shapes: Shapes) -> Self {
        let (_, clock, connection) = Connection::scripted([]);
        let known = Mutex::new(Some((clock.instant(), Arc::new(shapes))));
        Self { known, ..Self::new(connection, clock, true, true) }
    }

    /// What the objects show.
    pub(super) async fn shapes(&self) -> Result<Arc<Shapes>, Trouble> {
        let mut known = self.known.lock().await;
        let now = self.clock.instant();
        match &*known {
            Some((asked, shapes)) if now.saturating_duration_since(*asked) < LAST => Ok(Arc::clone(shapes)),
            _ => {
                let shapes = Arc::new(self.ask().await?);
                *known = Some((now, Arc::clone(&shapes)));
                Ok(shapes)
            }
        }
    }

    /// From now on Lead too, though leads are not listed: one that is known from before is asked for.
    pub(super) async fn leads_too(&self) {
        if !self.leads.swap(true, Ordering::Relaxed) {
            self.forget().await;
        }
    }

    /// What they show now.
    pub(super) async fn afresh(&self) -> Result<Arc<Shapes>, Trouble> {
        self.forget().await;
        self.shapes().await
    }

    /// A field that was named in vain says that what is known is not so any more.
    pub(super) async fn forget(&self) {
        *self.known.lock().await = None;
    }

    async fn ask(&self) -> Result<Shapes, Trouble> {
        let mut contact = self.describe("Contact").await?.unwrap_or_default();
        let account = if self.accounts { self.describe("Account").await? } else { None };
        if let Some(parent) = contact.parents.get_mut("account").filter(|_| self.accounts) {
            *parent = Some(Arc::new(account.clone().unwrap_or_default()));
        }
        let lead = if self.leads.load(Ordering::Relaxed) { self.describe("Lead").await? } else { None };
        Ok(Shapes { contact, lead, account })
    }

    async fn describe(&self, object: &str) -> Result<Option<Shape>, Trouble> {
        let path = format!("{DATA}/sobjects/{object}/describe");
        let response = self.connection.get(&path, &[]).await?;
        if response.status().is_success() {
            return Ok(Some(body::json::<Description>(&response)?.into()));
        }
        if hidden(&response) { Ok(None) } else { Err(error::trouble(&response)) }
    }
}

/// Whether the answer says that this user has no such object. An API version that is not there says the same.
fn hidden(response: &Response) -> bool {
    ApiError::first(response).is_some_and(|error| {
        matches!(error.code.as_str(), "NOT_FOUND" | "INVALID_TYPE") || error.code.starts_with("INSUFFICIENT_ACCESS")
    })
}

/// What is read of a description. A list of fields is due; all that a field says may be missing, and is then taken for
/// the harmless.
#[derive(Deserialize)]
struct Description {
    fields: Vec<Described>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Described {
    name: Option<String>,
    r#type: Option<String>,
    relationship_name: Option<String>,
    length: Option<u32>,
    updateable: Option<bool>,
    calculated: Option<bool>,
    unique: Option<bool>,
}

impl From<Description> for Shape {
    fn from(description: Description) -> Self {
        let fields = description.fields;
        let parents = fields.iter().filter_map(|field| Some((lower(field.relationship_name.as_deref()?), None)));
        let parents = parents.collect();
        Self { fields: fields.iter().map(Field::from).map(|field| (lower(&field.name), field)).collect(), parents }
    }
}

impl From<&Described> for Field {
    fn from(described: &Described) -> Self {
        let kind = described.r#type.as_deref().unwrap_or("string");
        Self {
            name: described.name.clone().unwrap_or_default(),
            kind: match kind {
                "boolean" => Kind::Bool,
                "int" | "long" | "double" | "currency" | "percent" => Kind::Number,
                "datetime" => Kind::DateTime,
                "address" | "location" | "complexvalue" => Kind::Compound,
                _ => Kind::Text,
            },
            plain_text: matches!(kind, "string" | "textarea"),
            length: described.length.unwrap_or(u32::MAX),
            updateable: described.updateable.unwrap_or(true),
            formula: described.calculated.unwrap_or(false),
            unique: described.unique.unwrap_or(false),
        }
    }
}

fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::script::{Script, answer};

    const BASE: &str = "https://acme.my.salesforce.com";

    fn open(
        leads: bool,
        accounts: bool,
        answers: impl IntoIterator<Item = Response>,
    ) -> (Arc<Script>, Clock, Describe) {
        let (script, clock, connection) = Connection::scripted(answers);
        let describe = Describe::new(connection, clock.clone(), leads, accounts);
        (script, clock, describe)
    }

    fn described(fields: &[Value]) -> Response {
        answer(200, json!({"name": "X", "childRelationships": [{}], "fields": fields, "urls": {"describe": "/x"}}))
    }

    fn contact() -> Response {
        described(&[
            json!({"name": "Id", "type": "id", "relationshipName": null, "updateable": false, "nillable": false}),
            json!({"name": "AccountId", "type": "reference", "relationshipName": "Account", "referenceTo": ["Account"]}),
            json!({"name": "OwnerId", "type": "reference", "relationshipName": "Owner", "referenceTo": ["User"]}),
            json!({"name": "Email", "type": "email", "length": 80}),
            json!({"name": "Score__c", "type": "double", "calculated": true}),
            json!({"name": "HasOptedOutOfEmail", "type": "boolean"}),
            json!({"name": "MailingAddress", "type": "address"}),
            json!({"name": "LastModifiedDate", "type": "datetime"}),
        ])
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_is_there_if_this_user_is_shown_it_in_any_case_of_letters() {
        let account = described(&[json!({"name": "Name", "type": "string"}), json!({"name": "Size__c"})]);
        let (script, _, describe) = open(false, true, [contact(), account]);
        let shapes = describe.shapes().await.unwrap();
        for (field, kind) in [
            ("email", Some(Kind::Text)),
            ("AccountId", Some(Kind::Text)),
            ("score__C", Some(Kind::Number)),
            ("HasOptedOutOfEmail", Some(Kind::Bool)),
            ("MailingAddress", Some(Kind::Compound)),
            ("LastModifiedDate", Some(Kind::DateTime)),
            ("account.name", Some(Kind::Text)),
            ("Account.Size__c", Some(Kind::Text)),
            ("Account.Hidden__c", None),
            ("Owner.Email", Some(Kind::Text)),
            ("Reports.Email", None),
            ("IsPersonAccount", None),
            ("Hidden__c", None),
        ] {
            assert_eq!(shapes.contact.kind(field), kind, "{field}");
        }
        assert!(shapes.contact.field("SCORE__C").unwrap().formula && shapes.account.as_ref().unwrap().shows("name"));
        assert!(shapes.lead.is_none());
        let asked = script.asked();
        assert_eq!(asked[1].url.as_str(), format!("{BASE}/services/data/v66.0/sobjects/Contact/describe"));
        assert_eq!(asked[2].url.as_str(), format!("{BASE}/services/data/v66.0/sobjects/Account/describe"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_description_is_asked_for_once_and_again_after_hours_or_when_it_proved_wrong() {
        let (script, clock, describe) = open(false, false, [contact(), contact(), described(&[])]);
        assert!(join_all((0..9).map(|_| describe.shapes())).await.iter().all(Result::is_ok));
        clock.sleep(LAST - Duration::from_secs(60)).await;
        assert!(describe.shapes().await.unwrap().contact.shows("Email"));
        clock.sleep(Duration::from_secs(120)).await;
        assert!(describe.shapes().await.unwrap().contact.shows("Email"));
        assert!(!describe.afresh().await.unwrap().contact.shows("Email"));
        assert_eq!(script.asked().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_that_is_hidden_shows_nothing_and_one_that_cannot_be_asked_for_is_trouble() {
        let refused = |status, code: &str| answer(status, json!([{"message": "x", "errorCode": code}]));
        let hidden = || refused(404, "NOT_FOUND");
        let (_, _, describe) = open(true, true, [contact(), hidden(), refused(403, "INSUFFICIENT_ACCESS")]);
        let shapes = describe.shapes().await.unwrap();
        assert!(shapes.account.is_none() && shapes.lead.is_none());
        assert!(!shapes.contact.shows("Account.Name"), "a parent that is hidden shows nothing either");
        for (response, code) in [
            (refused(403, "API_DISABLED_FOR_ORG"), "forbidden"),
            (refused(410, "UNSUPPORTED_API_VERSION"), "unexpected_answer"),
            (answer(200, json!({"name": "Contact"})), "unexpected_answer"),
            (answer(404, "<html>"), "unexpected_answer"),
        ] {
            let (_, _, describe) = open(false, false, [response]);
            assert_eq!(describe.shapes().await.unwrap_err().code(), code);
        }
    }
}
