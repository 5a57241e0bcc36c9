//! What a caller gets instead of an answer, and why a rate limit cannot be built.

use std::{num::NonZeroU32, time::Duration};

/// The quota is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rate limited: next permit in {retry_after:?}")]
pub struct RateLimited {
    /// Time until there is a permit again, should nobody else take it.
    pub retry_after: Duration,
}

/// Settings that make no rate limit.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RateLimitSettingsError {
    /// There is no rate to enforce or observe.
    #[error("settings.rate_limit.permits_per_sec is needed unless the mode is off")]
    NoRate,
    /// The limiter counts time in whole nanoseconds of 64 bits.
    #[error(
        "settings.rate_limit: {permits_per_sec} per second with a burst of {burst} is out of range"
    )]
    OutOfRange {
        /// The rate.
        permits_per_sec: f64,
        /// The burst.
        burst: NonZeroU32,
    },
}

/// An error of a service behind a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError<E> {
    /// The call was not made.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The call was made and failed; the error is the service's own, unchanged.
    #[error(transparent)]
    Inner(E),
}
