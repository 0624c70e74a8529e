//! One upstream: every request to it passes the breaker, waits its turn, is repeated where that is harmless, and its
//! failures are told apart. It knows no API; an adapter's [`Judge`] reads the answers for it.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Dice};
use crate::domain::Timestamp;
use crate::domain::failure::Trouble;
use crate::domain::instant::minute;
use crate::domain::spending::Cost;
use crate::http::breaker::{About, Breaker, Effect, Passage};
use crate::http::pacer::{Allowance, Pacer, PacerSettings, TooLong};
use crate::http::retry;
use crate::http::server_time::ServerTime;
use crate::http::token::{Token, Tokens};
use crate::http::transport::{Failure, Request, Response, Transport};
use crate::http::verdict::{self, Judge, Verdict};

/// A request, and what may be done with it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The request.
    pub request: Request,
    /// What repeating it would do.
    pub effect: Effect,
    /// Whom its failure speaks for.
    pub about: About,
    /// How its answer is judged.
    pub judge: Judge,
    /// What it costs of a budget a day, where there is one.
    pub cost: Cost,
}

impl Call {
    /// A call that may be repeated at will, speaking for the upstream.
    #[must_use]
    pub fn read(request: Request, judge: impl Into<Judge>) -> Self {
        Self { request, effect: Effect::Read, about: About::Upstream, judge: judge.into(), cost: Cost::REQUEST }
    }

    /// A call that must not be applied twice, speaking for the upstream.
    #[must_use]
    pub fn write(request: Request, judge: impl Into<Judge>) -> Self {
        Self { effect: Effect::Write, ..Self::read(request, judge) }
    }

    /// The same, speaking for one record only.
    #[must_use]
    pub fn about(self, record: &impl Display) -> Self {
        Self { about: About::Record(record.to_string()), ..self }
    }

    /// The same, at this cost.
    #[must_use]
    pub fn costing(self, cost: Cost) -> Self {
        Self { cost, ..self }
    }
}

/// The longest that one call sits out a server's wish to wait.
const PATIENCE: Duration = Duration::from_secs(300);
/// The longest that one call sits out a server that says it is down: whoever asked has a patience of his own for that.
const PATIENCE_WITH_DOWN: Duration = Duration::from_secs(20);
/// The shortest wait taken from a header: a cut second may mean a whole one.
const SHORTEST_WAIT: Duration = Duration::from_millis(500);

/// A handle on one upstream; clones share everything.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    name: String,
    transport: Arc<dyn Transport>,
    clock: Clock,
    dice: Dice,
    pacer: Pacer,
    allowance: Option<Arc<dyn Allowance>>,
    /// What the longest pause under way is for.
    paused_for: Mutex<Option<String>>,
    breaker: Mutex<Breaker>,
    server_time: Mutex<ServerTime>,
    requests: AtomicU64,
    /// One task at a time asks whether the upstream is back.
    recovery: tokio::sync::Mutex<()>,
}

/// What one try came to.
enum Attempt {
    Answered(Response, Verdict),
    /// Turned away: certainly not applied.
    Later {
        wait: Option<Duration>,
        cause: String,
        down: bool,
    },
    Failed {
        trouble: Trouble,
        harmless: bool,
    },
    Refused(Trouble),
}

impl Upstream {
    /// An upstream by the name used in messages (`propstreet`, or a source's).
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        transport: Arc<dyn Transport>,
        clock: Clock,
        dice: Dice,
        pacing: PacerSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            transport,
            allowance: pacing.allowance.clone(),
            pacer: Pacer::new(pacing, clock.clone()),
            paused_for: Mutex::default(),
            breaker: Mutex::new(Breaker::new(dice.seed())),
            server_time: Mutex::default(),
            requests: AtomicU64::new(0),
            recovery: tokio::sync::Mutex::new(()),
            clock,
            dice,
        }))
    }

    /// Sends a call. An answer that comes back is [`Verdict::Fine`], `Unauthorized`, `Forbidden` or `Refused`.
    ///
    /// # Errors
    /// [`Trouble::Outage`] at once while the breaker is open; [`Trouble::Ambiguous`] when the last answer was lost (for a
    /// write: the first, it is never repeated); [`Trouble::NotSent`] when nothing left, or the server wants a wait
    /// beyond five minutes; [`Trouble::Protocol`] for an answer above the cap.
    pub async fn call(&self, call: Call) -> Result<Response, Trouble> {
        self.judged(&call).await.map(|(response, _)| response)
    }

    /// Sends a call under a token: on 401 one renewal and one replay, which is safe for writes too.
    ///
    /// # Errors
    /// As [`Upstream::call`]; [`Trouble::Credential`] when the renewed token is refused as well.
    pub async fn authorized(
        &self,
        tokens: &Tokens,
        build: impl Fn(&Token) -> Call + Send + Sync,
    ) -> Result<Response, Trouble> {
        let token = tokens.current().await.map_err(before_sending)?;
        let (response, verdict) = self.judged(&build(&token)).await?;
        if verdict != Verdict::Unauthorized {
            return Ok(response);
        }
        let token = tokens.renew(&token).await.map_err(before_sending)?;
        match self.judged(&build(&token)).await? {
            (_, Verdict::Unauthorized) => {
                Err(Trouble::Credential("the token is not accepted, also after a fresh login".to_owned()))
            }
            (response, _) => Ok(response),
        }
    }

    /// Waits until the upstream answers a neutral read again, at most `patience`. Tasks that ask together share a probe.
    ///
    /// # Errors
    /// The trouble that still stands when patience ends, or at once one that no waiting mends.
    pub async fn recovered(
        &self,
        patience: Duration,
        tokens: &Tokens,
        build: impl Fn(&Token) -> Call + Send + Sync,
    ) -> Result<(), Trouble> {
        let arrived = self.0.clock.instant();
        let Ok(_turn) = tokio::time::timeout(patience, self.0.recovery.lock()).await else {
            return Err(self.outage());
        };
        let mut delays = retry::between_probes(self.0.dice.seed());
        let mut trouble = self.outage();
        let mut wait = self.until_probe();
        loop {
            let left = patience.saturating_sub(self.0.clock.instant() - arrived);
            if wait > left {
                self.0.clock.sleep(left).await;
                return Err(trouble);
            }
            self.0.clock.sleep(wait).await;
            if self.0.breaker().answered_since(arrived) {
                return Ok(());
            }
            let left = patience.saturating_sub(self.0.clock.instant() - arrived);
            match tokio::time::timeout(left, self.authorized(tokens, &build)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(lasting)) if !lasting.passes() => return Err(lasting),
                Ok(Err(passing)) => trouble = passing,
                // The probe waits at the gate for longer than anybody has patience; it changes nothing, so drop it.
                Err(_) => return Err(trouble),
            }
            let delay = delays.next().unwrap_or(PATIENCE);
            wait = match (&trouble, self.until_probe()) {
                (Trouble::NotSent { retry_after: Some(wish), .. }, _) => *wish,
                (_, Duration::ZERO) => delay,
                (_, booked) => booked,
            };
        }
    }

    /// The server's clock: the newest `Date` and the time since; `None` before the first answer.
    #[must_use]
    pub fn server_now(&self) -> Option<Timestamp> {
        self.0.server_time().at(self.0.clock.instant())
    }

    /// Requests sent so far, logins and repeats among them.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Since when the upstream is taken for down; `None` while it is not.
    #[must_use]
    pub fn open_since(&self) -> Option<Timestamp> {
        let since = self.0.breaker().open_since().map(|(since, _)| since)?;
        Some(self.0.clock.now() - (self.0.clock.instant() - since))
    }

    async fn judged(&self, call: &Call) -> Result<(Response, Verdict), Trouble> {
        let inner = &*self.0;
        let started = inner.clock.instant();
        let passage = inner.breaker().passage(started);
        let tries = match passage {
            Passage::Refused => return Err(self.outage()),
            Passage::Probe => 1,
            Passage::Free => usize::MAX,
        };
        let mut delays = retry::within_request(inner.dice.seed()).take(tries - 1);
        let mut waits = retry::between_probes(inner.dice.seed());
        loop {
            let left = PATIENCE.saturating_sub(inner.clock.instant() - started);
            match inner.attempt(call, left).await {
                Attempt::Answered(response, verdict) => {
                    self.answered(call.effect);
                    return Ok((response, verdict));
                }
                Attempt::Refused(trouble) => return Err(trouble),
                Attempt::Failed { trouble, harmless } => match delays.next() {
                    Some(delay) if harmless => inner.clock.sleep(delay).await,
                    _ => {
                        self.failed(call, started, &trouble);
                        return Err(trouble);
                    }
                },
                Attempt::Later { wait, cause, down } => {
                    let wait = wait.or_else(|| waits.next()).unwrap_or(PATIENCE).max(SHORTEST_WAIT);
                    inner.pacer.pause(wait);
                    let patience = if down { PATIENCE_WITH_DOWN } else { PATIENCE };
                    if inner.clock.instant() + wait > started + patience {
                        let trouble = Trouble::NotSent { cause, retry_after: Some(wait) };
                        if down {
                            self.failed(call, started, &trouble);
                        }
                        return Err(trouble);
                    }
                }
            }
        }
    }

    fn answered(&self, effect: Effect) {
        if self.0.breaker().succeeded(effect, self.0.clock.instant()) {
            tracing::info!(upstream = %self.0.name, "answers again");
        }
    }

    fn failed(&self, call: &Call, started: Instant, trouble: &Trouble) {
        let (now, cause) = (self.0.clock.instant(), trouble.to_string());
        if self.0.breaker().failed(&call.about, call.effect, started, now, &cause) {
            tracing::warn!(upstream = %self.0.name, %cause, "taken for down");
        }
    }

    fn until_probe(&self) -> Duration {
        let next = self.0.breaker().next_probe();
        next.map_or(Duration::ZERO, |at| at.saturating_duration_since(self.0.clock.instant()))
    }

    fn outage(&self) -> Trouble {
        let breaker = self.0.breaker();
        Trouble::Outage(match breaker.open_since() {
            Some((_, cause)) => cause.to_owned(),
            None => "it has not answered yet".to_owned(),
        })
    }
}

impl Inner {
    async fn attempt(&self, call: &Call, patience: Duration) -> Attempt {
        let permit = match self.pacer.admit(patience).await {
            Ok(permit) => permit,
            Err(TooLong(left)) => {
                let told = self.paused_for().clone();
                let cause = told.unwrap_or_else(|| format!("it asked for a pause until {}", self.instant_after(left)));
                return Attempt::Refused(Trouble::NotSent { cause, retry_after: Some(left) });
            }
        };
        // Whoever is let in finds no such pause any more.
        *self.paused_for() = None;
        if let Some(Err(trouble)) = self.allowance.as_ref().map(|allowance| allowance.take(call.cost)) {
            return Attempt::Refused(trouble);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        match self.transport.send(call.request.clone()).await {
            Ok(response) => {
                permit.observe(&response);
                if let Some(allowance) = &self.allowance {
                    allowance.learn(response.headers());
                }
                if let Some(date) = verdict::date(response.headers()) {
                    self.server_time().heard(date, self.clock.instant());
                }
                self.judge(call, response)
            }
            Err(failure) => self.unanswered(call, &failure),
        }
    }

    fn judge(&self, call: &Call, response: Response) -> Attempt {
        let status = response.status();
        let cause = format!("HTTP {}{}", status.as_u16(), correlation(&response));
        match call.judge.verdict(&response) {
            Verdict::Retry { after } => Attempt::Later { wait: after, cause, down: status.is_server_error() },
            Verdict::Exhausted { until } => {
                self.closed(&format!("{cause}: what it allows all who use this account is used up"), until)
            }
            Verdict::Away { until, why } => self.closed(&format!("{cause}: {why}"), until),
            Verdict::Ambiguous => {
                Attempt::Failed { trouble: Trouble::Ambiguous(cause), harmless: call.effect == Effect::Read }
            }
            verdict @ (Verdict::Fine | Verdict::Unauthorized | Verdict::Forbidden | Verdict::Refused) => {
                Attempt::Answered(response, verdict)
            }
        }
    }

    /// The instant is named, because words are read again hours later.
    fn closed(&self, cause: &str, wait: Duration) -> Attempt {
        let (minutes, end) = (wait.as_secs().div_ceil(60), self.instant_after(wait));
        let cause = format!("{cause}; nothing is sent for {minutes} min, until {end}");
        *self.paused_for() = Some(cause.clone());
        Attempt::Later { wait: Some(wait), cause, down: false }
    }

    fn instant_after(&self, wait: Duration) -> String {
        minute(self.clock.now() + wait)
    }

    fn unanswered(&self, call: &Call, failure: &Failure) -> Attempt {
        let cause = failure.to_string();
        match (failure, call.effect) {
            (Failure::NotSent(_), _) => {
                Attempt::Failed { trouble: Trouble::NotSent { cause, retry_after: None }, harmless: true }
            }
            (Failure::TooLarge(_), Effect::Read) => Attempt::Refused(Trouble::TooLarge(cause)),
            (Failure::TooLarge(_), Effect::Write) => Attempt::Refused(Trouble::Ambiguous(cause)),
            (Failure::Lost(_), effect) => {
                Attempt::Failed { trouble: Trouble::Ambiguous(cause), harmless: effect == Effect::Read }
            }
        }
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paused_for(&self) -> MutexGuard<'_, Option<String>> {
        self.paused_for.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server_time(&self) -> MutexGuard<'_, ServerTime> {
        self.server_time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server calls this exchange, for its support to find it; no more of it than a name can be.
fn correlation(response: &Response) -> String {
    let id = response.headers().get("x-correlation-id").and_then(|id| id.to_str().ok());
    let is_name = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    id.filter(is_name).map(|id| format!(" (correlation {id})")).unwrap_or_default()
}

/// A login whose answer was lost leaves nothing in doubt about the call it was for.
fn before_sending(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Ambiguous(cause) => Trouble::NotSent { cause: format!("login: {cause}"), retry_after: None },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use secrecy::{ExposeSecret, SecretString};

    use super::*;
    use crate::http::scripted::{Scripted, answer};

    const NOON: Timestamp = Timestamp::from_timestamp(1_777_982_400, 0).unwrap();

    fn upstream(network: &Arc<Scripted>) -> Upstream {
        let (clock, dice) = (Clock::simulated(NOON), Dice::seeded(7));
        Upstream::new("crm", Arc::clone(network) as Arc<dyn Transport>, clock, dice, PacerSettings::default())
    }

    fn request() -> Request {
        ::http::Request::get("https://crm.example/x").body(Bytes::new()).unwrap()
    }

    fn read() -> Call {
        Call::read(request(), verdict::general)
    }

    fn write(record: &str) -> Call {
        Call::write(request(), verdict::general).about(&record)
    }

    fn lost() -> Failure {
        Failure::Lost("reset".to_owned())
    }

    fn refused() -> Failure {
        Failure::NotSent("refused".to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_repeated_and_how_often() {
        type Way = fn() -> Result<Response, Failure>;
        type End = (usize, &'static str);
        let cases: &[(&str, Way, End, End)] = &[
            ("lost", || Err(lost()), (4, "answer_lost"), (1, "answer_lost")),
            ("not sent", || Err(refused()), (4, "not_sent"), (4, "not_sent")),
            ("too large", || Err(Failure::TooLarge(9)), (1, "too_large"), (1, "answer_lost")),
            ("500", || Ok(answer(500, &[], "")), (4, "answer_lost"), (1, "answer_lost")),
            ("503 alone", || Ok(answer(503, &[], "")), (4, "answer_lost"), (1, "answer_lost")),
            ("429 for an hour", || Ok(answer(429, &[("retry-after", "3600")], "")), (1, "not_sent"), (1, "not_sent")),
            ("429 for ever", || Ok(answer(429, &[("retry-after", "60")], "")), (6, "not_sent"), (6, "not_sent")),
            ("503 for long", || Ok(answer(503, &[("retry-after", "99")], "")), (1, "not_sent"), (1, "not_sent")),
            ("503 for now", || Ok(answer(503, &[("retry-after", "5")], "")), (5, "not_sent"), (5, "not_sent")),
            ("fine", || Ok(answer(200, &[], "")), (1, "fine"), (1, "fine")),
            ("refused", || Ok(answer(422, &[], "")), (1, "fine"), (1, "fine")),
            ("forbidden", || Ok(answer(403, &[], "")), (1, "fine"), (1, "fine")),
        ];
        for (name, way, for_read, for_write) in cases {
            for (call, (tries, end)) in [(read(), for_read), (write("a"), for_write)] {
                let network = Scripted::answering(move |_, _| way());
                let upstream = upstream(&network);
                let result = upstream.call(call.clone()).await;
                assert_eq!(result.map_or_else(|trouble| trouble.code(), |_| "fine"), *end, "{name} {:?}", call.effect);
                assert_eq!(upstream.requests(), *tries as u64, "{name} {:?}", call.effect);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_repeated_only_after_it_was_certainly_turned_away() {
        let network = Scripted::answering(|n, _| match n {
            0 => Err(refused()),
            1 => Ok(answer(429, &[("retry-after", "2")], "")),
            2 => Ok(answer(503, &[("retry-after", "2")], "")),
            _ => Err(lost()),
        });
        assert!(matches!(upstream(&network).call(write("a")).await, Err(Trouble::Ambiguous(_))));
        assert_eq!(network.seen().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_everyones() {
        let network = Scripted::answering(|n, _| match n {
            0 => Ok(answer(429, &[("retry-after", "3600")], "")),
            _ => Ok(answer(200, &[], "")),
        });
        let (upstream, mut trouble_words) = (upstream(&network), Vec::new());
        for _ in 0..3 {
            let trouble = upstream.call(write("a")).await.unwrap_err();
            assert!(matches!(trouble, Trouble::NotSent { retry_after: Some(wait), .. } if wait.as_secs() == 3600));
            trouble_words.push(trouble.to_string());
        }
        assert_eq!(trouble_words[2], "it asked for a pause until 2026-05-05T13:00Z");
        assert_eq!(network.seen().len(), 1, "nobody hammers");
        upstream.0.clock.sleep(Duration::from_secs(3600)).await;
        assert!(upstream.call(write("a")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_for_long_hears_until_when() {
        for (verdict, why) in [
            (
                Verdict::Exhausted { until: Duration::from_secs(5400) },
                "what it allows all who use this account is used up",
            ),
            (Verdict::Away { until: Duration::from_secs(5400), why: "it is being moved" }, "it is being moved"),
        ] {
            let network = Scripted::answering(|_, _| Ok(answer(429, &[], "")));
            let call = Call::read(request(), move |_: &Response| verdict);
            let words = format!("HTTP 429: {why}; nothing is sent for 90 min, until 2026-05-05T13:30Z");
            let upstream = upstream(&network);
            for _ in 0..3 {
                let trouble = upstream.call(call.clone()).await.unwrap_err();
                assert_eq!(trouble.to_string(), words);
                upstream.0.clock.sleep(Duration::from_secs(600)).await;
            }
            assert_eq!(network.seen().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_calls_the_exchange_is_told_if_it_is_a_name() {
        for (id, told) in [("0b0e-77", "HTTP 500 (correlation 0b0e-77)"), ("anna berg", "HTTP 500"), ("", "HTTP 500")] {
            let network = Scripted::answering(move |_, _| Ok(answer(500, &[("x-correlation-id", id)], "")));
            let trouble = upstream(&network).call(write("a")).await.unwrap_err();
            assert_eq!(trouble, Trouble::Ambiguous(told.to_owned()), "{id}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn three_records_make_an_outage_and_a_neutral_answer_ends_it() {
        let network = Scripted::answering(|n, _| if n < 6 { Err(lost()) } else { Ok(answer(200, &[], "")) });
        let upstream = upstream(&network);
        for record in ["a", "a", "b", "c"] {
            assert!(matches!(upstream.call(write(record)).await, Err(Trouble::Ambiguous(_))));
        }
        assert!(matches!(upstream.call(write("d")).await, Err(Trouble::Outage(_))));
        assert_eq!((network.seen().len(), upstream.open_since()), (4, Some(NOON)));

        let tokens = Tokens::fixed(SecretString::from("t"));
        let waiting = (0..5).map(|_| upstream.recovered(Duration::from_secs(120), &tokens, |_| read()));
        assert!(futures_util::future::join_all(waiting).await.iter().all(Result::is_ok));
        assert_eq!(network.seen().len(), 7, "two probes in vain, one answered, shared by all who wait");
        assert_eq!(upstream.open_since(), None);
        assert!(upstream.call(write("d")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_recovery_ends_with_patience() {
        let network = Scripted::answering(|_, _| Err(refused()));
        let (upstream, tokens) = (upstream(&network), Tokens::fixed(SecretString::from("t")));
        let start = upstream.0.clock.instant();
        let patience = Duration::from_secs(600);
        let trouble = upstream.recovered(patience, &tokens, |_| read()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::NotSent { .. }), "{trouble:?}");
        assert_eq!(start.elapsed(), patience);
        assert!((10..30).contains(&network.seen().len()), "probes thin out: {}", network.seen().len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_renewed_once_and_the_call_replayed() {
        let fetched = |clock: &Clock| {
            let logins = AtomicU64::new(0);
            Tokens::fetched(
                Box::new(move || {
                    let token = Token::new(format!("t{}", logins.fetch_add(1, Ordering::SeqCst)).into());
                    Box::pin(async move { Ok(token) })
                }),
                clock.clone(),
                10,
            )
        };
        let build = |token: &Token| {
            let request =
                ::http::Request::post("https://crm.example/x").header("authorization", token.secret.expose_secret());
            Call::write(request.body(Bytes::new()).unwrap(), verdict::general)
        };
        let network = Scripted::answering(|_, request| {
            Ok(answer(if request.headers()["authorization"] == "t1" { 201 } else { 401 }, &[], ""))
        });
        let upstream = upstream(&network);
        let tokens = fetched(&upstream.0.clock);
        assert_eq!(upstream.authorized(&tokens, build).await.unwrap().status(), 201);
        assert_eq!(upstream.authorized(&tokens, build).await.unwrap().status(), 201);
        assert_eq!(network.seen().len(), 3);

        let network = Scripted::answering(|_, _| Ok(answer(401, &[], "")));
        let upstream = self::upstream(&network);
        let trouble = upstream.authorized(&fetched(&upstream.0.clock), build).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Credential(_)));
        assert_eq!(network.seen().len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_login_leaves_nothing_in_doubt() {
        let network = Scripted::answering(|_, _| Ok(answer(200, &[], "")));
        let upstream = upstream(&network);
        let fetch = || -> futures_util::future::BoxFuture<'static, _> {
            Box::pin(async { Err(Trouble::Ambiguous("time-out".to_owned())) })
        };
        let tokens = Tokens::fetched(Box::new(fetch), upstream.0.clock.clone(), 10);
        let trouble = upstream.authorized(&tokens, |_| write("a")).await.unwrap_err();
        assert!(matches!(trouble, Trouble::NotSent { .. }) && network.seen().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_servers_clock_runs_on() {
        let network = Scripted::answering(|_, _| Ok(answer(200, &[("date", "Tue, 05 May 2026 11:00:00 GMT")], "")));
        let upstream = upstream(&network);
        assert_eq!(upstream.server_now(), None);
        upstream.call(read()).await.unwrap();
        upstream.0.clock.sleep(Duration::from_secs(90)).await;
        assert_eq!(upstream.server_now().unwrap().to_rfc3339(), "2026-05-05T11:01:30+00:00");
    }
}
