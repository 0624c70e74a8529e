//! Keeping the Propstreet index fresh: filled once, then by changes with an overlap, and coalesced when many ask at once.

use std::collections::HashSet;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::identity::RefRules;
use crate::domain::keyed::Keyed;
use crate::domain::plan::Indexed;
use crate::ledger::Ledger;
use crate::ledger::index::{IndexEntry, IndexState};
use crate::sync::destination::{ContactDestination, ListFrom, ListPage, Seen};
use crate::sync::patience::Patience;
use crate::sync::report::Stop;

/// How old the index may grow while a pass runs.
const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// How far before the newest change seen a refresh reads again: rows of a slow transaction show late.
const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// The one refresher of the index.
pub struct IndexKeeper {
    /// When the newest finished refresh began.
    began: Mutex<Option<Instant>>,
    clock: Clock,
    rules: RefRules,
}

impl IndexKeeper {
    /// A keeper that has not refreshed yet.
    #[must_use]
    pub fn new(clock: Clock, rules: RefRules) -> Self {
        Self { began: Mutex::new(None), clock, rules }
    }

    /// Refreshes unless a refresh young enough has been made.
    pub async fn keep_fresh(
        &self,
        ledger: &Ledger,
        destination: &dyn ContactDestination,
        patience: &Patience,
    ) -> Result<(), Stop> {
        let now = self.clock.instant();
        self.unless_begun_since(now.checked_sub(MAX_AGE), ledger, destination, patience).await
    }

    /// Returns once a refresh that began after this call is in the ledger. Callers at the same time share one.
    pub async fn refresh(
        &self,
        ledger: &Ledger,
        destination: &dyn ContactDestination,
        patience: &Patience,
    ) -> Result<(), Stop> {
        self.unless_begun_since(Some(self.clock.instant()), ledger, destination, patience).await
    }

    async fn unless_begun_since(
        &self,
        since: Option<Instant>,
        ledger: &Ledger,
        destination: &dyn ContactDestination,
        patience: &Patience,
    ) -> Result<(), Stop> {
        let mut began = self.began.lock().await;
        if began.is_some_and(|at| since.is_none_or(|since| at >= since)) {
            return Ok(());
        }
        let start = self.clock.instant();
        let read = self.read_changes(ledger, destination, patience).await;
        // Without its list nothing can be decided about anybody.
        if let Err(Stop::Propstreet(trouble)) = &read {
            patience.lose(trouble.clone());
        }
        read?;
        *began = Some(start);
        Ok(())
    }

    async fn read_changes(
        &self,
        ledger: &Ledger,
        destination: &dyn ContactDestination,
        patience: &Patience,
    ) -> Result<(), Stop> {
        let mut state = ledger.index_state().await?;
        let mut resumes = !state.filled && state.cursor.is_some();
        let mut from = match (&state.filled, &state.cursor, &state.since) {
            (false, Some(cursor), _) => ListFrom::Cursor(cursor.clone()),
            (true, _, Some(since)) => ListFrom::Since(with_overlap(since)),
            _ => ListFrom::Start,
        };
        loop {
            let page = match list(destination, &from, patience).await {
                // A cursor kept from an earlier process may have died since; the first filling then begins anew.
                Err(Stop::Propstreet(Trouble::Protocol(_))) if std::mem::take(&mut resumes) => {
                    from = ListFrom::Start;
                    continue;
                }
                page => page?,
            };
            resumes = false;
            let entries: Vec<IndexEntry> =
                page.contacts.iter().map(|seen| entry(seen, &self.rules, ledger.keyed())).collect();
            let newest = entries.iter().map(|e| e.updated.clone()).chain(state.since.take());
            state = IndexState {
                since: newest.max_by_key(|stamp| instant(stamp)),
                filled: state.filled || page.next.is_none(),
                // A refresh that breaks off starts again at `since`; only the first fill is worth resuming.
                cursor: page.next.clone().filter(|_| !state.filled),
            };
            // While a refresh runs, `since` must not pass what has been read: pages come oldest change first.
            ledger.index(entries, state.clone()).await?;
            match page.next {
                Some(next) => from = ListFrom::Cursor(next),
                None => return Ok(()),
            }
        }
    }
}

async fn list(destination: &dyn ContactDestination, from: &ListFrom, patience: &Patience) -> Result<ListPage, Stop> {
    let mut began = None;
    loop {
        match destination.list(from.clone()).await {
            Ok(page) => return Ok(page),
            Err(trouble) if trouble.passes() => patience.outlast(destination, &mut began, trouble).await?,
            Err(trouble) => return Err(Stop::Propstreet(trouble)),
        }
    }
}

/// A contact as the index keeps it: hashes in place of personal data, the primary address first.
#[must_use]
pub fn entry(seen: &Seen, rules: &RefRules, keyed: &Keyed) -> IndexEntry {
    let mut emails: Vec<_> =
        seen.email.iter().chain(&seen.emails).filter(|e| !e.trim().is_empty()).map(|e| keyed.email(e)).collect();
    let mut known = HashSet::new();
    emails.retain(|hash| known.insert(*hash));
    IndexEntry {
        indexed: Indexed {
            id: seen.id.clone(),
            etag: seen.etag.clone(),
            deleted: seen.deleted,
            emails,
            name: keyed.name(seen.first_name.as_deref(), seen.last_name.as_deref()),
            refs: seen.refs.iter().map(|reference| rules.key_of(reference)).collect(),
        },
        updated: seen.updated.clone(),
        spelled: seen.refs.clone(),
    }
}

/// `updatedUtc` has up to seven fraction digits and is kept as text; only here is it read as an instant.
fn instant(stamp: &str) -> Timestamp {
    chrono::DateTime::parse_from_rfc3339(stamp).map_or(Timestamp::UNIX_EPOCH, |at| at.to_utc())
}

fn with_overlap(since: &str) -> String {
    (instant(since) - OVERLAP).to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}
