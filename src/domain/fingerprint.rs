//! What a mapped contact looked like, in 32 bytes: how an unchanged record is told from a changed one.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::domain::contact::Contact;

/// The hash of a contact's content. It does not depend on the order of keys or of tags, nor on which map made it;
/// the map's version is kept beside it in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a contact as it would be sent.
    #[must_use]
    pub fn of(contact: &Contact) -> Self {
        let mut value = serde_json::to_value(contact).unwrap_or(Value::Null);
        if let Some(Value::Array(tags)) = value.get_mut("tags") {
            tags.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
        }
        Self::of_json(&value)
    }

    /// The fingerprint of a JSON value, stable over key order.
    #[must_use]
    pub fn of_json(value: &Value) -> Self {
        let mut hasher = Sha256::new();
        feed(&mut hasher, value);
        Self(hasher.finalize().into())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..6] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// Feeds a value with its kind and length before it, so that no two values feed the same bytes.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            hasher.update(format!("o{};", keys.len()));
            for key in keys {
                hasher.update(format!("k{};{key}", key.len()));
                feed(hasher, &map[key]);
            }
        }
        Value::Array(items) => {
            hasher.update(format!("a{};", items.len()));
            items.iter().for_each(|item| feed(hasher, item));
        }
        Value::String(text) => hasher.update(format!("s{};{text}", text.len())),
        scalar => {
            let text = scalar.to_string();
            hasher.update(format!("v{};{text}", text.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;
    use serde_json::{Map, json};

    use super::*;
    use crate::domain::contact::Draft;
    use crate::domain::limits;

    #[test]
    fn key_order_does_not_matter_and_boundaries_do() {
        let one: Value = serde_json::from_str(r#"{"a":1,"b":[2,null]}"#).unwrap();
        let two: Value = serde_json::from_str(r#"{"b":[2,null],"a":1}"#).unwrap();
        assert_eq!(Fingerprint::of_json(&one), Fingerprint::of_json(&two));
        assert_ne!(Fingerprint::of_json(&json!(["ab", "c"])), Fingerprint::of_json(&json!(["a", "bc"])));
        assert_ne!(Fingerprint::of_json(&json!("1")), Fingerprint::of_json(&json!(1)));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c1;]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(("[a-c]{1,2}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// The same value, its keys inserted in the opposite order at every depth. serde_json sorts them by itself today;
    /// a dependency that turns on its `preserve_order` must not change a fingerprint.
    fn turned(value: &Value) -> Value {
        match value {
            Value::Object(fields) => Value::Object(
                fields.iter().rev().map(|(key, value)| (key.clone(), turned(value))).collect::<Map<_, _>>(),
            ),
            Value::Array(items) => items.iter().map(turned).collect(),
            scalar => scalar.clone(),
        }
    }

    fn person(first: &str, last: &str, tags: Vec<String>) -> Contact {
        let draft = Draft {
            first_name: Some(first.to_owned()),
            last_name: Some(last.to_owned()),
            phone: Some("1".to_owned()),
            tags,
            ..Draft::default()
        };
        limits::check(draft).expect("within the limits")
    }

    /// The same cases in every run.
    fn seeded() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(4), failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(seeded())]

        #[test]
        fn keys_may_come_in_any_order(value in any_value()) {
            prop_assert_eq!(Fingerprint::of_json(&turned(&value)), Fingerprint::of_json(&value));
        }

        #[test]
        fn two_values_share_a_fingerprint_only_if_equal(a in any_value(), b in any_value()) {
            prop_assert_eq!(Fingerprint::of_json(&a) == Fingerprint::of_json(&b), a == b);
        }

        #[test]
        fn tags_are_a_set(tags in proptest::collection::vec("[a-c]{1,2}", 0..6), turn in 0usize..6) {
            let mut other = tags.clone();
            other.rotate_left(turn.min(tags.len()));
            other.extend(tags.first().cloned());
            let plain = Fingerprint::of(&person("A", "B", tags.clone()));
            prop_assert_eq!(Fingerprint::of(&person("A", "B", other)), plain);
            let more = [tags, vec!["z".to_owned()]].concat();
            prop_assert_ne!(Fingerprint::of(&person("A", "B", more)), plain);
        }

        #[test]
        fn what_stands_in_which_field_matters(a in "[a-c]{1,3}", b in "[a-c]{1,3}") {
            let (one, two) = (person(&a, &b, Vec::new()), person(&b, &a, Vec::new()));
            prop_assert_eq!(Fingerprint::of(&one) == Fingerprint::of(&two), a == b);
        }
    }

    /// Fingerprints are kept in ledgers: should this fail, every settled record would look changed.
    #[test]
    fn a_fingerprint_outlives_a_release() {
        let fingerprint = Fingerprint::of(&person("Anna", "Berg", vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(format!("{fingerprint:?}"), "729fa355f76a…");
    }
}
