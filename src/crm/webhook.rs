//! What a CRM's webhook must prove before it is heeded. It says that something has changed and nothing more: nothing of
//! its body is believed or kept, because events come doubled, late and out of order, and the CRM itself is asked anyway.

use std::time::Duration;

use ::http::{HeaderMap, Method};

use crate::domain::Timestamp;

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

/// Why a call is not heeded, in a few words that tell a stranger nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub &'static str);

/// Lets the webhooks of one source in, or not.
pub trait Doorkeeper: Send + Sync {
    /// Whether the call comes from the CRM, and comes for the first time.
    ///
    /// # Errors
    /// Why not.
    fn admit(&self, knock: &Knock<'_>) -> Result<(), Refused>;

    /// How old a change must be before a sync can see it: a sync that begins sooner after the call would miss what it
    /// was called for.
    fn shown_after(&self) -> Duration;
}
