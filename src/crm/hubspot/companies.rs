//! The primary company of each contact, for mappings that read `company.*`. Associations come without company fields, a
//! contact without a company comes as an error inside a 207, and one dead id may spoil a whole batch.
//!
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide>

use std::collections::{BTreeSet, HashMap, HashSet};

use ::http::StatusCode;
use serde_json::{Value, json};

use crate::crm::hubspot::{BATCH, HubSpot, VERSION, wire};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::record::Record;
use crate::http::body;

/// Inputs one association batch may hold.
const ASSOCIATIONS: usize = 1_000;

/// A contact to ask about, and where its list of companies goes on.
#[derive(Debug, Clone)]
struct Input {
    contact: String,
    after: Option<String>,
}

/// Contact id to its primary company: `None` where it has none. A contact HubSpot would not speak of is not in it.
type Primaries = HashMap<String, Option<String>>;

impl HubSpot {
    /// Adds `company.*` to the records: null without a primary company, absent where HubSpot does not show one.
    pub(super) async fn attach_companies(&self, records: &mut [Record]) -> Result<(), Trouble> {
        if self.wanted.company.is_empty() || records.is_empty() {
            return Ok(());
        }
        let primaries = self.primaries(records).await?;
        let ids: BTreeSet<&str> = primaries.values().flatten().map(String::as_str).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut companies = HashMap::new();
        for chunk in ids.chunks(BATCH) {
            let batch = self.batch("companies", chunk, &self.wanted.company).await?;
            // One that is gone or hidden is left unsaid; one that could not be read now must not pass for it.
            if let Some(error) = batch.errors.iter().find(|error| error.category() != "OBJECT_NOT_FOUND") {
                return Err(Trouble::Ambiguous(format!(
                    "HubSpot could not read some companies ({})",
                    error.category()
                )));
            }
            self.demand("companies", &batch.results, &self.wanted.company).await?;
            companies.extend(batch.results.into_iter().map(|company| (company.id.clone(), company)));
        }
        for record in records {
            let Some(primary) = primaries.get(&record.id) else { continue };
            let company = primary.as_ref().map(|id| companies.get(id));
            for property in &self.wanted.company {
                let value = match company {
                    None => Some(Value::Null),
                    Some(shown) => shown.and_then(|company| company.property(property)),
                };
                if let Some(value) = value {
                    record.fields.insert(format!("company.{property}"), value);
                }
            }
        }
        Ok(())
    }

    async fn primaries(&self, records: &[Record]) -> Result<Primaries, Trouble> {
        let inputs: Vec<Input> = records.iter().map(|r| Input { contact: r.id.clone(), after: None }).collect();
        let mut due: Vec<Vec<Input>> = inputs.chunks(ASSOCIATIONS).map(<[Input]>::to_vec).collect();
        let mut primaries = Primaries::new();
        while let Some(mut inputs) = due.pop() {
            let response = self.send(association_request(&self.base, &inputs)).await?;
            match response.status() {
                status if status.is_success() => {
                    let more = settle(&inputs, &body::json(&response)?, &mut primaries)?;
                    if !more.is_empty() {
                        due.push(more);
                    }
                }
                // One id that died a moment ago spoils its batch: halve until it stands alone, then leave it unsaid.
                StatusCode::BAD_REQUEST if inputs.len() > 1 => {
                    let second = inputs.split_off(inputs.len() / 2);
                    due.extend([inputs, second]);
                }
                StatusCode::BAD_REQUEST => {}
                _ => return Err(wire::trouble(&response)),
            }
        }
        Ok(primaries)
    }
}

fn association_request(base: &url::Url, inputs: &[Input]) -> crate::http::transport::Request {
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|input| match &input.after {
            Some(after) => json!({"id": input.contact, "after": after}),
            None => json!({"id": input.contact}),
        })
        .collect();
    let path = format!("/crm/associations/{VERSION}/contacts/companies/batch/read");
    request::post_json(base, &path, &json!({"inputs": inputs}))
}

/// Books one answer, and returns the contacts whose lists go on and have not shown a primary company yet.
fn settle(
    inputs: &[Input],
    batch: &wire::Batch<wire::Associated>,
    primaries: &mut Primaries,
) -> Result<Vec<Input>, Trouble> {
    if let Some(error) = batch.errors.iter().find(|error| !error.is_no_association()) {
        return Err(Trouble::Ambiguous(format!("HubSpot could not read some associations ({})", error.category())));
    }
    // An entry that names nobody speaks of all that are missing.
    let without: HashSet<String> = batch.errors.iter().flat_map(wire::ErrorEntry::without_association).collect();
    let unnamed = batch.errors.iter().any(|error| error.without_association().is_empty());
    let answers: HashMap<&str, &wire::Associated> = batch.results.iter().map(|a| (a.contact(), a)).collect();
    let mut more = Vec::new();
    for input in inputs {
        let answer = answers.get(input.contact.as_str());
        match answer.map(|answer| (answer.primary(), answer.after())) {
            Some((Some(primary), _)) => {
                primaries.insert(input.contact.clone(), Some(primary.to_owned()));
            }
            Some((None, Some(after))) if input.after.as_deref() == Some(after) => {
                return Err(Trouble::Protocol("HubSpot sends the same page of associations over and over".into()));
            }
            Some((None, Some(after))) => {
                more.push(Input { contact: input.contact.clone(), after: Some(after.to_owned()) });
            }
            Some((None, None)) => {
                primaries.insert(input.contact.clone(), None);
            }
            None if unnamed || without.contains(&input.contact) => {
                primaries.insert(input.contact.clone(), None);
            }
            None => return Err(Trouble::Ambiguous("HubSpot left contacts out of an association read".into())),
        }
    }
    Ok(more)
}
