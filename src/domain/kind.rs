//! Which CRM a source is.

use serde::{Deserialize, Serialize};

/// A kind of CRM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the CRM of that name")]
pub enum Kind {
    Salesforce,
    HubSpot,
    Pipedrive,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Salesforce, Self::HubSpot, Self::Pipedrive];

    /// Its word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Salesforce => "salesforce",
            Self::HubSpot => "hubspot",
            Self::Pipedrive => "pipedrive",
        }
    }
}
