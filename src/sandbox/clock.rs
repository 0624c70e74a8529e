//! The sandbox's only source of "now" and its only way to wait, so that a simulation under paused time and a demo over
//! real sockets run the same look-alikes. Knows nothing of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Time as one look-alike sees it: an epoch plus what tokio's clock has measured since. Clones share both.
#[derive(Debug, Clone)]
pub struct Clock {
    epoch: DateTime<Utc>,
    started: Instant,
    /// Milliseconds by which it was put forward since.
    ahead: Arc<AtomicU64>,
}

impl Clock {
    /// Starts at the machine's time and advances with tokio's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the sandbox shares nothing with the program, not even its clock")]
    pub fn system() -> Self {
        Self::simulated(SystemTime::now().into())
    }

    /// `epoch` plus what has elapsed, on tokio's (perhaps paused) clock, since this call.
    #[must_use]
    pub fn simulated(epoch: DateTime<Utc>) -> Self {
        Self { epoch, started: Instant::now(), ahead: Arc::default() }
    }

    /// Puts the clock forward, for every clone: what just happened is then `by` ago.
    pub fn put_forward(&self, by: Duration) {
        self.ahead.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let ahead = Duration::from_millis(self.ahead.load(Ordering::Relaxed));
        let elapsed = TimeDelta::from_std(self.started.elapsed() + ahead).unwrap_or(TimeDelta::MAX);
        self.epoch.checked_add_signed(elapsed).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Waits for `duration` on tokio's clock.
    #[expect(clippy::disallowed_methods, reason = "the sandbox's one place to wait")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Now, in the form of the HTTP `Date` header.
    #[must_use]
    pub fn http_date(&self) -> String {
        self.now().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn follows_paused_time_and_its_clones_go_with_it() {
        let clock = Clock::simulated(DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        let clone = clock.clone();
        clock.sleep(Duration::from_millis(1500)).await;
        assert_eq!(clock.now().timestamp_millis(), 1_700_000_001_500);
        assert_eq!(clock.http_date(), "Tue, 14 Nov 2023 22:13:21 GMT");
        clock.put_forward(Duration::from_secs(60));
        assert_eq!(clock.now(), clone.now());
        assert_eq!(clock.http_date(), "Tue, 14 Nov 2023 22:14:21 GMT");
    }
}
