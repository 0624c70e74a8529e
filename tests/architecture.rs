//! Holds the import table and the size bounds. A wrong import fails with its file, line, rule and reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, its inline tests not counted.
const MAX_FILE: usize = 500;
/// Longest function.
const MAX_FUNCTION: usize = 70;

/// Room, what it may import, and why no more.
const RULES: &[(&str, &[&str], &str)] = &[
    ("domain", &[], "values and decisions know no I/O, no clock and nothing of ours"),
    ("clock", &["domain"], "time needs the word Timestamp and nothing else"),
    ("telemetry", &[], "logs know nothing of ours"),
    ("mapping", &["domain"], "rules are data: no HTTP, no SQL; a CRM is a name and its table of defaults"),
    ("http", &["domain", "clock"], "the client knows no CRM, no Propstreet, no ledger"),
    ("ledger", &["domain"], "the ledger does not know who calls it"),
    ("sync", &["domain", "mapping", "ledger", "clock"], "the engine knows no CRM, no HTTP, no configuration"),
    ("crm", &["domain", "http", "clock", "sync::source"], "an adapter knows no ledger, no mapping, no Propstreet"),
    ("propstreet", &["domain", "http", "clock", "sync::destination"], "the client knows no CRM, no ledger, no mapping"),
    ("scheduler", &["clock", "domain"], "it says when; what a sync is, it does not know"),
    ("listener", &["clock"], "it takes calls over TCP within limits; what is answered, it does not know"),
    ("notify", &["clock"], "systemd hears how the process is; why, it does not know"),
    (
        "bell",
        &["crm::webhook", "scheduler", "listener", "clock"],
        "a call rings a bell: no configuration, no ledger, no engine",
    ),
    (
        "control",
        &["scheduler::orders", "ledger", "domain", "clock"],
        "orders come in through the scheduler: it names no engine and no upstream",
    ),
    (
        "admin",
        &["scheduler::orders", "listener", "ledger", "domain", "clock"],
        "it reads the ledger and files requests, nothing else",
    ),
    ("alerts", &["ledger", "http", "domain", "clock"], "it tells what the ledger says to whoever shall know"),
    (
        "config",
        &["crm", "propstreet", "bell", "admin", "alerts", "control", "mapping", "domain", "sync::engine"],
        "settings types only: a configuration is right or wrong on this machine alone",
    ),
    (
        "assembly",
        &["config", "sync", "crm", "propstreet", "http", "mapping", "ledger", "domain", "clock"],
        "it names every concrete type below it, and no face",
    ),
    (
        "daemon",
        &[
            "assembly",
            "config",
            "scheduler",
            "bell",
            "control",
            "admin",
            "alerts",
            "notify",
            "sync::report",
            "domain",
            "clock",
        ],
        "it starts and ends what others do",
    ),
    (
        "cli",
        &[
            "config",
            "assembly",
            "daemon",
            "control",
            "ledger",
            "sync::report",
            "sync::engine",
            "domain",
            "telemetry",
            "clock",
            "sandbox",
        ],
        "a verb parses and prints; it names no adapter",
    ),
    ("sandbox", &[], "a look-alike that shares a type with an adapter shares its misreadings"),
    ("main", &["cli"], "main hands over"),
    ("lib", &[], "no re-exports: an import names the room it comes from"),
];

/// Inside `crm`, one adapter never knows another.
const ADAPTERS: [&str; 3] = ["salesforce", "hubspot", "pipedrive"];

#[derive(Debug)]
struct Import {
    file: PathBuf,
    line: usize,
    from: String,
    to: String,
}

#[test]
fn arrows_point_down_only() {
    let found = violations(&sources());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn a_planted_violation_is_found() {
    let planted = |path: &str, text: &str| violations(&BTreeMap::from([(PathBuf::from(path), text.to_owned())]));
    for (path, text, expected) in [
        ("src/domain/plan.rs", "use crate::ledger::Ledger;", "domain → ledger"),
        ("src/sync/pass.rs", "fn f() { crate::http::client::f(); }", "sync → http"),
        ("src/sync/pass.rs", "use crate::{\n    crm::open,\n};", "sync → crm"),
        ("src/crm/hubspot/mod.rs", "use crate::crm::salesforce::wire;", "crm::hubspot → crm::salesforce"),
        ("src/crm/hubspot/mod.rs", "use crate::sync::pass::Pass;", "crm → sync::pass"),
        ("src/sandbox/truth.rs", "use crate::domain::names;", "sandbox → domain"),
        ("src/cli/sync.rs", "use crate::propstreet::client;", "cli → propstreet"),
        ("src/bell.rs", "use crate::ledger::Ledger;", "bell → ledger"),
        ("src/bell.rs", "use crate::crm::hubspot::HubSpot;", "bell → crm::hubspot"),
        ("src/scheduler.rs", "use crate::daemon::Daemon;", "scheduler → daemon"),
        ("src/sync/pass.rs", "use super::super::crm::open;", "super::super"),
    ] {
        let found = planted(path, text);
        assert!(found.iter().any(|f| f.contains(expected)), "{path}: {text}: {found:?}");
    }
    assert!(planted("src/sync/pass.rs", "use crate::ledger::Ledger;\n// use crate::crm;").is_empty());
    assert!(!oversize(Path::new("src/a.rs"), &"\n".repeat(MAX_FILE + 1)).is_empty());
    let long = format!("fn f() {{\n{}}}\n", "    x();\n".repeat(MAX_FUNCTION));
    assert!(!oversize(Path::new("src/a.rs"), &long).is_empty());
}

#[test]
fn no_two_rooms_import_each_other_in_a_circle() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for import in imports(&sources()) {
        let to = import.to.split("::").next().unwrap_or_default().to_owned();
        // The ports are a room of their own: adapters import them, the engine owns them.
        if import.to == "sync::source" || import.to == "sync::destination" || to == import.from {
            continue;
        }
        arrows.entry(import.from).or_default().insert(to);
    }
    for start in arrows.keys() {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = arrows[start].iter().collect();
        while let Some(room) = next.pop() {
            assert_ne!(room, start, "a circle of rooms runs through {start}");
            if seen.insert(room) {
                next.extend(arrows.get(room).into_iter().flatten());
            }
        }
    }
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let sources = sources();
    let files: BTreeMap<String, &Path> = sources.keys().map(|path| (module_of(path), path.as_path())).collect();
    let mut arrows: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (path, text) in &sources {
        for target in paths(without_tests(text)) {
            // The longest part of a path that is a file; what follows is a name inside it.
            let segments: Vec<&str> = target.split("::").collect();
            let file = (1..=segments.len()).rev().find_map(|n| files.get(&segments[..n].join("::")));
            if let Some(file) = file.filter(|file| **file != path) {
                arrows.entry(path).or_default().insert(*file);
            }
        }
    }
    let circles: Vec<String> =
        arrows.keys().filter(|start| reaches(&arrows, start, start)).map(|path| path.display().to_string()).collect();
    assert!(circles.is_empty(), "these files stand in a circle of imports:\n{}", circles.join("\n"));
}

#[test]
fn files_and_functions_fit_a_reader() {
    let found: Vec<_> = sources().iter().flat_map(|(path, text)| oversize(path, text)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_room_is_in_the_table() {
    let rooms: BTreeSet<_> = sources().keys().map(|path| room_of(path)).collect();
    let known: BTreeSet<_> = RULES.iter().map(|(room, ..)| (*room).to_owned()).collect();
    assert_eq!(rooms.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "add the room and its rule");
}

fn violations(sources: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let mut found = Vec::new();
    for import in imports(sources) {
        let at = format!("{}:{}", import.file.display(), import.line);
        if import.to == "super::super" {
            found.push(format!("{at}: super::super hides the room; write the path from crate"));
            continue;
        }
        if let Some((own, other)) = sibling_adapters(&import) {
            found.push(format!("{at}: crm::{own} → crm::{other}: one adapter never knows another"));
        }
        let Some((_, allowed, why)) = RULES.iter().find(|(room, ..)| *room == import.from) else { continue };
        let head = import.to.split("::").next().unwrap_or_default();
        let fits = |rule: &str| rule == head || import.to == rule || import.to.starts_with(&format!("{rule}::"));
        if head != import.from && !allowed.iter().any(|rule| fits(rule)) {
            found.push(format!("{at}: {} → {}: {why}", import.from, import.to));
        }
    }
    found
}

fn sibling_adapters(import: &Import) -> Option<(&'static str, &'static str)> {
    let inside = |text: &str| ADAPTERS.into_iter().find(|name| text.contains(&format!("crm/{name}")));
    let own = inside(import.file.to_str()?)?;
    let other = ADAPTERS.into_iter().find(|name| import.to == format!("crm::{name}"))?;
    (own != other).then_some((own, other))
}

/// Every path from `crate` in the code, two segments deep, with grouped imports taken apart.
fn imports(sources: &BTreeMap<PathBuf, String>) -> Vec<Import> {
    let mut found = Vec::new();
    for (file, text) in sources {
        let from = room_of(file);
        let code = without_tests(text);
        let mut group = false;
        for (index, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            let mut push = |to: String| {
                found.push(Import { file: file.clone(), line: index + 1, from: from.clone(), to });
            };
            if line.contains("super::super") {
                push("super::super".to_owned());
            }
            if group {
                let name: String = line.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !name.is_empty() {
                    push(name);
                }
                group = !line.contains('}');
            }
            for (start, _) in line.match_indices("crate::") {
                let rest = &line[start + "crate::".len()..];
                if rest.starts_with('{') {
                    group = !rest.contains('}');
                    continue;
                }
                push(two_segments(rest));
            }
        }
    }
    found
}

/// Every path from `crate` in a file, grouped imports taken apart.
fn paths(code: &str) -> Vec<String> {
    let code: String =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ");
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        // `pub(in crate::room)` says who may look in; it imports nothing.
        if code[..start].ends_with("(in ") {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(rest.len());
        let head = rest[..end].trim_end_matches("::");
        match rest[end..].strip_prefix('{').and_then(|group| group.split_once('}')) {
            Some((group, _)) => found.extend(group.split(',').map(|name| {
                let name = name.trim().split(['{', ' ']).next().unwrap_or_default().trim_end_matches("::");
                if name == "self" || name.is_empty() { head.to_owned() } else { format!("{head}::{name}") }
            })),
            None => found.push(head.to_owned()),
        }
    }
    found
}

/// A file's module path: `ledger::rows` for `src/ledger/rows.rs`.
fn module_of(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let parts: Vec<_> = inside.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    parts.iter().filter(|part| *part != "mod").cloned().collect::<Vec<_>>().join("::")
}

fn reaches(arrows: &BTreeMap<&Path, BTreeSet<&Path>>, from: &Path, to: &Path) -> bool {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&Path> = arrows.get(from).into_iter().flatten().copied().collect();
    while let Some(file) = next.pop() {
        if file == to {
            return true;
        }
        if seen.insert(file) {
            next.extend(arrows.get(file).into_iter().flatten().copied());
        }
    }
    false
}

fn two_segments(path: &str) -> String {
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(path.len());
    path[..end].split("::").filter(|s| !s.is_empty()).take(2).collect::<Vec<_>>().join("::")
}

fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap_or(path);
    let first = inside.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

fn without_tests(text: &str) -> &str {
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines.iter().enumerate().position(|(i, line)| {
        line.trim() == "#[cfg(test)]"
            && lines[i + 1..].iter().take(3).any(|l| l.trim_start().starts_with("mod ") && l.contains('{'))
    });
    match cut {
        Some(line) => &text[..lines[..line].iter().map(|l| l.len() + 1).sum()],
        None => text,
    }
}

fn oversize(path: &Path, text: &str) -> Vec<String> {
    let code = without_tests(text);
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    if lines.len() > MAX_FILE {
        found.push(format!("{}: {} lines; {MAX_FILE} is the bound", path.display(), lines.len()));
    }
    for (start, line) in lines.iter().enumerate() {
        let body = line.trim_start();
        let is_fn = ["fn ", "pub fn ", "async fn ", "pub async fn ", "const fn ", "pub const fn "]
            .iter()
            .any(|head| body.starts_with(head))
            || (body.starts_with("pub(") && (body.contains(") fn ") || body.contains(") async fn ")));
        if !is_fn || body.ends_with(';') {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - body.len()]);
        let length = lines[start..].iter().position(|l| l.trim_end() == close).map_or(1, |end| end + 1);
        if length > MAX_FUNCTION {
            found.push(format!("{}:{}: {length} lines in one function", path.display(), start + 1));
        }
    }
    found
}

fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                found.insert(path.strip_prefix(root).expect("inside").to_owned(), text);
            }
        }
    }
    assert!(found.len() > 20, "the walk found the sources");
    found
}
