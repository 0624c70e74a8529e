//! One writer a ledger: an operating system's lock on a file beside it, which names its holder for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::Path;

use crate::domain::Timestamp;
use crate::ledger::error::LedgerError;
use crate::ledger::files::beside;
use crate::ledger::holder::Holder;

/// The lock; dropping it lets go. The file stays: the lock is the system's, the words in it are for people.
#[derive(Debug)]
pub(in crate::ledger) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the ledger at `ledger`, or tells who has it.
    pub(in crate::ledger) fn take(ledger: &Path, now: Timestamp) -> Result<Self, LedgerError> {
        let path = beside(ledger, "lock");
        let failed = |verb: &str| LedgerError::io(format!("{verb} {}", path.display()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerError::Held { holder: named(&mut file).map_err(failed("read"))? });
            }
            Err(TryLockError::Error(cause)) => return Err(failed("lock")(cause)),
        }
        let words = serde_json::to_string(&Holder::this_process(now)).unwrap_or_default();
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed("write"))?;
        file.write_all(words.as_bytes()).map_err(failed("write"))?;
        Ok(Self { _file: file })
    }
}

/// Who holds the lock of the ledger at `ledger`, if anybody does. Nothing is written, and nothing kept: the shared lock
/// that tells is let go at once.
pub(in crate::ledger) fn holder(ledger: &Path) -> Result<Option<Holder>, LedgerError> {
    let path = beside(ledger, "lock");
    let failed = |verb: &str| LedgerError::io(format!("{verb} {}", path.display()));
    let mut file = match File::open(&path) {
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open"))?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => named(&mut file).map(Some).map_err(failed("read")),
        Err(TryLockError::Error(cause)) => Err(failed("lock")(cause)),
    }
}

/// The holder as the file names it.
fn named(file: &mut File) -> io::Result<Holder> {
    let mut words = String::new();
    file.read_to_string(&mut words)?;
    Ok(serde_json::from_str(&words).unwrap_or_else(|_| Holder::unnamed()))
}
