//! A HubSpot portal at the end of a month: a batch job of the vendor's own stamps everyone with one millisecond, the
//! search index follows up to twenty minutes late, and people are merged, edited and entered between the pages of a poll.
//! What shows within an hour the polls and their trail must find by themselves, and what shows later the sweep.
//! `PROPSYNC_PEOPLE=n` sets how many there are, and `PROPSYNC_MONTHS=n` how many months each portal lives through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use propsync::domain::pass::PassKind;
use propsync::sandbox::hubspot::rates::Allowances;
use propsync::sandbox::hubspot::state::MergedRead;

use crate::simulation::{kinds_of_a_sync, not_once, not_whole, number, seeds};
use crate::support::{Firm, in_virtual_time, person, sync_one};

const SEEDS: u64 = 12;
const PEOPLE: usize = 450;
const MINUTE: Duration = Duration::from_secs(60);
const LATE: Duration = Duration::from_secs(20 * 60);

#[test]
fn half_of_the_seeds_miss_nobody_on_one_millisecond() {
    run(0);
}
#[test]
fn the_other_half_miss_nobody_on_it_either() {
    run(1);
}

fn run(half: u64) {
    let broken: Vec<String> = seeds(SEEDS, 2, half)
        .filter_map(|seed| {
            let found = in_virtual_time(async { Portal::new(seed).live().await });
            (!found.is_empty()).then(|| format!("seed {seed}:\n  {}", found.join("\n  ")))
        })
        .collect();
    assert!(broken.is_empty(), "PROPSYNC_SEED=<seed> repeats one of these\n{}", broken.join("\n"));
}

#[test]
fn who_shows_three_hours_late_is_found_by_the_sweep() {
    in_virtual_time(async {
        let mut portal = Portal::new(1);
        portal.enter(3);
        portal.poll().await;
        portal.firm.wait(30 * MINUTE).await;
        portal.firm.sandbox.hubspot.set_search_lag(180 * MINUTE);
        portal.enter(1);
        for _ in 0..12 * 6 {
            portal.firm.wait(5 * MINUTE).await;
            let kinds = portal.poll().await;
            assert!(!kinds.contains(&PassKind::Sweep));
        }
        assert_eq!(portal.missed().len(), 1, "neither the polls of six hours nor their trail see her");
        portal.firm.wait(24 * 60 * MINUTE).await;
        assert!(portal.poll().await.contains(&PassKind::Sweep));
        assert_eq!(portal.missed(), Vec::<String>::new());
    });
}

#[test]
fn who_shows_fifty_minutes_late_is_found_by_the_trail_alone() {
    in_virtual_time(async {
        let mut portal = Portal::new(2);
        portal.enter(3);
        portal.poll().await;
        portal.firm.wait(30 * MINUTE).await;
        portal.firm.sandbox.hubspot.set_search_lag(50 * MINUTE);
        portal.enter(1);
        let mut found_by = None;
        for _ in 0..12 * 3 {
            portal.firm.wait(5 * MINUTE).await;
            let kinds = portal.poll().await;
            if found_by.is_none() && portal.missed().is_empty() {
                found_by = Some(kinds);
            }
        }
        let kinds = found_by.expect("within three hours she is found");
        assert!(kinds.contains(&PassKind::Trail) && !kinds.contains(&PassKind::Sweep), "{kinds:?}");
    });
}

/// A firm with one CRM.
struct Portal {
    firm: Firm,
    rng: fastrand::Rng,
    /// Everybody there ever was, and whom a merge made them.
    became: BTreeMap<String, Option<String>>,
    entered: usize,
}

impl Portal {
    fn new(seed: u64) -> Self {
        let firm = Firm::new(seed, |settings| {
            settings.contacts = 0;
            settings.requests_per_minute = 1_000_000;
        });
        let mut rng = fastrand::Rng::with_seed(seed);
        let hubspot = &firm.sandbox.hubspot;
        hubspot.set_random_search_lag(LATE);
        hubspot.set_merged_read([MergedRead::Survivor, MergedRead::NotFound, MergedRead::Silence][rng.usize(0..3)]);
        hubspot.set_allowances(Allowances {
            searches_a_second: Some(5),
            requests_in_ten_seconds: Some([100, 190][rng.usize(0..2)]),
            today: Some(1_000_000),
        });
        Self { firm, rng, became: BTreeMap::new(), entered: 0 }
    }

    async fn live(mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        self.enter(number("PROPSYNC_PEOPLE", PEOPLE));
        complaints.extend(self.poll_while_things_happen().await);
        for month in 0..number("PROPSYNC_MONTHS", 1) {
            if month > 0 {
                // A day later a sweep runs, and the next is a day away.
                self.firm.wait(25 * 60 * MINUTE).await;
                self.poll().await;
            }
            self.firm.wait(Duration::from_secs(self.rng.u64(60..3600))).await;
            complaints.extend(self.month_ends().await);
            complaints.extend(self.missed().into_iter().chain(self.doubled()).map(|told| format!("{month}: {told}")));
        }
        complaints
    }

    /// The end of a month, and what polls and their trail see of it within a few hours.
    async fn month_ends(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        self.stamp_everyone();
        for _ in 0..6 {
            complaints.extend(self.poll_while_things_happen().await);
            self.firm.wait(Duration::from_secs(self.rng.u64(120..420))).await;
        }
        for _ in 0..5 {
            self.firm.wait(30 * MINUTE).await;
            if self.poll().await.contains(&PassKind::Sweep) {
                complaints.push("a sweep ran, and may have mended what a poll missed".to_owned());
            }
        }
        complaints
    }

    /// Newcomers, all stamped now.
    fn enter(&mut self, people: usize) {
        for _ in 0..people {
            self.entered += 1;
            let someone = person("Anna", &format!("Berg{}", self.entered), &format!("a{}@berg.example", self.entered));
            self.became.insert(self.firm.sandbox.hubspot.add(&someone), None);
        }
    }

    /// Everyone is stamped with this millisecond, newcomers among them; the index learns of each in its own time.
    fn stamp_everyone(&mut self) {
        let living = self.living();
        self.firm.sandbox.hubspot.batch_job(&living);
        self.enter(living.len() / 60);
    }

    fn living(&self) -> Vec<String> {
        self.became.iter().filter(|(_, into)| into.is_none()).map(|(id, _)| id.clone()).collect()
    }

    fn something_happens(&mut self) {
        let hubspot = self.firm.sandbox.hubspot.clone();
        let living = self.living();
        let [one, other] = [(); 2].map(|()| living[self.rng.usize(0..living.len())].clone());
        match self.rng.u8(0..6) {
            0..3 => {
                if let Some(survivor) = hubspot.merge(&one, &other) {
                    self.became.insert(survivor.clone(), None);
                    self.became.extend([one, other].map(|old| (old, Some(survivor.clone()))));
                }
            }
            3..5 => assert!(hubspot.edit(&one, |person| person.title = Some("Partner".to_owned()))),
            _ => self.enter(1),
        }
    }

    /// A poll, and things that happen while it waits for its turn to search, or for room within the limits.
    async fn poll_while_things_happen(&mut self) -> Option<String> {
        let parts = self.firm.start().await;
        let report = {
            let life = async {
                for _ in 0..self.rng.usize(0..8) {
                    self.firm.wait(Duration::from_millis(self.rng.u64(1..2_000))).await;
                    self.something_happens();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                report = sync_one(&parts, "hubspot") => report,
                () = life => unreachable!("life never ends by itself"),
            }
        };
        parts.engine.ledger.close().await;
        not_whole(&report)
    }

    async fn poll(&self) -> Vec<PassKind> {
        kinds_of_a_sync(&self.firm, "hubspot").await
    }

    /// Whom the CRM holds, and Propstreet does not hold exactly once.
    fn missed(&self) -> Vec<String> {
        let ids = self.firm.sandbox.hubspot.ids();
        assert_eq!(
            BTreeSet::from_iter(&ids),
            BTreeSet::from_iter(&self.living()),
            "the story and the look-alike agree"
        );
        not_once(&self.firm, &ids)
    }

    /// Each person entered once with an address of their own: no two contacts may have the same, and nobody's contact may
    /// carry another's reference.
    fn doubled(&self) -> Vec<String> {
        let today = |id: &String| {
            let mut id = id;
            while let Some(Some(into)) = self.became.get(id) {
                id = into;
            }
            id.clone()
        };
        let mut found = Vec::new();
        let mut addresses = BTreeSet::new();
        for contact in self.firm.contacts() {
            if !addresses.insert(contact.email.clone()) {
                found.push(format!("two contacts with the address of contact {}", contact.id));
            }
            let people: BTreeSet<String> = contact.refs.iter().map(|reference| today(&reference.id)).collect();
            if people.len() != 1 {
                found.push(format!("contact {} is {people:?}", contact.id));
            }
        }
        found
    }
}
