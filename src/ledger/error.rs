//! What can go wrong with the ledger, each with a word and a remedy. Holds no value of any row.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::ledger::holder::Holder;

/// Without a ledger the next sync adopts, by reference, whoever Propstreet holds already: nobody is created twice.
const RESTORE: &str = "restore the last backup; without one, move the ledger aside: the next `propsync sync` adopts what Propstreet holds";

/// Trouble with the ledger. Cloneable, because one failed commit is told to everyone in its batch.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LedgerError {
    /// Another process writes this ledger.
    #[error("the ledger is in use by {holder}")]
    Held {
        /// Who holds it, as that process wrote it down.
        holder: Holder,
    },
    /// The schema is newer than this program.
    #[error("the ledger has schema {found}, this program knows {known}")]
    Newer {
        /// The ledger's version.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The schema is older than this program, and this handle may not migrate it.
    #[error("the ledger has schema {found}, this program reads {known}")]
    Older {
        /// The ledger's version.
        found: u32,
        /// The version this program reads.
        known: u32,
    },
    /// An applied migration is not the one this program carries.
    #[error("migration {migration} of the ledger differs from this program's")]
    Edited {
        /// The migration's file name.
        migration: String,
    },
    /// The ledger has rows and its key file is missing.
    #[error("the key file {0} is missing")]
    KeyMissing(PathBuf),
    /// Others can read the key file.
    #[error("the key file {0} can be read by others")]
    KeyExposed(PathBuf),
    /// The key file is not the one this ledger was written with, or not a key.
    #[error("the key file {0} does not belong to this ledger")]
    KeyForeign(PathBuf),
    /// Others can read a kept refresh token.
    #[error("the file {0}, which holds a refresh token, can be read by others")]
    TokenExposed(PathBuf),
    /// The file of a kept refresh token is not one that was written here.
    #[error("the file {0}, which should hold a refresh token, cannot be understood")]
    TokenUnreadable(PathBuf),
    /// The SQLite library has the WAL-reset bug.
    #[error("SQLite {found} is too old")]
    TooOldSqlite {
        /// The library's version number, such as 3045001.
        found: i32,
    },
    /// There is no ledger at this path.
    #[error("there is no ledger at {0}")]
    NotThere(PathBuf),
    /// The operating system refused.
    #[error("cannot {what}: {cause}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        cause: Arc<io::Error>,
    },
    /// SQLite refused.
    #[error("the ledger refused: {0}")]
    Sql(Arc<rusqlite::Error>),
    /// A stored value makes no sense.
    #[error("the ledger's table {table} holds {what}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong, without the value where it could be personal.
        what: String,
    },
    /// This handle only reads.
    #[error("the ledger was opened for reading")]
    ReadOnly,
    /// The ledger was closed.
    #[error("the ledger is closed")]
    Closed,
}

impl LedgerError {
    /// The word used in JSON output.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "ledger_held",
            Self::Newer { .. } => "ledger_newer",
            Self::Older { .. } => "ledger_older",
            Self::Edited { .. } => "ledger_edited",
            Self::KeyMissing(_) => "ledger_key_missing",
            Self::KeyExposed(_) => "ledger_key_exposed",
            Self::KeyForeign(_) => "ledger_key_foreign",
            Self::TokenExposed(_) => "token_exposed",
            Self::TokenUnreadable(_) => "token_unreadable",
            Self::TooOldSqlite { .. } => "sqlite_too_old",
            Self::NotThere(_) => "ledger_not_there",
            Self::Io { .. } => "ledger_io",
            Self::Sql(_) => "ledger_sql",
            Self::Corrupt { .. } => "ledger_corrupt",
            Self::ReadOnly => "ledger_read_only",
            Self::Closed => "ledger_closed",
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Held { .. } => "wait until that process has ended, or end it",
            Self::Newer { .. } => "run the version of propsync that wrote it, or a newer one",
            Self::Older { .. } => "start propsync once with this version: it migrates the ledger, after a backup",
            Self::Edited { .. } => {
                "run an unmodified release of propsync, or restore the backup made before the migration"
            }
            Self::KeyMissing(_) => {
                "restore the key file from the backup it was saved with; without it, move the ledger aside and sync anew"
            }
            Self::KeyExposed(_) => "chmod 600 the key file",
            Self::KeyForeign(_) => {
                "put back the key file that was saved with this ledger; without it, move the ledger aside and sync anew"
            }
            Self::TokenExposed(_) => "chmod 600 that file",
            Self::TokenUnreadable(_) => {
                "remove that file, authorise the app again, and write the new refresh token into the configuration"
            }
            Self::TooOldSqlite { .. } => "build propsync with its bundled SQLite (3.51.3 or newer)",
            Self::NotThere(_) => "check ledger.path in the configuration; the first `propsync sync` creates it",
            Self::Io { .. } => "check that the directory exists, its owner, its rights and the free space of its disk",
            Self::Sql(error) if damaged(error) => RESTORE,
            Self::Sql(_) => {
                "check the free space and health of the disk, then start again; nothing half-written is kept"
            }
            Self::Corrupt { .. } => RESTORE,
            Self::ReadOnly => "wait until the process that writes the ledger has ended",
            Self::Closed => "start propsync again",
        }
    }

    /// Turns an operating system's refusal into ours, saying what was tried.
    pub(in crate::ledger) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause: Arc::new(cause) }
    }

    pub(in crate::ledger) fn corrupt(table: &'static str, what: impl Into<String>) -> Self {
        Self::Corrupt { table, what: what.into() }
    }
}

/// Whether SQLite cannot make sense of the file, as against being kept from writing it.
fn damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::ledger::stage::{at, opened};

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_no_ledger_says_restore() {
        let (folder, ledger) = opened().await;
        ledger.close().await;
        let path = folder.path().join("ledger.db");
        std::fs::write(&path, [b'x'; 4096]).unwrap();
        let refused = Ledger::open(&path, at(1)).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Sql(_)) && refused.remedy().contains("restore"), "{refused}");
        let full = LedgerError::from(rusqlite::Error::InvalidQuery);
        assert!(full.remedy().contains("free space"));
    }
}
