//! Ids of Salesforce in their 18-character form. One that exists may stand in a query.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::identity::salesforce_id;

/// An id that is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Id(String);

impl Id {
    /// The id of 15 or 18 characters; `None` where it is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        salesforce_id(text).map(Self)
    }

    /// Whether it is of the object with this prefix.
    pub(super) fn is_of(&self, prefix: &str) -> bool {
        self.0.starts_with(prefix)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::read(&text).ok_or("no valid id")
    }
}
