//! The levers a test pulls to make the org behave as orgs sometimes do.
//! It must not decide what an answer looks like.

use chrono::TimeDelta;

use crate::sandbox::salesforce::model::Salesforce;
use crate::sandbox::salesforce::state::FailingWrites;
use crate::sandbox::salesforce::usage::LimitInfo;

impl Salesforce {
    /// Makes pages shorter than clients ask for, as the server may.
    pub fn set_page_size_cap(&self, rows: usize) {
        self.state().levers.page_cap = rows.max(1);
    }

    /// Ends all sessions: every call answers 401 until the next login.
    pub fn expire_tokens(&self) {
        self.state().log_out();
    }

    /// Denies every login with `invalid_grant` and this description.
    pub fn deny_logins(&self, description: &str) {
        self.state().levers.denied_logins = Some(description.to_owned());
    }

    /// Lets users log in again.
    pub fn allow_logins(&self) {
        self.state().levers.denied_logins = None;
    }

    /// Forgets all open query locators.
    pub fn expire_locators(&self) {
        self.state().forget_locators();
    }

    /// Takes a field from the user's sight, by field-level security: `Email`, `Account.Website`, `Lead.Email`.
    pub fn hide_field(&self, name: &str) {
        self.state().levers.hidden.insert(full_name(name));
    }

    /// Gives it back.
    pub fn show_field(&self, name: &str) {
        self.state().levers.hidden.remove(&full_name(name));
    }

    /// Takes a whole object from the user's sight: `Lead`.
    pub fn hide_object(&self, name: &str) {
        self.state().levers.hidden.insert(name.to_ascii_lowercase());
    }

    /// Gives it back.
    pub fn show_object(&self, name: &str) {
        self.state().levers.hidden.remove(&name.to_ascii_lowercase());
    }

    /// Sets the calls counted today and the daily allowance; once used up, all calls answer 403.
    pub fn set_usage(&self, used: u64, allowance: u64) {
        let usage = &mut self.state().usage;
        (usage.used, usage.allowance) = (used, allowance);
    }

    /// What `Sforce-Limit-Info` says from now on.
    pub fn set_limit_info(&self, says: LimitInfo) {
        self.state().usage.says = says;
    }

    /// Forbids the user to write a field that it may see, by field-level security: `Propstreet_Contact_Id__c`.
    pub fn lock_field(&self, name: &str) {
        self.state().levers.read_only.insert(full_name(name));
    }

    /// Gives the right back.
    pub fn unlock_field(&self, name: &str) {
        self.state().levers.read_only.remove(&full_name(name));
    }

    /// Lets the next `times` updates of a record fail, or all with `None`: `UNABLE_TO_LOCK_ROW`,
    /// `FIELD_CUSTOM_VALIDATION_EXCEPTION`. `id` has 18 characters.
    pub fn fail_writes(&self, id: &str, code: &'static str, message: &str, times: Option<u32>) {
        let failing = FailingWrites { code, message: message.to_owned(), left: times };
        self.state().levers.failing_writes.insert(id.to_owned(), failing);
    }

    /// Leaves `nextRecordsUrl` out of the next `times` answers that are not the last page.
    pub fn lose_next_urls(&self, times: u32) {
        self.state().levers.lost_next_urls = times;
    }

    /// Whether the user may not ask which records changed.
    pub fn forbid_updated(&self, forbid: bool) {
        self.state().levers.updated_forbidden = forbid;
    }

    /// Whether `latestDateCovered` falls back before open transactions, as documented (the default).
    pub fn admit_open_transactions(&self, admit: bool) {
        self.state().levers.admits_open_transactions = admit;
    }

    /// How many query jobs of the Bulk API may be made within a day: 10,000.
    pub fn set_job_quota(&self, jobs: usize) {
        self.state().levers.jobs_a_day = jobs;
    }

    /// How long a query job takes: ten seconds.
    pub fn set_job_duration(&self, takes: TimeDelta) {
        self.state().levers.job_takes = takes;
    }

    /// Lets query jobs made from now on fail with this message; `None` lets them succeed again.
    pub fn fail_jobs(&self, message: Option<&str>) {
        self.state().levers.jobs_fail = message.map(str::to_owned);
    }

    /// Makes pages of a job's results shorter than clients ask for.
    pub fn set_results_cap(&self, rows: usize) {
        self.state().levers.results_cap = rows.max(1);
    }

    /// Forgets all query jobs: their ids answer 404.
    pub fn forget_jobs(&self) {
        self.state().jobs.forget();
    }

    /// Whether the winner of a merge gets a new stamp (the default).
    pub fn merge_moves_winner(&self, moves: bool) {
        self.state().levers.merge_moves_winner = moves;
    }

    /// Turns person accounts on, for good, as Salesforce does: only now do `IsPersonAccount` and its like exist.
    pub fn enable_person_accounts(&self) {
        self.state().levers.person_accounts = true;
    }

    /// Whether an edit of a person account gives its contact a new stamp too; by default only the account gets one.
    pub fn person_edit_moves_contact(&self, moves: bool) {
        self.state().levers.person_edit_moves_contact = moves;
    }

    /// Whether an existing contact into which a lead is converted gets a new stamp (the default).
    pub fn conversion_moves_contact(&self, moves: bool) {
        self.state().levers.conversion_moves_contact = moves;
    }
}

fn full_name(field: &str) -> String {
    let full = if field.contains('.') { field.to_owned() } else { format!("Contact.{field}") };
    full.to_ascii_lowercase()
}
