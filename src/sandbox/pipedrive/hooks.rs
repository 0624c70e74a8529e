//! Webhooks, version 2.0: who is told of what, and the bodies as they would be sent.
//! Nothing is sent anywhere; it must not know HTTP, nor what a record holds.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use crate::sandbox::pipedrive::fields::{OWNER, time};

/// The company's id.
pub const COMPANY: u64 = 8_123_456;
/// The most webhooks a user has.
pub const MOST: usize = 40;

/// Something that happened to a record.
pub struct Happening {
    /// `create`, `change` or `delete`.
    pub action: &'static str,
    /// `person` or `organization`.
    pub entity: &'static str,
    /// The record.
    pub key: u64,
    /// How the record is now.
    pub data: Json,
    /// How it was; null when it was not there.
    pub previous: Json,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Whether a client of the API did it.
    pub api: bool,
    /// Whether it is one of many edits made at once.
    pub bulk: bool,
    /// What a merge notes: `merged_to_id` or `merged_from_id`, and that id.
    pub merged: Option<(&'static str, u64)>,
}

/// Somebody who asked to be told.
#[derive(Clone, Debug)]
pub struct Hook {
    /// `create`, `change`, `delete` or `*`.
    pub action: String,
    /// `person`, `organization` … or `*`.
    pub object: String,
    /// Where to.
    pub url: String,
    /// What people call it.
    pub name: String,
    /// What the call proves itself with.
    pub user: Option<String>,
    /// What the call proves itself with.
    pub password: Option<String>,
    /// When it was made.
    pub added: DateTime<Utc>,
}

impl Hook {
    /// A webhook for everything, to an address that nobody has.
    pub fn everything(added: DateTime<Utc>) -> Self {
        Self {
            action: "*".to_owned(),
            object: "*".to_owned(),
            url: "https://hooks.example/pipedrive".to_owned(),
            name: "Everything".to_owned(),
            user: None,
            password: None,
            added,
        }
    }

    fn wants(&self, action: &str, entity: &str) -> bool {
        [(&self.action, action), (&self.object, entity)].iter().all(|(asked, said)| *asked == "*" || asked == said)
    }

    fn told(&self, id: u64) -> Json {
        json!({
            "id": id, "company_id": COMPANY, "owner_id": OWNER, "user_id": OWNER, "event_action": self.action,
            "event_object": self.object, "subscription_url": self.url, "name": self.name, "version": "2.0",
            "is_active": 1, "add_time": time(self.added), "remove_time": null, "type": "general",
            "http_auth_user": self.user, "http_auth_password": self.password.as_ref().map(|_| "***"),
            "remove_reason": null, "last_delivery_time": null, "last_http_status": null, "admin_id": OWNER,
        })
    }
}

/// All webhooks and everything that was sent to them.
#[derive(Debug)]
pub struct Hooks {
    hooks: BTreeMap<u64, Hook>,
    sent: Vec<String>,
    /// How often each event is sent: more than once, as if the first answers had been bad.
    pub attempts: u32,
    made: u64,
    happened: u64,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { hooks: BTreeMap::new(), sent: Vec::new(), attempts: 1, made: 0, happened: 0 }
    }
}

impl Hooks {
    /// Whether anybody asked to be told of anything.
    pub fn listen(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.hooks.len()
    }

    /// Adds one; answers its id.
    pub fn add(&mut self, hook: Hook) -> u64 {
        self.made += 1;
        self.hooks.insert(self.made, hook);
        self.made
    }

    /// Takes one away. `false` when there is no such webhook.
    pub fn remove(&mut self, id: u64) -> bool {
        self.hooks.remove(&id).is_some()
    }

    /// One of them as JSON.
    pub fn one(&self, id: u64) -> Option<Json> {
        self.hooks.get(&id).map(|hook| hook.told(id))
    }

    /// All of them as JSON.
    pub fn all(&self) -> Vec<Json> {
        self.hooks.iter().map(|(id, hook)| hook.told(*id)).collect()
    }

    /// The bodies sent so far, oldest first.
    pub fn sent(&self) -> &[String] {
        &self.sent
    }

    /// The same, and forgets them.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent)
    }

    /// Sends an event to whoever asked for it.
    pub fn tell(&mut self, happening: &Happening) {
        self.happened += 1;
        let id = identifier(&format!("event {}", self.happened));
        let (data, previous) = match happening.action {
            "create" => (happening.data.clone(), Json::Null),
            "delete" => (Json::Null, happening.previous.clone()),
            _ => (happening.data.clone(), changed(&happening.previous, &happening.data)),
        };
        for (hook, asked) in &self.hooks {
            if !asked.wants(happening.action, happening.entity) {
                continue;
            }
            // A retry is the same event with a higher number.
            for attempt in 1..=self.attempts {
                let meta = meta(happening, *hook, &id, attempt);
                self.sent.push(json!({"meta": meta, "data": data, "previous": previous}).to_string());
            }
        }
    }
}

/// Ids are text here, though they are numbers in the data.
fn meta(happening: &Happening, hook: u64, id: &str, attempt: u32) -> Json {
    // The two events of a merge are one act.
    let act = happening.merged.map_or_else(
        || format!("act {id}"),
        |(_, other)| format!("merge {} {}", other.min(happening.key), other.max(happening.key)),
    );
    let mut meta = json!({
        "action": happening.action, "entity": happening.entity, "entity_id": happening.key.to_string(), "id": id,
        "correlation_id": identifier(&act), "company_id": COMPANY.to_string(),
        "user_id": OWNER.to_string(), "timestamp": happening.at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        "version": "2.0", "type": "general", "webhook_id": hook.to_string(), "webhook_owner_id": OWNER.to_string(),
        "change_source": if happening.api { "api" } else { "app" }, "attempt": attempt,
        "is_bulk_edit": happening.bulk, "host": "sandbox.pipedrive.com", "permitted_user_ids": [OWNER.to_string()],
    });
    if let Some((name, other)) = happening.merged {
        meta[name] = other.to_string().into();
    }
    meta
}

/// The old values of what changed, and of nothing else; custom fields one by one.
fn changed(previous: &Json, data: &Json) -> Json {
    let (Some(before), Some(after)) = (previous.as_object(), data.as_object()) else { return Json::Null };
    let mut old = Map::new();
    for (name, value) in before.iter().filter(|(name, value)| after.get(*name) != Some(*value)) {
        let inner = match (name.as_str(), after.get(name)) {
            ("custom_fields", Some(now)) if value.is_object() && now.is_object() => {
                // A field that was not set before was null.
                let unset = now.as_object().into_iter().flatten().filter(|(code, _)| value.get(code).is_none());
                let mut inner = changed(value, now);
                unset.for_each(|(code, _)| inner[code] = Json::Null);
                inner
            }
            _ => value.clone(),
        };
        old.insert(name.clone(), inner);
    }
    Json::Object(old)
}

fn identifier(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sandbox::pipedrive::bench::{company, employed, get, pass, send};
    use crate::sandbox::pipedrive::fields::PROPSTREET_ID;
    use crate::sandbox::pipedrive::model::Pipedrive;

    fn told(pipedrive: &Pipedrive) -> Vec<Json> {
        pipedrive.take_events().iter().map(|body| serde_json::from_str(body).unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_is_told_as_version_two_tells_it() {
        let pipedrive = company();
        pipedrive.add(&employed());
        assert_eq!(pipedrive.events(), [""; 0], "nobody asked");
        let hook = pipedrive.listen().to_string();
        let id = pipedrive.add(&employed());
        let [created] = told(&pipedrive).try_into().unwrap();
        let meta = &created["meta"];
        assert_eq!(
            (&meta["action"], &meta["entity"], &meta["entity_id"]),
            (&json!("create"), &json!("person"), &json!(id))
        );
        assert_eq!(
            (&meta["company_id"], &meta["user_id"], &meta["webhook_id"]),
            (&json!("8123456"), &json!("7"), &json!(hook))
        );
        assert_eq!(
            (&meta["attempt"], &meta["version"], &meta["change_source"]),
            (&json!(1), &json!("2.0"), &json!("app"))
        );
        assert_eq!((&meta["timestamp"], meta.get("merged_to_id")), (&json!("2026-11-02T09:00:00.000Z"), None));
        assert_eq!((&created["data"]["id"].to_string(), &created["previous"]), (&id, &Json::Null));
        pass(5).await;
        assert!(pipedrive.edit(&id, |person| person.title = Some("CFO".to_owned())));
        let [changed] = told(&pipedrive).try_into().unwrap();
        let names: Vec<&String> = changed["previous"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["job_title", "update_time"]);
        assert_eq!(changed["data"]["job_title"], "CFO");
        let body = json!({"custom_fields": {PROPSTREET_ID: "42"}});
        send(&pipedrive, Method::PATCH, &format!("/api/v2/persons/{id}"), &body).await;
        let [written] = told(&pipedrive).try_into().unwrap();
        assert_eq!(written["meta"]["change_source"], "api");
        pipedrive.set_event_attempts(3);
        assert!(pipedrive.delete(&id));
        let deleted = told(&pipedrive);
        assert_eq!((&deleted[0]["data"], &deleted[0]["previous"]["job_title"]), (&Json::Null, &json!("CFO")));
        let attempts: Vec<_> = deleted.iter().map(|event| (&event["meta"]["attempt"], &event["meta"]["id"])).collect();
        let event = &deleted[0]["meta"]["id"];
        assert_eq!(attempts, [(&json!(1), event), (&json!(2), event), (&json!(3), event)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_merge_is_two_events_that_name_each_other() {
        let pipedrive = company();
        let [gone, survivor] = [0, 1].map(|_| pipedrive.add(&employed()));
        pipedrive.listen();
        assert!(pipedrive.merge(&gone, &survivor));
        let [deleted, changed] = told(&pipedrive).try_into().unwrap();
        assert_eq!(
            (&deleted["meta"]["action"], &deleted["meta"]["merged_to_id"]),
            (&json!("delete"), &json!(survivor))
        );
        assert_eq!((&changed["meta"]["action"], &changed["meta"]["merged_from_id"]), (&json!("change"), &json!(gone)));
        assert_eq!(deleted["meta"]["correlation_id"], changed["meta"]["correlation_id"]);
        assert_eq!((deleted["meta"].get("merged_from_id"), changed["meta"].get("merged_to_id")), (None, None));
        assert_eq!(changed["data"]["id"].to_string(), survivor);
    }

    #[tokio::test(start_paused = true)]
    async fn webhooks_are_made_for_ten_tokens_and_taken_away_for_six() {
        let pipedrive = company();
        let hook = json!({"subscription_url": "https://x.example/h", "event_action": "delete", "event_object": "person",
                          "name": "Bell", "version": "2.0", "http_auth_user": "u", "http_auth_password": "secret"});
        for name in ["name", "subscription_url", "event_action", "event_object"] {
            let mut lacking = hook.clone();
            lacking.as_object_mut().unwrap().remove(name);
            let (status, body) = send(&pipedrive, Method::POST, "/v1/webhooks", &lacking).await;
            assert_eq!(
                (status, &body["status"], body["errors"][name].is_array()),
                (400, &json!("error"), true),
                "{name}"
            );
        }
        for (name, value) in [("version", "1.0"), ("event_action", "added"), ("subscription_url", "http://x.example")] {
            let mut wrong = hook.clone();
            wrong[name] = value.into();
            assert_eq!(send(&pipedrive, Method::POST, "/v1/webhooks", &wrong).await.0, 400, "{name}");
        }
        let spent = pipedrive.tokens_spent();
        let (status, body) = send(&pipedrive, Method::POST, "/v1/webhooks", &hook).await;
        assert_eq!((status, pipedrive.tokens_spent() - spent), (201, 10));
        let id = body["data"]["id"].as_u64().unwrap();
        let (_, all) = get(&pipedrive, "/v1/webhooks").await;
        assert_eq!((&all["status"], &body["status"]), (&json!("ok"), &json!("ok")));
        assert_eq!((&all["data"][0]["event_object"], all.to_string().contains("secret")), (&json!("person"), false));
        let person = pipedrive.add(&employed());
        assert!(pipedrive.bump(&person) && pipedrive.delete(&person));
        let [deleted] = told(&pipedrive).try_into().unwrap();
        assert_eq!(deleted["meta"]["action"], "delete", "nothing else was asked for");
        let path = format!("/v1/webhooks/{id}");
        let spent = pipedrive.tokens_spent();
        let gone = send(&pipedrive, Method::DELETE, &path, &Json::Null).await;
        assert_eq!(gone, (200, json!({"status": "ok", "success": true})));
        assert_eq!(pipedrive.tokens_spent() - spent, 6);
        let (status, again) = send(&pipedrive, Method::DELETE, &path, &Json::Null).await;
        assert_eq!((status, &again["errors"]), (404, &json!({"id": ["not found"]})));
        for _ in 0..MOST {
            send(&pipedrive, Method::POST, "/v1/webhooks", &hook).await;
        }
        assert_eq!(send(&pipedrive, Method::POST, "/v1/webhooks", &hook).await.0, 422);
    }
}
