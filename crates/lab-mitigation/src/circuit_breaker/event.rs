//! What a circuit tells its listener.

use std::{fmt, num::NonZeroU32};

use lab_core::event::kind;

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
    /// Half-open → closed; or the breaker was switched off while it was not closed.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenReason {
    /// As many failures in a row as the threshold allows.
    ConsecutiveFailures {
        /// The threshold.
        n_failures: NonZeroU32,
    },
    /// A probe failed.
    ProbeFailed,
}

impl fmt::Display for OpenReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures { n_failures } => {
                write!(formatter, "{n_failures} failures in a row")
            }
            Self::ProbeFailed => formatter.write_str("a probe failed"),
        }
    }
}
