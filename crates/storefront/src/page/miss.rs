//! The way of a page that no cache has: retry, admission, database, and into the caches.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::body::Bytes;
use lab_core::{
    event::kind,
    settings::{CacheMode, Mode, PageQuery},
    target::TargetConfig,
};
use lab_mitigation::{
    local_cache::LocalCache,
    rate_limit::RateLimited,
    retry::{Retry, Retryable},
};

use super::{JitteredTtl, PageKey, now, source};
use crate::{
    admission::Admission,
    database::{DatabaseServers, ServerRole},
    error::{DatabaseError, ServiceError},
    events::{EventLog, QuietSecond},
    redis_client::RedisClient,
    request::RequestContext,
};

/// Reads what the caches do not have, and fills them.
#[derive(Debug)]
pub(crate) struct Misses {
    pub(crate) local: LocalCache<String, Bytes>,
    pub(crate) admission: Admission,
    pub(crate) retry: Retry,
    pub(crate) databases: DatabaseServers,
    redis: RedisClient,
    cache: CacheMode,
    page_query: PageQuery,
    /// Whether an operator has switched to the one query.
    is_optimized: AtomicBool,
    ttl: JitteredTtl,
    events: Arc<EventLog>,
    limited_stretch: QuietSecond,
}

/// What the database said of a page.
#[derive(Debug, Clone)]
pub(crate) struct Filled {
    /// `None`: there is no such page.
    pub(super) body: Option<Bytes>,
    /// Which server said so.
    pub(super) by: ServerRole,
}

/// What [`Misses`] shares with the rest of the service.
#[derive(Debug)]
pub(crate) struct MissParts {
    pub(crate) admission: Admission,
    pub(crate) retry: Retry,
    pub(crate) redis: RedisClient,
    pub(crate) databases: DatabaseServers,
    pub(crate) events: Arc<EventLog>,
}

impl Misses {
    pub(crate) fn new(config: &TargetConfig, parts: MissParts) -> Self {
        let MissParts { admission, retry, redis, databases, events } = parts;
        Self {
            local: LocalCache::new(&config.settings.local_cache),
            admission,
            retry,
            databases,
            redis,
            cache: config.settings.cache,
            page_query: config.settings.page_query,
            is_optimized: AtomicBool::new(false),
            ttl: JitteredTtl::new(config.cache.ttl, config.seed),
            events,
            limited_stretch: QuietSecond::default(),
        }
    }

    /// Reads the page at `key` from the database and puts it into the caches: into Redis before it
    /// answers, as commonly shipped.
    ///
    /// **Errors**: the last attempt's; shared, because several may wait for it.
    pub(super) async fn fill(
        self: Arc<Self>,
        context: RequestContext,
        key: PageKey,
    ) -> Result<Filled, Arc<ServiceError>> {
        let deadline = Some(context.deadline.at());
        let read = |_| self.read_database(context, key);
        let filled = self.retry.run(deadline, is_retryable, read).await.map_err(Arc::new)?;
        let name = key.to_string();
        match &filled.body {
            Some(body) => {
                self.fill_redis(context, &name, body).await;
                self.local.insert(now(), name, body.clone());
            }
            None => self.local.insert_negative(now(), name),
        }
        Ok(filled)
    }

    /// Switches to the one query while the mode is enforce, and back to the configured way.
    pub(crate) fn set_optimized(&self, mode: Mode) {
        self.is_optimized.store(mode == Mode::Enforce, Relaxed);
    }

    async fn read_database(
        &self,
        context: RequestContext,
        key: PageKey,
    ) -> Result<Filled, ServiceError> {
        let entered = self.admission.enter(context, now()).await;
        let admitted = entered.inspect_err(|refusal| self.note_refusal(refusal))?;
        let result = self.read_servers(context, key).await.map_err(ServiceError::from);
        admitted.on_result(now(), &result);
        result
    }

    /// Asks one server, and the primary when that is a replica which is gone.
    async fn read_servers(
        &self,
        context: RequestContext,
        key: PageKey,
    ) -> Result<Filled, DatabaseError> {
        let (by, server) = self.databases.choose(now());
        match source::read(server, context, self.page_query(), key).await {
            Ok(body) => Ok(Filled { body, by }),
            Err(error) if by == ServerRole::Replica && error.is_of_one_server() => {
                self.databases.on_replica_lost(now(), &error);
                let primary = self.databases.primary();
                let body = source::read(primary, context, self.page_query(), key).await?;
                Ok(Filled { body, by: ServerRole::Primary })
            }
            Err(error) => Err(error),
        }
    }

    fn page_query(&self) -> PageQuery {
        if self.is_optimized.load(Relaxed) { PageQuery::Optimized } else { self.page_query }
    }

    async fn fill_redis(&self, context: RequestContext, name: &str, body: &Bytes) {
        if self.cache == CacheMode::Bypass {
            return;
        }
        let mut command = redis::cmd("SET");
        command.arg(name).arg(body.as_ref()).arg("PX").arg(self.ttl.next_ms());
        // Counted where it failed; the page is there all the same.
        let _ = self.redis.command::<()>(context, &command).await;
    }

    fn note_refusal(&self, refusal: &ServiceError) {
        if let ServiceError::RateLimited(RateLimited { retry_after }) = refusal
            && self.limited_stretch.is_first(now())
        {
            let retry_after_us = retry_after.as_micros().to_string();
            let detail = BTreeMap::from([("retry_after_us".into(), retry_after_us)]);
            self.events.record(kind::RATE_LIMIT_REACHED, detail);
        }
    }
}

/// What we refused on purpose is not asked for again, or the refusal would be none. Nor is a user
/// served who has left.
fn is_retryable(error: &ServiceError) -> Retryable {
    match error {
        ServiceError::Database(error) if error.is_retryable() => Retryable::Yes,
        _ => Retryable::No,
    }
}
