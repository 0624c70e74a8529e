//! One call, as it came in and as far as it is understood.
//! It must not know what is answered.

use chrono::{DateTime, Utc};
use http::Method;
use serde_json::Value as Json;

use crate::sandbox::pipedrive::cursors::Desk;
use crate::sandbox::pipedrive::state::State;

/// A call that was let in.
pub struct Call<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its query.
    pub parameters: &'a [(String, String)],
    /// Its body.
    pub body: &'a [u8],
    /// When it came.
    pub now: DateTime<Utc>,
}

impl Call<'_> {
    /// The body.
    pub fn json(&self) -> Result<Json, String> {
        serde_json::from_slice(self.body).map_err(|_| "body: must be JSON".to_owned())
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Where this call's cursors come from.
    pub fn desk(&self, state: &State) -> Desk {
        let levers = &state.levers;
        Desk { now: self.now, call: state.answers, life: levers.cursor_life, calls: levers.cursor_calls }
    }
}
