//! What a person may ask to be read anew.

use crate::domain::Timestamp;

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// Those with these ids of the CRM.
    Ids(Vec<String>),
    /// Those whose stamp lies in this span; without an end, up to what the CRM can show for certain.
    Since {
        /// From here on.
        since: Timestamp,
        /// Up to here, exclusive.
        until: Option<Timestamp>,
    },
    /// Everyone.
    Everyone,
}
