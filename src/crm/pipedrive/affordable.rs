//! Whether what is configured fits into a day's tokens: the sum, before anything is read.

use crate::crm::pipedrive::wanted::Wanted;
use crate::crm::pipedrive::{Pipedrive, limits};
use crate::domain::finding::Finding;

/// A list costs this, whatever its size.
const LIST: u64 = 10;
/// Readings of the organizations that changed.
const ORGANIZATIONS_A_DAY: u64 = 24;
/// Persons on one page of it.
const PAGE: u64 = 500;
/// A sweep that reads fewer persons a day than this is worth a word.
const SLOW_SWEEP: u64 = 10_000;
/// Readings of the field definitions of one kind of object, by a process that stays.
const DEFINITIONS_A_DAY: u64 = 4;
/// Minutes between polls that a schedule can say.
const INTERVALS: [u64; 16] = [1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440];

/// What is read every day, whether anything changes or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    polls: u64,
    organizations: bool,
    /// Kinds of objects whose definitions are read.
    defined: u64,
}

impl Day {
    /// The day of a map that reads this, with ids that are written back or not.
    pub(super) fn new(polls: u32, wanted: &Wanted, writes_back: bool) -> Self {
        let Wanted { persons, organization, .. } = wanted;
        let defined = [writes_back || persons.reads_definitions(), organization.reads_definitions()];
        Self {
            polls: polls.into(),
            organizations: !organization.is_empty(),
            defined: defined.into_iter().map(u64::from).sum(),
        }
    }

    /// What it costs besides the polls.
    fn besides(self) -> u64 {
        (u64::from(self.organizations) * ORGANIZATIONS_A_DAY + self.defined * DEFINITIONS_A_DAY) * LIST
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
        if self.defined > 0 {
            sum.push_str(&format!(" + {} of field definitions at {LIST}", self.defined * DEFINITIONS_A_DAY));
        }
        format!("{sum} = {}", self.tokens())
    }

    /// The shortest time between polls that fits into this, in minutes.
    fn every(self, part: u64) -> Option<u64> {
        let polls = part.saturating_sub(self.besides() + LIST) / LIST;
        INTERVALS.into_iter().filter(|minutes| 1440 / minutes <= polls).min()
    }
}

impl Pipedrive {
    /// A fault where the schedule asks for more than the source's share of the day, or leaves nothing of it for the sweep
    /// that finds who was deleted; a note where it leaves little. How many people there are is not known here.
    pub(super) fn affordable(&self) -> Vec<Finding> {
        let Some((part, words)) = self.budget.everyday() else { return Vec::new() };
        let needed = self.day.tokens() + LIST;
        if needed <= part {
            let left = part - self.day.tokens();
            let a_day = left / LIST * PAGE;
            let slow = (a_day < SLOW_SWEEP).then(|| slow(&self.day.sum(), left, a_day, &words));
            return slow.into_iter().collect();
        }
        let whole = self.budget.a_day().unwrap_or(limits::SMALLEST_DAY);
        let share = needed.saturating_mul(100).div_ceil(whole.max(1));
        let raise = (share <= 100).then(|| format!("raise budget_share to {share} or more"));
        let rarer = self.day.every(part).map(|minutes| format!("poll every {minutes} minutes (schedule)"));
        let remedy = match [raise, rarer].into_iter().flatten().collect::<Vec<_>>().join(", or ") {
            none if none.is_empty() => "raise budget_share, and map no org.NAME or poll more rarely".to_owned(),
            remedy => remedy,
        };
        let what = format!("{}, and a page of the sweep {LIST}, which does not fit: {words}", self.day.sum());
        vec![Finding::fault(what, remedy)]
    }
}

fn slow(sum: &str, left: u64, a_day: u64, words: &str) -> Finding {
    Finding::note(
        format!(
            "{sum}, where {words}: the {left} that are left let the sweep, which finds who was deleted, read {a_day} persons a \
             day"
        ),
        "nothing, if there are not many more than that; else raise budget_share or poll more rarely (schedule)",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Day;
    use crate::crm::Wanted;
    use crate::crm::pipedrive::rig::scripted;
    use crate::crm::pipedrive::wanted;
    use crate::crm::script::{answer, with};
    use crate::domain::finding::Weight;
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
        let mark = |weight| if weight == Weight::Fault { "" } else { "note: " };
        findings.into_iter().map(|f| format!("{}{} | {}", mark(f.weight), f.what, f.remedy)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_schedule_that_does_not_fit_is_refused_with_the_sum_and_what_would_fit() {
        let mapped = ["name", "org.name", "labels"];
        let found_here = found(None, 5, 144, &mapped).await;
        let expected = "144 polls a day at 10 tokens + 24 readings of organizations at 10 + 4 of field definitions at 10 = 1720, \
            and a page of the sweep 10, which does not fit: budget_share = 5 percent of the company's 30000, as Pipedrive has not said how many there are, \
            is 1500 | raise budget_share to 6 or more, or poll every 15 minutes (schedule)";
        assert_eq!(found_here, [expected]);
        for (a_day, share, polls, fields, fits) in [
            (None, 20, 144, &mapped[..], true),
            (None, 6, 144, &mapped, true),
            (None, 5, 144, &["name"], true),
            (Some("150000"), 5, 288, &mapped, true),
            (Some("150000"), 2, 288, &mapped, false),
            (Some("10000"), 100, 1440, &["name"], false),
            (Some("14400"), 100, 1440, &["name"], false),
            (Some("14410"), 100, 1440, &["name"], true),
        ] {
            let is_fault = |found: &String| !found.starts_with("note: ");
            assert_eq!(
                !found(a_day, share, polls, fields).await.iter().any(is_fault),
                fits,
                "{a_day:?} {share} {polls} {fields:?}"
            );
        }
        let every_minute = found(Some("10000"), 100, 1440, &["name"]).await;
        assert!(every_minute[0].ends_with("| poll every 2 minutes (schedule)"), "{every_minute:?}");
        let slow = found(None, 5, 144, &["name"]).await;
        assert!(slow[0].starts_with("note: ") && slow[0].contains("the 60 that are left"), "{slow:?}");
        assert!(slow[0].contains("read 3000 persons a day"), "{slow:?}");
        let hardly_anything = found(Some("100"), 1, 144, &["org.name"]).await;
        assert!(hardly_anything[0].ends_with("poll more rarely"), "{hardly_anything:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_definitions_of_each_kind_of_object_that_is_read_are_counted() {
        for (fields, writes_back, tokens) in [
            (&["name"][..], false, 1_440),
            (&["name"], true, 1_480),
            (&["name", "labels"], true, 1_480),
            (&["job_title"], false, 1_480),
            (&["name", "org.name"], false, 1_680),
            (&["name", "org.industry"], false, 1_720),
            (&["labels", "org.custom_fields.x"], false, 1_760),
        ] {
            let wanted = Wanted { fields: fields.iter().map(|&field| field.to_owned()).collect(), ..Wanted::default() };
            let day = Day::new(144, &wanted::Wanted::new(wanted), writes_back);
            assert_eq!(day.tokens(), tokens, "{fields:?} {writes_back}");
        }
    }
}
