//! The default map of each kind of CRM: Propstreet's own published tables, with the CRM's field names. They are plain
//! rules, so that an operator can read, repeat and replace each of them.

use std::collections::BTreeMap;

use crate::domain::kind::Kind;
use crate::mapping::rules::{As, Rule, Target};

/// What a source whose companies are linked has besides: who the employer is, so that it is the same company for all who
/// work there.
#[must_use]
pub fn employers(kind: Kind) -> BTreeMap<Target, Rule> {
    let rules: Vec<(Target, Rule)> = match kind {
        Kind::Salesforce | Kind::HubSpot | Kind::Pipedrive => Vec::new(),
    };
    rules.into_iter().collect()
}

/// The rules a source has before its own. A target without a rule stays empty.
#[must_use]
pub fn defaults(kind: Kind) -> BTreeMap<Target, Rule> {
    let rules = match kind {
        // docs.propstreet.com, CRM integrations, Salesforce: "mobile first, else Phone".
        Kind::Salesforce => vec![
            (Target::FirstName, Rule::copy(&["FirstName"])),
            (Target::LastName, Rule::copy(&["LastName"])),
            (Target::Email, Rule::copy(&["Email"])),
            (Target::Phone, Rule::copy(&["MobilePhone", "Phone"]).made(As::E164)),
            (Target::JobTitle, Rule::copy(&["Title"])),
            (Target::Company, Rule::copy(&["Account.Name"])),
        ],
        // The same, HubSpot: the lifecycle stage becomes a tag. The language is HubSpot's own field for what Propstreet
        // asks of it.
        Kind::HubSpot => vec![
            (Target::FirstName, Rule::copy(&["firstname"])),
            (Target::LastName, Rule::copy(&["lastname"])),
            (Target::Email, Rule::copy(&["email"])),
            (Target::Phone, Rule::copy(&["mobilephone", "phone"]).made(As::E164)),
            (Target::PrimaryLanguage, Rule::copy(&["hs_language"]).made(As::Language)),
            (Target::JobTitle, Rule::copy(&["jobtitle"])),
            (Target::Company, Rule::copy(&["company"])),
            (Target::Tags, Rule::copy(&["lifecyclestage"])),
        ],
        // The same, Pipedrive: names are split from the single field. Its parts are trusted only when both are there,
        // because a person typed into one box can have the whole name as first name. The job title comes only where
        // contact sync is on, and an organization only where the token's user sees it.
        Kind::Pipedrive => vec![
            (Target::FirstName, Rule::expr("first_name if last_name else (name or first_name)|split_first")),
            (Target::LastName, Rule::expr("last_name or (name or first_name)|split_last")),
            (Target::Email, Rule::copy(&["email"])),
            (Target::Phone, Rule::copy(&["phone"]).made(As::E164)),
            (Target::JobTitle, Rule::copy(&["job_title"]).optional(true)),
            (Target::Company, Rule::copy(&["org.name"]).optional(true)),
            (Target::Tags, Rule::copy(&["labels"])),
        ],
    };
    rules.into_iter().collect()
}
