//! Records that the CRM made one (protocol §H). Those that a record has replaced are settled before the record itself:
//! its reference then joins their contact, and nothing is ever created beside it. The ledger keeps who was merged into
//! whom, because a CRM may name them once and never again.

use chrono::TimeDelta;

use crate::domain::departure::Fate;
use crate::domain::failure::{Complaint, Reason, Wait};
use crate::domain::identity::RefKey;
use crate::domain::merge::{self, Alias, Place};
use crate::domain::pass::Outcome;
use crate::ledger::rows::{Row, View};
use crate::ledger::settlements::Ending;
use crate::sync::deliver::{Delivery, Halt, Turn};
use crate::sync::destination::Seen;
use crate::sync::same_person::Warrant;

impl Delivery<'_> {
    /// Settles those this record has replaced. Holds their locks. One whose own write may still show is noted as merged
    /// and puts the record off.
    pub(super) async fn take_over(&mut self) -> Result<(), Halt> {
        let losers = std::mem::take(&mut self.losers);
        let view = self.view().await?;
        // A late echo of a record that was itself merged away has nothing to say.
        if losers.is_empty() || view.row.as_ref().is_some_and(|row| row.alias.is_some()) {
            return Ok(());
        }
        let (mut open, mut met) = (None, Vec::new());
        for key in losers {
            let mut loser = Delivery::absent(self.desk, key);
            match loser.meet().await {
                Ok(Some(known)) => met.push((loser, known)),
                Ok(None) => {}
                Err(Halt::Stop(stop)) => return Err(Halt::Stop(stop)),
                Err(halt) => {
                    let row = loser.view().await?.row;
                    let alias = self.alias(row.as_ref());
                    self.desk.engine.ledger.alias(loser.key.clone(), alias, self.desk.now()).await?;
                    open = Some(halt);
                }
            }
        }
        // Of several contacts, the survivor's is the one that has its address: on another it could not be written.
        let owner = view.holders.by_email.as_ref().map(|owner| Place::On(owner.id.clone()));
        met.sort_by_key(|(_, known)| owner.as_ref() != Some(&known.place));
        let before = std::iter::once(&view.holders.by_merge);
        let stands = merge::heir(&view.place, before.chain(met.iter().map(|(_, known)| &known.place)));
        for (mut loser, known) in met {
            let apart = self.told_apart(&loser.key, &known, &stands);
            self.memory.apart += u64::from(apart.is_some());
            let together = apart.is_none();
            loser.settle(Ending::Merged { alias: self.alias(known.row.as_ref()), apart }, None).await?;
            self.memory.moved.push(loser.key.clone());
            let tagged = known.row.is_some_and(|row| row.gone.is_some_and(|gone| gone.fate == Fate::Tagged));
            // What is left of it stays owed.
            if tagged
                && together
                && let Err(Halt::Stop(stop)) = loser.take_off_tag(&known.place).await
            {
                return Err(Halt::Stop(stop));
            }
        }
        open.map_or(Ok(()), Err)
    }

    /// What is known of a record that was replaced, once no write of its own is open; `None` if it was merged before.
    async fn meet(&mut self) -> Result<Option<View>, Halt> {
        let view = self.view().await?;
        self.remember(&view);
        if view.row.as_ref().is_some_and(|row| row.alias.is_some()) {
            return Ok(None);
        }
        if view.intent.is_none() {
            return Ok(Some(view));
        }
        if matches!(self.settle_announced(view.intent).await?, Turn::Again) && self.memory.recent {
            let cause = "a record merged into it was being written, and that may not show yet".to_owned();
            return Err(Halt::Defer(Wait::LookupLags, cause));
        }
        Ok(Some(self.view().await?))
    }

    /// The alias by which a record leads to this one. It was in the bin when this pass read it, so only a stamp that is
    /// later than the pass's bound, and than any it was shown with, says that it has been taken out again.
    fn alias(&self, loser: Option<&Row>) -> Alias {
        let known = loser.and_then(|row| row.modified).map(|at| at + TimeDelta::milliseconds(1));
        Alias { survivor: self.key.clone(), stamp: known.max(self.shown).max(Some(self.desk.bound)) }
    }

    /// What a person must know of a record whose contact is not the survivor's, or is not even its own.
    fn told_apart(&self, loser: &RefKey, known: &View, stands: &Place) -> Option<Complaint> {
        if let (Place::On(theirs), Place::On(ours)) = (&known.place, stands)
            && merge::apart(&known.place, stands)
        {
            return Some(two_contacts(loser, theirs, &self.key, ours));
        }
        let told = known.row.as_ref().and_then(|row| row.complaint.clone());
        told.filter(|told| told.reason == Reason::RefConflict)
    }

    /// Our reference joins the contact of a record that was merged into ours. No name and no address is compared: the CRM
    /// says that they are one. A contact that somebody deleted stays deleted.
    pub(super) async fn inherit(&mut self, contact: &str) -> Result<Turn, Halt> {
        match self.ask(|d| d.engine.destination.read(&self.key, contact)).await? {
            Some(seen) if seen.deleted => self.keep(Outcome::Linked, seen, "deleted").await,
            Some(seen) if self.desk.engine.ledger.is_never_linked(self.key.clone(), seen.id.clone()).await? => {
                let detail =
                    format!("its CRM merged the person of contact {} into it, which a person took apart", seen.id);
                Err(Halt::Quarantine(Complaint::new(Reason::MergedInCrm, detail).blocked_by(&seen.id)))
            }
            Some(seen) => self.link(seen, Warrant::Merged).await,
            // Either the index is behind, or no list will ever say that the contact was erased.
            None if self.memory.missing.as_deref() != Some(contact) => {
                self.memory.missing = Some(contact.to_owned());
                self.look_again().await
            }
            None if self.memory.unlisted.as_deref() != Some(contact) => {
                self.memory.unlisted = Some(contact.to_owned());
                self.desk.engine.ledger.unlist(contact.to_owned()).await?;
                Ok(Turn::Again)
            }
            None => {
                let note = "the contact of a record merged into this one was deleted in Propstreet".to_owned();
                self.settle(Ending::Deleted { propstreet_id: Some(contact.to_owned()), note }, None).await?;
                Ok(Turn::Done(Outcome::Skipped))
            }
        }
    }

    /// A merged record is due: its announced write has ended, or its contact beside the survivor's is looked at again.
    pub(super) async fn reunite(&mut self, view: View) -> Result<Outcome, Halt> {
        let View { row: Some(Row { alias: Some(alias), complaint, .. }), place, .. } = view else {
            return Ok(Outcome::Skipped);
        };
        let blocker = complaint.as_ref().and_then(|complaint| complaint.blocker.clone());
        let contact = blocker.or(if let Place::On(contact) = place { Some(contact) } else { None });
        if let Some(contact) = contact
            && let Some(now) = self.still_apart(&contact, &alias).await?
        {
            return Err(Halt::Quarantine(complaint.unwrap_or(now)));
        }
        Ok(self.settle(Ending::Merged { alias, apart: None }, None).await?)
    }

    /// What a person must know while its reference still stands alone on this living contact, and the survivor stands on
    /// another, or will once it can be sent.
    async fn still_apart(&self, contact: &str, alias: &Alias) -> Result<Option<Complaint>, Halt> {
        let engine = self.desk.engine;
        let survivor = engine.ledger.survivor(alias.survivor.clone()).await?;
        let View { place, holders, .. } = engine.ledger.view(survivor.clone(), None, self.desk.now()).await?;
        let Place::On(other) = merge::heir(&place, [&holders.by_merge]) else { return Ok(None) };
        let seen = self.ask(|d| d.engine.destination.read(&self.key, contact)).await?;
        let alone = |seen: Seen| !seen.deleted && self.carries_ours(&seen) && !self.carries(&seen, &survivor);
        Ok((contact != other && seen.is_some_and(alone)).then(|| two_contacts(&self.key, contact, &survivor, &other)))
    }
}

fn two_contacts(loser: &RefKey, theirs: &str, survivor: &RefKey, ours: &str) -> Complaint {
    let detail = format!("{loser} (contact {theirs}) was merged into {survivor} (contact {ours}) in the CRM");
    Complaint::new(Reason::MergedInCrm, detail).blocked_by(theirs)
}
