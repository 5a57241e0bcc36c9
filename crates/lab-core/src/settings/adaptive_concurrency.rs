//! Settings of the concurrency limit that finds its own size.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, at_most_a_minute, count, ratio},
};
use crate::units::Ratio;

/// How the limit finds its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitAlgorithm {
    /// From the ratio of the usual response time of a call to the present one.
    #[default]
    Gradient,
    /// One more per round trip while calls succeed in time, a share less when one does not.
    Aimd,
}

/// The limit on calls in flight to the database that finds its own size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveConcurrencySettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// How the limit finds its size. **Default** gradient.
    pub algorithm: LimitAlgorithm,
    /// Calls in flight it starts with. **Range**: `min_limit` to `max_limit`. **Default** 20
    /// (concurrency-limits).
    pub initial_limit: NonZeroU32,
    /// It never falls below this. **Default** 1.
    pub min_limit: NonZeroU32,
    /// It never rises above this. **Default** 200 (concurrency-limits).
    pub max_limit: NonZeroU32,
    /// Longest wait for a place; zero refuses at once. **Range**: at most a minute.
    /// **Default** 0 s.
    #[serde(with = "humantime_serde")]
    pub max_wait_duration: Duration,
    /// A call that takes longer is a sign of overload to AIMD; to both, a call that was given up
    /// this long after its start or later is. **Default** 1 s.
    #[serde(with = "humantime_serde")]
    pub slow_call_bound: Duration,
    /// AIMD: what a sign of overload leaves of the limit. **Range**: 0.5 to below 1.
    /// **Default** 0.9 (concurrency-limits).
    pub backoff_ratio: Ratio,
    /// Gradient: how many times the usual round trip time is still no queue. **Range**: 1 or
    /// above. **Default** 1.5 (concurrency-limits).
    pub rtt_tolerance: f64,
    /// Gradient: calls that may queue behind the limit's estimate. **Default** 4
    /// (concurrency-limits).
    pub queue_allowance: NonZeroU32,
    /// Gradient: the weight of a new estimate beside the old one. **Range**: above 0.
    /// **Default** 0.2 (concurrency-limits).
    pub smoothing_ratio: Ratio,
    /// Gradient: the time over which the present round trip time is averaged, and between two
    /// estimates. **Default** 100 ms.
    #[serde(with = "humantime_serde")]
    pub short_window: Duration,
    /// Gradient: short windows that the usual round trip time is averaged over. **Default** 600
    /// (concurrency-limits).
    pub long_window: NonZeroU32,
}

impl Default for AdaptiveConcurrencySettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            algorithm: LimitAlgorithm::Gradient,
            initial_limit: count(20),
            min_limit: count(1),
            max_limit: count(200),
            max_wait_duration: Duration::ZERO,
            slow_call_bound: Duration::from_secs(1),
            backoff_ratio: ratio(0.9),
            rtt_tolerance: 1.5,
            queue_allowance: count(4),
            smoothing_ratio: ratio(0.2),
            short_window: Duration::from_millis(100),
            long_window: count(600),
        }
    }
}

impl AdaptiveConcurrencySettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let refuse = |key: &str, allowed: String, got: f64| {
            Err(SettingsError::new(format!("adaptive_concurrency.{key}"), allowed, got))
        };
        let (min, initial, max) = (self.min_limit, self.initial_limit, self.max_limit);
        if max < min {
            let allowed = format!("at most adaptive_concurrency.max_limit ({max})");
            return refuse("min_limit", allowed, min.get().into());
        }
        if !(min..=max).contains(&initial) {
            return refuse("initial_limit", format!("from {min} to {max}"), initial.get().into());
        }
        if !(0.5..1.0).contains(&self.backoff_ratio.get()) {
            let allowed = "at least 0.5 and below 1".to_owned();
            return refuse("backoff_ratio", allowed, self.backoff_ratio.get());
        }
        if !self.rtt_tolerance.is_finite() || self.rtt_tolerance < 1.0 {
            return refuse("rtt_tolerance", "at least 1 and finite".to_owned(), self.rtt_tolerance);
        }
        if self.smoothing_ratio.get() <= 0.0 {
            return refuse("smoothing_ratio", "above 0".to_owned(), self.smoothing_ratio.get());
        }
        above_zero("adaptive_concurrency.slow_call_bound", self.slow_call_bound)?;
        above_zero("adaptive_concurrency.short_window", self.short_window)?;
        at_most_a_minute("adaptive_concurrency.max_wait_duration", self.max_wait_duration)
    }
}
