//! A look-alike of Salesforce's REST and Bulk APIs (contacts, leads and their accounts), written from the public
//! documentation alone. It must not know how the program under test reads it.

mod account;
mod accounts;
#[cfg(test)]
mod bench;
mod bulk;
mod call;
pub mod columns;
mod contact;
mod conversion;
mod data;
mod describe;
mod face;
mod ids;
mod jobs;
pub mod jwt;
mod lead;
mod levers;
mod login;
pub mod model;
mod objects;
mod pages;
mod person;
pub mod person_accounts;
mod query;
mod records;
mod replication;
mod routes;
mod search;
mod soql;
mod state;
pub mod troubles;
pub mod usage;
mod writing;
