//! What a CRM's webhook must prove before it is heeded. It says that something has changed, and a sync asks the CRM itself:
//! events come doubled, late and out of order. One thing is taken from a body, and only where the CRM shows it nowhere
//! else: which record was merged into which. It is a hint, and nothing is done before reading has borne it out.

use std::time::Duration;

use ::http::{HeaderMap, Method};
use futures_util::future::BoxFuture;

use crate::domain::Timestamp;
use crate::domain::merge::Hint;

/// A call, as it came.
#[derive(Debug)]
pub struct Knock<'a> {
    /// The method.
    pub method: &'a Method,
    /// The address as the CRM called it, before any proxy: scheme, host, path and query.
    pub address: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, byte for byte.
    pub body: &'a [u8],
    /// When it came.
    pub at: Timestamp,
}

/// What a call that was let in has told, besides that something has changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Merges.
    pub merged: Vec<Hint>,
}

/// Why a call is not heeded, in a few words that tell a stranger nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

/// Lets the webhooks of one source in, or not.
pub trait Doorkeeper: Send + Sync {
    /// Whether the call comes from the CRM, and what it tells.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, knock: &Knock<'_>) -> Result<Heard, Refused>;

    /// What a refusal asks for, as `WWW-Authenticate` says it; `None` where callers sign and are not asked.
    fn challenge(&self) -> Option<&'static str> {
        None
    }

    /// How old a change must be before a sync can see it: a sync that begins sooner after the call would miss what it
    /// was called for.
    fn shown_after(&self) -> Duration;
}

/// Where what was heard is kept until a sync reads after it.
pub trait Notebook: Send + Sync {
    /// Keeps hints, durably on return.
    ///
    /// # Errors
    /// Why that is not possible, and what to do.
    fn keep(&self, hints: Vec<Hint>) -> BoxFuture<'_, Result<(), String>>;
}
