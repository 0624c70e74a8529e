//! The requests of a day. A CRM counts them for the whole account, so that one greedy program stops all others; a source
//! keeps to its share. It knows no request, and of a CRM only its name and its header.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::HeaderMap;

use crate::domain::failure::Trouble;
use crate::domain::spending::Spending;
use crate::http::pacer::Allowance;

/// Part of a rolling day comes back all the time, and nothing says how much: an hour later some of it is there again.
const LATER: Duration = Duration::from_secs(3600);

/// Whose budget it is, and how it is learnt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    /// The CRM, in words.
    pub crm: &'static str,
    /// What it calls the account that shares the budget.
    pub account: &'static str,
    /// What the account has a day, out of an answer's headers. One that is not there says nothing; it is no zero.
    pub a_day: fn(&HeaderMap) -> Option<u64>,
}

/// What this source has used of the day, by its own count: the CRM's own lags, goes backwards or holds everybody's.
/// Logins and repeats count too; whether the CRM counts logins is not documented, and they are few. Where the CRM never
/// names a limit, nothing is held back.
#[derive(Debug)]
pub(super) struct Budget {
    owner: Owner,
    share: u32,
    day: Mutex<Day>,
}

#[derive(Debug, Default)]
struct Day {
    /// What the account has a day; unknown before its very first answer, which is therefore let through.
    account: Option<u64>,
    used: u64,
}

impl Budget {
    /// A share of the account's requests, in percent.
    pub(super) fn new(owner: Owner, share: u32) -> Self {
        Self { owner, share, day: Mutex::default() }
    }

    /// This is what the source has used within the last day, before now, and what the account had then.
    pub(super) fn used(&self, Spending { requests, limit }: Spending) {
        let mut day = self.day();
        day.used = requests;
        day.account = day.account.or(limit);
    }

    /// What the account has a day, where it has said so.
    pub(super) fn a_day(&self) -> Option<u64> {
        self.day().account
    }

    fn day(&self) -> MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance for Budget {
    fn take(&self) -> Result<(), Trouble> {
        let mut day = self.day();
        if let Some(whole) = day.account {
            let (share, ours) = (self.share, whole.saturating_mul(u64::from(self.share)) / 100);
            if day.used >= ours {
                let (Owner { crm, account, .. }, used) = (self.owner, day.used);
                let cause = format!(
                    "this source's share of {crm}'s requests is used up: {used} within a day, where budget_share = \
                     {share} percent of the {account}'s {whole} is {ours}; it goes on by itself as the day rolls on, or \
                     raise budget_share"
                );
                return Err(Trouble::NotSent { cause, retry_after: Some(LATER) });
            }
        }
        day.used += 1;
        Ok(())
    }

    fn learn(&self, headers: &HeaderMap) {
        if let Some(whole) = (self.owner.a_day)(headers) {
            self.day().account = Some(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(share: u32) -> Budget {
        let a_day = |headers: &HeaderMap| headers.get("a-day")?.to_str().ok()?.parse().ok();
        Budget::new(Owner { crm: "Acme", account: "office", a_day }, share)
    }

    fn saying(a_day: &str) -> HeaderMap {
        HeaderMap::from_iter([("a-day".parse().unwrap(), a_day.parse().unwrap())])
    }

    fn used(requests: u64) -> Spending {
        Spending { requests, limit: None }
    }

    #[test]
    fn the_request_that_would_be_one_too_many_is_not_sent() {
        let budget = budget(20);
        budget.used(used(990));
        budget.take().unwrap();
        budget.learn(&saying("5000"));
        // A header that is missing or makes no sense is no zero.
        for said in [saying("many"), HeaderMap::new()] {
            budget.take().unwrap();
            budget.learn(&said);
        }
        for _ in 993..1000 {
            budget.take().unwrap();
        }
        for _ in 0..3 {
            let Err(Trouble::NotSent { cause, retry_after: Some(_) }) = budget.take() else { panic!("one too many") };
            for words in ["Acme's requests", "1000 within a day", "budget_share = 20 percent of the office's 5000"] {
                assert!(cause.contains(words), "{cause}");
            }
        }
        budget.used(used(400));
        budget.take().unwrap();
    }

    #[test]
    fn without_a_known_limit_nothing_is_held_back() {
        let first = budget(1);
        first.used(used(1_000_000));
        first.take().unwrap();
        first.learn(&saying("100"));
        assert!(first.take().is_err());
        // The next process knows it from the start.
        let next = budget(1);
        next.used(Spending { requests: 1, limit: first.a_day() });
        assert!(next.take().is_err());
    }
}
