//! Every row of the table of answers to a create, each by what Propstreet does and what becomes of the record.

use std::time::Duration;

use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::propstreet::knobs::{Knobs, KnownRef, TakenEmail};
use propsync::sandbox::upstream::Crm;

use crate::support::{Firm, held, in_virtual_time, person};

const CREATE: &str = "/network/contacts";

pub fn firm_with(knobs: Knobs) -> Firm {
    Firm::new(50, |settings| {
        settings.contacts = 0;
        settings.knobs = knobs;
    })
}

pub fn one_anna(firm: &Firm) -> ExternalRef {
    firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", "anna@berg.example"))
}

pub fn creating(fault: Fault) -> Rule {
    Rule::new(fault).on(http::Method::POST).path(CREATE)
}

/// Syncs, and lets a colleague plant a contact in Propstreet after the index was read and before the create.
pub async fn sync_while_a_colleague_plants(firm: &Firm, contact: propsync::sandbox::propstreet::contact::Contact) {
    let parts = firm.start().await;
    // The first create meets a 429, and while everyone waits the colleague is faster.
    firm.sandbox.propstreet.faults().add(creating(Fault::Status { code: 429, retry_after: Some(5) }).times(1));
    let plants = async {
        while firm.sandbox.propstreet.requests().of("POST contacts") == 0 {
            tokio::task::yield_now().await;
        }
        firm.sandbox.propstreet.plant(contact);
    };
    tokio::join!(crate::support::sync(&parts), plants);
    parts.engine.ledger.close().await;
}

#[test]
fn created_when_the_answer_comes() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("created"));
        assert_eq!(firm.contacts().len(), 1);
    });
}

#[test]
fn a_409_for_our_ref_is_adopted_and_so_is_a_200_with_the_contact_that_was_there() {
    in_virtual_time(async {
        for known_ref in [KnownRef::Conflict, KnownRef::Existing] {
            let firm = firm_with(Knobs { known_ref, ..Knobs::default() });
            let anna = one_anna(&firm);
            let contact = held(&person("Anna", "Berg", "anna@berg.example"), &[("hubspot", &anna.id)]);
            sync_while_a_colleague_plants(&firm, contact).await;
            assert!(firm.ending(&anna).await.starts_with("adopted") || known_ref == KnownRef::Existing);
            assert_eq!(firm.contacts().len(), 1, "{known_ref:?}");
        }
    });
}

#[test]
fn a_409_whose_ref_stands_on_somebody_else_is_put_aside() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        sync_while_a_colleague_plants(
            &firm,
            held(&person("Nils", "Dahl", "nils@dahl.example"), &[("hubspot", &anna.id)]),
        )
        .await;
        assert_eq!(firm.ending(&anna).await, "quarantined: ref_conflict");
    });
}

#[test]
fn a_taken_address_is_linked_after_one_refresh_however_the_server_says_it() {
    in_virtual_time(async {
        for taken_email in [TakenEmail::Conflict, TakenEmail::Invalid] {
            let firm = firm_with(Knobs { taken_email, ..Knobs::default() });
            let anna = one_anna(&firm);
            sync_while_a_colleague_plants(&firm, held(&person("Anna", "Berg", "anna@berg.example"), &[])).await;
            assert!(firm.ending(&anna).await.starts_with("linked"), "{taken_email:?}: {}", firm.ending(&anna).await);
            assert_eq!(firm.contacts().len(), 1, "{taken_email:?}");
        }
    });
}

#[test]
fn a_taken_address_of_another_name_is_put_aside() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        sync_while_a_colleague_plants(&firm, held(&person("Nils", "Dahl", "anna@berg.example"), &[])).await;
        assert_eq!(firm.ending(&anna).await, "quarantined: email_taken");
    });
}

#[test]
fn a_409_that_nothing_explains_is_deferred_three_times_and_then_put_aside() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        firm.sandbox.propstreet.faults().add(creating(Fault::Status { code: 409, retry_after: None }));
        for round in 0..3 {
            firm.sync().await;
            assert_eq!(firm.ending(&anna).await, "deferred: email_taken", "round {round}");
            firm.wait(Duration::from_secs(3600)).await;
        }
        firm.sync().await;
        assert_eq!(firm.ending(&anna).await, "quarantined: email_taken_by_unknown");
        assert!(firm.contacts().is_empty());
    });
}

#[test]
fn a_409_without_an_address_that_nothing_explains_is_put_aside_at_once() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", ""));
        firm.sandbox.propstreet.faults().add(creating(Fault::Status { code: 409, retry_after: None }));
        firm.sync().await;
        assert_eq!(firm.ending(&anna).await, "quarantined: conflict_unexplained");
    });
}

#[test]
fn an_answer_that_is_lost_is_looked_up_before_anything_else() {
    in_virtual_time(async {
        for fault in [
            Fault::LostAfter,
            Fault::LostBefore,
            Fault::Garbage,
            Fault::Truncated,
            Fault::Html(502),
            Fault::Status { code: 504, retry_after: None },
            Fault::Late(Duration::from_secs(40)),
            Fault::CommitLate(Duration::from_secs(50)),
        ] {
            let firm = firm_with(Knobs { lookup_lag: Duration::from_secs(10), ..Knobs::default() });
            let anna = one_anna(&firm);
            firm.sandbox.propstreet.faults().add(creating(fault.clone()).times(1));
            firm.sync().await;
            firm.wait(Duration::from_secs(3600)).await;
            firm.sync().await;
            let ending = firm.ending(&anna).await;
            assert!(ending.starts_with("created") || ending.starts_with("adopted"), "{fault:?}: {ending}");
            assert_eq!(firm.contacts().len(), 1, "{fault:?}");
        }
    });
}

#[test]
fn a_refusal_is_put_aside_and_the_rest_goes_on() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        let nils = firm.sandbox.plant(Crm::HubSpot, &person("Nils", "Dahl", "nils@dahl.example"));
        let refused = Rule::new(Fault::Status { code: 422, retry_after: None }).body("anna@berg.example");
        firm.sandbox.propstreet.faults().add(refused);
        firm.sync().await;
        assert_eq!(firm.ending(&anna).await, "quarantined: rejected");
        assert!(firm.ending(&nils).await.starts_with("created"));
    });
}

#[test]
fn a_record_in_quarantine_is_tried_again_when_it_changes_and_not_before() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let bad = firm.sandbox.plant(Crm::Pipedrive, &person("Anna", "Berg", "not an address"));
        firm.sync().await;
        assert_eq!(firm.ending(&bad).await, "quarantined: invalid_field");
        firm.wait(Duration::from_secs(3600)).await;
        let again = firm.sync().await;
        assert!(again.iter().all(|report| report.newly_quarantined == 0), "{again:?}");
        firm.sandbox.pipedrive.edit(&bad.id, |person| person.email = Some("anna@berg.example".to_owned()));
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert!(firm.ending(&bad).await.starts_with("created"));
    });
}
