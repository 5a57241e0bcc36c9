//! What a caller gets when the bound has passed.

use std::time::Duration;

/// The call did not end within its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no reply within {waited:?}")]
pub struct CallTimeout {
    /// The bound, which is how long the caller waited.
    pub waited: Duration,
}

/// An error of a service behind a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallTimeoutError<E> {
    /// The bound passed first.
    #[error(transparent)]
    TimedOut(#[from] CallTimeout),
    /// The call failed in time; the error is the service's own, unchanged.
    #[error(transparent)]
    Inner(E),
}
