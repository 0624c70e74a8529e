//! `propsync config`: is the configuration right?

use clap::Subcommand;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::Exit;
use crate::cli::print::counted;
use crate::config::load::{self, LoadError};
use crate::config::problems::{Place, Problems};
use crate::config::tree::Config;

/// What can be asked of the configuration.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List every fault, with line, column and remedy; reads the secrets, calls nobody
    #[command(after_help = "\
Examples:
  propsync config check
  propsync config check --config /etc/propsync/propsync.toml --json")]
    Check,
}

const COMMAND: &str = "config check";

/// Checks the configuration that is meant.
#[must_use]
pub fn check(global: &Global) -> Report {
    let file = match global.file() {
        Ok(file) => file,
        Err(failure) => return Report::failed(COMMAND, failure),
    };
    match load::load(&file, &load::environment()) {
        Ok(config) => right(&config),
        Err(LoadError::Faulty(problems)) => wrong(&problems),
        Err(error) => Report::failed(COMMAND, Failure::from(&error)),
    }
}

#[derive(Serialize)]
struct Source<'a> {
    name: &'a str,
    kind: &'a str,
    namespace: &'a str,
    schedule: String,
    timezone: &'a str,
}

fn right(config: &Config) -> Report {
    let sources: Vec<Source<'_>> = config
        .sources
        .iter()
        .map(|source| Source {
            name: &source.name,
            kind: source.kind.as_str(),
            namespace: &source.namespace,
            schedule: source.schedule.to_string(),
            timezone: source.schedule.zone().as_str(),
        })
        .collect();
    let names: Vec<&str> = sources.iter().map(|source| source.name).collect();
    let summary =
        format!("{} is right: {} ({})", config.file.display(), counted(names.len() as u64, "source"), names.join(", "));
    let result = serde_json::json!({ "file": config.file, "sources": sources, "faults": [] });
    Report { command: COMMAND, exit: Exit::Fine, text: summary.clone(), summary, result, error: None }
}

#[derive(Serialize)]
struct Fault<'a> {
    line: Option<usize>,
    column: Option<usize>,
    variable: Option<&'a str>,
    key: &'a str,
    what: &'a str,
    remedy: &'a str,
}

fn wrong(problems: &Problems) -> Report {
    let faults: Vec<Fault<'_>> = problems
        .list
        .iter()
        .map(|problem| {
            let (line, column, variable) = match &problem.place {
                Place::File { line, column } => (Some(*line), Some(*column), None),
                Place::Variable(name) => (None, None, Some(name.as_str())),
                Place::Whole => (None, None, None),
            };
            Fault { line, column, variable, key: &problem.key, what: &problem.what, remedy: &problem.remedy }
        })
        .collect();
    let summary = format!("{} in {}", problems.tally(), problems.file.display());
    let remedy = "correct what is listed, then check again";
    Report {
        command: COMMAND,
        exit: Exit::Usage,
        result: serde_json::json!({ "file": problems.file, "sources": [], "faults": data(&faults) }),
        text: problems.to_string(),
        error: Some(Failure::new(Exit::Usage, "config_invalid", summary.clone(), remedy)),
        summary,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use insta::{assert_json_snapshot, assert_snapshot};

    use super::*;
    use crate::cli::envelope::parsed;

    fn checked(text: &str) -> Report {
        match load::parse(Path::new("p.toml"), text, &BTreeMap::new()) {
            Ok(config) => right(&config),
            Err(problems) => wrong(&problems),
        }
    }

    const RIGHT: &str = r#"
        [propstreet]
        auth = { kind = "token", token = "t" }
        [sources.hubspot_se]
        kind = "hubspot"
        namespace = "HubSpot"
        auth = { kind = "token", token = "t" }
        first_run = "backfill"
    "#;

    #[test]
    fn a_right_configuration_names_its_sources() {
        let report = checked(RIGHT);
        assert_snapshot!(report.text, @"p.toml is right: 1 source (hubspot_se)");
        assert_json_snapshot!(parsed(&report), @r#"
        {
          "command": "config check",
          "error": null,
          "ok": true,
          "result": {
            "faults": [],
            "file": "p.toml",
            "sources": [
              {
                "kind": "hubspot",
                "name": "hubspot_se",
                "namespace": "HubSpot",
                "schedule": "*/5 * * * *",
                "timezone": "UTC"
              }
            ]
          },
          "summary": "p.toml is right: 1 source (hubspot_se)"
        }
        "#);
    }

    #[test]
    fn a_wrong_one_lists_its_faults_as_data() {
        let report = checked(&RIGHT.replace("first_run", "frist_run"));
        assert_eq!(report.exit, Exit::Usage);
        assert_json_snapshot!(parsed(&report), @r#"
        {
          "command": "config check",
          "error": {
            "code": "config_invalid",
            "message": "2 faults in p.toml",
            "remedy": "correct what is listed, then check again"
          },
          "ok": false,
          "result": {
            "faults": [
              {
                "column": 18,
                "key": "sources.hubspot_se.first_run",
                "line": 4,
                "remedy": "choose first_run = \"backfill\" (send everyone) or \"from_now\" (only what changes from now on)",
                "variable": null,
                "what": "is missing"
              },
              {
                "column": 9,
                "key": "sources.hubspot_se.frist_run",
                "line": 8,
                "remedy": "did you mean `first_run`?",
                "variable": null,
                "what": "unknown key"
              }
            ],
            "file": "p.toml",
            "sources": []
          },
          "summary": "2 faults in p.toml"
        }
        "#);
    }
}
