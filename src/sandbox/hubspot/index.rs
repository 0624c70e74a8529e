//! The search index: what search believes, which trails what records hold.
//! It must not know any field but the modification stamp.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{RangeBounds, RangeInclusive};

use chrono::{DateTime, TimeDelta, Utc};

/// Stamps by record as of some moments ago. Matching uses these; the rows shown are the current ones.
#[derive(Debug, Default)]
pub struct SearchIndex {
    stamps: BTreeMap<u64, DateTime<Utc>>,
    by_stamp: BTreeSet<(DateTime<Utc>, u64)>,
    pending: BTreeMap<(DateTime<Utc>, u64), Note>,
    noted: u64,
    lag: TimeDelta,
    /// The keys of the window walked last, until the index changes: a client asks for it page after page.
    walked: RefCell<Option<(Window, Vec<u64>)>>,
}

/// Stamps from and to, both included.
type Window = RangeInclusive<DateTime<Utc>>;

/// A record's key and its stamp from some moment on.
type Note = (u64, Option<DateTime<Utc>>);

impl SearchIndex {
    /// How long changes take, from the next one on, to show in searches.
    pub fn set_lag(&mut self, lag: TimeDelta) {
        self.lag = lag;
    }

    /// Learns that from `now` on a record has this stamp, or with `None` that it is gone.
    pub fn note(&mut self, key: u64, stamp: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        self.noted += 1;
        self.pending.insert((now + self.lag, self.noted), (key, stamp));
    }

    /// Takes in what is due at `now`.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        while let Some(next) = self.pending.first_entry() {
            if next.key().0 > now {
                return;
            }
            let (key, stamp) = next.remove();
            self.walked.take();
            let before = match stamp {
                Some(stamp) => self.stamps.insert(key, stamp),
                None => self.stamps.remove(&key),
            };
            if let Some(before) = before {
                self.by_stamp.remove(&(before, key));
            }
            if let Some(stamp) = stamp {
                self.by_stamp.insert((stamp, key));
            }
        }
    }

    /// The entries with stamps in a range.
    pub fn stamped(&self, range: impl RangeBounds<(DateTime<Utc>, u64)>) -> impl Iterator<Item = (u64, DateTime<Utc>)> {
        self.by_stamp.range(range).map(|(stamp, key)| (*key, *stamp))
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
        let mut keys: Vec<u64> =
            self.stamped((*window.start(), 0)..=(*window.end(), u64::MAX)).map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys
    }

    /// The entries with keys in a range.
    pub fn keyed(&self, range: impl RangeBounds<u64>) -> impl Iterator<Item = (u64, DateTime<Utc>)> {
        self.stamps.range(range).map(|(key, stamp)| (*key, *stamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_once_its_lag_is_over() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap_or_default();
        let shown = |index: &mut SearchIndex, now| {
            index.settle(at(now));
            index.stamped(..).collect::<Vec<_>>()
        };
        let mut index = SearchIndex::default();
        index.note(1, Some(at(10)), at(10));
        assert_eq!(shown(&mut index, 10), [(1, at(10))]);
        index.set_lag(TimeDelta::seconds(5));
        index.note(1, Some(at(20)), at(20));
        index.note(2, Some(at(21)), at(21));
        index.note(1, None, at(22));
        assert_eq!(shown(&mut index, 24), [(1, at(10))]);
        assert_eq!(shown(&mut index, 26), [(1, at(20)), (2, at(21))]);
        assert_eq!(index.page(&(at(0)..=at(30)), &(0..=9), 0, 9), (2, vec![1, 2]));
        assert_eq!(index.page(&(at(0)..=at(30)), &(2..=9), 0, 9), (1, vec![2]));
        assert_eq!(shown(&mut index, 27), [(2, at(21))]);
        assert_eq!(index.page(&(at(0)..=at(30)), &(0..=9), 0, 9), (1, vec![2]));
    }
}
