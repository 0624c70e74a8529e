//! Where a walk stands, as text that survives a restart. What is read back is checked, because it goes into requests.

use serde::{Deserialize, Serialize};

use crate::crm::pipedrive::wire;
use crate::domain::failure::Trouble;
use crate::domain::record::Resume;

/// A place in a list: its cursor, and one from before, so that a walk in a circle is noticed however long that is. The
/// one from before is taken anew after 1, 2, 4, 8, … pages: a circle then meets it within three times its own length, and
/// no more is kept (Brent's way of finding a cycle).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    cursor: String,
    #[serde(default)]
    pages: u32,
    #[serde(default)]
    before: Option<String>,
}

impl Place {
    /// The place kept; the beginning where there is none. Earlier versions kept the cursor alone.
    pub(super) fn parse(resume: Option<Resume>) -> Option<Self> {
        let Resume(text) = resume?;
        Some(serde_json::from_str(&text).unwrap_or(Self { cursor: text, pages: 0, before: None }))
    }

    pub(super) fn resume(&self) -> Result<Resume, Trouble> {
        written(self)
    }

    pub(super) fn cursor(&self) -> &str {
        &self.cursor
    }

    /// How many pages lie before it.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// The place of the page after the one that was asked for here, by the cursor that page names as the next.
    pub(super) fn onward(asked: Option<Self>, next: Option<String>) -> Result<Option<Self>, Trouble> {
        let Some(next) = next else { return Ok(None) };
        let Some(Self { cursor, pages, before }) = asked else {
            return Ok(Some(Self { cursor: next, pages: 1, before: None }));
        };
        if next == cursor || before.as_ref() == Some(&next) {
            return Err(Trouble::Protocol("Pipedrive sends the same pages over and over".into()));
        }
        let before = if pages.is_power_of_two() { Some(cursor) } else { before };
        Ok(Some(Self { cursor: next, pages: pages.saturating_add(1), before }))
    }
}

/// A place in the trail of organizations: those whose persons are still to be read, and where the list of organizations
/// goes on. Kept by their ids: listed again, they could be others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct InTrail {
    pub of: Vec<String>,
    /// Among the persons of the first of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Place>,
    /// The organizations beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Place>,
}

impl InTrail {
    /// The place kept; the beginning where there is none.
    pub(super) fn parse(resume: Option<&Resume>) -> Result<Self, Trouble> {
        let Some(Resume(text)) = resume else { return Ok(Self::default()) };
        match serde_json::from_str::<Self>(text) {
            Ok(place) if place.of.iter().all(|id| wire::is_id(id)) => Ok(place),
            // Without the cause, which would quote what was kept.
            _ => Err(Trouble::Protocol("the place kept for Pipedrive cannot be read".into())),
        }
    }

    /// `None` at the end.
    pub(super) fn resume(&self) -> Result<Option<Resume>, Trouble> {
        (!self.is_end()).then(|| written(self)).transpose()
    }

    pub(super) fn is_end(&self) -> bool {
        self.of.is_empty() && self.beyond.is_none()
    }
}

fn written(place: &impl Serialize) -> Result<Resume, Trouble> {
    let text = serde_json::to_string(place);
    text.map(Resume).map_err(|e| Trouble::Protocol(format!("a place in Pipedrive cannot be written: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many cursors are followed before a walk that goes in a circle is noticed.
    fn noticed_after(lead: usize, circle: usize) -> usize {
        let mut place = None;
        for page in 0.. {
            let number = if page < lead { page } else { lead + (page - lead) % circle };
            match Place::onward(place, Some(format!("c{number}"))) {
                Ok(next) => place = next,
                Err(_) => return page,
            }
            // What is kept does not grow, and survives a restart.
            let kept = place.as_ref().map(|place| place.resume().unwrap());
            assert!(kept.as_ref().is_none_or(|Resume(text)| text.len() < 100));
            assert_eq!(Place::parse(kept), place);
        }
        unreachable!("it goes on for ever")
    }

    #[test]
    fn a_walk_in_a_circle_is_noticed_whatever_its_length() {
        for lead in [0, 1, 2, 7, 100] {
            for circle in [1, 2, 3, 8, 9, 250] {
                let pages = noticed_after(lead, circle);
                assert!(pages <= 3 * (lead + circle) + 1, "{lead} {circle}: {pages}");
            }
        }
    }

    #[test]
    fn a_long_walk_is_no_circle() {
        let mut place = None;
        for page in 0..2_000 {
            place = Place::onward(place, Some(format!("c{page}"))).unwrap();
        }
        assert_eq!(Place::onward(place, None).unwrap(), None);
    }

    #[test]
    fn a_bare_cursor_is_a_place_as_earlier_versions_kept_it() {
        for text in ["eyJmaWVsZCI6ImlkIn0", "7", "x"] {
            let place = Place::parse(Some(Resume(text.into()))).unwrap();
            assert_eq!(place.cursor(), text);
            assert!(Place::onward(Some(place), Some(text.into())).is_err());
        }
    }

    #[test]
    fn a_place_in_the_trail_survives_a_restart_and_what_no_version_wrote_is_refused() {
        let at = |cursor: &str| Place::onward(None, Some(cursor.to_owned())).unwrap();
        for place in [
            InTrail { of: vec!["12".into(), "13".into()], within: at("p2"), beyond: at("o2") },
            InTrail { of: Vec::new(), within: None, beyond: at("o2") },
        ] {
            let kept = place.resume().unwrap();
            assert_eq!(InTrail::parse(kept.as_ref()).unwrap(), place);
        }
        assert_eq!(InTrail::default().resume().unwrap(), None);
        for text in ["", "{}", "eyJ", r#"{"of":["12&x=1"]}"#, r#"{"of":[12]}"#] {
            let told = InTrail::parse(Some(&Resume(text.into()))).unwrap_err().to_string();
            assert_eq!(told, "unexpected answer: the place kept for Pipedrive cannot be read", "{text}");
        }
    }
}
