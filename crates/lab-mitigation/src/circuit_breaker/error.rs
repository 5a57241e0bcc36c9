//! What a caller gets instead of an answer.

use crate::call_timeout::CallTimeout;

/// The circuit is open, or half-open with every probe permit taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("call not permitted: circuit is open")]
pub struct CallNotPermitted;

/// An error of a service behind a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CircuitBreakerError<E> {
    /// The call was not made.
    #[error(transparent)]
    NotPermitted(#[from] CallNotPermitted),
    /// The call was a probe, and took longer than `probe_timeout`.
    #[error(transparent)]
    ProbeTimedOut(CallTimeout),
    /// The call was made and failed; the error is the service's own, unchanged.
    #[error(transparent)]
    Inner(E),
}
