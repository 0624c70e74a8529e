//! What a delivery may touch: the engine's parts, its source, its pass. It decides nothing.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::domain::keyed::Keyed;
use crate::ledger::forget::Tombstones;
use crate::ledger::passes::PassId;
use crate::sync::engine::{Engine, Source};
use crate::sync::patience::Patience;

/// What a delivery may touch.
pub(super) struct Desk<'a> {
    pub(super) engine: &'a Engine,
    pub(super) source: &'a Source,
    pub(super) patience: &'a Patience,
    pub(super) pass: PassId,
    /// Stamps at or above it are not final: a second change in the same second may still come.
    pub(super) bound: Timestamp,
    /// Each record is looked at anew, whatever its stamp and its row say: somebody asked for it, or its time has come.
    pub(super) again: bool,
    /// Contacts that somebody deleted in Propstreet are brought back.
    pub(super) revive: bool,
    /// Whom to leave out, because they asked to be erased.
    pub(super) forgotten: Tombstones,
    /// So many people may be updated within a day. A first backfill is free.
    pub(super) guarded: bool,
    /// Calls to Propstreet on behalf of this source's records.
    pub(super) calls: AtomicU64,
}

impl Desk<'_> {
    pub(super) fn key(&self, id: &str) -> RefKey {
        self.engine.rules.key(&self.source.namespace, id)
    }

    pub(super) fn keyed(&self) -> &Keyed {
        self.engine.ledger.keyed()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// A short pause before the next try: 0.5 s doubled each time to 8 s, and up to half as much again by chance.
    pub(super) async fn pause(&self, tries: u32) {
        let base = Duration::from_millis(250 << tries.clamp(1, 5));
        self.engine.clock.sleep(base.mul_f64(1.0 + self.engine.dice.fraction() / 2.0)).await;
    }
}
