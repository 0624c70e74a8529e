//! How a record looks in an answer.
//! It must not know which records are shown.

use serde_json::{Map, Value as Json, json};

use crate::sandbox::hubspot::access::PORTAL;
use crate::sandbox::hubspot::properties::{Object, Property, instant};
use crate::sandbox::hubspot::store::Store;
use crate::sandbox::table::Row;

/// The properties an answer shows of each record.
pub struct Shape<'a, T: Object> {
    store: &'a Store<T>,
    properties: Vec<&'a Property<T>>,
    with_history: Vec<&'a Property<T>>,
}

impl<'a, T: Object> Shape<'a, T> {
    /// Those asked for, and those that always come.
    pub fn new(store: &'a Store<T>, asked: &[String], with_history: &[String]) -> Self {
        let with_history = with_history.iter().filter_map(|name| store.definitions.find(name)).collect();
        Self { store, properties: store.definitions.chosen(asked), with_history }
    }

    /// A record.
    pub fn show(&self, row: &Row<T>) -> Json {
        let values = self.properties.iter().map(|property| (property.name.to_string(), property.get(row).into()));
        let mut record = json!({
            "id": row.key.to_string(), "properties": values.collect::<Map<String, Json>>(),
            "createdAt": instant(row.created), "updatedAt": row.stamp.map(instant), "archived": row.deleted.is_some(),
            "url": format!("https://app-eu1.hubspot.com/contacts/{PORTAL}/record/{}/{}", T::TYPE_ID, row.key),
        });
        if let Some(archived) = row.deleted {
            record["archivedAt"] = instant(archived).into();
        }
        if !self.with_history.is_empty() {
            let versions = |property: &&Property<T>| (property.name.to_string(), self.store.history.of(row, property));
            record["propertiesWithHistory"] = self.with_history.iter().map(versions).collect::<Map<_, _>>().into();
        }
        record
    }
}
