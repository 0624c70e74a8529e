//! Query jobs of the Bulk API: what was asked, the rows it found, and how far the job is.
//! It must not know HTTP, nor how the rows were found.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::sandbox::salesforce::ids;

/// The first characters of a job's id.
const PREFIX: &str = "750";
/// How long jobs and their results are kept.
const LIFE: TimeDelta = TimeDelta::days(7);

/// One query job.
#[derive(Clone, Debug)]
pub struct Job {
    /// When it was made.
    pub created: DateTime<Utc>,
    /// When it is done, unless someone aborts it.
    pub done: DateTime<Utc>,
    /// When someone aborted it.
    pub aborted: Option<DateTime<Utc>>,
    /// Why it fails, if it does.
    pub failure: Option<String>,
    /// `v66.0`: its results are to be asked for with the same.
    pub version: String,
    /// `query` or `queryAll`
    pub operation: String,
    /// The query.
    pub query: String,
    /// `Contact`
    pub object: &'static str,
    /// How columns are told apart, by name.
    pub delimiter: String,
    /// `LF` or `CRLF`
    pub line_ending: String,
    /// The first line of each page of results.
    pub header: String,
    /// The other lines, as the rows were when the job was made.
    pub lines: Vec<String>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits.
    UploadComplete,
    /// It runs.
    InProgress,
    /// The results are there.
    JobComplete,
    /// There will be none.
    Failed,
    /// Someone ended it.
    Aborted,
}

impl Stage {
    /// Whether nothing will happen to the job any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::UploadComplete | Self::InProgress)
    }
}

impl Job {
    /// How far it is: it waits for the first fifth of its time.
    pub fn stage(&self, now: DateTime<Utc>) -> Stage {
        if self.aborted.is_some() {
            Stage::Aborted
        } else if now >= self.done {
            if self.failure.is_some() { Stage::Failed } else { Stage::JobComplete }
        } else if now - self.created < (self.done - self.created) / 5 {
            Stage::UploadComplete
        } else {
            Stage::InProgress
        }
    }

    /// How many rows it has read so far.
    pub fn processed(&self, now: DateTime<Utc>) -> usize {
        match self.stage(now) {
            Stage::JobComplete => self.lines.len(),
            Stage::InProgress => self.lines.len() / 2,
            _ => 0,
        }
    }
}

/// All jobs of the last seven days.
#[derive(Debug)]
pub struct Jobs {
    by_number: BTreeMap<u64, Job>,
    /// When each was made, the ones that are gone included.
    made: Vec<DateTime<Utc>>,
    next: u64,
}

impl Jobs {
    /// None yet; `seed` decides the run of ids.
    pub fn new(seed: u64) -> Self {
        Self { by_number: BTreeMap::new(), made: Vec::new(), next: seed % 1000 + 1 }
    }

    /// How many were made within the last day.
    pub fn today(&self, now: DateTime<Utc>) -> usize {
        self.made.iter().filter(|made| now - **made < TimeDelta::days(1)).count()
    }

    /// Takes a job in; answers its id.
    pub fn add(&mut self, job: Job) -> String {
        self.by_number.retain(|_, old| job.created - old.created < LIFE);
        self.made.retain(|made| job.created - *made < TimeDelta::days(1));
        self.made.push(job.created);
        self.next += 1;
        self.by_number.insert(self.next, job);
        ids::id(PREFIX, self.next)
    }

    /// A job that is not too old.
    pub fn get(&self, id: &str, now: DateTime<Utc>) -> Option<&Job> {
        self.by_number.get(&ids::key(PREFIX, id)?).filter(|job| now - job.created < LIFE)
    }

    /// Ends a job.
    pub fn abort(&mut self, id: &str, now: DateTime<Utc>) {
        if let Some(job) = ids::key(PREFIX, id).and_then(|key| self.by_number.get_mut(&key)) {
            job.aborted = Some(now);
        }
    }

    /// Deletes a job and its results.
    pub fn remove(&mut self, id: &str) {
        if let Some(key) = ids::key(PREFIX, id) {
            self.by_number.remove(&key);
        }
    }

    /// Forgets all of them.
    pub fn forget(&mut self) {
        self.by_number.clear();
    }
}
