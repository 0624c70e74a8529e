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

/// The key, or why it is none; never a word of it.
fn key(pem: &SecretString) -> Result<KeyPair, Trouble> {
    let pem = pem.expose_secret();
    let unfit = |why: &str| Trouble::Credential(format!("the private_key of the Salesforce login {why}"));
    let no_rsa = || {
        unfit(
            "is no RSA key of 2048 bits or more, and Salesforce takes no other (make one with `openssl genrsa 2048`, and \
             upload a certificate of it to the app)",
        )
    };
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| {
        unfit(match pem {
            _ if pem.contains("ENCRYPTED") => {
                "is locked with a passphrase (take it off with `openssl rsa -in LOCKED.pem -out KEY.pem`)"
            }
            _ if pem.contains("CERTIFICATE") || pem.contains("PUBLIC KEY") => {
                "is a certificate or public key (give the private key that belongs to it)"
            }
            _ => "is no key in PEM (give the whole text, from -----BEGIN PRIVATE KEY----- to its END, in lines)",
        })
    })?;
    match &der {
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        _ => return Err(no_rsa()),
    }
    .map_err(|_| no_rsa())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    };
    use base64::prelude::BASE64_STANDARD;
    use serde_json::Value;

    use super::*;
    use crate::clock::{Clock, Dice};
    use crate::crm::salesforce::auth::{Auth, Login};
    use crate::crm::script::{self, Script};
    use crate::http::client::Upstream;
    use crate::http::pacer::PacerSettings;
    use crate::http::token::Token;
    use crate::http::transport::Response;

    const NOW: Timestamp = Timestamp::from_timestamp(1_764_000_000, 0).unwrap();

    fn pem(label: &str, der: &[u8]) -> SecretString {
        let text = BASE64_STANDARD.encode(der);
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into()
    }

    fn pkcs8(key: &KeyPair) -> Vec<u8> {
        let der = key.as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// A key as it stands in a file.
    fn private_key() -> SecretString {
        pem("PRIVATE KEY", &pkcs8(&KeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    /// When the assertion in this form ends.
    fn ends(form: &str) -> i64 {
        let pairs = url::form_urlencoded::parse(form.as_bytes());
        let assertion = pairs.into_iter().find(|(name, _)| name == "assertion").unwrap().1;
        claims_of(assertion.split('.').nth(1).unwrap())["exp"].as_i64().unwrap()
    }

    fn claims_of(part: &str) -> Value {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    fn claims() -> Claims<'static> {
        Claims { issuer: "key", subject: "user@acme.com", audience: "https://login.salesforce.com", now: NOW }
    }

    #[test]
    fn the_assertion_says_who_asks_and_ends_within_five_minutes_in_seconds() {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let whole = pkcs8(&key);
        // PKCS#8 wraps the key of PKCS#1 in 26 bytes that name the algorithm.
        for private_key in [pem("PRIVATE KEY", &whole), pem("RSA PRIVATE KEY", &whole[26..])] {
            let signed = signed(&claims(), &private_key).unwrap();
            let (input, signature) = signed.expose_secret().rsplit_once('.').unwrap();
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
            public.verify(input.as_bytes(), &BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
            let (header, body) = input.split_once('.').unwrap();
            assert_eq!(claims_of(header), json!({"alg": "RS256"}));
            let body = claims_of(body);
            let expected = json!({"iss": "key", "sub": "user@acme.com", "aud": "https://login.salesforce.com"});
            assert!(["iss", "sub", "aud"].iter().all(|claim| body[claim] == expected[claim]), "{body}");
            let life = body["exp"].as_i64().unwrap() - NOW.timestamp();
            assert!((60..=300).contains(&life), "{life}");
        }
    }

    #[test]
    fn a_key_that_cannot_sign_is_told_by_what_it_is_and_never_quoted() {
        let random = SystemRandom::new();
        let curve = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A\n\nc2VjcmV0\n\
                      -----END RSA PRIVATE KEY-----\n";
        for (private_key, words) in [
            (pem("ENCRYPTED PRIVATE KEY", b"secret"), "passphrase"),
            (legacy.into(), "passphrase"),
            (pem("PRIVATE KEY", curve.as_ref()), "no RSA key"),
            (pem("EC PRIVATE KEY", b"secret"), "no RSA key"),
            (pem("PRIVATE KEY", b"secret"), "no RSA key"),
            (pem("CERTIFICATE", b"secret"), "certificate"),
            (pem("PUBLIC KEY", b"secret"), "public key"),
            ("c2VjcmV0".into(), "no key in PEM"),
            ("/run/secrets/c2VjcmV0.pem".into(), "no key in PEM"),
            ("-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----".into(), "no key in PEM"),
            ("".into(), "no key in PEM"),
        ] {
            let trouble = signed(&claims(), &private_key).unwrap_err();
            assert_eq!(trouble.code(), "credential");
            let told = trouble.to_string();
            assert!(told.contains(words) && told.contains("private_key"), "{words}: {told}");
            assert!(!told.contains("c2VjcmV0") && !told.contains("secret"), "{told}");
        }
    }

    /// Logs in with an assertion by a clock that says this, at a server whose clock says ten, and refuses first.
    async fn asserted(clock: &str, then: Option<Response>) -> (Result<Token, Trouble>, Vec<i64>) {
        let refused =
            script::answer(400, r#"{"error":"invalid_grant","error_description":"expired authorization code"}"#);
        let script = Script::new([refused].into_iter().chain(then));
        let (clock, dice) = (Clock::simulated(clock.parse().unwrap()), Dice::seeded(1));
        let upstream =
            Upstream::new("salesforce", Arc::clone(&script) as _, clock.clone(), dice, PacerSettings::default());
        let auth = Auth::JwtBearer {
            client_id: "key".into(),
            username: "user@acme.com".into(),
            private_key: private_key(),
            audience: None,
        };
        let login = Login::new("https://acme.my.salesforce.com".parse().unwrap(), auth, upstream, clock);
        let token = login.tokens.current().await;
        let ends = script.asked().iter().map(|asked| ends(&asked.body)).collect();
        (token, ends)
    }

    #[tokio::test(start_paused = true)]
    async fn an_assertion_refused_for_our_clock_is_made_once_more_by_theirs() {
        let granted = || script::answer(200, r#"{"access_token":"t","instance_url":"https://acme.my.salesforce.com"}"#);
        let ten = "2026-11-02T10:00:00Z".parse::<Timestamp>().unwrap().timestamp();
        for wrong in ["2026-11-02T08:00:00Z", "2026-11-02T12:00:00Z"] {
            let (token, ends) = asserted(wrong, Some(granted())).await;
            assert!(token.is_ok() && (ten + 60..=ten + 300).contains(&ends[1]), "{ends:?}");
        }
        let (token, ends) = asserted("2026-11-02T10:00:30Z", None).await;
        assert_eq!((token.unwrap_err().code(), ends.len()), ("credential", 1), "the clock was right");
        let again = script::answer(400, r#"{"error":"invalid_grant","error_description":"invalid assertion"}"#);
        let (token, ends) = asserted("2026-11-02T08:00:00Z", Some(again)).await;
        assert_eq!((token.unwrap_err().code(), ends.len()), ("credential", 2), "and no third time");
    }

    #[test]
    fn sandboxes_are_addressed_at_their_own_login_host() {
        for (base, expected) in [
            ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
            ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
            ("https://test.salesforce.com", "https://test.salesforce.com"),
            ("https://sandbox.my.salesforce.com", "https://login.salesforce.com"),
        ] {
            assert_eq!(audience(&base.parse().unwrap()), expected, "{base}");
        }
    }
}
