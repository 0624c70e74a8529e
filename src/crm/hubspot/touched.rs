//! The contacts of companies that changed. A company's fields stand in its contacts' records and a change of them does
//! not move the contacts' stamps, so they are looked at whatever their stamps say.
//!
//! A page of associations is a page of the listing: a company may have 50,000 contacts, and they are never all held.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::crm::hubspot::associations::{CONTACTS_OF, Input};
use crate::crm::hubspot::place::InWindow;
use crate::crm::hubspot::search::COMPANIES;
use crate::crm::hubspot::{HubSpot, OVERLAP};
use crate::domain::failure::Trouble;
use crate::domain::record::{Sighting, Window};

/// Companies asked about at once: each may bring a page of contacts.
const AT_ONCE: usize = 100;
/// As many contacts make a page; the one list that reaches this is taken whole.
const CONTACTS: usize = 500;

/// What a search shows a few moments late is in time so far behind.
const BEHIND: Duration = Duration::from_secs(60);

/// The part of a window in which companies are read; `None` if nothing is left of it.
///
/// The overlap before the window is left out. A contact that is read again rests, because the ledger knows its stamp; it
/// knows none of companies, and all of a company's contacts would be read again. What the index shows too late for this
/// is found by the trail, for which each window is read once more. So that this is rare, companies are read a minute
/// behind: one window still begins where the one before it ended.
pub(super) fn of_companies(window: Window) -> Option<Window> {
    let lo = window.lo + OVERLAP;
    (lo < window.hi).then(|| Window { lo: lo - BEHIND, hi: window.hi - BEHIND })
}

impl HubSpot {
    /// Contacts of companies that changed within the window, and where it goes on.
    pub(super) async fn touched(
        &self,
        window: Window,
        after: u64,
        of: Vec<Input>,
    ) -> Result<(Vec<Sighting>, Option<InWindow>), Trouble> {
        // Kept by a version, or under a map, that read companies.
        let Some(window) = of_companies(window).filter(|_| !self.wanted.company.is_empty()) else {
            return Ok((Vec::new(), None));
        };
        let (after, of, more) = if of.is_empty() {
            let found = self.search(&COMPANIES, window, after).await?;
            (found.last, found.objects.iter().map(|company| Input::new(&company.id)).collect(), found.more)
        } else {
            (after, of, true)
        };
        let (contacts, of) = self.contacts_of(of).await?;
        // Without a stamp, a sighting is looked at although its contact's stamp is known.
        let sighting = |id| Sighting { id, modified: None, record: None };
        let next = (more || !of.is_empty()).then_some(InWindow::Companies { after, of });
        Ok((contacts.into_iter().map(sighting).collect(), next))
    }

    /// A page of the contacts whose primary company one of these is, and the companies that have more to show.
    async fn contacts_of(&self, mut of: Vec<Input>) -> Result<(BTreeSet<String>, Vec<Input>), Trouble> {
        let mut rest = of.split_off(of.len().min(AT_ONCE));
        let mut linked = if of.is_empty() { Default::default() } else { self.linked(&CONTACTS_OF, &of).await? };
        let (mut contacts, mut later) = (BTreeSet::new(), Vec::new());
        for input in of {
            if contacts.len() >= CONTACTS {
                later.push(input);
                continue;
            }
            // A company of which HubSpot will not speak has died a moment ago.
            let Some(page) = linked.remove(&input.id) else { continue };
            contacts.extend(page.primary);
            // Long lists come last, so that the others are not asked for with each of their pages.
            rest.extend(page.after.map(|after| Input { after: Some(after), id: input.id }));
        }
        later.extend(rest);
        Ok((contacts, later))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::hubspot::associations::Input;
    use crate::crm::hubspot::rig::{all, found, linked, linked_on, open, paths, sighted, without};
    use crate::crm::script::{answer, window};
    use crate::domain::record::{Page, Resume};
    use crate::sync::source::ContactSource;

    fn among(of: &[Input]) -> Option<Resume> {
        Some(InWindow::Companies { after: 0, of: of.to_vec() }.resume().unwrap())
    }

    fn inputs(asked: &Value) -> Vec<&str> {
        asked["inputs"].as_array().unwrap().iter().map(|input| input["id"].as_str().unwrap()).collect()
    }

    fn numbers(from: u64, count: u64) -> Vec<u64> {
        (from..from + count).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_contacts_of_a_changed_company_are_looked_at_whatever_their_stamps() {
        let unlabelled = json!({"category": "HUBSPOT_DEFINED", "typeId": 280, "label": null});
        let mut some = linked("9001", &[71, 70], 2);
        some["to"].as_array_mut().unwrap().push(json!({"toObjectId": 72, "associationTypes": [unlabelled]}));
        let partly = json!({"results": [some], "errors": [without(&["9002"])]});
        let (script, hubspot) =
            open(&["company.name"], [found(0, &[]), found(2, &["9001", "9002"]), answer(207, partly)]);
        let page = hubspot.changes(window(), None).await.unwrap();
        let sighting = |id: &str| Sighting { id: id.to_owned(), modified: None, record: None };
        assert_eq!(page.sightings, [sighting("70"), sighting("71")], "of another's primary company nothing is shown");
        assert_eq!(page.next, None);
        let asked = script.asked();
        assert_eq!(paths(&asked)[2], "/crm/associations/2026-03/companies/contacts/batch/read");
        assert_eq!(asked[2].json(), json!({"inputs": [{"id": "9001"}, {"id": "9002"}]}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_company_with_many_contacts_is_read_page_by_page_and_after_the_others() {
        let of = [Input::new("1"), Input::new("2")];
        let (script, hubspot) = open(
            &["company.name"],
            [
                all([linked_on("1", &numbers(1_000, 400), 2, "p2"), linked("2", &[5], 2)]),
                all([linked_on("1", &numbers(2_000, 400), 2, "p3")]),
                all([linked("1", &[6], 2)]),
                found(0, &[]),
            ],
        );
        let (mut sizes, mut resume) = (Vec::new(), among(&of));
        while resume.is_some() {
            let page = hubspot.changes(window(), resume).await.unwrap();
            sizes.push(page.sightings.len());
            resume = page.next;
        }
        assert_eq!(sizes, [401, 400, 1, 0]);
        let asked = script.asked();
        assert_eq!(asked[1].json(), json!({"inputs": [{"id": "1", "after": "p2"}]}));
        assert_eq!(asked[2].json(), json!({"inputs": [{"id": "1", "after": "p3"}]}));
        assert!(paths(&asked)[3].ends_with("/companies/search"), "the companies beyond");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_full_at_some_five_hundred_and_the_rest_is_asked_for_again() {
        let of = ["1", "2", "3"].map(Input::new);
        let answered = |of: &[&str]| {
            let lists = of.iter().map(|id| linked(id, &numbers(1_000 * id.parse::<u64>().unwrap(), 300), 2));
            all(lists.collect::<Vec<_>>())
        };
        let (script, hubspot) = open(&["company.name"], [answered(&["3", "1", "2"]), answered(&["3"]), found(0, &[])]);
        let first = hubspot.changes(window(), among(&of)).await.unwrap();
        let second = hubspot.changes(window(), first.next).await.unwrap();
        let third = hubspot.changes(window(), second.next).await.unwrap();
        assert_eq!((first.sightings.len(), second.sightings.len(), third), (600, 300, Page::default()));
        assert_eq!(inputs(&script.asked()[1].json()), ["3"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_companies_are_asked_about_at_once_and_a_search_brings_two_hundred() {
        let ids: Vec<String> = (1_000..1_200).map(|id: u32| id.to_string()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let nobody = |of: &[&str]| answer(207, json!({"results": [], "errors": [without(of)]}));
        let answers = [found(0, &[]), found(201, &ids), nobody(&ids[..100]), nobody(&ids[100..]), found(1, &["1200"])];
        let (script, hubspot) = open(&["company.name"], answers.into_iter().chain([nobody(&["1200"])]));
        let mut resume = None;
        loop {
            let page = hubspot.changes(window(), resume).await.unwrap();
            assert!(sighted(&page).is_empty());
            resume = page.next;
            if resume.is_none() {
                break;
            }
        }
        let asked = script.asked();
        assert_eq!(inputs(&asked[2].json()).len(), 100);
        let beyond = asked[4].json()["filterGroups"][0]["filters"][2]["value"].clone();
        assert_eq!(beyond, "1199");
    }

    #[tokio::test(start_paused = true)]
    async fn a_company_that_died_a_moment_ago_spoils_nothing() {
        let invalid = || answer(400, json!({"category": "VALIDATION_ERROR"}));
        let of = ["1", "2"].map(Input::new);
        let (_, hubspot) = open(&["company.name"], [invalid(), invalid(), all([linked("1", &[5], 2)])]);
        assert_eq!(sighted(&hubspot.changes(window(), among(&of)).await.unwrap()), ["5"]);
    }
}
