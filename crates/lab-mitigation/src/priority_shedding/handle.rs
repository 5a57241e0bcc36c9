//! The admission queue that many tasks share.

use std::{num::NonZeroU32, sync::Arc};

use lab_core::{
    route::RouteClass,
    settings::{Mode, PrioritySheddingSettings},
};

use super::{PriorityAdmission, Shed};
use crate::{
    admission::{Gate, GateSnapshot, Pass},
    clock::{Clock, SystemClock},
};

/// An admission queue shared by every caller of one dependency. Cloning is cheap and gives the
/// same queue.
#[derive(Debug, Clone)]
pub struct PriorityShedding {
    gate: Arc<Gate<PriorityAdmission>>,
}

impl PriorityShedding {
    /// Starts empty, on the machine's clock.
    pub fn new(settings: &PrioritySheddingSettings) -> Self {
        Self::with_clock(settings, SystemClock)
    }

    /// As [`PriorityShedding::new`], on another clock. Waits are timed by tokio; a clock that does
    /// not go with tokio's makes them end early or late, never not at all.
    pub fn with_clock(settings: &PrioritySheddingSettings, clock: impl Clock) -> Self {
        Self { gate: Gate::new(settings.mode, PriorityAdmission::new(settings), clock) }
    }

    /// Takes a place, and waits for one if it must. Allocates nothing when a place is free.
    ///
    /// Under observe nobody waits and nobody is shed. The queue is kept as enforcing would keep it
    /// and decides about calls that are already running: one that would have been shed takes no
    /// place, and one that ends before its turn counts in `n_left`.
    ///
    /// **Errors**: the caller was shed, and the mode is enforce.
    /// **Cancellation**: dropping the future leaves the queue.
    pub async fn acquire(&self, class: RouteClass) -> Result<PriorityPermit, Shed> {
        match self.gate.begin(class).pass().await {
            Ok(pass) => Ok(PriorityPermit { _pass: pass }),
            Err(refusal) => Err(Shed { class, waited: refusal.waited }),
        }
    }

    /// Changes the number of places. A higher number lets waiters in at once; a lower one takes
    /// nobody's place away, and lets nobody in until enough calls have ended.
    pub fn resize(&self, max_concurrent_calls: NonZeroU32) {
        self.gate.adjust(|policy| policy.resize(max_concurrent_calls));
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.gate.mode()
    }

    /// Changes the mode from the next call on. Who waits already goes on waiting.
    pub fn set_mode(&self, mode: Mode) {
        self.gate.set_mode(mode);
    }

    /// Mode, occupancy and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> GateSnapshot {
        self.gate.snapshot()
    }
}

/// A place in flight.
///
/// **Cancellation**: dropping it gives the place to whoever is next.
#[must_use = "a permit dropped at once holds no place for the call"]
#[derive(Debug)]
pub struct PriorityPermit {
    _pass: Pass<PriorityAdmission>,
}

#[cfg(test)]
mod tests;
