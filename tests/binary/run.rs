//! The program that stays: it syncs, hears its CRM's webhooks, and ends when it is asked to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::upstream::Crm;
use sha2::Sha256;

use crate::binary::stage::{CONTACTS, Stage};

const APP_SECRET: &str = "the-apps-client-secret";
const PUBLIC_URL: &str = "https://propsync.example.com";
/// Two events, one of which tells something about somebody.
const EVENTS: &str = r#"[{"eventId":1,"objectId":70112,"subscriptionType":"contact.creation"},
    {"eventId":1,"objectId":70112,"propertyName":"email","propertyValue":"greta.holm@holm.example"}]"#;

/// A free port of this machine.
fn somewhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// A configuration whose HubSpot calls back here.
fn called_back(stage: &Stage) -> SocketAddr {
    let listen = somewhere();
    let webhooks = format!("[webhooks]\nlisten = \"{listen}\"\npublic_url = \"{PUBLIC_URL}\"\n\n[ledger]\n");
    stage.edit("[ledger]\n", &webhooks);
    let secret = format!("kind = \"hubspot\"\nwebhooks = {{ client_secret = \"{APP_SECRET}\" }}\n");
    stage.edit("kind = \"hubspot\"\n", &secret);
    listen
}

#[expect(clippy::disallowed_methods, reason = "HubSpot's own clock, which is nobody's parameter")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("a time")
}

/// What HubSpot sends: a signature with this secret, made at this time.
struct Call {
    signature: String,
    sent: i64,
}

impl Call {
    fn signed(secret: &str, sent: i64) -> Self {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(format!("POST{PUBLIC_URL}/webhooks/hubspot{EVENTS}{sent}").as_bytes());
        Self { signature: BASE64_STANDARD.encode(mac.finalize().into_bytes()), sent }
    }

    /// Sends it, and says how it was answered.
    fn answered(&self, listen: SocketAddr) -> u16 {
        let Self { signature, sent } = self;
        let signed = format!("X-HubSpot-Signature-v3: {signature}\r\nX-HubSpot-Request-Timestamp: {sent}\r\n");
        answered(listen, &signed)
    }
}

/// How HubSpot's events are answered with these headers.
fn answered(listen: SocketAddr, headers: &str) -> u16 {
    code(&answer(listen, "hubspot", headers, EVENTS))
}

/// What a call to a source's door is answered.
fn answer(listen: SocketAddr, source: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(listen).expect("a listener");
    let length = body.len();
    let head =
        format!("POST /webhooks/{source} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

fn code(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn it_syncs_at_once_and_again_when_its_crm_calls() {
    let stage = Stage::new(71, 20);
    let listen = called_back(&stage);
    let run = stage.start(&["run"]);
    stage.until("everyone is there", || stage.sandbox.check().is_clean());

    let greta = Person {
        first: "Greta".to_owned(),
        last: "Holm".to_owned(),
        email: Some("greta.holm@holm.example".to_owned()),
        ..Person::default()
    };
    let reference = stage.sandbox.plant(Crm::HubSpot, &greta);
    let call = Call::signed(APP_SECRET, now());
    assert_eq!(answered(listen, ""), 401, "unsigned");
    assert_eq!(Call::signed("another-secret", now()).answered(listen), 401);
    assert_eq!(Call::signed(APP_SECRET, now() - 301_000).answered(listen), 401, "old");
    assert_eq!(call.answered(listen), 200);
    assert_eq!(call.answered(listen), 401, "a repetition");
    let there = || !stage.sandbox.propstreet.find(&reference.namespace, &reference.id).is_empty();
    stage.until("the new one is there, minutes before the next poll", there);

    run.signal("TERM");
    let ended = stage.end(run);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
    for (told, times) in [
        ("propsync runs", 1),
        (&format!("webhooks={listen}"), 1),
        ("a webhook was refused", 2),
        ("why=\"not signed\"", 1),
        ("why=\"heard before\"", 1),
        ("propsync ends", 1),
        (APP_SECRET, 0),
    ] {
        assert_eq!(ended.stderr.matches(told).count(), times, "{told}: {ended:?}");
    }
    assert!(stage.sandbox.check().is_clean());
}

#[test]
fn it_hears_from_pipedrive_who_was_merged_into_whom() {
    let stage = Stage::new(74, 10);
    let listen = somewhere();
    let webhooks = format!("[webhooks]\nlisten = \"{listen}\"\npublic_url = \"{PUBLIC_URL}\"\n\n[ledger]\n");
    stage.edit("[ledger]\n", &webhooks);
    let pair = "kind = \"pipedrive\"\nwebhooks = { user = \"propsync\", password = \"the-password\" }\n";
    stage.edit("kind = \"pipedrive\"\n", pair);
    let person = |last: &str| Person { first: "Greta".to_owned(), last: last.to_owned(), ..Person::default() };
    let loser = stage.sandbox.plant(Crm::Pipedrive, &person("Holm"));
    let run = stage.start(&["run"]);
    stage.until("everyone is there", || stage.sandbox.check().is_clean());

    let survivor = stage.sandbox.plant(Crm::Pipedrive, &person("Dahl"));
    assert!(stage.sandbox.pipedrive.merge(&loser.id, &survivor.id));
    let (gone, into) = (&loser.id, &survivor.id);
    let event = format!(
        r#"{{"meta":{{"action":"delete","entity":"person","entity_id":"{gone}","merged_to_id":"{into}"}},"data":null}}"#
    );
    let with = |pair: &str| format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(pair));
    let refused = answer(listen, "pipedrive", "", &event);
    assert!(code(&refused) == 401 && refused.contains("www-authenticate: Basic realm="), "{refused}");
    assert_eq!(code(&answer(listen, "pipedrive", &with("propsync:the-passwort"), &event)), 401);
    for _ in 0..2 {
        assert_eq!(code(&answer(listen, "pipedrive", &with("propsync:the-password"), &event)), 200);
    }
    let on = |reference: &ExternalRef| stage.sandbox.propstreet.find(&reference.namespace, &reference.id);
    stage.until("the survivor is on the contact, minutes before the next poll", || !on(&survivor).is_empty());
    assert_eq!(on(&survivor), on(&loser));

    run.signal("TERM");
    let ended = stage.end(run);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("the-passw") && !ended.stderr.contains("Greta"), "{ended:?}");
}

#[test]
fn it_syncs_by_its_schedule() {
    let stage = Stage::new(74, 3);
    stage.edit(
        "kind = \"salesforce\"\n",
        "kind = \"salesforce\"\nschedule = \"* * * * * *\"\ntimezone = \"Asia/Tokyo\"\n",
    );
    let run = stage.start(&["run"]);
    stage.until("everyone is there", || stage.sandbox.check().is_clean());
    let polls = || {
        stage.asked::<i64>(
            "SELECT count(*) FROM passes WHERE source = 'salesforce' AND kind = 'poll' AND ended IS NOT NULL",
        )
    };
    // The start's own polls once at most; by the default the next would be minutes away.
    stage.until("it has polled three times", || polls() >= 3);
    run.signal("TERM");
    assert_eq!(stage.end(run).code, Some(0));
}

#[test]
fn it_holds_the_ledger_until_it_ends() {
    let stage = Stage::new(72, 20);
    let hangs = Rule::new(Fault::Delay(Duration::from_secs(60))).on(Method::POST).path(CONTACTS);
    stage.sandbox.propstreet.faults().add(hangs.probability(0.5));
    let mut run = stage.start(&["run"]);
    stage.until("contacts exist", || stage.contacts() >= 5);
    for second in ["run", "sync"] {
        let refused = stage.run(&[second, "--json"]);
        assert_eq!(refused.code, Some(3), "{refused:?}");
        let error = &refused.document()["error"];
        assert_eq!(error["code"], "ledger_held");
        let holder = format!("the ledger is in use by process {} on ", run.pid());
        assert!(error["message"].as_str().expect("a message").starts_with(&holder), "{error}");
    }
    assert!(run.child().try_wait().expect("a state").is_none(), "it stays");

    // In the middle of a backfill, as a stop of the service would.
    run.signal("TERM");
    assert_eq!(stage.end(run).code, Some(0));
    assert!(!stage.sandbox.check().is_clean(), "TERM came too late to mean anything");
    stage.sandbox.propstreet.faults().clear();
    let completed = stage.run(&["sync", "--json"]);
    assert!(completed.code == Some(0) || completed.code == Some(4), "{completed:?}");
    assert!(stage.sandbox.check().is_clean());

    let passes = || stage.asked::<i64>("SELECT max(pass) FROM passes");
    let before = passes();
    let run = stage.start(&["run", "--json"]);
    stage.until("it syncs", || passes() > before);
    run.signal("INT");
    let interrupted = stage.end(run);
    assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
    assert_eq!(interrupted.document()["error"]["code"], "interrupted");
}

#[test]
fn an_address_that_is_taken_is_said_before_anything_is_sent() {
    let stage = Stage::new(73, 3);
    let listen = called_back(&stage);
    let taken = TcpListener::bind(listen).expect("a port");
    let refused = stage.run(&["run", "--json"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let error = &refused.document()["error"];
    assert_eq!(error["code"], "no_listener");
    assert_eq!(error["remedy"], "choose another address in webhooks.listen, or end the process that listens there");
    assert_eq!(stage.contacts(), 0);
    drop(taken);
    assert_eq!(stage.run(&["sync"]).code, Some(0), "a sync listens for nobody");
}
