//! How many contacts are updated within a day, and how many wait.

use serde::{Deserialize, Serialize};

use crate::domain::departure::Guard;

/// How the updates of a source stand against what may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Updates {
    /// Those that wait.
    pub waiting: u64,
    /// Those that were written within the day, or are under way.
    pub recent: u64,
    /// So many may be within a day.
    pub allowed: u64,
}

impl Updates {
    /// How many more may be written now.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.allowed.saturating_sub(self.recent)
    }

    /// The bound, and what it would have to be for all who wait.
    #[must_use]
    pub fn guard(&self) -> Guard {
        Guard { allowed: self.allowed, needed: self.recent + self.waiting }
    }
}
