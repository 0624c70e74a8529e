//! Logs may be as loud as they like: they never tell who somebody is.

use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::Area;

use crate::binary::stage::{CONTACTS, Stage};

#[test]
fn the_loudest_logs_name_nobody() {
    let stage = Stage::new(41, 60);
    // A lost answer, a garbled one and a gateway's page in the first volley: what makes a program talk.
    let faults = stage.sandbox.propstreet.faults();
    for fault in [Fault::LostAfter, Fault::Garbage, Fault::Html(502)] {
        faults.add(Rule::new(fault).on(Method::POST).path(CONTACTS).times(1));
    }
    // That neither stream names anybody is held for every command, by the stage.
    let troubled = stage.run(&["sync", "-vv"]);
    assert_eq!(troubled.stderr.matches("sync ended").count(), 3, "a line a source: {troubled:?}");
    assert!(!troubled.stderr.contains("Bearer"), "{troubled:?}");
    stage.sandbox.change(20);
    stage.sandbox.clock.put_forward(Duration::from_secs(600));
    let changed = stage.run(&["sync", "-vvv"]);
    assert!(!changed.stderr.contains("Bearer"), "{changed:?}");
}

/// Everybody becomes somebody else, as a clerk's slip may have it; then people decide.
#[test]
fn changes_employers_and_decisions_name_nobody() {
    let stage = Stage::new(44, 30);
    let lines = "on_change = \"update\"\ncompanies = \"link\"\nclear_empty = true\non_delete = \"tag\"\n";
    let text = std::fs::read_to_string(stage.config()).expect("a configuration");
    let text = text.replace("first_run", &format!("{lines}first_run"));
    stage.write("propsync.toml", &text, 0o600);
    stage.sandbox.propstreet.refuse(Area::Links, Some(403));
    stage.run(&["sync", "-vvv"]);
    stage.sandbox.propstreet.refuse(Area::Links, None);
    stage.run(&["sync", "-vvv"]);

    let people: Vec<_> = stage.sandbox.state().into_iter().filter(|known| known.alive).collect();
    for (n, pair) in people.windows(2).enumerate() {
        let (one, other) = (&pair[0], pair[1].person.clone());
        // Some take the next one's address along, which is that one's.
        let email = if n % 6 == 0 { other.email.clone() } else { one.person.email.clone() };
        stage.sandbox.edit(&one.reference, &Person { email, phone: None, mobile: None, ..other });
    }
    stage.sandbox.delete(&people[0].reference);
    stage.sandbox.clock.put_forward(Duration::from_secs(600));
    let changed = stage.run(&["sync", "-vvv"]);
    assert!(changed.stdout.contains("guard = "), "more than may: {changed:?}");
    let settings = text.replace("first_run", "guard = 1000\nfilter = \"false\"\non_filtered = \"tag\"\nfirst_run");
    stage.write("propsync.toml", &text.replace("first_run", "guard = 1000\nfirst_run"), 0o600);
    for arguments in
        [&["sync", "-vvv"][..], &["resync", "hubspot", "--all", "-vvv", "--json"], &["status"], &["doctor"]]
    {
        stage.run(arguments);
    }
    let listed = stage.run(&["quarantine", "list", "--json"]).document();
    let listed = listed["result"].as_array().expect("lines");
    assert!(listed.len() > 5, "{listed:?}");
    for line in listed {
        let reference = line["reference"].as_str().expect("a reference");
        for verb in [&["resolve", reference, "--create-without-email", "-vvv"][..], &["retry", reference, "-vvv"]] {
            stage.run(&[&["quarantine"], verb].concat());
        }
        stage.run(&["explain", reference]);
        stage.run(&["history", reference, "--json"]);
    }
    let reference = listed[0]["reference"].as_str().expect("a reference");
    assert_eq!(stage.run(&["forget", reference, "--yes", "-vvv"]).code, Some(0));
    stage.write("propsync.toml", &settings, 0o600);
    stage.run(&["resync", "pipedrive", "--all", "-vvv"]);
    let events: String = stage.asked("SELECT group_concat(body) FROM events");
    assert!(events.contains("decided") && stage.personal().told_by(&events).is_empty(), "{events}");
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    let stage = Stage::new(42, 0);
    let refused = stage.finish(stage.command(&["sync", "--json"]).env("PROPSYNC_LOG", "propsync=louder"));
    assert_eq!(refused.code, Some(2));
    assert_eq!(refused.document()["error"]["remedy"], "write a level such as debug, or unset it");
}

#[test]
fn the_net_for_personal_data_catches_some() {
    let stage = Stage::new(43, 20);
    let groups = stage.sandbox.truth().groups();
    let person = groups.iter().flat_map(|group| &group.records).map(|known| &known.forms[0]);
    let person = person.into_iter().find(|person| person.mobile.is_some() && person.email.is_some());
    let person = person.expect("somebody with everything");
    let net = stage.personal();
    let line = |told: &str| format!("POST contacts answered 201 for {told}, attempt 1");
    for told in [person.email.as_deref(), person.mobile.as_ref().map(|phone| phone.e164.as_str()), Some(&person.last)] {
        assert!(!net.told_by(&line(told.expect("known"))).is_empty(), "{told:?}");
    }
    assert!(net.told_by(&line("hubspot:12345")).is_empty());
}
