//! Whether what is configured fits into a day's tokens: the sum, before anything is read.

use std::collections::BTreeSet;

use crate::crm::pipedrive::{Pipedrive, limits};
use crate::domain::finding::Finding;

/// A list costs this, whatever its size.
const LIST: u64 = 10;
/// Readings of the organizations that changed.
const ORGANIZATIONS_A_DAY: u64 = 24;
/// Readings of the field definitions, by a process that stays.
const DEFINITIONS_A_DAY: u64 = 4;
/// Minutes between polls that a schedule can say.
const INTERVALS: [u64; 16] = [1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440];

/// What is read every day, whether anything changes or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    polls: u64,
    organizations: bool,
    definitions: bool,
}

impl Day {
    /// The day of a map that reads these fields.
    pub(super) fn new(polls: u32, fields: &BTreeSet<String>) -> Self {
        let organizations = fields.iter().any(|field| field.starts_with("org."));
        let definitions = fields.iter().any(|field| field == "labels" || field.contains("custom_fields"));
        Self { polls: polls.into(), organizations, definitions }
    }

    /// What it costs besides the polls.
    fn besides(self) -> u64 {
        let times = |reads, times| if reads { times * LIST } else { 0 };
        times(self.organizations, ORGANIZATIONS_A_DAY) + times(self.definitions, DEFINITIONS_A_DAY)
    }

    /// What it costs.
    pub(super) fn tokens(self) -> u64 {
        self.polls * LIST + self.besides()
    }

    fn sum(self) -> String {
        let mut sum = format!("{} polls a day at {LIST} tokens", self.polls);
        if self.organizations {
            sum.push_str(&format!(" + {ORGANIZATIONS_A_DAY} readings of organizations at {LIST}"));
        }
        if self.definitions {
            sum.push_str(&format!(" + {DEFINITIONS_A_DAY} of field definitions at {LIST}"));
        }
        format!("{sum} = {}", self.tokens())
    }

    /// The shortest time between polls that fits into this, in minutes.
    fn every(self, part: u64) -> Option<u64> {
        let polls = part.saturating_sub(self.besides()) / LIST;
        INTERVALS.into_iter().filter(|minutes| 1440 / minutes <= polls).min()
    }
}

impl Pipedrive {
    /// A fault where the schedule asks for more than the source's share of the day.
    pub(super) fn affordable(&self) -> Vec<Finding> {
        let Some((part, words)) = self.budget.everyday() else { return Vec::new() };
        let needed = self.day.tokens();
        if needed <= part {
            return Vec::new();
        }
        let whole = self.budget.a_day().unwrap_or(limits::SMALLEST_DAY);
        let share = needed.saturating_mul(100).div_ceil(whole.max(1));
        let raise = (share <= 100).then(|| format!("raise budget_share to {share} or more"));
        let rarer = self.day.every(part).map(|minutes| format!("poll every {minutes} minutes (schedule)"));
        let remedy = match [raise, rarer].into_iter().flatten().collect::<Vec<_>>().join(", or ") {
            none if none.is_empty() => "raise budget_share, and map no org.NAME or poll more rarely".to_owned(),
            remedy => remedy,
        };
        vec![Finding::fault(format!("{}, which does not fit: {words}", self.day.sum()), remedy)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::crm::Wanted;
    use crate::crm::pipedrive::rig::scripted;
    use crate::crm::script::{answer, with};
    use crate::sync::source::ContactSource as _;

    /// What the checks find: of a company with this many tokens a day, for a map of these fields.
    async fn found(a_day: Option<&str>, share: u32, polls_a_day: u32, fields: &[&str]) -> Vec<String> {
        let me = answer(200, json!({"success": true, "data": {"company_id": 77}}));
        let me = match a_day {
            Some(a_day) => with(me, "x-daily-ratelimit-token-limit", a_day),
            None => me,
        };
        let wanted = Wanted { fields: fields.iter().map(|&field| field.to_owned()).collect(), ..Wanted::default() };
        let (_, pipedrive) = scripted(
            wanted,
            |mut settings| {
                (settings.budget_share, settings.polls_a_day) = (share, polls_a_day);
                settings
            },
            [me],
        );
        pipedrive.account().await.unwrap();
        let findings = pipedrive.affordable();
        findings.into_iter().map(|found| format!("{} | {}", found.what, found.remedy)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_schedule_that_does_not_fit_is_refused_with_the_sum_and_what_would_fit() {
        let mapped = ["name", "org.name", "labels"];
        let found_here = found(None, 5, 144, &mapped).await;
        let expected = "144 polls a day at 10 tokens + 24 readings of organizations at 10 + 4 of field definitions at 10 = 1720, \
            which does not fit: budget_share = 5 percent of the company's 30000, as Pipedrive has not said how many there are, \
            is 1500 | raise budget_share to 6 or more, or poll every 15 minutes (schedule)";
        assert_eq!(found_here, [expected]);
        for (a_day, share, polls, fields, fits) in [
            (None, 20, 144, &mapped[..], true),
            (None, 6, 144, &mapped, true),
            (None, 5, 144, &["name"], true),
            (Some("150000"), 5, 288, &mapped, true),
            (Some("150000"), 2, 288, &mapped, false),
            (Some("10000"), 100, 1440, &["name"], false),
        ] {
            assert_eq!(
                found(a_day, share, polls, fields).await.is_empty(),
                fits,
                "{a_day:?} {share} {polls} {fields:?}"
            );
        }
        let every_minute = found(Some("10000"), 100, 1440, &["name"]).await;
        assert!(every_minute[0].ends_with("| poll every 2 minutes (schedule)"), "{every_minute:?}");
        let hardly_anything = found(Some("100"), 1, 144, &["org.name"]).await;
        assert!(hardly_anything[0].ends_with("poll more rarely"), "{hardly_anything:?}");
    }
}
