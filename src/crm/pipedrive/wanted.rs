//! What the map reads of persons and of their organizations, by the names a rule uses. It knows no request; what a
//! company defines is told to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::crm;
use crate::crm::pipedrive::custom::{self, OF_ADDRESS};
use crate::crm::pipedrive::wire::{self, Field, Fields, LABELS, Row};

/// The member that holds the custom fields, and what stands before the name of one.
pub(super) const CUSTOM: &str = "custom_fields";
const OF_CUSTOM: &str = "custom_fields.";

/// One kind of object, and the fields it has besides custom ones.
pub(super) struct Objects {
    /// What Pipedrive calls them.
    pub name: &'static str,
    /// What a rule writes before their fields.
    pub prefix: &'static str,
    /// Where their fields are defined.
    pub definitions: &'static str,
    /// What each of them has.
    always: &'static [&'static str],
    /// What they have in some accounts.
    sometimes: &'static [&'static str],
    /// In which.
    pub where_there: &'static str,
}

pub(super) const PERSONS: Objects = Objects {
    name: "persons",
    prefix: "",
    definitions: "/api/v2/personFields",
    always: &[
        "id",
        "name",
        "first_name",
        "last_name",
        "email",
        "emails",
        "phone",
        "phones",
        "labels",
        "label_ids",
        "owner_id",
        "org_id",
        "add_time",
        "update_time",
        "visible_to",
    ],
    // The migration guide calls `im` otherwise than the specification.
    sometimes: &["job_title", "postal_address", "notes", "im", "ims", "birthday"],
    where_there: "where contact sync is switched on",
};

const ORGANIZATIONS: Objects = Objects {
    name: "organizations",
    prefix: "org.",
    definitions: "/api/v2/organizationFields",
    always: &["id", "name", "country", "address", "labels", "label_ids", "owner_id", "add_time", "update_time"],
    sometimes: &["website", "linkedin", "industry", "annual_revenue", "employee_count"],
    where_there: "where Pipedrive has given the account this field",
};

/// Built-in fields that are made of parts.
const ADDRESSES: [&str; 2] = ["address", "postal_address"];

/// The fields the map reads.
pub(super) struct Wanted {
    /// By the names the map uses.
    pub fields: Vec<String>,
    pub persons: Wants,
    pub organization: Wants,
}

impl Wanted {
    pub(super) fn new(wanted: crm::Wanted) -> Self {
        let crm::Wanted { fields, optional } = wanted;
        let (mut persons, mut organization) = (Wants::of(&PERSONS), Wants::of(&ORGANIZATIONS));
        for field in &fields {
            let optional = optional.contains(field);
            match field.strip_prefix("org.") {
                Some(name) => organization.add(name, optional),
                None => persons.add(field, optional),
            }
        }
        Self { fields: fields.into_iter().collect(), persons, organization }
    }

    /// The organizations these persons belong to, if the map reads them.
    pub(super) fn organizations(&self, persons: &[Row]) -> BTreeSet<String> {
        if self.organization.is_empty() {
            return BTreeSet::new();
        }
        persons.iter().filter_map(wire::organization).flatten().collect()
    }
}

/// What the map reads of one kind of object.
pub(super) struct Wants {
    pub of: &'static Objects,
    /// Built-in fields, and whether the map can do without.
    names: BTreeMap<String, bool>,
    /// Custom fields as they are written after `custom_fields.`, and whether the map can do without.
    pub custom: BTreeMap<String, bool>,
    /// An expression picks custom fields by itself, so all are taken.
    whole: bool,
}

impl Wants {
    fn of(objects: &'static Objects) -> Self {
        Self { of: objects, names: BTreeMap::new(), custom: BTreeMap::new(), whole: false }
    }

    fn add(&mut self, name: &str, optional: bool) {
        match name.strip_prefix(OF_CUSTOM) {
            Some(written) => drop(self.custom.insert(written.to_owned(), optional)),
            None if name == CUSTOM => self.whole = true,
            None => drop(self.names.insert(name.to_owned(), optional)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.reads_custom()
    }

    /// Whether the map reads custom fields, which are known by their definitions alone.
    pub(super) fn reads_custom(&self) -> bool {
        self.whole || !self.custom.is_empty()
    }

    /// Whether it takes the definitions to read what the map reads.
    pub(super) fn reads_definitions(&self) -> bool {
        let has_options = ["labels", "industry"].iter().any(|name| self.names.contains_key(*name));
        has_options || self.reads_custom() || self.uncommon().next().is_some()
    }

    /// The names a rule can use.
    pub(super) fn known(&self) -> impl Iterator<Item = &'static str> {
        self.of.always.iter().chain(self.of.sometimes).copied()
    }

    /// What the map reads that no account has.
    pub(super) fn misnamed(&self) -> impl Iterator<Item = &str> {
        let is_part = |name: &str| {
            name.split_once('.').is_some_and(|(address, part)| {
                ADDRESSES.contains(&address) && self.known().any(|known| known == address) && OF_ADDRESS.contains(&part)
            })
        };
        self.names.keys().map(String::as_str).filter(move |name| !self.known().any(|k| k == *name) && !is_part(name))
    }

    /// What the map cannot do without, and not every account has.
    pub(super) fn uncommon(&self) -> impl Iterator<Item = &str> {
        let needed = self.names.iter().filter(|(_, optional)| !**optional).map(|(name, _)| name.as_str());
        needed.filter(|name| self.of.sometimes.contains(&name.split('.').next().unwrap_or(name)))
    }

    /// The keys a request may be narrowed to; none where all custom fields are taken.
    pub(super) fn sent(&self, fields: &Fields) -> BTreeSet<String> {
        if self.whole { BTreeSet::new() } else { self.keys(fields).map(str::to_owned).collect() }
    }

    /// A custom field that the map cannot do without, and that nobody defined.
    pub(super) fn lost(&self, fields: &Fields) -> Option<&str> {
        let needed = self.custom.iter().filter(|(_, optional)| !**optional).map(|(written, _)| written.as_str());
        needed.into_iter().find(|written| custom::find(written, fields).is_err())
    }

    /// Whether these rows hold an option id that the definitions read so far do not explain.
    pub(super) fn unexplained(&self, rows: &[&Row], fields: &Fields) -> bool {
        let label_fields = [LABELS, "label"].into_iter().filter(|_| self.names.contains_key("labels"));
        let industry = ["industry"].into_iter().filter(|name| self.names.contains_key(*name));
        let own = label_fields.chain(industry).any(|name| {
            let field = fields.get(name).or_else(|| fields.get(LABELS).filter(|_| name == "label"));
            rows.iter().filter_map(|row| row.get(name)).any(|value| has_open_id(value, field))
        });
        let open = |row: &&Row, key: &str| {
            wire::custom_field(row, key).is_some_and(|value| {
                let has_options = fields.get(key).is_none_or(Field::has_options);
                has_options && has_open_id(value, fields.get(key))
            })
        };
        own || rows.iter().any(|row| {
            let filled = row.get(CUSTOM).and_then(Value::as_object).filter(|_| self.whole);
            let filled = filled.into_iter().flat_map(Map::keys).map(String::as_str);
            self.keys(fields).chain(filled).any(|key| open(row, key))
        })
    }

    /// Whether none of these rows shows a custom field that the map reads: nobody may have filled it, or it is gone.
    pub(super) fn unseen(&self, rows: &[&Row], fields: &Fields) -> bool {
        !rows.is_empty()
            && self
                .keys(fields)
                .any(|key| rows.iter().all(|row| wire::custom_field(row, key).is_none_or(Value::is_null)))
    }

    /// The organization's row, less what the map does not read.
    pub(super) fn kept(&self, row: &Row) -> Row {
        let is_read = |member: &str| {
            self.names.keys().any(|name| match (name.as_str(), member) {
                ("country", "address") | ("labels", LABELS | "label") => true,
                (name, member) => name.split('.').next() == Some(member),
            })
        };
        let mut kept: Row = row.iter().filter(|(m, _)| is_read(m)).map(|(m, v)| (m.clone(), v.clone())).collect();
        if let Some(custom) = row.get(CUSTOM).filter(|_| self.reads_custom()) {
            // As a rule most of them are empty.
            let filled = custom.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
            kept.insert(CUSTOM.to_owned(), filled.map(|(key, value)| (key.clone(), value.clone())).collect());
        }
        kept
    }

    fn keys<'a>(&'a self, fields: &'a Fields) -> impl Iterator<Item = &'a str> {
        self.custom.keys().filter_map(|written| custom::find(written, fields).ok()).map(|place| place.key)
    }
}

/// Whether the value holds the id of an option that the field does not list.
fn has_open_id(value: &Value, field: Option<&Field>) -> bool {
    let is_open = |id: &Value| {
        (id.is_u64() || id.is_string())
            && wire::text(id).is_some_and(|id| field.is_none_or(|field| !field.options.contains_key(&id)))
    };
    match value {
        Value::Array(ids) => ids.iter().any(is_open),
        id => is_open(id),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::pipedrive::rig::row;

    fn wanted(fields: &[&str], optional: &[&str]) -> Wanted {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Wanted::new(crm::Wanted { fields: set(fields), optional: set(optional) })
    }

    #[test]
    fn fields_that_nobody_can_have_are_told_from_those_not_everybody_has() {
        for (field, misnamed, uncommon) in [
            ("name", false, false),
            ("job_title", false, true),
            ("labels", false, false),
            ("custom_fields", false, false),
            ("custom_fields.0a1b", false, false),
            ("postal_address.country", false, true),
            ("org.name", false, false),
            ("org.country", false, false),
            ("org.labels", false, false),
            ("org.website", false, true),
            ("org.address.country", false, false),
            ("org.custom_fields.0a1b", false, false),
            ("Name", true, false),
            ("email_messages_count", true, false),
            ("emails.value", true, false),
            ("address.country", true, false),
            ("org", true, false),
            ("org.email", true, false),
            ("org.address.continent", true, false),
        ] {
            let wanted = wanted(&[field], &[]);
            let all = [&wanted.persons, &wanted.organization];
            assert_eq!(all.iter().any(|wants| wants.misnamed().next().is_some()), misnamed, "{field}");
            assert_eq!(all.iter().any(|wants| wants.uncommon().next().is_some()), uncommon, "{field}");
        }
        assert!(wanted(&["job_title"], &["job_title"]).persons.uncommon().next().is_none());
    }

    #[test]
    fn only_organizations_that_a_rule_reads_are_asked_for() {
        let persons =
            [json!({"id": 1, "org_id": 12}), json!({"id": 2, "org_id": 12}), json!({"id": 3, "org_id": null})].map(row);
        assert_eq!(wanted(&["org.name"], &[]).organizations(&persons), BTreeSet::from(["12".to_owned()]));
        assert!(wanted(&["name"], &[]).organizations(&persons).is_empty());
        let acme = row(json!({"id": 12, "name": "Acme", "owner_id": 7, "address": {"country": "Italy"},
            "custom_fields": {"a": 1, "b": null}}));
        for (field, kept) in [
            ("org.name", json!({"name": "Acme"})),
            ("org.country", json!({"address": {"country": "Italy"}})),
            ("org.custom_fields.a", json!({"custom_fields": {"a": 1}})),
        ] {
            assert_eq!(Value::Object(wanted(&[field], &[]).organization.kept(&acme)), kept);
        }
    }

    #[test]
    fn definitions_are_needed_for_option_ids_nobody_explained() {
        let definitions = [
            json!({"field_code": "label_ids", "options": [{"id": 2, "label": "Customer"}]}),
            json!({"field_code": "enum", "field_type": "enum", "options": [{"id": 17, "label": "Core"}]}),
            json!({"field_code": "number", "field_type": "double", "options": null}),
            json!({"field_code": "text", "field_type": "varchar"}),
        ];
        let known = wire::fields(&definitions.map(row));
        for (field, person, first, again) in [
            ("labels", json!({"label_ids": [2]}), true, false),
            ("labels", json!({"label_ids": [2, 99]}), true, true),
            ("labels", json!({"label_ids": ["2"]}), true, false),
            ("labels", json!({"label": 2}), true, false),
            ("labels", json!({"label_ids": []}), false, false),
            ("labels", json!({"label_ids": null}), false, false),
            ("name", json!({"label_ids": [2]}), false, false),
            ("custom_fields", json!({"custom_fields": {"enum": 17}}), true, false),
            ("custom_fields", json!({"custom_fields": {"enum": 18, "text": "5"}}), true, true),
            ("custom_fields.number", json!({"custom_fields": {"number": 5}}), false, false),
            ("custom_fields.text", json!({"custom_fields": {"text": "5"}}), false, false),
            ("custom_fields.enum", json!({"custom_fields": {"enum": 18}}), false, true),
            ("custom_fields.enum", json!({"custom_fields": {"enum": {"id": 18, "label": "New"}}}), false, false),
        ] {
            let (person, wanted) = (row(person), wanted(&[field], &[]));
            assert_eq!(wanted.persons.unexplained(&[&person], &Fields::new()), first, "{field} {person:?}");
            assert_eq!(wanted.persons.unexplained(&[&person], &known), again, "{field} {person:?}");
        }
    }
}
