//! A mapping rule as it is configured under `[sources.NAME.map]`, and the contact's fields a rule can fill. What a rule
//! means is for the compiler in [`crate::mapping`]; this file knows only how it is spelled.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A field of the contact that a rule can fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the field of the same name in domain::contact::Draft")]
pub enum Target {
    FirstName,
    LastName,
    Email,
    Phone,
    LinkedinUrl,
    PrimaryLanguage,
    Strategy,
    Tags,
    Company,
    CompanyId,
    CompanyWebsite,
    CompanyDomain,
    CompanyCountry,
    JobTitle,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 14] = [
        Self::FirstName,
        Self::LastName,
        Self::Email,
        Self::Phone,
        Self::LinkedinUrl,
        Self::PrimaryLanguage,
        Self::Strategy,
        Self::Tags,
        Self::Company,
        Self::CompanyId,
        Self::CompanyWebsite,
        Self::CompanyDomain,
        Self::CompanyCountry,
        Self::JobTitle,
    ];

    /// Its key in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::LinkedinUrl => "linkedin_url",
            Self::PrimaryLanguage => "primary_language",
            Self::Strategy => "strategy",
            Self::Tags => "tags",
            Self::Company => "company",
            Self::CompanyId => "company_id",
            Self::CompanyWebsite => "company_website",
            Self::CompanyDomain => "company_domain",
            Self::CompanyCountry => "company_country",
            Self::JobTitle => "job_title",
        }
    }

    /// The target of that key.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Whether it takes a list; every other target takes one text.
    #[must_use]
    pub fn is_list(self) -> bool {
        self == Self::Tags
    }
}

/// What a copied text is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum As {
    /// As it is.
    #[default]
    Text,
    /// A phone number in E.164; as it is, where it cannot be read as a number without loss.
    E164,
    /// Lower case.
    Lower,
    /// ISO 639-1, from a code, a locale or a common name.
    Language,
    /// ISO 3166-1 alpha-2, from a code or a common name.
    Country,
    /// A LinkedIn profile in Propstreet's form; as it is, where it cannot be read as one.
    Linkedin,
    /// The part of a whole name before the first blank.
    SplitFirst,
    /// The part of a whole name after the first blank.
    SplitLast,
    /// Several texts, split at `separator`. What `tags` does by itself.
    List,
    /// The first of several texts, split at `separator`.
    First,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `false`: the target stays empty, also where a default would fill it.
    Off,
    /// `{ from = … }`: the first of these fields that has a value.
    Copy {
        /// Fields of the record, the preferred first.
        from: Vec<String>,
        /// What the value is made into; by default a text, for `tags` a list.
        change: Option<As>,
        /// Where a text is split into a list; by default `;`.
        separator: Option<String>,
        /// The country whose national phone numbers are meant, ISO 3166-1 alpha-2; by default the source's.
        region: Option<String>,
        /// Whether a field that the CRM does not send counts as empty.
        optional: bool,
    },
    /// `{ const = … }`: the same for everyone.
    Const(Vec<String>),
    /// `{ expr = … }`: an expression over the record's fields.
    Expr {
        /// The expression.
        source: String,
        /// Whether a field that the CRM does not send counts as empty.
        optional: bool,
    },
}

impl Rule {
    /// A rule that copies the first of these fields that has a value.
    #[must_use]
    pub fn copy(from: &[&str]) -> Self {
        let from = from.iter().map(|field| (*field).to_owned()).collect();
        Self::Copy { from, change: None, separator: None, region: None, optional: false }
    }

    /// A rule that runs an expression.
    #[must_use]
    pub fn expr(source: &str) -> Self {
        Self::Expr { source: source.to_owned(), optional: false }
    }

    /// The same rule, making something of what it copies.
    #[must_use]
    pub fn made(mut self, into: As) -> Self {
        if let Self::Copy { change, .. } = &mut self {
            *change = Some(into);
        }
        self
    }

    /// The same rule, with or without need of fields that the CRM does not send.
    #[must_use]
    pub fn optional(mut self, on: bool) -> Self {
        if let Self::Copy { optional, .. } | Self::Expr { optional, .. } = &mut self {
            *optional = on;
        }
        self
    }

    /// Whether fields that the CRM does not send count as empty.
    #[must_use]
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::Copy { optional: true, .. } | Self::Expr { optional: true, .. })
    }
}

/// A rule as a table; exactly one of `from`, `const` and `expr`.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Table {
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<OneOrMany>,
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    change: Option<As>,
    #[serde(skip_serializing_if = "Option::is_none")]
    separator: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(rename = "const", skip_serializing_if = "Option::is_none")]
    constant: Option<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expr: Option<String>,
    #[serde(deserialize_with = "switch", skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
}

/// The environment carries texts alone, so that `true` may come as one.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Bool(on) => Ok(on),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" => Ok(false),
        _ => Err(serde::de::Error::custom("`optional` is true or false")),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }

    fn of(texts: &[String]) -> Self {
        match texts {
            [one] => Self::One(one.clone()),
            many => Self::Many(many.to_vec()),
        }
    }
}

impl TryFrom<Table> for Rule {
    type Error = &'static str;

    fn try_from(table: Table) -> Result<Self, Self::Error> {
        const ONE: &str = "a rule has exactly one of `from`, `const` and `expr`";
        let Table { from, change, separator, region, constant, expr, optional } = table;
        let plain = change.is_none() && separator.is_none() && region.is_none();
        match (from, constant, expr) {
            (Some(from), None, None) => Ok(Self::Copy { from: from.into_vec(), change, separator, region, optional }),
            (None, Some(_), None) | (None, None, Some(_)) if !plain => Err(
                "`as`, `separator` and `region` go with `from` alone; in an expression use filters: `Phone|e164('SE')`",
            ),
            (None, Some(_), None) if optional => Err("a constant reads no field: remove `optional`"),
            (None, Some(constant), None) => Ok(Self::Const(constant.into_vec())),
            (None, None, Some(source)) => Ok(Self::Expr { source, optional }),
            _ => Err(ONE),
        }
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = Rule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#"a rule: { from = "FIELD" }, { const = "text" }, { expr = "expression" }, or false"#)
    }

    fn visit_bool<E: serde::de::Error>(self, on: bool) -> Result<Rule, E> {
        if on {
            Err(E::custom("`false` switches a default off; to keep the default, leave the line out"))
        } else {
            Ok(Rule::Off)
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rule, E> {
        // The environment carries texts alone.
        if text == "false" {
            return Ok(Rule::Off);
        }
        Err(E::custom(r#"a text alone may be a field or a constant: write { from = "FIELD" } or { const = "text" }"#))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rule, A::Error> {
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        Rule::try_from(table).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let optional = self.is_optional();
        let table = match self {
            Self::Off => return serializer.serialize_bool(false),
            Self::Copy { from, change, separator, region, .. } => Table {
                from: Some(OneOrMany::of(from)),
                change: *change,
                separator: separator.clone(),
                region: region.clone(),
                optional,
                ..Table::default()
            },
            Self::Const(texts) => Table { constant: Some(OneOrMany::of(texts)), ..Table::default() },
            Self::Expr { source, .. } => Table { expr: Some(source.clone()), optional, ..Table::default() },
        };
        table.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn parse(rule: &str) -> Result<Rule, String> {
        let mut map: BTreeMap<String, Rule> =
            toml::from_str(&format!("x = {rule}")).map_err(|e| e.message().to_owned())?;
        map.remove("x").ok_or_else(|| "no rule".to_owned())
    }

    #[test]
    fn every_spelling_is_read_and_written_back() {
        let full = Rule::Copy {
            from: vec!["A".to_owned(), "B.C".to_owned()],
            change: Some(As::E164),
            separator: Some(",".to_owned()),
            region: Some("SE".to_owned()),
            optional: true,
        };
        for (spelling, rule) in [
            ("false", Rule::Off),
            (r#"{ from = "A" }"#, Rule::copy(&["A"])),
            (r#"{ from = ["A", "B"] }"#, Rule::copy(&["A", "B"])),
            (r#"{ from = ["A", "B.C"], as = "e164", region = "SE", separator = ",", optional = true }"#, full),
            (r#"{ from = "A", optional = "true" }"#, Rule::copy(&["A"]).optional(true)),
            (r#"{ from = "A", optional = false }"#, Rule::copy(&["A"])),
            (r#"{ expr = "A", optional = true }"#, Rule::expr("A").optional(true)),
            (r#"{ from = "Name", as = "split_first" }"#, Rule::copy(&["Name"]).made(As::SplitFirst)),
            (r#"{ from = "Mails", as = "first" }"#, Rule::copy(&["Mails"]).made(As::First)),
            (r#"{ from = "Profile", as = "linkedin" }"#, Rule::copy(&["Profile"]).made(As::Linkedin)),
            (r#"{ const = "x" }"#, Rule::Const(vec!["x".to_owned()])),
            (r#"{ const = ["x", "y"] }"#, Rule::Const(vec!["x".to_owned(), "y".to_owned()])),
            (r#"{ expr = "A or B" }"#, Rule::expr("A or B")),
        ] {
            assert_eq!(parse(spelling).as_ref(), Ok(&rule), "{spelling}");
            let json = serde_json::to_value(&rule).expect("a rule is plain data");
            assert_eq!(serde_json::from_value::<Rule>(json).expect("its own spelling"), rule, "{spelling}");
        }
    }

    #[test]
    fn a_wrong_spelling_is_told_what_is_right() {
        for (spelling, message) in [
            ("true", "leave the line out"),
            ("\"Phone\"", "write { from = \"FIELD\" }"),
            ("7", "a rule: { from = \"FIELD\" }"),
            ("{}", "exactly one of `from`, `const` and `expr`"),
            (r#"{ from = "A", expr = "B" }"#, "exactly one of"),
            (r#"{ as = "e164" }"#, "exactly one of"),
            (r#"{ expr = "A", as = "lower" }"#, "in an expression use filters"),
            (r#"{ const = "A", region = "SE" }"#, "go with `from` alone"),
            (r#"{ form = "A" }"#, "unknown field `form`, expected one of `from`, `as`"),
            (r#"{ const = "A", optional = true }"#, "a constant reads no field"),
            (r#"{ from = "A", optional = "maybe" }"#, "`optional` is true or false"),
            (r#"{ from = 7 }"#, "expected a text or a list of texts"),
            (r#"{ from = "A", as = "E164" }"#, "unknown variant `E164`, expected one of `text`, `e164`"),
        ] {
            let error = parse(spelling).expect_err(spelling);
            assert!(error.contains(message), "{spelling}: {error}");
        }
    }

    #[test]
    fn targets_are_found_by_their_key() {
        for target in Target::ALL {
            assert_eq!(Target::parse(target.name()), Some(target));
        }
        assert_eq!(Target::parse("firstname"), None);
    }
}
