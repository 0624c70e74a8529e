//! Salesforce's JSON as it is sent: query pages and rows. It knows neither windows nor tokens.
//!
//! Everything but the end marker of a page is optional: a missing member is "not sent", never null.
//! <https://developer.salesforce.com/docs/platform/api-rest/guide/dome-query.md>

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::objects::Column;
use crate::crm::salesforce::query::Since;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Record, Sighting};

/// A row of a query: `attributes` and the selected columns.
pub(super) type Row = Map<String, Value>;

/// One page of a query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueryPage {
    /// Rows of the whole query, repeated on every page.
    pub total_size: Option<usize>,
    done: bool,
    next_records_url: Option<String>,
    /// The rows of this page; the server may send fewer than were asked for, but never no list at all.
    pub records: Vec<Row>,
}

impl QueryPage {
    /// Where this query goes on; `None` only if the server said `done`.
    pub(super) fn next(&self) -> Result<Option<&str>, Trouble> {
        match self.next_records_url.as_deref() {
            _ if self.done => Ok(None),
            // Host-relative by contract. Anything else would carry the token to a host the answer chose.
            Some(path) if path.starts_with("/services/") => Ok(Some(path)),
            Some(_) => Err(Trouble::Protocol("Salesforce's nextRecordsUrl is not a path of its API".into())),
            None => {
                Err(Trouble::Protocol("Salesforce said the list goes on and not where (done:false without URL)".into()))
            }
        }
    }
}

/// The answer to a query that counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Count {
    /// Rows.
    pub total_size: u64,
}

/// A stamp: `2026-11-02T09:15:41.000+0000`, whose offset lacks the colon of RFC 3339. The Bulk API writes `Z`.
pub(super) fn stamp(text: &str) -> Option<Timestamp> {
    let read = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").or_else(|_| DateTime::parse_from_rfc3339(text));
    read.ok().map(|t| t.with_timezone(&Utc))
}

/// Someone, as a row shows them.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    /// Who.
    pub id: Id,
    /// When they last changed.
    pub stamp: Option<Timestamp>,
    /// Whether the row is in the bin.
    pub deleted: bool,
    /// Whether it is a lead that became somebody else.
    pub converted: bool,
    /// Who they are now: the winner of a merge, or the contact a lead was made.
    pub became: Option<Id>,
    /// What was read of them.
    pub record: Record,
}

impl Shown {
    /// Reads a row; one without an id cannot be told from another and ends the reading. The record holds what the map
    /// asked for, under the map's own spelling.
    pub(super) fn read(row: &Row, columns: &[Column]) -> Result<Self, Trouble> {
        let id = link(row, "Id").ok_or_else(|| Trouble::Protocol("Salesforce sent a row without a valid Id".into()))?;
        let stamp = row.get("SystemModstamp").and_then(Value::as_str).and_then(stamp);
        let is = |name| row.get(name).and_then(Value::as_bool).unwrap_or_default();
        let (deleted, converted) = (is("IsDeleted"), is("IsConverted"));
        let winner = link(row, "MasterRecordId").filter(|_| deleted);
        let field = |column: &Column| {
            let value = column.given.as_ref().or_else(|| value(row, &column.path))?;
            Some((column.asked.clone(), value.clone()))
        };
        let fields = columns.iter().filter_map(field).collect();
        Ok(Self {
            stamp,
            deleted,
            converted,
            became: winner.or_else(|| link(row, "ConvertedContactId").filter(|_| converted)),
            record: Record { id: id.to_string(), modified: stamp, fields, supersedes: Vec::new() },
            id,
        })
    }

    /// Whether they are somebody of their own.
    pub(super) fn lives(&self) -> bool {
        !self.deleted && !self.converted
    }

    /// That they were seen.
    pub(super) fn sighting(self) -> Sighting {
        Sighting { id: self.record.id.clone(), modified: self.stamp, record: Some(self.record) }
    }
}

/// The place after this row of a window.
pub(super) fn after(row: &Row) -> Result<Since, Trouble> {
    let Shown { id, stamp, .. } = Shown::read(row, &[])?;
    let stamp =
        stamp.ok_or_else(|| Trouble::Protocol("Salesforce sent a row without a readable SystemModstamp".into()))?;
    Ok(Since { stamp, id: Some(id) })
}

fn link(row: &Row, name: &str) -> Option<Id> {
    row.get(name).and_then(Value::as_str).and_then(Id::read)
}

/// The value at a dotted path. SOQL takes names in any case and answers in the declared one. A parent that is null
/// makes all below it null; a member that is not there stays absent.
fn value<'a>(row: &'a Row, path: &str) -> Option<&'a Value> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(head, rest)| (head, Some(rest)));
    let found = row.iter().find(|(name, _)| name.eq_ignore_ascii_case(head)).map(|(_, value)| value)?;
    match (rest, found) {
        (None, _) | (Some(_), Value::Null) => Some(found),
        (Some(rest), Value::Object(parent)) => value(parent, rest),
        (Some(_), _) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::salesforce::describe::Kind;

    fn columns(names: &[&str]) -> Vec<Column> {
        let column =
            |&name: &&str| Column { asked: name.to_owned(), path: name.to_owned(), kind: Kind::Text, given: None };
        names.iter().map(column).collect()
    }

    #[test]
    fn a_row_becomes_a_flat_record_in_which_absent_is_not_null() {
        let row = json!({
            "attributes": {"type": "Contact", "url": "/services/data/v66.0/sobjects/Contact/001Da00000xnAiyIAE"},
            "Id": "001Da00000xnAiyIAE", "LastName": "Ng", "Email": null,
            "Account": {"attributes": {"type": "Account"}, "Name": "Acme", "BillingCountry": null},
            "Owner": null, "SystemModstamp": "2026-11-02T09:15:41.000+0000"
        });
        let asked = columns(&[
            "lastname",
            "Email",
            "Account.Name",
            "account.billingcountry",
            "Owner.Name",
            "Gone__c",
            "Account.Site",
        ]);
        let record = Shown::read(row.as_object().unwrap(), &asked).unwrap().record;
        assert_eq!(record.id, "001Da00000xnAiyIAE");
        assert_eq!(record.modified.unwrap().to_rfc3339(), "2026-11-02T09:15:41+00:00");
        assert_eq!(
            Value::Object(record.fields),
            json!({"lastname": "Ng", "Email": null, "Account.Name": "Acme", "account.billingcountry": null, "Owner.Name": null})
        );
    }

    #[test]
    fn stamps_are_read_with_and_without_a_colon() {
        for (text, expected) in [
            ("2026-11-02T09:15:41.000+0000", Some("2026-11-02T09:15:41+00:00")),
            ("2026-11-02T10:15:41.000+0100", Some("2026-11-02T09:15:41+00:00")),
            ("2026-11-02T09:15:41+00:00", Some("2026-11-02T09:15:41+00:00")),
            ("2026-11-02T09:15:41.000Z", Some("2026-11-02T09:15:41+00:00")),
            ("2026-11-02", None),
            ("", None),
        ] {
            assert_eq!(stamp(text).map(|t| t.to_rfc3339()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn only_done_ends_a_query() {
        for (page, expected) in [
            (json!({"done": true, "records": []}), Ok(None)),
            (json!({"done": true, "nextRecordsUrl": "/services/x", "records": []}), Ok(None)),
            (
                json!({"done": false, "nextRecordsUrl": "/services/data/v66.0/query/0r8-2000", "records": []}),
                Ok(Some("/services/data/v66.0/query/0r8-2000")),
            ),
            (json!({"done": false, "records": []}), Err(())),
            (json!({"done": false, "nextRecordsUrl": "https://evil.example/services/", "records": []}), Err(())),
            (json!({"done": false, "nextRecordsUrl": "//evil.example/services/", "records": []}), Err(())),
        ] {
            let page: QueryPage = serde_json::from_value(page).unwrap();
            assert_eq!(page.next().map_err(|_| ()), expected);
        }
        for page in [json!({"records": []}), json!({"done": true}), json!({"done": true, "records": null})] {
            assert!(serde_json::from_value::<QueryPage>(page).is_err(), "no end marker or no rows, no page");
        }
    }
}
