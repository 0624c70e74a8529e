//! The address is taken: join the record to its owner if everything speaks for it, else put it aside (protocol §E).

use crate::domain::contact::Contact;
use crate::domain::failure::{Complaint, Reason, Wait};
use crate::domain::identity::RefKey;
use crate::domain::names::{self, PersonName};
use crate::domain::pass::Outcome;
use crate::domain::plan::Indexed;
use crate::domain::same_person::{Evidence, judge};
use crate::ledger::intents::IntentKind;
use crate::ledger::rows::Row;
use crate::sync::asking::Sent;
use crate::sync::deliver::{Delivery, Halt, Turn};
use crate::sync::destination::{Patch, PatchAnswer, Seen};
use crate::sync::engine::EmailConflict;

/// How often the owner is read and merged again when others keep changing it.
pub(super) const MAX_MERGES: u32 = 5;

/// Why our reference may join a contact that exists.
pub(super) enum Warrant {
    /// It has our address, and everything speaks for one person, or a person said so: in these words.
    SamePerson(String),
    /// It is the contact of a record that the CRM merged into ours: the CRM's own word.
    Merged,
}

impl Warrant {
    fn note(&self) -> &str {
        match self {
            Self::SamePerson(why) => why,
            Self::Merged => "reference added beside that of a record merged into this one",
        }
    }
}

impl Delivery<'_> {
    /// The owner of our address stands in the index: read it, judge, and link or put aside.
    pub(super) async fn same_person(&mut self, owner: &Indexed) -> Result<Turn, Halt> {
        if owner.deleted {
            return Err(held_by_deleted(&owner.id));
        }
        let Some(seen) = self.ask(|d| d.engine.destination.read(&self.key, &owner.id)).await? else {
            return self.missing(&owner.id).await;
        };
        if seen.deleted {
            return Err(held_by_deleted(&seen.id));
        }
        if !self.has_our_address(&seen) {
            // The owner has let go of the address since the index was read.
            return self.look_again().await;
        }
        match self.judge_owner(&seen).await? {
            Ok(why) => self.link(seen, Warrant::SamePerson(why)).await,
            Err(complaint) => self.taken(complaint),
        }
    }

    /// Why the two are one person, for the events; or why not.
    async fn judge_owner(&self, seen: &Seen) -> Result<Result<String, Complaint>, Halt> {
        let contact = self.contact()?;
        let engine = self.desk.engine;
        let decided = engine.ledger.decision(self.key.clone()).await?.same_as.as_ref() == Some(&seen.id);
        let linked = engine.ledger.holder_names(seen.id.clone()).await?;
        let mut owner_refs: Vec<_> = seen.refs.iter().map(|reference| engine.rules.key_of(reference)).collect();
        let rows = engine.ledger.rows(owner_refs.clone(), self.desk.now()).await?;
        owner_refs.retain(|key| !rows.get(key).is_some_and(Row::has_left));
        let linked_names: Vec<_> = linked.into_iter().map(|(_, name)| name).collect();
        let judged = judge(&Evidence {
            key: &self.key,
            email: contact.email().unwrap_or_default(),
            name: name_of(contact),
            owner: &seen.id,
            owner_name: name_of_seen(seen),
            owner_refs: &owner_refs,
            linked_names: &linked_names,
            keyed: self.desk.keyed(),
            role_addresses: &engine.policy.role_addresses,
            never_link: engine.ledger.is_never_linked(self.key.clone(), seen.id.clone()).await?,
            decided,
        });
        if judged.is_ok() && !decided && engine.policy.email_conflict == EmailConflict::Review {
            let detail = format!("the address belongs to contact {}; email_conflict = \"review\"", seen.id);
            return Ok(Err(Complaint::new(Reason::EmailTaken, detail).blocked_by(&seen.id)));
        }
        Ok(judged.map(|()| self.why_linked(contact, seen, decided)))
    }

    /// Which address agreed, how the names did, and who stood there already. No personal data.
    fn why_linked(&self, contact: &Contact, seen: &Seen, decided: bool) -> String {
        let primary = seen.email.as_ref().is_some_and(|theirs| Some(self.desk.keyed().email(theirs)) == self.email);
        let address = if primary { "primary" } else { "secondary" };
        let (ours, theirs) = (name_of(contact), name_of_seen(seen));
        let equal = names::folded_key(ours.first, ours.last) == names::folded_key(theirs.first, theirs.last);
        let why = match (decided, equal) {
            (true, _) => "a person decided that they are one".to_owned(),
            (false, true) => format!("same {address} address, equal name"),
            (false, false) => format!("same {address} address, equal last name, first name abbreviated"),
        };
        let there: Vec<String> =
            seen.refs.iter().map(|reference| self.desk.engine.rules.key_of(reference).to_string()).collect();
        let beside = if there.is_empty() { "no reference".to_owned() } else { there.join(", ") };
        format!("{why}: reference added beside {beside}")
    }

    /// The address stays with its owner: put the record aside, or go on without the address where that is the policy.
    fn taken(&mut self, complaint: Complaint) -> Result<Turn, Halt> {
        let without = match (&complaint.reason, self.desk.engine.policy.email_conflict) {
            (Reason::EmailTaken, EmailConflict::WithoutEmail) => self.goes_without_email()?,
            _ => false,
        };
        if without { Ok(Turn::Again) } else { Err(Halt::Quarantine(complaint)) }
    }

    /// Adds our ref to the refs the owner has: read, unite, write under `If-Match`, and again if someone was faster.
    pub(super) async fn link(&mut self, mut owner: Seen, warrant: Warrant) -> Result<Turn, Halt> {
        let mut refused = 0;
        for merge in 1..=MAX_MERGES {
            if self.carries_ours(&owner) {
                return self.settle_seen(Outcome::Linked, &owner, warrant.note()).await;
            }
            let etag = owner.etag.clone();
            let answer = self.add_reference(&owner).await?;
            let lost = matches!(answer, Sent::Lost(_));
            if lost {
                self.memory.unanswered = true;
            } else {
                self.desk.patience.answered();
            }
            match answer {
                Sent::Answered(PatchAnswer::Written(seen)) if self.carries_ours(&seen) => {
                    return self.settle_seen(Outcome::Linked, &seen, warrant.note()).await;
                }
                Sent::Answered(PatchAnswer::Rejected(refusal) | PatchAnswer::EmailRefused(refusal)) => {
                    return Err(Halt::Quarantine(Complaint::new(Reason::Rejected, refusal.detail)));
                }
                Sent::Answered(PatchAnswer::Missing) => return self.missing(&owner.id).await,
                Sent::Answered(PatchAnswer::Written(_) | PatchAnswer::Stale(_)) | Sent::Lost(_) => {}
            }
            self.desk.pause(merge).await;
            let Some(again) = self.ask(|d| d.engine.destination.read(&self.key, &owner.id)).await? else {
                return self.missing(&owner.id).await;
            };
            // Refused although nobody changed the contact: it is our ref that is in the way, not the version.
            refused += u32::from(!lost && again.etag == etag && !self.carries_ours(&again));
            if refused >= 2 {
                let detail = format!("contact {} refuses our reference: another contact holds it", again.id);
                return Err(Halt::Quarantine(Complaint::new(Reason::RefConflict, detail).blocked_by(&again.id)));
            }
            match &warrant {
                Warrant::Merged if again.deleted => return self.keep(Outcome::Linked, again, "deleted").await,
                Warrant::Merged => {}
                Warrant::SamePerson(_) if again.deleted || !self.has_our_address(&again) => return Ok(Turn::Again),
                Warrant::SamePerson(_) => {
                    if let Err(complaint) = self.judge_owner(&again).await? {
                        return self.taken(complaint);
                    }
                }
            }
            owner = again;
        }
        Err(Halt::Defer(Wait::Contended, format!("contact {} kept changing while our reference was added", owner.id)))
    }

    async fn add_reference(&mut self, owner: &Seen) -> Result<Sent<PatchAnswer>, Halt> {
        let refs = owner.refs.iter().cloned().chain([self.reference.clone()]).collect();
        let patch = Patch { refs: Some(refs), ..Patch::default() };
        self.announce(IntentKind::Link, Some(owner.id.clone())).await?;
        self.send(|d| d.engine.destination.patch(&self.key, &owner.id, owner.etag.as_deref(), &patch)).await
    }

    pub(super) fn carries_ours(&self, seen: &Seen) -> bool {
        self.carries(seen, &self.key)
    }

    pub(super) fn carries(&self, seen: &Seen, key: &RefKey) -> bool {
        seen.refs.iter().any(|reference| self.desk.engine.rules.key_of(reference) == *key)
    }

    fn has_our_address(&self, seen: &Seen) -> bool {
        let keyed = self.desk.keyed();
        self.email.is_some_and(|ours| seen.email.iter().chain(&seen.emails).any(|theirs| keyed.email(theirs) == ours))
    }

    /// Whether a contact with our ref is plainly somebody else: neither the name nor the address agrees.
    pub(super) fn contradicts(&self, seen: &Seen) -> bool {
        let Ok(contact) = &self.mapped else { return false };
        let theirs: Vec<String> = seen.email.iter().chain(&seen.emails).cloned().collect();
        names::contradicts(name_of(contact), contact.email(), name_of_seen(seen), &theirs)
    }
}

fn held_by_deleted(owner: &str) -> Halt {
    let detail = format!("the address belongs to contact {owner}, which was deleted in Propstreet");
    Halt::Quarantine(Complaint::new(Reason::EmailHeldByDeleted, detail).blocked_by(owner))
}

fn name_of(contact: &Contact) -> PersonName<'_> {
    PersonName { first: contact.first_name(), last: contact.last_name() }
}

fn name_of_seen(seen: &Seen) -> PersonName<'_> {
    PersonName { first: seen.first_name.as_deref(), last: seen.last_name.as_deref() }
}
