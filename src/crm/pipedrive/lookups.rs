//! What a person's row only points at: field definitions, cached for a while because they have no stamp, and
//! organizations, read by the hundred. It knows no window.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::crm::pipedrive::cache::Freshness;
use crate::crm::pipedrive::persons::Organizations;
use crate::crm::pipedrive::wire::{self, LIMIT, Options, Row};
use crate::crm::pipedrive::{IDS, Pipedrive};
use crate::domain::failure::Trouble;

/// A renamed label shows after this long at the latest.
const DEFINITIONS_LAST: Duration = Duration::from_secs(15 * 60);
/// An option id that stays unknown (its definition was deleted) asks again no sooner than this.
const DEFINITIONS_REST: Duration = Duration::from_secs(60);

impl Pipedrive {
    /// The options of all fields, if these persons need them.
    pub(super) async fn options(&self, persons: &[Row]) -> Result<Arc<Options>, Trouble> {
        if !self.wanted.unexplained(persons, &Options::new()) {
            return Ok(Arc::default());
        }
        let mut cached = self.lookups.options.lock().await;
        if let Some((read, options)) = &*cached {
            let age = self.clock.instant().saturating_duration_since(*read);
            let explained = age < DEFINITIONS_LAST && !self.wanted.unexplained(persons, options);
            if explained || age < DEFINITIONS_REST {
                return Ok(Arc::clone(options));
            }
        }
        let mut options = Options::new();
        wire::read_options(&self.all("/api/v2/personFields", vec![("limit", LIMIT.to_owned())]).await?, &mut options);
        let options = Arc::new(options);
        *cached = Some((self.clock.instant(), Arc::clone(&options)));
        Ok(options)
    }

    /// The organizations of these persons, as far as they are shown.
    pub(super) async fn organizations(&self, persons: &[Row], freshness: Freshness) -> Result<Organizations, Trouble> {
        let mut ids: BTreeSet<String> = self.wanted.organizations(persons);
        let mut found = Organizations::new();
        if freshness == Freshness::Lately {
            found = self.lookups.known(&ids, self.clock.instant());
            ids.retain(|id| !found.contains_key(id));
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| wire::is_id(id)).collect();
        let mut read = Organizations::new();
        for chunk in ids.chunks(IDS) {
            let query = vec![("ids", chunk.join(",")), ("limit", LIMIT.to_owned())];
            for organization in self.all("/api/v2/organizations", query).await? {
                if !wire::is_deleted(&organization) {
                    read.insert(wire::id(&organization)?, self.organization_fields(&organization));
                }
            }
        }
        self.lookups.keep(&read, self.clock.instant());
        found.extend(read);
        Ok(found)
    }

    fn organization_fields(&self, organization: &Row) -> Row {
        let names = self.wanted.organization.iter();
        names.filter_map(|name| Some((name.clone(), wire::organization_field(organization, name)?))).collect()
    }
}
