//! The tag of a departure is taken off again when it is true no longer: the record is back, or lives on in another that
//! stands on the same contact. Announced, written under `If-Match`, and only where the tag is still there.

use crate::domain::departure::{Evidence, FILTERED_TAG, TAG};
use crate::domain::failure::Wait;
use crate::domain::merge::Place;
use crate::domain::pass::Outcome;
use crate::ledger::error::LedgerError;
use crate::ledger::intents::IntentKind;
use crate::ledger::tags::TakenOff;
use crate::sync::asking::Sent;
use crate::sync::deliver::{Delivery, Halt};
use crate::sync::destination::{Patch, PatchAnswer, Seen};
use crate::sync::index;
use crate::sync::same_person::MAX_MERGES;

impl Delivery<'_> {
    /// Takes off what was put on the contact when the record left, but for what is true of another record there.
    pub(super) async fn take_off_tag(&mut self, place: &Place) -> Result<(), Halt> {
        let Place::On(contact) = place else { return Ok(self.tag_settled(None).await?) };
        let stay: Vec<&str> =
            self.desk.engine.ledger.tagged_by(contact.clone()).await?.into_iter().map(Evidence::tag).collect();
        let (mut ours, mut lost) = (None, false);
        for round in 1..=MAX_MERGES {
            let seen = match self.ask(|d| d.engine.destination.read(&self.key, contact)).await? {
                Some(seen) if !seen.deleted && self.carries_ours(&seen) => seen,
                _ => return Ok(self.tag_settled(None).await?),
            };
            let tags = without(&seen.tags, &stay);
            if tags.len() == seen.tags.len() {
                let written = lost.then_some((seen, ours.unwrap_or(false)));
                return Ok(self.tag_settled(written).await?);
            }
            let ours = match ours {
                Some(ours) => ours,
                None => *ours.insert(self.is_still_ours(&seen).await?),
            };
            let patch = Patch { tags: Some(tags), ..Patch::default() };
            self.announce(IntentKind::Update, Some(contact.clone())).await?;
            let etag = seen.etag.as_deref();
            match self.send(|d| d.engine.destination.patch(&self.key, contact, etag, &patch)).await? {
                // Where Propstreet adds lists together no tag can be taken off: it stays for a person to remove.
                Sent::Answered(PatchAnswer::Written(seen)) => {
                    return Ok(self.tag_settled(Some((*seen, ours))).await?);
                }
                Sent::Answered(PatchAnswer::Rejected(_) | PatchAnswer::EmailRefused(_)) => {
                    return Ok(self.tag_settled(None).await?);
                }
                Sent::Answered(PatchAnswer::Stale(_) | PatchAnswer::Missing) => self.desk.pause(round).await,
                Sent::Lost(_) => {
                    lost = true;
                    self.desk.pause(round).await;
                }
            }
        }
        Err(Halt::Defer(Wait::Contended, format!("contact {contact} kept changing while its tag was taken off")))
    }

    async fn tag_settled(&mut self, written: Option<(Seen, bool)>) -> Result<(), LedgerError> {
        let engine = self.desk.engine;
        self.memory.untagged |= written.is_some();
        let taken_off = written.map(|(seen, ours)| {
            let left: Vec<_> = seen.tags.iter().filter(|tag| is_ours(tag)).map(String::as_str).collect();
            let note = match &left[..] {
                [] => "the tag of its departure is taken off".to_owned(),
                left => format!("Propstreet leaves the tag {} on the contact", left.join(", ")),
            };
            let index = index::entry(&seen, &engine.rules, engine.ledger.keyed());
            TakenOff { etag: seen.etag.filter(|_| ours), index, note }
        });
        engine.ledger.tag_settled(self.desk.pass, self.key.clone(), taken_off, self.desk.now()).await
    }

    /// Whether nobody else has written this contact since we did. If somebody has, that is noted for good: our next write
    /// on top of it must not make it look like ours.
    pub(super) async fn is_still_ours(&self, seen: &Seen) -> Result<bool, LedgerError> {
        let ledger = &self.desk.engine.ledger;
        if ledger.is_ours(seen.id.clone(), seen.etag.clone()).await? {
            return Ok(true);
        }
        ledger.touched(seen.id.clone()).await?;
        Ok(false)
    }

    /// How the books call a record whose contact lost its tag, and had nothing else to be written.
    pub(super) fn counted(&self, outcome: Outcome) -> Outcome {
        if self.memory.untagged && outcome == Outcome::Unchanged { Outcome::Updated } else { outcome }
    }
}

fn is_ours(tag: &str) -> bool {
    tag == TAG || tag == FILTERED_TAG
}

fn without(tags: &[String], stay: &[&str]) -> Vec<String> {
    tags.iter().filter(|tag| !is_ours(tag) || stay.contains(&tag.as_str())).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_of_departures_go_and_only_those_that_are_true_of_nobody() {
        let tags = ["vip", TAG, FILTERED_TAG].map(str::to_owned);
        assert_eq!(without(&tags, &[]), ["vip"]);
        assert_eq!(without(&tags, &[TAG]), ["vip", TAG]);
    }
}
