//! What an answer means for the call as such: done, to be repeated, lost, or refused. It reads status and headers only;
//! an adapter that knows its upstream's bodies brings its own [`Judge`] and falls back on [`general`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use ::http::StatusCode;
use ::http::header::{DATE, RETRY_AFTER};

use crate::domain::Timestamp;
use crate::http::transport::Response;

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It did what was asked.
    Fine,
    /// Certainly not applied; to be sent again after the wait the server asked for.
    Retry {
        /// The server's wish.
        after: Option<Duration>,
    },
    /// It may or may not have been applied: 5xx, 408, or nonsense.
    Ambiguous,
    /// The credential is stale or wrong.
    Unauthorized,
    /// The credential may not do this.
    Forbidden,
    /// The budget of the day is used up; nothing is worth sending before this much time has passed.
    Exhausted {
        /// How long.
        until: Duration,
    },
    /// The account as such is out of reach; nothing is worth sending before this much time has passed.
    Away {
        /// How long.
        until: Duration,
        /// In words: it is being moved, say.
        why: &'static str,
    },
    /// Any other refusal: the caller reads it.
    Refused,
}

/// How one upstream's answers are judged: a function, or a closure over what its adapter has learnt of the account.
#[derive(Clone)]
pub struct Judge(Arc<dyn Fn(&Response) -> Verdict + Send + Sync>);

impl Judge {
    /// The verdict on an answer.
    #[must_use]
    pub fn verdict(&self, response: &Response) -> Verdict {
        (self.0)(response)
    }
}

impl<F: Fn(&Response) -> Verdict + Send + Sync + 'static> From<F> for Judge {
    fn from(judge: F) -> Self {
        Self(Arc::new(judge))
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

/// The longest wait that is taken from a header. Who writes more means no instant, and adding it to one would overflow.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The verdict that status and headers allow.
#[must_use]
pub fn general(response: &Response) -> Verdict {
    let wait = || retry_after(response.headers());
    match response.status() {
        status if status.is_success() => Verdict::Fine,
        StatusCode::UNAUTHORIZED => Verdict::Unauthorized,
        StatusCode::FORBIDDEN => Verdict::Forbidden,
        StatusCode::REQUEST_TIMEOUT => Verdict::Ambiguous,
        StatusCode::TOO_MANY_REQUESTS => Verdict::Retry { after: wait() },
        // A server that says when to come back has turned the request away; without that it may have died half-way.
        StatusCode::SERVICE_UNAVAILABLE if wait().is_some() => Verdict::Retry { after: wait() },
        status if status.is_client_error() || status.is_redirection() => Verdict::Refused,
        _ => Verdict::Ambiguous,
    }
}

/// `Retry-After`: seconds, or a date, which is read against the server's own `Date`.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => (http_date(text)? - date(headers)?).to_std().unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The server's clock as its `Date` header shows it: whole seconds, cut off.
#[must_use]
pub fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    let naive = chrono::NaiveDateTime::parse_from_str(text.trim(), "%a, %d %b %Y %H:%M:%S GMT").ok()?;
    Some(naive.and_utc())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const NOON: (&str, &str) = ("date", "Tue, 05 May 2026 12:00:00 GMT");

    #[test]
    fn status_and_headers_decide() {
        let seconds = |s| Verdict::Retry { after: Some(Duration::from_secs(s)) };
        type Headers = &'static [(&'static str, &'static str)];
        let cases: &[(u16, Headers, Verdict)] = &[
            (200, &[], Verdict::Fine),
            (204, &[], Verdict::Fine),
            (302, &[], Verdict::Refused),
            (400, &[], Verdict::Refused),
            (401, &[], Verdict::Unauthorized),
            (403, &[], Verdict::Forbidden),
            (404, &[], Verdict::Refused),
            (408, &[], Verdict::Ambiguous),
            (409, &[], Verdict::Refused),
            (429, &[("retry-after", "7")], seconds(7)),
            (429, &[("retry-after", "soon")], Verdict::Retry { after: None }),
            (429, &[("retry-after", "-1")], Verdict::Retry { after: None }),
            (429, &[("retry-after", "1e300")], Verdict::Retry { after: None }),
            (429, &[("retry-after", "1e19")], Verdict::Retry { after: Some(LONGEST_WAIT) }),
            (429, &[NOON, ("retry-after", "Tue, 05 May 2026 12:01:30 GMT")], seconds(90)),
            (429, &[NOON, ("retry-after", "Tue, 05 May 2026 11:00:00 GMT")], seconds(0)),
            (429, &[("retry-after", "Tue, 05 May 2026 12:01:30 GMT")], Verdict::Retry { after: None }),
            (500, &[("retry-after", "7")], Verdict::Ambiguous),
            (503, &[], Verdict::Ambiguous),
            (503, &[("retry-after", "7")], seconds(7)),
            (524, &[], Verdict::Ambiguous),
        ];
        for (status, headers, expected) in cases {
            let mut builder = ::http::Response::builder().status(*status);
            for (name, value) in *headers {
                builder = builder.header(*name, *value);
            }
            assert_eq!(general(&builder.body(Bytes::new()).unwrap()), *expected, "{status} {headers:?}");
        }
    }
}
