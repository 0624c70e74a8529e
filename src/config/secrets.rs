//! Secrets: a text, or where to find one. The value goes into a `SecretString`, whose Debug hides it, and nowhere else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use config::ValueKind;
use secrecy::SecretString;

use crate::config::document::{Reading, Section};

/// Far above any token or key; a larger file is the wrong file.
const MAX_BYTES: u64 = 64 * 1024;

/// A fault of a secret: what and remedy.
type Fault = (String, String);

/// How a secret must look.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    /// A token or a password: one line that can stand in a header.
    Line,
    /// A private key in PEM, which has many.
    PrivateKey,
}

/// Reads a secret of one line; what is wrong with it is reported to the section. Absent keys are the caller's to report.
pub fn read(section: &Section<'_>, key: &'static str) -> Option<SecretString> {
    read_as(Form::Line, section, key)
}

/// The same for a private key in PEM. Only its frame is looked at: who signs with it knows what it is.
pub fn read_private_key(section: &Section<'_>, key: &'static str) -> Option<SecretString> {
    read_as(Form::PrivateKey, section, key)
}

fn read_as(form: Form, section: &Section<'_>, key: &'static str) -> Option<SecretString> {
    if let ValueKind::Table(_) = section.value(key)?.kind {
        return referred(form, section.section(key)?);
    }
    let text = section.text(key)?;
    match form.usable(text.to_owned()) {
        Ok(secret) => Some(secret),
        Err((what, remedy)) => {
            section.fault(key, &what, &remedy);
            None
        }
    }
}

/// `{ env = "NAME" }`, `{ file = "PATH" }` or `{ credential = "NAME" }`.
fn referred(form: Form, place: Section<'_>) -> Option<SecretString> {
    const WAYS: [&str; 3] = ["env", "file", "credential"];
    let written: Vec<&'static str> = WAYS.into_iter().filter(|way| place.has(way)).collect();
    let found = match written[..] {
        [way] => place.text(way).map(|name| (way, fetch(form, &place, way, name))),
        _ => {
            place.fault_here(
                "does not say where the secret is",
                "write one of { env = \"NAME\" }, { file = \"PATH\" }, { credential = \"NAME\" }, or a text",
            );
            None
        }
    };
    let secret = match found {
        Some((way, Err((what, remedy)))) => {
            place.fault(way, &what, &remedy);
            None
        }
        Some((_, Ok(secret))) => Some(secret),
        None => None,
    };
    place.close(&[]);
    secret
}

fn fetch(form: Form, place: &Section<'_>, way: &str, name: &str) -> Result<SecretString, Fault> {
    if place.document().reading == Reading::WithoutSecrets {
        return Ok(SecretString::default());
    }
    match way {
        // The name is not repeated: a secret pasted in its place must not reach a terminal or a log.
        "env" => match place.document().variable(name).filter(|value| !value.is_empty()) {
            Some(value) => form.usable(value.to_owned()),
            None => Err((
                "names a variable that is not set".to_owned(),
                "set it for the process that runs propsync, or use { file = \"PATH\" }".to_owned(),
            )),
        },
        "file" => from_file(form, &place.document().resolve(name), Guard::Mode),
        _ => from_file(form, &credential(place, name)?, Guard::Folder),
    }
}

fn credential(place: &Section<'_>, name: &str) -> Result<PathBuf, Fault> {
    let plain = !name.contains('/') && name != "..";
    match place.document().variable("CREDENTIALS_DIRECTORY") {
        _ if !plain => Err(("is not the name of a credential".to_owned(), "write a name without slashes".to_owned())),
        Some(folder) => Ok(Path::new(folder).join(name)),
        None => Err((
            "systemd handed over no credentials".to_owned(),
            "add LoadCredential=NAME:PATH to the unit, or use { file = \"PATH\" }".to_owned(),
        )),
    }
}

/// What keeps others from reading a file: its own mode, or the folder systemd put it into.
#[derive(Clone, Copy, PartialEq)]
enum Guard {
    Mode,
    Folder,
}

fn from_file(form: Form, path: &Path, guard: Guard) -> Result<SecretString, Fault> {
    let shown = path.display();
    let unreadable = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            (format!("the file {shown} does not exist"), format!("create it with {}, mode 0600", form.contents()))
        }
        std::io::ErrorKind::PermissionDenied => {
            (format!("the file {shown} may not be read"), format!("chown it to the user that runs propsync: {shown}"))
        }
        _ => (format!("the file {shown} cannot be read: {error}"), "correct the path".to_owned()),
    };
    let meta = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err((format!("{shown} is not a file with one secret"), "correct the path".to_owned()));
    }
    let mode = meta.permissions().mode() & 0o777;
    if guard == Guard::Mode && mode & 0o077 != 0 {
        return Err((
            format!("the file {shown} can be read by others (mode {mode:04o})"),
            format!("chmod 600 {shown} (in a container: mount the secret with mode 0400)"),
        ));
    }
    let mut text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    form.usable(text)
}

impl Form {
    /// What a file of it holds.
    fn contents(self) -> &'static str {
        match self {
            Self::Line => "the secret as its only line",
            Self::PrivateKey => "the key in PEM",
        }
    }

    fn usable(self, text: String) -> Result<SecretString, Fault> {
        let fault = match self {
            _ if text.is_empty() => Some(("the secret is empty", "write the secret")),
            Self::Line => unfit_line(&text),
            Self::PrivateKey => unfit_key(&text),
        };
        match fault {
            None => Ok(SecretString::from(text)),
            Some((what, remedy)) => Err((what.to_owned(), remedy.to_owned())),
        }
    }
}

/// A secret that cannot stand in a header is a slip of copy and paste.
fn unfit_line(text: &str) -> Option<(&'static str, &'static str)> {
    (text.trim() != text || text.chars().any(char::is_control))
        .then_some(("the secret has blanks around it or a line break inside", "write the secret alone, on one line"))
}

/// RFC 7468: a label framed by dashes, on lines of their own. Remarks and certificates around the key are left alone.
fn unfit_key(text: &str) -> Option<(&'static str, &'static str)> {
    let has = |line: &str| text.lines().any(|found| found.trim() == line);
    let framed = |label: &str| has(&format!("-----BEGIN {label}-----")) && has(&format!("-----END {label}-----"));
    if framed("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Some((
            "the private key is locked by a passphrase",
            "unlock it into a file of mode 0600: openssl pkey -in LOCKED -out KEY",
        ));
    }
    if framed("PRIVATE KEY") || framed("RSA PRIVATE KEY") {
        return None;
    }
    if framed("EC PRIVATE KEY") || framed("OPENSSH PRIVATE KEY") {
        return Some((
            "the private key is no RSA key in PEM",
            "take the key of the app's certificate: openssl req -x509 -newkey rsa:2048 -nodes -keyout KEY …",
        ));
    }
    Some((
        "the secret is no private key in PEM",
        "write all lines from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----; \
         a certificate or public key is not it",
    ))
}
