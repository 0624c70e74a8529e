//! The body of a search: parsed, refused where HubSpot refuses, and matched against index entries and records.
//! It must not know rates, paths or tokens.

use std::ops::Bound;

use chrono::DateTime;
use http::StatusCode;
use serde_json::{Map, Value as Json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::definitions::Definitions;
use crate::sandbox::hubspot::properties::{Kind, Object, Property};
use crate::sandbox::table::Row;

/// The longest page.
pub const PAGE: usize = 200;
/// How far paging by offset reaches.
pub const REACH: usize = 10_000;
const BODY_CAP: usize = 3_000;
const GROUPS: usize = 5;
const FILTERS: usize = 6;
const FILTERS_IN_ALL: usize = 18;

/// A parsed search.
pub struct Search<'a, T: 'static> {
    groups: Vec<Vec<Filter<'a, T>>>,
    /// The property sorted by and whether downwards; creation order when absent.
    pub sort: Option<(&'a Property<T>, bool)>,
    /// The properties asked for.
    pub properties: Vec<String>,
    /// Rows a page.
    pub limit: usize,
    /// Rows before the page.
    pub offset: usize,
}

struct Filter<'a, T: 'static> {
    subject: Subject<'a, T>,
    test: Test,
}

enum Subject<'a, T: 'static> {
    Property(&'a Property<T>),
    /// The pseudo-property `associations.company`.
    Company,
}

enum Test {
    Between(Bound<Operand>, Bound<Operand>),
    OneOf(Vec<Operand>),
    NoneOf(Vec<Operand>),
    Known,
    Unknown,
    Token(String),
    NoToken(String),
}

#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Operand {
    Number(i128),
    Text(String),
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::invalid(message)
}

impl<'a, T: Object> Search<'a, T> {
    /// Parses the body; only properties that are defined can be searched by.
    pub fn parse(body: &[u8], definitions: &'a Definitions<T>) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| invalid("Invalid input JSON"))?;
        if text.chars().count() > BODY_CAP {
            return Err(invalid("The request body is too large: the maximum is 3000 characters"));
        }
        let body: Map<String, Json> = serde_json::from_str(text).map_err(|_| invalid("Invalid input JSON"))?;
        let limit = number(&body, "limit")?.unwrap_or(10);
        if !(1..=PAGE).contains(&limit) {
            return Err(invalid(format!("limit must be between 1 and {PAGE}")));
        }
        let offset = number(&body, "after")?.unwrap_or(0);
        if offset.saturating_add(limit) > REACH {
            return Err(invalid(format!("There was a problem with the request: paging past {REACH} results")));
        }
        if body.get("query").and_then(Json::as_str).is_some_and(|query| !query.is_empty()) {
            return Err(invalid("This portal's search takes filters only"));
        }
        let properties = strings(body.get("properties"))?;
        Ok(Self { groups: groups(&body, definitions)?, sort: sort(&body, definitions)?, properties, limit, offset })
    }

    /// Whether an entry of the index matches.
    pub fn matches(&self, entry: &Row<T>) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| group.iter().all(|filter| filter.holds(entry)))
    }

    /// Whether it asks, in id order, for exactly the entries within `stamps` and `keys`: the form clients poll with.
    pub fn is_window(&self) -> bool {
        let by_id = self.sort.is_none_or(|(property, down)| property.name == "hs_object_id" && !down);
        let plain = |filter: &Filter<'a, T>| match (&filter.subject, &filter.test) {
            (Subject::Property(property), Test::Between(..)) => {
                [T::MODIFIED, "hs_object_id"].contains(&property.name.as_ref())
            }
            _ => false,
        };
        by_id && self.groups.len() == 1 && self.groups[0].iter().all(plain)
    }

    /// The widest range of stamps that can match, in epoch milliseconds; inclusive.
    pub fn stamps(&self) -> (Option<i128>, Option<i128>) {
        self.hull(T::MODIFIED)
    }

    /// The widest range of ids that can match; inclusive.
    pub fn keys(&self) -> (Option<i128>, Option<i128>) {
        self.hull("hs_object_id")
    }

    fn hull(&self, name: &str) -> (Option<i128>, Option<i128>) {
        let one = |group: &Vec<Filter<'a, T>>| {
            let spans = group.iter().filter_map(|filter| filter.span(name));
            spans.fold((None, None), |(low, high), (other_low, other_high)| {
                (low.max(other_low), [high, other_high].into_iter().flatten().min())
            })
        };
        let both = self.groups.iter().map(one).reduce(|(low, high), (other_low, other_high)| {
            (low.min(other_low), high.zip(other_high).map(|(one, two): (i128, i128)| one.max(two)))
        });
        both.unwrap_or((None, None))
    }
}

impl<T: Object> Filter<'_, T> {
    fn holds(&self, entry: &Row<T>) -> bool {
        let value = match &self.subject {
            Subject::Property(property) if T::DEAF == Some(property.name.as_ref()) => return false,
            // The two that every poll asks for, without a detour through text.
            Subject::Property(property) if property.name == T::MODIFIED => {
                entry.stamp.map(|stamp| Operand::Number(stamp.timestamp_millis().into()))
            }
            Subject::Property(property) if property.name == "hs_object_id" => Some(Operand::Number(entry.key.into())),
            Subject::Property(property) => property.get(entry).and_then(|text| operand(property.kind, &text).ok()),
            Subject::Company => {
                let companies = entry.value.employers().into_iter();
                return companies.map(|key| Operand::Number(key.into())).any(|key| self.test.holds(Some(&key)));
            }
        };
        self.test.holds(value.as_ref())
    }

    fn span(&self, name: &str) -> Option<(Option<i128>, Option<i128>)> {
        let Subject::Property(property) = &self.subject else { return None };
        let number = |operand: &Operand| if let Operand::Number(number) = operand { Some(*number) } else { None };
        let bound = |bound: &Bound<Operand>, inwards: i128| match bound {
            Bound::Included(operand) => number(operand),
            Bound::Excluded(operand) => number(operand).map(|number| number + inwards),
            Bound::Unbounded => None,
        };
        match &self.test {
            _ if property.name != name => None,
            Test::Between(low, high) => Some((bound(low, 1), bound(high, -1))),
            Test::OneOf(operands) => {
                let numbers: Vec<i128> = operands.iter().filter_map(number).collect();
                Some((numbers.iter().min().copied(), numbers.iter().max().copied()))
            }
            _ => None,
        }
    }
}

impl Test {
    fn holds(&self, value: Option<&Operand>) -> bool {
        let token = |token: &String| matches!(value, Some(Operand::Text(text)) if has_token(text, token));
        match self {
            Self::Known => value.is_some(),
            Self::Unknown => value.is_none(),
            Self::NoneOf(operands) => !value.is_some_and(|value| operands.contains(value)),
            Self::OneOf(operands) => value.is_some_and(|value| operands.contains(value)),
            Self::Between(low, high) => value.is_some_and(|value| {
                let above = match low {
                    Bound::Included(low) => value >= low,
                    Bound::Excluded(low) => value > low,
                    Bound::Unbounded => true,
                };
                let below = match high {
                    Bound::Included(high) => value <= high,
                    Bound::Excluded(high) => value < high,
                    Bound::Unbounded => true,
                };
                above && below
            }),
            Self::Token(wanted) => token(wanted),
            Self::NoToken(unwanted) => !token(unwanted),
        }
    }
}

fn has_token(text: &str, token: &str) -> bool {
    let (text, token) = (text.to_lowercase(), token.to_lowercase());
    text.split(|char: char| !char.is_alphanumeric()).any(|word| match token.trim_matches('*') {
        part if part.len() < token.len() => word.contains(part),
        whole => word == whole,
    })
}

fn groups<'a, T: Object>(
    body: &Map<String, Json>,
    definitions: &'a Definitions<T>,
) -> Result<Vec<Vec<Filter<'a, T>>>, Refusal> {
    let bare = body.get("filters").map(|filters| vec![filters.clone()]);
    let grouped = match body.get("filterGroups") {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Array(groups)) => groups.iter().map(|group| group["filters"].clone()).collect(),
        Some(_) => return Err(invalid("filterGroups must be a list")),
    };
    let lists: Vec<Json> = grouped.into_iter().chain(bare.unwrap_or_default()).collect();
    let mut groups = Vec::new();
    for list in &lists {
        let filters = list.as_array().ok_or_else(|| invalid("filters must be a list"))?;
        groups.push(filters.iter().map(|one| filter(one, definitions)).collect::<Result<Vec<_>, _>>()?);
    }
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    if sizes.len() > GROUPS || sizes.iter().any(|size| *size > FILTERS) || sizes.iter().sum::<usize>() > FILTERS_IN_ALL
    {
        return Err(invalid("too many filter groups or filters"));
    }
    Ok(groups)
}

fn filter<'a, T: Object>(json: &Json, definitions: &'a Definitions<T>) -> Result<Filter<'a, T>, Refusal> {
    let name = json["propertyName"].as_str().ok_or_else(|| invalid("propertyName is required"))?;
    let (subject, kind) = match definitions.find(name) {
        Some(property) => (Subject::Property(property), property.kind),
        None if name == "associations.company" => (Subject::Company, Kind::Number),
        None => return Err(invalid(format!("There was a problem with the request: unknown property {name}"))),
    };
    let text = |json: &Json| match json {
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        _ => Err(invalid("a filter needs a value")),
    };
    let value = |field: &str| operand(kind, &text(&json[field])?);
    let values = || {
        let list = json["values"].as_array().ok_or_else(|| invalid("this operator needs values"))?;
        list.iter().map(|one| operand(kind, &text(one)?)).collect::<Result<Vec<_>, Refusal>>()
    };
    let test = match json["operator"].as_str().unwrap_or_default() {
        "EQ" => Test::OneOf(vec![value("value")?]),
        "NEQ" => Test::NoneOf(vec![value("value")?]),
        "LT" => Test::Between(Bound::Unbounded, Bound::Excluded(value("value")?)),
        "LTE" => Test::Between(Bound::Unbounded, Bound::Included(value("value")?)),
        "GT" => Test::Between(Bound::Excluded(value("value")?), Bound::Unbounded),
        "GTE" => Test::Between(Bound::Included(value("value")?), Bound::Unbounded),
        "BETWEEN" => Test::Between(Bound::Included(value("value")?), Bound::Included(value("highValue")?)),
        "IN" => Test::OneOf(values()?),
        "NOT_IN" => Test::NoneOf(values()?),
        "HAS_PROPERTY" => Test::Known,
        "NOT_HAS_PROPERTY" => Test::Unknown,
        "CONTAINS_TOKEN" => Test::Token(text(&json["value"])?),
        "NOT_CONTAINS_TOKEN" => Test::NoToken(text(&json["value"])?),
        other => return Err(invalid(format!("operator {other:?} is not known"))),
    };
    Ok(Filter { subject, test })
}

fn operand(kind: Kind, text: &str) -> Result<Operand, Refusal> {
    let problem = || invalid("There was a problem with the request.");
    match kind {
        Kind::Text => Ok(Operand::Text(text.to_lowercase())),
        Kind::Choice | Kind::Choices | Kind::Flag => Ok(Operand::Text(text.to_owned())),
        Kind::Number => text.trim().parse().map(Operand::Number).map_err(|_| problem()),
        Kind::Instant => {
            let iso = || DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.timestamp_millis().into());
            let millis: i128 = text.parse().ok().or_else(iso).ok_or_else(problem)?;
            if millis < 1000 {
                let message = "internal error".to_owned();
                return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message));
            }
            Ok(Operand::Number(millis))
        }
    }
}

fn sort<'a, T: Object>(
    body: &Map<String, Json>,
    definitions: &'a Definitions<T>,
) -> Result<Option<(&'a Property<T>, bool)>, Refusal> {
    let rules = match body.get("sorts") {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Array(rules)) => rules,
        Some(_) => return Err(invalid("sorts must be a list")),
    };
    let (name, down) = match rules.as_slice() {
        [] => return Ok(None),
        [Json::String(name)] => (name.trim_start_matches('-').to_owned(), name.starts_with('-')),
        [rule @ Json::Object(_)] => {
            let name = rule["propertyName"].as_str().unwrap_or_default().to_owned();
            match rule["direction"].as_str() {
                None | Some("ASCENDING") => (name, false),
                Some("DESCENDING") => (name, true),
                Some(_) => return Err(invalid("direction must be ASCENDING or DESCENDING")),
            }
        }
        [_] => return Err(invalid("a sort is a name or an object")),
        _ => return Err(invalid("only one sort is allowed")),
    };
    Ok(Some((definitions.find(&name).ok_or_else(|| invalid(format!("cannot sort by {name}")))?, down)))
}

fn number(body: &Map<String, Json>, name: &str) -> Result<Option<usize>, Refusal> {
    let parsed = match body.get(name) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::String(text)) if text.is_empty() => return Ok(None),
        Some(Json::String(text)) => text.parse().ok(),
        Some(Json::Number(number)) => number.as_u64().and_then(|number| number.try_into().ok()),
        Some(_) => None,
    };
    parsed.map(Some).ok_or_else(|| invalid(format!("{name} must be a number")))
}

/// A list of strings, or nothing.
pub fn strings(json: Option<&Json>) -> Result<Vec<String>, Refusal> {
    match json {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(list)) => {
            let strings = list.iter().map(|one| one.as_str().map(str::to_owned));
            strings.collect::<Option<_>>().ok_or_else(|| invalid("properties must be strings"))
        }
        Some(_) => Err(invalid("properties must be a list")),
    }
}
