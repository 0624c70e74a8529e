//! propsync keeps a firm's Propstreet network in step with its CRMs: each person once, and provably so.
//!
//! The data's route, and the only direction in which rooms may import each other (`tests/architecture.rs` holds it):
//!
//! ```text
//! crm ──▶ Record ──mapping──▶ Contact ──sync──▶ propstreet
//!                                  └── ledger ──┘
//! ```
//!
//! - [`domain`]: values that cannot be wrong, and decisions
//! - [`clock`], [`telemetry`]: time and randomness; logs
//! - [`mapping`]: rules as data, record to draft
//! - [`http`]: the only HTTP client: transport, pacing, retry, breaker
//! - [`ledger`]: what we know and did
//! - [`sync`]: the engine, and what it asks of a CRM and of Propstreet
//! - [`crm`], [`propstreet`]: the adapters
//! - [`scheduler`], [`bell`]: when a source is synced; what calls from a CRM ask for
//! - [`config`]: one typed tree; [`assembly`]: the only file that names every concrete type
//! - [`daemon`]: the life of the process that stays
//! - [`cli`]: a file a verb
//! - `sandbox`: look-alikes of the four APIs, sharing nothing with the adapters

pub mod assembly;
pub mod bell;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crm;
pub mod daemon;
pub mod domain;
pub mod http;
pub mod ledger;
pub mod mapping;
pub mod propstreet;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod scheduler;
pub mod sync;
pub mod telemetry;
