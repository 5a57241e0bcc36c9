//! Sessions: Redis is their only home, so they are gone when it is.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lab_core::{
    clock::MonotonicNs,
    seed::{Seed, mix},
};

use crate::{error::CacheError, redis_client::RedisClient};

/// How long a session lives, seconds. Longer than any trial.
const SESSION_TTL_SECONDS: u64 = 3_600;

/// Issues and looks up session tokens.
#[derive(Debug)]
pub(crate) struct Sessions {
    redis: RedisClient,
    seed: Seed,
    n_issued: AtomicU64,
}

impl Sessions {
    /// Keeps sessions in `redis`.
    pub(crate) fn new(redis: RedisClient, seed: Seed) -> Self {
        Self { redis, seed: seed.derive("session-tokens"), n_issued: AtomicU64::new(0) }
    }

    /// Logs `user` in and returns the token. **Errors**: Redis did not take it.
    pub(crate) async fn create(&self, user: u32) -> Result<String, CacheError> {
        let token = self.next_token();
        let mut command = redis::cmd("SET");
        command.arg(key(&token)).arg(user).arg("EX").arg(SESSION_TTL_SECONDS);
        self.redis.command::<()>(&command).await?;
        Ok(token)
    }

    /// The user of a session, or `None` when there is no such session.
    /// **Errors**: Redis gave no answer, so nobody knows.
    pub(crate) async fn user(&self, token: &str) -> Result<Option<u32>, CacheError> {
        let mut command = redis::cmd("GET");
        command.arg(key(token));
        self.redis.command(&command).await
    }

    /// Unique, also over a restart; not secret enough for anything but a laboratory.
    fn next_token(&self) -> String {
        let number = self.n_issued.fetch_add(1, Relaxed);
        let word = mix(self.seed.0 ^ MonotonicNs::now().0);
        format!("{word:016x}{number:08x}")
    }
}

fn key(token: &str) -> String {
    format!("session:{token}")
}
