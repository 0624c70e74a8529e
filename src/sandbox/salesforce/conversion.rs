//! A lead's conversion: the lead stays and names the contact it became, who may have been there before.

use chrono::{DateTime, Utc};

use crate::sandbox::people::Person;
use crate::sandbox::salesforce::columns::Record;
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::lead::CLOSED;
use crate::sandbox::salesforce::model::Salesforce;
use crate::sandbox::salesforce::records::{Contact, Conversion, Details, Lead, Profile};
use crate::sandbox::salesforce::state::State;

impl Salesforce {
    /// Converts a lead into a new contact, or `into` an existing one, of which only blanks are filled. Answers the
    /// contact's id; `None` when there is no such lead or contact, or the lead is converted already.
    pub fn convert(&self, lead: &str, into: Option<&str>) -> Option<String> {
        let now = self.now();
        let mut state = self.state();
        let key = ids::key(Lead::PREFIX, lead)?;
        let row = state.tables.leads.row(key).filter(|row| row.deleted.is_none() && row.value.converted.is_none())?;
        let person = row.value.profile.person.clone();
        let contact = match into {
            None => state.newcomer(&person, now),
            Some(id) => state.filled(id, &person, now)?,
        };
        let account = state.tables.contacts.row(contact)?.value.account;
        state.tables.leads.change(key, |row| {
            row.stamp = Some(now);
            row.value.profile.modified = now;
            CLOSED.clone_into(&mut row.value.status);
            row.value.converted = Some(Conversion { contact, account, on: now.date_naive() });
        });
        Some(ids::id(Contact::PREFIX, contact))
    }
}

impl State {
    fn newcomer(&mut self, person: &Person, now: DateTime<Utc>) -> u64 {
        let account = person.company.as_ref().map(|company| self.account_for(company, now));
        let contact = Contact { profile: Profile::new(person, now), account, details: Details::default() };
        self.tables.contacts.insert(contact, now, Some(now), None)
    }

    fn filled(&mut self, id: &str, from: &Person, now: DateTime<Utc>) -> Option<u64> {
        let key = ids::key(Contact::PREFIX, id)?;
        self.tables.contacts.row(key).filter(|row| row.deleted.is_none())?;
        let account = from.company.as_ref().map(|company| self.account_for(company, now));
        let moves = self.levers.conversion_moves_contact;
        self.tables.contacts.change(key, |row| {
            let person = &mut row.value.profile.person;
            for (mine, theirs) in [(&mut person.first, &from.first), (&mut person.last, &from.last)] {
                if mine.is_empty() {
                    mine.clone_from(theirs);
                }
            }
            let texts = [
                (&mut person.email, &from.email),
                (&mut person.title, &from.title),
                (&mut person.language, &from.language),
                (&mut person.linkedin, &from.linkedin),
                (&mut person.strategy, &from.strategy),
            ];
            for (mine, theirs) in texts {
                *mine = mine.take().or_else(|| theirs.clone());
            }
            person.phone = person.phone.take().or_else(|| from.phone.clone());
            person.mobile = person.mobile.take().or_else(|| from.mobile.clone());
            if row.value.account.is_none() {
                person.company.clone_from(&from.company);
                row.value.account = account;
            }
            if moves {
                row.stamp = Some(now);
                row.value.profile.modified = now;
            }
        });
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::salesforce::bench::{Org, at, employed, pass, person};

    const LEAD: &str = "SELECT Id, IsConverted, ConvertedContactId, ConvertedAccountId, ConvertedDate, Status, \
                        SystemModstamp, Company, Website, Country, Owner.Name FROM Lead";

    #[tokio::test(start_paused = true)]
    async fn a_lead_becomes_a_new_contact_and_stays() {
        let org = Org::new().await;
        let someone = employed();
        let lead = org.salesforce.add_lead_at(&someone, at(-600));
        assert!(lead.starts_with("00Q"));
        let row = org.first(LEAD).await;
        let company = someone.company.clone().unwrap();
        assert_eq!((&row["Company"], &row["Country"]), (&json!(company.name), &json!(company.country)));
        assert_eq!(row["Website"], json!(format!("https://www.{}", company.domain)));
        assert_eq!((&row["IsConverted"], &row["ConvertedDate"]), (&json!(false), &json!(null)));
        let contact = org.salesforce.convert(&lead, None).unwrap();
        assert_eq!(org.salesforce.person(&contact), Some(someone));
        let row = org.first(LEAD).await;
        assert_eq!((&row["Id"], &row["ConvertedContactId"]), (&json!(lead), &json!(contact)));
        assert_eq!((&row["IsConverted"], &row["ConvertedDate"]), (&json!(true), &json!("2026-11-02")));
        assert_eq!(row["SystemModstamp"], "2026-11-02T09:00:00.000+0000");
        let account = org.first("SELECT AccountId FROM Contact").await["AccountId"].clone();
        assert_eq!((&row["ConvertedAccountId"], account.is_string()), (&account, true));
        assert_eq!(org.salesforce.convert(&lead, None), None, "once only");
        assert_eq!(
            org.ids("SELECT Id FROM Lead WHERE IsConverted = true AND ConvertedDate >= 2026-11-02").await,
            [lead]
        );
        assert_eq!(org.query("SELECT AccountId FROM Lead").await.1[0]["errorCode"], "INVALID_FIELD");
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_blanks_of_an_existing_contact_are_filled_and_its_stamp_moves_or_not() {
        let sparse = Person { email: None, title: Some("Kept".to_owned()), company: None, ..employed() };
        let full = Person { email: Some("filled@x.example".to_owned()), title: Some("Lost".to_owned()), ..employed() };
        for (moves, stamp) in [(true, "2026-11-02T09:00:10.000+0000"), (false, "2026-11-02T08:50:00.000+0000")] {
            let org = Org::new().await;
            org.salesforce.conversion_moves_contact(moves);
            let contact = org.salesforce.add_at(&sparse, at(-600));
            let lead = org.salesforce.add_lead_at(&full, at(-600));
            pass(10).await;
            assert_eq!(org.salesforce.convert(&lead, Some(&contact)).as_deref(), Some(contact.as_str()));
            let row = org.first("SELECT Email, Title, Account.Name, SystemModstamp FROM Contact").await;
            assert_eq!((&row["Email"], &row["Title"]), (&json!("filled@x.example"), &json!("Kept")));
            assert_eq!(row["Account"]["Name"], json!(full.company.as_ref().unwrap().name));
            assert_eq!(row["SystemModstamp"], stamp);
            assert_eq!(org.salesforce.convert(&org.salesforce.add_lead(&person()), Some("003000000000000")), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_converted_lead_takes_no_update() {
        let org = Org::new().await;
        let [open, closed] = [0, 1].map(|_| org.salesforce.add_lead(&person()));
        org.salesforce.convert(&closed, None);
        let body = json!({"Propstreet_Contact_Id__c": "42"});
        let path = |id: &str| format!("/services/data/v66.0/sobjects/Lead/{id}");
        let (status, answer) = org.patch(&path(&closed), &body).await;
        assert_eq!((status, &answer[0]["errorCode"]), (400, &json!("CANNOT_UPDATE_CONVERTED_LEAD")));
        assert_eq!(org.patch(&path(&open), &body).await.0, 204);
        assert_eq!(org.salesforce.written_back(&open).as_deref(), Some("42"));
        assert_eq!(org.salesforce.written_back(&closed), None);
    }

    #[tokio::test(start_paused = true)]
    async fn leads_are_listed_binned_restored_and_purged_like_contacts() {
        let org = Org::new().await;
        let [one, two] = [0, 1].map(|row| org.salesforce.add_lead_at(&person(), at(row - 600)));
        assert_eq!(org.salesforce.lead_ids(), [one.clone(), two.clone()]);
        let feed = |kind: &str| {
            format!("/services/data/v66.0/sobjects/Lead/{kind}/?start=2026-11-02T08:00:00Z&end=2026-11-02T09:05:00Z")
        };
        assert_eq!(org.get(&feed("updated")).await.1["ids"], json!([one, two]));
        assert!(org.salesforce.delete(&two) && !org.salesforce.edit("00Q000000000000", |_| ()));
        assert_eq!(org.get(&feed("deleted")).await.1["deletedRecords"][0]["id"], json!(two));
        assert_eq!(org.ids("SELECT Id FROM Lead").await, [one]);
        let binned = "SELECT Id FROM Lead WHERE IsDeleted = true";
        assert_eq!(org.query_all(binned).await.1["records"][0]["Id"], json!(two));
        assert!(org.salesforce.undelete(&two));
        assert!(org.salesforce.edit(&two, |person| person.last = "Renamed".to_owned()));
        assert_eq!(org.ids("SELECT Id FROM Lead WHERE LastName = 'Renamed'").await.first(), Some(&two));
        assert!(org.salesforce.purge(&two) && !org.salesforce.purge(&two));
        let path = format!("/services/data/v66.0/sobjects/Lead/{two}");
        assert_eq!(org.get(&path).await.0, 404);
        let late = org.salesforce.add_lead_visible_at(&person(), at(-300), at(60));
        assert_eq!(org.get(&feed("updated")).await.1["latestDateCovered"], "2026-11-02T08:55:00.000+0000");
        pass(60).await;
        assert_eq!(org.ids("SELECT Id FROM Lead WHERE SystemModstamp = 2026-11-02T08:55:00Z").await, [late]);
        org.salesforce.hide_object("Lead");
        assert_eq!(org.query("SELECT Id FROM Lead").await.1[0]["errorCode"], "INVALID_TYPE");
        assert_eq!(org.get("/services/data/v66.0/sobjects/Lead/describe").await.0, 404);
    }
}
