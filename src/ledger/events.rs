//! What happened, append-only and chained: each event stores `sha256(chain before || sha256(body))`. The body can be
//! emptied later (a person's right to be forgotten) without breaking the chain; nothing else of an event can change.

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, count, json, millis, time, to_json};
use crate::ledger::error::LedgerError;
use crate::ledger::passes::PassId;

/// Events checked in one go, so that a long chain does not hold up other readers.
const STRETCH: u32 = 10_000;
/// What the first event is chained to.
const START: [u8; 32] = [0; 32];

/// Something that happened to a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the chain, from 1.
    pub number: u64,
    /// What it says; `None` once it was emptied.
    pub told: Option<Told>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When it happened.
    pub at: Timestamp,
    /// The pass it happened in; `None` for what the index showed.
    pub pass: Option<PassId>,
    /// An outcome's word, or `deleted`, `restored`, `gone`, `returned`, `hidden`.
    pub what: String,
    /// The contact concerned.
    pub propstreet_id: Option<String>,
    /// Why, or how it was found out.
    pub note: String,
}

/// The body as it is stored and digested. The reference is inside, so that a row cannot be given to another.
#[derive(Serialize, Deserialize)]
struct Body {
    at: i64,
    pass: Option<i64>,
    #[serde(rename = "ref")]
    reference: RefKey,
    what: String,
    propstreet_id: Option<String>,
    note: String,
}

impl Ledger {
    /// The newest events of a reference, newest first.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn events(&self, key: RefKey, limit: usize) -> Result<Vec<Event>, LedgerError> {
        const OF_REF: &str = "SELECT event, body FROM events
            WHERE ref = (SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2) ORDER BY event DESC LIMIT ?3";
        self.read(move |ledger| {
            let mut events = ledger.prepare_cached(OF_REF)?;
            let events = events.query_and_then((key.namespace, key.id, at_most(limit)), |row| {
                let body: Option<String> = row.get(1)?;
                Ok(Event { number: count("events", row.get(0)?)?, told: body.map(|body| told(&body)).transpose()? })
            })?;
            events.collect()
        })
        .await
    }

    /// Whether a contact came with one of these references: it was created for it, or had it when it was first met. Of one
    /// that references were only added to, somebody in Propstreet thought first.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn came_with(&self, propstreet_id: String, keys: Vec<RefKey>) -> Result<bool, LedgerError> {
        const CAME: &str = "SELECT EXISTS (SELECT 1 FROM events
            WHERE ref = (SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2)
                AND body ->> 'what' IN ('created', 'adopted') AND body ->> 'propstreet_id' = ?3)";
        self.read(move |ledger| {
            let mut came = ledger.prepare_cached(CAME)?;
            for RefKey { namespace, id } in keys {
                if came.query_row((namespace, id, &propstreet_id), |row| row.get(0))? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }

    /// Follows the chain from its first event and says how many links hold.
    ///
    /// # Errors
    /// `Corrupt` naming the first event that was edited, moved or removed; `Sql`, `Closed`.
    pub async fn verify_chain(&self) -> Result<u64, LedgerError> {
        let mut link = Link { number: 0, chain: START };
        loop {
            let (next, checked) = self.read(move |ledger| follow(ledger, link)).await?;
            link = next;
            if checked < STRETCH {
                return count("events", link.number);
            }
        }
    }
}

fn told(body: &str) -> Result<Told, LedgerError> {
    let Body { at, pass, reference: _, what, propstreet_id, note } = json("events", body)?;
    Ok(Told { at: time("events", at)?, pass: pass.map(PassId), what, propstreet_id, note })
}

/// Appends an event about the row `reference` of `key`. Only the writing lane calls this, so that the chain has one end.
pub(in crate::ledger) fn append(
    ledger: &Connection,
    reference: i64,
    key: &RefKey,
    told: Told,
) -> Result<(), LedgerError> {
    const END: &str = "SELECT chain FROM events ORDER BY event DESC LIMIT 1";
    const APPEND: &str = "INSERT INTO events (ref, body, digest, chain) VALUES (?1, ?2, ?3, ?4)";
    let Told { at, pass, what, propstreet_id, note } = told;
    let body =
        Body { at: millis(at), pass: pass.map(|pass| pass.0), reference: key.clone(), what, propstreet_id, note };
    let body = to_json("events", &body)?;
    let digest: [u8; 32] = Sha256::digest(&body).into();
    let end = ledger.prepare_cached(END)?.query_row([], |row| row.get(0)).optional()?.unwrap_or(START);
    ledger.prepare_cached(APPEND)?.execute((reference, body, digest, chained(end, digest)))?;
    Ok(())
}

fn chained(before: [u8; 32], digest: [u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update(before).chain_update(digest).finalize().into()
}

/// The last event known to be sound.
#[derive(Debug, Clone, Copy)]
struct Link {
    number: i64,
    chain: [u8; 32],
}

fn follow(ledger: &Connection, mut link: Link) -> Result<(Link, u32), LedgerError> {
    const AFTER: &str = "SELECT event, body, digest, chain, namespace, id FROM events LEFT JOIN refs USING (ref)
        WHERE event > ?1 ORDER BY event LIMIT ?2";
    let mut after = ledger.prepare_cached(AFTER)?;
    let mut events = after.query((link.number, STRETCH))?;
    let mut checked = 0;
    while let Some(row) = events.next()? {
        let number: i64 = row.get("event")?;
        let (digest, chain): ([u8; 32], [u8; 32]) = (row.get("digest")?, row.get("chain")?);
        let body: Option<String> = row.get("body")?;
        let owner = (row.get::<_, Option<String>>("namespace")?, row.get::<_, Option<String>>("id")?);
        let honest = body.is_none_or(|body| says(&body, digest, &owner));
        // A number is never skipped: a transaction that rolls back gives its numbers back.
        if number != link.number + 1 || chain != chained(link.chain, digest) || !honest {
            return Err(LedgerError::corrupt("events", format!("a broken chain at event {number}")));
        }
        link = Link { number, chain };
        checked += 1;
    }
    Ok((link, checked))
}

/// Whether a body is the one that was digested, and stands beside the reference it speaks of.
fn says(body: &str, digest: [u8; 32], owner: &(Option<String>, Option<String>)) -> bool {
    let owns = |body: Body| *owner == (Some(body.reference.namespace), Some(body.reference.id));
    digest == <[u8; 32]>::from(Sha256::digest(body)) && serde_json::from_str::<Body>(body).is_ok_and(owns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Standing;
    use crate::ledger::Access;
    use crate::ledger::stage::{at, created, deferred, ended, key, opened};

    #[tokio::test(start_paused = true)]
    async fn what_happened_is_told_newest_first() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", deferred("connection reset", 60), 1)).await.unwrap();
        ledger.settle(ended("2", created("c2"), 2)).await.unwrap();
        ledger.settle(ended("1", created("c1"), 3)).await.unwrap();
        let told = |number, seconds, what: &str, propstreet_id: Option<&str>, note: &str| {
            let (propstreet_id, what, note) = (propstreet_id.map(str::to_owned), what.to_owned(), note.to_owned());
            Event { number, told: Some(Told { at: at(seconds), pass: Some(PassId(1)), what, propstreet_id, note }) }
        };
        let events = ledger.events(key("1"), 10).await.unwrap();
        let (newest, oldest) = (
            told(3, 3, "created", Some("c1"), "POST 201"),
            told(1, 1, "deferred", None, "record_fails: connection reset"),
        );
        assert_eq!(events, [newest.clone(), oldest]);
        assert_eq!(ledger.events(key("1"), 1).await.unwrap(), [newest]);
        assert_eq!(ledger.verify_chain().await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_emptied_body_keeps_the_chain_and_every_other_edit_is_refused_or_found() {
        let (folder, ledger) = opened().await;
        for id in ["1", "2", "3", "4"] {
            ledger.settle(ended(id, created(id), 1)).await.unwrap();
        }
        let raw = crate::ledger::connect(&folder.path().join("ledger.db"), Access::Write).unwrap();
        assert_eq!(raw.execute("UPDATE events SET body = NULL, ref = NULL WHERE event = 2", []).unwrap(), 1);
        assert_eq!(ledger.verify_chain().await.unwrap(), 4);
        assert_eq!(ledger.standing("2", 2).await, Standing::Settled { fingerprint: crate::ledger::stage::print(1) });
        for edit in
            ["DELETE FROM events", "UPDATE events SET body = '{}'", "UPDATE events SET event = 9 WHERE event = 4"]
        {
            assert!(raw.execute(edit, []).is_err(), "{edit}");
        }

        raw.execute_batch("DROP TRIGGER events_are_kept; DROP TRIGGER events_are_only_emptied").unwrap();
        for (edit, found_at) in [
            ("UPDATE events SET body = replace(body, 'POST 201', 'POST 200') WHERE event = 3", 3),
            ("UPDATE events SET ref = 1 WHERE event = 3", 3),
            ("UPDATE events SET digest = zeroblob(32), body = NULL WHERE event = 3", 3),
            ("UPDATE events SET chain = zeroblob(32) WHERE event = 3", 3),
            ("DELETE FROM events WHERE event = 3", 4),
            ("DELETE FROM events WHERE event = 1", 2),
        ] {
            raw.execute_batch("SAVEPOINT before").unwrap();
            raw.execute(edit, []).unwrap();
            let start = Link { number: 0, chain: START };
            let broken = follow(&raw, start).unwrap_err();
            assert!(broken.to_string().ends_with(&format!("at event {found_at}")), "{edit}: {broken}");
            raw.execute_batch("ROLLBACK TO before; RELEASE before").unwrap();
        }
    }
}
