//! The field of a Contact or Lead that holds Propstreet's id: read first, written only where it differs, each row's own
//! answer believed and no other. A value that stands is not written again, because a write stamps the record, fires the
//! org's automation and comes back in the next poll.
//!
//! <https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections-update.html>

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::crm::salesforce::connection::{Connection, DATA};
use crate::crm::salesforce::describe::{Describe, Shape, Shapes};
use crate::crm::salesforce::error::{self, ApiError};
use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::query::Query;
use crate::crm::salesforce::reader::Reader;
use crate::crm::salesforce::wire::{Row, Shown};
use crate::domain::failure::Trouble;
use crate::domain::identity::salesforce_id;
use crate::domain::record::{WriteBack, WrittenBack};
use crate::domain::redact::redact;
use crate::http::body;
use crate::sync::source::PropstreetIdField;

/// The most records one call takes. Their ids also fit one query's URI.
const AT_ONCE: usize = 200;

/// Codes of a row that is not there any more, or is no person of its own. The record was seen a moment before, so an id
/// that leads nowhere has lost it.
const GONE: [&str; 4] =
    ["ENTITY_IS_DELETED", "NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY", "CANNOT_UPDATE_CONVERTED_LEAD"];

/// Codes of what passes by itself.
const BUSY: [&str; 4] = [
    "UNABLE_TO_LOCK_ROW",
    "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE",
    "SERVER_UNAVAILABLE",
    "REQUEST_LIMIT_EXCEEDED",
];

/// The way to write it.
pub(super) struct Writing {
    reader: Reader,
    describe: Arc<Describe>,
    field: String,
}

/// A value that differs, and where it goes.
struct Due {
    /// Its place among what was asked.
    index: usize,
    object: &'static str,
    id: String,
    field: String,
    value: String,
}

impl Writing {
    /// Writes this field, by its API name on Contact.
    pub(super) fn new(connection: Connection, describe: Arc<Describe>, field: String) -> Self {
        Self { reader: Reader::new(connection, AT_ONCE), describe, field }
    }

    async fn write_all(&self, links: &[WriteBack]) -> Result<Vec<WrittenBack>, Trouble> {
        let mut outcomes = Vec::with_capacity(links.len());
        for links in links.chunks(AT_ONCE) {
            match self.write_some(links).await {
                Ok(some) => outcomes.extend(some),
                Err(trouble) => {
                    // The field may have gone since it was described.
                    if matches!(trouble, Trouble::Forbidden(_)) {
                        self.describe.forget().await;
                    }
                    return Err(trouble);
                }
            }
        }
        Ok(outcomes)
    }

    async fn write_some(&self, links: &[WriteBack]) -> Result<Vec<WrittenBack>, Trouble> {
        let mut outcomes: Vec<Option<WrittenBack>> = vec![None; links.len()];
        let mut due = Vec::new();
        let shapes = self.describe.shapes().await?;
        for (object, prefix, shape) in
            [("Contact", "003", Some(&shapes.contact)), ("Lead", "00Q", shapes.lead.as_ref())]
        {
            let is_here = |id: &str| id.starts_with(prefix) && salesforce_id(id).as_deref() == Some(id);
            let here: Vec<usize> = (0..links.len()).filter(|&index| is_here(&links[index].id)).collect();
            let Some(shape) = shape.filter(|shape| shape.shows(&self.field)) else {
                let why = format!("{object} has no field {}, or hides it from the integration user", self.field);
                here.into_iter().for_each(|index| outcomes[index] = Some(WrittenBack::Refused(why.clone())));
                continue;
            };
            let rows = self.rows(object, shape, here.iter().map(|&index| links[index].id.as_str())).await?;
            for index in here {
                let link = &links[index];
                match self.place(object, &shapes, link, rows.get(&link.id)) {
                    Ok((object, id, field)) => {
                        due.push(Due { index, object, id, field, value: link.propstreet_id.clone() });
                    }
                    Err(outcome) => outcomes[index] = Some(outcome),
                }
            }
        }
        self.patch(due, &mut outcomes).await?;
        let unknown = || WrittenBack::Refused("this is no id of a Contact or Lead".to_owned());
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unknown)).collect())
    }

    /// The living rows with these ids, with what the field holds now.
    async fn rows(
        &self,
        object: &'static str,
        shape: &Shape,
        ids: impl Iterator<Item = &str> + Send,
    ) -> Result<HashMap<String, Row>, Trouble> {
        let ids: Vec<Id> = ids.filter_map(Id::read).collect();
        let marks = ["IsPersonAccount", "AccountId", "IsConverted"].into_iter().filter(|mark| shape.shows(mark));
        let columns: Vec<&str> = ["Id", &self.field].into_iter().chain(marks).collect();
        let query = Query::living(&columns.join(","), object);
        let rows = self.reader.among(&query, "Id", &ids).await?;
        rows.into_iter().map(|row| Ok((Shown::read(&row, &[])?.id.to_string(), row))).collect()
    }

    /// Where the value goes if it differs: object, id and field. Else what became of it.
    fn place(
        &self,
        object: &'static str,
        shapes: &Shapes,
        link: &WriteBack,
        row: Option<&Row>,
    ) -> Result<(&'static str, String, String), WrittenBack> {
        let row = row.ok_or(WrittenBack::Gone)?;
        if member(row, "IsConverted") == Some(&Value::Bool(true)) {
            return Err(WrittenBack::Gone);
        }
        if member(row, &self.field).and_then(Value::as_str) == Some(&link.propstreet_id) {
            return Err(WrittenBack::AlreadyThere);
        }
        if member(row, "IsPersonAccount") != Some(&Value::Bool(true)) {
            return Ok((object, link.id.clone(), self.field.clone()));
        }
        // The Contact of a person account is written through its Account, which has the field under another name. One
        // that is not there would fail the whole call.
        let account = member(row, "AccountId").and_then(Value::as_str).and_then(salesforce_id);
        let field = of_person_account(&self.field, shapes);
        account.zip(field).map(|(account, field)| ("Account", account, field)).ok_or_else(|| {
            WrittenBack::Refused("it is a person account, and its Account has no such field to edit".to_owned())
        })
    }

    /// One call for all, whose answer has a row for each, in order. Failed rows carry no id.
    async fn patch(&self, mut due: Vec<Due>, outcomes: &mut [Option<WrittenBack>]) -> Result<(), Trouble> {
        // Rows of one object side by side: each change of object is a piece of the call, and it takes ten.
        due.sort_by_key(|due| due.object);
        // An id may stand in a call once.
        let mut ids = HashSet::new();
        let (sent, twice): (Vec<&Due>, Vec<&Due>) = due.iter().partition(|due| ids.insert(&due.id));
        for again in twice {
            outcomes[again.index] = Some(WrittenBack::Later("another value for the same record goes first".to_owned()));
        }
        if sent.is_empty() {
            return Ok(());
        }
        let record = |due: &&Due| json!({"attributes": {"type": due.object}, "id": due.id, &due.field: due.value});
        let records: Vec<Value> = sent.iter().map(record).collect();
        let body = json!({"allOrNone": false, "records": records});
        let response = self.reader.connection.set(&format!("{DATA}/composite/sobjects"), &body).await?;
        if !response.status().is_success() {
            if let Some(error) = ApiError::first(&response).filter(|error| BUSY.contains(&error.code.as_str())) {
                let later = WrittenBack::Later(redact(&format!("{}: {}", error.code, error.message)));
                sent.iter().for_each(|due| outcomes[due.index] = Some(later.clone()));
                return Ok(());
            }
            return Err(error::trouble(&response));
        }
        let results: Vec<Saved> = body::json(&response)?;
        if results.len() != sent.len() {
            let (came, due) = (results.len(), sent.len());
            return Err(Trouble::Protocol(format!("Salesforce answered {came} rows for the {due} that were written")));
        }
        for (due, saved) in sent.iter().zip(&results) {
            outcomes[due.index] = Some(saved.outcome(&due.id)?);
        }
        Ok(())
    }
}

impl PropstreetIdField for Writing {
    fn name(&self) -> &str {
        &self.field
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn write(&self, links: Vec<WriteBack>) -> BoxFuture<'_, Result<Vec<WrittenBack>, Trouble>> {
        async move { self.write_all(&links).await }.boxed()
    }
}

/// What a custom field of Contact is called on the Account of a person account, if it may be written there.
/// <https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_guidelines_personaccounts.htm>
pub(super) fn of_person_account(field: &str, shapes: &Shapes) -> Option<String> {
    let (stem, end) = field.split_at_checked(field.len().checked_sub("__c".len())?)?;
    let name = end.eq_ignore_ascii_case("__c").then(|| format!("{stem}__pc"))?;
    let account = shapes.account.as_ref()?;
    account.field(&name).filter(|field| field.updateable).map(|field| field.name.clone())
}

/// A member of a row: names have no case, and the answer spells them as they were declared.
fn member<'a>(row: &'a Row, name: &str) -> Option<&'a Value> {
    row.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// What became of one row. The call as a whole is answered 200 also when every row failed.
#[derive(Deserialize)]
struct Saved {
    id: Option<String>,
    #[serde(default)]
    success: bool,
    #[serde(default)]
    errors: Vec<RowError>,
}

/// Unlike the errors of a call, those of a row have a `statusCode`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RowError {
    status_code: String,
    message: String,
}

impl Saved {
    fn outcome(&self, asked: &str) -> Result<WrittenBack, Trouble> {
        if self.id.as_deref().is_some_and(|id| salesforce_id(id).as_deref() != Some(asked)) {
            return Err(Trouble::Protocol("Salesforce answers for another record than was written".into()));
        }
        if self.success {
            return Ok(WrittenBack::Written);
        }
        let Some(RowError { status_code, message }) = self.errors.first() else {
            return Ok(WrittenBack::Refused("Salesforce does not say why".to_owned()));
        };
        let words = || redact(&format!("{status_code}: {message}"));
        Ok(match status_code.as_str() {
            code if GONE.contains(&code) => WrittenBack::Gone,
            code if BUSY.contains(&code) => WrittenBack::Later(words()),
            _ => WrittenBack::Refused(words()),
        })
    }
}

#[cfg(test)]
mod tests {
    use ::http::Method;

    use super::*;
    use crate::crm::salesforce::describe::Kind;
    use crate::crm::script::{Script, answer};
    use crate::http::transport::Response;

    const FIELD: &str = "Propstreet_Id__c";

    fn open(answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Connection, Writing) {
        let (script, _, connection) = Connection::scripted(answers);
        let own = [("Id", Kind::Text), (FIELD, Kind::Text)];
        let person = [("IsPersonAccount", Kind::Bool), ("AccountId", Kind::Text)];
        let shapes = Shapes {
            contact: Shape::of([own[0], own[1], person[0], person[1]]),
            lead: Some(Shape::of([own[0], own[1], ("IsConverted", Kind::Bool)])),
            account: Some(Shape::of([("Propstreet_Id__pc", Kind::Text)])),
        };
        let describe = Arc::new(Describe::fixed(shapes));
        (script, connection.clone(), Writing::new(connection, describe, FIELD.to_owned()))
    }

    fn id(prefix: &str, number: usize) -> String {
        salesforce_id(&format!("{prefix}Da00000{number:05}")).unwrap()
    }

    fn links(ids: impl IntoIterator<Item = String>) -> Vec<WriteBack> {
        ids.into_iter().map(|id| WriteBack { id, propstreet_id: "new".to_owned() }).collect()
    }

    fn contacts(numbers: impl IntoIterator<Item = usize>) -> Vec<WriteBack> {
        links(numbers.into_iter().map(|number| id("003", number)))
    }

    fn row(id: &str, value: Option<&str>) -> Value {
        json!({"attributes": {"type": "Contact"}, "Id": id, "PROPSTREET_ID__c": value, "IsPersonAccount": false})
    }

    fn rows(rows: &[Value]) -> Response {
        answer(200, json!({"totalSize": rows.len(), "done": true, "records": rows}))
    }

    fn saved(number: usize) -> Value {
        json!({"id": id("003", number), "success": true, "errors": []})
    }

    fn failed(code: &str, message: &str) -> Value {
        json!({"success": false, "errors": [{"statusCode": code, "message": message, "fields": []}]})
    }

    fn results(rows: &[Value]) -> Response {
        answer(200, json!(rows))
    }

    fn body_of(asked: &crate::crm::script::Asked) -> Vec<Value> {
        asked.json()["records"].as_array().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_differs_is_written_and_each_row_has_its_own_answer() {
        let now =
            [(1, Some("new")), (2, None), (3, Some("old")), (4, None)].map(|(n, value)| row(&id("003", n), value));
        let refusal = failed("FIELD_CUSTOM_VALIDATION_EXCEPTION", "anna@firma.se must not change");
        let (script, _, writing) = open([rows(&now), results(&[saved(2), refusal, saved(4)])]);
        let outcomes = writing.write(contacts(1..=5)).await.unwrap();
        let refused = WrittenBack::Refused("FIELD_CUSTOM_VALIDATION_EXCEPTION: [address] must not change".to_owned());
        let expected =
            [WrittenBack::AlreadyThere, WrittenBack::Written, refused, WrittenBack::Written, WrittenBack::Gone];
        assert_eq!(outcomes, expected);

        let asked = script.asked();
        let ids = [1, 2, 3, 4, 5].map(|n| id("003", n)).join("','");
        let soql = format!("SELECT Id,{FIELD},IsPersonAccount,AccountId FROM Contact WHERE Id IN ('{ids}')");
        assert_eq!(asked[1].query("q"), Some(soql));
        assert_eq!(asked[2].method, Method::PATCH);
        assert_eq!(asked[2].url.path(), "/services/data/v66.0/composite/sobjects");
        assert_eq!(asked[2].headers["content-type"], "application/json");
        assert_eq!(asked[2].json()["allOrNone"], json!(false));
        let record = |n| json!({"attributes": {"type": "Contact"}, "id": id("003", n), FIELD: "new"});
        assert_eq!(body_of(&asked[2]), [2, 3, 4].map(record));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_back_starts_no_assignment_rules() {
        let (script, _, writing) = open([rows(&[row(&id("003", 1), None)]), results(&[saved(1)])]);
        writing.write(contacts([1])).await.unwrap();
        let asked = script.asked();
        assert_eq!(asked[2].headers["sforce-auto-assign"], "FALSE");
        assert_eq!(asked[2].headers["sforce-duplicate-rule-header"], "allowSave=true");
    }

    #[tokio::test(start_paused = true)]
    async fn a_200_is_no_success_and_each_code_of_a_row_means_something() {
        for (result, expected) in [
            (json!({"success": true}), "Written"),
            (failed("ENTITY_IS_DELETED", "entity is deleted"), "Gone"),
            (failed("NOT_FOUND", "x"), "Gone"),
            (failed("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id"), "Gone"),
            (failed("CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"), "Gone"),
            (failed("UNABLE_TO_LOCK_ROW", "x"), "Later"),
            (failed("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "x"), "Later"),
            (failed("FIELD_CUSTOM_VALIDATION_EXCEPTION", "x"), "Refused"),
            (failed("INVALID_FIELD_FOR_INSERT_UPDATE", "x"), "Refused"),
            (failed("STRING_TOO_LONG", "x"), "Refused"),
            (failed("INSUFFICIENT_ACCESS_OR_READONLY", "x"), "Refused"),
            (json!({"success": false, "errors": []}), "Refused"),
            (json!({}), "Refused"),
        ] {
            let (_, _, writing) = open([rows(&[row(&id("003", 1), None)]), results(std::slice::from_ref(&result))]);
            let outcomes = writing.write(contacts([1])).await.unwrap();
            assert!(format!("{:?}", outcomes[0]).starts_with(expected), "{result}: {outcomes:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_match_row_by_row_is_trouble() {
        let two = || rows(&[row(&id("003", 1), None), row(&id("003", 2), None)]);
        for odd in [
            results(&[saved(1)]),
            results(&[]),
            results(&[saved(1), saved(2), saved(3)]),
            results(&[saved(2), saved(1)]),
            answer(200, json!({"hasErrors": false})),
        ] {
            let (_, _, writing) = open([two(), odd]);
            assert_eq!(writing.write(contacts([1, 2])).await.unwrap_err().code(), "unexpected_answer");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_value_is_sent_again_after_a_lost_answer() {
        let answers = [rows(&[row(&id("003", 1), None)]), answer(502, ""), answer(500, "<html>"), results(&[saved(1)])];
        let (script, _, writing) = open(answers);
        assert_eq!(writing.write(contacts([1])).await.unwrap(), [WrittenBack::Written]);
        let asked = script.asked();
        assert!(asked[2].body == asked[3].body && asked[3].body == asked[4].body);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_that_fail_do_not_stop_the_reading() {
        let failing = (0..4).map(|_| answer(500, ""));
        let (_, connection, writing) = open([rows(&[row(&id("003", 1), None)])].into_iter().chain(failing));
        assert_eq!(writing.write(contacts([1])).await.unwrap_err().code(), "answer_lost");
        assert_eq!(connection.upstream.open_since(), None);

        let maintenance = json!([{"message": "read only", "errorCode": BUSY[1]}]);
        let (_, _, writing) = open([rows(&[row(&id("003", 1), None)]), answer(503, maintenance)]);
        let outcomes = writing.write(contacts([1])).await.unwrap();
        assert!(matches!(&outcomes[0], WrittenBack::Later(words) if words.contains("read only")), "{outcomes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn rows_that_did_not_come_are_not_taken_for_gone() {
        let one = row(&id("003", 1), Some("new"));
        let cut = answer(200, json!({"totalSize": 2, "done": true, "records": [one]}));
        let (_, _, writing) = open([cut]);
        assert_eq!(writing.write(contacts([1, 2])).await.unwrap_err().code(), "answer_lost");

        let next = "/services/data/v66.0/query/0r8xx-1";
        let first = answer(200, json!({"totalSize": 2, "done": false, "nextRecordsUrl": next, "records": [one]}));
        let (script, _, writing) = open([first, rows(&[row(&id("003", 2), Some("new"))])]);
        let outcomes = writing.write(contacts([1, 2])).await.unwrap();
        assert_eq!(outcomes, [WrittenBack::AlreadyThere, WrittenBack::AlreadyThere]);
        assert_eq!(script.asked()[2].url.path(), next);

        let empty = || answer(200, json!({"totalSize": 2, "done": false, "nextRecordsUrl": next, "records": []}));
        let (_, _, writing) = open([empty(), empty()]);
        assert_eq!(writing.write(contacts([1, 2])).await.unwrap_err().code(), "unexpected_answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_account_is_written_through_its_account_and_objects_stand_together() {
        let (person, account) = (id("003", 1), id("001", 1));
        let person_row = json!({"Id": person, "IsPersonAccount": true, "AccountId": account, FIELD: null});
        let orphan = json!({"Id": id("003", 2), "IsPersonAccount": true, "AccountId": null, FIELD: null});
        let lead = json!({"Id": id("00Q", 1), "IsConverted": false, FIELD: null});
        let converted = json!({"Id": id("00Q", 2), "IsConverted": true, FIELD: null});
        let (script, _, writing) = open([
            rows(&[person_row, orphan, row(&id("003", 3), None)]),
            rows(&[lead, converted]),
            results(&[json!({"id": account, "success": true}), saved(3), json!({"id": id("00Q", 1), "success": true})]),
        ]);
        let asked_for = [id("00Q", 1), person.clone(), id("003", 2), id("00Q", 2), id("003", 3)];
        let outcomes = writing.write(links(asked_for)).await.unwrap();
        assert!(matches!(&outcomes[2], WrittenBack::Refused(words) if words.contains("person account")));
        assert_eq!(outcomes[3], WrittenBack::Gone);
        assert_eq!([&outcomes[0], &outcomes[1], &outcomes[4]], [&WrittenBack::Written; 3]);
        let records = body_of(&script.asked()[3]);
        assert_eq!(records[0], json!({"attributes": {"type": "Account"}, "id": account, "Propstreet_Id__pc": "new"}));
        let objects: Vec<&Value> = records.iter().map(|record| &record["attributes"]["type"]).collect();
        assert_eq!(objects, ["Account", "Contact", "Lead"], "each change of object is a piece of the call");
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_stands_in_a_call_once_and_only_if_it_is_one() {
        let (script, _, writing) = open([rows(&[row(&id("003", 1), None)]), results(&[saved(1)])]);
        let ids = [id("003", 1), id("003", 1), "003' OR Id != '".to_owned(), id("006", 1)];
        let outcomes = writing.write(links(ids)).await.unwrap();
        assert!(outcomes[0] == WrittenBack::Written && matches!(outcomes[1], WrittenBack::Later(_)), "{outcomes:?}");
        assert!(outcomes[2..].iter().all(|outcome| matches!(outcome, WrittenBack::Refused(_))), "{outcomes:?}");
        let asked = script.asked();
        assert_eq!(body_of(&asked[2]).len(), 1);
        assert!(!asked[1].query("q").unwrap().contains("OR"));
    }

    #[tokio::test(start_paused = true)]
    async fn two_hundred_go_at_once_within_the_uri() {
        let part = |numbers: std::ops::Range<usize>| {
            let before: Vec<Value> = numbers.clone().map(|n| row(&id("003", n), None)).collect();
            [rows(&before), results(&numbers.map(saved).collect::<Vec<_>>())]
        };
        let (script, _, writing) = open(part(0..200).into_iter().chain(part(200..201)));
        let outcomes = writing.write(contacts(0..201)).await.unwrap();
        assert!(outcomes.len() == 201 && outcomes.iter().all(|outcome| *outcome == WrittenBack::Written));
        let asked = script.asked();
        assert!(asked[1].url.as_str().len() < 12_000 && body_of(&asked[2]).len() == writing.at_once());
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_is_not_written_again() {
        let (script, _, writing) = open([rows(&[row(&id("003", 1), Some("new"))])]);
        assert_eq!(writing.write(contacts([1])).await.unwrap(), [WrittenBack::AlreadyThere]);
        assert!(writing.write(Vec::new()).await.unwrap().is_empty());
        assert_eq!(script.asked().len(), 2, "a login and a read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_that_is_not_there_costs_no_call_and_one_that_went_is_described_anew() {
        let (_, _, connection) = Connection::scripted([]);
        let contact = Shape::of([("Id", Kind::Text)]);
        let describe = Arc::new(Describe::fixed(Shapes { contact, ..Shapes::default() }));
        let writing = Writing::new(connection.clone(), describe, FIELD.to_owned());
        let outcomes = writing.write(links([id("003", 1), id("00Q", 1)])).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, WrittenBack::Refused(words) if words.contains(FIELD))));
        assert_eq!(connection.upstream.requests(), 0);

        let gone =
            json!([{"message": "No such column 'Propstreet_Id__c' on entity 'Contact'", "errorCode": "INVALID_FIELD"}]);
        let (_, _, writing) = open([answer(400, gone)]);
        assert_eq!(writing.write(contacts([1])).await.unwrap_err().code(), "forbidden");
        assert!(writing.describe.shapes().await.is_err(), "it is asked, and nobody answers");
    }
}
