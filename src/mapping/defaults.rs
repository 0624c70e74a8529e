//! The default map of each kind of CRM: Propstreet's own published tables, with the CRM's field names. They are plain
//! rules, so that an operator can read, repeat and replace each of them.

use std::collections::BTreeMap;

use crate::domain::kind::Kind;
use crate::mapping::rules::{As, Rule, Target};

/// What a source whose companies are linked has besides: who the employer is, so that it is the same company for all who
/// work there. Its id and its name are demanded where a CRM always shows them; the rest may be hidden, and costs nobody
/// anything but a better match.
#[must_use]
pub fn employers(kind: Kind) -> BTreeMap<Target, Rule> {
    let rules = match kind {
        // The account of a person account is that person and no employer. A lead has the name of a company and no account.
        Kind::Salesforce => {
            let of_company = |value: &str| Rule::expr(&format!("{value} if not IsPersonAccount"));
            vec![
                (Target::Company, of_company("Account.Name")),
                (Target::CompanyId, of_company("AccountId")),
                (Target::CompanyWebsite, of_company("Account.Website").optional(true)),
                (Target::CompanyCountry, of_company("Account.BillingCountry|country").optional(true)),
            ]
        }
        // Of a company that the token may not see comes the id alone: what a person typed is not its name. HubSpot itself
        // calls a company without a name by its domain.
        Kind::HubSpot => vec![
            (
                Target::Company,
                Rule::expr("(company.name or company.domain) if company.hs_object_id else company").optional(true),
            ),
            (Target::CompanyId, Rule::copy(&["company.hs_object_id"])),
            (Target::CompanyWebsite, Rule::copy(&["company.website"]).optional(true)),
            (Target::CompanyDomain, Rule::copy(&["company.domain"]).optional(true)),
            (Target::CompanyCountry, Rule::copy(&["company.country"]).made(As::Country).optional(true)),
        ],
        // An organization that the token's user does not see leaves its id on the person.
        Kind::Pipedrive => vec![
            (Target::Company, Rule::copy(&["org.name"]).optional(true)),
            (Target::CompanyId, Rule::copy(&["org_id"])),
            (Target::CompanyWebsite, Rule::copy(&["org.website"]).optional(true)),
            (Target::CompanyCountry, Rule::copy(&["org.country"]).made(As::Country).optional(true)),
        ],
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever replaces one of them starts from what the page shows.
    #[test]
    fn the_rules_of_employers_are_those_on_the_page() {
        let page = include_str!("../../docs/fields.md");
        for (kind, heading) in [
            (Kind::Salesforce, "\n# Salesforce\n"),
            (Kind::HubSpot, "\n# HubSpot\n"),
            (Kind::Pipedrive, "\n# Pipedrive\n"),
        ] {
            let (_, below) = page.split_once(heading).expect(heading);
            let rules: String =
                below.lines().take_while(|line| line.contains(" = ")).map(|line| format!("{line}\n")).collect();
            let shown: BTreeMap<String, Rule> = toml::from_str(&rules).expect("rules as configured");
            let built: BTreeMap<String, Rule> =
                employers(kind).into_iter().map(|(target, rule)| (target.name().to_owned(), rule)).collect();
            assert_eq!(shown, built, "{kind:?}");
        }
    }
}
