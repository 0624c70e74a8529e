//! Between columns and the domain's values. Knows no table.

use crate::domain::Timestamp;
use crate::domain::failure::{Complaint, Reason};
use crate::domain::identity::RefKey;
use crate::ledger::error::LedgerError;

/// A time as it is stored: milliseconds since 1970, UTC.
pub(in crate::ledger) fn millis(at: Timestamp) -> i64 {
    at.timestamp_millis()
}

/// A stored time.
pub(in crate::ledger) fn time(table: &'static str, millis: i64) -> Result<Timestamp, LedgerError> {
    Timestamp::from_timestamp_millis(millis).ok_or_else(|| LedgerError::corrupt(table, "a time beyond all calendars"))
}

/// A stored time that may be absent.
pub(in crate::ledger) fn time_if_any(
    table: &'static str,
    millis: Option<i64>,
) -> Result<Option<Timestamp>, LedgerError> {
    millis.map(|millis| time(table, millis)).transpose()
}

/// A word of a closed list.
pub(in crate::ledger) fn word<T>(
    table: &'static str,
    word: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, LedgerError> {
    parse(word).ok_or_else(|| LedgerError::corrupt(table, format!("the unknown word {word:?}")))
}

/// A count, as the unsigned number it is.
pub(in crate::ledger) fn count(table: &'static str, stored: i64) -> Result<u64, LedgerError> {
    u64::try_from(stored).map_err(|_| LedgerError::corrupt(table, "a negative count"))
}

/// How many rows a caller wants at most.
pub(in crate::ledger) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A value kept as JSON.
pub(in crate::ledger) fn json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    text: &str,
) -> Result<T, LedgerError> {
    serde_json::from_str(text)
        .map_err(|error| LedgerError::corrupt(table, format!("JSON of another shape ({:?})", error.classify())))
}

/// A value as JSON. The ledger's own types cannot fail to be written.
pub(in crate::ledger) fn to_json<T: serde::Serialize + ?Sized>(
    table: &'static str,
    value: &T,
) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::corrupt(table, error.to_string()))
}

/// The reference in a result's columns `namespace` and `id`.
pub(in crate::ledger) fn key_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<RefKey> {
    Ok(RefKey::from_parts(row.get::<_, String>("namespace")?, row.get::<_, String>("id")?))
}

/// The complaint in a result's columns `complaint`, `detail` and `blocker`.
pub(in crate::ledger) fn complaint(row: &rusqlite::Row<'_>) -> Result<Option<Complaint>, LedgerError> {
    let Some(reason) = row.get::<_, Option<String>>("complaint")? else { return Ok(None) };
    let reason = word("quarantine", &reason, Reason::parse)?;
    Ok(Some(Complaint { reason, detail: row.get("detail")?, blocker: row.get("blocker")? }))
}
