//! Where whoever wants something of a source asks for it: the control socket and the page. They know no runner.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::domain::Timestamp;
use crate::domain::request::SyncRequest;
use crate::domain::told::{Progress, Told};

/// Takes requests, and answers each once it is done.
pub trait Orders: Send + Sync {
    /// Asks for work, and waits for its end. What waits already for the same work is one with it; what is under way is not,
    /// because it may have read past what is meant. Dropping the answer withdraws nothing.
    fn ask(&self, request: SyncRequest, progress: Arc<dyn Progress>) -> BoxFuture<'static, Result<Told, Refusal>>;

    /// How every source's turns stand, in the order of their names.
    fn turns(&self) -> Vec<Standing>;
}

/// How a source's turns stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The source.
    pub source: String,
    /// When its sync under way began, if one is.
    pub syncing_since: Option<Timestamp>,
    /// When its resync under way began, if one is.
    pub resyncing_since: Option<Timestamp>,
    /// When it is due next.
    pub due: Timestamp,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has no source of this name.
    #[error("no source is called {0}")]
    UnknownSource(String),
    /// The process is about to end, or to take up a new configuration.
    #[error("propsync is about to end")]
    Ending,
    /// The work broke off by a fault of ours. Nothing is lost: the next goes on where it stopped.
    #[error("it broke off by a fault of propsync")]
    BrokeOff,
}
