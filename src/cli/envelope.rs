//! What a command answers, in two forms of one content: text for people, one JSON document for programs.

use serde::Serialize;
use serde_json::Value;

use crate::assembly::AssemblyError;
use crate::cli::exit::Exit;
use crate::config::load::LoadError;
use crate::domain::failure::Trouble;
use crate::domain::told::Fault;
use crate::ledger::error::LedgerError;

/// Why a command, or its work on one source, failed. None exists without a remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// A stable word.
    pub code: String,
    /// What happened. No personal data.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// How the program ends for it.
    #[serde(skip)]
    pub exit: Exit,
}

impl Failure {
    /// A failure.
    pub fn new(exit: Exit, code: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), remedy: remedy.into(), exit }
    }

    /// The same, saying in which source.
    #[must_use]
    pub fn within(mut self, source: &str) -> Self {
        self.message = format!("{source}: {}", self.message);
        self
    }
}

impl From<&Trouble> for Failure {
    fn from(trouble: &Trouble) -> Self {
        Self::new(trouble.blame().into(), trouble.code(), trouble.to_string(), trouble.remedy())
    }
}

impl From<&LoadError> for Failure {
    fn from(error: &LoadError) -> Self {
        let (exit, code) = match error {
            LoadError::NotFound => (Exit::Usage, "config_not_found"),
            // A path with a slip in it is the command line's fault, not the disk's.
            LoadError::Unreadable { cause, .. } if cause.kind() == std::io::ErrorKind::NotFound => {
                (Exit::Usage, "config_not_found")
            }
            LoadError::Unreadable { .. } => (Exit::Environment, "config_unreadable"),
            LoadError::Faulty(_) => (Exit::Usage, "config_invalid"),
        };
        Self::new(exit, code, error.to_string(), error.remedy())
    }
}

impl From<&LedgerError> for Failure {
    fn from(error: &LedgerError) -> Self {
        Self::new(Exit::Environment, error.code(), error.to_string(), error.remedy())
    }
}

impl From<&AssemblyError> for Failure {
    fn from(error: &AssemblyError) -> Self {
        Self::new(Exit::Environment, error.code(), error.to_string(), error.remedy())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::new(fault.blame.into(), fault.code, fault.message, fault.remedy)
    }
}

/// A command's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The command, as typed: `config check`.
    pub command: &'static str,
    /// How the program ends.
    pub exit: Exit,
    /// One line that answers the question.
    pub summary: String,
    /// The data, for programs.
    pub result: Value,
    /// The same data for people, lines without the last newline. May be empty.
    pub text: String,
    /// Why it failed; `None` for findings, which are data.
    pub error: Option<Failure>,
}

impl Report {
    /// The answer of a command that has said all it had to say already.
    #[must_use]
    pub fn silent(command: &'static str) -> Self {
        let (summary, text) = (String::new(), String::new());
        Self { command, exit: Exit::Fine, summary, result: Value::Null, text, error: None }
    }

    /// Whether there is nothing to print.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.summary.is_empty() && self.error.is_none()
    }

    /// The answer of a command that could not do its work.
    #[must_use]
    pub fn failed(command: &'static str, failure: Failure) -> Self {
        Self {
            command,
            exit: failure.exit,
            summary: failure.message.lines().next().unwrap_or_default().trim_end_matches(':').to_owned(),
            result: Value::Null,
            text: String::new(),
            error: Some(failure),
        }
    }

    /// The JSON document, on one line.
    #[must_use]
    pub fn document(&self) -> String {
        let envelope = Envelope {
            command: self.command,
            ok: self.exit == Exit::Fine,
            summary: &self.summary,
            result: &self.result,
            error: self.error.as_ref(),
        };
        // Texts, numbers and flags alone: there is nothing here that JSON cannot say.
        serde_json::to_string(&envelope).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    command: &'a str,
    ok: bool,
    summary: &'a str,
    result: &'a Value,
    error: Option<&'a Failure>,
}

/// A command's data as JSON.
#[must_use]
pub fn data<T: Serialize>(data: &T) -> Value {
    // As above: derived from texts, numbers and flags.
    serde_json::to_value(data).unwrap_or_default()
}

/// The one document of an answer, read back.
#[cfg(test)]
pub(in crate::cli) fn parsed(report: &Report) -> Value {
    serde_json::from_str(&report.document()).expect("one JSON document")
}

#[cfg(test)]
mod tests {
    use insta::assert_json_snapshot;

    use super::*;

    #[test]
    fn ok_is_exit_zero_and_every_key_is_there() {
        let trouble = Trouble::Credential("401 from hubspot".to_owned());
        assert_json_snapshot!(parsed(&Report::failed("sync", Failure::from(&trouble))), @r#"
        {
          "command": "sync",
          "error": {
            "code": "credential",
            "message": "credential refused: 401 from hubspot",
            "remedy": "mend what the message names, or else renew the secret named in the configuration; then run it again"
          },
          "ok": false,
          "result": null,
          "summary": "credential refused: 401 from hubspot"
        }
        "#);
        let fine = Report {
            command: "status",
            exit: Exit::Fine,
            summary: "all is well".to_owned(),
            result: serde_json::json!({ "sources": [] }),
            text: String::new(),
            error: None,
        };
        assert_json_snapshot!(parsed(&fine), @r#"
        {
          "command": "status",
          "error": null,
          "ok": true,
          "result": {
            "sources": []
          },
          "summary": "all is well"
        }
        "#);
        assert!(Report { exit: Exit::Degraded, ..fine }.document().contains(r#""ok":false"#));
    }
}
