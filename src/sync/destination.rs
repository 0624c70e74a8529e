//! What the engine asks of Propstreet, and the answers it must be ready for.

pub mod companies;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::Timestamp;
use crate::domain::contact::Contact;
use crate::domain::employment::Employed;
use crate::domain::failure::Trouble;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::domain::ownership::Field;

/// A contact as Propstreet shows it. Lives as long as a decision; only hashes of it are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// Propstreet's id, opaque.
    pub id: String,
    /// The row version, byte for byte, for `If-Match`.
    pub etag: Option<String>,
    /// `updatedUtc` as it was written, seven digits and all.
    pub updated: String,
    /// Whether it carries a `deletedUtc`.
    pub deleted: bool,
    /// Every ref, as spelled there.
    pub refs: Vec<ExternalRef>,
    /// The primary address.
    pub email: Option<String>,
    /// All addresses, the primary among them.
    pub emails: Vec<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Phone as Propstreet normalised it.
    pub phone: Option<String>,
    /// LinkedIn profile.
    pub linkedin_url: Option<String>,
    /// ISO 639-1.
    pub primary_language: Option<String>,
    /// Free text.
    pub strategy: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Where the person works.
    pub employments: Vec<Employed>,
}

/// What became of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateAnswer {
    /// 2xx. Whether the contact is new or was there is for the ledger to tell.
    Accepted(Box<Seen>),
    /// 409: a question.
    Conflict(Conflict),
    /// 400 or 422 whose only error is the e-mail: perhaps "taken", said differently.
    EmailRefused(Refusal),
    /// 400 or 422 whose only errors are about the employment that came with it.
    EmploymentRefused(Refusal),
    /// Any other 400 or 422.
    Rejected(Refusal),
}

/// What a 409 said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The problem type was `concurrency-conflict`: a race inside the server.
    pub race: bool,
    /// The upstream's words, redacted.
    pub detail: String,
}

/// A refusal as invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The upstream's words, redacted: fields by name, messages without addresses and phones.
    pub detail: String,
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchAnswer {
    /// Written, or already so.
    Written(Box<Seen>),
    /// 412, or a 409 to a request that carried `If-Match`: read again, merge again.
    Stale(Conflict),
    /// No such contact.
    Missing,
    /// 400 or 422 whose only error is the e-mail: perhaps "taken", said differently.
    EmailRefused(Refusal),
    /// Any other 400 or 422.
    Rejected(Refusal),
}

/// The fields of a contact a PATCH writes. Arrays are whole: united by the caller, never trusted to merge.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Patch {
    /// Texts of the contact with their new value; `None` clears.
    pub texts: Vec<(Field, Option<String>)>,
    /// All refs the contact shall have.
    pub refs: Option<Vec<ExternalRef>>,
    /// All tags the contact shall have.
    pub tags: Option<Vec<String>>,
}

/// What became of a conditional deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteAnswer {
    /// Deleted.
    Deleted,
    /// 412, or a 409 to a request that carried `If-Match`: it changed since it was read.
    Stale(Conflict),
    /// No such contact, or no longer.
    Missing,
    /// Refused.
    Rejected(Refusal),
}

/// One page of the list of contacts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The contacts, oldest change first.
    pub contacts: Vec<Seen>,
    /// The cursor of the next page; `None` at the end.
    pub next: Option<String>,
}

/// Where a listing of contacts starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListFrom {
    /// Everyone, deleted contacts included.
    Start,
    /// Changes at or after this `updatedUtc`, deleted contacts included.
    Since(String),
    /// A page cursor.
    Cursor(String),
}

/// One Propstreet tenant.
pub trait ContactDestination: Send + Sync {
    /// Creates a contact that carries `reference`, with its primary employment if that is known. `idempotency_key` is sent and never relied on.
    /// A record that fails on its own is told apart from an outage by `subject`.
    fn create<'a>(
        &'a self,
        subject: &'a RefKey,
        contact: &'a Contact,
        reference: &'a ExternalRef,
        employer: Option<&'a str>,
        idempotency_key: &'a str,
    ) -> BoxFuture<'a, Result<CreateAnswer, Trouble>>;

    /// Brings the deleted contact that carries `reference` back as this one; makes one where none carries it any more.
    fn revive<'a>(
        &'a self,
        subject: &'a RefKey,
        contact: &'a Contact,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<CreateAnswer, Trouble>>;

    /// Looks a contact up by ref; `None` for 404. The answer may be a deleted contact.
    fn find<'a>(
        &'a self,
        subject: &'a RefKey,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<Option<Seen>, Trouble>>;

    /// Reads a contact by Propstreet's id; `None` for 404.
    fn read<'a>(&'a self, subject: &'a RefKey, id: &'a str) -> BoxFuture<'a, Result<Option<Seen>, Trouble>>;

    /// Writes some fields under `If-Match`.
    fn patch<'a>(
        &'a self,
        subject: &'a RefKey,
        id: &'a str,
        etag: Option<&'a str>,
        patch: &'a Patch,
    ) -> BoxFuture<'a, Result<PatchAnswer, Trouble>>;

    /// Deletes a contact under `If-Match`.
    fn delete<'a>(
        &'a self,
        subject: &'a RefKey,
        id: &'a str,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<DeleteAnswer, Trouble>>;

    /// Lists contacts, 500 a page. Speaks for no record: its failure is the upstream's.
    fn list(&self, from: ListFrom) -> BoxFuture<'_, Result<ListPage, Trouble>>;

    /// Waits until Propstreet answers a neutral call again, at most `patience`.
    fn recovered(&self, patience: Duration) -> BoxFuture<'_, Result<(), Trouble>>;

    /// What the ledger is bound to: base URL and client.
    fn binding(&self) -> String;

    /// Requests sent to Propstreet so far.
    fn requests(&self) -> u64;

    /// The server's clock, as its newest answer told it; `None` before the first.
    fn server_now(&self) -> Option<Timestamp>;
}
