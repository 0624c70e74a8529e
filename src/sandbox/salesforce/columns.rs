//! What a field is: its name, its type, how a row yields it and who may write it; and how a query's path finds one.
//! It must not know which fields an object has, nor how a query is written or answered.

use chrono::{DateTime, NaiveDate, Utc};

use crate::sandbox::people::Company;
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::records::{ASSIGNEE, Account, OWNER, Tables};
use crate::sandbox::table::{Row, Table};

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
    /// A number.
    Number(f64),
    /// A day.
    Date(NaiveDate),
    /// A date-time; seconds count, fractions do not.
    Instant(DateTime<Utc>),
    /// An address: city and country.
    Address(Option<String>, Option<String>),
}

impl Value {
    /// Salesforce stores no empty text: it is null.
    pub fn text(text: &str) -> Self {
        if text.is_empty() { Self::Null } else { Self::Text(text.to_owned()) }
    }

    /// A text that may be missing.
    pub fn maybe(text: Option<&String>) -> Self {
        text.map_or(Self::Null, |text| Self::text(text))
    }

    /// A company's address on the web.
    pub fn website(company: &Company) -> Self {
        if company.domain.is_empty() { Self::Null } else { Self::Text(format!("https://www.{}", company.domain)) }
    }

    /// The id of another record, if there is one.
    pub fn reference(prefix: &str, key: Option<u64>) -> Self {
        key.map_or(Self::Null, |key| Self::Id(ids::id(prefix, key)))
    }

    /// The text in it, if it is text and not empty.
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Id(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
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
    /// Text of up to 32,768 characters: no filter takes it.
    LongText,
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
    /// A number.
    Number,
    /// A day.
    Date,
    /// A date-time.
    Instant,
    /// An address made of other fields: no filter takes it.
    Address,
}

impl Kind {
    /// Whether WHERE and ORDER BY take fields of this type.
    pub fn is_filterable(self) -> bool {
        !matches!(self, Self::LongText | Self::Address)
    }
}

/// How a row yields a field; fields of a person account look at the contact behind it.
type Get<T> = Box<dyn Fn(&Row<T>, &Tables) -> Value + Send + Sync>;

/// One field.
pub struct Column<T: 'static> {
    /// Its API name, in the declared case.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// How a row yields it.
    pub get: Get<T>,
    /// Whether anybody may update it.
    pub updateable: bool,
    /// How it is written in the row itself.
    pub set: Option<fn(&mut T, Value)>,
    /// The compound field it is a part of.
    pub compound: Option<&'static str>,
    /// Whether it is a formula.
    pub calculated: bool,
    /// Whether it exists only in orgs with person accounts.
    pub person_accounts_only: bool,
    /// On an account: the field of its contact that this one shows.
    pub of_contact: Option<&'static str>,
}

impl<T> Column<T> {
    /// A field that nobody may update.
    pub fn new(name: &str, kind: Kind, get: impl Fn(&Row<T>, &Tables) -> Value + Send + Sync + 'static) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            get: Box::new(get),
            updateable: false,
            set: None,
            compound: None,
            calculated: false,
            person_accounts_only: false,
            of_contact: None,
        }
    }

    /// One that may be updated.
    #[must_use]
    pub fn writable(self, set: fn(&mut T, Value)) -> Self {
        Self { updateable: true, set: Some(set), ..self }
    }

    /// One that is a part of a compound field.
    #[must_use]
    pub fn part_of(self, compound: &'static str) -> Self {
        Self { compound: Some(compound), ..self }
    }

    /// One that a formula yields.
    #[must_use]
    pub fn formula(self) -> Self {
        Self { calculated: true, ..self }
    }

    /// One that exists only in orgs with person accounts.
    #[must_use]
    pub fn with_person_accounts(self) -> Self {
        Self { person_accounts_only: true, ..self }
    }

    /// Whether someone made it in this org.
    pub fn is_custom(&self) -> bool {
        self.name.ends_with("__c") || self.name.ends_with("__pc")
    }
}

/// An object of the org.
pub trait Record: Clone + Send + Sync + 'static {
    /// `Contact`
    const TYPE: &'static str;
    /// The first three characters of its ids.
    const PREFIX: &'static str;
    /// Whether `Account.…` leads anywhere from here.
    const HAS_ACCOUNT: bool;
    /// All fields.
    fn columns() -> &'static [Column<Self>];
    /// Where its rows are.
    fn table(tables: &Tables) -> &Table<Self>;
    /// Where its rows are, to change them.
    fn table_mut(tables: &mut Tables) -> &mut Table<Self>;
    /// Key of the parent Account.
    fn account(&self) -> Option<u64> {
        None
    }
    /// Key of the owning user.
    fn owner(&self) -> u64 {
        OWNER.0
    }
    /// Takes note that someone edited the row at `now`.
    fn modified(&mut self, _now: DateTime<Utc>) {}
    /// Gives the record to another user.
    fn assign(&mut self, _owner: u64) {}
    /// The field of this name, whatever its case.
    fn column(name: &str) -> Option<&'static Column<Self>> {
        Self::columns().iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }
}

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
            None => Self::Own(T::column(field)?),
            Some(parent) if T::HAS_ACCOUNT && parent.eq_ignore_ascii_case("Account") => {
                Self::Account(Account::column(field)?)
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

    /// The path in the declared case: `Account.Name`.
    pub fn spelling(&self) -> String {
        match self {
            Self::Own(column) => column.name.clone(),
            Self::Account(column) => format!("Account.{}", column.name),
            Self::Owner(field) => format!("Owner.{field}"),
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
    pub fn value(&self, row: &Row<T>, tables: &Tables) -> Value {
        match self {
            Self::Own(column) => (column.get)(row, tables),
            Self::Account(column) => row
                .value
                .account()
                .and_then(|key| tables.accounts.row(key))
                .map_or(Value::Null, |account| (column.get)(account, tables)),
            Self::Owner("Id") => Value::reference("005", Some(row.value.owner())),
            Self::Owner(_) if row.value.owner() == ASSIGNEE.0 => Value::Text(ASSIGNEE.1.to_owned()),
            Self::Owner(_) => Value::Text(OWNER.1.to_owned()),
        }
    }
}

/// The fields every object has.
pub fn system<T: Record>() -> Vec<Column<T>> {
    vec![
        Column::new("Id", Kind::Id, |row: &Row<T>, _| Value::Id(ids::id(T::PREFIX, row.key))),
        Column::new("IsDeleted", Kind::Bool, |row, _| Value::Bool(row.deleted.is_some())),
        Column::new("CreatedDate", Kind::Instant, |row, _| Value::Instant(row.created)),
        Column::new("SystemModstamp", Kind::Instant, |row, _| row.stamp.map_or(Value::Null, Value::Instant)),
    ]
}
