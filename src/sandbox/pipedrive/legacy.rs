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
            ("GET", ["webhooks"]) => Ok(done(&json!({"data": state.hooks.all()}))),
            ("POST", ["webhooks"]) => self.subscribe(state),
            ("DELETE", ["webhooks", id]) => {
                let id = listing::integer("id", id)?;
                let gone = state.hooks.remove(id).then(|| done(&json!({})));
                gone.ok_or_else(|| Refusal::webhook(StatusCode::NOT_FOUND, "id", "not found"))
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
        let wrong = |name: &str, error: &str| Refusal::webhook(StatusCode::BAD_REQUEST, name, error);
        let needed = |name: &str| text(name).ok_or_else(|| wrong(name, "is required"));
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
            return Err(wrong("event_action", "must be one of create, change, delete, *"));
        }
        // Version 1.0 has other bodies; this company speaks the newer ones alone.
        if text("version").is_some_and(|version| version != "2.0") {
            return Err(wrong("version", "must be 2.0"));
        }
        if !hook.url.starts_with("https://") {
            return Err(wrong("subscription_url", "invalid or non-reachable URL"));
        }
        if state.hooks.count() >= MOST {
            return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "Webhooks limit reached"));
        }
        let id = state.hooks.add(hook);
        Ok((StatusCode::CREATED, done(&json!({"data": state.hooks.one(id)}))).into_response())
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

/// What the webhooks answer: their envelope has a word more than the others.
fn done(rest: &Json) -> Response {
    let mut body = rest.clone();
    (body["success"], body["status"]) = (json!(true), json!("ok"));
    axum::Json(body).into_response()
}

/// v1 writes times without a zone, calls addresses and numbers by one name, and marks the living and not the deleted.
fn dated(mut record: Json) -> Json {
    for name in ["add_time", "update_time"] {
        if let Some(time) = record[name].as_str() {
            record[name] = time.replace('T', " ").trim_end_matches('Z').into();
        }
    }
    for (now, then) in [("emails", "email"), ("phones", "phone")] {
        if let Some(entries) = record.as_object_mut().and_then(|map| map.remove(now)) {
            record[then] = entries;
        }
    }
    record["active_flag"] = json!(record["is_deleted"] == false);
    record
}

#[cfg(test)]
mod tests {
    use crate::sandbox::pipedrive::bench::{at, company, employed, get, ids};

    #[tokio::test(start_paused = true)]
    async fn recents_reach_back_a_month_and_leave_out_whoever_has_no_time() {
        let pipedrive = company();
        let old = pipedrive.add_at(&employed(), at(-40 * 86_400));
        let timeless = pipedrive.add_without_update_time(&employed(), at(-60));
        let [one, gone] = [0, 1].map(|_| pipedrive.add_at(&employed(), at(-60)));
        assert!(pipedrive.delete(&gone));
        let path = "/v1/recents?since_timestamp=2020-01-01%2000:00:00&items=person";
        let (status, body) = get(&pipedrive, path).await;
        assert_eq!((status, ids(&body), pipedrive.tokens_spent()), (200, vec![one, gone], 20));
        assert!(
            !body.to_string().contains(&format!("\"id\":{old},"))
                && !body.to_string().contains(&format!("\"id\":{timeless},"))
        );
        assert_eq!(
            (&body["data"][0]["data"]["update_time"], &body["data"][1]["data"]),
            (&"2026-11-02 08:59:00".into(), &super::Json::Null)
        );
        for wrong in ["/v1/recents", "/v1/recents?since_timestamp=2026-11-02T08:00:00Z"] {
            assert_eq!(get(&pipedrive, wrong).await.0, 400);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn old_definitions_are_counted_off_under_their_old_names() {
        let pipedrive = company();
        pipedrive.set_further_fields(150);
        let (_, first) = get(&pipedrive, "/v1/personFields?start=0&limit=100").await;
        let pagination = &first["additional_data"]["pagination"];
        assert_eq!((&pagination["more_items_in_collection"], &pagination["next_start"]), (&true.into(), &100.into()));
        assert_eq!((&first["data"][1]["key"], &first["data"][1]["name"]), (&"name".into(), &"Name".into()));
        let (_, second) = get(&pipedrive, "/api/v1/personFields?start=100&limit=100").await;
        let pagination = &second["additional_data"]["pagination"];
        assert_eq!((&pagination["more_items_in_collection"], pagination.get("next_start")), (&false.into(), None));
        assert_eq!(pipedrive.tokens_spent(), 40);
    }
}
