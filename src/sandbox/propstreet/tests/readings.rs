//! What the pages contradict or leave open about contacts: each knob in both of its readings.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{CONTACTS, Client, contact_uri, reference};
use crate::sandbox::propstreet::company::Company;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef, Labelled};
use crate::sandbox::propstreet::knobs::{Arrays, ConflictBody, CreateOnly, Idempotency, Knobs, Lengths, RefShape};

fn plain() -> Knobs {
    Knobs::default()
}

fn anna() -> Contact {
    let email = Some("anna@x.example".to_owned());
    Contact {
        refs: vec![ExternalRef::new("hubspot", "1")],
        first_name: Some("Anna".to_owned()),
        last_name: Some("Berg".to_owned()),
        email,
        tags: vec!["vip".to_owned()],
        ..Contact::default()
    }
}

fn employed(companies: &[u64], primary: u64) -> Value {
    let one = |id: &u64| json!({"company": {"kind": "existing", "id": id.to_string()}, "primary": *id == primary});
    companies.iter().map(one).collect()
}

fn firm(client: &Client, name: &str) -> u64 {
    client.propstreet.plant_company(Company { name: name.to_owned(), ..Company::default() })
}

#[tokio::test(start_paused = true)]
async fn references_are_shown_in_one_of_two_shapes_and_read_in_one() {
    for (refs, list, flat) in [
        (RefShape::Current, json!([{"namespace": "hubspot", "id": "1"}]), Value::Null),
        (RefShape::Former, json!([{"source": "hubspot", "externalId": "1"}]), json!("hubspot:1")),
    ] {
        let client = Client::new(Knobs { refs, ..plain() }).await;
        let shown = client.get(&contact_uri(client.propstreet.plant(anna()))).await.body;
        assert_eq!((&shown["externalRefs"], shown.get("externalId").unwrap_or(&Value::Null)), (&list, &flat));
        let former = json!({"firstName": "A", "externalRefs": [{"source": "hubspot", "externalId": "2"}]});
        assert_eq!(client.post(CONTACTS, former).await.status, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn put_and_create_only_are_what_the_knobs_say() {
    for (put_updates, status) in [(false, 405), (true, 200)] {
        let client = Client::new(Knobs { put_updates, ..plain() }).await;
        let uri = contact_uri(client.propstreet.plant(anna()));
        let put = client.send(Method::PUT, &uri, None, Some(json!({"firstName": "B"}))).await;
        assert_eq!(put.status, status);
    }
    for (create_only, known, unknown) in
        [(CreateOnly::Unknown, 400, 400), (CreateOnly::Creates, 409, 201), (CreateOnly::Updates, 200, 404)]
    {
        let client = Client::new(Knobs { create_only, ..plain() }).await;
        client.propstreet.plant(anna());
        for (id, status) in [("1", known), ("2", unknown)] {
            let uri = format!("{CONTACTS}/external/hubspot/{id}?create_only=true");
            assert_eq!(client.patch(&uri, None, json!({"firstName": "B"})).await.status, status);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lengths_are_those_of_the_page_the_knob_believes() {
    // A name, an address, a company's name and tags of these lengths; what each reading says of them.
    for (lengths, statuses) in [
        (Lengths::Shortest, [400, 400, 400, 400]),
        (Lengths::ByPage, [400, 201, 400, 201]),
        (Lengths::Guide, [201, 400, 201, 400]),
    ] {
        let client = Client::new(Knobs { lengths, ..plain() }).await;
        let address = format!("berga@{}x.example", "long.".repeat(48));
        assert_eq!(address.len(), 255);
        let tags: Value = (0..101).map(|n| json!(n.to_string())).collect();
        let answers = [
            client.post(CONTACTS, json!({"firstName": "a".repeat(500)})).await,
            client.post(CONTACTS, json!({"email": address})).await,
            client.post("/api/v1/network/companies", json!({"name": "a".repeat(500)})).await,
            client.post(CONTACTS, json!({"firstName": "A", "tags": tags})).await,
        ];
        assert_eq!(answers.map(|answer| answer.status), statuses, "{lengths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_are_normalised_everywhere_or_by_the_upsert_alone() {
    for (phones_as_sent, shown) in [(false, "+46701234567"), (true, "070-123 45 67")] {
        let client = Client::new(Knobs { phones_as_sent, ..plain() }).await;
        let number = json!({"phone": "070-123 45 67"});
        let created = client.post(CONTACTS, number.clone()).await;
        let changed = client.patch(&contact_uri(client.propstreet.plant(anna())), None, number.clone()).await;
        assert_eq!([&created.body["phone"], &changed.body["phone"]], [shown, shown]);
        let upserted = client.patch(&format!("{CONTACTS}/external/s/9"), None, number).await;
        assert_eq!(upserted.body["phone"], "+46701234567");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_nothing_makes_a_new_tag_or_not() {
    for noop_makes_a_version in [false, true] {
        let client = Client::new(Knobs { noop_makes_a_version, ..plain() }).await;
        let uri = contact_uri(client.propstreet.plant(anna()));
        let before = client.get(&uri).await;
        let after = client.patch(&uri, None, json!({"firstName": "Anna"})).await;
        assert_eq!(after.body["etag"] != before.body["etag"], noop_makes_a_version);
    }
}

#[tokio::test(start_paused = true)]
async fn connections_replace_or_join_and_exactly_one_is_primary() {
    for (connections, left) in [(Arrays::Replace, vec!["Syd"]), (Arrays::Merge, vec!["Syd", "Nord"])] {
        let client = Client::new(Knobs { connections, ..plain() }).await;
        let uri = contact_uri(client.propstreet.plant(anna()));
        let [nord, syd] = ["Nord", "Syd"].map(|name| firm(&client, name));
        for (list, status) in
            [(employed(&[nord], nord), 200), (employed(&[nord, syd], 0), 400), (employed(&[syd], syd), 200)]
        {
            assert_eq!(client.patch(&uri, None, json!({"connections": list})).await.status, status);
        }
        let shown = client.get(&uri).await.body["companies"].clone();
        let names: Vec<&str> = shown.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!((names, &shown[0]["isPrimary"]), (left, &json!(true)));
    }
    for (connections_found_companies, status) in [(false, 400), (true, 201)] {
        let client = Client::new(Knobs { connections_found_companies, ..plain() }).await;
        let new = json!([{"company": {"kind": "new", "name": "Ost", "countryCode": "SE"}, "primary": true}]);
        let created = client.post(CONTACTS, json!({"firstName": "A", "connections": new})).await;
        assert_eq!((created.status, client.propstreet.companies().len()), (status, usize::from(status == 201)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_tells_nothing_or_who_is_in_the_way() {
    for (conflict_body, field) in [(ConflictBody::Bare, Value::Null), (ConflictBody::Telling, json!("email"))] {
        let client = Client::new(Knobs { conflict_body, ..plain() }).await;
        let id = client.propstreet.plant(anna());
        let refused = client.post(CONTACTS, json!({"email": "anna@x.example"})).await;
        assert_eq!((refused.status, &refused.body["conflictingField"]), (409, &field));
        assert_eq!(refused.body["existingId"] == json!(id.to_string()), conflict_body == ConflictBody::Telling);
        let refused = client.post(CONTACTS, json!({"firstName": "A", "externalRefs": reference("hubspot", "1")})).await;
        assert_eq!(refused.body["conflictingField"].is_null(), conflict_body == ConflictBody::Bare);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_ignored_or_answers_what_it_answered_even_of_whom_is_gone() {
    for (idempotency, again) in [(Idempotency::Ignored, false), (Idempotency::Replayed, true)] {
        let client = Client::new(Knobs { idempotency, ..plain() }).await;
        let body = json!({"firstName": "A"});
        let first = client.post_with_key(CONTACTS, "k", body.clone()).await;
        assert!(client.propstreet.delete(first.id()));
        let second = client.post_with_key(CONTACTS, "k", body.clone()).await;
        assert_eq!((second.status, second.id() == first.id()), (201, again));
        assert_eq!(second.header("etag") == first.header("etag"), again);
        client.propstreet.clock().sleep(Duration::from_secs(86_400)).await;
        let mut client = client;
        client.log_in().await;
        assert_ne!(client.post_with_key(CONTACTS, "k", body).await.id(), first.id());
    }
}

#[tokio::test(start_paused = true)]
async fn one_reference_of_a_namespace_may_be_all_a_contact_can_carry() {
    for (namespace_once, status) in [(false, 201), (true, 400)] {
        let client = Client::new(Knobs { namespace_once, ..plain() }).await;
        let refs = json!([{"namespace": "A", "id": "1"}, {"namespace": "a", "id": "2"}]);
        assert_eq!(client.post(CONTACTS, json!({"firstName": "A", "externalRefs": refs})).await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upsert_keeps_clears_and_checks_as_the_knobs_say() {
    let uri = format!("{CONTACTS}/external/hubspot/1");
    for (knobs, body, last, tags) in [
        (plain(), json!({"firstName": "B"}), json!("Berg"), json!(["vip"])),
        (Knobs { upsert_clears_absent: true, ..plain() }, json!({"firstName": "B"}), Value::Null, json!([])),
        (plain(), json!({"lastName": null}), Value::Null, json!(["vip"])),
        (Knobs { upsert_ignores_null: true, ..plain() }, json!({"lastName": null}), json!("Berg"), json!(["vip"])),
    ] {
        let client = Client::new(knobs).await;
        client.propstreet.plant(anna());
        let shown = client.patch(&uri, None, body).await.body;
        assert_eq!((&shown["lastName"], &shown["tags"]), (&last, &tags));
        assert_eq!(shown["externalRefs"].as_array().unwrap().len(), 1);
    }
    for (upsert_honours_tag, status) in [(true, 412), (false, 200)] {
        let client = Client::new(Knobs { upsert_honours_tag, ..plain() }).await;
        client.propstreet.plant(anna());
        assert_eq!(client.patch(&uri, Some("W/\"AAAA\""), json!({"firstName": "B"})).await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_match_by_address_looks_and_refuses_as_the_knobs_say() {
    for (name, knobs, id, address, status) in [
        ("a second id joins", plain(), "2", "anna@x.example", 200),
        ("or not", Knobs { match_refuses_second_id: true, ..plain() }, "2", "anna@x.example", 409),
        ("its own id", Knobs { match_refuses_second_id: true, ..plain() }, "1", "anna@x.example", 200),
        ("secondary unseen", plain(), "2", "home@x.example", 201),
        ("secondary seen", Knobs { match_finds_secondary: true, ..plain() }, "2", "home@x.example", 200),
    ] {
        let client = Client::new(knobs).await;
        let emails = ["anna@x.example", "home@x.example"]
            .map(|address| Labelled { value: address.to_owned(), kind: "work".to_owned() });
        client.propstreet.plant(Contact { emails: emails.to_vec(), ..anna() });
        let uri = format!("{CONTACTS}/external/hubspot/{id}?match=email");
        assert_eq!(client.patch(&uri, None, json!({"email": address})).await.status, status, "{name}");
    }
}

/// A reading that the table does not tell of cannot be chosen by who reads it.
#[test]
fn each_knob_stands_in_the_table_of_readings() {
    let table = include_str!("../../../../docs/sandbox-knobs.md");
    let knobs = format!("{:#?}", Knobs::default());
    let fields = knobs.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(':').map(|(name, _)| name));
    let missing: Vec<&str> = fields.filter(|name| !table.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0]);
}
