//! What is wrong with a setting: the key, the value, and what is allowed.

use std::{fmt::Debug, num::NonZeroU32, time::Duration};

use super::Mode;
use crate::units::{PerSec, Ratio};

/// A setting that cannot work, alone or beside another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("settings.{key} must be {allowed}, got {got}")]
pub struct SettingsError {
    /// The key, below `settings`.
    pub key: String,
    /// What may stand there, for people.
    pub allowed: String,
    /// What stands there.
    pub got: String,
}

impl SettingsError {
    /// The value `got` of `key` is not `allowed`.
    pub fn new(key: impl Into<String>, allowed: impl Into<String>, got: impl Debug) -> Self {
        Self { key: key.into(), allowed: allowed.into(), got: format!("{got:?}") }
    }
}

/// Refuses a duration of zero.
pub(super) fn above_zero(key: &str, got: Duration) -> Result<(), SettingsError> {
    if got.is_zero() { Err(SettingsError::new(key, "above 0s", got)) } else { Ok(()) }
}

/// Refuses a duration of zero where one is set.
pub(super) fn above_zero_if_set(key: &str, got: Option<Duration>) -> Result<(), SettingsError> {
    got.map_or(Ok(()), |got| above_zero(key, got))
}

/// The longest bounded wait that makes sense in front of a user.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Refuses a wait that no user would sit through. Zero is allowed: it means not to wait.
pub(super) fn at_most_a_minute(key: &str, got: Duration) -> Result<(), SettingsError> {
    if got <= WAIT_MAX {
        Ok(())
    } else {
        Err(SettingsError::new(key, format!("at most {WAIT_MAX:?}"), got))
    }
}

/// Refuses none or two where a rate has to be given as one of two: as a share of the calibrated
/// capacity or, in `per_sec_key`, per second. Off, neither is needed; a share of 0 is never one.
pub(super) fn one_rate(
    key: &str,
    mode: Mode,
    capacity_ratio: Option<Ratio>,
    (per_sec_key, per_sec): (&str, Option<PerSec>),
) -> Result<(), SettingsError> {
    let n_rates = u8::from(capacity_ratio.is_some()) + u8::from(per_sec.is_some());
    if mode != Mode::Off && n_rates != 1 {
        let allowed = format!(
            "given exactly one of capacity_ratio and {per_sec_key} when the mode is not off"
        );
        return Err(SettingsError::new(key, allowed, n_rates));
    }
    match capacity_ratio.map(Ratio::get) {
        Some(ratio) if ratio <= 0.0 => {
            Err(SettingsError::new(format!("{key}.capacity_ratio"), "above 0", ratio))
        }
        Some(_) | None => Ok(()),
    }
}

/// A ratio that stands in a default.
pub(super) fn ratio(value: f64) -> Ratio {
    Ratio::new(value).expect("a default ratio is from 0 to 1")
}

/// A count that stands in a default.
pub(super) const fn count(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => panic!("a default count is at least 1"),
    }
}
