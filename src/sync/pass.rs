//! One pass over one source: page by page, each record to an outcome, and only then the cursor on.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, TryStreamExt};

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::departure::{Fate, Guard, Tombstones};
use crate::domain::failure::Trouble;
use crate::domain::identity::RefKey;
use crate::domain::pass::{Books, PassKind};
use crate::domain::plan::{self, Standing};
use crate::domain::record::{Page, Record, Resume, Sighting, Window};
use crate::domain::told::Progress;
use crate::ledger::cursors::{Cursor, OpenWindow};
use crate::ledger::passes::PassEnd;
use crate::ledger::rows::Row;
use crate::sync::deliver::Ended;
use crate::sync::depart::depart;
use crate::sync::desk::Desk;
use crate::sync::door;
use crate::sync::engine::{Engine, Source};
use crate::sync::patience::Patience;
use crate::sync::report::Stop;
use crate::sync::siblings::deliver;
use crate::sync::source::Detail;
use crate::sync::upkeep::Upkeep;

/// Records under way at once: enough for 600 writes a minute at any latency the API documents, few enough to bound
/// memory and to leave little open when the power goes.
pub(super) const IN_FLIGHT: usize = 16;
/// Records asked for by id at once.
pub(super) const AT_ONCE: usize = 200;
/// Deferred records taken up in one pass; more wait for the next.
const DUE_AT_MOST: usize = 20_000;

/// What a pass reads.
pub(super) enum Listing {
    /// People whose stamp lies in the span, and people it has to do with (of an account that was renamed); unknown ones
    /// older than `floor` are left alone.
    Changes { span: Window, watermark: Option<Timestamp>, resume: Option<Resume>, floor: Option<Timestamp> },
    /// Everyone; unknown people older than `floor` are left alone.
    Everyone { detail: Detail, span: Window, resume: Option<Resume>, floor: Option<Timestamp> },
    /// What the ledger says is due to be tried again.
    Due,
    /// Those with these ids of the CRM.
    Chosen(Vec<String>),
    /// Merges that a webhook told of; unknown people older than `floor` are left alone.
    Told { floor: Option<Timestamp> },
}

/// A pass under way.
pub(super) struct Pass<'a> {
    pub(super) desk: Desk<'a>,
    pub(super) kind: PassKind,
    progress: &'a dyn Progress,
    pub(super) tally: Mutex<Tally>,
}

/// What a pass has counted so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) books: Books,
    pub(super) newly_quarantined: u64,
    pub(super) gone: Tombstones,
    /// Why some are held back, if any are.
    pub(super) guard: Option<Guard>,
}

/// A pass that has ended, well or not.
pub(super) struct Ran {
    pub(super) tally: Tally,
    pub(super) propstreet_calls: u64,
    pub(super) result: Result<(), Stop>,
}

impl<'a> Pass<'a> {
    pub(super) async fn begin(
        engine: &'a Engine,
        source: &'a Source,
        patience: &'a Patience,
        progress: &'a dyn Progress,
        kind: PassKind,
        bound: Timestamp,
    ) -> Result<Self, Stop> {
        let pass = engine.ledger.begin_pass(&source.name, kind, engine.clock.now()).await?;
        let again = matches!(kind, PassKind::Retry | PassKind::Resync);
        let forgotten = engine.ledger.tombstones().await?;
        let guarded = kind != PassKind::Backfill;
        let calls = AtomicU64::new(0);
        let desk = Desk { engine, source, patience, pass, bound, again, revive: false, forgotten, guarded, calls };
        Ok(Self { desk, kind, progress, tally: Mutex::default() })
    }

    /// Reads the listing to its end, or to what stops it; the books are handed over either way.
    pub(super) async fn run(self, listing: Listing, upkeep: &Upkeep<'_>) -> Ran {
        let read = match listing {
            Listing::Due => self.retry(upkeep).await,
            Listing::Chosen(ids) => self.take_up(ids.iter().map(|id| self.desk.key(id)).collect(), upkeep).await,
            Listing::Told { floor } => self.heed(floor, upkeep).await,
            listing => self.read_and_part(listing, upkeep).await,
        };
        let ended = self.end(&read).await;
        let result = read.and(ended);
        let tally = self.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ran { tally, propstreet_calls: self.desk.calls.load(Ordering::Relaxed), result }
    }

    /// Closes the pass's row with its books and what stopped it.
    pub(super) async fn end(&self, read: &Result<(), Stop>) -> Result<(), Stop> {
        let counts = self.tally.lock().unwrap_or_else(PoisonError::into_inner).books.counts();
        let lost = self.desk.patience.lost().map(Stop::Propstreet);
        let stopped = read.as_ref().err().filter(|stop| !stop.waits());
        let trouble = stopped.or(lost.as_ref()).map(|stop| stop.told(self.desk.now()));
        let (source, kind) = (&self.desk.source.name, self.kind.as_str());
        tracing::info!(source, kind, trouble, ?counts, "pass ended");
        let end = PassEnd { complete: trouble.is_none(), counts, trouble };
        Ok(self.desk.engine.ledger.end_pass(self.desk.pass, end, self.desk.now()).await?)
    }

    /// Reads the listing; once it has been read to its end, who has left is seen off.
    async fn read_and_part(&self, listing: Listing, upkeep: &Upkeep<'_>) -> Result<(), Stop> {
        let (sweep, floor) = (listing.sweep(), listing.floor());
        self.read(listing, upkeep).await?;
        if let Some(sweep) = sweep {
            self.hold_missing(sweep).await?;
        }
        if self.desk.patience.lost().is_some() {
            return Ok(());
        }
        self.let_go(floor).await
    }

    async fn read(&self, mut listing: Listing, upkeep: &Upkeep<'_>) -> Result<(), Stop> {
        let mut page = self.page(&listing).await?;
        loop {
            let (next, floor, sweep) = (page.next.clone(), listing.floor(), listing.sweep());
            let met: Vec<RefKey> = match sweep {
                Some(_) => page.sightings.iter().map(|sighting| self.desk.key(&sighting.id)).collect(),
                None => Vec::new(),
            };
            let Some(next) = next else {
                self.settle_page(page, floor).await?;
                return self.keep_place(None, sweep, met).await;
            };
            let position = listing.move_to(next);
            let settle = async {
                self.settle_page(page, floor).await?;
                self.keep_place(Some(position), sweep, met).await
            };
            // The next page is read while this one is delivered; two pages are the most that is ever held. The place is
            // kept at once: the next page may be long in coming, as that of a bulk job is.
            let (settled, ahead) = futures_util::join!(settle, self.page(&listing));
            settled?;
            if self.desk.patience.lost().is_some() {
                return Ok(());
            }
            page = ahead?;
            upkeep.run().await?;
        }
    }

    /// Behind a page that is settled: moves the cursor on, if more pages follow, and marks whom a sweep has met.
    async fn keep_place(&self, to: Option<Cursor>, sweep: Option<Timestamp>, met: Vec<RefKey>) -> Result<(), Stop> {
        let (ledger, source) = (&self.desk.engine.ledger, &self.desk.source.name);
        match (to, sweep) {
            // What somebody asked for is read beside what is read by itself.
            _ if self.kind == PassKind::Resync => {}
            (Some(to), Some(sweep)) => ledger.move_sweep(source, to, sweep, met).await?,
            (Some(to), None) => ledger.move_cursor(source, self.kind, to).await?,
            (None, Some(sweep)) => ledger.meet(sweep, met).await?,
            (None, None) => {}
        }
        Ok(())
    }

    async fn page(&self, listing: &Listing) -> Result<Page, Stop> {
        let crm = &self.desk.source.crm;
        patiently(&self.desk.engine.clock, self.desk.patience, || match listing {
            Listing::Changes { span, resume, .. } if self.kind == PassKind::Trail => {
                crm.trailing(*span, resume.clone())
            }
            Listing::Changes { span, resume, .. } => crm.changes(*span, resume.clone()),
            Listing::Everyone { detail, resume, .. } => crm.everyone(*detail, resume.clone()),
            Listing::Due | Listing::Chosen(_) | Listing::Told { .. } => Box::pin(async { Ok(Page::default()) }),
        })
        .await
    }

    /// Brings every record of a page to an outcome.
    pub(super) async fn settle_page(&self, page: Page, floor: Option<Timestamp>) -> Result<(), Stop> {
        let engine = self.desk.engine;
        engine.index.keep_fresh(&engine.ledger, &*engine.destination, self.desk.patience).await.or_else(stop_only)?;
        let shown = page.sightings.iter().map(|sighting| &sighting.id);
        let replaced = page.sightings.iter().filter_map(|sighting| sighting.record.as_ref());
        let replaced = replaced.flat_map(|record| &record.supersedes);
        let left = page.departed.iter().map(|departed| &departed.id);
        let keys = shown.chain(replaced).chain(left).map(|id| self.desk.key(id)).collect();
        let rows = engine.ledger.rows(keys, self.desk.now()).await?;
        let alive: Vec<_> = page.sightings.iter().map(|shown| (self.desk.key(&shown.id), shown.modified)).collect();
        let (records, missing_detail) = self.sift(page.sightings, &rows, floor);
        let fetched = self.fetch_or_depart(missing_detail).await?;
        self.deliver_all(records.into_iter().chain(fetched)).await?;
        self.note_departed(page.departed, &alive, &rows).await
    }

    /// Parts a page into what is as it was, what must be delivered, and what must be fetched first.
    fn sift(
        &self,
        sightings: Vec<Sighting>,
        rows: &HashMap<RefKey, Row>,
        floor: Option<Timestamp>,
    ) -> (Vec<Record>, Vec<String>) {
        let (mut records, mut ids) = (Vec::new(), Vec::new());
        for Sighting { id, modified, record } in sightings {
            let key = self.desk.key(&id);
            if self.is_forgotten(&key) {
                continue;
            }
            let record = record.map(|record| self.without_forgotten(record));
            let row = rows.get(&key);
            let standing = row.map_or(&Standing::Unknown, |row| &row.standing);
            let known = |id: &String| rows.get(&self.desk.key(id));
            let supersedes = record.as_ref().map_or(&[][..], |record| &record.supersedes);
            let heir = supersedes.iter().filter_map(known).any(|row| row.alias.is_none());
            // A listing that wants somebody looked at whatever is known of them shows no stamp; the record has its own.
            let stamp = modified.or(record.as_ref().and_then(|record| record.modified));
            if *standing == Standing::Unknown && !heir && floor.is_some_and(|floor| stamp.is_none_or(|at| at < floor)) {
                continue;
            }
            let replaces = supersedes.iter().any(|id| known(id).is_none_or(|row| row.alias.is_none()));
            let shown = record.as_ref().and_then(|record| record.modified).filter(|_| is_gone(standing)).or(modified);
            // Of one that has left its CRM, only its stamp says whether it is back.
            let looked_at = self.desk.again && (!is_gone(standing) || row.is_some_and(Row::is_kept_out));
            let glance = || plan::glance(standing, row.and_then(|row| row.modified), shown, replaces);
            let rest = || door::glance(row, modified, replaces).or_else(glance);
            if let Some(rest) = if looked_at { None } else { rest() } {
                self.count(&key, &rest.outcome().into());
            } else if let Some(record) = record {
                records.push(record);
            } else {
                ids.push(id);
            }
        }
        (records, ids)
    }

    /// Reads records by id, and says which of them the CRM does not show. One that was merged is shown as its survivor.
    pub(super) async fn fetch(&self, ids: Vec<String>) -> Result<(Vec<Record>, Vec<RefKey>), Stop> {
        if ids.is_empty() {
            return Ok(Default::default());
        }
        let crm = &self.desk.source.crm;
        let records = patiently(&self.desk.engine.clock, self.desk.patience, || crm.fetch(ids.clone())).await?;
        let mut missing: BTreeSet<RefKey> = ids.iter().map(|id| self.desk.key(id)).collect();
        for id in records.iter().flat_map(|record| record.supersedes.iter().chain([&record.id])) {
            missing.remove(&self.desk.key(id));
        }
        Ok((records, missing.into_iter().collect()))
    }

    /// Reads records by id. Those the CRM no longer shows have gone between the listing and now.
    pub(super) async fn fetch_or_depart(&self, ids: Vec<String>) -> Result<Vec<Record>, Stop> {
        let (records, missing) = self.fetch(ids).await?;
        self.depart_all(missing).await?;
        Ok(records)
    }

    pub(super) async fn depart_all(&self, keys: impl IntoIterator<Item = RefKey>) -> Result<(), Stop> {
        for key in keys {
            let ended = depart(&self.desk, key.clone()).await?;
            self.count(&key, &ended);
        }
        Ok(())
    }

    pub(super) async fn deliver_all(&self, records: impl Iterator<Item = Record>) -> Result<(), Stop> {
        stream::iter(records.map(Ok))
            .try_for_each_concurrent(IN_FLIGHT, |record| async move {
                let key = self.desk.key(&record.id);
                if self.is_forgotten(&key) {
                    return Ok(());
                }
                let record = self.without_forgotten(record);
                self.count_read(&key);
                let ended = deliver(&self.desk, &record).await?;
                self.count(&key, &ended);
                Ok(())
            })
            .await
    }

    /// Takes up what is due again: read anew by id, because a payload is not kept.
    async fn retry(&self, upkeep: &Upkeep<'_>) -> Result<(), Stop> {
        let engine = self.desk.engine;
        // What fails again is put off to a later time, and what was due at the start is taken up once.
        // Writes that a process which died left announced go first.
        let name = &self.desk.source.name;
        let mut due = engine.ledger.open_intents(name, DUE_AT_MOST).await?;
        due.extend(engine.ledger.due(name, self.desk.now(), DUE_AT_MOST).await?);
        if let Some(updates) = engine.ledger.updates(name, engine.watch(self.desk.source)).await? {
            let room = usize::try_from(updates.room()).unwrap_or(DUE_AT_MOST).min(DUE_AT_MOST);
            due.extend(engine.ledger.guarded(name, room).await?);
        }
        due.extend(engine.ledger.revisits(name, DUE_AT_MOST).await?);
        due.extend(self.whose_employer_is_due(DUE_AT_MOST).await?);
        due.extend(engine.ledger.kept_out_before(name, DUE_AT_MOST).await?);
        due.extend(engine.ledger.tags_owed(name, DUE_AT_MOST).await?);
        let mut once = HashSet::new();
        due.retain(|key| once.insert(key.clone()));
        self.take_up(due, upkeep).await
    }

    /// A record is read when the engine has it in hand: an id that could not be fetched is not.
    fn count_read(&self, key: &RefKey) {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).books.read(key);
    }

    pub(super) fn count(&self, key: &RefKey, ended: &Ended) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.books.ended(key, ended.outcome);
        tally.newly_quarantined += ended.newly_quarantined;
        ended.moved.iter().for_each(|key| tally.gone.left(key, Fate::Moved));
        drop(tally);
        self.progress.ended(&self.desk.source.name, ended.outcome);
    }
}

impl Listing {
    fn floor(&self) -> Option<Timestamp> {
        match self {
            Self::Everyone { floor, .. } | Self::Changes { floor, .. } | Self::Told { floor } => *floor,
            Self::Due | Self::Chosen(_) => None,
        }
    }

    /// When the sweep that this is began; `None` of any other listing.
    fn sweep(&self) -> Option<Timestamp> {
        match self {
            Self::Everyone { detail: Detail::Stamps, span, .. } => Some(span.hi),
            _ => None,
        }
    }

    /// Moves to the next page; returns the cursor to keep once the page before it is settled.
    fn move_to(&mut self, next: Resume) -> Cursor {
        let (span, watermark, resume) = match self {
            Self::Changes { span, watermark, resume, .. } => (*span, *watermark, resume),
            Self::Everyone { span, resume, .. } => (*span, None, resume),
            Self::Due | Self::Chosen(_) | Self::Told { .. } => return Cursor::default(),
        };
        *resume = Some(next.clone());
        Cursor { watermark, window: Some(OpenWindow { window: span, resume: Some(next) }) }
    }
}

fn is_gone(standing: &Standing) -> bool {
    matches!(standing, Standing::Moved(_) | Standing::Gone { .. })
}

/// A refresh of the index that Propstreet's outage prevents does not stop a page: its records are put off one by one.
fn stop_only(stop: Stop) -> Result<(), Stop> {
    match stop {
        Stop::Propstreet(_) => Ok(()),
        stop => Err(stop),
    }
}

/// Asks a CRM, and again while its trouble may pass, as long as patience lasts.
pub(super) async fn patiently<'s, T>(
    clock: &Clock,
    patience: &Patience,
    call: impl Fn() -> BoxFuture<'s, Result<T, Trouble>>,
) -> Result<T, Stop> {
    let began = clock.instant();
    let mut tries = 0;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer),
            Err(trouble) if trouble.passes() => {
                tries += 1;
                patience.pause(began, tries, trouble).await?;
            }
            Err(trouble) => return Err(Stop::Crm(trouble)),
        }
    }
}
