//! A CRM as small as the port allows: people in a book, a bin, and an administrator who may hide them. It names who was
//! merged into whom only while that lies in the window, and never when asked by id.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use propsync::assembly::Parts;
use propsync::clock::Clock;
use propsync::domain::Timestamp;
use propsync::domain::failure::Trouble;
use propsync::domain::record::{Account, Departed, Page, Record, Resume, Sighting, Window};
use propsync::sandbox::people::Person;
use propsync::sandbox::propstreet::contact::ExternalRef;
use propsync::sync::engine::Source;
use propsync::sync::source::{Confirmed, ContactSource, Detail};
use serde_json::{Map, Value};

use crate::support::Firm;

/// A row of the book.
#[derive(Clone)]
struct Entry {
    person: Person,
    stamp: Timestamp,
    deleted: bool,
    master: Option<String>,
    hidden: bool,
    /// A listing of everyone passes it over.
    skipped: bool,
}

pub struct Book {
    clock: Clock,
    entries: Mutex<BTreeMap<String, Entry>>,
    requests: AtomicU64,
    /// Rows a page of a sweep.
    pub page: usize,
    /// Whether it says of who is hidden, asked one by one, that they are not gone.
    pub tells_hidden: bool,
    /// Ids that were asked for.
    pub fetched: Mutex<Vec<String>>,
}

impl Book {
    pub fn new(firm: &Firm) -> Arc<Self> {
        let requests = AtomicU64::new(0);
        Arc::new(Self {
            clock: firm.clock.clone(),
            entries: Mutex::default(),
            requests,
            page: 1000,
            tells_hidden: false,
            fetched: Mutex::default(),
        })
    }

    /// The program with this book in place of its CRMs, under the name of salesforce.
    pub async fn start(self: &Arc<Self>, firm: &Firm, decide: impl Fn(&mut Source)) -> Parts {
        let mut parts = firm.start().await;
        parts.sources.retain(|source| source.name == "salesforce");
        for source in &mut parts.sources {
            source.crm = self.clone();
            decide(source);
        }
        parts
    }

    pub fn add(&self, person: &Person) -> ExternalRef {
        let mut entries = self.entries();
        let id = format!("p{:04}", entries.len() + 1);
        let (person, stamp) = (person.clone(), self.now());
        let entry = Entry { person, stamp, deleted: false, master: None, hidden: false, skipped: false };
        entries.insert(id.clone(), entry);
        ExternalRef::new("salesforce", &id)
    }

    /// Changes a row and moves its stamp.
    fn change(&self, reference: &ExternalRef, change: impl FnOnce(&mut Entry)) {
        let now = self.now();
        let mut entries = self.entries();
        let entry = entries.get_mut(&reference.id).expect("a row");
        change(entry);
        entry.stamp = now;
    }

    pub fn edit(&self, reference: &ExternalRef, edit: impl FnOnce(&mut Person)) {
        self.change(reference, |entry| edit(&mut entry.person));
    }

    pub fn delete(&self, reference: &ExternalRef) {
        self.change(reference, |entry| entry.deleted = true);
    }

    pub fn undelete(&self, reference: &ExternalRef) {
        self.change(reference, |entry| (entry.deleted, entry.master) = (false, None));
    }

    /// Only the loser's stamp moves.
    pub fn merge(&self, winner: &ExternalRef, loser: &ExternalRef) {
        self.change(loser, |entry| (entry.deleted, entry.master) = (true, Some(winner.id.clone())));
    }

    pub fn purge(&self, reference: &ExternalRef) {
        self.entries().remove(&reference.id);
    }

    /// Takes everybody from the user's sight, or gives them back. No stamp moves.
    pub fn hide(&self, hidden: bool) {
        self.entries().values_mut().for_each(|entry| entry.hidden = hidden);
    }

    /// From now on a listing of everyone passes a row over, which is there all the same.
    pub fn pass_over(&self, reference: &ExternalRef) {
        self.entries().get_mut(&reference.id).expect("a row").skipped = true;
    }

    /// A row that a late listing still shows as it was before it was deleted.
    pub fn haunt(&self, reference: &ExternalRef, stamp: Timestamp) {
        let mut entries = self.entries();
        let entry = entries.get_mut(&reference.id).expect("a row");
        (entry.deleted, entry.master, entry.stamp) = (false, None, stamp);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.entries.lock().expect("a book")
    }
}

/// Who a row stands for today.
fn root<'e>(entries: &'e BTreeMap<String, Entry>, id: &'e str) -> &'e str {
    match entries.get(id).and_then(|entry| entry.master.as_deref()) {
        Some(master) => root(entries, master),
        None => id,
    }
}

fn record(id: &str, entry: &Entry, supersedes: Vec<String>) -> Record {
    let Person { first, last, email, .. } = &entry.person;
    let email = email.as_deref().unwrap_or_default();
    let named = [("FirstName", first.as_str()), ("LastName", last.as_str()), ("Email", email)];
    let rest = ["MobilePhone", "Phone", "Title", "Account.Name"].map(|field| (field, ""));
    let value = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let fields = named.into_iter().chain(rest);
    let fields: Map<String, Value> = fields.map(|(field, text)| (field.to_owned(), value(text))).collect();
    Record { id: id.to_owned(), modified: Some(entry.stamp), fields, supersedes }
}

impl ContactSource for Book {
    fn account(&self) -> BoxFuture<'_, Result<Account, Trouble>> {
        Box::pin(async { Ok(Account { id: "book".to_owned() }) })
    }

    fn bound(&self) -> BoxFuture<'_, Result<Timestamp, Trouble>> {
        Box::pin(async { Ok(self.now()) })
    }

    fn changes(&self, window: Window, _: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let entries = self.entries();
            let mut page = Page::default();
            let mut shown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
            let in_window = entries.iter().filter(|(_, entry)| entry.stamp >= window.lo && entry.stamp < window.hi);
            for (id, entry) in in_window.filter(|(_, entry)| !entry.hidden) {
                let survivor = root(&entries, id);
                match (entry.deleted, entries.get(survivor).is_some_and(|survivor| !survivor.deleted)) {
                    (false, _) => drop(shown.entry(id).or_default()),
                    (true, true) => shown.entry(survivor).or_default().push(id.clone()),
                    (true, false) => page.departed.push(Departed { id: id.clone(), modified: Some(entry.stamp) }),
                }
            }
            for (id, supersedes) in shown {
                let record = record(id, &entries[id], supersedes);
                page.sightings.push(Sighting { id: id.to_owned(), modified: record.modified, record: Some(record) });
            }
            Ok(page)
        })
    }

    fn everyone(&self, detail: Detail, resume: Option<Resume>) -> BoxFuture<'_, Result<Page, Trouble>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let entries = self.entries();
            let after = resume.map(|Resume(id)| id).unwrap_or_default();
            let shown = |entry: &Entry| !entry.deleted && !entry.hidden && !entry.skipped;
            let mut rest = entries.iter().filter(|(id, entry)| **id > after && shown(entry));
            let mut page = Page::default();
            for (id, entry) in rest.by_ref().take(self.page) {
                let record = (detail == Detail::Records).then(|| record(id, entry, Vec::new()));
                page.sightings.push(Sighting { id: id.clone(), modified: Some(entry.stamp), record });
            }
            let last = page.sightings.last().map(|sighting| Resume(sighting.id.clone()));
            page.next = last.filter(|_| rest.next().is_some());
            Ok(page)
        })
    }

    fn fetch(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Vec<Record>, Trouble>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.fetched.lock().expect("a list").extend(ids.iter().cloned());
            let entries = self.entries();
            let found = ids.iter().filter_map(|id| Some((id, entries.get(id)?)));
            let living = found.filter(|(_, entry)| !entry.deleted && !entry.hidden);
            Ok(living.map(|(id, entry)| record(id, entry, Vec::new())).collect())
        })
    }

    fn confirm_gone(&self, ids: Vec<String>) -> BoxFuture<'_, Result<Confirmed, Trouble>> {
        Box::pin(async move {
            let entries = self.entries();
            let is_gone = |id: &String| entries.get(id).is_none_or(|entry| entry.deleted || !self.tells_hidden);
            Ok(Confirmed { gone: ids.into_iter().filter(is_gone).collect(), shown: Vec::new() })
        })
    }

    fn overlap(&self) -> Duration {
        Duration::from_secs(600)
    }

    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}
