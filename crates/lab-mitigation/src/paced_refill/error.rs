//! What a caller gets instead of a read, and why a paced refill cannot be built.

use std::time::Duration;

/// A refill goes on, and its permits are spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deferred by the paced refill: next permit in {retry_after:?}")]
pub struct Deferred {
    /// Time until there is a permit again, should nobody else take it, or until the refill ends.
    pub retry_after: Duration,
}

/// Settings that make no paced refill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacedRefillSettingsError {
    /// There is no rate to enforce or observe.
    #[error("settings.paced_refill.fills_per_sec is needed unless the mode is off")]
    NoRate,
}
