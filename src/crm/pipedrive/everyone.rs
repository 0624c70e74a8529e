//! Everyone, by id and without a time filter, which rows without a stamp would fail.
//!
//! A label or an option that was renamed moves no stamp. The list carries whole persons, so a sweep lets everybody who has
//! any be looked at whatever their stamps say. Where the map reads organizations that would cost requests for everybody:
//! there a sweep shows stamps alone, a renamed label is seen at the person's next change, and an organization's change is
//! found by the trail.

use std::collections::HashSet;

use crate::crm::pipedrive::listing::PERSONS;
use crate::crm::pipedrive::organizations::Freshness;
use crate::crm::pipedrive::place::Place;
use crate::crm::pipedrive::wire::{self, Fields, Row};
use crate::crm::pipedrive::{Pipedrive, changes};
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Sighting};
use crate::sync::source::Detail;

impl Pipedrive {
    /// One page of everyone.
    pub(super) async fn list(&self, detail: Detail, resume: Option<Resume>) -> Result<Page, Trouble> {
        let query = changes::everyone(&self.sent().await?);
        let (mut rows, next) = self.walk(PERSONS, &query, Place::parse(resume)).await?;
        let departed = wire::tombstones(&mut rows)?;
        // The list carries whole persons; only their organizations would cost requests.
        let sightings = if detail == Detail::Records {
            self.sightings(rows, Freshness::Lately).await?
        } else if self.wanted.organization.is_empty() {
            self.looked_at(rows).await?
        } else {
            let stamp = |row: &Row| Ok(Sighting { id: wire::id(row)?, modified: wire::modified(row), record: None });
            rows.iter().map(stamp).collect::<Result<_, Trouble>>()?
        };
        Ok(Page { sightings, departed, next: next.map(|next| next.resume()).transpose()? })
    }

    /// These rows with their records, and without a stamp where labels or options stand in them.
    async fn looked_at(&self, rows: Vec<Row>) -> Result<Vec<Sighting>, Trouble> {
        let has_options = |row: &&Row| self.wanted.persons.unexplained(&[*row], &Fields::new());
        let unstamped: HashSet<String> = rows.iter().filter(has_options).map(wire::id).collect::<Result<_, _>>()?;
        let mut sightings = self.sightings(rows, Freshness::Lately).await?;
        for sighting in &mut sightings {
            sighting.modified = sighting.modified.filter(|_| !unstamped.contains(&sighting.id));
        }
        Ok(sightings)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::pipedrive::rig::{list, open, person};
    use crate::domain::record::Departed;
    use crate::sync::source::ContactSource;

    #[tokio::test(start_paused = true)]
    async fn a_sweep_lets_labels_be_looked_at_whose_renaming_moves_no_stamp() {
        let plain = json!({"id": 2, "label_ids": [], "update_time": "2026-11-02T09:30:00Z"});
        let rows = || list(vec![person(1), plain.clone()], None);
        let definitions =
            || list(vec![json!({"field_code": "label_ids", "options": [{"id": 2, "label": "Hot"}]})], None);
        let stamped = |page: &Page| page.sightings.iter().map(|s| s.modified.is_some()).collect::<Vec<_>>();
        let (script, pipedrive) = open(&["labels"], [rows(), definitions()]);
        let page = pipedrive.everyone(Detail::Stamps, None).await.unwrap();
        assert_eq!(stamped(&page), [false, true]);
        let record = page.sightings[0].record.as_ref().unwrap();
        assert!(record.fields["labels"] == json!(["Hot"]) && record.modified.is_some());
        script.asked();
        for (fields, detail) in [(&["labels"][..], Detail::Records), (&["name"][..], Detail::Stamps)] {
            let (_, pipedrive) = open(fields, [rows(), definitions()]);
            assert_eq!(stamped(&pipedrive.everyone(detail, None).await.unwrap()), [true, true]);
        }
        let (script, pipedrive) = open(&["labels", "org.name"], [rows()]);
        let page = pipedrive.everyone(Detail::Stamps, None).await.unwrap();
        assert!(page.sightings.iter().all(|s| s.record.is_none()), "an organization would cost requests");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn tombstones_are_not_sighted_and_rows_without_a_stamp_are() {
        let gone = json!({"id": 3, "is_deleted": true, "update_time": "2026-11-02T09:30:00Z"});
        let old = json!({"id": 4, "update_time": null, "org_id": null});
        let rows = || list(vec![gone.clone(), old.clone()], None);
        for fields in [&["name"][..], &["name", "org.name"][..]] {
            let (_, pipedrive) = open(fields, [rows()]);
            let page = pipedrive.everyone(Detail::Stamps, None).await.unwrap();
            assert_eq!(page.sightings.iter().map(|s| (s.id.as_str(), s.modified)).collect::<Vec<_>>(), [("4", None)]);
            assert_eq!(page.departed, [Departed { id: "3".into(), modified: None }]);
        }
        let (_, pipedrive) = open(&["name"], [list(vec![json!({"name": "nobody"})], None)]);
        assert_eq!(pipedrive.everyone(Detail::Records, None).await.unwrap_err().code(), "unexpected_answer");
    }
}
