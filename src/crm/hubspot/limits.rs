//! What HubSpot allows, and what its answers mean for the next request: three limits told apart by name, and statuses of
//! its own. It knows no endpoint.
//!
//! <https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::{HeaderMap, StatusCode};

use crate::crm::budget::{self, Owner};
use crate::crm::hubspot::refusal::Refused;
use crate::crm::hubspot::wire;
use crate::domain::Timestamp;
use crate::http::body;
use crate::http::pacer::{Budget, PacerSettings};
use crate::http::transport::Response;
use crate::http::verdict::{self, Judge, Verdict};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MOVING: &str = "it has put this account out of reach";

/// HubSpot counts requests from midnight to midnight, for the whole portal; a share of any 24 hours is within that of each
/// day. Under OAuth it names no limit a day, and then nothing is held back.
pub(super) const PORTAL: Owner = Owner {
    crm: "HubSpot",
    account: "portal",
    unit: "requests",
    a_day: |headers| number(headers, "x-hubspot-ratelimit-daily").filter(|limit| *limit > 0),
    at_least: None,
};

/// The limit counts ten seconds; the smallest account's until a header tells more. Searches carry no headers and are
/// paced apart.
pub(super) fn pacing(budget: &Arc<budget::Budget>) -> PacerSettings {
    PacerSettings {
        assumed_per_minute: Some(600),
        window: Duration::from_secs(10),
        in_flight: 8,
        budget: |headers| {
            let number = |name| u32::try_from(number(headers, name)?).ok();
            let limit = number("x-hubspot-ratelimit-max")?;
            Some(Budget { limit, remaining: number("x-hubspot-ratelimit-remaining")?, reset: None })
        },
        allowance: Some(Arc::clone(budget) as _),
        ..PacerSettings::default()
    }
}

/// All headers are optional.
fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// How far the portal's clocks are ahead of UTC, in seconds, once it has said so. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Zone(Arc<OnceLock<i64>>);

impl Zone {
    /// The portal has said it. No place on Earth is a day ahead of another.
    pub(super) fn learn(&self, milliseconds: i64) {
        if milliseconds.unsigned_abs() < DAY.as_secs() * 1000 {
            let _ = self.0.set(milliseconds / 1000);
        }
    }

    /// From this instant to the portal's next midnight, when a day's requests are fresh; an hour where that is not known.
    fn until_midnight(&self, now: Option<Timestamp>) -> Duration {
        let (Some(now), Some(ahead)) = (now, self.0.get()) else { return HOUR };
        let into_the_day = (now.timestamp() + ahead).rem_euclid(86_400);
        let into_the_day = Duration::from_secs(into_the_day.unsigned_abs());
        // Nobody has used up a day that has hardly begun: the clocks were put back since the zone was told.
        if into_the_day < HOUR { HOUR } else { DAY - into_the_day }
    }
}

/// How answers are judged that are not about a login. `renews` says whether there are other tokens to be had than this.
pub(super) fn judging(zone: Zone, renews: bool) -> Judge {
    Judge::from(move |response: &Response| judge(response, &zone, renews))
}

/// How the answers to searches are judged. Their limit of a second is theirs alone: whoever searches waits for it, and
/// nobody else does.
pub(super) fn judging_searches(others: &Judge) -> Judge {
    let others = others.clone();
    let judge = move |response: &Response| match is_of_a_second(response) {
        true => Verdict::Refused,
        false => others.verdict(response),
    };
    Judge::from(judge)
}

fn is_of_a_second(response: &Response) -> bool {
    let words = limit(response);
    response.status() == StatusCode::TOO_MANY_REQUESTS
        && words.contains("secondly")
        && !["daily", "ten_secondly"].iter().any(|other| words.contains(other))
}

/// Which limit a 429 is about: its policy, and its sentence where that is left out.
fn limit(response: &Response) -> String {
    let error = wire::ErrorBody::of(response);
    format!("{} {}", error.policy_name, error.message).to_lowercase()
}

/// 429 is one of three limits, told apart by `policyName`; some statuses are HubSpot's own.
/// <https://developers.hubspot.com/docs/api-reference/error-handling>
fn judge(response: &Response, zone: &Zone, renews: bool) -> Verdict {
    // No answer to a 429 is documented to carry it, and proxies in front may add it.
    let asked = verdict::retry_after(response.headers());
    match response.status().as_u16() {
        429 => {
            let words = limit(response);
            if words.contains("daily") {
                let midnight = zone.until_midnight(verdict::date(response.headers()));
                Verdict::Exhausted { until: asked.map_or(midnight, |asked| asked.max(midnight)) }
            } else if words.contains("ten_secondly") {
                let window = number(response.headers(), "x-hubspot-ratelimit-interval-milliseconds");
                let window = window.map_or(Duration::from_secs(10), Duration::from_millis).min(HOUR);
                Verdict::Retry { after: Some(asked.unwrap_or(window)) }
            } else {
                Verdict::Retry { after: Some(asked.unwrap_or(Duration::from_secs(1))) }
            }
        }
        // Locked by many writes; the documentation asks for two seconds at least.
        423 => Verdict::Retry { after: Some(asked.unwrap_or_default().max(Duration::from_secs(2))) },
        // The account moves between data centres, for up to a day.
        477 => Verdict::Away { until: asked.unwrap_or(HOUR), why: MOVING },
        // Cloudflare does not reach HubSpot: nothing has arrived there.
        521 | 523 => Verdict::Retry { after: Some(asked.unwrap_or(Duration::from_secs(5))) },
        // No other token would be taken for one, and none is to be had: the caller reads why.
        401 | 530 if !renews || wire::ErrorBody::of(response).refused() == Refused::Unreadable => Verdict::Refused,
        530 => Verdict::Unauthorized,
        200 | 207 if !body::looks_like_json(response) => Verdict::Ambiguous,
        _ => verdict::general(response),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crm::script::{answer, undated, with};

    fn told(policy: &str, message: &str) -> String {
        json!({"policyName": policy, "message": message}).to_string()
    }

    fn retry(seconds: u64) -> Verdict {
        Verdict::Retry { after: Some(Duration::from_secs(seconds)) }
    }

    /// For a token that nobody renews, in a portal that has not said where it is.
    fn judged(response: &Response) -> Verdict {
        judge(response, &Zone::default(), false)
    }

    #[test]
    fn budgets_are_read_where_headers_are() {
        let limits = [
            ("x-hubspot-ratelimit-max", "190"),
            ("x-hubspot-ratelimit-remaining", "12"),
            ("x-hubspot-ratelimit-daily", "250000"),
        ];
        let response = limits.into_iter().fold(answer(200, "{}"), |r, (name, value)| with(r, name, value));
        let pacing =
            pacing(&Arc::new(budget::Budget::new(PORTAL, budget::Shares { everyday: 20, backfill: None, kept: 0 })));
        let expected = Budget { limit: 190, remaining: 12, reset: None };
        assert_eq!((pacing.budget)(response.headers()), Some(expected));
        assert_eq!((PORTAL.a_day)(response.headers()), Some(250_000));
        let bare = answer(200, "{}");
        assert_eq!((pacing.budget)(bare.headers()), None, "searches carry none");
        for odd in ["0", "", "many", "-1"] {
            assert_eq!(
                (PORTAL.a_day)(with(answer(200, "{}"), "x-hubspot-ratelimit-daily", odd).headers()),
                None,
                "{odd}"
            );
        }
    }

    #[test]
    fn answers_are_judged_by_policy_and_by_hubspots_own_statuses() {
        for (status, body, expected) in [
            (200, "{}".to_owned(), Verdict::Fine),
            (207, r#"{"results":[]}"#.to_owned(), Verdict::Fine),
            (200, "<html>".to_owned(), Verdict::Ambiguous),
            (200, String::new(), Verdict::Ambiguous),
            (429, told("SECONDLY", "You have reached your secondly limit."), retry(1)),
            (429, told("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit."), retry(10)),
            (429, told("", "You have reached your ten_secondly_rolling limit."), retry(10)),
            (429, told("DAILY", ""), Verdict::Exhausted { until: HOUR }),
            (429, told("", "You have reached your daily limit."), Verdict::Exhausted { until: HOUR }),
            (429, "<html>".to_owned(), retry(1)),
            (429, String::new(), retry(1)),
            (423, String::new(), retry(2)),
            (477, String::new(), Verdict::Away { until: HOUR, why: MOVING }),
            (400, "{}".to_owned(), Verdict::Refused),
            (403, "{}".to_owned(), Verdict::Forbidden),
            (414, "<html>".to_owned(), Verdict::Refused),
            (500, "{}".to_owned(), Verdict::Ambiguous),
            (502, "<html>".to_owned(), Verdict::Ambiguous),
            (503, String::new(), Verdict::Ambiguous),
            (504, "<html>".to_owned(), Verdict::Ambiguous),
            (521, "<html>".to_owned(), retry(5)),
            (522, "<html>".to_owned(), Verdict::Ambiguous),
            (523, String::new(), retry(5)),
            (524, "<html>".to_owned(), Verdict::Ambiguous),
            (525, "<html>".to_owned(), Verdict::Ambiguous),
            (526, "<html>".to_owned(), Verdict::Ambiguous),
        ] {
            assert_eq!(judged(&answer(status, &body)), expected, "{status} {body}");
        }
    }

    #[test]
    fn the_limit_of_a_second_pauses_searches_alone() {
        let searches = judging_searches(&judging(Zone::default(), false));
        for (status, body, expected) in [
            (429, told("SECONDLY", "You have reached your secondly limit."), Verdict::Refused),
            (429, told("", "You have reached your secondly limit."), Verdict::Refused),
            (429, told("TEN_SECONDLY_ROLLING", ""), retry(10)),
            (429, told("DAILY", ""), Verdict::Exhausted { until: HOUR }),
            (429, String::new(), retry(1)),
            (503, told("SECONDLY", ""), Verdict::Ambiguous),
            (200, "{}".to_owned(), Verdict::Fine),
        ] {
            assert_eq!(searches.verdict(&answer(status, &body)), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept() {
        for (status, policy, asked, expected) in [
            (429, "", "3", retry(3)),
            (429, "TEN_SECONDLY_ROLLING", "4", retry(4)),
            (429, "DAILY", "5", Verdict::Exhausted { until: HOUR }),
            (429, "DAILY", "7200", Verdict::Exhausted { until: 2 * HOUR }),
            (423, "", "30", retry(30)),
            (423, "", "1", retry(2)),
            (477, "", "600", Verdict::Away { until: Duration::from_secs(600), why: MOVING }),
            (477, "", "86400", Verdict::Away { until: DAY, why: MOVING }),
            (503, "", "7", retry(7)),
            (521, "", "7", retry(7)),
        ] {
            let response = with(answer(status, told(policy, "")), "retry-after", asked);
            assert_eq!(judged(&response), expected, "{status} {policy} {asked}");
        }
        let burst =
            with(answer(429, told("TEN_SECONDLY_ROLLING", "")), "x-hubspot-ratelimit-interval-milliseconds", "20000");
        assert_eq!(judged(&burst), retry(20), "a window of another length");
    }

    #[test]
    fn a_day_that_is_used_up_ends_at_the_portals_midnight() {
        const HOURS: i64 = 3_600_000;
        for (date, ahead, expected) in [
            ("2026-11-23T22:30:00Z", HOURS, Some("2026-11-23T23:00:00Z")),
            ("2026-11-23T21:00:00Z", HOURS, Some("2026-11-23T23:00:00Z")),
            ("2026-11-23T23:00:00Z", HOURS, Some("2026-11-24T00:00:00Z")),
            ("2026-11-24T00:00:01Z", HOURS, Some("2026-11-24T23:00:00Z")),
            ("2026-11-23T21:00:00Z", -5 * HOURS, Some("2026-11-24T05:00:00Z")),
            ("2026-11-24T01:00:00Z", -5 * HOURS, Some("2026-11-24T05:00:00Z")),
            ("2026-11-23T21:00:00Z", 5 * HOURS + HOURS / 2, Some("2026-11-24T18:30:00Z")),
            ("2026-11-23T21:00:00Z", 14 * HOURS, Some("2026-11-24T10:00:00Z")),
            ("2026-11-23T21:00:00Z", 0, Some("2026-11-24T00:00:00Z")),
            // No zone of this world.
            ("2026-11-23T21:00:00Z", i64::MAX, None),
            ("2026-11-23T21:00:00Z", i64::MIN, None),
        ] {
            let zone = Zone::default();
            zone.learn(ahead);
            let date: Timestamp = date.parse().unwrap();
            let in_words = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let response = with(answer(429, told("DAILY", "")), "date", &in_words);
            let until = expected.map_or(date + HOUR, |end| end.parse().unwrap());
            let expected = Verdict::Exhausted { until: (until - date).to_std().unwrap() };
            assert_eq!(judge(&response, &zone, false), expected, "{date} {ahead}");
            assert_eq!(judge(&undated(response), &zone, false), Verdict::Exhausted { until: HOUR });
        }
    }

    /// By last summer's zone it is midnight an hour early, and the next one is a day away.
    #[test]
    fn a_zone_from_before_the_clocks_were_put_back_costs_no_day() {
        let zone = Zone::default();
        zone.learn(7_200_000);
        let at_the_old_midnight = "2026-11-23T22:00:00Z".parse().ok();
        assert_eq!(zone.until_midnight(at_the_old_midnight), HOUR);
    }

    #[test]
    fn a_token_is_renewed_only_where_another_one_helps() {
        let ended = json!({"category": "EXPIRED_AUTHENTICATION", "message": "expired 75 second(s) ago."});
        let never = json!({"category": "EXPIRED_AUTHENTICATION", "message": "expired 20543 day(s) ago.",
            "context": {"expire time": ["1970-01-01T00:00:00Z"]}});
        let unknown = json!({"category": "INVALID_AUTHENTICATION"});
        for (status, body, renewable) in [
            (401, ended.to_string(), Verdict::Unauthorized),
            (401, unknown.to_string(), Verdict::Unauthorized),
            (401, String::new(), Verdict::Unauthorized),
            (401, never.to_string(), Verdict::Refused),
            (530, "<html>".to_owned(), Verdict::Unauthorized),
        ] {
            let response = answer(status, &body);
            assert_eq!(judge(&response, &Zone::default(), true), renewable, "{status} {body}");
            assert_eq!(judge(&response, &Zone::default(), false), Verdict::Refused, "{status} {body}");
        }
    }
}
