//! Every statement of this room finds its rows by an index: a ledger may hold a million people.

use std::fs;
use std::path::Path;

use crate::ledger::stage::opened;

/// Tables that may have a row a person, or several.
const LARGE: [&str; 8] =
    ["refs", "events", "index_contacts", "index_emails", "index_refs", "write_backs", "companies", "gone"];

/// Statements that go through one of them for a reason: the newest event; every event, where somebody is forgotten; and
/// who has left, once where all who live are counted or an id is owed to all.
const WHOLE: [(&str, &str); 5] = [
    ("events.rs", "END"),
    ("forget.rs", "NAMING"),
    ("gone.rs", "LIVE"),
    ("summary.rs", "GONE"),
    ("write_backs.rs", "SETTLED"),
];

/// The statements that a source text keeps as constants, by name.
fn statements(text: &str) -> Vec<(&str, &str)> {
    let consts = text.split("const ").skip(1).filter_map(|rest| rest.split_once(": &str ="));
    let texts = consts.filter_map(|(name, rest)| Some((name, rest.trim_start().strip_prefix('"')?.split('"').next()?)));
    let is_sql = |sql: &str| ["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"].iter().any(|verb| sql.starts_with(verb));
    texts.filter(|(_, sql)| is_sql(sql)).collect()
}

/// The large table that a step of a plan goes through: in whole, or by more of an index than one of a kind has.
fn gone_through(step: &str) -> Option<&str> {
    let (table, how) = step.strip_prefix("SCAN ").map(|rest| rest.split_once(' ').unwrap_or((rest, "")))?;
    (LARGE.contains(&table) && (how.is_empty() || table == "gone")).then_some(table)
}

#[tokio::test(start_paused = true)]
async fn no_statement_goes_through_everybody() {
    let (_folder, ledger) = opened().await;
    let mut all = Vec::new();
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger")).unwrap() {
        let path = file.unwrap().path();
        let (file, text) = (path.file_name().unwrap().to_str().unwrap(), fs::read_to_string(&path).unwrap());
        all.extend(statements(&text).into_iter().map(|(name, sql)| (format!("{file} {name}"), sql.to_owned())));
    }
    all.retain(|(name, _)| !WHOLE.iter().any(|(file, constant)| *name == format!("{file} {constant}")));
    let plans = ledger
        .read(|sqlite| {
            Ok(all
                .into_iter()
                .filter_map(|(name, sql)| {
                    // What cannot be prepared by itself is a part of others.
                    let mut plan = sqlite.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).ok()?;
                    let steps: Vec<String> =
                        plan.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().ok()?;
                    Some((name, steps))
                })
                .collect::<Vec<_>>())
        })
        .await
        .unwrap();
    let slow: Vec<_> =
        plans.iter().filter(|(_, steps)| steps.iter().any(|step| gone_through(step).is_some())).collect();
    assert!(slow.is_empty(), "{slow:#?}");
    assert!(plans.len() > 130, "statements are found: {}", plans.len());
}
