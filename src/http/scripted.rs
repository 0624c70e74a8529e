//! A network for tests: answers from a closure, and remembers what was asked. And a keeper of refresh tokens without a
//! disk.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OwnedMutexGuard;

use crate::domain::failure::Trouble;
use crate::http::refresh::{Keeper, Turn};
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

/// What is kept of one source, for as long as it lives.
#[derive(Default)]
pub struct Memory {
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Arc<Mutex<Remembered>>,
}

#[derive(Default)]
struct Remembered {
    kept: Vec<SecretString>,
    refuses: bool,
}

impl Memory {
    /// With nothing in it.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on nothing can be kept.
    pub fn refuse(&self) {
        self.state.lock().unwrap().refuses = true;
    }

    /// Everything that was to be kept, oldest first.
    pub fn kept(&self) -> Vec<String> {
        self.state.lock().unwrap().kept.iter().map(|token| token.expose_secret().to_owned()).collect()
    }
}

impl Keeper for Memory {
    fn turn(&self, configured: &SecretString) -> BoxFuture<'_, Result<Option<Box<dyn Turn>>, Trouble>> {
        let turn = Arc::clone(&self.turn).try_lock_owned().ok().map(|guard| {
            let newest = self.state.lock().unwrap().kept.last().unwrap_or(configured).clone();
            Box::new(Held { newest, state: Arc::clone(&self.state), _guard: guard }) as Box<dyn Turn>
        });
        async move { Ok(turn) }.boxed()
    }
}

struct Held {
    newest: SecretString,
    state: Arc<Mutex<Remembered>>,
    _guard: OwnedMutexGuard<()>,
}

impl Turn for Held {
    fn newest(&self) -> SecretString {
        self.newest.clone()
    }

    fn keep(self: Box<Self>, newest: SecretString) -> BoxFuture<'static, Result<(), Trouble>> {
        async move {
            let mut state = self.state.lock().unwrap();
            if state.refuses {
                return Err(Trouble::Credential("the disk is full".to_owned()));
            }
            state.kept.push(newest);
            Ok(())
        }
        .boxed()
    }
}
