//! The only HTTP client. The network is a port ([`transport`]), so that a simulation can put a router in its place;
//! pacing, retry and the breaker stand in front of it. It knows no CRM, no Propstreet and no ledger.

pub mod body;
pub mod breaker;
pub mod client;
pub mod pacer;
pub mod refresh;
pub mod retry;
#[cfg(test)]
pub mod scripted;
pub mod server_time;
pub mod token;
pub mod transport;
pub mod verdict;
