//! A look-alike of HubSpot's CRM API (contacts and companies), written from the public documentation alone.
//! It must not know how the program under test reads it.

pub mod access;
mod answers;
mod associations;
mod batches;
#[cfg(test)]
mod bench;
mod calls;
mod contact;
mod definitions;
mod employers;
mod face;
mod filters;
mod firm;
mod history;
mod index;
mod levers;
mod merging;
pub mod model;
mod objects;
pub mod properties;
pub mod rates;
mod records;
mod roll;
mod routes;
mod search;
pub mod state;
mod store;
pub mod troubles;
mod writing;
