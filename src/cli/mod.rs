//! The command line: parse, call, print, exit. A file a verb; it decides nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::cli::envelope::{Failure, Report};
use crate::cli::exit::Exit;
use crate::cli::print::Manner;
use crate::config::load;
use crate::config::tree::Config;
use crate::telemetry::{self, Verbosity};

pub mod config;
#[cfg(feature = "sandbox")]
pub mod demo;
pub mod doctor;
pub mod envelope;
pub mod exit;
pub mod explain;
pub mod forget;
pub mod history;
pub mod print;
pub mod quarantine;
pub mod reference;
pub mod resync;
pub mod run;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod status;
pub mod sync;
pub mod wait;

/// Keeps a firm's Propstreet network in step with its CRMs: each person once.
#[derive(Debug, Parser)]
#[command(name = "propsync", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Data goes to stdout, talk to stderr. Exit codes:
  0 fine   1 failed   2 usage or configuration   3 environment (upstream, disk, permission)
  4 done but degraded (incomplete, newly quarantined, books open)   130, 143 ended by a signal

Begin without an account:
  propsync demo";

impl Cli {
    /// What the command tells on stderr, where no flag says how much: one that stays has more to tell than trouble.
    fn logs(&self) -> Option<&'static str> {
        let asked = self.global.quiet || self.global.verbose > 0;
        (matches!(self.command, Command::Run(_)) && !asked).then_some(run::LOGS)
    }
}

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// The configuration; else $PROPSYNC_CONFIG, else /etc/propsync/propsync.toml, else config/propsync.toml
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer with one JSON document on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but data and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more; -vv and -vvv for more still (PROPSYNC_LOG sets a filter by hand)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// How to answer.
    #[must_use]
    pub fn manner(&self) -> Manner {
        Manner { json: self.json, quiet: self.quiet }
    }

    /// The file that is meant.
    pub fn file(&self) -> Result<PathBuf, Failure> {
        let named = self.config.clone().or_else(load::named);
        load::find(named.as_deref()).map_err(|error| Failure::from(&error))
    }

    /// The configuration that is meant, for a command that calls the upstreams.
    pub fn configured(&self) -> Result<Config, Failure> {
        load::load(&self.file()?, &load::environment()).map_err(|error| Failure::from(&error))
    }

    /// The configuration that is meant, its secrets left empty, for a command that asks the ledger alone.
    pub fn configured_without_secrets(&self) -> Result<Config, Failure> {
        load::load_without_secrets(&self.file()?, &load::environment()).map_err(|error| Failure::from(&error))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try it all in process: a backfill, changes in the CRMs, a second pass, and a check of every contact
    #[cfg(feature = "sandbox")]
    Demo(demo::Demo),
    /// Serve look-alikes of the four APIs on loopback, and write a ready configuration
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::Sandbox),
    /// Stay, and sync every source by its schedule and when its CRM calls
    Run(run::Run),
    /// One pass over the sources now, then exit
    Sync(sync::Sync),
    /// How every upstream is, and what to do next
    Status(status::Status),
    /// Look for what would keep a sync from going well, each finding with its remedy; writes nothing
    Doctor(doctor::Doctor),
    /// Why a person is, or is not, in Propstreet
    Explain(explain::Explain),
    /// Read chosen records anew, whatever is known of them, and deliver them
    Resync(resync::Resync),
    /// Every decision about one record
    History(history::History),
    /// Look at who needs a person, and decide about them
    #[command(subcommand)]
    Quarantine(quarantine::Verb),
    /// Erase one person from the ledger, for good
    Forget(forget::Forget),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Verb),
}

/// Parses, runs, prints, and says how the program ends.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error).into(),
    };
    let filter = std::env::var(telemetry::FILTER).ok().filter(|filter| !filter.is_empty());
    let filter = filter.as_deref().or(cli.logs());
    let manner = cli.global.manner();
    let report = match telemetry::start(Verbosity::of(cli.global.quiet, cli.global.verbose), filter) {
        Ok(()) => in_runtime(cli),
        Err(error) => Report::failed(
            "propsync",
            Failure::new(
                Exit::Usage,
                "usage",
                format!("{} cannot be read: {error}", telemetry::FILTER),
                "write a level such as debug, or unset it",
            ),
        ),
    };
    manner.deliver(&report).into()
}

fn in_runtime(cli: Cli) -> Report {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Report::failed(
            "propsync",
            Failure::new(
                Exit::Environment,
                "no_runtime",
                format!("the runtime cannot start: {error}"),
                "raise the limit on processes or open files of this user",
            ),
        ),
    }
}

/// Runs one command.
async fn run(cli: Cli) -> Report {
    match cli.command {
        Command::Config(config::Verb::Check) => config::check(&cli.global),
        #[cfg(feature = "sandbox")]
        Command::Demo(arguments) => demo::run(&cli.global, &arguments).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(arguments) => sandbox::run(&cli.global, &arguments).await,
        Command::Run(arguments) => run::run(&cli.global, &arguments).await,
        Command::Sync(arguments) => sync::run(&cli.global, &arguments).await,
        Command::Resync(arguments) => resync::run(&cli.global, &arguments).await,
        Command::History(arguments) => history::run(&cli.global, &arguments).await,
        Command::Quarantine(verb) => quarantine::run(&cli.global, &verb).await,
        Command::Forget(arguments) => forget::run(&cli.global, &arguments).await,
        Command::Status(_) => status::run(&cli.global).await,
        Command::Doctor(_) => doctor::run(&cli.global).await,
        Command::Explain(arguments) => explain::run(&cli.global, &arguments).await,
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn misused(error: &clap::Error) -> Exit {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && !asked {
        return Manner { json, quiet: false }.deliver(&misuse(error));
    }
    // A terminal that went away is nobody's to tell.
    drop(error.print());
    if asked { Exit::Fine } else { Exit::Usage }
}

/// A wrong command line, for a program that asked for JSON.
fn misuse(error: &clap::Error) -> Report {
    let words = error.render().to_string();
    // A sentence, perhaps a tip, then usage for people.
    let mut paragraphs = words.split("\n\n").map(str::trim);
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let tip = paragraphs.next().and_then(|paragraph| paragraph.strip_prefix("tip: "));
    Report::failed("propsync", Failure::new(Exit::Usage, "usage", message, tip.unwrap_or("see propsync --help")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn examples(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(command.has_subcommands() || help.contains("  propsync "), "{}", command.get_name());
            command.get_subcommands().for_each(examples);
        }
        examples(&Cli::command());
    }

    #[test]
    fn every_example_is_a_command_line() {
        fn examples(command: &clap::Command, found: &mut Vec<String>) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let lines = help.lines().filter_map(|line| line.strip_prefix("  propsync "));
            // What is said of an example stands behind it, after a gap.
            found.extend(lines.filter_map(|line| line.split("  ").next()).map(str::to_owned));
            command.get_subcommands().for_each(|command| examples(command, found));
        }
        let mut found = Vec::new();
        examples(&Cli::command(), &mut found);
        for line in found {
            let words = std::iter::once("propsync").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "propsync {line}");
        }
    }

    #[test]
    fn what_is_to_be_done_is_said_and_said_once() {
        for line in [
            "resync hubspot",
            "resync hubspot --all --id 1",
            "resync hubspot --until 2h --all",
            "resync hubspot --revive",
            "quarantine retry",
            "quarantine retry --max-wait 3s",
            "quarantine retry hubspot:1 --all",
            "quarantine resolve hubspot:1",
            "quarantine resolve hubspot:1 --max-wait 3s",
            "quarantine resolve hubspot:1 --link --detach",
            "quarantine resolve hubspot:1 --undo --link",
        ] {
            let words = std::iter::once("propsync").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "propsync {line}");
        }
        for line in
            ["resync hubspot --since 2h --until 1h --revive --max-wait 3s", "quarantine retry --all --max-wait 3s"]
        {
            let words = std::iter::once("propsync").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "propsync {line}");
        }
    }

    #[test]
    fn global_flags_stand_anywhere() {
        let cli = Cli::try_parse_from(["propsync", "sync", "hubspot", "--json", "-vv"]).expect("a command");
        assert!(cli.global.json);
        assert_eq!(cli.global.verbose, 2);
        assert!(Cli::try_parse_from(["propsync", "sync", "-q", "-v"]).is_err());
    }

    #[test]
    fn a_wrong_command_line_is_an_answer_too() {
        let error = Cli::try_parse_from(["propsync", "sync", "--max-wait", "90"]).expect_err("no unit");
        let report = misuse(&error);
        assert_eq!(report.exit, Exit::Usage);
        assert!(report.summary.contains("90s, 2m"), "{}", report.summary);
        assert_eq!(envelope::parsed(&report)["error"]["code"], "usage");
    }
}
