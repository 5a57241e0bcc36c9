//! What a circuit tells its listener.

use std::{fmt, num::NonZeroU32};

use lab_core::event::kind;
use serde::Serialize;

/// A change of the circuit's state, after it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CircuitEvent {
    /// Closed or half-open → open.
    Opened {
        /// What made it trip.
        reason: OpenReason,
    },
    /// Open → half-open, by the call that became the first probe.
    HalfOpened,
    /// Open or half-open → closed: the probes succeeded, an operator forced it closed, or the
    /// breaker was switched off.
    Closed,
}

impl CircuitEvent {
    /// The kind under which it stands in a trial's events.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Opened { .. } => kind::CIRCUIT_OPENED,
            Self::HalfOpened => kind::CIRCUIT_HALF_OPENED,
            Self::Closed => kind::CIRCUIT_CLOSED,
        }
    }
}

/// Why a circuit opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OpenReason {
    /// As many failures in a row as the threshold allows.
    ConsecutiveFailures {
        /// The threshold.
        n_failures: NonZeroU32,
    },
    /// Too large a share of the calls in the window, or of the probes, failed.
    FailureRate {
        /// Those that failed.
        n_failures: u32,
        /// All of them.
        n_calls: u32,
    },
    /// Too large a share of the calls in the window, or of the probes, was slow.
    SlowCallRate {
        /// Those that were slow.
        n_slow: u32,
        /// All of them.
        n_calls: u32,
    },
    /// A probe failed.
    ProbeFailed,
    /// An operator forced it open.
    Forced,
}

impl fmt::Display for OpenReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures { n_failures } => {
                write!(formatter, "{n_failures} failures in a row")
            }
            Self::FailureRate { n_failures, n_calls } => {
                write!(formatter, "{n_failures} of {n_calls} calls failed")
            }
            Self::SlowCallRate { n_slow, n_calls } => {
                write!(formatter, "{n_slow} of {n_calls} calls were slow")
            }
            Self::ProbeFailed => formatter.write_str("a probe failed"),
            Self::Forced => formatter.write_str("forced by an operator"),
        }
    }
}
