//! A CRM of a few lines, which does exactly what a story needs where the look-alikes do what a vendor does. It outlives
//! the program; a program sees it through a [`Door`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, pending};
use propsync::assembly::Parts;
use propsync::clock::Clock;
use propsync::domain::Timestamp;
use propsync::domain::failure::Trouble;
use propsync::domain::finding::Finding;
use propsync::domain::record::{Account, Page, Record, Resume, Sighting, Window, WriteBack, WrittenBack};
use propsync::domain::spending::Spending;
use propsync::sync::source::{ContactSource, Detail, PropstreetIdField};
use serde_json::{Value, json};

use crate::support::Firm;

/// People a page.
pub const PAGE: usize = 10;
/// Rows a call writes at most.
pub const AT_ONCE: usize = 4;

/// What becomes of one call that writes ids.
pub enum Whim {
    /// It is refused as a whole.
    Trouble(Trouble),
    /// No answer comes; the rows are written, or not.
    Silence { written: bool },
}

/// The CRM itself.
pub struct Plain {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    people: BTreeMap<String, Person>,
    /// What the checks find.
    pub findings: Vec<Finding>,
    /// How often it was checked.
    pub inspected: u64,
    /// How many pages of people were asked for, and how many of them come at all.
    pub pages: usize,
    pub pages_to_come: Option<usize>,
    /// What becomes of the next calls that write.
    pub whims: VecDeque<Whim>,
    /// What it says to a write of this person, instead of taking it.
    pub answers: HashMap<String, WrittenBack>,
    /// The ids that each call was to write.
    pub calls: Vec<Vec<String>>,
    /// What the program said that it has spent.
    pub told_spent: Vec<u64>,
}

struct Person {
    modified: Timestamp,
    ids: BTreeMap<String, String>,
}

impl Plain {
    /// A CRM with this many people, who were there before anything began.
    pub fn with_people(firm: &Firm, people: usize) -> Arc<Self> {
        let modified = firm.clock.now() - chrono::TimeDelta::days(1);
        let person = |n: usize| (format!("{n:03}"), Person { modified, ids: BTreeMap::new() });
        let state = State { people: (1..=people).map(person).collect(), ..State::default() };
        Arc::new(Self { clock: firm.clock.clone(), state: Mutex::new(state) })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked inside")
    }

    /// The program, started, with this CRM in the place of HubSpot and of every other; its field for ids, if it has one.
    pub async fn start(self: &Arc<Self>, firm: &Firm, field: Option<&str>) -> Parts {
        let mut parts = firm.start().await;
        parts.sources.retain(|source| source.name == "hubspot");
        let field = field.map(str::to_owned);
        let door = Door { crm: Arc::clone(self), field, requests: AtomicU64::new(0) };
        parts.sources[0].crm = Arc::new(door);
        parts
    }

    /// What a field holds, of those in whose record it holds anything.
    pub fn held(&self, field: &str) -> BTreeMap<String, String> {
        let state = self.state();
        let held = state.people.iter().filter_map(|(id, person)| Some((id.clone(), person.ids.get(field)?.clone())));
        held.collect()
    }

    fn write(&self, field: &str, link: &WriteBack) -> WrittenBack {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(answer) = state.answers.get(&link.id) {
            return answer.clone();
        }
        let Some(person) = state.people.get_mut(&link.id) else { return WrittenBack::Gone };
        if person.ids.get(field) == Some(&link.propstreet_id) {
            return WrittenBack::AlreadyThere;
        }
        person.ids.insert(field.to_owned(), link.propstreet_id.clone());
        person.modified = now;
        WrittenBack::Written
    }
}

/// The CRM as one run of the program sees it.
struct Door {
    crm: Arc<Plain>,
    field: Option<String>,
    requests: AtomicU64,
}

impl Door {
    fn asked(&self) -> MutexGuard<'_, State> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.crm.state()
    }

    fn page(&self, resume: Option<&Resume>, shows: impl Fn(&Person) -> bool) -> Option<Page> {
        let mut state = self.asked();
        state.pages += 1;
        if state.pages_to_come.is_some_and(|come| state.pages > come) {
            return None;
        }
        let after = resume.map_or("", |resume| resume.0.as_str());
        let mut shown = state.people.iter().filter(|(id, person)| id.as_str() > after && shows(person));
        let sightings: Vec<_> = shown.by_ref().take(PAGE).map(|(id, person)| sighting(id, person)).collect();
        let next = shown.next().and_then(|_| Some(Resume(sightings.last()?.id.clone())));
        Some(Page { sightings, next, ..Page::default() })
    }
}

fn sighting(id: &str, person: &Person) -> Sighting {
    let Value::Object(mut fields) = json!({ "firstname": "Anna", "lastname": format!("Berg{id}") }) else {
        unreachable!("an object")
    };
    fields.insert("email".to_owned(), json!(format!("anna{id}@berg.example")));
    for empty in ["mobilephone", "phone", "hs_language", "jobtitle", "company", "lifecyclestage"] {
        fields.insert(empty.to_owned(), Value::Null);
    }
    let record = Record { id: id.to_owned(), modified: Some(person.modified), fields, supersedes: Vec::new() };
    Sighting { id: id.to_owned(), modified: Some(person.modified), record: Some(record) }
}

/// A page that does not come is waited for in vain.
async fn or_never(page: Option<Page>) -> Result<Page, Trouble> {
    match page {
        Some(page) => Ok(page),
        None => pending().await,
    }
}

impl ContactSource for Door {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        drop(self.asked());
        async { Ok(Account { id: "1".to_owned() }) }.boxed()
    }

    fn inspect(&self) -> BoxFuture<'_, Result<Vec<Finding>, Trouble>> {
        let mut state = self.asked();
        state.inspected += 1;
        let findings = state.findings.clone();
        async { Ok(findings) }.boxed()
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        async { Ok(self.crm.clock.now() - chrono::TimeDelta::seconds(60)) }.boxed()
    }

    fn changes(&self, window: Window, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        or_never(self.page(resume.as_ref(), |person| (window.lo..window.hi).contains(&person.modified))).boxed()
    }

    fn everyone(&self, _detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        or_never(self.page(resume.as_ref(), |_| true)).boxed()
    }

    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>> {
        let state = self.asked();
        let found = ids.iter().filter_map(|id| sighting(id, state.people.get(id)?).record).collect();
        async { Ok(found) }.boxed()
    }

    fn overlap(&self) -> Duration {
        Duration::from_secs(600)
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    fn spent(&self, spending: Spending) {
        self.crm.state().told_spent.push(spending.used.everyday.units);
    }

    fn field(&self) -> Option<&dyn PropstreetIdField> {
        self.field.is_some().then_some(self)
    }
}

impl PropstreetIdField for Door {
    fn name(&self) -> &str {
        self.field.as_deref().expect("asked only where there is one")
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn write(&self, links: Vec<WriteBack>) -> BoxFuture<'_, Result<Vec<WrittenBack>, Trouble>> {
        let mut state = self.asked();
        state.calls.push(links.iter().map(|link| link.id.clone()).collect());
        let whim = state.whims.pop_front();
        drop(state);
        let apply = || links.iter().map(|link| self.crm.write(self.name(), link)).collect::<Vec<_>>();
        match whim {
            None => {
                let answers = apply();
                async { Ok(answers) }.boxed()
            }
            Some(Whim::Trouble(trouble)) => async { Err(trouble) }.boxed(),
            Some(Whim::Silence { written }) => {
                if written {
                    apply();
                }
                pending().boxed()
            }
        }
    }
}
