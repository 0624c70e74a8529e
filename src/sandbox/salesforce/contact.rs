//! The Contact: its fields beyond those of every person. The numeric, formula, address and long-text fields are empty
//! until a test fills them.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use crate::sandbox::salesforce::columns::{Column, Kind, Record, Value};
use crate::sandbox::salesforce::person;
use crate::sandbox::salesforce::records::{Contact, Tables};
use crate::sandbox::table::{Row, Table};

type Field = Column<Contact>;

static COLUMNS: LazyLock<Vec<Field>> =
    LazyLock::new(|| person::columns().into_iter().chain(own()).chain(details()).collect());

fn own() -> [Field; 3] {
    [
        Field::new("AccountId", Kind::Reference("001", "Account", "Account"), |row, _| {
            Value::reference("001", row.value.account)
        }),
        Field::new("Rating__c", Kind::Picklist, |row, _| Value::maybe(row.value.profile.person.label.as_ref()))
            .writable(|contact, value| contact.profile.person.label = value.into_text()),
        Field::new("IsPersonAccount", Kind::Bool, |row, tables| Value::Bool(is_person_account(row, tables)))
            .with_person_accounts(),
    ]
}

fn details() -> [Field; 6] {
    [
        Field::new("Score__c", Kind::Number, |row, _| row.value.details.score.map_or(Value::Null, Value::Number))
            .writable(|contact, value| {
                contact.details.score = if let Value::Number(number) = value { Some(number) } else { None };
            }),
        Field::new("Tier__c", Kind::Text, |row, _| Value::maybe(row.value.details.tier.as_ref())).formula(),
        Field::new("Notes__c", Kind::LongText, |row, _| Value::maybe(row.value.details.notes.as_ref()))
            .writable(|contact, value| contact.details.notes = value.into_text()),
        Field::new("MailingAddress", Kind::Address, |row, _| {
            let (city, country) = (&row.value.details.city, &row.value.details.country);
            if city.is_none() && country.is_none() {
                return Value::Null;
            }
            Value::Address(city.clone(), country.clone())
        }),
        Field::new("MailingCity", Kind::Text, |row, _| Value::maybe(row.value.details.city.as_ref()))
            .part_of("MailingAddress")
            .writable(|contact, value| contact.details.city = value.into_text()),
        Field::new("MailingCountry", Kind::Text, |row, _| Value::maybe(row.value.details.country.as_ref()))
            .part_of("MailingAddress")
            .writable(|contact, value| contact.details.country = value.into_text()),
    ]
}

/// Whether the contact is the person side of an account.
pub fn is_person_account(row: &Row<Contact>, tables: &Tables) -> bool {
    let account = row.value.account.and_then(|key| tables.accounts.row(key));
    account.is_some_and(|account| account.value.person == Some(row.key))
}

impl Record for Contact {
    const TYPE: &'static str = "Contact";
    const PREFIX: &'static str = "003";
    const HAS_ACCOUNT: bool = true;

    fn columns() -> &'static [Column<Self>] {
        &COLUMNS
    }

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.contacts
    }

    fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
        &mut tables.contacts
    }

    fn account(&self) -> Option<u64> {
        self.account
    }

    fn owner(&self) -> u64 {
        self.profile.owner
    }

    fn modified(&mut self, now: DateTime<Utc>) {
        self.profile.modified = now;
    }
}
