//! The configuration as the rest of the program sees it: typed, complete, secrets resolved. What sets a room has that
//! room's own type, so that it is written down once.

use std::path::PathBuf;
use std::sync::Arc;

use crate::bell;
use crate::crm;
use crate::domain::kind::Kind;
use crate::domain::ownership::Owners;
use crate::domain::schedule::Schedule;
use crate::mapping::Mapper;
use crate::propstreet;
use crate::sync::engine::{Companies, FirstRun, OnChange, OnDelete, Policy};

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub file: PathBuf,
    /// How to reach Propstreet.
    pub propstreet: propstreet::Settings,
    /// What the operator decided about people who may be one.
    pub policy: Policy,
    /// The ledger's file.
    pub ledger: PathBuf,
    /// Where webhooks come in, if they do.
    pub webhooks: Option<bell::Settings>,
    /// The CRMs, by name in alphabetical order. At least one.
    pub sources: Vec<SourceConfig>,
}

/// One CRM account.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// The name of its section.
    pub name: String,
    /// The namespace of its references, as it is written to Propstreet.
    pub namespace: String,
    /// Which CRM it is.
    pub kind: Kind,
    /// How to reach it.
    pub crm: crm::Settings,
    /// What the first pass reads.
    pub first_run: FirstRun,
    /// What becomes of the contacts of people who change there.
    pub on_change: OnChange,
    /// Whose each field is.
    pub owners: Owners,
    /// Whether what is empty there is emptied in Propstreet.
    pub clear_empty: bool,
    /// What becomes of employers.
    pub companies: Companies,
    /// What becomes of people who are deleted there.
    pub on_delete: OnDelete,
    /// What becomes of people whom the filter keeps out once they have a contact.
    pub on_filtered: OnDelete,
    /// How many may go within a day before a person must look.
    pub guard: Option<u32>,
    /// When `propsync run` syncs it.
    pub schedule: Schedule,
    /// How its webhooks prove that they are the CRM's, if it has any.
    pub webhooks: Option<crm::Webhooks>,
    /// From its records to contacts.
    pub mapper: Arc<Mapper>,
}

impl SourceConfig {
    /// Whether contacts follow their records.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.on_change == OnChange::Update
    }
}
