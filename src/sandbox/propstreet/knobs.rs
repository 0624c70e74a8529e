//! What Propstreet's pages contradict or leave open, as switches. A client that keeps its promises keeps them under every
//! combination. Knows no state and no HTTP. ("Commits after the client gave up" is the fault `CommitLate`.)

use std::time::Duration;

/// How a write is answered whose address belongs to another contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenEmail {
    /// 409, in the very words of a taken reference.
    Conflict,
    /// 400 with `errors.email`.
    Invalid,
}

/// What `PATCH` makes of `externalRefs`, `tags` and `connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrays {
    /// The list sent is the list stored.
    Replace,
    /// What is sent is added.
    Merge,
}

/// Where a list answer carries its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelope {
    /// `{data, page: {nextCursor, hasMore, pageSize}}`.
    Nested,
    /// `{data, nextCursor, hasMore}`.
    Flat,
}

/// The JSON type of every id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// `"123"`.
    Text,
    /// `123`.
    Number,
}

/// How a stale `If-Match` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleTag {
    /// 412.
    PreconditionFailed,
    /// 409.
    Conflict,
}

/// How a `POST` is answered whose reference a live contact already carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownRef {
    /// 409.
    Conflict,
    /// 200 with the contact there is, unchanged.
    Existing,
}

/// How a minute is measured against the rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// By the minute on the clock.
    Fixed,
    /// The sixty seconds before each request.
    Sliding,
}

/// One reading of everything the pages leave open. The default is the likeliest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knobs {
    /// The answer to a taken address.
    pub taken_email: TakenEmail,
    /// Addresses of deleted contacts stay taken.
    pub deleted_addresses_count: bool,
    /// Secondary addresses take part in uniqueness, on both sides.
    pub secondary_addresses_count: bool,
    /// `A@x.example` and `a@x.example` are two addresses.
    pub email_case_matters: bool,
    /// A read by id or reference finds deleted contacts.
    pub lookup_finds_deleted: bool,
    /// A reference is found only this long after it was written.
    pub lookup_lag: Duration,
    /// The references of a deleted contact may be given to another.
    pub refs_free_after_delete: bool,
    /// Arrays in `PATCH`.
    pub arrays: Arrays,
    /// The shape of lists.
    pub envelope: Envelope,
    /// The JSON type of ids.
    pub ids: Ids,
    /// The answer to a stale tag.
    pub stale_tag: StaleTag,
    /// The answer to a repeated `POST`.
    pub known_ref: KnownRef,
    /// The rate limit's window.
    pub window: Window,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            taken_email: TakenEmail::Conflict,
            deleted_addresses_count: false,
            secondary_addresses_count: false,
            email_case_matters: false,
            lookup_finds_deleted: false,
            lookup_lag: Duration::ZERO,
            refs_free_after_delete: false,
            arrays: Arrays::Replace,
            envelope: Envelope::Nested,
            ids: Ids::Text,
            stale_tag: StaleTag::PreconditionFailed,
            known_ref: KnownRef::Conflict,
            window: Window::Fixed,
        }
    }
}

impl Knobs {
    /// One combination by chance; a look-up lags up to 20 s in half of them.
    #[must_use]
    pub fn draw(rng: &mut fastrand::Rng) -> Self {
        fn either<T>(rng: &mut fastrand::Rng, one: T, other: T) -> T {
            if rng.bool() { one } else { other }
        }
        Self {
            taken_email: either(rng, TakenEmail::Conflict, TakenEmail::Invalid),
            deleted_addresses_count: rng.bool(),
            secondary_addresses_count: rng.bool(),
            email_case_matters: rng.bool(),
            lookup_finds_deleted: rng.bool(),
            lookup_lag: if rng.bool() { Duration::ZERO } else { Duration::from_millis(rng.u64(1..=20_000)) },
            refs_free_after_delete: rng.bool(),
            arrays: either(rng, Arrays::Replace, Arrays::Merge),
            envelope: either(rng, Envelope::Nested, Envelope::Flat),
            ids: either(rng, Ids::Text, Ids::Number),
            stale_tag: either(rng, StaleTag::PreconditionFailed, StaleTag::Conflict),
            known_ref: either(rng, KnownRef::Conflict, KnownRef::Existing),
            window: either(rng, Window::Fixed, Window::Sliding),
        }
    }
}
