//! When each source is synced, and where it is asked for. It waits and forbids overlap; what a sync is, it does not know.

pub mod orders;
pub mod turns;
