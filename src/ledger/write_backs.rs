//! What is owed to a CRM: Propstreet's id, for the field that holds it there. A trigger of the schema makes a reference
//! owed in the transaction that settles it on another contact, where its source has such a field; so the row is the
//! intent of that write, and outlives the process (protocol §D.7). A poll that settles nobody finds nothing here, at the
//! cost of one look into an index.

use chrono::TimeDelta;
use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;

use crate::domain::Timestamp;
use crate::domain::identity::RefKey;
use crate::domain::record::{WriteBack, WrittenBack};
use crate::ledger::columns::{at_most, key_of, millis, time_if_any};
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::{Ledger, events};

/// How soon a record that was busy is tried again.
const BUSY: TimeDelta = TimeDelta::minutes(5);
/// How often what was refused is tried again: whoever mends the record or a right in the CRM need not tell us.
const REFUSED: TimeDelta = TimeDelta::days(1);

/// An id that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The reference.
    pub key: RefKey,
    /// The contact it is settled on.
    pub propstreet_id: String,
}

/// How the write-back of one reference stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WriteBackRow {
    /// The CRM's words, when it would not take it.
    pub refused: Option<String>,
    /// When it is tried again at the soonest; `None` before the first try.
    pub next_try: Option<Timestamp>,
}

impl Owed {
    /// What to ask of the CRM.
    #[must_use]
    pub fn link(&self) -> WriteBack {
        WriteBack { id: self.key.id.clone(), propstreet_id: self.propstreet_id.clone() }
    }
}

impl Ledger {
    /// Remembers the field that a source's CRM has for Propstreet's id. With another field than before, or the first,
    /// everybody settled is owed; without one, nobody is.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn write_back_into(&self, source: &str, field: Option<&str>) -> Result<(), LedgerError> {
        let (source, field) = (source.to_owned(), field.map(str::to_owned));
        let known = source.clone();
        // Asked by reading, so that a sync which changes nothing writes nothing.
        if self.read(move |ledger| remembered(ledger, &known)).await? == field {
            return Ok(());
        }
        self.write(move |ledger| owe_everybody(ledger, &source, field.as_deref())).await
    }

    /// What a source owes its CRM by now, the longest due first. Only of people who are settled, and whose record the
    /// CRM has not given up.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn owed(&self, source: &str, now: Timestamp, limit: usize) -> Result<Vec<Owed>, LedgerError> {
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut owed = ledger.prepare_cached(OWED)?;
            let owed = owed.query_map((source, millis(now), at_most(limit)), |row| {
                Ok(Owed { key: key_of(row)?, propstreet_id: row.get("propstreet_id")? })
            })?;
            Ok(owed.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Notes what became of ids that were owed, all in one transaction.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn written_back(&self, answers: Vec<(Owed, WrittenBack)>, at: Timestamp) -> Result<(), LedgerError> {
        self.write(move |ledger| answers.into_iter().try_for_each(|(owed, answer)| note(ledger, &owed, answer, at)))
            .await
    }

    /// How the write-back of a reference stands; `None` when nothing is owed.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn write_back(&self, key: RefKey) -> Result<Option<WriteBackRow>, LedgerError> {
        const FIND: &str = "SELECT refused, due FROM write_backs JOIN refs USING (ref)
            WHERE namespace = ?1 AND id = ?2";
        self.read(move |ledger| {
            let found: Option<(Option<String>, i64)> = ledger
                .prepare_cached(FIND)?
                .query_row((key.namespace, key.id), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((refused, due)) = found else { return Ok(None) };
            let next_try = time_if_any("write_backs", Some(due).filter(|due| *due > 0))?;
            Ok(Some(WriteBackRow { refused, next_try }))
        })
        .await
    }

    /// A reference of a source whose id the CRM would not take.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn refused_write_back(&self, source: &str) -> Result<Option<RefKey>, LedgerError> {
        const FIRST: &str = "SELECT namespace, id FROM refs
            WHERE ref = (SELECT min(ref) FROM write_backs WHERE source = ?1 AND refused IS NOT NULL)";
        let source = source.to_owned();
        self.read(move |ledger| Ok(ledger.prepare_cached(FIRST)?.query_row([source], key_of).optional()?)).await
    }
}

const OWED: &str = "SELECT namespace, id, propstreet_id FROM write_backs JOIN refs USING (ref)
    WHERE write_backs.source = ?1 AND due <= ?2 AND state = 'settled' AND NOT EXISTS (SELECT 1 FROM gone WHERE gone.ref = refs.ref)
    ORDER BY due, ref LIMIT ?3";

fn remembered(ledger: &Connection, source: &str) -> Result<Option<String>, LedgerError> {
    let mut field = ledger.prepare_cached("SELECT field FROM write_back_fields WHERE source = ?1")?;
    Ok(field.query_row([source], |row| row.get(0)).optional()?)
}

fn owe_everybody(ledger: &Connection, source: &str, field: Option<&str>) -> Result<(), LedgerError> {
    const SETTLED: &str = "INSERT INTO write_backs (ref, source)
        SELECT ref, source FROM refs WHERE source = ?1 AND state = 'settled'
            AND ref NOT IN (SELECT ref FROM gone WHERE fate <> 'held')";
    ledger.execute("DELETE FROM write_backs WHERE source = ?1", [source])?;
    ledger.execute("DELETE FROM write_back_fields WHERE source = ?1", [source])?;
    if let Some(field) = field {
        ledger.execute("INSERT INTO write_back_fields (source, field) VALUES (?1, ?2)", (source, field))?;
        ledger.execute(SETTLED, [source])?;
    }
    Ok(())
}

fn note(ledger: &Connection, owed: &Owed, answer: WrittenBack, at: Timestamp) -> Result<(), LedgerError> {
    // Owed still, and for this contact: a settlement since then is owed anew, whatever came of the old id.
    const FIND: &str = "SELECT ref, refused FROM write_backs JOIN refs USING (ref)
        WHERE namespace = ?1 AND id = ?2 AND propstreet_id = ?3";
    const DONE: &str = "DELETE FROM write_backs WHERE ref = ?1";
    const AGAIN: &str = "UPDATE write_backs SET due = ?2, refused = ?3 WHERE ref = ?1";
    let Owed { key, propstreet_id } = owed;
    let asked = (&key.namespace, &key.id, propstreet_id);
    let found: Option<(i64, Option<String>)> =
        ledger.prepare_cached(FIND)?.query_row(asked, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((reference, before)) = found else { return Ok(()) };
    let (again, happened) = match answer {
        WrittenBack::Written => (None, Some(("written_back", "the CRM's field holds the id".to_owned()))),
        WrittenBack::AlreadyThere => (None, Some(("written_back", "the CRM's field held the id already".to_owned()))),
        // Until the ledger has heard that it left, or it is back.
        WrittenBack::Gone => (Some((at + REFUSED, before)), None),
        WrittenBack::Later(_) => (Some((at + BUSY, before)), None),
        // Told once, however often the same words come back.
        WrittenBack::Refused(words) => {
            let news = before.as_ref() != Some(&words);
            (Some((at + REFUSED, Some(words.clone()))), news.then_some(("write_back_refused", words)))
        }
    };
    match again {
        None => drop(ledger.prepare_cached(DONE)?.execute([reference])?),
        Some((due, refused)) => drop(ledger.prepare_cached(AGAIN)?.execute((reference, millis(due), refused))?),
    }
    let Some((what, note)) = happened else { return Ok(()) };
    let told = Told { at, pass: None, what: what.to_owned(), propstreet_id: Some(propstreet_id.clone()), note };
    events::append(ledger, reference, key, told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::departure::{Evidence, Fate};
    use crate::domain::merge::Alias;
    use crate::ledger::passes::PassId;
    use crate::ledger::settlements::Ending;
    use crate::ledger::stage::{at, contact, created, deferred, ended, filled, key, open, opened, quarantined};

    const FIELD: Option<&str> = Some("Propstreet_Contact_Id__c");

    /// Whom the source owes, as `id contact`.
    async fn owed(ledger: &Ledger, seconds: i64) -> Vec<String> {
        let owed = ledger.owed("crm", at(seconds), 9).await.unwrap();
        owed.into_iter().map(|owed| format!("{} {}", owed.key.id, owed.propstreet_id)).collect()
    }

    async fn answer(ledger: &Ledger, id: &str, contact: &str, answer: WrittenBack, seconds: i64) {
        let owed = Owed { key: key(id), propstreet_id: contact.to_owned() };
        ledger.written_back(vec![(owed, answer)], at(seconds)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_contact_that_is_new_to_a_reference_is_owed_with_its_settlement() {
        let (folder, ledger) = opened().await;
        ledger.settle(ended("0", created("c0"), 1)).await.unwrap();
        assert!(owed(&ledger, 2).await.is_empty(), "nobody asked for it");
        ledger.write_back_into("crm", FIELD).await.unwrap();
        ledger.settle(ended("1", created("c1"), 3)).await.unwrap();
        drop(ledger);
        let ledger = open(&folder).await;
        assert_eq!(owed(&ledger, 4).await, ["0 c0", "1 c1"], "also after a process that just ends");
        for (id, contact) in [("0", "c0"), ("1", "c1")] {
            answer(&ledger, id, contact, WrittenBack::Written, 5).await;
        }
        ledger.settle(ended("1", created("c1"), 6)).await.unwrap();
        assert!(owed(&ledger, 7).await.is_empty(), "the same contact again is no news");
        ledger.settle(ended("1", created("c9"), 8)).await.unwrap();
        assert_eq!(owed(&ledger, 9).await, ["1 c9"]);
    }

    #[tokio::test(start_paused = true)]
    async fn another_field_is_owed_everybody_and_none_is_owed_nobody() {
        let (_folder, ledger) = opened().await;
        for (id, ending) in [("1", created("c1")), ("2", created("c2")), ("3", deferred("reset", 60))] {
            ledger.settle(ended(id, ending, 1)).await.unwrap();
        }
        for (field, expected) in [
            (FIELD, &["1 c1", "2 c2"][..]),
            (FIELD, &["2 c2"]),
            (Some("Other__c"), &["1 c1", "2 c2"]),
            (None, &[]),
            (FIELD, &["1 c1", "2 c2"]),
        ] {
            ledger.write_back_into("crm", field).await.unwrap();
            ledger.write_back_into("other", FIELD).await.unwrap();
            assert_eq!(owed(&ledger, 2).await, expected, "{field:?}");
            answer(&ledger, "1", "c1", WrittenBack::Written, 3).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_leaves_what_it_must() {
        let (_folder, ledger) = opened().await;
        ledger.write_back_into("crm", FIELD).await.unwrap();
        let words = "FIELD_CUSTOM_VALIDATION_EXCEPTION: closed records stay as they are".to_owned();
        let (minutes, day) = (300, 86_400);
        for (id, given, again, what) in [
            ("1", WrittenBack::Written, None, "written_back"),
            ("2", WrittenBack::AlreadyThere, None, "written_back"),
            ("3", WrittenBack::Gone, Some(day), "created"),
            ("4", WrittenBack::Later("UNABLE_TO_LOCK_ROW".to_owned()), Some(minutes), "created"),
            ("5", WrittenBack::Refused(words.clone()), Some(day), "write_back_refused"),
        ] {
            ledger.settle(ended(id, created(id), 1)).await.unwrap();
            answer(&ledger, id, id, given.clone(), 2).await;
            let row = ledger.write_back(key(id)).await.unwrap();
            assert_eq!(row.as_ref().and_then(|row| row.next_try), again.map(|seconds| at(2 + seconds)), "{given:?}");
            assert_eq!(row.and_then(|row| row.refused), (id == "5").then(|| words.clone()));
            let newest = ledger.events(key(id), 1).await.unwrap().remove(0).told.unwrap();
            assert_eq!((newest.what.as_str(), newest.propstreet_id.as_deref()), (what, Some(id)));
        }
        assert_eq!(owed(&ledger, 1 + minutes).await, [""; 0]);
        assert_eq!(owed(&ledger, 2 + minutes).await, ["4 4"]);
        assert_eq!(ledger.refused_write_back("crm").await.unwrap(), Some(key("5")));
        answer(&ledger, "5", "5", WrittenBack::Refused(words), 2 + day).await;
        assert_eq!(ledger.events(key("5"), 9).await.unwrap().len(), 2, "the same words are told once");
        ledger.settle(ended("5", created("c9"), 3 + day)).await.unwrap();
        assert_eq!(ledger.refused_write_back("crm").await.unwrap(), None, "another id is another question");
        assert_eq!(owed(&ledger, 3 + day).await, ["5 c9", "4 4", "3 3"]);
        ledger.verify_chain().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_settled_and_alive_is_written() {
        let (_folder, ledger) = opened().await;
        ledger.write_back_into("crm", FIELD).await.unwrap();
        let moved = Ending::Merged { alias: Alias { survivor: key("9"), stamp: None }, apart: None };
        let deleted = Ending::Deleted { propstreet_id: None, note: "404".to_owned() };
        for (id, then) in [("1", quarantined(None)), ("2", moved), ("3", deleted), ("4", created("4"))] {
            ledger.settle(ended(id, created(id), 1)).await.unwrap();
            ledger.settle(ended(id, then, 2)).await.unwrap();
        }
        ledger.settle(ended("5", created("5"), 3)).await.unwrap();
        let gone = "INSERT INTO gone (ref, fate, evidence, pass, at)
            SELECT ref, 'kept', 'feed', 1, 0 FROM refs WHERE id = '5'";
        ledger.write(|ledger| Ok(ledger.execute(gone, [])?)).await.unwrap();
        assert_eq!(owed(&ledger, 9).await, ["4 4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_left_is_owed_nothing_and_who_is_back_again() {
        let (_folder, ledger) = opened().await;
        ledger.write_back_into("crm", FIELD).await.unwrap();
        let moved = || Ending::Merged { alias: Alias { survivor: key("9"), stamp: None }, apart: None };
        let kept = || {
            let (fate, evidence) = (Fate::Kept, Evidence::Feed);
            Ending::Gone { fate, evidence, etag: None, note: "the contact stays as it is".to_owned() }
        };
        for (id, left) in [("1", moved()), ("2", kept())] {
            ledger.settle(ended(id, created(id), 1)).await.unwrap();
            ledger.settle(ended(id, left, 2)).await.unwrap();
            assert_eq!(ledger.write_back(key(id)).await.unwrap(), None, "nothing waits for ever");
        }
        ledger.write_back_into("crm", Some("Other__c")).await.unwrap();
        assert_eq!(ledger.write_back(key("2")).await.unwrap(), None, "nor for another field");
        for id in ["1", "2"] {
            ledger.returned(PassId(2), key(id), at(3)).await.unwrap();
        }
        assert_eq!(owed(&ledger, 4).await, ["2 2"]);
        ledger.settle(ended("1", created("1"), 5)).await.unwrap();
        assert_eq!(owed(&ledger, 6).await, ["1 1", "2 2"], "on the contact of before");
    }

    #[tokio::test(start_paused = true)]
    async fn whose_contact_is_restored_is_owed_the_field_of_today() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        let mut deleted = contact("c1", "1", 2);
        deleted.indexed.deleted = true;
        ledger.index(vec![deleted], filled()).await.unwrap();
        ledger.write_back_into("crm", FIELD).await.unwrap();
        ledger.index(vec![contact("c1", "1", 3)], filled()).await.unwrap();
        assert_eq!(owed(&ledger, 4).await, ["1 c1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_about_an_older_contact_settles_nothing() {
        let (_folder, ledger) = opened().await;
        ledger.write_back_into("crm", FIELD).await.unwrap();
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        ledger.settle(ended("1", created("c2"), 2)).await.unwrap();
        answer(&ledger, "1", "c1", WrittenBack::Written, 3).await;
        assert_eq!(owed(&ledger, 4).await, ["1 c2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_poll_looks_into_an_index_alone() {
        let (_folder, ledger) = opened().await;
        let plan: Vec<String> = ledger
            .read(|ledger| {
                let mut plan = ledger.prepare(&format!("EXPLAIN QUERY PLAN {OWED}"))?;
                Ok(plan.query_map(("crm", 0, 1), |row| row.get("detail"))?.collect::<Result<_, _>>()?)
            })
            .await
            .unwrap();
        assert!(plan[0].contains("write_backs USING COVERING INDEX write_backs_due (source=? AND due<?)"), "{plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
    }
}
