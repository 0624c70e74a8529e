//! The paths of Pipedrive's look-alike: what each is counted as, what it costs and which scope an app needs for it.
//! Knows no answer.

use http::Method;

use crate::sandbox::path::segments;

/// The parts of a path; v1 lives under `/v1` and under `/api/v1`, v2 under `/api/v2` alone.
pub fn parts(path: &str) -> Vec<&str> {
    match segments(path).as_slice() {
        ["api", "v1", rest @ ..] => [&["v1"], rest].concat(),
        parts => parts.to_vec(),
    }
}

/// What a path is counted as.
pub fn kind(path: &str) -> &'static str {
    match parts(path).as_slice() {
        ["oauth", ..] => "token",
        ["v1", "users", "me"] => "me",
        ["v1", "users"] => "users",
        ["api", "v2", "persons"] => "persons",
        ["api", "v2", "persons", _] => "person",
        ["api", "v2", "organizations"] => "organizations",
        ["api", "v2", "organizations", _] => "organization",
        ["api", "v2", "personFields" | "organizationFields", ..] | ["v1", "personFields" | "organizationFields"] => {
            "fields"
        }
        ["v1", "persons" | "organizations", _, "merge"] => "merge",
        ["v1", "webhooks", ..] => "webhooks",
        ["v1", "recents"] => "recents",
        _ => "other",
    }
}

/// What a call costs, in tokens: the documented table.
pub fn cost(method: &Method, path: &[&str]) -> u64 {
    match (method.as_str(), path) {
        ("PATCH", ["api", "v2", "persons" | "organizations", _]) => 5,
        ("DELETE", ["api", "v2", "persons" | "organizations", _]) => 3,
        ("DELETE", ["v1", "webhooks", _]) => 6,
        (_, ["api", "v2", "persons" | "organizations" | "personFields" | "organizationFields"])
        | (_, ["v1", "webhooks", ..]) => 10,
        (_, ["api", "v2", _, _]) => 1,
        (_, ["v1", "users", "me"]) => 2,
        (_, ["v1", "users" | "recents" | "personFields" | "organizationFields"]) => 20,
        (_, ["v1", _, _, "merge"]) => 40,
        _ => 0,
    }
}

/// The scopes of which an app needs one.
pub fn scopes(method: &Method, path: &[&str]) -> &'static [&'static str] {
    match path {
        ["v1", "users", "me"] => &["base"],
        ["v1", "users"] => &["users:read"],
        ["v1", "webhooks", ..] => &["admin"],
        ["v1", "recents"] => &["recents:read"],
        _ if method == Method::GET => &["contacts:read", "contacts:full"],
        _ => &["contacts:full"],
    }
}
