//! The replication feeds: which records changed in a window, which went, and up to where that can be trusted.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, DurationRound, SubsecRound, TimeDelta, Utc};
use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::sandbox::salesforce::call::{Call, Refusal};
use crate::sandbox::salesforce::columns::Record;
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::pages::stamp;
use crate::sandbox::salesforce::state::State;

/// The most ids of one answer.
const IDS: usize = 600_000;

/// `GET sobjects/{Object}/updated`
pub fn updated<T: Record>(state: &State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    if state.levers.updated_forbidden {
        let message = "insufficient access rights on cross-reference id".to_owned();
        return Err(Refusal { status: StatusCode::FORBIDDEN, code: "INSUFFICIENT_ACCESS", message });
    }
    let (start, end) = window(call, now - TimeDelta::days(30), TimeDelta::zero())?;
    let rows = T::table(&state.tables).by_stamp((Some(start), 0)..(Some(end), 0), now);
    let found: Vec<String> = rows.filter(|row| row.deleted.is_none()).map(|row| ids::id(T::PREFIX, row.key)).collect();
    if found.len() > IDS {
        return Err(Refusal::bad("EXCEEDED_ID_LIMIT", "too many ids; use a shorter window"));
    }
    let covered = stamp(state.covered(end, now));
    Ok(axum::Json(json!({"ids": found, "latestDateCovered": covered})).into_response())
}

/// `GET sobjects/{Object}/deleted`
pub fn deleted<T: Record>(state: &State, call: &Call<'_>, now: DateTime<Utc>) -> Result<Response, Refusal> {
    let earliest = now.trunc_subsecs(0) - TimeDelta::days(15);
    let (start, end) = window(call, earliest, TimeDelta::minutes(1))?;
    // A row's stamp never stands before its deletion.
    let rows = T::table(&state.tables).by_stamp((Some(start), 0).., now);
    let found: Vec<Json> = rows
        .filter_map(|row| Some((row, row.deleted.filter(|deleted| (start..end).contains(deleted))?)))
        .map(|(row, deleted)| json!({"id": ids::id(T::PREFIX, row.key), "deletedDate": stamp(deleted)}))
        .collect();
    let covered = stamp(state.covered(end, now));
    let body = json!({"deletedRecords": found, "earliestDateAvailable": stamp(earliest), "latestDateCovered": covered});
    Ok(axum::Json(body).into_response())
}

/// The window asked for, cut to whole minutes; it must be longer than `shortest` and begin after `earliest`.
fn window(
    call: &Call<'_>,
    earliest: DateTime<Utc>,
    shortest: TimeDelta,
) -> Result<(DateTime<Utc>, DateTime<Utc>), Refusal> {
    let refused = |message: String| Refusal::bad("INVALID_REPLICATION_DATE", message);
    let bound = |name: &str| {
        let text = call.parameter(name).ok_or_else(|| refused(format!("{name} is required")))?;
        let parsed =
            DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"));
        let bound = parsed.map_err(|_| refused(format!("invalid date: {text}")))?.to_utc();
        Ok(bound.duration_trunc(TimeDelta::minutes(1)).unwrap_or(bound))
    };
    let (start, end) = (bound("start")?, bound("end")?);
    if end - start <= shortest {
        return Err(refused("startDate and endDate should be distinct and startDate before endDate".to_owned()));
    }
    if start < earliest {
        return Err(refused("startDate before org replication enabled date or too far back".to_owned()));
    }
    Ok((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::salesforce::bench::{Org, at, pass, person};

    async fn ask(org: &Org, feed: &str, start: &str, end: &str) -> (u16, Json) {
        org.get(&format!("/services/data/v66.0/sobjects/Contact/{feed}/?start={start}&end={end}")).await
    }

    #[tokio::test(start_paused = true)]
    async fn windows_are_refused_that_are_short_or_reach_too_far_back() {
        let org = Org::new().await;
        for (feed, start, end, status) in [
            ("updated", "2026-11-02T08:59:10Z", "2026-11-02T08:59:50Z", 400),
            ("updated", "2026-11-02T08:59:50Z", "2026-11-02T09:00:10Z", 200),
            ("updated", "2026-10-03T08:59:00Z", "2026-11-02T09:00:00Z", 400),
            ("updated", "2026-10-03T09:00:00Z", "2026-11-02T09:00:00Z", 200),
            ("deleted", "2026-11-02T08:59:00Z", "2026-11-02T09:00:00Z", 400),
            ("deleted", "2026-11-02T08:58:00Z", "2026-11-02T09:00:00Z", 200),
            ("deleted", "2026-10-18T08:59:00Z", "2026-11-02T09:00:00Z", 400),
        ] {
            let (found, body) = ask(&org, feed, start, end).await;
            assert_eq!(found, status, "{feed} {start} {end}");
            assert!(status == 200 || body[0]["errorCode"] == "INVALID_REPLICATION_DATE");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_is_listed_at_its_own_time_whatever_moved_the_stamp_since() {
        let org = Org::new().await;
        let gone = org.salesforce.add_at(&person(), at(-3600));
        org.salesforce.delete(&gone);
        pass(600).await;
        org.salesforce.mass_bump();
        let (_, body) = ask(&org, "deleted", "2026-11-02T08:59:00Z", "2026-11-02T09:05:00Z").await;
        assert_eq!(body["deletedRecords"], json!([{"id": gone, "deletedDate": "2026-11-02T09:00:00.000+0000"}]));
        let (_, body) = ask(&org, "deleted", "2026-11-02T09:05:00Z", "2026-11-02T09:15:00Z").await;
        assert_eq!(body["deletedRecords"], json!([]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_user_may_lack_the_right_to_ask() {
        let org = Org::new().await;
        org.salesforce.forbid_updated(true);
        let (status, body) = ask(&org, "updated", "2026-11-02T08:00:00Z", "2026-11-02T09:00:00Z").await;
        assert_eq!((status, &body[0]["errorCode"]), (403, &json!("INSUFFICIENT_ACCESS")));
        org.salesforce.forbid_updated(false);
        assert_eq!(ask(&org, "updated", "2026-11-02T08:00:00Z", "2026-11-02T09:00:00Z").await.0, 200);
    }
}
