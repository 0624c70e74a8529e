//! The guards that only a rare moment needs: each of these stories goes wrong when its guard is taken out.

use std::time::Duration;

use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::propstreet::contact::{ExternalRef, Labelled};
use propsync::sandbox::propstreet::knobs::{Arrays, Knobs};
use propsync::sandbox::upstream::Crm;

use crate::scenarios::answers::{creating, firm_with, one_anna};
use crate::support::{Firm, epoch, held, in_virtual_time, person, sync};

const HOUR: Duration = Duration::from_secs(3600);

/// A colleague makes somebody else of a contact: another name, another address.
fn made_over(firm: &Firm, id: u64) {
    firm.sandbox.propstreet.edit(id, |contact| {
        contact.first_name = Some("Nils".to_owned());
        contact.last_name = Some("Dahl".to_owned());
        contact.email = Some("nils@dahl.example".to_owned());
        contact.emails = vec![Labelled { value: "nils@dahl.example".to_owned(), kind: "work".to_owned() }];
    });
}

#[test]
fn what_shows_late_but_within_the_overlap_is_read_by_the_next_poll() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        firm.wait(HOUR).await;
        firm.sync().await;
        let (stamp, shows) = (epoch() + HOUR - Duration::from_secs(120), epoch() + HOUR + Duration::from_secs(60));
        let (hubspot, pipedrive) = (&firm.sandbox.hubspot, &firm.sandbox.pipedrive);
        let late = [
            ("hubspot", hubspot.add_visible_at(&person("Anna", "Berg", "anna@berg.example"), stamp, shows)),
            ("pipedrive", pipedrive.add_visible_at(&person("Nils", "Dahl", "nils@dahl.example"), stamp, shows)),
        ];
        firm.wait(Duration::from_secs(300)).await;
        firm.sync().await;
        for (namespace, id) in late {
            assert_eq!(firm.sandbox.propstreet.find(namespace, &id).len(), 1, "{namespace}");
        }
    });
}

#[test]
fn a_second_change_within_one_stamp_is_no_known_row() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let bad = firm.sandbox.plant(Crm::Pipedrive, &person("Anna", "Berg", "not an address"));
        firm.sync().await;
        assert_eq!(firm.ending(&bad).await, "quarantined: invalid_field");
        // Corrected within the very second: the CRM shows the same stamp as before.
        assert_eq!(firm.clock.now(), epoch());
        firm.sandbox.pipedrive.edit(&bad.id, |person| person.email = Some("anna@berg.example".to_owned()));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert!(firm.ending(&bad).await.starts_with("created"), "{}", firm.ending(&bad).await);
    });
}

#[test]
fn a_ref_that_a_colleague_adds_while_we_link_is_kept() {
    in_virtual_time(async {
        let firm = firm_with(Knobs { arrays: Arrays::Replace, ..Knobs::default() });
        let id = firm.sandbox.propstreet.plant(held(&person("Anna", "Berg", "anna@berg.example"), &[]));
        let anna = one_anna(&firm);
        // Our PATCH is on its way for ten seconds; the colleague is faster.
        let slow = Rule::new(Fault::Delay(Duration::from_secs(10))).on(http::Method::PATCH).times(1);
        firm.sandbox.propstreet.faults().add(slow);
        let colleague = async {
            while firm.sandbox.propstreet.requests().of("PATCH contact") == 0 {
                tokio::task::yield_now().await;
            }
            firm.sandbox.propstreet.edit(id, |contact| contact.refs.push(ExternalRef::new("wizard", "1")));
        };
        tokio::join!(firm.sync(), colleague);
        assert!(firm.ending(&anna).await.starts_with("linked"));
        let refs: Vec<_> = firm.contacts()[0].refs.iter().map(|r| r.namespace.clone()).collect();
        assert_eq!(refs, ["wizard", "hubspot"]);
    });
}

#[test]
fn one_person_in_three_sources_costs_one_create() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        for crm in Crm::ALL {
            firm.sandbox.plant(crm, &person("Anna", "Berg", "anna@berg.example"));
        }
        firm.sync().await;
        let requests = firm.sandbox.propstreet.requests();
        assert_eq!((requests.of("POST contacts"), requests.of("PATCH contact")), (1, 2), "{requests:?}");
    });
}

#[test]
fn a_create_of_ours_is_ours_whatever_somebody_made_of_it_since() {
    in_virtual_time(async {
        // The process dies while the answer is on its way.
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        firm.sandbox.propstreet.faults().add(creating(Fault::Late(Duration::from_secs(30))).times(1));
        let parts = firm.start().await;
        assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err());
        drop(parts);
        made_over(&firm, firm.contacts()[0].id);
        firm.wait(HOUR).await;
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("adopted"), "{}", firm.ending(&anna).await);

        // The answer is lost, and so is every look-up after it.
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        firm.sandbox.propstreet.faults().add(creating(Fault::LostAfter).times(1));
        let failing = Rule::new(Fault::Status { code: 500, retry_after: None }).path("/external/");
        firm.sandbox.propstreet.faults().add(failing);
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("deferred"), "{}", firm.ending(&anna).await);
        firm.sandbox.propstreet.faults().clear();
        made_over(&firm, firm.contacts()[0].id);
        firm.wait(HOUR).await;
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("adopted"), "{}", firm.ending(&anna).await);
    });
}

#[test]
fn a_lost_create_is_looked_up_and_not_sent_again() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let anna = one_anna(&firm);
        firm.sandbox.propstreet.faults().add(creating(Fault::LostAfter).times(1));
        firm.sync().await;
        assert!(firm.ending(&anna).await.starts_with("adopted"), "{}", firm.ending(&anna).await);
        assert_eq!(firm.sandbox.propstreet.requests().of("POST contacts"), 1);
    });
}

#[test]
fn two_ids_that_read_as_one_record_cost_one_create() {
    in_virtual_time(async {
        let firm = firm_with(Knobs::default());
        let [one, other] = ["Anna", "Annika"].map(|name| firm.sandbox.plant(Crm::HubSpot, &person(name, "Berg", "")));
        firm.sandbox.propstreet.faults().add(creating(Fault::Status { code: 500, retry_after: None }));
        firm.sync().await;
        assert!(firm.ending(&one).await.starts_with("deferred"));
        firm.sandbox.propstreet.faults().clear();
        firm.sandbox.propstreet.faults().add(creating(Fault::Delay(Duration::from_secs(5))));
        firm.sandbox.hubspot.merge(&one.id, &other.id).expect("both are there");
        firm.wait(HOUR).await;
        firm.sandbox.propstreet.reset_counts();
        let reports = firm.sync().await;
        assert!(reports.iter().all(propsync::sync::report::SourceReport::is_green), "{reports:?}");
        assert_eq!((firm.sandbox.propstreet.requests().of("POST contacts"), firm.contacts().len()), (1, 1));
    });
}
