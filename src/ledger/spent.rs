//! What reading a CRM has cost lately: requests by the hour, kept for a day, so that a budget a day holds across
//! restarts.

use crate::domain::Timestamp;
use crate::ledger::Ledger;
use crate::ledger::columns::{count, millis};
use crate::ledger::error::LedgerError;

const HOUR: i64 = 3_600_000;

impl Ledger {
    /// Adds requests to a source's hour, and forgets hours that are over by more than a day.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn spend(&self, source: &str, requests: u64, at: Timestamp) -> Result<(), LedgerError> {
        const SPEND: &str = "INSERT INTO spent (source, hour, requests) VALUES (?1, ?2, ?3)
            ON CONFLICT (source, hour) DO UPDATE SET requests = requests + excluded.requests";
        const FORGET: &str = "DELETE FROM spent WHERE source = ?1 AND hour < ?2";
        let (source, requests) = (source.to_owned(), i64::try_from(requests).unwrap_or(i64::MAX));
        self.write(move |ledger| {
            ledger.prepare_cached(SPEND)?.execute((&source, hour(at), requests))?;
            ledger.prepare_cached(FORGET)?.execute((&source, a_day_before(at)))?;
            Ok(())
        })
        .await
    }

    /// The requests of a source within the last day. The hour in which that day began counts whole: a budget errs on
    /// the side of caution.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn spent(&self, source: &str, now: Timestamp) -> Result<u64, LedgerError> {
        const SPENT: &str = "SELECT coalesce(sum(requests), 0) FROM spent WHERE source = ?1 AND hour >= ?2";
        let source = source.to_owned();
        self.read(move |ledger| {
            let spent = ledger.prepare_cached(SPENT)?.query_row((source, a_day_before(now)), |row| row.get(0))?;
            count("spent", spent)
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
        let spent = async |of: &str, now: i64| ledger.spent(of, hours(now)).await.unwrap();
        for (source, requests, when) in [("crm", 5, 0), ("crm", 7, 0), ("crm", 30, 10), ("other", 100, 10)] {
            ledger.spend(source, requests, hours(when)).await.unwrap();
        }
        assert_eq!((spent("crm", 10).await, spent("other", 10).await, spent("third", 10).await), (42, 100, 0));
        assert_eq!((spent("crm", 24).await, spent("crm", 25).await, spent("crm", 35).await), (42, 30, 0));
        ledger.spend("crm", 1, hours(25)).await.unwrap();
        let rows = |ledger: &rusqlite::Connection| {
            Ok(ledger.query_row("SELECT count(*) FROM spent WHERE source = 'crm'", [], |row| row.get::<_, i64>(0))?)
        };
        assert_eq!(ledger.read(rows).await.unwrap(), 2, "the first hour is gone");
    }
}
