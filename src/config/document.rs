//! The merged tree of file and environment, read section by section. A section remembers which keys were asked for, so
//! that whatever is left over is a fault, and collects every fault instead of stopping at the first.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use config::builder::DefaultState;
use config::{ConfigBuilder, Environment, File, FileFormat, Value, ValueKind};

use crate::config::places::Places;
use crate::config::problems::{Place, Problem};
use crate::domain::nearest::nearest;

/// What every override's name begins with.
pub const PREFIX: &str = "PROPSYNC__";

type Table = config::Map<String, Value>;

/// Whether secrets that stand elsewhere are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// They are; one that cannot be had is a fault.
    Whole,
    /// They are left empty.
    WithoutSecrets,
}

/// File and environment, merged.
#[derive(Debug)]
pub struct Document {
    root: Table,
    places: Places,
    variables: BTreeMap<String, String>,
    /// The folder that relative paths start from: the file's own.
    folder: PathBuf,
    /// Whether secrets that stand elsewhere are fetched.
    pub(in crate::config) reading: Reading,
    faults: RefCell<Vec<Problem>>,
}

impl Document {
    /// Merges a file's text with the variables that override it. Fails when the text is not TOML.
    pub fn merge(
        file: &Path,
        text: &str,
        variables: &BTreeMap<String, String>,
        reading: Reading,
    ) -> Result<Self, Vec<Problem>> {
        let places = Places::of(text)?;
        let (overrides, faults) = overrides(variables);
        let root = ConfigBuilder::<DefaultState>::default()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(
                Environment::with_prefix("PROPSYNC").prefix_separator("__").separator("__").source(Some(overrides)),
            )
            .build()
            .and_then(|merged| merged.cache.into_table())
            .map_err(|error| vec![unmergeable(&error)])?;
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { root, places, variables: variables.clone(), folder, reading, faults: RefCell::new(faults) })
    }

    /// The outermost section.
    #[must_use]
    pub fn root(&self) -> Section<'_> {
        Section { document: self, path: Vec::new(), table: &self.root, asked: RefCell::default() }
    }

    /// A variable of the process's environment.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A path as the file means it.
    #[must_use]
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// The faults found so far.
    #[must_use]
    pub fn into_faults(self) -> Vec<Problem> {
        self.faults.into_inner()
    }
}

/// The overrides, and a fault for every name that names no key.
fn overrides(variables: &BTreeMap<String, String>) -> (config::Map<String, String>, Vec<Problem>) {
    let (good, bad): (Vec<_>, Vec<_>) = variables
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .partition(|(name, _)| name[PREFIX.len()..].split("__").all(is_word));
    let faults = bad.into_iter().map(|(name, _)| Problem {
        place: Place::Variable(name.clone()),
        key: String::new(),
        what: "the name of this variable names no key".to_owned(),
        remedy: format!("write {PREFIX}SECTION__KEY, for example {PREFIX}PROPSTREET__BASE_URL, or unset it"),
    });
    (good.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect(), faults.collect())
}

fn is_word(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn unmergeable(error: &config::ConfigError) -> Problem {
    Problem {
        place: Place::Whole,
        key: String::new(),
        what: format!("cannot be merged with the environment: {error}"),
        remedy: format!("unset the variables that begin with {PREFIX}, or correct them"),
    }
}

/// A word a key may hold: one this version acts on, or one that is planned.
#[derive(Debug, Clone, Copy)]
pub enum Word<T> {
    /// Acted on.
    Built(T),
    /// In the design, refused by this version.
    Planned,
}

/// One table of the tree.
#[derive(Debug)]
pub struct Section<'d> {
    document: &'d Document,
    path: Vec<String>,
    table: &'d Table,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'d> Section<'d> {
    /// The document it belongs to.
    #[must_use]
    pub fn document(&self) -> &'d Document {
        self.document
    }

    /// The last word of its path; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Whether the key is written, with any value.
    #[must_use]
    pub fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Says that the key belongs here, though nothing reads it now (what it depends on is at fault itself).
    pub fn knows(&self, key: &'static str) {
        self.asked.borrow_mut().insert(key);
    }

    /// Says that the key must be written.
    pub fn require(&self, key: &'static str, remedy: &str) {
        if !self.has(key) {
            self.fault(key, "is missing", remedy);
        }
    }

    /// A text that is not empty.
    #[must_use]
    pub fn text(&self, key: &'static str) -> Option<&'d str> {
        let value = self.value(key)?;
        match &value.kind {
            ValueKind::String(text) if !text.trim().is_empty() => return Some(text),
            ValueKind::String(_) => self.fault(key, "is empty", "write a value or remove the key"),
            other => self.mistyped(key, "a text in quotes", other),
        }
        None
    }

    /// A list of texts, none of them empty. `None` when it is not written or at fault.
    #[must_use]
    pub fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        let ValueKind::Array(items) = &self.value(key)?.kind else {
            self.fault(key, "is no list", "write texts in brackets, for example [\"one\", \"two\"]");
            return None;
        };
        let text = |item: &Value| match &item.kind {
            ValueKind::String(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => None,
        };
        let texts: Option<Vec<String>> = items.iter().map(text).collect();
        if texts.is_none() {
            self.fault(key, "holds something that is no text or empty", "write every item as a text in quotes");
        }
        texts
    }

    /// A whole number within bounds, in the key's own unit.
    #[must_use]
    pub fn number(&self, key: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let value = self.value(key)?;
        let number = match &value.kind {
            ValueKind::I64(number) => Some(*number),
            // A variable is always a text.
            ValueKind::String(text) if value.origin().is_some() => text.trim().parse().ok(),
            _ => None,
        };
        match number.map(u32::try_from) {
            Some(Ok(number)) if bounds.contains(&number) => return Some(number),
            Some(_) => self.fault(
                key,
                "is out of bounds",
                &format!("write a whole number from {} to {}", bounds.start(), bounds.end()),
            ),
            None => self.mistyped(key, "a whole number", &value.kind),
        }
        None
    }

    /// `true` or `false`.
    #[must_use]
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match &value.kind {
            ValueKind::Boolean(on) => return Some(*on),
            // A variable is always a text.
            ValueKind::String(text) if value.origin().is_some() && text == "true" => return Some(true),
            ValueKind::String(text) if value.origin().is_some() && text == "false" => return Some(false),
            other => self.mistyped(key, "true or false", other),
        }
        None
    }

    /// One word of a closed list.
    #[must_use]
    pub fn choice<T: Copy>(&self, key: &'static str, words: &[(&'static str, Word<T>)]) -> Option<T> {
        let text = self.text(key)?;
        let built: Vec<&str> =
            words.iter().filter(|(_, word)| matches!(word, Word::Built(_))).map(|(name, _)| *name).collect();
        match words.iter().find(|(name, _)| *name == text) {
            Some((_, Word::Built(value))) => return Some(*value),
            Some((_, Word::Planned)) => self.fault(
                key,
                &format!("`{key} = \"{text}\"` is planned but not built into this version"),
                &format!("{}set {}", if self.is_optional(key) { "remove it or " } else { "" }, quoted(&built)),
            ),
            None => self.fault(key, &format!("`{text}` is none of its values"), &format!("write {}", quoted(&built))),
        }
        None
    }

    /// A table below this one.
    #[must_use]
    pub fn section(&self, key: &'static str) -> Option<Section<'d>> {
        let value = self.value(key)?;
        match &value.kind {
            ValueKind::Table(table) => Some(self.below(key, table)),
            other => {
                self.mistyped(key, "a section", other);
                None
            }
        }
    }

    /// The tables below this one, whatever their names, in alphabetical order. Other values are faults.
    #[must_use]
    pub fn sections(&self) -> Vec<Section<'d>> {
        let mut found = Vec::new();
        for (key, value) in self.entries() {
            match &value.kind {
                ValueKind::Table(table) => found.push(self.below(key, table)),
                other => self.mistyped(key, "a section", other),
            }
        }
        found
    }

    /// Every key with its value as it is, in alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = (&'d str, &'d Value)> + use<'d> {
        self.table.iter().map(|(key, value)| (key.as_str(), value)).collect::<BTreeMap<_, _>>().into_iter()
    }

    /// The value of a key as it is, for readers that take more than one form.
    #[must_use]
    pub fn value(&self, key: &'static str) -> Option<&'d Value> {
        self.knows(key);
        self.table.get(key).filter(|value| value.kind != ValueKind::Nil)
    }

    /// Reports a fault of one key, written or missing.
    pub fn fault(&self, key: &str, what: &str, remedy: &str) {
        self.report(key, true, what, remedy);
    }

    /// Reports a fault of this section as a whole.
    pub fn fault_here(&self, what: &str, remedy: &str) {
        let place = self.document.places.key(&self.path);
        self.push(place, &self.path, what, remedy);
    }

    /// Ends the reading: keys that nobody asked for are unknown, or planned and refused as such.
    pub fn close(self, planned: &[&'static str]) {
        let asked = self.asked.borrow();
        for key in self.table.keys().collect::<BTreeSet<_>>() {
            if asked.contains(key.as_str()) {
                continue;
            }
            if planned.contains(&key.as_str()) {
                self.report(key, false, &format!("`{key}` is planned but not built into this version"), "remove it");
                continue;
            }
            let remedy = match nearest(key, asked.iter().copied().chain(planned.iter().copied())) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if asked.is_empty() => "remove it".to_owned(),
                None => format!("remove it; known here: {}", asked.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            self.report(key, false, "unknown key", &remedy);
        }
    }

    fn below(&self, key: &str, table: &'d Table) -> Section<'d> {
        let path = self.path.iter().cloned().chain([key.to_owned()]).collect();
        Section { document: self.document, path, table, asked: RefCell::default() }
    }

    /// A key that selects what else is read cannot simply be removed.
    fn is_optional(&self, key: &str) -> bool {
        !matches!(key, "kind" | "first_run")
    }

    fn mistyped(&self, key: &str, wanted: &str, found: &ValueKind) {
        let found = match found {
            ValueKind::Nil => "nothing",
            ValueKind::Boolean(_) => "true or false",
            ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => "a whole number",
            ValueKind::Float(_) => "a fraction",
            ValueKind::String(_) => "a text",
            ValueKind::Table(_) => "a section",
            ValueKind::Array(_) => "a list",
        };
        self.report(key, true, &format!("is {found}"), &format!("write {wanted}"));
    }

    fn report(&self, key: &str, at_value: bool, what: &str, remedy: &str) {
        let path: Vec<String> = self.path.iter().cloned().chain([key.to_owned()]).collect();
        let place = match self.table.get(key) {
            Some(value) if value.origin().is_some() => Place::Variable(variable_of(&path)),
            _ if at_value => self.document.places.value(&path),
            _ => self.document.places.key(&path),
        };
        self.push(place, &path, what, remedy);
    }

    fn push(&self, place: Place, path: &[String], what: &str, remedy: &str) {
        let problem = Problem { place, key: path.join("."), what: what.to_owned(), remedy: remedy.to_owned() };
        self.document.faults.borrow_mut().push(problem);
    }
}

fn variable_of(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("__").to_uppercase())
}

fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    words.join(" or ")
}
