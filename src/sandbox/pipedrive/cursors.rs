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
