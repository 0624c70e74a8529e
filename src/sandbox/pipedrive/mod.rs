//! A look-alike of Pipedrive's API (persons and organizations, v2 and what is left of v1), written from the public
//! documentation alone.
//! It must not know how the program under test reads it.

pub mod access;
mod answers;
#[cfg(test)]
mod bench;
mod calls;
mod cursors;
pub mod definitions;
mod face;
pub mod fields;
mod firms;
pub mod hooks;
mod legacy;
mod levers;
mod listing;
mod merging;
pub mod model;
pub mod organization;
pub mod person;
pub mod rates;
mod reading;
mod roll;
mod routes;
pub mod state;
pub mod troubles;
mod writing;
mod written;
