//! Merges that a webhook told of (protocol §H), where polling shows that somebody is there no longer and not into whom they
//! went. Nothing is believed: whoever was merged must be shown no longer, and the survivor must be. Then the survivor is
//! read as one that supersedes the other, and all else is as with any merge.
//!
//! A hint is closed once the ledger knows the merge, so that a death in between costs a second reading and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;

use crate::domain::Timestamp;
use crate::domain::departure::Fate;
use crate::domain::identity::RefKey;
use crate::domain::merge::Hint;
use crate::domain::record::{Page, Record, Sighting};
use crate::ledger::hints::OpenHint;
use crate::ledger::rows::Row;
use crate::sync::pass::Pass;
use crate::sync::report::Stop;
use crate::sync::upkeep::Upkeep;

/// How long a hint is kept that reading does not bear out: a lagging deletion shows within it, and after it who has left
/// is the sweep's to tell.
const KEPT: TimeDelta = TimeDelta::days(1);
/// Hints looked after at once: two ids each, and more where one merge followed another.
const AT_ONCE: usize = 100;

impl Pass<'_> {
    /// Looks after the hints that are due.
    pub(super) async fn heed(&self, floor: Option<Timestamp>, upkeep: &Upkeep<'_>) -> Result<(), Stop> {
        let open = self.desk.engine.ledger.hints(&self.desk.source.name).await?;
        let told = open.iter().map(|open| (open.hint.loser.clone(), open.hint.survivor.clone())).collect();
        let due: Vec<OpenHint> = open.into_iter().filter(|open| open.due <= self.desk.now()).collect();
        for hints in due.chunks(AT_ONCE) {
            if self.desk.patience.lost().is_some() {
                return Ok(());
            }
            self.bear_out(hints, &told, floor).await?;
            upkeep.run().await?;
        }
        Ok(())
    }

    /// Reads after some of the hints, delivers the survivors, and closes what is settled.
    async fn bear_out(
        &self,
        hints: &[OpenHint],
        told: &HashMap<String, String>,
        floor: Option<Timestamp>,
    ) -> Result<(), Stop> {
        let settled = self.losers(hints).await?;
        let mut paths = Vec::new();
        for OpenHint { hint, .. } in hints.iter().filter(|open| !is_settled(settled.get(&open.hint.loser))) {
            paths.push((&hint.loser, self.path(hint, told).await?));
        }
        let ids: BTreeSet<&String> = paths.iter().flat_map(|(loser, path)| path.iter().chain([*loser])).collect();
        let (records, _) = self.fetch(ids.into_iter().cloned().collect()).await?;
        let mut shown: BTreeMap<String, Record> = records.into_iter().map(|r| (r.id.clone(), r)).collect();
        for (loser, path) in paths.iter().filter(|(loser, _)| !shown.contains_key(*loser)).collect::<Vec<_>>() {
            let survivor = path.iter().find(|id| shown.contains_key(*id));
            if let Some(record) = survivor.and_then(|id| shown.get_mut(id)) {
                record.supersedes.push((*loser).clone());
            }
        }
        let survivors = shown.into_values().filter(|record| !record.supersedes.is_empty());
        let sighting = |r: Record| Sighting { id: r.id.clone(), modified: r.modified, record: Some(r) };
        let page = Page { sightings: survivors.map(sighting).collect(), ..Page::default() };
        self.settle_page(page, floor).await?;
        self.close(hints).await
    }

    /// Who may stand for the loser today, in order: a survivor may have been merged itself, by another hint or one that was
    /// borne out before.
    async fn path(&self, hint: &Hint, told: &HashMap<String, String>) -> Result<Vec<String>, Stop> {
        let mut path = vec![hint.survivor.clone()];
        while let Some(last) = path.last() {
            let next = match told.get(last) {
                Some(survivor) => survivor.clone(),
                None => self.desk.engine.ledger.survivor(self.desk.key(last)).await?.id,
            };
            // Whoever was told to be merged in a circle is merged into nobody.
            if next == hint.loser || path.contains(&next) {
                break;
            }
            path.push(next);
        }
        Ok(path)
    }

    /// What the ledger knows of those who are said to be merged, by id.
    async fn losers(&self, hints: &[OpenHint]) -> Result<HashMap<String, Row>, Stop> {
        let by_key: HashMap<RefKey, String> =
            hints.iter().map(|open| (self.desk.key(&open.hint.loser), open.hint.loser.clone())).collect();
        let rows = self.desk.engine.ledger.rows(by_key.keys().cloned().collect(), self.desk.now()).await?;
        Ok(rows.into_iter().filter_map(|(key, row)| Some((by_key.get(&key)?.clone(), row))).collect())
    }

    /// Closes the hints that are settled, or have waited too long; the others wait for as long again as they have waited.
    async fn close(&self, hints: &[OpenHint]) -> Result<(), Stop> {
        let (settled, now) = (self.losers(hints).await?, self.desk.now());
        let (mut closed, mut put_off) = (Vec::new(), Vec::new());
        for OpenHint { hint, since, .. } in hints {
            let waited = (now - *since).max(TimeDelta::zero());
            match is_settled(settled.get(&hint.loser)) || waited >= KEPT {
                true => closed.push(hint.clone()),
                false => put_off.push((hint.clone(), (now + waited).min(*since + KEPT))),
            }
        }
        let (source, merged, waiting) = (&self.desk.source.name, closed.len(), put_off.len());
        tracing::debug!(source, merged, waiting, "merges that webhooks told of");
        Ok(self.desk.engine.ledger.close_hints(source, closed, put_off).await?)
    }
}

/// Whether nothing is left to do for a loser: the ledger knows whom it was merged into, or its contact was deleted from
/// here, when a sweep came before the hint; the survivor must not inherit that as a person's decision.
fn is_settled(loser: Option<&Row>) -> bool {
    loser.is_some_and(|row| row.alias.is_some() || row.gone.is_some_and(|gone| gone.fate == Fate::Deleted))
}
