//! `[sources.NAME.map]`: rules over the defaults, read and compiled. What a rule means is the mapping's to say; here
//! its faults get their line.

use std::collections::BTreeMap;

use config::Value;

use crate::config::document::Section;
use crate::domain::kind::Kind;
use crate::mapping::rules::Rule;
use crate::mapping::{Frame, Mapper};

/// How a rule may be spelled.
const FORMS: &str = "write { from = \"FIELD\" }, { const = \"TEXT\" }, { expr = \"EXPRESSION\" }, or false";

/// Compiles the map of a source. Without a `map` the defaults stand alone.
pub fn read(source: &Section<'_>, kind: Kind, companies: bool) -> Option<Mapper> {
    let region = if source.has("region") { Some(source.text("region")?.to_owned()) } else { None };
    let filter = if source.has("filter") { Some(source.text("filter")?.to_owned()) } else { None };
    let map = if source.has("map") { Some(source.section("map")?) } else { None };
    let (rules, unreadable) = map.as_ref().map_or_else(Default::default, spelled);
    match Mapper::compile(kind, rules, Frame { region, filter, companies }) {
        Ok(mapper) => (unreadable == 0).then_some(mapper),
        Err(faults) => {
            for fault in faults {
                match &map {
                    Some(map) if !matches!(&*fault.target, "region" | "filter") => {
                        map.fault(&fault.target, &fault.problem, &fault.remedy);
                    }
                    _ => source.fault(&fault.target, &fault.problem, &fault.remedy),
                }
            }
            None
        }
    }
}

/// Read as JSON, because of a word that is none of a list JSON's reader names the list and the merged tree's does not.
fn spelling(value: &Value) -> Result<Rule, String> {
    let json: serde_json::Value = value.clone().try_deserialize().map_err(|error| error.to_string())?;
    serde_json::from_value(json).map_err(|error| error.to_string())
}

/// The rules that can be read, and how many cannot.
fn spelled(map: &Section<'_>) -> (BTreeMap<String, Rule>, usize) {
    let mut rules = BTreeMap::new();
    let mut unreadable = 0;
    for (key, value) in map.entries() {
        match spelling(value) {
            Ok(rule) => drop(rules.insert(key.to_owned(), rule)),
            Err(what) => {
                unreadable += 1;
                map.fault(key, &what, FORMS);
            }
        }
    }
    (rules, unreadable)
}
