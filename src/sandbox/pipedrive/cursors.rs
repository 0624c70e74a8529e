//! Cursors: opaque, bound to the parameters of the walk they belong to, and perhaps short-lived.
//! It must not know what is listed.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value as Json, json};

use crate::sandbox::table::Place;

/// Where cursors are given out and taken back.
#[derive(Clone, Copy, Debug)]
pub struct Desk {
    /// Now.
    pub now: DateTime<Utc>,
    /// The number of this call: keeps two cursors of the same place apart.
    pub call: u64,
    /// How long a cursor works.
    pub life: Option<TimeDelta>,
    /// For how many calls after its page a cursor works.
    pub calls: Option<u64>,
}

impl Desk {
    /// A cursor for what follows `after` in this order: a keyset, no snapshot.
    pub fn issue(&self, after: Option<Place>, (field, direction): (&str, &str), parameters: u64) -> String {
        let (value, id) = after.map_or((None, None), |(time, key)| (time.map(|time| time.timestamp()), Some(key)));
        let cursor = json!({"field": field, "fieldValue": value, "sortDirection": direction, "id": id,
                            "of": parameters, "n": self.call, "at": self.now.timestamp()});
        BASE64_URL_SAFE_NO_PAD.encode(cursor.to_string())
    }

    /// Where the page before ended. One of another order, of other parameters or of long ago is refused.
    pub fn read(
        &self,
        cursor: &str,
        (field, direction): (&str, &str),
        parameters: u64,
    ) -> Result<Option<Place>, String> {
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok();
        let cursor: Json = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or("cursor: not valid")?;
        if cursor["field"] != field || cursor["sortDirection"] != direction || cursor["of"] != parameters {
            return Err("cursor: belongs to other parameters".to_owned());
        }
        let at = cursor["at"].as_i64().and_then(|second| DateTime::from_timestamp(second, 0));
        let (at, call) = at.zip(cursor["n"].as_u64()).ok_or("cursor: not valid")?;
        let too_old = self.life.is_some_and(|life| self.now - at > life);
        if too_old || self.calls.is_some_and(|calls| self.call.saturating_sub(call) > calls) {
            return Err("cursor: expired".to_owned());
        }
        let time = cursor["fieldValue"].as_i64().and_then(|second| DateTime::from_timestamp(second, 0));
        Ok(cursor["id"].as_u64().map(|key| (time, key)))
    }
}

/// What tells one set of parameters from another, whatever their order; the cursor is none of them.
pub fn fingerprint(parameters: &[(String, String)]) -> u64 {
    let mut rest: Vec<_> = parameters.iter().filter(|(name, _)| name != "cursor").collect();
    rest.sort_unstable();
    let mut hasher = DefaultHasher::new();
    rest.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::sandbox::pipedrive::bench::{company, employed, get, ids, pass};
    use crate::sandbox::pipedrive::model::Pipedrive;
    use crate::sandbox::pipedrive::state::End;

    fn crowded() -> Pipedrive {
        let pipedrive = company();
        (0..5).for_each(|_| drop(pipedrive.add(&employed())));
        pipedrive
    }

    async fn first(pipedrive: &Pipedrive) -> String {
        let (_, body) = get(pipedrive, "/api/v2/persons?limit=2").await;
        body["additional_data"]["next_cursor"].as_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_belongs_to_its_parameters_and_has_an_end() {
        let pipedrive = crowded();
        let cursor = first(&pipedrive).await;
        let next = async |query: &str, cursor: &str| {
            get(&pipedrive, &format!("/api/v2/persons?{query}&cursor={cursor}")).await
        };
        for (query, status) in
            [("limit=2", 200), ("limit=3", 400), ("limit=2&owner_id=7", 400), ("limit=2&sort_by=id", 400)]
        {
            assert_eq!(next(query, &cursor).await.0, status, "{query}");
        }
        pipedrive.set_cursor_life(Some(Duration::from_secs(60)), None);
        pass(60).await;
        assert_eq!(next("limit=2", &cursor).await.0, 200);
        pass(1).await;
        let (status, body) = next("limit=2", &cursor).await;
        assert_eq!((status, body["error"].as_str().unwrap().contains("expired")), (400, true));
        pipedrive.set_cursor_life(None, Some(2));
        let cursor = first(&pipedrive).await;
        let statuses =
            [next("limit=2", &cursor).await.0, next("limit=2", &cursor).await.0, next("limit=2", &cursor).await.0];
        assert_eq!(statuses, [200, 200, 400]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_can_lead_back_to_itself_and_the_end_has_three_spellings() {
        let pipedrive = crowded();
        let cursor = first(&pipedrive).await;
        pipedrive.set_cursor_loop(true);
        let (_, page) = get(&pipedrive, &format!("/api/v2/persons?limit=2&cursor={cursor}")).await;
        assert_eq!((page["additional_data"]["next_cursor"].as_str(), ids(&page).len()), (Some(cursor.as_str()), 2));
        for (end, additional, next) in [(End::Null, true, true), (End::Absent, true, false), (End::Bare, false, false)]
        {
            pipedrive.set_end(end);
            let (_, page) = get(&pipedrive, "/api/v2/persons").await;
            assert_eq!(page.get("additional_data").is_some(), additional, "{end:?}");
            assert_eq!(page["additional_data"].get("next_cursor").is_some(), next, "{end:?}");
        }
    }
}
