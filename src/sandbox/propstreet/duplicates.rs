//! `POST /companies/find-duplicates`: the companies that one about to be created may already be, each by the method that
//! speaks loudest for it. The methods' names are the documented ones; what each of them compares is our guess.
//! <https://docs.propstreet.com/api-reference/model/DuplicateCompany>

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::sandbox::propstreet::company::{Company, bare};
use crate::sandbox::propstreet::contact::id_json;
use crate::sandbox::propstreet::input::Reader;
use crate::sandbox::propstreet::knobs::Ids;
use crate::sandbox::propstreet::limits::is_country;
use crate::sandbox::propstreet::problem::Problem;

/// Names less alike than this are not told of.
const ALIKE: f64 = 0.88;
/// No more hits than this.
const MOST: usize = 10;
/// What companies are, not how they are called.
const LEGAL_FORMS: [&str; 14] =
    ["ab", "publ", "as", "asa", "aps", "oy", "oyj", "hb", "kb", "ltd", "gmbh", "inc", "llc", "plc"];

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    name: Option<String>,
    domain: Option<String>,
    country: Option<String>,
    /// Whether a reference whose id is the domain says as much as the domain.
    pub(super) domain_in_refs: bool,
}

impl Question {
    pub(super) fn read(body: Map<String, Value>) -> Result<Self, Problem> {
        let mut reader = Reader::new(body);
        let question = Self {
            name: reader.text("name", 255, |_| true).flatten().filter(|name| !name.trim().is_empty()),
            domain: reader.text("domain", 255, |_| true).flatten().map(|domain| bare(&domain)),
            country: reader.text("countryCode", 10, is_country).flatten(),
            domain_in_refs: false,
        };
        if question.name.is_none() && question.domain.is_none() {
            reader.fail("name", "is required");
        }
        reader.finish()?;
        Ok(question)
    }

    /// The hits among `companies`, the likeliest first.
    pub(super) fn hits<'a>(&self, companies: impl Iterator<Item = &'a Company>, ids: Ids) -> Vec<Value> {
        let mut hits: Vec<_> = companies.filter_map(|company| Some((self.hit(company)?, company))).collect();
        hits.sort_by(|((_, one), a), ((_, other), b)| other.total_cmp(one).then(a.id.cmp(&b.id)));
        hits.truncate(MOST);
        hits.into_iter()
            .map(|((method, score), company)| {
                json!({
                    "id": id_json(company.id, ids),
                    "name": company.name,
                    "domain": company.domain,
                    "countryCode": company.country_code,
                    "method": method,
                    "score": score,
                })
            })
            .collect()
    }

    /// The loudest method and its score. A company of another country is told of too, a little lower.
    fn hit(&self, company: &Company) -> Option<(&'static str, f64)> {
        let of_domain = |domain: &String| {
            let in_refs = || company.refs.iter().any(|reference| bare(&reference.id) == *domain);
            company.domain.as_ref() == Some(domain) || (self.domain_in_refs && in_refs())
        };
        if self.domain.as_ref().is_some_and(of_domain) {
            return Some(("Domain", 1.0));
        }
        let (method, score) = by_name(&words(self.name.as_deref()?), &words(&company.name))?;
        let abroad = matches!((&self.country, &company.country_code), (Some(one), Some(other)) if one != other);
        Some((method, if abroad { score - 0.1 } else { score }))
    }
}

fn by_name(one: &[String], other: &[String]) -> Option<(&'static str, f64)> {
    if one.is_empty() || other.is_empty() {
        return None;
    }
    if one == other {
        return Some(("NormalizedName", 0.95));
    }
    let sets = [one, other].map(|words| words.iter().collect::<BTreeSet<_>>());
    if sets[0].is_subset(&sets[1]) || sets[1].is_subset(&sets[0]) {
        return Some(("TokenContainment", 0.85));
    }
    let likeness = jaro_winkler(&one.join(" "), &other.join(" "));
    (likeness >= ALIKE).then_some(("JaroWinkler", likeness))
}

/// The words of a name, lower-case, without accents, punctuation and legal forms.
fn words(name: &str) -> Vec<String> {
    let plain = |c: char| match c {
        'å' | 'ä' | 'æ' => 'a',
        'ö' | 'ø' => 'o',
        'é' => 'e',
        c => c,
    };
    let name: String = name.to_lowercase().replace("a/s", "as").chars().map(plain).collect();
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.filter(|word| !LEGAL_FORMS.contains(word)).map(str::to_owned).collect()
}

/// Jaro's likeness, raised by up to four common first letters.
#[expect(clippy::cast_precision_loss, reason = "names are short")]
fn jaro_winkler(one: &str, other: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let reach = (a.len().max(b.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut pairs = Vec::new();
    for (i, letter) in a.iter().enumerate() {
        let near = i.saturating_sub(reach)..b.len().min(i + reach + 1);
        if let Some(j) = near.into_iter().find(|j| !taken[*j] && b[*j] == *letter) {
            taken[j] = true;
            pairs.push(*letter);
        }
    }
    if pairs.is_empty() {
        return 0.0;
    }
    let in_order = b.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(letter, _)| letter);
    let swapped = pairs.iter().zip(in_order).filter(|(one, other)| one != other).count() / 2;
    let common = pairs.len() as f64;
    let jaro = (common / a.len() as f64 + common / b.len() as f64 + (common - swapped as f64) / common) / 3.0;
    let start = a.iter().zip(&b).take(4).take_while(|(one, other)| one == other).count();
    jaro + start as f64 * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::propstreet::contact::ExternalRef;

    fn question(name: &str, domain: &str) -> Question {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Question { name: some(name), domain: some(domain), country: some("SE"), domain_in_refs: false }
    }

    #[test]
    fn each_method_speaks_for_what_it_compares() {
        let company = |name: &str| Company {
            name: name.to_owned(),
            domain: Some("berg.example".to_owned()),
            country_code: Some("SE".to_owned()),
            ..Company::default()
        };
        let method = |asked: Question, name: &str| asked.hit(&company(name)).map(|(method, _)| method);
        assert_eq!(method(question("Other", "berg.example"), "Berg Kapital"), Some("Domain"));
        assert_eq!(method(question("Bérg Kapital AB (publ)", ""), "berg kapital"), Some("NormalizedName"));
        assert_eq!(method(question("Berg Kapital Nordic", ""), "Berg Kapital"), Some("TokenContainment"));
        assert_eq!(method(question("Berg Kapitall", ""), "Berg Kapital"), Some("JaroWinkler"));
        assert_eq!(method(question("Sjögren Logistik", ""), "Berg Kapital"), None);
        let abroad = Company { country_code: Some("NO".to_owned()), ..company("Berg Kapital") };
        assert!(question("Berg Kapital", "").hit(&abroad).unwrap().1 < 0.95);
    }

    #[test]
    fn a_reference_may_be_the_domain() {
        let refs = vec![ExternalRef::new("hubspot", "berg.example")];
        let company = Company { name: "Berg".to_owned(), refs, ..Company::default() };
        let asked = question("Other", "berg.example");
        assert_eq!(asked.hit(&company), None);
        assert_eq!(Question { domain_in_refs: true, ..asked }.hit(&company), Some(("Domain", 1.0)));
    }

    #[test]
    fn likeness_is_that_of_the_textbook() {
        for (one, other, likeness) in [("martha", "marhta", 0.961), ("dixon", "dicksonx", 0.813), ("a", "b", 0.0)] {
            assert!((jaro_winkler(one, other) - likeness).abs() < 0.001, "{one} {other}");
        }
    }
}
