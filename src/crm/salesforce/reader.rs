//! Runs queries, each to the end that the API documents, and asks for less where the server or we cannot take it all.
//! It does not know what the rows are for.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::crm::salesforce::connection::{Connection, DATA};
use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::query::{LIMIT, Query};
use crate::crm::salesforce::wire::{self, Row};
use crate::domain::failure::Trouble;
use crate::http::body;

/// Reads rows of one org.
pub(super) struct Reader {
    pub connection: Connection,
    /// Rows asked for at once. Fewer after an answer that was too large to take, and more again after each that was not.
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
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, limit: AtomicUsize::new(LIMIT) }
    }

    /// The first rows of a query, at most `most`.
    pub(super) async fn rows(&self, query: &Query, most: usize) -> Result<Rows, Halt> {
        let mut limit = self.limit.load(Ordering::Relaxed).min(most);
        loop {
            match self.run(query, Some(limit)).await {
                Ok(rows) => {
                    self.limit.fetch_max((limit * 2).min(LIMIT), Ordering::Relaxed);
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
    pub(super) async fn count(&self, query: &Query) -> Result<u64, Trouble> {
        let response = self.connection.get(&path(query), &[("q", &query.counting())]).await?;
        if !response.status().is_success() {
            return Err(wire::trouble(&response));
        }
        body::json::<wire::Count>(&response).map(|count| count.total_size)
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
                let code = wire::ApiError::first(&response).map(|error| error.code);
                return match code.as_deref() {
                    Some("QUERY_TIMEOUT") => Err(Halt::TooSlow),
                    Some("INVALID_QUERY_LOCATOR") => Ok(Followed::Forgotten(wire::trouble(&response))),
                    _ => Err(wire::trouble(&response).into()),
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
