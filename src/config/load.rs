//! From a file and the environment to a [`Config`], or to every fault at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::document::{Document, Reading, Section};
use crate::config::problems::{Place, Problem, Problems};
use crate::config::tree::Config;
use crate::config::{propstreet, sources, webhooks};
use crate::domain::nearest::nearest;

/// Where a configuration is looked for when none is named, first match first.
pub const PLACES: [&str; 2] = ["/etc/propsync/propsync.toml", "config/propsync.toml"];

/// The variable that names it. Empty, as an unfilled line of a unit or a compose file leaves it, it names none.
const NAMED: &str = "PROPSYNC_CONFIG";

const LEDGER: &str = "/var/lib/propsync/ledger.sqlite";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// None was named and none is in the usual places.
    #[error("no configuration found; looked for {}", PLACES.join(" and "))]
    NotFound,
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It was read and is wrong.
    #[error("{tally} in {file}:\n{0}", tally = .0.tally(), file = .0.file.display())]
    Faulty(Problems),
}

impl LoadError {
    /// What the operator can do.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound => "name one with --config or PROPSYNC_CONFIG; config/example.toml shows every key",
            Self::Unreadable { .. } => "correct the path, or let the user that runs propsync read the file",
            Self::Faulty(_) => "correct the faults listed above, then try again: propsync config check",
        }
    }
}

/// The file that the environment names.
#[must_use]
pub fn named() -> Option<PathBuf> {
    std::env::var_os(NAMED).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The file to read: the one named, else the first that exists. One behind a closed door counts; reading it will tell.
pub fn find(named: Option<&Path>) -> Result<PathBuf, LoadError> {
    match named {
        Some(path) => Ok(path.to_owned()),
        None => {
            PLACES.iter().map(PathBuf::from).find(|path| path.try_exists().unwrap_or(true)).ok_or(LoadError::NotFound)
        }
    }
}

/// The process's environment. Names or values that are not UTF-8 cannot be keys of ours and are left out.
#[must_use]
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Reads a file under the given environment. Touches nothing but the file and the secrets it names.
pub fn load(file: &Path, environment: &BTreeMap<String, String>) -> Result<Config, LoadError> {
    parse(file, &text_of(file)?, environment).map_err(LoadError::Faulty)
}

/// The same without fetching secrets, which are left empty: for commands that ask the ledger alone. Who may read it need
/// not hold the credentials, and those that systemd hands to a unit are nowhere else.
pub fn load_without_secrets(file: &Path, environment: &BTreeMap<String, String>) -> Result<Config, LoadError> {
    parse_as(Reading::WithoutSecrets, file, &text_of(file)?, environment).map_err(LoadError::Faulty)
}

fn text_of(file: &Path) -> Result<String, LoadError> {
    std::fs::read_to_string(file).map_err(|cause| LoadError::Unreadable { path: file.to_owned(), cause })
}

/// The configuration a text means, or every fault of it. `file` names it in messages; relative paths start beside it.
pub fn parse(file: &Path, text: &str, environment: &BTreeMap<String, String>) -> Result<Config, Problems> {
    parse_as(Reading::Whole, file, text, environment)
}

fn parse_as(
    reading: Reading,
    file: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Config, Problems> {
    let document = Document::merge(file, text, environment, reading).map_err(|faults| Problems::of(file, faults))?;
    let config = read(file, &document);
    let faults = document.into_faults();
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ if faults.is_empty() => Err(Problems::of(file, vec![unexplained()])),
        _ => Err(Problems::of(file, faults)),
    }
}

fn read(file: &Path, document: &Document) -> Option<Config> {
    let root = document.root();
    root.require("propstreet", "add [propstreet] with auth");
    let propstreet = root.section("propstreet").and_then(propstreet::read);
    root.require("sources", "add [sources.NAME] with kind, auth and first_run");
    let sources = root.section("sources").map(|section| sources::read(&section));
    let ledger = if root.has("ledger") { root.section("ledger").and_then(ledger) } else { Some(PathBuf::from(LEDGER)) };
    if let Some(section) = root.section("admin") {
        admin(section);
    }
    let webhooks = root.section("webhooks").and_then(webhooks::read);
    let (tenant, sections) = (root.section("propstreet"), root.section("sources"));
    if let (Some((_, policy)), Some(tenant), Some(sections)) = (&propstreet, tenant, sections) {
        known_precedence(&tenant, &sections, &policy.precedence);
    }
    root.close(&["alerts"]);
    let (propstreet, policy) = propstreet?;
    Some(Config { file: file.to_owned(), propstreet, policy, ledger: ledger?, webhooks, sources: sources? })
}

fn ledger(section: Section<'_>) -> Option<PathBuf> {
    let path = if section.has("path") { section.text("path") } else { Some(LEDGER) };
    let path = path.map(|path| section.document().resolve(path));
    section.close(&[]);
    path
}

/// Who goes first is named as its section is; a name that no source has would decide nothing.
fn known_precedence(propstreet: &Section<'_>, sources: &Section<'_>, precedence: &[String]) {
    const KEY: &str = "precedence";
    let names: Vec<&str> = sources.entries().map(|(name, _)| name).collect();
    for unknown in precedence.iter().filter(|name| !names.contains(&name.as_str())) {
        let remedy = match nearest(unknown, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("remove it; the sources are {}", names.join(", ")),
        };
        propstreet.fault(KEY, &format!("names `{unknown}`, which is no source"), &remedy);
    }
    let twice = precedence.iter().enumerate().find(|(place, name)| precedence[..*place].contains(name));
    if let Some((_, name)) = twice {
        propstreet.fault(KEY, &format!("names `{name}` twice"), "keep it where it shall count");
    }
}

/// The page is not built: it can be switched off, which it is.
fn admin(section: Section<'_>) {
    if let Some(listen) = section.text("listen").filter(|listen| *listen != "off") {
        section.fault(
            "listen",
            &format!("`listen = \"{listen}\"` is planned but not built into this version"),
            "remove it or set \"off\"",
        );
    }
    section.close(&["token"]);
}

/// A reader that fails without saying why is our fault, not the operator's; it must not pass as a good configuration.
fn unexplained() -> Problem {
    Problem {
        place: Place::Whole,
        key: String::new(),
        what: "was refused without a reason, which is a fault of propsync".to_owned(),
        remedy: "report it with the configuration, secrets removed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use insta::assert_snapshot;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::crm::{Settings, hubspot};
    use crate::propstreet::Auth;
    use crate::sync::engine::{EmailConflict, FirstRun};

    /// A correct `[propstreet]` section, so that a test's own lines are all that can be wrong.
    const PROPSTREET: &str = "[propstreet]\nauth = { kind = \"token\", token = \"t\" }\n";
    const HUBSPOT: &str = concat!(
        "[sources.hubspot]\nkind = \"hubspot\"\n",
        "auth = { kind = \"token\", token = \"t\" }\nfirst_run = \"backfill\"\n"
    );

    fn parsed(text: &str, variables: &[(&str, &str)]) -> Result<Config, Problems> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        parse(Path::new("p.toml"), text, &environment)
    }

    fn hubspot_token(config: &Config) -> &str {
        let Settings::HubSpot(hubspot::Settings { auth: hubspot::Auth::Token { token }, .. }) = &config.sources[0].crm
        else {
            panic!("HubSpot")
        };
        token.expose_secret()
    }

    fn faults(text: &str) -> String {
        parsed(text, &[]).map_or_else(|problems| problems.to_string(), |_| "no fault".to_owned())
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = parsed(&format!("{PROPSTREET}{HUBSPOT}"), &[]).expect("a correct file");
        assert_eq!(config.propstreet.base_url.as_str(), "https://app.propstreet.com/");
        assert_eq!(config.propstreet.requests_per_minute, None, "left to what Propstreet announces");
        assert_eq!(config.policy.email_conflict, EmailConflict::Link);
        assert_eq!(config.ledger, Path::new("/var/lib/propsync/ledger.sqlite"));
        let source = &config.sources[0];
        assert_eq!((source.name.as_str(), source.namespace.as_str()), ("hubspot", "hubspot"));
        assert_eq!(source.crm.base_url().as_str(), "https://api.hubapi.com/");
        assert_eq!(source.first_run, FirstRun::Backfill);
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = parsed(
            &format!("{PROPSTREET}{HUBSPOT}"),
            &[
                ("PROPSYNC__PROPSTREET__BASE_URL", "http://127.0.0.1:9000"),
                ("PROPSYNC__PROPSTREET__REQUESTS_PER_MINUTE", "1200"),
                ("PROPSYNC__SOURCES__HUBSPOT__AUTH__TOKEN__ENV", "HUB"),
                ("PROPSYNC_LOG", "debug"),
                ("HUB", "from-elsewhere"),
            ],
        )
        .expect("a correct file");
        assert_eq!(config.propstreet.base_url.as_str(), "http://127.0.0.1:9000/");
        assert_eq!(config.propstreet.requests_per_minute, Some(1200));
        assert_eq!(hubspot_token(&config), "from-elsewhere");
    }

    #[test]
    fn without_secrets_none_is_fetched_and_all_else_is_checked() {
        let elsewhere = HUBSPOT.replace("\"t\"", "{ credential = \"hubspot\" }");
        let read = |text: &str| parse_as(Reading::WithoutSecrets, Path::new("p.toml"), text, &BTreeMap::new());
        assert!(parsed(&format!("{PROPSTREET}{elsewhere}"), &[]).is_err(), "there is no such credential");
        let config = read(&format!("{PROPSTREET}{elsewhere}")).expect("nobody asked for the credential");
        assert_eq!(hubspot_token(&config), "");
        assert!(read(&format!("{PROPSTREET}{}", elsewhere.replace("credential", "credentials"))).is_err());
    }

    #[test]
    fn faults_of_the_environment_name_the_variable() {
        let problems = parsed(
            &format!("{PROPSTREET}{HUBSPOT}"),
            &[
                ("PROPSYNC__PROPSTREET__REQUESTS_PER_MINUTE", "many"),
                ("PROPSYNC__PROPSTREET__BASEURL", "https://x.example"),
                ("PROPSYNC__", "1"),
            ],
        )
        .expect_err("three faults");
        assert_snapshot!(problems, @"
        PROPSYNC__ (environment): the name of this variable names no key
            fix: write PROPSYNC__SECTION__KEY, for example PROPSYNC__PROPSTREET__BASE_URL, or unset it
        PROPSYNC__PROPSTREET__BASEURL (environment): propstreet.baseurl: unknown key
            fix: did you mean `base_url`?
        PROPSYNC__PROPSTREET__REQUESTS_PER_MINUTE (environment): propstreet.requests_per_minute: is a text
            fix: write a whole number
        ");
    }

    #[test]
    fn syntax_errors_are_listed_together() {
        let text = r#"
            [propstreet
            base_url = https://x
            [ledger]
            path = "a"
            path = "b"
        "#;
        assert_snapshot!(faults(text), @"
        p.toml:2:24: not TOML: unclosed table, expected `]`
            fix: correct the line; texts stand in double quotes, sections in [brackets]
        p.toml:6:13: not TOML: duplicate key
            fix: correct the line; texts stand in double quotes, sections in [brackets]
        ");
    }

    #[test]
    fn an_unknown_key_names_its_nearest_neighbour() {
        let propstreet = format!("{PROPSTREET}bas_url = \"https://x.example\"\ntimeout = 3\n");
        assert_snapshot!(faults(&format!("{propstreet}{HUBSPOT}frist_run = 1\n[ledgers]\n")), @"
        p.toml:3:1: propstreet.bas_url: unknown key
            fix: did you mean `base_url`?
        p.toml:4:1: propstreet.timeout: unknown key
            fix: remove it; known here: auth, base_url, email_conflict, precedence, requests_per_minute, role_addresses
        p.toml:9:1: sources.hubspot.frist_run: unknown key
            fix: did you mean `first_run`?
        p.toml:10:2: ledgers: unknown key
            fix: did you mean `ledger`?
        ");
    }

    #[test]
    fn a_wrong_type_says_what_it_is() {
        let propstreet = format!("ledger = \"here\"\n{PROPSTREET}requests_per_minute = \"60\"\nbase_url = 1\n");
        let sources = format!("{HUBSPOT}namespace = [\"a\"]\n[sources]\nx = 1\n");
        assert_snapshot!(faults(&(propstreet + &sources)), @"
        p.toml:1:10: ledger: is a text
            fix: write a section
        p.toml:4:23: propstreet.requests_per_minute: is a text
            fix: write a whole number
        p.toml:5:12: propstreet.base_url: is a whole number
            fix: write a text in quotes
        p.toml:10:13: sources.hubspot.namespace: is a list
            fix: write a text in quotes
        p.toml:12:5: sources.x: is a whole number
            fix: write a section
        ");
    }

    #[test]
    fn values_outside_their_list_or_bounds_are_refused() {
        let propstreet = format!("{PROPSTREET}requests_per_minute = 0\nemail_conflict = \"merge\"\n");
        assert_snapshot!(faults(&(propstreet + &HUBSPOT.replace("backfill", "yes"))), @r#"
        p.toml:3:23: propstreet.requests_per_minute: is out of bounds
            fix: write a whole number from 1 to 10000000
        p.toml:4:18: propstreet.email_conflict: `merge` is none of its values
            fix: write "link" or "review" or "without_email"
        p.toml:8:13: sources.hubspot.first_run: `yes` is none of its values
            fix: write "backfill" or "from_now"
        "#);
    }

    #[test]
    fn a_list_of_texts_is_nothing_else() {
        for (value, what) in
            [("\"kundvard\"", "is no list"), ("[1]", "holds something that"), ("[\" \"]", "holds something")]
        {
            let told = faults(&format!("{PROPSTREET}role_addresses = {value}\n{HUBSPOT}"));
            assert!(told.contains(&format!("p.toml:3:18: propstreet.role_addresses: {what}")), "{told}");
        }
    }

    #[test]
    fn what_is_not_built_is_refused_as_such() {
        let rest = r#"
            sweep = "daily"
            namespace_aliases = ["hs"]
            leads = true
            [admin]
            listen = "127.0.0.1:8787"
            token = "x"
            [alerts]
            [sources.sf]
            kind = "salesforce"
            base_url = "https://a.my.salesforce.com"
            first_run = "from_now"
            auth = { kind = "client_credentials", client_id = "k", client_secret = "s" }
        "#;
        assert_snapshot!(faults(&format!("{PROPSTREET}{HUBSPOT}{rest}")), @r#"
        p.toml:8:13: sources.hubspot.sweep: `sweep` is planned but not built into this version
            fix: remove it
        p.toml:9:13: sources.hubspot.namespace_aliases: `namespace_aliases` is planned but not built into this version
            fix: remove it
        p.toml:10:21: sources.hubspot.leads: `leads` is for sources of kind "salesforce" alone
            fix: remove it
        p.toml:12:22: admin.listen: `listen = "127.0.0.1:8787"` is planned but not built into this version
            fix: remove it or set "off"
        p.toml:13:13: admin.token: `token` is planned but not built into this version
            fix: remove it
        p.toml:14:14: alerts: `alerts` is planned but not built into this version
            fix: remove it
        "#);
    }

    #[test]
    fn written_out_defaults_are_accepted() {
        let rest = r#"
            on_change = "ignore"
            on_delete = "keep"
            on_filtered = "keep"
            companies = "off"
            clear_empty = false
            owner = { strategy = "propstreet", tags = "union" }
            guard = 50
            [admin]
            listen = "off"
        "#;
        assert_eq!(faults(&format!("{PROPSTREET}{HUBSPOT}{rest}")), "no fault");
    }

    #[test]
    fn precedence_names_sources() {
        let with = |names: &str| faults(&format!("{PROPSTREET}precedence = {names}\n{HUBSPOT}"));
        assert_eq!(with("[\"hubspot\"]"), "no fault");
        assert_snapshot!(with("[\"hubspt\", \"sap\", \"hubspot\", \"hubspot\"]"), @"
        p.toml:3:14: propstreet.precedence: names `hubspt`, which is no source
            fix: did you mean `hubspot`?
        p.toml:3:14: propstreet.precedence: names `sap`, which is no source
            fix: remove it; the sources are hubspot
        p.toml:3:14: propstreet.precedence: names `hubspot` twice
            fix: keep it where it shall count
        ");
    }

    #[test]
    fn a_source_of_unknown_kind_is_told_that_alone() {
        let keys = "leads = true\non_delete = \"tag\"\nwrite_back = { field = \"Id__c\" }\nbudget_share = 5\n";
        let text = format!("{PROPSTREET}{}{keys}", HUBSPOT.replace("kind = \"hubspot\"", "kind = \"salesfroce\""));
        assert_snapshot!(faults(&text), @r#"
        p.toml:4:8: sources.hubspot.kind: `salesfroce` is none of its values
            fix: write "salesforce" or "hubspot" or "pipedrive"
        "#);
    }

    #[test]
    fn a_credential_never_travels_in_the_clear() {
        let at = |url: &str| faults(&format!("{PROPSTREET}base_url = \"{url}\"\n{HUBSPOT}"));
        assert_eq!(at("http://127.0.0.1:4010"), "no fault");
        assert_snapshot!(at("http://app.propstreet.com"), @"
        p.toml:3:12: propstreet.base_url: would send the credential unencrypted: http:// is for loopback hosts only
            fix: write https://, or 127.0.0.1 for the sandbox
        ");
        assert_snapshot!(at("https://user:pass@app.propstreet.com"), @"
        p.toml:3:12: propstreet.base_url: holds a user or password
            fix: remove them; credentials belong into `auth`
        ");
        assert_snapshot!(at("app.propstreet.com"), @"
        p.toml:3:12: propstreet.base_url: is not a URL
            fix: write https://HOST
        ");
    }

    #[test]
    fn two_sources_may_not_share_a_namespace() {
        let other = HUBSPOT.replace("sources.hubspot", "sources.other");
        let text = format!("{PROPSTREET}{HUBSPOT}namespace = \"CRM\"\n{other}namespace = \"crm\"\n");
        assert_snapshot!(faults(&text), @"
        p.toml:12:13: sources.other.namespace: the namespace `crm` belongs to [sources.hubspot] already
            fix: give each source a namespace of its own; Propstreet compares them without case
        ");
        assert_snapshot!(faults(&format!("{PROPSTREET}{HUBSPOT}namespace = \"{}\"\n", "x".repeat(51))), @"
        p.toml:7:13: sources.hubspot.namespace: is longer than 50 characters
            fix: shorten it
        ");
    }

    #[test]
    fn missing_keys_are_all_named() {
        assert_snapshot!(faults(""), @"
        p.toml: propstreet: is missing
            fix: add [propstreet] with auth
        p.toml: sources: is missing
            fix: add [sources.NAME] with kind, auth and first_run
        ");
        let text = r#"
            [propstreet]
            [sources.HubSpot]
            [sources.sf]
            kind = "salesforce"
            auth = { kind = "client_credentials" }
        "#;
        assert_snapshot!(faults(text), @r#"
        p.toml:2:14: propstreet.auth: is missing
            fix: add auth = { kind = "client_credentials", client_id = …, client_secret = … }
        p.toml:3:22: sources.HubSpot: the name of a source is lower-case words joined by single underscores
            fix: rename it, for example [sources.hubspot_se]
        p.toml:3:22: sources.HubSpot.auth: is missing
            fix: add auth = { kind = … } as config/example.toml shows for this CRM
        p.toml:3:22: sources.HubSpot.first_run: is missing
            fix: choose first_run = "backfill" (send everyone) or "from_now" (only what changes from now on)
        p.toml:3:22: sources.HubSpot.kind: is missing
            fix: add kind = "salesforce" or "hubspot" or "pipedrive"
        p.toml:4:22: sources.sf.base_url: is missing
            fix: add base_url = "https://YOUR-DOMAIN.my.salesforce.com"
        p.toml:4:22: sources.sf.first_run: is missing
            fix: choose first_run = "backfill" (send everyone) or "from_now" (only what changes from now on)
        p.toml:6:13: sources.sf.auth.client_id: is missing
            fix: add the client's id
        p.toml:6:13: sources.sf.auth.client_secret: is missing
            fix: add client_secret = { file = "PATH" } or { env = "NAME" }
        "#);
    }

    #[test]
    fn several_faults_come_in_the_order_of_the_file() {
        let text = r#"
            [propstreet]
            base_url = "http://x.example"
            auth = { kind = "tokn", token = "t" }
            [sources.pd]
            kind = "pipedrive"
            auth = { kind = "api_token", token = { env = "ABSENT" } }
        "#;
        assert_snapshot!(faults(text), @r#"
        p.toml:3:24: propstreet.base_url: would send the credential unencrypted: http:// is for loopback hosts only
            fix: write https://, or 127.0.0.1 for the sandbox
        p.toml:4:29: propstreet.auth.kind: `tokn` is none of its values
            fix: write "token" or "client_credentials"
        p.toml:5:22: sources.pd.first_run: is missing
            fix: choose first_run = "backfill" (send everyone) or "from_now" (only what changes from now on)
        p.toml:7:58: sources.pd.auth.token.env: names a variable that is not set
            fix: set it for the process that runs propsync, or use { file = "PATH" }
        "#);
    }

    #[test]
    fn secrets_come_from_guarded_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str, mode: u32| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
            path.display().to_string()
        };
        let read = |reference: &str| {
            let text = format!("[propstreet]\nauth = {{ kind = \"token\", token = {reference} }}\n{HUBSPOT}");
            let credentials = folder.path().display().to_string();
            parsed(&text, &[("CREDENTIALS_DIRECTORY", &credentials)])
                .map(|config| match config.propstreet.auth {
                    Auth::Token { token } => token.expose_secret().to_owned(),
                    Auth::ClientCredentials { .. } => "another kind".to_owned(),
                })
                .map_err(|problems| problems.to_string().replace(&credentials, "DIR"))
                .unwrap_or_else(|fault| fault)
        };
        let named = |path: &str| read(&format!("{{ file = \"{path}\" }}"));
        assert_eq!(named(&file("good", "s3cret\n", 0o600)), "s3cret");
        assert_eq!(named(&file("windows", "s3cret\r\n", 0o400)), "s3cret");
        file("systemd", "s3cret", 0o440);
        assert_eq!(read("{ credential = \"systemd\" }"), "s3cret", "the folder is systemd's to guard");
        assert_snapshot!(named(&file("open", "s3cret\n", 0o640)), @"
        p.toml:2:43: propstreet.auth.token.file: the file DIR/open can be read by others (mode 0640)
            fix: chmod 600 DIR/open (in a container: mount the secret with mode 0400)
        ");
        assert_snapshot!(named(&file("two", "s3cret\nmore\n", 0o600)), @"
        p.toml:2:43: propstreet.auth.token.file: the secret has blanks around it or a line break inside
            fix: write the secret alone, on one line
        ");
        assert_snapshot!(named(&file("none", "\n", 0o600)), @"
        p.toml:2:43: propstreet.auth.token.file: the secret is empty
            fix: write the secret
        ");
        assert_snapshot!(named(&folder.path().join("absent").display().to_string()), @"
        p.toml:2:43: propstreet.auth.token.file: the file DIR/absent does not exist
            fix: create it with the secret as its only line, mode 0600
        ");
        assert_snapshot!(read("{ credential = \"../open\" }"), @"
        p.toml:2:49: propstreet.auth.token.credential: is not the name of a credential
            fix: write a name without slashes
        ");
        assert_snapshot!(read("{ env = \"A\", file = \"B\" }"), @r#"
        p.toml:2:26: propstreet.auth.token: does not say where the secret is
            fix: write one of { env = "NAME" }, { file = "PATH" }, { credential = "NAME" }, or a text
        "#);
        assert_snapshot!(read("{ fil = \"B\" }"), @r#"
        p.toml:2:26: propstreet.auth.token: does not say where the secret is
            fix: write one of { env = "NAME" }, { file = "PATH" }, { credential = "NAME" }, or a text
        p.toml:2:36: propstreet.auth.token.fil: unknown key
            fix: did you mean `file`?
        "#);
    }

    #[test]
    fn debug_hides_secrets() {
        let text = format!("{PROPSTREET}{HUBSPOT}").replace("token = \"t\"", "token = \"hunter2\"");
        let config = parsed(&text, &[]).expect("a correct file");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn rules_are_compiled_and_keep_the_case_of_their_fields() {
        let rules = "[sources.hubspot.map]\nphone = { from = [\"MobilePhone\", \"Other\"], as = \"e164\" }\n";
        let config = parsed(&format!("{PROPSTREET}{HUBSPOT}region = \"SE\"\n{rules}"), &[]).expect("a correct file");
        assert!(config.sources[0].mapper.fields().contains("MobilePhone"));
    }

    #[test]
    fn faults_of_rules_have_their_line() {
        let rules = r#"
            region = "SWE"
            [sources.hubspot.map]
            fone = { from = "Phone" }
            phone = "Phone"
            email = { form = "Mail" }
            tags = { expr = "[1" }
        "#;
        assert_snapshot!(faults(&format!("{PROPSTREET}{HUBSPOT}{rules}")), @r#"
        p.toml:8:22: sources.hubspot.region: `SWE` is no region
            fix: write a country of ISO 3166-1 alpha-2, such as "SE" or "GB"
        p.toml:10:20: sources.hubspot.map.fone: a contact has no such field
            fix: use one of first_name, last_name, email, phone, linkedin_url, primary_language, strategy, tags, company, company_id, company_website, company_domain, company_country, job_title
        p.toml:11:21: sources.hubspot.map.phone: a text alone may be a field or a constant: write { from = "FIELD" } or { const = "text" }
            fix: write { from = "FIELD" }, { const = "TEXT" }, { expr = "EXPRESSION" }, or false
        p.toml:12:21: sources.hubspot.map.email: unknown field `form`, expected one of `from`, `as`, `separator`, `region`, `const`, `expr`, `optional`
            fix: write { from = "FIELD" }, { const = "TEXT" }, { expr = "EXPRESSION" }, or false
        p.toml:13:20: sources.hubspot.map.tags: the expression syntax error: unexpected end of input, expected `,`
            fix: correct it; an empty field is undefined and takes a default by `FIELD or 'x'`
        "#);
    }

    const EXAMPLE: &str = include_str!("../../config/example.toml");
    const EXAMPLE_SECRETS: [(&str, &str); 6] = [
        ("PROPSTREET_SECRET", "a"),
        ("SALESFORCE_SECRET", "b"),
        ("HUBSPOT_TOKEN", "c"),
        ("HUBSPOT_APP_SECRET", "d"),
        ("PIPEDRIVE_TOKEN", "e"),
        ("PIPEDRIVE_WEBHOOK_PASSWORD", "f"),
    ];

    #[test]
    fn the_example_is_a_configuration() {
        let config = parsed(EXAMPLE, &EXAMPLE_SECRETS).unwrap_or_else(|problems| panic!("{problems}"));
        let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["hubspot", "pipedrive", "salesforce"]);
    }

    #[test]
    fn the_example_shows_every_key() {
        let (manual, planned) = EXAMPLE.split_once("# Planned").expect("a list of what is planned");
        for key in sources::PLANNED {
            assert!(planned.contains(key), "{key}");
        }
        let built = [
            "base_url",
            "auth",
            "requests_per_minute",
            "email_conflict",
            "role_addresses",
            "path",
            "kind",
            "namespace",
            "first_run",
            "on_change",
            "owner",
            "clear_empty",
            "on_delete",
            "filter",
            "on_filtered",
            "precedence",
            "guard",
            "schedule",
            "timezone",
            "companies",
            "region",
            "leads",
            "person_accounts",
            "bulk_above",
            "rows_per_query",
            "budget_share",
            "write_back",
            "listen",
            "public_url",
            "webhooks",
        ];
        for key in built {
            assert!(manual.contains(&format!("\n{key} = ")), "{key}");
        }
        for word in
            ["jwt_bearer", "username", "private_key", "audience", "refresh_token", "optional = true", "company_domain"]
        {
            assert!(manual.contains(word), "{word}");
        }
    }
}
