//! What an org does on a bad day, and what it has that another has not: each lever of the look-alike once, over the whole
//! stack.

use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::Crowd;
use propsync::sandbox::salesforce::model::Salesforce;
use propsync::sandbox::salesforce::troubles;
use propsync::sandbox::salesforce::usage::LimitInfo;
use propsync::sync::report::SourceReport;

use crate::scenarios::salesforce::org;
use crate::support::{Firm, all_green, in_virtual_time, person};

const PEOPLE: usize = 30;

type Pull = fn(&Salesforce);

/// An org with contacts and leads, whose first reading goes through the Bulk API, and which takes ids back.
fn busy_org() -> Firm {
    let firm = org("leads = true\nbulk_above = 20\nwrite_back = { field = \"Propstreet_Contact_Id__c\" }");
    let mut crowd = Crowd::new(3);
    for n in 0..PEOPLE {
        let (salesforce, person) = (&firm.sandbox.salesforce, crowd.person());
        if n % 10 == 0 {
            salesforce.add_lead(&person)
        } else {
            salesforce.add(&person)
        };
    }
    firm
}

async fn sync(firm: &Firm) -> SourceReport {
    let mut reports = firm.sync().await;
    reports.retain(|report| report.name == "salesforce");
    reports.remove(0)
}

/// Everyone is in Propstreet once, and the org knows of each as which contact.
fn assert_all_there(firm: &Firm, what: &str) {
    let salesforce = &firm.sandbox.salesforce;
    assert_eq!(firm.contacts().len(), PEOPLE, "{what}");
    let ids = [salesforce.ids(), salesforce.lead_ids()].concat();
    assert_eq!(ids.iter().filter(|id| salesforce.written_back(id).is_some()).count(), PEOPLE, "{what}");
}

#[test]
fn what_passes_costs_a_moment_and_nobody() {
    fn once(fault: Fault, on: &str) -> Rule {
        Rule::new(fault).path(on).times(1)
    }
    let pulls: [(&str, Pull); 16] = [
        ("too many at once", |org| org.faults().add(once(troubles::too_many_at_once(), "/query"))),
        ("a slow query", |org| org.faults().add(once(troubles::query_timeout(), "/query"))),
        ("set up", |org| org.faults().add(once(troubles::setting_up(), "/query"))),
        ("a proxy's 406", |org| org.faults().add(once(troubles::bodyless(), "/query"))),
        ("maintenance", |org| org.faults().add(once(troubles::maintenance(), "/describe"))),
        ("a locked row", |org| org.faults().add(once(troubles::locked_row(), "/composite").on(Method::PATCH))),
        ("a lost page", |org| {
            org.set_page_size_cap(7);
            org.lose_next_urls(1);
        }),
        ("usage that goes back", |org| org.set_limit_info(LimitInfo::Lagging)),
        ("usage of several kinds", |org| org.set_limit_info(LimitInfo::Segments)),
        ("usage untold", |org| org.set_limit_info(LimitInfo::Absent)),
        ("no replication", |org| org.forbid_updated(true)),
        ("failing jobs", |org| org.fail_jobs(Some("InternalServerError: the job failed"))),
        ("no job left", |org| org.set_job_quota(0)),
        ("a slow job", |org| org.set_job_duration(chrono::TimeDelta::minutes(2))),
        ("small results", |org| org.set_results_cap(7)),
        ("an expired session", Salesforce::expire_tokens),
    ];
    for (what, pull) in pulls {
        in_virtual_time(async {
            let firm = busy_org();
            pull(&firm.sandbox.salesforce);
            let first = sync(&firm).await;
            // A list that goes on and does not say where cannot be read to its end, and is not taken for whole.
            assert_eq!(first.is_green(), what != "a lost page", "{what}: {first:?}");
            firm.wait(Duration::from_secs(300)).await;
            let second = sync(&firm).await;
            assert!(second.is_green(), "{what}: {first:?} {second:?}");
            assert_all_there(&firm, what);
        });
    }
}

#[test]
fn what_salesforce_forgets_in_the_middle_is_asked_for_anew() {
    // What the reading waits for, and what is forgotten meanwhile.
    let pulls: [(&str, Pull, Pull); 2] = [
        (
            "the locator of a page",
            |org| {
                org.set_job_quota(0);
                org.set_page_size_cap(7);
                org.faults().add(Rule::new(Fault::Delay(Duration::from_secs(20))).path("/query/").times(1));
            },
            Salesforce::expire_locators,
        ),
        ("a job", |org| org.set_job_duration(chrono::TimeDelta::minutes(1)), Salesforce::forget_jobs),
    ];
    for (what, pull, forget) in pulls {
        in_virtual_time(async {
            let firm = busy_org();
            pull(&firm.sandbox.salesforce);
            let (report, ()) = futures_util::join!(sync(&firm), async {
                firm.wait(Duration::from_secs(10)).await;
                forget(&firm.sandbox.salesforce);
            });
            assert!(report.is_green(), "{what}: {report:?}");
            assert_all_there(&firm, what);
        });
    }
}

#[test]
fn what_does_not_pass_at_once_stops_the_source_by_name_and_then_it_goes_on() {
    let pulls: [(&str, &str, Pull, Pull); 6] = [
        (
            "not_sent",
            "what it allows all who use this account is used up; nothing is sent for 15 min",
            |org| org.set_usage(15_000, 15_000),
            |org| org.set_usage(0, 15_000),
        ),
        ("unfit", "Lead is not visible", |org| org.hide_object("Lead"), |org| org.show_object("Lead")),
        (
            "unfit",
            "may read and not edit",
            |org| org.lock_field("Propstreet_Contact_Id__c"),
            |org| org.unlock_field("Propstreet_Contact_Id__c"),
        ),
        (
            "credential",
            "choose the user it runs as",
            |org| org.deny_logins("no client credentials user enabled"),
            Salesforce::allow_logins,
        ),
        (
            "forbidden",
            "API_DISABLED_FOR_ORG",
            |org| org.faults().add(Rule::new(troubles::api_disabled()).path("/query")),
            |org| org.faults().clear(),
        ),
        (
            "forbidden",
            "INSUFFICIENT_ACCESS",
            |org| org.faults().add(Rule::new(troubles::insufficient_access()).path("/query")),
            |org| org.faults().clear(),
        ),
    ];
    for (code, words, pull, mend) in pulls {
        in_virtual_time(async {
            let firm = busy_org();
            pull(&firm.sandbox.salesforce);
            let stopped = sync(&firm).await.error.expect(words);
            assert!(stopped.code() == code && stopped.to_string().contains(words), "{stopped}");
            assert!(firm.contacts().is_empty(), "{words}");
            mend(&firm.sandbox.salesforce);
            firm.wait(Duration::from_secs(300)).await;
            assert!(sync(&firm).await.is_green(), "{words}");
            assert_all_there(&firm, words);
        });
    }
}

#[test]
fn a_person_account_is_one_person_who_is_followed_on_the_accounts_page() {
    in_virtual_time(async {
        // No rule of the map reads the account.
        let firm = org("on_delete = \"tag\"\nwrite_back = { field = \"Propstreet_Contact_Id__c\" }\n\
             [sources.salesforce.map]\ncompany = false");
        let salesforce = &firm.sandbox.salesforce;
        salesforce.enable_person_accounts();
        let anna = salesforce.add_person_account(&person("Anna", "Berg", ""));
        assert!(all_green(&firm.sync().await));
        let [contact] = firm.contacts().try_into().expect("one, though the org has two rows");
        assert_eq!(contact.refs.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), [anna.contact.as_str()]);
        assert_eq!(salesforce.written_back(&anna.contact), Some(contact.id.to_string()));

        // Only the account's stamp moves with what is typed there.
        let nobody = salesforce.add_person_account(&person("", "", ""));
        firm.wait(Duration::from_secs(3600)).await;
        firm.sync().await;
        assert!(salesforce.edit_person_account(&nobody.account, |p| *p = person("Bo", "Ek", "bo@ek.example")));
        firm.wait(Duration::from_secs(3600)).await;
        assert!(all_green(&firm.sync().await));
        assert_eq!(firm.contacts().len(), 2);

        assert!(salesforce.delete_person_account(&anna.account));
        firm.wait(Duration::from_secs(3600)).await;
        assert!(all_green(&firm.sync().await));
        let tagged = firm.contacts().into_iter().filter(|c| c.tags == ["deleted-in-crm"]).count();
        assert_eq!(tagged, 1);
    });
}
