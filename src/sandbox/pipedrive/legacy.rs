//! API v1, as far as it has no successor or old clients still ask for it: users, field definitions, recents, merges,
//! webhooks.
//! It must not know tokens or costs.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Months, NaiveDateTime, Utc};
use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::sandbox::pipedrive::answers::{Refusal, success};
use crate::sandbox::pipedrive::calls::Call;
use crate::sandbox::pipedrive::definitions::Definitions;
use crate::sandbox::pipedrive::fields::{OWNER, View};
use crate::sandbox::pipedrive::hooks::{COMPANY, Hook, MOST};
use crate::sandbox::pipedrive::listing;
use crate::sandbox::pipedrive::merging::Mergeable;
use crate::sandbox::pipedrive::organization::Organization;
use crate::sandbox::pipedrive::person::Contact;
use crate::sandbox::pipedrive::state::{Held, State};

impl Call<'_> {
    /// Answers what comes after `/v1`.
    pub fn legacy(&self, state: &mut State, path: &[&str]) -> Result<Response, Refusal> {
        match (self.method.as_str(), path) {
            ("GET", ["users", "me"]) => Ok(success(&me(), None)),
            ("GET", ["users"]) => Ok(success(&json!([me()]), None)),
            ("GET", ["personFields"]) => self.old_fields(&state.person_fields),
            ("GET", ["organizationFields"]) => self.old_fields(&state.organization_fields),
            ("GET", ["recents"]) => self.recents(state),
            ("PUT", ["persons", id, "merge"]) => self.merge::<Contact>(state, id),
            ("PUT", ["organizations", id, "merge"]) => self.merge::<Organization>(state, id),
            ("GET", ["webhooks"]) => Ok(success(&state.hooks.all().into(), None)),
            ("POST", ["webhooks"]) => self.subscribe(state),
            ("DELETE", ["webhooks", id]) => {
                let id = listing::integer("id", id)?;
                let gone = state.hooks.remove(id).then(|| success(&Json::Null, None));
                gone.ok_or_else(|| Refusal::not_found("Webhook"))
            }
            _ => Err(Refusal::not_found("Path")),
        }
    }

    /// The record of the path disappears, the one in the body survives.
    fn merge<T: Mergeable>(&self, state: &mut State, id: &str) -> Result<Response, Refusal> {
        let with = self.json()?["merge_with_id"].as_u64().ok_or("merge_with_id: must be a number".to_owned())?;
        let survivor = with.to_string();
        if !state.merge::<T>(id, &survivor, self.now, true) {
            return Err(Refusal::not_found(T::ENTITY));
        }
        let row = state.row::<T>(&survivor).ok_or_else(|| Refusal::not_found(T::ENTITY))?;
        let mut data = dated(state.shown(row, &View::default()));
        data["merge_what_id"] = json!(listing::integer("id", id)?);
        Ok(success(&data, None))
    }

    fn subscribe(&self, state: &mut State) -> Result<Response, Refusal> {
        let body = self.json()?;
        let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let needed = |name: &str| text(name).ok_or_else(|| format!("{name}: is required"));
        let hook = Hook {
            action: needed("event_action")?,
            object: needed("event_object")?,
            url: needed("subscription_url")?,
            name: needed("name")?,
            user: text("http_auth_user"),
            password: text("http_auth_password"),
            ..Hook::everything(self.now)
        };
        if !["create", "change", "delete", "*"].contains(&hook.action.as_str()) {
            return Err("event_action: must be one of create, change, delete, *".to_owned().into());
        }
        // Version 1.0 has other bodies; this company speaks the newer ones alone.
        if text("version").is_some_and(|version| version != "2.0") {
            return Err("version: must be 2.0".to_owned().into());
        }
        if !hook.url.starts_with("https://") {
            let errors = json!({"subscription_url": ["invalid or non-reachable URL"]});
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                json!({"status": "error", "success": false, "errors": errors}),
            ));
        }
        if state.hooks.count() >= MOST {
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Webhooks limit reached"));
        }
        let id = state.hooks.add(hook);
        let body = json!({"success": true, "status": "ok", "data": state.hooks.one(id)});
        Ok((StatusCode::CREATED, axum::Json(body)).into_response())
    }

    /// Field definitions in the old words, counted off from `start`.
    fn old_fields(&self, definitions: &Definitions) -> Result<Response, Refusal> {
        let (start, limit) = self.stretch()?;
        let all: Vec<Json> = definitions.tell().iter().enumerate().map(old_field).collect();
        Ok(self.stretched(&all, start, limit, json!({})))
    }

    /// What changed within the last month. Whoever has no `update_time` is not among it.
    fn recents(&self, state: &State) -> Result<Response, Refusal> {
        let since = self.parameter("since_timestamp").ok_or("since_timestamp: is required".to_owned())?;
        let parsed = NaiveDateTime::parse_from_str(since, "%Y-%m-%d %H:%M:%S");
        let parsed = parsed.map_err(|_| "since_timestamp: must be of the form YYYY-MM-DD HH:MM:SS".to_owned())?;
        let month = self.now.checked_sub_months(Months::new(1)).unwrap_or(self.now);
        let since = parsed.and_utc().max(month);
        let items = self.parameter("items").unwrap_or("person,organization");
        let (start, limit) = self.stretch()?;
        let mut rows = Vec::new();
        for item in items.split(',') {
            match item {
                "person" => self.changed::<Contact>(state, since, &mut rows),
                "organization" => self.changed::<Organization>(state, since, &mut rows),
                _ => {}
            }
        }
        rows.sort_by_key(|(at, _)| *at);
        let rows: Vec<Json> = rows.into_iter().map(|(_, row)| row).collect();
        let since = json!({"since_timestamp": since.format("%Y-%m-%d %H:%M:%S").to_string()});
        Ok(self.stretched(&rows, start, limit, since))
    }

    fn changed<T: Held>(&self, state: &State, since: DateTime<Utc>, rows: &mut Vec<(DateTime<Utc>, Json)>) {
        for row in T::table(state).by_stamp((Some(since), 0).., self.now).filter(|row| !row.value.sheet().hidden) {
            let Some(at) = row.stamp else { continue };
            // Of the deleted there is nothing but the id.
            let data = row.deleted.is_none().then(|| dated(state.shown(row, &View::default())));
            rows.push((at, json!({"item": T::ENTITY, "id": row.key, "data": data})));
        }
    }

    fn stretch(&self) -> Result<(usize, usize), String> {
        let start = self.parameter("start").map_or(Ok(0), |start| listing::integer("start", start))?;
        let limit = self.parameter("limit").map_or(Ok(listing::DEFAULT_PAGE), listing::limit)?;
        Ok((usize::try_from(start).unwrap_or(usize::MAX), limit))
    }

    fn stretched(&self, all: &[Json], start: usize, limit: usize, mut additional: Json) -> Response {
        let page: Vec<Json> = all.iter().skip(start).take(limit).cloned().collect();
        let (end, more) = (start.saturating_add(limit), start.saturating_add(limit) < all.len());
        additional["pagination"] = json!({"start": start, "limit": limit, "more_items_in_collection": more});
        if more {
            additional["pagination"]["next_start"] = json!(end);
        }
        success(&page.into(), Some(additional))
    }
}

fn me() -> Json {
    json!({"id": OWNER, "name": "Integration Owner", "email": "owner@sandbox.example", "is_admin": 1, "active_flag": true,
           "company_id": COMPANY, "company_name": "Sandbox", "company_domain": "sandbox", "timezone_name": "Europe/Stockholm"})
}

fn old_field((place, field): (usize, &Json)) -> Json {
    json!({"id": place + 1, "key": field["field_code"], "name": field["field_name"], "field_type": field["field_type"],
           "edit_flag": field["is_custom_field"], "options": field["options"], "active_flag": true})
}

/// v1 writes times without a zone, and marks the living and not the deleted.
fn dated(mut record: Json) -> Json {
    for name in ["add_time", "update_time"] {
        if let Some(time) = record[name].as_str() {
            record[name] = time.replace('T', " ").trim_end_matches('Z').into();
        }
    }
    record["active_flag"] = json!(record["is_deleted"] == false);
    record
}
