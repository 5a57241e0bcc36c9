//! Settings of retries.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Mode, SettingsError,
    check::{above_zero, count, ratio},
};
use crate::units::Ratio;

/// Retries of calls that failed in a way that may pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Attempts of one logical request, the first included. **Default** 3.
    pub attempts_max: NonZeroU32,
    /// Longest wait before the second attempt; it doubles with every further one. The wait itself
    /// is drawn evenly from zero to that. 0s: no wait at all. **Default** 10 ms.
    #[serde(with = "humantime_serde")]
    pub backoff_base: Duration,
    /// What the longest wait stops doubling at. **Default** 200 ms.
    #[serde(with = "humantime_serde")]
    pub backoff_cap: Duration,
    /// Whether all retries together are bounded. **Default** token bucket.
    pub budget: RetryBudgetKind,
    /// Retries that each first attempt pays for. **Default** 0.2, as in Finagle.
    pub budget_ratio: Ratio,
    /// Retries per second that are allowed however few first attempts there are. **Default** 10,
    /// as in Finagle.
    pub budget_min_per_sec: u32,
    /// Time for which a first attempt pays, and for which a retry has been paid. Retries that were
    /// not used for so long are lost. **Default** 10 s, as in Finagle.
    #[serde(with = "humantime_serde")]
    pub budget_window: Duration,
}

/// What bounds all retries together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryBudgetKind {
    /// Nothing: every request makes all of its attempts. The naive retry, which multiplies the
    /// load of a dependency that is overloaded already.
    None,
    /// A bucket that first attempts fill and retries empty.
    #[default]
    TokenBucket,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            attempts_max: count(3),
            backoff_base: Duration::from_millis(10),
            backoff_cap: Duration::from_millis(200),
            budget: RetryBudgetKind::TokenBucket,
            budget_ratio: ratio(0.2),
            budget_min_per_sec: 10,
            budget_window: Duration::from_secs(10),
        }
    }
}

impl RetrySettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        if self.backoff_cap < self.backoff_base {
            let allowed = format!("at least retry.backoff_base ({:?})", self.backoff_base);
            return Err(SettingsError::new("retry.backoff_cap", allowed, self.backoff_cap));
        }
        above_zero("retry.budget_window", self.budget_window)
    }
}
