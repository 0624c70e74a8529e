//! `write_back = { field = … }`: the field of a CRM that gets Propstreet's ids. It must be one that somebody made for
//! this: a slip shall not overwrite what people wrote.

use crate::config::document::Section;
use crate::mapping::Mapper;

/// How a kind of CRM names a field that somebody made.
pub struct Naming {
    /// One that would do.
    pub example: &'static str,
    /// Whether a name can be one.
    pub fits: fn(&str) -> bool,
    /// What a rule writes to read it.
    pub read_as: fn(&str) -> String,
    /// What is wrong with one that cannot.
    pub unfit: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// Reads the key of a source. The map must not read that field: each id that is written would come back as a change.
pub fn read(source: &Section<'_>, naming: &Naming, mapper: Option<&Mapper>) -> Option<String> {
    const KEY: &str = "field";
    let section = source.section("write_back")?;
    section.require(KEY, &format!("name it: write_back = {{ field = \"{}\" }}", naming.example));
    let field = section.text(KEY);
    let is_read = |field: &str| {
        let as_read = (naming.read_as)(field);
        mapper.is_some_and(|mapper| mapper.fields().iter().any(|read| read.eq_ignore_ascii_case(&as_read)))
    };
    let fault = field.and_then(|field| match field {
        _ if !(naming.fits)(field) => Some((naming.unfit, naming.remedy)),
        _ if is_read(field) => Some((
            "is read by the map too: every id that is written would come back as a change",
            "map another field, or write to another one",
        )),
        _ => None,
    });
    if let Some((what, remedy)) = fault {
        section.fault(KEY, what, remedy);
    }
    section.close(&[]);
    field.filter(|_| fault.is_none()).map(str::to_owned)
}
