//! What Pipedrive allows, and what its answers mean for the next request. It knows no endpoint.
//!
//! <https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting>

use std::time::Duration;

use crate::http::body;
use crate::http::pacer::{Budget, PacerSettings};
use crate::http::transport::Response;
use crate::http::verdict::{self, Verdict};

/// The pause after a refusal of everything: an exhausted day, or a block by Cloudflare, which calls made meanwhile
/// prolong.
const FULL_STOP: Duration = Duration::from_secs(30 * 60);

/// A burst counts two seconds. Until a header tells more, half of the smallest plan's twenty.
pub(super) fn pacing() -> PacerSettings {
    PacerSettings {
        assumed_per_minute: Some(300),
        window: Duration::from_secs(2),
        in_flight: 4,
        budget: |headers| {
            let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
            let limit = number("x-ratelimit-limit")?;
            let remaining = number("x-ratelimit-remaining")?;
            // Seconds; a proxy was seen to send an epoch.
            let reset = number("x-ratelimit-reset").map(|seconds| Duration::from_secs(seconds.min(10).into()));
            Some(Budget { limit, remaining, reset })
        },
        ..PacerSettings::default()
    }
}

/// 429 is a burst or an exhausted day, told apart by what the headers say is left; a 403 in HTML is Cloudflare's block.
/// <https://pipedrive.readme.io/docs/core-api-concepts-rate-limiting>
pub(super) fn judge(response: &Response) -> Verdict {
    let left = |name: &str| response.headers().get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let is_json = body::looks_like_json(response);
    match response.status().as_u16() {
        429 if left("x-daily-ratelimit-token-remaining") == Some(0) || left("x-ratelimit-remaining") > Some(0) => {
            Verdict::Exhausted { until: FULL_STOP }
        }
        429 => {
            let seconds = left("retry-after").or_else(|| left("x-ratelimit-reset")).unwrap_or(2);
            Verdict::Retry { after: Some(Duration::from_secs(seconds.clamp(1, 10))) }
        }
        403 if !is_json => Verdict::Exhausted { until: FULL_STOP },
        // `null` and pages of a proxy come with 200 too.
        200 if !is_json => Verdict::Ambiguous,
        _ => verdict::general(response),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::script::{answer, with};

    #[test]
    fn the_budget_is_read_where_headers_are() {
        let limits =
            [("x-ratelimit-limit", "80"), ("x-ratelimit-remaining", "79"), ("x-ratelimit-reset", "1778840900")];
        let response = limits.into_iter().fold(answer(200, "{}"), |r, (name, value)| with(r, name, value));
        let expected = Budget { limit: 80, remaining: 79, reset: Some(Duration::from_secs(10)) };
        assert_eq!((pacing().budget)(response.headers()), Some(expected));
        assert_eq!((pacing().budget)(answer(200, "{}").headers()), None);
    }

    #[test]
    fn answers_are_judged_by_what_is_left() {
        let retry = |seconds| Verdict::Retry { after: Some(Duration::from_secs(seconds)) };
        let stop = Verdict::Exhausted { until: FULL_STOP };
        for (status, headers, body, expected) in [
            (200, vec![], "{}", Verdict::Fine),
            (200, vec![], "null", Verdict::Ambiguous),
            (200, vec![], r#"{"success":true,"da"#, Verdict::Ambiguous),
            (200, vec![], "<html>", Verdict::Ambiguous),
            (429, vec![], "", retry(2)),
            (429, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1")], "", retry(1)),
            (429, vec![("x-ratelimit-reset", "1778840900")], "", retry(10)),
            (429, vec![("x-ratelimit-remaining", "0"), ("x-daily-ratelimit-token-remaining", "9000")], "", retry(2)),
            (429, vec![("x-daily-ratelimit-token-remaining", "0"), ("x-ratelimit-remaining", "0")], "", stop),
            (429, vec![("x-ratelimit-remaining", "19")], "", stop),
            (403, vec![], "<!DOCTYPE html>", stop),
            (403, vec![], r#"{"success":false}"#, Verdict::Forbidden),
            (401, vec![], "{}", Verdict::Unauthorized),
            (402, vec![], "{}", Verdict::Refused),
            (410, vec![], r#"{"success":true}"#, Verdict::Refused),
            (500, vec![], "{}", Verdict::Ambiguous),
            (524, vec![], "<html>", Verdict::Ambiguous),
        ] {
            let plain = answer(status, body);
            let response = headers.iter().fold(plain, |response, (name, value)| with(response, name, value));
            assert_eq!(judge(&response), expected, "{status} {headers:?} {body}");
        }
    }
}
