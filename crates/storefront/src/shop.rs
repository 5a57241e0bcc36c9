//! The service put together: what all requests share.

use std::{
    cell::LazyCell,
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
    route::Route,
    settings::Mode,
    target::{TargetConfig, TargetSample},
};
use lab_mitigation::{
    async_queue::{AsyncQueue, QueueError},
    batch_writes::BatchWrites,
    circuit_breaker::{CircuitBreaker, CircuitEvent, Jitter},
    deadline::DeadlinePropagation,
    graceful_degradation::{GracefulDegradation, PoolDemand},
    paced_refill::{PacedRefill, PacedRefillSettingsError},
    rate_limit::RateLimitSettingsError,
    retry::Retry,
};
use metrics_exporter_prometheus::BuildError;
use tokio::time::Instant;

use crate::{
    admission::Admission,
    database::{Database, DatabaseServers, PoolSettingsError},
    events::EventLog,
    metrics::Metrics,
    page::{MissParts, Misses, PageParts, Pages},
    preload,
    random::Random,
    redis_client::{Guards, RedisClient},
    request::{Arrival, RequestContext},
    sessions::Sessions,
    totals::Totals,
    views::Views,
};

/// Why the service cannot be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShopError {
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
    /// The paced refill cannot be made.
    #[error(transparent)]
    PacedRefill(#[from] PacedRefillSettingsError),
    /// The service's own folder cannot be made.
    #[error("make state_path {path}: {source}")]
    State {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The queue on disk cannot be opened.
    #[error("state_path: {0}")]
    Queue(#[from] QueueError),
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
        let settings = &config.settings;
        let deadlines = DeadlinePropagation::new(&settings.deadline_propagation);
        let paced_refill = paced_refill(&config, Arc::clone(&events))?;
        let guards = Guards {
            retry: retry(&config, "redis-retry"),
            breaker: breaker(&config, Arc::clone(&events)),
            deadlines: deadlines.clone(),
            paced_refill: paced_refill.clone(),
        };
        let redis = RedisClient::new(&config, guards, Arc::clone(&totals), Arc::clone(&events))?;
        let databases = DatabaseServers::new(&config, &deadlines, &metrics.acquire_waits())?;
        let database = Arc::clone(databases.primary());
        let misses = MissParts {
            admission: Admission::new(settings, paced_refill, redis.clone())?,
            retry: retry(&config, "database-retry"),
            redis: redis.clone(),
            databases,
            events: Arc::clone(&events),
        };
        let parts = PageParts {
            misses: Misses::new(&config, misses),
            redis: redis.clone(),
            dimmer: dimmer(&config, Arc::clone(&events)),
            deadlines,
            totals: Arc::clone(&totals),
            events: Arc::clone(&events),
        };
        std::fs::create_dir_all(&config.state_path)
            .map_err(|source| ShopError::State { path: config.state_path.clone(), source })?;
        let (queue, recovered) =
            AsyncQueue::open(&config.state_path.join("views"), &settings.async_queue)?;
        if 0 < recovered.n_items {
            tracing::info!(n_items = recovered.n_items, "queued views found");
        }
        let batch = BatchWrites::new(&settings.batch_writes);
        Ok(Self {
            pages: Pages::new(&config, parts),
            sessions: Sessions::new(
                &settings.session,
                redis.clone(),
                Arc::clone(&database),
                config.seed,
            ),
            views: Views::new(redis, database, batch, queue),
            totals,
            events,
            metrics,
            is_local_cache_loaded: AtomicBool::new(false),
            config,
        })
    }

    /// What travels with the request that came as `arrival` on `route`.
    pub(crate) fn context(&self, arrival: Arrival, route: Route) -> RequestContext {
        arrival.context(&self.pages.redis.guards().deadlines, route.class())
    }

    /// Every server of the database, each with a pool that all requests share.
    pub(crate) fn databases(&self) -> &DatabaseServers {
        &self.pages.misses.databases
    }

    /// The one that accepts writes.
    pub(crate) fn database(&self) -> &Arc<Database> {
        self.databases().primary()
    }

    /// Tells the dimmer the pressure on the database, once per period, for as long as it is polled.
    pub(crate) async fn measure_pressure(&self) {
        let dimmer = &self.pages.dimmer;
        let mut ticks = tokio::time::interval(self.config.settings.graceful_degradation.period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (pending, in_use) = self.databases().pending_and_in_use();
            let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
            dimmer.end_period(PoolDemand {
                n_in_use: count(in_use),
                n_waiting: count(pending),
                size_max: count(self.databases().totals().pool_size_max),
            });
        }
    }

    /// Fills the local cache with what traffic would have left in it. Takes a second or so of CPU:
    /// for a thread that may block.
    pub(crate) fn load_local_cache(&self) {
        let settings = &self.config.settings;
        let now = Instant::now().into_std();
        let catalogue = LazyCell::new(|| Catalogue::generate(&self.config.catalogue));
        if settings.static_snapshot.mode != Mode::Off {
            let pages = preload::rendered_ahead(&self.config, &catalogue);
            if let Err(error) = self.pages.rendered_ahead.replace(now, pages) {
                tracing::error!(%error, "no page is rendered ahead");
            }
        }
        if settings.local_cache.mode != Mode::Off {
            let entries = preload::local_cache(&self.config, &catalogue);
            tracing::info!(n_entries = entries.len(), "local cache loaded ahead");
            // The most popular come last, so that they are the ones a cache too small keeps.
            for entry in entries.into_iter().rev() {
                let body = preload::body(&catalogue, entry.key);
                self.pages.misses.local.insert_aged(
                    now,
                    entry.duration,
                    entry.key.to_string(),
                    body,
                );
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
        let demand = self.databases().drain_demand();
        let database = self.databases().totals();
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
            connections_refused_total: database.connections_refused,
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

fn retry(config: &TargetConfig, stream: &str) -> Retry {
    let random = Random::new(config.seed, stream);
    Retry::new(&config.settings.retry, move || random.next())
}

fn paced_refill(
    config: &TargetConfig,
    events: Arc<EventLog>,
) -> Result<PacedRefill, PacedRefillSettingsError> {
    PacedRefill::new(&config.settings.paced_refill, move |mode, event| {
        events.record(&under(mode, event.kind()), BTreeMap::new());
    })
}

fn dimmer(config: &TargetConfig, events: Arc<EventLog>) -> GracefulDegradation {
    GracefulDegradation::new(&config.settings.graceful_degradation, move |mode, event| {
        events.record(&under(mode, event.kind()), BTreeMap::new());
    })
}

/// The kind of an event under `mode`. Under observe the service behaves as before, and the event
/// says so, or it would be taken for the detection.
fn under(mode: Mode, kind: &str) -> String {
    match mode {
        Mode::Observe => format!("observed_{kind}"),
        Mode::Off | Mode::Enforce => kind.to_owned(),
    }
}

/// A breaker whose changes become events.
fn breaker(config: &TargetConfig, events: Arc<EventLog>) -> CircuitBreaker {
    let jitter = Jitter::new(config.seed.derive("circuit-breaker"));
    CircuitBreaker::new(&config.settings.circuit_breaker, jitter, move |mode, event| {
        let mut detail = BTreeMap::new();
        if let CircuitEvent::Opened { reason } = event {
            detail.insert("reason".to_owned(), reason.to_string());
        }
        events.record(&under(mode, event.kind()), detail);
    })
}
