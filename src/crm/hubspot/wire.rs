//! HubSpot's JSON as it is sent: objects, pages, batches, associations, errors. It knows neither windows nor tokens.
//!
//! Every value of a property is text or null; nearly every member may be missing, and an id is text here and a number
//! there.
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide>

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::crm::hubspot::refusal::{self, Refused};
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::Record;
use crate::domain::redact::redact;
use crate::http::transport::Response;
use crate::http::verdict;

/// A contact or a company.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object {
    /// `hs_object_id`.
    #[serde(deserialize_with = "text")]
    pub id: String,
    /// Properties by internal name: text or null; one that is not defined in the portal is absent.
    #[serde(default, deserialize_with = "or_default")]
    pub properties: Map<String, Value>,
    updated_at: Option<String>,
    /// In the recycle bin.
    #[serde(default, deserialize_with = "or_default")]
    pub archived: bool,
}

impl Object {
    /// The id as a number: ids order numerically (`"99"` before `"100"`).
    pub(super) fn number(&self) -> Result<u64, Trouble> {
        self.id.parse().map_err(|_| Trouble::Protocol("HubSpot sent an object whose id is no number".into()))
    }

    /// When it was changed, to the millisecond.
    pub(super) fn modified(&self) -> Option<Timestamp> {
        let property = self.properties.get("lastmodifieddate").and_then(Value::as_str);
        property.and_then(stamp).or_else(|| self.updated_at.as_deref().and_then(stamp))
    }

    /// A property as it counts for us: `None` = not sent, null = empty. Peers met `""` where null was meant.
    pub(super) fn property(&self, name: &str) -> Option<Value> {
        match self.properties.get(name)? {
            Value::String(text) if text.is_empty() => Some(Value::Null),
            value => Some(value.clone()),
        }
    }

    /// The contact as a record with these properties, and those it was merged of.
    ///
    /// They stand in `hs_merged_object_ids`. `hs_calculated_merged_vids` has fewer of them (it leaves out the first of
    /// merges in a chain, <https://github.com/fivetran/dbt_hubspot/issues/172>), and `hs_all_contact_vids` would only
    /// repeat them. One that none of them names still leads to its survivor when it is asked for by its id.
    pub(super) fn record(&self, asked: &[String]) -> Record {
        let merged = self.properties.get("hs_merged_object_ids").and_then(Value::as_str).unwrap_or_default();
        let losers = merged.split(';').map(str::trim).filter(|id| is_id(id) && *id != self.id);
        Record {
            id: self.id.clone(),
            modified: self.modified(),
            fields: asked.iter().filter_map(|name| Some((name.clone(), self.property(name)?))).collect(),
            supersedes: losers.map(str::to_owned).collect(),
        }
    }
}

/// Whether this text can be an id of HubSpot's.
pub(super) fn is_id(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

/// ISO 8601 in UTC, with or without a fraction.
fn stamp(text: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(text).ok().map(|t| t.with_timezone(&Utc))
}

/// A page of the list or of a search.
#[derive(Debug, Deserialize)]
pub(super) struct ObjectPage {
    /// All matches, in searches only; may exceed what any paging by offset can reach.
    pub total: Option<usize>,
    /// The rows.
    pub results: Vec<Object>,
    paging: Option<Paging>,
}

impl ObjectPage {
    /// The cursor of the next page. `paging.next.link` is never followed: it names other hosts and paths.
    pub(super) fn after(&self) -> Option<&str> {
        self.paging.as_ref()?.after()
    }
}

/// Where a list goes on.
#[derive(Debug, Deserialize)]
struct Paging {
    next: Option<Next>,
}

#[derive(Debug, Deserialize)]
struct Next {
    #[serde(deserialize_with = "text")]
    after: String,
}

impl Paging {
    fn after(&self) -> Option<&str> {
        self.next.as_ref().map(|next| next.after.as_str())
    }
}

/// The answer to a batch read, 200 or 207: `results` do not align with the inputs, and what is missing may be in
/// `errors`.
#[derive(Debug, Deserialize)]
pub(super) struct Batch<T> {
    /// What was found, in any order.
    pub results: Vec<T>,
    /// What was not, and what went wrong.
    #[serde(default)]
    pub errors: Vec<ErrorEntry>,
}

/// One entry of `errors`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorEntry {
    #[serde(default)]
    category: String,
    sub_category: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    context: Map<String, Value>,
}

impl ErrorEntry {
    /// The ids a batch read could not find.
    pub(super) fn not_found(&self) -> HashSet<String> {
        if self.category == "OBJECT_NOT_FOUND" { texts(&self.context, "ids") } else { HashSet::new() }
    }

    /// Whether it only says that there is nothing to associate: not an error at all.
    pub(super) fn is_no_association(&self) -> bool {
        self.sub_category.as_deref().is_some_and(|sub| sub.ends_with("NO_ASSOCIATIONS_FOUND"))
    }

    /// The records it says are associated with none.
    pub(super) fn without_association(&self) -> HashSet<String> {
        texts(&self.context, "fromObjectId")
    }

    /// Its category, for a message.
    pub(super) fn category(&self) -> &str {
        &self.category
    }
}

/// What one record is associated with.
#[derive(Debug, Deserialize)]
pub(super) struct Associated {
    from: Reference,
    #[serde(default)]
    to: Vec<Link>,
    paging: Option<Paging>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    #[serde(deserialize_with = "text")]
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    #[serde(deserialize_with = "text")]
    to_object_id: String,
    #[serde(default)]
    association_types: Vec<LinkType>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinkType {
    category: Option<String>,
    type_id: Option<u64>,
    label: Option<String>,
}

impl Associated {
    /// The record whose associations these are.
    pub(super) fn from(&self) -> &str {
        &self.from.id
    }

    /// Those associated as primary: by HubSpot's own type of this number. The order of the list means nothing, and one
    /// that is associated in several ways has several types.
    pub(super) fn primaries(&self, primary: u64) -> impl Iterator<Item = &str> {
        let is_primary = move |kind: &LinkType| {
            let theirs = kind.category.as_deref().is_none_or(|category| category == "HUBSPOT_DEFINED");
            let named = || kind.label.as_deref() == Some("Primary");
            theirs && kind.type_id.map_or_else(named, |id| id == primary)
        };
        let links = self.to.iter().filter(move |link| link.association_types.iter().any(is_primary));
        links.map(|link| link.to_object_id.as_str())
    }

    /// Where this record's list goes on.
    pub(super) fn after(&self) -> Option<&str> {
        self.paging.as_ref()?.after()
    }
}

/// The account behind the token.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountDetails {
    /// The portal.
    #[serde(deserialize_with = "text")]
    pub portal_id: String,
    /// How far its clocks are ahead of UTC, at the time of the answer.
    #[serde(default)]
    pub utc_offset_milliseconds: Value,
}

/// An error body; the body may as well be HTML or empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ErrorBody {
    /// The sentence.
    pub message: String,
    category: String,
    /// Which limit a 429 is about.
    pub policy_name: String,
    correlation_id: String,
    #[serde(deserialize_with = "or_default")]
    context: Map<String, Value>,
    #[serde(deserialize_with = "or_default")]
    errors: Vec<ErrorEntry>,
}

impl ErrorBody {
    pub(super) fn of(response: &Response) -> Self {
        serde_json::from_slice(response.body()).unwrap_or_default()
    }

    /// What a 401 says of the token.
    pub(super) fn refused(&self) -> Refused {
        let expire_time = self.context.get("expire time");
        let expire_time = expire_time.and_then(|time| time.get(0).unwrap_or(time).as_str());
        refusal::refused(&self.category, &self.message, expire_time)
    }

    /// The scopes a 403 asks for, which stand in one of two places.
    fn scopes(&self) -> Vec<String> {
        let entries = self.errors.iter().map(|entry| &entry.context).chain([&self.context]);
        let mut scopes: Vec<String> = entries.flat_map(|context| texts(context, "requiredGranularScopes")).collect();
        scopes.sort();
        scopes
    }
}

/// What a refused call means.
pub(super) fn trouble(response: &Response) -> Trouble {
    let status = response.status();
    let error = ErrorBody::of(response);
    let message = redact(&error.message);
    let words =
        format!("HubSpot answered HTTP {status} {} {message} (correlation {})", error.category, error.correlation_id);
    match status.as_u16() {
        403 if !error.scopes().is_empty() => {
            Trouble::Forbidden(format!("the HubSpot token lacks a scope: {}", error.scopes().join(", ")))
        }
        // 530 is what peers met where a token names no region that HubSpot has.
        401 | 530 => Trouble::Credential(format!("{words}: {}", error.refused().remedy())),
        403 => Trouble::Forbidden(words),
        // The limit of a second, which pauses nobody: it is waited for where the call is made.
        429 => {
            let wait = verdict::retry_after(response.headers()).unwrap_or(Duration::from_secs(1));
            Trouble::NotSent { cause: words, retry_after: Some(wait) }
        }
        _ => Trouble::Protocol(words),
    }
}

fn texts(context: &Map<String, Value>, key: &str) -> HashSet<String> {
    context.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(as_text).collect()
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    as_text(&value).ok_or_else(|| serde::de::Error::custom("expected text or a number"))
}

fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    #[test]
    fn a_contact_becomes_a_record_in_which_absent_is_not_null() {
        let object: Object = serde_json::from_value(json!({
            "id": "70112", "archived": false, "updatedAt": "2026-02-01T10:11:12.345Z", "associations": {},
            "properties": {"email": "ada@example.com", "mobilephone": null, "phone": "", "jobtitle": "CTO",
                "lastmodifieddate": "2026-02-01T10:11:12Z", "hs_merged_object_ids": "101; 102;70112;x"}
        }))
        .unwrap();
        let record = object.record(&names(&["email", "mobilephone", "phone", "renamed_away"]));
        assert_eq!(record.id, "70112");
        assert_eq!(record.modified.unwrap().to_rfc3339(), "2026-02-01T10:11:12+00:00");
        assert_eq!(record.supersedes, ["101", "102"]);
        assert_eq!(
            Value::Object(record.fields),
            json!({"email": "ada@example.com", "mobilephone": null, "phone": null})
        );
    }

    #[test]
    fn values_and_ids_stay_text_to_the_last_digit() {
        let object: Object = serde_json::from_value(json!({"id": 90_071_992_547_409_931_u64, "properties": {
            "phone_digits": "442222359747", "associatedcompanyid": "90071992547409931", "choices": "a;b;c",
            "numberofemployees": "309;388", "score": "0.10", "flag": "true"}}))
        .unwrap();
        let asked = names(&["associatedcompanyid", "choices", "flag", "numberofemployees", "phone_digits", "score"]);
        let record = object.record(&asked);
        assert_eq!((record.id.as_str(), object.number().unwrap()), ("90071992547409931", 90_071_992_547_409_931));
        let values: Vec<&str> = record.fields.values().filter_map(Value::as_str).collect();
        assert_eq!(values, ["90071992547409931", "a;b;c", "true", "309;388", "442222359747", "0.10"]);
    }

    #[test]
    fn odd_shapes_of_objects_are_read() {
        for (object, id, stamp) in [
            (json!({"id": 7, "properties": null, "updatedAt": "2026-02-01T10:11:12.345Z"}), "7", Some(345)),
            (json!({"id": "8", "archived": null, "properties": {"lastmodifieddate": null}}), "8", None),
            (json!({"id": "9", "properties": {"lastmodifieddate": "soon"}, "url": "x"}), "9", None),
        ] {
            let object: Object = serde_json::from_value(object).unwrap();
            assert_eq!(object.id, id);
            assert_eq!(object.modified().map(|t| t.timestamp_subsec_millis()), stamp);
        }
        assert!(serde_json::from_value::<Object>(json!({"properties": {}})).is_err(), "no id, no object");
        assert!(serde_json::from_value::<Object>(json!({"id": "ab"})).unwrap().number().is_err());
    }

    #[test]
    fn the_primary_company_is_the_one_so_marked() {
        let linked = |types: Value| json!({"category": "HUBSPOT_DEFINED", "typeId": types, "label": null});
        let associated: Associated = serde_json::from_value(json!({
            "from": {"id": "70112"},
            "to": [
                {"toObjectId": 9000, "associationTypes": [{"category": "USER_DEFINED", "typeId": 1, "label": "Primary"}]},
                {"toObjectId": 9001, "associationTypes": [linked(json!(279)), linked(json!(2))]},
                {"toObjectId": 9_002, "associationTypes": [linked(json!(279)), linked(json!(1))]},
                {"toObjectId": "90071992547409931", "associationTypes": [{"label": "Primary"}]}],
            "paging": {"next": {"after": "x", "link": "https://elsewhere.example"}}
        }))
        .unwrap();
        assert_eq!((associated.from(), associated.after()), ("70112", Some("x")));
        assert_eq!(associated.primaries(1).collect::<Vec<_>>(), ["9002", "90071992547409931"]);
        assert_eq!(associated.primaries(2).collect::<Vec<_>>(), ["9001", "90071992547409931"]);
        let none: Associated = serde_json::from_value(json!({"from": {"id": 70112}})).unwrap();
        assert_eq!((none.from(), none.primaries(1).next(), none.after()), ("70112", None, None));
    }

    #[test]
    fn a_207_tells_nothing_there_from_something_wrong() {
        let batch: Batch<Associated> = serde_json::from_value(json!({"status": "COMPLETE", "results": [], "errors": [
            {"status": "error", "category": "OBJECT_NOT_FOUND", "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
             "context": {"fromObjectId": ["70113"]}},
            {"category": "OBJECT_NOT_FOUND", "context": {"ids": ["9001", 9002]}},
            {"category": "INTERNAL_ERROR", "context": null}]}))
        .unwrap();
        assert_eq!(batch.errors.iter().map(ErrorEntry::is_no_association).collect::<Vec<_>>(), [true, false, false]);
        assert_eq!(batch.errors[1].not_found(), HashSet::from(["9001".to_owned(), "9002".to_owned()]));
        assert!(batch.errors[2].not_found().is_empty());
    }

    #[test]
    fn a_missing_scope_is_named_wherever_it_stands() {
        for body in [
            r#"{"category":"MISSING_SCOPES","errors":[{"message":"x","context":{"requiredGranularScopes":["crm.objects.contacts.read"]}}]}"#,
            r#"{"category":"MISSING_SCOPES","context":{"requiredGranularScopes":["crm.objects.contacts.read"]}}"#,
        ] {
            let trouble = trouble(&::http::Response::builder().status(403).body(body.into()).unwrap());
            assert_eq!(trouble.code(), "forbidden");
            assert!(trouble.to_string().contains("crm.objects.contacts.read"), "{trouble}");
        }
        for (status, body, code) in [
            (403, "<html>", "forbidden"),
            (400, "", "unexpected_answer"),
            (414, "<html>", "unexpected_answer"),
            (429, "", "not_sent"),
        ] {
            assert_eq!(trouble(&::http::Response::builder().status(status).body(body.into()).unwrap()).code(), code);
        }
    }
}
