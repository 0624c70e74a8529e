//! How far each source has been read, a cursor a kind of pass.

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::domain::pass::PassKind;
use crate::domain::record::{Resume, Window};
use crate::ledger::Ledger;
use crate::ledger::columns::{millis, time, time_if_any};
use crate::ledger::error::LedgerError;

/// A watermark, and the window being read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Everything below it is covered and settled; `None` before the first pass.
    pub watermark: Option<Timestamp>,
    /// The window under way; an interrupted pass leaves it for the next.
    pub window: Option<OpenWindow>,
}

/// A window under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenWindow {
    /// Its frozen bounds.
    pub window: Window,
    /// Where its next page starts; `None` at its beginning.
    pub resume: Option<Resume>,
}

impl Ledger {
    /// A source's cursor for a kind of pass; the default when there is none.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn cursor(&self, source: &str, kind: PassKind) -> Result<Cursor, LedgerError> {
        let source = source.to_owned();
        self.read(move |ledger| find(ledger, &source, kind)).await
    }

    /// Moves a cursor. Call it when every record below its watermark, and before its place in the window, has its outcome.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn move_cursor(&self, source: &str, kind: PassKind, cursor: Cursor) -> Result<(), LedgerError> {
        let source = source.to_owned();
        self.write(move |ledger| put(ledger, &source, kind, &cursor)).await
    }
}

/// Keeps a cursor in the place of the one before.
pub(in crate::ledger) fn put(
    ledger: &Connection,
    source: &str,
    kind: PassKind,
    cursor: &Cursor,
) -> Result<(), LedgerError> {
    const PUT: &str = "INSERT OR REPLACE INTO cursors (source, kind, watermark, lo, hi, resume)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let bounds = cursor.window.as_ref().map(|open| open.window);
    let resume = cursor.window.as_ref().and_then(|open| open.resume.as_ref());
    ledger.prepare_cached(PUT)?.execute((
        source,
        kind.as_str(),
        cursor.watermark.map(millis),
        bounds.map(|window| millis(window.lo)),
        bounds.map(|window| millis(window.hi)),
        resume.map(|resume| resume.0.as_str()),
    ))?;
    Ok(())
}

fn find(ledger: &Connection, source: &str, kind: PassKind) -> Result<Cursor, LedgerError> {
    const FIND: &str = "SELECT watermark, lo, hi, resume FROM cursors WHERE source = ?1 AND kind = ?2";
    let mut find = ledger.prepare_cached(FIND)?;
    let mut found = find.query((source, kind.as_str()))?;
    let Some(row) = found.next()? else { return Ok(Cursor::default()) };
    let window = match (row.get("lo")?, row.get("hi")?) {
        (Some(lo), Some(hi)) => Some(OpenWindow {
            window: Window { lo: time("cursors", lo)?, hi: time("cursors", hi)? },
            resume: row.get::<_, Option<String>>("resume")?.map(Resume),
        }),
        _ => None,
    };
    Ok(Cursor { watermark: time_if_any("cursors", row.get("watermark")?)?, window })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::stage::{at, open, opened};

    #[tokio::test(start_paused = true)]
    async fn a_cursor_comes_back_as_it_was_moved() {
        let (folder, ledger) = opened().await;
        assert_eq!(ledger.cursor("crm", PassKind::Poll).await.unwrap(), Cursor::default());
        let window = Window { lo: at(1), hi: at(2) };
        let cursors = [
            Cursor { watermark: None, window: Some(OpenWindow { window, resume: None }) },
            Cursor { watermark: Some(at(1)), window: Some(OpenWindow { window, resume: Some(Resume("p2".into())) }) },
            Cursor { watermark: Some(at(2)), window: None },
        ];
        for cursor in cursors {
            ledger.move_cursor("crm", PassKind::Poll, cursor.clone()).await.unwrap();
            assert_eq!(ledger.cursor("crm", PassKind::Poll).await.unwrap(), cursor);
        }
        assert_eq!(ledger.cursor("crm", PassKind::Sweep).await.unwrap(), Cursor::default(), "a cursor a kind");
        assert_eq!(ledger.cursor("other", PassKind::Poll).await.unwrap(), Cursor::default(), "a cursor a source");
        drop(ledger);
        assert_eq!(open(&folder).await.cursor("crm", PassKind::Poll).await.unwrap().watermark, Some(at(2)));
    }
}
