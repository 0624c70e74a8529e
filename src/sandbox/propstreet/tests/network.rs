//! Companies and employments through the HTTP face.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::{Answer, CONTACTS, Client, contact_uri, reference};
use crate::sandbox::propstreet::Area;
use crate::sandbox::propstreet::company::Company;
use crate::sandbox::propstreet::contact::{Contact, ExternalRef};
use crate::sandbox::propstreet::knobs::{Arrays, Hits, Knobs, MissingTag, RepeatedLink};

const COMPANIES: &str = "/api/v1/network/companies";
const LINKS: &str = "/api/v1/network/links";
const DUPLICATES: &str = "/api/v1/companies/find-duplicates";

fn company_uri(id: u64) -> String {
    format!("{COMPANIES}/{id}")
}

fn link_uri(id: u64) -> String {
    format!("{LINKS}/{id}")
}

fn firm(name: &str, domain: &str) -> Company {
    let domain = Some(domain.to_owned()).filter(|domain| !domain.is_empty());
    Company { name: name.to_owned(), domain, ..Company::default() }
}

fn someone(client: &Client) -> u64 {
    client.propstreet.plant(Contact { first_name: Some("Anna".to_owned()), ..Contact::default() })
}

fn titles(contact: &Answer) -> Vec<(Value, bool)> {
    let companies = contact.body["companies"].as_array().unwrap();
    companies.iter().map(|one| (one["name"].clone(), one["isPrimary"] == true)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_company_is_created_found_changed_and_shown_deleted() {
    let client = Client::new(Knobs::default()).await;
    let body = json!({"name": "Nord", "countryCode": "SE", "externalRefs": reference("HubSpot", "7"), "tags": ["a"]});
    let nord = client.post(COMPANIES, body.clone()).await;
    assert_eq!((nord.status, nord.header("location")), (201, company_uri(nord.id()).as_str()));
    assert_eq!(client.get(&format!("{COMPANIES}/external/hubspot/7")).await.id(), nord.id());
    assert_eq!(client.post(COMPANIES, body).await.status, 409, "a reference is unique among companies");
    assert_eq!(client.post(COMPANIES, json!({"domain": "x.example"})).await.status, 400, "a name is required");

    let uri = company_uri(nord.id());
    let same = client.patch(&uri, Some(nord.header("etag")), json!({"name": "Nord"})).await;
    assert_eq!(same.header("etag"), nord.header("etag"));
    let change = json!({"name": "Norr", "countryCode": null, "homepageUrl": "https://www.Norr.example/om"});
    let norr = client.patch(&uri, Some(nord.header("etag")), change).await;
    assert_eq!((&norr.body["name"], &norr.body["countryCode"]), (&json!("Norr"), &Value::Null));
    assert_eq!((&norr.body["domain"], &norr.body["tags"]), (&json!("norr.example"), &json!(["a"])));
    assert_eq!(client.patch(&uri, Some(nord.header("etag")), json!({"name": "X"})).await.status, 412);
    assert_eq!(client.patch(&uri, None, json!({"name": null})).await.status, 400);

    assert!(client.propstreet.delete_company(nord.id()));
    assert_eq!(client.get(&uri).await.status, 404);
    assert_eq!(client.get(COMPANIES).await.body["data"], json!([]));
    let gone = client.get(&format!("{COMPANIES}?include_deleted=true")).await;
    assert_eq!(gone.body["data"][0]["deletedUtc"], gone.body["data"][0]["updatedUtc"]);
    let writes = client.propstreet.writes();
    assert_eq!((writes.companies_created, writes.companies_updated, writes.unchanged), (1, 1, 1));
    assert_eq!(client.propstreet.requests().of("GET company by ref"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_among_companies_is_judged_by_the_knobs() {
    let plain = Knobs::default;
    for (name, knobs, body, status) in [
        ("domain free", plain(), json!({"name": "B", "domain": "a.example"}), 201),
        (
            "domain taken",
            Knobs { company_domains_unique: true, ..plain() },
            json!({"name": "B", "domain": "www.A.example"}),
            409,
        ),
        ("deleted keeps it", plain(), json!({"name": "B", "externalRefs": reference("s", "gone")}), 409),
        (
            "deleted frees it",
            Knobs { refs_free_after_delete: true, ..plain() },
            json!({"name": "B", "externalRefs": reference("s", "gone")}),
            201,
        ),
    ] {
        let client = Client::new(knobs).await;
        client.propstreet.plant_company(firm("A", "a.example"));
        let gone = Company { refs: vec![ExternalRef::new("S", "gone")], ..firm("Gone", "") };
        let gone = client.propstreet.plant_company(gone);
        client.propstreet.delete_company(gone);
        assert_eq!(client.post(COMPANIES, body).await.status, status, "{name}");
    }
    let client = Client::new(Knobs { arrays: Arrays::Merge, ..plain() }).await;
    let id = client.propstreet.plant_company(Company { tags: vec!["a".to_owned()], ..firm("A", "") });
    assert_eq!(client.patch(&company_uri(id), None, json!({"tags": ["b"]})).await.body["tags"], json!(["a", "b"]));
}

#[tokio::test(start_paused = true)]
async fn duplicates_are_told_in_the_envelope_of_the_knob() {
    for (hits, at) in [(Hits::Plain, ""), (Hits::Results, "/results"), (Hits::Data, "/data")] {
        let client = Client::new(Knobs { hits, ..Knobs::default() }).await;
        let id = client.propstreet.plant_company(firm("Nord Kapital AB", "nord.example"));
        let gone = client.propstreet.plant_company(firm("Nord Kapital", "nord.example"));
        client.propstreet.delete_company(gone);
        let asked = client.post(DUPLICATES, json!({"name": "Nord Kapital", "countryCode": "SE"})).await;
        let found = asked.body.pointer(at).unwrap();
        let hit = json!([{"id": id.to_string(), "name": "Nord Kapital AB", "domain": "nord.example",
            "countryCode": null, "method": "NormalizedName", "score": 0.95}]);
        assert_eq!((asked.status, found), (200, &hit));
        assert_eq!(client.post(DUPLICATES, json!({})).await.status, 400);
        assert_eq!(client.propstreet.requests().of("POST duplicates"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn an_employment_ends_and_another_may_become_the_primary_one() {
    for (primary_passes_on, left) in [(false, false), (true, true)] {
        let client = Client::new(Knobs { primary_passes_on, ..Knobs::default() }).await;
        let contact = someone(&client);
        let [nord, syd] = ["Nord", "Syd"].map(|name| client.propstreet.plant_company(firm(name, "")));
        let first = client.propstreet.add_employment(contact, nord, None, true);
        client.propstreet.add_employment(contact, syd, None, false);
        let before = client.get(&contact_uri(contact)).await;
        assert_eq!(titles(&before), [(json!("Nord"), true), (json!("Syd"), false)]);
        let ended = client.send(Method::DELETE, &link_uri(first), None, None).await;
        assert_eq!(ended.status, 204);
        let after = client.get(&contact_uri(contact)).await;
        assert_eq!(titles(&after), [(json!("Syd"), left)]);
        assert_ne!(after.body["etag"], before.body["etag"]);
        assert_eq!(client.send(Method::DELETE, &link_uri(first), None, None).await.status, 404);
        assert_eq!(client.propstreet.writes().links_ended, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn links_are_begun_and_changed_as_the_knobs_say() {
    for (knobs, repeated, untagged, primary) in [
        (Knobs::default(), 201, 200, true),
        (Knobs { repeated_link: RepeatedLink::Conflict, ..Knobs::default() }, 409, 200, true),
        (Knobs { untagged_link: MissingTag::Required, ..Knobs::default() }, 201, 428, true),
        (Knobs { untagged_link: MissingTag::Stale, first_link_is_primary: false, ..Knobs::default() }, 201, 412, false),
    ] {
        let client = Client::new(knobs).await;
        let (contact, nord) = (someone(&client), client.propstreet.plant_company(firm("Nord", "")));
        let body = json!({"contactId": contact.to_string(), "companyId": nord.to_string(), "jobTitle": "CFO"});
        let link = client.post(LINKS, body.clone()).await;
        assert_eq!(client.propstreet.employments(contact)[0].primary, primary);
        assert_eq!(client.post(LINKS, body).await.status, repeated);
        assert_eq!(client.patch(&link_uri(link.id()), None, json!({"jobTitle": "CEO"})).await.status, untagged);
        let tag = client.get(LINKS).await.body["data"][0]["etag"].as_str().unwrap().to_owned();
        let id = client.get(LINKS).await.body["data"][0]["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(client.patch(&link_uri(id), Some(&tag), json!({"jobTitle": "VD"})).await.status, 200);
        assert!(client.propstreet.employments(contact).iter().any(|l| l.job_title.as_deref() == Some("VD")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rename_and_a_deletion_reach_contacts_as_the_knobs_say() {
    for (touches, ends) in [(false, true), (true, false)] {
        let knobs = Knobs { rename_touches_contacts: touches, deleted_company_ends_links: ends, ..Knobs::default() };
        let client = Client::new(knobs).await;
        let (contact, nord) = (someone(&client), client.propstreet.plant_company(firm("Nord", "")));
        client.propstreet.add_employment(contact, nord, None, true);
        client.propstreet.clock().sleep(Duration::from_secs(1)).await;
        let before = client.get(&contact_uri(contact)).await;
        client.propstreet.edit_company(nord, |company| company.name = "Norr".to_owned());
        let after = client.get(&contact_uri(contact)).await;
        assert_eq!(titles(&after), [(json!("Norr"), true)]);
        assert_eq!(after.body["etag"] != before.body["etag"], touches);
        client.propstreet.delete_company(nord);
        assert_eq!(titles(&client.get(&contact_uri(contact)).await), []);
        assert_eq!(client.propstreet.employments(contact).is_empty(), ends);
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenant_may_be_without_companies_links_or_duplicates_and_get_them_back() {
    let client = Client::new(Knobs::default()).await;
    for (area, path, status) in
        [(Area::Companies, COMPANIES, 403), (Area::Links, LINKS, 404), (Area::Duplicates, DUPLICATES, 405)]
    {
        client.propstreet.refuse(area, Some(status));
        let answer = client.post(path, json!({"name": "Nord"})).await;
        assert_eq!((answer.status, &answer.body["status"]), (status, &json!(status)));
        assert_eq!(client.get(CONTACTS).await.status, 200);
        client.propstreet.refuse(area, None);
        assert_ne!(client.post(path, json!({"name": "Nord"})).await.status, status);
    }
}
