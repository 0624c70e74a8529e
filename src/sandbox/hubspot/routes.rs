//! What the paths of `HubSpot`'s look-alike are counted as. Knows no answer.

use crate::sandbox::path::segments;

const DATED: [&str; 2] = ["2026-03", "2026-09"];

/// What a path is counted as.
pub fn kind(path: &str) -> &'static str {
    match route(&segments(path)) {
        Some(("account", _)) => "account",
        Some(("objects", [_])) => "list",
        Some(("objects", [_, "search"])) => "search",
        Some(("objects", [_, "batch", "read"])) => "batch",
        Some(("objects", [_, "batch", "update"])) => "update",
        Some(("objects", [_, _])) => "record",
        Some(("associations", _)) => "associations",
        Some(("properties", _)) => "properties",
        _ => "other",
    }
}

/// The area of the API and what follows it, whichever version spells it.
pub fn route<'a>(path: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    match path {
        ["account-info", version, rest @ ..] if DATED.contains(version) || *version == "v3" => Some(("account", rest)),
        ["crm", area @ ("objects" | "associations" | "properties"), version, rest @ ..] if DATED.contains(version) => {
            Some((area, rest))
        }
        ["crm", "v3", area @ ("objects" | "properties"), rest @ ..] => Some((area, rest)),
        ["crm", "v4", area @ "associations", rest @ ..] => Some((area, rest)),
        _ => None,
    }
}
