//! What calls cost and how many a company may make: burst, daily budget, and the block that follows stubbornness.
//! It must not know what the calls ask for.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::sandbox::pipedrive::access::Caller;

/// The rolling window of the burst limit, in seconds.
const WINDOW: i64 = 2;
/// How many times the API token's burst an OAuth app has.
const APP: u32 = 4;

/// Limits and what is used of them.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Calls in two seconds with the API token, an app has four times as many; `None` does not limit.
    pub burst: Option<u32>,
    /// Tokens a day; `None` does not limit.
    pub daily: Option<u64>,
    /// Whether answers tell of the burst limit.
    pub headers: bool,
    /// Whether answers tell of the daily budget.
    pub daily_headers: bool,
    /// Whether `x-ratelimit-reset` is an epoch, as one recording has it, and not seconds from now.
    pub reset_is_epoch: bool,
    /// Seconds for `Retry-After` with 429; Pipedrive documents none.
    pub retry_after: Option<u64>,
    /// Whether calls that fail cost tokens too.
    pub failures_cost: bool,
    /// How far ahead of UTC the server's midnight is, at which the budget is new.
    pub zone: TimeDelta,
    /// How many refusals in a row end in a block; `None` never.
    pub patience: Option<u32>,
    /// Whether a firewall answers in place of the API.
    pub blocked: bool,
    spent: u64,
    day: Option<NaiveDate>,
    recent: BTreeMap<Caller, VecDeque<DateTime<Utc>>>,
    refused: u32,
}

/// Why a call is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many calls in two seconds.
    Burst,
    /// The day's tokens are used up.
    Daily,
    /// The firewall's page.
    Blocked,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            burst: Some(40),
            daily: Some(150_000),
            headers: true,
            daily_headers: true,
            reset_is_epoch: false,
            retry_after: None,
            failures_cost: true,
            zone: TimeDelta::zero(),
            patience: None,
            blocked: false,
            spent: 0,
            day: None,
            recent: BTreeMap::new(),
            refused: 0,
        }
    }
}

impl Rates {
    /// Charges a call of `cost` tokens at `now`, or refuses it; refused calls cost nothing.
    pub fn charge(&mut self, caller: Caller, cost: u64, now: DateTime<Utc>) -> Result<(), Refused> {
        let today = (now + self.zone).date_naive();
        if self.day != Some(today) {
            self.day = Some(today);
            self.spent = 0;
        }
        let recent = self.recent.entry(caller).or_default();
        while recent.front().is_some_and(|first| now - *first >= TimeDelta::seconds(WINDOW)) {
            recent.pop_front();
        }
        let refusal = if self.blocked {
            Some(Refused::Blocked)
        } else if self.daily.is_some_and(|budget| self.spent + cost > budget) {
            Some(Refused::Daily)
        } else if self.burst_left(caller) == Some(0) {
            Some(Refused::Burst)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.refused += 1;
            self.blocked |= self.patience.is_some_and(|patience| self.refused >= patience);
            return Err(refusal);
        }
        self.refused = 0;
        self.spent += cost;
        self.recent.entry(caller).or_default().push_back(now);
        Ok(())
    }

    /// Gives back what a failed call cost, where failures cost nothing.
    pub fn refund(&mut self, cost: u64) {
        if !self.failures_cost {
            self.spent = self.spent.saturating_sub(cost);
        }
    }

    /// Calls a caller may make in two seconds.
    pub fn burst_of(&self, caller: Caller) -> Option<u32> {
        self.burst.map(|burst| if caller == Caller::App { burst.saturating_mul(APP) } else { burst })
    }

    /// Calls left in the burst window.
    pub fn burst_left(&self, caller: Caller) -> Option<u32> {
        let made = self.recent.get(&caller).map_or(0, VecDeque::len);
        self.burst_of(caller).map(|burst| burst.saturating_sub(u32::try_from(made).unwrap_or(u32::MAX)))
    }

    /// Tokens left today.
    pub fn tokens_left(&self) -> Option<u64> {
        self.daily.map(|budget| budget.saturating_sub(self.spent))
    }

    /// Tokens spent today.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Uses up the day's tokens.
    pub fn exhaust(&mut self, now: DateTime<Utc>) {
        self.day = Some((now + self.zone).date_naive());
        self.spent = self.daily.unwrap_or(u64::MAX / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_days_and_stubbornness() {
        let at = |second: i64| DateTime::from_timestamp(1_793_610_000 + second, 0).unwrap_or_default();
        let mut rates = Rates { burst: Some(2), daily: Some(25), patience: Some(3), ..Rates::default() };
        assert_eq!(
            [
                rates.charge(Caller::Token, 10, at(0)),
                rates.charge(Caller::Token, 10, at(1)),
                rates.charge(Caller::Token, 1, at(1))
            ],
            [Ok(()), Ok(()), Err(Refused::Burst)]
        );
        assert_eq!(rates.charge(Caller::Token, 1, at(2)), Ok(()));
        assert_eq!(rates.charge(Caller::Token, 10, at(9)), Err(Refused::Daily));
        assert_eq!((rates.tokens_left(), rates.burst_left(Caller::Token)), (Some(4), Some(2)));
        assert_eq!(rates.charge(Caller::Token, 10, at(86_400)), Ok(()), "the next day");
        for refusal in [Refused::Daily, Refused::Daily, Refused::Daily, Refused::Blocked] {
            assert_eq!(rates.charge(Caller::Token, 20, at(86_500)), Err(refusal));
        }
    }
}
