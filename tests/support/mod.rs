//! A firm to test with: the four look-alikes, a configuration that points at them, and a ledger in a folder of its own.

pub mod book;
pub mod crm;
pub mod network;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use propsync::assembly::{self, Network, Parts};
use propsync::clock::{Clock, Dice};
use propsync::config::load;
use propsync::config::tree::Config;
use propsync::daemon::Daemon;
use propsync::domain::Timestamp;
use propsync::domain::identity::{RefKey, RefRules};
use propsync::domain::pass::Outcome;
use propsync::domain::told::Silent;
use propsync::ledger::Ledger;
use propsync::ledger::rows::Row;
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef, Labelled};
use propsync::sandbox::{Sandbox, Settings};
use propsync::sync::engine::Source;
use propsync::sync::report::SourceReport;
use tempfile::TempDir;

use crate::support::network::Routers;

/// When every simulated firm begins.
pub fn epoch() -> Timestamp {
    "2026-11-02T08:00:00Z".parse().expect("an instant")
}

/// A firm in one process, in virtual time.
pub struct Firm {
    pub sandbox: Sandbox,
    pub clock: Clock,
    pub network: Routers,
    /// Lines added to the configuration before it is read, by section.
    pub extra: BTreeMap<&'static str, String>,
    /// Whether sources leave alone whom they hold already.
    pub from_now: bool,
    folder: TempDir,
    seed: u64,
}

impl Firm {
    /// A firm whose look-alikes are set up by `arrange`.
    pub fn new(seed: u64, arrange: impl FnOnce(&mut Settings)) -> Self {
        let clock = propsync::sandbox::clock::Clock::simulated(epoch());
        let mut settings = Settings { seed, contacts: 30, clock, requests_per_minute: 6000, ..Settings::default() };
        arrange(&mut settings);
        let sandbox = Sandbox::new(settings);
        Self {
            network: Routers::of(&sandbox),
            sandbox,
            clock: Clock::simulated(epoch()),
            extra: BTreeMap::new(),
            from_now: false,
            folder: tempfile::tempdir().expect("a folder"),
            seed,
        }
    }

    pub fn ledger_path(&self) -> PathBuf {
        self.folder.path().join("ledger.sqlite")
    }

    /// The configuration, as a person would write it.
    pub fn configuration(&self) -> String {
        let first_run = if self.from_now { "from_now" } else { "backfill" };
        configuration(&self.network.urls(), &self.ledger_path(), first_run, &self.extra)
    }

    /// The configuration, read.
    pub fn config(&self) -> Config {
        let file = self.folder.path().join("propsync.toml");
        load::parse(&file, &self.configuration(), &BTreeMap::new()).expect("a valid configuration")
    }

    /// The configuration of a firm whose HubSpot and Pipedrive are entered by apps.
    pub fn by_oauth(&self) -> Config {
        use propsync::sandbox::credentials as known;
        let app = |id, secret, refresh_token, more| {
            format!(
                "{{ kind = \"oauth_refresh\", client_id = \"{id}\", client_secret = \"{secret}\", \
                 refresh_token = \"{refresh_token}\"{more} }}"
            )
        };
        let host = format!(", oauth_url = \"{}\"", self.network.urls()[2]);
        let hubspot =
            app(known::HUBSPOT_CLIENT_ID, known::HUBSPOT_CLIENT_SECRET, known::HUBSPOT_REFRESH_TOKEN, String::new());
        let pipedrive =
            app(known::PIPEDRIVE_CLIENT_ID, known::PIPEDRIVE_CLIENT_SECRET, known::PIPEDRIVE_REFRESH_TOKEN, host);
        let text = self
            .configuration()
            .replace(&format!("{{ kind = \"token\", token = \"{}\" }}", known::HUBSPOT_TOKEN), &hubspot)
            .replace(&format!("{{ kind = \"api_token\", token = \"{}\" }}", known::PIPEDRIVE_TOKEN), &pipedrive);
        load::parse(Path::new("/propsync.toml"), &text, &BTreeMap::new()).expect("a valid configuration")
    }

    /// Starts the program with these logins.
    pub async fn start_by_oauth(&self) -> Parts {
        assembly::assemble(&self.by_oauth(), &self.network, self.clock.clone(), Dice::seeded(self.seed))
            .await
            .expect("the parts fit together")
    }

    /// Starts the program: the configuration read, the ledger open, nothing sent yet.
    pub async fn start(&self) -> Parts {
        assembly::assemble(&self.config(), &self.network, self.clock.clone(), Dice::seeded(self.seed))
            .await
            .expect("the parts fit together")
    }

    /// Starts the program that stays, over this network.
    pub async fn stay(&self, network: &dyn Network) -> Daemon {
        let (clock, dice) = (self.clock.clone(), Dice::seeded(self.seed));
        Daemon::start(&self.config(), network, clock, dice, Duration::from_secs(120)).await.expect("a start")
    }

    /// One sync of every source, with a fresh start and a clean end.
    pub async fn sync(&self) -> Vec<SourceReport> {
        let parts = self.start().await;
        let reports = sync(&parts).await;
        parts.engine.ledger.close().await;
        reports
    }

    /// Lets virtual time pass.
    pub async fn wait(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

/// One sync of every source.
pub async fn sync(parts: &Parts) -> Vec<SourceReport> {
    let sources: Vec<&Source> = parts.sources.iter().collect();
    parts.engine.sync(&sources, Duration::from_secs(120), &Silent).await
}

/// One sync of the source of this name.
pub async fn sync_one(parts: &Parts, name: &str) -> SourceReport {
    let sources: Vec<&Source> = parts.sources.iter().filter(|source| source.name == name).collect();
    parts.engine.sync(&sources, Duration::from_secs(120), &Silent).await.remove(0)
}

/// Whether every source was read to the end with balanced books.
pub fn all_green(reports: &[SourceReport]) -> bool {
    reports.iter().all(SourceReport::is_green)
}

/// The configuration for look-alikes at these addresses, in the order of `Upstream::ALL`.
pub fn configuration(
    urls: &[String; 4],
    ledger: &Path,
    first_run: &str,
    extra: &BTreeMap<&'static str, String>,
) -> String {
    use propsync::sandbox::credentials as known;
    let more = |section: &str| extra.get(section).cloned().unwrap_or_default();
    let [salesforce, hubspot, pipedrive, propstreet] = urls;
    format!(
        r#"
[propstreet]
base_url = "{propstreet}"
auth = {{ kind = "client_credentials", client_id = "{pid}", client_secret = "{psecret}" }}
{propstreet_more}

[ledger]
path = "{ledger}"

[sources.salesforce]
kind = "salesforce"
base_url = "{salesforce}"
auth = {{ kind = "client_credentials", client_id = "{sid}", client_secret = "{ssecret}" }}
first_run = "{first_run}"
region = "SE"
{salesforce_more}

[sources.hubspot]
kind = "hubspot"
base_url = "{hubspot}"
auth = {{ kind = "token", token = "{htoken}" }}
first_run = "{first_run}"
region = "SE"
{hubspot_more}

[sources.pipedrive]
kind = "pipedrive"
base_url = "{pipedrive}"
auth = {{ kind = "api_token", token = "{ptoken}" }}
first_run = "{first_run}"
region = "SE"
{pipedrive_more}
"#,
        pid = known::PROPSTREET_CLIENT_ID,
        psecret = known::PROPSTREET_CLIENT_SECRET,
        sid = known::SALESFORCE_CLIENT_ID,
        ssecret = known::SALESFORCE_CLIENT_SECRET,
        htoken = known::HUBSPOT_TOKEN,
        ptoken = known::PIPEDRIVE_TOKEN,
        propstreet_more = more("propstreet"),
        salesforce_more = more("salesforce"),
        hubspot_more = more("hubspot"),
        pipedrive_more = more("pipedrive"),
        ledger = ledger.display(),
    )
}

/// Runs a story in virtual time on one thread, so that its seed decides everything.
pub fn in_virtual_time<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(story)
}

impl Firm {
    /// What the ledger says of a reference.
    pub async fn row(&self, reference: &ExternalRef) -> Option<Row> {
        self.rows([reference]).await.into_values().next()
    }

    /// What the ledger says of these references, in one look.
    pub async fn rows(&self, references: impl IntoIterator<Item = &ExternalRef>) -> HashMap<RefKey, Row> {
        let ledger = Ledger::open_for_reading(&self.ledger_path()).await.expect("a ledger");
        let keys = references.into_iter().map(|reference| self.key(reference)).collect();
        let rows = ledger.rows(keys, self.clock.now()).await.expect("rows");
        ledger.close().await;
        rows
    }

    /// The comparable form of a reference.
    pub fn key(&self, reference: &ExternalRef) -> RefKey {
        self.rules().key(&reference.namespace, &reference.id)
    }

    /// How a reference ended: the outcome, and the reason where there is one.
    pub async fn ending(&self, reference: &ExternalRef) -> String {
        match self.row(reference).await {
            None => "unknown".to_owned(),
            Some(row) => {
                let outcome = row.outcome.map_or("none", Outcome::as_str);
                match row.complaint.map(|c| c.reason.code().to_owned()).or(row.reason) {
                    Some(reason) => format!("{outcome}: {reason}"),
                    None => outcome.to_owned(),
                }
            }
        }
    }

    /// Every decision about a reference written `namespace:id`, oldest first, as the ledger tells it.
    pub async fn history(&self, reference: &str) -> String {
        let (namespace, id) = reference.split_once(':').expect("namespace:id");
        let ledger = Ledger::open_for_reading(&self.ledger_path()).await.expect("a ledger");
        let events = ledger.events(self.rules().key(namespace, id), 50).await.expect("events");
        ledger.close().await;
        let told = events.into_iter().rev().filter_map(|event| event.told);
        told.map(|told| format!("{} {}: {}", told.at.format("%d %H:%M:%S"), told.what, told.note))
            .collect::<Vec<_>>()
            .join(" | ")
    }

    pub fn rules(&self) -> RefRules {
        RefRules::new(["salesforce".to_owned()])
    }

    /// The live contacts of Propstreet.
    pub fn contacts(&self) -> Vec<Contact> {
        self.sandbox.propstreet.contacts().into_iter().filter(Contact::is_live).collect()
    }
}

/// A person with a name and an address of their own.
pub fn person(first: &str, last: &str, email: &str) -> Person {
    Person {
        first: first.to_owned(),
        last: last.to_owned(),
        email: Some(email.to_owned()).filter(|address| !address.is_empty()),
        ..Person::default()
    }
}

/// The same person as Propstreet would hold them, put in by hand.
pub fn held(person: &Person, refs: &[(&str, &str)]) -> Contact {
    let text = |value: &str| Some(value.to_owned()).filter(|v| !v.is_empty());
    Contact {
        refs: refs.iter().map(|(namespace, id)| ExternalRef::new(namespace, id)).collect(),
        first_name: text(&person.first),
        last_name: text(&person.last),
        email: person.email.clone(),
        emails: person.email.iter().map(|value| Labelled { value: value.clone(), kind: "work".to_owned() }).collect(),
        ..Contact::default()
    }
}
