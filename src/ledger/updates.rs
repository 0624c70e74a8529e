//! Contacts that follow their records: what is known of all who stand on one, and how many are written within a day.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::departure::allowed;
use crate::domain::identity::RefKey;
use crate::domain::keyed::KeyedHash;
use crate::domain::remembered::Remembered;
use crate::domain::updates::Updates;
use crate::ledger::Ledger;
use crate::ledger::columns::{at_most, count, json, key_of, millis, to_json};
use crate::ledger::error::LedgerError;
use crate::ledger::intents::{self, Intent};

/// A record that stands, or stood, on a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its reference.
    pub key: RefKey,
    /// Its source.
    pub source: String,
    /// Whether it stands there still: it has neither left nor become part of another, and the filter lets it in.
    pub live: bool,
    /// What is remembered of its fields.
    pub owned: Remembered,
    /// The name it was settled with, hashed.
    pub name: Option<KeyedHash>,
    /// The row version its last settlement saw.
    pub etag: Option<String>,
}

/// What a day of updates is counted by.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// The day's beginning.
    pub since: Timestamp,
    /// As many as are configured.
    pub guard: Option<u32>,
}

impl Ledger {
    /// Everybody who stands or stood on a contact.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn tenants(&self, propstreet_id: String) -> Result<Vec<Tenant>, LedgerError> {
        const TENANTS: &str = "SELECT namespace, id, source, owned, name, etag,
                state IN ('settled', 'quarantined', 'deferred') AND ref NOT IN (SELECT ref FROM aliases)
                    AND NOT EXISTS (SELECT 1 FROM gone WHERE gone.ref = refs.ref AND fate <> 'held')
                    AND reason IS NOT 'filtered' AS live
            FROM refs WHERE propstreet_id = ?1 ORDER BY namespace, id";
        self.read(move |ledger| {
            let mut tenants = ledger.prepare_cached(TENANTS)?;
            let tenants = tenants.query_and_then([propstreet_id], |row| {
                let owned: Option<String> = row.get("owned")?;
                let owned = owned.map(|owned| json("refs", &owned)).transpose()?.unwrap_or_default();
                let (source, live) = (row.get("source")?, row.get("live")?);
                let (name, etag) = (row.get("name")?, row.get("etag")?);
                Ok(Tenant { key: key_of(row)?, source, live, owned, name, etag })
            })?;
            tenants.collect()
        })
        .await
    }

    /// Announces a write to a contact's fields, with what it brings; durable on return. Under a watch it is not announced,
    /// and the answer is `false`, where it would be of more people than may be updated within the day.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn intend_update(
        &self,
        intent: Intent,
        owned: Remembered,
        watch: Option<Watch>,
    ) -> Result<bool, LedgerError> {
        const BRINGS: &str = "UPDATE refs SET owned = ?3 WHERE namespace = ?1 AND id = ?2";
        self.write(move |ledger| {
            if let Some(watch) = watch
                && !may_update(ledger, &intent, watch)?
            {
                return Ok(false);
            }
            intents::open(ledger, &intent)?;
            let owned = to_json("refs", &owned)?;
            ledger.prepare_cached(BRINGS)?.execute((&intent.key.namespace, &intent.key.id, owned))?;
            Ok(true)
        })
        .await
    }

    /// How a source's updates stand, if any wait. Counts those who live there only then.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn updates(&self, source: &str, watch: Watch) -> Result<Option<Updates>, LedgerError> {
        // Only the words of its condition let SQLite use `refs_waiting`.
        const WAITING: &str = "SELECT count(*) FROM refs
            WHERE source = ?1 AND state IN ('quarantined', 'deferred') AND state = 'deferred' AND reason = 'guarded'";
        let source = source.to_owned();
        self.read(move |ledger| {
            let waiting = ledger.prepare_cached(WAITING)?.query_row([&source], |row| row.get(0))?;
            if waiting == 0 {
                return Ok(None);
            }
            let allowed = allowed(live(ledger, &source, watch)?, watch.guard);
            let (waiting, recent) = (count("refs", waiting)?, recent(ledger, &source, watch, None)?);
            Ok(Some(Updates { waiting, recent, allowed }))
        })
        .await
    }

    /// A source's references whose update waits, the longest waiting first.
    ///
    /// # Errors
    /// `Sql`, `Closed`.
    pub async fn guarded(&self, source: &str, limit: usize) -> Result<Vec<RefKey>, LedgerError> {
        const GUARDED: &str = "SELECT namespace, id FROM refs
            WHERE source = ?1 AND state IN ('quarantined', 'deferred') AND state = 'deferred' AND reason = 'guarded'
            ORDER BY last_changed, ref LIMIT ?2";
        let source = source.to_owned();
        self.read(move |ledger| {
            let mut guarded = ledger.prepare_cached(GUARDED)?;
            Ok(guarded.query_map((source, at_most(limit)), key_of)?.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// Whether a person may be updated: those who were within the day may again, whatever the bound.
fn may_update(ledger: &Connection, intent: &Intent, watch: Watch) -> Result<bool, LedgerError> {
    const WAS: &str = "SELECT updated >= ?3 FROM refs WHERE namespace = ?1 AND id = ?2";
    let (namespace, id) = (&intent.key.namespace, &intent.key.id);
    let was = ledger.prepare_cached(WAS)?.query_row((namespace, id, millis(watch.since)), |row| row.get(0));
    if was.optional()?.flatten() == Some(true) {
        return Ok(true);
    }
    let recent = recent(ledger, &intent.source, watch, Some(&intent.key))?;
    // Those who live there are counted only where their number matters: it may be a million.
    if recent < allowed(0, watch.guard) || recent >= allowed(u64::MAX, watch.guard) {
        return Ok(recent < allowed(0, watch.guard));
    }
    Ok(recent < allowed(live(ledger, &intent.source, watch)?, watch.guard))
}

/// The people updated within the day, and those whose update is under way, save one.
fn recent(ledger: &Connection, source: &str, watch: Watch, save: Option<&RefKey>) -> Result<u64, LedgerError> {
    const RECENT: &str = "SELECT count(*) FROM refs
        WHERE ref IN (SELECT ref FROM refs WHERE source = ?1 AND updated >= ?2
                UNION SELECT ref FROM intents WHERE source = ?1 AND kind = 'update' AND ref NOT IN (SELECT ref FROM gone))
            AND NOT (namespace IS ?3 AND id IS ?4)";
    let save = save.map(|key| (&key.namespace, &key.id)).unzip();
    let given = (source, millis(watch.since), save.0, save.1);
    count("refs", ledger.prepare_cached(RECENT)?.query_row(given, |row| row.get(0))?)
}

fn live(ledger: &Connection, source: &str, watch: Watch) -> Result<u64, LedgerError> {
    const LIVE: &str = "WITH there AS (
            SELECT ref FROM refs WHERE source = ?1 AND state = 'settled'
            UNION ALL SELECT ref FROM refs
                WHERE source = ?1 AND state IN ('quarantined', 'deferred') AND state = 'deferred' AND reason = 'guarded')
        SELECT count(*) FROM there WHERE NOT EXISTS (SELECT 1 FROM gone WHERE gone.ref = there.ref AND fate <> 'held')";
    if watch.guard.is_some() {
        return Ok(0);
    }
    count("refs", ledger.prepare_cached(LIVE)?.query_row([source], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::departure::Guard;
    use crate::domain::departure::{Evidence, Fate};
    use crate::domain::failure::Wait;
    use crate::domain::pass::Outcome;
    use crate::ledger::intents::IntentKind;
    use crate::ledger::passes::PassId;
    use crate::ledger::settlements::{Ending, Settlement};
    use crate::ledger::stage::{at, create, created, ended, hash, key, opened, remembered};

    const WATCH: fn(u32) -> Watch = |guard| Watch { since: at(100), guard: Some(guard) };

    fn update(id: &str, seconds: i64) -> Intent {
        Intent { kind: IntentKind::Update, target: Some("c".to_owned()), ..create(id, None, seconds) }
    }

    fn written(contact: &str) -> Ending {
        match created(contact) {
            Ending::Synced {
                propstreet_id, etag, fingerprint, mapping, name, owned, pending_employment, note, ..
            } => {
                let outcome = Outcome::Updated;
                Ending::Synced {
                    outcome,
                    propstreet_id,
                    etag,
                    fingerprint,
                    mapping,
                    name,
                    owned,
                    pending_employment,
                    note,
                }
            }
            ending => ending,
        }
    }

    fn waiting() -> Ending {
        let cause = "more than may".to_owned();
        Ending::Deferred { wait: Wait::Guarded, cause, next: None, unanswered: false }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_people_than_may_are_announced_within_a_day() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2", "3", "4"] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
        }
        let may = async |id: &str, guard| {
            ledger.intend_update(update(id, 120), remembered(hash(7)), Some(WATCH(guard))).await.unwrap()
        };
        ledger.settle(ended("1", written("c1"), 99)).await.unwrap();
        assert!(may("2", 1).await, "the first was written the day before");
        assert_eq!(ledger.owned(key("2")).await.unwrap(), remembered(hash(7)), "it is known what is under way");
        assert!(!may("3", 1).await, "one is under way");
        assert!(may("2", 1).await, "which is no other");
        ledger.settle(ended("2", written("c2"), 130)).await.unwrap();
        assert!(!may("3", 1).await && may("2", 1).await, "who was written within the day may be again");
        assert!(ledger.view(key("3"), None, at(140)).await.unwrap().intent.is_none());
        assert!(may("3", 2).await);
        ledger.withdraw(key("3")).await.unwrap();
        assert!(ledger.intend_update(update("4", 140), remembered(hash(7)), None).await.unwrap(), "nobody watches");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_counted_and_taken_up_in_order() {
        let (_folder, ledger) = opened().await;
        for (id, seconds) in [("1", 3), ("2", 2), ("3", 1)] {
            ledger.settle(ended(id, created(&format!("c{id}")), 0)).await.unwrap();
            ledger.settle(ended(id, waiting(), 110 + seconds)).await.unwrap();
        }
        ledger.settle(ended("1", written("c1"), 120)).await.unwrap();
        let updates = ledger.updates("crm", WATCH(2)).await.unwrap().unwrap();
        assert_eq!(updates, Updates { waiting: 2, recent: 1, allowed: 2 });
        assert_eq!((updates.room(), updates.guard()), (1, Guard { allowed: 2, needed: 3 }));
        assert_eq!(ledger.updates("other", WATCH(2)).await.unwrap(), None);
        assert_eq!(ledger.guarded("crm", 9).await.unwrap(), [key("3"), key("2")]);
        assert_eq!(ledger.guarded("crm", 1).await.unwrap(), [key("3")]);
        assert!(ledger.due("crm", at(1_000_000), 9).await.unwrap().is_empty(), "no time takes them up");
        let by_default = ledger.updates("crm", Watch { since: at(0), guard: None }).await.unwrap().unwrap();
        assert_eq!(by_default.allowed, 10);
        assert_eq!(ledger.row("2", 200).await.attempts, 0, "it is not held against them");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_shares_a_contact_is_asked_again_when_a_field_or_a_record_goes() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2", "3"] {
            ledger.settle(ended(id, created("c1"), 1)).await.unwrap();
        }
        ledger.settle(ended("4", created("c4"), 1)).await.unwrap();
        let again = async || ledger.revisits("crm", 9).await.unwrap();
        ledger.settle(ended("1", created("c1"), 2)).await.unwrap();
        assert!(again().await.is_empty(), "nothing was given up");
        let mut empty = created("c1");
        if let Ending::Synced { owned, .. } = &mut empty {
            *owned = Remembered::default();
        }
        ledger.settle(ended("1", empty, 3)).await.unwrap();
        assert_eq!(again().await, [key("2"), key("3")]);
        let asked = ledger.view(key("2"), None, at(3)).await.unwrap().revisit;
        assert_eq!(asked, Some(at(3)));
        ledger.settle(Settlement { revisit: asked, ..ended("2", created("c1"), 4) }).await.unwrap();
        ledger.rested(PassId(1), vec![(key("3"), None)], None, asked).await.unwrap();
        assert!(again().await.is_empty(), "dealt with, either way");
        let left = Ending::Gone { fate: Fate::Kept, evidence: Evidence::Feed, etag: None, note: String::new() };
        ledger.settle(ended("2", left, 5)).await.unwrap();
        assert_eq!(again().await, [key("1"), key("3")]);
        let live = ledger.tenants("c1".to_owned()).await.unwrap().into_iter().map(|tenant| tenant.live);
        assert_eq!(live.collect::<Vec<_>>(), [true, false, true]);
        ledger.revisit(vec![key("2"), key("4"), key("unheard")], "asked for", at(6)).await.unwrap();
        assert_eq!(again().await, [key("1"), key("3"), key("4")], "who has left is not read");
    }

    /// Both records of a contact are delivered at once, and one gives up a field behind the other's back.
    #[tokio::test(start_paused = true)]
    async fn who_is_asked_for_while_it_is_delivered_is_asked_for_still() {
        let (_folder, ledger) = opened().await;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        let again = async || ledger.revisits("crm", 9).await.unwrap();
        let seen = async || ledger.view(key("1"), None, at(9)).await.unwrap().revisit;
        let nothing = seen().await;
        ledger.revisit(vec![key("1")], "asked for", at(2)).await.unwrap();
        ledger.settle(Settlement { revisit: nothing, ..ended("1", created("c1"), 3) }).await.unwrap();
        assert_eq!(again().await, [key("1")], "it did not know");
        let first = seen().await;
        // In the same moment, as far as a clock can tell.
        ledger.revisit(vec![key("1")], "asked for", at(2)).await.unwrap();
        ledger.settle(Settlement { revisit: first, ..ended("1", created("c1"), 4) }).await.unwrap();
        ledger.rested(PassId(1), vec![(key("1"), None)], None, first).await.unwrap();
        assert_eq!(again().await, [key("1")], "it knew of an earlier request only");
        let second = seen().await;
        ledger.settle(Settlement { revisit: second, ..ended("1", created("c1"), 5) }).await.unwrap();
        assert!(again().await.is_empty());
    }
}
