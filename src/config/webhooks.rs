//! The `[webhooks]` section, and what a source says of its own. Either is of no use without the other.

use config::{Value, ValueKind};
use secrecy::ExposeSecret as _;
use url::Url;

use crate::bell::Settings;
use crate::config::document::Section;
use crate::config::propstreet::secret;
use crate::crm::{self, hubspot, pipedrive};
use crate::domain::kind::Kind;

/// Both where they are one's own and where they are the sources'.
const KEY: &str = "webhooks";

/// Reads the section. `None` when something in it is at fault, which it has reported.
pub fn read(section: Section<'_>) -> Option<Settings> {
    section.require("listen", "add listen = \"127.0.0.1:8788\"");
    section.require("public_url", "add public_url = \"https://HOST\", the address under which the CRM reaches it");
    let listen = section.text("listen").and_then(|text| {
        let address = text.parse().ok();
        if address.is_none() {
            section.fault("listen", "is no address with a port", "write listen = \"127.0.0.1:8788\"");
        }
        address
    });
    let public_url = section.text("public_url").and_then(|text| public_url(&section, text));
    if !some_source_has_them(&section) {
        let remedy = "add webhooks to a source of kind \"hubspot\" or \"pipedrive\", or remove [webhooks]";
        section.fault_here("no source has webhooks", remedy);
    }
    section.close(&[]);
    Some(Settings { listen: listen?, public_url: public_url? })
}

/// The address as it is written, because the CRM signs it as it is written there.
fn public_url(section: &Section<'_>, text: &str) -> Option<String> {
    let text = text.trim();
    let fault = match Url::parse(text) {
        Err(_) => Some("is not a URL"),
        Ok(url) if url.scheme() != "https" => Some("is not https://, and the CRMs call no other"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Some("holds a user or password"),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => Some("has a query or a fragment"),
        Ok(url) if leads_to_a_source(section, &url) => Some("is the address of one source"),
        Ok(_) => None,
    };
    if let Some(what) = fault {
        section.fault("public_url", what, "write https://HOST, what the CRM calls without /webhooks/SOURCE");
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// What is copied whole from the CRM's settings: every call would be refused, as signed for another address.
fn leads_to_a_source(section: &Section<'_>, url: &Url) -> bool {
    let path = url.path().trim_end_matches('/');
    sources(section).any(|(name, _)| path.ends_with(&format!("/{KEY}/{name}")))
}

fn some_source_has_them(section: &Section<'_>) -> bool {
    sources(section).any(|(_, source)| matches!(&source.kind, ValueKind::Table(keys) if keys.contains_key(KEY)))
}

fn sources<'a>(section: &Section<'a>) -> impl Iterator<Item = (&'a String, &'a Value)> {
    match section.document().root().value("sources").map(|sources| &sources.kind) {
        Some(ValueKind::Table(sources)) => Some(sources.iter()),
        _ => None,
    }
    .into_iter()
    .flatten()
}

/// Reads how a source's webhooks prove themselves, where it has any.
pub fn of_source(source: &Section<'_>, kind: Option<Kind>) -> Option<crm::Webhooks> {
    source.value(KEY)?;
    if !source.document().root().has(KEY) {
        let remedy = "add [webhooks] with listen and public_url, or remove it";
        source.fault(KEY, "nobody listens for webhooks", remedy);
    }
    match kind? {
        Kind::HubSpot => {
            let section = source.section(KEY)?;
            let client_secret = secret(&section, "client_secret");
            section.close(&[]);
            Some(crm::Webhooks::HubSpot(hubspot::webhook::Settings { client_secret: client_secret? }))
        }
        Kind::Pipedrive => {
            let section = source.section(KEY)?;
            let (user, password) = (user(&section), secret(&section, "password"));
            if password.as_ref().is_some_and(|password| !is_plain(password.expose_secret())) {
                section.fault("password", NOT_PLAIN, "make one of letters and digits: openssl rand -hex 24");
            }
            section.close(&[]);
            Some(crm::Webhooks::Pipedrive(pipedrive::webhook::Settings { user: user?, password: password? }))
        }
        Kind::Salesforce => {
            let what = "webhooks of kind \"salesforce\" are not built into this version";
            source.fault(KEY, what, "remove it; the source is polled all the same");
            None
        }
    }
}

/// The bytes of any other character are not the same for everybody who speaks HTTP Basic (RFC 7617, 2.1).
const NOT_PLAIN: &str = "holds a character other than letters, digits, signs and blanks of ASCII";

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

/// The first colon ends the user, wherever it stands.
fn user(section: &Section<'_>) -> Option<String> {
    section.require("user", "add user = \"propsync\", the webhook's HTTP auth username");
    let user = section.text("user")?;
    let fault = match user {
        _ if user.contains(':') => Some("holds a colon, which HTTP Basic cannot carry in a user"),
        _ if !is_plain(user) => Some(NOT_PLAIN),
        _ => None,
    };
    if let Some(what) = fault {
        section.fault("user", what, "choose another, and write it in Pipedrive as well");
        return None;
    }
    Some(user.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::config::load;
    use crate::config::problems::Problems;
    use crate::config::tree::Config;

    fn parsed(webhooks: &str, hubspot: &str, pipedrive: &str) -> Result<Config, Problems> {
        let text = format!(
            r#"{webhooks}
            [propstreet]
            auth = {{ kind = "token", token = "t" }}
            [sources.hubspot]
            kind = "hubspot"
            auth = {{ kind = "token", token = "t" }}
            first_run = "backfill"
            {hubspot}
            [sources.pipedrive]
            kind = "pipedrive"
            auth = {{ kind = "api_token", token = "t" }}
            first_run = "backfill"
            {pipedrive}"#
        );
        load::parse(Path::new("p.toml"), &text, &BTreeMap::new())
    }

    fn faults(webhooks: &str, hubspot: &str, pipedrive: &str) -> String {
        parsed(webhooks, hubspot, pipedrive).map_or_else(|problems| problems.to_string(), |_| "no fault".to_owned())
    }

    const SECRET: &str = "webhooks = { client_secret = \"s\" }";
    const PAIR: &str = "webhooks = { user = \"propsync\", password = \"p: w\" }";
    const WEBHOOKS: &str = "webhooks = { listen = \"127.0.0.1:8788\", public_url = \"https://Hooks.Example.com/in/\" }";

    #[test]
    fn both_halves_make_a_bell_and_neither_makes_none() {
        let config = parsed(WEBHOOKS, SECRET, "").unwrap_or_else(|problems| panic!("{problems}"));
        let settings = config.webhooks.expect("a receiver");
        assert_eq!(settings.listen.to_string(), "127.0.0.1:8788");
        assert_eq!(settings.public_url, "https://Hooks.Example.com/in", "as it is written, for that is what is signed");
        let Some(crm::Webhooks::HubSpot(hubspot)) = &config.sources[0].webhooks else { panic!("{:?}", config.sources) };
        assert_eq!(hubspot.client_secret.expose_secret(), "s");
        assert!(config.sources[1].webhooks.is_none());
        let config = parsed(WEBHOOKS, "", PAIR).unwrap_or_else(|problems| panic!("{problems}"));
        let Some(crm::Webhooks::Pipedrive(pair)) = &config.sources[1].webhooks else { panic!("{:?}", config.sources) };
        assert_eq!((pair.user.as_str(), pair.password.expose_secret()), ("propsync", "p: w"));
        assert!(!format!("{pair:?}").contains("p: w"));
        let without = parsed("", "", "").unwrap_or_else(|problems| panic!("{problems}"));
        assert!(without.webhooks.is_none() && without.sources.iter().all(|source| source.webhooks.is_none()));
    }

    #[test]
    fn one_half_alone_is_a_fault() {
        assert_snapshot!(faults(WEBHOOKS, "", ""), @r#"
        p.toml:1:1: webhooks: no source has webhooks
            fix: add webhooks to a source of kind "hubspot" or "pipedrive", or remove [webhooks]
        "#);
        assert_snapshot!(faults("", SECRET, ""), @"
        p.toml:8:24: sources.hubspot.webhooks: nobody listens for webhooks
            fix: add [webhooks] with listen and public_url, or remove it
        ");
        assert_snapshot!(faults(WEBHOOKS, "", SECRET), @r#"
        p.toml:13:13: sources.pipedrive.webhooks.password: is missing
            fix: add password = { file = "PATH" } or { env = "NAME" }
        p.toml:13:13: sources.pipedrive.webhooks.user: is missing
            fix: add user = "propsync", the webhook's HTTP auth username
        p.toml:13:26: sources.pipedrive.webhooks.client_secret: unknown key
            fix: remove it; known here: password, user
        "#);
        let pair = "webhooks = { user = \"a:b\", password = \"å\" }";
        assert_snapshot!(faults(WEBHOOKS, "", pair), @"
        p.toml:13:33: sources.pipedrive.webhooks.user: holds a colon, which HTTP Basic cannot carry in a user
            fix: choose another, and write it in Pipedrive as well
        p.toml:13:51: sources.pipedrive.webhooks.password: holds a character other than letters, digits, signs and blanks of ASCII
            fix: make one of letters and digits: openssl rand -hex 24
        ");
        let told = faults(WEBHOOKS, "", &pair.replace("a:b", "Åsa"));
        assert!(told.contains("webhooks.user: holds a character other than"), "{told}");
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_together() {
        assert_snapshot!(faults("webhooks = {}", "webhooks = {}", ""), @r#"
        p.toml:1:1: webhooks.listen: is missing
            fix: add listen = "127.0.0.1:8788"
        p.toml:1:1: webhooks.public_url: is missing
            fix: add public_url = "https://HOST", the address under which the CRM reaches it
        p.toml:8:13: sources.hubspot.webhooks.client_secret: is missing
            fix: add client_secret = { file = "PATH" } or { env = "NAME" }
        "#);
        let webhooks = "webhooks = { listen = \"8788\", public_url = \"http://hooks.example.com\", port = 1 }";
        assert_snapshot!(faults(webhooks, SECRET, ""), @r#"
        p.toml:1:23: webhooks.listen: is no address with a port
            fix: write listen = "127.0.0.1:8788"
        p.toml:1:44: webhooks.public_url: is not https://, and the CRMs call no other
            fix: write https://HOST, what the CRM calls without /webhooks/SOURCE
        p.toml:1:72: webhooks.port: unknown key
            fix: remove it; known here: listen, public_url
        "#);
        for url in [
            "hooks.example.com",
            "https://",
            "https://me@hooks.example.com",
            "https://x.example/?a",
            "https://x.example/#a",
            "https://x.example/webhooks/hubspot/",
        ] {
            let webhooks = WEBHOOKS.replace("https://Hooks.Example.com/in/", url);
            assert!(faults(&webhooks, SECRET, "").contains("webhooks.public_url: "), "{url}");
        }
    }
}
