//! What is asked of Salesforce, as SOQL: windows on `SystemModstamp`, keysets, the selected columns. Pure text; it
//! knows no HTTP.
//!
//! Stamps compare by whole seconds and tie in bulk, so a place in a window is the pair (stamp, id). Only that pair is
//! kept: a query locator dies with time, and whether it shows later edits is not documented.
//! <https://developer.salesforce.com/docs/platform/salesforce-soql-sosl/guide/sforce-api-calls-soql-select-dateformats.md>

use std::collections::BTreeSet;

use chrono::{SecondsFormat, TimeDelta, Timelike};
use serde::{Deserialize, Serialize};

use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::identity::salesforce_id;
use crate::domain::record::Resume;

/// Rows one query may give; also the largest page Salesforce sends.
pub(super) const LIMIT: usize = 2_000;

/// Room for one encoded query in the URI: Salesforce takes 16,384 bytes of URI and headers together.
const URI_BUDGET: usize = 12_000;

/// The columns of every query: the fields the mapping reads, and what the adapter needs itself.
pub(super) struct Columns {
    /// The mapping's names, as it spells them.
    pub asked: Vec<String>,
    list: String,
}

impl Columns {
    pub(super) fn new(fields: BTreeSet<String>) -> Self {
        let own = ["Id", "SystemModstamp"];
        let mut columns: Vec<&str> = own.into();
        for field in &fields {
            // A column named twice is refused, and names have no case.
            if !columns.iter().any(|c| c.eq_ignore_ascii_case(field)) {
                columns.push(field);
            }
        }
        let list = columns.join(",");
        Self { asked: fields.into_iter().collect(), list }
    }

    /// Everyone after this id, in the server's own order of ids.
    pub(super) fn everyone(&self, whole: bool, after: Option<&str>) -> String {
        let list = if whole { &self.list } else { "Id,SystemModstamp" };
        let condition = after.map(|id| format!(" WHERE Id > '{id}'")).unwrap_or_default();
        format!("SELECT {list} FROM Contact{condition} ORDER BY Id ASC LIMIT {LIMIT}")
    }

    /// Those stamped from this place up to `hi`, exclusive.
    pub(super) fn changed(&self, place: &Place, hi: Timestamp) -> String {
        let from = match place {
            Place::From { stamp } => format!("SystemModstamp >= {}", literal(*stamp)),
            Place::After { stamp, id } => {
                let stamp = literal(*stamp);
                format!("((SystemModstamp = {stamp} AND Id > '{id}') OR SystemModstamp > {stamp})")
            }
        };
        let hi = literal(ceiling(hi));
        let order = "ORDER BY SystemModstamp ASC, Id ASC";
        format!("SELECT {} FROM Contact WHERE {from} AND SystemModstamp < {hi} {order} LIMIT {LIMIT}", self.list)
    }

    /// Those with these ids, as many queries as the URI needs. What is no Salesforce id cannot be there and is left
    /// out.
    pub(super) fn by_ids(&self, ids: &[String]) -> Vec<String> {
        let ids: BTreeSet<String> = ids.iter().filter_map(|id| salesforce_id(id)).collect();
        let ids: Vec<String> = ids.into_iter().collect();
        // A quoted id and its comma, encoded: %27 + 18 + %27 + %2C.
        let room = URI_BUDGET.saturating_sub(encoded(&self.list)) / 27;
        let query = |some: &[String]| format!("SELECT {} FROM Contact WHERE Id IN ('{}')", self.list, some.join("','"));
        ids.chunks(room.clamp(1, LIMIT)).map(query).collect()
    }
}

/// A place in a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Place {
    /// After this row.
    After {
        /// Its stamp.
        stamp: Timestamp,
        /// Its id.
        id: String,
    },
    /// From this second on.
    From {
        /// The second, inclusive.
        stamp: Timestamp,
    },
}

impl Place {
    pub(super) fn resume(&self) -> Result<Resume, Trouble> {
        serde_json::to_string(self)
            .map(Resume)
            .map_err(|e| Trouble::Protocol(format!("a place cannot be written: {e}")))
    }

    pub(super) fn parse(resume: &Resume) -> Result<Self, Trouble> {
        match serde_json::from_str(&resume.0) {
            Ok(Self::After { stamp, id }) => Ok(Self::After { stamp, id: known_id(&id)? }),
            Ok(place) => Ok(place),
            Err(_) => Err(Trouble::Protocol("the place kept for Salesforce cannot be read".into())),
        }
    }

    /// The stamp this place stands at.
    pub(super) fn stamp(&self) -> Timestamp {
        let (Self::After { stamp, .. } | Self::From { stamp }) = self;
        *stamp
    }

    /// Half of the way from here to `hi`, in whole seconds; `None` when a minute or less is left to halve.
    pub(super) fn halfway(&self, hi: Timestamp) -> Option<Timestamp> {
        let span = hi - self.stamp();
        (span > TimeDelta::minutes(1)).then(|| floor(self.stamp() + span / 2))
    }
}

/// An id that may stand in a query.
pub(super) fn known_id(id: &str) -> Result<String, Trouble> {
    salesforce_id(id).ok_or_else(|| Trouble::Protocol("the place kept for Salesforce holds no valid id".into()))
}

/// The whole second this instant lies in.
pub(super) fn floor(at: Timestamp) -> Timestamp {
    at.with_nanosecond(0).unwrap_or(at)
}

/// The first whole second not before this instant, so that an exclusive bound loses no row.
fn ceiling(at: Timestamp) -> Timestamp {
    if floor(at) == at { at } else { floor(at) + TimeDelta::seconds(1) }
}

/// A date-time literal; with `Z`, because the plus of an offset would have to be escaped.
fn literal(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn encoded(text: &str) -> usize {
    url::form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn columns(fields: &[&str]) -> Columns {
        Columns::new(fields.iter().map(|&f| f.to_owned()).collect())
    }

    #[test]
    fn windows_are_whole_seconds_that_contain_what_was_asked() {
        let columns = columns(&["Email", "id", "Account.Name"]);
        let from = Place::From { stamp: at("2026-11-02T09:00:00.700Z") };
        assert_eq!(
            columns.changed(&from, at("2026-11-02T09:30:00.100Z")),
            "SELECT Id,SystemModstamp,Account.Name,Email FROM Contact WHERE SystemModstamp >= 2026-11-02T09:00:00Z AND \
             SystemModstamp < 2026-11-02T09:30:01Z ORDER BY SystemModstamp ASC, Id ASC LIMIT 2000"
        );
        let after = Place::After { stamp: at("2026-11-02T09:15:41Z"), id: "001Da00000xnAiyIAE".into() };
        assert!(columns.changed(&after, at("2026-11-02T09:30:00Z")).contains(
            "WHERE ((SystemModstamp = 2026-11-02T09:15:41Z AND Id > '001Da00000xnAiyIAE') OR \
             SystemModstamp > 2026-11-02T09:15:41Z) AND SystemModstamp < 2026-11-02T09:30:00Z ORDER"
        ));
    }

    #[test]
    fn everyone_is_read_by_id_and_a_sweep_asks_for_stamps_only() {
        let columns = columns(&["Email"]);
        let soql = "SELECT Id,SystemModstamp,Email FROM Contact ORDER BY Id ASC LIMIT 2000";
        assert_eq!(columns.everyone(true, None), soql);
        assert_eq!(
            columns.everyone(false, Some("001Da00000xnAiyIAE")),
            "SELECT Id,SystemModstamp FROM Contact WHERE Id > '001Da00000xnAiyIAE' ORDER BY Id ASC LIMIT 2000"
        );
    }

    #[test]
    fn reading_by_id_fits_the_uri_and_takes_valid_ids_once() {
        let columns = columns(&["Email"]);
        let odd = ["001Da00000xnAiy", "001Da00000xnAiyIAE", "x' OR Id != '"].map(str::to_owned);
        let one = "SELECT Id,SystemModstamp,Email FROM Contact WHERE Id IN ('001Da00000xnAiyIAE')";
        assert_eq!(columns.by_ids(&odd), [one]);
        let many: Vec<String> = (0..2_000).filter_map(|n| salesforce_id(&format!("003Da00000{n:05}"))).collect();
        let queries = columns.by_ids(&many);
        assert!(queries.iter().all(|soql| encoded(soql) < URI_BUDGET + 200));
        assert_eq!(queries.iter().map(|soql| soql.matches("003Da").count()).sum::<usize>(), 2_000);
        assert!(columns.by_ids(&[]).is_empty());
    }

    #[test]
    fn places_survive_a_restart_and_smuggle_nothing_in() {
        let from = Place::From { stamp: at("2026-11-02T09:00:00Z") };
        let after = Place::After { stamp: at("2026-11-02T09:00:00Z"), id: "001Da00000xnAiyIAE".into() };
        for place in [from, after] {
            assert_eq!(Place::parse(&place.resume().unwrap()).unwrap(), place);
        }
        for text in ["", "{}", r#"{"stamp":"2026-11-02T09:00:00Z","id":"x' OR Id != '"}"#] {
            assert!(Place::parse(&Resume(text.into())).is_err(), "{text}");
        }
    }

    #[test]
    fn a_slow_window_is_halved_down_to_a_minute() {
        let place = Place::From { stamp: at("2026-11-02T09:00:00Z") };
        assert_eq!(place.halfway(at("2026-11-02T10:00:00Z")), Some(at("2026-11-02T09:30:00Z")));
        assert_eq!(place.halfway(at("2026-11-02T09:01:00Z")), None);
    }
}
