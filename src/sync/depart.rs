//! One record that has left its CRM: what it had waiting ends, and its contact is kept, marked or deleted, as the operator
//! decided. Each write is announced, sent under `If-Match`, and after a lost answer the contact itself is asked.

use crate::domain::departure::{Evidence, Fate, Ties, why_stay};
use crate::domain::failure::Wait;
use crate::domain::identity::RefKey;
use crate::domain::merge::Place;
use crate::domain::pass::{Outcome, SkipReason};
use crate::ledger::error::LedgerError;
use crate::ledger::gone::{Gone, Held};
use crate::ledger::intents::IntentKind;
use crate::ledger::rows::Row;
use crate::ledger::settlements::Ending;
use crate::sync::asking::Sent;
use crate::sync::deliver::{Delivery, Ended, Halt, Turn};
use crate::sync::desk::Desk;
use crate::sync::destination::{DeleteAnswer, Patch, PatchAnswer, Seen};
use crate::sync::engine::OnDelete;
use crate::sync::report::Stop;
use crate::sync::same_person::MAX_MERGES;

/// Settles a record that the CRM does not show when asked for it by id. That is no evidence that it was deleted: nothing
/// happens in Propstreet.
pub(super) async fn depart(desk: &Desk<'_>, key: RefKey) -> Result<Ended, Stop> {
    let _of_ref = desk.engine.ref_locks.hold(key.clone()).await;
    let mut delivery = Delivery::absent(desk, key);
    match delivery.leave().await {
        Ok(outcome) => Ok(outcome.into()),
        Err(halt) => delivery.end_early(halt).await,
    }
}

/// Decides and commits the fate of one that is held. `None`: it stays held, because it is no longer, or Propstreet could
/// not be asked to the end.
pub(super) async fn see_off(desk: &Desk<'_>, held: &Held) -> Result<Option<Fate>, Stop> {
    let _of_ref = desk.engine.ref_locks.hold(held.key.clone()).await;
    let mut delivery = Delivery::absent(desk, held.key.clone());
    let parting = match delivery.part(held.evidence).await {
        Ok(Some(parting)) => parting,
        Ok(None) => return Ok(None),
        // Propstreet will not have it touched: it stays as it is.
        Err(Halt::Quarantine(complaint)) => Parting::kept(complaint.detail),
        Err(halt) => match delivery.blame(halt) {
            Halt::Stop(stop) => return Err(stop),
            _ => return Ok(None),
        },
    };
    let Parting { fate, note, seen, ours } = parting;
    let etag = seen.as_ref().and_then(|seen| seen.etag.clone()).filter(|_| ours);
    let ending = Ending::Gone { fate, evidence: held.evidence, etag, note };
    delivery.settle(ending, seen.as_ref()).await?;
    Ok(Some(fate))
}

/// What became of a contact, why, and how Propstreet showed it last if we wrote.
struct Parting {
    fate: Fate,
    note: String,
    seen: Option<Seen>,
    /// Whether nobody else has written there since we did.
    ours: bool,
}

impl Parting {
    fn kept(note: impl Into<String>) -> Self {
        Self { fate: Fate::Kept, note: note.into(), seen: None, ours: false }
    }

    fn deleted(note: &str) -> Self {
        Self { fate: Fate::Deleted, note: note.to_owned(), seen: None, ours: false }
    }

    fn tagged(tag: &str, seen: Seen, ours: bool) -> Self {
        Self { fate: Fate::Tagged, note: format!("the contact carries the tag {tag}"), seen: Some(seen), ours }
    }
}

impl Delivery<'_> {
    /// A write that was announced for it is looked up first: its contact may stand in Propstreet.
    async fn leave(&mut self) -> Result<Outcome, Halt> {
        let settled = self.end_announced("the CRM shows the record no longer, and its write may not show yet").await?;
        let view = self.view().await?;
        if view.row.as_ref().is_some_and(|row| row.owes_tag) {
            self.take_off_tag(&view.place).await?;
        }
        match &view.row {
            Some(Row { alias: Some(_), .. }) => self.reunite(view).await,
            // What becomes of it is decided, or will be when its pass has come to its end.
            Some(Row { gone: Some(_), .. }) => Ok(Outcome::Skipped),
            _ if settled.is_some() => Ok(settled.unwrap_or(Outcome::Skipped)),
            _ => Ok(self.settle(Ending::Skipped { reason: SkipReason::Gone, drifted: false }, None).await?),
        }
    }

    /// Settles its announced write, if one is open; puts it off with this cause while that may not show yet.
    pub(super) async fn end_announced(&mut self, late: &str) -> Result<Option<Outcome>, Halt> {
        let view = self.view().await?;
        self.remember(&view);
        if view.intent.is_none() {
            return Ok(None);
        }
        match self.settle_announced(view.intent).await? {
            Turn::Done(outcome) => Ok(Some(outcome)),
            Turn::Again if self.memory.recent => Err(Halt::Defer(Wait::LookupLags, late.to_owned())),
            Turn::Again => Ok(None),
        }
    }

    async fn part(&mut self, evidence: Evidence) -> Result<Option<Parting>, Halt> {
        self.end_announced("the record has left, and its write may not show yet").await?;
        let view = self.view().await?;
        if !view.row.is_some_and(|row| is_held(&row, evidence)) || self.is_told_merged().await? {
            return Ok(None);
        }
        let source = self.desk.source;
        let on_leave = if evidence == Evidence::Filter { source.on_filtered } else { source.on_delete };
        let parting = match (view.place, on_leave) {
            (Place::Nowhere, _) => Parting::kept("it has no contact in Propstreet"),
            (Place::Deleted, _) => Parting::kept("its contact was deleted in Propstreet before"),
            (Place::On(_), OnDelete::Keep) => Parting::kept("the contact stays as it is"),
            (Place::On(contact), OnDelete::Tag) => self.tag(&contact, evidence.tag()).await?,
            (Place::On(contact), OnDelete::Delete) => self.delete(&contact).await?,
        };
        Ok(Some(parting))
    }

    /// A webhook may have told just now what no listing shows: the contact is to be a survivor's.
    async fn is_told_merged(&self) -> Result<bool, LedgerError> {
        self.desk.engine.ledger.is_hinted(&self.desk.source.name, &self.key.id).await
    }

    /// Adds the tag to those the contact has: read, unite, write under `If-Match`, and again if someone was faster.
    async fn tag(&mut self, contact: &str, tag: &str) -> Result<Parting, Halt> {
        let mut ours = None;
        for round in 1..=MAX_MERGES {
            let seen = match self.ask(|d| d.engine.destination.read(&self.key, contact)).await? {
                None => return Ok(Parting::kept("its contact is in Propstreet no longer")),
                Some(seen) if seen.deleted => return Ok(Parting::kept("its contact was deleted in Propstreet before")),
                Some(seen) if !self.carries_ours(&seen) => {
                    return Ok(Parting::kept("its contact carries its reference no longer"));
                }
                Some(seen) => seen,
            };
            let ours = match ours {
                Some(ours) => ours,
                None => *ours.insert(self.is_still_ours(&seen).await?),
            };
            if is_tagged(&seen, tag) {
                return Ok(Parting::tagged(tag, seen, ours));
            }
            let tags = seen.tags.iter().cloned().chain([tag.to_owned()]).collect();
            let patch = Patch { tags: Some(tags), ..Patch::default() };
            self.announce(IntentKind::Update, Some(contact.to_owned())).await?;
            let etag = seen.etag.as_deref();
            match self.send(|d| d.engine.destination.patch(&self.key, contact, etag, &patch)).await? {
                Sent::Answered(PatchAnswer::Written(seen)) if is_tagged(&seen, tag) => {
                    return Ok(Parting::tagged(tag, *seen, ours));
                }
                Sent::Answered(PatchAnswer::Rejected(refusal) | PatchAnswer::EmailRefused(refusal)) => {
                    return Ok(Parting::kept(refusal.detail));
                }
                Sent::Answered(PatchAnswer::Written(_) | PatchAnswer::Stale(_) | PatchAnswer::Missing)
                | Sent::Lost(_) => self.desk.pause(round).await,
            }
        }
        Err(Halt::Defer(Wait::Contended, format!("contact {contact} kept changing while it was marked")))
    }

    /// Deletes the contact, if nobody else stands behind it and nobody has touched it: asked afresh before each try.
    async fn delete(&mut self, contact: &str) -> Result<Parting, Halt> {
        for round in 1..=MAX_MERGES {
            let seen = match self.ask(|d| d.engine.destination.read(&self.key, contact)).await? {
                Some(seen) if !seen.deleted => seen,
                _ => return Ok(Parting::deleted("the contact is deleted")),
            };
            if let Some(why) = self.why_stay(&seen).await? {
                return Ok(Parting::kept(why));
            }
            self.announce(IntentKind::Update, Some(contact.to_owned())).await?;
            let etag = seen.etag.as_deref();
            match self.send(|d| d.engine.destination.delete(&self.key, contact, etag)).await? {
                Sent::Answered(DeleteAnswer::Deleted | DeleteAnswer::Missing) => {
                    return Ok(Parting::deleted("the contact is deleted"));
                }
                Sent::Answered(DeleteAnswer::Rejected(refusal)) => return Ok(Parting::kept(refusal.detail)),
                Sent::Answered(DeleteAnswer::Stale(_)) | Sent::Lost(_) => self.desk.pause(round).await,
            }
        }
        Err(Halt::Defer(Wait::Contended, format!("contact {contact} kept changing while it was deleted")))
    }

    async fn why_stay(&self, seen: &Seen) -> Result<Option<&'static str>, LedgerError> {
        let ledger = &self.desk.engine.ledger;
        let mut keys = vec![self.key.clone()];
        keys.extend(seen.refs.iter().map(|reference| self.desk.engine.rules.key_of(reference)));
        if !self.carries_ours(seen) {
            return Ok(Some("its contact carries its reference no longer"));
        }
        let rows = ledger.rows(keys.clone(), self.desk.now()).await?;
        let mut live_refs = 0;
        for key in &keys {
            let stands_for = ledger.survivor(key.clone()).await?;
            let row = ledger.rows(vec![stands_for.clone()], self.desk.now()).await?.remove(&stands_for);
            let left = stands_for == self.key || row.is_some_and(|row| row.has_left());
            live_refs += usize::from(!left);
        }
        if ledger.is_awaited(seen.id.clone()).await? {
            return Ok(Some("another record of its CRM has its address, and may now join it"));
        }
        let only_joined = !ledger.came_with(seen.id.clone(), keys).await?;
        let ours: Vec<Option<String>> = rows.into_values().map(|row| row.etag).collect();
        Ok(why_stay(&Ties { version: seen.etag.as_deref(), ours: &ours, live_refs, only_joined }))
    }
}

fn is_tagged(seen: &Seen, tag: &str) -> bool {
    seen.tags.iter().any(|one| one == tag)
}

/// Whether it is held still, and on this evidence: another may have come since.
fn is_held(row: &Row, on: Evidence) -> bool {
    matches!(row, Row { gone: Some(Gone { fate: Fate::Held, evidence, .. }), alias: None, .. } if *evidence == on)
}
