//! `propsync sandbox`: the four look-alikes on loopback. Prints where they listen and the configuration that uses them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use serde::Serialize;

use crate::cli::Global;
use crate::cli::envelope::{Failure, Report, data};
use crate::cli::exit::{Exit, signalled};
use crate::cli::print::{grouped, table};
use crate::cli::wait::spoken;
use crate::sandbox::pipedrive::fields::PROPSTREET_ID;
use crate::sandbox::serve::Served;
use crate::sandbox::upstream::Upstream;
use crate::sandbox::{self, Settings, credentials};

/// The arguments of `sandbox`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  propsync sandbox
  propsync sandbox --port-base 9300 --contacts 5000 --seed 7
  propsync sandbox --port-base 0     on ports that are free
  then, in another terminal: propsync sync --config the file it names")]
pub struct Sandbox {
    /// The first of four ports on 127.0.0.1: Salesforce, HubSpot, Pipedrive, Propstreet; 0 takes free ones
    #[arg(long, value_name = "P", default_value_t = 9_100, value_parser = port_base)]
    pub port_base: u16,
    /// How many people each of the three CRMs holds
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub contacts: u32,
    /// The same seed makes the same people and the same faults
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
}

fn port_base(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port @ (0 | 1024..=65_532)) => Ok(port),
        _ => Err("write 0, or a port from 1024 to 65532".to_owned()),
    }
}

/// Where the sandbox is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SandboxReport {
    /// The look-alikes.
    pub upstreams: Vec<Listener>,
    /// A configuration that uses them.
    pub config: PathBuf,
    /// What a newcomer must know, a sentence each.
    pub notes: Vec<String>,
}

/// One look-alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Whom it imitates.
    pub name: String,
    /// Where it listens.
    pub base_url: String,
}

/// Serves the four look-alikes until a signal ends it.
pub async fn run(global: &Global, arguments: &Sandbox) -> Report {
    match serve(global, arguments).await {
        Ok(exit) => Report { exit, ..Report::silent("sandbox") },
        Err(failure) => Report::failed("sandbox", failure),
    }
}

async fn serve(global: &Global, arguments: &Sandbox) -> Result<Exit, Failure> {
    let settings = Settings { seed: arguments.seed, contacts: arguments.contacts as usize, ..Settings::default() };
    let pace = settings.requests_per_minute;
    let port_base = Some(arguments.port_base).filter(|port| *port != 0);
    let mut served = sandbox::Sandbox::new(settings).serve(port_base).await.map_err(|error| unserved(&error))?;
    let folder = own_folder("propsync-sandbox").map_err(|error| unwritten(&error))?;
    let config = write_config(&folder, &served).map_err(|error| unwritten(&error))?;
    let upstreams =
        Upstream::ALL.map(|upstream| Listener { name: name(upstream), base_url: served.url(upstream).to_owned() });
    let report = SandboxReport { upstreams: upstreams.into(), notes: notes(&config, arguments.contacts, pace), config };
    let shown = global.manner().deliver(&report.answer());
    tokio::select! {
        ended = served.wait() => ended.map(|()| shown).map_err(|error| unserved(&error)),
        signal = signalled() => Ok(signal.unwrap_or(Exit::Terminated)),
    }
}

/// A folder for this run alone, readable by nobody else: the configuration in it holds (made-up) credentials.
pub(in crate::cli) fn own_folder(name: &str) -> io::Result<PathBuf> {
    let base = std::env::temp_dir();
    // In a container every run may have the same process number, and the folder of the last one may still be there.
    for attempt in 1..=1_000 {
        let folder = base.join(format!("{name}-{}-{attempt}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Where that configuration keeps the ledger.
pub(in crate::cli) fn ledger_in(folder: &Path) -> PathBuf {
    folder.join("ledger.sqlite")
}

/// Writes the configuration that uses the look-alikes; returns its path.
pub(in crate::cli) fn write_config(folder: &Path, served: &Served) -> io::Result<PathBuf> {
    let file = folder.join("propsync.toml");
    std::fs::write(&file, config(folder, served))?;
    Ok(file)
}

/// What every source may decide otherwise.
const CHOICES: &str = "\
# on_change = \"update\"
# clear_empty = true
# companies = \"link\"
# on_filtered = \"tag\"
# on_delete = \"tag\"
";

fn config(folder: &Path, served: &Served) -> String {
    format!(
        r#"# A configuration for the look-alikes. Their people's phones are Swedish where no country code says otherwise.
# A line behind # is something else to try; of two lines with one key, one may stand.
[propstreet]
base_url = "{propstreet}"
auth = {{ kind = "client_credentials", client_id = "{pid}", client_secret = "{psecret}" }}

[ledger]
path = "{ledger}"

[sources.salesforce]
kind = "salesforce"
base_url = "{salesforce}"
auth = {{ kind = "client_credentials", client_id = "{sid}", client_secret = "{ssecret}" }}
first_run = "backfill"
region = "SE"
# write_back = {{ field = "Propstreet_Contact_Id__c" }}
# filter = "not HasOptedOutOfEmail"
{choices}
[sources.hubspot]
kind = "hubspot"
base_url = "{hubspot}"
auth = {{ kind = "token", token = "{htoken}" }}
# auth = {{ kind = "oauth_refresh", client_id = "{hid}", client_secret = "{hsecret}", refresh_token = "{hrefresh}" }}
first_run = "backfill"
region = "SE"
# write_back = {{ field = "propstreet_contact_id" }}
# filter = "not hs_email_optout or hs_email_optout == 'false'"
{choices}
[sources.pipedrive]
kind = "pipedrive"
base_url = "{pipedrive}"
auth = {{ kind = "api_token", token = "{pdtoken}" }}
# auth = {{ kind = "oauth_refresh", client_id = "{pdid}", client_secret = "{pdsecret}", refresh_token = "{pdrefresh}", oauth_url = "{pipedrive}" }}
first_run = "backfill"
region = "SE"
# write_back = {{ field = "{pdfield}" }}
# filter = "'Do not contact' not in (labels or [])"
{choices}"#,
        propstreet = served.propstreet,
        pid = credentials::PROPSTREET_CLIENT_ID,
        psecret = credentials::PROPSTREET_CLIENT_SECRET,
        ledger = ledger_in(folder).display(),
        salesforce = served.salesforce,
        sid = credentials::SALESFORCE_CLIENT_ID,
        ssecret = credentials::SALESFORCE_CLIENT_SECRET,
        hubspot = served.hubspot,
        htoken = credentials::HUBSPOT_TOKEN,
        hid = credentials::HUBSPOT_CLIENT_ID,
        hsecret = credentials::HUBSPOT_CLIENT_SECRET,
        hrefresh = credentials::HUBSPOT_REFRESH_TOKEN,
        pipedrive = served.pipedrive,
        pdtoken = credentials::PIPEDRIVE_TOKEN,
        pdid = credentials::PIPEDRIVE_CLIENT_ID,
        pdsecret = credentials::PIPEDRIVE_CLIENT_SECRET,
        pdrefresh = credentials::PIPEDRIVE_REFRESH_TOKEN,
        pdfield = PROPSTREET_ID,
        choices = CHOICES,
    )
}

/// What the first sync costs in minutes is said, because it stands still while it waits for the next minute's calls.
fn notes(config: &Path, contacts: u32, pace: u32) -> Vec<String> {
    let people = u64::from(contacts) * 3;
    vec![
        format!(
            "this Propstreet allows {pace} requests a minute, as the real one does: the first sync of {} people takes about {}",
            grouped(people),
            spoken(people * 60 / u64::from(pace)),
        ),
        format!("export PROPSYNC_CONFIG={} spares every command its --config", config.display()),
    ]
}

/// This program as it was started, since a freshly built one is on nobody's PATH.
pub(in crate::cli) fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "propsync".to_owned())
}

fn name(upstream: Upstream) -> String {
    format!("{upstream:?}").to_lowercase()
}

pub(in crate::cli) fn unserved(error: &io::Error) -> Failure {
    let remedy = "choose other ports with --port-base, or end what listens there";
    Failure::new(Exit::Environment, "no_ports", format!("the look-alikes cannot listen: {error}"), remedy)
}

pub(in crate::cli) fn unwritten(error: &io::Error) -> Failure {
    let remedy = "make the folder for temporary files writable, or set TMPDIR to one that is";
    Failure::new(Exit::Environment, "no_folder", format!("the configuration cannot be written: {error}"), remedy)
}

impl SandboxReport {
    /// The answer, given once everything listens.
    #[must_use]
    pub fn answer(&self) -> Report {
        let rows: Vec<Vec<String>> =
            self.upstreams.iter().map(|upstream| vec![upstream.name.clone(), upstream.base_url.clone()]).collect();
        let summary =
            format!("the sandbox listens until Ctrl-C; try: {} sync --config {}", program(), self.config.display());
        let notes: String = self.notes.iter().map(|note| format!("note: {note}\n")).collect();
        let text = format!("{}\n\n{notes}\n{summary}", table(&["upstream", "base_url"], &rows));
        Report { command: "sandbox", exit: Exit::Fine, text, summary, result: data(self), error: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_every_address_and_the_next_command() {
        let listener =
            |name: &str, port: u16| Listener { name: name.to_owned(), base_url: format!("http://127.0.0.1:{port}") };
        let upstreams = vec![listener("propstreet", 9100), listener("hubspot", 9102)];
        let config = PathBuf::from("/tmp/propsync.toml");
        let answer = SandboxReport { upstreams, notes: notes(&config, 1_000, 600), config }.answer();
        assert!(answer.text.contains("propstreet  http://127.0.0.1:9100"), "{}", answer.text);
        assert!(answer.text.contains("first sync of 3,000 people takes about 5 min"), "{}", answer.text);
        assert!(answer.text.ends_with(" sync --config /tmp/propsync.toml"), "{}", answer.text);
    }
}
