//! Persons as records: what their rows only point at is looked up, for a page at a time.

use std::collections::BTreeSet;

use crate::crm::pipedrive::listing::PERSONS;
use crate::crm::pipedrive::organizations::Freshness;
use crate::crm::pipedrive::wire::{self, Row};
use crate::crm::pipedrive::{IDS, Pipedrive, changes, no_such_field};
use crate::domain::failure::Trouble;
use crate::domain::record::{Record, Sighting};

impl Pipedrive {
    /// These rows, each with its record.
    pub(super) async fn sightings(&self, rows: Vec<Row>, freshness: Freshness) -> Result<Vec<Sighting>, Trouble> {
        let records = self.records(rows, freshness).await?;
        Ok(records.into_iter().map(|r| Sighting { id: r.id.clone(), modified: r.modified, record: Some(r) }).collect())
    }

    /// The records of these rows. A tombstone is nobody to deliver: who is gone is found by absence from a whole sweep.
    pub(super) async fn records(&self, mut rows: Vec<Row>, freshness: Freshness) -> Result<Vec<Record>, Trouble> {
        rows.retain(|row| !wire::is_deleted(row));
        let options = self.options(&rows).await?;
        if let Some(key) = self.wanted.undefined(&rows, &options) {
            return Err(no_such_field(&format!("custom_fields.{key}")));
        }
        let organizations = self.organizations_of(&rows, freshness).await?;
        rows.iter().map(|row| self.wanted.record(row, &options, &organizations)).collect()
    }

    /// Those with these ids, as far as they are shown.
    pub(super) async fn by_ids(&self, ids: &[String]) -> Result<Vec<Record>, Trouble> {
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).filter(|id| wire::is_id(id)).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut rows = Vec::new();
        for chunk in ids.chunks(IDS) {
            rows.extend(self.all(PERSONS, changes::by_ids(chunk, &self.wanted.sent)).await?);
        }
        self.records(rows, Freshness::Now).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::crm::pipedrive::rig::{list, open, paths, person};
    use crate::crm::script::answer;
    use crate::sync::source::{ContactSource, Detail};

    #[tokio::test(start_paused = true)]
    async fn a_field_nobody_defined_is_named() {
        let me = || answer(200, json!({"success": true, "data": {"company_id": 77}}));
        let (_, pipedrive) = open(&["nmae"], [me()]);
        let trouble = pipedrive.account().await.unwrap_err();
        assert_eq!(trouble.code(), "forbidden");
        assert!(trouble.to_string().contains("nmae"), "{trouble}");
        let bare = || list(vec![json!({"id": 1, "custom_fields": {}})], None);
        let definitions = || list(vec![json!({"field_code": "0a1b", "options": null})], None);
        let (_, pipedrive) = open(&["custom_fields.0a1b"], [bare(), definitions()]);
        assert!(
            pipedrive.fetch(vec!["1".into()]).await.unwrap()[0].fields.is_empty(),
            "defined and not sent is absent"
        );
        let (_, pipedrive) = open(&["custom_fields.0a1c"], [bare(), definitions()]);
        let trouble = pipedrive.fetch(vec!["1".into()]).await.unwrap_err();
        assert!(trouble.code() == "forbidden" && trouble.to_string().contains("custom_fields.0a1c"), "{trouble}");
    }

    #[tokio::test(start_paused = true)]
    async fn ids_are_asked_for_by_the_hundred_and_may_be_missing() {
        let (script, pipedrive) = open(&["name"], [list(vec![person(7)], None), list(vec![], None)]);
        let ids = (1..=150).map(|n: u32| n.to_string()).chain(["x".to_owned()]).collect();
        let records = pipedrive.fetch(ids).await.unwrap();
        assert_eq!(records.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["7"]);
        let asked = script.asked();
        assert_eq!(asked.iter().map(|a| a.query("ids").unwrap().split(',').count()).collect::<Vec<_>>(), [100, 50]);
    }

    #[tokio::test(start_paused = true)]
    async fn labels_and_organizations_are_looked_up_for_those_who_have_them() {
        let definitions = |label: &str| json!({"field_code": "label_ids", "options": [{"id": 2, "label": label}]});
        let (script, pipedrive) = open(
            &["labels", "org.name"],
            [
                list(vec![person(1), person(2)], Some("c1")),
                list(vec![json!({"field_code": "name"})], Some("f1")),
                list(vec![definitions("Customer")], None),
                list(vec![json!({"id": 12, "name": "Acme"})], None),
                list(vec![person(3)], None),
            ],
        );
        let first = pipedrive.everyone(Detail::Records, None).await.unwrap();
        for sighting in &first.sightings {
            let fields = &sighting.record.as_ref().unwrap().fields;
            assert_eq!(Value::Object(fields.clone()), json!({"labels": ["Customer"], "org.name": "Acme"}));
        }
        let second = pipedrive.everyone(Detail::Records, first.next).await.unwrap();
        assert_eq!(second.sightings[0].record.as_ref().unwrap().fields["org.name"], "Acme");
        let asked = script.asked();
        let (persons, fields) = ("/api/v2/persons", "/api/v2/personFields");
        assert_eq!(paths(&asked), [persons, fields, fields, "/api/v2/organizations", persons]);
        assert_eq!(asked[3].query("ids").as_deref(), Some("12"));
    }
}
