//! What a company's fields are: which keys, names and options there are. They have no stamp, so what was read lasts for a
//! while, and what it does not explain is asked for anew. A reading costs ten tokens, as much as a page of people.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::wanted::{Objects, Wants};
use crate::crm::pipedrive::wire::{self, Fields, LIMIT, Row};
use crate::domain::failure::Trouble;

/// A renamed option shows after this long at the latest.
pub(super) const LAST: Duration = Duration::from_secs(6 * 3600);
/// A field that nobody of a whole page has filled may be gone; it is looked for no sooner than this.
const WHILE: Duration = Duration::from_secs(3600);
/// An option id that stays unknown (its definition was deleted) asks again no sooner than this.
pub(super) const MOMENT: Duration = Duration::from_secs(60);

/// What was read lately, by where it is defined.
#[derive(Default)]
pub(super) struct Definitions(Mutex<HashMap<&'static str, (Instant, Arc<Fields>)>>);

impl Pipedrive {
    /// The fields of these objects, known for no longer than this.
    pub(super) async fn fields(&self, of: &Objects, no_longer: Duration) -> Result<Arc<Fields>, Trouble> {
        // Held while it is asked, so that all who wait share one answer.
        let mut cached = self.definitions.0.lock().await;
        if let Some((read, fields)) = cached.get(of.definitions)
            && self.clock.instant().saturating_duration_since(*read) < no_longer
        {
            return Ok(Arc::clone(fields));
        }
        let rows = self.all(of.definitions, vec![("limit", LIMIT.to_owned())]).await?;
        let fields = Arc::new(wire::fields(&rows));
        cached.insert(of.definitions, (self.clock.instant(), Arc::clone(&fields)));
        Ok(fields)
    }

    /// The keys that a request for persons may be narrowed to.
    pub(super) async fn sent(&self) -> Result<BTreeSet<String>, Trouble> {
        let wants = &self.wanted.persons;
        if wants.custom.is_empty() {
            return Ok(BTreeSet::new());
        }
        Ok(wants.sent(&*self.found(wants, LAST).await?))
    }

    /// What explains these rows, if anything has to be explained.
    pub(super) async fn explained(&self, wants: &Wants, rows: &[&Row]) -> Result<Arc<Fields>, Trouble> {
        if rows.is_empty() || (!wants.reads_custom() && !wants.unexplained(rows, &Fields::new())) {
            return Ok(Arc::default());
        }
        let fields = self.found(wants, LAST).await?;
        if wants.unexplained(rows, &fields) {
            self.found(wants, MOMENT).await
        } else if wants.unseen(rows, &fields) {
            self.found(wants, WHILE).await
        } else {
            Ok(fields)
        }
    }

    /// The fields of these objects, with each that the map cannot do without among them.
    async fn found(&self, wants: &Wants, no_longer: Duration) -> Result<Arc<Fields>, Trouble> {
        let mut fields = self.fields(wants.of, no_longer).await?;
        if wants.lost(&fields).is_some() {
            fields = self.fields(wants.of, no_longer.min(MOMENT)).await?;
        }
        match wants.lost(&fields) {
            None => Ok(fields),
            Some(written) => Err(no_such_field(&format!("{}custom_fields.{written}", wants.of.prefix), wants.of.name)),
        }
    }
}

fn no_such_field(field: &str, objects: &str) -> Trouble {
    Trouble::Forbidden(format!(
        "the map reads {field}, which {objects} of this Pipedrive company do not have, or not visibly to the token's user \
         (correct the map; `propsync doctor` names what was probably meant)"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::pipedrive::rig::{custom, list, one, open, paths, person};
    use crate::crm::script::window;
    use crate::sync::source::{ContactSource, Detail};

    const PERSON_FIELDS: &str = "/api/v2/personFields";

    #[tokio::test(start_paused = true)]
    async fn what_was_looked_up_does_not_stay_for_ever() {
        let organization = |name: &str| one(json!({"id": 12, "name": name}));
        let label =
            |text: &str| list(vec![json!({"field_code": "label_ids", "options": [{"id": 2, "label": text}]})], None);
        let page = || list(vec![person(1)], None);
        let answers = [
            page(),
            label("Hot"),
            organization("Acme"),
            page(),
            page(),
            organization("Acme Nordic"),
            page(),
            label("Warm"),
            organization("Acme Nordic"),
        ];
        let (_, pipedrive) = open(&["labels", "org.name"], answers);
        for (minutes, label, name) in
            [(0, "Hot", "Acme"), (4, "Hot", "Acme"), (12, "Hot", "Acme Nordic"), (360, "Warm", "Acme Nordic")]
        {
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

    #[tokio::test(start_paused = true)]
    async fn definitions_are_read_to_their_last_page_and_requests_narrowed_to_the_keys() {
        let key = "dcf558aac1ae4e8c4f849ba5e668430d8df9be12";
        let core = json!({"id": 1, "custom_fields": {key: "Core"}});
        let (script, pipedrive) = open(
            &["custom_fields.Investor strategy"],
            [
                list(vec![custom("a", "Other", "varchar")], Some("f1")),
                list(vec![custom(key, "Investor strategy", "varchar")], None),
                list(vec![core.clone()], None),
                one(core),
            ],
        );
        let page = pipedrive.changes(window(), None).await.unwrap();
        assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["custom_fields.Investor strategy"], "Core");
        pipedrive.fetch(vec!["1".into()]).await.unwrap();
        let asked = script.asked();
        assert_eq!(paths(&asked), [PERSON_FIELDS, PERSON_FIELDS, "/api/v2/persons", "/api/v2/persons/1"]);
        assert_eq!(
            (asked[0].query("limit").as_deref(), asked[1].query("cursor").as_deref()),
            (Some("500"), Some("f1"))
        );
        assert!(asked[2..].iter().all(|asked| asked.query("custom_fields").as_deref() == Some(key)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_that_is_deleted_amid_use_stops_the_reading_and_an_optional_one_does_not() {
        let bare = || one(json!({"id": 1, "custom_fields": {}}));
        let there = || list(vec![custom("0a1b", "Strategy", "varchar")], None);
        let gone = || list(vec![custom("0a1c", "Other", "varchar")], None);
        let (script, pipedrive) = open(&["custom_fields.0a1b"], [there(), bare(), bare(), gone()]);
        let first = pipedrive.fetch(vec!["1".into()]).await.unwrap();
        assert_eq!(Value::Object(first[0].fields.clone()), json!({"custom_fields.0a1b": null}), "nobody has filled it");
        pipedrive.clock.sleep(WHILE).await;
        let trouble = pipedrive.fetch(vec!["1".into()]).await.unwrap_err();
        assert!(trouble.code() == "forbidden" && trouble.to_string().contains("custom_fields.0a1b"), "{trouble}");
        script.asked();

        let wanted = crate::crm::Wanted {
            fields: ["custom_fields.0a1b".to_owned(), "name".to_owned()].into(),
            optional: ["custom_fields.0a1b".to_owned()].into(),
        };
        let (script, pipedrive) = crate::crm::pipedrive::rig::scripted(wanted, |settings| settings, [gone(), bare()]);
        assert!(pipedrive.fetch(vec!["1".into()]).await.unwrap()[0].fields.is_empty());
        assert_eq!(script.asked()[1].query("custom_fields"), None, "a key that nobody has may be refused");
    }

    #[tokio::test(start_paused = true)]
    async fn fields_of_organizations_are_looked_up_only_if_the_map_reads_them() {
        let mut segment = custom("0a1b", "Segment", "enum");
        segment["options"] = json!([{"id": 17, "label": "Pension fund"}]);
        let (script, pipedrive) = open(
            &["org.custom_fields.Segment"],
            [
                list(vec![person(1)], None),
                one(json!({"id": 12, "custom_fields": {"0a1b": 17}})),
                list(vec![segment], None),
            ],
        );
        let page = pipedrive.changes(window(), None).await.unwrap();
        assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["org.custom_fields.Segment"], "Pension fund");
        assert_eq!(paths(&script.asked())[2], "/api/v2/organizationFields");
    }
}
