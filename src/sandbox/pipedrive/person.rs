//! A person: several addresses and numbers of which one is primary, an organization, labels.
//! It must not know lists, filters or rates.

use serde_json::{Map, Value as Json, json};

use crate::sandbox::people::{LABELS, Person};
use crate::sandbox::pipedrive::definitions::{Choice, Definitions, Field};
use crate::sandbox::pipedrive::fields::{
    Absent, LANGUAGE, LANGUAGES, LINKEDIN, OWNER, PROPSTREET_ID, Record, STRATEGY, Sheet, Style, into_map, time,
};
use crate::sandbox::table::Row;

/// A person.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// Who it is; the address and the numbers here come before the further ones.
    pub person: Person,
    /// Key of the organization.
    pub organization: Option<u64>,
    /// Further addresses: label and value.
    pub emails: Vec<(String, String)>,
    /// Further numbers: label and value.
    pub phones: Vec<(String, String)>,
    /// What every record has.
    pub sheet: Sheet,
}

impl Contact {
    /// Every address, the primary one first.
    pub fn all_emails(&self) -> Vec<(&str, &str)> {
        let first = self.person.email.iter().map(|email| ("work", email.as_str()));
        first.chain(self.emails.iter().map(pair)).collect()
    }

    /// Every number.
    pub fn all_phones(&self) -> Vec<(&str, &str)> {
        let own = [("work", &self.person.phone), ("mobile", &self.person.mobile)];
        let own = own.into_iter().filter_map(|(label, phone)| Some((label, phone.as_ref()?.typed.as_str())));
        own.chain(self.phones.iter().map(pair)).collect()
    }

    /// The place of the primary number. It is the mobile and not the first: place means nothing.
    fn primary_phone(&self) -> usize {
        usize::from(self.person.phone.is_some() && self.person.mobile.is_some())
    }

    /// Takes over from `other` what this one lacks, and every address and number.
    pub fn absorb(&mut self, other: &Self) {
        let theirs = [other.all_emails(), other.all_phones()].map(owned);
        let (own, person) = (&mut self.person, &other.person);
        for (own, theirs) in [(&mut own.first, &person.first), (&mut own.last, &person.last)] {
            if own.is_empty() {
                own.clone_from(theirs);
            }
        }
        fill(&mut own.email, &person.email);
        fill(&mut own.phone, &person.phone);
        fill(&mut own.mobile, &person.mobile);
        fill(&mut own.title, &person.title);
        fill(&mut own.language, &person.language);
        fill(&mut own.linkedin, &person.linkedin);
        fill(&mut own.label, &person.label);
        fill(&mut own.strategy, &person.strategy);
        if self.organization.is_none() {
            (self.organization, own.company) = (other.organization, person.company.clone());
        }
        let [emails, phones] = theirs;
        let held = owned(self.all_emails());
        self.emails.extend(emails.into_iter().filter(|(_, value)| !held.iter().any(|(_, own)| own == value)));
        let held = owned(self.all_phones());
        self.phones.extend(phones.into_iter().filter(|(_, value)| !held.iter().any(|(_, own)| own == value)));
    }
}

fn pair((label, value): &(String, String)) -> (&str, &str) {
    (label, value)
}

fn owned(entries: Vec<(&str, &str)>) -> Vec<(String, String)> {
    entries.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

fn fill<T: Clone>(own: &mut Option<T>, other: &Option<T>) {
    if own.is_none() {
        own.clone_from(other);
    }
}

impl Record for Contact {
    const ENTITY: &'static str = "person";
    const OPTIONAL: &'static [&'static str] = &[
        "next_activity_id",
        "last_activity_id",
        "open_deals_count",
        "related_open_deals_count",
        "closed_deals_count",
        "related_closed_deals_count",
        "participant_open_deals_count",
        "participant_closed_deals_count",
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
        "last_incoming_mail_time",
        "last_outgoing_mail_time",
        "marketing_status",
        "doi_status",
        "smart_bcc_email",
    ];

    fn body(row: &Row<Self>, style: &Style) -> Map<String, Json> {
        let person = &row.value.person;
        let blank = style.absent == Absent::Blank || style.absent == Absent::Mixed && row.key.is_multiple_of(3);
        let label = person.label.as_deref().and_then(label_id);
        let full = format!("{} {}", person.first, person.last).trim().to_owned();
        into_map(json!({
            "id": row.key, "name": full, "first_name": known(&person.first), "last_name": known(&person.last),
            "owner_id": OWNER, "org_id": row.value.organization, "add_time": time(row.created),
            "update_time": row.stamp.map(time), "emails": entries(&row.value.all_emails(), 0, blank),
            "phones": entries(&row.value.all_phones(), row.value.primary_phone(), blank),
            "is_deleted": row.deleted.is_some(),
            "visible_to": 3, "label_ids": label.into_iter().collect::<Vec<_>>(), "picture_id": null,
            "job_title": person.title, "notes": null, "im": [], "birthday": null, "postal_address": null,
        }))
    }

    fn custom(&self) -> Vec<(&'static str, Json)> {
        let language = self.person.language.as_ref().and_then(|language| {
            let place = LANGUAGES.iter().position(|known| known == language)?;
            Some(json!(place + 1))
        });
        let text = |text: &Option<String>| text.clone().map(Json::from);
        let values =
            [(LANGUAGE, language), (LINKEDIN, text(&self.person.linkedin)), (STRATEGY, text(&self.person.strategy))];
        values.into_iter().filter_map(|(code, value)| Some((code, value?))).collect()
    }

    fn sheet(&self) -> &Sheet {
        &self.sheet
    }

    fn sheet_mut(&mut self) -> &mut Sheet {
        &mut self.sheet
    }
}

/// The fields of persons.
pub fn definitions() -> Definitions {
    let built_in = [
        ("id", "ID", "int"),
        ("name", "Name", "varchar"),
        ("first_name", "First name", "varchar"),
        ("last_name", "Last name", "varchar"),
        ("label_ids", "Labels", "set"),
        ("emails", "Email", "varchar"),
        ("phones", "Phone", "phone"),
        ("org_id", "Organization", "org"),
        ("owner_id", "Owner", "user"),
        ("add_time", "Person created", "date"),
        ("update_time", "Update time", "date"),
        ("visible_to", "Visible to", "visible_to"),
        ("picture_id", "Picture", "picture"),
        ("job_title", "Job title", "varchar"),
        ("notes", "Notes", "text"),
        ("im", "Instant messenger", "varchar"),
        ("birthday", "Birthday", "date"),
        ("postal_address", "Postal address", "address"),
    ];
    let built_in = built_in.iter().map(Field::built_in).map(|field| match field.code.as_str() {
        "label_ids" => field.choosing(&LABELS),
        "visible_to" => Field { options: Some(visibilities()), ..field },
        _ => field,
    });
    let custom = [
        Field::custom(LANGUAGE, "Language", "enum").choosing(&LANGUAGES),
        Field::custom(LINKEDIN, "LinkedIn", "varchar"),
        Field::custom(STRATEGY, "Investor strategy", "text"),
        Field::custom(PROPSTREET_ID, "Propstreet id", "varchar"),
    ];
    Definitions::new(built_in.chain(custom).collect())
}

/// Built-in choices have text for ids.
pub fn visibilities() -> Vec<Choice> {
    [("1", "Owner only"), ("3", "All users")]
        .map(|(id, label)| Choice { id: id.into(), label: label.to_owned() })
        .into()
}

fn label_id(label: &str) -> Option<usize> {
    Some(LABELS.iter().position(|known| *known == label)? + 1)
}

fn entries(values: &[(&str, &str)], primary: usize, blank: bool) -> Vec<Json> {
    if values.is_empty() && blank {
        return vec![json!({"value": "", "primary": true})];
    }
    let entry = |(place, (label, value)): (usize, &(&str, &str))| json!({"value": value, "primary": place == primary, "label": label});
    values.iter().enumerate().map(entry).collect()
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
