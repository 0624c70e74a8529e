//! A company of the portal and its properties.
//! It must not know who works there.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::sandbox::hubspot::properties::{Kind, Object, Property, instant, joined, known};
use crate::sandbox::people::Company;

/// A company record.
#[derive(Clone, Debug)]
pub struct Firm {
    /// The company.
    pub company: Company,
    /// The companies merged into this one, and when.
    pub merged: Vec<(u64, DateTime<Utc>)>,
    /// Values of properties that a [`Company`] has no field for.
    pub held: BTreeMap<String, String>,
}

impl Object for Firm {
    const PLURAL: &'static str = "companies";
    const SINGULAR: &'static str = "company";
    const TYPE_ID: &'static str = "0-2";
    const MODIFIED: &'static str = "hs_lastmodifieddate";
    const DEAF: Option<&'static str> = None;
    const DEFAULTS: &'static [&'static str] = &["name", "domain"];

    fn properties() -> Vec<Property<Self>> {
        vec![
            Property::field(
                "name",
                "Company name",
                |row| known(&row.value.company.name),
                |to, it| to.company.name = it.unwrap_or_default(),
            ),
            Property::field(
                "domain",
                "Company domain name",
                |row| known(&row.value.company.domain),
                |to, it| to.company.domain = it.unwrap_or_default(),
            ),
            // Free text: what someone typed, or an enrichment found.
            Property::field(
                "country",
                "Country/Region",
                |row| known(&row.value.company.country),
                |to, it| to.company.country = it.unwrap_or_default(),
            ),
            Property::held("website", "Website URL"),
            Property::held("city", "City"),
            Property { field_type: "phonenumber".into(), ..Property::held("phone", "Phone number") },
            Property::held("description", "Description"),
            Property::held("numberofemployees", "Number of employees").of(Kind::Number),
            Property {
                refers_to: Some("OWNER"),
                ..Property::held("hubspot_owner_id", "Company owner").of(Kind::Choice)
            },
            Property::system("createdate", "Create date", Kind::Instant, |row| Some(instant(row.created))),
            Property::system("hs_lastmodifieddate", "Last modified date", Kind::Instant, |row| row.stamp.map(instant)),
            Property::system("hs_object_id", "Record ID", Kind::Number, |row| Some(row.key.to_string())),
            Property::system("hs_merged_object_ids", "Merged record IDs", Kind::Choices, |row| {
                joined(row.value.merged.iter().map(|(key, _)| key))
            }),
        ]
    }

    fn held(&self) -> &BTreeMap<String, String> {
        &self.held
    }

    fn held_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.held
    }

    fn employers(&self) -> Vec<u64> {
        Vec::new()
    }
}
