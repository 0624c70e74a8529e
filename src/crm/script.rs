//! A transport that answers from a script and keeps what it was asked, for the adapters' tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use url::Url;

use crate::domain::finding::{Finding, Weight};
use crate::domain::record::Window;
use crate::http::transport::{Failure, Request, Response, Transport};

/// Answers in order; one request too many fails to connect.
#[derive(Default)]
pub(crate) struct Script {
    answers: Mutex<VecDeque<Response>>,
    asked: Mutex<Vec<Asked>>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub method: ::http::Method,
    pub url: Url,
    pub headers: ::http::HeaderMap,
    pub body: String,
}

impl Asked {
    /// A query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Script {
    pub(crate) fn new(answers: impl IntoIterator<Item = Response>) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.into_iter().collect()), asked: Mutex::default() })
    }

    /// What was asked so far. Fails the test if answers are left over.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        assert!(self.answers.lock().unwrap().is_empty(), "answers left over");
        self.asked.lock().unwrap().clone()
    }
}

impl Transport for Script {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let answer = self.answers.lock().unwrap().pop_front();
        self.asked.lock().unwrap().push(Asked {
            method: request.method().clone(),
            url: request.uri().to_string().parse().unwrap(),
            headers: request.headers().clone(),
            body: String::from_utf8(request.body().to_vec()).unwrap(),
        });
        async move {
            match answer {
                Some(answer) if answer.extensions().get::<TooLarge>().is_some() => Err(Failure::TooLarge(0)),
                Some(answer) => Ok(answer),
                None => Err(Failure::NotSent("the script is at its end".into())),
            }
        }
        .boxed()
    }
}

/// An answer of a server whose clock says 2026-11-02T10:00:00Z.
#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
pub(crate) fn answer(status: u16, body: impl ToString) -> Response {
    let response = ::http::Response::builder().status(status).header("date", "Mon, 02 Nov 2026 10:00:00 GMT");
    response.body(Bytes::from(body.to_string())).unwrap()
}

#[derive(Debug, Clone, Copy)]
struct TooLarge;

/// An answer larger than what is taken at once.
pub(crate) fn too_large() -> Response {
    let mut response = answer(200, "");
    response.extensions_mut().insert(TooLarge);
    response
}

/// The same answer of a server that does not tell the time.
pub(crate) fn undated(mut response: Response) -> Response {
    response.headers_mut().remove("date");
    response
}

/// The same answer with one more header.
pub(crate) fn with(mut response: Response, name: &'static str, value: &str) -> Response {
    response.headers_mut().insert(name, value.parse().unwrap());
    response
}

/// The hour before that server's now.
pub(crate) fn window() -> Window {
    Window { lo: "2026-11-02T09:00:00Z".parse().unwrap(), hi: "2026-11-02T10:00:00Z".parse().unwrap() }
}

/// Findings, in a form that is easily compared.
pub(crate) fn told(findings: Vec<Finding>) -> Vec<(Weight, String)> {
    findings.into_iter().map(|found| (found.weight, format!("{} | {}", found.what, found.remedy))).collect()
}

/// That this is the one thing found, told with these words.
pub(crate) fn assert_one(found: &[(Weight, String)], weight: Weight, words: &[&str]) {
    let [(was, told)] = found else { panic!("not one: {found:?}") };
    assert_eq!(*was, weight, "{told}");
    assert!(words.iter().all(|words| told.contains(words)), "{words:?}: {told}");
}
