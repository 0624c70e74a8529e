//! Pipedrive's credential: one user's API token, in a header and never in a URL. It cannot be renewed, so a 401 is a
//! matter for a person. It knows no endpoint.
//!
//! <https://pipedrive.readme.io/docs/core-api-concepts-authentication>

use ::http::HeaderName;
use secrecy::SecretString;

use crate::crm::request;
use crate::http::token::{Token, Tokens};
use crate::http::transport::Request;

/// How to log in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A user's API token. It sees what that user sees, so it should be an administrator's.
    ApiToken {
        /// The token.
        token: SecretString,
    },
}

impl Auth {
    pub(super) fn tokens(self) -> Tokens {
        let Self::ApiToken { token } = self;
        Tokens::fixed(token)
    }
}

/// The request as Pipedrive wants it authorised.
pub(super) fn signed(request: Request, token: &Token) -> Request {
    request::with_secret(request, HeaderName::from_static("x-api-token"), "", &token.secret)
}
