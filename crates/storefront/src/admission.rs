//! What a page has to get past before it may ask the database.
//!
//! In this order, and why:
//!
//! 1. **Paced refill** and **rate limit** refuse at once and cost nothing. They count reads, so
//!    they come before anything that waits: nobody waits for a place only to be refused then.
//! 2. **Rate limit in Redis**, the anti-pattern, is a call; it comes after those that are none.
//! 3. **Priority shedding** is the queue: who is let in next is decided here, between the classes.
//! 4. **Bulkhead**: a place of the class's own, for those that were let in.
//! 5. **Adaptive concurrency** is innermost: what it measures must be the database's answer, and
//!    not the wait for a place.
//!
//! A variant has one or two of them on; the order matters where several are.

use std::time::Instant;

use lab_core::settings::{RateLimitStore, Settings};
use lab_mitigation::{
    adaptive_concurrency::{AdaptiveConcurrency, AdaptivePermit, SampleResult},
    bulkhead::{BulkheadPermit, RouteBulkheads},
    paced_refill::PacedRefill,
    priority_shedding::{PriorityPermit, PriorityShedding},
    rate_limit::RateLimit,
};

use crate::{
    error::ServiceError, redis_client::RedisClient, redis_limit::RedisLimit,
    request::RequestContext, shop::ShopError,
};

/// Everything between a page and the database.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) paced_refill: PacedRefill,
    pub(crate) rate_limit: RateLimit,
    redis_limit: Option<RedisLimit>,
    pub(crate) priority_shedding: PriorityShedding,
    pub(crate) bulkheads: RouteBulkheads,
    pub(crate) adaptive_concurrency: AdaptiveConcurrency,
}

/// The right to ask the database once. Dropping it without a result says that the caller left.
#[derive(Debug)]
pub(crate) struct Admitted {
    adaptive: AdaptivePermit,
    _bulkhead: BulkheadPermit,
    _priority: PriorityPermit,
}

impl Admission {
    /// Everything as `settings` say, and this `paced_refill`, which others know as well.
    ///
    /// **Errors**: settings that cannot work.
    pub(crate) fn new(
        settings: &Settings,
        paced_refill: PacedRefill,
        redis: RedisClient,
    ) -> Result<Self, ShopError> {
        let redis_limit = match settings.rate_limit.store {
            RateLimitStore::Process => None,
            RateLimitStore::Redis => RedisLimit::new(&settings.rate_limit, redis),
        };
        Ok(Self {
            paced_refill,
            rate_limit: RateLimit::new(&settings.rate_limit)?,
            redis_limit,
            priority_shedding: PriorityShedding::new(&settings.priority_shedding),
            bulkheads: RouteBulkheads::new(&settings.bulkhead),
            adaptive_concurrency: AdaptiveConcurrency::new(&settings.adaptive_concurrency),
        })
    }

    /// Asks for the right to read one page, at `now`.
    ///
    /// **Errors**: one of them refuses.
    /// **Cancellation**: a caller that leaves while it waits is passed over.
    pub(crate) async fn enter(
        &self,
        context: RequestContext,
        now: Instant,
    ) -> Result<Admitted, ServiceError> {
        self.paced_refill.try_acquire(now)?;
        match &self.redis_limit {
            None => self.rate_limit.check()?,
            Some(limit) => limit.check(context, self.rate_limit.mode()).await?,
        }
        let priority = self.priority_shedding.acquire(context.class).await?;
        let bulkhead = self.bulkheads.of(context.class).acquire().await?;
        let adaptive = self.adaptive_concurrency.acquire().await?;
        Ok(Admitted { adaptive, _bulkhead: bulkhead, _priority: priority })
    }
}

impl Admitted {
    /// The read ended at `now`; what it says about the database moves the adaptive limit.
    pub(crate) fn on_result<T>(self, now: Instant, result: &Result<T, ServiceError>) {
        let sample = match result {
            Ok(_) => SampleResult::Success,
            Err(ServiceError::Database(error)) if error.is_overload() => SampleResult::Dropped,
            Err(_) => SampleResult::Ignored,
        };
        self.adaptive.on_result(now, sample);
    }
}
