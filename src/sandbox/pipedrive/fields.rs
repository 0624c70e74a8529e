//! What persons and organizations have in common as JSON: how emptiness, custom values and choices are spelt.
//! It must not know lists, filters or rates.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};

use crate::sandbox::pipedrive::definitions::{CONTACT_SYNC, Definitions, Field, digits};
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

/// What every record has beside the fields of its own.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// Values of custom fields, as they are shown.
    pub custom: BTreeMap<String, Json>,
    /// Built-in fields shown otherwise than the rest of the record would have them; `None` is left out.
    pub shown: BTreeMap<String, Option<Json>>,
    /// Whether the user behind the token may not see the record.
    pub hidden: bool,
    /// The record this one was merged into.
    pub merged_into: Option<u64>,
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

/// What the documentation leaves open about the shape of records.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// How records without custom values show them.
    pub bare: Bare,
    /// How a missing address or number is spelt.
    pub absent: Absent,
    /// Whether ids of choices are text in records.
    pub text_ids: bool,
    /// Whether `include_labels` takes the place of `label_ids`.
    pub labels_replace_ids: bool,
    /// Whether messengers are called `ims`, as the migration guide does, and not `im`.
    pub ims: bool,
    /// Whether organizations have a website, an industry and the like, as some accounts do.
    pub company_details: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            bare: Bare::Mixed,
            absent: Absent::Mixed,
            text_ids: false,
            labels_replace_ids: false,
            ims: false,
            company_details: false,
        }
    }
}

/// A type of record with API v2's common face.
pub trait Record: Clone + 'static {
    /// `person`
    const ENTITY: &'static str;
    /// The names `include_fields` may hold.
    const OPTIONAL: &'static [&'static str];
    /// The built-in fields as JSON.
    fn body(row: &Row<Self>, style: &Style) -> Map<String, Json>;
    /// The custom values that the model knows by their meaning.
    fn custom(&self) -> Vec<(&'static str, Json)>;
    /// What every record has.
    fn sheet(&self) -> &Sheet;
    /// The same, to be changed.
    fn sheet_mut(&mut self) -> &mut Sheet;
}

/// The whole record as a list or a single read shows it.
pub fn render<T: Record>(row: &Row<T>, view: &View, definitions: &Definitions, style: &Style) -> Json {
    let mut body = T::body(row, style);
    for name in T::OPTIONAL.iter().filter(|name| view.include_fields.iter().any(|one| one == *name)) {
        body.insert((*name).to_owned(), if name.ends_with("_count") { json!(0) } else { Json::Null });
    }
    for (name, value) in &row.value.sheet().shown {
        match value {
            Some(value) if !T::OPTIONAL.contains(&name.as_str()) || body.contains_key(name) => {
                body.insert(name.clone(), value.clone());
            }
            _ => drop(body.remove(name)),
        }
    }
    if !definitions.contact_sync {
        CONTACT_SYNC.iter().for_each(|code| drop(body.remove(*code)));
    }
    if let Some(messengers) = body.remove("im") {
        body.insert(if style.ims { "ims" } else { "im" }.to_owned(), messengers);
    }
    if view.labels {
        let ids = body.get("label_ids").and_then(Json::as_array).cloned().unwrap_or_default();
        let labels: Vec<Json> = ids.iter().map(|id| labelled(definitions.find("label_ids"), id)).collect();
        body.insert("labels".to_owned(), labels.into());
        if style.labels_replace_ids {
            body.remove("label_ids");
        }
    }
    body.insert("custom_fields".to_owned(), custom_fields(row, view, definitions, style));
    Json::Object(body)
}

fn custom_fields<T: Record>(row: &Row<T>, view: &View, definitions: &Definitions, style: &Style) -> Json {
    let wanted = |code: &str| view.custom_fields.as_ref().is_none_or(|codes| codes.iter().any(|one| one == code));
    let mut values: BTreeMap<&str, Json> = row.value.custom().into_iter().collect();
    values.extend(row.value.sheet().custom.iter().map(|(code, value)| (code.as_str(), value.clone())));
    // A deleted field vanishes from the records that hold it.
    let fields: Vec<&Field> = definitions.custom().filter(|field| wanted(&field.code)).collect();
    let mut set = Map::new();
    for field in &fields {
        if let Some(value) = values.remove(field.code.as_str()) {
            set.insert(field.code.clone(), chosen(field, value, view, style));
        }
    }
    let bare = match style.bare {
        Bare::Mixed => [Bare::Null, Bare::Empty, Bare::Nulls][(row.key % 3) as usize],
        one => one,
    };
    match bare {
        Bare::Null if set.is_empty() => Json::Null,
        Bare::Nulls => {
            let nulls = fields.iter().map(|field| (field.code.clone(), Json::Null));
            Json::Object(nulls.chain(set).collect())
        }
        _ => Json::Object(set),
    }
}

/// A value as it is shown: choices as numbers, as text or with their labels.
fn chosen(field: &Field, value: Json, view: &View, style: &Style) -> Json {
    let one = |id: Json| match id {
        Json::Number(_) | Json::String(_) if view.option_labels => labelled(Some(field), &id),
        Json::Number(_) if style.text_ids => digits(&id).into(),
        other => other,
    };
    match value {
        Json::Array(ids) if field.options.is_some() => ids.into_iter().map(one).collect(),
        id if field.options.is_some() => one(id),
        other => other,
    }
}

/// `{id, label}`; an option that was deleted has no label any more.
fn labelled(field: Option<&Field>, id: &Json) -> Json {
    json!({"id": id, "label": field.and_then(|field| field.label(id))})
}

/// `2026-09-30T11:22:33Z`
pub fn time(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The map inside a JSON object.
pub fn into_map(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}
