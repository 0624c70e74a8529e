//! The organizations that persons belong to, read by the hundred, or a few singly.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::crm::pipedrive::listing::ORGANIZATIONS;
use crate::crm::pipedrive::persons::Organizations;
use crate::crm::pipedrive::single::SINGLY;
use crate::crm::pipedrive::wire::{self, LIMIT, Row};
use crate::crm::pipedrive::{IDS, Pipedrive};
use crate::domain::failure::Trouble;

/// While everyone is read, colleagues share an organization; it is read once in this time, and at most so many are
/// kept.
const ORGANIZATIONS_LAST: Duration = Duration::from_secs(5 * 60);
const ORGANIZATIONS_KEPT: usize = 5_000;

/// Whether an organization read a moment ago will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It was changed perhaps together with the person: read it.
    Now,
    /// It is one of many.
    Lately,
}

/// Those read lately.
#[derive(Default)]
pub(super) struct Read(Mutex<HashMap<String, (Instant, Row)>>);

impl Read {
    /// Those of these organizations that were read a moment ago.
    fn known(&self, ids: &BTreeSet<String>, now: Instant) -> Organizations {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |id: &String| {
            let (read, fields) = kept.get(id)?;
            (now.saturating_duration_since(*read) < ORGANIZATIONS_LAST).then(|| (id.clone(), fields.clone()))
        };
        ids.iter().filter_map(fresh).collect()
    }

    /// Keeps what was read now, and lets go of what is old.
    fn keep(&self, read: &Organizations, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (since, _)| now.saturating_duration_since(*since) < ORGANIZATIONS_LAST);
        if kept.len() + read.len() > ORGANIZATIONS_KEPT {
            kept.clear();
        }
        kept.extend(read.iter().map(|(id, fields)| (id.clone(), (now, fields.clone()))));
    }
}

impl Pipedrive {
    /// The organizations of these persons, as far as they are shown.
    pub(super) async fn organizations_of(
        &self,
        persons: &[Row],
        freshness: Freshness,
    ) -> Result<Organizations, Trouble> {
        let mut ids: BTreeSet<String> = self.wanted.organizations(persons);
        let mut found = Organizations::new();
        if freshness == Freshness::Lately {
            found = self.organizations.known(&ids, self.clock.instant());
            ids.retain(|id| !found.contains_key(id));
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| wire::is_id(id)).collect();
        for chunk in ids.chunks(IDS) {
            let rows = if chunk.len() < SINGLY {
                self.singly(ORGANIZATIONS, chunk, &Vec::new()).await?
            } else {
                self.with_ids(ORGANIZATIONS, chunk, vec![("limit", LIMIT.to_owned())]).await?
            };
            found.extend(self.keep_organizations(&rows)?);
        }
        Ok(found)
    }

    /// Keeps the fields of these organizations, read just now, for a while.
    pub(super) fn keep_organizations(&self, rows: &[Row]) -> Result<Organizations, Trouble> {
        let living = rows.iter().filter(|organization| !wire::is_deleted(organization));
        let fields = |organization: &Row| Ok((wire::id(organization)?, self.wanted.organization.kept(organization)));
        let read = living.map(fields).collect::<Result<Organizations, Trouble>>()?;
        self.organizations.keep(&read, self.clock.instant());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::crm::pipedrive::rig::{list, one, open, person};
    use crate::crm::script::window;
    use crate::sync::source::ContactSource;

    #[tokio::test(start_paused = true)]
    async fn a_poll_reads_organizations_anew() {
        let organization = |name: &str| one(json!({"id": 12, "name": name}));
        let answers = [
            list(vec![person(1)], None),
            organization("Acme"),
            list(vec![person(1)], None),
            organization("Acme Nordic"),
        ];
        let (_, pipedrive) = open(&["org.name"], answers);
        for expected in ["Acme", "Acme Nordic"] {
            let page = pipedrive.changes(window(), None).await.unwrap();
            assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["org.name"], expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn organizations_are_asked_for_by_the_hundred_and_their_tombstones_are_not_shown() {
        let persons = (1..=150).map(|n| json!({"id": n, "org_id": n})).collect::<Vec<_>>();
        let gone = json!({"id": 7, "name": "Acme", "is_deleted": true});
        let (script, pipedrive) =
            open(&["org.name"], [list(persons, None), list(vec![], None), list(vec![gone], None)]);
        let page = pipedrive.changes(window(), None).await.unwrap();
        assert!(page.sightings.iter().all(|s| s.record.as_ref().unwrap().fields.is_empty()), "not shown is not null");
        let asked = script.asked();
        assert_eq!(
            asked[1..].iter().map(|a| a.query("ids").unwrap().split(',').count()).collect::<Vec<_>>(),
            [100, 50]
        );
    }
}
