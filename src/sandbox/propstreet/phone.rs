//! Propstreet normalises phone numbers to E.164 "where possible": this is how far the look-alike goes. A number without
//! a country code is read as Swedish. Knows nothing else.

/// E.164, or `None` when the text is not surely a number.
pub(super) fn e164(typed: &str) -> Option<String> {
    let typed = typed.trim();
    if !typed.chars().all(|c| c.is_ascii_digit() || "+ -()./\u{a0}\u{2013}".contains(c)) {
        return None;
    }
    let plus = typed.starts_with('+');
    if typed.chars().filter(|&c| c == '+').count() > usize::from(plus) {
        return None;
    }
    // "+46 (0)70 …" shows both ways of dialling; the zero in brackets belongs to the national one.
    let typed = if plus { typed.replace("(0)", "") } else { typed.to_owned() };
    let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
    let international = match (plus, digits.strip_prefix("00"), digits.strip_prefix('0')) {
        (true, ..) => digits,
        (false, Some(rest), _) => rest.to_owned(),
        (false, None, Some(rest)) => format!("46{rest}"),
        (false, None, None) => return None,
    };
    (!international.starts_with('0') && (8..=15).contains(&international.len())).then(|| format!("+{international}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        let cases = [
            ("+46 70-123 45 67", Some("+46701234567")),
            ("+46 (0)70 123 45 67", Some("+46701234567")),
            ("0046701234567", Some("+46701234567")),
            ("070-123 45 67", Some("+46701234567")),
            ("(08) 555 123 45", Some("+46855512345")),
            ("701234567", None),
            ("070-123 45 67 ext. 3", None),
            ("call reception", None),
            ("+46+70", None),
            ("", None),
            ("+0701234567", None),
            ("+1234567890123456", None),
        ];
        for (typed, expected) in cases {
            assert_eq!(e164(typed).as_deref(), expected, "{typed}");
        }
    }
}
