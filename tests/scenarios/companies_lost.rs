//! Answers about companies and employments that are lost, and processes that die between them: nothing is doubled.

use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::propstreet::knobs::Knobs;
use propsync::sandbox::upstream::Crm;

use crate::scenarios::companies::{FOLLOW, HOUR, at, companies, contact, firm, later, nord, settles, work, works};
use crate::scenarios::restarts::die_after;
use crate::support::{held, in_virtual_time, sync};

#[test]
fn lost_answers_double_nothing() {
    in_virtual_time(async {
        for (path, method) in [
            ("/network/companies", Method::POST),
            ("/network/contacts", Method::POST),
            ("/network/links", Method::POST),
            ("/network/links/", Method::PATCH),
            ("/network/companies/", Method::PATCH),
        ] {
            for fault in [Fault::LostAfter, Fault::LostBefore, Fault::CommitLate(Duration::from_secs(5))] {
                let knobs = Knobs { first_link_is_primary: false, ..Knobs::default() };
                let firm = firm(knobs, FOLLOW);
                let there = firm.sandbox.propstreet.plant(held(&at(nord(), "Berg"), &[]));
                let rule = Rule::new(fault.clone()).on(method.clone()).path(path).times(1);
                firm.sandbox.propstreet.faults().add(rule);
                let anna = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
                let bo = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Dahl"));
                for _ in 0..3 {
                    later(&firm).await;
                }
                let theirs = firm.sandbox.companies(Crm::HubSpot)[0].id.clone();
                firm.sandbox.rename_company(Crm::HubSpot, &theirs, "Norr AB");
                for _ in 0..3 {
                    later(&firm).await;
                }
                assert_eq!(contact(&firm, &anna).id, there);
                assert_eq!((companies(&firm).len(), firm.contacts().len()), (1, 2), "{path} {fault:?}");
                for reference in [&anna, &bo] {
                    assert_eq!(works(&firm, reference), [work("Norr AB", "CFO", true)], "{path} {fault:?}");
                }
                settles(&firm).await;
            }
        }
    });
}

#[test]
fn a_process_that_dies_anywhere_between_company_contact_and_link_doubles_nothing() {
    in_virtual_time(async {
        for polls in (1..400).step_by(7) {
            let knobs = Knobs { first_link_is_primary: false, ..Knobs::default() };
            let firm = firm(knobs, FOLLOW);
            firm.sandbox.propstreet.plant(held(&at(nord(), "Berg"), &[]));
            let anna = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
            let bo = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Dahl"));
            firm.wait(HOUR).await;
            let parts = firm.start().await;
            let finished = die_after(polls, sync(&parts)).await.is_some();
            drop(parts);
            for _ in 0..2 {
                later(&firm).await;
            }
            assert_eq!((companies(&firm).len(), firm.contacts().len()), (1, 2), "dead after {polls} polls");
            for reference in [&anna, &bo] {
                assert_eq!(works(&firm, reference), [work("Nord AB", "CFO", true)], "dead after {polls} polls");
            }
            if finished {
                return;
            }
        }
        panic!("the sync never ended");
    });
}
