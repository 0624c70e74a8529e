//! The four APIs by name.

/// One of the four APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upstream {
    /// Salesforce.
    Salesforce,
    /// `HubSpot`.
    HubSpot,
    /// Pipedrive.
    Pipedrive,
    /// Propstreet.
    Propstreet,
}

impl Upstream {
    /// All four, the CRMs first.
    pub const ALL: [Self; 4] = [Self::Salesforce, Self::HubSpot, Self::Pipedrive, Self::Propstreet];
}

/// One of the three that hold the people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Crm {
    /// Salesforce.
    Salesforce,
    /// `HubSpot`.
    HubSpot,
    /// Pipedrive.
    Pipedrive,
}

impl Crm {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Salesforce, Self::HubSpot, Self::Pipedrive];

    pub(in crate::sandbox) fn index(self) -> usize {
        self as usize
    }
}
