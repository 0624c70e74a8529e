//! What a Pipedrive source alone can have: its logins, and the keys that only its adapter acts on.

use url::Url;

use crate::config::document::{Section, Word};
use crate::config::propstreet::{client, secret, url_of};
use crate::config::write_back::{self, Naming};
use crate::crm::pipedrive::{Auth, Settings};
use crate::domain::schedule::Schedule;
use crate::mapping::Mapper;

/// Where logins of apps are made.
const OAUTH_URL: &str = "https://oauth.pipedrive.com";

/// A custom field of persons, by its key or by the name people gave it. Whether there is one, and whether it takes text, is
/// asked of Pipedrive before anything is read.
const WRITE_BACK: Naming = Naming {
    example: "dcf558aac1ae4e8c4f849ba5e668430d8df9be12",
    fits: |name| !name.trim().is_empty() && !name.contains("custom_fields.") && !name.chars().any(char::is_control),
    read_as: |name| format!("custom_fields.{name}"),
    unfit: "is not the key or the name of a custom field of persons",
    remedy: "make a text field for it and write its key alone, such as dcf558aac1ae4e8c4f849ba5e668430d8df9be12",
};

/// Reads a source's address, login and own keys. A key at fault is reported and left at its default, which nobody will
/// see: a configuration with a fault is none.
pub fn read(
    section: &Section<'_>,
    base_url: Option<Url>,
    schedule: Option<&Schedule>,
    mapper: Option<&Mapper>,
) -> Option<Settings> {
    let auth = section.section("auth").and_then(auth);
    let budget_share = section.number("budget_share", 1..=100);
    let backfill_share = section.number("backfill_share", 1..=100);
    let write_back = write_back::read(section, &WRITE_BACK, mapper);
    let defaults = Settings::new(base_url?, auth?);
    Some(Settings {
        // An address that somebody wrote is a proxy's, or meant.
        follows_login: !section.has("base_url"),
        budget_share: budget_share.unwrap_or(defaults.budget_share),
        backfill_share,
        polls_a_day: schedule.map_or(defaults.polls_a_day, Schedule::most_in_a_day),
        write_back,
        ..defaults
    })
}

#[derive(Clone, Copy)]
enum Login {
    ApiToken,
    OauthRefresh,
}

fn auth(section: Section<'_>) -> Option<Auth> {
    section.require("kind", "add kind = \"api_token\" or kind = \"oauth_refresh\"");
    let login = section.choice(
        "kind",
        &[("api_token", Word::Built(Login::ApiToken)), ("oauth_refresh", Word::Built(Login::OauthRefresh))],
    )?;
    let auth = match login {
        Login::ApiToken => secret(&section, "token").map(|token| Auth::ApiToken { token }),
        Login::OauthRefresh => oauth_refresh(&section),
    };
    section.close(&[]);
    auth
}

fn oauth_refresh(section: &Section<'_>) -> Option<Auth> {
    const URL: &str = "oauth_url";
    let client = client(section);
    let refresh_token = secret(section, "refresh_token");
    let oauth_url = if section.has(URL) { section.text(URL) } else { Some(OAUTH_URL) };
    let oauth_url = oauth_url.and_then(|text| url_of(section, URL, text));
    let (client_id, client_secret) = client?;
    Some(Auth::OauthRefresh { client_id, client_secret, refresh_token: refresh_token?, oauth_url: oauth_url? })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use insta::assert_snapshot;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::load::parse;
    use crate::crm;

    const TOKEN: &str = r#"{ kind = "api_token", token = "t" }"#;
    const APP: &str =
        r#"{ kind = "oauth_refresh", client_id = "app", client_secret = "s", refresh_token = { env = "REFRESH" } }"#;

    fn read_with(auth: &str, more: &str, variables: &[(&str, &str)]) -> Result<crm::Settings, String> {
        let variables = [&[("REFRESH", "1:r1")], variables].concat();
        let environment: BTreeMap<_, _> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let text = format!(
            "propstreet.auth = {{ kind = \"token\", token = \"t\" }}\n[sources.pd]\nkind = \"pipedrive\"\n\
             first_run = \"backfill\"\nauth = {auth}\n{more}"
        );
        let config = parse(Path::new("p.toml"), &text, &environment);
        Ok(config.map_err(|problems| problems.to_string())?.sources.remove(0).crm)
    }

    fn settings(auth: &str, more: &str, variables: &[(&str, &str)]) -> Settings {
        let crm = read_with(auth, more, variables).unwrap_or_else(|problems| panic!("{problems}"));
        let crm::Settings::Pipedrive(settings) = crm else { panic!("Pipedrive") };
        settings
    }

    fn faults(auth: &str, more: &str) -> String {
        read_with(auth, more, &[]).map_or_else(|problems| problems, |_| "no fault".to_owned())
    }

    #[test]
    fn a_source_keeps_to_a_fifth_of_the_day_and_a_backfill_gets_more_by_name_alone() {
        let shares = |more| {
            let settings = settings(TOKEN, more, &[]);
            (settings.budget_share, settings.backfill_share)
        };
        assert_eq!(shares(""), (20, None));
        assert_eq!(shares("budget_share = 7\nbackfill_share = 100\n"), (7, Some(100)));
        let variables = [("PROPSYNC__SOURCES__PD__BACKFILL_SHARE", "40")];
        assert_eq!(settings(TOKEN, "", &variables).backfill_share, Some(40));
        assert_snapshot!(faults(TOKEN, "budget_share = 0\nbackfill_share = 101\n"), @"
        p.toml:6:16: sources.pd.budget_share: is out of bounds
            fix: write a whole number from 1 to 100
        p.toml:7:18: sources.pd.backfill_share: is out of bounds
            fix: write a whole number from 1 to 100
        ");
    }

    #[test]
    fn an_app_logs_in_at_pipedrives_own_host_unless_told_otherwise() {
        let login = |more: &str| {
            let app = APP.replace(" }", "");
            let Auth::OauthRefresh { client_id, client_secret, refresh_token, oauth_url } =
                settings(&format!("{app} }}{more} }}"), "", &[]).auth
            else {
                panic!("another login")
            };
            assert_eq!((client_id.as_str(), client_secret.expose_secret()), ("app", "s"));
            assert_eq!(refresh_token.expose_secret(), "1:r1");
            oauth_url
        };
        assert_eq!(login("").as_str(), "https://oauth.pipedrive.com/");
        assert_eq!(login(", oauth_url = \"http://127.0.0.1:9\"").as_str(), "http://127.0.0.1:9/");
        assert!(!format!("{:?}", settings(APP, "", &[]).auth).contains("1:r1"));
        assert_snapshot!(faults(r#"{ kind = "oauth_refresh", oauth_url = "http://example.com" }"#, ""), @r#"
        p.toml:5:1: sources.pd.auth.client_id: is missing
            fix: add the client's id
        p.toml:5:1: sources.pd.auth.client_secret: is missing
            fix: add client_secret = { file = "PATH" } or { env = "NAME" }
        p.toml:5:1: sources.pd.auth.refresh_token: is missing
            fix: add refresh_token = { file = "PATH" } or { env = "NAME" }
        p.toml:5:46: sources.pd.auth.oauth_url: would send the credential unencrypted: http:// is for loopback hosts only
            fix: write https://, or 127.0.0.1 for the sandbox
        "#);
    }

    #[test]
    fn the_address_that_a_login_names_counts_only_where_the_operator_wrote_none() {
        assert!(settings(APP, "", &[]).follows_login);
        assert!(!settings(APP, "base_url = \"https://proxy.example\"\n", &[]).follows_login);
        let variables = [("PROPSYNC__SOURCES__PD__BASE_URL", "https://proxy.example")];
        assert!(!settings(APP, "", &variables).follows_login);
    }

    #[test]
    fn ids_are_written_back_only_into_a_field_that_the_map_does_not_read() {
        let into = |name: &str| format!("write_back = {{ field = \"{name}\" }}\n");
        assert_eq!(settings(TOKEN, "", &[]).write_back, None);
        for name in ["dcf558aac1ae4e8c4f849ba5e668430d8df9be12", "Propstreet id (don't touch)"] {
            assert_eq!(settings(TOKEN, &into(name), &[]).write_back.as_deref(), Some(name));
        }
        for name in ["", " ", "custom_fields.dcf558aac1ae4e8c4f849ba5e668430d8df9be12"] {
            let told = faults(TOKEN, &into(name));
            assert!(told.contains("write_back.field"), "{name}: {told}");
        }
        let told =
            faults(TOKEN, &format!("{}map.strategy = {{ from = \"custom_fields.strategy\" }}\n", into("Strategy")));
        assert!(told.contains("sources.pd.write_back.field: is read by the map too"), "{told}");
    }
}
