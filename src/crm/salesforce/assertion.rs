//! The assertion of the JWT bearer flow: who asks, as whom, whom it addresses and until when, signed with the key whose
//! certificate the app holds. It knows no endpoint.
//!
//! <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_jwt_flow.htm>

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::Url;

use crate::domain::Timestamp;
use crate::domain::failure::Trouble;

/// The grant type that goes with an assertion.
pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Salesforce wants the end near: its pages say three to five minutes, and other clients use three.
const LIFE: TimeDelta = TimeDelta::seconds(180);

/// What an assertion says.
pub(super) struct Claims<'a> {
    /// The app's consumer key.
    pub issuer: &'a str,
    /// The user to act as.
    pub subject: &'a str,
    /// Salesforce's login host.
    pub audience: &'a str,
    /// The server's time, where it is known: a clock that is off by minutes would be refused.
    pub now: Timestamp,
}

/// Whom an assertion to this host addresses: sandboxes have a login host of their own.
pub(super) fn audience(base: &Url) -> &'static str {
    match base.host_str() {
        Some(host) if host.contains(".sandbox.") || host == "test.salesforce.com" => "https://test.salesforce.com",
        _ => "https://login.salesforce.com",
    }
}

/// The claims as a token signed with RS256.
pub(super) fn signed(claims: &Claims<'_>, private_key: &SecretString) -> Result<SecretString, Trouble> {
    let key = key(private_key)?;
    let header = BASE64_URL_SAFE_NO_PAD.encode(json!({"alg": "RS256"}).to_string());
    // Seconds since the epoch; milliseconds would lie in the far future and be refused.
    let ends = (claims.now + LIFE).timestamp();
    let body = json!({"iss": claims.issuer, "sub": claims.subject, "aud": claims.audience, "exp": ends});
    let signing_input = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(body.to_string()));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signing_input.as_bytes(), &mut signature)
        .map_err(|_| Trouble::Credential("the private key cannot sign".to_owned()))?;
    Ok(SecretString::from(format!("{signing_input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
}

fn key(pem: &SecretString) -> Result<KeyPair, Trouble> {
    let unreadable = |what: &str| Trouble::Credential(format!("the private_key of the Salesforce login {what}"));
    let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes())
        .map_err(|_| unreadable("holds no unencrypted private key in PEM"))?;
    match &der {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(unreadable("is no RSA key")),
    }
    .map_err(|_| unreadable("is no RSA key of 2048 bits or more"))
}
