//! A machine to run the program on: look-alikes served by the test's own process, a folder with a configuration, secrets
//! and a ledger, and nothing of the environment the test was started in.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use http::Method;
use propsync::sandbox::faults::{Fault, Rule};
use propsync::sandbox::people::{Person, Phone};
use propsync::sandbox::serve::Served;
use propsync::sandbox::upstream::Upstream;
use propsync::sandbox::{Sandbox, Settings, credentials};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What the look-alike announces: far above what the tests need, so that nothing waits for a rate.
const REQUESTS_PER_MINUTE: u32 = 6_000_000;
/// How long anything may take before a test gives up; no test waits for it when all is well.
const DEADLINE: Duration = Duration::from_secs(60);

const SECRETS: [&str; 4] = [
    credentials::PROPSTREET_CLIENT_SECRET,
    credentials::SALESFORCE_CLIENT_SECRET,
    credentials::HUBSPOT_TOKEN,
    credentials::PIPEDRIVE_TOKEN,
];

pub struct Stage {
    pub sandbox: Sandbox,
    runtime: Runtime,
    served: Option<Served>,
    folder: TempDir,
}

impl Stage {
    /// Look-alikes with `contacts` people in each CRM, and a configuration that uses them.
    pub fn new(seed: u64, contacts: usize) -> Self {
        let requests_per_minute = REQUESTS_PER_MINUTE;
        let sandbox = Sandbox::new(Settings { seed, contacts, requests_per_minute, ..Settings::default() });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let served = runtime.block_on(sandbox.serve(None)).expect("free ports");
        let folder = tempfile::tempdir().expect("a folder");
        let stage = Self { sandbox, runtime, served: Some(served), folder };
        stage.write("propstreet.secret", credentials::PROPSTREET_CLIENT_SECRET, 0o600);
        stage.write("propsync.toml", &stage.configuration(), 0o600);
        stage
    }

    /// As a person would write it: one secret in a file, one in the environment, two in place.
    fn configuration(&self) -> String {
        let url = |upstream| self.served.as_ref().expect("look-alikes").url(upstream);
        let first_run = "first_run = \"backfill\"\nregion = \"SE\"";
        format!(
            r#"[propstreet]
base_url = "{propstreet}"
auth = {{ kind = "client_credentials", client_id = "{pid}", client_secret = {{ file = "propstreet.secret" }} }}

[ledger]
path = "ledger.sqlite"

[sources.salesforce]
kind = "salesforce"
base_url = "{salesforce}"
auth = {{ kind = "client_credentials", client_id = "{sid}", client_secret = "{ssecret}" }}
{first_run}

[sources.hubspot]
kind = "hubspot"
base_url = "{hubspot}"
auth = {{ kind = "token", token = {{ env = "HUBSPOT_TOKEN" }} }}
{first_run}

[sources.pipedrive]
kind = "pipedrive"
base_url = "{pipedrive}"
auth = {{ kind = "api_token", token = "{ptoken}" }}
{first_run}
"#,
            propstreet = url(Upstream::Propstreet),
            pid = credentials::PROPSTREET_CLIENT_ID,
            salesforce = url(Upstream::Salesforce),
            sid = credentials::SALESFORCE_CLIENT_ID,
            ssecret = credentials::SALESFORCE_CLIENT_SECRET,
            hubspot = url(Upstream::HubSpot),
            pipedrive = url(Upstream::Pipedrive),
            ptoken = credentials::PIPEDRIVE_TOKEN,
        )
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("propsync.toml")
    }

    /// Where a look-alike listens.
    pub fn url(&self, upstream: Upstream) -> String {
        self.served.as_ref().expect("look-alikes").url(upstream).to_owned()
    }

    /// Writes a file of the folder.
    pub fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).expect("written");
        self.protect(name, mode);
    }

    /// Sets who may read a file of the folder.
    pub fn protect(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    /// Replaces a text of the configuration that must be there.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config()).expect("a configuration");
        assert!(text.contains(from), "{from} is not in\n{text}");
        self.write("propsync.toml", &text.replacen(from, to, 1), 0o600);
    }

    /// Changes the ledger behind the program's back.
    pub fn tamper(&self, sql: &str) {
        self.connect().execute_batch(sql).expect("tampered");
    }

    /// One value of the ledger, read behind the program's back.
    pub fn asked<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        self.connect().query_row(sql, (), |row| row.get(0)).expect("a value")
    }

    fn connect(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE;
        rusqlite::Connection::open_with_flags(self.path("ledger.sqlite"), flags).expect("a ledger")
    }

    /// Creates take their time from now on, so that there is a middle to end in: half of them commit before they
    /// answer, half after, and whoever hears no answer cannot tell which.
    pub fn slow_creates(&self) {
        let wait = Duration::from_millis(40);
        let create = |fault| Rule::new(fault).on(Method::POST).path(CONTACTS);
        let faults = self.sandbox.propstreet.faults();
        faults.add(create(Fault::Late(wait)).probability(0.5));
        faults.add(create(Fault::Delay(wait)));
    }

    /// The look-alikes go away: whoever calls them is refused a connection.
    pub fn take_upstreams_away(&mut self) {
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served.shutdown());
        }
    }

    /// A command with this configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.arg("--config").arg(self.config());
        command
    }

    /// A command with nothing around it but a folder for temporary files.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_propsync"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.env("TMPDIR", self.folder.path()).env("HUBSPOT_TOKEN", credentials::HUBSPOT_TOKEN);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.finish(&mut self.command(arguments))
    }

    /// Runs a prepared command to its end.
    pub fn finish(&self, command: &mut Command) -> Ran {
        self.heard(command.stdin(Stdio::null()).output().expect("the program starts"))
    }

    /// Starts a command and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.spawn(&mut self.command(arguments))
    }

    /// Starts a prepared command and leaves it running.
    pub fn spawn(&self, command: &mut Command) -> Running {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running(Some(command.spawn().expect("the program starts")))
    }

    /// Waits for a started command to end.
    pub fn end(&self, mut running: Running) -> Ran {
        let child = running.0.take().expect("a child");
        self.heard(child.wait_with_output().expect("an end"))
    }

    /// What it said; whatever it was, no secret and nobody's data may be in it.
    fn heard(&self, output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let ran = Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        for secret in SECRETS {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "a secret: {ran:?}");
        }
        let told = self.personal().told_by(&format!("{}\n{}", ran.stdout, ran.stderr));
        assert!(told.is_empty(), "{told:?} in {ran:?}");
        ran
    }

    /// Polls until a condition holds.
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let waited = self.runtime.block_on(async {
            let mut beat = tokio::time::interval(Duration::from_millis(2));
            let poll = async {
                while !holds() {
                    beat.tick().await;
                }
            };
            tokio::time::timeout(DEADLINE, poll).await
        });
        assert!(waited.is_ok(), "waited in vain until {what}");
    }

    /// How many live contacts Propstreet holds.
    pub fn contacts(&self) -> usize {
        self.sandbox.propstreet.contacts().iter().filter(|contact| contact.is_live()).count()
    }

    /// How many writes Propstreet has taken so far.
    pub fn writes(&self) -> u64 {
        let writes = self.sandbox.propstreet.requests();
        writes.of("POST contacts") + writes.of("PATCH contact")
    }

    /// The text with what differs from run to run named instead.
    pub fn masked(&self, text: &str) -> String {
        let mut text = text.replace(&self.folder.path().display().to_string(), "[folder]");
        for upstream in Upstream::ALL.into_iter().filter(|_| self.served.is_some()) {
            let url = self.url(upstream);
            text = text.replace(url.trim_start_matches("http://"), &format!("[{upstream:?}]"));
        }
        text
    }

    /// Whatever tells something about a planted person.
    pub fn personal(&self) -> Personal {
        let groups = self.sandbox.truth().groups();
        Personal::of(groups.iter().flat_map(|group| &group.records).flat_map(|known| &known.forms))
    }
}

/// Names, addresses and numbers of people.
pub struct Personal {
    texts: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl Personal {
    fn of<'p>(people: impl Iterator<Item = &'p Person>) -> Self {
        let (mut texts, mut words) = (BTreeSet::new(), BTreeSet::new());
        for person in people {
            let numbers = [&person.phone, &person.mobile].into_iter().flatten();
            texts.extend(person.email.iter().filter(|email| email.contains('@')).map(|email| email.to_lowercase()));
            texts.extend(numbers.flat_map(|Phone { typed, e164 }| [typed.clone(), e164.clone()]));
            let names = [&person.first, &person.last].into_iter().flat_map(|name| name.split(is_gap));
            // A shorter one is an initial, which stands in any text.
            words.extend(names.filter(|word| word.chars().count() > 2).map(str::to_lowercase));
        }
        Self { texts, words }
    }

    /// Which of it stands in a text.
    pub fn told_by(&self, text: &str) -> Vec<String> {
        let text = text.to_lowercase();
        let texts = self.texts.iter().filter(|told| text.contains(told.as_str())).cloned();
        let words = text.split(is_gap).filter(|word| self.words.contains(*word)).map(str::to_owned);
        texts.chain(words).collect()
    }
}

fn is_gap(c: char) -> bool {
    !c.is_alphanumeric()
}

/// A command under way; one that is dropped is ended.
pub struct Running(Option<Child>);

impl Running {
    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("a child")
    }

    pub fn pid(&self) -> u32 {
        self.0.as_ref().expect("a child").id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child().kill().expect("killed");
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "{name}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The one document on stdout.
    pub fn document(&self) -> Value {
        let document: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let keys: Vec<&String> = document.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["command", "error", "ok", "result", "summary"]);
        assert_eq!(document["ok"], self.code == Some(0), "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "one document on one line: {self:?}");
        document
    }
}

/// In the path of every call that concerns contacts.
pub const CONTACTS: &str = "/contacts";

pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
