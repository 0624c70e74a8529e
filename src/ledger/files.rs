//! The files that lie beside a ledger.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file of this name beside the ledger: `<ledger>.<suffix>`.
pub(in crate::ledger) fn beside(ledger: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push(".");
    name.push(suffix);
    name.into()
}
