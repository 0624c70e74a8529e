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

/// The longest chain of merges that is followed at once: each link is an answer that the next merge has overtaken.
const MERGES: usize = 5;

/// Contacts that are to be read, each with those it is known to have replaced.
type Heirs = BTreeMap<String, BTreeSet<String>>;

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

    /// Reads a batch, and who its ids have become: one that is not there may have been swallowed by a merge. What a batch
    /// says of such an id, if anything, nobody documents: not even its word that there is none is taken. If no survivor at
    /// hand names it, it is asked for singly, which shows the survivor; that one may have been merged again.
    async fn read(&self, ids: &[&str], records: &mut BTreeMap<String, Record>) -> Result<(), Trouble> {
        let silent = self.read_batch(ids, records).await?;
        let mut due: Heirs = silent.into_iter().map(|id| (id.to_owned(), BTreeSet::new())).collect();
        let mut followed = 0;
        while !due.is_empty() {
            followed += 1;
            let mut heirs = self.heirs(&due, records).await?;
            let unread: Vec<String> = heirs.keys().filter(|id| !records.contains_key(*id)).cloned().collect();
            let unread: Vec<&str> = unread.iter().map(String::as_str).collect();
            let silent = if unread.is_empty() { unread } else { self.read_batch(&unread, records).await? };
            if followed > MERGES || silent.iter().any(|id| due.contains_key(*id)) {
                let cause = "HubSpot shows a contact singly and leaves it out of a batch".to_owned();
                return Err(Trouble::Ambiguous(cause));
            }
            due = silent.into_iter().filter_map(|id| heirs.remove_entry(id)).collect();
            for (id, losers) in heirs {
                records.get_mut(&id).into_iter().for_each(|record| supersede(record, &losers));
            }
        }
        Ok(())
    }

    /// Under which ids these are shown now, those left out that are not shown, or that a record at hand names as its own.
    async fn heirs(&self, due: &Heirs, records: &mut BTreeMap<String, Record>) -> Result<Heirs, Trouble> {
        let mut heirs = Heirs::new();
        for (id, losers) in due {
            if let Some(record) = records.values_mut().find(|record| record.supersedes.contains(id)) {
                supersede(record, losers);
            } else if let Some(heir) = self.current_id(id).await? {
                let replaced = Some(id).filter(|id| **id != heir);
                heirs.entry(heir).or_default().extend(losers.iter().chain(replaced).cloned());
            }
        }
        Ok(heirs)
    }

    /// Reads one batch and returns the ids under which it showed nobody.
    async fn read_batch<'a>(
        &self,
        ids: &[&'a str],
        records: &mut BTreeMap<String, Record>,
    ) -> Result<Vec<&'a str>, Trouble> {
        let batch: wire::Batch<wire::Object> = self.batch("contacts", ids, &self.wanted.sent).await?;
        self.demand("contacts", &batch.results, &self.wanted.contact).await?;
        for object in batch.results.iter().filter(|object| !object.archived) {
            records.insert(object.id.clone(), object.record(&self.wanted.contact));
        }
        let returned: HashSet<&str> = batch.results.iter().map(|object| object.id.as_str()).collect();
        Ok(ids.iter().copied().filter(|id| !returned.contains(id)).collect())
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
    pub(super) async fn current_id(&self, id: &str) -> Result<Option<String>, Trouble> {
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

fn supersede(record: &mut Record, losers: &BTreeSet<String>) {
    let new: Vec<String> = losers.iter().filter(|loser| !record.supersedes.contains(loser)).cloned().collect();
    record.supersedes.extend(new);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::hubspot::rig::{all, binned, contact, contacts, ids, open, paths, texts};
    use crate::crm::script::answer;
    use crate::sync::source::ContactSource;

    /// A survivor that names whom it has replaced.
    fn naming(id: &str, losers: &str) -> serde_json::Value {
        let mut contact = contact(id);
        contact["properties"]["hs_merged_object_ids"] = json!(losers);
        contact
    }

    fn nobody() -> crate::http::transport::Response {
        answer(404, json!({"category": "OBJECT_NOT_FOUND"}))
    }

    #[tokio::test(start_paused = true)]
    async fn a_merged_id_that_a_batch_calls_missing_brings_its_survivor_all_the_same() {
        let error = json!({"category": "OBJECT_NOT_FOUND", "context": {"ids": ["1", "2"]}});
        let missing = answer(207, json!({"results": [], "errors": [error]}));
        let (_, hubspot) =
            open(&["email"], [missing, answer(200, json!({"id": "90"})), nobody(), all([contact("90")])]);
        let records = hubspot.fetch(texts(&["1", "2"])).await.unwrap();
        assert_eq!((ids(&records), &records[0].supersedes), (vec!["90"], &texts(&["1"])));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_the_recycle_bin_is_not_read() {
        let (_, hubspot) = open(&["email"], [all([contact("4"), binned("5")])]);
        assert_eq!(ids(&hubspot.fetch(texts(&["4", "5"])).await.unwrap()), ["4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_contact_that_a_batch_keeps_leaving_out_is_not_taken_for_gone() {
        let (_, hubspot) = open(&["email"], [all([]), answer(200, json!({"id": "1"})), all([])]);
        assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap_err().code(), "answer_lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_207_brings_what_is_there_and_leaves_out_what_is_not() {
        let error = json!({"category": "OBJECT_NOT_FOUND", "context": {"ids": ["3"]}});
        let (script, hubspot) = open(
            &["email"],
            [answer(207, json!({"results": contacts(&["2", "1"]), "numErrors": 1, "errors": [error]})), nobody()],
        );
        let records = hubspot.fetch(texts(&["1", "2", "2", "3", "x"])).await.unwrap();
        let emails: Vec<_> =
            records.iter().map(|record| (record.id.as_str(), record.fields["email"].clone())).collect();
        let own = |id: &'static str| (id, json!(format!("{id}@example.com")));
        assert_eq!(emails, [own("1"), own("2")], "by id, not by place");
        let asked = script.asked();
        assert_eq!(asked[0].json()["inputs"], json!([{"id": "1"}, {"id": "2"}, {"id": "3"}]));
        assert!(!asked[0].body.contains("associations"), "a batch read ignores them");
        assert!(!asked[0].body.contains("propertiesWithHistory"), "pages would be halved");
    }

    #[tokio::test(start_paused = true)]
    async fn batches_hold_a_hundred_ids() {
        let numbers: Vec<String> = (1_000..1_150).map(|n: u32| n.to_string()).collect();
        let of: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let (script, hubspot) = open(&["email"], [all(contacts(&of[..100])), all(contacts(&of[100..]))]);
        assert_eq!(hubspot.fetch(numbers.clone()).await.unwrap().len(), 150);
        assert_eq!(script.asked()[0].json()["inputs"].as_array().unwrap().len(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_404_of_something_in_between_is_nobodys_absence() {
        for (body, known) in [("<html>", false), ("", false), (r#"{"category":"OBJECT_NOT_FOUND"}"#, true)] {
            let (_, hubspot) = open(&["email"], [all([]), answer(404, body)]);
            let fetched = hubspot.fetch(texts(&["1"])).await;
            assert_eq!(fetched.is_ok_and(|records| records.is_empty()), known, "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_merged_id_brings_its_survivor() {
        // The batch shows the survivors of 5 and 1 under new ids, one of which names its loser, and is silent about 2
        // and 3.
        let (script, hubspot) = open(
            &["email"],
            [
                all([naming("89", "5;6"), contact("90")]),
                answer(200, json!({"id": "90"})),
                answer(200, json!({"id": "91"})),
                answer(404, json!({"category": "OBJECT_NOT_FOUND"})),
                all(contacts(&["91"])),
            ],
        );
        let records = hubspot.fetch(texts(&["1", "2", "3", "5"])).await.unwrap();
        assert_eq!(ids(&records), ["89", "90", "91"]);
        let losers: Vec<&[String]> = records.iter().map(|r| r.supersedes.as_slice()).collect();
        assert_eq!(losers, [&["5", "6"][..], &["1"], &["2"]]);
        assert_eq!(script.asked()[1].url.path(), "/crm/objects/2026-03/contacts/1");
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_of_merges_is_followed_to_its_end_and_every_link_is_named() {
        // 1 became 90, which became 95 a moment ago; 2 became 95 as well, which names the last merge alone.
        let (script, hubspot) = open(
            &["email"],
            [
                all([]),
                answer(200, json!({"id": "90"})),
                answer(200, json!({"id": "95"})),
                all([naming("95", "2;93")]),
                answer(200, json!({"id": "95"})),
            ],
        );
        let records = hubspot.fetch(texts(&["1", "2"])).await.unwrap();
        assert_eq!(ids(&records), ["95"]);
        assert_eq!(records[0].supersedes, ["2", "93", "1", "90"]);
        assert_eq!(paths(&script.asked())[4], "/crm/objects/2026-03/contacts/90");
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_the_survivor_names_hands_on_who_led_to_it() {
        let (_, hubspot) = open(
            &["email"],
            [all([]), answer(200, json!({"id": "90"})), answer(200, json!({"id": "95"})), all([naming("95", "90;93")])],
        );
        let records = hubspot.fetch(texts(&["1", "2"])).await.unwrap();
        assert_eq!(records[0].supersedes, ["90", "93", "2", "1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn merges_without_end_are_not_followed_for_ever() {
        let chain = (0..20).flat_map(|link| [all([]), answer(200, json!({"id": 100 + link}))]);
        let (_, hubspot) = open(&["email"], chain);
        assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap_err().code(), "answer_lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_survivor_in_the_recycle_bin_brings_nobody() {
        let (_, hubspot) = open(&["email"], [all([]), answer(200, json!({"id": "90"})), all([binned("90")])]);
        assert!(hubspot.fetch(texts(&["1"])).await.unwrap().is_empty());
    }
}
