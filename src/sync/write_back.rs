//! Propstreet's ids on their way into the CRM's field. The owed row is the announcement, written with the settlement;
//! here it is sent and settled (protocol §D.7). A write that was applied and not heard of is sent again, and the CRM
//! finds it there already. Nothing here keeps a source from being read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::domain::failure::Trouble;
use crate::domain::record::WrittenBack;
use crate::ledger::error::LedgerError;
use crate::ledger::write_backs::Owed;
use crate::sync::engine::{Engine, Source};
use crate::sync::source::PropstreetIdField;

/// The write-backs of one source in one sync.
pub(super) struct WriteBacks<'a> {
    engine: &'a Engine,
    source: &'a Source,
    written: AtomicU64,
    /// What made this sync leave the field alone; all that is owed stays owed.
    ended: Mutex<Option<Trouble>>,
}

impl<'a> WriteBacks<'a> {
    pub(super) fn new(engine: &'a Engine, source: &'a Source) -> Self {
        Self { engine, source, written: AtomicU64::new(0), ended: Mutex::default() }
    }

    /// Notes which field the CRM has for the ids, if it has one. A new one is owed everybody.
    pub(super) async fn open(&self) -> Result<(), LedgerError> {
        let field = self.source.crm.field().map(PropstreetIdField::name);
        self.engine.ledger.write_back_into(&self.source.name, field).await
    }

    /// Sends all that is owed by now, until the CRM will not have it.
    pub(super) async fn run(&self) -> Result<(), LedgerError> {
        let Some(field) = self.source.crm.field() else { return Ok(()) };
        // One instant for the whole run: who is put off in it does not come back in it.
        let now = self.engine.clock.now();
        while self.ended().is_none() {
            let owed = self.engine.ledger.owed(&self.source.name, now, field.at_once().max(1)).await?;
            if owed.is_empty() {
                break;
            }
            match send(field, owed).await {
                Ok(answers) => self.settle(answers).await?,
                Err(trouble) => self.end(trouble),
            }
        }
        Ok(())
    }

    async fn settle(&self, answers: Vec<(Owed, WrittenBack)>) -> Result<(), LedgerError> {
        let written = answers.iter().filter(|(_, answer)| *answer == WrittenBack::Written).count() as u64;
        self.engine.ledger.written_back(answers, self.engine.clock.now()).await?;
        self.written.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }

    /// How many ids were written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// What the CRM has against it. That reading goes first is nothing: `status` counts what is owed.
    pub(super) fn lost(&self) -> Option<Trouble> {
        self.ended().filter(|trouble| !matches!(trouble, Trouble::Spared(_)))
    }

    fn ended(&self) -> Option<Trouble> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self, trouble: Trouble) {
        let source = &self.source.name;
        match &trouble {
            Trouble::Spared(why) => tracing::info!(source, why, "write-back waits"),
            trouble => tracing::warn!(source, %trouble, "write-back given up for this sync"),
        }
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
    }
}

async fn send(field: &dyn PropstreetIdField, owed: Vec<Owed>) -> Result<Vec<(Owed, WrittenBack)>, Trouble> {
    let answers = field.write(owed.iter().map(Owed::link).collect()).await?;
    // Answers are told apart by their place alone.
    if answers.len() != owed.len() {
        return Err(Trouble::Protocol(format!("{} answers to {} write-backs", answers.len(), owed.len())));
    }
    Ok(owed.into_iter().zip(answers).collect())
}
