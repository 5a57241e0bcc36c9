//! What a dimmer tells its listener.

use lab_core::event::kind;

/// A change of what users get, after it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DegradationEvent {
    /// Auxiliary work is being left out.
    Began,
    /// All auxiliary work is done again, or the dimmer was switched off.
    Ended,
}

impl DegradationEvent {
    /// The kind under which it stands in a trial's events.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Began => kind::DEGRADATION_BEGAN,
            Self::Ended => kind::DEGRADATION_ENDED,
        }
    }
}
