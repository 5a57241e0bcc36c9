//! Settings of the circuit breaker.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, count},
};

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
        Self {
            mode: Mode::Off,
            failure_threshold: count(5),
            wait_duration_in_open: Duration::from_secs(60),
            half_open_permits: count(1),
            half_open_successes: count(1),
            slow_call_bound: Duration::from_millis(50),
        }
    }
}

impl CircuitBreakerSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("circuit_breaker.wait_duration_in_open", self.wait_duration_in_open)
    }
}
