//! Settings of the rate limit.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::{Mode, SettingsError, check::one_rate};
use crate::units::{PerSec, Ratio};

/// Where the count of permits is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateLimitStore {
    /// In the process: each instance has a limit of its own.
    #[default]
    Process,
    /// In Redis, for all instances together. The anti-pattern: the limit is gone when Redis is.
    Redis,
}

/// What a limit that lost its count does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStoreError {
    /// Fail open: every call passes.
    #[default]
    Allow,
    /// Fail closed: every call is refused.
    Refuse,
}

/// The rate limit on pages read from the database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Pages per second that may be read from the database, as a share of the calibrated
    /// capacity C. Exactly one of this and `permits_per_sec` is needed unless the mode is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_ratio: Option<Ratio>,
    /// Pages per second that may be read from the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permits_per_sec: Option<PerSec>,
    /// Pages that may be read at once after a quiet time. `None`: a tenth of a second's worth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
    /// Where the count of permits is kept. **Default** process.
    pub store: RateLimitStore,
    /// What happens while `store` gives no answer. **Default** allow.
    pub on_store_error: OnStoreError,
}

impl RateLimitSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let per_sec = ("permits_per_sec", self.permits_per_sec);
        one_rate("rate_limit", self.mode, self.capacity_ratio, per_sec)
    }
}
