//! What a source decides about contacts that exist: whether they follow their CRM, whose each field is, employers, and who
//! is kept out.

use crate::config::document::{Section, Word};
use crate::domain::ownership::{Field, Owner, Owners};
use crate::sync::engine::{Companies, OnChange, OnDelete};

/// The policies of one source.
pub struct Policies {
    pub on_change: OnChange,
    pub owners: Owners,
    pub clear_empty: bool,
    pub companies: Companies,
    pub on_delete: OnDelete,
    pub on_filtered: OnDelete,
}

/// Reads them. Faults are reported; without one, what is not written has its default.
pub fn read(section: &Section<'_>) -> Option<Policies> {
    let on_change = word(section, "on_change", &[("ignore", OnChange::Ignore), ("update", OnChange::Update)]);
    let companies = word(section, "companies", &[("off", Companies::Off), ("link", Companies::Link)]);
    let on_delete = word(section, "on_delete", &FATES);
    let on_filtered = word(section, "on_filtered", &FATES);
    let clear_empty = if section.has("clear_empty") { section.flag("clear_empty") } else { Some(false) };
    let owners = if section.has("owner") { section.section("owner").and_then(owners) } else { Some(Owners::default()) };
    Some(Policies {
        on_change: on_change?,
        owners: owners?,
        clear_empty: clear_empty?,
        companies: companies?,
        on_delete: on_delete?,
        on_filtered: on_filtered?,
    })
}

const FATES: [(&str, OnDelete); 3] = [("keep", OnDelete::Keep), ("tag", OnDelete::Tag), ("delete", OnDelete::Delete)];

/// One of these words; the first where nothing is written.
fn word<T: Copy>(section: &Section<'_>, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
    if !section.has(key) {
        return words.first().map(|(_, first)| *first);
    }
    let words: Vec<_> = words.iter().map(|(word, meant)| (*word, Word::Built(*meant))).collect();
    section.choice(key, &words)
}

fn owners(section: Section<'_>) -> Option<Owners> {
    const OF_A_TEXT: [(&str, Owner); 2] = [("crm", Owner::Crm), ("propstreet", Owner::Propstreet)];
    const OF_TAGS: [(&str, Owner); 3] =
        [("union", Owner::Union), ("crm", Owner::Crm), ("propstreet", Owner::Propstreet)];
    let mut owners = Some(Owners::default());
    for field in Field::ALL.into_iter().filter(|field| section.has(field.name())) {
        let words = if field == Field::Tags { &OF_TAGS[..] } else { &OF_A_TEXT[..] };
        owners = match word(&section, field.name(), words) {
            Some(owner) => owners.map(|owners| owners.with(field, owner)),
            None => None,
        };
    }
    section.close(&[]);
    owners
}
