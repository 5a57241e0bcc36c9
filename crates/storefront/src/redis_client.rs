//! The one way to Redis: breaker, then bound, then the library.
//!
//! The bound stands inside the breaker, so that the breaker sees a silent Redis as failures while
//! the users are still waiting. The library itself would make every call wait for its reconnect,
//! longer than any user does.

use std::{future::Future, sync::Arc};

use lab_core::target::TargetConfig;
use lab_mitigation::{call_timeout::bounded, circuit_breaker::CircuitBreaker};
use redis::{
    Client, FromRedisValue, RedisResult,
    aio::{ConnectionManager, ConnectionManagerConfig},
};

use crate::{error::CacheError, totals::Totals};

/// A Redis connection shared by all requests. Cloning gives the same connection.
#[derive(Clone, Debug)]
pub(crate) struct RedisClient {
    connection: ConnectionManager,
    breaker: CircuitBreaker,
    call_timeout: Option<std::time::Duration>,
    totals: Arc<Totals>,
}

impl RedisClient {
    /// Connects with the first call, so the service starts while Redis is down.
    ///
    /// **Errors**: the address is no address of Redis.
    pub(crate) fn new(
        config: &TargetConfig,
        breaker: CircuitBreaker,
        totals: Arc<Totals>,
    ) -> RedisResult<Self> {
        let settings = &config.settings.redis;
        let mut manager = ConnectionManagerConfig::new();
        if let Some(delay_max) = settings.reconnect_delay_max {
            manager = manager.set_max_delay(delay_max);
        }
        let client = Client::open(format!("redis://{}/", config.redis))?;
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, manager)?,
            breaker,
            call_timeout: settings.call_timeout,
            totals,
        })
    }

    /// Sends one command.
    ///
    /// **Errors**: not permitted, out of time, or failed; each counted.
    /// **Cancellation**: the command may still reach Redis; the breaker learns that its caller
    /// left.
    pub(crate) async fn command<T: FromRedisValue>(
        &self,
        command: &redis::Cmd,
    ) -> Result<T, CacheError> {
        let mut connection = self.connection.clone();
        self.guarded(async { command.query_async(&mut connection).await }).await
    }

    /// Sends several commands at once, as one transaction if the pipeline says so.
    ///
    /// **Errors**, **Cancellation**: as [`RedisClient::command`].
    pub(crate) async fn pipeline<T: FromRedisValue>(
        &self,
        pipeline: &redis::Pipeline,
    ) -> Result<T, CacheError> {
        let mut connection = self.connection.clone();
        self.guarded(async { pipeline.query_async(&mut connection).await }).await
    }

    /// Connects, past the breaker and the bound: nobody waits for it.
    pub(crate) async fn connect(&self) {
        let mut connection = self.connection.clone();
        let ping: RedisResult<()> = redis::cmd("PING").query_async(&mut connection).await;
        if let Err(error) = ping {
            tracing::info!(%error, "redis does not answer yet");
        }
    }

    /// The breaker that guards every call.
    pub(crate) fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

    async fn guarded<T>(
        &self,
        call: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, CacheError> {
        let result = self.call(call).await;
        if result.is_err() {
            self.totals.redis_errors.add_one();
        }
        result
    }

    async fn call<T>(&self, call: impl Future<Output = RedisResult<T>>) -> Result<T, CacheError> {
        let permit = self.breaker.try_acquire()?;
        let reply = match bounded(permit.call_timeout(self.call_timeout), call).await {
            Ok(reply) => reply.map_err(CacheError::from),
            Err(timeout) => Err(timeout.into()),
        };
        match &reply {
            Ok(_) => permit.on_success(),
            Err(_) => permit.on_failure(),
        }
        reply
    }
}
