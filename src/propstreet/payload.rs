//! Contacts on the wire. Ours carry only what has a value, so that nothing is ever cleared by an empty CRM field; theirs
//! are read strictly where we rely on them and leniently where Propstreet's own pages disagree.
//! Propstreet: "Create contact", "Update contact", "List contacts", "Contact".

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::domain::contact::Contact;
use crate::domain::employment::Employed;
use crate::domain::failure::Trouble;
use crate::domain::identity::ExternalRef;
use crate::domain::ownership::Field;
use crate::sync::destination::{ListPage, Patch, Seen};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Upsert<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_language: Option<&'a str>,
}

/// The body that brings a contact back. An upsert takes no references and no LinkedIn profile; tags and strategy are left as
/// the contact had them.
///
/// # Errors
/// As [`create`].
pub fn upsert(contact: &Contact) -> Result<Bytes, Trouble> {
    bytes(&Upsert {
        first_name: contact.first_name(),
        last_name: contact.last_name(),
        email: contact.email(),
        phone: contact.phone(),
        primary_language: contact.primary_language(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Create<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    first_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    linked_in_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    external_refs: [&'a ExternalRef; 1],
    #[serde(skip_serializing_if = "<[Connection]>::is_empty")]
    connections: &'a [Connection<'a>],
}

/// An employment that a contact is made with: at a company that exists, because no schema shows another kind. Of a
/// contact's connections exactly one is the primary one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connection<'a> {
    company: Existing<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_title: Option<&'a str>,
    primary: bool,
}

#[derive(Serialize)]
struct Existing<'a> {
    kind: &'static str,
    id: &'a str,
}

/// The body that creates a contact under its ref, employed at this company. Later employments are links: a list sent
/// again would end the others.
///
/// # Errors
/// None in practice; serialisation is fallible by type.
pub fn create(contact: &Contact, reference: &ExternalRef, employer: Option<&str>) -> Result<Bytes, Trouble> {
    let connection =
        |id| Connection { company: Existing { kind: "existing", id }, job_title: contact.job_title(), primary: true };
    let connections: Vec<_> = employer.map(connection).into_iter().collect();
    bytes(&Create {
        first_name: contact.first_name(),
        last_name: contact.last_name(),
        email: contact.email(),
        phone: contact.phone(),
        linked_in_url: contact.linkedin_url(),
        primary_language: contact.primary_language(),
        strategy: contact.strategy(),
        tags: contact.tags(),
        external_refs: [reference],
        connections: &connections,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Update<'a> {
    /// `null` clears. Propstreet: "Update contact".
    #[serde(flatten)]
    texts: BTreeMap<&'static str, Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_refs: Option<&'a [ExternalRef]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
}

/// The body that writes these fields and leaves the others.
///
/// # Errors
/// As [`create`].
pub fn patch(patch: &Patch) -> Result<Bytes, Trouble> {
    let texts = patch.texts.iter().filter_map(|(field, value)| Some((name(*field)?, value.as_deref())));
    bytes(&Update { texts: texts.collect(), external_refs: patch.refs.as_deref(), tags: patch.tags.as_deref() })
}

/// What Propstreet calls a text of a contact; employments and tags are no texts.
fn name(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::FirstName => "firstName",
        Field::LastName => "lastName",
        Field::Email => "email",
        Field::Phone => "phone",
        Field::LinkedinUrl => "linkedInUrl",
        Field::PrimaryLanguage => "primaryLanguage",
        Field::Strategy => "strategy",
        Field::Tags | Field::JobTitle | Field::Company => return None,
    })
}

pub(super) fn bytes(body: &impl Serialize) -> Result<Bytes, Trouble> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| Trouble::Protocol(error.to_string()))
}

/// An integer, or an integer in quotes; ids are kept as opaque text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Digits {
    /// `"789"`
    Text(String),
    /// `789`
    Number(u64),
}

impl Digits {
    /// As a number.
    pub fn number(self) -> Option<u64> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Number(number) => Some(number),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// A contact as Propstreet sends it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireContact {
    id: Digits,
    etag: Option<String>,
    updated_utc: Option<String>,
    deleted_utc: Option<IgnoredAny>,
    external_refs: Option<Vec<WireRef>>,
    first_name: Option<String>,
    last_name: Option<String>,
    email: Option<String>,
    emails: Option<Vec<WireEmail>>,
    phone: Option<String>,
    linked_in_url: Option<String>,
    primary_language: Option<String>,
    strategy: Option<String>,
    tags: Option<Vec<String>>,
    companies: Option<Vec<WireEmployment>>,
}

/// Written as `connections`, read as `companies`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireEmployment {
    id: Digits,
    job_title: Option<String>,
    is_primary: Option<bool>,
}

/// A ref that cannot be read fails the contact: dropped silently, it would be erased by the next union of refs.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum WireRef {
    Current {
        namespace: String,
        id: Digits,
    },
    #[serde(rename_all = "camelCase")]
    Former {
        source: String,
        external_id: Digits,
    },
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum WireEmail {
    Typed { address: Option<String> },
    Plain(String),
}

impl WireContact {
    /// The contact in the engine's words. The body's `etag` goes before the header's, which a list does not have.
    pub fn seen(self, etag_header: Option<&str>) -> Seen {
        let mut emails: Vec<String> = self.email.clone().into_iter().collect();
        for email in self.emails.unwrap_or_default() {
            let (WireEmail::Typed { address: Some(address) } | WireEmail::Plain(address)) = email else { continue };
            if !emails.contains(&address) {
                emails.push(address);
            }
        }
        Seen {
            id: self.id.text(),
            etag: self.etag.or_else(|| etag_header.map(str::to_owned)),
            updated: self.updated_utc.unwrap_or_default(),
            deleted: self.deleted_utc.is_some(),
            refs: self.external_refs.unwrap_or_default().into_iter().map(WireRef::reference).collect(),
            email: self.email,
            emails,
            first_name: self.first_name,
            last_name: self.last_name,
            phone: self.phone,
            linkedin_url: self.linked_in_url,
            primary_language: self.primary_language,
            strategy: self.strategy,
            tags: self.tags.unwrap_or_default(),
            employments: self.companies.unwrap_or_default().into_iter().map(WireEmployment::employed).collect(),
        }
    }
}

impl WireEmployment {
    fn employed(self) -> Employed {
        let job_title = self.job_title.filter(|title| !title.is_empty());
        Employed { company: self.id.text(), job_title, primary: self.is_primary.unwrap_or_default() }
    }
}

impl WireRef {
    pub(super) fn reference(self) -> ExternalRef {
        match self {
            Self::Current { namespace, id } => ExternalRef { namespace, id: id.text() },
            Self::Former { source, external_id } => ExternalRef { namespace: source, id: external_id.text() },
        }
    }
}

/// A page of contacts, its place in a nested `page` or, in older samples, beside the data.
#[derive(Debug, Deserialize)]
pub struct WirePage {
    data: Vec<WireContact>,
    page: Option<Place>,
    #[serde(flatten)]
    beside: Place,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    next_cursor: Option<String>,
    has_more: Option<bool>,
}

impl WirePage {
    /// The page in the engine's words. Only a stated end is an end.
    ///
    /// # Errors
    /// [`Trouble::Protocol`] where the page does not say whether more follows, or how to reach it.
    pub fn page(self) -> Result<ListPage, Trouble> {
        let next = next(self.page, self.beside)?;
        Ok(ListPage { contacts: self.data.into_iter().map(|contact| contact.seen(None)).collect(), next })
    }
}

/// Where a list goes on, by what stands in its `page` or beside its data.
///
/// # Errors
/// As [`WirePage::page`].
pub(super) fn next(page: Option<Place>, beside: Place) -> Result<Option<String>, Trouble> {
    let nested = page.is_some();
    let place = page.unwrap_or(beside);
    let cursor = place.next_cursor.filter(|cursor| !cursor.is_empty());
    match (place.has_more, cursor) {
        (Some(false), _) => Ok(None),
        (_, Some(cursor)) => Ok(Some(cursor)),
        (None, None) if nested => Ok(None),
        (Some(true), None) => Err(Trouble::Protocol("a page with hasMore and no nextCursor".to_owned())),
        (None, None) => Err(Trouble::Protocol("a page without nextCursor and hasMore".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::contact::Draft;
    use crate::domain::limits;

    fn reference() -> ExternalRef {
        ExternalRef { namespace: "HubSpot".to_owned(), id: "42".to_owned() }
    }

    fn seen(wire: Value) -> Result<Seen, serde_json::Error> {
        serde_json::from_value::<WireContact>(wire).map(|contact| contact.seen(Some("header")))
    }

    #[test]
    fn a_create_says_what_is_known_and_nothing_else() {
        let some = |text: &str| Some(text.to_owned());
        let draft = Draft { last_name: some("Berg"), ..Draft::default() };
        let body = |draft| create(&limits::check(draft).unwrap(), &reference(), None).unwrap();
        let sparse: Value = serde_json::from_slice(&body(draft.clone())).unwrap();
        assert_eq!(sparse, json!({"lastName": "Berg", "externalRefs": [{"namespace": "HubSpot", "id": "42"}]}));
        let full = Draft {
            first_name: some("Anna"),
            email: some("anna@firma.se"),
            phone: some("+46701234567"),
            linkedin_url: some("https://www.linkedin.com/in/anna"),
            primary_language: some("sv"),
            strategy: some("Core"),
            tags: vec!["vip".to_owned()],
            company: some("Firma AB"),
            job_title: some("VD"),
            ..draft
        };
        let full: Value = serde_json::from_slice(&body(full)).unwrap();
        assert_eq!(
            full,
            json!({"firstName": "Anna", "lastName": "Berg", "email": "anna@firma.se", "phone": "+46701234567",
                "linkedInUrl": "https://www.linkedin.com/in/anna", "primaryLanguage": "sv", "strategy": "Core",
                "tags": ["vip"], "externalRefs": [{"namespace": "HubSpot", "id": "42"}]})
        );
    }

    #[test]
    fn a_contact_is_made_with_one_employment_at_a_company_that_exists() {
        let text = |text: &str| Some(text.to_owned());
        let draft = Draft { last_name: text("Berg"), job_title: text("VD"), ..Draft::default() };
        let body = create(&limits::check(draft).unwrap(), &reference(), Some("70")).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let company = json!({"kind": "existing", "id": "70"});
        assert_eq!(body["connections"], json!([{"company": company, "jobTitle": "VD", "primary": true}]));
    }

    #[test]
    fn a_patch_carries_whole_lists_or_none() {
        assert_eq!(patch(&Patch::default()).unwrap(), "{}");
        let refs = patch(&Patch { refs: Some(vec![reference()]), ..Patch::default() }).unwrap();
        assert_eq!(refs, r#"{"externalRefs":[{"namespace":"HubSpot","id":"42"}]}"#);
        let tags = patch(&Patch { tags: Some(vec!["vip".to_owned()]), ..Patch::default() }).unwrap();
        assert_eq!(tags, r#"{"tags":["vip"]}"#);
        let named = |field| (field, Some(format!("{field:?}")));
        let texts = Field::ALL.into_iter().filter(|field| *field != Field::Phone).map(named).collect::<Vec<_>>();
        let texts = patch(&Patch { texts: [texts, vec![(Field::Phone, None)]].concat(), ..Patch::default() }).unwrap();
        let texts: Value = serde_json::from_slice(&texts).unwrap();
        assert_eq!(
            texts,
            json!({"firstName": "FirstName", "lastName": "LastName", "email": "Email", "phone": null,
                "linkedInUrl": "LinkedinUrl", "primaryLanguage": "PrimaryLanguage", "strategy": "Strategy"})
        );
    }

    #[test]
    fn contacts_are_read_in_every_documented_shape() {
        let full = seen(json!({
            "id": 789, "etag": "W/\"AAAAAAAAK0Q=\"", "updatedUtc": "2025-01-15T10:00:00.1234567Z", "deletedUtc": null,
            "externalRefs": [{"namespace": "x", "id": 7}, {"source": "y", "externalId": "8"}], "externalId": "sf:1",
            "email": "a@b.se", "emails": [{"address": "a@b.se", "isPrimary": true}, "c@d.se", {"address": null}],
            "tags": null, "companies": [{"id": 1, "jobTitle": "VD", "isPrimary": true}, {"id": "2"}], "unknown": {},
        }))
        .unwrap();
        let refs = [("x", "7"), ("y", "8")].map(|(n, i)| ExternalRef { namespace: n.to_owned(), id: i.to_owned() });
        let expected = Seen {
            id: "789".to_owned(),
            etag: Some("W/\"AAAAAAAAK0Q=\"".to_owned()),
            updated: "2025-01-15T10:00:00.1234567Z".to_owned(),
            refs: refs.to_vec(),
            email: Some("a@b.se".to_owned()),
            emails: vec!["a@b.se".to_owned(), "c@d.se".to_owned()],
            employments: vec![
                Employed { company: "1".to_owned(), job_title: Some("VD".to_owned()), primary: true },
                Employed { company: "2".to_owned(), ..Employed::default() },
            ],
            ..Seen::default()
        };
        assert_eq!(full, expected);
        let sparse = seen(json!({"id": "1", "deletedUtc": "2026-05-05T12:00:00Z"})).unwrap();
        assert_eq!((sparse.etag.as_deref(), sparse.deleted), (Some("header"), true));
        for unreadable in [json!({}), json!({"id": null}), json!({"id": "1", "externalRefs": [{"namespace": "x"}]})] {
            assert!(seen(unreadable.clone()).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn only_a_stated_end_ends_a_list() {
        let cases = [
            (json!({"data": [], "page": {"nextCursor": "c", "hasMore": true, "pageSize": "500"}}), Ok(Some("c"))),
            (json!({"data": [], "page": {"nextCursor": "c", "hasMore": false}}), Ok(None)),
            (json!({"data": [], "page": {"nextCursor": null}}), Ok(None)),
            (json!({"data": [], "page": {"nextCursor": "c"}}), Ok(Some("c"))),
            (json!({"data": [], "nextCursor": "c", "hasMore": true}), Ok(Some("c"))),
            (json!({"data": [], "nextCursor": null, "hasMore": false}), Ok(None)),
            (json!({"data": [], "page": {"nextCursor": null, "hasMore": true}}), Err(())),
            (json!({"data": [], "hasMore": true, "nextCursor": ""}), Err(())),
            (json!({"data": []}), Err(())),
        ];
        for (wire, expected) in cases {
            let page = serde_json::from_value::<WirePage>(wire.clone()).unwrap().page();
            assert_eq!(
                page.map(|page| page.next).map_err(drop),
                expected.map(|next| next.map(str::to_owned)),
                "{wire}"
            );
        }
    }
}
