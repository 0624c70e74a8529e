//! Where every key and value of a TOML text stands. The merged tree no longer knows it, and a fault without a line
//! costs its reader a search.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::config::problems::{Place, Problem};

/// A key's path from the root.
pub type Path = Vec<String>;

/// The places of one text.
#[derive(Debug)]
pub struct Places {
    lines: Lines,
    keys: BTreeMap<Path, Spans>,
}

#[derive(Debug)]
struct Spans {
    key: usize,
    value: usize,
}

impl Places {
    /// Reads the text strictly; every syntax error becomes a problem.
    pub fn of(text: &str) -> Result<Self, Vec<Problem>> {
        let lines = Lines::of(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|error| syntax(&lines, error.message(), error.span())).collect());
        }
        let mut keys = BTreeMap::new();
        walk(&mut keys, &[], table.get_ref());
        Ok(Self { lines, keys })
    }

    /// Where the key is written; the nearest section around it when it is not.
    #[must_use]
    pub fn key(&self, path: &[String]) -> Place {
        self.nearest(path, |spans| spans.key)
    }

    /// Where the key's value is written.
    #[must_use]
    pub fn value(&self, path: &[String]) -> Place {
        self.nearest(path, |spans| spans.value)
    }

    fn nearest(&self, path: &[String], end: impl Fn(&Spans) -> usize) -> Place {
        if let Some(spans) = self.keys.get(path) {
            return self.lines.place(end(spans));
        }
        let around = (0..path.len()).rev().find_map(|depth| self.keys.get(&path[..depth]));
        around.map_or(Place::Whole, |spans| self.lines.place(spans.key))
    }
}

fn walk(keys: &mut BTreeMap<Path, Spans>, path: &[String], table: &DeTable<'_>) {
    for (key, value) in table {
        let path: Path = path.iter().cloned().chain([key.get_ref().to_string()]).collect();
        keys.insert(path.clone(), Spans { key: key.span().start, value: value.span().start });
        if let DeValue::Table(inner) = value.get_ref() {
            walk(keys, &path, inner);
        }
    }
}

fn syntax(lines: &Lines, message: &str, span: Option<Range<usize>>) -> Problem {
    Problem {
        place: span.map_or(Place::Whole, |span| lines.place(span.start)),
        key: String::new(),
        what: format!("not TOML: {}", message.lines().collect::<Vec<_>>().join(", ")),
        remedy: "correct the line; texts stand in double quotes, sections in [brackets]".to_owned(),
    }
}

/// A text that can say the line of an offset.
#[derive(Debug)]
struct Lines {
    text: String,
}

impl Lines {
    fn of(text: &str) -> Self {
        Self { text: text.to_owned() }
    }

    fn place(&self, offset: usize) -> Place {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place::File { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}
