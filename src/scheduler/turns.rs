//! The turns of one source: at the start, when it is due, and when somebody asks; one after the other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::domain::schedule::Schedule;

/// How long it waits at most before it looks at the clock again.
const GLANCE: Duration = Duration::from_secs(60);
/// What follows the first request is waited for so long, and served with it: whoever edits one person saves twice.
const GATHER: Duration = Duration::from_secs(5);

/// Why a sync is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The process has just started.
    Start,
    /// Its schedule has come.
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

/// What a source's turns go by.
#[derive(Debug, Clone)]
pub struct Times {
    /// When it is due.
    pub schedule: Schedule,
    /// How much later than that its syncs begin.
    pub late: Duration,
    /// How old a change must be before a sync can see it.
    pub shown_after: Duration,
}

/// The turns of one source.
#[derive(Debug, Clone)]
pub struct Turns {
    source: String,
    bell: Bell,
    times: Times,
    clock: Clock,
}

impl Turns {
    /// Of a source, by these times.
    #[must_use]
    pub fn new(source: impl Into<String>, times: Times, clock: Clock) -> Self {
        Self { source: source.into(), bell: Bell::default(), times, clock }
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
            let began = self.clock.now();
            let request = SyncRequest { source: self.source.clone(), cause };
            if AssertUnwindSafe(async { sync(request).await }).catch_unwind().await.is_err() {
                self.tell_of_panic();
            }
            cause = self.next(began).await;
        }
    }

    /// Waits until a sync is due or somebody asks for one. Who asked while the last one ran has waited until now, and
    /// waits as long as everybody: it may have read past their change already.
    async fn next(&self, began: Timestamp) -> Cause {
        tokio::select! {
            biased;
            () = self.bell.rung() => {}
            () = self.due(began) => return Cause::Due,
        }
        self.clock.sleep(GATHER).await;
        // Whoever has asked by now is served by the sync this one wakes.
        self.bell.hear();
        // Who asks from here on may speak of a change that this sync cannot see yet, and gets one more after it.
        self.clock.sleep(self.times.shown_after).await;
        Cause::Asked
    }

    /// Waits until the schedule has come since then, however often. It goes by the clock of the machine and looks at it again
    /// and again, because a wait does not notice that the machine slept or that its clock was put right.
    async fn due(&self, mut since: Timestamp) {
        loop {
            let now = self.clock.now();
            // A clock that was put back has that time before it once more.
            since = since.min(now);
            match (self.next_after(since) - now).to_std() {
                Ok(left) if !left.is_zero() => self.clock.sleep(left.min(GLANCE)).await,
                _ => return,
            }
        }
    }

    fn next_after(&self, at: Timestamp) -> Timestamp {
        let Times { schedule, late, .. } = &self.times;
        schedule.next_after(at - *late) + *late
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

    use chrono::TimeDelta;

    use super::*;
    use crate::domain::schedule::Zone;

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
            Self::by("*/5 * * * *", Duration::ZERO)
        }

        /// At ten in the morning, with a source of this schedule.
        fn by(schedule: &str, late: Duration) -> Self {
            let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
            let schedule = Schedule::parse(schedule, Zone::UTC).unwrap();
            let turns = Turns::new("hubspot", Times { schedule, late, shown_after: SHOWN_AFTER }, clock.clone());
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
    async fn at_the_start_and_then_as_its_schedule_says() {
        assert_eq!(Stage::new().play(7, &[], 901).await, [(0, Start), (300, Due), (600, Due), (900, Due)]);
        // One that takes longer than that is followed at once by one for all it missed, never run beside another.
        assert_eq!(Stage::new().play(400, &[], 801).await, [(0, Start), (400, Due), (800, Due)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_is_one_sync() {
        let syncs = Stage::by("* * * * * *", Duration::ZERO).play(1000, &[], 2001).await;
        assert_eq!(syncs, [(0, Start), (1000, Due), (2000, Due)]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_begins_as_late_as_the_others() {
        let syncs = Stage::by("*/5 * * * *", Duration::from_secs(17)).play(1, &[], 618).await;
        // The start was late for ten o'clock as well.
        assert_eq!(syncs, [(0, Start), (17, Due), (317, Due), (617, Due)]);
        let syncs = Stage::by("* * * * * *", Duration::from_millis(17_500)).play(0, &[], 4).await;
        assert_eq!(syncs, [(0, Start), (0, Due), (1, Due), (2, Due), (3, Due)]);
    }

    /// When syncs began, if the clock is put forward by so much after a hundred seconds.
    async fn put(schedule: &str, by: TimeDelta) -> Vec<(u64, Cause)> {
        let stage = Stage::by(schedule, Duration::ZERO);
        let putting = async {
            stage.clock.sleep(Duration::from_secs(100)).await;
            stage.clock.put(by);
            std::future::pending::<()>().await;
        };
        tokio::select! { syncs = stage.play(0, &[], 500) => syncs, () = putting => unreachable!() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_slept_does_not_sleep_on() {
        // Two days were slept through, which is one sync, and a minute at most until it is noticed.
        assert_eq!(put("0 2 * * *", TimeDelta::days(2)).await, [(0, Start), (120, Due)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_put_back_is_not_caught_up_with() {
        assert_eq!(put("*/5 * * * *", TimeDelta::days(-2)).await, [(0, Start), (300, Due)]);
        // Within the time since the last sync, nothing comes twice.
        assert_eq!(put("*/5 * * * *", TimeDelta::seconds(-60)).await, [(0, Start), (360, Due)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_is_answered_once_what_changed_can_be_seen() {
        assert_eq!(Stage::new().play(1, &[100], 450).await, [(0, Start), (115, Asked), (300, Due)]);
        // All within five seconds are one.
        assert_eq!(Stage::new().play(1, &[100, 101, 104], 299).await, [(0, Start), (115, Asked)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ring_too_late_for_the_sync_it_wakes_gets_another() {
        // At 115 a poll sees what is older than 105, and the change behind the second ring is not.
        assert_eq!(Stage::new().play(1, &[100, 108], 299).await, [(0, Start), (115, Asked), (131, Asked)]);
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
