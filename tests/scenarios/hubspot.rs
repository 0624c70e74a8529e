//! What real HubSpot portals do that breaks other connectors, each as a story over the whole stack.

use std::time::Duration;

use propsync::assembly::Parts;
use propsync::domain::pass::PassKind;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::hubspot::model::HubSpot;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sync::report::SourceReport;

use crate::support::{Firm, in_virtual_time, person, sync_one};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A portal without people, configured with these lines.
pub fn portal(lines: &str) -> Firm {
    let mut firm = Firm::new(1, |settings| settings.contacts = 0);
    firm.extra.insert("hubspot", lines.to_owned());
    firm
}

pub fn reference(id: &str) -> ExternalRef {
    ExternalRef::new("hubspot", id)
}

/// One sync of the portal, with a fresh start and a clean end.
pub async fn sync(firm: &Firm) -> SourceReport {
    let parts = firm.start().await;
    let report = sync_one(&parts, "hubspot").await;
    parts.engine.ledger.close().await;
    report
}

/// One sync by a process that goes on: what it cost HubSpot, and what was read.
async fn cost(parts: &Parts, hubspot: &HubSpot) -> (u64, SourceReport) {
    let before = hubspot.requests().total;
    let report = sync_one(parts, "hubspot").await;
    (hubspot.requests().total - before, report)
}

pub fn people(hubspot: &HubSpot, many: usize) -> Vec<String> {
    let someone = |n| person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
    (0..many).map(|n| hubspot.add(&someone(n))).collect()
}

fn is(report: &SourceReport, kind: PassKind) -> bool {
    report.passes.iter().any(|pass| pass.kind == kind)
}

#[test]
fn a_poll_that_finds_nothing_new_costs_one_request() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        people(hubspot, 30);
        firm.wait(HOUR).await;
        let parts = firm.start().await;
        sync_one(&parts, "hubspot").await;
        for _ in 0..5 {
            firm.wait(5 * MINUTE).await;
            let (requests, report) = cost(&parts, hubspot).await;
            assert!(report.is_green() && !is(&report, PassKind::Trail), "{report:?}");
            assert_eq!(requests, 1, "{:?}", hubspot.requests());
        }
        parts.engine.ledger.close().await;
    });
}

#[test]
fn a_merge_of_merges_is_one_contact_whoever_is_seen_first() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        let anna = hubspot.add(&person("Anna", "Berg", "anna@berg.example"));
        sync(&firm).await;
        let lund = hubspot.add(&person("Anna", "Lund", "anna@lund.example"));
        let holm = hubspot.add(&person("Anna", "Holm", "anna@holm.example"));
        let first = hubspot.merge(&lund, &anna).expect("both are there");
        let last = hubspot.merge(&holm, &first).expect("both are there");
        firm.wait(HOUR).await;
        assert!(sync(&firm).await.is_green());
        let contacts = firm.contacts();
        assert_eq!(contacts.len(), 1, "{contacts:#?}");
        let refs: Vec<&str> = contacts[0].refs.iter().map(|r| r.id.as_str()).collect();
        assert!(refs.contains(&anna.as_str()) && refs.contains(&last.as_str()), "{refs:?}");
        assert_eq!(firm.ending(&reference(&anna)).await, format!("skipped: merged_into:hubspot:{last}"));
    });
}

#[test]
fn who_is_archived_or_erased_is_seen_by_the_sweep_and_who_comes_back_too() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        let ids = people(hubspot, 3);
        sync(&firm).await;
        assert!(hubspot.delete(&ids[0]) && hubspot.purge(&ids[1]));
        firm.wait(HOUR).await;
        let report = sync(&firm).await;
        assert_eq!(report.gone.kept, 0, "a search that does not show somebody proves nothing");
        firm.wait(24 * HOUR).await;
        let report = sync(&firm).await;
        assert_eq!((report.gone.kept, report.is_green()), (2, true), "{report:?}");
        assert_eq!(firm.ending(&reference(&ids[0])).await, "skipped: gone");
        assert_eq!(firm.ending(&reference(&ids[1])).await, "skipped: gone");
        assert_eq!(firm.contacts().len(), 3, "nobody is deleted in Propstreet");
        assert!(hubspot.restore(&ids[0]));
        firm.wait(25 * HOUR).await;
        assert!(sync(&firm).await.is_green());
        assert_eq!(firm.ending(&reference(&ids[0])).await, "unchanged");
        assert_eq!(firm.contacts().len(), 3);
    });
}

#[test]
fn a_sweep_that_breaks_off_lets_nobody_go() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        hubspot.set_page_size_cap(2);
        let ids = people(hubspot, 7);
        sync(&firm).await;
        assert!(hubspot.delete(&ids[6]));
        firm.wait(25 * HOUR).await;
        let fault = Fault::Status { code: 400, retry_after: None };
        hubspot.faults().add(Rule::new(fault).path(&format!("after={}", ids[4])));
        let report = sync(&firm).await;
        assert!(is(&report, PassKind::Sweep) && !report.complete, "{report:?}");
        assert_eq!(report.gone.kept, 0);
        assert_eq!(firm.ending(&reference(&ids[6])).await, "created");
    });
}

#[test]
fn rows_that_break_the_filter_are_read_and_move_no_watermark() {
    in_virtual_time(async {
        let firm = portal("");
        let hubspot = &firm.sandbox.hubspot;
        let ids = people(hubspot, 2);
        sync(&firm).await;
        firm.wait(10 * MINUTE).await;
        hubspot.bump(&ids[0]);
        // The index still holds the first stamp when the row already shows the second.
        hubspot.set_search_lag(30 * MINUTE);
        firm.wait(20 * MINUTE).await;
        hubspot.edit(&ids[0], |person| person.title = Some("Partner".to_owned()));
        let newcomer = hubspot.add(&person("Nils", "Dahl", "nils@dahl.example"));
        sync(&firm).await;
        assert_eq!(firm.ending(&reference(&ids[0])).await, "skipped: change_ignored", "the row is taken at its word");
        firm.wait(40 * MINUTE).await;
        sync(&firm).await;
        firm.wait(40 * MINUTE).await;
        sync(&firm).await;
        assert_eq!(firm.ending(&reference(&newcomer)).await, "created", "nothing between the stamps was jumped over");
    });
}
