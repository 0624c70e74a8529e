//! What every look-alike's face passes through: it counts the request, perhaps spoils it by a seeded rule, and stamps the
//! answer with the sandbox's `Date`. Knows HTTP, and nothing of what the look-alikes mean by it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};

use crate::sandbox::clock::Clock;

/// More than any look-alike accepts, so that each can refuse by its own limit.
const BODY_CAP: usize = 16 * 1024 * 1024;

/// One way in which an upstream or the road to it fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not handled; answers this status with a plain JSON body and perhaps `Retry-After`, in seconds.
    Status {
        /// The status code.
        code: u16,
        /// Seconds for `Retry-After`.
        retry_after: Option<u64>,
    },
    /// Not handled; answers `application/problem+json` of this kind, e.g. 409 `concurrency-conflict`.
    Problem {
        /// The status code.
        code: u16,
        /// The slug of `/help/<slug>`.
        slug: String,
    },
    /// Not handled; answers this status with a gateway's HTML page.
    Html(u16),
    /// Not handled; answers this status with this body, which may be empty, in the words of one upstream.
    Answer {
        /// The status code.
        code: u16,
        /// The content type of a body that is not empty.
        content_type: &'static str,
        /// The body.
        body: String,
    },
    /// Not handled; the connection breaks.
    LostBefore,
    /// Handled; the connection breaks before the answer arrives.
    LostAfter,
    /// Waits, then handles: a client that gave up meanwhile is never served.
    Delay(Duration),
    /// Handles at once, answers only after this long: the client may have given up on a write that counts.
    Late(Duration),
    /// Handles only after this long, even when the client has gone away.
    CommitLate(Duration),
    /// Handled; answers 200 with JSON that does not parse.
    Garbage,
    /// Handled; the answer breaks off half-way.
    Truncated,
}

/// When a [`Fault`] strikes. By [`Rule::new`] every request, for ever; each refinement narrows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// Only this method.
    pub method: Option<Method>,
    /// Only where path and query contain this.
    pub path: Option<String>,
    /// Only where the request's body contains this.
    pub body: Option<String>,
    /// How often a matching request is struck, 0.0 to 1.0.
    pub probability: f64,
    /// How many strikes are left; `None` for ever.
    pub times: Option<u32>,
}

impl Rule {
    /// Strikes every request until narrowed.
    #[must_use]
    pub fn new(fault: Fault) -> Self {
        Self { fault, method: None, path: None, body: None, probability: 1.0, times: None }
    }
    /// Only requests with this method.
    #[must_use]
    pub fn on(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }
    /// Only requests whose path and query contain `part`.
    #[must_use]
    pub fn path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }
    /// Only requests whose body contains `part`.
    #[must_use]
    pub fn body(mut self, part: &str) -> Self {
        self.body = Some(part.to_owned());
        self
    }
    /// Only this share of them, 0.0 to 1.0.
    #[must_use]
    pub fn probability(mut self, share: f64) -> Self {
        self.probability = share;
        self
    }
    /// Only the first `n` of them.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.times = Some(n);
        self
    }

    fn matches(&self, method: &Method, path: &str, body: &[u8]) -> bool {
        self.times != Some(0)
            && self.method.as_ref().is_none_or(|m| m == method)
            && self.path.as_ref().is_none_or(|p| path.contains(p.as_str()))
            && self.body.as_ref().is_none_or(|b| String::from_utf8_lossy(body).contains(b.as_str()))
    }
}

/// A drawer of rules, seeded. The first rule that strikes decides. Clones share it.
#[derive(Debug, Clone)]
pub struct Faults(Arc<Mutex<Drawer>>);

#[derive(Debug)]
struct Drawer {
    rules: Vec<Rule>,
    rng: fastrand::Rng,
}

impl Faults {
    /// An empty drawer.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Drawer { rules: Vec::new(), rng: fastrand::Rng::with_seed(seed) })))
    }

    /// Adds a rule behind those already there.
    pub fn add(&self, rule: Rule) {
        locked(&self.0).rules.push(rule);
    }

    /// Takes all rules out: the upstream is well again.
    pub fn clear(&self) {
        locked(&self.0).rules.clear();
    }

    fn draw(&self, method: &Method, path: &str, body: &[u8]) -> Option<Fault> {
        let Drawer { rules, rng } = &mut *locked(&self.0);
        let struck = rules.iter_mut().find(|rule| rule.matches(method, path, body) && rng.f64() < rule.probability)?;
        if let Some(left) = &mut struck.times {
            *left -= 1;
        }
        Some(struck.fault.clone())
    }
}

/// How many requests arrived, struck ones included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// All.
    pub total: u64,
    /// By `METHOD kind`, e.g. `POST contacts`; each look-alike lists its kinds.
    pub by_kind: BTreeMap<String, u64>,
}

impl RequestCounts {
    /// How many of one kind, e.g. `"POST contacts"`.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        self.by_kind.get(kind).copied().unwrap_or(0)
    }
}

/// Names a request's kind from its path (without query), e.g. `contacts`; the method is put before it.
pub type Kind = fn(&str) -> &'static str;

/// The gate before one look-alike: clock, faults and counters. Clones share them.
#[derive(Debug, Clone)]
pub struct Gate {
    clock: Clock,
    faults: Faults,
    counts: Arc<Mutex<RequestCounts>>,
    kind: Kind,
}

impl Gate {
    /// A gate without faults.
    #[must_use]
    pub fn new(clock: Clock, seed: u64, kind: Kind) -> Self {
        Self { clock, faults: Faults::new(seed), counts: Arc::default(), kind }
    }

    /// The drawer of faults.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What has arrived since the last reset.
    #[must_use]
    pub fn requests(&self) -> RequestCounts {
        locked(&self.counts).clone()
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        *locked(&self.counts) = RequestCounts::default();
    }

    /// Puts the gate before all routes of `router`, its fallback included.
    pub fn guard(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), pass))
    }

    fn count(&self, method: &Method, path: &str) {
        let mut counts = locked(&self.counts);
        counts.total += 1;
        *counts.by_kind.entry(format!("{method} {}", (self.kind)(path))).or_default() += 1;
    }
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    gate.count(request.method(), request.uri().path());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_CAP).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let fault = gate.faults.draw(&parts.method, path, &body);
    let request = Request::from_parts(parts, Body::from(body));
    let mut response = match fault {
        None => next.run(request).await,
        Some(fault) => strike(&gate.clock, fault, request, next).await,
    };
    if let Ok(date) = HeaderValue::from_str(&gate.clock.http_date()) {
        response.headers_mut().insert(DATE, date);
    }
    response
}

async fn strike(clock: &Clock, fault: Fault, request: Request, next: Next) -> Response {
    match fault {
        Fault::Status { code, retry_after } => refused(code, retry_after),
        Fault::Html(code) => {
            (status(code), [(CONTENT_TYPE, "text/html")], "<html><body><h1>Bad gateway</h1></body></html>")
                .into_response()
        }
        Fault::Problem { code, slug } => {
            let body = format!(r#"{{"type":"/help/{slug}","title":"{slug}","status":{code}}}"#);
            (status(code), [(CONTENT_TYPE, "application/problem+json")], body).into_response()
        }
        Fault::Answer { code, body, .. } if body.is_empty() => status(code).into_response(),
        Fault::Answer { code, content_type, body } => {
            (status(code), [(CONTENT_TYPE, content_type)], body).into_response()
        }
        Fault::LostBefore => lost(Bytes::new()),
        Fault::LostAfter => {
            next.run(request).await;
            lost(Bytes::new())
        }
        Fault::Delay(wait) => {
            clock.sleep(wait).await;
            next.run(request).await
        }
        Fault::Late(wait) => {
            let response = next.run(request).await;
            clock.sleep(wait).await;
            response
        }
        Fault::CommitLate(wait) => {
            let clock = clock.clone();
            // A task of its own: the caller's future is dropped when the client gives up, the commit must not be.
            let commit = tokio::spawn(async move {
                clock.sleep(wait).await;
                next.run(request).await
            });
            commit.await.unwrap_or_else(|_| lost(Bytes::new()))
        }
        Fault::Garbage => {
            next.run(request).await;
            ([(CONTENT_TYPE, "application/json")], "{\"id\":\"4").into_response()
        }
        Fault::Truncated => {
            let (parts, body) = next.run(request).await.into_parts();
            let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
            let mut broken = lost(whole.slice(..whole.len() / 2));
            *broken.status_mut() = parts.status;
            *broken.headers_mut() = parts.headers;
            broken
        }
    }
}

fn refused(code: u16, retry_after: Option<u64>) -> Response {
    let mut response = (status(code), [(CONTENT_TYPE, "application/json")], "{}").into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An answer whose body fails after `head`: over a socket the connection is cut, in process collecting the body fails.
fn lost(head: Bytes) -> Response {
    let cut = Err(io::Error::from(io::ErrorKind::ConnectionReset));
    let chunks = if head.is_empty() { vec![cut] } else { vec![Ok(head), cut] };
    Response::new(Body::from_stream(stream::iter(chunks)))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;

    /// A face with one route that counts what it handles, behind a gate.
    struct Bench {
        gate: Gate,
        router: Router,
        handled: Arc<AtomicU32>,
    }

    fn bench(seed: u64) -> Bench {
        let clock = Clock::simulated(chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap());
        let gate = Gate::new(clock, seed, |path| if path == "/x" { "x" } else { "other" });
        let handled = Arc::new(AtomicU32::new(0));
        let counter = handled.clone();
        let route = any(move || async move {
            counter.fetch_add(1, Ordering::Relaxed);
            "0123456789"
        });
        let router = gate.guard(Router::new().route("/x", route));
        Bench { gate, router, handled }
    }

    impl Bench {
        async fn send(&self, method: Method, uri: &str, body: &str) -> (StatusCode, Result<Bytes, axum::Error>) {
            let request = Request::builder().method(method).uri(uri).body(Body::from(body.to_owned())).unwrap();
            let response = self.router.clone().oneshot(request).await.unwrap();
            assert!(response.headers().contains_key(DATE));
            (response.status(), to_bytes(response.into_body(), usize::MAX).await)
        }

        fn handled(&self) -> u32 {
            self.handled.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_spoils_the_answer_and_handles_or_not_as_it_says() {
        let second = Duration::from_secs(1);
        // Fault, status, body (None: breaks off), handled.
        let cases = [
            (Fault::Status { code: 503, retry_after: Some(7) }, 503, Some("{}"), 0),
            (Fault::Html(502), 502, Some("<html><body><h1>Bad gateway</h1></body></html>"), 0),
            (
                Fault::Problem { code: 409, slug: "race".into() },
                409,
                Some(r#"{"type":"/help/race","title":"race","status":409}"#),
                0,
            ),
            (Fault::Answer { code: 420, content_type: "text/plain", body: "wait".into() }, 420, Some("wait"), 0),
            (Fault::Answer { code: 406, content_type: "text/plain", body: String::new() }, 406, Some(""), 0),
            (Fault::LostBefore, 200, None, 0),
            (Fault::LostAfter, 200, None, 1),
            (Fault::Delay(second), 200, Some("0123456789"), 1),
            (Fault::Late(second), 200, Some("0123456789"), 1),
            (Fault::CommitLate(second), 200, Some("0123456789"), 1),
            (Fault::Garbage, 200, Some("{\"id\":\"4"), 1),
            (Fault::Truncated, 200, None, 1),
        ];
        for (fault, status, body, handled) in cases {
            let bench = bench(1);
            bench.gate.faults().add(Rule::new(fault.clone()).times(1));
            let answer = bench.send(Method::POST, "/x", "").await;
            assert_eq!(answer.0.as_u16(), status, "{fault:?}");
            assert_eq!(answer.1.ok().as_deref(), body.map(str::as_bytes), "{fault:?}");
            assert_eq!(bench.handled(), handled, "{fault:?}");
            assert_eq!(bench.send(Method::POST, "/x", "").await.1.unwrap(), "0123456789", "{fault:?} struck twice");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_gives_up_stops_a_delayed_request_but_not_a_late_commit() {
        for (fault, handled) in [
            (Fault::Delay(Duration::from_secs(40)), 0),
            (Fault::Late(Duration::from_secs(40)), 1),
            (Fault::CommitLate(Duration::from_secs(40)), 1),
        ] {
            let bench = bench(1);
            bench.gate.faults().add(Rule::new(fault.clone()));
            let patience = Duration::from_secs(35);
            assert!(tokio::time::timeout(patience, bench.send(Method::POST, "/x", "")).await.is_err());
            bench.gate.clock.sleep(Duration::from_secs(10)).await;
            assert_eq!(bench.handled(), handled, "{fault:?}");
        }
    }

    #[tokio::test]
    async fn rules_narrow_and_the_first_that_strikes_decides() {
        let bench = bench(1);
        let fail = |code| Rule::new(Fault::Status { code, retry_after: None });
        bench.gate.faults().add(fail(500).on(Method::PATCH));
        bench.gate.faults().add(fail(501).path("a=1"));
        bench.gate.faults().add(fail(502).body("anna"));
        bench.gate.faults().add(fail(503).path("a=1"));
        for (method, uri, body, status) in [
            (Method::PATCH, "/x?a=1", "anna", 500),
            (Method::POST, "/x?a=1", "anna", 501),
            (Method::POST, "/x", "bo, anna", 502),
            (Method::POST, "/x", "bo", 200),
            (Method::GET, "/y", "", 404),
        ] {
            assert_eq!(bench.send(method.clone(), uri, body).await.0.as_u16(), status, "{method} {uri} {body}");
        }
        let counts = bench.gate.requests();
        assert_eq!((counts.total, counts.of("POST x"), counts.of("GET other")), (5, 3, 1));
        bench.gate.faults().clear();
        bench.gate.reset_counts();
        assert_eq!(bench.send(Method::PATCH, "/x", "").await.0, StatusCode::OK);
        assert_eq!(bench.gate.requests().total, 1);
    }

    #[tokio::test]
    async fn chance_follows_the_seed() {
        let struck = async |seed| {
            let bench = bench(seed);
            bench.gate.faults().add(Rule::new(Fault::Html(500)).probability(0.3));
            let mut struck = Vec::new();
            for _ in 0..100 {
                struck.push(bench.send(Method::GET, "/x", "").await.0.is_server_error());
            }
            struck
        };
        let (one, again, other) = (struck(1).await, struck(1).await, struck(2).await);
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert!((15..=45).contains(&one.iter().filter(|struck| **struck).count()));
    }
}
