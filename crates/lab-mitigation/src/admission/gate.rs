//! The gate: a policy behind a lock, and the tasks that wait for its verdicts.
//!
//! Nothing runs in the background. Each arrival, each end of a call and each waiter whose time is
//! up moves the policy on, and whoever got a verdict by that is woken.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use lab_core::settings::Mode;
use serde::Serialize;

use super::{AdmissionPolicy, Occupancy, Verdict, WaiterId};
use crate::{
    clock::{BoxedClock, Clock},
    switch::{DecisionCounts, Decisions, Effect, Switch},
};

/// What a gate tells about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct GateSnapshot {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// How full it is.
    #[serde(flatten)]
    pub occupancy: Occupancy,
    /// What it decided so far.
    #[serde(flatten)]
    pub counts: DecisionCounts,
    /// Waits without a decision.
    #[serde(flatten)]
    pub waits: WaitCounts,
}

/// Counts of callers that had to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct WaitCounts {
    /// Callers that found no free place and were let wait, whatever became of them.
    pub n_waited: u64,
    /// Callers that left before there was a decision. Under observe: calls that ended before the
    /// queue would have decided.
    pub n_left: u64,
}

/// A policy that many tasks share.
pub(crate) struct Gate<P> {
    switch: Switch,
    decisions: Decisions,
    clock: BoxedClock,
    state: Mutex<State<P>>,
}

struct State<P> {
    policy: P,
    waiters: BTreeMap<WaiterId, Waiter>,
    waits: WaitCounts,
    /// Who is to be woken once the lock is given back.
    wakers: Vec<Waker>,
}

/// One caller in the policy's queue. Under observe its call runs while it "waits".
struct Waiter {
    mode: Mode,
    verdict: Option<Verdict>,
    waker: Option<Waker>,
}

/// The caller got no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) occupancy: Occupancy,
    pub(crate) waited: Duration,
}

/// What comes of an arrival at once.
pub(crate) enum Begun<P: AdmissionPolicy> {
    Admitted(Pass<P>),
    Refused(Refusal),
    Waits(Wait<P>),
}

impl<P: AdmissionPolicy> Begun<P> {
    /// Waits for the verdict where there is none yet.
    pub(crate) async fn pass(self) -> Result<Pass<P>, Refusal> {
        match self {
            Self::Admitted(pass) => Ok(pass),
            Self::Refused(refusal) => Err(refusal),
            Self::Waits(wait) => wait.verdict().await,
        }
    }
}

impl<P: AdmissionPolicy> Gate<P> {
    pub(crate) fn new(mode: Mode, policy: P, clock: impl Clock) -> Arc<Self> {
        let (waiters, waits, wakers) = (BTreeMap::new(), WaitCounts::default(), Vec::new());
        let state = State { policy, waiters, waits, wakers };
        Arc::new(Self {
            switch: Switch::new(mode),
            decisions: Decisions::default(),
            clock: BoxedClock::new(clock),
            state: Mutex::new(state),
        })
    }

    /// A caller of `class` comes. Allocates nothing unless it has to wait, and reads the clock
    /// only when there is no free place.
    pub(crate) fn begin(self: &Arc<Self>, class: P::Class) -> Begun<P> {
        let mode = self.mode();
        if mode == Mode::Off {
            return Begun::Admitted(self.pass(Held::Nothing));
        }
        let mut state = self.lock();
        if state.policy.try_admit() {
            drop(state);
            return self.admitted(mode);
        }
        drop(state);
        self.begin_when_full(mode, class)
    }

    fn begin_when_full(self: &Arc<Self>, mode: Mode, class: P::Class) -> Begun<P> {
        let now = self.clock.now();
        let (enqueued, occupancy) = self.change(|state| {
            state.policy.settle(now);
            if state.policy.try_admit() {
                return (Ok(()), state.policy.occupancy());
            }
            let enqueued = state.policy.enqueue(now, class);
            if let Some(enqueued) = enqueued {
                state.waits.n_waited += 1;
                let waiter = Waiter { mode, verdict: None, waker: None };
                state.waiters.insert(enqueued.id, waiter);
            }
            (Err(enqueued), state.policy.occupancy())
        });
        match enqueued {
            Ok(()) => self.admitted(mode),
            Err(Some(enqueued)) => {
                let pass = self.pass(Held::Waiter(enqueued.id));
                if mode == Mode::Enforce {
                    let (since, id, until) = (now, enqueued.id, enqueued.until);
                    Begun::Waits(Wait { pass, id, since, until })
                } else {
                    Begun::Admitted(pass)
                }
            }
            Err(None) => {
                let refusal = Refusal { occupancy, waited: Duration::ZERO };
                match self.decisions.apply::<(), _>(mode, Err(refusal)) {
                    Effect::Rejected(refusal) => Begun::Refused(refusal),
                    // Enforced, this call would not exist, so it takes no place either.
                    Effect::WouldReject | Effect::Permitted(()) => {
                        Begun::Admitted(self.pass(Held::Nothing))
                    }
                }
            }
        }
    }

    fn admitted(self: &Arc<Self>, mode: Mode) -> Begun<P> {
        self.decisions.apply::<_, ()>(mode, Ok(()));
        Begun::Admitted(self.pass(Held::Place))
    }

    pub(crate) fn mode(&self) -> Mode {
        self.switch.mode()
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.switch.set_mode(mode);
    }

    /// Changes the policy, such as its number of places, and tells whom that concerns.
    pub(crate) fn adjust(&self, adjust: impl FnOnce(&mut P)) {
        let now = self.clock.now();
        self.change(|state| {
            adjust(&mut state.policy);
            state.policy.settle(now);
        });
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        self.lock().policy.occupancy()
    }

    pub(crate) fn snapshot(&self) -> GateSnapshot {
        let state = self.lock();
        GateSnapshot {
            mode: self.mode(),
            occupancy: state.policy.occupancy(),
            counts: self.decisions.counts(),
            waits: state.waits,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    fn release(&self) {
        self.change(|state| state.release(&self.clock));
    }

    /// A waiter that nobody asks for any more: its caller left, or its call ended under observe.
    fn forget(&self, id: WaiterId) {
        let now = self.clock.now();
        self.change(|state| {
            state.policy.settle(now);
            state.collect(&self.decisions);
            match state.waiters.remove(&id).map(|it| it.verdict) {
                Some(Some(Verdict::Admitted)) => state.release(&self.clock),
                Some(None) => {
                    state.policy.leave(id);
                    state.waits.n_left += 1;
                }
                Some(Some(Verdict::Refused)) | None => {}
            }
        });
    }

    fn poll_verdict(&self, id: WaiterId, context: &Context<'_>) -> Poll<Verdict> {
        let mut state = self.lock();
        let Some(waiter) = state.waiters.get_mut(&id) else {
            return Poll::Ready(Verdict::Refused);
        };
        match waiter.verdict {
            Some(verdict) => {
                state.waiters.remove(&id);
                Poll::Ready(verdict)
            }
            None => {
                waiter.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The verdict of a waiter whose time is up. A policy that has none then is not waited for:
    /// the answer is no.
    fn last_verdict(&self, id: WaiterId, until: Instant) -> Verdict {
        let now = self.clock.now().max(until);
        self.change(|state| {
            state.policy.settle(now);
            state.collect(&self.decisions);
            match state.waiters.remove(&id).map(|it| (it.mode, it.verdict)) {
                Some((_, Some(verdict))) => verdict,
                Some((mode, None)) => {
                    state.policy.leave(id);
                    self.decisions.apply::<(), _>(mode, Err(()));
                    Verdict::Refused
                }
                None => Verdict::Refused,
            }
        })
    }

    fn pass(self: &Arc<Self>, held: Held) -> Pass<P> {
        Pass { gate: Arc::clone(self), held }
    }

    /// Changes the state, then wakes those who got a verdict by it, with the lock given back.
    fn change<T>(&self, change: impl FnOnce(&mut State<P>) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        state.collect(&self.decisions);
        let wakers = mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// The state is whole between any two statements, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: AdmissionPolicy> State<P> {
    fn release(&mut self, clock: &BoxedClock) {
        self.policy.release();
        if 0 < self.policy.occupancy().queue_depth {
            self.policy.settle(clock.now());
        }
    }

    /// Hands verdicts to their waiters and counts them.
    fn collect(&mut self, decisions: &Decisions) {
        while let Some((id, verdict)) = self.policy.pop_verdict() {
            match self.waiters.get_mut(&id) {
                Some(waiter) => {
                    let decision = if verdict == Verdict::Admitted { Ok(()) } else { Err(()) };
                    decisions.apply(waiter.mode, decision);
                    waiter.verdict = Some(verdict);
                    self.wakers.extend(waiter.waker.take());
                }
                None if verdict == Verdict::Admitted => self.policy.release(),
                None => {}
            }
        }
    }
}

impl<P> fmt::Debug for Gate<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gate")
            .field("switch", &self.switch)
            .field("decisions", &self.decisions)
            .finish_non_exhaustive()
    }
}

/// The right to be in flight. Dropping it gives the place back.
pub(crate) struct Pass<P: AdmissionPolicy> {
    gate: Arc<Gate<P>>,
    held: Held,
}

enum Held {
    /// The call does not count: the mode was off, or enforced it would not exist.
    Nothing,
    Place,
    /// A place in the queue, and the call's own place once the queue says so.
    Waiter(WaiterId),
}

impl<P: AdmissionPolicy> Pass<P> {
    /// Whether the policy has given this call a place: not under off, and not where observing
    /// found none.
    pub(crate) fn holds_place(&self) -> bool {
        matches!(self.held, Held::Place)
    }
}

impl<P: AdmissionPolicy> Drop for Pass<P> {
    fn drop(&mut self) {
        match mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Place => self.gate.release(),
            Held::Waiter(id) => self.gate.forget(id),
        }
    }
}

impl<P: AdmissionPolicy> fmt::Debug for Pass<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pass").field("holds_place", &self.holds_place()).finish()
    }
}

/// A caller in the queue. Dropping it leaves the queue.
pub(crate) struct Wait<P: AdmissionPolicy> {
    pass: Pass<P>,
    id: WaiterId,
    since: Instant,
    until: Instant,
}

impl<P: AdmissionPolicy> Wait<P> {
    /// Waits for the verdict.
    ///
    /// **Cancellation**: dropping the future leaves the queue, or gives back a place that was
    /// given and not taken yet.
    pub(crate) async fn verdict(mut self) -> Result<Pass<P>, Refusal> {
        let Self { id, since, until, .. } = self;
        let verdict = {
            let gate = &self.pass.gate;
            let verdict = poll_fn(|context| gate.poll_verdict(id, context));
            match tokio::time::timeout_at(until.into(), verdict).await {
                Ok(verdict) => verdict,
                Err(_elapsed) => gate.last_verdict(id, until),
            }
        };
        // The waiter is out of the gate's books now, and what the pass stands for is this:
        self.pass.held = match verdict {
            Verdict::Admitted => Held::Place,
            Verdict::Refused => Held::Nothing,
        };
        match verdict {
            Verdict::Admitted => Ok(self.pass),
            Verdict::Refused => Err(Refusal {
                occupancy: self.pass.gate.occupancy(),
                waited: self.pass.gate.now().saturating_duration_since(since),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
