//! Where a person works, in Propstreet: with the contact when it is made, by links afterwards, so that other employments
//! stay. Nothing here holds a contact up: what cannot be brought waits, and is brought by a later sync.

use std::sync::atomic::Ordering;

use crate::domain::Timestamp;
use crate::domain::change::Beside;
use crate::domain::contact::Contact;
use crate::domain::employer::Employer;
use crate::domain::employment::{Next, Wanted, next};
use crate::domain::failure::Wait;
use crate::domain::identity::RefKey;
use crate::domain::ownership::Field;
use crate::domain::pass::{Outcome, SkipReason};
use crate::domain::plan::{Rest, Standing};
use crate::domain::remembered::{self, Remembered, Trace};
use crate::ledger::companies::Employment;
use crate::ledger::error::LedgerError;
use crate::ledger::intents::IntentKind;
use crate::ledger::rows::Row;
use crate::ledger::updates::Watch;
use crate::sync::asking::Sent;
use crate::sync::change::Met;
use crate::sync::deliver::{Delivery, Halt, Turn};
use crate::sync::destination::Seen;
use crate::sync::destination::companies::{Link, LinkAnswer, LinkPatch};
use crate::sync::engine::{Companies, OnChange};
use crate::sync::firms::Firm;
use crate::sync::index;
use crate::sync::pass::Pass;
use crate::sync::report::Stop;
use crate::sync::same_person::MAX_MERGES;

/// Within this long of a write whose answer was lost, what it made may not show yet.
const LATE: chrono::TimeDelta = chrono::TimeDelta::seconds(60);

/// What a day of updates is counted by, and what is remembered of the contact's fields.
type Watched = (Watch, Remembered);

/// What was done about an employer.
#[derive(Default)]
struct Employed {
    /// The contact after our writes, if there were any.
    seen: Option<Seen>,
    /// The employer waits.
    pending: bool,
    /// In words, for the events.
    note: Option<String>,
}

impl Employed {
    fn waits(why: &str) -> Self {
        Self { pending: true, note: Some(format!("its employer waits: {why}")), seen: None }
    }

    /// The note of the event, with what was done here.
    fn told(&self, note: &str) -> String {
        self.note.as_ref().map_or_else(|| note.to_owned(), |more| format!("{note}; {more}"))
    }
}

impl Delivery<'_> {
    /// The employer to be linked, if there is one.
    fn employer(&self) -> Option<Employer> {
        let contact = self.mapped.as_ref().ok().filter(|_| self.desk.source.companies == Companies::Link)?;
        Employer::of(contact)
    }

    pub(super) fn names_employer(&self) -> bool {
        self.employer().is_some()
    }

    /// The company that a new contact is made with.
    pub(super) async fn first_employer(&self) -> Result<Option<String>, Halt> {
        let Some(employer) = self.employer().filter(|_| !self.memory.employment_refused) else { return Ok(None) };
        Ok(match self.firm(&employer).await? {
            Firm::Is(company) => Some(company),
            Firm::Nobody | Firm::Waits { .. } => None,
        })
    }

    /// A write said that the company is not there.
    pub(super) fn doubt_employer(&self) {
        if let Some(employer) = self.employer() {
            self.desk.patience.firms.doubt(&self.company_key(&employer));
        }
    }

    /// Employs a contact whose fields are as they shall be, and says whether its employer waits.
    pub(super) async fn employ_met(&mut self, met: Met) -> Result<(Met, bool), Halt> {
        let engine = self.desk.engine;
        // An employer that was owed from the start is no change.
        let is_change = met.outcome == Outcome::Unchanged && !self.memory.owed_employer;
        let guarded = self.desk.guarded && is_change && self.names_employer();
        let met = Met { owned: self.claim(&met).await?, ..met };
        let watch = match guarded {
            true => Some((engine.watch(self.desk.source), self.so_far(&met).await?)),
            false => None,
        };
        let employed = self.employ(&met.seen, watch).await?;
        let note = employed.told(&met.note);
        let Some(seen) = employed.seen else { return Ok((Met { note, ..met }, employed.pending)) };
        let outcome = if met.outcome == Outcome::Unchanged { Outcome::Updated } else { met.outcome };
        // Links are not written under the contact's version: who wrote something else meanwhile is seen by that.
        let etag = met.etag.filter(|_| differs_by_employment(&met.seen, &seen)).and(seen.etag.clone());
        Ok((Met { outcome, seen, etag, note, ..met }, employed.pending))
    }

    /// What was remembered before, with the employer of now: what the record gives up, its settlement must still find.
    async fn so_far(&self, met: &Met) -> Result<Remembered, LedgerError> {
        let mut owned = self.tenancy(&met.seen).await?.before;
        owned.set(Field::Company, met.owned.of(Field::Company));
        Ok(owned)
    }

    /// What is remembered of the fields, and with them that this record feeds the employer, if none goes before it.
    async fn claim(&self, met: &Met) -> Result<Remembered, LedgerError> {
        let mut owned = met.owned.clone();
        let employer = self.employer().filter(|_| self.follows());
        let claims = employer.is_some() && !self.is_employed_before(&met.seen).await?;
        let word = employer.and_then(|employer| employer.id.or(employer.name)).filter(|_| claims);
        let sent = word.map(|word| remembered::hash(self.desk.keyed(), Field::Company, &word));
        owned.set(Field::Company, Trace { sent, ..Trace::default() });
        Ok(owned)
    }

    /// Whether a source that goes before this one says where the contact works.
    async fn is_employed_before(&self, seen: &Seen) -> Result<bool, LedgerError> {
        let feeds =
            |other: &Beside| other.live && other.goes_first && other.remembered.of(Field::Company).sent.is_some();
        Ok(self.follows() && self.tenancy(seen).await?.beside.iter().any(feeds))
    }

    /// Employs a contact where its CRM says. Its own end does not depend on it.
    async fn employ(&mut self, seen: &Seen, watch: Option<Watched>) -> Result<Employed, Halt> {
        let Some(employer) = self.employer() else {
            let pending = self.mapped.as_ref().is_ok_and(Contact::has_employment);
            return Ok(Employed {
                pending: pending && self.desk.source.companies == Companies::Off,
                ..Employed::default()
            });
        };
        if self.is_employed_before(seen).await? {
            return Ok(Employed::default());
        }
        // Whatever is announced here is over when it returns; what was sent of the contact itself stands.
        let sent = self.memory.sent;
        let ended = match self.firm(&employer).await {
            Ok(Firm::Is(company)) => self.bring(seen, self.wanted(company), watch).await,
            Ok(Firm::Nobody) => {
                Ok(Employed { note: Some("no company is known to be its employer".to_owned()), ..Employed::default() })
            }
            Ok(Firm::Waits { why, due }) => self.wait_until(due, why).await,
            Err(halt) => Err(halt),
        };
        self.memory.sent = sent;
        match ended {
            Err(halt @ (Halt::Stop(_) | Halt::Defer(Wait::Guarded, _))) => Err(halt),
            Err(Halt::Lost(trouble)) => self.wait_until(self.desk.now(), trouble.to_string()).await,
            Err(halt) => match self.setback(halt)? {
                Firm::Waits { why, due } => self.wait_until(due, why).await,
                Firm::Is(_) | Firm::Nobody => Ok(Employed::default()),
            },
            ended => ended,
        }
    }

    async fn wait_until(&self, due: Timestamp, why: String) -> Result<Employed, Halt> {
        let employed = Employed::waits(&why);
        self.desk.engine.ledger.await_employer(self.key.clone(), due, why).await?;
        Ok(employed)
    }

    fn wanted(&self, company: String) -> Wanted {
        let source = self.desk.source;
        Wanted {
            company,
            job_title: self.mapped.as_ref().ok().and_then(Contact::job_title).map(str::to_owned),
            follows: source.on_change == OnChange::Update,
            employer: source.owners.of(Field::Company),
            title: source.owners.of(Field::JobTitle),
        }
    }

    /// Writes what is missing, one thing at a time, until the contact shows all of it.
    async fn bring(&mut self, seen: &Seen, wanted: Wanted, mut watch: Option<Watched>) -> Result<Employed, Halt> {
        let (mut now, mut ours, mut note) = (None::<Seen>, false, None);
        for round in 1..=MAX_MERGES + 1 {
            let shown = now.as_ref().unwrap_or(seen);
            let step = next(&shown.employments, &wanted, ours);
            if step != Next::Done {
                self.may_be_employed(&seen.id, watch.take()).await?;
            }
            let done = match step {
                Next::Done => return Ok(Employed { seen: now, pending: false, note }),
                Next::Employ => {
                    ours = true;
                    note = Some(format!("employed at company {}", wanted.company));
                    self.add_link(&seen.id, &wanted).await?
                }
                Next::Amend { job_title, primary } => {
                    note.get_or_insert_with(|| format!("employment at company {} changed", wanted.company));
                    self.amend_link(&seen.id, &wanted.company, LinkPatch { job_title, primary }).await?
                }
            };
            if let Some(why) = done {
                return self.wait_until(self.desk.now() + LATE, why).await.map(|waits| Employed { seen: now, ..waits });
            }
            if round > 2 {
                self.desk.pause(round).await;
            }
            now = self.ask(|d| d.engine.destination.read(&self.key, &seen.id)).await?.filter(|now| !now.deleted);
            if now.is_none() {
                return Ok(Employed::waits("the contact is not to be read"));
            }
        }
        let why = "the contact does not show its employment".to_owned();
        self.wait_until(self.desk.now() + chrono::TimeDelta::days(1), why)
            .await
            .map(|waits| Employed { seen: now, ..waits })
    }

    /// Announces the first write about an employment; refused where more people changed within a day than may.
    async fn may_be_employed(&mut self, contact: &str, watch: Option<Watched>) -> Result<(), Halt> {
        let Some((watch, owned)) = watch else { return Ok(()) };
        let intent = self.intent(IntentKind::Update, Some(contact.to_owned()));
        if self.desk.engine.ledger.intend_update(intent, owned, Some(watch)).await? {
            return Ok(());
        }
        let cause = "more people changed within a day than may be updated without a person's word";
        Err(Halt::Defer(Wait::Guarded, cause.to_owned()))
    }

    /// The contact's employments at a company. Asked before each write: an answer may have been lost.
    async fn link_at(&self, contact: &str, company: &str) -> Result<Option<Link>, Halt> {
        let links = self.ask(|d| d.engine.destination.links(&self.key, contact)).await?;
        Ok(links.into_iter().find(|link| link.company == company && !link.deleted))
    }

    /// Employs the contact, unless it is; says why if that cannot be.
    async fn add_link(&mut self, contact: &str, wanted: &Wanted) -> Result<Option<String>, Halt> {
        if self.link_at(contact, &wanted.company).await?.is_some() {
            return Ok(None);
        }
        self.announce(IntentKind::Update, Some(contact.to_owned())).await?;
        let title = wanted.job_title.as_deref();
        match self.send(|d| d.engine.destination.link(&self.key, contact, &wanted.company, title)).await? {
            Sent::Answered(LinkAnswer::Written | LinkAnswer::Conflict) => Ok(None),
            // It may come to be only after it was looked for, and a second one beside it.
            Sent::Lost(_) => Ok(Some("the answer to its employment was lost".to_owned())),
            Sent::Answered(LinkAnswer::Missing) => {
                self.doubt_employer();
                Ok(Some(format!("company {} is not there", wanted.company)))
            }
            Sent::Answered(LinkAnswer::Rejected(refusal)) => {
                self.doubt_employer();
                Ok(Some(refusal.detail))
            }
        }
    }

    async fn amend_link(&mut self, contact: &str, company: &str, patch: LinkPatch) -> Result<Option<String>, Halt> {
        let Some(link) = self.link_at(contact, company).await? else { return Ok(None) };
        self.announce(IntentKind::Update, Some(contact.to_owned())).await?;
        match self.send(|d| d.engine.destination.amend_link(&self.key, &link, &patch)).await? {
            Sent::Answered(LinkAnswer::Rejected(refusal)) => Ok(Some(refusal.detail)),
            Sent::Answered(LinkAnswer::Written | LinkAnswer::Conflict | LinkAnswer::Missing) | Sent::Lost(_) => {
                Ok(None)
            }
        }
    }

    /// A record that rests; an employer it waited for is brought first, if this is the time for it.
    pub(super) async fn rest_employed(&mut self, rest: &Rest, row: Option<&Row>) -> Result<Turn, Halt> {
        match row {
            Some(row) if self.desk.again && row.pending_employment && waits_only(rest) => {
                self.bring_late(rest, row).await
            }
            _ => self.rest(rest).await,
        }
    }

    async fn bring_late(&mut self, rest: &Rest, row: &Row) -> Result<Turn, Halt> {
        let (Some(contact), Standing::Settled { .. }) = (&row.propstreet_id, &row.standing) else {
            return self.rest(rest).await;
        };
        if let Some(employer) = self.employer()
            && let Firm::Waits { why, due } = self.firm(&employer).await?
        {
            self.wait_until(due, why).await?;
            return self.rest(rest).await;
        }
        let seen = match self.ask(|d| d.engine.destination.read(&self.key, contact)).await? {
            Some(seen) if seen.deleted => return self.keep(Outcome::Unchanged, seen, "deleted").await,
            Some(seen) if self.carries_ours(&seen) => seen,
            _ => {
                let why = "its contact is not to be read, or carries its reference no longer".to_owned();
                self.wait_until(self.desk.now() + chrono::TimeDelta::days(1), why).await?;
                return self.rest(rest).await;
            }
        };
        // What somebody wrote before stays theirs, though we write on top of it.
        let ours = self.is_still_ours(&seen).await?;
        let employed = self.employ(&seen, None).await?;
        let engine = self.desk.engine;
        let brought = employed.seen.is_some();
        let now = employed.seen.as_ref().unwrap_or(&seen);
        let employment = Employment {
            pass: self.desk.pass,
            key: self.key.clone(),
            etag: now.etag.clone().filter(|_| ours && differs_by_employment(&seen, now)),
            index: index::entry(now, &engine.rules, engine.ledger.keyed()),
            pending: employed.pending,
            note: employed.told(if brought { "the employer is brought" } else { "the employer was looked at" }),
            at: self.desk.now(),
        };
        engine.ledger.employed(employment).await?;
        let turn = self.rest(rest).await?;
        Ok(if brought { Turn::Done(Outcome::Updated) } else { turn })
    }
}

fn waits_only(rest: &Rest) -> bool {
    matches!(rest, Rest::Unchanged | Rest::Skipped(SkipReason::ChangeIgnored))
}

/// Whether two sights of a contact differ in nothing but its employments, if in anything.
fn differs_by_employment(before: &Seen, after: &Seen) -> bool {
    let Seen { etag, updated, employments, .. } = after.clone();
    Seen { etag, updated, employments, ..before.clone() } == *after
}

impl Pass<'_> {
    /// The records whose employer is to be tried again. The first is tried by itself: where the tenant still refuses
    /// companies, the others are left alone.
    pub(super) async fn whose_employer_is_due(&self, limit: usize) -> Result<Vec<RefKey>, Stop> {
        let (desk, firms) = (&self.desk, &self.desk.patience.firms);
        if desk.source.companies == Companies::Off || firms.refused().is_some() {
            return Ok(Vec::new());
        }
        let mut due = desk.engine.ledger.employers_due(&desk.source.name, desk.now(), limit).await?;
        if due.is_empty() {
            return Ok(due);
        }
        let rest = due.split_off(1);
        let records = self.fetch_or_depart(due.into_iter().map(|key| key.id).collect()).await?;
        self.deliver_all(records.into_iter()).await?;
        tracing::debug!(calls = desk.calls.load(Ordering::Relaxed), waiting = rest.len(), "an employer was tried");
        Ok(if firms.refused().is_some() { Vec::new() } else { rest })
    }
}
