//! Persons as records: what their rows only point at is looked up, for a page at a time.

use std::collections::BTreeSet;

use crate::crm::pipedrive::listing::PERSONS;
use crate::crm::pipedrive::organizations::Freshness;
use crate::crm::pipedrive::persons::Known;
use crate::crm::pipedrive::single::{SINGLY, Single};
use crate::crm::pipedrive::wanted::Wanted;
use crate::crm::pipedrive::wire::{self, Row};
use crate::crm::pipedrive::{IDS, Pipedrive, changes};
use crate::domain::failure::Trouble;
use crate::domain::record::{Record, Sighting};
use crate::sync::source::Confirmed;

impl Pipedrive {
    /// These rows, each with its record.
    pub(super) async fn sightings(&self, rows: Vec<Row>, freshness: Freshness) -> Result<Vec<Sighting>, Trouble> {
        let records = self.records(rows, freshness).await?;
        Ok(records.into_iter().map(|r| Sighting { id: r.id.clone(), modified: r.modified, record: Some(r) }).collect())
    }

    /// The records of these rows. A tombstone is nobody to deliver.
    pub(super) async fn records(&self, mut rows: Vec<Row>, freshness: Freshness) -> Result<Vec<Record>, Trouble> {
        rows.retain(|row| !wire::is_deleted(row));
        let Wanted { persons, organization, .. } = &self.wanted;
        let persons = self.explained(persons, &rows.iter().collect::<Vec<_>>()).await?;
        let organizations = self.organizations_of(&rows, freshness).await?;
        let organization = self.explained(organization, &organizations.values().collect::<Vec<_>>()).await?;
        let known = Known { persons, organization, organizations };
        rows.iter().map(|row| self.wanted.record(row, &known)).collect()
    }

    /// Those with these ids, as far as they are shown.
    pub(super) async fn by_ids(&self, ids: &[String]) -> Result<Vec<Record>, Trouble> {
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).filter(|id| wire::is_id(id)).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let (mut rows, sent) = (Vec::new(), self.sent().await?);
        for chunk in ids.chunks(IDS) {
            if chunk.len() < SINGLY {
                rows.extend(self.singly(PERSONS, chunk, &changes::one(&sent)).await?);
            } else {
                rows.extend(self.with_ids(PERSONS, chunk, changes::list(&sent)).await?);
            }
        }
        self.records(rows, Freshness::Now).await
    }

    /// What is said of these persons, whom no list shows, one by one. An id that cannot be one of Pipedrive's stays.
    pub(super) async fn confirm(&self, ids: &[String]) -> Result<Confirmed, Trouble> {
        let (mut gone, mut rows) = (Vec::new(), Vec::new());
        let query = changes::one(&self.sent().await?);
        for id in ids.iter().filter(|id| wire::is_id(id)) {
            match self.single(PERSONS, id, &query).await? {
                Single::Gone => gone.push(id.clone()),
                Single::Shown(row) => rows.push(row),
                Single::Hidden => {}
            }
        }
        Ok(Confirmed { gone, shown: self.records(rows, Freshness::Now).await? })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::crm::pipedrive::rig::{list, one, open, paths, person};
    use crate::crm::script::answer;
    use crate::sync::source::{ContactSource, Detail};

    #[tokio::test(start_paused = true)]
    async fn ids_are_asked_for_by_the_hundred_and_may_be_missing() {
        let (script, pipedrive) = open(&["name"], [list(vec![], None), list(vec![person(7)], None)]);
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
                one(json!({"id": 12, "name": "Acme"})),
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
        assert_eq!(paths(&asked), [persons, fields, fields, "/api/v2/organizations/12", persons]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_to_be_let_go_is_asked_for_one_by_one() {
        let refused = |status| answer(status, json!({"success": false, "error": "no"}));
        let tombstone = one(json!({"id": 1, "is_deleted": true}));
        let (script, pipedrive) =
            open(&["name"], [tombstone, refused(403), one(person(3)), refused(404), refused(410)]);
        let ids = ["1", "2", "3", "4", "5", "../6"].map(str::to_owned).to_vec();
        let confirmed = pipedrive.confirm_gone(ids).await.unwrap();
        assert_eq!(confirmed.gone, ["1", "4", "5"]);
        assert_eq!(confirmed.shown.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["3"]);
        let persons = (1..=5).map(|id| format!("/api/v2/persons/{id}")).collect::<Vec<_>>();
        assert_eq!(paths(&script.asked()), persons);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_ids_are_asked_for_one_by_one_which_costs_less() {
        let ids = |number: u64| (1..=number).map(|n| n.to_string()).collect::<Vec<_>>();
        let absent = |status| answer(status, json!({"success": false}));
        let few = [one(person(1)), absent(404), absent(403), one(json!({"id": 4, "is_deleted": true}))];
        let (script, pipedrive) = open(&["name"], few.into_iter().chain((5..=9).map(|id| one(person(id)))));
        assert_eq!(pipedrive.fetch(ids(9)).await.unwrap().len(), 6);
        assert!(script.asked().iter().all(|asked| asked.query("ids").is_none()));
        let (script, pipedrive) = open(&["name"], [list(vec![person(1)], None)]);
        assert_eq!(pipedrive.fetch(ids(10)).await.unwrap().len(), 1);
        assert_eq!(script.asked().len(), 1);
    }
}
