//! The rate limit of one kind of token: so many requests a minute, by fixed or sliding window. Knows no HTTP.
//! <https://docs.propstreet.com/documentation/errors-retries>

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use crate::sandbox::propstreet::knobs::Window;

const MINUTE_MS: i64 = 60_000;

/// What one bucket says after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    /// Whether this request may pass.
    pub(super) allowed: bool,
    /// Requests a minute.
    pub(super) limit: u32,
    /// Requests still free now.
    pub(super) remaining: u32,
    /// Whole seconds until more are free, at least 1.
    pub(super) reset: u64,
}

/// The requests of the current window.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: u32,
    window: Window,
    /// When each counted request came, in ms; those outside the window are dropped.
    taken: VecDeque<i64>,
}

impl Bucket {
    pub(super) fn new(limit: u32, window: Window) -> Self {
        Self { limit, window, taken: VecDeque::new() }
    }

    /// Counts a request if the window has room for it.
    pub(super) fn take(&mut self, now: DateTime<Utc>) -> Allowance {
        let free = self.look(now).remaining > 0;
        if free {
            self.taken.push_back(now.timestamp_millis());
        }
        Allowance { allowed: free, ..self.look(now) }
    }

    /// The state of the window, nothing counted.
    pub(super) fn look(&mut self, now: DateTime<Utc>) -> Allowance {
        let now = now.timestamp_millis();
        let minute = now - now.rem_euclid(MINUTE_MS);
        while self.taken.front().is_some_and(|&at| match self.window {
            Window::Fixed => at < minute,
            Window::Sliding => at <= now - MINUTE_MS,
        }) {
            self.taken.pop_front();
        }
        let until = match self.window {
            Window::Fixed => minute + MINUTE_MS,
            Window::Sliding => self.taken.front().map_or(now, |oldest| oldest + MINUTE_MS),
        };
        let used = u32::try_from(self.taken.len()).unwrap_or(u32::MAX);
        Allowance {
            allowed: true,
            limit: self.limit,
            remaining: self.limit.saturating_sub(used),
            reset: u64::try_from(until - now).unwrap_or(0).div_ceil(1000).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(1_700_000_040_000 + ms).unwrap()
    }

    #[test]
    fn windows_fill_and_free() {
        // 1_700_000_040 is a whole minute. Two a minute; each row: window, requests at ms → allowed.
        let cases = [
            (
                Window::Fixed,
                vec![(50_000, true), (55_000, true), (59_999, false), (60_000, true), (61_000, true), (62_000, false)],
            ),
            (
                Window::Sliding,
                vec![
                    (50_000, true),
                    (55_000, true),
                    (60_000, false),
                    (109_999, false),
                    (110_000, true),
                    (112_000, false),
                ],
            ),
        ];
        for (window, requests) in cases {
            let mut bucket = Bucket::new(2, window);
            for (ms, allowed) in requests {
                assert_eq!(bucket.take(at(ms)).allowed, allowed, "{window:?} at {ms}");
            }
        }
    }

    #[test]
    fn reset_counts_whole_seconds_until_more_is_free() {
        let mut fixed = Bucket::new(1, Window::Fixed);
        assert_eq!(fixed.take(at(500)), Allowance { allowed: true, limit: 1, remaining: 0, reset: 60 });
        assert_eq!(fixed.take(at(30_500)), Allowance { allowed: false, limit: 1, remaining: 0, reset: 30 });
        let mut sliding = Bucket::new(1, Window::Sliding);
        assert_eq!(sliding.take(at(500)).reset, 60);
        assert_eq!(sliding.take(at(60_200)), Allowance { allowed: false, limit: 1, remaining: 0, reset: 1 });
    }
}
