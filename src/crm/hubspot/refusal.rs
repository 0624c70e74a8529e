//! What HubSpot says when it does not take a credential, and what mends it: of an access token in the API's shape of an
//! error, of a login in that of RFC 6749 with fields of its own. It knows no request.

use chrono::{DateTime, Datelike};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::domain::failure::Trouble;
use crate::domain::redact::redact;
use crate::http::transport::Response;

/// HubSpot is younger than this: no token of its can have ended before.
const BEFORE_HUBSPOT: i32 = 2005;
/// The same in the words of a message, `expired 20543 day(s) ago`.
const TOO_MANY_DAYS: u64 = 20 * 365;

/// What a 401 says of the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It was one and has ended.
    Ended,
    /// It is none: something that HubSpot cannot read as a token is answered as if it had expired in 1970.
    Unreadable,
    /// It is not known, or not any more.
    Unknown,
}

/// Reads category, message and `expire time` of a 401.
pub(super) fn refused(category: &str, message: &str, expire_time: Option<&str>) -> Refused {
    if category != "EXPIRED_AUTHENTICATION" {
        return Refused::Unknown;
    }
    let year = expire_time.and_then(|time| DateTime::parse_from_rfc3339(time).ok()).map(|time| time.year());
    let days = message.split_once(" day(s) ago").and_then(|(before, _)| before.rsplit(' ').next()?.parse::<u64>().ok());
    let never = year.is_some_and(|year| year < BEFORE_HUBSPOT) || days.is_some_and(|days| days > TOO_MANY_DAYS);
    if never { Refused::Unreadable } else { Refused::Ended }
}

impl Refused {
    /// What it means and what to do. The tokens that nobody renews are the operator's; the others are renewed first.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Ended => "the token has ended: make a new one, and write it into auth",
            Self::Unreadable => {
                "what is sent is no access token of HubSpot's. A service key or an app's access token is cut off, mistyped \
                 or another kind of key: copy it anew. Under oauth_refresh the app was uninstalled or its access revoked: \
                 authorise the app again, and write its new refresh token into auth"
            }
            Self::Unknown => {
                "the token was revoked or replaced, its app was uninstalled, or it is mistyped: copy it anew, or make \
                 another one"
            }
        }
    }
}

/// A refused login; empty for HTML, no body or another shape. v1 answers with `status` and `message` alone.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Login {
    error: String,
    error_description: String,
    status: String,
    message: String,
    category: String,
}

/// Words of a refused login, and what to do about it; the first that fits counts.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["invalid_client", "unauthorized_client", "bad_client_id", "bad_client_secret", "client id", "client secret"],
        "client_id and client_secret must be those of the app that was authorised: copy both anew",
    ),
    (
        &["bad_refresh_token", "invalid_grant", "refresh token", "unauthorized"],
        "the app was uninstalled or its access revoked, or the answer to an earlier login was lost, and with it the \
         refresh token that followed: authorise the app again, and write its new refresh token into auth",
    ),
];

/// What a refused login means. No word of it holds one of the secrets that were sent.
pub(super) fn login(response: &Response, secrets: &[&SecretString]) -> Trouble {
    let status = response.status().as_u16();
    let Login { error, error_description, status: code, message, category } =
        serde_json::from_slice(response.body()).unwrap_or_default();
    let description = if error_description.is_empty() { message } else { error_description };
    let said: Vec<&str> = [&error, &code, &category, &description].map(String::as_str).into();
    let mut said = said.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    for secret in secrets.iter().map(|secret| secret.expose_secret()).filter(|secret| !secret.is_empty()) {
        said = said.replace(secret, "[secret]");
    }
    let (folded, said) = (said.to_lowercase(), redact(&said));
    let words = format!("HubSpot refuses the login (HTTP {status}): {said}");
    let fits = |(words, _): &&(&[&str], _)| words.iter().any(|word| folded.contains(word));
    match REMEDIES.iter().find(fits) {
        Some((_, remedy)) if status != 404 => Trouble::Credential(format!("{words} ({remedy})")),
        None if status == 401 => Trouble::Credential(words),
        None if status == 403 => Trouble::Forbidden(words),
        _ => Trouble::Protocol(words),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::script::answer;

    #[test]
    fn a_token_that_ended_is_told_from_one_that_never_was_one() {
        for (category, message, expire_time, expected) in [
            (
                "EXPIRED_AUTHENTICATION",
                "The OAuth token used to make this call expired 75 second(s) ago.",
                Some("2026-06-21T10:37:52.040Z"),
                Refused::Ended,
            ),
            (
                "EXPIRED_AUTHENTICATION",
                "The OAuth token used to make this call expired 20543 day(s) ago.",
                Some("1970-01-01T00:00:00Z"),
                Refused::Unreadable,
            ),
            ("EXPIRED_AUTHENTICATION", "expired 20543 day(s) ago.", None, Refused::Unreadable),
            ("EXPIRED_AUTHENTICATION", "expired", Some("1970-01-01T00:00:00Z"), Refused::Unreadable),
            ("EXPIRED_AUTHENTICATION", "expired 3 day(s) ago", None, Refused::Ended),
            ("EXPIRED_AUTHENTICATION", "", Some("yesterday"), Refused::Ended),
            ("INVALID_AUTHENTICATION", "Authentication credentials not found.", None, Refused::Unknown),
            ("", "", None, Refused::Unknown),
        ] {
            assert_eq!(refused(category, message, expire_time), expected, "{category} {message}");
        }
    }

    #[test]
    fn a_refused_login_names_what_mends_it() {
        let rfc = |error: &str, words: &str| json!({"error": error, "error_description": words}).to_string();
        let old = |status: &str, message: &str| json!({"status": status, "message": message}).to_string();
        for (status, body, code, remedy) in [
            (
                400,
                rfc("invalid_grant", "refresh token is invalid, expired or revoked"),
                "credential",
                "authorise the app",
            ),
            (400, old("BAD_REFRESH_TOKEN", "missing or invalid refresh token"), "credential", "authorise the app"),
            (401, old("UNAUTHORIZED", ""), "credential", "authorise the app"),
            (400, old("BAD_CLIENT_ID", "missing or unknown client id"), "credential", "client_id and client_secret"),
            (401, rfc("invalid_client", ""), "credential", "client_id and client_secret"),
            (400, rfc("unauthorized_client", ""), "credential", "client_id and client_secret"),
            (400, old("BAD_GRANT_TYPE", "missing or unknown grant type"), "unexpected_answer", "BAD_GRANT_TYPE"),
            (400, json!({"category": "VALIDATION_ERROR"}).to_string(), "unexpected_answer", "VALIDATION_ERROR"),
            (401, String::new(), "credential", "HTTP 401"),
            (403, "<html>".to_owned(), "forbidden", "HTTP 403"),
            (404, "<html>".to_owned(), "unexpected_answer", "HTTP 404"),
            (404, rfc("invalid_grant", ""), "unexpected_answer", "HTTP 404"),
        ] {
            let trouble = login(&answer(status, &body), &[]);
            assert_eq!(trouble.code(), code, "{status} {body}");
            assert!(trouble.to_string().contains(remedy), "{trouble}");
        }
    }

    #[test]
    fn no_word_of_a_refused_login_holds_a_secret() {
        let body =
            json!({"error": "invalid_grant", "error_description": "na1-r3fr3sh of anna@firma.se with s3cr3t is dead"});
        let (refresh_token, secret) = (SecretString::from("na1-r3fr3sh"), SecretString::from("s3cr3t"));
        let told = login(&answer(400, body), &[&secret, &refresh_token, &SecretString::default()]).to_string();
        for word in ["na1-r3fr3sh", "s3cr3t", "anna"] {
            assert!(!told.contains(word), "{told}");
        }
        assert!(told.contains("[secret] of [address] with [secret] is dead"), "{told}");
    }
}
