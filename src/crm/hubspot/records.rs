//! Whole contacts by id. A batch read answers in any order, under other ids after a merge, and leaves out what it does
//! not know; here each asked id gets its answer. It knows no window and no cursor.
//!
//! <https://developers.hubspot.com/docs/api-reference/latest/crm/using-object-apis>

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ::http::StatusCode;
use serde_json::json;

use crate::crm::hubspot::{BATCH, HubSpot, wire};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::record::Record;
use crate::http::body;

impl HubSpot {
    /// The contacts with these ids, companies included if the mapping reads them. An id that a merge has replaced
    /// brings its survivor, which then supersedes it.
    pub(super) async fn records(&self, ids: &[String]) -> Result<Vec<Record>, Trouble> {
        let ids: BTreeSet<&str> = ids.iter().map(String::as_str).filter(|id| wire::is_id(id)).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let mut records = BTreeMap::new();
        for chunk in ids.chunks(BATCH) {
            self.read(chunk, &mut records).await?;
        }
        let mut records: Vec<Record> = records.into_values().collect();
        self.attach_companies(&mut records).await?;
        Ok(records)
    }

    async fn read(&self, ids: &[&str], records: &mut BTreeMap<String, Record>) -> Result<(), Trouble> {
        let missing = self.read_batch(ids, records).await?;
        // Neither there nor reported missing: a merge has swallowed the id. If no survivor in the batch claims it, it
        // still shows singly, under the survivor's id.
        let claimed: HashSet<String> = records.values().flat_map(|record| record.supersedes.iter().cloned()).collect();
        let mut survivors = BTreeMap::new();
        for id in missing.into_iter().filter(|id| !claimed.contains(*id)) {
            if let Some(survivor) = self.current_id(id).await? {
                survivors.insert(id, survivor);
            }
        }
        let unread: BTreeSet<&str> =
            survivors.values().map(String::as_str).filter(|id| !records.contains_key(*id)).collect();
        let unread: Vec<&str> = unread.into_iter().collect();
        if !unread.is_empty() && !self.read_batch(&unread, records).await?.is_empty() {
            return Err(Trouble::Ambiguous("HubSpot shows a contact singly and leaves it out of a batch".into()));
        }
        for (id, survivor) in survivors {
            if let Some(record) = records.get_mut(&survivor)
                && survivor != id
                && !record.supersedes.iter().any(|loser| loser == id)
            {
                record.supersedes.push(id.to_owned());
            }
        }
        Ok(())
    }

    /// Reads one batch and returns the ids it did not account for.
    async fn read_batch<'a>(
        &self,
        ids: &[&'a str],
        records: &mut BTreeMap<String, Record>,
    ) -> Result<Vec<&'a str>, Trouble> {
        let batch: wire::Batch<wire::Object> = self.batch("contacts", ids, &self.wanted.sent).await?;
        let not_found: HashSet<String> = batch.errors.iter().flat_map(wire::ErrorEntry::not_found).collect();
        self.demand("contacts", &batch.results, &self.wanted.contact).await?;
        for object in batch.results.iter().filter(|object| !object.archived) {
            records.insert(object.id.clone(), object.record(&self.wanted.contact));
        }
        let returned: HashSet<&str> = batch.results.iter().map(|object| object.id.as_str()).collect();
        Ok(ids.iter().copied().filter(|id| !returned.contains(id) && !not_found.contains(*id)).collect())
    }

    /// A batch read of contacts or companies, at most [`BATCH`] ids.
    pub(super) async fn batch(
        &self,
        objects: &str,
        ids: &[&str],
        properties: &[String],
    ) -> Result<wire::Batch<wire::Object>, Trouble> {
        let inputs: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
        let path = format!("/crm/objects/{}/{objects}/batch/read", super::VERSION);
        let body = json!({"inputs": inputs, "properties": properties});
        self.ask(request::post_json(&self.base, &path, &body)).await
    }

    /// The id under which HubSpot shows this contact now; `None` if it shows none.
    async fn current_id(&self, id: &str) -> Result<Option<String>, Trouble> {
        let path = format!("/crm/objects/{}/contacts/{id}", super::VERSION);
        let response = self.send(request::get(&self.base, &path, &[("properties", "hs_object_id")])).await?;
        match response.status() {
            // A 404 in HTML comes from something in front of HubSpot, and must never look like somebody who left.
            StatusCode::NOT_FOUND if body::looks_like_json(&response) => Ok(None),
            status if status.is_success() => Ok(Some(body::json::<wire::Object>(&response)?.id)),
            _ => Err(wire::trouble(&response)),
        }
    }
}
