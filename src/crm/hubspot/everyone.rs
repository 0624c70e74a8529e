//! Everyone, by the list. It goes by id and not through the search index, so that it shows what the index has lost.
//!
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide>

use crate::crm::hubspot::{HubSpot, VERSION, wire};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::record::{Page, Record, Resume, Sighting};
use crate::sync::source::Detail;

/// Room for property names in the list's URL: peers met 414 from 8,000 characters on.
pub(super) const URL_BUDGET: usize = 5 * 1024;

impl HubSpot {
    /// One page of the list; its cursor is the id of the next contact.
    pub(super) async fn list(&self, detail: Detail, resume: Option<Resume>) -> Result<Page, Trouble> {
        let names = self.wanted.sent.join(",");
        let fits = url::form_urlencoded::byte_serialize(names.as_bytes()).map(str::len).sum::<usize>() < URL_BUDGET;
        let in_list = detail == Detail::Records && fits;
        let properties = if in_list { names.as_str() } else { "lastmodifieddate" };
        let mut query = vec![("limit", "100"), ("archived", "false"), ("properties", properties)];
        query.extend(resume.as_ref().map(|resume| ("after", resume.0.as_str())));
        let path = format!("/crm/objects/{VERSION}/contacts");
        let found: wire::ObjectPage = self.ask(request::get(&self.base, &path, &query)).await?;
        let next = found.after().map(|after| Resume(after.to_owned()));
        if resume.is_some_and(|asked| next.as_ref().is_some_and(|next| !is_beyond(&next.0, &asked.0))) {
            return Err(Trouble::Protocol("HubSpot sends the same page of contacts over and over".into()));
        }
        let alive: Vec<&wire::Object> = found.results.iter().filter(|object| !object.archived).collect();
        if detail == Detail::Stamps {
            let sighting = |o: &&wire::Object| Sighting { id: o.id.clone(), modified: o.modified(), record: None };
            return Ok(Page { sightings: alive.iter().map(sighting).collect(), next, ..Page::default() });
        }
        let records = if in_list {
            self.demand("contacts", alive.iter().copied(), &self.wanted.contact).await?;
            let mut records: Vec<Record> = alive.iter().map(|object| object.record(&self.wanted.contact)).collect();
            self.attach_companies(&mut records).await?;
            records
        } else {
            let ids: Vec<String> = alive.iter().map(|object| object.id.clone()).collect();
            self.records(&ids).await?
        };
        let whole = |r: Record| Sighting { id: r.id.clone(), modified: r.modified, record: Some(r) };
        Ok(Page { sightings: records.into_iter().map(whole).collect(), next, ..Page::default() })
    }
}

/// Whether one cursor of the list lies beyond another: it is the id of the next contact, and the list is in their order.
/// Peers met cycles longer than one page.
fn is_beyond(next: &str, asked: &str) -> bool {
    match (next.parse::<u64>(), asked.parse::<u64>()) {
        (Ok(next), Ok(asked)) => next > asked,
        _ => next != asked,
    }
}
