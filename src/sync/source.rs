//! What the engine asks of a CRM. Nothing here is optional: what one CRM cannot do, the engine does not ask.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::{Account, Page, Record, Resume, Window};

/// One CRM account, read only.
pub trait ContactSource: Send + Sync {
    /// The upstream account behind the credential. Called once, before anything else is trusted.
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>>;

    /// The bound below which the CRM can show no later commit, from the *server's* clock less a margin.
    /// Costs no request once the server has been heard.
    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>>;

    /// People whose stamp lies in the window. The adapter splits or refuses a window that a cap may have cut.
    fn changes(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>>;

    /// Everyone, in an order in which nobody can be skipped (by id), also those without a stamp.
    fn everyone(&self, detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>>;

    /// The people with these ids; ids the CRM does not show are missing from the answer.
    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>>;

    /// How far before the watermark a poll reads again, for commits and index entries that show late.
    fn overlap(&self) -> Duration;

    /// Requests sent to this CRM so far.
    fn requests(&self) -> u64;
}

/// How much a listing of everyone must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The records themselves, for a backfill.
    Records,
    /// Id and stamp; a record only where it costs nothing, for a sweep.
    Stamps,
}
