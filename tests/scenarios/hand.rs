//! What a person decides by hand: resync, detach, link, no address, bring back, forget.

use std::time::Duration;

use propsync::assembly::Parts;
use propsync::domain::decision::Wish;
use propsync::domain::pass::PassKind;
use propsync::domain::request::Chosen;
use propsync::domain::told::Silent;
use propsync::sandbox::propstreet::contact::{ExternalRef, Labelled};
use propsync::sandbox::upstream::Crm;
use propsync::sync::report::SourceReport;

use crate::support::{Firm, held, in_virtual_time, person, sync};

const WAIT: Duration = Duration::from_secs(120);

fn empty_firm(seed: u64) -> Firm {
    Firm::new(seed, |settings| settings.contacts = 0)
}

pub async fn resync(parts: &Parts, name: &str, chosen: Chosen, revive: bool) -> SourceReport {
    let source = parts.sources.iter().find(|source| source.name == name).expect("a source");
    let report = parts.engine.resync(source, chosen, revive, WAIT, &Silent).await;
    assert!(report.complete && report.counts.balanced(), "{report:?}");
    report
}

/// Decides about one record and delivers it, as the command does. `Err` where the wish does not fit.
pub async fn resolve(firm: &Firm, reference: &ExternalRef, wish: Wish) -> Result<String, String> {
    let parts = firm.start().await;
    let decided = parts.engine.resolve(&firm.key(reference), wish).await.expect("a ledger");
    if decided.is_ok() {
        resync(&parts, &reference.namespace, Chosen::Ids(vec![reference.id.clone()]), false).await;
    }
    parts.close().await;
    decided?;
    Ok(firm.ending(reference).await)
}

pub const DETACH: Wish = Wish { detach: true, link: false, without_email: false, revive: false };
const LINK: Wish = Wish { detach: false, link: true, without_email: false, revive: false };
const WITHOUT: Wish = Wish { detach: false, link: false, without_email: true, revive: false };
pub const REVIVE: Wish = Wish { detach: false, link: false, without_email: false, revive: true };

#[test]
fn a_resync_reads_whom_it_is_told_to_and_moves_no_cursor() {
    in_virtual_time(async {
        for crm in ["salesforce", "hubspot", "pipedrive"] {
            let firm = Firm::new(31, |settings| settings.contacts = 8);
            let parts = firm.start().await;
            sync(&parts).await;
            let kinds = [PassKind::Poll, PassKind::Sweep, PassKind::Backfill, PassKind::Resync];
            let cursors = async || {
                let mut all = Vec::new();
                for kind in kinds {
                    all.push(parts.engine.ledger.cursor(crm, kind).await.expect("a cursor"));
                }
                all
            };
            let before = cursors().await;
            let writes = firm.sandbox.propstreet.writes();
            firm.wait(Duration::from_secs(600)).await;
            let everyone = resync(&parts, crm, Chosen::Everyone, false).await;
            assert!(everyone.counts.read >= 8, "{crm}: {everyone:?}");
            let since = firm.clock.now() - chrono::TimeDelta::days(3650);
            let until = Some(firm.clock.now() - chrono::TimeDelta::days(3640));
            let nobody = resync(&parts, crm, Chosen::Since { since, until }, false).await;
            assert_eq!(nobody.counts.read, 0, "{crm}");
            assert_eq!(cursors().await, before, "{crm}");
            assert_eq!(firm.sandbox.propstreet.writes(), writes, "{crm}: nothing differs, nothing is written");
            parts.close().await;
        }
    });
}

#[test]
fn who_was_put_aside_is_tried_again_at_a_word_and_whom_the_crm_lacks_is_gone() {
    in_virtual_time(async {
        let firm = empty_firm(32);
        let blocker = firm.sandbox.propstreet.plant(held(&person("Nils", "Dahl", "anna@berg.example"), &[]));
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        let parts = firm.start().await;
        sync(&parts).await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_taken");
        firm.sandbox.propstreet.edit(blocker, |contact| {
            contact.email = Some("nils@dahl.example".to_owned());
            contact.emails = vec![Labelled { value: "nils@dahl.example".to_owned(), kind: "work".to_owned() }];
        });
        firm.wait(Duration::from_secs(600)).await;
        let ids = vec![reference.id.clone(), "999999".to_owned()];
        resync(&parts, "hubspot", Chosen::Ids(ids), false).await;
        assert!(firm.ending(&reference).await.starts_with("created"), "{}", firm.ending(&reference).await);
        assert_eq!(firm.ending(&ExternalRef::new("hubspot", "999999")).await, "skipped: gone");
        parts.close().await;
    });
}

#[test]
fn what_was_deleted_in_propstreet_comes_back_only_when_a_person_says_so() {
    in_virtual_time(async {
        for free in [false, true] {
            let firm = Firm::new(33, |settings| {
                settings.contacts = 0;
                settings.knobs.refs_free_after_delete = free;
            });
            let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
            firm.sync().await;
            assert!(resolve(&firm, &reference, REVIVE).await.is_err(), "it is there");
            firm.sandbox.propstreet.delete(firm.contacts()[0].id);
            firm.wait(Duration::from_secs(3600)).await;
            firm.sync().await;
            let parts = firm.start().await;
            resync(&parts, "hubspot", Chosen::Everyone, false).await;
            parts.close().await;
            assert_eq!(firm.ending(&reference).await, "skipped: deleted_in_propstreet");
            assert!(firm.contacts().is_empty(), "a resync alone respects it");

            assert_eq!(resolve(&firm, &reference, REVIVE).await.expect("it fits"), "updated");
            assert!(firm.contacts()[0].has_ref(&reference.key()));
            firm.sandbox.propstreet.delete(firm.contacts()[0].id);
            firm.wait(Duration::from_secs(3600)).await;
            firm.sync().await;
            firm.sync().await;
            assert!(firm.contacts().is_empty(), "one word brings back once");
            let parts = firm.start().await;
            resync(&parts, "hubspot", Chosen::Ids(vec![reference.id.clone()]), true).await;
            parts.close().await;
            assert_eq!(firm.contacts().len(), 1);
        }
    });
}

#[test]
fn what_is_too_long_to_be_brought_back_is_put_aside_with_its_field() {
    in_virtual_time(async {
        let firm = empty_firm(34);
        let reference = firm.sandbox.plant(Crm::HubSpot, &person(&"A".repeat(101), "Berg", "anna@berg.example"));
        firm.sync().await;
        firm.sandbox.propstreet.delete(firm.contacts()[0].id);
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert_eq!(resolve(&firm, &reference, REVIVE).await.expect("it fits"), "quarantined: invalid_field");
        assert!(firm.history(&format!("hubspot:{}", reference.id)).await.contains("first_name: 101 characters"));
    });
}

#[test]
fn an_address_that_is_anothers_by_now_keeps_a_contact_deleted() {
    in_virtual_time(async {
        let firm = empty_firm(35);
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        firm.sandbox.propstreet.delete(firm.contacts()[0].id);
        firm.sandbox.propstreet.plant(held(&person("Nils", "Dahl", "anna@berg.example"), &[]));
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert_eq!(resolve(&firm, &reference, REVIVE).await.expect("it fits"), "quarantined: email_taken");
        assert_eq!(firm.contacts().len(), 1);
    });
}

#[test]
fn two_who_were_joined_are_taken_apart_and_never_joined_again() {
    in_virtual_time(async {
        let firm = empty_firm(36);
        let anna = person("Anna", "Berg", "anna@berg.example");
        let contact = firm.sandbox.propstreet.plant(held(&anna, &[("pipedrive", "77")]));
        let reference = firm.sandbox.plant(Crm::HubSpot, &anna);
        firm.sync().await;
        assert_eq!(firm.ending(&reference).await, "linked");
        let told = firm.history(&format!("hubspot:{}", reference.id)).await;
        assert!(told.contains("same primary address, equal name: reference added beside pipedrive:77"), "{told}");

        assert_eq!(resolve(&firm, &reference, DETACH).await.expect("it fits"), "quarantined: email_taken");
        let contacts = firm.contacts();
        assert!(!contacts[0].has_ref(&reference.key()) && contacts[0].refs.len() == 1, "{contacts:?}");
        firm.sandbox.propstreet.edit(contact, |contact| contact.tags.push("seen".to_owned()));
        firm.wait(Duration::from_secs(2 * 86_400)).await;
        firm.sync().await;
        assert_eq!(firm.ending(&reference).await, "quarantined: email_taken", "never again by itself");

        assert_eq!(resolve(&firm, &reference, WITHOUT).await.expect("it fits"), "created");
        let contacts = firm.contacts();
        let own = contacts.iter().find(|contact| contact.has_ref(&reference.key())).expect("its own");
        assert_eq!((contacts.len(), own.email.as_deref()), (2, None));
        let misfit = resolve(&firm, &reference, DETACH).await.expect_err("it is its own");
        assert!(misfit.contains("created for this very record"), "{misfit}");
        firm.wait(Duration::from_secs(2 * 86_400)).await;
        firm.sync().await;
        assert_eq!(firm.contacts().len(), 2);
    });
}

#[test]
fn the_same_person_under_two_names_is_joined_by_a_persons_word_but_not_within_one_crm() {
    in_virtual_time(async {
        let firm = empty_firm(37);
        firm.sandbox.propstreet.plant(held(&person("Anna", "Dahl", "anna@berg.example"), &[]));
        let one = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        assert_eq!(resolve(&firm, &one, LINK).await.expect("it fits"), "linked");
        let told = firm.history(&format!("hubspot:{}", one.id)).await;
        assert!(told.contains("decided") && told.contains("a person decided that they are one"), "{told}");
        let other = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert_eq!(firm.ending(&other).await, "quarantined: same_source_email");
        assert!(resolve(&firm, &other, LINK).await.is_err());
        assert_eq!(resolve(&firm, &other, WITHOUT).await.expect("it fits"), "created");
        assert_eq!(firm.contacts().len(), 2);
    });
}

#[test]
fn who_is_forgotten_is_not_created_again_and_nothing_is_written_of_them() {
    in_virtual_time(async {
        let firm = empty_firm(38);
        let reference = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"));
        let other = firm.sandbox.plant(Crm::HubSpot, &person("Nils", "Dahl", "nils@dahl.example"));
        let parts = firm.start().await;
        sync(&parts).await;
        let contact = firm.row(&reference).await.expect("a row").propstreet_id.expect("a contact");
        let forgotten =
            parts.engine.ledger.forget(firm.key(&reference), [1; 16], firm.clock.now()).await.expect("done");
        assert_eq!(forgotten.contacts, std::slice::from_ref(&contact));
        firm.sandbox.propstreet.delete(contact.parse().expect("a number"));
        firm.sandbox.hubspot.edit(&reference.id, |person| person.title = Some("Chef".to_owned()));
        firm.wait(Duration::from_secs(2 * 86_400)).await;
        sync(&parts).await;
        let everyone = resync(&parts, "hubspot", Chosen::Everyone, true).await;
        assert_eq!((everyone.counts.skipped, everyone.counts.read), (1, 2));
        resync(&parts, "hubspot", Chosen::Ids(vec![reference.id.clone(), other.id.clone()]), true).await;
        assert!(firm.row(&reference).await.is_none(), "no row is written");
        assert_eq!(firm.contacts().len(), 1);
        assert!(parts.engine.ledger.verify_chain().await.is_ok());
        parts.close().await;
    });
}

#[test]
fn who_waits_for_the_address_of_a_deleted_contact_joins_it_once_it_is_brought_back() {
    in_virtual_time(async {
        let firm = empty_firm(39);
        let anna = person("Anna", "Berg", "anna@berg.example");
        let one = firm.sandbox.plant(Crm::HubSpot, &anna);
        firm.sync().await;
        firm.sandbox.propstreet.delete(firm.contacts()[0].id);
        let other = firm.sandbox.plant(Crm::Pipedrive, &anna);
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert_eq!(firm.ending(&other).await, "quarantined: email_held_by_deleted");
        let misfit = resolve(&firm, &other, REVIVE).await.expect_err("it is not its own");
        assert!(misfit.contains("bring back the record that it stood for"), "{misfit}");
        assert_eq!(resolve(&firm, &one, REVIVE).await.expect("it fits"), "updated");
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert_eq!((firm.ending(&other).await.as_str(), firm.contacts().len()), ("linked", 1));
    });
}
