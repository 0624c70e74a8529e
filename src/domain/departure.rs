//! Who leaves a CRM: on what evidence, how many at once, and what becomes of the contact (protocol §H). Pure.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::domain::pass;

/// How it is known that a record is there no longer. Being absent from one answer is no evidence: a permission that was
/// taken away looks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The CRM itself calls it deleted.
    Feed,
    /// A complete listing of everyone does not have it, and asked for by its id it is not shown.
    Sweep,
    /// It is there, and the operator's filter keeps it out.
    Filter,
}

impl Evidence {
    /// The word used in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Sweep => "sweep",
            Self::Filter => "filter",
        }
    }

    /// The same to a person.
    #[must_use]
    pub fn told(self) -> &'static str {
        match self {
            Self::Feed => "the CRM calls it deleted",
            Self::Sweep => "the CRM shows it no longer",
            Self::Filter => "the filter keeps it out",
        }
    }

    /// The tag that says so on a contact.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Feed | Self::Sweep => TAG,
            Self::Filter => FILTERED_TAG,
        }
    }

    /// The evidence that word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Feed, Self::Sweep, Self::Filter].into_iter().find(|evidence| evidence.as_str() == word)
    }
}

/// What became of the contact of a record that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It stays as it is.
    Kept,
    /// It carries the tag.
    Tagged,
    /// It is deleted.
    Deleted,
    /// It stands for the record that this one was merged into.
    Moved,
    /// Nothing yet: more have left than may without a person's word.
    Held,
}

impl Fate {
    /// Every fate, in the order of the books.
    pub const ALL: [Self; 5] = [Self::Kept, Self::Tagged, Self::Deleted, Self::Moved, Self::Held];

    /// The word used in the ledger and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Tagged => "tagged",
            Self::Deleted => "deleted",
            Self::Moved => "moved",
            Self::Held => "held",
        }
    }

    /// The fate that word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.as_str() == word)
    }
}

/// The tag of a contact whose record was deleted.
pub const TAG: &str = "deleted-in-crm";
/// The tag of a contact whose record the filter keeps out.
pub const FILTERED_TAG: &str = "filtered-in-crm";

/// How many may leave a source within a day before a person must look: as configured, or a twentieth of those who live
/// there, though never fewer than 10 nor more than 50.
#[must_use]
pub fn allowed(live: u64, configured: Option<u32>) -> u64 {
    configured.map_or((live / 20).clamp(10, 50), u64::from)
}

/// Why some are held back: more left within a day than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// So many may.
    pub allowed: u64,
    /// So many would have to.
    pub needed: u64,
}

/// Whether what a listing shows is older than what is known already: an echo of before.
#[must_use]
pub fn is_late(shown: Option<Timestamp>, known: Option<Timestamp>) -> bool {
    shown.zip(known).is_some_and(|(shown, known)| shown < known)
}

/// A contact that is to be deleted because its record is: what speaks against it.
#[derive(Debug)]
pub struct Ties<'a> {
    /// Its row version as Propstreet shows it now.
    pub version: Option<&'a str>,
    /// The row versions that our own last writes left.
    pub ours: &'a [Option<String>],
    /// How many of its references stand for somebody who has not left, or are none of ours.
    pub live_refs: usize,
    /// Whether it was in Propstreet without any of these references, which were added to it.
    pub only_joined: bool,
}

/// Why a contact must stay; `None` if nothing speaks against its deletion.
#[must_use]
pub fn why_stay(ties: &Ties<'_>) -> Option<&'static str> {
    if ties.live_refs > 0 {
        return Some("another record still stands behind it");
    }
    if ties.only_joined {
        return Some("it was in Propstreet before, and the record was only added to it");
    }
    let ours = ties.version.is_some_and(|version| ties.ours.iter().flatten().any(|ours| ours == version));
    (!ours).then_some("it was changed in Propstreet since it was last written from here")
}

/// The books of who left: gone = kept + tagged + deleted + moved + held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is the fate of the same name")]
pub struct Departures {
    pub kept: u64,
    pub tagged: u64,
    pub deleted: u64,
    pub moved: u64,
    pub held: u64,
}

impl Departures {
    /// The count of one fate.
    #[must_use]
    pub fn of(&self, fate: Fate) -> u64 {
        match fate {
            Fate::Kept => self.kept,
            Fate::Tagged => self.tagged,
            Fate::Deleted => self.deleted,
            Fate::Moved => self.moved,
            Fate::Held => self.held,
        }
    }

    /// All who left.
    #[must_use]
    pub fn gone(&self) -> u64 {
        Fate::ALL.iter().map(|fate| self.of(*fate)).sum()
    }

    fn of_mut(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::Kept => &mut self.kept,
            Fate::Tagged => &mut self.tagged,
            Fate::Deleted => &mut self.deleted,
            Fate::Moved => &mut self.moved,
            Fate::Held => &mut self.held,
        }
    }
}

/// Those books while they are kept: each distinct reference once, with its last fate. Who is held is a number, as the
/// pass that counted last says.
#[derive(Debug, Default)]
pub struct Tombstones {
    fates: HashMap<u64, Fate>,
    held: Option<u64>,
}

impl Tombstones {
    /// A reference left.
    pub fn left(&mut self, key: &RefKey, fate: Fate) {
        self.fates.insert(pass::hash(key), fate);
    }

    /// So many are held back.
    pub fn held(&mut self, count: u64) {
        self.held = Some(count);
    }

    /// Adds the books of a later pass.
    pub fn merge(&mut self, later: Self) {
        self.fates.extend(later.fates);
        self.held = later.held.or(self.held);
    }

    /// The totals as they stand.
    #[must_use]
    pub fn counts(&self) -> Departures {
        let mut counts = Departures { held: self.held.unwrap_or(0), ..Departures::default() };
        for fate in self.fates.values() {
            *counts.of_mut(*fate) += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_may_go_within_ten_and_fifty_or_what_is_configured() {
        for (live, configured, expected) in [
            (0, None, 10),
            (200, None, 10),
            (219, None, 10),
            (220, None, 11),
            (1_000, None, 50),
            (1_000_000, None, 50),
            (1_000_000, Some(4_000), 4_000),
            (10, Some(1), 1),
        ] {
            assert_eq!(allowed(live, configured), expected, "{live} {configured:?}");
        }
    }

    #[test]
    fn only_an_older_stamp_is_an_echo() {
        let at = |seconds: i64| Timestamp::from_timestamp(seconds, 0);
        for (shown, known, late) in [
            (at(1), at(2), true),
            (at(2), at(2), false),
            (at(3), at(2), false),
            (None, at(2), false),
            (at(1), None, false),
        ] {
            assert_eq!(is_late(shown, known), late, "{shown:?} {known:?}");
        }
    }

    #[test]
    fn a_contact_stays_while_anybody_stands_behind_it_or_has_touched_it() {
        let ours = [Some("v1".to_owned()), None, Some("v2".to_owned())];
        for (version, live_refs, only_joined, word) in [
            (Some("v1"), 0, false, None),
            (Some("v2"), 0, false, None),
            (Some("v2"), 1, false, Some("another record")),
            (Some("v2"), 0, true, Some("before")),
            (Some("v3"), 0, false, Some("changed")),
            (None, 0, false, Some("changed")),
        ] {
            let why = why_stay(&Ties { version, ours: &ours, live_refs, only_joined });
            assert_eq!(why.is_some(), word.is_some(), "{version:?} {live_refs}");
            assert!(why.unwrap_or_default().contains(word.unwrap_or_default()));
        }
        assert!(
            why_stay(&Ties { version: None, ours: &[None], live_refs: 0, only_joined: false }).is_some(),
            "no version is no proof"
        );
    }

    #[test]
    fn each_who_left_counts_once() {
        let key = |id: &str| RefKey::from_parts("hubspot", id);
        let mut books = Tombstones::default();
        books.held(7);
        books.left(&key("1"), Fate::Kept);
        let mut later = Tombstones::default();
        later.left(&key("1"), Fate::Kept);
        later.left(&key("2"), Fate::Moved);
        books.merge(later);
        let counts = books.counts();
        assert_eq!((counts.kept, counts.moved, counts.held, counts.gone()), (1, 1, 7, 9));
        let mut freed = Tombstones::default();
        freed.held(0);
        books.merge(freed);
        assert_eq!(books.counts().held, 0, "the pass that counted last knows");
    }
}
