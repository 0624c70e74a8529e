//! Locks by key: two deliveries of one ref, or of one address, never run side by side, whichever source they come from.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Slots<K> = Arc<Mutex<HashMap<K, Arc<tokio::sync::Mutex<()>>>>>;

/// A lock for each key in use; nothing is kept for a key nobody holds or waits for.
#[derive(Debug)]
pub struct Locks<K> {
    slots: Slots<K>,
}

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self { slots: Arc::default() }
    }
}

/// A held key; free again when dropped.
#[derive(Debug)]
pub struct Held<K: Eq + Hash> {
    slots: Slots<K>,
    key: K,
    guard: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash + Clone> Locks<K> {
    /// Waits until nobody else holds the key.
    pub async fn hold(&self, key: K) -> Held<K> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(key.clone()).or_default().clone()
        };
        // The entry is made before the wait, so that a wait that is dropped is cleaned up like a hold.
        let mut held = Held { slots: self.slots.clone(), key, guard: None };
        held.guard = Some(slot.lock_owned().await);
        held
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        // One reference is the map's own; another means that somebody waits or holds.
        if slots.get(&self.key).is_some_and(|slot| Arc::strong_count(slot) == 1) {
            slots.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_holder_a_key_and_nothing_left_behind() {
        let locks = Locks::default();
        let first = locks.hold("a").await;
        let other = locks.hold("b").await;
        let waits = tokio::time::timeout(Duration::from_secs(1), locks.hold("a")).await;
        assert!(waits.is_err(), "a is held");
        drop((first, other));
        assert!(tokio::time::timeout(Duration::from_secs(1), locks.hold("a")).await.is_ok());
        assert!(locks.slots.lock().unwrap().is_empty());
    }
}
