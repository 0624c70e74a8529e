//! The fields of one type of record: what the account defines, and what people make of it.
//! It must not know any record.

use serde_json::{Value as Json, json};

/// The built-in fields that only an account with contact sync has.
pub const CONTACT_SYNC: [&str; 5] = ["postal_address", "notes", "im", "birthday", "job_title"];

/// One choice of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// A number in custom fields, text in some built-in ones.
    pub id: Json,
    /// What people see; may be renamed.
    pub label: String,
}

/// One field.
#[derive(Clone, Debug)]
pub struct Field {
    /// 40 hex digits for a custom field, a word for a built-in one.
    pub code: String,
    /// What people see; not unique, and may be renamed.
    pub name: String,
    /// `varchar`, `enum`, `set` …
    pub kind: String,
    /// Whether people of the account made it.
    pub custom: bool,
    /// The choices of an `enum` or `set`.
    pub options: Option<Vec<Choice>>,
}

impl Field {
    /// A field of the account's own.
    pub fn custom(code: &str, name: &str, kind: &str) -> Self {
        let options = matches!(kind, "enum" | "set").then(Vec::new);
        Self { code: code.to_owned(), name: name.to_owned(), kind: kind.to_owned(), custom: true, options }
    }

    /// A field that every account has.
    pub fn built_in(&(code, name, kind): &(&str, &str, &str)) -> Self {
        Self { custom: false, options: None, ..Self::custom(code, name, kind) }
    }

    /// With choices numbered from 1.
    pub fn choosing(self, labels: &[&str]) -> Self {
        let choice = |(place, label): (usize, &&str)| Choice { id: json!(place + 1), label: (*label).to_owned() };
        Self { options: Some(labels.iter().enumerate().map(choice).collect()), ..self }
    }

    /// The label of a choice, written as a number or as text; deleted ones have none.
    pub fn label(&self, id: &Json) -> Option<&str> {
        let same = |choice: &&Choice| digits(&choice.id) == digits(id);
        self.options.iter().flatten().find(same).map(|choice| choice.label.as_str())
    }
}

/// All fields of one type of record.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// Built-in ones first.
    pub fields: Vec<Field>,
    /// Further fields of no use before the custom ones.
    pub further: usize,
    /// Whether the account has contact sync.
    pub contact_sync: bool,
    /// Whether the ids of choices are told as text.
    pub text_ids: bool,
    made: u64,
}

impl Definitions {
    /// These fields.
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields, further: 0, contact_sync: true, text_ids: false, made: 0 }
    }

    /// The field behind a code.
    pub fn find(&self, code: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.code == code && self.exists(field))
    }

    /// The account's own fields.
    pub fn custom(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.custom)
    }

    /// Makes a custom field; answers its code.
    pub fn add(&mut self, name: &str, kind: &str) -> String {
        self.made += 1;
        // How many there were is in the code too, so that the two types of record get different ones.
        let code = format!("{:08x}{:032x}", 0xf1e1_d000 + self.made, self.fields.len() as u64 * 0x9e37_79b9);
        self.fields.push(Field::custom(&code, name, kind));
        code
    }

    /// Deletes a field. `false` when there is no such field.
    pub fn remove(&mut self, code: &str) -> bool {
        let before = self.fields.len();
        self.fields.retain(|field| field.code != code);
        self.fields.len() < before
    }

    /// Changes a field. `false` when there is no such field.
    pub fn change(&mut self, code: &str, change: impl FnOnce(&mut Field)) -> bool {
        let Some(field) = self.fields.iter_mut().find(|field| field.code == code) else { return false };
        change(field);
        true
    }

    /// Every definition as API v2 tells it.
    pub fn tell(&self) -> Vec<Json> {
        let built_in = self.fields.iter().filter(|field| !field.custom && self.exists(field));
        let fillers = (0..self.further)
            .map(|number| Field::custom(&format!("{number:040x}"), &format!("Field {number}"), "varchar"));
        let mut told: Vec<Json> = built_in.map(|field| self.one(field)).collect();
        told.extend(fillers.map(|field| self.one(&field)));
        told.extend(self.custom().map(|field| self.one(field)));
        told
    }

    fn exists(&self, field: &Field) -> bool {
        self.contact_sync || !CONTACT_SYNC.contains(&field.code.as_str())
    }

    fn one(&self, field: &Field) -> Json {
        let choice = |choice: &Choice| {
            let id = if self.text_ids { digits(&choice.id).into() } else { choice.id.clone() };
            json!({"id": id, "label": choice.label, "color": "green"})
        };
        let options: Option<Vec<Json>> = field.options.as_ref().map(|options| options.iter().map(choice).collect());
        json!({
            "field_name": field.name, "field_code": field.code, "field_type": field.kind,
            "is_custom_field": field.custom, "is_optional_response_field": false, "options": options,
            "subfields": null,
        })
    }
}

/// The id of a choice, whichever way it is written.
pub fn digits(id: &Json) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
