//! The Lead: its fields beyond those of every person. It has no account; the company is text in the lead itself.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};

use crate::sandbox::people::Company;
use crate::sandbox::salesforce::columns::{Column, Kind, Record, Value};
use crate::sandbox::salesforce::person;
use crate::sandbox::salesforce::records::{Lead, Tables};
use crate::sandbox::table::{Row, Table};

/// What a lead's status is until someone works on it.
pub const OPEN: &str = "Open - Not Contacted";
/// What it is after its conversion.
pub const CLOSED: &str = "Closed - Converted";

type Field = Column<Lead>;

static COLUMNS: LazyLock<Vec<Field>> =
    LazyLock::new(|| person::columns().into_iter().chain(company()).chain(conversion()).collect());

fn company() -> [Field; 4] {
    [
        Field::new("Company", Kind::Text, |row, _| employer(row, |company| Value::text(&company.name))),
        Field::new("Website", Kind::Url, |row, _| employer(row, Value::website)),
        Field::new("Country", Kind::Text, |row, _| employer(row, |company| Value::text(&company.country)))
            .part_of("Address"),
        Field::new("Status", Kind::Picklist, |row, _| Value::text(&row.value.status))
            .writable(|lead, value| lead.status = value.into_text().unwrap_or_default()),
    ]
}

fn conversion() -> [Field; 5] {
    [
        Field::new("IsConverted", Kind::Bool, |row, _| Value::Bool(row.value.converted.is_some())),
        Field::new("ConvertedContactId", Kind::Reference("003", "Contact", "ConvertedContact"), |row, _| {
            Value::reference("003", row.value.converted.map(|converted| converted.contact))
        }),
        Field::new("ConvertedAccountId", Kind::Reference("001", "Account", "ConvertedAccount"), |row, _| {
            Value::reference("001", row.value.converted.and_then(|converted| converted.account))
        }),
        Field::new("ConvertedOpportunityId", Kind::Reference("006", "Opportunity", "ConvertedOpportunity"), |_, _| {
            Value::Null
        }),
        Field::new("ConvertedDate", Kind::Date, |row, _| {
            row.value.converted.map_or(Value::Null, |converted| Value::Date(converted.on))
        }),
    ]
}

fn employer(row: &Row<Lead>, read: impl Fn(&Company) -> Value) -> Value {
    row.value.profile.person.company.as_ref().map_or(Value::Null, read)
}

impl Record for Lead {
    const TYPE: &'static str = "Lead";
    const PREFIX: &'static str = "00Q";
    const HAS_ACCOUNT: bool = false;

    fn columns() -> &'static [Column<Self>] {
        &COLUMNS
    }

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.leads
    }

    fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
        &mut tables.leads
    }

    fn owner(&self) -> u64 {
        self.profile.owner
    }

    fn modified(&mut self, now: DateTime<Utc>) {
        self.profile.modified = now;
    }

    fn assign(&mut self, owner: u64) {
        self.profile.owner = owner;
    }
}
