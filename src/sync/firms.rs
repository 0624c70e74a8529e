//! What one sync has learnt of companies, so that each is asked for once and not once a person.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::Timestamp;
use crate::domain::employer::Employer;
use crate::domain::identity::RefKey;

/// Which company an employer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Firm {
    /// This one, by Propstreet's id.
    Is(String),
    /// None, and nothing is made of a name that somebody typed.
    Nobody,
    /// That cannot be told yet.
    Waits {
        /// Why.
        why: String,
        /// When to try again.
        due: Timestamp,
    },
}

/// The companies of one sync.
#[derive(Debug, Default)]
pub(super) struct Firms(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<RefKey, (Employer, Firm)>,
    /// Those of which a write said that they are not there.
    doubted: HashSet<RefKey>,
    /// The tenant may not use companies: its own words.
    refused: Option<String>,
}

impl Firms {
    /// What this employer was found to be, if the CRM said the same of it then.
    pub(super) fn known(&self, key: &RefKey, employer: &Employer) -> Option<Firm> {
        let state = self.state();
        state.known.get(key).filter(|(then, _)| then == employer).map(|(_, firm)| firm.clone())
    }

    pub(super) fn learn(&self, key: RefKey, employer: &Employer, firm: &Firm) {
        self.state().known.insert(key, (employer.clone(), firm.clone()));
    }

    /// A write said that the company is not there: it is to be looked at, once.
    pub(super) fn doubt(&self, key: &RefKey) {
        let mut state = self.state();
        if state.doubted.insert(key.clone()) {
            state.known.remove(key);
        }
    }

    pub(super) fn is_doubted(&self, key: &RefKey) -> bool {
        self.state().doubted.contains(key)
    }

    /// Notes that the tenant may not use companies; true the first time.
    pub(super) fn refuse(&self, why: &str) -> bool {
        let mut state = self.state();
        let first = state.refused.is_none();
        state.refused.get_or_insert_with(|| why.to_owned());
        first
    }

    /// In whose words the tenant was refused.
    pub(super) fn refused(&self) -> Option<String> {
        self.state().refused.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
