//! One record to Propstreet: announce, send, settle (protocol §D). Every way out of `Delivery::run` leaves an outcome in
//! the ledger; being dropped at any await leaves at most an announced write, which the next try looks up first.

use std::collections::BTreeSet;

use crate::domain::Timestamp;
use crate::domain::contact::Contact;
use crate::domain::failure::{Complaint, Reason, Trouble, Wait};
use crate::domain::fingerprint::Fingerprint;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::domain::keyed::KeyedHash;
use crate::domain::pass::{Outcome, SkipReason};
use crate::domain::plan::{self, Rest, Standing, Step};
use crate::domain::record::Record;
use crate::domain::remembered::Remembered;
use crate::ledger::error::LedgerError;
use crate::ledger::intents::{Intent, IntentKind};
use crate::ledger::rows::View;
use crate::ledger::settlements::{Ending, Settlement};
use crate::sync::desk::Desk;
use crate::sync::destination::Seen;
use crate::sync::door;
use crate::sync::index;
use crate::sync::report::Stop;

/// Within this long of a write whose answer was lost, a look-up that finds nothing may only be late.
const LAG: chrono::TimeDelta = chrono::TimeDelta::seconds(60);
/// How often a delivery may go round before it is put off: each round needs somebody else to have changed something.
const MAX_ROUNDS: u32 = 12;

/// How a record ended, and what its end brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome for the books.
    pub outcome: Outcome,
    /// How many went into quarantine just now: the record, and those it replaced whose contact is another.
    pub newly_quarantined: u64,
    /// Those it replaced in the CRM, which are settled with it.
    pub moved: Vec<RefKey>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, newly_quarantined: 0, moved: Vec::new() }
    }
}

/// What one step led to.
pub(super) enum Turn {
    /// The record has ended.
    Done(Outcome),
    /// The world looks different now: decide again.
    Again,
}

/// Why a delivery broke off.
pub(super) enum Halt {
    /// Put the record off.
    Defer(Wait, String),
    /// Put the record aside for a person.
    Quarantine(Complaint),
    /// Propstreet is given up for this sync.
    Lost(Trouble),
    /// The ledger failed.
    Stop(Stop),
}

impl From<LedgerError> for Halt {
    fn from(error: LedgerError) -> Self {
        Self::Stop(error.into())
    }
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Propstreet(trouble) => Self::Lost(trouble),
            stop => Self::Stop(stop),
        }
    }
}

/// One record under way.
pub(super) struct Delivery<'a> {
    pub(super) desk: &'a Desk<'a>,
    pub(super) key: RefKey,
    pub(super) reference: ExternalRef,
    began: Timestamp,
    /// The stamp, if it is old enough to be trusted as final.
    pub(super) modified: Option<Timestamp>,
    /// The stamp as it is shown.
    pub(super) shown: Option<Timestamp>,
    /// Those it has replaced in the CRM and that are not settled yet.
    pub(super) losers: BTreeSet<RefKey>,
    /// Whether the filter lets it in, where that can be known.
    pub(super) admitted: Result<bool, Complaint>,
    pub(super) mapped: Result<Contact, Complaint>,
    /// The fingerprint of the mapped content, also when it is sent without its address.
    fingerprint: Option<Fingerprint>,
    pub(super) email: Option<KeyedHash>,
    pub(super) memory: Memory,
}

/// What this delivery has learnt so far; each flag keeps a round from being gone twice.
#[derive(Default)]
pub(super) struct Memory {
    /// The announced write was looked up and not found.
    pub(super) looked_up: bool,
    /// A write of ours may have been applied and its answer was lost: it stays announced until a look-up settles it.
    pub(super) unanswered: bool,
    /// That write was a create, so who carries our ref is ours: no contradiction test.
    pub(super) may_be_ours: bool,
    /// It had left and is back: others may have taken over its fields meanwhile.
    pub(super) back: bool,
    /// The record says what it said when it was settled.
    pub(super) unchanged: bool,
    /// Its contact has waited for an employer since it came to be.
    pub(super) owed_employer: bool,
    /// Another record with its address has a write announced, and goes first.
    pub(super) behind_sibling: bool,
    /// What a process that died had sent, which is what Propstreet holds if the write is found.
    pub(super) sent: Option<Fingerprint>,
    /// A contact of the index that could not be read, although the index was refreshed.
    pub(super) missing: Option<String>,
    /// A contact that was taken out of the index, because it stayed missing.
    pub(super) unlisted: Option<String>,
    /// A write was lost so recently that a look-up may lag behind it.
    pub(super) recent: bool,
    /// A 409 was answered and the index refreshed, and still nothing explains it.
    pub(super) questioned: Option<String>,
    /// The e-mail was refused and the index refreshed.
    pub(super) email_refused: Option<String>,
    /// Why a contact that exists keeps the address it has, if the new one is another's.
    pub(super) address_left: Option<String>,
    /// A contact by which a create was answered, as it was once: our reference is not on it any more.
    pub(super) replayed: Option<String>,
    pub(super) lost_answers: u32,
    pub(super) races: u32,
    /// A create was refused for the employment that came with it.
    pub(super) employment_refused: bool,
    pub(super) refreshes: u32,
    /// What a person was told before, unless the record is to be tried anew.
    pub(super) told: Option<Complaint>,
    /// The row as it stood, for counting failures.
    pub(super) failed: u32,
    pub(super) first_failed: Option<Timestamp>,
    /// Those it replaced that were settled with it, and how many of them need a person.
    pub(super) moved: Vec<RefKey>,
    pub(super) apart: u64,
    /// Its contact has lost a tag that was true no longer.
    pub(super) untagged: bool,
    /// Since when it was asked for again, as far as this delivery knows.
    pub(super) revisit: Option<Timestamp>,
}

/// Delivers one record and commits its outcome. `None`: it is behind a sibling, and this is not the last try.
pub(super) async fn deliver_once(desk: &Desk<'_>, record: &Record, last: bool) -> Result<Option<Ended>, Stop> {
    let admitted = desk.source.mapper.admits(record);
    let mapped = door::mapped(desk, record, &admitted);
    let key = desk.key(&record.id);
    let email = mapped.as_ref().ok().and_then(Contact::email).map(|address| desk.keyed().email(address));
    let losers: BTreeSet<RefKey> = record.supersedes.iter().map(|id| desk.key(id)).filter(|id| *id != key).collect();
    let mut of_refs = Vec::with_capacity(1 + losers.len());
    // One order for everybody, so that no two wait for each other.
    for reference in losers.iter().chain([&key]).collect::<BTreeSet<_>>() {
        of_refs.push(desk.engine.ref_locks.hold(reference.clone()).await);
    }
    let _of_email = match email {
        Some(hash) => Some(desk.engine.email_locks.hold(hash).await),
        None => None,
    };
    let mut delivery = Delivery {
        desk,
        reference: ExternalRef { namespace: desk.source.namespace.clone(), id: record.id.clone() },
        key,
        began: desk.now(),
        modified: record.modified.filter(|at| *at < desk.bound),
        shown: record.modified,
        losers,
        fingerprint: mapped.as_ref().ok().map(Fingerprint::of),
        admitted,
        mapped,
        email,
        memory: Memory::default(),
    };
    let ended = match delivery.run().await {
        Ok(outcome) => outcome.into(),
        Err(Halt::Defer(..)) if delivery.memory.behind_sibling && delivery.memory.moved.is_empty() && !last => {
            return Ok(None);
        }
        Err(halt) => delivery.end_early(halt).await?,
    };
    let Memory { moved, apart, .. } = delivery.memory;
    Ok(Some(Ended { newly_quarantined: ended.newly_quarantined + apart, moved, ..ended }))
}

impl<'a> Delivery<'a> {
    /// Of a record that the CRM does not show: there is nothing to map.
    pub(super) fn absent(desk: &'a Desk<'a>, key: RefKey) -> Self {
        Self {
            desk,
            reference: ExternalRef { namespace: desk.source.namespace.clone(), id: key.id.clone() },
            key,
            began: desk.now(),
            modified: None,
            shown: None,
            losers: BTreeSet::new(),
            fingerprint: None,
            admitted: Ok(true),
            mapped: Err(Complaint::new(Reason::NoIdentifier, "the CRM shows the record no longer")),
            email: None,
            memory: Memory::default(),
        }
    }
}

impl Delivery<'_> {
    /// Brings the record to its end, and those it has replaced with it, also when its own end is only put off: the CRM
    /// may never name them again.
    async fn run(&mut self) -> Result<Outcome, Halt> {
        let ended = self.rounds().await;
        if matches!(ended, Err(Halt::Stop(_))) {
            return ended;
        }
        let taken = self.take_over().await;
        ended.and_then(|outcome| taken.map(|()| self.counted(outcome)))
    }

    async fn rounds(&mut self) -> Result<Outcome, Halt> {
        for _ in 0..MAX_ROUNDS {
            let view = self.view().await?;
            let standing = self.remember(&view);
            if self.is_back(view.row.as_ref(), &standing) {
                self.desk.engine.ledger.returned(self.desk.pass, self.key.clone(), self.desk.now()).await?;
                self.memory.back = true;
            } else if standing != Standing::Intended && !self.losers.is_empty() {
                self.take_over().await?;
            } else if let Some(turn) = self.at_the_door(&view, &standing).await? {
                if let Turn::Done(outcome) = turn {
                    return Ok(outcome);
                }
            } else if let Turn::Done(outcome) = self.step(view, &standing).await? {
                return Ok(outcome);
            }
        }
        Err(Halt::Defer(Wait::Contended, "the contact kept changing while it was written".to_owned()))
    }

    pub(super) async fn view(&self) -> Result<View, LedgerError> {
        self.desk.engine.ledger.view(self.key.clone(), self.email, self.desk.now()).await
    }

    async fn step(&mut self, view: View, standing: &Standing) -> Result<Turn, Halt> {
        if let Some(turn) = self.decided(&view, standing).await? {
            return Ok(turn);
        }
        let settled = view.row.as_ref().and_then(|row| row.propstreet_id.clone().zip(row.sent));
        let again = self.desk.again || self.memory.back || self.memory.revisit.is_some();
        let course = plan::Course { follows: self.follows(), again, settled };
        match plan::decide(standing, &self.mapped, &view.holders, &course, self.desk.keyed()) {
            Step::Rest(rest) => self.rest_employed(&rest, view.row.as_ref()).await,
            Step::Quarantine(complaint) => Err(Halt::Quarantine(complaint)),
            Step::LookUp => self.settle_announced(view.intent).await,
            // Whether its fields differ, and where it is employed, only the contact itself can say.
            Step::Adopt(holder) if self.follows() || self.names_employer() => self.compare(&holder.id).await,
            Step::Adopt(holder) => self.adopt(&holder).await,
            Step::Compare(holder) => self.compare(&holder.id).await,
            Step::SamePerson(owner) => self.same_person(&owner).await,
            Step::Inherit(contact) => self.inherit(&contact).await,
            Step::Change(contact) => self.follow(&contact).await,
            Step::Create => self.create().await,
        }
    }

    /// What stands in the ledger, with what this delivery found out since.
    pub(super) fn remember(&mut self, view: &View) -> Standing {
        let row = view.row.as_ref();
        // Tries in a row: what went before a quarantine is over.
        let deferred = row.filter(|r| r.outcome == Some(Outcome::Deferred));
        self.memory.failed = deferred.map_or(0, |r| r.attempts);
        self.memory.first_failed = deferred.and_then(|r| r.first_failed);
        self.memory.told = row.and_then(|r| r.complaint.clone());
        self.memory.revisit = view.revisit;
        self.memory.owed_employer = row.is_some_and(|row| row.pending_employment);
        let settled = row.map(|row| &row.standing);
        self.memory.unchanged =
            matches!(settled, Some(Standing::Settled { fingerprint }) if Some(*fingerprint) == self.fingerprint);
        match (&view.intent, row) {
            (Some(_), _) if !self.memory.looked_up => Standing::Intended,
            (Some(_), _) | (None, None) => Standing::Unknown,
            (None, Some(row)) => row.standing.clone(),
        }
    }

    pub(super) async fn rest(&mut self, rest: &Rest) -> Result<Turn, Halt> {
        match rest {
            Rest::Unchanged | Rest::StillQuarantined | Rest::StillDeferred => {
                let stamp = vec![(self.key.clone(), self.modified)];
                let map = (*rest == Rest::Unchanged).then(|| self.desk.source.mapper.version());
                self.desk.engine.ledger.rested(self.desk.pass, stamp, map, self.memory.revisit).await?;
            }
            // A late echo of a record that has left: what is known of it stands.
            Rest::Skipped(SkipReason::MergedInto(_) | SkipReason::Gone) => {}
            Rest::Skipped(reason) => {
                let drifted = *reason == SkipReason::ChangeIgnored;
                self.settle(Ending::Skipped { reason: reason.clone(), drifted }, None).await?;
            }
        }
        Ok(Turn::Done(rest.outcome()))
    }

    /// Settles a write that was announced and never answered, before anything else is sent for this ref.
    pub(super) async fn settle_announced(&mut self, intent: Option<Intent>) -> Result<Turn, Halt> {
        self.memory.looked_up = true;
        if intent.as_ref().is_some_and(|intent| intent.kind == IntentKind::Update) {
            self.desk.engine.ledger.withdraw(self.key.clone()).await?;
            return Ok(Turn::Again);
        }
        self.memory.unanswered = true;
        let create = intent.as_ref().filter(|intent| intent.kind == IntentKind::Create);
        self.memory.may_be_ours = create.is_some();
        self.memory.sent = create.map(|intent| intent.fingerprint);
        self.memory.recent = intent.as_ref().is_some_and(|intent| self.desk.now() - intent.at < LAG);
        match self.look_up().await? {
            // It was announced to bring this contact back, and did not.
            Some(seen) if seen.deleted && self.is_to_come_back().await? => Ok(Turn::Again),
            Some(seen) => {
                // On the very contact it was to be added to, our reference is ours.
                let added = intent.is_some_and(|intent| intent.target.as_ref() == Some(&seen.id));
                self.memory.may_be_ours |= added;
                let outcome = if added { Outcome::Linked } else { Outcome::Adopted };
                self.keep(outcome, seen, "found by its reference after an interrupted write").await
            }
            None => Ok(Turn::Again),
        }
    }

    /// Propstreet has the ref on a contact whose hashes agree: ours, without a request.
    async fn adopt(&mut self, holder: &plan::Indexed) -> Result<Turn, Halt> {
        let note = "Propstreet already had this reference".to_owned();
        let ending = self.synced(Outcome::Adopted, holder.id.clone(), holder.etag.clone(), note);
        self.settle(ending, None).await?;
        Ok(Turn::Done(Outcome::Adopted))
    }

    /// Propstreet has the ref on a contact whose hashes differ: what it shows in clear decides.
    async fn compare(&mut self, id: &str) -> Result<Turn, Halt> {
        match self.ask(|d| d.engine.destination.read(&self.key, id)).await? {
            Some(seen) if seen.deleted || self.carries_ours(&seen) => {
                self.found(seen, "Propstreet already had this reference").await
            }
            // Somebody has taken it off since the index was read.
            Some(_) => self.look_again().await,
            None => self.missing(id).await,
        }
    }

    /// A contact that carries our ref, read just now.
    pub(super) async fn found(&mut self, seen: Seen, note: &str) -> Result<Turn, Halt> {
        self.keep(Outcome::Adopted, seen, note).await
    }

    /// Settles a contact that carries our ref, unless it is deleted or plainly somebody else's.
    pub(super) async fn keep(&mut self, outcome: Outcome, seen: Seen, note: &str) -> Result<Turn, Halt> {
        if seen.deleted {
            let ending =
                Ending::Deleted { propstreet_id: Some(seen.id.clone()), note: "deleted in Propstreet".to_owned() };
            self.settle(ending, Some(&seen)).await?;
            return Ok(Turn::Done(Outcome::Skipped));
        }
        if !self.memory.may_be_ours && self.contradicts(&seen) {
            let detail = format!("contact {} has this reference, and neither its name nor its address agree", seen.id);
            return Err(Halt::Quarantine(Complaint::new(Reason::RefConflict, detail).blocked_by(&seen.id)));
        }
        self.settle_seen(outcome, &seen, note).await
    }

    pub(super) async fn look_up(&self) -> Result<Option<Seen>, Halt> {
        self.ask(|d| d.engine.destination.find(&self.key, &self.reference)).await
    }

    /// The durable word that a write is about to be sent.
    pub(super) async fn announce(&mut self, kind: IntentKind, target: Option<String>) -> Result<(), Halt> {
        let intent = self.intent(kind, target);
        Ok(self.desk.engine.ledger.intend(intent).await?)
    }

    pub(super) fn intent(&mut self, kind: IntentKind, target: Option<String>) -> Intent {
        // From here on the open intent is this delivery's own, and it knows what became of it.
        self.memory.looked_up = true;
        self.memory.sent = None;
        Intent {
            key: self.key.clone(),
            source: self.desk.source.name.clone(),
            kind,
            target,
            email: self.email,
            fingerprint: self.fingerprint(),
            at: self.desk.now(),
        }
    }

    /// The one way in which a record ends on a contact that exists: what it says is brought there first.
    pub(super) async fn settle_seen(&mut self, outcome: Outcome, seen: &Seen, note: &str) -> Result<Turn, Halt> {
        let met = match self.converge(outcome, seen, note).await? {
            Ok(met) => *met,
            Err(turn) => return Ok(turn),
        };
        let (met, pending) = self.employ_met(met).await?;
        let mut ending = self.synced(met.outcome, met.seen.id.clone(), met.etag, met.note);
        if let Ending::Synced { owned, pending_employment, .. } = &mut ending {
            *owned = met.owned;
            *pending_employment = pending;
        }
        Ok(Turn::Done(self.settle(ending, Some(&met.seen)).await?))
    }

    fn synced(&self, outcome: Outcome, id: String, etag: Option<String>, note: String) -> Ending {
        let name = self.mapped.as_ref().ok().and_then(|c| self.desk.keyed().name(c.first_name(), c.last_name()));
        Ending::Synced {
            outcome,
            propstreet_id: id,
            etag,
            fingerprint: self.memory.sent.unwrap_or(self.fingerprint()),
            mapping: self.desk.source.mapper.version(),
            name,
            owned: Remembered::default(),
            pending_employment: self.mapped.as_ref().is_ok_and(Contact::has_employment),
            note,
        }
    }

    /// Commits how the record ended, with what Propstreet's answer showed.
    pub(super) async fn settle(&self, ending: Ending, seen: Option<&Seen>) -> Result<Outcome, LedgerError> {
        let engine = self.desk.engine;
        // What was sent before the record changed is not what it says now: the next sighting must not pass for known.
        let changed_since = self.memory.sent.is_some_and(|sent| Some(sent) != self.fingerprint);
        let settlement = Settlement {
            pass: self.desk.pass,
            source: self.desk.source.name.clone(),
            key: self.key.clone(),
            email: self.email,
            modified: self.modified.filter(|_| !changed_since),
            ending,
            index: seen.map(|seen| index::entry(seen, &engine.rules, engine.ledger.keyed())),
            revisit: self.memory.revisit,
            began: self.began,
            at: self.desk.now(),
        };
        let outcome = engine.ledger.settle(settlement).await?;
        tracing::debug!(reference = %self.key, outcome = outcome.as_str(), "settled");
        Ok(outcome)
    }

    /// Commits the outcome of a delivery that broke off.
    pub(super) async fn end_early(&self, halt: Halt) -> Result<Ended, Stop> {
        let ending = match self.blame(halt) {
            Halt::Stop(stop) => return Err(stop),
            Halt::Quarantine(complaint) => self.aside(complaint),
            Halt::Defer(Wait::RecordFails, cause) if self.is_poison().await? => {
                self.aside(Complaint::new(Reason::UpstreamRefuses, cause))
            }
            Halt::Defer(wait, cause) => self.later(wait, cause),
            Halt::Lost(trouble) => {
                let wait = if trouble.passes() { Wait::Outage } else { Wait::Credential };
                self.later(wait, trouble.to_string())
            }
        };
        let told = self.memory.told.as_ref().map(|complaint| complaint.reason);
        let news = matches!(&ending, Ending::Quarantined { complaint, .. } if told != Some(complaint.reason));
        let outcome = self.settle(ending, None).await?;
        Ok(Ended { newly_quarantined: news.into(), ..outcome.into() })
    }

    fn aside(&self, complaint: Complaint) -> Ending {
        let payload = self.mapped.as_ref().ok().and_then(|contact| serde_json::to_string(contact).ok());
        Ending::Quarantined { complaint, fingerprint: self.fingerprint, payload }
    }

    fn later(&self, wait: Wait, cause: String) -> Ending {
        let next = wait.until_next(self.memory.failed + 1).map(|wait| self.desk.now() + wait);
        Ending::Deferred { wait, cause, next, unanswered: self.memory.unanswered }
    }

    pub(super) fn contact(&self) -> Result<&Contact, Halt> {
        self.mapped.as_ref().map_err(|complaint| Halt::Quarantine(complaint.clone()))
    }

    /// Of the mapped content; a record that no longer maps keeps the fingerprint of nothing, and maps anew later.
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.unwrap_or(Fingerprint([0; 32]))
    }
}
