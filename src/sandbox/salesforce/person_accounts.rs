//! Person accounts: one human in two rows, an account and the contact behind it.

use crate::sandbox::people::{Company, Person};
use crate::sandbox::salesforce::columns::Record;
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::model::Salesforce;
use crate::sandbox::salesforce::records::{Account, Contact, Details, Profile};

/// The two ids of a person account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonAccount {
    /// `001…`
    pub account: String,
    /// `003…`
    pub contact: String,
}

impl Salesforce {
    /// Adds a person account now. The org must have them: see [`Salesforce::enable_person_accounts`].
    pub fn add_person_account(&self, person: &Person) -> PersonAccount {
        let now = self.now();
        let tables = &mut self.state().tables;
        let nameless =
            Company { name: String::new(), country: String::new(), country_code: String::new(), domain: String::new() };
        let account = tables.accounts.insert(Account { company: nameless, person: None }, now, Some(now), None);
        let profile = Profile::new(&Person { company: None, ..person.clone() }, now);
        let contact = Contact { profile, account: Some(account), details: Details::default() };
        let contact = tables.contacts.insert(contact, now, Some(now), None);
        tables.accounts.change(account, |row| row.value.person = Some(contact));
        PersonAccount { account: ids::id(Account::PREFIX, account), contact: ids::id(Contact::PREFIX, contact) }
    }

    /// Edits a person account; the account's stamp moves, and the contact's if the lever says so. `false` when there is
    /// none.
    pub fn edit_person_account(&self, account: &str, edit: impl FnOnce(&mut Person)) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(key) = ids::key(Account::PREFIX, account) else { return false };
        let Some(contact) = state.tables.accounts.row(key).and_then(|row| row.value.person) else { return false };
        let moves = state.levers.person_edit_moves_contact;
        state.tables.accounts.change(key, |row| row.stamp = Some(now));
        state.tables.contacts.change(contact, |row| {
            edit(&mut row.value.profile.person);
            if moves {
                row.stamp = Some(now);
                row.value.profile.modified = now;
            }
        })
    }

    /// Puts a person account into the bin, both rows of it. `false` when there is none.
    pub fn delete_person_account(&self, account: &str) -> bool {
        let now = self.now();
        let tables = &mut self.state().tables;
        let Some(key) = ids::key(Account::PREFIX, account) else { return false };
        let Some(contact) = tables.accounts.row(key).and_then(|row| row.value.person) else { return false };
        let account = tables.accounts.change(key, |row| (row.stamp, row.deleted) = (Some(now), Some(now)));
        account && tables.contacts.change(contact, |row| (row.stamp, row.deleted) = (Some(now), Some(now)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::sandbox::salesforce::bench::{Org, employed, pass, person};

    async fn describes(org: &Org, object: &str) -> Vec<String> {
        let body = org.get(&format!("/services/data/v66.0/sobjects/{object}/describe")).await.1;
        let fields = body["fields"].as_array().unwrap().iter();
        fields.map(|field| field["name"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_feature_its_fields_do_not_exist() {
        let org = Org::new().await;
        let fields = [
            ("Contact", "IsPersonAccount"),
            ("Contact", "Account.PersonEmail"),
            ("Account", "IsPersonAccount"),
            ("Account", "PersonContactId"),
            ("Account", "PersonEmail"),
            ("Account", "Propstreet_Contact_Id__pc"),
        ];
        for (object, field) in fields {
            let soql = format!("SELECT Id, {field} FROM {object}");
            assert_eq!(org.query(&soql).await.1[0]["errorCode"], "INVALID_FIELD", "{soql}");
            assert!(!describes(&org, object).await.contains(&field.to_owned()));
        }
        org.salesforce.enable_person_accounts();
        for (object, field) in fields {
            assert_eq!(org.query(&format!("SELECT Id, {field} FROM {object}")).await.0, 200, "{object} {field}");
            assert!(field.contains('.') || describes(&org, object).await.contains(&field.to_owned()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_human_stands_in_two_rows() {
        let org = Org::new().await;
        org.salesforce.enable_person_accounts();
        let someone = person();
        let ids = org.salesforce.add_person_account(&someone);
        let business = org.salesforce.add(&employed());
        let row =
            org.first("SELECT Id, AccountId, Email, Account.Name FROM Contact WHERE IsPersonAccount = true").await;
        assert_eq!((&row["Id"], &row["AccountId"]), (&json!(ids.contact), &json!(ids.account)));
        assert_eq!(row["Account"]["Name"], json!(format!("{} {}", someone.first, someone.last)));
        let fields = "Id, Name, PersonContactId, PersonEmail, LastName, LinkedIn__pc";
        let row = org.first(&format!("SELECT {fields} FROM Account WHERE IsPersonAccount = true")).await;
        assert_eq!((&row["Id"], &row["PersonContactId"]), (&json!(ids.account), &json!(ids.contact)));
        assert_eq!((&row["PersonEmail"], &row["LastName"]), (&json!(someone.email), &json!(someone.last)));
        assert_eq!(row["LinkedIn__pc"], json!(someone.linkedin));
        assert_eq!(org.ids("SELECT Id FROM Contact WHERE IsPersonAccount = false").await, [business]);
        let company = org.first(&format!("SELECT {fields} FROM Account WHERE IsPersonAccount = false")).await;
        assert_eq!((&company["PersonContactId"], &company["PersonEmail"]), (&Json::Null, &Json::Null));
        assert!(org.salesforce.delete_person_account(&ids.account));
        assert!(org.ids("SELECT Id FROM Account WHERE IsPersonAccount = true").await.is_empty());
        assert!(org.ids("SELECT Id FROM Contact WHERE IsPersonAccount = true").await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_edit_moves_the_account_and_the_contact_only_if_the_lever_says_so() {
        for (moves, stamp) in [(false, "2026-11-02T09:00:00.000+0000"), (true, "2026-11-02T09:01:00.000+0000")] {
            let org = Org::new().await;
            org.salesforce.enable_person_accounts();
            org.salesforce.person_edit_moves_contact(moves);
            let ids = org.salesforce.add_person_account(&person());
            pass(60).await;
            assert!(org.salesforce.edit_person_account(&ids.account, |person| person.last = "Renamed".to_owned()));
            let row = org.first("SELECT LastName, SystemModstamp, Account.SystemModstamp FROM Contact").await;
            assert_eq!((&row["LastName"], &row["SystemModstamp"]), (&json!("Renamed"), &json!(stamp)));
            assert_eq!(row["Account"]["SystemModstamp"], "2026-11-02T09:01:00.000+0000");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_written_through_the_account_alone() {
        let org = Org::new().await;
        org.salesforce.enable_person_accounts();
        let ids = org.salesforce.add_person_account(&person());
        let path = |object: &str, id: &str| format!("/services/data/v66.0/sobjects/{object}/{id}");
        let contact = path("Contact", &ids.contact);
        let (status, body) = org.patch(&contact, &json!({"Propstreet_Contact_Id__c": "42"})).await;
        assert_eq!((status, &body[0]["errorCode"]), (400, &json!("INVALID_FIELD_FOR_INSERT_UPDATE")));
        pass(60).await;
        let account = path("Account", &ids.account);
        assert_eq!(org.patch(&account, &json!({"Propstreet_Contact_Id__pc": "42"})).await.0, 204);
        assert_eq!(org.salesforce.written_back(&ids.contact).as_deref(), Some("42"));
        let row = org.first("SELECT Propstreet_Contact_Id__pc, SystemModstamp FROM Account").await;
        assert_eq!(row["Propstreet_Contact_Id__pc"], "42");
        assert_eq!(row["SystemModstamp"], "2026-11-02T09:01:00.000+0000");
        for (fields, code) in [
            (json!({"Propstreet_Contact_Id__c": "42"}), "INVALID_FIELD"),
            (json!({"IsPersonAccount": false}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
            (json!({"Tier__pc": "Gold"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ] {
            assert_eq!(org.patch(&account, &fields).await.1[0]["errorCode"], code, "{fields}");
        }
        let business = org.salesforce.add(&employed());
        let company = org.first(&format!("SELECT AccountId FROM Contact WHERE Id = '{business}'")).await;
        let company = path("Account", company["AccountId"].as_str().unwrap());
        let (_, body) = org.patch(&company, &json!({"Propstreet_Contact_Id__pc": "42"})).await;
        assert_eq!(body[0]["errorCode"], "INVALID_FIELD_FOR_INSERT_UPDATE", "a company is nobody");
    }
}
