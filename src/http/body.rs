//! Bodies: JSON out of an answer whatever came instead, and forms into a request. It knows no API's shapes.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

use crate::domain::failure::Trouble;
use crate::http::transport::Response;

/// The body as JSON of this shape.
///
/// # Errors
/// [`Trouble::Protocol`] for HTML, an empty body or another shape, naming the path of the first fault and no value.
pub fn json<T: DeserializeOwned>(response: &Response) -> Result<T, Trouble> {
    let body = response.body();
    let mut reader = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let what = match body.trim_ascii_start().first() {
            None => "an empty body".to_owned(),
            Some(b'<') => "HTML".to_owned(),
            // The parser's own message may quote a value; its category and place do not.
            Some(_) => format!("{:?} error at {}", error.inner().classify(), error.path()),
        };
        Trouble::Protocol(format!("HTTP {} with {what} where JSON was due", response.status().as_u16()))
    })
}

/// Whether the body is whole JSON by its first and last byte: enough to tell an API's words from a gateway's page
/// or a cut answer, without reading a page of five hundred people twice.
#[must_use]
pub fn looks_like_json(response: &Response) -> bool {
    let body = response.body().trim_ascii();
    matches!((body.first(), body.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')))
}

/// `application/x-www-form-urlencoded`.
#[must_use]
pub fn form(fields: &[(&str, &str)]) -> Bytes {
    Serializer::new(String::new()).extend_pairs(fields).finish().into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(body: &'static str) -> Response {
        ::http::Response::new(Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn whatever_is_not_json_is_named_without_its_content() {
        assert_eq!(json::<Value>(&answer(r#"{"a":1}"#)), Ok(json!({"a": 1})));
        for (body, words) in [
            ("", "HTTP 200 with an empty body where JSON was due"),
            ("  <!doctype html>", "HTTP 200 with HTML where JSON was due"),
            (r#"{"a":"#, "HTTP 200 with Eof error at a where JSON was due"),
        ] {
            assert_eq!(json::<Value>(&answer(body)), Err(Trouble::Protocol(words.to_owned())));
        }
        let trouble = json::<Vec<u8>>(&answer(r#"["anna@firma.se"]"#)).unwrap_err();
        assert!(!trouble.to_string().contains("anna"), "{trouble}");
    }

    #[test]
    fn a_glance_tells_json_from_pages_and_torsos() {
        for (body, is) in
            [("{}", true), (" [1]\n", true), ("", false), ("<html>", false), ("{\"a\":", false), ("7", false)]
        {
            assert_eq!(looks_like_json(&answer(body)), is, "{body}");
        }
    }

    #[test]
    fn forms_are_encoded() {
        assert_eq!(form(&[("a", "x y&z"), ("b", "å")]), "a=x+y%26z&b=%C3%A5");
    }
}
