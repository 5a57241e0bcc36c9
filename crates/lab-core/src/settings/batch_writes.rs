//! Settings of the buffer that adds up counter increments before they are written.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, count},
};

/// Counter increments added up in memory and written together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchWritesSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Longest time an increment waits before it is due to be written. **Default** 1 s: what a
    /// crash of the service loses is what came in during this time.
    #[serde(with = "humantime_serde")]
    pub flush_interval: Duration,
    /// Sum of increments that makes a flush due before the interval has passed. **Default** 1000.
    /// **Range**: at most `count_max`.
    pub flush_count: NonZeroU32,
    /// Different keys held at once, those being written included. **Default** 10 000.
    pub keys_max: NonZeroU32,
    /// Sum of increments held at once, those being written included. **Default** 100 000.
    pub count_max: NonZeroU32,
}

impl Default for BatchWritesSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            flush_interval: Duration::from_secs(1),
            flush_count: count(1_000),
            keys_max: count(10_000),
            count_max: count(100_000),
        }
    }
}

impl BatchWritesSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("batch_writes.flush_interval", self.flush_interval)?;
        if self.count_max < self.flush_count {
            let allowed = format!("at most batch_writes.count_max ({})", self.count_max);
            return Err(SettingsError::new("batch_writes.flush_count", allowed, self.flush_count));
        }
        Ok(())
    }
}
