//! What a person decided about a record goes before the table: its reference leaves a contact, it goes on without its
//! address, or its deleted contact is brought back. Each is kept in the ledger until it is done, so that a process that
//! dies half-way leaves it to the next.

use crate::domain::decision::Decision;
use crate::domain::failure::{Complaint, Reason, Wait};
use crate::domain::limits;
use crate::domain::merge::Place;
use crate::domain::pass::Outcome;
use crate::domain::plan::Standing;
use crate::ledger::intents::IntentKind;
use crate::ledger::rows::View;
use crate::sync::asking::Sent;
use crate::sync::deliver::{Delivery, Halt, Turn};
use crate::sync::destination::{CreateAnswer, Patch, PatchAnswer, Seen};
use crate::sync::index;
use crate::sync::same_person::MAX_MERGES;

impl Delivery<'_> {
    /// `None`: nothing is decided that bears on this step.
    pub(super) async fn decided(&mut self, view: &View, standing: &Standing) -> Result<Option<Turn>, Halt> {
        // An announced write is settled first, and who has left is decided about by nobody.
        if matches!(standing, Standing::Intended | Standing::Gone { .. } | Standing::Moved(_)) {
            return Ok(None);
        }
        let Decision { without_email, detach, revive, same_as: _ } = &view.decision;
        if let Some(contact) = detach {
            return self.detach(contact).await.map(Some);
        }
        // Of one that is settled and does not follow its record, only the mapped content is compared.
        let is_sent = !matches!(standing, Standing::Settled { .. }) || self.follows();
        if *without_email && is_sent && self.email.is_some() && self.goes_without_email()? {
            return Ok(Some(Turn::Again));
        }
        let deleted = *standing == Standing::Deleted || view.place == Place::Deleted;
        match deleted && (*revive || self.desk.revive) {
            true => self.revive().await.map(Some),
            false => Ok(None),
        }
    }

    /// Goes on without the address; `false` if nothing else would identify the person.
    pub(super) fn goes_without_email(&mut self) -> Result<bool, Halt> {
        let Some(contact) = self.contact()?.without_email() else { return Ok(false) };
        self.mapped = Ok(contact);
        self.email = None;
        // What was asked about the address is answered; without it Propstreet has not been asked yet.
        self.memory.questioned = None;
        self.memory.email_refused = None;
        Ok(true)
    }

    /// Takes our reference off a contact: read, write the others under `If-Match`, and again if someone was faster.
    async fn detach(&mut self, contact: &str) -> Result<Turn, Halt> {
        for round in 1..=MAX_MERGES {
            let seen = self.ask(|d| d.engine.destination.read(&self.key, contact)).await?;
            let Some(seen) = seen.as_ref().filter(|seen| !seen.deleted && self.carries_ours(seen)) else {
                return self.has_left(contact, seen.as_ref()).await;
            };
            let rules = &self.desk.engine.rules;
            let others = seen.refs.iter().filter(|reference| rules.key_of(reference) != self.key).cloned().collect();
            let patch = Patch { refs: Some(others), ..Patch::default() };
            self.announce(IntentKind::Update, Some(contact.to_owned())).await?;
            let etag = seen.etag.as_deref();
            match self.send(|d| d.engine.destination.patch(&self.key, contact, etag, &patch)).await? {
                Sent::Answered(PatchAnswer::Written(seen)) if !self.carries_ours(&seen) => {
                    return self.has_left(contact, Some(&seen)).await;
                }
                // A reading of the API by which a list that is sent is added, never taken away.
                Sent::Answered(PatchAnswer::Written(_)) => {
                    let detail =
                        format!("contact {contact} keeps our reference although it was taken off: remove it there");
                    return Err(Halt::Quarantine(Complaint::new(Reason::RefConflict, detail).blocked_by(contact)));
                }
                Sent::Answered(PatchAnswer::Rejected(refusal) | PatchAnswer::EmailRefused(refusal)) => {
                    return Err(Halt::Quarantine(Complaint::new(Reason::Rejected, refusal.detail)));
                }
                Sent::Answered(PatchAnswer::Stale(_) | PatchAnswer::Missing) | Sent::Lost(_) => {
                    self.desk.pause(round).await;
                }
            }
        }
        Err(Halt::Defer(Wait::Contended, format!("contact {contact} kept changing while our reference was taken off")))
    }

    /// The index hears of it at once: it would lead the record back to the contact.
    async fn has_left(&self, contact: &str, seen: Option<&Seen>) -> Result<Turn, Halt> {
        let engine = self.desk.engine;
        if seen.is_none() {
            engine.ledger.unlist(contact.to_owned()).await?;
        }
        let shown = seen.map(|seen| index::entry(seen, &engine.rules, engine.ledger.keyed()));
        let (pass, key) = (self.desk.pass, self.key.clone());
        engine.ledger.detached(pass, key, contact.to_owned(), shown, self.desk.now()).await?;
        Ok(Turn::Again)
    }

    pub(super) async fn is_to_come_back(&self) -> Result<bool, Halt> {
        Ok(self.desk.revive || self.desk.engine.ledger.decision(self.key.clone()).await?.revive)
    }

    /// Brings the contact that carries our reference back, by Propstreet's upsert. Where a deleted contact lets go of its
    /// references it makes a new one. Announced as a create: what became of it, a look-up by reference tells as well.
    async fn revive(&mut self) -> Result<Turn, Halt> {
        let contact = self.contact()?.clone();
        limits::check_upsert(&contact).map_err(Halt::Quarantine)?;
        self.memory.lost_answers += 1;
        if self.memory.lost_answers > 3 {
            let cause = "the contact was to be brought back, and no answer came".to_owned();
            return Err(Halt::Defer(Wait::RecordFails, cause));
        }
        self.announce(IntentKind::Create, None).await?;
        match self.send(|d| d.engine.destination.revive(&self.key, &contact, &self.reference)).await? {
            Sent::Answered(CreateAnswer::Accepted(seen)) if !seen.deleted && self.carries_ours(&seen) => {
                self.desk.patience.answered();
                self.settle_seen(Outcome::Updated, &seen, "brought back, as a person decided").await
            }
            Sent::Answered(CreateAnswer::Conflict(conflict)) if conflict.race => {
                self.desk.pause(self.memory.lost_answers).await;
                Ok(Turn::Again)
            }
            Sent::Answered(CreateAnswer::Conflict(_) | CreateAnswer::EmailRefused(_)) => self.cannot_come_back().await,
            Sent::Answered(CreateAnswer::Rejected(refusal) | CreateAnswer::EmploymentRefused(refusal)) => {
                Err(Halt::Quarantine(Complaint::new(Reason::Rejected, refusal.detail)))
            }
            Sent::Answered(CreateAnswer::Accepted(_)) | Sent::Lost(_) => {
                self.memory.unanswered = true;
                self.memory.may_be_ours = true;
                if let Some(seen) = self.look_up().await?.filter(|seen| !seen.deleted) {
                    return self.settle_seen(Outcome::Updated, &seen, "brought back; the answer was lost").await;
                }
                self.desk.pause(self.memory.lost_answers).await;
                Ok(Turn::Again)
            }
        }
    }

    /// Somebody else has got its address since it was deleted.
    async fn cannot_come_back(&mut self) -> Result<Turn, Halt> {
        let engine = self.desk.engine;
        engine.index.refresh(&engine.ledger, &*engine.destination, self.desk.patience).await?;
        let owner = self.view().await?.holders.by_email.filter(|owner| !owner.deleted);
        let complaint = match owner {
            Some(owner) => {
                let detail = format!("it cannot be brought back: its address belongs to contact {} by now", owner.id);
                Complaint::new(Reason::EmailTaken, detail).blocked_by(&owner.id)
            }
            None => {
                let detail = "it cannot be brought back: Propstreet answers with a conflict that nothing explains";
                Complaint::new(Reason::ConflictUnexplained, detail)
            }
        };
        Err(Halt::Quarantine(complaint))
    }
}
