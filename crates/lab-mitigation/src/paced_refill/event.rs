//! What a paced refill tells its listener.

use lab_core::event::kind;

/// A change of what happens to misses, after it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefillEvent {
    /// Idle → refilling: the shared cache is back.
    Began,
    /// Refilling → idle, by the first call after its time; or it was switched off.
    Ended,
}

impl RefillEvent {
    /// The kind under which it stands in a trial's events.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Began => kind::REFILL_BEGAN,
            Self::Ended => kind::REFILL_ENDED,
        }
    }
}
