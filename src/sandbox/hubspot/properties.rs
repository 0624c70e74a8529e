//! The portal's objects and their properties: names, types, and how a record yields each.
//! It must not know how they are asked for.

use chrono::{DateTime, Utc};

use crate::sandbox::people::{Company, LABELS, Person, Phone};
use crate::sandbox::table::Row;

/// A contact.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The person.
    pub person: Person,
    /// Key of the primary company.
    pub company: Option<u64>,
    /// Keys of further companies.
    pub others: Vec<u64>,
    /// Keys of the contacts merged into this one.
    pub merged: Vec<u64>,
    /// What was written back.
    pub propstreet_id: Option<String>,
}

/// How values of a property compare, as its definition's `type` says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// `string`: without case.
    Text,
    /// `enumeration`: with case.
    Choice,
    /// `number`
    Number,
    /// `datetime`
    Instant,
}

/// One property.
pub struct Property<T: 'static> {
    /// Its internal name.
    pub name: &'static str,
    /// Its label.
    pub label: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The choices of an enumeration.
    pub options: &'static [&'static str],
    /// Whether the portal made it rather than HubSpot.
    pub custom: bool,
    /// Whether clients cannot write it.
    pub read_only: bool,
    /// How a record yields it; empty is `None`.
    pub get: fn(&Row<T>) -> Option<String>,
}

/// An object type of the portal.
pub trait Object: Clone + 'static {
    /// `contacts`
    const PLURAL: &'static str;
    /// `contact`
    const SINGULAR: &'static str;
    /// `0-1`
    const TYPE_ID: &'static str;
    /// The modification property that searches can filter by.
    const MODIFIED: &'static str;
    /// A modification property that exists and which no search matches.
    const DEAF: Option<&'static str>;
    /// What comes when no properties are asked for.
    const DEFAULTS: &'static [&'static str];
    /// All properties.
    fn properties() -> &'static [Property<Self>];
    /// Keys of the companies, the primary one first and flagged.
    fn companies(&self) -> Vec<(u64, bool)>;
}

impl Object for Contact {
    const PLURAL: &'static str = "contacts";
    const SINGULAR: &'static str = "contact";
    const TYPE_ID: &'static str = "0-1";
    const MODIFIED: &'static str = "lastmodifieddate";
    const DEAF: Option<&'static str> = Some("hs_lastmodifieddate");
    const DEFAULTS: &'static [&'static str] = &["email", "firstname", "lastname"];

    fn properties() -> &'static [Property<Self>] {
        &CONTACT
    }

    fn companies(&self) -> Vec<(u64, bool)> {
        let primary = self.company.map(|key| (key, true));
        primary.into_iter().chain(self.others.iter().map(|key| (*key, false))).collect()
    }
}

impl Object for Company {
    const PLURAL: &'static str = "companies";
    const SINGULAR: &'static str = "company";
    const TYPE_ID: &'static str = "0-2";
    const MODIFIED: &'static str = "hs_lastmodifieddate";
    const DEAF: Option<&'static str> = None;
    const DEFAULTS: &'static [&'static str] = &["name", "domain"];

    fn properties() -> &'static [Property<Self>] {
        &COMPANY
    }

    fn companies(&self) -> Vec<(u64, bool)> {
        Vec::new()
    }
}

const LANGUAGES: [&str; 8] = ["da", "de", "en", "fi", "fr", "nb", "no", "sv"];
const STAGES: [&str; 8] =
    [LABELS[0], LABELS[1], "marketingqualifiedlead", "salesqualifiedlead", LABELS[2], LABELS[3], "evangelist", "other"];

const fn text<T>(name: &'static str, label: &'static str, get: fn(&Row<T>) -> Option<String>) -> Property<T> {
    Property { name, label, kind: Kind::Text, options: &[], custom: false, read_only: false, get }
}

const fn system<T>(
    name: &'static str,
    label: &'static str,
    kind: Kind,
    get: fn(&Row<T>) -> Option<String>,
) -> Property<T> {
    Property { name, label, kind, options: &[], custom: false, read_only: true, get }
}

/// The property for write-back.
pub const PROPSTREET_ID: &str = "propstreet_contact_id";

static CONTACT: [Property<Contact>; 19] = [
    text("email", "Email", |row| row.value.person.email.clone()),
    text("firstname", "First name", |row| known(&row.value.person.first)),
    text("lastname", "Last name", |row| known(&row.value.person.last)),
    text("phone", "Phone number", |row| phone(row.value.person.phone.as_ref())),
    text("mobilephone", "Mobile phone number", |row| phone(row.value.person.mobile.as_ref())),
    text("jobtitle", "Job title", |row| row.value.person.title.clone()),
    text("company", "Company name", |row| Some(row.value.person.company.as_ref()?.name.clone())),
    text("hs_linkedin_url", "LinkedIn URL", |row| row.value.person.linkedin.clone()),
    text("hs_additional_emails", "Additional email addresses", |_| None),
    Property {
        custom: true,
        ..text("investor_strategy", "Investor strategy", |row: &Row<Contact>| row.value.person.strategy.clone())
    },
    Property {
        custom: true,
        ..text(PROPSTREET_ID, "Propstreet contact id", |row: &Row<Contact>| row.value.propstreet_id.clone())
    },
    Property {
        kind: Kind::Choice,
        options: &STAGES,
        ..text("lifecyclestage", "Lifecycle stage", |row: &Row<Contact>| row.value.person.label.clone())
    },
    Property {
        kind: Kind::Choice,
        options: &LANGUAGES,
        ..text("hs_language", "Preferred language", |row: &Row<Contact>| row.value.person.language.clone())
    },
    system("createdate", "Create date", Kind::Instant, |row| Some(instant(row.created))),
    system("lastmodifieddate", "Last modified date", Kind::Instant, |row| row.stamp.map(instant)),
    system("hs_lastmodifieddate", "Object last modified date/time", Kind::Instant, |row| row.stamp.map(instant)),
    system("hs_object_id", "Record ID", Kind::Number, |row| Some(row.key.to_string())),
    system("associatedcompanyid", "Primary company ID", Kind::Number, |row| Some(row.value.company?.to_string())),
    system("hs_merged_object_ids", "Merged record IDs", Kind::Choice, |row| {
        let ids: Vec<String> = row.value.merged.iter().map(ToString::to_string).collect();
        known(&ids.join(";"))
    }),
];

static COMPANY: [Property<Company>; 6] = [
    text("name", "Company name", |row| known(&row.value.name)),
    text("domain", "Company domain name", |row| known(&row.value.domain)),
    text("country", "Country/Region", |row| known(&row.value.country)),
    system("createdate", "Create date", Kind::Instant, |row| Some(instant(row.created))),
    system("hs_lastmodifieddate", "Last modified date", Kind::Instant, |row| row.stamp.map(instant)),
    system("hs_object_id", "Record ID", Kind::Number, |row| Some(row.key.to_string())),
];

/// `2026-02-01T10:11:12.345Z`
pub fn instant(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn phone(phone: Option<&Phone>) -> Option<String> {
    phone.map(|phone| phone.typed.clone())
}
