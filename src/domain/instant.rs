//! Instants in words that stay right however much later they are read.

use chrono::TimeDelta;

use crate::domain::Timestamp;

/// The instant to the nearest minute, in UTC: `2026-11-23T23:00Z`.
#[must_use]
pub fn minute(at: Timestamp) -> String {
    // Half a second short of midnight is midnight: clocks differ by that much.
    (at + TimeDelta::seconds(30)).format("%Y-%m-%dT%H:%MZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_told_to_the_nearest_minute() {
        for (at, told) in [
            ("2026-11-24T00:00:00+01:00", "2026-11-23T23:00Z"),
            ("2026-11-23T22:59:59.500Z", "2026-11-23T23:00Z"),
            ("2026-11-23T23:00:29Z", "2026-11-23T23:00Z"),
        ] {
            assert_eq!(minute(at.parse().unwrap()), told);
        }
    }
}
