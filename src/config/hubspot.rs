//! What a HubSpot source alone can have: its logins, and the keys that only its adapter acts on.

use url::Url;

use crate::config::document::{Section, Word};
use crate::config::propstreet::secret;
use crate::config::write_back::{self, Naming};
use crate::crm::hubspot::{Auth, Settings};
use crate::mapping::Mapper;

/// The internal name of a property of contacts. Those of HubSpot's own making are refused here where they can be told
/// by name, and the others before anything is read.
const WRITE_BACK: Naming = Naming {
    example: "propstreet_contact_id",
    fits: |name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !name.starts_with("hs_")
    },
    unfit: "is not the internal name of a property of your own",
    remedy: "make a property of contacts for it and write its internal name, such as propstreet_contact_id",
};

/// Reads a source's address, login and own keys. A key at fault is reported and left at its default, which nobody will
/// see: a configuration with a fault is none.
pub fn read(section: &Section<'_>, base_url: Option<Url>, mapper: Option<&Mapper>) -> Option<Settings> {
    let auth = section.section("auth").and_then(auth);
    let write_back = write_back::read(section, &WRITE_BACK, mapper);
    Some(Settings { write_back, ..Settings::new(base_url?, auth?) })
}

fn auth(section: Section<'_>) -> Option<Auth> {
    section.require("kind", "add kind = \"token\"");
    section.choice("kind", &[("token", Word::Built(())), ("oauth_refresh", Word::Planned)])?;
    let token = secret(&section, "token");
    section.close(&[]);
    Some(Auth::Token { token: token? })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config::load::parse;
    use crate::config::tree::SourceConfig;
    use crate::crm;
    use crate::sync::engine::OnDelete;

    fn parsed(more: &str, variables: &[(&str, &str)]) -> Result<(SourceConfig, Settings), String> {
        let variables: BTreeMap<_, _> = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let text = format!(
            "[propstreet]\nauth = {{ kind = \"token\", token = \"t\" }}\n[sources.hub]\nkind = \"hubspot\"\n\
             first_run = \"from_now\"\nauth = {{ kind = \"token\", token = \"t\" }}\n{more}"
        );
        let config = parse(Path::new("p.toml"), &text, &variables);
        let source = config.map_err(|problems| problems.to_string())?.sources.remove(0);
        let crm::Settings::HubSpot(settings) = source.crm.clone() else { panic!("HubSpot") };
        Ok((source, settings))
    }

    #[test]
    fn nothing_is_written_and_nobody_follows_unless_asked_for() {
        let (source, settings) = parsed("", &[]).expect("a correct file");
        assert_eq!((settings.write_back, source.on_delete), (None, OnDelete::Keep));
        for (word, follows) in [("tag", OnDelete::Tag), ("delete", OnDelete::Delete)] {
            let keys = format!("on_delete = \"{word}\"\nwrite_back = {{ field = \"propstreet_contact_id\" }}\n");
            let (source, settings) = parsed(&keys, &[]).expect("a correct file");
            assert_eq!(source.on_delete, follows);
            assert_eq!(settings.write_back.as_deref(), Some("propstreet_contact_id"));
        }
        let variables = [("PROPSYNC__SOURCES__HUB__WRITE_BACK__FIELD", "acme_id2")];
        assert_eq!(parsed("", &variables).expect("a correct file").1.write_back.as_deref(), Some("acme_id2"));
    }

    #[test]
    fn only_a_property_of_their_own_can_hold_our_id() {
        for name in
            ["hs_propstreet", "Propstreet_id", "propstreet id", "1id", "_id", "propstreet-id", "company.id", "äid"]
        {
            let told = parsed(&format!("write_back = {{ field = \"{name}\" }}\n"), &[]).expect_err(name);
            assert!(told.contains("write_back.field: is not the internal name of a property of your own"), "{told}");
        }
        for rule in ["{ from = [\"plan\", \"acme_id\"] }", "{ expr = \"acme_id or 'none'\" }"] {
            let keys = format!("write_back = {{ field = \"acme_id\" }}\nmap.strategy = {rule}\n");
            let told = parsed(&keys, &[]).expect_err(rule);
            assert!(told.contains("sources.hub.write_back.field: is read by the map too"), "{told}");
        }
    }
}
