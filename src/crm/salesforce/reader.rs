//! Runs queries, each to the end that the API documents, and asks for less where the server or we cannot take it all.
//! It does not know what the rows are for.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::crm::salesforce::connection::{Connection, DATA};
use crate::crm::salesforce::error::{self, ApiError};
use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::query::Query;
use crate::crm::salesforce::wire::{self, Row};
use crate::domain::failure::Trouble;
use crate::http::body;

/// Reads rows of one org.
pub(super) struct Reader {
    pub connection: Connection,
    /// The most rows asked for at once.
    most: usize,
    /// Rows asked for at once now. Fewer after an answer that was too large to take, and more again after each that was not.
    limit: AtomicUsize,
}

/// Rows of one query.
pub(super) struct Rows {
    /// In the query's order.
    pub rows: Vec<Row>,
    /// Whether there were as many as it could give, so that more may follow.
    pub more: bool,
}

/// Why a query gave no rows.
#[derive(Debug)]
pub(super) enum Halt {
    /// Salesforce gave up on it: ask for less.
    TooSlow,
    /// Anything else.
    Trouble(Trouble),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<Halt> for Trouble {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::TooSlow => Self::Ambiguous("Salesforce gave up on a query as too slow (QUERY_TIMEOUT)".into()),
            Halt::Trouble(trouble) => trouble,
        }
    }
}

/// How far a query came.
enum Followed {
    ToItsEnd(Vec<Row>),
    /// The server has forgotten it half-way.
    Forgotten(Trouble),
}

impl Reader {
    pub(super) fn new(connection: Connection, most: usize) -> Self {
        Self { connection, most, limit: AtomicUsize::new(most) }
    }

    /// The first rows of a query, at most `most`.
    pub(super) async fn rows(&self, query: &Query, most: usize) -> Result<Rows, Halt> {
        let mut limit = self.limit.load(Ordering::Relaxed).min(most);
        loop {
            match self.run(query, Some(limit)).await {
                Ok(rows) => {
                    self.limit.fetch_max((limit * 2).min(self.most), Ordering::Relaxed);
                    return Ok(Rows { more: rows.len() >= limit, rows });
                }
                Err(Halt::Trouble(Trouble::TooLarge(_))) if limit > 1 => {}
                Err(Halt::TooSlow) if limit > 1 && query.goes_by_id() => {}
                Err(halt) => return Err(halt),
            }
            limit = (limit / 4).max(1);
            self.limit.store(limit, Ordering::Relaxed);
        }
    }

    /// All rows of a query whose `field` is one of these ids, in as many requests as the URI needs.
    pub(super) async fn among(&self, query: &Query, field: &str, ids: &[Id]) -> Result<Vec<Row>, Trouble> {
        let mut parts: VecDeque<&[Id]> = ids.chunks(query.room_for_ids()).collect();
        let mut rows = Vec::new();
        while let Some(part) = parts.pop_front() {
            match self.run(&query.clone().among(field, part), None).await {
                Ok(some) => rows.extend(some),
                Err(Halt::TooSlow | Halt::Trouble(Trouble::TooLarge(_))) if part.len() > 1 => {
                    let (one, other) = part.split_at(part.len() / 2);
                    parts.push_front(other);
                    parts.push_front(one);
                }
                Err(halt) => return Err(halt.into()),
            }
        }
        Ok(rows)
    }

    /// How many rows a query has.
    pub(super) async fn count(&self, query: &Query) -> Result<u64, Halt> {
        let response = self.connection.get(&path(query), &[("q", &query.counting())]).await?;
        match ApiError::first(&response) {
            Some(error) if error.code == "QUERY_TIMEOUT" => Err(Halt::TooSlow),
            _ if !response.status().is_success() => Err(error::trouble(&response).into()),
            _ => Ok(body::json::<wire::Count>(&response)?.total_size),
        }
    }

    /// A query that the server forgets half-way is asked once more from its beginning: what it sent so far is no list.
    async fn run(&self, query: &Query, limit: Option<usize>) -> Result<Vec<Row>, Halt> {
        for last in [false, true] {
            match self.follow(query, limit).await? {
                Followed::ToItsEnd(rows) => return Ok(rows),
                Followed::Forgotten(trouble) if last => return Err(trouble.into()),
                Followed::Forgotten(_) => {}
            }
        }
        Err(over_and_over().into())
    }

    /// Follows one query to the end that the API documents, `done`, and counts: rows that were announced and did not
    /// come mean that the list moved underneath, and then none of it is taken.
    async fn follow(&self, query: &Query, limit: Option<usize>) -> Result<Followed, Halt> {
        let mut response = self.connection.get(&path(query), &[("q", &query.soql(limit))]).await?;
        let (mut rows, mut seen) = (Vec::new(), HashSet::new());
        loop {
            if !response.status().is_success() {
                let code = ApiError::first(&response).map(|error| error.code);
                return match code.as_deref() {
                    Some("QUERY_TIMEOUT") => Err(Halt::TooSlow),
                    Some("INVALID_QUERY_LOCATOR") => Ok(Followed::Forgotten(error::trouble(&response))),
                    _ => Err(error::trouble(&response).into()),
                };
            }
            let page: wire::QueryPage = body::json(&response)?;
            let next = page.next()?.map(str::to_owned);
            rows.extend(page.records);
            match next {
                Some(next) if seen.contains(&next) => return Err(over_and_over().into()),
                Some(next) => {
                    response = self.connection.get(&next, &[]).await?;
                    seen.insert(next);
                }
                None if rows.len() < page.total_size.unwrap_or(0).min(limit.unwrap_or(usize::MAX)) => {
                    return Err(Trouble::Ambiguous("Salesforce announced more rows than it sent".into()).into());
                }
                None => return Ok(Followed::ToItsEnd(rows)),
            }
        }
    }
}

fn path(query: &Query) -> String {
    format!("{DATA}/{}", if query.deleted_too { "queryAll" } else { "query" })
}

pub(super) fn over_and_over() -> Trouble {
    Trouble::Protocol("Salesforce sends the same page of a query over and over".into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::crm::salesforce::query::LIMIT;
    use crate::crm::salesforce::rig::{BASE, id, logged_in, row, rows, slow};
    use crate::crm::script::{Script, answer, too_large};
    use crate::http::transport::Response;

    const NEXT: &str = "/services/data/v66.0/query/0r8xx1a2B3c4D5e6F7-1000";

    fn opened(answers: impl IntoIterator<Item = Response>) -> (Arc<Script>, Reader) {
        let (script, salesforce) = logged_in(|_, _| {}, answers);
        (script, salesforce.reader)
    }

    fn by_id() -> Query {
        Query::living("Id,Email", "Contact").after(None)
    }

    fn limits(script: &Script) -> Vec<String> {
        let soql = script.asked().into_iter().skip(1).map(|asked| asked.soql());
        soql.map(|soql| soql.rsplit_once(" LIMIT ").unwrap().1.to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn pages_shorter_than_asked_are_followed_until_done() {
        let (script, reader) = opened([
            answer(200, json!({"totalSize": 3, "done": false, "nextRecordsUrl": NEXT, "records": [row(1)]})),
            answer(200, json!({"totalSize": 3, "done": true, "records": [row(2), row(3)]})),
        ]);
        let read = reader.rows(&by_id(), LIMIT).await.unwrap();
        assert_eq!((read.rows.len(), read.more), (3, false));
        let asked = script.asked();
        assert_eq!(asked[1].headers["sforce-query-options"], "batchSize=2000");
        assert_eq!(asked[2].url.as_str(), format!("{BASE}{NEXT}"), "as it is, with no parameters");
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_may_have_been_cut_is_trouble() {
        let to = |locator: &str| {
            let next = format!("/services/data/v66.0/query/{locator}");
            answer(200, json!({"totalSize": 9, "done": false, "nextRecordsUrl": next, "records": []}))
        };
        for (answers, code) in [
            (vec![answer(200, json!({"totalSize": 2, "done": false, "records": [row(1)]}))], "unexpected_answer"),
            (vec![answer(200, json!({"totalSize": 2, "done": true, "records": [row(1)]}))], "answer_lost"),
            (vec![answer(200, json!({"records": [row(1)]}))], "unexpected_answer"),
            (vec![answer(200, json!({"done": true}))], "unexpected_answer"),
            (vec![to("0r8-1"), to("0r8-1")], "unexpected_answer"),
            (vec![to("0r8-1"), to("0r8-2"), to("0r8-1")], "unexpected_answer"),
            (vec![answer(400, r#"[{"errorCode":"INVALID_FIELD","message":"No such column 'X__c'"}]"#)], "forbidden"),
        ] {
            let (script, reader) = opened(answers);
            let trouble = Trouble::from(reader.rows(&by_id(), LIMIT).await.err().unwrap());
            assert_eq!(trouble.code(), code, "{trouble}");
            script.asked();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_forgotten_half_way_begins_anew_once_and_is_never_an_end() {
        let begun = || answer(200, json!({"totalSize": 2, "done": false, "nextRecordsUrl": NEXT, "records": [row(1)]}));
        let lost = || answer(400, r#"[{"message":"invalid query locator","errorCode":"INVALID_QUERY_LOCATOR"}]"#);
        let (script, reader) = opened([begun(), lost(), rows([row(1), row(2)])]);
        assert_eq!(reader.rows(&by_id(), LIMIT).await.unwrap().rows.len(), 2, "nobody twice");
        assert_eq!(script.asked()[3].soql(), script.asked()[1].soql());
        let (script, reader) = opened([begun(), lost(), begun(), lost()]);
        assert_eq!(Trouble::from(reader.rows(&by_id(), LIMIT).await.err().unwrap()).code(), "answer_lost");
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_too_large_is_asked_for_in_smaller_pages_and_later_ones_grow_back() {
        let four = || rows((0..4).map(row));
        let (script, reader) =
            opened([too_large(), too_large(), rows((0..125).map(row)), four(), four(), four(), four()]);
        assert!(reader.rows(&by_id(), LIMIT).await.unwrap().more, "as many as it could give");
        for _ in 0..4 {
            assert!(!reader.rows(&by_id(), LIMIT).await.unwrap().more);
        }
        assert_eq!(limits(&script), ["2000", "500", "125", "250", "500", "1000", "2000"]);
        let (script, reader) = opened((0..6).map(|_| too_large()));
        assert_eq!(Trouble::from(reader.rows(&by_id(), LIMIT).await.err().unwrap()).code(), "too_large");
        assert_eq!(limits(&script), ["2000", "500", "125", "31", "7", "1"].map(str::to_owned));
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_that_is_too_slow_takes_shorter_steps_and_a_window_is_left_to_be_halved() {
        let (script, reader) = opened([slow(), rows([row(1)])]);
        assert_eq!(reader.rows(&by_id(), LIMIT).await.unwrap().rows.len(), 1);
        assert_eq!(limits(&script), ["2000", "500"]);
        let since = crate::crm::salesforce::query::Since::from("2026-11-02T09:00:00Z".parse().unwrap());
        let window = Query::living("Id", "Contact").stamped(&since, "2026-11-02T10:00:00Z".parse().unwrap());
        let (script, reader) = opened([slow()]);
        assert!(matches!(reader.rows(&window, LIMIT).await, Err(Halt::TooSlow)));
        script.asked();
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_of_ids_that_is_too_much_is_asked_for_in_halves() {
        let ids: Vec<Id> = (1..4).map(|n| Id::read(&id(n)).unwrap()).collect();
        let (script, reader) = opened([too_large(), rows([row(1)]), slow(), rows([row(2)]), rows([row(3)])]);
        let query = Query::living("Id", "Contact");
        assert_eq!(reader.among(&query, "Id", &ids).await.unwrap().len(), 3);
        assert!(script.asked()[5].soql().ends_with(&format!("Id IN ('{}')", id(3))));
        let (_, reader) = opened([too_large()]);
        assert_eq!(reader.among(&query, "Id", &ids[..1]).await.unwrap_err().code(), "too_large");
    }
}
