//! The org's objects and their fields: names, types, and how a row yields each.
//! It must not know how a query is written or answered.

use chrono::{DateTime, Utc};

use crate::sandbox::people::{Company, Person, Phone};
use crate::sandbox::salesforce::ids;

/// The field for write-back.
pub const PROPSTREET_ID: &str = "Propstreet_Contact_Id__c";
use crate::sandbox::table::{Row, Table};

/// The user who owns everything: key and name.
pub const OWNER: (u64, &str) = (7, "Integration Owner");

/// A Contact.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The person.
    pub person: Person,
    /// Key of the parent Account.
    pub account: Option<u64>,
    /// The winner of the merge this contact lost.
    pub master: Option<u64>,
    /// `LastModifiedDate`; never after `SystemModstamp`.
    pub modified: DateTime<Utc>,
    /// `Propstreet_Contact_Id__c`.
    pub propstreet_id: Option<String>,
}

/// An Account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The company.
    pub company: Company,
}

/// A field's value in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Empty.
    Null,
    /// Any text.
    Text(String),
    /// An id of 18 characters; unlike text it is compared with case.
    Id(String),
    /// A checkbox.
    Bool(bool),
    /// A date-time; seconds count, fractions do not.
    Instant(DateTime<Utc>),
}

/// A field's type as describe names it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// The record's own id.
    Id,
    /// The id of another record: prefix, object, relationship name.
    Reference(&'static str, &'static str, &'static str),
    /// Text.
    Text,
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A URL.
    Url,
    /// One of a list.
    Picklist,
    /// A checkbox.
    Bool,
    /// A date-time.
    Instant,
}

/// One field.
pub struct Column<T: 'static> {
    /// Its API name, in the declared case.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// How a row yields it.
    pub get: fn(&Row<T>) -> Value,
}

/// An object of the org.
pub trait Record: Clone + 'static {
    /// `Contact`
    const TYPE: &'static str;
    /// The first three characters of its ids.
    const PREFIX: &'static str;
    /// Whether `Account.…` leads anywhere from here.
    const HAS_ACCOUNT: bool;
    /// All fields.
    fn columns() -> &'static [Column<Self>];
    /// Key of the parent Account.
    fn account(&self) -> Option<u64>;
}

impl Record for Contact {
    const TYPE: &'static str = "Contact";
    const PREFIX: &'static str = "003";
    const HAS_ACCOUNT: bool = true;

    fn columns() -> &'static [Column<Self>] {
        &CONTACT
    }

    fn account(&self) -> Option<u64> {
        self.account
    }
}

impl Record for Account {
    const TYPE: &'static str = "Account";
    const PREFIX: &'static str = "001";
    const HAS_ACCOUNT: bool = false;

    fn columns() -> &'static [Column<Self>] {
        &ACCOUNT
    }

    fn account(&self) -> Option<u64> {
        None
    }
}

static CONTACT: [Column<Contact>; 20] = [
    Column { name: "Id", kind: Kind::Id, get: |row| own_id(row) },
    Column { name: "IsDeleted", kind: Kind::Bool, get: |row| Value::Bool(row.deleted.is_some()) },
    Column {
        name: "MasterRecordId",
        kind: Kind::Reference("003", "Contact", "MasterRecord"),
        get: |row| reference("003", row.value.master),
    },
    Column {
        name: "AccountId",
        kind: Kind::Reference("001", "Account", "Account"),
        get: |row| reference("001", row.value.account),
    },
    Column { name: "LastName", kind: Kind::Text, get: |row| known(&row.value.person.last) },
    Column { name: "FirstName", kind: Kind::Text, get: |row| known(&row.value.person.first) },
    Column { name: "Name", kind: Kind::Text, get: |row| full_name(&row.value.person) },
    Column { name: "Phone", kind: Kind::Phone, get: |row| phone(row.value.person.phone.as_ref()) },
    Column { name: "MobilePhone", kind: Kind::Phone, get: |row| phone(row.value.person.mobile.as_ref()) },
    Column { name: "Email", kind: Kind::Email, get: |row| text(row.value.person.email.as_ref()) },
    Column { name: "Title", kind: Kind::Text, get: |row| text(row.value.person.title.as_ref()) },
    Column { name: "OwnerId", kind: Kind::Reference("005", "User", "Owner"), get: |_| reference("005", Some(OWNER.0)) },
    Column { name: "CreatedDate", kind: Kind::Instant, get: |row| Value::Instant(row.created) },
    Column { name: "LastModifiedDate", kind: Kind::Instant, get: |row| Value::Instant(row.value.modified) },
    Column { name: "SystemModstamp", kind: Kind::Instant, get: |row| stamp(row) },
    Column { name: "Preferred_Language__c", kind: Kind::Picklist, get: |row| text(row.value.person.language.as_ref()) },
    Column { name: "LinkedIn__c", kind: Kind::Url, get: |row| text(row.value.person.linkedin.as_ref()) },
    Column { name: "Investor_Strategy__c", kind: Kind::Text, get: |row| text(row.value.person.strategy.as_ref()) },
    Column { name: "Rating__c", kind: Kind::Picklist, get: |row| text(row.value.person.label.as_ref()) },
    Column { name: PROPSTREET_ID, kind: Kind::Text, get: |row| text(row.value.propstreet_id.as_ref()) },
];

static ACCOUNT: [Column<Account>; 8] = [
    Column { name: "Id", kind: Kind::Id, get: |row| own_id(row) },
    Column { name: "IsDeleted", kind: Kind::Bool, get: |row| Value::Bool(row.deleted.is_some()) },
    Column { name: "Name", kind: Kind::Text, get: |row| known(&row.value.company.name) },
    Column { name: "Website", kind: Kind::Url, get: |row| website(&row.value.company) },
    Column { name: "BillingCountry", kind: Kind::Text, get: |row| known(&row.value.company.country) },
    Column { name: "CreatedDate", kind: Kind::Instant, get: |row| Value::Instant(row.created) },
    Column { name: "LastModifiedDate", kind: Kind::Instant, get: |row| stamp(row) },
    Column { name: "SystemModstamp", kind: Kind::Instant, get: |row| stamp(row) },
];

/// A field of a query, resolved: the row's own or a parent's.
pub enum Path<T: 'static> {
    /// The row's own.
    Own(&'static Column<T>),
    /// `Account.…`
    Account(&'static Column<Account>),
    /// `Owner.Id` or `Owner.Name`, in the declared case.
    Owner(&'static str),
}

impl<T> Clone for Path<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Path<T> {}

impl<T: Record> Path<T> {
    /// Finds a field by the name in a query, whatever its case. A hidden field (`Contact.Email`) is not there.
    pub fn resolve(name: &str, hidden: impl Fn(&str) -> bool) -> Option<Self> {
        let (parent, field) = name.split_once('.').map_or((None, name), |(parent, field)| (Some(parent), field));
        let path = match parent {
            None => Self::Own(T::columns().iter().find(|column| column.name.eq_ignore_ascii_case(field))?),
            Some(parent) if T::HAS_ACCOUNT && parent.eq_ignore_ascii_case("Account") => {
                Self::Account(ACCOUNT.iter().find(|column| column.name.eq_ignore_ascii_case(field))?)
            }
            Some(parent) if parent.eq_ignore_ascii_case("Owner") => {
                Self::Owner(["Id", "Name"].into_iter().find(|known| known.eq_ignore_ascii_case(field))?)
            }
            Some(_) => return None,
        };
        let full = match path {
            Self::Own(column) => format!("{}.{}", T::TYPE, column.name),
            Self::Account(column) => format!("Account.{}", column.name),
            Self::Owner(field) => format!("User.{field}"),
        };
        (!hidden(&full)).then_some(path)
    }

    /// The field's type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Own(column) => column.kind,
            Self::Account(column) => column.kind,
            Self::Owner("Id") => Kind::Id,
            Self::Owner(_) => Kind::Text,
        }
    }

    /// Whether it is the row's own field of this name.
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Self::Own(column) if column.name == name)
    }

    /// The three characters ids of this field begin with.
    pub fn prefix(&self) -> &'static str {
        match (self, self.kind()) {
            (_, Kind::Reference(prefix, ..)) => prefix,
            (Self::Own(_), _) => T::PREFIX,
            (Self::Account(_), _) => Account::PREFIX,
            (Self::Owner(_), _) => "005",
        }
    }

    /// The value in a row.
    pub fn value(&self, row: &Row<T>, accounts: &Table<Account>) -> Value {
        match self {
            Self::Own(column) => (column.get)(row),
            Self::Account(column) => row
                .value
                .account()
                .and_then(|key| accounts.row(key))
                .map_or(Value::Null, |account| (column.get)(account)),
            Self::Owner("Id") => reference("005", Some(OWNER.0)),
            Self::Owner(_) => Value::Text(OWNER.1.to_owned()),
        }
    }
}

fn own_id<T: Record>(row: &Row<T>) -> Value {
    Value::Id(ids::id(T::PREFIX, row.key))
}

fn reference(prefix: &str, key: Option<u64>) -> Value {
    key.map_or(Value::Null, |key| Value::Id(ids::id(prefix, key)))
}

fn stamp<T>(row: &Row<T>) -> Value {
    row.stamp.map_or(Value::Null, Value::Instant)
}

fn text(text: Option<&String>) -> Value {
    text.map_or(Value::Null, |text| known(text))
}

/// Salesforce stores no empty text: it is null.
fn known(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::Text(text.to_owned()) }
}

fn phone(phone: Option<&Phone>) -> Value {
    text(phone.map(|phone| &phone.typed))
}

fn full_name(person: &Person) -> Value {
    known(format!("{} {}", person.first, person.last).trim())
}

fn website(company: &Company) -> Value {
    if company.domain.is_empty() { Value::Null } else { Value::Text(format!("https://www.{}", company.domain)) }
}
