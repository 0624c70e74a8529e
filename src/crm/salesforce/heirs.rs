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
use crate::domain::record::{Departed, Page, Record};

/// Steps that are asked after in one chain: each is a merge or a conversion, and a bin forgets them after 15 days.
const STEPS: usize = 20;

/// The page that these rows make: survivors first, each once with all they have replaced; then the others, and who has
/// left.
pub(super) async fn page(reader: &Reader, objects: &Objects, shown: Vec<Shown>) -> Result<Page, Trouble> {
    Ok(told(reader, objects, shown).await?.page)
}

/// The records for which these rows stand, each once with all they have replaced. Of a converted lead whose contact is
/// not shown nothing is known, so it stands for itself: that it is converted does not say that it has left.
pub(super) async fn records(reader: &Reader, objects: &Objects, shown: Vec<Shown>) -> Result<Vec<Record>, Trouble> {
    let Told { page, unclear } = told(reader, objects, shown).await?;
    let unclear = unclear.into_iter().filter(|person| !person.deleted).map(|person| person.record);
    Ok(page.sightings.into_iter().filter_map(|sighting| sighting.record).chain(unclear).collect())
}

async fn told(reader: &Reader, objects: &Objects, shown: Vec<Shown>) -> Result<Told, Trouble> {
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
    Ok(people.told(&order))
}

/// What is told of some rows.
struct Told {
    page: Page,
    /// Those of whom it is not known who they are by now.
    unclear: Vec<Shown>,
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
            // Longer than everybody who is known: it goes round in a circle.
            if way.len() > self.known.len() {
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

    fn told(mut self, order: &[Id]) -> Told {
        let (mut heirs, mut themselves, mut departed, mut unclear) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for person in order.iter().filter_map(|id| self.known.get(id)) {
            match self.now(person) {
                Now::Themselves => themselves.push(person.id.clone()),
                Now::Heir(heir, way) => heirs.push((heir, way)),
                Now::Gone => departed.push(Departed { id: person.id.to_string(), modified: person.stamp }),
                Now::Unknown => unclear.push(person.clone()),
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
        let page = Page { sightings: everyone.map(Shown::sighting).collect(), departed, next: None };
        Told { page, unclear }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::crm::salesforce::rig::{converted, deleted, id, lead, lead_id, logged_in, open, row, rows, token, told};

    /// A row as the listing or an answer by id shows it.
    fn shown(row: &Value) -> Shown {
        Shown::read(row.as_object().unwrap(), &[]).unwrap()
    }

    async fn page_of(listed: &[Value], answers: Vec<Vec<Value>>) -> (Vec<String>, usize) {
        // Without a question there is no login either.
        let login = (!answers.is_empty()).then(|| token("t1", "acme.my.salesforce.com"));
        let (script, salesforce) = open(login.into_iter().chain(answers.into_iter().map(rows)));
        let objects = salesforce.objects().await.unwrap();
        let page = page(&salesforce.reader, &objects, listed.iter().map(shown).collect()).await.unwrap();
        (told(&page), script.asked().len().saturating_sub(1))
    }

    /// What it is about, what is listed, what is answered to each question, and what the page says.
    type Case = (&'static str, Vec<Value>, Vec<Vec<Value>>, Vec<String>);

    async fn hold(cases: Vec<Case>) {
        for (what, listed, answers, expected) in cases {
            let asked = answers.len();
            assert_eq!(page_of(&listed, answers).await, (expected, asked), "{what}");
        }
    }

    fn left(id: String) -> String {
        id + " left"
    }

    fn heir(id: &str, losers: &[String]) -> String {
        format!("{id} for {}", losers.join(" "))
    }

    #[tokio::test(start_paused = true)]
    async fn a_loser_hands_over_to_whoever_lives_at_the_end() {
        hold(vec![
            (
                "the survivor is in sight: no request, once, first",
                vec![row(3), row(2), deleted(row(1), Some(id(2)))],
                vec![],
                vec![heir(&id(2), &[id(1)]), id(3)],
            ),
            (
                "the survivor is not in sight",
                vec![deleted(row(1), Some(id(2)))],
                vec![vec![row(2)]],
                vec![heir(&id(2), &[id(1)])],
            ),
            (
                "two losers, one survivor",
                vec![deleted(row(1), Some(id(3))), deleted(row(2), Some(id(3)))],
                vec![vec![row(3)]],
                vec![heir(&id(3), &[id(1), id(2)])],
            ),
            (
                "a chain: whoever is on the way is replaced as well",
                vec![deleted(row(1), Some(id(2)))],
                vec![vec![deleted(row(2), Some(id(3)))], vec![row(3)]],
                vec![heir(&id(3), &[id(1), id(2)])],
            ),
            (
                "a lead's contact that lost a merge since",
                vec![converted(lead(1), Some(id(2)))],
                vec![vec![deleted(row(2), Some(id(3)))], vec![row(3)]],
                vec![heir(&id(3), &[lead_id(1), id(2)])],
            ),
            (
                "a lead merged into one that was converted",
                vec![deleted(lead(1), Some(lead_id(2)))],
                vec![vec![converted(lead(2), Some(id(3)))], vec![row(3)]],
                vec![heir(&id(3), &[lead_id(1), lead_id(2)])],
            ),
            (
                "a converted lead in the bin is still its contact",
                vec![deleted(converted(lead(1), Some(id(3))), None)],
                vec![vec![row(3)]],
                vec![heir(&id(3), &[lead_id(1)])],
            ),
        ])
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_heir_has_left_if_the_bin_says_so() {
        hold(vec![
            ("nobody left", vec![row(1), row(2)], vec![], vec![id(1), id(2)]),
            ("deleted", vec![deleted(row(1), None)], vec![], vec![left(id(1))]),
            (
                "the end of the chain is deleted",
                vec![deleted(row(1), Some(id(2))), converted(lead(5), Some(id(2)))],
                vec![vec![deleted(row(2), None)]],
                vec![left(id(1)), left(lead_id(5))],
            ),
            (
                "a survivor who is not shown: the loser is in the bin, of the lead nothing is known",
                vec![deleted(row(1), Some(id(2))), converted(lead(5), Some(id(2))), converted(lead(6), None)],
                vec![vec![]],
                vec![left(id(1))],
            ),
            (
                "round in a circle",
                vec![deleted(row(1), Some(id(2)))],
                vec![vec![deleted(row(2), Some(id(1)))]],
                vec![left(id(1))],
            ),
            (
                "a winner that is named by one who is not in the bin has won nothing",
                vec![json!({"Id": id(1), "IsDeleted": false, "MasterRecordId": id(2)})],
                vec![],
                vec![format!("{}?", id(1))],
            ),
        ])
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_chain_without_end_is_not_followed_for_ever_and_proves_nothing() {
        let answers = (2..2 + STEPS).map(|n| vec![deleted(row(n), Some(id(n + 1)))]).collect();
        assert_eq!(page_of(&[deleted(row(1), Some(id(2)))], answers).await, (Vec::new(), STEPS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_survivor_outside_the_listing_is_asked_for_with_its_fields_and_among_the_deleted() {
        let (script, salesforce) = logged_in(|_, _| {}, [rows([row(2)])]);
        let objects = salesforce.objects().await.unwrap();
        let listed = vec![shown(&deleted(row(1), Some(id(2))))];
        let page = page(&salesforce.reader, &objects, listed).await.unwrap();
        assert_eq!(page.sightings[0].record.as_ref().unwrap().fields["Email"], Value::Null);
        let asked = script.asked();
        assert!(asked[1].url.path().ends_with("/queryAll"), "it may have been merged away itself");
        assert!(asked[1].soql().contains("MasterRecordId,Email FROM Contact WHERE Id IN"), "{}", asked[1].soql());
    }

    proptest! {
        /// Merges as they may stand, each number into another or into nobody: everybody is told of once, and no
        /// survivor without all who lead to them.
        #[test]
        fn nobody_is_lost_and_nobody_comes_twice(winners in proptest::collection::vec(0_usize..12, 1..10)) {
            let person = |n: usize| match winners[n] {
                winner if winner == n || winner > 10 => row(n),
                10 => deleted(row(n), None),
                winner => deleted(row(n), Some(id(winner))),
            };
            let listed: Vec<Shown> = (0..winners.len()).map(|n| shown(&person(n))).collect();
            let order: Vec<Id> = listed.iter().map(|person| person.id.clone()).collect();
            let mut people = People { known: HashMap::new(), asked: HashSet::new() };
            people.learn(listed);
            people.asked = people.not_yet_asked().into_iter().collect();
            let Told { page, .. } = people.told(&order);
            let mut told: Vec<String> = page.departed.iter().map(|departed| departed.id.clone()).collect();
            for sighting in &page.sightings {
                told.push(sighting.id.clone());
                told.extend(sighting.record.iter().flat_map(|record| record.supersedes.clone()));
            }
            let mut everybody: Vec<String> = order.iter().map(Id::to_string).collect();
            told.sort();
            everybody.sort();
            prop_assert_eq!(told, everybody);
        }
    }
}
