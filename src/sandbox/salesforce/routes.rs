//! What the paths of Salesforce's look-alike are counted as. Knows no answer.

use crate::sandbox::path::segments;

/// What a path is counted as.
pub fn kind(path: &str) -> &'static str {
    match segments(path).as_slice() {
        ["services", "oauth2", "token"] => "token",
        ["services", "data"] => "versions",
        ["services", "data", _, "limits"] => "limits",
        ["services", "data", _, "query" | "queryAll"] => "query",
        ["services", "data", _, "query" | "queryAll", _] => "more",
        ["services", "data", _, "sobjects", _, "describe"] => "describe",
        ["services", "data", _, "sobjects", _, "updated"] => "updated",
        ["services", "data", _, "sobjects", _, "deleted"] => "deleted",
        ["services", "data", _, "sobjects", ..] => "record",
        ["services", "data", _, "composite", ..] => "composite",
        ["services", "data", _, "jobs", "query", _, "results"] => "results",
        ["services", "data", _, "jobs", "query", ..] => "job",
        _ => "other",
    }
}
