//! Brings a ledger's schema up to this program's: numbered files, each applied once, in one transaction, with the
//! checksum kept; and refuses a schema that is newer or was edited.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::domain::Timestamp;
use crate::ledger::columns::millis;
use crate::ledger::error::LedgerError;
use crate::ledger::files::beside;

/// One file of `migrations/`. Its number is its place in the list.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_ledger.sql", sql: include_str!("../../migrations/0001_ledger.sql") },
    Migration { name: "0002_departures.sql", sql: include_str!("../../migrations/0002_departures.sql") },
    Migration { name: "0003_sweep_marks.sql", sql: include_str!("../../migrations/0003_sweep_marks.sql") },
    Migration { name: "0004_spending.sql", sql: include_str!("../../migrations/0004_spending.sql") },
    Migration { name: "0005_told_merges.sql", sql: include_str!("../../migrations/0005_told_merges.sql") },
    Migration { name: "0006_updates.sql", sql: include_str!("../../migrations/0006_updates.sql") },
    Migration { name: "0007_companies.sql", sql: include_str!("../../migrations/0007_companies.sql") },
    Migration { name: "0008_filtered.sql", sql: include_str!("../../migrations/0008_filtered.sql") },
    Migration { name: "0009_decisions.sql", sql: include_str!("../../migrations/0009_decisions.sql") },
];

const BOOK: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT";

/// Applies what is missing. A ledger that holds anything is first copied to `<ledger>.before-NNNN`.
pub(in crate::ledger) fn migrate(connection: &mut Connection, path: &Path, now: Timestamp) -> Result<(), LedgerError> {
    bring_up(connection, path, now, MIGRATIONS)
}

/// Refuses any schema but the one this program knows; for handles that may not change it.
pub(in crate::ledger) fn check(connection: &Connection) -> Result<(), LedgerError> {
    let (found, known) = (applied(connection, MIGRATIONS)?, number(MIGRATIONS.len()));
    if found == known { Ok(()) } else { Err(LedgerError::Older { found, known }) }
}

fn bring_up(
    connection: &mut Connection,
    path: &Path,
    now: Timestamp,
    migrations: &[Migration],
) -> Result<(), LedgerError> {
    let found = applied(connection, migrations)?;
    if found == number(migrations.len()) {
        return Ok(());
    }
    if found > 0 {
        back_up(connection, path, found + 1)?;
    }
    connection.execute_batch(BOOK)?;
    for (version, migration) in (1_u32..).zip(migrations).skip(found as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, name, sha256, applied_at) VALUES (?1, ?2, ?3, ?4)",
            (version, migration.name, checksum(migration.sql), millis(now)),
        )?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

/// The version a ledger is at, once its history is known to be ours.
fn applied(connection: &Connection, migrations: &[Migration]) -> Result<u32, LedgerError> {
    let known = number(migrations.len());
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(LedgerError::Newer { found, known });
    }
    if found == 0 {
        return Ok(0);
    }
    let mut history = connection.prepare("SELECT sha256 FROM schema_migrations ORDER BY version")?;
    let history = history.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let same = migrations.iter().zip(&history).position(|(ours, theirs)| checksum(ours.sql) != *theirs);
    match same {
        Some(place) => Err(LedgerError::Edited { migration: migrations[place].name.to_owned() }),
        None if history.len() != found as usize => {
            Err(LedgerError::corrupt("schema_migrations", "another number of rows than user_version"))
        }
        None => Ok(found),
    }
}

/// A copy without the WAL, made by SQLite itself into a file only its owner can read.
fn back_up(connection: &Connection, path: &Path, next: u32) -> Result<(), LedgerError> {
    let copy = beside(path, &format!("before-{next:04}"));
    OpenOptions::new()
        .write(true)
        .create(true)
        // An earlier attempt may have left a copy; the migration after it did not commit, so it says the same.
        .truncate(true)
        .mode(0o600)
        .open(&copy)
        .map_err(LedgerError::io(format!("create {}", copy.display())))?;
    connection.execute("VACUUM INTO ?1", [copy.to_string_lossy()])?;
    Ok(())
}

fn number(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn checksum(sql: &str) -> String {
    Sha256::digest(sql).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::departure::Evidence;
    use crate::domain::pass::PassKind;
    use crate::ledger::cursors::Cursor;
    use crate::ledger::lane::Access;
    use crate::ledger::passes::PassId;
    use crate::ledger::stage::{at, created, ended, key};
    use crate::ledger::{self, Ledger};

    const FIRST: Migration = Migration { name: "0001_a.sql", sql: "CREATE TABLE a (n INTEGER) STRICT" };
    const SECOND: Migration = Migration { name: "0002_b.sql", sql: "CREATE TABLE b (n INTEGER) STRICT" };
    const BROKEN: Migration =
        Migration { name: "0002_b.sql", sql: "CREATE TABLE b (n INTEGER) STRICT; SELECT nothing" };

    fn blank() -> (tempfile::TempDir, std::path::PathBuf, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let connection = ledger::connect(&path, Access::Write).unwrap();
        (folder, path, connection)
    }

    #[test]
    fn the_list_is_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let files: BTreeSet<_> = std::fs::read_dir(&folder).unwrap().map(name).collect();
        assert_eq!(files, MIGRATIONS.iter().map(|migration| migration.name.to_owned()).collect());
        for (version, migration) in (1..).zip(MIGRATIONS) {
            assert!(migration.name.starts_with(&format!("{version:04}_")), "{}", migration.name);
            assert_eq!(std::fs::read_to_string(folder.join(migration.name)).unwrap(), migration.sql);
        }
    }

    #[test]
    fn each_is_applied_once_and_a_ledger_in_use_is_copied_first() {
        let (_folder, path, mut connection) = blank();
        bring_up(&mut connection, &path, at(0), &[FIRST]).unwrap();
        connection.execute("INSERT INTO a VALUES (7)", []).unwrap();
        assert!(!beside(&path, "before-0001").exists(), "there was nothing to lose");
        bring_up(&mut connection, &path, at(1), &[FIRST, SECOND]).unwrap();
        bring_up(&mut connection, &path, at(2), &[FIRST, SECOND]).unwrap();
        assert_eq!(applied(&connection, &[FIRST, SECOND]).unwrap(), 2);
        let copy = ledger::connect(&beside(&path, "before-0002"), Access::Read).unwrap();
        assert_eq!(copy.query_row("SELECT n FROM a", [], |row| row.get::<_, i64>(0)).unwrap(), 7);
        assert_eq!(applied(&copy, &[FIRST, SECOND]).unwrap(), 1);
    }

    #[test]
    fn one_that_fails_leaves_nothing_behind() {
        let (_folder, path, mut connection) = blank();
        assert!(bring_up(&mut connection, &path, at(0), &[FIRST, BROKEN]).is_err());
        assert_eq!(applied(&connection, &[FIRST, SECOND]).unwrap(), 1);
        bring_up(&mut connection, &path, at(1), &[FIRST, SECOND]).unwrap();
        assert!(bring_up(&mut connection, &path, at(1), &[FIRST, SECOND]).is_ok());
    }

    /// A ledger of the first version with every kind of row it could hold.
    const IN_USE: &str = "
        INSERT INTO refs (ref, namespace, id, source, state, outcome, reason, propstreet_id, fingerprint, mapping, next_try,
                first_seen, last_changed) VALUES
            (1, 'hubspot', '1', 'crm', 'settled', 'created', NULL, 'c1', zeroblob(32), 1, NULL, 0, 0),
            (2, 'hubspot', '2', 'crm', 'settled', 'skipped', 'gone', 'c2', zeroblob(32), 1, NULL, 0, 0),
            (3, 'hubspot', '3', 'crm', 'unsettled', NULL, NULL, NULL, NULL, NULL, NULL, 0, 0),
            (4, 'hubspot', '4', 'crm', 'quarantined', 'quarantined', 'invalid_field', NULL, NULL, NULL, NULL, 0, 0),
            (5, 'hubspot', '5', 'crm', 'deferred', 'deferred', 'outage', NULL, NULL, NULL, 9, 0, 0),
            (6, 'hubspot', '6', 'crm', 'deleted', 'skipped', 'deleted_in_propstreet', 'c6', zeroblob(32), 1, NULL, 0, 0),
            (7, 'hubspot', '7', 'crm', 'moved', 'skipped', 'merged_into:hubspot:1', 'c7', zeroblob(32), 1, NULL, 0, 0);
        INSERT INTO intents (ref, source, kind, fingerprint, at) VALUES (3, 'crm', 'create', zeroblob(32), 0);
        INSERT INTO quarantine (ref, reason, detail, since) VALUES (4, 'invalid_field', 'email: 300 characters', 0);
        INSERT INTO aliases (ref, survivor_namespace, survivor_id, at) VALUES (7, 'hubspot', '1', 0);
        INSERT INTO cursors (source, kind, watermark, lo, hi, resume) VALUES
            ('crm', 'sweep', NULL, 5, 5, 'p2'), ('crm', 'poll', 4, 4, 5, 'p2'), ('other', 'sweep', 5, NULL, NULL, NULL)";

    #[tokio::test(start_paused = true)]
    async fn a_ledger_in_use_comes_from_the_first_version_to_todays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        ledger::key::read_or_create(&path).unwrap();
        let mut connection = ledger::connect(&path, Access::Write).unwrap();
        bring_up(&mut connection, &path, at(0), &MIGRATIONS[..1]).unwrap();
        connection.execute_batch(IN_USE).unwrap();
        drop(connection);
        let ledger = Ledger::open(&path, at(1)).await.unwrap();
        let standings = async |ids: [&str; 7]| {
            let mut words = Vec::new();
            for id in ids {
                let standing = format!("{:?}", ledger.standing(id, 0).await);
                words.push(standing.split([' ', '(']).next().unwrap_or_default().to_owned());
            }
            words
        };
        assert_eq!(
            standings(["1", "2", "3", "4", "5", "6", "7"]).await,
            ["Settled", "Settled", "Intended", "Quarantined", "Deferred", "Deleted", "Moved"]
        );
        let unmet = ledger.unmet("crm", at(1), i64::MIN, 9).await.unwrap();
        assert_eq!(unmet.len(), 5, "who left without a trace is looked for");
        assert_eq!(ledger.cursor("crm", PassKind::Sweep).await.unwrap(), Cursor::default(), "it has marked nobody");
        assert!(ledger.cursor("crm", PassKind::Poll).await.unwrap().window.is_some());
        assert!(ledger.cursor("other", PassKind::Sweep).await.unwrap().watermark.is_some());
        ledger.read_under("crm", 1, at(2)).await.unwrap();
        assert_eq!(ledger.due("crm", at(2), 9).await.unwrap(), [key("5"), key("4")], "no map was known");
        ledger.write_back_into("crm", Some("field")).await.unwrap();
        assert_eq!(ledger.owed("crm", at(2), 9).await.unwrap().len(), 2);
        ledger.settle(ended("3", created("c3"), 3)).await.unwrap();
        assert_eq!(ledger.owed("crm", at(3), 9).await.unwrap().len(), 3);
        ledger.hold(PassId(1), Evidence::Sweep, vec![(key("1"), None), (key("7"), None)], at(3)).await.unwrap();
        assert_eq!(ledger.held("crm", i64::MIN, 9).await.unwrap().len(), 1);
        assert_eq!(ledger.summary(at(3)).await.unwrap().sources["crm"].settled, 3);
    }

    #[test]
    fn a_newer_or_edited_schema_is_refused() {
        let (_folder, path, mut connection) = blank();
        bring_up(&mut connection, &path, at(0), &[FIRST, SECOND]).unwrap();
        let newer = bring_up(&mut connection, &path, at(1), &[FIRST]);
        assert!(matches!(newer, Err(LedgerError::Newer { found: 2, known: 1 })));
        let edited = Migration { sql: "CREATE TABLE a (n TEXT) STRICT", ..FIRST };
        let refused = bring_up(&mut connection, &path, at(1), &[edited, SECOND]).unwrap_err();
        assert!(matches!(&refused, LedgerError::Edited { migration } if migration == "0001_a.sql"));
        assert!(matches!(check(&blank().2), Err(LedgerError::Older { found: 0, .. })));
    }
}
