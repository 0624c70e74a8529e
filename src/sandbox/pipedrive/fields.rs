//! Persons and organizations as JSON, and the definitions of their fields.
//! It must not know lists, filters or rates.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};

use crate::sandbox::people::{Company, LABELS, Person};
use crate::sandbox::table::Row;

/// Key of the person field "Language": an enum whose options are [`LANGUAGES`], numbered from 1.
pub const LANGUAGE: &str = "1f0c6a9be2d34785a1c09e7f5b8d2463aa91c07e";
/// Key of the person field "LinkedIn": text.
pub const LINKEDIN: &str = "2a7d51e8c94b06f3d8e27ab150c9f4de63b8a415";
/// Key of the person field "Investor strategy": text.
pub const STRATEGY: &str = "3bc8e40f17a92d65f0b3c841d7e6952ac4fd108b";
/// Key of the person field "Propstreet id": text, for write-back.
pub const PROPSTREET_ID: &str = "4d92ab7306fe81c5b7a40d63e91f28c05a7be3d4";
/// Key of the organization field "Domain": text.
pub const DOMAIN: &str = "5e03bc8417af92d6c8b51e74fa2039d16b8cf4e5";

/// The languages of the enum field, option 1 first.
pub const LANGUAGES: [&str; 8] = ["da", "de", "en", "fi", "fr", "nb", "no", "sv"];

/// The owner of everything.
pub const OWNER: u64 = 7;

/// A person.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The person.
    pub person: Person,
    /// Key of the organization.
    pub organization: Option<u64>,
    /// What was written back.
    pub propstreet_id: Option<String>,
}

/// An organization.
#[derive(Clone, Debug)]
pub struct Organization {
    /// The company.
    pub company: Company,
}

/// What a client asked to see.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Keys of custom fields; all when absent.
    pub custom_fields: Option<Vec<String>>,
    /// `include_fields`
    pub include_fields: Vec<String>,
    /// `include_option_labels`
    pub option_labels: bool,
    /// `include_labels`
    pub labels: bool,
}

/// How a record without any custom value shows its custom fields; all three were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bare {
    /// `null`
    Null,
    /// `{}`
    Empty,
    /// Every key with `null`.
    Nulls,
    /// A different one from record to record.
    Mixed,
}

/// How an address or number that is not there is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// `[]`
    Empty,
    /// One blank entry that claims to be primary.
    Blank,
    /// Now one, now the other.
    Mixed,
}

/// A type of record with API v2's common face.
pub trait Record: Clone + 'static {
    /// `persons`
    const PLURAL: &'static str;
    /// The names `include_fields` may hold.
    const OPTIONAL: &'static [&'static str];
    /// The custom fields: key, name, type.
    const CUSTOM: &'static [(&'static str, &'static str, &'static str)];
    /// The built-in fields as JSON.
    fn body(row: &Row<Self>, view: &View, absent: Absent) -> Map<String, Json>;
    /// The custom values that are set.
    fn custom(&self, view: &View) -> Vec<(&'static str, Json)>;
    /// The built-in fields' definitions: code, name, type.
    fn built_in() -> &'static [(&'static str, &'static str, &'static str)];
}

const OPTIONAL_PERSON: [&str; 24] = [
    "next_activity_id",
    "last_activity_id",
    "open_deals_count",
    "related_open_deals_count",
    "closed_deals_count",
    "related_closed_deals_count",
    "participant_open_deals_count",
    "participant_closed_deals_count",
    "email_messages_count",
    "activities_count",
    "done_activities_count",
    "undone_activities_count",
    "files_count",
    "notes_count",
    "followers_count",
    "won_deals_count",
    "related_won_deals_count",
    "lost_deals_count",
    "related_lost_deals_count",
    "last_incoming_mail_time",
    "last_outgoing_mail_time",
    "marketing_status",
    "doi_status",
    "smart_bcc_email",
];
const OPTIONAL_ORGANIZATION: [&str; 18] = [
    "next_activity_id",
    "last_activity_id",
    "open_deals_count",
    "related_open_deals_count",
    "closed_deals_count",
    "related_closed_deals_count",
    "email_messages_count",
    "activities_count",
    "done_activities_count",
    "undone_activities_count",
    "files_count",
    "notes_count",
    "followers_count",
    "won_deals_count",
    "related_won_deals_count",
    "lost_deals_count",
    "related_lost_deals_count",
    "people_count",
];

impl Record for Contact {
    const PLURAL: &'static str = "persons";
    const OPTIONAL: &'static [&'static str] = &OPTIONAL_PERSON;
    const CUSTOM: &'static [(&'static str, &'static str, &'static str)] = &[
        (LANGUAGE, "Language", "enum"),
        (LINKEDIN, "LinkedIn", "varchar"),
        (STRATEGY, "Investor strategy", "text"),
        (PROPSTREET_ID, "Propstreet id", "varchar"),
    ];

    fn body(row: &Row<Self>, view: &View, absent: Absent) -> Map<String, Json> {
        let person = &row.value.person;
        let emails: Vec<(&str, &str)> = person.email.iter().map(|email| ("work", email.as_str())).collect();
        let phones = [("work", &person.phone), ("mobile", &person.mobile)];
        let phones = phones.into_iter().filter_map(|(label, phone)| Some((label, phone.as_ref()?.typed.as_str())));
        let phones: Vec<(&str, &str)> = phones.collect();
        // The mobile is the primary number but not the first: place means nothing.
        let primary = phones.len().saturating_sub(1);
        let blank = absent == Absent::Blank || absent == Absent::Mixed && row.key.is_multiple_of(3);
        let label = person.label.as_deref().and_then(label_id);
        let full = format!("{} {}", person.first, person.last).trim().to_owned();
        let mut body = json!({
            "id": row.key, "name": full, "first_name": known(&person.first), "last_name": known(&person.last),
            "owner_id": OWNER, "org_id": row.value.organization, "add_time": time(row.created),
            "update_time": row.stamp.map(time), "emails": entries(&emails, 0, blank),
            "phones": entries(&phones, primary, blank), "is_deleted": row.deleted.is_some(),
            "visible_to": 3, "label_ids": label.into_iter().collect::<Vec<_>>(), "picture_id": null,
            "job_title": person.title, "notes": null, "im": [], "birthday": null, "postal_address": null,
        });
        if view.labels {
            let labels: Vec<Json> = label.into_iter().map(|id| json!({"id": id, "label": person.label})).collect();
            body["labels"] = labels.into();
        }
        into_map(body)
    }

    fn custom(&self, view: &View) -> Vec<(&'static str, Json)> {
        let language = self.person.language.as_ref().and_then(|language| {
            let id = LANGUAGES.iter().position(|known| known == language)? + 1;
            Some(if view.option_labels { json!({"id": id, "label": language}) } else { json!(id) })
        });
        let text = |text: &Option<String>| text.clone().map(Json::from);
        let values = [
            (LANGUAGE, language),
            (LINKEDIN, text(&self.person.linkedin)),
            (STRATEGY, text(&self.person.strategy)),
            (PROPSTREET_ID, text(&self.propstreet_id)),
        ];
        values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn built_in() -> &'static [(&'static str, &'static str, &'static str)] {
        &[
            ("id", "ID", "int"),
            ("name", "Name", "varchar"),
            ("first_name", "First name", "varchar"),
            ("last_name", "Last name", "varchar"),
            ("label_ids", "Labels", "set"),
            ("emails", "Email", "varchar"),
            ("phones", "Phone", "phone"),
            ("org_id", "Organization", "org"),
            ("owner_id", "Owner", "user"),
            ("add_time", "Person created", "date"),
            ("update_time", "Update time", "date"),
            ("visible_to", "Visible to", "visible_to"),
            ("picture_id", "Picture", "picture"),
            ("job_title", "Job title", "varchar"),
            ("notes", "Notes", "text"),
            ("im", "Instant messenger", "varchar"),
            ("birthday", "Birthday", "date"),
            ("postal_address", "Postal address", "address"),
        ]
    }
}

impl Record for Organization {
    const PLURAL: &'static str = "organizations";
    const OPTIONAL: &'static [&'static str] = &OPTIONAL_ORGANIZATION;
    const CUSTOM: &'static [(&'static str, &'static str, &'static str)] = &[(DOMAIN, "Domain", "varchar")];

    fn body(row: &Row<Self>, view: &View, _: Absent) -> Map<String, Json> {
        let company = &row.value.company;
        let address = (!company.country.is_empty()).then(|| {
            json!({
                "value": format!("Storgatan 1, {}", company.country), "country": company.country,
                "admin_area_level_1": "", "admin_area_level_2": "", "locality": "", "sublocality": "",
                "route": "Storgatan", "street_number": "1", "subpremise": null, "postal_code": "",
            })
        });
        let mut body = json!({
            "id": row.key, "name": company.name, "owner_id": OWNER, "add_time": time(row.created),
            "update_time": row.stamp.map(time), "is_deleted": row.deleted.is_some(), "visible_to": 3,
            "address": address, "label_ids": [],
        });
        if view.labels {
            body["labels"] = json!([]);
        }
        into_map(body)
    }

    fn custom(&self, _: &View) -> Vec<(&'static str, Json)> {
        let domain = &self.company.domain;
        if domain.is_empty() { Vec::new() } else { vec![(DOMAIN, domain.as_str().into())] }
    }

    fn built_in() -> &'static [(&'static str, &'static str, &'static str)] {
        &[
            ("id", "ID", "int"),
            ("name", "Name", "varchar"),
            ("label_ids", "Labels", "set"),
            ("address", "Address", "address"),
            ("owner_id", "Owner", "user"),
            ("add_time", "Organization created", "date"),
            ("update_time", "Update time", "date"),
            ("visible_to", "Visible to", "visible_to"),
        ]
    }
}

/// The whole record as a list or a single read shows it.
pub fn render<T: Record>(row: &Row<T>, view: &View, bare: Bare, absent: Absent) -> Json {
    let mut body = T::body(row, view, absent);
    let wanted = |key: &str| view.custom_fields.as_ref().is_none_or(|keys| keys.iter().any(|one| one == key));
    let set: Map<String, Json> = row
        .value
        .custom(view)
        .into_iter()
        .filter(|(key, _)| wanted(key))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let nulls = || T::CUSTOM.iter().filter(|(key, ..)| wanted(key)).map(|(key, ..)| ((*key).to_owned(), Json::Null));
    let bare = match bare {
        Bare::Mixed => [Bare::Null, Bare::Empty, Bare::Nulls][(row.key % 3) as usize],
        one => one,
    };
    let custom = match bare {
        Bare::Null if set.is_empty() => Json::Null,
        Bare::Nulls => Json::Object(nulls().chain(set).collect()),
        _ => Json::Object(set),
    };
    body.insert("custom_fields".to_owned(), custom);
    for name in T::OPTIONAL.iter().filter(|name| view.include_fields.iter().any(|one| one == *name)) {
        let value = if name.ends_with("_count") { json!(0) } else { Json::Null };
        body.insert((*name).to_owned(), value);
    }
    Json::Object(body)
}

/// All field definitions, built-in ones first.
pub fn definitions<T: Record>() -> Vec<Json> {
    let define = |(code, name, kind): &(&str, &str, &str), custom: bool| {
        let options: Option<Vec<Json>> = match *code {
            "label_ids" if T::PLURAL == "persons" => Some(options(&LABELS)),
            "label_ids" => Some(Vec::new()),
            LANGUAGE => Some(options(&LANGUAGES)),
            // Built-in choices have text for ids.
            "visible_to" => {
                Some(vec![json!({"id": "1", "label": "Owner only"}), json!({"id": "3", "label": "All users"})])
            }
            _ => None,
        };
        json!({
            "field_name": name, "field_code": code, "field_type": kind, "is_custom_field": custom,
            "is_optional_response_field": false, "options": options, "subfields": null,
        })
    };
    let built_in = T::built_in().iter().map(|field| define(field, false));
    built_in.chain(T::CUSTOM.iter().map(|field| define(field, true))).collect()
}

fn options(labels: &[&str]) -> Vec<Json> {
    labels.iter().enumerate().map(|(place, label)| json!({"id": place + 1, "label": label, "color": "green"})).collect()
}

fn label_id(label: &str) -> Option<usize> {
    Some(LABELS.iter().position(|known| *known == label)? + 1)
}

fn entries(values: &[(&str, &str)], primary: usize, blank: bool) -> Vec<Json> {
    if values.is_empty() && blank {
        return vec![json!({"value": "", "primary": true})];
    }
    let entry = |(place, (label, value)): (usize, &(&str, &str))| json!({"value": value, "primary": place == primary, "label": label});
    values.iter().enumerate().map(entry).collect()
}

/// `2026-09-30T11:22:33Z`
pub fn time(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn into_map(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
