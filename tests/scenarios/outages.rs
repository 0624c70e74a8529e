//! An outage is nobody's fault, a poison record is nobody else's, and a refused credential is neither.

use std::time::Duration;

use propsync::domain::failure::Trouble;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::upstream::Crm;
use propsync::sync::report::Stop;

use crate::support::{Firm, all_green, in_virtual_time, person};

fn down() -> Rule {
    Rule::new(Fault::Status { code: 503, retry_after: None })
}

#[test]
fn a_record_that_always_fails_does_not_stop_its_source_and_ends_in_quarantine() {
    in_virtual_time(async {
        let firm = Firm::new(30, |settings| settings.contacts = 40);
        let poison = firm.sandbox.plant(Crm::HubSpot, &person("Gift", "Igvärre", "poison@gift.example"));
        let rule = Rule::new(Fault::Status { code: 500, retry_after: None }).body("poison@gift.example");
        firm.sandbox.propstreet.faults().add(rule);
        let reports = firm.sync().await;
        assert!(reports.iter().all(|report| report.complete), "{reports:?}");
        assert_eq!(firm.ending(&poison).await.split(':').next(), Some("deferred"));
        for n in 0..12 {
            firm.wait(Duration::from_secs(1800)).await;
            // It alone fails: others are written all the while.
            firm.sandbox.plant(Crm::HubSpot, &person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
            firm.sync().await;
        }
        assert_eq!(firm.ending(&poison).await, "quarantined: upstream_refuses");
        firm.wait(Duration::from_secs(1800)).await;
        firm.sync().await;
        let report = firm.sandbox.check();
        assert_eq!(report.missing, vec![format!("hubspot:{}", poison.id)], "only the poison one is missing");
    });
}

#[test]
fn propstreet_down_for_an_hour_loses_nothing() {
    in_virtual_time(async {
        let firm = Firm::new(31, |settings| settings.contacts = 200);
        let parts = firm.start().await;
        // It goes down in the middle of the backfill, after forty contacts.
        let contacts = firm.sandbox.propstreet.clone();
        let outage = async {
            while contacts.contacts().len() < 40 {
                tokio::task::yield_now().await;
            }
            contacts.faults().add(down());
        };
        let (reports, ()) = tokio::join!(crate::support::sync(&parts), outage);
        parts.engine.ledger.close().await;
        for report in &reports {
            assert!(matches!(report.error, Some(Stop::Propstreet(Trouble::Outage(_)))), "{report:?}");
            assert!(report.counts.balanced(), "{report:?}");
            // Two pages are the most that is ever held; what was read is bounded, not the whole source.
            assert!(report.counts.read <= 500, "{report:?}");
        }
        for _ in 0..6 {
            firm.wait(Duration::from_secs(600)).await;
            let reports = firm.sync().await;
            assert!(reports.iter().all(|r| !r.complete), "{reports:?}");
        }
        firm.sandbox.propstreet.faults().clear();
        let reports = firm.sync().await;
        assert!(all_green(&reports), "{reports:?}");
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn an_outage_shorter_than_the_patience_is_sat_out() {
    in_virtual_time(async {
        let firm = Firm::new(32, |settings| settings.contacts = 50);
        firm.sandbox.propstreet.faults().add(down());
        let healing = async {
            firm.wait(Duration::from_secs(60)).await;
            firm.sandbox.propstreet.faults().clear();
        };
        let (reports, ()) = tokio::join!(firm.sync(), healing);
        assert!(all_green(&reports), "{reports:?}");
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn a_crm_that_is_down_stops_only_itself() {
    in_virtual_time(async {
        let firm = Firm::new(33, |settings| settings.contacts = 30);
        firm.sandbox.hubspot.faults().add(down());
        let reports = firm.sync().await;
        for report in reports {
            assert_eq!(report.is_green(), report.name != "hubspot", "{report:?}");
        }
        firm.sandbox.hubspot.faults().clear();
        firm.sync().await;
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn the_books_balance_also_where_a_crm_shows_ids_and_then_goes_down() {
    in_virtual_time(async {
        let firm = Firm::new(36, |settings| settings.contacts = 20);
        firm.sync().await;
        for id in firm.sandbox.hubspot.ids() {
            firm.sandbox.hubspot.edit(&id, |person| person.title = Some("Chef".to_owned()));
        }
        firm.wait(Duration::from_secs(600)).await;
        firm.sandbox.hubspot.faults().add(down().path("/batch/read"));
        let reports = firm.sync().await;
        assert!(reports.iter().all(|report| report.counts.balanced()), "{reports:?}");
        assert_eq!(reports.iter().filter(|report| !report.complete).count(), 1, "{reports:?}");
    });
}

#[test]
fn a_refused_credential_is_no_outage_and_is_not_hammered() {
    in_virtual_time(async {
        let firm = Firm::new(34, |settings| settings.contacts = 30);
        firm.sandbox.propstreet.refuse_credentials(true);
        let reports = firm.sync().await;
        for report in &reports {
            assert!(matches!(report.error, Some(Stop::Propstreet(Trouble::Credential(_)))), "{report:?}");
        }
        assert!(firm.sandbox.propstreet.requests().total <= 4, "{:?}", firm.sandbox.propstreet.requests());
        firm.sandbox.propstreet.refuse_credentials(false);
        let reports = firm.sync().await;
        assert!(all_green(&reports), "{reports:?}");
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn an_expired_token_is_renewed_once_for_everyone() {
    in_virtual_time(async {
        let firm = Firm::new(35, |settings| settings.contacts = 60);
        let parts = firm.start().await;
        crate::support::sync(&parts).await;
        firm.sandbox.propstreet.expire_tokens();
        firm.sandbox.salesforce.expire_tokens();
        firm.sandbox.propstreet.reset_counts();
        firm.sandbox.change(30);
        firm.wait(Duration::from_secs(600)).await;
        let reports = crate::support::sync(&parts).await;
        assert!(all_green(&reports), "{reports:?}");
        assert_eq!(firm.sandbox.propstreet.requests().of("POST token"), 1);
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}
