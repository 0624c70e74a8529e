//! What the engine asks of a CRM. What only some can do is a question of its own that the others need not answer.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::finding::Finding;
use crate::domain::record::{Account, Page, Record, Resume, Window, WriteBack, WrittenBack};
use crate::domain::spending::{Purses, Spending};

/// One CRM account.
pub trait ContactSource: Send + Sync {
    /// The upstream account behind the credential. Called once, before anything else is trusted.
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>>;

    /// Checks the rights and fields the configuration needs, with reads only. Asked before anything is read, and by
    /// `doctor`. A field that is not there or not visible is a finding by name, never a null.
    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, Trouble>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// The bound below which the CRM can show no later commit, from the *server's* clock less a margin.
    /// Costs at most a request an object that is polled.
    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>>;

    /// People whose stamp lies in the window. The adapter splits or refuses a window that a cap may have cut.
    fn changes(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>>;

    /// Everyone, in an order in which nobody can be skipped (by id), also those without a stamp.
    fn everyone(&self, detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>>;

    /// The people with these ids; ids the CRM does not show are missing from the answer.
    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>>;

    /// What the CRM says of these, whom [`fetch`](Self::fetch) did not show. Asked before anybody is let go. Where an id is
    /// left out silently, whether it is gone or hidden from this credential, the CRM must be asked for each.
    fn confirm_gone(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Confirmed, Trouble>> {
        Box::pin(async { Ok(Confirmed { gone: ids, shown: Vec::new() }) })
    }

    /// Whether a record tells whom it has replaced. Where none does, one of two that were merged disappears, and the other
    /// changes; nothing says that these belong together.
    fn tells_merges(&self) -> bool {
        true
    }

    /// How far before the watermark a poll reads again, for commits and index entries that show late.
    fn overlap(&self) -> Duration;

    /// The rhythm in which windows are read a second time, where polls cannot see everything.
    fn trail(&self) -> Option<Trail> {
        None
    }

    /// What that second reading reads of a window: what changed, once more, or what a poll leaves out for its cost.
    fn trailing(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        self.changes(window, resume)
    }

    /// Requests sent to this CRM so far.
    fn requests(&self) -> u64;

    /// The server's clock, as its newest answer told it; `None` where that is not known.
    fn server_now(&self) -> Option<Timestamp> {
        None
    }

    /// Hears what this source has cost within the last day, before now; a CRM with a budget a day stays within its share
    /// of that, and answers [`Trouble::NotSent`] beyond it; or [`Trouble::Spared`] to what can wait, a sweep or a
    /// write-back, where what is left is kept for polls.
    fn spent(&self, _spending: Spending) {}

    /// What was spent so far, in the unit this CRM counts by.
    fn spending(&self) -> Purses<u64> {
        Purses { everyday: self.requests(), ..Purses::default() }
    }

    /// How much of that a day this CRM allows everybody together, by its last word.
    fn daily_limit(&self) -> Option<u64> {
        None
    }

    /// Waits for what must not be cut off when the process ends: the answer to a login may hold the only refresh token
    /// that still works.
    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// The way to write Propstreet's ids into a field of the CRM, where one is configured.
    fn field(&self) -> Option<&dyn PropstreetIdField> {
        None
    }
}

/// The field of a CRM that holds Propstreet's id.
pub trait PropstreetIdField: Send + Sync {
    /// The field's name, as configured. Another name means that everybody's is owed anew.
    fn name(&self) -> &str;

    /// How many one call takes.
    fn at_once(&self) -> usize;

    /// Writes each id where the field differs, and nowhere else. The answer has an entry for each, in order.
    fn write(&self, links: Vec<WriteBack>) -> BoxFuture<'_, Result<Vec<WrittenBack>, Trouble>>;
}

/// What a CRM says of those it does not show. Who is in neither list is hidden, and stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Confirmed {
    /// Those that are gone.
    pub gone: Vec<String>,
    /// Those that it shows after all.
    pub shown: Vec<Record>,
}

/// A second, slower reading of windows, that stays behind the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trail {
    /// How far behind the bound it ends.
    pub behind: Duration,
    /// How much time it reads at once, or more: it is not due before.
    pub every: Duration,
}

/// How much a listing of everyone must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The records themselves, for a backfill.
    Records,
    /// Id and stamp; a record only where it costs nothing, for a sweep.
    Stamps,
}
