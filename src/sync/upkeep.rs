//! What is done for a source after each page, besides its people: ids that are owed go back to the CRM, and what the CRM
//! was asked is written down, so that a process that dies forgets at most a page's requests.

use std::sync::{Mutex, PoisonError};

use crate::domain::spending::Purses;
use crate::ledger::error::LedgerError;
use crate::sync::engine::{Engine, Source};
use crate::sync::write_back::WriteBacks;

/// The upkeep of one source in one sync.
pub(super) struct Upkeep<'a> {
    engine: &'a Engine,
    source: &'a Source,
    /// The CRM's requests at the sync's beginning.
    began_at: u64,
    /// Requests and what was spent, as last written down.
    noted: Mutex<(u64, Purses<u64>)>,
    pub(super) write_backs: WriteBacks<'a>,
}

impl<'a> Upkeep<'a> {
    pub(super) fn new(engine: &'a Engine, source: &'a Source) -> Self {
        let began_at = source.crm.requests();
        let noted = Mutex::new((began_at, source.crm.spending()));
        Self { engine, source, began_at, noted, write_backs: WriteBacks::new(engine, source) }
    }

    /// Tells the CRM's adapter what the source has cost within the last day, before anything is asked.
    pub(super) async fn tell_spent(&self) -> Result<(), LedgerError> {
        let spent = self.engine.ledger.spent(&self.source.name, self.engine.clock.now()).await?;
        self.source.crm.spent(spent);
        Ok(())
    }

    /// After a page, and after a pass that went well.
    pub(super) async fn run(&self) -> Result<(), LedgerError> {
        self.write_backs.run().await?;
        self.note_spending().await
    }

    /// Writes down what was spent on the CRM since the last time.
    pub(super) async fn note_spending(&self) -> Result<(), LedgerError> {
        let now = (self.source.crm.requests(), self.source.crm.spending());
        let then = std::mem::replace(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner), now);
        if now == then {
            return Ok(());
        }
        let ((sent, spent), (sent_before, before)) = (now, then);
        let requests = sent.saturating_sub(sent_before);
        let paid = Purses {
            everyday: spent.everyday.saturating_sub(before.everyday),
            leisure: spent.leisure.saturating_sub(before.leisure),
            backfill: spent.backfill.saturating_sub(before.backfill),
        };
        let limit = self.source.crm.daily_limit();
        self.engine.ledger.spend(&self.source.name, requests, paid, limit, self.engine.clock.now()).await
    }

    /// Requests to the CRM in this sync.
    pub(super) fn requests(&self) -> u64 {
        self.source.crm.requests() - self.began_at
    }
}
