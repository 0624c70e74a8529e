//! Salesforce rows that show late and tie in bulk: 213 people on 47 stamps, pages of 50, edits while a poll pages. Real
//! orgs look so (of 213 contacts of one, 47 stamps were distinct). What shows within the overlap the polls must find by
//! themselves, and what shows later the sweep.

use std::time::Duration;

use propsync::domain::pass::PassKind;
use propsync::sync::report::SourceReport;

use crate::simulation::seeds;
use crate::support::{Firm, all_green, epoch, in_virtual_time, person, sync_one};

/// Of a thousand, nobody was missed.
const SEEDS: u64 = 20;
const PEOPLE: usize = 213;
const STAMPS: u64 = 47;
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn half_of_the_seeds_miss_nobody_who_shows_nine_minutes_late() {
    run(0);
}
#[test]
fn the_other_half_miss_nobody_either() {
    run(1);
}

fn run(half: u64) {
    let broken: Vec<String> = seeds(SEEDS, 2, half)
        .filter_map(|seed| {
            let missed = in_virtual_time(Org::new(seed).live());
            (!missed.is_empty()).then(|| format!("seed {seed}: {}", missed.join(", ")))
        })
        .collect();
    assert!(broken.is_empty(), "PROPSYNC_SEED=<seed> repeats one of these\n{}", broken.join("\n"));
}

#[test]
fn who_shows_twenty_five_minutes_late_is_found_by_the_sweep() {
    in_virtual_time(async {
        let org = Org::new(1);
        // Without the server's own word on open transactions, nothing but the sweep can know.
        org.firm.sandbox.salesforce.admit_open_transactions(false);
        org.poll().await;
        let stamp = org.firm.clock.now();
        let anna = person("Anna", "Berg", "anna@berg.example");
        let id = org.firm.sandbox.salesforce.add_visible_at(&anna, stamp, stamp + 25 * MINUTE);
        for _ in 0..12 {
            org.firm.wait(5 * MINUTE).await;
            org.poll().await;
        }
        assert_eq!(org.missed(), std::slice::from_ref(&id), "an hour of polls does not see her");
        org.firm.wait(24 * 60 * MINUTE).await;
        let report = org.poll().await;
        assert!(report.passes.iter().any(|pass| pass.kind == PassKind::Sweep));
        assert_eq!(org.missed(), Vec::<String>::new());
    });
}

#[test]
fn the_servers_own_bound_waits_for_a_transaction_of_any_length() {
    in_virtual_time(async {
        let org = Org::new(2);
        org.poll().await;
        let stamp = org.firm.clock.now();
        let anna = person("Anna", "Berg", "anna@berg.example");
        org.firm.sandbox.salesforce.add_visible_at(&anna, stamp, stamp + 45 * MINUTE);
        for _ in 0..12 {
            org.firm.wait(5 * MINUTE).await;
            let report = org.poll().await;
            assert!(report.passes.iter().all(|pass| pass.kind != PassKind::Sweep));
        }
        assert_eq!(org.missed(), Vec::<String>::new(), "no poll went past the open transaction");
    });
}

/// A firm with one CRM.
struct Org {
    firm: Firm,
    rng: fastrand::Rng,
}

impl Org {
    fn new(seed: u64) -> Self {
        let mut firm = Firm::new(seed, |settings| settings.contacts = 0);
        firm.extra.insert("salesforce", "rows_per_query = 50".to_owned());
        firm.sandbox.salesforce.set_page_size_cap(50);
        Self { firm, rng: fastrand::Rng::with_seed(seed) }
    }

    async fn live(mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        if self.rng.bool() {
            self.firm.sandbox.salesforce.admit_open_transactions(false);
        }
        // Pages that are shorter still, so that a query has locators within a page of ours.
        self.firm.sandbox.salesforce.set_page_size_cap(self.rng.usize(10..=50));
        self.poll().await;
        self.plant();
        for _ in 0..8 {
            self.firm.wait(Duration::from_secs(self.rng.u64(120..420))).await;
            let report = self.poll_while_somebody_edits().await;
            if !all_green(&[report]) {
                complaints.push("a poll was not green".to_owned());
            }
        }
        complaints.extend(self.missed());
        complaints
    }

    /// People on few stamps, most of whom show late by up to nine minutes.
    fn plant(&mut self) {
        let began = self.firm.clock.now();
        for number in 0..PEOPLE {
            let stamp = began + Duration::from_secs(self.rng.u64(0..STAMPS) * 7);
            let someone = person("Anna", &format!("Berg{number}"), &format!("a{number}@berg.example"));
            let late = Duration::from_secs(self.rng.u64(0..=9 * 60));
            self.firm.sandbox.salesforce.add_visible_at(&someone, stamp, stamp + late);
        }
    }

    async fn poll(&self) -> SourceReport {
        let parts = self.firm.start().await;
        let report = sync_one(&parts, "salesforce").await;
        parts.engine.ledger.close().await;
        report
    }

    /// A poll, and somebody who edits people between its pages: they move to the end of what is being read.
    async fn poll_while_somebody_edits(&mut self) -> SourceReport {
        let salesforce = self.firm.sandbox.salesforce.clone();
        let ids = salesforce.ids();
        let edits: Vec<String> = (0..self.rng.usize(0..6)).map(|_| ids[self.rng.usize(0..ids.len())].clone()).collect();
        let asked = |kind: &str| salesforce.requests().of(kind);
        let pages = || asked("GET query") + asked("GET more");
        let editor = async {
            let mut seen = pages();
            for id in edits {
                while pages() == seen {
                    tokio::task::yield_now().await;
                }
                seen = pages();
                salesforce.edit(&id, |person| person.title = Some("Partner".to_owned()));
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            report = self.poll() => report,
            () = editor => unreachable!("the editor never ends by itself"),
        }
    }

    /// Whom the CRM holds, and Propstreet does not hold exactly once.
    fn missed(&self) -> Vec<String> {
        let sandbox = &self.firm.sandbox;
        assert!(sandbox.clock.now() > epoch());
        sandbox.salesforce.ids().into_iter().filter(|id| sandbox.propstreet.find("salesforce", id).len() != 1).collect()
    }
}
