//! Answers a parsed query from a table: names resolved, types checked, the cheapest walk chosen.
//! It must not know pages, tokens or HTTP.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::sandbox::salesforce::columns::{Kind, Path, Record, Value};
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::records::Tables;
use crate::sandbox::salesforce::soql::{Comparison, Condition, Literal, Malformed, Name, Query, Select};
use crate::sandbox::table::Row;

/// How long a deleted row stays in the bin, where `queryAll` sees it.
const BIN_LIFE: TimeDelta = TimeDelta::days(15);

/// Why a query is refused: the error code, the words, and the place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// `INVALID_FIELD`, `MALFORMED_QUERY`, …
    pub code: &'static str,
    /// Salesforce's words.
    pub message: String,
    /// 0-based place in the text.
    pub at: usize,
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Self {
        Self { code: "MALFORMED_QUERY", message: malformed.message, at: malformed.at }
    }
}

enum Test<T: 'static> {
    All(Vec<Test<T>>),
    Any(Vec<Test<T>>),
    Not(Box<Test<T>>),
    Compare(Path<T>, Comparison, Value),
    Within(Path<T>, Vec<Value>, bool),
}

/// A query whose names and types are right.
pub struct Plan<T: 'static> {
    /// The fields asked for; `None` for `COUNT()`.
    pub fields: Option<Vec<Path<T>>>,
    test: Test<T>,
    order: Vec<(Path<T>, bool)>,
    limit: usize,
}

/// Resolves the names of `query` against `T`; `hidden` says which fields the user may not see.
pub fn plan<T: Record>(query: &Query, hidden: &dyn Fn(&str) -> bool) -> Result<Plan<T>, Refused> {
    let fields = match &query.select {
        Select::Count => None,
        Select::Fields(names) => {
            Some(names.iter().map(|name| resolve(name, hidden)).collect::<Result<Vec<_>, Refused>>()?)
        }
    };
    let test = query.condition.as_ref().map_or(Ok(Test::All(Vec::new())), |condition| check(condition, hidden))?;
    let order = query.order.iter().map(|order| Ok((filterable(&order.field, hidden)?, order.descending)));
    Ok(Plan { fields, test, order: order.collect::<Result<_, Refused>>()?, limit: query.limit.unwrap_or(usize::MAX) })
}

fn resolve<T: Record>(name: &Name, hidden: &dyn Fn(&str) -> bool) -> Result<Path<T>, Refused> {
    Path::resolve(&name.text, hidden).ok_or_else(|| Refused {
        code: "INVALID_FIELD",
        message: format!(
            "No such column '{}' on entity '{}'. If you are attempting to use a custom field, be sure to append the \
             '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate \
             names.",
            name.text,
            T::TYPE
        ),
        at: name.at,
    })
}

/// A field that WHERE and ORDER BY take.
fn filterable<T: Record>(name: &Name, hidden: &dyn Fn(&str) -> bool) -> Result<Path<T>, Refused> {
    let path: Path<T> = resolve(name, hidden)?;
    if path.kind().is_filterable() {
        return Ok(path);
    }
    let message = format!("field '{}' can not be filtered in a query call", name.text);
    Err(Refused { code: "INVALID_FIELD", message, at: name.at })
}

fn check<T: Record>(condition: &Condition, hidden: &dyn Fn(&str) -> bool) -> Result<Test<T>, Refused> {
    let all = |terms: &[Condition]| terms.iter().map(|term| check(term, hidden)).collect::<Result<Vec<_>, _>>();
    Ok(match condition {
        Condition::All(terms) => Test::All(all(terms)?),
        Condition::Any(terms) => Test::Any(all(terms)?),
        Condition::Not(term) => Test::Not(Box::new(check(term, hidden)?)),
        Condition::Compare { field, comparison, literal } => {
            let path = filterable(field, hidden)?;
            Test::Compare(path, *comparison, operand(&path, field, literal)?)
        }
        Condition::Within { field, literals, negated } => {
            let path = filterable(field, hidden)?;
            let operands = literals.iter().map(|literal| operand(&path, field, literal));
            Test::Within(path, operands.collect::<Result<_, _>>()?, *negated)
        }
    })
}

/// The literal as a value of the field's type.
fn operand<T: Record>(path: &Path<T>, field: &Name, literal: &Literal) -> Result<Value, Refused> {
    let refused = |code, message| Err(Refused { code, message, at: field.at });
    match (path.kind(), literal) {
        (_, Literal::Null) => Ok(Value::Null),
        (Kind::Bool, Literal::Bool(bool)) => Ok(Value::Bool(*bool)),
        (Kind::Number, Literal::Number(number)) => Ok(Value::Number(*number)),
        (Kind::Date, Literal::Date(day)) => Ok(Value::Date(*day)),
        (Kind::Instant, Literal::Instant(instant)) => Ok(Value::Instant(instant.trunc_subsecs(0))),
        (Kind::Id | Kind::Reference(..), Literal::Text(id)) => match ids::key(path.prefix(), id) {
            Some(key) => Ok(Value::Id(ids::id(path.prefix(), key))),
            None => refused("INVALID_QUERY_FILTER_OPERATOR", format!("invalid ID field: {id}")),
        },
        (kind @ (Kind::Bool | Kind::Instant | Kind::Number | Kind::Date), Literal::Text(_)) => {
            let wanted = match kind {
                Kind::Bool => "boolean",
                Kind::Number => "double",
                Kind::Date => "date",
                _ => "dateTime",
            };
            let message = format!(
                "value of filter criterion for field '{}' must be of type {wanted} and should not be enclosed in quotes",
                field.text
            );
            refused("INVALID_FIELD", message)
        }
        (Kind::Bool | Kind::Instant | Kind::Number | Kind::Date | Kind::Id | Kind::Reference(..), _) => {
            let message = format!("value of filter criterion for field '{}' is of the wrong type", field.text);
            refused("INVALID_FIELD", message)
        }
        (_, Literal::Text(text)) if text.chars().count() <= 4000 => Ok(Value::Text(text.clone())),
        _ => {
            let message = format!(
                "value of filter criterion for field '{}' must be of type string and should be enclosed in quotes",
                field.text
            );
            refused("INVALID_FIELD", message)
        }
    }
}

impl<T: Record> Plan<T> {
    /// The matching rows, in order; binned ones only with `binned`.
    pub fn run(&self, tables: &Tables, binned: bool, now: DateTime<Utc>) -> Vec<Arc<Row<T>>> {
        let table = T::table(tables);
        let shown = |deleted: DateTime<Utc>| binned && now - deleted < BIN_LIFE;
        let wanted = |row: &&Arc<Row<T>>| row.deleted.is_none_or(shown) && holds(&self.test, row, tables);
        let reach = reach(&self.test);
        let walk = self.walk();
        if let Some(keys) = &reach.named {
            let mut keys = keys.clone();
            keys.sort_unstable();
            keys.dedup();
            let rows = keys.iter().filter_map(|key| table.get(*key, now)).filter(wanted).cloned().collect();
            return self.sorted(rows, tables);
        }
        let (by_stamp, in_order) = walk.map_or((reach.stamp.is_bounded(), false), |by_stamp| (by_stamp, true));
        let most = if in_order { self.limit } else { usize::MAX };
        let rows = if by_stamp {
            let low = reach.stamp.low.map_or(Bound::Unbounded, |low| Bound::Included((Some(low), 0)));
            let high = reach.stamp.high.map_or(Bound::Unbounded, |high| Bound::Included((Some(high), u64::MAX)));
            if reach.stamp.is_empty() {
                return Vec::new();
            }
            table.by_stamp((low, high), now).filter(wanted).take(most).cloned().collect()
        } else {
            if reach.key.is_empty() {
                return Vec::new();
            }
            let range = (reach.key.low.unwrap_or(0), reach.key.high.unwrap_or(u64::MAX));
            table.by_key(range.0..=range.1, now).filter(wanted).take(most).cloned().collect()
        };
        if in_order { rows } else { self.sorted(rows, tables) }
    }

    /// Whether an index already has the order asked for: `Some(true)` the stamps, `Some(false)` the ids.
    fn walk(&self) -> Option<bool> {
        match self.order.as_slice() {
            [(id, false)] if id.is("Id") => Some(false),
            [(stamp, false), (id, false)] if stamp.is("SystemModstamp") && id.is("Id") => Some(true),
            _ => None,
        }
    }

    /// Sorted as asked; what the query leaves open comes in an order that is stable but of no use to anybody.
    fn sorted(&self, rows: Vec<Arc<Row<T>>>, tables: &Tables) -> Vec<Arc<Row<T>>> {
        let keyed = rows.into_iter().map(|row| {
            let keys: Vec<Value> = self.order.iter().map(|(path, _)| path.value(&row, tables)).collect();
            (keys, row)
        });
        let mut keyed: Vec<_> = keyed.collect();
        keyed.sort_by(|(left, left_row), (right, right_row)| {
            let sides = left.iter().zip(right).zip(&self.order);
            let mut by_keys = sides.map(|((left, right), (_, descending))| {
                let order = nulls_first(left, right);
                if *descending { order.reverse() } else { order }
            });
            by_keys
                .find(|order| order.is_ne())
                .unwrap_or_else(|| scrambled(left_row.key).cmp(&scrambled(right_row.key)))
        });
        keyed.into_iter().map(|(_, row)| row).take(self.limit).collect()
    }
}

fn scrambled(key: u64) -> u64 {
    key.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}

fn nulls_first(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        _ => compare(left, right).unwrap_or(Ordering::Equal),
    }
}

/// Text without case, ids with, date-times by the second; null compares with nothing.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => Some(left.to_lowercase().cmp(&right.to_lowercase())),
        (Value::Id(left), Value::Id(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
        (Value::Date(left), Value::Date(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Instant(left), Value::Instant(right)) => Some(left.timestamp().cmp(&right.timestamp())),
        _ => None,
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    (left == &Value::Null && right == &Value::Null) || compare(left, right) == Some(Ordering::Equal)
}

fn holds<T: Record>(test: &Test<T>, row: &Row<T>, tables: &Tables) -> bool {
    match test {
        Test::All(terms) => terms.iter().all(|term| holds(term, row, tables)),
        Test::Any(terms) => terms.iter().any(|term| holds(term, row, tables)),
        Test::Not(term) => !holds(term, row, tables),
        Test::Within(path, operands, negated) => {
            let value = path.value(row, tables);
            operands.iter().any(|operand| equal(&value, operand)) != *negated
        }
        Test::Compare(path, comparison, operand) => {
            let value = path.value(row, tables);
            let order = compare(&value, operand);
            match comparison {
                Comparison::Equal => equal(&value, operand),
                Comparison::NotEqual => !equal(&value, operand),
                Comparison::Less => order.is_some_and(Ordering::is_lt),
                Comparison::AtMost => order.is_some_and(Ordering::is_le),
                Comparison::Greater => order.is_some_and(Ordering::is_gt),
                Comparison::AtLeast => order.is_some_and(Ordering::is_ge),
            }
        }
    }
}

/// An inclusive range, open where `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span<V> {
    low: Option<V>,
    high: Option<V>,
}

impl<V: Ord + Copy> Span<V> {
    const ALL: Self = Self { low: None, high: None };

    fn is_bounded(self) -> bool {
        self.low.is_some() || self.high.is_some()
    }

    fn is_empty(self) -> bool {
        self.low.zip(self.high).is_some_and(|(low, high)| low > high)
    }

    fn narrowed(self, other: Self) -> Self {
        let high = [self.high, other.high].into_iter().flatten().min();
        Self { low: self.low.max(other.low), high }
    }

    fn widened(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.zip(other.high).map(|(one, two)| one.max(two)) }
    }

    fn around(comparison: Comparison, value: V) -> Self {
        match comparison {
            Comparison::Equal => Self { low: Some(value), high: Some(value) },
            Comparison::Less | Comparison::AtMost => Self { low: None, high: Some(value) },
            Comparison::Greater | Comparison::AtLeast => Self { low: Some(value), high: None },
            Comparison::NotEqual => Self::ALL,
        }
    }
}

/// Where matching rows can lie at all; never narrower than the test itself.
struct Reach {
    stamp: Span<DateTime<Utc>>,
    key: Span<u64>,
    named: Option<Vec<u64>>,
}

impl Reach {
    const ALL: Self = Self { stamp: Span::ALL, key: Span::ALL, named: None };
}

fn reach<T: Record>(test: &Test<T>) -> Reach {
    match test {
        Test::All(terms) => terms.iter().map(reach).fold(Reach::ALL, |left, right| Reach {
            stamp: left.stamp.narrowed(right.stamp),
            key: left.key.narrowed(right.key),
            named: left.named.or(right.named),
        }),
        Test::Any(terms) => {
            let union = terms.iter().map(reach).reduce(|left, right| Reach {
                stamp: left.stamp.widened(right.stamp),
                key: left.key.widened(right.key),
                named: left.named.zip(right.named).map(|(one, two)| [one, two].concat()),
            });
            union.unwrap_or(Reach::ALL)
        }
        Test::Compare(path, Comparison::Equal, Value::Id(id)) if path.is("Id") => {
            Reach { named: Some(ids::key(T::PREFIX, id).into_iter().collect()), ..Reach::ALL }
        }
        Test::Compare(path, comparison, Value::Id(id)) if path.is("Id") => {
            let key = ids::key(T::PREFIX, id).map_or(Span::ALL, |key| Span::around(*comparison, key));
            Reach { key, ..Reach::ALL }
        }
        Test::Compare(path, comparison, Value::Instant(instant)) if path.is("SystemModstamp") => {
            Reach { stamp: Span::around(*comparison, *instant), ..Reach::ALL }
        }
        Test::Within(path, operands, false) if path.is("Id") => {
            let named = operands.iter().filter_map(|operand| match operand {
                Value::Id(id) => ids::key(T::PREFIX, id),
                _ => None,
            });
            Reach { named: Some(named.collect()), ..Reach::ALL }
        }
        _ => Reach::ALL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::people::Person;
    use crate::sandbox::salesforce::records::{Contact, Details, Profile};
    use crate::sandbox::salesforce::soql;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_793_610_000 + second, 0).unwrap()
    }

    fn tables() -> Tables {
        let mut tables = Tables::new(1000);
        for row in 0..60 {
            let person = Person { last: format!("P{}", row % 3), ..Person::default() };
            let contact = Contact { profile: Profile::new(&person, at(0)), account: None, details: Details::default() };
            tables.contacts.insert(contact, at(0), Some(at(row * 7 % 20)), None);
        }
        tables
    }

    fn condition(rng: &mut fastrand::Rng, depth: u32) -> String {
        if depth > 0 && rng.u8(..3) > 0 {
            let join = [" AND ", " OR "][rng.usize(..2)];
            let terms: Vec<String> = (0..rng.usize(2..4)).map(|_| format!("({})", condition(rng, depth - 1))).collect();
            return terms.join(join);
        }
        let operator = ["=", "!=", "<", "<=", ">", ">="][rng.usize(..6)];
        let id = |rng: &mut fastrand::Rng| ids::id("003", rng.u64(995..1065));
        match rng.u8(..5) {
            0 | 1 => format!("SystemModstamp {operator} {}", at(rng.i64(-2..22)).format("%Y-%m-%dT%H:%M:%SZ")),
            2 => format!("Id {operator} '{}'", id(rng)),
            3 => format!("Id {}IN ('{}','{}','{}')", ["", "NOT "][rng.usize(..2)], id(rng), id(rng), id(rng)),
            _ => format!("LastName {operator} 'P1'"),
        }
    }

    /// The planner may narrow the walk only to where all matches are: it must agree with a walk over everything.
    #[test]
    fn narrowed_walks_find_what_a_full_one_finds() {
        let tables = tables();
        let run = |text: &str| -> Vec<u64> {
            let query = soql::parse(text).unwrap();
            let rows = plan::<Contact>(&query, &|_| false).unwrap().run(&tables, false, at(99));
            rows.iter().map(|row| row.key).collect()
        };
        let mut rng = fastrand::Rng::with_seed(7);
        let mut found = 0;
        for _ in 0..500 {
            let condition = condition(&mut rng, 3);
            for order in
                ["", "ORDER BY Id", "ORDER BY SystemModstamp, Id LIMIT 9", "ORDER BY SystemModstamp DESC, Id DESC"]
            {
                let narrowed = run(&format!("SELECT Id FROM Contact WHERE {condition} {order}"));
                let full = run(&format!("SELECT Id FROM Contact WHERE NOT (NOT ({condition})) {order}"));
                assert_eq!(narrowed, full, "{condition} {order}");
                found += full.len();
            }
        }
        assert!(found > 1000, "the conditions match something");
    }
}
