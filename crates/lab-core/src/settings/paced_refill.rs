//! Settings of the paced refill.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, one_rate, ratio},
};
use crate::units::{PerSec, Ratio};

/// The bound on fills while the shared cache comes back empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PacedRefillSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Time after the recovery for which misses are paced. **Default** 30 s.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// Fills per second, as a share of the calibrated capacity C. Exactly one of this and
    /// `fills_per_sec` is needed unless the mode is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_ratio: Option<Ratio>,
    /// Fills per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fills_per_sec: Option<PerSec>,
    /// Share of the rate at the moment of the recovery, from which it grows evenly to the whole
    /// rate at the end of `duration`. **Default** 1: the whole rate at once.
    pub initial_ratio: Ratio,
}

impl Default for PacedRefillSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            duration: Duration::from_secs(30),
            capacity_ratio: None,
            fills_per_sec: None,
            initial_ratio: ratio(1.0),
        }
    }
}

impl PacedRefillSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("paced_refill.duration", self.duration)?;
        let per_sec = ("fills_per_sec", self.fills_per_sec);
        one_rate("paced_refill", self.mode, self.capacity_ratio, per_sec)
    }
}
