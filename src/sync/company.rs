//! Which company of Propstreet an employer is: what the ledger says, or who carries its reference, or whom Propstreet's
//! own search names by domain or by name and country; else a new one. Each write is announced, and after a lost answer or
//! a crash its reference is looked up first.

use chrono::TimeDelta;

use crate::domain::employer::{self, CompanyField, Employer, KnownField, Match};
use crate::domain::failure::Reason;
use crate::domain::finding::Finding;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::ledger::companies::{CompanyRow, CompanyState, KnownCompany};
use crate::sync::asking::Sent;
use crate::sync::deliver::{Delivery, Halt};
use crate::sync::destination::companies::{CompanyAnswer, CompanyPatch, SeenCompany};
use crate::sync::engine::OnChange;
use crate::sync::firms::Firm;
use crate::sync::same_person::MAX_MERGES;

/// How often a company is looked for that is not to be told.
const TRY_AGAIN: TimeDelta = TimeDelta::days(1);

/// An employer under way, and what the ledger knows of it.
struct Search<'e> {
    key: RefKey,
    reference: ExternalRef,
    employer: &'e Employer,
    known: Vec<KnownField>,
    /// The company it was before, if it was known.
    was: Option<String>,
}

impl Delivery<'_> {
    /// Which company an employer is. Trouble with companies leaves the employer waiting, and is no matter of the person;
    /// only an outage is.
    pub(super) async fn firm(&self, employer: &Employer) -> Result<Firm, Halt> {
        let (desk, firms) = (self.desk, &self.desk.patience.firms);
        if let Some(why) = firms.refused() {
            return Ok(Firm::Waits { why, due: desk.now() });
        }
        let key = self.company_key(employer);
        if let Some(firm) = firms.known(&key, employer) {
            return Ok(firm);
        }
        let _held = desk.engine.company_locks.hold(key.clone()).await;
        // A colleague may have asked while this one waited.
        if let Some(firm) = firms.known(&key, employer) {
            return Ok(firm);
        }
        let firm = match self.which(&key, employer).await {
            Ok(firm) => firm,
            Err(halt) => self.setback(halt)?,
        };
        firms.learn(key, employer, &firm);
        Ok(firm)
    }

    /// What trouble with companies comes to: the person goes on without.
    pub(super) fn setback(&self, halt: Halt) -> Result<Firm, Halt> {
        let why = match halt {
            Halt::Quarantine(complaint) if complaint.reason == Reason::Forbidden => {
                self.refuse(&complaint.detail);
                complaint.detail
            }
            Halt::Quarantine(complaint) => complaint.detail,
            Halt::Defer(_, cause) => cause,
            halt @ (Halt::Lost(_) | Halt::Stop(_)) => return Err(halt),
        };
        Ok(Firm::Waits { why, due: self.desk.now() })
    }

    /// The tenant may not use companies: told once, and tried again by the next sync.
    fn refuse(&self, why: &str) {
        if !self.desk.patience.firms.refuse(why) {
            return;
        }
        let what = format!("Propstreet refuses calls on companies: {why}");
        let remedy =
            "grant the client companies and links, or set companies = \"off\"; contacts go on without employers";
        for Finding { what, remedy, .. } in self.desk.engine.notes.news("companies", vec![Finding::note(what, remedy)])
        {
            tracing::warn!(source = self.desk.source.name, what, remedy, "noted");
        }
    }

    /// By what a company is told from another: the CRM's reference to it, or what somebody typed, hashed.
    pub(super) fn company_key(&self, employer: &Employer) -> RefKey {
        if let Some(id) = &employer.id {
            return self.desk.key(id);
        }
        let typed = CompanyField::ALL.map(|field| employer.value(field).unwrap_or_default()).join("\n");
        let hash = self.desk.keyed().field("company", &typed);
        RefKey::from_parts("", hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    async fn which(&self, key: &RefKey, employer: &Employer) -> Result<Firm, Halt> {
        let Some(id) = &employer.id else {
            let hits = self.ask(|d| d.engine.destination.duplicates(key, employer)).await?;
            return Ok(match employer::judge(employer, &hits) {
                Match::One(company, _) => Firm::Is(company),
                Match::Nobody | Match::Several(_) => Firm::Nobody,
            });
        };
        let row = self.desk.engine.ledger.company(key.clone()).await?;
        let doubted = self.desk.patience.firms.is_doubted(key);
        if let Some(CompanyRow { state, propstreet_id, fields, note, last_changed, .. }) = &row {
            let follows = self.desk.source.on_change == OnChange::Update;
            let as_known = !follows || employer::is_as_known(employer, fields, self.desk.keyed());
            match (state, propstreet_id) {
                (CompanyState::Settled, Some(company)) if as_known && !doubted => return Ok(Firm::Is(company.clone())),
                (CompanyState::Waiting, _) if *last_changed + TRY_AGAIN > self.desk.now() => {
                    return Ok(Firm::Waits { why: note.clone(), due: *last_changed + TRY_AGAIN });
                }
                _ => {}
            }
        }
        let (known, was) = row.map_or((Vec::new(), None), |row| (row.fields, row.propstreet_id));
        let reference = ExternalRef { namespace: self.desk.source.namespace.clone(), id: id.clone() };
        self.look_for(Search { key: key.clone(), reference, employer, known, was }).await
    }

    /// By its id, by its reference, by what it is called; else it is made. One that was there and is not any more is not
    /// made again: somebody deleted it, or hides it from us.
    async fn look_for(&self, mut search: Search<'_>) -> Result<Firm, Halt> {
        if let Some(was) = &search.was
            && let Some(seen) = self.read_company(&search.key, was).await?
        {
            return self.keep_up(&search, seen, "known by its id").await;
        }
        if let Some(seen) = self.company_by_reference(&search).await? {
            if search.was.is_none() {
                let shown = |field| seen.value(field).map(str::to_owned);
                search.known = employer::arrive(search.employer, &search.known, shown, self.desk.keyed());
            }
            return self.keep_up(&search, seen, "found by its reference").await;
        }
        if search.was.is_some() {
            return self.company_waits(&search, "its company was deleted in Propstreet, or is hidden from us").await;
        }
        // What was sent did not arrive: whatever is found now is not made of it.
        search.known.clear();
        // Another of the CRMs' companies may be the same one: what the search goes by is asked for by one at a time.
        let mut alike = Vec::new();
        for word in search.employer.alike() {
            alike.push(self.desk.engine.company_locks.hold(RefKey::from_parts("", word)).await);
        }
        match self.search(&search).await? {
            Some(firm) => Ok(firm),
            None => self.create_company(&search).await,
        }
    }

    async fn company_by_reference(&self, search: &Search<'_>) -> Result<Option<SeenCompany>, Halt> {
        let seen = self.ask(|d| d.engine.destination.find_company(&search.key, &search.reference)).await?;
        Ok(seen.filter(|seen| !seen.deleted))
    }

    async fn read_company(&self, key: &RefKey, id: &str) -> Result<Option<SeenCompany>, Halt> {
        let seen = self.ask(|d| d.engine.destination.read_company(key, id)).await?;
        Ok(seen.filter(|seen| !seen.deleted))
    }

    /// Asks Propstreet which company it may be; `None` where it is none.
    async fn search(&self, search: &Search<'_>) -> Result<Option<Firm>, Halt> {
        let hits = self.ask(|d| d.engine.destination.duplicates(&search.key, search.employer)).await?;
        match employer::judge(search.employer, &hits) {
            Match::Nobody => Ok(None),
            Match::Several(ids) => {
                let why = format!("companies {} may all be its employer", ids.join(", "));
                self.company_waits(search, &why).await.map(Some)
            }
            Match::One(id, by) => match self.read_company(&search.key, &id).await? {
                Some(seen) => self.join(search, seen, &format!("found by {by}")).await.map(Some),
                None => self.company_waits(search, &format!("company {id} is hidden from us")).await.map(Some),
            },
        }
    }

    /// Adds our reference to a company that was found. One that will not have it is the company all the same.
    async fn join(&self, search: &Search<'_>, mut seen: SeenCompany, note: &str) -> Result<Firm, Halt> {
        for round in 1..=MAX_MERGES {
            if self.company_carries(&seen, &search.key) {
                break;
            }
            let refs = seen.refs.iter().cloned().chain([search.reference.clone()]).collect();
            let patch = CompanyPatch { refs: Some(refs), texts: Vec::new() };
            match self.change_company(search, &seen, &patch).await? {
                Changed::Written(now) => {
                    seen = *now;
                    break;
                }
                Changed::Refused(_) => break,
                Changed::Stale | Changed::Unknown => self.desk.pause(round).await,
            }
            match self.read_company(&search.key, &seen.id).await? {
                Some(now) => seen = now,
                None => return self.company_waits(search, "its company was deleted as it was found").await,
            }
        }
        self.know(search, &seen, &[], note).await
    }

    /// Writes to a company that is known what its CRM has changed, where contacts follow.
    async fn keep_up(&self, search: &Search<'_>, mut seen: SeenCompany, note: &str) -> Result<Firm, Halt> {
        let follows = self.desk.source.on_change == OnChange::Update && !search.known.is_empty();
        let mut wrote = Vec::new();
        for round in 1..=MAX_MERGES {
            let shown = |field| seen.value(field).map(str::to_owned);
            let texts = employer::follow(search.employer, &search.known, shown, self.desk.keyed());
            if !follows || texts.is_empty() {
                return self.know(search, &seen, &wrote, note).await;
            }
            let fields: Vec<CompanyField> = texts.iter().map(|(field, _)| *field).collect();
            let texts = texts.into_iter().map(|(field, value)| (field, value.to_owned())).collect();
            let patch = CompanyPatch { refs: None, texts };
            match self.change_company(search, &seen, &patch).await? {
                Changed::Written(now) => return self.know(search, &now, &fields, note).await,
                Changed::Refused(why) => {
                    tracing::warn!(company = seen.id, why, "Propstreet will not have a company changed");
                    return self.know(search, &seen, &[], note).await;
                }
                // What is shown then in another spelling may be what was sent.
                Changed::Unknown => wrote = fields,
                Changed::Stale => wrote.clear(),
            }
            self.desk.pause(round).await;
            match self.read_company(&search.key, &seen.id).await? {
                Some(now) => seen = now,
                None => return self.company_waits(search, "its company was deleted as it was changed").await,
            }
        }
        let why = format!("company {} kept changing while it was written", seen.id);
        Ok(Firm::Waits { why, due: self.desk.now() })
    }

    async fn change_company(
        &self,
        search: &Search<'_>,
        seen: &SeenCompany,
        patch: &CompanyPatch,
    ) -> Result<Changed, Halt> {
        let engine = self.desk.engine;
        engine
            .ledger
            .announce_company(search.key.clone(), &self.desk.source.name, &search.known, self.desk.now())
            .await?;
        match self.send(|d| d.engine.destination.patch_company(&search.key, seen, patch)).await {
            Ok(Sent::Answered(CompanyAnswer::Written(now))) => Ok(Changed::Written(now)),
            Ok(Sent::Answered(CompanyAnswer::Rejected(refusal))) => Ok(Changed::Refused(refusal.detail)),
            Ok(Sent::Answered(CompanyAnswer::Conflict(_) | CompanyAnswer::Missing)) => Ok(Changed::Stale),
            Ok(Sent::Lost(_)) => Ok(Changed::Unknown),
            // It may be read and not changed: people can be employed there.
            Err(Halt::Quarantine(complaint)) if complaint.reason == Reason::Forbidden => {
                Ok(Changed::Refused(complaint.detail))
            }
            Err(halt) => Err(halt),
        }
    }

    async fn create_company(&self, search: &Search<'_>) -> Result<Firm, Halt> {
        if search.employer.name.is_none() {
            return self.company_waits(search, "the CRM shows no name of its company").await;
        }
        let engine = self.desk.engine;
        let sent = employer::send(search.employer, self.desk.keyed());
        engine.ledger.announce_company(search.key.clone(), &self.desk.source.name, &sent, self.desk.now()).await?;
        let sent = self.send(|d| d.engine.destination.create_company(&search.key, search.employer, &search.reference));
        match sent.await? {
            Sent::Answered(CompanyAnswer::Written(seen)) if self.company_carries(&seen, &search.key) => {
                self.know(search, &seen, &CompanyField::ALL, "created").await
            }
            Sent::Answered(CompanyAnswer::Rejected(refusal)) => self.company_waits(search, &refusal.detail).await,
            Sent::Answered(CompanyAnswer::Conflict(conflict)) => self.explain(search, conflict.detail).await,
            Sent::Answered(CompanyAnswer::Written(_) | CompanyAnswer::Missing) => {
                let why = "Propstreet answered the new company without its reference";
                self.explain(search, why.to_owned()).await
            }
            Sent::Lost(cause) => self.explain(search, cause).await,
        }
    }

    /// After an answer that leaves open whether the company is there: its reference may show it, or now the search. What
    /// shows later is found by the next sync, because the write stays announced; a second one is refused by its reference.
    async fn explain(&self, search: &Search<'_>, why: String) -> Result<Firm, Halt> {
        for round in 1..=3 {
            if let Some(seen) = self.company_by_reference(search).await? {
                return self.know(search, &seen, &CompanyField::ALL, "created; found by its reference").await;
            }
            self.desk.pause(round).await;
        }
        match self.search(search).await? {
            Some(firm) => Ok(firm),
            None => Ok(Firm::Waits { why, due: self.desk.now() }),
        }
    }

    /// From now on it is this company.
    async fn know(
        &self,
        search: &Search<'_>,
        seen: &SeenCompany,
        wrote: &[CompanyField],
        note: &str,
    ) -> Result<Firm, Halt> {
        let shown = |field| seen.value(field).map(str::to_owned);
        let fields = employer::remember(search.employer, &search.known, shown, wrote, self.desk.keyed());
        let known = KnownCompany {
            key: search.key.clone(),
            source: self.desk.source.name.clone(),
            propstreet_id: seen.id.clone(),
            etag: seen.etag.clone(),
            fields,
            note: note.to_owned(),
        };
        self.desk.engine.ledger.settle_company(known, self.desk.now()).await?;
        tracing::debug!(company = %search.key, id = seen.id, note, "known");
        Ok(Firm::Is(seen.id.clone()))
    }

    async fn company_waits(&self, search: &Search<'_>, why: &str) -> Result<Firm, Halt> {
        let (desk, now) = (self.desk, self.desk.now());
        let key = search.key.clone();
        desk.engine.ledger.company_waits(key, &desk.source.name, why.to_owned(), now).await?;
        tracing::warn!(company = %search.key, why, "its people go on without it");
        Ok(Firm::Waits { why: why.to_owned(), due: now + TRY_AGAIN })
    }

    fn company_carries(&self, seen: &SeenCompany, key: &RefKey) -> bool {
        seen.refs.iter().any(|reference| self.desk.engine.rules.key_of(reference) == *key)
    }
}

/// What became of a change.
enum Changed {
    Written(Box<SeenCompany>),
    /// Propstreet will not have it.
    Refused(String),
    /// Somebody was faster: to be read again.
    Stale,
    /// No answer came: it may be written.
    Unknown,
}
