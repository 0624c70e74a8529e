//! HubSpot's credential: one static bearer token, a service key or a private app's, sent alike. It cannot be renewed,
//! so a 401 is a matter for a person. It knows no endpoint.

use ::http::header::AUTHORIZATION;
use secrecy::SecretString;

use crate::crm::request;
use crate::http::token::{Token, Tokens};
use crate::http::transport::Request;

/// How to log in.
#[derive(Debug, Clone)]
pub enum Auth {
    /// A service key or a private app's access token, `pat-…`.
    Token {
        /// The token.
        token: SecretString,
    },
}

impl Auth {
    pub(super) fn tokens(self) -> Tokens {
        let Self::Token { token } = self;
        Tokens::fixed(token)
    }
}

/// The request as HubSpot wants it authorised.
pub(super) fn signed(request: Request, token: &Token) -> Request {
    request::with_secret(request, AUTHORIZATION, "Bearer ", &token.secret)
}
