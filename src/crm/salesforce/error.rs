//! What Salesforce says when it refuses a call, and whose matter that is. Only a refused login is told in another shape.
//!
//! <https://developer.salesforce.com/docs/platform/api-rest/guide/errorcodes.md>

use serde::Deserialize;

use crate::domain::failure::Trouble;
use crate::domain::redact::redact;
use crate::http::transport::Response;

/// One entry of an error body: an array of these, unlike the token endpoint's object.
#[derive(Debug, Deserialize)]
pub(super) struct ApiError {
    /// The sentence.
    #[serde(default)]
    pub message: String,
    /// The code, on which all judging rests: one status has many meanings.
    #[serde(default, rename = "errorCode")]
    pub code: String,
}

impl ApiError {
    /// The first error of a body; `None` for HTML, an empty body or another shape.
    pub(super) fn first(response: &Response) -> Option<Self> {
        serde_json::from_slice::<Vec<Self>>(response.body()).ok()?.into_iter().next()
    }
}

/// What a refused call means, by its code.
pub(super) fn trouble(response: &Response) -> Trouble {
    let status = response.status();
    let Some(ApiError { message, code }) = ApiError::first(response) else {
        return Trouble::Protocol(match status.as_u16() {
            414 => "Salesforce refuses the query as too long (HTTP 414): the mapping reads too many fields".into(),
            410 => "this version of Salesforce's API is retired (HTTP 410)".into(),
            _ => format!("Salesforce answered HTTP {status}: {}", redact(&String::from_utf8_lossy(response.body()))),
        });
    };
    // A refused query is repeated in front of what is wrong with it, and would push that out of a line.
    let fault = message.rsplit_once("ERROR at Row").and_then(|(_, place)| place.split_once('\n'));
    let message = redact(fault.map_or(&message, |(_, fault)| fault));
    match code.as_str() {
        "INVALID_FIELD" => Trouble::Forbidden(format!(
            "a mapped field is not there, or not visible to the integration user (grant field-level security, or \
             correct the map): {message}"
        )),
        "INVALID_TYPE" => {
            Trouble::Forbidden(format!("an object is not there or not visible to the integration user: {message}"))
        }
        "QUERY_TIMEOUT" | "INVALID_QUERY_LOCATOR" | "UNABLE_TO_LOCK_ROW" => {
            Trouble::Ambiguous(format!("{code}: {message}"))
        }
        "INVALID_SESSION_ID" => Trouble::Credential(format!("{code}: {message}")),
        _ if matches!(status.as_u16(), 401) => Trouble::Credential(format!("{code}: {message}")),
        _ if matches!(status.as_u16(), 403) => Trouble::Forbidden(format!("{code}: {message}")),
        _ => Trouble::Protocol(format!("{code}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_by_their_code() {
        let table = [
            (
                400,
                r#"[{"message":"\nSELECT Foo__c\nERROR\nNo such column 'Foo__c' on entity 'Contact'","errorCode":"INVALID_FIELD"}]"#,
                "forbidden",
                "Foo__c",
            ),
            (
                400,
                r#"[{"message":"sObject type 'Contact' is not supported","errorCode":"INVALID_TYPE"}]"#,
                "forbidden",
                "visible",
            ),
            (400, r#"[{"message":"slow","errorCode":"QUERY_TIMEOUT"}]"#, "answer_lost", "QUERY_TIMEOUT"),
            (400, r#"[{"message":"old","errorCode":"INVALID_QUERY_LOCATOR"}]"#, "answer_lost", "LOCATOR"),
            (400, r#"[{"message":"bad","errorCode":"MALFORMED_QUERY"}]"#, "unexpected_answer", "MALFORMED_QUERY"),
            (
                401,
                r#"[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]"#,
                "credential",
                "REST API",
            ),
            (403, r#"[{"message":"no api","errorCode":"API_DISABLED_FOR_ORG"}]"#, "forbidden", "API_DISABLED_FOR_ORG"),
            (410, "", "unexpected_answer", "retired"),
            (414, "<h1>Bad Message 414</h1>", "unexpected_answer", "too long"),
            (404, "[]", "unexpected_answer", "404"),
            (404, r#"{"error":"x"}"#, "unexpected_answer", "404"),
        ];
        let query = format!("\\nSELECT {}\\n  ^\\nERROR at Row:1:Column:9", "A_field_of_many__c,".repeat(99));
        let long = format!(
            r#"[{{"message":"{query}\nNo such column 'Last__c' on entity 'Contact'","errorCode":"INVALID_FIELD"}}]"#
        );
        for (status, body, code, words) in table.into_iter().chain([(400, long.as_str(), "forbidden", "'Last__c'")]) {
            let response = ::http::Response::builder().status(status).body(body.to_owned().into()).unwrap();
            let trouble = trouble(&response);
            assert_eq!(trouble.code(), code, "{body}");
            assert!(trouble.to_string().contains(words), "{trouble}");
        }
    }
}
