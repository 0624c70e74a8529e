//! Whether the company has and allows what the configuration needs: each fault by the name of its field, with what mends
//! it. Asked before every sync: the names of built-in fields are known, and custom ones are looked up every few hours.

use std::time::Duration;

use crate::crm::pipedrive::Pipedrive;
use crate::crm::pipedrive::custom::{self, Lost};
use crate::crm::pipedrive::definitions::{LAST, MOMENT};
use crate::crm::pipedrive::wanted::{Objects, Wants};
use crate::crm::pipedrive::wire::{Field, Fields};
use crate::domain::failure::Trouble;
use crate::domain::finding::{Finding, Weight};
use crate::domain::nearest::nearest;

impl Pipedrive {
    /// Compares the map, and the field to write, with what the company defines. By reads alone: whether the token may
    /// write shows only when it does.
    pub(super) async fn look(&self) -> Result<Vec<Finding>, Trouble> {
        let mut findings = self.compare(LAST).await?;
        let is_fault = |finding: &Finding| finding.weight == Weight::Fault;
        // It may have been mended since it became known.
        if findings.iter().any(is_fault) {
            findings = self.compare(MOMENT).await?;
        }
        findings.extend(self.affordable());
        Ok(findings)
    }

    async fn compare(&self, no_longer: Duration) -> Result<Vec<Finding>, Trouble> {
        let mut findings = Vec::new();
        for wants in [&self.wanted.persons, &self.wanted.organization] {
            findings.extend(wants.misnamed().map(|name| misnamed(wants, name)));
            let write_back = self.write_back.as_deref().filter(|_| wants.of.prefix.is_empty());
            if wants.custom.is_empty() && wants.uncommon().next().is_none() && write_back.is_none() {
                continue;
            }
            let fields = match self.fields(wants.of, no_longer).await {
                Ok(fields) => fields,
                Err(Trouble::Forbidden(words)) => {
                    findings.push(hidden(wants.of, &words));
                    continue;
                }
                Err(trouble) => return Err(trouble),
            };
            findings
                .extend(wants.custom.iter().filter_map(|(written, optional)| read(wants, written, *optional, &fields)));
            findings.extend(wants.uncommon().filter_map(|name| uncommon(wants, name, &fields)));
            findings.extend(write_back.and_then(|written| unwritable(wants, written, &fields)));
        }
        Ok(findings)
    }
}

fn hidden(objects: &Objects, words: &str) -> Finding {
    Finding::fault(
        format!("Pipedrive does not show the fields of {} to this token: {words}", objects.name),
        "give the app the scope contacts:read and authorise it again; with an API token, let its user be an administrator \
         whose permission set has \"use API\"",
    )
}

fn misnamed(wants: &Wants, name: &str) -> Finding {
    let Objects { name: objects, prefix, .. } = wants.of;
    let meant = nearest(name, wants.known()).map(|meant| format!("did you mean {prefix}{meant}? If not, "));
    Finding::fault(
        format!("the map reads {prefix}{name}, which Pipedrive's {objects} do not have"),
        format!(
            "{}correct the map or the filter; a field that somebody made is written {prefix}custom_fields.KEY or {prefix}custom_fields.NAME",
            meant.unwrap_or_default()
        ),
    )
}

/// What is to say about a custom field that the map reads.
fn read(wants: &Wants, written: &str, optional: bool, fields: &Fields) -> Option<Finding> {
    let Objects { name: objects, prefix, .. } = wants.of;
    let mapped = format!("{prefix}custom_fields.{written}");
    match custom::find(written, fields) {
        Ok(place) => written.strip_prefix(place.key).is_none().then(|| by_name(&mapped, place.key)),
        Err(Lost::Ambiguous(keys)) => Some(ambiguous(&format!("the map reads {mapped}"), objects, &keys)),
        Err(Lost::Missing) => {
            let what = format!(
                "the map reads {mapped}, a custom field that {objects} of this Pipedrive company do not have or do not show"
            );
            Some(if optional {
                Finding::note(
                    format!("{what}: it is left out"),
                    "nothing, as the rule is optional; correct the name if it should be read",
                )
            } else {
                let remedy = "correct the map or the filter (the field's menu in Pipedrive has \"Copy API key\"), bring the field \
                              back, or mark the rule `optional = true`";
                Finding::fault(what, format!("{}{remedy}", meant(written, fields)))
            })
        }
    }
}

/// The custom field that was probably meant, as a remedy begins.
fn meant(written: &str, fields: &Fields) -> String {
    let custom = || fields.iter().filter(|(_, field)| field.is_custom);
    let head = written.rsplit_once('.').map_or(written, |(head, _)| head);
    let words = custom().flat_map(|(key, field)| [key.as_str(), field.name.as_str()]);
    let found = nearest(written, words.clone()).or_else(|| nearest(head, words));
    let field = found.and_then(|found| custom().find(|(key, field)| *key == found || field.name == found));
    field.map(|(key, field)| format!("did you mean {} ({key})? If not, ", field.name)).unwrap_or_default()
}

fn ambiguous(what: &str, objects: &str, keys: &[String]) -> Finding {
    Finding::fault(
        format!("{what}, a name that {} custom fields of {objects} have", keys.len()),
        format!("write the key of the one you mean: {}", keys.join(", ")),
    )
}

fn by_name(what: &str, key: &str) -> Finding {
    Finding::note(
        format!("{what} goes by the name of the field, whose key is {key}"),
        "write the key instead, if somebody may rename the field: a new name would stop the source",
    )
}

/// A built-in field that the map cannot do without, and that this account does not have.
fn uncommon(wants: &Wants, name: &str, fields: &Fields) -> Option<Finding> {
    let Objects { name: objects, prefix, where_there, .. } = wants.of;
    let head = name.split('.').next().unwrap_or(name);
    let is_there = fields.contains_key(head)
        || (head.starts_with("im") && (fields.contains_key("im") || fields.contains_key("ims")));
    (!is_there).then(|| {
        Finding::fault(
            format!("the map reads {prefix}{name}, which {objects} have only {where_there}"),
            "switch it on in Pipedrive, map another field, or mark the rule `optional = true`",
        )
    })
}

/// Why the field that shall hold Propstreet's id cannot, or what is odd about it.
fn unwritable(wants: &Wants, written: &str, fields: &Fields) -> Option<Finding> {
    let what = format!("write_back names {written}");
    let place = match custom::find(written, fields) {
        Ok(place) => place,
        Err(Lost::Ambiguous(keys)) => return Some(ambiguous(&what, wants.of.name, &keys)),
        Err(Lost::Missing) => return Some(nowhere(&what, written, fields)),
    };
    let is_read = |written: &&str| custom::find(written, fields).is_ok_and(|read| read.key == place.key);
    if let Some(read) = wants.custom.keys().map(String::as_str).find(is_read) {
        Some(Finding::fault(
            format!(
                "{what}, which the map reads too, as custom_fields.{read}: each id that is written would come back as a change"
            ),
            "map another field, or write to another one",
        ))
    } else if place.part.is_some() || !fields.get(place.key).is_some_and(Field::is_text) {
        Some(Finding::fault(
            format!("{what}, a custom field that does not take any text"),
            format!("name one of the type \"Text\", or make it: {}", make("Propstreet contact id")),
        ))
    } else {
        (place.key != written).then(|| by_name(&what, place.key))
    }
}

fn nowhere(what: &str, written: &str, fields: &Fields) -> Finding {
    let is_pipedrives =
        |(code, field): (&String, &Field)| !field.is_custom && (code == written || custom::is_called(field, written));
    if fields.iter().any(is_pipedrives) {
        return Finding::fault(
            format!("{what}, which is a field of Pipedrive's own"),
            format!("name one of your own, and make it: {}", make("Propstreet contact id")),
        );
    }
    let is_key = written.len() == 40 && written.bytes().all(|b| b.is_ascii_hexdigit());
    Finding::fault(
        format!("{what}, a custom field that persons of this Pipedrive company do not have"),
        format!("{}{}", meant(written, fields), make(if is_key { "Propstreet contact id" } else { written })),
    )
}

/// How the field is made, by hand or by one call.
fn make(name: &str) -> String {
    let body = serde_json::json!({"field_name": name, "field_type": "varchar"});
    format!(
        "in Pipedrive, Settings → Company settings → Data fields → Person → Custom field: name \"{name}\", type \"Text\"; or \
         POST /api/v2/personFields as an administrator (an app needs the scope admin or contact-fields:full) with the body \
         {body}. Then write_back = {{ field = \"KEY\" }}, with the key that the field's menu copies (\"Copy API key\"); \
         propsync's own app needs the scope contacts:full to fill it"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::crm;
    use crate::crm::pipedrive::rig::{custom, list, paths, scripted};
    use crate::crm::script::{Script, answer};
    use crate::http::transport::Response;
    use crate::sync::source::ContactSource as _;

    const KEY: &str = "dcf558aac1ae4e8c4f849ba5e668430d8df9be12";

    fn open(
        fields: &[&str],
        optional: &[&str],
        write_back: Option<&str>,
        answers: impl IntoIterator<Item = Response>,
    ) -> (Arc<Script>, Pipedrive) {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let wanted = crm::Wanted { fields: set(fields), optional: set(optional) };
        let write_back = write_back.map(str::to_owned);
        scripted(wanted, |settings| crm::pipedrive::Settings { write_back, ..settings }, answers)
    }

    fn own(code: &str, name: &str) -> Value {
        json!({"field_code": code, "field_name": name, "field_type": "varchar", "is_custom_field": false})
    }

    fn defined() -> Response {
        list(
            vec![
                own("name", "Name"),
                custom(KEY, "Investor strategy", "varchar"),
                custom("a", "Twin", "varchar"),
                custom("b", "Twin", "varchar"),
                custom("c", "Ticket", "monetary"),
            ],
            None,
        )
    }

    async fn found(pipedrive: &Pipedrive) -> Vec<(Weight, String)> {
        let findings = pipedrive.inspect().await.unwrap();
        findings.into_iter().map(|found| (found.weight, format!("{} | {}", found.what, found.remedy))).collect()
    }

    fn assert_one(found: &[(Weight, String)], weight: Weight, words: &[&str]) {
        let [(was, told)] = found else { panic!("not one: {found:?}") };
        assert_eq!(*was, weight, "{told}");
        assert!(words.iter().all(|words| told.contains(words)), "{words:?}: {told}");
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_pipedrive_gives_are_checked_at_no_cost() {
        let fields = ["name", "email", "labels", "job_title", "org.name"];
        let (script, pipedrive) = open(&fields, &["job_title", "org.name"], None, []);
        assert!(found(&pipedrive).await.is_empty() && script.asked().is_empty());
        for (field, words) in [
            ("nmae", ["the map reads nmae, which Pipedrive's persons do not have", "did you mean name?"]),
            ("org.nmae", ["the map reads org.nmae, which Pipedrive's organizations", "did you mean org.name?"]),
            ("Investor strategy", ["the map reads Investor strategy", "custom_fields.NAME"]),
        ] {
            let (script, pipedrive) = open(&[field], &[field], None, []);
            assert_one(&found(&pipedrive).await, Weight::Fault, &words);
            script.asked();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn custom_fields_are_found_by_key_and_named_where_they_are_not() {
        let twin = "the map reads custom_fields.Twin, a name that 2 custom fields of persons have";
        let nearest = format!("did you mean Investor strategy ({KEY})?");
        let strategy = "custom_fields.Investor strategy";
        for (field, optional, weight, words) in [
            (strategy, false, Weight::Note, vec!["goes by the name", KEY, "rename"]),
            ("custom_fields.Ticket.currency", false, Weight::Note, vec!["whose key is c"]),
            ("custom_fields.Twin", false, Weight::Fault, vec![twin, "write the key of the one you mean: a, b"]),
            ("custom_fields.Twin", true, Weight::Fault, vec![twin]),
            ("custom_fields.Investor stratgy", false, Weight::Fault, vec!["do not have or do not show", &nearest]),
            ("custom_fields.Gone", false, Weight::Fault, vec!["custom_fields.Gone", "`optional = true`"]),
            ("custom_fields.name", false, Weight::Fault, vec!["custom_fields.name, a custom field"]),
            ("custom_fields.Gone", true, Weight::Note, vec!["it is left out"]),
        ] {
            let optional = if optional { vec![field] } else { vec![] };
            let (script, pipedrive) = open(&[field], &optional, None, [defined()]);
            assert_one(&found(&pipedrive).await, weight, &words);
            assert_eq!(paths(&script.asked()), ["/api/v2/personFields"]);
        }
        for field in [KEY, "c.currency", "c"] {
            let (_, pipedrive) = open(&[&format!("custom_fields.{field}")], &[], None, [defined()]);
            assert!(found(&pipedrive).await.is_empty(), "{field}");
        }
        let (script, pipedrive) = open(&["org.custom_fields.Gone"], &[], None, [defined()]);
        assert_one(&found(&pipedrive).await, Weight::Fault, &["org.custom_fields.Gone", "organizations"]);
        assert_eq!(paths(&script.asked()), ["/api/v2/organizationFields"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_some_accounts_have_is_looked_for_if_the_map_needs_it() {
        for (field, definition, there) in [
            ("job_title", "job_title", true),
            ("im", "ims", true),
            ("postal_address.country", "postal_address", true),
            ("birthday", "name", false),
            ("org.website", "name", false),
        ] {
            let (_, pipedrive) = open(&[field], &[], None, [list(vec![own(definition, "x")], None)]);
            let found = found(&pipedrive).await;
            assert_eq!(found.is_empty(), there, "{field}: {found:?}");
            assert!(there || found[0].1.contains("which") && found[0].1.contains("only where"), "{found:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_costs_nothing_for_hours_and_a_fault_is_looked_at_again() {
        let field = format!("custom_fields.{KEY}");
        let (script, pipedrive) = open(&[&field], &[], None, [defined(), defined()]);
        for hours in [0, 1, 4, 2] {
            pipedrive.clock.sleep(Duration::from_secs(hours * 3600)).await;
            assert!(found(&pipedrive).await.is_empty());
        }
        assert_eq!(script.asked().len(), 2);
        let (_, pipedrive) = open(&[&field], &[], None, [list(vec![], None), defined()]);
        assert_eq!(found(&pipedrive).await.len(), 1);
        assert_eq!(found(&pipedrive).await.len(), 1, "but not at once");
        pipedrive.clock.sleep(Duration::from_secs(60)).await;
        assert!(found(&pipedrive).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_scope_is_named_with_where_it_goes() {
        let refused = || answer(403, r#"{"success":false,"error":"Scope and URL mismatch"}"#);
        let (_, pipedrive) = open(&["custom_fields.x"], &[], None, [refused(), refused()]);
        let words = ["does not show the fields of persons", "Scope and URL mismatch", "contacts:read", "use API"];
        assert_one(&found(&pipedrive).await, Weight::Fault, &words);
    }

    #[tokio::test(start_paused = true)]
    async fn the_field_to_write_must_be_our_own_text_and_not_be_read() {
        let body = r#"{"field_name":"Propstreet id","field_type":"varchar"}"#;
        for (write_back, mapped, words) in [
            (
                "Propstreet id",
                None,
                vec!["do not have", "Data fields", "POST /api/v2/personFields", body, "contacts:full"],
            ),
            (&*"f".repeat(40), None, vec!["do not have", r#""field_name":"Propstreet contact id""#]),
            ("Investor stratgy", None, vec!["did you mean Investor strategy"]),
            ("name", None, vec!["a field of Pipedrive's own"]),
            ("Twin", None, vec!["write the key of the one you mean: a, b"]),
            ("Ticket", None, vec!["does not take any text"]),
            ("Ticket.currency", None, vec!["does not take any text"]),
            (KEY, Some("custom_fields.Investor strategy"), vec!["which the map reads too"]),
        ] {
            let (_, pipedrive) = open(mapped.as_slice(), &[], Some(write_back), [defined()]);
            let found: Vec<_> = found(&pipedrive).await.into_iter().filter(|f| f.0 == Weight::Fault).collect();
            assert_one(&found, Weight::Fault, &words);
        }
        let (_, pipedrive) = open(&[], &[], Some("Investor strategy"), [defined()]);
        assert_one(&found(&pipedrive).await, Weight::Note, &["goes by the name"]);
        let (_, pipedrive) = open(&[], &[], Some(KEY), [defined()]);
        assert!(found(&pipedrive).await.is_empty());
    }
}
