//! Settings of the circuit breaker. Names follow resilience4j, in snake case; shares are ratios.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, above_zero_if_set, count, ratio},
};
use crate::units::Ratio;

/// The circuit breaker around every Redis call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CircuitBreakerSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// What opens the circuit. **Default** failures in a row.
    pub trip: TripRule,
    /// Failures in a row that open the circuit, with `trip = "consecutive"`. **Default** 5
    /// (strategy row S18).
    pub failure_threshold: NonZeroU32,
    /// Calls that the rates are taken over, with `trip = "count_window"`. **Range**:
    /// `minimum_number_of_calls` to 1,000,000. **Default** 100, as in resilience4j.
    pub window_size: NonZeroU32,
    /// Time that the rates are taken over, with `trip = "time_window"`. The oldest tenth leaves at
    /// once, so the window is between 0.9 of it and all of it. **Range**: from 10 ms.
    /// **Default** 10 s.
    #[serde(with = "humantime_serde")]
    pub window_duration: Duration,
    /// Calls in the window before its rates mean anything. **Default** 20.
    pub minimum_number_of_calls: NonZeroU32,
    /// Share of failed calls in the window that opens the circuit. **Range**: above 0.
    /// **Default** 0.5, as in resilience4j.
    pub failure_rate_threshold: Ratio,
    /// A call that takes longer than this is slow, whether it fails or not; only with a window.
    /// `None`: no call is slow.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub slow_call_duration_threshold: Option<Duration>,
    /// Share of slow calls in the window that opens the circuit. **Range**: above 0.
    /// **Default** 1, as in resilience4j.
    pub slow_call_rate_threshold: Ratio,
    /// Time the circuit stays open before it lets a probe through. **Default** 60 s (row S18).
    #[serde(with = "humantime_serde")]
    pub wait_duration_in_open: Duration,
    /// Makes each wait in a row longer, and random. `None`: every wait is `wait_duration_in_open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<OpenBackoffSettings>,
    /// Probes while half-open: in flight at once with `trip = "consecutive"`, in all with a
    /// window. **Default** 1.
    pub half_open_permits: NonZeroU32,
    /// Successful probes that close the circuit, with `trip = "consecutive"`. With a window the
    /// rates over all `half_open_permits` probes decide. **Default** 1.
    pub half_open_successes: NonZeroU32,
    /// Longest time a probe may take, where it is shorter than the usual bound of a call.
    /// `None`: the usual bound.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub probe_timeout: Option<Duration>,
    /// A call cancelled because its caller left counts as a failure once it has waited this long,
    /// and as nothing before. **Default** 50 ms.
    #[serde(with = "humantime_serde")]
    pub slow_call_bound: Duration,
}

/// What opens the circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TripRule {
    /// Failures in a row.
    #[default]
    Consecutive,
    /// The rates of failed and of slow calls among the last calls.
    CountWindow,
    /// The rates of failed and of slow calls among the calls of the last while.
    TimeWindow,
}

/// How long the circuit stays open when opening did not help: the wait is drawn evenly between
/// nothing and `wait_duration_in_open · multiplier^n`, at most `max`, where n counts the openings
/// since the circuit was last closed, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenBackoffSettings {
    /// How much longer each bound is than the one before. **Range**: 1 to 100.
    pub multiplier: f64,
    /// The longest wait. **Range**: from `wait_duration_in_open`.
    #[serde(with = "humantime_serde")]
    pub max: Duration,
}

const WINDOW_SIZE_MAX: u32 = 1_000_000;
const WINDOW_DURATION_MIN: Duration = Duration::from_millis(10);

impl Default for CircuitBreakerSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            trip: TripRule::Consecutive,
            failure_threshold: count(5),
            window_size: count(100),
            window_duration: Duration::from_secs(10),
            minimum_number_of_calls: count(20),
            failure_rate_threshold: ratio(0.5),
            slow_call_duration_threshold: None,
            slow_call_rate_threshold: ratio(1.0),
            wait_duration_in_open: Duration::from_secs(60),
            backoff: None,
            half_open_permits: count(1),
            half_open_successes: count(1),
            probe_timeout: None,
            slow_call_bound: Duration::from_millis(50),
        }
    }
}

impl CircuitBreakerSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("circuit_breaker.wait_duration_in_open", self.wait_duration_in_open)?;
        above_zero_if_set("circuit_breaker.probe_timeout", self.probe_timeout)?;
        self.validate_backoff()?;
        self.validate_window()
    }

    fn validate_backoff(&self) -> Result<(), SettingsError> {
        let Some(backoff) = self.backoff else { return Ok(()) };
        if !(1.0..=100.0).contains(&backoff.multiplier) {
            let key = "circuit_breaker.backoff.multiplier";
            return Err(SettingsError::new(key, "from 1 to 100", backoff.multiplier));
        }
        if backoff.max < self.wait_duration_in_open {
            let allowed =
                format!("at least wait_duration_in_open ({:?})", self.wait_duration_in_open);
            return Err(SettingsError::new("circuit_breaker.backoff.max", allowed, backoff.max));
        }
        Ok(())
    }

    fn validate_window(&self) -> Result<(), SettingsError> {
        let threshold = self.slow_call_duration_threshold;
        above_zero_if_set("circuit_breaker.slow_call_duration_threshold", threshold)?;
        for (key, ratio) in [
            ("failure_rate_threshold", self.failure_rate_threshold),
            ("slow_call_rate_threshold", self.slow_call_rate_threshold),
        ] {
            if ratio.get() <= 0.0 {
                let key = format!("circuit_breaker.{key}");
                return Err(SettingsError::new(key, "above 0, at most 1", ratio.get()));
            }
        }
        match self.trip {
            TripRule::Consecutive => match threshold {
                Some(threshold) => {
                    let allowed = "left out unless trip is count_window or time_window";
                    let key = "circuit_breaker.slow_call_duration_threshold";
                    Err(SettingsError::new(key, allowed, threshold))
                }
                None => Ok(()),
            },
            TripRule::CountWindow => {
                let (size, minimum) = (self.window_size, self.minimum_number_of_calls);
                if (minimum.get()..=WINDOW_SIZE_MAX).contains(&size.get()) {
                    return Ok(());
                }
                let allowed = format!(
                    "at least minimum_number_of_calls ({minimum}) and at most {WINDOW_SIZE_MAX}"
                );
                Err(SettingsError::new("circuit_breaker.window_size", allowed, size))
            }
            TripRule::TimeWindow if self.window_duration < WINDOW_DURATION_MIN => {
                let allowed = format!("at least {WINDOW_DURATION_MIN:?}");
                let key = "circuit_breaker.window_duration";
                Err(SettingsError::new(key, allowed, self.window_duration))
            }
            TripRule::TimeWindow => Ok(()),
        }
    }
}
