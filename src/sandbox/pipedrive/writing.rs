//! API v2's writes: PATCH and DELETE of persons and organizations.
//! It must not know tokens, costs or paths.

use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value as Json, json};

use crate::sandbox::pipedrive::answers::{Refusal, success};
use crate::sandbox::pipedrive::calls::Call;
use crate::sandbox::pipedrive::definitions::{CONTACT_SYNC, Definitions, Field};
use crate::sandbox::pipedrive::fields::View;
use crate::sandbox::pipedrive::listing;
use crate::sandbox::pipedrive::state::{Act, Held, State};

/// Whether a value is of the right type.
type Fits = fn(&Json) -> bool;

/// What a PATCH may say beside the custom fields.
const WRITABLE: [(&str, Fits); 10] = [
    ("owner_id", Json::is_u64),
    ("visible_to", Json::is_u64),
    ("label_ids", Json::is_array),
    ("marketing_status", Json::is_string),
    ("address", Json::is_object),
    ("postal_address", Json::is_object),
    ("notes", Json::is_string),
    ("im", Json::is_array),
    ("birthday", Json::is_string),
    ("job_title", Json::is_string),
];

/// A record whose own fields a PATCH can set.
pub trait Writable: Held {
    /// Sets a field that the model knows by its meaning; `None` when it is none of these.
    fn write(&mut self, name: &str, value: &Json) -> Option<Result<(), String>>;
    /// Sets a custom field that the model knows by its meaning.
    fn write_custom(&mut self, code: &str, value: &Json) -> bool;
}

impl Call<'_> {
    /// Changes a record, which it answers.
    pub fn patch<T: Writable>(&self, state: &mut State, id: &str) -> Result<Response, Refusal> {
        let key = listing::integer("id", id)?;
        let live = T::table(state).get(key, self.now);
        let live = live.filter(|row| row.deleted.is_none() && !row.value.sheet().hidden);
        let mut value = live.ok_or_else(|| Refusal::not_found(T::ENTITY))?.value.clone();
        let Json::Object(mut body) = self.json()? else { return Err("body: must be an object".to_owned().into()) };
        let custom = body.remove("custom_fields");
        for (name, said) in &body {
            write(&mut value, name, said, T::fields(state))?;
        }
        let custom = custom.map_or_else(|| Ok(Map::new()), nested)?;
        for (code, said) in custom {
            match T::fields(state).custom().find(|field| field.code == code) {
                Some(field) => {
                    fitting(field, &said)?;
                    // What the model knows by its meaning is not kept twice.
                    let known = value.write_custom(&code, &said);
                    let sheet = value.sheet_mut();
                    if known || said.is_null() {
                        sheet.custom.remove(&code);
                    } else {
                        sheet.custom.insert(code, said);
                    }
                }
                None if state.levers.unknown_field_refused => {
                    return Err(format!("custom_fields.{code}: unknown field").into());
                }
                None => {}
            }
        }
        let shown = |value: &T, state: &State| {
            let mut row = T::table(state).row(key)?.as_ref().clone();
            row.value = value.clone();
            Some(state.shown(&row, &View::default()))
        };
        let differs = T::table(state).row(key).and_then(|row| shown(&row.value, state)) != shown(&value, state);
        let stamps = differs || state.levers.idle_patch_moves_stamp;
        state.change::<T>(key, Act { stamps, ..Act::api(self.now) }, |row| row.value = value);
        self.one::<T>(state, id)
    }

    /// Deletes a record: into the bin for thirty days.
    pub fn delete<T: Held>(&self, state: &mut State, id: &str) -> Result<Response, Refusal> {
        let key = listing::integer("id", id)?;
        let live = T::table(state).get(key, self.now).filter(|row| row.deleted.is_none());
        live.ok_or_else(|| Refusal::not_found(T::ENTITY))?;
        let now = self.now;
        state.change::<T>(key, Act::api(now), |row| row.deleted = Some(now));
        Ok(success(&json!({"id": key}), None))
    }
}

fn write<T: Writable>(value: &mut T, name: &str, said: &Json, definitions: &Definitions) -> Result<(), Refusal> {
    if CONTACT_SYNC.contains(&name) && !definitions.contact_sync {
        return Err(Refusal::new(StatusCode::FORBIDDEN, &format!("{name} needs contact sync")));
    }
    if let Some(written) = value.write(name, said) {
        return written.map_err(Refusal::from);
    }
    match WRITABLE.iter().find(|(one, _)| *one == name) {
        Some((_, fits)) if said.is_null() || fits(said) => {
            value.sheet_mut().shown.insert(name.to_owned(), Some(said.clone()));
            Ok(())
        }
        Some(_) => Err(format!("{name}: of the wrong type").into()),
        None => Err(format!("{name} is not allowed").into()),
    }
}

/// The custom fields of a body. Nested wrongly they bring the server down: recorded, with 500 `ERR_UNKNOWN`.
fn nested(custom: Json) -> Result<Map<String, Json>, Refusal> {
    match custom {
        Json::Object(map) if !map.contains_key("custom_fields") => Ok(map),
        _ => Err(Refusal::unknown()),
    }
}

/// Types are strict, and `null` is the only way to clear a field.
fn fitting(field: &Field, said: &Json) -> Result<(), String> {
    let fits = match field.kind.as_str() {
        _ if said.is_null() => true,
        "double" | "int" => said.is_number(),
        "enum" | "user" | "org" | "people" => said.is_u64(),
        "set" => said.as_array().is_some_and(|ids| !ids.is_empty() && ids.iter().all(Json::is_u64)),
        "monetary" | "daterange" | "time" | "timerange" | "address" => said.is_object(),
        _ => said.is_string(),
    };
    if fits { Ok(()) } else { Err(format!("custom_fields.{}: not a value of a {} field", field.code, field.kind)) }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sandbox::pipedrive::bench::{at, company, employed, get, pass, send};
    use crate::sandbox::pipedrive::fields::{LANGUAGE, PROPSTREET_ID};
    use crate::sandbox::pipedrive::model::Pipedrive;

    async fn patch(pipedrive: &Pipedrive, id: &str, body: Json) -> (u16, Json) {
        send(pipedrive, Method::PATCH, &format!("/api/v2/persons/{id}"), &body).await
    }

    #[tokio::test(start_paused = true)]
    async fn custom_fields_are_written_strictly_and_move_the_time() {
        let pipedrive = company();
        let id = pipedrive.add_at(&employed(), at(-60));
        pass(5).await;
        let spent = pipedrive.tokens_spent();
        let (status, body) = patch(&pipedrive, &id, json!({"custom_fields": {PROPSTREET_ID: "42", LANGUAGE: 1}})).await;
        assert_eq!((status, &body["data"]["update_time"]), (200, &json!("2026-11-02T09:00:05Z")));
        assert_eq!(pipedrive.tokens_spent() - spent, 5);
        assert_eq!(body["data"]["custom_fields"][LANGUAGE], 1);
        assert_eq!(pipedrive.written_back(&id).as_deref(), Some("42"));
        let set = pipedrive.add_person_field("Several", "set");
        let unknown = "0".repeat(40);
        for (custom, status) in [
            (json!({set.as_str(): []}), 400),
            (json!({set.as_str(): ["1"]}), 400),
            (json!({set.as_str(): [1, 2]}), 200),
            (json!({set.as_str(): null}), 200),
            (json!({PROPSTREET_ID: 42}), 400),
            (json!({LANGUAGE: "1"}), 400),
            (json!({unknown.as_str(): "x"}), 200),
            (json!({"custom_fields": {PROPSTREET_ID: "43"}}), 500),
            (json!([PROPSTREET_ID]), 500),
        ] {
            let (found, body) = patch(&pipedrive, &id, json!({"custom_fields": custom})).await;
            assert_eq!(found, status, "{custom}: {body}");
            assert_eq!(status == 500, body["code"] == "ERR_UNKNOWN");
        }
        assert_eq!(pipedrive.written_back(&id).as_deref(), Some("42"));
        pipedrive.refuse_unknown_fields(true);
        assert_eq!(patch(&pipedrive, &id, json!({"custom_fields": {unknown.as_str(): "x"}})).await.0, 400);
        assert_eq!(patch(&pipedrive, &id, json!({unknown.as_str(): "x"})).await.0, 400);
        assert_eq!(patch(&pipedrive, "99999", json!({})).await.0, 404);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_patch_moves_the_time_by_its_lever() {
        let pipedrive = company();
        let id = pipedrive.add_at(&employed(), at(-60));
        let again = json!({"custom_fields": {PROPSTREET_ID: "42"}});
        patch(&pipedrive, &id, again.clone()).await;
        pass(5).await;
        assert_eq!(patch(&pipedrive, &id, again.clone()).await.1["data"]["update_time"], "2026-11-02T09:00:05Z");
        pipedrive.idle_patch_moves_stamp(false);
        pass(5).await;
        assert_eq!(patch(&pipedrive, &id, again).await.1["data"]["update_time"], "2026-11-02T09:00:05Z");
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_split_addresses_replaced_and_contact_sync_asked_for() {
        let pipedrive = company();
        let id = pipedrive.add(&employed());
        let emails = json!([{"value": "a@x.example"}, {"value": "b@x.example", "primary": true, "label": "home"}]);
        let body =
            json!({"name": "Jane Smith Updated", "emails": emails, "phones": [], "job_title": "CFO", "label_ids": [9]});
        let (status, body) = patch(&pipedrive, &id, body).await;
        let data = &body["data"];
        assert_eq!((status, &data["first_name"], &data["last_name"]), (200, &json!("Jane"), &json!("Smith Updated")));
        assert_eq!((&data["job_title"], &data["label_ids"]), (&json!("CFO"), &json!([9])));
        let primary: Vec<&Json> =
            data["emails"].as_array().unwrap().iter().filter(|entry| entry["primary"] == true).collect();
        assert_eq!((primary.len(), &primary[0]["value"]), (1, &json!("b@x.example")));
        let two = json!([{"value": "a", "primary": true}, {"value": "b", "primary": true}]);
        for wrong in
            [json!({"emails": two}), json!({"name": ""}), json!({"label_ids": "9"}), json!({"first": "x"}), json!([])]
        {
            assert_eq!(patch(&pipedrive, &id, wrong.clone()).await.0, 400, "{wrong}");
        }
        pipedrive.set_contact_sync(false);
        assert_eq!(patch(&pipedrive, &id, json!({"job_title": "CEO"})).await.0, 403);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deletion_costs_three_tokens_and_cannot_be_undone_by_a_patch() {
        let pipedrive = company();
        let id = pipedrive.add(&employed());
        let path = format!("/api/v2/persons/{id}");
        let (status, body) = send(&pipedrive, Method::DELETE, &path, &Json::Null).await;
        assert_eq!((status, body["data"]["id"].to_string(), pipedrive.tokens_spent()), (200, id.clone(), 3));
        assert_eq!(get(&pipedrive, &path).await.1["data"]["is_deleted"], true);
        assert_eq!(
            [patch(&pipedrive, &id, json!({})).await.0, send(&pipedrive, Method::DELETE, &path, &Json::Null).await.0],
            [404, 404]
        );
    }
}
