//! Upstreams that are away or refuse us, and the two commands that need none.

use std::net::TcpListener;

use propsync::sandbox::credentials;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::truth::Fate;
use propsync::sandbox::upstream::Upstream;
use serde_json::Value;

use crate::binary::stage::{CONTACTS, Ran, Stage};
use crate::binary::syncs::{books, sum};

fn source<'d>(document: &'d Value, name: &str) -> &'d Value {
    books(document).iter().find(|source| source["name"] == name).expect("a source")
}

/// Somewhere nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn an_upstream_that_is_not_there_is_the_environments_fault_and_stops_only_its_own() {
    // Each sits out its wait, so they sit side by side.
    let [no_propstreet, no_hubspot] = [(31, Upstream::Propstreet), (32, Upstream::HubSpot)].map(|(seed, away)| {
        let stage = Stage::new(seed, 12);
        stage.edit(&stage.url(away), &nowhere());
        let sync = stage.start(&["sync", "--max-wait", "1s", "--json"]);
        (stage, sync)
    });

    let (stage, sync) = no_propstreet;
    let away = stage.end(sync);
    assert_eq!(away.code, Some(3), "{away:?}");
    let document = away.document();
    assert_eq!(books(&document).len(), 3, "a source that failed has its line too");
    let error = &document["error"];
    assert!(error["remedy"].as_str().expect("a remedy").starts_with("nothing is lost: run it again"), "{error}");
    assert!(error["message"].as_str().expect("a message").contains("Propstreet"), "{error}");
    assert_eq!(stage.contacts(), 0);

    let (stage, sync) = no_hubspot;
    let away = stage.end(sync);
    assert_eq!(away.code, Some(3), "{away:?}");
    let document = away.document();
    assert_eq!(source(&document, "hubspot")["complete"], false);
    assert_ne!(source(&document, "hubspot")["error"], Value::Null);
    for other in ["pipedrive", "salesforce"] {
        assert_eq!(source(&document, other)["complete"], true, "{document}");
    }
    assert_eq!(sum(&document, "created"), 24);
    let status = stage.run(&["status"]);
    assert_eq!(status.code, Some(4), "{status:?}");
    assert!(status.stdout.contains("next: propsync sync hubspot\n"), "{status:?}");
}

#[test]
fn a_credential_that_is_revoked_half_way_loses_nobody() {
    let stage = Stage::new(36, 40);
    stage.slow_creates();
    let sync = stage.start(&["sync", "--json"]);
    stage.until("contacts exist", || stage.contacts() >= 10);
    let propstreet = &stage.sandbox.propstreet;
    propstreet.expire_tokens();
    propstreet.refuse_credentials(true);
    let revoked = stage.end(sync);
    assert_eq!(revoked.code, Some(3), "{revoked:?}");
    let document = revoked.document();
    assert_eq!(document["error"]["code"], "credential", "{document}");
    assert!(sum(&document, "created") >= 1, "what was settled before counts: {document}");
    assert!(!stage.sandbox.check().is_clean(), "it was revoked too late to mean anything");

    propstreet.refuse_credentials(false);
    propstreet.faults().clear();
    let renewed = stage.run(&["sync", "--json"]);
    assert!(books(&renewed.document()).iter().all(|source| source["complete"] == true), "{renewed:?}");
    let report = stage.sandbox.check();
    assert!(report.is_clean(), "{report:?}");
}

#[test]
fn a_refused_credential_says_whose_it_is_and_what_to_do() {
    // What is written into the configuration, and whose work then stops.
    let everyone = ["hubspot", "pipedrive", "salesforce"];
    let cases: [(&str, &str, &[&str]); 4] = [
        ("{ file = \"propstreet.secret\" }", "\"not-the-secret\"", &everyone),
        (credentials::SALESFORCE_CLIENT_SECRET, "not-the-secret", &["salesforce"]),
        ("{ env = \"HUBSPOT_TOKEN\" }", "\"not-the-token\"", &["hubspot"]),
        (credentials::PIPEDRIVE_TOKEN, "not-the-token", &["pipedrive"]),
    ];
    for (right, wrong, stopped) in cases {
        let stage = Stage::new(33, 5);
        stage.edit(right, wrong);
        let sync = stage.run(&["sync", "--json"]);
        assert_eq!(sync.code, Some(3), "{sync:?}");
        assert!(!sync.stdout.contains("not-the-"), "{sync:?}");
        let document = sync.document();
        assert_eq!(document["error"]["code"], "credential", "{document}");
        assert_eq!(
            document["error"]["remedy"],
            "mend what the message names, or else renew the secret named in the configuration; then run it again"
        );
        for name in everyone {
            let code = &source(&document, name)["error"]["code"];
            assert_eq!(code == "credential", stopped.contains(&name), "{name}: {document}");
        }
        assert_eq!(stage.contacts(), 5 * (3 - stopped.len()));
        let status = stage.run(&["status"]);
        assert_eq!(status.code, Some(4), "{status:?}");
        let renew = match stopped {
            [name] => format!("next: its credential was refused; renew it, then propsync sync {name}\n"),
            _ => "next: Propstreet's credential was refused; renew it, then propsync sync\n".to_owned(),
        };
        assert_eq!(status.stdout.matches(&renew).count(), 1, "{status:?}");

        stage.edit(wrong, right);
        let renewed = stage.run(&["sync", "--json"]);
        assert_eq!(renewed.code, Some(0), "{renewed:?}");
        assert!(stage.sandbox.check().is_clean());
    }
}

#[test]
fn a_sync_sits_out_a_short_outage() {
    let stage = Stage::new(34, 12);
    let down = Fault::Status { code: 503, retry_after: Some(1) };
    stage.sandbox.propstreet.faults().add(Rule::new(down).path(CONTACTS).times(1));
    let sync = stage.run(&["sync", "--json"]);
    assert_eq!((sync.code, sum(&sync.document(), "created")), (Some(0), 36), "{sync:?}");
    assert!(stage.sandbox.check().is_clean());
}

fn verdict(explained: &Ran) -> String {
    explained.document()["result"]["records"][0]["verdict"].as_str().expect("a verdict").to_owned()
}

#[test]
fn status_and_explain_answer_from_the_ledger_when_all_upstreams_are_gone() {
    let mut stage = Stage::new(35, 40);
    stage.run(&["sync"]);
    let groups = stage.sandbox.truth().groups();
    let before = Upstream::ALL.map(|upstream| requests(&stage, upstream));

    let created = groups.iter().find(|group| group.fate == Fate::OneContact && group.records.len() > 1);
    let created = &created.expect("somebody in several CRMs").records;
    let reference = |at: usize| format!("{}:{}", created[at].reference.namespace, created[at].reference.id);
    let contact = stage.sandbox.propstreet.find(&created[0].reference.namespace, &created[0].reference.id)[0].id;
    let put_aside = groups.iter().find(|group| matches!(group.fate, Fate::Quarantined("invalid_email")));
    let put_aside = &put_aside.expect("somebody in quarantine").records[0].reference;
    stage.take_upstreams_away();

    let status = stage.run(&["status", "--json"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    let status = status.document();
    let sources = status["result"]["sources"].as_array().expect("sources");
    let settled: u64 = sources.iter().filter_map(|source| source["settled"].as_u64()).sum();
    let expected: usize = stage.sandbox.propstreet.contacts().iter().map(|contact| contact.refs.len()).sum();
    assert_eq!(settled, expected as u64, "{status}");

    let there = stage.run(&["explain", &reference(0), "--json"]);
    assert_eq!((there.code, verdict(&there)), (Some(0), format!("in Propstreet as contact {contact}")));
    let by_address = stage.run(&["explain", created[0].forms[0].email.as_deref().expect("an address"), "--json"]);
    let document = by_address.document();
    let told: Vec<&str> = document["result"]["records"]
        .as_array()
        .expect("records")
        .iter()
        .filter_map(|r| r["reference"].as_str())
        .collect();
    for at in 0..created.len() {
        let folded = reference(at).to_lowercase();
        assert!(told.iter().any(|told| folded.starts_with(&told.to_lowercase())), "{folded}: {told:?}");
    }

    let not_there = stage.run(&["explain", &format!("{}:{}", put_aside.namespace, put_aside.id), "--json"]);
    assert_eq!((not_there.code, verdict(&not_there).as_str()), (Some(0), "not in Propstreet: it needs a person"));
    let record = &not_there.document()["result"]["records"][0];
    for (key, text) in [
        ("reason", "invalid_field"),
        ("whose", "the record's"),
        ("remedy", "correct the field in the CRM; it is tried again at its next change"),
    ] {
        assert_eq!(record[key], text, "{record}");
    }

    let unknown = stage.run(&["explain", "hubspot:999999999", "--json"]);
    assert_eq!((unknown.code, &unknown.document()["error"]["code"]), (Some(1), &"unknown_record".into()));
    let nobody = stage.run(&["explain", "nobody@nowhere.example"]);
    assert_eq!((nobody.code, nobody.stdout.as_str()), (Some(1), ""));
    assert_eq!(Upstream::ALL.map(|upstream| requests(&stage, upstream)), before, "nobody was asked");
}

fn requests(stage: &Stage, upstream: Upstream) -> u64 {
    let sandbox = &stage.sandbox;
    match upstream {
        Upstream::Salesforce => sandbox.salesforce.requests().total,
        Upstream::HubSpot => sandbox.hubspot.requests().total,
        Upstream::Pipedrive => sandbox.pipedrive.requests().total,
        Upstream::Propstreet => sandbox.propstreet.requests().total,
    }
}
