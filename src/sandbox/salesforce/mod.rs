//! A look-alike of Salesforce's REST API (Contacts and their Accounts), written from the public documentation alone.
//! It must not know how the program under test reads it.

pub mod call;
pub mod columns;
pub mod data;
pub mod face;
pub mod ids;
pub mod model;
mod routes;
pub mod search;
pub mod soql;
pub mod writing;
