//! Who a person works for, as a CRM knows it, and which company of Propstreet that is (protocol §G). Pure. A match is made
//! by a reference, a domain, or a name and a country; nothing is guessed.

use url::Url;

use crate::domain::contact::Contact;
use crate::domain::keyed::{Keyed, KeyedHash};
use crate::domain::names;

/// Fields of a company that a CRM feeds, as they are called in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the field of the same name in Propstreet")]
pub enum CompanyField {
    Name,
    Homepage,
    Domain,
    Country,
}

impl CompanyField {
    /// Every field.
    pub const ALL: [Self; 4] = [Self::Name, Self::Homepage, Self::Domain, Self::Country];

    /// Its word in the ledger.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Homepage => "homepage",
            Self::Domain => "domain",
            Self::Country => "country",
        }
    }
}

/// An employer as its CRM knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Employer {
    /// The CRM's id of the company; without it, the name is what somebody once typed.
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its homepage, where that is its own.
    pub homepage: Option<String>,
    /// Its domain: the homepage's, or the CRM's own field. Never that of a mailbox or site for everybody.
    pub domain: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

impl Employer {
    /// The employer that a contact names, if it names one.
    #[must_use]
    pub fn of(contact: &Contact) -> Option<Self> {
        if contact.company().is_none() && contact.company_id().is_none() {
            return None;
        }
        let website = contact.company_website().and_then(|site| Some((site, own_domain(&host(site)?)?)));
        let domain = contact.company_domain().and_then(|domain| own_domain(&host(domain)?));
        Some(Self {
            id: contact.company_id().map(str::to_owned),
            name: contact.company().map(str::to_owned),
            // Propstreet makes the host of a homepage the company's domain: that of a site for everybody must not be.
            homepage: website.as_ref().map(|(site, _)| with_scheme(site)),
            domain: website.map(|(_, domain)| domain).or(domain),
            country: contact.company_country().map(str::to_uppercase),
        })
    }

    /// The value a field has in the CRM.
    #[must_use]
    pub fn value(&self, field: CompanyField) -> Option<&str> {
        match field {
            CompanyField::Name => self.name.as_deref(),
            CompanyField::Homepage => self.homepage.as_deref(),
            // Beside a homepage Propstreet ignores a domain.
            CompanyField::Domain if self.homepage.is_some() => None,
            CompanyField::Domain => self.domain.as_deref(),
            CompanyField::Country => self.country.as_deref(),
        }
    }

    /// By what [`judge`] may find it to be another's company too, always in this order.
    #[must_use]
    pub fn alike(&self) -> Vec<String> {
        let domain = self.domain.as_ref().map(|domain| format!("domain {domain}"));
        let name = self.name.as_deref().zip(self.country.as_deref());
        let name = name.map(|(name, country)| format!("name {} {country}", CompanyName::of(name).core));
        domain.into_iter().chain(name).collect()
    }
}

/// A company that Propstreet says this may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hit {
    /// Propstreet's id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its domain.
    pub domain: Option<String>,
    /// Its country.
    pub country: Option<String>,
    /// Propstreet's word for how it was found.
    pub method: String,
}

/// What the hits come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// None of them is it.
    Nobody,
    /// This one is it, by this.
    One(String, &'static str),
    /// Several may be, and nothing says which.
    Several(Vec<String>),
}

/// Which of the hits an employer is: the one with its domain, or else the one with its name in its country. How alike
/// Propstreet finds them otherwise counts for nothing.
#[must_use]
pub fn judge(employer: &Employer, hits: &[Hit]) -> Match {
    let by_domain = |hit: &&Hit| {
        let theirs = hit.domain.as_deref().and_then(host).and_then(|host| own_domain(&host));
        hit.method == "Domain" && theirs.is_some() && theirs == employer.domain
    };
    let by_name = |hit: &&Hit| {
        let same_country = match (&employer.country, &hit.country) {
            (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs),
            _ => false,
        };
        let same_name = match (&employer.name, &hit.name) {
            (Some(ours), Some(theirs)) => CompanyName::of(ours).agrees(&CompanyName::of(theirs)),
            _ => false,
        };
        hit.method == "NormalizedName" && same_country && same_name
    };
    match only(hits.iter().filter(by_domain), "its domain") {
        Match::Nobody => only(hits.iter().filter(by_name), "its name and country"),
        found => found,
    }
}

fn only<'a>(hits: impl Iterator<Item = &'a Hit>, by: &'static str) -> Match {
    let mut ids: Vec<String> = hits.map(|hit| hit.id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    match ids.pop() {
        None => Match::Nobody,
        Some(id) if ids.is_empty() => Match::One(id, by),
        Some(id) => Match::Several(ids.into_iter().chain([id]).collect()),
    }
}

/// One field of a company: what the CRM said last, and what Propstreet returned then, hashed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KnownField(pub String, pub Option<KeyedHash>, pub Option<KeyedHash>);

/// Whether the CRM says of a company what it said last. What it leaves empty, it says nothing of.
#[must_use]
pub fn is_as_known(employer: &Employer, known: &[KnownField], keyed: &Keyed) -> bool {
    CompanyField::ALL.into_iter().all(|field| {
        employer.value(field).is_none_or(|value| said(field, known).0 == Some(keyed.field(field.name(), value)))
    })
}

/// The fields of a company that are to be written: those that the CRM has changed since it spoke last, as long as
/// Propstreet shows what it returned then. What somebody changed there is theirs.
#[must_use]
pub fn follow<'e>(
    employer: &'e Employer,
    known: &[KnownField],
    shown: impl Fn(CompanyField) -> Option<String>,
    keyed: &Keyed,
) -> Vec<(CompanyField, &'e str)> {
    let changed = |field: CompanyField| {
        let value = employer.value(field)?;
        let (sent, returned) = said(field, known);
        let there = shown(field);
        let ours = there.as_deref().map(|there| keyed.field(field.name(), there)) == returned;
        (sent != Some(keyed.field(field.name(), value)) && ours && !is_same(there.as_deref(), value))
            .then_some((field, value))
    };
    CompanyField::ALL.into_iter().filter_map(changed).collect()
}

/// What is sent of a company that is about to be made.
#[must_use]
pub fn send(employer: &Employer, keyed: &Keyed) -> Vec<KnownField> {
    remember(employer, &[], |field| employer.value(field).map(str::to_owned), &CompanyField::ALL, keyed)
}

/// What is known of a company that was sent and whose answer was lost, given what it shows: what the CRM says still is
/// what Propstreet returned, perhaps in its own spelling; what the CRM has changed since is still to follow.
#[must_use]
pub fn arrive(
    employer: &Employer,
    sent: &[KnownField],
    shown: impl Fn(CompanyField) -> Option<String>,
    keyed: &Keyed,
) -> Vec<KnownField> {
    let hash = |field: CompanyField, text: &str| keyed.field(field.name(), text);
    let one = |field: CompanyField| {
        let (was, returned) = said(field, sent);
        let unchanged = employer.value(field).map(|value| hash(field, value)) == was;
        let returned = if unchanged { shown(field).map(|there| hash(field, &there)) } else { returned };
        KnownField(field.name().to_owned(), was, returned)
    };
    if sent.is_empty() { Vec::new() } else { CompanyField::ALL.into_iter().map(one).collect() }
}

/// What is known of a company's fields from now on, given what it shows and which of them were written just now.
#[must_use]
pub fn remember(
    employer: &Employer,
    known: &[KnownField],
    shown: impl Fn(CompanyField) -> Option<String>,
    wrote: &[CompanyField],
    keyed: &Keyed,
) -> Vec<KnownField> {
    let one = |field: CompanyField| {
        let (sent, returned) = said(field, known);
        let (value, there) = (employer.value(field), shown(field));
        let is_ours = wrote.contains(&field) || value.is_some_and(|value| is_same(there.as_deref(), value));
        let is_news = !known.iter().any(|known| known.0 == field.name());
        let there = there.map(|there| keyed.field(field.name(), &there));
        let returned = if is_ours || is_news { there } else { returned };
        KnownField(field.name().to_owned(), value.map(|value| keyed.field(field.name(), value)).or(sent), returned)
    };
    CompanyField::ALL.into_iter().map(one).collect()
}

fn said(field: CompanyField, known: &[KnownField]) -> (Option<KeyedHash>, Option<KeyedHash>) {
    known.iter().find(|known| known.0 == field.name()).map_or((None, None), |known| (known.1, known.2))
}

fn is_same(there: Option<&str>, value: &str) -> bool {
    there.is_some_and(|there| there.trim() == value.trim())
}

/// Legal forms, each with its spellings, folded. Those in which a firm is written differently in one register and the
/// next; not every form there is, because a form too many makes two firms one.
const FORMS: [&[&str]; 14] = [
    &["ab", "aktiebolag", "aktiebolaget", "ab publ", "aktiebolag publ"],
    &["hb", "handelsbolag"],
    &["kb", "kommanditbolag"],
    &["as", "a s", "aksjeselskap", "aktieselskab"],
    &["asa"],
    &["aps"],
    &["oy", "osakeyhtio"],
    &["oyj"],
    &["gmbh"],
    &["ltd", "limited"],
    &["plc"],
    &["llc"],
    &["inc", "incorporated"],
    &["bv", "b v"],
];
/// Forms that also stand before a name: "AB Volvo", "Oy Karl Fazer Ab".
const LEADING: [&str; 3] = ["ab", "aktiebolaget", "oy"];

/// A company's name, folded, with its legal form apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CompanyName {
    core: String,
    /// The place of its form in [`FORMS`].
    form: Option<usize>,
}

impl CompanyName {
    fn of(name: &str) -> Self {
        let words = names::words(name);
        for (form, spellings) in FORMS.iter().enumerate() {
            for spelling in spellings.iter().rev() {
                let spelled: Vec<&str> = spelling.split(' ').collect();
                if words.len() > spelled.len()
                    && words.ends_with(&spelled.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
                {
                    return Self { core: words[..words.len() - spelled.len()].join(" "), form: Some(form) };
                }
            }
        }
        let leading = words.first().filter(|_| words.len() > 1).filter(|word| LEADING.contains(&word.as_str()));
        let form = leading.and_then(|word| FORMS.iter().position(|form| form.contains(&word.as_str())));
        Self { core: words[usize::from(form.is_some())..].join(" "), form }
    }

    /// Equal but for a form that one of them leaves out. "Berg AB" and "Berg HB" are two firms.
    fn agrees(&self, other: &Self) -> bool {
        let forms = self.form.is_none() || other.form.is_none() || self.form == other.form;
        !self.core.is_empty() && self.core == other.core && forms
    }
}

/// Hosts where everybody has a mailbox, a profile or a page: their domain is no company's.
const SHARED: &[&str] = &[
    // mailboxes
    "gmail.com googlemail.com hotmail.com hotmail.se hotmail.no hotmail.dk hotmail.fi hotmail.co.uk outlook.com \
     outlook.se live.com live.se live.no live.dk msn.com yahoo.com yahoo.se yahoo.no yahoo.dk yahoo.co.uk ymail.com \
     icloud.com me.com mac.com aol.com gmx.com gmx.net gmx.de web.de mail.com mail.ru yandex.com proton.me \
     protonmail.com pm.me tutanota.com zoho.com telia.com telia.se telenor.se comhem.se bredband.net bahnhof.se \
     spray.se passagen.se swipnet.se tele2.se glocalnet.net home.se online.no broadpark.no frisurf.no getmail.no \
     mail.dk jubii.dk ofir.dk tdcadsl.dk stofanet.dk luukku.com kolumbus.fi elisanet.fi suomi24.fi saunalahti.fi",
    // profiles
    "linkedin.com facebook.com fb.com instagram.com twitter.com x.com youtube.com tiktok.com pinterest.com \
     linktr.ee github.com xing.com medium.com",
    // sites and their builders
    "wixsite.com wix.com wordpress.com blogspot.com squarespace.com weebly.com webnode.com webnode.se godaddysites.com \
     jimdo.com jimdofree.com site123.me one.com n.nu business.site sites.google.com github.io netlify.app \
     herokuapp.com vercel.app azurewebsites.net sharepoint.com mystrikingly.com carrd.co notion.site bit.ly \
     hitta.se eniro.se allabolag.se proff.se proff.no proff.dk",
];

fn shared() -> impl Iterator<Item = &'static str> {
    SHARED.iter().flat_map(|group| group.split_whitespace())
}

/// A host as a domain that can be a company's own, or `None`: an address of everybody's, a number, a name without a dot.
fn own_domain(host: &str) -> Option<String> {
    let domain = host.strip_prefix("www.").unwrap_or(host).trim_end_matches('.');
    let labels = domain.split('.').all(|label| !label.is_empty());
    let named = domain.rsplit('.').next().is_some_and(|top| top.contains(|c: char| c.is_alphabetic()));
    let everybodys = shared()
        .any(|shared| domain == shared || domain.strip_suffix(shared).is_some_and(|before| before.ends_with('.')));
    (domain.contains('.') && labels && named && !everybodys).then(|| domain.to_owned())
}

/// The host of an address or of a bare domain, in lower case and in punycode.
fn host(text: &str) -> Option<String> {
    Some(Url::parse(&with_scheme(text.trim())).ok()?.host_str()?.to_lowercase())
}

fn with_scheme(site: &str) -> String {
    if site.contains("://") { site.to_owned() } else { format!("https://{site}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contact::Draft;
    use crate::domain::limits;

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned()).filter(|value| !value.is_empty())
    }

    fn of(id: &str, name: &str, website: &str, domain: &str, country: &str) -> Option<Employer> {
        let draft = Draft {
            last_name: text("Berg"),
            company: text(name),
            company_id: text(id),
            company_website: text(website),
            company_domain: text(domain),
            company_country: text(country),
            ..Draft::default()
        };
        Employer::of(&limits::check(draft).expect("valid"))
    }

    #[test]
    fn a_website_goes_before_a_domain_and_a_shared_host_is_neither() {
        assert_eq!(of("", "", "https://nord.example", "", ""), None, "nobody's");
        for (website, domain, homepage, expected) in [
            ("https://www.Nord.example/om-oss", "other.example", "https://www.nord.example/om-oss", "nord.example"),
            ("nord.example", "", "https://nord.example", "nord.example"),
            ("https://www.linkedin.com/company/nord", "nord.example", "", "nord.example"),
            ("https://nord.wixsite.com/hem", "", "", ""),
            ("", "WWW.Nord.example", "", "nord.example"),
            ("", "https://nord.example/", "", "nord.example"),
            ("", "gmail.com", "", ""),
            ("", "localhost", "", ""),
            ("http://192.168.1.1/", "", "", ""),
            ("?", "räksmörgås.se", "", "xn--rksmrgs-5wao1o.se"),
        ] {
            let employer = of("7", "Nord AB", website, domain, "se").unwrap();
            assert_eq!((employer.homepage, employer.domain), (text(homepage), text(expected)), "{website} {domain}");
            assert_eq!(employer.country.as_deref(), Some("SE"));
        }
        let both = of("7", "Nord", "https://nord.example", "", "").unwrap();
        assert_eq!((both.value(CompanyField::Domain), both.domain.is_some()), (None, true));
    }

    #[test]
    fn names_agree_but_for_a_form_that_one_leaves_out() {
        for (one, other, agree) in [
            ("Nord AB", "NORD aktiebolag", true),
            ("Nord AB (publ)", "Nord", true),
            ("AB Volvo", "Volvo", true),
            ("Nørd A/S", "Nord AS", true),
            ("Öberg & Söner HB", "Oberg Soner", true),
            ("Oy Karl Fazer Ab", "Karl Fazer", false),
            ("Nord AB", "Nord HB", false),
            ("Nord AB", "Nord Oy", false),
            ("Nord", "Nord Fastigheter", false),
            ("Nord Fastigheter", "Fastigheter Nord", false),
            ("AB", "ab", true),
            ("AS Roma", "Roma", false),
            ("-", "-", false),
        ] {
            let (a, b) = (CompanyName::of(one), CompanyName::of(other));
            assert_eq!((a.agrees(&b), b.agrees(&a)), (agree, agree), "{one} / {other}: {a:?} {b:?}");
        }
    }

    #[test]
    fn a_field_follows_its_crm_until_somebody_changes_it_there() {
        let keyed = Keyed::new([7; 32]);
        let named = |name: &str| Employer { name: text(name), ..Employer::default() };
        let shows = |name: &'static str| move |field| text(if field == CompanyField::Name { name } else { "" });
        let known = remember(&named("Nord"), &[], shows("Nord Group"), &[], &keyed);
        let texts = |name: &str, shown: &'static str| follow(&named(name), &known, shows(shown), &keyed).len();
        assert!(is_as_known(&named("Nord"), &known, &keyed) && is_as_known(&named(""), &known, &keyed));
        assert!(!is_as_known(&named("Norr"), &known, &keyed));
        for (crm, shown, written, why) in [
            ("Nord", "Nord Group", 0, "a company that was found keeps its name"),
            ("Norr", "Nord Group", 1, "until the CRM's changes"),
            ("Norr", "Norr", 0, "nothing to write"),
            ("Norr", "Nord Holding", 0, "somebody's"),
            ("", "Nord Group", 0, "empty says nothing"),
        ] {
            assert_eq!(texts(crm, shown), written, "{why}");
        }
        let theirs = remember(&named("Norr"), &known, shows("Nord Holding"), &[], &keyed);
        assert!(is_as_known(&named("Norr"), &theirs, &keyed));
        assert!(follow(&named("Norrland"), &theirs, shows("Nord Holding"), &keyed).is_empty(), "it stays theirs");
        let ours = remember(&named("Norr"), &known, shows("Norr"), &[CompanyField::Name], &keyed);
        assert_eq!(follow(&named("Norrland"), &ours, shows("Norr"), &keyed).len(), 1);
    }

    #[test]
    fn what_the_crm_changed_while_the_answer_to_the_new_company_was_lost_still_follows() {
        let keyed = Keyed::new([7; 32]);
        let nord =
            |name: &str| Employer { name: text(name), homepage: text("https://nord.example"), ..Employer::default() };
        let sent = send(&nord("Nord"), &keyed);
        let shows = |name: &'static str| {
            move |field| match field {
                CompanyField::Name => text(name),
                CompanyField::Homepage => text("https://nord.example/"),
                _ => None,
            }
        };
        for (name, shown, written) in [("Nord", "Nord", 0), ("Norr", "Nord", 1), ("Norr", "Norr", 0), ("Norr", "X", 0)]
        {
            let known = arrive(&nord(name), &sent, shows(shown), &keyed);
            assert_eq!(follow(&nord(name), &known, shows(shown), &keyed).len(), written, "{name} {shown}");
        }
        let known = arrive(&nord("Nord"), &sent, shows("Nord"), &keyed);
        let moved = Employer { homepage: text("https://norr.example"), ..nord("Nord") };
        assert_eq!(follow(&moved, &known, shows("Nord"), &keyed).len(), 1, "it was only spelled otherwise");
        assert!(arrive(&nord("Nord"), &[], shows("Nord"), &keyed).is_empty(), "nothing was sent");
    }

    fn hit(id: &str, method: &str, name: &str, domain: &str, country: &str) -> Hit {
        Hit {
            id: text(id).unwrap(),
            name: text(name),
            domain: text(domain),
            country: text(country),
            method: method.to_owned(),
        }
    }

    #[test]
    fn a_hit_counts_by_domain_or_by_name_and_country_and_by_nothing_else() {
        let nord = of("7", "Nord AB", "https://nord.example", "", "SE").unwrap();
        let one = |id: &str, by| Match::One(id.to_owned(), by);
        let several = |ids: &[&str]| Match::Several(ids.iter().map(|id| (*id).to_owned()).collect());
        for (hits, expected) in [
            (vec![], Match::Nobody),
            (vec![hit("1", "Domain", "Norr", "nord.example", "")], one("1", "its domain")),
            (vec![hit("1", "Domain", "Norr", "www.NORD.example", "")], one("1", "its domain")),
            (vec![hit("1", "Domain", "Nord", "norr.example", "SE")], Match::Nobody),
            (vec![hit("1", "NormalizedName", "NORD", "", "se")], one("1", "its name and country")),
            (vec![hit("1", "NormalizedName", "NORD", "", "NO")], Match::Nobody),
            (vec![hit("1", "NormalizedName", "NORD", "", "")], Match::Nobody),
            (vec![hit("1", "NormalizedName", "Nord HB", "", "SE")], Match::Nobody),
            (vec![hit("1", "JaroWinkler", "Nord AB", "nord.example", "SE")], Match::Nobody),
            (vec![hit("1", "TokenContainment", "Nord AB", "", "SE")], Match::Nobody),
            (
                vec![hit("1", "NormalizedName", "Nord", "", "SE"), hit("2", "Domain", "Nord", "nord.example", "")],
                one("2", "its domain"),
            ),
            (
                vec![hit("1", "Domain", "", "nord.example", ""), hit("1", "NormalizedName", "Nord", "", "SE")],
                one("1", "its domain"),
            ),
            (
                vec![hit("2", "Domain", "", "nord.example", ""), hit("1", "Domain", "", "nord.example", "")],
                several(&["1", "2"]),
            ),
            (
                vec![hit("1", "NormalizedName", "Nord", "", "SE"), hit("2", "NormalizedName", "Nord", "", "SE")],
                several(&["1", "2"]),
            ),
        ] {
            assert_eq!(judge(&nord, &hits), expected, "{hits:?}");
        }
        let mailbox = of("7", "Nord AB", "", "gmail.com", "SE").unwrap();
        assert_eq!(judge(&mailbox, &[hit("1", "Domain", "Nord AB", "gmail.com", "SE")]), Match::Nobody);
    }
}
