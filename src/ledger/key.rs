//! The key of the keyed hashes: 32 random bytes in a file of their own beside the ledger, readable by its owner only
//! and never part of an export.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::domain::keyed::Keyed;
use crate::ledger::error::LedgerError;
use crate::ledger::files::beside;

const LENGTH: usize = 32;

/// Reads the key of the ledger at `ledger`.
pub(in crate::ledger) fn read(ledger: &Path) -> Result<Keyed, LedgerError> {
    let path = beside(ledger, "key");
    let failed = || LedgerError::io(format!("read {}", path.display()));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Err(LedgerError::KeyMissing(path)),
        Err(cause) => return Err(failed()(cause)),
    };
    if file.metadata().map_err(failed())?.permissions().mode() & 0o077 != 0 {
        return Err(LedgerError::KeyExposed(path));
    }
    let mut bytes = Vec::with_capacity(LENGTH);
    file.read_to_end(&mut bytes).map_err(failed())?;
    let key: [u8; LENGTH] = bytes.try_into().map_err(|_| LedgerError::KeyForeign(path.clone()))?;
    Ok(Keyed::new(key))
}

/// Reads the key, or makes one where neither key nor ledger exists yet.
pub(in crate::ledger) fn read_or_create(ledger: &Path) -> Result<Keyed, LedgerError> {
    let written = ledger.metadata().is_ok_and(|file| file.len() > 0);
    match read(ledger) {
        // A new key would make every hash in the ledger a stranger's.
        Err(LedgerError::KeyMissing(_)) if !written => create(ledger),
        other => other,
    }
}

/// Written under another name and renamed, so that a crash leaves no half key.
fn create(ledger: &Path) -> Result<Keyed, LedgerError> {
    let (path, draft) = (beside(ledger, "key"), beside(ledger, "key.new"));
    let failed = |verb: &str| LedgerError::io(format!("{verb} {}", path.display()));
    let mut key = [0; LENGTH];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .map_err(LedgerError::io("read /dev/urandom"))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed("create"))?;
    file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed("write"))?;
    std::fs::rename(&draft, &path).map_err(failed("create"))?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("keep"))?;
    }
    Ok(Keyed::new(key))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_then_only_read() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        assert!(matches!(read(&ledger), Err(LedgerError::KeyMissing(_))));
        let (made, found) = (read_or_create(&ledger).unwrap(), read_or_create(&ledger).unwrap());
        assert_eq!(made.email("a@b.se"), found.email("a@b.se"));
        let file = beside(&ledger, "key").metadata().unwrap();
        assert_eq!((file.len(), file.permissions().mode() & 0o777), (32, 0o600));
        assert!(!beside(&ledger, "key.new").exists());

        let other = folder.path().join("other.db");
        assert_ne!(made.email("a@b.se"), read_or_create(&other).unwrap().email("a@b.se"), "keys are random");
    }

    #[test]
    fn a_key_that_cannot_be_trusted_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        let key = beside(&ledger, "key");
        std::fs::write(&ledger, "rows").unwrap();
        let missing = read_or_create(&ledger).unwrap_err();
        assert!(matches!(missing, LedgerError::KeyMissing(_)), "a ledger with rows gets no new key");
        assert!(missing.remedy().contains("backup"));
        std::fs::write(&key, [7; 32]).unwrap();
        for mode in [0o640, 0o604, 0o644] {
            std::fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&ledger), Err(LedgerError::KeyExposed(_))), "{mode:o}");
        }
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        assert!(read(&ledger).is_ok());
        std::fs::write(&key, [7; 31]).unwrap();
        assert!(matches!(read(&ledger), Err(LedgerError::KeyForeign(_))));
    }
}
