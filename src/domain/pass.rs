//! A pass over one source: its kind, how each record ended in it, and the books that must balance.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::domain::identity::RefKey;

/// Why a source is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PassKind {
    /// What changed since the watermark.
    Poll,
    /// What changed some time ago, read once more for what polls came too early for.
    Trail,
    /// Everyone, for the first time.
    Backfill,
    /// Everyone's id and stamp, to find what polls cannot see.
    Sweep,
    /// Chosen records, on demand.
    Resync,
    /// Deferred records that are due.
    Retry,
}

impl PassKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Poll, Self::Trail, Self::Backfill, Self::Sweep, Self::Resync, Self::Retry];

    /// The word used in the ledger and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Trail => "trail",
            Self::Backfill => "backfill",
            Self::Sweep => "sweep",
            Self::Resync => "resync",
            Self::Retry => "retry",
        }
    }

    /// The kind that word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How a record ended in a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Propstreet holds a new contact.
    Created,
    /// Propstreet already had this ref.
    Adopted,
    /// Propstreet had this person; our ref was added.
    Linked,
    /// Owned fields were written.
    Updated,
    /// Nothing to do.
    Unchanged,
    /// Left alone, for a reason from a closed list.
    Skipped,
    /// Needs a person.
    Quarantined,
    /// Will be tried again by itself.
    Deferred,
}

impl Outcome {
    /// Every outcome, in the order of the books.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Adopted,
        Self::Linked,
        Self::Updated,
        Self::Unchanged,
        Self::Skipped,
        Self::Quarantined,
        Self::Deferred,
    ];

    /// The word used in the ledger and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Adopted => "adopted",
            Self::Linked => "linked",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Skipped => "skipped",
            Self::Quarantined => "quarantined",
            Self::Deferred => "deferred",
        }
    }

    /// The outcome that word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == word)
    }
}

/// Why a record was left alone. A closed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SkipReason {
    /// The source's filter keeps it out.
    Filtered,
    /// It changed in the CRM and `on_change = "ignore"`.
    ChangeIgnored,
    /// Someone deleted the contact in Propstreet; we respect that.
    DeletedInPropstreet,
    /// The CRM no longer has it.
    Gone,
    /// A rule says that records without an identifier are left out.
    NoIdentifierByRule,
    /// It was merged into another record.
    MergedInto(RefKey),
    /// Somebody asked for this person to be erased. No row says so.
    Forgotten,
}

impl SkipReason {
    /// The word used in the ledger and in output.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Filtered => "filtered".to_owned(),
            Self::ChangeIgnored => "change_ignored".to_owned(),
            Self::DeletedInPropstreet => "deleted_in_propstreet".to_owned(),
            Self::Gone => "gone".to_owned(),
            Self::Forgotten => "forgotten".to_owned(),
            Self::NoIdentifierByRule => "no_identifier_by_rule".to_owned(),
            Self::MergedInto(key) => format!("merged_into:{key}"),
        }
    }
}

/// The totals of a pass. `read` is counted on its own, so that [`Counts::balanced`] can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the outcome of the same name")]
pub struct Counts {
    pub read: u64,
    pub created: u64,
    pub adopted: u64,
    pub linked: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub skipped: u64,
    pub quarantined: u64,
    pub deferred: u64,
}

impl Counts {
    /// The count of one outcome.
    #[must_use]
    pub fn of(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Created => self.created,
            Outcome::Adopted => self.adopted,
            Outcome::Linked => self.linked,
            Outcome::Updated => self.updated,
            Outcome::Unchanged => self.unchanged,
            Outcome::Skipped => self.skipped,
            Outcome::Quarantined => self.quarantined,
            Outcome::Deferred => self.deferred,
        }
    }

    fn of_mut(&mut self, outcome: Outcome) -> &mut u64 {
        match outcome {
            Outcome::Created => &mut self.created,
            Outcome::Adopted => &mut self.adopted,
            Outcome::Linked => &mut self.linked,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Quarantined => &mut self.quarantined,
            Outcome::Deferred => &mut self.deferred,
        }
    }

    /// read = created + adopted + linked + updated + unchanged + skipped + quarantined + deferred.
    #[must_use]
    pub fn balanced(&self) -> bool {
        self.read == Outcome::ALL.iter().map(|o| self.of(*o)).sum::<u64>()
    }
}

/// The books while a pass runs: each distinct ref once, with its final outcome.
/// Sixteen bytes a ref, so that a backfill of a million keeps its books in memory.
#[derive(Debug, Default)]
pub struct Books {
    refs: HashMap<u64, Option<Outcome>>,
}

impl Books {
    /// A ref was handed to the engine. A second sighting counts once.
    pub fn read(&mut self, key: &RefKey) {
        self.refs.entry(hash(key)).or_insert(None);
    }

    /// A ref ended. A later outcome replaces an earlier one, but `unchanged` never hides what this pass did.
    pub fn ended(&mut self, key: &RefKey, outcome: Outcome) {
        let slot = self.refs.entry(hash(key)).or_insert(None);
        if slot.is_none() || outcome != Outcome::Unchanged {
            *slot = Some(outcome);
        }
    }

    /// Adds the books of a later pass, by the same rule.
    pub fn merge(&mut self, later: &Books) {
        for (key, outcome) in &later.refs {
            let slot = self.refs.entry(*key).or_insert(None);
            if slot.is_none() || !matches!(outcome, None | Some(Outcome::Unchanged)) {
                *slot = *outcome;
            }
        }
    }

    /// The totals as they stand. A ref without an outcome leaves the books open.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { read: self.refs.len() as u64, ..Counts::default() };
        for outcome in self.refs.values().flatten() {
            *counts.of_mut(*outcome) += 1;
        }
        counts
    }
}

/// What the books keep of a reference.
pub(in crate::domain) fn hash(key: &RefKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_sighting_counts_once_and_unchanged_hides_nothing() {
        let (a, b) = (RefKey::from_parts("hubspot", "1"), RefKey::from_parts("hubspot", "2"));
        let mut books = Books::default();
        books.read(&a);
        books.read(&a);
        books.ended(&a, Outcome::Created);
        books.ended(&a, Outcome::Unchanged);
        books.read(&b);
        assert!(!books.counts().balanced(), "b has no outcome yet");
        books.ended(&b, Outcome::Deferred);
        books.ended(&b, Outcome::Adopted);
        let counts = books.counts();
        assert!(counts.balanced());
        assert_eq!((counts.read, counts.created, counts.adopted, counts.deferred), (2, 1, 1, 0));
    }
}
