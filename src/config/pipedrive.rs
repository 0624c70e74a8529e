//! What a Pipedrive source alone can have: its logins, and the keys that only its adapter acts on.

use url::Url;

use crate::config::document::{Section, Word};
use crate::config::propstreet::secret;
use crate::crm::pipedrive::{Auth, Settings};
use crate::mapping::Mapper;

/// Reads a source's address, login and own keys. A key at fault is reported and left at its default, which nobody will
/// see: a configuration with a fault is none.
pub fn read(section: &Section<'_>, base_url: Option<Url>, _mapper: Option<&Mapper>) -> Option<Settings> {
    let auth = section.section("auth").and_then(auth);
    Some(Settings::new(base_url?, auth?))
}

fn auth(section: Section<'_>) -> Option<Auth> {
    section.require("kind", "add kind = \"api_token\"");
    section.choice("kind", &[("api_token", Word::Built(())), ("oauth_refresh", Word::Planned)])?;
    let token = secret(&section, "token");
    section.close(&[]);
    Some(Auth::ApiToken { token: token? })
}
