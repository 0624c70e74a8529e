//! Asking Propstreet on behalf of one record: what may be asked again, what is sent once, and who is to blame when no
//! answer comes.

use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use crate::domain::failure::{Complaint, Reason, Trouble, Wait};
use crate::ledger::error::LedgerError;
use crate::sync::deliver::{Delivery, Halt};
use crate::sync::desk::Desk;

/// A record that fails alone this often, over [`POISON_AGE`] or more, is put aside.
const POISON_TRIES: u32 = 5;
const POISON_AGE: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// What became of a write that was sent.
pub(super) enum Sent<T> {
    Answered(T),
    /// It may have been applied.
    Lost(String),
}

impl Delivery<'_> {
    /// Asks Propstreet something that may be asked again.
    pub(super) async fn ask<'s, T>(
        &'s self,
        call: impl Fn(&'s Desk<'s>) -> BoxFuture<'s, Result<T, Trouble>>,
    ) -> Result<T, Halt> {
        let mut tries = 0;
        loop {
            match self.send(&call).await? {
                Sent::Answered(answer) => return Ok(answer),
                Sent::Lost(cause) if tries >= 3 => return Err(Halt::Defer(Wait::RecordFails, cause)),
                Sent::Lost(_) => {
                    tries += 1;
                    self.desk.pause(tries).await;
                }
            }
        }
    }

    /// Sends something once; what certainly had no effect is sent again when Propstreet is back.
    pub(super) async fn send<'s, T>(
        &'s self,
        call: impl Fn(&'s Desk<'s>) -> BoxFuture<'s, Result<T, Trouble>>,
    ) -> Result<Sent<T>, Halt> {
        let patience = self.desk.patience;
        let mut began = None;
        loop {
            if let Some(lost) = patience.lost() {
                return Err(Halt::Lost(lost));
            }
            self.desk.calls.fetch_add(1, Ordering::Relaxed);
            match call(self.desk).await {
                Ok(answer) => return Ok(Sent::Answered(answer)),
                Err(Trouble::Ambiguous(cause)) => return Ok(Sent::Lost(cause)),
                Err(trouble @ (Trouble::NotSent { .. } | Trouble::Spared(_) | Trouble::Outage(_))) => {
                    patience.outlast(&*self.desk.engine.destination, &mut began, trouble).await?;
                }
                Err(trouble @ Trouble::Credential(_)) => {
                    patience.lose(trouble.clone());
                    return Err(Halt::Lost(trouble));
                }
                Err(Trouble::Forbidden(cause)) => {
                    return Err(Halt::Quarantine(Complaint::new(Reason::Forbidden, cause)));
                }
                Err(Trouble::Protocol(cause) | Trouble::TooLarge(cause)) => {
                    return Err(Halt::Defer(Wait::RecordFails, cause));
                }
            }
        }
    }

    /// Whether a failure is the record's, or one of many that are Propstreet's.
    pub(super) fn blame(&self, halt: Halt) -> Halt {
        let trouble = match &halt {
            Halt::Defer(Wait::RecordFails, cause) => Trouble::Outage(cause.clone()),
            Halt::Defer(Wait::Credential, cause) => Trouble::Forbidden(cause.clone()),
            _ => return halt,
        };
        self.desk.patience.strike(&self.key, trouble).map_or_else(Halt::Lost, |()| halt)
    }

    /// It alone keeps failing while others succeed.
    pub(super) async fn is_poison(&self) -> Result<bool, LedgerError> {
        let long_ago = self.memory.first_failed.filter(|first| self.desk.now() - *first >= POISON_AGE);
        match long_ago {
            Some(first) if self.memory.failed + 1 >= POISON_TRIES => self.desk.engine.ledger.wrote_since(first).await,
            _ => Ok(false),
        }
    }
}
