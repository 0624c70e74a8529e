//! Lists, page by page: where a walk goes on and where it ends. It knows no window and no person.
//!
//! A cursor is a keyset without a snapshot: a row edited meanwhile moves, and is shown twice or by the next walk.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use ::http::StatusCode;

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::place::Place;
use crate::crm::pipedrive::wire::{self, Row};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::transport::Response;

/// API v1 for persons is out of support since August 2026. <https://developers.pipedrive.com/changelog>
pub(super) const PERSONS: &str = "/api/v2/persons";
pub(super) const ORGANIZATIONS: &str = "/api/v2/organizations";

/// What a cursor that Pipedrive will not take may be answered with; that is not documented.
const REFUSED: [StatusCode; 4] =
    [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::GONE, StatusCode::UNPROCESSABLE_ENTITY];

/// Query parameters, frozen for a walk.
pub(super) type Query = Vec<(&'static str, String)>;

/// How many pages a walk over each list had come to when its cursor was refused last.
#[derive(Default)]
pub(super) struct Refused(Mutex<HashMap<&'static str, u32>>);

impl Refused {
    /// Notes that a walk was refused behind so many pages, and whether it had not come as far when that happened before.
    fn got_further(&self, path: &'static str, pages: u32) -> bool {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let further = refused.insert(path, pages).is_none_or(|before| before < pages);
        if !further {
            // The next walk has its chance.
            refused.remove(path);
        }
        further
    }

    /// A walk has come to its end.
    fn forget(&self, path: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }
}

impl Pipedrive {
    pub(super) async fn get(&self, path: &str, query: &Query, cursor: Option<&str>) -> Result<Response, Trouble> {
        let mut pairs: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
        pairs.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.send(request::get(&self.base, path, &pairs)).await
    }

    /// A whole list, to its last page.
    pub(super) async fn all(&self, path: &str, query: Query) -> Result<Vec<Row>, Trouble> {
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        let mut cursor: Option<String> = None;
        loop {
            let (page, next) = open(&self.get(path, &query, cursor.as_deref()).await?)?;
            rows.extend(page);
            match next {
                None => return Ok(rows),
                Some(next) if !seen.insert(next.clone()) => {
                    return Err(Trouble::Protocol("Pipedrive sends the same pages over and over".into()));
                }
                next => cursor = next,
            }
        }
    }

    /// One page of a walk over a list. How long a cursor lives is not documented: one that is refused starts the walk
    /// anew, and what is known already costs nothing the second time. Refused again before it has come any further, it is
    /// not its age, and a walk that always breaks off at one place would go on for ever.
    pub(super) async fn walk(
        &self,
        path: &'static str,
        query: &Query,
        mut place: Option<Place>,
    ) -> Result<(Vec<Row>, Option<Place>), Trouble> {
        let mut response = self.get(path, query, place.as_ref().map(Place::cursor)).await?;
        if let Some(asked) = &place
            && REFUSED.contains(&response.status())
            && self.refused.got_further(path, asked.pages())
        {
            place = None;
            response = self.get(path, query, None).await?;
        }
        let (rows, next) = open(&response)?;
        let next = Place::onward(place, next)?;
        if next.is_none() {
            self.refused.forget(path);
        }
        Ok((rows, next))
    }

    /// Those of a list with these ids, a hundred at most; who does not exist and who is not visible is left out.
    pub(super) async fn with_ids(&self, path: &str, ids: &[&str], mut query: Query) -> Result<Vec<Row>, Trouble> {
        query.push(("ids", ids.join(",")));
        let rows = self.all(path, query).await?;
        for row in &rows {
            if !ids.contains(&wire::id(row)?.as_str()) {
                return Err(Trouble::Protocol("Pipedrive was asked for some ids and sent others".into()));
            }
        }
        Ok(rows)
    }
}

fn open(response: &Response) -> Result<(Vec<Row>, Option<String>), Trouble> {
    if !response.status().is_success() {
        return Err(wire::trouble(response));
    }
    body::json::<wire::List>(response)?.open()
}

#[cfg(test)]
mod tests {
    use crate::crm::pipedrive::rig::{list, open, person};
    use crate::crm::script::{answer, window};
    use crate::sync::source::{ContactSource, Detail};

    #[tokio::test(start_paused = true)]
    async fn pages_that_lead_back_to_an_earlier_one_are_trouble() {
        for circle in [&["c1", "c1"][..], &["c1", "c2", "c3", "c1", "c2", "c3", "c1", "c2"]] {
            let (_, pipedrive) = open(&["name"], circle.iter().map(|cursor| list(vec![person(1)], Some(cursor))));
            let mut resume = None;
            let trouble = loop {
                match pipedrive.changes(window(), resume).await {
                    Ok(page) => resume = page.next,
                    Err(trouble) => break trouble,
                }
            };
            assert!(trouble.to_string().contains("the same pages over and over"), "{trouble}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ids_that_bring_others_are_trouble() {
        let ids = || (1..=20).map(|n: u32| n.to_string()).collect();
        let (_, pipedrive) = open(&["name"], [list(vec![person(1), person(21)], None)]);
        assert_eq!(pipedrive.fetch(ids()).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_read_whole_does_not_go_in_circles() {
        let (script, pipedrive) = open(&["name"], ["c1", "c2", "c1"].map(|cursor| list(vec![], Some(cursor))));
        let ids = (1..=20).map(|n: u32| n.to_string()).collect();
        assert_eq!(pipedrive.fetch(ids).await.unwrap_err().code(), "unexpected_answer");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_that_always_breaks_off_at_one_place_ends() {
        let anew = || {
            [
                list(vec![person(1)], Some("c1")),
                list(vec![person(2)], Some("c2")),
                answer(400, r#"{"success":false,"error":"invalid cursor"}"#),
            ]
        };
        let (script, pipedrive) = open(&["name"], anew().into_iter().chain(anew()));
        let mut resume = None;
        let trouble = loop {
            match pipedrive.changes(window(), resume).await {
                Ok(page) => resume = page.next,
                Err(trouble) => break trouble,
            }
        };
        assert_eq!((trouble.code(), script.asked().len()), ("unexpected_answer", 6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_that_died_starts_the_walk_anew_but_not_for_ever() {
        let refused = |status| answer(status, r#"{"success":false,"error":"invalid cursor"}"#);
        let page = |cursor| list(vec![person(1)], cursor);
        let (anew, again) = ([page(Some("c1")), refused(400), page(Some("c2"))], [refused(404), refused(410)]);
        let script = anew.into_iter().chain(again).chain([page(Some("c3")), page(None)]);
        let (script, pipedrive) = open(&["name"], script);
        let walk = |resume| pipedrive.everyone(Detail::Records, resume);
        let first = walk(None).await.unwrap();
        let anew = walk(first.next).await.unwrap();
        assert_eq!(anew.sightings.len(), 1);
        assert_eq!(walk(anew.next.clone()).await.unwrap_err().code(), "unexpected_answer", "twice in a row");
        let later = walk(anew.next).await.unwrap();
        assert_eq!(walk(later.next).await.unwrap().next, None, "a later pass is not stuck with it");
        let asked: Vec<Option<String>> = script.asked().iter().map(|a| a.query("cursor")).collect();
        let cursors = [None, Some("c1"), None, Some("c2"), Some("c2"), None, Some("c3")];
        assert_eq!(asked, cursors.map(|c| c.map(str::to_owned)));
    }
}
