//! A query's rows as they were when it was asked, and how one page of them is spelled in JSON.
//! It must not know what the query selected by, nor how long anybody keeps it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};

use crate::sandbox::salesforce::columns::{Path, Record, Value};
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::records::{Account, Tables};
use crate::sandbox::table::Row;

/// The most rows of a page that holds a long text, as recorded in a real org.
pub const LONG_TEXT_PAGE: usize = 1000;

/// A result set, whatever its object.
pub trait Pages: Send + Sync {
    /// All rows.
    fn total(&self) -> usize;
    /// Rows a page.
    fn size(&self) -> usize;
    /// The records of the page that begins at `offset`.
    fn page(&self, tables: &Tables, version: &str, offset: usize) -> Vec<Json>;
}

/// A result set of one object.
pub struct Cursor<T: 'static> {
    /// The fields asked for.
    pub fields: Vec<Path<T>>,
    /// All rows.
    pub rows: Vec<Arc<Row<T>>>,
    /// Rows a page.
    pub page: usize,
}

impl<T: Record> Pages for Cursor<T> {
    fn total(&self) -> usize {
        self.rows.len()
    }

    fn size(&self) -> usize {
        self.page
    }

    fn page(&self, tables: &Tables, version: &str, offset: usize) -> Vec<Json> {
        let rows = self.rows.iter().skip(offset).take(self.page);
        rows.map(|row| render(tables, row, &self.fields, version)).collect()
    }
}

/// One record with the fields asked for, parents nested.
pub fn render<T: Record>(tables: &Tables, row: &Row<T>, fields: &[Path<T>], version: &str) -> Json {
    let mut record = Map::new();
    record.insert("attributes".to_owned(), attributes::<T>(row.key, version));
    for path in fields {
        let value = spelled(path.value(row, tables));
        match path {
            Path::Own(column) => {
                record.insert(column.name.clone(), value);
            }
            Path::Account(column) => match row.value.account() {
                None => {
                    record.insert("Account".to_owned(), Json::Null);
                }
                Some(key) => nested(&mut record, "Account", &attributes::<Account>(key, version), &column.name, value),
            },
            Path::Owner(name) => nested(&mut record, "Owner", &json!({"type": "User"}), name, value),
        }
    }
    Json::Object(record)
}

fn attributes<T: Record>(key: u64, version: &str) -> Json {
    let url = format!("/services/data/{version}/sobjects/{}/{}", T::TYPE, ids::id(T::PREFIX, key));
    json!({"type": T::TYPE, "url": url})
}

fn nested(record: &mut Map<String, Json>, parent: &str, attributes: &Json, field: &str, value: Json) {
    let inner = record.entry(parent).or_insert_with(|| json!({"attributes": attributes}));
    inner[field] = value;
}

fn spelled(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Text(text) | Value::Id(text) => text.into(),
        Value::Bool(bool) => bool.into(),
        Value::Number(number) => number.into(),
        Value::Date(day) => day.to_string().into(),
        Value::Instant(instant) => stamp(instant).into(),
        Value::Address(city, country) => json!({
            "city": city, "country": country, "geocodeAccuracy": null, "latitude": null, "longitude": null,
            "postalCode": null, "state": null, "street": null,
        }),
    }
}

/// `2026-11-02T09:15:41.000+0000`
pub fn stamp(instant: DateTime<Utc>) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S.000+0000").to_string()
}
