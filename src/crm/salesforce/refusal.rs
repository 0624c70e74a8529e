//! What Salesforce says when it refuses a login, and which setting mends it. The token endpoint has a shape of its own, an
//! object of RFC 6749; the rest of the API answers with an array.
//!
//! <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_flow_errors.htm>

use serde::Deserialize;

use crate::domain::failure::Trouble;
use crate::domain::redact::redact;
use crate::http::transport::Response;

/// A refusal; empty for HTML, no body or another shape.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Refusal {
    /// The code, which alone says little: most of what can be wrong is `invalid_grant`.
    pub error: String,
    error_description: String,
}

/// Words of a refusal, and what to do about it; the first that fits counts.
const REMEDIES: &[(&[&str], &str)] = &[
    (
        &["no client credentials user enabled"],
        "in the app's policies, enable the Client Credentials Flow and choose the user it runs as",
    ),
    (
        &["client credentials flow not enabled", "unsupported_grant_type", "grant type not supported"],
        "enable this flow in the app's OAuth settings",
    ),
    (
        &["hasn't approved this consumer"],
        "in the app's policies, let \"Admin approved users\" in as \"pre-authorized\", and add a permission set or profile \
         that the user has",
    ),
    (&["not admin approved"], "in the app's policies, add a permission set or profile that the user has"),
    (
        &["not installed in this org"],
        "have an administrator install the app in this org, or let \"Admin approved users\" in as \"pre-authorized\" in \
         its policies",
    ),
    (
        &["audience"],
        "the assertion must address https://test.salesforce.com for a sandbox and https://login.salesforce.com for \
         production: correct base_url, or set audience",
    ),
    (
        &["invalid assertion"],
        "the app must hold the certificate that belongs to private_key, client_id must be its consumer key, and username \
         a user of this org",
    ),
    // Said of an assertion that has ended when it arrives.
    (&["expired authorization code"], "set this machine's clock right"),
    (
        &["ip restricted"],
        "relax the IP restrictions in the app's policies, or add this machine's address to the login IP ranges of the \
         user's profile",
    ),
    (&["inactive user", "inactive_user"], "activate the user it logs in as, or choose another"),
    (&["inactive_org", "inactive organization"], "the org itself is locked: ask Salesforce"),
    (
        &["invalid_client_id", "client identifier invalid"],
        "client_id must be the consumer key of an app in the org at base_url; a new app is known only after some minutes",
    ),
    (&["invalid_client", "invalid client"], "client_secret must be the consumer secret of this very app: copy it anew"),
    (
        &["authentication failure"],
        "look up the reason in the user's login history in Salesforce's setup: often it is locked, or the org is another",
    ),
];

impl Refusal {
    /// What a response says.
    pub(super) fn of(response: &Response) -> Self {
        serde_json::from_slice(response.body()).unwrap_or_default()
    }

    /// Whether these words, in lower case, are among its own.
    pub(super) fn says(&self, words: &str) -> bool {
        format!("{} {}", self.error, self.error_description).to_lowercase().contains(words)
    }

    fn remedy(&self) -> Option<&'static str> {
        let fits = |(words, _): &&(&[&str], _)| words.iter().any(|words| self.says(words));
        REMEDIES.iter().find(fits).map(|(_, remedy)| *remedy)
    }
}

/// A login that came to nothing: the credential's fault, or that of the host it was sent to.
pub(super) fn trouble(response: &Response) -> Trouble {
    let (refusal, status) = (Refusal::of(response), response.status());
    let words = redact(&format!("{} {}", refusal.error, refusal.error_description));
    if refusal.says("not supported on this domain") || !matches!(status.as_u16(), 400 | 401 | 403) {
        return Trouble::Protocol(format!(
            "Salesforce takes no logins at this base_url, which must be the org's My Domain \
             (https://NAME.my.salesforce.com), not login.salesforce.com (HTTP {status}): {words}"
        ));
    }
    let remedy = refusal.remedy().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
    Trouble::Credential(format!("Salesforce refuses the login (HTTP {status}): {words}{remedy}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::script::answer;

    #[test]
    fn each_known_refusal_names_the_setting_that_mends_it() {
        for (error, description, setting) in [
            ("invalid_grant", "no client credentials user enabled", "choose the user it runs as"),
            ("invalid_grant", "client credentials flow not enabled", "enable this flow"),
            ("unsupported_grant_type", "grant type not supported", "enable this flow"),
            ("invalid_grant", "user hasn't approved this consumer", "pre-authorized"),
            ("invalid_app_access", "user is not admin approved to access this app", "add a permission set"),
            ("invalid_grant", "external client app is not installed in this org", "install the app"),
            ("invalid_grant", "audience is invalid", "https://test.salesforce.com for a sandbox"),
            ("invalid_grant", "Audience validation failed", "https://test.salesforce.com for a sandbox"),
            ("invalid_grant", "invalid assertion", "certificate that belongs to private_key"),
            ("invalid_grant", "expired authorization code", "clock"),
            ("invalid_grant", "ip restricted", "login IP ranges"),
            ("invalid_grant", "inactive user", "activate the user"),
            ("inactive_user", "user is inactive", "activate the user"),
            ("invalid_client_id", "client identifier invalid", "client_id must be"),
            ("invalid_client", "invalid client credentials", "client_secret must be"),
            ("invalid_grant", "authentication failure", "login history"),
        ] {
            let trouble = trouble(&answer(400, json!({"error": error, "error_description": description})));
            assert_eq!(trouble.code(), "credential", "{trouble}");
            let told = trouble.to_string();
            assert!(told.contains(description) && told.contains(setting), "{told}");
        }
    }

    #[test]
    fn a_refusal_of_any_other_shape_is_told_by_its_status() {
        for (status, body, code) in [
            (400, r#"{"error":"invalid_grant","error_description":"never heard"}"#, "credential"),
            (400, r#"[{"message":"an array is the API's shape","errorCode":"X"}]"#, "credential"),
            (401, "", "credential"),
            (403, "<html>", "credential"),
            (
                400,
                r#"{"error":"invalid_grant","error_description":"request not supported on this domain"}"#,
                "unexpected_answer",
            ),
            (404, "<html>", "unexpected_answer"),
            (302, "", "unexpected_answer"),
        ] {
            let trouble = trouble(&answer(status, body));
            assert_eq!(trouble.code(), code, "{status} {body}");
            assert_eq!(trouble.to_string().contains("My Domain"), code == "unexpected_answer", "{trouble}");
        }
        let named = json!({"error": "invalid_grant", "error_description": "user anna@firma.se is frozen"});
        assert!(!trouble(&answer(400, named)).to_string().contains("anna"));
    }
}
