//! Companies and links on the wire, in every shape that the pages show or leave open.
//! Propstreet: "Company", "CreateCompanyRequest", "DuplicateCompany", "Create link", "List links".

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::domain::employer::{CompanyField, Employer, Hit};
use crate::domain::failure::Trouble;
use crate::domain::identity::ExternalRef;
use crate::propstreet::payload::{Digits, Place, WireRef, bytes, next};
use crate::sync::destination::companies::{CompanyPatch, Link, LinkPatch, SeenCompany};

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Company<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    homepage_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    country_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_refs: Option<&'a [ExternalRef]>,
}

impl<'a> Company<'a> {
    fn set(&mut self, field: CompanyField, value: &'a str) {
        let slot = match field {
            CompanyField::Name => &mut self.name,
            CompanyField::Homepage => &mut self.homepage_url,
            CompanyField::Domain => &mut self.domain,
            CompanyField::Country => &mut self.country_code,
        };
        *slot = Some(value);
    }
}

/// The body that creates a company under its ref.
///
/// # Errors
/// None in practice; serialisation is fallible by type.
pub fn create(employer: &Employer, reference: &ExternalRef) -> Result<Bytes, Trouble> {
    let refs = [reference.clone()];
    let mut body = Company { external_refs: Some(&refs), ..Company::default() };
    for field in CompanyField::ALL {
        if let Some(value) = employer.value(field) {
            body.set(field, value);
        }
    }
    bytes(&body)
}

/// The body that writes these fields of a company and leaves the others.
///
/// # Errors
/// As [`create`].
pub fn patch(patch: &CompanyPatch) -> Result<Bytes, Trouble> {
    let mut body = Company { external_refs: patch.refs.as_deref(), ..Company::default() };
    patch.texts.iter().for_each(|(field, value)| body.set(*field, value));
    bytes(&body)
}

/// The question which companies this one may be. The names of its fields are those of a company: no page shows them.
///
/// # Errors
/// As [`create`].
pub fn question(employer: &Employer) -> Result<Bytes, Trouble> {
    let (name, domain) = (employer.name.as_deref(), employer.domain.as_deref());
    bytes(&Company { name, domain, country_code: employer.country.as_deref(), ..Company::default() })
}

/// The body that employs a contact.
///
/// # Errors
/// As [`create`].
pub fn link(contact: &str, company: &str, job_title: Option<&str>) -> Result<Bytes, Trouble> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Create<'a> {
        contact_id: &'a str,
        company_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        job_title: Option<&'a str>,
    }
    bytes(&Create { contact_id: contact, company_id: company, job_title })
}

/// The body that changes an employment.
///
/// # Errors
/// As [`create`].
pub fn amend(patch: &LinkPatch) -> Result<Bytes, Trouble> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Change<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        job_title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        is_primary: Option<bool>,
    }
    bytes(&Change { job_title: patch.job_title.as_deref(), is_primary: patch.primary.then_some(true) })
}

/// A company as Propstreet sends it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireCompany {
    id: Digits,
    etag: Option<String>,
    deleted_utc: Option<IgnoredAny>,
    external_refs: Option<Vec<WireRef>>,
    name: Option<String>,
    homepage_url: Option<String>,
    domain: Option<String>,
    country_code: Option<String>,
}

impl WireCompany {
    /// The company in the engine's words.
    pub fn seen(self, etag_header: Option<&str>) -> SeenCompany {
        SeenCompany {
            id: self.id.text(),
            etag: self.etag.or_else(|| etag_header.map(str::to_owned)),
            deleted: self.deleted_utc.is_some(),
            refs: self.external_refs.unwrap_or_default().into_iter().map(WireRef::reference).collect(),
            name: self.name,
            homepage: self.homepage_url,
            domain: self.domain,
            country: self.country_code,
        }
    }
}

/// The hits of find-duplicates, whose envelope no page shows.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum WireHits {
    /// `[…]`
    Plain(Vec<WireHit>),
    /// `{results: […]}`, as searches answer.
    Results {
        /// The hits.
        results: Vec<WireHit>,
    },
    /// `{data: […]}`, as lists answer.
    Data {
        /// The hits.
        data: Vec<WireHit>,
    },
}

/// One hit.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireHit {
    id: Digits,
    name: Option<String>,
    domain: Option<String>,
    country_code: Option<String>,
    method: Option<String>,
}

impl WireHits {
    /// The hits in the engine's words.
    pub fn hits(self) -> Vec<Hit> {
        let (Self::Plain(hits) | Self::Results { results: hits } | Self::Data { data: hits }) = self;
        let hit = |WireHit { id, name, domain, country_code, method }| Hit {
            id: id.text(),
            name,
            domain,
            country: country_code,
            method: method.unwrap_or_default(),
        };
        hits.into_iter().map(hit).collect()
    }
}

/// A page of a contact's employments.
#[derive(Debug, Deserialize)]
pub struct WireLinks {
    data: Vec<WireLink>,
    page: Option<Place>,
    #[serde(flatten)]
    beside: Place,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLink {
    id: Digits,
    company_id: Digits,
    etag: Option<String>,
    deleted_utc: Option<IgnoredAny>,
}

impl WireLinks {
    /// The employments, and the cursor of the next page.
    ///
    /// # Errors
    /// [`Trouble::Protocol`] where the page does not say whether more follows.
    pub fn links(self) -> Result<(Vec<Link>, Option<String>), Trouble> {
        let link = |link: WireLink| Link {
            id: link.id.text(),
            company: link.company_id.text(),
            etag: link.etag,
            deleted: link.deleted_utc.is_some(),
        };
        let next = next(self.page, self.beside)?;
        Ok((self.data.into_iter().map(link).collect(), next))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn json_of(bytes: &Bytes) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_company_is_sent_with_what_is_known_and_a_homepage_instead_of_its_domain() {
        let text = |text: &str| Some(text.to_owned());
        let reference = ExternalRef { namespace: "hubspot".to_owned(), id: "7".to_owned() };
        let nord = Employer { name: text("Nord AB"), domain: text("nord.example"), ..Employer::default() };
        let refs = json!([{"namespace": "hubspot", "id": "7"}]);
        let body = json_of(&create(&nord, &reference).unwrap());
        assert_eq!(body, json!({"name": "Nord AB", "domain": "nord.example", "externalRefs": refs}));
        let nord = Employer { homepage: text("https://nord.example"), country: text("SE"), ..nord };
        let body = json_of(&create(&nord, &reference).unwrap());
        assert_eq!(body["homepageUrl"], "https://nord.example");
        assert_eq!((&body["domain"], &body["countryCode"]), (&Value::Null, &json!("SE")));
        let asked = json_of(&question(&nord).unwrap());
        assert_eq!(asked, json!({"name": "Nord AB", "domain": "nord.example", "countryCode": "SE"}));
        let texts = vec![(CompanyField::Name, "Norr".to_owned())];
        assert_eq!(patch(&CompanyPatch { texts, refs: None }).unwrap(), r#"{"name":"Norr"}"#);
        assert_eq!(link("1", "2", None).unwrap(), r#"{"contactId":"1","companyId":"2"}"#);
        let title = LinkPatch { job_title: text("VD"), primary: false };
        assert_eq!(amend(&title).unwrap(), r#"{"jobTitle":"VD"}"#);
        assert_eq!(amend(&LinkPatch { job_title: None, primary: true }).unwrap(), r#"{"isPrimary":true}"#);
    }

    #[test]
    fn hits_and_links_are_read_in_every_shape() {
        let hit =
            json!({"id": 7, "name": "Nord", "domain": null, "countryCode": "SE", "method": "Domain", "score": 1.0});
        for wire in [json!([hit]), json!({"results": [hit]}), json!({"data": [hit], "page": {}})] {
            let hits = serde_json::from_value::<WireHits>(wire).unwrap().hits();
            assert_eq!((hits[0].id.as_str(), hits[0].method.as_str()), ("7", "Domain"));
        }
        let link = json!({"id": 1, "contactId": 2, "companyId": 3, "jobTitle": null, "etag": "v", "deletedUtc": null});
        for wire in [
            json!({"data": [link], "page": {"nextCursor": null, "hasMore": false, "pageSize": "500"}}),
            json!({"data": [link], "nextCursor": null, "hasMore": false}),
        ] {
            let (links, next) = serde_json::from_value::<WireLinks>(wire).unwrap().links().unwrap();
            assert_eq!(
                (links[0].id.as_str(), links[0].company.as_str(), links[0].deleted, next),
                ("1", "3", false, None)
            );
        }
        let cut = json!({"data": [link]});
        assert!(serde_json::from_value::<WireLinks>(cut).unwrap().links().is_err(), "no stated end");
    }
}
