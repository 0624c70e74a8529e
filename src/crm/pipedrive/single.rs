//! One person or organization by its id: a token where a list costs ten, and the only way to hear whether somebody is
//! gone. A list leaves out what is deleted and what is not visible alike.

use ::http::StatusCode;

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::listing::Query;
use crate::crm::pipedrive::wire::{self, One, Row};
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::transport::Response;

/// Below this many ids it is cheaper to ask for each.
pub(super) const SINGLY: usize = 10;

/// What Pipedrive says of one id.
#[derive(Debug, PartialEq)]
pub(super) enum Single {
    Shown(Row),
    /// It was there, and is no longer.
    Gone,
    /// This user may not see it, or nothing is said of it.
    Hidden,
}

impl Pipedrive {
    /// Those of these that are shown.
    pub(super) async fn singly(&self, list: &str, ids: &[&str], query: &Query) -> Result<Vec<Row>, Trouble> {
        let mut rows = Vec::new();
        for id in ids {
            if let Single::Shown(row) = self.single(list, id, query).await? {
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// The object of this list with this id.
    pub(super) async fn single(&self, list: &str, id: &str, query: &Query) -> Result<Single, Trouble> {
        read(&self.get(&format!("{list}/{id}"), query, None).await?, id)
    }
}

/// What a deleted person's id answers is not documented: itself as a tombstone, 404 or 410, the latter with
/// `success:true`. A 404 that is not Pipedrive's own word (a proxy's page) says nothing of anybody.
fn read(response: &Response, id: &str) -> Result<Single, Trouble> {
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE if body::looks_like_json(response) => return Ok(Single::Gone),
        StatusCode::FORBIDDEN => return Ok(Single::Hidden),
        status if !status.is_success() => return Err(wire::trouble(response)),
        _ => {}
    }
    match body::json::<One>(response)? {
        One { success: Some(false), .. } => Err(Trouble::Protocol("Pipedrive answered 200 and success:false".into())),
        One { data: None, .. } => Ok(Single::Hidden),
        One { data: Some(row), .. } if wire::id(&row)? != id => {
            Err(Trouble::Protocol("Pipedrive was asked for one id and answered with another".into()))
        }
        One { data: Some(row), .. } if wire::is_deleted(&row) => Ok(Single::Gone),
        One { data: Some(row), .. } => Ok(Single::Shown(row)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::script::answer;

    #[test]
    fn an_id_that_is_not_shown_is_gone_or_hidden_or_trouble() {
        let deleted = json!({"success": true, "data": {"id": 7, "is_deleted": true}});
        for (status, body, expected) in [
            (200, json!({"success": true, "data": {"id": 7}}), Ok("shown")),
            (200, json!({"success": true, "data": {"id": "7", "is_deleted": null}}), Ok("shown")),
            (200, deleted, Ok("gone")),
            (404, json!({"success": false, "error": "Person not found"}), Ok("gone")),
            (410, json!({"success": true, "data": {"id": 7}}), Ok("gone")),
            (403, json!({"success": false, "error": "no permission"}), Ok("hidden")),
            (200, json!({"success": true, "data": null}), Ok("hidden")),
            (200, json!({"success": true, "data": {"id": 8}}), Err("unexpected_answer")),
            (200, json!({"success": false, "data": {"id": 7, "is_deleted": true}}), Err("unexpected_answer")),
            (404, json!("<html>no such page</html>"), Err("unexpected_answer")),
            (402, json!({"success": false}), Err("forbidden")),
            (400, json!({"success": false}), Err("unexpected_answer")),
        ] {
            let text = if let Value::String(page) = &body { page.clone() } else { body.to_string() };
            let said = read(&answer(status, text), "7").map_err(|trouble| trouble.code());
            let word = said.map(|said| match said {
                Single::Shown(_) => "shown",
                Single::Gone => "gone",
                Single::Hidden => "hidden",
            });
            assert_eq!(word, expected, "{status} {body}");
        }
    }
}
