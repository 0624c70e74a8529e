//! What each path answers, and the scopes it needs.
//! It must not know tokens, rates or what a record holds.

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::sandbox::hubspot::access::{Access, PORTAL};
use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::associations::{self, Way};
use crate::sandbox::hubspot::batches;
use crate::sandbox::hubspot::definitions::Definitions;
use crate::sandbox::hubspot::merging::merge;
use crate::sandbox::hubspot::objects::{self, Reading};
use crate::sandbox::hubspot::properties::Object;
use crate::sandbox::hubspot::rates::Zone;
use crate::sandbox::hubspot::routes::{Route, Version};
use crate::sandbox::hubspot::search::search;
use crate::sandbox::hubspot::state::{Levers, State};
use crate::sandbox::hubspot::store::Store;
use crate::sandbox::hubspot::writing;

/// One request, admitted.
pub struct Call<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its query.
    pub parameters: &'a [(String, String)],
    /// Its body.
    pub body: &'a [u8],
    /// When it came.
    pub now: DateTime<Utc>,
}

/// An object type, however a path spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Contacts,
    Companies,
}

impl Type {
    fn of(segment: &str) -> Result<Self, Refusal> {
        match segment {
            "contacts" | "contact" | "0-1" => Ok(Self::Contacts),
            "companies" | "company" | "0-2" => Ok(Self::Companies),
            _ => Err(Refusal::invalid(format!("Unable to infer object type from: {segment}"))),
        }
    }

    fn way(from: &str, to: &str) -> Result<Way, Refusal> {
        match (Self::of(from)?, Self::of(to)?) {
            (Self::Contacts, Self::Companies) => Ok(Way::ToCompanies),
            (Self::Companies, Self::Contacts) => Ok(Way::ToContacts),
            _ => Err(Refusal::not_found("No such path")),
        }
    }

    /// The scope to read it.
    fn read(self) -> &'static str {
        match self {
            Self::Contacts => "crm.objects.contacts.read",
            Self::Companies => "crm.objects.companies.read",
        }
    }
}

impl Call<'_> {
    /// Answers the call, or refuses it.
    pub fn answer(&self, state: &mut State, route: Route) -> Result<Response, Refusal> {
        match (self.method, route.area, route.rest) {
            (&Method::GET, "account", rest) => self.account(state, rest),
            (_, "objects", [object, rest @ ..]) => match Type::of(object)? {
                Type::Contacts => self.contacts(state, route.version, rest),
                Type::Companies => self.companies(state, route.version, rest),
            },
            (&Method::POST, "associations", [from, to, "batch", "read"]) => {
                let way = self.both(&state.access, from, to)?;
                associations::read(state, way, self.body, self.now)
            }
            (&Method::GET, "associations", [from, to, "labels"]) => {
                let way = self.both(&state.access, from, to)?;
                Ok(associations::labels(state, way, self.now))
            }
            (_, "properties", [object, rest @ ..]) => match Type::of(object)? {
                Type::Contacts => {
                    let scopes = ("crm.schemas.contacts.read", "crm.schemas.contacts.write");
                    self.properties(&state.access, &mut state.contacts.definitions, Type::Contacts, scopes, rest)
                }
                Type::Companies => {
                    let scopes = ("crm.schemas.companies.read", "crm.schemas.companies.write");
                    self.properties(&state.access, &mut state.companies.definitions, Type::Companies, scopes, rest)
                }
            },
            _ => Err(Refusal::not_found("No such path")),
        }
    }

    fn account(&self, state: &State, rest: &[&str]) -> Result<Response, Refusal> {
        state.access.require(&["oauth"])?;
        match rest {
            ["details"] => Ok(details(&state.rates.zone)),
            ["api-usage", "daily", "private-apps"] => {
                Ok(axum::Json(json!({"results": [state.rates.usage(self.now)]})).into_response())
            }
            _ => Err(Refusal::not_found("No such path")),
        }
    }

    fn contacts(&self, state: &mut State, version: Version, rest: &[&str]) -> Result<Response, Refusal> {
        let writes = "crm.objects.contacts.write";
        match (self.method, rest) {
            (&Method::POST, ["batch", "update"]) => {
                state.access.require(&[writes])?;
                writing::batch_update(state, self.body, version, self.now)
            }
            (&Method::PATCH, [id]) => {
                state.access.require(&[writes])?;
                writing::update(state, id, self.body, version, self.now)
            }
            (&Method::DELETE, [id]) => {
                state.access.require(&[writes])?;
                // Deleting what is not there is no mistake.
                if let Some(key) = state.contacts.row(id).map(|row| row.key) {
                    state.contacts.archive(key, self.now);
                }
                Ok(StatusCode::NO_CONTENT.into_response())
            }
            (&Method::POST, ["merge" | "gdpr-delete"]) => {
                state.access.require(&[writes])?;
                self.gone_for_good(state, rest)
            }
            (&Method::GET, [] | [_]) => {
                state.access.require(&[Type::Contacts.read()])?;
                let companies = |contact: &_| associations::listed(state, contact, self.now);
                let reading = Reading::parse(self.parameters)?;
                match rest.first() {
                    None => Ok(objects::list(&state.levers, &state.contacts, &reading, self.now, companies)),
                    Some(id) => objects::one(&state.contacts, id, &reading, self.now, companies),
                }
            }
            // The newest version's description has no such path.
            (&Method::GET, [id, "associations", to]) if version != Version::September => {
                let way = self.both(&state.access, "contacts", to)?;
                associations::of_one(state, way, id, self.parameter("after"), self.now)
            }
            _ => self.read(&state.access, &state.levers, &state.contacts, Type::Contacts, rest),
        }
    }

    /// A merge, or a deletion for privacy's sake.
    fn gone_for_good(&self, state: &mut State, rest: &[&str]) -> Result<Response, Refusal> {
        let body = batches::object(self.body)?;
        let field = |name: &str| body.get(name).and_then(Json::as_str).unwrap_or_default();
        let missing = || Refusal::not_found("resource not found");
        if rest == ["merge"] {
            let (primary, secondary) = (field("primaryObjectId"), field("objectIdToMerge"));
            let key = merge(state, primary, secondary, self.now).ok_or_else(missing)?;
            let reading = Reading::parse(&[])?;
            return objects::one(&state.contacts, &key.to_string(), &reading, self.now, |_| None);
        }
        if body.contains_key("idProperty") {
            return Err(Refusal::invalid("This portal deletes by id only"));
        }
        let key = state.contacts.row(field("objectId")).map(|row| row.key).ok_or_else(missing)?;
        state.purge(key, self.now);
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    fn companies(&self, state: &State, version: Version, rest: &[&str]) -> Result<Response, Refusal> {
        match (self.method, rest) {
            (&Method::GET, [] | [_]) => {
                state.access.require(&[Type::Companies.read()])?;
                let reading = Reading::parse(self.parameters)?;
                match rest.first() {
                    None => Ok(objects::list(&state.levers, &state.companies, &reading, self.now, |_| None)),
                    Some(id) => objects::one(&state.companies, id, &reading, self.now, |_| None),
                }
            }
            (&Method::GET, [id, "associations", to]) if version != Version::September => {
                let way = self.both(&state.access, "companies", to)?;
                associations::of_one(state, way, id, self.parameter("after"), self.now)
            }
            _ => self.read(&state.access, &state.levers, &state.companies, Type::Companies, rest),
        }
    }

    /// The reads that both object types have.
    fn read<T: Object>(
        &self,
        access: &Access,
        levers: &Levers,
        store: &Store<T>,
        object: Type,
        rest: &[&str],
    ) -> Result<Response, Refusal> {
        access.require(&[object.read()])?;
        match (self.method, rest) {
            (&Method::POST, ["search"]) => search(levers, store, self.body, self.now),
            (&Method::POST, ["batch", "read"]) => {
                let archived = Reading::parse(self.parameters)?.archived;
                objects::batch_read(levers, store, self.body, archived, self.now)
            }
            (_, [] | [_] | ["batch", "read" | "update"]) => {
                Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed"))
            }
            _ => Err(Refusal::not_found("No such path")),
        }
    }

    fn properties<T: Object>(
        &self,
        access: &Access,
        definitions: &mut Definitions<T>,
        object: Type,
        (reads, writes): (&'static str, &'static str),
        rest: &[&str],
    ) -> Result<Response, Refusal> {
        match (self.method, rest) {
            (&Method::GET, [] | [_]) => {
                access.require(&[object.read(), reads])?;
                Ok(axum::Json(definitions.show(rest.first().copied())?).into_response())
            }
            (&Method::POST, []) => {
                access.require(&[writes])?;
                Ok((StatusCode::CREATED, axum::Json(definitions.make(self.body)?)).into_response())
            }
            _ => Err(Refusal::not_found("No such path")),
        }
    }

    /// The way of an association, if the scopes to read both ends are there.
    fn both(&self, access: &Access, from: &str, to: &str) -> Result<Way, Refusal> {
        let way = Type::way(from, to)?;
        access.require(&[Type::Contacts.read()])?;
        access.require(&[Type::Companies.read()])?;
        Ok(way)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

fn details(zone: &Zone) -> Response {
    let minutes = zone.offset.num_minutes();
    let sign = if minutes < 0 { '-' } else { '+' };
    let offset = format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
    axum::Json(json!({
        "portalId": PORTAL, "accountType": "STANDARD", "timeZone": zone.name, "companyCurrency": "SEK",
        "additionalCurrencies": [], "utcOffset": offset, "utcOffsetMilliseconds": zone.offset.num_milliseconds(),
        "uiDomain": "app-eu1.hubspot.com", "dataHostingLocation": "eu1",
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::hubspot::bench::{CONTACTS, employed, get, portal, post};

    #[tokio::test(start_paused = true)]
    async fn clients_merge_and_delete_for_good_as_people_do() {
        let hubspot = portal();
        let [one, two, three] = [0, 1, 2].map(|_| hubspot.add(&employed()));
        let body = json!({"primaryObjectId": one, "objectIdToMerge": two});
        let (status, merged) = post(&hubspot, &format!("{CONTACTS}/merge"), &body).await;
        assert_eq!((status, hubspot.ids()), (200, vec![three.clone(), merged["id"].as_str().unwrap().to_owned()]));
        for status in [204, 404] {
            let delete = format!("{CONTACTS}/gdpr-delete");
            assert_eq!(post(&hubspot, &delete, &json!({"objectId": three})).await.0, status);
        }
        for query in ["", "?archived=true"] {
            assert_eq!(get(&hubspot, &format!("{CONTACTS}/{three}{query}")).await.0, 404);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_path_is_told_from_what_has_no_such_method() {
        let hubspot = portal();
        for (path, status) in [("/crm/objects/2026-03/deals", 400), ("/crm/objects/2026-03/contacts/1/nonsense", 404)] {
            assert_eq!(get(&hubspot, path).await.0, status, "{path}");
        }
        assert_eq!(post(&hubspot, CONTACTS, &json!({})).await.0, 405);
    }
}
