//! Syncs from a shell: everyone once, then nobody.

use propsync::sandbox::truth::Fate;
use serde_json::Value;

use crate::binary::stage::Stage;

const OUTCOMES: [&str; 8] =
    ["created", "adopted", "linked", "updated", "unchanged", "skipped", "quarantined", "deferred"];

/// The books of every source, which must balance.
pub fn books(document: &Value) -> &[Value] {
    let sources = document["result"]["sources"].as_array().expect("sources");
    for source in sources {
        let sum: u64 = OUTCOMES.iter().map(|outcome| source[outcome].as_u64().expect("a count")).sum();
        assert_eq!(source["read"], sum, "{source}");
    }
    sources
}

/// The sum of one column.
pub fn sum(document: &Value, column: &str) -> u64 {
    books(document).iter().map(|source| source[column].as_u64().expect("a count")).sum()
}

#[test]
fn the_first_sync_creates_everyone_once_and_the_second_writes_nothing() {
    let stage = Stage::new(5, 60);
    let first = stage.run(&["sync", "--json"]);
    let document = first.document();
    assert_eq!(first.code, Some(4), "some people need a person, and a newly quarantined record says so: {first:?}");
    assert_eq!(document["command"], "sync");
    assert_eq!(document["error"], Value::Null, "{document}");
    assert_eq!(first.stderr, "");
    let report = stage.sandbox.check();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(sum(&document, "read"), 180);
    assert_eq!(sum(&document, "created"), stage.contacts() as u64);
    assert_eq!(sum(&document, "quarantined"), report.expected_quarantined as u64);
    for source in books(&document) {
        assert_eq!((&source["complete"], &source["error"]), (&Value::Bool(true), &Value::Null), "{source}");
        assert!(source["requests"]["crm"].as_u64() > Some(0) && source["seconds"].as_f64() > Some(0.0), "{source}");
    }

    let before = stage.writes();
    let second = stage.run(&["sync", "--json"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(sum(&second.document(), "created"), 0);
    assert_eq!(stage.writes(), before, "a second sync has nothing to say to Propstreet");
}

#[test]
fn someone_in_several_crms_becomes_one_contact_with_every_reference() {
    let stage = Stage::new(6, 40);
    stage.run(&["sync"]);
    let groups = stage.sandbox.truth().groups();
    let several: Vec<_> =
        groups.iter().filter(|group| group.fate == Fate::OneContact && group.records.len() > 1).collect();
    assert!(!several.is_empty());
    for group in several {
        let ids: Vec<Vec<u64>> = group
            .records
            .iter()
            .map(|known| stage.sandbox.propstreet.find(&known.reference.namespace, &known.reference.id))
            .map(|contacts| contacts.iter().map(|contact| contact.id).collect())
            .collect();
        assert!(ids[0].len() == 1 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

#[test]
fn only_the_named_sources_are_read_and_the_rest_follows() {
    let stage = Stage::new(7, 12);
    let one = stage.run(&["sync", "pipedrive", "--json"]).document();
    assert_eq!(books(&one).len(), 1);
    assert_eq!(one["result"]["sources"][0]["name"], "pipedrive");
    assert_eq!(stage.contacts(), 12);
    let rest = stage.run(&["sync"]);
    assert_eq!(rest.code, Some(0), "{rest:?}");
    assert!(rest.stdout.ends_with("3 sources: 24 read, 24 created\n"), "{rest:?}");
    assert!(stage.sandbox.check().is_clean());
}

#[test]
fn changes_in_the_crms_arrive_with_a_later_sync() {
    let stage = Stage::new(8, 15);
    stage.run(&["sync"]);
    let changes = stage.sandbox.change(12);
    stage.sandbox.clock.put_forward(std::time::Duration::from_secs(600));
    let later = stage.run(&["sync", "--json"]);
    assert_eq!(sum(&later.document(), "created"), changes.added as u64, "{changes:?} {later:?}");
    assert_eq!(sum(&later.document(), "linked"), changes.met_again as u64, "{changes:?} {later:?}");
    assert!(stage.sandbox.check().is_clean());
}
