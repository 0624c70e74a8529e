//! The server's clock, from the `Date` of its answers. A pure machine: bounds of windows rest on it, so it leans to the past.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::Timestamp;

/// `Date` is cut to the second and machines behind one name differ a little: less than this backwards is no news.
const SKEW: Duration = Duration::from_secs(2);

/// What the newest answer said, and when it came.
#[derive(Debug, Default)]
pub struct ServerTime(Option<(Timestamp, Instant)>);

impl ServerTime {
    /// An answer with this `Date` came in.
    pub fn heard(&mut self, date: Timestamp, now: Instant) {
        let running = self.at(now);
        if running.is_none_or(|running| date > running || date < running - SKEW) {
            self.0 = Some((date, now));
        }
    }

    /// The server's clock now; `None` before the first answer.
    #[must_use]
    pub fn at(&self, now: Instant) -> Option<Timestamp> {
        self.0.map(|(date, heard)| date + now.saturating_duration_since(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_on_and_turns_back_only_beyond_the_skew() {
        let (start, noon) = (Instant::now(), Timestamp::from_timestamp(1_777_982_400, 0).unwrap());
        let second = |s| (start + Duration::from_secs(s), noon + Duration::from_secs(s));
        let mut time = ServerTime::default();
        assert_eq!(time.at(start), None);
        time.heard(noon, start);
        assert_eq!(time.at(second(10).0), Some(second(10).1));
        time.heard(second(9).1, second(10).0);
        assert_eq!(time.at(second(10).0), Some(second(10).1), "a cut second does not turn it back");
        time.heard(second(5).1, second(10).0);
        assert_eq!(time.at(second(10).0), Some(second(5).1), "a clock that was wrong is left");
        time.heard(second(20).1, second(11).0);
        assert_eq!(time.at(second(12).0), Some(second(21).1));
    }
}
