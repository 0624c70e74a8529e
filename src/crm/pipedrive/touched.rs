//! The persons of organizations that changed. An organization's fields stand in its persons' records, and whether a
//! change of them moves the persons' stamps is not documented; so they are looked at whatever their stamps say.
//!
//! It is read as the trail of the polls, about once an hour: ten tokens a page of organizations, and ten for each one of
//! them that has persons. The overlap before the window is read again like that of a poll, so each organization's persons
//! are looked at twice at most. After an import, a change of 1,000 organizations costs 10,000 tokens; to walk everybody
//! instead would cost ten for 500 persons and as much again for their organizations, but how many persons there are,
//! Pipedrive does not tell. A page of persons is a page of the listing: an organization with 50,000 is never all held.

use crate::crm::pipedrive::listing::{ORGANIZATIONS, PERSONS};
use crate::crm::pipedrive::organizations::Freshness;
use crate::crm::pipedrive::place::InTrail;
use crate::crm::pipedrive::single::Single;
use crate::crm::pipedrive::wire::{self, Row};
use crate::crm::pipedrive::{Pipedrive, changes};
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Sighting, Window};

/// As many requests, or persons, make a page.
const REQUESTS: usize = 10;
const PERSONS_AT_ONCE: usize = 500;

impl Pipedrive {
    /// A page of the persons of organizations that changed within the window.
    pub(super) async fn touched(&self, window: Window, resume: Option<&Resume>) -> Result<Page, Trouble> {
        let mut place = InTrail::parse(resume)?;
        let mut page = Page::default();
        for _ in 0..REQUESTS {
            let (sightings, next) = match place.of.first().cloned() {
                Some(organization) => self.persons_of(&organization, place).await?,
                None => (Vec::new(), self.changed_organizations(window, place).await?),
            };
            page.sightings.extend(sightings);
            place = next;
            if place.is_end() || page.sightings.len() >= PERSONS_AT_ONCE {
                break;
            }
        }
        page.next = place.resume()?;
        Ok(page)
    }

    /// The next organizations that changed. Their fields are kept for their persons' records.
    async fn changed_organizations(&self, window: Window, place: InTrail) -> Result<InTrail, Trouble> {
        let (rows, beyond) = self.walk(ORGANIZATIONS, &changes::organizations(window), place.beyond).await?;
        changes::demand_within(window, &rows)?;
        self.keep_organizations(&rows)?;
        let people = |row: &&Row| row.get("people_count").and_then(serde_json::Value::as_u64) != Some(0);
        let of = rows.iter().filter(|row| !wire::is_deleted(row)).filter(people).map(wire::id);
        Ok(InTrail { of: of.collect::<Result<_, _>>()?, within: None, beyond })
    }

    /// A page of the persons of the first organization of a place, and the place behind it.
    async fn persons_of(&self, organization: &str, place: InTrail) -> Result<(Vec<Sighting>, InTrail), Trouble> {
        let InTrail { mut of, within, beyond } = place;
        let query = changes::persons_of(organization, &self.sent().await?);
        let (rows, within) = match self.walk(PERSONS, &query, within).await {
            // What is answered for an organization that was deleted since it was listed is documented nowhere.
            Err(Trouble::Protocol(_)) if self.is_gone(organization).await? => (Vec::new(), None),
            walked => walked?,
        };
        if rows.iter().filter_map(wire::organization).any(|id| id.as_deref() != Some(organization)) {
            let told = "Pipedrive was asked for the persons of one organization and sent others";
            return Err(Trouble::Protocol(told.into()));
        }
        let mut sightings = self.sightings(rows, Freshness::Lately).await?;
        // Without a stamp, a sighting is looked at although its person's stamp is known.
        sightings.iter_mut().for_each(|sighting| sighting.modified = None);
        if within.is_none() {
            of.remove(0);
        }
        Ok((sightings, InTrail { of, within, beyond }))
    }

    async fn is_gone(&self, organization: &str) -> Result<bool, Trouble> {
        Ok(!matches!(self.single(ORGANIZATIONS, organization, &Vec::new()).await?, Single::Shown(_)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::crm::pipedrive::rig::{list, one, open, paths};
    use crate::crm::script::{Asked, answer, window};
    use crate::sync::source::ContactSource;

    #[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
    fn organization(id: u64, people: Value) -> Value {
        json!({"id": id, "name": format!("Acme {id}"), "update_time": "2026-11-02T09:30:00Z", "people_count": people})
    }

    fn of(organization: u64, id: u64) -> Value {
        json!({"id": id, "org_id": organization, "update_time": "2026-01-01T00:00:00Z"})
    }

    fn of_organizations(asked: &[Asked]) -> Vec<Option<String>> {
        asked.iter().map(|asked| asked.query("org_id")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_persons_of_a_changed_organization_are_looked_at_whatever_their_stamps() {
        let organizations = vec![organization(12, json!(2)), organization(13, json!(0)), organization(14, Value::Null)];
        let tombstone = json!({"id": 15, "is_deleted": true, "update_time": "2026-11-02T09:30:00Z"});
        let (script, pipedrive) = open(
            &["org.name"],
            [
                list([organizations, vec![tombstone]].concat(), None),
                list(vec![of(12, 1), of(12, 2)], None),
                list(vec![of(14, 3)], None),
            ],
        );
        let page = pipedrive.trailing(window(), None).await.unwrap();
        let seen: Vec<_> = page.sightings.iter().map(|s| (s.id.as_str(), s.modified)).collect();
        assert_eq!(seen, [("1", None), ("2", None), ("3", None)]);
        let record = page.sightings[2].record.as_ref().unwrap();
        assert!(record.modified.is_some() && record.fields["org.name"] == "Acme 14", "{record:?}");
        assert_eq!(page.next, None);
        let asked = script.asked();
        let persons = "/api/v2/persons";
        assert_eq!(paths(&asked), ["/api/v2/organizations", persons, persons], "what is known is not looked up again");
        assert_eq!(of_organizations(&asked), [None, Some("12".into()), Some("14".into())]);
        for (name, value) in [
            ("updated_since", "2026-11-02T09:00:00Z"),
            ("updated_until", "2026-11-02T10:00:00Z"),
            ("sort_by", "update_time"),
            ("limit", "500"),
        ] {
            assert_eq!(asked[0].query(name).as_deref(), Some(value));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_organization_that_is_deleted_while_its_persons_are_read_is_passed_by() {
        let refused = || answer(400, json!({"success": false, "error": "Invalid org_id"}));
        let listed = || list(vec![organization(12, json!(1)), organization(13, json!(1))], None);
        let gone = answer(404, json!({"success": false, "error": "Organization not found"}));
        let (script, pipedrive) = open(&["org.name"], [listed(), refused(), gone, list(vec![of(13, 1)], None)]);
        let page = pipedrive.trailing(window(), None).await.unwrap();
        assert_eq!((page.sightings.len(), page.next), (1, None));
        assert_eq!(paths(&script.asked())[2], "/api/v2/organizations/12");

        let there = one(organization(12, json!(1)));
        let (_, pipedrive) = open(&["org.name"], [listed(), refused(), there]);
        assert_eq!(pipedrive.trailing(window(), None).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_organization_is_read_page_by_page_and_goes_on_after_a_restart() {
        let many = |from: u64| (from..from + 500).map(|id| of(12, id)).collect::<Vec<_>>();
        let (script, pipedrive) = open(
            &["org.name"],
            [
                list(vec![organization(12, json!(1_001)), organization(13, json!(1))], Some("o2")),
                list(many(1), Some("p2")),
                list(many(501), Some("p3")),
            ],
        );
        let first = pipedrive.trailing(window(), None).await.unwrap();
        let second = pipedrive.trailing(window(), first.next).await.unwrap();
        assert_eq!((first.sightings.len(), second.sightings.len()), (500, 500));
        script.asked();
        // Another process, which has not read the organizations.
        let (script, pipedrive) = open(
            &["org.name"],
            [
                list(vec![of(12, 1_001)], None),
                one(organization(12, Value::Null)),
                list(vec![of(13, 2_000)], None),
                one(organization(13, Value::Null)),
                list(vec![], None),
            ],
        );
        let third = pipedrive.trailing(window(), second.next).await.unwrap();
        assert_eq!((third.sightings.len(), third.next), (2, None));
        let asked = script.asked();
        assert_eq!(asked[0].query("cursor").as_deref(), Some("p3"));
        assert_eq!(asked[4].query("cursor").as_deref(), Some("o2"), "the organizations beyond");
    }

    #[tokio::test(start_paused = true)]
    async fn small_organizations_share_a_page_of_ten_requests() {
        let organizations: Vec<_> = (1..=12).map(|id| organization(id, json!(1))).collect();
        let answers = (1..=12).map(|id| list(vec![of(id, id)], None));
        let (script, pipedrive) = open(&["org.name"], [list(organizations, None)].into_iter().chain(answers));
        let first = pipedrive.trailing(window(), None).await.unwrap();
        let second = pipedrive.trailing(window(), first.next).await.unwrap();
        assert_eq!((first.sightings.len(), second.sightings.len(), second.next), (9, 3, None));
        assert_eq!(script.asked().len(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn persons_of_others_and_organizations_of_another_time_are_trouble() {
        let before = json!({"id": 12, "update_time": "2026-11-02T08:59:59Z"});
        let asked_for = || list(vec![organization(12, json!(1))], None);
        for answers in [vec![list(vec![before], None)], vec![asked_for(), list(vec![of(12, 1), of(13, 2)], None)]] {
            let (_, pipedrive) = open(&["org.name"], answers);
            assert_eq!(pipedrive.trailing(window(), None).await.unwrap_err().code(), "unexpected_answer");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_trail_is_read_on_every_sixth_poll_and_only_where_organizations_are() {
        let (_, pipedrive) = open(&["name"], []);
        assert_eq!(pipedrive.trail(), None);
        let (_, pipedrive) = open(&["org.name"], []);
        let trail = pipedrive.trail().unwrap();
        assert_eq!(trail.behind, Duration::ZERO, "the window ends where the polls have read to");
        let ten_minutes = Duration::from_secs(600);
        assert!(trail.every > 5 * ten_minutes && trail.every < 6 * ten_minutes);
        assert!(pipedrive.overlap() < trail.every, "no organization lies in three windows");
    }
}
