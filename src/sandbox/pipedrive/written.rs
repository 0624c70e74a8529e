//! What a PATCH makes of the fields that the model knows by their meaning.
//! It must not know HTTP.

use serde_json::Value as Json;

use crate::sandbox::people::Phone;
use crate::sandbox::pipedrive::fields::{DOMAIN, LANGUAGE, LANGUAGES, LINKEDIN, STRATEGY};
use crate::sandbox::pipedrive::organization::Organization;
use crate::sandbox::pipedrive::person::Contact;
use crate::sandbox::pipedrive::writing::Writable;

impl Writable for Contact {
    fn write(&mut self, name: &str, value: &Json) -> Option<Result<(), String>> {
        match name {
            "name" => {
                let Some(name) = value.as_str().map(str::trim).filter(|name| !name.is_empty()) else {
                    return Some(Err("name: must be a string that is not empty".to_owned()));
                };
                // Split at the first blank, as recorded.
                let (first, last) = name.split_once(' ').unwrap_or((name, ""));
                (self.person.first, self.person.last) = (first.to_owned(), last.to_owned());
            }
            "job_title" if value.is_null() || value.is_string() => self.person.title = text(value),
            "emails" => match entries(name, value) {
                Err(wrong) => return Some(Err(wrong)),
                Ok(mut all) => {
                    self.person.email = (!all.is_empty()).then(|| all.remove(0).1);
                    self.emails = all;
                }
            },
            "phones" => match entries(name, value) {
                Err(wrong) => return Some(Err(wrong)),
                Ok(mut all) => {
                    let first = (!all.is_empty()).then(|| all.remove(0).1);
                    self.person.phone = first.map(|typed| Phone::new(&typed, ""));
                    self.person.mobile = None;
                    self.phones = all;
                }
            },
            _ => return None,
        }
        Some(Ok(()))
    }

    fn write_custom(&mut self, code: &str, value: &Json) -> bool {
        match code {
            LANGUAGE => {
                let place = value.as_u64().and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
                let known = place.and_then(|place| LANGUAGES.get(place));
                self.person.language = known.map(|language| (*language).to_owned());
                known.is_some()
            }
            LINKEDIN => {
                self.person.linkedin = text(value);
                true
            }
            STRATEGY => {
                self.person.strategy = text(value);
                true
            }
            _ => false,
        }
    }
}

impl Writable for Organization {
    fn write(&mut self, name: &str, value: &Json) -> Option<Result<(), String>> {
        if name != "name" {
            return None;
        }
        let Some(name) = value.as_str().filter(|name| !name.is_empty()) else {
            return Some(Err("name: must be a string that is not empty".to_owned()));
        };
        name.clone_into(&mut self.company.name);
        Some(Ok(()))
    }

    fn write_custom(&mut self, code: &str, value: &Json) -> bool {
        if code == DOMAIN {
            self.company.domain = text(value).unwrap_or_default();
        }
        code == DOMAIN
    }
}

fn text(value: &Json) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Label and value of each entry, the primary one first: the flagged one, else the first.
fn entries(name: &str, value: &Json) -> Result<Vec<(String, String)>, String> {
    let entry = |entry: &Json| {
        let value = entry["value"].as_str()?;
        let label = entry["label"].as_str().unwrap_or("work");
        Some((entry["primary"] == true, (label.to_owned(), value.to_owned())))
    };
    let all = value.as_array().and_then(|all| all.iter().map(entry).collect::<Option<Vec<_>>>());
    let mut all = all.ok_or_else(|| format!("{name}: must be a list of objects with a value"))?;
    if all.iter().filter(|(primary, _)| *primary).count() > 1 {
        return Err(format!("{name}: at most one can be primary"));
    }
    all.sort_by_key(|(primary, _)| !primary);
    Ok(all.into_iter().map(|(_, entry)| entry).collect())
}
