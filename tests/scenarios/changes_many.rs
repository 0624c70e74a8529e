//! Changes where more than one record has a say: a contact that several stand on, and many who change within a day.

use std::time::Duration;

use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};
use propsync::sandbox::propstreet::knobs::Knobs;
use propsync::sandbox::upstream::Crm;
use propsync::sync::report::SourceReport;

use crate::scenarios::answers::firm_with;
use crate::support::{Firm, held, in_virtual_time, person};

const HOUR: Duration = Duration::from_secs(3600);
const UPDATE: &str = "on_change = \"update\"";

/// A firm whose contacts follow all its CRMs; the first of these sources goes before the others.
fn firm(precedence: &str, more: &str) -> Firm {
    let mut firm = firm_with(Knobs::default());
    for source in ["hubspot", "salesforce", "pipedrive"] {
        firm.extra.insert(source, format!("{UPDATE}\n{more}"));
    }
    firm.extra.insert("propstreet", format!("precedence = [{precedence}]"));
    firm
}

async fn later(firm: &Firm, hours: u32) -> Vec<SourceReport> {
    firm.wait(hours * HOUR).await;
    let reports = firm.sync().await;
    assert!(reports.iter().all(|report| report.complete && report.counts.balanced()), "{reports:?}");
    reports
}

fn updated(reports: &[SourceReport]) -> u64 {
    reports.iter().map(|report| report.counts.updated).sum()
}

async fn settles(firm: &Firm) {
    later(firm, 1).await;
    later(firm, 1).await;
    firm.sandbox.propstreet.reset_counts();
    later(firm, 1).await;
    let requests = firm.sandbox.propstreet.requests();
    let calls = ["POST contacts", "PATCH contact", "GET contact", "GET contact by ref"];
    assert_eq!(calls.into_iter().map(|call| requests.of(call)).sum::<u64>(), 0, "idle: {requests:?}");
}

fn contact(firm: &Firm, reference: &ExternalRef) -> Contact {
    firm.sandbox.propstreet.find(&reference.namespace, &reference.id).remove(0)
}

fn titled(first: &str, phone: &str) -> Person {
    let phone = propsync::sandbox::people::Phone::new(phone, phone);
    let phone = Some(phone).filter(|phone| !phone.typed.is_empty());
    Person { mobile: phone, ..person(first, "Berg", "anna@berg.example") }
}

#[test]
fn of_several_sources_the_first_that_has_a_value_feeds_the_field() {
    in_virtual_time(async {
        for first in ["hubspot", "salesforce"] {
            for hubspot_comes_first in [true, false] {
                let firm = firm(&format!("\"{first}\""), "");
                let plant = |crm, phone| firm.sandbox.plant(crm, &titled("Anna", phone));
                let planted = match hubspot_comes_first {
                    true => {
                        let hubspot = plant(Crm::HubSpot, "+46700000001");
                        later(&firm, 1).await;
                        (hubspot, plant(Crm::Salesforce, "+46700000002"))
                    }
                    false => {
                        let salesforce = plant(Crm::Salesforce, "+46700000002");
                        later(&firm, 1).await;
                        (plant(Crm::HubSpot, "+46700000001"), salesforce)
                    }
                };
                let (hubspot, salesforce) = planted;
                later(&firm, 1).await;
                assert_eq!(firm.contacts().len(), 1);
                let phone = || contact(&firm, &hubspot).phone;
                let (one, other) = match first {
                    "hubspot" => ("+46700000001", "+46700000002"),
                    _ => ("+46700000002", "+46700000001"),
                };
                assert_eq!(
                    phone().as_deref(),
                    Some(one),
                    "{first} goes first, hubspot came first: {hubspot_comes_first}"
                );
                settles(&firm).await;
                // The second has a word on what the first gives up, though nothing of its own has changed.
                let drop_phone = |person: &mut Person| person.mobile = None;
                match first {
                    "hubspot" => firm.sandbox.hubspot.edit(&hubspot.id, drop_phone),
                    _ => firm.sandbox.salesforce.edit(&salesforce.id, drop_phone),
                };
                later(&firm, 1).await;
                later(&firm, 1).await;
                assert_eq!(phone().as_deref(), Some(other), "{first} gave it up");
                settles(&firm).await;
            }
        }
    });
}

#[test]
fn what_a_record_that_left_had_fed_is_the_next_ones() {
    in_virtual_time(async {
        let firm = firm("\"hubspot\"", "");
        let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", "+46700000001"));
        later(&firm, 1).await;
        let salesforce = firm.sandbox.plant(Crm::Salesforce, &titled("Anna", "+46700000002"));
        later(&firm, 1).await;
        assert_eq!(contact(&firm, &salesforce).phone.as_deref(), Some("+46700000001"));
        firm.sandbox.hubspot.delete(&hubspot.id);
        later(&firm, 1).await;
        later(&firm, 25).await;
        later(&firm, 1).await;
        assert_eq!(contact(&firm, &salesforce).phone.as_deref(), Some("+46700000002"));
        settles(&firm).await;
    });
}

#[test]
fn another_name_and_address_at_once_on_a_contact_of_two_is_put_aside() {
    in_virtual_time(async {
        for (alone, name, ending) in
            [(false, "Nils", "quarantined: identity_changed"), (false, "Anna", "updated"), (true, "Nils", "updated")]
        {
            let firm = firm("", "");
            let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", ""));
            if !alone {
                firm.sandbox.plant(Crm::Salesforce, &titled("Anna", ""));
            }
            later(&firm, 1).await;
            assert_eq!(firm.contacts().len(), 1);
            firm.sandbox.hubspot.edit(&hubspot.id, |person| {
                (person.first, person.last) = match name {
                    "Nils" => ("Nils".to_owned(), "Dahl".to_owned()),
                    name => (name.to_owned(), "Berg".to_owned()),
                };
                person.email = Some("new@berg.example".to_owned());
            });
            later(&firm, 1).await;
            assert_eq!(firm.ending(&hubspot).await, ending, "{alone} {name}");
            if ending != "updated" {
                let row = firm.row(&hubspot).await.expect("a row");
                let detail = row.complaint.expect("a complaint").detail;
                assert!(detail.contains("email") && detail.contains("first_name/last_name"), "{detail}");
                assert_eq!(contact(&firm, &hubspot).email.as_deref(), Some("anna@berg.example"));
                // Somebody looks, and says that it is so.
                let id = contact(&firm, &hubspot).id;
                firm.sandbox.propstreet.edit(id, |contact| {
                    (contact.first_name, contact.last_name) = (Some("Nils".to_owned()), Some("Dahl".to_owned()));
                });
                later(&firm, 1).await;
                assert_eq!(contact(&firm, &hubspot).email.as_deref(), Some("new@berg.example"));
            }
            settles(&firm).await;
        }
    });
}

#[test]
fn a_contact_that_is_adopted_or_linked_is_brought_in_line_where_changes_flow() {
    in_virtual_time(async {
        for (follows, refs, ending, phone) in [
            (true, true, "adopted", Some("+46700000001")),
            (true, false, "linked", Some("+46700000001")),
            (false, true, "adopted", None),
            (false, false, "linked", None),
        ] {
            let mut firm = firm_with(Knobs::default());
            firm.extra.insert("hubspot", if follows { UPDATE.to_owned() } else { String::new() });
            let reference = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", "+46700000001"));
            let refs: &[(&str, &str)] = if refs { &[("hubspot", &reference.id)] } else { &[] };
            let mut theirs = held(&titled("Anna", ""), refs);
            theirs.strategy = Some("theirs".to_owned());
            firm.sandbox.propstreet.plant(theirs);
            later(&firm, 1).await;
            assert_eq!(firm.ending(&reference).await, ending, "{follows}");
            let now = contact(&firm, &reference);
            assert_eq!((now.phone.as_deref(), now.strategy.as_deref()), (phone, Some("theirs")), "{ending} {follows}");
            settles(&firm).await;
        }
    });
}

#[test]
fn a_record_that_became_invalid_waits_and_goes_on_on_its_own_contact() {
    in_virtual_time(async {
        let firm = firm("", "");
        let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", ""));
        later(&firm, 1).await;
        let id = contact(&firm, &hubspot).id;
        firm.sandbox.hubspot.edit(&hubspot.id, |person| person.email = Some("no address".to_owned()));
        later(&firm, 1).await;
        assert_eq!(firm.ending(&hubspot).await, "quarantined: invalid_field");
        // Nobody would know them again, neither by name nor by address; the contact is theirs all the same.
        firm.sandbox.propstreet.edit(id, |contact| {
            contact.first_name = Some("Eva".to_owned());
            contact.last_name = Some("Ek".to_owned());
        });
        firm.sandbox.hubspot.edit(&hubspot.id, |person| {
            *person = self::person("Nils", "Dahl", "nils@dahl.example");
        });
        later(&firm, 1).await;
        assert_eq!(firm.ending(&hubspot).await, "updated");
        let now = contact(&firm, &hubspot);
        assert_eq!(
            (now.id, now.email.as_deref(), now.first_name.as_deref()),
            (id, Some("nils@dahl.example"), Some("Nils"))
        );
        settles(&firm).await;
    });
}

#[test]
fn a_contact_that_may_not_be_written_or_that_lost_its_reference_is_put_aside() {
    in_virtual_time(async {
        let refusal =
            |code, body: &str| Fault::Answer { code, content_type: "application/problem+json", body: body.to_owned() };
        for (fault, ending) in [
            (refusal(403, "{}"), "quarantined: forbidden"),
            (refusal(422, r#"{"errors":{"phone":["bad"]}}"#), "quarantined: rejected"),
        ] {
            let firm = firm("", "");
            let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", ""));
            later(&firm, 1).await;
            firm.sandbox.hubspot.edit(&hubspot.id, |person| person.first = "Anne".to_owned());
            firm.sandbox.propstreet.faults().add(Rule::new(fault).on(http::Method::PATCH).times(1));
            later(&firm, 1).await;
            assert_eq!(firm.ending(&hubspot).await, ending);
            firm.sandbox.hubspot.edit(&hubspot.id, |person| person.first = "Annika".to_owned());
            later(&firm, 1).await;
            assert_eq!(firm.ending(&hubspot).await, "updated");
        }
        let firm = firm("", "");
        let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", ""));
        later(&firm, 1).await;
        let id = contact(&firm, &hubspot).id;
        firm.sandbox.propstreet.edit(id, |contact| contact.refs.clear());
        firm.sandbox.hubspot.edit(&hubspot.id, |person| person.first = "Anne".to_owned());
        later(&firm, 1).await;
        assert_eq!(firm.ending(&hubspot).await, "quarantined: ref_conflict");
        assert_eq!((firm.contacts().len(), firm.contacts()[0].first_name.as_deref()), (1, Some("Anna")));
    });
}

#[test]
fn more_changes_than_a_day_may_have_wait_and_go_on_by_themselves_or_with_a_higher_guard() {
    in_virtual_time(async {
        for way in ["wait", "guard"] {
            let mut firm = firm("", "guard = 3");
            let people: Vec<_> = (0..8)
                .map(|n| {
                    firm.sandbox
                        .plant(Crm::HubSpot, &person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")))
                })
                .collect();
            later(&firm, 1).await;
            for reference in &people {
                firm.sandbox.hubspot.edit(&reference.id, |person| person.first = "Anne".to_owned());
            }
            let reports = later(&firm, 1).await;
            let report = reports.iter().find(|report| report.name == "hubspot").expect("it is configured");
            assert_eq!((report.counts.updated, report.counts.deferred), (3, 5), "{report:?}");
            let updates = report.updates.expect("some wait");
            assert_eq!((updates.waiting, updates.guard().allowed, updates.guard().needed), (5, 3, 8));
            assert!(!report.is_green());
            // Who was written within the day may be again.
            let mut written =
                people.iter().filter(|reference| contact(&firm, reference).first_name.as_deref() == Some("Anne"));
            let one = written.next().expect("three were").id.clone();
            firm.sandbox.hubspot.edit(&one, |person| person.first = "Annika".to_owned());
            assert_eq!(updated(&later(&firm, 1).await), 1);
            let now = |name: &str| {
                firm.contacts().iter().filter(|contact| contact.first_name.as_deref() == Some(name)).count()
            };
            assert_eq!((now("Anne"), now("Annika"), now("Anna")), (2, 1, 5));
            if way == "guard" {
                firm.extra.insert("hubspot", format!("{UPDATE}\nguard = 8"));
                assert_eq!(updated(&later(&firm, 1).await), 5);
            } else {
                assert_eq!(updated(&later(&firm, 24).await), 3, "a new day");
                assert_eq!(updated(&later(&firm, 1).await), 0);
                assert_eq!(updated(&later(&firm, 25).await), 2);
            }
            let now = |name: &str| {
                firm.contacts().iter().filter(|contact| contact.first_name.as_deref() == Some(name)).count()
            };
            assert_eq!((now("Anne"), now("Annika"), now("Anna")), (7, 1, 0), "{way}");
            settles(&firm).await;
        }
    });
}

#[test]
fn a_delete_is_not_made_where_a_person_wrote_before_our_last_update() {
    in_virtual_time(async {
        for touched in [false, true] {
            let firm = firm("", "on_delete = \"delete\"");
            let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", ""));
            later(&firm, 1).await;
            let id = contact(&firm, &hubspot).id;
            if touched {
                firm.sandbox.propstreet.edit(id, |contact| contact.strategy = Some("theirs".to_owned()));
            }
            firm.sandbox.hubspot.edit(&hubspot.id, |person| person.first = "Anne".to_owned());
            assert_eq!(updated(&later(&firm, 1).await), 1);
            firm.sandbox.hubspot.delete(&hubspot.id);
            later(&firm, 25).await;
            later(&firm, 1).await;
            assert_eq!(firm.contacts().len(), usize::from(touched), "what a person wrote is not deleted");
        }
    });
}

#[test]
fn under_every_reading_of_the_pages_both_sides_have_their_word_and_then_it_is_quiet() {
    in_virtual_time(async {
        for seed in 0..24 {
            let mut firm = firm_with(Knobs::draw(&mut fastrand::Rng::with_seed(seed)));
            for source in ["hubspot", "salesforce"] {
                firm.extra.insert(source, UPDATE.to_owned());
            }
            let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", "+46700000001"));
            firm.sandbox.plant(Crm::Salesforce, &titled("Anna", ""));
            later(&firm, 1).await;
            let id = contact(&firm, &hubspot).id;
            firm.sandbox.propstreet.edit(id, |contact| {
                contact.strategy = Some("theirs".to_owned());
                contact.tags = vec!["vip".to_owned()];
            });
            firm.sandbox.hubspot.edit(&hubspot.id, |person| {
                person.mobile = Some(propsync::sandbox::people::Phone::new("070-000 00 09", "+46700000009"));
                person.email = Some("New@Berg.example".to_owned());
                person.label = Some("customer".to_owned());
            });
            later(&firm, 1).await;
            let now = contact(&firm, &hubspot);
            assert_eq!(now.email.as_deref().map(str::to_lowercase).as_deref(), Some("new@berg.example"), "seed {seed}");
            assert_eq!(now.phone.as_deref(), Some("+46700000009"), "seed {seed}");
            assert_eq!(
                (now.strategy.as_deref(), now.tags),
                (Some("theirs"), vec!["vip".to_owned(), "customer".to_owned()])
            );
            assert_eq!(firm.contacts().len(), 1, "seed {seed}");
            settles(&firm).await;
        }
    });
}

#[test]
fn more_tags_than_a_contact_may_have_are_put_aside_by_name() {
    in_virtual_time(async {
        let firm = firm("", "");
        let hubspot = firm.sandbox.plant(Crm::HubSpot, &titled("Anna", ""));
        later(&firm, 1).await;
        let id = contact(&firm, &hubspot).id;
        firm.sandbox.propstreet.edit(id, |contact| contact.tags = (0..100).map(|n| format!("t{n}")).collect());
        firm.sandbox.hubspot.edit(&hubspot.id, |person| person.label = Some("customer".to_owned()));
        later(&firm, 1).await;
        assert_eq!(firm.ending(&hubspot).await, "quarantined: invalid_field");
        let complaint = firm.row(&hubspot).await.and_then(|row| row.complaint).expect("a complaint");
        assert!(complaint.detail.starts_with("tags: 101"), "{}", complaint.detail);
        firm.sandbox.propstreet.edit(id, |contact| contact.tags.truncate(9));
        firm.sandbox.hubspot.edit(&hubspot.id, |person| person.first = "Anne".to_owned());
        assert_eq!(updated(&later(&firm, 1).await), 1);
        assert_eq!(contact(&firm, &hubspot).tags.len(), 10);
        settles(&firm).await;
    });
}
