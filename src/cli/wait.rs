//! Spans of time as people type them: `90s`, `2m`, `1h`.

use std::time::Duration;

/// Reads a span: a whole number and its unit. At most 30 days, so that sums with it stay far from any limit.
pub fn parse(text: &str) -> Result<Duration, String> {
    const FORM: &str = "write a whole number with its unit: 90s, 2m, 1h, 3d";
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| FORM.to_owned())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(FORM.to_owned()),
    };
    match number.checked_mul(seconds) {
        Some(total) if total <= 30 * 86_400 => Ok(Duration::from_secs(total)),
        _ => Err("is longer than 30 days".to_owned()),
    }
}

/// Writes a span as people say it, in its two largest units: `1 h 5 min`.
#[must_use]
pub fn spoken(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("2m", 120), ("1h", 3600), ("30d", 2_592_000)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "90", "s", "-1s", "1.5h", "2 m", "2min", "31d", "99999999999999999999s", "9999999999999999999d"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn spans_are_spoken_in_two_units() {
        for (seconds, text) in [(12, "12 s"), (119, "1 min"), (3900, "1 h 5 min"), (90_000, "1 d 1 h")] {
            assert_eq!(spoken(seconds), text);
        }
    }
}
