//! A look-alike of HubSpot's CRM API (contacts and companies), written from the public documentation alone.
//! It must not know how the program under test reads it.

pub mod answers;
pub mod face;
pub mod filters;
pub mod index;
pub mod model;
pub mod objects;
pub mod properties;
mod routes;
pub mod writing;
