//! The people of the sandbox: who they are and a seeded generator of them, Nordic and entirely made up (all hosts end in
//! the reserved `.example`). Knows no CRM and no rule of any mapping.

/// A phone number as someone typed it, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phone {
    /// As a CRM holds it.
    pub typed: String,
    /// The same number in E.164. Typed without a country code, it is Swedish.
    pub e164: String,
}

impl Phone {
    /// A number as typed and in E.164.
    #[must_use]
    pub fn new(typed: &str, e164: &str) -> Self {
        Self { typed: typed.to_owned(), e164: e164.to_owned() }
    }
}

/// An employer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Company {
    /// Its name.
    pub name: String,
    /// Its country, in English (`Sweden`).
    pub country: String,
    /// ISO 3166-1 alpha-2 of that country.
    pub country_code: String,
    /// Its host name, without `www.`.
    pub domain: String,
}

/// One person as one CRM knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// Given name; empty if not known.
    pub first: String,
    /// Family name; empty if not known.
    pub last: String,
    /// The primary address, as typed.
    pub email: Option<String>,
    /// A desk phone.
    pub phone: Option<Phone>,
    /// A mobile phone.
    pub mobile: Option<Phone>,
    /// Job title.
    pub title: Option<String>,
    /// Employer.
    pub company: Option<Company>,
    /// ISO 639-1.
    pub language: Option<String>,
    /// `https://www.linkedin.com/in/{slug}`.
    pub linkedin: Option<String>,
    /// `HubSpot`'s lifecycle stage, Pipedrive's label; one of [`LABELS`]. Salesforce has none.
    pub label: Option<String>,
    /// Investor strategy, from a custom field.
    pub strategy: Option<String>,
}

/// The labels in use; each is a `HubSpot` lifecycle stage too.
pub const LABELS: [&str; 4] = ["subscriber", "lead", "opportunity", "customer"];

const FIRST: [&str; 28] = [
    "Anna", "Åsa", "Björn", "Cecilia", "Erik", "Märta", "Göran", "Håkan", "Ingrid", "Jörgen", "Karin", "Lars", "Maja",
    "Niklas", "Örjan", "Pär", "Sören", "Søren", "Ærlig", "Kåre", "Aino", "Päivi", "Väinö", "André", "Renée", "Tuva",
    "Øystein", "Jens",
];
const LAST: [&str; 26] = [
    "Berg",
    "Åkerström",
    "Björklund",
    "Öberg",
    "Dahl",
    "Ekström",
    "Forsén",
    "Sjögren",
    "Lindqvist",
    "Nyström",
    "Hägglund",
    "Wallén",
    "Lövgren",
    "Nygård",
    "Bjørnstad",
    "Sørensen",
    "Østergaard",
    "Kjær",
    "Næss",
    "Virtanen",
    "Hämäläinen",
    "Mäkelä",
    "Korhonen",
    "von Essen",
    "af Klercker",
    "Norén",
];
const TITLES: [&str; 8] = [
    "Head of Acquisitions",
    "Fastighetschef",
    "Transaction Manager",
    "Portfolio Manager",
    "CFO",
    "Kiinteistöpäällikkö",
    "Eiendomssjef",
    "Partner",
];
const TRADES: [&str; 8] =
    ["Fastigheter", "Kapital", "Logistik", "Bostäder", "Eiendom", "Ejendomme", "Kiinteistöt", "Invest"];
const STRATEGIES: [&str; 4] = [
    "Core-plus logistics in the Öresund region",
    "Bostäder, 5–20 MEUR",
    "Value-add offices",
    "Forward funding, care homes",
];
const COUNTRIES: [(&str, &str, &str); 4] =
    [("Sweden", "SE", "sv"), ("Norway", "NO", "nb"), ("Denmark", "DK", "da"), ("Finland", "FI", "fi")];

/// A seeded stream of people. Every person has an address of their own, so no two are the same human by chance.
#[derive(Debug, Clone)]
pub struct Crowd {
    rng: fastrand::Rng,
    serial: u32,
}

impl Crowd {
    /// The same seed gives the same people.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), serial: 0 }
    }

    /// The next person: both names and an address; the rest as it happens to be known.
    pub fn person(&mut self) -> Person {
        self.serial += 1;
        let first = self.pick(&FIRST).to_owned();
        let last = self.pick(&LAST).to_owned();
        let home = self.rng.usize(..COUNTRIES.len());
        let company = self.company(home);
        let slug = format!("{}-{}-{}", ascii(&first), ascii(&last), self.serial);
        let email = format!("{}.{}{}@{}", ascii(&first), ascii(&last), self.serial, company.domain);
        let (phone, mobile) = match self.rng.u8(..10) {
            0..4 => (None, Some(self.phone(home, true))),
            4..7 => (Some(self.phone(home, false)), None),
            7..9 => (Some(self.phone(home, false)), Some(self.phone(home, true))),
            _ => (None, None),
        };
        Person {
            first,
            last,
            email: Some(email),
            phone,
            mobile,
            title: self.sometimes(70).then(|| self.pick(&TITLES).to_owned()),
            company: self.sometimes(80).then_some(company),
            language: self.sometimes(50).then(|| COUNTRIES[home].2.to_owned()),
            linkedin: self.sometimes(30).then(|| format!("https://www.linkedin.com/in/{slug}")),
            label: self.sometimes(40).then(|| self.pick(&LABELS).to_owned()),
            strategy: self.sometimes(30).then(|| self.pick(&STRATEGIES).to_owned()),
        }
    }

    /// The same human as another CRM might spell them: the address in other case, and one of: equal, other case, no
    /// accents, an initial, family name first. Always recognisable by first and last name.
    pub fn respelt(&mut self, person: &Person) -> Person {
        let mut other = person.clone();
        if self.sometimes(50) {
            other.email = person.email.as_ref().map(|email| capitalised(email));
        }
        match self.rng.u8(..5) {
            0 => other.last = person.last.to_uppercase(),
            // ø and æ have no accent to lose: dropping them would make another name.
            1 if !has_letters_of_their_own(person) => {
                other.first = unaccented(&person.first);
                other.last = unaccented(&person.last);
            }
            2 => other.first = person.first.chars().take(1).chain(['.']).collect(),
            3 if !person.last.contains(' ') => std::mem::swap(&mut other.first, &mut other.last),
            _ => {}
        }
        other
    }

    /// Another job title.
    pub fn title(&mut self) -> String {
        format!("{} {}", self.pick(&TITLES), self.rng.u32(2..1000))
    }

    /// A Swedish mobile number in one of its usual spellings.
    pub fn mobile(&mut self) -> Phone {
        self.phone(0, true)
    }

    /// `name` with two neighbouring letters swapped, as a typist would.
    pub fn misspelt(&mut self, name: &str) -> String {
        let mut letters: Vec<char> = name.chars().collect();
        if letters.len() > 2 {
            let at = self.rng.usize(1..letters.len() - 1);
            letters.swap(at, at + 1);
        }
        letters.into_iter().collect()
    }

    /// A number below `bound`, from the same stream.
    pub fn below(&mut self, bound: usize) -> usize {
        self.rng.usize(..bound.max(1))
    }

    fn company(&mut self, home: usize) -> Company {
        let name = format!("{} {}", self.pick(&LAST), self.pick(&TRADES));
        let (country, country_code, _) = COUNTRIES[home];
        Company {
            domain: format!("{}.example", ascii(&name)),
            name,
            country: country.to_owned(),
            country_code: country_code.to_owned(),
        }
    }

    /// National spelling only for Swedish numbers, because one default region can be right for one country only.
    fn phone(&mut self, home: usize, mobile: bool) -> Phone {
        let mut digits = |n: u32| format!("{:0width$}", self.rng.u32(..10_u32.pow(n)), width = n as usize);
        let (code, head, tail) = match (home, mobile) {
            (0, true) => ("46", "70", digits(7)),
            (0, false) => ("46", "8", format!("5{}", digits(7))),
            (1, true) => ("47", "90", digits(6)),
            (1, false) => ("47", "22", digits(6)),
            (2, true) => ("45", "40", digits(6)),
            (2, false) => ("45", "33", digits(6)),
            (_, true) => ("358", "40", digits(7)),
            (_, false) => ("358", "9", format!("4{}", digits(6))),
        };
        let e164 = format!("+{code}{head}{tail}");
        let (front, back) = tail.split_at(3);
        let typed = match self.rng.u8(..if home == 0 { 5 } else { 3 }) {
            0 => e164.clone(),
            1 => format!("+{code} {head} {front} {back}"),
            2 => format!("00{code} {head}-{front} {back}"),
            3 => format!("0{head}-{front} {back}"),
            _ => format!("0{head}{tail}"),
        };
        Phone { typed, e164 }
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.rng.usize(..from.len())]
    }

    fn sometimes(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }
}

fn has_letters_of_their_own(person: &Person) -> bool {
    [&person.first, &person.last].iter().any(|name| name.contains(['ø', 'Ø', 'æ', 'Æ']))
}

fn unaccented(name: &str) -> String {
    let plain = |c| match c {
        'å' | 'ä' => 'a',
        'Å' | 'Ä' => 'A',
        'ö' => 'o',
        'Ö' => 'O',
        'é' => 'e',
        c => c,
    };
    name.chars().map(plain).collect()
}

/// Lower-case ASCII letters and digits, as hosts and mailboxes are spelt.
fn ascii(name: &str) -> String {
    let latin = unaccented(name).to_lowercase().replace('ø', "o").replace('æ', "ae");
    latin.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// `anna.berg7@x.example` → `Anna.Berg7@X.example`.
fn capitalised(email: &str) -> String {
    let mut after_a_break = true;
    let letter = |c: char| {
        let out = if after_a_break { c.to_ascii_uppercase() } else { c };
        after_a_break = matches!(c, '.' | '@');
        out
    };
    email.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_people_each_with_an_address_of_their_own() {
        let crowd = |seed| {
            let mut crowd = Crowd::new(seed);
            (0..500).map(|_| crowd.person()).collect::<Vec<_>>()
        };
        assert_eq!(crowd(7), crowd(7));
        assert_ne!(crowd(7), crowd(8));
        let addresses: BTreeSet<_> = crowd(7).into_iter().filter_map(|person| person.email).collect();
        assert_eq!(addresses.len(), 500);
    }

    #[test]
    fn a_typed_number_means_its_e164_form() {
        let mut crowd = Crowd::new(1);
        for _ in 0..500 {
            let person = crowd.person();
            for phone in person.phone.iter().chain(&person.mobile) {
                let digits: String = phone.typed.chars().filter(char::is_ascii_digit).collect();
                let international = match digits.strip_prefix("00") {
                    Some(rest) => rest.to_owned(),
                    None if phone.typed.starts_with('+') => digits,
                    None => format!("46{}", &digits[1..]),
                };
                assert_eq!(format!("+{international}"), phone.e164, "{}", phone.typed);
            }
        }
    }

    #[test]
    fn a_respelt_person_keeps_the_address_but_for_case() {
        let mut crowd = Crowd::new(2);
        for _ in 0..200 {
            let person = crowd.person();
            let other = crowd.respelt(&person);
            let lower = |p: &Person| p.email.as_ref().map(|e| e.to_lowercase());
            assert_eq!(lower(&person), lower(&other));
        }
    }
}
