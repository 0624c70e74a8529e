//! A company as Propstreet holds it, reads it and shows it. Knows nothing of who works there.
//! <https://docs.propstreet.com/api-reference/model/CreateCompanyRequest>

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::sandbox::propstreet::contact::{ExternalRef, change_type, etag, id_json, refs_json, stamp};
use crate::sandbox::propstreet::input::{Field, Reader, set, set_array};
use crate::sandbox::propstreet::knobs::{Arrays, Knobs};
use crate::sandbox::propstreet::limits::{Limits, is_country, is_linkedin};
use crate::sandbox::propstreet::problem::Problem;

/// A company, deleted or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Company {
    /// Propstreet's id; given by the sandbox.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// ISO 3166-1 alpha-2.
    pub country_code: Option<String>,
    /// Lower-case host without `www.`.
    pub domain: Option<String>,
    /// Full URL.
    pub homepage_url: Option<String>,
    /// `https://www.linkedin.com/company/{slug}`.
    pub linkedin_url: Option<String>,
    /// Free text.
    pub strategy: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// References, ≤ 50.
    pub refs: Vec<ExternalRef>,
    /// Put in by hand, not through the API.
    pub planted: bool,
    /// When it was created.
    pub created: DateTime<Utc>,
    /// When it was last changed, in whole 100 ns.
    pub updated: DateTime<Utc>,
    /// When it was deleted.
    pub deleted: Option<DateTime<Utc>>,
}

impl Company {
    /// Whether it is not deleted.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.deleted.is_none()
    }
}

/// A company with what the API adds to it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) company: Company,
    pub(super) version: u64,
    /// `changeOrigin`: documented as not to be interpreted.
    pub(super) origin: &'static str,
}

impl Held {
    pub(super) fn etag(&self) -> String {
        etag(self.version)
    }

    pub(super) fn shown(&self, knobs: &Knobs) -> Value {
        let company = &self.company;
        json!({
            "id": id_json(company.id, knobs.ids),
            "etag": self.etag(),
            "name": company.name,
            "createdUtc": stamp(company.created),
            "updatedUtc": stamp(company.updated),
            "deletedUtc": company.deleted.map(stamp),
            "countryCode": company.country_code,
            "domain": company.domain,
            "homepageUrl": company.homepage_url,
            "linkedInUrl": company.linkedin_url,
            "strategy": company.strategy,
            "tags": company.tags,
            "externalRefs": refs_json(&company.refs, knobs.refs),
            "changeType": change_type(company.created, company.updated, company.deleted),
            "changeOrigin": self.origin,
        })
    }
}

/// What the body of a company write asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct CompanyChange {
    name: Field<String>,
    country_code: Field<String>,
    domain: Field<String>,
    homepage_url: Field<String>,
    linkedin_url: Field<String>,
    strategy: Field<String>,
    tags: Field<Vec<String>>,
    refs: Field<Vec<ExternalRef>>,
}

impl CompanyChange {
    /// Reads the body of a create or, by the same fields, of a change.
    pub(super) fn read(body: Map<String, Value>, knobs: &Knobs) -> Result<Self, Problem> {
        let limits = Limits::of(knobs.lengths);
        let mut reader = Reader::new(body);
        let change = Self {
            name: reader.text("name", limits.company_name, |name| !name.trim().is_empty()),
            country_code: reader.text("countryCode", 10, is_country),
            domain: reader.text("domain", 255, |domain| domain.contains('.')),
            homepage_url: reader.text("homepageUrl", 500, |url| host(url).is_some()),
            linkedin_url: reader.text("linkedInUrl", 500, |url| is_linkedin(url, "company")),
            strategy: reader.text("strategy", 4000, |_| true),
            tags: reader.tags(limits.tags),
            refs: reader.refs(),
        };
        reader.finish()?;
        Ok(change)
    }

    /// Present is written, absent kept, null cleared; but a company has a name.
    pub(super) fn apply(&self, company: &mut Company, arrays: Arrays) -> Result<(), Problem> {
        if let Some(name) = &self.name {
            company.name = name.clone().unwrap_or_default();
        }
        if company.name.is_empty() {
            return Err(Problem::invalid_field("name", "is required"));
        }
        set(&mut company.country_code, &self.country_code);
        set(&mut company.homepage_url, &self.homepage_url);
        // A given domain is ignored beside a homepage, which has one of its own.
        match self.homepage_url.as_ref().and_then(|url| host(url.as_deref()?)) {
            Some(host) => company.domain = Some(bare(&host)),
            None => set(&mut company.domain, &self.domain.clone().map(|domain| domain.map(|domain| bare(&domain)))),
        }
        set(&mut company.linkedin_url, &self.linkedin_url);
        set(&mut company.strategy, &self.strategy);
        set_array(&mut company.tags, &self.tags, arrays, |a, b| a == b);
        set_array(&mut company.refs, &self.refs, arrays, |a, b| a.key() == b.key());
        Ok(())
    }
}

fn host(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.host_str().map(str::to_owned)
}

/// A host as Propstreet keeps it: lower-case, without `www.`.
pub(super) fn bare(domain: &str) -> String {
    let domain = domain.trim().to_lowercase();
    domain.strip_prefix("www.").unwrap_or(&domain).to_owned()
}
