//! What we know and did: one SQLite file with one writer, a file of code a table. It knows the domain's values and
//! nothing of CRMs, HTTP or the engine.
//!
//! Two lanes carry all work: a writing one with group commit and a reading one beside it (`lane.rs`). A method of
//! [`Ledger`] that writes returns when its change is durable (WAL, `synchronous = FULL`).

pub mod bindings;
mod columns;
pub mod companies;
pub mod cursors;
pub mod decisions;
pub mod error;
pub mod events;
mod files;
mod filters;
pub mod forget;
pub mod gone;
pub mod hints;
pub mod holder;
pub mod index;
pub mod intents;
mod key;
mod lane;
mod lock;
mod migrate;
pub mod passes;
pub mod revisits;
pub mod rows;
pub mod settlements;
mod spent;
pub mod summary;
mod sweeps;
pub mod tags;
pub mod tokens;
pub mod updates;
pub mod waiting;
pub mod write_backs;

#[cfg(test)]
mod model;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod stage;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::domain::Timestamp;
use crate::domain::keyed::Keyed;
use crate::ledger::error::LedgerError;
use crate::ledger::holder::Holder;
use crate::ledger::lane::{Access, Lane};
use crate::ledger::lock::Lock;

/// The first SQLite without the WAL-reset bug (<https://www.sqlite.org/wal.html#walresetbug>).
const OLDEST_SQLITE: i32 = 3_051_003;
/// The writer's page cache; SQLite's own 2 MiB writes pages out in the middle of a batch.
const CACHE_KIB: i64 = 8 * 1024;
/// Enough for every statement of this room.
const STATEMENTS: usize = 64;

/// A handle on the ledger; clones share it.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    writer: Option<Lane>,
    reader: Lane,
    keyed: Keyed,
    /// Let go by [`Ledger::close`] once both lanes have ended, or with the last handle: a job still queued then has
    /// nobody waiting for it, and SQLite orders it before or after whatever the next holder does.
    lock: Mutex<Option<Lock>>,
}

impl Ledger {
    /// Opens the ledger for writing: takes its lock, makes it and its key if they do not exist, migrates it.
    /// Intents left open by a process that died are open still.
    ///
    /// # Errors
    /// Every variant of [`LedgerError`] but `Older`, `NotThere`, `TokenExposed`, `TokenUnreadable`, `ReadOnly` and `Closed`.
    pub async fn open(path: &Path, now: Timestamp) -> Result<Self, LedgerError> {
        let path = path.to_owned();
        let (lock, keyed, writer, reader) = blocking(move || {
            refuse_old_sqlite(rusqlite::version_number())?;
            let lock = Lock::take(&path, now)?;
            let keyed = key::read_or_create(&path)?;
            let mut writer = connect(&path, Access::Write)?;
            migrate::migrate(&mut writer, &path, now)?;
            bindings::check_key(&writer, &keyed, &path, Some(now))?;
            let reader = connect(&path, Access::Read)?;
            Ok((lock, keyed, writer, reader))
        })
        .await?;
        Ok(Self(Arc::new(Shared {
            writer: Some(Lane::start(writer, Access::Write)),
            reader: Lane::start(reader, Access::Read),
            keyed,
            lock: Mutex::new(Some(lock)),
        })))
    }

    /// Opens the ledger for reading, also beside the process that writes it. Every write is refused.
    ///
    /// # Errors
    /// `NotThere` without a file; `Newer`, `Older` or `Edited` for another schema; the key's errors; `Io`, `Sql`.
    pub async fn open_for_reading(path: &Path) -> Result<Self, LedgerError> {
        let path = path.to_owned();
        let (keyed, reader) = blocking(move || {
            refuse_old_sqlite(rusqlite::version_number())?;
            if !path.is_file() {
                return Err(LedgerError::NotThere(path));
            }
            let reader = connect(&path, Access::Read)?;
            migrate::check(&reader)?;
            let keyed = key::read(&path)?;
            bindings::check_key(&reader, &keyed, &path, None)?;
            Ok((keyed, reader))
        })
        .await?;
        let reader = Lane::start(reader, Access::Read);
        Ok(Self(Arc::new(Shared { writer: None, reader, keyed, lock: Mutex::new(None) })))
    }

    /// Who writes the ledger at this path now, if anybody does. Needs no ledger there, and makes none.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub async fn holder(path: &Path) -> Result<Option<Holder>, LedgerError> {
        let path = path.to_owned();
        blocking(move || lock::holder(&path)).await
    }

    /// Finishes what is queued, closes the file and releases the lock. Other clones of this handle then get `Closed`.
    pub async fn close(self) {
        if let Some(writer) = &self.0.writer {
            writer.stop().await;
        }
        self.0.reader.stop().await;
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Makes the keyed hashes of this installation.
    #[must_use]
    pub fn keyed(&self) -> &Keyed {
        &self.0.keyed
    }

    async fn write<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        self.0.writer.as_ref().ok_or(LedgerError::ReadOnly)?.run(work).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T, LedgerError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    {
        self.0.reader.run(work).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    lane::aside(work).await.unwrap_or(Err(LedgerError::Closed))
}

fn refuse_old_sqlite(found: i32) -> Result<(), LedgerError> {
    if found < OLDEST_SQLITE { Err(LedgerError::TooOldSqlite { found }) } else { Ok(()) }
}

/// Connects with the settings every connection of ours must have. A reader, too, opens the file for reading and
/// writing, because a WAL is read through a shared-memory file; `query_only` is what holds it back.
fn connect(path: &Path, access: Access) -> Result<Connection, LedgerError> {
    if access == Access::Write {
        // Made here and not by SQLite, so that it is its owner's from the first moment; WAL and shm follow its mode.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(LedgerError::io(format!("open {}", path.display())))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it SQLite plans a cached statement anew whenever a bound value changes, at ten times the cost of running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "busy_timeout", 5000)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    match access {
        Access::Read => connection.pragma_update(None, "query_only", true)?,
        Access::Write => {
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // A savepoint a job copies the pages it touches aside: in memory, not in a file.
            connection.pragma_update(None, "temp_store", "MEMORY")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        }
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::domain::plan::Standing;
    use crate::ledger::stage::{at, create, created, ended, key, open, opened};

    #[tokio::test(start_paused = true)]
    async fn a_second_process_is_refused_with_the_holders_name() {
        let (folder, ledger) = opened().await;
        let refused = Ledger::open(&folder.path().join("ledger.db"), at(9)).await.unwrap_err();
        let LedgerError::Held { holder } = &refused else { panic!("{refused}") };
        assert_eq!((holder.pid, holder.started), (std::process::id(), at(0)));
        assert!(refused.to_string().contains(&format!("process {} on ", std::process::id())));
        assert_eq!(Ledger::holder(&folder.path().join("ledger.db")).await.unwrap().as_ref(), Some(holder));
        ledger.clone().close().await;
        assert!(matches!(ledger.intend(create("1", None, 0)).await, Err(LedgerError::Closed)), "a clone knows");
        assert_eq!(Ledger::holder(&folder.path().join("ledger.db")).await.unwrap(), None);
        drop(open(&folder).await);
        open(&folder).await.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_beside_the_writer_sees_commits_and_cannot_write() {
        let (folder, ledger) = opened().await;
        let path = folder.path().join("ledger.db");
        let reader = Ledger::open_for_reading(&path).await.unwrap();
        ledger.settle(ended("1", created("c1"), 1)).await.unwrap();
        assert!(matches!(reader.standing("1", 2).await, Standing::Settled { .. }));
        assert!(matches!(reader.settle(ended("1", created("c1"), 1)).await, Err(LedgerError::ReadOnly)));
        let refused = reader.read(|ledger| Ok(ledger.execute("DELETE FROM refs", [])?)).await;
        assert!(matches!(refused, Err(LedgerError::Sql(_))), "query_only holds behind the types");
        assert_eq!(reader.keyed().email("a@b.se"), ledger.keyed().email("a@b.se"));
        let nowhere = Ledger::open_for_reading(&folder.path().join("other.db")).await;
        assert!(matches!(nowhere, Err(LedgerError::NotThere(_))));
        assert!(!folder.path().join("other.db").exists());
    }

    #[tokio::test(start_paused = true)]
    async fn intents_survive_a_process_that_just_ends() {
        let (folder, ledger) = opened().await;
        ledger.intend(create("1", None, 1)).await.unwrap();
        drop(ledger);
        let ledger = open(&folder).await;
        assert_eq!(ledger.standing("1", 2).await, Standing::Intended);
        assert_eq!(ledger.open_intents("crm", 10).await.unwrap(), [key("1")]);
    }

    /// What kill -9 leaves: the file as it was, and everything since in the WAL.
    #[tokio::test(start_paused = true)]
    async fn a_hot_wal_is_taken_up() {
        let (folder, ledger) = opened().await;
        ledger.intend(create("1", None, 1)).await.unwrap();
        ledger.settle(ended("2", created("c2"), 1)).await.unwrap();
        let grave = tempfile::tempdir().unwrap();
        for name in ["ledger.db", "ledger.db-wal", "ledger.db.key"] {
            std::fs::copy(folder.path().join(name), grave.path().join(name)).unwrap();
        }
        assert!(grave.path().join("ledger.db-wal").metadata().unwrap().len() > 0);
        let risen = open(&grave).await;
        assert_eq!(risen.standing("1", 2).await, Standing::Intended);
        assert!(matches!(risen.standing("2", 2).await, Standing::Settled { .. }));
        assert_eq!(risen.verify_chain().await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_paused_clock_stands_still_while_the_ledger_works() {
        let before = tokio::time::Instant::now();
        let (_folder, ledger) = opened().await;
        let limit = std::time::Duration::from_secs(30);
        for id in ["1", "2", "3"] {
            tokio::time::timeout(limit, ledger.settle(ended(id, created("c"), 1))).await.unwrap().unwrap();
        }
        ledger.close().await;
        assert_eq!(before.elapsed(), std::time::Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_owner_can_read_what_the_ledger_leaves_on_disk() {
        let (folder, ledger) = opened().await;
        ledger.intend(create("1", None, 1)).await.unwrap();
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.key"] {
            let mode = folder.path().join(name).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_sqlite_with_the_wal_bug_is_refused() {
        assert!(refuse_old_sqlite(rusqlite::version_number()).is_ok());
        assert!(matches!(refuse_old_sqlite(3_051_002), Err(LedgerError::TooOldSqlite { found: 3_051_002 })));
    }

    /// `cargo test --release --lib ledger -- --ignored --nocapture` prints what this disk and this machine give.
    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "a measurement, not a test"]
    async fn settlements_a_second() {
        const CALLERS: usize = 64;
        const EACH: usize = 1000;
        let (_folder, ledger) = opened().await;
        let start = tokio::time::Instant::now();
        let callers = (0..CALLERS).map(|caller| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    let id = format!("{caller}-{number}");
                    ledger.intend(create(&id, None, 1)).await.unwrap();
                    let mut settlement = ended(&id, created(&id), 2);
                    settlement.index = Some(stage::contact(&id, &id, 1));
                    ledger.settle(settlement).await.unwrap();
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("{:.0} intents and settlements a second", (CALLERS * EACH) as f64 / seconds);
    }
}
