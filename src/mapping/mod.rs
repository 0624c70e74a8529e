//! From a CRM's record to a contact, by rules that are data. Pure, and blind to where a record came from: which fields
//! a CRM has is known to the rules alone.

pub mod defaults;
pub mod expression;
pub mod rules;
pub mod transforms;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rlibphonenumber::Region;
use serde_json::{Map, Value, json};

use crate::domain::contact::{Contact, Draft};
use crate::domain::failure::{Complaint, Reason};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::kind::Kind;
use crate::domain::limits;
use crate::domain::record::Record;
use crate::mapping::expression::{Expression, Produced};
use crate::mapping::rules::{As, Rule, Target};
use crate::mapping::transforms::Change;

/// Raised when the same rules come to mean something else: contacts made before are then known to be under old rules.
const MEANING: u32 = 1;

/// The key of the filter, beside `map`.
const FILTER: &str = "filter";

/// Where a text is split into a list unless the rule says otherwise: as Salesforce and HubSpot write their pick lists.
const SEPARATOR: &str = ";";

/// A rule that cannot be used, found when the map is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// The key under `map`, or `region` for the source's.
    pub target: String,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for RuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.target, self.problem, self.remedy)
    }
}

/// The compiled map of one source.
#[derive(Debug)]
pub struct Mapper {
    lines: Vec<Line>,
    filter: Option<Filter>,
    fields: BTreeSet<String>,
    optional: BTreeSet<String>,
    version: i64,
}

/// Who is let in: the expression, and as it was written.
#[derive(Debug)]
struct Filter {
    text: String,
    expression: Expression,
}

/// What surrounds the rules of a source.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Where national phone numbers belong unless a rule says otherwise, ISO 3166-1 alpha-2.
    pub region: Option<String>,
    /// An expression over the record: who makes it false is not a person for Propstreet.
    pub filter: Option<String>,
    /// Whether employers are wanted with more than their name.
    pub companies: bool,
}

/// A compiled rule and what it fills.
#[derive(Debug)]
struct Line {
    target: Target,
    step: Step,
    /// The fields it cannot do without; none for a rule that is optional.
    needs: Vec<String>,
}

/// What a rule does.
#[derive(Debug)]
enum Step {
    Copy { from: Vec<String>, change: Change, separator: Option<String>, first: bool },
    Const(Vec<String>),
    Run(Expression),
}

impl Mapper {
    /// Compiles the default map of a kind, with a source's own rules in place of the defaults of the same target.
    ///
    /// # Errors
    /// Every rule that cannot be used.
    pub fn compile(
        kind: Kind,
        overrides: BTreeMap<String, Rule>,
        Frame { region: default_region, filter, companies }: Frame,
    ) -> Result<Self, Vec<RuleFault>> {
        let mut faults = Vec::new();
        let home = default_region.and_then(|code| match region_of(&code) {
            Ok(region) => Some(region),
            Err((problem, remedy)) => {
                faults.push(RuleFault { target: "region".to_owned(), problem, remedy });
                None
            }
        });
        let mut rules = defaults::defaults(kind);
        if companies {
            rules.extend(defaults::employers(kind));
        }
        for (key, rule) in overrides {
            match Target::parse(&key) {
                Some(target) => {
                    rules.insert(target, rule);
                }
                None => faults.push(unknown_target(key)),
            }
        }
        let version = version(&rules, home);
        let mut lines = Vec::new();
        for (target, rule) in rules {
            let optional = rule.is_optional();
            match step(target, rule, home) {
                Ok(step) => lines.extend(step.map(|step| Line::new(target, step, optional))),
                Err((problem, remedy)) => {
                    faults.push(RuleFault { target: target.name().to_owned(), problem, remedy });
                }
            }
        }
        let filter = filter.and_then(|text| match Expression::compile(&text, home) {
            Ok(expression) => Some(Filter { text, expression }),
            Err(cause) => {
                let remedy = "correct it; a field that is empty is undefined, and `not FIELD` is true of it".to_owned();
                let problem = format!("the expression {cause}");
                faults.push(RuleFault { target: FILTER.to_owned(), problem, remedy });
                None
            }
        });
        let filtered = || filter.iter().flat_map(|filter| filter.expression.paths()).map(str::to_owned);
        let fields = lines.iter().flat_map(|line| line.step.fields()).map(str::to_owned).chain(filtered());
        let fields: BTreeSet<String> = fields.collect();
        let needed: BTreeSet<String> = lines.iter().flat_map(|line| &line.needs).cloned().chain(filtered()).collect();
        let optional = fields.difference(&needed).cloned().collect();
        if faults.is_empty() { Ok(Self { lines, filter, fields, optional, version }) } else { Err(faults) }
    }

    /// A number for these rules: the same after a restart, another after an edit that changes what they say.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The filter as it was written.
    #[must_use]
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_ref().map(|filter| filter.text.trim())
    }

    /// A number for the filter, as [`version`](Self::version) is one for the map: another expression, another number.
    #[must_use]
    pub fn filter_version(&self) -> Option<i64> {
        self.filter().map(|text| head(&Fingerprint::of_json(&json!({ "meaning": MEANING, "filter": text }))))
    }

    /// Every field of the CRM that a rule reads, dotted where it belongs to a related object.
    #[must_use]
    pub fn fields(&self) -> &BTreeSet<String> {
        &self.fields
    }

    /// Those of them that the CRM need not have or show: every rule that reads one says `optional = true`.
    #[must_use]
    pub fn optional(&self) -> &BTreeSet<String> {
        &self.optional
    }

    /// Whether a record passes the filter, and so is a person for Propstreet.
    ///
    /// # Errors
    /// `mapping_failed` where that cannot be known: a field the filter reads did not come, or it fails on this record.
    pub fn admits(&self, record: &Record) -> Result<bool, Complaint> {
        let Some(filter) = &self.filter else { return Ok(true) };
        let failed = |cause: String| Complaint::new(Reason::MappingFailed, format!("{FILTER}: {cause}"));
        let missing: Vec<&str> = filter.expression.paths().filter(|path| !sent(&record.fields, path)).collect();
        if !missing.is_empty() {
            return Err(failed(format!("the CRM did not send {}", missing.join(", "))));
        }
        filter.expression.holds(&record.fields).map_err(failed)
    }

    /// The contact a record becomes.
    ///
    /// # Errors
    /// `mapping_failed` with every rule that failed on this record, by target, field and cause, without values; then
    /// what [`limits::check`] says.
    pub fn map(&self, record: &Record) -> Result<Contact, Complaint> {
        let mut draft = Draft::default();
        let mut failures = Vec::new();
        for line in &self.lines {
            match line.texts(&record.fields) {
                Ok(texts) => fill(&mut draft, line.target, texts),
                Err(cause) => failures.push(format!("{}: {cause}", line.target.name())),
            }
        }
        if failures.is_empty() {
            limits::check(draft)
        } else {
            Err(Complaint::new(Reason::MappingFailed, failures.join("; ")))
        }
    }
}

/// A problem and its remedy, before it is known whose.
type Fault = (String, String);

fn region_of(code: &str) -> Result<Region, Fault> {
    transforms::region(code).ok_or_else(|| {
        (format!("`{code}` is no region"), "write a country of ISO 3166-1 alpha-2, such as \"SE\" or \"GB\"".to_owned())
    })
}

fn unknown_target(target: String) -> RuleFault {
    let known: Vec<_> = Target::ALL.iter().map(|target| target.name()).collect();
    let problem = "a contact has no such field".to_owned();
    RuleFault { target, problem, remedy: format!("use one of {}", known.join(", ")) }
}

/// A hash of what the rules make; it depends on their order as little as on the release that computes it. Whether a rule
/// may do without a field is left out: it decides whether there is a contact, and changes none that there is.
fn version(rules: &BTreeMap<Target, Rule>, home: Option<Region>) -> i64 {
    let made = |rule: &Rule| json!(rule.clone().optional(false));
    let rules: Map<String, Value> = rules.iter().map(|(target, rule)| (target.name().to_owned(), made(rule))).collect();
    head(&Fingerprint::of_json(&json!({
        "meaning": MEANING, "region": home.map(|region| region.to_string()), "rules": rules,
    })))
}

/// The beginning of a hash, as a number.
fn head(Fingerprint(hash): &Fingerprint) -> i64 {
    let mut head = [0; 8];
    head.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(head)
}

/// Compiles one rule; `None` for one that is switched off.
fn step(target: Target, rule: Rule, home: Option<Region>) -> Result<Option<Step>, Fault> {
    let fault = |problem: &str, remedy: &str| Err((problem.to_owned(), remedy.to_owned()));
    match rule {
        Rule::Off => Ok(None),
        Rule::Const(texts) if texts.is_empty() || texts.iter().any(|text| text.trim().is_empty()) => {
            fault("the constant is empty", "write `false` to leave the field empty")
        }
        Rule::Const(texts) if !target.is_list() && texts.len() > 1 => {
            fault("a list where one text belongs", "write one text; only tags takes a list")
        }
        Rule::Const(texts) => Ok(Some(Step::Const(texts))),
        Rule::Expr { source, .. } => match Expression::compile(&source, home) {
            Ok(expression) => Ok(Some(Step::Run(expression))),
            Err(cause) => Err((
                format!("the expression {cause}"),
                "correct it; an empty field is undefined and takes a default by `FIELD or 'x'`".to_owned(),
            )),
        },
        Rule::Copy { from, .. } if from.is_empty() || from.iter().any(|field| field.trim().is_empty()) => {
            fault("`from` names no field", "name a field of the CRM, or a list of them with the preferred first")
        }
        Rule::Copy { separator: Some(_), change, .. } if !target.is_list() && change != Some(As::First) => {
            fault("`separator` has no effect here", "remove it, or add `as = \"first\"`; only tags takes a list")
        }
        Rule::Copy { change: Some(As::List), .. } if !target.is_list() => {
            fault("a list where one text belongs", "remove `as`, or take one item: `as = \"first\"`")
        }
        Rule::Copy { separator: Some(separator), change, .. } if separator.is_empty() || change == Some(As::Text) => {
            fault("`separator` cannot split here", "write a text such as \";\", without `as = \"text\"`")
        }
        Rule::Copy { region: Some(_), change, .. } if change != Some(As::E164) => {
            fault("`region` has no effect here", "add `as = \"e164\"`, or remove it")
        }
        Rule::Copy { from, change, separator, region, .. } => {
            let region = region.map(|code| region_of(&code)).transpose()?.or(home);
            let first = change == Some(As::First);
            let split = first || target.is_list() && change != Some(As::Text);
            let separator = split.then(|| separator.unwrap_or_else(|| SEPARATOR.to_owned()));
            let from = from.iter().map(|field| field.trim().to_owned()).collect();
            Ok(Some(Step::Copy { from, change: ready(change.unwrap_or_default(), region), separator, first }))
        }
    }
}

fn ready(change: As, region: Option<Region>) -> Change {
    match change {
        As::Text | As::List | As::First => Change::Keep,
        As::E164 => Change::E164(region),
        As::Lower => Change::Lower,
        As::Language => Change::Language,
        As::Country => Change::Country,
        As::Linkedin => Change::Linkedin,
        As::SplitFirst => Change::SplitFirst,
        As::SplitLast => Change::SplitLast,
    }
}

impl Line {
    fn new(target: Target, step: Step, optional: bool) -> Self {
        let needs = if optional { Vec::new() } else { step.fields().into_iter().map(str::to_owned).collect() };
        Self { target, step, needs }
    }

    /// What the rule makes of a record. A field that was not sent is not known, which is not the same as empty: it may
    /// have been hidden, renamed or removed, and the person must not lose what it held.
    fn texts(&self, fields: &Map<String, Value>) -> Result<Vec<String>, String> {
        let missing: Vec<&str> = self.needs.iter().map(String::as_str).filter(|path| !sent(fields, path)).collect();
        if missing.is_empty() {
            return self.step.texts(self.target, fields);
        }
        let missing = missing.join(", ");
        Err(format!("the CRM did not send {missing}, and the rule is not `optional`"))
    }
}

impl Step {
    fn fields(&self) -> Vec<&str> {
        match self {
            Self::Copy { from, .. } => from.iter().map(String::as_str).collect(),
            Self::Const(_) => Vec::new(),
            Self::Run(expression) => expression.paths().collect(),
        }
    }

    fn texts(&self, target: Target, fields: &Map<String, Value>) -> Result<Vec<String>, String> {
        match self {
            Self::Const(texts) => Ok(texts.clone()),
            Self::Run(expression) => match expression.run(fields)? {
                Produced::Nothing => Ok(Vec::new()),
                Produced::Text(text) => Ok(vec![text]),
                Produced::List(_) if !target.is_list() => {
                    Err("the expression makes a list where one text belongs".to_owned())
                }
                Produced::List(texts) => Ok(texts),
            },
            Self::Copy { from, change, separator, first } => {
                for path in from {
                    let texts = find(fields, path).map_or(Ok(Vec::new()), |value| copied(value, separator.as_deref()));
                    let mut texts = texts.map_err(|cause| format!("the field {path} holds {cause}"))?;
                    if *first {
                        texts.truncate(1);
                    }
                    if texts.len() > 1 && !target.is_list() {
                        return Err(format!(
                            "the field {path} holds {} values; add `as = \"first\"`, or choose by an expression",
                            texts.len()
                        ));
                    }
                    if !texts.is_empty() {
                        return Ok(texts.into_iter().map(|text| change.apply(text.trim())).collect());
                    }
                }
                Ok(Vec::new())
            }
        }
    }
}

/// The value of a dotted path: the flat key, as records have it, or a part of an object the CRM sent whole.
fn find<'a>(fields: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    fields.get(path).or_else(|| {
        let (head, rest) = path.split_once('.')?;
        find(fields.get(head)?.as_object()?, rest)
    })
}

/// Whether the CRM sent this field: itself, an object or null above it, or, of an object that is read whole, a part.
fn sent(fields: &Map<String, Value>, path: &str) -> bool {
    let mut above = path.match_indices('.').map(|(at, _)| &path[..at]);
    let is_below = |key: &String| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    fields.contains_key(path) || above.any(|head| fields.contains_key(head)) || fields.keys().any(is_below)
}

/// The texts in a value, blanks left out; an object is none.
fn copied(value: &Value, separator: Option<&str>) -> Result<Vec<String>, &'static str> {
    let mut texts = match value {
        Value::Null => Vec::new(),
        Value::Bool(on) => vec![on.to_string()],
        Value::Number(number) => vec![number.to_string()],
        Value::String(text) => match separator {
            Some(separator) => text.split(separator).map(str::to_owned).collect(),
            None => vec![text.clone()],
        },
        // The items of a list are whole, whatever they contain.
        Value::Array(items) if items.iter().any(Value::is_array) => return Err("a list of lists"),
        Value::Array(items) => {
            let texts = items.iter().map(|item| copied(item, None)).collect::<Result<Vec<_>, _>>();
            texts.map_err(|_| "a list of objects")?.concat()
        }
        Value::Object(_) => return Err("an object; name a part of it, such as FIELD.value"),
    };
    texts.retain(|text| !text.trim().is_empty());
    Ok(texts)
}

/// Puts the texts where they belong. A target that is no list gets one at most.
fn fill(draft: &mut Draft, target: Target, mut texts: Vec<String>) {
    let slot = match target {
        Target::Tags => {
            draft.tags = texts;
            return;
        }
        Target::FirstName => &mut draft.first_name,
        Target::LastName => &mut draft.last_name,
        Target::Email => &mut draft.email,
        Target::Phone => &mut draft.phone,
        Target::LinkedinUrl => &mut draft.linkedin_url,
        Target::PrimaryLanguage => &mut draft.primary_language,
        Target::Strategy => &mut draft.strategy,
        Target::Company => &mut draft.company,
        Target::CompanyId => &mut draft.company_id,
        Target::CompanyWebsite => &mut draft.company_website,
        Target::CompanyDomain => &mut draft.company_domain,
        Target::CompanyCountry => &mut draft.company_country,
        Target::JobTitle => &mut draft.job_title,
    };
    *slot = texts.pop();
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn within(region: &str) -> Frame {
        Frame { region: Some(region.to_owned()), ..Frame::default() }
    }

    fn mapper(kind: Kind, map: &str) -> Result<Mapper, Vec<RuleFault>> {
        Mapper::compile(kind, toml::from_str(map).expect("rules as configured"), within("SE"))
    }

    fn record(fields: Value) -> Record {
        let Value::Object(fields) = fields else { panic!("an object of fields") };
        Record { id: "1".to_owned(), modified: None, fields, supersedes: Vec::new() }
    }

    /// The contact as JSON, empty fields left out. What the fields leave out, the CRM sends as null.
    fn mapped(mapper: &Mapper, fields: Value) -> Result<Value, String> {
        let mut record = record(fields);
        for path in mapper.fields() {
            if !sent(&record.fields, path) {
                record.fields.insert(path.clone(), Value::Null);
            }
        }
        mapped_as_sent(mapper, &record)
    }

    fn mapped_as_sent(mapper: &Mapper, record: &Record) -> Result<Value, String> {
        let contact = mapper.map(record).map_err(|complaint| format!("{}: {}", complaint.reason, complaint.detail))?;
        let mut json = serde_json::to_value(contact).expect("a contact is plain data");
        json.as_object_mut().expect("an object").retain(|_, value| !value.is_null() && *value != json!([]));
        Ok(json)
    }

    #[test]
    fn the_defaults_are_propstreets_tables() {
        for (kind, fields, contact) in [
            (
                Kind::Salesforce,
                json!({"Id": "003", "FirstName": " Åsa ", "LastName": "Öberg", "Email": "Asa@Example.SE",
                    "MobilePhone": null, "Phone": "08-123 456 78", "Title": "CFO", "Account": null,
                    "Account.Name": "Acme AB", "IsDeleted": false}),
                json!({"first_name": "Åsa", "last_name": "Öberg", "email": "Asa@example.se", "phone": "+46812345678",
                    "job_title": "CFO", "company": "Acme AB"}),
            ),
            (
                Kind::Salesforce,
                json!({"LastName": "Öberg", "MobilePhone": "070-123 45 67", "Phone": "08-123 456 78",
                    "Account": {"Name": "Acme"}}),
                json!({"last_name": "Öberg", "phone": "+46701234567", "company": "Acme"}),
            ),
            (
                Kind::HubSpot,
                json!({"firstname": "Bo", "lastname": "", "email": null, "mobilephone": " ", "phone": "ask for Bo",
                    "jobtitle": "VD", "company": "Acme", "lifecyclestage": "customer", "hs_language": "sv-se"}),
                json!({"first_name": "Bo", "phone": "ask for Bo", "job_title": "VD", "company": "Acme",
                    "tags": ["customer"], "primary_language": "sv"}),
            ),
            (
                Kind::Pipedrive,
                json!({"name": "Jane Smith of Oslo", "first_name": null, "last_name": null, "email": "j@x.no",
                    "phone": "+47 22 12 34 56", "org.name": "Acme", "job_title": null, "labels": ["Customer", "Hot; lead"]}),
                json!({"first_name": "Jane", "last_name": "Smith of Oslo", "email": "j@x.no", "phone": "+4722123456",
                    "company": "Acme", "tags": ["Customer", "Hot; lead"]}),
            ),
        ] {
            assert_eq!(mapped(&mapper(kind, "").expect("the defaults"), fields), Ok(contact), "{kind:?}");
        }
    }

    /// As each adapter sends a person's employer.
    #[test]
    fn where_companies_are_linked_the_employer_comes_with_what_tells_it_from_others() {
        let employer = |kind, fields: Value| {
            let frame = Frame { companies: true, ..within("SE") };
            let mapper = Mapper::compile(kind, BTreeMap::new(), frame).expect("the defaults");
            let optional = mapper.optional().clone();
            let mut record = record(fields);
            for path in mapper.fields().difference(&optional) {
                record.fields.entry(path.clone()).or_insert(Value::Null);
            }
            for name in ["LastName", "lastname", "name"] {
                record.fields.insert(name.to_owned(), "Berg".into());
            }
            let contact = mapped_as_sent(&mapper, &record).expect("a contact");
            let is_employer = |(key, value): (&String, &Value)| {
                key.starts_with("company").then(|| format!("{key}={}", value.as_str().unwrap_or("?")))
            };
            contact.as_object().expect("an object").iter().filter_map(is_employer).collect::<Vec<_>>().join(" ")
        };
        let acme = "company=Acme AB company_country=SE company_id=001D company_website=https://www.acme.se";
        for (kind, fields, expected) in [
            (
                Kind::Salesforce,
                json!({"AccountId": "001D", "Account.Name": "Acme AB", "Account.Website": "www.acme.se",
                    "Account.BillingCountry": "Sverige", "IsPersonAccount": false}),
                acme,
            ),
            (
                Kind::Salesforce,
                json!({"AccountId": "001D", "Account.Name": "Anna Berg", "Account.Website": "www.berg.se",
                    "Account.BillingCountry": "Sverige", "IsPersonAccount": true}),
                "",
            ),
            (Kind::Salesforce, json!({"AccountId": null, "Account.Name": null, "IsPersonAccount": false}), ""),
            (
                Kind::Salesforce,
                json!({"AccountId": null, "Account.Name": "Acme AB", "Account.Website": "acme.se", "IsPersonAccount": false}),
                "company=Acme AB company_website=https://acme.se",
            ),
            (
                Kind::HubSpot,
                json!({"company": "acme, Sthlm", "company.hs_object_id": "9", "company.name": "Acme AB",
                    "company.domain": "Acme.se", "company.website": "n/a", "company.country": "Sweden"}),
                "company=Acme AB company_country=SE company_domain=acme.se company_id=9",
            ),
            (
                Kind::HubSpot,
                json!({"company": "typed", "company.hs_object_id": "9", "company.name": null, "company.domain": "acme.se",
                    "company.website": null, "company.country": null}),
                "company=acme.se company_domain=acme.se company_id=9",
            ),
            (Kind::HubSpot, json!({"company": "typed", "company.hs_object_id": "9"}), "company_id=9"),
            (
                Kind::HubSpot,
                json!({"company": "Typed AB", "company.hs_object_id": null, "company.name": null, "company.domain": null}),
                "company=Typed AB",
            ),
            (
                Kind::Pipedrive,
                json!({"org_id": 12, "org.name": "Acme AB", "org.country": "Italy", "org.website": "acme.it/"}),
                "company=Acme AB company_country=IT company_id=12 company_website=https://acme.it/",
            ),
            (Kind::Pipedrive, json!({"org_id": 12}), "company_id=12"),
            (Kind::Pipedrive, json!({"org_id": null, "org.name": null}), ""),
        ] {
            assert_eq!(employer(kind, fields.clone()), expected, "{kind:?} {fields}");
        }
    }

    #[test]
    fn without_linked_companies_nothing_is_other_than_it_was() {
        for kind in [Kind::Salesforce, Kind::HubSpot, Kind::Pipedrive] {
            let mapper = mapper(kind, "").expect("the defaults");
            let fields = json!({"name": "Anna Berg", "LastName": "Berg", "lastname": "Berg", "Account.Name": "Acme",
                "company": "Acme", "org.name": "Acme", "AccountId": "001D", "IsPersonAccount": true, "org_id": 12,
                "company.hs_object_id": "9", "company.name": "Other"});
            let contact = mapped(&mapper, fields).expect("a contact");
            let keys = contact.as_object().expect("an object").keys().filter(|k| k.contains("company")).count();
            assert_eq!((keys, &contact["company"]), (1, &json!("Acme")), "{kind:?}");
            let frame = |companies| Frame { companies, ..within("SE") };
            let version = |companies| Mapper::compile(kind, BTreeMap::new(), frame(companies)).map(|m| m.version());
            assert_eq!(version(false), Ok(mapper.version()));
            assert_ne!(version(true), version(false), "{kind:?}: contacts made before are under old rules");
        }
    }

    #[test]
    fn pipedrives_name_is_split_when_its_parts_are_not_both_there() {
        let pipedrive = mapper(Kind::Pipedrive, "").expect("the defaults");
        for (name, first, last, expected) in [
            ("Anna Maria Berg", "Anna Maria", "Berg", json!({"first_name": "Anna Maria", "last_name": "Berg"})),
            ("Anna Berg", "", "", json!({"first_name": "Anna", "last_name": "Berg"})),
            ("Anna Berg", "Anna Berg", "", json!({"first_name": "Anna", "last_name": "Berg"})),
            ("Madonna", "Madonna", "", json!({"first_name": "Madonna"})),
            ("Berg", "", "Berg", json!({"last_name": "Berg"})),
            ("", "Anna Berg", "", json!({"first_name": "Anna", "last_name": "Berg"})),
        ] {
            let fields = json!({"name": name, "first_name": first, "last_name": last});
            assert_eq!(mapped(&pipedrive, fields), Ok(expected), "{name} / {first} / {last}");
        }
    }

    #[test]
    fn a_sources_own_rules_replace_the_defaults() {
        let salesforce = mapper(
            Kind::Salesforce,
            r#"
            job_title = false
            phone = { from = ["Direct__c", "Phone"], as = "e164", region = "NO" }
            strategy = { from = "Investor_Strategy__c" }
            company = { from = "Employer__c.value", as = "lower" }
            primary_language = { const = "sv" }
            tags = { expr = "['vip'] if Rating == 'Hot' else Interests__c|split(';')" }
            "#,
        )
        .expect("valid rules");
        let fields = json!({"LastName": "Berg", "Title": "CFO", "Direct__c": "", "Phone": "22 12 34 56",
            "Investor_Strategy__c": 7, "Employer__c": {"value": "ACME"}, "Rating": "Cold",
            "Interests__c": "Logistics;Offices"});
        assert_eq!(
            mapped(&salesforce, fields),
            Ok(json!({"last_name": "Berg", "phone": "+4722123456", "strategy": "7", "company": "acme",
                "primary_language": "sv", "tags": ["Logistics", "Offices"]}))
        );
        assert_eq!(
            mapped(&salesforce, json!({"LastName": "Berg", "Rating": "Hot"})),
            Ok(json!({"last_name": "Berg", "primary_language": "sv", "tags": ["vip"]}))
        );
        let read: Vec<_> = salesforce.fields().iter().map(String::as_str).collect();
        let own = ["Direct__c", "Employer__c.value", "Interests__c", "Investor_Strategy__c", "Phone", "Rating"];
        let mut expected = [&["Email", "FirstName", "LastName"][..], &own].concat();
        expected.sort_unstable();
        assert_eq!(read, expected);
    }

    #[test]
    fn tags_are_split_and_each_is_changed() {
        for (rule, value, tags) in [
            (r#"{ from = "F" }"#, json!("a; b ;;c"), json!(["a", "b", "c"])),
            (r#"{ from = "F" }"#, json!(["a;b", " c ", null, 7, true]), json!(["a;b", "c", "7", "true"])),
            (r#"{ from = "F", as = "list", separator = "," }"#, json!("a;b, c"), json!(["a;b", "c"])),
            (r#"{ from = "F", as = "text" }"#, json!("a;b"), json!(["a;b"])),
            (r#"{ from = "F", as = "lower" }"#, json!("A;B"), json!(["a", "b"])),
            (r#"{ from = "F", as = "first" }"#, json!("a;b"), json!(["a"])),
            (r#"{ from = ["E", "F"] }"#, json!("a"), json!(["a"])),
            (r#"{ const = ["crm", "a"] }"#, json!(null), json!(["crm", "a"])),
            (r#"{ expr = "F" }"#, json!("a;b"), json!(["a;b"])),
        ] {
            let hubspot = mapper(Kind::HubSpot, &format!("tags = {rule}")).expect(rule);
            let contact = mapped(&hubspot, json!({"lastname": "Berg", "E": " ; ", "F": value})).expect(rule);
            assert_eq!(contact["tags"], tags, "{rule}");
        }
    }

    #[test]
    fn hubspots_forms_become_propstreets() {
        let stages = "{ expr = \"{'117482736': 'key account'}[lifecyclestage] or lifecyclestage\" }";
        let known = "{ expr = \"lifecyclestage if lifecyclestage in ['lead', 'customer']\" }";
        let mails = r#"{ from = ["email", "hs_additional_emails"], as = "first" }"#;
        let profile = r#"{ from = "hs_linkedin_url", as = "linkedin" }"#;
        let careful = "{ expr = \"hs_linkedin_url|linkedin if hs_linkedin_url|linkedin is startingwith('https://www.linkedin.com/in/')\" }";
        let whole = "https://www.linkedin.com/in/anna-berg";
        for (target, rule, field, value, expected) in [
            // Several choices come as one text, by their internal names.
            ("tags", r#"{ from = "interests" }"#, "interests", "offices;hotels", json!(["offices", "hotels"])),
            ("tags", r#"{ from = "interests" }"#, "interests", "", json!(null)),
            ("strategy", r#"{ from = "plan" }"#, "plan", "one\ntwo", json!("one\ntwo")),
            ("strategy", r#"{ from = "plan" }"#, "plan", "<p>one</p>", json!("<p>one</p>")),
            ("primary_language", r#"{ from = "hs_language", as = "language" }"#, "hs_language", "sv-se", json!("sv")),
            ("primary_language", r#"{ from = "hs_language", as = "language" }"#, "hs_language", "zh-hk", json!("zh")),
            ("tags", r#"{ from = "country", as = "country" }"#, "country", "Sweden", json!(["SE"])),
            ("tags", r#"{ from = "country", as = "country" }"#, "country", "se", json!(["SE"])),
            ("email", mails, "email", "a@x.se", json!("a@x.se")),
            ("email", mails, "hs_additional_emails", " ;b@x.se; c@x.se", json!("b@x.se")),
            ("email", mails, "hs_additional_emails", ";", json!(null)),
            ("email", "{ expr = \"email or hs_additional_emails|split(';')|first\" }", "email", "", json!(null)),
            ("linkedin_url", profile, "hs_linkedin_url", "linkedin.com/in/anna-berg/?utm_source=x", json!(whole)),
            ("linkedin_url", profile, "hs_linkedin_url", "anna-berg", json!(whole)),
            ("linkedin_url", careful, "hs_linkedin_url", "in/anna-berg", json!(whole)),
            ("linkedin_url", careful, "hs_linkedin_url", "ask her", json!(null)),
            ("linkedin_url", careful, "hs_linkedin_url", "", json!(null)),
            // A stage of the firm's own making is a number.
            ("tags", stages, "lifecyclestage", "117482736", json!(["key account"])),
            ("tags", stages, "lifecyclestage", "lead", json!(["lead"])),
            ("tags", known, "lifecyclestage", "117482736", json!(null)),
            ("tags", known, "lifecyclestage", "customer", json!(["customer"])),
        ] {
            let hubspot = mapper(Kind::HubSpot, &format!("{target} = {rule}")).expect(rule);
            let contact = mapped(&hubspot, json!({"lastname": "Berg", field: value}));
            let contact = contact.unwrap_or_else(|fault| panic!("{rule} of {value:?}: {fault}"));
            assert_eq!(contact[target], expected, "{rule} of {value:?}");
        }
        let copied = mapper(Kind::HubSpot, r#"email = { from = ["email", "hs_additional_emails"] }"#).expect("a rule");
        let two = mapped(&copied, json!({"lastname": "Berg", "hs_additional_emails": "a@x.se;b@x.se"}));
        assert_eq!(two, Err("invalid_field: email: 13 characters, more than one @".to_owned()), "never two as one");
    }

    #[test]
    fn every_fault_is_found_at_once_with_its_remedy() {
        for (rule, problem, remedy) in [
            (r#"firstname = { from = "F" }"#, "a contact has no such field", "use one of first_name, last_name"),
            (r"email = { from = [] }", "`from` names no field", "name a field"),
            (r#"email = { from = " " }"#, "`from` names no field", "name a field"),
            (r#"email = { from = "F", separator = "," }"#, "`separator` has no effect", "only tags"),
            (r#"email = { from = "F", as = "first", separator = "" }"#, "`separator` cannot split", "such as \";\""),
            (r#"email = { from = "F", as = "list" }"#, "a list where one text belongs", "remove `as`"),
            (r#"tags = { from = "F", separator = "" }"#, "`separator` cannot split", "such as \";\""),
            (r#"tags = { from = "F", as = "text", separator = "," }"#, "`separator` cannot split", "without `as"),
            (r#"phone = { from = "F", region = "SE" }"#, "`region` has no effect", "add `as"),
            (r#"phone = { from = "F", as = "e164", region = "UK" }"#, "`UK` is no region", "\"GB\""),
            (r#"email = { const = " " }"#, "the constant is empty", "write `false`"),
            (r"tags = { const = [] }", "the constant is empty", "write `false`"),
            (r#"email = { const = ["a", "b"] }"#, "a list where one text belongs", "one text"),
            (r#"email = { expr = "F|uper" }"#, "filter uper is unknown", "correct it"),
            (r#"email = { expr = "F +" }"#, "syntax error", "correct it"),
        ] {
            let faults = mapper(Kind::HubSpot, rule).expect_err(rule);
            let [fault] = faults.as_slice() else { panic!("one fault: {faults:?}") };
            assert!(rule.starts_with(&fault.target), "{fault}");
            assert!(fault.problem.contains(problem) && fault.remedy.contains(remedy), "{rule}: {fault}");
        }
        let rules = "nickname = { from = \"F\" }\nemail = { expr = \"F|\" }\nphone = { from = \"\" }";
        let faults = Mapper::compile(Kind::HubSpot, toml::from_str(rules).expect("rules"), within("Sweden"));
        let targets: Vec<_> = faults.expect_err("four faults").into_iter().map(|fault| fault.target).collect();
        assert_eq!(targets, ["region", "nickname", "email", "phone"]);
    }

    #[test]
    fn a_rule_that_fails_on_a_record_names_field_and_cause_and_no_value() {
        let salesforce = mapper(
            Kind::Salesforce,
            r#"
            email = { from = "Emails" }
            strategy = { from = "Money" }
            company = { expr = "Kinds" }
            job_title = { expr = "(Age or 0) + 1" }
            tags = { from = "Nested" }
            "#,
        )
        .expect("valid rules");
        let fields = json!({"LastName": "Berg", "Emails": ["secret@x.se", "secret@y.se"], "Money": {"value": "secret"},
            "Kinds": ["secret"], "Age": "secret", "Nested": [["secret"]]});
        assert_eq!(
            mapped(&salesforce, fields),
            Err("mapping_failed: email: the field Emails holds 2 values; add `as = \"first\"`, or choose by an expression; \
                 strategy: the field Money holds an object; name a part of it, such as FIELD.value; \
                 tags: the field Nested holds a list of lists; \
                 company: the expression makes a list where one text belongs; \
                 job_title: invalid operation"
                .to_owned())
        );
        assert_eq!(
            mapped(&salesforce, json!({"LastName": " ", "Phone": null})),
            Err("no_identifier: neither first_name, last_name, email nor phone has a value".to_owned())
        );
        assert_eq!(
            mapped(&salesforce, json!({"LastName": "Berg", "Emails": ["nobody"]})),
            Err("invalid_field: email: 6 characters, no @".to_owned())
        );
    }

    #[test]
    fn a_field_that_was_not_sent_is_never_read_as_empty() {
        let sources = Kind::ALL.map(|kind| mapper(kind, "").expect("the defaults"));
        let own = r#"strategy = { from = ["Plan__c", "Other__c"] }
            tags = { expr = "['vip'] if Rating == 'Hot' else []" }"#;
        for mapper in sources.into_iter().chain([mapper(Kind::Salesforce, own).expect("valid rules")]) {
            let whole: Map<String, Value> =
                mapper.fields().iter().map(|path| (path.clone(), json!("x@y.se"))).collect();
            for path in mapper.fields() {
                let mut record = record(Value::Object(whole.clone()));
                record.fields.remove(path);
                let ending = mapped_as_sent(&mapper, &record);
                if mapper.optional().contains(path) {
                    assert!(ending.is_ok(), "{path}: {ending:?}");
                } else {
                    let complaint = ending.expect_err(path);
                    assert!(complaint.starts_with("mapping_failed: "), "{complaint}");
                    assert!(complaint.contains(&format!("the CRM did not send {path},")), "{complaint}");
                }
            }
        }
    }

    #[test]
    fn an_optional_rule_does_without_what_was_not_sent() {
        let salesforce = mapper(
            Kind::Salesforce,
            r#"
            strategy = { from = ["Plan__c", "Other__c"], optional = true }
            tags = { expr = "['vip'] if Rating == 'Hot' else ['none']", optional = true }
            linkedin_url = { from = "Profile__c", optional = true }
            job_title = { from = ["Profile__c", "Title"] }
            "#,
        )
        .expect("valid rules");
        let optional: Vec<_> = salesforce.optional().iter().map(String::as_str).collect();
        assert_eq!(optional, ["Other__c", "Plan__c", "Rating"], "Profile__c is also read by a rule that needs it");
        let fields = json!({"FirstName": null, "LastName": "Berg", "Email": null, "MobilePhone": null, "Phone": null,
            "Account.Name": null, "Title": null, "Profile__c": null, "Other__c": "Offices"});
        assert_eq!(
            mapped_as_sent(&salesforce, &record(fields)),
            Ok(json!({"last_name": "Berg", "strategy": "Offices", "tags": ["none"]}))
        );
        assert_eq!(
            mapped_as_sent(&salesforce, &record(json!({"LastName": "Berg", "Phone": null}))),
            Err("mapping_failed: first_name: the CRM did not send FirstName, and the rule is not `optional`; \
                 email: the CRM did not send Email, and the rule is not `optional`; \
                 phone: the CRM did not send MobilePhone, and the rule is not `optional`; \
                 company: the CRM did not send Account.Name, and the rule is not `optional`; \
                 job_title: the CRM did not send Profile__c, Title, and the rule is not `optional`"
                .to_owned())
        );
    }

    #[test]
    fn a_part_is_sent_with_what_it_belongs_to() {
        for (fields, path, expected) in [
            (json!({"Account.Name": null}), "Account.Name", true),
            (json!({"Account": null}), "Account.Name", true),
            (json!({"Account": null}), "Account.Owner.Name", true),
            (json!({"Account": {"Site": "x"}}), "Account.Name", true),
            (json!({"custom_fields": {}}), "custom_fields.0a1b", true),
            (json!({"Account.Name": null}), "Account", true),
            (json!({"Account.Site": null}), "Account.Name", false),
            (json!({"AccountName": null}), "Account", false),
            (json!({}), "Email", false),
        ] {
            assert_eq!(sent(fields.as_object().expect("an object"), path), expected, "{path} of {fields}");
        }
    }

    #[test]
    fn the_version_follows_what_the_rules_say() {
        let version = |map: &str| mapper(Kind::Salesforce, map).expect(map).version();
        let plain = version("");
        assert_eq!(plain, version(""), "the same rules");
        assert_eq!(plain, version(r#"email = { from = ["Email"] }"#), "a default repeated");
        let edits = [
            r"email = false",
            r#"email = { from = "Email", as = "lower" }"#,
            r#"strategy = { from = "S__c" }"#,
            r#"strategy = { expr = "S__c" }"#,
        ];
        let versions: BTreeSet<_> = edits.iter().map(|edit| version(edit)).chain([plain]).collect();
        assert_eq!(versions.len(), 5, "each edit is another map");
        let optional = r#"email = { from = "Email", optional = true }"#;
        assert_eq!(plain, version(optional), "every contact there is would be made the same");
        let norway = Mapper::compile(Kind::Salesforce, BTreeMap::new(), within("no")).expect("the defaults");
        assert_ne!(norway.version(), plain);
        assert_ne!(mapper(Kind::HubSpot, "").expect("the defaults").version(), plain);
    }

    /// The version is kept in ledgers: should this fail without the rules having changed, a release would declare every
    /// contact to be under old rules.
    #[test]
    fn the_versions_of_the_defaults_are_the_ledgers() {
        let versions = Kind::ALL
            .map(|kind| Mapper::compile(kind, BTreeMap::new(), Frame::default()).expect("the defaults").version());
        assert_eq!(versions, [-1097819952556292760, -4142845022271658945, 7024194008477277382]);
    }

    #[test]
    fn kinds_are_spelled_as_in_the_configuration() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("a word"), json!(kind.as_str()));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            "[+0-9 ()x/-]{0,20}".prop_map(Value::from),
            "[a-zåÄ.]{1,6}@[a-zÅ.-]{1,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z]{1,5}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Every field that a map below reads, and what could be mistaken for one.
    const FIELDS: &str = "FirstName LastName Email MobilePhone Phone Title Account.Name Account firstname lastname email \
        mobilephone phone jobtitle company lifecyclestage hs_language name first_name last_name org.name org job_title \
        labels";

    /// A map in which every transform and filter meets whatever the record holds.
    const WILD: &str = r#"
        first_name = { from = ["Account.Name", "name"], as = "split_first" }
        last_name = { expr = "name|split_last or org.name or Account|string" }
        phone = { expr = "phone|e164 or MobilePhone|e164('NO')" }
        strategy = { from = "email", as = "country" }
        linkedin_url = { from = "company", as = "linkedin" }
        email = { from = "labels", as = "first" }
        job_title = { expr = "Title|upper ~ (labels|join(',')) ~ lifecyclestage" }
        primary_language = { from = "hs_language", as = "language" }
        tags = { expr = "labels if labels is sequence else labels|split(';')" }
    "#;

    static MAPPERS: LazyLock<Vec<Mapper>> = LazyLock::new(|| {
        let maps = Kind::ALL.into_iter().map(|kind| (kind, "")).chain([(Kind::Salesforce, WILD)]);
        maps.map(|(kind, map)| mapper(kind, map).expect("valid rules")).collect()
    });

    /// The same cases in every run.
    fn seeded() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(3), failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(seeded())]

        #[test]
        fn no_record_makes_a_map_panic(values in proptest::collection::vec(any_json(), 24)) {
            let fields: Map<String, Value> = FIELDS.split(' ').map(str::to_owned).zip(values).collect();
            let record = record(Value::Object(fields));
            for mapper in MAPPERS.iter() {
                let once = mapper.map(&record);
                prop_assert_eq!(&mapper.map(&record), &once, "the same record, the same contact");
                if let Err(complaint) = once {
                    prop_assert!(Reason::ALL[..3].contains(&complaint.reason), "{:?}", complaint);
                }
            }
        }
    }
}
