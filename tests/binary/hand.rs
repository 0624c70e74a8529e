//! What a person decides by hand, as a shell sees it.

use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::Area;
use propsync::sandbox::upstream::Crm;
use serde_json::Value;

use crate::binary::stage::Stage;

fn person(first: &str, last: &str, email: &str) -> Person {
    let (first, last, email) = (first.to_owned(), last.to_owned(), Some(email.to_owned()));
    Person { first, last, email, ..Person::default() }
}

#[test]
fn a_record_is_put_aside_decided_about_told_of_and_forgotten() {
    let stage = Stage::new(61, 0);
    let plant = |last| stage.sandbox.plant(Crm::HubSpot, &person("Quirina", last, "quirina@zyx.example"));
    let (one, other) = (plant("Xylander"), plant("Ytterholm"));
    assert_eq!(stage.run(&["sync"]).code, Some(4));
    let listed = stage.run(&["quarantine", "list", "--json"]).document();
    let lines = listed["result"].as_array().expect("lines");
    assert_eq!((lines.len(), &lines[0]["reason"]), (1, &Value::from("same_source_email")));
    let aside = lines[0]["reference"].as_str().expect("a reference").to_owned();
    assert!([&one, &other].iter().any(|known| aside == format!("hubspot:{}", known.id)));
    assert!(stage.run(&["quarantine", "list"]).stdout.contains("--create-without-email"));

    let misfit = stage.run(&["quarantine", "resolve", &aside, "--link"]);
    assert_eq!(misfit.code, Some(2), "{misfit:?}");
    assert!(misfit.stderr.contains("email_taken") && misfit.stderr.contains("propsync explain"), "{misfit:?}");
    let resolved = stage.run(&["quarantine", "resolve", &aside, "--create-without-email", "--json"]);
    assert_eq!(resolved.code, Some(0), "{resolved:?}");
    assert_eq!(resolved.document()["result"]["sources"][0]["created"], 1);
    assert_eq!(stage.contacts(), 2);
    assert!(stage.run(&["history", &aside]).stdout.contains("decided: by hand: it goes without its address"));
    let retried = stage.run(&["quarantine", "retry", &aside]);
    assert_eq!(retried.code, Some(1), "{retried:?}");

    let unasked = stage.run(&["forget", &aside]);
    assert_eq!((unasked.code, unasked.stdout.as_str()), (Some(2), ""), "{unasked:?}");
    let forgotten = stage.run(&["forget", &aside, "--yes"]);
    assert_eq!(forgotten.code, Some(0), "{forgotten:?}");
    assert!(forgotten.stdout.contains("delete in Propstreet by hand: contact "), "{forgotten:?}");
    let explained = stage.run(&["explain", &aside]);
    assert!(explained.stdout.contains(": forgotten on ") && explained.stdout.lines().count() == 1, "{explained:?}");
    assert_eq!(stage.run(&["history", &aside]).code, Some(1));
    let again = stage.run(&["forget", &aside, "--yes"]);
    assert!(again.code == Some(0) && again.stdout.contains("was forgotten before"), "{again:?}");
}

#[test]
fn a_resync_answers_as_a_sync_does() {
    let stage = Stage::new(62, 5);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let writes = stage.writes();
    let all = stage.run(&["resync", "hubspot", "--all", "--json"]);
    assert_eq!(all.code, Some(0), "{all:?}");
    assert_eq!(all.document()["result"]["sources"][0]["read"], 5);
    assert_eq!(stage.writes(), writes);
    for misused in [
        &["resync", "hubspot"][..],
        &["resync", "hubspot", "--all", "--id", "1"],
        &["resync", "hubspot", "--since", "2026-11-24T08:00:00"],
        &["resync", "hubspot", "--until", "2h", "--all"],
        &["resync", "hubspto", "--all"],
        &["quarantine", "resolve", "hubspot:1"],
        &["quarantine", "resolve", "hubspot:1", "--link", "--detach"],
        &["quarantine", "retry"],
        &["quarantine", "list", "--source", "hubspto"],
        &["history", "12345"],
    ] {
        let ran = stage.run(misused);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{misused:?}: {ran:?}");
    }
}

#[test]
fn whose_employer_waits_is_told_why_until_it_is_there() {
    let stage = Stage::new(63, 12);
    stage.edit("kind = \"hubspot\"\n", "kind = \"hubspot\"\ncompanies = \"link\"\n");
    stage.sandbox.propstreet.refuse(Area::Companies, Some(403));
    assert!(stage.run(&["sync"]).stdout.contains("hubspot: Propstreet refuses calls on companies ("));
    let waiting = "SELECT namespace || ':' || id FROM refs WHERE pending_employment = 1 AND state = 'settled' LIMIT 1";
    let reference: String = stage.asked(waiting);
    let explained = stage.run(&["explain", &reference]);
    assert!(explained.stdout.contains("    employer: not in Propstreet yet: "), "{explained:?}");
    assert!(stage.run(&["status"]).stdout.contains("employers of hubspot: "));
    stage.sandbox.propstreet.refuse(Area::Companies, None);
    stage.run(&["sync", "hubspot"]);
    stage.run(&["sync", "hubspot"]);
    assert!(!stage.run(&["explain", &reference]).stdout.contains("employer: not"), "{reference}");
}
