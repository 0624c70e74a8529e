//! One sync: what a source is owed, pass by pass, and what is told of it.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::departure::{Guard, Tombstones};
use crate::domain::failure::Trouble;
use crate::domain::finding::{Finding, Weight};
use crate::domain::pass::{Books, PassKind};
use crate::domain::record::Window;
use crate::domain::request::Chosen;
use crate::domain::told::Progress;
use crate::domain::updates::Updates;
use crate::ledger::bindings::Bound;
use crate::ledger::cursors::{Cursor, OpenWindow};
use crate::ledger::error::LedgerError;
use crate::sync::engine::{Companies, Engine, FirstRun, Source};
use crate::sync::pass::{Listing, Pass, Tally};
use crate::sync::patience::Patience;
use crate::sync::report::{PassReport, SourceReport, Stop};
use crate::sync::source::{Detail, Trail};
use crate::sync::upkeep::Upkeep;

/// A complete listing of every id is due when the last is this old: what polls cannot see is found within it.
const SWEEP_EVERY: chrono::TimeDelta = chrono::TimeDelta::hours(24);

impl Engine {
    /// One sync of these sources, side by side. `max_wait` is how long an upstream that is down is waited for.
    pub async fn sync(&self, sources: &[&Source], max_wait: Duration, progress: &dyn Progress) -> Vec<SourceReport> {
        let patience = Patience::new(self.clock.clone(), max_wait);
        let prepared = self.prepare(&patience).await;
        let passes = sources.iter().map(|source| async {
            match &prepared {
                Ok(()) => Sync::new(self, source, &patience, progress).run(None).await,
                Err(stop) => Sync::new(self, source, &patience, progress).refused(stop.clone()).await,
            }
        });
        futures_util::future::join_all(passes).await
    }

    /// The ledger must be this tenant's, and the index fresh, before anything is written.
    pub(super) async fn prepare(&self, patience: &Patience) -> Result<(), Stop> {
        let (subject, is) = ("propstreet".to_owned(), self.destination.binding());
        self.refuse_rebound(&subject, &is).await?;
        self.index.keep_fresh(&self.ledger, &*self.destination, patience).await?;
        // Bound only once it has answered: a mistyped address must not stay the ledger's for good.
        self.bind(subject, is).await
    }

    async fn refuse_rebound(&self, subject: &str, is: &str) -> Result<(), Stop> {
        match self.ledger.bound(subject.to_owned()).await? {
            Some(was) if was != is => Err(Stop::Rebound { subject: subject.to_owned(), was, is: is.to_owned() }),
            _ => Ok(()),
        }
    }

    async fn bind(&self, subject: String, is: String) -> Result<(), Stop> {
        match self.ledger.bind(subject.clone(), is.clone(), self.clock.now()).await? {
            Bound::New | Bound::Same => Ok(()),
            Bound::Changed { was } => Err(Stop::Rebound { subject, was, is }),
        }
    }
}

/// One source in one sync.
pub(super) struct Sync<'a> {
    engine: &'a Engine,
    source: &'a Source,
    patience: &'a Patience,
    progress: &'a dyn Progress,
    began: tokio::time::Instant,
    upkeep: Upkeep<'a>,
    propstreet_calls: u64,
    books: Books,
    passes: Vec<PassReport>,
    newly_quarantined: u64,
    gone: Tombstones,
    guard: Option<Guard>,
    updates: Option<Updates>,
    /// Contacts that somebody deleted in Propstreet are brought back.
    pub(super) revive: bool,
}

impl<'a> Sync<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        source: &'a Source,
        patience: &'a Patience,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            engine,
            source,
            patience,
            progress,
            began: engine.clock.instant(),
            upkeep: Upkeep::new(engine, source),
            propstreet_calls: 0,
            books: Books::default(),
            passes: Vec::new(),
            newly_quarantined: 0,
            gone: Tombstones::default(),
            guard: None,
            updates: None,
            revive: false,
        }
    }

    /// All that the source is owed, or, of somebody who asks, the chosen records alone.
    pub(super) async fn run(mut self, chosen: Option<Chosen>) -> SourceReport {
        let result = self.passes(chosen).await;
        let noted = self.upkeep.note_spending().await;
        let counted = self.count_updates().await;
        match result.and(noted.and(counted).map_err(Stop::from)) {
            Err(stop) if self.passes.is_empty() => self.refused(stop).await,
            result => self.report(result.err()),
        }
    }

    async fn count_updates(&mut self) -> Result<(), LedgerError> {
        let (engine, source) = (self.engine, self.source);
        self.updates = engine.ledger.updates(&source.name, engine.watch(source)).await?;
        Ok(())
    }

    /// Stopped before any pass: the ledger must still know, or `status` would call the source fine.
    pub(super) async fn refused(self, stop: Stop) -> SourceReport {
        let bound = self.engine.clock.now();
        let begun = Pass::begin(self.engine, self.source, self.patience, self.progress, PassKind::Poll, bound).await;
        if let Ok(pass) = begun {
            // A ledger that cannot take this in has been told of already, or tells the next command.
            drop(pass.end(&Err(stop.clone())).await);
        }
        self.report(Some(stop))
    }

    fn report(self, error: Option<Stop>) -> SourceReport {
        let error = error.or_else(|| self.patience.lost().map(Stop::Propstreet));
        let complete = error.is_none();
        SourceReport {
            name: self.source.name.clone(),
            complete,
            counts: self.books.counts(),
            newly_quarantined: self.newly_quarantined,
            gone: self.gone.counts(),
            guard: self.guard.filter(|_| self.gone.counts().held > 0),
            updates: self.updates,
            companies_refused: self.companies_refused(),
            passes: self.passes,
            written_back: self.upkeep.write_backs.written(),
            crm_requests: self.upkeep.requests(),
            propstreet_requests: self.propstreet_calls,
            took: self.began.elapsed(),
            error: error.or_else(|| self.upkeep.write_backs.lost().map(Stop::WriteBack)),
        }
    }

    /// Of a source that has nothing to do with companies, nothing is told of them.
    fn companies_refused(&self) -> Option<String> {
        self.patience.firms.refused().filter(|_| self.source.companies == Companies::Link)
    }

    /// Backfill if one is owed, and then the rest. A backfill that has to wait for its part of a day keeps nobody from
    /// hearing of changes.
    async fn passes(&mut self, chosen: Option<Chosen>) -> Result<(), Stop> {
        self.upkeep.tell_spent().await?;
        self.admit().await?;
        self.upkeep.write_backs.open().await?;
        let (engine, source) = (self.engine, self.source);
        engine.ledger.read_under(&source.name, source.mapper.version(), engine.clock.now()).await?;
        engine.ledger.filtered_by(&source.name, source.mapper.filter_version()).await?;
        if let Some(chosen) = chosen {
            return self.chosen(chosen).await;
        }
        let floor = self.first_run().await?;
        self.heed_hints(floor).await?;
        match self.backfill().await {
            Ok(()) => self.go_on(floor, true).await,
            // A sweep would do the backfill's work, at the expense of the polls.
            Err(waits @ Stop::Crm(Trouble::NotSent { retry_after: Some(_), .. })) => {
                match self.go_on(floor, false).await {
                    Ok(()) | Err(Stop::Crm(Trouble::NotSent { .. })) => Err(waits),
                    worse => worse,
                }
            }
            Err(stop) => Err(stop),
        }
    }

    /// What is due again, then what changed, then the trail and a sweep if they are due.
    async fn go_on(&mut self, floor: Option<Timestamp>, sweeps: bool) -> Result<(), Stop> {
        self.pass(PassKind::Retry, Listing::Due, self.bound().await?).await?;
        let polled = match self.poll(floor).await {
            Ok(()) => self.trail(floor).await,
            stopped => stopped,
        };
        let swept = match &polled {
            // A listing by time that answers, and cannot be trusted, must not keep the one of everyone from finding
            // what it misses.
            Ok(()) | Err(Stop::Crm(Trouble::Ambiguous(_) | Trouble::Protocol(_))) if sweeps => self.sweep(floor).await,
            _ => Ok(()),
        };
        polled.and(swept)
    }

    /// The source must be the account this ledger was made with, and fit to be read as configured.
    async fn admit(&self) -> Result<(), Stop> {
        let account = self.patiently(|| self.source.crm.account()).await?;
        let (subject, is) = self.source.binding(&account);
        self.engine.refuse_rebound(&subject, &is).await?;
        let findings = self.patiently(|| self.source.crm.inspect()).await?;
        let (faults, notes): (Vec<Finding>, _) = findings.into_iter().partition(|found| found.weight == Weight::Fault);
        for Finding { what, remedy, .. } in self.engine.notes.news(&self.source.name, notes) {
            tracing::warn!(source = self.source.name, what, remedy, "noted");
        }
        if !faults.is_empty() {
            return Err(Stop::Unfit(faults));
        }
        self.engine.bind(subject, is).await
    }

    /// Sets the poll cursor at the first sight of a source, *before* its backfill starts, so that nothing that changes
    /// meanwhile is missed. Returns the instant before which unknown people are left alone (`from_now`).
    pub(super) async fn first_run(&self) -> Result<Option<Timestamp>, Stop> {
        let (ledger, name) = (&self.engine.ledger, &self.source.name);
        let poll = ledger.cursor(name, PassKind::Poll).await?;
        if poll.watermark.is_none() && poll.window.is_none() {
            let start = self.bound().await?;
            let window = OpenWindow { window: Window { lo: start, hi: start }, resume: None };
            ledger.move_cursor(name, PassKind::Backfill, Cursor { watermark: None, window: Some(window) }).await?;
            ledger.move_cursor(name, PassKind::Sweep, Cursor { watermark: Some(start), window: None }).await?;
            ledger.move_cursor(name, PassKind::Trail, Cursor { watermark: Some(start), window: None }).await?;
            // Last, because it says that the others are set: a death in between must not forget where `from_now` began.
            ledger.move_cursor(name, PassKind::Poll, Cursor { watermark: Some(start), window: None }).await?;
        }
        let backfill = ledger.cursor(name, PassKind::Backfill).await?;
        match (self.source.first_run, backfill.watermark, backfill.window) {
            (FirstRun::FromNow, None, Some(open)) => Ok(Some(open.window.lo)),
            _ => Ok(None),
        }
    }

    /// Reads after what webhooks told of merges, before anything that could deliver a survivor beside its contact.
    async fn heed_hints(&mut self, floor: Option<Timestamp>) -> Result<(), Stop> {
        let now = self.engine.clock.now();
        if self.engine.ledger.hints(&self.source.name).await?.iter().all(|hint| hint.due > now) {
            return Ok(());
        }
        self.pass(PassKind::Retry, Listing::Told { floor }, self.bound().await?).await
    }

    /// Reads everyone, if that is owed still.
    async fn backfill(&mut self) -> Result<(), Stop> {
        let Cursor { watermark, window } = self.engine.ledger.cursor(&self.source.name, PassKind::Backfill).await?;
        if self.source.first_run != FirstRun::Backfill || watermark.is_some() {
            return Ok(());
        }
        let now = self.bound().await?;
        let OpenWindow { window: span, resume } = window.unwrap_or_else(|| at_once(now));
        let listing = Listing::Everyone { detail: Detail::Records, span, resume, floor: None };
        self.pass(PassKind::Backfill, listing, span.hi).await?;
        if self.patience.lost().is_some() {
            return Ok(());
        }
        // A backfill has seen every id, so the first sweep is a day away.
        self.finish(PassKind::Backfill, span.hi).await?;
        self.finish(PassKind::Sweep, now).await
    }

    async fn poll(&mut self, floor: Option<Timestamp>) -> Result<(), Stop> {
        loop {
            let cursor = self.engine.ledger.cursor(&self.source.name, PassKind::Poll).await?;
            let resumed = cursor.window.is_some();
            let open = match cursor.window {
                Some(open) => open,
                None => self.window(cursor.watermark, self.bound().await?),
            };
            self.read_changes(PassKind::Poll, open, cursor.watermark, floor).await?;
            // A window left open by a crash ends in the past: read on to the present.
            if !resumed || self.patience.lost().is_some() {
                return Ok(());
            }
        }
    }

    /// Reads once more what changed some time ago, where the CRM may have shown it too late for the polls.
    async fn trail(&mut self, floor: Option<Timestamp>) -> Result<(), Stop> {
        let Some(Trail { behind, every }) = self.source.crm.trail().filter(|_| self.patience.lost().is_none()) else {
            return Ok(());
        };
        let ledger = &self.engine.ledger;
        let polled = ledger.cursor(&self.source.name, PassKind::Poll).await?.watermark;
        let cursor = ledger.cursor(&self.source.name, PassKind::Trail).await?;
        let (open, began) = match (cursor.window, cursor.watermark, polled) {
            (Some(open), began, _) => (open, began),
            (None, Some(began), Some(polled)) if polled - behind >= began + every => {
                (self.window(Some(began), polled - behind), Some(began))
            }
            // A source that is older than its trail.
            (None, None, Some(polled)) => return self.finish(PassKind::Trail, polled - behind).await,
            _ => return Ok(()),
        };
        self.read_changes(PassKind::Trail, open, began, floor).await
    }

    /// The window from the watermark on, the overlap before it.
    fn window(&self, watermark: Option<Timestamp>, hi: Timestamp) -> OpenWindow {
        let lo = watermark.unwrap_or(hi).min(hi) - self.source.crm.overlap();
        OpenWindow { window: Window { lo, hi }, resume: None }
    }

    /// Reads a window to its end, which the watermark then moves to.
    async fn read_changes(
        &mut self,
        kind: PassKind,
        open: OpenWindow,
        watermark: Option<Timestamp>,
        floor: Option<Timestamp>,
    ) -> Result<(), Stop> {
        // What lies in the first overlap may have shown after the source began.
        let floor = floor.map(|floor| floor - self.source.crm.overlap());
        let OpenWindow { window: span, resume } = open;
        self.pass(kind, Listing::Changes { span, watermark, resume, floor }, span.hi).await?;
        match self.patience.lost() {
            Some(_) => Ok(()),
            None => self.finish(kind, span.hi).await,
        }
    }

    async fn sweep(&mut self, floor: Option<Timestamp>) -> Result<(), Stop> {
        let cursor = self.engine.ledger.cursor(&self.source.name, PassKind::Sweep).await?;
        let now = self.bound().await?;
        let open = cursor.window;
        if open.is_none() && cursor.watermark.is_some_and(|last| now - last < SWEEP_EVERY) {
            return Ok(());
        }
        let OpenWindow { window: span, resume } = open.unwrap_or_else(|| at_once(now));
        let listing = Listing::Everyone { detail: Detail::Stamps, span, resume, floor };
        match self.pass(PassKind::Sweep, listing, span.hi).await {
            // Its place is kept, and polls go first.
            Err(stop) if stop.waits() => {
                tracing::info!(source = self.source.name, why = %stop, "the sweep waits");
                return Ok(());
            }
            ran => ran?,
        }
        if self.patience.lost().is_some() {
            return Ok(());
        }
        self.finish(PassKind::Sweep, span.hi).await
    }

    async fn finish(&self, kind: PassKind, watermark: Timestamp) -> Result<(), Stop> {
        let cursor = Cursor { watermark: Some(watermark), window: None };
        Ok(self.engine.ledger.move_cursor(&self.source.name, kind, cursor).await?)
    }

    /// Runs one pass and takes its books over, also when it broke off.
    pub(super) async fn pass(&mut self, kind: PassKind, listing: Listing, bound: Timestamp) -> Result<(), Stop> {
        let mut pass = Pass::begin(self.engine, self.source, self.patience, self.progress, kind, bound).await?;
        pass.desk.revive = self.revive;
        let ran = pass.run(listing, &self.upkeep).await;
        let Tally { books, newly_quarantined, gone, guard } = ran.tally;
        self.passes.push(PassReport { kind, counts: books.counts() });
        self.books.merge(&books);
        self.newly_quarantined += newly_quarantined;
        self.gone.merge(gone);
        self.guard = guard.or(self.guard);
        self.propstreet_calls += ran.propstreet_calls;
        ran.result?;
        Ok(self.upkeep.run().await?)
    }

    pub(super) async fn bound(&self) -> Result<Timestamp, Stop> {
        self.patiently(|| self.source.crm.bound()).await
    }

    async fn patiently<'s, T>(
        &'s self,
        call: impl Fn() -> futures_util::future::BoxFuture<'s, Result<T, Trouble>>,
    ) -> Result<T, Stop> {
        crate::sync::pass::patiently(&self.engine.clock, self.patience, call).await
    }
}

/// The window of a listing of everyone: it spans no time, and stamps from its instant on are not final.
fn at_once(now: Timestamp) -> OpenWindow {
    OpenWindow { window: Window { lo: now, hi: now }, resume: None }
}
