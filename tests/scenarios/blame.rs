//! Whose fault it is: what stands for the upstream is never held against a record, and what cannot be seen to lift is asked
//! about again.

use std::time::Duration;

use propsync::domain::failure::Trouble;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::propstreet::knobs::{Knobs, KnownRef};
use propsync::sandbox::upstream::Crm;
use propsync::sync::report::Stop;

use crate::scenarios::answers::{creating, firm_with, one_anna, sync_while_a_colleague_plants};
use crate::support::{Firm, held, in_virtual_time, person};

const HOUR: Duration = Duration::from_secs(3600);

/// A firm whose CRMs hold this many people each, all of them sound.
fn crowd(seed: u64, people: usize) -> Firm {
    let firm = Firm::new(seed, |settings| settings.contacts = 0);
    for (crm, n) in Crm::ALL.into_iter().flat_map(|crm| (0..people).map(move |n| (crm, n))) {
        firm.sandbox.plant(crm, &person("Anna", &format!("Berg{n}"), &format!("a{n}@{crm:?}.example")));
    }
    firm
}

fn refusing(code: u16) -> Rule {
    creating(Fault::Status { code, retry_after: None })
}

#[test]
fn a_credential_that_may_not_create_puts_nobody_aside() {
    in_virtual_time(async {
        let firm = crowd(60, 40);
        firm.sandbox.propstreet.faults().add(refusing(403));
        for _ in 0..6 {
            let reports = firm.sync().await;
            for report in &reports {
                assert!(matches!(report.error, Some(Stop::Propstreet(Trouble::Forbidden(_)))), "{report:?}");
                assert_eq!((report.newly_quarantined, report.counts.balanced()), (0, true), "{report:?}");
            }
            firm.wait(HOUR).await;
        }
        assert!(firm.sandbox.propstreet.requests().of("POST contacts") < 200, "it is not hammered");
        firm.sandbox.propstreet.faults().clear();
        firm.sync().await;
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn one_create_that_is_forbidden_stops_nobody_else() {
    in_virtual_time(async {
        let firm = crowd(61, 40);
        let alone = firm.sandbox.plant(Crm::HubSpot, &person("Gift", "Igvärre", "poison@gift.example"));
        firm.sandbox.propstreet.faults().add(refusing(403).body("poison@gift.example"));
        let reports = firm.sync().await;
        assert!(reports.iter().all(|report| report.complete), "{reports:?}");
        assert_eq!(firm.ending(&alone).await, "deferred: credential");
        assert_eq!(firm.sandbox.check().missing, vec![format!("hubspot:{}", alone.id)]);
    });
}

#[test]
fn an_outage_of_writes_alone_is_an_outage() {
    in_virtual_time(async {
        let firm = crowd(62, 60);
        firm.sandbox.propstreet.faults().add(refusing(500));
        for _ in 0..30 {
            let reports = firm.sync().await;
            for report in &reports {
                assert!(matches!(report.error, Some(Stop::Propstreet(Trouble::Outage(_)))), "{report:?}");
                assert_eq!((report.newly_quarantined, report.counts.balanced()), (0, true), "{report:?}");
            }
            firm.wait(Duration::from_secs(600)).await;
        }
        firm.sandbox.propstreet.faults().clear();
        for _ in 0..3 {
            firm.sync().await;
            firm.wait(6 * HOUR).await;
        }
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn a_record_that_fails_while_nobody_else_is_written_is_not_to_blame() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        firm.sandbox.propstreet.faults().add(refusing(500));
        for _ in 0..12 {
            firm.sync().await;
            assert_eq!(firm.ending(&anna).await, "deferred: record_fails");
            firm.wait(HOUR).await;
        }
        firm.sandbox.propstreet.faults().clear();
        firm.wait(6 * HOUR).await;
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("created"));
    });
}

#[test]
fn a_lost_answer_does_not_shorten_the_back_off() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        one_anna(&firm);
        firm.sandbox.propstreet.faults().add(refusing(500));
        firm.sync().await;
        let tried = firm.sandbox.propstreet.requests().of("POST contacts");
        // Not due for a minute, and beyond the overlap of the poll.
        firm.sync().await;
        assert!(firm.sandbox.propstreet.requests().of("POST contacts") <= tried, "it was tried before its time");
    });
}

#[test]
fn a_record_taken_up_again_from_quarantine_starts_with_a_clean_slate() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        firm.sandbox.propstreet.faults().add(refusing(500).body("anna@berg.example"));
        for round in 0..12 {
            firm.sandbox.plant(Crm::HubSpot, &person("Nils", "Dahl", &format!("nils{round}@dahl.example")));
            firm.sync().await;
            firm.wait(HOUR).await;
        }
        assert_eq!(firm.ending(&anna).await, "quarantined: upstream_refuses");
        firm.sandbox.hubspot.edit(&anna.id, |person| person.title = Some("Chef".to_owned()));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!(firm.ending(&anna).await, "deferred: record_fails", "one failure is not five");
    });
}

#[test]
fn what_nobody_can_see_to_lift_is_asked_about_daily() {
    in_virtual_time(async {
        for (mail, reason) in [("anna@berg.example", "email_taken_by_unknown"), ("", "conflict_unexplained")] {
            let firm = firm_with(Knobs::default());
            let anna = firm.sandbox.plant(Crm::HubSpot, &person("Anna", "Berg", mail));
            firm.sandbox.propstreet.faults().add(refusing(409));
            for _ in 0..5 {
                firm.sync().await;
                firm.wait(HOUR).await;
            }
            assert_eq!(firm.ending(&anna).await, format!("quarantined: {reason}"));
            firm.wait(24 * HOUR).await;
            let again = firm.sync().await;
            assert_eq!(firm.ending(&anna).await, format!("quarantined: {reason}"));
            assert!(again.iter().all(|report| report.newly_quarantined == 0), "it is no news: {again:?}");
            firm.sandbox.propstreet.faults().clear();
            firm.wait(25 * HOUR).await;
            firm.sync().await;
            assert!(firm.ending(&anna).await.starts_with("created"), "{}", firm.ending(&anna).await);
        }
    });
}

#[test]
fn a_200_with_somebody_else_who_has_our_ref_is_put_aside() {
    in_virtual_time(async {
        let firm = firm_with(Knobs { known_ref: KnownRef::Existing, ..Knobs::default() });
        let anna = one_anna(&firm);
        let nils = held(&person("Nils", "Dahl", "nils@dahl.example"), &[("hubspot", &anna.id)]);
        sync_while_a_colleague_plants(&firm, nils).await;
        assert_eq!(firm.ending(&anna).await, "quarantined: ref_conflict");
    });
}

#[test]
fn answers_that_were_lost_while_linking_are_no_conflict() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        firm.sandbox.propstreet.plant(held(&person("Anna", "Berg", "anna@berg.example"), &[]));
        let anna = one_anna(&firm);
        firm.sandbox.propstreet.faults().add(Rule::new(Fault::LostBefore).on(http::Method::PATCH).times(3));
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("linked"), "{}", firm.ending(&anna).await);
    });
}
