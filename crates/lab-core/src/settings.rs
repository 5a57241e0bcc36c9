//! What a variant may set in the target service.
//!
//! Every key is optional: what a variant does not name comes from its base, and what no base names
//! is the default of the library concerned. `None` therefore means "as shipped", not "zero".

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use crate::units::{PerSec, Ratio};

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
}

/// How the service talks to Redis. Missing values are redis-rs's own defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSettings {
    /// Longest time one Redis call may take as the caller sees it, waiting for a reconnect
    /// included. `None`: as long as the library takes.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub call_timeout: Option<Duration>,
    /// Longest pause between two attempts to reconnect. `None`: the library's, unbounded.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub reconnect_delay_max: Option<Duration>,
}

/// How the service talks to PostgreSQL. Missing values are the libraries' own defaults.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseSettings {
    /// Connections in the pool. `None`: the campaign's, the same for all but `pool-*` variants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_size: Option<NonZeroU32>,
    /// Longest wait for a connection of the pool. `None`: for ever, deadpool's default.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub acquire_timeout: Option<Duration>,
    /// PostgreSQL's `statement_timeout`. `None`: none.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub statement_timeout: Option<Duration>,
}

/// Whether pages go through the shared cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// Cache-aside: read, and fill on a miss.
    #[default]
    Normal,
    /// Every page is a query. Calibration uses it; sessions and view counters still use Redis.
    Bypass,
}

/// How a product page is read from the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageQuery {
    /// One query for the product and one more for each thing on the page.
    #[default]
    NPlusOne,
    /// One query for the whole page.
    Optimized,
}

/// The circuit breaker around every Redis call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreakerSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Failures in a row that open the circuit. **Default** 5 (strategy row S18).
    pub failure_threshold: NonZeroU32,
    /// Time the circuit stays open before it lets a probe through. **Default** 60 s (row S18).
    #[serde(with = "humantime_serde")]
    pub wait_duration_in_open: Duration,
    /// Probes that may be in flight at once while half-open. **Default** 1.
    pub half_open_permits: NonZeroU32,
    /// Successful probes that close the circuit. **Default** 1.
    pub half_open_successes: NonZeroU32,
    /// A call cancelled because its caller left counts as a failure once it has waited this long,
    /// and as nothing before. **Default** 50 ms.
    #[serde(with = "humantime_serde")]
    pub slow_call_bound: Duration,
}

impl Default for CircuitBreakerSettings {
    fn default() -> Self {
        let one = NonZeroU32::MIN;
        Self {
            mode: Mode::Off,
            failure_threshold: NonZeroU32::new(5).expect("5 is not 0"),
            wait_duration_in_open: Duration::from_secs(60),
            half_open_permits: one,
            half_open_successes: one,
            slow_call_bound: Duration::from_millis(50),
        }
    }
}

/// The cache inside the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalCacheSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Memory for keys and bodies together, in bytes. **Default** 64 MiB.
    pub size_bytes_max: u64,
    /// Age up to which an entry is fresh. **Default** 60 s.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Age up to which an entry may stand in when neither Redis nor the database gives one.
    /// `None`: an entry past its `ttl` is never served.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub stale_on_error_max_age: Option<Duration>,
}

impl Default for LocalCacheSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            size_bytes_max: 64 * 1024 * 1024,
            ttl: Duration::from_secs(60),
            stale_on_error_max_age: None,
        }
    }
}

/// The rate limit on pages read from the database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Pages per second that may be read from the database, as a share of the calibrated
    /// capacity C. Exactly one of this and `permits_per_sec` is needed unless the mode is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_ratio: Option<Ratio>,
    /// Pages per second that may be read from the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits_per_sec: Option<PerSec>,
    /// Pages that may be read at once after a quiet time. `None`: a tenth of a second's worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
}

/// Settings that cannot work together.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A duration that must be above zero is zero.
    #[error("settings.{key} must be above 0s")]
    ZeroDuration {
        /// The key, below `settings`.
        key: &'static str,
    },
    /// A local cache of no bytes.
    #[error("settings.local_cache.size_bytes_max must be at least 1 when the mode is not off")]
    EmptyLocalCache,
    /// Entries would be too old to stand in before they are stale.
    #[error(
        "settings.local_cache.stale_on_error_max_age ({max_age:?}) must be at least settings.local_cache.ttl ({ttl:?})"
    )]
    StaleBeforeFresh {
        /// The configured age.
        max_age: Duration,
        /// The configured time to live.
        ttl: Duration,
    },
    /// The rate limit has no rate, or two.
    #[error(
        "settings.rate_limit needs exactly one of capacity_ratio and permits_per_sec when the mode is not off"
    )]
    RateLimitNeedsOneRate,
    /// The rate limit would admit nothing.
    #[error("settings.rate_limit.capacity_ratio must be above 0")]
    ZeroCapacityRatio,
}

impl Settings {
    /// Checks what no single key can check. **Errors**: the first combination that cannot work.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let durations = [
            ("redis.call_timeout", self.redis.call_timeout),
            ("redis.reconnect_delay_max", self.redis.reconnect_delay_max),
            ("database.acquire_timeout", self.database.acquire_timeout),
            ("database.statement_timeout", self.database.statement_timeout),
            (
                "circuit_breaker.wait_duration_in_open",
                Some(self.circuit_breaker.wait_duration_in_open),
            ),
            ("local_cache.ttl", Some(self.local_cache.ttl)),
        ];
        for (key, duration) in durations {
            if duration.is_some_and(|it| it.is_zero()) {
                return Err(SettingsError::ZeroDuration { key });
            }
        }
        let local = &self.local_cache;
        if local.mode != Mode::Off && local.size_bytes_max == 0 {
            return Err(SettingsError::EmptyLocalCache);
        }
        if let Some(max_age) = local.stale_on_error_max_age
            && max_age < local.ttl
        {
            return Err(SettingsError::StaleBeforeFresh { max_age, ttl: local.ttl });
        }
        let limit = &self.rate_limit;
        if limit.mode != Mode::Off
            && limit.capacity_ratio.is_some() == limit.permits_per_sec.is_some()
        {
            return Err(SettingsError::RateLimitNeedsOneRate);
        }
        if limit.capacity_ratio.is_some_and(|it| it.get() <= 0.0) {
            return Err(SettingsError::ZeroCapacityRatio);
        }
        Ok(())
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
