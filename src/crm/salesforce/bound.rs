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
