//! The objects that hold people, as data: what each is called, how its ids begin, and which of its fields answer for
//! those the map reads. It asks nobody.
//!
//! A record's fields keep the map's own spelling. A Lead has no account yet and spells it out in fields of its own
//! (`Company`); what it has no field for is absent from its records, never null.

use serde_json::Value;

use crate::crm::Wanted;
use crate::crm::salesforce::describe::{Kind, Shape, Shapes};
use crate::crm::salesforce::query::{Query, URI_BUDGET, encoded};
use crate::domain::failure::Trouble;

/// What a Lead calls a field of a Contact's account.
const OF_A_LEAD: [(&str, &str); 7] = [
    ("Account.Name", "Company"),
    ("Account.Website", "Website"),
    ("Account.BillingCountry", "Country"),
    ("Account.BillingCity", "City"),
    ("Account.BillingState", "State"),
    ("Account.BillingStreet", "Street"),
    ("Account.BillingPostalCode", "PostalCode"),
];

/// What marks a Contact as the person of a person account, in orgs that have those.
const PERSON_ACCOUNT: &str = "IsPersonAccount";

/// How the ids of leads begin.
pub(super) const LEAD: &str = "00Q";

/// Room for the conditions of a query, beside its fields.
const CONDITIONS: usize = 1_000;

/// A field the map reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// As the map spells it.
    pub asked: String,
    /// What this object calls it.
    pub path: String,
    /// What its values are.
    pub kind: Kind,
    /// What it holds in every row, where that is known without asking.
    pub given: Option<Value>,
}

/// One object that holds people.
#[derive(Debug, Clone)]
pub(super) struct Object {
    /// Its API name.
    pub name: &'static str,
    /// How its ids begin.
    pub prefix: &'static str,
    /// The fields that are read of it.
    pub columns: Vec<Column>,
    /// The adapter's own fields, with those that mark a row which is a person no longer.
    own: &'static str,
    /// Of which rows it is asked at all, in listings.
    listed: Option<&'static str>,
    /// What keeps away rows that live and are no person any more.
    person: Option<&'static str>,
}

/// What is read of an org.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    /// Contact, the people behind person accounts among them.
    pub contact: Object,
    /// Lead. Also where leads are not listed, one that is known from before is read by its id.
    pub lead: Object,
    /// Whether leads are listed.
    pub leads: bool,
    /// Whether a change of an Account is looked for: its fields stand in its people's records, and do not move their
    /// stamps.
    pub accounts: bool,
}

impl Objects {
    /// What is read for this map of what the org shows.
    ///
    /// # Errors
    /// [`Trouble::TooLarge`] where one query cannot name all fields: to read them in parts would mix two states of a row.
    pub(super) fn new(wanted: &Wanted, leads: bool, person_accounts: bool, shapes: &Shapes) -> Result<Self, Trouble> {
        let has_person_accounts = |shape: &Shape| shape.shows(PERSON_ACCOUNT);
        let contact = Object {
            name: "Contact",
            prefix: "003",
            columns: of_contact(wanted, &shapes.contact),
            own: "Id,SystemModstamp,IsDeleted,MasterRecordId",
            // The field is not there in an org without person accounts, and naming it would fail the query.
            listed: (!person_accounts && has_person_accounts(&shapes.contact)).then_some("IsPersonAccount = false"),
            person: None,
        };
        let lead = Object {
            name: "Lead",
            prefix: LEAD,
            columns: shapes.lead.as_ref().map(|shape| of_lead(wanted, shape)).unwrap_or_default(),
            own: "Id,SystemModstamp,IsDeleted,MasterRecordId,IsConverted,ConvertedContactId",
            listed: None,
            person: Some("IsConverted = false"),
        };
        for object in [&contact, &lead] {
            object.fits()?;
        }
        let reads_accounts = wanted.fields.iter().any(|field| of_account(field));
        let accounts = shapes.account.as_ref();
        let accounts = accounts.is_some_and(|shape| reads_accounts || person_accounts && has_person_accounts(shape));
        Ok(Self { contact, lead, leads, accounts })
    }

    /// Those that hold people.
    pub(super) fn people(&self) -> [&Object; 2] {
        [&self.contact, &self.lead]
    }

    /// Those whose people are listed.
    pub(super) fn listed(&self) -> impl Iterator<Item = &Object> {
        [Some(&self.contact), self.leads.then_some(&self.lead)].into_iter().flatten()
    }
}

impl Object {
    /// Everyone as [`Object::all`] shows them, without the bounds of a listing: an id that is known is asked for as it is.
    pub(super) fn known(&self) -> Query {
        Query::deleted_too(&self.select(self.own), self.name)
    }

    /// Its people as they are listed, with what is read of them.
    pub(super) fn alive(&self) -> Query {
        let query = Query::living(&self.select("Id,SystemModstamp"), self.name);
        self.person.into_iter().chain(self.listed).fold(query, Query::and)
    }

    /// The ids and stamps of those.
    pub(super) fn stamps(&self) -> Query {
        let query = Query::living("Id,SystemModstamp", self.name);
        self.person.into_iter().chain(self.listed).fold(query, Query::and)
    }

    /// Everyone, also who was deleted, merged away or converted, with what is read of them.
    pub(super) fn all(&self) -> Query {
        self.listed.into_iter().fold(self.known(), Query::and)
    }

    /// Those of all who are no person of this object any more.
    pub(super) fn left(&self) -> Query {
        let left = if self.person.is_some() { "(IsDeleted = true OR IsConverted = true)" } else { "IsDeleted = true" };
        let query = Query::deleted_too(self.own, self.name);
        self.listed.into_iter().fold(query, Query::and).and(left)
    }

    /// The fields of [`Object::alive`], in its order.
    pub(super) fn fields(&self) -> Vec<(&str, Kind)> {
        self.with_mapped("Id,SystemModstamp")
    }

    fn select(&self, own: &'static str) -> String {
        self.with_mapped(own).iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",")
    }

    /// The adapter's own fields and then the map's. A column named twice is refused, and names have no case.
    fn with_mapped(&self, own: &'static str) -> Vec<(&str, Kind)> {
        let mut fields: Vec<(&str, Kind)> = own.split(',').map(|name| (name, Kind::Text)).collect();
        for column in self.columns.iter().filter(|column| column.given.is_none()) {
            if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(&column.path)) {
                fields.push((&column.path, column.kind));
            }
        }
        fields
    }

    fn fits(&self) -> Result<(), Trouble> {
        let (name, length, room) = (self.name, encoded(&self.all().soql(None)), URI_BUDGET - CONDITIONS);
        if length <= room {
            return Ok(());
        }
        Err(Trouble::TooLarge(format!(
            "the map reads more fields of Salesforce's {name} than one query can name ({length} of {room} characters)"
        )))
    }
}

/// Whether the map names a field of the Contact's Account.
pub(super) fn of_account(field: &str) -> bool {
    head(field).eq_ignore_ascii_case("Account")
}

/// What a Lead calls a field that the map names as Contact does.
pub(super) fn on_lead(field: &str) -> &str {
    let known = OF_A_LEAD.iter().find(|(contacts, _)| contacts.eq_ignore_ascii_case(field));
    known.map_or(field, |(_, leads)| leads)
}

/// What a field holds in every Contact: an org without person accounts lacks the field that marks them, and has none.
pub(super) fn on_each_contact(field: &str, shape: &Shape) -> Option<Value> {
    (field.eq_ignore_ascii_case(PERSON_ACCOUNT) && !shape.shows(PERSON_ACCOUNT)).then_some(Value::Bool(false))
}

/// What a field holds in every Lead: it is in no account, and so in none of a person.
pub(super) fn on_each_lead(field: &str) -> Option<Value> {
    let is = |name: &str| field.eq_ignore_ascii_case(name);
    is("AccountId").then_some(Value::Null).or_else(|| is(PERSON_ACCOUNT).then_some(Value::Bool(false)))
}

/// A field that need not be there is left out where it is not shown; another one is asked for, and refused by its name.
fn of_contact(wanted: &Wanted, shape: &Shape) -> Vec<Column> {
    let given = |field: &str| on_each_contact(field, shape);
    let shown = |field: &&String| shape.shows(field) || given(field).is_some() || !wanted.optional.contains(*field);
    let column = |field: &String| Column {
        asked: field.clone(),
        path: field.clone(),
        kind: shape.kind(field).unwrap_or(Kind::Text),
        given: given(field),
    };
    wanted.fields.iter().filter(shown).map(column).collect()
}

fn of_lead(wanted: &Wanted, shape: &Shape) -> Vec<Column> {
    let column = |field: &String| {
        let (path, given) = (on_lead(field), on_each_lead(field));
        let kind = shape.kind(path).or_else(|| given.as_ref().map(|_| Kind::Text))?;
        Some(Column { asked: field.clone(), path: path.to_owned(), kind, given })
    };
    wanted.fields.iter().filter_map(column).collect()
}

fn head(path: &str) -> &str {
    path.split_once('.').map_or("", |(head, _)| head)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn wanted(fields: &[&str], optional: &[&str]) -> Wanted {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        Wanted { fields: set(fields), optional: set(optional) }
    }

    fn shapes() -> Shapes {
        let text = Kind::Text;
        Shapes {
            contact: Shape::of([("Email", text), ("Account.Name", text), ("Score__c", Kind::Number)]),
            lead: Some(Shape::of([("Email", text), ("Company", text), ("Country", text)])),
            account: Some(Shape::of([("Name", text)])),
        }
    }

    fn with_person_accounts() -> Shapes {
        Shapes {
            contact: Shape::of([("Email", Kind::Text), ("IsPersonAccount", Kind::Bool)]),
            account: Some(Shape::of([("IsPersonAccount", Kind::Bool)])),
            ..shapes()
        }
    }

    #[test]
    fn only_mapped_fields_are_selected_each_once() {
        let wanted = wanted(&["Email", "id", "isdeleted", "Account.Name"], &[]);
        let objects = Objects::new(&wanted, true, true, &shapes()).unwrap();
        let soql = |query: Query| query.soql(None);
        assert_eq!(soql(objects.contact.alive()), "SELECT Id,SystemModstamp,Account.Name,Email,isdeleted FROM Contact");
        assert_eq!(
            soql(objects.contact.all()),
            "SELECT Id,SystemModstamp,IsDeleted,MasterRecordId,Account.Name,Email FROM Contact"
        );
        assert_eq!(soql(objects.contact.stamps()), "SELECT Id,SystemModstamp FROM Contact");
        assert_eq!(
            soql(objects.contact.left()),
            "SELECT Id,SystemModstamp,IsDeleted,MasterRecordId FROM Contact WHERE IsDeleted = true"
        );
    }

    #[test]
    fn a_lead_answers_for_a_contact_in_its_own_words_and_lacks_what_it_lacks() {
        let wanted = wanted(&["Email", "account.name", "Account.BillingCountry", "Account.Website", "Score__c"], &[]);
        let objects = Objects::new(&wanted, true, true, &shapes()).unwrap();
        let spelt: Vec<_> = objects.lead.columns.iter().map(|c| (c.asked.as_str(), c.path.as_str())).collect();
        assert_eq!(
            spelt,
            [("Account.BillingCountry", "Country"), ("Email", "Email"), ("account.name", "Company")],
            "no website, no score"
        );
        assert_eq!(
            objects.lead.alive().soql(None),
            "SELECT Id,SystemModstamp,Country,Email,Company FROM Lead WHERE IsConverted = false"
        );
    }

    #[test]
    fn a_field_that_need_not_be_there_is_left_out_and_one_that_must_is_asked_for() {
        let wanted = wanted(&["Email", "Gone__c", "Hidden__c"], &["Hidden__c", "Email"]);
        let objects = Objects::new(&wanted, false, true, &shapes()).unwrap();
        assert_eq!(objects.contact.alive().soql(None), "SELECT Id,SystemModstamp,Email,Gone__c FROM Contact");
    }

    #[test]
    fn an_employer_is_asked_for_only_where_there_can_be_one() {
        let wanted = wanted(&["AccountId", "isPersonAccount"], &[]);
        for (shapes, asked, given) in [
            (shapes(), "AccountId", Some(Value::Bool(false))),
            (with_person_accounts(), "AccountId,isPersonAccount", None),
        ] {
            let Objects { contact, lead, .. } = Objects::new(&wanted, true, true, &shapes).unwrap();
            assert_eq!(contact.alive().soql(None), format!("SELECT Id,SystemModstamp,{asked} FROM Contact"));
            assert_eq!(contact.columns[1].given, given);
            assert_eq!(lead.stamps().soql(None), lead.alive().soql(None), "a lead is in no account");
            let known: Vec<_> = lead.columns.iter().map(|column| column.given.clone()).collect();
            assert_eq!(known, [Some(Value::Null), Some(Value::Bool(false))]);
        }
    }

    #[test]
    fn person_accounts_are_named_only_where_the_org_has_them() {
        let wanted = wanted(&["Email"], &[]);
        for (shapes, on, filtered, accounts) in [
            (shapes(), true, false, false),
            (shapes(), false, false, false),
            (with_person_accounts(), true, false, true),
            (with_person_accounts(), false, true, false),
        ] {
            let objects = Objects::new(&wanted, false, on, &shapes).unwrap();
            let contact = &objects.contact;
            for query in [contact.alive(), contact.stamps(), contact.all(), contact.left()] {
                assert_eq!(query.soql(None).contains("IsPersonAccount = false"), filtered);
            }
            assert!(
                !contact.known().soql(None).contains("IsPersonAccount"),
                "an id that is known is asked for as it is"
            );
            assert_eq!(objects.accounts, accounts);
        }
    }

    #[test]
    fn accounts_are_polled_where_the_map_reads_one_that_is_shown() {
        for (fields, account, expected) in [
            (&["Email"][..], true, false),
            (&["account.name"], true, true),
            (&["AccountId"], true, false),
            (&["Account.Name"], false, false),
        ] {
            let shapes = Shapes { account: shapes().account.filter(|_| account), ..shapes() };
            assert_eq!(
                Objects::new(&wanted(fields, &[]), false, true, &shapes).unwrap().accounts,
                expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_map_too_long_for_a_uri_is_refused_in_words() {
        let fields: BTreeSet<String> = (0..500).map(|n| format!("A_field_of_many_with_number_{n}__c")).collect();
        let wanted = Wanted { fields, ..Wanted::default() };
        let trouble = Objects::new(&wanted, false, true, &shapes()).unwrap_err();
        assert!(trouble.to_string().contains("more fields of Salesforce's Contact"), "{trouble}");
        assert!(trouble.remedy().contains("map fewer"), "{}", trouble.remedy());
    }
}
