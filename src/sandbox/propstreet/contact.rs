//! A contact as Propstreet holds it, and as it shows it. Knows nothing of how it got there.
//! <https://docs.propstreet.com/api-reference/model/Contact>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SubsecRound, Utc};
use serde_json::{Value, json};

use crate::sandbox::propstreet::knobs::{Ids, Knobs, RefShape};

/// A reference as it was written; compared by [`ExternalRef::key`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExternalRef {
    /// ≤ 50, case-insensitive.
    pub namespace: String,
    /// ≤ 255, case-sensitive.
    pub id: String,
}

/// Case-folded namespace and id.
pub type RefKey = (String, String);

impl ExternalRef {
    /// A reference.
    #[must_use]
    pub fn new(namespace: &str, id: &str) -> Self {
        Self { namespace: namespace.to_owned(), id: id.to_owned() }
    }

    /// What makes two references the same.
    #[must_use]
    pub fn key(&self) -> RefKey {
        (self.namespace.to_lowercase(), self.id.clone())
    }
}

/// One of several addresses or numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labelled {
    /// The address or number.
    pub value: String,
    /// `work`, `personal`, `mobile`, `home` or `other`.
    pub kind: String,
}

/// A contact, deleted or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contact {
    /// Propstreet's id; given by the sandbox.
    pub id: u64,
    /// References, ≤ 50.
    pub refs: Vec<ExternalRef>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// The primary address; also the first of `emails` when one is set.
    pub email: Option<String>,
    /// All addresses.
    pub emails: Vec<Labelled>,
    /// The primary number, normalised; also among `phones`.
    pub phone: Option<String>,
    /// All numbers.
    pub phones: Vec<Labelled>,
    /// `https://www.linkedin.com/in/{slug}`.
    pub linkedin_url: Option<String>,
    /// ISO 639-1.
    pub primary_language: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Free text.
    pub strategy: Option<String>,
    /// Writable, never shown by the API.
    pub blocked: bool,
    /// Put in by hand, not through the API.
    pub planted: bool,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed, in whole 100 ns.
    pub updated: DateTime<Utc>,
    /// When it was deleted.
    pub deleted: Option<DateTime<Utc>>,
}

impl Contact {
    /// Whether it is not deleted.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.deleted.is_none()
    }

    /// Whether it carries a reference.
    #[must_use]
    pub fn has_ref(&self, key: &RefKey) -> bool {
        self.refs.iter().any(|r| r.key() == *key)
    }

    /// At least one of name, address, phone.
    pub(super) fn has_identifier(&self) -> bool {
        [&self.first_name, &self.last_name, &self.email, &self.phone].iter().any(|field| field.is_some())
    }

    /// Makes an address the primary one, or takes the primary one away.
    pub fn set_email(&mut self, email: Option<String>) {
        set_primary(&mut self.email, &mut self.emails, email, "work");
    }

    /// Makes a number the primary one, or takes the primary one away.
    pub fn set_phone(&mut self, phone: Option<String>) {
        set_primary(&mut self.phone, &mut self.phones, phone, "mobile");
    }
}

fn set_primary(primary: &mut Option<String>, all: &mut Vec<Labelled>, value: Option<String>, kind: &str) {
    if *primary == value {
        return;
    }
    all.retain(|one| Some(&one.value) != primary.as_ref() && Some(&one.value) != value.as_ref());
    if let Some(value) = &value {
        all.insert(0, Labelled { value: value.clone(), kind: kind.to_owned() });
    }
    *primary = value;
}

/// A contact with what the API adds to it.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) contact: Contact,
    pub(super) version: u64,
    /// `changeOrigin`: documented as not to be interpreted.
    pub(super) origin: &'static str,
}

impl Stored {
    pub(super) fn etag(&self) -> String {
        etag(self.version)
    }

    /// The JSON of the contact; `companies` is what its links say.
    pub(super) fn shown(&self, knobs: &Knobs, companies: &[Value]) -> Value {
        let contact = &self.contact;
        let primary_company =
            companies.iter().find(|company| company["isPrimary"] == true).map(|company| &company["id"]);
        let mut shown = json!({
            "id": id_json(contact.id, knobs.ids),
            "etag": self.etag(),
            "uri": format!("propstreet://contacts/{}", contact.id),
            "createdUtc": stamp(contact.created),
            "updatedUtc": stamp(contact.updated),
            "deletedUtc": contact.deleted.map(stamp),
            "externalRefs": refs_json(&contact.refs, knobs.refs),
            "firstName": contact.first_name,
            "lastName": contact.last_name,
            "email": contact.email,
            "emails": labelled(&contact.emails, "address", contact.email.as_ref()),
            "phone": contact.phone,
            "phones": labelled(&contact.phones, "number", contact.phone.as_ref()),
            "linkedInUrl": contact.linkedin_url,
            "primaryLanguage": contact.primary_language,
            "tags": contact.tags,
            "strategy": contact.strategy,
            "primaryCompanyId": primary_company,
            "companies": companies,
            "profilePictureUrl": null,
            "changeType": change_type(contact.created, contact.updated, contact.deleted),
            "changeOrigin": self.origin,
        });
        if let Some(first) = contact.refs.first().filter(|_| knobs.refs == RefShape::Former) {
            shown["externalId"] = json!(format!("{}:{}", first.namespace, first.id));
        }
        shown
    }
}

/// `externalRefs` as shown.
pub(super) fn refs_json(refs: &[ExternalRef], shape: RefShape) -> Value {
    let one = |r: &ExternalRef| match shape {
        RefShape::Current => json!({"namespace": r.namespace, "id": r.id}),
        RefShape::Former => json!({"source": r.namespace, "externalId": r.id}),
    };
    refs.iter().map(one).collect()
}

fn labelled(all: &[Labelled], value_name: &str, primary: Option<&String>) -> Value {
    all.iter()
        .map(|one| json!({value_name: one.value, "type": one.kind, "isPrimary": Some(&one.value) == primary}))
        .collect()
}

/// `changeType` as every resource shows it.
pub(super) fn change_type(
    created: DateTime<Utc>,
    updated: DateTime<Utc>,
    deleted: Option<DateTime<Utc>>,
) -> &'static str {
    match deleted {
        Some(_) => "delete",
        None if created == updated => "create",
        None => "update",
    }
}

/// An id in the JSON type the knob asks for.
pub(super) fn id_json(id: u64, ids: Ids) -> Value {
    match ids {
        Ids::Text => json!(id.to_string()),
        Ids::Number => json!(id),
    }
}

/// A weak tag around an 8-byte row version.
pub(super) fn etag(version: u64) -> String {
    format!("W/\"{}\"", STANDARD.encode(version.to_be_bytes()))
}

/// Cut to the 100 ns in which Propstreet counts.
pub(super) fn to_ticks(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(7)
}

/// ISO 8601 UTC with seven fraction digits.
pub(super) fn stamp(time: DateTime<Utc>) -> String {
    format!("{}.{:07}Z", time.format("%Y-%m-%dT%H:%M:%S"), time.timestamp_subsec_nanos() / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_stamps_look_as_documented() {
        assert_eq!(etag(0x2B44), "W/\"AAAAAAAAK0Q=\"");
        let time = DateTime::from_timestamp(1_736_935_200, 123_456_789).unwrap();
        assert_eq!(stamp(to_ticks(time)), "2025-01-15T10:00:00.1234567Z");
    }

    #[test]
    fn a_new_primary_address_replaces_the_old_and_keeps_the_others() {
        let other = Labelled { value: "b@x.example".into(), kind: "personal".into() };
        let mut contact = Contact::default();
        contact.set_email(Some("a@x.example".into()));
        contact.emails.push(other.clone());
        contact.set_email(Some("c@x.example".into()));
        assert_eq!(contact.emails.iter().map(|e| e.value.as_str()).collect::<Vec<_>>(), ["c@x.example", "b@x.example"]);
        contact.set_email(None);
        assert_eq!((contact.email, contact.emails), (None, vec![other]));
    }
}
