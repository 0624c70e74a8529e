//! Values that cannot be wrong, and decisions. Pure: no I/O, no clock, no randomness; nothing of ours is imported here.

pub mod address;
pub mod change;
pub mod contact;
pub mod decision;
pub mod departure;
pub mod employer;
pub mod employment;
pub mod failure;
pub mod finding;
pub mod fingerprint;
pub mod homepage;
pub mod identity;
pub mod instant;
pub mod keyed;
pub mod kind;
pub mod limits;
pub mod loopback;
pub mod merge;
pub mod names;
pub mod nearest;
pub mod ownership;
pub mod pass;
pub mod plan;
pub mod record;
pub mod redact;
pub mod remembered;
pub mod request;
pub mod same_person;
pub mod schedule;
pub mod spending;
pub mod told;
pub mod updates;

/// An instant as every room passes it on: UTC, never read from a clock here.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
