//! What real Salesforce orgs do that breaks other connectors, each as a story over the whole stack.

use std::time::Duration;

use propsync::domain::pass::PassKind;
use propsync::sandbox::people::Company;
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};

use crate::support::{Firm, all_green, in_virtual_time, person};

const HOUR: Duration = Duration::from_secs(3600);

/// An org without people, configured with these lines.
pub fn org(lines: &str) -> Firm {
    let mut firm = Firm::new(1, |settings| settings.contacts = 0);
    firm.extra.insert("salesforce", lines.to_owned());
    firm
}

pub fn company(name: &str) -> Company {
    Company {
        name: name.to_owned(),
        country: "Sweden".to_owned(),
        country_code: "SE".to_owned(),
        domain: "nordic.example".to_owned(),
    }
}

pub fn reference(id: &str) -> ExternalRef {
    ExternalRef::new("salesforce", id)
}

/// The one live contact, which must carry exactly these refs.
pub fn the_one_contact(firm: &Firm, ids: &[&str]) -> Contact {
    let contacts = firm.contacts();
    assert_eq!(contacts.len(), 1, "{contacts:#?}");
    let contact = contacts.into_iter().next().expect("one");
    let mut found: Vec<&str> = contact.refs.iter().map(|r| r.id.as_str()).collect();
    let mut wanted = ids.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    contact
}

#[test]
fn a_merge_brings_the_survivor_to_the_losers_contact() {
    for moves in [true, false] {
        in_virtual_time(async {
            let firm = org("");
            let salesforce = &firm.sandbox.salesforce;
            salesforce.merge_moves_winner(moves);
            let loser = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
            firm.sync().await;
            // A colleague types her in again under her married name, and merges the two before the next poll.
            let survivor = salesforce.add(&person("Anna", "Lund", "anna@lund.example"));
            assert!(salesforce.merge(&survivor, &loser));
            firm.wait(HOUR).await;
            let writes = firm.sandbox.propstreet.writes().created;
            assert!(all_green(&firm.sync().await));
            the_one_contact(&firm, &[&loser, &survivor]);
            assert_eq!(firm.sandbox.propstreet.writes().created, writes, "nobody was created");
            assert!(firm.ending(&reference(&survivor)).await.starts_with("linked"));
            assert_eq!(firm.ending(&reference(&loser)).await, format!("skipped: merged_into:salesforce:{survivor}"));
        });
    }
}

#[test]
fn a_chain_of_merges_leads_to_the_last_survivor() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        let first = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        let second = salesforce.add(&person("Anna", "Lund", "anna@lund.example"));
        let third = salesforce.add(&person("Anna", "Holm", "anna@holm.example"));
        assert!(salesforce.merge(&second, &first));
        assert!(salesforce.merge(&third, &second));
        firm.wait(HOUR).await;
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&first, &third]);
    });
}

#[test]
fn two_people_in_propstreet_are_not_merged_because_the_crm_merged_them() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        let loser = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        let survivor = salesforce.add(&person("Anna", "Lund", "anna@lund.example"));
        firm.sync().await;
        let before = firm.contacts();
        assert!(salesforce.merge(&survivor, &loser));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!(firm.contacts(), before, "nothing is touched");
        assert_eq!(firm.ending(&reference(&loser)).await, "quarantined: merged_in_crm");
        assert_eq!(firm.ending(&reference(&survivor)).await, "created");
    });
}

#[test]
fn a_converted_lead_and_its_contact_are_one_person() {
    in_virtual_time(async {
        let firm = org("leads = true");
        let salesforce = &firm.sandbox.salesforce;
        let lead = salesforce.add_lead(&person("Anna", "Berg", ""));
        firm.sync().await;
        the_one_contact(&firm, &[&lead]);
        let contact = salesforce.convert(&lead, None).expect("converted");
        firm.wait(HOUR).await;
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&lead, &contact]);
        firm.wait(HOUR).await;
        let writes = firm.sandbox.propstreet.writes();
        assert!(all_green(&firm.sync().await));
        assert_eq!(firm.sandbox.propstreet.writes(), writes);
    });
}

#[test]
fn a_lead_converted_into_a_contact_that_does_not_move_is_still_joined() {
    in_virtual_time(async {
        let firm = org("leads = true");
        let salesforce = &firm.sandbox.salesforce;
        salesforce.conversion_moves_contact(false);
        // The contact waits in quarantine, so that only the lead is in Propstreet.
        let lead = salesforce.add_lead(&person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        let contact = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!(firm.ending(&reference(&contact)).await, "quarantined: same_source_email");
        firm.wait(HOUR).await;
        salesforce.convert(&lead, Some(&contact)).expect("converted");
        firm.wait(HOUR).await;
        firm.sync().await;
        the_one_contact(&firm, &[&lead, &contact]);
    });
}

#[test]
fn a_lead_that_was_converted_before_it_was_ever_read_leaves_no_trace() {
    in_virtual_time(async {
        let firm = org("leads = true");
        let salesforce = &firm.sandbox.salesforce;
        let lead = salesforce.add_lead(&person("Anna", "Berg", "anna@berg.example"));
        let contact = salesforce.convert(&lead, None).expect("converted");
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&contact]);
    });
}

#[test]
fn a_deleted_contact_is_kept_in_propstreet_and_told_and_comes_back_when_restored() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        let anna = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        firm.wait(HOUR).await;
        assert!(salesforce.delete(&anna));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!(firm.ending(&reference(&anna)).await, "skipped: gone");
        the_one_contact(&firm, &[&anna]);
        assert!(salesforce.undelete(&anna));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!(firm.ending(&reference(&anna)).await, "unchanged");
        the_one_contact(&firm, &[&anna]);
    });
}

#[test]
fn a_hard_delete_is_found_by_the_sweep_and_not_before() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        let anna = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        salesforce.add(&person("Nils", "Dahl", "nils@dahl.example"));
        firm.sync().await;
        assert!(salesforce.purge(&anna));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert!(firm.ending(&reference(&anna)).await.starts_with("created"));
        firm.wait(24 * HOUR).await;
        let reports = firm.sync().await;
        let salesforce = reports.iter().find(|report| report.name == "salesforce").expect("a report");
        assert!(salesforce.passes.iter().any(|pass| pass.kind == PassKind::Sweep));
        assert_eq!(firm.ending(&reference(&anna)).await, "skipped: gone");
        assert_eq!(firm.contacts().len(), 2);
    });
}

#[test]
fn a_mass_bump_costs_no_request_to_propstreet() {
    in_virtual_time(async {
        let firm = org("");
        for n in 0..120 {
            firm.sandbox.salesforce.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        }
        firm.sync().await;
        firm.wait(HOUR).await;
        firm.sandbox.salesforce.mass_bump();
        firm.wait(HOUR).await;
        let before = firm.sandbox.propstreet.requests();
        let reports = firm.sync().await;
        let after = firm.sandbox.propstreet.requests();
        assert!(all_green(&reports));
        assert_eq!(after.of("POST contacts") + after.of("PATCH contact"), before.of("POST contacts"));
        assert_eq!(after.of("GET contact by ref"), before.of("GET contact by ref"));
    });
}

#[test]
fn a_renamed_account_reaches_its_people() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        let mut anna = person("Anna", "Berg", "anna@berg.example");
        anna.company = Some(company("Nordic Homes"));
        let anna = salesforce.add(&anna);
        firm.sync().await;
        firm.wait(HOUR).await;
        assert!(salesforce.rename_account(&anna, "Nordic Estates"));
        firm.wait(HOUR).await;
        firm.sync().await;
        // Changes are ignored by default; that it was seen is what matters here.
        assert_eq!(firm.ending(&reference(&anna)).await, "skipped: change_ignored");
    });
}

#[test]
fn a_renamed_account_brings_nobody_in_whom_from_now_leaves_alone() {
    in_virtual_time(async {
        let mut firm = org("");
        firm.from_now = true;
        let salesforce = &firm.sandbox.salesforce;
        let mut anna = person("Anna", "Berg", "anna@berg.example");
        anna.company = Some(company("Nordic Homes"));
        let anna = salesforce.add(&anna);
        firm.wait(HOUR).await;
        firm.sync().await;
        firm.wait(HOUR).await;
        assert!(salesforce.rename_account(&anna, "Nordic Estates"));
        firm.wait(HOUR).await;
        assert!(all_green(&firm.sync().await));
        assert!(firm.contacts().is_empty());
        salesforce.edit(&anna, |person| person.title = Some("Partner".to_owned()));
        firm.wait(HOUR).await;
        firm.sync().await;
        the_one_contact(&firm, &[&anna]);
    });
}

#[test]
fn a_field_that_is_hidden_stops_the_source_by_name_and_is_never_read_as_empty() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        let anna = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        salesforce.hide_field("Email");
        let reports = firm.sync().await;
        let report = reports.iter().find(|report| report.name == "salesforce").expect("a report");
        let told = report.error.as_ref().expect("stopped").to_string();
        assert!(told.contains("Email of Contact"), "{told}");
        assert!(firm.contacts().is_empty());
        salesforce.show_field("Email");
        assert!(all_green(&firm.sync().await));
        assert_eq!(the_one_contact(&firm, &[&anna]).email.as_deref(), Some("anna@berg.example"));
    });
}

#[test]
fn an_optional_field_that_is_hidden_is_left_out() {
    in_virtual_time(async {
        let firm = org("[sources.salesforce.map]\njob_title = { from = \"Title\", optional = true }");
        let salesforce = &firm.sandbox.salesforce;
        let anna = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        salesforce.hide_field("Title");
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&anna]);
    });
}

#[test]
fn write_back_is_written_once_and_makes_no_echo() {
    in_virtual_time(async {
        let firm = org("write_back = { field = \"Propstreet_Contact_Id__c\" }");
        let salesforce = &firm.sandbox.salesforce;
        let ids: Vec<String> = (0..250)
            .map(|n| salesforce.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"))))
            .collect();
        assert!(all_green(&firm.sync().await));
        for id in &ids {
            let contact = firm.sandbox.propstreet.find("salesforce", id).remove(0);
            assert_eq!(salesforce.written_back(id), Some(contact.id.to_string()));
        }
        assert_eq!(salesforce.requests().of("PATCH composite"), 2, "200 a call");
        // The write moved every stamp: the next poll reads them all again, and that is all.
        firm.wait(HOUR).await;
        let propstreet = firm.sandbox.propstreet.requests();
        assert!(all_green(&firm.sync().await));
        let after = firm.sandbox.propstreet.requests();
        assert_eq!(after.of("POST contacts") + after.of("PATCH contact"), propstreet.of("POST contacts"));
        assert_eq!(salesforce.requests().of("PATCH composite"), 2);
    });
}

#[test]
fn the_share_of_the_daily_budget_is_never_exceeded() {
    in_virtual_time(async {
        let firm = org("budget_share = 10");
        let salesforce = &firm.sandbox.salesforce;
        salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        salesforce.set_usage(0, 300);
        let mut told = None;
        for _ in 0..40 {
            let reports = firm.sync().await;
            let report = reports.into_iter().find(|report| report.name == "salesforce").expect("a report");
            told = told.or(report.error.map(|error| error.to_string()));
            firm.wait(Duration::from_secs(600)).await;
        }
        let told = told.expect("it stops");
        assert!(told.contains("budget_share"), "{told}");
        let counted = salesforce.requests();
        assert!(counted.total - counted.of("POST token") <= 30, "{counted:?}");
        // A day later there is a share again.
        firm.wait(24 * HOUR).await;
        let reports = firm.sync().await;
        assert!(all_green(&reports), "{reports:?}");
    });
}
