//! What a source may spend a day. A CRM counts for the whole account, so that one greedy program stops all others; a
//! source keeps to its share. It knows no request, and of a CRM only its name, its unit and its header.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::HeaderMap;

use crate::domain::failure::Trouble;
use crate::domain::instant::minute;
use crate::domain::spending::{Cost, Purse, Purses, Spending, Used};
use crate::http::pacer::Allowance;

/// Part of a rolling day comes back all the time: an hour later some of it is there again.
const LATER: Duration = Duration::from_secs(3600);

/// So much of the day, the sum in words, and the key that gives more.
type Part = (u64, String, &'static str);

/// Whose budget it is, and how it is learnt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    /// The CRM, in words.
    pub crm: &'static str,
    /// What it calls the account that shares the budget.
    pub account: &'static str,
    /// What it counts.
    pub unit: &'static str,
    /// What the account has a day, out of an answer's headers. One that is not there says nothing; it is no zero.
    pub a_day: fn(&HeaderMap) -> Option<u64>,
    /// What it has at least, where no header ever says; `None` holds nothing back.
    pub at_least: Option<u64>,
}

/// Parts of the account's day, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    /// What the source may use.
    pub everyday: u32,
    /// What a backfill may use besides; `None` has it within the other.
    pub backfill: Option<u32>,
    /// What a day of polls costs, in the CRM's unit: of the source's share, what can wait does not touch this.
    pub kept: u64,
}

/// What this source has used of the day, by its own count: the CRM's own lags, goes backwards or holds everybody's.
/// Repeats and calls that fail count too; whether the CRM counts them is not documented, and they are few.
#[derive(Debug)]
pub(super) struct Budget {
    owner: Owner,
    shares: Shares,
    day: Mutex<Day>,
}

#[derive(Debug, Default)]
struct Day {
    /// What the account has a day; unknown before its very first answer, which is therefore let through where nothing
    /// is known that it has at least.
    account: Option<u64>,
    used: Purses<Used>,
    /// Since the process began.
    spent: Purses<u64>,
}

impl Budget {
    /// Shares of the account's day.
    pub(super) fn new(owner: Owner, shares: Shares) -> Self {
        Self { owner, shares, day: Mutex::default() }
    }

    /// This is what the source has used within the last day, before now, and what the account had then.
    pub(super) fn used(&self, Spending { used, limit, .. }: Spending) {
        let mut day = self.day();
        day.used = used;
        day.account = day.account.or(limit);
    }

    /// What was spent since the process began.
    pub(super) fn spent(&self) -> Purses<u64> {
        self.day().spent
    }

    /// What the account has a day, where it has said so.
    pub(super) fn a_day(&self) -> Option<u64> {
        self.day().account
    }

    /// What the source may use of it day by day, with the sum in words; `None` where no limit is known.
    pub(super) fn everyday(&self) -> Option<(u64, String)> {
        let (part, words, _) = self.part(self.day().account, Purse::Everyday)?;
        Some((part, words))
    }

    /// Fails once what can wait has used half of what it may, for the less urgent of it: ids that are owed would else take
    /// all of it for weeks, and no sweep would come to its end.
    pub(super) fn halfway(&self) -> Result<(), Trouble> {
        let day = self.day();
        let Some((part, sum, key)) = self.part(day.account, Purse::Leisure) else { return Ok(()) };
        if day.used.leisure.units < part.saturating_sub(self.shares.kept) / 2 {
            return Ok(());
        }
        Err(self.spared(day.used, &sum, key))
    }

    fn spared(&self, used: Purses<Used>, sum: &str, key: &str) -> Trouble {
        let (Owner { crm, unit, .. }, kept) = (self.owner, self.shares.kept);
        let Purses { everyday, leisure, .. } = used;
        Trouble::Spared(format!(
            "what is left of this source's share of {crm}'s {unit} is kept for what goes first: {} used within a day, of \
             which {} for what can wait, and {kept} kept for polls, where {sum}; it goes on by itself as the day rolls on, or \
             raise {key}",
            everyday.units + leisure.units,
            leisure.units
        ))
    }

    /// One purse's part of the day: how much, the sum in words, and the key that gives it more.
    fn part(&self, account: Option<u64>, purse: Purse) -> Option<Part> {
        let (whole, named) = match account {
            Some(whole) => (whole, String::new()),
            None => (self.owner.at_least?, format!(", as {} has not said how many there are,", self.owner.crm)),
        };
        let (key, share) = match (purse, self.shares.backfill) {
            (Purse::Backfill, Some(share)) => ("backfill_share", share),
            _ => ("budget_share", self.shares.everyday),
        };
        let part = whole.saturating_mul(u64::from(share)) / 100;
        let account = self.owner.account;
        Some((part, format!("{key} = {share} percent of the {account}'s {whole}{named} is {part}"), key))
    }

    /// Whether a call fits into what is left of its purse's part.
    fn affords(&self, used: Purses<Used>, call: Cost, (part, sum, key): Part) -> Result<(), Trouble> {
        let (Cost { units, purse }, Owner { crm, unit, .. }) = (call, self.owner);
        let Purses { everyday, leisure, backfill } = used;
        let both = everyday.units + leisure.units;
        let (used, returns) = match purse {
            Purse::Leisure if both + units > part || leisure.units + units > part.saturating_sub(self.shares.kept) => {
                return Err(self.spared(used, &sum, key));
            }
            Purse::Backfill => (backfill.units, backfill.returns),
            _ => (
                both,
                [everyday, leisure].into_iter().filter(|used| used.units > 0).filter_map(|used| used.returns).min(),
            ),
        };
        if used + units <= part {
            return Ok(());
        }
        let back = returns.map(|at| format!(", from {}", minute(at))).unwrap_or_default();
        let next = if units > 1 { format!(", and the next call costs {units}") } else { String::new() };
        let cause = format!(
            "this source's share of {crm}'s {unit} is used up: {used} within a day{next}, where {sum}; it goes on by \
             itself as the day rolls on{back}, or raise {key}"
        );
        Err(Trouble::NotSent { cause, retry_after: Some(LATER) })
    }

    fn day(&self) -> MutexGuard<'_, Day> {
        self.day.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Allowance for Budget {
    fn take(&self, Cost { units, purse }: Cost) -> Result<(), Trouble> {
        let paying = match (purse, self.shares.backfill) {
            (Purse::Backfill, None) => Purse::Everyday,
            _ => purse,
        };
        let mut day = self.day();
        if let Some(part) = self.part(day.account, paying) {
            self.affords(day.used, Cost { units, purse: paying }, part).map_err(|trouble| {
                match (trouble, purse, paying) {
                    (Trouble::NotSent { cause, retry_after }, Purse::Backfill, Purse::Everyday) => {
                        let cause = format!("{cause}, or give the backfill a share of its own with backfill_share");
                        Trouble::NotSent { cause, retry_after }
                    }
                    (trouble, ..) => trouble,
                }
            })?;
        }
        day.used.of(paying).units += units;
        *day.spent.of(paying) += units;
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

    fn owner(at_least: Option<u64>) -> Owner {
        let a_day = |headers: &HeaderMap| headers.get("a-day")?.to_str().ok()?.parse().ok();
        Owner { crm: "Acme", account: "office", unit: "requests", a_day, at_least }
    }

    fn budget(share: u32) -> Budget {
        Budget::new(owner(None), Shares { everyday: share, backfill: None, kept: 0 })
    }

    fn saying(a_day: &str) -> HeaderMap {
        HeaderMap::from_iter([("a-day".parse().unwrap(), a_day.parse().unwrap())])
    }

    fn take(budget: &Budget) -> Result<(), Trouble> {
        budget.take(Cost::REQUEST)
    }

    fn refused(result: Result<(), Trouble>) -> String {
        let Err(Trouble::NotSent { cause, retry_after: Some(LATER) }) = result else { panic!("one too many") };
        cause
    }

    #[test]
    fn what_can_wait_waits_for_what_is_kept() {
        let budget = Budget::new(owner(Some(100)), Shares { everyday: 50, backfill: None, kept: 30 });
        let wait = |units| budget.take(Cost { units, purse: Purse::Leisure });
        wait(9).unwrap();
        budget.halfway().unwrap();
        wait(6).unwrap();
        assert!(matches!(budget.halfway(), Err(Trouble::Spared(_))), "the other half is the sweep's");
        let Err(Trouble::Spared(words)) = wait(6) else { panic!("it is the polls'") };
        assert!(
            words.contains("15 used within a day, of which 15 for what can wait, and 30 kept for polls"),
            "{words}"
        );
        for _ in 0..33 {
            take(&budget).unwrap();
        }
        // What polls use of their part takes nothing from the rest; what they use beyond it does.
        wait(2).unwrap();
        assert!(matches!(wait(1), Err(Trouble::Spared(_))), "polls have used more than their part");
        let cause = refused(take(&budget));
        assert!(cause.contains("50 within a day"), "{cause}");
    }

    #[test]
    fn the_request_that_would_be_one_too_many_is_not_sent() {
        let budget = budget(20);
        budget.used(Spending::everyday(990));
        take(&budget).unwrap();
        budget.learn(&saying("5000"));
        // A header that is missing or makes no sense is no zero.
        for said in [saying("many"), HeaderMap::new()] {
            take(&budget).unwrap();
            budget.learn(&said);
        }
        for _ in 993..1000 {
            take(&budget).unwrap();
        }
        for _ in 0..3 {
            let cause = refused(take(&budget));
            for words in ["Acme's requests", "1000 within a day", "budget_share = 20 percent of the office's 5000"] {
                assert!(cause.contains(words), "{cause}");
            }
        }
        assert_eq!(budget.spent().everyday, 10);
        budget.used(Spending::everyday(400));
        take(&budget).unwrap();
    }

    #[test]
    fn without_a_known_limit_nothing_is_held_back() {
        let first = budget(1);
        first.used(Spending::everyday(1_000_000));
        take(&first).unwrap();
        assert_eq!(first.everyday(), None);
        first.learn(&saying("100"));
        assert!(take(&first).is_err());
        // The next process knows it from the start.
        let next = budget(1);
        next.used(Spending { limit: first.a_day(), ..Spending::everyday(1) });
        assert!(take(&next).is_err());
    }

    #[test]
    fn what_the_smallest_account_has_counts_until_a_header_says_more() {
        let budget = Budget::new(owner(Some(30_000)), Shares { everyday: 10, backfill: None, kept: 0 });
        let cost = |units| Cost { units, purse: Purse::Everyday };
        budget.take(cost(2_991)).unwrap();
        let cause = refused(budget.take(cost(10)));
        assert!(
            cause.contains("2991 within a day") && cause.contains("30000, as Acme has not said how many"),
            "{cause}"
        );
        budget.take(cost(9)).unwrap();
        assert_eq!(budget.a_day(), None, "what is assumed is no word of theirs");
        budget.learn(&saying("60000"));
        budget.take(cost(3_000)).unwrap();
        refused(budget.take(cost(1)));
    }

    #[test]
    fn a_backfill_with_a_share_of_its_own_takes_nothing_from_the_polls() {
        let backfill = Cost { units: 10, purse: Purse::Backfill };
        let apart = Budget::new(owner(Some(100)), Shares { everyday: 20, backfill: Some(30), kept: 0 });
        let returns = Some("2026-11-03T11:00:00Z".parse().unwrap());
        let used = Purses { backfill: Used { units: 10, returns }, ..Purses::default() };
        apart.used(Spending { used, ..Spending::default() });
        apart.take(backfill).unwrap();
        apart.take(backfill).unwrap();
        let cause = refused(apart.take(backfill));
        for words in
            ["30 within a day", "backfill_share = 30 percent", "from 2026-11-03T11:00Z, or raise backfill_share"]
        {
            assert!(cause.contains(words), "{cause}");
        }
        for _ in 0..20 {
            take(&apart).unwrap();
        }
        let cause = refused(take(&apart));
        assert!(cause.ends_with("or raise budget_share"), "{cause}");
        assert_eq!(apart.spent(), Purses { everyday: 20, backfill: 20, leisure: 0 });

        let together = Budget::new(owner(Some(100)), Shares { everyday: 20, backfill: None, kept: 0 });
        together.take(backfill).unwrap();
        together.take(backfill).unwrap();
        refused(take(&together));
        let cause = refused(together.take(backfill));
        assert!(cause.ends_with("or raise budget_share, or give the backfill a share of its own with backfill_share"));
        assert_eq!(together.spent(), Purses { everyday: 20, ..Purses::default() });
    }
}
