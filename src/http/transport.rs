//! The network as a port: a request in, an answer or the way it failed out. reqwest in production, a router in simulation.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use url::Url;

use crate::domain::loopback::is_loopback;

/// A request with its whole body.
pub type Request = ::http::Request<Bytes>;
/// An answer with its whole body.
pub type Response = ::http::Response<Bytes>;

/// How an exchange failed below HTTP. The difference decides whether a write may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request did not leave: refused connection, unknown host, TLS.
    #[error("could not connect: {0}")]
    NotSent(String),
    /// It left, and no whole answer came back: time-out, reset, cut body.
    #[error("no whole answer: {0}")]
    Lost(String),
    /// The answer is larger than the cap.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Carries one request to its host and the answer back. Never retries, never follows a redirect.
pub trait Transport: Send + Sync {
    /// Sends one request and waits for the whole answer, at most for the transport's time-out.
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>>;
}

/// The HTTP client could not be built: no usable TLS roots, most likely.
#[derive(Debug, thiserror::Error)]
#[error("cannot start the HTTP client: {0}")]
pub struct CannotStart(String);

/// Answers are cut off beyond this, counted after decompression, so that a gzip bomb cannot fill the memory.
const BODY_CAP: usize = 32 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Shorter than servers keep idle connections: a request on one they are just closing is a lost answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The transport to the host of `base` over TLS; plain HTTP, without a proxy, on loopback only.
/// `timeout` spans one exchange from connecting to the last byte of the answer.
///
/// # Errors
/// [`CannotStart`] where the system offers no TLS roots.
pub fn client(base: &Url, timeout: Duration, user_agent: &str) -> Result<Arc<dyn Transport>, CannotStart> {
    Ok(Arc::new(Network::new(base, timeout, user_agent, BODY_CAP)?))
}

struct Network {
    client: reqwest::Client,
    body_cap: usize,
}

impl Network {
    fn new(base: &Url, timeout: Duration, user_agent: &str, body_cap: usize) -> Result<Self, CannotStart> {
        let loopback = is_loopback(base);
        #[expect(clippy::disallowed_methods, reason = "this is the one place that builds a client")]
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .gzip(true)
            .https_only(!loopback);
        if loopback {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| CannotStart(told(error)))?;
        Ok(Self { client, body_cap })
    }

    async fn exchange(&self, request: Request) -> Result<Response, Failure> {
        let request = reqwest::Request::try_from(request).map_err(|error| Failure::NotSent(told(error)))?;
        let mut answer = self.client.execute(request).await.map_err(failure)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| Failure::Lost(told(error)))? {
            if body.len() + chunk.len() > self.body_cap {
                return Err(Failure::TooLarge(self.body_cap));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

impl Transport for Network {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(self.exchange(request))
    }
}

/// Only what is known not to have left may count as not sent.
fn failure(error: reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() { Failure::NotSent(told(error)) } else { Failure::Lost(told(error)) }
}

/// What the error came from in the end; the layers above it only say that they could not. Without the URL, which may
/// name a person's record.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one connection with these bytes and closes it.
    async fn answering(bytes: &'static [u8]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 4096]).await.unwrap();
            socket.write_all(bytes).await.unwrap();
        });
        url
    }

    async fn get(url: &Url, cap: usize) -> Result<Response, Failure> {
        let network = Network::new(url, Duration::from_secs(5), "propsync/test", cap).unwrap();
        network.send(::http::Request::get(url.as_str()).body(Bytes::new()).unwrap()).await
    }

    #[tokio::test]
    async fn failures_are_told_apart_by_whether_the_request_left() {
        let whole = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-one: 1\r\n\r\nbody").await;
        let response = get(&whole, 4).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.body()[..], &response.headers()["x-one"]),
            (200, &b"body"[..], &"1".parse().unwrap())
        );

        let large = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbody!").await;
        assert!(matches!(get(&large, 4).await, Err(Failure::TooLarge(4))));

        let cut = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbody").await;
        assert!(matches!(get(&cut, 99).await, Err(Failure::Lost(_))));

        let silent = answering(b"").await;
        assert!(matches!(get(&silent, 99).await, Err(Failure::Lost(_))));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = format!("http://{}/secret-path", listener.local_addr().unwrap()).parse().unwrap();
        drop(listener);
        match get(&nobody, 99).await {
            Err(Failure::NotSent(words)) => assert!(!words.contains("secret-path"), "{words}"),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_not_a_journey() {
        let url = answering(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(get(&url, 99).await.unwrap().status(), 302);
    }

    #[tokio::test]
    async fn plain_http_leaves_for_loopback_only() {
        let network =
            Network::new(&"https://crm.example".parse().unwrap(), CONNECT_TIMEOUT, "propsync/test", 9).unwrap();
        let request = ::http::Request::get("http://127.0.0.1:9/").body(Bytes::new()).unwrap();
        assert!(matches!(network.send(request).await, Err(Failure::NotSent(_))));
        for (url, loopback) in [("http://localhost:1/", true), ("http://[::1]/", true), ("http://10.0.0.1/", false)] {
            assert_eq!(is_loopback(&url.parse().unwrap()), loopback, "{url}");
        }
    }
}
