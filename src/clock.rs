//! Time and randomness, as parameters: the system's in production, virtual and seeded in simulation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;

use crate::domain::Timestamp;

/// The one source of "now" and of waiting.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    /// `epoch` plus what tokio's clock (paused in simulation) has moved since.
    Virtual {
        epoch: Arc<Mutex<Timestamp>>,
        start: tokio::time::Instant,
    },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that starts at `epoch` and follows tokio's time.
    #[must_use]
    pub fn simulated(epoch: Timestamp) -> Self {
        Self(Source::Virtual { epoch: Arc::new(Mutex::new(epoch)), start: tokio::time::Instant::now() })
    }

    /// The instant now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
            Source::System => Timestamp::from(std::time::SystemTime::now()),
            Source::Virtual { epoch, start } => *epoch.lock().unwrap_or_else(PoisonError::into_inner) + start.elapsed(),
        }
    }

    /// Puts a simulated clock forward or back, as a person does, a time server, or a machine that has slept. Whoever waits
    /// does not notice: what is waited for goes by the monotonic instant.
    pub fn put(&self, by: TimeDelta) {
        if let Source::Virtual { epoch, .. } = &self.0 {
            *epoch.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }

    /// A monotonic instant, for measuring spans and deadlines.
    #[must_use]
    pub fn instant(&self) -> tokio::time::Instant {
        tokio::time::Instant::now()
    }

    /// Waits.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that waits")]
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Seeded randomness that tasks share.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<fastrand::Rng>>);

impl Dice {
    /// Dice that fall the same way for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    /// Dice nobody can foretell.
    #[must_use]
    pub fn system() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
        let rng = fastrand::Rng::new();
        Self(Arc::new(Mutex::new(rng)))
    }

    /// A fraction in `0.0..1.0`.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).f64()
    }

    /// A seed for a machine that draws by itself (a back-off with jitter).
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }
}
