//! Refresh tokens that took the place of configured ones: `<ledger>.tokens.<source>`, a file a source, readable by its
//! owner only. It is no part of the database, so that no copy or export of that ever carries a credential.
//!
//! A kept token belongs to the configured one it descends from. When the operator configures another, that one counts,
//! and what was kept of the old is overwritten by its first successor.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ledger::blocking;
use crate::ledger::error::LedgerError;
use crate::ledger::files::beside;

/// More than any refresh token with its frame: so much room is taken on the disk before one is asked for.
const ROOM: usize = 4096;

/// The place of one source's refresh token.
#[derive(Debug, Clone)]
pub struct KeptToken {
    /// `<ledger>.tokens.<source>`.
    path: PathBuf,
}

impl KeptToken {
    /// Beside the ledger at `ledger`, which need not be there yet.
    #[must_use]
    pub fn new(ledger: &Path, source: &str) -> Self {
        Self { path: beside(ledger, &format!("tokens.{source}")) }
    }

    /// Takes the turn to exchange the source's refresh token, on which every process agrees by a lock of the operating
    /// system; `None` while another has it.
    ///
    /// # Errors
    /// `Io` where nothing could be kept; `TokenExposed`, `TokenUnreadable`; `Closed`.
    pub async fn turn(&self, configured: SecretString) -> Result<Option<Turn>, LedgerError> {
        let path = self.path.clone();
        blocking(move || Turn::take(path, &configured)).await
    }
}

/// The turn to exchange a source's refresh token; dropping it lets the next one in.
#[derive(Debug)]
pub struct Turn {
    path: PathBuf,
    newest: SecretString,
    descends_from: String,
    draft: File,
    _lock: File,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// A digest of the configured refresh token.
    descends_from: String,
    refresh_token: String,
}

impl Turn {
    fn take(path: PathBuf, configured: &SecretString) -> Result<Option<Self>, LedgerError> {
        let failed = |verb: &str| LedgerError::io(format!("{verb} {}", path.display()));
        let lock = match make(&beside(&path, "lock")) {
            Err(there) if there.kind() == ErrorKind::AlreadyExists => writable().open(beside(&path, "lock")),
            made => made,
        };
        let lock = lock.map_err(failed("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(cause)) => return Err(failed("lock")(cause)),
        }
        let descends_from = digest(configured);
        let kept = read(&path)?.filter(|kept| kept.descends_from == descends_from);
        let newest = kept.map_or_else(|| configured.clone(), |kept| kept.refresh_token.into());
        // An exchange whose gain cannot be written down would lose it: what a full disk or a folder without rights refuses
        // is refused here, before.
        let place = beside(&path, "new");
        // One that a dead process left might be readable by others.
        let _ = std::fs::remove_file(&place);
        let mut draft = make(&place).map_err(failed("write"))?;
        draft.write_all(&[b' '; ROOM]).and_then(|()| draft.sync_all()).map_err(failed("write"))?;
        Ok(Some(Self { path, newest, descends_from, draft, _lock: lock }))
    }

    /// The refresh token to use: the configured one, or what took its place.
    #[must_use]
    pub fn newest(&self) -> &SecretString {
        &self.newest
    }

    /// Keeps the refresh token that takes its place. Returns when it is on the disk for good.
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub async fn keep(self, newest: SecretString) -> Result<(), LedgerError> {
        blocking(move || self.write(&newest)).await
    }

    /// Written over the room in the draft, where blanks may follow JSON, and renamed, so that a crash leaves one token
    /// or the other.
    fn write(mut self, newest: &SecretString) -> Result<(), LedgerError> {
        let refresh_token = newest.expose_secret().to_owned();
        let kept = Kept { descends_from: self.descends_from.clone(), refresh_token };
        let text = serde_json::to_vec(&kept).map_err(|_| LedgerError::TokenUnreadable(self.path.clone()))?;
        let failed = |verb: &str| LedgerError::io(format!("{verb} {}", self.path.display()));
        self.draft.rewind().and_then(|()| self.draft.write_all(&text)).map_err(failed("write"))?;
        self.draft.sync_all().map_err(failed("write"))?;
        std::fs::rename(beside(&self.path, "new"), &self.path).map_err(failed("write"))?;
        File::open(folder_of(&self.path)).and_then(|folder| folder.sync_all()).map_err(failed("keep"))
    }
}

impl Drop for Turn {
    /// A draft that came to nothing holds blanks, and is only in the way.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(beside(&self.path, "new"));
    }
}

/// Its owner's from the first moment.
fn writable() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).truncate(false).mode(0o600);
    options
}

/// Makes a file that was not there, and gives it to the owner of its folder. An administrator who looks with `doctor` as
/// root logs in, too, and what that leaves would shut out the user who syncs. Nobody else can give files away, nor needs to.
fn make(path: &Path) -> std::io::Result<File> {
    let file = writable().create_new(true).open(path)?;
    let owner = folder_of(path).metadata()?;
    if file.metadata()?.uid() != owner.uid() {
        let _ = fchown(&file, Some(owner.uid()), Some(owner.gid()));
    }
    Ok(file)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What was kept, if anything was.
fn read(path: &Path) -> Result<Option<Kept>, LedgerError> {
    let failed = || LedgerError::io(format!("read {}", path.display()));
    let mut file = match File::open(path) {
        Err(none) if none.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed())?,
    };
    if file.metadata().map_err(failed())?.permissions().mode() & 0o077 != 0 {
        return Err(LedgerError::TokenExposed(path.to_owned()));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(failed())?;
    serde_json::from_slice(&text).map(Some).map_err(|_| LedgerError::TokenUnreadable(path.to_owned()))
}

/// Refresh tokens are long and random: nobody finds one by its digest.
fn digest(token: &SecretString) -> String {
    Sha256::digest(token.expose_secret()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn ledger(&self) -> PathBuf {
            self.0.path().join("ledger.db")
        }

        fn kept(&self) -> PathBuf {
            self.0.path().join("ledger.db.tokens.hubspot")
        }

        async fn turn(&self, configured: &str) -> Result<Option<Turn>, LedgerError> {
            KeptToken::new(&self.ledger(), "hubspot").turn(configured.into()).await
        }

        /// The token that a login under this configuration would use.
        async fn newest(&self, configured: &str) -> String {
            self.turn(configured).await.unwrap().unwrap().newest().expose_secret().to_owned()
        }

        async fn rotate(&self, configured: &str, newest: &str) {
            self.turn(configured).await.unwrap().unwrap().keep(newest.into()).await.unwrap();
        }
    }

    /// Only root can try this: everyone else's files are their own.
    #[tokio::test]
    async fn what_root_leaves_belongs_to_the_owner_of_the_folder() {
        let place = Place::new();
        if std::os::unix::fs::chown(place.0.path(), Some(4_321), Some(4_322)).is_err() {
            return;
        }
        place.rotate("r1", "r2").await;
        for file in ["ledger.db.tokens.hubspot", "ledger.db.tokens.hubspot.lock"] {
            let owner = place.0.path().join(file).metadata().unwrap();
            assert_eq!((owner.uid(), owner.gid()), (4_321, 4_322), "{file}");
        }
    }

    #[tokio::test]
    async fn what_took_the_configured_tokens_place_is_used_until_another_is_configured() {
        let place = Place::new();
        assert_eq!(place.newest("r1").await, "r1");
        place.rotate("r1", "r2").await;
        assert_eq!(place.newest("r1").await, "r2");
        place.rotate("r1", &"r".repeat(2 * ROOM)).await;
        place.rotate("r1", "r3").await;
        assert_eq!(place.newest("r1").await, "r3");
        assert_eq!(place.newest("authorised anew").await, "authorised anew", "the operator's word counts");
        assert_eq!(place.newest("r1").await, "r3", "and asking changes nothing");
        place.rotate("authorised anew", "n2").await;
        assert_eq!((place.newest("authorised anew").await, place.newest("r1").await), ("n2".into(), "r1".into()));
    }

    #[tokio::test]
    async fn two_handles_never_have_the_turn_at_once_and_sources_do_not_wait_for_each_other() {
        let place = Place::new();
        let held = place.turn("r1").await.unwrap().unwrap();
        assert!(place.turn("r1").await.unwrap().is_none());
        let other = KeptToken::new(&place.ledger(), "pipedrive").turn("p1".into()).await.unwrap();
        assert!(other.is_some());
        held.keep("r2".into()).await.unwrap();
        assert_eq!(place.newest("r1").await, "r2", "who comes next sees what was kept");
        assert_eq!(place.newest("r1").await, "r2", "a turn that is dropped is over");
    }

    #[tokio::test]
    async fn the_file_is_its_owners_alone_and_nothing_else_is_left() {
        let place = Place::new();
        drop(place.turn("r1").await.unwrap());
        let names = || {
            let entries = std::fs::read_dir(place.0.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["ledger.db.tokens.hubspot.lock"], "a token that stays is written nowhere");
        place.rotate("r1", "r2").await;
        assert_eq!(names(), ["ledger.db.tokens.hubspot", "ledger.db.tokens.hubspot.lock"]);
        assert_eq!(place.kept().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!std::fs::read_to_string(place.kept()).unwrap().contains("r1"));
        for mode in [0o640, 0o604] {
            std::fs::set_permissions(place.kept(), Permissions::from_mode(mode)).unwrap();
            assert!(matches!(place.turn("r1").await, Err(LedgerError::TokenExposed(_))), "{mode:o}");
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_refused_and_not_guessed_at() {
        let place = Place::new();
        for text in ["", "{", r#"{"refresh_token": "r2"}"#] {
            std::fs::write(place.kept(), text).unwrap();
            std::fs::set_permissions(place.kept(), Permissions::from_mode(0o600)).unwrap();
            let refused = place.turn("r1").await.unwrap_err();
            assert!(matches!(refused, LedgerError::TokenUnreadable(_)), "{refused}");
            assert!(!refused.to_string().contains("r2"));
        }
    }

    #[tokio::test]
    async fn nothing_is_exchanged_where_nothing_can_be_kept() {
        let place = Place::new();
        std::fs::create_dir(place.0.path().join("ledger.db.tokens.hubspot.new")).unwrap();
        assert!(matches!(place.turn("r1").await, Err(LedgerError::Io { .. })));
        let nowhere = KeptToken::new(&place.0.path().join("nowhere/ledger.db"), "hubspot");
        assert!(matches!(nowhere.turn("r1".into()).await, Err(LedgerError::Io { .. })));
    }

    /// What kill -9 leaves in the middle of keeping: a draft, and the token as it was.
    #[tokio::test]
    async fn a_draft_that_was_left_behind_is_overwritten() {
        let place = Place::new();
        place.rotate("r1", "r2").await;
        std::fs::write(place.0.path().join("ledger.db.tokens.hubspot.new"), [b'x'; 3 * ROOM]).unwrap();
        assert_eq!(place.newest("r1").await, "r2");
        std::fs::write(place.0.path().join("ledger.db.tokens.hubspot.new"), [b'x'; 3 * ROOM]).unwrap();
        place.rotate("r1", "r3").await;
        assert_eq!(place.newest("r1").await, "r3");
    }
}
