//! Sessions, in whichever of three places the settings say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use lab_core::{
    clock::MonotonicNs,
    outcome::ServedBy,
    seed::{Seed, mix},
    settings::{SessionSettings, SessionStore},
};
use lab_mitigation::session_token::{
    SessionKey, SessionTokens, SessionTokensSnapshot, UnixSeconds,
};

use crate::{
    database::Database, error::ServiceError, redis_client::RedisClient, request::RequestContext,
};

/// Issues and looks up session tokens.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Store,
    lifetime: Duration,
    seed: Seed,
    n_issued: AtomicU64,
}

/// Where sessions are kept, and what it takes to reach them.
#[derive(Debug)]
enum Store {
    Redis(RedisClient),
    Database(Arc<Database>),
    Cookie(Box<SessionTokens>),
}

/// The user of a session, if there is one, and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) user: Option<u32>,
    pub(crate) served_by: ServedBy,
}

impl Sessions {
    /// Keeps sessions where `settings` say.
    pub(crate) fn new(
        settings: &SessionSettings,
        redis: RedisClient,
        database: Arc<Database>,
        seed: Seed,
    ) -> Self {
        let store = match settings.store {
            SessionStore::Redis => Store::Redis(redis),
            SessionStore::Database => Store::Database(database),
            SessionStore::SignedCookie => {
                Store::Cookie(Box::new(SessionTokens::new(settings, signing_key(seed), None)))
            }
        };
        Self {
            store,
            lifetime: settings.lifetime,
            seed: seed.derive("session-tokens"),
            n_issued: AtomicU64::new(0),
        }
    }

    /// Logs `user` in; returns the token and who keeps the session.
    ///
    /// **Errors**: the store did not take it.
    pub(crate) async fn create(
        &self,
        context: RequestContext,
        user: u32,
    ) -> Result<(String, ServedBy), ServiceError> {
        match &self.store {
            Store::Redis(redis) => {
                let token = self.next_token();
                let mut command = redis::cmd("SET");
                command.arg(key(&token)).arg(user).arg("EX").arg(self.lifetime.as_secs());
                redis.command::<()>(context, &command).await?;
                Ok((token, ServedBy::Redis))
            }
            Store::Database(database) => {
                let token = self.next_token();
                database.open_session(context, &token, user, self.lifetime).await?;
                Ok((token, ServedBy::Database))
            }
            Store::Cookie(tokens) => Ok((tokens.issue(today(), user.into()), ServedBy::Local)),
        }
    }

    /// The user of a session, or none when there is no such session.
    ///
    /// **Errors**: the store gave no answer, so nobody knows.
    pub(crate) async fn user(
        &self,
        context: RequestContext,
        token: &str,
    ) -> Result<Identified, ServiceError> {
        let (user, served_by) = match &self.store {
            Store::Redis(redis) => {
                let mut command = redis::cmd("GET");
                command.arg(key(token));
                (redis.command(context, &command).await?, ServedBy::Redis)
            }
            Store::Database(database) => {
                (database.session_user(context, token).await?, ServedBy::Database)
            }
            Store::Cookie(tokens) => {
                // Whatever is wrong with a token, its bearer has to log in.
                let session = tokens.verify(today(), token).ok();
                let user = session.and_then(|(session, _)| u32::try_from(session.user).ok());
                (user, ServedBy::Local)
            }
        };
        Ok(Identified { user, served_by })
    }

    /// Counts of signed tokens; `None` unless sessions are kept in them.
    pub(crate) fn snapshot(&self) -> Option<SessionTokensSnapshot> {
        match &self.store {
            Store::Cookie(tokens) => Some(tokens.snapshot()),
            Store::Redis(_) | Store::Database(_) => None,
        }
    }

    /// Unique, also over a restart; not secret enough for anything but a laboratory.
    fn next_token(&self) -> String {
        let number = self.n_issued.fetch_add(1, Relaxed);
        let word = mix(self.seed.0 ^ MonotonicNs::now().0);
        format!("{word:016x}{number:08x}")
    }
}

/// A key that a restarted service has again. A real one reads it from where it keeps its secrets.
fn signing_key(seed: Seed) -> SessionKey {
    let words = ["session-key-0", "session-key-1", "session-key-2", "session-key-3"];
    let secret: Vec<u8> = words.iter().flat_map(|it| seed.derive(it).0.to_le_bytes()).collect();
    SessionKey::new(&secret).expect("four words are the 32 bytes that a key needs")
}

#[expect(clippy::disallowed_methods, reason = "the expiry of a token is a date")]
fn today() -> UnixSeconds {
    SystemTime::now().into()
}

fn key(token: &str) -> String {
    format!("session:{token}")
}
