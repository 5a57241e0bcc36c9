//! What all clones of a breaker and all its permits share: the policy behind a lock, its mirror
//! in front, a mode, counts and a listener.

use std::{
    fmt,
    sync::PoisonError,
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;
use lab_core::settings::{CircuitBreakerSettings, Mode, TripRule};

use super::{
    CallNotPermitted, CallResult, CircuitEvent, CircuitPolicy, Forced, Jitter, Ticket,
    mirror::{Answer, Mirror},
};
use crate::{
    listener::Listener,
    switch::{Decisions, Effect, Switch},
    sync::{Mutex, MutexGuard},
    timeline::Timeline,
};

/// One circuit, shared.
pub(super) struct Circuit {
    /// Read by every call and seldom written, so that every processor keeps its own copy.
    front: CachePadded<Front>,
    policy: CachePadded<Mutex<CircuitPolicy>>,
    decisions: Decisions,
    listener: Listener<CircuitEvent>,
}

struct Front {
    switch: Switch,
    mirror: Mirror,
    timeline: Timeline,
    probe_timeout: Option<Duration>,
}

/// An admitted call: a [`Ticket`] in two words, which travel in registers.
#[derive(Debug)]
pub(super) struct Claim {
    /// The cycle, shifted left by one, and whether it is a probe.
    word: u64,
    admitted_ns: u64,
}

impl Claim {
    fn new(cycle: u64, is_probe: bool, admitted_ns: u64) -> Self {
        Self { word: cycle << 1 | u64::from(is_probe), admitted_ns }
    }

    fn cycle(&self) -> u64 {
        self.word >> 1
    }

    fn is_probe(&self) -> bool {
        self.word & 1 == 1
    }
}

impl Circuit {
    pub(super) fn new(
        settings: &CircuitBreakerSettings,
        jitter: Jitter,
        timeline: Timeline,
        listener: Listener<CircuitEvent>,
    ) -> Self {
        let policy = CircuitPolicy::new(settings, jitter, timeline.origin());
        Self {
            front: CachePadded::new(Front {
                switch: Switch::new(settings.mode),
                mirror: Mirror::new(policy.cycle(), policy.gate()),
                timeline,
                probe_timeout: settings.probe_timeout,
            }),
            policy: CachePadded::new(Mutex::new(policy)),
            decisions: Decisions::default(),
            listener,
        }
    }

    /// Asks to make one call now. `None`: it passes, and its result does not count.
    ///
    /// Always inlined: what it returns is taken apart at once, and written to memory in parts and
    /// read back as a whole it would cost more than the decision.
    #[inline(always)]
    pub(super) fn try_acquire(&self) -> Result<Option<Claim>, CallNotPermitted> {
        let mode = self.mode();
        if mode == Mode::Off {
            return Ok(None);
        }
        let now_ns = self.front.timeline.now_ns();
        let decision = match self.front.mirror.answer(now_ns) {
            Answer::Admitted { cycle } => Ok(Claim::new(cycle, false, now_ns)),
            Answer::Rejected => Err(CallNotPermitted),
            Answer::Unknown => self.ask(now_ns),
        };
        match self.decisions.apply(mode, decision) {
            Effect::Permitted(claim) => Ok(Some(claim)),
            // Enforced, this call would not exist, so its result must not count either.
            Effect::WouldReject => Ok(None),
            Effect::Rejected(refusal) => Err(refusal),
        }
    }

    /// Records that the call ended now with `result`.
    #[inline]
    pub(super) fn end(&self, claim: Claim, result: CallResult) {
        if !self.front.mirror.is_settled(claim.cycle(), result) {
            self.record(claim, result);
        }
    }

    #[inline(never)]
    fn record(&self, claim: Claim, result: CallResult) {
        let now = self.now();
        let ticket = self.ticket(claim);
        let mut policy = self.lock();
        let event = policy.on_result(now, ticket, result);
        self.publish(&policy, event);
    }

    /// Records that the caller left now without a result.
    #[cold]
    #[inline(never)]
    pub(super) fn abandon(&self, claim: Claim) {
        let now = self.now();
        let ticket = self.ticket(claim);
        let mut policy = self.lock();
        let event = policy.on_abandoned(now, ticket);
        self.publish(&policy, event);
    }

    /// The bound of the call: `usual`, or the probe's where that is shorter.
    pub(super) fn call_timeout(
        &self,
        claim: Option<&Claim>,
        usual: Option<Duration>,
    ) -> Option<Duration> {
        let is_probe = claim.is_some_and(Claim::is_probe);
        match self.front.probe_timeout.filter(|_| is_probe) {
            Some(probe) => Some(usual.map_or(probe, |usual| usual.min(probe))),
            None => usual,
        }
    }

    #[inline]
    pub(super) fn mode(&self) -> Mode {
        self.front.switch.mode()
    }

    /// Off forgets everything, on the way in and on the way out: a call that was admitted around
    /// the switch must not count in what comes after.
    pub(super) fn set_mode(&self, mode: Mode) {
        let now = self.now();
        let mut policy = self.lock();
        if mode == Mode::Off || self.mode() == Mode::Off {
            let event = policy.reset(now);
            self.publish(&policy, event);
        }
        self.front.switch.set_mode(mode);
    }

    pub(super) fn force(&self, forced: Forced) {
        let now = self.now();
        let mut policy = self.lock();
        let event = policy.force(now, forced);
        self.publish(&policy, event);
    }

    pub(super) fn release(&self) {
        let now = self.now();
        let mut policy = self.lock();
        policy.release(now);
        self.publish(&policy, None);
    }

    pub(super) fn now(&self) -> Instant {
        self.front.timeline.instant(self.front.timeline.now_ns())
    }

    pub(super) fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The policy is whole between any two statements, so a panic elsewhere does not spoil it.
    pub(super) fn lock(&self) -> MutexGuard<'_, CircuitPolicy> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    #[inline(never)]
    fn ask(&self, now_ns: u64) -> Result<Claim, CallNotPermitted> {
        let now = self.front.timeline.instant(now_ns);
        let mut policy = self.lock();
        let admitted = policy.try_acquire(now)?;
        self.publish(&policy, admitted.event);
        let Ticket { cycle, is_probe, .. } = admitted.ticket;
        Ok(Claim::new(cycle, is_probe, now_ns))
    }

    fn ticket(&self, claim: Claim) -> Ticket {
        let admitted_at = self.front.timeline.instant(claim.admitted_ns);
        Ticket { cycle: claim.cycle(), admitted_at, is_probe: claim.is_probe() }
    }

    /// Shows what changed to the calls that do not lock, and tells the listener. The caller holds
    /// the lock, which keeps events in order.
    fn publish(&self, policy: &CircuitPolicy, event: Option<CircuitEvent>) {
        self.front.mirror.publish(policy.cycle(), policy.gate(), &self.front.timeline);
        self.listener.tell(self.mode(), event);
    }
}

impl fmt::Debug for Circuit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Circuit")
            .field("switch", &self.front.switch)
            .field("mirror", &self.front.mirror)
            .field("decisions", &self.decisions)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The shortest duration that a breaker with `settings` measures, which is how good its clock has
/// to be.
pub(super) fn shortest_duration(settings: &CircuitBreakerSettings) -> Duration {
    let bucket = (settings.trip == TripRule::TimeWindow).then_some(settings.window_duration / 10);
    [bucket, settings.slow_call_duration_threshold]
        .into_iter()
        .flatten()
        .fold(settings.wait_duration_in_open.min(settings.slow_call_bound), Duration::min)
}
