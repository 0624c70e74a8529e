//! Expressions in rules, and the only file that knows minijinja. An expression sees the record's fields as variables,
//! runs on bounded fuel, and reaches nothing else: no files, no clock, no functions, only filters and tests.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Object, ObjectRepr, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use rlibphonenumber::Region;
use serde_json::{Map, Value as Json};

use crate::mapping::transforms::{self, Change};

/// Steps one expression may take on one record; a plain one takes about twenty.
const FUEL: u64 = 20_000;

/// The variable that carries the source's region to the `e164` filter. No field can have this name in an expression.
const REGION: &str = "@region";

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    // An empty field is undefined, and what hangs below it too: `Account.Owner.Name` needs no guard.
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    let functions: Vec<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
    for name in functions {
        environment.remove_global(&name);
    }
    environment.add_filter("split", split);
    environment.add_filter("e164", e164);
    environment.add_filter("language", |value: &Value| changed(value, Change::Language));
    environment.add_filter("country", |value: &Value| changed(value, Change::Country));
    environment.add_filter("linkedin", |value: &Value| changed(value, Change::Linkedin));
    environment.add_filter("split_first", |value: &Value| changed(value, Change::SplitFirst));
    environment.add_filter("split_last", |value: &Value| changed(value, Change::SplitLast));
    environment
});

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    compiled: minijinja::Expression<'static, 'static>,
    paths: BTreeSet<String>,
    variables: BTreeSet<String>,
    /// The source's region as the variable [`REGION`].
    region: Option<Value>,
}

/// What an expression makes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Produced {
    /// Nothing, or a blank.
    Nothing,
    /// One text; numbers and booleans are written out.
    Text(String),
    /// Several texts, blanks left out.
    List(Vec<String>),
}

impl Expression {
    /// Compiles an expression and runs it once on a record without values, as every CRM has them.
    ///
    /// # Errors
    /// What is wrong with it: its syntax, a filter or test that does not exist (also in a branch the empty record does
    /// not take), or that it fails on empty fields.
    pub fn compile(source: &str, region: Option<Region>) -> Result<Self, String> {
        let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned()).map_err(|e| explain(&e))?;
        if let Some(unknown) = unknown_name(source) {
            return Err(unknown);
        }
        let paths: BTreeSet<String> = compiled.undeclared_variables(true).into_iter().collect();
        let variables = paths.iter().filter_map(|path| path.split('.').next()).map(str::to_owned).collect();
        let region = region.map(|region| Value::from(region.to_string()));
        let expression = Self { compiled, paths, variables, region };
        let empty = expression.compiled.eval(expression.context(&Map::new()));
        match empty.map_err(|e| explain(&e)).and_then(|value| produced(&value).map_err(str::to_owned)) {
            Ok(_) => Ok(expression),
            Err(cause) => Err(format!("fails on a record whose fields are empty: {cause}")),
        }
    }

    /// The fields it reads, dotted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// Runs it on a record's fields.
    ///
    /// # Errors
    /// The kind of failure; never a value, and therefore not minijinja's own detail.
    pub fn run(&self, fields: &Map<String, Json>) -> Result<Produced, String> {
        let value = self.compiled.eval(self.context(fields)).map_err(|e| e.kind().to_string())?;
        produced(&value).map_err(str::to_owned)
    }

    /// Whether it is true of a record's fields; nothing, an empty text, an empty list and zero are not.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn holds(&self, fields: &Map<String, Json>) -> Result<bool, String> {
        let value = self.compiled.eval(self.context(fields)).map_err(|e| e.kind().to_string())?;
        Ok(value.is_true())
    }

    fn context(&self, fields: &Map<String, Json>) -> Value {
        let region = self.region.clone().map(|region| (REGION, region));
        let variables = self.variables.iter().map(|name| (name.as_str(), self.variable(fields, name)));
        Value::from_pairs(region.into_iter().chain(variables.filter(|(_, value)| !value.is_undefined())))
    }

    /// What the expression means by a name that a field and another object may share, as `company` and `company.name` of
    /// HubSpot do.
    fn variable(&self, fields: &Map<String, Json>, name: &str) -> Value {
        let has_parts = fields.get(name).is_some_and(Json::is_object);
        let below = self.paths.iter().any(|path| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')));
        if has_parts || !below {
            return variable(fields, name);
        }
        let object = below_of(fields, name);
        match fields.get(name).filter(|_| self.paths.contains(name)) {
            Some(own) => Value::from_object(Both { own: from_json(own), object }),
            None => object,
        }
    }
}

/// A field's own value and, after a dot, that of an object of the same name.
#[derive(Debug)]
struct Both {
    own: Value,
    object: Value,
}

impl Both {
    /// What a value is by itself.
    fn own(value: &Value) -> &Value {
        value.downcast_object_ref::<Self>().map_or(value, |both| &both.own)
    }
}

impl Object for Both {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.object.get_item(key).ok()
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.own.is_true()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.own)
    }
}

/// The field of that path itself, or an object of the fields below it: `Account` of `Account.Name` and `Account.City`.
fn variable(fields: &Map<String, Json>, path: &str) -> Value {
    let whole = fields.get(path).map_or(Value::UNDEFINED, from_json);
    if whole.is_undefined() { below_of(fields, path) } else { whole }
}

/// An object of the fields below a path.
fn below_of(fields: &Map<String, Json>, path: &str) -> Value {
    let below = |key: &str| Some(key.strip_prefix(path)?.strip_prefix('.')?.split('.').next()?.to_owned());
    let names: BTreeSet<String> = fields.keys().filter_map(|key| below(key)).collect();
    let values = names.iter().map(|name| (name.as_str(), variable(fields, &format!("{path}.{name}"))));
    let defined: Vec<_> = values.filter(|(_, value)| !value.is_undefined()).collect();
    if defined.is_empty() { Value::UNDEFINED } else { Value::from_pairs(defined) }
}

/// JSON as an expression sees it: numbers and booleans stay what they are, texts are trimmed, and what is empty is
/// undefined, so that `default`, `or` and `is defined` mean what they say and no filter ever sees the text "none".
fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::UNDEFINED,
        Json::Bool(on) => Value::from(*on),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(whole), _, _) => Value::from(whole),
            (_, Some(whole), _) => Value::from(whole),
            (_, _, decimal) => decimal.map_or(Value::UNDEFINED, Value::from),
        },
        Json::String(text) if text.trim().is_empty() => Value::UNDEFINED,
        Json::String(text) => Value::from(text.trim()),
        Json::Array(items) => items.iter().map(from_json).filter(|item| !item.is_undefined()).collect(),
        Json::Object(fields) => Value::from_pairs(fields.iter().map(|(name, value)| (name.as_str(), from_json(value)))),
    }
}

fn produced(value: &Value) -> Result<Produced, &'static str> {
    const WRONG: &str = "the result is neither a text nor a list of texts";
    let value = Both::own(value);
    if let Some(text) = text_of(value) {
        let text = text.trim();
        return Ok(if text.is_empty() { Produced::Nothing } else { Produced::Text(text.to_owned()) });
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(Produced::Nothing),
        ValueKind::Seq | ValueKind::Iterable => {
            let mut texts = Vec::new();
            for item in value.try_iter().map_err(|_| WRONG)?.filter(|item| !item.is_undefined() && !item.is_none()) {
                texts.push(text_of(&item).ok_or(WRONG)?.trim().to_owned());
            }
            texts.retain(|text| !text.is_empty());
            Ok(Produced::List(texts))
        }
        _ => Err(WRONG),
    }
}

/// A scalar, written out.
fn text_of(value: &Value) -> Option<String> {
    let value = Both::own(value);
    match value.kind() {
        ValueKind::String => value.as_str().map(str::to_owned),
        ValueKind::Bool => Some(value.is_true().to_string()),
        ValueKind::Number => Some(value.to_string()),
        _ => None,
    }
}

fn wrong_kind() -> Error {
    Error::from(ErrorKind::InvalidOperation)
}

fn changed(value: &Value, change: Change) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::UNDEFINED);
    }
    let text = change.apply(&text_of(value).ok_or_else(wrong_kind)?);
    Ok(if text.is_empty() { Value::UNDEFINED } else { Value::from(text) })
}

/// `Phone|e164` with the source's region, `Phone|e164('SE')` with another.
fn e164(state: &State, value: &Value, region: Option<&str>) -> Result<Value, Error> {
    let given = region.map(str::to_owned).or_else(|| state.lookup(REGION)?.as_str().map(str::to_owned));
    let region = match given {
        None => None,
        Some(code) => Some(transforms::region(&code).ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, "e164 takes a region of ISO 3166-1 alpha-2, such as 'SE'")
        })?),
    };
    changed(value, Change::E164(region))
}

/// minijinja's `split` refuses an empty field; this one makes an empty list of it. Items are trimmed, blanks dropped.
fn split(value: &Value, separator: Option<&str>) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    let text = text_of(value).ok_or_else(wrong_kind)?;
    let items: Vec<&str> = match separator {
        Some(separator) => text.split(separator).collect(),
        None => text.split_whitespace().collect(),
    };
    Ok(items.into_iter().map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect())
}

/// minijinja finds an unknown filter or test only when it runs into it. So each name that is used is tried alone.
fn unknown_name(source: &str) -> Option<String> {
    names_used(source).into_iter().find_map(|(probe, name)| {
        let error = ENVIRONMENT.compile_expression_owned(format!("none {probe} {name}")).ok()?.eval(()).err()?;
        matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest).then(|| explain(&error))
    })
}

/// The names behind `|` and behind `is`, texts left out.
fn names_used(source: &str) -> Vec<(&'static str, String)> {
    let mut used = Vec::new();
    let mut before = None;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '\'' | '"' => text_length(rest, first),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        before = match (token, before) {
            ("|", _) => Some("|"),
            ("is", None) => Some("is"),
            ("not", Some("is")) => Some("is"),
            (blank, kept) if blank.trim().is_empty() => kept,
            (name, Some(probe)) if name.starts_with(is_word) => {
                used.push((probe, name.to_owned()));
                None
            }
            _ => None,
        };
    }
    used
}

/// The length in bytes of the quoted text that `source` starts with.
fn text_length(source: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in source.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    source.len()
}

/// A fault of the expression's text, in minijinja's words less the place: an expression is one line. Only for errors
/// without a record behind them.
fn explain(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(source: &str, fields: &Json) -> Result<Produced, String> {
        let fields = fields.as_object().expect("an object of fields");
        Expression::compile(source, transforms::region("SE")).expect(source).run(fields)
    }

    #[test]
    fn expressions_make_texts_lists_or_nothing() {
        let fields = json!({
            "Name": " Anna Berg ", "Phone": "070-123 45 67", "Oslo": "22 12 34 56", "Blank": "  ", "Null": null,
            "Rating": "Hot", "Vip": false, "Age": 42, "Share": 0.5, "Money": {"value": 500, "currency": "SEK"},
            "Kinds": ["a", null, " ", " b "], "Topics": "x; y;;z", "Language": "sv-SE", "Country": "Sverige",
            "Account.Name": "Acme", "Account.Owner.Name": "Bo",
        });
        let text = |t: &str| Ok(Produced::Text(t.to_owned()));
        let list = |items: &[&str]| Ok(Produced::List(items.iter().map(|i| (*i).to_owned()).collect()));
        for (source, expected) in [
            ("Name", text("Anna Berg")),
            ("Name|upper", text("ANNA BERG")),
            ("Name|split_first", text("Anna")),
            ("Name|split_last|lower", text("berg")),
            ("Blank or Null or Missing or Name", text("Anna Berg")),
            ("Blank|default('x')", text("x")),
            ("Null|lower", Ok(Produced::Nothing)),
            ("Missing.Deep.Path|upper|trim", Ok(Produced::Nothing)),
            ("none", Ok(Produced::Nothing)),
            ("Phone|e164", text("+46701234567")),
            ("Oslo|e164('NO')", text("+4722123456")),
            ("(Null or Phone)|e164('se')", text("+46701234567")),
            ("Missing|e164", Ok(Produced::Nothing)),
            ("['vip'] if Rating == 'Hot' else []", list(&["vip"])),
            ("['vip'] if Rating == 'Cold' else []", list(&[])),
            ("['vip'] if Vip", Ok(Produced::Nothing)),
            ("Vip", text("false")),
            ("Age", text("42")),
            ("Age > 40", text("true")),
            ("Share", text("0.5")),
            ("Kinds", list(&["a", "b"])),
            ("Kinds|join(', ')", text("a, b")),
            ("Topics|split(';')", list(&["x", "y", "z"])),
            ("Missing|split(';')", list(&[])),
            ("Account.Name ~ ' / ' ~ Account.Owner.Name", text("Acme / Bo")),
            ("Account['Name'] ~ Account['Owner']['Name']", text("AcmeBo")),
            ("Money.value ~ ' ' ~ Money.currency", text("500 SEK")),
            ("Language|language", text("sv")),
            ("Country|country", text("SE")),
            ("'in/anna-berg'|linkedin", text("https://www.linkedin.com/in/anna-berg")),
            ("Missing|linkedin", Ok(Produced::Nothing)),
            ("Topics|split(';')|first", text("x")),
            ("Missing|split(';')|first", Ok(Produced::Nothing)),
            ("[Rating, Age, Null]", list(&["Hot", "42"])),
            ("Money", Err("the result is neither a text nor a list of texts".to_owned())),
            ("[Kinds]", Err("the result is neither a text nor a list of texts".to_owned())),
            ("Kinds|e164", Err("invalid operation".to_owned())),
            ("'a' * (Age * 100000) if Age else ''", Err("engine ran out of fuel".to_owned())),
        ] {
            assert_eq!(run(source, &fields), expected, "{source}");
        }
    }

    #[test]
    fn a_field_and_an_object_of_one_name_are_both_read() {
        let text = |t: &str| Ok(Produced::Text(t.to_owned()));
        let record = json!({"company": "Typed", "company.name": "Acme", "company.id": "9"});
        let employer = "company.name if company.id else company";
        for (source, fields, expected) in [
            (employer, &record, text("Acme")),
            (employer, &json!({"company": "Typed", "company.name": null, "company.id": null}), text("Typed")),
            (employer, &json!({"company": "Typed", "company.id": "9"}), Ok(Produced::Nothing)),
            ("company.name", &record, text("Acme")),
            ("company == 'Typed'", &record, text("true")),
            ("(company or company.name)|language|upper", &record, text("TYPED")),
            ("company.missing or company", &json!({"company": null, "company.id": "9"}), Ok(Produced::Nothing)),
            ("company or company.name", &json!({"company": " ", "company.name": "Acme"}), text("Acme")),
            ("company.value", &json!({"company": {"value": 7}}), text("7")),
        ] {
            assert_eq!(run(source, fields), expected, "{source} {fields}");
        }
    }

    #[test]
    fn faults_show_when_it_is_compiled() {
        for (source, fault) in [
            ("Name |", "syntax error"),
            ("'Name", "syntax error"),
            ("Name|uper", "unknown filter: filter uper is unknown"),
            ("Name if Rating == 'Hot' else (Name | uper)", "unknown filter: filter uper is unknown"),
            ("Name if Rating is startingwit 'H'", "unknown test: test startingwit is unknown"),
            ("Name if Rating is not startingwit 'H'", "unknown test: test startingwit is unknown"),
            ("range(9)", "unknown function: range is unknown"),
            ("Name.lower()", "unknown method"),
            ("Age + 1", "fails on a record whose fields are empty: invalid operation"),
            ("Phone|e164('UK')", "e164 takes a region of ISO 3166-1 alpha-2"),
            ("{'a': Name}", "neither a text nor a list"),
            ("'a' * 100000000", "engine ran out of fuel"),
        ] {
            let error = Expression::compile(source, None).expect_err(source);
            assert!(error.contains(fault), "{source}: {error}");
        }
    }

    #[test]
    fn texts_and_operators_are_no_filters() {
        for source in
            ["'a|nofilter' ~ Name", r#""is \"| nofilter" ~ Name"#, r"'it\'s | nofilter' ~ Name", "this ~ Name"]
        {
            assert!(Expression::compile(source, None).is_ok(), "{source}");
        }
        let used = names_used("(A | lower)|join(', ') if B is not none and 'x|y' in C|list");
        let names: Vec<_> = used.iter().map(|(probe, name)| format!("{probe} {name}")).collect();
        assert_eq!(names, ["| lower", "| join", "is none", "| list"]);
    }

    #[test]
    fn the_fields_read_are_known() {
        let read = |source: &str| {
            Expression::compile(source, None).expect(source).paths().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(read("Phone or MobilePhone|e164('SE')"), ["MobilePhone", "Phone"]);
        assert_eq!(read("Account.Name if Account.Owner.Name"), ["Account.Name", "Account.Owner.Name"]);
        assert_eq!(read("A.B if A.C else A"), ["A", "A.B", "A.C"]);
        assert_eq!(read("'x'"), [""; 0]);
    }

    #[test]
    fn a_failure_tells_its_kind_and_no_value() {
        let error = run("(Age or 0) + 1", &json!({"Age": "secret"})).expect_err("a text is no number");
        assert_eq!(error, "invalid operation");
    }
}
