//! Where an organization is on the web, as people type it into a CRM: `www.acme.se`, `Acme.se/`, `https://acme.se/start`.
//! Pure.

use url::{Host, Url};

/// The address of a homepage with its scheme, which people leave out and Propstreet asks for; `None` for what is no
/// address of one: a remark, two addresses, an e-mail address, a machine without a name of its own on the web.
#[must_use]
pub fn homepage(text: &str) -> Option<String> {
    let (scheme, rest) = parts(text)?;
    let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    name(host)?;
    Some(format!("{scheme}://{}{path}", host.to_lowercase()))
}

/// The domain in such an address, in lower case and without `www.`, as Propstreet keeps it.
#[must_use]
pub fn domain(text: &str) -> Option<String> {
    let (_, rest) = parts(text)?;
    let host = name(rest.split(['/', '?', '#']).next()?)?;
    Some(host.strip_prefix("www.").filter(|host| host.contains('.')).unwrap_or(&host).to_owned())
}

/// The scheme, and what stands behind it.
fn parts(text: &str) -> Option<(&'static str, &str)> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Some(("https", rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Some(("http", rest)),
        // Of another address in the path: `acme.se/?from=http://elsewhere.example`.
        Some((host, _)) if !host.contains(['/', '?', '#']) => None,
        _ => Some(("https", text.strip_prefix("//").unwrap_or(text))),
    }
}

/// The host's name in lower case, without a port and the dot of the root.
fn name(host: &str) -> Option<String> {
    let url = Url::parse(&format!("https://{host}")).ok()?;
    let Some(Host::Domain(ascii)) = url.host() else { return None };
    let is_word =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let plain = ascii.strip_suffix('.').unwrap_or(ascii);
    // A port is no part of it, and a name before an @ makes it an address of e-mail.
    let named = plain.contains('.') && plain.split('.').all(is_word) && !host.contains('@');
    let typed = host.split_once(':').map_or(host, |(typed, _)| typed);
    named.then(|| typed.strip_suffix('.').unwrap_or(typed).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_homepage_gets_its_scheme_and_keeps_the_rest() {
        for (typed, expected, host) in [
            ("www.acme.se", "https://www.acme.se", "acme.se"),
            ("Acme.SE/", "https://acme.se/", "acme.se"),
            ("HTTP://WWW.Acme.se/Om-Oss?x=1#Top", "http://www.acme.se/Om-Oss?x=1#Top", "acme.se"),
            ("https://acme.se", "https://acme.se", "acme.se"),
            ("//acme.se", "https://acme.se", "acme.se"),
            ("acme.se:8443/x", "https://acme.se:8443/x", "acme.se"),
            ("acme.se/?from=http://elsewhere.example", "https://acme.se/?from=http://elsewhere.example", "acme.se"),
            ("invest.acme.co.uk", "https://invest.acme.co.uk", "invest.acme.co.uk"),
            ("räksmörgås.se", "https://räksmörgås.se", "räksmörgås.se"),
            ("acme.se.", "https://acme.se.", "acme.se"),
            ("www.se", "https://www.se", "www.se"),
        ] {
            assert_eq!(homepage(typed).as_deref(), Some(expected), "{typed}");
            assert_eq!(domain(typed).as_deref(), Some(host), "{typed}");
            assert_eq!(homepage(expected).as_deref(), Some(expected), "{typed}: once is enough");
            assert_eq!(domain(host).as_deref(), Some(host), "{typed}: once is enough");
        }
    }

    #[test]
    fn what_is_no_address_of_a_homepage_is_none() {
        for typed in [
            "",
            "-",
            "saknas",
            "n/a",
            "http://",
            "https:///",
            "www.acme.se, www.acme.no",
            "acme.se;acme.no",
            "acme.se,acme.no",
            "info@acme.se",
            "mailto:info@acme.se",
            "ftp://acme.se",
            "localhost",
            "10.0.0.1",
            "http://[::1]/",
            "acme..se",
            "a b.se",
        ] {
            assert_eq!((homepage(typed), domain(typed)), (None, None), "{typed}");
        }
    }
}
