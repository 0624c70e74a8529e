//! What a HubSpot source alone can have: its two logins, and the keys that only its adapter acts on.

use url::Url;

use crate::config::document::{Section, Word};
use crate::config::propstreet::{client, secret};
use crate::config::write_back::{self, Naming};
use crate::crm::hubspot::{Auth, Settings};
use crate::mapping::Mapper;

/// The internal name of a property of contacts. Those of HubSpot's own making are refused here where they can be told
/// by name, and the others before anything is read.
const WRITE_BACK: Naming = Naming {
    example: "propstreet_contact_id",
    fits: |name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !name.starts_with("hs_")
    },
    read_as: str::to_owned,
    unfit: "is not the internal name of a property of your own",
    remedy: "make a property of contacts for it and write its internal name, such as propstreet_contact_id",
};

/// Reads a source's address, login and own keys. A key at fault is reported and left at its default, which nobody will
/// see: a configuration with a fault is none.
pub fn read(section: &Section<'_>, base_url: Option<Url>, mapper: Option<&Mapper>) -> Option<Settings> {
    let auth = section.section("auth").and_then(auth);
    let budget_share = section.number("budget_share", 1..=100);
    let write_back = write_back::read(section, &WRITE_BACK, mapper);
    let defaults = Settings::new(base_url?, auth?);
    Some(Settings { budget_share: budget_share.unwrap_or(defaults.budget_share), write_back, ..defaults })
}

#[derive(Clone, Copy)]
enum Login {
    Token,
    OauthRefresh,
}

fn auth(section: Section<'_>) -> Option<Auth> {
    section.require("kind", "add kind = \"token\" or kind = \"oauth_refresh\"");
    let login = section
        .choice("kind", &[("token", Word::Built(Login::Token)), ("oauth_refresh", Word::Built(Login::OauthRefresh))])?;
    let auth = match login {
        Login::Token => secret(&section, "token").map(|token| Auth::Token { token }),
        Login::OauthRefresh => oauth_refresh(&section),
    };
    section.close(&[]);
    auth
}

fn oauth_refresh(section: &Section<'_>) -> Option<Auth> {
    let client = client(section);
    let refresh_token = secret(section, "refresh_token");
    let (client_id, client_secret) = client?;
    Some(Auth::OauthRefresh { client_id, client_secret, refresh_token: refresh_token? })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use insta::assert_snapshot;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::load::parse;
    use crate::config::problems::Problems;
    use crate::config::tree::SourceConfig;
    use crate::crm;
    use crate::sync::engine::OnDelete;

    const TOKEN: &str = r#"{ kind = "token", token = "pat-eu1-x" }"#;

    fn parsed(auth: &str, more: &str) -> Result<Settings, Problems> {
        let environment = BTreeMap::from([("REFRESH".to_owned(), "na1-r1".to_owned())]);
        let text = format!(
            "propstreet.auth = {{ kind = \"token\", token = \"t\" }}\n[sources.hubspot]\nkind = \"hubspot\"\n\
             first_run = \"backfill\"\nauth = {auth}\n{more}"
        );
        let mut config = parse(Path::new("p.toml"), &text, &environment)?;
        let crm::Settings::HubSpot(settings) = config.sources.remove(0).crm else { panic!("HubSpot") };
        Ok(settings)
    }

    fn settings(auth: &str, more: &str) -> Settings {
        parsed(auth, more).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn faults(auth: &str, more: &str) -> String {
        parsed(auth, more).map_or_else(|problems| problems.to_string(), |_| "no fault".to_owned())
    }

    #[test]
    fn a_source_keeps_to_a_fifth_of_the_day_unless_told_otherwise() {
        assert_eq!((settings(TOKEN, "").budget_share, settings(TOKEN, "budget_share = 100").budget_share), (20, 100));
        assert_snapshot!(faults(TOKEN, "budget_share = 0"), @"
        p.toml:6:16: sources.hubspot.budget_share: is out of bounds
            fix: write a whole number from 1 to 100
        ");
    }

    #[test]
    fn a_login_by_refresh_token_needs_the_app_and_the_token() {
        let auth = r#"{ kind = "oauth_refresh", client_id = "app", client_secret = "s", refresh_token = { env = "REFRESH" } }"#;
        let Auth::OauthRefresh { client_id, client_secret, refresh_token } = settings(auth, "").auth else {
            panic!("another login")
        };
        let secrets = [client_secret.expose_secret(), refresh_token.expose_secret()];
        assert_eq!((client_id.as_str(), secrets), ("app", ["s", "na1-r1"]));
        assert!(!format!("{:?}", settings(auth, "").auth).contains("na1-r1"));
        assert_snapshot!(faults(r#"{ kind = "oauth_refresh" }"#, ""), @r#"
        p.toml:5:1: sources.hubspot.auth.client_id: is missing
            fix: add the client's id
        p.toml:5:1: sources.hubspot.auth.client_secret: is missing
            fix: add client_secret = { file = "PATH" } or { env = "NAME" }
        p.toml:5:1: sources.hubspot.auth.refresh_token: is missing
            fix: add refresh_token = { file = "PATH" } or { env = "NAME" }
        "#);
        let mixed = faults(r#"{ kind = "oauth_refresh", token = "pat" }"#, "");
        assert!(mixed.contains("auth.token: unknown key"), "{mixed}");
    }

    fn read_with(more: &str, variables: &[(&str, &str)]) -> Result<(SourceConfig, Settings), String> {
        let variables: BTreeMap<_, _> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let text = format!(
            "[propstreet]\nauth = {{ kind = \"token\", token = \"t\" }}\n[sources.hub]\nkind = \"hubspot\"\n\
             first_run = \"from_now\"\nauth = {{ kind = \"token\", token = \"t\" }}\n{more}"
        );
        let config = parse(Path::new("p.toml"), &text, &variables);
        let source = config.map_err(|problems| problems.to_string())?.sources.remove(0);
        let crm::Settings::HubSpot(settings) = source.crm.clone() else { panic!("HubSpot") };
        Ok((source, settings))
    }

    #[test]
    fn nothing_is_written_and_nobody_follows_unless_asked_for() {
        let (source, settings) = read_with("", &[]).expect("a correct file");
        assert_eq!((settings.write_back, source.on_delete), (None, OnDelete::Keep));
        for (word, follows) in [("tag", OnDelete::Tag), ("delete", OnDelete::Delete)] {
            let keys = format!("on_delete = \"{word}\"\nwrite_back = {{ field = \"propstreet_contact_id\" }}\n");
            let (source, settings) = read_with(&keys, &[]).expect("a correct file");
            assert_eq!(source.on_delete, follows);
            assert_eq!(settings.write_back.as_deref(), Some("propstreet_contact_id"));
        }
        let variables = [("PROPSYNC__SOURCES__HUB__WRITE_BACK__FIELD", "acme_id2")];
        assert_eq!(read_with("", &variables).expect("a correct file").1.write_back.as_deref(), Some("acme_id2"));
    }

    #[test]
    fn only_a_property_of_their_own_can_hold_our_id() {
        for name in
            ["hs_propstreet", "Propstreet_id", "propstreet id", "1id", "_id", "propstreet-id", "company.id", "äid"]
        {
            let told = read_with(&format!("write_back = {{ field = \"{name}\" }}\n"), &[]).expect_err(name);
            assert!(told.contains("write_back.field: is not the internal name of a property of your own"), "{told}");
        }
        for rule in ["{ from = [\"plan\", \"acme_id\"] }", "{ expr = \"acme_id or 'none'\" }"] {
            let keys = format!("write_back = {{ field = \"acme_id\" }}\nmap.strategy = {rule}\n");
            let told = read_with(&keys, &[]).expect_err(rule);
            assert!(told.contains("sources.hub.write_back.field: is read by the map too"), "{told}");
        }
    }
}
