//! What is remembered of a contact's fields after a write, so that our own values are told from a person's: keyed hashes,
//! no values. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::address::email_key;
use crate::domain::keyed::{Keyed, KeyedHash};
use crate::domain::ownership::Field;

/// What is remembered of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trace {
    /// What this record gave last. While there is one, the record feeds the field.
    pub sent: Option<KeyedHash>,
    /// What Propstreet then showed: it normalises phones.
    pub returned: Option<KeyedHash>,
    /// What an announced write is bringing. Should its answer never come, a value that is there by then is still ours.
    pub sending: Option<KeyedHash>,
}

impl Trace {
    /// Whether a value that Propstreet shows is one that this record brought.
    #[must_use]
    pub fn brought(&self, keyed: &Keyed, field: Field, shown: &str) -> bool {
        self.returned.into_iter().chain(self.sending).any(|hash| is(hash, keyed, field, shown))
    }
}

/// What is remembered of one record's contact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remembered {
    fields: BTreeMap<Field, Trace>,
    /// Tags that this record gave, each hashed.
    pub tags: BTreeSet<KeyedHash>,
    /// Tags that an announced write is bringing.
    pub tags_sending: BTreeSet<KeyedHash>,
}

impl Remembered {
    /// What is remembered of a field.
    #[must_use]
    pub fn of(&self, field: Field) -> Trace {
        self.fields.get(&field).copied().unwrap_or_default()
    }

    /// Remembers this of a field, in place of what was.
    pub fn set(&mut self, field: Field, trace: Trace) {
        if trace == Trace::default() {
            self.fields.remove(&field);
        } else {
            self.fields.insert(field, trace);
        }
    }

    /// Whether this record gave a tag.
    #[must_use]
    pub fn gave(&self, tag: KeyedHash) -> bool {
        self.tags.contains(&tag) || self.tags_sending.contains(&tag)
    }

    /// Whether this record feeds any field.
    #[must_use]
    pub fn feeds(&self) -> bool {
        self.fields.values().any(|trace| trace.sent.is_some())
    }

    /// Whether it fed a field before that it feeds no longer: another may have a value for it.
    #[must_use]
    pub fn gave_up(&self, now: &Self) -> bool {
        self.fields.iter().any(|(field, before)| before.sent.is_some() && now.of(*field).sent.is_none())
    }
}

/// The form in which two values of a field are compared: an address by its key, a phone by its digits, else trimmed.
#[must_use]
pub fn normal(field: Field, value: &str) -> String {
    match field {
        Field::Email => email_key(value),
        Field::Phone => match digits(value) {
            // A phone that is no number stays as it is, here as there.
            digits if digits.trim_start_matches('+').is_empty() => value.trim().to_owned(),
            digits => digits,
        },
        _ => value.trim().to_owned(),
    }
}

/// The digits of a phone, with its plus; what stands behind letters is kept, because extensions differ.
fn digits(phone: &str) -> String {
    let phone = phone.trim();
    let phone = phone.strip_prefix("tel:").unwrap_or(phone);
    let international = phone.strip_prefix("00").map(|rest| format!("+{rest}"));
    let phone = international.as_deref().unwrap_or(phone);
    phone.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '+').collect()
}

/// The hash of a field's value in its normal form.
#[must_use]
pub fn hash(keyed: &Keyed, field: Field, value: &str) -> KeyedHash {
    keyed.field(field.name(), &normal(field, value))
}

/// Whether a hash is that of this value. Ledgers of earlier versions hold hashes of values as they were shown.
#[must_use]
pub fn is(hashed: KeyedHash, keyed: &Keyed, field: Field, value: &str) -> bool {
    hashed == hash(keyed, field, value) || hashed == keyed.field(field.name(), value)
}

/// As it is stored: a line a field, and a line a tag. The lines of earlier versions hold only what was returned.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Now(String, Option<Hex>, Option<Hex>, Option<Hex>),
    Former(String, KeyedHash),
}

struct Hex(KeyedHash);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(32);
        for byte in self.0 {
            // Writing into a text cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let number = u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl Serialize for Remembered {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let hex = |hash: Option<KeyedHash>| hash.map(Hex);
        let fields = self
            .fields
            .iter()
            .map(|(field, trace)| (field.name(), hex(trace.sent), hex(trace.returned), hex(trace.sending)));
        let tags = self.tags.union(&self.tags_sending).map(|tag| {
            let (given, giving) = (self.tags.contains(tag), self.tags_sending.contains(tag));
            (Field::Tags.name(), given.then_some(Hex(*tag)), None, giving.then_some(Hex(*tag)))
        });
        to.collect_seq(fields.chain(tags))
    }
}

impl<'de> Deserialize<'de> for Remembered {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut remembered = Self::default();
        for line in Vec::<Line>::deserialize(from)? {
            let (name, trace) = match line {
                Line::Now(name, sent, returned, sending) => {
                    let plain = |hex: Option<Hex>| hex.map(|Hex(hash)| hash);
                    (name, Trace { sent: plain(sent), returned: plain(returned), sending: plain(sending) })
                }
                Line::Former(name, returned) => (name, Trace { returned: Some(returned), ..Trace::default() }),
            };
            match Field::parse(&name) {
                Some(Field::Tags) => {
                    remembered.tags.extend(trace.sent);
                    remembered.tags_sending.extend(trace.sending);
                }
                Some(field) => remembered.set(field, trace),
                None => return Err(serde::de::Error::custom("a field of another name")),
            }
        }
        Ok(remembered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_comes_back_and_the_former_shape_is_understood() {
        let mut remembered = Remembered::default();
        remembered.set(Field::Phone, Trace { sent: Some([1; 16]), returned: Some([0xfe; 16]), sending: None });
        remembered.set(Field::Strategy, Trace { sending: Some([3; 16]), ..Trace::default() });
        remembered.tags = [[4; 16], [5; 16]].into();
        remembered.tags_sending = [[5; 16], [6; 16]].into();
        let text = serde_json::to_string(&remembered).unwrap();
        assert_eq!(serde_json::from_str::<Remembered>(&text).unwrap(), remembered);
        assert_eq!(serde_json::to_string(&Remembered::default()).unwrap(), "[]");
        let former = format!(r#"[["phone",{:?}]]"#, [8_u8; 16]);
        let former: Remembered = serde_json::from_str(&former).unwrap();
        assert_eq!(former.of(Field::Phone), Trace { returned: Some([8; 16]), ..Trace::default() });
        for broken in ["{}", r#"[["phone"]]"#, r#"[["hat","01",null,null]]"#, r#"[["phone","x",null,null]]"#] {
            assert!(serde_json::from_str::<Remembered>(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_field_that_is_fed_no_longer_is_given_up() {
        let mut before = Remembered::default();
        before.set(Field::Phone, Trace { sent: Some([1; 16]), ..Trace::default() });
        before.set(Field::Email, Trace { returned: Some([1; 16]), ..Trace::default() });
        assert!(before.feeds() && !before.gave_up(&before.clone()));
        let mut now = before.clone();
        now.set(Field::Email, Trace::default());
        assert!(!before.gave_up(&now), "it was not fed");
        now.set(Field::Phone, Trace { returned: Some([1; 16]), ..Trace::default() });
        assert!(before.gave_up(&now) && !now.feeds());
    }

    #[test]
    fn values_are_compared_in_their_normal_form() {
        for (field, one, other, same) in [
            (Field::Phone, "+46701234567", "+46 70-123 45 67", true),
            (Field::Phone, "+46 (70) 1234567", "0046701234567", true),
            (Field::Phone, "0701234567", "+46701234567", false),
            (Field::Phone, "08-123 ext 4", "08-123 ext 5", false),
            (Field::Phone, "—", "", false),
            (Field::Email, "Åsa@Räksmörgås.SE", "åsa@xn--rksmrgs-5wao1o.se", true),
            (Field::FirstName, " Anna", "Anna ", true),
            (Field::FirstName, "Anna", "anna", false),
        ] {
            assert_eq!(normal(field, one) == normal(field, other), same, "{one} {other}");
        }
        let keyed = Keyed::new([7; 32]);
        assert!(is(keyed.field("phone", "+46 70"), &keyed, Field::Phone, "+46 70"), "as earlier versions hashed it");
    }
}
