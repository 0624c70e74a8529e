//! Propstreet's ids on their way back, what a source may cost, and what is asked of a CRM before it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use propsync::domain::failure::Trouble;
use propsync::domain::finding::Finding;
use propsync::domain::record::WrittenBack;
use propsync::ledger::Ledger;
use propsync::sandbox::propstreet::knobs::Knobs;
use propsync::sync::report::{SourceReport, Stop};

use crate::scenarios::answers::firm_with;
use crate::support::crm::{AT_ONCE, PAGE, Plain, Whim};
use crate::support::{Firm, in_virtual_time, sync};

const HOUR: Duration = Duration::from_secs(3600);
const FIELD: Option<&str> = Some("propstreet_id");

/// A firm and its CRM, with this many people.
fn set_up(people: usize) -> (Firm, Arc<Plain>) {
    let firm = firm_with(Knobs::default());
    let crm = Plain::with_people(&firm, people);
    (firm, crm)
}

/// One sync by a program of its own.
async fn synced(firm: &Firm, crm: &Arc<Plain>, field: Option<&str>) -> SourceReport {
    let parts = crm.start(firm, field).await;
    let report = sync(&parts).await.remove(0);
    parts.engine.ledger.close().await;
    report
}

/// A sync whose process dies while it waits.
async fn dies(firm: &Firm, crm: &Arc<Plain>) {
    let parts = crm.start(firm, FIELD).await;
    assert!(tokio::time::timeout(Duration::from_secs(20), sync(&parts)).await.is_err(), "it waits for an answer");
}

/// Propstreet's ids by the CRM's, as Propstreet has them.
fn expected(firm: &Firm) -> BTreeMap<String, String> {
    firm.contacts().into_iter().map(|contact| (contact.refs[0].id.clone(), contact.id.to_string())).collect()
}

#[test]
fn everybody_settled_is_written_and_the_echo_makes_no_work() {
    in_virtual_time(async {
        let (firm, crm) = set_up(2 * PAGE + 1);
        let report = synced(&firm, &crm, FIELD).await;
        assert!(report.is_green(), "{report:?}");
        assert_eq!((report.counts.created, report.written_back), (21, 21));
        assert_eq!(crm.held("propstreet_id"), expected(&firm));
        assert!(crm.state().calls.iter().all(|call| call.len() <= AT_ONCE), "{:?}", crm.state().calls);
        let history = firm.history("hubspot:001").await;
        assert!(history.ends_with("written_back: the CRM's field holds the id"), "{history}");

        let written = crm.state().calls.len();
        // The first poll meets everybody again, moved by our own writes; the one after it meets nobody.
        for read in [21, 0] {
            firm.wait(HOUR).await;
            firm.sandbox.propstreet.reset_counts();
            let again = synced(&firm, &crm, FIELD).await;
            assert_eq!((again.is_green(), again.written_back, again.counts.unchanged), (true, 0, read), "{again:?}");
            let requests = firm.sandbox.propstreet.requests();
            assert_eq!((requests.of("POST contacts"), requests.of("PATCH contact")), (0, 0), "{requests:?}");
        }
        assert_eq!(crm.state().calls.len(), written, "nobody is written twice");
    });
}

#[test]
fn what_is_owed_survives_the_process() {
    in_virtual_time(async {
        for written in [false, true] {
            let (firm, crm) = set_up(2);
            crm.state().whims.push_back(Whim::Silence { written });
            dies(&firm, &crm).await;
            assert_eq!((firm.contacts().len(), crm.held("propstreet_id").len()), (2, if written { 2 } else { 0 }));
            firm.wait(HOUR).await;
            let report = synced(&firm, &crm, FIELD).await;
            assert!(report.is_green(), "{report:?}");
            assert_eq!(report.written_back, if written { 0 } else { 2 }, "only what differs is written");
            assert_eq!(crm.held("propstreet_id"), expected(&firm));
            firm.wait(HOUR).await;
            let calls = crm.state().calls.len();
            synced(&firm, &crm, FIELD).await;
            assert_eq!(crm.state().calls.len(), calls, "and then nothing is owed");
        }
    });
}

#[test]
fn one_record_that_the_crm_will_not_change_holds_up_nobody() {
    in_virtual_time(async {
        let (firm, crm) = set_up(6);
        let answers = [
            ("002", WrittenBack::Refused("FIELD_CUSTOM_VALIDATION_EXCEPTION: closed".to_owned())),
            ("003", WrittenBack::Later("UNABLE_TO_LOCK_ROW".to_owned())),
            ("004", WrittenBack::Gone),
        ];
        crm.state().answers = answers.map(|(id, answer)| (id.to_owned(), answer)).into();
        let report = synced(&firm, &crm, FIELD).await;
        assert!(report.is_green(), "a record that needs a person is told by status: {report:?}");
        assert_eq!(crm.held("propstreet_id").into_keys().collect::<Vec<_>>(), ["001", "005", "006"]);
        let ledger = Ledger::open_for_reading(&firm.ledger_path()).await.expect("a ledger");
        let summary = &ledger.summary(firm.clock.now()).await.expect("numbers").sources["hubspot"];
        assert_eq!((summary.write_backs, summary.write_backs_refused), (3, 1), "the CRM may be wrong about the fourth");
        ledger.close().await;

        // Busy records are tried with the next sync, refused ones and those said to be gone a day later.
        crm.state().answers.clear();
        for (wait, calls) in [
            (HOUR, vec![vec!["003".to_owned()]]),
            (HOUR, vec![]),
            (23 * HOUR, vec![vec!["002".to_owned(), "004".to_owned()]]),
        ] {
            firm.wait(wait).await;
            crm.state().calls.clear();
            synced(&firm, &crm, FIELD).await;
            assert_eq!(crm.state().calls, calls);
        }
        let history = firm.history("hubspot:002").await;
        assert!(history.contains("write_back_refused: FIELD_CUSTOM_VALIDATION_EXCEPTION: closed | "), "{history}");
    });
}

#[test]
fn a_field_that_is_new_is_owed_everybody_at_no_request_to_propstreet() {
    in_virtual_time(async {
        let (firm, crm) = set_up(PAGE + 2);
        synced(&firm, &crm, None).await;
        firm.sandbox.propstreet.reset_counts();
        for (field, written) in [(FIELD, 12), (FIELD, 0), (Some("other_field"), 12), (None, 0), (FIELD, 0)] {
            firm.wait(HOUR).await;
            let report = synced(&firm, &crm, field).await;
            assert_eq!((report.is_green(), report.written_back), (true, written), "{field:?}: {report:?}");
        }
        assert_eq!(crm.held("other_field"), expected(&firm));
        let requests = firm.sandbox.propstreet.requests();
        assert_eq!((requests.of("POST contacts"), requests.of("PATCH contact")), (0, 0), "{requests:?}");
    });
}

#[test]
fn a_field_that_cannot_be_written_keeps_nobody_from_being_read() {
    in_virtual_time(async {
        let (firm, crm) = set_up(3 * PAGE);
        crm.state().whims.push_back(Whim::Trouble(Trouble::Forbidden("INSUFFICIENT_ACCESS".to_owned())));
        let report = synced(&firm, &crm, FIELD).await;
        assert!(matches!(report.error, Some(Stop::WriteBack(Trouble::Forbidden(_)))), "{report:?}");
        assert!(report.complete && !report.is_green());
        assert_eq!((report.counts.created, report.written_back), (30, 0));
        assert_eq!(crm.state().calls.len(), 1, "given up for this sync");
        firm.wait(HOUR).await;
        assert_eq!(synced(&firm, &crm, FIELD).await.written_back, 30);
    });
}

#[test]
fn a_source_that_does_not_serve_its_configuration_is_not_read() {
    in_virtual_time(async {
        let (firm, crm) = set_up(3);
        let fault =
            Finding::fault("Contact.Foo__c is not there, or not visible to us", "grant it, or map another field");
        crm.state().findings = vec![Finding::note("a formula field moves no stamp", "sweeps find it"), fault];
        let report = synced(&firm, &crm, FIELD).await;
        let told = report.error.as_ref().map(ToString::to_string);
        assert_eq!(
            told.as_deref(),
            Some(
                "the CRM does not serve this configuration:\n\
                 Contact.Foo__c is not there, or not visible to us\n    fix: grant it, or map another field"
            )
        );
        assert!(firm.contacts().is_empty() && crm.state().pages == 0);
        crm.state().findings.truncate(1);
        assert!(synced(&firm, &crm, FIELD).await.is_green());
        assert_eq!(crm.state().inspected, 2, "once a sync");
    });
}

#[test]
fn a_run_that_dies_forgets_at_most_a_page_of_what_it_cost() {
    in_virtual_time(async {
        let (firm, crm) = set_up(6 * PAGE);
        crm.state().pages_to_come = Some(4);
        dies(&firm, &crm).await;
        let sent = {
            let mut state = crm.state();
            state.pages_to_come = None;
            // Login and checks, pages, calls that write.
            2 + state.pages as u64 + state.calls.len() as u64
        };
        firm.wait(HOUR).await;
        let report = synced(&firm, &crm, FIELD).await;
        let a_page = 2 + (PAGE / AT_ONCE) as u64 + 1;
        let told = crm.state().told_spent.clone();
        assert!(told[0] == 0 && told[1] <= sent && told[1] + a_page >= sent, "{told:?} of {sent}");

        firm.wait(HOUR).await;
        synced(&firm, &crm, FIELD).await;
        assert_eq!(crm.state().told_spent[2], told[1] + report.crm_requests);
        firm.wait(26 * HOUR).await;
        synced(&firm, &crm, FIELD).await;
        assert_eq!(crm.state().told_spent[3], 0, "a day is over");
    });
}
