//! Whether the org shows and allows what the configuration needs: each fault by the name of its object and field, with
//! the setting that mends it. What is not shown is never read as empty.

use std::fmt;

use serde::Deserialize;

use crate::crm::Wanted;
use crate::crm::salesforce::connection::{Connection, VERSION};
use crate::crm::salesforce::describe::{Describe, Shape, Shapes};
use crate::crm::salesforce::objects::{of_account, on_each_contact, on_each_lead, on_lead};
use crate::crm::salesforce::writing::of_person_account;
use crate::domain::failure::Trouble;
use crate::domain::finding::Finding;
use crate::http::body;

/// What the configuration needs of an org.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// What the map reads, by the names of Contact.
    pub wanted: Wanted,
    /// Whether Leads are read.
    pub leads: bool,
    /// The field that shall hold Propstreet's id.
    pub field: Option<String>,
}

/// Propstreet's id is a UUID in text.
const ID_LENGTH: u32 = 36;

impl Needs {
    /// Compares them with what the org shows, by reads alone.
    pub(super) async fn inspect(&self, connection: &Connection, describe: &Describe) -> Result<Vec<Finding>, Trouble> {
        let shapes = describe.shapes().await?;
        // An API version that is not there has no Contact either; only then is it worth asking which.
        if !shapes.contact.shows("Id")
            && let Some(fault) = version(connection).await?
        {
            return Ok(vec![fault]);
        }
        Ok(self.compare(&shapes))
    }

    /// Fails if a field that the map must have is not shown.
    pub(super) fn demand(&self, shapes: &Shapes) -> Result<(), Trouble> {
        let of_contact: Vec<&str> = self.required().filter(|field| !answered(&shapes.contact, field)).collect();
        let lead = shapes.lead.as_ref().filter(|_| self.leads);
        let of_lead = self.required().filter(|field| lead.is_some_and(|lead| !answered_on(lead, field))).map(on_lead);
        for (object, missing) in [("Contact", of_contact), ("Lead", of_lead.collect())] {
            if !missing.is_empty() {
                return Err(Trouble::Forbidden(format!(
                    "the map reads {} of {object}, not there or not visible to the integration user (grant field-level \
                     security, correct the map or the filter, or mark the rule `optional = true`)",
                    missing.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn compare(&self, shapes: &Shapes) -> Vec<Finding> {
        if !shapes.contact.shows("Id") {
            return vec![unreadable("Contact", "")];
        }
        let mut findings = Vec::new();
        self.compare_contact(shapes, &mut findings);
        if self.leads {
            self.compare_lead(shapes, &mut findings);
        }
        if let Some(name) = &self.field {
            compare_field(name, shapes, &mut findings);
        }
        findings
    }

    fn compare_contact(&self, shapes: &Shapes, findings: &mut Vec<Finding>) {
        let hidden_account = shapes.contact.shows("AccountId") && shapes.account.is_none();
        if hidden_account && self.required().any(of_account) {
            findings.push(unreadable("Account", ", or map none of its fields"));
        }
        for field in self.wanted.fields.iter().filter(|field| !(hidden_account && of_account(field))) {
            let (shape, optional) = (&shapes.contact, self.wanted.optional.contains(field));
            if !answered(shape, field) && optional {
                findings.push(Finding::note(
                    format!("the map reads {field} of Contact, which is not there or not visible: it is left out"),
                    "nothing, as the rule is optional; grant field-level security if it should be read",
                ));
            } else if !answered(shape, field) {
                let whose = Whose(field);
                findings.push(Finding::fault(
                    format!(
                        "the map reads {field} of Contact, which is not there or not visible to the integration user"
                    ),
                    format!(
                        "grant it field-level security for {whose}, correct the map or the filter, or mark the rule `optional = true`"
                    ),
                ));
            } else if shape.field(field).is_some_and(|field| field.formula) {
                findings.push(Finding::note(
                    format!("{field} of Contact is a formula: Salesforce stamps no record when its value changes"),
                    "count on its value from the record's next change only, or map a field that is stored",
                ));
            }
        }
    }

    fn compare_lead(&self, shapes: &Shapes, findings: &mut Vec<Finding>) {
        let Some(lead) = &shapes.lead else {
            findings.push(unreadable("Lead", ", or set leads = false"));
            return;
        };
        for field in self.wanted.fields.iter().filter(|field| !answered_on(lead, field)) {
            let (what, name) = ("which Lead has not or hides from the integration user", on_lead(field));
            findings.push(if self.wanted.optional.contains(field) {
                Finding::note(
                    format!("the map reads {field}, {what}: it is left out there"),
                    "nothing, as the rule is optional; grant field-level security if it should be read",
                )
            } else {
                Finding::fault(
                    format!("the map reads {field}, {what}"),
                    format!(
                        "grant it field-level security for {name} of Lead, make that field, or mark the rule \
                         `optional = true`"
                    ),
                )
            });
        }
    }

    fn required(&self) -> impl Iterator<Item = &str> {
        self.wanted.fields.difference(&self.wanted.optional).map(String::as_str)
    }
}

/// Whether Contact shows a field, or what it holds is known without.
fn answered(contact: &Shape, field: &str) -> bool {
    contact.shows(field) || on_each_contact(field, contact).is_some()
}

/// The same of Lead.
fn answered_on(lead: &Shape, field: &str) -> bool {
    lead.shows(on_lead(field)) || on_each_lead(field).is_some()
}

/// A field by the object whose settings hold it: the last parent of a path.
struct Whose<'a>(&'a str);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.rsplit_once('.') {
            Some((parent, field)) => write!(f, "{field} of {parent} (and for the look-up to {parent} itself)"),
            None => write!(f, "{} of Contact", self.0),
        }
    }
}

fn unreadable(object: &str, or: &str) -> Finding {
    Finding::fault(
        format!("{object} is not visible to the integration user"),
        format!("grant its profile or a permission set Read and View All on {object}{or}"),
    )
}

/// Whether Propstreet's ids can go into this field.
fn writable(shape: &Shape, name: &str) -> bool {
    shape.field(name).is_some_and(|field| field.updateable && field.plain_text && field.length >= ID_LENGTH)
}

fn compare_field(name: &str, shapes: &Shapes, findings: &mut Vec<Finding>) {
    match shapes.contact.field(name) {
        None => findings.push(Finding::fault(
            format!("write_back names {name}, which is not on Contact or not visible to the integration user"),
            format!(
                "make a custom field on Contact: type Text, length {ID_LENGTH} or more, API name {name}; then grant the \
                 integration user edit access to it in field-level security"
            ),
        )),
        Some(field) if !field.plain_text || field.length < ID_LENGTH => findings.push(Finding::fault(
            format!("write_back names {name} of Contact, which cannot hold an id of {ID_LENGTH} characters"),
            format!("name a field of type Text and length {ID_LENGTH} or more"),
        )),
        Some(field) if field.formula || !field.updateable => findings.push(Finding::fault(
            format!("write_back names {name} of Contact, which the integration user may read and not edit"),
            "grant it edit access in field-level security, and Edit on Contact; a formula cannot be written: name another",
        )),
        Some(field) if field.unique => findings.push(Finding::note(
            format!("{name} of Contact is unique: of two people with one contact in Propstreet, only one can hold its id"),
            "clear \"Unique\" in the field's definition",
        )),
        Some(_) => {}
    }
    if shapes.lead.as_ref().is_some_and(|lead| !writable(lead, name)) {
        findings.push(Finding::note(
            format!("Lead has no field {name} that the integration user may edit: leads get no Propstreet id"),
            format!("make it on Lead as on Contact (Text, {ID_LENGTH} characters or more), with edit access to it"),
        ));
    }
    if shapes.contact.shows("IsPersonAccount") && of_person_account(name, shapes).is_none() {
        findings.push(Finding::note(
            format!("the integration user may not edit {name} on Account: person accounts get no Propstreet id"),
            "grant edit access to the field that Account shows it as (its name ends in __pc), and Edit on Account",
        ));
    }
}

/// The fault of an org that does not offer the version of the API that is spoken here. A list that cannot be read says
/// nothing.
async fn version(connection: &Connection) -> Result<Option<Finding>, Trouble> {
    #[derive(Deserialize)]
    struct Offered {
        version: Option<String>,
    }
    let response = connection.get("/services/data", &[]).await?;
    let Ok(offered) = body::json::<Vec<Offered>>(&response) else { return Ok(None) };
    if offered.iter().any(|offered| offered.version.as_deref() == Some(VERSION)) {
        return Ok(None);
    }
    let newest = offered.iter().filter_map(|offered| offered.version.as_deref()).next_back().unwrap_or("none");
    Ok(Some(Finding::fault(
        format!("the org does not offer version {VERSION} of Salesforce's API (the last it lists is {newest})"),
        "update propsync, or wait for the org's next release if it is behind",
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::script::{answer, assert_one, told};
    use crate::domain::finding::Weight;
    use crate::http::transport::Response;

    fn needs(fields: &[&str], optional: &[&str]) -> Needs {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Needs { wanted: Wanted { fields: set(fields), optional: set(optional) }, ..Needs::default() }
    }

    fn described(fields: &[Value]) -> Response {
        let own = json!({"name": "Id", "type": "id"});
        let fields = [&[own], fields].concat();
        answer(200, json!({"fields": fields}))
    }

    fn text(name: &str) -> Value {
        json!({"name": name, "type": "string", "length": 255, "updateable": true})
    }

    fn account_id() -> Value {
        json!({"name": "AccountId", "type": "reference", "relationshipName": "Account"})
    }

    fn hidden() -> Response {
        answer(404, json!([{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]))
    }

    /// What is found in an org that answers like this: Contact first, then Account, then Lead.
    async fn found(needs: &Needs, answers: impl IntoIterator<Item = Response>) -> Vec<(Weight, String)> {
        let (script, clock, connection) = Connection::scripted(answers);
        let accounts = needs.wanted.fields.iter().any(|field| of_account(field));
        let describe = Describe::new(connection.clone(), clock, needs.leads, accounts);
        let findings = needs.inspect(&connection, &describe).await.unwrap();
        script.asked();
        told(findings)
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_that_is_not_shown_is_a_fault_by_name_and_never_a_null() {
        let org = || [described(&[text("Email")])];
        let required = needs(&["email", "Strategy__c"], &[]);
        let words =
            ["Strategy__c of Contact", "not visible", "field-level security", "correct the map", "optional = true"];
        assert_one(&found(&required, org()).await, Weight::Fault, &words);
        let optional = needs(&["Email", "Strategy__c"], &["Strategy__c"]);
        assert_one(&found(&optional, org()).await, Weight::Note, &["Strategy__c of Contact", "left out"]);
        assert!(found(&needs(&["EMAIL"], &[]), org()).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_field_of_the_account_is_looked_for_there() {
        let map = needs(&["Account.Name", "Account.Size__c", "Owner.Email"], &[]);
        let owner = json!({"name": "OwnerId", "type": "reference", "relationshipName": "Owner"});
        let contact = || described(&[account_id(), owner.clone()]);
        let one = found(&map, [contact(), described(&[text("Name")])]).await;
        assert_one(&one, Weight::Fault, &["Account.Size__c of Contact", "Size__c of Account"]);
        assert_one(
            &found(&map, [contact(), hidden()]).await,
            Weight::Fault,
            &["Account is not visible", "Read and View All"],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_formula_is_a_note_because_no_stamp_moves_with_it() {
        let score = json!({"name": "Score__c", "type": "double", "calculated": true});
        let one = found(&needs(&["Score__c"], &[]), [described(&[score])]).await;
        assert_one(&one, Weight::Note, &["Score__c of Contact is a formula"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_may_lack_what_is_optional_and_calls_its_company_otherwise() {
        let map = Needs { leads: true, ..needs(&["Account.Name", "Department"], &["Department"]) };
        let contact = || described(&[account_id(), text("Department")]);
        let lead = described(&[text("Company")]);
        let one = found(&map, [contact(), described(&[text("Name")]), lead]).await;
        assert_one(&one, Weight::Note, &["Department", "Lead"]);
        let strict = Needs { leads: true, ..needs(&["Account.Name", "Department"], &[]) };
        let lead = described(&[text("Company")]);
        let one = found(&strict, [contact(), described(&[text("Name")]), lead]).await;
        assert_one(&one, Weight::Fault, &["Department", "of Lead", "optional = true"]);
        let one = found(&map, [contact(), described(&[text("Name")]), hidden()]).await;
        assert_one(&one, Weight::Fault, &["Lead is not visible", "leads = false"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_marks_person_accounts_is_missed_in_no_org_and_an_account_in_no_lead() {
        let map = Needs { leads: true, ..needs(&["Account.Name", "AccountId", "IsPersonAccount"], &[]) };
        let org = || [described(&[account_id()]), described(&[text("Name")]), described(&[text("Company")])];
        assert!(found(&map, org()).await.is_empty());
        let without = described(&[json!({"name": "Email", "type": "email"})]);
        let found = found(&map, [without, described(&[text("Name")]), described(&[text("Company")])]).await;
        assert!(found.iter().any(|(weight, told)| *weight == Weight::Fault && told.contains("AccountId of Contact")));
        assert!(!found.iter().any(|(_, told)| told.contains("IsPersonAccount")), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_field_to_write_must_be_there_fit_and_open_to_us() {
        let map = Needs { field: Some("Ext__c".to_owned()), ..needs(&[], &[]) };
        let with = |change: Value| {
            let mut field = text("Ext__c");
            field.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            [described(&[field])]
        };
        for (change, weight, words) in [
            (json!({"name": "Other__c"}), Weight::Fault, "type Text, length 36 or more, API name Ext__c"),
            (json!({"type": "double", "length": 0}), Weight::Fault, "type Text and length 36"),
            (json!({"type": "picklist"}), Weight::Fault, "type Text and length 36"),
            (json!({"length": 35}), Weight::Fault, "type Text and length 36"),
            (json!({"updateable": false}), Weight::Fault, "grant it edit access"),
            (json!({"calculated": true, "updateable": false}), Weight::Fault, "a formula cannot be written"),
            (json!({"unique": true}), Weight::Note, "clear \"Unique\""),
        ] {
            assert_one(&found(&map, with(change)).await, weight, &["Ext__c", words]);
        }
        assert!(found(&map, with(json!({"length": 36}))).await.is_empty());
        let leads = Needs { leads: true, ..map.clone() };
        let one = found(&leads, [described(&[text("Ext__c")]), described(&[])]).await;
        assert_one(&one, Weight::Note, &["Lead has no field Ext__c"]);
        let person = json!({"name": "IsPersonAccount", "type": "boolean"});
        let one = found(&map, [described(&[text("Ext__c"), person])]).await;
        assert_one(&one, Weight::Note, &["person accounts get no Propstreet id", "__pc"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_org_without_this_version_is_told_from_one_that_hides_its_contacts() {
        let versions = |list: Value| [hidden(), answer(200, list)];
        let map = needs(&["Email"], &[]);
        let old = json!([{"label": "Spring '25", "version": "63.0"}, {"label": "Summer '25", "version": "64.0"}]);
        assert_one(&found(&map, versions(old)).await, Weight::Fault, &["version 66.0", "64.0"]);
        for list in [json!([{"version": "66.0"}, {"version": "67.0"}]), json!({"odd": 1})] {
            let one = found(&map, versions(list)).await;
            assert_one(&one, Weight::Fault, &["Contact is not visible", "Read and View All on Contact"]);
        }
    }
}
