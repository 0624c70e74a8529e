//! API v2's reads: lists, single records and the definitions of fields.
//! It must not know tokens, costs or paths.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value as Json, json};

use crate::sandbox::pipedrive::answers::{Refusal, success};
use crate::sandbox::pipedrive::calls::Call;
use crate::sandbox::pipedrive::definitions::Definitions;
use crate::sandbox::pipedrive::fields::View;
use crate::sandbox::pipedrive::listing::{self, Listing};
use crate::sandbox::pipedrive::state::{DeletedRead, End, Held, HiddenRead, State};

impl Call<'_> {
    /// A page of a list.
    pub fn list<T: Held>(&self, state: &State) -> Result<Response, Refusal> {
        let (levers, desk) = (&state.levers, self.desk(state));
        let mut listing = Listing::parse::<T>(self.parameters, &desk)?;
        (listing.deleted, listing.nulls_last) = (levers.deleted_in_lists, levers.nulls_last);
        if levers.empty_pages.is_some_and(|every| state.answers.is_multiple_of(every)) {
            let again = listing.cursor(listing.start(), &desk);
            return Ok(success(&json!([]), Some(json!({"next_cursor": again}))));
        }
        let (rows, last) = listing.page(T::table(state), |key| state.members(key), levers.page_cap, self.now);
        let data: Vec<Json> = rows.iter().map(|row| state.shown(row, &listing.view)).collect();
        let given = self.parameter("cursor").filter(|_| levers.cursor_loop).map(str::to_owned);
        let next = given.or_else(|| last.map(|last| listing.cursor(Some(last), &desk)));
        Ok(success(&data.into(), additional(levers.end, state.answers, next)))
    }

    /// A single record.
    pub fn one<T: Held>(&self, state: &State, id: &str) -> Result<Response, Refusal> {
        let mut view = View::default();
        for (name, value) in self.parameters {
            if !listing::view::<T>(name, value, &mut view)? {
                return Err(format!("{name} is not allowed").into());
            }
        }
        let key = listing::integer("id", id)?;
        let not_found = || Refusal::not_found(T::ENTITY);
        let row = T::table(state).get(key, self.now).filter(|row| !State::is_purged(row, self.now));
        let row = row.ok_or_else(not_found)?;
        match (row.value.sheet().hidden, row.deleted.and(Some(state.levers.deleted_read))) {
            (true, _) if state.levers.hidden_read == HiddenRead::Forbidden => Err(Refusal::forbidden()),
            (true, _) | (false, Some(DeletedRead::NotFound)) => Err(not_found()),
            (false, None | Some(DeletedRead::Shown)) => Ok(success(&state.shown(row, &view), None)),
            // Status and `success` can disagree: recorded.
            (false, Some(DeletedRead::Gone)) => {
                Ok((StatusCode::GONE, axum::Json(json!({"success": true, "data": {"id": key}}))).into_response())
            }
        }
    }

    /// The definitions of fields, a page of them or one.
    pub fn fields(&self, state: &State, definitions: &Definitions, rest: &[&str]) -> Result<Response, Refusal> {
        let mut all = definitions.tell();
        let (mut limit, mut start) = (listing::DEFAULT_PAGE, 0);
        for (name, value) in self.parameters {
            match name.as_str() {
                "limit" if rest.is_empty() => limit = listing::limit(value)?,
                "cursor" if rest.is_empty() => start = value.parse().map_err(|_| "cursor: not valid".to_owned())?,
                "include_fields" => value.split(',').try_for_each(|part| show(part, &mut all))?,
                _ => return Err(format!("{name} is not allowed").into()),
            }
        }
        match rest {
            [] => {}
            [code] => {
                let field = all.iter().find(|field| field["field_code"] == *code);
                return field.map(|field| success(field, None)).ok_or_else(|| Refusal::not_found("Field"));
            }
            _ => return Err(Refusal::not_found("Path")),
        }
        let page: Vec<Json> = all.iter().skip(start).take(limit.min(state.levers.page_cap)).cloned().collect();
        let end = start + page.len();
        let next = (end < all.len()).then(|| end.to_string());
        Ok(success(&page.into(), additional(state.levers.end, state.answers, next)))
    }
}

/// What definitions tell of the account's forms, where a client asks for that part.
fn show(part: &str, definitions: &mut [Json]) -> Result<(), String> {
    let told = match part {
        "ui_visibility" => json!({"add_visible_flag": true, "details_visible_flag": true}),
        "important_fields" => json!({"enabled": false, "stage_ids": []}),
        "required_fields" => json!({"enabled": false}),
        _ => return Err(format!("include_fields: {part} is not allowed")),
    };
    definitions.iter_mut().for_each(|field| field[part] = told.clone());
    Ok(())
}

/// What follows the data; the end is spelt in three ways.
fn additional(end: End, answers: u64, next: Option<String>) -> Option<Json> {
    let end = match (end, answers % 3) {
        (End::Mixed, 0) => End::Null,
        (End::Mixed, 1) => End::Absent,
        (End::Mixed, _) => End::Bare,
        (one, _) => one,
    };
    match (next, end) {
        (Some(next), _) => Some(json!({"next_cursor": next})),
        (None, End::Null) => Some(json!({"next_cursor": null})),
        (None, End::Absent) => Some(json!({})),
        (None, End::Bare | End::Mixed) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::people::{Person, Phone};
    use crate::sandbox::pipedrive::bench::{company, employed, get, walk};
    use crate::sandbox::pipedrive::fields::{Absent, Bare, LANGUAGE};

    #[tokio::test(start_paused = true)]
    async fn records_show_emptiness_in_all_its_spellings() {
        let pipedrive = company();
        let bare = Person { first: "Åsa".to_owned(), ..Person::default() };
        let full = Person {
            phone: Some(Phone::new("08-1", "+4681")),
            mobile: Some(Phone::new("070-1", "+46701")),
            language: Some("sv".to_owned()),
            label: Some("lead".to_owned()),
            ..employed()
        };
        let (empty, full) = (pipedrive.add(&bare), pipedrive.add(&full));
        let path = format!("/api/v2/persons/{empty}");
        for (bare, custom) in [(Bare::Null, Json::Null), (Bare::Empty, json!({}))] {
            pipedrive.set_emptiness(bare, Absent::Empty);
            assert_eq!(get(&pipedrive, &path).await.1["data"]["custom_fields"], custom);
        }
        pipedrive.set_emptiness(Bare::Nulls, Absent::Blank);
        let (_, body) = get(&pipedrive, &path).await;
        assert_eq!(body["data"]["emails"], json!([{"value": "", "primary": true}]));
        assert_eq!(
            body["data"]["custom_fields"].as_object().unwrap().values().filter(|value| value.is_null()).count(),
            4
        );
        assert_eq!((&body["data"]["name"], &body["data"]["last_name"]), (&json!("Åsa"), &Json::Null));
        let path =
            format!("/api/v2/persons/{full}?include_labels=true&include_option_labels=true&custom_fields={LANGUAGE}");
        let (_, body) = get(&pipedrive, &path).await;
        assert_eq!(body["data"]["phones"][1], json!({"value": "070-1", "primary": true, "label": "mobile"}));
        assert_eq!((&body["data"]["label_ids"], &body["data"]["labels"][0]["label"]), (&json!([2]), &json!("lead")));
        assert_eq!(body["data"]["custom_fields"], json!({LANGUAGE: {"id": 8, "label": "sv"}}));
        let organization = &body["data"]["org_id"];
        let (_, body) = get(&pipedrive, &format!("/api/v2/organizations?ids={organization}")).await;
        assert_eq!(body["data"][0]["address"]["country"], json!(employed().company.unwrap().country));
        assert_eq!(walk(&pipedrive, &format!("org_id={organization}")).await.0, [full]);
    }

    #[tokio::test(start_paused = true)]
    async fn definitions_page_and_custom_ones_come_last() {
        let pipedrive = company();
        pipedrive.set_further_fields(150);
        let (_, first) = get(&pipedrive, "/api/v2/personFields").await;
        let next = first["additional_data"]["next_cursor"].as_str().unwrap();
        let (_, second) = get(&pipedrive, &format!("/api/v2/personFields?cursor={next}")).await;
        let language = second["data"].as_array().unwrap().iter().find(|field| field["field_code"] == LANGUAGE).unwrap();
        assert_eq!(language["options"][7]["label"], "sv");
        assert_eq!(second["additional_data"]["next_cursor"], Json::Null);
    }

    #[tokio::test(start_paused = true)]
    async fn what_forms_show_of_a_field_is_told_where_it_is_asked_for() {
        let pipedrive = company();
        let (_, plain) = get(&pipedrive, "/api/v2/personFields/name").await;
        assert_eq!(plain["data"]["ui_visibility"], Json::Null);
        for path in ["/api/v2/personFields?limit=1", "/api/v2/personFields/name?"] {
            let (status, told) = get(&pipedrive, &format!("{path}&include_fields=ui_visibility,required_fields")).await;
            let field = if told["data"].is_array() { &told["data"][0] } else { &told["data"] };
            assert_eq!((status, &field["required_fields"]["enabled"]), (200, &json!(false)), "{path}");
            assert!(field["ui_visibility"].is_object() && field["important_fields"].is_null(), "{path}");
        }
        for refused in ["personFields?include_fields=notes_count", "personFields/name?limit=1"] {
            assert_eq!(get(&pipedrive, &format!("/api/v2/{refused}")).await.0, 400, "{refused}");
        }
    }
}
