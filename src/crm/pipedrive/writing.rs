//! The custom field of a person that holds Propstreet's id: read first, written only where it differs, because a write
//! costs five tokens and moves the person's stamp. One call writes one person. A set value may be sent twice, so a lost
//! answer is harmless.
//!
//! Reading goes first: nothing is written out of what a day of polls costs, and out of the rest no more than half, so that
//! the sweep gets on. What is owed stands in the ledger, and goes on when there is more.
//!
//! The value goes inside `custom_fields`: at the root of the body Pipedrive answers it with 500.
//!
//! <https://developers.pipedrive.com/docs/api/v1/Persons#updatePerson>

use std::collections::HashMap;

use ::http::StatusCode;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use serde_json::{Value, json};

use crate::crm::pipedrive::listing::PERSONS;
use crate::crm::pipedrive::single::SINGLY;
use crate::crm::pipedrive::wire::{self, LIMIT, Row};
use crate::crm::pipedrive::{IDS, Pipedrive, custom, definitions, limits, wanted};
use crate::crm::request;
use crate::domain::failure::Trouble;
use crate::domain::record::{WriteBack, WrittenBack};
use crate::domain::spending::Purse;
use crate::http::body;
use crate::http::transport::{Request, Response};
use crate::sync::source::PropstreetIdField;

/// Calls on their way at once: the polls of others wait for the same token.
const AT_A_TIME: usize = 4;

/// So many are refused while nobody is taken, before the rest of a call counts as refused too: what Pipedrive has against
/// all of them would else cost six tokens for each, every day.
const ALONE: usize = 8;

/// What became of some persons, by their ids.
type Settled<'a> = HashMap<&'a str, WrittenBack>;

impl PropstreetIdField for Pipedrive {
    fn name(&self) -> &str {
        self.write_back.as_deref().unwrap_or_default()
    }

    fn at_once(&self) -> usize {
        IDS
    }

    fn write(&self, links: Vec<WriteBack>) -> BoxFuture<'_, Result<Vec<WrittenBack>, Trouble>> {
        async move {
            let mut outcomes = Vec::with_capacity(links.len());
            for links in links.chunks(IDS) {
                outcomes.extend(limits::paid_from(Purse::Leisure, self.write_some(links)).await?);
            }
            Ok(outcomes)
        }
        .boxed()
    }
}

impl Pipedrive {
    async fn write_some(&self, links: &[WriteBack]) -> Result<Vec<WrittenBack>, Trouble> {
        let unfit: Vec<Option<WrittenBack>> = links.iter().enumerate().map(|(n, l)| unfit(l, &links[..n])).collect();
        let due = || links.iter().zip(&unfit).filter(|(_, unfit)| unfit.is_none()).map(|(link, _)| link);
        let mut settled = Settled::new();
        if due().next().is_some() {
            self.budget.halfway()?;
            let key = self.key().await?;
            settled = self.held(due().collect(), &key).await?;
            let differing = due().filter(|link| !settled.contains_key(link.id.as_str())).collect();
            settled.extend(self.update(differing, &key).await?);
        }
        let outcome = |(link, unfit): (&WriteBack, Option<WrittenBack>)| {
            unfit.or_else(|| settled.get(link.id.as_str()).cloned()).unwrap_or_else(|| later("its turn did not come"))
        };
        Ok(links.iter().zip(unfit).map(outcome).collect())
    }

    /// The key of the field to write.
    async fn key(&self) -> Result<String, Trouble> {
        for no_longer in [definitions::LAST, definitions::MOMENT] {
            let fields = self.fields(&wanted::PERSONS, no_longer).await?;
            if let Ok(place) = custom::find(self.name(), &fields) {
                return Ok(place.key.to_owned());
            }
        }
        Err(Trouble::Forbidden(format!(
            "write_back names {}, a custom field that persons of this Pipedrive company do not have, or more than one",
            self.name()
        )))
    }

    /// Those that need no writing: they hold their value, or are not there any more.
    async fn held<'a>(&self, due: Vec<&'a WriteBack>, key: &str) -> Result<Settled<'a>, Trouble> {
        let mut shown: HashMap<String, Row> = HashMap::new();
        if due.len() >= SINGLY {
            let ids: Vec<&str> = due.iter().map(|link| link.id.as_str()).collect();
            let query = vec![("limit", LIMIT.to_owned()), ("custom_fields", key.to_owned()), ("ids", ids.join(","))];
            for row in self.all(PERSONS, query).await? {
                shown.insert(wire::id(&row)?, row);
            }
        }
        let mut settled = Settled::new();
        for wave in due.chunks(AT_A_TIME) {
            let look = |link: &&'a WriteBack| {
                let (link, shown) = (*link, shown.remove(&link.id));
                async move { (link, self.compared(link, shown, key).await) }
            };
            for (link, outcome) in join_all(wave.iter().map(look).collect::<Vec<_>>()).await {
                settled.extend(outcome?.map(|outcome| (link.id.as_str(), outcome)));
            }
        }
        Ok(settled)
    }

    /// What is known of one person before anything is written; `None` if it is to be written. Whom a list leaves out may
    /// be gone or not visible, which asking for that very id tells.
    async fn compared(&self, link: &WriteBack, shown: Option<Row>, key: &str) -> Result<Option<WrittenBack>, Trouble> {
        let row = match shown {
            Some(row) => row,
            None => {
                let response = self.send(request::get(&self.base, &path(link), &[("custom_fields", key)])).await?;
                match answered(&response)? {
                    Answer::Row(row) => row,
                    Answer::Settled(outcome) => return Ok(Some(outcome)),
                }
            }
        };
        // The one that another was merged into may be shown in its place.
        if wire::is_deleted(&row) || wire::id(&row)? != link.id {
            return Ok(Some(WrittenBack::Gone));
        }
        Ok(holds(&row, key, link).then_some(WrittenBack::AlreadyThere))
    }

    /// Writes them, a few at a time.
    async fn update<'a>(&self, due: Vec<&'a WriteBack>, key: &str) -> Result<Settled<'a>, Trouble> {
        let mut settled = Settled::new();
        let (mut taken, mut refused) = (0, 0);
        for wave in due.chunks(AT_A_TIME) {
            if self.budget.halfway().is_err() {
                break;
            }
            let answers = join_all(wave.iter().map(|link| self.set(link, key))).await;
            let lost = answers.iter().filter(|answer| matches!(answer, Err(Trouble::Ambiguous(_)))).count();
            for (link, answer) in wave.iter().zip(answers) {
                let outcome = match answer {
                    Ok(outcome) => outcome,
                    // Fails for one alone: it may be something about that one, so it does not come back with every sync.
                    Err(Trouble::Ambiguous(words)) if lost == 1 => WrittenBack::Refused(words),
                    Err(trouble) if settled.is_empty() => return Err(trouble),
                    // What was written is told; what stands in the way is met again by the next call.
                    Err(trouble) => later(&trouble.to_string()),
                };
                taken += usize::from(outcome == WrittenBack::Written);
                refused += usize::from(matches!(outcome, WrittenBack::Refused(_)));
                settled.insert(link.id.as_str(), outcome);
            }
            if refused > 0 && taken == 0 {
                // A body that names a field that is gone is refused, or taken and changes nothing.
                let fields = self.fields(&wanted::PERSONS, definitions::MOMENT).await?;
                if !fields.contains_key(key) {
                    return Err(self.vanished());
                }
            }
            if refused >= ALONE && taken == 0 {
                let words = format!("so were all {refused} persons that were tried before it");
                settled.extend(
                    due.iter()
                        .filter_map(|link| {
                            let is_open = !settled.contains_key(link.id.as_str());
                            is_open.then(|| (link.id.as_str(), WrittenBack::Refused(words.clone())))
                        })
                        .collect::<Vec<_>>(),
                );
                break;
            }
        }
        Ok(settled)
    }

    /// Sets the field of one person. What is wrong with it is no news about reading.
    async fn set(&self, link: &WriteBack, key: &str) -> Result<WrittenBack, Trouble> {
        let request = update(&self.base, link, key);
        let about = |token: &_| self.call(&request, token).about(&format_args!("person {}", link.id));
        let response = self.upstream.authorized(&self.tokens, about).await?;
        Ok(match answered(&response)? {
            Answer::Settled(outcome) => outcome,
            Answer::Row(row) if holds(&row, key, link) => WrittenBack::Written,
            Answer::Row(_) => {
                WrittenBack::Refused("Pipedrive took the id, and does not show it in the field".to_owned())
            }
        })
    }

    /// The field was there when the company was inspected, and is not any more.
    fn vanished(&self) -> Trouble {
        Trouble::Forbidden(format!(
            "write_back names {}, a custom field that persons of this Pipedrive company do not have any more",
            self.name()
        ))
    }
}

fn path(link: &WriteBack) -> String {
    format!("{PERSONS}/{}", link.id)
}

fn update(base: &url::Url, link: &WriteBack, key: &str) -> Request {
    request::patch_json(base, &path(link), &json!({"custom_fields": {key: link.propstreet_id}}))
}

fn holds(row: &Row, key: &str, link: &WriteBack) -> bool {
    wire::custom_field(row, key).and_then(Value::as_str) == Some(&link.propstreet_id)
}

/// An answer that is about one person.
enum Answer {
    Row(Row),
    Settled(WrittenBack),
}

/// The status counts first: 410 has come with `success:true`.
fn answered(response: &Response) -> Result<Answer, Trouble> {
    let status = response.status();
    let settled = |outcome| Ok(Answer::Settled(outcome));
    match status {
        _ if status.is_success() => body::json::<wire::One>(response)?.open().map(Answer::Row),
        StatusCode::NOT_FOUND | StatusCode::GONE => settled(WrittenBack::Gone),
        StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            settled(WrittenBack::Refused(wire::said(response)))
        }
        StatusCode::FORBIDDEN if wire::lacks_scope(response) => Err(Trouble::Forbidden(format!(
            "the app lacks a scope, contacts:full for write-back (add it, and authorise the app again): {}",
            wire::said(response)
        ))),
        // A right to this one person, perhaps.
        StatusCode::FORBIDDEN => settled(WrittenBack::Refused(wire::said(response))),
        _ => Err(wire::trouble(response)),
    }
}

/// Why this one must not be sent, if it must not.
fn unfit(link: &WriteBack, before: &[WriteBack]) -> Option<WrittenBack> {
    if !wire::is_id(&link.id) {
        Some(WrittenBack::Refused("this is no id of a person of Pipedrive's".to_owned()))
    } else if link.propstreet_id.trim().is_empty() {
        Some(WrittenBack::Refused("Propstreet's id is empty, which would clear the field".to_owned()))
    } else if before.iter().any(|other| other.id == link.id) {
        Some(later("another value for the same record goes first"))
    } else {
        None
    }
}

fn later(words: &str) -> WrittenBack {
    WrittenBack::Later(words.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::crm;
    use crate::crm::pipedrive::rig::{self, custom, list, scripted};
    use crate::crm::script::{Asked, Script, answer, with};
    use crate::sync::source::ContactSource as _;

    const KEY: &str = "dcf558aac1ae4e8c4f849ba5e668430d8df9be12";

    fn open(answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Pipedrive) {
        let wanted = crm::Wanted { fields: ["name".to_owned()].into(), ..crm::Wanted::default() };
        let defined = list(vec![custom(KEY, "Propstreet id", "varchar")], None);
        let set = |settings| crm::pipedrive::Settings { write_back: Some("Propstreet id".to_owned()), ..settings };
        scripted(wanted, set, [defined].into_iter().chain(answers))
    }

    fn links(ids: impl IntoIterator<Item = usize>) -> Vec<WriteBack> {
        ids.into_iter().map(|id| WriteBack { id: id.to_string(), propstreet_id: "new".to_owned() }).collect()
    }

    fn person(id: usize, held: Option<&str>) -> Value {
        json!({"id": id, "name": "Ada", "custom_fields": {KEY: held}})
    }

    fn one(id: usize, held: Option<&str>) -> Response {
        answer(200, json!({"success": true, "data": person(id, held)}))
    }

    fn refused(words: &str) -> Response {
        answer(400, json!({"success": false, "error": words}))
    }

    /// What was written, by path and body.
    fn patches(asked: &[Asked]) -> Vec<(&str, Value)> {
        asked.iter().filter(|a| a.method == ::http::Method::PATCH).map(|a| (a.url.path(), a.json())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_are_compared_singly_and_only_what_differs_is_written() {
        let answers =
            [one(1, None), one(2, Some("new")), one(3, Some("old")), one(1, Some("new")), one(3, Some("new"))];
        let (script, pipedrive) = open(answers);
        let outcomes = pipedrive.write(links(1..=3)).await.unwrap();
        assert_eq!(outcomes, [WrittenBack::Written, WrittenBack::AlreadyThere, WrittenBack::Written]);
        let asked = script.asked();
        assert_eq!(asked[1].url.path(), "/api/v2/persons/1");
        assert_eq!(asked[1].query("custom_fields").as_deref(), Some(KEY));
        let body = json!({"custom_fields": {KEY: "new"}});
        assert_eq!(patches(&asked), [("/api/v2/persons/1", body.clone()), ("/api/v2/persons/3", body)]);
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_compared_by_one_list_and_who_is_missing_there_is_asked_for() {
        let shown = (1..=98).map(|id| person(id, Some("new"))).chain([json!({"id": 99, "is_deleted": true})]);
        let (script, pipedrive) = open([list(shown.collect::<Vec<_>>(), None), answer(404, r#"{"success":false}"#)]);
        let outcomes = pipedrive.write(links(1..=100)).await.unwrap();
        assert!(outcomes[..98].iter().all(|outcome| *outcome == WrittenBack::AlreadyThere));
        assert_eq!(outcomes[98..], [WrittenBack::Gone, WrittenBack::Gone]);
        let asked = script.asked();
        assert_eq!(asked[1].query("ids").unwrap().split(',').count(), pipedrive.field().unwrap().at_once());
        assert_eq!((asked[1].query("custom_fields").as_deref(), asked.len()), (Some(KEY), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_is_one_persons_and_its_status_counts_first() {
        let gone = json!({"success": true, "data": {"id": 1}});
        for (answered, expected) in [
            (answer(404, "{}"), WrittenBack::Gone),
            (answer(410, gone), WrittenBack::Gone),
            (answer(200, json!({"data": {"id": 7, "name": "The survivor"}})), WrittenBack::Gone),
        ] {
            let (script, pipedrive) = open([answered]);
            assert_eq!(pipedrive.write(links([1])).await.unwrap(), [expected]);
            assert!(patches(&script.asked()).is_empty());
        }
        for (answered, words) in [
            (refused("Validation failed"), "Validation failed"),
            (answer(403, r#"{"success":false,"error":"Forbidden"}"#), "403"),
            (one(1, Some("cut")), "does not show it"),
            (answer(200, json!({"success": true, "data": {"id": 1}})), "does not show it"),
        ] {
            let (script, pipedrive) = open([one(1, None), answered]);
            let outcomes = pipedrive.write(links([1])).await.unwrap();
            assert!(matches!(&outcomes[0], WrittenBack::Refused(told) if told.contains(words)), "{outcomes:?}");
            script.asked();
        }
        let traced = with(refused("ada.byron@example.org is taken"), "x-correlation-id", "c0ffee");
        let (_, pipedrive) = open([one(1, None), traced]);
        let told = format!("{:?}", pipedrive.write(links([1])).await.unwrap());
        assert!(!told.contains("byron@") && !told.contains("c0ffee"), "the same words each day are told once: {told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_set_value_is_sent_again_after_a_lost_answer_and_stops_no_reading() {
        let (script, pipedrive) = open([one(1, None), answer(502, "<html>"), answer(500, "{}"), one(1, Some("new"))]);
        assert_eq!(pipedrive.write(links([1])).await.unwrap(), [WrittenBack::Written]);
        assert_eq!(patches(&script.asked()).len(), 3);
        // One whom Pipedrive always fails on does not come back with every sync.
        let failing = (0..4).map(|_| answer(500, r#"{"success":false,"code":"ERR_UNKNOWN"}"#));
        let (_, pipedrive) = open([one(1, None)].into_iter().chain(failing));
        assert!(matches!(pipedrive.write(links([1])).await.unwrap()[..], [WrittenBack::Refused(_)]));
        assert_eq!(pipedrive.upstream.open_since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_with_the_field_or_the_app_is_not_asked_of_each_person() {
        let scope = || answer(403, r#"{"success":false,"error":"Scope and URL mismatch"}"#);
        let (_, pipedrive) = open([one(1, None), one(2, None), scope(), scope()]);
        let trouble = pipedrive.write(links(1..=2)).await.unwrap_err();
        assert!(trouble.code() == "forbidden" && trouble.to_string().contains("contacts:full"), "{trouble}");

        // The field went since it was looked up.
        let (_, pipedrive) = open([one(1, None), one(1, None), one(1, None), list(vec![], None)]);
        assert!(matches!(pipedrive.write(links([1])).await.unwrap()[..], [WrittenBack::Refused(_)]));
        pipedrive.clock.sleep(definitions::MOMENT).await;
        let trouble = pipedrive.write(links([1])).await;
        assert!(trouble.is_err(), "{trouble:?}");

        let empty = list((1..=20).map(|id| person(id, None)).collect::<Vec<_>>(), None);
        let (script, pipedrive) = open([empty].into_iter().chain((0..ALONE).map(|_| refused("no"))));
        let outcomes = pipedrive.write(links(1..=20)).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, WrittenBack::Refused(_))), "{outcomes:?}");
        assert_eq!(patches(&script.asked()).len(), ALONE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_told_when_the_rest_cannot_be() {
        let shown = list((1..=10).map(|id| person(id, None)).collect::<Vec<_>>(), None);
        let written = (1..=4).map(|id| one(id, Some("new")));
        let stop = || answer(403, "<!DOCTYPE html>");
        let (_, pipedrive) = open([shown].into_iter().chain(written).chain([stop(), stop(), stop(), stop()]));
        let outcomes = pipedrive.write(links(1..=10)).await.unwrap();
        assert!(outcomes[..4].iter().all(|outcome| *outcome == WrittenBack::Written), "{outcomes:?}");
        assert!(outcomes[4..].iter().all(|outcome| matches!(outcome, WrittenBack::Later(_))), "{outcomes:?}");
        assert_eq!(pipedrive.write(links(5..=6)).await.unwrap_err().code(), "not_sent", "and is met by the next call");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_written_out_of_what_a_day_of_polls_costs() {
        use crate::domain::spending::{Purses, Spending, Used};
        // The smallest day is 30,000, a fifth of it 6,000, and 144 polls cost 1,440.
        // and 40 go for definitions: half of the rest is 2,260. Definitions and the list of whom to compare cost 20.
        let waited = |leisure| {
            let used = Used { units: leisure, returns: None };
            Spending { used: Purses { leisure: used, ..Purses::default() }, ..Spending::default() }
        };
        for (used, written) in [(2_245, 0), (2_230, 4)] {
            let shown = list((1..=12).map(|id| person(id, None)).collect::<Vec<_>>(), None);
            let answers = (1..=written).map(|id| one(id, Some("new")));
            let (script, pipedrive) = open([shown].into_iter().chain(answers));
            pipedrive.budget.used(waited(used));
            let outcomes = pipedrive.write(links(1..=12)).await.unwrap();
            let taken = outcomes.iter().filter(|outcome| **outcome == WrittenBack::Written).count();
            assert_eq!((taken, patches(&script.asked()).len()), (written, written), "{outcomes:?}");
        }
        let (script, pipedrive) = scripted(
            crm::Wanted { fields: ["name".to_owned()].into(), ..crm::Wanted::default() },
            |settings| crm::pipedrive::Settings { write_back: Some("Propstreet id".to_owned()), ..settings },
            [],
        );
        pipedrive.budget.used(waited(2_260));
        let trouble = pipedrive.write(links(1..=12)).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Spared(_)), "{trouble}");
        assert!(script.asked().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_stands_in_a_call_once_and_only_if_it_is_one() {
        let link = |id: &str, value: &str| WriteBack { id: id.to_owned(), propstreet_id: value.to_owned() };
        let (script, pipedrive) = open([one(1, None), one(1, Some("new"))]);
        let asked_for = [("1", "new"), ("1", "other"), ("x", "new"), ("2", " ")];
        let outcomes = pipedrive.write(asked_for.map(|(id, value)| link(id, value)).to_vec()).await.unwrap();
        assert!(outcomes[0] == WrittenBack::Written && matches!(outcomes[1], WrittenBack::Later(_)), "{outcomes:?}");
        assert!(outcomes[2..].iter().all(|outcome| matches!(outcome, WrittenBack::Refused(_))), "{outcomes:?}");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn the_echo_of_a_write_back_is_the_same_record() {
        let shown = |held: Option<&str>, stamp: &str| {
            let mut person = person(1, held);
            person["update_time"] = json!(stamp);
            rig::one(person)
        };
        let wanted = crm::Wanted { fields: ["name".to_owned()].into(), ..crm::Wanted::default() };
        let set = |settings| crm::pipedrive::Settings { write_back: Some(KEY.to_owned()), ..settings };
        let answers = [shown(None, "2026-11-02T09:00:00Z"), shown(Some("new"), "2026-11-02T09:30:00Z")];
        let (_, pipedrive) = scripted(wanted, set, answers);
        let first = pipedrive.fetch(vec!["1".to_owned()]).await.unwrap();
        let echo = pipedrive.fetch(vec!["1".to_owned()]).await.unwrap();
        assert_ne!(first[0].modified, echo[0].modified);
        assert_eq!(first[0].fields, echo[0].fields, "and so its contact costs Propstreet nothing");
    }
}
