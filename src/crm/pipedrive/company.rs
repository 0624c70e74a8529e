//! The company behind a token, and its clock. It knows no person.

use std::time::Duration;

use crate::crm::pipedrive::{Pipedrive, changes, wire};
use crate::crm::request;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::transport::Request;

/// Has no v2 twin, and answers on every host only without `/api`.
const ME: &str = "/v1/users/me";

/// How far below the server's clock a stamp is final, and how long a sync called for by a webhook waits to see its change.
/// Stamps and `Date` are whole seconds, and the clocks of Pipedrive's machines may differ by a few. What commits later than
/// this is no loss: each poll reads the ten minutes before its watermark again.
pub(super) const MARGIN: Duration = Duration::from_secs(10);

impl Pipedrive {
    /// The company's id, asked for once.
    pub(super) async fn company(&self) -> Result<&str, Trouble> {
        self.company.get_or_try_init(|| self.read_company()).await.map(String::as_str)
    }

    /// Asks who the token is: the call that costs least.
    pub(super) fn who(&self) -> Request {
        request::get(&self.base, ME, &[])
    }

    async fn read_company(&self) -> Result<String, Trouble> {
        let response = self.send(self.who()).await?;
        if !response.status().is_success() {
            return Err(wire::trouble(&response));
        }
        let me: wire::Me = body::json(&response)?;
        me.company()
            .ok_or_else(|| Trouble::Protocol("Pipedrive does not say which company the token belongs to".into()))
    }

    /// Up to where stamps can be read: the server's clock, less a margin, in whole seconds as the stamps are.
    pub(super) async fn settled(&self) -> Result<Timestamp, Trouble> {
        if self.upstream.server_now().is_none() {
            self.company().await?;
        }
        let now = self.upstream.server_now();
        let now = now.ok_or_else(|| Trouble::Protocol("Pipedrive's answers carry no Date".into()))?;
        Ok(changes::floor(now - MARGIN))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::crm::pipedrive::rig::open;
    use crate::crm::script::{answer, undated};
    use crate::sync::source::ContactSource;

    #[tokio::test(start_paused = true)]
    async fn the_company_is_the_account_and_the_token_stays_out_of_the_url() {
        let (script, pipedrive) = open(&[], [answer(200, json!({"success": true, "data": {"company_id": 77}}))]);
        assert_eq!(pipedrive.account().await.unwrap().id, "77");
        assert_eq!(pipedrive.bound().await.unwrap().to_rfc3339(), "2026-11-02T09:59:50+00:00");
        let asked = script.asked();
        assert_eq!(asked[0].url.as_str(), "https://acme.pipedrive.com/v1/users/me");
        assert_eq!(asked[0].headers["x-api-token"], "0123456789abcdef");
        let (_, pipedrive) = open(&[], [answer(401, r#"{"success":false,"error":"unauthorized access"}"#)]);
        assert_eq!(pipedrive.account().await.unwrap_err().code(), "credential");
    }

    #[tokio::test(start_paused = true)]
    async fn no_bound_is_made_of_our_own_clock() {
        let (_, pipedrive) = open(&[], [undated(answer(200, json!({"data": {"company_id": 77}})))]);
        assert_eq!(pipedrive.bound().await.unwrap_err().code(), "unexpected_answer");
    }
}
