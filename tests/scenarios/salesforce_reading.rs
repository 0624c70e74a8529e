//! Reading an org while it changes, and while it will not be read: each a pitfall that costs other connectors people.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use propsync::domain::pass::PassKind;
use propsync::ledger::Ledger;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::salesforce::troubles;
use propsync::sync::report::SourceReport;

use crate::scenarios::salesforce::{company, org, reference, the_one_contact};
use crate::support::{Firm, all_green, in_virtual_time, person};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// One sync; what it reports of Salesforce.
async fn synced(firm: &Firm) -> SourceReport {
    let reports = firm.sync().await;
    reports.into_iter().find(|report| report.name == "salesforce").expect("a report")
}

/// A sync in which the answer to the first call of this kind comes half a minute late, and what happens meanwhile.
async fn synced_while(firm: &Firm, call: &str, happens: impl FnOnce()) -> SourceReport {
    firm.sandbox.salesforce.faults().add(Rule::new(Fault::Late(30 * SECOND)).path(call).times(1));
    let later = async {
        firm.wait(15 * SECOND).await;
        happens();
    };
    tokio::join!(synced(firm), later).0
}

/// The part of a listing of everyone that shows who has left.
const WHO_LEFT: &str = "WHERE+IsDeleted";

#[test]
fn a_merge_amid_a_sweep_is_no_departure() {
    in_virtual_time(async {
        let firm = org("on_delete = \"delete\"");
        let salesforce = &firm.sandbox.salesforce;
        let anna = person("Anna", "Berg", "anna@berg.example");
        let loser = salesforce.add(&anna);
        firm.sync().await;
        let survivor = salesforce.add(&anna);
        firm.wait(25 * HOUR).await;
        // Who has left is listed before, who lives after it.
        let report = synced_while(&firm, WHO_LEFT, || assert!(salesforce.merge(&survivor, &loser))).await;
        assert!(report.complete, "{report:?}");
        the_one_contact(&firm, &[&loser, &survivor]);
        firm.wait(HOUR).await;
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&loser, &survivor]);
        assert_eq!(firm.ending(&reference(&loser)).await, format!("skipped: merged_into:salesforce:{survivor}"));
    });
}

#[test]
fn a_lead_that_is_converted_after_leads_were_switched_off_is_its_contact() {
    in_virtual_time(async {
        let mut firm = org("leads = true\non_delete = \"delete\"");
        let salesforce = firm.sandbox.salesforce.clone();
        let lead = salesforce.add_lead(&person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        firm.extra.insert("salesforce", "leads = false\non_delete = \"delete\"".to_owned());
        firm.wait(25 * HOUR).await;
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&lead]);
        let contact = salesforce.convert(&lead, None).expect("converted");
        for _ in 0..2 {
            firm.wait(25 * HOUR).await;
            firm.sync().await;
            the_one_contact(&firm, &[&lead, &contact]);
        }
    });
}

#[test]
fn a_converted_lead_whose_contact_is_out_of_sight_has_not_left() {
    in_virtual_time(async {
        let firm = org("leads = true\non_delete = \"delete\"");
        let salesforce = &firm.sandbox.salesforce;
        let lead = salesforce.add_lead(&person("Anna", "Berg", "anna@berg.example"));
        firm.sync().await;
        let contact = salesforce.convert(&lead, None).expect("converted");
        // A right that was taken away looks just so.
        assert!(salesforce.purge(&contact));
        for _ in 0..2 {
            firm.wait(25 * HOUR).await;
            assert!(all_green(&firm.sync().await));
            the_one_contact(&firm, &[&lead]);
        }
    });
}

#[test]
fn a_person_account_is_one_person_whose_edits_show_and_whom_no_switch_makes_leave() {
    in_virtual_time(async {
        let mut firm = org("");
        let salesforce = firm.sandbox.salesforce.clone();
        salesforce.enable_person_accounts();
        let anna = salesforce.add_person_account(&person("Anna", "Berg", "anna@berg.example"));
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&anna.contact]);
        firm.wait(HOUR).await;
        // Only the account's stamp moves.
        assert!(salesforce.edit_person_account(&anna.account, |person| person.title = Some("Partner".to_owned())));
        firm.wait(HOUR).await;
        firm.sync().await;
        assert_eq!(firm.ending(&reference(&anna.contact)).await, "skipped: change_ignored");
        firm.extra.insert("salesforce", "person_accounts = false\non_delete = \"delete\"".to_owned());
        salesforce.add_person_account(&person("Nils", "Dahl", "nils@dahl.example"));
        firm.wait(25 * HOUR).await;
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&anna.contact]);
    });
}

#[test]
fn a_field_that_is_hidden_from_leads_amid_a_pass_is_no_empty_field() {
    in_virtual_time(async {
        let firm = org("leads = true");
        let salesforce = &firm.sandbox.salesforce;
        let lead = salesforce.add_lead(&person("Anna", "Berg", "anna@berg.example"));
        let report = synced_while(&firm, "/updated/", || salesforce.hide_field("Lead.Email")).await;
        let told = report.error.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(told.contains("Email of Lead"), "{told}");
        assert_eq!(firm.ending(&reference(&lead)).await, "unknown", "nobody is put aside for it");
        salesforce.show_field("Lead.Email");
        firm.wait(HOUR).await;
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&lead]);
    });
}

#[test]
fn a_bulk_job_that_was_waited_for_is_found_again_after_a_crash() {
    in_virtual_time(async {
        let firm = org("bulk_above = 10\nrows_per_query = 10");
        let salesforce = &firm.sandbox.salesforce;
        for n in 0..30 {
            salesforce.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        }
        salesforce.set_job_duration(chrono::TimeDelta::minutes(30));
        assert!(tokio::time::timeout(600 * SECOND, firm.sync()).await.is_err(), "the job is waited for");
        firm.wait(HOUR).await;
        assert!(all_green(&firm.sync().await));
        assert_eq!((firm.contacts().len(), salesforce.requests().of("POST job")), (30, 1));
    });
}

#[test]
fn an_old_job_does_not_answer_for_a_map_that_has_changed_since() {
    in_virtual_time(async {
        let mut firm = org("bulk_above = 10\nrows_per_query = 10");
        let salesforce = firm.sandbox.salesforce.clone();
        for n in 0..30 {
            salesforce.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        }
        firm.wait(HOUR).await;
        salesforce.set_job_duration(chrono::TimeDelta::minutes(30));
        assert!(tokio::time::timeout(600 * SECOND, firm.sync()).await.is_err(), "the job is waited for");
        let more =
            "bulk_above = 10\nrows_per_query = 10\n[sources.salesforce.map]\nstrategy = { from = \"Rating__c\" }";
        firm.extra.insert("salesforce", more.to_owned());
        firm.wait(HOUR).await;
        salesforce.set_job_duration(chrono::TimeDelta::seconds(10));
        let report = synced(&firm).await;
        assert!(report.is_green() && report.counts.quarantined == 0, "{report:?}");
        assert_eq!((firm.contacts().len(), salesforce.requests().of("POST job")), (30, 2));
    });
}

#[test]
fn lists_that_break_off_are_never_taken_for_whole() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        firm.sync().await;
        firm.wait(HOUR).await;
        salesforce.set_page_size_cap(1);
        let add = |n: usize| salesforce.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        let people: Vec<String> = (0..5).map(add).collect();
        firm.wait(HOUR).await;
        salesforce.lose_next_urls(1);
        let told = synced(&firm).await.error.expect("a list without an end").to_string();
        assert!(told.contains("done:false"), "{told}");
        // A session and the query itself end between two pages; who is awaited comes with the next sync all the same.
        firm.wait(2 * HOUR).await;
        let report = synced_while(&firm, "/queryAll", || {
            salesforce.expire_locators();
            salesforce.expire_tokens();
        })
        .await;
        assert!(report.is_green(), "{report:?}");
        for id in &people {
            assert_eq!(
                firm.sandbox.propstreet.find("salesforce", id).len(),
                1,
                "{}",
                firm.ending(&reference(id)).await
            );
        }
    });
}

#[test]
fn a_day_that_others_used_up_stops_this_source_alone_and_loses_nobody() {
    in_virtual_time(async {
        let firm = org("");
        let salesforce = &firm.sandbox.salesforce;
        firm.sync().await;
        let anna = salesforce.add(&person("Anna", "Berg", "anna@berg.example"));
        firm.wait(HOUR).await;
        salesforce.set_usage(15_000, 15_000);
        let logins = salesforce.requests().of("POST token");
        let reports = firm.sync().await;
        let stopped: Vec<&str> = reports.iter().filter(|r| !r.is_green()).map(|r| r.name.as_str()).collect();
        assert_eq!(stopped, ["salesforce"]);
        assert!(salesforce.requests().of("POST token") - logins <= 1, "a 403 of the day is no matter of logins");
        salesforce.set_usage(0, 15_000);
        firm.wait(HOUR).await;
        // Too many at once is the same code, and passes.
        salesforce.faults().add(Rule::new(troubles::too_many_at_once()).path("/query").times(2));
        assert!(all_green(&firm.sync().await));
        the_one_contact(&firm, &[&anna]);
    });
}

#[test]
fn a_write_back_leaves_owners_alone_and_one_record_that_refuses_stops_no_other() {
    in_virtual_time(async {
        let firm = org("leads = true\nwrite_back = { field = \"Propstreet_Contact_Id__c\" }");
        let salesforce = &firm.sandbox.salesforce;
        let lead = salesforce.add_lead(&person("Anna", "Berg", "anna@berg.example"));
        let [one, other] = ["Dahl", "Lund"]
            .map(|last| salesforce.add(&person("Nils", last, &format!("nils@{}.example", last.to_lowercase()))));
        let owner = salesforce.owner(&lead);
        salesforce.fail_writes(&one, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "closed", None);
        // The answer of the call is lost: the same values are set again, and nothing else is.
        salesforce.faults().add(Rule::new(Fault::Late(200 * SECOND)).on(Method::PATCH).times(1));
        firm.sync().await;
        let id = |reference: &str| {
            let found = firm.sandbox.propstreet.find("salesforce", reference);
            found.first().map(|contact| contact.id.to_string())
        };
        assert_eq!((salesforce.written_back(&lead), salesforce.written_back(&other)), (id(&lead), id(&other)));
        assert_eq!((salesforce.written_back(&one), salesforce.owner(&lead)), (None, owner));
        let told = firm.history(&format!("salesforce:{one}")).await;
        assert!(told.contains("write_back_refused: FIELD_CUSTOM_VALIDATION_EXCEPTION"), "{told}");
    });
}

#[test]
fn ids_that_differ_in_case_alone_are_two_people() {
    in_virtual_time(async {
        let firm = org("");
        let add = |n| firm.sandbox.salesforce.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        let ids: Vec<String> = (0..62).map(add).collect();
        let folded: BTreeSet<String> = ids.iter().map(|id| id[..15].to_lowercase()).collect();
        assert!(folded.len() < ids.len(), "some differ in case alone");
        assert!(all_green(&firm.sync().await));
        assert!(ids.iter().all(|id| firm.sandbox.propstreet.find("salesforce", id).len() == 1));
        assert_eq!(firm.contacts().len(), 62);
    });
}

#[test]
fn a_bound_that_goes_back_takes_the_watermark_with_it() {
    in_virtual_time(async {
        let firm = org("");
        firm.sync().await;
        firm.wait(HOUR).await;
        firm.sync().await;
        // Half an hour long, which is more than the overlap, and not told of before.
        let began = firm.clock.now() - chrono::TimeDelta::minutes(30);
        let anna = person("Anna", "Berg", "anna@berg.example");
        let anna = firm.sandbox.salesforce.add_visible_at(&anna, began, firm.clock.now() + HOUR / 2);
        for _ in 0..9 {
            firm.wait(300 * SECOND).await;
            let report = synced(&firm).await;
            assert!(report.is_green() && report.passes.iter().all(|pass| pass.kind != PassKind::Sweep), "{report:?}");
        }
        the_one_contact(&firm, &[&anna]);
    });
}

#[test]
fn a_renamed_account_reaches_all_its_people_page_by_page_and_after_a_crash() {
    in_virtual_time(async {
        let firm = org("rows_per_query = 50");
        let salesforce = &firm.sandbox.salesforce;
        let employed = |n| {
            let someone = person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example"));
            salesforce.add(&Person { company: Some(company("Nordic Homes")), ..someone })
        };
        let people: Vec<ExternalRef> = (0..220).map(employed).map(|id| reference(&id)).collect();
        firm.sync().await;
        firm.wait(HOUR).await;
        assert!(salesforce.rename_account(&people[0].id, "Nordic Estates"));
        firm.wait(HOUR).await;
        // The look whether they fit one page, then page after page; it dies before the third.
        salesforce.faults().add(Rule::new(Fault::Late(30 * SECOND)).path("AccountId+IN"));
        assert!(tokio::time::timeout(100 * SECOND, firm.sync()).await.is_err());
        salesforce.faults().clear();
        assert!(all_green(&firm.sync().await));
        let rows = firm.rows(&people).await;
        assert!(rows.values().all(|row| row.reason.as_deref() == Some("change_ignored")), "{rows:#?}");
        assert_eq!(rows.len(), 220);
    });
}

#[test]
fn people_who_are_out_of_sight_all_at_once_are_held() {
    in_virtual_time(async {
        let firm = org("on_delete = \"delete\"");
        let salesforce = &firm.sandbox.salesforce;
        let add = |n| salesforce.add(&person("Anna", &format!("Berg{n}"), &format!("a{n}@berg.example")));
        let people: Vec<String> = (0..40).map(add).collect();
        firm.sync().await;
        // What sharing takes away looks as what is purged.
        assert!(people[..20].iter().all(|id| salesforce.purge(id)));
        firm.wait(25 * HOUR).await;
        let report = synced(&firm).await;
        assert_eq!((report.gone.held, report.gone.deleted, firm.contacts().len()), (20, 0, 40), "{report:?}");
        assert!(!report.is_green());
    });
}

#[test]
fn a_poll_that_finds_nobody_moves_the_watermark_to_its_bound() {
    in_virtual_time(async {
        let firm = org("");
        firm.sync().await;
        firm.wait(3 * HOUR).await;
        assert!(all_green(&firm.sync().await));
        let ledger = Ledger::open_for_reading(&firm.ledger_path()).await.expect("a ledger");
        let cursor = ledger.cursor("salesforce", PassKind::Poll).await.expect("a cursor");
        ledger.close().await;
        // The bound lies a minute behind the server's clock: nothing older is read again but the overlap.
        let settled = firm.clock.now() - Duration::from_secs(120);
        assert!(cursor.watermark.is_some_and(|watermark| watermark >= settled), "{cursor:?}");
        assert_eq!(cursor.window, None);
    });
}
