//! Whom each CRM says a person works for, where companies are linked: read from the look-alikes by the adapters and made
//! by the default map, and how a change of it is noticed. What becomes of it in Propstreet is told elsewhere.

use std::time::Duration;

use propsync::domain::contact::Contact;
use propsync::sandbox::people::{Company, Person};
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sync::report::SourceReport;
use propsync::sync::source::Detail;

use crate::support::{Firm, in_virtual_time, person, sync_one};

const HOUR: Duration = Duration::from_secs(3600);
const NOTICED: &str = "skipped: change_ignored";

/// A firm without people whose CRM of this name has its companies linked, and these lines besides.
fn linked(source: &'static str, lines: &str) -> Firm {
    let mut firm = Firm::new(1, |settings| settings.contacts = 0);
    firm.extra.insert(source, format!("companies = \"link\"\n{lines}"));
    firm
}

fn acme() -> Company {
    let text = str::to_owned;
    Company { name: text("Acme"), country: text("Sweden"), country_code: text("SE"), domain: text("acme.example") }
}

fn other() -> Company {
    Company { name: "Other".to_owned(), domain: "other.example".to_owned(), ..acme() }
}

fn anna(company: Option<Company>) -> Person {
    Person { company, ..person("Anna", "Berg", "anna@berg.example") }
}

/// Name, id, homepage, domain and country of the employer of each of these, as one record after the other is mapped.
async fn employers(firm: &Firm, source: &str, ids: &[&String]) -> Vec<String> {
    let parts = firm.start().await;
    let source = parts.sources.iter().find(|found| found.name == source).expect("the source");
    let mut told = Vec::new();
    for id in ids {
        let records = source.crm.fetch(vec![(*id).clone()]).await.expect("an answer");
        let contact = source.mapper.map(&records[0]).expect("a contact");
        told.push(told_of(&contact));
    }
    parts.engine.ledger.close().await;
    told
}

/// The same of everyone, as a first reading shows them.
async fn everyones(firm: &Firm, source: &str) -> Vec<String> {
    let parts = firm.start().await;
    let source = parts.sources.iter().find(|found| found.name == source).expect("the source");
    let (mut told, mut resume) = (Vec::new(), None);
    loop {
        let page = source.crm.everyone(Detail::Records, resume).await.expect("a page");
        let records = page.sightings.iter().filter_map(|sighting| sighting.record.as_ref());
        told.extend(records.map(|record| told_of(&source.mapper.map(record).expect("a contact"))));
        resume = page.next;
        if resume.is_none() {
            parts.engine.ledger.close().await;
            return told;
        }
    }
}

fn told_of(contact: &Contact) -> String {
    let of = [
        contact.company(),
        contact.company_id(),
        contact.company_website(),
        contact.company_domain(),
        contact.company_country(),
    ];
    of.map(|field| field.unwrap_or("-")).join(" ")
}

async fn sync(firm: &Firm, source: &str) -> SourceReport {
    let parts = firm.start().await;
    let report = sync_one(&parts, source).await;
    parts.engine.ledger.close().await;
    report
}

/// What became of this person in the next sync of an hour later.
async fn later(firm: &Firm, source: &str, id: &str) -> String {
    firm.wait(HOUR).await;
    let report = sync(firm, source).await;
    assert!(report.complete, "{report:?}");
    firm.ending(&ExternalRef::new(source, id)).await
}

#[test]
fn an_account_is_the_employer_of_its_contacts_and_a_lead_names_one_without_an_id() {
    in_virtual_time(async {
        let firm = linked("salesforce", "leads = true");
        let salesforce = &firm.sandbox.salesforce;
        let employed = salesforce.add(&anna(Some(acme())));
        let colleague = salesforce.add(&anna(Some(acme())));
        let nobodys = salesforce.add(&anna(None));
        let lead = salesforce.add_lead(&anna(Some(acme())));
        let told = employers(&firm, "salesforce", &[&employed, &colleague, &nobodys, &lead]).await;
        let words: Vec<&str> = told[0].split(' ').collect();
        let &["Acme", id, "https://www.acme.example", "-", "SE"] = &words[..] else { panic!("{told:?}") };
        assert!(id.starts_with("001") && id.len() == 18, "{id}");
        assert_eq!(told[1], told[0], "colleagues share one");
        assert_eq!(told[2..], ["- - - - -", "Acme - https://www.acme.example - SE"]);
    });
}

/// Such an account is the person under another name; as a company it would be one that does not exist.
#[test]
fn the_account_of_a_person_account_is_nobodys_employer_also_in_bulk() {
    for bulk_above in [200_000, 0] {
        in_virtual_time(async {
            let firm = linked("salesforce", &format!("bulk_above = {bulk_above}"));
            let salesforce = &firm.sandbox.salesforce;
            salesforce.enable_person_accounts();
            let human = salesforce.add_person_account(&anna(None));
            let employed = salesforce.add(&anna(Some(acme())));
            let told = employers(&firm, "salesforce", &[&human.contact, &employed]).await;
            assert_eq!(told[0], "- - - - -");
            assert!(told[1].starts_with("Acme 001"), "{told:?}");
            let mut told = everyones(&firm, "salesforce").await;
            told.sort();
            assert_eq!(told.len(), 2, "{told:?}");
            assert!(told[0] == "- - - - -" && told[1].starts_with("Acme 001"), "{bulk_above}: {told:?}");
        });
    }
}

#[test]
fn a_hidden_website_or_country_stops_nobody_and_a_hidden_account_is_named() {
    in_virtual_time(async {
        let firm = linked("salesforce", "");
        let salesforce = &firm.sandbox.salesforce;
        let employed = salesforce.add(&anna(Some(acme())));
        salesforce.hide_field("Account.Website");
        salesforce.hide_field("Account.BillingCountry");
        let told = employers(&firm, "salesforce", &[&employed]).await;
        assert!(told[0].starts_with("Acme 001") && told[0].ends_with(" - - -"), "{told:?}");
        assert_eq!(later(&firm, "salesforce", &employed).await, "created");
        salesforce.hide_field("Contact.AccountId");
        firm.wait(5 * HOUR).await;
        let words = sync(&firm, "salesforce").await.error.expect("it stops").to_string();
        assert!(words.contains("AccountId"), "{words}");
    });
}

#[test]
fn the_primary_company_is_the_employer_and_what_somebody_typed_is_one_without_an_id() {
    in_virtual_time(async {
        let firm = linked("hubspot", "");
        let hubspot = &firm.sandbox.hubspot;
        let employed = hubspot.add(&anna(Some(acme())));
        let company = hubspot.company_of(&employed).expect("a company");
        assert!(hubspot.set_company(&company, "website", "www.acme.example/start"));
        let nobodys = hubspot.add(&person("Bo", "Dahl", "bo@dahl.example"));
        let typed = hubspot.add(&person("Eva", "Ek", "eva@ek.example"));
        assert!(hubspot.set(&typed, "company", "Ek & Co"));
        assert!(hubspot.set(&employed, "company", "acme sthlm"));
        let told = employers(&firm, "hubspot", &[&employed, &nobodys, &typed]).await;
        assert_eq!(told[0], format!("Acme {company} https://www.acme.example/start acme.example SE"));
        assert_eq!(told[1..], ["- - - - -", "Ek & Co - - - -"]);
    });
}

#[test]
fn the_scope_that_shows_companies_is_named_where_it_is_missing() {
    in_virtual_time(async {
        let firm = linked("hubspot", "");
        firm.sandbox.hubspot.add(&anna(Some(acme())));
        firm.sandbox.hubspot.take_scope("crm.objects.companies.read");
        let words = sync(&firm, "hubspot").await.error.expect("it stops").to_string();
        assert!(words.contains("crm.objects.companies.read"), "{words}");
        assert!(firm.contacts().is_empty(), "nobody is sent without their employer");
    });
}

#[test]
fn an_organization_is_the_employer_and_one_that_is_hidden_leaves_its_id() {
    in_virtual_time(async {
        let firm = linked("pipedrive", "");
        let pipedrive = &firm.sandbox.pipedrive;
        let employed = pipedrive.add(&anna(Some(acme())));
        let nobodys = pipedrive.add(&person("Bo", "Dahl", "bo@dahl.example"));
        let organization = pipedrive.organization_of(&employed).expect("an organization");
        assert!(pipedrive.set_country(&organization, Some("Sverige")));
        assert!(pipedrive.set_on_organization(&organization, "website", "acme.example".into()));
        let told = employers(&firm, "pipedrive", &[&employed, &nobodys]).await;
        assert_eq!(told, [format!("Acme {organization} https://acme.example - SE"), "- - - - -".to_owned()]);
        assert!(pipedrive.hide_organization(&organization, true));
        let told = employers(&firm, "pipedrive", &[&employed]).await;
        assert_eq!(told, [format!("- {organization} - - -")], "unknown, and not none");
        assert_eq!(later(&firm, "pipedrive", &employed).await, "created");
    });
}

/// In Salesforce and Pipedrive the person's own field changes. HubSpot keeps it as an association, of which it says nowhere
/// whether it moves the person's stamp.
#[test]
fn whoever_moves_to_another_company_is_noticed() {
    in_virtual_time(async {
        let firm = linked("salesforce", "");
        let id = firm.sandbox.salesforce.add(&anna(Some(acme())));
        assert_eq!(later(&firm, "salesforce", &id).await, "created");
        assert!(firm.sandbox.salesforce.edit(&id, |person| person.company = Some(other())));
        assert_eq!(later(&firm, "salesforce", &id).await, NOTICED);

        let firm = linked("pipedrive", "");
        let id = firm.sandbox.pipedrive.add(&anna(Some(acme())));
        assert_eq!(later(&firm, "pipedrive", &id).await, "created");
        assert!(firm.sandbox.pipedrive.edit(&id, |person| person.company = Some(other())));
        assert_eq!(later(&firm, "pipedrive", &id).await, NOTICED);

        for moves in [true, false] {
            let firm = linked("hubspot", "");
            let hubspot = &firm.sandbox.hubspot;
            hubspot.primary_company_moves_stamp(moves);
            let id = hubspot.add(&anna(Some(acme())));
            // Of the same name, so that the id alone tells them apart.
            let twin = hubspot.add_company(&acme());
            assert_eq!(later(&firm, "hubspot", &id).await, "created");
            assert!(hubspot.set_primary_company(&id, Some(&twin)));
            let ending = later(&firm, "hubspot", &id).await;
            assert_eq!(ending, if moves { NOTICED } else { "created" });
            firm.wait(25 * HOUR).await;
            assert_eq!(later(&firm, "hubspot", &id).await, NOTICED, "by the sweep at the latest");
        }
    });
}

/// No stamp of a person moves with it.
#[test]
fn a_company_that_changes_is_noticed_in_its_people() {
    in_virtual_time(async {
        let firm = linked("salesforce", "");
        let id = firm.sandbox.salesforce.add(&anna(Some(acme())));
        assert_eq!(later(&firm, "salesforce", &id).await, "created");
        assert!(firm.sandbox.salesforce.rename_account(&id, "Acme Nordic"));
        assert_eq!(later(&firm, "salesforce", &id).await, NOTICED);

        let changes: [(&str, &str); 3] =
            [("name", "Acme Nordic"), ("domain", "acme-nordic.example"), ("website", "acme.example/no")];
        for (property, value) in changes {
            let firm = linked("hubspot", "");
            let hubspot = &firm.sandbox.hubspot;
            let id = hubspot.add(&anna(Some(acme())));
            assert_eq!(later(&firm, "hubspot", &id).await, "created");
            let company = hubspot.company_of(&id).expect("a company");
            assert!(hubspot.set_company(&company, property, value));
            assert_eq!(later(&firm, "hubspot", &id).await, NOTICED, "{property}");
        }

        for (code, value) in [("name", "Acme Nordic"), ("website", "acme.example/no")] {
            let firm = linked("pipedrive", "");
            let pipedrive = &firm.sandbox.pipedrive;
            pipedrive.organization_moves_persons(false);
            let id = pipedrive.add(&anna(Some(acme())));
            assert_eq!(later(&firm, "pipedrive", &id).await, "created");
            let organization = pipedrive.organization_of(&id).expect("an organization");
            if code == "name" {
                assert!(pipedrive.rename_organization(&id, value));
            } else {
                assert!(pipedrive.set_on_organization(&organization, code, value.into()));
            }
            firm.wait(HOUR).await;
            assert_eq!(later(&firm, "pipedrive", &id).await, NOTICED, "{code}");
        }
    });
}
