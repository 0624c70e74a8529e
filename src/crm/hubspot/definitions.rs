//! Which properties a portal defines. HubSpot leaves a name that nobody defined out of its answers without a word, so a
//! typo, or a property renamed since, would leave a field of everyone empty. It is asked only when an answer lacks one.
//!
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide>

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::crm::hubspot::{HubSpot, VERSION, wire};
use crate::crm::request;
use crate::domain::failure::Trouble;

/// A property that is archived meanwhile is noticed after this long at the latest.
const LAST: Duration = Duration::from_secs(3600);

/// The names defined lately, by the objects they belong to.
#[derive(Default)]
pub(super) struct Definitions(Mutex<HashMap<String, (Instant, HashSet<String>)>>);

#[derive(Deserialize)]
struct List {
    results: Vec<Definition>,
}

#[derive(Deserialize)]
struct Definition {
    name: String,
}

impl HubSpot {
    /// Fails if one of these properties is missing in what HubSpot sent because the portal does not define it.
    pub(super) async fn demand<'a>(
        &self,
        objects: &str,
        sent: impl IntoIterator<Item = &'a wire::Object> + Send,
        asked: &[String],
    ) -> Result<(), Trouble> {
        let mut missing: HashSet<&str> = HashSet::new();
        for object in sent {
            missing.extend(asked.iter().map(String::as_str).filter(|name| !object.properties.contains_key(*name)));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut cached = self.definitions.0.lock().await;
        let now = self.clock.instant();
        let known = cached.get(objects).filter(|(read, _)| now.saturating_duration_since(*read) < LAST);
        if known.is_none_or(|(_, names)| missing.iter().any(|name| !names.contains(*name))) {
            let path = format!("/crm/properties/{VERSION}/{objects}");
            let list: List = self.ask(request::get(&self.base, &path, &[])).await?;
            cached.insert(objects.to_owned(), (now, list.results.into_iter().map(|d| d.name).collect()));
        }
        let names = cached.get(objects).map(|(_, names)| names);
        missing.retain(|name| names.is_none_or(|names| !names.contains(*name)));
        match missing.into_iter().min() {
            None => Ok(()),
            Some(name) => Err(Trouble::Forbidden(format!(
                "the map reads the property {name}, which {objects} of this HubSpot portal do not have (correct the map; \
                 a rule names properties by their internal names)"
            ))),
        }
    }
}
