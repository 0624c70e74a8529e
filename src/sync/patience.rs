//! How long a pass sits out an upstream that is down. Everyone who waits shares one deadline, so that a hundred open
//! records do not wait a hundred times.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::domain::failure::Trouble;
use crate::domain::identity::RefKey;
use crate::sync::destination::ContactDestination;
use crate::sync::firms::Firms;
use crate::sync::report::Stop;

/// The longest pause between two tries of a CRM that is down.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Different records whose writes come to nothing in a row, with no write answered in between, before Propstreet is to
/// blame for them all. More than the breaker's three, so that a few poison records that are due together stop nobody.
const STRIKES: usize = 5;

/// The patience of one sync, and what it has learnt of companies.
pub struct Patience {
    pub(super) firms: Firms,
    clock: Clock,
    max_wait: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the outage under way will have lasted too long.
    until: Option<Instant>,
    /// Records whose writes came to nothing since one was answered.
    struck: HashSet<RefKey>,
    /// Propstreet stayed down, or refused the credential: nothing more is sent in this sync.
    lost: Option<Trouble>,
}

impl Patience {
    /// Waits at most `max_wait` for an upstream to come back.
    #[must_use]
    pub fn new(clock: Clock, max_wait: Duration) -> Self {
        Self { firms: Firms::default(), clock, max_wait, state: Mutex::default() }
    }

    /// What made this sync give Propstreet up, if anything did.
    #[must_use]
    pub fn lost(&self) -> Option<Trouble> {
        self.state().lost.clone()
    }

    /// Gives Propstreet up for this sync.
    pub fn lose(&self, trouble: Trouble) {
        self.state().lost.get_or_insert(trouble);
    }

    /// A write was answered: what failed before failed alone.
    pub fn answered(&self) {
        self.state().struck.clear();
    }

    /// The write of a record came to nothing. When too many have in a row, Propstreet is given up for this sync with
    /// this trouble, and the record is not to blame: lists and look-ups may be answered all the while.
    pub fn strike(&self, record: &RefKey, trouble: Trouble) -> Result<(), Trouble> {
        let mut state = self.state();
        state.struck.insert(record.clone());
        if state.struck.len() < STRIKES {
            return Ok(());
        }
        Err(state.lost.get_or_insert(trouble).clone())
    }

    /// Waits until Propstreet answers again, or gives it up. `began` is when this caller's call first failed: Propstreet
    /// may answer everything but that call, and then no recovery is one.
    pub async fn outlast(
        &self,
        destination: &dyn ContactDestination,
        began: &mut Option<Instant>,
        trouble: Trouble,
    ) -> Result<(), Stop> {
        if let Some(lost) = self.lost() {
            return Err(Stop::Propstreet(lost));
        }
        let now = self.clock.instant();
        let until = *self.state().until.get_or_insert(now + self.max_wait);
        let until = until.min(*began.get_or_insert(now) + self.max_wait);
        if until <= now {
            let cause = outage(trouble);
            self.lose(cause.clone());
            return Err(Stop::Propstreet(cause));
        }
        match destination.recovered(until - now).await {
            Ok(()) => {
                self.state().until = None;
                Ok(())
            }
            Err(still) => {
                let cause = if still.passes() { outage(trouble) } else { still };
                self.lose(cause.clone());
                Err(Stop::Propstreet(cause))
            }
        }
    }

    /// Pauses before the next try of a CRM. Fails with the trouble once the outage has lasted too long.
    pub async fn pause(&self, began: Instant, tries: u32, trouble: Trouble) -> Result<(), Stop> {
        let wish = match &trouble {
            Trouble::NotSent { retry_after: Some(wait), .. } => *wait,
            _ => Duration::from_secs(1 << tries.min(5)).min(LONGEST_PAUSE),
        };
        let left = (began + self.max_wait).saturating_duration_since(self.clock.instant());
        if wish > left {
            return Err(Stop::Crm(trouble));
        }
        self.clock.sleep(wish).await;
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The trouble as what it has come to be by lasting.
fn outage(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Outage(_) => trouble,
        Trouble::Ambiguous(cause) | Trouble::NotSent { cause, .. } => Trouble::Outage(cause),
        other => Trouble::Outage(other.to_string()),
    }
}
