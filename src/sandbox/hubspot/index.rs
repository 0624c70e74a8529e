//! The search index: records as they were some moments ago.
//! It must not know any field but the modification stamp.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{RangeBounds, RangeInclusive};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::sandbox::table::Row;

/// Records as searches match them. The rows shown are the current ones.
pub struct SearchIndex<T: 'static> {
    rows: BTreeMap<u64, Arc<Row<T>>>,
    by_stamp: BTreeSet<(DateTime<Utc>, u64)>,
    pending: BTreeMap<(DateTime<Utc>, u64), Note<T>>,
    /// The number of the note that each entry stems from: an older one that comes in later changes nothing.
    newest: BTreeMap<u64, u64>,
    noted: u64,
    lag: Lag,
    /// The keys of the window walked last, until the index changes: a client asks for it page after page.
    walked: RefCell<Option<(Window, Vec<u64>)>>,
}

/// How long a change takes to show in searches.
#[derive(Clone, Debug)]
pub enum Lag {
    /// All the same.
    Fixed(TimeDelta),
    /// Each its own, up to this long.
    Drawn(TimeDelta, fastrand::Rng),
}

impl Lag {
    fn draw(&mut self) -> TimeDelta {
        match self {
            Self::Fixed(lag) => *lag,
            Self::Drawn(most, rng) => TimeDelta::milliseconds(rng.i64(0..=most.num_milliseconds().max(0))),
        }
    }
}

/// Stamps from and to, both included.
type Window = RangeInclusive<DateTime<Utc>>;

/// A record's key, and the record from some moment on.
type Note<T> = (u64, Option<Arc<Row<T>>>);

impl<T> Default for SearchIndex<T> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            by_stamp: BTreeSet::new(),
            pending: BTreeMap::new(),
            newest: BTreeMap::new(),
            noted: 0,
            lag: Lag::Fixed(TimeDelta::zero()),
            walked: RefCell::default(),
        }
    }
}

impl<T> SearchIndex<T> {
    /// How long changes take, from the next one on, to show in searches.
    pub fn set_lag(&mut self, lag: Lag) {
        self.lag = lag;
    }

    /// Learns that from `now` on a record is like this, or with `None` that it is gone.
    pub fn note(&mut self, key: u64, row: Option<Arc<Row<T>>>, now: DateTime<Utc>) {
        self.noted += 1;
        self.pending.insert((now + self.lag.draw(), self.noted), (key, row));
    }

    /// Takes in what is due at `now`.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        while let Some(next) = self.pending.first_entry() {
            let (due, number) = *next.key();
            if due > now {
                return;
            }
            let (key, row) = next.remove();
            let newest = self.newest.entry(key).or_default();
            if number < *newest {
                continue;
            }
            *newest = number;
            self.take_in(key, row);
        }
    }

    fn take_in(&mut self, key: u64, row: Option<Arc<Row<T>>>) {
        self.walked.take();
        let stamp = row.as_ref().and_then(|row| row.stamp);
        let before = match row {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        };
        if let Some(before) = before.and_then(|row| row.stamp) {
            self.by_stamp.remove(&(before, key));
        }
        if let Some(stamp) = stamp {
            self.by_stamp.insert((stamp, key));
        }
    }

    /// The entries with stamps in a range.
    pub fn stamped(&self, range: impl RangeBounds<(DateTime<Utc>, u64)>) -> impl Iterator<Item = &Arc<Row<T>>> {
        self.by_stamp.range(range).filter_map(|(_, key)| self.rows.get(key))
    }

    /// One page of the keys within a window of stamps and a range of keys, in key order; and how many there are.
    pub fn page(&self, window: &Window, keys: &RangeInclusive<u64>, skip: usize, take: usize) -> (usize, Vec<u64>) {
        let mut walked = self.walked.borrow_mut();
        if walked.as_ref().is_none_or(|(last, _)| last != window) {
            let entries = if window.is_empty() { Vec::new() } else { self.within(window) };
            *walked = Some((window.clone(), entries));
        }
        let all = walked.as_ref().map_or(&[][..], |(_, keys)| keys);
        let start = all.partition_point(|key| key < keys.start());
        let end = all.partition_point(|key| key <= keys.end()).max(start);
        (end - start, all[start..end].iter().skip(skip).take(take).copied().collect())
    }

    fn within(&self, window: &Window) -> Vec<u64> {
        let range = self.by_stamp.range((*window.start(), 0)..=(*window.end(), u64::MAX));
        let mut keys: Vec<u64> = range.map(|(_, key)| *key).collect();
        keys.sort_unstable();
        keys
    }

    /// The entries with keys in a range.
    pub fn keyed(&self, range: impl RangeBounds<u64>) -> impl Iterator<Item = &Arc<Row<T>>> {
        self.rows.range(range).map(|(_, row)| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    fn row(key: u64, second: i64) -> Option<Arc<Row<()>>> {
        let (created, stamp) = (at(second), Some(at(second)));
        Some(Arc::new(Row { key, created, stamp, visible_from: None, deleted: None, value: () }))
    }

    fn shown(index: &mut SearchIndex<()>, now: i64) -> Vec<(u64, i64)> {
        index.settle(at(now));
        index.stamped(..).map(|row| (row.key, row.stamp.unwrap_or_default().timestamp())).collect()
    }

    #[test]
    fn a_change_shows_once_its_lag_is_over() {
        let mut index = SearchIndex::default();
        index.note(1, row(1, 10), at(10));
        assert_eq!(shown(&mut index, 10), [(1, 10)]);
        index.set_lag(Lag::Fixed(TimeDelta::seconds(5)));
        index.note(1, row(1, 20), at(20));
        index.note(2, row(2, 21), at(21));
        index.note(1, None, at(22));
        assert_eq!(shown(&mut index, 24), [(1, 10)]);
        assert_eq!(shown(&mut index, 26), [(1, 20), (2, 21)]);
        assert_eq!(index.page(&(at(0)..=at(30)), &(0..=9), 0, 9), (2, vec![1, 2]));
        assert_eq!(index.page(&(at(0)..=at(30)), &(2..=9), 0, 9), (1, vec![2]));
        assert_eq!(shown(&mut index, 27), [(2, 21)]);
        assert_eq!(index.page(&(at(0)..=at(30)), &(0..=9), 0, 9), (1, vec![2]));
    }

    #[test]
    fn an_older_change_that_comes_in_later_changes_nothing() {
        let mut index = SearchIndex::default();
        index.set_lag(Lag::Fixed(TimeDelta::seconds(50)));
        index.note(1, row(1, 10), at(10));
        index.set_lag(Lag::Fixed(TimeDelta::zero()));
        index.note(1, row(1, 20), at(20));
        assert_eq!(shown(&mut index, 20), [(1, 20)]);
        assert_eq!(shown(&mut index, 99), [(1, 20)]);
    }

    #[test]
    fn drawn_lags_differ_by_record_and_end() {
        let mut index = SearchIndex::default();
        index.set_lag(Lag::Drawn(TimeDelta::seconds(60), fastrand::Rng::with_seed(1)));
        for key in 1..=100 {
            index.note(key, row(key, 0), at(0));
        }
        let half = shown(&mut index, 30).len();
        assert!((20..=80).contains(&half), "{half}");
        assert_eq!(shown(&mut index, 60).len(), 100);
    }
}
