//! The engine. It reads a source page by page, decides with the ledger's knowledge, delivers to Propstreet and keeps the
//! books. It knows no CRM and no HTTP: what it asks of them are the traits in [`source`] and [`destination`].

mod asking;
mod change;
mod company;
mod create;
mod decided;
pub mod deliver;
mod depart;
mod desk;
pub mod destination;
mod door;
mod employer;
pub mod engine;
mod filtered;
mod firms;
mod hints;
pub mod index;
mod leaving;
pub mod locks;
mod merge;
mod notes;
pub mod pass;
pub mod patience;
mod questions;
pub mod report;
mod resync;
mod run;
mod same_person;
mod siblings;
pub mod source;
mod tags;
mod upkeep;
mod write_back;
