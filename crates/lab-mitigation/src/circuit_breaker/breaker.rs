//! The breaker that many tasks share: the policy behind a lock, a mode, counts and a listener.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use lab_core::settings::{CircuitBreakerSettings, Mode};
use serde::Serialize;

use super::{
    CallNotPermitted, CallResult, CircuitEvent, CircuitState, ConsecutiveFailures, Ticket,
};
use crate::{
    clock::{BoxedClock, Clock, SystemClock},
    switch::{DecisionCounts, Decisions, Effect, Switch},
};

/// A circuit breaker shared by every caller of one dependency. Cloning is cheap and gives the same
/// circuit.
///
/// The lock is held for a few comparisons, never across an `await`.
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    circuit: Arc<Circuit>,
}

struct Circuit {
    switch: Switch,
    decisions: Decisions,
    policy: Mutex<ConsecutiveFailures>,
    clock: BoxedClock,
    listener: Box<dyn Fn(Mode, CircuitEvent) + Send + Sync>,
}

/// What a breaker tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CircuitBreakerSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// The circuit's state, which refuses calls only under enforce.
    pub state: CircuitState,
    /// What it decided so far.
    #[serde(flatten)]
    pub counts: DecisionCounts,
}

impl CircuitBreaker {
    /// Starts closed, on the machine's clock.
    ///
    /// `listener` hears every change of state and the mode it happened under: under observe the
    /// service's behaviour did not change. It is called with the circuit locked, so that events
    /// arrive in the order in which they happened: it must return at once and must not call the
    /// breaker.
    pub fn new(
        settings: &CircuitBreakerSettings,
        listener: impl Fn(Mode, CircuitEvent) + Send + Sync + 'static,
    ) -> Self {
        Self::with_clock(settings, SystemClock, listener)
    }

    /// As [`CircuitBreaker::new`], with the clock that dropped permits and the layer read.
    pub fn with_clock(
        settings: &CircuitBreakerSettings,
        clock: impl Clock,
        listener: impl Fn(Mode, CircuitEvent) + Send + Sync + 'static,
    ) -> Self {
        Self {
            circuit: Arc::new(Circuit {
                switch: Switch::new(settings.mode),
                decisions: Decisions::default(),
                policy: Mutex::new(ConsecutiveFailures::new(settings)),
                clock: BoxedClock::new(clock),
                listener: Box::new(listener),
            }),
        }
    }

    /// Asks to make one call at `now`.
    ///
    /// **Errors**: the circuit refuses, and the mode is enforce.
    /// **Cancellation**: dropping the [`Permit`] says that the caller left; see there.
    pub fn try_acquire(&self, now: Instant) -> Result<Permit, CallNotPermitted> {
        let mode = self.mode();
        if mode == Mode::Off {
            return Ok(self.permit(None));
        }
        let decision = {
            let mut policy = self.circuit.lock();
            policy.try_acquire(now).map(|admitted| {
                self.circuit.tell(admitted.event);
                admitted.ticket
            })
        };
        match self.circuit.decisions.apply(mode, decision) {
            Effect::Permitted(ticket) => Ok(self.permit(Some(ticket))),
            // Enforced, this call would not exist, so its result must not count either.
            Effect::WouldReject => Ok(self.permit(None)),
            Effect::Rejected(refusal) => Err(refusal),
        }
    }

    /// The circuit's state as of the last call or result.
    pub fn state(&self) -> CircuitState {
        self.circuit.lock().state()
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.circuit.switch.mode()
    }

    /// Changes the mode from the next call on. Switching off closes the circuit and forgets what
    /// it counted; switching between observe and enforce keeps it.
    pub fn set_mode(&self, mode: Mode) {
        let mut policy = self.circuit.lock();
        if mode == Mode::Off {
            self.circuit.tell(policy.reset());
        }
        self.circuit.switch.set_mode(mode);
    }

    /// Mode, state and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> CircuitBreakerSnapshot {
        CircuitBreakerSnapshot {
            mode: self.mode(),
            state: self.state(),
            counts: self.circuit.decisions.counts(),
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.circuit.clock.now()
    }

    fn permit(&self, ticket: Option<Ticket>) -> Permit {
        Permit { circuit: Arc::clone(&self.circuit), ticket }
    }
}

impl Circuit {
    /// The policy is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, ConsecutiveFailures> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the listener. The caller holds the lock, which keeps events in order.
    fn tell(&self, event: Option<CircuitEvent>) {
        if let Some(event) = event {
            (self.listener)(self.switch.mode(), event);
        }
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Circuit")
            .field("switch", &self.switch)
            .field("decisions", &self.decisions)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The right to make one call, to be handed back with its result.
///
/// **Cancellation**: dropping it without a result means that the caller left. It then reads the
/// breaker's clock: a failure when the call had waited `slow_call_bound` or longer, else nothing.
/// Either way a probe's permit is free again.
#[must_use = "a permit dropped at once says that the caller left"]
#[derive(Debug)]
pub struct Permit {
    circuit: Arc<Circuit>,
    /// `None` once handed back, and for calls that do not count.
    ticket: Option<Ticket>,
}

impl Permit {
    /// The dependency answered.
    pub fn on_success(self, now: Instant) {
        self.on_result(now, CallResult::Success);
    }

    /// The dependency failed, or took longer than the caller allows.
    pub fn on_failure(self, now: Instant) {
        self.on_result(now, CallResult::Failure);
    }

    /// The call ended at `now` with `result`.
    pub fn on_result(mut self, now: Instant, result: CallResult) {
        if let Some(ticket) = self.ticket.take() {
            let mut policy = self.circuit.lock();
            self.circuit.tell(policy.on_result(now, ticket, result));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let now = self.circuit.clock.now();
            let mut policy = self.circuit.lock();
            self.circuit.tell(policy.on_abandoned(now, ticket));
        }
    }
}

#[cfg(test)]
mod tests;
