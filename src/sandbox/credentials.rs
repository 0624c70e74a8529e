//! What the look-alikes accept. Nothing here opens anything outside this machine.

use crate::sandbox::{hubspot, pipedrive, salesforce};

/// Salesforce, client credentials.
pub const SALESFORCE_CLIENT_ID: &str = salesforce::model::CLIENT_ID;
/// Salesforce, client credentials.
pub const SALESFORCE_CLIENT_SECRET: &str = salesforce::model::CLIENT_SECRET;
/// Salesforce, JWT bearer.
pub const SALESFORCE_USERNAME: &str = salesforce::model::USERNAME;
/// Salesforce, JWT bearer: a private key in PEM that opens this look-alike and nothing else.
pub const SALESFORCE_PRIVATE_KEY: &str = salesforce::jwt::PRIVATE_KEY;
/// `HubSpot`, private app token.
pub const HUBSPOT_TOKEN: &str = hubspot::access::TOKEN;
/// `HubSpot`, OAuth.
pub const HUBSPOT_CLIENT_ID: &str = hubspot::access::CLIENT_ID;
/// `HubSpot`, OAuth.
pub const HUBSPOT_CLIENT_SECRET: &str = hubspot::access::CLIENT_SECRET;
/// `HubSpot`, OAuth: the refresh token of the installation.
pub const HUBSPOT_REFRESH_TOKEN: &str = hubspot::access::REFRESH_TOKEN;
/// Pipedrive, API token: 40 hex digits.
pub const PIPEDRIVE_TOKEN: &str = pipedrive::access::TOKEN;
/// Pipedrive, OAuth.
pub const PIPEDRIVE_CLIENT_ID: &str = pipedrive::access::CLIENT_ID;
/// Pipedrive, OAuth.
pub const PIPEDRIVE_CLIENT_SECRET: &str = pipedrive::access::CLIENT_SECRET;
/// Pipedrive, OAuth: the refresh token of the installation.
pub const PIPEDRIVE_REFRESH_TOKEN: &str = pipedrive::access::REFRESH_TOKEN;
/// Propstreet, personal access token: 60 requests a minute.
pub const PROPSTREET_TOKEN: &str = "pat_sandbox";
/// Propstreet, client credentials: the configured rate.
pub const PROPSTREET_CLIENT_ID: &str = "oauth_client_sandbox";
/// Propstreet, client credentials.
pub const PROPSTREET_CLIENT_SECRET: &str = "secret_sandbox";
