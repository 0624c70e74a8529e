//! Logging in by a refresh token. The upstream may hand out another one with each access token, and the one that was used
//! is then dead: whoever loses the new one has to be authorised anew. So no two processes exchange at once, and a new
//! refresh token is kept for good before its access token goes out to anybody.
//!
//! An exchange whose answer is lost is tried again with the same refresh token, which most upstreams still take for some
//! time. If it is refused then, the successor was in the lost answer, and a person has to authorise anew.
//!
//! It knows no file and no vendor. <https://www.rfc-editor.org/rfc/rfc6749#section-6>

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::clock::Clock;
use crate::domain::failure::Trouble;
use crate::http::body;
use crate::http::token::{Token, Tokens};
use crate::http::transport::Response;

/// Keeps the newest refresh token of one source.
pub trait Keeper: Send + Sync {
    /// Takes the turn to log in, unless somebody has it: as long as it is held, no other process exchanges. `configured` is
    /// the operator's refresh token; what is kept counts only if it descends from that one.
    fn turn(&self, configured: &SecretString) -> BoxFuture<'_, Result<Option<Box<dyn Turn>>, Trouble>>;
}

/// The turn to log in; dropping it lets the next one in.
pub trait Turn: Send {
    /// The refresh token to use.
    fn newest(&self) -> SecretString;

    /// Keeps the one that came in its place; once this returns it outlives a crash.
    fn keep(self: Box<Self>, newest: SecretString) -> BoxFuture<'static, Result<(), Trouble>>;
}

/// What an exchange gave.
#[derive(Debug)]
pub struct Grant {
    /// The access token, or why it cannot be used; what came with it is kept all the same.
    pub token: Result<Token, Trouble>,
    /// The refresh token to use from now on, where the upstream says one. It may be the one that was used.
    pub refresh_token: Option<SecretString>,
}

impl Grant {
    /// RFC 6749 §5.1.
    ///
    /// # Errors
    /// [`Trouble::Protocol`] for an answer without an access token.
    pub fn read(response: &Response) -> Result<Self, Trouble> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: SecretString,
            refresh_token: Option<SecretString>,
            expires_in: Option<Value>,
        }
        let answer: Answer = body::json(response)?;
        // A number, or for some a text.
        let seconds = answer.expires_in.and_then(|life| life.as_f64().or_else(|| life.as_str()?.trim().parse().ok()));
        let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Self {
            token: Ok(Token { expires_in: life.filter(|life| !life.is_zero()), ..Token::new(answer.access_token) }),
            refresh_token: answer.refresh_token.filter(|token| !token.expose_secret().is_empty()),
        })
    }
}

/// Exchanges a refresh token with the upstream.
pub type Exchange = Box<dyn Fn(SecretString) -> BoxFuture<'static, Result<Grant, Trouble>> + Send + Sync>;

/// How long the turn of another process is waited for, and how often it is looked whether it is over.
const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// Tokens of a source whose refresh token this is.
#[must_use]
pub fn tokens(
    configured: SecretString,
    keeper: Arc<dyn Keeper>,
    exchange: Exchange,
    clock: Clock,
    logins_per_hour: usize,
) -> Tokens {
    let door = Arc::new(Door { configured, keeper, exchange, clock: clock.clone() });
    let fetch = move || {
        let door = Arc::clone(&door);
        async move { door.enter().await }.boxed()
    };
    Tokens::fetched(Box::new(fetch), clock, logins_per_hour)
}

struct Door {
    configured: SecretString,
    keeper: Arc<dyn Keeper>,
    exchange: Exchange,
    clock: Clock,
}

impl Door {
    async fn enter(&self) -> Result<Token, Trouble> {
        let turn = self.turn().await?;
        let used = turn.newest();
        let Grant { token, refresh_token } = (self.exchange)(used.clone()).await?;
        if let Some(newest) = refresh_token.filter(|newest| newest.expose_secret() != used.expose_secret()) {
            turn.keep(newest).await?;
        }
        token
    }

    async fn turn(&self) -> Result<Box<dyn Turn>, Trouble> {
        let began = self.clock.instant();
        loop {
            if let Some(turn) = self.keeper.turn(&self.configured).await? {
                return Ok(turn);
            }
            if self.clock.instant() - began >= PATIENCE {
                let cause = "another propsync process is logging in there and does not come to an end".to_owned();
                return Err(Trouble::NotSent { cause, retry_after: None });
            }
            self.clock.sleep(BETWEEN_LOOKS).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::domain::Timestamp;
    use crate::http::scripted::{Memory, answer};

    /// An upstream that takes one refresh token at a time, and rotates it from `r1` to `r2` and so on.
    fn rotating(clock: &Clock) -> (Exchange, Arc<Mutex<Vec<String>>>) {
        let used = Arc::new(Mutex::new(Vec::new()));
        let (seen, clock) = (Arc::clone(&used), clock.clone());
        let exchange = move |refresh_token: SecretString| {
            let (seen, clock) = (Arc::clone(&seen), clock.clone());
            async move {
                clock.sleep(Duration::from_secs(1)).await;
                let mut seen = seen.lock().unwrap();
                seen.push(refresh_token.expose_secret().to_owned());
                let number = seen.len();
                if refresh_token.expose_secret() != format!("r{number}") {
                    return Err(Trouble::Credential("it is used up".to_owned()));
                }
                let token = Ok(Token::new(format!("a{number}").into()));
                Ok(Grant { token, refresh_token: Some(format!("r{}", number + 1).into()) })
            }
            .boxed()
        };
        (Box::new(exchange), used)
    }

    fn giving(refresh_token: Option<&'static str>) -> Exchange {
        let grant = move |_| {
            let refresh_token = refresh_token.map(SecretString::from);
            async move { Ok(Grant { token: Ok(Token::new("a".into())), refresh_token }) }.boxed()
        };
        Box::new(grant)
    }

    fn clock() -> Clock {
        Clock::simulated(Timestamp::UNIX_EPOCH)
    }

    #[tokio::test(start_paused = true)]
    async fn each_login_uses_what_the_last_one_left() {
        let (clock, memory) = (clock(), Memory::new());
        let (exchange, used) = rotating(&clock);
        let tokens = tokens("r1".into(), memory.clone(), exchange, clock, 10);
        let mut token = tokens.current().await.unwrap();
        for _ in 0..2 {
            token = tokens.renew(&token).await.unwrap();
        }
        assert_eq!(token.secret.expose_secret(), "a3");
        assert_eq!(*used.lock().unwrap(), ["r1", "r2", "r3"]);
        assert_eq!(memory.kept(), ["r2", "r3", "r4"]);
    }

    #[tokio::test(start_paused = true)]
    async fn processes_side_by_side_log_in_one_after_the_other() {
        let (clock, memory) = (clock(), Memory::new());
        let (exchange, used) = rotating(&clock);
        let exchange = Arc::new(exchange);
        // Each with tokens of its own, as processes have them; what is kept is all they share.
        let processes = (0..5).map(|_| {
            let exchange = Arc::clone(&exchange);
            tokens("r1".into(), memory.clone(), Box::new(move |token| exchange(token)), clock.clone(), 10)
        });
        let logins = processes.map(|tokens| async move { tokens.current().await });
        let logins = futures_util::future::join_all(logins).await;
        assert!(logins.iter().all(Result::is_ok), "{logins:?}");
        assert_eq!(*used.lock().unwrap(), ["r1", "r2", "r3", "r4", "r5"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_whose_successor_could_not_be_kept_is_given_to_nobody() {
        let memory = Memory::new();
        memory.refuse();
        let tokens = tokens("r1".into(), memory.clone(), giving(Some("r2")), clock(), 10);
        assert!(matches!(tokens.current().await, Err(Trouble::Credential(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_with_an_access_token_that_cannot_be_used_is_kept() {
        let memory = Memory::new();
        let odd = |_| {
            let token = Err(Trouble::Protocol("it is for another host".to_owned()));
            async { Ok(Grant { token, refresh_token: Some("r2".into()) }) }.boxed()
        };
        let tokens = tokens("r1".into(), memory.clone(), Box::new(odd), clock(), 10);
        assert!(matches!(tokens.current().await, Err(Trouble::Protocol(_))));
        assert_eq!(memory.kept(), ["r2"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_token_that_stays_is_not_written_again() {
        for same in [Some("r1"), None] {
            let memory = Memory::new();
            let tokens = tokens("r1".into(), memory.clone(), giving(same), clock(), 10);
            tokens.current().await.unwrap();
            assert_eq!(memory.kept(), [""; 0], "{same:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_never_ends_is_waited_for_a_minute() {
        let (clock, memory) = (clock(), Memory::new());
        let _held = memory.turn(&"r1".into()).await.unwrap().unwrap();
        let began = clock.instant();
        let tokens = tokens("r1".into(), memory.clone(), giving(None), clock, 10);
        let trouble = tokens.current().await.unwrap_err();
        assert!(trouble.passes() && trouble.to_string().contains("another propsync process"), "{trouble}");
        assert_eq!(began.elapsed(), PATIENCE);
    }

    #[test]
    fn a_grant_needs_an_access_token_and_nothing_else() {
        let read = |body| Grant::read(&answer(200, &[], body));
        for (body, life, refresh_token) in [
            (r#"{"access_token":"a","refresh_token":"r","expires_in":1800,"token_type":"bearer"}"#, Some(1800), "r"),
            (r#"{"access_token":"a","refresh_token":"","expires_in":"1800"}"#, Some(1800), "none"),
            (r#"{"access_token":"a","refresh_token":null,"expires_in":0}"#, None, "none"),
            (r#"{"access_token":"a","expires_in":-1}"#, None, "none"),
            (r#"{"access_token":"a","expires_in":1e300}"#, None, "none"),
        ] {
            let grant = read(body).unwrap();
            assert_eq!(grant.token.as_ref().unwrap().expires_in, life.map(Duration::from_secs), "{body}");
            assert_eq!(grant.refresh_token.as_ref().map_or("none", |token| token.expose_secret()), refresh_token);
            assert!(!format!("{grant:?}").contains("\"a\""), "{grant:?}");
        }
        for body in [r#"{"refresh_token":"r"}"#, "<html>", ""] {
            assert_eq!(read(body).unwrap_err().code(), "unexpected_answer", "{body}");
        }
    }
}
