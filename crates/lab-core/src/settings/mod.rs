//! What a variant may set in the target service: one file per mitigation.
//!
//! Every key is optional: what a variant does not name comes from its base, and what no base names
//! is the default of the library concerned. `None` therefore means "as shipped", not "zero".
//! Each file checks its own keys; what two of them must agree on is checked here.

mod check;
mod circuit_breaker;
mod coalesce;
mod dependencies;
mod local_cache;
mod paced_refill;
mod rate_limit;
mod retry;

use serde::{Deserialize, Serialize};

pub use self::{
    check::SettingsError,
    circuit_breaker::CircuitBreakerSettings,
    coalesce::{CoalesceSettings, FillLifetime},
    dependencies::{CacheMode, DatabaseSettings, PageQuery, RedisSettings},
    local_cache::LocalCacheSettings,
    paced_refill::PacedRefillSettings,
    rate_limit::RateLimitSettings,
    retry::{RetryBudgetKind, RetrySettings},
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
    /// Coalescing of identical misses.
    pub coalesce: CoalesceSettings,
    /// The bound on fills while the shared cache comes back empty.
    pub paced_refill: PacedRefillSettings,
    /// Retries of calls that failed in a way that may pass.
    pub retry: RetrySettings,
}

impl Settings {
    /// Checks what no single type can check. **Errors**: the first setting that cannot work.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.redis.validate()?;
        self.database.validate()?;
        self.circuit_breaker.validate()?;
        self.local_cache.validate()?;
        self.rate_limit.validate()?;
        self.paced_refill.validate()?;
        self.retry.validate()
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
