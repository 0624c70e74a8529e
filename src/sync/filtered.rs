//! Whom the operator's filter keeps out (protocol §G). A person who never had a contact gets none. One who has a contact
//! leaves as those do who are deleted, if `on_filtered` says so: held, counted by the guard, and seen off at the end of
//! the pass. Whoever passes again is back.

use crate::domain::Timestamp;
use crate::domain::departure::{Evidence, Fate};
use crate::domain::identity::RefKey;
use crate::domain::merge::Place;
use crate::domain::pass::{Outcome, SkipReason};
use crate::domain::plan::{self, Standing};
use crate::ledger::error::LedgerError;
use crate::ledger::gone::Held;
use crate::ledger::rows::{Row, View};
use crate::ledger::settlements::Ending;
use crate::sync::deliver::{Delivery, Halt, Turn};
use crate::sync::engine::OnDelete;
use crate::sync::pass::Pass;
use crate::sync::report::Stop;

impl Delivery<'_> {
    /// Whether one who had left, was merged, or was kept out is to be dealt with as living again.
    pub(super) fn is_back(&self, row: Option<&Row>, standing: &Standing) -> bool {
        match row.filter(|row| row.is_kept_out()) {
            Some(_) => self.admitted == Ok(true) && *standing != Standing::Intended,
            None => plan::is_back(standing, self.shown),
        }
    }

    /// What goes before the decision: a tag that is true no longer is taken off, and whom the filter keeps out stays out.
    pub(super) async fn at_the_door(&mut self, view: &View, standing: &Standing) -> Result<Option<Turn>, Halt> {
        if *standing != Standing::Intended && view.row.as_ref().is_some_and(|row| row.owes_tag) {
            self.take_off_tag(&view.place).await?;
            return Ok(Some(Turn::Again));
        }
        let is_out = view.row.as_ref().is_some_and(Row::is_kept_out);
        match (&self.admitted, standing) {
            // Nobody is let in by a filter that cannot be answered.
            (Err(_), Standing::Gone { .. }) if is_out => {
                self.rested(None).await?;
                Ok(Some(Turn::Done(Outcome::Skipped)))
            }
            (Ok(true) | Err(_), _) | (_, Standing::Moved(_) | Standing::Deleted) => Ok(None),
            (_, Standing::Gone { .. }) if !is_out => Ok(None),
            (Ok(false), Standing::Intended) => {
                self.end_announced("the filter keeps it out, and its write may not show yet").await?;
                Ok(Some(Turn::Again))
            }
            (Ok(false), _) => self.stay_out(view).await.map(Some),
        }
    }

    async fn stay_out(&mut self, view: &View) -> Result<Turn, Halt> {
        let row = view.row.as_ref();
        let stands = matches!(view.place, Place::On(_)) && row.is_some_and(|row| row.propstreet_id.is_some());
        if let (false, Place::On(contact)) = (stands, &view.holders.by_merge) {
            // The contact of a record merged into it is its own: what is decided about it is decided about that.
            self.inherit(contact).await?;
            return Ok(Turn::Again);
        }
        if row.is_some_and(Row::is_kept_out) {
            self.rested(self.modified).await?;
        } else {
            self.settle(Ending::Skipped { reason: SkipReason::Filtered, drifted: false }, None).await?;
        }
        let decided = row.and_then(|row| row.gone).is_some_and(|gone| gone.fate != Fate::Held);
        if stands && !decided && self.desk.source.on_filtered != OnDelete::Keep {
            let leaving = vec![(self.key.clone(), None)];
            self.desk.engine.ledger.hold(self.desk.pass, Evidence::Filter, leaving, self.desk.now()).await?;
        }
        Ok(Turn::Done(Outcome::Skipped))
    }

    async fn rested(&self, stamp: Option<Timestamp>) -> Result<(), LedgerError> {
        let rows = vec![(self.key.clone(), stamp)];
        self.desk.engine.ledger.rested(self.desk.pass, rows, None, self.memory.revisit).await
    }
}

impl Pass<'_> {
    /// Before those leave whom the filter keeps out: who was judged in an earlier pass is judged again by what the CRM
    /// shows now. Whoever passes is held no longer. Returns whom the CRM does not show: they wait for the next sweep.
    pub(super) async fn judge_again(&self, held: &[Held]) -> Result<Vec<RefKey>, Stop> {
        let before = held.iter().filter(|held| held.pass != self.desk.pass);
        let keys: Vec<_> = before.map(|held| held.key.clone()).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.not_shown(&keys).await
    }
}
