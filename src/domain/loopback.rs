//! Which addresses never leave this machine. One rule for the configuration, the transport and the tokens: whether a
//! credential may travel unencrypted must not depend on who asks.

use url::{Host, Url};

/// Whether a URL's host is this machine: `localhost` or a loopback address, and no name that only looks like one.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
