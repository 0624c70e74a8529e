//! Two records with one address, under way at once: one goes first, and the other then finds its contact.

use crate::domain::failure::Wait;
use crate::domain::record::Record;
use crate::sync::deliver::{Delivery, Ended, Halt, deliver_once};
use crate::sync::desk::Desk;
use crate::sync::questions::UNKNOWN_TRIES;
use crate::sync::report::Stop;

/// How often a record looks whether a sibling is done, half a minute in all, before it is put off.
const TRIES: u32 = 6;

/// Delivers one record and commits its outcome. One behind a sibling whose write is announced lets go of the address for a
/// while: what a process that died has announced is settled by the sibling's own delivery.
pub(super) async fn deliver(desk: &Desk<'_>, record: &Record) -> Result<Ended, Stop> {
    let mut tries = 0;
    loop {
        tries += 1;
        if let Some(ended) = deliver_once(desk, record, tries >= TRIES).await? {
            return Ok(ended);
        }
        desk.pause(tries).await;
    }
}

impl Delivery<'_> {
    /// Another record with our address may have become a contact that nothing shows yet. Propstreet cannot be left to refuse
    /// the second: no page says that it takes `A@x` and `a@x` for one. Two that wait for each other would wait for ever:
    /// after a few tries, neither does.
    pub(super) async fn let_sibling_go_first(&mut self) -> Result<(), Halt> {
        let Some(email) = self.email.filter(|_| self.memory.failed < UNKNOWN_TRIES) else { return Ok(()) };
        match self.desk.engine.ledger.open_intent_with_email(email, self.key.clone()).await? {
            Some(sibling) => {
                self.memory.behind_sibling = true;
                Err(Halt::Defer(Wait::EmailTaken, format!("{sibling} has the same address and is being written")))
            }
            None => Ok(()),
        }
    }
}
