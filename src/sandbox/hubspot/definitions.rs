//! Which properties an object type has: looked up, shown as definitions, made and archived.
//! It must not know records' values.

use std::collections::BTreeSet;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::properties::{Kind, Object, Property};

/// The most properties of unique values an object type may have.
const UNIQUE: usize = 10;

/// The properties of one object type.
pub struct Definitions<T: 'static> {
    all: Vec<Property<T>>,
    archived: BTreeSet<String>,
}

impl<T: Object> Default for Definitions<T> {
    fn default() -> Self {
        Self { all: T::properties(), archived: BTreeSet::new() }
    }
}

/// What someone asks for who makes a property.
#[derive(Deserialize)]
struct Draft {
    name: String,
    label: String,
    #[serde(rename = "groupName")]
    group: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "fieldType")]
    field_type: String,
    #[serde(default, rename = "hasUniqueValue")]
    unique: bool,
    #[serde(default)]
    hidden: bool,
    #[serde(default)]
    options: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    label: String,
    value: String,
}

impl<T: Object> Definitions<T> {
    /// Those that are not archived.
    pub fn live(&self) -> impl Iterator<Item = &Property<T>> {
        self.all.iter().filter(|property| !self.archived.contains(property.name.as_ref()))
    }

    /// One of them.
    pub fn find(&self, name: &str) -> Option<&Property<T>> {
        self.live().find(|property| property.name == name)
    }

    /// Those asked for and those that always come; names that do not exist are passed over without a word.
    pub fn chosen(&self, asked: &[String]) -> Vec<&Property<T>> {
        let always = ["createdate", "hs_object_id", T::MODIFIED];
        let wanted = |name: &str| {
            always.contains(&name)
                || if asked.is_empty() { T::DEFAULTS.contains(&name) } else { asked.iter().any(|one| one == name) }
        };
        self.live().filter(|property| wanted(&property.name)).collect()
    }

    /// Archives a property: reads leave it out and definitions do not show it.
    pub fn archive(&mut self, name: &str) {
        self.archived.insert(name.to_owned());
    }

    /// Adds a property.
    pub fn add(&mut self, property: Property<T>) {
        self.archived.remove(property.name.as_ref());
        self.all.retain(|known| known.name != property.name);
        self.all.push(property);
    }

    /// Changes a property.
    pub fn change(&mut self, name: &str, change: impl FnOnce(&mut Property<T>)) {
        if let Some(property) = self.all.iter_mut().find(|property| property.name == name) {
            change(property);
        }
    }

    /// All definitions, or one of them.
    pub fn show(&self, name: Option<&str>) -> Result<Json, Refusal> {
        let Some(name) = name else {
            return Ok(json!({"results": self.live().map(define).collect::<Vec<_>>()}));
        };
        let property = self.find(name);
        property.map(define).ok_or_else(|| Refusal::not_found(format!("Property {name} does not exist")))
    }

    /// Makes a property as a client asks for it and answers its definition.
    pub fn make(&mut self, body: &[u8]) -> Result<Json, Refusal> {
        let draft: Draft = serde_json::from_slice(body).map_err(|_| Refusal::invalid("Invalid input JSON"))?;
        let Draft { name, label, group, kind, field_type, unique, hidden, options } = draft;
        if !is_name(&name) {
            return Err(Refusal::invalid(format!("Property name {name} is not valid")));
        }
        if group.is_empty() {
            return Err(Refusal::invalid("groupName must not be empty"));
        }
        if self.find(&name).is_some() {
            let message = format!("A property named '{name}' already exists.");
            return Err(Refusal::new(StatusCode::CONFLICT, "OBJECT_ALREADY_EXISTS", message));
        }
        if unique && self.live().filter(|property| property.unique).count() >= UNIQUE {
            return Err(Refusal::invalid(format!("at most {UNIQUE} properties may have unique values")));
        }
        let kind = match (kind.as_str(), field_type.as_str()) {
            ("string", _) => Kind::Text,
            ("number", _) => Kind::Number,
            ("bool", _) => Kind::Flag,
            ("enumeration", "checkbox") => Kind::Choices,
            ("enumeration", _) => Kind::Choice,
            ("datetime", _) => Kind::Instant,
            (other, _) => return Err(Refusal::invalid(format!("type {other} is not known"))),
        };
        let options = options.into_iter().map(|choice| (choice.value.into(), choice.label.into())).collect();
        let property = Property {
            field_type: field_type.into(),
            options,
            custom: true,
            unique,
            hidden,
            ..Property::held(name, label).of(kind)
        };
        let definition = define(&property);
        self.add(property);
        Ok(definition)
    }
}

/// Lower case, and a letter first.
fn is_name(name: &str) -> bool {
    let part = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    name.starts_with(|char: char| char.is_ascii_lowercase()) && name.chars().all(part)
}

fn define<T: Object>(property: &Property<T>) -> Json {
    let kind = match property.kind {
        Kind::Text => "string",
        Kind::Choice | Kind::Choices => "enumeration",
        Kind::Flag => "bool",
        Kind::Number => "number",
        Kind::Instant => "datetime",
    };
    let yes_or_no = [("true".into(), "Yes".into()), ("false".into(), "No".into())];
    let options = if property.kind == Kind::Flag { &yes_or_no[..] } else { &property.options };
    let options: Vec<Json> = (0_u32..)
        .zip(options)
        .map(|(place, (value, label))| json!({"label": label, "value": value, "displayOrder": place, "hidden": false}))
        .collect();
    let mut definition = json!({
        "name": property.name, "label": property.label, "description": "", "type": kind,
        "fieldType": property.field_type, "options": options, "groupName": format!("{}information", T::SINGULAR),
        "displayOrder": -1, "calculated": property.calculated, "externalOptions": property.refers_to.is_some(),
        "hasUniqueValue": property.unique, "hidden": property.hidden, "formField": !property.read_only,
        "dataSensitivity": "non_sensitive",
        "modificationMetadata": {"archivable": true, "readOnlyDefinition": !property.custom,
                                 "readOnlyValue": property.read_only},
    });
    // As recorded: a definition of HubSpot's own has the one of these keys, one of the portal's own the other.
    if property.custom {
        definition["archived"] = false.into();
    } else {
        definition["hubspotDefined"] = true.into();
    }
    if let Some(object) = property.refers_to {
        definition["referencedObjectType"] = object.into();
    }
    definition
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::hubspot::bench::{CONTACTS, employed, get, portal, post, send};

    const PROPERTIES: &str = "/crm/properties/2026-03/contacts";

    #[tokio::test(start_paused = true)]
    async fn definitions_say_what_each_property_is() {
        let hubspot = portal();
        for (name, path, value) in [
            ("investor_class", "/calculated", json!(true)),
            ("hubspotscore", "/calculated", json!(false)),
            ("hubspotscore", "/fieldType", json!("calculation_score")),
            ("lastmodifieddate", "/type", json!("datetime")),
            ("lastmodifieddate", "/fieldType", json!("date")),
            ("hs_object_id", "/modificationMetadata/readOnlyValue", json!(true)),
            ("email", "/modificationMetadata/readOnlyValue", json!(false)),
            ("hs_additional_emails", "/hidden", json!(true)),
            ("hubspot_owner_id", "/referencedObjectType", json!("OWNER")),
            ("hubspot_owner_id", "/options", json!([])),
            ("investor_type", "/fieldType", json!("checkbox")),
            ("lifecyclestage", "/options/8/value", json!("186254621")),
            ("is_accredited", "/options/0/value", json!("true")),
            ("email", "/hubspotDefined", json!(true)),
        ] {
            let (status, body) = get(&hubspot, &format!("{PROPERTIES}/{name}")).await;
            assert_eq!((status, body.pointer(path)), (200, Some(&value)), "{name}{path}");
        }
        let (_, custom) = get(&hubspot, &format!("{PROPERTIES}/investor_type")).await;
        assert_eq!(custom.get("hubspotDefined"), None);
        hubspot.archive_property("country");
        assert_eq!(get(&hubspot, &format!("{PROPERTIES}/country")).await.0, 404);
        assert!(!get(&hubspot, PROPERTIES).await.1.to_string().contains("\"country\""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_property_is_made_once_and_can_then_be_written() {
        let hubspot = portal();
        let id = hubspot.add(&employed());
        let draft = json!({"groupName": "contactinformation", "name": "our_id", "label": "Our id", "type": "string",
                           "fieldType": "text", "hasUniqueValue": true});
        let (status, made) = post(&hubspot, PROPERTIES, &draft).await;
        assert_eq!((status, &made["hasUniqueValue"], &made["groupName"]), (201, &json!(true), &draft["groupName"]));
        assert_eq!(post(&hubspot, PROPERTIES, &draft).await.0, 409);
        for (field, value) in [("name", "Our Id"), ("type", "text"), ("groupName", "")] {
            let mut bad = draft.clone();
            bad["name"] = "other".into();
            bad[field] = value.into();
            assert_eq!(post(&hubspot, PROPERTIES, &bad).await.0, 400, "{field}");
        }
        let body = json!({"properties": {"our_id": "7"}});
        let (status, record) = send(&hubspot, http::Method::PATCH, &format!("{CONTACTS}/{id}"), &body).await;
        assert_eq!((status, &record["properties"]["our_id"]), (200, &json!("7")));
        // One that was archived can be made anew.
        hubspot.archive_property("our_id");
        assert_eq!(post(&hubspot, PROPERTIES, &draft).await.0, 201);
        hubspot.take_scope("crm.schemas.contacts.write");
        assert_eq!(post(&hubspot, PROPERTIES, &draft).await.0, 403);
    }
}
