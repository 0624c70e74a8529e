//! The `[sources.NAME]` sections: one CRM account each, no two with the same namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::document::{Section, Word};
use crate::config::propstreet::{base_url, client, secret};
use crate::config::rules;
use crate::config::tree::SourceConfig;
use crate::crm::{self, hubspot, pipedrive, salesforce};
use crate::domain::identity::{MAX_NAMESPACE, RefRules};
use crate::domain::kind::Kind;
use crate::sync::engine::{FirstRun, OnDelete};

/// Keys of a source that are designed and refused.
pub(in crate::config) const PLANNED: [&str; 11] = [
    "schedule",
    "timezone",
    "write_back",
    "filter",
    "owner",
    "clear_empty",
    "on_filtered",
    "guard",
    "budget_share",
    "sweep",
    "namespace_aliases",
];

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
    section.require("auth", "add auth = { kind = … } as config/example.toml shows for this CRM");
    let crm = kind.and_then(|kind| crm(&section, kind));
    section.knows("base_url");
    section.require(
        "first_run",
        "choose first_run = \"backfill\" (send everyone) or \"from_now\" (only what changes from now on)",
    );
    let first_run = section.choice(
        "first_run",
        &[("backfill", Word::Built(FirstRun::Backfill)), ("from_now", Word::Built(FirstRun::FromNow))],
    );
    let policies = policies(&section);
    let mapper = kind.and_then(|kind| rules::read(&section, kind));
    section.knows("region");
    section.knows("map");
    section.close(&PLANNED);
    policies.then_some(())?;
    let (kind, namespace, crm) = (kind?, namespace?, crm?);
    Some(SourceConfig {
        name,
        namespace,
        kind,
        crm,
        first_run: first_run?,
        on_delete: OnDelete::Keep,
        guard: None,
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

fn crm(section: &Section<'_>, kind: Kind) -> Option<crm::Settings> {
    let (default, login, planned) = match kind {
        // A login is tied to the firm's own domain.
        Kind::Salesforce => (None, "client_credentials", "jwt_bearer"),
        Kind::HubSpot => (Some("https://api.hubapi.com"), "token", "oauth_refresh"),
        Kind::Pipedrive => (Some("https://api.pipedrive.com"), "api_token", "oauth_refresh"),
    };
    let base_url = base_url(section, default);
    let auth = section.section("auth")?;
    auth.require("kind", &format!("add kind = \"{login}\""));
    auth.choice("kind", &[(login, Word::Built(())), (planned, Word::Planned)])?;
    let crm = match kind {
        Kind::Salesforce => client(&auth).zip(base_url).map(|((client_id, client_secret), base_url)| {
            let auth = salesforce::Auth::ClientCredentials { client_id, client_secret };
            crm::Settings::Salesforce(salesforce::Settings::new(base_url, auth))
        }),
        Kind::HubSpot => secret(&auth, "token").zip(base_url).map(|(token, base_url)| {
            crm::Settings::HubSpot(hubspot::Settings { base_url, auth: hubspot::Auth::Token { token } })
        }),
        Kind::Pipedrive => secret(&auth, "token").zip(base_url).map(|(token, base_url)| {
            crm::Settings::Pipedrive(pipedrive::Settings { base_url, auth: pipedrive::Auth::ApiToken { token } })
        }),
    };
    auth.close(&[]);
    crm
}

/// Policies of which this version knows one word each. Written out they are checked; absent they are that word.
fn policies(section: &Section<'_>) -> bool {
    const BUILT: Word<()> = Word::Built(());
    let fit = |key, words: &[_]| !section.has(key) || section.choice(key, words).is_some();
    let change = fit("on_change", &[("ignore", BUILT), ("update", Word::Planned)]);
    let delete = fit("on_delete", &[("keep", BUILT), ("tag", Word::Planned), ("delete", Word::Planned)]);
    let companies = fit("companies", &[("off", BUILT), ("link", Word::Planned)]);
    change && delete && companies
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
