//! What is asked of Salesforce, as SOQL: windows on `SystemModstamp`, keysets, lists of ids. Pure text; it knows no HTTP.
//!
//! Stamps compare by whole seconds and tie in bulk, so a place in a window is the pair (stamp, id). Only that pair is
//! kept: a query locator dies with time, and whether it shows later edits is not documented.
//! <https://developer.salesforce.com/docs/platform/salesforce-soql-sosl/guide/sforce-api-calls-soql-select-dateformats.md>

use chrono::{SecondsFormat, TimeDelta, Timelike};
use serde::{Deserialize, Serialize};

use crate::crm::salesforce::id::Id;
use crate::domain::Timestamp;

/// Rows one query may give; also the largest page Salesforce sends.
pub(super) const LIMIT: usize = 2_000;

/// Room for one encoded query in the URI: Salesforce takes 16,384 bytes of URI and headers together.
pub(super) const URI_BUDGET: usize = 12_000;

/// A quoted id and its comma, encoded: %27 + 18 + %27 + %2C.
const ENCODED_ID: usize = 27;

/// One query, before the number of rows is known that it may give.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// Whether it shows what was deleted or merged away.
    pub deleted_too: bool,
    select: String,
    from: &'static str,
    conditions: Vec<String>,
    order: &'static str,
}

impl Query {
    /// A query that shows what lives.
    pub(super) fn living(select: &str, from: &'static str) -> Self {
        Self { deleted_too: false, select: select.to_owned(), from, conditions: Vec::new(), order: "" }
    }

    /// A query that also shows what was deleted or merged away, for as long as the bin holds it (15 days).
    /// <https://developer.salesforce.com/docs/platform/api-rest/guide/dome-queryall.html>
    pub(super) fn deleted_too(select: &str, from: &'static str) -> Self {
        Self { deleted_too: true, ..Self::living(select, from) }
    }

    /// The same under one more condition.
    pub(super) fn and(mut self, condition: impl Into<String>) -> Self {
        self.conditions.push(condition.into());
        self
    }

    /// Those after this id, in the server's own order of ids.
    pub(super) fn after(self, id: Option<&Id>) -> Self {
        let ordered = Self { order: BY_ID, ..self };
        match id {
            Some(id) => ordered.and(format!("Id > '{id}'")),
            None => ordered,
        }
    }

    /// Those stamped from this place up to `hi`, exclusive.
    pub(super) fn stamped(self, since: &Since, hi: Timestamp) -> Self {
        let stamp = literal(since.stamp);
        let from = match &since.id {
            None => format!("SystemModstamp >= {stamp}"),
            Some(id) => format!("((SystemModstamp = {stamp} AND Id > '{id}') OR SystemModstamp > {stamp})"),
        };
        Self { order: BY_STAMP, ..self }.and(from).before(hi)
    }

    /// Those stamped before `hi`.
    pub(super) fn before(self, hi: Timestamp) -> Self {
        self.and(format!("SystemModstamp < {}", literal(ceiling(hi))))
    }

    /// Those whose `field` is one of these ids.
    pub(super) fn among(self, field: &str, ids: &[Id]) -> Self {
        let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        self.and(format!("{field} IN ({})", ids.join(",")))
    }

    /// How many ids [`Query::among`] may add before the URI is full.
    pub(super) fn room_for_ids(&self) -> usize {
        let room = URI_BUDGET.saturating_sub(encoded(&self.soql(Some(LIMIT)))) / ENCODED_ID;
        room.clamp(1, LIMIT)
    }

    /// The text that asks how many rows it has.
    pub(super) fn counting(&self) -> String {
        Self { select: "COUNT()".to_owned(), ..self.clone() }.soql(None)
    }

    /// Whether a slow query gets faster by giving fewer rows: a listing by id does, one by stamp wants a shorter window.
    pub(super) fn goes_by_id(&self) -> bool {
        self.order != BY_STAMP
    }

    /// The text.
    pub(super) fn soql(&self, limit: Option<usize>) -> String {
        let Self { select, from, conditions, order, .. } = self;
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
        format!("SELECT {select} FROM {from}{condition}{order}{limit}")
    }
}

const BY_ID: &str = " ORDER BY Id ASC";
const BY_STAMP: &str = " ORDER BY SystemModstamp ASC, Id ASC";

/// A place in a window of stamps: from a second on, or after one row of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// The second, inclusive where no row is named.
    pub stamp: Timestamp,
    /// The row of that second which was the last one read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
}

impl Since {
    /// From this second on.
    pub(super) fn from(stamp: Timestamp) -> Self {
        Self { stamp, id: None }
    }

    /// Half of the way from here to `hi`, in whole seconds; `None` when a minute or less is left to halve.
    pub(super) fn halfway(&self, hi: Timestamp) -> Option<Timestamp> {
        let span = hi - self.stamp;
        (span > TimeDelta::minutes(1)).then(|| floor(self.stamp + span / 2))
    }
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
pub(super) fn literal(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Bytes of a text in a URI.
pub(super) fn encoded(text: &str) -> usize {
    url::form_urlencoded::byte_serialize(text.as_bytes()).map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn id(number: usize) -> Id {
        Id::read(&format!("003Da00000{number:05}")).unwrap()
    }

    #[test]
    fn windows_are_whole_seconds_that_contain_what_was_asked() {
        let from = Since::from(at("2026-11-02T09:00:00.700Z"));
        let query = Query::deleted_too("Id,Email", "Contact").stamped(&from, at("2026-11-02T09:30:00.100Z"));
        assert_eq!(
            query.soql(Some(LIMIT)),
            "SELECT Id,Email FROM Contact WHERE SystemModstamp >= 2026-11-02T09:00:00Z AND \
             SystemModstamp < 2026-11-02T09:30:01Z ORDER BY SystemModstamp ASC, Id ASC LIMIT 2000"
        );
        let after = Since { stamp: at("2026-11-02T09:15:41Z"), id: Some(id(7)) };
        let soql =
            Query::living("Id", "Lead").and("IsDeleted = true").stamped(&after, at("2026-11-02T09:30:00Z")).soql(None);
        let expected = format!(
            "SELECT Id FROM Lead WHERE IsDeleted = true AND ((SystemModstamp = 2026-11-02T09:15:41Z AND Id > '{}') OR \
             SystemModstamp > 2026-11-02T09:15:41Z) AND SystemModstamp < 2026-11-02T09:30:00Z ORDER",
            id(7)
        );
        assert!(soql.starts_with(&expected), "{soql}");
    }

    #[test]
    fn listings_go_by_id_and_lists_of_ids_fit_the_uri() {
        assert_eq!(
            Query::living("Id", "Contact").after(None).soql(Some(5)),
            "SELECT Id FROM Contact ORDER BY Id ASC LIMIT 5"
        );
        let query = Query::living("Id,Email", "Contact").and("IsPersonAccount = false").after(Some(&id(1)));
        let ids: Vec<Id> = (0..query.room_for_ids()).map(id).collect();
        let soql = query.clone().among("Id", &ids).soql(Some(LIMIT));
        assert!((URI_BUDGET - 100..URI_BUDGET + 100).contains(&encoded(&soql)), "{}", encoded(&soql));
        let few = query.among("AccountId", &ids[..2]).soql(None);
        let [one, two] = [id(0), id(1)];
        let condition =
            format!("WHERE IsPersonAccount = false AND Id > '{two}' AND AccountId IN ('{one}','{two}') ORDER");
        assert!(few.contains(&condition), "{few}");
        assert_eq!(Query::living(&"x".repeat(URI_BUDGET), "Contact").room_for_ids(), 1);
    }

    #[test]
    fn a_slow_window_is_halved_down_to_a_minute() {
        let since = Since::from(at("2026-11-02T09:00:00Z"));
        assert_eq!(since.halfway(at("2026-11-02T10:00:00Z")), Some(at("2026-11-02T09:30:00Z")));
        assert_eq!(since.halfway(at("2026-11-02T09:01:00Z")), None);
    }
}
