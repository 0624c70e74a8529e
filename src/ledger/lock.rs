//! One writer a ledger: an operating system's lock on a file beside it, which names its holder for people.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
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
                let mut words = String::new();
                file.read_to_string(&mut words).map_err(failed("read"))?;
                let holder = serde_json::from_str(&words).unwrap_or_else(|_| Holder::unnamed());
                return Err(LedgerError::Held { holder });
            }
            Err(TryLockError::Error(cause)) => return Err(failed("lock")(cause)),
        }
        let words = serde_json::to_string(&Holder::this_process(now)).unwrap_or_default();
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed("write"))?;
        file.write_all(words.as_bytes()).map_err(failed("write"))?;
        Ok(Self { _file: file })
    }
}
