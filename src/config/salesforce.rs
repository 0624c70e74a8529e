//! What a Salesforce source alone can have: its two logins, and the keys that only its adapter acts on.

use url::Url;

use crate::config::document::{Section, Word};
use crate::config::propstreet::{client, url_of};
use crate::config::secrets;
use crate::config::write_back::{self, Naming};
use crate::crm::salesforce::{Auth, Settings};
use crate::mapping::Mapper;

/// Keys that no other kind of source will ever have.
pub(in crate::config) const OWN: [&str; 4] = ["leads", "person_accounts", "bulk_above", "rows_per_query"];

/// Half a million pages by REST. Whoever writes this much means "never".
const MOST_ROWS: u32 = 1_000_000_000;

/// Reads a source's address, login and own keys. A key at fault is reported and left at its default, which nobody will
/// see: a configuration with a fault is none.
pub fn read(section: &Section<'_>, base_url: Option<Url>, mapper: Option<&Mapper>) -> Option<Settings> {
    let auth = section.section("auth").and_then(auth);
    let leads = section.flag("leads");
    let person_accounts = section.flag("person_accounts");
    let bulk_above = section.number("bulk_above", 0..=MOST_ROWS);
    let rows_per_query = section.number("rows_per_query", 1..=2_000);
    let budget_share = section.number("budget_share", 1..=100);
    let write_back = write_back::read(section, &WRITE_BACK, mapper);
    let defaults = Settings::new(my_domain(section, base_url?, auth.as_ref())?, auth?);
    Some(Settings {
        leads: leads.unwrap_or(defaults.leads),
        person_accounts: person_accounts.unwrap_or(defaults.person_accounts),
        bulk_above: bulk_above.map_or(defaults.bulk_above, u64::from),
        rows_per_query: rows_per_query.map_or(defaults.rows_per_query, |rows| rows as usize),
        budget_share: budget_share.unwrap_or(defaults.budget_share),
        write_back,
        ..defaults
    })
}

#[derive(Clone, Copy)]
enum Login {
    ClientCredentials,
    JwtBearer,
}

fn auth(section: Section<'_>) -> Option<Auth> {
    section.require("kind", "add kind = \"client_credentials\" or kind = \"jwt_bearer\"");
    let login = section.choice(
        "kind",
        &[("client_credentials", Word::Built(Login::ClientCredentials)), ("jwt_bearer", Word::Built(Login::JwtBearer))],
    )?;
    let auth = match login {
        Login::ClientCredentials => {
            client(&section).map(|(client_id, client_secret)| Auth::ClientCredentials { client_id, client_secret })
        }
        Login::JwtBearer => jwt_bearer(&section),
    };
    section.close(&[]);
    auth
}

fn jwt_bearer(section: &Section<'_>) -> Option<Auth> {
    section.require("client_id", "add the app's consumer key");
    section
        .require("username", "add the name by which the user to act as logs in: username = \"propsync@example.com\"");
    section.require("private_key", "add private_key = { file = \"PATH\" }, the key to the app's certificate");
    let client_id = section.text("client_id");
    let username = section.text("username");
    let private_key = secrets::read_private_key(section, "private_key");
    let audience = section.text("audience");
    if let Some(audience) = audience {
        url_of(section, "audience", audience)?;
    }
    Some(Auth::JwtBearer {
        client_id: client_id?.to_owned(),
        username: username?.to_owned(),
        private_key: private_key?,
        // As it is written: Salesforce compares it as a text.
        audience: audience.map(str::to_owned),
    })
}

/// Hosts of Salesforce that answer people's browsers and refuse this login: seen before anything is sent, because the
/// refusal itself does not say which host is meant.
fn my_domain(section: &Section<'_>, base_url: Url, auth: Option<&Auth>) -> Option<Url> {
    let host = base_url.host_str().unwrap_or_default();
    let shared = matches!(host, "login.salesforce.com" | "test.salesforce.com");
    let what = match auth {
        _ if host.ends_with(".lightning.force.com") => "is the address of Salesforce's pages, not of its API",
        Some(Auth::ClientCredentials { .. }) if shared => "takes no logins by client credentials",
        _ => return Some(base_url),
    };
    let remedy = "write your own My Domain, https://YOUR-DOMAIN.my.salesforce.com (Setup, My Domain)";
    section.fault("base_url", what, remedy);
    None
}

/// The API name of a custom field of Contact, alone.
const WRITE_BACK: Naming = Naming {
    example: "Propstreet_Contact_Id__c",
    fits: |name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.to_ascii_lowercase().ends_with("__c")
    },
    read_as: str::to_owned,
    unfit: "is not the API name of a custom field of Contact",
    remedy: "make a text field for it and write its API name alone, such as Propstreet_Contact_Id__c",
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use insta::assert_snapshot;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::config::load::parse;
    use crate::config::problems::Problems;
    use crate::config::tree::{Config, SourceConfig};
    use crate::crm;
    use crate::sync::engine::OnDelete;

    const CLIENT: &str = r#"{ kind = "client_credentials", client_id = "k", client_secret = "s" }"#;
    /// The frame of a key with nothing in it: that is all a configuration looks at.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n";

    fn parsed(auth: &str, more: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
        let environment: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let text = format!(
            "propstreet.auth = {{ kind = \"token\", token = \"t\" }}\n[sources.sf]\nkind = \"salesforce\"\n\
             base_url = \"https://acme.my.salesforce.com\"\nfirst_run = \"backfill\"\nauth = {auth}\n{more}"
        );
        parse(Path::new("p.toml"), &text, &environment)
    }

    fn source(auth: &str, more: &str, variables: &[(&str, &str)]) -> (SourceConfig, Settings) {
        let mut config = parsed(auth, more, variables).unwrap_or_else(|problems| panic!("{problems}"));
        let source = config.sources.remove(0);
        let crm::Settings::Salesforce(settings) = source.crm.clone() else { panic!("Salesforce") };
        (source, settings)
    }

    fn faults(auth: &str, more: &str) -> String {
        parsed(auth, more, &[]).map_or_else(|problems| problems.to_string(), |_| "no fault".to_owned())
    }

    #[test]
    fn keys_left_out_have_the_documented_defaults() {
        let (source, settings) = source(CLIENT, "", &[]);
        assert_eq!((settings.leads, settings.person_accounts), (false, true));
        assert_eq!((settings.bulk_above, settings.budget_share), (200_000, 20));
        assert_eq!((settings.write_back, source.on_delete, source.guard), (None, OnDelete::Keep, None));
    }

    #[test]
    fn every_key_reaches_its_setting() {
        let (source, settings) = source(
            CLIENT,
            "leads = true\nperson_accounts = false\nbulk_above = 0\nbudget_share = 100\non_delete = \"delete\"\n\
             guard = 1\nwrite_back = { field = \"Propstreet_Contact_Id__c\" }\n",
            &[],
        );
        assert_eq!((settings.leads, settings.person_accounts), (true, false));
        assert_eq!((settings.bulk_above, settings.budget_share), (0, 100));
        assert_eq!(settings.write_back.as_deref(), Some("Propstreet_Contact_Id__c"));
        assert_eq!((source.on_delete, source.guard), (OnDelete::Delete, Some(1)));
    }

    #[test]
    fn each_can_be_set_from_the_environment() {
        let (source, settings) = source(
            &jwt("\"none\""),
            "write_back = { field = \"Other__c\" }\nmap.strategy = { from = \"Plan__c\" }\n",
            &[
                ("PROPSYNC__SOURCES__SF__LEADS", "true"),
                ("PROPSYNC__SOURCES__SF__PERSON_ACCOUNTS", "false"),
                ("PROPSYNC__SOURCES__SF__BULK_ABOVE", "5000"),
                ("PROPSYNC__SOURCES__SF__BUDGET_SHARE", "7"),
                ("PROPSYNC__SOURCES__SF__WRITE_BACK__FIELD", "Propstreet_Contact_Id__c"),
                ("PROPSYNC__SOURCES__SF__ON_DELETE", "tag"),
                ("PROPSYNC__SOURCES__SF__GUARD", "40"),
                ("PROPSYNC__SOURCES__SF__MAP__STRATEGY__OPTIONAL", "true"),
                ("PROPSYNC__SOURCES__SF__AUTH__PRIVATE_KEY", PEM),
            ],
        );
        assert_eq!((settings.leads, settings.person_accounts), (true, false));
        assert_eq!((settings.bulk_above, settings.budget_share), (5_000, 7));
        assert_eq!(settings.write_back.as_deref(), Some("Propstreet_Contact_Id__c"));
        assert_eq!((source.on_delete, source.guard), (OnDelete::Tag, Some(40)));
        assert!(source.mapper.optional().contains("Plan__c"));
        let Auth::JwtBearer { private_key, .. } = settings.auth else { panic!("a signed login") };
        assert_eq!(private_key.expose_secret(), PEM, "line by line");
    }

    #[test]
    fn values_outside_their_bounds_are_refused() {
        let keys = "leads = \"true\"\nperson_accounts = 1\nbulk_above = -1\nbudget_share = 0\nguard = 0\n\
            on_delete = \"remove\"\nwrite_back = { feild = \"Propstreet_Contact_Id__c\" }\n";
        assert_snapshot!(faults(CLIENT, keys), @r#"
        p.toml:7:9: sources.sf.leads: is a text
            fix: write true or false
        p.toml:8:19: sources.sf.person_accounts: is a whole number
            fix: write true or false
        p.toml:9:14: sources.sf.bulk_above: is out of bounds
            fix: write a whole number from 0 to 1000000000
        p.toml:10:16: sources.sf.budget_share: is out of bounds
            fix: write a whole number from 1 to 100
        p.toml:11:9: sources.sf.guard: is out of bounds
            fix: write a whole number from 1 to 10000000
        p.toml:12:13: sources.sf.on_delete: `remove` is none of its values
            fix: write "keep" or "tag" or "delete"
        p.toml:13:1: sources.sf.write_back.field: is missing
            fix: name it: write_back = { field = "Propstreet_Contact_Id__c" }
        p.toml:13:16: sources.sf.write_back.feild: unknown key
            fix: did you mean `field`?
        "#);
        assert_snapshot!(faults(CLIENT, "budget_share = 101\nwrite_back = \"Propstreet_Contact_Id__c\"\n"), @"
        p.toml:7:16: sources.sf.budget_share: is out of bounds
            fix: write a whole number from 1 to 100
        p.toml:8:14: sources.sf.write_back: is a text
            fix: write a section
        ");
    }

    #[test]
    fn only_a_custom_field_can_hold_our_id() {
        for name in ["Propstreet_Contact_Id__c", "acme__Id__c", "x__C"] {
            assert!((WRITE_BACK.fits)(name), "{name}");
        }
        for name in ["Email", "Account.Id__c", "1d__c", "__c", "Id __c", "Id__c,Email", "Ämne__c", "Id__r", "Id__pc"] {
            assert!(!(WRITE_BACK.fits)(name), "{name}");
        }
    }

    #[test]
    fn the_field_we_write_is_not_read_again() {
        let own = "write_back = { field = \"Propstreet_Id__c\" }\n";
        for rule in ["{ from = [\"Plan__c\", \"propstreet_id__c\"] }", "{ expr = \"Propstreet_Id__c or 'none'\" }"] {
            let told = faults(CLIENT, &format!("{own}map.strategy = {rule}\n"));
            assert!(told.contains("sources.sf.write_back.field: is read by the map too"), "{told}");
        }
        assert_eq!(
            faults(CLIENT, &format!("{own}map.strategy = {{ from = \"Account.Propstreet_Id__c\" }}\n")),
            "no fault"
        );
    }

    #[test]
    fn a_host_that_takes_no_such_login_is_seen_before_anything_is_sent() {
        let at = |auth: &str, host: &str| {
            let at = [("PROPSYNC__SOURCES__SF__BASE_URL", host)];
            parsed(auth, "", &at).map_or_else(|problems| problems.to_string(), |_| "no fault".to_owned())
        };
        assert_snapshot!(at(CLIENT, "https://login.salesforce.com"), @"
        PROPSYNC__SOURCES__SF__BASE_URL (environment): sources.sf.base_url: takes no logins by client credentials
            fix: write your own My Domain, https://YOUR-DOMAIN.my.salesforce.com (Setup, My Domain)
        ");
        assert_snapshot!(at(CLIENT, "https://acme.lightning.force.com"), @"
        PROPSYNC__SOURCES__SF__BASE_URL (environment): sources.sf.base_url: is the address of Salesforce's pages, not of its API
            fix: write your own My Domain, https://YOUR-DOMAIN.my.salesforce.com (Setup, My Domain)
        ");
        assert_eq!(at(&jwt(&format!("'''{PEM}'''")), "https://login.salesforce.com"), "no fault");
        assert_eq!(at(CLIENT, "https://acme--uat.sandbox.my.salesforce.com"), "no fault");
    }

    fn jwt(private_key: &str) -> String {
        format!("{{ kind = \"jwt_bearer\", client_id = \"k\", username = \"a@b.se\", private_key = {private_key} }}")
    }

    #[test]
    fn a_private_key_keeps_its_lines_wherever_it_stands() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        std::fs::write(&path, PEM).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let credentials = folder.path().display().to_string();
        let file = format!("{{ file = \"{}\" }}", path.display());
        let text = format!("'''\n{PEM}'''");
        for reference in [file.as_str(), "{ credential = \"key.pem\" }", "{ env = \"KEY\" }", &text] {
            let variables = [("CREDENTIALS_DIRECTORY", credentials.as_str()), ("KEY", PEM)];
            let (_, settings) = source(&jwt(reference), "", &variables);
            let Auth::JwtBearer { client_id, username, private_key, audience } = settings.auth else {
                panic!("a signed login")
            };
            assert_eq!((client_id.as_str(), username.as_str(), audience), ("k", "a@b.se", None));
            assert_eq!(private_key.expose_secret().trim_end(), PEM.trim_end(), "{reference}");
        }
    }

    #[test]
    fn what_is_no_private_key_is_told_by_its_frame() {
        let at = |pem: &str| faults(&jwt(&format!("'''{pem}'''")), "");
        let framed = |label: &str| format!("-----BEGIN {label}-----\nMIIE\n-----END {label}-----\n");
        assert_eq!(at(&framed("RSA PRIVATE KEY")), "no fault");
        assert_eq!(at(&format!("{}{}", framed("CERTIFICATE"), framed("PRIVATE KEY"))), "no fault");
        assert_eq!(at(&PEM.replace('\n', "\r\n")), "no fault");
        assert_snapshot!(at(&framed("CERTIFICATE")), @"
        p.toml:6:83: sources.sf.auth.private_key: the secret is no private key in PEM
            fix: write all lines from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----; a certificate or public key is not it
        ");
        assert_snapshot!(at(&framed("ENCRYPTED PRIVATE KEY")), @"
        p.toml:6:83: sources.sf.auth.private_key: the private key is locked by a passphrase
            fix: unlock it into a file of mode 0600: openssl pkey -in LOCKED -out KEY
        ");
        assert_snapshot!(at(&framed("EC PRIVATE KEY")), @"
        p.toml:6:83: sources.sf.auth.private_key: the private key is no RSA key in PEM
            fix: take the key of the app's certificate: openssl req -x509 -newkey rsa:2048 -nodes -keyout KEY …
        ");
        let told = at("-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n");
        let locked = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIE\n-----END RSA PRIVATE KEY-----";
        assert!(at(locked).contains("locked by a passphrase"));
        for broken in [PEM.replace('\n', " "), PEM.replace('\n', "\\n"), PEM.replace("END", "EN"), "hunter2".to_owned()]
        {
            assert_eq!(at(&broken), told, "{broken}");
        }
        assert_snapshot!(faults(&jwt("{ file = \"/nowhere/key.pem\" }"), ""), @"
        p.toml:6:92: sources.sf.auth.private_key.file: the file /nowhere/key.pem does not exist
            fix: create it with the key in PEM, mode 0600
        ");
    }

    #[test]
    fn a_signed_login_names_what_it_lacks() {
        assert_snapshot!(faults("{ kind = \"jwt_bearer\", client_secret = \"s\", audience = \"login\" }", ""), @r#"
        p.toml:6:1: sources.sf.auth.client_id: is missing
            fix: add the app's consumer key
        p.toml:6:1: sources.sf.auth.private_key: is missing
            fix: add private_key = { file = "PATH" }, the key to the app's certificate
        p.toml:6:1: sources.sf.auth.username: is missing
            fix: add the name by which the user to act as logs in: username = "propsync@example.com"
        p.toml:6:31: sources.sf.auth.client_secret: unknown key
            fix: remove it; known here: audience, client_id, kind, private_key, username
        p.toml:6:63: sources.sf.auth.audience: is not a URL
            fix: write https://HOST
        "#);
        let audience = jwt(&format!("'''{PEM}''', audience = \"https://test.salesforce.com\""));
        let (_, settings) = source(&audience, "", &[]);
        let Auth::JwtBearer { audience, .. } = settings.auth else { panic!("a signed login") };
        assert_eq!(audience.as_deref(), Some("https://test.salesforce.com"), "as it is written");
    }
}
