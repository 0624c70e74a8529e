//! The sandbox: look-alikes of Salesforce, `HubSpot`, Pipedrive and Propstreet, and one truth about the people in them.
//!
//! Each look-alike is a *model* with plain methods (add, edit, delete …), a thin axum *face* over it that is as strict
//! as the public pages of the API, and a drawer of *faults* ([`faults`]) for what networks and servers do to honest
//! requests. They are written from those pages alone and share no type with the adapters, so that one misreading cannot
//! hide in both; `tests/architecture.rs` holds that.
//!
//! ```text
//! people ──seed──▶ population ──add──▶ salesforce, hubspot, pipedrive ──▶ (the program under test)
//!                       └───truth◀── compare ──▶ propstreet ◀──────────────────────┘
//! ```
//!
//! Two ways in: [`Sandbox::router`] for in-process calls under paused time, where a seed decides everything, and
//! [`Sandbox::serve`] for sockets on loopback. Time comes from [`clock::Clock`] alone. What Propstreet's pages leave
//! open is a switch in [`propstreet::knobs::Knobs`]. After a run [`Sandbox::check`] says what is missing, doubled or
//! wrong; it expects the program's defaults (`email_conflict = "link"`, `on_change = "ignore"`, `on_delete = "keep"`).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;

use crate::sandbox::clock::Clock;
use crate::sandbox::hubspot::model::HubSpot;
use crate::sandbox::people::{Crowd, Person};
use crate::sandbox::pipedrive::model::Pipedrive;
use crate::sandbox::propstreet::Propstreet;
use crate::sandbox::propstreet::contact::ExternalRef;
use crate::sandbox::propstreet::knobs::Knobs;
use crate::sandbox::salesforce::model::Salesforce;
use crate::sandbox::serve::Served;
use crate::sandbox::truth::{Fate, Group, Mapped, Report, Truth};
use crate::sandbox::upstream::{Crm, Upstream};

pub mod clock;
pub mod credentials;
pub mod faults;
pub mod hand;
pub mod hubspot;
mod path;
pub mod people;
pub mod pipedrive;
mod population;
pub mod propstreet;
pub mod roll;
pub mod salesforce;
pub mod serve;
pub mod table;
pub mod truth;
pub mod upstream;

/// What a sandbox is set up with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Decides the people, the faults and the tokens.
    pub seed: u64,
    /// People in each CRM.
    pub contacts: usize,
    /// Time.
    pub clock: Clock,
    /// How Propstreet reads its own contradictions.
    pub knobs: Knobs,
    /// Propstreet's limit for client credentials; a personal access token has 60.
    pub requests_per_minute: u32,
    /// The namespaces under which the CRMs' people are expected, in the order of [`Crm::ALL`].
    pub namespaces: [String; 3],
    /// Custom fields that must arrive.
    pub mapped: Mapped,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 0,
            contacts: 1000,
            clock: Clock::system(),
            knobs: Knobs::default(),
            requests_per_minute: 600,
            namespaces: ["salesforce", "hubspot", "pipedrive"].map(str::to_owned),
            mapped: Mapped::default(),
        }
    }
}

/// What [`Sandbox::change`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// People nobody knew.
    pub added: usize,
    /// People known to one CRM who now also stand in another.
    pub met_again: usize,
    /// Records edited.
    pub edited: usize,
}

/// The four look-alikes and the truth about them. Clones share everything.
#[derive(Clone)]
pub struct Sandbox {
    /// Time.
    pub clock: Clock,
    /// The Salesforce look-alike.
    pub salesforce: Salesforce,
    /// The `HubSpot` look-alike.
    pub hubspot: HubSpot,
    /// The Pipedrive look-alike.
    pub pipedrive: Pipedrive,
    /// The Propstreet look-alike.
    pub propstreet: Propstreet,
    truth: Truth,
    crowd: Arc<Mutex<Crowd>>,
    namespaces: [String; 3],
}

impl Sandbox {
    /// Builds the four and plants the people. The same settings give the same sandbox.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { seed, contacts, clock, knobs, requests_per_minute, namespaces, mapped } = settings;
        let propstreet = propstreet::Settings { knobs, requests_per_minute, seed: seed.wrapping_add(4) };
        let sandbox = Self {
            salesforce: Salesforce::new(clock.clone(), seed.wrapping_add(1)),
            hubspot: HubSpot::new(clock.clone(), seed.wrapping_add(2)),
            pipedrive: Pipedrive::new(clock.clone(), seed.wrapping_add(3)),
            propstreet: Propstreet::new(clock.clone(), propstreet),
            truth: Truth::new(namespaces.iter().map(String::as_str), mapped),
            crowd: Arc::new(Mutex::new(Crowd::new(seed))),
            namespaces,
            clock,
        };
        population::settle(&sandbox, contacts);
        sandbox
    }

    /// The HTTP face of one look-alike.
    pub fn router(&self, upstream: Upstream) -> Router {
        match upstream {
            Upstream::Salesforce => self.salesforce.router(),
            Upstream::HubSpot => self.hubspot.router(),
            Upstream::Pipedrive => self.pipedrive.router(),
            Upstream::Propstreet => self.propstreet.router(),
        }
    }

    /// Serves all four on loopback, on `port_base` and the three ports after it, or on free ports.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn serve(&self, port_base: Option<u16>) -> io::Result<Served> {
        Served::start(Upstream::ALL.map(|upstream| self.router(upstream)), port_base).await
    }

    /// What Propstreet must hold.
    #[must_use]
    pub fn truth(&self) -> &Truth {
        &self.truth
    }

    /// Compares Propstreet with the truth.
    #[must_use]
    pub fn check(&self) -> Report {
        self.truth.check(&self.propstreet.contacts_as_meant(), &self.propstreet.links())
    }

    /// The reference of a CRM's record as Propstreet must carry it.
    #[must_use]
    pub fn reference(&self, crm: Crm, id: &str) -> ExternalRef {
        ExternalRef::new(&self.namespaces[crm.index()], id)
    }

    /// Adds someone to a CRM now and expects one contact of them. Answers the reference.
    pub fn plant(&self, crm: Crm, person: &Person) -> ExternalRef {
        let known = population::add(self, crm, person, self.clock.now());
        let reference = known.reference.clone();
        self.truth.plant(Group { records: vec![known], fate: Fate::OneContact });
        reference
    }

    /// Lets `n` things happen in the CRMs, by seed: edits, people met again in another CRM, newcomers.
    pub fn change(&self, n: usize) -> Changes {
        let mut crowd = self.crowd();
        let mut changes = Changes::default();
        for _ in 0..n {
            match crowd.below(10) {
                0..5 if population::edit_someone(self, &mut crowd) => changes.edited += 1,
                5 if population::meet_again(self, &mut crowd) => changes.met_again += 1,
                _ => {
                    let crm = Crm::ALL[crowd.below(3)];
                    self.plant(crm, &crowd.person());
                    changes.added += 1;
                }
            }
        }
        changes
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::DateTime;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::sandbox::faults::{Fault, Rule};
    use crate::sandbox::propstreet::contact::Contact;

    fn sandbox(seed: u64, contacts: usize) -> Sandbox {
        let clock = Clock::simulated(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
        Sandbox::new(Settings { seed, contacts, clock, ..Settings::default() })
    }

    /// Writes what a flawless sync would, straight into the model.
    fn sync(sandbox: &Sandbox) {
        for group in sandbox.truth().groups() {
            let carried = match group.fate {
                Fate::OneContact => group.records.as_slice(),
                Fate::OneOf(_) => &group.records[..1],
                Fate::Quarantined(_) | Fate::Gone => continue,
            };
            let (first, person) = (&carried[0], &carried[0].forms[0]);
            let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
            let email = person.email.as_ref().map(|email| {
                let (mailbox, host) = email.split_once('@').unwrap();
                format!("{mailbox}@{}", host.to_lowercase())
            });
            sandbox.propstreet.plant(Contact {
                refs: carried.iter().map(|known| known.reference.clone()).collect(),
                first_name: name(&person.first),
                last_name: name(&person.last),
                email,
                phone: person.mobile.as_ref().or(person.phone.as_ref()).map(|phone| phone.e164.clone()),
                tags: person.label.iter().filter(|_| first.crm != Crm::Salesforce).cloned().collect(),
                ..Contact::default()
            });
        }
    }

    #[test]
    fn each_crm_holds_as_many_as_asked_and_a_flawless_sync_is_clean() {
        for contacts in [0, 1, 19, 20, 400] {
            let sandbox = sandbox(7, contacts);
            let counts = [sandbox.salesforce.ids().len(), sandbox.hubspot.ids().len(), sandbox.pipedrive.ids().len()];
            assert_eq!(counts, [contacts; 3]);
            sync(&sandbox);
            let report = sandbox.check();
            assert!(report.is_clean(), "{contacts}: {report:?}");
            let records: usize = sandbox.truth().groups().iter().map(|group| group.records.len()).sum();
            assert_eq!(records, counts.iter().sum::<usize>());
            assert_eq!(report.expected_quarantined > 0, contacts >= 20);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_people_and_the_same_changes() {
        let people = |seed| {
            let sandbox = sandbox(seed, 100);
            let changes = sandbox.change(50);
            assert_eq!(changes.added + changes.met_again + changes.edited, 50);
            assert!(changes.added > 0 && changes.edited > 0);
            let groups = sandbox.truth().groups();
            groups.into_iter().flat_map(|group| group.records).map(|known| known.forms).collect::<Vec<_>>()
        };
        assert_eq!(people(1), people(1));
        assert_ne!(people(1), people(2));
    }

    #[test]
    fn changes_after_a_sync_leave_exactly_the_new_records_missing() {
        let sandbox = sandbox(3, 200);
        sync(&sandbox);
        let changes = sandbox.change(100);
        let report = sandbox.check();
        assert_eq!(report.missing.len(), changes.added + changes.met_again);
        assert_eq!((report.duplicates.len(), report.wrong.len()), (0, 0), "{report:?}");
    }

    /// What a server answers before the connection ends.
    async fn said(address: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /api/v1/network/contacts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A cut connection may show as an error or as an early end.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn the_four_are_served_on_ports_of_their_own_until_shut_down() {
        let sandbox = sandbox(1, 1);
        let served = sandbox.serve(None).await.unwrap();
        let urls: BTreeSet<&str> = Upstream::ALL.map(|upstream| served.url(upstream)).into();
        assert_eq!(urls.len(), 4);
        assert!(urls.iter().all(|url| url.starts_with("http://127.0.0.1:")));
        let address = served.propstreet.trim_start_matches("http://").to_owned();
        assert!(said(&address).await.starts_with("HTTP/1.1 401 "));
        sandbox.propstreet.faults().add(Rule::new(Fault::LostBefore));
        assert_eq!(said(&address).await, "", "a lost answer is no answer, not even a status");
        served.shutdown().await;
        assert!(TcpStream::connect(&address).await.is_err());
    }
}
