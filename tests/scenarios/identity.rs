//! Who is who: refs that are there already, addresses that are taken, and three sources that race.

use std::time::Duration;

use propsync::sandbox::propstreet::knobs::Knobs;
use propsync::sandbox::upstream::Crm;

use crate::scenarios::answers::{firm_with, one_anna};
use crate::support::{Firm, held, in_virtual_time, person};

fn empty_firm(seed: u64) -> Firm {
    Firm::new(seed, |settings| settings.contacts = 0)
}

#[test]
fn three_sources_racing_with_one_person_make_one_contact_with_three_refs() {
    in_virtual_time(async {
        for seed in 0..12 {
            let firm = empty_firm(seed);
            let spellings = [
                ("Åsa", "Öberg", "asa@oberg.example"),
                ("ASA", "OBERG", "Asa@Oberg.example"),
                ("Å.", "Öberg", "asa@oberg.example"),
            ];
            let refs = Crm::ALL
                .into_iter()
                .zip(spellings)
                .map(|(crm, (first, last, email))| firm.sandbox.plant(crm, &person(first, last, email)));
            let refs: Vec<_> = refs.collect();
            let reports = firm.sync().await;
            let contacts = firm.contacts();
            // The initial links only where the first to arrive is spelled out: hashes of both must agree later on.
            let quarantined: u64 = reports.iter().map(|report| report.counts.quarantined).sum();
            assert_eq!(contacts.len(), 1, "seed {seed}: {contacts:?}");
            assert_eq!(contacts[0].refs.len() as u64 + quarantined, 3, "seed {seed}: {refs:?}");
        }
        let firm = empty_firm(99);
        for crm in Crm::ALL {
            firm.sandbox.plant(crm, &person("Åsa", "Öberg", "asa@oberg.example"));
        }
        let reports = firm.sync().await;
        assert_eq!(firm.contacts().len(), 1);
        assert_eq!(firm.contacts()[0].refs.len(), 3);
        assert_eq!(reports.iter().map(|report| report.counts.quarantined).sum::<u64>(), 0);
        assert_eq!(reports.iter().map(|report| report.counts.linked).sum::<u64>(), 2);
    });
}

#[test]
fn a_ref_that_is_there_is_adopted_without_a_write() {
    in_virtual_time(async {
        let firm = empty_firm(1);
        let anna = person("Anna", "Berg", "anna@berg.example");
        let reference = firm.sandbox.plant(Crm::HubSpot, &anna);
        firm.sandbox.propstreet.plant(held(&anna, &[("HubSpot", &reference.id)]));
        let writes = firm.sandbox.propstreet.writes();
        firm.sync().await;
        assert!(firm.ending(&reference).await.starts_with("adopted"));
        assert_eq!(firm.sandbox.propstreet.writes(), writes);
        assert_eq!(firm.contacts().len(), 1);
    });
}

#[test]
fn a_salesforce_ref_of_fifteen_characters_is_the_one_of_eighteen() {
    in_virtual_time(async {
        let firm = empty_firm(2);
        let anna = person("Anna", "Berg", "anna@berg.example");
        let reference = firm.sandbox.plant(Crm::Salesforce, &anna);
        firm.sandbox.propstreet.plant(held(&anna, &[("salesforce", &reference.id[..15])]));
        firm.sync().await;
        assert!(firm.ending(&reference).await.starts_with("adopted"));
        assert_eq!(firm.contacts().len(), 1);
    });
}

#[test]
fn a_ref_on_somebody_else_is_put_aside() {
    in_virtual_time(async {
        let firm = empty_firm(3);
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        firm.sandbox
            .propstreet
            .plant(held(&person("Nils", "Dahl", "nils@dahl.example"), &[("hubspot", &reference.id)]));
        firm.sync().await;
        assert_eq!(firm.ending(&reference).await, "quarantined: ref_conflict");
        assert_eq!(firm.contacts().len(), 1);
    });
}

#[test]
fn an_address_with_the_same_name_is_linked_and_one_with_another_name_is_not() {
    in_virtual_time(async {
        for (name, ours, theirs, ending) in [
            ("equal", ("Anna", "Berg"), ("Anna", "Berg"), "linked"),
            ("case, accents and order", ("ÅSA", "ÖBERG"), ("Oberg", "Asa"), "linked"),
            ("an initial", ("A.", "Berg"), ("Anna", "Berg"), "linked"),
            ("an initial with another last name", ("A.", "Dahl"), ("Anna", "Berg"), "quarantined: email_taken"),
            ("another name", ("Nils", "Dahl"), ("Anna", "Berg"), "quarantined: email_taken"),
            ("no last name here", ("Anna", ""), ("Anna", "Berg"), "quarantined: email_taken"),
            ("no name there", ("Anna", "Berg"), ("", ""), "quarantined: email_taken"),
        ] {
            let firm = empty_firm(4);
            let mail = "shared@berg.example";
            let reference = firm.sandbox.plant(Crm::HubSpot, &person(ours.0, ours.1, mail));
            firm.sandbox.propstreet.plant(held(&person(theirs.0, theirs.1, "Shared@Berg.example"), &[]));
            firm.sync().await;
            assert!(firm.ending(&reference).await.starts_with(ending), "{name}: {}", firm.ending(&reference).await);
            assert_eq!(firm.contacts().len(), 1, "{name}");
        }
    });
}

#[test]
fn a_role_address_links_nobody() {
    in_virtual_time(async {
        let firm = empty_firm(5);
        let anna = person("Anna", "Berg", "info@berg.example");
        let reference = firm.sandbox.plant(Crm::HubSpot, &anna);
        firm.sandbox.propstreet.plant(held(&anna, &[]));
        firm.sync().await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_taken");
    });
}

#[test]
fn a_firm_may_name_roles_of_its_own() {
    in_virtual_time(async {
        for (roles, ending) in [("", "linked"), ("role_addresses = [\"kundvard\"]", "quarantined: email_taken")] {
            let mut firm = empty_firm(21);
            firm.extra.insert("propstreet", roles.to_owned());
            let anna = person("Anna", "Berg", "Kundvård@berg.example");
            let reference = firm.sandbox.plant(Crm::HubSpot, &anna);
            firm.sandbox.propstreet.plant(held(&anna, &[]));
            firm.sync().await;
            assert!(firm.ending(&reference).await.starts_with(ending), "{roles}: {}", firm.ending(&reference).await);
        }
    });
}

#[test]
fn two_records_of_one_crm_never_share_a_contact() {
    in_virtual_time(async {
        let firm = empty_firm(6);
        let anna = person("Anna", "Berg", "anna@berg.example");
        let refs = [firm.sandbox.plant(Crm::Pipedrive, &anna), firm.sandbox.plant(Crm::Pipedrive, &anna)];
        firm.sync().await;
        let mut endings = vec![firm.ending(&refs[0]).await, firm.ending(&refs[1]).await];
        endings.sort();
        assert!(endings[0].starts_with("created"), "{endings:?}");
        assert_eq!(endings[1], "quarantined: same_source_email");
        assert_eq!(firm.contacts().len(), 1);
    });
}

#[test]
fn what_somebody_deleted_in_propstreet_stays_deleted() {
    in_virtual_time(async {
        let firm = empty_firm(7);
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        let id = firm.contacts()[0].id;
        firm.sandbox.propstreet.delete(id);
        firm.sandbox.hubspot.edit(&reference.id, |person| person.title = Some("Chef".to_owned()));
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert!(firm.contacts().is_empty());
        assert_eq!(firm.ending(&reference).await, "skipped: deleted_in_propstreet");
    });
}

#[test]
fn an_address_held_by_a_deleted_contact_is_put_aside() {
    in_virtual_time(async {
        let firm = empty_firm(8);
        let anna = person("Anna", "Berg", "anna@berg.example");
        let id = firm.sandbox.propstreet.plant(held(&anna, &[]));
        firm.sandbox.propstreet.delete(id);
        let reference = firm.sandbox.plant(Crm::HubSpot, &anna);
        firm.sync().await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_held_by_deleted");
        assert!(firm.contacts().is_empty());
    });
}

#[test]
fn review_links_nobody_and_without_email_creates_without_it() {
    in_virtual_time(async {
        let mut firm = empty_firm(9);
        firm.extra.insert("propstreet", "email_conflict = \"review\"".to_owned());
        let anna = person("Anna", "Berg", "anna@berg.example");
        firm.sandbox.propstreet.plant(held(&anna, &[]));
        let reference = firm.sandbox.plant(Crm::HubSpot, &anna);
        firm.sync().await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_taken");

        let mut firm = empty_firm(10);
        firm.extra.insert("propstreet", "email_conflict = \"without_email\"".to_owned());
        firm.sandbox.propstreet.plant(held(&person("Nils", "Dahl", "shared@berg.example"), &[]));
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "shared@berg.example"));
        firm.sync().await;
        assert!(firm.ending(&reference).await.starts_with("created"));
        let contacts = firm.contacts();
        let created = contacts.iter().find(|c| c.has_ref(&reference.key())).expect("it is there");
        assert_eq!((contacts.len(), created.email.as_deref()), (2, None));
    });
}

#[test]
fn a_conflict_is_tried_again_when_its_blocker_changes() {
    in_virtual_time(async {
        let firm = empty_firm(20);
        let blocker = firm.sandbox.propstreet.plant(held(&person("Nils", "Dahl", "anna@berg.example"), &[]));
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_taken");
        firm.sandbox.propstreet.edit(blocker, |contact| {
            contact.email = Some("nils@dahl.example".to_owned());
            contact.emails = vec![propsync::sandbox::propstreet::contact::Labelled {
                value: "nils@dahl.example".to_owned(),
                kind: "work".to_owned(),
            }];
        });
        firm.wait(Duration::from_secs(600)).await;
        firm.sync().await;
        assert!(firm.ending(&reference).await.starts_with("created"), "{}", firm.ending(&reference).await);
    });
}

#[test]
fn a_contact_that_a_person_merged_into_another_is_found_there() {
    in_virtual_time(async {
        for (moved_first, on_change) in [(true, "ignore"), (false, "ignore"), (true, "update"), (false, "update")] {
            let mut firm = firm_with(Knobs::default());
            firm.extra.insert("hubspot", format!("on_change = \"{on_change}\""));
            let anna = one_anna(&firm);
            let kept = firm.sandbox.propstreet.plant(held(&person("Anna", "Berg", "a.berg@work.example"), &[]));
            firm.sync().await;
            let merged = firm.sandbox.propstreet.find(&anna.namespace, &anna.id)[0].id;
            firm.wait(Duration::from_secs(3600)).await;
            let moves = || {
                firm.sandbox.propstreet.edit(merged, |contact| contact.refs.clear());
                firm.sandbox.propstreet.edit(kept, |contact| contact.refs.push(anna.clone()));
            };
            if moved_first {
                moves();
            }
            firm.sandbox.propstreet.delete(merged);
            if !moved_first {
                firm.sync().await;
                assert_eq!(firm.ending(&anna).await, "skipped: deleted_in_propstreet");
                moves();
            }
            for _ in 0..2 {
                firm.wait(Duration::from_secs(3600)).await;
                firm.sync().await;
            }
            let row = firm.row(&anna).await.expect("a row");
            assert_eq!((row.propstreet_id, firm.contacts().len()), (Some(kept.to_string()), 1), "{moved_first}");
            assert_eq!(firm.ending(&anna).await, "adopted", "{moved_first} {on_change}");
        }
    });
}
