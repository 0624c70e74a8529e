//! Logs may be as loud as they like: they never tell who somebody is.

use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};

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
