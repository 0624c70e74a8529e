//! What a day in which nothing happens costs a HubSpot portal: counted at the look-alike, reckoned by a formula, and
//! compared with the tables of `docs/hubspot.md`, so that the page cannot promise what the program does not keep.

use std::time::Duration;

use propsync::domain::pass::PassKind;

use crate::scenarios::hubspot::{people, portal, sync};
use crate::support::{in_virtual_time, sync_one};

const EVERY: Duration = Duration::from_secs(300);
const POLLS: u64 = 288;
const HOURS: u64 = 24;

/// Who asks, and for what.
#[derive(Debug, Clone, Copy)]
struct Day {
    /// Whether one process lives all day, and does not ask anew what it knows.
    resident: bool,
    /// Whether the map reads companies.
    companies: bool,
    people: u64,
    binned: u64,
}

impl Day {
    /// Requests of an idle day.
    fn reckoned(self) -> u64 {
        let objects = 1 + u64::from(self.companies);
        let account = if self.resident { 0 } else { POLLS };
        let definitions = objects * if self.resident { HOURS } else { POLLS };
        let pages = self.people.div_ceil(100);
        let bin = self.binned.div_ceil(100).max(1);
        // Each page of a sweep asks for the links of its people and for their companies.
        let sweep = pages + bin + if self.companies { 2 * pages } else { 0 };
        account + definitions + objects * (POLLS + HOURS) + sweep
    }
}

#[test]
fn an_idle_day_costs_what_the_page_says_and_less_than_a_twentieth() {
    let page = include_str!("../../docs/hubspot.md");
    for (people, binned) in [(10_000, 500), (100_000, 1_000), (1_000_000, 10_000)] {
        for (resident, companies) in [(true, false), (true, true), (false, false), (false, true)] {
            let day = Day { resident, companies, people, binned };
            // A resident process asks once for the account.
            let requests = day.reckoned() + u64::from(resident);
            let row = format!("| {} |", grouped(requests));
            assert!(page.contains(&row), "{day:?} costs {requests}, and the page has no such row");
            assert!(people > 100_000 || requests * 20 <= 250_000, "{day:?}: {requests}");
        }
    }
}

#[test]
fn a_resident_process_costs_what_is_reckoned() {
    for (companies, people) in [(false, 1_000), (true, 200)] {
        count(Day { resident: true, companies, people, binned: 30 });
    }
}

#[test]
fn a_timers_processes_cost_what_is_reckoned() {
    count(Day { resident: false, companies: true, people: 100, binned: 30 });
}

/// Lives through a day, and counts.
fn count(day: Day) {
    in_virtual_time(async {
        let firm = portal(if day.companies { "map.company = { from = \"company.name\" }" } else { "" });
        let hubspot = &firm.sandbox.hubspot;
        let employer = crate::scenarios::salesforce::company("Nordic");
        let ids = people(hubspot, usize::try_from(day.people + day.binned).expect("few"));
        for id in &ids {
            hubspot.edit(id, |person| person.company = Some(employer.clone()));
        }
        let (binned, _) = ids.split_at(usize::try_from(day.binned).expect("few"));
        binned.iter().for_each(|id| assert!(hubspot.delete(id)));
        firm.wait(Duration::from_secs(3600)).await;
        let mut parts = firm.start().await;
        sync_one(&parts, "hubspot").await;
        let mut sweeps = 0;
        let (mut before, mut polled) = (0, 0);
        // From the third hour on, so that the first readings are over; the one sweep of the day lies within.
        for turn in 0..POLLS + 24 {
            firm.wait(EVERY).await;
            if turn == 24 {
                (before, polled) = (hubspot.requests().total, turn);
            }
            let report = if day.resident {
                sync_one(&parts, "hubspot").await
            } else {
                parts.engine.ledger.close().await;
                let report = sync(&firm).await;
                parts = firm.start().await;
                report
            };
            assert!(report.is_green(), "{report:?}");
            sweeps += report.passes.iter().filter(|pass| pass.kind == PassKind::Sweep).count();
        }
        parts.engine.ledger.close().await;
        assert_eq!((sweeps, POLLS + 24 - polled), (1, POLLS));
        assert_eq!(hubspot.requests().total - before, day.reckoned(), "{day:?} {:?}", hubspot.requests());
    });
}

/// With a comma before each three digits, as the pages write numbers.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
