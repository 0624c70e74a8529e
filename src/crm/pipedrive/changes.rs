//! What is asked of Pipedrive's person list: the parameters of a walk, frozen, and where it goes on. It knows no
//! credential.
//!
//! Stamps are whole seconds, and a fraction in a query is refused. The cursor is a keyset without a snapshot: a row
//! edited meanwhile leaves the window and is in the next one.

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta, Timelike};

use crate::crm::pipedrive::wire::LIMIT;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Resume, Window};

/// The most custom keys a request may name; without the parameter all are sent.
const CUSTOM_KEYS: usize = 15;

/// Query parameters.
pub(super) type Query = Vec<(&'static str, String)>;

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

/// Where a walk goes on after the page asked for with `asked`, which said `next`.
pub(super) fn onward(asked: Option<&str>, next: Option<String>) -> Result<Option<Resume>, Trouble> {
    if next.is_some() && next.as_deref() == asked {
        return Err(Trouble::Protocol("Pipedrive sends the same page over and over".into()));
    }
    Ok(next.map(Resume))
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
    use super::*;

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

    #[test]
    fn a_cursor_that_repeats_is_trouble() {
        for (asked, next, expected) in [
            (None, None, Some(None)),
            (Some("a"), None, Some(None)),
            (None, Some("a"), Some(Some("a"))),
            (Some("a"), Some("b"), Some(Some("b"))),
            (Some("a"), Some("a"), None),
        ] {
            let onward = onward(asked, next.map(str::to_owned)).ok();
            assert_eq!(onward.as_ref().map(|r| r.as_ref().map(|r| r.0.as_str())), expected);
        }
    }
}
