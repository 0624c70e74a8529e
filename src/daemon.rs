//! The life of the process: every source in its own time, side by side, and the receiver of webhooks, until a signal.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future;

use crate::assembly::{self, AssemblyError, Network, Parts};
use crate::bell::{Door, Receiver};
use crate::clock::{Clock, Dice};
use crate::config::tree::Config;
use crate::domain::pass::{Counts, Outcome};
use crate::domain::told::Silent;
use crate::scheduler::turns::{SyncRequest, Times, Turns};
use crate::sync::report::{SourceReport, Stop};

/// How much later than its schedule a source is synced at most: not every firm should ask its CRM in the same second.
const LATE: Duration = Duration::from_secs(30);

/// Why the process cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The parts do not fit together, or another process holds the ledger.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// Webhooks cannot be listened for.
    #[error("cannot listen for webhooks on {address}: {cause}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        cause: io::Error,
    },
}

impl StartError {
    /// The word used in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Assembly(error) => error.code(),
            Self::Listen { .. } => "no_listener",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Assembly(error) => error.remedy(),
            Self::Listen { .. } => "choose another address in webhooks.listen, or end the process that listens there",
        }
    }
}

/// How the process ended, and by which signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended<S> {
    /// What was settled is kept, and the ledger is closed.
    Cleanly(S),
    /// A second signal came before that. What was settled is kept all the same.
    AtOnce(S),
}

/// A process that stays, ready to begin.
pub struct Daemon {
    parts: Parts,
    turns: Vec<Turns>,
    receiver: Option<Receiver>,
    max_wait: Duration,
}

impl Daemon {
    /// Opens the ledger, and listens for webhooks if they are configured. Nothing is sent yet.
    ///
    /// # Errors
    /// When another process holds the ledger, or an address is taken.
    pub async fn start(
        config: &Config,
        network: &dyn Network,
        clock: Clock,
        dice: Dice,
        max_wait: Duration,
    ) -> Result<Self, StartError> {
        let parts = assembly::assemble(config, network, clock.clone(), dice.clone()).await?;
        let (mut turns, mut doors) = (Vec::new(), BTreeMap::new());
        for source in &config.sources {
            let keeper = assembly::doorkeeper(source);
            let shown_after = keeper.as_ref().map_or(Duration::ZERO, |keeper| keeper.shown_after());
            let times = Times { schedule: source.schedule.clone(), late: LATE.mul_f64(dice.fraction()), shown_after };
            let turn = Turns::new(&source.name, times, clock.clone());
            let door = |keeper| Door::new(keeper, assembly::notebook(&parts, &source.name), turn.bell());
            doors.extend(keeper.map(|keeper| (source.name.clone(), door(keeper))));
            turns.push(turn);
        }
        let receiver = match &config.webhooks {
            Some(settings) => {
                let refused = |cause| StartError::Listen { address: settings.listen, cause };
                Some(Receiver::open(settings, doors, clock).await.map_err(refused)?)
            }
            None => None,
        };
        Ok(Self { parts, turns, receiver, max_wait })
    }

    /// Where it listens for webhooks, if it does.
    #[must_use]
    pub fn listens_on(&self) -> Option<SocketAddr> {
        self.receiver.as_ref().and_then(|receiver| receiver.address().ok())
    }

    /// Lives until the first signal. Syncs under way end where they stand; the next process takes up what is open.
    pub async fn live<S>(self, mut signalled: impl AsyncFnMut() -> S) -> Ended<S> {
        let sources = self.parts.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(" ");
        let webhooks = self.listens_on().map(tracing::field::display);
        tracing::info!(sources, webhooks, "propsync runs");
        let signal = tokio::select! {
            never = self.work() => match never {},
            signal = signalled() => signal,
        };
        let ended = tokio::select! {
            () = self.parts.close() => Ended::Cleanly(signal),
            second = signalled() => Ended::AtOnce(second),
        };
        tracing::info!("propsync ends: what was settled is kept");
        ended
    }

    /// Keeps every source, and answers webhooks. Side by side is safe: sources share the engine's locks and its index,
    /// and each of them is synced by one sync at a time.
    async fn work(&self) -> Infallible {
        let kept = future::join_all(self.turns.iter().map(|turns| turns.keep(|request| self.sync(request))));
        let listening = async {
            if let Some(receiver) = &self.receiver {
                receiver.serve().await;
            }
        };
        future::join(kept, listening).await;
        // None of them ends.
        future::pending().await
    }

    async fn sync(&self, request: SyncRequest) {
        let SyncRequest { source, cause } = request;
        tracing::debug!(source, ?cause, "sync begins");
        let meant: Vec<_> = self.parts.sources.iter().filter(|known| known.name == source).collect();
        self.parts.engine.sync(&meant, self.max_wait, &Silent).await.iter().for_each(tell);
    }
}

/// A line a sync: its books, or why it stopped. One that found nothing new is told to those alone who asked for more.
fn tell(report: &SourceReport) {
    let SourceReport { name: source, counts, newly_quarantined, written_back, gone, took, .. } = report;
    let Counts { read, created, adopted, linked, updated, quarantined, deferred, .. } = counts;
    // Who is held back is told where that is decided, sync after sync.
    let (left, seconds) = (gone.gone() - gone.held, took.as_secs());
    if let Some(stop) = &report.error {
        let (code, remedy, what) = (stop.code(), stop.remedy(), in_one_line(stop));
        return match may_pass(stop) {
            true => tracing::warn!(source, code, what, remedy, read, created, deferred, "sync stopped"),
            false => tracing::error!(source, code, what, remedy, read, created, deferred, "sync stopped"),
        };
    }
    if *newly_quarantined > 0 || !counts.balanced() {
        let remedy = "propsync status names who needs a person";
        tracing::warn!(source, newly_quarantined, remedy, read, created, linked, quarantined, deferred, "sync ended");
        return;
    }
    let news = [Outcome::Created, Outcome::Adopted, Outcome::Linked, Outcome::Updated, Outcome::Deferred];
    match news.into_iter().any(|outcome| counts.of(outcome) > 0) || *written_back > 0 || left > 0 {
        true => {
            tracing::info!(
                source,
                read,
                created,
                adopted,
                linked,
                updated,
                deferred,
                written_back,
                left,
                seconds,
                "sync ended"
            );
        }
        false => tracing::debug!(source, read, seconds, "sync ended with nothing new"),
    }
}

/// Whether the next sync may go well without anyone acting.
fn may_pass(stop: &Stop) -> bool {
    match stop {
        Stop::Propstreet(trouble) | Stop::Crm(trouble) | Stop::WriteBack(trouble) => trouble.passes(),
        Stop::Ledger(_) | Stop::Unfit(_) | Stop::Rebound { .. } => false,
    }
}

/// What is told on several lines to a person stands on one in a log.
fn in_one_line(stop: &Stop) -> String {
    stop.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
