//! A listing of everyone, in parts, each a walk by id: who is a person no longer, with their survivors; then the Leads;
//! then the Contacts.

use crate::clock::Clock;
use crate::crm::salesforce::bulk::{Bulk, Read};
use crate::crm::salesforce::heirs;
use crate::crm::salesforce::objects::{Object, Objects};
use crate::crm::salesforce::place::{InEveryone, Job, Listed, Walk};
use crate::crm::salesforce::query::LIMIT;
use crate::crm::salesforce::reader::{Reader, over_and_over};
use crate::crm::salesforce::wire::{Row, Shown};
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Sighting};
use crate::sync::source::Detail;

/// A listing under way.
pub(super) struct Everyone<'a> {
    pub reader: &'a Reader,
    pub objects: &'a Objects,
    pub clock: &'a Clock,
    pub detail: Detail,
    /// A reading of more rows than this goes through the Bulk API.
    pub bulk_above: u64,
}

/// A page, and where its part goes on.
type Part = (Page, Option<InEveryone>);

impl Everyone<'_> {
    /// The page at this place.
    pub(super) async fn page(&self, resume: Option<&Resume>) -> Result<Page, Trouble> {
        let place = InEveryone::parse(resume)?;
        let (page, next) = match &place {
            InEveryone::LeftContacts(walk) => self.left(&self.objects.contact, walk, InEveryone::LeftContacts).await?,
            InEveryone::LeftLeads(walk) if self.objects.leads => {
                self.left(&self.objects.lead, walk, InEveryone::LeftLeads).await?
            }
            InEveryone::Leads(walk) if self.objects.leads => self.people(Listed::Leads, walk).await?,
            InEveryone::Contacts(walk) => self.people(Listed::Contacts, walk).await?,
            InEveryone::Bulk(job) if job.of == Listed::Contacts || self.objects.leads => self.bulk(job).await?,
            // Listed when the place was kept, and no longer.
            InEveryone::LeftLeads(_) | InEveryone::Leads(_) | InEveryone::Bulk(_) => (Page::default(), None),
        };
        let next = next.or_else(|| self.following(&place)).map(|place| place.resume()).transpose()?;
        if next.is_some() && next.as_ref() == resume {
            return Err(over_and_over());
        }
        Ok(Page { next, ..page })
    }

    /// The part that comes after the one of this place.
    fn following(&self, place: &InEveryone) -> Option<InEveryone> {
        let start = Walk::default();
        match place {
            InEveryone::LeftContacts(_) if self.objects.leads => Some(InEveryone::LeftLeads(start)),
            InEveryone::LeftLeads(_) if self.objects.leads => Some(InEveryone::Leads(start)),
            InEveryone::LeftContacts(_) | InEveryone::LeftLeads(_) | InEveryone::Leads(_) => {
                Some(InEveryone::Contacts(start))
            }
            InEveryone::Bulk(job) if job.of == Listed::Leads => Some(InEveryone::Contacts(start)),
            InEveryone::Contacts(_) | InEveryone::Bulk(_) => None,
        }
    }

    /// Who is no person of this object any more. Only their survivors are sighted.
    async fn left(&self, object: &Object, walk: &Walk, place: fn(Walk) -> InEveryone) -> Result<Part, Trouble> {
        let rows = self.reader.rows(&object.left().after(walk.after.as_ref()), LIMIT).await?;
        let mut shown = rows.rows.iter().map(|row| Shown::read(row, &[])).collect::<Result<Vec<_>, _>>()?;
        let next = shown.last().filter(|_| rows.more).map(|last| place(walk.past(&last.id)));
        shown.retain(|person| !person.lives());
        Ok((heirs::page(self.reader, self.objects, shown).await?, next))
    }

    /// Who lives.
    async fn people(&self, of: Listed, walk: &Walk) -> Result<Part, Trouble> {
        let object = self.object(of);
        let query = if self.detail == Detail::Records { object.alive() } else { object.stamps() };
        let rows = self.reader.rows(&query.after(walk.after.as_ref()), LIMIT).await?;
        if rows.more && self.detail == Detail::Records && *walk == Walk::default() {
            let bulk = self.jobs().begin(object, of).await?;
            if let Some(job) = bulk {
                return Ok((Page::default(), Some(InEveryone::Bulk(job))));
            }
        }
        let shown = rows.rows.iter().map(|row| Shown::read(row, &object.columns)).collect::<Result<Vec<_>, _>>()?;
        let next = shown.last().filter(|_| rows.more).map(|last| walking(of, walk.past(&last.id)));
        let mut sightings: Vec<Sighting> = shown.into_iter().map(Shown::sighting).collect();
        if self.detail == Detail::Stamps {
            sightings.iter_mut().for_each(|sighting| sighting.record = None);
        }
        Ok((Page { sightings, ..Page::default() }, next))
    }

    /// Who lives, by a job.
    async fn bulk(&self, job: &Job) -> Result<Part, Trouble> {
        let object = self.object(job.of);
        Ok(match self.jobs().read(object, job.clone()).await? {
            Read::Rows(rows, next) => {
                (Page { sightings: sightings(&rows, object)?, ..Page::default() }, next.map(InEveryone::Bulk))
            }
            Read::Anew(Some(job)) => (Page::default(), Some(InEveryone::Bulk(job))),
            Read::Anew(None) => (Page::default(), Some(walking(job.of, Walk { after: None, on_foot: true }))),
        })
    }

    fn jobs(&self) -> Bulk<'_> {
        Bulk { reader: self.reader, clock: self.clock, above: self.bulk_above }
    }

    fn object(&self, of: Listed) -> &Object {
        match of {
            Listed::Leads => &self.objects.lead,
            Listed::Contacts => &self.objects.contact,
        }
    }
}

fn walking(of: Listed, walk: Walk) -> InEveryone {
    match of {
        Listed::Leads => InEveryone::Leads(walk),
        Listed::Contacts => InEveryone::Contacts(walk),
    }
}

fn sightings(rows: &[Row], object: &Object) -> Result<Vec<Sighting>, Trouble> {
    rows.iter().map(|row| Ok(Shown::read(row, &object.columns)?.sighting())).collect()
}
