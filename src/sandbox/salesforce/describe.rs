//! What the org says about its objects: the list of them, and each one's fields as far as the user may see them.

use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use crate::sandbox::salesforce::columns::{Column, Kind, Record};
use crate::sandbox::salesforce::objects::{Object, with_type};
use crate::sandbox::salesforce::records::{Account, Contact, Lead};
use crate::sandbox::salesforce::state::State;

/// `GET sobjects`
pub fn all(state: &State, version: &str) -> Response {
    let seen = Object::ALL.into_iter().filter(|object| !state.hides(object.name()));
    let sobjects: Vec<Json> = seen.map(|object| summary(object, version)).collect();
    axum::Json(json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": sobjects})).into_response()
}

/// `GET sobjects/{Object}`
pub fn basic(object: Object, version: &str) -> Response {
    axum::Json(json!({"objectDescribe": summary(object, version), "recentItems": []})).into_response()
}

/// `GET sobjects/{Object}/describe`
pub fn full(state: &State, object: Object, version: &str) -> Response {
    let mut body = summary(object, version);
    body["fields"] = with_type!(object, T => fields::<T>(state));
    axum::Json(body).into_response()
}

fn summary(object: Object, version: &str) -> Json {
    let name = object.name();
    let url = format!("/services/data/{version}/sobjects/{name}");
    json!({
        "name": name, "label": name, "labelPlural": format!("{name}s"), "keyPrefix": object.prefix(), "custom": false,
        "createable": false, "deletable": false, "queryable": true, "replicateable": true, "retrieveable": true,
        "updateable": true, "mergeable": true, "undeletable": true,
        "urls": {"sobject": url, "describe": format!("{url}/describe"), "rowTemplate": format!("{url}/{{ID}}")},
    })
}

fn fields<T: Record>(state: &State) -> Json {
    let seen = T::columns().iter().filter(|column| !state.hides(&format!("{}.{}", T::TYPE, column.name)));
    seen.map(|column| field(state, column)).collect()
}

fn field<T: Record>(state: &State, column: &Column<T>) -> Json {
    let (kind, length) = spelled(column.kind);
    let (targets, relationship) = match column.kind {
        Kind::Reference(_, object, relationship) => (vec![object], Some(relationship)),
        _ => (Vec::new(), None),
    };
    let open = column.kind.is_filterable();
    let custom = column.is_custom();
    json!({
        "name": column.name, "label": column.name.trim_end_matches("__c").trim_end_matches("__pc").replace('_', " "),
        "type": kind, "length": length, "custom": custom, "calculated": column.calculated,
        "filterable": open, "sortable": open, "groupable": open && column.kind != Kind::Number,
        "nillable": !matches!(column.name.as_str(), "Id" | "IsDeleted" | "LastName" | "SystemModstamp"),
        "createable": false, "updateable": state.may_write(T::TYPE, column),
        "nameField": column.name == "Name", "idLookup": matches!(column.name.as_str(), "Id" | "Email"),
        "referenceTo": targets, "relationshipName": relationship, "compoundFieldName": column.compound,
        "extraTypeInfo": (column.kind == Kind::LongText).then_some("plaintextarea"), "picklistValues": [],
    })
}

fn spelled(kind: Kind) -> (&'static str, u32) {
    match kind {
        Kind::Id => ("id", 18),
        Kind::Reference(..) => ("reference", 18),
        Kind::Text => ("string", 255),
        Kind::LongText => ("textarea", 32_768),
        Kind::Email => ("email", 80),
        Kind::Phone => ("phone", 40),
        Kind::Url => ("url", 255),
        Kind::Picklist => ("picklist", 255),
        Kind::Bool => ("boolean", 0),
        Kind::Number => ("double", 0),
        Kind::Date => ("date", 0),
        Kind::Instant => ("datetime", 0),
        Kind::Address => ("address", 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::salesforce::bench::Org;

    #[tokio::test(start_paused = true)]
    async fn describe_says_what_a_mapping_needs_to_know() {
        let org = Org::new().await;
        let describe = async |object: &str, field: &str| {
            let body = org.get(&format!("/services/data/v66.0/sobjects/{object}/describe")).await.1;
            let fields = body["fields"].as_array().unwrap().clone();
            fields.into_iter().find(|known| known["name"] == field)
        };
        for (object, field, kind, updateable, filterable, calculated) in [
            ("Contact", "Id", "id", false, true, false),
            ("Contact", "Score__c", "double", true, true, false),
            ("Contact", "Tier__c", "string", false, true, true),
            ("Contact", "Notes__c", "textarea", true, false, false),
            ("Contact", "MailingAddress", "address", false, false, false),
            ("Contact", "SystemModstamp", "datetime", false, true, false),
            ("Lead", "ConvertedDate", "date", false, true, false),
            ("Lead", "Email", "email", true, true, false),
            ("Lead", "Propstreet_Contact_Id__c", "string", true, true, false),
        ] {
            let found = describe(object, field).await.unwrap();
            let flags = json!([found["type"], found["updateable"], found["filterable"], found["calculated"]]);
            assert_eq!(flags, json!([kind, updateable, filterable, calculated]), "{field}");
            assert_eq!(found["custom"], field.ends_with("__c"));
        }
        assert_eq!(describe("Contact", "MailingCity").await.unwrap()["compoundFieldName"], "MailingAddress");
        assert_eq!(describe("Contact", "Email").await.unwrap()["length"], 80);
        let account = describe("Contact", "AccountId").await.unwrap();
        assert_eq!(json!([account["referenceTo"], account["relationshipName"]]), json!([["Account"], "Account"]));
        assert!(
            describe("Contact", "IsPersonAccount").await.is_none() && describe("Lead", "AccountId").await.is_none()
        );
        org.salesforce.lock_field("Propstreet_Contact_Id__c");
        assert_eq!(describe("Contact", "Propstreet_Contact_Id__c").await.unwrap()["updateable"], false);
        org.salesforce.hide_field("Lead.Email");
        assert!(describe("Lead", "Email").await.is_none() && describe("Contact", "Email").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_list_of_objects_leaves_out_what_the_user_may_not_see() {
        let org = Org::new().await;
        let names = async || {
            let body = org.get("/services/data/v66.0/sobjects/").await.1;
            body["sobjects"].as_array().unwrap().iter().map(|object| object["name"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(names().await, ["Contact", "Lead", "Account"]);
        let basic = org.get("/services/data/v66.0/sobjects/Lead").await.1;
        assert_eq!(basic["objectDescribe"]["keyPrefix"], "00Q");
        org.salesforce.hide_object("Lead");
        assert_eq!(names().await, ["Contact", "Account"]);
        assert_eq!(org.get("/services/data/v66.0/sobjects/Lead").await.0, 404);
    }
}
