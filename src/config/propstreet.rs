//! The `[propstreet]` section, and what it shares with a source: addresses and the frame of a credential.

use url::Url;

use crate::config::document::{Section, Word};
use crate::config::secrets;
use crate::domain::loopback::is_loopback;
use crate::propstreet::{Auth, Settings};
use crate::sync::engine::{EmailConflict, Policy};

const BASE_URL: &str = "https://app.propstreet.com";

/// Reads the section. `None` when something in it is at fault, which it has reported.
pub fn read(section: Section<'_>) -> Option<(Settings, Policy)> {
    let base_url = base_url(&section, Some(BASE_URL));
    section.require("auth", "add auth = { kind = \"client_credentials\", client_id = …, client_secret = … }");
    let auth = section.section("auth").and_then(auth);
    let pace = section.number("requests_per_minute", 1..=10_000_000);
    let email_conflict = match section.has("email_conflict") {
        false => Some(EmailConflict::Link),
        true => section.choice(
            "email_conflict",
            &[
                ("link", Word::Built(EmailConflict::Link)),
                ("review", Word::Built(EmailConflict::Review)),
                ("without_email", Word::Built(EmailConflict::WithoutEmail)),
            ],
        ),
    };
    let role_addresses = section.texts("role_addresses").unwrap_or_default();
    let precedence = section.texts("precedence").unwrap_or_default();
    section.close(&[]);
    let settings = Settings { base_url: base_url?, auth: auth?, requests_per_minute: pace };
    Some((settings, Policy { email_conflict: email_conflict?, role_addresses, precedence }))
}

#[derive(Clone, Copy)]
enum AuthKind {
    Token,
    ClientCredentials,
}

fn auth(section: Section<'_>) -> Option<Auth> {
    section.require("kind", "add kind = \"token\" or kind = \"client_credentials\"");
    let kind = section.choice(
        "kind",
        &[("token", Word::Built(AuthKind::Token)), ("client_credentials", Word::Built(AuthKind::ClientCredentials))],
    )?;
    let auth = match kind {
        AuthKind::Token => secret(&section, "token").map(|token| Auth::Token { token }),
        AuthKind::ClientCredentials => {
            client(&section).map(|(client_id, client_secret)| Auth::ClientCredentials { client_id, client_secret })
        }
    };
    section.close(&[]);
    auth
}

/// `client_id` and `client_secret`, both required.
pub fn client(section: &Section<'_>) -> Option<(String, secrecy::SecretString)> {
    section.require("client_id", "add the client's id");
    let client_id = section.text("client_id");
    let client_secret = secret(section, "client_secret");
    Some((client_id?.to_owned(), client_secret?))
}

/// A secret that must be there.
pub fn secret(section: &Section<'_>, key: &'static str) -> Option<secrecy::SecretString> {
    section.require(key, &format!("add {key} = {{ file = \"PATH\" }} or {{ env = \"NAME\" }}"));
    secrets::read(section, key)
}

/// The `base_url` of an upstream: https, or http to this machine alone, since a credential travels with every request.
/// Without a default it must be written.
pub fn base_url(section: &Section<'_>, default: Option<&str>) -> Option<Url> {
    const KEY: &str = "base_url";
    if default.is_none() {
        section.require(KEY, "add base_url = \"https://YOUR-DOMAIN.my.salesforce.com\"");
    }
    let text = if section.has(KEY) { section.text(KEY)? } else { default? };
    url_of(section, KEY, text)
}

/// The URL that a key's text is, under the same rules.
pub fn url_of(section: &Section<'_>, key: &'static str, text: &str) -> Option<Url> {
    let Ok(url) = Url::parse(text) else {
        section.fault(key, "is not a URL", "write https://HOST");
        return None;
    };
    let fault = match url.scheme() {
        "https" | "http" if !url.has_host() => Some(("names no host", "write https://HOST")),
        "https" => None,
        "http" if is_loopback(&url) => None,
        "http" => Some((
            "would send the credential unencrypted: http:// is for loopback hosts only",
            "write https://, or 127.0.0.1 for the sandbox",
        )),
        _ => Some(("is neither https:// nor http://", "write https://HOST")),
    };
    let fault = fault.or_else(|| {
        let bare = url.username().is_empty() && url.password().is_none();
        (!bare).then_some(("holds a user or password", "remove them; credentials belong into `auth`"))
    });
    let fault = fault.or_else(|| {
        let bare = url.query().is_none() && url.fragment().is_none();
        (!bare).then_some(("has a query or a fragment", "end it after the host or path"))
    });
    match fault {
        Some((what, remedy)) => {
            section.fault(key, what, remedy);
            None
        }
        None => Some(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_machine_alone() {
        for (url, loopback) in [
            ("http://127.0.0.1:9000", true),
            ("http://127.8.0.1", true),
            ("http://localhost/propstreet", true),
            ("http://[::1]:1", true),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(Url::parse(url).is_ok_and(|url| is_loopback(&url)), loopback, "{url}");
        }
    }
}
