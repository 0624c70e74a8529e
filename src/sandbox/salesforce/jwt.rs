//! The JWT bearer grant: an assertion signed by the one key whose certificate the connected app holds.
//! It must not know what a login is good for.

use std::sync::LazyLock;

use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::sandbox::salesforce::call::Denied;
use crate::sandbox::salesforce::model::{CLIENT_ID, USERNAME};

/// The private key, PEM of PKCS #8. It was made for this look-alike, is known to everybody, and opens nothing else.
pub const PRIVATE_KEY: &str = include_str!("integration.pem");

/// How far ahead an assertion may expire, in seconds.
const FARTHEST: i64 = 300;

static PUBLIC_KEY: LazyLock<Option<Vec<u8>>> = LazyLock::new(|| {
    let lines = PRIVATE_KEY.lines().filter(|line| !line.starts_with("-----"));
    let der = BASE64_STANDARD.decode(lines.collect::<String>()).ok()?;
    Some(RsaKeyPair::from_pkcs8(&der).ok()?.public_key().as_ref().to_vec())
});

/// Whether an assertion admits the integration's user; `instance` is the host it came to.
pub fn verify(assertion: &str, instance: &str, now: DateTime<Utc>) -> Result<(), Denied> {
    let invalid = || Denied::new("invalid_grant", "invalid assertion");
    let (signed, signature) = assertion.rsplit_once('.').ok_or_else(invalid)?;
    let (header, claims) = signed.split_once('.').ok_or_else(invalid)?;
    let (header, claims) = (part(header).ok_or_else(invalid)?, part(claims).ok_or_else(invalid)?);
    if header["alg"] != "RS256" {
        return Err(invalid());
    }
    if claims["iss"] != CLIENT_ID {
        return Err(Denied::new("invalid_client_id", "client identifier invalid"));
    }
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
    let key = PUBLIC_KEY.as_ref().ok_or_else(invalid)?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    key.verify(signed.as_bytes(), &signature).map_err(|_| invalid())?;
    let left = seconds(&claims["exp"]).ok_or_else(invalid)?.saturating_sub(now.timestamp());
    if left <= 0 {
        return Err(Denied::new("invalid_grant", "expired authorization code"));
    }
    if left > FARTHEST {
        return Err(invalid());
    }
    let audience = claims["aud"].as_str().unwrap_or_default();
    if !["https://login.salesforce.com", "https://test.salesforce.com", instance].contains(&audience) {
        return Err(Denied::new("invalid_grant", "audience is invalid"));
    }
    if claims["sub"] != USERNAME {
        return Err(Denied::new("invalid_grant", "user hasn't approved this consumer"));
    }
    Ok(())
}

/// Seconds, as a number or, as simple-salesforce sends them, as text.
fn seconds(claim: &Json) -> Option<i64> {
    claim.as_i64().or_else(|| claim.as_str()?.parse().ok())
}

fn part(text: &str) -> Option<Json> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::RSA_PKCS1_SHA256;
    use serde_json::json;

    use super::*;
    use crate::sandbox::salesforce::bench::{Org, at, log_in, pass};

    fn assertion(header: &Json, claims: &Json) -> String {
        let encode = |json: &Json| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let der: String = PRIVATE_KEY.lines().filter(|line| !line.starts_with("-----")).collect();
        let pair = RsaKeyPair::from_pkcs8(&BASE64_STANDARD.decode(der).unwrap()).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims() -> Json {
        let expires = at(180).timestamp();
        json!({"iss": CLIENT_ID, "sub": USERNAME, "aud": "https://login.salesforce.com", "exp": expires})
    }

    async fn present(org: &Org, assertion: &str) -> (u16, Json) {
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        log_in(&org.salesforce, &form).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_assertion_opens_a_session_until_it_expires() {
        let org = Org::new().await;
        let rs256 = json!({"alg": "RS256"});
        for audience in ["https://login.salesforce.com", "https://test.salesforce.com", "http://127.0.0.1:1"] {
            let claims = json!({"aud": audience, "iss": CLIENT_ID, "sub": USERNAME, "exp": at(300).timestamp()});
            let (status, body) = present(&org, &assertion(&rs256, &claims)).await;
            assert!(status == 200 && body["access_token"].is_string() && body.get("refresh_token").is_none(), "{body}");
        }
        let mut textual = claims();
        textual["exp"] = json!(at(180).timestamp().to_string());
        assert_eq!(present(&org, &assertion(&rs256, &textual)).await.0, 200);
        let once = assertion(&rs256, &claims());
        pass(179).await;
        assert_eq!(present(&org, &once).await.0, 200);
        pass(1).await;
        assert_eq!(present(&org, &once).await.1["error_description"], "expired authorization code");
    }

    #[tokio::test(start_paused = true)]
    async fn each_flaw_of_an_assertion_has_its_words() {
        let org = Org::new().await;
        let rs256 = json!({"alg": "RS256"});
        let cases = [
            ("iss", json!("someone"), "client identifier invalid"),
            ("sub", json!("stranger@sandbox.example"), "user hasn't approved this consumer"),
            ("aud", json!("https://example.com"), "audience is invalid"),
            ("exp", json!(at(0).timestamp()), "expired authorization code"),
            ("exp", json!(at(301).timestamp()), "invalid assertion"),
            ("exp", json!(at(180).timestamp_millis()), "invalid assertion"),
            ("exp", json!("2026-11-02T09:03:00Z"), "invalid assertion"),
        ];
        for (claim, value, description) in cases {
            let mut claims = claims();
            claims[claim] = value;
            let (status, body) = present(&org, &assertion(&rs256, &claims)).await;
            assert_eq!((status, &body["error_description"]), (400, &json!(description)), "{claims}");
        }
        let good = assertion(&rs256, &claims());
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let other = assertion(&rs256, &json!({}));
        let swapped = format!("{signed}.{}", other.rsplit_once('.').unwrap().1);
        let unsigned = assertion(&json!({"alg": "none"}), &claims());
        for bad in [swapped, format!("{signed}."), format!("{signed}.{signature}A"), unsigned, "nonsense".to_owned()] {
            assert_eq!(present(&org, &bad).await.1["error_description"], "invalid assertion");
        }
    }
}
