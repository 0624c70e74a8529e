//! The answers that idempotency keys got, as a server keeps them for a while. Knows no resource.
//! <https://docs.propstreet.com/documentation/idempotency>

use std::collections::BTreeMap;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, StatusCode};

/// No page says how long; a day is usual.
const LIFE: TimeDelta = TimeDelta::days(1);

/// A path and the key that was sent with a `POST` to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(String, String);

impl Key {
    pub(super) fn of(request: &Request) -> Option<Self> {
        let key = request.headers().get("idempotency-key")?.to_str().ok()?;
        (request.method() == Method::POST).then(|| Self(request.uri().path().to_owned(), key.to_owned()))
    }
}

/// An answer that can be given again.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Kept {
    /// An answer, and what is kept of it.
    pub(super) async fn take(response: Response) -> (Response, Option<Self>) {
        if !response.status().is_success() {
            return (response, None);
        }
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let kept = Self { status: parts.status, headers: parts.headers, body };
        (kept.again(), Some(kept))
    }

    fn again(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Replays(BTreeMap<Key, (DateTime<Utc>, Kept)>);

impl Replays {
    /// What this key got before.
    pub(super) fn answer(&self, key: &Key, now: DateTime<Utc>) -> Option<Response> {
        let (since, kept) = self.0.get(key)?;
        (now - *since < LIFE).then(|| kept.again())
    }

    pub(super) fn keep(&mut self, key: Key, kept: Option<Kept>, now: DateTime<Utc>) {
        self.0.extend(kept.map(|kept| (key, (now, kept))));
    }
}
