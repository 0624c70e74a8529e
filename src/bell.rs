//! The receiver of webhooks: it lets in what comes from a CRM, rings that source's bell and answers at once. Nothing of a
//! call is written to a log. What it tells is kept, where it tells anything, before the call is answered: the CRM takes the
//! answer for a receipt, and tells it never again.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Method, StatusCode, Uri};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::crm::webhook::{Doorkeeper, Heard, Knock, Notebook, Refused};
use crate::scheduler::turns::Bell;

/// The largest body that is taken; HubSpot's hundred events are a tenth of it.
const MAX_BODY: usize = 1024 * 1024;
/// The largest head that is taken. Its headers may be a hundred, which is hyper's own bound.
const MAX_HEAD: usize = 64 * 1024;
/// How long a call may take to arrive and be answered. HubSpot itself waits for five seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Calls at once; more wait for their turn. HubSpot makes ten.
const AT_ONCE: usize = 32;
/// The pause after a connection that could not be taken, as when the process has no file left to open.
const BREATH: Duration = Duration::from_secs(1);

/// Where webhooks come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address under which the CRMs reach it, as it is written there, without a slash at its end.
    pub public_url: String,
}

/// The way in for one source.
pub struct Door {
    keeper: Arc<dyn Doorkeeper>,
    notebook: Arc<dyn Notebook>,
    bell: Bell,
    /// The last call was refused, which has been told.
    refusing: AtomicBool,
}

impl Door {
    /// A door with its keeper, the notebook for what is heard there, and the bell behind it.
    #[must_use]
    pub fn new(keeper: Arc<dyn Doorkeeper>, notebook: Arc<dyn Notebook>, bell: Bell) -> Self {
        Self { keeper, notebook, bell, refusing: AtomicBool::new(false) }
    }
}

/// Every source's door, and the address in front of them.
struct House {
    public_url: String,
    doors: BTreeMap<String, Door>,
    clock: Clock,
}

/// Listens for webhooks.
pub struct Receiver {
    listener: TcpListener,
    router: Router,
    clock: Clock,
}

impl Receiver {
    /// Begins to listen; calls are answered once it serves.
    ///
    /// # Errors
    /// When the address is taken, or not this machine's.
    pub async fn open(settings: &Settings, doors: BTreeMap<String, Door>, clock: Clock) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let house = House { public_url: settings.public_url.clone(), doors, clock: clock.clone() };
        Ok(Self { listener, router: router(house), clock })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers calls until it is dropped, and what is under way with it.
    pub async fn serve(&self) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= AT_ONCE {
                connections.join_next().await;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(attend(stream, self.router.clone(), self.clock.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "a webhook's connection could not be taken");
                    self.clock.sleep(BREATH).await;
                }
            }
        }
    }
}

/// Answers one call. Whoever is slow, or wants more than one, comes again.
async fn attend(stream: TcpStream, router: Router, clock: Clock) {
    let service = TowerToHyperService::new(router);
    let mut http = http1::Builder::new();
    let call = http.keep_alive(false).max_buf_size(MAX_HEAD).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // What is wrong with a call is the caller's to know.
        _ = call => {}
        () = clock.sleep(PATIENCE) => {}
    }
}

fn router(house: House) -> Router {
    Router::new()
        .route("/webhooks/{source}", post(answer))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(house))
}

async fn answer(
    State(house): State<Arc<House>>,
    Path(source): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(door) = house.doors.get(&source) else { return StatusCode::NOT_FOUND.into_response() };
    // The CRM signs the address it calls, which a proxy in front of us does not pass on: its host is known, the rest came.
    let came_to = uri.path_and_query().map_or("", |rest| rest.as_str());
    let address = format!("{}{came_to}", house.public_url);
    let knock = Knock { method: &method, address: &address, headers: &headers, body: &body, at: house.clock.now() };
    match door.keeper.admit(&knock) {
        Ok(heard) => {
            door.refusing.store(false, Ordering::Relaxed);
            door.let_in(&source, heard).await.into_response()
        }
        Err(Refused(why)) => {
            door.tell(&source, why);
            let challenge = door.keeper.challenge().map(|challenge| [(WWW_AUTHENTICATE, challenge)]);
            (StatusCode::UNAUTHORIZED, challenge, why).into_response()
        }
    }
}

impl Door {
    /// Keeps what was heard, then rings. What cannot be kept is refused, so that the CRM comes again with it.
    async fn let_in(&self, source: &str, Heard { merged }: Heard) -> StatusCode {
        let merges = merged.len();
        if merges > 0
            && let Err(what) = self.notebook.keep(merged).await
        {
            let remedy = "the CRM tells it a few times more; after that only the next sweep sees who has left";
            tracing::error!(source, what, remedy, "a merge that a webhook told of could not be kept");
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        tracing::debug!(source, merges, "a webhook rings");
        self.bell.ring();
        StatusCode::OK
    }

    /// Says that a call was refused: once, until one is let in again, because strangers may knock as often as they like.
    fn tell(&self, source: &str, why: &str) {
        if self.refusing.swap(true, Ordering::Relaxed) {
            tracing::debug!(source, why, "a webhook was refused");
            return;
        }
        let remedy = "if the CRM sent it: check that the secret, or user and password, are those written there (of HubSpot, \
                      the app's secret), that webhooks.public_url is the address the CRM calls, and this machine's clock; \
                      polling goes on meanwhile";
        tracing::warn!(source, why, remedy, "a webhook was refused; further ones are not told of until one is let in");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::body::Body;
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;
    use http::Request;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tower::ServiceExt as _;

    use super::*;
    use crate::domain::merge::Hint;

    /// Lets in whoever says a word, and remembers the addresses. One of the words tells of a merge.
    #[derive(Default)]
    struct Word(Mutex<Vec<String>>);

    impl Doorkeeper for Word {
        fn admit(&self, knock: &Knock<'_>) -> Result<Heard, Refused> {
            self.0.lock().unwrap().push(format!("{} {}", knock.method, knock.address));
            match knock.body {
                b"please" => Ok(Heard::default()),
                b"merged" => Ok(Heard { merged: vec![hint()] }),
                _ => Err(Refused("wrong word")),
            }
        }

        fn challenge(&self) -> Option<&'static str> {
            Some("Word")
        }

        fn shown_after(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn hint() -> Hint {
        Hint { loser: "1".to_owned(), survivor: "2".to_owned() }
    }

    /// Notes what it is told while it is open, and hears whether the bell had been rung before.
    #[derive(Default)]
    struct Page {
        shut: AtomicBool,
        bell: Bell,
        kept: Mutex<Vec<(Hint, bool)>>,
    }

    impl Notebook for Page {
        fn keep(&self, hints: Vec<Hint>) -> BoxFuture<'_, Result<(), String>> {
            async {
                if self.shut.load(Ordering::Relaxed) {
                    return Err("shut".to_owned());
                }
                let rung = self.bell.hear();
                self.kept.lock().unwrap().extend(hints.into_iter().map(|hint| (hint, rung)));
                Ok(())
            }
            .boxed()
        }
    }

    struct Stage {
        keeper: Arc<Word>,
        page: Arc<Page>,
        bell: Bell,
        router: Router,
    }

    fn stage() -> Stage {
        let (keeper, bell) = (Arc::<Word>::default(), Bell::default());
        let page = Arc::new(Page { bell: bell.clone(), ..Page::default() });
        let door = Door::new(keeper.clone(), page.clone(), bell.clone());
        let doors = BTreeMap::from([("crm".to_owned(), door)]);
        let house =
            House { public_url: "https://hooks.example.com/propsync".to_owned(), doors, clock: Clock::system() };
        Stage { keeper, page, bell, router: router(house) }
    }

    async fn answered(stage: &Stage, method: Method, path: &str, body: impl Into<Body>) -> Response {
        let request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        stage.router.clone().oneshot(request).await.unwrap()
    }

    async fn asked(stage: &Stage, method: Method, path: &str, body: impl Into<Body>) -> StatusCode {
        answered(stage, method, path, body).await.status()
    }

    #[tokio::test]
    async fn what_is_told_is_kept_before_the_answer_or_asked_for_again() {
        let stage = stage();
        let door = "/webhooks/crm";
        stage.page.shut.store(true, Ordering::Relaxed);
        assert_eq!(asked(&stage, Method::POST, door, "merged").await, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!stage.bell.hear(), "nothing is served of what was not kept");
        assert_eq!(asked(&stage, Method::POST, door, "please").await, StatusCode::OK, "there is nothing to keep");
        assert!(stage.bell.hear());
        stage.page.shut.store(false, Ordering::Relaxed);
        assert_eq!(asked(&stage, Method::POST, door, "merged").await, StatusCode::OK);
        assert_eq!(*stage.page.kept.lock().unwrap(), [(hint(), false)], "kept first, rung then");
        assert!(stage.bell.hear());
    }

    #[tokio::test]
    async fn a_refusal_says_what_is_asked_for() {
        let refused = answered(&stage(), Method::POST, "/webhooks/crm", "no").await;
        assert_eq!(
            (refused.status(), &refused.headers()[WWW_AUTHENTICATE]),
            (StatusCode::UNAUTHORIZED, &"Word".parse().unwrap())
        );
    }

    #[tokio::test]
    async fn whoever_is_let_in_rings_the_bell() {
        let stage = stage();
        let door = "/webhooks/crm?x=%3A&y=a%20b";
        assert_eq!(asked(&stage, Method::POST, door, "no").await, StatusCode::UNAUTHORIZED);
        assert!(!stage.bell.hear(), "a refused call rings nothing");
        assert_eq!(asked(&stage, Method::POST, door, "please").await, StatusCode::OK);
        assert!(stage.bell.hear());
        let address = "POST https://hooks.example.com/propsync/webhooks/crm?x=%3A&y=a%20b";
        assert_eq!(*stage.keeper.0.lock().unwrap(), [address; 2], "path and query as they came");
    }

    #[tokio::test]
    async fn what_is_no_call_is_not_shown_to_the_keeper() {
        let stage = stage();
        let large = || vec![b' '; MAX_BODY + 1];
        for (method, path, body, expected) in [
            (Method::POST, "/webhooks/other", vec![], StatusCode::NOT_FOUND),
            (Method::POST, "/webhooks/crm/", vec![], StatusCode::NOT_FOUND),
            (Method::POST, "/webhooks/", vec![], StatusCode::NOT_FOUND),
            (Method::POST, "/", vec![], StatusCode::NOT_FOUND),
            (Method::GET, "/webhooks/crm", vec![], StatusCode::METHOD_NOT_ALLOWED),
            (Method::PUT, "/webhooks/crm", vec![], StatusCode::METHOD_NOT_ALLOWED),
            (Method::POST, "/webhooks/crm", large(), StatusCode::PAYLOAD_TOO_LARGE),
        ] {
            assert_eq!(asked(&stage, method.clone(), path, body).await, expected, "{method} {path}");
        }
        assert!(stage.keeper.0.lock().unwrap().is_empty() && !stage.bell.hear());
        let fits = vec![b' '; MAX_BODY];
        assert_eq!(asked(&stage, Method::POST, "/webhooks/crm", fits).await, StatusCode::UNAUTHORIZED);
    }

    /// What comes back over a socket until it is closed.
    async fn heard(sent: &str) -> String {
        let settings = Settings { listen: "127.0.0.1:0".parse().unwrap(), public_url: String::new() };
        let receiver = Receiver::open(&settings, BTreeMap::new(), Clock::system()).await.unwrap();
        let mut stream = TcpStream::connect(receiver.address().unwrap()).await.unwrap();
        let talk = async {
            stream.write_all(sent.as_bytes()).await.unwrap();
            let mut heard = String::new();
            // A connection that is reset has been closed as well.
            drop(stream.read_to_string(&mut heard).await);
            heard
        };
        tokio::select! { () = receiver.serve() => String::new(), heard = talk => heard }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_slow_or_sends_too_many_headers_is_not_waited_for() {
        let began = tokio::time::Instant::now();
        let unknown = heard("POST /webhooks/crm HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n").await;
        assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("connection: close"), "{unknown}");
        let headers: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
        let many = heard(&format!("POST /webhooks/crm HTTP/1.1\r\nhost: x\r\n{headers}\r\n")).await;
        assert!(many.starts_with("HTTP/1.1 431"), "{many}");
        for slow in
            ["POST /webhooks/crm HTTP/1.1\r\nhost: x\r\n", "POST /webhooks/crm HTTP/1.1\r\ncontent-length: 9\r\n\r\n"]
        {
            let before = began.elapsed();
            assert_eq!(heard(slow).await, "", "{slow}");
            assert_eq!(began.elapsed() - before, PATIENCE, "{slow}");
        }
    }
}
