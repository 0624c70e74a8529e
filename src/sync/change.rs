//! A contact that exists follows its record (protocol §G): read, decide, announce, write under `If-Match`, and again if
//! someone was faster. A lost answer is read back before anyone is blamed; an address that another contact has stays there.

use crate::domain::change::{Beside, Change, Matter, Shown};
use crate::domain::contact::Contact;
use crate::domain::failure::{Complaint, Reason, Wait};
use crate::domain::keyed::KeyedHash;
use crate::domain::ownership::Field;
use crate::domain::pass::Outcome;
use crate::domain::plan::Indexed;
use crate::domain::remembered::Remembered;
use crate::ledger::error::LedgerError;
use crate::ledger::intents::IntentKind;
use crate::ledger::rows::Row;
use crate::ledger::settlements::Ending;
use crate::ledger::updates::{Tenant, Watch};
use crate::sync::asking::Sent;
use crate::sync::deliver::{Delivery, Halt, Turn};
use crate::sync::destination::{Patch, PatchAnswer, Seen};
use crate::sync::engine::{EmailConflict, Engine, OnChange, Policy, Source};
use crate::sync::leaving::GUARDED;
use crate::sync::same_person::MAX_MERGES;

/// A contact whose fields are as they shall be.
pub(super) struct Met {
    pub(super) outcome: Outcome,
    pub(super) seen: Seen,
    /// The row version to remember as ours: none, once somebody else has written there.
    pub(super) etag: Option<String>,
    pub(super) owned: Remembered,
    pub(super) note: String,
}

/// The contact in line with its record; or it is not there any more, or not ours, and is to be decided anew.
pub(super) type Course = Result<Box<Met>, Turn>;

/// Who stands on a contact, this record among them.
#[derive(Default)]
pub(super) struct Tenancy {
    /// What is remembered of this record there.
    pub(super) before: Remembered,
    /// The name it was settled with.
    name: Option<KeyedHash>,
    /// Whether somebody else wrote the contact since any of ours was settled there.
    touched: bool,
    pub(super) beside: Vec<Beside>,
}

impl Engine {
    /// What a source's updates are counted by.
    pub(super) fn watch(&self, source: &Source) -> Watch {
        Watch { since: self.clock.now() - GUARDED, guard: source.guard }
    }
}

impl Policy {
    /// Whether one record's fields go before another's: by source as configured, the rest by name.
    fn goes_before(&self, one: &Tenant, other: (&str, &Tenant)) -> bool {
        let place = |source: &str| self.precedence.iter().position(|named| named == source).unwrap_or(usize::MAX);
        let of = |source: &str| (place(source), source.to_owned());
        (of(&one.source), &one.key) < (of(other.0), &other.1.key)
    }
}

impl Delivery<'_> {
    pub(super) fn follows(&self) -> bool {
        self.desk.source.on_change == OnChange::Update
    }

    /// The record is settled on this contact and says something new. It is its own: no name and no address is compared.
    pub(super) async fn follow(&mut self, contact: &str) -> Result<Turn, Halt> {
        match self.ask(|d| d.engine.destination.read(&self.key, contact)).await? {
            Some(seen) if seen.deleted => self.keep(Outcome::Unchanged, seen, "deleted").await,
            Some(seen) if self.carries_ours(&seen) => {
                self.settle_seen(Outcome::Unchanged, &seen, "nothing that it feeds differs in Propstreet").await
            }
            left => self.find_again(contact, left.is_some()).await,
        }
    }

    /// Its contact is gone, or has lost our reference: where that stands now is its place. A person who deleted the contact
    /// is respected, and nothing is ever created in its stead.
    async fn find_again(&mut self, contact: &str, is_there: bool) -> Result<Turn, Halt> {
        let found = match self.look_up().await? {
            None => self.listed_elsewhere(contact).await?,
            found => found,
        };
        match found {
            Some(seen) => self.found(seen, "its reference stands on another contact now").await,
            None if is_there => {
                let detail = format!("contact {contact} carries its reference no longer: somebody took it off");
                Err(Halt::Quarantine(Complaint::new(Reason::RefConflict, detail).blocked_by(contact)))
            }
            None => {
                let note = "its contact is in Propstreet no longer".to_owned();
                self.settle(Ending::Deleted { propstreet_id: Some(contact.to_owned()), note }, None).await?;
                Ok(Turn::Done(Outcome::Skipped))
            }
        }
    }

    /// Where Propstreet's list shows our reference: a look-up may lag behind a move.
    async fn listed_elsewhere(&self, contact: &str) -> Result<Option<Seen>, Halt> {
        let engine = self.desk.engine;
        engine.index.refresh(&engine.ledger, &*engine.destination, self.desk.patience).await?;
        let holder = self.view().await?.holders.by_ref.filter(|holder| holder.id != contact && !holder.deleted);
        let Some(holder) = holder else { return Ok(None) };
        let seen = self.ask(|d| d.engine.destination.read(&self.key, &holder.id)).await?;
        Ok(seen.filter(|seen| self.carries_ours(seen)))
    }

    /// Brings the fields of a contact that carries our reference in line with the record, where contacts follow. One that
    /// was created just now is so already, whatever Propstreet made of what was sent.
    pub(super) async fn converge(&mut self, outcome: Outcome, seen: &Seen, note: &str) -> Result<Course, Halt> {
        let created = outcome == Outcome::Created;
        let tenancy = if created { Tenancy::default() } else { self.tenancy(seen).await? };
        let Ok(contact) = &self.mapped else {
            return Ok(met(outcome, seen.clone(), tenancy.before, tenancy.touched, note.to_owned()));
        };
        if created || !self.follows() {
            let owned = self.matter(contact, &tenancy).remembered(|_| created, &shown(seen));
            return Ok(met(outcome, seen.clone(), owned, tenancy.touched, note.to_owned()));
        }
        let contact = contact.clone();
        self.write(outcome, &contact, seen.clone(), tenancy, note).await
    }

    async fn write(
        &mut self,
        outcome: Outcome,
        contact: &Contact,
        mut seen: Seen,
        mut tenancy: Tenancy,
        note: &str,
    ) -> Result<Course, Halt> {
        let (mut lost_any, mut refused) = (false, 0);
        for round in 1..=MAX_MERGES {
            let change = self.matter(contact, &tenancy).change(&shown(&seen)).map_err(Halt::Quarantine)?;
            if change.is_empty() {
                // Of an earlier content nothing is left to be told.
                self.memory.sent = None;
                let matter = self.matter(contact, &tenancy);
                let landed = lost_any || matter.has_landed(&shown(&seen));
                let owned = matter.remembered(|_| false, &shown(&seen));
                let (outcome, note) = if landed { self.wrote(outcome, note, None) } else { (outcome, self.said(note)) };
                return Ok(met(outcome, seen, owned, tenancy.touched, note));
            }
            if self.gives_address(&change) && self.address_is_known_taken(&seen).await? {
                continue;
            }
            self.refuse_another_person(&change, &seen, &tenancy).await?;
            tenancy.before = self.announce_update(outcome, contact, &change, &seen, &tenancy).await?;
            let patch = Patch { texts: change.texts.clone(), tags: change.tags.clone(), refs: None };
            let etag = seen.etag.as_deref();
            let sent = self.send(|d| d.engine.destination.patch(&self.key, &seen.id, etag, &patch)).await?;
            let (lost, mut race) = (matches!(sent, Sent::Lost(_)), false);
            lost_any |= lost;
            self.memory.unanswered |= lost;
            if !lost {
                self.desk.patience.answered();
            }
            match sent {
                Sent::Answered(PatchAnswer::Written(now)) => {
                    let wrote = |field| change.writes(field);
                    let owned = self.matter(contact, &tenancy).remembered(wrote, &shown(&now));
                    let (outcome, note) = self.wrote(outcome, note, Some(&change));
                    return Ok(met(outcome, *now, owned, tenancy.touched, note));
                }
                Sent::Answered(PatchAnswer::EmailRefused(_)) if self.gives_address(&change) => {
                    self.address_is_taken(&seen).await?;
                    continue;
                }
                Sent::Answered(PatchAnswer::EmailRefused(refusal) | PatchAnswer::Rejected(refusal)) => {
                    return Err(Halt::Quarantine(Complaint::new(Reason::Rejected, refusal.detail)));
                }
                Sent::Answered(PatchAnswer::Missing) => return self.lost_contact(outcome, &seen.id).await,
                Sent::Answered(PatchAnswer::Stale(conflict)) => race = conflict.race,
                Sent::Lost(_) => {}
            }
            self.desk.pause(round).await;
            let Some(again) = self.ask(|d| d.engine.destination.read(&self.key, &seen.id)).await? else {
                return self.lost_contact(outcome, &seen.id).await;
            };
            if again.deleted || !self.carries_ours(&again) {
                return Ok(Err(Turn::Again));
            }
            // Refused although nobody changed the contact: it is what we send that is in the way, not the version.
            refused += u32::from(!lost && !race && again.etag == seen.etag && self.gives_address(&change));
            if refused >= 2 {
                refused = 0;
                self.address_is_taken(&again).await?;
            }
            seen = again;
        }
        Err(Halt::Defer(Wait::Contended, format!("contact {} kept changing while it was updated", seen.id)))
    }

    /// The contact answers 404 behind our back.
    async fn lost_contact(&mut self, outcome: Outcome, id: &str) -> Result<Course, Halt> {
        // One that is settled is read again; another may only stand in an index that is behind.
        let turn = if outcome == Outcome::Unchanged { Turn::Again } else { self.missing(id).await? };
        Ok(Err(turn))
    }

    fn matter<'m>(&'m self, contact: &'m Contact, tenancy: &'m Tenancy) -> Matter<'m> {
        Matter {
            wanted: contact,
            before: &tenancy.before,
            beside: &tenancy.beside,
            owners: &self.desk.source.owners,
            clear_empty: self.desk.source.clear_empty,
            unchanged: self.memory.unchanged,
            keep_email: self.memory.address_left.is_some(),
            keyed: self.desk.keyed(),
        }
    }

    pub(super) async fn tenancy(&self, seen: &Seen) -> Result<Tenancy, LedgerError> {
        let tenants = self.desk.engine.ledger.tenants(seen.id.clone()).await?;
        let (policy, source) = (&self.desk.engine.policy, self.desk.source.name.as_str());
        let is_ours = tenants.iter().any(|tenant| tenant.etag.is_some() && tenant.etag == seen.etag);
        let mut tenancy = Tenancy::default();
        for tenant in &tenants {
            if tenant.key == self.key {
                tenancy.before = tenant.owned.clone();
                tenancy.name = tenant.name;
                tenancy.touched = !is_ours;
                continue;
            }
            let us = Tenant { key: self.key.clone(), ..tenant.clone() };
            tenancy.beside.push(Beside {
                remembered: tenant.owned.clone(),
                live: tenant.live,
                goes_first: policy.goes_before(tenant, (source, &us)),
            });
        }
        // It stands on no contact yet, and was making this one: what it was bringing may be there.
        if self.memory.may_be_ours && !tenants.iter().any(|tenant| tenant.key == self.key) {
            tenancy.before = self.desk.engine.ledger.owned(self.key.clone()).await?;
        }
        Ok(tenancy)
    }

    /// The durable word that an update is about to be sent, and what it brings; refused where more people changed within a
    /// day than may. Contacts that a record only comes to now are free.
    async fn announce_update(
        &mut self,
        outcome: Outcome,
        contact: &Contact,
        change: &Change,
        seen: &Seen,
        tenancy: &Tenancy,
    ) -> Result<Remembered, Halt> {
        let (engine, source) = (self.desk.engine, self.desk.source);
        let bringing = self.matter(contact, tenancy).while_sent(change, &shown(seen));
        let watch = (self.desk.guarded && outcome == Outcome::Unchanged).then(|| engine.watch(source));
        let intent = self.intent(IntentKind::Update, Some(seen.id.clone()));
        if !engine.ledger.intend_update(intent, bringing.clone(), watch).await? {
            let cause = "more people changed within a day than may be updated without a person's word";
            return Err(Halt::Defer(Wait::Guarded, cause.to_owned()));
        }
        Ok(bringing)
    }

    /// The durable word that a contact is about to be made, and what it is given: a value that is there when it is found
    /// after a lost answer is ours, and so is one that an earlier try gave it.
    pub(super) async fn announce_create(&mut self, contact: &Contact) -> Result<(), Halt> {
        let ledger = &self.desk.engine.ledger;
        let tenancy = Tenancy { before: ledger.owned(self.key.clone()).await?, ..Tenancy::default() };
        let bringing = self.matter(contact, &tenancy).while_sent(&Change::whole(contact), &Shown::default());
        let intent = self.intent(IntentKind::Create, None);
        // Creates are not counted as updates: no watch refuses them.
        ledger.intend_update(intent, bringing, None).await?;
        Ok(())
    }

    fn gives_address(&self, change: &Change) -> bool {
        change.texts.iter().any(|(field, value)| *field == Field::Email && value.is_some())
    }

    /// Whether the index shows the new address on another living contact; then the address is left as it is, or a person
    /// must look.
    async fn address_is_known_taken(&mut self, seen: &Seen) -> Result<bool, Halt> {
        let owner = self.owner_of_address(seen).await?.filter(|owner| !owner.deleted);
        if owner.is_some() {
            self.leave_address(owner)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Propstreet refuses the new address: whose is it?
    async fn address_is_taken(&mut self, seen: &Seen) -> Result<(), Halt> {
        let engine = self.desk.engine;
        engine.index.refresh(&engine.ledger, &*engine.destination, self.desk.patience).await?;
        let owner = self.owner_of_address(seen).await?;
        self.leave_address(owner)
    }

    async fn owner_of_address(&self, seen: &Seen) -> Result<Option<Indexed>, LedgerError> {
        match self.email {
            Some(email) => self.desk.engine.ledger.other_with_email(email, seen.id.clone()).await,
            None => Ok(None),
        }
    }

    /// The address stays with its owner: the rest goes on without it where that is the policy. Nobody is merged here.
    fn leave_address(&mut self, owner: Option<Indexed>) -> Result<(), Halt> {
        let complaint = match owner {
            Some(Indexed { id, deleted: true, .. }) => {
                let detail = format!("the new address belongs to contact {id}, which was deleted in Propstreet");
                Complaint::new(Reason::EmailHeldByDeleted, detail).blocked_by(&id)
            }
            Some(Indexed { id, .. }) => {
                Complaint::new(Reason::EmailTaken, format!("the new address belongs to contact {id}")).blocked_by(&id)
            }
            None => Complaint::new(Reason::EmailTakenByUnknown, "Propstreet refuses the new address"),
        };
        if self.desk.engine.policy.email_conflict != EmailConflict::WithoutEmail {
            return Err(Halt::Quarantine(complaint));
        }
        self.memory.address_left = Some(complaint.detail);
        Ok(())
    }

    /// Another address and another name at once, on a contact that stands for other records too: it may be another person.
    async fn refuse_another_person(&self, change: &Change, seen: &Seen, tenancy: &Tenancy) -> Result<(), Halt> {
        let contact = self.contact()?;
        let name = self.desk.keyed().name(contact.first_name(), contact.last_name());
        if !self.gives_address(change) || tenancy.name == name || !self.contradicts(seen) {
            return Ok(());
        }
        let engine = self.desk.engine;
        let mut keys: Vec<_> = seen.refs.iter().map(|reference| engine.rules.key_of(reference)).collect();
        let rows = engine.ledger.rows(keys.clone(), self.desk.now()).await?;
        keys.retain(|key| !rows.get(key).is_some_and(|row: &Row| row.has_left() || row.alias.is_some()));
        if keys.len() < 2 {
            return Ok(());
        }
        let detail = format!(
            "email and first_name/last_name change at once, and contact {} stands for {} records",
            seen.id,
            keys.len()
        );
        Err(Halt::Quarantine(Complaint::new(Reason::IdentityChanged, detail).blocked_by(&seen.id)))
    }

    /// How a contact ends that was written, and what is told of it: fields by name. Who came to it only now did more.
    fn wrote(&self, outcome: Outcome, note: &str, change: Option<&Change>) -> (Outcome, String) {
        let named = change.map(|change| {
            let tags = change.tags.is_some().then_some(Field::Tags);
            let fields = change.texts.iter().map(|(field, _)| *field).chain(tags);
            format!("PATCH {}", fields.map(Field::name).collect::<Vec<_>>().join(", "))
        });
        let named = named.unwrap_or_else(|| "the answer to its PATCH was lost, and it was written".to_owned());
        match outcome {
            Outcome::Unchanged => (Outcome::Updated, self.said(&named)),
            outcome => (outcome, self.said(&format!("{note}; {named}"))),
        }
    }

    fn said(&self, note: &str) -> String {
        match &self.memory.address_left {
            Some(left) => format!("{note}; without its address: {left}"),
            None => note.to_owned(),
        }
    }
}

fn met(outcome: Outcome, seen: Seen, owned: Remembered, touched: bool, note: String) -> Course {
    let etag = seen.etag.clone().filter(|_| !touched);
    Ok(Box::new(Met { outcome, seen, etag, owned, note }))
}

fn shown(seen: &Seen) -> Shown<'_> {
    let texts = [
        seen.first_name.as_deref(),
        seen.last_name.as_deref(),
        seen.email.as_deref(),
        seen.phone.as_deref(),
        seen.linkedin_url.as_deref(),
        seen.primary_language.as_deref(),
        seen.strategy.as_deref(),
    ];
    Shown::new(texts, &seen.tags)
}
