//! Whom a source's filter keeps out, and who was judged by an earlier one.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::identity::RefKey;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, key_of};
use crate::ledger::error::LedgerError;

impl Ledger {
    /// Remembers the filter a source is read under, by its number. Under another than before, whom the earlier one kept
    /// out is to be looked at again: no stamp of theirs will move because a filter was changed.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn filtered_by(&self, source: &str, filter: Option<i64>) -> Result<(), LedgerError> {
        const NOTE: &str = "INSERT OR REPLACE INTO filters (source, filter, pass)
            VALUES (?1, ?2, coalesce((SELECT max(pass) FROM passes), 0))";
        // Asked by reading, so that a sync which changes nothing writes nothing.
        if self.filter_of(source).await? == filter {
            return Ok(());
        }
        let source = source.to_owned();
        self.write(move |ledger| {
            ledger.execute(NOTE, (&source, filter))?;
            Ok(())
        })
        .await
    }

    /// The number of the filter a source was read under last; `None` if it had none.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn filter_of(&self, source: &str) -> Result<Option<i64>, LedgerError> {
        const FILTER: &str = "SELECT filter FROM filters WHERE source = ?1";
        let source = source.to_owned();
        self.read(move |ledger| {
            let filter = ledger.prepare_cached(FILTER)?.query_row([source], |row| row.get(0)).optional()?;
            Ok(filter.flatten())
        })
        .await
    }

    /// A source's references that an earlier filter kept out, and that no one has looked at under this one.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn kept_out_before(&self, source: &str, limit: usize) -> Result<Vec<RefKey>, LedgerError> {
        const WHO: &str = "SELECT namespace, id FROM refs JOIN filters USING (source)
            WHERE source = ?1 AND reason = 'filtered' AND coalesce(seen_pass, 0) <= filters.pass
                AND ref NOT IN (SELECT ref FROM aliases) LIMIT ?2";
        let source = source.to_owned();
        self.read(move |ledger| keys(ledger, WHO, &source, limit)).await
    }

    /// Whether a reference that was kept out was judged by an earlier filter than its source has now.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn judged_before(&self, key: RefKey) -> Result<bool, LedgerError> {
        const JUDGED: &str = "SELECT coalesce(seen_pass, 0) <= filters.pass FROM refs JOIN filters USING (source)
            WHERE namespace = ?1 AND id = ?2";
        self.read(move |ledger| {
            let mut judged = ledger.prepare_cached(JUDGED)?;
            Ok(judged.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?.unwrap_or(false))
        })
        .await
    }
}

/// References of a source, by a query that takes the source and a limit.
pub(in crate::ledger) fn keys(
    ledger: &Connection,
    query: &str,
    source: &str,
    limit: usize,
) -> Result<Vec<RefKey>, LedgerError> {
    let mut who = ledger.prepare_cached(query)?;
    Ok(who.query_map((source, at_most(limit)), key_of)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use crate::domain::pass::{PassKind, SkipReason};
    use crate::ledger::settlements::{Ending, Settlement};
    use crate::ledger::stage::{at, created, ended, key, open, opened};

    #[tokio::test(start_paused = true)]
    async fn whom_an_earlier_filter_kept_out_is_known_after_a_restart_until_looked_at() {
        let (folder, ledger) = opened().await;
        ledger.filtered_by("crm", Some(1)).await.unwrap();
        let first = ledger.begin_pass("crm", PassKind::Poll, at(1)).await.unwrap();
        let filtered = || Ending::Skipped { reason: SkipReason::Filtered, drifted: false };
        for (id, ending) in [("1", filtered()), ("2", filtered()), ("3", created("c3"))] {
            ledger.settle(Settlement { pass: first, ..ended(id, ending, 1) }).await.unwrap();
        }
        for filter in [(Some(1)), Some(1)] {
            ledger.filtered_by("crm", filter).await.unwrap();
            assert!(ledger.kept_out_before("crm", 9).await.unwrap().is_empty(), "the same filter");
        }
        ledger.filtered_by("other", Some(2)).await.unwrap();
        assert!(ledger.kept_out_before("crm", 9).await.unwrap().is_empty(), "another source's");
        ledger.filtered_by("crm", None).await.unwrap();
        drop(ledger);
        let ledger = open(&folder).await;
        assert_eq!(ledger.kept_out_before("crm", 9).await.unwrap(), [key("1"), key("2")]);
        assert!(ledger.judged_before(key("3")).await.unwrap());
        let second = ledger.begin_pass("crm", PassKind::Retry, at(2)).await.unwrap();
        ledger.rested(second, vec![(key("1"), Some(at(1)))], None, None).await.unwrap();
        assert_eq!(ledger.kept_out_before("crm", 9).await.unwrap(), [key("2")]);
        assert!(!ledger.judged_before(key("1")).await.unwrap());
    }
}
