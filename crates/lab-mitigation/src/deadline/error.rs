//! What a caller gets when there is not enough time, and why a stated budget is none.

use std::time::Duration;

use crate::call_timeout::CallTimeout;

/// The request's time is spent, or so nearly that the call was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("deadline exceeded: late by {late_by:?}, with a budget of {budget:?}")]
pub struct DeadlineExceeded {
    /// All the time that the request had.
    pub budget: Duration,
    /// How long ago that was over. Zero: it is not over, but too little was left to begin.
    pub late_by: Duration,
}

/// Why a call under a deadline has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeadlineError {
    /// The request ran out of time, before the call or during it. Says nothing about the
    /// dependency.
    #[error(transparent)]
    Exceeded(#[from] DeadlineExceeded),
    /// The call's own timeout passed first.
    #[error(transparent)]
    TimedOut(#[from] CallTimeout),
}

/// A stated budget that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a budget must be whole milliseconds, 1 to 99999999, got {got:?}")]
pub struct InvalidBudget {
    /// The beginning of what was stated.
    pub got: String,
}
