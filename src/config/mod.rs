//! TOML and environment into one typed tree, with every fault collected before any is shown. It opens no ledger and
//! calls no upstream: a configuration is right or wrong on this machine alone.

pub mod document;
pub mod hubspot;
pub mod load;
pub mod pipedrive;
pub mod places;
mod policies;
pub mod problems;
pub mod propstreet;
pub mod rules;
pub mod salesforce;
pub mod schedule;
pub mod secrets;
pub mod sources;
pub mod tree;
pub mod webhooks;
pub mod write_back;
