//! What the answer to a create asks: 409 is a question, a lost answer is one, and so is a contact that is not where the
//! index saw it (the table in protocol §D). Each is answered by looking, never by assuming.

use std::time::Duration;

use crate::domain::failure::{Complaint, Reason, Wait};
use crate::domain::pass::Outcome;
use crate::sync::asking::Sent;
use crate::sync::deliver::{Delivery, Halt, Turn};
use crate::sync::destination::CreateAnswer;

/// How often a delivery may refresh the index.
const MAX_REFRESHES: u32 = 3;
/// How often an address may be taken by someone the index does not show before a person must look.
pub(super) const UNKNOWN_TRIES: u32 = 3;

impl Delivery<'_> {
    pub(super) async fn settle_create(&mut self, answer: Sent<CreateAnswer>) -> Result<Turn, Halt> {
        if matches!(answer, Sent::Answered(_)) {
            self.desk.patience.answered();
        }
        match answer {
            Sent::Answered(CreateAnswer::Accepted(seen)) if self.carries_ours(&seen) => {
                match self.desk.engine.ledger.index_entry(seen.id.clone()).await? {
                    Some(_) => self.was_there(&seen.id).await,
                    None => self.keep(Outcome::Created, *seen, "created").await,
                }
            }
            Sent::Answered(CreateAnswer::Accepted(_)) => self.without_our_reference().await,
            Sent::Answered(CreateAnswer::Conflict(conflict)) => self.question(conflict.race, conflict.detail).await,
            Sent::Answered(CreateAnswer::EmailRefused(refusal)) => {
                self.memory.email_refused = Some(refusal.detail);
                self.look_again().await
            }
            Sent::Answered(CreateAnswer::EmploymentRefused(refusal)) if self.memory.employment_refused => {
                Err(Halt::Quarantine(Complaint::new(Reason::Rejected, refusal.detail)))
            }
            // The company may have gone since it was seen: the person is made without it, and it is looked at again.
            Sent::Answered(CreateAnswer::EmploymentRefused(_)) => {
                self.memory.employment_refused = true;
                self.doubt_employer();
                Ok(Turn::Again)
            }
            Sent::Answered(CreateAnswer::Rejected(refusal)) => {
                Err(Halt::Quarantine(Complaint::new(Reason::Rejected, refusal.detail)))
            }
            Sent::Lost(cause) => self.lost_answer(cause).await,
        }
    }

    /// Accepted, as a contact that was there before. The answer may be one that was kept for our idempotency key, of a time
    /// when it still carried our reference: then the create is sent under another key.
    async fn was_there(&mut self, id: &str) -> Result<Turn, Halt> {
        match self.ask(|d| d.engine.destination.read(&self.key, id)).await? {
            Some(seen) if self.carries_ours(&seen) => self.found(seen, "created: the contact was there already").await,
            _ => {
                self.memory.replayed = Some(id.to_owned());
                Ok(Turn::Again)
            }
        }
    }

    /// Accepted, and the answer does not show our ref: perhaps the contact does.
    async fn without_our_reference(&mut self) -> Result<Turn, Halt> {
        self.memory.unanswered = true;
        self.memory.may_be_ours = true;
        match self.look_up().await? {
            Some(seen) => self.keep(Outcome::Created, seen, "created; found by its reference").await,
            None => {
                let cause = "Propstreet accepted the contact and answered without our reference".to_owned();
                Err(Halt::Defer(Wait::RecordFails, cause))
            }
        }
    }

    /// The answer to a create was lost: look before anything else is sent.
    async fn lost_answer(&mut self, cause: String) -> Result<Turn, Halt> {
        self.memory.unanswered = true;
        self.memory.may_be_ours = true;
        self.memory.recent = true;
        self.memory.lost_answers += 1;
        if let Some(seen) = self.look_up().await? {
            return self.found(seen, "created; the answer was lost and the contact found by its reference").await;
        }
        if self.memory.lost_answers >= 3 {
            return Err(Halt::Defer(Wait::RecordFails, cause));
        }
        self.desk.pause(self.memory.lost_answers).await;
        Ok(Turn::Again)
    }

    /// 409 is a question: is it ours already, a race, a late look-up, a sibling under way, or someone's address?
    async fn question(&mut self, race: bool, detail: String) -> Result<Turn, Halt> {
        if let Some(seen) = self.look_up().await? {
            return self.found(seen, "409: Propstreet already had this reference").await;
        }
        if race {
            self.memory.races += 1;
            if self.memory.races > 5 {
                return Err(Halt::Defer(Wait::Contended, detail));
            }
            self.desk.pause(self.memory.races).await;
            return Ok(Turn::Again);
        }
        if self.memory.recent {
            return self.outwait_lag(detail).await;
        }
        self.let_sibling_go_first().await?;
        self.memory.questioned = Some(detail);
        self.look_again().await
    }

    /// Our own write may have landed without being shown yet: look again for up to two minutes.
    async fn outwait_lag(&mut self, detail: String) -> Result<Turn, Halt> {
        for seconds in [1, 2, 4, 8, 15, 30, 60] {
            self.desk.engine.clock.sleep(Duration::from_secs(seconds)).await;
            if let Some(seen) = self.look_up().await? {
                return self.found(seen, "created; the look-up showed it late").await;
            }
        }
        Err(Halt::Defer(Wait::LookupLags, detail))
    }

    /// A 409 that neither the ref nor the refreshed index explains.
    pub(super) fn unexplained(&self, detail: String) -> Halt {
        let told = self.memory.told.as_ref().is_some_and(|told| told.reason == Reason::EmailTakenByUnknown);
        match self.email {
            Some(_) if self.memory.failed < UNKNOWN_TRIES && !told => Halt::Defer(Wait::EmailTaken, detail),
            Some(_) => Halt::Quarantine(Complaint::new(Reason::EmailTakenByUnknown, detail)),
            None => Halt::Quarantine(Complaint::new(Reason::ConflictUnexplained, detail)),
        }
    }

    /// The index shows a contact that answers 404. Either the index is behind, or the contact was erased and no list will
    /// ever say so: what stays missing after a refresh blocks nobody any more.
    pub(super) async fn missing(&mut self, id: &str) -> Result<Turn, Halt> {
        if self.memory.missing.replace(id.to_owned()).is_some_and(|before| before == id) {
            self.desk.engine.ledger.unlist(id.to_owned()).await?;
            return Ok(Turn::Again);
        }
        self.look_again().await
    }

    /// Refreshes the index and decides again, a few times: each must have shown something new.
    pub(super) async fn look_again(&mut self) -> Result<Turn, Halt> {
        self.memory.refreshes += 1;
        if self.memory.refreshes > MAX_REFRESHES {
            return Err(Halt::Defer(Wait::Contended, "Propstreet's list and its contacts disagree".to_owned()));
        }
        let engine = self.desk.engine;
        engine.index.refresh(&engine.ledger, &*engine.destination, self.desk.patience).await?;
        Ok(Turn::Again)
    }
}
