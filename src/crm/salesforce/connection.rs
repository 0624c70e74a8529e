//! Calls to one org: each under a token, at the host its login named, judged by Salesforce's own words. It knows no query.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use crate::clock::{Clock, Dice};
use crate::crm::budget::{Budget, Owner, Shares};
use crate::crm::request;
use crate::crm::salesforce::auth::{Auth, Login};
use crate::crm::salesforce::error::ApiError;
use crate::domain::failure::Trouble;
use crate::domain::spending::Spending;
use crate::http::body;
use crate::http::client::{Call, Upstream};
use crate::http::pacer::PacerSettings;
use crate::http::token::Token;
use crate::http::transport::{Request, Response, Transport};
use crate::http::verdict::{self, Verdict};

/// Where the API lives on every host. Every production org has this version, and Salesforce promises three years for a
/// version; nothing used here has changed since v60. The newest is never taken: it may change what is relied on.
pub(super) const VERSION: &str = "66.0";
/// The paths of that version begin with this.
pub(super) const DATA: &str = "/services/data/v66.0";

/// Salesforce counts requests over a rolling day, for the whole org.
const ORG: Owner = Owner { crm: "Salesforce", account: "org", unit: "requests", a_day: org_a_day, at_least: None };

/// One org, logged in to when first asked. Clones share everything.
#[derive(Clone)]
pub(super) struct Connection {
    pub upstream: Upstream,
    pub login: Login,
    budget: Arc<Budget>,
}

impl Connection {
    pub(super) fn new(
        base: Url,
        auth: Auth,
        budget_share: u32,
        transport: Arc<dyn Transport>,
        clock: Clock,
        dice: Dice,
    ) -> Self {
        let budget = Arc::new(Budget::new(ORG, Shares { everyday: budget_share, backfill: None, kept: 0 }));
        let upstream = Upstream::new("salesforce", transport, clock.clone(), dice, pacing(&budget));
        let login = Login::new(base, auth, upstream.clone(), clock);
        Self { upstream, login, budget }
    }

    /// Hears what this source has used of the day so far.
    pub(super) fn spent(&self, spending: Spending) {
        self.budget.used(spending);
    }

    /// What the org has a day, where it has said so.
    pub(super) fn daily_limit(&self) -> Option<u64> {
        self.budget.a_day()
    }

    /// A GET of a path of the API, host-relative.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, Trouble> {
        let call = |base: &Url| {
            let page_size = ("sforce-query-options", "batchSize=2000");
            Call::read(with(request::get(base, path, query), [page_size]), judge)
        };
        self.call(call).await
    }

    /// A PATCH that sets values. Twice is the same as once, so it is repeated like a read; and what is wrong with it is
    /// no news about reading.
    pub(super) async fn set(&self, path: &str, body: &Value) -> Result<Response, Trouble> {
        // Without the first, Salesforce assigns the record anew by the org's rules: its owner would change. The second
        // keeps alerts about look-alikes, which the CRM had before, from refusing a value that is nobody's name.
        // https://developer.salesforce.com/docs/platform/api-rest/guide/headers-autoassign.md
        let headers = [("sforce-auto-assign", "FALSE"), ("sforce-duplicate-rule-header", "allowSave=true")];
        let call = |base: &Url| {
            Call::read(with(request::patch_json(base, path, body), headers), judge).about(&"the fields that are set")
        };
        self.call(call).await
    }

    /// A call to the host the login named.
    pub(super) async fn call(&self, build: impl Fn(&Url) -> Call + Send + Sync) -> Result<Response, Trouble> {
        let call = |token: &Token| {
            // Every grant names its host; without one the call goes nowhere.
            let nowhere = || Call::read(Request::default(), judge);
            let mut call = token.base.as_ref().map_or_else(nowhere, &build);
            call.request = request::with_secret(call.request, AUTHORIZATION, "Bearer ", &token.secret);
            call
        };
        self.upstream.authorized(&self.login.tokens, call).await
    }
}

#[cfg(test)]
impl Connection {
    /// An org that lets anybody in and then answers like this.
    pub(super) fn scripted(
        answers: impl IntoIterator<Item = Response>,
    ) -> (Arc<crate::crm::script::Script>, Clock, Self) {
        let base = "https://acme.my.salesforce.com";
        let login = serde_json::json!({"access_token": "t", "instance_url": base}).to_string();
        let script =
            crate::crm::script::Script::new([crate::crm::script::answer(200, login)].into_iter().chain(answers));
        let auth = Auth::ClientCredentials { client_id: "key".into(), client_secret: "secret".into() };
        let clock = Clock::simulated(crate::domain::Timestamp::UNIX_EPOCH);
        let transport = Arc::clone(&script) as _;
        let connection = Self::new(base.parse().unwrap(), auth, 20, transport, clock.clone(), Dice::seeded(1));
        (script, clock, connection)
    }
}

/// No limit by the minute; but only so many calls of an org may run at once, and they are everybody's.
fn pacing(budget: &Arc<Budget>) -> PacerSettings {
    PacerSettings { in_flight: 4, allowance: Some(Arc::clone(budget) as _), ..PacerSettings::default() }
}

/// The limit in `Sforce-Limit-Info: api-usage=18/5000; per-app-api-usage=17/250(appName=x)`: of several segments, in any
/// order, the one that is about the whole org.
/// <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_api_usage.htm>
fn org_a_day(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all("sforce-limit-info").iter().filter_map(|line| line.to_str().ok());
    let usage = lines.flat_map(|line| line.split([';', ','])).find_map(|segment| {
        let (name, usage) = segment.split_once('=')?;
        (name.trim() == "api-usage").then_some(usage)
    })?;
    let (_, limit) = usage.split_once('/')?;
    limit.trim().parse::<u32>().ok().filter(|limit| *limit > 0).map(u64::from)
}

fn with<const N: usize>(mut request: Request, headers: [(&'static str, &'static str); N]) -> Request {
    let pairs = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    request.headers_mut().extend(pairs);
    request
}

const fn again_after(seconds: u64) -> Verdict {
    Verdict::Retry { after: Some(Duration::from_secs(seconds)) }
}

/// How a code begins, words of the message where one code means several things, and what follows; the first that fits
/// counts. One status has many meanings here (403 is a missing right, the day's requests used up, or too many at once),
/// so the code goes first and the status decides only where no code does.
/// <https://developer.salesforce.com/docs/platform/api-rest/guide/errorcodes.md>
const BY_CODE: &[(&str, &str, Verdict)] = &[
    // Two sessions that no new login mends.
    ("", "not valid for use with the REST API", Verdict::Refused),
    ("", "not attached to Agent", Verdict::Refused),
    ("INVALID_SESSION_ID", "", Verdict::Unauthorized),
    ("REQUEST_LIMIT_EXCEEDED", "Concurrent", again_after(10)),
    // The budget is a rolling day: some of it is back soon, and no header says when.
    ("REQUEST_LIMIT_EXCEEDED", "", Verdict::Exhausted { until: Duration::from_secs(15 * 60) }),
    ("UNABLE_TO_LOCK_ROW", "", Verdict::Retry { after: None }),
    // For the caller, who asks for less.
    ("QUERY_TIMEOUT", "", Verdict::Refused),
    // For the caller: reading goes on meanwhile, so nobody else may be held up.
    ("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", Verdict::Refused),
    ("SERVER_UNAVAILABLE", "", Verdict::Ambiguous),
    ("API_DISABLED_FOR_ORG", "", Verdict::Forbidden),
    ("INSUFFICIENT_ACCESS", "", Verdict::Forbidden),
];

pub(super) fn judge(response: &Response) -> Verdict {
    let error = ApiError::first(response);
    let by_code = error.and_then(|error| {
        let fits = |(code, words, _): &&(&str, &str, _)| error.code.starts_with(code) && error.message.contains(words);
        BY_CODE.iter().find(fits).map(|(.., verdict)| *verdict)
    });
    by_code.unwrap_or_else(|| match response.status().as_u16() {
        // "Setting things up": it passes, and so does a 406 that says nothing.
        420 => Verdict::Ambiguous,
        406 if response.body().is_empty() => Verdict::Ambiguous,
        // A page of maintenance comes with 200 too.
        200 if !body::looks_like_json(response) && !is_csv(response) => Verdict::Ambiguous,
        _ => verdict::general(response),
    })
}

/// The results of a Bulk job.
fn is_csv(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/csv"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use serde_json::json;

    use super::*;
    use crate::crm::script::{self, answer};
    use crate::http::scripted::Scripted;

    fn open(transport: Arc<dyn Transport>) -> Connection {
        let auth = Auth::ClientCredentials { client_id: "key".into(), client_secret: "secret".into() };
        let clock = Clock::simulated("2026-11-02T10:00:00Z".parse().unwrap());
        let base = "https://acme.my.salesforce.com".parse().unwrap();
        Connection::new(base, auth, 20, transport, clock, Dice::seeded(1))
    }

    /// An org whose logins give `t1`, `t2` … and which takes only this session.
    fn org(taken: &'static str) -> (Arc<Scripted>, Arc<AtomicUsize>) {
        let logins = Arc::new(AtomicUsize::new(0));
        let made = Arc::clone(&logins);
        let org = Scripted::answering(move |_, request| {
            if request.uri().path() == "/services/oauth2/token" {
                let number = made.fetch_add(1, Ordering::SeqCst) + 1;
                let host = "https://acme.my.salesforce.com";
                return Ok(answer(200, json!({"access_token": format!("t{number}"), "instance_url": host})));
            }
            let expired = json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]);
            let known = request.headers()["authorization"].to_str().unwrap() == format!("Bearer {taken}");
            Ok(if known { answer(200, "{}") } else { answer(401, expired) })
        });
        (org, logins)
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_calls_under_an_expired_session_make_one_login() {
        let (org, logins) = org("t2");
        let connection = open(org);
        connection.login.tokens.current().await.unwrap();
        let answers = join_all((0..50).map(|_| connection.get("/services/data", &[]))).await;
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap().status() == 200));
        assert_eq!(logins.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_that_are_always_refused_make_no_storm_of_logins() {
        let (org, logins) = org("none");
        let connection = open(org);
        for _ in 0..500 {
            let trouble = connection.get("/services/data", &[]).await.unwrap_err();
            assert_eq!(trouble.code(), "credential");
        }
        // Of 3,600 an hour, which the user's other programs need too.
        assert_eq!(logins.load(Ordering::SeqCst), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_count_against_the_day_like_first_tries() {
        let usage = |response| script::with(response, "sforce-limit-info", "api-usage=1/50");
        let network = Scripted::answering(move |n, request| {
            if request.uri().path() == "/services/oauth2/token" {
                let host = "https://acme.my.salesforce.com";
                return Ok(answer(200, json!({"access_token": "t", "instance_url": host})));
            }
            Ok(if n < 2 { usage(answer(200, "{}")) } else { usage(answer(503, "")) })
        });
        let connection = open(Arc::clone(&network) as _);
        // Ten a day: six before now, a login, a request, and two of the four tries of a call that is answered with 503.
        connection.spent(Spending::everyday(6));
        connection.get("/x", &[]).await.unwrap();
        let Err(Trouble::NotSent { cause, .. }) = connection.get("/x", &[]).await else { panic!("the day is used up") };
        assert!(cause.contains("budget_share"), "{cause}");
        assert_eq!(network.seen().len(), 4);
    }

    #[test]
    fn the_days_limit_is_read_from_its_own_segment() {
        let saying = |info: &str| HeaderMap::from_iter([("sforce-limit-info".parse().unwrap(), info.parse().unwrap())]);
        for (info, expected) in [
            ("api-usage=18/5000", Some(5000)),
            ("api-usage=18/5000; per-app-api-usage=17/250(appName=x)", Some(5000)),
            ("per-app-api-usage=17/250(appName=x); api-usage=18/5000; api-bursts=1/750", Some(5000)),
            (" api-usage = 18 / 5000 ", Some(5000)),
            ("per-app-api-usage=17/250(appName=x)", None),
            ("api-usage=18", None),
            ("api-usage=18/many", None),
            ("api-usage=18/-1", None),
            ("api-usage=0/0", None),
            ("api-usage=1/99999999999999999999", None),
            ("", None),
        ] {
            assert_eq!(org_a_day(&saying(info)), expected, "{info}");
        }
        assert_eq!(org_a_day(&HeaderMap::new()), None);
    }

    #[test]
    fn one_status_has_many_meanings_and_the_code_tells_them_apart() {
        let day = Verdict::Exhausted { until: Duration::from_secs(900) };
        for (status, code, message, expected) in [
            (400, "INVALID_FIELD", "No such column 'X__c'", Verdict::Refused),
            (400, "INVALID_TYPE", "x", Verdict::Refused),
            (400, "MALFORMED_QUERY", "x", Verdict::Refused),
            (400, "QUERY_TIMEOUT", "x", Verdict::Refused),
            (500, "QUERY_TIMEOUT", "x", Verdict::Refused),
            (400, "UNABLE_TO_LOCK_ROW", "x", Verdict::Retry { after: None }),
            (500, "UNABLE_TO_LOCK_ROW", "x", Verdict::Retry { after: None }),
            (401, "INVALID_SESSION_ID", "Session expired or invalid", Verdict::Unauthorized),
            (403, "INVALID_SESSION_ID", "Session expired or invalid", Verdict::Unauthorized),
            (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", Verdict::Refused),
            (401, "X", "Connected app is not attached to Agent", Verdict::Refused),
            (401, "INVALID_AUTH_HEADER", "x", Verdict::Unauthorized),
            (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", day),
            (503, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", day),
            (
                403,
                "REQUEST_LIMIT_EXCEEDED",
                "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
                again_after(10),
            ),
            (403, "INSUFFICIENT_ACCESS_OR_READONLY", "x", Verdict::Forbidden),
            (400, "INSUFFICIENT_ACCESS", "x", Verdict::Forbidden),
            (403, "API_DISABLED_FOR_ORG", "x", Verdict::Forbidden),
            (400, "API_DISABLED_FOR_ORG", "x", Verdict::Forbidden),
            (400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "x", Verdict::Refused),
            (503, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "x", Verdict::Refused),
            (503, "SERVER_UNAVAILABLE", "x", Verdict::Ambiguous),
            (404, "NOT_FOUND", "x", Verdict::Refused),
            (406, "X", "x", Verdict::Refused),
            (420, "X", "x", Verdict::Ambiguous),
            (500, "UNKNOWN_EXCEPTION", "x", Verdict::Ambiguous),
        ] {
            let body = json!([{"message": message, "errorCode": code}]);
            assert_eq!(judge(&answer(status, body)), expected, "{status} {code} {message}");
        }
    }

    #[test]
    fn bodies_that_are_no_errors_of_the_api_are_judged_by_their_status() {
        for (status, body, expected) in [
            (200, "{}", Verdict::Fine),
            (200, "[]", Verdict::Fine),
            (200, "<html>maintenance</html>", Verdict::Ambiguous),
            (200, "", Verdict::Ambiguous),
            (204, "", Verdict::Fine),
            (401, "", Verdict::Unauthorized),
            (403, "<html>", Verdict::Forbidden),
            (406, "", Verdict::Ambiguous),
            (410, "", Verdict::Refused),
            (414, "<h1>Bad Message 414</h1>", Verdict::Refused),
            (420, "", Verdict::Ambiguous),
            (429, "", Verdict::Retry { after: None }),
            (500, r#"{"error":"an object is the token endpoint's shape"}"#, Verdict::Ambiguous),
            (502, "", Verdict::Ambiguous),
            (503, "<html>", Verdict::Ambiguous),
        ] {
            assert_eq!(judge(&answer(status, body)), expected, "{status} {body}");
        }
        let busy = script::with(answer(503, ""), "retry-after", "7");
        assert_eq!(judge(&busy), again_after(7));
        let table = script::with(answer(200, "\"Id\"\n"), "content-type", "text/csv;charset=UTF-8");
        assert_eq!(judge(&table), Verdict::Fine);
    }
}
