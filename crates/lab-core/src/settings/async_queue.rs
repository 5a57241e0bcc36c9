//! Settings of the persisted queue.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Mode, SettingsError, check::count};

/// Largest `item_bytes_max`: an item is written in one piece and kept in memory until applied.
const ITEM_BYTES_LIMIT: u32 = 16 * 1024 * 1024;
/// Smallest `segment_bytes`: below a page of the file system, every item is a file of its own.
const SEGMENT_BYTES_MIN: u64 = 4 * 1024;

/// Writes that are acknowledged from a file and applied later. Where the files are is not a
/// setting of a variant: the service's own configuration says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AsyncQueueSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Items that may wait. **Default** 100 000.
    pub items_max: NonZeroU32,
    /// Bytes of all waiting items; they are held in memory too. **Default** 64 MiB.
    pub bytes_max: u64,
    /// Bytes of one item. **Default** 64 KiB. **Range**: at most 16 MiB, and at most `bytes_max`.
    pub item_bytes_max: NonZeroU32,
    /// Size after which a new file is begun; a file is deleted when everything in it was applied.
    /// **Default** 4 MiB. **Range**: at least 4 KiB.
    pub segment_bytes: u64,
}

impl Default for AsyncQueueSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            items_max: count(100_000),
            bytes_max: 64 * 1024 * 1024,
            item_bytes_max: count(64 * 1024),
            segment_bytes: 4 * 1024 * 1024,
        }
    }
}

impl AsyncQueueSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        if ITEM_BYTES_LIMIT < self.item_bytes_max.get()
            || self.bytes_max < u64::from(self.item_bytes_max.get())
        {
            let allowed = format!(
                "at most {ITEM_BYTES_LIMIT} and at most async_queue.bytes_max ({})",
                self.bytes_max
            );
            let key = "async_queue.item_bytes_max";
            return Err(SettingsError::new(key, allowed, self.item_bytes_max));
        }
        if self.segment_bytes < SEGMENT_BYTES_MIN {
            let allowed = format!("at least {SEGMENT_BYTES_MIN}");
            let key = "async_queue.segment_bytes";
            return Err(SettingsError::new(key, allowed, self.segment_bytes));
        }
        Ok(())
    }
}
