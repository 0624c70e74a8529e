//! The network in one process: a request goes to the look-alike's router as if by a socket, and fails the way sockets fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use propsync::assembly::Network;
use propsync::http::transport::{Failure, Request, Response, Transport};
use propsync::sandbox::Sandbox;
use propsync::sandbox::upstream::Upstream;
use tower::ServiceExt;
use url::Url;

/// Look-alikes by port.
#[derive(Clone)]
pub struct Routers(BTreeMap<u16, Router>);

impl Routers {
    pub fn of(sandbox: &Sandbox) -> Self {
        Self((1..).zip(Upstream::ALL).map(|(port, upstream)| (port, sandbox.router(upstream))).collect())
    }

    /// The addresses, in the order of `Upstream::ALL`.
    pub fn urls(&self) -> [String; 4] {
        [1, 2, 3, 4].map(|port| format!("http://127.0.0.1:{port}"))
    }
}

impl Network for Routers {
    fn transport(&self, base: &Url, timeout: Duration) -> Result<Arc<dyn Transport>, String> {
        let port = base.port().ok_or("a port tells the look-alikes apart")?;
        let router = self.0.get(&port).ok_or("no look-alike there")?.clone();
        Ok(Arc::new(InProcess { router, timeout }))
    }
}

struct InProcess {
    router: Router,
    timeout: Duration,
}

impl Transport for InProcess {
    fn send(&self, mut request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(async move {
            if let Some(authority) = request.uri().authority().map(ToString::to_string) {
                request.headers_mut().insert("host", authority.parse().expect("an authority is a header"));
            }
            let exchange = async {
                let answer = self.router.clone().oneshot(request.map(axum::body::Body::from)).await;
                let (head, body) = answer.expect("a router always answers").into_parts();
                let whole = body.collect().await.map_err(|_| Failure::Lost("the connection was cut".to_owned()))?;
                Ok(Response::from_parts(head, whole.to_bytes()))
            };
            match tokio::time::timeout(self.timeout, exchange).await {
                Ok(result) => result,
                Err(_) => Err(Failure::Lost("time-out".to_owned())),
            }
        })
    }
}
