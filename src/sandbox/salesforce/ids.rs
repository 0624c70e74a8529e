//! Salesforce ids: 15 case-sensitive characters, or 18 with a checksum that survives case-blind stores.
//! It must not know which records exist.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
/// What stands between the type's prefix and the number in this org.
const POD: &str = "Qy0";

/// The 18-character id of record `key` of the type with this three-character prefix. Ids order as their keys do.
pub fn id(prefix: &str, key: u64) -> String {
    let mut number = [b'0'; 9];
    let mut rest = key;
    for digit in number.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    let mut id = format!("{prefix}{POD}{}", String::from_utf8_lossy(&number));
    id.push_str(&checksum(&id));
    id
}

/// The key behind an id of 15 or 18 characters; `None` when type, org or checksum do not fit.
pub fn key(prefix: &str, id: &str) -> Option<u64> {
    let (short, check) = match id.len() {
        15 => (id, None),
        18 => (id.get(..15)?, id.get(15..)),
        _ => return None,
    };
    if check.is_some_and(|check| !check.eq_ignore_ascii_case(&checksum(short))) {
        return None;
    }
    let number = short.strip_prefix(prefix)?.strip_prefix(POD)?;
    number.bytes().try_fold(0_u64, |key, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        Some(key * 62 + digit as u64)
    })
}

/// Three characters, one a block of five: bit i says whether character i is a capital.
fn checksum(short: &str) -> String {
    let block = |block: &[u8]| {
        let bits = block.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        char::from(CHECKS[bits.map(|(place, _)| 1 << place).sum::<usize>()])
    };
    short.as_bytes().chunks(5).map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_published_vectors() {
        for (short, suffix) in [("a0BA0000000L2ZC", "MA0"), ("ABCDEFGHIJKLMNO", "555"), ("001Da00000xnAiy", "IAE")] {
            assert_eq!(checksum(short), suffix);
        }
    }

    #[test]
    fn ids_go_there_and_back_and_keep_the_order() {
        let mut before = String::new();
        for number in (0..10_000).step_by(7) {
            let long = id("003", number);
            assert_eq!((key("003", &long), key("003", &long[..15])), (Some(number), Some(number)));
            assert!(before < long, "{before} {long}");
            before = long;
        }
        assert_eq!(key("001", &id("003", 5)), None);
        let wrong = id("003", 10).replace('A', "B");
        assert_eq!(key("003", &wrong), None);
    }
}
