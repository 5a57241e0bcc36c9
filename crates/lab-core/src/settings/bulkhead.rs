//! Settings of the bulkhead.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{at_most_a_minute, count},
};

/// The caps on calls in flight to the database, one per route class.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BulkheadSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// The cap on calls of core routes.
    pub core: CompartmentSettings,
    /// The cap on calls of auxiliary routes.
    pub auxiliary: CompartmentSettings,
}

/// One compartment: a cap of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompartmentSettings {
    /// Calls that may be in flight at once. **Default** 25 (resilience4j).
    pub max_concurrent_calls: NonZeroU32,
    /// Longest wait for a place; zero refuses at once. **Range**: at most a minute.
    /// **Default** 0 s (resilience4j).
    #[serde(with = "humantime_serde")]
    pub max_wait_duration: Duration,
}

impl Default for CompartmentSettings {
    fn default() -> Self {
        Self { max_concurrent_calls: count(25), max_wait_duration: Duration::ZERO }
    }
}

impl BulkheadSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        at_most_a_minute("bulkhead.core.max_wait_duration", self.core.max_wait_duration)?;
        at_most_a_minute("bulkhead.auxiliary.max_wait_duration", self.auxiliary.max_wait_duration)
    }
}
