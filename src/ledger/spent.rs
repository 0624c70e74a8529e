//! What reading a CRM has cost lately: requests, and what each purse paid for them. By the hour, and kept for a day, so
//! that a budget a day holds across restarts.

use chrono::DateTime;

use crate::domain::Timestamp;
use crate::domain::spending::{Purses, Spending, Used};
use crate::ledger::Ledger;
use crate::ledger::columns::{count, millis};
use crate::ledger::error::LedgerError;

const HOUR: i64 = 3_600_000;

impl Ledger {
    /// Adds requests and what was paid for them to a source's hour, with what its CRM allows a day, and forgets hours that
    /// are over by more than a day.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn spend(
        &self,
        source: &str,
        requests: u64,
        paid: Purses<u64>,
        limit: Option<u64>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        const SPEND: &str = "INSERT INTO spent (source, hour, requests, everyday, leisure, backfill)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)
            ON CONFLICT (source, hour) DO UPDATE SET requests = requests + excluded.requests,
                everyday = everyday + excluded.everyday, leisure = leisure + excluded.leisure, backfill = backfill + excluded.backfill";
        const FORGET: &str = "DELETE FROM spent WHERE source = ?1 AND hour < ?2";
        const LIMIT: &str = "INSERT OR REPLACE INTO daily_limits (source, units) VALUES (?1, ?2)";
        let whole = |units| i64::try_from(units).unwrap_or(i64::MAX);
        let Purses { everyday, leisure, backfill } = paid;
        let paid = (whole(everyday), whole(leisure), whole(backfill));
        let (source, requests, limit) = (source.to_owned(), whole(requests), limit.map(whole));
        self.write(move |ledger| {
            ledger.prepare_cached(SPEND)?.execute((&source, hour(at), requests, paid.0, paid.1, paid.2))?;
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
        const SPENT: &str =
            "SELECT coalesce(sum(requests), 0), coalesce(sum(everyday), 0), min(hour) FILTER (WHERE everyday > 0),
                coalesce(sum(leisure), 0), min(hour) FILTER (WHERE leisure > 0),
                coalesce(sum(backfill), 0), min(hour) FILTER (WHERE backfill > 0),
                (SELECT units FROM daily_limits WHERE source = ?1)
            FROM spent WHERE source = ?1 AND hour >= ?2";
        let source = source.to_owned();
        self.read(move |ledger| {
            type Sums = (i64, i64, Option<i64>, i64, Option<i64>, i64, Option<i64>, Option<i64>);
            let read = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Sums> { row.try_into() };
            let (requests, everyday, since, leisure, leisure_since, backfill, backfill_since, limit) =
                ledger.prepare_cached(SPENT)?.query_row((source, a_day_before(now)), read)?;
            // What is spent from now on comes back when this hour does.
            let used = |sum, since: Option<i64>| {
                Ok::<_, LedgerError>(Used { units: count("spent", sum)?, returns: returns(since.unwrap_or(hour(now))) })
            };
            let used = Purses {
                everyday: used(everyday, since)?,
                leisure: used(leisure, leisure_since)?,
                backfill: used(backfill, backfill_since)?,
            };
            let limit = limit.map(|limit| count("daily_limits", limit)).transpose()?;
            Ok(Spending { requests: count("spent", requests)?, used, limit })
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

/// When what was spent in this hour counts no longer.
fn returns(hour: i64) -> Option<Timestamp> {
    DateTime::from_timestamp_millis((hour + 25).checked_mul(HOUR)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::stage::{at, opened};

    fn everyday(units: u64) -> Purses<u64> {
        Purses { everyday: units, ..Purses::default() }
    }

    fn hours(hours: i64) -> Timestamp {
        at(hours * 3600)
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_day_cost_is_remembered_and_what_is_older_forgotten() {
        let (_folder, ledger) = opened().await;
        let spent = async |of: &str, now: i64| ledger.spent(of, hours(now)).await.unwrap().used.everyday.units;
        for (source, units, when) in [("crm", 5, 0), ("crm", 7, 0), ("crm", 30, 10), ("other", 100, 10)] {
            ledger.spend(source, 1, everyday(units), None, hours(when)).await.unwrap();
        }
        assert_eq!((spent("crm", 10).await, spent("other", 10).await, spent("third", 10).await), (42, 100, 0));
        assert_eq!((spent("crm", 24).await, spent("crm", 25).await, spent("crm", 35).await), (42, 30, 0));
        for limit in [Some(5_000), None] {
            ledger.spend("crm", 1, everyday(1), limit, hours(25)).await.unwrap();
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

    #[tokio::test(start_paused = true)]
    async fn each_purse_is_counted_apart_and_says_when_its_oldest_comes_back() {
        let (_folder, ledger) = opened().await;
        for (everyday, backfill, when) in [(5, 0, 3), (0, 70, 5), (6, 80, 7)] {
            ledger
                .spend("crm", 1, Purses { everyday, backfill, leisure: everyday * 2 }, None, hours(when))
                .await
                .unwrap();
        }
        // The tests' epoch is not on the hour.
        let used = |units, back: i64| Used { units, returns: Some(hours(back) - chrono::TimeDelta::seconds(800)) };
        let expected = |everyday: Used, backfill| {
            let leisure = Used { units: everyday.units * 2, ..everyday };
            Purses { everyday, leisure, backfill }
        };
        for (now, purses) in [
            (10, expected(used(11, 28), used(150, 30))),
            (27, expected(used(11, 28), used(150, 30))),
            (28, expected(used(6, 32), used(150, 30))),
            (30, expected(used(6, 32), used(80, 32))),
            (32, expected(used(0, 57), used(0, 57))),
        ] {
            assert_eq!(ledger.spent("crm", hours(now)).await.unwrap().used, purses, "hour {now}");
        }
        assert_eq!(ledger.spent("crm", hours(10)).await.unwrap().requests, 3);
    }
}
