//! The fields of each contact's primary company, for mappings that read `company.*`. Associations come without company
//! fields, so the company is read by its id.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use crate::crm::hubspot::associations::{COMPANY_OF, INPUTS, Input, Linked};
use crate::crm::hubspot::wire::Object;
use crate::crm::hubspot::{BATCH, HubSpot};
use crate::domain::failure::Trouble;
use crate::domain::record::Record;

/// The property that holds a company's own id.
const ID: &str = "hs_object_id";

/// Contact id to its primary company: `None` where it has none. A contact HubSpot would not speak of is not in it.
type Primaries = HashMap<String, Option<String>>;

impl HubSpot {
    /// Adds `company.*` to the records: null without a primary company, absent where HubSpot does not show one. Its id is
    /// known also then, from the association.
    pub(super) async fn attach_companies(&self, records: &mut [Record]) -> Result<(), Trouble> {
        if self.wanted.company.is_empty() || records.is_empty() {
            return Ok(());
        }
        let primaries = self.primaries(records).await?;
        let companies = self.companies(primaries.values().flatten().map(String::as_str).collect()).await?;
        for record in records {
            let Some(primary) = primaries.get(&record.id) else { continue };
            for property in &self.wanted.company {
                let value = match primary {
                    None => Some(Value::Null),
                    Some(id) if property == ID => Some(Value::from(id.as_str())),
                    Some(id) => companies.get(id).and_then(|company| company.property(property)),
                };
                if let Some(value) = value {
                    record.fields.insert(format!("company.{property}"), value);
                }
            }
        }
        Ok(())
    }

    async fn companies(&self, ids: BTreeSet<&str>) -> Result<HashMap<String, Object>, Trouble> {
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
        Ok(companies)
    }

    /// Page after page for those that have not shown a primary company yet.
    async fn primaries(&self, records: &[Record]) -> Result<Primaries, Trouble> {
        let mut due: Vec<Input> = records.iter().map(|record| Input::new(&record.id)).collect();
        let mut primaries = Primaries::new();
        while !due.is_empty() {
            let rest = due.split_off(due.len().min(INPUTS));
            let mut linked = self.linked(&COMPANY_OF, &due).await?;
            let mut goes_on = Vec::new();
            for Input { id, .. } in due {
                match linked.remove(&id) {
                    None => {}
                    Some(Linked { primary, after: Some(after) }) if primary.is_empty() => {
                        goes_on.push(Input { after: Some(after), id });
                    }
                    Some(Linked { primary, .. }) => {
                        primaries.insert(id, primary.into_iter().next());
                    }
                }
            }
            due = rest;
            due.extend(goes_on);
        }
        Ok(primaries)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::hubspot::rig::{all, contacts, defined, linked, linked_on, open, texts, without};
    use crate::crm::script::answer;
    use crate::sync::source::ContactSource;

    fn acme() -> Value {
        json!({"id": "9", "properties": {"name": "Acme"}})
    }

    #[tokio::test(start_paused = true)]
    async fn companies_are_attached_by_id_and_only_if_asked_for() {
        let other = json!([{"toObjectId": 8, "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 279}]}]);
        let lists = json!([
            {"from": {"id": "2"}, "to": other, "paging": {"next": {"after": "p2"}}},
            linked("4", &[10], 1),
            linked("1", &[9], 1)]);
        let gone = json!({"category": "OBJECT_NOT_FOUND", "context": {"ids": ["10"]}});
        let (script, hubspot) = open(
            &["email", "company.name"],
            [
                all(contacts(&["1", "2", "3", "4"])),
                answer(207, json!({"errors": [without(&["3"])], "results": lists})),
                all([linked("2", &[9], 1)]),
                answer(207, json!({"results": [acme()], "errors": [gone]})),
            ],
        );
        let records = hubspot.fetch(texts(&["1", "2", "3", "4"])).await.unwrap();
        let companies: Vec<Option<&Value>> = records.iter().map(|r| r.fields.get("company.name")).collect();
        assert_eq!(companies, [Some(&json!("Acme")), Some(&json!("Acme")), Some(&Value::Null), None]);
        let asked = script.asked();
        assert_eq!(asked[1].url.path(), "/crm/associations/2026-03/contacts/companies/batch/read");
        assert_eq!(asked[2].json()["inputs"], json!([{"id": "2", "after": "p2"}]));
        assert_eq!(asked[3].json(), json!({"inputs": [{"id": "10"}, {"id": "9"}], "properties": ["name"]}));
    }

    /// Who works for a company that the token may not see has not left it.
    #[tokio::test(start_paused = true)]
    async fn a_company_that_is_not_shown_is_known_by_its_id() {
        let gone = json!({"category": "OBJECT_NOT_FOUND", "context": {"ids": ["9"]}});
        let (_, hubspot) = open(
            &["company.name", "company.hs_object_id"],
            [
                all(contacts(&["1", "2"])),
                answer(207, json!({"errors": [without(&["2"])], "results": [linked("1", &[9], 1)]})),
                answer(207, json!({"results": [], "errors": [gone]})),
            ],
        );
        let records = hubspot.fetch(texts(&["1", "2"])).await.unwrap();
        let fields: Vec<_> = records.into_iter().map(|record| Value::Object(record.fields)).collect();
        let nobodys = json!({"company.hs_object_id": null, "company.name": null});
        assert_eq!(fields, [json!({"company.hs_object_id": "9"}), nobodys]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_goes_on_behind_the_primary_company_is_left() {
        let (_, hubspot) =
            open(&["company.name"], [all(contacts(&["1"])), all([linked_on("1", &[9], 1, "p2")]), all([acme()])]);
        assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap()[0].fields["company.name"], "Acme");
    }

    #[tokio::test(start_paused = true)]
    async fn a_company_that_could_not_be_read_is_not_taken_for_none() {
        let failed = answer(207, json!({"results": [], "errors": [{"category": "INTERNAL_ERROR"}]}));
        let (_, hubspot) = open(&["company.name"], [all(contacts(&["1"])), all([linked("1", &[9], 1)]), failed]);
        assert_eq!(hubspot.fetch(texts(&["1"])).await.unwrap_err().code(), "answer_lost");
    }

    #[tokio::test(start_paused = true)]
    async fn a_property_that_companies_do_not_have_is_named() {
        let unnamed = json!({"id": "9", "properties": {}});
        let answers = [all(contacts(&["1"])), all([linked("1", &[9], 1)]), all([unnamed]), defined(&["domain"])];
        let (_, hubspot) = open(&["company.name"], answers.into_iter().chain([defined(&[])]));
        let trouble = hubspot.fetch(texts(&["1"])).await.unwrap_err();
        assert!(trouble.to_string().contains("the property name, which companies"), "{trouble}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_contacts_are_asked_about_at_once() {
        let numbers: Vec<String> = (1_000..2_001).map(|n: u32| n.to_string()).collect();
        let of: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let read = of.chunks(BATCH).map(|chunk| all(contacts(chunk)));
        let associated = of.chunks(1_000).map(|chunk| answer(207, json!({"results": [], "errors": [without(chunk)]})));
        let (script, hubspot) = open(&["company.name"], read.chain(associated).collect::<Vec<_>>());
        assert_eq!(hubspot.fetch(numbers.clone()).await.unwrap().len(), 1_001);
        assert_eq!(script.asked()[11].json()["inputs"].as_array().unwrap().len(), 1_000);
    }
}
