//! The closed set of transforms: one text in, one text out. None of them fails and none loses anything: what cannot be
//! read stays as it is, and the limits decide whether it may pass.

use std::collections::HashMap;
use std::sync::LazyLock;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, Region};

use crate::domain::limits;
use crate::domain::names::folded_key;

/// A transform, ready to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// As it is.
    Keep,
    /// A phone number in E.164, national numbers being of this region.
    E164(Option<Region>),
    /// Lower case.
    Lower,
    /// ISO 639-1.
    Language,
    /// ISO 3166-1 alpha-2.
    Country,
    /// `https://www.linkedin.com/in/NAME`.
    Linkedin,
    /// Before the first blank.
    SplitFirst,
    /// After the first blank; empty without one.
    SplitLast,
}

impl Change {
    /// The text, changed.
    #[must_use]
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Keep => text.to_owned(),
            Self::E164(region) => e164(text, region),
            Self::Lower => text.to_lowercase(),
            Self::Language => language(text),
            Self::Country => country(text),
            Self::Linkedin => linkedin(text),
            Self::SplitFirst => split_name(text).0.to_owned(),
            Self::SplitLast => split_name(text).1.to_owned(),
        }
    }
}

/// The region of a country code, in either case; `None` for one that has no telephone plan (`UK` is `GB`).
#[must_use]
pub fn region(code: &str) -> Option<Region> {
    let region = code.to_ascii_uppercase().parse().ok()?;
    PHONE_NUMBER_UTIL.get_supported_regions().any(|supported| supported == region).then_some(region)
}

/// The number in E.164 if it is a valid one and nothing else stands beside it: an extension, a second number or a
/// remark would be lost. Propstreet keeps unreadable numbers as they are, and so does this.
#[must_use]
pub fn e164(text: &str, region: Option<Region>) -> String {
    let number = text.trim();
    // Wide blanks and dashes come with numbers pasted from the web.
    let bare =
        |c: char| c.is_ascii_digit() || c.is_whitespace() || "+-./()\u{2010}\u{2011}\u{2012}\u{2013}".contains(c);
    if !number.chars().all(bare) {
        return number.to_owned();
    }
    match PHONE_NUMBER_UTIL.parse(number, region) {
        Ok(parsed) if PHONE_NUMBER_UTIL.is_valid_number(&parsed) => {
            PHONE_NUMBER_UTIL.format(&parsed, PhoneNumberFormat::E164).into_owned()
        }
        _ => number.to_owned(),
    }
}

/// A whole name, split at the first blank as Pipedrive splits it.
fn split_name(name: &str) -> (&str, &str) {
    let name = name.trim();
    name.split_once(char::is_whitespace).map_or((name, ""), |(first, last)| (first, last.trim_start()))
}

/// ISO 639-1 for a code, a locale, or one of the names CRMs write for the languages spoken around the Baltic and the
/// North Sea.
#[must_use]
pub fn language(text: &str) -> String {
    const NAMES: [(&str, &[&str]); 14] = [
        ("sv", &["swedish", "svenska", "svensk", "ruotsi"]),
        ("no", &["norwegian", "norsk", "norska", "norja"]),
        ("nb", &["bokmal", "norsk bokmal", "norwegian bokmal"]),
        ("nn", &["nynorsk", "norsk nynorsk", "norwegian nynorsk"]),
        ("da", &["danish", "dansk", "danska", "tanska"]),
        ("fi", &["finnish", "suomi", "finska", "finsk"]),
        ("is", &["icelandic", "islenska", "islandska", "islandsk"]),
        ("en", &["english", "engelska", "engelsk", "englanti"]),
        ("de", &["german", "deutsch", "tyska", "tysk", "saksa"]),
        ("fr", &["french", "francais", "franska", "fransk", "ranska"]),
        ("es", &["spanish", "espanol", "spanska", "spansk", "espanja"]),
        ("nl", &["dutch", "nederlands", "nederlandska", "nederlandsk", "hollanti"]),
        ("pl", &["polish", "polski", "polska", "polsk", "puola"]),
        ("et", &["estonian", "eesti", "estniska", "estisk", "viro"]),
    ];
    let text = text.trim();
    if let Some(code) = limits::language(text) {
        return code;
    }
    let name = words(text);
    NAMES
        .iter()
        .find(|(_, names)| names.contains(&name.as_str()))
        .map_or_else(|| text.to_owned(), |(code, _)| (*code).to_owned())
}

/// A LinkedIn profile in Propstreet's form, also for the name alone that stands at its end: `in/anna-berg`, `anna-berg`,
/// `anna-berg?trk=…`. A word that says there is none is not such a name.
#[must_use]
pub fn linkedin(text: &str) -> String {
    const NONE: [&str; 14] = [
        "none",
        "null",
        "nil",
        "nan",
        "unknown",
        "missing",
        "undefined",
        "nej",
        "nei",
        "ingen",
        "inget",
        "saknas",
        "true",
        "false",
    ];
    let text = text.trim();
    let bare = text.split(['?', '#']).next().unwrap_or_default().trim_matches('/');
    let name = bare.strip_prefix("in/").unwrap_or(bare);
    let is_name = (3..=100).contains(&name.chars().count())
        && name.chars().all(|c| c.is_alphanumeric() || "-_%".contains(c))
        && name.contains(char::is_alphabetic)
        && !NONE.contains(&name.to_lowercase().as_str());
    let profile =
        limits::linkedin(text).or_else(|| limits::linkedin(&format!("linkedin.com/in/{name}")).filter(|_| is_name));
    profile.unwrap_or_else(|| text.to_owned())
}

/// ISO 3166-1 alpha-2 for a code of two or three letters, the English short name, or one of the names in use.
#[must_use]
pub fn country(text: &str) -> String {
    let text = text.trim();
    let upper = text.to_ascii_uppercase();
    let by_code = rust_iso3166::from_alpha2(&upper).or_else(|| rust_iso3166::from_alpha3(&upper));
    match by_code.map(|country| country.alpha2).or_else(|| COUNTRIES.get(&sorted(text)).copied()) {
        Some(code) => code.to_owned(),
        None => text.to_owned(),
    }
}

/// Names beyond the standard's own, by folded words: those that people and geocoders write in Danish, German, English,
/// Finnish, French, Norwegian and Swedish. A CRM may show an address in the language of whoever typed it.
const COUNTRY_ALIASES: [(&str, &[&str]); 25] = [
    ("SE", &["sverige", "ruotsi", "schweden", "suède"]),
    ("NO", &["norge", "noreg", "norja", "norwegen", "norvège"]),
    ("DK", &["danmark", "tanska", "dänemark", "danemark"]),
    ("FI", &["suomi", "finnland", "finlande"]),
    ("IS", &["island", "ísland", "islanti", "islande"]),
    ("FO", &["färöarna", "færøerne", "færøyene", "färöer", "färsaaret"]),
    ("GL", &["grönland", "grønland", "grönlanti"]),
    ("AX", &["åland", "ahvenanmaa"]),
    ("DE", &["tyskland", "deutschland", "saksa", "allemagne"]),
    (
        "NL",
        &[
            "netherlands",
            "the netherlands",
            "holland",
            "nederländerna",
            "nederland",
            "nederlandene",
            "niederlande",
            "alankomaat",
            "hollanti",
            "pays-bas",
        ],
    ),
    (
        "GB",
        &[
            "uk",
            "u.k.",
            "united kingdom",
            "great britain",
            "england",
            "scotland",
            "wales",
            "storbritannien",
            "storbritannia",
            "förenade kungariket",
            "det forenede kongerige",
            "det forente kongerike",
            "iso-britannia",
            "yhdistynyt kuningaskunta",
            "großbritannien",
            "vereinigtes königreich",
            "royaume-uni",
            "grande-bretagne",
        ],
    ),
    (
        "US",
        &[
            "usa",
            "united states",
            "u.s.a.",
            "u.s.",
            "america",
            "amerika",
            "yhdysvallat",
            "förenta staterna",
            "de forenede stater",
            "de forente stater",
            "vereinigte staaten",
            "vereinigte staaten von amerika",
            "états-unis",
            "états-unis d'amérique",
        ],
    ),
    ("PL", &["polen", "puola", "pologne", "polska"]),
    ("EE", &["estland", "eesti", "viro", "estonie"]),
    ("LV", &["lettland", "letland", "latvija", "lettonie"]),
    ("LT", &["litauen", "lietuva", "liettua", "lituanie"]),
    ("FR", &["frankrike", "frankrig", "frankreich", "ranska"]),
    ("ES", &["spanien", "spania", "espanja", "españa", "espagne"]),
    ("IT", &["italien", "italia", "italie"]),
    ("BE", &["belgien", "belgia", "belgique", "belgië"]),
    ("AT", &["österrike", "østerrike", "østrig", "österreich", "itävalta", "autriche"]),
    ("CH", &["schweiz", "sveits", "sveitsi", "suisse"]),
    ("IE", &["irland", "irlanti", "irlande"]),
    ("LU", &["luxemburg"]),
    ("CZ", &["czech republic", "tjeckien", "tjekkia", "tjekkiet", "tsjekkia", "tschechien", "tšekki", "tchéquie"]),
];

static COUNTRIES: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let standard = rust_iso3166::ALL.iter().map(|country| (sorted(country.name), country.alpha2));
    let aliases = COUNTRY_ALIASES.iter().flat_map(|(code, names)| names.iter().map(|name| (sorted(name), *code)));
    standard.chain(aliases).collect()
});

/// The words of a text, folded and sorted: "Korea, Republic of" and "Republic of Korea" are one country.
fn sorted(text: &str) -> String {
    folded_key(Some(text), None)
}

/// The words of a text, folded, in their order.
fn words(text: &str) -> String {
    text.split_whitespace().map(sorted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn phones_become_e164_where_nothing_is_lost() {
        let se = region("SE");
        for (given, home, expected) in [
            ("070-123 45 67", se, "+46701234567"),
            ("+46 (0)70-123 45 67", se, "+46701234567"),
            ("0046 70 123 45 67", se, "+46701234567"),
            ("08\u{a0}123\u{a0}456\u{2013}78", se, "+46812345678"),
            ("+47 22 12 34 56", se, "+4722123456"),
            ("+39 06 698 12345", se, "+390669812345"),
            ("+46701234567", None, "+46701234567"),
            ("22 12 34 56", region("no"), "+4722123456"),
            // kept
            ("070-123 45 67", None, "070-123 45 67"),
            ("08-123 456 78 ext 12", se, "08-123 456 78 ext 12"),
            ("08-123 456 78 anknytning 12", se, "08-123 456 78 anknytning 12"),
            ("070-123 45 67 (work)", se, "070-123 45 67 (work)"),
            ("0800-FLOWERS", se, "0800-FLOWERS"),
            ("070-123 45 67 / 08-123 456 78", se, "070-123 45 67 / 08-123 456 78"),
            ("070-123 45 67, 08-123 456 78", se, "070-123 45 67, 08-123 456 78"),
            ("12", se, "12"),
            ("+46 1", se, "+46 1"),
            (" -- ", se, "--"),
            ("", se, ""),
        ] {
            assert_eq!(e164(given, home), expected, "{given:?}");
        }
    }

    #[test]
    fn regions_are_those_with_a_telephone_plan() {
        assert!(region("SE").is_some() && region("no").is_some());
        for wrong in ["UK", "XX", "SWE", "", "Sweden", "ÅÅ"] {
            assert_eq!(region(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn whole_names_split_at_the_first_blank() {
        for (name, first, last) in [
            ("Jane Smith Updated via API", "Jane", "Smith Updated via API"),
            ("  Anna   Berg ", "Anna", "Berg"),
            ("Anna\u{a0}Berg", "Anna", "Berg"),
            ("Madonna", "Madonna", ""),
            ("", "", ""),
        ] {
            assert_eq!(
                (Change::SplitFirst.apply(name).as_str(), Change::SplitLast.apply(name).as_str()),
                (first, last)
            );
        }
    }

    #[test]
    fn languages_become_two_letters() {
        for (given, expected) in [
            ("sv", "sv"),
            ("SV", "sv"),
            ("sv-SE", "sv"),
            ("en_GB", "en"),
            ("zh-hk", "zh"),
            ("zh-Hant-TW", "zh"),
            ("nob", "nb"),
            ("Svenska", "sv"),
            ("Norsk bokmål", "nb"),
            ("Français", "fr"),
            ("suomi", "fi"),
            // kept, for the limits to judge
            ("Elvish", "Elvish"),
            ("fil", "fil"),
            ("is-not-a-language", "is-not-a-language"),
            ("", ""),
        ] {
            assert_eq!(language(given), expected, "{given:?}");
        }
    }

    #[test]
    fn profiles_become_propstreets_form_and_what_is_none_stays() {
        for (given, expected) in [
            ("https://www.linkedin.com/in/anna-berg", "https://www.linkedin.com/in/anna-berg"),
            ("http://se.linkedin.com/in/anna-berg/?originalSubdomain=se", "https://www.linkedin.com/in/anna-berg"),
            ("www.linkedin.com/in/Anna-Berg?trk=public_profile", "https://www.linkedin.com/in/Anna-Berg"),
            ("linkedin.com/in/a%C3%A5-1/", "https://www.linkedin.com/in/a%C3%A5-1"),
            (" anna-berg ", "https://www.linkedin.com/in/anna-berg"),
            ("in/anna-berg", "https://www.linkedin.com/in/anna-berg"),
            ("/in/anna-berg/?trk=x", "https://www.linkedin.com/in/anna-berg"),
            ("anna_b1?trk=x", "https://www.linkedin.com/in/anna_b1"),
            // kept, for the limits to judge
            ("https://www.linkedin.com/company/acme", "https://www.linkedin.com/company/acme"),
            ("https://www.linkedin.com/pub/anna-berg/1/2/3", "https://www.linkedin.com/pub/anna-berg/1/2/3"),
            ("https://elsewhere.example/in/anna-berg", "https://elsewhere.example/in/anna-berg"),
            ("anna@berg.se", "anna@berg.se"),
            ("Anna Berg", "Anna Berg"),
            ("ab", "ab"),
            ("12345", "12345"),
            ("None", "None"),
            ("saknas", "saknas"),
            ("-", "-"),
            ("n/a", "n/a"),
            ("", ""),
        ] {
            assert_eq!(linkedin(given), expected, "{given:?}");
        }
    }

    #[test]
    fn countries_become_two_letters() {
        for (given, expected) in [
            ("SE", "SE"),
            ("se", "SE"),
            ("SWE", "SE"),
            ("Sweden", "SE"),
            ("Sverige", "SE"),
            ("NORGE", "NO"),
            ("Danmark", "DK"),
            ("Suomi", "FI"),
            ("Ísland", "IS"),
            ("Åland", "AX"),
            ("UK", "GB"),
            ("U.S.A.", "US"),
            ("The Netherlands", "NL"),
            ("Österreich", "AT"),
            ("Republic of Korea", "KR"),
            ("Atlantis", "Atlantis"),
            ("", ""),
        ] {
            assert_eq!(country(given), expected, "{given:?}");
        }
    }

    /// As a geocoder shows the country of an address, in the language of whoever typed it.
    #[test]
    fn countries_are_read_in_the_languages_of_the_neighbours() {
        // Danish, German, English, Finnish, French, Norwegian, Swedish.
        for (code, names) in [
            ("SE", ["Sverige", "Schweden", "Sweden", "Ruotsi", "Suède", "Sverige", "Sverige"]),
            ("NO", ["Norge", "Norwegen", "Norway", "Norja", "Norvège", "Norge", "Norge"]),
            ("DK", ["Danmark", "Dänemark", "Denmark", "Tanska", "Danemark", "Danmark", "Danmark"]),
            ("FI", ["Finland", "Finnland", "Finland", "Suomi", "Finlande", "Finland", "Finland"]),
            ("IS", ["Island", "Island", "Iceland", "Islanti", "Islande", "Island", "Island"]),
            ("DE", ["Tyskland", "Deutschland", "Germany", "Saksa", "Allemagne", "Tyskland", "Tyskland"]),
            ("PL", ["Polen", "Polen", "Poland", "Puola", "Pologne", "Polen", "Polen"]),
            (
                "GB",
                [
                    "Storbritannien",
                    "Vereinigtes Königreich",
                    "United Kingdom",
                    "Yhdistynyt kuningaskunta",
                    "Royaume-Uni",
                    "Storbritannia",
                    "Storbritannien",
                ],
            ),
            ("US", ["USA", "Vereinigte Staaten", "United States", "Yhdysvallat", "États-Unis", "USA", "USA"]),
            ("NL", ["Holland", "Niederlande", "Netherlands", "Alankomaat", "Pays-Bas", "Nederland", "Nederländerna"]),
            ("FR", ["Frankrig", "Frankreich", "France", "Ranska", "France", "Frankrike", "Frankrike"]),
            ("ES", ["Spanien", "Spanien", "Spain", "Espanja", "Espagne", "Spania", "Spanien"]),
        ] {
            for name in names {
                assert_eq!(country(name), code, "{name}");
            }
        }
    }

    #[test]
    fn no_alias_shadows_a_country_of_the_standard() {
        for (code, names) in COUNTRY_ALIASES {
            assert!(rust_iso3166::from_alpha2(code).is_some());
            for name in names {
                assert_eq!(country(name), code, "{name}");
                let standard = rust_iso3166::ALL.iter().find(|country| sorted(country.name) == sorted(name));
                assert!(standard.is_none_or(|country| country.alpha2 == code), "{name}");
            }
        }
    }

    /// The same cases in every run.
    fn seeded() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(seeded())]

        #[test]
        fn e164_is_stable_and_loses_no_digit_but_prefixes(
            number in "(\\+46|0046|0)?[0-9 ()-]{0,14}", home in prop_oneof![Just("SE"), Just("NO"), Just("IT")],
        ) {
            let once = e164(&number, region(home));
            prop_assert_eq!(&e164(&once, region(home)), &once);
            let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
            let given = digits(&number);
            let bare = given.trim_start_matches('0').trim_start_matches("46").trim_start_matches('0');
            prop_assert!(digits(&once).ends_with(bare), "{number:?} became {once:?}");
        }

        #[test]
        fn no_transform_panics_and_each_is_stable(text in "\\PC{0,30}") {
            let phone = Change::E164(region("SE"));
            let words = [Change::Lower, Change::Language, Change::Country, Change::Linkedin, Change::SplitFirst];
            for change in [Change::Keep, phone].into_iter().chain(words) {
                let once = change.apply(&text);
                let again = change.apply(&once);
                prop_assert_eq!(again, once, "{:?}", change);
            }
        }
    }
}
