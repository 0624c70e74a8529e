//! References whose records have left their CRM: held until it is certain that they may, then with what became of the
//! contact; and the way back of a record that is shown alive again.

use rusqlite::{Connection, OptionalExtension};

use crate::domain::Timestamp;
use crate::domain::departure::{Evidence, Fate};
use crate::domain::identity::RefKey;
use crate::ledger::columns::{at_most, count, key_of, millis, time, time_if_any, word};
use crate::ledger::error::LedgerError;
use crate::ledger::events::Told;
use crate::ledger::passes::PassId;
use crate::ledger::{Ledger, events, index, tags};

/// The event of one that is not shown and not gone.
const HIDDEN: &str = "hidden";

/// Those who are held and whose time to leave it is. Whom a webhook calls merged waits until that is borne out or not: its
/// contact may be the survivor's by then.
const TO_LEAVE: &str = "FROM gone JOIN refs USING (ref) WHERE fate = 'held' AND source = ?1
    AND NOT EXISTS (SELECT 1 FROM told_merges WHERE told_merges.source = refs.source AND loser = refs.id)";

/// What the ledger holds on a record that has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    /// What became of its contact.
    pub fate: Fate,
    /// How it is known.
    pub evidence: Evidence,
    /// The CRM's stamp of its deletion, where it has one.
    pub stamp: Option<Timestamp>,
    /// When that was decided; of one that is held, since when it is.
    pub at: Timestamp,
}

/// One that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its place among the held, to go on from.
    pub place: i64,
    /// The reference.
    pub key: RefKey,
    /// How it is known.
    pub evidence: Evidence,
    /// The pass that last saw it gone.
    pub pass: PassId,
}

/// How many leave a source, for the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leaving {
    /// Those whose time to leave it is.
    pub held: u64,
    /// Those who have left since an instant.
    pub recent: u64,
    /// Those who live there, the held among them.
    pub live: u64,
}

impl Ledger {
    /// Notes that records are gone: what becomes of them is decided when the pass has come to its end. References the
    /// ledger has never heard of are nothing, merged ones and those deleted in Propstreet too; a decided fate stays, but
    /// for that of one whom the filter kept out, which may leave its CRM all the same.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn hold(
        &self,
        pass: PassId,
        evidence: Evidence,
        gone: Vec<(RefKey, Option<Timestamp>)>,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        const HOLD: &str = "INSERT INTO gone (ref, fate, evidence, stamp, pass, at)
            SELECT ref, 'held', ?3, ?4, ?5, ?6 FROM refs
                WHERE namespace = ?1 AND id = ?2 AND state <> 'deleted' AND ref NOT IN (SELECT ref FROM aliases)
            ON CONFLICT (ref) DO UPDATE SET evidence = excluded.evidence, pass = excluded.pass,
                stamp = coalesce(excluded.stamp, stamp), fate = 'held',
                at = CASE fate WHEN 'held' THEN at ELSE excluded.at END
                WHERE fate = 'held' OR evidence = 'filter'";
        const FILTERED: &str = "SELECT ref FROM gone JOIN refs USING (ref)
            WHERE namespace = ?1 AND id = ?2 AND evidence = 'filter'";
        self.write(move |ledger| {
            let mut hold = ledger.prepare_cached(HOLD)?;
            for (key, stamp) in gone {
                let mut filtered = ledger.prepare_cached(FILTERED)?;
                if let Some(reference) = filtered.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()? {
                    tags::owe(ledger, reference)?;
                }
                let stamp = stamp.map(millis);
                hold.execute((&key.namespace, &key.id, evidence.as_str(), stamp, pass.0, millis(at)))?;
            }
            Ok(())
        })
        .await
    }

    /// The held of a source after this place, in order.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn held(&self, source: &str, after: i64, limit: usize) -> Result<Vec<Held>, LedgerError> {
        const WHO: &str = "SELECT gone.ref AS place, namespace, id, evidence, pass";
        let source = source.to_owned();
        self.read(move |ledger| {
            let held = format!("{WHO} {TO_LEAVE} AND gone.ref > ?2 ORDER BY gone.ref LIMIT ?3");
            let mut held = ledger.prepare_cached(&held)?;
            let held = held.query_and_then((source, after, at_most(limit)), |row| {
                let evidence = word("gone", &row.get::<_, String>("evidence")?, Evidence::parse)?;
                Ok(Held { place: row.get("place")?, key: key_of(row)?, evidence, pass: PassId(row.get("pass")?) })
            })?;
            held.collect()
        })
        .await
    }

    /// Lets go of the held whom the CRM does not show and does not call gone either: they stay as they stood. Told once,
    /// however often it happens in a row.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `ReadOnly`, `Closed`.
    pub async fn release(&self, pass: PassId, hidden: Vec<RefKey>, at: Timestamp) -> Result<(), LedgerError> {
        const FIND: &str = "SELECT ref FROM gone JOIN refs USING (ref)
            WHERE namespace = ?1 AND id = ?2 AND fate = 'held'";
        const RELEASE: &str = "DELETE FROM gone WHERE ref = ?1";
        const LAST: &str = "SELECT body ->> 'what' FROM events WHERE ref = ?1 ORDER BY event DESC LIMIT 1";
        self.write(move |ledger| {
            for key in &hidden {
                let mut find = ledger.prepare_cached(FIND)?;
                let held = find.query_row((&key.namespace, &key.id), |row| row.get::<_, i64>(0)).optional()?;
                let Some(reference) = held else { continue };
                ledger.prepare_cached(RELEASE)?.execute([reference])?;
                let last = ledger.prepare_cached(LAST)?.query_row([reference], |row| row.get::<_, Option<String>>(0));
                if last.optional()?.flatten().as_deref() == Some(HIDDEN) {
                    continue;
                }
                let note =
                    "the CRM does not show it, and does not say that it is deleted: it stays as it is".to_owned();
                let told = Told { at, pass: Some(pass), what: HIDDEN.to_owned(), propstreet_id: None, note };
                events::append(ledger, reference, key, told)?;
            }
            Ok(())
        })
        .await
    }

    /// How many leave a source. Counts those who live there only when anybody is held.
    ///
    /// # Errors
    /// `Sql`, `Corrupt`, `Closed`.
    pub async fn leaving(&self, source: &str, since: Timestamp) -> Result<Leaving, LedgerError> {
        const RECENT: &str = "SELECT count(*) FROM gone JOIN refs USING (ref)
            WHERE fate IN ('kept', 'tagged', 'deleted') AND gone.at >= ?2 AND source = ?1";
        const LIVE: &str = "SELECT count(*) FROM refs
            WHERE source = ?1 AND state = 'settled' AND ref NOT IN (SELECT ref FROM gone WHERE fate <> 'held')";
        let source = source.to_owned();
        self.read(move |ledger| {
            let held = format!("SELECT count(*) {TO_LEAVE}");
            let held = ledger.prepare_cached(&held)?.query_row([&source], |row| row.get(0))?;
            if held == 0 {
                return Ok(Leaving::default());
            }
            let recent = ledger.prepare_cached(RECENT)?.query_row((&source, millis(since)), |row| row.get(0))?;
            let live = ledger.prepare_cached(LIVE)?.query_row([&source], |row| row.get(0))?;
            Ok(Leaving { held: count("gone", held)?, recent: count("gone", recent)?, live: count("refs", live)? })
        })
        .await
    }

    /// A record that had left, or was merged, is shown alive again: what stood before stands again, save that a merged
    /// one is decided anew.
    ///
    /// # Errors
    /// `Sql`, `ReadOnly`, `Closed`.
    pub async fn returned(&self, pass: PassId, key: RefKey, at: Timestamp) -> Result<(), LedgerError> {
        self.write(move |ledger| back(ledger, pass, &key, at)).await
    }
}

fn back(ledger: &Connection, pass: PassId, key: &RefKey, at: Timestamp) -> Result<(), LedgerError> {
    const FIND: &str = "SELECT ref FROM refs WHERE namespace = ?1 AND id = ?2";
    const UNALIAS: &str = "DELETE FROM aliases WHERE ref = ?1";
    // What waited for a person was its contact beside the survivor's: a living record has its own again.
    const ANEW: &str = "UPDATE refs SET state = 'unsettled', reason = NULL, next_try = NULL
        WHERE ref = ?1 AND state IN ('moved', 'quarantined')";
    const UNAWAIT: &str = "DELETE FROM quarantine WHERE ref = ?1";
    const HERE: &str = "UPDATE refs SET outcome = CASE state WHEN 'settled' THEN 'unchanged' END, reason = NULL
        WHERE ref = ?1 AND reason IN ('gone', 'filtered')";
    const FILTERED: &str = "SELECT reason IS 'filtered' FROM refs WHERE ref = ?1";
    const UNGONE: &str = "DELETE FROM gone WHERE ref = ?1";
    // Whether its field still holds the id is not known: asking costs one look.
    const OWED: &str = "INSERT OR IGNORE INTO write_backs (ref, source)
        SELECT ref, source FROM refs JOIN write_back_fields USING (source) WHERE ref = ?1 AND state = 'settled'";
    let found = ledger.prepare_cached(FIND)?.query_row((&key.namespace, &key.id), |row| row.get(0)).optional()?;
    let Some(reference) = found else { return Ok(()) };
    let merged = ledger.prepare_cached(UNALIAS)?.execute([reference])? > 0;
    if merged {
        ledger.prepare_cached(ANEW)?.execute([reference])?;
        ledger.prepare_cached(UNAWAIT)?.execute([reference])?;
    }
    tags::owe(ledger, reference)?;
    let gone = ledger.prepare_cached(UNGONE)?.execute([reference])? > 0;
    let filtered: bool = ledger.prepare_cached(FILTERED)?.query_row([reference], |row| row.get(0))?;
    ledger.prepare_cached(HERE)?.execute([reference])?;
    if !merged && !gone && !filtered {
        return Ok(());
    }
    ledger.prepare_cached(OWED)?.execute([reference])?;
    let note = match (merged, filtered) {
        (true, _) => "the CRM shows it again: it is merged no longer",
        (false, true) => "the filter lets it in again",
        (false, false) => "the CRM shows it again",
    };
    let told = Told { at, pass: Some(pass), what: "returned".to_owned(), propstreet_id: None, note: note.to_owned() };
    events::append(ledger, reference, key, told)
}

/// Keeps what became of a record that left.
pub(in crate::ledger) fn decide(
    ledger: &Connection,
    reference: i64,
    fate: Fate,
    evidence: Evidence,
    pass: PassId,
    at: Timestamp,
) -> Result<(), LedgerError> {
    const DECIDE: &str = "INSERT INTO gone (ref, fate, evidence, pass, at) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (ref) DO UPDATE SET fate = excluded.fate, evidence = excluded.evidence, pass = excluded.pass,
            at = excluded.at";
    // There is no record to write to.
    const UNOWED: &str = "DELETE FROM write_backs WHERE ref = ?1";
    const CONTACT: &str = "SELECT propstreet_id FROM refs WHERE ref = ?1";
    let decided = (reference, fate.as_str(), evidence.as_str(), pass.0, millis(at));
    ledger.prepare_cached(DECIDE)?.execute(decided)?;
    if evidence != Evidence::Filter {
        ledger.prepare_cached(UNOWED)?.execute([reference])?;
    }
    // Whoever could not join its contact because this one stood there may now.
    let contact: Option<String> = ledger.prepare_cached(CONTACT)?.query_row([reference], |row| row.get(0))?;
    contact.map_or(Ok(()), |contact| index::wake(ledger, &contact))
}

/// A record comes to stand on this contact. What was decided because the filter keeps it out was decided about the one
/// it stood on before.
pub(in crate::ledger) fn stands_elsewhere(
    ledger: &Connection,
    reference: i64,
    contact: &str,
) -> Result<(), LedgerError> {
    const UNDECIDE: &str = "DELETE FROM gone WHERE ref = ?1 AND evidence = 'filter' AND fate <> 'held'
        AND (SELECT propstreet_id FROM refs WHERE ref = ?1) IS NOT ?2";
    ledger.prepare_cached(UNDECIDE)?.execute((reference, contact))?;
    Ok(())
}

/// What became of a record that left, from a result's columns `fate`, `evidence`, `gone_stamp` and `gone_at`.
pub(in crate::ledger) fn of(row: &rusqlite::Row<'_>) -> Result<Option<Gone>, LedgerError> {
    let Some(fate) = row.get::<_, Option<String>>("fate")? else { return Ok(None) };
    Ok(Some(Gone {
        fate: word("gone", &fate, Fate::parse)?,
        evidence: word("gone", &row.get::<_, String>("evidence")?, Evidence::parse)?,
        stamp: time_if_any("gone", row.get("gone_stamp")?)?,
        at: time("gone", row.get("gone_at")?)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::merge::{Alias, Place};
    use crate::domain::plan::Standing;
    use crate::ledger::settlements::Ending;
    use crate::ledger::stage::{at, contact, created, ended, filled, key, opened, print, quarantined};

    const SETTLED: Standing = Standing::Settled { fingerprint: print(1) };

    fn left(fate: Fate) -> Ending {
        Ending::Gone { fate, evidence: Evidence::Feed, etag: Some("v2".to_owned()), note: "why".to_owned() }
    }

    fn merged_into(id: &str) -> Ending {
        Ending::Merged { alias: Alias { survivor: key(id), stamp: Some(at(3)) }, apart: None }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_held_waits_and_a_decided_fate_stays() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2", "3", "4"] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
        }
        ledger.settle(ended("3", merged_into("4"), 1)).await.unwrap();
        let gone = |ids: &[&str], stamp| ids.iter().map(|id| (key(id), stamp)).collect::<Vec<_>>();
        ledger.hold(PassId(1), Evidence::Feed, gone(&["1", "2", "3", "unheard"], Some(at(2))), at(5)).await.unwrap();
        ledger.settle(ended("2", left(Fate::Tagged), 6)).await.unwrap();
        ledger.hold(PassId(2), Evidence::Sweep, gone(&["1", "2"], None), at(7)).await.unwrap();
        let held = ledger.held("crm", i64::MIN, 9).await.unwrap();
        assert_eq!(held.len(), 1, "neither merged nor unheard of nor decided: {held:?}");
        let one = &held[0];
        assert_eq!((&one.key, one.evidence, one.pass), (&key("1"), Evidence::Sweep, PassId(2)));
        assert!(ledger.held("crm", one.place, 9).await.unwrap().is_empty());
        assert!(ledger.held("other", i64::MIN, 9).await.unwrap().is_empty());
        let row = ledger.row("1", 8).await;
        assert_eq!(row.gone.map(|gone| (gone.at, gone.stamp)), Some((at(5), Some(at(2)))), "held since the first");
        assert_eq!((row.standing, row.outcome.is_some()), (Standing::Gone { stamp: Some(at(2)) }, true));
        let row = ledger.row("2", 8).await;
        assert!(row.has_left());
        assert_eq!((row.etag.as_deref(), row.reason.as_deref()), (Some("v2"), Some("gone")));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_only_hidden_stands_as_before_and_is_told_of_once() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2"] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
        }
        ledger.settle(ended("2", left(Fate::Kept), 2)).await.unwrap();
        for day in [3, 4] {
            ledger.hold(PassId(1), Evidence::Sweep, vec![(key("1"), None)], at(day)).await.unwrap();
            ledger.release(PassId(1), vec![key("1"), key("2"), key("unheard")], at(day)).await.unwrap();
            assert_eq!(ledger.row("1", day).await.standing, SETTLED);
        }
        assert!(ledger.row("2", 5).await.has_left(), "what is decided stays");
        let events = ledger.events(key("1"), 9).await.unwrap().into_iter().filter_map(|event| event.told);
        assert_eq!(events.map(|told| told.what).collect::<Vec<_>>(), [HIDDEN, "created"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_days_departures_are_counted_by_source() {
        let (_folder, ledger) = opened().await;
        for id in ["1", "2", "3"] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
        }
        assert_eq!(ledger.leaving("crm", at(0)).await.unwrap(), Leaving::default());
        ledger.settle(ended("1", left(Fate::Kept), 10)).await.unwrap();
        ledger.hold(PassId(1), Evidence::Feed, vec![(key("2"), None)], at(20)).await.unwrap();
        let leaving = |since| ledger.leaving("crm", at(since));
        assert_eq!(leaving(10).await.unwrap(), Leaving { held: 1, recent: 1, live: 2 });
        assert_eq!(leaving(11).await.unwrap(), Leaving { held: 1, recent: 0, live: 2 });
        assert_eq!(ledger.leaving("other", at(0)).await.unwrap(), Leaving::default());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_back_stands_as_before_and_who_was_merged_is_decided_anew() {
        let (_folder, ledger) = opened().await;
        for (id, ending, then) in [
            ("1", left(Fate::Kept), SETTLED),
            ("2", left(Fate::Deleted), Standing::Deleted),
            ("3", merged_into("1"), Standing::Unknown),
        ] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
            ledger.settle(ended(id, ending, 2)).await.unwrap();
            ledger.returned(PassId(2), key(id), at(3)).await.unwrap();
            ledger.returned(PassId(2), key(id), at(3)).await.unwrap();
            let row = ledger.row(id, 4).await;
            assert_eq!((row.standing, row.alias, row.gone), (then, None, None), "{id}");
            let told = ledger.events(key(id), 9).await.unwrap();
            let words: Vec<_> = told.into_iter().filter_map(|event| event.told).map(|told| told.what).collect();
            assert_eq!((words.len(), words[0].as_str()), (3, "returned"), "{id}: once");
        }
        ledger.returned(PassId(2), key("unheard"), at(3)).await.unwrap();
    }

    /// One whom the filter keeps out inherits the contact of a record merged into it: its fate is open.
    #[tokio::test(start_paused = true)]
    async fn what_the_filter_decided_holds_for_the_contact_it_was_decided_about() {
        let (_folder, ledger) = opened().await;
        for (id, evidence, then, open) in [
            ("1", Evidence::Filter, "c-other", true),
            ("2", Evidence::Filter, "c2", false),
            ("3", Evidence::Feed, "c-third", false),
        ] {
            ledger.settle(ended(id, created(&format!("c{id}")), 1)).await.unwrap();
            let fate = Ending::Gone { fate: Fate::Deleted, evidence, etag: None, note: String::new() };
            ledger.settle(ended(id, fate, 2)).await.unwrap();
            ledger.settle(ended(id, created(then), 3)).await.unwrap();
            assert_eq!(ledger.row(id, 4).await.gone.is_none(), open, "{id}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_survivor_inherits_from_all_who_lead_to_it() {
        let (_folder, ledger) = opened().await;
        let place = async |id: &str| ledger.view(key(id), None, at(9)).await.unwrap().holders.by_merge;
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        ledger.settle(ended("2", quarantined(None), 1)).await.unwrap();
        ledger.settle(ended("2", merged_into("3"), 2)).await.unwrap();
        assert_eq!(place("3").await, Place::Nowhere, "who was put aside stands nowhere");
        ledger.settle(ended("1", merged_into("2"), 2)).await.unwrap();
        assert_eq!(place("2").await, Place::On("c1".to_owned()));
        assert_eq!(place("3").await, Place::On("c1".to_owned()), "through the one between");
        assert_eq!(ledger.survivor(key("1")).await.unwrap(), key("3"));
        assert_eq!(ledger.survivor(key("3")).await.unwrap(), key("3"));
        let mut deleted = contact("c1", "1", 2);
        deleted.indexed.deleted = true;
        ledger.index(vec![deleted], filled()).await.unwrap();
        assert_eq!(place("3").await, Place::Deleted);
    }
}
