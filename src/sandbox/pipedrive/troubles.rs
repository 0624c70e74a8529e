//! What Pipedrive and what stands before it answer when they will not or cannot serve, as faults for the drawer.

use serde_json::{Value as Json, json};

use crate::sandbox::faults::Fault;

/// 402: the trial is over or the bill unpaid.
pub fn payment_required() -> Fault {
    refused(402, "Company account is not open")
}

/// 403: a right that the user does not have.
pub fn forbidden() -> Fault {
    refused(403, "You do not have permissions to do this")
}

/// 403 with a code, where the plan has its limit.
pub fn capped() -> Fault {
    let mut body = envelope("You have reached the limit of your plan.");
    body["code"] = "feature_capping_deals_limit".into();
    told(403, &body)
}

/// 410 whose body claims success, as was recorded.
pub fn gone_with_success() -> Fault {
    told(410, &json!({"success": true, "data": {"id": 11}}))
}

/// 415: a feature that is not enabled.
pub fn not_enabled() -> Fault {
    refused(415, "Feature is not enabled")
}

/// 429 in JSON, whatever the counters say.
pub fn over_limit() -> Fault {
    refused(429, "Request over limit")
}

/// 500, which a wrongly nested body can bring about too.
pub fn unknown() -> Fault {
    told(500, &json!({"success": false, "error": "Internal Server Error", "code": "ERR_UNKNOWN"}))
}

/// 200 whose body is `null`.
pub fn null() -> Fault {
    told(200, &Json::Null)
}

/// A page of the network before the API: 403, 502, 503, 520 to 527.
pub fn page(code: u16) -> Fault {
    Fault::Html(code)
}

fn refused(code: u16, error: &str) -> Fault {
    told(code, &envelope(error))
}

fn envelope(error: &str) -> Json {
    json!({"success": false, "error": error, "error_info": "Please check developers.pipedrive.com", "data": null,
           "additional_data": null})
}

fn told(code: u16, body: &Json) -> Fault {
    Fault::Answer { code, content_type: "application/json; charset=utf-8", body: body.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::faults::Rule;
    use crate::sandbox::pipedrive::bench::{company, get};

    #[tokio::test(start_paused = true)]
    async fn each_trouble_has_its_status_and_passes() {
        let pipedrive = company();
        for (fault, status, key, value) in [
            (payment_required(), 402, "success", json!(false)),
            (forbidden(), 403, "success", json!(false)),
            (capped(), 403, "code", json!("feature_capping_deals_limit")),
            (gone_with_success(), 410, "success", json!(true)),
            (not_enabled(), 415, "success", json!(false)),
            (over_limit(), 429, "error", json!("Request over limit")),
            (unknown(), 500, "code", json!("ERR_UNKNOWN")),
            (null(), 200, "success", Json::Null),
            (page(524), 524, "success", Json::Null),
        ] {
            pipedrive.faults().add(Rule::new(fault).times(1));
            let (found, body) = get(&pipedrive, "/api/v2/persons").await;
            assert_eq!((found, &body[key]), (status, &value));
            assert_eq!(get(&pipedrive, "/api/v2/persons").await.0, 200);
        }
    }
}
