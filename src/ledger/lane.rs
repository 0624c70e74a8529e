//! The group-commit lane: jobs from many callers share one transaction, and each caller hears only after the commit.
//! It knows nothing of tables.
//!
//! Every batch runs under `spawn_blocking`, never on a thread of its own: tokio's paused clock stands still while such
//! a task runs. In a runtime of one thread it runs right there ([`aside`]), so that a simulated history does not depend
//! on which of two threads was faster.

use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::ledger::error::LedgerError;

/// Jobs that may share a commit, and that may wait for one: callers beyond it wait their turn.
const BATCH: usize = 256;

/// What kind of transaction a lane's batches run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Access {
    /// `BEGIN IMMEDIATE`, a savepoint a job.
    Write,
    /// `BEGIN`: one snapshot a batch.
    Read,
}

/// A queue of jobs before one connection.
#[derive(Debug)]
pub(in crate::ledger) struct Lane {
    jobs: mpsc::Sender<Message>,
    task: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    Stop,
}

impl Lane {
    /// Starts a lane; it ends, closing the connection, when the last sender is gone or on [`Lane::stop`].
    pub(in crate::ledger) fn start(connection: Connection, access: Access) -> Self {
        let (jobs, queue) = mpsc::channel(BATCH);
        let task = tokio::spawn(serve(connection, access, queue));
        Self { jobs, task: Mutex::new(Some(task)) }
    }

    /// Runs a job in the next batch and answers once that batch is committed. A job that fails takes back only what it
    /// wrote itself; a commit that fails fails every job in it.
    pub(in crate::ledger) async fn run<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Ask { work: Some(work), answer: None, reply });
        self.jobs.send(Message::Job(job)).await.map_err(|_| LedgerError::Closed)?;
        answer.await.unwrap_or(Err(LedgerError::Closed))
    }

    /// Lets what is queued finish and waits until the connection is closed.
    pub(in crate::ledger) async fn stop(&self) {
        // A lane that has ended already cannot be told, and need not be.
        let _ = self.jobs.send(Message::Stop).await;
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

async fn serve(mut connection: Connection, access: Access, mut queue: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut messages, BATCH).await > 0 {
        let mut batch = Vec::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Job(job) => batch.push(job),
                // What is queued already is still served: a closed receiver hands out its rest, then ends.
                Message::Stop => queue.close(),
            }
        }
        match aside(move || (run_batch(&connection, access, batch), connection).1).await {
            Ok(back) => connection = back,
            // A job panicked. The connection went down with it and rolled back; callers hear that the ledger is closed.
            Err(_) => return,
        }
    }
    // Closing the last connection checkpoints the WAL, which is work for a blocking thread.
    let _ = aside(move || drop(connection)).await;
}

/// Runs work that blocks where it holds up nobody; in a runtime of one thread, where everybody waits anyway, at once.
pub(in crate::ledger) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => Ok(work()),
        _ => spawn_blocking(work).await,
    }
}

fn run_batch(connection: &Connection, access: Access, mut batch: Vec<Box<dyn Job>>) {
    let fate = commit_together(connection, access, &mut batch);
    if fate.is_err() && !connection.is_autocommit() {
        // Nothing can be done about a failed rollback; the next BEGIN will say so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for job in batch {
        job.reply(fate.clone());
    }
}

fn commit_together(connection: &Connection, access: Access, batch: &mut [Box<dyn Job>]) -> Result<(), LedgerError> {
    let say = |sql: &str| connection.prepare_cached(sql)?.execute([]).map(drop);
    match access {
        Access::Read => say("BEGIN")?,
        Access::Write => say("BEGIN IMMEDIATE")?,
    }
    for job in batch {
        if access == Access::Read {
            let _ = job.run(connection);
            continue;
        }
        say("SAVEPOINT job")?;
        if let Err(error) = job.run(connection) {
            // A full disk makes SQLite roll back the whole transaction by itself: the jobs before this one are lost too.
            if connection.is_autocommit() {
                return Err(error);
            }
            say("ROLLBACK TO job")?;
        }
        say("RELEASE job")?;
    }
    say("COMMIT").map_err(LedgerError::from)
}

/// A job whose answer's type is its caller's business.
trait Job: Send {
    /// Does the work and keeps the answer.
    fn run(&mut self, connection: &Connection) -> Result<(), LedgerError>;
    /// Tells the caller, now that the batch's fate is known.
    fn reply(self: Box<Self>, fate: Result<(), LedgerError>);
}

struct Ask<T, F> {
    work: Option<F>,
    answer: Option<Result<T, LedgerError>>,
    reply: oneshot::Sender<Result<T, LedgerError>>,
}

impl<T, F> Job for Ask<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, LedgerError> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), LedgerError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let answer = work(connection);
        let verdict = answer.as_ref().map(drop).map_err(Clone::clone);
        self.answer = Some(answer);
        verdict
    }

    fn reply(self: Box<Self>, fate: Result<(), LedgerError>) {
        let answer = match (self.answer, fate) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(shared)) => Err(shared),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(LedgerError::Closed),
        };
        // A caller that stopped waiting does not need the answer.
        let _ = self.reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn lane() -> Lane {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "PRAGMA foreign_keys = ON; CREATE TABLE one (n INTEGER PRIMARY KEY) STRICT;
            CREATE TABLE two (n INTEGER REFERENCES one (n) DEFERRABLE INITIALLY DEFERRED) STRICT",
            )
            .unwrap();
        Lane::start(connection, Access::Write)
    }

    fn insert(lane: &Lane, table: &'static str, number: i64) -> impl Future<Output = Result<usize, LedgerError>> {
        lane.run(move |ledger| Ok(ledger.execute(&format!("INSERT INTO {table} VALUES (?1)"), [number])?))
    }

    async fn stored(lane: &Lane) -> Vec<i64> {
        let all = "SELECT n FROM one ORDER BY n";
        let read = |ledger: &Connection| {
            Ok(ledger.prepare(all)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?)
        };
        lane.run(read).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_fails_takes_back_its_own_and_nothing_else() {
        let lane = lane();
        let failing = lane.run(|ledger| -> Result<usize, LedgerError> {
            ledger.execute("INSERT INTO one VALUES (8)", [])?;
            Ok(ledger.execute("INSERT INTO one VALUES (1)", [])?)
        });
        let first = insert(&lane, "one", 1);
        let last = insert(&lane, "one", 2);
        let (first, failing, last) = tokio::join!(first, failing, last);
        assert!(first.is_ok() && last.is_ok());
        assert!(matches!(failing, Err(LedgerError::Sql(_))));
        assert_eq!(stored(&lane).await, [1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_fails_fails_everyone_in_it_and_nobody_after() {
        let lane = lane();
        // The orphan is only found out at COMMIT.
        let (one, orphan) = tokio::join!(insert(&lane, "one", 1), insert(&lane, "two", 99));
        assert!(matches!((one, orphan), (Err(LedgerError::Sql(_)), Err(LedgerError::Sql(_)))));
        insert(&lane, "one", 2).await.unwrap();
        assert_eq!(stored(&lane).await, [2]);
    }

    #[tokio::test(start_paused = true)]
    async fn more_callers_than_a_batch_holds_are_all_served_and_stopping_serves_the_queued() {
        let lane = lane();
        let many = i64::try_from(BATCH).unwrap() * 3;
        let served = join_all((0..many).map(|number| insert(&lane, "one", number))).await;
        assert!(served.iter().all(Result::is_ok));
        assert_eq!(stored(&lane).await.len(), served.len());
        let (queued, ()) = tokio::join!(insert(&lane, "one", many), lane.stop());
        assert!(queued.is_ok());
        assert!(matches!(insert(&lane, "one", many + 1).await, Err(LedgerError::Closed)));
    }
}
