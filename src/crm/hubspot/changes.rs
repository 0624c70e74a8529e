//! What is asked of HubSpot's search: a frozen window of stamps, walked by id. It knows no credential.
//!
//! Search is paged by offset, capped at 10,000 and late. So the window is frozen, each request asks for page one beyond
//! the last id, and a search only finds ids: the truth is read by id.
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm>

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::crm::hubspot::wire::ObjectPage;
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Sighting, Window};

/// The largest page of a search.
const LIMIT: usize = 200;

/// A filter at the epoch answers 500.
const EARLIEST: i64 = 1_000;

/// The body of a search for contacts changed in the window, beyond this id. Contacts are filtered on
/// `lastmodifieddate`; `hs_lastmodifieddate`, which other objects have, finds none of them and says nothing.
pub(super) fn search(window: Window, after: u64) -> Value {
    let lo = window.lo.timestamp_millis().max(EARLIEST);
    // `LTE` is inclusive and a millisecond the finest step: the last one that begins before `hi`.
    let hi = (window.hi - chrono::TimeDelta::nanoseconds(1)).timestamp_millis().max(EARLIEST);
    let filter = |property: &str, operator: &str, value: String| json!({"propertyName": property, "operator": operator, "value": value});
    json!({
        "filterGroups": [{"filters": [
            filter("lastmodifieddate", "GTE", lo.to_string()),
            filter("lastmodifieddate", "LTE", hi.to_string()),
            filter("hs_object_id", "GT", after.to_string()),
        ]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["hs_object_id", "lastmodifieddate"],
        "limit": LIMIT,
    })
}

/// The id a walk stands at.
pub(super) fn place(resume: Option<&Resume>) -> Result<u64, Trouble> {
    let broken = |_| Trouble::Protocol("the place kept for HubSpot cannot be read".into());
    resume.map_or(Ok(0), |resume| resume.0.parse().map_err(broken))
}

/// The page a search beyond `after` gives.
///
/// A row may show a stamp outside the window (the match is on an older index entry). It is passed on as it is: it is a
/// person who changed, and no cursor is ever made of a row's stamp.
pub(super) fn page(found: &ObjectPage, after: u64) -> Result<Page, Trouble> {
    let mut last = after;
    for object in &found.results {
        last = last.max(object.number()?);
    }
    let announced = found.total.unwrap_or(0);
    if found.results.is_empty() && announced > 0 {
        return Err(Trouble::Ambiguous(format!("HubSpot's search announced {announced} contacts and sent none")));
    }
    if !found.results.is_empty() && last == after {
        return Err(Trouble::Protocol("HubSpot's search ignores the id it was asked to go on from".into()));
    }
    // The documented ends: an empty page, or no `paging`; unless it left announced matches out.
    let goes_on = found.after().is_some() || announced > found.results.len();
    let alive = found.results.iter().filter(|object| !object.archived);
    let sighting = alive.map(|o| Sighting { id: o.id.clone(), modified: o.modified(), record: None });
    let sightings = sighting.collect();
    Ok(Page {
        sightings,
        next: (goes_on && !found.results.is_empty()).then(|| Resume(last.to_string())),
        ..Page::default()
    })
}

/// Keeps searches at most four a second. HubSpot allows five, for all integrations of the account together, and sends
/// no headers that a pacer could learn from.
pub(super) struct SearchPace {
    clock: Clock,
    free: Mutex<Option<Instant>>,
}

impl SearchPace {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, free: Mutex::new(None) }
    }

    /// Waits for a turn, in the order of asking.
    pub(super) async fn turn(&self) {
        let mut free = self.free.lock().await;
        let wait = free.map(|free| free.saturating_duration_since(self.clock.instant())).unwrap_or_default();
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        *free = Some(self.clock.instant() + Duration::from_millis(250));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(lo: &str, hi: &str) -> Window {
        Window { lo: lo.parse().unwrap(), hi: hi.parse().unwrap() }
    }

    fn found(value: Value) -> ObjectPage {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_window_is_millisecond_text_and_never_the_epoch() {
        for (lo, hi, expected) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", ["1767225600000", "1767229199999"]),
            ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00.000000500Z", ["1767225600000", "1767229200000"]),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:05Z", ["1000", "4999"]),
        ] {
            let body = search(window(lo, hi), 70112);
            let filters = &body["filterGroups"][0]["filters"];
            assert_eq!([&filters[0]["value"], &filters[1]["value"]], expected);
            assert_eq!((&filters[0]["operator"], &filters[1]["operator"]), (&json!("GTE"), &json!("LTE")));
            assert!([0, 1].iter().all(|&n| filters[n]["propertyName"] == "lastmodifieddate"), "others find nobody");
            assert_eq!(body["sorts"], json!([{"propertyName": "hs_object_id", "direction": "ASCENDING"}]));
            assert_eq!(body["limit"], 200);
            assert_eq!(filters[2], json!({"propertyName": "hs_object_id", "operator": "GT", "value": "70112"}));
            assert_eq!(body.get("after"), None, "an offset would skip what a leaving row shifts");
            assert!(body.to_string().len() < 3_000);
        }
    }

    #[test]
    fn a_search_ends_only_where_it_says_so() {
        let row = |id: &str| json!({"id": id, "properties": {"lastmodifieddate": "2026-01-01T00:00:00.500Z"}});
        let next = json!({"next": {"after": "200"}});
        for (answer, expected) in [
            (json!({"total": 0, "results": []}), Ok(None)),
            (json!({"total": 1, "results": [row("71")]}), Ok(None)),
            (json!({"results": [row("71")]}), Ok(None)),
            (json!({"total": 2, "results": [row("71")], "paging": next}), Ok(Some("71"))),
            (json!({"total": 2, "results": [row("71")]}), Ok(Some("71"))),
            (json!({"total": 9, "results": [row("100"), row("99")], "paging": next}), Ok(Some("100"))),
            (json!({"total": 3, "results": []}), Err("answer_lost")),
            (json!({"total": 3, "results": [row("70")], "paging": next}), Err("unexpected_answer")),
        ] {
            let page = page(&found(answer.clone()), 70);
            let next = page.as_ref().map(|p| p.next.as_ref().map(|r| r.0.as_str())).map_err(Trouble::code);
            assert_eq!(next, expected, "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn searches_keep_a_quarter_of_a_second_apart() {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let pace = SearchPace::new(clock.clone());
        let start = clock.instant();
        for _ in 0..9 {
            pace.turn().await;
        }
        assert_eq!(start.elapsed().as_millis(), 2_000);
    }
}
