//! Which properties a portal defines, and what they are. HubSpot leaves a name that nobody defined out of its answers
//! without a word, so a typo, or a property renamed since, would leave a field of everyone empty.
//!
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide>

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::crm::hubspot::{HubSpot, VERSION, wire};
use crate::crm::request;
use crate::domain::failure::Trouble;

/// A portal has some four hundred properties and seldom changes them; what is known of them lasts this long.
pub(super) const LAST: Duration = Duration::from_secs(3600);

/// What is known and does not fit what else is seen is asked for again, and no more often than this.
pub(super) const MOMENT: Duration = Duration::from_secs(60);

/// The properties of one kind of object, by their internal names.
pub(super) type Properties = HashMap<String, Property>;

/// What was defined lately, by the objects it belongs to.
#[derive(Default)]
pub(super) struct Definitions(Mutex<HashMap<String, (Instant, Arc<Properties>)>>);

impl Definitions {
    /// What was answered since says that what is known of these objects is not so any more.
    pub(super) async fn forget(&self, objects: &str) {
        self.0.lock().await.remove(objects);
    }
}

/// One property as the portal defines it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Property {
    /// Its internal name.
    name: String,
    /// What people call it.
    pub label: Option<String>,
    /// What its values are: `string`, `number`, `enumeration` …
    #[serde(rename = "type")]
    kind: Option<String>,
    /// How people enter them: `text`, `html`, `calculation_equation` …
    field_type: Option<String>,
    calculated: Option<bool>,
    archived: Option<bool>,
    hubspot_defined: Option<bool>,
    has_unique_value: Option<bool>,
    modification_metadata: Option<Modification>,
    /// Whether it stands in the list of sensitive data.
    #[serde(skip)]
    pub sensitive: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modification {
    read_only_value: Option<bool>,
}

impl Property {
    /// Whether HubSpot computes its value. No stamp moves when that changes.
    pub(super) fn is_calculated(&self) -> bool {
        self.calculated == Some(true) || self.field_type.as_deref().is_some_and(|kind| kind.starts_with("calculation"))
    }

    /// Whether its value is HTML.
    pub(super) fn is_html(&self) -> bool {
        self.field_type.as_deref() == Some("html")
    }

    /// Whether it takes any text.
    pub(super) fn is_text(&self) -> bool {
        self.kind.as_deref() == Some("string") && matches!(self.field_type.as_deref(), Some("text" | "textarea"))
    }

    /// Whether nobody can set it.
    pub(super) fn is_read_only(&self) -> bool {
        let read_only = self.modification_metadata.as_ref().and_then(|modification| modification.read_only_value);
        read_only == Some(true) || self.is_calculated()
    }

    /// Whether HubSpot made it, and not the firm.
    pub(super) fn is_hubspots(&self) -> bool {
        self.hubspot_defined == Some(true)
    }

    /// Whether no two records may hold the same.
    pub(super) fn is_unique(&self) -> bool {
        self.has_unique_value == Some(true)
    }
}

#[derive(Deserialize)]
struct List {
    results: Vec<Property>,
}

impl HubSpot {
    /// The living properties of these objects, known for no longer than this.
    pub(super) async fn properties(&self, objects: &str, no_longer: Duration) -> Result<Arc<Properties>, Trouble> {
        // Held while it is asked, so that all who wait share one answer.
        let mut cached = self.definitions.0.lock().await;
        let now = self.clock.instant();
        if let Some((read, properties)) = cached.get(objects)
            && now.saturating_duration_since(*read) < no_longer
        {
            return Ok(Arc::clone(properties));
        }
        let properties = Arc::new(self.read_properties(objects).await?);
        cached.insert(objects.to_owned(), (now, Arc::clone(&properties)));
        Ok(properties)
    }

    /// Those of these properties whose values HubSpot computes: no stamp moves when they change.
    pub(super) async fn calculated(&self, objects: &str, names: &[String]) -> Result<Vec<String>, Trouble> {
        let properties = self.properties(objects, LAST).await?;
        let calculated = |name: &&String| properties.get(*name).is_some_and(Property::is_calculated);
        Ok(names.iter().filter(calculated).cloned().collect())
    }

    /// Fails if one of these properties is missing in what HubSpot sent because the portal does not define it, and the
    /// map cannot do without.
    pub(super) async fn demand<'a>(
        &self,
        objects: &str,
        sent: impl IntoIterator<Item = &'a wire::Object> + Send,
        asked: &[String],
    ) -> Result<(), Trouble> {
        let mut missing: BTreeSet<&str> = BTreeSet::new();
        for object in sent {
            missing.extend(asked.iter().map(String::as_str).filter(|name| !object.properties.contains_key(*name)));
        }
        missing.retain(|name| !self.wanted.is_optional(objects, name));
        if missing.is_empty() {
            return Ok(());
        }
        let properties = self.properties(objects, MOMENT).await?;
        match missing.into_iter().find(|name| !properties.contains_key(*name)) {
            None => Ok(()),
            Some(name) => Err(Trouble::Forbidden(format!(
                "the map reads the property {name}, which {objects} of this HubSpot portal do not have (correct the map; \
                 a rule names properties by their internal names)"
            ))),
        }
    }

    async fn read_properties(&self, objects: &str) -> Result<Properties, Trouble> {
        let mut properties = self.list_properties(objects, &[]).await?;
        if self.wanted.of(objects).iter().any(|name| !properties.contains_key(name)) {
            // Sensitive data has a list of its own, for tokens that may see it.
            match self.list_properties(objects, &[("dataSensitivity", "sensitive")]).await {
                Ok(sensitive) => {
                    for (name, property) in sensitive {
                        properties.entry(name).or_insert(Property { sensitive: true, ..property });
                    }
                }
                Err(Trouble::Forbidden(_) | Trouble::Protocol(_)) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(properties)
    }

    async fn list_properties(&self, objects: &str, query: &[(&str, &str)]) -> Result<Properties, Trouble> {
        let path = format!("/crm/properties/{VERSION}/{objects}");
        let list: List = self.ask(request::get(&self.base, &path, query)).await?;
        let living = list.results.into_iter().filter(|property| property.archived != Some(true));
        Ok(living.map(|property| (property.name.clone(), property)).collect())
    }
}
