//! Rows of a CRM by key and by (stamp, key), each perhaps visible only from a later moment on.
//! It must not know what a row holds, nor how any API spells it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use chrono::{DateTime, Utc};

/// A place in the stamp index; a missing stamp sorts first, as NULL does.
pub type Place = (Option<DateTime<Utc>>, u64);

/// One record and the book-keeping every CRM has.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// The number behind the id; grows with every insert.
    pub key: u64,
    /// When the record was made.
    pub created: DateTime<Utc>,
    /// The modification stamp the API shows; some CRMs hold rows without one.
    pub stamp: Option<DateTime<Utc>>,
    /// The commit: before it no request sees the row, however old its stamp is.
    pub visible_from: Option<DateTime<Utc>>,
    /// When the record was put into the bin.
    pub deleted: Option<DateTime<Utc>>,
    /// The fields.
    pub value: T,
}

impl<T> Row<T> {
    fn is_visible(&self, now: DateTime<Utc>) -> bool {
        self.visible_from.is_none_or(|from| from <= now)
    }
}

/// A set of rows. Rows are shared, so that a cursor can hold a snapshot of 100,000 of them for the price of the pointers.
#[derive(Debug)]
pub struct Table<T> {
    rows: BTreeMap<u64, Arc<Row<T>>>,
    by_stamp: BTreeSet<Place>,
    late: BTreeSet<(DateTime<Utc>, u64)>,
    next_key: u64,
}

impl<T: Clone> Table<T> {
    /// An empty table whose first row gets `first_key`.
    pub fn new(first_key: u64) -> Self {
        Self { rows: BTreeMap::new(), by_stamp: BTreeSet::new(), late: BTreeSet::new(), next_key: first_key }
    }

    /// Adds a row and answers its key.
    pub fn insert(
        &mut self,
        value: T,
        created: DateTime<Utc>,
        stamp: Option<DateTime<Utc>>,
        visible_from: Option<DateTime<Utc>>,
    ) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.by_stamp.insert((stamp, key));
        if let Some(from) = visible_from {
            self.late.insert((from, key));
        }
        self.rows.insert(key, Arc::new(Row { key, created, stamp, visible_from, deleted: None, value }));
        key
    }

    /// The row as a request at `now` sees it, binned ones included.
    pub fn get(&self, key: u64, now: DateTime<Utc>) -> Option<&Arc<Row<T>>> {
        self.row(key).filter(|row| row.is_visible(now))
    }

    /// The row whether it is visible yet or not.
    pub fn row(&self, key: u64) -> Option<&Arc<Row<T>>> {
        self.rows.get(&key)
    }

    /// Changes a row in any way, its stamp included. `false` when there is no such row.
    pub fn change(&mut self, key: u64, change: impl FnOnce(&mut Row<T>)) -> bool {
        let Some(shared) = self.rows.get_mut(&key) else { return false };
        let row = Arc::make_mut(shared);
        let before = row.stamp;
        change(row);
        if row.stamp != before {
            self.by_stamp.remove(&(before, key));
            self.by_stamp.insert((row.stamp, key));
        }
        true
    }

    /// Takes a row away for good: nothing, not even the bin, shows it any more.
    pub fn purge(&mut self, key: u64) -> bool {
        let Some(row) = self.rows.remove(&key) else { return false };
        self.by_stamp.remove(&(row.stamp, key));
        if let Some(from) = row.visible_from {
            self.late.remove(&(from, key));
        }
        true
    }

    /// Visible rows in key order.
    pub fn by_key(
        &self,
        range: impl RangeBounds<u64>,
        now: DateTime<Utc>,
    ) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> {
        self.rows.range(range).map(|(_, row)| row).filter(move |row| row.is_visible(now))
    }

    /// Visible rows in (stamp, key) order.
    pub fn by_stamp(
        &self,
        range: impl RangeBounds<Place>,
        now: DateTime<Utc>,
    ) -> impl DoubleEndedIterator<Item = &Arc<Row<T>>> {
        self.by_stamp.range(range).filter_map(|(_, key)| self.rows.get(key)).filter(move |row| row.is_visible(now))
    }

    /// The oldest stamp among the rows that are written but not yet committed at `now`.
    pub fn oldest_uncommitted(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let late = self.late.range((Bound::Excluded((now, u64::MAX)), Bound::Unbounded));
        late.filter_map(|(_, key)| self.rows.get(key)?.stamp).min()
    }

    /// Every key, visible or not, binned or not.
    pub fn keys(&self) -> Vec<u64> {
        self.rows.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap_or_default()
    }

    fn keys<'a>(rows: impl Iterator<Item = &'a Arc<Row<&'static str>>>) -> Vec<u64> {
        rows.map(|row| row.key).collect()
    }

    #[test]
    fn a_late_row_keeps_its_old_place_once_it_shows() {
        let mut table = Table::new(1);
        table.insert("on time", at(20), Some(at(20)), None);
        let late = table.insert("late", at(10), Some(at(10)), Some(at(50)));
        assert_eq!(keys(table.by_stamp(.., at(49))), [1]);
        assert_eq!(table.oldest_uncommitted(at(49)), Some(at(10)));
        assert!(table.get(late, at(49)).is_none());
        assert_eq!(keys(table.by_stamp(.., at(50))), [2, 1]);
        assert_eq!(table.oldest_uncommitted(at(50)), None);
    }

    #[test]
    fn the_stamp_index_follows_changes_and_purges() {
        let mut table = Table::new(1);
        for second in [30, 10, 20] {
            table.insert("row", at(second), Some(at(second)), None);
        }
        table.insert("no stamp", at(5), None, None);
        assert_eq!(keys(table.by_stamp(.., at(99))), [4, 2, 3, 1]);
        table.change(2, |row| row.stamp = Some(at(40)));
        assert_eq!(keys(table.by_stamp((Some(at(20)), 0).., at(99))), [3, 1, 2]);
        assert!(table.purge(1) && !table.purge(1));
        assert_eq!(keys(table.by_stamp(.., at(99))), [4, 3, 2]);
    }
}
