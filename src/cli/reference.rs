//! A record as a person names it: `NAMESPACE:ID`.

use std::str::FromStr;

use crate::assembly::ref_rules;
use crate::cli::envelope::Failure;
use crate::cli::exit::Exit;
use crate::config::tree::{Config, SourceConfig};
use crate::domain::identity::RefKey;

/// A record, as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Before the first colon.
    pub namespace: String,
    /// All after it.
    pub id: String,
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((namespace, id)) if !namespace.is_empty() && !id.is_empty() && !namespace.contains('@') => {
                Ok(Self { namespace: namespace.to_owned(), id: id.to_owned() })
            }
            _ => Err("write NAMESPACE:ID, for example hubspot:12345".to_owned()),
        }
    }
}

impl Reference {
    /// The form that is compared.
    #[must_use]
    pub fn key(&self, config: &Config) -> RefKey {
        ref_rules(config).key(&self.namespace, &self.id)
    }

    /// The source that the record comes from.
    pub fn source<'c>(&self, config: &'c Config) -> Result<&'c SourceConfig, Failure> {
        let key = self.key(config);
        let is_its = |source: &&SourceConfig| ref_rules(config).key(&source.namespace, "").namespace == key.namespace;
        config.sources.iter().find(is_its).ok_or_else(|| {
            let known: Vec<&str> = config.sources.iter().map(|source| source.namespace.as_str()).collect();
            let remedy = format!("configured are: {}", known.join(", "));
            Failure::new(
                Exit::Usage,
                "unknown_namespace",
                format!("no source has the namespace {}", self.namespace),
                remedy,
            )
        })
    }
}
