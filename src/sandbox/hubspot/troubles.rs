//! What HubSpot and what stands before it answer when they will not or cannot serve, as faults for the drawer.

use serde_json::json;

use crate::sandbox::faults::Fault;

/// 429 by a policy, whatever the counters say: `TEN_SECONDLY_ROLLING`, `SECONDLY`, `DAILY`. No `Retry-After`.
pub fn too_many(policy: &str) -> Fault {
    let message = format!("You have reached your {} limit.", policy.to_lowercase());
    let body = json!({"status": "error", "errorType": "RATE_LIMIT", "policyName": policy, "message": message});
    told(429, &body)
}

/// The records are being written to by so many that they are locked: two seconds at least.
pub fn locked() -> Fault {
    told(423, &json!({"status": "error", "category": "LOCKED", "message": "Too many writes at once; wait and retry"}))
}

/// The account is moving between data centres, for as many seconds: up to a day.
pub fn moving(seconds: u64) -> Fault {
    Fault::Status { code: 477, retry_after: Some(seconds) }
}

/// A page of the network before the API: 502, 503, 504, 521, 523, 524; 530 for a token it does not like.
pub fn page(code: u16) -> Fault {
    Fault::Html(code)
}

/// The same without any body.
pub fn bodyless(code: u16) -> Fault {
    Fault::Answer { code, content_type: "text/html", body: String::new() }
}

/// A refusal in the standard form, with every field but the category left out: none of them is promised.
pub fn bare(code: u16, category: &str) -> Fault {
    told(code, &json!({"category": category}))
}

fn told(code: u16, body: &serde_json::Value) -> Fault {
    Fault::Answer { code, content_type: "application/json;charset=utf-8", body: body.to_string() }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::Value as Json;

    use super::*;
    use crate::sandbox::faults::Rule;
    use crate::sandbox::hubspot::access::TOKEN;
    use crate::sandbox::hubspot::bench::{CONTACTS, call, get, portal};

    #[tokio::test(start_paused = true)]
    async fn each_trouble_has_its_status_and_passes() {
        let hubspot = portal();
        for (fault, status, key, value) in [
            (too_many("DAILY"), 429, "policyName", json!("DAILY")),
            (too_many("SECONDLY"), 429, "message", json!("You have reached your secondly limit.")),
            (locked(), 423, "category", json!("LOCKED")),
            (bare(409, "CONFLICT"), 409, "message", Json::Null),
            (moving(3_600), 477, "message", Json::Null),
            (page(524), 524, "message", Json::Null),
            (bodyless(502), 502, "message", Json::Null),
        ] {
            hubspot.faults().add(Rule::new(fault).times(1));
            let (found, headers, body) = call(&hubspot, TOKEN, Method::GET, CONTACTS, &Json::Null).await;
            assert_eq!((found, &body[key]), (status, &value));
            assert_eq!(headers.get("retry-after").is_some(), status == 477);
            assert_eq!(get(&hubspot, CONTACTS).await.0, 200);
        }
    }
}
