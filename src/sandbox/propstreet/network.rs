//! Companies and links, the employments between contacts and companies, and who may be found by what. Keeps them; what
//! may be written is decided in `firms.rs`. Knows ids of contacts, not contacts.
//! <https://docs.propstreet.com/api-reference/tag/links/post/api/v1/network/links>

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::sandbox::propstreet::company::{Company, Held};
use crate::sandbox::propstreet::contact::{ExternalRef, RefKey, change_type, etag, id_json, stamp};
use crate::sandbox::propstreet::input::Connection;
use crate::sandbox::propstreet::knobs::{Arrays, Ids};
use crate::sandbox::propstreet::timeline::Timeline;

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
    pub(super) companies: BTreeMap<u64, Held>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) company_timeline: Timeline,
    pub(super) link_timeline: Timeline,
    /// Which company carries a reference, and since when.
    company_refs: BTreeMap<RefKey, BTreeMap<u64, DateTime<Utc>>>,
    links_of: BTreeMap<u64, BTreeSet<u64>>,
}

impl Network {
    pub(super) fn is_company(&self, id: u64) -> bool {
        self.companies.get(&id).is_some_and(|held| held.company.is_live())
    }

    /// All companies that carry a reference, deleted or not, and since when.
    pub(super) fn companies_by_ref(&self, key: &RefKey) -> impl Iterator<Item = (&Held, DateTime<Utc>)> {
        let holders = self.company_refs.get(key).into_iter().flatten();
        holders.filter_map(|(id, since)| Some((self.companies.get(id)?, *since)))
    }

    /// Stores a company as it is, whatever the rules say; its id must be given.
    pub(super) fn put_company(&mut self, mut company: Company, origin: &'static str, tick: Tick) {
        let (id, now) = (company.id, tick.now);
        let before = self.companies.get(&id).map(|held| held.company.clone());
        let mut since = BTreeMap::new();
        for key in before.iter().flat_map(|company| &company.refs).map(ExternalRef::key) {
            let at = self.company_refs.get_mut(&key).and_then(|holders| holders.remove(&id));
            since.extend(at.map(|at| (key, at)));
        }
        for key in company.refs.iter().map(ExternalRef::key) {
            let at = since.get(&key).copied().unwrap_or(now);
            self.company_refs.entry(key).or_default().insert(id, at);
        }
        company.created = before.as_ref().map_or(now, |before| before.created);
        company.updated = now;
        self.company_timeline.set(before.map(|before| before.updated), now, id);
        self.companies.insert(id, Held { company, version: tick.version, origin });
    }

    /// Stores a new link, not a primary one. `id` must be fresh.
    pub(super) fn add_link(&mut self, id: u64, contact: u64, company: u64, job_title: Option<String>, tick: Tick) {
        let Tick { now: created, version } = tick;
        let (primary, deleted, updated) = (false, None, created);
        let link = Link { id, contact, company, job_title, primary, deleted, created, updated, version };
        self.link_timeline.set(None, created, id);
        self.links_of.entry(contact).or_default().insert(id);
        self.links.insert(id, link);
    }

    /// Deletes a link; if it was the primary one, the oldest that is left may take its place.
    pub(super) fn end_link(&mut self, id: u64, passes_on: bool, tick: Tick) {
        let Some((contact, primary)) = self.links.get(&id).map(|link| (link.contact, link.primary)) else { return };
        self.change_link(id, tick, |link| (link.deleted, link.primary) = (Some(tick.now), false));
        let heir = self.live_links(contact).map(|link| link.id).min().filter(|_| primary && passes_on);
        if let Some(heir) = heir {
            self.change_link(heir, tick, |link| link.primary = true);
        }
    }

    /// The live links of a company.
    pub(super) fn links_at(&self, company: u64) -> impl Iterator<Item = &Link> {
        self.links.values().filter(move |link| link.company == company && link.deleted.is_none())
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
                self.end_link(dropped.id, false, tick);
            }
        }
        !self.live_links(contact).eq(before.iter())
    }

    /// `companies` of a contact as shown.
    pub(super) fn companies_of(&self, contact: u64, ids: Ids) -> Vec<Value> {
        let shown = |link: &Link| {
            let company = self.companies.get(&link.company).map(|held| &held.company).filter(|c| c.is_live())?;
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
