//! A look-alike of the Propstreet API, written from its public pages alone: strict where they are clear, and turned by
//! [`knobs::Knobs`] where they contradict themselves or are silent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::propstreet::auth::Door;
use crate::sandbox::propstreet::company::Company;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef};
use crate::sandbox::propstreet::knobs::Knobs;
use crate::sandbox::propstreet::model::{State, Writes};
use crate::sandbox::propstreet::network::Link;
use crate::sandbox::propstreet::problem::Problem;
use crate::sandbox::propstreet::replay::Replays;

mod auth;
pub mod company;
pub mod contact;
mod duplicates;
mod face;
mod firms;
mod hand;
mod input;
pub mod knobs;
mod limits;
pub mod model;
pub mod network;
mod network_face;
mod phone;
mod problem;
mod rate;
mod replay;
mod timeline;
mod wire;

/// What one look-alike is set up with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How it reads the contradictions of the pages.
    pub knobs: Knobs,
    /// The limit of client credentials; a personal access token has 60.
    pub requests_per_minute: u32,
    /// For tokens and faults.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { knobs: Knobs::default(), requests_per_minute: 600, seed: 0 }
    }
}

/// Calls that a tenant can be without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// `/network/companies`.
    Companies,
    /// `/companies/find-duplicates`, which came later.
    Duplicates,
    /// `/network/links`.
    Links,
}

/// The look-alike. Clones share everything.
#[derive(Debug, Clone)]
pub struct Propstreet {
    clock: Clock,
    state: Arc<Mutex<State>>,
    door: Arc<Mutex<Door>>,
    gate: Gate,
    /// Areas that are refused, with the status.
    closed: Arc<Mutex<BTreeMap<Area, u16>>>,
    replays: Arc<Mutex<Replays>>,
}

impl Propstreet {
    /// An empty tenant.
    #[must_use]
    pub fn new(clock: Clock, settings: Settings) -> Self {
        let Settings { knobs, requests_per_minute, seed } = settings;
        Self {
            door: Arc::new(Mutex::new(Door::new(requests_per_minute, knobs.window, seed))),
            state: Arc::new(Mutex::new(State::new(clock.clone(), knobs))),
            gate: Gate::new(clock.clone(), seed, face::kind),
            closed: Arc::default(),
            replays: Arc::default(),
            clock,
        }
    }

    /// The HTTP face.
    pub fn router(&self) -> Router {
        self.gate.guard(face::router(self))
    }

    /// The drawer of faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.gate.faults()
    }

    /// Requests so far. Kinds: `token`, `contacts` (list, create), `contact` (by id), `contact by ref`, `companies`,
    /// `company`, `company by ref`, `duplicates`, `links`, `link`, `other`; so a create is `POST contacts`.
    #[must_use]
    pub fn requests(&self) -> RequestCounts {
        self.gate.requests()
    }

    /// Counts requests from zero again.
    pub fn reset_counts(&self) {
        self.gate.reset_counts();
    }

    /// What the API has written so far.
    #[must_use]
    pub fn writes(&self) -> Writes {
        self.state().writes
    }

    /// Every contact by id, deleted ones included.
    #[must_use]
    pub fn contacts(&self) -> Vec<Contact> {
        self.state().contacts().cloned().collect()
    }

    /// The same, their numbers in E.164 where they can be read so: some are kept as they were sent.
    #[must_use]
    pub fn contacts_as_meant(&self) -> Vec<Contact> {
        let meant = |contact: Contact| {
            let phone = contact.phone.as_deref().and_then(phone::e164);
            Contact { phone: phone.or(contact.phone), ..contact }
        };
        self.contacts().into_iter().map(meant).collect()
    }

    /// One contact by id, deleted or not.
    #[must_use]
    pub fn contact(&self, id: u64) -> Option<Contact> {
        self.state().any(id).map(|stored| stored.contact.clone())
    }

    /// Every contact that carries a reference, deleted ones included.
    #[must_use]
    pub fn find(&self, namespace: &str, id: &str) -> Vec<Contact> {
        let key = ExternalRef::new(namespace, id).key();
        self.state().holders(&key).map(|stored| stored.contact.clone()).collect()
    }

    /// Every company by id, deleted ones included.
    #[must_use]
    pub fn companies(&self) -> Vec<Company> {
        self.state().network.companies.values().map(|held| held.company.clone()).collect()
    }

    /// One company by id, deleted or not.
    #[must_use]
    pub fn company(&self, id: u64) -> Option<Company> {
        self.state().network.companies.get(&id).map(|held| held.company.clone())
    }

    /// A contact's employments that have not ended, the primary one first.
    #[must_use]
    pub fn employments(&self, contact: u64) -> Vec<Link> {
        self.state().network.live_links(contact).cloned().collect()
    }

    /// Every link by id, deleted ones included.
    #[must_use]
    pub fn links(&self) -> Vec<Link> {
        self.state().network.links.values().cloned().collect()
    }

    /// Every token given out so far is refused from now on.
    pub fn expire_tokens(&self) {
        self.door().expire_tokens();
    }

    /// Refuses every credential, as after a revoked client, or takes them again.
    pub fn refuse_credentials(&self, refuse: bool) {
        self.door().refuse_credentials(refuse);
    }

    /// Refuses every call of an area with 403, 404 or 405, as a tenant that may not use it; `None` takes them again.
    pub fn refuse(&self, area: Area, status: Option<u16>) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => drop(closed.insert(area, status)),
            None => drop(closed.remove(&area)),
        }
    }

    /// The refusal of a call of this kind, if its area is closed.
    fn closed(&self, kind: &str) -> Option<Problem> {
        let area = match kind {
            "companies" | "company" | "company by ref" => Area::Companies,
            "duplicates" => Area::Duplicates,
            "links" | "link" => Area::Links,
            _ => return None,
        };
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.get(&area).map(|status| match status {
            403 => Problem::forbidden(),
            405 => Problem::method_not_allowed(),
            _ => Problem::not_found(),
        })
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replays(&self) -> MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
