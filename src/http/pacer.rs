//! One budget per upstream, shared by all tasks. A pure `Machine` is fed with instants; [`Pacer`] lets callers wait at
//! it in the order they came. It knows headers only through the upstream's own reader of them.
//!
//! The machine holds one rule that is right for fixed windows, sliding windows and token buckets alike: a request takes
//! a slot, and the slot is free again one window after its *answer*. The server counted the request somewhere between
//! sending and answer, so no window of the server's ever holds more than the limit. The cost is one answer's time per
//! window: 0.3 % at 200 ms and a minute.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::domain::failure::Trouble;
use crate::domain::spending::Cost;
use crate::http::transport::Response;

/// What an upstream may be asked over a longer time than the pacer's window: a share of its budget a day, say.
pub trait Allowance: std::fmt::Debug + Send + Sync {
    /// Asked before each request, whose cost counts from then on, whatever becomes of it.
    ///
    /// # Errors
    /// [`Trouble::NotSent`] for the request that would be one too many.
    fn take(&self, cost: Cost) -> Result<(), Trouble>;

    /// Learns from the headers of an answer.
    fn learn(&self, headers: &HeaderMap);
}

/// What an upstream's headers say about its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests a window.
    pub limit: u32,
    /// Requests left in it.
    pub remaining: u32,
    /// Until the window is fresh; `None` where the upstream does not say.
    pub reset: Option<Duration>,
}

/// How one upstream is paced.
#[derive(Debug, Clone)]
pub struct PacerSettings {
    /// The operator's ceiling, which no header lifts.
    pub ceiling_per_minute: Option<u32>,
    /// What is assumed until the first header; `None` for no limit.
    pub assumed_per_minute: Option<u32>,
    /// The upstream's window.
    pub window: Duration,
    /// Most requests under way at once.
    pub in_flight: usize,
    /// Reads the upstream's headers.
    pub budget: fn(&HeaderMap) -> Option<Budget>,
    /// What may be asked over a longer time.
    pub allowance: Option<Arc<dyn Allowance>>,
}

impl Default for PacerSettings {
    fn default() -> Self {
        Self {
            ceiling_per_minute: None,
            assumed_per_minute: None,
            window: Duration::from_secs(60),
            in_flight: 16,
            budget: |_| None,
            allowance: None,
        }
    }
}

impl PacerSettings {
    /// A rate a minute as whole requests a window, never none.
    fn per_window(&self, per_minute: u32) -> u32 {
        let requests = f64::from(per_minute) * self.window.as_secs_f64() / 60.0;
        requests.clamp(1.0, f64::from(u32::MAX)) as u32
    }
}

/// A wait that somebody asked for is longer than anybody should stand at the gate for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong(
    /// What is left of it.
    pub Duration,
);

/// The gate of one upstream.
#[derive(Clone, Debug)]
pub struct Pacer(Arc<Gate>);

#[derive(Debug)]
struct Gate {
    machine: Mutex<Machine>,
    /// Held by the first in line, so that the others queue in the order they came.
    turn: tokio::sync::Mutex<()>,
    /// Something may have become free.
    changed: Notify,
    clock: Clock,
}

impl Pacer {
    /// A gate with a fresh window.
    #[must_use]
    pub fn new(settings: PacerSettings, clock: Clock) -> Self {
        Self(Arc::new(Gate {
            machine: Mutex::new(Machine::new(settings)),
            turn: tokio::sync::Mutex::new(()),
            changed: Notify::new(),
            clock,
        }))
    }

    /// Waits for a slot. Dropping the future leaves the queue without a trace.
    ///
    /// # Errors
    /// [`TooLong`] at once while the upstream is paused for more than `patience`.
    pub async fn admit(&self, patience: Duration) -> Result<Permit, TooLong> {
        let gate = &*self.0;
        let paused = |now| gate.machine().paused(now).filter(|left| *left > patience);
        if let Some(left) = paused(gate.clock.instant()) {
            return Err(TooLong(left));
        }
        let _turn = gate.turn.lock().await;
        loop {
            let now = gate.clock.instant();
            if let Some(left) = paused(now) {
                return Err(TooLong(left));
            }
            let admission = gate.machine().admit(now);
            match admission {
                Ok(ticket) => return Ok(Permit { pacer: self.clone(), ticket }),
                Err(Some(free_at)) => {
                    tokio::select! {
                        () = gate.clock.sleep(free_at - now) => {}
                        () = gate.changed.notified() => {}
                    }
                }
                Err(None) => gate.changed.notified().await,
            }
        }
    }

    /// Everyone on this upstream waits at least this long from now.
    pub fn pause(&self, wait: Duration) {
        let now = self.0.clock.instant();
        self.0.machine().pause(now, wait);
        self.0.changed.notify_one();
    }
}

impl Gate {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot for one request. It is under way until this is dropped.
#[derive(Debug)]
pub struct Permit {
    pacer: Pacer,
    ticket: Ticket,
}

impl Permit {
    /// Learns from the answer to this request.
    pub fn observe(&self, response: &Response) {
        let gate = &self.pacer.0;
        gate.machine().observe(&self.ticket, response.headers(), gate.clock.instant());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let gate = &self.pacer.0;
        gate.machine().finish(gate.clock.instant());
        gate.changed.notify_one();
    }
}

/// The arithmetic of one budget. Pure: it is told the time.
#[derive(Debug)]
struct Machine {
    settings: PacerSettings,
    /// The operator's ceiling a window.
    ceiling: Option<u32>,
    /// The upstream's limit a window, as assumed or as heard.
    limit: Option<u32>,
    under_way: usize,
    /// Slots whose answer has come, by the instant they are free again; close instants share an entry.
    resting: VecDeque<(Instant, u32)>,
    resting_total: u32,
    /// Requests sent since the start.
    sent: u64,
    /// Slots that others took from the same budget, and until when.
    foreign: Option<(u32, Instant)>,
    paused_until: Option<Instant>,
    heard: bool,
}

/// What the machine must remember of a request to understand the headers of its answer.
#[derive(Debug)]
struct Ticket {
    /// Our slots in use when it was sent, itself included.
    in_use: u64,
    /// Its number.
    number: u64,
}

/// Resting slots are kept to this fraction of a window, so that a fast upstream costs no memory.
const GRAINS: u32 = 4096;
/// A foreign claim is believed no longer than this, whatever a header says.
const LONGEST_RESET: Duration = Duration::from_secs(3600);
/// Headers count in whole seconds, and may round down.
const CUT_SECOND: Duration = Duration::from_secs(1);

impl Machine {
    fn new(settings: PacerSettings) -> Self {
        Self {
            ceiling: settings.ceiling_per_minute.map(|per_minute| settings.per_window(per_minute)),
            limit: settings.assumed_per_minute.map(|per_minute| settings.per_window(per_minute)),
            settings,
            under_way: 0,
            resting: VecDeque::new(),
            resting_total: 0,
            sent: 0,
            foreign: None,
            paused_until: None,
            heard: false,
        }
    }

    fn paused(&self, now: Instant) -> Option<Duration> {
        self.paused_until.filter(|until| *until > now).map(|until| until - now)
    }

    fn pause(&mut self, now: Instant, wait: Duration) {
        self.paused_until = self.paused_until.max(Some(now + wait));
    }

    /// Takes a slot, or says when to ask again; `None` = when an answer has come.
    fn admit(&mut self, now: Instant) -> Result<Ticket, Option<Instant>> {
        self.forget(now);
        if self.paused(now).is_some() {
            return Err(self.paused_until);
        }
        // Before the first answer nothing is known of the window, so one request goes ahead alone.
        let abreast = if self.heard { self.settings.in_flight } else { 1 };
        if self.under_way >= abreast {
            return Err(None);
        }
        let foreign = self.foreign.map_or(0, |(slots, _)| slots);
        let in_use = u64::from(self.resting_total) + self.under_way as u64;
        let share = self.ceiling.into_iter().chain(self.limit.map(|limit| limit.saturating_sub(foreign))).min();
        if share.is_some_and(|share| in_use >= u64::from(share)) {
            let own = self.resting.front().map(|(free_at, _)| *free_at);
            let theirs = self.foreign.map(|(_, until)| until);
            return Err(own.into_iter().chain(theirs).min());
        }
        self.under_way += 1;
        self.sent += 1;
        Ok(Ticket { in_use: in_use + 1, number: self.sent })
    }

    /// A request has its answer, or will never have one: its slot rests for a window.
    fn finish(&mut self, now: Instant) {
        self.under_way -= 1;
        if self.limit.is_none() && self.ceiling.is_none() {
            return;
        }
        let free_at = now + self.settings.window;
        match self.resting.back_mut() {
            Some((together, count)) if free_at <= *together => *count += 1,
            // A grain late is safe, a grain early is not.
            _ => self.resting.push_back((free_at + self.settings.window / GRAINS, 1)),
        }
        self.resting_total += 1;
    }

    /// The headers say how many requests the server counted when it saw this one. What cannot be ours is others'.
    fn observe(&mut self, ticket: &Ticket, headers: &HeaderMap, now: Instant) {
        self.heard = true;
        let Some(budget) = (self.settings.budget)(headers).filter(|budget| budget.limit > 0) else { return };
        self.limit = Some(budget.limit);
        let counted = u64::from(budget.limit.saturating_sub(budget.remaining));
        // At most these of ours can be among them: in use when it left, or sent while it was under way.
        let ours = ticket.in_use + (self.sent - ticket.number);
        let others = counted.saturating_sub(ours);
        // A lower bound, so the highest one stands until its window is fresh.
        if others > self.foreign.map_or(0, |(slots, _)| u64::from(slots)) {
            let reset = budget.reset.unwrap_or(self.settings.window).min(LONGEST_RESET);
            self.foreign = Some((u32::try_from(others).unwrap_or(u32::MAX), now + reset + CUT_SECOND));
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, count)) = self.resting.front().filter(|(free_at, _)| *free_at <= now) {
            self.resting_total -= count;
            self.resting.pop_front();
        }
        self.foreign = self.foreign.filter(|(_, until)| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use bytes::Bytes;

    use super::*;
    use crate::domain::Timestamp;

    const MINUTE: Duration = Duration::from_secs(60);

    fn budget(headers: &HeaderMap) -> Option<Budget> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
        Some(Budget {
            limit: number("limit")?,
            remaining: number("remaining")?,
            reset: number("reset").map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    /// A server with its own idea of a window.
    struct Server {
        sliding: bool,
        limit: u32,
        seen: VecDeque<Instant>,
        start: Instant,
        phase: Duration,
        answers: Vec<(Instant, bool)>,
    }

    impl Server {
        fn new(sliding: bool, limit: u32) -> Rc<RefCell<Self>> {
            let (start, phase) = (Instant::now(), Duration::from_millis(17_300));
            Rc::new(RefCell::new(Self { sliding, limit, seen: VecDeque::new(), start, phase, answers: Vec::new() }))
        }

        fn window_end(&self, at: Instant) -> Instant {
            let windows = (at + self.phase - self.start).as_secs() / 60;
            self.start + MINUTE * (windows as u32 + 1) - self.phase
        }

        /// Counts a request as it arrives and says whether it is served, with the headers.
        fn arrives(&mut self) -> Response {
            let now = Instant::now();
            let (end, sliding) = (self.window_end(now), self.sliding);
            self.seen.retain(|at| if sliding { now - *at < MINUTE } else { *at + MINUTE >= end });
            let served = (self.seen.len() as u32) < self.limit;
            if served {
                self.seen.push_back(now);
            }
            self.answers.push((now, served));
            let reset = if sliding { *self.seen.front().unwrap() + MINUTE - now } else { end - now };
            ::http::Response::builder()
                .status(if served { 200 } else { 429 })
                .header("limit", self.limit)
                .header("remaining", self.limit - self.seen.len() as u32)
                .header("reset", reset.as_secs() + 1)
                .body(Bytes::new())
                .unwrap()
        }

        fn served(&self) -> Vec<Instant> {
            self.answers.iter().filter(|(_, served)| *served).map(|(at, _)| *at).collect()
        }

        fn served_between(&self, from: Duration, to: Duration) -> (usize, usize) {
            let within = self.answers.iter().filter(|(at, _)| (self.start + from..self.start + to).contains(at));
            within.fold((0, 0), |(served, refused), (_, fine)| {
                (served + usize::from(*fine), refused + usize::from(!fine))
            })
        }
    }

    fn pacer(assumed: Option<u32>, in_flight: usize) -> Pacer {
        let settings = PacerSettings { assumed_per_minute: assumed, in_flight, budget, ..PacerSettings::default() };
        Pacer::new(settings, Clock::simulated(Timestamp::UNIX_EPOCH))
    }

    /// Sixteen callers without end, answers of 50 to 350 ms, the server counting somewhere on the way.
    async fn load(pacer: &Pacer, server: &Rc<RefCell<Server>>, minutes: u32, seed: u64) {
        let callers = tokio::task::LocalSet::new();
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        for caller in 0..16 {
            let (pacer, server, clock) = (pacer.clone(), server.clone(), clock.clone());
            callers.spawn_local(async move {
                let mut rng = fastrand::Rng::with_seed(seed + caller);
                loop {
                    let permit = pacer.admit(MINUTE).await.unwrap();
                    clock.sleep(Duration::from_millis(rng.u64(20..150))).await;
                    let response = server.borrow_mut().arrives();
                    clock.sleep(Duration::from_millis(rng.u64(30..200))).await;
                    permit.observe(&response);
                    if response.status() == 429 {
                        pacer.pause(Duration::from_secs(1));
                    }
                }
            });
        }
        let _ = tokio::time::timeout(MINUTE * minutes, callers).await;
    }

    #[tokio::test(start_paused = true)]
    async fn it_uses_the_limit_and_never_breaks_it() {
        for (sliding, assumed, limit) in [
            (false, Some(600), 600),
            (true, Some(600), 600),
            (true, Some(60), 60),
            (false, Some(60), 600),
            (true, None, 600),
        ] {
            let server = Server::new(sliding, limit);
            load(&pacer(assumed, 16), &server, 13, 1).await;
            // From the first request of the second window to the first of the twelfth: no edge flatters the pace.
            let served = server.borrow().served();
            let (first, last) = (limit as usize, limit as usize * 11);
            let pace = (last - first) as f64 / ((served[last] - served[first]).as_secs_f64() / 60.0);
            assert!(pace >= f64::from(limit) * 0.99, "sliding {sliding}, limit {limit}: {pace} a minute");
            let (_, refused) = server.borrow().served_between(Duration::ZERO, MINUTE * 13);
            assert_eq!(refused, 0, "sliding {sliding}, assumed {assumed:?}, limit {limit}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_earlier_process_used_is_left_alone() {
        for sliding in [false, true] {
            let server = Server::new(sliding, 600);
            (0..590).for_each(|_| drop(server.borrow_mut().arrives()));
            load(&pacer(Some(600), 16), &server, 3, 2).await;
            let (_, refused) = server.borrow().served_between(Duration::ZERO, MINUTE * 3);
            assert_eq!(refused, 0, "sliding {sliding}");
            let (served, _) = server.borrow().served_between(Duration::from_millis(1), MINUTE * 3);
            assert!(served > 1100, "it goes on when the window is fresh: {served}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_operators_ceiling_stands_above_the_header() {
        let server = Server::new(true, 600);
        let settings = PacerSettings { ceiling_per_minute: Some(120), budget, ..PacerSettings::default() };
        load(&Pacer::new(settings, Clock::simulated(Timestamp::UNIX_EPOCH)), &server, 5, 3).await;
        let (served, _) = server.borrow().served_between(Duration::ZERO, MINUTE * 5);
        assert!((590..=600).contains(&served), "{served}");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_are_served_in_order_and_may_leave_the_queue() {
        let pacer = pacer(None, 1);
        let first = pacer.admit(MINUTE).await.unwrap();
        let order = Rc::new(RefCell::new(Vec::new()));
        let callers = tokio::task::LocalSet::new();
        let mut waiting: Vec<_> = (0..5)
            .map(|caller| {
                let (pacer, order) = (pacer.clone(), order.clone());
                callers.spawn_local(async move {
                    let _permit = pacer.admit(MINUTE).await.unwrap();
                    order.borrow_mut().push(caller);
                })
            })
            .collect();
        callers.run_until(tokio::task::yield_now()).await;
        waiting.remove(2).abort();
        waiting.remove(0).abort();
        callers.run_until(tokio::task::yield_now()).await;
        drop(first);
        callers.await;
        assert_eq!(*order.borrow(), [1, 3, 4], "the head of the queue and one inside have left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_and_a_long_one_turns_them_away() {
        let (pacer, start) = (pacer(None, 4), Instant::now());
        pacer.pause(Duration::from_secs(7));
        pacer.pause(Duration::from_secs(3));
        drop(pacer.admit(MINUTE).await.unwrap());
        assert_eq!(start.elapsed().as_secs(), 7, "a shorter wish does not shorten it");
        pacer.pause(MINUTE * 10);
        assert_eq!(pacer.admit(MINUTE).await.unwrap_err(), TooLong(MINUTE * 10));
    }

    #[test]
    fn a_fast_upstream_costs_no_memory() {
        let settings = PacerSettings { assumed_per_minute: Some(u32::MAX), in_flight: 2, ..PacerSettings::default() };
        let (mut machine, mut now) = (Machine::new(settings), Instant::now());
        for _ in 0..200_000 {
            machine.admit(now).unwrap();
            machine.finish(now);
            now += Duration::from_micros(600);
        }
        assert!(machine.resting.len() <= GRAINS as usize + 2, "{}", machine.resting.len());
    }
}
