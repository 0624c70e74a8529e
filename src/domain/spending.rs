//! What reading a CRM has cost of what it allows a day, in the unit it counts by: requests, or tokens of its own.

use crate::domain::Timestamp;

/// What a call is paid from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purse {
    /// What a source uses day by day.
    #[default]
    Everyday,
    /// The same share, less what a day of polls costs: for what can wait until polls leave it something.
    Leisure,
    /// What a backfill may use besides, where it has been given something of its own.
    Backfill,
}

/// Something of each purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purses<T> {
    /// Of the everyday one.
    pub everyday: T,
    /// Of what polls leave.
    pub leisure: T,
    /// Of the backfill's.
    pub backfill: T,
}

impl<T> Purses<T> {
    /// That of one purse.
    pub fn of(&mut self, purse: Purse) -> &mut T {
        match purse {
            Purse::Everyday => &mut self.everyday,
            Purse::Leisure => &mut self.leisure,
            Purse::Backfill => &mut self.backfill,
        }
    }
}

/// What one call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// In the CRM's unit.
    pub units: u64,
    /// Out of this.
    pub purse: Purse,
}

impl Cost {
    /// Where requests are counted, whatever they ask.
    pub const REQUEST: Self = Self { units: 1, purse: Purse::Everyday };
}

/// What was used of a purse within the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// So much.
    pub units: u64,
    /// When the oldest of it is a day old, and comes back.
    pub returns: Option<Timestamp>,
}

/// What one source has spent within the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spending {
    /// Requests it sent.
    pub requests: u64,
    /// What was used of each purse.
    pub used: Purses<Used>,
    /// How much the CRM allows a day, by its own last word; `None` before it has said.
    pub limit: Option<u64>,
}

impl Spending {
    /// So much for everyday reading, of a limit that is not known.
    #[must_use]
    pub fn everyday(units: u64) -> Self {
        let used = Purses { everyday: Used { units, returns: None }, ..Purses::default() };
        Self { used, ..Self::default() }
    }
}
