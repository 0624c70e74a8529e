//! What a sync has to tell: per source the books, whether everything was read, and what stopped it if something did.

use std::time::Duration;

use crate::domain::Timestamp;
use crate::domain::departure::{Departures, Guard};
use crate::domain::failure::{Blame, Trouble};
use crate::domain::finding::Finding;
use crate::domain::instant::minute;
use crate::domain::pass::{Counts, PassKind};
use crate::domain::told::{Fault, Requests, Told};
use crate::domain::updates::Updates;
use crate::ledger::error::LedgerError;

/// What ends a pass before its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Stop {
    /// The ledger failed: nothing may be sent that cannot be remembered.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Propstreet is down, or refuses the credential.
    #[error("Propstreet: {0}")]
    Propstreet(Trouble),
    /// The CRM is down, or refuses the credential.
    #[error("CRM: {0}")]
    Crm(Trouble),
    /// The CRM would not take ids back. It was read all the same.
    #[error("Propstreet's ids could not be written back to the CRM: {0}")]
    WriteBack(Trouble),
    /// The CRM cannot be read, or not be written to, as configured.
    #[error("{}", unfit(.0))]
    Unfit(Vec<Finding>),
    /// The source or the tenant is not the one this ledger was made with.
    #[error("{subject} is bound to {was} and now answers as {is}")]
    Rebound {
        /// What is bound.
        subject: String,
        /// What the ledger remembers.
        was: String,
        /// What is there now.
        is: String,
    },
}

impl Stop {
    /// Whether this is only the turn of something else, and goes on by itself without anybody hearing of it.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self, Self::Crm(Trouble::Spared(_)))
    }

    /// The word used in JSON and in the ledger.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::Propstreet(trouble) | Self::Crm(trouble) => trouble.code(),
            Self::WriteBack(_) => "write_back",
            Self::Unfit(_) => "unfit",
            Self::Rebound { .. } => "rebound",
        }
    }

    /// The word for `status`, which has to say on which side it was, and until when where that is known: it may be read
    /// hours after this instant.
    #[must_use]
    pub fn told(&self, now: Timestamp) -> String {
        match self {
            Self::Crm(trouble @ Trouble::NotSent { retry_after: Some(wait), .. }) => {
                format!("{} until {}", trouble.code(), minute(now + *wait))
            }
            Self::Propstreet(trouble) => format!("Propstreet: {}", trouble.code()),
            stop => stop.code().to_owned(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.remedy(),
            Self::Propstreet(trouble) | Self::Crm(trouble) | Self::WriteBack(trouble) => trouble.remedy(),
            Self::Unfit(_) => "mend what is listed above; propsync doctor shows whether it is",
            Self::Rebound { .. } => {
                "point base_url, the credential and the namespace back to the account this ledger was made with, or use \
                 another ledger.path for the new one"
            }
        }
    }
}

/// Every fault on a line of its own, with its remedy.
fn unfit(faults: &[Finding]) -> String {
    let lines = faults.iter().map(|Finding { what, remedy, .. }| format!("\n{what}\n    fix: {remedy}"));
    format!("the CRM does not serve this configuration:{}", lines.collect::<String>())
}

/// One pass, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassReport {
    /// Its kind.
    pub kind: PassKind,
    /// Its own books.
    pub counts: Counts,
}

/// One source in a sync.
#[derive(Debug)]
pub struct SourceReport {
    /// The source's name.
    pub name: String,
    /// Everything that was to be read was read, whether or not ids could be written back.
    pub complete: bool,
    /// The books over all passes of this sync.
    pub counts: Counts,
    /// How many records went into quarantine in this sync, rather than being there already.
    pub newly_quarantined: u64,
    /// Propstreet's ids written into the CRM's field.
    pub written_back: u64,
    /// The books of who left the CRM.
    pub gone: Departures,
    /// Why some are held back, if any are.
    pub guard: Option<Guard>,
    /// How the updates of contacts stand against what may be within a day, if any wait.
    pub updates: Option<Updates>,
    /// In whose words Propstreet refused this sync's calls on companies, if it did: contacts went on without employers.
    pub companies_refused: Option<String>,
    /// The passes, in order.
    pub passes: Vec<PassReport>,
    /// Requests to the CRM.
    pub crm_requests: u64,
    /// Calls to Propstreet on behalf of this source's records; the index's refresh is nobody's in particular.
    pub propstreet_requests: u64,
    /// How long it took.
    pub took: Duration,
    /// What stopped it.
    pub error: Option<Stop>,
}

impl SourceReport {
    /// Complete and balanced, and nobody held back for a person to look.
    #[must_use]
    pub fn is_green(&self) -> bool {
        self.complete && self.error.is_none() && self.counts.balanced() && self.gone.held == 0 && self.updates.is_none()
    }
}

impl From<SourceReport> for Told {
    fn from(report: SourceReport) -> Self {
        Self {
            source: report.name,
            complete: report.complete,
            counts: report.counts,
            newly_quarantined: report.newly_quarantined,
            written_back: report.written_back,
            gone: report.gone,
            guard: report.guard,
            updates: report.updates,
            companies_refused: report.companies_refused,
            requests: Requests { crm: report.crm_requests, propstreet: report.propstreet_requests },
            seconds: report.took.as_secs_f64(),
            error: report.error.as_ref().map(Fault::from),
        }
    }
}

impl From<&Stop> for Fault {
    fn from(stop: &Stop) -> Self {
        let (blame, passes) = match stop {
            Stop::Propstreet(trouble) | Stop::Crm(trouble) | Stop::WriteBack(trouble) => {
                (trouble.blame(), trouble.passes())
            }
            Stop::Ledger(_) | Stop::Unfit(_) => (Blame::Environment, false),
            Stop::Rebound { .. } => (Blame::Usage, false),
        };
        let (code, remedy) = (stop.code().to_owned(), stop.remedy().to_owned());
        Self { code, message: stop.to_string(), remedy, blame, passes }
    }
}
