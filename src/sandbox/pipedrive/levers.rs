//! The levers a test pulls to make the company behave as companies sometimes do.
//! It must not decide what an answer looks like.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::sandbox::pipedrive::access::{ApiDomain, Rotation};
use crate::sandbox::pipedrive::definitions::{Choice, Definitions, Field};
use crate::sandbox::pipedrive::fields::{Absent, Bare, Style};
use crate::sandbox::pipedrive::hooks::Hook;
use crate::sandbox::pipedrive::model::Pipedrive;
use crate::sandbox::pipedrive::organization::DETAILS;
use crate::sandbox::pipedrive::rates::Rates;
use crate::sandbox::pipedrive::state::{DeletedRead, End, HiddenRead, State};

/// Lists and single reads.
impl Pipedrive {
    /// Makes pages shorter than clients ask for.
    pub fn set_page_size_cap(&self, rows: usize) {
        self.state().levers.page_cap = rows.max(1);
    }

    /// Makes every n-th list call answer an empty page with a cursor to go on.
    pub fn set_empty_pages(&self, every: Option<u64>) {
        self.state().levers.empty_pages = every.map(|every| every.max(2));
    }

    /// How the end of a list is spelt (mixed).
    pub fn set_end(&self, end: End) {
        self.state().levers.end = end;
    }

    /// How long a cursor works, and for how many calls after its page; then 400. For ever by default.
    pub fn set_cursor_life(&self, life: Option<Duration>, calls: Option<u64>) {
        let levers = &mut self.state().levers;
        (levers.cursor_life, levers.cursor_calls) = (life.map(delta), calls);
    }

    /// Makes every page that was asked for by a cursor answer that very cursor again.
    pub fn set_cursor_loop(&self, endless: bool) {
        self.state().levers.cursor_loop = endless;
    }

    /// Whether lists show deleted records, with `is_deleted: true` (not by default).
    pub fn set_deleted_in_lists(&self, shown: bool) {
        self.state().levers.deleted_in_lists = shown;
    }

    /// Whether records without `update_time` come last when sorted by it (they come first).
    pub fn set_nulls_last(&self, last: bool) {
        self.state().levers.nulls_last = last;
    }

    /// Decides what a single read answers for a deleted record.
    pub fn set_deleted_read(&self, answer: DeletedRead) {
        self.state().levers.deleted_read = answer;
    }

    /// Decides what a single read answers for a record that may not be seen (403).
    pub fn set_hidden_read(&self, answer: HiddenRead) {
        self.state().levers.hidden_read = answer;
    }

    /// Decides how emptiness is spelt, in custom fields and in addresses and numbers.
    pub fn set_emptiness(&self, bare: Bare, absent: Absent) {
        let style = &mut self.state().style;
        (style.bare, style.absent) = (bare, absent);
    }

    /// Changes what the documentation leaves open about the shape of records.
    pub fn with_style(&self, change: impl FnOnce(&mut Style)) {
        change(&mut self.state().style);
    }

    /// Whether v1 answers under `/api/v1` as well as under `/v1` (it does).
    pub fn set_api_v1(&self, answers: bool) {
        self.state().levers.api_v1 = answers;
    }
}

/// What moves `update_time`.
impl Pipedrive {
    /// Whether a merge moves the survivor's `update_time` (it does).
    pub fn merge_moves_stamp(&self, moves: bool) {
        self.state().levers.merge_moves_stamp = moves;
    }

    /// Whether coming back from the bin moves `update_time` (it does).
    pub fn restore_moves_stamp(&self, moves: bool) {
        self.state().levers.restore_moves_stamp = moves;
    }

    /// Whether an edit or merge of an organization moves its persons' `update_time` (not by default).
    pub fn organization_moves_persons(&self, moves: bool) {
        self.state().levers.organization_moves_persons = moves;
    }

    /// Whether a PATCH that changes nothing moves `update_time` (it does).
    pub fn idle_patch_moves_stamp(&self, moves: bool) {
        self.state().levers.idle_patch_moves_stamp = moves;
    }
}

/// Tokens.
impl Pipedrive {
    /// Refuses the API token and all access tokens given out so far. The API token stays refused until
    /// [`Pipedrive::renew_tokens`]; OAuth gives new ones.
    pub fn expire_tokens(&self) {
        let now = self.instant();
        let access = &mut self.state().access;
        access.token_expired = true;
        access.expire(now);
    }

    /// Accepts the API token again.
    pub fn renew_tokens(&self) {
        self.state().access.token_expired = false;
    }

    /// Whether the API token may stand in the query as `api_token` (it may).
    pub fn set_token_in_query(&self, accepted: bool) {
        self.state().access.token_in_query = accepted;
    }

    /// What becomes of a refresh token when it is used (never another, by default).
    pub fn set_rotation(&self, rotation: Rotation) {
        self.state().access.rotation = rotation;
    }

    /// How long access tokens last: an hour. They are said to last a second less.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.state().access.lifetime = delta(lifetime);
    }

    /// Where OAuth says the API is (where it was asked).
    pub fn set_api_domain(&self, domain: ApiDomain) {
        self.state().access.api_domain = domain;
    }

    /// Ends the app's installation: every OAuth token is dead.
    pub fn revoke_app(&self) {
        self.state().access.revoke();
    }

    /// Takes a scope from the app: 403 `Scope and URL mismatch`. To read persons, `contacts:read` or `contacts:full` is
    /// enough.
    pub fn take_scope(&self, scope: &str) {
        self.state().access.set_scope(scope, false);
    }

    /// Gives it back.
    pub fn give_scope(&self, scope: &str) {
        self.state().access.set_scope(scope, true);
    }
}

/// Limits.
impl Pipedrive {
    /// Changes limits and budget.
    pub fn with_rates(&self, change: impl FnOnce(&mut Rates)) {
        change(&mut self.state().rates);
    }

    /// Tokens spent since the last midnight.
    pub fn tokens_spent(&self) -> u64 {
        self.state().rates.spent()
    }

    /// Uses up the day's tokens: every call answers 429 until the server's midnight.
    pub fn exhaust_budget(&self) {
        let now = self.instant();
        self.state().rates.exhaust(now);
    }

    /// Puts the firewall's HTML page before every call, or takes it away.
    pub fn set_blocked(&self, blocked: bool) {
        self.state().rates.blocked = blocked;
    }
}

/// Fields. Codes are looked for among those of persons first, then among those of organizations.
impl Pipedrive {
    /// Gives persons a custom field of a type: `varchar`, `set`, `monetary` … Answers its code.
    pub fn add_person_field(&self, name: &str, kind: &str) -> String {
        self.state().person_fields.add(name, kind)
    }

    /// The same for organizations.
    pub fn add_organization_field(&self, name: &str, kind: &str) -> String {
        self.state().organization_fields.add(name, kind)
    }

    /// Deletes a field: records no longer show it.
    pub fn remove_field(&self, code: &str) -> bool {
        let mut state = self.state();
        state.person_fields.remove(code) || state.organization_fields.remove(code)
    }

    /// Renames a field; its code stays.
    pub fn rename_field(&self, code: &str, name: &str) -> bool {
        self.field(|fields| fields.change(code, |field| name.clone_into(&mut field.name)))
    }

    /// Adds an option to a field; answers its id.
    pub fn add_option(&self, code: &str, label: &str) -> Option<u64> {
        let mut added = None;
        self.field(|fields| {
            fields.change(code, |field| {
                let options = field.options.get_or_insert_default();
                let id = options.iter().filter_map(|option| option.id.as_u64()).max().unwrap_or(0) + 1;
                options.push(Choice { id: id.into(), label: label.to_owned() });
                added = Some(id);
            })
        });
        added
    }

    /// Renames an option; its id stays.
    pub fn rename_option(&self, code: &str, id: u64, label: &str) -> bool {
        let rename = |option: &mut Choice| label.clone_into(&mut option.label);
        self.field(|fields| {
            let same = |option: &&mut Choice| option.id == id;
            fields.change(code, |field| field.options.iter_mut().flatten().filter(same).for_each(rename))
        })
    }

    /// Deletes an option; records keep its id.
    pub fn remove_option(&self, code: &str, id: u64) -> bool {
        self.field(|fields| {
            fields.change(code, |field| field.options.iter_mut().for_each(|all| all.retain(|one| one.id != id)))
        })
    }

    /// Whether the ids of options are text in the definitions and in the records (in neither).
    pub fn set_text_option_ids(&self, in_definitions: bool, in_records: bool) {
        let mut state = self.state();
        (state.person_fields.text_ids, state.organization_fields.text_ids) = (in_definitions, in_definitions);
        state.style.text_ids = in_records;
    }

    /// Whether the company has contact sync, and with it job titles, notes, birthdays, messengers and postal addresses
    /// (it has).
    pub fn set_contact_sync(&self, on: bool) {
        self.state().person_fields.contact_sync = on;
    }

    /// Whether the account's organizations have a website, an industry and the like (they have not).
    pub fn set_company_details(&self, on: bool) {
        let mut state = self.state();
        state.style.company_details = on;
        let fields = &mut state.organization_fields.fields;
        fields.retain(|field| !DETAILS.iter().any(|(code, ..)| field.code == *code));
        fields.extend(DETAILS.iter().filter(|_| on).map(Field::built_in));
    }

    /// Whether a PATCH that names an unknown custom field is refused (it is ignored).
    pub fn refuse_unknown_fields(&self, refuse: bool) {
        self.state().levers.unknown_field_refused = refuse;
    }

    /// Adds field definitions of no use, before the custom ones: theirs come on a later page.
    pub fn set_further_fields(&self, fields: usize) {
        let mut state = self.state();
        (state.person_fields.further, state.organization_fields.further) = (fields, fields);
    }

    fn field(&self, mut change: impl FnMut(&mut Definitions) -> bool) -> bool {
        let State { person_fields, organization_fields, .. } = &mut *self.state();
        change(person_fields) || change(organization_fields)
    }
}

/// Webhooks.
impl Pipedrive {
    /// Adds a webhook for everything, as if a person had in the settings; answers its id. Without one there are no
    /// events.
    pub fn listen(&self) -> u64 {
        let now: DateTime<Utc> = self.now();
        self.state().hooks.add(Hook::everything(now))
    }

    /// The bodies of all events so far, oldest first.
    pub fn events(&self) -> Vec<String> {
        self.state().hooks.sent().to_vec()
    }

    /// The same, and forgets them.
    pub fn take_events(&self) -> Vec<String> {
        self.state().hooks.take()
    }

    /// How often each event is sent from now on: 1, or more as if the first answers had been bad.
    pub fn set_event_attempts(&self, attempts: u32) {
        self.state().hooks.attempts = attempts;
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::days(36_500))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::sandbox::pipedrive::bench::{company, employed, get};
    use crate::sandbox::pipedrive::definitions::CONTACT_SYNC;
    use crate::sandbox::pipedrive::fields::{LANGUAGE, LINKEDIN};

    async fn field(pipedrive: &Pipedrive, code: &str) -> (u16, Json) {
        let (status, body) = get(pipedrive, &format!("/api/v2/personFields/{code}")).await;
        (status, body["data"].clone())
    }

    #[tokio::test(start_paused = true)]
    async fn options_come_and_go_and_records_keep_the_ids() {
        let pipedrive = company();
        let mut person = employed();
        (person.language, person.label) = (Some("sv".to_owned()), Some("lead".to_owned()));
        let id = pipedrive.add(&person);
        let path = format!("/api/v2/persons/{id}?include_option_labels=true&include_labels=true");
        let shown = async || get(&pipedrive, &path).await.1["data"].clone();
        assert!(pipedrive.rename_option(LANGUAGE, 8, "Swedish") && pipedrive.rename_option("label_ids", 2, "Het"));
        let data = shown().await;
        assert_eq!(data["custom_fields"][LANGUAGE], json!({"id": 8, "label": "Swedish"}));
        assert_eq!(data["labels"], json!([{"id": 2, "label": "Het"}]));
        assert!(pipedrive.remove_option(LANGUAGE, 8) && pipedrive.remove_option("label_ids", 2));
        let data = shown().await;
        assert_eq!(data["custom_fields"][LANGUAGE], json!({"id": 8, "label": null}));
        assert_eq!((&data["labels"], &data["label_ids"]), (&json!([{"id": 2, "label": null}]), &json!([2])));
        assert_eq!(pipedrive.add_option(LANGUAGE, "Faroese"), Some(8));
        pipedrive.set_text_option_ids(true, true);
        assert_eq!(
            field(&pipedrive, LANGUAGE).await.1["options"][7],
            json!({"id": "8", "label": "Faroese", "color": "green"})
        );
        let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{id}")).await;
        assert_eq!(body["data"]["custom_fields"][LANGUAGE], "8");
        pipedrive.with_style(|style| (style.labels_replace_ids, style.ims) = (true, true));
        let data = shown().await;
        let there = |name: &str| data.get(name).is_some();
        assert_eq!([there("label_ids"), there("labels"), there("im"), there("ims")], [false, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn fields_share_names_vanish_with_what_they_held_and_hold_every_shape() {
        let pipedrive = company();
        let id = pipedrive.add(&employed());
        let twin = pipedrive.add_person_field("LinkedIn", "varchar");
        assert_ne!(twin, pipedrive.add_organization_field("LinkedIn", "varchar"));
        assert_eq!((twin.len(), twin != LINKEDIN), (40, true));
        assert_eq!(field(&pipedrive, &twin).await.1["field_name"], field(&pipedrive, LINKEDIN).await.1["field_name"]);
        assert!(pipedrive.rename_field(&twin, "Profile"));
        assert_eq!(field(&pipedrive, &twin).await.1["field_name"], "Profile");
        for (kind, value) in [
            ("monetary", json!({"value": 500, "currency": "EUR"})),
            ("set", json!([17, 18])),
            ("enum", json!(17)),
            ("date", json!("2026-01-31")),
            ("daterange", json!({"value": "2026-01-01", "until": "2026-02-01"})),
            ("time", json!({"value": "09:00:00", "timezone_id": 318, "timezone_name": "Europe/London"})),
            ("timerange", json!({"value": "09:00:00", "until": "10:00:00", "timezone_id": 318})),
            ("address", json!({"value": "Via Roma 1", "country": "Italy"})),
            ("user", json!(7)),
            ("org", json!(12)),
            ("double", json!(1.5)),
            ("phone", json!("08-1")),
        ] {
            let code = pipedrive.add_person_field(kind, kind);
            assert!(pipedrive.set(&id, &code, value.clone()));
            let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{id}?custom_fields={code}")).await;
            assert_eq!(body["data"]["custom_fields"], json!({code.as_str(): value}), "{kind}");
            assert!(pipedrive.remove_field(&code));
            let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{id}")).await;
            assert_eq!(body["data"]["custom_fields"].get(&code), None, "{kind}");
            assert_eq!(field(&pipedrive, &code).await.0, 404);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_contact_sync_five_fields_are_missing() {
        let pipedrive = company();
        let id = pipedrive.add(&employed());
        for on in [true, false] {
            pipedrive.set_contact_sync(on);
            let (_, body) = get(&pipedrive, &format!("/api/v2/persons/{id}")).await;
            for code in CONTACT_SYNC {
                assert_eq!(
                    (field(&pipedrive, code).await.0 == 200, body["data"].get(code).is_some()),
                    (on, on),
                    "{code}"
                );
            }
        }
    }
}
