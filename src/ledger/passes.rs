//! Passes: when each began, how it ended, and its books.

use rusqlite::Connection;
use serde::Serialize;

use crate::domain::Timestamp;
use crate::domain::pass::{Counts, PassKind};
use crate::ledger::columns::{json, millis, time, time_if_any, to_json, word};
use crate::ledger::error::LedgerError;
use crate::ledger::{Ledger, waiting};

/// A pass's number, rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PassId(pub i64);

/// Where a pass stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PassState {
    /// It runs, or its process died.
    Open,
    /// It read all it was to read.
    Complete,
    /// It could not read everything.
    Incomplete,
    /// Its process ended before it did.
    Interrupted,
}

impl PassState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Complete, Self::Incomplete, Self::Interrupted];

    /// The word used in the ledger and in output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Incomplete => "incomplete",
            Self::Interrupted => "interrupted",
        }
    }

    /// The state that word stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// How a pass ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassEnd {
    /// Whether it read all it was to read.
    pub complete: bool,
    /// Its books.
    pub counts: Counts,
    /// The code of what stopped it, if something did.
    pub trouble: Option<String>,
}

/// A pass as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassRow {
    /// Its number.
    pub pass: PassId,
    /// The source that was read.
    pub source: String,
    /// Why it was read.
    pub kind: PassKind,
    /// Where it stands.
    pub state: PassState,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Its books; `None` while it is open and after an interruption.
    pub counts: Option<Counts>,
    /// The code of what stopped it.
    pub trouble: Option<String>,
}

impl PassRow {
    /// Complete, and its books balance.
    #[must_use]
    pub fn green(&self) -> bool {
        self.state == PassState::Complete && self.counts.is_some_and(|counts| counts.balanced())
    }
}

impl Ledger {
    /// Opens a pass. One of this source and kind that is still open was left by a process that died: it becomes
    /// `interrupted`. Payloads whose time is over go at the same time.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn begin_pass(&self, source: &str, kind: PassKind, at: Timestamp) -> Result<PassId, LedgerError> {
        const INTERRUPT: &str = "UPDATE passes SET state = 'interrupted', ended = ?3
            WHERE source = ?1 AND kind = ?2 AND state = 'open'";
        const BEGIN: &str = "INSERT INTO passes (source, kind, state, began) VALUES (?1, ?2, 'open', ?3)";
        let source = source.to_owned();
        self.write(move |ledger| {
            waiting::expire_payloads(ledger, at)?;
            ledger.prepare_cached(INTERRUPT)?.execute((&source, kind.as_str(), millis(at)))?;
            ledger.prepare_cached(BEGIN)?.execute((&source, kind.as_str(), millis(at)))?;
            Ok(PassId(ledger.last_insert_rowid()))
        })
        .await
    }

    /// Ends an open pass.
    ///
    /// # Errors
    /// `Corrupt` when the pass is not open; `Sql`, `ReadOnly`, `Closed`.
    pub async fn end_pass(&self, pass: PassId, end: PassEnd, at: Timestamp) -> Result<(), LedgerError> {
        const END: &str = "UPDATE passes SET state = ?2, ended = ?3, counts = ?4, trouble = ?5
            WHERE pass = ?1 AND state = 'open'";
        self.write(move |ledger| {
            let state = if end.complete { PassState::Complete } else { PassState::Incomplete };
            let counts = to_json("passes", &end.counts)?;
            let ended = (pass.0, state.as_str(), millis(at), counts, end.trouble);
            match ledger.prepare_cached(END)?.execute(ended)? {
                1 => Ok(()),
                _ => Err(LedgerError::corrupt("passes", format!("no open pass {}", pass.0))),
            }
        })
        .await
    }

    /// Whether a pass of any source that began after this instant wrote somebody to Propstreet.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn wrote_since(&self, at: Timestamp) -> Result<bool, LedgerError> {
        const WROTE: &str = "SELECT EXISTS (SELECT 1 FROM passes
            WHERE pass > coalesce((SELECT pass FROM passes WHERE began <= ?1 ORDER BY pass DESC LIMIT 1), 0)
                AND counts ->> 'created' + counts ->> 'linked' + counts ->> 'updated' > 0)";
        self.read(move |ledger| Ok(ledger.prepare_cached(WROTE)?.query_row([millis(at)], |row| row.get(0))?)).await
    }

    /// Of each kind the newest pass of a source, and the newest complete one where that is another; newest first.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn last_passes(&self, source: &str) -> Result<Vec<PassRow>, LedgerError> {
        let source = source.to_owned();
        self.read(move |ledger| last(ledger, &source)).await
    }
}

fn last(ledger: &Connection, source: &str) -> Result<Vec<PassRow>, LedgerError> {
    const NEWEST: &str = "SELECT * FROM passes WHERE pass IN (
            SELECT max(pass) FROM passes WHERE source = ?1 AND kind = ?2
            UNION SELECT max(pass) FROM passes WHERE source = ?1 AND kind = ?2 AND state = 'complete')";
    let mut newest = ledger.prepare_cached(NEWEST)?;
    let mut passes = Vec::new();
    for kind in PassKind::ALL {
        let found = newest.query_and_then((source, kind.as_str()), read)?;
        passes.extend(found.collect::<Result<Vec<_>, _>>()?);
    }
    passes.sort_by_key(|pass| std::cmp::Reverse(pass.pass));
    Ok(passes)
}

fn read(row: &rusqlite::Row<'_>) -> Result<PassRow, LedgerError> {
    let counts: Option<String> = row.get("counts")?;
    Ok(PassRow {
        pass: PassId(row.get("pass")?),
        source: row.get("source")?,
        kind: word("passes", &row.get::<_, String>("kind")?, PassKind::parse)?,
        state: word("passes", &row.get::<_, String>("state")?, PassState::parse)?,
        began: time("passes", row.get("began")?)?,
        ended: time_if_any("passes", row.get("ended")?)?,
        counts: counts.map(|counts| json("passes", &counts)).transpose()?,
        trouble: row.get("trouble")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::stage::{at, opened};

    fn end(complete: bool, read: u64) -> PassEnd {
        PassEnd { complete, counts: Counts { read, unchanged: 1, ..Counts::default() }, trouble: None }
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_pass_is_interrupted_by_the_next_of_its_kind_and_source() {
        let (_folder, ledger) = opened().await;
        let dead = ledger.begin_pass("crm", PassKind::Poll, at(1)).await.unwrap();
        let sweep = ledger.begin_pass("crm", PassKind::Sweep, at(2)).await.unwrap();
        let other = ledger.begin_pass("other", PassKind::Poll, at(3)).await.unwrap();
        let poll = ledger.begin_pass("crm", PassKind::Poll, at(4)).await.unwrap();
        assert!(matches!(ledger.end_pass(dead, end(true, 1), at(5)).await, Err(LedgerError::Corrupt { .. })));
        ledger.end_pass(poll, end(true, 1), at(5)).await.unwrap();
        let stands = |passes: Vec<PassRow>| passes.iter().map(|pass| (pass.pass, pass.state)).collect::<Vec<_>>();
        let passes = stands(ledger.last_passes("crm").await.unwrap());
        assert_eq!(passes, [(poll, PassState::Complete), (sweep, PassState::Open)]);
        assert_eq!(stands(ledger.last_passes("other").await.unwrap()), [(other, PassState::Open)]);

        let later = ledger.begin_pass("crm", PassKind::Poll, at(6)).await.unwrap();
        ledger.begin_pass("crm", PassKind::Poll, at(7)).await.unwrap();
        let passes = ledger.last_passes("crm").await.unwrap();
        assert_eq!(passes.len(), 3, "the newest and the newest complete poll, and the sweep");
        assert!(passes.iter().all(|pass| pass.pass != later));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_pass_that_began_later_and_wrote_tells_that_writes_work() {
        let (_folder, ledger) = opened().await;
        for (began, created) in [(1, 0), (2, 1), (4, 0)] {
            let pass = ledger.begin_pass("crm", PassKind::Poll, at(began)).await.unwrap();
            let counts = Counts { created, ..Counts::default() };
            ledger.end_pass(pass, PassEnd { complete: true, counts, trouble: None }, at(began + 1)).await.unwrap();
        }
        ledger.begin_pass("crm", PassKind::Poll, at(5)).await.unwrap();
        for (since, wrote) in [(0, true), (1, true), (2, false), (3, false), (9, false)] {
            assert_eq!(ledger.wrote_since(at(since)).await.unwrap(), wrote, "since {since}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_is_green_when_complete_and_balanced() {
        let (_folder, ledger) = opened().await;
        for (complete, read, green) in [(true, 1, true), (true, 2, false), (false, 1, false)] {
            let pass = ledger.begin_pass("crm", PassKind::Retry, at(1)).await.unwrap();
            ledger.end_pass(pass, end(complete, read), at(2)).await.unwrap();
            let newest = ledger.last_passes("crm").await.unwrap().swap_remove(0);
            assert_eq!((newest.pass, newest.ended, newest.green()), (pass, Some(at(2)), green));
            assert_eq!(newest.counts.map(|counts| counts.read), Some(read));
        }
    }
}
