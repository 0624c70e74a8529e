//! The fields that contacts and leads share.
//! It must not know what else either of them has.

use crate::sandbox::people::{Person, Phone};
use crate::sandbox::salesforce::columns::{Column, Kind, Record, Value, system};
use crate::sandbox::salesforce::records::Human;
use crate::sandbox::table::Row;

/// The field for write-back.
pub const PROPSTREET_ID: &str = "Propstreet_Contact_Id__c";

/// All of them.
pub fn columns<T: Record + Human>() -> Vec<Column<T>> {
    let mut columns = system();
    columns.extend([
        Column::<T>::new("MasterRecordId", Kind::Reference(T::PREFIX, T::TYPE, "MasterRecord"), |row, _| {
            Value::reference(T::PREFIX, row.value.profile().master)
        }),
        Column::<T>::new("OwnerId", Kind::Reference("005", "User", "Owner"), |row, _| {
            Value::reference("005", Some(row.value.owner()))
        }),
        Column::<T>::new("LastModifiedDate", Kind::Instant, |row, _| Value::Instant(row.value.profile().modified)),
        Column::<T>::new("Name", Kind::Text, |row, _| full_name(person(row))),
    ]);
    columns.extend(standard());
    columns.extend(custom());
    columns
}

fn standard<T: Human>() -> [Column<T>; 7] {
    [
        Column::<T>::new("LastName", Kind::Text, |row, _| Value::text(&person(row).last))
            .part_of("Name")
            .writable(|record, value| record.profile_mut().person.last = value.into_text().unwrap_or_default()),
        Column::<T>::new("FirstName", Kind::Text, |row, _| Value::text(&person(row).first)).part_of("Name").writable(
            |record, value| {
                record.profile_mut().person.first = value.into_text().unwrap_or_default();
            },
        ),
        Column::<T>::new("Phone", Kind::Phone, |row, _| phone(person(row).phone.as_ref()))
            .writable(|record, value| record.profile_mut().person.phone = dialled(value)),
        Column::<T>::new("MobilePhone", Kind::Phone, |row, _| phone(person(row).mobile.as_ref()))
            .writable(|record, value| record.profile_mut().person.mobile = dialled(value)),
        Column::<T>::new("Email", Kind::Email, |row, _| Value::maybe(person(row).email.as_ref()))
            .writable(|record, value| record.profile_mut().person.email = value.into_text()),
        Column::<T>::new("Title", Kind::Text, |row, _| Value::maybe(person(row).title.as_ref()))
            .writable(|record, value| record.profile_mut().person.title = value.into_text()),
        Column::<T>::new("HasOptedOutOfEmail", Kind::Bool, |row, _| Value::Bool(row.value.profile().opted_out))
            .writable(|record, value| record.profile_mut().opted_out = value == Value::Bool(true)),
    ]
}

fn custom<T: Human>() -> [Column<T>; 4] {
    [
        Column::<T>::new("Preferred_Language__c", Kind::Picklist, |row, _| Value::maybe(person(row).language.as_ref()))
            .writable(|record, value| record.profile_mut().person.language = value.into_text()),
        Column::<T>::new("LinkedIn__c", Kind::Url, |row, _| Value::maybe(person(row).linkedin.as_ref()))
            .writable(|record, value| record.profile_mut().person.linkedin = value.into_text()),
        Column::<T>::new("Investor_Strategy__c", Kind::Text, |row, _| Value::maybe(person(row).strategy.as_ref()))
            .writable(|record, value| record.profile_mut().person.strategy = value.into_text()),
        Column::<T>::new(PROPSTREET_ID, Kind::Text, |row, _| Value::maybe(row.value.profile().propstreet_id.as_ref()))
            .writable(|record, value| record.profile_mut().propstreet_id = value.into_text()),
    ]
}

fn person<T: Human>(row: &Row<T>) -> &Person {
    &row.value.profile().person
}

fn phone(phone: Option<&Phone>) -> Value {
    Value::maybe(phone.map(|phone| &phone.typed))
}

/// What an integration wrote; nobody here knows what it means in E.164.
fn dialled(value: Value) -> Option<Phone> {
    value.into_text().map(|typed| Phone::new(&typed, ""))
}

/// `FirstName LastName`
pub fn full_name(person: &Person) -> Value {
    Value::text(format!("{} {}", person.first, person.last).trim())
}
