//! A custom field as the configuration names it: by its key, or by the name that people gave it; and, where a value is
//! made of parts, one of them. A key never changes and a name may, and two fields may have one name.
//!
//! <https://pipedrive.readme.io/docs/core-api-concepts-custom-fields>

use crate::crm::pipedrive::wire::{Field, Fields};

/// The parts of an address; any of them may be missing or blank.
pub(super) const OF_ADDRESS: [&str; 11] = [
    "value",
    "street_number",
    "route",
    "sublocality",
    "locality",
    "admin_area_level_1",
    "admin_area_level_2",
    "country",
    "postal_code",
    "formatted_address",
    "subpremise",
];

/// Where a custom value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub key: &'a str,
    pub part: Option<&'a str>,
}

/// Why no custom field is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// None has this key or name.
    Missing,
    /// Those with these keys have this name.
    Ambiguous(Vec<String>),
}

/// The custom field that is meant. A name may have dots in it, so the whole text is tried before a part is taken off.
pub(super) fn find<'a>(written: &'a str, fields: &'a Fields) -> Result<Place<'a>, Lost> {
    match (whole(written, fields), written.rsplit_once('.')) {
        (Err(Lost::Missing), Some((head, part))) => {
            let (key, field) = whole(head, fields)?;
            if !parts(&field.kind).contains(&part) {
                return Err(Lost::Missing);
            }
            Ok(Place { key, part: Some(part) })
        }
        (found, _) => found.map(|(key, _)| Place { key, part: None }),
    }
}

fn whole<'a>(text: &str, fields: &'a Fields) -> Result<(&'a str, &'a Field), Lost> {
    let custom = || fields.iter().filter(|(_, field)| field.is_custom).map(|(key, field)| (key.as_str(), field));
    if let Some(found) = custom().find(|(key, _)| *key == text) {
        return Ok(found);
    }
    let mut named: Vec<_> = custom().filter(|(_, field)| is_called(field, text)).collect();
    named.sort_unstable_by_key(|(key, _)| *key);
    match named.as_slice() {
        [] => Err(Lost::Missing),
        [one] => Ok(*one),
        several => Err(Lost::Ambiguous(several.iter().map(|(key, _)| (*key).to_owned()).collect())),
    }
}

/// Whether people call the field so, in any case of letters.
pub(super) fn is_called(field: &Field, text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && field.name.trim().to_lowercase() == text.to_lowercase()
}

/// What a value of this type is made of.
fn parts(kind: &str) -> &'static [&'static str] {
    match kind {
        "monetary" => &["value", "currency"],
        "daterange" => &["value", "until"],
        "time" => &["value", "timezone_id", "timezone_name"],
        "timerange" => &["value", "until", "timezone_id", "timezone_name"],
        "address" => &OF_ADDRESS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dcf558aac1ae4e8c4f849ba5e668430d8df9be12";

    fn field(name: &str, kind: &str, is_custom: bool) -> Field {
        Field { name: name.into(), kind: kind.into(), is_custom, ..Field::default() }
    }

    #[test]
    fn a_field_is_found_by_its_key_or_by_a_name_that_only_it_has() {
        let fields = Fields::from([
            (KEY.into(), field("Investor strategy", "enum", true)),
            ("a".repeat(40), field("Ticket", "monetary", true)),
            ("b".repeat(40), field("No. of units", "double", true)),
            ("c".repeat(40), field("Notes", "text", true)),
            ("notes".into(), field("Notes", "text", false)),
            ("d".repeat(40), field("Twin", "address", true)),
            ("e".repeat(40), field("twin ", "address", true)),
            ("f".repeat(40), field("Twin.country", "varchar", true)),
        ]);
        let (ticket, units, notes, odd) = ("a".repeat(40), "b".repeat(40), "c".repeat(40), "f".repeat(40));
        let by_part = format!("{ticket}.currency");
        for (written, key, part) in [
            (KEY, KEY, None),
            ("Investor strategy", KEY, None),
            (" investor STRATEGY", KEY, None),
            ("Ticket.currency", &ticket, Some("currency")),
            (&by_part, &ticket, Some("currency")),
            ("No. of units", &units, None),
            ("Notes", &notes, None),
            ("Twin.country", &odd, None),
        ] {
            assert_eq!(find(written, &fields), Ok(Place { key, part }), "{written}");
        }
        let twins = || Err(Lost::Ambiguous(vec!["d".repeat(40), "e".repeat(40)]));
        for (written, lost) in [
            ("Twin", twins()),
            ("Twin.locality", twins()),
            ("notes.value", Err(Lost::Missing)),
            ("Ticket.until", Err(Lost::Missing)),
            ("Investor strategy.value", Err(Lost::Missing)),
            ("Investor", Err(Lost::Missing)),
            ("", Err(Lost::Missing)),
        ] {
            assert_eq!(find(written, &fields), lost, "{written}");
        }
    }
}
