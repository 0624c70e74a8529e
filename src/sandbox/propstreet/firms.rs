//! The rules by which companies and employments are written. Knows no HTTP beyond the words of a refusal; what the pages
//! leave open it asks the knobs.
//! <https://docs.propstreet.com/api-reference/tag/companies/patch/api/v1/network/companies/id>

use crate::sandbox::propstreet::company::{Company, CompanyChange, Held};
use crate::sandbox::propstreet::contact::{ExternalRef, RefKey, to_ticks};
use crate::sandbox::propstreet::input::{Connection, Field};
use crate::sandbox::propstreet::knobs::{Arrays, MissingTag, RepeatedLink};
use crate::sandbox::propstreet::model::State;
use crate::sandbox::propstreet::network::Link;
use crate::sandbox::propstreet::problem::Problem;

impl State {
    /// A company by id, as the API finds it.
    pub(super) fn company(&self, id: u64) -> Result<&Held, Problem> {
        let found = self.network.companies.get(&id);
        found.filter(|held| self.is_shown(held)).ok_or_else(Problem::not_found)
    }

    /// A company by reference, as the API finds it: perhaps not yet, perhaps not any more.
    pub(super) fn look_up_company(&self, key: &RefKey) -> Result<&Held, Problem> {
        let holders = self.network.companies_by_ref(key).filter(|(_, since)| self.shows(*since));
        let mut seen: Vec<&Held> = holders.map(|(held, _)| held).filter(|held| self.is_shown(held)).collect();
        seen.sort_by_key(|held| held.company.is_live());
        seen.pop().ok_or_else(Problem::not_found)
    }

    pub(super) fn create_company(&mut self, change: &CompanyChange) -> Result<u64, Problem> {
        let mut company = Company::default();
        change.apply(&mut company, Arrays::Replace)?;
        self.company_may_be(&company)?;
        self.writes.companies_created += 1;
        Ok(self.put_company(company, "api"))
    }

    pub(super) fn update_company(&mut self, id: u64, tag: Option<&str>, change: &CompanyChange) -> Result<(), Problem> {
        let held = self.network.companies.get(&id).filter(|held| held.company.is_live());
        let held = held.ok_or_else(Problem::not_found)?;
        self.fresh_enough(&held.etag(), tag)?;
        let before = held.company.clone();
        let mut company = before.clone();
        change.apply(&mut company, self.knobs.arrays)?;
        self.company_may_be(&company)?;
        if company == before && !self.knobs.noop_makes_a_version {
            self.writes.unchanged += 1;
        } else {
            self.writes.companies_updated += 1;
            self.put_company(company, "api");
        }
        Ok(())
    }

    /// Stores a company as it is, whatever the rules say; id 0 asks for a new one. Its people may be told.
    pub(super) fn put_company(&mut self, mut company: Company, origin: &'static str) -> u64 {
        if company.id == 0 {
            company.id = self.fresh_id();
        }
        let (id, tick) = (company.id, self.tick());
        let before = self.network.companies.get(&id).map(|held| held.company.clone());
        let renamed = before.as_ref().is_some_and(|before| before.name != company.name);
        let left = before.is_some_and(|before| before.is_live()) && !company.is_live();
        self.network.put_company(company, origin, tick);
        let people: Vec<(u64, u64)> = self.network.links_at(id).map(|link| (link.id, link.contact)).collect();
        if left && self.knobs.deleted_company_ends_links {
            people.iter().for_each(|(link, _)| self.network.end_link(*link, self.knobs.primary_passes_on, tick));
        }
        if left || (renamed && self.knobs.rename_touches_contacts) {
            people.iter().for_each(|(_, contact)| self.touch(*contact, origin));
        }
        id
    }

    pub(super) fn create_link(
        &mut self,
        contact: u64,
        company: u64,
        job_title: Option<String>,
    ) -> Result<u64, Problem> {
        if !self.is_live(contact) {
            return Err(Problem::invalid_field("contactId", "no such contact"));
        }
        if !self.network.is_company(company) {
            return Err(Problem::invalid_field("companyId", "no such company"));
        }
        let known = self.network.live_links(contact).any(|link| link.company == company);
        if known && self.knobs.repeated_link == RepeatedLink::Conflict {
            return Err(Problem::conflict());
        }
        self.writes.links_created += 1;
        Ok(self.employ(contact, company, job_title, "api"))
    }

    /// The connections of a write, after the companies that it founds were founded.
    pub(super) fn founded<'a>(&mut self, wanted: impl Iterator<Item = &'a Connection>) -> Vec<Connection> {
        let found = |one: &Connection| {
            let Some((name, country)) = &one.founding else { return one.clone() };
            self.writes.companies_created += 1;
            let company = Company { name: name.clone(), country_code: country.clone(), ..Company::default() };
            Connection { company: self.put_company(company, "api"), founding: None, ..one.clone() }
        };
        wanted.map(found).collect()
    }

    /// A new employment, perhaps the primary one if there is no other.
    pub(super) fn employ(&mut self, contact: u64, company: u64, title: Option<String>, origin: &'static str) -> u64 {
        let first = self.network.live_links(contact).next().is_none();
        let (id, tick) = (self.fresh_id(), self.tick());
        self.network.add_link(id, contact, company, title, tick);
        if first && self.knobs.first_link_is_primary {
            self.network.change_link(id, tick, |link| link.primary = true);
        }
        self.touch(contact, origin);
        id
    }

    pub(super) fn update_link(
        &mut self,
        id: u64,
        tag: Option<&str>,
        title: Field<String>,
        primary: Option<bool>,
    ) -> Result<(), Problem> {
        self.tagged_link(id, tag)?;
        let change = |link: &mut Link| {
            if let Some(title) = title {
                link.job_title = title;
            }
            link.primary = primary.unwrap_or(link.primary);
        };
        if self.change_link(id, "api", change) {
            self.writes.links_changed += 1;
        } else {
            self.writes.unchanged += 1;
        }
        Ok(())
    }

    pub(super) fn delete_link(&mut self, id: u64, tag: Option<&str>) -> Result<(), Problem> {
        self.tagged_link(id, tag)?;
        self.end_link(id, "api");
        self.writes.links_ended += 1;
        Ok(())
    }

    /// Changes a link and shows it in its contact. Answers whether anything changed.
    pub(super) fn change_link(&mut self, id: u64, origin: &'static str, change: impl FnOnce(&mut Link)) -> bool {
        let tick = self.tick();
        let changed = self.network.change_link(id, tick, change);
        if let Some(contact) = self.network.links.get(&id).map(|link| link.contact).filter(|_| changed) {
            self.touch(contact, origin);
        }
        changed
    }

    /// Ends an employment and shows that in its contact.
    pub(super) fn end_link(&mut self, id: u64, origin: &'static str) {
        let tick = self.tick();
        self.network.end_link(id, self.knobs.primary_passes_on, tick);
        if let Some(contact) = self.network.links.get(&id).map(|link| link.contact) {
            self.touch(contact, origin);
        }
    }

    /// Whether a link is there, and is the one the tag was read of.
    fn tagged_link(&self, id: u64, tag: Option<&str>) -> Result<(), Problem> {
        let link = self.network.links.get(&id).filter(|link| link.deleted.is_none()).ok_or_else(Problem::not_found)?;
        match (tag, self.knobs.untagged_link) {
            (None, MissingTag::Required) => Err(Problem::tag_required()),
            (None, MissingTag::Stale) => Err(Problem::stale(false)),
            _ => self.fresh_enough(&link.etag(), tag),
        }
    }

    /// Deletes a company as a person would.
    pub(super) fn delete_company(&mut self, id: u64, origin: &'static str) -> bool {
        let Some(company) = self.network.companies.get(&id).map(|held| held.company.clone()) else { return false };
        let deleted = Some(to_ticks(self.clock.now()));
        self.put_company(Company { deleted, ..company }, origin);
        true
    }

    fn is_shown(&self, held: &Held) -> bool {
        held.company.is_live() || self.knobs.lookup_finds_deleted
    }

    /// References are unique among companies; domains perhaps too.
    fn company_may_be(&self, company: &Company) -> Result<(), Problem> {
        let stands =
            |other: &Company| other.id != company.id && (other.is_live() || !self.knobs.refs_free_after_delete);
        let keys = company.refs.iter().map(ExternalRef::key);
        let mut holders =
            keys.flat_map(|key| self.network.companies_by_ref(&key).map(|(h, _)| &h.company).collect::<Vec<_>>());
        if holders.any(stands) {
            return Err(Problem::conflict());
        }
        let others = self.network.companies.values().map(|held| &held.company);
        let mut others = others.filter(|other| other.id != company.id && other.is_live());
        let taken = company.domain.is_some() && others.any(|other| other.domain == company.domain);
        if taken && self.knobs.company_domains_unique { Err(Problem::conflict()) } else { Ok(()) }
    }
}
