//! Contacts follow their records: which field, whose, and what happens when somebody else writes at the same time.

use std::time::Duration;

use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::{Person, Phone};
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef, Labelled};
use propsync::sandbox::propstreet::knobs::{Arrays, Knobs, StaleTag, TakenEmail};
use propsync::sandbox::upstream::Crm;
use propsync::sync::report::SourceReport;

use crate::scenarios::answers::firm_with;
use crate::scenarios::restarts::die_after;
use crate::support::{Firm, held, in_virtual_time, person, sync};

const HOUR: Duration = Duration::from_secs(3600);
const UPDATE: &str = "on_change = \"update\"";

/// A firm whose contacts follow HubSpot, with these further lines in that source.
fn firm(knobs: Knobs, more: &str) -> Firm {
    let mut firm = firm_with(knobs);
    firm.extra.insert("hubspot", format!("{UPDATE}\n{more}"));
    firm
}

/// The same with everybody's name, address and phone.
fn anna() -> Person {
    let phone = Some(Phone::new("070-123 45 67", "+46701234567"));
    Person { mobile: phone, label: Some("lead".to_owned()), ..person("Anna", "Berg", "anna@berg.example") }
}

async fn in_propstreet(firm: &Firm, person: &Person) -> ExternalRef {
    let reference = firm.sandbox.plant(Crm::HubSpot, person);
    later(firm).await;
    reference
}

/// An hour later, one sync; what HubSpot's came to.
async fn later(firm: &Firm) -> SourceReport {
    firm.wait(HOUR).await;
    let mut reports = firm.sync().await;
    assert!(reports.iter().all(|report| report.complete && report.counts.balanced()), "{reports:?}");
    let place = reports.iter().position(|report| report.name == "hubspot").expect("it is configured");
    reports.swap_remove(place)
}

fn contact(firm: &Firm, reference: &ExternalRef) -> Contact {
    let mut found = firm.sandbox.propstreet.find(&reference.namespace, &reference.id);
    assert_eq!(found.len(), 1, "one contact carries {reference:?}");
    found.remove(0)
}

fn edit(firm: &Firm, reference: &ExternalRef, edit: impl FnOnce(&mut Person)) {
    firm.sandbox.hubspot.edit(&reference.id, edit);
}

/// Two idle syncs more: the first at the latest makes no write, and the second reads no contact either.
async fn settles(firm: &Firm) {
    later(firm).await;
    for hours in [1, 25] {
        firm.wait(hours * HOUR).await;
        firm.sandbox.propstreet.reset_counts();
        firm.sync().await;
        let requests = firm.sandbox.propstreet.requests();
        let touched: u64 = ["POST contacts", "PATCH contact", "GET contact", "GET contact by ref"]
            .into_iter()
            .map(|call| requests.of(call))
            .sum();
        assert_eq!(touched, 0, "idle: {requests:?}");
    }
}

fn set_email(contact: &mut Contact, address: &str) {
    contact.email = Some(address.to_owned());
    contact.emails = vec![Labelled { value: address.to_owned(), kind: "work".to_owned() }];
}

#[test]
fn what_changes_in_the_crm_changes_in_propstreet_and_nothing_else_does() {
    in_virtual_time(async {
        let firm = firm(Knobs::default(), "");
        let reference = in_propstreet(&firm, &anna()).await;
        let id = contact(&firm, &reference).id;
        firm.sandbox.propstreet.edit(id, |contact| {
            contact.strategy = Some("theirs".to_owned());
            contact.linkedin_url = Some("https://www.linkedin.com/in/anna".to_owned());
        });
        edit(&firm, &reference, |person| person.last = "Lund".to_owned());
        let before = contact(&firm, &reference);
        firm.sandbox.propstreet.reset_counts();
        let report = later(&firm).await;
        assert_eq!((report.counts.updated, report.counts.read), (1, 1), "{report:?}");
        assert_eq!(firm.sandbox.propstreet.requests().of("PATCH contact"), 1);
        let now = contact(&firm, &reference);
        let expected = Contact { last_name: Some("Lund".to_owned()), updated: now.updated, ..before };
        assert_eq!(now, expected);
        settles(&firm).await;
        assert_eq!(firm.ending(&reference).await, "updated");
    });
}

#[test]
fn whoever_ignores_changes_writes_none_and_delivers_what_drifted_once_they_are_wanted() {
    in_virtual_time(async {
        let mut firm = firm_with(Knobs::default());
        let reference = in_propstreet(&firm, &anna()).await;
        edit(&firm, &reference, |person| person.last = "Lund".to_owned());
        let report = later(&firm).await;
        assert_eq!((report.counts.skipped, firm.ending(&reference).await.as_str()), (1, "skipped: change_ignored"));
        edit(&firm, &reference, |person| person.email = Some("no address".to_owned()));
        later(&firm).await;
        assert_eq!(firm.ending(&reference).await, "skipped: change_ignored");
        assert_eq!(contact(&firm, &reference).last_name.as_deref(), Some("Berg"));
        firm.extra.insert("hubspot", UPDATE.to_owned());
        edit(&firm, &reference, |person| person.email = Some("anna@berg.example".to_owned()));
        assert_eq!(later(&firm).await.counts.updated, 1);
        assert_eq!(contact(&firm, &reference).last_name.as_deref(), Some("Lund"));
        assert!(!firm.row(&reference).await.is_some_and(|row| row.drifted));
        settles(&firm).await;
    });
}

#[test]
fn a_phone_that_propstreet_writes_in_its_own_way_is_no_change() {
    in_virtual_time(async {
        let firm = firm(Knobs::default(), "map = { phone = { from = [\"mobilephone\"] } }");
        let reference = in_propstreet(&firm, &anna()).await;
        edit(&firm, &reference, |person| person.mobile = Some(Phone::new("+46 70 123 45 68", "+46701234568")));
        assert_eq!(later(&firm).await.counts.updated, 1);
        assert_eq!(contact(&firm, &reference).phone.as_deref(), Some("+46701234568"));
        edit(&firm, &reference, |person| person.mobile = Some(Phone::new("+46 (70) 123-45 68", "+46701234568")));
        firm.sandbox.propstreet.reset_counts();
        assert_eq!(later(&firm).await.counts.unchanged, 1);
        assert_eq!(firm.sandbox.propstreet.requests().of("PATCH contact"), 0);
        settles(&firm).await;
    });
}

#[test]
fn a_field_is_the_crms_or_its_who_changed_it_in_propstreet() {
    in_virtual_time(async {
        for (owner, expected) in [("crm", "Annelie"), ("propstreet", "Annika")] {
            let firm = firm(Knobs::default(), &format!("owner = {{ first_name = \"{owner}\" }}"));
            let reference = in_propstreet(&firm, &anna()).await;
            edit(&firm, &reference, |person| person.first = "Anne".to_owned());
            later(&firm).await;
            assert_eq!(contact(&firm, &reference).first_name.as_deref(), Some("Anne"), "nobody else has changed it");
            let id = contact(&firm, &reference).id;
            firm.sandbox.propstreet.edit(id, |contact| contact.first_name = Some("Annika".to_owned()));
            edit(&firm, &reference, |person| person.first = "Annelie".to_owned());
            later(&firm).await;
            assert_eq!(contact(&firm, &reference).first_name.as_deref(), Some(expected), "{owner}");
            settles(&firm).await;
        }
    });
}

#[test]
fn an_empty_field_clears_only_what_came_from_the_crm_and_only_where_it_may() {
    in_virtual_time(async {
        for (clear, theirs, expected) in [
            ("", false, Some("+46701234567")),
            ("clear_empty = true", false, None),
            ("clear_empty = true", true, Some("+4612345678")),
        ] {
            let firm = firm(Knobs::default(), clear);
            let reference = in_propstreet(&firm, &anna()).await;
            let id = contact(&firm, &reference).id;
            if theirs {
                firm.sandbox.propstreet.edit(id, |contact| contact.set_phone(Some("+4612345678".to_owned())));
            }
            edit(&firm, &reference, |person| person.mobile = None);
            later(&firm).await;
            assert_eq!(contact(&firm, &reference).phone.as_deref(), expected, "{clear} {theirs}");
            settles(&firm).await;
        }
    });
}

#[test]
fn tags_are_united_and_only_ours_are_taken_away_where_that_can_be() {
    in_virtual_time(async {
        for (owner, arrays, expected) in [
            ("union", Arrays::Replace, vec!["lead", "vip", "customer"]),
            ("crm", Arrays::Replace, vec!["vip", "customer"]),
            ("propstreet", Arrays::Replace, vec!["lead", "vip"]),
            ("union", Arrays::Merge, vec!["lead", "vip", "customer"]),
            ("crm", Arrays::Merge, vec!["lead", "vip", "customer"]),
        ] {
            let knobs = Knobs { arrays, ..Knobs::default() };
            let firm = firm(knobs, &format!("owner = {{ tags = \"{owner}\" }}"));
            let reference = in_propstreet(&firm, &anna()).await;
            let id = contact(&firm, &reference).id;
            firm.sandbox.propstreet.edit(id, |contact| contact.tags.push("vip".to_owned()));
            edit(&firm, &reference, |person| person.label = Some("customer".to_owned()));
            later(&firm).await;
            assert_eq!(contact(&firm, &reference).tags, expected, "{owner} {arrays:?}");
            settles(&firm).await;
        }
    });
}

/// A sync of which the first PATCH meets a 429; while everyone waits, a colleague is faster.
async fn while_a_colleague(firm: &Firm, edits: impl FnOnce(&mut Contact)) {
    let id = firm.contacts()[0].id;
    firm.wait(HOUR).await;
    firm.sandbox.propstreet.reset_counts();
    let wait = Fault::Status { code: 429, retry_after: Some(5) };
    firm.sandbox.propstreet.faults().add(Rule::new(wait).on(http::Method::PATCH).times(1));
    let colleague = async {
        while firm.sandbox.propstreet.requests().of("PATCH contact") == 0 {
            tokio::task::yield_now().await;
        }
        firm.sandbox.propstreet.edit(id, edits);
    };
    let (reports, ()) = tokio::join!(firm.sync(), colleague);
    assert!(crate::support::all_green(&reports), "{reports:?}");
}

#[test]
fn two_who_write_at_once_both_have_their_word() {
    in_virtual_time(async {
        for stale_tag in [StaleTag::PreconditionFailed, StaleTag::Conflict] {
            let firm = firm(Knobs { stale_tag, ..Knobs::default() }, "");
            let reference = in_propstreet(&firm, &anna()).await;
            edit(&firm, &reference, |person| {
                person.last = "Lund".to_owned();
                person.label = Some("customer".to_owned());
            });
            while_a_colleague(&firm, |contact| {
                contact.strategy = Some("theirs".to_owned());
                contact.tags.push("vip".to_owned());
            })
            .await;
            let now = contact(&firm, &reference);
            assert_eq!((now.last_name.as_deref(), now.strategy.as_deref()), (Some("Lund"), Some("theirs")));
            assert_eq!(now.tags, ["lead", "vip", "customer"], "{stale_tag:?}");
            settles(&firm).await;
        }
    });
}

#[test]
fn a_contact_deleted_between_our_read_and_our_write_stays_deleted() {
    in_virtual_time(async {
        for lookup_finds_deleted in [false, true] {
            let firm = firm(Knobs { lookup_finds_deleted, ..Knobs::default() }, "");
            let reference = in_propstreet(&firm, &anna()).await;
            let id = contact(&firm, &reference).id;
            edit(&firm, &reference, |person| person.last = "Lund".to_owned());
            let deleted = propsync::domain::Timestamp::from_timestamp(1_800_000_000, 0);
            while_a_colleague(&firm, |contact| contact.deleted = deleted).await;
            assert_eq!(firm.ending(&reference).await, "skipped: deleted_in_propstreet");
            assert!(firm.contacts().is_empty() && firm.sandbox.propstreet.contact(id).is_some());
            settles(&firm).await;
        }
    });
}

#[test]
fn a_contact_that_was_made_anew_elsewhere_is_followed_there() {
    in_virtual_time(async {
        let firm = firm(Knobs { refs_free_after_delete: true, ..Knobs::default() }, "");
        let reference = in_propstreet(&firm, &anna()).await;
        let id = contact(&firm, &reference).id;
        edit(&firm, &reference, |person| person.last = "Lund".to_owned());
        firm.wait(HOUR).await;
        let parts = firm.start().await;
        // Behind the back of the index: it was read a moment ago.
        let slow =
            Rule::new(Fault::Status { code: 429, retry_after: Some(5) }).path(&format!("contacts/{id}")).times(1);
        firm.sandbox.propstreet.faults().add(slow);
        firm.sandbox.propstreet.reset_counts();
        let colleague = async {
            while firm.sandbox.propstreet.requests().of("GET contact") == 0 {
                tokio::task::yield_now().await;
            }
            firm.sandbox.propstreet.delete(id);
            firm.sandbox.propstreet.plant(held(&anna(), &[("hubspot", &reference.id)]));
        };
        tokio::join!(sync(&parts), colleague);
        parts.engine.ledger.close().await;
        let there = firm.contacts();
        assert_eq!((there.len(), there[0].last_name.as_deref()), (1, Some("Lund")));
        assert_eq!(firm.row(&reference).await.and_then(|row| row.propstreet_id), Some(there[0].id.to_string()));
        settles(&firm).await;
    });
}

#[test]
fn an_address_that_another_contact_has_stays_there() {
    in_virtual_time(async {
        for taken_email in [TakenEmail::Conflict, TakenEmail::Invalid] {
            for (policy, known, ending) in [
                ("link", true, "quarantined: email_taken"),
                ("link", false, "quarantined: email_taken"),
                ("without_email", true, "updated"),
                ("without_email", false, "updated"),
            ] {
                let mut firm = firm(Knobs { taken_email, ..Knobs::default() }, "");
                firm.extra.insert("propstreet", format!("email_conflict = \"{policy}\""));
                let reference = in_propstreet(&firm, &anna()).await;
                let other = held(&person("Nils", "Dahl", "shared@berg.example"), &[]);
                edit(&firm, &reference, |person| {
                    person.last = "Lund".to_owned();
                    person.email = Some("shared@berg.example".to_owned());
                });
                if known {
                    firm.sandbox.propstreet.plant(other);
                    later(&firm).await;
                } else {
                    firm.wait(HOUR).await;
                    let parts = firm.start().await;
                    let wait = Fault::Status { code: 429, retry_after: Some(5) };
                    firm.sandbox.propstreet.faults().add(Rule::new(wait).on(http::Method::PATCH).times(1));
                    firm.sandbox.propstreet.reset_counts();
                    let colleague = async {
                        while firm.sandbox.propstreet.requests().of("PATCH contact") == 0 {
                            tokio::task::yield_now().await;
                        }
                        firm.sandbox.propstreet.plant(other);
                    };
                    tokio::join!(sync(&parts), colleague);
                    parts.engine.ledger.close().await;
                }
                let story = format!("{taken_email:?} {policy} {known}");
                assert_eq!(firm.ending(&reference).await, ending, "{story}");
                let now = contact(&firm, &reference);
                assert_eq!(now.email.as_deref(), Some("anna@berg.example"), "{story}");
                let name = if policy == "link" { "Berg" } else { "Lund" };
                assert_eq!(now.last_name.as_deref(), Some(name), "{story}");
                assert_eq!(firm.contacts().len(), 2);
                if policy == "link" {
                    let id = firm.contacts().into_iter().find(|c| c.id != now.id).expect("the other").id;
                    firm.sandbox.propstreet.edit(id, |contact| set_email(contact, "nils@dahl.example"));
                    later(&firm).await;
                    let now = contact(&firm, &reference);
                    assert_eq!(
                        (now.email.as_deref(), now.last_name.as_deref()),
                        (Some("shared@berg.example"), Some("Lund"))
                    );
                }
                settles(&firm).await;
            }
        }
    });
}

#[test]
fn an_address_refused_for_nobody_that_is_shown_is_put_aside() {
    in_virtual_time(async {
        let firm = firm(Knobs { deleted_addresses_count: true, ..Knobs::default() }, "");
        let reference = in_propstreet(&firm, &anna()).await;
        let problem = Fault::Problem { code: 409, slug: "conflict".to_owned() };
        firm.sandbox.propstreet.faults().add(Rule::new(problem).on(http::Method::PATCH).times(2));
        edit(&firm, &reference, |person| person.email = Some("new@berg.example".to_owned()));
        later(&firm).await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_taken_by_unknown");
        let id = firm.sandbox.propstreet.plant(held(&person("Nils", "Dahl", "old@berg.example"), &[]));
        firm.sandbox.propstreet.delete(id);
        edit(&firm, &reference, |person| person.email = Some("old@berg.example".to_owned()));
        later(&firm).await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_held_by_deleted");
        edit(&firm, &reference, |person| person.email = Some("newer@berg.example".to_owned()));
        assert_eq!(later(&firm).await.counts.updated, 1);
        assert_eq!(contact(&firm, &reference).email.as_deref(), Some("newer@berg.example"));
        settles(&firm).await;
    });
}

#[test]
fn a_lost_answer_is_read_back_and_a_dead_process_knows_its_own_words() {
    in_virtual_time(async {
        for fault in [Fault::LostAfter, Fault::Garbage, Fault::LostBefore, Fault::Truncated] {
            let firm = firm(Knobs::default(), "");
            let reference = in_propstreet(&firm, &anna()).await;
            edit(&firm, &reference, |person| person.last = "Lund".to_owned());
            firm.sandbox.propstreet.faults().add(Rule::new(fault.clone()).on(http::Method::PATCH).times(1));
            firm.sandbox.propstreet.reset_counts();
            assert_eq!(later(&firm).await.counts.updated, 1, "{fault:?}");
            let patches = firm.sandbox.propstreet.requests().of("PATCH contact");
            assert_eq!(patches, 1 + u64::from(fault == Fault::LostBefore), "{fault:?}");
            assert_eq!(contact(&firm, &reference).last_name.as_deref(), Some("Lund"));
            settles(&firm).await;
        }
        // What a process that died had brought is no person's: the field still follows.
        let firm = firm(Knobs::default(), "owner = { last_name = \"propstreet\" }");
        let reference = in_propstreet(&firm, &anna()).await;
        edit(&firm, &reference, |person| person.last = "Lund".to_owned());
        firm.wait(HOUR).await;
        let late = Rule::new(Fault::Late(Duration::from_secs(30))).on(http::Method::PATCH).times(1);
        firm.sandbox.propstreet.faults().add(late);
        let parts = firm.start().await;
        assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
        drop(parts);
        assert_eq!(contact(&firm, &reference).last_name.as_deref(), Some("Lund"));
        edit(&firm, &reference, |person| person.last = "Dahl".to_owned());
        assert_eq!(later(&firm).await.counts.updated, 1);
        assert_eq!(contact(&firm, &reference).last_name.as_deref(), Some("Dahl"));
        settles(&firm).await;
    });
}

/// What a create gave is no person's, also where its answer was lost or its process died, and the record changed meanwhile.
#[test]
fn a_create_that_is_found_again_knows_what_it_gave() {
    in_virtual_time(async {
        for dies in [false, true] {
            let firm = firm(Knobs::default(), "owner = { last_name = \"propstreet\", tags = \"crm\" }");
            let reference = firm.sandbox.plant(Crm::HubSpot, &anna());
            let fault = if dies { Fault::Late(Duration::from_secs(30)) } else { Fault::LostAfter };
            firm.sandbox.propstreet.faults().add(Rule::new(fault).on(http::Method::POST).path("contacts").times(1));
            let parts = firm.start().await;
            let ended = tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await;
            assert_eq!(ended.is_err(), dies);
            drop(parts);
            assert_eq!(contact(&firm, &reference).tags, ["lead"]);
            edit(&firm, &reference, |person| {
                person.last = "Dahl".to_owned();
                person.label = Some("customer".to_owned());
            });
            later(&firm).await;
            let now = contact(&firm, &reference);
            assert_eq!(
                (now.last_name.as_deref(), &now.tags[..]),
                (Some("Dahl"), &["customer".to_owned()][..]),
                "{dies}"
            );
            settles(&firm).await;
        }
    });
}

#[test]
fn wherever_a_process_dies_the_contact_ends_as_its_record() {
    in_virtual_time(async {
        let mut polls = 1;
        loop {
            let firm = firm(Knobs::default(), "owner = { last_name = \"propstreet\" }");
            let reference = in_propstreet(&firm, &anna()).await;
            edit(&firm, &reference, |person| person.last = "Lund".to_owned());
            firm.wait(HOUR).await;
            let parts = firm.start().await;
            let finished = die_after(polls, sync(&parts)).await.is_some();
            drop(parts);
            edit(&firm, &reference, |person| person.last = "Dahl".to_owned());
            later(&firm).await;
            assert_eq!(contact(&firm, &reference).last_name.as_deref(), Some("Dahl"), "dead after {polls} polls");
            if finished {
                break;
            }
            polls += 3;
        }
    });
}
