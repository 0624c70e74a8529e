//! Seeded histories of people whom Salesforce merges, converts, bins, purges and takes out of the bin again, in bad weather
//! and with crashes. The oracle is a small book of its own: who became whom, who lives, and who ever was in Propstreet.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use propsync::domain::failure::Reason;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::propstreet::knobs::Knobs;

use crate::simulation::{seeds, weather};
use crate::support::{Firm, in_virtual_time, person, sync, sync_one};

/// Of 400, nobody was lost.
const SEEDS: u64 = 24;

#[test]
fn half_of_the_seeds_lose_nobody_who_leaves_or_becomes_another() {
    run(0);
}
#[test]
fn the_other_half_loses_nobody_either() {
    run(1);
}

fn run(half: u64) {
    let broken: Vec<String> = seeds(SEEDS, 2, half)
        .filter_map(|seed| {
            let found = in_virtual_time(Org::new(seed).live());
            (!found.is_empty()).then(|| format!("seed {seed}:\n  {}", found.join("\n  ")))
        })
        .collect();
    assert!(broken.is_empty(), "PROPSYNC_SEED=<seed> repeats one of these\n{}", broken.join("\n"));
}

struct Org {
    firm: Firm,
    rng: fastrand::Rng,
    /// Everybody there ever was, and whom the CRM made them.
    became: BTreeMap<String, Option<String>>,
    /// Who is in the bin by a deletion.
    binned: BTreeSet<String>,
    /// Who was seen on a contact.
    seen: BTreeSet<String>,
    complaints: Vec<String>,
}

impl Org {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let knobs = Knobs::draw(&mut rng);
        let mut firm = Firm::new(seed, |settings| (settings.contacts, settings.knobs) = (0, knobs));
        firm.extra.insert("salesforce", "leads = true".to_owned());
        firm.sandbox.salesforce.merge_moves_winner(rng.bool());
        firm.sandbox.salesforce.conversion_moves_contact(rng.bool());
        let (became, binned, seen) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { firm, rng, became, binned, seen, complaints: Vec::new() }
    }

    async fn live(mut self) -> Vec<String> {
        (0..12).for_each(|_| self.enter());
        for _ in 0..self.rng.u32(2..=4) {
            weather::storm(&self.firm.sandbox, &mut self.rng);
            self.sync_or_die().await;
            (0..self.rng.usize(0..5)).for_each(|_| self.something_happens());
            self.firm.wait(Duration::from_secs(self.rng.u64(1..3 * 3600))).await;
        }
        weather::clear(&self.firm.sandbox);
        for _ in 0..8 {
            let report = self.sync().await;
            if !report {
                self.complaints.push("not green in fair weather".to_owned());
            }
            self.firm.wait(Duration::from_secs(7 * 3600)).await;
        }
        let before = self.firm.sandbox.propstreet.writes();
        self.sync().await;
        if self.firm.sandbox.propstreet.writes() != before {
            self.complaints.push("a sync with nothing to do wrote to Propstreet".to_owned());
        }
        self.check().await;
        self.complaints
    }

    /// A contact or a lead, with a name and an address of their own.
    fn enter(&mut self) {
        let number = self.became.len();
        let someone = person("Anna", &format!("Berg{number}"), &format!("a{number}@berg.example"));
        let salesforce = &self.firm.sandbox.salesforce;
        let id = if self.rng.u8(0..3) == 0 { salesforce.add_lead(&someone) } else { salesforce.add(&someone) };
        self.became.insert(id, None);
    }

    fn something_happens(&mut self) {
        let salesforce = self.firm.sandbox.salesforce.clone();
        let living = self.living();
        let [one, other] = [(); 2].map(|()| living[self.rng.usize(0..living.len())].clone());
        // The guard lets ten go.
        let may_go = self.binned.len() + self.became.len() - living.len() < 8;
        match self.rng.u8(0..10) {
            0..3 if salesforce.merge(&one, &other) => drop(self.became.insert(other, Some(one))),
            3..5 if one.starts_with("00Q") => {
                let into = Some(other.as_str()).filter(|id| id.starts_with("003"));
                if let Some(contact) = salesforce.convert(&one, into) {
                    self.became.insert(one, Some(contact.clone()));
                    self.became.entry(contact).or_default();
                }
            }
            5 if may_go && salesforce.delete(&one) => drop(self.binned.insert(one)),
            6 if may_go && salesforce.purge(&one) => drop(self.binned.insert(one)),
            7 => {
                let alone =
                    |id: &&String| self.became[*id].is_none() && !self.became.values().flatten().any(|m| m == *id);
                if let Some(back) = self.binned.iter().find(alone).cloned()
                    && salesforce.undelete(&back)
                {
                    self.binned.remove(&back);
                }
            }
            8 if one.starts_with("003") => {
                salesforce.edit(&one, |person| person.title = Some("Partner".to_owned()));
            }
            _ => self.enter(),
        }
    }

    fn living(&self) -> Vec<String> {
        let living = self.became.iter().filter(|(id, master)| master.is_none() && !self.binned.contains(*id));
        living.map(|(id, _)| id.clone()).collect()
    }

    /// Who they are today.
    fn today<'a>(&'a self, mut id: &'a str) -> &'a str {
        while let Some(Some(master)) = self.became.get(id) {
            id = master;
        }
        id
    }

    async fn sync_or_die(&mut self) {
        let parts = self.firm.start().await;
        let end = Duration::from_millis(self.rng.u64(1..90_000));
        drop(tokio::time::timeout(end, sync(&parts)).await);
        drop(parts);
        self.look();
    }

    async fn sync(&mut self) -> bool {
        let parts = self.firm.start().await;
        let report = sync_one(&parts, "salesforce").await;
        parts.engine.ledger.close().await;
        self.look();
        report.is_green()
    }

    fn look(&mut self) {
        self.seen.extend(self.firm.contacts().into_iter().flat_map(|contact| contact.refs).map(|r| r.id));
    }

    async fn check(&mut self) {
        let contacts = self.firm.contacts();
        let mut told = Vec::new();
        let mut contacts_of: BTreeMap<&str, u64> = BTreeMap::new();
        for contact in &contacts {
            let people: BTreeSet<&str> = contact.refs.iter().map(|reference| self.today(&reference.id)).collect();
            if people.len() > 1 {
                told.push(format!("two people on contact {}: {people:?}", contact.id));
            }
            people.into_iter().for_each(|person| *contacts_of.entry(person).or_default() += 1);
        }
        let carries = |id: &String| contacts.iter().filter(|c| c.refs.iter().any(|r| r.id == *id)).count();
        let living = self.living();
        for id in living.iter().chain(&self.seen) {
            if carries(id) != 1 {
                told.push(format!("{id} is on {} contacts: {}", carries(id), self.history(id).await));
            }
        }
        // Whoever has more than one contact was somebody else before, and a person is told of each.
        for id in &living {
            let before: Vec<_> = self
                .became
                .keys()
                .filter(|old| self.today(old) == id)
                .map(|id| ExternalRef::new("salesforce", id))
                .collect();
            let rows = self.firm.rows(&before).await;
            let apart = |told: &propsync::domain::failure::Complaint| told.reason == Reason::MergedInCrm;
            let apart = rows.values().filter(|row| row.complaint.as_ref().is_some_and(apart)).count() as u64;
            let more = contacts_of.get(id.as_str()).map_or(0, |count| count - 1);
            if apart != more {
                let mut histories = Vec::new();
                for old in &before {
                    histories.push(format!("{}: {}", old.id, self.history(&old.id).await));
                }
                let histories = histories.join("\n    ");
                told.push(format!("{id} has {more} contacts more, and {apart} are told of:\n    {histories}"));
            }
        }
        self.complaints.extend(told);
    }

    async fn history(&self, id: &str) -> String {
        self.firm.history(&format!("salesforce:{id}")).await
    }
}
