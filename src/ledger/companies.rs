//! Which company of Propstreet each employer became, and whose employer waits. Names and addresses are keyed hashes here too.

use rusqlite::OptionalExtension;

use crate::domain::Timestamp;
use crate::domain::employer::KnownField;
use crate::domain::identity::RefKey;
use crate::domain::pass::Outcome;
use crate::ledger::columns::{at_most, count, json, key_of, millis, time, to_json, word};
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::index::IndexEntry;
use crate::ledger::passes::PassId;
use crate::ledger::{Ledger, events, index, intents};

/// How a company stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompanyState {
    /// A write was announced, and its answer is not known.
    Announced,
    /// It is known which company it is.
    Settled,
    /// Nothing says which company it is.
    Waiting,
}

impl CompanyState {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "announced" => Some(Self::Announced),
            "settled" => Some(Self::Settled),
            "waiting" => Some(Self::Waiting),
            _ => None,
        }
    }
}

/// What the ledger knows of a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompanyRow {
    /// The CRM's reference to it.
    pub key: RefKey,
    /// How it stands.
    pub state: CompanyState,
    /// Propstreet's id, once it was known.
    pub propstreet_id: Option<String>,
    /// Its row version there.
    pub etag: Option<String>,
    /// What is known of its fields.
    pub fields: Vec<KnownField>,
    /// How that came about, or why it waits.
    pub note: String,
    /// When something was last settled about it.
    pub last_changed: Timestamp,
}

/// A company that is known from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCompany {
    /// The CRM's reference to it.
    pub key: RefKey,
    /// The source.
    pub source: String,
    /// Propstreet's id.
    pub propstreet_id: String,
    /// Its row version.
    pub etag: Option<String>,
    /// What is known of its fields.
    pub fields: Vec<KnownField>,
    /// How it was found out.
    pub note: String,
}

/// A contact whose employer was dealt with although its record rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Employment {
    /// The pass.
    pub pass: PassId,
    /// The record.
    pub key: RefKey,
    /// The contact as Propstreet shows it now.
    pub index: IndexEntry,
    /// The row version to remember as ours.
    pub etag: Option<String>,
    /// Whether the employer waits still.
    pub pending: bool,
    /// What was done.
    pub note: String,
    /// When.
    pub at: Timestamp,
}

impl Ledger {
    /// What is known of a company.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn company(&self, key: RefKey) -> Result<Option<CompanyRow>, LedgerError> {
        const FIND: &str = "SELECT * FROM companies WHERE namespace = ?1 AND id = ?2";
        self.read(move |ledger| {
            let mut find = ledger.prepare_cached(FIND)?;
            let mut found = find.query((&key.namespace, &key.id))?;
            found.next()?.map(read).transpose()
        })
        .await
    }

    /// Announces that a company is about to be made or changed, and what is known of its fields if no answer comes;
    /// durable on return.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn announce_company(
        &self,
        key: RefKey,
        source: &str,
        fields: &[KnownField],
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        let fields = to_json("companies", &fields)?;
        self.put_company(key, source, "announced", Some(fields), "a write is under way".to_owned(), at).await
    }

    /// Notes why no company can be told to be it.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn company_waits(
        &self,
        key: RefKey,
        source: &str,
        note: String,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        self.put_company(key, source, "waiting", None, note, at).await
    }

    async fn put_company(
        &self,
        key: RefKey,
        source: &str,
        state: &'static str,
        fields: Option<String>,
        note: String,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        const PUT: &str = "INSERT INTO companies (namespace, id, source, state, fields, note, first_seen, last_changed)
            VALUES (?1, ?2, ?3, ?4, coalesce(?5, '[]'), ?6, ?7, ?7)
            ON CONFLICT (namespace, id) DO UPDATE SET source = excluded.source, state = excluded.state,
                fields = coalesce(?5, fields), note = excluded.note, last_changed = excluded.last_changed";
        let source = source.to_owned();
        self.write(move |ledger| {
            ledger.prepare_cached(PUT)?.execute((&key.namespace, &key.id, source, state, fields, note, millis(at)))?;
            Ok(())
        })
        .await
    }

    /// Settles which company it is, and what is known of its fields.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn settle_company(&self, known: KnownCompany, at: Timestamp) -> Result<(), LedgerError> {
        const SETTLE: &str = "INSERT INTO companies
                (namespace, id, source, state, propstreet_id, etag, fields, note, first_seen, last_changed)
            VALUES (?1, ?2, ?3, 'settled', ?4, ?5, ?6, ?7, ?8, ?8)
            ON CONFLICT (namespace, id) DO UPDATE SET source = excluded.source, state = 'settled',
                propstreet_id = excluded.propstreet_id, etag = excluded.etag, fields = excluded.fields,
                note = excluded.note, last_changed = excluded.last_changed";
        self.write(move |ledger| {
            let KnownCompany { key: RefKey { namespace, id }, source, propstreet_id, etag, fields, note } = known;
            let fields = to_json("companies", &fields)?;
            let row = (namespace, id, source, propstreet_id, etag, fields, note, millis(at));
            ledger.prepare_cached(SETTLE)?.execute(row)?;
            Ok(())
        })
        .await
    }

    /// Notes when the employer of a record is to be tried again, and why it waits.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn await_employer(&self, key: RefKey, due: Timestamp, why: String) -> Result<(), LedgerError> {
        const AWAIT: &str = "INSERT OR REPLACE INTO awaited_employers (ref, due, why)
            SELECT ref, ?3, ?4 FROM refs WHERE namespace = ?1 AND id = ?2";
        self.write(move |ledger| {
            ledger.prepare_cached(AWAIT)?.execute((&key.namespace, &key.id, millis(due), why))?;
            Ok(())
        })
        .await
    }

    /// A source's settled records whose employer waits and is due to be tried.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn employers_due(&self, source: &str, now: Timestamp, limit: usize) -> Result<Vec<RefKey>, LedgerError> {
        const DUE: &str = "SELECT namespace, id FROM refs LEFT JOIN awaited_employers USING (ref)
            WHERE source = ?1 AND pending_employment = 1 AND state = 'settled' AND coalesce(due, ?2) <= ?2
                AND ref NOT IN (SELECT ref FROM gone) AND ref NOT IN (SELECT ref FROM aliases)
            ORDER BY coalesce(due, 0), ref LIMIT ?3";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut due = ledger.prepare_cached(DUE)?;
            Ok(due.query_map((source, millis(now), at_most(limit)), key_of)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many contacts of a source wait for their employer, and what the longest waiting of them waits for, if known.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn employers_waiting(&self, source: &str) -> Result<(u64, Option<String>), LedgerError> {
        const WAITING: &str = "SELECT count(*), min(why) FROM refs LEFT JOIN awaited_employers USING (ref)
            WHERE source = ?1 AND pending_employment = 1 AND state = 'settled'";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut waiting = ledger.prepare_cached(WAITING)?;
            let (waiting, why) = waiting.query_row([source], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok((count("refs", waiting)?, why))
        })
        .await
    }

    /// Why the employer of a record's contact is not there yet; nothing where none is owed.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn employer_waits(&self, key: RefKey) -> Result<Option<String>, LedgerError> {
        const FIND: &str =
            "SELECT coalesce(why, 'the next sync brings it') FROM refs LEFT JOIN awaited_employers USING (ref)
            WHERE namespace = ?1 AND id = ?2 AND pending_employment = 1 AND state = 'settled'";
        self.read(move |ledger| {
            Ok(ledger.prepare_cached(FIND)?.query_row((key.namespace, key.id), |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Settles the employment of a record that rests: the contact's version, what waits, its announced write closed, and
    /// the event, in one transaction.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn employed(&self, employment: Employment) -> Result<(), LedgerError> {
        const FIND: &str = "SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2";
        const EMPLOYED: &str = "UPDATE refs SET etag = ?2, pending_employment = ?3, last_changed = ?4 WHERE ref = ?1";
        self.write(move |ledger| {
            let Employment { pass, key, index: entry, etag, pending, note, at } = employment;
            let found =
                ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?;
            let Some(reference) = found else { return Ok(()) };
            index::put(ledger, &entry)?;
            ledger.prepare_cached(EMPLOYED)?.execute((reference, etag, pending, millis(at)))?;
            intents::close(ledger, reference)?;
            let what = Outcome::Updated.as_str().to_owned();
            let told = Told { at, pass: Some(pass), what, propstreet_id: Some(entry.indexed.id), note };
            events::append(ledger, reference, &key, told)
        })
        .await
    }
}

fn read(row: &rusqlite::Row<'_>) -> Result<CompanyRow, LedgerError> {
    Ok(CompanyRow {
        key: key_of(row)?,
        state: word("companies", &row.get::<_, String>("state")?, CompanyState::parse)?,
        propstreet_id: row.get("propstreet_id")?,
        etag: row.get("etag")?,
        fields: json("companies", &row.get::<_, String>("fields")?)?,
        note: row.get("note")?,
        last_changed: time("companies", row.get("last_changed")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::settlements::Ending;
    use crate::ledger::stage::{at, contact, created, ended, hash, key, open, opened};

    fn known() -> KnownCompany {
        KnownCompany {
            key: key("c7"),
            source: "crm".to_owned(),
            propstreet_id: "70".to_owned(),
            etag: Some("v1".to_owned()),
            fields: vec![KnownField("name".to_owned(), Some(hash(1)), None)],
            note: "created".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_company_is_announced_settled_and_waits_also_for_the_next_process() {
        let (folder, ledger) = opened().await;
        assert_eq!(ledger.company(key("c7")).await.unwrap(), None);
        let sent = [KnownField("name".to_owned(), Some(hash(2)), None)];
        ledger.announce_company(key("c7"), "crm", &sent, at(1)).await.unwrap();
        ledger.close().await;
        let ledger = open(&folder).await;
        let row = ledger.company(key("c7")).await.unwrap().unwrap();
        assert_eq!((row.state, row.propstreet_id), (CompanyState::Announced, None));
        assert_eq!(row.fields, sent, "what was sent is known although no answer came");
        ledger.settle_company(known(), at(2)).await.unwrap();
        let row = ledger.company(key("c7")).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.propstreet_id.as_deref(), row.fields),
            (CompanyState::Settled, Some("70"), known().fields)
        );
        ledger.company_waits(key("c7"), "crm", "deleted".to_owned(), at(3)).await.unwrap();
        let row = ledger.company(key("c7")).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.propstreet_id.as_deref()),
            (CompanyState::Waiting, Some("70")),
            "what it was is known"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn whose_employer_waits_is_due_at_once_or_when_it_was_said() {
        let (_folder, ledger) = opened().await;
        for (id, pending) in [("1", true), ("2", true), ("3", false)] {
            let mut ending = created(id);
            if let Ending::Synced { pending_employment, .. } = &mut ending {
                *pending_employment = pending;
            }
            ledger.settle(ended(id, ending, 1)).await.unwrap();
        }
        ledger.await_employer(key("2"), at(60), "several companies".to_owned()).await.unwrap();
        let due = async |seconds| ledger.employers_due("crm", at(seconds), 9).await.unwrap();
        assert_eq!(due(2).await, [key("1")]);
        assert_eq!(due(60).await, [key("1"), key("2")]);
        assert_eq!(ledger.employers_waiting("crm").await.unwrap(), (2, Some("several companies".to_owned())));
        assert!(ledger.employer_waits(key("1")).await.unwrap().is_some());
        let (pass, index, note) = (PassId(1), contact("1", "1", 9), "employed".to_owned());
        let etag = Some("v8".to_owned());
        let employment = Employment { pass, key: key("1"), index, etag, pending: false, note, at: at(3) };
        ledger.employed(employment).await.unwrap();
        assert_eq!(due(4).await, []);
        assert_eq!(ledger.employer_waits(key("1")).await.unwrap(), None);
        assert_eq!(ledger.row("1", 4).await.etag.as_deref(), Some("v8"));
    }
}
