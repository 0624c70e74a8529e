//! Chosen records, on demand: read from the CRM anew and delivered, whatever is known of them. No cursor moves.

use std::time::Duration;

use crate::domain::decision::{Case, Decision, Wish, decide};
use crate::domain::identity::RefKey;
use crate::domain::pass::{Outcome, PassKind, SkipReason};
use crate::domain::record::{Record, Window};
use crate::domain::request::Chosen;
use crate::domain::told::Progress;
use crate::ledger::error::LedgerError;
use crate::ledger::rows::Row;
use crate::sync::engine::{Engine, Source};
use crate::sync::pass::{AT_ONCE, Listing, Pass};
use crate::sync::patience::Patience;
use crate::sync::report::{SourceReport, Stop};
use crate::sync::run::Sync;
use crate::sync::source::Detail;
use crate::sync::upkeep::Upkeep;

impl Engine {
    /// One reading of chosen records of a source. With `revive`, contacts that somebody deleted in Propstreet come back.
    pub async fn resync(
        &self,
        source: &Source,
        chosen: Chosen,
        revive: bool,
        max_wait: Duration,
        progress: &dyn Progress,
    ) -> SourceReport {
        let patience = Patience::new(self.clock.clone(), max_wait);
        let mut sync = Sync::new(self, source, &patience, progress);
        sync.revive = revive;
        match self.prepare(&patience).await {
            Ok(()) => sync.run(Some(chosen)).await,
            Err(stop) => sync.refused(stop).await,
        }
    }

    /// Keeps what a person wishes about a record, if that fits; its next delivery does it.
    ///
    /// # Errors
    /// What does not fit, in a sentence; or the ledger's trouble.
    pub async fn resolve(&self, key: &RefKey, wish: Wish) -> Result<Result<Decision, String>, LedgerError> {
        let now = self.clock.now();
        let Some(row) = self.ledger.rows(vec![key.clone()], now).await?.remove(key) else {
            return Ok(Err("the ledger knows no such record".to_owned()));
        };
        if row.alias.is_some() || row.has_left() {
            return Ok(Err("the CRM has this record no longer: there is nothing to decide about it".to_owned()));
        }
        let decision = match decide(wish, &self.case(&row).await?) {
            Ok(decision) => decision,
            misfit => return Ok(misfit),
        };
        if let Some(contact) = &decision.detach
            && self.is_its_own(key, contact).await?
        {
            let why = format!(
                "contact {contact} was created for this very record and stands for no other: there is nothing to take apart"
            );
            return Ok(Err(why));
        }
        self.ledger.decide(key.clone(), decision.clone(), &told(&decision), now).await?;
        Ok(Ok(decision))
    }

    async fn case(&self, row: &Row) -> Result<Case, LedgerError> {
        let deleted = matches!(row.standing, crate::domain::plan::Standing::Deleted);
        let complaint = row.complaint.as_ref().map(|told| (told.reason, told.blocker.clone()));
        Ok(Case { complaint, contact: row.propstreet_id.clone(), deleted })
    }

    /// Whether a contact was created for this record and, by the index, stands for nobody else.
    async fn is_its_own(&self, key: &RefKey, contact: &str) -> Result<bool, LedgerError> {
        let entry = self.ledger.index_entry(contact.to_owned()).await?;
        let shared = entry.is_some_and(|entry| entry.indexed.refs.iter().any(|other| other != key));
        Ok(!shared && self.ledger.was_created_for(contact.to_owned(), key.clone()).await?)
    }
}

/// A decision in the words of its event.
fn told(decision: &Decision) -> String {
    let Decision { without_email, same_as, detach, revive } = decision;
    let mut words = Vec::new();
    words.extend(detach.as_ref().map(|contact| format!("it is not the person of contact {contact}")));
    words.extend(same_as.as_ref().map(|contact| format!("it is the person of contact {contact}")));
    words.extend(without_email.then(|| "it goes without its address".to_owned()));
    words.extend(revive.then(|| "its contact is to be brought back".to_owned()));
    format!("by hand: {}", words.join("; "))
}

impl Sync<'_> {
    /// The one pass of a resync. Unknown people older than a `from_now` began are left alone, unless they are named.
    pub(super) async fn chosen(&mut self, chosen: Chosen) -> Result<(), Stop> {
        let floor = self.first_run().await?;
        let bound = self.bound().await?;
        let listing = match chosen {
            Chosen::Ids(ids) => Listing::Chosen(ids),
            Chosen::Since { since, until } => {
                let hi = until.map_or(bound, |until| until.min(bound)).max(since);
                Listing::Changes { span: Window { lo: since, hi }, watermark: None, resume: None, floor }
            }
            Chosen::Everyone => {
                let span = Window { lo: bound, hi: bound };
                Listing::Everyone { detail: Detail::Records, span, resume: None, floor }
            }
        };
        self.pass(PassKind::Resync, listing, bound).await
    }
}

impl Pass<'_> {
    /// Reads records by id and delivers them; whom the CRM does not show ends as one that is gone.
    pub(super) async fn take_up(&self, mut keys: Vec<RefKey>, upkeep: &Upkeep<'_>) -> Result<(), Stop> {
        while !keys.is_empty() && self.desk.patience.lost().is_none() {
            let rest = keys.split_off(keys.len().min(AT_ONCE));
            // A merged record is not asked for: the CRM has said what became of it.
            let rows = self.desk.engine.ledger.rows(keys.clone(), self.desk.now()).await?;
            let is_merged = |key: &RefKey| rows.get(key).is_some_and(|row| row.alias.is_some());
            keys.retain(|key| !self.is_forgotten(key));
            let (merged, living): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_merged);
            self.depart_all(merged).await?;
            let ids = living.iter().map(|key| key.id.clone()).collect();
            let records = self.fetch_or_depart(ids).await?;
            self.deliver_all(records.into_iter()).await?;
            upkeep.run().await?;
            keys = rest;
        }
        Ok(())
    }

    /// Whether somebody asked for this person to be erased: nothing of them is read, and no row written. Counted as skipped.
    pub(super) fn is_forgotten(&self, key: &RefKey) -> bool {
        let forgotten = self.desk.forgotten.of(key).is_some();
        if forgotten {
            self.count(key, &Outcome::Skipped.into());
            tracing::debug!(reason = SkipReason::Forgotten.code(), "skipped");
        }
        forgotten
    }

    /// The record without those it replaced who are forgotten.
    pub(super) fn without_forgotten(&self, mut record: Record) -> Record {
        record.supersedes.retain(|id| self.desk.forgotten.of(&self.desk.key(id)).is_none());
        record
    }
}
