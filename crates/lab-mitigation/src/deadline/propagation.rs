//! The handle that a service asks: the policy, a mode and counts.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use lab_core::settings::{DeadlinePropagationSettings, Mode};
use serde::Serialize;

use super::{Deadline, DeadlineError, DeadlineExceeded, DeadlinePolicy};
use crate::{
    call_timeout::bounded,
    clock::{BoxedClock, Clock, SystemClock},
    switch::{DecisionCounts, Decisions, Effect, Switch},
};

/// Bounds every call by the deadline of the request it is made for. Cloning is cheap and gives the
/// same counts.
#[derive(Debug, Clone)]
pub struct DeadlinePropagation {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    switch: Switch,
    decisions: Decisions,
    policy: DeadlinePolicy,
    clock: BoxedClock,
    n_cut_short: AtomicU64,
    n_would_cut_short: AtomicU64,
}

/// What the propagation of deadlines tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DeadlineSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// Calls begun and not begun. A call that was begun and cut short is one of the permitted.
    #[serde(flatten)]
    pub counts: DecisionCounts,
    /// Calls that the deadline ended before they had a result.
    pub n_cut_short: u64,
    /// Calls that ended after the deadline, and only because the mode was observe.
    pub n_would_cut_short: u64,
}

impl DeadlinePropagation {
    /// Reads the clock of tokio's timers, which are what ends a call.
    pub fn new(settings: &DeadlinePropagationSettings) -> Self {
        Self::with_clock(settings, SystemClock)
    }

    /// As [`DeadlinePropagation::new`], with the clock that [`DeadlinePropagation::within`] reads.
    /// It must go as tokio's does.
    pub fn with_clock(settings: &DeadlinePropagationSettings, clock: impl Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                switch: Switch::new(settings.mode),
                decisions: Decisions::default(),
                policy: DeadlinePolicy::new(settings),
                clock: BoxedClock::new(clock),
                n_cut_short: AtomicU64::new(0),
                n_would_cut_short: AtomicU64::new(0),
            }),
        }
    }

    /// The deadline of a request that arrived at `arrived_at` and stated a budget, or none. The
    /// same under every mode, so that the mode can change while the request is in flight.
    pub fn deadline(&self, arrived_at: Instant, stated: Option<Duration>) -> Deadline {
        self.shared.policy.deadline(arrived_at, stated)
    }

    /// The time that a call begun at `now` may take, for what takes a timeout as a number: a pool,
    /// a `statement_timeout`. `None`: as long as it takes.
    ///
    /// Unless the mode is enforce this is `own_timeout`, unchanged.
    ///
    /// A PostgreSQL `statement_timeout` of 0 ms means no limit; what this returns under enforce is
    /// at least the smaller of `min_remaining` (1 ms or more) and `own_timeout`.
    ///
    /// **Errors**: too little is left, and the mode is enforce. The call must not be made.
    pub fn bound(
        &self,
        now: Instant,
        deadline: Deadline,
        own_timeout: Option<Duration>,
    ) -> Result<Option<Duration>, DeadlineExceeded> {
        self.decide(|| now, deadline, own_timeout).map(|it| it.bound)
    }

    /// Makes one call within what is left of `deadline`, or its own timeout where that is shorter.
    ///
    /// Unless the mode is enforce only `own_timeout` bounds it.
    ///
    /// **Errors**: too little is left to begin, in which case `call` was never polled; or one of
    /// the two passed first, in which case it was dropped half done.
    /// **Cancellation**: dropping this drops the call.
    pub async fn within<F: Future>(
        &self,
        deadline: Deadline,
        own_timeout: Option<Duration>,
        call: F,
    ) -> Result<F::Output, DeadlineError> {
        let Shared { clock, n_cut_short, n_would_cut_short, .. } = &*self.shared;
        let granted = self.decide(|| clock.now(), deadline, own_timeout)?;
        let result = bounded(granted.bound, call).await;
        if granted.is_only_observed && deadline.at() < clock.now() {
            n_would_cut_short.fetch_add(1, Relaxed);
        }
        result.map_err(|timeout| {
            if granted.bound == own_timeout {
                return DeadlineError::TimedOut(timeout);
            }
            n_cut_short.fetch_add(1, Relaxed);
            DeadlineError::Exceeded(deadline.exceeded(clock.now()))
        })
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.switch.mode()
    }

    /// Changes the mode from the next call on.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.switch.set_mode(mode);
    }

    /// Mode and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> DeadlineSnapshot {
        DeadlineSnapshot {
            mode: self.mode(),
            counts: self.shared.decisions.counts(),
            n_cut_short: self.shared.n_cut_short.load(Relaxed),
            n_would_cut_short: self.shared.n_would_cut_short.load(Relaxed),
        }
    }

    /// Asks for the time only when there is something to decide.
    fn decide(
        &self,
        now: impl FnOnce() -> Instant,
        deadline: Deadline,
        own_timeout: Option<Duration>,
    ) -> Result<Granted, DeadlineExceeded> {
        let mode = self.mode();
        let untouched = Granted { bound: own_timeout, is_only_observed: false };
        if mode == Mode::Off {
            return Ok(untouched);
        }
        let decision = self.shared.policy.bound(now(), deadline, own_timeout);
        match self.shared.decisions.apply(mode, decision) {
            Effect::Permitted(bound) if mode == Mode::Enforce => {
                Ok(Granted { bound: Some(bound), is_only_observed: false })
            }
            Effect::Permitted(_) => Ok(Granted { is_only_observed: true, ..untouched }),
            // Enforced, this call would not exist, so it would not be cut short either.
            Effect::WouldReject => Ok(untouched),
            Effect::Rejected(refusal) => Err(refusal),
        }
    }
}

/// A call that may begin.
struct Granted {
    bound: Option<Duration>,
    /// Enforced, the deadline would bound it.
    is_only_observed: bool,
}

#[cfg(test)]
mod tests;
