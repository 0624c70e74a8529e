//! A Pipedrive company after an import: 2,500 persons with one and the same second, more than five pages of them, and
//! people who are edited, merged, deleted, restored and entered between the pages of the poll that reads them.
//! `PROPSYNC_PEOPLE=n` sets how many the import has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use propsync::domain::pass::PassKind;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::pipedrive::state::DeletedRead;

use crate::simulation::{kinds_of_a_sync, not_once, not_whole, number, seeds};
use crate::support::{Firm, in_virtual_time, person, sync_one};

/// Of 500, nobody was missed.
const SEEDS: u64 = 8;
const IMPORTED: usize = 2_500;
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn half_of_the_seeds_miss_nobody_of_one_second() {
    run(0);
}
#[test]
fn the_other_half_miss_nobody_of_it_either() {
    run(1);
}

fn run(half: u64) {
    let broken: Vec<String> = seeds(SEEDS, 2, half)
        .filter_map(|seed| {
            let found = in_virtual_time(Company::new(seed).live());
            (!found.is_empty()).then(|| format!("seed {seed}:\n  {}", found.join("\n  ")))
        })
        .collect();
    assert!(broken.is_empty(), "PROPSYNC_SEED=<seed> repeats one of these\n{}", broken.join("\n"));
}

/// A firm with one CRM.
struct Company {
    firm: Firm,
    rng: fastrand::Rng,
    /// Everybody there ever was, and whom a merge made them.
    became: BTreeMap<String, Option<String>>,
    deleted: BTreeSet<String>,
    entered: usize,
}

impl Company {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let firm = Firm::new(seed, |settings| {
            settings.contacts = 0;
            settings.requests_per_minute = 1_000_000;
        });
        let pipedrive = &firm.sandbox.pipedrive;
        pipedrive.set_empty_pages([None, Some(3)][rng.usize(0..2)]);
        pipedrive.set_deleted_read([DeletedRead::Shown, DeletedRead::NotFound, DeletedRead::Gone][rng.usize(0..3)]);
        if rng.bool() {
            pipedrive.set_page_size_cap(rng.usize(60..500));
        }
        // A page takes its time on either way, and people go on working meanwhile.
        for fault in [Fault::Delay(Duration::from_millis(700)), Fault::Late(Duration::from_millis(1_300))] {
            pipedrive.faults().add(Rule::new(fault).path("/api/v2/persons").probability(0.6));
        }
        let (became, deleted) = (BTreeMap::new(), BTreeSet::new());
        Self { firm, rng, became, deleted, entered: 0 }
    }

    async fn live(mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        self.enter(20);
        complaints.extend(self.poll_while_things_happen().await);
        self.firm.wait(Duration::from_secs(self.rng.u64(300..2_000))).await;
        self.import(number("PROPSYNC_PEOPLE", IMPORTED));
        for _ in 0..3 {
            complaints.extend(self.poll_while_things_happen().await);
            self.firm.wait(Duration::from_secs(self.rng.u64(60..900))).await;
        }
        for _ in 0..2 {
            self.firm.wait(10 * MINUTE).await;
            if self.poll().await.contains(&PassKind::Sweep) {
                complaints.push("a sweep ran, and may have mended what a poll missed".to_owned());
            }
        }
        complaints.extend(self.missed().into_iter().chain(self.doubled()));
        complaints
    }

    /// Persons of one second, a little before now or in the very second of it; a few show a little late.
    fn import(&mut self, people: usize) {
        let (now, late) = (self.firm.clock.now(), self.rng.u64(0..90));
        let stamp = now - Duration::from_secs(self.rng.u64(0..90));
        for _ in 0..people {
            let someone = self.somebody();
            let pipedrive = &self.firm.sandbox.pipedrive;
            let id = match self.rng.u8(0..20) {
                0 => pipedrive.add_visible_at(&someone, stamp, now + Duration::from_secs(late)),
                _ => pipedrive.add_at(&someone, stamp),
            };
            self.became.insert(id, None);
        }
    }

    /// Newcomers, stamped now.
    fn enter(&mut self, people: usize) {
        for _ in 0..people {
            let someone = self.somebody();
            self.became.insert(self.firm.sandbox.pipedrive.add(&someone), None);
        }
    }

    /// Somebody with a name and an address of their own.
    fn somebody(&mut self) -> propsync::sandbox::people::Person {
        self.entered += 1;
        person("Anna", &format!("Berg{}", self.entered), &format!("a{}@berg.example", self.entered))
    }

    fn living(&self) -> Vec<String> {
        let lives = |(id, into): &(&String, &Option<String>)| into.is_none() && !self.deleted.contains(*id);
        self.became.iter().filter(lives).map(|(id, _)| id.clone()).collect()
    }

    fn something_happens(&mut self) {
        let pipedrive = self.firm.sandbox.pipedrive.clone();
        let living = self.living();
        let [one, other] = [(); 2].map(|()| living[self.rng.usize(0..living.len())].clone());
        match self.rng.u8(0..10) {
            0..2 if pipedrive.merge(&one, &other) => drop(self.became.insert(one, Some(other))),
            2 if pipedrive.delete(&one) => drop(self.deleted.insert(one)),
            3 => {
                if let Some(back) = self.deleted.pop_first() {
                    assert!(pipedrive.restore(&back));
                }
            }
            4 => self.enter(1),
            // Somebody selects many and sets a field: they leave the window that is being read.
            5 => {
                let many = self.rng.usize(1..700);
                living.iter().take(many).for_each(|id| assert!(pipedrive.bump(id)));
            }
            _ => assert!(pipedrive.edit(&one, |person| person.title = Some("Partner".to_owned()))),
        }
    }

    /// A poll, and things that happen between its pages.
    async fn poll_while_things_happen(&mut self) -> Option<String> {
        let parts = self.firm.start().await;
        let report = {
            let life = async {
                for _ in 0..self.rng.usize(0..12) {
                    self.firm.wait(Duration::from_millis(self.rng.u64(1..2_000))).await;
                    self.something_happens();
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                report = sync_one(&parts, "pipedrive") => report,
                () = life => unreachable!("life never ends by itself"),
            }
        };
        parts.engine.ledger.close().await;
        not_whole(&report)
    }

    async fn poll(&self) -> Vec<PassKind> {
        kinds_of_a_sync(&self.firm, "pipedrive").await
    }

    /// Whom the CRM shows, and Propstreet does not hold exactly once.
    fn missed(&self) -> Vec<String> {
        let ids = self.firm.sandbox.pipedrive.ids();
        assert_eq!(
            BTreeSet::from_iter(&ids),
            BTreeSet::from_iter(&self.living()),
            "the story and the look-alike agree"
        );
        not_once(&self.firm, &ids)
    }

    /// Each was entered once with an address of their own: no two contacts may have the same.
    fn doubled(&self) -> Vec<String> {
        let mut addresses = BTreeSet::new();
        let contacts = self.firm.contacts().into_iter();
        contacts
            .filter(|contact| !addresses.insert(contact.email.clone()))
            .map(|contact| format!("two contacts with the address of contact {}", contact.id))
            .collect()
    }
}
