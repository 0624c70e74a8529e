//! What Salesforce answers when it will not or cannot serve, as faults for the drawer.

use serde_json::json;

use crate::sandbox::faults::Fault;

/// Any refusal of the data API.
pub fn refusal(code: u16, error: &str, message: &str) -> Fault {
    let body = json!([{"message": message, "errorCode": error}]).to_string();
    Fault::Answer { code, content_type: "application/json;charset=UTF-8", body }
}

/// Too many long requests at once: over in a moment, though the code is that of a used-up day.
pub fn too_many_at_once() -> Fault {
    refusal(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
}

/// The query took too long: a smaller one may pass.
pub fn query_timeout() -> Fault {
    refusal(400, "QUERY_TIMEOUT", "Your query request was running for too long.")
}

/// Someone else is writing to the record.
pub fn locked_row() -> Fault {
    refusal(400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record or 1 records")
}

/// The edition has no API.
pub fn api_disabled() -> Fault {
    refusal(403, "API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization.")
}

/// The user lacks a right.
pub fn insufficient_access() -> Fault {
    refusal(403, "INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id")
}

/// The org is being maintained; a page for people says so.
pub fn maintenance() -> Fault {
    page(503, "<html><head><title>Maintenance</title></head><body>We are down for maintenance.</body></html>")
}

/// The org can be read and not written while it is being maintained. To be narrowed to writes.
pub fn read_only() -> Fault {
    let message = "We can't complete this action because Salesforce is in read-only mode.";
    refusal(400, "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", message)
}

/// The org's data is being moved.
pub fn setting_up() -> Fault {
    page(420, "<html><body>Stay tuned, we are setting things up.</body></html>")
}

/// A 406 without any body, as a proxy in between gives it.
pub fn bodyless() -> Fault {
    page(406, "")
}

fn page(code: u16, body: &str) -> Fault {
    Fault::Answer { code, content_type: "text/html;charset=UTF-8", body: body.to_owned() }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::header::CONTENT_TYPE;

    use super::*;
    use crate::sandbox::faults::Rule;
    use crate::sandbox::salesforce::bench::Org;

    #[tokio::test(start_paused = true)]
    async fn each_trouble_has_its_status_and_its_body() {
        let org = Org::new().await;
        for (fault, status, start) in [
            (too_many_at_once(), 403, r#"[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"ConcurrentRequests "#),
            (query_timeout(), 400, r#"[{"errorCode":"QUERY_TIMEOUT""#),
            (locked_row(), 400, r#"[{"errorCode":"UNABLE_TO_LOCK_ROW""#),
            (api_disabled(), 403, r#"[{"errorCode":"API_DISABLED_FOR_ORG""#),
            (insufficient_access(), 403, r#"[{"errorCode":"INSUFFICIENT_ACCESS""#),
            (read_only(), 400, r#"[{"errorCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE""#),
            (maintenance(), 503, "<html>"),
            (setting_up(), 420, "<html>"),
            (bodyless(), 406, ""),
        ] {
            org.salesforce.faults().add(Rule::new(fault).times(1));
            let path = "/services/data/v66.0/limits";
            let (found, headers, body) = org.call(Method::GET, path, &[], "").await;
            assert!(found == status && body.starts_with(start), "{found} {body}");
            assert_eq!(headers.contains_key(CONTENT_TYPE), !body.is_empty(), "{found}");
            assert_eq!(org.get(path).await.0, 200);
        }
    }
}
