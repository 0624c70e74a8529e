//! What is asked of Pipedrive's person list: the parameters of a walk, frozen, and where it goes on. It knows no
//! credential.
//!
//! Stamps are whole seconds, and a fraction in a query is refused. The cursor is a keyset without a snapshot: a row
//! edited meanwhile leaves the window and is in the next one.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta, Timelike};

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::listing::{PERSONS, Query};
use crate::crm::pipedrive::organizations::Freshness;
use crate::crm::pipedrive::place::Place;
use crate::crm::pipedrive::wire::{self, LIMIT, Row};
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Window};

/// The most custom keys a request may name; without the parameter all are sent.
const CUSTOM_KEYS: usize = 15;

impl Pipedrive {
    /// One page of those changed in the window.
    pub(super) async fn window(&self, window: Window, resume: Option<Resume>) -> Result<Page, Trouble> {
        let query = changed(window, list(&self.sent().await?));
        let (mut rows, next) = self.walk(PERSONS, &query, Place::parse(resume)).await?;
        demand_within(window, &rows)?;
        let departed = wire::tombstones(&mut rows)?;
        let next = next.map(|next| next.resume()).transpose()?;
        Ok(Page { sightings: self.sightings(rows, Freshness::Now).await?, departed, next })
    }
}

/// A row from before the window shows that the filter was not heard, as other endpoints are known to ignore it: what came
/// would be a backfill in disguise. A later row is one that was edited while it was sent, and a row without a stamp may
/// pass the filter or not, which is not documented: both are people, and no cursor is made of a row's stamp.
/// <https://github.com/NangoHQ/integration-templates/pull/491>
pub(super) fn demand_within(window: Window, rows: &[Row]) -> Result<(), Trouble> {
    match rows.iter().filter_map(wire::modified).find(|stamp| *stamp < floor(window.lo)) {
        Some(_) => Err(Trouble::Protocol("Pipedrive was asked for what changed lately and sent what is older".into())),
        None => Ok(()),
    }
}

/// The walk over organizations changed in the window; how many persons each has costs nothing more.
pub(super) fn organizations(window: Window) -> Query {
    changed(window, vec![("limit", LIMIT.to_owned()), ("include_fields", "people_count".to_owned())])
}

/// The walk over an organization's persons.
pub(super) fn persons_of(organization: &str, custom_keys: &BTreeSet<String>) -> Query {
    let mut query = everyone(custom_keys);
    query.push(("org_id", organization.to_owned()));
    query
}

/// The walk over those changed in the window: since is inclusive, until exclusive.
fn changed(window: Window, mut query: Query) -> Query {
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

/// A page of a list, as long as can be.
pub(super) fn list(custom_keys: &BTreeSet<String>) -> Query {
    let mut query = one(custom_keys);
    query.push(("limit", LIMIT.to_owned()));
    query
}

/// What is asked of each person.
pub(super) fn one(custom_keys: &BTreeSet<String>) -> Query {
    let keys: Vec<&str> = custom_keys.iter().map(String::as_str).collect();
    let narrowed = (1..=CUSTOM_KEYS).contains(&keys.len());
    if narrowed { vec![("custom_fields", keys.join(","))] } else { Vec::new() }
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
    use crate::domain::record::Departed;
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
        let query = changed(window, super::list(&keys(0)));
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
            for query in [super::list(&keys(number)), one(&keys(number))] {
                assert_eq!(get(&query, "custom_fields").map(|k| k.split(',').count()), named);
            }
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
    async fn a_filter_that_was_not_heard_is_trouble_and_a_row_edited_meanwhile_is_none() {
        let at = |stamp: serde_json::Value| json!({"id": 1, "update_time": stamp});
        for (stamp, expected) in [
            (json!("2026-11-02T08:59:59Z"), Err("unexpected_answer")),
            (json!("2026-11-02T09:00:00Z"), Ok(1)),
            (json!("2026-11-02T11:00:00Z"), Ok(1)),
            (json!(null), Ok(1)),
        ] {
            let (_, pipedrive) = open(&["name"], [list(vec![at(stamp.clone())], None)]);
            let page = pipedrive.changes(window(), None).await;
            assert_eq!(page.map(|page| page.sightings.len()).map_err(|t| t.code()), expected, "{stamp}");
        }
    }

    /// More than a page of one second, rows without a stamp before or behind them: the cursor alone says what follows.
    #[tokio::test(start_paused = true)]
    async fn a_second_with_more_than_a_page_of_rows_is_walked_to_its_end() {
        let second = |from: u64| (from..from + 500).map(person);
        let unstamped = |id: u64| json!({"id": id, "update_time": null});
        for (first, last) in [(Some(unstamped(1)), None), (None, Some(unstamped(1)))] {
            let pages = [
                list(first.into_iter().chain(second(1_000)).collect::<Vec<_>>(), Some("c1")),
                list(second(2_000).collect::<Vec<_>>(), Some("c2")),
                list(second(3_000).chain(last).collect::<Vec<_>>(), None),
            ];
            let (script, pipedrive) = open(&["name"], pages);
            let (mut seen, mut resume) = (BTreeSet::new(), None);
            loop {
                let page = pipedrive.changes(window(), resume).await.unwrap();
                seen.extend(page.sightings.into_iter().map(|sighting| sighting.id));
                resume = page.next;
                if resume.is_none() {
                    break;
                }
            }
            assert_eq!((seen.len(), script.asked().len()), (1_501, 3));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tombstone_in_a_window_has_left_without_a_stamp() {
        let gone = json!({"id": 3, "is_deleted": true, "update_time": "2026-11-02T09:30:00Z"});
        let (_, pipedrive) = open(&["name"], [list(vec![gone, person(1)], None)]);
        let page = pipedrive.changes(window(), None).await.unwrap();
        assert_eq!(page.sightings.len(), 1);
        assert_eq!(page.departed, [Departed { id: "3".into(), modified: None }]);
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
