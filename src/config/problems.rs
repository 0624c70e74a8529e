//! The faults of a configuration: where, which key, what, and what to do. It never holds a secret's value.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Where a fault stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the file.
    File {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In this environment variable, which overrides the file.
    Variable(String),
    /// In the file as a whole.
    Whole,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// The key's path, `sources.hubspot.namespace`; empty where no key could be read.
    pub key: String,
    /// What is wrong, in one clause.
    pub what: String,
    /// What to do, in one clause.
    pub remedy: String,
}

/// Every fault of one configuration, in the order of the file. Never empty when returned as an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Problems {
    /// The file they were found in.
    pub file: PathBuf,
    /// The faults.
    pub list: Vec<Problem>,
}

impl Problems {
    /// The faults of `file`, sorted by place.
    #[must_use]
    pub fn of(file: &Path, mut list: Vec<Problem>) -> Self {
        list.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        Self { file: file.to_owned(), list }
    }

    /// A fault in one line: where, which key, what.
    #[must_use]
    pub fn line(&self, problem: &Problem) -> String {
        let place = match &problem.place {
            Place::File { line, column } => format!("{}:{line}:{column}", self.file.display()),
            Place::Variable(name) => format!("{name} (environment)"),
            Place::Whole => self.file.display().to_string(),
        };
        let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        format!("{place}: {key}{}", problem.what)
    }

    /// How many there are, in words: `1 fault`, `3 faults`.
    #[must_use]
    pub fn tally(&self) -> String {
        match self.list.len() {
            1 => "1 fault".to_owned(),
            n => format!("{n} faults"),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.list.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}\n    fix: {}", self.line(problem), problem.remedy)?;
        }
        Ok(())
    }
}

/// The word of `known` that was probably meant: at most a third of its letters away.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(&word.to_lowercase(), candidate), candidate))
        .filter(|(edits, candidate)| *edits <= 1.max(candidate.chars().count() / 3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: insert, delete, replace, or swap two neighbours (the commonest slip of the fingers).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replace = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near_or_not_named() {
        let known = ["base_url", "namespace", "first_run", "kind", "map"];
        for (word, meant) in [
            ("bas_url", Some("base_url")),
            ("frist_run", Some("first_run")),
            ("NameSpace", Some("namespace")),
            ("kidn", Some("kind")),
            ("maps", Some("map")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }

    #[test]
    fn a_swap_is_one_edit() {
        for (from, to, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abcd", "acbd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }
}
