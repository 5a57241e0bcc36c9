//! The service put together: what all requests share.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use lab_core::{
    catalogue::Catalogue,
    settings::Mode,
    target::{TargetConfig, TargetSample},
};
use lab_mitigation::{
    circuit_breaker::{CircuitBreaker, CircuitEvent, Jitter},
    rate_limit::{RateLimit, RateLimitSettingsError},
};
use metrics_exporter_prometheus::BuildError;
use tokio::time::Instant;

use crate::{
    database::{Database, PoolSettingsError},
    events::EventLog,
    metrics::Metrics,
    page::{PageParts, Pages},
    preload,
    redis_client::RedisClient,
    sessions::Sessions,
    totals::Totals,
    views::Views,
};

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum ShopError {
    /// Events cannot be written.
    #[error("open events_path {path}: {source}")]
    Events {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The address of Redis is none.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// The pool cannot be made.
    #[error(transparent)]
    Pool(#[from] PoolSettingsError),
    /// The rate limit cannot be made.
    #[error(transparent)]
    RateLimit(#[from] RateLimitSettingsError),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] BuildError),
}

/// Everything a request may need.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) config: TargetConfig,
    pub(crate) pages: Pages,
    pub(crate) sessions: Sessions,
    pub(crate) views: Views,
    pub(crate) totals: Arc<Totals>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) metrics: Metrics,
    is_local_cache_loaded: AtomicBool,
}

impl Shop {
    /// Puts the service together. Connects to nothing, so it works while everything is down.
    /// Needs a tokio runtime.
    pub(crate) fn new(config: TargetConfig) -> Result<Self, ShopError> {
        let events = EventLog::open(&config.events_path)
            .map_err(|source| ShopError::Events { path: config.events_path.clone(), source })?;
        let events = Arc::new(events);
        let totals = Arc::new(Totals::default());
        let metrics = Metrics::new()?;
        let breaker = breaker(&config, Arc::clone(&events));
        let redis = RedisClient::new(&config, breaker, Arc::clone(&totals))?;
        let database = Arc::new(Database::new(&config, metrics.acquire_waits())?);
        let parts = PageParts {
            rate_limit: RateLimit::new(&config.settings.rate_limit)?,
            redis: redis.clone(),
            database: Arc::clone(&database),
            totals: Arc::clone(&totals),
            events: Arc::clone(&events),
        };
        Ok(Self {
            pages: Pages::new(&config, parts),
            sessions: Sessions::new(redis.clone(), config.seed),
            views: Views::new(redis, database),
            totals,
            events,
            metrics,
            is_local_cache_loaded: AtomicBool::new(false),
            config,
        })
    }

    /// Fills the local cache with what traffic would have left in it. Takes a second or so of CPU:
    /// for a thread that may block.
    pub(crate) fn load_local_cache(&self) {
        if self.pages.local.mode() != Mode::Off {
            let catalogue = Catalogue::generate(&self.config.catalogue);
            let entries = preload::local_cache(&self.config, &catalogue);
            tracing::info!(n_entries = entries.len(), "local cache loaded ahead");
            let now = Instant::now().into_std();
            // The most popular come last, so that they are the ones a cache too small keeps.
            for entry in entries.into_iter().rev() {
                let body = preload::body(&catalogue, entry.key);
                self.pages.local.insert_aged(now, entry.duration, entry.key.to_string(), body);
            }
        }
        self.is_local_cache_loaded.store(true, Relaxed);
    }

    /// Whether [`Shop::load_local_cache`] is done.
    pub(crate) fn is_local_cache_loaded(&self) -> bool {
        self.is_local_cache_loaded.load(Relaxed)
    }

    /// Figures since the last call, and totals.
    pub(crate) fn sample(&self) -> TargetSample {
        let demand = self.pages.database.drain_demand();
        let database = self.pages.database.totals();
        TargetSample {
            pool_size_max: database.pool_size_max,
            pool_in_use: demand.in_use,
            pool_idle: database.pool_size.saturating_sub(demand.in_use),
            pool_pending: demand.pending,
            pool_in_use_high_water: demand.in_use_high_water,
            pool_pending_high_water: demand.pending_high_water,
            connection_demand_mean: demand.demand_mean,
            connection_demand_high_water: demand.demand_high_water,
            acquire_waits_us: demand.waits_us,
            acquire_timeouts_total: database.acquire_timeouts,
            queries_total: database.statements_sent,
            queries_failed_total: database.statements_failed,
            cache_hits_total: self.totals.cache_hits.get(),
            cache_misses_total: self.totals.cache_misses.get(),
            redis_errors_total: self.totals.redis_errors.get(),
            requests_total: self.totals.requests.get(),
            pending_requests: self.totals.pending_requests(),
            views_buffered: self.views.buffered(),
        }
    }
}

/// A breaker whose changes become events. Under observe the service behaves as before, and the
/// event says so, or it would be taken for the detection.
fn breaker(config: &TargetConfig, events: Arc<EventLog>) -> CircuitBreaker {
    let jitter = Jitter::new(config.seed.derive("circuit-breaker"));
    CircuitBreaker::new(&config.settings.circuit_breaker, jitter, move |mode, event| {
        let mut detail = BTreeMap::new();
        if let CircuitEvent::Opened { reason } = event {
            detail.insert("reason".to_owned(), reason.to_string());
        }
        if mode == Mode::Observe {
            events.record(&format!("observed_{}", event.kind()), detail);
        } else {
            events.record(event.kind(), detail);
        }
    })
}
