//! What a sync reads, how often it writes, and that its books balance.

use std::time::Duration;

use propsync::domain::pass::PassKind;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Person;
use propsync::sandbox::upstream::Crm;

use crate::support::{Firm, all_green, in_virtual_time, person};

#[test]
fn a_second_sync_writes_nothing_and_both_balance() {
    in_virtual_time(async {
        let firm = Firm::new(11, |settings| settings.contacts = 120);
        let first = firm.sync().await;
        assert!(all_green(&first), "{first:?}");
        assert_eq!(first.iter().map(|report| report.counts.read).sum::<u64>(), 360);
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");

        let writes = firm.sandbox.propstreet.writes();
        let second = firm.sync().await;
        assert!(all_green(&second), "{second:?}");
        assert_eq!(firm.sandbox.propstreet.writes(), writes);
    });
}

#[test]
fn a_new_conflict_free_contact_costs_exactly_one_write() {
    in_virtual_time(async {
        let firm = Firm::new(12, |settings| settings.contacts = 0);
        for n in 0..40 {
            firm.sandbox.plant(Crm::HubSpot, &person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        }
        firm.sync().await;
        let requests = firm.sandbox.propstreet.requests();
        assert_eq!(requests.of("POST contacts"), 40, "{requests:?}");
        assert_eq!(firm.sandbox.propstreet.writes().created, 40);
        assert_eq!(requests.of("GET contact by ref") + requests.of("PATCH contact"), 0, "{requests:?}");
    });
}

#[test]
fn an_idle_poll_asks_each_crm_once_an_object() {
    in_virtual_time(async {
        let firm = Firm::new(13, |settings| settings.contacts = 25);
        let parts = firm.start().await;
        crate::support::sync(&parts).await;
        firm.wait(Duration::from_secs(3600)).await;
        let idle = crate::support::sync(&parts).await;
        for report in idle {
            // One to know whose account it is (a running daemon asks at its start only), one to poll. Salesforce names
            // the account with the login, and is asked for its Contacts, its Accounts, and how far both show.
            let most = if report.name == "salesforce" { 3 } else { 2 };
            assert!(report.crm_requests <= most, "{}: {} requests", report.name, report.crm_requests);
        }
    });
}

#[test]
fn what_changes_during_a_backfill_is_read_by_the_next_poll() {
    in_virtual_time(async {
        let firm = Firm::new(14, |settings| settings.contacts = 60);
        firm.sync().await;
        let changes = firm.sandbox.change(40);
        assert!(changes.added > 0 && changes.edited > 0, "{changes:?}");
        firm.wait(Duration::from_secs(600)).await;
        let reports = firm.sync().await;
        let created: u64 = reports.iter().map(|report| report.counts.created).sum();
        assert_eq!(created, changes.added as u64, "{reports:?}");
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn what_no_poll_can_see_is_found_by_the_sweep() {
    in_virtual_time(async {
        let firm = Firm::new(15, |settings| settings.contacts = 10);
        firm.sync().await;
        firm.wait(Duration::from_secs(7200)).await;
        // A row that shows up now with a stamp of two hours ago: behind the watermark and its overlap.
        let late = person("Sent", "Kommen", "sent@kommen.example");
        let stamp = crate::support::epoch() - Duration::from_secs(7200);
        let id = firm.sandbox.salesforce.add_at(&late, stamp);
        firm.sync().await;
        assert!(firm.sandbox.propstreet.find("salesforce", &id).is_empty(), "a poll cannot know");
        firm.wait(Duration::from_secs(86_400)).await;
        let reports = firm.sync().await;
        assert!(reports.iter().all(|r| r.passes.iter().any(|pass| pass.kind == PassKind::Sweep)), "{reports:?}");
        assert_eq!(firm.sandbox.propstreet.find("salesforce", &id).len(), 1);
    });
}

#[test]
fn a_poll_that_cannot_be_trusted_does_not_keep_the_sweep_from_finding_people() {
    in_virtual_time(async {
        let firm = Firm::new(18, |settings| settings.contacts = 10);
        firm.sync().await;
        firm.wait(Duration::from_secs(86_400)).await;
        firm.sandbox.hubspot.faults().add(Rule::new(Fault::Status { code: 400, retry_after: None }).path("/search"));
        let new = firm.sandbox.plant(Crm::HubSpot, &person("Ny", "Person", "ny@person.example"));
        firm.wait(Duration::from_secs(600)).await;
        let reports = firm.sync().await;
        assert!(!all_green(&reports), "a poll that failed is not green");
        assert_eq!(firm.sandbox.propstreet.find("hubspot", &new.id).len(), 1);
    });
}

#[test]
fn from_now_leaves_the_old_alone_until_they_change() {
    in_virtual_time(async {
        let mut firm = Firm::new(16, |settings| settings.contacts = 0);
        firm.from_now = true;
        let [old, edited] =
            ["old", "edited"].map(|name| firm.sandbox.plant(Crm::Pipedrive, &person(name, "Person", "")));
        firm.wait(Duration::from_secs(86_400)).await;
        firm.sync().await;
        assert!(firm.contacts().is_empty());
        firm.sandbox.pipedrive.edit(&edited.id, |person| person.title = Some("Chef".to_owned()));
        let new = firm.sandbox.plant(Crm::Pipedrive, &person("New", "Person", ""));
        // Past the first sweep, which must not take the old ones for new.
        firm.wait(Duration::from_secs(2 * 86_400)).await;
        firm.sync().await;
        let held: Vec<String> = firm.contacts().iter().flat_map(|c| c.refs.iter().map(|r| r.id.clone())).collect();
        assert!(!held.contains(&old.id) && held.contains(&edited.id) && held.contains(&new.id), "{held:?}");
    });
}

#[test]
fn lost_answers_to_a_fifth_of_the_creates_double_and_lose_nobody() {
    in_virtual_time(async {
        let firm = Firm::new(17, |settings| settings.contacts = 100);
        let lost = |fault| Rule::new(fault).on(http::Method::POST).path("/network/contacts").probability(0.1);
        firm.sandbox.propstreet.faults().add(lost(Fault::LostAfter));
        firm.sandbox.propstreet.faults().add(lost(Fault::LostBefore));
        firm.sync().await;
        firm.sandbox.propstreet.faults().clear();
        firm.wait(Duration::from_secs(7200)).await;
        let reports = firm.sync().await;
        assert!(all_green(&reports), "{reports:?}");
        let report = firm.sandbox.check();
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn whom_the_map_kept_out_comes_in_once_it_is_corrected() {
    in_virtual_time(async {
        let mut firm = Firm::new(15, |settings| settings.contacts = 0);
        let anna = Person { title: Some("Partner".to_owned()), ..person("Anna", "Berg", "anna@berg.example") };
        let anna = firm.sandbox.plant(Crm::HubSpot, &anna);
        firm.extra.insert("hubspot", "[sources.hubspot.map]\nemail = { from = \"jobtitle\" }".to_owned());
        for _ in 0..2 {
            firm.sync().await;
            assert_eq!(firm.ending(&anna).await, "quarantined: invalid_field");
            firm.wait(Duration::from_secs(25 * 3600)).await;
        }
        firm.extra.clear();
        firm.sync().await;
        assert_eq!(firm.ending(&anna).await, "created", "her stamp has not moved");
        let requests = firm.sandbox.hubspot.requests().total;
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        // The account, its properties, what changed, and what changed an hour behind.
        assert!(firm.sandbox.hubspot.requests().total <= requests + 4, "nobody is due again");
    });
}
