//! Lists as Propstreet pages them: in order of (updated, id), from an inclusive `updated_since` or after an opaque
//! cursor. Knows ids and times only, so that contacts, companies and links share it.
//! <https://docs.propstreet.com/api-reference/tag/contacts/get/api/v1/network/contacts>

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::sandbox::propstreet::contact::stamp;
use crate::sandbox::propstreet::knobs::Envelope;
use crate::sandbox::propstreet::problem::{FieldErrors, Problem};

/// A place in a list.
type Key = (DateTime<Utc>, u64);

/// Every row of one kind, by when it was last changed. One place a row: a changed row moves to the end.
#[derive(Debug, Default)]
pub(super) struct Timeline(BTreeSet<Key>);

impl Timeline {
    /// Moves a row from where it was, if anywhere, to `updated`.
    pub(super) fn set(&mut self, before: Option<DateTime<Utc>>, updated: DateTime<Utc>, id: u64) {
        if let Some(before) = before {
            self.0.remove(&(before, id));
        }
        self.0.insert((updated, id));
    }

    /// One page of the rows that `keep` keeps.
    pub(super) fn page(&self, query: &ListQuery, keep: impl Fn(u64) -> bool) -> Page {
        let mut rows = self.0.range((query.from, Bound::Unbounded)).filter(|(_, id)| keep(*id));
        let rows_here: Vec<Key> = rows.by_ref().take(query.page_size).copied().collect();
        let next = rows.next().and(rows_here.last()).map(|last| query.cursor_after(last));
        Page { ids: rows_here.into_iter().map(|(_, id)| id).collect(), next, size: query.page_size }
    }
}

/// One page of ids.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) ids: Vec<u64>,
    next: Option<String>,
    size: usize,
}

impl Page {
    /// The list answer around the rows' JSON.
    pub(super) fn enveloped(&self, data: Vec<Value>, envelope: Envelope) -> Value {
        let more = self.next.is_some();
        let mut answer = match envelope {
            Envelope::Nested => json!({"page": {"nextCursor": self.next, "hasMore": more, "pageSize": self.size}}),
            Envelope::Flat => json!({"nextCursor": self.next, "hasMore": more}),
        };
        answer["data"] = Value::Array(data);
        answer
    }
}

/// The parameters of a list.
#[derive(Debug, Clone)]
pub(super) struct ListQuery {
    from: Bound<Key>,
    page_size: usize,
    /// Whether deleted rows are shown.
    pub(super) include_deleted: bool,
}

impl ListQuery {
    /// Reads and removes the parameters every list shares; what else is in `query` is the caller's to read.
    pub(super) fn read(query: &mut BTreeMap<String, String>) -> Result<Self, Problem> {
        let mut list = Self { from: Bound::Unbounded, page_size: 500, include_deleted: false };
        let mut errors = FieldErrors::new();
        let mut fail = |field: &str, message: &str| errors.insert(field.to_owned(), vec![message.to_owned()]);
        if let Some(text) = query.remove("updated_since") {
            match utc(&text) {
                Some(since) => list.from = Bound::Included((since, 0)),
                None => drop(fail("updated_since", "must be ISO 8601 in UTC")),
            }
        }
        if let Some(text) = query.remove("cursor") {
            match Cursor::read(&text) {
                Some(cursor) => {
                    list.from = Bound::Excluded((cursor.updated, cursor.id));
                    list.include_deleted = cursor.deleted;
                }
                None => drop(fail("cursor", "is not a cursor of this list")),
            }
        }
        if let Some(text) = query.remove("include_deleted") {
            match text.parse() {
                Ok(include) => list.include_deleted = include,
                Err(_) => drop(fail("include_deleted", "must be true or false")),
            }
        }
        if let Some(text) = query.remove("page_size") {
            match text.parse() {
                Ok(size @ 1..=500) => list.page_size = size,
                _ => drop(fail("page_size", "must be 1 to 500")),
            }
        }
        if errors.is_empty() { Ok(list) } else { Err(Problem::invalid(errors)) }
    }

    fn cursor_after(&self, last: &Key) -> String {
        let mut cursor = json!({"u": stamp(last.0), "i": last.1});
        if self.include_deleted {
            cursor["d"] = json!(true);
        }
        STANDARD.encode(cursor.to_string())
    }
}

/// Base64 of `{"u": updated, "i": id}`; `d` is ours, since samples send a cursor without the other parameters.
struct Cursor {
    updated: DateTime<Utc>,
    id: u64,
    deleted: bool,
}

impl Cursor {
    fn read(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()?;
        Some(Self { updated: utc(json["u"].as_str()?)?, id: json["i"].as_u64()?, deleted: json["d"] == true })
    }
}

/// ISO 8601 with a zero offset; a time without an offset, or with another, is refused.
fn utc(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    (time.offset().local_minus_utc() == 0).then(|| time.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ticks: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, ticks * 100).unwrap()
    }

    fn query(pairs: &[(&str, &str)]) -> Result<ListQuery, Problem> {
        ListQuery::read(&mut pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn pages_walk_through_ties_once_each_and_the_bound_is_inclusive() {
        let mut timeline = Timeline::default();
        for id in 1..=25 {
            timeline.set(None, at(7), id);
        }
        timeline.set(None, at(6), 40);
        let since = stamp(at(7));
        let (mut seen, mut cursor) = (Vec::<u64>::new(), None::<String>);
        loop {
            let mut pairs = vec![("page_size", "10")];
            match &cursor {
                Some(cursor) => pairs.push(("cursor", cursor)),
                None => pairs.push(("updated_since", &since)),
            }
            let page = timeline.page(&query(&pairs).unwrap(), |_| true);
            seen.extend(&page.ids);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, (1..=25).collect::<Vec<_>>());
        let later = query(&[("updated_since", &stamp(at(8)))]).unwrap();
        assert!(timeline.page(&later, |_| true).ids.is_empty());
    }

    #[test]
    fn a_full_last_page_has_no_cursor_and_a_cursor_remembers_the_deleted() {
        let mut timeline = Timeline::default();
        (1..=4).for_each(|id| timeline.set(None, at(1), id));
        let first = timeline.page(&query(&[("page_size", "2"), ("include_deleted", "true")]).unwrap(), |_| true);
        let cursor = first.next.unwrap();
        let second = query(&[("page_size", "2"), ("cursor", &cursor)]).unwrap();
        assert!(second.include_deleted);
        assert!(timeline.page(&second, |_| true).next.is_none());
    }

    #[test]
    fn bad_parameters_are_refused() {
        for (name, value) in [
            ("page_size", "0"),
            ("page_size", "501"),
            ("page_size", "ten"),
            ("include_deleted", "yes"),
            ("updated_since", "2026-01-01T00:00:00"),
            ("updated_since", "2026-01-01T00:00:00+01:00"),
            ("updated_since", "yesterday"),
            ("cursor", "abc"),
        ] {
            assert!(query(&[(name, value)]).is_err(), "{name}={value}");
        }
        assert!(query(&[("page_size", "500"), ("updated_since", "2026-01-01T00:00:00.1234567Z")]).is_ok());
    }
}
