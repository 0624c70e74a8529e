//! What is asked of Pipedrive's person list: the parameters of a walk, frozen, and where it goes on. It knows no
//! credential.
//!
//! Stamps are whole seconds, and a fraction in a query is refused. The cursor is a keyset without a snapshot: a row
//! edited meanwhile leaves the window and is in the next one.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta, Timelike};

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::listing::Query;
use crate::crm::pipedrive::organizations::Freshness;
use crate::crm::pipedrive::wire::LIMIT;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Window};

/// The most custom keys a request may name; without the parameter all are sent.
const CUSTOM_KEYS: usize = 15;

impl Pipedrive {
    /// One page of those changed in the window.
    pub(super) async fn window(&self, window: Window, resume: Option<Resume>) -> Result<Page, Trouble> {
        let (rows, next) = self.walk(&changed(window, &self.wanted.sent), resume).await?;
        Ok(Page { sightings: self.sightings(rows, Freshness::Now).await?, next, ..Page::default() })
    }
}

/// The walk over those changed in the window: since is inclusive, until exclusive.
pub(super) fn changed(window: Window, custom_keys: &BTreeSet<String>) -> Query {
    let mut query = list(custom_keys);
    query.extend([
        ("sort_by", "update_time".to_owned()),
        ("sort_direction", "asc".to_owned()),
        ("updated_since", literal(floor(window.lo))),
        ("updated_until", literal(ceiling(window.hi))),
    ]);
    query
}

/// The walk over everyone; without a time filter, which rows without a stamp would fail.
pub(super) fn everyone(custom_keys: &BTreeSet<String>) -> Query {
    let mut query = list(custom_keys);
    query.extend([("sort_by", "id".to_owned()), ("sort_direction", "asc".to_owned())]);
    query
}

/// Those with these ids, a hundred at most.
pub(super) fn by_ids(ids: &[&str], custom_keys: &BTreeSet<String>) -> Query {
    let mut query = list(custom_keys);
    query.push(("ids", ids.join(",")));
    query
}

fn list(custom_keys: &BTreeSet<String>) -> Query {
    let mut query = vec![("limit", LIMIT.to_owned())];
    if (1..=CUSTOM_KEYS).contains(&custom_keys.len()) {
        let keys: Vec<&str> = custom_keys.iter().map(String::as_str).collect();
        query.push(("custom_fields", keys.join(",")));
    }
    query
}

/// The whole second this instant lies in.
pub(super) fn floor(at: Timestamp) -> Timestamp {
    at.with_nanosecond(0).unwrap_or(at)
}

/// The first whole second not before this instant, so that an exclusive bound loses no row.
fn ceiling(at: Timestamp) -> Timestamp {
    if floor(at) == at { at } else { floor(at) + TimeDelta::seconds(1) }
}

fn literal(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::pipedrive::rig::{list, open, person};
    use crate::crm::script::{answer, window};
    use crate::sync::source::ContactSource;

    fn keys(number: usize) -> BTreeSet<String> {
        (0..number).map(|n| format!("{n:040x}")).collect()
    }

    fn get<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
        query.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_window_is_whole_seconds_that_contain_what_was_asked() {
        let at = |text: &str| text.parse().unwrap();
        let window = Window { lo: at("2026-09-30T11:22:33.900Z"), hi: at("2026-09-30T11:30:00.001Z") };
        let query = changed(window, &keys(0));
        assert_eq!(get(&query, "updated_since"), Some("2026-09-30T11:22:33Z"));
        assert_eq!(get(&query, "updated_until"), Some("2026-09-30T11:30:01Z"));
        assert_eq!((get(&query, "sort_by"), get(&query, "sort_direction")), (Some("update_time"), Some("asc")));
        assert_eq!(get(&query, "limit"), Some("500"));
    }

    #[test]
    fn everyone_is_asked_for_by_id_and_without_a_time() {
        let query = everyone(&keys(0));
        assert_eq!((get(&query, "sort_by"), get(&query, "sort_direction")), (Some("id"), Some("asc")));
        assert_eq!((get(&query, "updated_since"), get(&query, "updated_until")), (None, None));
    }

    #[test]
    fn custom_keys_are_named_up_to_fifteen() {
        for (number, named) in [(0, None), (1, Some(1)), (15, Some(15)), (16, None)] {
            let query = by_ids(&["1", "2"], &keys(number));
            assert_eq!(get(&query, "custom_fields").map(|k| k.split(',').count()), named);
            assert_eq!(get(&query, "ids"), Some("1,2"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_keeps_its_parameters_and_ends_without_a_cursor_only() {
        let (script, pipedrive) = open(
            &["name"],
            [
                list(vec![person(1)], Some("c1")),
                list(vec![], Some("c2")),
                answer(200, json!({"success": true, "data": [person(2)]})),
            ],
        );
        let first = pipedrive.changes(window(), None).await.unwrap();
        let second = pipedrive.changes(window(), first.next).await.unwrap();
        assert!(second.sightings.is_empty() && second.next.is_some(), "an empty page is no end");
        let third = pipedrive.changes(window(), second.next).await.unwrap();
        assert_eq!((third.sightings.len(), third.next), (1, None));
        let asked = script.asked();
        assert_eq!(asked[2].query("cursor").as_deref(), Some("c2"));
        for (name, value) in
            [("updated_since", "2026-11-02T09:00:00Z"), ("updated_until", "2026-11-02T10:00:00Z"), ("limit", "500")]
        {
            assert!(asked.iter().all(|a| a.query(name).as_deref() == Some(value)), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_costs_one_request() {
        let me = answer(200, json!({"success": true, "data": {"company_id": 77}}));
        let (_, pipedrive) = open(&["labels", "org.name"], [me, list(vec![], None)]);
        pipedrive.account().await.unwrap();
        pipedrive.bound().await.unwrap();
        assert_eq!(pipedrive.account().await.unwrap().id, "77", "asked for once, whatever the number of polls");
        assert_eq!(pipedrive.changes(window(), None).await.unwrap(), Page::default());
        assert_eq!(pipedrive.requests(), 2);
    }
}
