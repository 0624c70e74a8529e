//! What is done for a source after each page, besides its people: ids that are owed go back to the CRM, and what the CRM
//! was asked is written down, so that a process that dies forgets at most a page's requests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::error::LedgerError;
use crate::sync::engine::{Engine, Source};
use crate::sync::write_back::WriteBacks;

/// The upkeep of one source in one sync.
pub(super) struct Upkeep<'a> {
    engine: &'a Engine,
    source: &'a Source,
    /// The CRM's counter at the sync's beginning, and as last written down.
    began_at: u64,
    noted: AtomicU64,
    pub(super) write_backs: WriteBacks<'a>,
}

impl<'a> Upkeep<'a> {
    pub(super) fn new(engine: &'a Engine, source: &'a Source) -> Self {
        let (began_at, write_backs) = (source.crm.requests(), WriteBacks::new(engine, source));
        Self { engine, source, began_at, noted: AtomicU64::new(began_at), write_backs }
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
        self.note_requests().await
    }

    /// Writes down what was asked of the CRM since the last time.
    pub(super) async fn note_requests(&self) -> Result<(), LedgerError> {
        let sent = self.source.crm.requests();
        let before = self.noted.swap(sent, Ordering::Relaxed);
        if sent == before {
            return Ok(());
        }
        let limit = self.source.crm.daily_limit();
        self.engine.ledger.spend(&self.source.name, sent - before, limit, self.engine.clock.now()).await
    }

    /// Requests to the CRM in this sync.
    pub(super) fn requests(&self) -> u64 {
        self.source.crm.requests() - self.began_at
    }
}
