//! Everything a person can get wrong before anything is sent. Each case is asked twice, plainly and with `--json`, and
//! must give the same code, the same words and the same remedy.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use insta::assert_snapshot;
use propsync::sandbox::faults::{Fault, Rule};

use crate::binary::stage::{CONTACTS, Ran, Stage};

/// What a refused command says on stderr, which is what its document says too, with its exit code before it.
fn refused(stage: &Stage, arguments: &[&str]) -> String {
    refused_by(stage, || stage.command(arguments))
}

/// The same refusal from two commands.
fn refused_alike(stage: &Stage, [one, other]: [&[&str]; 2]) -> String {
    let said = refused(stage, one);
    assert_eq!(refused(stage, other), said);
    said
}

fn refused_by(stage: &Stage, command: impl Fn() -> Command) -> String {
    let plain = stage.finish(&mut command());
    let json = stage.finish(command().arg("--json"));
    assert_eq!((plain.code, plain.stdout.as_str()), (json.code, ""), "{plain:?} {json:?}");
    assert_eq!(json.stderr, "");
    let document = json.document();
    assert_eq!(document["result"], serde_json::Value::Null, "{document}");
    let word = |key: &str| document["error"][key].as_str().expect("a text").to_owned();
    let said = stage.masked(&format!("error: {}\n    fix: {}\n", word("message"), word("remedy")));
    assert_eq!(stage.masked(&plain.stderr), said);
    format!("{} {}\n{said}", plain.code.expect("an exit"), word("code"))
}

#[test]
fn a_configuration_that_is_not_there_or_no_toml() {
    let stage = Stage::new(51, 0);
    let with = |path: &str| refused_by(&stage, || stage.bare(&["sync", "--config", path]));
    assert_snapshot!(with("nowhere.toml"), @"
    2 config_not_found
    error: the configuration nowhere.toml cannot be read: No such file or directory (os error 2)
        fix: correct the path, or let the user that runs propsync read the file
    ");
    assert_snapshot!(with("."), @"
    3 config_unreadable
    error: the configuration . cannot be read: Is a directory (os error 21)
        fix: correct the path, or let the user that runs propsync read the file
    ");
    stage.write("broken.toml", "[propstreet\nbase_url = 1", 0o600);
    assert_snapshot!(with("broken.toml"), @"
    2 config_invalid
    error: 1 fault in broken.toml:
    broken.toml:1:12: not TOML: unclosed table, expected `]`
        fix: correct the line; texts stand in double quotes, sections in [brackets]
        fix: correct the faults listed above, then try again: propsync config check
    ");
    // A machine on which propsync is installed has one.
    if !Path::new("/etc/propsync/propsync.toml").exists() {
        assert_snapshot!(refused_by(&stage, || stage.bare(&["status"])), @"
        2 config_not_found
        error: no configuration found; looked for /etc/propsync/propsync.toml and config/propsync.toml
            fix: name one with --config or PROPSYNC_CONFIG; config/example.toml shows every key
        ");
    }
}

#[test]
fn keys_that_are_unknown_or_not_built() {
    let stage = Stage::new(52, 0);
    stage.edit("region = \"SE\"", "regoin = \"SE\"");
    stage.edit("[ledger]\n", "[ledger]\nbackup = true\n");
    stage.edit("kind = \"pipedrive\"\n", "kind = \"pipedrive\"\nsweep = \"daily\"\n");
    assert_snapshot!(refused(&stage, &["sync"]), @"
    2 config_invalid
    error: 3 faults in [folder]/propsync.toml:
    [folder]/propsync.toml:6:1: ledger.backup: unknown key
        fix: remove it; known here: path
    [folder]/propsync.toml:14:1: sources.salesforce.regoin: unknown key
        fix: did you mean `region`?
    [folder]/propsync.toml:25:1: sources.pipedrive.sweep: `sweep` is planned but not built into this version
        fix: remove it
        fix: correct the faults listed above, then try again: propsync config check
    ");
}

#[test]
fn config_check_lists_every_fault_as_data_too() {
    let stage = Stage::new(53, 0);
    stage.edit("region = \"SE\"", "region = \"Sweden\"");
    stage.edit("first_run = \"backfill\"", "first_run = \"both\"");
    let plain = stage.run(&["config", "check"]);
    assert_eq!(plain.code, Some(2), "{plain:?}");
    assert_snapshot!(stage.masked(&plain.stdout), @r#"
    [folder]/propsync.toml:12:13: sources.salesforce.first_run: `both` is none of its values
        fix: write "backfill" or "from_now"
    [folder]/propsync.toml:13:10: sources.salesforce.region: `Sweden` is no region
        fix: write a country of ISO 3166-1 alpha-2, such as "SE" or "GB"
    "#);
    assert_snapshot!(stage.masked(&plain.stderr), @"
    error: 2 faults in [folder]/propsync.toml
        fix: correct what is listed, then check again
    ");
    let document = stage.run(&["config", "check", "--json"]).document();
    assert_eq!(document["result"]["faults"].as_array().map(Vec::len), Some(2), "{document}");
    assert_eq!(document["error"]["code"], "config_invalid");
}

#[test]
fn secrets_that_are_missing_or_open_to_others() {
    let stage = Stage::new(54, 0);
    stage.write("propstreet.secret", "secret_sandbox", 0o644);
    assert_snapshot!(refused(&stage, &["sync"]), @"
    2 config_invalid
    error: 1 fault in [folder]/propsync.toml:
    [folder]/propsync.toml:3:100: propstreet.auth.client_secret.file: the file [folder]/propstreet.secret can be read by others (mode 0644)
        fix: chmod 600 [folder]/propstreet.secret (in a container: mount the secret with mode 0400)
        fix: correct the faults listed above, then try again: propsync config check
    ");
    std::fs::remove_file(stage.path("propstreet.secret")).expect("removed");
    assert_snapshot!(refused(&stage, &["sync"]), @"
    2 config_invalid
    error: 1 fault in [folder]/propsync.toml:
    [folder]/propsync.toml:3:100: propstreet.auth.client_secret.file: the file [folder]/propstreet.secret does not exist
        fix: create it with the secret as its only line, mode 0600
        fix: correct the faults listed above, then try again: propsync config check
    ");
    stage.write("propstreet.secret", "secret_sandbox", 0o600);
    let unset = refused_by(&stage, || {
        let mut command = stage.command(&["sync"]);
        command.env_remove("HUBSPOT_TOKEN");
        command
    });
    assert_snapshot!(unset, @r#"
    2 config_invalid
    error: 1 fault in [folder]/propsync.toml:
    [folder]/propsync.toml:18:42: sources.hubspot.auth.token.env: names a variable that is not set
        fix: set it for the process that runs propsync, or use { file = "PATH" }
        fix: correct the faults listed above, then try again: propsync config check
    "#);
}

#[test]
fn a_ledger_of_another_version_or_without_its_key() {
    let stage = Stage::new(55, 2);
    assert_snapshot!(refused_alike(&stage, [&["status"], &["explain", "hubspot:1"]]), @"
    3 ledger_not_there
    error: there is no ledger at [folder]/ledger.sqlite
        fix: check ledger.path in the configuration; the first `propsync sync` creates it
    ");
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let version: u32 = stage.asked("PRAGMA user_version");
    let checksum: String = stage.asked("SELECT sha256 FROM schema_migrations WHERE version = 1");

    stage.tamper("PRAGMA user_version = 900");
    assert_snapshot!(refused_alike(&stage, [&["sync"], &["status"]]), @"
    3 ledger_newer
    error: the ledger has schema 900, this program knows 9
        fix: run the version of propsync that wrote it, or a newer one
    ");
    stage.tamper(&format!("PRAGMA user_version = {version}"));

    stage.tamper("UPDATE schema_migrations SET sha256 = 'another' WHERE version = 1");
    assert_snapshot!(refused_alike(&stage, [&["sync"], &["status"]]), @"
    3 ledger_edited
    error: migration 0001_ledger.sql of the ledger differs from this program's
        fix: run an unmodified release of propsync, or restore the backup made before the migration
    ");
    stage.tamper(&format!("UPDATE schema_migrations SET sha256 = '{checksum}' WHERE version = 1"));

    let key = stage.path("ledger.sqlite.key");
    let kept = std::fs::read(&key).expect("a key");
    std::fs::remove_file(&key).expect("removed");
    assert_snapshot!(refused_alike(&stage, [&["sync"], &["status"]]), @"
    3 ledger_key_missing
    error: the key file [folder]/ledger.sqlite.key is missing
        fix: restore the key file from the backup it was saved with; without it, move the ledger aside and sync anew
    ");
    assert!(!key.exists(), "a new key would make every hash a stranger's");
    std::fs::write(&key, &kept).expect("restored");
    stage.protect("ledger.sqlite.key", 0o644);
    assert_snapshot!(refused(&stage, &["sync"]), @"
    3 ledger_key_exposed
    error: the key file [folder]/ledger.sqlite.key can be read by others
        fix: chmod 600 the key file
    ");
    stage.protect("ledger.sqlite.key", 0o600);
    assert_eq!(stage.run(&["sync"]).code, Some(0), "all is well again");
}

#[test]
fn a_ledger_that_another_process_holds() {
    let stage = Stage::new(56, 30);
    stage.sandbox.propstreet.faults().add(Rule::new(Fault::Delay(Duration::from_secs(30))).path(CONTACTS));
    let mut first = stage.start(&["sync"]);
    stage.until("the first one calls Propstreet", || stage.sandbox.propstreet.requests().of("GET contacts") > 0);
    let said = refused(&stage, &["sync"]);
    let pid = first.pid().to_string();
    insta::with_settings!({ filters => vec![
        (pid.as_str(), "[pid]"),
        (r" on \S+ \(boot [0-9a-z-]+\), since [0-9: -]+ UTC", " on [host] (boot [id]), since [time] UTC"),
    ] }, {
        assert_snapshot!(said, @"
        3 ledger_held
        error: the ledger is in use by process [pid] on [host] (boot [id]), since [time] UTC
            fix: wait until that process has ended, or end it
        ");
    });
    assert!(said.contains(&format!("process {pid} on ")), "{said}");
    let beside = stage.run(&["status"]);
    assert_eq!((beside.code, beside.stderr.as_str()), (Some(0), ""), "reading beside the writer is fine");
    assert!(first.child().try_wait().expect("a state").is_none(), "it ended before the second one asked");
    first.kill();
    stage.end(first);
    stage.sandbox.propstreet.faults().clear();
    let freed = stage.run(&["sync"]);
    assert!(freed.stderr.is_empty(), "a dead holder holds nothing: {freed:?}");
}

#[test]
fn a_command_line_that_means_nothing() {
    let stage = Stage::new(57, 0);
    assert_snapshot!(refused(&stage, &["sync", "hubspto"]), @"
    2 unknown_source
    error: no source is called hubspto
        fix: did you mean hubspot?
    ");
    assert_snapshot!(refused(&stage, &["sync", "dynamics"]), @"
    2 unknown_source
    error: no source is called dynamics
        fix: configured are: hubspot, pipedrive, salesforce
    ");

    // What clap refuses is followed by usage for people; a program gets the first paragraph.
    let misused = |arguments: &[&str]| {
        let plain: Ran = stage.run(arguments);
        let json = stage.run(&[arguments, &["--json"]].concat());
        assert_eq!((plain.code, plain.stdout.as_str(), json.code), (Some(2), "", Some(2)), "{plain:?}");
        let document = json.document();
        assert_eq!((&document["command"], &document["error"]["code"]), (&"propsync".into(), &"usage".into()));
        let message = document["error"]["message"].as_str().expect("a message");
        assert!(plain.stderr.starts_with(&format!("error: {message}")), "{plain:?}");
        format!("{message}\n    fix: {}", document["error"]["remedy"].as_str().expect("a remedy"))
    };
    assert_snapshot!(misused(&["sync", "--max-wait", "90"]), @"
    invalid value '90' for '--max-wait <SPAN>': write a whole number with its unit: 90s, 2m, 1h, 3d
        fix: see propsync --help
    ");
    assert_snapshot!(misused(&["synch"]), @"
    unrecognized subcommand 'synch'
        fix: some similar subcommands exist: 'resync', 'sync'
    ");
    assert_snapshot!(misused(&["explain", "12345"]), @"
    invalid value '12345' for '<NS:ID or E-MAIL>': write NAMESPACE:ID, for example hubspot:12345, or an e-mail address
        fix: see propsync --help
    ");
    assert_snapshot!(misused(&["demo", "--contacts", "0"]), @"
    invalid value '0' for '--contacts <N>': 0 is not in 1..=1000000
        fix: see propsync --help
    ");
    assert_snapshot!(misused(&["sandbox", "--port-base", "80"]), @"
    invalid value '80' for '--port-base <P>': write 0, or a port from 1024 to 65532
        fix: see propsync --help
    ");
}

#[test]
fn a_ledger_that_cannot_be_made() {
    let stage = Stage::new(58, 0);
    stage.write("file", "", 0o600);
    stage.edit("path = \"ledger.sqlite\"", "path = \"file/ledger.sqlite\"");
    assert_snapshot!(refused(&stage, &["sync"]), @"
    3 ledger_io
    error: cannot open [folder]/file/ledger.sqlite.lock: Not a directory (os error 20)
        fix: check that the directory exists, its owner, its rights and the free space of its disk
    ");
    stage.edit("path = \"file/ledger.sqlite\"", "path = \"nowhere/ledger.sqlite\"");
    assert_snapshot!(refused(&stage, &["sync"]), @"
    3 ledger_io
    error: cannot open [folder]/nowhere/ledger.sqlite.lock: No such file or directory (os error 2)
        fix: check that the directory exists, its owner, its rights and the free space of its disk
    ");
}

#[test]
fn help_and_version_go_to_stdout_and_are_fine() {
    let stage = Stage::new(59, 0);
    for arguments in [&["--help"][..], &["--version"], &["help", "sync"], &["explain", "--help"]] {
        let asked = stage.finish(&mut stage.bare(arguments));
        assert_eq!((asked.code, asked.stderr.as_str()), (Some(0), ""), "{asked:?}");
        assert!(asked.stdout.contains("propsync"), "{asked:?}");
    }
    let nothing = stage.finish(&mut stage.bare(&[]));
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(2), ""), "{nothing:?}");
    assert!(nothing.stderr.contains("propsync demo"), "a way to begin: {nothing:?}");
}
