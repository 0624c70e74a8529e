//! What reading a CRM has cost lately: requests by the hour, kept for a day, so that a budget a day holds across
//! restarts.

use crate::domain::Timestamp;
use crate::domain::spending::Spending;
use crate::ledger::Ledger;
use crate::ledger::columns::{count, millis};
use crate::ledger::error::LedgerError;

const HOUR: i64 = 3_600_000;

impl Ledger {
    /// Adds requests to a source's hour, with what its CRM allows a day, and forgets hours that are over by more than a
    /// day.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn spend(
        &self,
        source: &str,
        requests: u64,
        limit: Option<u64>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        const SPEND: &str = "INSERT INTO spent (source, hour, requests) VALUES (?1, ?2, ?3)
            ON CONFLICT (source, hour) DO UPDATE SET requests = requests + excluded.requests";
        const FORGET: &str = "DELETE FROM spent WHERE source = ?1 AND hour < ?2";
        const LIMIT: &str = "INSERT OR REPLACE INTO daily_limits (source, requests) VALUES (?1, ?2)";
        let whole = |requests| i64::try_from(requests).unwrap_or(i64::MAX);
        let (source, requests, limit) = (source.to_owned(), whole(requests), limit.map(whole));
        self.write(move |ledger| {
            ledger.prepare_cached(SPEND)?.execute((&source, hour(at), requests))?;
            ledger.prepare_cached(FORGET)?.execute((&source, a_day_before(at)))?;
            if let Some(limit) = limit {
                ledger.prepare_cached(LIMIT)?.execute((&source, limit))?;
            }
            Ok(())
        })
        .await
    }

    /// What a source has spent within the last day. The hour in which that day began counts whole: a budget errs on
    /// the side of caution.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn spent(&self, source: &str, now: Timestamp) -> Result<Spending, LedgerError> {
        const SPENT: &str = "SELECT coalesce(sum(requests), 0), (SELECT requests FROM daily_limits WHERE source = ?1)
            FROM spent WHERE source = ?1 AND hour >= ?2";
        let source = source.to_owned();
        self.read(move |ledger| {
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let (spent, limit): (i64, Option<i64>) =
                ledger.prepare_cached(SPENT)?.query_row((source, a_day_before(now)), read)?;
            let limit = limit.map(|limit| count("daily_limits", limit)).transpose()?;
            Ok(Spending { requests: count("spent", spent)?, limit })
        })
        .await
    }
}

fn hour(at: Timestamp) -> i64 {
    millis(at).div_euclid(HOUR)
}

fn a_day_before(at: Timestamp) -> i64 {
    hour(at) - 24
}

#[cfg(test)]
mod tests {
    use crate::ledger::stage::{at, opened};

    #[tokio::test(start_paused = true)]
    async fn a_days_requests_are_remembered_and_older_ones_forgotten() {
        let (_folder, ledger) = opened().await;
        let hours = |hours: i64| at(hours * 3600);
        let spent = async |of: &str, now: i64| ledger.spent(of, hours(now)).await.unwrap().requests;
        for (source, requests, when) in [("crm", 5, 0), ("crm", 7, 0), ("crm", 30, 10), ("other", 100, 10)] {
            ledger.spend(source, requests, None, hours(when)).await.unwrap();
        }
        assert_eq!((spent("crm", 10).await, spent("other", 10).await, spent("third", 10).await), (42, 100, 0));
        assert_eq!((spent("crm", 24).await, spent("crm", 25).await, spent("crm", 35).await), (42, 30, 0));
        for limit in [Some(5_000), None] {
            ledger.spend("crm", 1, limit, hours(25)).await.unwrap();
            assert_eq!(
                ledger.spent("crm", hours(25)).await.unwrap().limit,
                Some(5_000),
                "a word stands until the next"
            );
        }
        let rows = |ledger: &rusqlite::Connection| {
            Ok(ledger.query_row("SELECT count(*) FROM spent WHERE source = 'crm'", [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(ledger.read(rows).await.unwrap(), 2, "the first hour is gone");
    }
}
