//! The requests of a day. Salesforce counts them over a rolling day for the whole org, so that one greedy program stops
//! all others; this source keeps to its share. It knows no request.
//!
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/headers_api_usage.htm>

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::HeaderMap;

use crate::domain::failure::Trouble;
use crate::domain::spending::Spending;
use crate::http::pacer::Allowance;

/// Part of a rolling day comes back all the time, and nothing says how much: an hour later some of it is there again.
const LATER: Duration = Duration::from_secs(3600);

/// What this source has used of the day, by its own count: the org's own lags, goes backwards and holds everybody's.
/// Logins and repeats count too; whether Salesforce counts logins is not documented, and they are few.
#[derive(Debug)]
pub(super) struct Budget {
    share: u32,
    day: Mutex<Day>,
}

#[derive(Debug, Default)]
struct Day {
    /// What the org has a day; unknown before its very first answer, which is therefore let through.
    org: Option<u64>,
    used: u64,
}

impl Budget {
    /// A share of the org's requests, in percent.
    pub(super) fn new(share: u32) -> Self {
        Self { share, day: Mutex::default() }
    }

    /// This is what the source has used within the last day, before now, and what the org had then.
    pub(super) fn used(&self, Spending { requests, limit }: Spending) {
        let mut day = self.day();
        day.used = requests;
        day.org = day.org.or(limit);
    }

    /// What the org has a day.
    pub(super) fn org(&self) -> Option<u64> {
        self.day().org
    }

    fn day(&self) -> MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance for Budget {
    fn take(&self) -> Result<(), Trouble> {
        let mut day = self.day();
        if let Some(org) = day.org {
            let (share, ours) = (self.share, org * u64::from(self.share) / 100);
            if day.used >= ours {
                let used = day.used;
                let cause = format!(
                    "this source's share of Salesforce's requests is used up: {used} within a day, where budget_share = \
                     {share} percent of the org's {org} is {ours}; it goes on by itself as the day rolls on, or raise \
                     budget_share"
                );
                return Err(Trouble::NotSent { cause, retry_after: Some(LATER) });
            }
        }
        day.used += 1;
        Ok(())
    }

    /// A header that is not there says nothing; it is no zero.
    fn learn(&self, headers: &HeaderMap) {
        if let Some(org) = org_a_day(headers) {
            self.day().org = Some(org);
        }
    }
}

/// The limit in `Sforce-Limit-Info: api-usage=18/5000; per-app-api-usage=17/250(appName=x)`: of several segments, in any
/// order, the one that is about the whole org.
fn org_a_day(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all("sforce-limit-info").iter().filter_map(|line| line.to_str().ok());
    let usage = lines.flat_map(|line| line.split([';', ','])).find_map(|segment| {
        let (name, usage) = segment.split_once('=')?;
        (name.trim() == "api-usage").then_some(usage)
    })?;
    let (_, limit) = usage.split_once('/')?;
    limit.trim().parse::<u32>().ok().filter(|limit| *limit > 0).map(u64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(info: &str) -> HeaderMap {
        HeaderMap::from_iter([("sforce-limit-info".parse().unwrap(), info.parse().unwrap())])
    }

    fn used(requests: u64) -> Spending {
        Spending { requests, limit: None }
    }

    #[test]
    fn the_limit_is_read_from_its_own_segment() {
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
    fn the_request_that_would_be_one_too_many_is_not_sent() {
        let budget = Budget::new(20);
        budget.used(used(990));
        budget.take().unwrap();
        budget.learn(&saying("api-usage=70/5000"));
        // Others' use is not ours, a header that is missing is no zero, and a counter that goes back gives nothing back.
        for said in ["api-usage=4999/5000", "api-usage=2/5000", "api-bursts=1/750"] {
            budget.take().unwrap();
            budget.learn(&saying(said));
        }
        budget.learn(&HeaderMap::new());
        for _ in 994..1000 {
            budget.take().unwrap();
        }
        for _ in 0..3 {
            let Err(Trouble::NotSent { cause, retry_after: Some(_) }) = budget.take() else { panic!("one too many") };
            for words in ["1000 within a day", "budget_share = 20 percent", "5000"] {
                assert!(cause.contains(words), "{cause}");
            }
        }
        budget.used(used(400));
        budget.take().unwrap();
    }

    #[test]
    fn without_a_known_limit_nothing_is_held_back() {
        let budget = Budget::new(1);
        budget.used(used(1_000_000));
        budget.take().unwrap();
        budget.learn(&saying("api-usage=18/100"));
        assert!(budget.take().is_err());
        // The next process knows it from the start.
        let budget = Budget::new(1);
        budget.used(Spending { requests: 1, limit: Some(100) });
        assert!(budget.take().is_err());
    }
}
