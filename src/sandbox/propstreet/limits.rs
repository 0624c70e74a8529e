//! What makes a value acceptable to Propstreet: lengths in UTF-16 units, forms, closed lists. Knows no field names.
//! <https://docs.propstreet.com/documentation/limits>

use crate::sandbox::propstreet::knobs::Lengths;

/// Every ISO 639-1 code.
const LANGUAGES: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy \
    da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii \
    ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr \
    ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl \
    sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// The lengths on which the pages differ. A create and a `PATCH` by id share theirs, an upsert has its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) name: usize,
    pub(super) upsert_name: usize,
    pub(super) company_name: usize,
    pub(super) email: usize,
    pub(super) upsert_email: usize,
    pub(super) phone: usize,
    pub(super) upsert_phone: usize,
    pub(super) upsert_number: usize,
    pub(super) tags: usize,
}

impl Limits {
    pub(super) fn of(lengths: Lengths) -> Self {
        let by_page = Self {
            name: 255,
            upsert_name: 100,
            company_name: 255,
            email: 255,
            upsert_email: 254,
            phone: 50,
            upsert_phone: 20,
            upsert_number: 30,
            tags: usize::MAX,
        };
        match lengths {
            Lengths::ByPage => by_page,
            Lengths::Shortest => Self { email: 254, tags: 100, ..by_page },
            Lengths::Guide => Self {
                name: 500,
                upsert_name: 500,
                company_name: 500,
                email: 254,
                upsert_email: 254,
                phone: 50,
                upsert_phone: 50,
                upsert_number: 50,
                tags: 100,
            },
        }
    }
}

/// Length as .NET counts it.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "()<>,;:\\\"[]@".contains(c);
    let dots = |part: &str| part.starts_with('.') || part.ends_with('.') || part.contains("..");
    let label = |l: &str| {
        !l.is_empty() && l.chars().all(|c| c.is_alphanumeric() || c == '-') && !l.starts_with('-') && !l.ends_with('-')
    };
    !local.is_empty()
        && length(local) <= 64
        && !local.contains(odd)
        && !dots(local)
        && domain.contains('.')
        && domain.split('.').all(label)
}

pub(super) fn is_language(text: &str) -> bool {
    text.len() == 2 && LANGUAGES.split(' ').any(|code| code == text)
}

/// `https://www.linkedin.com/{kind}/{slug}`.
pub(super) fn is_linkedin(text: &str, kind: &str) -> bool {
    text.strip_prefix("https://www.linkedin.com/")
        .and_then(|rest| rest.strip_prefix(kind))
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|slug| !slug.is_empty() && !slug.contains(|c: char| c == '/' || c == '?' || c.is_whitespace()))
}

/// ISO 3166-1 alpha-2, by form only.
pub(super) fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@x.example", "anna.berg+crm@fastighet-nord.example", "åsa@örebro.example"] {
            assert!(is_email(good), "{good}");
        }
        let bad =
            ["", "a", "a@", "@x.example", "a@x", "a b@x.example", "a@@x.example", "a..b@x.example", ".a@x.example"];
        for bad in
            bad.into_iter().chain(["a@x..example", "a@-x.example", "a(at)x.example", "a@x.example.", "a;b@x.example"])
        {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn languages_links_and_lengths() {
        assert!(is_language("sv") && !is_language("sv-SE") && !is_language("SV") && !is_language("xx"));
        assert!(is_linkedin("https://www.linkedin.com/in/anna-berg-1", "in"));
        for bad in ["https://linkedin.com/in/a", "https://www.linkedin.com/in/", "https://www.linkedin.com/company/a"] {
            assert!(!is_linkedin(bad, "in"), "{bad}");
        }
        assert_eq!(length("å😀"), 3);
    }
}
