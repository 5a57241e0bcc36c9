//! How a cached page is read: every layer, in the order in which it is asked, and why there.
//!
//! 1. **Local cache, fresh.** Costs a microsecond and needs nobody, so it comes first.
//! 2. **Redis**, through breaker, then bound, then the library ([`crate::redis_client`]): the bound
//!    is inside the breaker, so that a silent Redis looks like failures to it. A hit fills the
//!    local cache.
//! 3. **Rate limit**, only in front of the database: what Redis or the local cache answers costs
//!    the database nothing and is never refused.
//! 4. **Database**: pool, then statements. The page fills Redis (awaited before answering, as
//!    commonly shipped, and through the same breaker and bound) and then the local cache.
//! 5. **Stale**: when 3 refuses or 4 fails, an expired local entry stands in if the settings allow
//!    its age; else the refusal or the error is the answer.
//!
//! An error of Redis is never the answer to a page: it counts as a miss.

mod key;

use std::{collections::BTreeMap, sync::Arc};

use axum::body::Bytes;
use lab_core::{
    event::kind,
    outcome::ServedBy,
    settings::{CacheMode, PageQuery},
    target::TargetConfig,
};
use lab_mitigation::{
    local_cache::{Freshness, LocalCache, Lookup},
    rate_limit::{RateLimit, RateLimited},
};
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use self::key::{JitteredTtl, PageKey};
use crate::{
    database::Database,
    error::ServiceError,
    events::{EventLog, QuietSecond},
    redis_client::RedisClient,
    totals::Totals,
};

/// Reads pages through every layer.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) local: LocalCache<String, Bytes>,
    pub(crate) rate_limit: RateLimit,
    pub(crate) redis: RedisClient,
    pub(crate) database: Arc<Database>,
    cache: CacheMode,
    page_query: PageQuery,
    ttl: JitteredTtl,
    totals: Arc<Totals>,
    events: Arc<EventLog>,
    stale_stretch: QuietSecond,
    limited_stretch: QuietSecond,
}

/// What [`Pages`] shares with the rest of the service.
#[derive(Debug)]
pub(crate) struct PageParts {
    pub(crate) rate_limit: RateLimit,
    pub(crate) redis: RedisClient,
    pub(crate) database: Arc<Database>,
    pub(crate) totals: Arc<Totals>,
    pub(crate) events: Arc<EventLog>,
}

/// A page and where it came from.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) body: Bytes,
    pub(crate) served_by: ServedBy,
}

impl Pages {
    pub(crate) fn new(config: &TargetConfig, parts: PageParts) -> Self {
        let PageParts { rate_limit, redis, database, totals, events } = parts;
        Self {
            local: LocalCache::new(&config.settings.local_cache),
            rate_limit,
            redis,
            database,
            cache: config.settings.cache,
            page_query: config.settings.page_query,
            ttl: JitteredTtl::new(config.cache.ttl, config.seed),
            totals,
            events,
            stale_stretch: QuietSecond::default(),
            limited_stretch: QuietSecond::default(),
        }
    }

    /// The page at `key`, or `None` if there is no such page.
    ///
    /// **Errors**: nothing answered, or the rate limit refused, and nothing stale may stand in.
    /// **Cancellation**: nothing is written that would be wrong; a page may stay out of the caches.
    pub(crate) async fn read(&self, key: PageKey) -> Result<Option<Page>, ServiceError> {
        let name = key.to_string();
        let local = self.local.get(now(), &name);
        if let Lookup::Fresh(body) = local {
            return Ok(Some(Page { body, served_by: ServedBy::Local }));
        }
        if let Some(body) = self.read_redis(&name).await {
            self.local.insert(now(), name, body.clone());
            return Ok(Some(Page { body, served_by: ServedBy::Redis }));
        }
        match self.read_database(key).await {
            Ok(None) => Ok(None),
            Ok(Some(body)) => {
                self.fill_redis(&name, &body).await;
                self.local.insert(now(), name, body.clone());
                Ok(Some(Page { body, served_by: ServedBy::Database }))
            }
            Err(error) => self.stand_in(local).map(Some).ok_or(error),
        }
    }

    /// A miss and an error are the same to the reader: somebody else has to answer.
    async fn read_redis(&self, name: &str) -> Option<Bytes> {
        if self.cache == CacheMode::Bypass {
            return None;
        }
        let mut command = redis::cmd("GET");
        command.arg(name);
        let body = self.redis.command::<Option<Vec<u8>>>(&command).await.ok()?;
        match &body {
            Some(_) => self.totals.cache_hits.add_one(),
            None => self.totals.cache_misses.add_one(),
        }
        body.map(Bytes::from)
    }

    async fn fill_redis(&self, name: &str, body: &Bytes) {
        if self.cache == CacheMode::Bypass {
            return;
        }
        let mut command = redis::cmd("SET");
        command.arg(name).arg(body.as_ref()).arg("PX").arg(self.ttl.next_ms());
        // Counted where it failed; the page is there all the same.
        let _ = self.redis.command::<()>(&command).await;
    }

    async fn read_database(&self, key: PageKey) -> Result<Option<Bytes>, ServiceError> {
        self.rate_limit.check().inspect_err(|refusal| self.note_refusal(*refusal))?;
        let body = match key {
            PageKey::Home => Some(to_body(&self.database.home().await?)),
            PageKey::Product(id) => {
                let page = self.database.product_page(self.page_query, id).await?;
                page.as_ref().map(to_body)
            }
            PageKey::Recommendations(id) => {
                self.database.recommendations(id).await?.as_ref().map(to_body)
            }
        };
        Ok(body)
    }

    fn stand_in(&self, local: Lookup<Bytes>) -> Option<Page> {
        let Lookup::Expired(body, age) = local else {
            return None;
        };
        if self.local.freshness(age) != Freshness::StaleUsable {
            return None;
        }
        self.totals.stale_served.add_one();
        if self.stale_stretch.is_first(now()) {
            let age_ms = age.as_millis().to_string();
            self.events.record(kind::STALE_SERVED, BTreeMap::from([("age_ms".into(), age_ms)]));
        }
        Some(Page { body, served_by: ServedBy::Stale })
    }

    fn note_refusal(&self, refusal: RateLimited) {
        if self.limited_stretch.is_first(now()) {
            let retry_after_us = refusal.retry_after.as_micros().to_string();
            let detail = BTreeMap::from([("retry_after_us".into(), retry_after_us)]);
            self.events.record(kind::RATE_LIMIT_REACHED, detail);
        }
    }
}

/// The bytes of a page, the same wherever it is made.
pub(crate) fn to_body(page: &impl Serialize) -> Bytes {
    serde_json::to_vec(page).expect("pages are strings and numbers").into()
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
