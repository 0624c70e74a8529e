//! Where people work: one company each in Propstreet, found or made once, and employments that come, move and wait.

use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::{Company as Employer, Person};
use propsync::sandbox::propstreet::Area;
use propsync::sandbox::propstreet::company::Company;
use propsync::sandbox::propstreet::contact::{Contact, ExternalRef};
use propsync::sandbox::propstreet::knobs::{Arrays, Envelope, Hits, Ids, Knobs, MissingTag, RepeatedLink, StaleTag};
use propsync::sandbox::propstreet::network::Link;
use propsync::sandbox::upstream::Crm;
use propsync::sync::report::SourceReport;

use crate::scenarios::answers::firm_with;
use crate::support::{Firm, held, in_virtual_time, person};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const LINK: &str = "companies = \"link\"";
pub(super) const FOLLOW: &str = "companies = \"link\"\non_change = \"update\"";
/// What an idle sync must not call.
pub(super) const CALLS: [&str; 10] = [
    "GET company by ref",
    "GET company",
    "POST duplicates",
    "POST companies",
    "PATCH company",
    "GET links",
    "POST links",
    "PATCH link",
    "PATCH contact",
    "GET contact",
];

pub(super) fn firm(knobs: Knobs, more: &str) -> Firm {
    let mut firm = firm_with(knobs);
    for source in ["salesforce", "hubspot", "pipedrive"] {
        firm.extra.insert(source, more.to_owned());
    }
    firm
}

pub(super) fn nord() -> Employer {
    employer("Nord AB", "nord.example")
}

pub(super) fn employer(name: &str, domain: &str) -> Employer {
    Employer {
        name: name.to_owned(),
        country: "Sweden".to_owned(),
        country_code: "SE".to_owned(),
        domain: domain.to_owned(),
    }
}

pub(super) fn at(employer: Employer, last: &str) -> Person {
    let email = format!("{}@people.example", last.to_lowercase());
    Person { company: Some(employer), title: Some("CFO".to_owned()), ..person("Anna", last, &email) }
}

/// An hour later, one sync, which reads everything.
pub(super) async fn later(firm: &Firm) -> Vec<SourceReport> {
    firm.wait(HOUR).await;
    let reports = firm.sync().await;
    assert!(reports.iter().all(|report| report.complete && report.counts.balanced()), "{reports:?}");
    reports
}

pub(super) fn contact(firm: &Firm, reference: &ExternalRef) -> Contact {
    let mut found = firm.sandbox.propstreet.find(&reference.namespace, &reference.id);
    assert_eq!(found.len(), 1, "one contact carries {reference:?}");
    found.remove(0)
}

/// A contact's living employments: company, title, whether it is the primary one; the oldest first.
pub(super) fn works(firm: &Firm, reference: &ExternalRef) -> Vec<(String, Option<String>, bool)> {
    let id = contact(firm, reference).id;
    let links = firm.sandbox.propstreet.links().into_iter();
    let living = links.filter(|link: &Link| link.contact == id && link.deleted.is_none());
    let name = |link: &Link| firm.sandbox.propstreet.company(link.company).expect("a company").name;
    living.map(|link| (name(&link), link.job_title.clone(), link.primary)).collect()
}

pub(super) fn work(name: &str, title: &str, primary: bool) -> (String, Option<String>, bool) {
    (name.to_owned(), Some(title.to_owned()).filter(|title| !title.is_empty()), primary)
}

pub(super) fn companies(firm: &Firm) -> Vec<Company> {
    firm.sandbox.propstreet.companies().into_iter().filter(Company::is_live).collect()
}

/// After at most one sync more nothing is called any more, also when a sweep is due.
pub(super) async fn settles(firm: &Firm) {
    later(firm).await;
    for hours in [1, 25] {
        firm.wait(hours * HOUR).await;
        firm.sandbox.propstreet.reset_counts();
        firm.sync().await;
        let requests = firm.sandbox.propstreet.requests();
        assert_eq!(CALLS.map(|call| requests.of(call)), [0; 10], "idle: {requests:?}");
    }
}

#[test]
fn fifty_colleagues_side_by_side_make_one_company_and_each_is_one_write() {
    in_virtual_time(async {
        for crm in Crm::ALL {
            let firm = firm(Knobs::default(), LINK);
            let people: Vec<_> = (0..50).map(|n| firm.sandbox.plant(crm, &at(nord(), &format!("Berg{n}")))).collect();
            later(&firm).await;
            let made = companies(&firm);
            assert_eq!(made.len(), 1, "{crm:?}: {made:?}");
            assert_eq!((made[0].name.as_str(), made[0].refs.len()), ("Nord AB", 1));
            for reference in &people {
                assert_eq!(works(&firm, reference), [work("Nord AB", "CFO", true)], "{crm:?}");
            }
            let requests = firm.sandbox.propstreet.requests();
            let calls = ["POST companies", "POST duplicates", "POST contacts", "POST links", "PATCH link"];
            assert_eq!(calls.map(|call| requests.of(call)), [1, 1, 50, 0, 0], "{crm:?}: {requests:?}");
            settles(&firm).await;
        }
    });
}

#[test]
fn a_company_is_found_by_reference_domain_or_name_and_country_and_by_nothing_else() {
    in_virtual_time(async {
        let company = |name: &str, domain: &str, country: &str| Company {
            name: name.to_owned(),
            domain: Some(domain.to_owned()).filter(|domain| !domain.is_empty()),
            country_code: Some(country.to_owned()).filter(|country| !country.is_empty()),
            ..Company::default()
        };
        // What Propstreet has, where the person works, and whether that is it.
        let cases = [
            (company("Norr", "nord.example", "NO"), nord(), true),
            (company("NORD AB (publ)", "", "SE"), employer("Nord AB", ""), true),
            (company("Nord AB", "", "NO"), employer("Nord AB", ""), false),
            (company("Nord AB", "", ""), employer("Nord AB", ""), false),
            (company("Nord HB", "", "SE"), employer("Nord AB", ""), false),
            (company("Nord Group", "", "SE"), nord(), false),
            (company("Nordd AB", "", "SE"), nord(), false),
            (company("Somebody", "gmail.com", "SE"), employer("Nord AB", "gmail.com"), false),
        ];
        for hits in [Hits::Plain, Hits::Results, Hits::Data] {
            // How the hits are wrapped matters once: where there is one.
            let told = if hits == Hits::Plain { cases.len() } else { 1 };
            for (there, works_at, found) in cases[..told].iter().cloned() {
                let firm = firm(Knobs { hits, ids: Ids::Number, ..Knobs::default() }, LINK);
                let id = firm.sandbox.propstreet.plant_company(there.clone());
                let anna = firm.sandbox.plant(Crm::HubSpot, &at(works_at.clone(), "Berg"));
                later(&firm).await;
                assert_eq!(companies(&firm).len(), if found { 1 } else { 2 }, "{there:?} {works_at:?}");
                let kept = firm.sandbox.propstreet.company(id).expect("it stays");
                assert_eq!(
                    (kept.name, kept.refs.len()),
                    (there.name, usize::from(found)),
                    "a found one keeps its name"
                );
                assert_eq!(works(&firm, &anna).len(), 1);
                settles(&firm).await;
            }
        }
    });
}

#[test]
fn of_two_companies_that_may_be_it_none_is_taken_and_none_made() {
    in_virtual_time(async {
        let firm = firm(Knobs::default(), LINK);
        for name in ["Norr", "Nordan"] {
            let domain = Some("nord.example".to_owned());
            firm.sandbox.propstreet.plant_company(Company { name: name.to_owned(), domain, ..Company::default() });
        }
        let anna = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
        later(&firm).await;
        assert_eq!((companies(&firm).len(), works(&firm, &anna)), (2, vec![]));
        assert!(firm.row(&anna).await.is_some_and(|row| row.pending_employment));
        // Somebody makes one of two; a day later the employer comes.
        let double = companies(&firm)[1].id;
        firm.sandbox.propstreet.delete_company(double);
        firm.wait(25 * HOUR).await;
        later(&firm).await;
        assert_eq!(works(&firm, &anna), [work("Norr", "CFO", true)]);
        settles(&firm).await;
    });
}

#[test]
fn who_moves_keeps_the_other_employments_and_has_one_primary() {
    in_virtual_time(async {
        for knobs in [
            Knobs::default(),
            Knobs {
                first_link_is_primary: false,
                untagged_link: MissingTag::Required,
                stale_tag: StaleTag::Conflict,
                repeated_link: RepeatedLink::Conflict,
                envelope: Envelope::Flat,
                arrays: Arrays::Merge,
                ids: Ids::Number,
                noop_makes_a_version: true,
                ..Knobs::default()
            },
        ] {
            for crm in Crm::ALL {
                let firm = firm(knobs.clone(), FOLLOW);
                let anna = firm.sandbox.plant(crm, &at(nord(), "Berg"));
                later(&firm).await;
                let board = Company { name: "Board".to_owned(), ..Company::default() };
                let board = firm.sandbox.propstreet.plant_company(board);
                firm.sandbox.propstreet.add_employment(contact(&firm, &anna).id, board, Some("Chair"), false);
                let syd = firm.sandbox.add_company(crm, &employer("Syd AB", "syd.example"));
                assert!(firm.sandbox.employ(&anna, Some(&syd)));
                later(&firm).await;
                later(&firm).await;
                let expected =
                    [work("Nord AB", "CFO", false), work("Board", "Chair", false), work("Syd AB", "CFO", true)];
                assert_eq!(works(&firm, &anna), expected, "{crm:?}");
                let mut form = at(nord(), "Berg");
                form.title = Some("CEO".to_owned());
                assert!(firm.sandbox.edit(&anna, &form));
                later(&firm).await;
                assert_eq!(works(&firm, &anna)[2], work("Syd AB", "CEO", true), "{crm:?}");
                settles(&firm).await;
            }
        }
    });
}

#[test]
fn under_ignore_an_employment_that_is_there_is_left_alone_and_a_missing_one_is_brought() {
    in_virtual_time(async {
        let firm = firm(Knobs::default(), LINK);
        let there = firm.sandbox.propstreet.plant(held(&at(nord(), "Berg"), &[]));
        let other = firm.sandbox.propstreet.plant_company(Company { name: "Other".to_owned(), ..Company::default() });
        firm.sandbox.propstreet.add_employment(there, other, Some("Partner"), true);
        let anna = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
        later(&firm).await;
        assert!(firm.ending(&anna).await.starts_with("linked"));
        assert_eq!(works(&firm, &anna), [work("Other", "Partner", true), work("Nord AB", "CFO", false)]);
        let syd = firm.sandbox.add_company(Crm::HubSpot, &employer("Syd AB", "syd.example"));
        firm.sandbox.employ(&anna, Some(&syd));
        later(&firm).await;
        assert_eq!(works(&firm, &anna).len(), 2, "a change is ignored");
        settles(&firm).await;
    });
}

#[test]
fn a_rename_in_the_crm_flows_and_somebodys_rename_stays() {
    in_virtual_time(async {
        for rename_touches_contacts in [false, true] {
            for crm in Crm::ALL {
                let firm = firm(Knobs { rename_touches_contacts, ..Knobs::default() }, FOLLOW);
                let people: Vec<_> =
                    (0..3).map(|n| firm.sandbox.plant(crm, &at(nord(), &format!("Berg{n}")))).collect();
                later(&firm).await;
                let id = companies(&firm)[0].id;
                let theirs = firm.sandbox.companies(crm)[0].id.clone();
                firm.sandbox.rename_company(crm, &theirs, "Norr AB");
                later(&firm).await;
                later(&firm).await;
                let name = || firm.sandbox.propstreet.company(id).expect("it stays").name;
                assert_eq!((name().as_str(), companies(&firm).len()), ("Norr AB", 1), "{crm:?}");
                assert_eq!(firm.sandbox.propstreet.writes().companies_updated, 1, "{crm:?}: once, not once a person");
                settles(&firm).await;

                firm.sandbox.propstreet.edit_company(id, |company| company.name = "Norr Holding".to_owned());
                firm.sandbox.rename_company(crm, &theirs, "Norr Group AB");
                for _ in 0..3 {
                    later(&firm).await;
                }
                assert_eq!(name(), "Norr Holding", "{crm:?}: somebody's");
                assert_eq!(works(&firm, &people[0]).len(), 1);
                settles(&firm).await;
            }
        }
    });
}

#[test]
fn a_tenant_without_companies_gets_its_contacts_and_their_employers_once_it_may() {
    let works_at = |n: usize| employer(&format!("Nord{n} AB"), &format!("nord{n}.example"));
    in_virtual_time(async {
        for (area, status) in [
            (Area::Companies, 403),
            (Area::Companies, 404),
            (Area::Companies, 405),
            (Area::Duplicates, 404),
            (Area::Companies, 501),
        ] {
            let firm = firm(Knobs::default(), LINK);
            let not_built = Rule::new(Fault::Status { code: 501, retry_after: None }).path("/network/companies");
            match status {
                501 => firm.sandbox.propstreet.faults().add(not_built),
                _ => firm.sandbox.propstreet.refuse(area, Some(status)),
            }
            let people: Vec<_> =
                (0..20).map(|n| firm.sandbox.plant(Crm::HubSpot, &at(works_at(n), &format!("Berg{n}")))).collect();
            let reports = later(&firm).await;
            assert!(reports.iter().all(SourceReport::is_green), "{status}: {reports:?}");
            let told = reports.iter().find(|report| report.name == "hubspot").and_then(|r| r.companies_refused.clone());
            assert!(told.is_some_and(|told| told.contains(&status.to_string())), "{status}: told in the report");
            for _ in 0..2 {
                firm.sandbox.propstreet.reset_counts();
                later(&firm).await;
                let requests = firm.sandbox.propstreet.requests();
                let asked = CALLS.iter().take(8).map(|call| requests.of(call)).sum::<u64>();
                // Where there is no such call, a look-up by reference and a search say nothing of it yet.
                let most = if status == 404 { 3 } else { 1 };
                assert!(asked <= most, "{status}: one of them tries, for all: {requests:?}");
            }
            firm.sandbox.propstreet.refuse(area, None);
            firm.sandbox.propstreet.faults().clear();
            later(&firm).await;
            for (n, reference) in people.iter().enumerate() {
                assert_eq!(works(&firm, reference), [work(&works_at(n).name, "CFO", true)], "{status}");
                assert!(firm.row(reference).await.is_some_and(|row| !row.pending_employment));
            }
            assert_eq!(companies(&firm).len(), 20);
            settles(&firm).await;
        }
    });
}

#[test]
fn where_employments_are_refused_the_contact_keeps_that_it_was_made_with_and_the_rest_waits() {
    in_virtual_time(async {
        for status in [403, 404, 405] {
            let firm = firm(Knobs::default(), FOLLOW);
            firm.sandbox.propstreet.refuse(Area::Links, Some(status));
            let there = firm.sandbox.propstreet.plant(held(&at(nord(), "Berg"), &[]));
            let anna = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
            later(&firm).await;
            assert_eq!((contact(&firm, &anna).id, works(&firm, &anna)), (there, vec![]), "{status}");
            assert!(firm.row(&anna).await.is_some_and(|row| row.pending_employment));
            firm.sandbox.propstreet.refuse(Area::Links, None);
            later(&firm).await;
            assert_eq!(works(&firm, &anna), [work("Nord AB", "CFO", true)], "{status}");
            settles(&firm).await;
        }
    });
}

#[test]
fn a_company_that_went_as_its_first_person_came_holds_nobody_up() {
    in_virtual_time(async {
        let firm = firm(Knobs::default(), LINK);
        firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
        later(&firm).await;
        let refused = r#"{"title":"Validation Error","errors":{"connections[0].company.id":["no such company"]}}"#;
        let refused = Fault::Answer { code: 400, content_type: "application/problem+json", body: refused.to_owned() };
        firm.sandbox.propstreet.faults().add(Rule::new(refused).on(Method::POST).body("connections"));
        let bo = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Dahl"));
        later(&firm).await;
        assert_eq!(
            works(&firm, &bo),
            [work("Nord AB", "CFO", true)],
            "by a link, since the company is there after all"
        );
        settles(&firm).await;
    });
}

#[test]
fn a_name_that_somebody_typed_is_found_and_never_made() {
    in_virtual_time(async {
        let typed = format!("{LINK}\nmap.company_id = false\nmap.company_domain = false\nmap.company_website = false");
        let firm = firm(Knobs::default(), &typed);
        let syd = Company { name: "Syd".to_owned(), country_code: Some("SE".to_owned()), ..Company::default() };
        firm.sandbox.propstreet.plant_company(syd);
        let anna = firm.sandbox.plant(Crm::Salesforce, &at(nord(), "Berg"));
        let bo = firm.sandbox.plant(Crm::Salesforce, &at(employer("Syd AB", ""), "Dahl"));
        later(&firm).await;
        assert_eq!((companies(&firm).len(), works(&firm, &anna)), (1, vec![]));
        assert_eq!(works(&firm, &bo), [work("Syd", "CFO", true)]);
        assert_eq!(companies(&firm)[0].refs, [], "nobody's reference");
        assert!(firm.row(&anna).await.is_some_and(|row| !row.pending_employment), "nothing waits");
        settles(&firm).await;
    });
}

#[test]
fn under_whatever_reading_of_the_pages_there_is_one_company_and_one_primary() {
    in_virtual_time(async {
        // One reading at a time is turned in `readings.rs`; here several at once.
        for seed in 0..8 {
            let knobs = Knobs::draw(&mut fastrand::Rng::with_seed(seed));
            let firm = firm(knobs.clone(), FOLLOW);
            firm.sandbox.propstreet.plant(held(&at(nord(), "Berg"), &[]));
            let anna = firm.sandbox.plant(Crm::Salesforce, &at(nord(), "Berg"));
            let bo = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Dahl"));
            for _ in 0..3 {
                later(&firm).await;
            }
            assert_eq!(companies(&firm).len(), 1, "{knobs:?}");
            for reference in [&anna, &bo] {
                assert_eq!(works(&firm, reference), [work("Nord AB", "CFO", true)], "seed {seed}: {knobs:?}");
            }
            let syd = firm.sandbox.add_company(Crm::Salesforce, &employer("Syd AB", "syd.example"));
            firm.sandbox.employ(&anna, Some(&syd));
            for _ in 0..3 {
                later(&firm).await;
            }
            let moved = [work("Nord AB", "CFO", false), work("Syd AB", "CFO", true)];
            assert_eq!(works(&firm, &anna), moved, "seed {seed}: {knobs:?}");
            settles(&firm).await;
        }
    });
}

#[test]
fn a_source_that_links_companies_from_today_on_brings_the_employers_of_everybody_it_has() {
    in_virtual_time(async {
        // What was owed from the start is no change, and not for the guard to hold.
        for choice in [LINK.to_owned(), format!("{FOLLOW}\nguard = 1")] {
            let mut firm = firm(Knobs::default(), "");
            let [anna, cia] = ["Berg", "Cedergren"].map(|last| firm.sandbox.plant(Crm::Salesforce, &at(nord(), last)));
            let bo = firm.sandbox.plant(Crm::Salesforce, &person("Bo", "Dahl", "bo@dahl.example"));
            later(&firm).await;
            assert_eq!((companies(&firm).len(), works(&firm, &anna)), (0, vec![]));
            firm.extra.insert("salesforce", choice);
            later(&firm).await;
            assert_eq!(works(&firm, &anna), [work("Nord AB", "CFO", true)]);
            assert_eq!(works(&firm, &cia), [work("Nord AB", "CFO", true)]);
            assert_eq!(works(&firm, &bo), []);
            settles(&firm).await;
        }
    });
}

#[test]
fn a_company_that_somebody_deleted_is_not_made_again() {
    in_virtual_time(async {
        for deleted_company_ends_links in [false, true] {
            for lookup_finds_deleted in [false, true] {
                let knobs = Knobs { deleted_company_ends_links, lookup_finds_deleted, ..Knobs::default() };
                let firm = firm(knobs, FOLLOW);
                firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Berg"));
                later(&firm).await;
                firm.sandbox.propstreet.delete_company(companies(&firm)[0].id);
                let bo = firm.sandbox.plant(Crm::HubSpot, &at(nord(), "Dahl"));
                later(&firm).await;
                assert_eq!((companies(&firm).len(), contact(&firm, &bo).last_name.as_deref()), (0, Some("Dahl")));
                assert!(firm.row(&bo).await.is_some_and(|row| row.pending_employment));
                later(&firm).await;
                firm.sandbox.propstreet.reset_counts();
                later(&firm).await;
                let requests = firm.sandbox.propstreet.requests();
                assert_eq!(CALLS.map(|call| requests.of(call)), [0; 10], "asked once a day: {requests:?}");
            }
        }
    });
}
