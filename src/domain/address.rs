//! When two spellings of an e-mail address are one.

use unicode_normalization::UnicodeNormalization;

/// The form in which addresses are compared.
#[must_use]
pub fn email_key(address: &str) -> String {
    let folded = address.trim().nfc().collect::<String>().to_lowercase();
    match folded.rsplit_once('@') {
        Some((local, domain)) => match idna::domain_to_ascii(domain) {
            Ok(ascii) => format!("{local}@{ascii}"),
            Err(_) => folded,
        },
        None => folded,
    }
}
