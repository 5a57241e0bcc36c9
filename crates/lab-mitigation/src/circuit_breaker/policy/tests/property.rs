//! The state machine against a plain model of it, on random histories.
//!
//! The model shares no code with the policy and remembers sets of calls and deadlines where the
//! policy has cycle numbers and starts.

use std::collections::BTreeSet;

use lab_core::settings::TripRule;
use proptest::{prelude::*, sample::Index};

use super::*;

const WAIT_MS: u64 = 1_000;
const BOUND_MS: u64 = 50;

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Call,
    End(Index, CallResult),
    Leave(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let result = prop_oneof![
        3 => Just(CallResult::Failure),
        3 => Just(CallResult::Success),
        1 => Just(CallResult::Ignored),
    ];
    prop_oneof![
        2 => (1..=400_u64).prop_map(Step::Pass),
        4 => Just(Step::Call),
        3 => (any::<Index>(), result).prop_map(|(index, result)| Step::End(index, result)),
        1 => any::<Index>().prop_map(Step::Leave),
    ]
}

/// What the breaker is meant to be, written for a reader rather than a hot path.
enum Model {
    Closed { members: BTreeSet<u32>, n_failures: u32 },
    Open { until_ms: u64 },
    HalfOpen { probes: BTreeSet<u32>, n_successes: u32, patient_until_ms: u64 },
}

struct Limits {
    n_permits: u32,
    n_successes: u32,
    n_failures: u32,
}

impl Model {
    fn closed() -> Self {
        Self::Closed { members: BTreeSet::new(), n_failures: 0 }
    }

    fn probing(call: u32, now_ms: u64) -> Self {
        Self::HalfOpen {
            probes: BTreeSet::from([call]),
            n_successes: 0,
            patient_until_ms: now_ms + WAIT_MS,
        }
    }

    fn call(&mut self, limits: &Limits, call: u32, now_ms: u64) -> bool {
        match self {
            Self::Closed { members, .. } => members.insert(call),
            Self::Open { until_ms } if now_ms < *until_ms => false,
            Self::Open { .. } => {
                *self = Self::probing(call, now_ms);
                true
            }
            Self::HalfOpen { probes, patient_until_ms, .. } => {
                if probes.len() < limits.n_permits as usize {
                    probes.insert(call);
                    *patient_until_ms = now_ms + WAIT_MS;
                    true
                } else if *patient_until_ms <= now_ms {
                    *self = Self::probing(call, now_ms);
                    true
                } else {
                    false
                }
            }
        }
    }

    fn end(&mut self, limits: &Limits, call: u32, now_ms: u64, result: CallResult) {
        let is_open = match self {
            Self::Closed { members, n_failures } => {
                if !members.remove(&call) {
                    return;
                }
                match result {
                    CallResult::Success => *n_failures = 0,
                    CallResult::Failure => *n_failures += 1,
                    CallResult::Ignored => {}
                }
                *n_failures == limits.n_failures
            }
            Self::HalfOpen { probes, n_successes, .. } => {
                if !probes.remove(&call) {
                    return;
                }
                *n_successes += u32::from(result == CallResult::Success);
                if *n_successes == limits.n_successes {
                    *self = Self::closed();
                    return;
                }
                result == CallResult::Failure
            }
            Self::Open { .. } => return,
        };
        if is_open {
            *self = Self::Open { until_ms: now_ms + WAIT_MS };
        }
    }

    fn state(&self) -> CircuitState {
        match self {
            Self::Closed { .. } => CircuitState::Closed,
            Self::Open { .. } => CircuitState::Open,
            Self::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    fn n_probes(&self) -> usize {
        match self {
            Self::HalfOpen { probes, .. } => probes.len(),
            Self::Closed { .. } | Self::Open { .. } => 0,
        }
    }
}

proptest! {
    #[test]
    fn the_policy_does_what_its_model_does_and_never_has_too_many_probes_in_flight(
        n_permits in 1..4_u32,
        n_successes in 1..4_u32,
        n_failures in 1..5_u32,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let limits = Limits { n_permits, n_successes, n_failures };
        let settings = CircuitBreakerSettings {
            failure_threshold: NonZeroU32::new(n_failures).unwrap(),
            half_open_permits: NonZeroU32::new(n_permits).unwrap(),
            half_open_successes: NonZeroU32::new(n_successes).unwrap(),
            wait_duration_in_open: Duration::from_millis(WAIT_MS),
            slow_call_bound: Duration::from_millis(BOUND_MS),
            ..CircuitBreakerSettings::default()
        };
        let (mut model, t0, mut now_ms) = (Model::closed(), some_instant(), 0);
        let mut policy = policy_at(t0, &settings);
        let mut in_flight: Vec<(u32, u64, Ticket)> = Vec::new();
        for (call, step) in (0_u32..).zip(steps) {
            let now = t0 + Duration::from_millis(now_ms);
            match step {
                Step::Pass(ms) => now_ms += ms,
                Step::Call => {
                    let admitted = policy.try_acquire(now);
                    prop_assert_eq!(admitted.is_ok(), model.call(&limits, call, now_ms));
                    in_flight.extend(admitted.map(|it| (call, now_ms, it.ticket)));
                }
                Step::End(index, result) if !in_flight.is_empty() => {
                    let (call, _, ticket) = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_result(now, ticket, result);
                    model.end(&limits, call, now_ms, result);
                }
                Step::Leave(index) if !in_flight.is_empty() => {
                    let (call, at_ms, ticket) = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_abandoned(now, ticket);
                    let was_slow = BOUND_MS <= now_ms - at_ms;
                    let result = if was_slow { CallResult::Failure } else { CallResult::Ignored };
                    model.end(&limits, call, now_ms, result);
                }
                Step::End(..) | Step::Leave(_) => {}
            }
            prop_assert_eq!(policy.state(), model.state());
            prop_assert_eq!(policy.status(now).n_probes_in_flight as usize, model.n_probes());
            prop_assert!(policy.status(now).n_probes_in_flight <= n_permits);
        }
    }

    // Every event is a change of state and every change of state is an event, so that what the
    // listener hears is the whole story; whatever trips it, and whatever an operator does.
    #[test]
    fn events_tell_every_change_of_state_and_nothing_else(
        trip in trip(),
        n_permits in 1..4_u32,
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let settings = CircuitBreakerSettings {
            trip,
            window_size: NonZeroU32::new(6).unwrap(),
            minimum_number_of_calls: NonZeroU32::new(3).unwrap(),
            window_duration: Duration::from_millis(WAIT_MS),
            half_open_permits: NonZeroU32::new(n_permits).unwrap(),
            ..settings()
        };
        let (t0, mut now_ms) = (some_instant(), 0);
        let mut policy = policy_at(t0, &settings);
        let mut in_flight: Vec<Ticket> = Vec::new();
        for step in steps {
            let now = t0 + Duration::from_millis(now_ms);
            let before = policy.status(now);
            let event = match step {
                Operated::Call(Step::Pass(ms)) => { now_ms += ms; None }
                Operated::Call(Step::Call) => match policy.try_acquire(now) {
                    Ok(admitted) => { in_flight.push(admitted.ticket); admitted.event }
                    Err(CallNotPermitted) => None,
                },
                Operated::Call(Step::End(index, result)) if !in_flight.is_empty() => {
                    let ticket = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_result(now, ticket, result)
                }
                Operated::Call(Step::Leave(index)) if !in_flight.is_empty() => {
                    let ticket = in_flight.swap_remove(index.index(in_flight.len()));
                    policy.on_abandoned(now, ticket)
                }
                Operated::Call(Step::End(..) | Step::Leave(_)) => None,
                Operated::Force(forced) => policy.force(now, forced),
                Operated::Release => { policy.release(now); None }
            };
            let after = policy.status(now);
            let told = event.map(|event| match event {
                CircuitEvent::Opened { .. } => CircuitState::Open,
                CircuitEvent::HalfOpened => CircuitState::HalfOpen,
                CircuitEvent::Closed => CircuitState::Closed,
            });
            prop_assert_eq!(told, (before.state != after.state).then_some(after.state));
            prop_assert!(after.n_probes_in_flight <= n_permits);
            prop_assert_eq!(after.reason.is_none(), after.state == CircuitState::Closed);
            if let Some(CircuitEvent::Opened { reason }) = event {
                prop_assert_eq!(after.reason, Some(reason));
            }
            // Forced, only the operator changes anything.
            if before.forced.is_some() && matches!(step, Operated::Call(_)) {
                prop_assert_eq!((after.state, after.forced), (before.state, before.forced));
            }
        }
    }
}

/// A step of the calls, or of an operator.
#[derive(Debug, Clone)]
enum Operated {
    Call(Step),
    Force(Forced),
    Release,
}

fn any_step() -> impl Strategy<Value = Operated> {
    prop_oneof![
        20 => step().prop_map(Operated::Call),
        1 => prop_oneof![Just(Forced::Open), Just(Forced::Closed)].prop_map(Operated::Force),
        1 => Just(Operated::Release),
    ]
}

fn trip() -> impl Strategy<Value = TripRule> {
    prop_oneof![
        Just(TripRule::Consecutive),
        Just(TripRule::CountWindow),
        Just(TripRule::TimeWindow),
    ]
}
