//! A look-alike of the Propstreet API, written from its public pages alone: strict where they are clear, and turned by
//! [`knobs::Knobs`] where they contradict themselves or are silent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;

use crate::sandbox::clock::Clock;
use crate::sandbox::faults::{Faults, Gate, RequestCounts};
use crate::sandbox::propstreet::auth::Door;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef};
use crate::sandbox::propstreet::knobs::Knobs;
use crate::sandbox::propstreet::model::{State, Writes};
use crate::sandbox::propstreet::network::{Company, Link};

mod auth;
pub mod contact;
mod face;
mod input;
pub mod knobs;
mod limits;
pub mod model;
pub mod network;
mod phone;
mod problem;
mod rate;
mod timeline;

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

/// The look-alike. Clones share everything.
#[derive(Debug, Clone)]
pub struct Propstreet {
    clock: Clock,
    state: Arc<Mutex<State>>,
    door: Arc<Mutex<Door>>,
    gate: Gate,
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
    /// `company`, `links`, `link`, `other`; so a create is `POST contacts`.
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

    /// Puts a contact in by hand, past every rule; its id and times are given, primaries join their lists.
    pub fn plant(&self, mut contact: Contact) -> u64 {
        (contact.id, contact.planted) = (0, true);
        if contact.emails.is_empty() {
            let email = contact.email.take();
            contact.set_email(email);
        }
        if contact.phones.is_empty() {
            let phone = contact.phone.take();
            contact.set_phone(phone);
        }
        self.state().put(contact, "app")
    }

    /// Changes a contact as a person in the app would; the id cannot be changed. False if there is none.
    pub fn edit(&self, id: u64, change: impl FnOnce(&mut Contact)) -> bool {
        let mut state = self.state();
        let Some(mut contact) = state.any(id).map(|stored| stored.contact.clone()) else { return false };
        change(&mut contact);
        contact.id = id;
        state.put(contact, "app");
        true
    }

    /// Deletes a contact as a person in the app would: softly. False if there is none.
    pub fn delete(&self, id: u64) -> bool {
        let now = self.clock.now();
        self.edit(id, |contact| contact.deleted = Some(contact::to_ticks(now)))
    }

    /// Every company by id.
    #[must_use]
    pub fn companies(&self) -> Vec<Company> {
        self.state().network.companies.values().cloned().collect()
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

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
