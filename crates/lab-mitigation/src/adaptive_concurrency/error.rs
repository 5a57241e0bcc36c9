//! What a caller gets instead of an answer.

use std::time::Duration;

/// As many calls are in flight as the limit allows now, and none ended in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("concurrency limited: {in_flight} of {limit} calls in flight after {waited:?}")]
pub struct ConcurrencyLimited {
    /// Calls in flight when the caller was refused.
    pub in_flight: u32,
    /// The limit then.
    pub limit: u32,
    /// How long the caller waited. Zero when it was not let wait.
    pub waited: Duration,
}

/// An error of a service behind a limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdaptiveConcurrencyError<E> {
    /// The call was not made.
    #[error(transparent)]
    Limited(#[from] ConcurrencyLimited),
    /// The call was made and failed; the error is the service's own, unchanged.
    #[error(transparent)]
    Inner(E),
}
