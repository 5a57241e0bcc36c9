//! The state machine of the breaker: pure, single-threaded, told the time by its caller.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use lab_core::settings::CircuitBreakerSettings;
use serde::Serialize;

use super::{CallNotPermitted, CircuitEvent, OpenReason};

/// The state of a circuit, in the words of the glossary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CircuitState {
    /// Calls pass.
    Closed,
    /// Calls are refused without touching the dependency. Stays until a call comes after the
    /// wait: nothing changes while nobody calls.
    Open,
    /// A few probes are in flight; every other call is refused.
    HalfOpen,
}

/// How an admitted call ended, as far as the dependency's health goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// The dependency answered.
    Success,
    /// The dependency failed, or took longer than the caller allows.
    Failure,
    /// The result says nothing about the dependency, such as a refusal of our own.
    Ignored,
}

/// One admitted call, handed back with its result.
///
/// It carries the cycle in which the call was admitted. A result of an earlier cycle is dropped:
/// a reply that was on its way when the circuit opened must not close it, nor open the next one.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    cycle: u64,
    admitted_at: Instant,
}

/// The policy's yes.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// To be handed back with the result.
    pub ticket: Ticket,
    /// The change that admitting made, if any.
    pub event: Option<CircuitEvent>,
}

/// Opens after some failures in a row. Reads no clock and spawns no task.
#[derive(Debug)]
pub struct ConsecutiveFailures {
    failure_threshold: NonZeroU32,
    wait_duration_in_open: Duration,
    half_open_permits: NonZeroU32,
    half_open_successes: NonZeroU32,
    slow_call_bound: Duration,
    /// Counts the times the state was left, and the times unanswered probes were written off.
    cycle: u64,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { n_failures: u32 },
    Open { since: Instant },
    HalfOpen(Probing),
}

#[derive(Debug, Clone, Copy)]
struct Probing {
    n_in_flight: u32,
    n_successes: u32,
    last_admitted_at: Instant,
}

impl ConsecutiveFailures {
    /// Starts closed.
    pub fn new(settings: &CircuitBreakerSettings) -> Self {
        Self {
            failure_threshold: settings.failure_threshold,
            wait_duration_in_open: settings.wait_duration_in_open,
            half_open_permits: settings.half_open_permits,
            half_open_successes: settings.half_open_successes,
            slow_call_bound: settings.slow_call_bound,
            cycle: 0,
            state: State::Closed { n_failures: 0 },
        }
    }

    /// The state as of the last call or result.
    pub fn state(&self) -> CircuitState {
        match self.state {
            State::Closed { .. } => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::HalfOpen(_) => CircuitState::HalfOpen,
        }
    }

    /// Probes of this cycle that have neither returned nor been dropped. 0 unless half-open.
    pub fn n_probes_in_flight(&self) -> u32 {
        match self.state {
            State::HalfOpen(probing) => probing.n_in_flight,
            State::Closed { .. } | State::Open { .. } => 0,
        }
    }

    /// Asks to admit one call at `now`.
    ///
    /// When every probe permit has been out for `wait_duration_in_open`, the probes are written
    /// off and a new one is admitted: a probe that never returns must not keep the circuit
    /// half-open for ever.
    ///
    /// **Errors**: the circuit is open, or half-open with every permit taken.
    pub fn try_acquire(&mut self, now: Instant) -> Result<Admitted, CallNotPermitted> {
        let has_waited_since =
            |earlier| self.wait_duration_in_open <= now.saturating_duration_since(earlier);
        match self.state {
            State::Closed { .. } => Ok(self.admit(now, None)),
            State::Open { since } if has_waited_since(since) => {
                self.enter(State::first_probe(now));
                Ok(self.admit(now, Some(CircuitEvent::HalfOpened)))
            }
            State::HalfOpen(probing) if probing.n_in_flight < self.half_open_permits.get() => {
                self.state = State::HalfOpen(Probing {
                    n_in_flight: probing.n_in_flight + 1,
                    last_admitted_at: now,
                    ..probing
                });
                Ok(self.admit(now, None))
            }
            State::HalfOpen(probing) if has_waited_since(probing.last_admitted_at) => {
                self.enter(State::first_probe(now));
                Ok(self.admit(now, None))
            }
            State::Open { .. } | State::HalfOpen(_) => Err(CallNotPermitted),
        }
    }

    /// Records how an admitted call ended at `now`, and returns the change it made, if any.
    pub fn on_result(
        &mut self,
        now: Instant,
        ticket: Ticket,
        result: CallResult,
    ) -> Option<CircuitEvent> {
        if ticket.cycle != self.cycle {
            return None;
        }
        match self.state {
            State::Closed { n_failures } => self.on_call(now, n_failures, result),
            State::HalfOpen(probing) => self.on_probe(now, probing, result),
            // Opening ends the cycle, so no ticket of the present cycle is out.
            State::Open { .. } => None,
        }
    }

    /// Records that the caller of an admitted call left at `now` without a result: a failure when
    /// it had waited `slow_call_bound` or longer, else nothing.
    pub fn on_abandoned(&mut self, now: Instant, ticket: Ticket) -> Option<CircuitEvent> {
        let waited = now.saturating_duration_since(ticket.admitted_at);
        let result =
            if self.slow_call_bound <= waited { CallResult::Failure } else { CallResult::Ignored };
        self.on_result(now, ticket, result)
    }

    /// Forgets everything: closed, and no result of an earlier call counts.
    pub fn reset(&mut self) -> Option<CircuitEvent> {
        let was_closed = self.state() == CircuitState::Closed;
        self.enter(State::Closed { n_failures: 0 });
        (!was_closed).then_some(CircuitEvent::Closed)
    }

    fn on_call(
        &mut self,
        now: Instant,
        n_failures: u32,
        result: CallResult,
    ) -> Option<CircuitEvent> {
        let n_failures = match result {
            CallResult::Success => 0,
            CallResult::Failure => n_failures + 1,
            CallResult::Ignored => n_failures,
        };
        if n_failures < self.failure_threshold.get() {
            self.state = State::Closed { n_failures };
            return None;
        }
        let n_failures = self.failure_threshold;
        Some(self.open(now, OpenReason::ConsecutiveFailures { n_failures }))
    }

    fn on_probe(
        &mut self,
        now: Instant,
        probing: Probing,
        result: CallResult,
    ) -> Option<CircuitEvent> {
        if result == CallResult::Failure {
            return Some(self.open(now, OpenReason::ProbeFailed));
        }
        let n_successes = probing.n_successes + u32::from(result == CallResult::Success);
        if self.half_open_successes.get() <= n_successes {
            self.enter(State::Closed { n_failures: 0 });
            return Some(CircuitEvent::Closed);
        }
        let n_in_flight = probing.n_in_flight - 1;
        self.state = State::HalfOpen(Probing { n_in_flight, n_successes, ..probing });
        None
    }

    fn open(&mut self, now: Instant, reason: OpenReason) -> CircuitEvent {
        self.enter(State::Open { since: now });
        CircuitEvent::Opened { reason }
    }

    fn enter(&mut self, state: State) {
        self.cycle += 1;
        self.state = state;
    }

    fn admit(&self, now: Instant, event: Option<CircuitEvent>) -> Admitted {
        Admitted { ticket: Ticket { cycle: self.cycle, admitted_at: now }, event }
    }
}

impl State {
    fn first_probe(now: Instant) -> Self {
        Self::HalfOpen(Probing { n_in_flight: 1, n_successes: 0, last_admitted_at: now })
    }
}

#[cfg(test)]
mod tests;
