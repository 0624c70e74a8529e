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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use insta::assert_snapshot;

    use super::*;
    use crate::config::load;
    use crate::config::tree::SourceConfig;

    fn parsed(lines: &str, variables: &[(&str, &str)]) -> Result<SourceConfig, String> {
        let text = format!(
            "[propstreet]\nauth = {{ kind = \"token\", token = \"t\" }}\n[sources.hubspot]\nkind = \"hubspot\"\n\
             auth = {{ kind = \"token\", token = \"t\" }}\nfirst_run = \"from_now\"\n{lines}"
        );
        let environment: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let config = load::parse(Path::new("p.toml"), &text, &environment);
        config.map(|mut config| config.sources.remove(0)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn by_default_nothing_is_written_over_and_nobody_is_kept_out() {
        let source = parsed("", &[]).expect("right");
        assert_eq!((source.on_change, source.companies), (OnChange::Ignore, Companies::Off));
        assert_eq!((source.on_delete, source.on_filtered), (OnDelete::Keep, OnDelete::Keep));
        assert_eq!((source.owners, source.clear_empty), (Owners::default(), false));
        assert_eq!((source.mapper.filter(), source.mapper.filter_version()), (None, None));
    }

    #[test]
    fn every_policy_is_taken_from_the_file_or_the_environment() {
        let lines = "on_change = \"update\"\nclear_empty = true\ncompanies = \"link\"\non_delete = \"tag\"\n\
                     on_filtered = \"delete\"\nfilter = \"not hs_email_optout\"\n\
                     owner = { phone = \"propstreet\", tags = \"crm\" }\n";
        let source = parsed(lines, &[]).expect("right");
        assert_eq!((source.on_change, source.companies), (OnChange::Update, Companies::Link));
        assert_eq!((source.on_delete, source.on_filtered), (OnDelete::Tag, OnDelete::Delete));
        let owners = Owners::default().with(Field::Phone, Owner::Propstreet).with(Field::Tags, Owner::Crm);
        assert_eq!((source.owners, source.clear_empty), (owners, true));
        assert_eq!(source.mapper.filter(), Some("not hs_email_optout"));
        assert!(
            source.mapper.fields().contains("hs_email_optout") && !source.mapper.optional().contains("hs_email_optout")
        );
        let source = parsed(
            lines,
            &[
                ("PROPSYNC__SOURCES__HUBSPOT__ON_CHANGE", "ignore"),
                ("PROPSYNC__SOURCES__HUBSPOT__CLEAR_EMPTY", "false"),
                ("PROPSYNC__SOURCES__HUBSPOT__OWNER__PHONE", "crm"),
                ("PROPSYNC__SOURCES__HUBSPOT__ON_FILTERED", "tag"),
            ],
        )
        .expect("right");
        assert_eq!(
            (source.on_change, source.on_filtered, source.clear_empty),
            (OnChange::Ignore, OnDelete::Tag, false)
        );
        assert_eq!(source.owners.of(Field::Phone), Owner::Crm);
    }

    #[test]
    fn another_filter_has_another_number_and_does_not_change_the_maps() {
        let with = |filter: &str| parsed(&format!("filter = \"{filter}\"\n"), &[]).expect("right").mapper;
        let (one, other, none) = (with("not a"), with("not b"), parsed("", &[]).expect("right").mapper);
        assert_ne!(one.filter_version(), other.filter_version());
        assert_eq!(one.filter_version(), with(" not a ").filter_version());
        assert_eq!((one.version(), other.version()), (none.version(), none.version()));
    }

    #[test]
    fn each_wrong_word_names_the_right_ones() {
        let lines = "on_change = \"updte\"\nclear_empty = \"no\"\ncompanies = \"all\"\non_delete = \"remove\"\n\
                     on_filtered = \"drop\"\nfilter = \"not (\"\n\
                     owner = { phone = \"union\", tags = \"both\", fone = \"crm\" }\n";
        assert_snapshot!(parsed(lines, &[]).expect_err("nine faults"), @r#"
        p.toml:7:13: sources.hubspot.on_change: `updte` is none of its values
            fix: write "ignore" or "update"
        p.toml:8:15: sources.hubspot.clear_empty: is a text
            fix: write true or false
        p.toml:9:13: sources.hubspot.companies: `all` is none of its values
            fix: write "off" or "link"
        p.toml:10:13: sources.hubspot.on_delete: `remove` is none of its values
            fix: write "keep" or "tag" or "delete"
        p.toml:11:15: sources.hubspot.on_filtered: `drop` is none of its values
            fix: write "keep" or "tag" or "delete"
        p.toml:12:10: sources.hubspot.filter: the expression syntax error: unexpected end of input, expected expression
            fix: correct it; a field that is empty is undefined, and `not FIELD` is true of it
        p.toml:13:19: sources.hubspot.owner.phone: `union` is none of its values
            fix: write "crm" or "propstreet"
        p.toml:13:35: sources.hubspot.owner.tags: `both` is none of its values
            fix: write "union" or "crm" or "propstreet"
        p.toml:13:43: sources.hubspot.owner.fone: unknown key
            fix: remove it; known here: company, email, first_name, job_title, last_name, linkedin_url, phone, primary_language, strategy, tags
        "#);
        let one = parsed("owner = \"crm\"\n", &[]).expect_err("no section");
        assert!(one.contains("sources.hubspot.owner: is a text"), "{one}");
    }
}
