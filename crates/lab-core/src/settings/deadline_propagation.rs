//! Settings of the deadline that travels with a request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DatabaseSettings, Mode, RedisSettings, SettingsError, check::above_zero};

/// Shortest `min_remaining`. PostgreSQL counts `statement_timeout` in whole milliseconds and takes
/// 0 for "no limit": less than this, handed on, would lift the bound instead of setting one.
const MIN_REMAINING_MIN: Duration = Duration::from_millis(1);

/// The deadline of a request, handed on to everything that is done for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadlinePropagationSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Time a request has when its client states none. **Default** 1 s, the time after which the
    /// lab's users leave.
    #[serde(with = "humantime_serde")]
    pub default_budget: Duration,
    /// Most time that a client may claim; what it states above counts as this. **Default** 10 s.
    #[serde(with = "humantime_serde")]
    pub budget_max: Duration,
    /// A call that would have less time than this is not begun. **Default** 5 ms.
    /// **Range**: from 1 ms to below `default_budget`.
    #[serde(with = "humantime_serde")]
    pub min_remaining: Duration,
}

impl Default for DeadlinePropagationSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Off,
            default_budget: Duration::from_secs(1),
            budget_max: Duration::from_secs(10),
            min_remaining: Duration::from_millis(5),
        }
    }
}

impl DeadlinePropagationSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        above_zero("deadline_propagation.default_budget", self.default_budget)?;
        if self.budget_max < self.default_budget {
            let allowed =
                format!("at least deadline_propagation.default_budget ({:?})", self.default_budget);
            let key = "deadline_propagation.budget_max";
            return Err(SettingsError::new(key, allowed, self.budget_max));
        }
        if self.min_remaining < MIN_REMAINING_MIN || self.default_budget <= self.min_remaining {
            let allowed = format!(
                "at least {MIN_REMAINING_MIN:?} and below deadline_propagation.default_budget \
                 ({:?})",
                self.default_budget
            );
            let key = "deadline_propagation.min_remaining";
            return Err(SettingsError::new(key, allowed, self.min_remaining));
        }
        Ok(())
    }

    /// Refuses a timeout that is longer than the deadline around it: it would never be the one
    /// that ends a call, and whoever set it believes that it is.
    pub(super) fn validate_timeouts_inside(
        &self,
        redis: &RedisSettings,
        database: &DatabaseSettings,
    ) -> Result<(), SettingsError> {
        if self.mode == Mode::Off {
            return Ok(());
        }
        for (key, timeout) in [
            ("redis.call_timeout", redis.call_timeout),
            ("database.acquire_timeout", database.acquire_timeout),
            ("database.statement_timeout", database.statement_timeout),
        ] {
            if let Some(timeout) = timeout.filter(|it| self.default_budget < *it) {
                let allowed = format!(
                    "at most deadline_propagation.default_budget ({:?}) when its mode is not off",
                    self.default_budget
                );
                return Err(SettingsError::new(key, allowed, timeout));
            }
        }
        Ok(())
    }
}
