//! What this ledger may be used with: each source's upstream account, Propstreet's base URL and client, its own key.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::keyed::Keyed;
use crate::ledger::Ledger;
use crate::ledger::columns::millis;
use crate::ledger::error::LedgerError;
use crate::ledger::files::beside;

/// What binding a subject to a value found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// It was not bound; now it is.
    New,
    /// It was bound to this value.
    Same,
    /// It is bound to another value, and stays so.
    Changed {
        /// That value.
        was: String,
    },
}

impl Ledger {
    /// Binds a subject (`source:NAME`, `propstreet`) to a value (kind, namespace and account; base URL and client)
    /// unless it is bound already.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn bind(&self, subject: String, value: String, at: Timestamp) -> Result<Bound, LedgerError> {
        self.write(move |ledger| bind(ledger, &subject, &value, at)).await
    }

    /// What a subject is bound to.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn bound(&self, subject: String) -> Result<Option<String>, LedgerError> {
        self.read(move |ledger| bound(ledger, &subject)).await
    }
}

fn bind(ledger: &Connection, subject: &str, value: &str, at: Timestamp) -> Result<Bound, LedgerError> {
    const BIND: &str = "INSERT INTO bindings (subject, value, at) VALUES (?1, ?2, ?3)";
    match bound(ledger, subject)? {
        Some(was) if was == value => Ok(Bound::Same),
        Some(was) => Ok(Bound::Changed { was }),
        None => {
            ledger.prepare_cached(BIND)?.execute((subject, value, millis(at)))?;
            Ok(Bound::New)
        }
    }
}

fn bound(ledger: &Connection, subject: &str) -> Result<Option<String>, LedgerError> {
    let mut find = ledger.prepare_cached("SELECT value FROM bindings WHERE subject = ?1")?;
    Ok(find.query_row([subject], |row| row.get(0)).optional()?)
}

/// Refuses a key other than the one this ledger's hashes were made with. With a time, a ledger not yet bound to a key is
/// bound to this one; what is stored is a keyed hash and tells nothing of the key.
pub(in crate::ledger) fn check_key(
    ledger: &Connection,
    keyed: &Keyed,
    path: &Path,
    bind_at: Option<Timestamp>,
) -> Result<(), LedgerError> {
    let ours: String = keyed.email("key@propsync.invalid").iter().map(|byte| format!("{byte:02x}")).collect();
    let same = match bind_at {
        Some(at) => !matches!(bind(ledger, "key", &ours, at)?, Bound::Changed { .. }),
        None => bound(ledger, "key")?.is_none_or(|theirs| theirs == ours),
    };
    if same { Ok(()) } else { Err(LedgerError::KeyForeign(beside(path, "key"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::stage::{at, open, opened};

    #[tokio::test(start_paused = true)]
    async fn a_bound_subject_stays_bound() {
        let (_folder, ledger) = opened().await;
        let bind = |value: &str| ledger.bind("source:crm".to_owned(), value.to_owned(), at(0));
        assert_eq!(bind("hubspot|hubspot|1").await.unwrap(), Bound::New);
        assert_eq!(bind("hubspot|hubspot|1").await.unwrap(), Bound::Same);
        let was = "hubspot|hubspot|1".to_owned();
        assert_eq!(bind("hubspot|hubspot|2").await.unwrap(), Bound::Changed { was });
        assert_eq!(bind("hubspot|hubspot|1").await.unwrap(), Bound::Same, "nothing was written");
    }

    #[tokio::test(start_paused = true)]
    async fn another_ledgers_key_is_refused() {
        let (folder, ledger) = opened().await;
        ledger.close().await;
        let path = folder.path().join("ledger.db");
        let key = beside(&path, "key");
        let ours = std::fs::read(&key).unwrap();
        std::fs::write(&key, [7; 32]).unwrap();
        assert!(matches!(Ledger::open(&path, at(1)).await, Err(LedgerError::KeyForeign(_))));
        assert!(matches!(Ledger::open_for_reading(&path).await, Err(LedgerError::KeyForeign(_))));
        std::fs::write(&key, ours).unwrap();
        open(&folder).await;
    }
}
