//! How long to wait before another try. The only file that names `backon`; it knows neither requests nor verdicts.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Growing waits with seeded jitter.
#[derive(Debug)]
pub struct Delays(ExponentialBackoff);

impl Iterator for Delays {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

/// The waits between the four tries of one request: from 0.5 s, never above 8 s.
#[must_use]
pub fn within_request(seed: u64) -> Delays {
    let growing = growing(seed, Duration::from_millis(500), Duration::from_secs(8));
    Delays(growing.with_factor(3.0).with_max_times(3).build())
}

/// The waits between probes of an upstream that is down: from 1 s, never above 60 s, without end.
#[must_use]
pub fn between_probes(seed: u64) -> Delays {
    let growing = growing(seed, Duration::from_secs(1), Duration::from_secs(60));
    Delays(growing.with_factor(2.0).without_max_times().build())
}

fn growing(seed: u64, first: Duration, longest: Duration) -> ExponentialBuilder {
    // backon adds up to 100 % of jitter on top of its maximum, hence the half.
    ExponentialBuilder::new().with_jitter().with_jitter_seed(seed).with_min_delay(first).with_max_delay(longest / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_tried_four_times_within_bounds_and_repeatably() {
        for seed in 0..200 {
            let delays: Vec<_> = within_request(seed).collect();
            assert_eq!(delays.len(), 3);
            assert!(delays.iter().all(|d| (500..=8_000).contains(&d.as_millis())), "{delays:?}");
            assert_eq!(delays, within_request(seed).collect::<Vec<_>>(), "the seed decides");
        }
        assert_ne!(within_request(1).collect::<Vec<_>>(), within_request(2).collect::<Vec<_>>());
    }

    #[test]
    fn probes_go_on_for_ever_and_stay_below_a_minute() {
        let delays: Vec<_> = between_probes(7).take(10_000).collect();
        assert_eq!(delays.len(), 10_000);
        assert!(delays[0] < Duration::from_secs(2) && delays.iter().all(|d| *d <= Duration::from_secs(60)));
        assert!(delays[20..].iter().all(|d| *d >= Duration::from_secs(30)), "they grow to the cap");
    }
}
