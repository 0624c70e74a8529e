//! The results of a bulk job: CSV into the rows that a query would have given. It knows no HTTP.
//!
//! A cell is text, whatever the field is: an empty one is null (the API makes no difference between null and empty text),
//! and the rest is typed by what the org says of its fields.
//! <https://developer.salesforce.com/docs/platform/api-asynch/guide/query-get-job-results.md>

use serde_json::{Map, Number, Value};

use crate::crm::salesforce::describe::Kind;
use crate::crm::salesforce::wire::Row;
use crate::domain::failure::Trouble;

/// The rows of a result, whose query selected these fields.
pub(super) fn rows(csv: &[u8], fields: &[(&str, Kind)]) -> Result<Vec<Row>, Trouble> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(csv);
    let (mut heads, mut rows) = (fields.to_vec(), Vec::new());
    for (number, line) in reader.records().enumerate() {
        // The reader's own message may quote a cell.
        let line = line.map_err(|_| unreadable(number))?;
        // Whether only the first set of results has a heading is not documented; no id looks like one.
        if number == 0 && line.iter().any(|cell| cell.eq_ignore_ascii_case("Id")) {
            let known = |head: &str| fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(head)).copied();
            heads = line.iter().map(known).collect::<Option<_>>().ok_or_else(|| unreadable(0))?;
            // Made for a map that read less, it says nothing of what is read by now.
            if heads.len() != fields.len() {
                return Err(unreadable(0));
            }
            continue;
        }
        if line.len() != heads.len() {
            return Err(unreadable(number));
        }
        let mut row = Row::new();
        for ((name, kind), cell) in heads.iter().zip(&line) {
            put(&mut row, name, value(cell, *kind));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Puts a value at a dotted path, as a query nests a parent's fields.
fn put(row: &mut Row, path: &str, value: Value) {
    let Some((head, rest)) = path.split_once('.') else {
        row.insert(path.to_owned(), value);
        return;
    };
    if let Value::Object(parent) = row.entry(head).or_insert_with(|| Value::Object(Map::new())) {
        put(parent, rest, value);
    }
}

fn value(cell: &str, kind: Kind) -> Value {
    let text = || Value::String(cell.to_owned());
    match (kind, cell) {
        (_, "") => Value::Null,
        (Kind::Bool, "true") => Value::Bool(true),
        (Kind::Bool, "false") => Value::Bool(false),
        (Kind::Number, _) => serde_json::from_str::<Number>(cell).map_or_else(|_| text(), Value::Number),
        // A query writes the offset of an instant as +0000, the Bulk API as Z.
        (Kind::DateTime, _) => Value::String(cell.strip_suffix('Z').map_or(cell.to_owned(), |at| format!("{at}+0000"))),
        _ => text(),
    }
}

fn unreadable(line: usize) -> Trouble {
    Trouble::Protocol(format!("a bulk result of Salesforce is no CSV of the fields asked for (line {})", line + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: [(&str, Kind); 8] = [
        ("Id", Kind::Text),
        ("Account.Name", Kind::Text),
        ("Account.Owner.Email", Kind::Text),
        ("Score__c", Kind::Number),
        ("Vip__c", Kind::Bool),
        ("Since__c", Kind::DateTime),
        ("Zip__c", Kind::Text),
        ("Note__c", Kind::Text),
    ];

    #[test]
    fn a_table_gives_the_rows_a_query_would_have_given() {
        let table = "\"Id\",\"Account.Name\",\"Account.Owner.Email\",\"Score__c\",\"Vip__c\",\"Since__c\",\"Zip__c\",\"Note__c\"\n\
                     \"003A\",\"Berg, \"\"AB\"\"\",\"\",\"0.0\",\"true\",\"2026-11-02T09:15:41.000Z\",\"01234\",\"one\ntwo\"\n\
                     \"003B\",\"\",\"\",\"\",\"false\",\"\",\"\",\"\"\n";
        let rows = rows(table.as_bytes(), &FIELDS).unwrap();
        assert_eq!(
            Value::Object(rows[0].clone()),
            json!({
                "Id": "003A", "Account": {"Name": "Berg, \"AB\"", "Owner": {"Email": null}}, "Score__c": 0.0, "Vip__c": true,
                "Since__c": "2026-11-02T09:15:41.000+0000", "Zip__c": "01234", "Note__c": "one\ntwo"
            })
        );
        assert_eq!(rows[0]["Score__c"].to_string(), "0.0");
        assert_eq!(rows[1]["Note__c"], Value::Null);
        assert_eq!(rows[1]["Vip__c"], Value::Bool(false));
        assert_eq!(rows.len(), 2);
    }

    #[test]
    fn a_set_without_heading_and_columns_in_another_order_are_read() {
        let fields = &FIELDS[..2];
        let bare = rows(b"\"003A\",\"Acme\"\n", fields).unwrap();
        let turned = rows(b"\"account.name\",\"ID\"\r\n\"Acme\",\"003A\"\r\n", fields).unwrap();
        assert_eq!(bare, turned);
        assert!(rows(b"", fields).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_such_table_is_refused_without_its_content() {
        for table in [
            "<html>",
            "Id,Email\n003A,anna@firma.se\n",
            "Id\n003A\n",
            "003A\n",
            "003A,Acme,3\n",
            "003A,\"\u{0}\"\n003B\n",
        ] {
            let trouble = rows(table.as_bytes(), &FIELDS[..2]).unwrap_err();
            assert_eq!(trouble.code(), "unexpected_answer", "{table}");
            assert!(!trouble.to_string().contains("anna"), "{trouble}");
        }
        assert!(rows(b"003A,\xff\xfe\n", &FIELDS[..2]).is_err());
    }
}
