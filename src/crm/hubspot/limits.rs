//! What HubSpot allows, and what its answers mean for the next request: three limits told apart by name, and statuses of
//! its own. It knows no token and no endpoint.
//!
//! <https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>

use std::time::Duration;

use crate::crm::hubspot::wire;
use crate::http::body;
use crate::http::pacer::{Budget, PacerSettings};
use crate::http::transport::Response;
use crate::http::verdict::{self, Verdict};

/// The limit counts ten seconds; the smallest account's until a header tells more. Searches carry no headers and are
/// paced apart.
pub(super) fn pacing() -> PacerSettings {
    PacerSettings {
        assumed_per_minute: Some(600),
        window: Duration::from_secs(10),
        in_flight: 8,
        budget: |headers| {
            let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
            let limit = number("x-hubspot-ratelimit-max")?;
            Some(Budget { limit, remaining: number("x-hubspot-ratelimit-remaining")?, reset: None })
        },
        ..PacerSettings::default()
    }
}

/// 429 is one of three limits, told apart by `policyName`; some statuses are HubSpot's own.
/// <https://developers.hubspot.com/docs/api-reference/error-handling>
pub(super) fn judge(response: &Response) -> Verdict {
    let asked = match verdict::general(response) {
        Verdict::Retry { after } => after,
        _ => None,
    };
    match response.status().as_u16() {
        429 => {
            let error = wire::ErrorBody::of(response);
            let words = format!("{} {}", error.policy_name, error.message).to_lowercase();
            if words.contains("daily") {
                // It ends at midnight in the account's own zone; asking once an hour finds that hour.
                let hour = Duration::from_secs(3600);
                Verdict::Exhausted { until: asked.unwrap_or(hour).max(hour) }
            } else if words.contains("ten_secondly") {
                Verdict::Retry { after: Some(asked.unwrap_or(Duration::from_secs(10))) }
            } else if words.contains("secondly") {
                // The limit of searches alone: whoever searches waits, and nobody else.
                Verdict::Refused
            } else {
                Verdict::Retry { after: Some(asked.unwrap_or(Duration::from_secs(1))) }
            }
        }
        // Locked by many writes; the documentation asks for two seconds at least.
        423 => Verdict::Retry { after: Some(Duration::from_secs(2)) },
        // The account moves between data centres, for up to a day.
        477 => {
            let wait = verdict::retry_after(response.headers());
            Verdict::Retry { after: Some(wait.unwrap_or(Duration::from_secs(3600))) }
        }
        530 => Verdict::Unauthorized,
        200 | 207 if !body::looks_like_json(response) => Verdict::Ambiguous,
        _ => verdict::general(response),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::script::{answer, with};

    #[test]
    fn the_budget_is_read_where_headers_are() {
        let limits = [("x-hubspot-ratelimit-max", "190"), ("x-hubspot-ratelimit-remaining", "12")];
        let response = limits.into_iter().fold(answer(200, "{}"), |r, (name, value)| with(r, name, value));
        let expected = Budget { limit: 190, remaining: 12, reset: None };
        assert_eq!((pacing().budget)(response.headers()), Some(expected));
        assert_eq!((pacing().budget)(answer(200, "{}").headers()), None, "searches carry none");
    }

    #[test]
    fn answers_are_judged_by_policy_and_by_hubspots_own_statuses() {
        let limit = |policy: &str, message: &str| json!({"policyName": policy, "message": message}).to_string();
        let retry = |seconds| Verdict::Retry { after: Some(Duration::from_secs(seconds)) };
        for (status, body, expected) in [
            (200, "{}".to_owned(), Verdict::Fine),
            (207, r#"{"results":[]}"#.to_owned(), Verdict::Fine),
            (200, "<html>".to_owned(), Verdict::Ambiguous),
            (429, limit("SECONDLY", "You have reached your secondly limit."), Verdict::Refused),
            (429, limit("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit."), retry(10)),
            (429, limit("", "You have reached your ten_secondly_rolling limit."), retry(10)),
            (
                429,
                limit("DAILY", "You have reached your daily limit."),
                Verdict::Exhausted { until: Duration::from_secs(3600) },
            ),
            (429, limit("", "You have reached your secondly limit."), Verdict::Refused),
            (429, "<html>".to_owned(), retry(1)),
            (423, String::new(), retry(2)),
            (477, String::new(), retry(3600)),
            (400, "{}".to_owned(), Verdict::Refused),
            (401, "{}".to_owned(), Verdict::Unauthorized),
            (530, String::new(), Verdict::Unauthorized),
            (403, "{}".to_owned(), Verdict::Forbidden),
            (414, "<html>".to_owned(), Verdict::Refused),
            (502, "<html>".to_owned(), Verdict::Ambiguous),
            (524, "<html>".to_owned(), Verdict::Ambiguous),
        ] {
            assert_eq!(judge(&answer(status, &body)), expected, "{status} {body}");
        }
        let daily = with(answer(429, limit("DAILY", "")), "retry-after", "5");
        assert_eq!(judge(&daily), Verdict::Exhausted { until: Duration::from_secs(3600) });
        assert_eq!(judge(&with(answer(477, ""), "retry-after", "600")), retry(600));
        assert_eq!(judge(&with(answer(429, ""), "retry-after", "3")), retry(3));
    }
}
