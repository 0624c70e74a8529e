//! What may be asked of a source, by its schedule, its CRM or a person: whoever asks, it looks the same.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// Work on one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// The source's name.
    pub source: String,
    /// What is to be done.
    pub work: Work,
    /// How long an upstream that is down is waited for; after that what is open is deferred.
    pub max_wait: Duration,
}

/// What is to be done with a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// All that it is owed: its backfill, what is due again, what changed, a sweep.
    Sync,
    /// Chosen records are read anew, whatever is known of them, and delivered. No cursor moves.
    Resync {
        /// Which.
        chosen: Chosen,
        /// Contacts that somebody deleted in Propstreet are brought back.
        revive: bool,
    },
}

/// Which records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
