//! Where a listing stands, as text that survives a restart. What is read back is checked, because it goes into queries.

use serde::{Deserialize, Serialize};

use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::query::Since;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::record::Resume;

/// A place in a window of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub(super) enum InWindow {
    /// All of the rest is to be read in one go, from this second on.
    Rest {
        /// The second, inclusive.
        stamp: Timestamp,
    },
    /// Among the Contacts that were deleted or merged away.
    Left(Since),
    /// Among the Leads.
    Leads(Since),
    /// Among the Contacts that live.
    Contacts(Since),
    /// Among the Accounts, and the Contacts of those that were read last.
    Accounts {
        /// Where the Accounts go on.
        since: Since,
        /// The Accounts whose Contacts are under way. Kept by their ids: asked for again, they could be others.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        of: Vec<Id>,
        /// The last Contact that was read of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Id>,
    },
}

/// A place in a listing of everyone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub(super) enum InEveryone {
    /// Among the Contacts that were deleted or merged away.
    LeftContacts(Walk),
    /// Among the Leads that were deleted, merged away or converted.
    LeftLeads(Walk),
    /// Among the Leads.
    Leads(Walk),
    /// Among the Contacts.
    Contacts(Walk),
    /// In the results of a bulk job.
    Bulk(Job),
}

/// A walk by id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Walk {
    /// The last id that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Id>,
    /// Whether it is a walk even if there is much to read: the Bulk API has been tried.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_foot: bool,
}

impl Walk {
    /// The same, further on.
    pub(super) fn past(&self, last: &Id) -> Self {
        Self { after: Some(last.clone()), on_foot: self.on_foot }
    }
}

/// A bulk job, and how far its results are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    /// The job.
    pub job: Id,
    /// What it lists.
    pub of: Listed,
    /// Which attempt it is, from one.
    pub attempt: u8,
    /// Where its results go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locator: Option<String>,
    /// Rows read so far.
    #[serde(default)]
    pub read: u64,
    /// Rows it has, once it is complete and if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// What a bulk job lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Listed {
    /// Leads.
    Leads,
    /// Contacts.
    Contacts,
}

impl InWindow {
    /// The place kept; the window from its beginning where there is none, or one of an earlier version, which knew
    /// Contacts alone.
    pub(super) fn parse(resume: Option<&Resume>, start: Timestamp) -> Result<Self, Trouble> {
        let beginning = Self::Rest { stamp: start };
        let Some(Resume(text)) = resume else { return Ok(beginning) };
        match serde_json::from_str(text) {
            Ok(place) => Ok(place),
            Err(_) if serde_json::from_str::<Earlier>(text).is_ok() => Ok(beginning),
            Err(_) => Err(unreadable()),
        }
    }

    pub(super) fn resume(&self) -> Result<Resume, Trouble> {
        written(self)
    }

    /// Where in the window it stands.
    pub(super) fn since(&self) -> Since {
        match self {
            Self::Rest { stamp } => Since::from(*stamp),
            Self::Left(since) | Self::Leads(since) | Self::Contacts(since) | Self::Accounts { since, .. } => {
                since.clone()
            }
        }
    }

    /// The same part, further on.
    pub(super) fn at(&self, since: Since) -> Self {
        match self {
            Self::Rest { .. } => Self::Rest { stamp: since.stamp },
            Self::Left(_) => Self::Left(since),
            Self::Leads(_) => Self::Leads(since),
            Self::Contacts(_) => Self::Contacts(since),
            Self::Accounts { .. } => Self::Accounts { since, of: Vec::new(), after: None },
        }
    }
}

/// A place in a window as earlier versions kept it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Earlier {
    #[serde(rename = "stamp")]
    _stamp: Timestamp,
    #[serde(default, rename = "id")]
    _id: Option<Id>,
}

impl InEveryone {
    /// The place kept; the beginning where there is none, or one of an earlier version, which was an id of a Contact.
    pub(super) fn parse(resume: Option<&Resume>) -> Result<Self, Trouble> {
        let Some(Resume(text)) = resume else { return Ok(Self::LeftContacts(Walk::default())) };
        match serde_json::from_str(text) {
            Ok(place) => Ok(place),
            Err(_) if Id::read(text).is_some() => Ok(Self::LeftContacts(Walk::default())),
            Err(_) => Err(unreadable()),
        }
    }

    pub(super) fn resume(&self) -> Result<Resume, Trouble> {
        written(self)
    }
}

fn written(place: &impl Serialize) -> Result<Resume, Trouble> {
    let text = serde_json::to_string(place);
    text.map(Resume).map_err(|e| Trouble::Protocol(format!("a place in Salesforce cannot be written: {e}")))
}

fn unreadable() -> Trouble {
    Trouble::Protocol("the place kept for Salesforce cannot be read".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn id(text: &str) -> Id {
        Id::read(text).unwrap()
    }

    #[test]
    fn places_survive_a_restart() {
        let stamp = at("2026-11-02T09:00:00Z");
        let since = Since { stamp, id: Some(id("003Da00000xnAiy")) };
        for place in [
            InWindow::Rest { stamp },
            InWindow::Left(Since::from(stamp)),
            InWindow::Leads(since.clone()),
            InWindow::Contacts(since.clone()),
            InWindow::Accounts { since: since.clone(), of: Vec::new(), after: None },
            InWindow::Accounts { since, of: vec![id("001Da00000xnAiy")], after: Some(id("003Da00000xnAiy")) },
        ] {
            assert_eq!(InWindow::parse(Some(&place.resume().unwrap()), at("2026-01-01T00:00:00Z")).unwrap(), place);
        }
        let walk = Walk { after: Some(id("003Da00000xnAiy")), on_foot: true };
        let job = Job {
            job: id("750Da00000xnAiy"),
            of: Listed::Leads,
            attempt: 2,
            locator: Some("MTAwMDA".into()),
            read: 5,
            rows: Some(9),
        };
        for place in [
            InEveryone::LeftContacts(Walk::default()),
            InEveryone::LeftLeads(walk.clone()),
            InEveryone::Leads(walk.clone()),
            InEveryone::Contacts(walk),
            InEveryone::Bulk(job),
        ] {
            assert_eq!(InEveryone::parse(Some(&place.resume().unwrap())).unwrap(), place);
        }
    }

    #[test]
    fn places_smuggle_nothing_in() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"stamp":"2026-11-02T09:00:00Z","id":"x' OR Id != '"}"#,
            r#"{"part":"contacts","stamp":"2026-11-02T09:00:00Z","id":"x' OR Id != '"}"#,
            r#"{"part":"accounts","since":{"stamp":"2026-11-02T09:00:00Z"},"of":["x') OR (Id != '"]}"#,
            r#"{"part":"contacts","stamp":"2026-11-02T09:00:00Z' OR"}"#,
            r#"{"part":"everything","stamp":"2026-11-02T09:00:00Z"}"#,
        ] {
            let kept = Resume(text.into());
            assert!(InWindow::parse(Some(&kept), at("2026-01-01T00:00:00Z")).is_err(), "{text}");
            assert!(InEveryone::parse(Some(&kept)).is_err(), "{text}");
        }
        for text in [
            r#"{"part":"contacts","after":"x' OR Id != '"}"#,
            r#"{"part":"bulk","job":"../../sobjects","of":"contacts","attempt":1}"#,
        ] {
            assert!(InEveryone::parse(Some(&Resume(text.into()))).is_err(), "{text}");
        }
    }

    #[test]
    fn what_an_earlier_version_kept_begins_anew() {
        let start = at("2026-11-02T08:00:00Z");
        for text in
            [r#"{"stamp":"2026-11-02T09:00:00Z"}"#, r#"{"stamp":"2026-11-02T09:00:00Z","id":"003Da00000xnAiyIAE"}"#]
        {
            let place = InWindow::parse(Some(&Resume(text.into())), start).unwrap();
            assert_eq!(place, InWindow::Rest { stamp: start });
        }
        let place = InEveryone::parse(Some(&Resume("003Da00000xnAiyIAE".into()))).unwrap();
        assert_eq!(place, InEveryone::LeftContacts(Walk::default()));
    }
}
