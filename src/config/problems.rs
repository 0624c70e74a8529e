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
