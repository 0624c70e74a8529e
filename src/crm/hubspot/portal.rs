//! The portal behind a token, and its clock. It knows no contact.

use chrono::SubsecRound;

use crate::crm::hubspot::{HubSpot, MARGIN, VERSION, wire};
use crate::crm::request;
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;

impl HubSpot {
    /// The portal's id, asked for once; the answer also tells the portal's zone, in which its days end.
    pub(super) async fn portal(&self) -> Result<&str, Trouble> {
        self.portal.get_or_try_init(|| self.read_portal()).await.map(String::as_str)
    }

    async fn read_portal(&self) -> Result<String, Trouble> {
        let path = format!("/account-info/{VERSION}/details");
        let details: Result<wire::AccountDetails, _> = self.ask(request::get(&self.base, &path, &[])).await;
        match details {
            Ok(details) => {
                if let Some(ahead) = details.utc_offset_milliseconds.as_i64() {
                    self.zone.learn(ahead);
                }
                Ok(details.portal_id)
            }
            Err(Trouble::Forbidden(words)) => Err(Trouble::Forbidden(format!(
                "HubSpot does not tell this token which account it belongs to, so it cannot be bound to one: {words}"
            ))),
            Err(trouble) => Err(trouble),
        }
    }

    /// Up to where stamps can be read: the server's clock, less a margin.
    pub(super) async fn settled(&self) -> Result<Timestamp, Trouble> {
        if self.upstream.server_now().is_none() {
            self.portal().await?;
        }
        let now = self.upstream.server_now();
        let now = now.ok_or_else(|| Trouble::Protocol("HubSpot's answers carry no Date".into()))?;
        Ok((now - MARGIN).trunc_subsecs(3))
    }
}
