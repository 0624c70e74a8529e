//! A day's tokens and what else Pipedrive allows, as stories over the whole stack: whoever is stopped by a limit goes on by
//! himself, and nobody is lost by it.

use std::time::Duration;

use propsync::assembly::Parts;
use propsync::domain::spending::Spending;
use propsync::ledger::Ledger;
use propsync::sandbox::faults::Rule;
use propsync::sandbox::pipedrive::model::Pipedrive;
use propsync::sandbox::pipedrive::rates::Rates;
use propsync::sandbox::pipedrive::troubles;
use propsync::sync::report::SourceReport;

use crate::support::{Firm, epoch, in_virtual_time, person, sync_one};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// What the look-alike has a day in these stories: a fifth of it is 1,800.
const A_DAY: u64 = 9_000;

/// A company with these people, one a page, that is configured with these lines.
fn company(people: usize, lines: &str) -> Firm {
    let mut firm = Firm::new(1, |settings| settings.contacts = 0);
    firm.extra.insert("pipedrive", lines.to_owned());
    let pipedrive = &firm.sandbox.pipedrive;
    pipedrive.with_rates(|rates| rates.daily = Some(A_DAY));
    pipedrive.set_page_size_cap(1);
    // Long before the first poll's overlap, which would read them too.
    let stamp = epoch() - chrono::TimeDelta::days(9);
    for n in 0..people {
        pipedrive.add_at(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")), stamp);
    }
    firm
}

/// One sync, with a fresh start and a clean end.
async fn sync(firm: &Firm) -> SourceReport {
    let parts = firm.start().await;
    let report = sync_one(&parts, "pipedrive").await;
    parts.engine.ledger.close().await;
    report
}

/// Why a sync did not come to its end.
fn stopped(report: SourceReport) -> String {
    report.error.expect("it stops").to_string()
}

/// What a sync in a process that stays was stopped by, and the calls it made before.
async fn stopped_after(parts: &Parts, pipedrive: &Pipedrive) -> (String, u64) {
    pipedrive.reset_counts();
    let words = stopped(sync_one(parts, "pipedrive").await);
    (words, pipedrive.requests().total)
}

async fn spending(firm: &Firm) -> Spending {
    let ledger = Ledger::open_for_reading(&firm.ledger_path()).await.expect("a ledger");
    let spending = ledger.spent("pipedrive", firm.clock.now()).await.expect("rows");
    ledger.close().await;
    spending
}

fn rates(firm: &Firm) -> Rates {
    let mut rates = Rates::default();
    firm.sandbox.pipedrive.with_rates(|now| rates = now.clone());
    rates
}

#[test]
fn a_source_stops_at_its_share_and_goes_on_a_day_later_with_nobody_lost() {
    in_virtual_time(async {
        let firm = company(250, "budget_share = 20");
        let words = stopped(sync(&firm).await);
        for told in
            ["share of Pipedrive's tokens is used up", "budget_share = 20 percent of the company's 9000 is 1800"]
        {
            assert!(words.contains(told), "{words}");
        }
        assert!(words.contains("backfill_share"), "{words}");
        let spent = rates(&firm).spent();
        assert!((1_791..=1_800).contains(&spent), "{spent}");
        assert_eq!(spending(&firm).await.used.everyday.units, spent, "the look-alike counts by a table of its own");
        let asked = firm.sandbox.pipedrive.requests().total;
        for _ in 0..3 {
            firm.wait(HOUR).await;
            let words = stopped(sync(&firm).await);
            // What the first hour used comes back when it is a day old.
            assert!(words.contains("from 2026-11-03T09:00Z, or raise budget_share"), "{words}");
        }
        let asked_since = firm.sandbox.pipedrive.requests().total - asked;
        assert!(asked_since <= 3, "who we are, as long as that fits, and nothing more: {asked_since}");
        assert!(rates(&firm).spent() <= 1_800);
        firm.wait(23 * HOUR).await;
        let report = sync(&firm).await;
        assert!(report.is_green(), "{report:?}");
        assert_eq!(firm.contacts().len(), 250);
    });
}

#[test]
fn a_backfill_with_a_share_of_its_own_keeps_nobody_from_hearing_of_changes() {
    in_virtual_time(async {
        let firm = company(150, "budget_share = 20\nbackfill_share = 10");
        let pipedrive = &firm.sandbox.pipedrive;
        let words = stopped(sync(&firm).await);
        assert!(words.contains("backfill_share = 10 percent of the company's 9000 is 900"), "{words}");
        assert_eq!(firm.contacts().len(), 90);
        for n in 1..=3 {
            firm.wait(HOUR).await;
            pipedrive.add(&person("Nils", &format!("Dahl{n}"), &format!("n{n}@dahl.example")));
            firm.wait(HOUR).await;
            let words = stopped(sync(&firm).await);
            assert!(words.contains("backfill_share"), "{words}");
            assert_eq!(firm.contacts().len(), 90 + n, "a new process polls on, and reads no more of the others");
        }
        let used = spending(&firm).await.used;
        assert_eq!(used.backfill.units, 900, "{used:?}");
        assert!(used.everyday.units < 300, "{used:?}");
        assert_eq!(used.backfill.units + used.everyday.units, rates(&firm).spent());
        firm.wait(20 * HOUR).await;
        let report = sync(&firm).await;
        assert!(report.is_green(), "{report:?}");
        assert_eq!(firm.contacts().len(), 153);
    });
}

#[test]
fn a_burst_is_waited_out_before_it_becomes_a_block() {
    for headers in [true, false] {
        in_virtual_time(async {
            let firm = company(60, "");
            firm.sandbox.pipedrive.with_rates(|rates| {
                (rates.burst, rates.headers, rates.patience) = (Some(4), headers, Some(6));
            });
            let report = sync(&firm).await;
            assert!(report.is_green(), "{report:?}");
            assert_eq!(firm.contacts().len(), 60);
            assert!(!rates(&firm).blocked);
        });
    }
}

#[test]
fn a_day_that_others_have_used_up_is_asked_about_by_a_call_that_costs_little() {
    in_virtual_time(async {
        let firm = company(3, "");
        let pipedrive = &firm.sandbox.pipedrive;
        let parts = firm.start().await;
        assert!(sync_one(&parts, "pipedrive").await.is_green());
        pipedrive.add(&person("Nils", "Dahl", "nils@dahl.example"));
        pipedrive.exhaust_budget();
        firm.wait(HOUR).await;
        let (words, calls) = stopped_after(&parts, pipedrive).await;
        assert!(words.contains("used up; nothing is sent for 30 min, until 2026-11-02T09:3"), "{words}");
        assert_eq!(calls, 1);
        for _ in 0..2 {
            firm.wait(10 * MINUTE).await;
            let (again, calls) = stopped_after(&parts, pipedrive).await;
            assert_eq!((again, calls), (words.clone(), 0), "and says the same until then");
        }
        firm.wait(11 * MINUTE).await;
        let (_, calls) = stopped_after(&parts, pipedrive).await;
        assert_eq!((calls, pipedrive.requests().by_kind.len()), (1, 1), "{:?}", pipedrive.requests());
        assert!(pipedrive.requests().by_kind.keys().all(|kind| kind.contains("me")), "{:?}", pipedrive.requests());
        firm.wait(16 * HOUR).await;
        assert!(sync_one(&parts, "pipedrive").await.is_green());
        assert_eq!(firm.contacts().len(), 4);
        parts.engine.ledger.close().await;
    });
}

#[test]
fn a_firewall_that_turns_us_away_is_left_alone_for_an_hour() {
    in_virtual_time(async {
        let firm = company(3, "");
        let pipedrive = &firm.sandbox.pipedrive;
        let parts = firm.start().await;
        pipedrive.set_blocked(true);
        for calls in [1, 0, 0, 1] {
            let (words, made) = stopped_after(&parts, pipedrive).await;
            assert!(words.contains("firewall turns this machine away"), "{words}");
            assert_eq!(made, calls);
            firm.wait(21 * MINUTE).await;
        }
        pipedrive.set_blocked(false);
        firm.wait(HOUR).await;
        assert!(sync_one(&parts, "pipedrive").await.is_green());
        assert_eq!(firm.contacts().len(), 3);
        parts.engine.ledger.close().await;
    });
}

#[test]
fn a_schedule_that_does_not_fit_is_refused_before_anybody_is_read() {
    in_virtual_time(async {
        let firm = company(3, "budget_share = 1");
        let words = format!("{:?}", sync(&firm).await.error.expect("a fault"));
        assert!(words.contains("144 polls a day at 10 tokens") && words.contains("raise budget_share to"), "{words}");
        assert_eq!(firm.sandbox.pipedrive.requests().total, 1, "who we are, and no more");
        assert_eq!(firm.contacts().len(), 0);
    });
}

/// A quarter is 2,250, and a day of polls costs 1,720: what is left reads 53 people a day.
#[test]
fn a_sweep_too_large_for_the_day_spreads_over_days_and_leaves_polls_their_part() {
    in_virtual_time(async {
        let firm = company(100, "budget_share = 25\nbackfill_share = 40");
        let pipedrive = &firm.sandbox.pipedrive;
        assert!(sync(&firm).await.is_green());
        let last = pipedrive.ids().pop().expect("somebody");
        assert!(pipedrive.delete(&last));
        let (mut gone, mut most) = (0, 0);
        // An hour at a time, as polls of a coarse schedule would; the first sweep is due after a day.
        for n in 0..24 * 6 {
            firm.wait(HOUR).await;
            if n % 24 == 0 {
                pipedrive.add(&person("Nils", &format!("Dahl{n}"), &format!("n{n}@dahl.example")));
            }
            let before = rates(&firm).spent();
            let report = sync(&firm).await;
            assert!(report.is_green(), "hour {n}: {report:?}");
            most = most.max(rates(&firm).spent().saturating_sub(before));
            gone += report.gone.gone();
        }
        assert_eq!((gone, firm.contacts().len()), (1, 106));
        let leisure = spending(&firm).await.used.leisure.units;
        assert!(most < 600 && leisure <= 530, "a sync spends {most} at most, and a day's sweep {leisure}");
    });
}

#[test]
fn a_company_that_has_not_paid_is_asked_once_an_hour() {
    in_virtual_time(async {
        let firm = company(3, "");
        let pipedrive = &firm.sandbox.pipedrive;
        let parts = firm.start().await;
        pipedrive.faults().add(Rule::new(troubles::payment_required()));
        for calls in [1, 0, 0, 1] {
            let (words, made) = stopped_after(&parts, pipedrive).await;
            assert!(words.contains("402") && words.contains("billing page"), "{words}");
            assert_eq!(made, calls);
            firm.wait(21 * MINUTE).await;
        }
        pipedrive.faults().clear();
        firm.wait(HOUR).await;
        assert!(sync_one(&parts, "pipedrive").await.is_green());
        parts.engine.ledger.close().await;
    });
}

#[test]
fn an_epoch_for_a_reset_is_no_reason_to_wait_for_years() {
    in_virtual_time(async {
        let firm = company(60, "");
        firm.sandbox.pipedrive.with_rates(|rates| {
            (rates.burst, rates.reset_is_epoch, rates.patience) = (Some(4), true, Some(6));
        });
        let report = sync(&firm).await;
        assert!(report.is_green(), "{report:?}");
        assert!(report.took < 10 * MINUTE && !rates(&firm).blocked, "{:?}", report.took);
    });
}
