//! Everything in the company that changes, and the one way in which a record does.
//! It must not know HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde_json::Value as Json;

use crate::sandbox::people::{Company, Person};
use crate::sandbox::pipedrive::access::Access;
use crate::sandbox::pipedrive::definitions::Definitions;
use crate::sandbox::pipedrive::fields::{Record, Sheet, Style, View, render};
use crate::sandbox::pipedrive::hooks::{Happening, Hooks};
use crate::sandbox::pipedrive::organization::{self, Organization};
use crate::sandbox::pipedrive::person::{self, Contact};
use crate::sandbox::pipedrive::rates::Rates;
use crate::sandbox::table::{Row, Table};

/// How long a deleted record can still be read and restored, in days.
const BIN: i64 = 30;

/// How many persons an organization has.
const PEOPLE: &str = "people_count";

/// What a single read answers for a deleted record; Pipedrive documents none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletedRead {
    /// 200 with `is_deleted: true`.
    Shown,
    /// 404
    NotFound,
    /// 410
    Gone,
}

/// What a single read answers for a record that the user may not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiddenRead {
    /// 403
    Forbidden,
    /// 404
    NotFound,
}

/// How the end of a list is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `next_cursor` is `null`.
    Null,
    /// There is no `next_cursor`.
    Absent,
    /// There is no `additional_data`.
    Bare,
    /// Now one, now the other.
    Mixed,
}

/// How the company behaves where the documentation leaves it open.
#[derive(Clone, Debug)]
pub struct Levers {
    /// The most rows a page has.
    pub page_cap: usize,
    /// Every how many list calls an empty page comes with a cursor to go on.
    pub empty_pages: Option<u64>,
    /// What a single read answers for a deleted record.
    pub deleted_read: DeletedRead,
    /// What a single read answers for a record that may not be seen.
    pub hidden_read: HiddenRead,
    /// Whether lists show deleted records.
    pub deleted_in_lists: bool,
    /// Whether records without `update_time` sort last and not first.
    pub nulls_last: bool,
    /// How the end of a list is spelt.
    pub end: End,
    /// How long a cursor works.
    pub cursor_life: Option<TimeDelta>,
    /// For how many calls after its page a cursor works.
    pub cursor_calls: Option<u64>,
    /// Whether a page that was asked for by a cursor answers that very cursor again.
    pub cursor_loop: bool,
    /// Whether a merge moves the survivor's `update_time`.
    pub merge_moves_stamp: bool,
    /// Whether coming back from the bin moves `update_time`.
    pub restore_moves_stamp: bool,
    /// Whether a rename or merge of an organization moves its persons' `update_time`.
    pub organization_moves_persons: bool,
    /// Whether a PATCH that changes nothing moves `update_time`.
    pub idle_patch_moves_stamp: bool,
    /// Whether a PATCH that names an unknown custom field is refused, not just ignored.
    pub unknown_field_refused: bool,
    /// Whether v1 answers under `/api/v1` as well.
    pub api_v1: bool,
}

impl Default for Levers {
    fn default() -> Self {
        Self {
            page_cap: usize::MAX,
            empty_pages: None,
            deleted_read: DeletedRead::Shown,
            hidden_read: HiddenRead::Forbidden,
            deleted_in_lists: false,
            nulls_last: false,
            end: End::Mixed,
            cursor_life: None,
            cursor_calls: None,
            cursor_loop: false,
            merge_moves_stamp: true,
            restore_moves_stamp: true,
            organization_moves_persons: false,
            idle_patch_moves_stamp: true,
            unknown_field_refused: false,
            api_v1: true,
        }
    }
}

/// Who does something, when, and what it leaves behind.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// When.
    pub at: DateTime<Utc>,
    /// Whether `update_time` moves.
    pub stamps: bool,
    /// Whether a client of the API does it and not a person.
    pub api: bool,
    /// Whether it is one of many edits made at once.
    pub bulk: bool,
    /// What a merge notes in the event: `merged_to_id` or `merged_from_id`, and that id.
    pub merged: Option<(&'static str, u64)>,
}

impl Act {
    /// A person edits a record.
    pub fn person(at: DateTime<Utc>) -> Self {
        Self { at, stamps: true, api: false, bulk: false, merged: None }
    }

    /// A client edits a record.
    pub fn api(at: DateTime<Utc>) -> Self {
        Self { api: true, ..Self::person(at) }
    }

    /// Something that shows in no `update_time`.
    pub fn quiet(at: DateTime<Utc>) -> Self {
        Self { stamps: false, ..Self::person(at) }
    }
}

/// Everything that changes.
pub struct State {
    /// Persons.
    pub persons: Table<Contact>,
    /// Organizations.
    pub organizations: Table<Organization>,
    /// The fields of persons.
    pub person_fields: Definitions,
    /// The fields of organizations.
    pub organization_fields: Definitions,
    /// Tokens and scopes.
    pub access: Access,
    /// Limits and what is used of them.
    pub rates: Rates,
    /// Webhooks and what was sent to them.
    pub hooks: Hooks,
    /// What the documentation leaves open about behaviour.
    pub levers: Levers,
    /// The same about the shape of records.
    pub style: Style,
    /// Answers so far; numbers correlation ids and cursors.
    pub answers: u64,
    members: BTreeSet<(u64, u64)>,
    organization_of: BTreeMap<(String, String), u64>,
}

/// A record with a table in the company.
pub trait Held: Record {
    /// The records of this type.
    fn table(state: &State) -> &Table<Self>;
    /// The same, to be changed.
    fn table_mut(state: &mut State) -> &mut Table<Self>;
    /// The fields of this type.
    fn fields(state: &State) -> &Definitions;
}

impl Held for Contact {
    fn table(state: &State) -> &Table<Self> {
        &state.persons
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.persons
    }
    fn fields(state: &State) -> &Definitions {
        &state.person_fields
    }
}

impl Held for Organization {
    fn table(state: &State) -> &Table<Self> {
        &state.organizations
    }
    fn table_mut(state: &mut State) -> &mut Table<Self> {
        &mut state.organizations
    }
    fn fields(state: &State) -> &Definitions {
        &state.organization_fields
    }
}

impl State {
    /// An empty company. Both types of record begin alike: an id means nothing without its type.
    pub fn new(first_key: u64) -> Self {
        Self {
            persons: Table::new(first_key),
            organizations: Table::new(first_key),
            person_fields: person::definitions(),
            organization_fields: organization::definitions(),
            access: Access::default(),
            rates: Rates::default(),
            hooks: Hooks::default(),
            levers: Levers::default(),
            style: Style::default(),
            answers: 0,
            members: BTreeSet::new(),
            organization_of: BTreeMap::new(),
        }
    }

    /// The record behind an id, deleted or not.
    pub fn row<T: Held>(&self, id: &str) -> Option<&Arc<Row<T>>> {
        T::table(self).row(id.parse().ok()?)
    }

    /// The record as it is shown to whoever asks for nothing in particular.
    pub fn shown<T: Held>(&self, row: &Row<T>, view: &View) -> Json {
        let mut shown = render(row, view, T::fields(self), &self.style);
        // The one count that clients act on: whether an organization has any persons to be read.
        if let Some(count) = shown.get_mut(PEOPLE).filter(|count| **count == 0) {
            let lives = |key: &u64| self.persons.row(*key).is_some_and(|row| row.deleted.is_none());
            *count = self.members(row.key).iter().filter(|key| lives(key)).count().into();
        }
        shown
    }

    /// Whether a record is gone for good: thirty days after its deletion.
    pub fn is_purged<T>(row: &Row<T>, now: DateTime<Utc>) -> bool {
        row.deleted.is_some_and(|deleted| now - deleted >= TimeDelta::days(BIN))
    }

    /// Changes a record, moves its `update_time` and tells the webhooks. `false` when there is no such record.
    pub fn change<T: Held>(&mut self, key: u64, act: Act, change: impl FnOnce(&mut Row<T>)) -> bool {
        let image = |state: &Self| {
            let row = T::table(state).row(key)?;
            Some((row.deleted.is_some(), row.value.sheet().hidden, state.shown(row, &View::default())))
        };
        let before = if self.hooks.listen() { image(self) } else { None };
        let changed = T::table_mut(self).change(key, |row| {
            if act.stamps {
                row.stamp = Some(act.at.trunc_subsecs(0));
            }
            change(row);
        });
        if let (Some((was_deleted, was_hidden, previous)), Some((is_deleted, hidden, data))) = (before, image(self)) {
            let action = match (was_deleted, is_deleted) {
                (false, true) => "delete",
                (true, true) => return changed,
                _ => "change",
            };
            if !hidden && !was_hidden {
                let Act { at, api, bulk, merged, .. } = act;
                let entity = T::ENTITY;
                self.hooks.tell(&Happening { action, entity, key, data, previous, at, api, bulk, merged });
            }
        }
        changed
    }

    /// Tells the webhooks of a record that was just added.
    pub fn announce<T: Held>(&mut self, key: u64, act: Act) {
        if !self.hooks.listen() {
            return;
        }
        let Some(row) = T::table(self).row(key) else { return };
        let data = self.shown(row, &View::default());
        let Act { at, api, bulk, merged, .. } = act;
        let (action, entity, previous) = ("create", T::ENTITY, Json::Null);
        self.hooks.tell(&Happening { action, entity, key, data, previous, at, api, bulk, merged });
    }

    /// Adds a person with these times; answers the key.
    pub fn hire(
        &mut self,
        person: &Person,
        created: DateTime<Utc>,
        stamp: Option<DateTime<Utc>>,
        visible_from: Option<DateTime<Utc>>,
    ) -> u64 {
        let created = created.trunc_subsecs(0);
        let organization = person.company.as_ref().map(|company| self.organization_for(company, created));
        let contact = Contact { person: person.clone(), organization, ..Contact::default() };
        let key = self.persons.insert(contact, created, stamp.map(|stamp| stamp.trunc_subsecs(0)), visible_from);
        self.members.extend(organization.map(|organization| (organization, key)));
        self.announce::<Contact>(key, Act::person(created));
        key
    }

    /// Adds an organization, whatever others there are of this name.
    pub fn found(&mut self, company: &Company, now: DateTime<Utc>) -> u64 {
        let now = now.trunc_subsecs(0);
        let organization = Organization { company: company.clone(), sheet: Sheet::default() };
        let key = self.organizations.insert(organization, now, Some(now), None);
        self.organization_of.insert((company.name.clone(), company.domain.clone()), key);
        self.announce::<Organization>(key, Act::person(now));
        key
    }

    /// The organization of a company, made where there is none.
    pub fn organization_for(&mut self, company: &Company, now: DateTime<Utc>) -> u64 {
        let name = (company.name.clone(), company.domain.clone());
        let held = self.organization_of.get(&name).copied();
        let live = |key: &u64| self.organizations.row(*key).is_some_and(|row| row.deleted.is_none());
        held.filter(live).unwrap_or_else(|| self.found(company, now))
    }

    /// Who moved from one organization to another: brings the book of members up to date.
    pub fn moved(&mut self, key: u64, from: Option<u64>, to: Option<u64>) {
        if let Some(from) = from {
            self.members.remove(&(from, key));
        }
        self.members.extend(to.map(|to| (to, key)));
    }

    /// Whoever works for `from` works for `to`; what names led to the one lead to the other.
    pub fn rehire(&mut self, from: u64, to: u64, act: Act) {
        let company = self.organizations.row(to).map(|row| row.value.company.clone());
        for key in self.members(from) {
            self.moved(key, Some(from), Some(to));
            self.change::<Contact>(key, act, |row| {
                row.value.organization = Some(to);
                row.value.person.company.clone_from(&company);
            });
        }
        self.organization_of.values_mut().filter(|key| **key == from).for_each(|key| *key = to);
    }

    /// The persons of an organization.
    pub fn members(&self, organization: u64) -> Vec<u64> {
        self.members.range((organization, 0)..=(organization, u64::MAX)).map(|(_, key)| *key).collect()
    }
}
