//! A window of changes. One that is short is read in one go, whoever was merged or converted together with their
//! survivor. A longer one is read in parts: first who is a person no longer, with their survivors; then who lives; then
//! the people of changed Accounts.
//!
//! Within one go the Leads come last. A conversion that commits meanwhile is one transaction: if its contact was seen,
//! the lead shows as converted.

use std::collections::{HashMap, HashSet};

use crate::crm::salesforce::accounts;
use crate::crm::salesforce::heirs;
use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::objects::{Object, Objects};
use crate::crm::salesforce::place::InWindow;
use crate::crm::salesforce::query::{LIMIT, Since};
use crate::crm::salesforce::reader::{Halt, Reader, Rows, over_and_over};
use crate::crm::salesforce::wire::{self, Shown};
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Resume, Sighting, Window};

/// A page, and where its part of the window goes on.
type Part = (Page, Option<InWindow>);

/// A window under way.
pub(super) struct Changes<'a> {
    pub reader: &'a Reader,
    pub objects: &'a Objects,
    pub window: Window,
}

impl Changes<'_> {
    /// The page at this place.
    pub(super) async fn page(&self, resume: Option<&Resume>) -> Result<Page, Trouble> {
        let mut place = InWindow::parse(resume, self.window.lo)?;
        let mut hi = self.window.hi;
        let (page, next) = loop {
            match self.read(&place, hi).await {
                Ok(Some(part)) => break part,
                Ok(None) => (place, hi) = (InWindow::Left(Since::from(self.window.lo)), self.window.hi),
                Err(Halt::TooSlow) => hi = place.since().halfway(hi).ok_or(Halt::TooSlow)?,
                Err(Halt::Trouble(trouble)) => return Err(trouble),
            }
        };
        let rest = || (hi < self.window.hi).then(|| place.at(Since::from(hi)));
        let next = next.or_else(rest).or_else(|| self.following(&place));
        let next = next.map(|place| place.resume()).transpose()?;
        if next.is_some() && next.as_ref() == resume {
            return Err(over_and_over());
        }
        Ok(Page { next, ..page })
    }

    /// The part that comes after the one of this place.
    fn following(&self, place: &InWindow) -> Option<InWindow> {
        let since = Since::from(self.window.lo);
        match place {
            InWindow::Left(_) if self.objects.leads => Some(InWindow::Leads(since)),
            InWindow::Left(_) | InWindow::Leads(_) => Some(InWindow::Contacts(since)),
            InWindow::Contacts(_) if self.objects.accounts => {
                Some(InWindow::Accounts { since, of: Vec::new(), after: None })
            }
            InWindow::Rest { .. } | InWindow::Contacts(_) | InWindow::Accounts { .. } => None,
        }
    }

    /// What is read at a place up to `hi`; `None` if one page is too small for all of the rest.
    async fn read(&self, place: &InWindow, hi: Timestamp) -> Result<Option<Part>, Halt> {
        let contact = &self.objects.contact;
        let (object, query) = match place {
            InWindow::Rest { stamp } => return self.in_one_go(*stamp, hi).await,
            InWindow::Accounts { since, of, after } => {
                return self.touched(since, of, after.as_ref(), hi).await.map(Some);
            }
            // Listed when the place was kept, and no longer.
            InWindow::Leads(_) if !self.objects.leads => return Ok(Some((Page::default(), None))),
            InWindow::Leads(_) => (&self.objects.lead, self.objects.lead.all()),
            InWindow::Left(_) => (contact, contact.left()),
            InWindow::Contacts(_) => (contact, contact.alive()),
        };
        let rows = self.reader.rows(&query.stamped(&place.since(), hi), LIMIT).await?;
        let after = rows.rows.last().filter(|_| rows.more).map(wire::after).transpose()?;
        let page = heirs::page(self.reader, self.objects, people(&rows, object)?).await?;
        Ok(Some((page, after.map(|since| place.at(since)))))
    }

    /// All that changed, as one page; `None` if that is too much for one.
    async fn in_one_go(&self, lo: Timestamp, hi: Timestamp) -> Result<Option<Part>, Halt> {
        let since = Since::from(lo);
        let (touched, more) = self.touched(&since, &[], None, hi).await?;
        if more.is_some() {
            return Ok(None);
        }
        let mut shown = Vec::new();
        for object in self.objects.listed() {
            let rows = self.reader.rows(&object.all().stamped(&since, hi), LIMIT).await?;
            if rows.more {
                return Ok(None);
            }
            shown.extend(people(&rows, object)?);
        }
        let listed: HashSet<String> = shown.iter().map(|person| person.id.to_string()).collect();
        let mut page = heirs::page(self.reader, self.objects, shown).await?;
        // Whoever changed as well is there already, and is looked at whatever the stamp; whoever is listed and not
        // there was merged away a moment after they were read as touched.
        let touched: HashMap<String, Sighting> = touched.sightings.into_iter().map(|s| (s.id.clone(), s)).collect();
        page.sightings.iter_mut().filter(|s| touched.contains_key(&s.id)).for_each(|s| s.modified = None);
        let there: HashSet<String> = page.sightings.iter().map(|s| s.id.clone()).collect();
        let mut others: Vec<Sighting> =
            touched.into_values().filter(|s| !listed.contains(&s.id) && !there.contains(&s.id)).collect();
        others.sort_by(|one, other| one.id.cmp(&other.id));
        page.sightings.extend(others);
        Ok(Some((page, None)))
    }

    /// People of changed Accounts.
    async fn touched(&self, since: &Since, of: &[Id], after: Option<&Id>, hi: Timestamp) -> Result<Part, Halt> {
        if !self.objects.accounts {
            return Ok((Page::default(), None));
        }
        let touched = if of.is_empty() {
            accounts::touched(self.reader, self.objects, since, hi, self.window.hi).await?
        } else {
            accounts::people_of(self.reader, self.objects, since, of.to_vec(), after, self.window.hi).await?
        };
        let sightings = touched.people.into_iter().map(accounts::sighting).collect();
        Ok((Page { sightings, ..Page::default() }, touched.next))
    }
}

fn people(rows: &Rows, object: &Object) -> Result<Vec<Shown>, Trouble> {
    rows.rows.iter().map(|row| Shown::read(row, &object.columns)).collect()
}
