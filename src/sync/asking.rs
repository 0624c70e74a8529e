//! Asking Propstreet on behalf of one record: what may be asked again, what is sent once, and who is to blame when no
//! answer comes.

use std::sync::atomic::Ordering;

use futures_util::future::BoxFuture;

use crate::domain::failure::{Complaint, Reason, Trouble, Wait};
use crate::sync::deliver::{Delivery, Halt};
use crate::sync::desk::Desk;

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
}
