//! Whom a sweep has met: shown by it, or asked for by id because it did not show them. Marked page by page, so that who
//! is missing at its end is known whatever process read which page.

use rusqlite::Connection;

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::domain::pass::PassKind;
use crate::ledger::columns::{at_most, key_of, millis};
use crate::ledger::cursors::Cursor;
use crate::ledger::error::LedgerError;
use crate::ledger::{Ledger, cursors};

impl Ledger {
    /// Marks references as met by the sweep that began at this instant. Those the ledger has never heard of are nothing.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn meet(&self, sweep: Timestamp, met: Vec<RefKey>) -> Result<(), LedgerError> {
        self.write(move |ledger| mark(ledger, sweep, &met)).await
    }

    /// Moves a sweep's cursor behind a page, and marks whom the page showed, in one.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn move_sweep(
        &self,
        source: &str,
        cursor: Cursor,
        sweep: Timestamp,
        met: Vec<RefKey>,
    ) -> Result<(), LedgerError> {
        let source = source.to_owned();
        self.write(move |ledger| {
            mark(ledger, sweep, &met)?;
            cursors::put(ledger, &source, PassKind::Sweep, &cursor)
        })
        .await
    }

    /// A source's references after this place that the sweep has not met, each with its place, though their records live
    /// as far as the ledger knows: none that has left, was merged, or is deleted in Propstreet. The held are among them, and those
    /// whom the filter keeps out.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn unmet(
        &self,
        source: &str,
        sweep: Timestamp,
        after: i64,
        limit: usize,
    ) -> Result<Vec<(i64, RefKey)>, LedgerError> {
        const UNMET: &str = "SELECT ref, namespace, id FROM refs LEFT JOIN sweep_marks USING (ref)
            LEFT JOIN aliases USING (ref) LEFT JOIN gone USING (ref)
            WHERE ref > ?2 AND source = ?1 AND sweep IS NOT ?4 AND state NOT IN ('deleted', 'moved')
                AND survivor_id IS NULL AND (coalesce(fate, 'held') = 'held' OR evidence = 'filter') ORDER BY ref LIMIT ?3";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut unmet = ledger.prepare_cached(UNMET)?;
            let asked = (source, after, at_most(limit), millis(sweep));
            let unmet = unmet.query_map(asked, |row| Ok((row.get(0)?, key_of(row)?)))?;
            Ok(unmet.collect::<Result<_, _>>()?)
        })
        .await
    }
}

fn mark(ledger: &Connection, sweep: Timestamp, met: &[RefKey]) -> Result<(), LedgerError> {
    const MARK: &str = "INSERT INTO sweep_marks (ref, sweep)
            SELECT ref, ?3 FROM refs WHERE namespace = ?1 AND id = ?2
        ON CONFLICT (ref) DO UPDATE SET sweep = excluded.sweep";
    let mut mark = ledger.prepare_cached(MARK)?;
    for key in met {
        mark.execute((&key.namespace, &key.id, millis(sweep)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::departure::{Evidence, Fate};
    use crate::domain::merge::Alias;
    use crate::domain::record::{Resume, Window};
    use crate::ledger::cursors::OpenWindow;
    use crate::ledger::passes::PassId;
    use crate::ledger::settlements::Ending;
    use crate::ledger::stage::{at, created, ended, key, open, opened};

    async fn unmet(ledger: &Ledger, sweep: i64) -> Vec<RefKey> {
        let unmet = ledger.unmet("crm", at(sweep), i64::MIN, 9).await.unwrap();
        unmet.into_iter().map(|(_, key)| key).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_lives_and_was_not_met_is_known_after_a_restart() {
        let (folder, ledger) = opened().await;
        for id in ["1", "2", "3"] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
        }
        let open_window = OpenWindow { window: Window { lo: at(9), hi: at(9) }, resume: Some(Resume("2".into())) };
        let cursor = Cursor { watermark: None, window: Some(open_window) };
        let met = vec![key("1"), key("unheard")];
        ledger.move_sweep("crm", cursor.clone(), at(9), met).await.unwrap();
        drop(ledger);
        let ledger = open(&folder).await;
        assert_eq!(ledger.cursor("crm", PassKind::Sweep).await.unwrap(), cursor);
        assert_eq!(unmet(&ledger, 9).await, [key("2"), key("3")]);
        ledger.meet(at(9), vec![key("2"), key("3")]).await.unwrap();
        assert!(unmet(&ledger, 9).await.is_empty());
        assert_eq!(unmet(&ledger, 10).await, [key("1"), key("2"), key("3")], "another sweep has met nobody");
        assert!(ledger.unmet("other", at(10), i64::MIN, 9).await.unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_left_or_was_merged_is_not_missed_and_who_is_held_is() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2", "3", "4", "5"] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
        }
        let (fate, evidence) = (Fate::Kept, Evidence::Feed);
        let left = Ending::Gone { fate, evidence, etag: None, note: "why".to_owned() };
        ledger.settle(ended("1", left, 2)).await.unwrap();
        let alias = Alias { survivor: key("4"), stamp: Some(at(3)) };
        ledger.settle(ended("2", Ending::Merged { alias, apart: None }, 2)).await.unwrap();
        let deleted = Ending::Deleted { propstreet_id: Some("c3".to_owned()), note: "why".to_owned() };
        ledger.settle(ended("3", deleted, 2)).await.unwrap();
        ledger.hold(PassId(1), Evidence::Sweep, vec![(key("5"), None)], at(2)).await.unwrap();
        assert_eq!(unmet(&ledger, 9).await, [key("4"), key("5")]);
    }

    /// `cargo test --lib ledger::sweeps -- --ignored --nocapture` prints what a sweep of a million costs the ledger.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a measurement, not a test"]
    async fn marks_of_a_million() {
        const PEOPLE: u32 = 1_000_000;
        const FILL: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
            INSERT INTO refs (namespace, id, source, state, outcome, propstreet_id, fingerprint, mapping, first_seen,
                last_changed) SELECT 'hubspot', CAST(n AS TEXT), 'crm', 'settled', 'created', 'c' || n,
                randomblob(32), 1, 0, 0 FROM n";
        let (folder, ledger) = opened().await;
        ledger.write(|ledger| Ok(ledger.execute(FILL, [PEOPLE])?)).await.unwrap();
        for sweep in [1, 2] {
            let start = tokio::time::Instant::now();
            for page in (1..=PEOPLE).collect::<Vec<_>>().chunks(500) {
                let met = page.iter().map(|n| key(&n.to_string())).collect();
                ledger.move_sweep("crm", Cursor::default(), at(sweep), met).await.unwrap();
            }
            println!("sweep {sweep}: {:.1} s of marks", start.elapsed().as_secs_f64());
            let start = tokio::time::Instant::now();
            assert!(unmet(&ledger, sweep).await.is_empty());
            println!("sweep {sweep}: {:.1} s to find that nobody is missing", start.elapsed().as_secs_f64());
        }
        println!("{} MiB", folder.path().join("ledger.db").metadata().unwrap().len() / 1024 / 1024);
    }
}
