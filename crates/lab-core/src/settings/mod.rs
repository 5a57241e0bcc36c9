//! What a variant may set in the target service: one file per mitigation.
//!
//! Every key is optional: what a variant does not name comes from its base, and what no base names
//! is the default of the library concerned. `None` therefore means "as shipped", not "zero".
//! Each file checks its own keys; what two of them must agree on is checked here.

mod adaptive_concurrency;
mod bulkhead;
mod check;
mod circuit_breaker;
mod dependencies;
mod graceful_degradation;
mod local_cache;
mod priority_shedding;
mod rate_limit;

use serde::{Deserialize, Serialize};

pub use self::{
    adaptive_concurrency::{AdaptiveConcurrencySettings, LimitAlgorithm},
    bulkhead::{BulkheadSettings, CompartmentSettings},
    check::SettingsError,
    circuit_breaker::CircuitBreakerSettings,
    dependencies::{CacheMode, DatabaseSettings, PageQuery, RedisSettings},
    graceful_degradation::{GracefulDegradationSettings, PressureSignal},
    local_cache::LocalCacheSettings,
    priority_shedding::PrioritySheddingSettings,
    rate_limit::RateLimitSettings,
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

/// All settings of a variant, its base's included.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How the service talks to Redis.
    pub redis: RedisSettings,
    /// How the service talks to PostgreSQL.
    pub database: DatabaseSettings,
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
        self.graceful_degradation.validate()
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

    #[test]
    fn combinations_that_cannot_work_are_refused() {
        for (toml, part) in [
            ("[redis]\ncall_timeout = \"0s\"", "redis.call_timeout"),
            ("[circuit_breaker]\nfailure_threshold = 0", "nonzero"),
            ("[local_cache]\nmode = \"enforce\"\nsize_bytes_max = 0", "size_bytes_max"),
            ("[local_cache]\nttl = \"60s\"\nstale_on_error_max_age = \"5s\"", "at least"),
            ("[rate_limit]\nmode = \"enforce\"", "exactly one"),
            ("[rate_limit]\nmode = \"enforce\"\ncapacity_ratio = 0.0", "above 0"),
            ("[rate_limit]\nmode = \"enforce\"\ncapacity_ratio = 1.5", "from 0 to 1"),
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
        ] {
            let error = parse(toml).unwrap_err();
            assert!(error.contains(part), "{toml}: {error}");
        }
    }

    #[test]
    fn settings_survive_json_because_processes_hand_them_on() {
        let settings = parse(
            "page_query = \"optimized\"\n[redis]\ncall_timeout = \"50ms\"\n\
             [rate_limit]\nmode = \"enforce\"\ncapacity_ratio = 0.9",
        )
        .unwrap();
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), settings);
    }
}
