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

/// Reads a secret key; what is wrong with it is reported to the section. Absent keys are the caller's to report.
pub fn read(section: &Section<'_>, key: &'static str) -> Option<SecretString> {
    if let ValueKind::Table(_) = section.value(key)?.kind {
        return referred(section.section(key)?);
    }
    let text = section.text(key)?;
    match usable(text.to_owned()) {
        Ok(secret) => Some(secret),
        Err((what, remedy)) => {
            section.fault(key, &what, &remedy);
            None
        }
    }
}

/// `{ env = "NAME" }`, `{ file = "PATH" }` or `{ credential = "NAME" }`.
fn referred(place: Section<'_>) -> Option<SecretString> {
    const FORMS: [&str; 3] = ["env", "file", "credential"];
    let written: Vec<&'static str> = FORMS.into_iter().filter(|form| place.has(form)).collect();
    let found = match written[..] {
        [form] => place.text(form).map(|name| (form, fetch(&place, form, name))),
        _ => {
            place.fault_here(
                "does not say where the secret is",
                "write one of { env = \"NAME\" }, { file = \"PATH\" }, { credential = \"NAME\" }, or a text",
            );
            None
        }
    };
    let secret = match found {
        Some((form, Err((what, remedy)))) => {
            place.fault(form, &what, &remedy);
            None
        }
        Some((_, Ok(secret))) => Some(secret),
        None => None,
    };
    place.close(&[]);
    secret
}

fn fetch(place: &Section<'_>, form: &str, name: &str) -> Result<SecretString, Fault> {
    if place.document().reading == Reading::WithoutSecrets {
        return Ok(SecretString::default());
    }
    match form {
        // The name is not repeated: a secret pasted in its place must not reach a terminal or a log.
        "env" => match place.document().variable(name).filter(|value| !value.is_empty()) {
            Some(value) => usable(value.to_owned()),
            None => Err((
                "names a variable that is not set".to_owned(),
                "set it for the process that runs propsync, or use { file = \"PATH\" }".to_owned(),
            )),
        },
        "file" => from_file(&place.document().resolve(name), Guard::Mode),
        _ => from_file(&credential(place, name)?, Guard::Folder),
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

fn from_file(path: &Path, guard: Guard) -> Result<SecretString, Fault> {
    let shown = path.display();
    let unreadable = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            (format!("the file {shown} does not exist"), "create it with the secret as its only line, mode 0600".into())
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
    usable(text)
}

/// A secret that cannot stand in a header is a slip of copy and paste.
fn usable(text: String) -> Result<SecretString, Fault> {
    if text.is_empty() {
        return Err(("the secret is empty".to_owned(), "write the secret".to_owned()));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err((
            "the secret has blanks around it or a line break inside".to_owned(),
            "write the secret alone, on one line".to_owned(),
        ));
    }
    Ok(SecretString::from(text))
}
