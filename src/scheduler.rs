//! When each source is synced: at the start, when it is due, and when somebody asks. It waits and forbids overlap; what a
//! sync is, it does not know.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

use crate::clock::Clock;

/// From the beginning of one sync of a source to that of the next, if nobody asks before.
const EVERY: Duration = Duration::from_secs(5 * 60);
/// What follows the first request is waited for so long, and served with it: whoever edits one person saves twice.
const GATHER: Duration = Duration::from_secs(5);

/// Why a sync is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The process has just started.
    Start,
    /// The last one is long enough ago.
    Due,
    /// Somebody asked.
    Asked,
}

/// One sync of one source, to be made now. Whoever wants one, it looks the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// The source's name.
    pub source: String,
    /// Why.
    pub cause: Cause,
}

/// How a source is asked for. Asking never waits; however many ask before a sync begins, it is one.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// Asks for a sync.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    async fn rung(&self) {
        self.0.notified().await;
    }

    /// Hears who has asked so far, and says whether anybody has.
    pub(crate) fn hear(&self) -> bool {
        self.0.notified().now_or_never().is_some()
    }
}

/// The times of one source.
#[derive(Debug, Clone)]
pub struct Turns {
    source: String,
    bell: Bell,
    /// How old a change must be before a sync can see it.
    shown_after: Duration,
    clock: Clock,
}

impl Turns {
    /// Of a source whose changes a sync sees once they are so old.
    #[must_use]
    pub fn new(source: impl Into<String>, shown_after: Duration, clock: Clock) -> Self {
        Self { source: source.into(), bell: Bell::default(), shown_after, clock }
    }

    /// The bell that asks for this source.
    #[must_use]
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Syncs the source again and again, one sync after the other, until it is dropped. One that panics ends alone.
    pub async fn keep<Synced: Future<Output = ()>>(&self, sync: impl Fn(SyncRequest) -> Synced) {
        let mut cause = Cause::Start;
        loop {
            let began = self.clock.instant();
            let request = SyncRequest { source: self.source.clone(), cause };
            if AssertUnwindSafe(async { sync(request).await }).catch_unwind().await.is_err() {
                self.tell_of_panic();
            }
            cause = self.next(began + EVERY).await;
        }
    }

    /// Waits until a sync is due or somebody asks for one. Who asked while the last one ran has waited until now, and
    /// waits as long as everybody: it may have read past their change already.
    async fn next(&self, due: tokio::time::Instant) -> Cause {
        let left = due.saturating_duration_since(self.clock.instant());
        tokio::select! {
            biased;
            () = self.bell.rung() => {}
            () = self.clock.sleep(left) => return Cause::Due,
        }
        self.clock.sleep(GATHER).await;
        // Whoever has asked by now is served by the sync this one wakes.
        self.bell.hear();
        // Who asks from here on may speak of a change that this sync cannot see yet, and gets one more after it.
        self.clock.sleep(self.shown_after).await;
        Cause::Asked
    }

    /// A panic's own words are not repeated: they may quote what it stumbled over.
    fn tell_of_panic(&self) {
        tracing::error!(
            source = self.source,
            code = "panicked",
            remedy = "nothing is lost: the next sync goes on where this one stopped; report it with the lines above",
            "sync broke off by a fault of propsync"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Ten seconds, as HubSpot's.
    const SHOWN_AFTER: Duration = Duration::from_secs(10);

    struct Stage {
        clock: Clock,
        turns: Turns,
        began: tokio::time::Instant,
        /// When each sync began, in seconds since the start, and why.
        syncs: Mutex<Vec<(u64, Cause)>>,
    }

    impl Stage {
        fn new() -> Self {
            let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
            let turns = Turns::new("hubspot", SHOWN_AFTER, clock.clone());
            Self { began: clock.instant(), clock, turns, syncs: Mutex::default() }
        }

        fn note(&self, request: &SyncRequest) {
            assert_eq!(request.source, "hubspot");
            self.syncs.lock().unwrap().push((self.began.elapsed().as_secs(), request.cause));
        }

        /// Runs syncs that take so long, rings at these seconds, and says when each sync began after so many seconds.
        async fn play(&self, takes: u64, rings: &[u64], until: u64) -> Vec<(u64, Cause)> {
            let sync = |request: SyncRequest| async move {
                self.note(&request);
                self.clock.sleep(Duration::from_secs(takes)).await;
            };
            let ringing = async {
                for at in rings {
                    let at = self.began + Duration::from_secs(*at);
                    self.clock.sleep(at.saturating_duration_since(self.clock.instant())).await;
                    self.turns.bell().ring();
                }
                std::future::pending::<()>().await;
            };
            let over = self.clock.sleep(Duration::from_secs(until));
            tokio::select! { () = self.turns.keep(sync) => {} () = ringing => {} () = over => {} }
            std::mem::take(&mut *self.syncs.lock().unwrap())
        }
    }

    use Cause::{Asked, Due, Start};

    #[tokio::test(start_paused = true)]
    async fn at_the_start_and_then_every_five_minutes() {
        assert_eq!(Stage::new().play(7, &[], 901).await, [(0, Start), (300, Due), (600, Due), (900, Due)]);
        // One that takes longer than that is followed at once, never run beside another.
        assert_eq!(Stage::new().play(400, &[], 801).await, [(0, Start), (400, Due), (800, Due)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_is_answered_once_what_changed_can_be_seen() {
        assert_eq!(Stage::new().play(1, &[100], 450).await, [(0, Start), (115, Asked), (415, Due)]);
        // All within five seconds are one; the five minutes begin anew.
        assert_eq!(Stage::new().play(1, &[100, 101, 104], 300).await, [(0, Start), (115, Asked)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_too_late_for_the_sync_it_wakes_gets_another() {
        // At 115 a poll sees what is older than 105, and the change behind the second ring is not.
        assert_eq!(Stage::new().play(1, &[100, 108], 300).await, [(0, Start), (115, Asked), (131, Asked)]);
    }

    #[tokio::test(start_paused = true)]
    async fn rings_during_a_sync_become_one_more_after_it() {
        assert_eq!(Stage::new().play(60, &[10, 20, 30, 59], 250).await, [(0, Start), (75, Asked)]);
    }

    #[tokio::test(start_paused = true)]
    async fn however_loud_the_bell_there_is_one_sync_in_fifteen_seconds() {
        let rings: Vec<u64> = (1..600).collect();
        let syncs = Stage::new().play(1, &rings, 600).await;
        assert!(syncs.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 15), "{syncs:?}");
        assert!(syncs.len() > 30, "and it is not put off for ever: {syncs:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_one_sync_alone() {
        let stage = Stage::new();
        let sync = |request: SyncRequest| {
            stage.note(&request);
            let first = request.cause == Start;
            async move { assert!(!first, "as planned") }
        };
        tokio::select! { () = stage.turns.keep(sync) => {} () = stage.clock.sleep(Duration::from_secs(301)) => {} }
        assert_eq!(*stage.syncs.lock().unwrap(), [(0, Start), (300, Due)]);
    }
}
