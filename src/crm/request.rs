//! Requests as every adapter words them: a base from the configuration (which may carry a path of its own), a path of
//! the vendor's, a form-encoded query. It knows no vendor and never puts a secret into a URL.

use ::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use ::http::{Method, Uri};
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use crate::http::transport::Request;

/// A GET of `base` + `path` with these query pairs.
pub(crate) fn get(base: &Url, path: &str, query: &[(&str, &str)]) -> Request {
    request(Method::GET, &address(base, path, query), Bytes::new())
}

/// A DELETE of `base` + `path`.
pub(crate) fn delete(base: &Url, path: &str) -> Request {
    request(Method::DELETE, &address(base, path, &[]), Bytes::new())
}

/// A POST of a JSON body.
pub(crate) fn post_json(base: &Url, path: &str, body: &Value) -> Request {
    json(Method::POST, base, path, body)
}

/// A PATCH of a JSON body.
pub(crate) fn patch_json(base: &Url, path: &str, body: &Value) -> Request {
    json(Method::PATCH, base, path, body)
}

/// A POST of a form-encoded body.
pub(crate) fn post_form(base: &Url, path: &str, body: Bytes) -> Request {
    let mut request = request(Method::POST, &address(base, path, &[]), body);
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    request
}

/// The same request with a secret in a header. A secret no header can carry is left out: the upstream then refuses the
/// call, and the refusal names the credential.
pub(crate) fn with_secret(mut request: Request, name: HeaderName, scheme: &str, secret: &SecretString) -> Request {
    if let Ok(mut value) = HeaderValue::try_from(format!("{scheme}{}", secret.expose_secret().trim())) {
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    request
}

/// `base` + `path` + query, in full. `path` may bring a query of its own (a link from an answer).
pub(crate) fn address(base: &Url, path: &str, query: &[(&str, &str)]) -> Url {
    let (path, own_query) = path.split_once('?').map_or((path, None), |(path, own)| (path, Some(own)));
    let mut url = base.clone();
    url.set_fragment(None);
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(own_query);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

fn json(method: Method, base: &Url, path: &str, body: &Value) -> Request {
    let mut request = request(method, &address(base, path, &[]), Bytes::from(body.to_string()));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

fn request(method: Method, url: &Url, body: Bytes) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    // A serialised `Url` holds nothing a `Uri` refuses; should the two ever disagree, the empty default reaches no
    // host.
    *request.uri_mut() = url.as_str().parse::<Uri>().unwrap_or_default();
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_the_path_of_the_base() {
        for (base, path, query, expected) in [
            ("https://a.example", "/v1/me", vec![], "https://a.example/v1/me"),
            ("https://a.example/", "/v1/me", vec![("q", "a b+c,d")], "https://a.example/v1/me?q=a+b%2Bc%2Cd"),
            ("http://127.0.0.1:9/proxy/", "/v1/me", vec![], "http://127.0.0.1:9/proxy/v1/me"),
            ("https://a.example", "/next/0r8-2000?x=1", vec![], "https://a.example/next/0r8-2000?x=1"),
        ] {
            assert_eq!(address(&base.parse().unwrap(), path, &query).as_str(), expected);
        }
    }

    #[test]
    fn a_secret_travels_in_a_header_marked_sensitive() {
        let base = "https://a.example".parse().unwrap();
        let secret = SecretString::from("s3cret\n");
        let request = with_secret(get(&base, "/x", &[]), ::http::header::AUTHORIZATION, "Bearer ", &secret);
        let value = &request.headers()["authorization"];
        assert_eq!(value, "Bearer s3cret");
        assert!(value.is_sensitive());
        assert!(!request.uri().to_string().contains("s3cret"));
    }
}
