//! What people do to accounts that are companies, who works where, and how all of it stands.
//! It must not know HTTP.

use crate::sandbox::people::Company;
use crate::sandbox::roll::{Entry, Firm};
use crate::sandbox::salesforce::columns::Record;
use crate::sandbox::salesforce::ids;
use crate::sandbox::salesforce::model::Salesforce;
use crate::sandbox::salesforce::records::{Account, Contact, Tables};
use crate::sandbox::table::Row;

impl Salesforce {
    /// Adds an account that nobody belongs to; answers its 18-character id.
    pub fn add_account(&self, company: &Company) -> String {
        let now = self.now();
        ids::id(Account::PREFIX, self.state().found(company, now))
    }

    /// The company behind an account's id of 15 or 18 characters.
    pub fn account(&self, id: &str) -> Option<Company> {
        let key = ids::key(Account::PREFIX, id)?;
        self.state().tables.accounts.row(key).map(|row| row.value.company.clone())
    }

    /// The id of a contact's account.
    pub fn account_of(&self, contact: &str) -> Option<String> {
        let key = ids::key(Contact::PREFIX, contact)?;
        let account = self.state().tables.contacts.row(key)?.value.account?;
        Some(ids::id(Account::PREFIX, account))
    }

    /// Edits an account; the stamps of its contacts stay.
    pub fn edit_account(&self, id: &str, edit: impl FnOnce(&mut Company)) -> bool {
        let now = self.now();
        let Some(key) = ids::key(Account::PREFIX, id) else { return false };
        self.state().tables.accounts.change(key, |row| {
            edit(&mut row.value.company);
            row.stamp = Some(now);
        })
    }

    /// Renames the Account of a contact; the contact's own stamp stays.
    pub fn rename_account(&self, contact: &str, name: &str) -> bool {
        let account = self.account_of(contact);
        account.is_some_and(|id| self.edit_account(&id, |company| name.clone_into(&mut company.name)))
    }

    /// Puts a contact under another account, or under none.
    pub fn set_account(&self, contact: &str, account: Option<&str>) -> bool {
        let now = self.now();
        let mut state = self.state();
        let Some(key) = ids::key(Contact::PREFIX, contact) else { return false };
        let account = account.map(|id| {
            let key = ids::key(Account::PREFIX, id)?;
            state.tables.accounts.row(key).map(|row| (key, row.value.company.clone()))
        });
        let Ok(account) = account.map(|found| found.ok_or(())).transpose() else { return false };
        state.tables.contacts.change(key, |row| {
            (row.stamp, row.value.profile.modified) = (Some(now), now);
            row.value.account = account.as_ref().map(|(key, _)| *key);
            row.value.profile.person.company = account.map(|(_, company)| company);
        })
    }

    /// Ticks a contact's or a lead's `HasOptedOutOfEmail`, or takes the tick away.
    pub fn opt_out(&self, id: &str, out: bool) -> bool {
        let now = self.now();
        self.state().touch(id, now, |(profile, _)| (profile.opted_out, profile.modified) = (out, now))
    }

    /// Every contact, oldest first.
    pub fn roll(&self) -> Vec<Entry> {
        let tables = &self.state().tables;
        let rows = tables.contacts.keys().into_iter().filter_map(|key| tables.contacts.row(key));
        rows.map(|row| entry(row, tables)).collect()
    }

    /// Every account that is a company, oldest first.
    pub fn firms(&self) -> Vec<Firm> {
        let tables = &self.state().tables;
        let rows = tables.accounts.keys().into_iter().filter_map(|key| tables.accounts.row(key));
        let firm = |row: &Row<Account>| Firm {
            id: ids::id(Account::PREFIX, row.key),
            company: row.value.company.clone(),
            alive: row.deleted.is_none(),
        };
        rows.filter(|row| row.value.person.is_none()).map(|row| firm(row)).collect()
    }
}

fn entry(row: &Row<Contact>, tables: &Tables) -> Entry {
    let account = row.value.account.and_then(|key| tables.accounts.row(key)).filter(|row| row.deleted.is_none());
    let profile = &row.value.profile;
    let mut person = profile.person.clone();
    person.company = account.map(|account| account.value.company.clone());
    Entry {
        id: ids::id(Contact::PREFIX, row.key),
        person,
        employer: account.map(|account| ids::id(Account::PREFIX, account.key)),
        alive: row.deleted.is_none(),
        merged_into: profile.master.map(|master| ids::id(Contact::PREFIX, master)),
        opted_out: profile.opted_out,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::people::Person;
    use crate::sandbox::salesforce::bench::{Org, at, employed};

    const CONTACT: &str = "SELECT AccountId, Account.Name, Account.Website, HasOptedOutOfEmail, SystemModstamp FROM \
                           Contact";

    #[tokio::test(start_paused = true)]
    async fn who_stays_under_a_renamed_account_stays_when_edited_and_who_leaves_gets_a_stamp() {
        let org = Org::new().await;
        let id = org.salesforce.add_at(&employed(), at(-600));
        let account = org.salesforce.account_of(&id).unwrap();
        assert!(org.salesforce.rename_account(&id, "Another AB"));
        assert_eq!(org.first(CONTACT).await["SystemModstamp"], "2026-11-02T08:50:00.000+0000");
        assert!(org.salesforce.edit(&id, |person: &mut Person| person.title = None));
        assert_eq!(org.first(CONTACT).await["AccountId"], json!(account));
        let other = org.salesforce.add_account(&crate::sandbox::people::Company {
            name: "Syd".to_owned(),
            domain: "syd.example".to_owned(),
            ..employed().company.unwrap()
        });
        assert!(org.salesforce.set_account(&id, Some(&other)) && org.salesforce.opt_out(&id, true));
        let row = org.first(CONTACT).await;
        assert_eq!((&row["Account"]["Name"], &row["HasOptedOutOfEmail"]), (&json!("Syd"), &json!(true)));
        assert_eq!(row["SystemModstamp"], "2026-11-02T09:00:00.000+0000");
        assert!(org.salesforce.set_account(&id, None) && !org.salesforce.set_account(&id, Some("001x")));
        assert_eq!(org.first(CONTACT).await["AccountId"], json!(null));
        assert_eq!(org.salesforce.firms().len(), 2);
    }
}
