//! Reads the bodies of contact writes, field by field, and refuses what the pages refuse: unknown fields, wrong types,
//! lengths and forms. Knows no state; uniqueness is the model's.
//! <https://docs.propstreet.com/api-reference/tag/contacts/post/api/v1/network/contacts>

use serde_json::{Map, Value};

use crate::sandbox::propstreet::contact::{ExternalRef, Labelled};
use crate::sandbox::propstreet::knobs::{Arrays, Knobs};
use crate::sandbox::propstreet::limits::{Limits, is_country, is_email, is_language, is_linkedin, length};
use crate::sandbox::propstreet::phone::e164;
use crate::sandbox::propstreet::problem::{FieldErrors, Problem};

/// A field of a body: `None` absent, `Some(None)` null, else its value.
pub(super) type Field<T> = Option<Option<T>>;

/// Present is written, absent kept, null cleared.
pub(super) fn set<T: Clone>(old: &mut Option<T>, field: &Field<T>) {
    if let Some(new) = field {
        old.clone_from(new);
    }
}

/// The same for a list, in which what is sent replaces what is there or joins it.
pub(super) fn set_array<T: Clone>(
    old: &mut Vec<T>,
    field: &Field<Vec<T>>,
    arrays: Arrays,
    same: impl Fn(&T, &T) -> bool,
) {
    match (field, arrays) {
        (None, _) => {}
        (Some(None), _) => old.clear(),
        (Some(Some(sent)), Arrays::Replace) => old.clone_from(sent),
        (Some(Some(sent)), Arrays::Merge) => {
            for item in sent {
                if !old.iter().any(|known| same(known, item)) {
                    old.push(item.clone());
                }
            }
        }
    }
}

/// Which body is being read: the three pages differ in fields and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// `POST /contacts`.
    Create,
    /// `PATCH /contacts/{id}`.
    Update,
    /// `PATCH /contacts/external/{namespace}/{id}`.
    Upsert,
}

/// An employment as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connection {
    /// Of a company that is there already.
    pub(super) company: u64,
    /// Name and country of a company to be founded first.
    pub(super) founding: Option<(String, Option<String>)>,
    pub(super) job_title: Option<String>,
    pub(super) primary: bool,
}

/// What a body asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) first_name: Field<String>,
    pub(super) last_name: Field<String>,
    pub(super) email: Field<String>,
    pub(super) emails: Field<Vec<Labelled>>,
    pub(super) phone: Field<String>,
    pub(super) phones: Field<Vec<Labelled>>,
    pub(super) linkedin_url: Field<String>,
    pub(super) primary_language: Field<String>,
    pub(super) strategy: Field<String>,
    pub(super) tags: Field<Vec<String>>,
    pub(super) refs: Field<Vec<ExternalRef>>,
    pub(super) connections: Field<Vec<Connection>>,
    pub(super) blocked: Field<bool>,
}

impl Change {
    /// What is left out becomes null, but for what no upsert can send.
    fn clear_absent(&mut self) {
        fn null<T>(field: &mut Field<T>) {
            field.get_or_insert(None);
        }
        null(&mut self.first_name);
        null(&mut self.last_name);
        null(&mut self.primary_language);
        null(&mut self.strategy);
        null(&mut self.tags);
        null(&mut self.connections);
        // One of the two forms of addresses and numbers is enough, and sets the other.
        if self.emails.is_none() {
            null(&mut self.email);
        }
        if self.phones.is_none() {
            null(&mut self.phone);
        }
    }

    /// What is null counts as left out.
    fn ignore_null(&mut self) {
        fn keep<T>(field: &mut Field<T>) {
            if matches!(field, Some(None)) {
                *field = None;
            }
        }
        keep(&mut self.first_name);
        keep(&mut self.last_name);
        keep(&mut self.email);
        keep(&mut self.emails);
        keep(&mut self.phone);
        keep(&mut self.phones);
        keep(&mut self.primary_language);
        keep(&mut self.strategy);
        keep(&mut self.tags);
        keep(&mut self.connections);
    }
}

/// Reads one body.
pub(super) fn read(verb: Verb, body: Map<String, Value>, knobs: &Knobs) -> Result<Change, Problem> {
    let upsert = verb == Verb::Upsert;
    let limits = Limits::of(knobs.lengths);
    let (name_limit, email_limit, phone_limit) = if upsert {
        (limits.upsert_name, limits.upsert_email, limits.upsert_phone)
    } else {
        (limits.name, limits.email, limits.phone)
    };
    let phone = |phone| if knobs.phones_as_sent && !upsert { phone } else { normalised(phone) };
    let mut reader = Reader::new(body);
    let mut change = Change {
        first_name: reader.name("firstName", name_limit),
        last_name: reader.name("lastName", name_limit),
        email: reader.text("email", email_limit, is_email),
        phone: reader.text("phone", phone_limit, |_| true).map(|sent| sent.map(phone)),
        primary_language: reader.text("primaryLanguage", 10, is_language),
        strategy: reader.text("strategy", 4000, |_| true),
        tags: reader.tags(limits.tags),
        connections: reader.connections(knobs.connections_found_companies),
        ..Change::default()
    };
    if upsert {
        change.emails = reader.labelled("emails", "address", email_limit, &["work", "personal", "other"], is_email);
        change.phones =
            reader.labelled("phones", "number", limits.upsert_number, &["mobile", "work", "home", "other"], |_| true);
        if knobs.upsert_ignores_null {
            change.ignore_null();
        }
        if knobs.upsert_clears_absent {
            change.clear_absent();
        }
    } else {
        change.linkedin_url = reader.text("linkedInUrl", 500, |url| is_linkedin(url, "in"));
        change.refs = reader.refs();
    }
    if verb == Verb::Update {
        change.blocked = reader.flag("blocked");
    }
    reader.finish()?;
    Ok(change)
}

/// "To E.164 where possible; unparseable ones are stored unchanged."
fn normalised(phone: String) -> String {
    e164(&phone).unwrap_or(phone)
}

/// Takes fields out of a body and collects what is wrong; what is left at the end is unknown.
pub(super) struct Reader {
    body: Map<String, Value>,
    errors: FieldErrors,
}

impl Reader {
    pub(super) fn new(body: Map<String, Value>) -> Self {
        Self { body, errors: FieldErrors::new() }
    }

    pub(super) fn fail(&mut self, field: &str, message: &str) {
        self.errors.entry(field.to_owned()).or_default().push(message.to_owned());
    }

    pub(super) fn finish(mut self) -> Result<(), Problem> {
        for unknown in std::mem::take(&mut self.body).keys() {
            self.fail(unknown, "is not a field of this request");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    fn field<T>(&mut self, field: &str, message: &str, read: impl FnOnce(&Value) -> Option<T>) -> Field<T> {
        match self.body.remove(field)? {
            Value::Null => Some(None),
            value => {
                let read = read(&value);
                if read.is_none() {
                    self.fail(field, message);
                }
                read.map(Some)
            }
        }
    }

    pub(super) fn text(&mut self, field: &str, limit: usize, form: impl Fn(&str) -> bool) -> Field<String> {
        let text = self.field(field, "must be a string", |value| value.as_str().map(str::to_owned))?;
        if let Some(text) = &text {
            if length(text) > limit {
                self.fail(field, &format!("must be at most {limit} characters"));
            } else if !form(text) {
                self.fail(field, "is not valid");
            }
        }
        Some(text)
    }

    /// A name of nothing but blanks is no name.
    fn name(&mut self, field: &str, limit: usize) -> Field<String> {
        self.text(field, limit, |_| true).map(|name| name.filter(|name| !name.trim().is_empty()))
    }

    pub(super) fn flag(&mut self, field: &str) -> Field<bool> {
        self.field(field, "must be a boolean", Value::as_bool)
    }

    /// A required id of another resource.
    pub(super) fn id(&mut self, field: &str) -> Option<u64> {
        let id = self.field(field, "must be an id", read_id).flatten();
        if id.is_none() {
            self.fail(field, "is required");
        }
        id
    }

    pub(super) fn tags(&mut self, limit: usize) -> Field<Vec<String>> {
        let strings = |value: &Value| {
            value.as_array()?.iter().map(|tag| tag.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        };
        let tags = self.field("tags", "must be an array of strings", strings)?;
        if tags.as_ref().is_some_and(|tags| tags.len() > limit) {
            self.fail("tags", &format!("must hold at most {limit} tags"));
        }
        Some(tags)
    }

    pub(super) fn refs(&mut self) -> Field<Vec<ExternalRef>> {
        let message = "must be an array of {namespace (1-50), id (1-255)}, without repeats";
        let refs = self.field("externalRefs", message, |value| {
            let refs = value.as_array()?.iter().map(read_ref).collect::<Option<Vec<_>>>()?;
            let mut keys: Vec<_> = refs.iter().map(ExternalRef::key).collect();
            keys.sort_unstable();
            keys.dedup();
            (keys.len() == refs.len()).then_some(refs)
        })?;
        if refs.as_ref().is_some_and(|refs| refs.len() > 50) {
            self.fail("externalRefs", "must hold at most 50 references");
        }
        Some(refs)
    }

    fn connections(&mut self, founding: bool) -> Field<Vec<Connection>> {
        let message = "must be an array of {company: {kind: \"existing\", id}, jobTitle?, primary}";
        let list = self.field("connections", message, |value| {
            value.as_array()?.iter().map(|one| read_connection(one, founding)).collect()
        })?;
        if list.as_ref().is_some_and(|l: &Vec<_>| !l.is_empty() && l.iter().filter(|c| c.primary).count() != 1) {
            self.fail("connections", "exactly one connection must be primary");
        }
        Some(list)
    }

    fn labelled(
        &mut self,
        field: &str,
        name: &str,
        limit: usize,
        kinds: &[&str],
        form: impl Fn(&str) -> bool,
    ) -> Field<Vec<Labelled>> {
        let message = format!("must be an array of {{{name}, type}} in the documented form");
        self.field(field, &message, |value| {
            let one = |item: &Value| {
                let item = item.as_object()?;
                let value = item.get(name)?.as_str().filter(|value| length(value) <= limit && form(value))?;
                let kind = item.get("type")?.as_str().filter(|kind| kinds.contains(kind))?;
                let value = if name == "number" { normalised(value.to_owned()) } else { value.to_owned() };
                (item.len() == 2).then(|| Labelled { value, kind: kind.to_owned() })
            };
            value.as_array()?.iter().map(one).collect()
        })
    }
}

fn read_ref(value: &Value) -> Option<ExternalRef> {
    let object = value.as_object().filter(|object| object.len() == 2)?;
    let text =
        |name: &str, limit: usize| object.get(name)?.as_str().filter(|text| !text.is_empty() && length(text) <= limit);
    Some(ExternalRef::new(text("namespace", 50)?, text("id", 255)?))
}

fn read_connection(value: &Value, founding: bool) -> Option<Connection> {
    let known = |object: &Map<String, Value>, names: &[&str]| object.keys().all(|key| names.contains(&key.as_str()));
    let object = value.as_object().filter(|o| known(o, &["company", "jobTitle", "primary"]))?;
    let company = object.get("company")?.as_object()?;
    let (company, founding) = match company.get("kind")?.as_str()? {
        "existing" if known(company, &["kind", "id"]) => (read_id(company.get("id")?)?, None),
        "new" if founding && known(company, &["kind", "name", "countryCode"]) => {
            let country = company.get("countryCode").filter(|country| !country.is_null());
            let country = country.map(|country| country.as_str().filter(|code| is_country(code)).ok_or(()));
            let name = company.get("name")?.as_str().filter(|name| !name.trim().is_empty() && length(name) <= 255)?;
            (0, Some((name.to_owned(), country.transpose().ok()?.map(str::to_owned))))
        }
        _ => return None,
    };
    let job_title = match object.get("jobTitle") {
        None | Some(Value::Null) => None,
        Some(title) => Some(title.as_str().filter(|title| length(title) <= 255)?.to_owned()),
    };
    Some(Connection { company, founding, job_title, primary: object.get("primary")?.as_bool()? })
}

/// An id as text or number: what the knob shows must be accepted back.
fn read_id(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn failing_fields(verb: Verb, body: Value) -> Vec<String> {
        let Value::Object(body) = body else { panic!("not an object") };
        let Err(problem) = read(verb, body, &Knobs::default()) else { return Vec::new() };
        let bytes = to_bytes(problem.rendered("/").into_body(), usize::MAX).await.unwrap();
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        problem["errors"].as_object().unwrap().keys().cloned().collect()
    }

    #[tokio::test]
    async fn each_page_refuses_what_it_does_not_list() {
        let many = |n| (0..n).map(|i| json!(format!("t{i}"))).collect::<Value>();
        let refs = |n: u32| (0..n).map(|i| json!({"namespace": "n", "id": i.to_string()})).collect::<Value>();
        let cases = [
            (Verb::Create, json!({"firstName": "a".repeat(255), "tags": many(100), "externalRefs": refs(50)}), vec![]),
            (Verb::Create, json!({"firstName": "a".repeat(256)}), vec!["firstName"]),
            (Verb::Create, json!({"lastName": "😀".repeat(128)}), vec!["lastName"]),
            (Verb::Create, json!({"tags": many(101), "externalRefs": refs(51)}), vec!["externalRefs", "tags"]),
            (Verb::Create, json!({"email": "no at", "phone": "1".repeat(51)}), vec!["email", "phone"]),
            (Verb::Create, json!({"emails": [], "title": "x"}), vec!["emails", "title"]),
            (Verb::Create, json!({"blocked": true}), vec!["blocked"]),
            (
                Verb::Create,
                json!({"strategy": "x".repeat(4001), "primaryLanguage": "sv-SE"}),
                vec!["primaryLanguage", "strategy"],
            ),
            (Verb::Create, json!({"externalRefs": [{"source": "a", "externalId": "b"}]}), vec!["externalRefs"]),
            (
                Verb::Create,
                json!({"externalRefs": [{"namespace": "A", "id": "1"}, {"namespace": "a", "id": "1"}]}),
                vec!["externalRefs"],
            ),
            (
                Verb::Create,
                json!({"connections": [{"company": {"kind": "new", "name": "x"}, "primary": true}]}),
                vec!["connections"],
            ),
            (
                Verb::Create,
                json!({"connections": [{"company": {"kind": "existing", "id": "1"}, "primary": false}]}),
                vec!["connections"],
            ),
            (
                Verb::Update,
                json!({"blocked": null, "email": null, "linkedInUrl": "https://www.linkedin.com/in/a"}),
                vec![],
            ),
            (Verb::Update, json!({"emails": []}), vec!["emails"]),
            (Verb::Upsert, json!({"firstName": "a".repeat(101), "phone": "1".repeat(21)}), vec!["firstName", "phone"]),
            (Verb::Upsert, json!({"externalRefs": [], "linkedInUrl": null}), vec!["externalRefs", "linkedInUrl"]),
            (Verb::Upsert, json!({"emails": [{"address": "a@x.example", "type": "work"}]}), vec![]),
            (Verb::Upsert, json!({"emails": [{"address": "a@x.example", "type": "home"}]}), vec!["emails"]),
        ];
        for (verb, body, expected) in cases {
            let shown = body.to_string().chars().take(80).collect::<String>();
            assert_eq!(failing_fields(verb, body).await, expected, "{verb:?} {shown}");
        }
    }
}
