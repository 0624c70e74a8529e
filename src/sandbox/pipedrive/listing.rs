//! Lists: strict parameters, windows to the second, keyset cursors re-evaluated page by page.
//! It must not know tokens, costs or paths.

use std::ops::Bound;
use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::sandbox::pipedrive::cursors::{Desk, fingerprint};
use crate::sandbox::pipedrive::fields::{OWNER, Record, View};
use crate::sandbox::pipedrive::state::State;
use crate::sandbox::table::{Place, Row, Table};

/// The longest page.
pub const PAGE: usize = 500;
/// Rows a page where nothing else is asked for.
pub const DEFAULT_PAGE: usize = 100;
const IDS: usize = 100;
const CUSTOM_FIELDS: usize = 15;

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// `id`
    Id,
    /// `update_time`; rows without one come first, or last by the lever.
    UpdateTime,
    /// `add_time`
    AddTime,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::UpdateTime => "update_time",
            Self::AddTime => "add_time",
        }
    }

    /// Where a row stands in this order.
    fn place<T>(self, row: &Row<T>) -> Place {
        match self {
            Self::Id => (None, row.key),
            Self::UpdateTime => (row.stamp, row.key),
            Self::AddTime => (Some(row.created), row.key),
        }
    }
}

/// The parameters of a list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// What is shown of each row.
    pub view: View,
    /// Rows a page.
    pub limit: usize,
    sort: Sort,
    descending: bool,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    ids: Option<Vec<u64>>,
    /// Only the persons of this organization.
    pub organization: Option<u64>,
    nobody: bool,
    after: Option<Place>,
    parameters: u64,
    /// Whether deleted rows are shown.
    pub deleted: bool,
    /// Whether rows without `update_time` come last.
    pub nulls_last: bool,
}

/// What the query string of a record or list may say of the view; the rest is left to the caller.
pub fn view<T: Record>(name: &str, value: &str, view: &mut View) -> Result<bool, String> {
    let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
    match name {
        "include_fields" => {
            view.include_fields = list();
            if let Some(unknown) = view.include_fields.iter().find(|one| !T::OPTIONAL.contains(&one.as_str())) {
                return Err(format!("include_fields: {unknown} is not allowed"));
            }
        }
        "custom_fields" => {
            let keys = list();
            if keys.len() > CUSTOM_FIELDS {
                return Err(format!("custom_fields: at most {CUSTOM_FIELDS} keys"));
            }
            view.custom_fields = Some(keys);
        }
        "include_option_labels" => view.option_labels = boolean(name, value)?,
        "include_labels" => view.labels = boolean(name, value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl Listing {
    /// Reads the query string; anything unknown, mistyped or out of bounds is refused.
    pub fn parse<T: Record>(parameters: &[(String, String)], desk: &Desk) -> Result<Self, String> {
        let mut listing = Self {
            view: View::default(),
            limit: DEFAULT_PAGE,
            sort: Sort::Id,
            descending: false,
            since: None,
            until: None,
            ids: None,
            organization: None,
            nobody: false,
            after: None,
            parameters: fingerprint(parameters),
            deleted: false,
            nulls_last: false,
        };
        let (mut filtered, mut cursor) = (false, None);
        let persons = T::ENTITY == "person";
        for (name, value) in parameters {
            match name.as_str() {
                "limit" => listing.limit = limit(value)?,
                "cursor" => cursor = Some(value),
                "sort_by" => listing.sort = sort(value)?,
                "sort_direction" => listing.descending = direction(value)?,
                "updated_since" => listing.since = Some(instant(name, value)?),
                "updated_until" => listing.until = Some(instant(name, value)?),
                "ids" => listing.ids = Some(ids(value)?),
                "filter_id" => filtered = integer(name, value).map(|_| true)?,
                "owner_id" => listing.nobody |= integer(name, value)? != OWNER,
                "org_id" if persons => listing.organization = Some(integer(name, value)?),
                "deal_id" if persons => listing.nobody |= integer(name, value).map(|_| true)?,
                _ if view::<T>(name, value, &mut listing.view)? => {}
                _ => return Err(format!("{name} is not allowed")),
            }
        }
        if filtered {
            // A saved filter silently wins over the quick ones; the only one there shows everything.
            (listing.ids, listing.organization, listing.nobody) = (None, None, false);
        }
        if let Some(cursor) = cursor {
            listing.after = desk.read(cursor, listing.order(), listing.parameters)?;
        }
        Ok(listing)
    }

    /// The page's rows and, unless they are the last ones, the place of the last.
    pub fn page<'a, T: Record>(
        &self,
        table: &'a Table<T>,
        members: impl FnOnce(u64) -> Vec<u64>,
        most: usize,
        now: DateTime<Utc>,
    ) -> (Vec<&'a Arc<Row<T>>>, Option<Place>) {
        let limit = self.limit.min(most);
        let wanted = |row: &&Arc<Row<T>>| self.admits(row, now);
        let named = self.ids.clone().or_else(|| self.organization.map(members));
        let mut rows: Vec<&Arc<Row<T>>> = if self.nobody {
            Vec::new()
        } else if let Some(keys) = named {
            self.sorted(keys.into_iter().filter_map(|key| table.get(key, now)).filter(wanted).collect())
        } else {
            match self.sort {
                Sort::Id if self.is_narrow(table, now) => {
                    self.sorted(table.by_stamp(self.window(), now).filter(wanted).collect())
                }
                Sort::Id => self.by_id(table, limit, now),
                Sort::UpdateTime => self.by_update_time(table, limit, now),
                Sort::AddTime => self.sorted(table.by_key(.., now).filter(wanted).collect()),
            }
        };
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more).map(|row| self.sort.place(row));
        (rows, last)
    }

    /// Whether the window holds so little that sorting it beats walking all ids.
    fn is_narrow<T: Record>(&self, table: &Table<T>, now: DateTime<Utc>) -> bool {
        let timed = self.since.is_some() || self.until.is_some();
        timed && table.by_stamp(self.window(), now).nth(4 * PAGE).is_none()
    }

    fn by_id<'a, T: Record>(&self, table: &'a Table<T>, limit: usize, now: DateTime<Utc>) -> Vec<&'a Arc<Row<T>>> {
        let wanted = |row: &&Arc<Row<T>>| self.admits(row, now);
        let after = self.after.map(|(_, key)| key);
        if self.descending {
            let rows = table.by_key(..after.unwrap_or(u64::MAX), now).rev();
            rows.filter(wanted).take(limit + 1).collect()
        } else {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            table.by_key((start, Bound::Unbounded), now).filter(wanted).take(limit + 1).collect()
        }
    }

    fn by_update_time<'a, T: Record>(
        &self,
        table: &'a Table<T>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Vec<&'a Arc<Row<T>>> {
        let wanted = |row: &&Arc<Row<T>>| self.admits(row, now);
        if self.nulls_last && self.since.is_none() && self.until.is_none() {
            return self.by_update_time_and_null(table, limit, now);
        }
        let (mut low, mut high) = self.window();
        if let Some(after) = self.after {
            // A forged cursor may lie outside the window; the index refuses ranges that end before they begin.
            let ahead = match (low, high) {
                (Bound::Included(low), _) if self.descending => low < after,
                (_, Bound::Excluded(high)) if !self.descending => after < high,
                _ => true,
            };
            if !ahead {
                return Vec::new();
            }
            let side = if self.descending { &mut high } else { &mut low };
            *side = Bound::Excluded(after);
        }
        let rows = table.by_stamp((low, high), now);
        if self.descending {
            rows.rev().filter(wanted).take(limit + 1).collect()
        } else {
            rows.filter(wanted).take(limit + 1).collect()
        }
    }

    /// The same where rows without a time come last: two stretches of the index change places.
    fn by_update_time_and_null<'a, T: Record>(
        &self,
        table: &'a Table<T>,
        limit: usize,
        now: DateTime<Utc>,
    ) -> Vec<&'a Arc<Row<T>>> {
        let wanted = |row: &&Arc<Row<T>>| self.admits(row, now) && self.follows(row);
        let first_timed = (Some(DateTime::<Utc>::MIN_UTC), 0);
        let (timed, null) = (table.by_stamp(first_timed.., now), table.by_stamp(..first_timed, now));
        if self.descending {
            null.rev().chain(timed.rev()).filter(wanted).take(limit + 1).collect()
        } else {
            timed.chain(null).filter(wanted).take(limit + 1).collect()
        }
    }

    /// Whether a row comes after what earlier pages showed.
    fn follows<T>(&self, row: &Row<T>) -> bool {
        let (own, after) = (self.rank(self.sort.place(row)), self.after.map(|after| self.rank(after)));
        after.is_none_or(|after| if self.descending { own < after } else { own > after })
    }

    fn rank(&self, place: Place) -> (bool, Place) {
        (self.nulls_last && self.sort == Sort::UpdateTime && place.0.is_none(), place)
    }

    /// The window over the stamp index; empty windows become one that holds nothing.
    fn window(&self) -> (Bound<Place>, Bound<Place>) {
        let until = match (self.since, self.until) {
            (Some(since), Some(until)) => Some(until.max(since)),
            (_, until) => until,
        };
        let low = self.since.or(until.map(|_| DateTime::<Utc>::MIN_UTC));
        let low = low.map_or(Bound::Unbounded, |since| Bound::Included((Some(since), 0)));
        let high = until.map_or(Bound::Unbounded, |until| Bound::Excluded((Some(until), 0)));
        (low, high)
    }

    fn admits<T: Record>(&self, row: &Row<T>, now: DateTime<Utc>) -> bool {
        if row.value.sheet().hidden || row.deleted.is_some() && (!self.deleted || State::is_purged(row, now)) {
            return false;
        }
        let untimed = self.since.is_none() && self.until.is_none();
        untimed
            || row.stamp.is_some_and(|stamp| {
                self.since.is_none_or(|since| stamp >= since) && self.until.is_none_or(|until| stamp < until)
            })
    }

    /// Sorts what no index has in order, and leaves out what earlier pages showed.
    fn sorted<'a, T: Record>(&self, mut rows: Vec<&'a Arc<Row<T>>>) -> Vec<&'a Arc<Row<T>>> {
        rows.retain(|row| self.follows(row));
        rows.sort_unstable_by_key(|row| self.rank(self.sort.place(row)));
        rows.dedup_by_key(|row| row.key);
        if self.descending {
            rows.reverse();
        }
        rows
    }

    /// An opaque cursor for what follows `after`.
    pub fn cursor(&self, after: Option<Place>, desk: &Desk) -> String {
        desk.issue(after, self.order(), self.parameters)
    }

    fn order(&self) -> (&'static str, &'static str) {
        (self.sort.name(), if self.descending { "desc" } else { "asc" })
    }

    /// Where the page began.
    pub fn start(&self) -> Option<Place> {
        self.after
    }
}

/// `1` to `500`
pub fn limit(value: &str) -> Result<usize, String> {
    let limit = value.parse().ok().filter(|limit| (1..=PAGE).contains(limit));
    limit.ok_or_else(|| format!("limit: must be a number between 1 and {PAGE}"))
}

fn sort(value: &str) -> Result<Sort, String> {
    let known = [Sort::Id, Sort::UpdateTime, Sort::AddTime].into_iter().find(|sort| sort.name() == value);
    known.ok_or_else(|| "sort_by: must be one of id, update_time, add_time".to_owned())
}

fn direction(value: &str) -> Result<bool, String> {
    match value {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err("sort_direction: must be asc or desc".to_owned()),
    }
}

fn ids(value: &str) -> Result<Vec<u64>, String> {
    let ids = value.split(',').map(|id| integer("ids", id)).collect::<Result<Vec<_>, _>>()?;
    if ids.len() > IDS { Err(format!("ids: at most {IDS}")) } else { Ok(ids) }
}

/// A number, and nothing that only looks like one.
pub fn integer(name: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{name}: must be an integer"))
}

fn boolean(name: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("{name}: must be true or false"))
}

/// `YYYY-MM-DDTHH:MM:SSZ` and nothing else: no fraction, no blank, no offset.
fn instant(name: &str, value: &str) -> Result<DateTime<Utc>, String> {
    let parsed = if value.len() == 20 { NaiveDateTime::parse_from_str(value, "%Y-%m-%dT%H:%M:%SZ").ok() } else { None };
    parsed.map(|naive| naive.and_utc()).ok_or_else(|| format!("{name}: must be of the form YYYY-MM-DDTHH:MM:SSZ"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::sandbox::people::Person;
    use crate::sandbox::pipedrive::bench::{at, company, employed, get, walk};

    #[tokio::test(start_paused = true)]
    async fn pages_end_at_their_border_in_every_order() {
        for (rows, pages) in [(499, 1), (500, 1), (501, 2), (2001, 5)] {
            let pipedrive = company();
            for row in 0..rows {
                pipedrive.add_at(&Person::default(), at(row / 700));
            }
            let mut backwards = pipedrive.ids();
            backwards.reverse();
            let window = "update_time&updated_since=2026-11-02T09:00:00Z&updated_until=2026-11-03T00:00:00Z";
            let by_id = window.replacen("update_time", "id", 1);
            for sort in ["id", "update_time", "add_time", window, &by_id] {
                let (ids, seen) = walk(&pipedrive, &format!("sort_by={sort}&limit=500")).await;
                assert_eq!((ids, seen), (pipedrive.ids(), pages), "{rows} by {sort}");
                let (ids, _) = walk(&pipedrive, &format!("sort_by={sort}&sort_direction=desc&limit=500")).await;
                assert_eq!(ids, backwards, "{rows} by {sort} downwards");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn windows_are_half_open_and_know_no_null() {
        let pipedrive = company();
        let timeless = pipedrive.add_without_update_time(&employed(), at(-9000));
        let [one, two] = [0, 10].map(|second| pipedrive.add_at(&employed(), at(second)));
        let late = pipedrive.add_visible_at(&employed(), at(5), at(30));
        for (query, wanted) in [
            ("sort_by=update_time", vec![&timeless, &one, &two]),
            ("updated_since=2026-11-02T09:00:00Z&updated_until=2026-11-02T09:00:10Z", vec![&one]),
            ("updated_until=2026-11-02T09:00:11Z&sort_by=update_time&sort_direction=desc", vec![&two, &one]),
            ("updated_since=2026-11-02T09:00:01Z&sort_by=update_time", vec![&two]),
            ("updated_since=2026-11-02T09:00:10Z&updated_until=2026-11-02T09:00:00Z&sort_by=update_time", vec![]),
            ("ids=3,1,99,2,2", vec![]),
            ("owner_id=8", vec![]),
        ] {
            let (ids, _) = walk(&pipedrive, query).await;
            let wanted: Vec<&String> = if query.starts_with("ids") { vec![&timeless, &one] } else { wanted };
            assert_eq!(ids.iter().collect::<Vec<_>>(), wanted, "{query}");
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(walk(&pipedrive, "sort_by=update_time").await.0, [&timeless, &one, &late, &two].map(String::as_str));
    }

    #[tokio::test(start_paused = true)]
    async fn cursors_are_keysets_without_a_snapshot() {
        let pipedrive = company();
        let ids: Vec<String> = (0..6).map(|_| pipedrive.add_at(&employed(), at(-60))).collect();
        let (_, first) = get(&pipedrive, "/api/v2/persons?sort_by=update_time&limit=2").await;
        let cursor = first["additional_data"]["next_cursor"].as_str().unwrap();
        assert!(pipedrive.delete(&ids[2]) && pipedrive.edit(&ids[0], |person| person.title = None));
        let (rest, _) = walk(&pipedrive, &format!("sort_by=update_time&limit=2&cursor={cursor}")).await;
        assert_eq!(rest, [3, 4, 5, 0].map(|at: usize| ids[at].as_str()), "the edited row shows twice");
        let other = format!("/api/v2/persons?sort_by=id&cursor={cursor}");
        assert_eq!(get(&pipedrive, &other).await.0, 400);
        pipedrive.set_empty_pages(Some(2));
        pipedrive.set_page_size_cap(1);
        let (all, pages) = walk(&pipedrive, "limit=500").await;
        assert_eq!((all.len(), all, pages > 8), (5, pipedrive.ids(), true), "empty pages are not the end");
    }
}
