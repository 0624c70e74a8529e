//! What a property is: its name, its type, and how a record yields it and takes it.
//! It must not know which properties there are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::sandbox::table::Row;

/// How values of a property compare and what may be written, as its definition's `type` and `fieldType` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `string`: compares without case.
    Text,
    /// `enumeration`, one of the options: compares with case.
    Choice,
    /// `enumeration` of fieldType `checkbox`: options joined by `;`.
    Choices,
    /// `bool`: `true` or `false`, in text like all.
    Flag,
    /// `number`
    Number,
    /// `datetime`
    Instant,
}

/// Where the value of a property comes from.
pub enum Source<T: 'static> {
    /// A field of the record's own.
    Field(fn(&Row<T>) -> Option<String>, fn(&mut T, Option<String>)),
    /// The system: nobody writes it.
    System(fn(&Row<T>) -> Option<String>),
    /// What the record holds under the property's name.
    Held,
}

/// One property.
pub struct Property<T: 'static> {
    /// Its internal name.
    pub name: Cow<'static, str>,
    /// Its label.
    pub label: Cow<'static, str>,
    /// Its type.
    pub kind: Kind,
    /// The definition's `fieldType`.
    pub field_type: Cow<'static, str>,
    /// The options of an enumeration: value and label.
    pub options: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// Whether the portal made it rather than HubSpot.
    pub custom: bool,
    /// Whether clients cannot write it.
    pub read_only: bool,
    /// Whether the definition says `calculated`: a new value moves no modified date.
    pub calculated: bool,
    /// Whether people do not see it.
    pub hidden: bool,
    /// Whether no two records may have the same value.
    pub unique: bool,
    /// What the value is the id of: `OWNER`.
    pub refers_to: Option<&'static str>,
    /// Where the value comes from.
    pub source: Source<T>,
}

impl<T: Object> Property<T> {
    /// A text that records hold under its name.
    pub fn held(name: impl Into<Cow<'static, str>>, label: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            label: label.into(),
            kind: Kind::Text,
            field_type: "text".into(),
            options: Vec::new(),
            custom: false,
            read_only: false,
            calculated: false,
            hidden: false,
            unique: false,
            refers_to: None,
            source: Source::Held,
        }
    }

    /// A text that is a field of the record's own.
    pub fn field(
        name: &'static str,
        label: &'static str,
        get: fn(&Row<T>) -> Option<String>,
        set: fn(&mut T, Option<String>),
    ) -> Self {
        Self { source: Source::Field(get, set), ..Self::held(name, label) }
    }

    /// A property that the system alone writes.
    pub fn system(name: &'static str, label: &'static str, kind: Kind, get: fn(&Row<T>) -> Option<String>) -> Self {
        Self { source: Source::System(get), read_only: true, ..Self::held(name, label).of(kind) }
    }

    /// The same with another type, and the `fieldType` that usually goes with it.
    pub fn of(self, kind: Kind) -> Self {
        let field_type = match kind {
            Kind::Text => "text",
            Kind::Choice => "select",
            Kind::Choices => "checkbox",
            Kind::Flag => "booleancheckbox",
            Kind::Number => "number",
            // As HubSpot has it: a moment to the millisecond whose fieldType says `date`.
            Kind::Instant => "date",
        };
        Self { kind, field_type: field_type.into(), ..self }
    }

    /// The value in a record; empty is `None`.
    pub fn get(&self, row: &Row<T>) -> Option<String> {
        match &self.source {
            Source::Field(get, _) | Source::System(get) => get(row),
            Source::Held => row.value.held().get(self.name.as_ref()).cloned(),
        }
        .filter(|value| !value.is_empty())
    }

    /// Puts a value into a record, allowed or not.
    pub fn set(&self, value: &mut T, text: Option<String>) {
        match (&self.source, text.filter(|text| !text.is_empty())) {
            (Source::Field(_, set), text) => set(value, text),
            (Source::System(_), _) => {}
            (Source::Held, Some(text)) => drop(value.held_mut().insert(self.name.to_string(), text)),
            (Source::Held, None) => drop(value.held_mut().remove(self.name.as_ref())),
        }
    }
}

/// An object type of the portal.
pub trait Object: Clone + 'static {
    /// `contacts`
    const PLURAL: &'static str;
    /// `contact`
    const SINGULAR: &'static str;
    /// `0-1`
    const TYPE_ID: &'static str;
    /// The modification property that searches can filter by.
    const MODIFIED: &'static str;
    /// A modification property that exists and which no search matches.
    const DEAF: Option<&'static str>;
    /// What comes when no properties are asked for.
    const DEFAULTS: &'static [&'static str];
    /// All properties a new portal has.
    fn properties() -> Vec<Property<Self>>;
    /// The values of properties that are no field of the record's own.
    fn held(&self) -> &BTreeMap<String, String>;
    /// The same, to change.
    fn held_mut(&mut self) -> &mut BTreeMap<String, String>;
    /// Keys of the companies it is tied to.
    fn employers(&self) -> Vec<u64>;
}

/// `2026-02-01T10:11:12.345Z`
pub fn instant(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A text, unless it is empty.
pub fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Ids as HubSpot lists them in one value.
pub fn joined<V: ToString>(values: impl IntoIterator<Item = V>) -> Option<String> {
    known(&values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(";"))
}
