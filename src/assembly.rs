//! The only file that names every concrete type: a configuration in, wired parts out. The command line and the tests
//! build through this door, so that what is tested is what runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::config::tree::{Config, SourceConfig};
use crate::crm;
use crate::domain::failure::Trouble;
use crate::domain::identity::RefRules;
use crate::domain::kind::Kind;
use crate::http::refresh::{Keeper, Turn};
use crate::http::transport::{self, Transport};
use crate::ledger::Ledger;
use crate::ledger::error::LedgerError;
use crate::ledger::tokens::{self, KeptToken};
use crate::propstreet::{self, Propstreet};
use crate::sync::destination::ContactDestination;
use crate::sync::engine::{Engine, Source};

/// Everything a sync needs, wired.
pub struct Parts {
    /// The engine over the open ledger.
    pub engine: Engine,
    /// The configured sources, in the order of their names.
    pub sources: Vec<Source>,
}

/// The upstreams, wired without a ledger: enough to look at them, and nothing can be written.
pub struct Upstreams {
    /// Propstreet.
    pub propstreet: Arc<dyn ContactDestination>,
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
) -> Result<Arc<dyn ContactDestination>, AssemblyError> {
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
    let transport = transport(network, source.crm.base_url(), crm::default_timeout())?;
    let wanted = crm::Wanted { fields: source.mapper.fields().clone(), optional: source.mapper.optional().clone() };
    Ok(Source {
        name: source.name.clone(),
        namespace: source.namespace.clone(),
        kind: source.kind.as_str(),
        first_run: source.first_run,
        on_delete: source.on_delete,
        guard: source.guard,
        mapper: source.mapper.clone(),
        crm: crm::open(source.crm.clone(), wanted, transport, keeper, clock.clone(), dice.clone()),
    })
}

fn transport(network: &dyn Network, base: &Url, timeout: Duration) -> Result<Arc<dyn Transport>, AssemblyError> {
    network.transport(base, timeout).map_err(|cause| {
        let host = base.host_str().unwrap_or_default().to_owned();
        AssemblyError::Client { host, cause }
    })
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
