//! A CRM's people and companies as they stand at this moment, in words that all three share. Knows no CRM.

use crate::sandbox::people::{Company, Person};

/// One person's record, deleted and merged-away ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The CRM's id.
    pub id: String,
    /// Who it is, with the company they work for now as that company stands now.
    pub person: Person,
    /// The CRM's id of that company; of several the primary one. `None` where it is deleted.
    pub employer: Option<String>,
    /// Neither deleted nor merged away.
    pub alive: bool,
    /// The record that took this one's place, as the CRM has it.
    pub merged_into: Option<String>,
    /// Wants no mailings.
    pub opted_out: bool,
}

/// One company's record, deleted ones included.
#[derive(Debug, Clone, PartialEq)]
pub struct Firm {
    /// The CRM's id.
    pub id: String,
    /// The company.
    pub company: Company,
    /// Not deleted.
    pub alive: bool,
}
