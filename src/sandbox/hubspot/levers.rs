//! The levers a test pulls to make the portal behave as portals sometimes do.
//! It must not decide what an answer looks like.

use std::time::Duration;

use chrono::TimeDelta;

use crate::sandbox::hubspot::access::{Rotation, ScopeShape};
use crate::sandbox::hubspot::index::Lag;
use crate::sandbox::hubspot::model::HubSpot;
use crate::sandbox::hubspot::properties::{Kind, Property};
use crate::sandbox::hubspot::rates::{Allowances, Zone};
use crate::sandbox::hubspot::state::MergedRead;

impl HubSpot {
    /// Makes pages of lists and searches shorter than clients ask for.
    pub fn set_page_size_cap(&self, rows: usize) {
        self.state().levers.page_cap = rows.max(1);
    }

    /// Makes changes from now on show in searches only after `lag`.
    pub fn set_search_lag(&self, lag: Duration) {
        let mut state = self.state();
        state.contacts.index.set_lag(Lag::Fixed(delta(lag)));
        state.companies.index.set_lag(Lag::Fixed(delta(lag)));
    }

    /// Draws for each change from now on a lag of its own, up to `most`, by the portal's seed.
    pub fn set_random_search_lag(&self, most: Duration) {
        let mut rng = fastrand::Rng::with_seed(self.seed());
        let mut state = self.state();
        state.contacts.index.set_lag(Lag::Drawn(delta(most), rng.fork()));
        state.companies.index.set_lag(Lag::Drawn(delta(most), rng));
    }

    /// Refuses all tokens given out so far: `EXPIRED_AUTHENTICATION`. The service key stays refused until
    /// [`HubSpot::renew_tokens`]; OAuth gives new tokens.
    pub fn expire_tokens(&self) {
        let now = self.now();
        self.state().access.expire(now);
    }

    /// Accepts the service key again.
    pub fn renew_tokens(&self) {
        self.state().access.key_expired = None;
    }

    /// Ends the OAuth app's installation: its access tokens are unreadable now, its refresh token `BAD_REFRESH_TOKEN`.
    pub fn revoke_app(&self) {
        self.state().access.revoke();
    }

    /// What becomes of a refresh token when it is used (never another, by default).
    pub fn set_rotation(&self, rotation: Rotation) {
        self.state().access.rotation = rotation;
    }

    /// How long OAuth's access tokens last: half an hour.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.state().access.lifetime = delta(lifetime);
    }

    /// Takes a scope away, `crm.objects.companies.read` for one: 403 `MISSING_SCOPES`.
    pub fn take_scope(&self, scope: &str) {
        self.state().access.set_scope(scope, false);
    }

    /// Gives it back.
    pub fn give_scope(&self, scope: &str) {
        self.state().access.set_scope(scope, true);
    }

    /// Where the refusal for want of a scope names it.
    pub fn set_scope_shape(&self, shape: ScopeShape) {
        self.state().access.scope_shape = shape;
    }

    /// Sets the allowances.
    pub fn set_allowances(&self, allowances: Allowances) {
        self.state().rates.allowances = allowances;
    }

    /// Where the portal is, by name and by how much it is ahead of UTC: its day ends at its own midnight.
    pub fn set_time_zone(&self, name: &str, offset: TimeDelta) {
        self.state().rates.zone = Zone { name: name.to_owned(), offset };
    }

    /// Archives a property definition of contacts and companies: reads leave it out without a word.
    pub fn archive_property(&self, name: &str) {
        let mut state = self.state();
        state.contacts.definitions.archive(name);
        state.companies.definitions.archive(name);
    }

    /// Gives contacts a property of the portal's own: a text, a number, a choice …
    pub fn add_property(&self, name: &str, kind: Kind) {
        let property = Property { custom: true, ..Property::held(name.to_owned(), name.to_owned()).of(kind) };
        self.state().contacts.definitions.add(property);
    }

    /// Makes a contact property of the portal's own read-only for clients, or writable again.
    pub fn set_read_only(&self, name: &str, read_only: bool) {
        self.state().contacts.definitions.change(name, |property| property.read_only = read_only);
    }

    /// Gives a contact property unique values, or takes that from it: a value another contact holds is refused.
    pub fn set_unique(&self, name: &str, unique: bool) {
        self.state().contacts.definitions.change(name, |property| property.unique = unique);
    }

    /// Leaves a contact out of all lists, or shows it again; it can be read by its id all the while.
    pub fn hide_from_lists(&self, id: &str, hide: bool) {
        let mut state = self.state();
        let Ok(key) = id.parse() else { return };
        if hide {
            state.levers.unlisted.insert(key);
        } else {
            state.levers.unlisted.remove(&key);
        }
    }

    /// Decides what batch read answers for merged-away ids.
    pub fn set_merged_read(&self, answer: MergedRead) {
        self.state().levers.merged_read = answer;
    }

    /// Whether a merge leaves the primary contact its id, as merges did once (not by default).
    pub fn merge_keeps_primary(&self, keeps: bool) {
        self.state().levers.merge_keeps_primary = keeps;
    }

    /// Whether a merge gives the surviving contact a new date (the default).
    pub fn merge_moves_stamp(&self, moves: bool) {
        self.state().levers.merge_moves_stamp = moves;
    }

    /// Whether merged-away contacts stand in the recycle bin (not by default).
    pub fn merged_in_bin(&self, stand: bool) {
        self.state().levers.merged_in_bin = stand;
    }

    /// Whether coming out of the recycle bin gives a contact a new date (not by default).
    pub fn restore_moves_stamp(&self, moves: bool) {
        self.state().levers.restore_moves_stamp = moves;
    }

    /// Whether another primary company gives the contact a new date (the default).
    pub fn primary_company_moves_stamp(&self, moves: bool) {
        self.state().levers.primary_moves_stamp = moves;
    }

    /// How many associations of one record a page holds: 500.
    pub fn set_association_page(&self, entries: usize) {
        self.state().levers.association_page = entries.max(1);
    }

    /// Whether one archived id gets a whole association read refused (not by default).
    pub fn archived_spoils_associations(&self, spoils: bool) {
        self.state().levers.archived_spoils_associations = spoils;
    }

    /// Adds a rule that the 2026-09 paths enforce: a contact without this property cannot be written.
    pub fn require_property(&self, name: &str) {
        self.state().levers.required.insert(name.to_owned());
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(36_500))
}
