//! What Propstreet's pages contradict or leave open, as switches. A client that keeps its promises keeps them under every
//! combination; `docs/sandbox-knobs.md` has them in a table. Knows no state and no HTTP. ("Commits after the client gave up"
//! is the fault `CommitLate`.)

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

/// How a reference is spelt in answers. Requests spell it in the current way under either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefShape {
    /// `{namespace, id}`.
    Current,
    /// `{source, externalId}`, and beside the list a flat `externalId: "source:id"`.
    Former,
}

/// What `create_only=true` on an upsert means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateOnly {
    /// Nothing: it is no parameter.
    Unknown,
    /// By its name: a contact that is there is a conflict.
    Creates,
    /// By its page's heading: a contact that is not there is not found.
    Updates,
}

/// Whose lengths count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// The shortest that any page says.
    Shortest,
    /// Those of each call's own page.
    ByPage,
    /// Those of the page on limits.
    Guide,
}

/// What a 409 tells about a contact that is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictBody {
    /// Nothing.
    Bare,
    /// What is taken, and by whom.
    Telling,
}

/// What becomes of `Idempotency-Key` on a `POST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing.
    Ignored,
    /// For a day, the key's first success is answered again, whatever has become of it.
    Replayed,
}

/// Around the hits of find-duplicates, which no page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hits {
    /// `[…]`.
    Plain,
    /// `{results: […]}`.
    Results,
    /// `{data: […]}`.
    Data,
}

/// How a change of a link without `If-Match` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingTag {
    /// As if it had the right one.
    Taken,
    /// 428.
    Required,
    /// 412.
    Stale,
}

/// How a `POST` is answered for an employment there is already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatedLink {
    /// 201: now there are two.
    Second,
    /// 409.
    Conflict,
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
    /// `externalRefs` and `tags` in `PATCH`.
    pub arrays: Arrays,
    /// `connections` in `PATCH`.
    pub connections: Arrays,
    /// The spelling of references in answers.
    pub refs: RefShape,
    /// `PUT` on a contact does what `PATCH` does.
    pub put_updates: bool,
    /// `create_only=true`.
    pub create_only: CreateOnly,
    /// The lengths of fields.
    pub lengths: Lengths,
    /// Only the upsert makes numbers E.164; create and `PATCH` keep them as sent.
    pub phones_as_sent: bool,
    /// What a 409 tells.
    pub conflict_body: ConflictBody,
    /// `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// A contact may carry one reference of each namespace only: said of projects and properties, not of contacts.
    pub namespace_once: bool,
    /// An upsert clears what its body leaves out.
    pub upsert_clears_absent: bool,
    /// An upsert takes `null` for something left out.
    pub upsert_ignores_null: bool,
    /// An upsert honours `If-Match`.
    pub upsert_honours_tag: bool,
    /// `match=email` finds secondary addresses too.
    pub match_finds_secondary: bool,
    /// `match=email` refuses a contact with another id in the same namespace; else that one gets a second.
    pub match_refuses_second_id: bool,
    /// `connections` may name a new company.
    pub connections_found_companies: bool,
    /// The shape of lists.
    pub envelope: Envelope,
    /// The JSON type of ids.
    pub ids: Ids,
    /// The answer to a stale tag.
    pub stale_tag: StaleTag,
    /// The answer to a repeated `POST`.
    pub known_ref: KnownRef,
    /// A `PATCH` that changes nothing makes a new tag and time all the same.
    pub noop_makes_a_version: bool,
    /// The shape of find-duplicates.
    pub hits: Hits,
    /// A company's domain may stand in a reference, and find-duplicates looks there too.
    pub domain_in_refs: bool,
    /// No two companies may have one domain.
    pub company_domains_unique: bool,
    /// A company's new name gives its people new tags.
    pub rename_touches_contacts: bool,
    /// With a company its employments end; else they are there, and show in no contact.
    pub deleted_company_ends_links: bool,
    /// The answer to a change of a link without a tag.
    pub untagged_link: MissingTag,
    /// The answer to an employment there is already.
    pub repeated_link: RepeatedLink,
    /// The first employment of a contact is its primary one unasked.
    pub first_link_is_primary: bool,
    /// When the primary employment ends, the oldest that is left becomes it.
    pub primary_passes_on: bool,
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
            connections: Arrays::Replace,
            refs: RefShape::Current,
            put_updates: false,
            create_only: CreateOnly::Unknown,
            lengths: Lengths::Shortest,
            phones_as_sent: false,
            conflict_body: ConflictBody::Bare,
            idempotency: Idempotency::Ignored,
            namespace_once: false,
            upsert_clears_absent: false,
            upsert_ignores_null: false,
            upsert_honours_tag: true,
            match_finds_secondary: false,
            match_refuses_second_id: false,
            connections_found_companies: false,
            envelope: Envelope::Nested,
            ids: Ids::Text,
            stale_tag: StaleTag::PreconditionFailed,
            known_ref: KnownRef::Conflict,
            noop_makes_a_version: false,
            hits: Hits::Plain,
            domain_in_refs: false,
            company_domains_unique: false,
            rename_touches_contacts: false,
            deleted_company_ends_links: true,
            untagged_link: MissingTag::Taken,
            repeated_link: RepeatedLink::Second,
            first_link_is_primary: true,
            primary_passes_on: false,
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
            connections: either(rng, Arrays::Replace, Arrays::Merge),
            refs: either(rng, RefShape::Current, RefShape::Former),
            put_updates: rng.bool(),
            create_only: [CreateOnly::Unknown, CreateOnly::Creates, CreateOnly::Updates][rng.usize(..3)],
            lengths: [Lengths::Shortest, Lengths::ByPage, Lengths::Guide][rng.usize(..3)],
            phones_as_sent: rng.bool(),
            conflict_body: either(rng, ConflictBody::Bare, ConflictBody::Telling),
            idempotency: either(rng, Idempotency::Ignored, Idempotency::Replayed),
            // Two records of one CRM that were merged there share a contact; the pages on contacts do not forbid it.
            namespace_once: false,
            upsert_clears_absent: rng.bool(),
            upsert_ignores_null: rng.bool(),
            upsert_honours_tag: rng.bool(),
            match_finds_secondary: rng.bool(),
            match_refuses_second_id: rng.bool(),
            connections_found_companies: rng.bool(),
            envelope: either(rng, Envelope::Nested, Envelope::Flat),
            ids: either(rng, Ids::Text, Ids::Number),
            stale_tag: either(rng, StaleTag::PreconditionFailed, StaleTag::Conflict),
            known_ref: either(rng, KnownRef::Conflict, KnownRef::Existing),
            noop_makes_a_version: rng.bool(),
            hits: [Hits::Plain, Hits::Results, Hits::Data][rng.usize(..3)],
            domain_in_refs: rng.bool(),
            company_domains_unique: rng.bool(),
            rename_touches_contacts: rng.bool(),
            deleted_company_ends_links: rng.bool(),
            untagged_link: [MissingTag::Taken, MissingTag::Required, MissingTag::Stale][rng.usize(..3)],
            repeated_link: either(rng, RepeatedLink::Second, RepeatedLink::Conflict),
            first_link_is_primary: rng.bool(),
            primary_passes_on: rng.bool(),
            window: either(rng, Window::Fixed, Window::Sliding),
        }
    }
}
