//! The `[sources.NAME]` sections: one CRM account each, no two with the same namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::document::{Section, Word};
use crate::config::policies::{self, Policies};
use crate::config::propstreet::base_url;
use crate::config::tree::SourceConfig;
use crate::config::{hubspot, pipedrive, rules, salesforce, schedule, webhooks};
use crate::crm;
use crate::domain::identity::{MAX_NAMESPACE, RefRules};
use crate::domain::kind::Kind;
use crate::domain::schedule::Schedule;
use crate::mapping::Mapper;
use crate::sync::engine::{Companies, FirstRun};

/// Keys of a source that are designed and refused.
pub(in crate::config) const PLANNED: [&str; 2] = ["sweep", "namespace_aliases"];

/// Far above any firm's people.
const MOST_PEOPLE: u32 = 10_000_000;

/// Reads every source. Faults are reported; sources with one are left out.
#[must_use]
pub fn read(sources: &Section<'_>) -> Vec<SourceConfig> {
    let mut namespaces = BTreeMap::new();
    let sections = sources.sections();
    if sections.is_empty() {
        sources.fault_here("no source is configured", "add [sources.NAME] with kind, auth and first_run");
    }
    sections.into_iter().filter_map(|section| source(section, &mut namespaces)).collect()
}

fn source(section: Section<'_>, namespaces: &mut BTreeMap<String, String>) -> Option<SourceConfig> {
    let name = section.name().to_owned();
    if !is_name(&name) {
        section.fault_here(
            "the name of a source is lower-case words joined by single underscores",
            "rename it, for example [sources.hubspot_se]",
        );
    }
    let namespace = namespace(&section, &name, namespaces);
    section.require("kind", "add kind = \"salesforce\" or \"hubspot\" or \"pipedrive\"");
    let kind = section.choice(
        "kind",
        &[
            ("salesforce", Word::Built(Kind::Salesforce)),
            ("hubspot", Word::Built(Kind::HubSpot)),
            ("pipedrive", Word::Built(Kind::Pipedrive)),
        ],
    );
    let policies = policies::read(&section);
    section.require("auth", "add auth = { kind = … } as config/example.toml shows for this CRM");
    let companies = policies.as_ref().is_some_and(|policies| policies.companies == Companies::Link);
    let mapper = kind.and_then(|kind| rules::read(&section, kind, companies));
    let schedule = schedule::read(&section, kind);
    let crm = kind.and_then(|kind| crm(&section, kind, mapper.as_ref(), schedule.as_ref()));
    for key in ["base_url", "region", "map"] {
        section.knows(key);
    }
    section.require(
        "first_run",
        "choose first_run = \"backfill\" (send everyone) or \"from_now\" (only what changes from now on)",
    );
    let first_run = section.choice(
        "first_run",
        &[("backfill", Word::Built(FirstRun::Backfill)), ("from_now", Word::Built(FirstRun::FromNow))],
    );
    let guard = section.number("guard", 1..=MOST_PEOPLE);
    let webhooks = webhooks::of_source(&section, kind);
    close(section, kind);
    let Policies { on_change, owners, clear_empty, companies, on_delete, on_filtered } = policies?;
    let (kind, namespace, crm) = (kind?, namespace?, crm?);
    Some(SourceConfig {
        name,
        namespace,
        kind,
        crm,
        first_run: first_run?,
        on_change,
        owners,
        clear_empty,
        companies,
        on_delete,
        on_filtered,
        guard,
        schedule: schedule?,
        webhooks,
        mapper: Arc::new(mapper?),
    })
}

/// `[a-z][a-z0-9]*(_[a-z0-9]+)*`: double underscores separate the levels of an environment override.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .split('_')
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

/// The namespace: of this source alone, and fit for `NAMESPACE:ID` on the command line.
fn namespace(section: &Section<'_>, name: &str, taken: &mut BTreeMap<String, String>) -> Option<String> {
    const KEY: &str = "namespace";
    let namespace = if section.has(KEY) { section.text(KEY)?.to_owned() } else { name.to_owned() };
    if namespace.encode_utf16().count() > MAX_NAMESPACE {
        section.fault(KEY, &format!("is longer than {MAX_NAMESPACE} characters"), "shorten it");
        return None;
    }
    if namespace.contains(':') || namespace.trim() != namespace || namespace.chars().any(char::is_control) {
        section.fault(KEY, "holds a colon, a control character or blanks around it", "remove them");
        return None;
    }
    let folded = RefRules::default().key(&namespace, "").namespace;
    if let Some(other) = taken.get(&folded) {
        section.fault(
            KEY,
            &format!("the namespace `{namespace}` belongs to [sources.{other}] already"),
            "give each source a namespace of its own; Propstreet compares them without case",
        );
        return None;
    }
    taken.insert(folded, name.to_owned());
    Some(namespace)
}

fn crm(
    section: &Section<'_>,
    kind: Kind,
    mapper: Option<&Mapper>,
    schedule: Option<&Schedule>,
) -> Option<crm::Settings> {
    match kind {
        // A login is tied to the firm's own domain.
        Kind::Salesforce => salesforce::read(section, base_url(section, None), mapper).map(crm::Settings::Salesforce),
        Kind::HubSpot => {
            let base_url = base_url(section, Some("https://api.hubapi.com"));
            hubspot::read(section, base_url, mapper).map(crm::Settings::HubSpot)
        }
        Kind::Pipedrive => {
            let base_url = base_url(section, Some("https://api.pipedrive.com"));
            pipedrive::read(section, base_url, schedule, mapper).map(crm::Settings::Pipedrive)
        }
    }
}

/// Ends the reading, with a word on keys of Salesforce in a source of another kind.
fn close(section: Section<'_>, kind: Option<Kind>) {
    let Some(kind) = kind else {
        // The kind is at fault itself: these may well be right.
        salesforce::OWN
            .into_iter()
            .chain(["write_back", "budget_share", "backfill_share"])
            .for_each(|key| section.knows(key));
        return section.close(&PLANNED);
    };
    let written = |own: &&str| section.entries().any(|(key, _)| key == *own);
    for key in salesforce::OWN.into_iter().filter(|_| kind != Kind::Salesforce).filter(written) {
        section.knows(key);
        section.fault(key, &format!("`{key}` is for sources of kind \"salesforce\" alone"), "remove it");
    }
    section.close(&PLANNED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_leave_room_for_overrides() {
        for name in ["hubspot", "hubspot_se", "a1_2b", "x"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "HubSpot", "hub__spot", "_hub", "hub_", "1hub", "hub-spot", "hüb"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
