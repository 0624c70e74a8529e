//! What a day in which nothing happens costs a Pipedrive company of its tokens: charged by the look-alike, reckoned by a
//! formula, and compared with the tables of `docs/pipedrive.md`, so that the page cannot promise what the program does not
//! keep.

use std::time::Duration;

use propsync::domain::pass::PassKind;
use propsync::sandbox::people::Person;
use propsync::sandbox::pipedrive::fields::STRATEGY;

use crate::scenarios::hubspot_day::grouped;
use crate::scenarios::salesforce::company;
use crate::support::{Firm, in_virtual_time, person, sync_one};

const EVERY: Duration = Duration::from_secs(600);
const POLLS: u64 = 144;
/// What a company with one seat of the smallest plan has a day, and what of it is propsync's unless it is told otherwise.
const ONE_SEAT: u64 = 30_000;
const A_FIFTH: u64 = ONE_SEAT / 5;

/// Who asks, and for what.
#[derive(Debug, Clone, Copy)]
struct Day {
    /// Whether one process lives all day, and does not ask anew what it knows.
    resident: bool,
    /// Whether the map reads a custom field of persons.
    custom: bool,
    people: u64,
}

impl Day {
    /// Tokens of an idle day.
    fn reckoned(self) -> u64 {
        let company = if self.resident { 0 } else { 2 * POLLS };
        let definitions = match (self.custom, self.resident) {
            (false, _) => 0,
            (true, true) => 10 * 4,
            (true, false) => 10 * POLLS,
        };
        let organizations = 10 * 24;
        company + definitions + 10 * POLLS + organizations + 10 * self.people.div_ceil(500)
    }
}

#[test]
fn an_idle_day_costs_what_the_page_says_and_fits_one_seat() {
    let page = include_str!("../../docs/pipedrive.md");
    for people in [5_000, 20_000, 100_000] {
        for (resident, custom) in [(true, false), (true, true), (false, false), (false, true)] {
            let day = Day { resident, custom, people };
            let tokens = day.reckoned();
            let cells = [ONE_SEAT, 60_000, 150_000, 750_000].map(|a_day| format!("{} |", percent(tokens, a_day)));
            let row = format!("| {} | {}", grouped(tokens), cells.join(" "));
            assert!(page.contains(&row), "{day:?}: the page has no such row: {row}");
            assert!(tokens <= A_FIFTH, "{day:?}: {tokens}");
        }
    }
    let [run, timer] = [true, false].map(|resident| Day { resident, custom: false, people: 5_000 }.reckoned());
    assert!(page.contains(&format!("| **the day** | | **{}** | **{}** |", grouped(run), grouped(timer))));
}

#[test]
fn the_usual_schedule_is_the_one_that_is_reckoned() {
    let firm = Firm::new(1, |settings| settings.contacts = 0);
    let config = firm.config();
    let pipedrive = config.sources.iter().find(|source| source.name == "pipedrive").expect("the source");
    assert_eq!(u64::from(pipedrive.schedule.most_in_a_day()), POLLS);
}

#[test]
fn a_resident_process_costs_what_is_reckoned() {
    for custom in [false, true] {
        count(Day { resident: true, custom, people: 1_200 });
    }
}

#[test]
fn a_timers_processes_cost_what_is_reckoned() {
    count(Day { resident: false, custom: true, people: 600 });
}

/// Lives through a day, and counts.
fn count(day: Day) {
    in_virtual_time(async {
        let mut firm = Firm::new(1, |settings| (settings.contacts, settings.requests_per_minute) = (0, 100_000));
        if day.custom {
            firm.extra.insert("pipedrive", format!("map.strategy = {{ from = \"custom_fields.{STRATEGY}\" }}"));
        }
        let pipedrive = firm.sandbox.pipedrive.clone();
        pipedrive.with_rates(|rates| rates.daily = Some(ONE_SEAT));
        let nordic = company("Nordic");
        for n in 0..day.people {
            let someone = person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
            pipedrive.add(&Person { company: Some(nordic.clone()), ..someone });
        }
        firm.wait(Duration::from_secs(3600)).await;
        let mut parts = firm.start().await;
        let (mut spent, mut sweeps) = (0, 0);
        // From the third hour on, so that the first readings are over; the one sweep of the day lies within.
        for turn in 0..18 + POLLS {
            let before = pipedrive.tokens_spent();
            let report = sync_one(&parts, "pipedrive").await;
            assert!(report.is_green(), "{report:?}");
            if turn >= 18 {
                // The look-alike's own count begins anew with the first call of a day.
                let now = pipedrive.tokens_spent();
                spent += if now < before { now } else { now - before };
                sweeps += report.passes.iter().filter(|pass| pass.kind == PassKind::Sweep).count();
            }
            firm.wait(EVERY).await;
            if !day.resident {
                parts.engine.ledger.close().await;
                parts = firm.start().await;
            }
        }
        parts.engine.ledger.close().await;
        assert_eq!(sweeps, 1);
        assert_eq!(spent, day.reckoned(), "{day:?} {:?}", pipedrive.requests());
    });
}

/// A share in percent, to a tenth.
fn percent(part: u64, whole: u64) -> String {
    let tenths = (part * 1000 + whole / 2) / whole;
    format!("{}.{} %", tenths / 10, tenths % 10)
}
