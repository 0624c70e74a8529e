//! Whether two names can be one person's (protocol §E): case, accents and order aside; an initial counts only with an
//! equal last name. And which addresses belong to a role rather than to a person.

use unicode_normalization::UnicodeNormalization;

use crate::domain::address::email_key;

/// A person's name as one side spells it. A part may be missing or blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PersonName<'a> {
    /// Given name or names.
    pub first: Option<&'a str>,
    /// Family name or names.
    pub last: Option<&'a str>,
}

impl<'a> PersonName<'a> {
    /// A name of two parts.
    #[must_use]
    pub fn new(first: Option<&'a str>, last: Option<&'a str>) -> Self {
        Self { first, last }
    }
}

/// Whether two names are one person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// First and last name agree.
    Yes,
    /// Both sides have first and last name, and they differ.
    No,
    /// A part is missing on a side: too little to tell people apart by.
    Unknown,
}

/// The form by which two spellings of one name are equal: case, accents, punctuation and order aside. Empty without a
/// name. Keyed hashes of it are kept in the ledger, so a change of the folding asks for a new index.
#[must_use]
pub fn folded_key(first: Option<&str>, last: Option<&str>) -> String {
    let mut words = words(first.unwrap_or_default());
    words.extend(self::words(last.unwrap_or_default()));
    words.sort_unstable();
    words.join(" ")
}

/// Whether two names agree well enough to link two contacts by them: first and last name on both sides, equal in any
/// order, or equal last names and first names of which one abbreviates the other.
#[must_use]
pub fn agree(a: PersonName<'_>, b: PersonName<'_>) -> Agreement {
    let parts = |name: PersonName<'_>| (words(name.first.unwrap_or_default()), words(name.last.unwrap_or_default()));
    let ((a_first, a_last), (b_first, b_last)) = (parts(a), parts(b));
    if [&a_first, &a_last, &b_first, &b_last].into_iter().any(Vec::is_empty) {
        return Agreement::Unknown;
    }
    let same_words = folded_key(a.first, a.last) == folded_key(b.first, b.last);
    if same_words || (a_last == b_last && abbreviates(&a_first, &b_first)) { Agreement::Yes } else { Agreement::No }
}

/// Whether two sides that share a reference are plainly two people (protocol §D.3): something can be compared and
/// nothing agrees. Here, unlike in [`agree`], names with a missing part count too: equal words agree, and names
/// without a common word differ.
#[must_use]
pub fn contradicts(
    ours: PersonName<'_>,
    our_email: Option<&str>,
    theirs: PersonName<'_>,
    their_emails: &[String],
) -> bool {
    let by_email = our_email.filter(|_| !their_emails.is_empty()).map(|address| {
        let key = email_key(address);
        their_emails.iter().any(|other| email_key(other) == key)
    });
    let by_name = match agree(ours, theirs) {
        Agreement::Yes => Some(true),
        Agreement::No => Some(false),
        Agreement::Unknown => loosely_agree(ours, theirs),
    };
    by_email.or(by_name).is_some() && by_email != Some(true) && by_name != Some(true)
}

/// Names of which one lacks a part: equal words agree, no common word differs, anything between tells nothing.
fn loosely_agree(a: PersonName<'_>, b: PersonName<'_>) -> Option<bool> {
    let (a, b) = (folded_key(a.first, a.last), folded_key(b.first, b.last));
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let share_a_word = a.split(' ').any(|word| b.split(' ').any(|other| other == word));
    if a == b { Some(true) } else { (!share_a_word).then_some(false) }
}

/// Whether one list of first names abbreviates the other, word by word. Words may be missing only behind initials:
/// "A" stands for "Anna Maria", "Anna" does not.
fn abbreviates(a: &[String], b: &[String]) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let paired = short.iter().zip(long).all(|(s, l)| s == l || stands_for(s, l) || stands_for(l, s));
    paired && (short.len() == long.len() || short.iter().all(|word| is_initial(word)))
}

fn stands_for(initial: &str, word: &str) -> bool {
    is_initial(initial) && word.starts_with(initial)
}

/// One letter of a script that has cases (a single Chinese character is a whole name), or one that [`words`] spells out.
fn is_initial(word: &str) -> bool {
    let mut letters = word.chars();
    matches!(word, "ae" | "oe" | "th") || (letters.next().is_some_and(char::is_lowercase) && letters.next().is_none())
}

/// The words of a name, folded: compatibility forms and accents resolved, lower-case, letters that Unicode does not
/// decompose spelled out, everything that is no letter or digit a gap.
pub(in crate::domain) fn words(name: &str) -> Vec<String> {
    let mut folded = String::with_capacity(name.len());
    for letter in name.nfkd().filter(|c| !vanishes(*c)).flat_map(char::to_lowercase) {
        match letter {
            'ø' => folded.push('o'),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ß' => folded.push_str("ss"),
            'þ' => folded.push_str("th"),
            'đ' | 'ð' => folded.push('d'),
            'ł' => folded.push('l'),
            'ħ' => folded.push('h'),
            'ŧ' => folded.push('t'),
            'ŋ' => folded.push('n'),
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            other => folded.push(other),
        }
    }
    let gap = |c: char| !c.is_alphanumeric() && !unicode_normalization::char::is_combining_mark(c);
    folded.split(gap).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Accents of the alphabets that have them, and invisible characters. The marks of other scripts are letters there:
/// dropping an Indic vowel sign would make two people one.
fn vanishes(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// Local parts, folded, behind which sits a role and not a person; by them no two contacts are linked. In English and
/// the Nordic languages, because that is who writes to Nordic advisers. A name too many costs one look by a person;
/// a name too few merges two people.
const ROLES: [&str; 6] = [
    // the front door
    "info information kontakt contact contacts kontor office toimisto post postkasse epost mail email mejl hello hej \
     hei reception receptionen resepsjon frontdesk vaxel sentralbord enquiries inquiries general team",
    // selling and letting
    "sales salg salj forsaljning myynti booking order orders leasing uthyrning utleie udlejning forvaltning \
     marketing marknad press media",
    // helping
    "support help helpdesk service kundservice kundeservice kundtjanst kundesenter asiakaspalvelu felanmalan drift",
    // money
    "faktura fakturor invoice invoices billing laskut laskutus ekonomi okonomi finance accounting accounts \
     redovisning regnskap regnskab bogholderi payroll",
    // offices of the firm
    "admin administration administrator hr it jobb jobs career careers legal privacy gdpr dpo styrelse styrelsen \
     styret bestyrelse",
    // machines
    "noreply donotreply webmaster postmaster hostmaster abuse",
];

fn roles() -> impl Iterator<Item = &'static str> {
    ROLES.iter().flat_map(|group| group.split(' '))
}

/// Whether an address belongs to a role. Its local part is compared as a whole and by its first word, digits at the
/// end aside, so that `info.oslo@` and `kontakt2@` count too. `extra` adds local parts, as `word` or `word@`.
#[must_use]
pub fn is_role_address(email: &str, extra: &[String]) -> bool {
    let local = email.rsplit_once('@').map_or(email, |(local, _)| local);
    let words = words(local);
    let whole = words.concat();
    let candidates = [words.first().map_or("", String::as_str), whole.as_str()];
    candidates.into_iter().any(|candidate| {
        let stem = candidate.trim_end_matches(|c: char| c.is_ascii_digit());
        roles().any(|role| role == stem)
            || extra.iter().any(|word| !stem.is_empty() && self::words(word).concat() == stem)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn name<'a>(first: &'a str, last: &'a str) -> PersonName<'a> {
        PersonName::new(Some(first).filter(|f| !f.is_empty()), Some(last).filter(|l| !l.is_empty()))
    }

    #[test]
    fn spellings_fold_to_one_key() {
        for (first, last, key) in [
            ("Åsa", "Öberg", "asa oberg"),
            ("OBERG", "asa", "asa oberg"),
            ("Søren", "Kjær", "kjaer soren"),
            ("Jürgen", "Groß", "gross jurgen"),
            ("Đorđe", "Łukasz", "dorde lukasz"),
            ("Þór", "Guðmundsson", "gudmundsson thor"),
            ("Anna-Karin", "af  Klercker", "af anna karin klercker"),
            ("ＡＮＮＡ", "O’Brien", "anna brien o"),
            ("An\u{ad}na", "\u{200b}", "anna"),
            ("İpek", "Işık", "ipek isik"),
            ("Γιώργος", "ΣΕΦΕΡΗΣ", "γιωργοσ σεφερησ"),
            ("", " - ", ""),
        ] {
            assert_eq!(folded_key(Some(first), Some(last)), key, "{first} {last}");
        }
        assert_ne!(folded_key(Some("राम"), None), folded_key(Some("रम"), None), "Indic vowel signs are letters");
        assert_ne!(folded_key(Some("が"), None), folded_key(Some("か"), None));
    }

    #[test]
    fn names_agree_by_the_protocol() {
        use Agreement::{No, Unknown, Yes};
        for (a, b, expected) in [
            (name("Anna", "Berg"), name("Anna", "Berg"), Yes),
            (name("Anna", "Berg"), name("ANNA", "berg"), Yes),
            (name("Anna", "Berg"), name("Berg", "Anna"), Yes),
            (name("André", "Sjöström"), name("Andre", "Sjostrom"), Yes),
            (name("Søren", "Ødegård"), name("Soren", "Odegard"), Yes),
            (name("Anna Maria", "Berg"), name("Anna", "Maria Berg"), Yes),
            (name("Anna-Maria", "Berg"), name("Anna Maria", "Berg"), Yes),
            // initials
            (name("A.", "Berg"), name("Anna", "Berg"), Yes),
            (name("Anna", "Berg"), name("A", "Berg"), Yes),
            (name("A", "Berg"), name("Anna Maria", "Berg"), Yes),
            (name("Æ.", "Berg"), name("Ærlig", "Berg"), Yes),
            (name("Anna M.", "Berg"), name("Anna Maria", "Berg"), Yes),
            (name("J. R.", "Ås"), name("Jan Roar", "Ås"), Yes),
            (name("A.", "Berg"), name("Bo", "Berg"), No),
            (name("A.", "Berg"), name("Anna", "Lund"), No),
            (name("Anna", "B."), name("Anna", "Berg"), No),
            (name("J. R.", "Ås"), name("Jan Ove", "Ås"), No),
            (name("李", "王"), name("李华", "王"), No),
            // near is not equal
            (name("Anna", "Berg"), name("Anna Maria", "Berg"), No),
            (name("Anna", "Berg"), name("Anne", "Berg"), No),
            (name("Anna", "Berg"), name("Anna", "Lund"), No),
            (name("Anna", "Berg"), name("Bo", "Berg"), No),
            // too little to tell
            (name("", "Berg"), name("Anna", "Berg"), Unknown),
            (name("Anna", ""), name("Anna", ""), Unknown),
            (name("Anna", "Berg"), name("Anna", "--"), Unknown),
            (name("", ""), name("", ""), Unknown),
        ] {
            assert_eq!(agree(a, b), expected, "{a:?} {b:?}");
            assert_eq!(agree(b, a), expected, "the other way: {b:?} {a:?}");
        }
    }

    #[test]
    fn a_contradiction_needs_something_comparable_and_nothing_equal() {
        let full = name("Anna", "Berg");
        let other = name("Bo", "Lund");
        for (ours, our_email, theirs, their_emails, expected) in [
            (full, Some("a@x.se"), full, &["a@x.se"][..], false),
            (full, Some("a@x.se"), other, &["b@x.se", "A@X.SE"][..], false),
            (full, Some("a@x.se"), full, &["b@x.se"][..], false),
            (full, Some("a@x.se"), other, &["b@x.se"][..], true),
            (full, Some("a@x.se"), other, &[][..], true),
            (full, Some("a@x.se"), name("", ""), &["b@x.se"][..], true),
            (full, Some("a@x.se"), name("", ""), &[][..], false),
            (full, None, name("", ""), &["b@x.se"][..], false),
            (name("", ""), None, name("", ""), &[][..], false),
            // a part is missing
            (name("", "Berg"), None, full, &[][..], false),
            (name("Madonna", ""), None, name("", "madonna"), &[][..], false),
            (name("Madonna", ""), None, name("Prince", ""), &[][..], true),
            (name("", "Berg"), Some("a@x.se"), full, &["b@x.se"][..], true),
        ] {
            let emails: Vec<String> = their_emails.iter().map(|e| (*e).to_owned()).collect();
            let seen = contradicts(ours, our_email, theirs, &emails);
            assert_eq!(seen, expected, "{ours:?} {our_email:?} / {theirs:?} {their_emails:?}");
        }
    }

    #[test]
    fn role_addresses_are_told_from_people() {
        for email in [
            "info@x.se",
            "INFO@x.se",
            "kontakt2@x.no",
            "info.oslo@x.no",
            "post@x.no",
            "kundtjänst@x.se",
            "økonomi@x.dk",
            "no-reply@x.se",
            "sales+north@x.se",
            "front-desk@x.se",
        ] {
            assert!(is_role_address(email, &[]), "{email}");
        }
        for email in ["anna@x.se", "anna.post@x.nl", "infante@x.es", "salesi@x.it", "anna+info@x.se", "2@x.se", "@x.se"]
        {
            assert!(!is_role_address(email, &[]), "{email}");
        }
        let extra = ["Växjö@".to_owned(), "skadeanmalan".to_owned(), " ".to_owned()];
        assert!(is_role_address("vaxjo@x.se", &extra) && is_role_address("skadeanmälan@x.se", &extra));
        assert!(!is_role_address("@x.se", &extra), "a blank word is no role");
    }

    #[test]
    fn the_list_of_roles_is_in_the_folded_form_it_is_compared_in() {
        for role in roles() {
            assert_eq!(words(role).concat(), role);
            assert!(!role.ends_with(|c: char| c.is_ascii_digit()));
        }
    }

    /// The same cases in every run.
    fn seeded() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(seeded())]

        #[test]
        fn folding_is_stable_and_blind_to_order(first in "\\PC{0,12}", last in "\\PC{0,12}") {
            let key = folded_key(Some(&first), Some(&last));
            prop_assert_eq!(&folded_key(Some(&last), Some(&first)), &key);
            prop_assert_eq!(&folded_key(Some(&key), None), &key);
        }

        #[test]
        fn agreement_is_symmetric(
            a in "[a-cA-C. -]{0,6}", b in "[a-c. ]{0,6}", c in "[a-c. ]{0,6}", d in "[a-c.]{0,4}",
        ) {
            let (one, two) = (name(&a, &b), name(&c, &d));
            prop_assert_eq!(agree(one, two), agree(two, one));
            prop_assert!(agree(one, one) != Agreement::No);
        }
    }
}
