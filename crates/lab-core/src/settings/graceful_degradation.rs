//! Settings of the dimmer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, ratio},
};
use crate::units::Ratio;

/// What the dimmer looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PressureSignal {
    /// Connections in use and asked for, per connection in the pool.
    #[default]
    ConnectionDemand,
    /// The mean response time of a period.
    ResponseTimeMean,
    /// The 95th percentile of the response times of a period.
    ResponseTimeP95,
}

impl PressureSignal {
    /// Whether it is made of response times.
    pub fn is_of_response_times(self) -> bool {
        match self {
            Self::ConnectionDemand => false,
            Self::ResponseTimeMean | Self::ResponseTimeP95 => true,
        }
    }
}

/// The dimmer on auxiliary work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GracefulDegradationSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// What the dimmer looks at. **Default** connection demand.
    pub signal: PressureSignal,
    /// Connection demand that the dimmer aims at: connections in use and asked for, per
    /// connection in the pool. **Range**: above 0. **Default** 1: all in use, nobody waits.
    pub connection_demand_target: f64,
    /// Response time that the dimmer aims at. **Default** 100 ms.
    #[serde(with = "humantime_serde")]
    pub response_time_target: Duration,
    /// Time between two updates. **Default** 100 ms.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
    /// How slowly the error decays: what a period leaves of it when the model is right.
    /// **Range**: 0 to below 1. **Default** 0.6.
    pub pole: Ratio,
    /// Most that one period gives back of the share of auxiliary work. **Range**: above 0.
    /// **Default** 0.05: from nothing to all in two seconds.
    pub recovery_step: Ratio,
}

impl Default for GracefulDegradationSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            signal: PressureSignal::ConnectionDemand,
            connection_demand_target: 1.0,
            response_time_target: Duration::from_millis(100),
            period: Duration::from_millis(100),
            pole: ratio(0.6),
            recovery_step: ratio(0.05),
        }
    }
}

impl GracefulDegradationSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let refuse = |key: &str, allowed: &str, got: f64| {
            Err(SettingsError::new(format!("graceful_degradation.{key}"), allowed, got))
        };
        let demand = self.connection_demand_target;
        if !demand.is_finite() || demand <= 0.0 {
            return refuse("connection_demand_target", "above 0 and finite", demand);
        }
        if 1.0 <= self.pole.get() {
            return refuse("pole", "at least 0 and below 1", self.pole.get());
        }
        if self.recovery_step.get() <= 0.0 {
            return refuse("recovery_step", "above 0 and at most 1", self.recovery_step.get());
        }
        above_zero("graceful_degradation.response_time_target", self.response_time_target)?;
        above_zero("graceful_degradation.period", self.period)
    }
}
