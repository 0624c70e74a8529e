//! A window of changes. One that is short is read in one go, whoever was merged or converted together with their
//! survivor. A longer one is read in parts: first who is a person no longer, with their survivors; then who lives; then
//! the people of changed Accounts.
//!
//! Within one go the Leads come last. A conversion that commits meanwhile is one transaction: if its contact was seen,
//! the lead shows as converted. And who has left is read a little further than who lives, because the rows of one
//! transaction may be stamped on both sides of a window's end.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;

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

/// How much further: longer than a transaction takes as a rule, and not beyond now, which is a minute after the end.
const FURTHER: TimeDelta = TimeDelta::minutes(1);

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
        let (object, query, up_to) = match place {
            InWindow::Rest { stamp } => return self.in_one_go(*stamp, hi).await,
            InWindow::Accounts { since, of, after } => {
                return self.touched(since, of, after.as_ref(), hi).await.map(Some);
            }
            // Listed when the place was kept, and no longer.
            InWindow::Leads(_) if !self.objects.leads => return Ok(Some((Page::default(), None))),
            InWindow::Leads(_) => (&self.objects.lead, self.objects.lead.all(), hi + FURTHER),
            InWindow::Left(_) => (contact, contact.left(), hi + FURTHER),
            InWindow::Contacts(_) => (contact, contact.alive(), hi),
        };
        let rows = self.reader.rows(&query.stamped(&place.since(), up_to), LIMIT).await?;
        let after = rows.rows.last().filter(|_| rows.more).map(wire::after).transpose()?;
        // Who lives beyond a shortened end has been left out, and is read from there.
        let after = after.filter(|since| since.stamp < hi || hi == self.window.hi);
        let page = heirs::page(self.reader, self.objects, people(&rows, object, hi)?).await?;
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
            let rows = self.reader.rows(&object.all().stamped(&since, hi + FURTHER), LIMIT).await?;
            if rows.more {
                return Ok(None);
            }
            shown.extend(people(&rows, object, hi)?);
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

/// Those of the rows that lived before `hi`, and all that left.
fn people(rows: &Rows, object: &Object, hi: Timestamp) -> Result<Vec<Shown>, Trouble> {
    let mut people = rows.rows.iter().map(|row| Shown::read(row, &object.columns)).collect::<Result<Vec<_>, _>>()?;
    people.retain(|person| !person.lives() || person.stamp.is_none_or(|stamp| stamp < hi));
    Ok(people)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::Wanted;
    use crate::crm::salesforce::Settings;
    use crate::crm::salesforce::rig::{
        account, account_id, converted, deleted, id, lead, lead_id, logged_in, row, rows, slow, told,
    };
    use crate::crm::script::{Asked, answer, window};
    use crate::sync::source::ContactSource;

    fn of_contacts(_: &mut Settings, _: &mut Wanted) {}

    fn of_everything(settings: &mut Settings, wanted: &mut Wanted) {
        settings.leads = true;
        wanted.fields.insert("Account.Name".to_owned());
    }

    /// What was asked after the login: the object and the text after it.
    fn asked(asked: &[Asked]) -> Vec<(bool, String)> {
        let ask = |asked: &Asked| {
            let soql = asked.soql();
            (asked.url.path().ends_with("/queryAll"), soql.split_once(" FROM ").unwrap().1.to_owned())
        };
        asked.iter().skip(1).map(ask).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_window_is_one_page_in_which_leads_are_read_last() {
        let (script, salesforce) = logged_in(
            of_everything,
            [
                rows([account(1)]),
                rows([row(5)]),
                rows([row(1), row(2), deleted(row(3), Some(id(4)))]),
                rows([converted(lead(1), Some(id(2))), lead(2), deleted(lead(3), None)]),
                rows([row(4)]),
            ],
        );
        let page = salesforce.changes(window(), None).await.unwrap();
        let expected = [
            format!("{} for {}", id(4), id(3)),
            format!("{} for {}", id(2), lead_id(1)),
            id(1),
            lead_id(2),
            format!("{}?", id(5)),
            format!("{} left", lead_id(3)),
        ];
        assert_eq!((told(&page), page.next), (expected.to_vec(), None));
        let asked = asked(&script.asked());
        let objects: Vec<_> = asked.iter().map(|(all, of)| (*all, of.split_once(' ').unwrap().0)).collect();
        assert_eq!(
            objects,
            [(false, "Account"), (false, "Contact"), (true, "Contact"), (true, "Lead"), (true, "Contact")]
        );
        let up_to = |n: usize, hi: &str| {
            let span =
                format!("WHERE SystemModstamp >= 2026-11-02T09:00:00Z AND SystemModstamp < 2026-11-02T{hi}Z ORDER");
            assert!(asked[n].1.contains(&span), "{asked:?}");
        };
        up_to(0, "10:00:00");
        up_to(2, "10:01:00");
        up_to(3, "10:01:00");
    }

    #[tokio::test(start_paused = true)]
    async fn a_conversion_on_both_sides_of_the_end_is_seen_whole_and_who_lives_beyond_it_is_left_to_the_next_window() {
        let at = |mut row: Value, time: &str| {
            row["SystemModstamp"] = json!(format!("2026-11-02T{time}.000+0000"));
            row
        };
        let contacts = || [at(row(1), "09:59:59"), at(row(2), "10:00:01"), at(deleted(row(3), None), "10:00:02")];
        let leads = || [at(converted(lead(1), Some(id(1))), "10:00:00"), at(lead(2), "10:00:00")];
        let whole = [format!("{} for {}", id(1), lead_id(1)), format!("{} left", id(3))];
        let leads_too = |settings: &mut Settings, _: &mut Wanted| settings.leads = true;
        let (_, salesforce) = logged_in(leads_too, [rows(contacts()), rows(leads())]);
        assert_eq!(told(&salesforce.changes(window(), None).await.unwrap()), whole);
        let (script, salesforce) = logged_in(leads_too, [rows(leads()), rows([at(row(1), "09:59:59")])]);
        let part = Resume(r#"{"part":"leads","stamp":"2026-11-02T09:00:00Z"}"#.into());
        assert_eq!(told(&salesforce.changes(window(), Some(part)).await.unwrap()), whole[..1]);
        assert!(script.asked()[1].soql().contains("SystemModstamp < 2026-11-02T10:01:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_tie_larger_than_a_page_is_read_on_by_stamp_and_id_after_who_has_left() {
        let (script, salesforce) = logged_in(
            of_contacts,
            [
                rows((0..LIMIT).map(row)),
                rows([deleted(row(9), Some(id(2)))]),
                rows([row(2)]),
                rows((0..LIMIT).map(row)),
                rows((LIMIT..LIMIT + 5).map(row)),
            ],
        );
        let left = salesforce.changes(window(), None).await.unwrap();
        assert_eq!(told(&left), [format!("{} for {}", id(2), id(9))]);
        let first = salesforce.changes(window(), left.next).await.unwrap();
        assert_eq!(first.sightings.len(), LIMIT);
        let second = salesforce.changes(window(), first.next).await.unwrap();
        assert_eq!((second.sightings.len(), second.next), (5, None));
        let asked = asked(&script.asked());
        assert!(asked[1].1.contains("IsDeleted = true AND SystemModstamp >= 2026-11-02T09:00:00Z AND"), "{asked:?}");
        assert!(!asked[3].0 && asked[3].1.contains("WHERE SystemModstamp >= 2026-11-02T09:00:00Z AND"), "{asked:?}");
        let keyset = format!("(SystemModstamp = 2026-11-02T09:15:41Z AND Id > '{}')", id(LIMIT - 1));
        assert!(asked[4].1.contains(&keyset), "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_fills_one_page_exactly_ends_with_an_empty_one() {
        let full = || rows((0..LIMIT).map(row));
        let (script, salesforce) = logged_in(of_contacts, [full(), rows([]), full(), rows([])]);
        let left = salesforce.changes(window(), None).await.unwrap();
        let first = salesforce.changes(window(), left.next).await.unwrap();
        assert_eq!(salesforce.changes(window(), first.next).await.unwrap(), Page::default());
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_window_is_read_part_after_part() {
        let full = rows((0..LIMIT).map(lead));
        let (script, salesforce) = logged_in(
            of_everything,
            [rows([]), rows([]), full, rows([]), rows([lead(1)]), rows([row(1)]), rows([account(1)]), rows([row(7)])],
        );
        let (mut resume, mut seen) = (None, Vec::new());
        loop {
            let page = salesforce.changes(window(), resume).await.unwrap();
            seen.extend(told(&page));
            resume = page.next;
            if resume.is_none() {
                break;
            }
        }
        assert_eq!(seen, [lead_id(1), id(1), format!("{}?", id(7))]);
        let asked = asked(&script.asked());
        let parts: Vec<_> = asked.iter().skip(3).map(|(all, of)| (*all, of.split_once(" AND").unwrap().0)).collect();
        let from = "SystemModstamp >= 2026-11-02T09:00:00Z";
        assert_eq!(
            parts,
            [
                (true, "Contact WHERE IsDeleted = true"),
                (true, &*format!("Lead WHERE {from}")),
                (false, &*format!("Contact WHERE {from}")),
                (false, &*format!("Account WHERE {from}")),
                (false, "Contact WHERE SystemModstamp < 2026-11-02T10:00:00Z"),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_people_of_a_renamed_account_are_looked_at_though_their_stamps_are_known() {
        let (script, salesforce) = logged_in(
            of_everything,
            [rows([account(1), account(2)]), rows([row(1), row(5)]), rows([row(1)]), rows([])],
        );
        let page = salesforce.changes(window(), None).await.unwrap();
        assert_eq!(told(&page), [format!("{}?", id(1)), format!("{}?", id(5))], "also who changed as well");
        assert!(
            page.sightings.iter().all(|s| s.record.as_ref().unwrap().modified.is_some()),
            "the record keeps its own"
        );
        let asked = asked(&script.asked());
        // Who was made after the window may be a conversion whose lead this window does not show.
        let people = format!(
            "Contact WHERE SystemModstamp < 2026-11-02T10:00:00Z AND AccountId IN ('{}','{}') ORDER BY Id ASC LIMIT 2000",
            account_id(1),
            account_id(2)
        );
        assert_eq!(asked[1], (false, people));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_merged_away_a_moment_after_they_were_touched_is_not_handed_out() {
        let gone = deleted(row(5), Some(id(6)));
        let answers = [rows([account(1)]), rows([row(5), row(6)]), rows([gone]), rows([]), rows([row(6)])];
        let (_, salesforce) = logged_in(of_everything, answers);
        let page = salesforce.changes(window(), None).await.unwrap();
        assert_eq!(told(&page), [format!("{}? for {}", id(6), id(5))]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_of_more_people_than_a_page_is_gone_through_by_their_ids() {
        let people = || rows((0..LIMIT).map(row));
        let (script, salesforce) = logged_in(
            of_everything,
            [
                rows([account(1)]),
                people(),
                rows([]),
                rows([]),
                rows([]),
                rows([account(1)]),
                people(),
                rows([row(LIMIT)]),
                rows([]),
            ],
        );
        let mut resume = None;
        let mut seen = 0;
        loop {
            let page = salesforce.changes(window(), resume).await.unwrap();
            seen += page.sightings.len();
            resume = page.next;
            if resume.is_none() {
                break;
            }
        }
        assert_eq!(seen, LIMIT + 1);
        let asked = asked(&script.asked());
        let account = account_id(1);
        let on = format!("AND Id > '{}' AND AccountId IN ('{account}')", id(LIMIT - 1));
        assert!(asked[7].1.contains(&on), "{asked:?}");
        let beyond = format!("Account WHERE ((SystemModstamp = 2026-11-02T09:15:41Z AND Id > '{account}') OR");
        assert!(asked[8].1.starts_with(&beyond), "{asked:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_too_slow_for_the_server_is_read_in_halves() {
        // The second object is the slow one: both are then read up to the same second.
        let answers =
            [rows([]), rows([row(9)]), slow(), rows([]), rows([row(1)]), rows([]), rows([]), rows([row(2)]), rows([])];
        let (script, salesforce) = logged_in(of_everything, answers);
        let first = salesforce.changes(window(), None).await.unwrap();
        assert_eq!(told(&first), [id(1)]);
        let second = salesforce.changes(window(), first.next).await.unwrap();
        assert_eq!((told(&second), second.next), (vec![id(2)], None));
        let asked = asked(&script.asked());
        let spans = |some: &[(bool, String)], from: &str, ends: [&str; 3]| {
            for ((_, of), end) in some.iter().zip(ends) {
                let span = format!(">= 2026-11-02T{from}Z AND SystemModstamp < 2026-11-02T{end}Z");
                assert!(of.contains(&span), "{of}");
            }
        };
        spans(&asked[3..6], "09:00:00", ["09:30:00", "09:31:00", "09:31:00"]);
        spans(&asked[6..9], "09:30:00", ["10:00:00", "10:01:00", "10:01:00"]);
        let short = Window { lo: window().lo, hi: window().lo + TimeDelta::minutes(1) };
        let (_, salesforce) = logged_in(of_contacts, [slow()]);
        assert_eq!(salesforce.changes(short, None).await.unwrap_err().code(), "answer_lost", "not an empty list");
    }

    #[tokio::test(start_paused = true)]
    async fn who_lives_beyond_a_shortened_end_is_read_from_there() {
        let at = |number: usize, time: &str| {
            let mut lead = lead(number);
            lead["SystemModstamp"] = json!(format!("2026-11-02T{time}.000+0000"));
            lead
        };
        // Halved, the part ends at half past nine; a full page of it reaches a little further.
        let full = (0..LIMIT).map(|n| at(n, if n + 1 < LIMIT { "09:29:59" } else { "09:30:20" }));
        let (script, salesforce) = logged_in(of_everything, [slow(), rows(full), rows([at(LIMIT - 1, "09:30:20")])]);
        let leads = Resume(r#"{"part":"leads","stamp":"2026-11-02T09:00:00Z"}"#.into());
        let first = salesforce.changes(window(), Some(leads)).await.unwrap();
        assert_eq!(first.sightings.len(), LIMIT - 1);
        let second = salesforce.changes(window(), first.next).await.unwrap();
        assert_eq!(told(&second), [lead_id(LIMIT - 1)]);
        assert!(script.asked()[3].soql().contains("SystemModstamp >= 2026-11-02T09:30:00Z AND"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_never_made_of_a_row_without_a_stamp() {
        let mut records: Vec<Value> = (0..LIMIT).map(row).collect();
        records[LIMIT - 1]["SystemModstamp"] = Value::Null;
        let page = answer(200, json!({"totalSize": LIMIT, "done": true, "records": records}));
        let (_, salesforce) = logged_in(of_contacts, [page]);
        let contacts = Resume(r#"{"part":"contacts","stamp":"2026-11-02T09:00:00Z"}"#.into());
        assert_eq!(salesforce.changes(window(), Some(contacts)).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_ends_where_it_began_is_trouble() {
        let full = || rows((0..LIMIT).map(row));
        let (script, salesforce) = logged_in(of_contacts, [full(), full()]);
        let contacts = Resume(r#"{"part":"contacts","stamp":"2026-11-02T09:00:00Z"}"#.into());
        let first = salesforce.changes(window(), Some(contacts)).await.unwrap();
        assert_eq!(salesforce.changes(window(), first.next).await.unwrap_err().code(), "unexpected_answer");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_in_a_part_that_is_no_longer_read_goes_on_with_the_next() {
        let (script, salesforce) = logged_in(of_contacts, [rows([row(1)])]);
        let leads = Resume(r#"{"part":"leads","stamp":"2026-11-02T09:00:00Z"}"#.into());
        let page = salesforce.changes(window(), Some(leads)).await.unwrap();
        let page = salesforce.changes(window(), page.next).await.unwrap();
        assert_eq!((told(&page), page.next), (vec![id(1)], None));
        script.asked();
    }
}
