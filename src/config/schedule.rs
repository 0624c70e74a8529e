//! When `propsync run` syncs a source: its `schedule`, and the `timezone` whose clocks that means.

use crate::config::document::Section;
use crate::domain::kind::Kind;
use crate::domain::schedule::{Schedule, Unfit, Zone};

const SCHEDULE: &str = "schedule";
const TIMEZONE: &str = "timezone";

/// Where none is written. Every request to Pipedrive comes out of a daily budget of tokens that the whole company shares,
/// and that is small where few people have a seat.
const fn usual(kind: Kind) -> &'static str {
    match kind {
        Kind::Salesforce | Kind::HubSpot => "*/5 * * * *",
        Kind::Pipedrive => "*/10 * * * *",
    }
}

/// Reads both keys of a source. `None` when one is at fault, which it has reported.
pub fn read(source: &Section<'_>, kind: Option<Kind>) -> Option<Schedule> {
    let zone = if source.has(TIMEZONE) { zone(source) } else { Some(Zone::UTC) };
    let text = if source.has(SCHEDULE) { source.text(SCHEDULE)? } else { usual(kind?) };
    match Schedule::parse(text, zone.unwrap_or(Zone::UTC)) {
        Ok(schedule) => zone.map(|_| schedule),
        Err(unfit) => {
            source.fault(SCHEDULE, &unfit.to_string(), remedy(&unfit));
            None
        }
    }
}

fn zone(source: &Section<'_>) -> Option<Zone> {
    let name = source.text(TIMEZONE)?;
    Zone::named(name)
        .inspect_err(|nearest| {
            let remedy = match nearest {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "write a name of the IANA database, for example \"Europe/Stockholm\"".to_owned(),
            };
            source.fault(TIMEZONE, &format!("`{name}` is no time zone"), &remedy);
        })
        .ok()
}

const fn remedy(unfit: &Unfit) -> &'static str {
    match unfit {
        Unfit::Fields(_) | Unfit::Field { .. } | Unfit::Whole => {
            "write minute, hour, day of the month, month and day of the week, for example \"*/10 * * * *\"; the second may \
             stand before them"
        }
        Unfit::Never => "name days that come",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::config::load;
    use crate::config::problems::Problems;

    /// The schedules of a source of each kind, in the order of their names, the last with these lines.
    fn parsed(lines: &str, variables: &[(&str, &str)]) -> Result<Vec<Schedule>, Problems> {
        let text = format!(
            r#"[propstreet]
            auth = {{ kind = "token", token = "t" }}
            [sources.hubspot]
            kind = "hubspot"
            auth = {{ kind = "token", token = "t" }}
            first_run = "backfill"
            [sources.pipedrive]
            kind = "pipedrive"
            auth = {{ kind = "api_token", token = "t" }}
            first_run = "backfill"
            [sources.salesforce]
            kind = "salesforce"
            base_url = "https://a.my.salesforce.com"
            auth = {{ kind = "client_credentials", client_id = "k", client_secret = "s" }}
            first_run = "backfill"
{lines}"#
        );
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = load::parse(Path::new("p.toml"), &text, &variables.collect::<BTreeMap<_, _>>())?;
        Ok(config.sources.into_iter().map(|source| source.schedule).collect())
    }

    fn told(lines: &str, variables: &[(&str, &str)]) -> String {
        let tell = |schedule: &Schedule| format!("{schedule}, {}", schedule.zone().as_str());
        match parsed(lines, variables) {
            Ok(schedules) => schedules.iter().map(tell).collect::<Vec<_>>().join("; "),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn pipedrive_is_asked_half_as_often_as_the_others() {
        assert_eq!(told("", &[]), "*/5 * * * *, UTC; */10 * * * *, UTC; */5 * * * *, UTC");
    }

    #[test]
    fn each_key_may_stand_alone_and_a_variable_wins() {
        let last =
            |lines: &str, variables: &[(&str, &str)]| told(lines, variables).split("; ").last().map(str::to_owned);
        let both = "schedule = \"30 2 * * *\"\ntimezone = \"Europe/Stockholm\"";
        assert_eq!(last(both, &[]).as_deref(), Some("30 2 * * *, Europe/Stockholm"));
        assert_eq!(last("schedule = \"0 */30 * * * *\"", &[]).as_deref(), Some("0 */30 * * * *, UTC"));
        assert_eq!(last("timezone = \"Asia/Tokyo\"", &[]).as_deref(), Some("*/5 * * * *, Asia/Tokyo"));
        let variables = [
            ("PROPSYNC__SOURCES__SALESFORCE__SCHEDULE", "*/15 * * * *"),
            ("PROPSYNC__SOURCES__SALESFORCE__TIMEZONE", "Asia/Tokyo"),
        ];
        assert_eq!(last(both, &variables).as_deref(), Some("*/15 * * * *, Asia/Tokyo"));
    }

    #[test]
    fn faults_of_both_are_told_together() {
        assert_snapshot!(told("schedule = \"60 * * * * *\"\ntimezone = \"Europe/Stokholm\"", &[]), @r#"
        p.toml:16:12: sources.salesforce.schedule: `60` is no second (0 to 59)
            fix: write minute, hour, day of the month, month and day of the week, for example "*/10 * * * *"; the second may stand before them
        p.toml:17:12: sources.salesforce.timezone: `Europe/Stokholm` is no time zone
            fix: did you mean "Europe/Stockholm"?
        "#);
        assert_snapshot!(told("schedule = \"0 0 30 2 *\"\ntimezone = \"+02:00\"", &[]), @r#"
        p.toml:16:12: sources.salesforce.schedule: never comes
            fix: name days that come
        p.toml:17:12: sources.salesforce.timezone: `+02:00` is no time zone
            fix: write a name of the IANA database, for example "Europe/Stockholm"
        "#);
        assert_snapshot!(told("schedule = 5\ntimezone = \"\"", &[]), @"
        p.toml:16:12: sources.salesforce.schedule: is a whole number
            fix: write a text in quotes
        p.toml:17:12: sources.salesforce.timezone: is empty
            fix: write a value or remove the key
        ");
        assert_snapshot!(told("", &[("PROPSYNC__SOURCES__HUBSPOT__SCHEDULE", "hourly")]), @r#"
        PROPSYNC__SOURCES__HUBSPOT__SCHEDULE (environment): sources.hubspot.schedule: has 1 of the five or six fields of a schedule
            fix: write minute, hour, day of the month, month and day of the week, for example "*/10 * * * *"; the second may stand before them
        "#);
    }
}
