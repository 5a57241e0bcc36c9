//! The one way to Redis: retry, then breaker, then bound, then the library.
//!
//! The breaker is inside the retry, so that an open circuit is not asked again: what it refuses is
//! not retried. The bound stands inside the breaker, so that the breaker sees a silent Redis as
//! failures while the users are still waiting; the library itself would make every call wait for
//! its reconnect, longer than any user does. What is left of the user's time bounds each attempt
//! as well, and an attempt that it cut short says nothing about Redis.

mod connection;
mod follower;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use lab_core::target::TargetConfig;
use lab_mitigation::{
    circuit_breaker::CircuitBreaker,
    deadline::{DeadlineError, DeadlinePropagation},
    paced_refill::PacedRefill,
    retry::{Retry, Retryable},
};
use redis::{FromRedisValue, RedisResult};
use tokio::time::Instant;

use self::connection::Connection;
use crate::{error::CacheError, events::EventLog, request::RequestContext, totals::Totals};

/// A Redis connection shared by all requests. Cloning gives the same connection.
#[derive(Clone, Debug)]
pub(crate) struct RedisClient {
    connection: Connection,
    guards: Guards,
    call_timeout: Option<Duration>,
    totals: Arc<Totals>,
    /// Calls that failed since the last that did not.
    n_failed_in_a_row: Arc<AtomicU32>,
}

/// Failures in a row after which the next answer is a recovery, and not the end of a hiccup: the
/// breaker's usual threshold.
const FAILURES_OF_AN_OUTAGE: u32 = 5;

/// What stands between a request and Redis.
#[derive(Clone, Debug)]
pub(crate) struct Guards {
    pub(crate) retry: Retry,
    pub(crate) breaker: CircuitBreaker,
    pub(crate) deadlines: DeadlinePropagation,
    /// Is told when Redis answers again.
    pub(crate) paced_refill: PacedRefill,
}

impl RedisClient {
    /// Connects with the first call, so the service starts while Redis is down.
    ///
    /// **Errors**: the address is no address of Redis.
    pub(crate) fn new(
        config: &TargetConfig,
        guards: Guards,
        totals: Arc<Totals>,
        events: Arc<EventLog>,
    ) -> RedisResult<Self> {
        Ok(Self {
            connection: Connection::new(config, events)?,
            guards,
            call_timeout: config.settings.redis.call_timeout,
            totals,
            n_failed_in_a_row: Arc::default(),
        })
    }

    /// Sends one command.
    ///
    /// **Errors**: not permitted, out of time, or failed; each counted.
    /// **Cancellation**: the command may still reach Redis; the breaker learns that its caller
    /// left.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        context: RequestContext,
        command: &redis::Cmd,
    ) -> Result<T, CacheError> {
        let send =
            |mut connection: Connection| async move { command.query_async(&mut connection).await };
        self.guarded(context, send).await
    }

    /// Sends several commands at once, as one transaction if the pipeline says so.
    ///
    /// **Errors**, **Cancellation**: as [`RedisClient::command`].
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        context: RequestContext,
        pipeline: &redis::Pipeline,
    ) -> Result<T, CacheError> {
        let send =
            |mut connection: Connection| async move { pipeline.query_async(&mut connection).await };
        self.guarded(context, send).await
    }

    /// Connects, past every guard: nobody waits for it.
    pub(crate) async fn connect(&self) {
        let mut connection = self.connection.clone();
        let ping: RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
        if let Err(error) = ping {
            tracing::info!(%error, "redis does not answer yet");
        }
    }

    /// What guards every call.
    pub(crate) fn guards(&self) -> &Guards {
        &self.guards
    }

    async fn guarded<T, F>(
        &self,
        context: RequestContext,
        send: impl Fn(Connection) -> F,
    ) -> Result<T, CacheError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let deadline = Some(context.deadline.at());
        let attempt = |_| async {
            let result = self.attempt(context, send(self.connection.clone())).await;
            match &result {
                Ok(_) => self.on_answer(),
                Err(error) => self.on_error(error),
            }
            result
        };
        self.guards.retry.run(deadline, is_retryable, attempt).await
    }

    fn on_answer(&self) {
        // Looked at before it is written: in healthy days this is shared and never changes.
        if self.n_failed_in_a_row.load(Relaxed) != 0
            && FAILURES_OF_AN_OUTAGE <= self.n_failed_in_a_row.swap(0, Relaxed)
        {
            self.guards.paced_refill.on_recovered(Instant::now().into_std());
        }
    }

    fn on_error(&self, error: &CacheError) {
        self.totals.redis_errors.add_one();
        if matches!(error, CacheError::TimedOut(_) | CacheError::Redis(_)) {
            self.n_failed_in_a_row.fetch_add(1, Relaxed);
        }
    }

    async fn attempt<T>(
        &self,
        context: RequestContext,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, CacheError> {
        let permit = self.guards.breaker.try_acquire()?;
        let bound = permit.call_timeout(self.call_timeout);
        match self.guards.deadlines.within(context.deadline, bound, call).await {
            Ok(Ok(reply)) => {
                permit.on_success();
                Ok(reply)
            }
            Ok(Err(error)) => {
                permit.on_failure();
                Err(error.into())
            }
            Err(DeadlineError::TimedOut(timeout)) => {
                permit.on_failure();
                Err(timeout.into())
            }
            // The user's time was up, not Redis': the permit's own rule says what that tells.
            Err(DeadlineError::Exceeded(exceeded)) => Err(exceeded.into()),
        }
    }
}

/// An open circuit stays open for longer than any backoff, and a user who has left does not come
/// back: neither is worth another attempt.
fn is_retryable(error: &CacheError) -> Retryable {
    match error {
        CacheError::TimedOut(_) | CacheError::Redis(_) => Retryable::Yes,
        CacheError::NotPermitted(_) | CacheError::DeadlineExceeded(_) => Retryable::No,
    }
}
