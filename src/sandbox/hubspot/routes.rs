//! What the paths of `HubSpot`'s look-alike lead to and are counted as. Knows no answer.

use crate::sandbox::path::segments;

/// The version a path is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// v1, v3 and v4.
    Numbered,
    /// 2026-03
    March,
    /// 2026-09
    September,
}

/// A path, whichever version spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// `account`, `oauth`, `objects`, `associations` or `properties`.
    pub area: &'a str,
    /// The version.
    pub version: Version,
    /// What follows.
    pub rest: &'a [&'a str],
}

/// What a path is counted as.
pub fn kind(path: &str) -> &'static str {
    let segments = segments(path);
    let Some(Route { area, rest, .. }) = route(&segments) else { return "other" };
    match (area, rest) {
        ("account", _) => "account",
        ("oauth", ["token"]) => "token",
        ("objects", [_]) => "list",
        ("objects", [_, "search"]) => "search",
        ("objects", [_, "batch", "read"]) => "batch",
        ("objects", [_, "batch", "update"]) => "update",
        ("objects", [_, _]) => "record",
        ("associations", _) | ("objects", [_, _, "associations", _]) => "associations",
        ("properties", _) => "properties",
        _ => "other",
    }
}

/// Where a path leads.
pub fn route<'a>(path: &'a [&'a str]) -> Option<Route<'a>> {
    let (area, version, rest) = match path {
        ["account-info", version, rest @ ..] => ("account", *version, rest),
        ["oauth", version, rest @ ..] => ("oauth", *version, rest),
        ["crm", version @ "v3", area @ ("objects" | "properties"), rest @ ..]
        | ["crm", version @ "v4", area @ ("objects" | "associations"), rest @ ..]
        | ["crm", area @ ("objects" | "associations" | "properties"), version, rest @ ..] => (*area, *version, rest),
        _ => return None,
    };
    let version = match version {
        "2026-03" => Version::March,
        "2026-09" => Version::September,
        "v1" if area == "oauth" => Version::Numbered,
        // Of the objects, v4 has their associations and nothing else.
        "v4" if area == "associations" || matches!(rest, [_, _, "associations", _]) => Version::Numbered,
        "v3" if path.first() != Some(&"crm") || path.get(1) == Some(&"v3") => Version::Numbered,
        _ => return None,
    };
    Some(Route { area, version, rest })
}
