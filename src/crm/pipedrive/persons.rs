//! A row as a record, with what it only points at filled in: labels, options of custom fields, its organization. Pure:
//! what is needed is named in `wanted` and read elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::crm::pipedrive::custom;
use crate::crm::pipedrive::wanted::{CUSTOM, Wanted};
use crate::crm::pipedrive::wire::{self, Field, Fields, LABELS, Row};
use crate::domain::failure::Trouble;
use crate::domain::record::Record;

/// Organization id to its row, less what the map does not read.
pub(super) type Organizations = HashMap<String, Row>;

/// What the rows of a page point at.
#[derive(Default)]
pub(super) struct Known {
    pub persons: Arc<Fields>,
    pub organization: Arc<Fields>,
    pub organizations: Organizations,
}

impl Wanted {
    /// The person as a record. A field that was not sent, or whose organization is not shown, stays absent.
    pub(super) fn record(&self, person: &Row, known: &Known) -> Result<Record, Trouble> {
        let read = |name: &str| match name.strip_prefix("org.") {
            None => field(person, name, &known.persons),
            Some(name) => match wire::organization(person)? {
                Some(id) => field(known.organizations.get(&id)?, name, &known.organization),
                None => Some(Value::Null),
            },
        };
        Ok(Record {
            id: wire::id(person)?,
            modified: wire::modified(person),
            fields: self.fields.iter().filter_map(|name| Some((name.clone(), read(name)?))).collect(),
            supersedes: Vec::new(),
        })
    }
}

/// The field of a person or an organization by the name a rule uses.
fn field(row: &Row, name: &str, fields: &Fields) -> Option<Value> {
    if let Some(written) = name.strip_prefix("custom_fields.") {
        return custom_field(row, written, fields);
    }
    match name {
        CUSTOM => Some(all_custom(row.get(CUSTOM)?, fields)),
        "email" => Some(wire::contact_values(row, "emails")?.into_iter().next().into()),
        "phone" => Some(wire::contact_values(row, "phones")?.into_iter().next().into()),
        "emails" | "phones" => Some(wire::contact_values(row, name)?.into()),
        "im" | "ims" => wire::contact_values(row, "im").or_else(|| wire::contact_values(row, "ims")).map(Value::from),
        "labels" => labels(row, fields),
        "country" => Some(wire::part(row.get("address")?, name)),
        "industry" => Some(labelled(row.get(name)?, fields.get(name))),
        _ => match name.split_once('.') {
            Some((address, part)) => Some(wire::part(row.get(address)?, part)),
            None => row.get(name).map(wire::scalar),
        },
    }
}

/// A custom field that is defined and did not come is empty: some answers leave out what is not filled, and others send it
/// as null. Without `custom_fields` nothing is known.
fn custom_field(row: &Row, written: &str, fields: &Fields) -> Option<Value> {
    row.get(CUSTOM)?;
    let place = custom::find(written, fields).ok()?;
    let value = wire::custom_field(row, place.key).unwrap_or(&Value::Null);
    Some(match place.part {
        Some(part) => wire::part(value, part),
        None => labelled(value, fields.get(place.key)),
    })
}

/// All of them, by their keys and by the names that only one has, for expressions that pick.
fn all_custom(custom: &Value, fields: &Fields) -> Value {
    let Value::Object(custom) = custom else { return Value::Null };
    let mut all = Map::new();
    for (key, value) in custom {
        let (value, field) = (labelled(value, fields.get(key)), fields.get(key));
        if let Some(field) = field.filter(|field| custom::find(&field.name, fields).is_ok_and(|found| found.key == key))
        {
            all.insert(field.name.clone(), value.clone());
        }
        all.insert(key.clone(), value);
    }
    Value::Object(all)
}

/// Labels as people read them; one whose definition is gone keeps its id. Older rows have a single `label`.
fn labels(row: &Row, fields: &Fields) -> Option<Value> {
    let (member, ids) = row.get_key_value(LABELS).or_else(|| row.get_key_value("label"))?;
    let field = fields.get(member).or_else(|| fields.get(LABELS));
    let ids = match ids {
        Value::Array(ids) => ids.as_slice(),
        id => std::slice::from_ref(id),
    };
    let text = |id: &Value| match labelled(id, field) {
        Value::Null => None,
        Value::Number(id) => Some(id.to_string().into()),
        text => Some(text),
    };
    Some(ids.iter().filter_map(text).collect())
}

/// The value with option ids replaced by their labels.
fn labelled(value: &Value, field: Option<&Field>) -> Value {
    match value {
        Value::Array(values) => values.iter().map(|value| labelled(value, field)).collect(),
        value => {
            let value = wire::scalar(value);
            let label = wire::text(&value).and_then(|id| field?.options.get(&id));
            label.map_or(value, |label| label.as_str().into())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm;
    use crate::crm::pipedrive::rig::row;

    fn wanted(fields: &[&str]) -> Wanted {
        let fields = fields.iter().map(|&f| f.to_owned()).collect();
        Wanted::new(crm::Wanted { fields, ..crm::Wanted::default() })
    }

    fn defined(definitions: &[Value]) -> Arc<Fields> {
        Arc::new(wire::fields(&definitions.iter().cloned().map(row).collect::<Vec<_>>()))
    }

    fn known() -> Known {
        let custom = |code: &str, name: &str, kind: &str, options: Value| json!({"field_code": code, "field_name": name, "field_type": kind, "is_custom_field": true, "options": options});
        let core = json!([{"id": 17, "label": "Core"}, {"id": "18", "label": "Value add"}]);
        let persons = defined(&[
            json!({"field_code": LABELS, "field_type": "set", "is_custom_field": false,
                "options": [{"id": 2, "label": "Customer"}, {"id": 14, "label": "Hot"}]}),
            custom("enum", "Investor strategy", "enum", core.clone()),
            custom("set", "Strategies", "set", core.clone()),
            custom("number", "Number", "double", Value::Null),
            custom("money", "Ticket", "monetary", Value::Null),
            custom("time", "Call at", "time", Value::Null),
            custom("range", "Away", "daterange", Value::Null),
            custom("home", "Home", "address", Value::Null),
            custom("empty", "Empty", "varchar", Value::Null),
            custom("twin1", "Twin", "varchar", Value::Null),
            custom("twin2", "Twin", "varchar", Value::Null),
        ]);
        let organization = defined(&[
            json!({"field_code": "industry", "is_custom_field": false, "options": [{"id": "5", "label": "Property"}]}),
            custom("segment", "Segment", "enum", core),
        ]);
        Known { persons, organization, organizations: Organizations::default() }
    }

    fn read(fields: &[&str], person: Value, known: &Known) -> Value {
        Value::Object(wanted(fields).record(&row(person), known).unwrap().fields)
    }

    #[test]
    fn a_person_becomes_a_flat_record() {
        let person = row(json!({"id": 42, "name": "Ada Byron", "first_name": "Ada", "last_name": null, "org_id": null,
            "update_time": "2026-09-30T11:22:33Z", "phones": [], "label_ids": [2, 99],
            "emails": [{"value": "home@ex.org", "primary": false}, {"value": "ada@ex.org", "primary": true}]}));
        let wanted =
            wanted(&["name", "last_name", "job_title", "email", "emails", "phone", "phones", "labels", "org.name"]);
        let record = wanted.record(&person, &known()).unwrap();
        assert_eq!((record.id.as_str(), record.modified.map(|t| t.timestamp())), ("42", Some(1_790_767_353)));
        assert_eq!(
            Value::Object(record.fields),
            json!({"name": "Ada Byron", "last_name": null, "email": "ada@ex.org", "emails": ["ada@ex.org", "home@ex.org"],
                "phone": null, "phones": [], "labels": ["Customer", "99"], "org.name": null})
        );
    }

    #[test]
    fn custom_values_are_read_by_key_or_name_in_all_their_shapes() {
        let person = json!({"id": 1, "custom_fields": {"enum": 17, "set": [17, "18", 99], "number": 17,
            "money": {"value": 500, "currency": "EUR"}, "time": {"value": "09:00:00", "timezone_name": "Europe/London"},
            "range": {"value": "2026-01-01", "until": "2026-02-01"}, "home": {"value": "Kungsgatan 1", "country": ""}}});
        for (field, expected) in [
            ("enum", json!("Core")),
            ("Investor strategy", json!("Core")),
            ("Strategies", json!(["Core", "Value add", 99])),
            ("number", json!(17)),
            ("Ticket", json!(500)),
            ("money.currency", json!("EUR")),
            ("Ticket.currency", json!("EUR")),
            ("time", json!("09:00:00")),
            ("Call at.timezone_name", json!("Europe/London")),
            ("Away", json!("2026-01-01")),
            ("Away.until", json!("2026-02-01")),
            ("Home", json!("Kungsgatan 1")),
            ("Home.country", Value::Null),
            ("Home.locality", Value::Null),
            ("empty", Value::Null),
        ] {
            let name = format!("custom_fields.{field}");
            assert_eq!(read(&[&name], person.clone(), &known()), json!({ name: expected }), "under the map's own name");
        }
        for lost in ["Twin", "gone", "number.value"] {
            assert_eq!(read(&[&format!("custom_fields.{lost}")], person.clone(), &known()), json!({}), "{lost}");
        }
    }

    #[test]
    fn what_is_not_filled_may_be_null_or_left_out_and_is_empty_either_way() {
        for (person, expected) in [
            (json!({"id": 1, "custom_fields": null}), json!({"custom_fields.money": null})),
            (json!({"id": 1, "custom_fields": {}}), json!({"custom_fields.money": null})),
            (json!({"id": 1, "custom_fields": {"money": null, "enum": null}}), json!({"custom_fields.money": null})),
            (json!({"id": 1, "custom_fields": {"enum": 17}}), json!({"custom_fields.money": null})),
            (json!({"id": 1}), json!({})),
        ] {
            assert_eq!(read(&["custom_fields.money"], person, &known()), expected);
        }
    }

    #[test]
    fn all_custom_fields_are_there_for_expressions_that_pick_by_key_or_name() {
        let wanted = wanted(&["custom_fields", "custom_fields.enum"]);
        assert!(wanted.persons.sent(&known().persons).is_empty(), "a request that names keys gets only these");
        let person =
            row(json!({"id": 1, "custom_fields": {"enum": 17, "money": {"value": 5}, "twin1": "a", "new": null}}));
        let record = wanted.record(&person, &known()).unwrap();
        assert_eq!(
            record.fields["custom_fields"],
            json!({"enum": "Core", "Investor strategy": "Core", "money": 5, "Ticket": 5, "twin1": "a", "new": null})
        );
        assert_eq!(
            read(&["custom_fields"], json!({"id": 1, "custom_fields": null}), &known()),
            json!({"custom_fields": null})
        );
    }

    #[test]
    fn labels_messengers_and_addresses_are_read_in_both_spellings() {
        for (field, person, expected) in [
            ("labels", json!({"label_ids": null}), json!([])),
            ("labels", json!({"label_ids": [{"id": 2, "label": "Customer"}, "14"]}), json!(["Customer", "Hot"])),
            ("labels", json!({"label": 14}), json!(["Hot"])),
            ("labels", json!({"label": null}), json!([])),
            ("im", json!({"im": [{"value": "ada", "label": "skype", "primary": true}]}), json!(["ada"])),
            ("im", json!({"ims": [{"value": "ada", "label": "skype"}, {"value": ""}]}), json!(["ada"])),
            ("postal_address", json!({"postal_address": {"value": "Kungsgatan 1"}}), json!("Kungsgatan 1")),
            ("postal_address.country", json!({"postal_address": {"country": "Schweden"}}), json!("Schweden")),
            ("postal_address.country", json!({"postal_address": null}), Value::Null),
        ] {
            let mut row = person.clone();
            row["id"] = json!(1);
            assert_eq!(read(&[field], row, &known()), json!({ field: expected }), "{person}");
        }
        for field in ["labels", "im", "job_title", "postal_address.country"] {
            assert_eq!(read(&[field], json!({"id": 1}), &known()), json!({}), "{field}: not sent is not empty");
        }
    }

    #[test]
    fn an_organization_is_null_without_one_and_absent_when_not_shown() {
        let mut known = known();
        for (organization, field, expected) in [
            (json!({"name": "Acme"}), "org.name", json!({"org.name": "Acme"})),
            (
                json!({"address": {"country": "Sverige", "value": "Kungsgatan 1"}}),
                "org.country",
                json!({"org.country": "Sverige"}),
            ),
            (json!({"address": {"country": ""}}), "org.country", json!({"org.country": null})),
            (json!({"address": {"value": "somewhere"}}), "org.country", json!({"org.country": null})),
            (json!({"address": null}), "org.country", json!({"org.country": null})),
            (
                json!({"address": {"locality": "Malmö"}}),
                "org.address.locality",
                json!({"org.address.locality": "Malmö"}),
            ),
            (json!({"industry": 5}), "org.industry", json!({"org.industry": "Property"})),
            (
                json!({"custom_fields": {"segment": 17}}),
                "org.custom_fields.Segment",
                json!({"org.custom_fields.Segment": "Core"}),
            ),
            (
                json!({"custom_fields": {"segment": null}}),
                "org.custom_fields.segment",
                json!({"org.custom_fields.segment": null}),
            ),
            (json!({"custom_fields": null}), "org.custom_fields.segment", json!({"org.custom_fields.segment": null})),
            (
                json!({"custom_fields": {"segment": 17}}),
                "org.custom_fields",
                json!({"org.custom_fields": {"segment": "Core", "Segment": "Core"}}),
            ),
            (json!({}), "org.website", json!({})),
            (json!({}), "org.country", json!({})),
        ] {
            let kept = wanted(&[field]).organization.kept(&row(organization.clone()));
            known.organizations = Organizations::from([("12".into(), kept)]);
            for id in [json!(12), json!({"value": 12})] {
                assert_eq!(read(&[field], json!({"id": 1, "org_id": id}), &known), expected, "{organization}");
            }
            assert_eq!(read(&[field], json!({"id": 1, "org_id": null}), &known), json!({ field: null }));
            assert_eq!(read(&[field], json!({"id": 1, "org_id": 13}), &known), json!({}), "not shown");
            assert_eq!(read(&[field], json!({"id": 1}), &known), json!({}), "not sent");
        }
    }
}
