//! What a check found before anything is read or written: a fault that stops a source, or a note an operator should know.

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// It works, and not as somebody may expect.
    Note,
    /// The source cannot be read, or not be written to, as configured.
    Fault,
}

/// One thing a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How much it weighs.
    pub weight: Weight,
    /// What is so, naming the field or right it is about.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// A fault.
    pub fn fault(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { weight: Weight::Fault, what: what.into(), remedy: remedy.into() }
    }

    /// A note.
    pub fn note(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { weight: Weight::Note, what: what.into(), remedy: remedy.into() }
    }
}
