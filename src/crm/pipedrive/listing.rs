//! Lists, page by page: where a walk goes on and where it ends. It knows no window and no person.
//!
//! A cursor is a keyset without a snapshot: a row edited meanwhile moves, and is shown twice or by the next walk.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use ::http::StatusCode;

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::wire::{self, Row};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::record::Resume;
use crate::http::body;
use crate::http::transport::Response;

/// API v1 for persons is out of support since August 2026. <https://developers.pipedrive.com/changelog>
pub(super) const PERSONS: &str = "/api/v2/persons";

/// Query parameters, frozen for a walk.
pub(super) type Query = Vec<(&'static str, String)>;

impl Pipedrive {
    async fn get(&self, path: &str, query: &Query, cursor: Option<&str>) -> Result<Response, Trouble> {
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
                    return Err(Trouble::Protocol("Pipedrive sends the same page over and over".into()));
                }
                next => cursor = next,
            }
        }
    }

    /// One page of a walk over persons. How long a cursor lives is not documented: one that is refused starts the walk
    /// anew, and what is known already costs nothing the second time. Refused twice in a row, it is not its age.
    pub(super) async fn walk(
        &self,
        query: &Query,
        resume: Option<Resume>,
    ) -> Result<(Vec<Row>, Option<Resume>), Trouble> {
        let mut cursor = resume.map(|resume| resume.0);
        let mut response = self.get(PERSONS, query, cursor.as_deref()).await?;
        if cursor.is_some() {
            let refused = response.status() == StatusCode::BAD_REQUEST;
            if self.began_anew.swap(refused, Ordering::Relaxed) && refused {
                self.began_anew.store(false, Ordering::Relaxed);
            } else if refused {
                cursor = None;
                response = self.get(PERSONS, query, None).await?;
            }
        }
        let (rows, next) = open(&response)?;
        Ok((rows, onward(cursor.as_deref(), next)?))
    }
}

fn open(response: &Response) -> Result<(Vec<Row>, Option<String>), Trouble> {
    if !response.status().is_success() {
        return Err(wire::trouble(response));
    }
    body::json::<wire::List>(response)?.open()
}

/// Where a walk goes on after the page asked for with `asked`, which said `next`.
fn onward(asked: Option<&str>, next: Option<String>) -> Result<Option<Resume>, Trouble> {
    if next.is_some() && next.as_deref() == asked {
        return Err(Trouble::Protocol("Pipedrive sends the same page over and over".into()));
    }
    Ok(next.map(Resume))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::pipedrive::rig::{list, open, person};
    use crate::crm::script::answer;
    use crate::sync::source::{ContactSource, Detail};

    #[test]
    fn a_cursor_that_repeats_is_trouble() {
        for (asked, next, expected) in [
            (None, None, Some(None)),
            (Some("a"), None, Some(None)),
            (None, Some("a"), Some(Some("a"))),
            (Some("a"), Some("b"), Some(Some("b"))),
            (Some("a"), Some("a"), None),
        ] {
            let onward = onward(asked, next.map(str::to_owned)).ok();
            assert_eq!(onward.as_ref().map(|r| r.as_ref().map(|r| r.0.as_str())), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_names_itself_as_the_next_is_trouble() {
        let (_, pipedrive) = open(&["name"], [list(vec![person(1)], Some("c1")), list(vec![person(1)], Some("c1"))]);
        let first = pipedrive.everyone(Detail::Records, None).await.unwrap();
        assert_eq!(pipedrive.everyone(Detail::Records, first.next).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_read_whole_does_not_go_in_circles() {
        let (script, pipedrive) = open(&["name"], ["c1", "c2", "c1"].map(|cursor| list(vec![], Some(cursor))));
        assert_eq!(pipedrive.fetch(vec!["1".into()]).await.unwrap_err().code(), "unexpected_answer");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_that_died_starts_the_walk_anew_but_not_for_ever() {
        let refused = || answer(400, r#"{"success":false,"error":"invalid cursor"}"#);
        let page = |cursor| list(vec![person(1)], cursor);
        let script =
            [page(Some("c1")), refused(), page(Some("c2")), refused(), refused(), page(Some("c3")), page(None)];
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
