//! The org's rows: what a contact, a lead and an account hold, and the tables they stand in.
//! It must not know the names of their fields.

use chrono::{DateTime, NaiveDate, Utc};

use crate::sandbox::people::{Company, Person};
use crate::sandbox::table::Table;

/// The user who owns everything at first: key and name.
pub const OWNER: (u64, &str) = (7, "Integration Owner");
/// The user to whom the assignment rule gives leads.
pub const ASSIGNEE: (u64, &str) = (8, "Assignment Rule");

/// What a contact and a lead have in common.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The person.
    pub person: Person,
    /// The winner of the merge this record lost.
    pub master: Option<u64>,
    /// `LastModifiedDate`; never after `SystemModstamp`.
    pub modified: DateTime<Utc>,
    /// `Propstreet_Contact_Id__c`.
    pub propstreet_id: Option<String>,
    /// Key of the owning user.
    pub owner: u64,
    /// `HasOptedOutOfEmail`.
    pub opted_out: bool,
}

impl Profile {
    /// Someone nobody has touched yet.
    pub fn new(person: &Person, modified: DateTime<Utc>) -> Self {
        Self { person: person.clone(), master: None, modified, propstreet_id: None, owner: OWNER.0, opted_out: false }
    }
}

/// A record that is a person.
pub trait Human {
    /// What it has in common with the others.
    fn profile(&self) -> &Profile;
    /// The same, to change it.
    fn profile_mut(&mut self) -> &mut Profile;
}

/// A Contact.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The person.
    pub profile: Profile,
    /// Key of the parent Account.
    pub account: Option<u64>,
    /// What is empty until a test fills it.
    pub details: Details,
}

/// Fields of a Contact beyond the person.
#[derive(Clone, Debug, Default)]
pub struct Details {
    /// `Score__c`.
    pub score: Option<f64>,
    /// `Notes__c`.
    pub notes: Option<String>,
    /// What the formula `Tier__c` yields.
    pub tier: Option<String>,
    /// `MailingCity`.
    pub city: Option<String>,
    /// `MailingCountry`.
    pub country: Option<String>,
}

/// A Lead.
#[derive(Clone, Debug)]
pub struct Lead {
    /// The person.
    pub profile: Profile,
    /// `Status`.
    pub status: String,
    /// What became of it, once it is converted.
    pub converted: Option<Conversion>,
}

/// Where a converted lead went.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// Key of the Contact.
    pub contact: u64,
    /// Key of the Account.
    pub account: Option<u64>,
    /// The day.
    pub on: NaiveDate,
}

/// An Account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The company; without a name for a person account.
    pub company: Company,
    /// Key of the Contact that is this account, for a person account.
    pub person: Option<u64>,
}

impl Human for Contact {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn profile_mut(&mut self) -> &mut Profile {
        &mut self.profile
    }
}

impl Human for Lead {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn profile_mut(&mut self) -> &mut Profile {
        &mut self.profile
    }
}

/// All rows of the org.
#[derive(Debug)]
pub struct Tables {
    /// Contacts.
    pub contacts: Table<Contact>,
    /// Leads.
    pub leads: Table<Lead>,
    /// Accounts.
    pub accounts: Table<Account>,
}

impl Tables {
    /// No rows; the first of each table gets `first_key`.
    pub fn new(first_key: u64) -> Self {
        Self { contacts: Table::new(first_key), leads: Table::new(first_key), accounts: Table::new(first_key) }
    }

    /// The oldest stamp among what is written but not yet committed at `now`.
    pub fn oldest_uncommitted(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        [self.contacts.oldest_uncommitted(now), self.leads.oldest_uncommitted(now)].into_iter().flatten().min()
    }
}
