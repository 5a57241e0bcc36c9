//! The breaker that many tasks share.

use lab_core::settings::{CircuitBreakerSettings, Mode};
use serde::Serialize;

use super::{
    CallNotPermitted, CircuitEvent, CircuitState, CircuitStatus, Forced, Jitter, OpenReason,
    OwnedPermit, Permit,
    circuit::{Circuit, shortest_duration},
};
use crate::{
    clock::Clock, listener::Listener, switch::DecisionCounts, sync::Arc, timeline::Timeline,
};

/// A circuit breaker shared by every caller of one dependency. Cloning is cheap and gives the same
/// circuit.
///
/// A call through a closed circuit, and one that an open circuit refuses, take no lock and
/// allocate nothing; neither does the success of a call while failures in a row are what trips it.
/// Everything else takes a lock for a few comparisons, never across an `await`.
///
/// **Time.** A call reads the clock once when it is admitted, and once more only if its end has to
/// be recorded. The clock is the kernel's coarse one where every duration in the settings is at
/// least ten of its ticks (40 ms where the kernel ticks 250 times a second), else the precise one,
/// which costs several times as much. On the coarse clock every duration is up to a tick off: a
/// wait may end a tick late, and a caller that left counts a tick too early or too late.
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    circuit: Arc<Circuit>,
}

/// What a breaker tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CircuitBreakerSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// The circuit's state, which refuses calls only under enforce.
    pub state: CircuitState,
    /// What an operator holds it to, if anything.
    pub forced: Option<Forced>,
    /// Why it opened; `None` while closed.
    pub reason: Option<OpenReason>,
    /// How long it has been in this state, in milliseconds.
    pub in_state_ms: u64,
    /// Milliseconds until a call is admitted as a probe: 0 when the next one is. `None` while
    /// closed or half-open, and while forced open.
    pub next_probe_in_ms: Option<u64>,
    /// Probes that have neither returned nor been dropped.
    pub n_probes_in_flight: u32,
    /// What it decided so far.
    #[serde(flatten)]
    pub counts: DecisionCounts,
}

impl CircuitBreaker {
    /// Starts closed, on the kernel's clock.
    ///
    /// `jitter` makes the waits random where the settings ask for a backoff. `listener` hears
    /// every change of state and the mode it happened under: under observe the service's behaviour
    /// did not change. It is called with the circuit locked, so that events arrive in the order in
    /// which they happened: it must return at once and must not call the breaker.
    pub fn new(
        settings: &CircuitBreakerSettings,
        jitter: Jitter,
        listener: impl Fn(Mode, CircuitEvent) + Send + Sync + 'static,
    ) -> Self {
        let timeline = Timeline::for_shortest(shortest_duration(settings));
        Self::on(timeline, settings, jitter, Listener::new(listener))
    }

    /// As [`CircuitBreaker::new`], on another clock: one that a test moves by hand, or tokio's
    /// ([`crate::clock::SystemClock`]) in a test that has paused it.
    pub fn with_clock(
        settings: &CircuitBreakerSettings,
        jitter: Jitter,
        clock: impl Clock,
        listener: impl Fn(Mode, CircuitEvent) + Send + Sync + 'static,
    ) -> Self {
        Self::on(Timeline::on(clock), settings, jitter, Listener::new(listener))
    }

    fn on(
        timeline: Timeline,
        settings: &CircuitBreakerSettings,
        jitter: Jitter,
        listener: Listener<CircuitEvent>,
    ) -> Self {
        Self { circuit: Arc::new(Circuit::new(settings, jitter, timeline, listener)) }
    }

    /// Asks to make one call now.
    ///
    /// **Errors**: the circuit refuses, and the mode is enforce.
    /// **Cancellation**: dropping the [`Permit`] says that the caller left; see there.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<'_>, CallNotPermitted> {
        self.circuit.try_acquire().map(|claim| Permit::new(&self.circuit, claim))
    }

    /// As [`CircuitBreaker::try_acquire`], with a permit that does not borrow the breaker. Its
    /// count of references is one that every processor writes to.
    pub fn try_acquire_owned(&self) -> Result<OwnedPermit, CallNotPermitted> {
        let claim = self.circuit.try_acquire()?;
        Ok(OwnedPermit::new(Arc::clone(&self.circuit), claim))
    }

    /// The circuit's state as of the last call or result.
    pub fn state(&self) -> CircuitState {
        self.circuit.lock().state()
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.circuit.mode()
    }

    /// Changes the mode from the next call on. Switching off closes the circuit and forgets what
    /// it counted and what it was forced to; switching between observe and enforce keeps it.
    pub fn set_mode(&self, mode: Mode) {
        self.circuit.set_mode(mode);
    }

    /// Holds the circuit open or closed, until [`CircuitBreaker::release`]. Calls in flight finish,
    /// and their results count for nothing.
    ///
    /// It is a decision like any other: it acts under enforce, is only counted under observe, and
    /// does nothing while the mode is off.
    pub fn force(&self, forced: Forced) {
        self.circuit.force(forced);
    }

    /// Lets go of a forced circuit. Forced open, the next call is a probe; forced closed, it counts
    /// from nothing. Not forced, nothing changes.
    pub fn release(&self) {
        self.circuit.release();
    }

    /// Mode, state, reason and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> CircuitBreakerSnapshot {
        let now = self.circuit.now();
        let status = self.circuit.lock().status(now);
        let CircuitStatus { state, forced, reason, n_probes_in_flight, .. } = status;
        let ms = |it: std::time::Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        CircuitBreakerSnapshot {
            mode: self.mode(),
            state,
            forced,
            reason,
            in_state_ms: ms(status.in_state_for),
            next_probe_in_ms: status.next_probe_in.map(ms),
            n_probes_in_flight,
            counts: self.circuit.decisions().counts(),
        }
    }
}

#[cfg(test)]
mod tests;
