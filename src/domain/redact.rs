//! Upstream words without people in them: addresses and phones are taken out before a line is logged or kept.

/// Long enough for any problem's words, short enough for a line.
const LONGEST: usize = 500;
/// Digits from which a run is taken for a phone.
const PHONE_DIGITS: usize = 7;

/// The words without e-mail addresses and phone-like runs of digits, cut to 500 characters.
#[must_use]
pub fn redact(words: &str) -> String {
    let cut: String = without_phones(&without_addresses(words)).chars().take(LONGEST).collect();
    cut.trim().to_owned()
}

/// An address is what stands around an `@`, also a percent-encoded one, up to the next space or bracket; a quoted
/// local part may hold spaces.
fn without_addresses(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut rest = words;
    while let Some((at, width)) = next_at(rest) {
        let before = &rest[..at];
        let start = match before.strip_suffix('"').and_then(|inner| inner.rfind('"')) {
            Some(quote) => quote,
            None => before.rfind(bounds_address).map_or(0, |i| i + char_len(before, i)),
        };
        let after = &rest[at + width..];
        let end = after.find(bounds_address).unwrap_or(after.len());
        out.push_str(&rest[..start]);
        out.push_str("[address]");
        rest = &after[end..];
    }
    out.push_str(rest);
    out
}

fn next_at(text: &str) -> Option<(usize, usize)> {
    [("@", 1), ("%40", 3)].into_iter().filter_map(|(sign, width)| Some((text.find(sign)?, width))).min()
}

fn char_len(text: &str, at: usize) -> usize {
    text[at..].chars().next().map_or(0, char::len_utf8)
}

fn bounds_address(c: char) -> bool {
    c.is_whitespace() || "<>()[]{},;:\"'`=&?/\\".contains(c)
}

/// A phone is a run of digits with the usual signs between them.
fn without_phones(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    let mut run = String::new();
    for c in words.chars().chain(['\n']) {
        if c.is_numeric() || (" -.()/+\u{a0}".contains(c) && (c == '+' || !run.is_empty())) {
            run.push(c);
            continue;
        }
        if run.chars().filter(|c| c.is_numeric()).count() >= PHONE_DIGITS {
            out.push_str("[number]");
            out.push_str(&run[run.trim_end_matches([' ', '.', '(', '\u{a0}']).len()..]);
        } else {
            out.push_str(&run);
        }
        run.clear();
        out.push(c);
    }
    out.pop();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_phones_leave_and_the_rest_stays() {
        for (words, redacted) in [
            ("email 'anna.berg+x@firma.se' is taken", "email '[address]' is taken"),
            ("<Åsa@räksmörgås.se>, b@c.no.", "<[address]>, [address]"),
            ("\"anna berg\"@firma.se exists", "[address] exists"),
            ("/x?email=anna%40firma.se&page=2", "/x?email=[address]&page=2"),
            ("phone +46 (0)70-123 45 67 is invalid", "phone [number] is invalid"),
            ("070.1234567", "[number]"),
            ("max 255 characters, 3 of 100", "max 255 characters, 3 of 100"),
            ("Limit 600. See /help/concurrency-conflict", "Limit 600. See /help/concurrency-conflict"),
            ("@", "[address]"),
            ("", ""),
        ] {
            assert_eq!(redact(words), redacted);
        }
    }

    #[test]
    fn long_words_are_cut_after_they_are_redacted() {
        let words = format!("{} anna@firma.se", "å".repeat(495));
        let redacted = redact(&words);
        assert!(redacted.chars().count() <= LONGEST && !redacted.contains("anna"), "{redacted}");
    }
}
