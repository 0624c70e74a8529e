//! Keyed hashes: what the ledger holds in place of personal data. Without the key, kept in a file of its own, they tell nothing.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::address::email_key;
use crate::domain::names;

/// A keyed hash of a value, sixteen bytes of HMAC-SHA256.
pub type KeyedHash = [u8; 16];

/// Makes keyed hashes.
#[derive(Clone)]
pub struct Keyed {
    key: [u8; 32],
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed(secret)")
    }
}

impl Keyed {
    /// A hasher with the installation's key.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The hash by which two spellings of one address are equal: trimmed, NFC, lower-case, domain in punycode.
    #[must_use]
    pub fn email(&self, address: &str) -> KeyedHash {
        self.hash("email", &email_key(address))
    }

    /// The hash by which two spellings of one name are equal (case, accents and order aside); `None` without a name.
    #[must_use]
    pub fn name(&self, first: Option<&str>, last: Option<&str>) -> Option<KeyedHash> {
        let folded = names::folded_key(first, last);
        (!folded.is_empty()).then(|| self.hash("name", &folded))
    }

    /// The hash of one field's value as Propstreet returned it.
    #[must_use]
    pub fn field(&self, field: &str, value: &str) -> KeyedHash {
        self.hash(&format!("field {field}"), value)
    }

    fn hash(&self, kind: &str, value: &str) -> KeyedHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes a key of any length");
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_share_a_hash() {
        let keyed = Keyed::new([7; 32]);
        assert_eq!(keyed.email(" Åsa@Räksmörgås.SE "), keyed.email("åsa@xn--rksmrgs-5wao1o.se"));
        assert_ne!(keyed.email("a@b.se"), keyed.email("b@b.se"));
        assert_ne!(Keyed::new([8; 32]).email("a@b.se"), keyed.email("a@b.se"), "the key matters");
        assert_eq!(keyed.name(Some("Åsa"), Some("Öberg")), keyed.name(Some("OBERG"), Some("asa")));
        assert_eq!(keyed.name(None, Some(" ")), None);
    }
}
