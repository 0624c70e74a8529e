//! Up to when everything that was committed shows. The server's clock less a margin, and what the org itself says of its
//! replication: `latestDateCovered` falls back to the beginning of the oldest transaction that is still open.
//! <https://developer.salesforce.com/docs/platform/api-rest/guide/resources-getupdated.md>

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::crm::salesforce::connection::{Connection, DATA};
use crate::crm::salesforce::query::{floor, literal};
use crate::crm::salesforce::wire;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::http::body;

/// The shortest span to ask about: seconds are cut off, and the end must come after the start.
const SPAN: TimeDelta = TimeDelta::minutes(5);
const MARGIN: Duration = Duration::from_secs(60);
/// One sync asks for the bound several times.
const LASTS: Duration = Duration::from_secs(60);

/// The bound of one org.
pub(super) struct Bound {
    clock: Clock,
    covered: Mutex<Covered>,
}

/// What the org said of its replication.
#[derive(Debug, Clone, Copy)]
enum Covered {
    NotAsked,
    Until(Timestamp, Instant),
    /// It does not tell this user.
    Untold,
}

impl Bound {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, covered: Mutex::new(Covered::NotAsked) }
    }

    /// The bound for people of these objects.
    pub(super) async fn ask(&self, connection: &Connection, objects: &[&str]) -> Result<Timestamp, Trouble> {
        if connection.upstream.server_now().is_none() {
            connection.login.tokens.current().await?;
        }
        let now = connection.upstream.server_now();
        let now = now.ok_or_else(|| Trouble::Protocol("Salesforce's answers carry no Date".into()))?;
        let known = *self.covered();
        let covered = match known {
            Covered::Until(_, asked) if self.clock.instant() - asked < LASTS => known,
            Covered::Untold => known,
            Covered::Until(..) | Covered::NotAsked => self.replicated(connection, objects, now).await?,
        };
        *self.covered() = covered;
        let bound = floor(now - MARGIN);
        Ok(match covered {
            Covered::Until(covered, _) => bound.min(covered),
            Covered::NotAsked | Covered::Untold => bound,
        })
    }

    async fn replicated(&self, connection: &Connection, objects: &[&str], now: Timestamp) -> Result<Covered, Trouble> {
        let mut earliest: Option<Timestamp> = None;
        let (start, end) = (literal(now - SPAN), literal(now));
        for object in objects {
            let path = format!("{DATA}/sobjects/{object}/updated/");
            let response = connection.get(&path, &[("start", &start), ("end", &end)]).await?;
            let covered = if response.status().is_success() { body::json(&response).ok() } else { None };
            let Some(covered) = covered.and_then(|updated: Updated| wire::stamp(&updated.latest_date_covered)) else {
                let status = response.status().as_u16();
                tracing::debug!(
                    object,
                    status,
                    "Salesforce does not tell how far its changes show; the margin must do"
                );
                return Ok(Covered::Untold);
            };
            earliest = Some(earliest.map_or(covered, |earliest| earliest.min(covered)));
        }
        Ok(earliest.map_or(Covered::Untold, |earliest| Covered::Until(earliest, self.clock.instant())))
    }

    fn covered(&self) -> std::sync::MutexGuard<'_, Covered> {
        self.covered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    latest_date_covered: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::salesforce::rig::{logged_in, row, rows};
    use crate::crm::script::{answer, undated, window};
    use crate::http::transport::Response;
    use crate::sync::source::ContactSource;

    fn covered(time: &str) -> Response {
        let date = format!("2026-11-02T{time}.000+0000");
        answer(200, serde_json::json!({"ids": ["003Da00000xnAiyIAE"], "latestDateCovered": date}))
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_that_is_open_for_long_holds_the_bound_back() {
        for (contacts, leads, expected) in [
            ("09:59:30", "09:59:45", "09:59:00"),
            ("09:41:00", "09:59:00", "09:41:00"),
            ("09:59:00", "09:12:00", "09:12:00"),
        ] {
            let (script, salesforce) =
                logged_in(|settings, _| settings.leads = true, [covered(contacts), covered(leads)]);
            let bound = salesforce.bound().await.unwrap();
            assert_eq!(bound.format("%H:%M:%S").to_string(), expected);
            let asked = script.asked();
            let url = "/services/data/v66.0/sobjects/Contact/updated/?start=2026-11-02T09%3A55%3A00Z&end=2026-11-02T10%3A00%3A00Z";
            assert!(asked[1].url.as_str().ends_with(url), "{}", asked[1].url);
            assert!(asked[2].url.path().contains("/Lead/"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sync_that_asks_often_pays_once_a_minute() {
        let (script, salesforce) = logged_in(|_, _| {}, [covered("09:50:00"), covered("09:58:00")]);
        for _ in 0..3 {
            assert_eq!(salesforce.bound().await.unwrap().format("%H:%M").to_string(), "09:50");
        }
        salesforce.clock.sleep(LASTS).await;
        assert_eq!(salesforce.bound().await.unwrap().format("%H:%M").to_string(), "09:58");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_is_not_told_has_the_margin_and_is_not_asked_again() {
        let denied = |status, code: &str| answer(status, format!(r#"[{{"errorCode":"{code}","message":"no"}}]"#));
        for answered in [
            denied(403, "INSUFFICIENT_ACCESS"),
            denied(400, "INVALID_REPLICATION_DATE"),
            answer(404, ""),
            answer(200, r#"{"ids":[],"latestDateCovered":null}"#),
            answer(200, r#"{"ids":[]}"#),
        ] {
            let (script, salesforce) = logged_in(|_, _| {}, [answered]);
            for _ in 0..3 {
                assert_eq!(salesforce.bound().await.unwrap().to_rfc3339(), "2026-11-02T09:59:00+00:00");
                salesforce.clock.sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(script.asked().len(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_a_date_does_not_stop_the_clock() {
        let (_, salesforce) = logged_in(|_, _| {}, [undated(rows([row(1)])), undated(covered("10:00:00"))]);
        salesforce.changes(window(), None).await.unwrap();
        assert_eq!(salesforce.bound().await.unwrap().to_rfc3339(), "2026-11-02T09:59:00+00:00");
    }
}
