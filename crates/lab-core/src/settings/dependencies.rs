//! How the service talks to Redis and to PostgreSQL, and how it reads pages from them.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero_if_set, count},
};

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

impl RedisSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero_if_set("redis.call_timeout", self.call_timeout)?;
        above_zero_if_set("redis.reconnect_delay_max", self.reconnect_delay_max)
    }
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

/// A pool that is made larger in an emergency, by whoever switches it on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolRaiseSettings {
    /// Off, observe (which does nothing here) or enforce.
    pub mode: Mode,
    /// Connections in the pool while it is on. **Default** 80.
    pub pool_size: NonZeroU32,
}

impl Default for PoolRaiseSettings {
    fn default() -> Self {
        Self { mode: Mode::Off, pool_size: count(80) }
    }
}

impl DatabaseSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero_if_set("database.acquire_timeout", self.acquire_timeout)?;
        above_zero_if_set("database.statement_timeout", self.statement_timeout)
    }
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
    /// One row that holds the finished page, and another for its recommendations.
    Denormalized,
}
