//! The bulkhead that many tasks share, and the pair of them that a service with route classes has.

use std::{num::NonZeroU32, sync::Arc};

use lab_core::{
    route::RouteClass,
    settings::{BulkheadSettings, CompartmentSettings, Mode},
};
use serde::Serialize;

use super::{BulkheadFull, FifoAdmission};
use crate::{
    admission::{Begun, Gate, GateSnapshot, Pass, Refusal, Wait},
    clock::{Clock, SystemClock},
};

/// One compartment, shared by every caller of it. Cloning is cheap and gives the same places.
#[derive(Debug, Clone)]
pub struct Bulkhead {
    gate: Arc<Gate<FifoAdmission>>,
}

impl Bulkhead {
    /// Starts empty, on the machine's clock.
    pub fn new(mode: Mode, settings: &CompartmentSettings) -> Self {
        Self::with_clock(mode, settings, SystemClock)
    }

    /// As [`Bulkhead::new`], on another clock. Waits are timed by tokio; a clock that does not go
    /// with tokio's makes them end early or late, never not at all.
    pub fn with_clock(mode: Mode, settings: &CompartmentSettings, clock: impl Clock) -> Self {
        let CompartmentSettings { max_concurrent_calls, max_wait_duration } = *settings;
        let policy = FifoAdmission::new(max_concurrent_calls, max_wait_duration);
        Self { gate: Gate::new(mode, policy, clock) }
    }

    /// Takes a place, and waits its turn for one if it must. Allocates nothing when a place is
    /// free.
    ///
    /// Under observe nobody waits and nobody is refused; what the queue would have decided is
    /// counted, and a call that would have been refused takes no place.
    ///
    /// **Errors**: no place came free within `max_wait_duration`, and the mode is enforce.
    /// **Cancellation**: dropping the future leaves the queue.
    pub async fn acquire(&self) -> Result<BulkheadPermit, BulkheadFull> {
        Ok(BulkheadPermit::of(self.begin().pass().await?))
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

    pub(super) fn begin(&self) -> Begun<FifoAdmission> {
        self.gate.begin(())
    }
}

/// A place in a bulkhead.
///
/// **Cancellation**: dropping it gives the place to whoever waits longest.
#[must_use = "a permit dropped at once holds no place for the call"]
#[derive(Debug)]
pub struct BulkheadPermit {
    _pass: Pass<FifoAdmission>,
}

impl BulkheadPermit {
    pub(super) fn of(pass: Pass<FifoAdmission>) -> Self {
        Self { _pass: pass }
    }

    pub(super) async fn after(wait: Wait<FifoAdmission>) -> Result<Self, BulkheadFull> {
        Ok(Self::of(wait.verdict().await?))
    }
}

impl From<Refusal> for BulkheadFull {
    fn from(refusal: Refusal) -> Self {
        let Refusal { occupancy, waited } = refusal;
        Self {
            in_flight: occupancy.in_flight,
            max_concurrent_calls: occupancy.max_concurrent_calls,
            waited,
        }
    }
}

/// A bulkhead for each route class. Cloning is cheap and gives the same places.
#[derive(Debug, Clone)]
pub struct RouteBulkheads {
    core: Bulkhead,
    auxiliary: Bulkhead,
}

/// What a pair of bulkheads tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RouteBulkheadsSnapshot {
    /// The compartment of core routes.
    pub core: GateSnapshot,
    /// The compartment of auxiliary routes.
    pub auxiliary: GateSnapshot,
}

impl RouteBulkheads {
    /// Starts empty, on the machine's clock.
    pub fn new(settings: &BulkheadSettings) -> Self {
        Self {
            core: Bulkhead::new(settings.mode, &settings.core),
            auxiliary: Bulkhead::new(settings.mode, &settings.auxiliary),
        }
    }

    /// The compartment of a class.
    pub fn of(&self, class: RouteClass) -> &Bulkhead {
        match class {
            RouteClass::Core => &self.core,
            RouteClass::Auxiliary => &self.auxiliary,
        }
    }

    /// Changes the mode of both from the next call on.
    pub fn set_mode(&self, mode: Mode) {
        self.core.set_mode(mode);
        self.auxiliary.set_mode(mode);
    }

    /// Both compartments, for the internal port and metrics.
    pub fn snapshot(&self) -> RouteBulkheadsSnapshot {
        RouteBulkheadsSnapshot { core: self.core.snapshot(), auxiliary: self.auxiliary.snapshot() }
    }
}

#[cfg(test)]
mod tests;
