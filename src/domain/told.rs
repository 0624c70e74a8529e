//! What is told of one source's sync, in a form that travels: from the process that ran it to whoever asked.

use serde::{Deserialize, Serialize};

use crate::domain::departure::{Departures, Guard};
use crate::domain::failure::Blame;
use crate::domain::pass::{Counts, Outcome};
use crate::domain::updates::Updates;

/// What a sync of one source did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The source's name.
    pub source: String,
    /// Everything that was to be read was read, whether or not ids could be written back.
    pub complete: bool,
    /// The books.
    pub counts: Counts,
    /// Of the quarantined, those that were not in quarantine before.
    pub newly_quarantined: u64,
    /// Propstreet's ids written into the CRM's field.
    pub written_back: u64,
    /// Who left the CRM, and what became of their contacts.
    pub gone: Departures,
    /// Why some are held back, if any are.
    pub guard: Option<Guard>,
    /// How the updates of contacts stand against what may be within a day, if any wait.
    pub updates: Option<Updates>,
    /// In whose words Propstreet refused calls on companies, if it did: contacts went on without their employers.
    pub companies_refused: Option<String>,
    /// What it cost.
    pub requests: Requests,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Why it stopped, if it did not come to its end.
    pub error: Option<Fault>,
}

/// Requests sent, retries included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// To the CRM.
    pub crm: u64,
    /// To Propstreet.
    pub propstreet: u64,
}

/// What went wrong, for a person: what happened, whose fault it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The word for it, which stays the same from version to version.
    pub code: String,
    /// What happened, in a sentence.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Whose it is.
    pub blame: Blame,
    /// Whether the next sync may go well without anyone acting.
    pub passes: bool,
}

/// Hears how a sync gets on.
pub trait Progress: Send + Sync {
    /// A record of a source ended.
    fn ended(&self, source: &str, outcome: Outcome);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn ended(&self, _source: &str, _outcome: Outcome) {}
}
