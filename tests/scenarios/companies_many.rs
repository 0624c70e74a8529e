//! Companies that several of a CRM's may be, employers of several CRMs, and people who write in Propstreet meanwhile.

use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::{Company as Employer, Person, Phone};
use propsync::sandbox::propstreet::Area;
use propsync::sandbox::propstreet::company::Company;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sandbox::propstreet::knobs::{Arrays, Knobs, StaleTag};
use propsync::sandbox::upstream::Crm;

use crate::scenarios::companies::{
    CALLS, FOLLOW, HOUR, LINK, at, companies, contact, employer, firm, later, nord, settles, work, works,
};
use crate::support::{Firm, held, in_virtual_time};

#[test]
fn companies_of_several_crms_with_one_domain_or_name_side_by_side_make_one() {
    in_virtual_time(async {
        for (one, other) in [
            (nord(), employer("Nord Sverige AB", "nord.example")),
            (employer("Nord AB", ""), employer("NORD AB (publ)", "")),
        ] {
            let firm = firm(Knobs::default(), LINK);
            let people = [
                firm.sandbox.plant(Crm::HubSpot, &at(one.clone(), "Berg")),
                firm.sandbox.plant(Crm::HubSpot, &at(other.clone(), "Dahl")),
                firm.sandbox.plant(Crm::Salesforce, &at(one.clone(), "Lind")),
            ];
            later(&firm).await;
            let made = companies(&firm);
            assert_eq!((made.len(), made[0].refs.len()), (1, 3), "{one:?}: {made:?}");
            for reference in &people {
                assert_eq!(works(&firm, reference).len(), 1);
            }
            settles(&firm).await;
        }
    });
}

#[test]
fn an_employer_that_is_brought_late_does_not_make_a_persons_change_ours() {
    in_virtual_time(async {
        for edited in [false, true] {
            let off = "on_delete = \"delete\"";
            let mut firm = firm(Knobs::default(), off);
            let anna = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
            later(&firm).await;
            let id = contact(&firm, &anna).id;
            if edited {
                firm.sandbox.propstreet.edit(id, |contact| contact.strategy = Some("offices in Malmö".to_owned()));
            }
            firm.extra.insert("hubspot", format!("{off}\n{LINK}"));
            later(&firm).await;
            assert_eq!(works(&firm, &anna), [work("Nord AB", "CFO", true)]);
            firm.sandbox.delete(&anna);
            firm.wait(25 * HOUR).await;
            later(&firm).await;
            assert_eq!(firm.contacts().len(), usize::from(edited), "what a person wrote is not deleted");
        }
    });
}

#[test]
fn who_left_propstreet_while_an_employer_waited_is_let_be() {
    in_virtual_time(async {
        for deleted in [true, false] {
            let firm = firm(Knobs::default(), LINK);
            firm.sandbox.propstreet.refuse(Area::Companies, Some(403));
            let anna = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
            later(&firm).await;
            let id = contact(&firm, &anna).id;
            if deleted {
                firm.sandbox.propstreet.delete(id);
            } else {
                firm.sandbox.propstreet.edit(id, |contact| contact.refs.clear());
            }
            firm.sandbox.propstreet.refuse(Area::Companies, None);
            later(&firm).await;
            assert_eq!(firm.sandbox.propstreet.links(), [], "deleted: {deleted}");
            for _ in 0..3 {
                firm.sandbox.propstreet.reset_counts();
                later(&firm).await;
                let requests = firm.sandbox.propstreet.requests();
                assert_eq!(CALLS.map(|call| requests.of(call)), [0; 10], "deleted: {deleted}: {requests:?}");
            }
        }
    });
}

#[test]
fn a_rename_that_somebody_overtakes_is_theirs_and_one_that_is_only_late_flows() {
    in_virtual_time(async {
        for stale_tag in [StaleTag::Conflict, StaleTag::PreconditionFailed] {
            for overtaken in [true, false] {
                let firm = firm(Knobs { stale_tag, ..Knobs::default() }, FOLLOW);
                firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
                later(&firm).await;
                let id = companies(&firm)[0].id;
                let name = || firm.sandbox.propstreet.company(id).expect("it stays").name;
                let theirs = firm.sandbox.companies(Crm::HubSpot)[0].id.clone();
                let stale = Rule::new(Fault::Status { code: 412, retry_after: None });
                let stale = stale.on(Method::PATCH).path("/network/companies/");
                firm.sandbox.propstreet.faults().add(stale.times(if overtaken { 1 } else { 9 }));
                firm.sandbox.rename_company(Crm::HubSpot, &theirs, "Norr AB");
                firm.wait(HOUR).await;
                firm.sandbox.propstreet.reset_counts();
                let parts = firm.start().await;
                let somebody = async {
                    while overtaken && firm.sandbox.propstreet.requests().of("PATCH company") == 0 {
                        firm.clock.sleep(Duration::from_millis(100)).await;
                    }
                    if overtaken {
                        firm.sandbox.propstreet.edit_company(id, |company| company.name = "Theirs".to_owned());
                    }
                };
                futures_util::join!(crate::support::sync(&parts), somebody);
                drop(parts);
                for _ in 0..3 {
                    later(&firm).await;
                }
                assert_eq!(name(), if overtaken { "Theirs" } else { "Norr AB" });
                settles(&firm).await;
                if overtaken {
                    firm.sandbox.rename_company(Crm::HubSpot, &theirs, "Norrland AB");
                    for _ in 0..3 {
                        later(&firm).await;
                    }
                    assert_eq!(name(), "Theirs", "theirs, whatever the CRM says next");
                }
            }
        }
    });
}

#[test]
fn a_company_that_was_found_keeps_what_the_crm_has_not_changed() {
    in_virtual_time(async {
        for (more, flows) in [(FOLLOW, true), (LINK, false)] {
            let firm = firm(Knobs::default(), more);
            let there =
                Company { name: "Norr".to_owned(), domain: Some("nord.example".to_owned()), ..Company::default() };
            let id = firm.sandbox.propstreet.plant_company(there);
            firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
            later(&firm).await;
            let theirs = firm.sandbox.companies(Crm::HubSpot)[0].id.clone();
            assert!(firm.sandbox.hubspot.set_company(&theirs, "domain", "norr.example"));
            later(&firm).await;
            later(&firm).await;
            let company = firm.sandbox.propstreet.company(id).expect("it stays");
            let domain = if flows { "norr.example" } else { "nord.example" };
            assert_eq!((company.name.as_str(), company.domain.as_deref()), ("Norr", Some(domain)), "{more}");
            assert_eq!(companies(&firm).len(), 1);
            settles(&firm).await;
        }
    });
}

/// Two CRMs, of which Salesforce goes first; both know Anna, each with an employer of its own.
async fn two_employers(more: &str) -> (Firm, [ExternalRef; 2]) {
    let mut firm = firm(Knobs::default(), &format!("{FOLLOW}\n{more}"));
    firm.extra.insert("propstreet", "precedence = [\"salesforce\", \"hubspot\"]".to_owned());
    let hubspot = firm.sandbox.plant(Crm::HubSpot, &at(employer("Syd AB", "syd.example"), "Berg"));
    later(&firm).await;
    let salesforce = firm.sandbox.plant(Crm::Salesforce, &at(nord(), "Berg"));
    later(&firm).await;
    later(&firm).await;
    assert_eq!(firm.contacts().len(), 1);
    (firm, [salesforce, hubspot])
}

#[test]
fn of_two_crms_the_first_says_where_a_person_works_and_the_second_once_it_says_no_more() {
    in_virtual_time(async {
        let (firm, [salesforce, hubspot]) = two_employers("").await;
        let both = [work("Syd AB", "CFO", false), work("Nord AB", "CFO", true)];
        assert_eq!(works(&firm, &hubspot), both);
        settles(&firm).await;
        // A move in the second is not followed while the first has a word.
        let vast = firm.sandbox.add_company(Crm::HubSpot, &employer("Väst AB", "vast.example"));
        assert!(firm.sandbox.employ(&hubspot, Some(&vast)));
        later(&firm).await;
        later(&firm).await;
        assert_eq!(works(&firm, &hubspot), both);
        settles(&firm).await;
        assert!(firm.sandbox.employ(&salesforce, None));
        for _ in 0..3 {
            later(&firm).await;
        }
        let last = works(&firm, &hubspot);
        assert_eq!(last.last(), Some(&work("Väst AB", "CFO", true)), "{last:?}");
        assert_eq!(last.iter().filter(|(.., primary)| *primary).count(), 1, "{last:?}");
        settles(&firm).await;
    });
}

#[test]
fn a_company_of_which_only_the_reference_tells_is_found_by_it_after_a_lost_answer() {
    in_virtual_time(async {
        for fault in [Fault::LostAfter, Fault::CommitLate(Duration::from_secs(20))] {
            let firm = firm(Knobs::default(), LINK);
            let nowhere = Employer { country: String::new(), country_code: String::new(), ..employer("Nord AB", "") };
            let people = ["Berg", "Dahl"].map(|last| firm.sandbox.plant(Crm::HubSpot, &at(nowhere.clone(), last)));
            let rule = Rule::new(fault).on(Method::POST).path("/network/companies").times(1);
            firm.sandbox.propstreet.faults().add(rule);
            for _ in 0..3 {
                later(&firm).await;
            }
            assert_eq!(companies(&firm).len(), 1);
            for reference in &people {
                assert_eq!(works(&firm, reference), [work("Nord AB", "CFO", true)]);
            }
            settles(&firm).await;
        }
    });
}

#[test]
fn a_contact_that_two_crms_wrote_and_employed_goes_with_the_last_of_them_unless_a_person_wrote() {
    in_virtual_time(async {
        for (edited, first_leaves, writes) in [(false, 0, 0), (false, 0, 1), (false, 1, 0), (false, 1, 1), (true, 0, 1)]
        {
            let (firm, people) = two_employers("on_delete = \"delete\"").await;
            let phone = Some(Phone::new("+46700000009", "+46700000009"));
            assert!(firm.sandbox.edit(&people[writes], &Person { mobile: phone, ..at(nord(), "Berg") }));
            later(&firm).await;
            assert_eq!(contact(&firm, &people[0]).phone.as_deref(), Some("+46700000009"));
            if edited {
                let id = contact(&firm, &people[0]).id;
                firm.sandbox.propstreet.edit(id, |contact| contact.strategy = Some("theirs".to_owned()));
            }
            for leaves in [&people[first_leaves], &people[1 - first_leaves]] {
                assert_eq!(firm.contacts().len(), 1, "while one stands behind it");
                firm.sandbox.delete(leaves);
                firm.wait(25 * HOUR).await;
                later(&firm).await;
                later(&firm).await;
            }
            assert_eq!(firm.contacts().len(), usize::from(edited), "{first_leaves} leaves first, {writes} wrote last");
        }
    });
}

#[test]
fn over_a_day_of_polls_everything_is_written_once_and_then_nothing() {
    in_virtual_time(async {
        let eager = Knobs {
            noop_makes_a_version: true,
            rename_touches_contacts: true,
            first_link_is_primary: false,
            arrays: Arrays::Merge,
            ..Knobs::default()
        };
        for knobs in [Knobs::default(), eager] {
            let mut firm = firm(knobs, FOLLOW);
            for (source, field) in [
                ("salesforce", "Propstreet_Contact_Id__c"),
                ("hubspot", "propstreet_contact_id"),
                ("pipedrive", "Propstreet id"),
            ] {
                firm.extra.insert(source, format!("{FOLLOW}\nwrite_back = {{ field = \"{field}\" }}"));
            }
            let everywhere = |last: &str| Crm::ALL.map(|crm| firm.sandbox.plant(crm, &at(nord(), last)));
            let people: Vec<_> = ["Berg", "Dahl", "Lind"].into_iter().flat_map(everywhere).collect();
            later(&firm).await;
            for (place, crm) in Crm::ALL.into_iter().enumerate() {
                let theirs = firm.sandbox.companies(crm)[0].id.clone();
                firm.sandbox.rename_company(crm, &theirs, "Norr AB");
                let syd = firm.sandbox.add_company(crm, &employer("Syd AB", "syd.example"));
                for moved in [&people[place], &people[3 + place]] {
                    // A lead of Salesforce has no account to move to.
                    firm.sandbox.employ(moved, Some(&syd));
                }
            }
            let before = written(&firm);
            let mut writes = Vec::new();
            for _ in 0..24 {
                later(&firm).await;
                writes.push(written(&firm));
            }
            assert_ne!(before, writes[23], "something was written at all");
            assert!(writes[4..].iter().all(|then| *then == writes[4]), "{writes:?}");
            assert_eq!((firm.contacts().len(), companies(&firm).len()), (3, 2));
            settles(&firm).await;
        }
    });
}

/// All that was written anywhere so far.
fn written(firm: &Firm) -> String {
    let sandbox = &firm.sandbox;
    let crms = [sandbox.salesforce.requests(), sandbox.hubspot.requests(), sandbox.pipedrive.requests()];
    let writing = |kind: &&String| {
        ["PATCH", "PUT"].iter().any(|word| kind.starts_with(word))
            || kind.starts_with("POST") && kind.contains("update")
    };
    let crms = crms.map(|counts| counts.by_kind.keys().filter(writing).map(|kind| counts.of(kind)).sum::<u64>());
    format!("{:?} {crms:?}", sandbox.propstreet.writes())
}

/// What a sync calls, in the order of [`CALLS`].
async fn calls(firm: &Firm) -> String {
    firm.sandbox.propstreet.reset_counts();
    later(firm).await;
    let requests = firm.sandbox.propstreet.requests();
    let names = CALLS.iter().chain(&["POST contacts"]).filter(|call| requests.of(call) > 0);
    names.map(|call| format!("{} {call}", requests.of(call))).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_first_backfill_costs_what_the_page_on_companies_says() {
    in_virtual_time(async {
        let works_at = |n: usize| employer(&format!("Nord{} AB", n % 10), &format!("nord{}.example", n % 10));
        let anna = |n: usize| at(works_at(n), &format!("Berg{n}"));
        for more in [LINK, FOLLOW] {
            for (companies_there, contacts_there, cost) in [
                (false, false, "10 GET company by ref, 10 POST duplicates, 10 POST companies, 100 POST contacts"),
                (
                    true,
                    false,
                    "10 GET company by ref, 10 GET company, 10 POST duplicates, 10 PATCH company, 100 POST contacts",
                ),
                (
                    false,
                    true,
                    "10 GET company by ref, 10 POST duplicates, 10 POST companies, 100 GET links, 100 POST links, \
                     100 PATCH contact, 200 GET contact",
                ),
            ] {
                let firm = firm(Knobs::default(), more);
                for n in 0..100 {
                    firm.sandbox.plant(Crm::HubSpot, &anna(n));
                    if contacts_there {
                        firm.sandbox.propstreet.plant(held(&anna(n), &[]));
                    }
                    if companies_there && n < 10 {
                        let works_at = works_at(n);
                        let (name, domain) = (works_at.name, Some(works_at.domain));
                        firm.sandbox.propstreet.plant_company(Company { name, domain, ..Company::default() });
                    }
                }
                assert_eq!(calls(&firm).await, cost, "{more}");
                assert_eq!(calls(&firm).await, "", "{more}: nothing more");
            }
        }
    });
}
