//! What was last noted of each source. A process that stays looks before every sync, and says what it sees when it is new.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::finding::Finding;

/// By source: what its last look noted.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<HashMap<String, Vec<Finding>>>);

impl Notes {
    /// Takes over what a look at this source noted, and gives back what the one before did not.
    pub(super) fn news(&self, source: &str, noted: Vec<Finding>) -> Vec<Finding> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.insert(source.to_owned(), noted.clone()).unwrap_or_default();
        noted.into_iter().filter(|finding| !before.contains(finding)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_told_once_for_as_long_as_it_stands() {
        let notes = Notes::default();
        let (html, score) = (Finding::note("notes is rich text", ""), Finding::note("score is calculated", ""));
        for (source, noted, news) in [
            ("hubspot", vec![html.clone()], vec![html.clone()]),
            ("hubspot", vec![html.clone()], vec![]),
            ("second", vec![html.clone()], vec![html.clone()]),
            ("hubspot", vec![html.clone(), score.clone()], vec![score.clone()]),
            ("hubspot", vec![score.clone()], vec![]),
            ("hubspot", vec![html.clone(), score.clone()], vec![html.clone()]),
        ] {
            assert_eq!(notes.news(source, noted), news, "{source}");
        }
    }
}
