//! A look-alike of Pipedrive's API v2 (persons and organizations), written from the public documentation alone.
//! It must not know how the program under test reads it.

pub mod face;
pub mod fields;
pub mod listing;
pub mod model;
pub mod rates;
mod routes;
