//! One token for all tasks. However many find it stale at once, one login is made; a login under way is finished even if
//! its caller leaves, because a rotated refresh token that is not kept is lost. It knows no grant and no endpoint.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderValue;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::clock::Clock;
use crate::domain::failure::Trouble;

/// A bearer token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub secret: SecretString,
    /// Its life from now on; `None` where the server does not say.
    pub expires_in: Option<Duration>,
    /// The host it is good for, where the login names one (Salesforce's `instance_url`).
    pub base: Option<Url>,
}

impl Token {
    /// A token of unknown life for the configured host.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self { secret, expires_in: None, base: None }
    }

    /// The value of `Authorization`. A secret no header can carry goes out as an empty one, and is refused like any wrong one.
    #[must_use]
    pub fn bearer(&self) -> HeaderValue {
        let value = HeaderValue::try_from(format!("Bearer {}", self.secret.expose_secret()));
        let mut value = value.unwrap_or(HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    fn is(&self, other: &Self) -> bool {
        self.secret.expose_secret() == other.secret.expose_secret()
    }
}

/// Gets a token from the server.
pub type Fetch = Box<dyn Fn() -> BoxFuture<'static, Result<Token, Trouble>> + Send + Sync>;

/// The tokens of one upstream.
#[derive(Clone)]
pub struct Tokens(Kind);

#[derive(Clone)]
enum Kind {
    Fixed(Token),
    Fetched(Arc<Logins>),
}

struct Logins {
    fetch: Fetch,
    clock: Clock,
    per_hour: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<(Token, Option<Instant>)>,
    /// When logins were answered within the last hour.
    answered: VecDeque<Instant>,
    refused: Option<(Trouble, Instant)>,
}

const HOUR: Duration = Duration::from_secs(3600);
/// A refusal stands this long for everyone who asks.
const REFUSAL: Duration = Duration::from_secs(30);
/// A token is renewed this long before it ends, or in the last tenth of a shorter life.
const MARGIN: Duration = Duration::from_secs(60);

impl Tokens {
    /// One token that nobody can renew.
    #[must_use]
    pub fn fixed(secret: SecretString) -> Self {
        Self(Kind::Fixed(Token::new(secret)))
    }

    /// Tokens fetched when needed, with at most this many logins an hour.
    #[must_use]
    pub fn fetched(fetch: Fetch, clock: Clock, logins_per_hour: usize) -> Self {
        let state = Mutex::new(State::default());
        Self(Kind::Fetched(Arc::new(Logins { fetch, clock, per_hour: logins_per_hour, state })))
    }

    /// The token to use now.
    ///
    /// # Errors
    /// What the login ended with; [`Trouble::Credential`] beyond the cap an hour.
    pub async fn current(&self) -> Result<Token, Trouble> {
        match &self.0 {
            Kind::Fixed(token) => Ok(token.clone()),
            Kind::Fetched(logins) => {
                let valid = logins.state.lock().await.valid(logins.clock.instant());
                match valid {
                    Some(token) => Ok(token),
                    None => Logins::log_in(logins, None).await,
                }
            }
        }
    }

    /// Another token than `stale`, which the server refused.
    ///
    /// # Errors
    /// As [`Tokens::current`]; always [`Trouble::Credential`] for a fixed token.
    pub async fn renew(&self, stale: &Token) -> Result<Token, Trouble> {
        match &self.0 {
            Kind::Fixed(_) => Err(Trouble::Credential("the token is refused: expired, revoked or mistyped".to_owned())),
            Kind::Fetched(logins) => Logins::log_in(logins, Some(stale.clone())).await,
        }
    }

    /// Returns when no login is under way any more.
    pub async fn settled(&self) {
        if let Kind::Fetched(logins) = &self.0 {
            drop(logins.state.lock().await);
        }
    }
}

impl Logins {
    async fn log_in(this: &Arc<Self>, stale: Option<Token>) -> Result<Token, Trouble> {
        let this = Arc::clone(this);
        let login = tokio::spawn(async move {
            let mut state = this.state.lock().await;
            let now = this.clock.instant();
            if let Some(token) = state.valid(now).filter(|token| stale.as_ref().is_none_or(|stale| !token.is(stale))) {
                return Ok(token);
            }
            state.may_log_in(now, this.per_hour)?;
            let result = (this.fetch)().await;
            state.logged_in(&result, this.clock.instant());
            result
        });
        login.await.unwrap_or_else(|_| Err(Trouble::Protocol("the login failed inside propsync".to_owned())))
    }
}

impl State {
    fn valid(&self, now: Instant) -> Option<Token> {
        let (token, ends) = self.token.as_ref()?;
        ends.is_none_or(|ends| now < ends).then(|| token.clone())
    }

    fn may_log_in(&mut self, now: Instant, per_hour: usize) -> Result<(), Trouble> {
        if let Some((trouble, at)) = &self.refused
            && now < *at + REFUSAL
        {
            return Err(trouble.clone());
        }
        self.answered.retain(|at| now < *at + HOUR);
        if self.answered.len() >= per_hour {
            return Err(Trouble::Credential(format!("{per_hour} logins within an hour, and tokens are still refused")));
        }
        Ok(())
    }

    /// Logins that an outage swallowed do not count: the cap is for credentials that do not work.
    fn logged_in(&mut self, result: &Result<Token, Trouble>, now: Instant) {
        self.token = result.as_ref().ok().map(|token| {
            let life = token.expires_in.map(|life| life - MARGIN.min(life / 10));
            // A life no clock can reach has no end.
            (token.clone(), life.and_then(|life| now.checked_add(life)))
        });
        self.refused = None;
        match result {
            Err(trouble) if trouble.passes() => {}
            Err(trouble) => {
                self.answered.push_back(now);
                self.refused = Some((trouble.clone(), now));
            }
            Ok(_) => self.answered.push_back(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::domain::Timestamp;

    /// Logins that take a second and give `token-1`, `token-2` … or this trouble.
    fn tokens(life: Option<u64>, per_hour: usize, trouble: Option<Trouble>) -> (Tokens, Arc<AtomicUsize>, Clock) {
        let (clock, made) = (Clock::simulated(Timestamp::UNIX_EPOCH), Arc::new(AtomicUsize::new(0)));
        let (inner_clock, inner_made) = (clock.clone(), made.clone());
        let fetch: Fetch = Box::new(move || {
            let number = inner_made.fetch_add(1, Ordering::SeqCst) + 1;
            let (clock, trouble) = (inner_clock.clone(), trouble.clone());
            Box::pin(async move {
                clock.sleep(Duration::from_secs(1)).await;
                let secret = SecretString::from(format!("token-{number}"));
                let token = Token { expires_in: life.map(Duration::from_secs), ..Token::new(secret) };
                trouble.map_or(Ok(token), Err)
            })
        });
        (Tokens::fetched(fetch, clock.clone(), per_hour), made, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_makes_one_login() {
        let (tokens, made, _) = tokens(None, 10, None);
        let first = tokens.current().await.unwrap();
        let renewed = join_all((0..100).map(|_| tokens.renew(&first))).await;
        assert!(renewed.iter().all(|token| token.as_ref().unwrap().secret.expose_secret() == "token-2"));
        assert_eq!(made.load(Ordering::SeqCst), 2);
        let (tokens, made, _) = self::tokens(None, 10, Some(Trouble::Credential("no".to_owned())));
        assert!(join_all((0..100).map(|_| tokens.current())).await.iter().all(Result::is_err));
        assert_eq!(made.load(Ordering::SeqCst), 1, "a refusal is shared too");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_ends() {
        let (tokens, made, clock) = tokens(Some(3600), 10, None);
        tokens.current().await.unwrap();
        clock.sleep(Duration::from_secs(3539)).await;
        tokens.current().await.unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 1);
        clock.sleep(Duration::from_secs(2)).await;
        tokens.current().await.unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_life_beyond_all_clocks_has_no_end() {
        let (tokens, made, clock) = tokens(Some(u64::MAX), 10, None);
        tokens.current().await.unwrap();
        clock.sleep(HOUR * 24).await;
        tokens.current().await.unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_is_finished_though_its_caller_leaves() {
        let (tokens, made, clock) = tokens(None, 10, None);
        let waited = tokio::time::timeout(Duration::from_millis(100), tokens.current()).await;
        assert!(waited.is_err());
        clock.sleep(Duration::from_secs(2)).await;
        assert_eq!(tokens.current().await.unwrap().secret.expose_secret(), "token-1");
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_can_wait_for_the_login_that_is_under_way() {
        let (tokens, made, clock) = tokens(None, 10, None);
        tokens.settled().await;
        let waited = tokio::time::timeout(Duration::from_millis(100), tokens.current()).await;
        let before = clock.instant();
        tokens.settled().await;
        assert_eq!((waited.is_err(), before.elapsed()), (true, Duration::from_millis(900)));
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn logins_are_capped_an_hour_but_outages_cost_nothing() {
        let (tokens, made, clock) = tokens(None, 3, None);
        let mut token = tokens.current().await.unwrap();
        for _ in 0..2 {
            token = tokens.renew(&token).await.unwrap();
        }
        assert!(matches!(tokens.renew(&token).await, Err(Trouble::Credential(_))));
        assert_eq!(made.load(Ordering::SeqCst), 3);
        clock.sleep(HOUR).await;
        assert!(tokens.renew(&token).await.is_ok());

        let (tokens, made, _) = self::tokens(None, 3, Some(Trouble::Outage("down".to_owned())));
        for _ in 0..9 {
            assert!(matches!(tokens.current().await, Err(Trouble::Outage(_))));
        }
        assert_eq!(made.load(Ordering::SeqCst), 9);
    }

    #[tokio::test]
    async fn a_fixed_token_is_never_renewed() {
        let tokens = Tokens::fixed(SecretString::from("pat_1"));
        let token = tokens.current().await.unwrap();
        assert!(matches!(tokens.renew(&token).await, Err(Trouble::Credential(_))));
    }
}
