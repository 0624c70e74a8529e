//! Pipedrive's webhooks, version 2: how they prove themselves, and the one thing that is taken from them. Pipedrive signs
//! nothing; the user and password that are set with each webhook come back with it as HTTP Basic.
//!
//! A merge is told here and nowhere else: reading shows that a person is there no longer, and not into whom it went. It
//! comes as two events, `delete` with `merged_to_id` and `change` of the survivor with `merged_from_id`; either is enough.
//!
//! <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>

use std::time::Duration;

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::crm::pipedrive::company::MARGIN;
use crate::crm::pipedrive::wire;
use crate::crm::webhook::{Doorkeeper, Heard, Knock, Refused};
use crate::domain::merge::Hint;

/// How webhooks prove that they are Pipedrive's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The webhook's HTTP auth username.
    pub user: String,
    /// The webhook's HTTP auth password.
    pub password: SecretString,
}

/// Knows user and password.
pub(in crate::crm) struct Basic(Settings);

impl Basic {
    pub(in crate::crm) fn new(settings: Settings) -> Self {
        Self(settings)
    }

    fn knows(&self, credentials: &[u8]) -> Result<bool, Refused> {
        let Settings { user, password } = &self.0;
        let ours = format!("{user}:{}", password.expose_secret());
        // Compared as digests, in constant time, so that how long it takes tells nothing.
        Ok(digest(ours.as_bytes())?.verify(&digest(credentials)?.finalize().into_bytes()).is_ok())
    }
}

fn digest(text: &[u8]) -> Result<Hmac<Sha256>, Refused> {
    let mut digest = Hmac::<Sha256>::new_from_slice(&[]).map_err(|_| Refused("wrong user or password"))?;
    digest.update(text);
    Ok(digest)
}

impl Doorkeeper for Basic {
    fn admit(&self, knock: &Knock<'_>) -> Result<Heard, Refused> {
        match self.knows(&credentials(knock.headers)?)? {
            true => Ok(Heard { merged: merged(knock.body).into_iter().collect() }),
            false => Err(Refused("wrong user or password")),
        }
    }

    fn challenge(&self) -> Option<&'static str> {
        Some("Basic realm=\"propsync\"")
    }

    fn shown_after(&self) -> Duration {
        MARGIN
    }
}

/// User and password as they came: `Basic` and, after it, both with a colon between in base64.
fn credentials(headers: &HeaderMap) -> Result<Vec<u8>, Refused> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (sent.next(), sent.next()) else {
        return Err(Refused("no user and password"));
    };
    let header = header.to_str().ok().and_then(|header| header.trim().split_once(' '));
    let Some((_, encoded)) = header.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")) else {
        return Err(Refused("no user and password"));
    };
    BASE64_STANDARD.decode(encoded.trim()).map_err(|_| Refused("no user and password"))
}

/// What stands around an event. Its ids are text, and might be numbers.
#[derive(Deserialize)]
struct Event {
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    action: Option<Value>,
    entity: Option<Value>,
    entity_id: Option<Value>,
    merged_to_id: Option<Value>,
    merged_from_id: Option<Value>,
}

/// The merge of persons that an event tells of. What is not understood tells nothing, and has rung the bell all the same.
fn merged(body: &[u8]) -> Option<Hint> {
    let Event { meta } = serde_json::from_slice(body).ok()?;
    if meta.entity? != "person" {
        return None;
    }
    let (loser, survivor) = match meta.action?.as_str()? {
        "delete" => (meta.entity_id, meta.merged_to_id),
        "change" => (meta.merged_from_id, meta.entity_id),
        _ => return None,
    };
    let (loser, survivor) = (id(&loser?)?, id(&survivor?)?);
    (loser != survivor).then_some(Hint { loser, survivor })
}

/// An id in the digits in which lists show it.
fn id(value: &Value) -> Option<String> {
    let text = wire::text(value).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(text.parse::<u64>().ok().filter(|id| *id > 0)?.to_string())
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderValue, Method};
    use serde_json::json;

    use super::*;
    use crate::domain::Timestamp;

    const NO_PAIR: Refused = Refused("no user and password");
    const WRONG: Refused = Refused("wrong user or password");

    fn door() -> Basic {
        Basic::new(Settings { user: "propsync".to_owned(), password: "p:å ss".into() })
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }

    fn comes(authorization: &[&str], body: &str) -> Result<Heard, Refused> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let (method, address, at) = (&Method::POST, "https://hooks.example.com", Timestamp::UNIX_EPOCH);
        door().admit(&Knock { method, address, headers: &headers, body: body.as_bytes(), at })
    }

    fn tells(body: &Value) -> Option<(String, String)> {
        let heard = comes(&[&basic("propsync:p:å ss")], &body.to_string()).unwrap();
        heard.merged.into_iter().next().map(|Hint { loser, survivor }| (loser, survivor))
    }

    #[test]
    fn user_and_password_let_in_and_nothing_else_does() {
        let right = basic("propsync:p:å ss");
        let encoded = right.strip_prefix("Basic ").unwrap();
        for spelled in [right.clone(), format!("basic {encoded}"), format!("BASIC   {encoded} ")] {
            assert_eq!(comes(&[&spelled], ""), Ok(Heard::default()), "{spelled}");
        }
        let wrong = ["propsync:p:å s", "propsync:p:å sss", "Propsync:p:å ss", "propsync:", "propsync", ":", ":p:å ss"];
        for pair in wrong {
            assert_eq!(comes(&[&basic(pair)], ""), Err(WRONG), "{pair}");
        }
        let others =
            ["", "Basic", "Basic ", encoded, "Basic propsync:p", "Basic ====", &right.replace("Basic", "Bearer")];
        for header in others {
            assert_eq!(comes(&[header], ""), Err(NO_PAIR), "{header}");
        }
        assert_eq!(comes(&[], ""), Err(NO_PAIR));
        assert_eq!(comes(&[&right, &right], ""), Err(NO_PAIR), "one of two might be somebody else's");
        assert!(door().challenge().unwrap().starts_with("Basic "));
    }

    #[test]
    fn a_merge_is_told_by_either_event() {
        let event = |action: &str, extra: (&str, Value), id: Value| {
            let mut meta = json!({
                "action": action, "entity": "person", "entity_id": id, "id": "3b2f", "company_id": "1", "user_id": "7",
                "timestamp": "2026-09-30T11:22:33.456Z", "version": "2.0", "attempt": 1, "change_source": "app",
            });
            meta[extra.0] = extra.1;
            json!({ "meta": meta, "data": null, "previous": { "id": 42, "name": "Ada Byron" } })
        };
        let pair = Some(("42".to_owned(), "7".to_owned()));
        assert_eq!(tells(&event("delete", ("merged_to_id", json!("7")), json!("42"))), pair);
        assert_eq!(tells(&event("delete", ("merged_to_id", json!(7)), json!(42))), pair);
        assert_eq!(tells(&event("delete", ("merged_to_id", json!("007")), json!("42"))), pair);
        assert_eq!(tells(&event("change", ("merged_from_id", json!("42")), json!("7"))), pair);
        for (action, extra, id) in [
            ("delete", ("attempt", json!(2)), json!("42")),
            ("delete", ("merged_to_id", Value::Null), json!("42")),
            ("delete", ("merged_to_id", json!("42")), json!("42")),
            ("delete", ("merged_to_id", json!("7")), Value::Null),
            ("delete", ("merged_to_id", json!("7")), json!("0")),
            ("delete", ("merged_to_id", json!("+7")), json!("42")),
            ("delete", ("merged_to_id", json!("-7")), json!("42")),
            ("delete", ("merged_to_id", json!(7.5)), json!("42")),
            ("delete", ("merged_to_id", json!("7,8")), json!("42")),
            ("delete", ("merged_to_id", json!(["7"])), json!("42")),
            ("delete", ("merged_to_id", json!("99999999999999999999")), json!("42")),
            ("delete", ("merged_from_id", json!("7")), json!("42")),
            ("change", ("merged_to_id", json!("7")), json!("42")),
            ("create", ("merged_to_id", json!("7")), json!("42")),
            ("merge", ("merged_to_id", json!("7")), json!("42")),
        ] {
            assert_eq!(tells(&event(action, extra.clone(), id)), None, "{action} {extra:?}");
        }
        let mut of_a_firm = event("delete", ("merged_to_id", json!("7")), json!("42"));
        of_a_firm["meta"]["entity"] = json!("organization");
        assert_eq!(tells(&of_a_firm), None, "organizations only ring");
    }

    #[test]
    fn what_is_not_understood_rings_and_tells_nothing() {
        let deep = "[".repeat(100_000);
        for body in ["", "null", "[]", "{}", "{\"meta\":", "{\"meta\":null}", "{\"meta\":[]}", "\u{0}", &deep] {
            assert_eq!(comes(&[&basic("propsync:p:å ss")], body), Ok(Heard::default()), "{}", body.len());
        }
    }
}
