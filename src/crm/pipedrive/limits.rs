//! What Pipedrive allows, what a call costs of it, and what its answers mean for the next request.
//!
//! <https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting>

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use ::http::{HeaderMap, Method};

use crate::crm::budget::{self, Owner};
use crate::domain::spending::{Cost, Purse};
use crate::http::body;
use crate::http::pacer::{Budget, PacerSettings};
use crate::http::transport::{Request, Response};
use crate::http::verdict::{self, Judge, Verdict};

/// The pause after the day's tokens are used up. The day ends at midnight of a zone that is named nowhere, so it is asked
/// again from time to time.
const USED_UP: Duration = Duration::from_secs(30 * 60);
/// The pause where only a person, or time, lets anybody in again.
const SHUT: Duration = Duration::from_secs(60 * 60);
/// The longest that a burst is waited for by its header, which counts two seconds.
const LONGEST_BURST: Duration = Duration::from_secs(10);
/// Refused so often in a row with no other answer in between, it is no burst.
const NO_BURST: u32 = 8;

/// What the smallest plan has with one seat, a day. The header that says more is not documented, and not always there.
pub(super) const SMALLEST_DAY: u64 = 30_000;

/// Pipedrive counts tokens from midnight to midnight, for the whole company; a share of any 24 hours is within that of
/// each day.
pub(super) const COMPANY: Owner = Owner {
    crm: "Pipedrive",
    account: "company",
    unit: "tokens",
    a_day: |headers| number(headers, "x-daily-ratelimit-token-limit").filter(|limit| *limit > 0),
    at_least: Some(SMALLEST_DAY),
};

/// A burst counts two seconds. Until a header tells more, half of the smallest plan's twenty.
pub(super) fn pacing(budget: &Arc<budget::Budget>) -> PacerSettings {
    PacerSettings {
        assumed_per_minute: Some(300),
        window: Duration::from_secs(2),
        in_flight: 4,
        budget: |headers| {
            let small = |name| u32::try_from(number(headers, name)?).ok();
            let (limit, remaining) = (small("x-ratelimit-limit")?, small("x-ratelimit-remaining")?);
            // Seconds; a proxy was seen to send an epoch.
            let reset = number(headers, "x-ratelimit-reset").map(|s| Duration::from_secs(s).min(LONGEST_BURST));
            Some(Budget { limit, remaining, reset })
        },
        allowance: Some(Arc::clone(budget) as _),
        ..PacerSettings::default()
    }
}

/// All headers are optional.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// What a call costs, whatever it gives: `x-token-cost` in the specification of v2, and in that of v1.
/// <https://developers.pipedrive.com/docs/api/v1/openapi-v2.yaml>
pub(super) fn tokens(method: &Method, path: &str) -> u64 {
    /// Merging, which nobody here does: what a call costs at most.
    const DEAREST: u64 = 40;
    // A base in front of them may have a path of its own.
    let after = |version| path.rsplit_once(version).map(|(_, rest)| rest.split('/').collect::<Vec<_>>());
    if let Some(rest) = after("/v2/") {
        return match (method.as_str(), rest.as_slice()) {
            ("GET", ["persons" | "organizations" | "personFields" | "organizationFields"]) => 10,
            ("GET", ["persons" | "organizations", "search"]) => 20,
            ("GET", ["persons" | "organizations" | "personFields" | "organizationFields", _]) => 1,
            ("POST", ["persons" | "organizations"]) | ("PATCH", ["persons" | "organizations", _]) => 5,
            ("DELETE", ["persons" | "organizations", _]) => 3,
            _ => DEAREST,
        };
    }
    match (method.as_str(), after("/v1/").as_deref()) {
        ("GET", Some(["users", "me"])) => 2,
        ("GET", Some(["users" | "recents"])) => 20,
        ("GET" | "POST", Some(["webhooks"])) => 10,
        _ => DEAREST,
    }
}

tokio::task_local! {
    /// What the calls of a task are paid from, so that nobody on the way to them has to know.
    static PURSE: Purse;
}

/// Does this out of that purse.
pub(super) async fn paid_from<T>(purse: Purse, calls: impl Future<Output = T>) -> T {
    PURSE.scope(purse, calls).await
}

/// What this request costs, and what pays for it.
pub(super) fn cost(request: &Request) -> Cost {
    let purse = PURSE.try_with(|purse| *purse).unwrap_or_default();
    Cost { units: tokens(request.method(), request.uri().path()), purse }
}

/// What refusals so far mean for the next call. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// 429 in a row.
    bursts: AtomicU32,
    /// Everything was refused, and nothing answered since.
    stopped: AtomicBool,
}

impl Refusals {
    /// Whether a call that costs little should go first, to ask whether anything is answered again.
    pub(super) fn stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Relaxed)
    }

    /// How the answers to a call of this cost are judged. `renews` says whether there are other tokens than this.
    pub(super) fn judging(&self, cost: u64, renews: bool) -> Judge {
        let Self(state) = self.clone();
        let judging = move |response: &Response| {
            let before = match response.status().as_u16() {
                429 => state.bursts.fetch_add(1, Ordering::Relaxed),
                _ => state.bursts.swap(0, Ordering::Relaxed),
            };
            let verdict = judge(response, cost, before, renews);
            match verdict {
                Verdict::Exhausted { .. } | Verdict::Away { .. } => {
                    state.bursts.store(0, Ordering::Relaxed);
                    state.stopped.store(true, Ordering::Relaxed);
                }
                Verdict::Fine => state.stopped.store(false, Ordering::Relaxed),
                _ => {}
            }
            verdict
        };
        Judge::from(judging)
    }
}

/// 429 is a burst or a day that is used up, told apart by what the headers say is left; a 403 in HTML is Cloudflare's
/// block, which calls made meanwhile prolong. `before`: how many 429 came just before this answer.
fn judge(response: &Response, cost: u64, before: u32, renews: bool) -> Verdict {
    let headers = response.headers();
    let is_json = body::looks_like_json(response);
    match response.status().as_u16() {
        429 if is_of_the_day(headers, cost) || before + 1 >= NO_BURST => Verdict::Exhausted { until: USED_UP },
        429 => {
            let burst = number(headers, "x-ratelimit-reset").map_or(Duration::from_secs(2), Duration::from_secs);
            let burst = burst.clamp(Duration::from_secs(1), LONGEST_BURST) * 2_u32.pow(before);
            let asked = verdict::retry_after(headers);
            Verdict::Retry { after: Some(asked.unwrap_or_else(|| burst.min(LONGEST_BURST))) }
        }
        402 => Verdict::Away {
            until: SHUT,
            why: "the company's Pipedrive account is not open: its trial is over or it is not paid, which Pipedrive's \
                  billing page mends",
        },
        403 if !is_json => Verdict::Away {
            until: SHUT,
            why: "Pipedrive's firewall turns this machine away, as it does after too many calls in a short time",
        },
        // No other token is to be had: the caller reads why.
        401 if !renews => Verdict::Refused,
        // `null` and pages of a proxy come with 200 too.
        200 if !is_json => Verdict::Ambiguous,
        _ => verdict::general(response),
    }
}

/// Fewer tokens are left than the call costs; or, where that is not said, the burst has room and it was refused all the
/// same.
fn is_of_the_day(headers: &HeaderMap, cost: u64) -> bool {
    match number(headers, "x-daily-ratelimit-token-remaining") {
        Some(left) => left < cost.max(1),
        None => number(headers, "x-ratelimit-remaining") > Some(0),
    }
}

/// Answers to logins. Refusals are HTTP 400 and read by the login.
/// <https://pipedrive.readme.io/docs/marketplace-oauth-and-api-proxy-status-codes>
pub(super) fn judge_login(response: &Response) -> Verdict {
    match response.status().as_u16() {
        400 | 401 => Verdict::Refused,
        _ => judge(response, 0, 0, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::budget::Shares;
    use crate::crm::script::{answer, with};

    fn answered(status: u16, headers: &[(&'static str, &str)], body: &str) -> Response {
        headers.iter().fold(answer(status, body), |response, (name, value)| with(response, name, value))
    }

    fn retry(seconds: u64) -> Verdict {
        Verdict::Retry { after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn the_budgets_are_read_where_headers_are() {
        let budget = Arc::new(budget::Budget::new(COMPANY, Shares { everyday: 20, backfill: None, kept: 0 }));
        let limits =
            [("x-ratelimit-limit", "80"), ("x-ratelimit-remaining", "79"), ("x-ratelimit-reset", "1778840900")];
        let expected = Budget { limit: 80, remaining: 79, reset: Some(Duration::from_secs(10)) };
        let pacing = pacing(&budget);
        assert_eq!((pacing.budget)(answered(200, &limits, "{}").headers()), Some(expected));
        assert_eq!((pacing.budget)(answer(200, "{}").headers()), None);
        for (said, read) in [("150000", Some(150_000)), ("0", None), ("many", None), ("-1", None)] {
            let headers = [("x-daily-ratelimit-token-limit", said)];
            assert_eq!((COMPANY.a_day)(answered(200, &headers, "{}").headers()), read, "{said}");
        }
        assert_eq!((COMPANY.a_day)(answer(200, "{}").headers()), None);
    }

    #[test]
    fn a_call_costs_by_method_and_path() {
        for (method, path, expected) in [
            ("GET", "/api/v2/persons", 10),
            ("GET", "/proxy/v1/api/v2/persons", 10),
            ("GET", "/api/v2/organizations", 10),
            ("GET", "/api/v2/personFields", 10),
            ("GET", "/api/v2/organizationFields", 10),
            ("GET", "/api/v2/persons/7", 1),
            ("GET", "/api/v2/personFields/label_ids", 1),
            ("PATCH", "/api/v2/persons/7", 5),
            ("DELETE", "/api/v2/persons/7", 3),
            ("GET", "/api/v2/persons/7/followers", 40),
            ("GET", "/api/v2/persons/search", 20),
            ("GET", "/v1/users/me", 2),
            ("GET", "/v1/users", 20),
            ("GET", "/v1/webhooks", 10),
            ("PUT", "/v1/persons/7/merge", 40),
            ("GET", "/v3/persons", 40),
        ] {
            assert_eq!(tokens(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn a_backfill_pays_for_what_is_done_for_it_and_for_nothing_beside_it() {
        let purse = || cost(&Request::default()).purse;
        let yielding = async {
            tokio::task::yield_now().await;
            purse()
        };
        let beside = async {
            tokio::task::yield_now().await;
            purse()
        };
        let both = futures_util::future::join(paid_from(Purse::Backfill, yielding), beside).await;
        assert_eq!(both, (Purse::Backfill, Purse::Everyday));
    }

    #[test]
    fn answers_are_judged_by_what_is_left() {
        let day = Verdict::Exhausted { until: USED_UP };
        for (status, headers, body, expected) in [
            (200, vec![], "{}", Verdict::Fine),
            (200, vec![], "null", Verdict::Ambiguous),
            (200, vec![], r#"{"success":true,"da"#, Verdict::Ambiguous),
            (200, vec![], "<html>", Verdict::Ambiguous),
            (429, vec![], "", retry(2)),
            (429, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")], "", retry(1)),
            (429, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "0")], "", retry(1)),
            (429, vec![("x-ratelimit-reset", "1778840900")], "", retry(10)),
            (429, vec![("x-ratelimit-reset", "18446744073709551615")], "", retry(10)),
            (429, vec![("retry-after", "45"), ("x-ratelimit-reset", "2")], "", retry(45)),
            (429, vec![("x-ratelimit-remaining", "0"), ("x-daily-ratelimit-token-remaining", "9000")], "", retry(2)),
            (429, vec![("x-ratelimit-remaining", "7"), ("x-daily-ratelimit-token-remaining", "9000")], "", retry(2)),
            (429, vec![("x-daily-ratelimit-token-remaining", "0"), ("x-ratelimit-remaining", "0")], "", day),
            (429, vec![("x-daily-ratelimit-token-remaining", "9")], "", day),
            (429, vec![("x-ratelimit-remaining", "19")], "", day),
            (403, vec![], r#"{"success":false}"#, Verdict::Forbidden),
            (401, vec![], "{}", Verdict::Unauthorized),
            (410, vec![], r#"{"success":true}"#, Verdict::Refused),
            (500, vec![], "{}", Verdict::Ambiguous),
            (502, vec![], "<html>", Verdict::Ambiguous),
            (503, vec![], "<html>", Verdict::Ambiguous),
            (504, vec![], "", Verdict::Ambiguous),
            (524, vec![], "<html>", Verdict::Ambiguous),
        ] {
            assert_eq!(judge(&answered(status, &headers, body), 10, 0, true), expected, "{status} {headers:?} {body}");
        }
        assert_eq!(judge(&answer(401, "{}"), 10, 0, false), Verdict::Refused, "an API token is replaced by a person");
        for (status, body, words) in
            [(402, "{}", "billing"), (403, "<!DOCTYPE html>", "firewall"), (403, "", "firewall")]
        {
            let verdict = judge(&answer(status, body), 10, 0, true);
            assert!(matches!(verdict, Verdict::Away { until: SHUT, why } if why.contains(words)), "{verdict:?}");
        }
    }

    #[test]
    fn bursts_in_a_row_are_waited_for_longer_and_at_last_taken_for_more() {
        let refusals = Refusals::default();
        let judge = refusals.judging(10, true);
        let burst = answer(429, "");
        for seconds in [2, 4, 8, 10, 10, 10, 10] {
            assert_eq!(judge.verdict(&burst), retry(seconds));
        }
        assert!(!refusals.stopped());
        assert_eq!(judge.verdict(&burst), Verdict::Exhausted { until: USED_UP });
        assert!(refusals.stopped());
        assert_eq!(refusals.judging(2, true).verdict(&answer(200, "{}")), Verdict::Fine);
        assert!(!refusals.stopped());
        for _ in 0..2 {
            assert_eq!(judge.verdict(&burst), retry(2));
            assert_eq!(judge.verdict(&answer(200, "{}")), Verdict::Fine);
        }
    }

    #[test]
    fn a_refused_login_is_left_to_the_login() {
        for (status, body, expected) in [
            (400, "{}", Verdict::Refused),
            (401, "{}", Verdict::Refused),
            (429, "{}", retry(2)),
            (200, "<html>", Verdict::Ambiguous),
            (502, "<html>", Verdict::Ambiguous),
            (200, "{}", Verdict::Fine),
        ] {
            assert_eq!(judge_login(&answer(status, body)), expected, "{status} {body}");
        }
    }
}
