//! The signature of HubSpot's webhooks, version 3: an HMAC over method, address, body and time, with the client secret
//! of the app that has the subscriptions.
//!
//! <https://developers.hubspot.com/docs/apps/developer-platform/build-apps/authentication/request-validation>

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::crm::hubspot::MARGIN;
use crate::crm::webhook::{Doorkeeper, Heard, Knock, Refused};

const SIGNATURE: &str = "x-hubspot-signature-v3";
const TIMESTAMP: &str = "x-hubspot-request-timestamp";

/// HubSpot's pages ask to refuse what is older. One from the future is a clock that is wrong, or somebody who collects
/// signatures for later.
const AGE: i64 = 5 * 60 * 1000;

/// Signatures that are remembered, about a megabyte. HubSpot sends ten at a time, so it takes a flood to fill it.
const REMEMBERED: usize = 10_000;

/// What HubSpot writes out in the address before it signs, and no other escape.
const WRITTEN_OUT: [(&str, &str); 12] = [
    ("3A", ":"),
    ("2F", "/"),
    ("3F", "?"),
    ("40", "@"),
    ("21", "!"),
    ("24", "$"),
    ("27", "'"),
    ("28", "("),
    ("29", ")"),
    ("2A", "*"),
    ("2C", ","),
    ("3B", ";"),
];

/// How webhooks prove that they are HubSpot's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The client secret of the app that has the subscriptions.
    pub client_secret: SecretString,
}

/// Knows HubSpot's signature.
pub(in crate::crm) struct Signature {
    settings: Settings,
    calls: Mutex<Calls>,
}

/// The calls that were let in and are not too old yet, by their time.
#[derive(Default)]
struct Calls {
    seen: BTreeSet<(i64, [u8; 32])>,
    /// What came at this time or before is no longer remembered, and therefore refused.
    forgotten: i64,
}

impl Signature {
    pub(in crate::crm) fn new(settings: Settings) -> Self {
        Self { settings, calls: Mutex::default() }
    }
}

impl Doorkeeper for Signature {
    fn admit(&self, knock: &Knock<'_>) -> Result<Heard, Refused> {
        let header = |name: &str| knock.headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(signature), Some(timestamp)) = (header(SIGNATURE), header(TIMESTAMP)) else {
            return Err(Refused("not signed"));
        };
        let now = knock.at.timestamp_millis();
        let sent = timestamp.parse::<i64>().map_err(|_| Refused("no time"))?;
        if sent < now - AGE || sent > now + AGE {
            return Err(Refused("too old, or from the future"));
        }
        let signature: [u8; 32] = BASE64_STANDARD
            .decode(signature)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Refused("wrong signature"))?;
        let secret = self.settings.client_secret.expose_secret();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| Refused("wrong signature"))?;
        for part in [knock.method.as_str().as_bytes(), written_out(knock.address).as_bytes()] {
            mac.update(part);
        }
        mac.update(knock.body);
        mac.update(timestamp.as_bytes());
        // Compares in constant time.
        mac.verify_slice(&signature).map_err(|_| Refused("wrong signature"))?;
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).note(sent, signature, now)?;
        Ok(Heard::default())
    }

    fn shown_after(&self) -> Duration {
        MARGIN
    }
}

impl Calls {
    /// Remembers a call for as long as it could be repeated; one that is remembered is a repetition.
    fn note(&mut self, sent: i64, signature: [u8; 32], now: i64) -> Result<(), Refused> {
        self.seen = self.seen.split_off(&(now - AGE, [0; 32]));
        if sent <= self.forgotten || !self.seen.insert((sent, signature)) {
            return Err(Refused("heard before"));
        }
        if self.seen.len() > REMEMBERED
            && let Some((oldest, _)) = self.seen.pop_first()
        {
            self.forgotten = oldest;
        }
        Ok(())
    }
}

/// The address with those escapes written out that HubSpot writes out.
fn written_out(address: &str) -> String {
    let mut parts = address.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known =
            WRITTEN_OUT.iter().find(|(code, _)| part.get(..2).is_some_and(|hex| hex.eq_ignore_ascii_case(code)));
        match known {
            Some((_, character)) => text.extend([character, &part[2..]]),
            None => text.extend(["%", part]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderMap, Method};

    use super::*;
    use crate::domain::Timestamp;

    /// The secret of HubSpot's own examples.
    const SECRET: &str = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
    const ADDRESS: &str = "https://www.example.com/webhook_uri";
    const BODY: &str = r#"{"example_field":"example_value"}"#;
    const SENT: i64 = 1_700_000_000_000;
    /// What HubSpot's clients for Python and Node make of the above, and plain HMAC.
    const SIGNED: &str = "rQEKkaNUiu+1qGF//O/pw4BCzstSqO1PyUnGICmf+7o=";

    /// A call, and what to change in it.
    #[derive(Clone)]
    struct Call {
        method: Method,
        address: String,
        body: String,
        signature: Option<String>,
        timestamp: Option<String>,
        at: i64,
    }

    impl Call {
        fn good() -> Self {
            Self {
                method: Method::POST,
                address: ADDRESS.to_owned(),
                body: BODY.to_owned(),
                signature: Some(SIGNED.to_owned()),
                timestamp: Some(SENT.to_string()),
                at: SENT + 1_000,
            }
        }

        /// The same, sent at this time, and signed by somebody who has this secret and signs this address.
        fn signed(mut self, secret: &str, address: &str, sent: i64) -> Self {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            mac.update(format!("{}{address}{}{sent}", self.method, self.body).as_bytes());
            self.signature = Some(BASE64_STANDARD.encode(mac.finalize().into_bytes()));
            self.timestamp = Some(sent.to_string());
            self
        }

        fn at(mut self, at: i64) -> Self {
            self.at = at;
            self
        }

        fn comes_to(&self, door: &Signature) -> Result<Heard, Refused> {
            let mut headers = HeaderMap::new();
            for (name, value) in [(SIGNATURE, &self.signature), (TIMESTAMP, &self.timestamp)] {
                value.iter().for_each(|value| drop(headers.insert(name, value.parse().unwrap())));
            }
            let at = Timestamp::from_timestamp_millis(self.at).unwrap();
            let Self { method, address, body, .. } = self;
            door.admit(&Knock { method, address, headers: &headers, body: body.as_bytes(), at })
        }
    }

    fn door() -> Signature {
        Signature::new(Settings { client_secret: SECRET.into() })
    }

    #[test]
    fn what_hubspots_own_clients_sign_is_let_in() {
        assert_eq!(Call::good().comes_to(&door()), Ok(Heard::default()));
    }

    #[test]
    fn everything_else_is_refused() {
        let changed = |change: fn(&mut Call)| {
            let mut call = Call::good();
            change(&mut call);
            call
        };
        let cases = [
            ("not signed", changed(|call| call.signature = None)),
            ("not signed", changed(|call| call.timestamp = None)),
            ("no time", changed(|call| call.timestamp = Some("yesterday".to_owned()))),
            ("no time", changed(|call| call.timestamp = Some("99999999999999999999".to_owned()))),
            ("wrong signature", changed(|call| call.method = Method::PUT)),
            ("wrong signature", changed(|call| call.address.push('/'))),
            ("wrong signature", changed(|call| call.address = ADDRESS.replace("https", "http"))),
            ("wrong signature", changed(|call| call.body.push(' '))),
            ("wrong signature", changed(|call| call.timestamp = Some((SENT + 1).to_string()))),
            ("wrong signature", changed(|call| call.signature = Some("rQEK".to_owned()))),
            ("wrong signature", changed(|call| call.signature = Some("no base64!".to_owned()))),
            ("wrong signature", changed(|call| call.signature = Some(String::new()))),
            ("wrong signature", Call::good().signed("another secret", ADDRESS, SENT)),
            ("wrong signature", Call::good().signed("", ADDRESS, SENT)),
            ("too old, or from the future", Call::good().at(SENT + AGE + 1)),
            ("too old, or from the future", Call::good().at(SENT - AGE - 1)),
        ];
        for (why, call) in cases {
            assert_eq!(call.comes_to(&door()), Err(Refused(why)));
        }
        for at in [SENT + AGE, SENT - AGE] {
            assert_eq!(Call::good().at(at).comes_to(&door()), Ok(Heard::default()), "five minutes are not too much");
        }
    }

    #[test]
    fn a_call_is_heard_once() {
        let door = door();
        assert_eq!(Call::good().comes_to(&door), Ok(Heard::default()));
        assert_eq!(Call::good().comes_to(&door), Err(Refused("heard before")));
        assert_eq!(Call::good().at(SENT + AGE).comes_to(&door), Err(Refused("heard before")));
        let next = Call::good().signed(SECRET, ADDRESS, SENT + 1);
        assert_eq!(next.comes_to(&door), Ok(Heard::default()), "the same body a moment later is another call");
        // One that came early stays good for longer than five minutes, and is remembered for as long.
        let early = Call::good().signed(SECRET, ADDRESS, SENT + AGE).at(SENT);
        assert_eq!(early.comes_to(&door), Ok(Heard::default()));
        assert_eq!(early.at(SENT + AGE + 1).comes_to(&door), Err(Refused("heard before")));
    }

    #[test]
    fn what_is_remembered_has_an_end_and_no_gap() {
        let mut calls = Calls::default();
        let full = REMEMBERED as i64;
        for n in 1..=full + 10 {
            assert_eq!(calls.note(SENT + n, [1; 32], SENT), Ok(()));
        }
        assert_eq!(calls.seen.len(), REMEMBERED);
        for n in 1..=full + 10 {
            assert_eq!(calls.note(SENT + n, [1; 32], SENT), Err(Refused("heard before")), "{n}");
        }
        assert_eq!(calls.note(SENT + AGE + full + 20, [1; 32], SENT + AGE + full + 20), Ok(()));
        assert_eq!(calls.seen.len(), 1, "what is too old to be repeated is forgotten");
    }

    #[test]
    fn the_address_is_signed_with_some_escapes_written_out() {
        let query = "?a=%3A%2F%3F%40%21%24%27%28%29%2A%2C%3B&b=%3a%2f&c=%20%26%3D%25%C3%A5&d=%253A&e=%3&f=%";
        let out = "?a=:/?@!$'()*,;&b=:/&c=%20%26%3D%25%C3%A5&d=%253A&e=%3&f=%";
        assert_eq!(written_out(query), out);
        for (code, character) in WRITTEN_OUT {
            let call = Call { address: format!("{ADDRESS}?q=%{code}"), ..Call::good() };
            let signed = call.clone().signed(SECRET, &format!("{ADDRESS}?q={character}"), SENT);
            assert_eq!(signed.comes_to(&door()), Ok(Heard::default()), "{character}");
            let raw = call.clone().signed(SECRET, &call.address, SENT);
            assert_eq!(raw.comes_to(&door()), Err(Refused("wrong signature")), "{character}");
        }
        assert_eq!(written_out("%å%é3A"), "%å%é3A", "a character is never cut");
    }
}
