//! Propstreet's limits in one table, in UTF-16 units (the stricter reading), and the only way to a
//! [`crate::domain::contact::Contact`]. Repairs lose nothing; what would need more is for a person to correct.

use email_address::{EmailAddress, Options};
use isolang::Language;

use crate::domain::contact::{Contact, Draft};
use crate::domain::failure::{Complaint, Reason};
use crate::domain::homepage::{domain, homepage};

/// Most tags a contact may carry.
pub const MAX_TAGS: usize = 100;

/// One limited field: every text field of a contact has a row in [`LIMITS`].
struct Limit {
    field: &'static str,
    of: fn(&mut Draft) -> &mut Option<String>,
    /// UTF-16 units.
    max: usize,
    form: Form,
}

/// What a field must look like beyond its length.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Email,
    LinkedIn,
    Language,
    Homepage,
    Domain,
    Country,
}

/// The table. Where Propstreet's pages disagree (255 or 500 for a name, 254 or 255 for an e-mail) the smaller is taken.
const LIMITS: [Limit; 13] = [
    Limit { field: "first_name", of: |d| &mut d.first_name, max: 255, form: Form::Text },
    Limit { field: "last_name", of: |d| &mut d.last_name, max: 255, form: Form::Text },
    Limit { field: "email", of: |d| &mut d.email, max: 254, form: Form::Email },
    Limit { field: "phone", of: |d| &mut d.phone, max: 50, form: Form::Text },
    Limit { field: "linkedin_url", of: |d| &mut d.linkedin_url, max: 500, form: Form::LinkedIn },
    Limit { field: "primary_language", of: |d| &mut d.primary_language, max: 10, form: Form::Language },
    Limit { field: "strategy", of: |d| &mut d.strategy, max: 4_000, form: Form::Text },
    Limit { field: "company", of: |d| &mut d.company, max: 255, form: Form::Text },
    Limit { field: "company_id", of: |d| &mut d.company_id, max: 255, form: Form::Text },
    Limit { field: "company_website", of: |d| &mut d.company_website, max: 500, form: Form::Homepage },
    Limit { field: "company_domain", of: |d| &mut d.company_domain, max: 255, form: Form::Domain },
    Limit { field: "company_country", of: |d| &mut d.company_country, max: 2, form: Form::Country },
    Limit { field: "job_title", of: |d| &mut d.job_title, max: 255, form: Form::Text },
];

/// A draft that has passed the limits, repaired where that loses nothing.
///
/// # Errors
/// `invalid_field` lists every field that breaks a limit, with the class of its value and never the value;
/// `no_identifier` if neither name, e-mail nor phone is left.
pub fn check(mut draft: Draft) -> Result<Contact, Complaint> {
    let mut faults = Vec::new();
    for limit in &LIMITS {
        let slot = (limit.of)(&mut draft);
        *slot = slot.take().map(|value| limit.form.repair(trim(&value))).filter(|value| limit.keeps(value));
        if let Some(fault) = slot.as_deref().and_then(|value| limit.fault(value)) {
            faults.push(format!("{}: {fault}", limit.field));
        }
    }
    let tags = distinct(&draft.tags);
    if tags.len() > MAX_TAGS {
        faults.push(format!("tags: {} of them, the limit is {MAX_TAGS}", tags.len()));
    }
    if !faults.is_empty() {
        return Err(Complaint::new(Reason::InvalidField, faults.join("; ")));
    }
    if [&draft.first_name, &draft.last_name, &draft.email, &draft.phone].into_iter().all(Option::is_none) {
        return Err(Complaint::new(Reason::NoIdentifier, "neither first_name, last_name, email nor phone has a value"));
    }
    Ok(Contact {
        first_name: draft.first_name,
        last_name: draft.last_name,
        email: draft.email,
        phone: draft.phone,
        linkedin_url: draft.linkedin_url,
        primary_language: draft.primary_language,
        strategy: draft.strategy,
        tags,
        company: draft.company,
        company_id: draft.company_id,
        company_website: draft.company_website,
        company_domain: draft.company_domain,
        company_country: draft.company_country,
        job_title: draft.job_title,
    })
}

/// Longest name and phone that an upsert by reference takes (Propstreet: "Upsert contact"), shorter than elsewhere.
const UPSERT_NAME: usize = 100;
const UPSERT_PHONE: usize = 20;

/// Whether a contact fits the upsert by reference.
///
/// # Errors
/// `invalid_field` lists every field that does not, with its length.
pub fn check_upsert(contact: &Contact) -> Result<(), Complaint> {
    let fields = [
        ("first_name", contact.first_name(), UPSERT_NAME),
        ("last_name", contact.last_name(), UPSERT_NAME),
        ("phone", contact.phone(), UPSERT_PHONE),
    ];
    let faults: Vec<String> = fields
        .into_iter()
        .filter_map(|(field, value, max)| Some((field, value?.encode_utf16().count(), max)))
        .filter(|(_, units, max)| units > max)
        .map(|(field, units, max)| format!("{field}: {units} characters, the limit is {max} to bring a contact back"))
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Complaint::new(Reason::InvalidField, faults.join("; "))) }
}

impl Limit {
    /// Whether there is anything to send or to complain of. What only describes the employer is left out where it does not
    /// fit: nobody is kept out of Propstreet for their company's homepage.
    fn keeps(&self, value: &str) -> bool {
        let describes_employer = matches!(self.form, Form::Homepage | Form::Domain | Form::Country);
        !(value.is_empty() || describes_employer && self.fault(value).is_some())
    }

    /// What is wrong with a value, by its class.
    fn fault(&self, value: &str) -> Option<String> {
        let units = value.encode_utf16().count();
        if units > self.max {
            return Some(format!("{units} characters, the limit is {}", self.max));
        }
        self.form.fault(value).map(|class| format!("{units} characters, {class}"))
    }
}

impl Form {
    /// The value in the form Propstreet asks for, where that loses nothing; else the value as it was.
    fn repair(self, value: &str) -> String {
        match self {
            Self::Text => None,
            Self::Email => lower_domain(value),
            Self::LinkedIn => linkedin(value),
            Self::Language => language(value),
            Self::Homepage => homepage(value),
            Self::Domain => domain(value),
            Self::Country => country(value),
        }
        .unwrap_or_else(|| value.to_owned())
    }

    fn fault(self, value: &str) -> Option<&'static str> {
        match self {
            Self::Text => None,
            Self::Email => email_fault(value),
            Self::LinkedIn => (linkedin(value).as_deref() != Some(value))
                .then_some("not of the form https://www.linkedin.com/in/NAME"),
            Self::Language => Language::from_639_1(value).is_none().then_some("not a language of ISO 639-1"),
            Self::Homepage => homepage(value).is_none().then_some("not the address of a homepage"),
            Self::Domain => domain(value).is_none().then_some("not a domain"),
            Self::Country => country(value).is_none().then_some("not a country of ISO 3166-1"),
        }
    }
}

/// Blanks, control and invisible characters at the ends say nothing.
fn trim(value: &str) -> &str {
    value.trim_matches(|c: char| {
        c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
    })
}

/// The tags as a set, in first-seen order.
fn distinct(tags: &[String]) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    tags.iter().map(|tag| trim(tag)).filter(|tag| !tag.is_empty() && seen.insert(*tag)).map(str::to_owned).collect()
}

/// Domains have no case; local parts may have one, so they are left alone.
fn lower_domain(value: &str) -> Option<String> {
    let (local, domain) = value.rsplit_once('@')?;
    Some(format!("{local}@{}", domain.to_lowercase()))
}

fn email_fault(value: &str) -> Option<&'static str> {
    let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
    if EmailAddress::parse_with_options(value, options).is_ok() {
        return None;
    }
    Some(match value.matches('@').count() {
        0 => "no @",
        1 if value.contains(char::is_whitespace) => "a blank inside",
        1 if value.contains(['<', '>']) => "a name and brackets around the address",
        1 if value.ends_with('@') || value.starts_with('@') => "nothing on one side of the @",
        1 if !value.rsplit('@').next().is_some_and(|domain| domain.contains('.')) => "a domain without a dot",
        1 => "not a valid address",
        _ => "more than one @",
    })
}

/// The address of a LinkedIn profile in Propstreet's form. The profile's name alone identifies it, so the scheme, the
/// host's language or device (`se.`, `m.`), a slash at the end, a query and a fragment (tracking) carry nothing.
/// `None` for anything but a profile: a company page, a bare name, a longer path.
#[must_use]
pub fn linkedin(value: &str) -> Option<String> {
    let rest = match value.split_once("://") {
        Some((scheme, rest)) => ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)).then_some(rest)?,
        None => value,
    };
    let rest = rest.split(['?', '#']).next()?;
    let (host, path) = rest.split_once('/')?;
    let host = host.to_ascii_lowercase();
    let prefix = host.strip_suffix("linkedin.com")?;
    let known = matches!(prefix, "" | "www." | "m.")
        || prefix.strip_suffix('.').is_some_and(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_lowercase()));
    let (folder, slug) = path.split_once('/')?;
    let slug = slug.strip_suffix('/').unwrap_or(slug);
    let clean = !slug.is_empty() && !slug.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
    (known && folder.eq_ignore_ascii_case("in") && clean).then(|| format!("https://www.linkedin.com/in/{slug}"))
}

/// ISO 639-1: `sv` for `sv`, `SV`, `sv-SE`, `sv_SE` and `swe`; `None` for what is not a language tag, or for a language
/// without two letters.
#[must_use]
pub fn language(value: &str) -> Option<String> {
    let mut parts = value.split(['-', '_']);
    let primary = parts.next()?.to_ascii_lowercase();
    if !parts.all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())) {
        return None;
    }
    let language = Language::from_639_1(&primary).or_else(|| Language::from_639_3(&primary))?;
    language.to_639_1().map(str::to_owned)
}

/// ISO 3166-1 alpha-2, in upper case.
fn country(value: &str) -> Option<String> {
    rust_iso3166::from_alpha2(&value.to_ascii_uppercase()).map(|country| country.alpha2.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn named() -> Draft {
        Draft { last_name: Some("Berg".to_owned()), ..Draft::default() }
    }

    fn with(field: &str, value: &str) -> Draft {
        let mut draft = named();
        let limit = LIMITS.iter().find(|l| l.field == field).expect("a field of the table");
        *(limit.of)(&mut draft) = Some(value.to_owned());
        draft
    }

    fn back(contact: &Contact) -> Draft {
        Draft {
            first_name: contact.first_name.clone(),
            last_name: contact.last_name.clone(),
            email: contact.email.clone(),
            phone: contact.phone.clone(),
            linkedin_url: contact.linkedin_url.clone(),
            primary_language: contact.primary_language.clone(),
            strategy: contact.strategy.clone(),
            tags: contact.tags.clone(),
            company: contact.company.clone(),
            company_id: contact.company_id.clone(),
            company_website: contact.company_website.clone(),
            company_domain: contact.company_domain.clone(),
            company_country: contact.company_country.clone(),
            job_title: contact.job_title.clone(),
        }
    }

    #[test]
    fn values_are_repaired_without_loss() {
        for (field, given, kept) in [
            ("first_name", " \u{feff}Åsa\u{200b}\n", Some("Åsa")),
            ("first_name", " \t", None),
            ("strategy", "one\ntwo", Some("one\ntwo")),
            ("email", " Anna.Berg@Example.SE ", Some("Anna.Berg@example.se")),
            ("email", "åsa@RÄKSMÖRGÅS.se", Some("åsa@räksmörgås.se")),
            ("email", "o'brien+x@sub.example.co.uk", Some("o'brien+x@sub.example.co.uk")),
            ("phone", "call the office", Some("call the office")),
            ("primary_language", "sv", Some("sv")),
            ("primary_language", "SV", Some("sv")),
            ("primary_language", "sv-SE", Some("sv")),
            ("primary_language", "sv_SE", Some("sv")),
            ("primary_language", "zh-Hant-HK", Some("zh")),
            ("primary_language", "swe", Some("sv")),
            ("linkedin_url", "https://www.linkedin.com/in/anna-berg", Some("https://www.linkedin.com/in/anna-berg")),
            ("linkedin_url", "http://linkedin.com/in/Anna-Berg/", Some("https://www.linkedin.com/in/Anna-Berg")),
            ("linkedin_url", "www.LinkedIn.com/IN/åsa?utm=1", Some("https://www.linkedin.com/in/åsa")),
            ("linkedin_url", "https://se.linkedin.com/in/a-1/?x=/y#top", Some("https://www.linkedin.com/in/a-1")),
            ("linkedin_url", "m.linkedin.com/in/a%C3%A5", Some("https://www.linkedin.com/in/a%C3%A5")),
            ("company_website", " www.Acme.se ", Some("https://www.acme.se")),
            ("company_domain", "https://www.Acme.se/start", Some("acme.se")),
            ("company_country", "se", Some("SE")),
        ] {
            let mut draft = with(field, given);
            draft.phone.get_or_insert_with(|| "1".to_owned());
            let contact = check(draft).unwrap_or_else(|complaint| panic!("{field} {given:?}: {complaint:?}"));
            let mut repaired = back(&contact);
            let limit = LIMITS.iter().find(|l| l.field == field).expect("a field of the table");
            assert_eq!((limit.of)(&mut repaired).as_deref(), kept, "{field} {given:?}");
        }
    }

    #[test]
    fn what_only_describes_the_employer_keeps_nobody_out() {
        let long = format!("https://acme.se/{}", "x".repeat(500));
        for (field, given) in [
            ("company_website", "ask Bo"),
            ("company_website", "www.acme.se, www.acme.no"),
            ("company_website", &long),
            ("company_domain", "info@acme.se"),
            ("company_domain", "none"),
            ("company_country", "Atlantis"),
            ("company_country", "XX"),
            ("company_country", "UK"),
        ] {
            assert_eq!(check(with(field, given)), check(named()), "{field} {given}");
        }
        let nameless = check(with("company_id", &"7".repeat(256)));
        assert!(nameless.is_err(), "an id that is cut short would be another company's");
    }

    #[test]
    fn a_complaint_names_the_class_of_the_value() {
        for (field, given, class) in [
            ("email", "anna.berg.example.se", "20 characters, no @"),
            ("email", "anna@berg@example.se", "20 characters, more than one @"),
            ("email", "anna berg@example.se", "20 characters, a blank inside"),
            ("email", "<anna@example.se>", "17 characters, a name and brackets around the address"),
            ("email", "anna@localhost", "14 characters, a domain without a dot"),
            ("email", "@example.se", "11 characters, nothing on one side of the @"),
            ("email", "anna@example..se", "16 characters, not a valid address"),
            ("email", "anna@[127.0.0.1]", "16 characters, not a valid address"),
            ("primary_language", "Swedish", "7 characters, not a language of ISO 639-1"),
            ("primary_language", "xx", "2 characters, not a language of ISO 639-1"),
            ("primary_language", "sv-", "3 characters, not a language of ISO 639-1"),
            ("linkedin_url", "anna-berg", "9 characters, not of the form https://www.linkedin.com/in/NAME"),
            (
                "linkedin_url",
                "https://www.linkedin.com/company/x",
                "34 characters, not of the form https://www.linkedin.com/in/NAME",
            ),
            (
                "linkedin_url",
                "https://linkedin.com.evil.example/in/a",
                "38 characters, not of the form https://www.linkedin.com/in/NAME",
            ),
            (
                "linkedin_url",
                "ftp://www.linkedin.com/in/a",
                "27 characters, not of the form https://www.linkedin.com/in/NAME",
            ),
            (
                "linkedin_url",
                "https://www.linkedin.com/in/a/b",
                "31 characters, not of the form https://www.linkedin.com/in/NAME",
            ),
            (
                "linkedin_url",
                "https://www.linkedin.com/in/",
                "28 characters, not of the form https://www.linkedin.com/in/NAME",
            ),
        ] {
            let complaint = check(with(field, given)).expect_err(given);
            assert_eq!(complaint.reason, Reason::InvalidField);
            assert_eq!(complaint.detail, format!("{field}: {class}"), "{given:?}");
        }
    }

    #[test]
    fn every_length_is_held_at_its_edge_in_utf16_units() {
        for limit in LIMITS.iter().filter(|l| matches!(l.form, Form::Text)) {
            assert!(check(with(limit.field, &"å".repeat(limit.max))).is_ok(), "{}", limit.field);
            let complaint = check(with(limit.field, &"å".repeat(limit.max + 1))).expect_err(limit.field);
            let expected = format!("{}: {} characters, the limit is {}", limit.field, limit.max + 1, limit.max);
            assert_eq!(complaint.detail, expected);
        }
        let name = "𝒜".repeat(128);
        assert!(check(with("first_name", &name)).is_err(), "a letter outside the first plane counts twice");
        assert!(check(with("first_name", &name[4..])).is_ok());

        let email =
            |length: usize| format!("{}@{}.{}.se", "a".repeat(64), "b".repeat(63), "c".repeat(length - 64 - 63 - 5));
        assert!(check(with("email", &email(190))).is_ok());
        let long = format!("{}@{}.{}.{}.se", "a".repeat(64), "b".repeat(63), "c".repeat(63), "d".repeat(59));
        assert_eq!(long.len(), 255);
        assert_eq!(check(with("email", &long)).expect_err("255").detail, "email: 255 characters, the limit is 254");

        let profile = |length: usize| format!("https://www.linkedin.com/in/{}", "a".repeat(length - 28));
        assert!(check(with("linkedin_url", &profile(500))).is_ok());
        assert!(check(with("linkedin_url", &profile(501))).is_err());
    }

    #[test]
    fn tags_are_a_set_of_at_most_a_hundred() {
        let tagged = |tags: Vec<String>| check(Draft { tags, ..named() });
        let contact = tagged([" b ", "a", "", "b", "A", " "].map(str::to_owned).to_vec()).expect("valid");
        assert_eq!(contact.tags(), ["b", "a", "A"]);
        let numbered = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert!(tagged(numbered(100)).is_ok());
        assert!(tagged([numbered(100), numbered(100)].concat()).is_ok(), "counted once each");
        assert_eq!(tagged(numbered(101)).expect_err("101").detail, "tags: 101 of them, the limit is 100");
    }

    #[test]
    fn every_fault_is_listed_and_one_identifier_is_enough() {
        let draft = Draft {
            email: Some("nobody".to_owned()),
            primary_language: Some("Elvish".to_owned()),
            phone: Some("0".repeat(51)),
            ..Draft::default()
        };
        let complaint = check(draft).expect_err("three faults");
        assert_eq!(
            complaint.detail,
            "email: 6 characters, no @; phone: 51 characters, the limit is 50; \
             primary_language: 6 characters, not a language of ISO 639-1"
        );
        let only = |draft: Draft| check(draft).map(|_| ()).map_err(|c| c.reason);
        let some = || Some("x@y.se".to_owned());
        assert_eq!(only(Draft { first_name: some(), ..Draft::default() }), Ok(()));
        assert_eq!(only(Draft { last_name: some(), ..Draft::default() }), Ok(()));
        assert_eq!(only(Draft { email: some(), ..Draft::default() }), Ok(()));
        assert_eq!(only(Draft { phone: some(), ..Draft::default() }), Ok(()));
        let nobody = Draft { company: some(), job_title: some(), last_name: Some(" ".to_owned()), ..Draft::default() };
        assert_eq!(only(nobody), Err(Reason::NoIdentifier));
    }

    /// The same cases in every run.
    fn seeded() -> ProptestConfig {
        ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(seeded())]

        #[test]
        fn checking_twice_is_checking_once(
            name in "\\PC{0,20}", phone in "[0-9+ -]{0,20}",
            local in "[a-zA-ZåÅ.+@ ]{1,12}", domain in "[a-zA-ZåÅİΣ.-]{1,20}",
            slug in "(https?://)?(www\\.|se\\.)?linkedin\\.com/in/[a-z/?#]{0,8}",
            language in "[a-zA-Z]{2,3}([-_][A-Z]{2})?", tags in proptest::collection::vec("[ab ]{0,3}", 0..6),
        ) {
            let draft = Draft {
                first_name: Some(name), email: Some(format!("{local}@{domain}")), phone: Some(phone),
                linkedin_url: Some(slug), primary_language: Some(language), tags, ..named()
            };
            // A field that fails is dropped, so that the others are still tried.
            let mut valid = named();
            for limit in &LIMITS {
                let mut alone = named();
                let mut given = draft.clone();
                *(limit.of)(&mut alone) = (limit.of)(&mut given).take();
                if check(alone.clone()).is_ok() {
                    *(limit.of)(&mut valid) = (limit.of)(&mut alone).take();
                }
            }
            valid.tags = draft.tags;
            valid.phone.get_or_insert_with(|| "1".to_owned());
            let once = check(valid).expect("each field passed alone");
            prop_assert_eq!(check(back(&once)), Ok(once.clone()));
            prop_assert_eq!(once.without_email().map(|c| check(back(&c)).is_ok()), Some(true));
        }

        #[test]
        fn no_complaint_repeats_a_value(value in "[q-z]{6,40}") {
            for field in ["email", "linkedin_url", "primary_language"] {
                let complaint = check(with(field, &value)).expect_err("no letters form one of these");
                prop_assert!(!complaint.detail.contains(&value), "{}", complaint.detail);
            }
        }
    }
}
