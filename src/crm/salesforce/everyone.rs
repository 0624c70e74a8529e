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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::Wanted;
    use crate::crm::salesforce::rig::{converted, deleted, id, lead, lead_id, logged_in, row, rows, slow, told};
    use crate::crm::salesforce::{Salesforce, Settings};
    use crate::crm::script::Asked;
    use crate::sync::source::ContactSource;

    fn with_leads(settings: &mut Settings, _: &mut Wanted) {
        settings.leads = true;
    }

    async fn pages(salesforce: &Salesforce, detail: Detail) -> Vec<Vec<String>> {
        let (mut resume, mut pages) = (None, Vec::new());
        loop {
            let page = salesforce.everyone(detail, resume).await.unwrap();
            pages.push(told(&page));
            resume = page.next;
            if resume.is_none() {
                return pages;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_a_person_no_longer_comes_before_who_is_one() {
        for (detail, none) in [(Detail::Records, ""), (Detail::Stamps, " -")] {
            let (script, salesforce) = logged_in(
                with_leads,
                [
                    rows([deleted(row(1), Some(id(2))), deleted(row(3), None)]),
                    rows([row(2)]),
                    rows([converted(lead(1), Some(id(2))), lead(9)]),
                    rows([row(2)]),
                    rows([lead(2)]),
                    rows([row(2), row(4)]),
                ],
            );
            let expected = [
                vec![format!("{} for {}", id(2), id(1)), format!("{} left", id(3))],
                vec![format!("{} for {}", id(2), lead_id(1))],
                vec![format!("{}{none}", lead_id(2))],
                vec![format!("{}{none}", id(2)), format!("{}{none}", id(4))],
            ];
            assert_eq!(pages(&salesforce, detail).await, expected);
            let asked: Vec<String> = script.asked().iter().skip(1).map(Asked::soql).collect();
            let ends = |n: usize, end: &str| assert!(asked[n].ends_with(end), "{}", asked[n]);
            ends(0, "FROM Contact WHERE IsDeleted = true ORDER BY Id ASC LIMIT 2000");
            ends(2, "FROM Lead WHERE (IsDeleted = true OR IsConverted = true) ORDER BY Id ASC LIMIT 2000");
            ends(4, "FROM Lead WHERE IsConverted = false ORDER BY Id ASC LIMIT 2000");
            ends(5, "FROM Contact ORDER BY Id ASC LIMIT 2000");
            let fields = if detail == Detail::Records { "Id,SystemModstamp,Email " } else { "Id,SystemModstamp " };
            assert!(asked[5].contains(&format!("SELECT {fields}FROM")), "{}", asked[5]);
            assert!(asked[1].contains("Email FROM Contact"), "a survivor is whole: {}", asked[1]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_is_walked_by_the_servers_last_id() {
        let answers = [rows([]), rows((0..LIMIT).map(row)), rows([])];
        let (script, salesforce) = logged_in(|_, _| {}, answers);
        let pages = pages(&salesforce, Detail::Stamps).await;
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [0, LIMIT, 0]);
        assert!(script.asked()[3].soql().contains(&format!("WHERE Id > '{}' ORDER BY Id", id(LIMIT - 1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_the_server_gives_up_on_is_never_an_empty_list() {
        let (_, salesforce) = logged_in(|_, _| {}, (0..6).map(|_| slow()));
        assert_eq!(salesforce.everyone(Detail::Stamps, None).await.unwrap_err().code(), "answer_lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_ends_where_it_began_is_trouble() {
        let full = || rows((0..LIMIT).map(row));
        let (_, salesforce) = logged_in(|_, _| {}, [full(), full()]);
        let contacts = Some(Resume(r#"{"part":"contacts"}"#.into()));
        let first = salesforce.everyone(Detail::Stamps, contacts).await.unwrap();
        assert_eq!(salesforce.everyone(Detail::Stamps, first.next).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_in_leads_that_are_no_longer_read_goes_on_with_contacts() {
        let job = r#"{"part":"bulk","job":"750Da00000xnAiy","of":"leads","attempt":1}"#;
        for place in [r#"{"part":"left_leads"}"#, r#"{"part":"leads","after":"00QDa00000xnAiy"}"#, job] {
            let (script, salesforce) = logged_in(|_, _| {}, [rows([row(1)])]);
            let page = salesforce.everyone(Detail::Records, Some(Resume(place.into()))).await.unwrap();
            let page = salesforce.everyone(Detail::Records, page.next).await.unwrap();
            assert_eq!((told(&page), page.next), (vec![id(1)], None));
            script.asked();
        }
    }
}
