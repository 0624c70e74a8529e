//! Who is whose primary company, in both directions, by ids. A record without any comes as an error inside a 207, one
//! dead id may spoil a whole batch, and each input's list has pages of its own.
//!
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide>

use std::collections::{HashMap, HashSet};

use ::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::crm::hubspot::{HubSpot, VERSION, wire};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::http::body;

/// Inputs one batch may hold.
pub(super) const INPUTS: usize = 1_000;

/// A direction in which associations are read; the type that marks the primary company has a number for each.
pub(super) struct Direction {
    path: &'static str,
    primary: u64,
}

/// The primary company of contacts.
pub(super) const COMPANY_OF: Direction = Direction { path: "contacts/companies", primary: 1 };
/// The contacts whose primary company these are.
pub(super) const CONTACTS_OF: Direction = Direction { path: "companies/contacts", primary: 2 };

/// A record to ask about, and where its list goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// Its id.
    pub id: String,
    /// The cursor of its next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Input {
    /// From the first page on.
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), after: None }
    }
}

/// One page of a record's associations.
#[derive(Debug, Default)]
pub(super) struct Linked {
    /// Those on the page that are associated as primary.
    pub primary: Vec<String>,
    /// Where the list goes on.
    pub after: Option<String>,
}

impl HubSpot {
    /// One page for each of these records, at most [`INPUTS`] of them. One that HubSpot would not speak of is not among
    /// the answers.
    pub(super) async fn linked(
        &self,
        direction: &Direction,
        inputs: &[Input],
    ) -> Result<HashMap<String, Linked>, Trouble> {
        let mut due = vec![inputs];
        let mut linked = HashMap::new();
        while let Some(inputs) = due.pop() {
            let answer = match self.send(request(&self.base, direction, inputs)).await {
                Ok(response) if response.status().is_success() => {
                    settle(direction, inputs, &body::json(&response)?, &mut linked)?;
                    continue;
                }
                Ok(response) if response.status() == StatusCode::BAD_REQUEST => None,
                Ok(response) => return Err(wire::trouble(&response)),
                Err(trouble @ Trouble::TooLarge(_)) => Some(trouble),
                Err(trouble) => return Err(trouble),
            };
            match (inputs, answer) {
                // One id that died a moment ago spoils its batch: halve until it stands alone, then leave it unsaid.
                ([_], None) => {}
                ([_], Some(too_large)) => return Err(too_large),
                (inputs, _) => due.extend(inputs.chunks(inputs.len().div_ceil(2))),
            }
        }
        Ok(linked)
    }
}

fn request(base: &url::Url, direction: &Direction, inputs: &[Input]) -> crate::http::transport::Request {
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|input| match &input.after {
            Some(after) => json!({"id": input.id, "after": after}),
            None => json!({"id": input.id}),
        })
        .collect();
    let path = format!("/crm/associations/{VERSION}/{}/batch/read", direction.path);
    request::post_json(base, &path, &json!({"inputs": inputs}))
}

/// Books one answer. Its results stand in any order; each input is found by its id, among them or among the errors.
fn settle(
    direction: &Direction,
    inputs: &[Input],
    batch: &wire::Batch<wire::Associated>,
    linked: &mut HashMap<String, Linked>,
) -> Result<(), Trouble> {
    if let Some(error) = batch.errors.iter().find(|error| !error.is_no_association()) {
        return Err(Trouble::Ambiguous(format!("HubSpot could not read some associations ({})", error.category())));
    }
    // An entry that names nobody speaks of all that are missing.
    let without: HashSet<String> = batch.errors.iter().flat_map(wire::ErrorEntry::without_association).collect();
    let unnamed = batch.errors.iter().any(|error| error.without_association().is_empty());
    let answers: HashMap<&str, &wire::Associated> = batch.results.iter().map(|a| (a.from(), a)).collect();
    for input in inputs {
        let page = match answers.get(input.id.as_str()) {
            Some(answer) if answer.after().is_some() && answer.after() == input.after.as_deref() => {
                return Err(Trouble::Protocol("HubSpot sends the same page of associations over and over".into()));
            }
            Some(answer) => Linked {
                primary: answer.primaries(direction.primary).map(str::to_owned).collect(),
                after: answer.after().map(str::to_owned),
            },
            None if unnamed || without.contains(&input.id) => Linked::default(),
            None => return Err(Trouble::Ambiguous("HubSpot left records out of an association read".into())),
        };
        linked.insert(input.id.clone(), page);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::hubspot::rig::{all, linked, linked_on, open, without};
    use crate::crm::script::{answer, too_large};
    use crate::http::transport::Response;

    type Told = Vec<(String, Vec<String>, Option<String>)>;

    async fn told(ids: &[&str], answers: impl IntoIterator<Item = Response>) -> Result<Told, Trouble> {
        let (script, hubspot) = open(&[], answers);
        let inputs: Vec<Input> = ids.iter().map(|id| Input::new(id)).collect();
        let linked = hubspot.linked(&COMPANY_OF, &inputs).await?;
        script.asked();
        let mut told: Told = linked.into_iter().map(|(id, page)| (id, page.primary, page.after)).collect();
        told.sort();
        Ok(told)
    }

    fn page(id: &str, primary: &[&str], after: Option<&str>) -> (String, Vec<String>, Option<String>) {
        (id.to_owned(), primary.iter().map(|&id| id.to_owned()).collect(), after.map(str::to_owned))
    }

    #[tokio::test(start_paused = true)]
    async fn a_207_is_read_by_id_and_nothing_associated_is_an_answer() {
        let body =
            json!({"results": [linked_on("2", &[8], 1, "p2"), linked("1", &[9], 1)], "errors": [without(&["3"])]});
        let expected = [page("1", &["9"], None), page("2", &["8"], Some("p2")), page("3", &[], None)];
        assert_eq!(told(&["1", "2", "3"], [answer(207, body)]).await.unwrap(), expected);
        let unnamed = json!({"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"});
        let body = json!({"results": [linked("1", &[9], 1)], "errors": [unnamed]});
        let expected = [page("1", &["9"], None), page("2", &[], None)];
        assert_eq!(told(&["1", "2"], [answer(207, body)]).await.unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn one_dead_id_does_not_spoil_the_associations_of_others() {
        let invalid = || answer(400, json!({"category": "VALIDATION_ERROR"}));
        let one = all([linked("1", &[9], 1)]);
        assert_eq!(told(&["1", "2"], [invalid(), invalid(), one]).await.unwrap(), [page("1", &["9"], None)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_too_large_is_asked_for_in_halves() {
        let [one, two] = ["1", "2"].map(|id| all([linked(id, &[9], 1)]));
        let expected = [page("1", &["9"], None), page("2", &["9"], None)];
        assert_eq!(told(&["1", "2"], [too_large(), two, one]).await.unwrap(), expected);
        assert_eq!(told(&["1"], [too_large()]).await.unwrap_err().code(), "too_large");
    }

    #[tokio::test(start_paused = true)]
    async fn an_association_read_that_failed_in_part_is_not_taken() {
        for (body, code) in [
            (json!({"results": [], "errors": [{"category": "INTERNAL_ERROR"}]}), "answer_lost"),
            (json!({"results": []}), "answer_lost"),
            (json!({"results": [], "errors": [without(&["2"])]}), "answer_lost"),
        ] {
            assert_eq!(told(&["1"], [answer(207, body)]).await.unwrap_err().code(), code);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_that_leads_back_to_itself_is_refused() {
        let (_, hubspot) = open(&[], [all([linked_on("1", &[], 1, "p")])]);
        let input = Input { after: Some("p".into()), ..Input::new("1") };
        assert_eq!(hubspot.linked(&COMPANY_OF, &[input]).await.unwrap_err().code(), "unexpected_answer");
    }
}
