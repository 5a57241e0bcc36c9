//! What a variant may set in the target service: one file per mitigation.
//!
//! Every key is optional: what a variant does not name comes from its base, and what no base names
//! is the default of the library concerned. `None` therefore means "as shipped", not "zero".
//! Each file checks its own keys; what two of them must agree on is checked here.

mod adaptive_concurrency;
mod async_queue;
mod batch_writes;
mod bulkhead;
mod check;
mod circuit_breaker;
mod coalesce;
mod deadline_propagation;
mod dependencies;
mod graceful_degradation;
mod local_cache;
mod paced_refill;
mod priority_shedding;
mod rate_limit;
mod retry;
mod session;
mod static_snapshot;

use serde::{Deserialize, Serialize};

pub use self::{
    adaptive_concurrency::{AdaptiveConcurrencySettings, LimitAlgorithm},
    async_queue::AsyncQueueSettings,
    batch_writes::BatchWritesSettings,
    bulkhead::{BulkheadSettings, CompartmentSettings},
    check::SettingsError,
    circuit_breaker::{CircuitBreakerSettings, OpenBackoffSettings, TripRule},
    coalesce::{CoalesceSettings, FillLifetime},
    deadline_propagation::DeadlinePropagationSettings,
    dependencies::{CacheMode, DatabaseSettings, PageQuery, PoolRaiseSettings, RedisSettings},
    graceful_degradation::{GracefulDegradationSettings, PressureSignal},
    local_cache::LocalCacheSettings,
    paced_refill::PacedRefillSettings,
    priority_shedding::PrioritySheddingSettings,
    rate_limit::{OnStoreError, RateLimitSettings, RateLimitStore},
    retry::{RetryBudgetKind, RetrySettings},
    session::{SessionSettings, SessionStore},
    static_snapshot::StaticSnapshotSettings,
};

/// Whether a mitigation acts, only reports what it would have done, or is not there at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not there.
    #[default]
    Off,
    /// Decides and counts, and lets every call pass.
    Observe,
    /// Decides and acts.
    Enforce,
}

impl Mode {
    /// The name used in files and on the internal port.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// All settings of a variant, its base's included.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How the service talks to Redis.
    pub redis: RedisSettings,
    /// How the service talks to PostgreSQL.
    pub database: DatabaseSettings,
    /// The larger pool of an emergency.
    pub pool_raise: PoolRaiseSettings,
    /// Whether pages go through the shared cache.
    pub cache: CacheMode,
    /// How a product page is read from the database.
    pub page_query: PageQuery,
    /// The circuit breaker around every Redis call.
    pub circuit_breaker: CircuitBreakerSettings,
    /// The cache inside the service.
    pub local_cache: LocalCacheSettings,
    /// The rate limit on pages read from the database.
    pub rate_limit: RateLimitSettings,
    /// Coalescing of identical misses.
    pub coalesce: CoalesceSettings,
    /// The bound on fills while the shared cache comes back empty.
    pub paced_refill: PacedRefillSettings,
    /// Retries of calls that failed in a way that may pass.
    pub retry: RetrySettings,
    /// The deadline that travels with a request.
    pub deadline_propagation: DeadlinePropagationSettings,
    /// Counter increments added up in memory and written together.
    pub batch_writes: BatchWritesSettings,
    /// Writes acknowledged from a file and applied later.
    pub async_queue: AsyncQueueSettings,
    /// Where sessions are kept and how long they last.
    pub session: SessionSettings,
    /// Pages rendered ahead.
    pub static_snapshot: StaticSnapshotSettings,
    /// The caps on calls in flight to the database, one per route class.
    pub bulkhead: BulkheadSettings,
    /// The limit on calls in flight to the database that finds its own size.
    pub adaptive_concurrency: AdaptiveConcurrencySettings,
    /// The queue before the database that lets core routes in first.
    pub priority_shedding: PrioritySheddingSettings,
    /// The dimmer on auxiliary work.
    pub graceful_degradation: GracefulDegradationSettings,
}

impl Settings {
    /// Checks what no single type can check. **Errors**: the first setting that cannot work.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.redis.validate()?;
        self.database.validate()?;
        self.circuit_breaker.validate()?;
        self.local_cache.validate()?;
        self.rate_limit.validate()?;
        self.bulkhead.validate()?;
        self.adaptive_concurrency.validate()?;
        self.priority_shedding.validate()?;
        self.graceful_degradation.validate()?;
        self.paced_refill.validate()?;
        self.retry.validate()?;
        self.deadline_propagation.validate()?;
        self.deadline_propagation.validate_timeouts_inside(&self.redis, &self.database)?;
        self.batch_writes.validate()?;
        self.async_queue.validate()?;
        self.session.validate()?;
        self.static_snapshot.validate()?;
        self.validate_probe_timeout()
    }

    /// A probe has the shorter bound: a longer one would never be reached.
    fn validate_probe_timeout(&self) -> Result<(), SettingsError> {
        match (self.circuit_breaker.probe_timeout, self.redis.call_timeout) {
            (Some(probe), Some(call)) if call < probe => {
                let allowed = format!("at most redis.call_timeout ({call:?})");
                Err(SettingsError::new("circuit_breaker.probe_timeout", allowed, probe))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(toml: &str) -> Result<Settings, String> {
        let settings: Settings = toml::from_str(toml).map_err(|error| error.to_string())?;
        settings.validate().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn an_empty_file_is_a_service_as_commonly_shipped() {
        let settings = parse("").unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.redis.call_timeout, None);
        assert_eq!(settings.circuit_breaker.mode, Mode::Off);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = parse("[redis]\ncall_timeuot = \"50ms\"").unwrap_err();
        assert!(error.contains("call_timeuot"), "{error}");
    }

    #[test]
    fn a_duration_without_a_unit_is_refused() {
        assert!(parse("[redis]\ncall_timeout = 50").is_err());
        assert!(parse("[redis]\ncall_timeout = \"50\"").is_err());
        assert!(parse("[redis]\ncall_timeout = \"50ms\"").is_ok());
    }

    /// Settings that cannot work, and a part of what is said about each.
    const REFUSED: &[(&str, &str)] = &[
        ("[redis]\ncall_timeout = \"0s\"", "redis.call_timeout"),
        ("[circuit_breaker]\nfailure_threshold = 0", "nonzero"),
        (
            "[circuit_breaker]\ntrip = \"count_window\"\nwindow_size = 19",
            "circuit_breaker.window_size must be at least minimum_number_of_calls (20) and at \
             most 1000000, got 19",
        ),
        (
            "[circuit_breaker]\ntrip = \"count_window\"\nwindow_size = 1000001",
            "at most 1000000, got 1000001",
        ),
        ("[circuit_breaker]\ntrip = \"time_window\"\nwindow_duration = \"9ms\"", "10ms, got 9ms"),
        ("[circuit_breaker]\nfailure_rate_threshold = 0.0", "above 0, at most 1, got 0.0"),
        ("[circuit_breaker]\nfailure_rate_threshold = 1.1", "from 0 to 1, got 1.1"),
        ("[circuit_breaker]\nslow_call_rate_threshold = 0.0", "slow_call_rate_threshold"),
        ("[circuit_breaker]\nslow_call_duration_threshold = \"1s\"", "left out unless trip"),
        (
            "[circuit_breaker]\ntrip = \"time_window\"\nslow_call_duration_threshold = \"0s\"",
            "slow_call_duration_threshold must be above 0s",
        ),
        ("[circuit_breaker]\nhalf_open_permits = 0", "nonzero"),
        ("[circuit_breaker]\nprobe_timeout = \"0s\"", "probe_timeout must be above 0s"),
        (
            "[redis]\ncall_timeout = \"50ms\"\n[circuit_breaker]\nprobe_timeout = \"60ms\"",
            "circuit_breaker.probe_timeout must be at most redis.call_timeout (50ms), got 60ms",
        ),
        (
            "[circuit_breaker]\nbackoff = { multiplier = 0.5, max = \"2m\" }",
            "backoff.multiplier must be from 1 to 100, got 0.5",
        ),
        (
            "[circuit_breaker]\nbackoff = { multiplier = 2.0, max = \"5s\" }",
            "backoff.max must be at least wait_duration_in_open (60s), got 5s",
        ),
        ("[local_cache]\nmode = \"enforce\"\nsize_bytes_max = 0", "size_bytes_max"),
        ("[local_cache]\nttl = \"60s\"\nstale_on_error_max_age = \"5s\"", "at least"),
        ("[local_cache]\nnegative_ttl = \"0s\"", "local_cache.negative_ttl"),
        ("[coalesce]\nfill = \"forever\"", "attached"),
        ("[paced_refill]\nduration = \"0s\"", "paced_refill.duration"),
        ("[paced_refill]\nmode = \"enforce\"", "exactly one"),
        ("[paced_refill]\nmode = \"observe\"\ncapacity_ratio = 0.0", "above 0"),
        ("[paced_refill]\ninitial_ratio = 1.5", "from 0 to 1"),
        ("[retry]\nattempts_max = 0", "nonzero"),
        ("[retry]\nbackoff_base = \"1s\"\nbackoff_cap = \"10ms\"", "at least"),
        ("[retry]\nbudget_window = \"0s\"", "retry.budget_window"),
        ("[rate_limit]\nmode = \"enforce\"", "exactly one"),
        ("[rate_limit]\nmode = \"enforce\"\ncapacity_ratio = 0.0", "above 0"),
        ("[rate_limit]\nmode = \"enforce\"\ncapacity_ratio = 1.5", "from 0 to 1"),
        ("[deadline_propagation]\nbudget_max = \"900ms\"", "at least deadline_propagation.d"),
        ("[deadline_propagation]\nmin_remaining = \"1s\"", "below deadline_propagation.def"),
        ("[deadline_propagation]\nmin_remaining = \"999us\"", "at least 1ms"),
        (
            "[redis]\ncall_timeout = \"2s\"\n[deadline_propagation]\nmode = \"enforce\"",
            "redis.call_timeout must be at most deadline_propagation.default_budget (1s)",
        ),
        (
            "[database]\nacquire_timeout = \"2s\"\n[deadline_propagation]\nmode = \"observe\"",
            "database.acquire_timeout must be at most",
        ),
        ("[batch_writes]\nflush_interval = \"0s\"", "batch_writes.flush_interval"),
        ("[batch_writes]\ncount_max = 999", "at most batch_writes.count_max (999)"),
        ("[async_queue]\nitems_max = 0", "nonzero"),
        ("[async_queue]\nitem_bytes_max = 16777217", "async_queue.item_bytes_max"),
        ("[async_queue]\nbytes_max = 100", "at most async_queue.bytes_max (100)"),
        ("[async_queue]\nsegment_bytes = 4095", "at least 4096"),
        ("[session]\nlifetime = \"999ms\"", "from 1s to 30days"),
        ("[session]\nlifetime = \"31days\"", "from 1s to 30days"),
        ("[static_snapshot]\nrebuild_interval = \"0s\"", "static_snapshot.rebuild_interval"),
        ("[static_snapshot]\nmode = \"enforce\"\nsize_bytes_max = 0", "at least 1 when"),
        ("[static_snapshot]\nmax_age = \"59s\"", "static_snapshot.rebuild_interval (60s)"),
        ("[bulkhead.core]\nmax_concurrent_calls = 0", "nonzero"),
        ("[bulkhead.auxiliary]\nmax_wait_duration = \"2h\"", "auxiliary.max_wait_duration"),
        ("[adaptive_concurrency]\nmin_limit = 300", "at most adaptive_concurrency.max_limit"),
        ("[adaptive_concurrency]\ninitial_limit = 201", "from 1 to 200"),
        ("[adaptive_concurrency]\nbackoff_ratio = 1.0", "at least 0.5 and below 1"),
        ("[adaptive_concurrency]\nrtt_tolerance = 0.9", "at least 1"),
        ("[adaptive_concurrency]\nsmoothing_ratio = 0.0", "above 0"),
        ("[adaptive_concurrency]\nqueue_allowance = 0", "nonzero"),
        ("[adaptive_concurrency]\nshort_window = \"0s\"", "short_window"),
        ("[priority_shedding]\nmax_concurrent_calls = 0", "nonzero"),
        ("[priority_shedding]\ntarget = \"0s\"", "priority_shedding.target"),
        ("[priority_shedding]\ntarget = \"200ms\"", "at most priority_shedding.interval"),
        ("[graceful_degradation]\npole = 1.0", "below 1"),
        ("[graceful_degradation]\nrecovery_step = 0.0", "above 0"),
        ("[graceful_degradation]\nperiod = \"0s\"", "graceful_degradation.period"),
        ("[graceful_degradation]\nconnection_demand_target = 0.0", "above 0"),
        ("[graceful_degradation]\nresponse_time_target = \"0s\"", "response_time_target"),
    ];

    #[test]
    fn combinations_that_cannot_work_are_refused() {
        for (toml, part) in REFUSED {
            let error = parse(toml).unwrap_err();
            assert!(error.contains(part), "{toml}: {error}");
        }
    }

    #[test]
    fn settings_survive_json_because_processes_hand_them_on() {
        let settings = parse(
            "page_query = \"optimized\"\n[redis]\ncall_timeout = \"50ms\"\n\
             [rate_limit]\nmode = \"enforce\"\ncapacity_ratio = 0.9\n\
             [circuit_breaker]\ntrip = \"time_window\"\nwindow_duration = \"1s\"\n\
             backoff = { multiplier = 2.0, max = \"2m\" }",
        )
        .unwrap();
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }
}
