//! Who has left a source, pass by pass (protocol §H): what the CRM itself calls deleted, and who a whole sweep did not
//! show. All are held first; when the pass has come to its end, the guard decides whether they may go.

use std::collections::{HashMap, HashSet};
use std::sync::PoisonError;

use futures_util::stream::{self, TryStreamExt};

use crate::domain::Timestamp;
use crate::domain::departure::{self, Evidence, Fate, Guard};
use crate::domain::identity::RefKey;
use crate::domain::pass::PassKind;
use crate::domain::plan::Standing;
use crate::domain::record::{Departed, Window};
use crate::ledger::error::LedgerError;
use crate::ledger::gone::{Gone, Held, Leaving};
use crate::ledger::rows::Row;
use crate::sync::depart::see_off;
use crate::sync::engine::OnDelete;
use crate::sync::pass::{AT_ONCE, IN_FLIGHT, Pass, patiently};
use crate::sync::report::Stop;
use crate::sync::source::Confirmed;

/// The span in which the guard counts.
pub(super) const GUARDED: chrono::TimeDelta = chrono::TimeDelta::hours(24);
/// As many are asked for one by one, before the guard stops anything. Each may cost a request, at every sweep.
const LOOKED_INTO: u64 = 1_000;

impl Pass<'_> {
    /// Notes whom a page calls deleted. `rows` is what stood before the page; `alive` is whom it shows.
    pub(super) async fn note_departed(
        &self,
        departed: Vec<Departed>,
        alive: &[(RefKey, Option<Timestamp>)],
        rows: &HashMap<RefKey, Row>,
    ) -> Result<(), Stop> {
        let gone: Vec<_> = departed
            .into_iter()
            .map(|Departed { id, modified }| (self.desk.key(&id), modified))
            .filter(|(key, stamp)| {
                let shown_later = |(id, shown): &(RefKey, _)| id == key && !departure::is_late(*shown, *stamp);
                rows.get(key).is_some_and(|row| is_news(row, *stamp)) && !alive.iter().any(shown_later)
            })
            .collect();
        self.hold(Evidence::Feed, gone).await
    }

    async fn hold(&self, evidence: Evidence, gone: Vec<(RefKey, Option<Timestamp>)>) -> Result<(), Stop> {
        if gone.is_empty() {
            return Ok(());
        }
        Ok(self.desk.engine.ledger.hold(self.desk.pass, evidence, gone, self.desk.now()).await?)
    }

    /// At the end of a sweep: asks for each by id whom the ledger knows and the sweep has not met, in this process or in
    /// one before. Whom the CRM shows after all is delivered.
    pub(super) async fn hold_missing(&self, sweep: Timestamp) -> Result<(), Stop> {
        let (ledger, source) = (&self.desk.engine.ledger, &self.desk.source.name);
        let mut after = i64::MIN;
        while self.desk.patience.lost().is_none() {
            let unmet = ledger.unmet(source, sweep, after, AT_ONCE).await?;
            let Some((last, _)) = unmet.last() else { return Ok(()) };
            after = *last;
            let missing: Vec<RefKey> = unmet.into_iter().map(|(_, key)| key).collect();
            let gone = self.not_shown(&missing).await?;
            self.hold(Evidence::Sweep, gone.into_iter().map(|key| (key, None)).collect()).await?;
            ledger.meet(sweep, missing).await?;
        }
        Ok(())
    }

    /// Before contacts are deleted, where a merge shows by two changes alone: reads what changed since the last poll, this
    /// pass's own time with it. Who disappeared amid a sweep may stand in a survivor whose page had passed, and who waits
    /// for the contact once it is read.
    async fn read_meanwhile(&self, floor: Option<Timestamp>) -> Result<(), Stop> {
        let (engine, source) = (self.desk.engine, self.desk.source);
        let crm = &source.crm;
        if crm.tells_merges() || source.on_delete != OnDelete::Delete {
            return Ok(());
        }
        let polled = engine.ledger.cursor(&source.name, PassKind::Poll).await?.watermark;
        // No watermark will follow from this window, so that it may reach beyond what is settled.
        let now = crm.server_now().unwrap_or(self.desk.now());
        let span = Window { lo: polled.unwrap_or(self.desk.bound) - crm.overlap(), hi: now + crm.overlap() };
        let mut resume = None;
        while self.desk.patience.lost().is_none() {
            let ask = || crm.changes(span, resume.clone());
            let page = patiently(&engine.clock, self.desk.patience, ask).await?;
            resume = page.next.clone();
            self.settle_page(page, floor).await?;
            if resume.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Those of these whom the CRM does not show when asked by id; the others are delivered.
    pub(super) async fn not_shown(&self, keys: &[RefKey]) -> Result<Vec<RefKey>, Stop> {
        let (records, gone) = self.fetch(keys.iter().map(|key| key.id.clone()).collect()).await?;
        self.deliver_all(records.into_iter()).await?;
        Ok(gone)
    }

    /// Those of these whom the CRM confirms to be gone. Whom it shows is delivered, and whom it only hides stays.
    async fn confirmed(&self, keys: Vec<RefKey>) -> Result<HashSet<RefKey>, Stop> {
        let (engine, source) = (self.desk.engine, self.desk.source);
        let ids: Vec<String> = keys.iter().map(|key| key.id.clone()).collect();
        let ask = || source.crm.confirm_gone(ids.clone());
        let Confirmed { gone, shown } = patiently(&engine.clock, self.desk.patience, ask).await?;
        let gone: HashSet<RefKey> = gone.iter().map(|id| self.desk.key(id)).collect();
        let alive: HashSet<RefKey> = shown.iter().map(|record| self.desk.key(&record.id)).collect();
        self.deliver_all(shown.into_iter()).await?;
        let hidden: Vec<_> = keys.into_iter().filter(|key| !gone.contains(key) && !alive.contains(key)).collect();
        if !hidden.is_empty() {
            let (source, count) = (&source.name, hidden.len());
            tracing::warn!(source, count, "people the CRM neither shows nor calls deleted stay: hidden from its user?");
            engine.ledger.release(self.desk.pass, hidden, self.desk.now()).await?;
        }
        Ok(gone)
    }

    /// Lets the held go, if they are not more than may without a person's word; else they stay held, and are told of.
    pub(super) async fn let_go(&self, floor: Option<Timestamp>) -> Result<(), Stop> {
        let (engine, source) = (self.desk.engine, self.desk.source);
        // Two passes that counted side by side would let twice as many go.
        let _of_source = engine.leaving_locks.hold(source.name.clone()).await;
        let mut leaving = self.leaving().await?;
        let too_many = |l: &Leaving| l.held > 0 && l.recent + l.held > departure::allowed(l.live, source.guard);
        if self.kind == PassKind::Sweep && too_many(&leaving) {
            self.look_into_held().await?;
            leaving = self.leaving().await?;
        }
        let Leaving { held, recent, live } = leaving;
        if too_many(&leaving) {
            let allowed = departure::allowed(live, source.guard);
            tracing::warn!(source = source.name, held, recent, allowed, "more people left than the guard lets go");
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.gone.held(held);
            tally.guard = Some(Guard { allowed, needed: recent + held });
            return Ok(());
        }
        if held > 0 {
            self.read_meanwhile(floor).await?;
            self.see_off_at_most(held).await?;
        }
        // Of whom Propstreet could not be asked to the end stays held.
        let held = if held > 0 { self.leaving().await?.held } else { 0 };
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).gone.held(held);
        Ok(())
    }

    /// More are held than may go: some of them may only be hidden, and must not stand in the way of the others for ever.
    async fn look_into_held(&self) -> Result<(), Stop> {
        let (mut after, mut left) = (i64::MIN, LOOKED_INTO);
        while left > 0 && self.desk.patience.lost().is_none() {
            let held = self.desk.engine.ledger.held(&self.desk.source.name, after, AT_ONCE).await?;
            let Some(last) = held.last() else { break };
            after = last.place;
            left = left.saturating_sub(held.len() as u64);
            let left = held.into_iter().filter(|held| held.evidence != Evidence::Filter);
            self.confirmed(left.map(|held| held.key).collect()).await?;
        }
        Ok(())
    }

    async fn leaving(&self) -> Result<Leaving, LedgerError> {
        self.desk.engine.ledger.leaving(&self.desk.source.name, self.desk.now() - GUARDED).await
    }

    /// Sees off so many of the held: whoever was held since they were counted waits for the next count.
    async fn see_off_at_most(&self, mut count: u64) -> Result<(), Stop> {
        let mut after = i64::MIN;
        while count > 0 && self.desk.patience.lost().is_none() {
            let at_once = usize::try_from(count).unwrap_or(AT_ONCE).min(AT_ONCE);
            let held = self.desk.engine.ledger.held(&self.desk.source.name, after, at_once).await?;
            let Some(last) = held.last() else { break };
            after = last.place;
            count -= held.len() as u64;
            self.see_off_all(held).await?;
        }
        Ok(())
    }

    async fn see_off_all(&self, held: Vec<Held>) -> Result<(), Stop> {
        let (filtered, held): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.evidence == Evidence::Filter);
        let hidden = self.judge_again(&filtered).await?;
        let filtered = filtered.into_iter().filter(|held| !hidden.contains(&held.key));
        // A sweep has just asked for those it missed by id. Whoever was held on another word may be shown again by now,
        // restored or as part of another: a merge can put its losers where the deleted are.
        let is_sure = |held: &Held| held.pass == self.desk.pass && held.evidence == Evidence::Sweep;
        let unsure: Vec<RefKey> = held.iter().filter(|held| !is_sure(held)).map(|held| held.key.clone()).collect();
        let gone = if unsure.is_empty() { Vec::new() } else { self.not_shown(&unsure).await? };
        let sure: Vec<Held> = held.into_iter().filter(|held| is_sure(held) || gone.contains(&held.key)).collect();
        let confirmed = self.confirmed(sure.iter().map(|held| held.key.clone()).collect()).await?;
        let confirmed = sure.into_iter().filter(|held| confirmed.contains(&held.key)).chain(filtered);
        // One after the other where contacts are deleted: the last of two who share one must find the first gone.
        let deletes = [self.desk.source.on_delete, self.desk.source.on_filtered].contains(&OnDelete::Delete);
        let at_once = if deletes { 1 } else { IN_FLIGHT };
        stream::iter(confirmed.map(Ok))
            .try_for_each_concurrent(at_once, |held| async move {
                if let Some(fate) = see_off(&self.desk, &held).await? {
                    self.tally.lock().unwrap_or_else(PoisonError::into_inner).gone.left(&held.key, fate);
                }
                Ok(())
            })
            .await
    }
}

/// Whether it is news that this record has left.
fn is_news(row: &Row, stamp: Option<Timestamp>) -> bool {
    let decided = matches!(row.gone, Some(Gone { fate, evidence, .. })
        if fate != Fate::Held && evidence != Evidence::Filter);
    !decided && row.alias.is_none() && row.standing != Standing::Deleted && !departure::is_late(stamp, row.modified)
}
