//! The anti-pattern: a rate limit whose count is kept in Redis, and is gone when Redis is.
//!
//! One counter per window of 100 ms, shared by every instance that asks the same Redis. While Redis
//! gives no answer nobody knows the count: the settings say whether that means everybody passes
//! (*fail open*: no limit, just when the database needs one) or nobody (*fail closed*: an outage of
//! the limiter is an outage of the service).

use std::{
    num::NonZeroU64,
    time::{Duration, SystemTime},
};

use lab_core::settings::{Mode, OnStoreError, RateLimitSettings};
use lab_mitigation::rate_limit::RateLimited;

use crate::{error::ServiceError, redis_client::RedisClient, request::RequestContext};

/// Length of a window. Short, so that a spent window refuses for no longer.
const WINDOW: Duration = Duration::from_millis(100);

/// How long Redis keeps a window's counter.
const KEEP_MS: u64 = 1_000;

/// A rate limit kept in Redis.
#[derive(Debug)]
pub(crate) struct RedisLimit {
    redis: RedisClient,
    permits_per_window: NonZeroU64,
    on_store_error: OnStoreError,
}

impl RedisLimit {
    /// `None` when `settings` name no rate; the mode is off then.
    pub(crate) fn new(settings: &RateLimitSettings, redis: RedisClient) -> Option<Self> {
        let permits = settings.permits_per_sec?.get() * WINDOW.as_secs_f64();
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
        #[expect(clippy::cast_sign_loss, reason = "a rate is above 0")]
        let permits_per_window = NonZeroU64::new(permits.round() as u64).unwrap_or(NonZeroU64::MIN);
        Some(Self { redis, permits_per_window, on_store_error: settings.on_store_error })
    }

    /// Takes one permit of the present window.
    ///
    /// **Errors**: the window is spent; or Redis gave no answer, and that is to mean no.
    pub(crate) async fn check(
        &self,
        context: RequestContext,
        mode: Mode,
    ) -> Result<(), ServiceError> {
        if mode == Mode::Off {
            return Ok(());
        }
        let (window, left) = present_window();
        let mut pipeline = redis::pipe();
        let key = format!("rate-limit:{window}");
        pipeline.cmd("INCR").arg(&key).cmd("PEXPIRE").arg(&key).arg(KEEP_MS).ignore();
        let refusal = match self.redis.pipeline::<(u64,)>(context, &pipeline).await {
            Ok((n_taken,)) if n_taken <= self.permits_per_window.get() => return Ok(()),
            Ok(_) => RateLimited { retry_after: left }.into(),
            Err(error) => match self.on_store_error {
                OnStoreError::Allow => return Ok(()),
                OnStoreError::Refuse => ServiceError::LimiterLost(error),
            },
        };
        if mode == Mode::Enforce { Err(refusal) } else { Ok(()) }
    }
}

/// The number of the present window, the same on every instance, and what is left of it.
#[expect(clippy::disallowed_methods, reason = "instances share nothing but the time of day")]
fn present_window() -> (u128, Duration) {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let into_ns = since_epoch.as_nanos() % WINDOW.as_nanos();
    let into = Duration::from_nanos(u64::try_from(into_ns).unwrap_or(0));
    (since_epoch.as_nanos() / WINDOW.as_nanos(), WINDOW.saturating_sub(into))
}
