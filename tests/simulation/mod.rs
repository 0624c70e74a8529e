//! Seeded histories in virtual time: the real engine, adapters, clients and ledger file; faults, crashes at any await,
//! people who change and delete things meanwhile. When all is well again, an oracle that shares no code with the engine
//! says what Propstreet must hold. A failing seed is printed; `PROPSYNC_SEED=n cargo test simulation` runs it again, and
//! `PROPSYNC_SEEDS=n` runs the first n.

mod changing;
mod city;
mod colleagues;
mod import;
mod judgement;
mod late;
mod leaving;
mod oracle;
mod portal;
mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use propsync::domain::pass::{Outcome, PassKind};
use propsync::domain::plan::Standing;
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef, Labelled};
use propsync::sandbox::propstreet::knobs::Knobs;
use propsync::sandbox::truth::{Fate, Group};
use propsync::sync::report::SourceReport;

use crate::support::{Firm, in_virtual_time, sync, sync_one};

const SEEDS: u64 = 100;

// Four tests share the seeds, so that the test runner spreads them over the processors.
#[test]
fn a_quarter_of_the_seeds_keeps_the_promises() {
    run_seeds(0);
}
#[test]
fn another_quarter_keeps_them() {
    run_seeds(1);
}
#[test]
fn a_third_quarter_keeps_them() {
    run_seeds(2);
}
#[test]
fn the_last_quarter_keeps_them() {
    run_seeds(3);
}

#[test]
fn a_seed_runs_the_same_twice() {
    let one = in_virtual_time(Prologue::new(7).live());
    let two = in_virtual_time(Prologue::new(7).live());
    assert_eq!(one, two);
}

/// What a variable says, or what is usual.
fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// One sync of one source by a fresh start: the passes it consisted of.
async fn kinds_of_a_sync(firm: &Firm, source: &str) -> Vec<PassKind> {
    let parts = firm.start().await;
    let report = sync_one(&parts, source).await;
    parts.engine.ledger.close().await;
    report.passes.iter().map(|pass| pass.kind).collect()
}

/// Who of these a CRM shows, and Propstreet does not hold exactly once.
fn not_once(firm: &Firm, ids: &[String]) -> Vec<String> {
    let mut carried: BTreeMap<String, usize> = BTreeMap::new();
    for reference in firm.contacts().into_iter().flat_map(|contact| contact.refs) {
        *carried.entry(reference.id).or_default() += 1;
    }
    let times = |id: &String| carried.get(id).copied().unwrap_or(0);
    ids.iter().filter(|id| times(id) != 1).map(|id| format!("{id} is on {} contacts", times(id))).collect()
}

fn not_whole(report: &SourceReport) -> Option<String> {
    let whole = report.complete && report.counts.balanced();
    (!whole).then(|| format!("a poll was not read to its end: {:?}", report.error.as_ref().map(ToString::to_string)))
}

/// The seeds of one share of all; so many where nobody says how many.
fn seeds(usual: u64, shares: u64, share: u64) -> impl Iterator<Item = u64> {
    let asked = |variable| std::env::var(variable).ok().and_then(|number| number.parse().ok());
    let seeds = match asked("PROPSYNC_SEED") {
        Some(seed) => seed..seed + u64::from(share == 0),
        None => 0..asked("PROPSYNC_SEEDS").unwrap_or(usual),
    };
    let only = std::env::var_os("PROPSYNC_SEED").is_some();
    seeds.filter(move |seed| only || seed % shares == share)
}

fn run_seeds(quarter: u64) {
    let broken: Vec<String> = seeds(SEEDS, 4, quarter)
        .filter_map(|seed| {
            let found = in_virtual_time(Prologue::new(seed).live()).complaints;
            (!found.is_empty()).then(|| format!("seed {seed}:\n  {}", found.join("\n  ")))
        })
        .collect();
    assert!(broken.is_empty(), "PROPSYNC_SEED=<seed> repeats one of these\n{}", broken.join("\n"));
}

/// What a history came to; equal for equal seeds.
#[derive(Debug, PartialEq, Eq)]
struct Account {
    complaints: Vec<String>,
    crashes: u32,
    requests: u64,
    writes: propsync::sandbox::propstreet::model::Writes,
}

struct Story {
    firm: Firm,
    rng: fastrand::Rng,
    /// Those whom Propstreet held before: once their name is misspelt in the CRM, nobody may take them for the same.
    held_before: BTreeSet<String>,
}

impl Story {
    async fn live(mut self) -> Account {
        let mut account = Account { complaints: Vec::new(), crashes: 0, requests: 0, writes: Default::default() };
        self.plant_what_propstreet_holds_already();
        for _ in 0..self.rng.u32(2..=4) {
            weather::storm(&self.firm.sandbox, &mut self.rng);
            self.firm.sandbox.change(self.rng.usize(0..6));
            self.somebody_deletes_a_contact();
            if self.rng.u8(0..10) < 6 {
                account.crashes += u32::from(self.sync_and_crash().await);
            } else {
                let reports = self.firm.sync().await;
                account.complaints.extend(open_books(&reports));
            }
            self.firm.wait(Duration::from_secs(self.rng.u64(1..3600))).await;
        }
        weather::clear(&self.firm.sandbox);
        self.heal(&mut account).await;
        account.writes = self.firm.sandbox.propstreet.writes();
        account.requests = self.firm.sandbox.propstreet.requests().total;
        account
    }

    /// Half of the refs and some of the addresses may be there before us, spelled as an import wizard would.
    fn plant_what_propstreet_holds_already(&mut self) {
        let share = [0, 0, 30, 60][self.rng.usize(0..4)];
        for group in self.firm.sandbox.truth().groups() {
            if group.fate != Fate::OneContact || self.rng.u32(0..100) >= share {
                continue;
            }
            if let Some(contact) = planted(&group, &mut self.rng) {
                self.held_before.extend(group.records.iter().map(|known| shown(&known.reference)));
                self.firm.sandbox.propstreet.plant(contact);
            }
        }
    }

    /// A person's deletion is respected: nobody comes back.
    fn somebody_deletes_a_contact(&mut self) {
        if self.rng.u8(0..4) > 0 {
            return;
        }
        let live: Vec<Contact> = self.firm.sandbox.propstreet.contacts().into_iter().filter(Contact::is_live).collect();
        let Some(contact) = live.get(self.rng.usize(0..live.len().max(1))) else { return };
        let ours: Vec<&ExternalRef> = contact.refs.iter().filter(|r| known(&self.firm, r)).collect();
        // Only whole groups: who stays of a pair that shared an address is the program's choice.
        let Some(first) = ours.first() else { return };
        let group = self.firm.sandbox.truth().groups().into_iter().find(|group| {
            group.fate == Fate::OneContact && group.records.iter().any(|known| known.reference.key() == first.key())
        });
        if group.is_some_and(|group| group.records.len() == ours.len()) {
            self.firm.sandbox.truth().set_fate(first, Fate::Gone);
            self.firm.sandbox.propstreet.delete(contact.id);
        }
    }

    /// A sync that dies at a random instant: the future is dropped at whatever it awaits.
    async fn sync_and_crash(&mut self) -> bool {
        let parts = self.firm.start().await;
        let end = Duration::from_millis(self.rng.u64(1..60_000));
        let crashed = tokio::time::timeout(end, sync(&parts)).await.is_err();
        drop(parts);
        crashed
    }

    /// Everything works again: within a day of syncs all is settled, and after that nothing moves.
    async fn heal(&mut self, account: &mut Account) {
        let mut last = Vec::new();
        for _ in 0..8 {
            last = self.firm.sync().await;
            account.complaints.extend(open_books(&last));
            account.complaints.extend(last.iter().filter(|r| !r.is_green()).map(|r| {
                format!("{}: not green in fair weather: {:?}", r.name, r.error.as_ref().map(ToString::to_string))
            }));
            self.firm.wait(Duration::from_secs(4 * 3600)).await;
        }
        let deferred: u64 = last.iter().map(|report| report.counts.of(Outcome::Deferred)).sum();
        if deferred > 0 {
            account.complaints.push(format!("{deferred} records are still deferred a day later"));
        }
        let before = self.firm.sandbox.propstreet.writes();
        self.firm.sync().await;
        if self.firm.sandbox.propstreet.writes() != before {
            account.complaints.push("a sync with nothing to do wrote to Propstreet".to_owned());
        }
        let report = self.firm.sandbox.check();
        for missing in report.missing.iter().filter(|missing| !self.may_be_put_aside(missing)) {
            let told = self.firm.history(missing).await;
            account.complaints.push(format!("missing {missing}: {told}"));
        }
        account.complaints.extend(self.wrong_rows().await);
        account.complaints.extend(report.duplicates.iter().map(|r| format!("duplicate {r}")));
        account.complaints.extend(report.wrong.iter().map(|r| format!("wrong {r}")));
    }
}

impl Story {
    /// The ledger must know of every reference of ours in Propstreet, and lead to the very contact that carries it.
    async fn wrong_rows(&self) -> Vec<String> {
        let contacts = self.firm.contacts();
        let rows = self.firm.rows(contacts.iter().flat_map(|contact| &contact.refs)).await;
        let mut wrong = Vec::new();
        for contact in &contacts {
            let ours = contact.refs.iter().filter(|reference| known(&self.firm, reference));
            for reference in ours.filter(|reference| !self.may_be_put_aside(&shown(reference))) {
                let row = rows.get(&self.firm.key(reference));
                let leads_to = row.and_then(|row| row.propstreet_id.as_deref());
                let settled = row.is_some_and(|row| matches!(row.standing, Standing::Settled { .. }));
                if !settled || leads_to != Some(&contact.id.to_string()) {
                    let told = self.firm.history(&shown(reference)).await;
                    wrong.push(format!(
                        "{}: on contact {}, ledger says {leads_to:?}: {told}",
                        shown(reference),
                        contact.id
                    ));
                }
            }
        }
        wrong
    }

    fn may_be_put_aside(&self, reference: &str) -> bool {
        let groups = self.firm.sandbox.truth().groups();
        let records = groups.iter().flat_map(|group| &group.records);
        let names: BTreeSet<&str> = records
            .filter(|known| shown(&known.reference) == reference)
            .flat_map(|known| known.forms.iter().map(|form| form.first.as_str()))
            .collect();
        self.held_before.contains(reference) && names.len() > 1
    }
}

fn shown(reference: &ExternalRef) -> String {
    format!("{}:{}", reference.namespace.to_lowercase(), reference.id)
}

/// A story is set up inside the runtime, because its clock starts there.
struct Prologue {
    seed: u64,
}

impl Prologue {
    fn new(seed: u64) -> Self {
        Self { seed }
    }

    async fn live(self) -> Account {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let contacts = rng.usize(8..=40);
        let knobs = Knobs::draw(&mut rng);
        let firm = Firm::new(self.seed, |settings| {
            settings.contacts = contacts;
            settings.knobs = knobs;
        });
        Story { firm, rng, held_before: BTreeSet::new() }.live().await
    }
}

fn open_books(reports: &[SourceReport]) -> Vec<String> {
    let unbalanced = |report: &&SourceReport| {
        !report.counts.balanced() || report.passes.iter().any(|pass| report.error.is_none() && !pass.counts.balanced())
    };
    reports.iter().filter(unbalanced).map(|r| format!("{}: the books are open: {:?}", r.name, r.counts)).collect()
}

fn known(firm: &Firm, reference: &ExternalRef) -> bool {
    ["salesforce", "hubspot", "pipedrive"].contains(&reference.namespace.to_lowercase().as_str())
        && firm.sandbox.truth().groups().iter().flat_map(|g| &g.records).any(|k| k.reference.key() == reference.key())
}

/// A contact for one record of a group as it may have come there before: with its ref, or by its address alone.
fn planted(group: &Group, rng: &mut fastrand::Rng) -> Option<Contact> {
    let record = &group.records[rng.usize(0..group.records.len())];
    // An initial alone could stand for two people, and must not be linked to both.
    let form = record.forms.first().filter(|form| !form.first.ends_with('.'))?;
    let full_name = !form.first.trim().is_empty() && !form.last.trim().is_empty();
    let by_ref = rng.bool();
    if !by_ref && (form.email.is_none() || !full_name) {
        return None;
    }
    // With another record of the group to be linked later, only an address can lead it there.
    if group.records.len() > 1 && (form.email.is_none() || !full_name) {
        return None;
    }
    let text = |value: &str| Some(value.trim().to_owned()).filter(|v| !v.is_empty());
    let email = form.email.as_ref().map(|address| address.trim().to_lowercase());
    let namespace = &record.reference.namespace;
    let spelled = if rng.bool() { namespace.to_uppercase() } else { namespace.clone() };
    let refs = if by_ref { vec![ExternalRef::new(&spelled, &record.reference.id)] } else { Vec::new() };
    Some(Contact {
        refs,
        first_name: text(&form.first),
        last_name: text(&form.last),
        emails: email.iter().map(|value| Labelled { value: value.clone(), kind: "work".to_owned() }).collect(),
        email,
        phone: form.mobile.as_ref().or(form.phone.as_ref()).map(|phone| phone.e164.clone()),
        tags: form.label.iter().cloned().collect(),
        ..Contact::default()
    })
}
