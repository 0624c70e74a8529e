//! Tells an upstream that is down from a record that fails alone (protocol §F). A pure machine: it is told of calls and
//! of the time, and says who may call.
//!
//! It opens when calls of one effect fail for three different records and none has succeeded in between, or when a
//! neutral call fails. Reads and writes are told apart, because an upstream in read-only maintenance answers every
//! look-up and no create. While open it lets one call through from time to time; a success closes it. The waits start
//! afresh only once the kind of call that opened it succeeds.

use std::time::Duration;

use tokio::time::Instant;

use crate::http::retry::{self, Delays};

/// What repeating a request would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it may be repeated at will.
    Read,
    /// Perhaps a second write: it is repeated only when it certainly was not applied.
    Write,
}

/// Whom a call speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Nobody: its failure is the upstream's.
    Upstream,
    /// One record, by its key.
    Record(String),
}

/// Different records whose calls fail in a row before the upstream is to blame.
const RECORDS: usize = 3;
/// A failure older than this says nothing about now.
const MEMORY: Duration = Duration::from_secs(600);

/// The breaker of one upstream.
#[derive(Debug)]
pub struct Breaker {
    failing: Vec<Failing>,
    open: Option<Open>,
    opened_by: Effect,
    last_success: [Option<Instant>; 2],
    delays: Option<Delays>,
    seed: u64,
}

#[derive(Debug)]
struct Failing {
    record: String,
    effect: Effect,
    at: Instant,
}

#[derive(Debug)]
struct Open {
    since: Instant,
    next_probe: Instant,
    cause: String,
}

/// Whether a call may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// It may.
    Free,
    /// It may, alone and once: it is the probe.
    Probe,
    /// It may not.
    Refused,
}

impl Breaker {
    /// A closed breaker; the seed makes its waits.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { failing: Vec::new(), open: None, opened_by: Effect::Read, last_success: [None; 2], delays: None, seed }
    }

    /// Whether a call may leave now.
    pub fn passage(&mut self, now: Instant) -> Passage {
        match &self.open {
            None => Passage::Free,
            Some(open) if now < open.next_probe => Passage::Refused,
            Some(_) => {
                // The next probe is booked already, in case this one's caller goes away.
                self.book(now);
                Passage::Probe
            }
        }
    }

    /// A call was answered. Returns whether this closed the breaker.
    pub fn succeeded(&mut self, effect: Effect, now: Instant) -> bool {
        self.last_success[effect as usize] = Some(now);
        self.failing.retain(|failing| failing.effect != effect);
        if effect == self.opened_by {
            self.delays = None;
        }
        self.open.take().is_some()
    }

    /// A call that left at `started` failed for good. Returns whether this opened the breaker.
    pub fn failed(&mut self, about: &About, effect: Effect, started: Instant, now: Instant, cause: &str) -> bool {
        if self.open.is_some() {
            return false;
        }
        if let About::Record(record) = about {
            // Others were served while this one hung: it is news about the record, not about the upstream.
            if self.last_success[effect as usize] > Some(started) {
                return false;
            }
            self.failing.retain(|f| now - f.at < MEMORY && !(f.record == *record && f.effect == effect));
            self.failing.push(Failing { record: record.clone(), effect, at: now });
            if self.failing.iter().filter(|f| f.effect == effect).count() < RECORDS {
                return false;
            }
        }
        self.failing.clear();
        self.opened_by = effect;
        self.open = Some(Open { since: now, next_probe: now, cause: cause.to_owned() });
        self.book(now);
        true
    }

    /// Whether it is closed and a call has been answered after this instant.
    #[must_use]
    pub fn answered_since(&self, instant: Instant) -> bool {
        self.open.is_none() && self.last_success.iter().flatten().any(|at| *at > instant)
    }

    /// Since when it is open, and why.
    #[must_use]
    pub fn open_since(&self) -> Option<(Instant, &str)> {
        self.open.as_ref().map(|open| (open.since, open.cause.as_str()))
    }

    /// When the next probe may leave; `None` while closed.
    #[must_use]
    pub fn next_probe(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.next_probe)
    }

    fn book(&mut self, now: Instant) {
        let delays = self.delays.get_or_insert_with(|| retry::between_probes(self.seed));
        let delay = delays.next().unwrap_or(Duration::from_secs(60));
        if let Some(open) = &mut self.open {
            open.next_probe = now + delay;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        breaker: Breaker,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { breaker: Breaker::new(1), now: Instant::now() }
        }

        fn passes(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn fails(&mut self, record: &str, effect: Effect) -> bool {
            self.breaker.failed(&About::Record(record.to_owned()), effect, self.now, self.now, "HTTP 500")
        }

        fn neutral_fails(&mut self) -> bool {
            self.breaker.failed(&About::Upstream, Effect::Read, self.now, self.now, "HTTP 500")
        }

        fn passage(&mut self) -> Passage {
            self.breaker.passage(self.now)
        }

        fn succeeds(&mut self, effect: Effect) -> bool {
            self.breaker.succeeded(effect, self.now)
        }
    }

    #[test]
    fn three_different_records_open_it_and_one_record_never_does() {
        let mut bench = Bench::new();
        assert!((0..50).all(|_| !bench.fails("poison", Effect::Write)));
        assert!(!bench.fails("b", Effect::Write));
        assert_eq!(bench.passage(), Passage::Free);
        assert!(bench.fails("c", Effect::Write));
        assert_eq!(bench.passage(), Passage::Refused);
    }

    #[test]
    fn a_success_in_between_acquits_only_its_own_kind() {
        let mut bench = Bench::new();
        for record in ["a", "b", "c", "d"] {
            assert!(!bench.fails(record, Effect::Read));
            bench.succeeds(Effect::Read);
        }
        assert!(!bench.fails("a", Effect::Write));
        bench.succeeds(Effect::Read);
        assert!(!bench.fails("b", Effect::Write));
        bench.succeeds(Effect::Read);
        assert!(bench.fails("c", Effect::Write), "look-ups are answered, creates are not");
    }

    #[test]
    fn old_failures_and_calls_overtaken_by_a_success_do_not_count() {
        let mut bench = Bench::new();
        bench.fails("a", Effect::Write);
        bench.fails("b", Effect::Write);
        bench.passes(601);
        assert!(!bench.fails("c", Effect::Write));

        let (mut bench, started) = (Bench::new(), Instant::now());
        bench.passes(1);
        bench.succeeds(Effect::Write);
        bench.passes(34);
        for record in ["a", "b", "c"] {
            let about = About::Record(record.to_owned());
            assert!(!bench.breaker.failed(&about, Effect::Write, started, bench.now, "time-out"));
        }
    }

    #[test]
    fn a_neutral_failure_opens_it_and_one_probe_at_a_time_goes_through() {
        let mut bench = Bench::new();
        assert!(bench.neutral_fails());
        assert_eq!(bench.breaker.open_since(), Some((bench.now, "HTTP 500")));
        bench.passes(3);
        assert_eq!(bench.passage(), Passage::Probe);
        assert_eq!(bench.passage(), Passage::Refused, "the next one is booked");
        assert!(!bench.neutral_fails(), "it is open already");
        assert!(bench.succeeds(Effect::Read));
        assert_eq!((bench.passage(), bench.breaker.next_probe()), (Passage::Free, None));
    }

    #[test]
    fn waits_grow_until_what_failed_works_again() {
        let mut bench = Bench::new();
        let wait_after_opening = |bench: &mut Bench| {
            let _ = ["a", "b", "c"].map(|record| bench.fails(record, Effect::Write));
            let wait = bench.breaker.next_probe().unwrap() - bench.now;
            bench.passes(60);
            assert_eq!(bench.passage(), Passage::Probe);
            bench.succeeds(Effect::Read);
            wait
        };
        let waits: Vec<_> = (0..8).map(|_| wait_after_opening(&mut bench)).collect();
        assert!(waits[7] > waits[0] * 8, "the probe reads, but writes keep failing: {waits:?}");
        bench.succeeds(Effect::Write);
        assert_eq!(wait_after_opening(&mut bench), waits[0]);
    }
}
