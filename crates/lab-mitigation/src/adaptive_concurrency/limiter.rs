//! The limiter that many tasks share: places as many as the limit says, and a sample per call.

use std::{
    num::NonZeroU32,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use lab_core::settings::{AdaptiveConcurrencySettings, LimitAlgorithm, Mode};
use serde::Serialize;

use super::{Aimd, ConcurrencyLimited, Gradient, Limit, Sample, SampleResult};
use crate::{
    admission::{Begun, Gate, GateSnapshot, Pass, Refusal, Wait},
    bulkhead::FifoAdmission,
    clock::{Clock, SystemClock},
};

/// A limiter shared by every caller of one dependency. Cloning is cheap and gives the same limit.
#[derive(Debug, Clone)]
pub struct AdaptiveConcurrency {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    gate: Arc<Gate<FifoAdmission>>,
    limit: Mutex<Box<dyn Limit>>,
    slow_call_bound: Duration,
}

/// What a limiter tells about itself. `max_concurrent_calls` is the present limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AdaptiveConcurrencySnapshot {
    /// Mode, occupancy and counts.
    #[serde(flatten)]
    pub gate: GateSnapshot,
}

impl AdaptiveConcurrency {
    /// Starts at the initial limit, with the algorithm the settings name, on the machine's clock.
    pub fn new(settings: &AdaptiveConcurrencySettings) -> Self {
        Self::with_clock(settings, SystemClock)
    }

    /// As [`AdaptiveConcurrency::new`], on another clock. Waits are timed by tokio.
    pub fn with_clock(settings: &AdaptiveConcurrencySettings, clock: impl Clock) -> Self {
        match settings.algorithm {
            LimitAlgorithm::Aimd => Self::with_limit(settings, Aimd::new(settings), clock),
            LimitAlgorithm::Gradient => Self::with_limit(settings, Gradient::new(settings), clock),
        }
    }

    /// As [`AdaptiveConcurrency::with_clock`], with an algorithm of the caller's own. Of the
    /// settings the mode, `max_wait_duration` and `slow_call_bound` are used.
    pub fn with_limit(
        settings: &AdaptiveConcurrencySettings,
        limit: impl Limit,
        clock: impl Clock,
    ) -> Self {
        let policy = FifoAdmission::new(limit.limit(), settings.max_wait_duration);
        let shared = Shared {
            gate: Gate::new(settings.mode, policy, clock),
            limit: Mutex::new(Box::new(limit)),
            slow_call_bound: settings.slow_call_bound,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes a place, and waits its turn for one if `max_wait_duration` allows.
    ///
    /// Under observe nobody waits and nobody is refused. A call that would have been refused takes
    /// no place and gives no sample. The others do, but they run beside those that enforcing would
    /// have kept away, so the observed limit is lower than the enforced one would be.
    ///
    /// **Errors**: no place came free in time, and the mode is enforce.
    /// **Cancellation**: dropping the future leaves the queue.
    pub async fn acquire(&self) -> Result<AdaptivePermit, ConcurrencyLimited> {
        Ok(self.permit(self.begin().pass().await?))
    }

    /// Calls that may be in flight now.
    pub fn limit(&self) -> NonZeroU32 {
        self.shared.limit.lock().unwrap_or_else(PoisonError::into_inner).limit()
    }

    /// Off, observe or enforce.
    pub fn mode(&self) -> Mode {
        self.shared.gate.mode()
    }

    /// Changes the mode from the next call on. The limit keeps what it has learnt.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.gate.set_mode(mode);
    }

    /// Mode, limit, occupancy and counts, for the internal port and metrics.
    pub fn snapshot(&self) -> AdaptiveConcurrencySnapshot {
        AdaptiveConcurrencySnapshot { gate: self.shared.gate.snapshot() }
    }

    pub(super) fn begin(&self) -> Begun<FifoAdmission> {
        self.shared.gate.begin(())
    }

    pub(super) async fn after(
        &self,
        wait: Wait<FifoAdmission>,
    ) -> Result<AdaptivePermit, ConcurrencyLimited> {
        Ok(self.permit(wait.verdict().await?))
    }

    pub(super) fn permit(&self, pass: Pass<FifoAdmission>) -> AdaptivePermit {
        let started = pass.holds_place().then(|| Started {
            at: self.shared.gate.now(),
            in_flight: self.shared.gate.occupancy().in_flight,
        });
        AdaptivePermit { shared: Arc::clone(&self.shared), started, _pass: pass }
    }

    pub(super) fn now(&self) -> Instant {
        self.shared.gate.now()
    }
}

impl Shared {
    fn on_sample(&self, now: Instant, started: Started, result: SampleResult) {
        let Started { at: started_at, in_flight } = started;
        let rtt = now.saturating_duration_since(started_at);
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        // The call has ended, and its permit may be on its way out of a panic already: an algorithm
        // that panics must not take either with it. The limit then stays, and the panic hook has
        // told of it.
        let learnt = catch_unwind(AssertUnwindSafe(|| {
            let before = limit.limit();
            limit.on_sample(&Sample { started_at, rtt, in_flight, result });
            let after = limit.limit();
            (before != after).then_some(after)
        }));
        if let Ok(Some(after)) = learnt {
            // Still locked, so that of two changes the later one stays.
            self.gate.adjust(|policy| policy.resize(after));
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Started {
    at: Instant,
    in_flight: u32,
}

/// A place in a limiter, to be handed back with the result of the call.
///
/// **Cancellation**: dropping it without a result means that the caller left. It then reads the
/// limiter's clock: `Dropped` when the call had taken `slow_call_bound` or longer, else `Ignored`.
/// Either way the place is free again.
#[must_use = "a permit dropped at once holds no place for the call"]
#[derive(Debug)]
pub struct AdaptivePermit {
    shared: Arc<Shared>,
    /// `None` once handed back, and for calls that do not count.
    started: Option<Started>,
    _pass: Pass<FifoAdmission>,
}

impl AdaptivePermit {
    /// The call ended at `now` with `result`.
    pub fn on_result(mut self, now: Instant, result: SampleResult) {
        if let Some(started) = self.started.take() {
            self.shared.on_sample(now, started, result);
        }
    }
}

impl Drop for AdaptivePermit {
    fn drop(&mut self) {
        if let Some(started) = self.started.take() {
            let now = self.shared.gate.now();
            let is_slow = self.shared.slow_call_bound <= now.saturating_duration_since(started.at);
            let result = if is_slow { SampleResult::Dropped } else { SampleResult::Ignored };
            self.shared.on_sample(now, started, result);
        }
    }
}

impl From<Refusal> for ConcurrencyLimited {
    fn from(refusal: Refusal) -> Self {
        let Refusal { occupancy, waited } = refusal;
        Self { in_flight: occupancy.in_flight, limit: occupancy.max_concurrent_calls, waited }
    }
}

#[cfg(test)]
mod tests;
