//! Settings of the cache inside the service.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, above_zero_if_set},
};

/// The cache inside the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocalCacheSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Memory for keys and bodies together, in bytes. **Default** 64 MiB.
    pub size_bytes_max: u64,
    /// Age up to which an entry is fresh. **Default** 60 s.
    #[serde(with = "humantime_serde")]
    pub ttl: Duration,
    /// Age up to which an entry may stand in when neither Redis nor the database gives one.
    /// `None`: an entry past its `ttl` is never served.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub stale_on_error_max_age: Option<Duration>,
    /// Age up to which it is remembered that a page does not exist. `None`: not at all.
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub negative_ttl: Option<Duration>,
}

impl Default for LocalCacheSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            size_bytes_max: 64 * 1024 * 1024,
            ttl: Duration::from_secs(60),
            stale_on_error_max_age: None,
            negative_ttl: None,
        }
    }
}

impl LocalCacheSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("local_cache.ttl", self.ttl)?;
        above_zero_if_set("local_cache.negative_ttl", self.negative_ttl)?;
        if self.mode != Mode::Off && self.size_bytes_max == 0 {
            let allowed = "at least 1 when the mode is not off";
            return Err(SettingsError::new("local_cache.size_bytes_max", allowed, 0));
        }
        match self.stale_on_error_max_age {
            Some(max_age) if max_age < self.ttl => {
                let allowed = format!("at least local_cache.ttl ({:?})", self.ttl);
                Err(SettingsError::new("local_cache.stale_on_error_max_age", allowed, max_age))
            }
            Some(_) | None => Ok(()),
        }
    }
}
