//! HubSpot's search, and its limit. It answers who changed within a window, by ids alone; the truth is read by id.
//!
//! Search is paged by an offset that ends at 10,000, and its index is late. So the window is frozen, each request asks
//! for page one beyond the greatest id so far, and nothing is made of a row but its id and its own stamp.
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm>

use std::time::Duration;

use ::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::crm::hubspot::wire::{self, Object, ObjectPage};
use crate::crm::hubspot::{HubSpot, VERSION, limits};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::record::Window;
use crate::http::body;
use crate::http::transport::Response;
use crate::http::verdict;

/// The largest page of a search.
pub(super) const LIMIT: usize = 200;

/// A filter at the epoch answers 500.
const EARLIEST: i64 = 1_000;

/// What is searched.
pub(super) struct Objects {
    /// Their name in a path.
    name: &'static str,
    /// The property that holds their stamp. Contacts have one of the other name too, by which a search finds none of them
    /// and says nothing.
    stamp: &'static str,
}

pub(super) const CONTACTS: Objects = Objects { name: "contacts", stamp: "lastmodifieddate" };
pub(super) const COMPANIES: Objects = Objects { name: "companies", stamp: "hs_lastmodifieddate" };

/// What one search found.
pub(super) struct Found {
    /// The objects, in order of their ids.
    pub objects: Vec<Object>,
    /// The greatest id so far.
    pub last: u64,
    /// Whether there may be more beyond it.
    pub more: bool,
}

impl HubSpot {
    /// Those that changed within the window, the first page beyond this id.
    pub(super) async fn search(&self, objects: &Objects, window: Window, after: u64) -> Result<Found, Trouble> {
        let path = format!("/crm/objects/{VERSION}/{}/search", objects.name);
        let request = request::post_json(&self.base, &path, &question(objects, window, after));
        let judge = limits::judging_searches(&self.judge);
        let response = self.search_room.in_turn(|| self.send_judged(request.clone(), &judge)).await?;
        if !response.status().is_success() {
            return Err(wire::trouble(&response));
        }
        found(body::json(&response)?, after)
    }
}

/// The body of a search. It names none of the mapping's properties, so that it stays below the 3,000 characters HubSpot
/// documents, and no associations, which a search ignores.
fn question(objects: &Objects, window: Window, after: u64) -> Value {
    let lo = window.lo.timestamp_millis().max(EARLIEST);
    // `LTE` is inclusive and a millisecond the finest step: the last one that begins before `hi`.
    let hi = (window.hi - chrono::TimeDelta::nanoseconds(1)).timestamp_millis().max(EARLIEST);
    let filter = |property: &str, operator: &str, value: String| json!({"propertyName": property, "operator": operator, "value": value});
    json!({
        "filterGroups": [{"filters": [
            filter(objects.stamp, "GTE", lo.to_string()),
            filter(objects.stamp, "LTE", hi.to_string()),
            filter("hs_object_id", "GT", after.to_string()),
        ]}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["hs_object_id", objects.stamp],
        "limit": LIMIT,
    })
}

/// What an answer to a search beyond `after` shows, unless it cannot be trusted.
///
/// `total` counts what lies beyond `after`, each time anew. That all pages together bring what the first one announced
/// cannot be demanded: whoever changes while the window is read leaves it, and the next window has them. What can be is
/// that it goes on while more is announced than it holds. An index counts for a while who has been archived or merged, and
/// shows none of them: a page that had room for all that is announced and shows nobody is the end.
fn found(page: ObjectPage, after: u64) -> Result<Found, Trouble> {
    let mut last = after;
    for object in &page.results {
        last = last.max(object.number()?);
    }
    let announced = page.total.unwrap_or(0);
    if page.results.is_empty() && (announced > LIMIT || page.after().is_some()) {
        return Err(Trouble::Ambiguous(format!("HubSpot's search announced {announced} records and sent none")));
    }
    if !page.results.is_empty() && last == after {
        return Err(Trouble::Protocol("HubSpot's search ignores the id it was asked to go on from".into()));
    }
    // The documented ends: an empty page, or no `paging`; unless it left announced matches out.
    let more = !page.results.is_empty() && (page.after().is_some() || announced > page.results.len());
    Ok(Found { objects: page.results, last, more })
}

/// The shortest time between two searches. HubSpot allows five a second, to all integrations of the account together.
const APART: Duration = Duration::from_millis(250);
/// The longest, when others use up what is allowed.
const APART_AT_MOST: Duration = Duration::from_secs(2);
/// How long nothing may have been refused before searches come closer together again.
const CALM: Duration = Duration::from_secs(30);
/// The longest that one search is tried for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where searches wait for their turn, one at a time. Their limit is theirs alone, and they carry no headers that a pacer
/// could learn from: a search that is refused waits here, and no other call does.
pub(super) struct SearchRoom {
    clock: Clock,
    pace: Mutex<Pace>,
}

impl SearchRoom {
    pub(super) fn new(clock: Clock) -> Self {
        let pace = Pace { apart: APART, free: None, changed: None };
        Self { clock, pace: Mutex::new(pace) }
    }

    /// Sends a search when its turn comes, in the order of asking, and again while the limit of a second is reached.
    async fn in_turn<F>(&self, send: impl Fn() -> F) -> Result<Response, Trouble>
    where
        F: Future<Output = Result<Response, Trouble>>,
    {
        let began = self.clock.instant();
        let mut pace = self.pace.lock().await;
        loop {
            let wait = pace.wait(self.clock.instant());
            if !wait.is_zero() {
                self.clock.sleep(wait).await;
            }
            pace.sent(self.clock.instant());
            let response = send().await?;
            if response.status() != StatusCode::TOO_MANY_REQUESTS {
                return Ok(response);
            }
            let now = self.clock.instant();
            let wait = pace.refused(now, verdict::retry_after(response.headers()));
            if now + wait > began + PATIENCE {
                let cause = "HubSpot refuses searches: the five a second that all integrations of this account share \
                             are used up"
                    .to_owned();
                return Err(Trouble::NotSent { cause, retry_after: Some(wait) });
            }
        }
    }
}

/// How far apart searches are: twice as far after each refusal, half as far after each calm.
#[derive(Debug)]
struct Pace {
    apart: Duration,
    /// When the next search may leave.
    free: Option<Instant>,
    /// When a search was last refused, or they came closer together again.
    changed: Option<Instant>,
}

impl Pace {
    fn wait(&self, now: Instant) -> Duration {
        self.free.map(|free| free.saturating_duration_since(now)).unwrap_or_default()
    }

    fn sent(&mut self, now: Instant) {
        if self.changed.is_some_and(|changed| now.saturating_duration_since(changed) >= CALM) {
            self.apart = (self.apart / 2).max(APART);
            self.changed = Some(now);
        }
        self.free = Some(now + self.apart);
    }

    /// How long the next search waits: as long as HubSpot wishes, which it need not tell, or a second.
    fn refused(&mut self, now: Instant, wish: Option<Duration>) -> Duration {
        self.apart = (self.apart * 2).min(APART_AT_MOST);
        self.changed = Some(now);
        let wait = wish.unwrap_or(Duration::from_secs(1)).max(self.apart);
        self.free = Some(now + wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::hubspot::rig::{all, found, goes_on, open, paths};
    use crate::crm::script::{answer, window, with};
    use crate::domain::record::Page;
    use crate::sync::source::{ContactSource, Detail};

    fn span(lo: &str, hi: &str) -> Window {
        Window { lo: lo.parse().unwrap(), hi: hi.parse().unwrap() }
    }

    fn refused() -> Response {
        let message = "You have reached your secondly limit.";
        answer(429, json!({"errorType": "RATE_LIMIT", "policyName": "SECONDLY", "message": message}))
    }

    #[test]
    fn a_window_is_millisecond_text_and_never_the_epoch() {
        for (lo, hi, expected) in [
            ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", ["1767225600000", "1767229199999"]),
            ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00.000000500Z", ["1767225600000", "1767229200000"]),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:05Z", ["1000", "4999"]),
        ] {
            let body = question(&CONTACTS, span(lo, hi), 70112);
            let filters = &body["filterGroups"][0]["filters"];
            assert_eq!([&filters[0]["value"], &filters[1]["value"]], expected);
            assert_eq!((&filters[0]["operator"], &filters[1]["operator"]), (&json!("GTE"), &json!("LTE")));
            assert_eq!(body["sorts"], json!([{"propertyName": "hs_object_id", "direction": "ASCENDING"}]));
            assert_eq!(body["limit"], 200);
            assert_eq!(filters[2], json!({"propertyName": "hs_object_id", "operator": "GT", "value": "70112"}));
            assert_eq!(body.get("after"), None, "an offset would skip what a leaving row shifts");
        }
    }

    #[test]
    fn contacts_and_companies_are_found_by_the_stamp_of_each() {
        for (objects, stamp) in [(&CONTACTS, "lastmodifieddate"), (&COMPANIES, "hs_lastmodifieddate")] {
            let body = question(objects, window(), 0);
            let filters = &body["filterGroups"][0]["filters"];
            assert!([0, 1].iter().all(|&n| filters[n]["propertyName"] == stamp), "the other finds nobody: {body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_stays_small_whatever_the_map_reads_and_asks_for_no_associations() {
        let fields: Vec<String> = (0..400).map(|n| format!("a_property_with_a_long_name_{n}")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).chain(["company.name"]).collect();
        let (script, hubspot) = open(&fields, [found(0, &[]), found(0, &[])]);
        hubspot.changes(window(), None).await.unwrap();
        for asked in script.asked() {
            assert!(asked.body.len() < 3_000, "{}", asked.body);
            assert!(!asked.body.contains("associations"), "a search ignores them");
        }
    }

    #[test]
    fn a_search_ends_only_where_it_says_so() {
        let row = |id: &str| json!({"id": id, "properties": {"lastmodifieddate": "2026-01-01T00:00:00.500Z"}});
        let next = json!({"next": {"after": "200"}});
        for (answer, expected) in [
            (json!({"total": 0, "results": []}), Ok((70, false))),
            (json!({"total": 1, "results": [row("71")]}), Ok((71, false))),
            (json!({"results": [row("71")]}), Ok((71, false))),
            (json!({"total": 2, "results": [row("71")], "paging": next}), Ok((71, true))),
            (json!({"total": 2, "results": [row("71")]}), Ok((71, true))),
            (json!({"total": 30_000, "results": [row("100"), row("99")], "paging": next}), Ok((100, true))),
            (json!({"total": 3, "results": []}), Ok((70, false))),
            (json!({"total": 201, "results": []}), Err("answer_lost")),
            (json!({"total": 3, "results": [], "paging": next}), Err("answer_lost")),
            (json!({"total": 3, "results": [row("70")], "paging": next}), Err("unexpected_answer")),
        ] {
            let page = super::found(serde_json::from_value(answer.clone()).unwrap(), 70);
            assert_eq!(page.map(|page| (page.last, page.more)).map_err(|t| t.code()), expected, "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn searches_of_contacts_and_companies_wait_for_each_other_and_lists_do_not_wait() {
        let answers = [found(0, &[]), found(0, &[]), found(0, &[]), found(0, &[]), all([])];
        let (script, hubspot) = open(&["company.name"], answers);
        let began = hubspot.clock.instant();
        for _ in 0..2 {
            hubspot.changes(window(), None).await.unwrap();
        }
        hubspot.everyone(Detail::Records, None).await.unwrap();
        assert_eq!(began.elapsed().as_millis(), 750, "four searches a second");
        let asked = script.asked();
        assert_eq!(paths(&asked)[..2], ["contacts", "companies"].map(|of| format!("/crm/objects/2026-03/{of}/search")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_a_second_holds_up_searches_and_nothing_else() {
        let (script, hubspot) = open(&[], [refused(), goes_on([], "7"), found(0, &[])]);
        let began = hubspot.clock.instant();
        let (searched, listed) = tokio::join!(hubspot.changes(window(), None), async {
            hubspot.everyone(Detail::Records, None).await.unwrap();
            began.elapsed().as_millis()
        });
        assert_eq!((searched.unwrap(), listed), (Page::default(), 0));
        assert_eq!(began.elapsed().as_millis(), 1_000);
        let asked = script.asked();
        assert!(paths(&asked)[1].ends_with("/contacts"), "the list passed the search that waited");
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_that_is_refused_for_five_minutes_is_put_off() {
        let (_, hubspot) = open(&[], (0..500).map(|_| refused()));
        let began = hubspot.clock.instant();
        let trouble = hubspot.changes(window(), None).await.unwrap_err();
        assert!(
            matches!(trouble, Trouble::NotSent { retry_after: Some(wait), .. } if wait.as_secs() == 2),
            "{trouble}"
        );
        assert!((298..=300).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!((140..=152).contains(&hubspot.requests()), "at most one in two seconds: {}", hubspot.requests());
        let wish = with(refused(), "retry-after", "400");
        let (_, hubspot) = open(&[], [wish]);
        let trouble = hubspot.changes(window(), None).await.unwrap_err();
        assert!(matches!(trouble, Trouble::NotSent { retry_after: Some(wait), .. } if wait.as_secs() == 400));
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_spread_searches_and_calm_brings_them_together_again() {
        let clock = Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
        let mut pace = Pace { apart: APART, free: None, changed: None };
        let mut waits = Vec::new();
        for _ in 0..4 {
            pace.sent(clock.instant());
            pace.refused(clock.instant(), None);
            waits.push((pace.wait(clock.instant()).as_millis(), pace.apart.as_millis()));
        }
        assert_eq!(waits, [(1_000, 500), (1_000, 1_000), (2_000, 2_000), (2_000, 2_000)]);
        let mut calmed = Vec::new();
        for _ in 0..5 {
            clock.sleep(CALM).await;
            pace.sent(clock.instant());
            pace.sent(clock.instant());
            calmed.push(pace.wait(clock.instant()).as_millis());
        }
        assert_eq!(calmed, [1_000, 500, 250, 250, 250], "one step a calm");
    }
}
