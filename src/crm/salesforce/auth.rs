//! Salesforce logins: the OAuth 2.0 client-credentials flow on the org's My Domain, or a signed assertion. A token has no
//! expiry and no refresh token; it lives until a call is answered 401. It knows no query.
//!
//! <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_client_credentials_flow.htm>,
//! <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_jwt_flow.htm>

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::clock::Clock;
use crate::crm::request;
use crate::crm::salesforce::assertion::{self, Claims};
use crate::crm::salesforce::refusal::{self, Refusal};
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::identity::salesforce_id;
use crate::domain::loopback::is_loopback;
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::token::{Token, Tokens};
use crate::http::transport::Response;
use crate::http::verdict::{self, Verdict};

/// How to log in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Consumer key and secret of an External Client App whose client-credentials flow has a run-as user.
    ClientCredentials {
        /// Consumer key.
        client_id: String,
        /// Consumer secret.
        client_secret: SecretString,
    },
    /// Consumer key of an app that holds the certificate to this key, and a user it is approved for.
    JwtBearer {
        /// Consumer key.
        client_id: String,
        /// The user to act as.
        username: String,
        /// The RSA key in PEM.
        private_key: SecretString,
        /// Whom the assertion addresses; by default Salesforce's login host for production or for sandboxes.
        audience: Option<String>,
    },
}

impl Auth {
    /// The form that asks for a token.
    fn grant(&self, base: &Url, now: Timestamp) -> Result<Bytes, Trouble> {
        match self {
            Self::ClientCredentials { client_id, client_secret } => Ok(body::form(&[
                ("grant_type", "client_credentials"),
                ("client_id", client_id),
                ("client_secret", client_secret.expose_secret()),
            ])),
            Self::JwtBearer { client_id, username, private_key, audience } => {
                let audience = audience.as_deref().unwrap_or_else(|| assertion::audience(base));
                let claims = Claims { issuer: client_id, subject: username, audience, now };
                let assertion = assertion::signed(&claims, private_key)?;
                Ok(body::form(&[("grant_type", assertion::GRANT), ("assertion", assertion.expose_secret())]))
            }
        }
    }
}

/// Salesforce allows 3,600 logins per user and hour, shared by all that user's integrations; a token lasts hours, so
/// more than a few an hour means that something revokes them.
const LOGINS_PER_HOUR: usize = 20;

/// A clock that is off by less than this spoils no assertion.
const CLOCK_OFF: TimeDelta = TimeDelta::seconds(60);

const PATH: &str = "/services/oauth2/token";

/// The token cache, and what the newest token answer said about the org.
#[derive(Clone)]
pub(super) struct Login {
    pub tokens: Tokens,
    org: Arc<Mutex<Option<String>>>,
}

impl Login {
    pub(super) fn new(base: Url, auth: Auth, upstream: Upstream, clock: Clock) -> Self {
        let org = Arc::new(Mutex::new(None));
        let door = Arc::new(Door { base, auth, upstream, clock: clock.clone(), org: Arc::clone(&org) });
        let fetch = move || {
            let door = Arc::clone(&door);
            async move { door.enter().await }.boxed()
        };
        Self { tokens: Tokens::fetched(Box::new(fetch), clock, LOGINS_PER_HOUR), org }
    }

    /// The 18-character id of the org the token is for.
    pub(super) async fn org(&self) -> Result<String, Trouble> {
        self.tokens.current().await?;
        let org = self.org.lock().unwrap_or_else(PoisonError::into_inner).clone();
        org.ok_or_else(|| Trouble::Protocol("Salesforce's token answer names no org (`id` is missing or odd)".into()))
    }
}

/// What one login takes.
struct Door {
    base: Url,
    auth: Auth,
    upstream: Upstream,
    clock: Clock,
    org: Arc<Mutex<Option<String>>>,
}

impl Door {
    /// One login. An assertion made by a clock of ours that is off is refused as ended or as too far ahead; but the
    /// refusal tells the time, and one made by that is sent once.
    async fn enter(&self) -> Result<Token, Trouble> {
        let heard = self.upstream.server_now();
        let first = self.grant(heard.unwrap_or_else(|| self.clock.now())).await;
        let (Err(Trouble::Credential(_)), None, Auth::JwtBearer { .. }) = (&first, heard, &self.auth) else {
            return first;
        };
        match self.upstream.server_now() {
            Some(theirs) if (theirs - self.clock.now()).abs() > CLOCK_OFF => self.grant(theirs).await,
            _ => first,
        }
    }

    async fn grant(&self, now: Timestamp) -> Result<Token, Trouble> {
        let form = self.auth.grant(&self.base, now)?;
        let call = Call::read(request::post_form(&self.base, PATH, form), judge);
        let grant = Grant::read(&self.upstream.call(call).await?, &self.base)?;
        *self.org.lock().unwrap_or_else(PoisonError::into_inner) = grant.org;
        Ok(grant.token)
    }
}

/// The errors of the token endpoint are an object of RFC 6749; only a refused grant is left for [`Grant::read`].
fn judge(response: &Response) -> Verdict {
    let refusal = Refusal::of(response);
    match refusal.error.as_str() {
        // "retry your request": theirs, and passing.
        "unknown_error" => Verdict::Ambiguous,
        _ if refusal.says("rate") && refusal.says("exceeded") => {
            Verdict::Exhausted { until: Duration::from_secs(3600) }
        }
        _ if response.status() == 400 || response.status() == 401 => Verdict::Refused,
        // A page of maintenance comes with 200 too.
        _ if response.status() == 200 && !body::looks_like_json(response) => Verdict::Ambiguous,
        _ => verdict::general(response),
    }
}

struct Grant {
    token: Token,
    org: Option<String>,
}

impl Grant {
    fn read(response: &Response, base: &Url) -> Result<Self, Trouble> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: SecretString,
            instance_url: String,
            id: Option<String>,
        }
        if !response.status().is_success() {
            return Err(refusal::trouble(response));
        }
        let answer: Answer = body::json(response)?;
        let base = api_host(&answer.instance_url, base)?;
        let org = answer.id.as_deref().and_then(org_in);
        Ok(Self { token: Token { secret: answer.access_token, expires_in: None, base: Some(base) }, org })
    }
}

/// The org in `https://login.salesforce.com/id/{org}/{user}`, which may come with 15 or 18 characters.
fn org_in(id_url: &str) -> Option<String> {
    let (_, path) = id_url.split_once("/id/")?;
    salesforce_id(path.split('/').next()?)
}

/// The host the API is on, if the bearer token may go there: Salesforce's own domains over TLS, or the origin the
/// operator configured (a proxy, the sandbox), which has had the client secret anyway.
fn api_host(instance: &str, base: &Url) -> Result<Url, Trouble> {
    const OURS: [&str; 3] = [".salesforce.com", ".salesforce.mil", ".sfcrmproducts.cn"];
    let url = Url::parse(instance).map_err(|_| Trouble::Protocol("Salesforce's instance_url is no URL".into()))?;
    let host = url.host_str().unwrap_or_default();
    let theirs = url.scheme() == "https" && OURS.iter().any(|suffix| host.ends_with(suffix));
    if theirs || url.origin() == base.origin() || (is_loopback(base) && is_loopback(&url)) {
        return Ok(url);
    }
    Err(Trouble::Protocol(format!(
        "Salesforce's instance_url is on {host}, which is no host of Salesforce; nothing was sent there"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Response {
        ::http::Response::builder().status(status).body(Bytes::from(body)).unwrap()
    }

    #[test]
    fn a_token_goes_to_salesforce_or_to_the_configured_origin_only() {
        let real = "https://acme.my.salesforce.com";
        let local = "http://127.0.0.1:9001";
        for (instance, base, accepted) in [
            ("https://acme.my.salesforce.com", real, true),
            ("https://acme--uat.sandbox.my.salesforce.com/", real, true),
            ("https://acme.my.salesforce.mil", real, true),
            ("http://acme.my.salesforce.com", real, false),
            ("https://salesforce.com.evil.example", real, false),
            ("https://evilsalesforce.com", real, false),
            ("http://127.0.0.1:9001", real, false),
            ("http://127.0.0.1:9002", local, true),
            ("http://localhost:9002", local, true),
            ("https://evil.example", local, false),
            ("https://proxy.example", "https://proxy.example/salesforce", true),
            ("acme", real, false),
        ] {
            assert_eq!(api_host(instance, &base.parse().unwrap()).is_ok(), accepted, "{instance} from {base}");
        }
    }

    #[test]
    fn a_grant_needs_token_and_host_and_nothing_else() {
        let base = "https://acme.my.salesforce.com".parse().unwrap();
        let whole = r#"{"access_token":"00D!AQ","instance_url":"https://acme.my.salesforce.com","issued_at":"1764000000000",
            "id":"https://login.salesforce.com/id/001Da00000xnAiy/005xx0000000001AAA","token_type":"Bearer"}"#;
        let grant = Grant::read(&answer(200, whole), &base).unwrap_or_else(|t| panic!("{t}"));
        assert_eq!(grant.org.as_deref(), Some("001Da00000xnAiyIAE"));
        assert_eq!(grant.token.base.unwrap().host_str(), Some("acme.my.salesforce.com"));
        let bare = r#"{"access_token":"00D!AQ","instance_url":"https://acme.my.salesforce.com"}"#;
        assert!(Grant::read(&answer(200, bare), &base).is_ok_and(|g| g.org.is_none()));
        for body in [r#"{"access_token":"x"}"#, "<html>", ""] {
            assert_eq!(
                Grant::read(&answer(200, body), &base).err().map(|t| t.code()),
                Some("unexpected_answer"),
                "{body}"
            );
        }
        let refused = answer(400, r#"{"error":"invalid_grant","error_description":"ip restricted"}"#);
        assert_eq!(Grant::read(&refused, &base).err().map(|t| t.code()), Some("credential"));
    }

    #[test]
    fn the_token_endpoint_is_judged_by_its_own_error_shape() {
        for (status, body, expected) in [
            (400, r#"{"error":"invalid_client"}"#, "Refused"),
            (401, "", "Refused"),
            (400, r#"{"error":"unknown_error","error_description":"retry your request"}"#, "Ambiguous"),
            (400, r#"{"error":"invalid_grant","error_description":"login rate exceeded"}"#, "Exhausted"),
            (403, r#"{"error":"LOGIN_RATE_EXCEEDED"}"#, "Exhausted"),
            (503, "<html>", "Ambiguous"),
            (200, "<html>", "Ambiguous"),
            (404, "<html>", "Refused"),
            (200, "{}", "Fine"),
        ] {
            let verdict = format!("{:?}", judge(&answer(status, body)));
            assert!(verdict.starts_with(expected), "{body}: {verdict}");
        }
    }
}
