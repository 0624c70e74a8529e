//! An organization: a name, a domain in a custom field, and an address as a geocoder spells it.
//! It must not know lists, filters or rates.

use serde_json::{Map, Value as Json, json};

use crate::sandbox::people::Company;
use crate::sandbox::pipedrive::definitions::{Definitions, Field};
use crate::sandbox::pipedrive::fields::{DOMAIN, OWNER, Record, Sheet, Style, into_map, time};
use crate::sandbox::pipedrive::person::visibilities;
use crate::sandbox::table::Row;

/// The fields that only some accounts have: code, name and type.
pub const DETAILS: [(&str, &str, &str); 5] = [
    ("website", "Website", "varchar"),
    ("linkedin", "LinkedIn profile", "varchar"),
    ("industry", "Industry", "enum"),
    ("annual_revenue", "Annual revenue", "monetary"),
    ("employee_count", "Number of employees", "int"),
];

/// An organization.
#[derive(Clone, Debug)]
pub struct Organization {
    /// The company.
    pub company: Company,
    /// What every record has.
    pub sheet: Sheet,
}

impl Organization {
    /// Takes over from `other` what this one lacks.
    pub fn absorb(&mut self, other: &Self) {
        let (own, company) = (&mut self.company, &other.company);
        if own.country.is_empty() {
            (own.country, own.country_code) = (company.country.clone(), company.country_code.clone());
        }
        if own.domain.is_empty() {
            own.domain.clone_from(&company.domain);
        }
    }
}

impl Record for Organization {
    const ENTITY: &'static str = "organization";
    const OPTIONAL: &'static [&'static str] = &[
        "next_activity_id",
        "last_activity_id",
        "open_deals_count",
        "related_open_deals_count",
        "closed_deals_count",
        "related_closed_deals_count",
        "email_messages_count",
        "activities_count",
        "done_activities_count",
        "undone_activities_count",
        "files_count",
        "notes_count",
        "followers_count",
        "won_deals_count",
        "related_won_deals_count",
        "lost_deals_count",
        "related_lost_deals_count",
        "people_count",
    ];

    fn body(row: &Row<Self>, style: &Style) -> Map<String, Json> {
        let company = &row.value.company;
        let mut body = into_map(json!({
            "id": row.key, "name": company.name, "owner_id": OWNER, "add_time": time(row.created),
            "update_time": row.stamp.map(time), "is_deleted": row.deleted.is_some(), "visible_to": 3,
            "address": (!company.country.is_empty()).then(|| address(&company.country)), "label_ids": [],
        }));
        if style.company_details {
            let website = (!company.domain.is_empty()).then(|| format!("https://www.{}", company.domain));
            body.extend(DETAILS.iter().map(|(code, ..)| ((*code).to_owned(), Json::Null)));
            body.insert("website".to_owned(), website.into());
        }
        body
    }

    fn custom(&self) -> Vec<(&'static str, Json)> {
        let domain = &self.company.domain;
        if domain.is_empty() { Vec::new() } else { vec![(DOMAIN, domain.as_str().into())] }
    }

    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    fn sheet_mut(&mut self) -> &mut Sheet {
        &mut self.sheet
    }
}

/// An address in a country, which is written as the geocoder's language has it.
pub fn address(country: &str) -> Json {
    json!({
        "value": format!("Storgatan 1, {country}"), "country": country, "admin_area_level_1": "",
        "admin_area_level_2": "", "locality": "", "sublocality": "", "route": "Storgatan", "street_number": "1",
        "subpremise": null, "postal_code": "",
    })
}

/// The fields of organizations.
pub fn definitions() -> Definitions {
    let built_in = [
        ("id", "ID", "int"),
        ("name", "Name", "varchar"),
        ("label_ids", "Labels", "set"),
        ("address", "Address", "address"),
        ("owner_id", "Owner", "user"),
        ("add_time", "Organization created", "date"),
        ("update_time", "Update time", "date"),
        ("visible_to", "Visible to", "visible_to"),
    ];
    let built_in = built_in.iter().map(Field::built_in).map(|field| match field.code.as_str() {
        "label_ids" => field.choosing(&[]),
        "visible_to" => Field { options: Some(visibilities()), ..field },
        _ => field,
    });
    Definitions::new(built_in.chain([Field::custom(DOMAIN, "Domain", "varchar")]).collect())
}
