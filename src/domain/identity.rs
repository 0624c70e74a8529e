//! Who a record is: a namespace and an id. Namespaces compare without case, ids with case; Salesforce ids are
//! brought to their 18-character form, so that a spreadsheet's 15 characters and the API's 18 are one person.
//!
//! Propstreet: `externalRefs[] = {namespace ≤ 50, id ≤ 255}`, namespace case-insensitive, id case-sensitive.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest namespace Propstreet takes, in UTF-16 units.
pub const MAX_NAMESPACE: usize = 50;

/// A reference as it is spelled on the wire, ours or one we read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExternalRef {
    /// The namespace, in the spelling it was given.
    pub namespace: String,
    /// The id, byte for byte.
    pub id: String,
}

/// A reference in the one form that is compared and stored: folded namespace, canonical id.
/// Only [`RefRules`] makes it from a spelling, because it alone knows which namespaces hold Salesforce ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefKey {
    /// Namespace, lower-cased.
    pub namespace: String,
    /// Canonical id.
    pub id: String,
}

impl RefKey {
    /// A key from parts that are canonical already (the ledger's columns).
    #[must_use]
    pub fn from_parts(namespace: impl Into<String>, id: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), id: id.into() }
    }
}

impl fmt::Display for RefKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.id)
    }
}

/// How references are compared in this installation.
#[derive(Debug, Clone, Default)]
pub struct RefRules {
    salesforce: BTreeSet<String>,
}

impl RefRules {
    /// Rules under which the given namespaces hold Salesforce ids.
    pub fn new(salesforce: impl IntoIterator<Item = String>) -> Self {
        Self { salesforce: salesforce.into_iter().map(|n| fold(&n)).collect() }
    }

    /// The comparable form of a reference.
    #[must_use]
    pub fn key(&self, namespace: &str, id: &str) -> RefKey {
        let namespace = fold(namespace);
        let id = match self.salesforce.contains(&namespace).then(|| salesforce_id(id)).flatten() {
            Some(eighteen) => eighteen,
            None => id.to_owned(),
        };
        RefKey { namespace, id }
    }

    /// The comparable form of a reference as Propstreet spells it.
    #[must_use]
    pub fn key_of(&self, reference: &ExternalRef) -> RefKey {
        self.key(&reference.namespace, &reference.id)
    }
}

fn fold(namespace: &str) -> String {
    namespace.trim().to_lowercase()
}

/// The 18-character form of a Salesforce id, or `None` if it is not one (wrong length, alphabet or checksum).
///
/// The suffix: for each block of five characters, bit *i* is set when character *i* is an upper-case letter; the
/// number picks from `A-Z0-5`. Source: the Salesforce reference, "Ids".
#[must_use]
pub fn salesforce_id(id: &str) -> Option<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    if !matches!(id.len(), 15 | 18) || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let (stem, given) = id.split_at(15);
    let suffix: String = stem
        .as_bytes()
        .chunks(5)
        .map(|block| {
            let bits = block.iter().enumerate().filter(|(_, b)| b.is_ascii_uppercase()).map(|(i, _)| 1 << i);
            char::from(ALPHABET[bits.sum::<usize>()])
        })
        .collect();
    (given.is_empty() || given.eq_ignore_ascii_case(&suffix)).then(|| format!("{stem}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salesforce_ids_gain_their_checksum() {
        for (fifteen, eighteen) in [
            ("a0BA0000000L2ZC", "a0BA0000000L2ZCMA0"),
            ("ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNO555"),
            ("001Da00000xnAiy", "001Da00000xnAiyIAE"),
        ] {
            assert_eq!(salesforce_id(fifteen).as_deref(), Some(eighteen));
            assert_eq!(salesforce_id(eighteen).as_deref(), Some(eighteen));
        }
        assert_eq!(salesforce_id("001Da00000xnAiyAAA"), None, "a wrong checksum is not an id");
        assert_eq!(salesforce_id("001Da00000xnAi"), None);
    }

    #[test]
    fn refs_compare_by_folded_namespace_and_canonical_id() {
        let rules = RefRules::new(["Salesforce".to_owned()]);
        assert_eq!(rules.key("SALESFORCE", "001Da00000xnAiy"), rules.key("salesforce", "001Da00000xnAiyIAE"));
        assert_ne!(rules.key("hubspot", "aB"), rules.key("hubspot", "ab"), "ids are case-sensitive");
    }
}
