//! What a record's properties held before, for those who ask for it.
//! It must not know which change moves a date.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use crate::sandbox::hubspot::properties::{Object, Property, instant};
use crate::sandbox::table::Row;

/// Who changed a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// Someone in the portal.
    Person,
    /// A client of the API.
    Client,
    /// The portal's own calculations.
    Calculation,
}

#[derive(Debug)]
struct Version {
    value: Option<String>,
    at: DateTime<Utc>,
    author: Author,
}

/// Former values, by record and property; only of properties that ever changed.
#[derive(Debug, Default)]
pub struct History(BTreeMap<(u64, String), Vec<Version>>);

impl History {
    /// Takes note of a new value.
    pub fn note<T: Object>(
        &mut self,
        before: &Row<T>,
        property: &Property<T>,
        value: Option<String>,
        author: Author,
        at: DateTime<Utc>,
    ) {
        let versions = self.0.entry((before.key, property.name.to_string())).or_insert_with(|| {
            vec![Version { value: property.get(before), at: before.created, author: Author::Person }]
        });
        versions.push(Version { value, at, author });
    }

    /// The versions of one property, newest first.
    pub fn of<T: Object>(&self, row: &Row<T>, property: &Property<T>) -> Json {
        let version = |value: Option<&str>, at: DateTime<Utc>, author: Author| {
            let source = match author {
                Author::Person => "CRM_UI",
                Author::Client => "INTEGRATION",
                Author::Calculation => "CALCULATED",
            };
            json!({"value": value.unwrap_or_default(), "timestamp": instant(at), "sourceType": source})
        };
        match self.0.get(&(row.key, property.name.to_string())) {
            Some(versions) => versions.iter().rev().map(|v| version(v.value.as_deref(), v.at, v.author)).collect(),
            None => {
                let value = property.get(row);
                value.iter().map(|value| version(Some(value), row.created, Author::Person)).collect()
            }
        }
    }
}
