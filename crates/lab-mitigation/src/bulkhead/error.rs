//! What a caller gets instead of an answer.

use std::time::Duration;

/// Every place is taken, and none came free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bulkhead full: {in_flight} of {max_concurrent_calls} calls in flight after {waited:?}")]
pub struct BulkheadFull {
    /// Calls in flight when the caller was refused.
    pub in_flight: u32,
    /// Places.
    pub max_concurrent_calls: u32,
    /// How long the caller waited. Zero when it was not let wait.
    pub waited: Duration,
}

/// An error of a service behind a bulkhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BulkheadError<E> {
    /// The call was not made.
    #[error(transparent)]
    Full(#[from] BulkheadFull),
    /// The call was made and failed; the error is the service's own, unchanged.
    #[error(transparent)]
    Inner(E),
}
