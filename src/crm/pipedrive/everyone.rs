//! Everyone, by id and without a time filter, which rows without a stamp would fail.

use crate::crm::pipedrive::organizations::Freshness;
use crate::crm::pipedrive::wire::{self, Row};
use crate::crm::pipedrive::{Pipedrive, changes};
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Sighting};
use crate::sync::source::Detail;

impl Pipedrive {
    /// One page of everyone.
    pub(super) async fn list(&self, detail: Detail, resume: Option<Resume>) -> Result<Page, Trouble> {
        let (rows, next) = self.walk(&changes::everyone(&self.wanted.sent), resume).await?;
        // The list carries whole persons; only their organizations would cost requests.
        let sightings = if detail == Detail::Records || self.wanted.organization.is_empty() {
            self.sightings(rows, Freshness::Lately).await?
        } else {
            let stamp = |row: &Row| Ok(Sighting { id: wire::id(row)?, modified: wire::modified(row), record: None });
            rows.iter().filter(|row| !wire::is_deleted(row)).map(stamp).collect::<Result<_, Trouble>>()?
        };
        Ok(Page { sightings, next, ..Page::default() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::pipedrive::rig::{list, open};
    use crate::sync::source::ContactSource;

    #[tokio::test(start_paused = true)]
    async fn tombstones_are_not_sighted_and_rows_without_a_stamp_are() {
        let gone = json!({"id": 3, "is_deleted": true, "update_time": "2026-11-02T09:30:00Z"});
        let old = json!({"id": 4, "update_time": null, "org_id": null});
        let rows = || list(vec![gone.clone(), old.clone()], None);
        for fields in [&["name"][..], &["name", "org.name"][..]] {
            let (_, pipedrive) = open(fields, [rows()]);
            let page = pipedrive.everyone(Detail::Stamps, None).await.unwrap();
            assert_eq!(page.sightings.iter().map(|s| (s.id.as_str(), s.modified)).collect::<Vec<_>>(), [("4", None)]);
        }
        let (_, pipedrive) = open(&["name"], [list(vec![json!({"name": "nobody"})], None)]);
        assert_eq!(pipedrive.everyone(Detail::Records, None).await.unwrap_err().code(), "unexpected_answer");
    }
}
