//! Everyone, by the list. It goes by id and not through the search index, so that it shows what the index has lost.
//!
//! A sweep lists who lives, and then who is in the recycle bin, which neither a search nor the list of the living shows.
//! People move between the two halves while they are read. Whoever is binned behind the first half is seen alive and then
//! binned, in the order in which it happened. Whoever is restored before the second comes to them is seen in neither, and
//! a sweep asks by id for those it did not see before it believes that they left. And should the loser of a merge lie in
//! the bin, then its survivor, which names it, has been read before, unless the merge came behind the first half: so whom
//! the bin shows is asked for by id as well before they are let go.
//!
//! A merge leaves its losers in no list, and a privacy delete leaves nothing anywhere: both are found by their absence.
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/objects/contacts/guide>

use std::collections::HashMap;

use crate::crm::hubspot::place::InEveryone;
use crate::crm::hubspot::{HubSpot, VERSION, wire};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::record::{Departed, Page, Record, Resume, Sighting};
use crate::sync::source::Detail;

/// Room for property names in the list's URL: peers met 414 from 8,000 characters on.
pub(super) const URL_BUDGET: usize = 5 * 1024;

/// What the list must show of those whose properties do not fit.
const MERGED_AND_STAMP: &str = "hs_merged_object_ids,lastmodifieddate";

impl HubSpot {
    /// One page of the list.
    pub(super) async fn list(&self, detail: Detail, resume: Option<&Resume>) -> Result<Page, Trouble> {
        let (page, next) = match InEveryone::parse(resume)? {
            InEveryone::Living { after } => {
                let (sightings, after) = self.living(detail, after).await?;
                let bin = (detail == Detail::Stamps).then_some(InEveryone::Binned { after: None });
                let next = after.map(|after| InEveryone::Living { after: Some(after) }).or(bin);
                (Page { sightings, ..Page::default() }, next)
            }
            InEveryone::Binned { after } => {
                let (departed, after) = self.binned(after).await?;
                let next = after.map(|after| InEveryone::Binned { after: Some(after) });
                (Page { departed, ..Page::default() }, next)
            }
        };
        Ok(Page { next: next.map(|next| next.resume()).transpose()?, ..page })
    }

    /// Who lives, with their records: all that the map reads in a backfill and where stamps do not tell all, and else
    /// what fits the URL.
    async fn living(&self, detail: Detail, after: Option<String>) -> Result<(Vec<Sighting>, Option<String>), Trouble> {
        let refresh = detail == Detail::Stamps && self.changes_unstamped().await?;
        let names = self.wanted.sent.join(",");
        let fits = url::form_urlencoded::byte_serialize(names.as_bytes()).map(str::len).sum::<usize>() < URL_BUDGET;
        let (objects, next) = self.page_of(false, if fits { &names } else { MERGED_AND_STAMP }, after).await?;
        let records = if fits {
            self.demand("contacts", &objects, &self.wanted.contact).await?;
            let mut records: Vec<Record> = objects.iter().map(|object| object.record(&self.wanted.contact)).collect();
            self.attach_companies(&mut records).await?;
            records
        } else if refresh || detail == Detail::Records {
            self.records(&objects.iter().map(|object| object.id.clone()).collect::<Vec<_>>()).await?
        } else {
            return Ok((self.stamped(&objects).await?, next));
        };
        let stamp = |record: &Record| record.modified.filter(|_| !refresh);
        let whole = |r: Record| Sighting { id: r.id.clone(), modified: stamp(&r), record: Some(r) };
        Ok((records.into_iter().map(whole).collect(), next))
    }

    /// Stamps, and the records of those who name whom they have replaced: a merge need not have moved their stamps.
    async fn stamped(&self, objects: &[wire::Object]) -> Result<Vec<Sighting>, Trouble> {
        let merged = objects.iter().filter(|object| !object.record(&[]).supersedes.is_empty());
        let merged: Vec<String> = merged.map(|object| object.id.clone()).collect();
        let records = self.records(&merged).await?;
        let mut records: HashMap<String, Record> = records.into_iter().map(|r| (r.id.clone(), r)).collect();
        let sighting =
            |o: &wire::Object| Sighting { id: o.id.clone(), modified: o.modified(), record: records.remove(&o.id) };
        Ok(objects.iter().map(sighting).collect())
    }

    /// Who is in the recycle bin, as HubSpot itself says.
    ///
    /// The stamp is the contact's last, which the bin does not move, and not `archivedAt`: whoever is restored may show
    /// that same stamp, and must not pass for an echo of the time before.
    async fn binned(&self, after: Option<String>) -> Result<(Vec<Departed>, Option<String>), Trouble> {
        let (objects, next) = self.page_of(true, "lastmodifieddate", after).await?;
        let departed = |object: &wire::Object| Departed { id: object.id.clone(), modified: object.modified() };
        Ok((objects.iter().map(departed).collect(), next))
    }

    /// A page of one half of the list, and its cursor, which is the id of the next contact.
    async fn page_of(
        &self,
        archived: bool,
        properties: &str,
        after: Option<String>,
    ) -> Result<(Vec<wire::Object>, Option<String>), Trouble> {
        let half = if archived { "true" } else { "false" };
        let mut query = vec![("limit", "100"), ("archived", half), ("properties", properties)];
        query.extend(after.as_deref().map(|after| ("after", after)));
        let path = format!("/crm/objects/{VERSION}/contacts");
        let page: wire::ObjectPage = self.ask(request::get(&self.base, &path, &query)).await?;
        let next = page.after().map(str::to_owned);
        if after.is_some_and(|asked| next.as_ref().is_some_and(|next| !is_beyond(next, &asked))) {
            return Err(Trouble::Protocol("HubSpot sends the same page of contacts over and over".into()));
        }
        Ok((page.results.into_iter().filter(|object| object.archived == archived).collect(), next))
    }

    /// Whether what the map reads may change and move no stamp of a contact: whose company is whose, a company's fields
    /// (a search shows these, and its index may lose one), and what HubSpot computes.
    async fn changes_unstamped(&self) -> Result<bool, Trouble> {
        Ok(!self.wanted.company.is_empty() || !self.calculated("contacts", &self.wanted.contact).await?.is_empty())
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::hubspot::rig::{all, binned, contact, contacts, defined, goes_on, linked, open, paths, sighted};
    use crate::sync::source::ContactSource;

    fn at(place: &InEveryone) -> Option<Resume> {
        Some(place.resume().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_is_listed_by_cursor_whatever_the_pages_hold() {
        let answers = [goes_on([], "4"), goes_on([contact("4"), binned("5")], "6"), all([contact("6")])];
        let (script, hubspot) = open(&["email"], answers);
        let first = hubspot.everyone(Detail::Records, None).await.unwrap();
        let second = hubspot.everyone(Detail::Records, first.next).await.unwrap();
        assert_eq!(sighted(&second), ["4"], "who is in the recycle bin is not shown");
        let third = hubspot.everyone(Detail::Records, second.next).await.unwrap();
        assert_eq!((sighted(&third), &third.next), (vec!["6"], &None), "a backfill does not read the bin");
        let asked = script.asked();
        assert!(asked.iter().all(|a| a.url.host_str() == Some("api.hubapi.com")), "no link is followed");
        assert!(asked.iter().all(|a| a.query("limit").as_deref() == Some("100")));
        assert!(asked.iter().all(|a| a.query("archived").as_deref() == Some("false")));
        assert_eq!(asked[1].query("after").as_deref(), Some("4"));
        assert_eq!(
            asked[1].query("properties").as_deref(),
            Some("email,hs_merged_object_ids,hs_object_id,lastmodifieddate")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_that_does_not_lead_on_is_refused() {
        for (asked, next, expected) in [
            ("6", "6", Err("unexpected_answer")),
            ("100", "99", Err("unexpected_answer")),
            ("99", "100", Ok(())),
            ("x", "x", Err("unexpected_answer")),
        ] {
            for half in [|after| InEveryone::Living { after }, |after| InEveryone::Binned { after }] {
                let (_, hubspot) = open(&["email"], [goes_on([], next)]);
                let page = hubspot.everyone(Detail::Records, at(&half(Some(asked.to_owned())))).await;
                assert_eq!(page.map(|_| ()).map_err(|t| t.code()), expected, "{asked} {next}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_brings_stamp_and_record_in_one_request_and_goes_on_in_the_bin() {
        let mut survivor = contact("9");
        survivor["properties"]["hs_merged_object_ids"] = json!("3;4");
        let (script, hubspot) = open(
            &["email"],
            [
                defined(&["email"]),
                goes_on([contact("4")], "9"),
                all([survivor]),
                goes_on([binned("5")], "6"),
                all([contact("7"), binned("6")]),
            ],
        );
        let (mut pages, mut resume) = (Vec::new(), None);
        loop {
            let page = hubspot.everyone(Detail::Stamps, resume).await.unwrap();
            resume = page.next.clone();
            pages.push(page);
            if resume.is_none() {
                break;
            }
        }
        let seen: Vec<&Sighting> = pages.iter().flat_map(|page| &page.sightings).collect();
        assert!(seen.iter().all(|s| s.modified.is_some() && s.modified == s.record.as_ref().unwrap().modified));
        assert_eq!(seen[1].record.as_ref().unwrap().supersedes, ["3", "4"]);
        assert_eq!(seen.len(), 2, "a contact that lives is nothing to the bin");
        let departed: Vec<&str> = pages.iter().flat_map(|p| &p.departed).map(|d| d.id.as_str()).collect();
        assert_eq!(departed, ["5", "6"]);
        let asked = script.asked();
        let halves: Vec<_> = asked[1..].iter().map(|a| (a.query("archived").unwrap(), a.query("after"))).collect();
        let half = |half: &str, after: Option<&str>| (half.to_owned(), after.map(str::to_owned));
        let expected = [half("false", None), half("false", Some("9")), half("true", None), half("true", Some("6"))];
        assert_eq!(halves, expected);
        assert_eq!(asked[3].query("properties").as_deref(), Some("lastmodifieddate"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_binned_leaves_with_the_stamp_a_restored_contact_will_show() {
        let (_, hubspot) = open(&["email"], [all([binned("5")])]);
        let page = hubspot.everyone(Detail::Stamps, at(&InEveryone::Binned { after: None })).await.unwrap();
        let stamp = page.departed[0].modified.unwrap().to_rfc3339();
        assert_eq!(stamp, "2026-11-02T09:30:00.500+00:00", "not that of the bin, which restoring may not pass");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_looks_at_everybody_where_companies_or_computed_values_move_no_stamp() {
        let calculated = all([json!({"name": "email"}), json!({"name": "score", "calculated": true})]);
        let mut scored = contact("4");
        scored["properties"]["score"] = json!("7");
        let (_, hubspot) = open(&["email", "score"], [calculated, all([scored])]);
        let page = hubspot.everyone(Detail::Stamps, None).await.unwrap();
        let record = page.sightings[0].record.as_ref().unwrap();
        assert_eq!((page.sightings[0].modified, record.modified.is_some()), (None, true));
        assert_eq!(record.fields["score"], "7");

        let companies = all([json!({"id": "8", "properties": {"name": "Acme"}})]);
        let (script, hubspot) = open(&["company.name"], [all([contact("4")]), all([linked("4", &[8], 1)]), companies]);
        let page = hubspot.everyone(Detail::Stamps, None).await.unwrap();
        assert_eq!(page.sightings[0].modified, None);
        assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["company.name"], "Acme");
        assert_eq!(script.asked().len(), 3, "what is computed makes no difference then, and is not asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn property_names_too_long_for_a_url_go_into_a_body_where_the_records_are_needed() {
        let fields: Vec<String> = (0..300).map(|n| format!("a_property_with_a_long_name_{n}")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let mut whole = contact("4");
        whole["properties"] = fields.iter().map(|&name| (name.to_owned(), Value::Null)).collect();
        let (script, hubspot) = open(&fields, [all(contacts(&["4"])), all([whole.clone()])]);
        let page = hubspot.everyone(Detail::Records, None).await.unwrap();
        assert!(page.sightings[0].record.is_some());
        let asked = script.asked();
        assert!(asked[0].url.as_str().len() < URL_BUDGET);
        assert_eq!(asked[1].json()["properties"].as_array().unwrap().len(), 303, "no name is cut");

        let (_, hubspot) = open(&fields, [defined(&fields), all(contacts(&["4"]))]);
        let page = hubspot.everyone(Detail::Stamps, None).await.unwrap();
        assert!(page.sightings[0].modified.is_some() && page.sightings[0].record.is_none(), "the stamp is enough");

        let mut merged = contact("4");
        merged["properties"]["hs_merged_object_ids"] = json!("2;3");
        whole["properties"]["hs_merged_object_ids"] = json!("2;3");
        let (script, hubspot) = open(&fields, [defined(&fields), all([merged, contact("5")]), all([whole.clone()])]);
        let page = hubspot.everyone(Detail::Stamps, None).await.unwrap();
        assert_eq!(page.sightings[0].record.as_ref().unwrap().supersedes, ["2", "3"], "its stamp may be the old one");
        assert!(page.sightings[1].record.is_none());
        assert_eq!(script.asked()[1].query("properties").as_deref(), Some(MERGED_AND_STAMP));

        let calculated = fields.iter().map(|name| json!({"name": name, "calculated": true})).collect::<Vec<_>>();
        let (script, hubspot) = open(&fields, [all(calculated), all(contacts(&["4"])), all([whole])]);
        let page = hubspot.everyone(Detail::Stamps, None).await.unwrap();
        assert!(page.sightings[0].modified.is_none() && page.sightings[0].record.is_some());
        assert!(paths(&script.asked())[2].ends_with("/batch/read"));
    }
}
