//! Who writes a ledger, in words for the one who is refused.

use std::fmt;
use std::fs::read_to_string;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;

/// Who writes a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine's name.
    pub host: String,
    /// The machine's boot: the same process number on another boot is another process.
    pub boot_id: String,
    /// The process.
    pub pid: u32,
    /// When it opened the ledger.
    pub started: Timestamp,
}

impl Holder {
    pub(in crate::ledger) fn this_process(now: Timestamp) -> Self {
        let kernel = |name: &str| {
            read_to_string(Path::new("/proc/sys/kernel").join(name)).map_or("unknown".into(), |s| s.trim().to_owned())
        };
        Self { host: kernel("hostname"), boot_id: kernel("random/boot_id"), pid: std::process::id(), started: now }
    }

    /// What stands in for a holder that has not written its name yet.
    pub(in crate::ledger) fn unnamed() -> Self {
        Self { host: "unknown".into(), boot_id: "unknown".into(), pid: 0, started: Timestamp::default() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, boot_id, pid, started } = self;
        write!(f, "process {pid} on {host} (boot {boot_id}), since {}", started.format("%F %T UTC"))
    }
}
