//! The Account: a company, or in orgs with person accounts a person, whose fields are those of the contact behind it.

use std::sync::LazyLock;

use crate::sandbox::salesforce::columns::{Column, Kind, Record, Value, system};
use crate::sandbox::salesforce::records::{Account, Contact, Tables};
use crate::sandbox::table::{Row, Table};

type Field = Column<Account>;

static COLUMNS: LazyLock<Vec<Field>> =
    LazyLock::new(|| system().into_iter().chain(company()).chain(person()).collect());

fn company() -> [Field; 4] {
    [
        Field::new("Name", Kind::Text, |row, tables| match row.value.person {
            None => Value::text(&row.value.company.name),
            Some(_) => of_contact(row, tables, "Name"),
        }),
        Field::new("Website", Kind::Url, |row, _| Value::website(&row.value.company)),
        Field::new("BillingCountry", Kind::Text, |row, _| Value::text(&row.value.company.country)),
        Field::new("LastModifiedDate", Kind::Instant, |row, _| row.stamp.map_or(Value::Null, Value::Instant)),
    ]
}

/// What exists only with person accounts: the marks, the person's own fields, and each custom field of Contact as `X__pc`.
fn person() -> Vec<Field> {
    let mut columns = vec![
        Field::new("IsPersonAccount", Kind::Bool, |row, _| Value::Bool(row.value.person.is_some())),
        Field::new("PersonContactId", Kind::Reference("003", "Contact", "PersonContact"), |row, _| {
            Value::reference("003", row.value.person)
        }),
    ];
    let standard = [
        ("FirstName", "FirstName"),
        ("LastName", "LastName"),
        ("PersonEmail", "Email"),
        ("PersonMobilePhone", "MobilePhone"),
        ("PersonTitle", "Title"),
    ];
    columns.extend(standard.into_iter().filter_map(|(name, of)| Some(shown(name, Contact::column(of)?))));
    let custom = Contact::columns().iter().filter(|column| column.is_custom());
    columns.extend(custom.map(|column| shown(&column.name.replace("__c", "__pc"), column)));
    columns.into_iter().map(Column::with_person_accounts).collect()
}

/// A field of the contact behind the account, under a name of the account's.
fn shown(name: &str, column: &'static Column<Contact>) -> Field {
    let get = move |row: &Row<Account>, tables: &Tables| of_contact(row, tables, &column.name);
    let Column { updateable, calculated, kind, .. } = *column;
    Column { updateable, calculated, of_contact: Some(&column.name), ..Field::new(name, kind, get) }
}

fn of_contact(row: &Row<Account>, tables: &Tables, field: &str) -> Value {
    let contact = row.value.person.and_then(|key| tables.contacts.row(key));
    contact.zip(Contact::column(field)).map_or(Value::Null, |(contact, column)| (column.get)(contact, tables))
}

impl Record for Account {
    const TYPE: &'static str = "Account";
    const PREFIX: &'static str = "001";
    const HAS_ACCOUNT: bool = false;

    fn columns() -> &'static [Column<Self>] {
        &COLUMNS
    }

    fn table(tables: &Tables) -> &Table<Self> {
        &tables.accounts
    }

    fn table_mut(tables: &mut Tables) -> &mut Table<Self> {
        &mut tables.accounts
    }
}
