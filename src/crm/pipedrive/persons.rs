//! A person's row as a record, with what it only points at filled in: labels, options of custom fields, its
//! organization. Pure: what is needed is named here and read elsewhere.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::crm::pipedrive::wire::{self, Options, Row};
use crate::domain::failure::Trouble;
use crate::domain::record::Record;

/// The built-in set field that holds the labels.
const LABELS: &str = "label_ids";

/// The member that holds the custom fields.
const CUSTOM: &str = "custom_fields";

/// What a person has besides custom fields; the last six only where the company syncs contacts.
const OF_PERSONS: [&str; 21] = [
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
    "job_title",
    "postal_address",
    "notes",
    "im",
    "ims",
    "birthday",
];
/// What an organization has besides custom fields; the last five not in every company.
const OF_ORGANIZATIONS: [&str; 13] = [
    "id",
    "name",
    "country",
    "address",
    "label_ids",
    "owner_id",
    "add_time",
    "update_time",
    "website",
    "linkedin",
    "industry",
    "annual_revenue",
    "employee_count",
];

/// Organization id to its fields, by the name a mapping uses after `org.`.
pub(super) type Organizations = HashMap<String, Map<String, Value>>;

/// The fields the mapping reads.
pub(super) struct Wanted {
    fields: Vec<String>,
    /// Keys of custom fields of persons, each by its name.
    custom: BTreeSet<String>,
    /// The keys a request may be narrowed to; none where the mapping takes all custom fields.
    pub sent: BTreeSet<String>,
    /// Fields of the organization, without `org.`.
    pub organization: Vec<String>,
}

impl Wanted {
    pub(super) fn new(fields: BTreeSet<String>) -> Self {
        let after =
            |prefix| fields.iter().filter_map(move |field: &String| field.strip_prefix(prefix)).map(str::to_owned);
        let (custom, organization): (BTreeSet<_>, _) = (after("custom_fields.").collect(), after("org.").collect());
        let sent = if fields.contains(CUSTOM) { BTreeSet::new() } else { custom.clone() };
        Self { fields: fields.into_iter().collect(), custom, sent, organization }
    }

    /// A field the mapping reads that neither a person nor an organization can have.
    pub(super) fn unknown(&self) -> Option<&str> {
        self.fields.iter().map(String::as_str).find(|field| {
            let (name, names) = match field.strip_prefix("org.") {
                Some(name) => (name, &OF_ORGANIZATIONS[..]),
                None => (*field, &OF_PERSONS[..]),
            };
            name != CUSTOM && !name.starts_with("custom_fields.") && !names.contains(&name)
        })
    }

    /// A custom field the mapping reads, that some of these persons came without, and that nobody defined.
    pub(super) fn undefined(&self, persons: &[Row], options: &Options) -> Option<&str> {
        let absent = |key: &str| persons.iter().any(|person| wire::custom_field(person, key).is_none());
        self.custom.iter().map(String::as_str).find(|key| !options.contains_key(*key) && absent(key))
    }

    /// The organizations these persons belong to, if the mapping reads them.
    pub(super) fn organizations(&self, persons: &[Row]) -> BTreeSet<String> {
        if self.organization.is_empty() {
            return BTreeSet::new();
        }
        persons.iter().filter_map(organization).flatten().collect()
    }

    /// Whether these persons hold an option id, or lack a field, that the definitions read so far do not explain.
    pub(super) fn unexplained(&self, persons: &[Row], options: &Options) -> bool {
        if self.undefined(persons, options).is_some() {
            return true;
        }
        let mut keys: BTreeSet<&str> = self.custom.iter().map(String::as_str).collect();
        if self.fields.iter().any(|field| field == CUSTOM) {
            let filled = persons.iter().filter_map(|person| person.get(CUSTOM)?.as_object());
            keys.extend(filled.flat_map(Map::keys).map(String::as_str));
        }
        let custom =
            keys.into_iter().map(|key| (key, persons.iter().filter_map(|p| wire::custom_field(p, key)).collect()));
        let labels = self
            .fields
            .iter()
            .any(|f| f == "labels")
            .then(|| (LABELS, persons.iter().filter_map(|p| p.get(LABELS)).collect()));
        custom.chain(labels).any(|(field, values): (&str, Vec<&Value>)| {
            let known = options.get(field);
            // A field whose definition lists no options holds plain numbers.
            let explains = |id: &Value| {
                known.is_some_and(|k| k.is_empty() || wire::text(id).is_some_and(|id| k.contains_key(&id)))
            };
            // The id of a label may come as text; elsewhere a text is a text.
            let is_open = |id: &Value| (id.is_u64() || (field == LABELS && id.is_string())) && !explains(id);
            values.into_iter().any(|value| match value {
                Value::Array(ids) => ids.iter().any(is_open),
                id => is_open(id),
            })
        })
    }

    /// The person as a record. A field that was not sent, or whose organization is not shown, stays absent.
    pub(super) fn record(
        &self,
        person: &Row,
        options: &Options,
        organizations: &Organizations,
    ) -> Result<Record, Trouble> {
        let field = |name: &String| Some((name.clone(), field(person, name, options, organizations)?));
        Ok(Record {
            id: wire::id(person)?,
            modified: wire::modified(person),
            fields: self.fields.iter().filter_map(field).collect(),
            supersedes: Vec::new(),
        })
    }
}

fn field(person: &Row, name: &str, options: &Options, organizations: &Organizations) -> Option<Value> {
    if let Some(key) = name.strip_prefix("custom_fields.") {
        return Some(labelled(wire::custom_field(person, key)?, options.get(key)));
    }
    if let Some(key) = name.strip_prefix("org.") {
        return match organization(person)? {
            Some(id) => organizations.get(&id)?.get(key).cloned(),
            None => Some(Value::Null),
        };
    }
    match name {
        CUSTOM => Some(match person.get(CUSTOM)? {
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (key.clone(), labelled(value, options.get(key)))).collect()
            }
            _ => Value::Null,
        }),
        "email" => Some(wire::contact_values(person, "emails")?.into_iter().next().into()),
        "phone" => Some(wire::contact_values(person, "phones")?.into_iter().next().into()),
        "emails" | "phones" => Some(wire::contact_values(person, name)?.into()),
        "labels" => Some(match person.get(LABELS)? {
            Value::Array(ids) => ids.iter().filter_map(|id| label_text(id, options)).collect(),
            _ => Value::Array(Vec::new()),
        }),
        _ => person.get(name).map(wire::scalar),
    }
}

/// A label as people read it; one whose definition is gone keeps its id.
fn label_text(id: &Value, options: &Options) -> Option<Value> {
    match labelled(id, options.get(LABELS)) {
        Value::Null => None,
        Value::Number(id) => Some(id.to_string().into()),
        text => Some(text),
    }
}

/// The value with option ids replaced by their labels.
fn labelled(value: &Value, options: Option<&HashMap<String, String>>) -> Value {
    match value {
        Value::Array(values) => values.iter().map(|value| labelled(value, options)).collect(),
        value => {
            let value = wire::scalar(value);
            let label = wire::text(&value).and_then(|id| options?.get(&id));
            label.map_or(value, |label| label.as_str().into())
        }
    }
}

/// The person's organization: `None` = not sent, `Some(None)` = has none. v1 wraps the id.
pub(super) fn organization(person: &Row) -> Option<Option<String>> {
    let id = person.get("org_id")?;
    Some(wire::text(id.get("value").unwrap_or(id)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(fields: &[&str]) -> Wanted {
        Wanted::new(fields.iter().map(|&f| f.to_owned()).collect())
    }

    fn row(value: Value) -> Row {
        match value {
            Value::Object(row) => row,
            other => panic!("{other} is no row"),
        }
    }

    fn options() -> Options {
        let set = |pairs: &[(&str, &str)]| pairs.iter().map(|&(id, label)| (id.to_owned(), label.to_owned())).collect();
        Options::from([
            (LABELS.into(), set(&[("2", "Customer"), ("14", "Hot")])),
            ("enum".into(), set(&[("17", "Core")])),
            ("number".into(), HashMap::new()),
        ])
    }

    #[test]
    fn a_person_becomes_a_flat_record() {
        let person = row(json!({"id": 42, "name": "Ada Byron", "first_name": "Ada", "last_name": null, "org_id": 12,
            "update_time": "2026-09-30T11:22:33Z", "phones": [], "label_ids": [2, 99],
            "emails": [{"value": "home@ex.org", "primary": false}, {"value": "ada@ex.org", "primary": true}],
            "custom_fields": {"enum": 17, "set": [17], "number": 17, "money": {"value": 500, "currency": "EUR"}, "empty": null}}));
        let organizations = Organizations::from([("12".into(), row(json!({"name": "Acme", "country": null})))]);
        let wanted = wanted(&[
            "name",
            "last_name",
            "job_title",
            "email",
            "emails",
            "phone",
            "phones",
            "labels",
            "org.name",
            "org.country",
            "org.website",
            "custom_fields.enum",
            "custom_fields.number",
            "custom_fields.money",
            "custom_fields.empty",
            "custom_fields.gone",
        ]);
        let record = wanted.record(&person, &options(), &organizations).unwrap();
        assert_eq!((record.id.as_str(), record.modified.map(|t| t.timestamp())), ("42", Some(1_790_767_353)));
        assert_eq!(
            Value::Object(record.fields),
            json!({"name": "Ada Byron", "last_name": null, "email": "ada@ex.org", "emails": ["ada@ex.org", "home@ex.org"],
                "phone": null, "phones": [], "labels": ["Customer", "99"], "org.name": "Acme", "org.country": null,
                "custom_fields.enum": "Core", "custom_fields.number": 17, "custom_fields.money": 500, "custom_fields.empty": null})
        );
    }

    #[test]
    fn all_custom_fields_are_there_for_expressions_that_pick_by_key() {
        let wanted = wanted(&["custom_fields", "custom_fields.enum"]);
        assert!(wanted.sent.is_empty(), "a request that names keys gets only these");
        let person =
            row(json!({"id": 1, "custom_fields": {"enum": 17, "0a1b": {"value": 5, "currency": "EUR"}, "x": null}}));
        assert!(wanted.unexplained(std::slice::from_ref(&person), &Options::new()));
        let record = wanted.record(&person, &options(), &Organizations::new()).unwrap();
        assert_eq!(record.fields["custom_fields"], json!({"enum": "Core", "0a1b": 5, "x": null}));
        let none = row(json!({"id": 1, "custom_fields": null}));
        assert_eq!(
            wanted.record(&none, &options(), &Organizations::new()).unwrap().fields["custom_fields"],
            Value::Null
        );
    }

    #[test]
    fn fields_that_nobody_can_have_are_told_from_those_not_filled() {
        for (field, unknown) in [
            ("name", false),
            ("job_title", false),
            ("labels", false),
            ("custom_fields", false),
            ("custom_fields.0a1b", false),
            ("org.name", false),
            ("org.country", false),
            ("org.custom_fields.0a1b", false),
            ("Name", true),
            ("email_messages_count", true),
            ("emails.value", true),
            ("org", true),
            ("org.labels", true),
            ("org.address.country", true),
        ] {
            assert_eq!(wanted(&[field]).unknown().is_some(), unknown, "{field}");
        }
        let wanted = wanted(&["custom_fields.enum", "custom_fields.gone"]);
        for (custom, undefined) in [
            (json!({"enum": 17, "gone": null}), None),
            (json!({}), Some("gone")),
            (json!({"gone": null}), None),
            (Value::Null, None),
        ] {
            let persons = [row(json!({"id": 1, "custom_fields": custom.clone()}))];
            assert_eq!(wanted.undefined(&persons, &options()), undefined, "{custom}");
        }
    }

    #[test]
    fn an_organization_is_null_without_one_and_absent_when_not_shown() {
        for (person, expected) in [
            (json!({"id": 1, "org_id": null}), json!({"org.name": null})),
            (json!({"id": 1, "org_id": 13}), json!({})),
            (json!({"id": 1}), json!({})),
            (json!({"id": 1, "org_id": {"value": 12}}), json!({"org.name": "Acme"})),
        ] {
            let organizations = Organizations::from([("12".into(), row(json!({"name": "Acme"})))]);
            let record = wanted(&["org.name"]).record(&row(person), &Options::new(), &organizations).unwrap();
            assert_eq!(Value::Object(record.fields), expected);
        }
        let persons =
            [json!({"id": 1, "org_id": 12}), json!({"id": 2, "org_id": 12}), json!({"id": 3, "org_id": null})].map(row);
        assert_eq!(wanted(&["org.name"]).organizations(&persons), BTreeSet::from(["12".to_owned()]));
        assert!(wanted(&["name"]).organizations(&persons).is_empty(), "what nobody reads is not asked for");
    }

    #[test]
    fn definitions_are_needed_for_option_ids_nobody_explained() {
        for (fields, person, needed_first, needed_again) in [
            (vec!["labels"], json!({"label_ids": [2]}), true, false),
            (vec!["labels"], json!({"label_ids": [2, 99]}), true, true),
            (vec!["labels"], json!({"label_ids": ["2"]}), true, false),
            (vec!["labels"], json!({"label_ids": []}), false, false),
            (vec!["custom_fields.enum"], json!({"custom_fields": {}}), true, false),
            (vec!["custom_fields.gone"], json!({"custom_fields": {}}), true, true),
            (vec!["labels"], json!({"label_ids": null}), false, false),
            (vec!["name"], json!({"label_ids": [2]}), false, false),
            (vec!["custom_fields.number"], json!({"custom_fields": {"number": 5}}), true, false),
            (vec!["custom_fields.text"], json!({"custom_fields": {"text": "5"}}), false, false),
            (vec!["custom_fields.enum"], json!({"custom_fields": {"enum": 18}}), true, true),
        ] {
            let persons = [row(person.clone())];
            assert_eq!(wanted(&fields).unexplained(&persons, &Options::new()), needed_first, "{person}");
            assert_eq!(wanted(&fields).unexplained(&persons, &options()), needed_again, "{person}");
        }
    }
}
