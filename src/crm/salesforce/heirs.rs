//! Who a record is that is a person no longer: merged into another, converted into a contact, or gone. A page never
//! hands out the survivor of a merge without those it has replaced, where both are in sight.
//!
//! The loser of a merge is deleted and names its winner (`MasterRecordId`), and the winner says nothing; a converted
//! lead names its contact. Either may have become somebody else again since.
//! <https://developer.salesforce.com/docs/atlas.en-us.api.meta/object_ref/sforce_api_calls_queryall.htm>,
//! <https://developer.salesforce.com/docs/atlas.en-us.api.meta/object_ref/sforce_api_calls_convertlead.htm>

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::crm::salesforce::id::Id;
use crate::crm::salesforce::objects::Objects;
use crate::crm::salesforce::reader::Reader;
use crate::crm::salesforce::wire::Shown;
use crate::domain::failure::Trouble;
use crate::domain::record::{Departed, Page};

/// Steps that are asked after in one chain: each is a merge or a conversion, and a bin forgets them after 15 days.
const STEPS: usize = 20;

/// The page that these rows make: survivors first, each once with all they have replaced; then the others, and who has
/// left.
pub(super) async fn page(reader: &Reader, objects: &Objects, shown: Vec<Shown>) -> Result<Page, Trouble> {
    let order: Vec<Id> = shown.iter().map(|person| person.id.clone()).collect();
    let mut people = People { known: HashMap::new(), asked: HashSet::new() };
    people.learn(shown);
    for _ in 0..STEPS {
        let wanted = people.not_yet_asked();
        if wanted.is_empty() {
            break;
        }
        for object in objects.people() {
            let ids: Vec<Id> = wanted.iter().filter(|id| id.is_of(object.prefix)).cloned().collect();
            let rows = reader.among(&object.all(), "Id", &ids).await?;
            people.learn(rows.iter().map(|row| Shown::read(row, &object.columns)).collect::<Result<Vec<_>, _>>()?);
        }
        people.asked.extend(wanted);
    }
    Ok(people.page(&order))
}

struct People {
    known: HashMap<Id, Shown>,
    /// Whom the org was asked for by id; if they are not known then, it does not show them.
    asked: HashSet<Id>,
}

/// Who somebody is by now.
#[derive(Debug, PartialEq)]
enum Now {
    Themselves,
    /// Somebody else, by way of these, the first among them.
    Heir(Id, Vec<Id>),
    Gone,
    /// A converted lead whose contact is not shown: that says nothing of the person.
    Unknown,
}

impl People {
    fn learn(&mut self, shown: Vec<Shown>) {
        self.known.extend(shown.into_iter().map(|person| (person.id.clone(), person)));
    }

    fn not_yet_asked(&self) -> BTreeSet<Id> {
        let next = self.known.values().filter_map(|person| person.became.as_ref());
        next.filter(|id| !self.known.contains_key(id) && !self.asked.contains(id)).cloned().collect()
    }

    fn now(&self, person: &Shown) -> Now {
        let gone = if person.deleted { Now::Gone } else { Now::Unknown };
        let (mut way, mut at) = (Vec::new(), person);
        while let Some(next) = &at.became {
            if way.contains(&at.id) {
                return gone;
            }
            way.push(at.id.clone());
            match self.known.get(next) {
                Some(known) => at = known,
                None if self.asked.contains(next) => return gone,
                None => {
                    tracing::warn!(id = %person.id, "became another too many times over to be followed; it is left as it is");
                    return Now::Unknown;
                }
            }
        }
        match (at.deleted, at.converted, way.is_empty()) {
            (true, ..) => Now::Gone,
            (false, true, _) => Now::Unknown,
            (false, false, true) => Now::Themselves,
            (false, false, false) => Now::Heir(at.id.clone(), way),
        }
    }

    fn page(mut self, order: &[Id]) -> Page {
        let (mut heirs, mut themselves, mut departed) = (Vec::new(), Vec::new(), Vec::new());
        for person in order.iter().filter_map(|id| self.known.get(id)) {
            match self.now(person) {
                Now::Themselves => themselves.push(person.id.clone()),
                Now::Heir(heir, way) => heirs.push((heir, way)),
                Now::Gone => departed.push(Departed { id: person.id.to_string(), modified: person.stamp }),
                Now::Unknown => {}
            }
        }
        let mut first = Vec::new();
        for (heir, way) in heirs {
            if let Some(person) = self.known.get_mut(&heir) {
                for id in way {
                    let id = String::from(id);
                    if !person.record.supersedes.contains(&id) {
                        person.record.supersedes.push(id);
                    }
                }
                first.push(heir);
            }
        }
        // Each is handed out once: whoever was taken already is no longer there to be taken.
        let everyone = first.into_iter().chain(themselves).filter_map(|id| self.known.remove(&id));
        Page { sightings: everyone.map(Shown::sighting).collect(), departed, next: None }
    }
}
