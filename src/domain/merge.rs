//! Two records that the CRM made one: whose contact the survivor gets, and when a person must look (protocol §H). Pure.

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;

/// That a CRM's webhook has told of a merge, by the CRM's canonical ids: a hint, until reading has borne it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The record that is said to be there no longer.
    pub loser: String,
    /// The record that it is said to have become a part of.
    pub survivor: String,
}

/// That a record was merged into another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// That record.
    pub survivor: RefKey,
    /// Who was merged and is shown with no older stamp is alive again.
    pub stamp: Option<Timestamp>,
}

/// Where a reference stands in Propstreet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// On no contact.
    #[default]
    Nowhere,
    /// On this one.
    On(String),
    /// On one that was deleted there.
    Deleted,
}

/// Where a survivor will stand: where it does, or else where one of those it has replaced does. A living contact goes
/// before a deleted one, and a person's deletion is respected.
#[must_use]
pub fn heir<'p>(survivor: &'p Place, losers: impl IntoIterator<Item = &'p Place>) -> Place {
    let weight = |place: &&Place| match place {
        Place::On(_) => 0,
        Place::Deleted => 1,
        Place::Nowhere => 2,
    };
    if *survivor != Place::Nowhere {
        return survivor.clone();
    }
    losers.into_iter().min_by_key(weight).cloned().unwrap_or_default()
}

/// Whether the two stand on contacts of their own. Nothing is merged in Propstreet then: a person must.
#[must_use]
pub fn apart(loser: &Place, survivor: &Place) -> bool {
    matches!((loser, survivor), (Place::On(one), Place::On(other)) if one != other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(word: &str) -> Place {
        match word {
            "-" => Place::Nowhere,
            "deleted" => Place::Deleted,
            id => Place::On(id.to_owned()),
        }
    }

    /// The survivor, those it replaced, where it will stand, and who of them stays apart from it.
    const CASES: &str = "\
        -       |             | -       |
        -       | -           | -       |
        -       | a           | a       |
        -       | deleted     | deleted |
        -       | deleted a   | a       |
        -       | - a b       | a       | b
        -       | a a         | a       |
        a       | -           | a       |
        a       | a           | a       |
        a       | b           | a       | b
        a       | deleted b c | a       | b c
        deleted | -           | deleted |
        deleted | a           | deleted |
        deleted | deleted     | deleted |";

    #[test]
    fn every_row_of_a_merge() {
        for row in CASES.lines() {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [survivor, losers, stands, apart_from_it] = cells[..] else { panic!("{row}") };
            let losers: Vec<Place> = losers.split_whitespace().map(place).collect();
            let then = heir(&place(survivor), &losers);
            assert_eq!(then, place(stands), "{row}");
            let left: Vec<&Place> = losers.iter().filter(|loser| apart(loser, &then)).collect();
            let expected: Vec<Place> = apart_from_it.split_whitespace().map(place).collect();
            assert_eq!(left, expected.iter().collect::<Vec<_>>(), "{row}");
        }
    }
}
