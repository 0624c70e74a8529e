//! `propsync run`: stays, and syncs again and again. Parses what is asked and says how it ended.

use std::time::Duration;

use clap::Args;

use crate::assembly::Sockets;
use crate::cli::envelope::{Failure, Report};
use crate::cli::exit::{Exit, Signals};
use crate::cli::sync::interrupted;
use crate::cli::{Global, wait};
use crate::clock::{Clock, Dice};
use crate::daemon::{Daemon, Ended};

/// What is told on stderr unless the flags or the variable say otherwise: what a sync did, and trouble of any kind.
pub const LOGS: &str = "warn,propsync::daemon=info";

/// The arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync run                       until Ctrl-C or SIGTERM
  propsync run -v                    telling every pass
  propsync run --max-wait 10m        wait so long for an upstream that is down, then defer")]
pub struct Run {
    /// How long a sync waits for an upstream that is down: 90s, 2m, 1h
    #[arg(long, value_name = "SPAN", default_value = "120s", value_parser = wait::parse)]
    pub max_wait: Duration,
}

/// Syncs every source at once, then by its schedule and when its CRM calls, until a signal.
pub async fn run(global: &Global, arguments: &Run) -> Report {
    match stay(global, arguments).await {
        Ok(()) => Report { summary: "ended as asked; what was settled is kept".to_owned(), ..Report::silent("run") },
        Err(failure) => Report::failed("run", failure),
    }
}

async fn stay(global: &Global, arguments: &Run) -> Result<(), Failure> {
    let config = global.configured()?;
    let mut signals = Signals::hear().map_err(|error| deaf(&error))?;
    let daemon = Daemon::start(&config, &Sockets, Clock::system(), Dice::system(), arguments.max_wait)
        .await
        .map_err(|error| Failure::new(Exit::Environment, error.code(), error.to_string(), error.remedy()))?;
    match daemon.live(async || signals.next().await).await {
        // This is how a service is ended that is well.
        Ended::Cleanly(Exit::Terminated) => Ok(()),
        Ended::Cleanly(signal) => Err(interrupted(signal)),
        // The runtime would wait for what it has under way.
        Ended::AtOnce(signal) => std::process::exit(signal.code().into()),
    }
}

/// Without signals it could be ended by force alone.
fn deaf(error: &std::io::Error) -> Failure {
    let remedy = "raise the limit on open files of this user";
    Failure::new(Exit::Environment, "no_signals", format!("signals cannot be heard: {error}"), remedy)
}
