//! Records of one type: what they hold, what search believes of them, where the merged ones went.
//! It must not know what people or clients do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::sandbox::hubspot::definitions::Definitions;
use crate::sandbox::hubspot::history::{Author, History};
use crate::sandbox::hubspot::index::SearchIndex;
use crate::sandbox::hubspot::properties::Object;
use crate::sandbox::table::{Row, Table};

/// How long the recycle bin keeps what is in it.
const BIN: TimeDelta = TimeDelta::days(90);

/// Records of one type, with the search index over them.
pub struct Store<T: 'static> {
    /// The records.
    pub table: Table<T>,
    /// What search believes of them.
    pub index: SearchIndex<T>,
    /// Their properties.
    pub definitions: Definitions<T>,
    /// Their former values.
    pub history: History,
    /// Keys of the archived ones.
    pub archived: BTreeSet<u64>,
    bin: BTreeSet<(DateTime<Utc>, u64)>,
    survivors: BTreeMap<u64, u64>,
}

/// Whether a change gives its record a new modification date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Only if a property that is not calculated has another value now.
    IfChanged,
    /// In no case.
    Stays,
}

impl<T: Object> Store<T> {
    /// No records; the first one gets this key.
    pub fn new(first_key: u64) -> Self {
        Self {
            table: Table::new(first_key),
            index: SearchIndex::default(),
            definitions: Definitions::default(),
            history: History::default(),
            archived: BTreeSet::new(),
            bin: BTreeSet::new(),
            survivors: BTreeMap::new(),
        }
    }

    /// The record an id leads to, after merges; archived or not, visible or not.
    pub fn row(&self, id: &str) -> Option<&Arc<Row<T>>> {
        self.table.row(self.surviving(id.parse().ok()?))
    }

    /// The record behind a key if it is there and not archived.
    pub fn live(&self, key: u64, now: DateTime<Utc>) -> Option<&Arc<Row<T>>> {
        self.table.get(key, now).filter(|row| row.deleted.is_none())
    }

    /// The key a key leads to, after merges.
    pub fn surviving(&self, key: u64) -> u64 {
        let mut key = key;
        while let Some(survivor) = self.survivors.get(&key) {
            key = *survivor;
        }
        key
    }

    /// Adds a record.
    pub fn insert(
        &mut self,
        value: T,
        stamp: DateTime<Utc>,
        visible_from: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> u64 {
        let stamp = stamp.trunc_subsecs(3);
        let key = self.table.insert(value, stamp, Some(stamp), visible_from);
        self.show(key, visible_from.map_or(now, |from| from.max(now)));
        key
    }

    /// Changes a record, keeps what it held and, if asked to, moves its date. `false` when there is no such record.
    pub fn change(
        &mut self,
        key: u64,
        author: Author,
        stamp: Stamp,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut T),
    ) -> bool {
        let Some(before) = self.table.row(key).cloned() else { return false };
        self.table.change(key, |row| change(&mut row.value));
        let Some(after) = self.table.row(key).cloned() else { return false };
        let mut moves = false;
        for property in self.definitions.live() {
            let value = property.get(&after);
            if value != property.get(&before) {
                moves |= !property.calculated && stamp == Stamp::IfChanged;
                self.history.note(&before, property, value, author, now);
            }
        }
        drop(after);
        if moves {
            self.table.change(key, |row| row.stamp = Some(now.trunc_subsecs(3)));
        }
        self.show(key, now);
        true
    }

    /// Moves the modification date and nothing else.
    pub fn touch(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        let found = self.table.change(key, |row| row.stamp = Some(now.trunc_subsecs(3)));
        if found {
            self.show(key, now);
        }
        found
    }

    /// Into the recycle bin; the modification date stays.
    pub fn archive(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        let at = now.trunc_subsecs(3);
        let found = !self.archived.contains(&key) && self.table.change(key, |row| row.deleted = Some(at));
        if found {
            self.archived.insert(key);
            self.bin.insert((at, key));
            self.index.note(key, None, now);
        }
        found
    }

    /// Out of the recycle bin.
    pub fn restore(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        let found = self.archived.remove(&key) && self.table.change(key, |row| row.deleted = None);
        if found {
            self.bin.retain(|(_, binned)| *binned != key);
            self.show(key, now);
        }
        found
    }

    /// Gone for good: nothing shows the record any more, the recycle bin included.
    pub fn purge(&mut self, key: u64, now: DateTime<Utc>) -> bool {
        if self.archived.remove(&key) {
            self.bin.retain(|(_, binned)| *binned != key);
        }
        self.index.note(key, None, now);
        self.table.purge(key)
    }

    /// Lets one id lead to another record; the old record itself is not touched.
    pub fn lead(&mut self, from: u64, to: u64) {
        self.survivors.insert(from, to);
    }

    /// What time alone does: changes reach the index, and what lay in the bin for 90 days is gone.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        while let Some((_, key)) = self.bin.first().copied().filter(|(binned, _)| now - *binned >= BIN) {
            self.purge(key, now);
        }
        self.index.settle(now);
    }

    fn show(&mut self, key: u64, from: DateTime<Utc>) {
        let row = self.table.row(key).filter(|row| row.deleted.is_none());
        if let Some(row) = row {
            self.index.note(key, Some(Arc::clone(row)), from);
        }
    }
}
