//! Merges that a webhook told of and no reading has borne out yet: one a loser, the word that came last.

use rusqlite::OptionalExtension;

use crate::domain::Timestamp;
use crate::domain::merge::Hint;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, millis, time};
use crate::ledger::error::LedgerError;

/// Open hints of one source. Beyond them the oldest goes: it has waited longest to be borne out, most likely in vain.
const AT_MOST: usize = 10_000;

/// A hint that is still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenHint {
    /// What was told.
    pub hint: Hint,
    /// When it was told first.
    pub since: Timestamp,
    /// When it is to be looked after.
    pub due: Timestamp,
}

impl Ledger {
    /// Notes what a webhook told, to be looked after at once; what is told again stays as it was. Returns how many older
    /// hints had to go.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn hint(&self, source: &str, hints: Vec<Hint>, at: Timestamp) -> Result<usize, LedgerError> {
        const HINT: &str = "INSERT INTO told_merges (source, loser, survivor, since, due) VALUES (?1, ?2, ?3, ?4, ?4)
            ON CONFLICT (source, loser) DO UPDATE SET survivor = excluded.survivor, since = excluded.since,
                due = excluded.due WHERE survivor <> excluded.survivor";
        const MAKE_ROOM: &str = "DELETE FROM told_merges WHERE source = ?1 AND loser IN
            (SELECT loser FROM told_merges WHERE source = ?1 ORDER BY since DESC, loser LIMIT -1 OFFSET ?2)";
        let source = source.to_owned();
        self.write(move |ledger| {
            let mut note = ledger.prepare_cached(HINT)?;
            for Hint { loser, survivor } in hints {
                note.execute((&source, loser, survivor, millis(at)))?;
            }
            Ok(ledger.prepare_cached(MAKE_ROOM)?.execute((&source, at_most(AT_MOST)))?)
        })
        .await
    }

    /// A source's open hints, due or not, the oldest first.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn hints(&self, source: &str) -> Result<Vec<OpenHint>, LedgerError> {
        const HINTS: &str =
            "SELECT loser, survivor, since, due FROM told_merges WHERE source = ?1 ORDER BY since, loser";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut hints = ledger.prepare_cached(HINTS)?;
            let hints = hints.query_and_then([source], |row| {
                let hint = Hint { loser: row.get("loser")?, survivor: row.get("survivor")? };
                let since = time("told_merges", row.get("since")?)?;
                Ok(OpenHint { hint, since, due: time("told_merges", row.get("due")?)? })
            })?;
            hints.collect()
        })
        .await
    }

    /// Whether a webhook told that this record was merged, and nothing has borne that out yet.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn is_hinted(&self, source: &str, loser: &str) -> Result<bool, LedgerError> {
        const HINTED: &str = "SELECT 1 FROM told_merges WHERE source = ?1 AND loser = ?2";
        let of = (source.to_owned(), loser.to_owned());
        self.read(move |ledger| {
            let found: Option<i64> = ledger.prepare_cached(HINTED)?.query_row(of, |row| row.get(0)).optional()?;
            Ok(found.is_some())
        })
        .await
    }

    /// Closes hints, and puts others off until a later time. One that was told anew meanwhile, with another survivor, stays.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn close_hints(
        &self,
        source: &str,
        closed: Vec<Hint>,
        put_off: Vec<(Hint, Timestamp)>,
    ) -> Result<(), LedgerError> {
        const CLOSE: &str = "DELETE FROM told_merges WHERE source = ?1 AND loser = ?2 AND survivor = ?3";
        const PUT_OFF: &str = "UPDATE told_merges SET due = ?4 WHERE source = ?1 AND loser = ?2 AND survivor = ?3";
        let source = source.to_owned();
        self.write(move |ledger| {
            for Hint { loser, survivor } in closed {
                ledger.prepare_cached(CLOSE)?.execute((&source, loser, survivor))?;
            }
            for (Hint { loser, survivor }, due) in put_off {
                ledger.prepare_cached(PUT_OFF)?.execute((&source, loser, survivor, millis(due)))?;
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::departure::Evidence;
    use crate::ledger::passes::PassId;
    use crate::ledger::stage::{at, created, ended, key, open, opened};

    fn hint(loser: &str, survivor: &str) -> Hint {
        Hint { loser: loser.to_owned(), survivor: survivor.to_owned() }
    }

    async fn told(ledger: &Ledger, source: &str) -> Vec<(String, String, i64)> {
        let hints = ledger.hints(source).await.unwrap().into_iter();
        hints.map(|open| (open.hint.loser, open.hint.survivor, (open.since - at(0)).num_seconds())).collect()
    }

    fn row(loser: &str, survivor: &str, since: i64) -> (String, String, i64) {
        (loser.to_owned(), survivor.to_owned(), since)
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_is_kept_once_until_it_is_closed_also_by_the_next_process() {
        let (folder, ledger) = opened().await;
        ledger.hint("crm", vec![hint("1", "2"), hint("3", "2")], at(1)).await.unwrap();
        ledger.hint("other", vec![hint("1", "9")], at(1)).await.unwrap();
        ledger.hint("crm", vec![hint("1", "2"), hint("3", "4")], at(5)).await.unwrap();
        ledger.close().await;
        let ledger = open(&folder).await;
        assert_eq!(told(&ledger, "crm").await, [row("1", "2", 1), row("3", "4", 5)], "again is not anew");
        assert!(ledger.is_hinted("crm", "1").await.unwrap() && !ledger.is_hinted("crm", "2").await.unwrap());
        ledger.close_hints("crm", vec![hint("3", "2")], vec![(hint("1", "2"), at(60))]).await.unwrap();
        assert_eq!(ledger.hints("crm").await.unwrap()[0].due, at(60));
        assert_eq!(told(&ledger, "crm").await.len(), 2, "told anew meanwhile");
        ledger.close_hints("crm", vec![hint("3", "4"), hint("1", "2")], vec![]).await.unwrap();
        assert_eq!((told(&ledger, "crm").await.len(), told(&ledger, "other").await.len()), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_so_many_the_oldest_go() {
        let (_folder, ledger) = opened().await;
        let many = (1..=AT_MOST).map(|n| hint(&n.to_string(), "0")).collect();
        ledger.hint("other", vec![hint("1", "2")], at(0)).await.unwrap();
        assert_eq!(ledger.hint("crm", vec![hint("x", "y")], at(1)).await.unwrap(), 0);
        assert_eq!(ledger.hint("crm", many, at(2)).await.unwrap(), 1);
        assert_eq!(told(&ledger, "crm").await.len(), AT_MOST);
        assert!(!ledger.is_hinted("crm", "x").await.unwrap());
        assert!(ledger.is_hinted("other", "1").await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn whom_a_webhook_calls_merged_is_not_among_those_whose_time_to_leave_it_is() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2"] {
            ledger.settle(ended(id, created(id), 1)).await.unwrap();
        }
        ledger.hold(PassId(1), Evidence::Sweep, vec![(key("1"), None), (key("2"), None)], at(2)).await.unwrap();
        ledger.hint("other", vec![hint("2", "9")], at(2)).await.unwrap();
        ledger.hint("crm", vec![hint("1", "9")], at(2)).await.unwrap();
        let held = async || {
            let held = ledger.held("crm", i64::MIN, 9).await.unwrap().into_iter().map(|held| held.key.id);
            (held.collect::<Vec<_>>(), ledger.leaving("crm", at(0)).await.unwrap().held)
        };
        assert_eq!(held().await, (vec!["2".to_owned()], 1));
        ledger.close_hints("crm", vec![hint("1", "9")], vec![]).await.unwrap();
        assert_eq!(held().await.1, 2);
    }
}
