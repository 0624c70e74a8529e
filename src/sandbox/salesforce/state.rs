//! Everything in the org that changes: its rows, its sessions, its open queries, and where the levers stand.
//! It must not know what anybody does with them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use crate::sandbox::people::Company;
use crate::sandbox::salesforce::call::Refusal;
use crate::sandbox::salesforce::columns::{Column, Record};
use crate::sandbox::salesforce::contact::is_person_account;
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::jobs::Jobs;
use crate::sandbox::salesforce::objects::{Object, with_type};
use crate::sandbox::salesforce::pages::Pages;
use crate::sandbox::salesforce::records::{Account, Contact, Human, Lead, Profile, Tables};
use crate::sandbox::salesforce::usage::Usage;
use crate::sandbox::table::Row;

/// The org's id.
pub const ORGANIZATION: &str = "00DQy00000000bDMAQ";
/// The longest page, and the default.
pub const PAGE: usize = 2000;
/// How long a query locator lives.
const LOCATOR_LIFE: TimeDelta = TimeDelta::days(2);
/// How often a user may log in within an hour.
const LOGINS_AN_HOUR: usize = 3600;

/// Everything that changes.
pub struct State {
    /// The rows.
    pub tables: Tables,
    /// The levers.
    pub levers: Levers,
    /// The Bulk API's query jobs.
    pub jobs: Jobs,
    /// The calls it counts.
    pub usage: Usage,
    account_of: BTreeMap<(String, String), u64>,
    token: Option<String>,
    tokens_issued: u64,
    logins: VecDeque<DateTime<Utc>>,
    locators: BTreeMap<u64, (DateTime<Utc>, Arc<dyn Pages>)>,
    next_locator: u64,
}

/// Where the levers stand that a test pulls.
pub struct Levers {
    /// The most rows a page has, whatever a client asks for.
    pub page_cap: usize,
    /// Objects and fields out of the user's sight, in lower case: `lead`, `contact.email`.
    pub hidden: BTreeSet<String>,
    /// Fields the user may see and not write, in lower case: `contact.email`.
    pub read_only: BTreeSet<String>,
    /// Why nobody may log in.
    pub denied_logins: Option<String>,
    /// Whether `latestDateCovered` falls back before open transactions.
    pub admits_open_transactions: bool,
    /// Whether the winner of a merge gets a new stamp.
    pub merge_moves_winner: bool,
    /// Whether the user may not ask which records changed.
    pub updated_forbidden: bool,
    /// How many more answers lack the way to their next page.
    pub lost_next_urls: u32,
    /// Records whose updates fail, by id of 18 characters.
    pub failing_writes: BTreeMap<String, FailingWrites>,
    /// How many query jobs may be made within a day.
    pub jobs_a_day: usize,
    /// How long a query job takes.
    pub job_takes: TimeDelta,
    /// Why query jobs made from now on end as failed.
    pub jobs_fail: Option<String>,
    /// The most rows of one page of a job's results, whatever a client asks for.
    pub results_cap: usize,
    /// Whether the org has person accounts.
    pub person_accounts: bool,
    /// Whether an edit of a person account gives its contact a new stamp too.
    pub person_edit_moves_contact: bool,
    /// Whether the existing contact that a lead is converted into gets a new stamp.
    pub conversion_moves_contact: bool,
}

impl Default for Levers {
    fn default() -> Self {
        Self {
            page_cap: PAGE,
            hidden: BTreeSet::new(),
            read_only: BTreeSet::new(),
            denied_logins: None,
            updated_forbidden: false,
            lost_next_urls: 0,
            failing_writes: BTreeMap::new(),
            jobs_a_day: 10_000,
            job_takes: TimeDelta::seconds(10),
            jobs_fail: None,
            results_cap: usize::MAX,
            person_accounts: false,
            person_edit_moves_contact: false,
            admits_open_transactions: true,
            merge_moves_winner: true,
            conversion_moves_contact: true,
        }
    }
}

/// What updates of one record answer instead of succeeding.
#[derive(Clone, Debug)]
pub struct FailingWrites {
    /// The error code.
    pub code: &'static str,
    /// Salesforce's words.
    pub message: String,
    /// How many more fail; `None` for all.
    pub left: Option<u32>,
}

impl Levers {
    /// Whether this answer lacks the way to its next page.
    pub fn loses_next_url(&mut self) -> bool {
        let loses = self.lost_next_urls > 0;
        self.lost_next_urls = self.lost_next_urls.saturating_sub(1);
        loses
    }

    /// What the next update of this record answers instead of succeeding.
    pub fn failing_write(&mut self, id: &str) -> Option<Refusal> {
        let FailingWrites { code, message, left } = self.failing_writes.get_mut(id)?;
        if *left == Some(0) {
            return None;
        }
        *left = left.map(|left| left - 1);
        Some(Refusal::bad(code, message.clone()))
    }
}

impl State {
    /// An empty org; `seed` decides the run of ids.
    pub fn new(seed: u64) -> Self {
        Self {
            tables: Tables::new(62_u64.pow(5) * (10 + seed % 40)),
            levers: Levers::default(),
            jobs: Jobs::new(seed),
            usage: Usage::default(),
            account_of: BTreeMap::new(),
            token: None,
            tokens_issued: 0,
            logins: VecDeque::new(),
            locators: BTreeMap::new(),
            next_locator: seed % 1000 + 1,
        }
    }

    /// The account of a company, made if it is new.
    pub fn account_for(&mut self, company: &Company, now: DateTime<Utc>) -> u64 {
        let name = (company.name.clone(), company.domain.clone());
        self.account_of.get(&name).copied().unwrap_or_else(|| self.found(company, now))
    }

    /// A new account of a company, to which its name leads from now on.
    pub fn found(&mut self, company: &Company, now: DateTime<Utc>) -> u64 {
        let account = Account { company: company.clone(), person: None };
        let key = self.tables.accounts.insert(account, now, Some(now), None);
        self.account_of.insert((company.name.clone(), company.domain.clone()), key);
        key
    }

    /// What contacts and leads have in common, of the one behind an id of 15 or 18 characters, binned or not.
    pub fn profile(&self, id: &str) -> Option<&Profile> {
        let contact = ids::key(Contact::PREFIX, id).and_then(|key| self.tables.contacts.row(key));
        let lead = ids::key(Lead::PREFIX, id).and_then(|key| self.tables.leads.row(key));
        contact.map(|row| row.value.profile()).or(lead.map(|row| row.value.profile()))
    }

    /// Whether a contact or a lead stands outside the bin.
    pub fn is_live(&self, id: &str) -> bool {
        let contact = ids::key(Contact::PREFIX, id).and_then(|key| self.tables.contacts.row(key));
        let lead = ids::key(Lead::PREFIX, id).and_then(|key| self.tables.leads.row(key));
        contact.is_some_and(|row| row.deleted.is_none()) || lead.is_some_and(|row| row.deleted.is_none())
    }

    /// Puts a contact under the account of its present company. A person account stays its own.
    pub fn rehouse(&mut self, id: &str, now: DateTime<Utc>) {
        let Some(row) = ids::key(Contact::PREFIX, id).and_then(|key| self.tables.contacts.row(key)) else { return };
        if is_person_account(row, &self.tables) {
            return;
        }
        let (key, company) = (row.key, row.value.profile.person.company.clone());
        let account = company.map(|company| self.account_for(&company, now));
        self.tables.contacts.change(key, |row| row.value.account = account);
    }

    /// Changes a contact or a lead and moves its stamp to `now`. `false` when there is none.
    pub fn touch(&mut self, id: &str, now: DateTime<Utc>, change: impl FnOnce(Change<'_>)) -> bool {
        if let Some(key) = ids::key(Contact::PREFIX, id) {
            self.tables.contacts.change(key, |row| touched(row, now, change))
        } else if let Some(key) = ids::key(Lead::PREFIX, id) {
            self.tables.leads.change(key, |row| touched(row, now, change))
        } else {
            false
        }
    }

    /// The session's token; a repeated grant answers the same one. `None` above 3,600 logins an hour.
    pub fn log_in(&mut self, now: DateTime<Utc>) -> Option<String> {
        while self.logins.front().is_some_and(|login| now - *login >= TimeDelta::hours(1)) {
            self.logins.pop_front();
        }
        if self.logins.len() >= LOGINS_AN_HOUR {
            return None;
        }
        self.logins.push_back(now);
        let issued = &mut self.tokens_issued;
        let token = self.token.get_or_insert_with(|| {
            *issued += 1;
            format!("{}!AQsandbox{issued:08}", &ORGANIZATION[..15])
        });
        Some(token.clone())
    }

    /// Ends all sessions.
    pub fn log_out(&mut self) {
        self.token = None;
    }

    /// Whether a bearer token is alive.
    pub fn admits(&self, token: &str) -> bool {
        self.token.as_deref() == Some(token)
    }

    /// Whether the user may not see an object (`Lead`) or a field (`Contact.Email`).
    pub fn hides(&self, name: &str) -> bool {
        self.levers.hidden.contains(&name.to_ascii_lowercase())
            || (!self.levers.person_accounts && needs_person_accounts(name))
    }

    /// Whether the user may update a field.
    pub fn may_write<T>(&self, object: &str, column: &Column<T>) -> bool {
        let name = format!("{object}.{}", column.name).to_ascii_lowercase();
        column.updateable && !self.levers.read_only.contains(&name)
    }

    /// Rows a page when a client asks for `wanted`.
    pub fn page(&self, wanted: usize) -> usize {
        wanted.min(self.levers.page_cap)
    }

    /// Keeps a result set for the pages to come; answers the locator's number.
    pub fn keep(&mut self, pages: Arc<dyn Pages>, now: DateTime<Utc>) -> u64 {
        self.locators.retain(|_, (opened, _)| now - *opened < LOCATOR_LIFE);
        self.next_locator += 1;
        self.locators.insert(self.next_locator, (now, pages));
        self.next_locator
    }

    /// The result set behind a locator.
    pub fn kept(&self, locator: u64, now: DateTime<Utc>) -> Option<Arc<dyn Pages>> {
        let (opened, pages) = self.locators.get(&locator)?;
        (now - *opened < LOCATOR_LIFE).then(|| pages.clone())
    }

    /// Forgets all open queries.
    pub fn forget_locators(&mut self) {
        self.locators.clear();
    }

    /// Up to where no later commit can show: before the oldest open transaction.
    pub fn covered(&self, end: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let open = if self.levers.admits_open_transactions { self.tables.oldest_uncommitted(now) } else { None };
        open.map_or(end, |open| open.min(end)).min(now).trunc_subsecs(0)
    }
}

/// Whether a field (`Account.PersonEmail`) exists only with person accounts.
fn needs_person_accounts(name: &str) -> bool {
    let Some((object, field)) = name.split_once('.') else { return false };
    let Some(object) = Object::named(object) else { return false };
    with_type!(object, T => T::column(field).is_some_and(|column| column.person_accounts_only))
}

/// The profile and the moment of binning of a row under change.
type Change<'a> = (&'a mut Profile, &'a mut Option<DateTime<Utc>>);

fn touched<T: Human>(row: &mut Row<T>, now: DateTime<Utc>, change: impl FnOnce(Change<'_>)) {
    row.stamp = Some(now);
    change((row.value.profile_mut(), &mut row.deleted));
}
