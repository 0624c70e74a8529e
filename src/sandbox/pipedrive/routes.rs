//! What the paths of Pipedrive's look-alike are counted as. Knows no answer.

use crate::sandbox::path::segments;

/// What a path is counted as.
pub fn kind(path: &str) -> &'static str {
    match segments(path).as_slice() {
        ["v1", "users", "me"] => "me",
        ["v1", "users"] => "users",
        ["api", "v2", "persons"] => "persons",
        ["api", "v2", "persons", _] => "person",
        ["api", "v2", "organizations"] => "organizations",
        ["api", "v2", "organizations", _] => "organization",
        ["api", "v2", "personFields" | "organizationFields", ..] => "fields",
        _ => "other",
    }
}
