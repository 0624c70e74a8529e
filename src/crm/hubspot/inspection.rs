//! Whether the portal has and allows what the configuration needs: each fault by the name of its property, with what
//! mends it. Asked before every sync, and answered from what is known for an hour.

use crate::crm::hubspot::definitions::{LAST, MOMENT, Properties, Property};
use crate::crm::hubspot::{HubSpot, VERSION, as_mapped};
use crate::domain::failure::Trouble;
use crate::domain::finding::{Finding, Weight};
use crate::domain::nearest::nearest;

/// Kinds of objects, and the scope that shows them.
const OBJECTS: [(&str, &str); 2] =
    [("contacts", "crm.objects.contacts.read"), ("companies", "crm.objects.companies.read")];

impl HubSpot {
    /// Compares the map, and the property to write, with what the portal defines. By reads alone: whether the token may
    /// write shows only when it does.
    pub(super) async fn look(&self) -> Result<Vec<Finding>, Trouble> {
        let findings = self.compare(LAST).await?;
        let is_fault = |finding: &Finding| finding.weight == Weight::Fault;
        // It may have been mended since it became known.
        if findings.iter().any(is_fault) { self.compare(MOMENT).await } else { Ok(findings) }
    }

    async fn compare(&self, no_longer: std::time::Duration) -> Result<Vec<Finding>, Trouble> {
        let mut findings = Vec::new();
        for (objects, scope) in OBJECTS {
            let names = self.wanted.of(objects);
            if objects == "companies" && names.is_empty() {
                continue;
            }
            let properties = match self.properties(objects, no_longer).await {
                Ok(properties) => properties,
                Err(Trouble::Forbidden(words)) => {
                    findings.push(hidden(objects, scope, &words));
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            for name in self.calculated(objects, names).await? {
                findings.push(calculated(&as_mapped(objects, &name)));
            }
            for name in names {
                let mapped = as_mapped(objects, name);
                match properties.get(name) {
                    Some(property) => findings.extend(peculiar(&mapped, property)),
                    None => findings.push(missing(&mapped, objects, name, self, &properties)),
                }
            }
            if let Some(name) = self.write_back.as_deref().filter(|_| objects == "contacts") {
                findings.extend(unwritable(name, properties.get(name)));
            }
        }
        Ok(findings)
    }
}

fn hidden(objects: &str, scope: &str, words: &str) -> Finding {
    let or = if objects == "companies" { ", or map no company.NAME and link no companies" } else { "" };
    Finding::fault(
        format!("HubSpot does not show {objects} to this token: {words}"),
        format!("add the scope {scope} to the service key, the private app or the app that the token is of{or}"),
    )
}

/// A mapped property that nobody defined, or that this token is not shown.
fn missing(mapped: &str, objects: &str, name: &str, hubspot: &HubSpot, properties: &Properties) -> Finding {
    let what =
        format!("the map reads {mapped}, a property that {objects} of this HubSpot portal do not have or do not show");
    if hubspot.wanted.is_optional(objects, name) {
        return Finding::note(
            format!("{what}: it is left out"),
            "nothing, as the rule is optional; correct the name if it should be read",
        );
    }
    // People know a property by its label, and a rule names it by its internal name.
    let labelled =
        |property: &Property| property.label.as_deref().is_some_and(|label| label.eq_ignore_ascii_case(name));
    let by_label = properties.iter().filter(|(_, property)| labelled(property)).map(|(name, _)| name.as_str()).min();
    let meant = by_label.or_else(|| nearest(name, properties.keys().map(String::as_str)));
    let hint = meant.map(|meant| format!("did you mean {}? If not, ", as_mapped(objects, meant))).unwrap_or_default();
    Finding::fault(
        what,
        format!(
            "{hint}correct the map or the filter (a rule takes the internal name that the property's settings show), bring the property \
             back, or mark the rule `optional = true`; sensitive data is shown with scopes of its own alone"
        ),
    )
}

fn calculated(mapped: &str) -> Finding {
    Finding::note(
        format!("{mapped} is calculated: its changes move no stamp"),
        "count on the daily sweep, which compares it, or map a property that is stored",
    )
}

/// What somebody who maps this property may not expect of its values.
fn peculiar(mapped: &str, property: &Property) -> Option<Finding> {
    if property.is_html() {
        Some(Finding::note(
            format!("{mapped} is rich text: it comes with its HTML tags"),
            "map a property of plain text, if the tags should not be seen in Propstreet",
        ))
    } else if property.sensitive {
        Some(Finding::note(
            format!("{mapped} holds what the portal calls sensitive data"),
            "make sure that it may leave HubSpot, or map another property",
        ))
    } else {
        None
    }
}

/// Why the property that shall hold Propstreet's id cannot, or what is odd about it.
fn unwritable(name: &str, property: Option<&Property>) -> Option<Finding> {
    let Some(property) = property else {
        return Some(Finding::fault(
            format!("write_back names {name}, a property that contacts of this HubSpot portal do not have"),
            make(name),
        ));
    };
    if property.is_hubspots() {
        Some(Finding::fault(
            format!("write_back names {name}, which is a property of HubSpot's own"),
            format!(
                "name one of your own, such as propstreet_contact_id, and make it: {}",
                make("propstreet_contact_id")
            ),
        ))
    } else if property.is_read_only() {
        Some(Finding::fault(
            format!("write_back names {name}, a property that cannot be written: it is calculated or read-only"),
            "name a property of the field type \"Single-line text\" that people may edit",
        ))
    } else if !property.is_text() {
        Some(Finding::fault(
            format!("write_back names {name}, a property that does not take any text"),
            "name a property of the field type \"Single-line text\"",
        ))
    } else if property.is_unique() {
        Some(Finding::note(
            format!("{name} is unique: of two people with one contact in Propstreet, only one can hold its id"),
            "make a property that does not require unique values, and name that",
        ))
    } else {
        None
    }
}

/// How the property is made, by hand or by one call.
fn make(name: &str) -> String {
    format!(
        "in HubSpot, Settings → Properties → Contact properties → Create property: group \"Contact information\", label \
         \"Propstreet contact id\", internal name {name}, field type \"Single-line text\"; or POST \
         /crm/properties/{VERSION}/contacts with a token that has the scope crm.schemas.contacts.write and the body \
         {{\"groupName\":\"contactinformation\",\"name\":\"{name}\",\"label\":\"Propstreet contact id\",\
         \"type\":\"string\",\"fieldType\":\"text\"}}. propsync's own token needs crm.objects.contacts.write to fill it"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::crm;
    use crate::crm::hubspot::{HubSpot, rig};
    use crate::crm::script::{Script, answer, assert_one, told};
    use crate::domain::finding::Weight;
    use crate::http::transport::Response;
    use crate::sync::source::ContactSource as _;

    fn open(
        fields: &[&str],
        optional: &[&str],
        write_back: Option<&str>,
        answers: impl IntoIterator<Item = Response>,
    ) -> (Arc<Script>, HubSpot) {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        rig::scripted(crm::Wanted { fields: set(fields), optional: set(optional) }, write_back, answers)
    }

    fn text(name: &str, label: &str) -> Value {
        json!({"name": name, "label": label, "type": "string", "fieldType": "text", "calculated": false,
            "hubspotDefined": true, "archived": false, "modificationMetadata": {"readOnlyValue": false}})
    }

    fn defined(properties: &[Value]) -> Response {
        answer(200, json!({"results": properties}))
    }

    fn none() -> Response {
        defined(&[])
    }

    async fn found(hubspot: &HubSpot) -> Vec<(Weight, String)> {
        let findings = hubspot.inspect().await.unwrap();
        told(findings)
    }

    #[tokio::test(start_paused = true)]
    async fn a_property_that_is_not_there_is_a_fault_with_the_nearest_name() {
        let mut gone = text("strategy", "Strategy");
        gone["archived"] = json!(true);
        let portal = || defined(&[text("jobtitle", "Job Title"), text("email", "Work E-Mail"), gone.clone()]);
        for (mapped, words) in [
            ("jobtitel", ["the map reads jobtitel", "did you mean jobtitle?"]),
            ("work e-mail", ["the map reads work e-mail", "did you mean email?"]),
            ("strategy", ["the map reads strategy", "mark the rule `optional = true`"]),
        ] {
            let (script, hubspot) = open(&["email", mapped], &[], None, [portal(), none()]);
            assert_one(&found(&hubspot).await, Weight::Fault, &words);
            let asked = script.asked();
            assert_eq!(asked[0].url.path(), "/crm/properties/2026-03/contacts");
            assert_eq!(asked[1].query("dataSensitivity").as_deref(), Some("sensitive"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_optional_property_may_be_missing_and_stays_absent() {
        let contact = json!({"results": [{"id": "1", "properties": {"email": "a@b.se"}}]});
        let answers = [defined(&[text("email", "Email")]), none(), answer(200, contact)];
        let (script, hubspot) = open(&["email", "strategy"], &["strategy"], None, answers);
        assert_one(&found(&hubspot).await, Weight::Note, &["strategy", "left out"]);
        let records = hubspot.fetch(vec!["1".to_owned()]).await.unwrap();
        assert_eq!(records[0].fields.keys().collect::<Vec<_>>(), ["email"]);
        assert_eq!(script.asked().len(), 3, "its absence asks nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn companies_are_asked_for_only_if_mapped_and_named_as_mapped() {
        let contacts = || defined(&[text("email", "Email")]);
        let (script, hubspot) = open(&["email"], &[], None, [contacts()]);
        assert!(found(&hubspot).await.is_empty());
        script.asked();
        let companies = defined(&[text("domain", "Company Domain Name")]);
        let (script, hubspot) = open(&["email", "company.domian"], &[], None, [contacts(), companies, none()]);
        assert_one(&found(&hubspot).await, Weight::Fault, &["company.domian", "companies", "company.domain?"]);
        assert_eq!(script.asked()[1].url.path(), "/crm/properties/2026-03/companies");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_costs_nothing_for_an_hour_and_a_fault_is_looked_at_again() {
        let portal = || defined(&[text("email", "Email")]);
        let (script, hubspot) = open(&["email"], &[], None, [portal(), portal()]);
        for wait in [0, 300, 3_000, 400] {
            hubspot.clock.sleep(Duration::from_secs(wait)).await;
            assert!(found(&hubspot).await.is_empty());
        }
        assert_eq!(script.asked().len(), 2);

        let mended = defined(&[text("email", "Email"), text("strategy", "Strategy")]);
        let (_, hubspot) = open(&["email", "strategy"], &[], None, [portal(), none(), mended]);
        assert_eq!(found(&hubspot).await.len(), 1);
        assert_eq!(found(&hubspot).await.len(), 1, "but not at once");
        hubspot.clock.sleep(Duration::from_secs(60)).await;
        assert!(found(&hubspot).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_scope_is_named_with_where_it_goes() {
        let refused = || {
            let context = json!({"requiredGranularScopes": ["crm.objects.companies.read"]});
            answer(403, json!({"category": "MISSING_SCOPES", "errors": [{"message": "x", "context": context}]}))
        };
        let contacts = defined(&[text("email", "Email")]);
        let (_, hubspot) = open(&["email", "company.name"], &[], None, [contacts, refused(), refused()]);
        let words = ["companies", "add the scope crm.objects.companies.read", "service key", "map no company.NAME"];
        assert_one(&found(&hubspot).await, Weight::Fault, &words);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_calculated_rich_or_sensitive_is_noted() {
        let with = |change: Value| {
            let mut property = text("score", "Score");
            property.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            property
        };
        for (change, words) in [
            (json!({"calculated": true}), "its changes move no stamp"),
            (json!({"fieldType": "calculation_equation"}), "daily sweep"),
            (json!({"fieldType": "html"}), "HTML tags"),
        ] {
            let (_, hubspot) = open(&["score"], &[], None, [defined(&[with(change.clone())])]);
            assert_one(&found(&hubspot).await, Weight::Note, &["score", words]);
            let names = ["score".to_owned(), "email".to_owned()];
            let calculated = hubspot.calculated("contacts", &names).await.unwrap();
            assert_eq!(calculated.len(), usize::from(words != "HTML tags"), "{change}");
        }
        let (_, hubspot) = open(&["score"], &[], None, [none(), defined(&[with(json!({}))])]);
        assert_one(&found(&hubspot).await, Weight::Note, &["score", "sensitive data"]);
        let (_, hubspot) = open(&["score"], &[], None, [defined(&[json!({"name": "score", "options": null})])]);
        assert!(found(&hubspot).await.is_empty(), "nearly every member may be missing");
    }

    #[tokio::test(start_paused = true)]
    async fn the_property_to_write_must_be_our_own_text_and_open() {
        let with = |change: Value| {
            let mut property = text("propstreet_id", "Propstreet id");
            property["hubspotDefined"] = json!(false);
            property.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            vec![property]
        };
        let body = r#"{"groupName":"contactinformation","name":"propstreet_id","label":"Propstreet contact id","type":"string","fieldType":"text"}"#;
        let read_only = json!({"modificationMetadata": {"readOnlyValue": true}});
        for (properties, weight, words) in [
            (vec![], Weight::Fault, vec!["do not have", "Create property", body, "crm.schemas.contacts.write"]),
            (with(json!({"archived": true})), Weight::Fault, vec!["do not have"]),
            (with(json!({"hubspotDefined": true})), Weight::Fault, vec!["HubSpot's own", "propstreet_contact_id"]),
            (with(read_only), Weight::Fault, vec!["cannot be written"]),
            (with(json!({"calculated": true})), Weight::Fault, vec!["cannot be written"]),
            (with(json!({"type": "number", "fieldType": "number"})), Weight::Fault, vec!["any text"]),
            (with(json!({"fieldType": "html"})), Weight::Fault, vec!["any text"]),
            (with(json!({"type": "enumeration", "fieldType": "checkbox"})), Weight::Fault, vec!["any text"]),
            (with(json!({"hasUniqueValue": true})), Weight::Note, vec!["is unique"]),
        ] {
            let (script, hubspot) = open(&[], &[], Some("propstreet_id"), [defined(&properties)]);
            assert_one(&found(&hubspot).await, weight, &words);
            script.asked();
        }
        let (_, hubspot) = open(&[], &[], Some("propstreet_id"), [defined(&with(json!({})))]);
        assert!(found(&hubspot).await.is_empty());
    }
}
