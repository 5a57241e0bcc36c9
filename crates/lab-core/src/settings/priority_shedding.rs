//! Settings of the queue before the database.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, at_most_a_minute, count},
};

/// The queue before the database that lets core routes in first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrioritySheddingSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Calls that may be in flight at once, both classes together. **Default** 10.
    pub max_concurrent_calls: NonZeroU32,
    /// Longest wait of a caller who comes while the queue of its class is standing.
    /// **Range**: above 0, at most `interval`. **Default** 5 ms (Facebook).
    #[serde(with = "humantime_serde")]
    pub target: Duration,
    /// A queue that has not been empty for this long is standing; a caller who comes before that
    /// waits this long at most. **Range**: at most a minute. **Default** 100 ms (Facebook).
    #[serde(with = "humantime_serde")]
    pub interval: Duration,
}

impl Default for PrioritySheddingSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            max_concurrent_calls: count(10),
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
        }
    }
}

impl PrioritySheddingSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("priority_shedding.target", self.target)?;
        at_most_a_minute("priority_shedding.interval", self.interval)?;
        if self.interval < self.target {
            let allowed = format!("at most priority_shedding.interval ({:?})", self.interval);
            return Err(SettingsError::new("priority_shedding.target", allowed, self.target));
        }
        Ok(())
    }
}
