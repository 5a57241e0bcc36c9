//! Settings of the paced refill.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mode, SettingsError, check::above_zero};
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
            initial_ratio: Ratio::new(1.0).expect("1 is a ratio"),
        }
    }
}

impl PacedRefillSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("paced_refill.duration", self.duration)?;
        let n_rates =
            u8::from(self.capacity_ratio.is_some()) + u8::from(self.fills_per_sec.is_some());
        if self.mode != Mode::Off && n_rates != 1 {
            let allowed = "given exactly one of capacity_ratio and fills_per_sec \
                           when the mode is not off";
            return Err(SettingsError::new("paced_refill", allowed, n_rates));
        }
        match self.capacity_ratio {
            Some(ratio) if ratio.get() <= 0.0 => {
                Err(SettingsError::new("paced_refill.capacity_ratio", "above 0", ratio.get()))
            }
            Some(_) | None => Ok(()),
        }
    }
}
