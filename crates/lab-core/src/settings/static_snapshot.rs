//! Settings of the pages rendered ahead.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Mode, SettingsError, check::above_zero};

/// Pages rendered ahead and held in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StaticSnapshotSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Time from one rendering of all pages to the next. **Default** 60 s.
    #[serde(with = "humantime_serde")]
    pub rebuild_interval: Duration,
    /// Age up to which a page is served. **Range**: at least `rebuild_interval`. `None`: however
    /// old it is, which is what a snapshot is for when nothing can be rendered any more.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// Memory for keys and pages together, in bytes. While a snapshot is replaced there are two.
    /// **Default** 64 MiB.
    pub size_bytes_max: u64,
}

impl Default for StaticSnapshotSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            rebuild_interval: Duration::from_secs(60),
            max_age: None,
            size_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl StaticSnapshotSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("static_snapshot.rebuild_interval", self.rebuild_interval)?;
        if self.mode != Mode::Off && self.size_bytes_max == 0 {
            let allowed = "at least 1 when the mode is not off";
            return Err(SettingsError::new("static_snapshot.size_bytes_max", allowed, 0));
        }
        match self.max_age {
            Some(max_age) if max_age < self.rebuild_interval => {
                let allowed = format!(
                    "at least static_snapshot.rebuild_interval ({:?})",
                    self.rebuild_interval
                );
                Err(SettingsError::new("static_snapshot.max_age", allowed, max_age))
            }
            Some(_) | None => Ok(()),
        }
    }
}
