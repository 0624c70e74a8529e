//! A window of changes: the contacts that changed, and then, where the map reads companies, the contacts of companies
//! that did. Both are found by search within the same frozen window.

use crate::crm::hubspot::HubSpot;
use crate::crm::hubspot::place::InWindow;
use crate::crm::hubspot::search::CONTACTS;
use crate::crm::hubspot::touched::of_companies;
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Sighting, Window};

impl HubSpot {
    /// The page at this place.
    pub(super) async fn window(&self, window: Window, resume: Option<&Resume>) -> Result<Page, Trouble> {
        let mut place = InWindow::parse(resume)?;
        loop {
            let among_contacts = matches!(place, InWindow::Contacts { .. });
            let (sightings, next) = match place {
                InWindow::Contacts { after } => self.changed(window, after).await?,
                InWindow::Companies { after, of } => self.touched(window, after, of).await?,
            };
            match next {
                // When no contact changed, there is no page to settle before the companies.
                Some(next) if among_contacts && sightings.is_empty() => place = next,
                next => {
                    let next = next.map(|next| next.resume()).transpose()?;
                    return Ok(Page { sightings, next, ..Page::default() });
                }
            }
        }
    }

    /// Contacts that changed within the window, beyond this id, and where it goes on.
    ///
    /// A row may show a stamp outside the window (the match is on an older index entry). It is passed on as it is: it is a
    /// person who changed, and no cursor is ever made of a row's stamp.
    async fn changed(&self, window: Window, after: u64) -> Result<(Vec<Sighting>, Option<InWindow>), Trouble> {
        let found = self.search(&CONTACTS, window, after).await?;
        let next = if found.more {
            Some(InWindow::Contacts { after: found.last })
        } else {
            let companies = of_companies(window).filter(|_| !self.wanted.company.is_empty());
            companies.map(|_| InWindow::Companies { after: 0, of: Vec::new() })
        };
        let alive = found.objects.iter().filter(|contact| !contact.archived);
        let sighting =
            alive.map(|contact| Sighting { id: contact.id.clone(), modified: contact.modified(), record: None });
        Ok((sighting.collect(), next))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::crm::hubspot::rig::{binned, contact, contacts, found, open, paths, sighted};
    use crate::crm::script::{answer, window};
    use crate::sync::source::{ContactSource, Trail};

    #[tokio::test(start_paused = true)]
    async fn a_window_is_walked_by_id_and_always_from_page_one() {
        let next = json!({"next": {"after": "200"}});
        let (script, hubspot) = open(
            &["email"],
            [
                answer(200, json!({"total": 3, "results": contacts(&["99", "100"]), "paging": next})),
                answer(200, json!({"total": 1, "results": contacts(&["101"]), "paging": next})),
                found(0, &[]),
            ],
        );
        let first = hubspot.changes(window(), None).await.unwrap();
        let second = hubspot.changes(window(), first.next).await.unwrap();
        let third = hubspot.changes(window(), second.next).await.unwrap();
        assert_eq!(third, Page::default());
        assert!(first.sightings.iter().all(|s| s.record.is_none()), "search finds ids; the truth is read by id");
        let asked = script.asked();
        let beyond: Vec<Value> =
            asked.iter().map(|a| a.json()["filterGroups"][0]["filters"][2]["value"].clone()).collect();
        assert_eq!(beyond, ["0", "100", "101"]);
        assert!(asked.iter().all(|a| a.json().get("after").is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_of_one_stamp_are_walked_to_their_end() {
        let ids: Vec<String> = (1..=12_000).map(|id: u32| id.to_string()).collect();
        let answers = ids.chunks(200).enumerate().map(|(n, page)| {
            let page: Vec<&str> = page.iter().map(String::as_str).collect();
            found(12_000 - n * 200, &page)
        });
        let (_, hubspot) = open(&["email"], answers);
        let (mut seen, mut resume) = (0, None);
        loop {
            let page = hubspot.changes(window(), resume).await.unwrap();
            seen += page.sightings.len();
            resume = page.next;
            if resume.is_none() {
                break;
            }
        }
        assert_eq!((seen, hubspot.requests()), (12_000, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_outside_the_window_is_passed_on_with_its_own_stamp() {
        let mut late = contact("7");
        late["properties"]["lastmodifieddate"] = json!("2026-11-02T11:00:00Z");
        let (_, hubspot) = open(&["email"], [answer(200, json!({"total": 1, "results": [late]}))]);
        let page = hubspot.changes(window(), None).await.unwrap();
        assert_eq!(page.sightings[0].modified.unwrap().to_rfc3339(), "2026-11-02T11:00:00+00:00");
        assert_eq!(page.next, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_the_recycle_bin_is_not_sighted() {
        let both = answer(200, json!({"total": 2, "results": [contact("4"), binned("5")]}));
        let (_, hubspot) = open(&["email"], [both]);
        assert_eq!(sighted(&hubspot.changes(window(), None).await.unwrap()), ["4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_index_shows_late_is_read_again() {
        let (_, hubspot) = open(&[], []);
        assert_eq!(hubspot.overlap(), Duration::from_secs(900));
        let hour = Duration::from_secs(3600);
        assert_eq!(hubspot.trail(), Some(Trail { behind: hour, every: hour }));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_is_one_page_and_costs_a_request_for_each_object_the_map_reads() {
        for (fields, requests) in [(["email"], 1), (["company.name"], 2)] {
            let portal = answer(200, json!({"portalId": 1234}));
            let answers = [portal].into_iter().chain((0..requests).map(|_| found(0, &[])));
            let (script, hubspot) = open(&fields, answers);
            hubspot.account().await.unwrap();
            hubspot.bound().await.unwrap();
            assert_eq!(hubspot.account().await.unwrap().id, "1234", "asked for once, whatever the number of polls");
            assert_eq!(hubspot.changes(window(), None).await.unwrap(), Page::default());
            assert_eq!(script.asked().len(), 1 + requests);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn companies_follow_the_contacts_of_the_same_window_less_its_overlap_a_minute_behind() {
        let (script, hubspot) = open(&["company.name"], [found(1, &["7"]), found(0, &[])]);
        let page = hubspot.changes(window(), None).await.unwrap();
        assert_eq!(sighted(&page), ["7"]);
        assert_eq!(hubspot.changes(window(), page.next).await.unwrap(), Page::default());
        let asked = script.asked();
        assert_eq!(paths(&asked)[1], "/crm/objects/2026-03/companies/search");
        let bound = |n: usize, filter: usize| asked[n].json()["filterGroups"][0]["filters"][filter]["value"].clone();
        let later = |n| [0, 1].map(|search| bound(search, n).as_str().unwrap().parse::<i64>().unwrap());
        let [[contacts_lo, companies_lo], [contacts_hi, companies_hi]] = [later(0), later(1)];
        assert_eq!((companies_lo - contacts_lo) / 1_000, 14 * 60, "a minute before the overlap ends");
        assert_eq!((companies_hi - contacts_hi) / 1_000, -60, "and to a minute before the end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_of_overlap_alone_has_no_companies() {
        let Window { lo, .. } = window();
        let (script, hubspot) = open(&["company.name"], [found(1, &["7"])]);
        let page = hubspot.changes(Window { lo, hi: lo + hubspot.overlap() }, None).await.unwrap();
        assert_eq!((sighted(&page), &page.next, script.asked().len()), (vec!["7"], &None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_among_companies_that_the_map_reads_no_longer_is_the_end() {
        let kept = Resume(r#"{"part":"companies","after":7,"of":[{"id":"9"}]}"#.into());
        let (_, hubspot) = open(&["email"], []);
        assert_eq!(hubspot.changes(window(), Some(kept)).await.unwrap(), Page::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_refused_is_a_credential() {
        let (_, hubspot) = open(&["email"], [answer(401, json!({"category": "EXPIRED_AUTHENTICATION"}))]);
        assert_eq!(hubspot.changes(window(), None).await.unwrap_err().code(), "credential");
    }
}
