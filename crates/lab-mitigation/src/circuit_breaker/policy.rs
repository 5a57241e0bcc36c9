//! The state machine of the breaker: pure, single-threaded, told the time by its caller.

mod backoff;
mod trip;
mod window;

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use lab_core::settings::CircuitBreakerSettings;
use serde::{Deserialize, Serialize};

pub use self::backoff::Jitter;
use self::{
    backoff::OpenWaits,
    trip::{ProbeVerdict, Trip},
    window::Tally,
};
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

/// What an operator holds the circuit to, whatever the calls say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forced {
    /// Every call is refused, and no probe is made.
    Open,
    /// Every call passes, and no result counts.
    Closed,
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
    pub(super) cycle: u64,
    pub(super) admitted_at: Instant,
    pub(super) is_probe: bool,
}

/// The policy's yes.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    /// To be handed back with the result.
    pub ticket: Ticket,
    /// The change that admitting made, if any.
    pub event: Option<CircuitEvent>,
}

/// What a policy tells about itself at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitStatus {
    /// The state as of the last call or result.
    pub state: CircuitState,
    /// What an operator holds it to, if anything.
    pub forced: Option<Forced>,
    /// Why it opened; `None` while closed.
    pub reason: Option<OpenReason>,
    /// How long it has been in this state.
    pub in_state_for: Duration,
    /// Time until the next call is admitted as a probe: zero when one would be now. `None` while
    /// closed or half-open, and while forced open.
    pub next_probe_in: Option<Duration>,
    /// Probes that have neither returned nor been dropped.
    pub n_probes_in_flight: u32,
}

/// What decides a call without looking closer; see the handle's mirror of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// Every call passes. `is_clean`: and one more success changes nothing.
    Closed { is_clean: bool },
    /// Every call is refused before `until`. `None`: for as long as it is forced.
    Open { until: Option<Instant> },
    /// It depends.
    HalfOpen,
}

/// The circuit of one dependency: closed, open, half-open or forced. Reads no clock and spawns no
/// task; allocates its window once.
#[derive(Debug)]
pub struct CircuitPolicy {
    trip: Trip,
    waits: OpenWaits,
    half_open_permits: NonZeroU32,
    slow_call_bound: Duration,
    /// Counts the times the state was left, and the times unanswered probes were written off.
    cycle: u64,
    state: State,
    entered_at: Instant,
    reason: Option<OpenReason>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen(Probing),
    Forced(Forced),
}

#[derive(Debug, Clone, Copy)]
struct Probing {
    n_in_flight: u32,
    done: Tally,
    last_admitted_at: Instant,
}

impl CircuitPolicy {
    /// Starts closed at `now`. `jitter` is drawn from only with a backoff.
    pub fn new(settings: &CircuitBreakerSettings, jitter: Jitter, now: Instant) -> Self {
        Self {
            trip: Trip::new(settings, now),
            waits: OpenWaits::new(settings, jitter),
            half_open_permits: settings.half_open_permits,
            slow_call_bound: settings.slow_call_bound,
            cycle: 0,
            state: State::Closed,
            entered_at: now,
            reason: None,
        }
    }

    /// The state as of the last call or result.
    pub fn state(&self) -> CircuitState {
        match self.state {
            State::Closed | State::Forced(Forced::Closed) => CircuitState::Closed,
            State::Open { .. } | State::Forced(Forced::Open) => CircuitState::Open,
            State::HalfOpen(_) => CircuitState::HalfOpen,
        }
    }

    /// State, reason and times, as of `now`.
    pub fn status(&self, now: Instant) -> CircuitStatus {
        let (mut forced, mut next_probe_in, mut n_probes_in_flight) = (None, None, 0);
        match self.state {
            State::Closed => {}
            State::Open { until } => next_probe_in = Some(until.saturating_duration_since(now)),
            State::HalfOpen(probing) => n_probes_in_flight = probing.n_in_flight,
            State::Forced(to) => forced = Some(to),
        }
        CircuitStatus {
            state: self.state(),
            forced,
            reason: self.reason,
            in_state_for: now.saturating_duration_since(self.entered_at),
            next_probe_in,
            n_probes_in_flight,
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
        match self.state {
            State::Closed | State::Forced(Forced::Closed) => Ok(self.admit(now, None)),
            State::Open { until } if until <= now => {
                self.enter(now, State::first_probe(now));
                Ok(self.admit(now, Some(CircuitEvent::HalfOpened)))
            }
            State::HalfOpen(probing) => self.try_acquire_probe(now, probing),
            State::Open { .. } | State::Forced(Forced::Open) => Err(CallNotPermitted),
        }
    }

    fn try_acquire_probe(
        &mut self,
        now: Instant,
        probing: Probing,
    ) -> Result<Admitted, CallNotPermitted> {
        let Probing { n_in_flight, done, last_admitted_at } = probing;
        if self.trip.admits_probe(self.half_open_permits, n_in_flight, done) {
            let n_in_flight = n_in_flight + 1;
            self.state = State::HalfOpen(Probing { n_in_flight, done, last_admitted_at: now });
        } else if self.waits.base() <= now.saturating_duration_since(last_admitted_at) {
            // A new cycle of the same state: late results of the old one change nothing.
            self.cycle += 1;
            self.state = State::first_probe(now);
        } else {
            return Err(CallNotPermitted);
        }
        Ok(self.admit(now, None))
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
        let call = match result {
            CallResult::Success | CallResult::Failure => {
                let duration = now.saturating_duration_since(ticket.admitted_at);
                Some(self.trip.call(result == CallResult::Failure, duration))
            }
            CallResult::Ignored => None,
        };
        match self.state {
            State::Closed => {
                let reason = self.trip.record(now, call?)?;
                Some(self.open(now, reason))
            }
            State::HalfOpen(mut probing) => {
                probing.n_in_flight = probing.n_in_flight.saturating_sub(1);
                if let Some(call) = call {
                    probing.done.add(call);
                }
                self.on_probe(now, probing)
            }
            // Opening ends the cycle, so no ticket of the present one is out.
            State::Open { .. } | State::Forced(_) => None,
        }
    }

    /// Records that the caller of an admitted call left at `now` without a result: a failure when
    /// it had waited `slow_call_bound` or longer, else nothing.
    pub fn on_abandoned(&mut self, now: Instant, ticket: Ticket) -> Option<CircuitEvent> {
        let waited = now.saturating_duration_since(ticket.admitted_at);
        self.on_result(now, ticket, self.result_of_leaving(waited))
    }

    /// What it says about the dependency that a caller left after waiting so long.
    fn result_of_leaving(&self, waited: Duration) -> CallResult {
        if self.slow_call_bound <= waited { CallResult::Failure } else { CallResult::Ignored }
    }

    /// Holds the circuit open or closed from `now` on, until [`CircuitPolicy::release`]. No result
    /// of a call admitted before or meanwhile counts.
    pub fn force(&mut self, now: Instant, forced: Forced) -> Option<CircuitEvent> {
        let before = self.state();
        self.forget(now);
        self.enter(now, State::Forced(forced));
        match forced {
            Forced::Closed => {
                self.reason = None;
                (before != CircuitState::Closed).then_some(CircuitEvent::Closed)
            }
            Forced::Open => {
                let reason = OpenReason::Forced;
                self.reason = Some(reason);
                (before != CircuitState::Open).then_some(CircuitEvent::Opened { reason })
            }
        }
    }

    /// Lets go of a forced circuit at `now`. Forced open it stays open, and the next call is a
    /// probe; forced closed it stays closed and counts from nothing. Not forced, nothing changes.
    /// Neither is a change of state, so there is no event.
    pub fn release(&mut self, now: Instant) {
        match self.state {
            State::Forced(Forced::Open) => self.enter(now, State::Open { until: now }),
            State::Forced(Forced::Closed) => {
                self.forget(now);
                self.enter(now, State::Closed);
            }
            State::Closed | State::Open { .. } | State::HalfOpen(_) => {}
        }
    }

    /// Forgets everything at `now`, an operator's hold included: closed, and no result of an
    /// earlier call counts.
    pub fn reset(&mut self, now: Instant) -> Option<CircuitEvent> {
        let was_closed = self.state() == CircuitState::Closed;
        self.close(now);
        (!was_closed).then_some(CircuitEvent::Closed)
    }

    /// The present cycle.
    pub(super) fn cycle(&self) -> u64 {
        self.cycle
    }

    /// What decides a call without looking closer.
    pub(super) fn gate(&self) -> Gate {
        match self.state {
            State::Closed => Gate::Closed { is_clean: self.trip.is_clean() },
            State::Forced(Forced::Closed) => Gate::Closed { is_clean: true },
            State::Open { until } => Gate::Open { until: Some(until) },
            State::Forced(Forced::Open) => Gate::Open { until: None },
            State::HalfOpen(_) => Gate::HalfOpen,
        }
    }

    fn on_probe(&mut self, now: Instant, probing: Probing) -> Option<CircuitEvent> {
        match self.trip.judge_probes(self.half_open_permits, probing.done) {
            ProbeVerdict::Open(reason) => Some(self.open(now, reason)),
            ProbeVerdict::Close => {
                self.close(now);
                Some(CircuitEvent::Closed)
            }
            ProbeVerdict::Undecided => {
                self.state = State::HalfOpen(probing);
                None
            }
        }
    }

    fn open(&mut self, now: Instant, reason: OpenReason) -> CircuitEvent {
        let wait = self.waits.next();
        // A wait that reaches past what an Instant can hold is cut to one that it can.
        let until = now.checked_add(wait).unwrap_or(now + LONGEST_WAIT);
        self.enter(now, State::Open { until });
        self.reason = Some(reason);
        CircuitEvent::Opened { reason }
    }

    fn close(&mut self, now: Instant) {
        self.forget(now);
        self.enter(now, State::Closed);
        self.reason = None;
    }

    fn forget(&mut self, now: Instant) {
        self.trip.clear(now);
        self.waits.start_again();
    }

    fn enter(&mut self, now: Instant, state: State) {
        let before = self.state();
        self.cycle += 1;
        self.state = state;
        if self.state() != before {
            self.entered_at = now;
        }
    }

    fn admit(&self, now: Instant, event: Option<CircuitEvent>) -> Admitted {
        let is_probe = matches!(self.state, State::HalfOpen(_));
        Admitted { ticket: Ticket { cycle: self.cycle, admitted_at: now, is_probe }, event }
    }
}

/// 100 years.
const LONGEST_WAIT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl State {
    fn first_probe(now: Instant) -> Self {
        Self::HalfOpen(Probing { n_in_flight: 1, done: Tally::default(), last_admitted_at: now })
    }
}

#[cfg(test)]
mod tests;
