//! The only file that names every concrete type: a configuration in, wired parts out. The command line and the tests
//! build through this door, so that what is tested is what runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use secrecy::SecretString;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::config::tree::{Config, SourceConfig};
use crate::crm;
use crate::crm::webhook::{Doorkeeper, Notebook};
use crate::domain::failure::Trouble;
use crate::domain::identity::RefRules;
use crate::domain::kind::Kind;
use crate::domain::merge::Hint;
use crate::http::refresh::{Keeper, Turn};
use crate::http::transport::{self, Transport};
use crate::ledger::Ledger;
use crate::ledger::error::LedgerError;
use crate::ledger::tokens::{self, KeptToken};
use crate::propstreet::{self, Propstreet};
use crate::sync::destination::companies::Destination;
use crate::sync::engine::{Engine, Source};

/// Everything a sync needs, wired.
pub struct Parts {
    /// The engine over the open ledger.
    pub engine: Engine,
    /// The configured sources, in the order of their names.
    pub sources: Vec<Source>,
}

impl Parts {
    /// Ends well: hears out a login that is under way, then closes the ledger.
    pub async fn close(&self) {
        join_all(self.sources.iter().map(|source| source.crm.leave())).await;
        self.engine.ledger.clone().close().await;
    }
}

/// The upstreams, wired without a ledger: enough to look at them, and nothing can be written.
pub struct Upstreams {
    /// Propstreet.
    pub propstreet: Arc<dyn Destination>,
    /// The configured sources, in the order of their names.
    pub sources: Vec<Source>,
}

/// Where connections come from: sockets, or a simulation's routers.
pub trait Network {
    /// A transport to the host of `base`, whose exchanges take at most `timeout`.
    fn transport(&self, base: &Url, timeout: Duration) -> Result<Arc<dyn Transport>, String>;
}

/// Real sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sockets;

impl Network for Sockets {
    fn transport(&self, base: &Url, timeout: Duration) -> Result<Arc<dyn Transport>, String> {
        let us = concat!("propsync/", env!("CARGO_PKG_VERSION"));
        transport::client(base, timeout, us).map_err(|error| error.to_string())
    }
}

/// Why the parts do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No HTTP client can be built, for want of certificates.
    #[error("no HTTP client for {host}: {cause}")]
    Client {
        /// The host it was for.
        host: String,
        /// What happened.
        cause: String,
    },
}

impl AssemblyError {
    /// The word used in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::Client { .. } => "no_client",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.remedy(),
            Self::Client { .. } => "install the system's certificates (ca-certificates), then run it again",
        }
    }
}

/// Wires the configured parts. Opens the ledger for writing and sends nothing.
///
/// # Errors
/// When the ledger is held by another process, cannot be used, or no HTTP client can be built.
pub async fn assemble(
    config: &Config,
    network: &dyn Network,
    clock: Clock,
    dice: Dice,
) -> Result<Parts, AssemblyError> {
    let Upstreams { propstreet, sources } = connect(config, network, &clock, &dice)?;
    let ledger = Ledger::open(&config.ledger, clock.now()).await?;
    let engine = Engine::new(ledger, propstreet, ref_rules(config), config.policy.clone(), clock, dice);
    Ok(Parts { engine, sources })
}

/// Wires the upstreams alone. Opens no ledger and sends nothing. A refresh token that is replaced when they are asked is
/// kept beside the ledger all the same, also beside a process that writes it: the one before is dead.
///
/// # Errors
/// When no HTTP client can be built.
pub fn connect(config: &Config, network: &dyn Network, clock: &Clock, dice: &Dice) -> Result<Upstreams, AssemblyError> {
    let propstreet = propstreet(&config.propstreet, network, clock, dice)?;
    let open = |source| open(source, &config.ledger, network, clock, dice);
    let sources = config.sources.iter().map(open).collect::<Result<_, _>>()?;
    Ok(Upstreams { propstreet, sources })
}

/// Who lets the webhooks of a source in, where it has any.
#[must_use]
pub fn doorkeeper(source: &SourceConfig) -> Option<Arc<dyn Doorkeeper>> {
    source.webhooks.clone().map(crm::doorkeeper)
}

/// Where the merges that a source's webhooks tell of are kept for its next sync.
#[must_use]
pub fn notebook(parts: &Parts, source: &str) -> Arc<dyn Notebook> {
    let Engine { ledger, clock, .. } = &parts.engine;
    Arc::new(InTheLedger { ledger: ledger.clone(), source: source.to_owned(), clock: clock.clone() })
}

/// How references compare under this configuration.
#[must_use]
pub fn ref_rules(config: &Config) -> RefRules {
    let salesforce = config.sources.iter().filter(|source| source.kind == Kind::Salesforce);
    RefRules::new(salesforce.map(|source| source.namespace.clone()))
}

fn propstreet(
    settings: &propstreet::Settings,
    network: &dyn Network,
    clock: &Clock,
    dice: &Dice,
) -> Result<Arc<dyn Destination>, AssemblyError> {
    let transport = transport(network, &settings.base_url, propstreet::TIMEOUT)?;
    Ok(Arc::new(Propstreet::new(settings.clone(), transport, clock.clone(), dice.clone())))
}

fn open(
    source: &SourceConfig,
    ledger: &Path,
    network: &dyn Network,
    clock: &Clock,
    dice: &Dice,
) -> Result<Source, AssemblyError> {
    let keeper = Arc::new(BesideTheLedger(KeptToken::new(ledger, &source.name)));
    let way = |to| transport(network, to, crm::default_timeout());
    let api = way(source.crm.base_url())?;
    let login = source.crm.login_url().map_or_else(|| Ok(Arc::clone(&api)), way)?;
    let wanted = crm::Wanted { fields: source.mapper.fields().clone(), optional: source.mapper.optional().clone() };
    Ok(Source {
        name: source.name.clone(),
        namespace: source.namespace.clone(),
        kind: source.kind.as_str(),
        first_run: source.first_run,
        on_change: source.on_change,
        owners: source.owners,
        clear_empty: source.clear_empty,
        companies: source.companies,
        on_delete: source.on_delete,
        on_filtered: source.on_filtered,
        guard: source.guard,
        mapper: source.mapper.clone(),
        crm: crm::open(source.crm.clone(), wanted, crm::Ways { api, login }, keeper, clock.clone(), dice.clone()),
    })
}

fn transport(network: &dyn Network, base: &Url, timeout: Duration) -> Result<Arc<dyn Transport>, AssemblyError> {
    network.transport(base, timeout).map_err(|cause| {
        let host = base.host_str().unwrap_or_default().to_owned();
        AssemblyError::Client { host, cause }
    })
}

/// A source's hints.
struct InTheLedger {
    ledger: Ledger,
    source: String,
    clock: Clock,
}

impl Notebook for InTheLedger {
    fn keep(&self, hints: Vec<Hint>) -> BoxFuture<'_, Result<(), String>> {
        let kept = async {
            let kept = self.ledger.hint(&self.source, hints, self.clock.now()).await;
            match kept.map_err(|error| format!("{error} ({})", error.remedy()))? {
                0 => {}
                forgotten => {
                    let remedy = "look why no sync comes to its end: propsync status";
                    tracing::warn!(source = self.source, forgotten, remedy, "more merges are told of than are kept");
                }
            }
            Ok(())
        };
        kept.boxed()
    }
}

/// The file beside the ledger, as a login knows it.
struct BesideTheLedger(KeptToken);

impl Keeper for BesideTheLedger {
    fn turn(&self, configured: &SecretString) -> BoxFuture<'_, Result<Option<Box<dyn Turn>>, Trouble>> {
        let configured = configured.clone();
        let turn = async move {
            let turn = self.0.turn(configured).await.map_err(|error| unkept(&error))?;
            Ok(turn.map(|turn| Box::new(TheTurn(turn)) as Box<dyn Turn>))
        };
        turn.boxed()
    }
}

struct TheTurn(tokens::Turn);

impl Turn for TheTurn {
    fn newest(&self) -> SecretString {
        self.0.newest().clone()
    }

    fn keep(self: Box<Self>, newest: SecretString) -> BoxFuture<'static, Result<(), Trouble>> {
        async move { self.0.keep(newest).await.map_err(|error| unkept(&error)) }.boxed()
    }
}

/// No login where its refresh token has no place. Waiting mends nothing, so it is told as any login that is not to be had.
fn unkept(error: &LedgerError) -> Trouble {
    Trouble::Credential(format!("no place for the refresh token: {error} ({})", error.remedy()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use tempfile::TempDir;

    use super::*;
    use crate::config::load;
    use crate::domain::Timestamp;
    use crate::http::scripted::{Scripted, answer};
    use crate::http::transport::{Failure, Request, Response};

    /// A HubSpot that takes each refresh token once, and a machine whose processes use it.
    struct Stage {
        folder: TempDir,
        hubspot: Arc<Mutex<HubSpot>>,
    }

    #[derive(Default)]
    struct HubSpot {
        /// Every refresh token that was used, with whether it was the right one.
        used: Vec<(String, bool)>,
        takes: String,
        /// Nobody is answered but at the login.
        silent: bool,
        /// What lay beside the ledger when an access token was used.
        on_disk: Vec<String>,
    }

    impl Stage {
        fn new() -> Self {
            let hubspot = HubSpot { takes: "r1".to_owned(), ..HubSpot::default() };
            Self { folder: tempfile::tempdir().unwrap(), hubspot: Arc::new(Mutex::new(hubspot)) }
        }

        fn hubspot(&self) -> std::sync::MutexGuard<'_, HubSpot> {
            self.hubspot.lock().unwrap()
        }

        fn used(&self) -> Vec<(String, bool)> {
            self.hubspot().used.clone()
        }

        /// A process that looks at the upstreams, as doctor and sync do, under this configured refresh token.
        async fn process(&self, refresh_token: &str) -> Result<String, Trouble> {
            self.process_in("ledger.sqlite", refresh_token).await
        }

        async fn process_in(&self, ledger: &str, refresh_token: &str) -> Result<String, Trouble> {
            let text = format!(
                "propstreet.auth = {{ kind = \"token\", token = \"t\" }}\nledger.path = \"{ledger}\"\n[sources.hubspot]\n\
                 kind = \"hubspot\"\nfirst_run = \"backfill\"\nauth = {{ kind = \"oauth_refresh\", client_id = \"app\", \
                 client_secret = \"s\", refresh_token = \"{refresh_token}\" }}"
            );
            let file = self.folder.path().join("propsync.toml");
            let config = load::parse(&file, &text, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"));
            let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
            let upstreams = connect(&config, self, &clock, &Dice::seeded(1)).unwrap();
            upstreams.sources[0].crm.account().await.map(|account| account.id)
        }
    }

    impl Network for Stage {
        fn transport(&self, _base: &Url, _timeout: Duration) -> Result<Arc<dyn Transport>, String> {
            let hubspot = Arc::clone(&self.hubspot);
            let kept = self.folder.path().join("ledger.sqlite.tokens.hubspot");
            let network = Scripted::answering(move |_, request| hubspot.lock().unwrap().answer(request, &kept));
            Ok(Arc::new(Slow(network, Clock::simulated(Timestamp::UNIX_EPOCH))))
        }
    }

    /// Answers take a second, in which others may come.
    struct Slow(Arc<Scripted>, Clock);

    impl Transport for Slow {
        fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
            async {
                self.1.sleep(Duration::from_secs(1)).await;
                self.0.send(request).await
            }
            .boxed()
        }
    }

    impl HubSpot {
        fn answer(&mut self, request: &Request, kept: &Path) -> Result<Response, Failure> {
            if request.uri().path() != "/oauth/2026-03/token" {
                self.on_disk.push(std::fs::read_to_string(kept).unwrap_or_default());
                return match self.silent {
                    true => Err(Failure::Lost("the process was killed".to_owned())),
                    false => Ok(answer(200, &[], r#"{"portalId": 7}"#)),
                };
            }
            let form = url::form_urlencoded::parse(request.body());
            let used: String = form.into_owned().find(|(name, _)| name == "refresh_token").unwrap().1;
            let right = used == self.takes;
            self.used.push((used, right));
            if !right {
                return Ok(answer(400, &[], r#"{"status": "BAD_REFRESH_TOKEN"}"#));
            }
            self.takes = format!("r{}", self.used.len() + 1);
            let grant = format!(r#"{{"access_token": "a", "refresh_token": "{}", "expires_in": 1800}}"#, self.takes);
            Ok(answer(200, &[], &grant))
        }
    }

    fn used_well(tokens: &[&str]) -> Vec<(String, bool)> {
        tokens.iter().map(|&token| (token.to_owned(), true)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_is_in_the_ledger_before_its_call_is_answered_and_refused_once_that_is_shut() {
        let stage = Stage::new();
        let text = "propstreet.auth = { kind = \"token\", token = \"t\" }\nledger.path = \"l\"\n[sources.hubspot]\n\
                    kind = \"hubspot\"\nfirst_run = \"backfill\"\nauth = { kind = \"token\", token = \"t\" }";
        let config = load::parse(&stage.folder.path().join("p.toml"), text, &BTreeMap::new()).unwrap();
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let parts = assemble(&config, &stage, clock, Dice::seeded(1)).await.unwrap();
        let notebook = notebook(&parts, "hubspot");
        let hint = Hint { loser: "1".to_owned(), survivor: "2".to_owned() };
        notebook.keep(vec![hint.clone()]).await.unwrap();
        assert_eq!(parts.engine.ledger.hints("hubspot").await.unwrap()[0].hint, hint);
        parts.engine.ledger.clone().close().await;
        let refused = notebook.keep(vec![hint]).await.unwrap_err();
        assert!(refused.contains(LedgerError::Closed.remedy()), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_dies_before_it_used_its_login_leaves_the_next_one_able_to_log_in() {
        let stage = Stage::new();
        stage.hubspot().silent = true;
        assert!(stage.process("r1").await.is_err());
        assert!(stage.hubspot().on_disk[0].contains("r2"), "kept before the access token was ever used");
        stage.hubspot().silent = false;
        for _ in 0..2 {
            assert_eq!(stage.process("r1").await.unwrap(), "7");
        }
        assert_eq!(stage.used(), used_well(&["r1", "r2", "r3"]));
    }

    #[tokio::test(start_paused = true)]
    async fn processes_side_by_side_never_exchange_one_token_twice() {
        let stage = Stage::new();
        let looks = join_all((0..4).map(|_| stage.process("r1"))).await;
        assert!(looks.iter().all(Result::is_ok), "{looks:?}");
        assert_eq!(stage.used(), used_well(&["r1", "r2", "r3", "r4"]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_token_that_the_operator_writes_anew_counts() {
        let stage = Stage::new();
        stage.process("r1").await.unwrap();
        stage.hubspot().takes = "authorised anew".to_owned();
        let refused = stage.process("r1").await.unwrap_err();
        assert!(refused.to_string().contains("authorise the app again"), "{refused}");
        stage.process("authorised anew").await.unwrap();
        stage.process("authorised anew").await.unwrap();
        let used: Vec<String> = stage.used().into_iter().map(|(token, _)| token).collect();
        assert_eq!(used, ["r1", "r2", "authorised anew", "r4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn where_no_token_can_be_kept_none_is_exchanged() {
        let stage = Stage::new();
        let trouble = stage.process_in("nowhere/ledger.sqlite", "r1").await.unwrap_err();
        assert_eq!(trouble.code(), "credential");
        let told = trouble.to_string();
        assert!(told.contains("nowhere/ledger.sqlite.tokens.hubspot") && told.contains("directory exists"), "{told}");
        assert_eq!(stage.used(), []);
    }

    /// Pipedrive's two hosts; each keeps the addresses it was asked at.
    #[derive(Default)]
    struct TwoHosts {
        refresh_tokens: Mutex<Vec<String>>,
        asked: Mutex<Vec<String>>,
    }

    impl Network for Arc<TwoHosts> {
        fn transport(&self, base: &Url, _timeout: Duration) -> Result<Arc<dyn Transport>, String> {
            let (hosts, base) = (Arc::clone(self), base.clone());
            Ok(Scripted::answering(move |_, request| Ok(hosts.answer(&base, request))))
        }
    }

    impl TwoHosts {
        fn answer(&self, base: &Url, request: &Request) -> Response {
            if base.host_str() != Some("oauth.pipedrive.com") {
                self.asked.lock().unwrap().push(format!("{} by {base}", request.uri()));
                return answer(200, &[], r#"{"success": true, "data": {"company_id": 77}}"#);
            }
            let mut form = url::form_urlencoded::parse(request.body());
            let used = form.find(|(name, _)| name == "refresh_token").unwrap().1.into_owned();
            let mut tokens = self.refresh_tokens.lock().unwrap();
            tokens.push(used);
            let grant = format!(
                r#"{{"access_token": "a", "refresh_token": "r{}", "api_domain": "https://acme.pipedrive.com"}}"#,
                tokens.len() + 1
            );
            answer(200, &[], &grant)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn logins_have_a_host_of_their_own_and_say_where_the_api_is_unless_the_operator_does() {
        let (folder, hosts) = (tempfile::tempdir().unwrap(), Arc::new(TwoHosts::default()));
        for (base_url, asked) in [
            ("", "https://acme.pipedrive.com/v1/users/me by https://api.pipedrive.com/"),
            (
                "base_url = \"https://proxy.example/pd\"",
                "https://proxy.example/pd/v1/users/me by https://proxy.example/pd",
            ),
            ("", "https://acme.pipedrive.com/v1/users/me by https://api.pipedrive.com/"),
        ] {
            let text = format!(
                "propstreet.auth = {{ kind = \"token\", token = \"t\" }}\nledger.path = \"ledger.sqlite\"\n[sources.pd]\n\
                 kind = \"pipedrive\"\nfirst_run = \"backfill\"\n{base_url}\nauth = {{ kind = \"oauth_refresh\", \
                 client_id = \"app\", client_secret = \"s\", refresh_token = \"r1\" }}"
            );
            let file = folder.path().join("propsync.toml");
            let config = load::parse(&file, &text, &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"));
            let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
            let upstreams = connect(&config, &hosts, &clock, &Dice::seeded(1)).unwrap();
            assert_eq!(upstreams.sources[0].crm.account().await.unwrap().id, "77");
            assert_eq!(hosts.asked.lock().unwrap().pop().unwrap(), asked);
        }
        assert_eq!(
            *hosts.refresh_tokens.lock().unwrap(),
            ["r1", "r2", "r3"],
            "each process uses what the last was given"
        );
    }
}
