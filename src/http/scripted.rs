//! A network for tests: answers from a closure, and remembers what was asked.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::http::transport::{Failure, Request, Response, Transport};

type Answer = Box<dyn Fn(usize, &Request) -> Result<Response, Failure> + Send + Sync>;

/// Answers the n-th request (from 0) as the closure says.
pub struct Scripted {
    answer: Answer,
    seen: Mutex<Vec<Request>>,
}

impl Scripted {
    /// A network that answers like this.
    pub fn answering(
        answer: impl Fn(usize, &Request) -> Result<Response, Failure> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { answer: Box::new(answer), seen: Mutex::default() })
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Transport for Scripted {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let mut seen = self.seen.lock().unwrap();
        let answer = (self.answer)(seen.len(), &request);
        seen.push(request);
        Box::pin(async move { answer })
    }
}

/// An answer with these headers and this body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let builder = ::http::Response::builder().status(status);
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}
