//! Companies and links, the employments between contacts and companies: just enough of both for a sync that files people
//! under their employers. Knows ids of contacts, not contacts.
//! <https://docs.propstreet.com/api-reference/tag/links/post/api/v1/network/links>

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::sandbox::propstreet::contact::{ExternalRef, RefKey, change_type, etag, id_json, refs_json, stamp};
use crate::sandbox::propstreet::input::{Connection, Reader};
use crate::sandbox::propstreet::knobs::{Arrays, Ids};
use crate::sandbox::propstreet::limits::{is_country, is_linkedin};
use crate::sandbox::propstreet::problem::Problem;
use crate::sandbox::propstreet::timeline::Timeline;

/// A company.
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
    /// References.
    pub refs: Vec<ExternalRef>,
    created: DateTime<Utc>,
    version: u64,
}

/// An employment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Propstreet's id; given by the sandbox.
    pub id: u64,
    /// The employed.
    pub contact: u64,
    /// The employer.
    pub company: u64,
    /// Title there.
    pub job_title: Option<String>,
    /// Whether it is the contact's primary company.
    pub primary: bool,
    /// When it was deleted.
    pub deleted: Option<DateTime<Utc>>,
    created: DateTime<Utc>,
    updated: DateTime<Utc>,
    version: u64,
}

/// When a write happens, and which row version it gets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) now: DateTime<Utc>,
    pub(super) version: u64,
}

/// All companies and links.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) companies: BTreeMap<u64, Company>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) company_timeline: Timeline,
    pub(super) link_timeline: Timeline,
    company_refs: BTreeMap<RefKey, u64>,
    links_of: BTreeMap<u64, BTreeSet<u64>>,
}

impl Network {
    pub(super) fn company_by_ref(&self, key: &RefKey) -> Option<&Company> {
        self.companies.get(self.company_refs.get(key)?)
    }

    /// Stores a new company; `id` must be fresh.
    pub(super) fn add_company(&mut self, mut company: Company, id: u64, tick: Tick) -> Result<(), Problem> {
        let keys: Vec<RefKey> = company.refs.iter().map(ExternalRef::key).collect();
        if keys.iter().any(|key| self.company_refs.contains_key(key)) {
            return Err(Problem::conflict());
        }
        (company.id, company.created, company.version) = (id, tick.now, tick.version);
        self.company_refs.extend(keys.into_iter().map(|key| (key, id)));
        self.company_timeline.set(None, tick.now, id);
        self.companies.insert(id, company);
        Ok(())
    }

    /// Stores a new link; the first of a contact becomes its primary one. `id` must be fresh.
    pub(super) fn add_link(&mut self, id: u64, contact: u64, company: u64, job_title: Option<String>, tick: Tick) {
        let primary = self.live_links(contact).next().is_none();
        let Tick { now, version } = tick;
        let link =
            Link { id, contact, company, job_title, primary, deleted: None, created: now, updated: now, version };
        self.link_timeline.set(None, now, id);
        self.links_of.entry(contact).or_default().insert(id);
        self.links.insert(id, link);
    }

    /// Changes a link; making it primary takes that from the contact's others.
    /// Answers whether anything changed.
    pub(super) fn change_link(&mut self, id: u64, tick: Tick, change: impl FnOnce(&mut Link)) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        let before = link.clone();
        change(link);
        if *link == before {
            return false;
        }
        (link.updated, link.version) = (tick.now, tick.version);
        let (contact, took_over) = (link.contact, link.primary && !before.primary);
        self.link_timeline.set(Some(before.updated), tick.now, id);
        if took_over {
            let others = self.links_of.get(&contact).into_iter().flatten().filter(|other| **other != id);
            for other in others {
                if let Some(link) = self.links.get_mut(other).filter(|link| link.primary && link.deleted.is_none()) {
                    self.link_timeline.set(Some(link.updated), tick.now, link.id);
                    (link.primary, link.updated, link.version) = (false, tick.now, tick.version);
                }
            }
        }
        true
    }

    /// The links of one contact as a list of their own.
    pub(super) fn timeline_of(&self, contact: u64) -> Timeline {
        let mut timeline = Timeline::default();
        for link in self.links_of.get(&contact).into_iter().flatten().filter_map(|id| self.links.get(id)) {
            timeline.set(None, link.updated, link.id);
        }
        timeline
    }

    /// A contact's links that are not deleted, the primary one first.
    pub(super) fn live_links(&self, contact: u64) -> impl Iterator<Item = &Link> {
        let all = self.links_of.get(&contact).into_iter().flatten().filter_map(|id| self.links.get(id));
        let mut live: Vec<&Link> = all.filter(|link| link.deleted.is_none()).collect();
        live.sort_by_key(|link| !link.primary);
        live.into_iter()
    }

    /// What `connections` of a contact write asks for, as links. `fresh` gives ids; answers whether anything changed.
    pub(super) fn connect(
        &mut self,
        contact: u64,
        wanted: &[Connection],
        arrays: Arrays,
        tick: Tick,
        fresh: &mut u64,
    ) -> bool {
        let before: Vec<Link> = self.live_links(contact).cloned().collect();
        for connection in wanted {
            let known = before.iter().find(|link| link.company == connection.company).map(|link| link.id);
            let id = known.unwrap_or_else(|| {
                *fresh += 1;
                self.add_link(*fresh, contact, connection.company, connection.job_title.clone(), tick);
                *fresh
            });
            self.change_link(id, tick, |link| {
                link.job_title.clone_from(&connection.job_title);
                link.primary = connection.primary;
            });
        }
        if arrays == Arrays::Replace {
            for dropped in before.iter().filter(|link| !wanted.iter().any(|c| c.company == link.company)) {
                self.change_link(dropped.id, tick, |link| link.deleted = Some(tick.now));
            }
        }
        !self.live_links(contact).eq(before.iter())
    }

    /// `companies` of a contact as shown.
    pub(super) fn companies_of(&self, contact: u64, ids: Ids) -> Vec<Value> {
        let shown = |link: &Link| {
            let company = self.companies.get(&link.company)?;
            Some(json!({
                "id": id_json(company.id, ids),
                "uri": format!("propstreet://companies/{}", company.id),
                "name": company.name,
                "jobTitle": link.job_title,
                "isPrimary": link.primary,
            }))
        };
        self.live_links(contact).filter_map(shown).collect()
    }
}

impl Company {
    /// Reads the body of a create. <https://docs.propstreet.com/api-reference/model/CreateCompanyRequest>
    pub(super) fn read(body: Map<String, Value>) -> Result<Self, Problem> {
        let mut reader = Reader::new(body);
        let name = reader.text("name", 255, |name| !name.trim().is_empty()).flatten();
        if name.is_none() {
            reader.fail("name", "is required");
        }
        let homepage_url = reader.text("homepageUrl", 500, |url| url::Url::parse(url).is_ok()).flatten();
        let domain = reader.text("domain", 255, |domain| domain.contains('.')).flatten();
        let company = Self {
            name: name.unwrap_or_default(),
            country_code: reader.text("countryCode", 10, is_country).flatten(),
            // A given domain is ignored beside a homepage, which has one of its own.
            domain: homepage_url.as_deref().and_then(host).or(domain).map(|domain| bare(&domain)),
            homepage_url,
            refs: reader.refs().flatten().unwrap_or_default(),
            ..Self::default()
        };
        reader.text("linkedInUrl", 500, |url| is_linkedin(url, "company"));
        reader.text("strategy", 4000, |_| true);
        reader.tags();
        reader.finish()?;
        Ok(company)
    }

    pub(super) fn etag(&self) -> String {
        etag(self.version)
    }

    pub(super) fn shown(&self, ids: Ids) -> Value {
        json!({
            "id": id_json(self.id, ids),
            "name": self.name,
            "etag": self.etag(),
            "createdUtc": stamp(self.created),
            "updatedUtc": stamp(self.created),
            "countryCode": self.country_code,
            "domain": self.domain,
            "homepageUrl": self.homepage_url,
            "externalRefs": refs_json(&self.refs),
            "deletedUtc": null,
            "changeType": "create",
            "changeOrigin": "api",
        })
    }
}

fn host(url: &str) -> Option<String> {
    url::Url::parse(url).ok()?.host_str().map(str::to_owned)
}

fn bare(domain: &str) -> String {
    let domain = domain.to_lowercase();
    domain.strip_prefix("www.").unwrap_or(&domain).to_owned()
}

impl Link {
    pub(super) fn etag(&self) -> String {
        etag(self.version)
    }

    pub(super) fn shown(&self, ids: Ids) -> Value {
        json!({
            "id": id_json(self.id, ids),
            "contactId": id_json(self.contact, ids),
            "companyId": id_json(self.company, ids),
            "jobTitle": self.job_title,
            "createdUtc": stamp(self.created),
            "updatedUtc": stamp(self.updated),
            "deletedUtc": self.deleted.map(stamp),
            "etag": self.etag(),
            "changeType": change_type(self.created, self.updated, self.deleted),
            "changeOrigin": "api",
        })
    }
}
