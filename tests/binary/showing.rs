//! What can be tried without an account: the demonstration, and the sandbox as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::ChildStdout;

use propsync::sandbox::credentials;
use serde_json::Value;

use crate::binary::stage::{Running, Stage, shown};
use crate::binary::syncs::{books, sum};

#[test]
fn the_demonstration_proves_itself_and_its_hints_work() {
    let stage = Stage::new(1, 0);
    let demo = stage.finish(&mut stage.bare(&["demo", "--contacts", "60", "--seed", "3"]));
    assert_eq!(demo.code, Some(0), "{demo:?}");
    assert_eq!(demo.stderr, "");
    let (_, next) =
        demo.stdout.split_once("\n3 checks hold: missing 0, duplicates 0. What to try next:\n").expect("proof");
    let lines: Vec<&str> = next.lines().map(str::trim).collect();
    let [status, explain, ledger] = lines[..] else { panic!("{lines:?}") };
    assert!(Path::new(ledger.trim_start_matches("the ledger lies in ")).is_file(), "{ledger}");
    for hint in [status, explain] {
        let words: Vec<&str> = hint.split(' ').collect();
        assert_eq!(words[0], env!("CARGO_BIN_EXE_propsync"));
        let tried = stage.finish(&mut stage.bare(&words[1..]));
        assert_eq!((tried.code, tried.stderr.as_str()), (Some(0), ""), "{hint}: {tried:?}");
    }
}

#[test]
fn the_demonstration_answers_programs_too() {
    let stage = Stage::new(1, 0);
    let demo = stage.finish(&mut stage.bare(&["demo", "--contacts", "25", "--seed", "4", "--json"]));
    assert_eq!(demo.code, Some(0), "{demo:?}");
    let document = demo.document();
    let result = &document["result"];
    assert_eq!((&result["missing"], &result["duplicates"]), (&Value::from(0), &Value::from(0)));
    assert!(result["checks"].as_array().expect("checks").iter().all(|check| check["holds"] == true), "{result}");
    assert_eq!(result["backfill"]["sources"].as_array().map(Vec::len), Some(3));
}

/// The document that a command prints before it goes on, and what may follow it.
fn first_document(running: &mut Running) -> (Value, BufReader<ChildStdout>) {
    let mut stdout = BufReader::new(running.child().stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    (serde_json::from_str(&line).expect("one document"), stdout)
}

#[test]
fn the_demonstration_goes_on_serving_where_that_is_wished() {
    let stage = Stage::new(1, 0);
    let mut demo = stage.spawn(&mut stage.bare(&["demo", "--contacts", "10", "--serve", "--json"]));
    let (document, mut more) = first_document(&mut demo);
    let next = document["result"]["next"].as_array().expect("hints");
    let sync = next.iter().filter_map(Value::as_str).find(|hint| hint.contains(" sync ")).expect("a sync to try");
    let (sync, _) = sync.split_once("   ").expect("a word on why");
    let words: Vec<&str> = sync.split(' ').collect();
    let synced = stage.finish(&mut stage.bare(&words[1..]));
    assert_eq!(synced.code, Some(0), "{synced:?}");
    demo.signal("INT");
    assert_eq!(stage.end(demo).code, Some(130));
    let mut rest = String::new();
    more.read_to_string(&mut rest).expect("an end");
    assert_eq!(rest, "", "one document, also when a signal ends it");
}

#[test]
fn the_sandbox_serves_another_process_until_it_is_told_to_end() {
    let stage = Stage::new(1, 0);
    let mut command = stage.bare(&["sandbox", "--port-base", "0", "--contacts", "10", "--json"]);
    let mut sandbox = stage.spawn(&mut command);
    let (document, _) = first_document(&mut sandbox);
    assert_eq!((&document["command"], &document["ok"]), (&"sandbox".into(), &true.into()));
    assert_eq!(document["result"]["upstreams"].as_array().map(Vec::len), Some(4));
    let config = document["result"]["config"].as_str().expect("a path").to_owned();
    assert!(config.starts_with(&shown(&stage.path(""))), "it writes where temporary files belong: {config}");

    let check = stage.finish(&mut stage.bare(&["config", "check", "--config", &config]));
    assert_eq!(check.code, Some(0), "{check:?}");
    assert!(check.stdout.ends_with("is right: 3 sources (hubspot, pipedrive, salesforce)\n"), "{check:?}");
    let sync = stage.finish(&mut stage.bare(&["sync", "--json", "--config", &config]));
    assert_eq!(sync.code, Some(0), "{sync:?}");
    assert_eq!(sum(&sync.document(), "created"), 30);
    let again = stage.finish(&mut stage.bare(&["sync", "--json", "--config", &config]));
    assert_eq!(sum(&again.document(), "created"), 0, "{again:?}");
    assert_eq!(books(&again.document()).len(), 3);

    let written = std::fs::read_to_string(&config).expect("a configuration");
    let mut tried = written.clone();
    for (kind, token) in [("token", credentials::HUBSPOT_TOKEN), ("api_token", credentials::PIPEDRIVE_TOKEN)] {
        let token = format!("auth = {{ kind = \"{kind}\", token = \"{token}\" }}\n");
        assert!(tried.contains(&token), "{written}");
        tried = tried.replace(&token, "");
    }
    let choices = ["on_change", "clear_empty", "companies", "filter", "on_filtered", "on_delete", "write_back"];
    for (key, sources) in [("auth", 2)].into_iter().chain(choices.map(|key| (key, 3))) {
        assert_eq!(tried.matches(&format!("\n# {key}")).count(), sources, "{key}: {written}");
        tried = tried.replace(&format!("\n# {key}"), &format!("\n{key}"));
    }
    std::fs::write(&config, tried).expect("a configuration");
    let sync = stage.finish(&mut stage.bare(&["sync", "--json", "--config", &config]));
    assert_eq!(sync.code, Some(0), "what it offers to try can be tried: {sync:?}");

    sandbox.signal("TERM");
    let ended = stage.end(sandbox);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(143), ""));
}

#[test]
fn a_taken_port_is_an_answer_with_a_remedy() {
    let stage = Stage::new(1, 0);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let refused = stage.finish(&mut stage.bare(&["sandbox", "--port-base", &port, "--json"]));
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let error = &refused.document()["error"];
    assert_eq!(
        (&error["code"], &error["remedy"]),
        (&"no_ports".into(), &"choose other ports with --port-base, or end what listens there".into())
    );
}
