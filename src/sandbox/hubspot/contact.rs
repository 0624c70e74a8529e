//! A contact of the portal and its properties.
//! It must not know how they are asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::sandbox::hubspot::properties::{Kind, Object, Property, instant, joined, known};
use crate::sandbox::people::{LABELS, Person, Phone};
use crate::sandbox::table::Row;

/// A contact.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// The person.
    pub person: Person,
    /// Key of the primary company.
    pub company: Option<u64>,
    /// Further companies.
    pub others: Vec<Tie>,
    /// The contacts merged into this one, their own included, and when.
    pub merged: Vec<(u64, DateTime<Utc>)>,
    /// Addresses beside the primary one.
    pub more_emails: Vec<String>,
    /// Values of properties that a [`Person`] has no field for.
    pub held: BTreeMap<String, String>,
}

/// A tie to a company that is not the primary one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    /// Key of the company.
    pub company: u64,
    /// A label of the portal's own.
    pub label: Option<String>,
}

/// The property for write-back.
pub const PROPSTREET_ID: &str = "propstreet_contact_id";

const LANGUAGES: [&str; 20] = [
    "af", "ar-ae", "da", "da-dk", "de", "de-de", "en", "en-gb", "en-us", "fi", "fi-fi", "fr", "nb", "nb-no", "no",
    "no-no", "sv", "sv-fi", "sv-se", "zh-hk",
];
/// Own stages have numbers for values.
const STAGES: [(&str, &str); 9] = [
    (LABELS[0], "Subscriber"),
    (LABELS[1], "Lead"),
    ("marketingqualifiedlead", "Marketing Qualified Lead"),
    ("salesqualifiedlead", "Sales Qualified Lead"),
    (LABELS[2], "Opportunity"),
    (LABELS[3], "Customer"),
    ("evangelist", "Evangelist"),
    ("other", "Other"),
    ("186254621", "Investor under contract"),
];
const INVESTORS: [(&str, &str); 4] =
    [("core", "Core"), ("value_add", "Value-add"), ("opportunistic", "Opportunistic"), ("debt", "Debt")];

impl Object for Contact {
    const PLURAL: &'static str = "contacts";
    const SINGULAR: &'static str = "contact";
    const TYPE_ID: &'static str = "0-1";
    const MODIFIED: &'static str = "lastmodifieddate";
    const DEAF: Option<&'static str> = Some("hs_lastmodifieddate");
    const DEFAULTS: &'static [&'static str] = &["email", "firstname", "lastname"];

    fn properties() -> Vec<Property<Self>> {
        let mut all = written_by_people();
        all.extend(written_by_the_portal());
        all.extend(written_by_hubspot());
        all
    }

    fn held(&self) -> &BTreeMap<String, String> {
        &self.held
    }

    fn held_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.held
    }

    fn employers(&self) -> Vec<u64> {
        self.company.into_iter().chain(self.others.iter().map(|tie| tie.company)).collect()
    }
}

fn written_by_people() -> Vec<Property<Contact>> {
    let number = |property| Property { field_type: "phonenumber".into(), ..property };
    vec![
        Property::field("email", "Email", |row| row.value.person.email.clone(), |to, it| to.person.email = it),
        Property::field(
            "firstname",
            "First name",
            |row| known(&row.value.person.first),
            |to, it| to.person.first = it.unwrap_or_default(),
        ),
        Property::field(
            "lastname",
            "Last name",
            |row| known(&row.value.person.last),
            |to, it| to.person.last = it.unwrap_or_default(),
        ),
        number(Property::field(
            "phone",
            "Phone number",
            |row| typed(row.value.person.phone.as_ref()),
            |to, it| to.person.phone = it.map(as_typed),
        )),
        number(Property::field(
            "mobilephone",
            "Mobile phone number",
            |row| typed(row.value.person.mobile.as_ref()),
            |to, it| to.person.mobile = it.map(as_typed),
        )),
        number(Property::held("hs_whatsapp_phone_number", "WhatsApp phone number")),
        Property::field("jobtitle", "Job title", |row| row.value.person.title.clone(), |to, it| to.person.title = it),
        // Free text: it names the company, and has nothing to do with the company record.
        Property::field("company", "Company name", company_name, |to, it| hold(to, "company", it)),
        Property::held("website", "Website URL"),
        Property::held("address", "Street address"),
        Property::held("city", "City"),
        Property::held("country", "Country/Region"),
        Property::field(
            "hs_linkedin_url",
            "LinkedIn URL",
            |row| row.value.person.linkedin.clone(),
            |to, it| to.person.linkedin = it,
        ),
        Property {
            options: same_labels(&LANGUAGES),
            ..Property::field("hs_language", "Preferred language", language, |to, it| hold(to, "hs_language", it))
                .of(Kind::Choice)
        },
        Property {
            options: labelled(&STAGES),
            ..Property::field(
                "lifecyclestage",
                "Lifecycle stage",
                |row: &Row<Contact>| row.value.person.label.clone(),
                |to, it| to.person.label = it,
            )
            .of(Kind::Choice)
        },
        Property { refers_to: Some("OWNER"), ..Property::held("hubspot_owner_id", "Contact owner").of(Kind::Choice) },
    ]
}

fn written_by_the_portal() -> Vec<Property<Contact>> {
    let own = |property| Property { custom: true, ..property };
    vec![
        own(Property::field(
            "investor_strategy",
            "Investor strategy",
            |row| row.value.person.strategy.clone(),
            |to, it| to.person.strategy = it,
        )),
        own(Property::held(PROPSTREET_ID, "Propstreet contact id")),
        own(Property {
            options: labelled(&INVESTORS),
            ..Property::held("investor_type", "Investor type").of(Kind::Choices)
        }),
        own(Property::held("is_accredited", "Is accredited").of(Kind::Flag)),
        own(Property::held("ticket_size", "Ticket size").of(Kind::Number)),
        own(Property {
            calculated: true,
            read_only: true,
            field_type: "calculation_equation".into(),
            ..Property::held("investor_class", "Investor class")
        }),
    ]
}

fn written_by_hubspot() -> Vec<Property<Contact>> {
    let hidden = |property| Property { hidden: true, ..property };
    vec![
        hidden(Property::system("hs_additional_emails", "Additional email addresses", Kind::Choices, |row| {
            joined(&row.value.more_emails)
        })),
        Property::system("createdate", "Create date", Kind::Instant, |row| Some(instant(row.created))),
        Property::system("lastmodifieddate", "Last modified date", Kind::Instant, |row| row.stamp.map(instant)),
        hidden(Property::system("hs_lastmodifieddate", "Object last modified date/time", Kind::Instant, |row| {
            row.stamp.map(instant)
        })),
        Property::system("hs_object_id", "Record ID", Kind::Number, |row| Some(row.key.to_string())),
        Property {
            refers_to: Some("COMPANY"),
            hidden: true,
            ..Property::system("associatedcompanyid", "Primary associated company ID", Kind::Number, |row| {
                Some(row.value.company?.to_string())
            })
        },
        Property::system("hs_merged_object_ids", "Merged record IDs", Kind::Choices, |row| {
            joined(row.value.merged.iter().map(|(key, _)| key))
        }),
        hidden(Property::system("hs_calculated_merged_vids", "Merged vids with timestamps", Kind::Choices, |row| {
            joined(row.value.merged.iter().map(|(key, at)| format!("{key}:{}", at.timestamp_millis())))
        })),
        hidden(Property::system("hs_all_contact_vids", "All vids for a contact", Kind::Choices, |row| {
            joined(std::iter::once(row.key).chain(row.value.merged.iter().map(|(key, _)| *key)))
        })),
        hidden(Property {
            calculated: true,
            ..Property::system("hs_calculated_phone_number", "Calculated phone number", Kind::Text, |row| {
                let person = &row.value.person;
                Some(person.phone.as_ref().or(person.mobile.as_ref())?.e164.clone())
            })
        }),
        Property {
            calculated: true,
            ..Property::system("hs_email_domain", "Email domain", Kind::Text, |row| {
                row.value.person.email.as_deref()?.split_once('@').map(|(_, host)| host.to_lowercase())
            })
        },
        Property { read_only: true, ..Property::held("hs_email_optout", "Unsubscribed from all email").of(Kind::Flag) },
        // HubSpot's own scores are calculated without their definition saying so.
        Property {
            read_only: true,
            field_type: "calculation_score".into(),
            ..Property::held("hubspotscore", "HubSpot score").of(Kind::Number)
        },
    ]
}

fn labelled(options: &'static [(&'static str, &'static str)]) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    options.iter().map(|(value, label)| ((*value).into(), (*label).into())).collect()
}

fn same_labels(values: &'static [&'static str]) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    values.iter().map(|value| ((*value).into(), (*value).into())).collect()
}

fn hold(contact: &mut Contact, name: &str, value: Option<String>) {
    match value {
        Some(value) => drop(contact.held.insert(name.to_owned(), value)),
        None => drop(contact.held.remove(name)),
    }
}

fn company_name(row: &Row<Contact>) -> Option<String> {
    let named = || Some(row.value.person.company.as_ref()?.name.clone());
    row.value.held.get("company").cloned().or_else(named)
}

/// The language, with the country where a portal's form asked for both: every other record has one.
fn language(row: &Row<Contact>) -> Option<String> {
    if let Some(held) = row.value.held.get("hs_language") {
        return Some(held.clone());
    }
    let language = row.value.person.language.clone()?;
    let country = row.value.person.company.as_ref().filter(|_| row.key % 2 == 1);
    let both = country.map(|company| format!("{language}-{}", company.country_code.to_lowercase()));
    Some(both.filter(|both| LANGUAGES.contains(&both.as_str())).unwrap_or(language))
}

fn typed(phone: Option<&Phone>) -> Option<String> {
    phone.map(|phone| phone.typed.clone())
}

fn as_typed(text: String) -> Phone {
    let e164 = text.chars().filter(|char| char.is_ascii_digit() || *char == '+').collect();
    Phone { typed: text, e164 }
}
