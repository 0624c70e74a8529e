//! When a source is due: a cron expression, and the zone whose clocks it means.
//!
//! What becomes of it where clocks are changed is croner's to decide, and held by a table of tests below. One time of day
//! (`30 2 * * *`) comes once on every day: at the first instant after a gap, and at the first of two. Several (`*/10 * * * *`,
//! `0,30 2 * * *`) come whenever the clock shows them: not in a gap, and twice in an hour that comes twice.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::domain::Timestamp;
use crate::domain::nearest::nearest;

/// The fields of an expression, and what each may hold. The first may be left out.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of the month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of the week", "0 to 7 or SUN to SAT"),
];

/// From when on a schedule must come at all: 2026. Dates repeat, so that one which comes once comes for ever.
const FROM: Timestamp = Timestamp::from_timestamp(1_767_225_600, 0).expect("an instant");

/// A zone of the IANA database, which is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Where clocks are never changed.
    pub const UTC: Self = Self(Tz::UTC);

    /// The zone of this name.
    ///
    /// # Errors
    /// When there is none; then with the name that was probably meant, by its place alone, too (`stockholm`).
    pub fn named(name: &str) -> Result<Self, Option<&'static str>> {
        name.parse().map(Self).map_err(|_| {
            let known = zones_by_word();
            nearest(name, known.keys().map(String::as_str)).map(|word| known[word])
        })
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.name()
    }
}

/// Every zone by what it may be called: its name, or the place in it, in small letters.
fn zones_by_word() -> BTreeMap<String, &'static str> {
    let zones = || TZ_VARIANTS.iter().map(|zone| zone.name());
    let places = zones().filter_map(|zone| Some((zone.rsplit_once('/')?.1, zone)));
    places.chain(zones().map(|zone| (zone, zone))).map(|(word, zone)| (word.to_lowercase(), zone)).collect()
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has too few or too many fields.
    #[error("has {0} of the five or six fields of a schedule")]
    Fields(usize),
    /// One of its fields is not what it may be.
    #[error("`{text}` is no {field} ({bounds})")]
    Field {
        /// As written.
        text: String,
        /// Which it is.
        field: &'static str,
        /// What it may hold.
        bounds: &'static str,
    },
    /// Its fields do not go together.
    #[error("is no schedule")]
    Whole,
    /// No day is such a day.
    #[error("never comes")]
    Never,
}

/// When a source is due, again and again and for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    cron: Cron,
    zone: Zone,
}

impl Schedule {
    /// A schedule of five fields, minute, hour, day of the month, month and day of the week, or six, with the second before
    /// them. As cron has it, either of the two days is enough where both are given.
    ///
    /// # Errors
    /// When it is none, or never comes.
    pub fn parse(text: &str, zone: Zone) -> Result<Self, Unfit> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !(FIELDS.len() - 1..=FIELDS.len()).contains(&fields.len()) {
            return Err(Unfit::Fields(fields.len()));
        }
        let text = fields.join(" ");
        let cron = cron(&text).ok_or_else(|| fault(&fields))?;
        match cron.find_next_occurrence(&FROM.with_timezone(&zone.0), false) {
            Ok(_) => Ok(Self { text, cron, zone }),
            Err(_) => Err(Unfit::Never),
        }
    }

    /// When it comes next after this instant.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Timestamp {
        match self.cron.find_next_occurrence(&at.with_timezone(&self.zone.0), false) {
            Ok(next) => next.with_timezone(&Utc),
            // A day that a whole country leaves out, as Samoa's 30 December 2011, is more than croner looks past.
            Err(_) => at + TimeDelta::days(1),
        }
    }

    /// How often it comes on a day on which it comes at all. An hour that comes twice is not counted twice: such a day is
    /// longer than 24 hours.
    #[must_use]
    pub fn most_in_a_day(&self) -> u32 {
        let pattern = &self.cron.pattern;
        let times = [&pattern.seconds, &pattern.minutes, &pattern.hours].map(|field| field.values().len());
        u32::try_from(times.iter().product::<usize>()).unwrap_or(u32::MAX)
    }

    /// The zone whose clocks it means.
    #[must_use]
    pub fn zone(&self) -> Zone {
        self.zone
    }
}

/// As written.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn cron(text: &str) -> Option<Cron> {
    // Of a list that names nothing, croner makes a field that nothing fits, and then looks for years for what does.
    if text.split([' ', ',']).any(str::is_empty) {
        return None;
    }
    CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build().parse(text).ok()
}

/// The field for which an expression was refused: the first that is refused with nothing beside it.
fn fault(fields: &[&str]) -> Unfit {
    let names = &FIELDS[FIELDS.len() - fields.len()..];
    let alone = |at: usize| {
        let field = |n| if n == at { fields[n] } else { "*" };
        (0..fields.len()).map(field).collect::<Vec<_>>().join(" ")
    };
    let refused = (0..fields.len()).find(|at| cron(&alone(*at)).is_none());
    refused.map_or(Unfit::Whole, |at| {
        let (field, bounds) = names[at];
        Unfit::Field { text: fields[at].to_owned(), field, bounds }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule(text: &str, zone: &str) -> Schedule {
        let zone = Zone::named(zone).unwrap_or_else(|_| panic!("{zone}"));
        Schedule::parse(text, zone).unwrap_or_else(|unfit| panic!("{text}: {unfit}"))
    }

    fn instant(text: &str) -> Timestamp {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    /// Each row: the schedule, from when on, and when it comes, with the clock's own offset.
    fn holds(zone: &str, rows: &[(&str, &str, &[&str])]) {
        for (text, after, expected) in rows {
            let schedule = schedule(text, zone);
            let mut at = instant(after);
            for next in *expected {
                at = schedule.next_after(at);
                assert_eq!(at, instant(next), "{text} after {after}");
            }
        }
    }

    #[test]
    fn it_comes_where_the_calendar_says() {
        holds(
            "UTC",
            &[
                ("*/5 * * * *", "2026-11-23T22:58:01Z", &["2026-11-23T23:00:00Z", "2026-11-23T23:05:00Z"]),
                ("*/5 * * * *", "2026-11-23T22:59:59.900Z", &["2026-11-23T23:00:00Z"]),
                ("*/5 * * * *", "2026-11-23T23:00:00Z", &["2026-11-23T23:05:00Z"]),
                ("*/5 * * * *", "2026-11-23T23:00:00.100Z", &["2026-11-23T23:05:00Z"]),
                ("*/20 * * * * *", "2026-11-23T23:59:30Z", &["2026-11-23T23:59:40Z", "2026-11-24T00:00:00Z"]),
                // The end of a month, of a year, of February.
                ("0 4 31 * *", "2026-03-31T04:00:00Z", &["2026-05-31T04:00:00Z", "2026-07-31T04:00:00Z"]),
                ("*/10 * * * *", "2026-12-31T23:55:00Z", &["2027-01-01T00:00:00Z"]),
                ("0 0 1 * *", "2027-01-31T12:00:00Z", &["2027-02-01T00:00:00Z", "2027-03-01T00:00:00Z"]),
                ("30 6 29 2 *", "2026-11-23T00:00:00Z", &["2028-02-29T06:30:00Z", "2032-02-29T06:30:00Z"]),
                ("30 6 29 2 *", "2096-03-01T00:00:00Z", &["2104-02-29T06:30:00Z"]),
                // From a Friday evening to the Monday; a Sunday is 0 and 7.
                ("0 8-17 * * 1-5", "2026-11-27T17:00:00Z", &["2026-11-30T08:00:00Z", "2026-11-30T09:00:00Z"]),
                ("0 8 * * 7", "2026-11-23T00:00:00Z", &["2026-11-29T08:00:00Z"]),
                ("0 8 * * sun", "2026-11-23T00:00:00Z", &["2026-11-29T08:00:00Z"]),
                // Either day is enough, as cron has it: the Friday, and the 13th, which is a Sunday.
                ("0 0 13 * 5", "2026-12-10T00:00:00Z", &["2026-12-11T00:00:00Z", "2026-12-13T00:00:00Z"]),
            ],
        );
    }

    #[test]
    fn stockholm_has_a_gap_in_march_and_an_hour_twice_in_october() {
        holds(
            "Europe/Stockholm",
            &[
                // 2027-03-28: after 01:59:59+01:00 comes 03:00:00+02:00.
                (
                    "0 2 * * *",
                    "2027-03-27T02:00:00+01:00",
                    &["2027-03-28T03:00:00+02:00", "2027-03-29T02:00:00+02:00", "2027-03-30T02:00:00+02:00"],
                ),
                (
                    "30 2 * * *",
                    "2027-03-28T01:59:00+01:00",
                    &["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"],
                ),
                ("0 1 * * *", "2027-03-27T12:00:00+01:00", &["2027-03-28T01:00:00+01:00", "2027-03-29T01:00:00+02:00"]),
                ("0 3 * * *", "2027-03-27T12:00:00+01:00", &["2027-03-28T03:00:00+02:00", "2027-03-29T03:00:00+02:00"]),
                (
                    "*/10 * * * *",
                    "2027-03-28T01:50:00+01:00",
                    &["2027-03-28T03:00:00+02:00", "2027-03-28T03:10:00+02:00"],
                ),
                ("*/10 2 * * *", "2027-03-27T02:50:00+01:00", &["2027-03-29T02:00:00+02:00"]),
                ("0 6 * * *", "2027-03-27T06:00:00+01:00", &["2027-03-28T06:00:00+02:00", "2027-03-29T06:00:00+02:00"]),
                // 2026-10-25: after 02:59:59+02:00 comes 02:00:00+01:00.
                (
                    "0 2 * * *",
                    "2026-10-24T02:00:00+02:00",
                    &["2026-10-25T02:00:00+02:00", "2026-10-26T02:00:00+01:00", "2026-10-27T02:00:00+01:00"],
                ),
                ("30 2 * * *", "2026-10-25T02:30:00+02:00", &["2026-10-26T02:30:00+01:00"]),
                (
                    "*/30 * * * *",
                    "2026-10-25T01:30:00+02:00",
                    &[
                        "2026-10-25T02:00:00+02:00",
                        "2026-10-25T02:30:00+02:00",
                        "2026-10-25T02:00:00+01:00",
                        "2026-10-25T02:30:00+01:00",
                        "2026-10-25T03:00:00+01:00",
                    ],
                ),
                (
                    "*/10 * * * *",
                    "2026-10-25T02:50:00+02:00",
                    &["2026-10-25T02:00:00+01:00", "2026-10-25T02:10:00+01:00"],
                ),
                ("*/10 * * * *", "2026-10-25T02:50:00+01:00", &["2026-10-25T03:00:00+01:00"]),
                ("0 6 * * *", "2026-10-24T06:00:00+02:00", &["2026-10-25T06:00:00+01:00", "2026-10-26T06:00:00+01:00"]),
            ],
        );
    }

    #[test]
    fn in_the_south_the_gap_is_in_october() {
        holds(
            "Australia/Sydney",
            &[
                // 2026-10-04: after 01:59:59+10:00 comes 03:00:00+11:00.
                ("0 2 * * *", "2026-10-03T02:00:00+10:00", &["2026-10-04T03:00:00+11:00", "2026-10-05T02:00:00+11:00"]),
                ("*/10 * * * *", "2026-10-04T01:50:00+10:00", &["2026-10-04T03:00:00+11:00"]),
                // 2027-04-04: after 02:59:59+11:00 comes 02:00:00+10:00.
                ("0 2 * * *", "2027-04-03T02:00:00+11:00", &["2027-04-04T02:00:00+11:00", "2027-04-05T02:00:00+10:00"]),
                ("*/10 * * * *", "2027-04-04T02:50:00+11:00", &["2027-04-04T02:00:00+10:00"]),
            ],
        );
        // Half an hour, on Lord Howe alone: after 01:59:59+10:30 comes 02:30:00+11:00.
        holds("Australia/Lord_Howe", &[("15 2 * * *", "2026-10-03T12:00:00+10:30", &["2026-10-04T02:30:00+11:00"])]);
    }

    #[test]
    fn a_day_that_is_left_out_does_not_end_it() {
        // Samoa went from the 29th of December 2011 to the 31st.
        let apia = schedule("0 2 * * *", "Pacific/Apia");
        assert_eq!(apia.next_after(instant("2011-12-29T02:10:00-10:00")), instant("2011-12-31T02:10:00+14:00"));
        assert_eq!(apia.next_after(instant("2011-12-31T02:10:00+14:00")), instant("2012-01-01T02:00:00+14:00"));
    }

    #[test]
    fn a_day_has_so_many() {
        for (text, times) in [
            ("*/5 * * * *", 288),
            ("*/10 * * * *", 144),
            ("* * * * * *", 86_400),
            ("0 2 * * *", 1),
            ("0,30 8-17 * * 1-5", 20),
            ("0 0 29 2 *", 1),
            ("5-59/7 * * * *", 24 * 8),
        ] {
            let Ok(schedule) = Schedule::parse(text, Zone::UTC) else { panic!("{text}") };
            assert_eq!(schedule.most_in_a_day(), times, "{text}");
        }
        // And as many come: this day is a Friday, of 24 hours.
        for text in ["*/5 * * * *", "*/10 * * * *", "0 2 * * *", "0,30 8-17 * * 1-5", "*/50 59 */5 * * *"] {
            let schedule = schedule(text, "Europe/Stockholm");
            let (mut at, end) = (instant("2026-11-26T23:59:59+01:00"), instant("2026-11-27T23:59:59+01:00"));
            let mut times = 0;
            while schedule.next_after(at) <= end {
                at = schedule.next_after(at);
                times += 1;
            }
            assert_eq!(schedule.most_in_a_day(), times, "{text}");
        }
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        for (text, why) in [
            ("", "has 0 of the five or six fields of a schedule"),
            ("@hourly", "has 1 of the five or six fields of a schedule"),
            ("every five minutes", "has 3 of the five or six fields of a schedule"),
            ("0 0 * * * * 2027", "has 7 of the five or six fields of a schedule"),
            ("60 * * * * *", "`60` is no second (0 to 59)"),
            ("60 * * * *", "`60` is no minute (0 to 59)"),
            ("*/0 * * * *", "`*/0` is no minute (0 to 59)"),
            ("/5 * * * *", "`/5` is no minute (0 to 59)"),
            ("0 24 * * *", "`24` is no hour (0 to 23)"),
            ("0 6pm * * *", "`6pm` is no hour (0 to 23)"),
            ("0 2 0 * *", "`0` is no day of the month (1 to 31)"),
            ("0 2 * 13 *", "`13` is no month (1 to 12 or JAN to DEC)"),
            ("0 2 * * 8", "`8` is no day of the week (0 to 7 or SUN to SAT)"),
            ("0 2 * * söndag", "`söndag` is no day of the week (0 to 7 or SUN to SAT)"),
            ("-1 * * * *", "`-1` is no minute (0 to 59)"),
            ("99999999999999999999 * * * *", "`99999999999999999999` is no minute (0 to 59)"),
            ("0 0 30 2 *", "never comes"),
            ("0 0 31 4,6,9,11 *", "never comes"),
            ("0 0 1 * +1#2", "never comes"),
            (", * * * *", "`,` is no minute (0 to 59)"),
            ("0 2,,4 * * *", "`2,,4` is no hour (0 to 23)"),
        ] {
            let told = Schedule::parse(text, Zone::UTC).map_or_else(|unfit| unfit.to_string(), |_| "fits".to_owned());
            assert_eq!(told, why, "{text}");
        }
    }

    #[test]
    fn it_is_told_as_written() {
        let schedule = schedule(" 0  8-17 * *  mon-fri ", "Europe/Stockholm");
        assert_eq!(schedule.to_string(), "0 8-17 * * mon-fri");
        assert_eq!(schedule.zone().as_str(), "Europe/Stockholm");
    }

    #[test]
    fn an_unknown_zone_has_a_neighbour() {
        for (name, meant) in [
            ("Europe/Stokholm", Some("Europe/Stockholm")),
            ("europe/stockholm", Some("Europe/Stockholm")),
            ("Stockholm", Some("Europe/Stockholm")),
            ("America/New York", Some("America/New_York")),
            ("CEST", Some("CET")),
            ("+02:00", None),
            ("", None),
        ] {
            assert_eq!(Zone::named(name), Err(meant), "{name}");
        }
        assert_eq!(Zone::named("UTC"), Ok(Zone::UTC));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[-*/0-9,#?LWa-f@+ ]{0,20}", at in 0_i64..4_000_000_000) {
            let at = Timestamp::from_timestamp(at, 0).expect("an instant");
            if let Ok(schedule) = Schedule::parse(&text, Zone::UTC) {
                prop_assert!(schedule.next_after(at) > at);
            }
        }

        /// Whatever the clocks do: it comes later than it is asked, and at the same instant whenever it is asked before.
        #[test]
        fn it_goes_on_from_anywhere(
            text in prop::sample::select(vec!["*/10 * * * *", "0 2 * * *", "30 2,14 * * *", "*/7 */3 2-3 * * *", "0 0 1 * *"]),
            zone in prop::sample::select(vec!["UTC", "Europe/Stockholm", "Australia/Sydney", "Australia/Lord_Howe"]),
            at in 1_700_000_000_i64..2_000_000_000,
            between in 0.0..1.0_f64,
        ) {
            let schedule = schedule(text, zone);
            let at = Timestamp::from_timestamp(at, 0).expect("an instant");
            let next = schedule.next_after(at);
            prop_assert!(next > at);
            let part = (next - at).to_std().expect("later").mul_f64(between * 0.999);
            prop_assert_eq!(schedule.next_after(at + part), next);
        }
    }
}
