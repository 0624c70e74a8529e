//! What reading a CRM has cost of the requests it allows a day.

/// What one source has spent within the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spending {
    /// Requests it sent.
    pub requests: u64,
    /// How many the CRM allows a day, by its own last word; `None` before it has said.
    pub limit: Option<u64>,
}
