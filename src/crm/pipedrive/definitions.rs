//! What the options of a field are called: the definitions, cached for a while because they have no stamp.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::wire::{self, LIMIT, Options, Row};
use crate::domain::failure::Trouble;

/// A renamed label shows after this long at the latest.
const DEFINITIONS_LAST: Duration = Duration::from_secs(15 * 60);
/// An option id that stays unknown (its definition was deleted) asks again no sooner than this.
const DEFINITIONS_REST: Duration = Duration::from_secs(60);

/// What was read lately.
#[derive(Default)]
pub(super) struct Definitions(Mutex<Option<(Instant, Arc<Options>)>>);

impl Pipedrive {
    /// The options of all fields, if these persons need them.
    pub(super) async fn options(&self, persons: &[Row]) -> Result<Arc<Options>, Trouble> {
        if !self.wanted.unexplained(persons, &Options::new()) {
            return Ok(Arc::default());
        }
        let mut cached = self.definitions.0.lock().await;
        if let Some((read, options)) = &*cached {
            let age = self.clock.instant().saturating_duration_since(*read);
            let explained = age < DEFINITIONS_LAST && !self.wanted.unexplained(persons, options);
            if explained || age < DEFINITIONS_REST {
                return Ok(Arc::clone(options));
            }
        }
        let mut options = Options::new();
        wire::read_options(&self.all("/api/v2/personFields", vec![("limit", LIMIT.to_owned())]).await?, &mut options);
        let options = Arc::new(options);
        *cached = Some((self.clock.instant(), Arc::clone(&options)));
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::pipedrive::rig::{list, one, open, person};
    use crate::crm::script::window;
    use crate::sync::source::{ContactSource, Detail};

    #[tokio::test(start_paused = true)]
    async fn what_was_looked_up_does_not_stay_for_ever() {
        let organization = |name: &str| one(json!({"id": 12, "name": name}));
        let label =
            |text: &str| list(vec![json!({"field_code": "label_ids", "options": [{"id": 2, "label": text}]})], None);
        let page = || list(vec![person(1)], None);
        let answers =
            [page(), label("Hot"), organization("Acme"), page(), page(), label("Warm"), organization("Acme Nordic")];
        let (_, pipedrive) = open(&["labels", "org.name"], answers);
        for (minutes, label, name) in [(0, "Hot", "Acme"), (4, "Hot", "Acme"), (12, "Warm", "Acme Nordic")] {
            pipedrive.clock.sleep(Duration::from_secs(minutes * 60)).await;
            let page = pipedrive.everyone(Detail::Records, None).await.unwrap();
            let fields = Value::Object(page.sightings[0].record.as_ref().unwrap().fields.clone());
            assert_eq!(fields, json!({"labels": [label], "org.name": name}));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_label_whose_definition_is_gone_asks_again_and_keeps_its_id() {
        let definitions =
            || list(vec![json!({"field_code": "label_ids", "options": [{"id": 1, "label": "Hot"}]})], None);
        let page = || list(vec![person(1)], None);
        let (script, pipedrive) = open(&["labels"], [page(), definitions(), page(), page(), definitions()]);
        for wait in [0, 1, 60] {
            pipedrive.clock.sleep(Duration::from_secs(wait)).await;
            let page = pipedrive.changes(window(), None).await.unwrap();
            assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["labels"], json!(["2"]));
        }
        script.asked();
    }
}
