//! Writes that were announced and have no outcome yet. A crash or a lost answer leaves one open; only a settlement
//! closes it.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::fingerprint::Fingerprint;
use crate::domain::identity::RefKey;
use crate::domain::keyed::KeyedHash;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, key_of, millis, time, word};
use crate::ledger::error::LedgerError;

/// What an announced write is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IntentKind {
    /// Make a contact.
    Create,
    /// Add our reference to a contact that exists.
    Link,
    /// Mark or delete a contact whose record has left. Whether that was applied, the contact says itself.
    Update,
}

impl IntentKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Link => "link",
            Self::Update => "update",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Create, Self::Link, Self::Update].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// An announced write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The reference it is about; one open intent each.
    pub key: RefKey,
    /// The reference's source.
    pub source: String,
    /// What it does.
    pub kind: IntentKind,
    /// The contact it writes to; `None` for a create.
    pub target: Option<String>,
    /// The address the contact will have, hashed.
    pub email: Option<KeyedHash>,
    /// What is sent.
    pub fingerprint: Fingerprint,
    /// When it was announced.
    pub at: Timestamp,
}

impl Ledger {
    /// Announces a write; durable on return. A second intent for a reference replaces the first.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn intend(&self, intent: Intent) -> Result<(), LedgerError> {
        self.write(move |ledger| open(ledger, &intent)).await
    }

    /// Takes an announcement back: what it announced was applied or not, and the contact itself will say.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn withdraw(&self, key: RefKey) -> Result<(), LedgerError> {
        const WITHDRAW: &str =
            "DELETE FROM intents WHERE ref = (SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2)";
        self.write(move |ledger| {
            ledger.prepare_cached(WITHDRAW)?.execute((key.namespace, key.id))?;
            Ok(())
        })
        .await
    }

    /// Another reference whose announced write carries this address.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn open_intent_with_email(
        &self,
        email: KeyedHash,
        except: RefKey,
    ) -> Result<Option<RefKey>, LedgerError> {
        const SIBLING: &str = "SELECT namespace, id FROM intents JOIN refs USING (ref)
            WHERE intents.email = ?1 AND NOT (namespace = ?2 AND id = ?3) LIMIT 1";
        self.read(move |ledger| {
            let mut sibling = ledger.prepare_cached(SIBLING)?;
            Ok(sibling.query_row((email, &except.namespace, &except.id), key_of).optional()?)
        })
        .await
    }

    /// A source's references with an open intent, oldest first: after a start, what the last process left unanswered.
    /// Those that were deferred with it have a time of their own.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn open_intents(&self, source: &str, limit: usize) -> Result<Vec<RefKey>, LedgerError> {
        const OPEN: &str = "SELECT namespace, id FROM intents JOIN refs USING (ref)
            WHERE intents.source = ?1 AND state <> 'deferred' ORDER BY at, ref LIMIT ?2";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut open = ledger.prepare_cached(OPEN)?;
            Ok(open.query_map((source, at_most(limit)), key_of)?.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// A write announced about a reference the ledger has never heard of makes its row: one row a reference, always.
pub(in crate::ledger) fn open(ledger: &Connection, intent: &Intent) -> Result<(), LedgerError> {
    const MEET: &str = "INSERT INTO refs (namespace, id, source, state, email, first_seen, last_changed)
        VALUES (?1, ?2, ?3, 'unsettled', ?4, ?5, ?5) ON CONFLICT (namespace, id) DO NOTHING";
    const ANNOUNCE: &str = "INSERT OR REPLACE INTO intents (ref, source, kind, target, email, fingerprint, at)
        SELECT ref, ?3, ?4, ?5, ?6, ?7, ?8 FROM refs WHERE namespace = ?1 AND id = ?2";
    let Intent { key, source, kind, target, email, fingerprint, at } = intent;
    ledger.prepare_cached(MEET)?.execute((&key.namespace, &key.id, source, email, millis(*at)))?;
    let announced = (&key.namespace, &key.id, source, kind.as_str(), target, email, fingerprint.0, millis(*at));
    ledger.prepare_cached(ANNOUNCE)?.execute(announced)?;
    Ok(())
}

/// The open intent of a reference.
pub(in crate::ledger) fn find(ledger: &Connection, key: &RefKey) -> Result<Option<Intent>, LedgerError> {
    const FIND: &str = "SELECT intents.* FROM intents JOIN refs USING (ref) WHERE namespace = ?1 AND id = ?2";
    let mut find = ledger.prepare_cached(FIND)?;
    let mut found = find.query((&key.namespace, &key.id))?;
    let Some(row) = found.next()? else { return Ok(None) };
    Ok(Some(Intent {
        key: key.clone(),
        source: row.get("source")?,
        kind: word("intents", &row.get::<_, String>("kind")?, IntentKind::parse)?,
        target: row.get("target")?,
        email: row.get("email")?,
        fingerprint: Fingerprint(row.get("fingerprint")?),
        at: time("intents", row.get("at")?)?,
    }))
}

/// Closes the intent of a reference, if one is open.
pub(in crate::ledger) fn close(ledger: &Connection, reference: i64) -> Result<(), LedgerError> {
    ledger.prepare_cached("DELETE FROM intents WHERE ref = ?1")?.execute([reference])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::Standing;
    use crate::ledger::stage::{at, create, created, deferred, ended, hash, key, opened, print};

    #[tokio::test(start_paused = true)]
    async fn an_open_intent_goes_before_everything_and_a_settlement_closes_it() {
        let (_folder, ledger) = opened().await;
        ledger.intend(create("1", Some(hash(1)), 1)).await.unwrap();
        let view = ledger.view(key("1"), None, at(2)).await.unwrap();
        assert_eq!(view.intent, Some(create("1", Some(hash(1)), 1)));
        let row = view.row.unwrap();
        assert_eq!((row.standing, row.outcome, row.first_seen), (Standing::Intended, None, at(1)));

        ledger.settle(ended("1", created("c1"), 3)).await.unwrap();
        let view = ledger.view(key("1"), None, at(4)).await.unwrap();
        assert_eq!((view.intent, view.row.unwrap().standing), (None, Standing::Settled { fingerprint: print(1) }));

        let link = Intent { kind: IntentKind::Link, target: Some("c2".to_owned()), ..create("1", None, 5) };
        ledger.intend(create("1", None, 5)).await.unwrap();
        ledger.intend(link.clone()).await.unwrap();
        let view = ledger.view(key("1"), None, at(6)).await.unwrap();
        assert_eq!(view.intent, Some(link), "the second replaces the first");
        let row = view.row.unwrap();
        assert_eq!((row.standing, row.propstreet_id.as_deref()), (Standing::Intended, Some("c1")));
        ledger.settle(ended("1", deferred("reset", 9), 7)).await.unwrap();
        assert_eq!(ledger.standing("1", 8).await, Standing::Deferred { due: false });
    }

    #[tokio::test(start_paused = true)]
    async fn an_announcement_taken_back_leaves_what_stood_before() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        ledger.intend(Intent { kind: IntentKind::Update, ..create("1", None, 2) }).await.unwrap();
        assert_eq!(ledger.standing("1", 3).await, Standing::Intended);
        ledger.withdraw(key("1")).await.unwrap();
        assert_eq!(ledger.standing("1", 3).await, Standing::Settled { fingerprint: print(1) });
    }

    #[tokio::test(start_paused = true)]
    async fn a_sibling_under_way_is_found_by_its_address() {
        let (_folder, ledger) = opened().await;
        ledger.intend(create("1", Some(hash(1)), 1)).await.unwrap();
        let sibling = |of: u8, except: &str| ledger.open_intent_with_email(hash(of), key(except));
        assert_eq!(sibling(1, "2").await.unwrap(), Some(key("1")));
        assert_eq!(sibling(1, "1").await.unwrap(), None, "not itself");
        assert_eq!(sibling(2, "2").await.unwrap(), None);
        ledger.settle(ended("1", created("c1"), 2)).await.unwrap();
        assert_eq!(sibling(1, "2").await.unwrap(), None, "no longer under way");
    }
}
