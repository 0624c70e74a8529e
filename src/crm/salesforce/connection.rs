//! Calls to one org: each under a token, at the host its login named, judged by Salesforce's own words. It knows no query.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderName, HeaderValue};
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm::request;
use crate::crm::salesforce::auth::{Auth, Login};
use crate::crm::salesforce::wire;
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::pacer::PacerSettings;
use crate::http::token::Token;
use crate::http::transport::{Response, Transport};
use crate::http::verdict::{self, Verdict};

/// One org, logged in to when first asked.
pub(super) struct Connection {
    pub upstream: Upstream,
    pub login: Login,
}

impl Connection {
    pub(super) fn new(base: Url, auth: Auth, transport: Arc<dyn Transport>, clock: Clock, dice: Dice) -> Self {
        let upstream = Upstream::new("salesforce", transport, clock.clone(), dice, pacing());
        let login = Login::new(base, auth, upstream.clone(), clock);
        Self { upstream, login }
    }

    /// A GET of a path of the API, host-relative.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, Trouble> {
        let call = |token: &Token| {
            // Every grant names its host; without one the call goes nowhere.
            let request = token.base.as_ref().map(|base| request::get(base, path, query)).unwrap_or_default();
            let mut request = request::with_secret(request, AUTHORIZATION, "Bearer ", &token.secret);
            let page_size = HeaderValue::from_static("batchSize=2000");
            request.headers_mut().insert(HeaderName::from_static("sforce-query-options"), page_size);
            Call::read(request, judge)
        };
        self.upstream.authorized(&self.login.tokens, call).await
    }
}

/// No limit by the minute; but only so many calls of an org may run at once, and they are everybody's.
fn pacing() -> PacerSettings {
    PacerSettings { in_flight: 4, ..PacerSettings::default() }
}

/// One status has many meanings here: 403 is a missing right, the daily budget or too many calls at once; 401 is an
/// expired session or one that no login cures.
/// <https://developer.salesforce.com/docs/platform/api-rest/guide/errorcodes.md>
fn judge(response: &Response) -> Verdict {
    let status = response.status().as_u16();
    let error = wire::ApiError::first(response);
    let (code, message) = error.as_ref().map_or(("", ""), |e| (e.code.as_str(), e.message.as_str()));
    match (status, code) {
        (_, "REQUEST_LIMIT_EXCEEDED") if message.contains("Concurrent") => {
            Verdict::Retry { after: Some(Duration::from_secs(10)) }
        }
        // The budget is a rolling day: some of it is back soon, and no header says when.
        (_, "REQUEST_LIMIT_EXCEEDED") => Verdict::Exhausted { until: Duration::from_secs(15 * 60) },
        (_, "UNABLE_TO_LOCK_ROW") => Verdict::Retry { after: Some(Duration::from_secs(1)) },
        (_, "QUERY_TIMEOUT") => Verdict::Refused,
        (401, _)
            if message.contains("not valid for use with the REST API") || message.contains("not attached to Agent") =>
        {
            Verdict::Refused
        }
        // 420 "setting things up" and a body-less 406 both pass.
        (420, _) => Verdict::Ambiguous,
        (406, _) if response.body().is_empty() => Verdict::Ambiguous,
        (200, _) if !body::looks_like_json(response) => Verdict::Ambiguous,
        _ => verdict::general(response),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::script::{answer, with};

    #[test]
    fn answers_are_judged_by_their_code() {
        let of = |code: &str, message: &str| json!([{"message": message, "errorCode": code}]).to_string();
        for (status, body, expected) in [
            (200, "{}".to_owned(), Verdict::Fine),
            (200, "<html>maintenance</html>".to_owned(), Verdict::Ambiguous),
            (400, of("INVALID_FIELD", "x"), Verdict::Refused),
            (400, of("QUERY_TIMEOUT", "x"), Verdict::Refused),
            (400, of("UNABLE_TO_LOCK_ROW", "x"), Verdict::Retry { after: Some(Duration::from_secs(1)) }),
            (401, of("INVALID_SESSION_ID", "Session expired or invalid"), Verdict::Unauthorized),
            (401, of("INVALID_SESSION_ID", "This session is not valid for use with the REST API"), Verdict::Refused),
            (
                403,
                of("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
                Verdict::Exhausted { until: Duration::from_secs(900) },
            ),
            (
                403,
                of("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
                Verdict::Retry { after: Some(Duration::from_secs(10)) },
            ),
            (403, of("INSUFFICIENT_ACCESS", "x"), Verdict::Forbidden),
            (406, String::new(), Verdict::Ambiguous),
            (406, of("X", "x"), Verdict::Refused),
            (414, "<h1>Bad Message 414</h1>".to_owned(), Verdict::Refused),
            (420, String::new(), Verdict::Ambiguous),
            (503, "<html>".to_owned(), Verdict::Ambiguous),
        ] {
            assert_eq!(judge(&answer(status, &body)), expected, "{status} {body}");
        }
        let busy = with(answer(503, ""), "retry-after", "7");
        assert_eq!(judge(&busy), Verdict::Retry { after: Some(Duration::from_secs(7)) });
    }
}
