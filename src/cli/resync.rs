//! `propsync resync`: chosen records, read anew and delivered. Parses what is asked and prints the books.

use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use clap::{ArgGroup, Args};

use crate::assembly::{Sockets, assemble};
use crate::cli::envelope::{Failure, Report};
use crate::cli::exit::{Exit, signalled};
use crate::cli::sync::{Counting, Sync, SyncReport, interrupted};
use crate::cli::{Global, wait};
use crate::clock::{Clock, Dice};
use crate::config::tree::Config;
use crate::domain::Timestamp;
use crate::domain::request::Chosen;

/// The arguments of `resync`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync resync hubspot --id 12345 --id 67890
  propsync resync salesforce --since 2h
  propsync resync pipedrive --since 2026-11-01T00:00:00+01:00 --until 2026-11-02T00:00:00+01:00
  propsync resync hubspot --all
  propsync resync hubspot --id 12345 --revive   bring back what was deleted in Propstreet")]
#[command(group = ArgGroup::new("chosen").required(true).multiple(false))]
#[group(skip)]
pub struct Resync {
    /// The source, by name
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The CRM's id of a record; may be given again
    #[arg(long, value_name = "ID", group = "chosen")]
    pub id: Vec<String>,
    /// Records modified at this time or later: RFC 3339 with its offset, or 2h, 3d ago
    #[arg(long, value_name = "T", group = "chosen", value_parser = When::parse)]
    pub since: Option<When>,
    /// Records modified before this time
    #[arg(long, value_name = "T", requires = "since", conflicts_with_all = ["id", "all"], value_parser = When::parse)]
    pub until: Option<When>,
    /// Everyone
    #[arg(long, group = "chosen")]
    pub all: bool,
    /// Bring back contacts that somebody deleted in Propstreet
    #[arg(long)]
    pub revive: bool,
    /// How long to wait for an upstream that is down: 90s, 2m, 1h
    #[arg(long, value_name = "SPAN", default_value = "120s", value_parser = wait::parse)]
    pub max_wait: Duration,
}

/// A time, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// An instant.
    At(Timestamp),
    /// So long ago.
    Ago(Duration),
}

impl When {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(span) = wait::parse(text) {
            return Ok(Self::Ago(span));
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(at) => Ok(Self::At(at.to_utc())),
            Err(_) => {
                Err("write a time with its offset, 2026-11-24T08:00:00+01:00, or a span ago, 2h or 3d".to_owned())
            }
        }
    }

    fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now - TimeDelta::from_std(span).unwrap_or_default(),
        }
    }
}

/// Reads and delivers the chosen records.
pub async fn run(global: &Global, arguments: &Resync) -> Report {
    match resync(global, arguments).await {
        Ok(report) => report.answer("resync"),
        Err(failure) => Report::failed("resync", failure),
    }
}

async fn resync(global: &Global, arguments: &Resync) -> Result<SyncReport, Failure> {
    let config = global.configured()?;
    let named = Sync { sources: vec![arguments.source.clone()], max_wait: arguments.max_wait };
    named.chosen(&config)?;
    let chosen = arguments.chosen(Clock::system().now())?;
    read(global, &config, vec![(arguments.source.clone(), chosen)], arguments.revive, arguments.max_wait).await
}

impl Resync {
    fn chosen(&self, now: Timestamp) -> Result<Chosen, Failure> {
        let Some(since) = self.since.map(|when| when.instant(now)) else {
            return Ok(if self.all { Chosen::Everyone } else { Chosen::Ids(self.id.clone()) });
        };
        let until = self.until.map(|when| when.instant(now));
        if until.is_some_and(|until| until <= since) {
            return Err(Failure::new(Exit::Usage, "usage", "--until is not after --since", "exchange the two times"));
        }
        Ok(Chosen::Since { since, until })
    }
}

/// Reads these records of these sources, one source after the other. A signal ends it where it stands.
pub(in crate::cli) async fn read(
    global: &Global,
    config: &Config,
    wanted: Vec<(String, Chosen)>,
    revive: bool,
    max_wait: Duration,
) -> Result<SyncReport, Failure> {
    let parts =
        assemble(config, &Sockets, Clock::system(), Dice::system()).await.map_err(|error| Failure::from(&error))?;
    let counting = Counting::new(global.manner().progress());
    let all = async {
        let mut reports = Vec::new();
        for (name, chosen) in wanted {
            if let Some(source) = parts.sources.iter().find(|source| source.name == name) {
                reports.push(parts.engine.resync(source, chosen, revive, max_wait, &counting).await);
            }
        }
        reports
    };
    let result = tokio::select! {
        reports = all => Ok(SyncReport::of(reports)),
        signal = signalled() => Err(interrupted(signal.unwrap_or(Exit::Terminated))),
    };
    drop(counting);
    parts.close().await;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_an_offset_or_is_a_span_ago() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-24T12:00:00Z");
        for (text, meant) in [
            ("2h", "2026-11-24T10:00:00Z"),
            ("3d", "2026-11-21T12:00:00Z"),
            ("2026-11-24T08:00:00+01:00", "2026-11-24T07:00:00Z"),
            ("2026-11-24T08:00:00Z", "2026-11-24T08:00:00Z"),
        ] {
            assert_eq!(When::parse(text).expect("a time").instant(now), at(meant), "{text}");
        }
        for text in ["2026-11-24T08:00:00", "2026-11-24", "yesterday", "2"] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }
}
