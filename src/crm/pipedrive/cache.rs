//! What was looked up lately, and how long that will do. It asks nobody.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::crm::pipedrive::persons::Organizations;
use crate::crm::pipedrive::wire::{Options, Row};

/// While everyone is read, colleagues share an organization; it is read once in this time, and at most so many are
/// kept.
const ORGANIZATIONS_LAST: Duration = Duration::from_secs(5 * 60);
const ORGANIZATIONS_KEPT: usize = 5_000;

/// What was looked up lately.
#[derive(Default)]
pub(super) struct Lookups {
    pub(super) options: tokio::sync::Mutex<Option<(Instant, Arc<Options>)>>,
    organizations: std::sync::Mutex<HashMap<String, (Instant, Row)>>,
}

/// Whether an organization read a moment ago will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It was changed perhaps together with the person: read it.
    Now,
    /// It is one of many.
    Lately,
}

impl Lookups {
    /// Those of these organizations that were read a moment ago.
    pub(super) fn known(&self, ids: &BTreeSet<String>, now: Instant) -> Organizations {
        let kept = self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |id: &String| {
            let (read, fields) = kept.get(id)?;
            (now.saturating_duration_since(*read) < ORGANIZATIONS_LAST).then(|| (id.clone(), fields.clone()))
        };
        ids.iter().filter_map(fresh).collect()
    }

    /// Keeps what was read now, and lets go of what is old.
    pub(super) fn keep(&self, read: &Organizations, now: Instant) {
        let mut kept = self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (since, _)| now.saturating_duration_since(*since) < ORGANIZATIONS_LAST);
        if kept.len() + read.len() > ORGANIZATIONS_KEPT {
            kept.clear();
        }
        kept.extend(read.iter().map(|(id, fields)| (id.clone(), (now, fields.clone()))));
    }
}
