//! The allowances: by the second for searches, by ten seconds for the rest, by the day for all but OAuth apps.
//! It must not know paths or tokens.

use std::collections::VecDeque;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::properties::instant;

/// Requests a day.
const A_DAY: u32 = 1_000_000;

/// Allowances; `None` does not limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// Searches a second, of contacts and companies together.
    pub searches_a_second: Option<u32>,
    /// Other requests in a rolling ten seconds.
    pub requests_in_ten_seconds: Option<u32>,
    /// Requests left today; at midnight of the portal there are a million again.
    pub today: Option<u32>,
}

/// Where the portal's day begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// `Europe/Stockholm`
    pub name: String,
    /// What it is ahead of UTC.
    pub offset: TimeDelta,
}

/// What counts against a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spending {
    /// A search has an allowance of its own.
    pub search: bool,
    /// An OAuth app has no daily allowance.
    pub oauth: bool,
}

/// The counters behind the allowances.
#[derive(Debug)]
pub struct Rates {
    /// The allowances.
    pub allowances: Allowances,
    /// Where midnight is.
    pub zone: Zone,
    today: Option<NaiveDate>,
    recent: VecDeque<DateTime<Utc>>,
    /// The second of the last search, and how many it saw.
    searches: (i64, u32),
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            allowances: Allowances {
                searches_a_second: Some(5),
                requests_in_ten_seconds: Some(190),
                today: Some(A_DAY),
            },
            zone: Zone { name: "Europe/Stockholm".to_owned(), offset: TimeDelta::hours(1) },
            today: None,
            recent: VecDeque::new(),
            searches: (0, 0),
        }
    }
}

impl Rates {
    /// Counts a request or refuses it.
    pub fn spend(&mut self, spending: Spending, now: DateTime<Utc>) -> Result<(), Refusal> {
        self.turn_the_day(now);
        let allowances = self.allowances;
        if allowances.today == Some(0) && !spending.oauth {
            return Err(Refusal::too_many("DAILY"));
        }
        if spending.search {
            let (second, before) = self.searches;
            let before = if second == now.timestamp() { before } else { 0 };
            if allowances.searches_a_second.is_some_and(|most| before >= most) {
                return Err(Refusal::too_many("SECONDLY"));
            }
            self.searches = (now.timestamp(), before + 1);
        } else if let Some(most) = allowances.requests_in_ten_seconds {
            while self.recent.front().is_some_and(|first| now - *first >= TimeDelta::seconds(10)) {
                self.recent.pop_front();
            }
            if self.recent.len() >= most as usize {
                return Err(Refusal::too_many("TEN_SECONDLY_ROLLING"));
            }
            self.recent.push_back(now);
        }
        if !spending.oauth {
            self.allowances.today = allowances.today.map(|left| left - 1);
        }
        Ok(())
    }

    /// The headers of an answer: none for a search, and none about the day for an OAuth app.
    pub fn advertise(&self, spending: Spending, headers: &mut HeaderMap) {
        if spending.search {
            return;
        }
        if let Some(most) = self.allowances.requests_in_ten_seconds {
            let left = most.saturating_sub(u32::try_from(self.recent.len()).unwrap_or(u32::MAX));
            headers.insert("x-hubspot-ratelimit-max", HeaderValue::from(most));
            headers.insert("x-hubspot-ratelimit-remaining", HeaderValue::from(left));
            headers.insert("x-hubspot-ratelimit-interval-milliseconds", HeaderValue::from(10_000));
        }
        if let Some(left) = self.allowances.today.filter(|_| !spending.oauth) {
            headers.insert("x-hubspot-ratelimit-daily", HeaderValue::from(A_DAY));
            headers.insert("x-hubspot-ratelimit-daily-remaining", HeaderValue::from(left));
        }
    }

    /// What `account-info/…/api-usage/daily/private-apps` lists.
    pub fn usage(&self, now: DateTime<Utc>) -> Json {
        let left = self.allowances.today.unwrap_or(A_DAY);
        let tomorrow = self.date(now).succ_opt().and_then(|date| date.and_hms_opt(0, 0, 0));
        let resets = tomorrow.map(|midnight| instant(midnight.and_utc() - self.zone.offset));
        json!({"name": "private-apps-api-calls-daily", "currentUsage": A_DAY.saturating_sub(left), "usageLimit": A_DAY,
               "collectedAt": instant(now), "fetchStatus": "SUCCESS", "resetsAt": resets})
    }

    fn turn_the_day(&mut self, now: DateTime<Utc>) {
        let date = self.date(now);
        if self.today.replace(date).is_some_and(|before| before != date) && self.allowances.today.is_some() {
            self.allowances.today = Some(A_DAY);
        }
    }

    fn date(&self, now: DateTime<Utc>) -> NaiveDate {
        (now + self.zone.offset).date_naive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::hubspot::bench::{get, pass, portal, search};

    #[tokio::test(start_paused = true)]
    async fn a_day_ends_at_the_portals_own_midnight() {
        let hubspot = portal();
        let usage = "/account-info/2026-03/api-usage/daily/private-apps";
        for (name, offset, resets) in
            [("Europe/Stockholm", 1, "2026-11-02T23:00:00.000Z"), ("America/New_York", -5, "2026-11-03T05:00:00.000Z")]
        {
            hubspot.set_time_zone(name, TimeDelta::hours(offset));
            assert_eq!(get(&hubspot, usage).await.1["results"][0]["resetsAt"], resets);
        }
        let (_, account) = get(&hubspot, "/account-info/v3/details").await;
        assert_eq!((&account["timeZone"], &account["utcOffset"]), (&json!("America/New_York"), &json!("-05:00")));
        assert_eq!(account["utcOffsetMilliseconds"], -18_000_000);
        let none_left = Allowances { searches_a_second: None, requests_in_ten_seconds: None, today: Some(0) };
        hubspot.set_allowances(none_left);
        // 09:00 in Greenwich is 04:00 there: twenty hours are left.
        for (seconds, status) in [(0, 429), (20 * 3600 - 1, 429), (1, 200)] {
            pass(seconds).await;
            let (found, body) = search(&hubspot, &json!({})).await;
            assert_eq!((found, body["policyName"] == "DAILY"), (status, status == 429));
        }
    }
}
