//! What the doctor finds, what it says to do, and that it touches nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;
use propsync::sandbox::credentials;
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::Area;
use propsync::sandbox::upstream::Crm;
use serde_json::Value;

use crate::binary::stage::{Ran, Stage};

/// What was found, plainly and as data, which must say the same; free space is whatever this machine has, and each answer
/// has a name of its own.
fn found(stage: &Stage) -> (Ran, String) {
    let plain = stage.run(&["doctor"]);
    let json = stage.run(&["doctor", "--json"]);
    assert_eq!((plain.code, json.stderr.as_str()), (json.code, ""), "{plain:?} {json:?}");
    let document = json.document();
    for check in document["result"]["checks"].as_array().expect("checks") {
        let keys: Vec<&String> = check.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["remedy", "subject", "verdict", "what"]);
        assert_eq!(check["verdict"] == "ok", check["remedy"] == Value::Null, "no finding without a remedy: {check}");
        let line = check["what"].as_str().expect("a text");
        let differs = [" MiB free ", "clock", "(correlation "].iter().any(|words| line.contains(words));
        let alike = differs || plain.stdout.contains(line);
        assert!(alike, "{line} is not in {}", plain.stdout);
    }
    let masked = stage.masked(&plain.stdout);
    let lines = masked.lines().map(|line| match line.split_once(" MiB free") {
        Some((_, rest)) => format!("ok     ledger         [space] MiB free{rest}"),
        None => match line.split_once(" (correlation ").map(|(before, rest)| (before, rest.split_once(')'))) {
            Some((before, Some((_, after)))) => format!("{before}{after}"),
            _ => line.to_owned(),
        },
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    (plain, text)
}

/// Every file of the stage's folder that a person could miss, with what is in it.
fn files(stage: &Stage) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = std::fs::read_dir(stage.path("")).expect("a folder");
    let paths = folder.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), std::fs::read(path).expect("readable"))).collect()
}

#[test]
fn before_the_first_sync_all_is_well_and_nothing_is_made() {
    let stage = Stage::new(81, 5);
    let before = files(&stage);
    let (ran, text) = found(&stage);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert_snapshot!(text, @"
    ok     configuration  [folder]/propsync.toml is right: 3 sources (hubspot, pipedrive, salesforce)
    note   ledger         there is no ledger at [folder]/ledger.sqlite
                          fix: check ledger.path in the configuration; the first `propsync sync` creates it
    ok     ledger         [space] MiB free in [folder]
    ok     propstreet     answers, and takes the login: http://[Propstreet]/ as oauth_client_sandbox
    ok     hubspot        answers, and takes the login: hubspot 140123456
    ok     hubspot        people can be read as they are mapped
    ok     pipedrive      answers, and takes the login: pipedrive 8123456
    ok     pipedrive      people can be read as they are mapped
    ok     salesforce     answers, and takes the login: salesforce 00DQy00000000bDMAQ
    ok     salesforce     people can be read as they are mapped
    ");
    assert_eq!(files(&stage), before, "no ledger, no lock, no key");
    assert_eq!(stage.writes(), 0);
}

#[test]
fn beside_a_ledger_it_says_who_holds_it_and_writes_nothing() {
    let stage = Stage::new(82, 5);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let (before, writes) = (files(&stage), stage.writes());
    let (ran, text) = found(&stage);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        text.contains("ok     ledger         [folder]/ledger.sqlite can be read: 15 records in Propstreet"),
        "{text}"
    );
    assert_eq!((files(&stage), stage.writes()), (before, writes));

    stage.slow_creates();
    for n in 0..50 {
        stage.sandbox.plant(Crm::HubSpot, &Person { last: format!("Xyzzy{n}"), ..Person::default() });
    }
    stage.sandbox.clock.put_forward(Duration::from_secs(630));
    let mut sync = stage.start(&["sync"]);
    stage.until("it writes", || stage.writes() > writes);
    let beside = stage.run(&["doctor"]);
    assert_eq!(beside.code, Some(0), "{beside:?}");
    assert!(beside.stdout.contains(&format!("in use by process {} on ", sync.pid())), "{beside:?}");
    assert!(beside.stdout.contains("this machine's clock is 10 min behind the server's"), "{beside:?}");
    sync.kill();
    stage.end(sync);
}

#[test]
fn a_refused_credential_another_account_and_a_server_that_is_away() {
    let mut stage = Stage::new(83, 2);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    stage.edit(credentials::PIPEDRIVE_TOKEN, "mistyped");
    stage.tamper("UPDATE bindings SET value = 'hubspot 7 as hubspot' WHERE subject = 'source:hubspot'");
    let (ran, text) = found(&stage);
    assert_eq!(ran.code, Some(2), "an account that is not the ledger's is the configuration's fault: {ran:?}");
    assert_snapshot!(text, @"
    ok     configuration  [folder]/propsync.toml is right: 3 sources (hubspot, pipedrive, salesforce)
    ok     ledger         [folder]/ledger.sqlite can be read: 6 records in Propstreet
    ok     ledger         [space] MiB free in [folder]
    ok     propstreet     answers, and takes the login: http://[Propstreet]/ as oauth_client_sandbox
    ok     hubspot        answers, and takes the login: hubspot 140123456
    fault  hubspot        source:hubspot is bound to hubspot 7 as hubspot and now answers as hubspot 140123456 as hubspot
                          fix: point base_url, the credential and the namespace back to the account this ledger was made with, or use another ledger.path for the new one
    ok     hubspot        people can be read as they are mapped
    fault  pipedrive      credential refused: Pipedrive answered HTTP 401 Unauthorized: unauthorized access, Please check developers.pipedrive.com: the token was made anew or is mistyped, or its user may not use the API any more (copy the token from Settings, Personal preferences, API, and allow that user's permission set the API)
                          fix: mend what the message names, or else renew the secret named in the configuration; then run it again
    ok     salesforce     answers, and takes the login: salesforce 00DQy00000000bDMAQ
    ok     salesforce     people can be read as they are mapped
    ");
    stage.tamper("UPDATE bindings SET value = 'hubspot 140123456 as hubspot' WHERE subject = 'source:hubspot'");

    stage.take_upstreams_away();
    let ran = stage.run(&["doctor"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for subject in ["propstreet", "hubspot", "pipedrive", "salesforce"] {
        assert!(ran.stdout.contains(&format!("fault  {subject}")), "{subject}: {ran:?}");
    }
}

#[test]
fn a_field_that_is_hidden_is_told_once() {
    let stage = Stage::new(86, 1);
    stage.sandbox.salesforce.hide_field("Email");
    let (ran, text) = found(&stage);
    assert_eq!((ran.code, text.matches("reads Email of Contact").count()), (Some(3), 1), "{text}");
    assert!(text.contains("ok     salesforce     answers"), "what was well before is told as well: {text}");
}

#[test]
fn a_field_that_only_a_filter_reads_is_looked_for_too() {
    for (seed, kind, field) in
        [(88, "salesforce", "HasOptedOut"), (89, "hubspot", "opted_out"), (90, "pipedrive", "labelz")]
    {
        let stage = Stage::new(seed, 1);
        let section = format!("kind = \"{kind}\"\n");
        stage.edit(&section, &format!("{section}filter = \"not {field}\"\n"));
        let (ran, text) = found(&stage);
        assert_eq!((ran.code, text.matches(&format!("fault  {kind:<14} ")).count()), (Some(3), 1), "{text}");
        assert!(text.contains(&format!("reads {field}")) && text.contains("the filter"), "{text}");
    }
}

#[test]
fn a_tenant_that_keeps_its_companies_to_itself_is_told_of() {
    let stage = Stage::new(91, 1);
    stage.sandbox.propstreet.refuse(Area::Companies, Some(403));
    assert!(!found(&stage).1.contains("companies"), "nobody wants any");
    stage.edit("kind = \"hubspot\"\n", "kind = \"hubspot\"\ncompanies = \"link\"\n");
    let (ran, text) = found(&stage);
    assert_eq!(ran.code, Some(0), "contacts go on: {text}");
    assert!(text.contains("note   propstreet     refuses calls on companies ("), "{text}");
    assert!(text.contains("or set companies = \"off\""), "{text}");
    stage.sandbox.propstreet.refuse(Area::Companies, None);
    assert!(!found(&stage).1.contains("calls on companies"));
}

/// HubSpot leaves out what it does not know, and answers as if nothing were amiss.
#[test]
fn whom_no_sync_would_read_nobody_calls_readable() {
    let stage = Stage::new(87, 1);
    stage.sandbox.hubspot.archive_property("jobtitle");
    let (ran, text) = found(&stage);
    assert_eq!((ran.code, text.matches("the map reads jobtitle").count()), (Some(3), 1), "{text}");
    assert!(!text.contains("hubspot        people can be read"), "{text}");
    assert!(text.contains("pipedrive      people can be read"), "{text}");
}

#[test]
fn a_wrong_configuration_is_listed_fault_by_fault_and_the_ledger_is_looked_at_all_the_same() {
    let stage = Stage::new(84, 1);
    stage.run(&["sync"]);
    stage.write("propstreet.secret", credentials::PROPSTREET_CLIENT_SECRET, 0o644);
    let (ran, text) = found(&stage);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_snapshot!(text, @"
    fault  configuration  [folder]/propsync.toml:3:100: propstreet.auth.client_secret.file: the file [folder]/propstreet.secret can be read by others (mode 0644)
                          fix: chmod 600 [folder]/propstreet.secret (in a container: mount the secret with mode 0400)
    ok     ledger         [folder]/ledger.sqlite can be read: 3 records in Propstreet
    ok     ledger         [space] MiB free in [folder]
    ");
    assert_snapshot!(ran.stderr, @"
    error: 1 fault, 0 notes
        fix: mend what is listed, then look again: propsync doctor
    ");
    stage.edit("region = \"SE\"", "regoin = \"SE\"");
    let (ran, text) = found(&stage);
    assert_eq!((ran.code, text.matches("fault  configuration").count()), (Some(2), 2), "{text}");
    let nowhere = stage.finish(&mut stage.bare(&["doctor", "--config", "nowhere.toml"]));
    assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
}

#[test]
fn a_ledger_that_no_sync_could_use() {
    let stage = Stage::new(85, 0);
    stage.edit("path = \"ledger.sqlite\"", "path = \"nowhere/ledger.sqlite\"");
    let (ran, text) = found(&stage);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(text.contains("fault  ledger         nothing can be written in [folder]/nowhere: No such file"), "{text}");
    stage.edit("path = \"nowhere/ledger.sqlite\"", "path = \"ledger.sqlite\"");
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    stage.protect("ledger.sqlite.key", 0o644);
    let (ran, text) = found(&stage);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(text.contains("fix: chmod 600 the key file"), "{text}");
}
