//! Where a listing stands, as text that survives a restart. What is read back is checked, because it goes into requests.

use serde::{Deserialize, Serialize};

use crate::crm::hubspot::associations::Input;
use crate::crm::hubspot::wire::is_id;
use crate::domain::failure::Trouble;
use crate::domain::record::Resume;

/// A place in a window of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub(super) enum InWindow {
    /// Among the contacts that changed.
    Contacts {
        /// The greatest id that was read.
        after: u64,
    },
    /// Among the companies that changed, and the contacts of those that were found last.
    Companies {
        /// The greatest id that was found.
        after: u64,
        /// The companies whose contacts are under way. Kept by their ids: searched again, they could be others.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        of: Vec<Input>,
    },
}

/// A place in a listing of everyone: the list's own cursor, in one of its two halves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub(super) enum InEveryone {
    /// Among those who live.
    Living {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Among those in the recycle bin.
    Binned {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
}

impl InWindow {
    /// The place kept; the beginning where there is none. Earlier versions kept the id of a contact alone.
    pub(super) fn parse(resume: Option<&Resume>) -> Result<Self, Trouble> {
        let Some(Resume(text)) = resume else { return Ok(Self::Contacts { after: 0 }) };
        let place = match text.parse() {
            Ok(after) => Self::Contacts { after },
            Err(_) => serde_json::from_str(text).map_err(unreadable)?,
        };
        match &place {
            Self::Companies { of, .. } if !of.iter().all(|company| is_id(&company.id)) => Err(unreadable("no id")),
            _ => Ok(place),
        }
    }

    pub(super) fn resume(&self) -> Result<Resume, Trouble> {
        written(self)
    }
}

impl InEveryone {
    /// The place kept; the beginning where there is none. Earlier versions kept the list's cursor alone, which is an id.
    pub(super) fn parse(resume: Option<&Resume>) -> Result<Self, Trouble> {
        match resume {
            None => Ok(Self::Living { after: None }),
            Some(Resume(text)) if is_id(text) => Ok(Self::Living { after: Some(text.clone()) }),
            Some(Resume(text)) => serde_json::from_str(text).map_err(unreadable),
        }
    }

    pub(super) fn resume(&self) -> Result<Resume, Trouble> {
        written(self)
    }
}

fn written(place: &impl Serialize) -> Result<Resume, Trouble> {
    let text = serde_json::to_string(place);
    text.map(Resume).map_err(|e| Trouble::Protocol(format!("a place in HubSpot cannot be written: {e}")))
}

/// Without the cause, which would quote what was kept.
fn unreadable<E>(_: E) -> Trouble {
    Trouble::Protocol("the place kept for HubSpot cannot be read".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_survive_a_restart() {
        let of = vec![Input::new("9001"), Input { after: Some("MC0yLTE1OTc0MDA2NTg=".into()), ..Input::new("9002") }];
        for place in [
            InWindow::Contacts { after: 70_112 },
            InWindow::Companies { after: 0, of: Vec::new() },
            InWindow::Companies { after: 90_071_992_547_409_931, of },
        ] {
            assert_eq!(InWindow::parse(Some(&place.resume().unwrap())).unwrap(), place);
        }
        for place in [
            InEveryone::Living { after: None },
            InEveryone::Living { after: Some("70113".into()) },
            InEveryone::Binned { after: None },
            InEveryone::Binned { after: Some("a cursor".into()) },
        ] {
            assert_eq!(InEveryone::parse(Some(&place.resume().unwrap())).unwrap(), place);
        }
    }

    #[test]
    fn a_bare_number_is_a_place_among_contacts_as_earlier_versions_kept_it() {
        let kept = Resume("70112".into());
        assert_eq!(InWindow::parse(Some(&kept)).unwrap(), InWindow::Contacts { after: 70_112 });
        assert_eq!(InEveryone::parse(Some(&kept)).unwrap(), InEveryone::Living { after: Some("70112".into()) });
    }

    #[test]
    fn what_no_version_wrote_is_refused_without_quoting_it() {
        for text in [
            "",
            "x",
            "{}",
            "-1",
            r#"{"part":"contacts","after":"1 OR"}"#,
            r#"{"part":"companies","after":1,"of":[{"id":"../x"}]}"#,
            r#"{"part":"anywhere","after":1}"#,
        ] {
            let kept = Resume(text.into());
            let told = InWindow::parse(Some(&kept)).unwrap_err().to_string();
            assert_eq!(told, "unexpected answer: the place kept for HubSpot cannot be read", "{text}");
        }
        for text in ["", "x", "{}", r#"{"part":"contacts","after":"4"}"#, r#"{"part":"living","after":4}"#] {
            assert!(InEveryone::parse(Some(&Resume(text.into()))).is_err(), "{text}");
        }
    }
}
